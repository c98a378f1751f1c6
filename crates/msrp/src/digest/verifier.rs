//! The relay's side: challenges, and who has answered them.

use std::time::{Duration, Instant};

use super::authorization::METHOD;
use super::nonce::{Freshness, Nonces};
use super::{Algorithm, AuthenticationInfo, Authorization, Challenge, DigestError, DigestErrorKind, Ha1};
use crate::Uri;

/// What a relay checks the answers of its clients with.
///
/// Its nonces are bound to time and connection, and each count of a nonce is taken once. A challenge that nobody answers takes
/// no memory, and those that are answered rightly take as much as
/// [`with_capacity`](Self::with_capacity) allows. How many wrong answers a connection may give is the relay's to decide.
#[doc(alias = "AuthChallenger")]
#[derive(Debug)]
pub struct Verifier {
    realm: String,
    opaque: String,
    /// In the order of preference.
    algorithms: Vec<Algorithm>,
    nonces: Nonces,
}

/// Where a relay finds its users. A function from the user's name and an algorithm is one.
///
/// To an answer for a user who is not there, the relay does what it does to a wrong one, so that its time does not tell who is
/// there. It is for the implementation to find and to miss users in the same time: from kept [`Ha1`]s and not from passwords,
/// where it matters.
pub trait Users {
    /// What is kept of a user for this algorithm.
    fn ha1(&self, username: &str, algorithm: Algorithm) -> Option<Ha1>;

    /// Whether a user who has shown the password may use the relay (RFC 4976 6.3).
    fn may_use(&self, username: &str) -> bool {
        let _ = username;
        true
    }
}

impl<F: Fn(&str, Algorithm) -> Option<Ha1>> Users for F {
    fn ha1(&self, username: &str, algorithm: Algorithm) -> Option<Ha1> {
        self(username, algorithm)
    }
}

/// What an answer came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The rightmost URI of `To-Path`, to the letter (RFC 4976 9.1).
    pub uri: &'a str,
    /// Which connection it came over: a number that no other connection of this verifier has had.
    pub connection: u64,
}

/// A client that has shown who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    username: String,
    info: AuthenticationInfo,
}

impl Login {
    /// The user.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The value of `Authentication-Info` for the 200, with the relay's own proof and the nonce to refresh with.
    #[must_use]
    pub fn info(&self) -> &AuthenticationInfo {
        &self.info
    }
}

/// Why a client is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// 401, with these values of `WWW-Authenticate`, a line for each. Where they are [stale](Challenge::stale), the password was
    /// right and the client may be asked again without it counting as an attempt.
    #[error("no valid credentials")]
    Unauthorized(Vec<Challenge>),
    /// 403: the user is who it says, and may not use the relay.
    #[error("a user who may not use the relay")]
    Forbidden,
    /// 400: the URI in the answer is not that of `To-Path` (RFC 7616 3.4.6).
    #[error("the answer is for another URI")]
    WrongUri,
}

impl Refusal {
    /// The status code of the response.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Unauthorized(_) => 401,
            Self::Forbidden => 403,
            Self::WrongUri => 400,
        }
    }
}

impl Verifier {
    /// A verifier for a realm, often the host name of the relay (RFC 4976 5.1). It asks for MD5 and keeps nonces for 5 minutes.
    ///
    /// `key` is 32 random octets that no other verifier has or had: with an old key, old answers could be played back.
    ///
    /// # Errors
    /// A realm that is empty, has a control character or is longer than [`MAX_VALUE`](super::MAX_VALUE).
    pub fn new(realm: impl Into<String>, key: [u8; 32], now: Instant) -> Result<Self, DigestError> {
        let realm = realm.into();
        super::params::check(&realm)?;
        if realm.is_empty() {
            return Err(DigestError::new(DigestErrorKind::Invalid("realm"), 0));
        }
        let nonces = Nonces::new(key, now);
        // Nothing needs it here, but there are clients that need one in each challenge.
        let opaque: String = nonces.derive(b"opaque", b"")[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { realm, opaque, algorithms: vec![Algorithm::Md5], nonces })
    }

    /// With other algorithms, the preferred one first: a challenge for each. An empty list changes nothing.
    #[must_use]
    pub fn with_algorithms(mut self, algorithms: &[Algorithm]) -> Self {
        if !algorithms.is_empty() {
            self.algorithms.clear();
            for algorithm in algorithms {
                if !self.algorithms.contains(algorithm) {
                    self.algorithms.push(*algorithm);
                }
            }
        }
        self
    }

