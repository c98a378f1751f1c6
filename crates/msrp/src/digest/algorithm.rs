//! The hashes of digest authentication and what they are made of (RFC 7616 3.4).

use std::fmt;
use std::str::FromStr;

use md5::{Digest, Md5};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::{AUTH, DigestError, DigestErrorKind};

/// A hash function that a relay may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Algorithm {
    /// MD5: the only one of RFC 4976, and meant where none is named.
    #[default]
    Md5,
    /// SHA-256 (RFC 7616), for relays that know it.
    Sha256,
}

impl Algorithm {
    /// The name as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// How many octets a hash has.
    pub(super) const fn length(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha256 => 32,
        }
    }

    /// The hash of parts with a colon between any two.
    fn hash(self, parts: &[&[u8]]) -> DigestValue {
        match self {
            Self::Md5 => DigestValue::from_bytes(&colons(Md5::new(), parts)),
            Self::Sha256 => DigestValue::from_bytes(&colons(Sha256::new(), parts)),
        }
        .expect("both lengths are known")
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    /// Reads a name without regard to case.
    fn from_str(name: &str) -> Result<Self, DigestError> {
        [Self::Md5, Self::Sha256]
            .into_iter()
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| DigestError::new(DigestErrorKind::Algorithm, 0))
    }
}

/// A hash in a header value: of 16 octets or of 32, as the algorithm has it.
///
/// It is written in lower-case hexadecimal and compared in constant time. `Debug` does not show it, because whoever has one can
/// look for the password.
#[derive(Clone, Eq)]
pub struct DigestValue {
    length: u8,
    bytes: [u8; Self::MAX],
}

impl DigestValue {
    const MAX: usize = 32;

    /// The hash that these octets are; nothing unless they are 16 or 32.
    #[must_use]
    pub fn from_bytes(hash: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        let (length @ (16 | 32), Some(place)) = (hash.len(), bytes.get_mut(..hash.len())) else { return None };
        place.copy_from_slice(hash);
        Some(Self { length: length as u8, bytes })
    }

    /// Its octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Whether the algorithm makes hashes of this length.
    pub(super) fn is_of(&self, algorithm: Algorithm) -> bool {
        usize::from(self.length) == algorithm.length()
    }

    fn hex(&self) -> Hex {
        let mut hex = Hex { length: 2 * usize::from(self.length), digits: [0; 64] };
        for (pair, byte) in hex.digits.chunks_exact_mut(2).zip(self.as_bytes()) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
        }
        hex
    }
}

impl PartialEq for DigestValue {
    fn eq(&self, other: &Self) -> bool {
        (self.length.ct_eq(&other.length) & self.bytes.ct_eq(&other.bytes)).into()
    }
}

impl fmt::Display for DigestValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = self.hex();
        f.write_str(std::str::from_utf8(hex.as_bytes()).expect("digits are ASCII"))
    }
}

impl fmt::Debug for DigestValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl FromStr for DigestValue {
    type Err = DigestError;

    /// Reads 32 or 64 hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let error = |offset| DigestError::new(DigestErrorKind::Invalid("response"), offset);
        let mut bytes = [0; Self::MAX];
        for (offset, digit) in text.chars().enumerate() {
            // All before it were ASCII, so that characters are octets.
            let value = digit.to_digit(16).ok_or_else(|| error(offset))?;
            let byte = bytes.get_mut(offset / 2).ok_or_else(|| error(offset))?;
            *byte = *byte << 4 | value as u8;
        }
        match text.len() {
            32 | 64 => Ok(Self { length: (text.len() / 2) as u8, bytes }),
            length => Err(error(length)),
        }
    }
}

impl Zeroize for DigestValue {
    fn zeroize(&mut self) {
        self.bytes.zeroize();
    }
}

/// What a relay keeps of a user in place of the password: the hash of `user:realm:password` (RFC 7616 3.4.2, A1).
///
/// Within its realm it is as good as the password. It is wiped on drop, printed as `[redacted]` and compared in constant time.
#[doc(alias = "HA1")]
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1 {
    algorithm: Algorithm,
    value: DigestValue,
}

impl Ha1 {
    /// Of a password that is at hand.
    #[must_use]
    pub fn from_password(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> Self {
        let value = algorithm.hash(&[username.as_bytes(), realm.as_bytes(), password.as_bytes()]);
        Self { algorithm, value }
    }

    /// Of a hash that was kept; nothing unless it has the length of the algorithm's.
    #[must_use]
    pub fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Option<Self> {
        let value = DigestValue::from_bytes(hash).filter(|value| value.is_of(algorithm))?;
        Some(Self { algorithm, value })
    }

    /// Of a hash that was kept in hexadecimal, as `htdigest` files have it.
    ///
    /// # Errors
    /// What is not hexadecimal, or has not the length of the algorithm's hashes.
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Result<Self, DigestError> {
        let error = |offset| DigestError::new(DigestErrorKind::Invalid("HA1"), offset);
        let value: DigestValue = hex.parse().map_err(|wrong: DigestError| error(wrong.offset()))?;
        if value.is_of(algorithm) { Ok(Self { algorithm, value }) } else { Err(error(hex.len())) }
    }

    /// The algorithm that it was made with, and that it is good for.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash itself, to be kept.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.value.as_bytes()
    }

    /// What a client proves itself by: `response`.
    pub(super) fn response(&self, method: &str, exchange: &Exchange<'_>) -> DigestValue {
        self.prove(method, exchange)
    }

