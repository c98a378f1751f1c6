//! Peer to peer: both sides open the connection to each other at the same time (RFC 9622 7.3).

#[cfg(feature = "tcp")]
mod tcp;

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use crate::connection::Connection;
use crate::endpoint::Place;
use crate::error::{ConfigurationError, EstablishmentError, EstablishmentErrorKind as Kind};
use crate::initiate::candidates;
use crate::preconnection::Preconnection;
use crate::properties::Role;
#[cfg(feature = "tcp")]
use crate::protocol::Protocol;

/// A connection to a peer that opens it too; await it, with a [`timeout`](Self::timeout) or without.
///
/// Both sides stand at their local endpoint, listen there, and try to reach the remote one, until one of the attempts
/// meets the other. There is one connection at each side then, whichever attempt it was: over TCP both have the same
/// addresses at their ends. Over datagrams a side is ready at once, and hears of the other with its first message.
///
/// With TLS, the side whose address and port are the lower acts as the client, so each needs both roots and a
/// certificate.
///
/// # Cancel safety
/// Dropping the future closes every attempt.
#[derive(Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct Rendezvous {
    preconnection: Preconnection,
    timeout: Option<Duration>,
}

impl Rendezvous {
    pub(crate) fn new(preconnection: Preconnection) -> Self {
        Self { preconnection, timeout: None }
    }

    /// Gives up after this time. Without it the wait for the peer has no end.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl IntoFuture for Rendezvous {
    type Output = Result<Connection, EstablishmentError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { preconnection, timeout } = self;
        Box::pin(async move {
            match timeout {
                None => meet(&preconnection).await,
                Some(timeout) => match tokio::time::timeout(timeout, meet(&preconnection)).await {
                    Ok(met) => met,
                    Err(_) => Err(Kind::Timeout(timeout).into()),
                },
            }
        })
    }
}

async fn meet(preconnection: &Preconnection) -> Result<Connection, EstablishmentError> {
    let wrong = |error: ConfigurationError| EstablishmentError::from(Kind::from(error));
    let [local, ..] = &preconnection.locals[..] else { return Err(wrong(ConfigurationError::NoLocalEndpoint)) };
    // A group is nobody to meet, and has many members (RFC 9622 6.1.1).
    if matches!(local.identifiers().place, Place::Multicast(_)) {
        return Err(wrong(ConfigurationError::RendezvousInGroup));
    }
    if local.port_number() == 0 && local.identifiers().service.is_none() {
        return Err(wrong(ConfigurationError::NoLocalPort));
    }
    let tree = candidates(preconnection, Role::Rendezvous).await?;
    let best = tree.candidates().next().cloned();
    let Some(best) = best else {
        let host = preconnection.remotes[0].host_text();
        return Err(Kind::NoCandidates { host, rejected: tree.rejected().to_vec() }.into());
    };
    let ends = (best.source().and_then(|source| source.ip()), best.address().ip());
    match (best.stack().protocol(), ends) {
        #[cfg(feature = "tcp")]
        (Protocol::Tcp | Protocol::Mptcp, (Some(local), Some(remote))) => {
            tcp::meet(preconnection, &best, local, remote).await
        }
        // Without a handshake each side stands, and that is all there is to it.
        _ => preconnection.initiate().await,
    }
}
