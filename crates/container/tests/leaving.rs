//! What is over leaves nothing behind.

mod common;

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use common::{Log, broker, once, run, script, soon};
use postroad_broker::Broker;
use postroad_container::types::DeliveryTag;
use postroad_container::{Connection, Container, Event, Handler, LinkOptions};

/// Something that is there for as long as somebody keeps it.
type Kept = Arc<&'static str>;

/// A handler that keeps something, and hears of nothing.
struct Keeps(#[allow(dead_code, reason = "it is kept")] Kept);

impl Handler for Keeps {}

/// A sender, whose maker of tags keeps something: it goes with the link.
fn sender(connection: &Connection, kept: &Kept) {
    let (kept, mut count) = (kept.clone(), 0_u64);
    let tags = move || {
        count += 1;
        assert!(kept.len() > 1);
        DeliveryTag::from(count)
    };
    connection.create_sender_with(LinkOptions::new().target("q").tags(tags));
}

#[tokio::test]
async fn handlers_go_with_what_they_are_for() {
    let (_broker, url) = broker().await;
    let log = Log::default();
    let noted = log.clone();
    let [link, connection, timer] = ["link", "connection", "timer"].map(Arc::new);
    let [of_link, of_connection, of_timer] = [&link, &connection, &timer].map(Arc::downgrade);
    let mut given = Some((link, connection, timer));
    let gone = |kept: &Weak<_>| kept.upgrade().is_none();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let (link, connection, timer) = given.take().unwrap();
            let passes = script(&Log::default(), |_, event: &mut Event<'_>| event.pass());
            let made = event.container().connect_for(once(&url), Both(Keeps(connection), passes));
            made.create_sender_with(LinkOptions::new().target("q").handler(Keeps(link)));
            made.create_receiver("q");
            event.container().schedule_for(Duration::ZERO, Keeps(timer));
        }
        "on_link_opened" if event.sender().is_some() => {
            assert!(!gone(&of_link) && !gone(&of_connection));
            event.link().unwrap().close();
        }
        "on_link_closed" => drop(event.container().schedule(Duration::ZERO)),
        // That of the other timer has no method for it.
        "on_timer_task" if noted.has("on_link_closed") => {
            assert!(gone(&of_link) && gone(&of_timer) && !gone(&of_connection));
            event.container().stop();
        }
        _ => {}
    }))
    .await;
    assert!(log.has("on_timer_task"));
}

/// Two handlers in one, of which the second is asked.
struct Both<H>(#[allow(dead_code, reason = "it is kept")] Keeps, H);

impl<H: Handler> Handler for Both<H> {
    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        self.1.on_link_opened(event);
    }
}

#[tokio::test]
async fn connections_and_links_go_whatever_ends_the_run() {
    for end in ["close", "stop", "vanish", "drop"] {
        let (broker, url) = broker().await;
        let broker = Arc::new(Mutex::new(Some(broker)));
        let vanishes = Arc::clone(&broker);
        let kept: Kept = Arc::new(end);
        let (log, inside) = (Log::default(), kept.clone());
        let container = Container::new(script(&log, move |method, event| match method {
            "on_start" => {
                for _ in 0..3 {
                    let connection = event.container().connect_with(once(&url));
                    sender(&connection, &inside);
                    connection.create_receiver("q");
                    connection.declare_transaction();
                }
            }
            "on_sendable" => drop(event.sender().unwrap().send("it")),
            "on_message" => match end {
                "close" => event.connection().unwrap().close(),
                "stop" => event.container().stop(),
                "vanish" => drop(vanishes.lock().unwrap().take()),
                _ => {}
            },
            _ => {}
        }));
        let ran =
            tokio::time::timeout(Duration::from_millis(if end == "drop" { 200 } else { 20_000 }), container.run());
        assert_eq!(ran.await.is_err(), end == "drop", "{end}: {:?}", log.all());
        drop(container);
        let gone = async {
            let connected = || broker.lock().unwrap().as_ref().map_or(0, Broker::connections);
            while Arc::strong_count(&kept) > 1 || connected() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(gone).await;
    }
}

#[tokio::test]
async fn a_hundred_connections_one_behind_the_other_leave_nothing() {
    let (broker, url) = broker().await;
    let kept: Kept = Arc::new("sender");
    let (log, inside) = (Log::default(), kept.clone());
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => sender(&event.container().connect_with(once(&url)), &inside),
        "on_sendable" => event.connection().unwrap().close(),
        "on_connection_closed" if noted.count(method) < 100 => {
            // The last one and this one may be here still, with the closure itself.
            assert!(Arc::strong_count(&inside) <= 4, "{}", Arc::strong_count(&inside));
            sender(&event.container().connect_with(once(&url)), &inside);
        }
        _ => {}
    }))
    .await;
    assert_eq!(Arc::strong_count(&kept), 1);
    assert_eq!(log.count("on_connection_closed"), 100);
    drop(broker);
}
