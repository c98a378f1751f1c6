//! The active open: gather, race, connect, protect (RFC 9623 4).

mod lookups;
pub(crate) mod plan;

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use self::lookups::Lookups;
use crate::connection::{Connection, Opened, Origin, Reach};
use crate::error::{Attempt, AttemptError, EstablishmentError, EstablishmentErrorKind as Kind};
use crate::message::Message;
use crate::preconnection::Preconnection;
use crate::properties::Role;
use crate::race;
use crate::selection::{Candidate, CandidateTree, Context, Rejected, Source, Target};
use crate::stack::{self, Leaf, Setting};

/// A connection that is about to be established; await it, with a [`timeout`](Self::timeout) or without.
///
/// What the properties and the endpoints allow is tried in the order of the preferences: the paths, on each the
/// protocol stacks, for each the addresses in the resolver's order with the families alternating. One more of each
/// starts after a delay (500 ms for a path, 250 ms for a stack or an address), or at once when one fails, while the
/// earlier ones keep running. Where earlier connections have shown what a packet takes to the peer and back, an address
/// has twice that time, and no less than an establishment took: from 100 ms to 2 s. The first that is ready, TLS
/// handshake and framers included, wins; the others are closed.
///
/// # Cancel safety
/// Dropping the future closes every attempt.
#[derive(Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct Initiate {
    preconnection: Preconnection,
    timeout: Option<Duration>,
    first: Option<Message>,
}

impl Initiate {
    pub(crate) fn new(preconnection: Preconnection) -> Self {
        Self { preconnection, timeout: None, first: None }
    }

    /// Gives up after this time, resolution included. Without it the system's patience decides who does not answer at
    /// all, about two minutes for each address; a peer that is silent in its handshake after that is waited for.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends a message first: with the handshake, where the message is [safely
    /// replayable](crate::MessageContext::set_safely_replayable) and the transport and the peer allow it, and right
    /// after it otherwise (RFC 9622 7.1 and 6.2.5). The connection is given when it has left. What framers say at their
    /// start leaves before it, and so with the handshake too.
    pub fn with_message(mut self, message: impl Into<Message>) -> Self {
        self.first = Some(message.into());
        self
    }

    /// Gives the connection at once, while it is being established: what is sent on it waits for that, and
    /// [`Connection::ready`] tells how it went.
    ///
    /// A [first message](Self::with_message) goes before all others; what becomes of it is told as an
    /// [event](Connection::events) only.
    pub fn now(self) -> Connection {
        let (properties, first) = (self.preconnection.properties.clone(), self.first.clone());
        Connection::establishing(Box::pin(self.open()), &properties, first)
    }

    async fn open(self) -> Result<Box<Opened>, EstablishmentError> {
        let log = Log::default();
        // In its place from the start: it is large, and moving it costs.
        let run = pin!(establish(&self.preconnection, self.first, &log));
        match self.timeout {
            None => run.await,
            Some(timeout) => match tokio::time::timeout(timeout, run).await {
                Ok(result) => result,
                Err(_) => Err(EstablishmentError::new(Kind::Timeout(timeout), log.cut_off())),
            },
        }
    }

    async fn run(self) -> Result<Connection, EstablishmentError> {
        let (properties, first) = (self.preconnection.properties.clone(), self.first.clone());
        let opened = self.open().await?;
        let first = first.filter(|_| !opened.first_sent);
        let connection = Connection::new(opened, &properties);
        if let Some(first) = first {
            connection.send(first).await.map_err(Kind::FirstMessage)?;
        }
        Ok(connection)
    }
}

