//! The active open: resolve, race, connect, protect (RFC 9623 4).

use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::connection::Connection;
use crate::error::{Attempt, AttemptError, ConfigurationError, EstablishmentError, EstablishmentErrorKind as Kind};
use crate::preconnection::Preconnection;
use crate::race;
use crate::resolve::{Unresolved, resolve};
use crate::stream::ByteStream;
use crate::tls::{Security, TlsConfig, TlsConfigError, TlsError, TlsInfo};

/// A connection that is about to be established; await it, with a [`timeout`](Self::timeout) or without.
///
/// The host is resolved by the system, its addresses are tried in the system's order with the families
/// alternating: one more every 250 ms, or at once when one fails, while the earlier ones keep running. The first
/// that is ready, TLS handshake and framers included, wins; the others are closed.
///
/// # Cancel safety
/// Dropping the future closes every attempt.
#[derive(Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct Initiate {
    preconnection: Preconnection,
    timeout: Option<Duration>,
}

impl Initiate {
    pub(crate) fn new(preconnection: Preconnection) -> Self {
        Self { preconnection, timeout: None }
    }

    /// Gives up after this time, resolution included. Without it the system's patience decides, about two minutes
    /// for each address.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    async fn run(self) -> Result<Connection, EstablishmentError> {
        let log = Log::default();
        let run = establish(self.preconnection, &log);
        match self.timeout {
            None => run.await,
            Some(timeout) => match tokio::time::timeout(timeout, run).await {
                Ok(result) => result,
                Err(_) => Err(EstablishmentError::new(Kind::Timeout(timeout), log.cut_off())),
            },
        }
    }
}

impl IntoFuture for Initiate {
    type Output = Result<Connection, EstablishmentError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

async fn establish(preconnection: Preconnection, log: &Log) -> Result<Connection, EstablishmentError> {
    let remote = preconnection.remote.as_ref().ok_or(ConfigurationError::NoRemoteEndpoint).map_err(Kind::from)?;
    let (host, port) = remote.parts();
    if port == 0 {
        return Err(Kind::from(ConfigurationError::NoRemotePort).into());
    }
    let protection = match &preconnection.security {
        Security::Disabled => None,
        Security::Tls(config) => Some(Protection::prepare(config, &remote.host_text()).await.map_err(Kind::from)?),
    };
    let failed = |Unresolved { host, reason }| Kind::ResolutionFailed { host, reason };
    let sources = match &preconnection.local {
        Some(local) => {
            let (host, port) = local.parts();
            Sources { any_port: port, bound: resolve(host, port).await.map_err(failed)? }
        }
        None => Sources::default(),
    };
    let reachable = resolve(host, port).await.map_err(failed)?.into_iter().filter(|a| sources.reach(*a));
    let candidates = race::interleave(reachable);
    if candidates.is_empty() {
        return Err(Kind::NoCandidates { host: remote.host_text() }.into());
    }

    let (preconnection, sources, protection) = (&preconnection, &sources, protection.as_ref());
    let attempt = |index: usize| {
        let address = candidates[index];
        log.started(index, address);
        async move {
            let tcp = connect(address, sources.toward(address)).await?;
            preconnection.properties.apply(&tcp).map_err(|error| AttemptError::Property(error.kind()))?;
            let stream = match protection {
                None => ByteStream::tcp(tcp).map_err(|error| AttemptError::from_io(&error))?,
                Some(protection) => protection.protect(tcp).await?,
            };
            Connection::open(stream, &preconnection.framers, &preconnection.properties).await
        }
    };
    let winner =
        race::run(candidates.len(), race::ATTEMPT_DELAY, attempt, |index, error| log.failed(index, error)).await;
    winner.ok_or_else(|| {
        let attempts = log.finished();
        let prohibited = attempts.iter().all(|attempt| attempt.error == AttemptError::Prohibited);
        EstablishmentError::new(if prohibited { Kind::PolicyProhibited } else { Kind::EstablishmentFailed }, attempts)
    })
}

async fn connect(address: SocketAddr, source: Option<SocketAddr>) -> Result<TcpStream, AttemptError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(|error| AttemptError::Transport(error.kind()))?;
    if let Some(source) = source {
        let bind = || -> io::Result<()> {
            socket.set_reuseaddr(true)?;
            socket.bind(source)
        };
        bind().map_err(|error| AttemptError::LocalEndpoint(error.kind()))?;
    }
    socket.connect(address).await.map_err(|error| AttemptError::from_io(&error))
}

