//! What becomes of deliveries, between two containers.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Log, both, script};
use postroad_codec::v1_0::{Symbol, Value};
use postroad_container::client::{LinkError, SendError};
use postroad_container::types::{ErrorCondition, Fields, PeerError};
use postroad_container::{Delivery, DeliveryTag, EventError, Guarantee, LinkOptions, Message, Outcome};

fn why() -> PeerError {
    PeerError::new(ErrorCondition::NOT_ALLOWED, "no")
}

fn annotations() -> Fields {
    Fields([(Value::from(Symbol::from_static("x-why")), Value::from("this"))].into_iter().collect())
}

fn modified(delivery_failed: bool) -> Outcome {
    Outcome::Modified { delivery_failed, undeliverable_here: false, annotations: None }
}

#[tokio::test]
async fn each_outcome_is_told_as_it_was_given() {
    let changed =
        Outcome::Modified { delivery_failed: true, undeliverable_here: true, annotations: Some(annotations()) };
    let cases = [
        ("nothing", "on_accepted", Outcome::Accepted),
        ("accept", "on_accepted", Outcome::Accepted),
        ("reject", "on_rejected", Outcome::Rejected(Some(why()))),
        ("reject without a reason", "on_rejected", Outcome::Rejected(None)),
        ("release", "on_released", Outcome::Released),
        ("release as delivered", "on_modified", modified(true)),
        ("modify", "on_modified", changed),
        ("settle", "on_modified", modified(true)),
        ("settle as accepted", "on_accepted", Outcome::Accepted),
        ("update and settle", "on_rejected", Outcome::Rejected(None)),
    ];
    let log = Log::default();
    let server = script(&log, |method, event| {
        if method != "on_message" {
            return;
        }
        let delivery = event.delivery().unwrap();
        assert_eq!((delivery.local_state(), delivery.remote_state(), delivery.is_settled()), (None, None, false));
        assert_eq!((delivery.sender(), delivery.receiver()), (None, event.receiver()));
        let text = event.message().unwrap().text().unwrap();
        match text {
            "accept" => delivery.accept().unwrap(),
            "reject" => delivery.reject(Some(why())).unwrap(),
            "reject without a reason" => delivery.reject(None).unwrap(),
            "release" => delivery.release(false).unwrap(),
            "release as delivered" => delivery.release(true).unwrap(),
            "modify" => delivery.modify(true, true, Some(annotations())).unwrap(),
            "settle" => delivery.settle().unwrap(),
            "settle as accepted" => delivery.settle_as(Outcome::Accepted).unwrap(),
            "update and settle" => {
                delivery.update(Outcome::Rejected(None)).unwrap();
                assert_eq!(delivery.local_state(), Some(Outcome::Rejected(None)));
                assert!(!delivery.is_settled());
                delivery.settle().unwrap();
            }
            _ => return,
        }
        assert!(delivery.is_settled(), "{text}");
        // Once is enough, and what comes later changes nothing.
        let _ = delivery.release(false);
        let _ = delivery.update(Outcome::Released);
    });
    let told = Log::default();
    let noted = told.clone();
    let mut sent: Vec<DeliveryTag> = Vec::new();
    both(server, |url| {
        script(&told, move |method, event| match method {
            "on_start" => drop(event.container().connect(&url).create_sender("q")),
            "on_sendable" if sent.is_empty() => {
                let sender = event.sender().unwrap();
                sent.extend(cases.iter().map(|(text, ..)| sender.send(*text).unwrap().tag()));
                assert_eq!(sender.queued(), cases.len());
            }
            "on_accepted" | "on_rejected" | "on_released" | "on_modified" => {
                let delivery = event.delivery().unwrap();
                let (text, expected, outcome) =
                    &cases[sent.iter().position(|tag| *tag == delivery.tag()).expect("it was sent")];
                assert_eq!((method, delivery.remote_state().as_ref()), (*expected, Some(outcome)), "{text}");
                assert_eq!(delivery.is_settled(), *text != "update and settle", "{text}");
                assert_eq!((delivery.sender(), delivery.receiver()), (event.sender(), None));
                noted.note("told");
                if noted.count("told") == cases.len() {
                    event.connection().unwrap().close();
                }
            }
            // Of the one whose outcome was told alone, our end has settled it.
            "on_settled" => assert!(event.delivery().unwrap().is_settled()),
            _ => {}
        })
    })
    .await;
    assert_eq!((log.count("on_message"), told.count("told")), (10, 10));
    assert!([9, 10].contains(&told.count("on_settled")), "{:?}", told.all());
}

