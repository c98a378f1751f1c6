//! How connections begin and end, and what is told of that.

mod common;

use std::time::Duration;

use common::raw::Peer;
use common::{Log, broker, once, opened, peer, run, script, soon};
use postroad_broker::Broker;
use postroad_codec::v1_0::{Fields, Symbol, Value};
use postroad_container::types::{ErrorCondition, PeerError};
use postroad_container::{Connection, Container, EndpointState, EndpointStates, EventError, RunError, client};
use postroad_testkit::{close, nobody, open};

fn why() -> PeerError {
    PeerError::new(ErrorCondition::RESOURCE_LOCKED, "not now")
}

#[tokio::test]
async fn what_the_peer_says_of_itself_is_there() {
    let (options, served) = peer(|listener| {
        let ours = open().container_id("theirs").hostname("us").with(|open| {
            open.offered_capabilities = vec![Symbol::from_static("one"), Symbol::from_static("two")].into();
            open.desired_capabilities = vec![Symbol::from_static("three")].into();
            let properties = [("flavour", Value::from("vanilla")), ("scoops", Value::from(2_i32))];
            let properties = properties.map(|(name, value)| (Value::from(Symbol::from_static(name)), value));
            open.properties = Some(Fields(properties.into_iter().collect()));
        });
        Peer::accept_with(listener, ours).part();
    });
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect_with(options.clone());
            assert_eq!(connection.remote_container(), None);
            assert_eq!(connection.remote_offered_capabilities(), Vec::<String>::new());
            let state = EndpointStates { local: EndpointState::Active, remote: EndpointState::Uninit };
            assert_eq!(connection.state(), state);
        }
        "on_connection_opened" => {
            let connection = event.connection().unwrap();
            assert_eq!(connection.remote_container().as_deref(), Some("theirs"));
            assert_eq!(connection.remote_hostname().as_deref(), Some("us"));
            assert_eq!(connection.remote_offered_capabilities(), ["one", "two"]);
            assert_eq!(connection.remote_desired_capabilities(), ["three"]);
            assert_eq!(connection.remote_property("flavour"), Some("vanilla".into()));
            assert_eq!(connection.remote_property("scoops"), Some(2_i32.into()));
            assert_eq!(connection.remote_property("cone"), None);
            let state = EndpointStates { local: EndpointState::Active, remote: EndpointState::Active };
            assert_eq!(connection.state(), state);
            connection.close();
        }
        "on_connection_closed" => {
            let state = EndpointStates { local: EndpointState::Closed, remote: EndpointState::Closed };
            assert_eq!(event.connection().unwrap().state(), state);
        }
        _ => {}
    }))
    .await;
    served.await.unwrap();
    assert_eq!(log.all(), ["on_start", "on_connection_opened", "on_connection_closed"]);
}

#[tokio::test]
async fn the_peer_hears_what_was_asked_for() {
    let (mut options, served) = peer(|listener| {
        let mut stream = common::raw::take_client(listener);
        common::raw::take_header(&mut stream);
        let mut peer = Peer::of(stream);
        let (theirs, _) = peer.take(open().container_id("me").hostname("elsewhere").max_frame_size(5432));
        // Half of the time after which our end would be given up (part 2, 2.4.5).
        assert!(theirs.idle_time_out.is_some_and(|time| (2500..=5000).contains(&time.0)), "{theirs:?}");
        let properties = theirs.properties.unwrap();
        let cone = properties.0.iter().find(|(name, _)| *name == Value::from(Symbol::from_static("cone")));
        assert_eq!(cone.map(|(_, value)| value), Some(&Value::from(true)));
        peer.send(open()).part();
    });
    options.virtual_host = Some("elsewhere".to_owned());
    options.container_id = "not this one".to_owned();
    options.max_frame_size = 5432;
    options.idle_timeout = Some(Duration::from_secs(5));
    options.properties.push(("cone".to_owned(), true.into()));
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect_with(options.clone());
            assert_eq!(connection.hostname().as_deref(), Some("elsewhere"));
        }
        "on_connection_opened" => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    served.await.unwrap();
}

