//! Programs that close connections, sessions and links from inside of calls, in every order.

mod common;

use std::time::Duration;

use common::{Log, both, broker, once, run, script};
use postroad_container::Event;

/// What is closed, in this order.
const ORDERS: [&[&str]; 8] = [
    &["link"],
    &["session"],
    &["connection"],
    &["link", "session"],
    &["link", "session", "connection"],
    &["connection", "session", "link"],
    &["session", "link", "connection"],
    &["link", "connection", "session", "link", "connection"],
];

const METHODS: [&str; 15] = [
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
    "on_transaction_aborted",
    "on_link_closed",
    "on_session_closed",
    "on_connection_closed",
    "on_start",
];

fn close(event: &Event<'_>, what: &str) {
    match what {
        "link" => event.link().into_iter().for_each(|link| link.close()),
        "session" => event.session().into_iter().for_each(|session| session.close()),
        _ => event.connection().into_iter().for_each(|connection| connection.close()),
    }
}

#[tokio::test]
async fn whatever_is_closed_in_whichever_call_the_run_ends_without_an_error() {
    let (broker, url) = broker().await;
    for method in METHODS {
        for order in ORDERS {
            let log = Log::default();
            let (url, noted) = (url.clone(), log.clone());
            let mut made = None;
            run(script(&log, move |called, event| {
                if called == "on_start" {
                    let connection = event.container().connect(&url);
                    let session = connection.session();
                    session.create_sender("q");
                    let link = session.create_receiver("q");
                    session.declare_transaction();
                    connection.session().declare_transaction();
                    event.container().schedule(Duration::from_millis(5));
                    made = Some((link, session, connection));
                }
                let (link, session, connection) = made.as_ref().unwrap();
                if called == method && noted.count(called) == 1 {
                    for what in order {
                        close(event, what);
                        match *what {
                            "link" if event.link().is_none() => link.close(),
                            "session" if event.session().is_none() => session.close(),
                            "connection" if event.connection().is_none() => connection.close(),
                            _ => {}
                        }
                    }
                    // Who does not say it now says it a little later.
                    event.container().schedule(Duration::from_millis(10));
                }
                match called {
                    "on_sendable" if noted.count("on_sendable") <= 2 => drop(event.sender().unwrap().send("it")),
                    "on_transaction_declared" if noted.count(called) == 1 => event.transaction().unwrap().commit(),
                    "on_transaction_declared" => event.transaction().unwrap().abort(),
                    "on_timer_task" if noted.count("on_timer_task") >= 2 => connection.close(),
                    // What comes first where the call that is waited for does not come without.
                    "on_settled" | "on_timer_task" if ["on_link_closed", "on_session_closed"].contains(&method) => {
                        link.close();
                        if noted.has("on_link_closed") {
                            session.close();
                        }
                    }
                    "on_link_closed" if method == "on_session_closed" => session.close(),
                    "on_timer_task" if method == "on_connection_closed" => connection.close(),
                    _ => {}
                }
                if called == "on_timer_task" && !noted.has("on_connection_closed") {
                    event.container().schedule(Duration::from_millis(10));
                }
            }))
            .await;
            let all = log.all();
            assert_eq!(log.count("on_connection_closed"), 1, "{method} {order:?}: {all:?}");
            assert!(!all.iter().any(|line| line.contains("error")), "{method} {order:?}: {all:?}");
            assert!(!all.iter().any(|line| line.ends_with("closing")), "{method} {order:?}: {all:?}");
        }
    }
    assert_eq!(broker.open_transactions(), 0);
}

const SERVER_METHODS: [&str; 13] = [
    "on_connection_opening",
    "on_connection_opened",
    "on_session_opening",
    "on_session_opened",
    "on_link_opening",
    "on_link_opened",
    "on_sendable",
    "on_message",
    "on_accepted",
    "on_settled",
    "on_link_closed",
    "on_session_closed",
    "on_connection_closed",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_close_in_whichever_call_as_well() {
    for method in SERVER_METHODS {
        for order in ORDERS {
            let log = Log::default();
            let noted = log.clone();
            let server = script(&log, move |called, event| {
                if called == method && noted.count(called) == 1 {
                    order.iter().for_each(|what| close(event, what));
                }
                if called == "on_sendable" && noted.count(called) == 1 {
                    let _ = event.sender().unwrap().send("it");
                }
            });
            let told = Log::default();
            let heard = told.clone();
            both(server, |url| {
                let mut made = None;
                script(&told, move |called, event| match called {
                    "on_start" => {
                        let connection = event.container().connect_with(once(&url));
                        connection.create_sender("q");
                        connection.create_receiver("q");
                        // Where nothing is closed that it hears of, it goes by itself.
                        event.container().schedule(Duration::from_millis(30));
                        made = Some(connection);
                    }
                    "on_sendable" if heard.count(called) == 1 => drop(event.sender().unwrap().send("it")),
                    "on_timer_task" => made.as_ref().unwrap().close(),
                    _ => {}
                })
            })
            .await;
            let all = told.all();
            let ends = told.count("on_connection_closed");
            assert_eq!(ends, 1, "{method} {order:?}: {all:?}");
            assert!(!told.has("on_transport_error"), "{method} {order:?}: {all:?}");
            let served = log.all();
            assert!(!served.iter().any(|line| line.contains("error")), "{method} {order:?}: {served:?}");
        }
    }
}
