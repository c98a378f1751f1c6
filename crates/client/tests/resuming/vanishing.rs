//! A peer that vanishes at every frame and every seventh byte of a whole conversation, in both directions, and then
//! serves well: every call ends, and each message comes to what its guarantee says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::Duration;

use postroad_client::{ConnectOptions, Connection, Guarantee, Message, Outcome, Receiver};

use crate::container::{self, Cut, Ledger, Place, Shared, Waiting};
use crate::{named, quickly, soon};

const MESSAGES: usize = 3;

/// Messages that take several frames, and some that take one.
fn text(number: usize) -> String {
    if number == 1 { "one".repeat(300) } else { number.to_string() }
}

/// What came of a conversation.
#[derive(Debug, Default)]
struct Report {
    accepted: usize,
    /// How often each message came.
    received: BTreeMap<String, usize>,
    ledger: Ledger,
}

/// Receives until everything is accepted; at most once, what there is.
async fn receive(receiver: &mut Receiver, guarantee: Guarantee, received: &mut BTreeMap<String, usize>) {
    if guarantee == Guarantee::AtMostOnce {
        while let Some(message) = soon(receiver.fetch(Duration::ZERO)).await.unwrap() {
            *received.entry(message.text().unwrap().to_owned()).or_default() += 1;
        }
        return;
    }
    let mut settled = BTreeSet::new();
    while settled.len() < MESSAGES {
        let message = soon(receiver.receive()).await.unwrap();
        *received.entry(message.text().unwrap().to_owned()).or_default() += 1;
        // Where it is too late it comes again.
        if receiver.accept(&message).is_ok() {
            settled.insert(message.text().unwrap().to_owned());
        }
        if guarantee == Guarantee::ExactlyOnce {
            // It is settled once its sender has heard of it.
            let over = async {
                while !receiver.settler().is_settled(&message) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            soon(over).await;
        }
    }
}

/// Everything that a client does with a connection.
async fn converse(guarantee: Guarantee, cut: Cut) -> Report {
    let ledger = Shared::default();
    ledger.lock().unwrap().waiting =
        (0..MESSAGES).map(|number| Waiting { text: text(number), place: Place::Here }).collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut options = ConnectOptions::new(format!("amqp://{address}").parse().unwrap());
    options.sasl_enabled = false;
    let mut reconnect = quickly();
    reconnect.initially = true;
    options.reconnect = Some(reconnect);
    let peer = {
        let ledger = ledger.clone();
        tokio::task::spawn_blocking(move || container::serve(&listener, &ledger, cut))
    };
    let mut report = Report::default();
    let connection = soon(Connection::open(options)).await.unwrap();
    let session = soon(connection.session()).await.unwrap();
    let sender = soon(session.sender_with("a", named("out", guarantee))).await.unwrap();
    let mut receiver = soon(session.receiver_with("a", named("in", guarantee))).await.unwrap();
    let mut under_way = Vec::new();
    for number in 0..MESSAGES {
        under_way.push(soon(sender.submit_tracked(&Message::from(text(number).as_str()))).await.unwrap());
    }
    receive(&mut receiver, guarantee, &mut report.received).await;
    for settlement in under_way {
        assert_eq!(soon(settlement).await, Ok(Outcome::Accepted), "{cut:?}");
        report.accepted += 1;
    }
    assert!(sender.take_in_doubt().is_empty());
    // Whether the peer hears of these depends on when it vanishes; they end.
    let _ = soon(receiver.close()).await;
    let _ = soon(sender.close()).await;
    let _ = soon(session.close()).await;
    let closed = soon(connection.close()).await;
    drop(session);
    if closed.is_err() {
        // It vanished in the middle of the close: nobody comes back.
        assert_ne!(cut, Cut::Never);
    }
    container::dismiss(address, &ledger);
    soon(peer).await.unwrap();
    report.ledger = std::mem::take(&mut ledger.lock().unwrap());
    report
}

/// Where to cut: every frame and every seventh byte.
fn cuts(ends: &[usize], of: fn(usize) -> Cut) -> impl Iterator<Item = Cut> {
    let last = *ends.last().unwrap();
    let all: BTreeSet<usize> = ends.iter().copied().chain((0..last).step_by(7)).collect();
    all.into_iter().map(of)
}

async fn everywhere(guarantee: Guarantee, check: fn(&Report, Cut)) {
    let whole = converse(guarantee, Cut::Never).await;
    check(&whole, Cut::Never);
    assert_eq!(whole.ledger.said.len(), 1);
    let mut cuts: Vec<Cut> =
        cuts(&whole.ledger.said[0], Cut::Said).chain(cuts(&whole.ledger.heard[0], Cut::Heard)).collect();
    let mut running = tokio::task::JoinSet::new();
    let (mut done, all) = (0, cuts.len());
    while done < all {
        while running.len() < 8
            && let Some(cut) = cuts.pop()
        {
            running.spawn(async move { (converse(guarantee, cut).await, cut) });
        }
        let (report, cut) = running.join_next().await.unwrap().unwrap();
        check(&report, cut);
        done += 1;
    }
    assert!(all > 200, "{all}");
}

fn came(report: &Report) -> BTreeMap<&str, usize> {
    let mut came = BTreeMap::new();
    for text in &report.ledger.came {
        *came.entry(text.as_str()).or_default() += 1;
    }
    came
}

#[tokio::test]
async fn exactly_once_each_message_comes_once() {
    everywhere(Guarantee::ExactlyOnce, |report, cut| {
        let once: BTreeMap<String, usize> = (0..MESSAGES).map(|number| (text(number), 1)).collect();
        assert_eq!(report.received, once, "{cut:?}");
        assert_eq!(report.ledger.came, (0..MESSAGES).map(text).collect::<Vec<_>>(), "{cut:?}");
        assert!(report.ledger.waiting.iter().all(|waiting| waiting.place == Place::Over), "{cut:?} {report:?}");
    })
    .await;
}

#[tokio::test]
async fn at_least_once_each_message_comes() {
    everywhere(Guarantee::AtLeastOnce, |report, cut| {
        // Once more for the one connection that was lost.
        for times in [came(report).into_values().collect::<Vec<_>>(), report.received.values().copied().collect()] {
            assert_eq!(times.len(), MESSAGES, "{cut:?} {report:?}");
            assert!(times.iter().all(|times| *times <= 2), "{cut:?} {report:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn at_most_once_no_message_comes_twice() {
    everywhere(Guarantee::AtMostOnce, |report, cut| {
        assert!(report.received.values().chain(came(report).values()).all(|times| *times == 1), "{cut:?} {report:?}");
        assert_eq!(report.accepted, MESSAGES);
    })
    .await;
}
