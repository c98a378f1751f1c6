//! Containers that others connect to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postroad_container::client::LocalEndpoint;
use postroad_container::client::sasl::UserFile;
use postroad_container::types::{ErrorCondition, PeerError};
use postroad_container::{
    AcceptOptions, ConnectOptions, Connection, Container, Event, EventError, Handler, LinkOptions, Message, Node,
    Outcome, Sender, Settings,
};

type Log = Arc<Mutex<Vec<String>>>;

fn note(log: &Log, what: impl Into<String>) {
    log.lock().unwrap().push(what.into());
}

fn on_loopback() -> AcceptOptions {
    AcceptOptions::new(LocalEndpoint::host("127.0.0.1").port(0))
}

/// Runs a container that listens, beside what its clients do.
async fn serve<R>(server: impl Handler + 'static, options: AcceptOptions, client: impl AsyncFnOnce(String) -> R) -> R {
    let (tell, address) = tokio::sync::oneshot::channel();
    let container = Container::new(Doorman { tell: Some(tell) });
    container.listen_for(options, server);
    let running = container.clone();
    let run = tokio::spawn(async move { running.run().await });
    let url = format!("amqp://{}", address.await.unwrap());
    let result = tokio::time::timeout(Duration::from_secs(20), client(url)).await.expect("it ends");
    container.stop();
    tokio::time::timeout(Duration::from_secs(20), run).await.expect("it stops").unwrap().unwrap();
    result
}

/// Tells where the door is.
struct Doorman {
    tell: Option<tokio::sync::oneshot::Sender<String>>,
}

impl Handler for Doorman {
    fn on_listening(&mut self, event: &mut Event<'_>) {
        let address = event.acceptor().unwrap().local_endpoint().unwrap().to_string();
        self.tell.take().unwrap().send(address).unwrap();
    }
}

async fn run(handler: impl Handler + 'static) {
    Container::new(handler).run().await.unwrap();
}

/// Answers requests in upper case, at an address that is made for each client that asks for one.
#[derive(Default)]
struct Upper {
    replies: HashMap<String, Sender>,
    log: Log,
}

impl Handler for Upper {
    fn on_link_opening(&mut self, event: &mut Event<'_>) {
        let link = event.link().unwrap().clone();
        if link.is_sender() && link.remote_source().is_some_and(|source| source.dynamic) {
            let address = format!("reply-{}", self.replies.len());
            self.replies.insert(address.clone(), link.as_sender().unwrap().clone());
            event.opening().unwrap().set_source(Node { dynamic: true, ..Node::at(address) });
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        let request = event.message().unwrap();
        note(&self.log, request.text().unwrap());
        let sender = &self.replies[request.reply_to().unwrap()];
        sender.send(request.text().unwrap().to_uppercase().as_str()).unwrap();
    }
}

struct Asks {
    url: String,
    questions: VecDeque<&'static str>,
    requests: Option<Sender>,
    reply_to: String,
    log: Log,
}

impl Asks {
    fn ask(&mut self, connection: &Connection) {
        match self.questions.pop_front() {
            Some(question) => {
                let message = Message::from(question).with_reply_to(self.reply_to.as_str());
                self.requests.as_ref().unwrap().send(message).unwrap();
            }
            None => connection.close(),
        }
    }
}

impl Handler for Asks {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = event.container().connect(&self.url);
        connection.create_receiver_with(LinkOptions::new().dynamic());
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        if let Some(receiver) = event.receiver() {
            self.reply_to = receiver.remote_source().unwrap().address.unwrap();
            self.requests = Some(event.connection().unwrap().create_sender("requests"));
        }
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if self.questions.len() == 2 {
            self.ask(event.connection().unwrap());
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        note(&self.log, event.message().unwrap().text().unwrap());
        self.ask(event.connection().unwrap());
    }
}

#[tokio::test]
async fn a_server_of_requests_and_its_client() {
    let (asked, answered) = (Log::default(), Log::default());
    let server = Upper { log: asked.clone(), ..Upper::default() };
    let log = answered.clone();
    serve(server, on_loopback(), async move |url| {
        let questions = VecDeque::from(["yes", "no"]);
        run(Asks { url, questions, requests: None, reply_to: String::new(), log }).await;
    })
    .await;
    assert_eq!(*asked.lock().unwrap(), ["yes", "no"]);
    assert_eq!(*answered.lock().unwrap(), ["YES", "NO"]);
}

/// Refuses what it is told to.
#[derive(Default)]
struct Refuses {
    connections: bool,
    sessions: bool,
    links: bool,
    log: Log,
}

fn no(what: &str) -> PeerError {
    PeerError::new(ErrorCondition::NOT_ALLOWED, format!("no {what} today"))
}

impl Handler for Refuses {
    fn on_connection_opening(&mut self, event: &mut Event<'_>) {
        let connection = event.connection().unwrap();
        assert!(connection.acceptor().is_some() && connection.remote_container().is_some());
        if self.connections {
            event.opening().unwrap().refuse(no("connections"));
        }
    }

