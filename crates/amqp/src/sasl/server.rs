//! The server's side of an exchange.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use zeroize::Zeroizing;

use super::mechanism::Mechanism;
use super::password_check::{PasswordAnswer, PasswordCheck};
use super::plain::Plain;
use super::prepare::prepare;
use super::scram::MAX_SALT;
use super::scram_message::{ClientFinal, ClientFirst, ServerFirst, server_final};
use super::tokens::{BearerFirst, Tokens};
use super::{DEFAULT_ITERATIONS, SaslError, ScramHash, ScramKeys};

/// The name of every client that came in by `ANONYMOUS`.
pub(super) const ANONYMOUS_USER: &str = "anonymous";

/// Where a server looks its users up. Called in the middle of an exchange: answer from memory.
pub trait Users: Send + Sync + fmt::Debug {
    /// The keys of a user for a hash; the name has gone through SASLprep.
    fn scram(&self, user: &str, hash: ScramHash) -> Option<ScramKeys>;

    /// Whether this is the user's password, as it was sent. Should take as long for unknown users as for known ones.
    fn check_plain(&self, user: &str, password: &str) -> bool;

    /// The hashes that every user has keys for; the mechanisms of the others are not offered. All by default.
    fn hashes(&self) -> &[ScramHash] {
        &ScramHash::STRONGEST_FIRST
    }

    /// What an unknown user's keys would look like. `pick` is a number that stands for the name, always the same.
    ///
    /// When users differ in iterations or in the length of their salts, pick among what they have, so that nobody finds
    /// out by asking which names exist.
    fn decoy(&self, hash: ScramHash, pick: u64) -> Decoy {
        let _ = (hash, pick);
        Decoy { iterations: DEFAULT_ITERATIONS, salt_len: 16 }
    }
}

/// What the first message to an unknown user looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoy {
    /// How many iterations it asks for.
    pub iterations: u32,
    /// How long its salt is, in bytes; at most 1024 are used.
    pub salt_len: usize,
}

/// What a server offers and whom it knows; shared by its connections.
///
/// Nothing is offered until it is asked for.
#[derive(Clone)]
pub struct ServerConfig {
    secret: Zeroizing<[u8; 32]>,
    users: Option<Arc<dyn Users>>,
    tokens: Option<Arc<dyn Tokens>>,
    anonymous: bool,
    plain_without_tls: bool,
    external: bool,
    allowed: Option<Vec<String>>,
}

impl ServerConfig {
    /// A server that knows nobody. From the secret come the salts that are shown for unknown users: it must be random,
    /// and should stay the same for as long as the users' salts do, since a salt that changes gives an unknown user away.
    pub fn new(secret: [u8; 32]) -> Self {
        Self {
            secret: Zeroizing::new(secret),
            users: None,
            tokens: None,
            anonymous: false,
            plain_without_tls: false,
            external: false,
            allowed: None,
        }
    }

    /// Offers SCRAM, and `PLAIN` under TLS, to these users.
    #[must_use]
    pub fn users(mut self, users: Arc<dyn Users>) -> Self {
        self.users = Some(users);
        self
    }

    /// Offers `OAUTHBEARER` under TLS, to whoever has a token that this takes. Whoever carries the messages has to take
    /// some kilobytes then.
    #[must_use]
    pub fn tokens(mut self, tokens: Arc<dyn Tokens>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Offers `ANONYMOUS`.
    #[must_use]
    pub const fn anonymous(mut self, yes: bool) -> Self {
        self.anonymous = yes;
        self
    }

    /// Offers `PLAIN` without TLS too, where anyone on the way can read the passwords.
    #[must_use]
    pub const fn plain_without_tls(mut self, yes: bool) -> Self {
        self.plain_without_tls = yes;
        self
    }

    /// Offers `EXTERNAL` to connections whose lower layer knows the client.
    #[must_use]
    pub const fn external(mut self, yes: bool) -> Self {
        self.external = yes;
        self
    }

    /// Offers these mechanisms at most, of those that are offered without it.
    #[must_use]
    pub fn allowed(mut self, mechanisms: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allowed = Some(mechanisms.into_iter().map(Into::into).collect());
        self
    }

    /// What is offered to a connection, strongest first. `secure` tells whether it is encrypted, `external` whom the
    /// layer below knows the client as.
    pub fn mechanisms(&self, secure: bool, external: Option<&str>) -> Vec<&'static str> {
        self.offered(secure, external).map(Mechanism::name).collect()
    }

