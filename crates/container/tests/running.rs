//! Containers that run against the embedded broker.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use postroad_broker::Broker;
use postroad_container::{Container, Event, EventError, Handler, Message, RunError, Settings};

/// What happened, a word each.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

async fn broker() -> (Broker, String) {
    let broker = Broker::builder().listen("amqp://127.0.0.1:0").auto_create(true).start().await.unwrap();
    let url = format!("amqp://{}", broker.addr().unwrap());
    (broker, url)
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it comes")
}

struct Hello {
    url: String,
    log: Log,
}

impl Handler for Hello {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = event.container().connect(&self.url);
        connection.create_receiver("examples");
        connection.create_sender("examples");
    }

    fn on_connection_opened(&mut self, event: &mut Event<'_>) {
        assert!(event.connection().unwrap().remote_container().is_some());
        self.log.note("connection opened");
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        let sender = event.sender().unwrap();
        sender.send("Hello World!").unwrap();
        self.log.note("sent");
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        assert_eq!(event.message().unwrap().text(), Some("Hello World!"));
        self.log.note("message");
    }

    fn on_accepted(&mut self, _: &mut Event<'_>) {
        self.log.note("accepted");
    }

    fn on_settled(&mut self, event: &mut Event<'_>) {
        assert!(event.delivery().unwrap().sender().is_some());
        event.connection().unwrap().close();
    }

    fn on_connection_closed(&mut self, event: &mut Event<'_>) {
        assert!(event.error().is_none());
        self.log.note("connection closed");
    }
}

#[tokio::test]
async fn hello_world() {
    let (_broker, url) = broker().await;
    let log = Log::default();
    soon(Container::new(Hello { url, log: log.clone() }).run()).await.unwrap();
    let log = log.take();
    assert_eq!(log.first().map(String::as_str), Some("connection opened"), "{log:?}");
    assert_eq!(log.last().map(String::as_str), Some("connection closed"), "{log:?}");
    assert!(log.contains(&"sent".to_owned()) && log.contains(&"accepted".to_owned()), "{log:?}");
}

/// Sends as many messages as there is credit for, and waits for all outcomes.
struct Send {
    url: String,
    total: u64,
    sent: u64,
    confirmed: u64,
}

impl Handler for Send {
    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().connect(&self.url).create_sender("q");
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        let sender = event.sender().unwrap();
        while sender.credit() > 0 && self.sent < self.total {
            sender.send(Message::from("a").with_id(self.sent)).unwrap();
            self.sent += 1;
        }
    }

    fn on_accepted(&mut self, event: &mut Event<'_>) {
        self.confirmed += 1;
        if self.confirmed == self.total {
            event.connection().unwrap().close();
        }
    }
}

struct Receive {
    url: String,
    total: u64,
    seen: u64,
}

impl Handler for Receive {
    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().connect(&self.url).create_receiver("q");
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        assert_eq!(event.message().unwrap().id(), Some(&self.seen.into()));
        self.seen += 1;
        if self.seen == self.total {
            event.receiver().unwrap().close();
            event.connection().unwrap().close();
        }
    }
}

#[tokio::test]
async fn many_messages_come_in_order_and_are_accepted() {
    let (broker, url) = broker().await;
    let total = 5000;
    let sending = Container::new(Send { url: url.clone(), total, sent: 0, confirmed: 0 });
    let receiving = Container::new(Receive { url, total, seen: 0 });
    let (sent, received) = soon(async { tokio::join!(sending.run(), receiving.run()) }).await;
    sent.unwrap();
    received.unwrap();
    let stats = broker.queue_stats("q").unwrap();
    assert_eq!((stats.ready, stats.settled), (0, total));
}

