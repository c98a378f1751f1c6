//! Handlers that panic: which is told, what becomes of what they were for, and who goes on.

mod common;

use std::time::Duration;

use common::raw::Peer;
use common::{Log, answer, broker, once, opened, run_all, script, soon};
use postroad_broker::Broker;
use postroad_codec::v1_0::{DeliveryState, Frame, Modified, Performative, Role};
use postroad_container::client::LocalEndpoint;
use postroad_container::types::ErrorCondition;
use postroad_container::{AcceptOptions, Container, Event, Handler, LinkOptions, Message, RunError, Settings};
use postroad_testkit::{
    attach_receiver, attach_sender, close, detach, disposition, end, error, flow, nobody, transfer,
};

/// A handler that panics in one method.
fn panics(method: &'static str) -> Box<dyn Handler> {
    Box::new(script(&Log::default(), move |called, _| assert_ne!(called, method, "as it was told")))
}

#[track_caller]
fn told(result: Result<(), RunError>, expected: &str) {
    let Err(RunError::Panicked { method, message }) = result else { panic!("{expected}: {result:?}") };
    assert_eq!(method, expected);
    assert!(message.contains("as it was told"), "{message}");
}

/// Sends and receives one message, in a transaction's company, and closes once all of it is done.
fn works(url: String, log: &Log, deliveries: usize) -> Box<dyn Handler> {
    let noted = log.clone();
    let mut link = None;
    Box::new(script(log, move |method, event| {
        match method {
            "on_start" => {
                let connection = event.container().connect(&url);
                connection.create_sender("q");
                link = Some(connection.create_receiver("q"));
                connection.declare_transaction();
                event.container().schedule(Duration::ZERO);
            }
            "on_sendable" if noted.count("on_sendable") == 1 => drop(event.sender().unwrap().send("it").unwrap()),
            "on_message" => {
                let before = event.message().unwrap().delivery_count();
                assert_eq!(before as usize + 1, noted.count("on_message"));
            }
            "on_transaction_declared" => event.transaction().unwrap().commit(),
            "on_link_closed" => event.connection().unwrap().close(),
            _ => {}
        }
        let done = ["on_settled", "on_transaction_committed", "on_timer_task"];
        if done.iter().all(|method| noted.has(method)) && noted.count("on_message") == deliveries {
            link.as_ref().unwrap().close();
        }
    }))
}

#[tokio::test]
async fn whichever_method_panics_the_other_handlers_go_on() {
    const METHODS: [&str; 13] = [
        "on_start",
        "on_connection_opened",
        "on_session_opened",
        "on_link_opened",
        "on_sendable",
        "on_message",
        "on_accepted",
        "on_settled",
        "on_timer_task",
        "on_transaction_declared",
        "on_transaction_committed",
        "on_link_closed",
        "on_connection_closed",
    ];
    for method in METHODS {
        let (broker, url) = broker().await;
        let log = Log::default();
        // A message that was not handled by all comes again.
        let deliveries = if method == "on_message" { 2 } else { 1 };
        let result = run_all([panics(method), works(url, &log, deliveries)]).await;
        told(result, method);
        assert!(log.has("on_connection_closed"), "{method}: {:?}", log.all());
        assert_eq!(log.count("on_message"), deliveries, "{method}");
        assert_eq!(broker.queue_stats("q").unwrap().ready, 0, "{method}");
    }
}