    /// With another time for which a nonce is good.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.nonces.lifetime = lifetime;
        self
    }

    /// With another number of nonces whose use is remembered, from 1 on; [`MAX_USED_NONCES`](super::MAX_USED_NONCES) tells what
    /// for.
    #[must_use]
    pub fn with_capacity(mut self, nonces: usize) -> Self {
        self.nonces.capacity = nonces.max(1);
        self
    }

    /// The realm, which users' hashes are made with.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The values of `WWW-Authenticate` for a 401 to a request without `Authorization`, a line for each.
    #[must_use]
    pub fn challenges(&mut self, connection: u64, now: Instant) -> Vec<Challenge> {
        self.ask(false, connection, now)
    }

    /// Checks an answer.
    ///
    /// # Errors
    /// What is to be answered to a client that is not let in.
    pub fn verify(
        &mut self,
        authorization: &Authorization,
        request: &Request<'_>,
        users: &(impl Users + ?Sized),
        now: Instant,
    ) -> Result<Login, Refusal> {
        let &Request { uri, connection } = request;
        if authorization.uri().is_some_and(|named| !is_same(named, uri)) {
            return Err(Refusal::WrongUri);
        }
        let algorithm = authorization.algorithm();
        if authorization.realm() != self.realm || !self.algorithms.contains(&algorithm) {
            return Err(self.unauthorized(false, connection, now));
        }
        let username = authorization.username();
        let known = users.ha1(username, algorithm).filter(|ha1| ha1.algorithm() == algorithm);
        let is_known = known.is_some();
        // Made in any case, and of what no user has: nobody can answer with it.
        let nobody = self.nobody(username, algorithm);
        let ha1 = known.unwrap_or(nobody);
        let exchange = authorization.exchange(uri);
        let is_right = ha1.response(METHOD, &exchange) == *authorization.response();
        if !is_right || !is_known {
            return Err(self.unauthorized(false, connection, now));
        }
        // Only who has the password hears that the nonce was stale (RFC 7616 3.3), and takes memory.
        match self.nonces.take(exchange.nonce, exchange.nonce_count, connection, now) {
            Freshness::Fresh => {}
            Freshness::Stale => return Err(self.unauthorized(true, connection, now)),
        }
        if !users.may_use(username) {
            return Err(Refusal::Forbidden);
        }
        let next = self.nonces.mint(connection, now);
        let info = AuthenticationInfo::new(ha1.response_auth(&exchange), exchange.cnonce, exchange.nonce_count)
            .and_then(|info| info.with_next_nonce(next))
            .expect("nonces were read from a header, or are digits");
        Ok(Login { username: username.to_owned(), info })
    }

    fn unauthorized(&mut self, stale: bool, connection: u64, now: Instant) -> Refusal {
        Refusal::Unauthorized(self.ask(stale, connection, now))
    }

    fn ask(&mut self, stale: bool, connection: u64, now: Instant) -> Vec<Challenge> {
        let nonce = self.nonces.mint(connection, now);
        let challenge = Challenge::new(&*self.realm, nonce)
            .and_then(|challenge| challenge.with_opaque(&*self.opaque))
            .expect("the realm was checked, the others are digits")
            .with_stale(stale);
        match &*self.algorithms {
            // Clients that know RFC 4976 only need not be told.
            [Algorithm::Md5] => vec![challenge],
            several => several.iter().map(|&algorithm| challenge.clone().with_algorithm(algorithm)).collect(),
        }
    }

    /// The hash of a user who is not there.
    fn nobody(&self, username: &str, algorithm: Algorithm) -> Ha1 {
        let hash = self.nonces.derive(b"nobody", username.as_bytes());
        Ha1::from_hash(algorithm, &hash[..algorithm.length()]).expect("the length is the algorithm's")
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn remembered(&self) -> usize {
        self.nonces.remembered()
    }
}

/// Whether a client means the URI that it has sent the request to.
fn is_same(named: &str, uri: &str) -> bool {
    named == uri || matches!((named.parse::<Uri>(), uri.parse::<Uri>()), (Ok(named), Ok(uri)) if named == uri)
}

#[cfg(test)]
mod tests;
