//! A transport that hangs: `TimeoutTests` of `qpid.tests.messaging.endpoints`, by the mirror that blocks, as it has the timeouts.

use std::time::Instant;

use postroad_messaging::blocking::{Connection, Receiver, Sender, Session};
use postroad_messaging::{ConnectError, ConnectionError, LinkError, SessionError, SyncError};
use postroad_testkit::Proxy;
use postroad_testkit::faults::{At, Direction, Fault, Plan, Rule};
use tokio::runtime::Runtime;

use super::*;

/// Long enough for a timeout to be seen, and short enough to wait for.
const DELAY: Duration = Duration::from_millis(100);

/// What goes first is said goodbye to by who goes last.
struct Hangable {
    snd: Sender,
    rcv: Receiver,
    ssn: Session,
    conn: Connection,
    proxy: Proxy,
    _broker: Broker,
    _runtime: Runtime,
}

impl Hangable {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (broker, proxy) = runtime.block_on(async {
            let broker = Broker::builder().listen("amqp://127.0.0.1:0").start().await.unwrap();
            let proxy = Proxy::start(broker.addr().unwrap(), Plan::new(1)).await.unwrap();
            (broker, proxy)
        });
        let builder = Connection::new(&format!("amqp://{}", proxy.addr())).unwrap();
        let conn = builder.close_timeout(DELAY).open().unwrap();
        let ssn = conn.session().unwrap();
        let snd = ssn.sender("amq.topic").unwrap();
        let rcv = ssn.receiver("amq.topic; {link: {reliability: unreliable}}").unwrap();
        Self { snd, rcv, ssn, conn, proxy, _broker: broker, _runtime: runtime }
    }

    /// From now on nothing comes any more.
    fn hang(&self) {
        self.proxy.arm(Rule::new(Fault::Stall, At::Byte(0)).in_direction(Direction::ToClient));
    }
}

/// What a call ends in, which took this time at least.
fn timed<T>(call: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = call();
    assert!(start.elapsed() >= DELAY && start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    result
}

#[test]
fn test_sender_sync() {
    let test = Hangable::new();
    test.hang();
    test.snd.send_async("testSenderSync").unwrap();
    assert_eq!(timed(|| test.snd.sync_timeout(DELAY)), Err(SyncError::Timeout(DELAY)));
}

#[test]
fn test_sender_close() {
    let test = Hangable::new();
    test.hang();
    test.snd.send_async("testSenderClose").unwrap();
    assert_eq!(timed(|| test.snd.close_timeout(DELAY)), Err(LinkError::Timeout(DELAY)));
}

#[test]
fn test_receiver_close() {
    let test = Hangable::new();
    test.hang();
    assert_eq!(timed(|| test.rcv.close_timeout(DELAY)), Err(LinkError::Timeout(DELAY)));
}

#[test]
fn test_session_sync() {
    let test = Hangable::new();
    test.hang();
    test.snd.send_async("testSessionSync").unwrap();
    assert_eq!(timed(|| test.ssn.sync_timeout(DELAY)), Err(SyncError::Timeout(DELAY)));
}

#[test]
fn test_session_close() {
    let test = Hangable::new();
    test.hang();
    assert_eq!(timed(|| test.ssn.close_timeout(DELAY)), Err(SessionError::Timeout(DELAY)));
}

#[test]
fn test_connection_detach() {
    let test = Hangable::new();
    test.hang();
    assert_eq!(timed(|| test.conn.detach_timeout(DELAY)), Err(ConnectionError::CloseTimeout(DELAY)));
    assert!(!test.conn.is_attached());
}

#[test]
fn test_connection_close() {
    let test = Hangable::new();
    test.hang();
    assert_eq!(timed(|| test.conn.close_timeout(DELAY)), Err(ConnectionError::CloseTimeout(DELAY)));
}

#[test]
fn test_connection_open() {
    let builder = Connection::new(&format!("amqp://{}", postroad_testkit::nobody())).unwrap();
    let builder = builder.reconnect(true).reconnect_interval(Duration::from_millis(5)).reconnect_timeout(DELAY);
    let start = Instant::now();
    let error = builder.open().unwrap_err();
    assert!(matches!(error, ConnectError::GaveUp(DELAY, _)), "{error:?}");
    // A pause that would last longer is not begun.
    assert!(start.elapsed() >= DELAY / 2 && start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}