    /// What a relay proves itself by: `rspauth`, for which A2 has no method (RFC 7616 3.5).
    pub(super) fn response_auth(&self, exchange: &Exchange<'_>) -> DigestValue {
        self.prove("", exchange)
    }

    fn prove(&self, method: &str, exchange: &Exchange<'_>) -> DigestValue {
        let Exchange { nonce, nonce_count, cnonce, uri } = *exchange;
        let a2 = self.algorithm.hash(&[method.as_bytes(), uri.as_bytes()]).hex();
        let mut a1 = self.value.hex();
        let count = format!("{nonce_count:08x}");
        let [nonce, count, cnonce] = [nonce, &count, cnonce].map(str::as_bytes);
        let proof = self.algorithm.hash(&[a1.as_bytes(), nonce, count, cnonce, AUTH.as_bytes(), a2.as_bytes()]);
        a1.digits.zeroize();
        proof
    }
}

impl Drop for Ha1 {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ha1({}, [redacted])", self.algorithm)
    }
}

/// What both ends put into their proofs besides the password.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange<'a> {
    pub(super) nonce: &'a str,
    pub(super) nonce_count: u32,
    pub(super) cnonce: &'a str,
    /// The rightmost URI of To-Path (RFC 4976 9.1).
    pub(super) uri: &'a str,
}

struct Hex {
    length: usize,
    digits: [u8; 64],
}

impl Hex {
    fn as_bytes(&self) -> &[u8] {
        &self.digits[..self.length]
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn colons<D: Digest>(mut hash: D, parts: &[&[u8]]) -> impl AsRef<[u8]> + std::ops::Deref<Target = [u8]> {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    hash.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2617 3.5, which RFC 4976 5.1 prints again as if it were of its own exchange.
    #[test]
    fn r52_the_example_of_rfc_2617() {
        let ha1 = Ha1::from_password(Algorithm::Md5, "Mufasa", "testrealm@host.com", "Circle Of Life");
        assert_eq!(Ha1::from_hex(Algorithm::Md5, "939e7578ed9e3c518a452acee763bce9").as_ref(), Ok(&ha1));
        let exchange = Exchange {
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            nonce_count: 1,
            cnonce: "0a4f113b",
            uri: "/dir/index.html",
        };
        assert_eq!(ha1.response("GET", &exchange).to_string(), "6629fae49393a05397450978507c4ef1");
    }

    /// RFC 7616 3.9.1.
    #[test]
    fn r52_the_examples_of_rfc_7616() {
        let exchange = Exchange {
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            nonce_count: 1,
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            uri: "/dir/index.html",
        };
        for (algorithm, response) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let ha1 = Ha1::from_password(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life");
            assert_eq!(ha1.response("GET", &exchange).to_string(), response);
        }
    }

    #[test]
    fn r52_names_of_algorithms() {
        assert_eq!(("md5".parse(), "sha-256".parse()), (Ok(Algorithm::Md5), Ok(Algorithm::Sha256)));
        for name in ["MD5-sess", "SHA-256-sess", "SHA-512-256", "", "MD5 "] {
            let error = name.parse::<Algorithm>().unwrap_err();
            assert_eq!((error.kind(), error.offset()), (DigestErrorKind::Algorithm, 0), "{name}");
        }
    }

    #[test]
    fn r64_hashes_are_compared_as_wholes_and_not_shown() {
        let hex = "6629fae49393a05397450978507c4ef1";
        let value: DigestValue = hex.parse().unwrap();
        assert_eq!(value, hex.to_uppercase().parse().unwrap());
        assert_eq!(value.to_string(), hex);
        assert_eq!(DigestValue::from_bytes(value.as_bytes()), Some(value.clone()));
        // A longer one that begins so, with nothing but zeros behind it, is another one.
        assert_ne!(value, format!("{hex}{}", "0".repeat(32)).parse().unwrap());
        for index in 0..32 {
            let mut other = hex.to_owned().into_bytes();
            other[index] = if other[index] == b'0' { b'1' } else { b'0' };
            assert_ne!(value, std::str::from_utf8(&other).unwrap().parse().unwrap(), "{index}");
        }
        let ha1 = Ha1::from_hex(Algorithm::Md5, hex).unwrap();
        assert_eq!(format!("{value:?} {ha1:?}"), "[redacted] Ha1(MD5, [redacted])");
    }

    #[test]
    fn r52_what_is_no_hash() {
        let at = |text: &str| text.parse::<DigestValue>().unwrap_err().offset();
        assert_eq!(at(""), 0);
        assert_eq!(at(&"0".repeat(31)), 31);
        assert_eq!(at(&"0".repeat(33)), 33);
        assert_eq!(at(&"0".repeat(65)), 64);
        assert_eq!(at("6629fae49393g053"), 12);
        assert_eq!(at("+6"), 0);
        assert_eq!(at("é"), 0);
        assert_eq!(DigestValue::from_bytes(&[0; 20]), None);
        assert_eq!(DigestValue::from_bytes(&[0; 33]), None);
        assert_eq!(Ha1::from_hash(Algorithm::Sha256, &[0; 16]), None);
        assert_eq!(Ha1::from_hash(Algorithm::Sha256, &[1; 32]).unwrap().expose(), [1; 32]);
        let error = Ha1::from_hex(Algorithm::Sha256, &"0".repeat(32)).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (DigestErrorKind::Invalid("HA1"), 32));
    }
}