    fn on_connection_opened(&mut self, _: &mut Event<'_>) {
        note(&self.log, "connection opened");
    }

    fn on_session_opening(&mut self, event: &mut Event<'_>) {
        if self.sessions {
            event.opening().unwrap().refuse(no("sessions"));
        }
    }

    fn on_session_opened(&mut self, _: &mut Event<'_>) {
        note(&self.log, "session opened");
    }

    fn on_link_opening(&mut self, event: &mut Event<'_>) {
        if self.links {
            // As good as a refusal.
            event.link().unwrap().close_with(no("links"));
        }
    }

    fn on_link_opened(&mut self, _: &mut Event<'_>) {
        note(&self.log, "link opened");
    }

    fn on_connection_closed(&mut self, _: &mut Event<'_>) {
        note(&self.log, "connection closed");
    }
}

/// Notes what it is told of a sender and a receiver.
struct Tries {
    url: String,
    log: Log,
}

impl Tries {
    fn note(&self, what: &str, event: &Event<'_>) {
        let error = event.error().and_then(EventError::peer_error).and_then(|error| error.description.clone());
        note(&self.log, format!("{what}: {}", error.as_deref().unwrap_or("nothing")));
    }
}

impl Handler for Tries {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let mut options = ConnectOptions::new(self.url.parse().unwrap());
        options.reconnect = None;
        event.container().connect_with(options).create_sender("q");
    }

    fn on_connection_error(&mut self, event: &mut Event<'_>) {
        self.note("connection", event);
    }

    fn on_session_error(&mut self, event: &mut Event<'_>) {
        self.note("session", event);
        event.connection().unwrap().close();
    }

    fn on_link_error(&mut self, event: &mut Event<'_>) {
        self.note("link", event);
        event.connection().unwrap().close();
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        self.note("sendable", event);
        event.connection().unwrap().close();
    }
}

#[tokio::test]
async fn a_server_refuses_connections_sessions_and_links() {
    let refusals = [
        (Refuses { connections: true, ..Refuses::default() }, "connection: no connections today", vec![]),
        (
            Refuses { sessions: true, ..Refuses::default() },
            "session: no sessions today",
            vec!["connection opened", "connection closed"],
        ),
        (
            Refuses { links: true, ..Refuses::default() },
            "link: no links today",
            vec!["connection opened", "session opened", "connection closed"],
        ),
        (
            Refuses::default(),
            "sendable: nothing",
            vec!["connection opened", "session opened", "link opened", "connection closed"],
        ),
    ];
    for (server, heard, seen) in refusals {
        let (log, server_log) = (Log::default(), server.log.clone());
        let client_log = log.clone();
        serve(server, on_loopback(), async move |url| run(Tries { url, log: client_log }).await).await;
        assert_eq!(log.lock().unwrap().first().map(String::as_str), Some(heard));
        let served = server_log.lock().unwrap().clone();
        // The container may have been stopped before it heard the end.
        assert!(seen.starts_with(&served.iter().map(String::as_str).collect::<Vec<_>>()), "{served:?}, not {seen:?}");
        assert!(served.len() + 1 >= seen.len(), "{served:?}, not {seen:?}");
    }
}

/// Notes who comes.
struct Guests(Log);

