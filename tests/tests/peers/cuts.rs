//! Somebody else's broker behind a proxy that cuts: what at-least-once keeps.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postroad_client::{AttachError, Connection, LinkOptions, Message, Reconnect, Session};
use postroad_testkit::Proxy;
use postroad_testkit::faults::{At, Direction, FrameKind, Plan, Point, Rule};
use postroad_tests::ours::{SOON, options, run, soon};

use super::Known;
use super::through::Between;

/// Cuts of a case, of both ends together.
const CUTS: u64 = 100;
/// Messages at least.
const LEAST: u64 = 500;
/// Messages at most: when they are used up, what is left is cut without them.
const MOST: u64 = 3_000;
/// How long a cut waits for its place before it comes wherever the connection is.
const LATE: Duration = Duration::from_millis(150);
/// So small that most bodies take several frames.
const FRAME: u32 = 1024;

/// A cut of a connection that works, and one of the connection that is made after it.
type Pair = [(Direction, FrameKind, u64, Point); 2];

const SENDER: [Pair; 5] = [
    [
        (Direction::ToServer, FrameKind::Transfer, 7, Point::Inside),
        (Direction::ToServer, FrameKind::Attach, 1, Point::Inside),
    ],
    [
        (Direction::ToServer, FrameKind::Transfer, 20, Point::After),
        (Direction::ToClient, FrameKind::Attach, 1, Point::Before),
    ],
    [
        (Direction::ToClient, FrameKind::Disposition, 3, Point::Before),
        (Direction::ToServer, FrameKind::Transfer, 1, Point::Inside),
    ],
    [
        (Direction::ToClient, FrameKind::Disposition, 1, Point::Inside),
        (Direction::ToClient, FrameKind::Open, 1, Point::Inside),
    ],
    [
        (Direction::ToServer, FrameKind::Transfer, 1, Point::Before),
        (Direction::ToClient, FrameKind::Flow, 1, Point::Inside),
    ],
];

const RECEIVER: [Pair; 5] = [
    [
        (Direction::ToClient, FrameKind::Transfer, 7, Point::Inside),
        (Direction::ToClient, FrameKind::Attach, 1, Point::Inside),
    ],
    [
        (Direction::ToClient, FrameKind::Transfer, 20, Point::After),
        (Direction::ToServer, FrameKind::Attach, 1, Point::After),
    ],
    [
        (Direction::ToServer, FrameKind::Disposition, 3, Point::Before),
        (Direction::ToClient, FrameKind::Transfer, 1, Point::Inside),
    ],
    [
        (Direction::ToServer, FrameKind::Disposition, 1, Point::Inside),
        (Direction::ToServer, FrameKind::Begin, 1, Point::Inside),
    ],
    [
        (Direction::ToServer, FrameKind::Disposition, 1, Point::After),
        (Direction::ToServer, FrameKind::Flow, 1, Point::Inside),
    ],
];

/// A proxy before a broker that meets no faults yet.
pub(crate) async fn before(port: u16) -> Proxy {
    Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Plan::new(u64::from(port))).await.unwrap()
}

/// A session through a proxy, on a connection that is made anew at once.
pub(crate) async fn session(proxy: &Proxy, user: &str) -> (Connection, Session) {
    let mut options = options(&format!("amqp://{user}{}", proxy.addr()));
    options.max_frame_size = FRAME;
    let mut reconnect = Reconnect::default();
    reconnect.interval = Duration::from_millis(1);
    reconnect.max_interval = Duration::from_millis(5);
    options.reconnect = Some(reconnect);
    let connection = soon(Connection::open(options)).await.unwrap();
    let session = soon(connection.session()).await.unwrap();
    (connection, session)
}

