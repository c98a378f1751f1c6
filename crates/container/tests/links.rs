//! What becomes of links and messages, against the embedded broker.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use postroad_broker::Broker;
use postroad_client::Node;
use postroad_client::types::{ErrorCondition, PeerError};
use postroad_container::{
    Connection, Container, Delivery, Event, EventError, Guarantee, Handler, LinkOptions, Message, Outcome, Sender,
    Settings,
};

type Log = Arc<Mutex<Vec<String>>>;

async fn broker() -> (Broker, String) {
    let broker = Broker::builder().listen("amqp://127.0.0.1:0").auto_create(true).start().await.unwrap();
    let url = format!("amqp://{}", broker.addr().unwrap());
    (broker, url)
}

async fn run(handler: impl Handler + 'static) {
    let container = Container::new(handler);
    tokio::time::timeout(Duration::from_secs(20), container.run()).await.expect("it ends").unwrap();
}

/// Sends one message a kind of outcome, and does with what comes what its text says.
struct Outcomes {
    url: String,
    log: Log,
    open: usize,
}

const KINDS: [&str; 5] = ["accept", "reject", "release", "release as delivered", "nothing"];

impl Handler for Outcomes {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = event.container().connect(&self.url);
        connection.create_sender("q");
        connection.create_receiver_with(LinkOptions::new().source("q").name("mine"));
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        while self.open < KINDS.len() && event.sender().unwrap().credit() > 0 {
            event.sender().unwrap().send(KINDS[self.open]).unwrap();
            self.open += 1;
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        let (delivery, message) = (event.delivery().unwrap(), event.message().unwrap());
        assert_eq!(event.receiver().unwrap().name(), "mine");
        let (text, before) = (message.text().unwrap().to_owned(), message.delivery_count());
        let mut log = self.log.lock().unwrap();
        let again = log.iter().any(|line| line.starts_with(&format!("{text} 0")));
        log.push(format!("{text} {before}{}", if again { " again" } else { "" }));
        match text.as_str() {
            "accept" => delivery.accept().unwrap(),
            "reject" => delivery.reject(Some(PeerError::new(ErrorCondition::NOT_ALLOWED, "no"))).unwrap(),
            "release" if !again => delivery.release(false).unwrap(),
            "release as delivered" if !again => delivery.release(true).unwrap(),
            _ => {}
        }
        if log.len() == KINDS.len() + 2 {
            event.connection().unwrap().close();
        }
    }
}

#[tokio::test]
async fn messages_get_the_outcome_that_they_were_given_or_are_accepted() {
    let (broker, url) = broker().await;
    let log = Log::default();
    run(Outcomes { url, log: log.clone(), open: 0 }).await;
    let mut heard = log.lock().unwrap().clone();
    heard.sort();
    let expected = [
        "accept 0",
        "nothing 0",
        "reject 0",
        "release 0",
        "release 0 again",
        "release as delivered 0",
        "release as delivered 1 again",
    ];
    assert_eq!(heard, expected);
    let stats = broker.queue_stats("q").unwrap();
    assert_eq!(stats.ready, 0);
}

/// Two containers in one: a receiver that answers, and a sender that hears of it.
struct Told {
    url: String,
    log: Log,
    outcome: Option<Outcome>,
}

impl Handler for Told {
    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().create_sender(&format!("{}/nowhere/to/be/found", self.url));
    }

    fn on_link_error(&mut self, event: &mut Event<'_>) {
        let Some(EventError::Attach(error)) = event.error() else { panic!("{:?}", event.error()) };
        self.log.lock().unwrap().push(error.peer_error().unwrap().condition.0.to_string());
        event.connection().unwrap().close();
        self.outcome.take();
    }
}

#[tokio::test]
async fn a_link_that_is_refused_says_why() {
    let broker = Broker::builder().listen("amqp://127.0.0.1:0").start().await.unwrap();
    let url = format!("amqp://{}", broker.addr().unwrap());
    let log = Log::default();
    run(Told { url, log: log.clone(), outcome: None }).await;
    assert_eq!(*log.lock().unwrap(), ["amqp:not-found"]);
}

/// Keeps deliveries, and accepts them by a timer; credit is its own.
struct Delayed {
    url: String,
    connection: Option<Connection>,
    kept: Vec<Delivery>,
    log: Log,
    sent: bool,
}

impl Handler for Delayed {
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        (settings.prefetch, settings.auto_accept) = (0, false);
        settings
    }

    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = event.container().connect(&self.url);
        connection.create_sender("q");
        connection.create_receiver("q");
        self.connection = Some(connection);
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        if let Some(receiver) = event.receiver() {
            assert_eq!(receiver.credit(), 0);
            receiver.flow(2);
        }
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if !std::mem::replace(&mut self.sent, true) {
            for text in ["a", "b", "c"] {
                event.sender().unwrap().send(text).unwrap();
            }
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        self.kept.push(event.delivery().unwrap());
        if self.kept.len() == 2 {
            assert_eq!(event.receiver().unwrap().credit(), 0);
            event.container().schedule(Duration::from_millis(20));
        }
    }

    fn on_timer_task(&mut self, _: &mut Event<'_>) {
        assert_eq!(self.kept.len(), 2, "credit was for two");
        self.log.lock().unwrap().push("timer".to_owned());
        self.kept.drain(..).for_each(|delivery| delivery.accept().unwrap());
        self.maybe_close();
    }

    fn on_accepted(&mut self, _: &mut Event<'_>) {
        self.log.lock().unwrap().push("accepted".to_owned());
        self.maybe_close();
    }
}

