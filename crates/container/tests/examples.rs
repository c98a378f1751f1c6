//! Every example, run to its end; and the broker among them, driven by our own client and container.

mod common;

macro_rules! examples {
    ($($name:ident = $path:literal;)*) => {$(
        #[path = $path]
        #[expect(dead_code, reason = "the program's own main")]
        mod $name;
    )*};
}

examples! {
    broker_example = "../examples/broker.rs";
    delayed_settle = "../examples/delayed_settle.rs";
    drain = "../examples/drain.rs";
    dynamic = "../examples/dynamic.rs";
    guarantees = "../examples/guarantees.rs";
    hello = "../examples/hello.rs";
    manual_credit = "../examples/manual_credit.rs";
    receive = "../examples/receive.rs";
    request_client = "../examples/request_client.rs";
    request_server = "../examples/request_server.rs";
    schedule = "../examples/schedule.rs";
    send = "../examples/send.rs";
    transaction = "../examples/transaction.rs";
}

use std::sync::Arc;
use std::time::Duration;

use common::{Log, broker, broker_with, run, script, soon};
use postroad_container::client::{self, AttachError, ConnectError, RequestError};
use postroad_container::{Container, Event, Guarantee, Handler, Message, Node, Outcome, Reconnect};
use postroad_testkit::Proxy;
use postroad_testkit::faults::{At, FrameKind, Plan, Rule};

/// Tells where the door is.
struct Doorman(Option<tokio::sync::oneshot::Sender<String>>);

impl Handler for Doorman {
    fn on_listening(&mut self, event: &mut Event<'_>) {
        let address = event.acceptor().unwrap().local_endpoint().unwrap().to_string();
        self.0.take().unwrap().send(address).unwrap();
    }
}

/// Runs a container that listens, beside what its clients do with its address.
async fn serve<R>(server: impl Handler + 'static, client: impl AsyncFnOnce(String) -> R) -> R {
    let (tell, address) = tokio::sync::oneshot::channel();
    let handlers = [Box::new(server) as Box<dyn Handler>, Box::new(Doorman(Some(tell)))];
    let container = Container::with_handlers("server", handlers);
    let running = container.clone();
    let served = tokio::spawn(async move { running.run().await });
    let result = soon(client(address.await.unwrap())).await;
    container.stop();
    soon(served).await.unwrap().unwrap();
    result
}

/// Runs the broker of the examples.
async fn with_broker<R>(users: Option<&str>, client: impl AsyncFnOnce(String) -> R) -> R {
    let options = broker_example::options("127.0.0.1:0", users).unwrap();
    serve(broker_example::Broker::new(options), async |address| client(format!("amqp://{address}")).await).await
}

async fn connect(url: &str) -> client::Connection {
    client::Connection::open(client::ConnectOptions::new(url.parse().unwrap())).await.unwrap()
}

/// Puts messages of these texts at an address.
async fn fill(url: &str, address: &str, texts: impl IntoIterator<Item = String>) {
    let connection = connect(url).await;
    let sender = connection.session().await.unwrap().sender(address).await.unwrap();
    for text in texts {
        assert!(sender.send(&Message::from(text)).await.unwrap().is_accepted());
    }
    connection.close().await.unwrap();
}

/// The texts of all messages at an address, which are taken.
async fn texts(url: &str, address: &str) -> Vec<String> {
    let connection = connect(url).await;
    let mut receiver = connection.session().await.unwrap().receiver(address).await.unwrap();
    let mut texts = Vec::new();
    while let Some(message) = receiver.fetch(Duration::from_millis(100)).await.unwrap() {
        texts.push(message.text().unwrap_or_default().to_owned());
        receiver.accept(&message).unwrap();
    }
    connection.close().await.unwrap();
    texts
}

fn numbered(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| number.to_string())
}

#[tokio::test]
async fn hello_goes_to_a_node_and_back() {
    let (broker, url) = broker().await;
    run(hello::Hello { url, address: "examples".to_owned() }).await;
    let stats = broker.queue_stats("examples").unwrap();
    assert_eq!((stats.ready, stats.settled), (0, 1));
    with_broker(None, async |url| run(hello::Hello { url, address: "examples".to_owned() }).await).await;
}

#[tokio::test]
async fn what_is_sent_is_received() {
    let (broker, url) = broker().await;
    let url = format!("{url}/examples");
    run(send::Send::new(url.as_str(), 250)).await;
    assert_eq!(broker.queue_stats("examples").unwrap().ready, 250);
    run(receive::Receive::new(url.as_str(), 250)).await;
    assert_eq!(broker.queue_stats("examples").unwrap().ready, 0);
    with_broker(None, async |url| {
        let url = format!("{url}/examples");
        let sending = run(send::Send::new(url.as_str(), 250));
        tokio::join!(sending, run(receive::Receive::new(url.as_str(), 250)));
    })
    .await;
}

