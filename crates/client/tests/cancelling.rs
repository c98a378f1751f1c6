//! Every future of the crate, polled a number of times and dropped: what its documentation says holds then.

mod common;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{accept_one, connect, pair};
use postroad_client::types::Value;
use postroad_client::{Connection, LinkOptions, Message, ReceiveError, Receiver, Sender, SyncError};

/// Nothing that should come takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

/// Polls a future so many times, lets the connection work in between, and drops it.
async fn polled<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(result);
        }
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
    }
    None
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let holding = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, holding).await.unwrap_or_else(|_| panic!("{what}"));
}

/// What a connection keeps of links and of sessions.
fn kept(connection: &Connection) -> [usize; 2] {
    // They are told in this form alone; not while the driver holds the lock.
    loop {
        let shown = format!("{connection:?}");
        let count = |name: &str| shown.split_once(name)?.1.split([',', ' ']).next()?.parse().ok();
        if let (Some(links), Some(sessions)) = (count("links: "), count("sessions: ")) {
            return [links, sessions];
        }
        std::thread::yield_now();
    }
}

fn numbered(number: u64) -> Message {
    Message::from(Value::from(number))
}

fn number(message: &Message) -> u64 {
    let Some(Value::Ulong(number)) = message.value() else { panic!("{message:?}") };
    *number
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Receive,
    Fetch(Duration),
    Closed,
}

async fn receive(receiver: &mut Receiver, how: Way, polls: usize) -> Option<Message> {
    let received: Option<Result<Option<Message>, ReceiveError>> = match how {
        Way::Receive => polled(polls, receiver.receive()).await.map(|result| result.map(Some)),
        Way::Fetch(timeout) => polled(polls, receiver.fetch(timeout)).await,
        Way::Closed => {
            assert_eq!(polled(polls, receiver.closed()).await, None);
            Some(receiver.try_receive())
        }
    };
    received.and_then(Result::unwrap)
}

#[tokio::test]
async fn a_dropped_receive_or_fetch_has_taken_no_message() {
    const MESSAGES: u64 = 40;
    let [none, some] = [0, 3].map(|millis| Way::Fetch(Duration::from_millis(millis)));
    for prefetch in [0, 1, 7] {
        for how in [Way::Receive, none, some, Way::Closed] {
            let (sender, mut receiver, _ends) = pair(prefetch).await;
            if matches!(how, Way::Closed) {
                receiver.set_prefetch(prefetch.max(1));
            }
            let sending = tokio::spawn(async move {
                for number in 0..MESSAGES {
                    sender.submit(&numbered(number)).await.unwrap();
                }
                (sender.sync().await, sender)
            });
            let receiving = async {
                let (mut expected, mut polls) = (0, 0);
                while expected < MESSAGES {
                    polls = (polls + 1) % 9;
                    if let Some(message) = receive(&mut receiver, how, polls).await {
                        assert_eq!(number(&message), expected, "prefetch {prefetch}, {how:?}");
                        receiver.accept(&message).unwrap();
                        expected += 1;
                    }
                    tokio::task::yield_now().await;
                }
            };
            soon(receiving).await;
            let (synced, _sender) = soon(sending).await.unwrap();
            assert_eq!(synced, Ok(()));
            assert!(soon(receiver.fetch(Duration::ZERO)).await.unwrap().is_none(), "nothing comes twice");
        }
    }
}

/// Gives up handing over in one of three ways; `true` where the call said that it had.
async fn hand_over(sender: &Sender, how: u64, number: u64, polls: usize) -> bool {
    let message = numbered(number);
    match how {
        0 => polled(polls, sender.send(&message)).await.map(|result| result.map(drop)),
        1 => polled(polls, sender.submit(&message)).await,
        _ => polled(polls, sender.submit_tracked(&message)).await.map(|result| result.map(drop)),
    }
    .is_some()
}

#[tokio::test]
async fn a_dropped_send_has_sent_its_message_once_or_not_at_all() {
    for how in 0..3 {
        let (sender, mut receiver, _ends) = pair(0).await;
        let mut expected = Vec::new();
        for number in 0..60 {
            if number % 2 == 0 {
                receiver.add_credit(1);
            }
            // Nothing is settled, so that this tells what was handed over.
            let before = sender.unsettled();
            let done = hand_over(&sender, how, number, number as usize % 7).await;
            let handed_over = sender.unsettled() - before;
            assert!(handed_over <= 1);
            // A send may have handed over and wait for the outcome; the others say what they have done.
            assert!(how == 0 || done == (handed_over == 1), "{how}: {number}");
            assert!(how != 0 || !done, "no outcome has come");
            if handed_over == 1 {
                expected.push(number);
            }
        }
        assert!(!expected.is_empty() && expected.len() < 60, "both happen");
        soon(receiver.drain()).await.unwrap();
        let mut numbers = Vec::new();
        while let Some(message) = receiver.try_receive().unwrap() {
            receiver.accept(&message).unwrap();
            numbers.push(number(&message));
        }
        assert_eq!(numbers, expected, "{how}");
        until("every outcome comes", || sender.unsettled() == 0).await;
        // The link works.
        receiver.add_credit(1);
        soon(sender.submit(&numbered(60))).await.unwrap();
        assert_eq!(number(&soon(receiver.receive()).await.unwrap()), 60);
    }
}