impl Handler for Guests {
    fn on_connection_opened(&mut self, event: &mut Event<'_>) {
        let transport = event.transport().unwrap();
        let user = transport.user().unwrap();
        assert!(transport.remote_endpoint().is_some() && transport.tls_info().is_none());
        note(&self.0, format!("{} by {}", user.name, user.mechanism));
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        assert!(event.acceptor().is_some() && event.connection().is_none());
        note(&self.0, format!("{}", event.error().unwrap()));
    }
}

/// Connects once, and notes what becomes of it.
struct Comes {
    options: Option<ConnectOptions>,
    log: Log,
}

impl Handler for Comes {
    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().connect_with(self.options.take().unwrap());
    }

    fn on_connection_opened(&mut self, event: &mut Event<'_>) {
        assert!(event.transport().unwrap().user().is_none(), "that is for the server to know");
        note(&self.log, "in");
        event.connection().unwrap().close();
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        note(&self.log, event.error().unwrap().to_string());
    }
}

#[tokio::test]
async fn a_store_of_credentials_says_who_may_come() {
    let mut options = on_loopback();
    options.sasl.users = Some(Arc::new(UserFile::parse("alice:wonderland", [1; 32]).unwrap()));
    let (guests, tries) = (Log::default(), Log::default());
    let log = tries.clone();
    serve(Guests(guests.clone()), options, async move |url| {
        for (user, password) in [(None, ""), (Some("alice"), "looking glass"), (Some("alice"), "wonderland")] {
            let mut options = ConnectOptions::new(url.parse().unwrap());
            (options.user, options.password) = (user.map(ToOwned::to_owned), Some(password.to_owned()));
            options.reconnect = None;
            run(Comes { options: Some(options), log: log.clone() }).await;
        }
    })
    .await;
    let tries = tries.lock().unwrap().clone();
    assert!(tries[0].contains("no common mechanism"), "{tries:?}");
    assert!(tries[1].contains("authentication failed"), "{tries:?}");
    assert_eq!(tries[2], "in");
    let guests = guests.lock().unwrap().clone();
    assert!(guests.iter().any(|guest| guest.starts_with("alice by SCRAM-SHA-")), "{guests:?}");
    assert_eq!(guests.len(), 3, "{guests:?}");
}

/// Sends what it has as long as there is credit, and gives up the rest where that is wanted.
struct Store {
    left: u32,
    drains: Log,
}

impl Handler for Store {
    fn on_sendable(&mut self, event: &mut Event<'_>) {
        let sender = event.sender().unwrap();
        assert_eq!(sender.remote_source().unwrap().address.as_deref(), Some("store"));
        if sender.is_draining() {
            note(&self.drains, format!("{} wanted, {} here", sender.credit(), self.left));
        }
        while sender.credit() > 0 && self.left > 0 {
            sender.send(Message::from("thing").with_id(u64::from(self.left))).unwrap();
            self.left -= 1;
        }
    }
}

/// Takes all there is, and no more.
struct TakesAll {
    url: String,
    taken: u32,
    log: Log,
}

impl Handler for TakesAll {
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.prefetch = 0;
        settings
    }

    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().connect(&self.url).create_receiver("store");
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        event.receiver().unwrap().drain(10);
        assert!(event.receiver().unwrap().is_draining());
        event.container().schedule(Duration::from_millis(10));
    }

    fn on_message(&mut self, _: &mut Event<'_>) {
        self.taken += 1;
    }

    fn on_timer_task(&mut self, event: &mut Event<'_>) {
        event.container().schedule(Duration::from_millis(10));
        let taken = self.taken;
        let log = self.log.clone();
        event.container().inject(move |event| {
            let _ = event.container();
            if taken == 3 && log.lock().unwrap().is_empty() {
                note(&log, "taken");
                event.container().stop();
            }
        });
    }
}

#[tokio::test]
async fn a_server_uses_the_credit_of_a_drain_and_gives_up_the_rest() {
    let (drains, log) = (Log::default(), Log::default());
    let taken = log.clone();
    serve(Store { left: 3, drains: drains.clone() }, on_loopback(), async move |url| {
        run(TakesAll { url, taken: 0, log }).await;
    })
    .await;
    assert_eq!(*taken.lock().unwrap(), ["taken"]);
    assert_eq!(*drains.lock().unwrap(), ["10 wanted, 3 here"]);
}

