//! Tokens at a peer's `$cbs` node.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use postroad_client as client;
use postroad_client::{Cbs, CbsError, Token, TokenFuture, TokenProvider};

use crate::Connection;
use crate::container::Command;

/// What a connection has for the node.
#[derive(Default)]
pub(crate) struct Tokens {
    /// Those to put before anything else happens on the connection.
    first: Mutex<Vec<(String, Arc<dyn TokenProvider>)>>,
    cbs: OnceLock<Cbs>,
}

/// A provider that several may have.
struct Shared(Arc<dyn TokenProvider>);

impl TokenProvider for Shared {
    fn token<'a>(&'a self, audience: &'a str) -> TokenFuture<'a> {
        self.0.token(audience)
    }
}

impl Connection {
    /// Has a provider make a token for an audience, puts it at the peer's `$cbs` node, and has others follow before each
    /// expires: as [`Cbs::keep_token`] says. Asked for before the connection has opened, it is there before any link is
    /// attached, and the connection does not open where it cannot be had:
    /// [`Handler::on_transport_error`](crate::Handler::on_transport_error) tells. Later,
    /// [`on_token_failed`](crate::Handler::on_token_failed) does, and so it does of one that cannot be renewed.
    ///
    /// When the connection is made anew, all tokens are put again before its links are attached.
    #[doc(alias = "$cbs")]
    #[doc(alias = "put-token")]
    pub fn keep_token(&self, audience: impl Into<String>, provider: impl TokenProvider + 'static) {
        let (audience, provider) = (audience.into(), Arc::new(provider));
        if self.inner.client.get().is_none() {
            let mut first = self.inner.tokens.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.push((audience, provider));
        } else {
            self.container().command(Command::KeepToken(self.clone(), audience, provider));
        }
    }

    /// Puts one token, which is not renewed: as [`Connection::keep_token`] otherwise.
    pub fn put_token(&self, audience: impl Into<String>, token: Token) {
        self.keep_token(audience, move |_: &str| {
            let token = token.clone();
            async move { Ok::<_, client::TokenError>(token) }
        });
    }

    /// The tokens that were put, once there is one.
    #[must_use]
    pub fn cbs(&self) -> Option<&Cbs> {
        self.inner.tokens.cbs.get()
    }

    /// Puts the tokens that were asked for before the connection was there.
    pub(crate) async fn put_first_tokens(&self, client: &client::Connection) -> Result<(), CbsError> {
        loop {
            let next = {
                let mut first = self.inner.tokens.first.lock().unwrap_or_else(PoisonError::into_inner);
                if first.is_empty() { None } else { Some(first.remove(0)) }
            };
            let Some((audience, provider)) = next else { return Ok(()) };
            self.put(client, audience, provider).await?;
        }
    }

    pub(crate) async fn put(
        &self,
        client: &client::Connection,
        audience: String,
        provider: Arc<dyn TokenProvider>,
    ) -> Result<(), CbsError> {
        let cbs = match self.inner.tokens.cbs.get() {
            Some(cbs) => cbs,
            None => {
                let attached = client.cbs().await?;
                self.inner.tokens.cbs.get_or_init(|| attached)
            }
        };
        cbs.keep_token(audience, Shared(provider)).await
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("cbs", &self.cbs).finish_non_exhaustive()
    }
}
