//! The proxy between real sockets.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use postroad_codec::v1_0::ProtocolHeader;
use postroad_testkit::faults::{At, Direction, Ending, Fault, FrameKind, Part, Place, Plan, Point, Rule};
use postroad_testkit::{Door, Proxy, begin, open, transfer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Long for anything that should happen.
const SOON: Duration = Duration::from_secs(20);
/// Short, for what should not.
const A_WHILE: Duration = Duration::from_millis(100);

/// A server, a proxy to it, and a client whose connection the server has taken.
struct Case {
    server: TcpListener,
    proxy: Proxy,
}

impl Case {
    async fn new(plan: Plan) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(server.local_addr().unwrap(), plan).await.unwrap();
        Self { server, proxy }
    }

    async fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.proxy.addr()).await.unwrap();
        let (server, _) = soon(self.server.accept()).await.unwrap();
        (client, server)
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.expect("it takes too long")
}

fn frames() -> Vec<u8> {
    let mut all = ProtocolHeader::AMQP.to_bytes().to_vec();
    for frame in [open().to_bytes(), begin().to_bytes(), transfer(0).payload(vec![7; 5_000]).to_bytes()] {
        all.extend(frame);
    }
    all
}

/// What comes until the end, and how that is told.
async fn until_the_end(stream: &mut TcpStream) -> (Vec<u8>, Option<io::ErrorKind>) {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match soon(stream.read(&mut buffer)).await {
            Ok(0) => return (all, None),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) => return (all, Some(error.kind())),
        }
    }
}

/// Writes without end, until the other side is gone.
fn flood(mut stream: TcpStream) -> JoinHandle<u64> {
    tokio::spawn(async move {
        let mut written = 0;
        while stream.write_all(&[9; 4096]).await.is_ok() {
            written += 4096;
        }
        written
    })
}

