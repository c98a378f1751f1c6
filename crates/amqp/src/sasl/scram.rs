//! The hashes and keys of SCRAM (RFC 5802 2.2 and 3, RFC 7677).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::SaslError;
use super::prepare::prepare;

/// The iterations of keys that are derived here: what RFC 7677 4 asks for at least.
pub const DEFAULT_ITERATIONS: u32 = 4096;

/// The most iterations that a client derives or a key may have: a server must not make a client compute for minutes.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// The longest salt, in bytes. Its base64 has to fit a message.
pub(super) const MAX_SALT: usize = 1024;

/// A hash that SCRAM is defined for, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScramHash {
    /// `SCRAM-SHA-1` (RFC 5802).
    Sha1,
    /// `SCRAM-SHA-256` (RFC 7677).
    Sha256,
    /// `SCRAM-SHA-512`, as deployed.
    Sha512,
}

impl ScramHash {
    /// Every hash, strongest first.
    pub const STRONGEST_FIRST: [Self; 3] = [Self::Sha512, Self::Sha256, Self::Sha1];

    /// The name of the mechanism.
    pub const fn mechanism(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// The hash of the mechanism of a name.
    pub fn from_mechanism(name: &str) -> Option<Self> {
        Self::STRONGEST_FIRST.into_iter().find(|hash| hash.mechanism() == name)
    }

    /// The length of a key or proof, in bytes.
    pub const fn output_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The fewest iterations that are taken.
    ///
    /// A client's proof lets whoever plays the server guess passwords offline, at the price of so many iterations a
    /// guess. RFC 7677 4 asks for 4096 at least; RFC 5802 5.1 says only what servers should do, and some old ones have
    /// fewer.
    pub const fn min_iterations(self) -> u32 {
        match self {
            Self::Sha1 => 1000,
            Self::Sha256 | Self::Sha512 => 4096,
        }
    }

    pub(super) fn check_iterations(self, count: u32) -> Result<(), SaslError> {
        let min = self.min_iterations();
        if (min..=MAX_ITERATIONS).contains(&count) { Ok(()) } else { Err(SaslError::IterationCount { count, min }) }
    }

    pub(super) fn digest(self, data: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Sha1 => Sha1::digest(data).to_vec(),
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        })
    }

    pub(super) fn hmac(self, key: &[u8], data: &[u8]) -> Zeroizing<Vec<u8>> {
        const ANY_LENGTH: &str = "HMAC takes keys of any length";
        Zeroizing::new(match self {
            Self::Sha1 => {
                Hmac::<Sha1>::new_from_slice(key).expect(ANY_LENGTH).chain_update(data).finalize().into_bytes().to_vec()
            }
            Self::Sha256 => Hmac::<Sha256>::new_from_slice(key)
                .expect(ANY_LENGTH)
                .chain_update(data)
                .finalize()
                .into_bytes()
                .to_vec(),
            Self::Sha512 => Hmac::<Sha512>::new_from_slice(key)
                .expect(ANY_LENGTH)
                .chain_update(data)
                .finalize()
                .into_bytes()
                .to_vec(),
        })
    }

    /// `SaltedPassword`, of a password that is prepared.
    pub(super) fn salted(self, prepared: &str, salt: &[u8], iterations: u32) -> Salted {
        let mut key = Zeroizing::new(vec![0; self.output_len()]);
        let password = prepared.as_bytes();
        match self {
            Self::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut key),
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut key),
            Self::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut key),
        }
        Salted { hash: self, key }
    }
}

impl fmt::Display for ScramHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mechanism())
    }
}

/// `SaltedPassword`, from which every key comes.
pub(super) struct Salted {
    hash: ScramHash,
    key: Zeroizing<Vec<u8>>,
}

impl Salted {
    pub(super) fn client_key(&self) -> Zeroizing<Vec<u8>> {
        self.hash.hmac(&self.key, b"Client Key")
    }

    pub(super) fn stored_key(&self) -> Zeroizing<Vec<u8>> {
        self.hash.digest(&self.client_key())
    }