    fn offered(&self, secure: bool, external: Option<&str>) -> impl Iterator<Item = Mechanism> {
        let allowed = |mechanism: &Mechanism| match &self.allowed {
            Some(allowed) => allowed.iter().any(|name| name == mechanism.name()),
            None => true,
        };
        Mechanism::ALL.into_iter().filter(allowed).filter(move |mechanism| match mechanism {
            Mechanism::External => self.external && external.is_some(),
            Mechanism::Scram(hash) => self.users.as_ref().is_some_and(|users| users.hashes().contains(hash)),
            Mechanism::Plain => self.users.is_some() && (secure || self.plain_without_tls),
            Mechanism::Anonymous => self.anonymous,
            Mechanism::OAuthBearer => self.tokens.is_some() && secure,
            // CRAM-MD5 wants the password itself at hand, and who knows XOAUTH2 knows its successor.
            Mechanism::CramMd5 | Mechanism::XOAuth2 => false,
        })
    }

    /// Octets that stand for a user and a purpose, and that nobody without the secret can foretell.
    fn derive(&self, purpose: &str, hash: ScramHash, user: &str) -> Zeroizing<Vec<u8>> {
        ScramHash::Sha512.hmac(&*self.secret, format!("{purpose}\0{hash}\0{user}").as_bytes())
    }

    /// Keys that no password fits, for a user who does not exist.
    fn decoy(&self, users: &dyn Users, hash: ScramHash, user: &str) -> Option<ScramKeys> {
        let pick = self.derive("pick", hash, user);
        let Decoy { iterations, salt_len } =
            users.decoy(hash, pick.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)));
        let mut salt = Vec::new();
        for block in 0.. {
            salt.extend_from_slice(&self.derive(&format!("salt {block}"), hash, user));
            if salt.len() >= salt_len.min(MAX_SALT) {
                break;
            }
        }
        salt.truncate(salt_len.clamp(1, MAX_SALT));
        let key = |purpose| self.derive(purpose, hash, user)[..hash.output_len()].to_vec();
        let iterations = iterations.clamp(hash.min_iterations(), super::MAX_ITERATIONS);
        ScramKeys::new(hash, iterations, salt, key("stored"), key("server")).ok()
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("users", &self.users)
            .field("tokens", &self.tokens)
            .field("anonymous", &self.anonymous)
            .field("plain_without_tls", &self.plain_without_tls)
            .field("external", &self.external)
            .field("allowed", &self.allowed)
            .finish_non_exhaustive()
    }
}

/// What a server does next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Send this challenge; a response comes.
    Challenge(Bytes),
    /// Run what [`Server::password_check`] gives, and say nothing until [`Server::password_checked`] tells what follows.
    /// Only where it was asked for by [`Server::deferred_checks`].
    CheckPassword,
    /// The client is who it says.
    Accepted {
        /// The user, prepared with SASLprep; "anonymous" for `ANONYMOUS`.
        user: String,
        /// The mechanism that was used: by it an anonymous client and a user of that name can be told apart.
        mechanism: &'static str,
        /// What to send along with the good news.
        additional: Option<Bytes>,
    },
    /// The client is refused. Tell it no more than that; the error is for the log.
    Refused(SaslError),
}

/// One exchange, as the server sees it: [`init`](Self::init), then [`response`](Self::response) after each challenge.
///
/// After it has accepted or refused, every further step is refused as `UnexpectedStep`.
pub struct Server {
    config: Arc<ServerConfig>,
    secure: bool,
    external: Option<String>,
    nonce: String,
    final_challenge: bool,
    deferred_checks: bool,
    state: State,
}