/// The local addresses that an attempt may start from.
#[derive(Debug, Default)]
struct Sources {
    /// Empty: the system picks the address.
    bound: Vec<SocketAddr>,
    any_port: u16,
}

impl Sources {
    fn reach(&self, remote: SocketAddr) -> bool {
        self.bound.is_empty() || self.bound.iter().any(|local| local.is_ipv4() == remote.is_ipv4())
    }

    fn toward(&self, remote: SocketAddr) -> Option<SocketAddr> {
        let same_family = |local: &&SocketAddr| local.is_ipv4() == remote.is_ipv4();
        self.bound.iter().find(same_family).copied().or_else(|| {
            let unspecified = if remote.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
            (self.any_port != 0).then(|| SocketAddr::new(unspecified, self.any_port))
        })
    }
}

/// What a TLS attempt needs, made before anything is opened.
struct Protection {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Protection {
    async fn prepare(config: &TlsConfig, host: &str) -> Result<Self, TlsConfigError> {
        let name = config.name_for(host)?;
        let client = if config.client_blocks() {
            let config = config.clone();
            // A runtime that is shutting down drops the task; nobody is left to see the answer then.
            tokio::task::spawn_blocking(move || config.client()).await.unwrap_or(Err(TlsConfigError::NoSystemRoots))?
        } else {
            config.client()?
        };
        Ok(Self { connector: TlsConnector::from(client), name })
    }

    async fn protect(&self, tcp: TcpStream) -> Result<ByteStream, AttemptError> {
        let stream = self.connector.connect(self.name.clone(), tcp).await.map_err(|error| handshake(&error))?;
        let asked = match &self.name {
            ServerName::DnsName(name) => Some(name.as_ref()),
            _ => None,
        };
        let info = TlsInfo::of(stream.get_ref().1, asked);
        ByteStream::tls(stream.into(), info).map_err(|error| AttemptError::from_io(&error))
    }
}

/// Reads an error of a handshake, where an early end has a meaning of its own.
pub(crate) fn handshake(error: &io::Error) -> AttemptError {
    TlsError::from_handshake(error).map_or_else(|| AttemptError::from_io(error), AttemptError::Tls)
}

/// What the attempts did; it outlives the race, so that a timeout can tell.
#[derive(Default)]
struct Log(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    running: Vec<(usize, SocketAddr, Instant)>,
    begin: Option<Instant>,
    failed: Vec<Attempt>,
}

impl Log {
    fn with<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn started(&self, index: usize, address: SocketAddr) {
        self.with(|entries| {
            let now = Instant::now();
            entries.begin.get_or_insert(now);
            entries.running.push((index, address, now));
        });
    }

    fn failed(&self, index: usize, error: AttemptError) {
        self.with(|entries| {
            if let Some(position) = entries.running.iter().position(|(running, ..)| *running == index) {
                let (_, address, start) = entries.running.remove(position);
                entries.push(address, start, error);
            }
        });
    }

    fn finished(&self) -> Vec<Attempt> {
        self.with(|entries| std::mem::take(&mut entries.failed))
    }

    fn cut_off(&self) -> Vec<Attempt> {
        self.with(|entries| {
            for (_, address, start) in std::mem::take(&mut entries.running) {
                entries.push(address, start, AttemptError::Unfinished);
            }
        });
        self.finished()
    }
}

impl Entries {
    fn push(&mut self, address: SocketAddr, start: Instant, error: AttemptError) {
        let started_after = self.begin.map_or(Duration::ZERO, |begin| start - begin);
        self.failed.push(Attempt { address, started_after, elapsed: start.elapsed(), error });
    }
}
