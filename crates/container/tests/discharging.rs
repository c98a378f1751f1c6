//! Transactions that do not begin, or do not end as they were to, with a coordinator that a test plays and with the broker's.

mod common;

use std::collections::VecDeque;
use std::time::Duration;

use common::raw::Peer;
use common::{Log, broker, broker_with, opened, run, script, soon};
use postroad_codec::v1_0::{
    Attach, AttachTarget, Coordinator, Declared, DeliveryState, Frame, Performative, Rejected, Role, TransactionId,
};
use postroad_container::client::{LinkError, SendError};
use postroad_container::{Event, EventError, Outcome};
use postroad_testkit::{accepted, attach_receiver, close, detach, disposition, end, error, flow};

/// What a coordinator does with the link, with the declaration, and with the discharge.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Well,
    Refuse,
    Detach,
    End,
    Vanish,
}

/// Plays a coordinator, the acts in their order, until the client hangs up or it vanishes itself.
fn coordinate(peer: &mut Peer, acts: &[Act]) {
    let mut acts: VecDeque<Act> = acts.iter().copied().collect();
    peer.begin();
    while let Some(frame) = peer.next() {
        let Frame::Amqp { performative, .. } = frame else { continue };
        let act = match performative {
            Performative::Attach(_) | Performative::Transfer(_) => acts.pop_front().unwrap_or(Act::Well),
            Performative::Detach(_) => {
                peer.send(detach().closed(true));
                continue;
            }
            Performative::End(_) => {
                peer.send(end());
                continue;
            }
            Performative::Close(_) => {
                peer.send(close());
                continue;
            }
            _ => continue,
        };
        match (act, performative) {
            (Act::Vanish, _) => return,
            (Act::End, _) => drop(peer.send(end().error(error("test:mood"))).next()),
            (Act::Well, Performative::Attach(theirs)) => {
                answer(peer, &theirs, true);
                peer.send(flow().handle(0).delivery_count(0).link_credit(100));
            }
            (_, Performative::Attach(theirs)) => {
                answer(peer, &theirs, false);
                peer.send(detach().closed(true).error(error("test:mood")));
            }
            (Act::Detach, _) => drop(peer.send(detach().closed(true).error(error("test:mood")))),
            (Act::Well, Performative::Transfer(transfer)) => {
                let number = transfer.delivery_id.unwrap().0;
                let declared = Declared { txn_id: TransactionId(b"t"[..].into()) };
                // The first command declares, the next ones discharge.
                peer.send(match number {
                    0 => {
                        disposition(Role::Receiver, 0).settled(true).state(DeliveryState::Declared(Box::new(declared)))
                    }
                    number => accepted(number),
                });
            }
            (_, Performative::Transfer(transfer)) => {
                let rejected = Rejected { error: Some(error("test:mood")) };
                let number = transfer.delivery_id.unwrap().0;
                let state = DeliveryState::Rejected(Box::new(rejected));
                peer.send(disposition(Role::Receiver, number).settled(true).state(state));
            }
            _ => {}
        }
    }
}

fn answer(peer: &mut Peer, theirs: &Attach, taken: bool) {
    let target = taken.then(|| Box::new(AttachTarget::Coordinator(Coordinator::default())));
    peer.send(attach_receiver(theirs.name.as_ref()).with(|mine| {
        mine.source.clone_from(&theirs.source);
        mine.target = target;
    }));
}

/// What is heard of a transaction that such a coordinator has, without what leads to it.
async fn heard(acts: &'static [Act], commit: bool) -> Vec<String> {
    let (options, served) = opened(move |peer| coordinate(peer, acts));
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| {
        match method {
            "on_start" => drop(event.container().connect_with(options.clone()).declare_transaction()),
            "on_transaction_declared" => match commit {
                true => event.transaction().unwrap().commit(),
                false => event.transaction().unwrap().abort(),
            },
            _ => {}
        }
        if let Some(EventError::Transaction(error)) = event.error() {
            noted.note(format!("error {error}"));
        }
        if method.starts_with("on_transaction") && method != "on_transaction_declared" {
            event.connection().unwrap().close();
        }
    }))
    .await;
    served.await.unwrap();
    log.without(&["on_start", "on_connection_opened", "on_session_opened", "on_connection_closed"])
}

/// The calls alone.
fn calls(heard: &[String]) -> Vec<&str> {
    heard.iter().map(String::as_str).filter(|line| line.starts_with("on_")).collect()
}

#[tokio::test]
async fn one_that_is_not_declared_is_told_once_with_its_reason() {
    for acts in [&[Act::Refuse][..], &[Act::Well, Act::Refuse], &[Act::Well, Act::Detach]] {
        let heard = heard(acts, true).await;
        let told = calls(&heard);
        assert!(told.len() == 1 && told[0].starts_with("on_transaction_declare_failed"), "{acts:?}: {heard:?}");
        assert!(
            heard.iter().any(|line| line.starts_with("error") && line.contains("test:mood")),
            "{acts:?}: {heard:?}"
        );
    }
}

