//! The client's side of an exchange.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::bearer::Bearer;
use super::cram_md5::CramMd5;
use super::mechanism::Mechanism;
use super::plain::Plain;
use super::prepare::prepare;
use super::scram::xor;
use super::scram_message::{ClientFinal, ClientFirst, ServerFirst, parse_server_final, utf8};
use super::{Credentials, SaslError, ScramHash, Secret};

/// The longest trace, in characters (RFC 4505 2).
const MAX_TRACE: usize = 255;

/// One exchange, as the client sees it: [`start`](Self::start), then [`challenge`](Self::challenge) for each challenge,
/// then [`finish`](Self::finish) when the server says that all is well.
///
/// After an error the exchange is over and every further step is `UnexpectedStep`.
pub struct Client {
    credentials: Credentials,
    nonce: String,
    allowed: Option<Vec<String>>,
    allow_insecure: bool,
    state: State,
}

/// What a client says first.
#[derive(Clone, PartialEq, Eq)]
pub struct Init {
    /// The mechanism that the client chose.
    pub mechanism: &'static str,
    /// The initial response. It is there, though it may be empty, wherever the mechanism starts with the client:
    /// RabbitMQ does not take an init without one. `CRAM-MD5` starts with the server.
    ///
    /// With `PLAIN` it holds the password, with `OAUTHBEARER` and `XOAUTH2` the token, and its buffer is wiped when the
    /// last clone is dropped.
    pub response: Option<Bytes>,
}

/// ```text
///  Idle --start--> Sent ------------------------------finish--> Over
///       --start--> Asking --challenge--> Sent
///       --start--> Token ------------------------------finish--> Over
///                  Token --challenge--> Refused
///       --start--> First --challenge--> Final --finish(data)--> Over
///                                       Final --challenge--> Verified --finish--> Over
/// ```
enum State {
    Idle,
    /// All was said.
    Sent,
    /// The server has to pose a challenge first.
    Asking(CramMd5),
    /// The token was sent; a challenge is a report of what is wrong with it.
    Token(Bearer),
    /// The report was answered: all that can follow is a bad end.
    Refused {
        report: String,
    },
    /// The client-first message was sent.
    First {
        hash: ScramHash,
        first: ClientFirst,
        password: Secret,
    },
    /// The proof was sent; the server has to show this signature.
    Final {
        signature: Zeroizing<Vec<u8>>,
    },
    /// The server has shown its signature.
    Verified,
    Over,
}

impl Client {
    /// An exchange for these credentials. The nonce must be random and never be used again.
    pub fn new(credentials: Credentials, nonce: [u8; 24]) -> Self {
        Self::with_nonce(credentials, STANDARD.encode(nonce))
    }

    pub(super) const fn with_nonce(credentials: Credentials, nonce: String) -> Self {
        Self { credentials, nonce, allowed: None, allow_insecure: false, state: State::Idle }
    }

    /// Restricts the mechanisms to these, in any order and case. Without this all that fit the credentials are used.
    #[must_use]
    pub fn allowed(mut self, mechanisms: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allowed = Some(mechanisms.into_iter().map(Into::into).collect());
        self
    }

    /// Allows `PLAIN`, `CRAM-MD5`, `OAUTHBEARER` and `XOAUTH2` on a connection without TLS, where anyone on the way can
    /// read the password or token, or what it takes to guess it. Off by default.
    #[must_use]
    pub const fn allow_insecure(mut self, yes: bool) -> Self {
        self.allow_insecure = yes;
        self
    }

