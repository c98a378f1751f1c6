//! Connections as they open, close and fail: `SetupTests`, `ConnectionTests` and `ErrorCallbackTests` of
//! `qpid.tests.messaging.endpoints`.

use std::collections::BTreeSet;
use std::sync::mpsc;

use postroad_messaging::address::BrokerUrl;
use postroad_messaging::{ConnectError, LinkError, SendError, SessionError};
use postroad_testkit::faults::Plan;
use postroad_testkit::{Proxy, nobody};

use super::*;

async fn proxied(broker: &Broker, plan: Plan) -> (Proxy, String) {
    let proxy = Proxy::start(broker.addr().unwrap(), plan).await.unwrap();
    let url = format!("amqp://{}", proxy.addr());
    (proxy, url)
}

#[tokio::test]
async fn test_establish() {
    let base = base().await;
    let conn = Connection::establish(&base.broker.urls()[0]).await.unwrap();
    ping(&conn.session().await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn test_open() {
    let base = base().await;
    let conn = Connection::new(&base.broker.urls()[0]).unwrap().open().await.unwrap();
    ping(&conn.session().await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn test_open_reconnect_urls() {
    let base = base().await;
    let url: BrokerUrl = base.broker.urls()[0].parse().unwrap();
    let builder = Connection::new(&base.broker.urls()[0]).unwrap();
    let conn = builder.reconnect_urls([url.clone(), url]).open().await.unwrap();
    assert_eq!(conn.settings().reconnect_urls().len(), 2);
    ping(&conn.session().await.unwrap()).await.unwrap();
}

/// That the option of the socket follows is shown where the socket is.
#[tokio::test]
async fn test_tcp_nodelay() {
    let base = base().await;
    for nodelay in [true, false] {
        let builder = Connection::new(&base.broker.urls()[0]).unwrap();
        let conn = builder.option("tcp_nodelay", nodelay).unwrap().open().await.unwrap();
        assert_eq!(conn.settings().tcp_nodelay(), nodelay);
        ping(&conn.session().await.unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn test_connect_error() {
    let error = Connection::establish(&format!("amqp://{}", nobody())).await.unwrap_err();
    assert!(matches!(error, ConnectError::Connection(_)), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
}

/// There is no connection before it is open: what `open` fails with is all that there is to tell. Later it is the same that
/// every call fails with.
#[tokio::test]
async fn test_get_error() {
    let base = base().await;
    let error = Connection::new(&format!("amqp://{}", nobody())).unwrap().open().await.unwrap_err();
    assert!(matches!(error, ConnectError::Connection(_)), "{error:?}");

    let (proxy, url) = proxied(&base.broker, Plan::new(1)).await;
    let conn = Connection::establish(&url).await.unwrap();
    assert_eq!(conn.error(), None);
    proxy.cut_all();
    eventually("lost", || conn.error().is_some()).await;
    assert_eq!(conn.session().await.unwrap_err(), SessionError::Connection(conn.error().unwrap()));
}

/// Runs a test in a process of its own, where nothing else has descriptors. Whether this is it.
#[cfg(target_os = "linux")]
fn is_alone(test: &str) -> bool {
    const ALONE: &str = "POSTROAD_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", &format!("connection::{test}")]).env(ALONE, "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    false
}

#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn test_open_close_resource_leaks() {
    if !is_alone("test_open_close_resource_leaks") {
        return;
    }
    let base = base().await;
    let before = descriptors();
    for _ in 0..64 {
        Connection::establish(&base.broker.urls()[0]).await.unwrap().close().await.unwrap();
    }
    eventually("all are closed", || descriptors() <= before).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn test_open_fail_resource_leaks() {
    if !is_alone("test_open_fail_resource_leaks") {
        return;
    }
    let url = format!("amqp://{}", nobody());
    Connection::establish(&url).await.unwrap_err();
    let before = descriptors();
    for _ in 0..64 {
        Connection::establish(&url).await.unwrap_err();
    }
    eventually("all are closed", || descriptors() <= before).await;
}

#[tokio::test]
async fn test_reconnect() {
    let base = base().await;
    let (proxy, url) = proxied(&base.broker, Plan::new(1).cuts_every(2048)).await;
    let builder = Connection::new(&url).unwrap().reconnect(true).reconnect_interval(Duration::from_millis(2));
    let conn = builder.reconnect_limit(100).reconnect_log(false).open().await.unwrap();
    let ssn = conn.session().await.unwrap();
    let snd = ssn.sender("test-reconnect-queue; {create: always, delete: always}").await.unwrap();
    let texts: Vec<String> = (0..20).map(|number| format!("testReconnect {number:02} {}", "x".repeat(300))).collect();
    for text in &texts {
        snd.send(text.as_str()).await.unwrap();
    }
    let rcv = ssn.receiver(snd.target()).await.unwrap();
    let mut came = BTreeSet::new();
    while came.len() < texts.len() {
        let message = rcv.fetch_timeout(PATIENCE).await.unwrap();
        came.insert(message.text().unwrap().to_owned());
        // Where the connection is lost before the broker has heard of it, the message comes again.
        ssn.acknowledge(&message).await.unwrap();
    }
    assert!(came.iter().eq(&texts), "{came:?}");
    let cuts = proxy.stats().cuts;
    assert!(cuts > 3, "{cuts}");
}

#[tokio::test]
async fn test_check_closed() {
    assert_eq!(base().await.conn.check_closed(), Ok(()));
}

#[tokio::test]
async fn test_session_anon() {
    let base = base().await;
    let (one, two) = (base.conn.session().await.unwrap(), base.conn.session().await.unwrap());
    ping(&one).await.unwrap();
    ping(&two).await.unwrap();
    assert!(!one.is_same(&two));
    assert_ne!(one.name(), two.name());
}

#[tokio::test]
async fn test_session_named() {
    let base = base().await;
    let conn = &base.conn;
    let (one, two) = (conn.session_named("one").await.unwrap(), conn.session_named("two").await.unwrap());
    ping(&one).await.unwrap();
    ping(&two).await.unwrap();
    assert!(!one.is_same(&two));
    assert!(one.is_same(&conn.session_named("one").await.unwrap()));
    assert!(two.is_same(&conn.session_named("two").await.unwrap()));
}

#[tokio::test]
async fn test_detach() {
    let base = base().await;
    ping(&base.ssn).await.unwrap();
    base.conn.detach().await.unwrap();
    assert_eq!(ping(&base.ssn).await, Err(SendError::NotSent(LinkError::Session(SessionError::Detached))));
    base.conn.attach().await.unwrap();
    ping(&base.ssn).await.unwrap();
}

#[tokio::test]
async fn test_close() {
    let base = base().await;
    base.conn.close().await.unwrap();
    assert!(!base.conn.is_attached());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_simultaneous_close() {
    let base = base().await;
    let mut links = Vec::new();
    for _ in 0..3 {
        let ssn = base.conn.session().await.unwrap();
        for _ in 0..3 {
            links.push((ssn.receiver("amq.topic").await.unwrap(), ssn.sender("amq.topic").await.unwrap()));
        }
    }
    let closer = || {
        let conn = base.conn.clone();
        tokio::spawn(async move { conn.close().await })
    };
    let (one, two) = (closer(), closer());
    let both = async { (one.await.unwrap(), two.await.unwrap()) };
    assert_eq!(tokio::time::timeout(PATIENCE, both).await.unwrap(), (Ok(()), Ok(())));
    assert_eq!(base.conn.close().await, Ok(()), "and once more");
}

type Told = (&'static str, String);

/// A handler that tells a channel who has failed, and with what.
fn callback<E: ToString>(who: &'static str, told: &mpsc::Sender<Told>) -> impl Fn(&E) + Send + Sync + use<E> {
    let told = told.clone();
    move |error| {
        let _ = told.send((who, error.to_string()));
    }
}

/// Waits for the one that is told, and that nobody else is.
async fn only(heard: &mpsc::Receiver<Told>) -> Told {
    let mut first = None;
    eventually("told", || {
        first = heard.try_recv().ok();
        first.is_some()
    })
    .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(heard.try_recv(), Err(mpsc::TryRecvError::Empty));
    first.unwrap()
}

/// A connection that does not open is told by `open`; the handler is for one that has opened.
#[tokio::test]
async fn test_connect_error_callback() {
    let base = base().await;
    let (proxy, url) = proxied(&base.broker, Plan::new(1)).await;
    let conn = Connection::establish(&url).await.unwrap();
    let (told, heard) = mpsc::channel();
    conn.on_error(callback("connection", &told));
    proxy.cut_all();
    assert_eq!(only(&heard).await, ("connection", conn.check_error().unwrap_err().to_string()));
}

#[tokio::test]
async fn test_session_error_callback() {
    let Base { broker: _broker, conn, .. } = base().await;
    let ssn = conn.session().await.unwrap();
    let transactional = conn.transactional_session().await.unwrap();
    let (told, heard) = mpsc::channel();
    conn.on_error(callback("connection", &told));
    ssn.on_error(callback("other session", &told));
    transactional.on_error(callback("session", &told));
    conn.detach().await.unwrap();
    let error = transactional.sender("amq.topic").await.map(drop).unwrap_err();
    assert!(error.to_string().contains("transaction aborted"), "{error}");
    assert_eq!(only(&heard).await, ("session", transactional.check_error().unwrap_err().to_string()));
}

/// A connection that is detached stands for one that is not open yet.
#[tokio::test]
async fn test_sender_error_callback() {
    let Base { broker: _broker, conn, ssn } = base().await;
    let (told, heard) = mpsc::channel();
    conn.on_error(callback("connection", &told));
    ssn.on_error(callback("session", &told));
    conn.detach().await.unwrap();
    let snd = ssn.sender("this-queue-should-not-exist").await.unwrap();
    snd.on_error(callback("sender", &told));
    conn.attach().await.unwrap();
    snd.send("HI").await.unwrap_err();
    assert_eq!(only(&heard).await, ("sender", snd.check_error().unwrap_err().to_string()));
}

#[tokio::test]
async fn test_receiver_error_callback() {
    let Base { broker: _broker, conn, ssn } = base().await;
    let (told, heard) = mpsc::channel();
    conn.on_error(callback("connection", &told));
    ssn.on_error(callback("session", &told));
    conn.detach().await.unwrap();
    let rcv = ssn.receiver("this-queue-should-not-exist").await.unwrap();
    rcv.on_error(callback("receiver", &told));
    conn.attach().await.unwrap();
    rcv.fetch().await.unwrap_err();
    assert_eq!(only(&heard).await, ("receiver", rcv.check_error().unwrap_err().to_string()));
}
