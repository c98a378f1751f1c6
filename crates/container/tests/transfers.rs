//! Transfers as a peer of any kind sends them, and what it hears of them.

mod common;

use std::time::Duration;

use common::raw::Peer;
use common::{Log, answer, opened, run, script};
use postroad_codec::v1_0::{DeliveryState, Disposition, Frame, Performative, Transfer};
use postroad_container::{Event, EventError, LinkOptions, Message, Outcome, Settings};
use postroad_testkit::{Builder, attach_receiver, continuation, detach, end, flow, transfer};

fn message(number: u32, text: &str) -> Builder<Transfer> {
    transfer(number).payload(Message::from(text).encode())
}

/// What the peer hears of deliveries until the link is detached or the connection closed, in order.
fn hear(peer: &mut Peer) -> Vec<String> {
    let mut heard = Vec::new();
    while let Some(Frame::Amqp { performative, .. }) = peer.next() {
        match performative {
            Performative::Disposition(Disposition { first, last, settled, state, .. }) => {
                let name = match state {
                    Some(DeliveryState::Accepted) => "accepted".to_owned(),
                    Some(DeliveryState::Released) => "released".to_owned(),
                    Some(DeliveryState::Rejected(rejected)) => {
                        format!("rejected {:?}", rejected.error.map(|error| error.condition.0.to_string()))
                    }
                    Some(DeliveryState::Modified(modified)) if modified.delivery_failed == Some(true) => {
                        "failed".to_owned()
                    }
                    other => format!("{other:?}"),
                };
                for number in first.0..=last.unwrap_or(first).0 {
                    heard.push(format!("{number} {name}{}", if settled { "" } else { ", not settled" }));
                }
            }
            Performative::Detach(_) => {
                heard.push("detach".to_owned());
                peer.send(detach().closed(true));
            }
            Performative::End(_) => {
                heard.push("end".to_owned());
                peer.send(end());
            }
            Performative::Close(_) => {
                peer.send(postroad_testkit::close());
                break;
            }
            _ => {}
        }
    }
    heard
}