/// ```text
///  Idle --init--> Over
///       --init--> Proof --response--> Over
///                       --response--> Last --response--> Over     (final_challenge)
///       --init--> Told --response--> Over                         (a token that is not taken)
///       --init--> Asked --response--> as after init
///       --init--> Checking --password_checked--> Over             (deferred_checks)
/// ```
enum State {
    Idle,
    /// The client named a mechanism and said nothing: it was asked with an empty challenge (RFC 4422 5.1).
    Asked(Mechanism),
    /// The client was told what is wrong with its token; it has to answer before it can be refused (RFC 7628 3.2.3).
    Told,
    /// The server-first message was sent.
    Proof(Box<Proof>),
    /// A password was sent; somebody else checks it, as soon as the check is taken.
    Checking {
        check: Option<PasswordCheck>,
        authorization: Option<String>,
        user: String,
    },
    /// The signature was sent as a challenge; the client has to answer with nothing.
    Last {
        user: String,
        mechanism: &'static str,
    },
    Over,
}

struct Proof {
    keys: ScramKeys,
    known: bool,
    user: String,
    first: ClientFirst,
    nonce: String,
    server_first: String,
}

impl Server {
    /// An exchange on a connection. `secure` tells whether it is encrypted, `external` whom the layer below knows the
    /// client as. The nonce must be random and never be used again.
    pub fn new(config: Arc<ServerConfig>, secure: bool, external: Option<String>, nonce: [u8; 24]) -> Self {
        Self::with_nonce(config, secure, external, STANDARD.encode(nonce))
    }

    pub(super) const fn with_nonce(
        config: Arc<ServerConfig>,
        secure: bool,
        external: Option<String>,
        nonce: String,
    ) -> Self {
        Self { config, secure, external, nonce, final_challenge: false, deferred_checks: false, state: State::Idle }
    }

    /// Sends SCRAM's signature as a last challenge, for wire protocols whose outcome carries no additional data, such
    /// as AMQP 0-10. Off by default.
    #[must_use]
    pub const fn final_challenge(mut self, yes: bool) -> Self {
        self.final_challenge = yes;
        self
    }

    /// Leaves the check of a password that was sent as it is to the caller, by [`Step::CheckPassword`]: it takes
    /// milliseconds, which a thread with other clients should not spend on one that may be hostile. Off by default.
    #[must_use]
    pub const fn deferred_checks(mut self, yes: bool) -> Self {
        self.deferred_checks = yes;
        self
    }

    /// The check that [`Step::CheckPassword`] asks for, once.
    pub fn password_check(&mut self) -> Option<PasswordCheck> {
        match &mut self.state {
            State::Checking { check, .. } => check.take(),
            _ => None,
        }
    }

    /// Whether a password is being checked: nothing may come from the client meanwhile.
    #[must_use]
    pub const fn is_checking(&self) -> bool {
        matches!(self.state, State::Checking { .. })
    }