/// Cuts until there were so many.
async fn cut(proxy: &Proxy, pairs: &[Pair], count: u64) {
    for pair in pairs.iter().cycle() {
        let before = proxy.stats().cuts;
        if before >= count {
            break;
        }
        // Both at once, lest the connection that comes is further than the second one's place.
        for &(direction, kind, nth, point) in pair {
            let at = At::frame(kind).nth(nth).at(point);
            proxy.arm(Rule { direction: Some(direction), ..Rule::cut(at) });
        }
        let started = Instant::now();
        while proxy.stats().cuts < before + 2 {
            if started.elapsed() > LATE {
                proxy.set_plan(Plan::new(before));
                proxy.cut_all();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    proxy.set_plan(Plan::new(0));
}

fn made(id: u64) -> Message {
    let mut body = id.to_be_bytes().to_vec();
    body.resize(8 + (id % 3) as usize * 900, 0x5a);
    Message::from(body)
}

fn read(message: &Message) -> u64 {
    let bytes = message.bytes().expect("one section of data");
    let id = u64::from_be_bytes(*bytes.first_chunk().expect("an id"));
    assert_eq!(made(id).bytes(), Some(bytes));
    id
}

fn link() -> LinkOptions {
    let mut link = LinkOptions::default();
    link.prefetch = 50;
    link.max_unsettled = Some(50);
    link
}

/// Whose receivers lose what they have not settled is spared cuts of them, and has a test of its own.
pub(crate) fn through_100_cuts_at_least_once(between: &Between, known: &Known) {
    run(async {
        let address = &(between.address)("cuts");
        let (there, back) = (before(between.port).await, before(between.port).await);
        let (sending, session_there) = session(&there, between.user).await;
        let (receiving, session_back) = session(&back, between.user).await;
        let sender = soon(session_there.sender_with(&**address, link())).await.unwrap();
        let mut receiver = soon(session_back.receiver_with(&**address, link())).await.unwrap();
        let of_receiver = if known.gives_back { CUTS / 2 } else { 0 };
        let calm = AtomicBool::new(false);

        let cuts = async {
            tokio::join!(cut(&there, &SENDER, CUTS - of_receiver), cut(&back, &RECEIVER, of_receiver));
            calm.store(true, Ordering::Relaxed);
        };
        let send = async {
            let mut sent = 0;
            while sent < LEAST || !calm.load(Ordering::Relaxed) {
                if sent < MOST {
                    soon(sender.submit(&made(sent))).await.unwrap();
                    sent += 1;
                }
                tokio::time::sleep(Duration::from_millis(if sent < MOST { 1 } else { 5 })).await;
            }
            soon(sender.sync()).await.unwrap();
            sent
        };
        let sent = async { tokio::join!(cuts, send).1 };
        let (mut came, mut repeated, mut total) = (BTreeSet::new(), 0, None);
        let mut last = Instant::now();
        tokio::pin!(sent);
        while total != Some(came.len() as u64) {
            tokio::select! {
                sent = &mut sent, if total.is_none() => total = Some(sent),
                message = receiver.receive() => {
                    let message = message.unwrap();
                    repeated += usize::from(!came.insert(read(&message)));
                    // What cannot be settled any more comes again.
                    let _ = receiver.accept(&message);
                    last = Instant::now();
                }
                () = tokio::time::sleep(SOON) => {}
            }
            let missing = || (0..total.unwrap_or(0)).filter(|id| !came.contains(id)).collect::<Vec<_>>();
            assert!(last.elapsed() < SOON, "lost {:?}; {repeated} came again", missing());
        }
        let stats = [there.stats(), back.stats()];
        let done: u64 = stats.iter().map(|stats| stats.cuts).sum();
        assert!(done >= CUTS, "{done}");
        let inside: u64 = stats.iter().map(|stats| stats.inside_frames()).sum();
        assert!(inside > CUTS / 10, "{inside}");
        soon(sending.close()).await.unwrap();
        soon(receiving.close()).await.unwrap();
    });
}

/// What exactly-once is told that a peer does not give.
pub(crate) fn missing(error: &AttachError) -> &str {
    let AttachError::GuaranteeUnavailable { missing, .. } = error else { panic!("{error:?}") };
    missing
}
