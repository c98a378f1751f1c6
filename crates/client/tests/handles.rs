//! Handles and futures that are dropped at a bad moment, and peers that end things at one.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use common::{connect, pair};
use postroad_client::{Connection, LinkError, LinkOptions, Message, Node, Outcome, SendError};

/// Nothing that should come takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

/// Links that a connection keeps something of.
fn kept(connection: &Connection) -> usize {
    format!("{connection:#?}").matches("LinkEntry {").count()
}

#[tokio::test]
async fn an_outcome_that_has_come_outlives_its_link() {
    let (sender, mut receiver, ends) = pair(5).await;
    let settlement = sender.submit_tracked(&Message::from("x")).await.unwrap();
    let received = receiver.receive().await.unwrap();
    receiver.accept(&received).unwrap();
    while sender.unsettled() > 0 {
        tokio::task::yield_now().await;
    }
    soon(sender.close()).await.unwrap();
    assert_eq!(soon(settlement).await, Ok(Outcome::Accepted));
    assert_eq!(kept(&ends.client), 0, "with the last outcome the link is forgotten");
}

#[tokio::test]
async fn an_old_settlement_leaves_those_of_later_links_alone() {
    let (sender, mut receiver, ends) = pair(5).await;
    let session = sender.session().clone();
    let old = sender.submit_tracked(&Message::from("old")).await.unwrap();
    receiver.receive().await.unwrap();
    soon(sender.close()).await.unwrap();
    let accepting = async { ends.server.next_link().await.unwrap().into_receiver(&LinkOptions::default()).unwrap() };
    let (sender, mut receiver) = soon(async { tokio::join!(session.sender(Node::at("queue")), accepting) }).await;
    let sender = sender.unwrap();
    let new = sender.submit_tracked(&Message::from("new")).await.unwrap();
    let received = soon(receiver.receive()).await.unwrap();
    assert_eq!(soon(old).await, Err(SendError::InDoubt(LinkError::Closed)));
    receiver.accept(&received).unwrap();
    assert_eq!(soon(new).await, Ok(Outcome::Accepted));
}

#[tokio::test]
async fn a_session_that_is_dropped_ends_what_its_links_wait_for() {
    let (sender, mut receiver, ends) = pair(5).await;
    let settlement = sender.submit_tracked(&Message::from("x")).await.unwrap();
    receiver.receive().await.unwrap();
    // The link's handle goes first, the session's last one with it.
    drop(sender);
    assert_eq!(soon(settlement).await, Err(SendError::InDoubt(LinkError::Closed)));
    assert_eq!(kept(&ends.client), 0);
    assert_eq!(ends.client.error(), None);
}

#[test]
fn a_link_is_not_accepted_on_a_connection_whose_runtime_is_gone() {
    let [clients, servers] = [(); 2].map(|()| tokio::runtime::Runtime::new().unwrap());
    let ends = servers.block_on(connect());
    let session = servers.block_on(ends.client.session()).unwrap();
    for name in ["first", "second"] {
        let session = session.clone();
        clients.spawn(async move { session.sender(name).await.map(drop) });
    }
    let options = LinkOptions::default();
    let next = || servers.block_on(soon(ends.server.next_link())).unwrap();
    let (first, second) = (next(), next());
    let _first = first.into_receiver(&options).unwrap();
    drop(servers);
    assert!(second.into_receiver(&options).is_err(), "nobody would ever drive it");
}

/// A waker that uses the connection when it goes, as one does that owns its task.
struct Owner(Connection);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.0.error();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn wakers_are_dropped_outside_the_lock() {
    let (sender, _receiver, ends) = pair(5).await;
    let settlement = sender.submit_tracked(&Message::from("x")).await.unwrap();
    let connection = ends.client.clone();
    let (done, dropped) = mpsc::channel();
    std::thread::spawn(move || {
        let waker = || Waker::from(Arc::new(Owner(connection.clone())));
        let mut settlement = Box::pin(settlement);
        for _ in 0..2 {
            assert!(settlement.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
        }
        done.send("replaced").unwrap();
        drop(settlement);
        done.send("abandoned").unwrap();
        let mut session = Box::pin(connection.session());
        // It may be begun already, in which case there is no waker to drop.
        let _ = session.as_mut().poll(&mut Context::from_waker(&waker()));
        drop(session);
        done.send("session").unwrap();
    });
    for step in ["replaced", "abandoned", "session"] {
        assert_eq!(tokio::task::block_in_place(|| dropped.recv_timeout(PATIENCE)), Ok(step));
    }
}

/// A call that waits.
type Waiting<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A waker that counts those that are left of it.
struct Counted;

impl Wake for Counted {
    fn wake(self: Arc<Self>) {}
}

#[tokio::test]
async fn a_future_that_is_dropped_leaves_no_waker() {
    let (sender, mut receiver, ends) = pair(0).await;
    let message = Message::from("x");
    // Two messages are under way without an outcome, one has no credit.
    for _ in 0..2 {
        let (submitted, received) = soon(async { tokio::join!(sender.submit(&message), receiver.receive()) }).await;
        submitted.unwrap();
        received.unwrap();
    }
    let counted = Arc::new(Counted);
    let other = Arc::new(Counted);
    let [first, second] = [&counted, &other].map(|counted| Waker::from(counted.clone()));
    let futures: [(&str, Waiting<'_>); 6] = [
        ("receive", Box::pin(async { drop(receiver.receive().await) })),
        ("send", Box::pin(async { drop(sender.send(&message).await) })),
        ("sync", Box::pin(async { drop(sender.sync().await) })),
        ("next_link", Box::pin(async { drop(ends.server.next_link().await) })),
        ("session", Box::pin(async { drop(ends.client.session().await) })),
        ("close", Box::pin(async { drop(sender.session().close().await) })),
    ];
    let before = [&counted, &other].map(Arc::strong_count);
    for (name, mut future) in futures {
        // The second waker takes the place of the first.
        for waker in [&first, &first, &second] {
            assert!(future.as_mut().poll(&mut Context::from_waker(waker)).is_pending(), "{name}");
        }
        assert_eq!(Arc::strong_count(&counted), before[0], "{name} keeps one waker");
        assert!(Arc::strong_count(&other) > before[1], "{name} waits");
        drop(future);
        assert_eq!(Arc::strong_count(&other), before[1], "{name} leaves nothing");
    }
}
