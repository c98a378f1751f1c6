//! SASL mechanisms (RFC 4422) as exchanges without I/O.
//!
//! A [`Client`] and a [`Server`] each carry one exchange; whoever speaks the wire protocol moves their messages. There
//! is no socket, clock or random number here: nonces, salts and seeds are arguments and must come from a good random
//! source. What a peer says is checked against a limit before anything is derived from it.
//!
//! | mechanism | standard | note |
//! |---|---|---|
//! | `EXTERNAL` | RFC 4422 appendix A | the identity comes from below, such as a TLS certificate |
//! | `OAUTHBEARER` | RFC 7628 | a bearer token; only under TLS unless asked for |
//! | `XOAUTH2` | none | client only; the same, as it was before the standard |
//! | `SCRAM-SHA-512`, `SCRAM-SHA-256`, `SCRAM-SHA-1` | RFC 5802, RFC 7677 | without channel binding; both sides prove that they know the password |
//! | `CRAM-MD5` | RFC 2195 | client only, for old brokers; only under TLS unless asked for |
//! | `PLAIN` | RFC 4616 | only under TLS unless asked for |
//! | `ANONYMOUS` | RFC 4505 | |
//!
//! ```
//! use std::sync::Arc;
//! use postroad_amqp::sasl::{Client, Credentials, Server, ServerConfig, Step, UserFile};
//!
//! let users = UserFile::parse("alice:wonderland", [1; 32])?;
//! let config = Arc::new(ServerConfig::new([2; 32]).users(Arc::new(users)));
//! let offered = config.mechanisms(false, None);
//! assert_eq!(offered, ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"]);
//!
//! let mut server = Server::new(config, false, None, [3; 24]);
//! let mut client = Client::new(Credentials::password("alice", "wonderland"), [4; 24]);
//! let init = client.start(&offered, false)?;
//! let Step::Challenge(challenge) = server.init(init.mechanism, init.response.as_deref()) else { panic!("no challenge") };
//! let response = client.challenge(&challenge)?;
//! let Step::Accepted { user, additional, .. } = server.response(&response) else { panic!("not accepted") };
//! client.finish(additional.as_deref())?;
//! assert_eq!(user, "alice");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bearer;
mod client;
mod cram_md5;
mod credentials;
mod error;
mod mechanism;
mod password_check;
mod plain;
mod prepare;
mod scram;
mod scram_message;
mod server;
mod tokens;
mod user_file;

#[cfg(test)]
mod tests;

pub use client::{Client, Init};
pub use credentials::{Credentials, Secret};
pub use error::SaslError;
pub use password_check::{PasswordAnswer, PasswordCheck};
pub use scram::{DEFAULT_ITERATIONS, MAX_ITERATIONS, ScramHash, ScramKeys};
pub use server::{Decoy, Server, ServerConfig, Step, Users};
pub use tokens::{TokenRefusal, Tokens};
pub use user_file::{UserFile, UserFileError, UserFileErrorKind, hash_password};

/// Whether messages of this mechanism may be longer than the smallest frame, since they carry a token.
pub(crate) fn carries_token(mechanism: &str) -> bool {
    mechanism::Mechanism::from_name(mechanism).is_some_and(mechanism::Mechanism::carries_token)
}

/// The longest message that either side takes from the other, in bytes.
///
/// Peers that have not shown who they are must not make us keep or hash more. The longest that an honest one sends is
/// a user name, a nonce and a salt.
pub const MAX_MESSAGE: usize = 4096;

/// The longest `PLAIN` message that a client sends, in bytes.
///
/// Some brokers take tokens of several kilobytes as passwords, so this is more than [`MAX_MESSAGE`].
pub const MAX_PLAIN_MESSAGE: usize = 65_536;

/// The longest `OAUTHBEARER` or `XOAUTH2` message that a client sends, in bytes.
///
/// Tokens of some kilobytes are usual: those that are signed carry what they grant.
pub const MAX_TOKEN_MESSAGE: usize = 65_536;
