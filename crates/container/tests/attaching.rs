//! How links are attached and detached, as the peer sees it and as it is told.

mod common;

use std::time::Duration;

use common::{Log, answer, both, broker, opened, run, script};
use postroad_codec::v1_0::{
    Attach, Frame, Performative, ReceiverSettleMode, SenderSettleMode, Source, Symbol, Target, Value,
};
use postroad_container::client::{AttachError, Expiry};
use postroad_container::types::{ErrorCondition, Fields, PeerError};
use postroad_container::{EndpointState, EndpointStates, EventError, LinkOptions, Node};
use postroad_testkit::{Builder, attach_receiver, attach_sender, detach, error};

/// Tells a peer that the link has opened at the other end too.
type Told = std::sync::mpsc::Receiver<()>;

/// Has a peer answer a link's attach like this, and tells what was heard of it.
async fn told(
    sends: bool,
    strict: bool,
    link: impl Fn() -> LinkOptions + Send + 'static,
    answers: impl FnOnce(&mut common::raw::Peer, Attach, Told) + Send + 'static,
) -> Vec<String> {
    let (tell, told) = std::sync::mpsc::channel();
    let (options, served) = opened(move |peer| {
        peer.begin();
        let (theirs, _) = peer.take(if sends { attach_sender("it") } else { attach_receiver("it") });
        answers(peer, theirs, told);
        peer.part();
    });
    let log = Log::default();
    let handler = script(&log, move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect_with(options.clone());
            match sends {
                true => drop(connection.create_sender_with(link().name("it"))),
                false => drop(connection.create_receiver_with(link().name("it"))),
            }
        }
        "on_link_error"
            if !matches!(event.error(), Some(EventError::Attach(AttachError::Link(_)) | EventError::Link(_))) =>
        {
            event.connection().unwrap().close();
        }
        "on_link_opened" => drop(tell.send(())),
        "on_link_closed" => event.connection().unwrap().close(),
        _ => {}
    });
    run(handler.with(|settings| settings.peer_close_is_error = strict)).await;
    served.await.unwrap();
    log.without(&["on_start", "on_connection_opened", "on_session_opened", "on_sendable", "on_connection_closed"])
}

/// To either end of a queue.
fn plain() -> LinkOptions {
    LinkOptions::new().source("q").target("q")
}

/// Answers that there is nothing, which a detach then explains (part 2, 2.6.3).
fn nothing(theirs: &Attach) -> Builder<Attach> {
    let mine = answer(theirs);
    match theirs.role {
        postroad_codec::v1_0::Role::Sender => mine.target(None),
        postroad_codec::v1_0::Role::Receiver => mine.source(None),
    }
}

#[tokio::test]
async fn a_link_that_is_refused_says_why() {
    for sends in [true, false] {
        let heard = told(sends, false, plain, |peer, theirs, _| {
            peer.send(nothing(&theirs)).send(detach().closed(true).error(error("test:mood")));
            peer.take(detach().closed(true));
        });
        assert_eq!(heard.await, ["on_link_error test:mood", "on_link_closed"], "{sends}");
    }
}

#[tokio::test]
async fn a_link_that_is_refused_without_a_reason_is_an_error_all_the_same() {
    for sends in [true, false] {
        let heard = told(sends, false, plain, |peer, theirs, _| {
            peer.send(nothing(&theirs)).send(detach().closed(true));
            peer.take(detach().closed(true));
        });
        assert_eq!(heard.await, ["on_link_error", "on_link_closed"], "{sends}");
    }
}

#[tokio::test]
async fn a_link_to_another_node_than_was_asked_for_is_not_attached() {
    for sends in [true, false] {
        let heard = told(sends, false, plain, move |peer, theirs, _| {
            let other = Some("another".into());
            let mine = match sends {
                true => answer(&theirs).target(Target { address: other, ..Target::default() }),
                false => answer(&theirs).source(Source { address: other, ..Source::default() }),
            };
            peer.send(mine);
        });
        assert_eq!(heard.await, ["on_link_error"], "{sends}");
    }
}

#[tokio::test]
async fn a_peer_that_detaches_is_heard_with_its_error() {
    for (sends, closed) in [(true, true), (true, false), (false, true), (false, false)] {
        let heard = told(sends, false, plain, move |peer, theirs, told| {
            peer.send(answer(&theirs));
            told.recv().unwrap();
            peer.send(detach().closed(closed).error(error("test:mood")));
        });
        assert_eq!(heard.await, ["on_link_opened", "on_link_error test:mood", "on_link_closed"], "{sends}");
    }
}