    pub(super) fn server_key(&self) -> Zeroizing<Vec<u8>> {
        self.hash.hmac(&self.key, b"Server Key")
    }
}

/// Both operands have the hash's length.
pub(super) fn xor(one: &[u8], other: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(one.iter().zip(other).map(|(one, other)| one ^ other).collect())
}

/// What a server keeps of a user's password for one hash: enough to check a proof, not enough to make one.
///
/// Wiped on drop; `Debug` shows neither key.
#[derive(Clone)]
pub struct ScramKeys {
    hash: ScramHash,
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Zeroizing<Vec<u8>>,
    server_key: Zeroizing<Vec<u8>>,
}

impl ScramKeys {
    /// Takes keys that were derived before.
    ///
    /// # Errors
    /// `IterationCount` below the hash's minimum or above [`MAX_ITERATIONS`]; `Malformed` for an empty or oversized
    /// salt, or keys that are not of the hash's length.
    pub fn new(
        hash: ScramHash,
        iterations: u32,
        salt: impl Into<Vec<u8>>,
        stored_key: impl Into<Vec<u8>>,
        server_key: impl Into<Vec<u8>>,
    ) -> Result<Self, SaslError> {
        let (salt, stored_key, server_key) =
            (salt.into(), Zeroizing::new(stored_key.into()), Zeroizing::new(server_key.into()));
        hash.check_iterations(iterations)?;
        if salt.is_empty() || salt.len() > MAX_SALT {
            return Err(SaslError::Malformed("SCRAM keys: salt is empty or too long"));
        }
        if stored_key.len() != hash.output_len() || server_key.len() != hash.output_len() {
            return Err(SaslError::Malformed("SCRAM keys: stored or server key is not as long as the hash"));
        }
        Ok(Self { hash, iterations, salt, stored_key, server_key })
    }

    /// Derives keys from a password. This takes a millisecond or so for each 4096 iterations.
    ///
    /// # Errors
    /// As [`ScramKeys::new`], and `Prep` for a password that SASLprep refuses.
    pub fn derive(
        hash: ScramHash,
        password: &str,
        iterations: u32,
        salt: impl Into<Vec<u8>>,
    ) -> Result<Self, SaslError> {
        let salt = salt.into();
        hash.check_iterations(iterations)?;
        let salted = hash.salted(&prepare(password, "password")?, &salt, iterations);
        Self::new(hash, iterations, salt, salted.stored_key().to_vec(), salted.server_key().to_vec())
    }