impl IntoFuture for Initiate {
    type Output = Result<Connection, EstablishmentError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

async fn establish(
    preconnection: &Preconnection,
    first: Option<Message>,
    log: &Log,
) -> Result<Box<Opened>, EstablishmentError> {
    plan::check(preconnection).map_err(Kind::from)?;
    let context = plan::context(preconnection);
    let settings = plan::settings(preconnection, &context, first.as_ref()).await?;
    let resolver = &preconnection.resolver.remembering(&context);
    let sources = plan::sources(&preconnection.locals, resolver).await?;
    let targets = plan::targets(preconnection);
    let lookups = match targets.iter().all(|target| target.complete) {
        true => Lookups::none(),
        false => Lookups::new(resolver, &plan::looked_up(preconnection), &targets),
    };
    let tree = choose(preconnection, Role::Initiate, &sources, &targets, &context).await?;
    Attempts { preconnection, settings, context, first }.race(tree, lookups, log).await
}

async fn choose(
    preconnection: &Preconnection,
    role: Role,
    sources: &[Source],
    targets: &[Target],
    context: &Context,
) -> Result<CandidateTree, Kind> {
    let host = || preconnection.remotes[0].host_text();
    let chosen = plan::choose(preconnection, role, sources, targets, context).await;
    chosen.map_err(|rejected| Kind::NoCandidates { host: host(), rejected })
}

/// What would be raced, with every name resolved beforehand.
pub(crate) async fn candidates(preconnection: &Preconnection, role: Role) -> Result<CandidateTree, EstablishmentError> {
    plan::check(preconnection).map_err(Kind::from)?;
    let context = plan::context(preconnection);
    let resolver = &preconnection.resolver.remembering(&context);
    let sources = plan::sources(&preconnection.locals, resolver).await?;
    let mut targets = plan::targets(preconnection);
    let mut lookups = Lookups::new(resolver, &plan::looked_up(preconnection), &targets);
    while let Some(arrival) = poll_fn(|cx| lookups.poll(cx)).await {
        let target = &mut targets[arrival.target];
        target.addresses.extend(arrival.addresses);
        target.complete |= arrival.last;
    }
    match lookups.error {
        Some(error) if targets.iter().all(|target| target.addresses.is_empty()) => Err(Kind::from(error).into()),
        _ => Ok(choose(preconnection, role, &sources, &targets, &context).await?),
    }
}

/// What all attempts of one race share.
struct Attempts<'a> {
    preconnection: &'a Preconnection,
    /// One for each remote endpoint.
    settings: Vec<Setting>,
    context: Context,
    /// What leaves with the handshake, where it can.
    first: Option<Message>,
}

impl Attempts<'_> {
    async fn race(
        &self,
        tree: CandidateTree,
        mut lookups: Lookups,
        log: &Log,
    ) -> Result<Box<Opened>, EstablishmentError> {
        let stacks: Vec<_> = tree.stacks().collect();
        let start = |candidate: &Candidate| {
            log.started(candidate);
            self.run(self.leaf(candidate), candidate.target)
        };
        let failed = |candidate: &Candidate, error: AttemptError| {
            if error.is_of_the_way() {
                self.context.failed(&candidate.place(), Instant::now().into_std());
            }
            log.failed(candidate, error);
        };
        let winner = match tree.only().filter(|_| lookups.is_over()) {
            // Without a rival there is no race.
            Some(candidate) => match start(&candidate).await {
                Ok(opened) => Some((candidate, opened)),
                Err(error) => {
                    failed(&candidate, error);
                    None
                }
            },
            None => race::run_tree(tree, |cx| lookups.poll(cx), start, failed).await,
        };
        if let Some((candidate, opened)) = winner {
            let latency = log.elapsed(&candidate);
            self.context.succeeded(&candidate.place(), latency, Instant::now().into_std());
            opened.measure();
            return Ok(opened);
        }
        let attempts = log.finished();
        let kind = match lookups.error {
            Some(error) if attempts.is_empty() => error.into(),
            None if attempts.is_empty() => {
                let rejected = stacks.into_iter().map(Rejected::no_address).collect();
                Kind::NoCandidates { host: self.preconnection.remotes[0].host_text(), rejected }
            }
            _ if attempts.iter().all(|attempt| attempt.error == AttemptError::Prohibited) => Kind::PolicyProhibited,
            _ => Kind::EstablishmentFailed,
        };
        Err(EstablishmentError::new(kind, attempts))
    }

    fn leaf(&self, candidate: &Candidate) -> Leaf {
        let identifiers = self.preconnection.remotes[candidate.target].identifiers();
        Leaf {
            stack: candidate.stack,
            remote: candidate.address.clone(),
            local: candidate.source.clone(),
            interface: candidate.path.interface().map(|info| info.name.clone()),
            host: candidate.host.clone(),
            websocket: identifiers.websocket.as_deref().map(|resource| Arc::new(resource.clone())),
            hop_limit: identifiers.hop_limit,
        }
    }

    async fn run(&self, leaf: Leaf, target: usize) -> Result<Box<Opened>, AttemptError> {
        let setting = &self.settings[target];
        let established = stack::connect(&leaf, setting).await?;
        // What is sent first on a clone is not known to be safely replayable.
        let setting = Setting { early: false, ..setting.clone() };
        let reach = Reach { leaf, setting, context: self.context.clone() };
        let origin = Origin::new(&self.preconnection.framers, Some(reach));
        Opened::start(established, origin, self.first.as_ref()).await
    }
}

/// What the attempts did; it outlives the race, so that a timeout can tell.
#[derive(Default)]
struct Log(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    running: Vec<(Candidate, Instant)>,
    begin: Option<Instant>,
    failed: Vec<Attempt>,
}