#[tokio::test]
async fn an_outcome_may_be_told_first_and_settled_later_by_either_end() {
    for by_receiver in [true, false] {
        let kept = Arc::new(Mutex::new(None::<Delivery>));
        let theirs = Arc::clone(&kept);
        let server = script(&Log::default(), move |method, event| {
            if method == "on_message" {
                let delivery = event.delivery().unwrap();
                delivery.update(Outcome::Accepted).unwrap();
                *theirs.lock().unwrap() = Some(delivery);
            }
        });
        let log = Log::default();
        let noted = log.clone();
        both(server.with(|settings| settings.auto_accept = false), |url| {
            let client = script(&log, move |method, event| match method {
                "on_start" => drop(event.container().connect(&url).create_sender("q")),
                "on_sendable" if noted.count(method) == 1 => drop(event.sender().unwrap().send("it").unwrap()),
                "on_accepted" => {
                    let delivery = event.delivery().unwrap();
                    assert!(!delivery.is_settled());
                    assert_eq!(event.sender().unwrap().queued(), 1);
                    match by_receiver {
                        true => kept.lock().unwrap().as_ref().unwrap().settle().unwrap(),
                        false => delivery.settle().unwrap(),
                    }
                    event.container().schedule(Duration::from_millis(1));
                }
                "on_settled" => assert!(by_receiver && event.delivery().unwrap().is_settled()),
                "on_timer_task" => {
                    let heard = !by_receiver || noted.has("on_settled");
                    match heard && kept.lock().unwrap().as_ref().unwrap().is_settled() {
                        true => event.container().stop(),
                        false => drop(event.container().schedule(Duration::from_millis(1))),
                    }
                }
                _ => {}
            });
            client.with(|settings| settings.auto_settle = false)
        })
        .await;
        assert_eq!((log.count("on_accepted"), log.count("on_settled")), (1, usize::from(by_receiver)));
    }
}

#[tokio::test]
async fn what_is_not_settled_as_the_link_ends_is_in_doubt() {
    let server = script(&Log::default(), |method, event| {
        if method == "on_message" && event.message().unwrap().text() == Some("last") {
            event.receiver().unwrap().close();
        }
    });
    let log = Log::default();
    let noted = log.clone();
    both(server.with(|settings| settings.auto_accept = false), |url| {
        script(&log, move |method, event| match method {
            "on_start" => drop(event.container().connect(&url).create_sender("q")),
            "on_sendable" if noted.count(method) == 1 => {
                for text in ["first", "last"] {
                    event.sender().unwrap().send(text).unwrap();
                }
            }
            "on_in_doubt" => {
                let Some(EventError::Send(SendError::InDoubt(error))) = event.error() else {
                    panic!("{:?}", event.error())
                };
                assert_eq!(*error, LinkError::DetachedByPeer);
            }
            "on_link_closed" => {
                let refused = event.sender().unwrap().send("more");
                assert!(matches!(refused, Err(SendError::NotSent(_))), "{refused:?}");
                event.connection().unwrap().close();
            }
            _ => {}
        })
    })
    .await;
    assert_eq!((log.count("on_in_doubt"), log.count("on_link_closing"), log.count("on_link_closed")), (2, 1, 1));
}

#[tokio::test]
async fn tags_are_the_programs_if_it_likes() {
    let seen = Log::default();
    let noted = seen.clone();
    let server = script(&Log::default(), move |method, event| {
        if method == "on_message" {
            noted.note(format!("{:?}", event.delivery().unwrap().tag()));
        }
    });
    let log = Log::default();
    let heard = log.clone();
    both(server.with(|settings| settings.auto_accept = false), |url| {
        let mut count = 0_u8;
        script(&log, move |method, event| match method {
            "on_start" => {
                let tags = move || {
                    count += 1;
                    DeliveryTag::new(&[count, 7]).unwrap()
                };
                event.container().connect(&url).create_sender_with(LinkOptions::new().target("q").tags(tags));
            }
            "on_sendable" if heard.count(method) == 1 => {
                let sender = event.sender().unwrap();
                assert_eq!(sender.send("a").unwrap().tag(), DeliveryTag::new(&[1, 7]).unwrap());
                let mine = DeliveryTag::new(b"mine").unwrap();
                assert_eq!(sender.send_tagged("b", mine).unwrap().tag(), mine);
                assert_eq!(sender.send_tagged("c", mine).unwrap_err(), SendError::TagInUse(mine));
                assert_eq!(sender.send("d").unwrap().tag(), DeliveryTag::new(&[2, 7]).unwrap());
                event.container().schedule(Duration::from_millis(1));
            }
            "on_timer_task" if seen.all().len() == 3 => event.container().stop(),
            "on_timer_task" => drop(event.container().schedule(Duration::from_millis(1))),
            _ => {}
        })
    })
    .await;
}