#[tokio::test]
async fn a_connection_whose_handler_panics_is_closed_with_an_error() {
    for method in ["on_connection_opened", "on_session_opened", "on_link_opened", "on_sendable", "on_message"] {
        let (broker, url) = broker().await;
        let (log, other) = (Log::default(), url.clone());
        let works = works(url, &log, 1);
        let starts = script(&Log::default(), move |called, event| {
            if called == "on_start" {
                let panics = script(&Log::default(), move |called, event| {
                    if called == "on_sendable" {
                        event.sender().unwrap().send("another").unwrap();
                    }
                    assert_ne!(called, method, "as it was told");
                });
                let connection = event.container().connect_for(once(&other), panics);
                connection.create_sender("other");
                connection.create_receiver("other");
            }
        });
        told(run_all([Box::new(starts) as Box<dyn Handler>, works]).await, method);
        assert!(log.has("on_connection_closed"), "{method}: {:?}", log.all());
        // What it had not handled to the end is back.
        if method == "on_message" {
            assert_eq!(ready(&broker, "other", 1).await, 1, "{method}");
        }
    }
}

/// Messages in a queue, once these many are there.
async fn ready(broker: &Broker, queue: &str, wanted: usize) -> usize {
    let ready = async {
        loop {
            let stats = broker.queue_stats(queue).unwrap();
            if stats.ready == wanted {
                return stats.ready;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(ready).await
}

#[tokio::test]
async fn a_link_whose_handler_panics_is_closed_and_its_message_goes_back() {
    let (broker, url) = broker().await;
    let log = Log::default();
    let noted = log.clone();
    let container = Container::new(script(&log, move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect(&url);
            let panics = script(&Log::default(), |method, event| match method {
                "on_message" => panic!("as it was told: {:?}", event.message().unwrap().text()),
                _ => event.pass(),
            });
            connection.create_receiver_with(LinkOptions::new().source("q").handler(panics));
            connection.create_sender("q");
            connection.create_sender("other");
            connection.create_receiver("other");
        }
        "on_sendable" if noted.count("on_sendable") <= 2 => drop(event.sender().unwrap().send("it").unwrap()),
        "on_message" => {
            assert_eq!(event.receiver().unwrap().source().unwrap().address.as_deref(), Some("other"));
            event.container().schedule(Duration::from_millis(50));
        }
        // The one that is left is here still.
        "on_timer_task" => event.container().stop(),
        "on_link_error" => panic!("the end is our own"),
        _ => {}
    }));
    told(soon(container.run()).await, "on_message");
    assert_eq!(ready(&broker, "q", 1).await, 1);
    assert_eq!(broker.queue_stats("other").unwrap().ready, 0);
}

#[tokio::test]
async fn a_message_whose_handler_panics_counts_as_a_failed_attempt() {
    let (options, served) = opened(|peer| {
        peer.begin();
        let (theirs, _) = peer.take(attach_receiver("it"));
        peer.send(answer(&theirs));
        peer.take(flow());
        for number in 0..6 {
            peer.send(transfer(number).payload(Message::from("a").encode()));
        }
        // Two are handled, the third is not, and nobody gets those behind it.
        let failed = DeliveryState::Modified(Box::new(Modified { delivery_failed: Some(true), ..Modified::default() }));
        let mut states = Vec::new();
        while let Some(Frame::Amqp { performative, .. }) = peer.next() {
            match performative {
                Performative::Disposition(told) => states.push((told.first.0, told.state)),
                Performative::Detach(theirs) => {
                    assert_eq!(theirs.error.unwrap().condition, ErrorCondition::INTERNAL_ERROR);
                    break;
                }
                _ => {}
            }
        }
        for (number, state) in &states {
            let expected = if *number < 2 { DeliveryState::Accepted } else { failed.clone() };
            assert_eq!(state.as_ref(), Some(&expected), "{states:?}");
        }
        assert!(states.iter().any(|(number, _)| *number == 2), "{states:?}");
        peer.send(detach().closed(true));
        peer.part();
    });
    let log = Log::default();
    let noted = log.clone();
    let starts = script(&log, move |method, event| match method {
        "on_start" => {
            let (mut count, passed) = (0, noted.clone());
            let panics = script(&Log::default(), move |method, event| {
                count += usize::from(method == "on_message");
                assert_ne!(count, 3, "as it was told");
                passed.note(if method == "on_message" { "passed" } else { method });
                event.pass();
            });
            let link = LinkOptions::new().source("q").name("it").handler(panics);
            event.container().connect_with(options.clone()).create_receiver_with(link);
        }
        "on_message" => assert!(noted.count("passed") == noted.count("on_message"), "it is nobody's"),
        "on_link_closed" => event.connection().unwrap().close(),
        _ => {}
    });
    // The end of the link is told to the next wider handler.
    told(run_all([Box::new(starts) as Box<dyn Handler>]).await, "on_message");
    served.await.unwrap();
}

#[tokio::test]
async fn a_run_without_any_handler_left_ends() {
    let (broker, url) = broker().await;
    for method in ["on_start", "on_connection_opened", "on_timer_task"] {
        let url = url.clone();
        let dies = script(&Log::default(), move |called, event| {
            match called {
                "on_start" => drop(event.container().connect(&url)),
                "on_connection_opened" => drop(event.container().schedule(Duration::ZERO)),
                _ => {}
            }
            assert_ne!(called, method, "as it was told");
        });
        told(run_all([Box::new(dies) as Box<dyn Handler>]).await, method);
    }
    let gone = async {
        while broker.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(gone).await;
}

/// Panics as it is asked, and as it is dropped.
struct Nasty(&'static str);

impl Handler for Nasty {
    fn settings(&self) -> Settings {
        assert_ne!(self.0, "settings", "as it was told");
        Settings::default()
    }

    fn on_start(&mut self, event: &mut Event<'_>) {
        if self.0 == "inject" {
            event.container().inject(|_| panic!("as it was told"));
        }
        if self.0 == "on_start" {
            std::panic::panic_any(5);
        }
        event.container().schedule(Duration::from_millis(1));
    }
}

impl Drop for Nasty {
    fn drop(&mut self) {
        assert_ne!(self.0, "drop", "as it was told");
    }
}

#[tokio::test]
async fn settings_drops_and_injected_work_may_panic_too() {
    for place in ["settings", "drop", "inject"] {
        let (_broker, url) = broker().await;
        let log = Log::default();
        told(run_all([Box::new(Nasty(place)) as Box<dyn Handler>, works(url, &log, 1)]).await, place);
        assert!(log.has("on_connection_closed"), "{place}: {:?}", log.all());
    }
    // What it says need not be text.
    let result = run_all([Box::new(Nasty("on_start")) as Box<dyn Handler>]).await;
    assert_eq!(result, Err(RunError::Panicked { method: "on_start", message: String::new() }));
}

/// A peer that does what makes a method be called.
fn unhappy(peer: &mut Peer, method: &str) {
    match method {
        "on_connection_error" => return drop(peer.send(close().error(error("test:mood"))).next()),
        "on_connection_closing" => return drop(peer.send(close()).next()),
        _ => {}
    }
    peer.begin();
    let (theirs, _) = peer.take(attach_sender("it"));
    peer.send(answer(&theirs)).send(flow().handle(0).delivery_count(0).link_credit(10));
    let (sent, _) = peer.take(transfer(0));
    let outcome = |state| disposition(Role::Receiver, sent.delivery_id.unwrap().0).settled(true).state(state);
    match method {
        "on_session_error" => peer.send(end().error(error("test:mood"))),
        "on_session_closing" => peer.send(end()),
        "on_link_error" => peer.send(detach().closed(true).error(error("test:mood"))),
        "on_link_closing" => peer.send(detach().closed(true)),
        "on_rejected" => peer.send(outcome(DeliveryState::Rejected(Default::default()))),
        "on_released" => peer.send(outcome(DeliveryState::Released)),
        "on_modified" => peer.send(outcome(DeliveryState::Modified(Default::default()))),
        _ => return,
    };
    peer.part();
}

#[tokio::test]
async fn methods_for_what_goes_wrong_may_panic_too() {
    const METHODS: [&str; 11] = [
        "on_connection_error",
        "on_connection_closing",
        "on_session_error",
        "on_session_closing",
        "on_link_error",
        "on_link_closing",
        "on_rejected",
        "on_released",
        "on_modified",
        "on_in_doubt",
        "on_transport_error",
    ];
    for method in METHODS {
        let (options, served) = match method {
            "on_transport_error" => (once(&format!("amqp://{}", nobody())), None),
            _ => {
                let (options, served) = opened(move |peer| unhappy(peer, method));
                (options, Some(served))
            }
        };
        let log = Log::default();
        let noted = log.clone();
        let works = script(&log, move |called, event| {
            match called {
                "on_start" => {
                    let connection = event.container().connect_with(options.clone());
                    connection.create_sender_with(LinkOptions::new().target("q").name("it"));
                }
                "on_sendable" if noted.count("on_sendable") == 1 => drop(event.sender().unwrap().send("it").unwrap()),
                _ => {}
            }
            if called == method
                && let Some(connection) = event.connection()
            {
                connection.close();
            }
        });
        told(run_all([panics(method), Box::new(works)]).await, method);
        assert!(log.all().iter().any(|line| line.starts_with(method)), "{method}: {:?}", log.all());
        if let Some(served) = served {
            served.await.unwrap();
        }
    }
}

/// Has a client come to a container whose acceptor's handler panics in this method: what the client hears, and how the run ends.
async fn come_to(method: &'static str) -> (Log, Result<(), RunError>) {
    let (tell, address) = tokio::sync::oneshot::channel();
    let mut tell = Some(tell);
    let container = Container::new(script(&Log::default(), move |called, event| {
        if called == "on_listening" {
            let address = event.acceptor().unwrap().local_endpoint().unwrap().to_string();
            tell.take().unwrap().send(address).unwrap();
        }
    }));
    let panics = script(&Log::default(), move |called, event| {
        assert_ne!(called, method, "as it was told");
        if called == "on_sendable" {
            event.sender().unwrap().send("it").unwrap();
        }
    });
    let acceptor = container.listen_for(AcceptOptions::new(LocalEndpoint::host("127.0.0.1").port(0)), panics);
    // There is something to do behind the end of the acceptor.
    container.schedule(Duration::from_millis(50));
    let running = container.clone();
    let served = tokio::spawn(async move { running.run().await });
    let url = format!("amqp://{}", soon(address).await.unwrap());
    let log = Log::default();
    let noted = log.clone();
    let came = run_all([Box::new(script(&log, move |called, event| match called {
        "on_start" => {
            let connection = event.container().connect_with(once(&url));
            connection.create_sender("q");
            connection.create_receiver("q");
        }
        "on_sendable" if noted.count(called) == 1 => drop(event.sender().unwrap().send("it").unwrap()),
        "on_link_error" | "on_session_error" => event.connection().unwrap().close(),
        _ => {}
    })) as Box<dyn Handler>]);
    came.await.unwrap();
    // The acceptor is closed by now, and its clients are gone: nothing keeps the run.
    let result = soon(served).await.unwrap();
    assert_eq!(container.run().await, Err(RunError::Again));
    drop(acceptor);
    (log, result)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acceptor_whose_handler_panics_is_closed_and_its_client_hears_why() {
    const METHODS: [&str; 9] = [
        "on_connection_opening",
        "on_connection_opened",
        "on_session_opening",
        "on_session_opened",
        "on_link_opening",
        "on_link_opened",
        "on_sendable",
        "on_message",
        "on_settled",
    ];
    for method in METHODS {
        let (heard, result) = come_to(method).await;
        told(result, method);
        let ends = heard.all().into_iter().filter(|line| line.contains("error"));
        let whys: Vec<_> = ends.filter(|line| line.ends_with("amqp:internal-error")).collect();
        assert!(!whys.is_empty(), "{method}: {:?}", heard.all());
        assert!(!heard.has("on_transport_error"), "{method}: {:?}", heard.all());
    }
}