#[tokio::test]
async fn a_dropped_sync_leaves_what_there_is_to_tell() {
    for polls in 0..6 {
        let (sender, mut receiver, _ends) = pair(5).await;
        for number in 0..3 {
            soon(sender.submit(&numbered(number))).await.unwrap();
        }
        assert_eq!(polled(polls, sender.sync()).await, None);
        for number in 0..3 {
            let message = soon(receiver.receive()).await.unwrap();
            if number == 1 { receiver.reject(&message, None) } else { receiver.accept(&message) }.unwrap();
        }
        let told = match polled(polls, sender.sync()).await {
            Some(told) => told,
            None => soon(sender.sync()).await,
        };
        assert!(matches!(told, Err(SyncError::NotAccepted { count: 1, .. })), "{told:?}");
        assert_eq!(soon(sender.sync()).await, Ok(()));
    }
}

/// Takes every link, and leaves it when it is over.
fn take_links(server: &Connection) {
    let server = server.clone();
    tokio::spawn(async move {
        while let Ok(link) = server.next_link().await {
            let options = LinkOptions::default();
            if link.is_receiver() {
                let Ok(receiver) = link.into_receiver(&options) else { continue };
                tokio::spawn(async move { receiver.closed().await });
            } else {
                let Ok(sender) = link.into_sender(&options) else { continue };
                tokio::spawn(async move { sender.closed().await });
            }
        }
    });
}

#[tokio::test]
async fn a_dropped_attach_or_begin_leaves_nothing() {
    for polls in 0..10 {
        let ends = connect().await;
        take_links(&ends.server);
        let session = soon(ends.client.session()).await.unwrap();
        // The name is free again each time.
        let named = || {
            let mut options = LinkOptions::default();
            options.name = Some("again".to_owned());
            options
        };
        for receives in [false, true] {
            if receives {
                drop(polled(polls, session.receiver_with("q", named())).await);
            } else {
                drop(polled(polls, session.sender_with("q", named())).await);
            }
            until("the link is forgotten", || kept(&ends.client)[0] == 0).await;
        }
        drop(polled(polls, ends.client.session()).await);
        until("the session is forgotten", || kept(&ends.client)[1] == 1).await;
        let sender = soon(session.sender_with("q", named())).await.unwrap();
        soon(sender.close()).await.unwrap();
        assert_eq!((ends.client.error(), ends.server.error()), (None, None));
    }
}

#[tokio::test]
async fn a_dropped_close_goes_its_way() {
    for polls in 0..8 {
        let (sender, receiver, ends) = pair(5).await;
        let session = sender.session().clone();
        soon(sender.submit(&numbered(0))).await.unwrap();
        // A link is closed even by a close that was never polled: its handle is gone.
        drop(polled(polls, sender.close()).await);
        soon(receiver.closed()).await;
        assert_eq!(receiver.available(), 1, "what was sent before it has come");
        drop(receiver);
        until("the link is forgotten", || kept(&ends.client)[0] == 0).await;
        drop(polled(polls, session.close()).await);
        if polls > 0 {
            until("the session has ended", || kept(&ends.server)[1] == 0).await;
        } else {
            assert_eq!(kept(&ends.client)[1], 1, "it was never said");
        }
        drop(polled(polls, ends.client.close()).await);
        if polls > 0 {
            until("the connection is closed", || ends.server.error().is_some()).await;
        } else {
            soon(ends.client.session()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_dropped_open_leaves_no_connection() {
    for polls in 0..10 {
        let (acceptor, options) = accept_one(65_536).await;
        drop(polled(polls, Connection::open(options.clone())).await);
        let mut fresh = options;
        fresh.container_id = "fresh".to_owned();
        let accepting = async {
            loop {
                match acceptor.accept().await {
                    Ok(server) if server.remote_container().as_deref() == Some("fresh") => return server,
                    Ok(server) => until("the connection is over", || server.error().is_some()).await,
                    Err(_) => {}
                }
            }
        };
        let (client, server) = soon(async { tokio::join!(Connection::open(fresh), accepting) }).await;
        soon(client.unwrap().close()).await.unwrap();
        until("the other is closed", || server.error().is_some()).await;
    }
}

#[tokio::test]
async fn a_dropped_wait_for_a_link_has_taken_none() {
    for polls in 0..6 {
        let ends = connect().await;
        let session = soon(ends.client.session()).await.unwrap();
        let attaching = tokio::spawn(async move { session.sender("q").await });
        let link = match polled(polls, ends.server.next_link()).await {
            Some(link) => link,
            None => soon(ends.server.next_link()).await,
        };
        let _receiver = link.unwrap().into_receiver(&LinkOptions::default()).unwrap();
        soon(attaching).await.unwrap().unwrap();
    }
}