/// Has a peer send this to a receiver with 10 credits, and tells what it heard.
async fn told(
    settings: impl Fn(&mut Settings),
    sends: impl FnOnce(&mut Peer) + Send + 'static,
    mut act: impl FnMut(&str, &mut Event<'_>) + Send + 'static,
) -> (Vec<String>, Log) {
    let (tell, heard) = std::sync::mpsc::channel();
    let (options, served) = opened(move |peer| {
        peer.begin();
        let (theirs, _) = peer.take(attach_receiver("it"));
        peer.send(answer(&theirs));
        peer.take(flow());
        sends(peer);
        tell.send(hear(peer)).unwrap();
    });
    let log = Log::default();
    let handler = script(&log, move |method, event| {
        if method == "on_start" {
            let link = LinkOptions::new().source("q").name("it");
            event.container().connect_with(options.clone()).create_receiver_with(link);
        }
        act(method, event);
    });
    run(handler.with(settings)).await;
    served.await.unwrap();
    (heard.recv().unwrap(), log)
}

/// Without the end of everything, which is not what it is about.
fn outcomes(heard: &[String]) -> Vec<&str> {
    heard.iter().map(String::as_str).filter(|line| !["detach", "end"].contains(line)).collect()
}

#[tokio::test]
async fn a_message_in_many_frames_is_one() {
    let (heard, log) = told(
        |_| {},
        |peer| {
            let whole = Message::from("one two three").encode();
            peer.send(transfer(0).payload(whole.slice(..1)).more(true));
            for at in 1..whole.len() - 1 {
                peer.send(continuation().payload(whole.slice(at..at + 1)).more(true));
            }
            peer.send(continuation().payload(whole.slice(whole.len() - 1..)).more(true));
            // The last one may be empty.
            peer.send(continuation());
        },
        |method, event| {
            if method == "on_message" {
                assert_eq!(event.message().unwrap().text(), Some("one two three"));
                event.connection().unwrap().close();
            }
        },
    )
    .await;
    assert_eq!(outcomes(&heard), ["0 accepted"]);
    assert_eq!(log.count("on_message"), 1);
}

#[tokio::test]
async fn one_that_is_given_up_half_way_is_none() {
    let (heard, log) = told(
        |_| {},
        |peer| {
            peer.send(message(0, "never").more(true));
            peer.send(continuation().aborted(true));
            peer.send(message(1, "it"));
        },
        |method, event| {
            if method == "on_message" {
                assert_eq!(event.message().unwrap().text(), Some("it"));
                event.connection().unwrap().close();
            }
        },
    )
    .await;
    assert_eq!(outcomes(&heard), ["1 accepted"]);
    assert_eq!(log.count("on_message"), 1);
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_rejected_and_others_come() {
    let garbage: [&[u8]; 4] = [b"", b"\x00", b"\x00\x53\x77\xff", b"not a message at all"];
    let (heard, log) = told(
        |_| {},
        move |peer| {
            for (number, bytes) in (0..).zip(garbage) {
                peer.send(transfer(number).payload(bytes));
            }
            peer.send(message(4, "it"));
        },
        |method, event| match method {
            "on_link_error" => {
                let Some(EventError::Receive(_)) = event.error() else { panic!("{:?}", event.error()) };
                assert!(event.delivery().is_some() && event.message().is_none());
            }
            "on_message" if event.message().unwrap().text() == Some("it") => event.connection().unwrap().close(),
            _ => {}
        },
    )
    .await;
    let errors = log.count("on_link_error");
    assert!(errors >= 3, "{:?}", log.all());
    assert_eq!(outcomes(&heard).len(), 5, "{heard:?}");
    let rejected = heard.iter().filter(|line| line.contains("rejected") && line.contains("decode"));
    assert_eq!(rejected.count(), errors, "{heard:?}");
}

#[tokio::test]
async fn what_a_handler_settles_is_settled_once() {
    let (heard, _) = told(
        |_| {},
        |peer| {
            for number in 0..5 {
                peer.send(message(number, "it"));
            }
        },
        |method, event| {
            if method != "on_message" {
                return;
            }
            let delivery = event.delivery().unwrap();
            let tag = format!("{:?}", delivery.tag());
            match &tag[..] {
                tag if tag.contains('1') => delivery.release(false).unwrap(),
                tag if tag.contains('2') => delivery.reject(None).unwrap(),
                tag if tag.contains('3') => delivery.update(Outcome::Released).unwrap(),
                tag if tag.contains('4') => event.connection().unwrap().close(),
                _ => {}
            }
        },
    )
    .await;
    let mut settled: Vec<_> = heard.iter().filter(|line| !line.contains("not settled") && line.contains(' ')).collect();
    settled.sort();
    assert_eq!(settled, ["0 accepted", "1 released", "2 rejected None", "4 accepted"], "{heard:?}");
    assert!(heard.contains(&"3 released, not settled".to_owned()), "{heard:?}");
}

#[tokio::test]
async fn a_message_is_accepted_before_the_link_is_closed_by_its_handler() {
    for what in ["link", "session", "connection"] {
        let (heard, _) = told(
            |_| {},
            |peer| {
                peer.send(message(0, "it"));
            },
            move |method, event| match method {
                "on_message" if what == "link" => event.link().unwrap().close(),
                "on_message" if what == "session" => event.session().unwrap().close(),
                "on_message" => event.connection().unwrap().close(),
                "on_link_closed" | "on_session_closed" => event.connection().unwrap().close(),
                _ => {}
            },
        )
        .await;
        assert_eq!(heard.first().map(String::as_str), Some("0 accepted"), "{what}: {heard:?}");
    }
}

#[tokio::test]
async fn nothing_is_settled_by_itself_where_that_is_the_programs() {
    let mut kept = Vec::new();
    let (heard, _) = told(
        |settings| settings.auto_accept = false,
        |peer| {
            peer.send(message(0, "a")).send(message(1, "b")).send(message(2, "c"));
        },
        move |method, event| match method {
            "on_message" => {
                kept.push(event.delivery().unwrap());
                if kept.len() == 3 {
                    event.container().schedule(Duration::from_millis(20));
                }
            }
            "on_timer_task" => {
                kept[1].settle_as(Outcome::Accepted).unwrap();
                kept[1].connection().close();
            }
            _ => {}
        },
    )
    .await;
    assert_eq!(outcomes(&heard), ["1 accepted"]);
}

#[tokio::test]
async fn a_message_that_was_settled_by_its_sender_is_told_nothing_of() {
    let (heard, log) = told(
        |_| {},
        |peer| {
            peer.send(message(0, "a").settled(true)).send(message(1, "b"));
        },
        |method, event| {
            if method == "on_message" && event.message().unwrap().text() == Some("b") {
                event.connection().unwrap().close();
            }
        },
    )
    .await;
    assert_eq!(outcomes(&heard), ["1 accepted"]);
    assert_eq!(log.count("on_message"), 2);
}

#[tokio::test]
async fn what_is_not_handled_when_the_run_stops_is_not_accepted() {
    let (heard, log) = told(
        |_| {},
        |peer| {
            for number in 0..10 {
                peer.send(message(number, "it"));
            }
        },
        |method, event| {
            if method == "on_message" {
                event.container().stop();
            }
        },
    )
    .await;
    let handled = log.count("on_message");
    assert_eq!(handled, 1);
    assert!(heard.iter().filter(|line| line.contains("accepted")).count() <= handled, "{heard:?}");
}

#[tokio::test]
async fn a_message_larger_than_the_link_takes_ends_the_link() {
    let (options, served) = opened(|peer| {
        peer.begin();
        let (theirs, _) = peer.take(attach_receiver("it").max_message_size(10));
        peer.send(answer(&theirs));
        peer.take(flow());
        peer.send(message(0, "much too long for it"));
        peer.part();
    });
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let link = LinkOptions::new().source("q").name("it").terms(|terms| terms.max_message_size = 10);
            event.container().connect_with(options.clone()).create_receiver_with(link);
        }
        "on_message" => panic!("it is too long"),
        "on_link_error" => {
            noted.note(event.error().unwrap().to_string());
            event.connection().unwrap().close();
        }
        "on_connection_error" | "on_transport_error" => noted.note(event.error().unwrap().to_string()),
        _ => {}
    }))
    .await;
    served.await.unwrap();
    assert!(!log.has("on_message"), "{:?}", log.all());
}