#[tokio::test]
async fn a_peer_that_detaches_without_error_closes_unless_that_is_an_error() {
    for (sends, strict) in [(true, true), (true, false), (false, true), (false, false)] {
        let heard = told(sends, strict, plain, move |peer, theirs, told| {
            peer.send(answer(&theirs));
            told.recv().unwrap();
            peer.send(detach().closed(true));
        });
        let end = if strict { "on_link_error" } else { "on_link_closing" };
        assert_eq!(heard.await, ["on_link_opened", end, "on_link_closed"], "{sends}");
    }
}

/// The attach that a peer sees for these options.
async fn seen(sends: bool, link: impl Fn() -> LinkOptions + Send + 'static) -> Attach {
    let (tell, seen) = std::sync::mpsc::channel();
    told(sends, false, link, move |peer, theirs, _| {
        peer.send(answer(&theirs)).send(detach().closed(true));
        tell.send(theirs).unwrap();
    })
    .await;
    seen.recv().unwrap()
}

#[tokio::test]
async fn the_peer_sees_the_terms_that_were_asked_for() {
    let receiver = seen(false, || {
        LinkOptions::new()
            .source(Node { capabilities: vec!["queue".to_owned()], ..Node::at("theirs") })
            .target("ours")
            .selector("colour = 'größer ☃'")
            .filter(Symbol::from_static("mine"), Value::described(Symbol::from_static("test:filter"), 5_u32))
            .browse()
            .terms(|terms| {
                terms.max_message_size = 4096;
                let name = Value::from(Symbol::from_static("flavour"));
                terms.properties = Some(Fields([(name, Value::from("vanilla"))].into_iter().collect()));
            })
    })
    .await;
    let source = receiver.source.unwrap();
    let text = format!("{source:?} {:?} {:?}", receiver.target, receiver.properties);
    for part in
        ["theirs", "ours", "größer ☃", "apache.org:selector-filter:string", "test:filter", "queue", "vanilla", "copy"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(receiver.max_message_size, Some(4096));
    assert_eq!(receiver.snd_settle_mode, SenderSettleMode::UNSETTLED);

    let sender = seen(true, || LinkOptions::new().source("ours").target("theirs")).await;
    let text = format!("{:?} {:?}", sender.source, sender.target);
    assert!(text.contains("ours") && text.contains("theirs"), "{text}");
}

#[tokio::test]
async fn a_subscription_that_lasts_is_one_that_never_expires() {
    let durable = seen(false, || LinkOptions::new().source("topic").durable_subscription()).await;
    let text = format!("{:?}", durable.source);
    assert!(text.contains("never") && !text.contains("durable: None"), "{text}");
    let shared = seen(false, || LinkOptions::new().source("topic").shared_subscription("it", true)).await;
    let text = format!("{:?}", shared.source);
    assert!(text.contains("shared") && text.contains("global"), "{text}");
}

#[tokio::test]
async fn settle_modes_are_those_of_the_guarantee() {
    use {ReceiverSettleMode as Receiver, SenderSettleMode as Sender};
    for sends in [true, false] {
        let modes = |attach: Attach| (attach.snd_settle_mode, attach.rcv_settle_mode);
        assert_eq!(modes(seen(sends, || plain().at_most_once()).await).0, Sender::SETTLED);
        assert_eq!(modes(seen(sends, || plain().at_least_once()).await), (Sender::UNSETTLED, Receiver::FIRST));
        assert_eq!(modes(seen(sends, || plain().exactly_once()).await), (Sender::UNSETTLED, Receiver::SECOND));
    }
}

#[tokio::test]
async fn what_the_peer_says_of_its_end_is_there() {
    let (options, served) = opened(|peer| {
        peer.begin();
        let (theirs, _) = peer.take(attach_receiver("it"));
        let mine = answer(&theirs).with(|mine| {
            mine.offered_capabilities = vec![Symbol::from_static("SHARED-SUBS")].into();
            let name = Value::from(Symbol::from_static("scoops"));
            mine.properties = Some(Fields([(name, Value::from(2_i32))].into_iter().collect()));
            let source = mine.source.as_mut().unwrap();
            source.capabilities = vec![Symbol::from_static("topic")].into();
            source.filter = None;
        });
        peer.send(mine.max_message_size(77));
        peer.part();
    });
    run(script(&Log::default(), move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect_with(options.clone());
            let receiver = connection.create_receiver_with(plain().name("it").selector("a = 1"));
            assert_eq!((receiver.remote_source(), receiver.remote_properties()), (None, None));
            assert_eq!((receiver.credit(), receiver.queued(), receiver.is_draining()), (0, 0, false));
            let state = EndpointStates { local: EndpointState::Active, remote: EndpointState::Uninit };
            assert_eq!(receiver.state(), state);
        }
        "on_link_opened" => {
            let receiver = event.receiver().unwrap();
            assert_eq!((event.sender(), event.link().unwrap().is_receiver(), receiver.name()), (None, true, "it"));
            let source = receiver.remote_source().unwrap();
            assert_eq!((source.address.as_deref(), &source.capabilities[..]), (Some("q"), &["topic".to_owned()][..]));
            assert!(source.filters.is_empty(), "the peer has no filters");
            assert_eq!(receiver.source().unwrap().filters.len(), 1);
            let properties = receiver.remote_properties().unwrap();
            assert_eq!(properties.0.iter().next().map(|(_, value)| value.clone()), Some(Value::from(2_i32)));
            let state = EndpointStates { local: EndpointState::Active, remote: EndpointState::Active };
            assert_eq!(receiver.state(), state);
            receiver.close();
        }
        "on_link_closed" => {
            let state = EndpointStates { local: EndpointState::Closed, remote: EndpointState::Closed };
            assert_eq!(event.link().unwrap().state(), state);
            event.connection().unwrap().close();
        }
        _ => {}
    }))
    .await;
    served.await.unwrap();
}

