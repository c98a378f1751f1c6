//! How a client proves to a relay who it is: HTTP digest authentication (RFC 7616, and RFC 2617 before it) as RFC 4976 9.1
//! narrows it down.
//!
//! Nothing here reads a socket, a clock or random bits: header values come in and go out as text, times and random bits are
//! arguments. A [`Client`] answers the [`Challenge`] of a relay, a [`Verifier`] is the relay's side of it.
//!
//! Digest proves who a client is; it hides nothing, and a password that can be guessed is found from one exchange. It
//! belongs inside TLS (RFC 4976 9.2).
//!
//! ```
//! use std::time::Instant;
//!
//! use postroad_msrp::digest::{Client, Credentials, DigestUri, Ha1, Request, Verifier};
//!
//! let now = Instant::now();
//! let relay = "msrps://relay.example.com;tcp";
//! let mut verifier = Verifier::new("example.com", [7; 32], now)?; // 32 random octets
//! let users = |user: &str, algorithm| {
//!     (user == "alice").then(|| Ha1::from_password(algorithm, "alice", "example.com", "wonderland"))
//! };
//!
//! // The first AUTH has no Authorization: a 401 with a WWW-Authenticate answers it.
//! let challenge = verifier.challenges(1, now).remove(0).to_string();
//!
//! let mut client = Client::new(Credentials::new("alice", "wonderland")?, DigestUri::Auto);
//! client.challenged(&challenge.parse()?)?;
//! let authorization = client.authorize(relay, "0a4f113b")?.expect("challenged").to_string();
//!
//! let request = Request { uri: relay, connection: 1 };
//! let login = verifier.verify(&authorization.parse()?, &request, &users, now)?;
//! assert_eq!(login.username(), "alice");
//! // The 200 has an Authentication-Info, by which the relay proves that it knows the password too.
//! assert!(client.accepted(Some(login.info()))?);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod algorithm;
mod authentication_info;
mod authorization;
mod challenge;
mod client;
mod credentials;
mod error;
mod nonce;
mod params;
mod verifier;

pub use algorithm::{Algorithm, DigestValue, Ha1};
pub use authentication_info::AuthenticationInfo;
pub use authorization::Authorization;
pub use challenge::{Challenge, MAX_CHALLENGES};
pub use client::{Client, DigestUri, LoginError};
pub use credentials::{Credentials, Secret};
pub use error::{DigestError, DigestErrorKind};
pub use nonce::MAX_USED_NONCES;
pub use params::{MAX_NAME, MAX_PARAMETERS, MAX_VALUE};
pub use verifier::{Login, Refusal, Request, Users, Verifier};

/// The one quality of protection that MSRP has (RFC 4976 9.1).
const AUTH: &str = "auth";

#[cfg(test)]
mod tests;
