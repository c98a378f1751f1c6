//! Claims-based security: tokens that are put at a peer's `$cbs` node, and renewed.

mod again;
mod claims;
mod error;
mod put;
mod renew;
mod token;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::task::AbortHandle;

use crate::Connection;
use crate::requester::Requester;

pub(crate) use again::put_again;
use claims::Claim;
pub(crate) use claims::Claims;
pub use error::CbsError;
pub use token::{Token, TokenError, TokenFuture, TokenProvider};

/// The `$cbs` node of a peer: it takes tokens that say what the client may do with which of the peer's nodes (AMQP
/// Claims-based Security; Azure Service Bus and Event Hubs let nobody attach a link without one).
/// [`Connection::cbs`] attaches to it. Clones are handles of one.
///
/// A token is put for an audience, which is how the peer calls what it is for, such as
/// `amqps://example.servicebus.windows.net/orders`. [`put_token`](Self::put_token) puts one that is there;
/// [`keep_token`](Self::keep_token) has a [`TokenProvider`] make one, and another one after four fifths of its life.
/// Where that fails it is tried again, ten times, with pauses that grow from a second to half a minute;
/// [`Connection::events`] tells of each ([`TokenFailed`](crate::ConnectionEvent::TokenFailed)).
///
/// When the connection is made anew ([`ConnectOptions::reconnect`](crate::ConnectOptions::reconnect)), all tokens are
/// put again before any link is attached again, each by its provider where it is due. That is a part of the attempt
/// to connect: it has to be done within [`connect_timeout`](crate::ConnectOptions::connect_timeout), and where a
/// token is not taken, the attempt has failed ([`ConnectError::Cbs`](crate::ConnectError::Cbs)) and another one
/// follows.
///
/// Links that the peer lets go, as some do with those that are idle, are attached again for the next token.
///
/// With the last handle all of this ends, and the links to the node go; what was put stays there until it expires or
/// the connection ends.
///
/// A token is shown to whoever is at the other end. So without TLS none is put unless
/// [`allow_insecure_mechs`](crate::ConnectOptions::allow_insecure_mechs) says so, and none at a host that a redirect
/// named unless [`redirect_credentials`](crate::ConnectOptions::redirect_credentials) does. The frame trace shows
/// what messages hold, and so do tokens.
///
/// ```no_run
/// use std::time::{Duration, SystemTime};
/// use postroad_client::{ConnectOptions, Connection, Token, TokenError};
///
/// # fn sign(audience: &str, expires: SystemTime) -> String { audience.to_owned() }
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let options = ConnectOptions::new("amqps://example.servicebus.windows.net".parse()?);
/// let connection = Connection::open(options).await?;
/// let cbs = connection.cbs().await?;
/// cbs.keep_token("amqps://example.servicebus.windows.net/orders", |audience: &str| {
///     let expires = SystemTime::now() + Duration::from_secs(3600);
///     // With the key of the shared access policy; a token of an identity provider is asked for here.
///     let token = Token::sas(sign(audience, expires)).expires_at(expires);
///     async { Ok::<_, TokenError>(token) }
/// })
/// .await?;
/// let sender = connection.session().await?.sender("orders").await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Cbs {
    inner: Arc<Inner>,
}

/// How a peer's `$cbs` node is used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CbsOptions {
    /// The node's address; by default `$cbs`.
    pub address: String,
    /// How long a token may take to be made, and to be put: each this long. By default 30 s.
    pub timeout: Duration,
}

impl Default for CbsOptions {
    fn default() -> Self {
        Self { address: "$cbs".to_owned(), timeout: Duration::from_secs(30) }
    }
}

/// What the handles share; with the last one the task goes that renews tokens, and with both the desk.
#[derive(Debug)]
struct Inner {
    desk: Arc<Desk>,
    renewal: AbortHandle,
}

/// The links to the node, and what is put there.
#[derive(Debug)]
struct Desk {
    connection: Connection,
    /// Another one where its links are over: Azure detaches those that are idle.
    requester: Mutex<Requester>,
    claims: Arc<Claims>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

impl Connection {
    /// Attaches to the peer's `$cbs` node, on a session of its own.
    ///
    /// # Errors
    /// [`CbsError::Unavailable`] when the peer has no such node; when it refuses the links or does not answer.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    /// A dropped future detaches the links again.
    pub async fn cbs(&self) -> Result<Cbs, CbsError> {
        self.cbs_with(CbsOptions::default()).await
    }

