//! `WWW-Authenticate`: what a relay asks for (RFC 4976 4.3).

use std::fmt;
use std::str::FromStr;

use super::params::{self, Found, Parameter, Parameters, Quoted, Writer};
use super::{AUTH, Algorithm, DigestError, DigestErrorKind};

/// How many `WWW-Authenticate` lines of a response are looked at: a relay that sends more has nothing to say in them.
pub const MAX_CHALLENGES: usize = 8;

/// The value of a `WWW-Authenticate` header: a line holds one challenge.
///
/// `domain` counts for nothing in MSRP (RFC 4976 9.1): it is one of the parameters that are only kept.
///
/// ```
/// use postroad_msrp::digest::{Algorithm, Challenge, DigestErrorKind};
///
/// let challenge: Challenge = r#"Digest realm="example.com", qop="auth", nonce="dcd98b7102dd""#.parse()?;
/// assert_eq!((challenge.realm(), challenge.algorithm()), ("example.com", Algorithm::Md5));
/// assert_eq!(challenge.to_string(), r#"Digest realm="example.com", nonce="dcd98b7102dd", qop="auth""#);
///
/// let basic = r#"Basic realm="example.com""#.parse::<Challenge>();
/// assert_eq!(basic.map_err(|error| error.kind()), Err(DigestErrorKind::Scheme));
/// # Ok::<_, postroad_msrp::digest::DigestError>(())
/// ```
#[doc(alias = "WWWAuthenticateHeader")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    nonce: String,
    qop: Vec<Box<str>>,
    opaque: Option<String>,
    stale: bool,
    algorithm: Option<Algorithm>,
    others: Vec<Parameter>,
}

impl Challenge {
    /// A challenge for a realm, with `auth` as the one quality of protection.
    ///
    /// # Errors
    /// An empty nonce, a control character, or a value longer than [`MAX_VALUE`](super::MAX_VALUE).
    pub fn new(realm: impl Into<String>, nonce: impl Into<String>) -> Result<Self, DigestError> {
        let (realm, nonce) = (realm.into(), nonce.into());
        params::check(&realm)?;
        params::check(&nonce)?;
        if nonce.is_empty() {
            return Err(DigestError::new(DigestErrorKind::Invalid("nonce"), 0));
        }
        let qop = vec![AUTH.into()];
        Ok(Self { realm, nonce, qop, opaque: None, stale: false, algorithm: None, others: Vec::new() })
    }

    /// With a text that the client is to send back.
    ///
    /// # Errors
    /// A control character, or more than [`MAX_VALUE`](super::MAX_VALUE).
    pub fn with_opaque(mut self, opaque: impl Into<String>) -> Result<Self, DigestError> {
        let opaque = opaque.into();
        params::check(&opaque)?;
        self.opaque = Some(opaque);
        Ok(self)
    }

    /// With whether only the nonce was at fault before.
    #[must_use]
    pub fn with_stale(mut self, stale: bool) -> Self {
        self.stale = stale;
        self
    }

    /// With the algorithm named.
    #[must_use]
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = Some(algorithm);
        self
    }

    /// The first of the `WWW-Authenticate` values of a response that is understood, which RFC 7616 3.7 has a client take. Only
    /// the first [`MAX_CHALLENGES`] are looked at.
    ///
    /// # Errors
    /// What is wrong with the first, where none is understood; that the scheme is missing, where there is none.
    pub fn choose<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, DigestError> {
        let mut first = None;
        for value in values.into_iter().take(MAX_CHALLENGES) {
            match value.parse() {
                Ok(challenge) => return Ok(challenge),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| DigestError::new(DigestErrorKind::Scheme, 0)))
    }

    /// Where the password is good for: the realm.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// What the proof is to be made with.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The qualities of protection that are offered; `auth` is among them.
    pub fn qop(&self) -> impl ExactSizeIterator<Item = &str> {
        self.qop.iter().map(|qop| &**qop)
    }

    /// What is to be sent back, where there is something.
    #[must_use]
    pub fn opaque(&self) -> Option<&str> {
        self.opaque.as_deref()
    }

    /// Whether only the nonce was at fault: the same password with this nonce is right.
    #[must_use]
    pub fn stale(&self) -> bool {
        self.stale
    }

    /// The algorithm: MD5 where none is named.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm.unwrap_or_default()
    }

    /// The parameters that no standard for MSRP gives a meaning, in their order.
    pub fn others(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.others.iter().map(Parameter::name_and_value)
    }

    /// The same with another nonce, from a header value that was read.
    pub(super) fn with_nonce(&self, nonce: &str) -> Self {
        Self { nonce: nonce.to_owned(), stale: false, ..self.clone() }
    }

    /// The algorithm as it was named, to be named again.
    pub(super) fn named_algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer::of_scheme(f)?;
        writer.quoted("realm", &*self.realm)?;
        writer.quoted("nonce", &*self.nonce)?;
        // The list is quoted in a challenge, and nowhere else (RFC 4976 9.1).
        writer.plain("qop", Quoted(&self.qop.join(",")))?;
        writer.quoted("opaque", self.opaque())?;
        if self.stale {
            writer.plain("stale", true)?;
        }
        if let Some(algorithm) = self.algorithm {
            writer.plain("algorithm", algorithm)?;
        }
        writer.others(&self.others)
    }
}

impl FromStr for Challenge {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let mut parameters = Parameters::of_scheme(text)?;
        let realm = parameters.require("realm")?.value;
        let nonce = parameters.require("nonce")?.not_empty()?;
        let qop = qualities(&parameters.require("qop")?)?;
        let opaque = parameters.take("opaque").map(|found| found.value);
        // Anything but true means false (RFC 7616 3.3).
        let stale = parameters.take("stale").is_some_and(|found| found.value.eq_ignore_ascii_case("true"));
        let algorithm = algorithm(&mut parameters)?;
        Ok(Self { realm, nonce, qop, opaque, stale, algorithm, others: parameters.rest() })
    }
}

/// The algorithm, where one is named.
pub(super) fn algorithm(parameters: &mut Parameters) -> Result<Option<Algorithm>, DigestError> {
    let Some(found) = parameters.take("algorithm") else { return Ok(None) };
    found.value.parse().map(Some).map_err(|_| found.error(DigestErrorKind::Algorithm))
}

/// The list of what is offered, which has to have `auth` in it.
fn qualities(found: &Found) -> Result<Vec<Box<str>>, DigestError> {
    let list: Vec<Box<str>> = found.value.split(',').map(|qop| qop.trim().into()).collect();
    if list.iter().any(|qop| qop.is_empty()) {
        return Err(found.invalid());
    }
    if list.iter().any(|qop| qop.eq_ignore_ascii_case(AUTH)) {
        Ok(list)
    } else {
        Err(found.error(DigestErrorKind::Qop))
    }
}