    /// Reads the text form of RFC 5803 3, which PostgreSQL keeps too:
    /// `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`, binaries in base64.
    ///
    /// # Errors
    /// As [`ScramKeys::new`], and `Malformed` for another form or hash.
    pub fn from_rfc5803(text: &str) -> Result<Self, SaslError> {
        const FORM: SaslError = SaslError::Malformed("SCRAM keys: not `mechanism$iterations:salt$stored:server`");
        let mut parts = text.split('$');
        let (Some(mechanism), Some(info), Some(value), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(FORM);
        };
        let hash = ScramHash::from_mechanism(mechanism).ok_or(SaslError::Malformed("SCRAM keys: unknown mechanism"))?;
        let (iterations, salt) = info.split_once(':').ok_or(FORM)?;
        let (stored, server) = value.split_once(':').ok_or(FORM)?;
        let iterations = parse_iterations(iterations).ok_or(FORM)?;
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| FORM);
        Self::new(hash, iterations, decode(salt)?, decode(stored)?, decode(server)?)
    }

    /// The text form that [`ScramKeys::from_rfc5803`] reads. Keep it like a password: it lets others guess it offline.
    pub fn to_rfc5803(&self) -> String {
        let [salt, stored, server] =
            [&self.salt, &*self.stored_key, &*self.server_key].map(|bytes| STANDARD.encode(bytes));
        format!("{}${}:{salt}${stored}:{server}", self.hash, self.iterations)
    }

    /// The hash of these keys.
    pub const fn hash(&self) -> ScramHash {
        self.hash
    }

    /// How often the password was hashed.
    pub const fn iterations(&self) -> u32 {
        self.iterations
    }

    /// What the password was hashed with.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Derives keys from a password as it was sent and compares them, in constant time.
    ///
    /// False as well for a password that SASLprep refuses.
    pub fn verify_password(&self, password: &str) -> bool {
        let Ok(password) = prepare(password, "password") else { return false };
        let stored_key = self.hash.salted(&password, &self.salt, self.iterations).stored_key();
        stored_key.ct_eq(&self.stored_key).into()
    }

    /// Checks a client's proof over an exchange, in constant time (RFC 5802 3).
    pub(super) fn verify_proof(&self, proof: &[u8], auth_message: &[u8]) -> bool {
        let signature = self.hash.hmac(&self.stored_key, auth_message);
        proof.len() == signature.len() && self.hash.digest(&xor(proof, &signature)).ct_eq(&self.stored_key).into()
    }

    /// What shows a client that the server knows these keys.
    pub(super) fn server_signature(&self, auth_message: &[u8]) -> Zeroizing<Vec<u8>> {
        self.hash.hmac(&self.server_key, auth_message)
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// A positive decimal without leading zero, sign or blank (RFC 5802 7, `posit-number`).
pub(super) fn parse_iterations(text: &str) -> Option<u32> {
    let digits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && !text.starts_with('0') { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of RFC 7677 3's exchange, computed with another implementation of PBKDF2.
    const PENCIL: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn keys_survive_their_text_form_and_equal_another_implementations() {
        let keys = ScramKeys::from_rfc5803(PENCIL).unwrap();
        assert_eq!((keys.hash(), keys.iterations(), keys.salt().len()), (ScramHash::Sha256, 4096, 16));
        assert_eq!(keys.to_rfc5803(), PENCIL);
        assert_eq!(ScramKeys::derive(ScramHash::Sha256, "pencil", 4096, keys.salt()).unwrap().to_rfc5803(), PENCIL);
        assert!(keys.verify_password("pencil"));
        assert!(!keys.verify_password("pencils"));
        assert!(!keys.verify_password("\u{7}"));
        let printed = format!("{keys:?}");
        assert!(!printed.contains("stored") && !printed.contains("salt"), "{printed}");
    }

    #[test]
    fn text_forms_that_are_cut_or_changed_are_refused() {
        for end in 0..PENCIL.len() {
            assert!(ScramKeys::from_rfc5803(&PENCIL[..end]).is_err(), "{}", &PENCIL[..end]);
        }
        for (from, to) in [
            ("SCRAM-SHA-256", "SCRAM-SHA-512"),
            ("SCRAM-SHA-256", "SCRAM-SHA-224"),
            ("4096", "04096"),
            ("4096", "+4096"),
            ("4096", ""),
            ("4096", "4294967296"),
            (":W22ZaJ0SNY7soEsUEjb6gQ==", ":"),
            ("==$", "$"),
            ("gQ==", "g?=="),
            ("2dU=", "2dU=$"),
        ] {
            assert!(PENCIL.contains(from));
            let text = PENCIL.replacen(from, to, 1);
            assert!(matches!(ScramKeys::from_rfc5803(&text).err(), Some(SaslError::Malformed(_))), "{text}");
        }
        assert_eq!(
            ScramKeys::from_rfc5803(&PENCIL.replace("4096", "4095")).err(),
            Some(SaslError::IterationCount { count: 4095, min: 4096 })
        );
    }

    #[test]
    fn iterations_have_bounds_on_both_sides() {
        for (hash, min) in [(ScramHash::Sha1, 1000), (ScramHash::Sha256, 4096), (ScramHash::Sha512, 4096)] {
            assert_eq!(hash.check_iterations(min), Ok(()));
            assert_eq!(hash.check_iterations(MAX_ITERATIONS), Ok(()));
            for count in [0, min - 1, MAX_ITERATIONS + 1, u32::MAX] {
                assert_eq!(hash.check_iterations(count), Err(SaslError::IterationCount { count, min }));
            }
        }
    }
}
