//! The active open: gather, race, connect, protect (RFC 9623 4).

use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::{Connection, Opened, Origin};
use crate::endpoint::{EndpointAddress, Place, RemoteEndpoint};
use crate::error::{Attempt, AttemptError, ConfigurationError, EstablishmentError, EstablishmentErrorKind as Kind};
use crate::preconnection::Preconnection;
use crate::protocol::{Protocol, ProtocolStack};
use crate::race;
use crate::resolve::Resolver;
use crate::stack::{self, Leaf, Setting};
use crate::tls::{ClientSide, Security};

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

    /// Gives the connection at once, while it is being established: what is sent on it waits for that, and
    /// [`Connection::ready`] tells how it went.
    pub fn now(self) -> Connection {
        let properties = self.preconnection.properties.clone();
        Connection::establishing(Box::pin(self.open()), &properties)
    }

    async fn open(self) -> Result<Opened, EstablishmentError> {
        let log = Log::default();
        let run = establish(&self.preconnection, &log);
        match self.timeout {
            None => run.await,
            Some(timeout) => match tokio::time::timeout(timeout, run).await {
                Ok(result) => result,
                Err(_) => Err(EstablishmentError::new(Kind::Timeout(timeout), log.cut_off())),
            },
        }
    }

    async fn run(self) -> Result<Connection, EstablishmentError> {
        let properties = self.preconnection.properties.clone();
        Ok(Connection::new(self.open().await?, &properties))
    }
}

impl IntoFuture for Initiate {
    type Output = Result<Connection, EstablishmentError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

async fn establish(preconnection: &Preconnection, log: &Log) -> Result<Opened, EstablishmentError> {
    let [remote, ..] = &preconnection.remotes[..] else {
        return Err(Kind::from(ConfigurationError::NoRemoteEndpoint).into());
    };
    remote.check().map_err(ConfigurationError::from).map_err(Kind::from)?;
    preconnection.properties.validate().map_err(ConfigurationError::from).map_err(Kind::from)?;
    let security = match &preconnection.security {
        Security::Disabled => None,
        Security::Tls(config) => Some(ClientSide::prepare(config, &remote.host_text()).await.map_err(Kind::from)?),
    };
    let leaves = leaves(preconnection, remote, security.is_some()).await?;
    if leaves.is_empty() {
        return Err(Kind::NoCandidates { host: remote.host_text() }.into());
    }
    let setting = Setting { properties: Arc::new(preconnection.properties.clone()), security, early: false };
    Attempts { preconnection, setting }.race(&leaves, log).await
}

/// Every way to reach the peer, the best first.
async fn leaves(
    preconnection: &Preconnection,
    remote: &RemoteEndpoint,
    secure: bool,
) -> Result<Vec<Leaf>, EstablishmentError> {
    let leaf = |stack, remote: EndpointAddress, local: Option<SocketAddr>, host: String| Leaf {
        stack,
        remote,
        local: local.map(EndpointAddress::from),
        interface: None,
        host: host.into(),
        websocket: None,
        hop_limit: None,
    };
    if let Place::Unix(path) = &remote.identifiers().place {
        return Ok(vec![leaf(ProtocolStack::UnixStream, path.clone().into(), None, remote.host_text())]);
    }
    if remote.port_number() == 0 && remote.identifiers().service.is_none() {
        return Err(Kind::from(ConfigurationError::NoRemotePort).into());
    }
    let resolver = Resolver::system();
    let sources = match preconnection.locals.first() {
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
    let stack = if secure { ProtocolStack::Tls } else { ProtocolStack::Tcp };
    let resolved = resolver.resolve(remote, Protocol::Tcp).all().await.map_err(Kind::from)?;
    let reachable = resolved.into_iter().filter(|address| sources.reach(*address));
    let leaves = race::interleave(reachable).into_iter();
    Ok(leaves.map(|address| leaf(stack, address.into(), sources.toward(address), remote.host_text())).collect())
}

/// What all attempts of one race share.
struct Attempts<'a> {
    preconnection: &'a Preconnection,
    setting: Setting,
}

impl Attempts<'_> {
    async fn race(&self, leaves: &[Leaf], log: &Log) -> Result<Opened, EstablishmentError> {
        let start = |index: usize| {
            let leaf = &leaves[index];
            log.started(index, leaf);
            self.run(leaf)
        };
        let failed = |index, error| log.failed(index, error);
        let winner = race::run(leaves.len(), race::ATTEMPT_DELAY, start, failed).await;
        winner.ok_or_else(|| {
            let attempts = log.finished();
            let prohibited = attempts.iter().all(|attempt| attempt.error == AttemptError::Prohibited);
            let kind = if prohibited { Kind::PolicyProhibited } else { Kind::EstablishmentFailed };
            EstablishmentError::new(kind, attempts)
        })
    }

