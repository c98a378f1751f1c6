//! Symbols: ASCII strings from a constrained domain.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use bytestring::ByteString;

use super::primitive::{put_variable, variable, variable_len};
use super::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Typed, code};

/// A symbol (AMQP 1.0 part 1, 1.6.21): an ASCII string that names something.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(ByteString);

impl Symbol {
    /// A symbol of the program's text.
    ///
    /// # Panics
    /// When `name` is not ASCII; in a constant, at compile time.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        assert!(name.is_ascii(), "a symbol must be ASCII");
        Self(ByteString::from_static(name))
    }

    /// A symbol, or `None` where `name` is not ASCII.
    #[must_use]
    pub fn new(name: impl Into<ByteString>) -> Option<Self> {
        let name = name.into();
        name.is_ascii().then_some(Self(name))
    }

    /// The symbol's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Symbol {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Symbol {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Symbol {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Symbol {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Symbol {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl From<&'static str> for Symbol {
    /// # Panics
    /// When the text is not ASCII.
    fn from(name: &'static str) -> Self {
        Self::from_static(name)
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{}", self.as_str())
    }
}

impl Encode for Symbol {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        put_variable(self.0.as_bytes(), code::SYM8, code::SYM32, out);
    }
    #[inline]
    fn encoded_len(&self) -> usize {
        variable_len(self.0.len())
    }
}

impl Decode for Symbol {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = ascii(code, reader)?;
        let text =
            ByteString::try_from(reader.share(bytes)).map_err(|_| reader.error("symbol", DecodeErrorKind::Utf8))?;
        Ok(Self(text))
    }
}

/// Reads the bytes of a symbol.
#[inline(always)]
pub(super) fn ascii<'a>(code: u8, reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let bytes = variable(code, code::SYM8, code::SYM32, "symbol", reader)?;
    if bytes.is_ascii() { Ok(bytes) } else { Err(reader.error("symbol", DecodeErrorKind::NotAscii)) }
}

impl Typed for Symbol {
    const TYPE: &'static str = "symbol";
}