    /// Chooses the strongest mechanism that both sides know, and says what to send. `secure` tells whether the
    /// connection is encrypted.
    ///
    /// SCRAM stands before `CRAM-MD5` and that before `PLAIN`, and among SCRAM the longer hash before the shorter.
    /// `CRAM-MD5` cannot carry an authorization identity, so it is left out where there is one. `OAUTHBEARER` stands
    /// before `XOAUTH2`.
    ///
    /// # Errors
    /// `NoCommonMechanism`; `InsecureMechanism` when only one of those that need TLS is left and the connection is not
    /// encrypted; `Prep`, `Token` or `TooLong` for credentials that the mechanism cannot carry; `UnexpectedStep` at a
    /// second call.
    pub fn start(&mut self, offered: &[&str], secure: bool) -> Result<Init, SaslError> {
        let State::Idle = std::mem::replace(&mut self.state, State::Over) else {
            return Err(SaslError::UnexpectedStep);
        };
        let mechanism = self.choose(offered, secure)?;
        // From here on nothing but the state keeps the password.
        let credentials = std::mem::replace(&mut self.credentials, Credentials::anonymous());
        let (state, response) = match (mechanism, credentials) {
            (Mechanism::Scram(hash), Credentials::Password { user, password, authorization }) => {
                let user = prepare(&user, "user name")?;
                prepare(password.expose(), "password")?;
                let authorization = authorization.map(|text| prepare(&text, "authorization identity")).transpose()?;
                let authorization = authorization.as_ref().map(|text| text.as_str());
                let first = ClientFirst::new(&user, authorization, &self.nonce);
                let response = Bytes::from(first.encode());
                SaslError::check_length(&response)?;
                (State::First { hash, first, password }, Some(response))
            }
            (Mechanism::CramMd5, Credentials::Password { user, password, .. }) => {
                (State::Asking(CramMd5::new(user, password)?), None)
            }
            (_, Credentials::Password { user, password, authorization }) => {
                let authorization = authorization.as_deref();
                (State::Sent, Some(Plain { authorization, user: &user, password: password.expose() }.encode()?))
            }
            (mechanism, Credentials::Bearer { token, user }) => {
                let (bearer, response) = Bearer::start(mechanism, user.as_deref(), token)?;
                (State::Token(bearer), Some(response))
            }
            (_, Credentials::External { authorization }) => {
                let response = authorization.unwrap_or_default();
                if response.contains('\0') {
                    return Err(SaslError::Prep("authorization identity"));
                }
                SaslError::check_length(response.as_bytes())?;
                (State::Sent, Some(Bytes::from(response)))
            }
            (_, Credentials::Anonymous { trace }) => (State::Sent, Some(anonymous_trace(trace)?)),
        };
        self.state = state;
        Ok(Init { mechanism: mechanism.name(), response })
    }