/// Notes what it hears of.
struct Named(&'static str, Log);

impl Handler for Named {
    fn settings(&self) -> Settings {
        Settings::default()
    }

    fn on_connection_opened(&mut self, _: &mut Event<'_>) {
        self.1.note(format!("{}: connection opened", self.0));
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        self.1.note(format!("{}: link opened", self.0));
        if self.0 == "link" {
            event.container().stop();
        }
    }
}

#[tokio::test]
async fn the_narrowest_handler_hears_of_it_and_every_one_of_the_container() {
    let (_broker, url) = broker().await;
    let log = Log::default();
    let both = [Box::new(Named("first", log.clone())) as Box<dyn Handler>, Box::new(Named("second", log.clone()))];
    let container = Container::with_handlers("me", both);
    assert_eq!(container.container_id(), "me");
    let options = || postroad_container::ConnectOptions::new(url.parse().unwrap());
    container.connect_with(options());
    let connection = container.connect_for(options(), Named("connection", log.clone()));
    connection.create_sender("a");
    let inner = log.clone();
    let link = postroad_container::LinkOptions::new().source("a").handler(Named("link", inner));
    connection.create_receiver_with(link);
    soon(container.run()).await.unwrap();
    let mut heard = log.take();
    heard.sort();
    heard.retain(|line| line != "connection: link opened");
    let expected =
        ["connection: connection opened", "first: connection opened", "link: link opened", "second: connection opened"];
    assert_eq!(heard, expected);
    assert_eq!(container.run().await, Err(RunError::Again));
}

/// Panics at its first timer, and has another handler go on.
struct Panics(Log);

impl Handler for Panics {
    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().schedule(Duration::from_millis(5));
        event.container().schedule(Duration::from_millis(10));
        let never = event.container().schedule(Duration::from_secs(3600));
        event.container().cancel(never);
        event.container().schedule_for(Duration::from_millis(15), Task(self.0.clone()));
    }

    fn on_timer_task(&mut self, _: &mut Event<'_>) {
        self.0.note("panicking");
        panic!("by {}", "itself");
    }
}

struct Task(Log);

impl Handler for Task {
    fn on_timer_task(&mut self, _: &mut Event<'_>) {
        self.0.note("task");
    }
}

#[tokio::test]
async fn a_handler_that_panics_is_not_called_again_and_others_go_on() {
    let log = Log::default();
    let both = [Box::new(Panics(log.clone())) as Box<dyn Handler>, Box::new(Task(log.clone()))];
    let result = soon(Container::with_handlers("me", both).run()).await;
    assert_eq!(result, Err(RunError::Panicked { method: "on_timer_task", message: "by itself".to_owned() }));
    assert_eq!(log.take(), ["panicking", "task", "task", "task"]);
}

struct Unlucky(Log, Vec<String>);

impl Handler for Unlucky {
    fn on_start(&mut self, event: &mut Event<'_>) {
        for url in &self.1 {
            event.container().connect(url).create_sender("q");
        }
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        self.0.note(match event.error().unwrap() {
            EventError::Url(_) => "url",
            EventError::Connect(_) => "connect",
            other => panic!("{other:?}"),
        });
    }

    fn on_link_error(&mut self, _: &mut Event<'_>) {
        panic!("the connection has told why");
    }
}

#[tokio::test]
async fn what_never_opens_is_told_once() {
    let log = Log::default();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let urls = vec!["amqp://[nonsense".to_owned(), format!("amqp://{closed}")];
    soon(Container::new(Unlucky(log.clone(), urls)).run()).await.unwrap();
    assert_eq!(log.take(), ["url", "connect"]);
}

#[tokio::test]
async fn work_is_injected_from_another_thread() {
    let (_broker, url) = broker().await;
    let log = Log::default();
    let container = Container::new(Named("own", log.clone()));
    let connection = container.connect(&url);
    let (other, noted) = (container.clone(), log.clone());
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        other.inject(move |event| {
            noted.note("injected");
            connection.close();
            assert_eq!(event.container().container_id().len(), 36);
        });
    });
    soon(container.run()).await.unwrap();
    thread.join().unwrap();
    assert_eq!(log.take(), ["own: connection opened", "injected"]);
}

/// Closes its connection with a session and links on their way.
struct ClosesAtOnce(String, Log);

impl Handler for ClosesAtOnce {
    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().connect(&self.0);
    }

    fn on_connection_opened(&mut self, event: &mut Event<'_>) {
        let connection = event.connection().unwrap();
        connection.session().create_receiver("q");
        connection.create_sender("q");
        connection.close();
    }

    fn on_session_error(&mut self, event: &mut Event<'_>) {
        self.1.note(format!("session error {:?}", event.error()));
    }

    fn on_link_error(&mut self, event: &mut Event<'_>) {
        self.1.note(format!("link error {:?}", event.error()));
    }

    fn on_connection_closed(&mut self, _: &mut Event<'_>) {
        self.1.note("connection closed");
    }
}

#[tokio::test]
async fn what_is_on_its_way_when_a_connection_is_closed_is_no_error() {
    let (_broker, url) = broker().await;
    let log = Log::default();
    soon(Container::new(ClosesAtOnce(url, log.clone())).run()).await.unwrap();
    assert_eq!(log.take(), ["connection closed"]);
}
