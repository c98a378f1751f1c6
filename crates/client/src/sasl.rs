//! SASL at the end that is connected to: who may come, and how they show who they are.
//!
//! ```
//! use std::sync::Arc;
//! use postroad_client::sasl::UserFile;
//! use postroad_client::{AcceptOptions, LocalEndpoint};
//!
//! let mut options = AcceptOptions::new(LocalEndpoint::any().port(5672));
//! // The seed is random in a program of use.
//! options.sasl.users = Some(Arc::new(UserFile::parse("alice:wonderland", [1; 32])?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::Arc;

pub use postroad_amqp::sasl::{
    Decoy, SaslError, ScramHash, ScramKeys, TokenRefusal, Tokens, UserFile, UserFileError, UserFileErrorKind, Users,
    hash_password,
};

use postroad_amqp::sasl::ServerConfig;

use crate::{AcceptError, Connection};

/// Who may connect, and how they show who they are. By default everybody may, and is nobody: the mechanism is `ANONYMOUS`, and
/// SASL may be left out. As soon as users, tokens or certificates are known, those alone may.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AcceptSasl {
    /// Whether SASL is spoken at all. Without it every client is served that leaves it out too, and nobody is known.
    #[doc(alias = "sasl_enabled")]
    pub enabled: bool,
    /// Users and their passwords or keys, for SCRAM, and for `PLAIN` under TLS.
    pub users: Option<Arc<dyn Users>>,
    /// What takes bearer tokens, for `OAUTHBEARER` under TLS.
    pub tokens: Option<Arc<dyn Tokens>>,
    /// Whether the common name in the certificate that a client has shown is a user, by `EXTERNAL`. The TLS configuration says
    /// whose certificates are taken.
    pub external: bool,
    /// Whether clients may be nobody, by `ANONYMOUS`; `None`: where nobody else is known.
    pub anonymous: Option<bool>,
    /// Whether clients may leave SASL out; `None`: where they may be nobody.
    pub allow_bare: Option<bool>,
    /// Whether `PLAIN` is offered without TLS too, where anyone on the way can read the passwords.
    pub allow_insecure_mechs: bool,
    /// The mechanisms that may be used, of those that fit; all of them when empty. There is no `GSSAPI`.
    #[doc(alias = "allowed_mechs")]
    pub mechanisms: Vec<String>,
}

impl Default for AcceptSasl {
    fn default() -> Self {
        Self {
            enabled: true,
            users: None,
            tokens: None,
            external: false,
            anonymous: None,
            allow_bare: None,
            allow_insecure_mechs: false,
            mechanisms: Vec::new(),
        }
    }
}

/// Who a client has shown to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct User {
    /// The name; `anonymous` for clients that are nobody.
    #[doc(alias = "user")]
    pub name: String,
    /// The mechanism by which.
    #[doc(alias = "mech")]
    pub mechanism: String,
}

impl User {
    /// Whether the client is nobody: a user may have the name `anonymous`.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.mechanism == "ANONYMOUS"
    }
}

impl Connection {
    /// Who the client of an accepted connection has shown to be; `None` where it has left SASL out, and at the end that has
    /// connected.
    #[must_use]
    pub fn user(&self) -> Option<User> {
        self.inner.shared.with(|state| state.engine.user())
    }
}

impl AcceptSasl {
    /// Whether clients may be nobody.
    fn is_open(&self) -> bool {
        let knows = self.users.is_some() || self.tokens.is_some() || self.external;
        self.anonymous.unwrap_or(!knows)
    }

    /// Whether clients may leave SASL out.
    pub(crate) fn allows_bare(&self) -> bool {
        self.allow_bare.unwrap_or_else(|| self.is_open() && self.allows("ANONYMOUS"))
    }

    fn allows(&self, mechanism: &str) -> bool {
        self.mechanisms.is_empty() || self.mechanisms.iter().any(|name| name == mechanism)
    }

    /// What exchanges are made from, for clients that come under TLS or not.
    pub(crate) fn config(&self, tls: bool) -> Result<Option<ServerConfig>, AcceptError> {
        if !self.enabled {
            return Ok(None);
        }
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| AcceptError::Options(format!("no random numbers: {error}")))?;
        let mut config = ServerConfig::new(secret)
            .anonymous(self.is_open())
            .external(self.external)
            .plain_without_tls(self.allow_insecure_mechs);
        if let Some(users) = &self.users {
            config = config.users(Arc::clone(users));
        }
        if let Some(tokens) = &self.tokens {
            config = config.tokens(Arc::clone(tokens));
        }
        if !self.mechanisms.is_empty() {
            config = config.allowed(self.mechanisms.iter().cloned());
        }
        let someone = tls.then_some("");
        if config.mechanisms(tls, someone).is_empty() && !self.allows_bare() {
            let text = "no client could connect: allow a mechanism that fits the users, tokens or certificates, with TLS where \
                        it needs that, or ANONYMOUS";
            return Err(AcceptError::Options(text.to_owned()));
        }
        Ok(Some(config))
    }
}
