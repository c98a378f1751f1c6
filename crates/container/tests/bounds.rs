//! What a program asks for beyond all bounds, and what a peer leaves unsaid.

mod common;

use std::time::Duration;

use common::{Log, answer, both, broker, once, opened, run, script};
use postroad_codec::v1_0::{Frame, Performative, Role};
use postroad_container::types::{Fields, Symbol, Value};
use postroad_container::{EventError, LinkOptions, client};
use postroad_testkit::{attach_receiver, attach_sender, disposition, flow};

#[tokio::test]
async fn a_link_that_fits_into_no_frame_is_an_error_of_its_own() {
    let (_broker, url) = broker().await;
    let log = Log::default();
    let noted = log.clone();
    let large = "x".repeat(1_000_000);
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect_with(once(&url));
            connection.create_sender_with(LinkOptions::new().target("q").name(large.as_str()));
            connection.create_receiver(large.as_str());
            let name = Value::from(Symbol::from_static("much"));
            let properties = Fields([(name, Value::from(large.as_str()))].into_iter().collect());
            let link = LinkOptions::new().source("q").terms(move |terms| terms.properties = Some(properties));
            connection.create_receiver_with(link);
            connection.create_sender("q");
        }
        "on_link_error" => {
            let Some(EventError::Attach(client::AttachError::Limit(_))) = event.error() else {
                panic!("{:?}", event.error())
            };
            assert!(event.error().unwrap().to_string().len() < 1000, "it is told in short");
        }
        _ => {
            // The one that fits is attached beside them.
            if noted.count("on_link_error") == 3 && noted.has("on_link_opened") {
                event.connection().into_iter().for_each(postroad_container::Connection::close);
            }
        }
    }))
    .await;
    assert_eq!((log.count("on_link_error"), log.count("on_link_opened")), (3, 1), "{:?}", log.all());
}

#[tokio::test]
async fn a_connection_that_fits_into_no_open_is_told_before_anybody_is_asked() {
    let log = Log::default();
    run(script(&log, |method, event| match method {
        "on_start" => {
            let mut options = once(&format!("amqp://{}", postroad_testkit::nobody()));
            options.properties.push(("much".to_owned(), Value::from("x".repeat(10_000))));
            event.container().connect_with(options);
        }
        "on_transport_error" => {
            let Some(EventError::Connect(client::ConnectError::Options(_))) = event.error() else {
                panic!("{:?}", event.error())
            };
        }
        _ => {}
    }))
    .await;
    assert_eq!(log.all(), ["on_start", "on_transport_error"]);
}

#[tokio::test]
async fn credit_and_delays_stop_at_what_there_is() {
    let log = Log::default();
    let server = script(&log, |method, event| match method {
        "on_link_opened" => {
            let receiver = event.receiver().unwrap();
            receiver.flow(u32::MAX);
            receiver.flow(u32::MAX);
            assert_eq!(receiver.credit(), (1 << 31) - 1);
        }
        "on_message" => event.connection().unwrap().close(),
        _ => {}
    });
    both(server.with(|settings| settings.prefetch = 0), |url| {
        script(&Log::default(), move |method, event| match method {
            "on_start" => {
                let never = event.container().schedule(Duration::MAX);
                event.container().schedule_for(Duration::MAX, script(&Log::default(), |_, _| {}));
                event.container().cancel(never);
                event.container().connect_with(once(&url)).create_sender("q");
            }
            "on_sendable" => {
                assert_eq!(event.sender().unwrap().credit(), (1 << 31) - 1);
                event.sender().unwrap().offered(u32::MAX);
                event.sender().unwrap().send("it").unwrap();
            }
            "on_connection_closed" => event.container().stop(),
            _ => {}
        })
    })
    .await;
    assert_eq!(log.count("on_message"), 1);
}

#[tokio::test]
async fn prefetch_is_what_the_settings_say_whatever_they_say() {
    for (prefetch, credit) in [(1, 1), (10, 10), (5000, 5000), (u32::MAX, (1 << 31) - 1)] {
        let (options, served) = opened(move |peer| {
            peer.begin();
            let (theirs, _) = peer.take(attach_receiver("it"));
            peer.send(answer(&theirs));
            assert_eq!(peer.take(flow()).0.link_credit, Some(credit));
            peer.send(postroad_testkit::close());
            peer.part();
        });
        let handler = script(&Log::default(), move |method, event| {
            if method == "on_start" {
                let link = LinkOptions::new().source("q").name("it");
                event.container().connect_with(options.clone()).create_receiver_with(link);
            }
        });
        run(handler.with(|settings| settings.prefetch = prefetch)).await;
        served.await.unwrap();
    }
}

#[tokio::test]
async fn a_message_that_is_settled_without_a_word_is_settled_and_no_more() {
    let (options, served) = opened(|peer| {
        peer.begin();
        let (theirs, _) = peer.take(attach_sender("it"));
        peer.send(answer(&theirs)).send(flow().handle(0).delivery_count(0).link_credit(2));
        let mut count = 0;
        while let Some(Frame::Amqp { performative, .. }) = peer.next() {
            if matches!(performative, Performative::Transfer(_)) {
                count += 1;
            }
            if count == 2 {
                break;
            }
        }
        // Twice, and of messages that were never sent as well.
        for last in [1, 1, 500] {
            peer.send(disposition(Role::Receiver, 0).last(last).settled(true));
        }
        peer.part();
    });
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let link = LinkOptions::new().target("q").name("it");
            event.container().connect_with(options.clone()).create_sender_with(link);
        }
        "on_sendable" if noted.count(method) == 1 => {
            event.sender().unwrap().send("a").unwrap();
            event.sender().unwrap().send("b").unwrap();
        }
        "on_settled" => {
            assert_eq!(event.delivery().unwrap().remote_state(), None);
            assert!(event.delivery().unwrap().is_settled());
            if noted.count(method) == 2 {
                event.connection().unwrap().close();
            }
        }
        _ => {}
    }))
    .await;
    served.await.unwrap();
    let outcomes = ["on_accepted", "on_rejected", "on_released", "on_modified", "on_in_doubt"];
    assert!(outcomes.iter().all(|outcome| !log.has(outcome)), "{:?}", log.all());
    assert_eq!(log.count("on_settled"), 2);
}

#[tokio::test]
async fn a_flood_of_messages_holds_up_no_timer_and_no_stop() {
    let server = script(&Log::default(), |method, event| {
        if method == "on_sendable" {
            while event.sender().unwrap().credit() > 0 && event.sender().unwrap().send("flood").is_ok() {}
        }
    });
    let log = Log::default();
    let noted = log.clone();
    let server = server.with(|settings| settings.auto_settle = true);
    both(server, |url| {
        let client = script(&log, move |method, event| match method {
            "on_start" => drop(event.container().connect_with(once(&url)).create_receiver("q")),
            "on_message" if noted.count("on_message") == 1 => drop(event.container().schedule(Duration::ZERO)),
            "on_timer_task" if noted.count(method) == 20 => event.container().stop(),
            "on_timer_task" => drop(event.container().schedule(Duration::from_millis(1))),
            _ => {}
        });
        client.with(|settings| settings.prefetch = 1000)
    })
    .await;
    assert!(log.count("on_message") > 100, "{}", log.count("on_message"));
    assert_eq!(log.count("on_timer_task"), 20);
}