    /// The password was checked.
    pub fn password_checked(&mut self, answer: PasswordAnswer) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Checking { authorization, user, .. } => {
                checked(answer.fits(), authorization.as_deref(), user).unwrap_or_else(Step::Refused)
            }
            _ => Step::Refused(SaslError::UnexpectedStep),
        }
    }

    /// What is offered to this connection, strongest first.
    pub fn mechanisms(&self) -> Vec<&'static str> {
        self.config.mechanisms(self.secure, self.external.as_deref())
    }

    /// The client chose a mechanism, and perhaps said something already.
    pub fn init(&mut self, mechanism: &str, response: Option<&[u8]>) -> Step {
        let State::Idle = std::mem::replace(&mut self.state, State::Over) else {
            return Step::Refused(SaslError::UnexpectedStep);
        };
        let known = Mechanism::from_name(mechanism);
        let offered = |mechanism: &Mechanism| {
            self.config.offered(self.secure, self.external.as_deref()).any(|offered| offered == *mechanism)
        };
        match known.filter(offered) {
            Some(mechanism) => match response {
                // An absent response and an empty one are the same on some wires.
                None | Some([]) if !matches!(mechanism, Mechanism::External | Mechanism::Anonymous) => {
                    self.state = State::Asked(mechanism);
                    Step::Challenge(Bytes::new())
                }
                response => self.first(mechanism, response.unwrap_or_default()),
            },
            None if known == Some(Mechanism::Plain) && self.config.users.is_some() && !self.secure => {
                Step::Refused(SaslError::InsecureMechanism(Mechanism::Plain.name()))
            }
            None if known == Some(Mechanism::OAuthBearer) && self.config.tokens.is_some() && !self.secure => {
                Step::Refused(SaslError::InsecureMechanism(Mechanism::OAuthBearer.name()))
            }
            None => Step::Refused(SaslError::NoCommonMechanism {
                offered: self.mechanisms().into_iter().map(str::to_owned).collect(),
                hint: "choose one of the mechanisms that were offered",
            }),
        }
    }

    /// The client answered a challenge.
    pub fn response(&mut self, response: &[u8]) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Asked(mechanism) => self.first(mechanism, response),
            State::Told => Step::Refused(SaslError::AuthenticationFailed),
            State::Proof(proof) => self.proof(*proof, response).unwrap_or_else(Step::Refused),
            State::Last { user, mechanism } if response.is_empty() => {
                Step::Accepted { user, mechanism, additional: None }
            }
            State::Last { .. } => Step::Refused(SaslError::Malformed("SCRAM: more after the server's signature")),
            State::Idle | State::Checking { .. } | State::Over => Step::Refused(SaslError::UnexpectedStep),
        }
    }

    fn first(&mut self, mechanism: Mechanism, response: &[u8]) -> Step {
        if mechanism == Mechanism::OAuthBearer {
            return self.bearer(response).unwrap_or_else(Step::Refused);
        }
        let step = SaslError::check_length(response).and_then(|()| match mechanism {
            Mechanism::Anonymous => match str::from_utf8(response) {
                Ok(_trace) => Ok(accepted(ANONYMOUS_USER.to_owned(), mechanism)),
                Err(_) => Err(SaslError::Malformed("ANONYMOUS: not UTF-8")),
            },
            Mechanism::External => self.external(response),
            Mechanism::Plain => self.plain(response),
            Mechanism::Scram(hash) => self.scram(hash, response),
            Mechanism::CramMd5 | Mechanism::OAuthBearer | Mechanism::XOAuth2 => Err(SaslError::UnexpectedStep),
        });
        step.unwrap_or_else(Step::Refused)
    }

    fn external(&self, response: &[u8]) -> Result<Step, SaslError> {
        let user = self.external.clone().ok_or(SaslError::AuthenticationFailed)?;
        let authorization = str::from_utf8(response).map_err(|_| SaslError::Malformed("EXTERNAL: not UTF-8"))?;
        if authorization.is_empty() || authorization == user {
            Ok(accepted(user, Mechanism::External))
        } else {
            Err(SaslError::NotAuthorized)
        }
    }

    fn plain(&mut self, response: &[u8]) -> Result<Step, SaslError> {
        let plain = Plain::parse(response)?;
        let user = prepare(plain.user, "user name")?.to_string();
        let users = self.config.users.as_ref().ok_or(SaslError::AuthenticationFailed)?;
        if self.deferred_checks {
            let check = Some(PasswordCheck::new(Arc::clone(users), user.clone(), plain.password));
            let authorization = plain.authorization.map(str::to_owned);
            self.state = State::Checking { check, authorization, user };
            return Ok(Step::CheckPassword);
        }
        checked(users.check_plain(&user, plain.password), plain.authorization, user)
    }

    fn bearer(&mut self, response: &[u8]) -> Result<Step, SaslError> {
        let first = BearerFirst::parse(response)?;
        let tokens = self.config.tokens.as_ref().ok_or(SaslError::AuthenticationFailed)?;
        match tokens.check(first.token) {
            Ok(user) => {
                let user = prepare(&user, "user name")?;
                check_authorization(first.authorization.as_deref(), &user)?;
                Ok(accepted(user.to_string(), Mechanism::OAuthBearer))
            }
            Err(refusal) => {
                self.state = State::Told;
                Ok(Step::Challenge(Bytes::from(refusal.to_json())))
            }
        }
    }

    fn scram(&mut self, hash: ScramHash, response: &[u8]) -> Result<Step, SaslError> {
        let first = ClientFirst::parse(response)?;
        let user = prepare(&first.user, "user name")?.to_string();
        let users = self.config.users.as_deref().ok_or(SaslError::AuthenticationFailed)?;
        // The decoy is made for known users as well, to take the same time.
        let decoy = self.config.decoy(users, hash, &user);
        let found = users.scram(&user, hash).filter(|keys| keys.hash() == hash);
        let known = found.is_some();
        let keys = found.or(decoy).ok_or(SaslError::AuthenticationFailed)?;
        let nonce = format!("{}{}", first.nonce, self.nonce);
        let server_first =
            ServerFirst { nonce: nonce.clone(), salt: keys.salt().to_vec(), iterations: keys.iterations() }.encode();
        let challenge = Bytes::from(server_first.clone());
        self.state = State::Proof(Box::new(Proof { keys, known, user, first, nonce, server_first }));
        Ok(Step::Challenge(challenge))
    }

    fn proof(&mut self, state: Proof, response: &[u8]) -> Result<Step, SaslError> {
        let Proof { keys, known, user, first, nonce, server_first } = state;
        SaslError::check_length(response)?;
        let message = ClientFinal::parse(response)?;
        if message.nonce != nonce {
            return Err(SaslError::NonceMismatch);
        }
        if message.header != first.header.as_bytes() {
            return Err(SaslError::Malformed("SCRAM client-final: not the header of client-first"));
        }
        let auth_message = format!("{},{server_first},{}", first.bare, message.without_proof);
        let proven = keys.verify_proof(&message.proof, auth_message.as_bytes());
        if !(proven & known) {
            return Err(SaslError::AuthenticationFailed);
        }
        check_authorization(first.authorization.as_deref(), &user)?;
        let signature = Bytes::from(server_final(&keys.server_signature(auth_message.as_bytes())));
        let mechanism = keys.hash().mechanism();
        if self.final_challenge {
            self.state = State::Last { user, mechanism };
            return Ok(Step::Challenge(signature));
        }
        Ok(Step::Accepted { user, mechanism, additional: Some(signature) })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Idle => "idle",
            State::Asked(_) => "waiting for a first response",
            State::Told => "token refused",
            State::Proof(_) => "waiting for the proof",
            State::Checking { .. } => "checking a password",
            State::Last { .. } => "waiting for the last response",
            State::Over => "over",
        };
        f.debug_struct("Server").field("secure", &self.secure).field("state", &state).finish_non_exhaustive()
    }
}

const fn accepted(user: String, mechanism: Mechanism) -> Step {
    Step::Accepted { user, mechanism: mechanism.name(), additional: None }
}

/// The end of PLAIN.
fn checked(fits: bool, authorization: Option<&str>, user: String) -> Result<Step, SaslError> {
    if !fits {
        return Err(SaslError::AuthenticationFailed);
    }
    check_authorization(authorization, &user)?;
    Ok(accepted(user, Mechanism::Plain))
}

/// Nobody acts as another here.
fn check_authorization(authorization: Option<&str>, user: &str) -> Result<(), SaslError> {
    match authorization {
        Some(other) if *prepare(other, "authorization identity")? != user => Err(SaslError::NotAuthorized),
        _ => Ok(()),
    }
}