#[tokio::test]
async fn at_most_once_is_settled_as_it_is_sent() {
    let log = Log::default();
    let server = script(&log, |method, event| match method {
        "on_link_opened" => assert_eq!(event.receiver().unwrap().guarantee(), Guarantee::AtMostOnce),
        "on_message" => {
            assert!(event.delivery().unwrap().is_settled());
            event.delivery().unwrap().release(false).unwrap_or_default();
            event.connection().unwrap().close();
        }
        _ => {}
    });
    let told = Log::default();
    let noted = told.clone();
    both(server, |url| {
        script(&told, move |method, event| match method {
            "on_start" => {
                let link = LinkOptions::new().target("q").at_most_once();
                event.container().connect(&url).create_sender_with(link);
            }
            "on_sendable" if noted.count(method) == 1 => {
                let delivery = event.sender().unwrap().send("it").unwrap();
                delivery.settle().unwrap();
                assert_eq!(event.sender().unwrap().queued(), 0);
            }
            _ => {}
        })
    })
    .await;
    assert_eq!(log.count("on_message"), 1);
    let all = told.without(&["on_start", "on_connection_opened", "on_session_opened", "on_link_opened", "on_sendable"]);
    assert_eq!(all, ["on_connection_closing", "on_connection_closed"]);
}

#[tokio::test]
async fn what_cannot_be_sent_now_is_not_sent() {
    let server = script(&Log::default(), |method, event| match method {
        "on_link_opening" => event.opening().unwrap().terms().max_message_size = 100,
        "on_link_opened" => event.receiver().unwrap().flow(1),
        _ => {}
    });
    let log = Log::default();
    both(server.with(|settings| settings.prefetch = 0), |url| {
        script(&log, move |method, event| match method {
            "on_start" => {
                let sender = event.container().connect(&url).create_sender("q");
                assert_eq!(sender.send("early").unwrap_err(), SendError::NoCredit);
                assert_eq!((sender.credit(), sender.queued(), sender.take_in_doubt().len()), (0, 0, 0));
                sender.offered(5);
                sender.drained();
            }
            "on_sendable" => {
                let sender = event.sender().unwrap();
                assert_eq!(sender.credit(), 1);
                assert_eq!(sender.send("x".repeat(101)).unwrap_err(), SendError::TooLarge(100));
                assert_eq!(sender.credit(), 1, "it has cost nothing");
                sender.send("it").unwrap();
                assert_eq!(sender.send("more").unwrap_err(), SendError::NoCredit);
            }
            "on_settled" => {
                event.sender().unwrap().close();
                let refused = event.sender().unwrap().send("late").unwrap_err();
                assert!(matches!(refused, SendError::NoCredit | SendError::NotSent(_)), "{refused:?}");
            }
            "on_link_closed" => event.connection().unwrap().close(),
            _ => {}
        })
    })
    .await;
    assert_eq!(log.count("on_sendable"), 1, "{:?}", log.all());
}

#[tokio::test]
async fn credit_that_is_given_in_pieces_adds_up_and_can_be_taken_back() {
    let log = Log::default();
    let noted = log.clone();
    let server = script(&log, move |method, event| match method {
        "on_link_opened" => {
            let receiver = event.receiver().unwrap();
            [1, 0, 2, 4].into_iter().for_each(|more| receiver.flow(more));
            assert_eq!(receiver.credit(), 7);
        }
        "on_message" if noted.count(method) == 7 => {
            let receiver = event.receiver().unwrap();
            assert_eq!(receiver.credit(), 0);
            // Nothing is there to be sent: what is granted is given up.
            receiver.drain(5);
            assert!(receiver.is_draining());
            event.container().schedule(Duration::from_millis(1));
            let kept = receiver.clone();
            let container = event.container().clone();
            std::thread::spawn(move || {
                while kept.is_draining() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                assert_eq!(kept.credit(), 0);
                container.inject(move |_| kept.connection().close());
            });
        }
        _ => {}
    });
    let told = Log::default();
    let heard = told.clone();
    both(server.with(|settings| settings.prefetch = 0), |url| {
        script(&told, move |method, event| match method {
            "on_start" => drop(event.container().connect(&url).create_sender("q")),
            "on_sendable" => {
                let sender = event.sender().unwrap();
                while sender.credit() > 0 && !sender.is_draining() {
                    sender.send("it").unwrap();
                    heard.note("sent");
                }
            }
            _ => {}
        })
    })
    .await;
    assert_eq!((told.count("sent"), log.count("on_message")), (7, 7));
}

#[tokio::test]
async fn what_waits_to_be_sent_is_told() {
    let server = script(&Log::default(), |method, event| {
        if method == "on_message" {
            event.delivery().unwrap().accept().unwrap();
        }
    });
    let log = Log::default();
    let noted = log.clone();
    both(server, |url| {
        script(&log, move |method, event| match method {
            "on_start" => drop(event.container().connect(&url).create_sender("q")),
            "on_sendable" if noted.count(method) == 1 => {
                event.sender().unwrap().offered(3);
                event.sender().unwrap().send(Message::from("it").with_id(1_u64)).unwrap();
            }
            "on_settled" => event.connection().unwrap().close(),
            _ => {}
        })
    })
    .await;
    assert_eq!(log.count("on_accepted"), 1);
}