#[tokio::test]
async fn the_host_that_is_asked_for_is_that_of_the_url_by_default() {
    let (options, served) = peer(|listener| {
        let mut stream = common::raw::take_client(listener);
        common::raw::take_header(&mut stream);
        let mut peer = Peer::of(stream);
        peer.take(open().hostname("127.0.0.1"));
        peer.send(open()).part();
    });
    run(script(&Log::default(), move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone())),
        "on_connection_opened" => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    served.await.unwrap();
}

#[tokio::test]
async fn no_host_is_asked_for_where_it_is_empty() {
    let (mut options, served) = peer(|listener| {
        let mut stream = common::raw::take_client(listener);
        common::raw::take_header(&mut stream);
        let mut peer = Peer::of(stream);
        let (theirs, _) = peer.take(open());
        assert_eq!(theirs.hostname, None);
        peer.send(open()).part();
    });
    options.virtual_host = Some(String::new());
    run(script(&Log::default(), move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone())),
        "on_connection_opened" => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    served.await.unwrap();
}

/// Has the peer close in this way behind the open, and tells what was heard.
async fn closed_by_peer(error: Option<&'static str>, strict: bool) -> Vec<String> {
    let (options, served) = opened(move |peer| {
        peer.send(close().error(error.map(postroad_testkit::error)));
        peer.take(close().error(None));
    });
    let log = Log::default();
    let handler = script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone())),
        "on_connection_error" => {
            let Some(EventError::Connection(error)) = event.error() else { panic!("{:?}", event.error()) };
            assert!(error.is_orderly() || error.peer_error().is_some(), "{error:?}");
        }
        _ => {}
    });
    run(handler.with(|settings| settings.peer_close_is_error = strict)).await;
    served.await.unwrap();
    log.without(&["on_start", "on_connection_opened"])
}

#[tokio::test]
async fn a_peer_that_closes_is_heard_with_its_error() {
    let expected = ["on_connection_error test:mood", "on_connection_closed"];
    assert_eq!(closed_by_peer(Some("test:mood"), false).await, expected);
    assert_eq!(closed_by_peer(Some("test:mood"), true).await, expected);
}

#[tokio::test]
async fn a_peer_that_closes_without_error_closes_unless_that_is_an_error() {
    assert_eq!(closed_by_peer(None, false).await, ["on_connection_closing", "on_connection_closed"]);
    assert_eq!(closed_by_peer(None, true).await, ["on_connection_error", "on_connection_closed"]);
}

#[tokio::test]
async fn both_ends_close_at_once() {
    let (options, served) = opened(|peer| {
        // Ours is on the way before theirs is read.
        peer.take(close());
        peer.send(close());
    });
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone())),
        "on_connection_opened" => {
            event.connection().unwrap().close();
            event.connection().unwrap().close();
        }
        _ => {}
    }))
    .await;
    served.await.unwrap();
    assert_eq!(log.all(), ["on_start", "on_connection_opened", "on_connection_closed"]);
}

#[tokio::test]
async fn a_connection_is_closed_with_an_error() {
    let (options, served) = opened(|peer| {
        peer.take(close().condition(ErrorCondition::RESOURCE_LOCKED));
        peer.send(close());
    });
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone())),
        "on_connection_opened" => event.connection().unwrap().close_with(why()),
        _ => {}
    }))
    .await;
    served.await.unwrap();
    assert_eq!(log.without(&["on_start", "on_connection_opened"]), ["on_connection_closed"]);
}