#[tokio::test]
async fn one_that_is_not_committed_is_told_once_with_its_reason() {
    for acts in [&[Act::Well, Act::Well, Act::Refuse][..], &[Act::Well, Act::Well, Act::Detach]] {
        let heard = heard(acts, true).await;
        let told = calls(&heard);
        assert_eq!(told.len(), 2, "{acts:?}: {heard:?}");
        assert!(told[1].starts_with("on_transaction_commit_failed"), "{acts:?}: {heard:?}");
        assert!(
            heard.iter().any(|line| line.starts_with("error") && line.contains("test:mood")),
            "{acts:?}: {heard:?}"
        );
    }
}

#[tokio::test]
async fn one_that_is_aborted_is_aborted_whatever_the_coordinator_says() {
    for acts in [
        &[Act::Well, Act::Well, Act::Well][..],
        &[Act::Well, Act::Well, Act::Refuse],
        &[Act::Well, Act::Well, Act::Detach],
    ] {
        let heard = heard(acts, false).await;
        let told = calls(&heard);
        assert_eq!(told.len(), 2, "{acts:?}: {heard:?}");
        assert!(told[1].starts_with("on_transaction_aborted"), "{acts:?}: {heard:?}");
    }
}

#[tokio::test]
async fn the_end_of_session_or_connection_ends_it_and_is_told() {
    for (acts, last) in [
        (&[Act::Vanish][..], "on_transaction_declare_failed"),
        (&[Act::Well, Act::Vanish], "on_transaction_declare_failed"),
        (&[Act::Well, Act::Well, Act::Vanish], "on_transaction_commit_failed"),
        (&[Act::End], "on_transaction_declare_failed"),
        (&[Act::Well, Act::End], "on_transaction_declare_failed"),
        (&[Act::Well, Act::Well, Act::End], "on_transaction_commit_failed"),
    ] {
        let heard = heard(acts, true).await;
        let told = calls(&heard);
        let of_it = told.iter().filter(|line| line.starts_with(last)).count();
        assert_eq!(of_it, 1, "{acts:?}: {heard:?}");
    }
}

#[tokio::test]
async fn nothing_is_done_in_one_that_has_not_begun_or_is_over() {
    let (broker, url) = broker().await;
    let log = Log::default();
    let ended = |event: &Event<'_>, transaction: &postroad_container::Transaction| {
        let sender = event.sender().unwrap();
        assert_eq!(transaction.send(sender, "it"), Err(SendError::NotSent(LinkError::TransactionEnded)));
    };
    let mut kept = None;
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect(&url);
            connection.create_sender("q");
        }
        "on_sendable" if kept.is_none() => {
            let transaction = event.session().unwrap().declare_transaction();
            assert_eq!(transaction.session(), event.session().unwrap());
            ended(event, &transaction);
            kept = Some((transaction, event.sender().unwrap().clone()));
        }
        "on_transaction_declared" => {
            let (transaction, sender) = kept.as_ref().unwrap();
            assert_eq!(event.transaction(), Some(transaction));
            transaction.send(sender, "it").unwrap();
            transaction.abort();
            // Once is enough, and the first word counts.
            transaction.commit();
            transaction.abort();
            assert_eq!(transaction.send(sender, "it"), Err(SendError::NotSent(LinkError::TransactionEnded)));
        }
        "on_transaction_aborted" => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    assert_eq!((log.count("on_transaction_aborted"), log.count("on_transaction_committed")), (1, 0), "{:?}", log.all());
    assert_eq!(broker.queue_stats("q").unwrap().ready, 0);
}