async fn refused(addr: SocketAddr) -> bool {
    match soon(TcpStream::connect(addr)).await {
        Err(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        // Where the system cannot refuse, it is reset at once.
        Ok(mut stream) => !cfg!(unix) && until_the_end(&mut stream).await.0.is_empty(),
    }
}

#[tokio::test]
async fn bytes_pass_both_ways_and_each_end_passes_alone() {
    let case = Case::new(Plan::default()).await;
    let (mut client, mut server) = case.connect().await;
    client.write_all(&frames()).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(until_the_end(&mut server).await, (frames(), None));
    server.write_all(&frames()).await.unwrap();
    drop(server);
    assert_eq!(until_the_end(&mut client).await, (frames(), None));
    let stats = case.proxy.stats();
    assert_eq!((stats.connections, stats.cuts, stats.bytes), (1, 0, 2 * frames().len() as u64));
}

#[tokio::test]
async fn cut_ends_both_sides_where_it_was_decided() {
    for ending in [Ending::Reset, Ending::Fin] {
        for direction in Direction::BOTH {
            let at = At::frame(FrameKind::Transfer).at(Point::Byte(100));
            let case =
                Case::new(Plan::new(1).rule(Rule::new(Fault::Cut(Some(ending)), at).in_direction(direction))).await;
            let (client, server) = case.connect().await;
            let (mut from, mut to) = match direction {
                Direction::ToServer => (client, server),
                Direction::ToClient => (server, client),
            };
            from.write_all(&frames()).await.unwrap();
            let (arrived, error) = until_the_end(&mut to).await;
            let expected = &frames()[..frames().len() - transfer(0).payload(vec![7; 5_000]).to_bytes().len() + 100];
            match ending {
                Ending::Fin => assert_eq!((&arrived[..], error), (expected, None)),
                Ending::Reset => assert!(expected.starts_with(&arrived) && error.is_some(), "{error:?}"),
            }
            // The side that sent hears of it too.
            until_the_end(&mut from).await;
            let place = Place { direction, kind: FrameKind::Transfer, part: Part::Inside };
            assert_eq!(case.proxy.stats().places.into_iter().collect::<Vec<_>>(), [(place, 1)]);
        }
    }
}

#[tokio::test]
async fn stalled_direction_passes_nothing_and_the_other_does() {
    let stall = Rule::new(Fault::Stall, At::Byte(10)).in_direction(Direction::ToServer);
    let case = Case::new(Plan::new(1).rule(stall)).await;
    let (mut client, mut server) = case.connect().await;
    client.write_all(&frames()).await.unwrap();
    let mut start = [0; 10];
    soon(server.read_exact(&mut start)).await.unwrap();
    assert!(timeout(A_WHILE, server.read_u8()).await.is_err(), "nothing more comes");
    server.write_all(b"AMQP\x00\x01\x00\x00").await.unwrap();
    let mut header = [0; 8];
    soon(client.read_exact(&mut header)).await.unwrap();
    case.proxy.cut_all();
    until_the_end(&mut server).await;
    until_the_end(&mut client).await;
    assert_eq!((case.proxy.stats().stalls, case.proxy.stats().cuts), (1, 1));
}

#[tokio::test]
async fn delayed_bytes_come_later() {
    let delay = Duration::from_millis(150);
    let case = Case::new(Plan::new(1).rule(Rule::new(Fault::Delay(delay), At::frame(FrameKind::Begin)))).await;
    let (mut client, mut server) = case.connect().await;
    let started = std::time::Instant::now();
    client.write_all(&frames()).await.unwrap();
    let mut all = vec![0; frames().len()];
    soon(server.read_exact(&mut all)).await.unwrap();
    assert!(started.elapsed() >= delay);
    assert_eq!(all, frames());
}

#[tokio::test]
async fn who_does_not_read_holds_the_sender_back() {
    let case = Case::new(Plan::default()).await;
    let (client, mut server) = case.connect().await;
    let flood = flood(client);
    let mut read = 0_u64;
    let mut buffer = vec![0; 64 * 1024];
    // Nobody reads: what is carried comes to rest.
    let mut carried = u64::MAX;
    soon(async {
        while carried == 0 || carried != case.proxy.stats().bytes {
            carried = case.proxy.stats().bytes;
            tokio::time::sleep(A_WHILE).await;
        }
    })
    .await;
    assert!(!flood.is_finished());
    assert!(carried < 64 * 1024 * 1024, "the buffers of sockets bound it: {carried}");
    while read < 2 * carried {
        read += soon(server.read(&mut buffer)).await.unwrap() as u64;
    }
    drop(case);
    soon(flood).await.unwrap();
}

#[tokio::test]
async fn refused_connections_come_again_when_the_door_opens() {
    let case = Case::new(Plan::default()).await;
    let (mut client, mut server) = case.connect().await;
    case.proxy.set_door(Door::Refused);
    soon(async {
        while !refused(case.proxy.addr()).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Who is there stays.
    client.write_all(b"AMQP\x00\x01\x00\x00").await.unwrap();
    let mut header = [0; 8];
    soon(server.read_exact(&mut header)).await.unwrap();
    for _ in 0..20 {
        assert!(refused(case.proxy.addr()).await);
    }
    case.proxy.set_door(Door::Open);
    soon(async {
        while TcpStream::connect(case.proxy.addr()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    soon(case.server.accept()).await.unwrap();

    let away = Duration::from_millis(50);
    let started = std::time::Instant::now();
    case.proxy.refuse_for(away).await;
    assert!(started.elapsed() >= away);
    soon(async {
        while TcpStream::connect(case.proxy.addr()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn hanging_connections_say_nothing_until_they_are_cut() {
    let case = Case::new(Plan::default()).await;
    case.proxy.set_door(Door::Hanging);
    let mut client = TcpStream::connect(case.proxy.addr()).await.unwrap();
    client.write_all(&frames()).await.unwrap();
    assert!(timeout(A_WHILE, client.read_u8()).await.is_err(), "nothing comes");
    assert!(timeout(Duration::ZERO, case.server.accept()).await.is_err(), "the server hears nothing");
    case.proxy.set_door(Door::Open);
    case.proxy.cut_all();
    until_the_end(&mut client).await;
    assert_eq!((case.proxy.stats().hung, case.proxy.stats().connections), (1, 0));
    case.connect().await;
}

#[tokio::test]
async fn plan_changes_while_bytes_pass_and_another_server_is_led_to() {
    let case = Case::new(Plan::default()).await;
    let (client, mut server) = case.connect().await;
    let flood = flood(client);
    let mut buffer = vec![0; 64 * 1024];
    for _ in 0..10 {
        assert_ne!(soon(server.read(&mut buffer)).await.unwrap(), 0);
    }
    let reading = tokio::spawn(async move { while server.read(&mut buffer).await.is_ok_and(|count| count > 0) {} });
    case.proxy.arm(Rule::cut(At::Byte(100_000)));
    soon(flood).await.unwrap();
    soon(reading).await.unwrap();
    assert_eq!((case.proxy.stats().cuts, case.proxy.armed()), (1, 0));

    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    case.proxy.set_target(other.local_addr().unwrap());
    case.proxy.set_plan(Plan::new(1).rule(Rule::truncate(3, Direction::ToServer)));
    let mut client = TcpStream::connect(case.proxy.addr()).await.unwrap();
    let (mut server, _) = soon(other.accept()).await.unwrap();
    client.write_all(&frames()).await.unwrap();
    assert_eq!(until_the_end(&mut server).await, (b"AMQ".to_vec(), None));
}

#[tokio::test]
async fn client_is_left_when_nobody_serves_and_when_the_proxy_goes() {
    let case = Case::new(Plan::default()).await;
    let (mut client, mut server) = case.connect().await;
    let Case { server: listener, proxy } = case;
    drop(listener);
    let mut late = TcpStream::connect(proxy.addr()).await.unwrap();
    assert!(until_the_end(&mut late).await.0.is_empty());
    drop(proxy);
    until_the_end(&mut client).await;
    until_the_end(&mut server).await;
}

#[tokio::test]
async fn random_cuts_come_again_with_the_seed() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let case = Case::new(Plan::new(5).cuts_every(2_000)).await;
        let mut lengths = Vec::new();
        for _ in 0..10 {
            let (mut client, mut server) = case.connect().await;
            // It may be cut before all is written.
            let _ = client.write_all(&frames()).await;
            let _ = client.shutdown().await;
            until_the_end(&mut server).await;
            until_the_end(&mut client).await;
            lengths.push(case.proxy.stats().places);
        }
        runs.push(lengths);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(!runs[0].last().unwrap().is_empty());
}