#[tokio::test]
async fn a_connection_that_is_closed_before_it_opens_is_given_up() {
    let (tell, asked) = std::sync::mpsc::channel::<Connection>();
    // A peer that says nothing.
    let (options, served) = peer(move |listener| {
        let mut stream = common::raw::take_client(listener);
        asked.recv().unwrap().close();
        let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    });
    let log = Log::default();
    run(script(&log, move |method, event| {
        if method == "on_start" {
            let connection = event.container().connect_with(options.clone());
            connection.create_sender("q");
            connection.create_receiver("q");
            connection.declare_transaction();
            tell.send(connection).unwrap();
        }
    }))
    .await;
    served.await.unwrap();
    assert_eq!(log.without(&["on_transaction_declare_failed"]), ["on_start", "on_connection_closed"]);
}

#[tokio::test]
async fn a_connection_that_is_closed_as_it_is_asked_for_is_none() {
    let log = Log::default();
    run(script(&log, move |method, event| {
        if method == "on_start" {
            let connection = event.container().connect(&format!("amqp://{}", nobody()));
            connection.create_sender("q").close();
            connection.close();
        }
    }))
    .await;
    assert_eq!(log.all(), ["on_start", "on_connection_closed"]);
}

#[tokio::test]
async fn nobody_at_the_address_is_told_once() {
    let log = Log::default();
    let url = format!("amqp://{}", nobody());
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let sender = event.container().create_sender(&format!("{url}/q"));
            event.container().connect("amqp://[nonsense");
            event.container().connect_urls(&[]);
            event.container().connect_urls(&["amqp://127.0.0.1", "nonsense://x"]);
            assert_eq!(sender.target().unwrap().address.as_deref(), Some("q"));
        }
        "on_transport_error" => match event.error().unwrap() {
            EventError::Url(_) | EventError::Connect(_) => {}
            other => panic!("{other:?}"),
        },
        _ => {}
    }))
    .await;
    assert_eq!(log.without(&["on_start"]), ["on_transport_error"; 4]);
}

#[tokio::test]
async fn a_name_that_nobody_has_is_a_transport_error() {
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect_with(once("amqp://nobody.invalid"))),
        "on_transport_error" => {
            let Some(EventError::Connect(client::ConnectError::Transport(_))) = event.error() else {
                panic!("{:?}", event.error())
            };
        }
        _ => {}
    }))
    .await;
    assert_eq!(log.all(), ["on_start", "on_transport_error"]);
}

#[tokio::test]
async fn the_first_broker_that_is_there_is_taken() {
    let (broker, url) = broker().await;
    let urls = [format!("amqp://{}", nobody()), url];
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect_urls(&[&urls[0], &urls[1]])),
        "on_connection_opened" => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    assert_eq!(log.all(), ["on_start", "on_connection_opened", "on_connection_closed"]);
    drop(broker);
}

#[tokio::test]
async fn a_container_with_nothing_to_do_has_run() {
    let log = Log::default();
    let container = Container::new(script(&log, |_, _| {}));
    soon(container.run()).await.unwrap();
    assert_eq!(log.all(), ["on_start"]);
    assert_eq!(container.run().await, Err(RunError::Again));
    // What is asked of it now comes to nothing, and is no panic.
    container.connect("amqp://127.0.0.1").create_sender("q").close();
    container.inject(|_| panic!("nobody runs it"));
    container.stop();
}

#[tokio::test]
async fn a_container_that_is_stopped_before_it_runs_ends_at_once() {
    let log = Log::default();
    let container = Container::new(script(&log, |_, _| {}));
    container.schedule(Duration::from_secs(3600));
    container.stop();
    soon(container.run()).await.unwrap();
    assert_eq!(log.all(), ["on_start"]);
}

#[tokio::test]
async fn a_moment_that_is_cancelled_holds_up_nobody() {
    let log = Log::default();
    run(script(&log, |method, event| match method {
        "on_start" => {
            let never = event.container().schedule(Duration::from_secs(3600));
            event.container().schedule(Duration::ZERO);
            event.container().cancel(never);
            event.container().cancel(never);
        }
        "on_timer_task" => assert!(event.timer().is_some()),
        _ => {}
    }))
    .await;
    assert_eq!(log.all(), ["on_start", "on_timer_task"]);
}