#[tokio::test]
async fn what_is_open_as_everything_ends_is_rolled_back() {
    for end in ["session", "connection", "stop"] {
        let (broker, url) = broker().await;
        let log = Log::default();
        let mut made = None;
        run(script(&log, move |method, event| match method {
            "on_start" => {
                let session = event.container().connect(&url).session();
                made = Some((session.create_sender("q"), session.declare_transaction()));
            }
            "on_transaction_declared" | "on_sendable" => {
                let (sender, transaction) = made.as_ref().unwrap();
                if transaction.send(sender, "it").is_ok() {
                    match end {
                        "session" => event.session().unwrap().close(),
                        "connection" => event.connection().unwrap().close(),
                        _ => event.container().stop(),
                    }
                }
            }
            "on_session_closed" => event.connection().unwrap().close(),
            _ => {}
        }))
        .await;
        let rolled_back = async {
            while broker.open_transactions() > 0 || broker.connections() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(rolled_back).await;
        assert_eq!(broker.queue_stats("q").unwrap().ready, 0, "{end}");
        assert!(!log.has("on_transaction_committed"), "{end}: {:?}", log.all());
    }
}

/// Receives four messages, gives each another outcome in a transaction, and tells what comes again behind its end.
async fn come_again(commit: bool) -> Vec<String> {
    let (broker, url) = broker().await;
    let (log, again) = (Log::default(), Log::default());
    let (noted, seen) = (log.clone(), again.clone());
    let (mut kept, mut transaction, mut discharged) = (Vec::new(), None, false);
    let handler = script(&log, move |method, event| match method {
        "on_start" => {
            event.container().connect(&url).create_sender("q");
        }
        "on_sendable" if noted.count(method) == 1 => {
            for text in ["accept", "reject", "release", "modify"] {
                event.sender().unwrap().send(text).unwrap();
            }
        }
        "on_settled" if noted.count(method) == 4 => {
            let session = event.connection().unwrap().session();
            session.create_receiver("q");
            session.declare_transaction();
        }
        "on_transaction_declared" | "on_message" => {
            if let Some(declared) = event.transaction() {
                transaction = Some(declared.clone());
            }
            if let Some(message) = event.message() {
                let text = message.text().unwrap().to_owned();
                // The broker gives them back before it tells of the commit.
                if discharged {
                    seen.note(format!("{text} {}", message.delivery_count()));
                    return event.delivery().unwrap().accept().unwrap();
                }
                kept.push((text, event.delivery().unwrap()));
            }
            let Some(transaction) = transaction.as_ref().filter(|_| kept.len() == 4) else { return };
            for (text, delivery) in kept.drain(..) {
                let outcome = match text.as_str() {
                    "accept" => Outcome::Accepted,
                    "reject" => Outcome::Rejected(None),
                    "release" => Outcome::Released,
                    _ => Outcome::Modified { delivery_failed: true, undeliverable_here: false, annotations: None },
                };
                transaction.settle(&delivery, outcome).unwrap();
                assert!(!delivery.is_settled(), "it is once the transaction has ended");
            }
            discharged = true;
            if commit { transaction.commit() } else { transaction.abort() }
        }
        "on_transaction_committed" | "on_transaction_aborted" => {
            event.container().schedule(Duration::from_millis(100));
        }
        "on_timer_task" => event.container().stop(),
        _ => {}
    });
    run(handler.with(|settings| settings.auto_accept = false)).await;
    assert_eq!(log.count("on_transaction_commit_failed"), 0);
    assert_eq!(broker.open_transactions(), 0);
    let mut again = again.all();
    again.sort();
    again
}

#[tokio::test]
async fn outcomes_of_every_kind_hold_with_the_commit_and_not_without() {
    assert_eq!(come_again(true).await, ["modify 1", "release 0"]);
    let aborted = come_again(false).await;
    let texts: Vec<_> = aborted.iter().filter_map(|line| line.split(' ').next()).collect();
    // Those that are back with their receiver are not handed out again: they are settled anew, or go back with the link.
    assert!(texts.is_empty() || texts == ["accept", "modify", "reject", "release"], "{aborted:?}");
}

#[tokio::test]
async fn one_that_takes_too_long_is_not_committed() {
    let (_broker, url) = broker_with(|builder| builder.transaction_timeout(Some(Duration::from_millis(50)))).await;
    let log = Log::default();
    let noted = log.clone();
    let mut declared = None;
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect(&url).declare_transaction()),
        "on_transaction_declared" => {
            declared = event.transaction().cloned();
            event.container().schedule(Duration::from_millis(300));
        }
        "on_timer_task" => declared.as_ref().unwrap().commit(),
        "on_transaction_commit_failed" => {
            noted.note(event.error().unwrap().to_string());
            event.connection().unwrap().close();
        }
        _ => {}
    }))
    .await;
    assert!(log.all().iter().any(|line| line.contains("too long")), "{:?}", log.all());
}

#[tokio::test]
async fn a_session_has_several_at_once_and_one_behind_the_other() {
    let (broker, url) = broker().await;
    let log = Log::default();
    let noted = log.clone();
    let mut all = Vec::new();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let session = event.container().connect(&url).session();
            all.extend((0..3).map(|_| session.declare_transaction()));
            session.create_sender("q");
        }
        "on_sendable" | "on_transaction_declared" if noted.count("on_transaction_declared") == 3 && !all.is_empty() => {
            let sender = event.sender().cloned();
            let Some(sender) =
                sender.or_else(|| Some(event.session()?.create_sender("q"))).filter(|it| it.credit() > 0)
            else {
                return;
            };
            for (number, transaction) in all.drain(..).enumerate() {
                transaction.send(&sender, format!("{number}")).unwrap();
                if number == 1 { transaction.abort() } else { transaction.commit() }
            }
        }
        "on_transaction_committed" if noted.count(method) == 2 => {
            event.session().unwrap().declare_transaction().commit();
        }
        "on_transaction_committed" if noted.count(method) == 3 => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    assert_eq!((log.count("on_transaction_committed"), log.count("on_transaction_aborted")), (3, 1), "{:?}", log.all());
    assert_eq!(broker.queue_stats("q").unwrap().ready, 2);
}
