//! Peer to peer: both sides open the connection to each other at the same time (RFC 9622 7.3).

use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::connection::{Connection, Opened, Origin};
use crate::endpoint::Place;
use crate::error::{Attempt, AttemptError, ConfigurationError, EstablishmentError, EstablishmentErrorKind as Kind};
use crate::initiate::candidates;
use crate::listener::is_the_clients;
use crate::preconnection::Preconnection;
use crate::properties::Role;
use crate::protocol::{Protocol, ProtocolStack};
use crate::stack::tcp;
use crate::stream::ByteStream;
use crate::tls::{ClientSide, ServerSide};
use crate::transport::Established;

/// How long an attempt rests when the peer is not there yet.
const REST: Duration = Duration::from_millis(100);

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
    let (Protocol::Tcp | Protocol::Mptcp, (Some(local), Some(remote))) = (best.stack().protocol(), ends) else {
        // Without a handshake each side stands, and that is all there is to it.
        return preconnection.initiate().await;
    };
    let started = Instant::now();
    let met = async {
        let tcp = dial_and_listen(local, remote).await?;
        establish(preconnection, best.stack(), tcp, local < remote).await
    };
    met.await.map_err(|error| {
        let (stack, address) = (best.stack(), best.address().clone());
        let attempt = Attempt { stack, address, started_after: Duration::ZERO, elapsed: started.elapsed(), error };
        EstablishmentError::new(Kind::EstablishmentFailed, vec![attempt])
    })
}

/// Listens and connects from one address, until one of both has met the peer.
async fn dial_and_listen(local: SocketAddr, remote: SocketAddr) -> Result<TcpStream, AttemptError> {
    let here = |error: io::Error| AttemptError::LocalEndpoint(error.kind());
    let listener = listen(local).map_err(here)?;
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((tcp, peer)) if peer == remote => return Ok(tcp),
                // Somebody else has nothing to do here, come or gone again.
                Ok(_) => {}
                Err(error) if is_the_clients(&error) => {}
                Err(error) => return Err(AttemptError::from_io(&error)),
            }
        }
    };
    let dialing = async {
        loop {
            let socket = tcp::meeting_point(local).map_err(here)?;
            match socket.connect(remote).await {
                Ok(tcp) => return Ok(tcp),
                // Nobody is there yet, or the peer's attempt has come in and has these very addresses.
                Err(_) => sleep(REST).await,
            }
        }
    };
    tokio::select! {
        met = accepting => met,
        met = dialing => met,
    }
}

fn listen(local: SocketAddr) -> io::Result<TcpListener> {
    tcp::meeting_point(local)?.listen(1)
}

async fn establish(
    preconnection: &Preconnection,
    stack: ProtocolStack,
    tcp: TcpStream,
    is_client: bool,
) -> Result<Connection, AttemptError> {
    let Preconnection { properties, framers, .. } = preconnection;
    tcp::first_properties(&tcp, properties)?;
    let about = tcp::about(stack, &tcp)?;
    let unusable = |_| AttemptError::Transport(io::ErrorKind::InvalidInput);
    let stream = match preconnection.security.config() {
        None => ByteStream::tcp(tcp, about),
        Some(config) if is_client => {
            let side = ClientSide::prepare(config, &preconnection.remotes[0].host_text()).await.map_err(unusable)?;
            side.protect(tcp, about).await?
        }
        Some(config) => ServerSide::prepare(config).map_err(unusable)?.protect(tcp, about).await?,
    };
    let opened = Opened::start(Established::stream(stream), Origin::new(framers, None), None).await?;
    Ok(Connection::new(opened, properties))
}