impl Delayed {
    fn maybe_close(&self) {
        if self.log.lock().unwrap().len() == 4 {
            self.connection.as_ref().unwrap().close();
        }
    }
}

#[tokio::test]
async fn deliveries_are_settled_later_and_credit_is_the_programs() {
    let (broker, url) = broker().await;
    let log = Log::default();
    run(Delayed { url, connection: None, kept: Vec::new(), log: log.clone(), sent: false }).await;
    let log = log.lock().unwrap();
    // The broker accepts what it is sent; two of three are fetched, and accepted by the timer.
    assert_eq!(log.iter().filter(|line| *line == "accepted").count(), 3);
    let _ = broker;
}

/// Asks and answers over a node that the broker makes.
struct Server {
    url: String,
    connection: Option<Connection>,
    replies: Option<Sender>,
}

impl Handler for Server {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = event.container().connect(&self.url);
        connection.create_receiver("requests");
        self.replies = Some(connection.create_sender(Node::anonymous()));
        self.connection = Some(connection);
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        let request = event.message().unwrap();
        let answer = Message::from(request.text().unwrap().to_uppercase()).with_address(request.reply_to().unwrap());
        let replies = self.replies.as_ref().unwrap();
        replies.send(answer).unwrap();
        if request.text() == Some("last") {
            self.connection.take().unwrap().close();
        }
    }
}

struct Client {
    url: String,
    requests: Vec<&'static str>,
    sender: Option<Sender>,
    log: Log,
}

impl Client {
    fn ask(&mut self, event: &Event<'_>) {
        match self.requests.pop() {
            Some(text) => {
                let reply_to = event.receiver().unwrap().remote_source().unwrap().address.unwrap();
                self.sender.as_ref().unwrap().send(Message::from(text).with_reply_to(reply_to)).unwrap();
            }
            None => event.connection().unwrap().close(),
        }
    }
}

impl Handler for Client {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = event.container().connect(&self.url);
        self.sender = Some(connection.create_sender("requests"));
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if self.log.lock().unwrap().is_empty() {
            self.log.lock().unwrap().push("ready".to_owned());
            event.connection().unwrap().create_receiver_with(LinkOptions::new().dynamic());
        }
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        if event.receiver().is_some() {
            self.ask(event);
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        self.log.lock().unwrap().push(event.take_message().unwrap().text().unwrap().to_owned());
        self.ask(event);
    }
}

#[tokio::test]
async fn a_request_is_answered_over_a_dynamic_node() {
    let (_broker, url) = broker().await;
    let log = Log::default();
    let client = Client { url: url.clone(), requests: vec!["last", "two", "one"], sender: None, log: log.clone() };
    tokio::join!(run(Server { url, connection: None, replies: None }), run(client));
    assert_eq!(*log.lock().unwrap(), ["ready", "ONE", "TWO", "LAST"]);
}

/// Sends by each guarantee.
struct Guarantees {
    url: String,
    guarantee: Guarantee,
    log: Log,
    sent: bool,
}

impl Handler for Guarantees {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = event.container().connect(&self.url);
        let address = self.guarantee.to_string();
        connection.create_sender_with(LinkOptions::new().target(address.as_str()).guarantee(self.guarantee));
        connection.create_receiver_with(LinkOptions::new().source(address.as_str()).guarantee(self.guarantee));
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if !std::mem::replace(&mut self.sent, true) {
            event.sender().unwrap().send("once").unwrap();
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        self.log.lock().unwrap().push("message".to_owned());
        self.maybe_close(event);
    }

    fn on_accepted(&mut self, event: &mut Event<'_>) {
        assert_ne!(self.guarantee, Guarantee::AtMostOnce);
        self.log.lock().unwrap().push("accepted".to_owned());
        self.maybe_close(event);
    }
}

impl Guarantees {
    fn maybe_close(&self, event: &Event<'_>) {
        let expected = if self.guarantee == Guarantee::AtMostOnce { 1 } else { 2 };
        if self.log.lock().unwrap().len() == expected {
            event.connection().unwrap().close();
        }
    }
}

#[tokio::test]
async fn each_guarantee_is_kept() {
    let (broker, url) = broker().await;
    for guarantee in [Guarantee::AtMostOnce, Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let log = Log::default();
        run(Guarantees { url: url.clone(), guarantee, log: log.clone(), sent: false }).await;
        let mut heard = log.lock().unwrap().clone();
        heard.sort();
        let expected: &[&str] =
            if guarantee == Guarantee::AtMostOnce { &["message"] } else { &["accepted", "message"] };
        assert_eq!(heard, expected, "{guarantee}");
        assert_eq!(broker.queue_stats(&guarantee.to_string()).unwrap().ready, 0);
    }
}