/// Is attached to by its server.
struct Attached {
    url: String,
    asks: bool,
    log: Log,
}

impl Handler for Attached {
    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().connect(&self.url);
    }

    fn on_link_opening(&mut self, event: &mut Event<'_>) {
        if self.asks {
            note(&self.log, "taken");
        } else {
            event.pass();
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        note(&self.log, event.message().unwrap().text().unwrap());
        event.connection().unwrap().close();
    }

    fn on_connection_closing(&mut self, event: &mut Event<'_>) {
        assert!(event.error().is_none());
    }
}

/// Attaches to whoever comes.
struct Attaches(Log);

impl Handler for Attaches {
    fn on_connection_opened(&mut self, event: &mut Event<'_>) {
        event.connection().unwrap().create_sender("news");
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        let sender = event.sender().unwrap();
        if sender.queued() == 0 {
            sender.send("hello").unwrap();
        }
    }

    fn on_accepted(&mut self, event: &mut Event<'_>) {
        assert_eq!(event.delivery().unwrap().remote_state(), Some(Outcome::Accepted));
        note(&self.0, "accepted");
    }

    fn on_link_error(&mut self, event: &mut Event<'_>) {
        note(&self.0, event.error().unwrap().peer_error().unwrap().condition.0.as_str());
        event.connection().unwrap().close();
    }
}

#[tokio::test]
async fn links_to_one_that_has_connected_are_taken_where_it_asks_for_them() {
    for asks in [true, false] {
        let (server, client) = (Log::default(), Log::default());
        let log = client.clone();
        serve(Attaches(server.clone()), on_loopback(), async move |url| run(Attached { url, asks, log }).await).await;
        let (server, client) = (server.lock().unwrap().clone(), client.lock().unwrap().clone());
        match asks {
            true => assert_eq!(client, ["taken", "hello"], "{server:?}"),
            false => assert_eq!((client, server), (vec![], vec!["amqp:not-allowed".to_owned()])),
        }
    }
}

/// Closes its acceptor when the first client is there.
struct Once(Log);

impl Handler for Once {
    fn on_connection_opened(&mut self, event: &mut Event<'_>) {
        event.acceptor().unwrap().close();
        note(&self.0, "first");
    }

    fn on_message(&mut self, _: &mut Event<'_>) {
        note(&self.0, "message");
    }

    fn on_connection_closed(&mut self, _: &mut Event<'_>) {
        note(&self.0, "closed");
    }
}

struct SendsOne(String);

impl Handler for SendsOne {
    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().connect(&self.0).create_sender("q");
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if event.sender().unwrap().queued() == 0 {
            event.sender().unwrap().send("x").unwrap();
        }
    }

    fn on_settled(&mut self, event: &mut Event<'_>) {
        event.connection().unwrap().close();
    }
}

#[tokio::test]
async fn a_container_whose_acceptor_is_closed_ends_with_its_last_connection() {
    let log = Log::default();
    let (tell, address) = tokio::sync::oneshot::channel();
    let container = Container::new(Doorman { tell: Some(tell) });
    let acceptor = container.listen_for(on_loopback(), Once(log.clone()));
    assert!(acceptor.local_endpoint().is_none());
    let running = container.clone();
    let server = tokio::spawn(async move { running.run().await });
    let url = format!("amqp://{}", address.await.unwrap());
    let client = async {
        run(SendsOne(url.clone())).await;
        server.await.unwrap().unwrap();
    };
    tokio::time::timeout(Duration::from_secs(20), client).await.expect("it ends by itself");
    assert_eq!(*log.lock().unwrap(), ["first", "message", "closed"]);
    let mut options = ConnectOptions::new(url.parse().unwrap());
    options.reconnect = None;
    let refused = Log::default();
    run(Comes { options: Some(options), log: refused.clone() }).await;
    assert!(!refused.lock().unwrap().contains(&"in".to_owned()), "nobody listens");
}