    async fn run(&self, leaf: &Leaf) -> Result<Opened, AttemptError> {
        let established = stack::connect(leaf, &self.setting).await?;
        let origin = Origin::new(&self.preconnection.framers, Some((leaf.clone(), self.setting.clone())));
        Opened::start(established, origin).await
    }
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

/// What the attempts did; it outlives the race, so that a timeout can tell.
#[derive(Default)]
struct Log(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    running: Vec<(usize, ProtocolStack, EndpointAddress, Instant)>,
    begin: Option<Instant>,
    failed: Vec<Attempt>,
}

impl Log {
    fn with<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn started(&self, index: usize, leaf: &Leaf) {
        self.with(|entries| {
            let now = Instant::now();
            entries.begin.get_or_insert(now);
            entries.running.push((index, leaf.stack, leaf.remote.clone(), now));
        });
    }

    fn failed(&self, index: usize, error: AttemptError) {
        self.with(|entries| {
            if let Some(position) = entries.running.iter().position(|(running, ..)| *running == index) {
                let (_, stack, address, start) = entries.running.remove(position);
                entries.push(stack, address, start, error);
            }
        });
    }

    fn finished(&self) -> Vec<Attempt> {
        self.with(|entries| std::mem::take(&mut entries.failed))
    }

    fn cut_off(&self) -> Vec<Attempt> {
        self.with(|entries| {
            for (_, stack, address, start) in std::mem::take(&mut entries.running) {
                entries.push(stack, address, start, AttemptError::Unfinished);
            }
        });
        self.finished()
    }
}

impl Entries {
    fn push(&mut self, stack: ProtocolStack, address: EndpointAddress, start: Instant, error: AttemptError) {
        let started_after = self.begin.map_or(Duration::ZERO, |begin| start - begin);
        self.failed.push(Attempt { stack, address, started_after, elapsed: start.elapsed(), error });
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use socket2::{Domain, Socket, Type};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::tls::TlsConfig;

    async fn race(preconnection: Preconnection, candidates: &[SocketAddr]) -> (Connection, Duration, Vec<Attempt>) {
        let (security, stack) = match &preconnection.security {
            Security::Disabled => (None, ProtocolStack::Tcp),
            Security::Tls(config) => {
                (Some(ClientSide::prepare(config, "localhost").await.unwrap()), ProtocolStack::Tls)
            }
        };
        let leaf = |address: &SocketAddr| Leaf {
            stack,
            remote: (*address).into(),
            local: None,
            interface: None,
            host: "localhost".into(),
            websocket: None,
            hop_limit: None,
        };
        let leaves: Vec<_> = candidates.iter().map(leaf).collect();
        let log = Log::default();
        let properties = Arc::new(preconnection.properties.clone());
        let setting = Setting { properties, security, early: false };
        let attempts = Attempts { preconnection: &preconnection, setting };
        let begin = Instant::now();
        let race = attempts.race(&leaves, &log);
        let opened = tokio::time::timeout(Duration::from_secs(10), race).await.unwrap().unwrap();
        (Connection::new(opened, &preconnection.properties), begin.elapsed(), log.finished())
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
        assert_eq!((winner.remote_endpoint().unwrap(), failed), (&good.into(), Vec::new()));
        assert!(elapsed >= Duration::from_millis(230) && elapsed < Duration::from_secs(5), "{elapsed:?}");
    }

    #[tokio::test]
    async fn behind_a_refusal_the_next_address_starts_at_once() {
        let (closed, refused) = listener().await;
        drop(closed);
        let (_listener, good) = listener().await;
        let (winner, elapsed, failed) = race(clear(), &[refused, good]).await;
        assert_eq!(winner.remote_endpoint().unwrap(), &good);
        assert!(elapsed < Duration::from_millis(200), "{elapsed:?}");
        assert_eq!((failed.len(), &failed[0].address, &failed[0].error), (1, &refused.into(), &AttemptError::Refused));
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
        let candidates = [silent_address, good.local_endpoint().ip().unwrap()];
        let (raced, accepted, hello) =
            tokio::join!(race(Preconnection::new().security(client), &candidates), good.accept(), async {
                let mut hello = Vec::new();
                let _ = silent.accept().await.unwrap().0.read_to_end(&mut hello).await;
                hello
            });
        accepted.unwrap().unwrap();
        assert_eq!(raced.0.remote_endpoint(), Some(good.local_endpoint()));
        assert_eq!(hello[0], 22, "the loser saw a handshake begin, and its end");
    }
}