#[tokio::test]
async fn a_link_is_closed_with_an_error_or_left() {
    for leave in [false, true] {
        let (options, served) = opened(move |peer| {
            peer.begin();
            let (theirs, _) = peer.take(attach_sender("it"));
            peer.send(answer(&theirs));
            let expected = if leave { detach().closed(false) } else { detach().condition(ErrorCondition::NOT_ALLOWED) };
            peer.take(expected);
            peer.send(detach().closed(!leave));
            peer.part();
        });
        let log = Log::default();
        run(script(&log, move |method, event| match method {
            "on_start" => {
                event.container().connect_with(options.clone()).create_sender_with(plain().name("it"));
            }
            "on_link_opened" if leave => event.sender().unwrap().detach(),
            "on_link_opened" => event.link().unwrap().close_with(PeerError::new(ErrorCondition::NOT_ALLOWED, "no")),
            "on_link_closed" => event.connection().unwrap().close(),
            _ => {}
        }))
        .await;
        served.await.unwrap();
        assert!(log.has("on_link_closed") && !log.has("on_link_error"), "{:?}", log.all());
    }
}

#[tokio::test]
async fn many_links_of_a_session_are_attached_and_closed() {
    let (_broker, url) = broker().await;
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let session = event.container().connect(&url).session();
            for number in 0..50 {
                session.create_sender(format!("q{number}").as_str());
                session.create_receiver(format!("q{number}").as_str());
            }
        }
        "on_link_opened" => {
            let link = event.link().unwrap();
            assert_eq!(link.session(), event.session().unwrap());
            assert_eq!(link.is_sender(), link.as_sender().is_some());
            link.close();
        }
        "on_link_closed" if noted.count("on_link_closed") == 100 => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    assert_eq!((log.count("on_link_opened"), log.count("on_link_closed")), (100, 100));
}

#[tokio::test]
async fn two_links_of_one_name_are_told_apart_by_their_direction() {
    let (_broker, url) = broker().await;
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect(&url);
            connection.create_sender_with(plain().name("same"));
            connection.create_receiver_with(plain().name("same"));
        }
        "on_sendable" if noted.count("on_sendable") == 1 => drop(event.sender().unwrap().send("it").unwrap()),
        "on_message" => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    assert_eq!(log.count("on_link_opened"), 2);
}