    /// Answers a challenge.
    ///
    /// With SCRAM this derives the keys, which takes a millisecond or so for each 4096 iterations that the server asks
    /// for. A challenge that shows the server's signature is answered with nothing. With a token a challenge is the
    /// server's report of what is wrong with it; [`refused`](Self::refused) tells it once the server has ended the
    /// exchange.
    ///
    /// # Errors
    /// Whatever is wrong with the challenge; `AuthenticationFailed` when it is SCRAM's own error message.
    pub fn challenge(&mut self, challenge: &[u8]) -> Result<Bytes, SaslError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::First { hash, first, password } => {
                SaslError::check_length(challenge)?;
                let text = utf8(challenge)?;
                let server_first = ServerFirst::parse(text, hash, &first.nonce)?;
                let password = prepare(password.expose(), "password")?;
                let salted = hash.salted(&password, &server_first.salt, server_first.iterations);
                let without_proof = ClientFinal::without_proof(&first.header, &server_first.nonce);
                let auth_message = format!("{},{text},{without_proof}", first.bare);
                let proof = xor(&salted.client_key(), &hash.hmac(&salted.stored_key(), auth_message.as_bytes()));
                let signature = hash.hmac(&salted.server_key(), auth_message.as_bytes());
                self.state = State::Final { signature };
                Ok(Bytes::from(format!("{without_proof},p={}", STANDARD.encode(&*proof))))
            }
            State::Asking(user) => {
                let response = user.respond(challenge)?;
                self.state = State::Sent;
                Ok(response)
            }
            State::Token(bearer) => {
                let (report, answer) = bearer.refused(challenge)?;
                self.state = State::Refused { report };
                Ok(answer)
            }
            State::Final { signature } => {
                verify(&signature, challenge)?;
                self.state = State::Verified;
                Ok(Bytes::new())
            }
            State::Idle | State::Sent | State::Refused { .. } | State::Verified | State::Over => {
                Err(SaslError::UnexpectedStep)
            }
        }
    }

    /// The server says that the client is not who it says, or may not come in. The exchange is over.
    ///
    /// The error is `TokenRefused` when the server has said what is wrong with the token, else `AuthenticationFailed`.
    pub fn refused(&mut self) -> SaslError {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Refused { report } => SaslError::TokenRefused { report },
            _ => SaslError::AuthenticationFailed,
        }
    }

    /// The server says that the client is who it says. Only after this may anything be sent to that server.
    ///
    /// With SCRAM the server shows that it knows the password too, by the additional data or by a last challenge.
    ///
    /// # Errors
    /// `ServerSignature` when it does not; `TokenRefused` when it has said that something is wrong with the token;
    /// `UnexpectedStep` when the server ends the exchange before its time.
    pub fn finish(&mut self, additional: Option<&[u8]>) -> Result<(), SaslError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Sent | State::Token(_) | State::Verified => Ok(()),
            State::Refused { report } => Err(SaslError::TokenRefused { report }),
            State::Final { signature } => verify(&signature, additional.ok_or(SaslError::ServerSignature)?),
            State::Idle | State::Asking(_) | State::First { .. } | State::Over => Err(SaslError::UnexpectedStep),
        }
    }

    fn choose(&self, offered: &[&str], secure: bool) -> Result<Mechanism, SaslError> {
        let fits = |mechanism: &Mechanism| match (&self.credentials, mechanism) {
            (Credentials::Anonymous { .. }, mechanism) => *mechanism == Mechanism::Anonymous,
            (Credentials::Bearer { user, .. }, Mechanism::XOAuth2) => user.is_some(),
            (Credentials::Bearer { .. }, mechanism) => *mechanism == Mechanism::OAuthBearer,
            (Credentials::External { .. }, mechanism) => *mechanism == Mechanism::External,
            (Credentials::Password { authorization, .. }, Mechanism::CramMd5) => authorization.is_none(),
            (Credentials::Password { .. }, mechanism) => matches!(mechanism, Mechanism::Scram(_) | Mechanism::Plain),
        };
        let allowed = |mechanism: &Mechanism| {
            self.allowed
                .as_ref()
                .is_none_or(|names| names.iter().any(|name| name.eq_ignore_ascii_case(mechanism.name())))
        };
        let common = |mechanism: &Mechanism| fits(mechanism) && offered.contains(&mechanism.name());
        match Mechanism::ALL.into_iter().find(|mechanism| common(mechanism) && allowed(mechanism)) {
            Some(mechanism) if mechanism.needs_tls() && !secure && !self.allow_insecure => {
                Err(SaslError::InsecureMechanism(mechanism.name()))
            }
            Some(mechanism) => Ok(mechanism),
            None => {
                let restricted = Mechanism::ALL.iter().any(common);
                Err(SaslError::NoCommonMechanism { offered: names(offered), hint: self.hint(offered, restricted) })
            }
        }
    }

    fn hint(&self, offered: &[&str], restricted: bool) -> &'static str {
        let offers =
            |fits: fn(Mechanism) -> bool| offered.iter().any(|name| Mechanism::from_name(name).is_some_and(fits));
        if restricted {
            "the mechanisms that are allowed here leave out every one that the server offers for these credentials"
        } else if offered.is_empty() {
            "the server has no mechanism set up, or none that it offers without TLS"
        } else if offers(|mechanism| matches!(mechanism, Mechanism::Scram(_) | Mechanism::CramMd5 | Mechanism::Plain)) {
            if offers(|mechanism| mechanism == Mechanism::External) {
                "the server wants a user name and a password, or a client certificate and the EXTERNAL mechanism"
            } else {
                "the server wants a user name and a password"
            }
        } else if offers(|mechanism| matches!(mechanism, Mechanism::OAuthBearer | Mechanism::XOAuth2)) {
            let bearer = matches!(self.credentials, Credentials::Bearer { .. });
            if bearer { "XOAUTH2 needs the user's name beside the token" } else { "the server wants a token" }
        } else if offers(|mechanism| mechanism == Mechanism::External) {
            "the server wants a client certificate and the EXTERNAL mechanism"
        } else if offers(|mechanism| mechanism == Mechanism::Anonymous) {
            "the server takes anonymous clients: leave out the credentials"
        } else {
            "set up one of SCRAM-SHA-512, SCRAM-SHA-256, SCRAM-SHA-1, PLAIN, OAUTHBEARER, EXTERNAL or ANONYMOUS on the server"
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Idle => "idle",
            State::Sent => "sent",
            State::Asking(_) => "waiting for a challenge",
            State::Token(_) => "token sent",
            State::Refused { .. } => "token refused",
            State::First { .. } => "client-first sent",
            State::Final { .. } => "proof sent",
            State::Verified => "server verified",
            State::Over => "over",
        };
        f.debug_struct("Client").field("allowed", &self.allowed).field("state", &state).finish_non_exhaustive()
    }
}

impl fmt::Debug for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Init").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

fn verify(signature: &[u8], message: &[u8]) -> Result<(), SaslError> {
    SaslError::check_length(message)?;
    if message.is_empty() {
        return Err(SaslError::ServerSignature);
    }
    if parse_server_final(message)?.ct_eq(signature).into() { Ok(()) } else { Err(SaslError::ServerSignature) }
}

/// Without a trace we say "anonymous", as Proton does: an empty response stops some peers.
fn anonymous_trace(trace: Option<String>) -> Result<Bytes, SaslError> {
    let Some(trace) = trace.filter(|trace| !trace.is_empty()) else { return Ok(Bytes::from_static(b"anonymous")) };
    if trace.chars().count() > MAX_TRACE || trace.chars().any(char::is_control) {
        return Err(SaslError::Prep("trace of 255 characters at most"));
    }
    Ok(Bytes::from(trace))
}

fn names(offered: &[&str]) -> Vec<String> {
    let printable = |name: &&str| name.chars().filter(char::is_ascii_graphic).take(64).collect();
    offered.iter().take(32).map(printable).collect()
}
