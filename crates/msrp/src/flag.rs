//! The continuation flag, with which a frame ends (RFC 4975 7.1).

use std::fmt;

/// What becomes of the message behind a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Flag {
    /// `$`: it ends here.
    #[default]
    Complete,
    /// `+`: more of it follows in another chunk.
    Continues,
    /// `#`: nothing more of it follows, and it is not whole.
    Aborted,
}

impl Flag {
    /// The octet of the wire.
    #[must_use]
    pub const fn as_byte(self) -> u8 {
        match self {
            Self::Complete => b'$',
            Self::Continues => b'+',
            Self::Aborted => b'#',
        }
    }

    /// The flag of an octet.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'$' => Some(Self::Complete),
            b'+' => Some(Self::Continues),
            b'#' => Some(Self::Aborted),
            _ => None,
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        char::from(self.as_byte()).fmt(f)
    }
}
