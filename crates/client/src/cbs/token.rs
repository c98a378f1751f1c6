//! Tokens, and what makes them.

use std::fmt;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use super::CbsError;
use crate::Secret;

/// A token for an audience. Debug shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub(super) kind: String,
    pub(super) text: Secret,
    pub(super) expires: Option<SystemTime>,
}

impl Token {
    /// The type of a shared access signature, as Azure calls it.
    pub const SAS: &'static str = "servicebus.windows.net:sastoken";

    /// The type of a JSON web token (RFC 7519), as Azure calls it; elsewhere it may be `amqp:jwt`.
    pub const JWT: &'static str = "jwt";

    /// A token of a type that the peer knows. Without [`expires_at`](Self::expires_at) it is never renewed.
    #[must_use]
    pub fn new(kind: impl Into<String>, text: impl Into<Secret>) -> Self {
        Self { kind: kind.into(), text: text.into(), expires: None }
    }

    /// A shared access signature: `SharedAccessSignature sr=..&sig=..&se=..&skn=..`.
    #[must_use]
    pub fn sas(text: impl Into<Secret>) -> Self {
        Self::new(Self::SAS, text)
    }

    /// A JSON web token.
    #[must_use]
    pub fn jwt(text: impl Into<Secret>) -> Self {
        Self::new(Self::JWT, text)
    }

    /// Sets when it expires, which the token itself mostly says as well: the peer is told, and it is renewed before.
    #[must_use]
    pub fn expires_at(mut self, time: SystemTime) -> Self {
        self.expires = Some(time);
        self
    }

    /// As [`expires_at`](Self::expires_at), this long from now.
    #[must_use]
    pub fn expires_in(self, life: Duration) -> Self {
        // A time beyond the clock's range is never.
        match SystemTime::now().checked_add(life) {
            Some(time) => self.expires_at(time),
            None => self,
        }
    }

    /// When it expires.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// How long it is still good for, where that has an end.
    pub(super) fn remaining(&self) -> Option<Duration> {
        self.expires.map(|expires| expires.duration_since(SystemTime::now()).unwrap_or_default())
    }
}

/// Why no token was made, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokenError(String);

impl TokenError {
    /// An error that says this; it should hold no secret.
    #[must_use]
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

/// A token that is being made.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<Token, TokenError>> + Send + 'a>>;

/// Makes tokens: signs them, or asks somebody for them. It is asked again for each renewal, and perhaps when the
/// connection is made anew; a function that gives a future is one. One that holds a [`Cbs`](crate::Cbs) keeps that
/// alive.
pub trait TokenProvider: Send + Sync {
    /// Makes a token for an audience.
    ///
    /// # Errors
    /// When there is none to be had. It is asked again later.
    ///
    /// # Cancel safety
    /// The future is dropped when it takes too long.
    fn token<'a>(&'a self, audience: &'a str) -> TokenFuture<'a>;
}

impl<F, Made> TokenProvider for F
where
    F: Fn(&str) -> Made + Send + Sync,
    Made: Future<Output = Result<Token, TokenError>> + Send + 'static,
{
    fn token<'a>(&'a self, audience: &'a str) -> TokenFuture<'a> {
        Box::pin(self(audience))
    }
}

impl fmt::Debug for dyn TokenProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenProvider")
    }
}

/// Has a token made that has not expired, in time.
pub(super) async fn make(provider: &dyn TokenProvider, audience: &str, timeout: Duration) -> Result<Token, CbsError> {
    match tokio::time::timeout(timeout, provider.token(audience)).await {
        Ok(Ok(token)) if token.remaining() == Some(Duration::ZERO) => Err(CbsError::Expired),
        Ok(made) => made.map_err(CbsError::Provider),
        Err(_) => Err(CbsError::Provider(TokenError::new(format_args!("no token within {timeout:?}")))),
    }
}
