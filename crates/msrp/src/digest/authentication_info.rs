//! `Authentication-Info`: what a relay tells a client that it has let in (RFC 4976 4.5).

use std::fmt;
use std::str::FromStr;

use super::params::{self, Parameter, Parameters, Writer};
use super::{AUTH, DigestError, DigestErrorKind, DigestValue};

/// The value of an `Authentication-Info` header. RFC 4976 9.1 has relays send all of it; those that exist leave some out.
///
/// ```
/// use postroad_msrp::digest::AuthenticationInfo;
///
/// let info: AuthenticationInfo = r#"nextnonce="40f2", qop=auth, cnonce="0a4f113b", nc=00000001"#.parse()?;
/// assert_eq!((info.next_nonce(), info.nonce_count()), (Some("40f2"), Some(1)));
/// # Ok::<_, postroad_msrp::digest::DigestError>(())
/// ```
#[doc(alias = "AuthenticationInfoHeader")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticationInfo {
    next_nonce: Option<String>,
    qop: bool,
    response_auth: Option<DigestValue>,
    cnonce: Option<String>,
    nonce_count: Option<u32>,
    others: Vec<Parameter>,
}

impl AuthenticationInfo {
    /// All that a relay has to tell (RFC 4976 9.1): its proof, with the `cnonce` and the count of the request that it is for.
    ///
    /// # Errors
    /// An empty `cnonce`, a count of 0, a control character, or a value longer than [`MAX_VALUE`](super::MAX_VALUE).
    pub fn new(proof: DigestValue, cnonce: impl Into<String>, nonce_count: u32) -> Result<Self, DigestError> {
        let cnonce = cnonce.into();
        params::check(&cnonce)?;
        for (name, wrong) in [("cnonce", cnonce.is_empty()), ("nc", nonce_count == 0)] {
            if wrong {
                return Err(DigestError::new(DigestErrorKind::Invalid(name), 0));
            }
        }
        let (response_auth, cnonce, nonce_count) = (Some(proof), Some(cnonce), Some(nonce_count));
        Ok(Self { next_nonce: None, qop: true, response_auth, cnonce, nonce_count, others: Vec::new() })
    }

    /// With the nonce for the client's next request.
    ///
    /// # Errors
    /// An empty nonce, a control character, or more than [`MAX_VALUE`](super::MAX_VALUE).
    pub fn with_next_nonce(mut self, nonce: impl Into<String>) -> Result<Self, DigestError> {
        let nonce = nonce.into();
        params::check(&nonce)?;
        if nonce.is_empty() {
            return Err(DigestError::new(DigestErrorKind::Invalid("nextnonce"), 0));
        }
        self.next_nonce = Some(nonce);
        Ok(self)
    }

    /// The nonce for the next request.
    #[doc(alias = "nextnonce")]
    #[must_use]
    pub fn next_nonce(&self) -> Option<&str> {
        self.next_nonce.as_deref()
    }

    /// Whether the quality of protection is named, which is `auth`.
    #[must_use]
    pub fn has_qop(&self) -> bool {
        self.qop
    }

    /// The relay's proof.
    #[doc(alias = "rspauth")]
    #[must_use]
    pub fn response_auth(&self) -> Option<&DigestValue> {
        self.response_auth.as_ref()
    }

    /// The client's nonce of the request that this is for.
    #[must_use]
    pub fn cnonce(&self) -> Option<&str> {
        self.cnonce.as_deref()
    }

    /// The count of the request that this is for, from 1 on.
    #[doc(alias = "nc")]
    #[must_use]
    pub fn nonce_count(&self) -> Option<u32> {
        self.nonce_count
    }

    /// The parameters that no standard for MSRP gives a meaning, in their order.
    pub fn others(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.others.iter().map(Parameter::name_and_value)
    }
}

impl fmt::Display for AuthenticationInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer::bare(f);
        writer.quoted("nextnonce", self.next_nonce())?;
        if self.qop {
            writer.plain("qop", AUTH)?;
        }
        if let Some(proof) = &self.response_auth {
            writer.quoted("rspauth", &*proof.to_string())?;
        }
        writer.quoted("cnonce", self.cnonce())?;
        if let Some(count) = self.nonce_count {
            writer.plain("nc", format_args!("{count:08x}"))?;
        }
        writer.others(&self.others)
    }
}

impl FromStr for AuthenticationInfo {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let mut parameters = Parameters::bare(text)?;
        let next_nonce = parameters.take("nextnonce").map(params::Found::not_empty).transpose()?;
        let qop = parameters.take("qop").map(|found| found.is_auth()).transpose()?.is_some();
        let response_auth = parameters.take("rspauth");
        let response_auth = response_auth.map(|found| found.value.parse().map_err(|_| found.invalid())).transpose()?;
        let cnonce = parameters.take("cnonce").map(params::Found::not_empty).transpose()?;
        let nonce_count = parameters.take("nc").map(|found| found.nonce_count()).transpose()?;
        Ok(Self { next_nonce, qop, response_auth, cnonce, nonce_count, others: parameters.rest() })
    }
}
