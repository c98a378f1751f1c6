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

use crate::Protocol;
use crate::connection::Connection;
use crate::endpoint::Place;
use crate::error::{Attempt, AttemptError, ConfigurationError, EstablishmentError, EstablishmentErrorKind as Kind};
use crate::preconnection::Preconnection;
use crate::race;
use crate::resolve::Resolver;
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
    remote.check().map_err(ConfigurationError::from).map_err(Kind::from)?;
    if remote.port_number() == 0 && remote.identifiers().service.is_none() {
        return Err(Kind::from(ConfigurationError::NoRemotePort).into());
    }
    let protection = match &preconnection.security {
        Security::Disabled => None,
        Security::Tls(config) => Some(Protection::prepare(config, &remote.host_text()).await.map_err(Kind::from)?),
    };
    let resolver = Resolver::system();
    let sources = match &preconnection.local {
        Some(local) => {
            local.check().map_err(ConfigurationError::from).map_err(Kind::from)?;
            let mut bound = resolver.resolve_local(local, Protocol::Tcp).all().await.map_err(Kind::from)?;
            let any_port = bound[0].port();
            if local.identifiers().place == Place::Any {
                bound.clear();
            }
            Sources { any_port, bound }
        }
        None => Sources::default(),
    };
    let reachable = resolver
        .resolve(remote, Protocol::Tcp)
        .all()
        .await
        .map_err(Kind::from)?
        .into_iter()
        .filter(|a| sources.reach(*a));
    let candidates = race::interleave(reachable);
    if candidates.is_empty() {
        return Err(Kind::NoCandidates { host: remote.host_text() }.into());
    }

    let attempts = Attempts { preconnection: &preconnection, sources: &sources, protection: protection.as_ref() };
    attempts.race(&candidates, log).await
}

/// What all attempts of one race share.
struct Attempts<'a> {
    preconnection: &'a Preconnection,
    sources: &'a Sources,
    protection: Option<&'a Protection>,
}

impl Attempts<'_> {
    async fn race(&self, candidates: &[SocketAddr], log: &Log) -> Result<Connection, EstablishmentError> {
        let start = |index: usize| {
            let address = candidates[index];
            log.started(index, address);
            self.run(address)
        };
        let failed = |index, error| log.failed(index, error);
        let winner = race::run(candidates.len(), race::ATTEMPT_DELAY, start, failed).await;
        winner.ok_or_else(|| {
            let attempts = log.finished();
            let prohibited = attempts.iter().all(|attempt| attempt.error == AttemptError::Prohibited);
            let kind = if prohibited { Kind::PolicyProhibited } else { Kind::EstablishmentFailed };
            EstablishmentError::new(kind, attempts)
        })
    }

    async fn run(&self, address: SocketAddr) -> Result<Connection, AttemptError> {
        let Preconnection { framers, properties, .. } = self.preconnection;
        let tcp = connect(address, self.sources.toward(address)).await?;
        properties.apply(&tcp).map_err(|error| AttemptError::Property(error.kind()))?;
        let stream = match self.protection {
            None => ByteStream::tcp(tcp).map_err(|error| AttemptError::from_io(&error))?,
            Some(protection) => protection.protect(tcp).await?,
        };
        Connection::open(stream, framers, properties).await
    }
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
pub(crate) struct Protection {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Protection {
    pub(crate) async fn prepare(config: &TlsConfig, host: &str) -> Result<Self, TlsConfigError> {
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

    pub(crate) async fn protect(&self, tcp: TcpStream) -> Result<ByteStream, AttemptError> {
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use socket2::{Domain, Socket, Type};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn race(preconnection: Preconnection, candidates: &[SocketAddr]) -> (Connection, Duration, Vec<Attempt>) {
        let config = match &preconnection.security {
            Security::Disabled => None,
            Security::Tls(config) => Some(Protection::prepare(config, "localhost").await.unwrap()),
        };
        let (log, sources) = (Log::default(), Sources::default());
        let attempts = Attempts { preconnection: &preconnection, sources: &sources, protection: config.as_ref() };
        let begin = Instant::now();
        let race = attempts.race(candidates, &log);
        let connection = tokio::time::timeout(Duration::from_secs(10), race).await.unwrap().unwrap();
        (connection, begin.elapsed(), log.finished())
    }

    fn clear() -> Preconnection {
        Preconnection::new().security(Security::Disabled)
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn behind_a_black_hole_the_next_address_wins_after_one_stagger() {
        // A queue of one that is full: the system drops what else comes.
        let hole = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        hole.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, 9), 0)).into()).unwrap();
        hole.listen(0).unwrap();
        let address = hole.local_addr().unwrap();
        let fill = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address);
            socket
        };
        let _queue = [fill(), fill(), fill(), fill()];
        let (_listener, good) = listener().await;
        let (winner, elapsed, failed) = race(clear(), &[address.as_socket().unwrap(), good]).await;
        assert_eq!((winner.remote_endpoint(), failed), (good, Vec::new()));
        assert!(elapsed >= Duration::from_millis(230) && elapsed < Duration::from_secs(5), "{elapsed:?}");
    }

    #[tokio::test]
    async fn behind_a_refusal_the_next_address_starts_at_once() {
        let (closed, refused) = listener().await;
        drop(closed);
        let (_listener, good) = listener().await;
        let (winner, elapsed, failed) = race(clear(), &[refused, good]).await;
        assert_eq!(winner.remote_endpoint(), good);
        assert!(elapsed < Duration::from_millis(200), "{elapsed:?}");
        assert_eq!((failed.len(), failed[0].address, &failed[0].error), (1, refused, &AttemptError::Refused));
    }

    #[tokio::test]
    async fn a_silent_server_loses_and_is_closed() {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let server = TlsConfig::builder()
            .server_certificate_pem(key.cert.pem(), key.signing_key.serialize_pem())
            .build()
            .unwrap();
        let good = Preconnection::new().security(server).local(crate::LocalEndpoint::host("127.0.0.1"));
        let good = good.listen().await.unwrap();
        let (silent, silent_address) = listener().await;
        let client = TlsConfig::builder().danger_accept_any_certificate().build().unwrap();
        let candidates = [silent_address, good.local_addr()];
        let (raced, accepted, hello) =
            tokio::join!(race(Preconnection::new().security(client), &candidates), good.accept(), async {
                let mut hello = Vec::new();
                let _ = silent.accept().await.unwrap().0.read_to_end(&mut hello).await;
                hello
            });
        accepted.unwrap().unwrap();
        assert_eq!(raced.0.remote_endpoint(), good.local_addr());
        assert_eq!(hello[0], 22, "the loser saw a handshake begin, and its end");
    }
}