#[tokio::test]
async fn requests_are_answered() {
    serve(request_server::Server::new("amqp://127.0.0.1:0"), async |address| {
        let url = format!("amqp://{address}");
        run(request_client::Client::new(format!("{url}/service"), numbered(5))).await;
        let connection = connect(&url).await;
        let session = connection.session().await.unwrap();
        let requester = session.requester("service").await.unwrap();
        assert_eq!(requester.request("brillig").await.unwrap().text(), Some("BRILLIG"));
        // An address that nobody was given is none.
        let error = session.receiver("replies-1").await.unwrap_err();
        assert_eq!(error.peer_error().unwrap().condition.0.to_string(), "amqp:not-found");
        connection.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn deliveries_are_accepted_later() {
    let (broker, url) = broker().await;
    fill(&url, "examples", numbered(15)).await;
    run(delayed_settle::Worker::new(format!("{url}/examples"), 5)).await;
    let stats = broker.queue_stats("examples").unwrap();
    assert!(stats.settled >= 5 && stats.ready <= 10, "{stats:?}");
}

#[tokio::test]
async fn credit_is_the_programs() {
    let (broker, url) = broker().await;
    fill(&url, "examples", numbered(7)).await;
    run(manual_credit::Pairs { url: format!("{url}/examples"), left: 5 }).await;
    assert_eq!(broker.queue_stats("examples").unwrap().ready, 2);
}

#[tokio::test]
async fn a_drain_takes_all_there_is() {
    let (broker, url) = broker().await;
    for count in [0, 3, 100, 205] {
        fill(&url, "examples", numbered(count)).await;
        run(drain::Drain::new(format!("{url}/examples"))).await;
        assert_eq!(broker.queue_stats("examples").map_or(0, |stats| stats.ready), 0, "{count}");
    }
    with_broker(None, async |url| {
        fill(&url, "examples", numbered(3)).await;
        run(drain::Drain::new(format!("{url}/examples"))).await;
        assert_eq!(texts(&url, "examples").await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn a_node_is_made_for_a_link() {
    let (_broker, url) = broker().await;
    run(dynamic::Dynamic { url, sent: false }).await;
    with_broker(None, async |url| run(dynamic::Dynamic { url, sent: false }).await).await;
}

#[tokio::test]
async fn each_guarantee_sends_its_message() {
    let mut expected = Vec::new();
    for guarantee in [Guarantee::AtMostOnce, Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        expected.push(format!("sent {guarantee}"));
    }
    expected.sort();
    let all = async |url: String| {
        run(guarantees::Guarantees::new(url.as_str(), "examples")).await;
        let mut texts = texts(&url, "examples").await;
        texts.sort();
        texts
    };
    let (_broker, url) = broker().await;
    assert_eq!(all(url).await, expected);
    assert_eq!(with_broker(None, all).await, expected);
}

#[tokio::test]
async fn orders_become_invoices() {
    let (broker, url) = broker().await;
    fill(&url, "orders", numbered(5)).await;
    run(transaction::Move::new(url.as_str(), "orders", "invoices", 5)).await;
    assert_eq!(broker.queue_stats("orders").unwrap().ready, 0);
    assert_eq!(texts(&url, "invoices").await, numbered(5).collect::<Vec<_>>());

    // Where none can be committed, nothing has moved.
    let (broker, url) = broker_with(|broker| broker.transaction_timeout(Some(Duration::ZERO))).await;
    fill(&url, "orders", numbered(2)).await;
    run(transaction::Move::new(url.as_str(), "orders", "invoices", 2)).await;
    assert_eq!(broker.queue_stats("invoices").map_or(0, |stats| stats.ready), 0);
    assert_eq!(texts(&url, "orders").await.len(), 2);
}

#[tokio::test]
async fn moments_come() {
    let begun = std::time::Instant::now();
    run(schedule::Ticks::new(Duration::from_millis(5), 5)).await;
    assert!(begun.elapsed() >= Duration::from_millis(25));
}

#[tokio::test]
async fn an_example_without_a_peer_ends() {
    run(hello::Hello { url: "amqp://127.0.0.1:1".to_owned(), address: "examples".to_owned() }).await;
}

#[tokio::test]
async fn consumers_take_turns() {
    with_broker(None, async |url| {
        let connection = connect(&url).await;
        let session = connection.session().await.unwrap();
        let (mut a, mut b) = (session.receiver("q").await.unwrap(), session.receiver("q").await.unwrap());
        // The broker has heard of the credit of both once each has had something.
        let sender = session.sender("q").await.unwrap();
        let mut counts = [0, 0];
        let mut warm = 0;
        while counts.contains(&0) {
            sender.send(&Message::from("warm")).await.unwrap();
            warm += 1;
            for (receiver, count) in [&mut a, &mut b].into_iter().zip(&mut counts) {
                while let Some(message) = receiver.fetch(Duration::from_millis(10)).await.unwrap() {
                    receiver.accept(&message).unwrap();
                    *count += 1;
                }
            }
        }
        for number in numbered(20) {
            sender.send(&Message::from(number)).await.unwrap();
        }
        for (receiver, count) in [&mut a, &mut b].into_iter().zip(&mut counts) {
            for _ in 0..10 {
                let message = receiver.receive().await.unwrap();
                receiver.accept(&message).unwrap();
                *count += 1;
            }
        }
        assert_eq!(counts[0] + counts[1], warm + 20);
        connection.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_a_consumer_has_not_settled_is_given_back_in_its_place() {
    with_broker(None, async |url| {
        fill(&url, "q", numbered(5)).await;
        for close in [true, false] {
            let connection = connect(&url).await;
            let mut receiver = connection.session().await.unwrap().receiver("q").await.unwrap();
            for number in numbered(4) {
                let message = receiver.receive().await.unwrap();
                assert_eq!(message.text(), Some(number.as_str()));
            }
            if close {
                receiver.close().await.unwrap();
            }
            connection.close().await.unwrap();
        }
        let connection = connect(&url).await;
        let mut receiver = connection.session().await.unwrap().receiver("q").await.unwrap();
        // Each outcome does its own.
        for (number, outcome) in [Outcome::Accepted, Outcome::Rejected(None), Outcome::Released].into_iter().enumerate()
        {
            let message = receiver.receive().await.unwrap();
            assert_eq!((message.text(), message.delivery_count()), (Some(number.to_string().as_str()), 2));
            receiver.session().settle(&message, outcome).unwrap();
        }
        connection.close().await.unwrap();
        let mut left = texts(&url, "q").await;
        left.sort();
        assert_eq!(left, ["2", "3", "4"]);
    })
    .await;
}

#[tokio::test]
async fn a_sender_that_is_cut_off_reaches_the_broker_of_the_examples_once() {
    with_broker(None, async |url| {
        let address = url.strip_prefix("amqp://").unwrap().parse().unwrap();
        let cuts = (0..6).fold(Plan::new(5), |plan, connection| {
            let kind = if connection % 2 == 0 { FrameKind::Disposition } else { FrameKind::Transfer };
            plan.rule(Rule::cut(At::frame(kind).nth(2)).on_connection(connection))
        });
        let proxy = Arc::new(Proxy::start(address, cuts).await.unwrap());
        let mut options = client::ConnectOptions::new(format!("amqp://{}", proxy.addr()).parse().unwrap());
        let mut reconnect = Reconnect::default();
        reconnect.interval = Duration::from_millis(5);
        options.reconnect = Some(reconnect);
        let log = Log::default();
        let noted = log.clone();
        let mut sent = 0;
        run(script(&log, move |method, event| match method {
            "on_start" => {
                let link = postroad_container::LinkOptions::new().target("q").exactly_once();
                event.container().connect_with(options.clone()).create_sender_with(link);
            }
            // One after the other, so that there are as many transfers and dispositions.
            "on_accepted" if noted.count(method) == 20 => event.connection().unwrap().close(),
            "on_sendable" | "on_accepted" => {
                let next = sent == noted.count("on_accepted") && sent < 20;
                if next && event.sender().unwrap().send(sent.to_string()).is_ok() {
                    sent += 1;
                }
            }
            "on_in_doubt" | "on_link_error" => panic!("{:?}", event.error()),
            _ => {}
        }))
        .await;
        assert!(log.count("on_disconnected") > 1, "{:?}", log.all());
        assert_eq!(texts(&url, "q").await, numbered(20).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn the_broker_of_the_examples_knows_its_users_and_says_what_it_cannot_do() {
    with_broker(Some("alice:wonderland"), async |url| {
        let alice = |password: &str| {
            let mut options = client::ConnectOptions::new(url.parse().unwrap());
            (options.user, options.password) = (Some("alice".to_owned()), Some(password.to_owned()));
            options.reconnect = None;
            client::Connection::open(options)
        };
        assert!(matches!(alice("looking glass").await, Err(ConnectError::Connection(_))));
        let connection = alice("wonderland").await.unwrap();
        let session = connection.session().await.unwrap();
        let mut once = client::LinkOptions::default();
        once.guarantee = Guarantee::ExactlyOnce;
        let refused = session.receiver_with("q", once).await.unwrap_err();
        assert!(matches!(refused, AttachError::Link(_) | AttachError::GuaranteeUnavailable { .. }), "{refused:?}");
        let mut browse = Node::at("q");
        browse.distribution = Some(client::Distribution::Copy);
        assert!(session.receiver(browse).await.is_err());

        // The anonymous relay, and a message that goes nowhere.
        let relay = session.sender(Node::anonymous()).await.unwrap();
        assert!(relay.send(&Message::from("it").with_address("q")).await.unwrap().is_accepted());
        assert!(matches!(relay.send(&Message::from("it")).await.unwrap(), Outcome::Rejected(Some(_))));
        assert_eq!(session.receiver("q").await.unwrap().receive().await.unwrap().text(), Some("it"));
        // Nobody answers there.
        let requester = session.requester("q").await.unwrap();
        let none = requester.request_timeout("anybody?", Duration::from_millis(50)).await;
        assert!(matches!(none, Err(RequestError::Timeout { .. })), "{none:?}");
        connection.close().await.unwrap();
    })
    .await;
    let bad = broker_example::options("127.0.0.1", None);
    assert_eq!(bad.unwrap_err().to_string(), "the address is HOST:PORT");
}
