//! `Authorization`: what a client shows to a relay (RFC 4976 4.4).

use std::fmt;
use std::str::FromStr;

use super::algorithm::Exchange;
use super::challenge::algorithm;
use super::params::{self, Parameter, Parameters, Writer};
use super::{AUTH, Algorithm, Challenge, Credentials, DigestError, DigestErrorKind, DigestValue, Ha1};

/// The value of an `Authorization` header.
///
/// `qop` and `nc` are taken with quotes and without, and written without (RFC 4976 9.1); both have to be there, and `cnonce`
/// too.
///
/// ```
/// use postroad_msrp::digest::{Authorization, Challenge, Credentials};
///
/// let challenge: Challenge = r#"Digest realm="example.com", nonce="n0nce", qop="auth""#.parse()?;
/// let credentials = Credentials::new("alice", "wonderland")?;
/// let authorization = Authorization::answer(&challenge, &credentials, "msrps://relay.example.com;tcp", true, "c", 1)?;
/// assert_eq!(
///     authorization.to_string(),
///     "Digest username=\"alice\", realm=\"example.com\", nonce=\"n0nce\", uri=\"msrps://relay.example.com;tcp\", \
///      response=\"7f4f325df02b864d360b7be471670f7f\", cnonce=\"c\", qop=auth, nc=00000001"
/// );
/// # Ok::<_, postroad_msrp::digest::DigestError>(())
/// ```
#[doc(alias = "AuthorizationHeader")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    username: String,
    realm: String,
    nonce: String,
    uri: Option<String>,
    response: DigestValue,
    algorithm: Option<Algorithm>,
    cnonce: String,
    opaque: Option<String>,
    nonce_count: u32,
    others: Vec<Parameter>,
}

impl Authorization {
    /// The answer to a challenge: `uri` is the rightmost URI of `To-Path` as it is sent, which goes into the proof in any case
    /// and is named `with_uri` only. `cnonce` is random, `nonce_count` tells how often this nonce was used, from 1 on.
    ///
    /// A [`Client`](super::Client) counts by itself, and tries the other way to name the URI.
    ///
    /// # Errors
    /// An empty `cnonce`, a count of 0, a control character, or a value longer than [`MAX_VALUE`](super::MAX_VALUE).
    pub fn answer(
        challenge: &Challenge,
        credentials: &Credentials,
        uri: &str,
        with_uri: bool,
        cnonce: &str,
        nonce_count: u32,
    ) -> Result<Self, DigestError> {
        params::check(uri)?;
        params::check(cnonce)?;
        for (name, wrong) in [("cnonce", cnonce.is_empty()), ("nc", nonce_count == 0)] {
            if wrong {
                return Err(DigestError::new(DigestErrorKind::Invalid(name), 0));
            }
        }
        let (username, realm) = (credentials.username(), challenge.realm());
        let ha1 = Ha1::from_password(challenge.algorithm(), username, realm, credentials.password());
        let exchange = Exchange { nonce: challenge.nonce(), nonce_count, cnonce, uri };
        Ok(Self {
            username: username.to_owned(),
            realm: realm.to_owned(),
            nonce: challenge.nonce().to_owned(),
            uri: with_uri.then(|| uri.to_owned()),
            response: ha1.response(METHOD, &exchange),
            algorithm: challenge.named_algorithm(),
            cnonce: cnonce.to_owned(),
            opaque: challenge.opaque().map(str::to_owned),
            nonce_count,
            others: Vec::new(),
        })
    }

    /// Who the client says that it is.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The realm of the challenge.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The nonce of the challenge.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The URI of the relay, where it is named.
    #[must_use]
    pub fn uri(&self) -> Option<&str> {
        self.uri.as_deref()
    }

    /// The proof.
    #[must_use]
    pub fn response(&self) -> &DigestValue {
        &self.response
    }

    /// The algorithm: MD5 where none is named.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm.unwrap_or_default()
    }

    /// The client's own nonce.
    #[must_use]
    pub fn cnonce(&self) -> &str {
        &self.cnonce
    }

    /// What the challenge asked to have sent back.
    #[must_use]
    pub fn opaque(&self) -> Option<&str> {
        self.opaque.as_deref()
    }

    /// How often the client has used the nonce, this time included: from 1 on.
    #[doc(alias = "nc")]
    #[must_use]
    pub fn nonce_count(&self) -> u32 {
        self.nonce_count
    }

    /// The parameters that no standard for MSRP gives a meaning, in their order.
    pub fn others(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.others.iter().map(Parameter::name_and_value)
    }

    /// What both proofs are made of; `to` is the rightmost URI of `To-Path`, for clients that name none.
    pub(super) fn exchange<'a>(&'a self, to: &'a str) -> Exchange<'a> {
        let uri = self.uri().unwrap_or(to);
        Exchange { nonce: &self.nonce, nonce_count: self.nonce_count, cnonce: &self.cnonce, uri }
    }
}

impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer::of_scheme(f)?;
        writer.quoted("username", &*self.username)?;
        writer.quoted("realm", &*self.realm)?;
        writer.quoted("nonce", &*self.nonce)?;
        writer.quoted("uri", self.uri())?;
        writer.quoted("response", &*self.response.to_string())?;
        if let Some(algorithm) = self.algorithm {
            writer.plain("algorithm", algorithm)?;
        }
        writer.quoted("cnonce", &*self.cnonce)?;
        writer.quoted("opaque", self.opaque())?;
        writer.plain("qop", AUTH)?;
        writer.plain("nc", format_args!("{:08x}", self.nonce_count))?;
        writer.others(&self.others)
    }
}

impl FromStr for Authorization {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let mut parameters = Parameters::of_scheme(text)?;
        let username = parameters.require("username")?.value;
        let realm = parameters.require("realm")?.value;
        let nonce = parameters.require("nonce")?.not_empty()?;
        let uri = parameters.take("uri").map(|found| found.value);
        let algorithm = algorithm(&mut parameters)?;
        let found = parameters.require("response")?;
        let response: DigestValue = found.value.parse().map_err(|_| found.invalid())?;
        if !response.is_of(algorithm.unwrap_or_default()) {
            return Err(found.invalid());
        }
        // All three are optional in RFC 2617 and have to be there in MSRP (RFC 4976 9.1).
        parameters.require("qop")?.is_auth()?;
        let cnonce = parameters.require("cnonce")?.not_empty()?;
        let nonce_count = parameters.require("nc")?.nonce_count()?;
        let opaque = parameters.take("opaque").map(|found| found.value);
        let others = parameters.rest();
        Ok(Self { username, realm, nonce, uri, response, algorithm, cnonce, opaque, nonce_count, others })
    }
}

/// The one method that is authenticated (RFC 4976 9.1).
pub(super) const METHOD: &str = "AUTH";