    /// As [`Connection::cbs`], with other options.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn cbs_with(&self, options: CbsOptions) -> Result<Cbs, CbsError> {
        let CbsOptions { address, timeout } = options;
        let requester = put::attach(self, &address, timeout).await?;
        let claims = Arc::new(Claims::new(address, timeout));
        self.inner.shared.with(|state| {
            state.claims.retain(|known| known.strong_count() > 0);
            state.claims.push(Arc::downgrade(&claims));
        });
        let known = Arc::downgrade(&claims);
        self.when_over(move |_| {
            // The task that renews them waits for that.
            if let Some(claims) = known.upgrade() {
                claims.changed.notify_one();
            }
        });
        let desk = Arc::new(Desk { connection: self.clone(), requester: Mutex::new(requester), claims });
        let renewal = tokio::spawn(renew::run(desk.clone())).abort_handle();
        Ok(Cbs { inner: Arc::new(Inner { desk, renewal }) })
    }
}

impl Cbs {
    /// Puts a token for an audience, in place of one that is there. It is put again when the connection is made anew,
    /// until it expires, and never renewed.
    ///
    /// # Errors
    /// When it is not taken: then what was there before stays.
    ///
    /// # Cancel safety
    /// Once polled, the token may be put, and counts as it was put before.
    pub async fn put_token(&self, audience: impl Into<String>, token: Token) -> Result<(), CbsError> {
        self.inner.desk.begin(audience.into(), token, None).await
    }

    /// Has a provider make a token for an audience, puts it, and has others follow as [`Cbs`] says.
    ///
    /// # Errors
    /// When no token is made, or it is not taken: then what was there before stays.
    ///
    /// # Cancel safety
    /// Once the token is made, it may be put, and counts as it was put before.
    pub async fn keep_token(
        &self,
        audience: impl Into<String>,
        provider: impl TokenProvider + 'static,
    ) -> Result<(), CbsError> {
        let (audience, provider) = (audience.into(), Arc::new(provider));
        let desk = &self.inner.desk;
        let token = token::make(&*provider, &audience, desk.claims.timeout).await?;
        desk.begin(audience, token, Some(provider)).await
    }

    /// Takes the token of an audience back: it is not renewed any more, and the peer is asked to forget it
    /// (`delete-token`). Some peers know no such request, and say so.
    ///
    /// # Errors
    /// When none was put, or the peer refuses it: then it stays until it expires, and is not renewed all the same.
    ///
    /// # Cancel safety
    /// Once polled, the token is not renewed any more.
    pub async fn delete_token(&self, audience: &str) -> Result<(), CbsError> {
        let desk = &self.inner.desk;
        let claim = desk.claims.forget(audience).ok_or_else(|| CbsError::NotFound("no token was put".to_owned()))?;
        put::delete(&desk.requester().await?, audience, &claim.token.kind).await
    }

    /// When the token of an audience expires that was put last: nothing where none is, or it does not.
    #[must_use]
    pub fn expires(&self, audience: &str) -> Option<SystemTime> {
        self.inner.desk.claims.expires(audience)
    }

    /// The audiences whose tokens are put again, in no order.
    #[must_use]
    pub fn audiences(&self) -> Vec<String> {
        self.inner.desk.claims.audiences()
    }
}

impl Desk {
    /// Puts a token that is new, or comes from a provider that is.
    async fn begin(
        &self,
        audience: String,
        token: Token,
        provider: Option<Arc<dyn TokenProvider>>,
    ) -> Result<(), CbsError> {
        if token.remaining() == Some(Duration::ZERO) {
            return Err(CbsError::Expired);
        }
        // Known before it is put: a connection that is made anew meanwhile has it.
        let (serial, before) = self.claims.insert(&audience, Claim::new(token.clone(), provider));
        let result = self.put(&audience, &token).await;
        if result.is_err() {
            self.claims.restore(&audience, serial, before);
        }
        result
    }

    /// Puts a token, again where the connection was lost in the middle of that, and once more where the links were.
    async fn put(&self, audience: &str, token: &Token) -> Result<(), CbsError> {
        let putting = async {
            let mut again = false;
            loop {
                put::may_go(&self.connection)?;
                let requester = self.requester().await?;
                match put::put(&requester, audience, token).await {
                    Err(CbsError::Request(error)) if error.is_interrupted() => {}
                    Err(CbsError::Request(_)) if !again && requester.error().is_some() => again = true,
                    result => return result,
                }
            }
        };
        let timeout = self.claims.timeout;
        tokio::time::timeout(timeout, putting).await.unwrap_or(Err(CbsError::Timeout(timeout)))
    }

    /// The links to the node, which are attached again where they are over.
    async fn requester(&self) -> Result<Requester, CbsError> {
        let known = || self.requester.lock().unwrap_or_else(PoisonError::into_inner);
        let requester = known().clone();
        if requester.error().is_none() {
            return Ok(requester);
        }
        let attached = put::attach(&self.connection, &self.claims.address, self.claims.timeout).await?;
        // What is over goes outside the lock.
        let _over = std::mem::replace(&mut *known(), attached.clone());
        Ok(attached)
    }
}