#[tokio::test]
async fn moments_come_in_their_order_without_those_that_were_cancelled() {
    let log = Log::default();
    let noted = log.clone();
    let mut timers = Vec::new();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            timers.extend((0..5).map(|number| event.container().schedule(Duration::from_millis(100 - 20 * number))));
            event.container().cancel(timers[1]);
            for _ in 0..1000 {
                let never = event.container().schedule(Duration::ZERO);
                event.container().cancel(never);
            }
        }
        "on_timer_task" => {
            let timer = event.timer().unwrap();
            noted.note(timers.iter().position(|known| *known == timer).unwrap().to_string());
        }
        _ => {}
    }))
    .await;
    assert_eq!(log.without(&["on_start", "on_timer_task"]), ["4", "3", "2", "0"]);
}

#[tokio::test]
async fn a_stop_from_another_thread_closes_what_is_open() {
    let (broker, url) = broker().await;
    let log = Log::default();
    let container = Container::new(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect(&url).create_receiver("q")),
        "on_link_opened" => {
            let container = event.container().clone();
            std::thread::spawn(move || container.stop());
        }
        _ => {}
    }));
    soon(container.run()).await.unwrap();
    assert_eq!(log.all(), ["on_start", "on_connection_opened", "on_session_opened", "on_link_opened"]);
    drop(container);
    soon(gone(&broker)).await;
}

/// Waits until nobody is connected.
async fn gone(broker: &Broker) {
    while broker.connections() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_run_that_is_given_up_leaves_no_connection() {
    let (broker, url) = broker().await;
    let log = Log::default();
    let (tell, told) = tokio::sync::oneshot::channel();
    let mut tell = Some(tell);
    let container = Container::new(script(&log, move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect(&url);
            connection.create_receiver("q");
            connection.create_sender("q");
            connection.declare_transaction();
        }
        "on_link_opened" => drop(tell.take().map(|tell| tell.send(event.connection().unwrap().clone()))),
        _ => {}
    }));
    let connection = tokio::select! {
        connection = told => connection.unwrap(),
        _ = container.run() => panic!("it goes on"),
    };
    // What is asked of it now is nobody's to do, and the handle holds nothing.
    connection.create_sender("q").close();
    connection.close();
    drop(connection);
    soon(gone(&broker)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_threads_use_one_container_as_it_stops() {
    let (broker, url) = broker().await;
    for round in 0..20 {
        let log = Log::default();
        let url = url.clone();
        let container = Container::new(script(&log, move |method, event| match method {
            "on_start" => {
                for _ in 0..4 {
                    event.container().connect(&url).create_receiver("q");
                }
            }
            "on_link_opened" => {
                let (connection, link) = (event.connection().unwrap().clone(), event.link().unwrap().clone());
                std::thread::spawn(move || {
                    link.close();
                    connection.create_sender("q");
                    connection.container().schedule(Duration::ZERO);
                    connection
                        .container()
                        .inject(|event| event.container().cancel(event.container().schedule(Duration::MAX)));
                    connection.close();
                });
            }
            _ => {}
        }));
        let stops = container.clone();
        if round % 2 == 0 {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(round));
                stops.stop();
                stops.stop();
            });
        }
        soon(container.run()).await.unwrap();
        if round % 2 == 1 {
            assert_eq!(log.count("on_connection_closed"), 4, "{:?}", log.all());
        }
    }
    soon(gone(&broker)).await;
}

#[test]
fn a_thread_runs_it_alone() {
    let log = Log::default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_broker, url) = runtime.block_on(broker());
    let container = Container::new(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect(&url)),
        "on_connection_opened" => event.connection().unwrap().close(),
        _ => {}
    }));
    let inside = runtime.block_on(async { container.run_blocking() });
    assert_eq!(inside, Err(RunError::Blocking(client::BlockingError::InsideRuntime)));
    container.run_blocking().unwrap();
    assert_eq!(log.all(), ["on_start", "on_connection_opened", "on_connection_closed"]);
}