#[tokio::test]
async fn what_cannot_be_listened_on_is_told() {
    for url in ["amqp://127.0.0.1:99999", "amqps://127.0.0.1:0", "amqp://192.0.2.1:0"] {
        let log = Log::default();
        run(Listens { url, log: log.clone() }).await;
        assert_eq!(log.lock().unwrap().len(), 1, "{url}");
    }
}

struct Listens {
    url: &'static str,
    log: Log,
}

impl Handler for Listens {
    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().listen(self.url);
    }

    fn on_listening(&mut self, _: &mut Event<'_>) {
        panic!("{} is none", self.url);
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        note(&self.log, event.error().unwrap().to_string());
    }
}

/// Closes the connection in answer to a message, and says nothing of it.
struct Leaves;

impl Handler for Leaves {
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.auto_accept = false;
        settings
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        event.connection().unwrap().close();
    }
}

/// Hears of a link.
struct OfLink(Log);

impl Handler for OfLink {
    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if event.sender().unwrap().queued() == 0 {
            event.sender().unwrap().send("x").unwrap();
            // The connection ends meanwhile, on another thread.
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn on_in_doubt(&mut self, event: &mut Event<'_>) {
        assert!(matches!(event.error(), Some(EventError::Send(_))) && event.delivery().is_some());
        note(&self.0, "in doubt");
    }
}

struct OfConnection {
    url: String,
    log: Log,
}

impl Handler for OfConnection {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let mut options = ConnectOptions::new(self.url.parse().unwrap());
        options.reconnect = None;
        let connection = event.container().connect_with(options);
        connection.create_sender_with(LinkOptions::new().target("q").handler(OfLink(self.log.clone())));
    }

    fn on_in_doubt(&mut self, _: &mut Event<'_>) {
        note(&self.log, "the link's own handler has not heard of it");
    }

    fn on_connection_closed(&mut self, _: &mut Event<'_>) {
        note(&self.log, "closed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_is_in_doubt_is_told_to_its_link_before_the_end_of_the_connection() {
    let log = Log::default();
    let heard = log.clone();
    serve(Leaves, on_loopback(), async move |url| run(OfConnection { url, log }).await).await;
    assert_eq!(*heard.lock().unwrap(), ["in doubt", "closed"]);
}

/// Sends one message and closes its link at once.
struct SendsAndLeaves {
    url: String,
    options: Option<LinkOptions>,
    log: Log,
}

impl Handler for SendsAndLeaves {
    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().connect(&self.url).create_sender_with(self.options.take().unwrap());
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        event.sender().unwrap().send("x").unwrap();
        event.sender().unwrap().close();
    }

    fn on_accepted(&mut self, _: &mut Event<'_>) {
        note(&self.log, "accepted");
    }

    fn on_in_doubt(&mut self, _: &mut Event<'_>) {
        note(&self.log, "in doubt");
    }

    fn on_link_closed(&mut self, event: &mut Event<'_>) {
        event.connection().unwrap().close();
    }
}

/// Takes its time for a message.
struct TakesItsTime(Log);

impl Handler for TakesItsTime {
    fn on_message(&mut self, event: &mut Event<'_>) {
        std::thread::sleep(Duration::from_millis(50));
        note(&self.0, event.message().unwrap().text().unwrap());
    }

    fn on_link_closed(&mut self, _: &mut Event<'_>) {
        note(&self.0, "closed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn one_that_sends_and_leaves_at_once_hears_what_became_of_it() {
    for link in [LinkOptions::new().target("q"), LinkOptions::new().target("q").exactly_once()] {
        let (came, heard) = (Log::default(), Log::default());
        let mut options = on_loopback();
        options.keep_links = Some(postroad_container::client::KeepLinks::default());
        let log = heard.clone();
        serve(TakesItsTime(came.clone()), options, async move |url| {
            run(SendsAndLeaves { url, options: Some(link), log }).await;
        })
        .await;
        assert_eq!(*heard.lock().unwrap(), ["accepted"]);
        assert_eq!(came.lock().unwrap().first().map(String::as_str), Some("x"));
    }
}
