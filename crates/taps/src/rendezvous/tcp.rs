//! Two peers that listen and dial at once, over TCP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::connection::{Connection, Opened, Origin};
use crate::error::{Attempt, AttemptError, EstablishmentError, EstablishmentErrorKind as Kind};
use crate::listener::is_the_clients;
use crate::preconnection::Preconnection;
use crate::protocol::ProtocolStack;
use crate::selection::Candidate;
use crate::stack::tcp;
use crate::stream::ByteStream;
use crate::tls::{ClientSide, ServerSide};
use crate::transport::Established;

/// How long an attempt rests when the peer is not there yet.
const REST: Duration = Duration::from_millis(100);

pub(super) async fn meet(
    preconnection: &Preconnection,
    best: &Candidate,
    local: SocketAddr,
    remote: SocketAddr,
) -> Result<Connection, EstablishmentError> {
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