#[tokio::test]
async fn a_second_link_of_a_name_and_direction_is_refused_or_takes_over() {
    let (_broker, url) = broker().await;
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect(&url);
            connection.create_receiver_with(plain().name("same"));
            connection.create_receiver_with(plain().name("same"));
            event.container().schedule(Duration::from_millis(100));
        }
        "on_timer_task" => event.container().stop(),
        "on_link_error" => noted.note(format!("{:?}", event.error())),
        _ => {}
    }))
    .await;
    assert!(log.all().iter().any(|line| line.starts_with("on_link_error")), "{:?}", log.all());
}

#[tokio::test]
async fn a_node_that_the_peer_makes_has_the_properties_that_were_asked_for() {
    let asked = || {
        let policy = Symbol::from_static("lifetime-policy");
        LinkOptions::new().dynamic_node_properties([(policy, Value::from(Symbol::from_static("delete-on-close")))])
    };
    for sends in [true, false] {
        let theirs = seen(sends, asked).await;
        let text = if sends { format!("{:?}", theirs.target) } else { format!("{:?}", theirs.source) };
        assert!(text.contains("dynamic: true") && text.contains("delete-on-close"), "{text}");
    }
    let expiry = seen(false, || {
        LinkOptions::new().source(Node { expiry: Some(Expiry::LinkDetach(Duration::from_secs(7))), ..Node::at("q") })
    });
    let source = format!("{:?}", expiry.await.source);
    assert!(source.contains("link-detach") && source.contains('7'), "{source}");
}

#[tokio::test]
async fn a_link_that_is_closed_before_it_is_attached_is_detached_then() {
    let (options, served) = opened(|peer| {
        peer.begin();
        let (theirs, _) = peer.take(attach_receiver("it"));
        peer.send(answer(&theirs));
        let mut flows = 0;
        while let Some(Frame::Amqp { performative, .. }) = peer.next() {
            match performative {
                Performative::Flow(flow) => flows += flow.link_credit.unwrap_or(0),
                Performative::Detach(_) => break,
                _ => {}
            }
        }
        assert_eq!(flows, 0, "nothing is asked for");
        peer.send(detach().closed(true));
        peer.part();
    });
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let link = event.container().connect_with(options.clone()).create_receiver_with(plain().name("it"));
            link.close();
            link.close();
        }
        "on_link_closed" => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    served.await.unwrap();
    assert!(!log.has("on_link_opened") && !log.has("on_link_error"), "{:?}", log.all());
}

#[tokio::test]
async fn a_name_is_free_again_once_its_link_is_closed_and_may_begin_another() {
    let (_broker, url) = broker().await;
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let session = event.container().connect(&url).session();
            for name in ["l", "l1", "l10"] {
                session.create_sender_with(plain().name(name));
            }
        }
        "on_link_opened" if noted.count(method) <= 3 => event.link().unwrap().close(),
        "on_link_closed" if noted.count(method) == 3 => {
            drop(event.session().unwrap().create_sender_with(plain().name("l1")))
        }
        "on_sendable" if event.link().unwrap().name() == "l1" && noted.count("on_link_closed") == 3 => {
            event.connection().unwrap().close();
        }
        _ => {}
    }))
    .await;
    assert_eq!((log.count("on_link_opened"), log.count("on_link_error")), (4, 0), "{:?}", log.all());
}

#[tokio::test]
async fn nodes_are_known_beyond_the_end_of_their_link() {
    let log = Log::default();
    let noted = log.clone();
    let server = script(&Log::default(), move |method, event| {
        if matches!(method, "on_message" | "on_link_closed") {
            let receiver = event.receiver().unwrap();
            for node in [receiver.target(), receiver.remote_target()] {
                noted.note(format!("{method} {}", node.unwrap().address.unwrap()));
            }
        }
    });
    both(server, |url| {
        script(&Log::default(), move |method, event| match method {
            "on_start" => drop(event.container().connect(&url).create_sender("there")),
            "on_sendable" => {
                // They go together, so that the end is known before the message is handled.
                event.sender().unwrap().send("it").unwrap();
                event.sender().unwrap().close();
            }
            "on_link_closed" => {
                assert_eq!(event.sender().unwrap().remote_target().unwrap().address.as_deref(), Some("there"));
                event.connection().unwrap().close();
            }
            _ => {}
        })
    })
    .await;
    assert_eq!(log.all(), ["on_message there", "on_message there", "on_link_closed there", "on_link_closed there"]);
}