impl Log {
    fn with<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn started(&self, candidate: &Candidate) {
        self.with(|entries| {
            let now = Instant::now();
            entries.begin.get_or_insert(now);
            entries.running.push((candidate.clone(), now));
        });
    }

    fn failed(&self, candidate: &Candidate, error: AttemptError) {
        self.with(|entries| {
            if let Some(position) = entries.running.iter().position(|(running, _)| running == candidate) {
                let (candidate, start) = entries.running.remove(position);
                entries.push(candidate, start, error);
            }
        });
    }

    /// How long an attempt that has not failed has been running.
    fn elapsed(&self, candidate: &Candidate) -> Duration {
        self.with(|entries| {
            let running = entries.running.iter().find(|(running, _)| running == candidate);
            running.map_or(Duration::ZERO, |(_, start)| start.elapsed())
        })
    }

    fn finished(&self) -> Vec<Attempt> {
        self.with(|entries| std::mem::take(&mut entries.failed))
    }

    fn cut_off(&self) -> Vec<Attempt> {
        self.with(|entries| {
            for (candidate, start) in std::mem::take(&mut entries.running) {
                entries.push(candidate, start, AttemptError::Unfinished);
            }
        });
        self.finished()
    }
}

impl Entries {
    fn push(&mut self, Candidate { stack, address, .. }: Candidate, start: Instant, error: AttemptError) {
        let started_after = self.begin.map_or(Duration::ZERO, |begin| start - begin);
        self.failed.push(Attempt { stack, address, started_after, elapsed: start.elapsed(), error });
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use socket2::{Domain, Socket, Type};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::endpoint::RemoteEndpoint;
    use crate::protocol::ProtocolStack;
    use crate::selection::Target;
    use crate::tls::{Security, TlsConfig};

    async fn race(preconnection: Preconnection, candidates: &[SocketAddr]) -> (Connection, Duration, Vec<Attempt>) {
        race_in(&Context::new(), preconnection, candidates).await
    }

    async fn race_in(
        context: &Context,
        preconnection: Preconnection,
        candidates: &[SocketAddr],
    ) -> (Connection, Duration, Vec<Attempt>) {
        let preconnection = preconnection.remote(RemoteEndpoint::host("localhost").port(1));
        let addresses = candidates.iter().copied().map(Into::into).collect();
        let targets = [Target::remote(&preconnection.remotes[0], addresses, true)];
        let tree = plan::choose(&preconnection, Role::Initiate, &[], &targets, context).await.unwrap();
        let log = Log::default();
        let settings = plan::settings(&preconnection, context, None).await.unwrap();
        let attempts = Attempts { preconnection: &preconnection, settings, context: context.clone(), first: None };
        let lookups = Lookups::new(&preconnection.resolver, &preconnection.remotes, &targets);
        let begin = Instant::now();
        let race = attempts.race(tree, lookups, &log);
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

    /// What is known of the way to the loopback, and how long an address of it runs alone.
    async fn known(context: &Context, port: u16) -> (Option<Duration>, Duration) {
        let to = clear().remote(RemoteEndpoint::host("127.0.0.1").port(port));
        let tree = plan::choose(&to, Role::Initiate, &[], &plan::targets(&to), context).await.unwrap();
        let way = tree.candidates().next().unwrap().place().way;
        (context.round_trip(&way, Instant::now().into_std()), tree.paths[0].stacks[0].delay)
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_connection_leaves_behind_how_far_its_peer_is() {
        // RFC 9623 9.2, RFC 8305 5.
        let (_listener, address) = listener().await;
        let (context, port) = (Context::new(), address.port());
        let to = clear().context(context.clone()).remote(RemoteEndpoint::host("127.0.0.1").port(port));
        assert_eq!(known(&context, port).await, (None, race::ATTEMPT_DELAY));
        let connection = to.initiate().await.unwrap();
        let (round_trip, delay) = known(&context, port).await;
        let round_trip = round_trip.expect("the handshake was measured");
        assert!(round_trip > Duration::ZERO && round_trip < Duration::from_secs(5), "{round_trip:?}");
        // A machine that is busy takes its time.
        assert!(delay >= (round_trip * 2).clamp(Duration::from_millis(100), Duration::from_secs(2)), "{delay:?}");
        // Its end tells once more; what has been cleared meanwhile stays cleared until then.
        context.clear();
        assert_eq!(known(&context, port).await.0, None);
        connection.close().await.unwrap();
        assert!(known(&context, port).await.0.is_some());
        context.clear();
        connection.close().await.unwrap();
        assert_eq!(known(&context, port).await.0, None, "it is closed");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_isolated_session_neither_measures_for_others_nor_knows_what_they_have_measured() {
        // RFC 9622 8.1.10.
        let (_listener, address) = listener().await;
        let (context, port) = (Context::new(), address.port());
        let mut properties = crate::TransportProperties::new();
        properties.connection.isolate_session = true;
        let shared = clear().context(context.clone()).remote(RemoteEndpoint::host("127.0.0.1").port(port));
        let isolated = shared.clone().properties(properties);
        let connection = isolated.initiate().await.unwrap();
        let clone = connection.clone_connection().await.unwrap();
        assert_eq!(known(&context, port).await, (None, race::ATTEMPT_DELAY));
        connection.close_group().await.unwrap();
        drop(clone);
        assert_eq!(known(&context, port).await.0, None);
        let connection = shared.initiate().await.unwrap();
        assert!(known(&context, port).await.0.is_some());
        assert_eq!(known(&plan::context(&isolated), port).await, (None, race::ATTEMPT_DELAY));
        // What a clone sees is what its original would have seen.
        context.clear();
        connection.clone_connection().await.unwrap();
        assert!(known(&context, port).await.0.is_some());
    }

    #[cfg(all(target_os = "linux", feature = "quic", feature = "websocket"))]
    #[tokio::test]
    async fn every_transport_that_measures_tells() {
        use crate::{Protocol, TransportProperties};
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = (key.cert.pem(), key.signing_key.serialize_pem());
        let server = TlsConfig::builder().server_certificate_pem(pem.0, pem.1).alpn(["post/1"]).build().unwrap();
        let client = TlsConfig::builder().danger_accept_any_certificate().alpn(["post/1"]).build().unwrap();
        for (protocol, stack) in [
            (Protocol::Tcp, ProtocolStack::Tls),
            (Protocol::Quic, ProtocolStack::QuicStream),
            (Protocol::Quic, ProtocolStack::QuicDatagram),
            (Protocol::WebSocket, ProtocolStack::SecureWebSocket),
        ] {
            let properties = match stack {
                ProtocolStack::QuicDatagram => TransportProperties::unreliable_datagram(),
                _ => TransportProperties::new(),
            };
            let mut local = crate::LocalEndpoint::host("127.0.0.1").protocol(protocol);
            if protocol == Protocol::WebSocket {
                local = local.websocket("/chat");
            }
            let listening = Preconnection::new().security(server.clone()).properties(properties.clone()).local(local);
            let listening = listening.listen().await.unwrap();
            let port = listening.local_endpoint().ip().unwrap().port();
            let mut remote = RemoteEndpoint::host("127.0.0.1").port(port).protocol(protocol);
            if protocol == Protocol::WebSocket {
                remote = remote.websocket("/chat");
            }
            let context = Context::new();
            let to = Preconnection::new().security(client.clone()).properties(properties).context(context.clone());
            let serving = async {
                let _accepted = listening.accept().await;
                std::future::pending().await
            };
            let connection = tokio::select! {
                connected = to.remote(remote).initiate().into_future() => connected.unwrap(),
                () = serving => unreachable!("it serves for ever"),
            };
            assert_eq!(connection.protocol_stack(), Some(stack));
            let round_trip = known(&context, port).await.0;
            assert!(round_trip.is_some_and(|time| time > Duration::ZERO), "{stack}: {round_trip:?}");
        }
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

    #[tokio::test]
    async fn isolated_sessions_are_resumed_by_their_own_group_alone() {
        // RFC 9622 8.1.10. The name is asked for by no other test.
        let name = "isolated.example";
        let key = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let server = TlsConfig::builder()
            .server_certificate_pem(key.cert.pem(), key.signing_key.serialize_pem())
            .build()
            .unwrap();
        let server = Preconnection::new().security(server).local(crate::LocalEndpoint::host("127.0.0.1"));
        let server = server.listen().await.unwrap();
        let address = server.local_endpoint().ip().unwrap();
        let connect = async |isolate: bool, context: &Context| {
            let client = TlsConfig::builder().danger_accept_any_certificate().server_name(name).build().unwrap();
            let mut properties = crate::TransportProperties::new();
            properties.connection.isolate_session = isolate;
            let client = Preconnection::new().security(client).properties(properties);
            let candidates = [address];
            let (raced, accepted) = tokio::join!(race_in(context, client, &candidates), server.accept());
            // The tickets come behind the handshake, before what is sent.
            let sent = accepted.unwrap().unwrap();
            sent.send("x").await.unwrap();
            sent.close().await.unwrap();
            raced.0.receive().await.unwrap();
        };
        let group = Context::new();
        connect(true, &group).await;
        assert!(group.is_resumable(ProtocolStack::Tls, name));
        assert!(!Context::global().is_resumable(ProtocolStack::Tls, name));
        connect(false, &Context::new()).await;
        assert!(Context::global().is_resumable(ProtocolStack::Tls, name));
    }
}
