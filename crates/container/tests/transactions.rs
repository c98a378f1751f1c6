//! Transactions, against the embedded broker's coordinator.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use postroad_broker::Broker;
use postroad_container::{Container, Event, Handler, Message, Settings, Transaction};

type Log = Arc<Mutex<Vec<String>>>;

#[derive(Clone, Copy, PartialEq)]
enum End {
    Commit,
    Abort,
    /// Commits before the transaction is declared.
    AtOnce,
}

/// Takes orders, and makes an invoice of each; both happen, or neither.
struct Invoices {
    url: String,
    end: End,
    transaction: Option<Transaction>,
    log: Log,
}

impl Invoices {
    fn note(&self, what: impl Into<String>) {
        self.log.lock().unwrap().push(what.into());
    }
}

impl Handler for Invoices {
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        (settings.auto_accept, settings.prefetch) = (false, 2);
        settings
    }

    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = event.container().connect(&self.url);
        connection.create_sender("invoices");
        let transaction = connection.declare_transaction();
        if self.end == End::AtOnce {
            transaction.commit();
            assert!(transaction.send(&connection.create_sender("x"), "too late").is_err());
        }
        self.transaction = Some(transaction);
    }

    fn on_transaction_declared(&mut self, event: &mut Event<'_>) {
        assert_eq!(event.transaction(), self.transaction.as_ref());
        self.note("declared");
        event.connection().unwrap().create_receiver("orders");
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        let Some(transaction) = self.transaction.clone() else {
            // What was taken in a transaction that was aborted is not settled.
            return;
        };
        let text = event.message().unwrap().text().unwrap().to_owned();
        self.note(format!("order {text}"));
        let invoices = event.connection().unwrap().create_sender("invoices");
        // It has no credit yet: the one that was made first does.
        assert!(transaction.send(&invoices, "nothing").is_err());
        transaction.accept(&event.delivery().unwrap()).unwrap();
        if text == "two" {
            match self.end {
                End::Commit => transaction.commit(),
                End::Abort => transaction.abort(),
                End::AtOnce => unreachable!(),
            }
            assert!(transaction.accept(&event.delivery().unwrap()).is_err(), "it is being discharged");
        }
    }

    fn on_transaction_committed(&mut self, event: &mut Event<'_>) {
        assert!(event.error().is_none());
        self.note("committed");
        event.connection().unwrap().close();
    }

    fn on_transaction_aborted(&mut self, event: &mut Event<'_>) {
        self.note("aborted");
        event.connection().unwrap().close();
    }
}

async fn run(end: End) -> (Broker, Vec<String>) {
    let broker =
        Broker::builder().listen("amqp://127.0.0.1:0").auto_create(true).queue("orders").start().await.unwrap();
    let url = broker.urls()[0].clone();
    let connection = postroad_client::Connection::open(postroad_client::ConnectOptions::new(url.parse().unwrap()));
    let connection = connection.await.unwrap();
    let sender = connection.session().await.unwrap().sender("orders").await.unwrap();
    for text in ["one", "two"] {
        assert!(sender.send(&Message::from(text)).await.unwrap().is_accepted());
    }
    let log = Log::default();
    let container = Container::new(Invoices { url, end, transaction: None, log: log.clone() });
    tokio::time::timeout(Duration::from_secs(20), container.run()).await.expect("it ends").unwrap();
    connection.close().await.unwrap();
    let log = log.lock().unwrap().clone();
    (broker, log)
}

#[tokio::test]
async fn what_is_committed_holds() {
    let (broker, log) = run(End::Commit).await;
    assert_eq!(log, ["declared", "order one", "order two", "committed"]);
    assert_eq!(broker.queue_stats("orders").unwrap().ready, 0);
}

#[tokio::test]
async fn what_is_aborted_does_not() {
    let (broker, log) = run(End::Abort).await;
    assert_eq!(log, ["declared", "order one", "order two", "aborted"]);
    assert_eq!(broker.queue_stats("orders").unwrap().ready, 2);
}

#[tokio::test]
async fn one_that_is_committed_before_it_is_declared_is_an_empty_one() {
    let (broker, log) = run(End::AtOnce).await;
    assert_eq!(log, ["committed"]);
    assert_eq!(broker.queue_stats("orders").unwrap().ready, 2);
}

/// Sends in a transaction once there is credit for it.
struct Sends {
    url: String,
    transaction: Option<Transaction>,
    sent: bool,
    target: &'static str,
    log: Log,
}

impl Handler for Sends {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = event.container().connect(&self.url);
        connection.declare_transaction();
    }

    fn on_transaction_declared(&mut self, event: &mut Event<'_>) {
        self.transaction = event.transaction().cloned();
        event.session().unwrap().create_sender(self.target);
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if let Some(transaction) = self.transaction.as_ref().filter(|_| !self.sent) {
            self.sent = true;
            for text in ["a", "b"] {
                transaction.send(event.sender().unwrap(), text).unwrap();
            }
            transaction.commit();
        }
    }

    fn on_accepted(&mut self, _: &mut Event<'_>) {
        panic!("the outcome is that of the transaction");
    }

    fn on_transaction_committed(&mut self, event: &mut Event<'_>) {
        self.log.lock().unwrap().push("committed".to_owned());
        event.connection().unwrap().close();
    }

    fn on_transaction_declare_failed(&mut self, event: &mut Event<'_>) {
        self.log.lock().unwrap().push(event.error().unwrap().to_string());
        event.connection().unwrap().close();
    }
}

#[tokio::test]
async fn messages_that_are_sent_in_it_are_there_with_the_commit() {
    let broker = Broker::builder().listen("amqp://127.0.0.1:0").queue("q").start().await.unwrap();
    let log = Log::default();
    let handler =
        Sends { url: broker.urls()[0].clone(), transaction: None, sent: false, target: "q", log: log.clone() };
    tokio::time::timeout(Duration::from_secs(20), Container::new(handler).run()).await.expect("it ends").unwrap();
    assert_eq!(*log.lock().unwrap(), ["committed"]);
    assert_eq!(broker.queue_stats("q").unwrap().ready, 2);
}
