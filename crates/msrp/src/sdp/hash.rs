//! Hashes of certificates (RFC 8122 5) and of files (RFC 5547 6).

use std::fmt;
use std::str::FromStr;

use super::error::wrong;
use super::{SdpError, SdpErrorKind};
use crate::uri::is_token;

/// How long a hash may be, in octets: none that is known has more than 64.
const MAX_HASH: usize = 128;

/// The name of a hash function, in the order of their strength.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HashFunction {
    /// Another one, in lower case: MD2 and MD5 too, that prove nothing (RFC 8122 5).
    Other(Box<str>),
    /// SHA-1: for files; of a certificate it is read and never written.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// The hash of the certificate that an end shows (RFC 8122 5).
///
/// ```
/// use postroad_msrp::sdp::{Fingerprint, HashFunction};
///
/// let fingerprint = Fingerprint::new(HashFunction::Sha256, [0xab; 32])?;
/// assert!(fingerprint.to_string().starts_with("sha-256 AB:AB:"));
/// assert!(Fingerprint::new(HashFunction::Sha1, [0; 20]).is_err());
/// # Ok::<_, postroad_msrp::sdp::SdpError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    function: HashFunction,
    value: Vec<u8>,
}

/// The hash of a whole file, even where a part of it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileHash {
    function: HashFunction,
    value: Vec<u8>,
}

impl HashFunction {
    /// How many octets it gives, where that is known.
    #[must_use]
    pub fn size(&self) -> Option<usize> {
        Some(match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
            Self::Other(_) => return None,
        })
    }

    /// Whether a certificate may be known by it: SHA-256 and stronger ones.
    #[must_use]
    pub fn is_strong(&self) -> bool {
        *self >= Self::Sha256
    }
}

impl Fingerprint {
    /// A fingerprint to be sent.
    ///
    /// # Errors
    /// A function weaker than SHA-256, or a value that is not as long as the function has it.
    pub fn new(function: HashFunction, value: impl Into<Vec<u8>>) -> Result<Self, SdpError> {
        if !function.is_strong() {
            return Err(wrong(SdpErrorKind::Weak));
        }
        let value = checked(&function, value.into())?;
        Ok(Self { function, value })
    }

    /// The hash function.
    #[must_use]
    pub fn function(&self) -> &HashFunction {
        &self.function
    }

    /// The hash.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Those of the strongest function, of which a certificate has to match one (RFC 8122 5.1). There is none where all
    /// are weak: then no certificate is proved.
    pub fn strongest(all: &[Self]) -> impl Iterator<Item = &Self> {
        let best = all.iter().map(Self::function).filter(|function| function.is_strong()).max();
        all.iter().filter(move |one| Some(&one.function) == best)
    }
}

impl FileHash {
    /// The hash of a file.
    ///
    /// # Errors
    /// A value that is not as long as the function has it.
    pub fn new(function: HashFunction, value: impl Into<Vec<u8>>) -> Result<Self, SdpError> {
        let value = checked(&function, value.into())?;
        Ok(Self { function, value })
    }

    /// The hash function.
    #[must_use]
    pub fn function(&self) -> &HashFunction {
        &self.function
    }

    /// The hash.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

impl fmt::Display for HashFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
            Self::Other(name) => name,
        })
    }
}

impl FromStr for HashFunction {
    type Err = SdpError;

    fn from_str(name: &str) -> Result<Self, SdpError> {
        let name = name.to_ascii_lowercase();
        Ok(match name.as_str() {
            "sha-1" => Self::Sha1,
            "sha-224" => Self::Sha224,
            "sha-256" => Self::Sha256,
            "sha-384" => Self::Sha384,
            "sha-512" => Self::Sha512,
            other if !other.is_empty() && other.len() <= 64 && other.bytes().all(is_token) => Self::Other(other.into()),
            _ => return Err(wrong(SdpErrorKind::Hash)),
        })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.function)?;
        write_hex(&self.value, f)
    }
}

impl FromStr for Fingerprint {
    type Err = SdpError;

    fn from_str(text: &str) -> Result<Self, SdpError> {
        let (function, value) = parse(text, ' ')?;
        Ok(Self { function, value })
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.function)?;
        write_hex(&self.value, f)
    }
}

impl FromStr for FileHash {
    type Err = SdpError;

    fn from_str(text: &str) -> Result<Self, SdpError> {
        let (function, value) = parse(text, ':')?;
        Ok(Self { function, value })
    }
}

fn parse(text: &str, separator: char) -> Result<(HashFunction, Vec<u8>), SdpError> {
    let (function, value) = text.split_once(separator).ok_or_else(|| wrong(SdpErrorKind::Hash))?;
    let function: HashFunction = function.parse()?;
    let octet = |digits: &str| match digits.as_bytes() {
        [high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => u8::from_str_radix(digits, 16).ok(),
        _ => None,
    };
    let value: Option<Vec<u8>> = value.trim().split(':').take(MAX_HASH + 1).map(octet).collect();
    let value = checked(&function, value.ok_or_else(|| wrong(SdpErrorKind::Hash))?)?;
    Ok((function, value))
}

fn checked(function: &HashFunction, value: Vec<u8>) -> Result<Vec<u8>, SdpError> {
    match function.size() {
        Some(size) if size != value.len() => Err(wrong(SdpErrorKind::Hash)),
        _ if value.is_empty() || value.len() > MAX_HASH => Err(wrong(SdpErrorKind::Hash)),
        _ => Ok(value),
    }
}

fn write_hex(value: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (place, octet) in value.iter().enumerate() {
        if place > 0 {
            f.write_str(":")?;
        }
        write!(f, "{octet:02X}")?;
    }
    Ok(())
}
