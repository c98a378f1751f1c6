//! A handler that notes what it hears of and does what a test says, and what it is tried against.
#![allow(dead_code, reason = "each test file uses its part")]

#[path = "../../../client/tests/raw/mod.rs"]
pub(crate) mod raw;

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postroad_broker::{Broker, Builder};
use postroad_codec::v1_0::{Attach, Role};
use postroad_container::client::LocalEndpoint;
use postroad_container::{AcceptOptions, ConnectOptions, Container, Event, Handler, RunError, Settings};
use postroad_testkit::{attach_receiver, attach_sender};
use tokio::task::JoinHandle;

/// Nothing here takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What happened, a word or some each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Without what is told as often as it happens to be.
    pub(crate) fn without(&self, left_out: &[&str]) -> Vec<String> {
        self.all().into_iter().filter(|line| !left_out.contains(&line.as_str())).collect()
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| *line == what).count()
    }

    pub(crate) fn has(&self, what: &str) -> bool {
        self.count(what) > 0
    }

    pub(crate) fn place(&self, what: &str) -> usize {
        self.all().iter().position(|line| line == what).unwrap_or_else(|| panic!("no {what} in {:?}", self.all()))
    }
}

/// Notes every call by its name, with the condition of an error that the peer gave, and does what a test says.
pub(crate) struct Script<F> {
    log: Log,
    settings: Settings,
    act: F,
}

/// A handler that notes its calls in a log and then does this.
pub(crate) fn script<F: FnMut(&str, &mut Event<'_>) + Send>(log: &Log, act: F) -> Script<F> {
    Script { log: log.clone(), settings: Settings::default(), act }
}

impl<F> Script<F> {
    /// With other settings.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }
}

impl<F: FnMut(&str, &mut Event<'_>) + Send> Script<F> {
    fn call(&mut self, method: &str, event: &mut Event<'_>) {
        match event.error().and_then(|error| error.peer_error()) {
            Some(error) => self.log.note(format!("{method} {}", error.condition.0)),
            None => self.log.note(method),
        }
        // The address is somebody else's matter.
        if method == "on_listening" {
            event.pass();
        }
        (self.act)(method, event);
    }
}

macro_rules! noted {
    ($($method:ident)*) => {
        /// The names of all methods.
        pub(crate) const METHODS: &[&str] = &[$(stringify!($method)),*];

        impl<F: FnMut(&str, &mut Event<'_>) + Send> Handler for Script<F> {
            fn settings(&self) -> Settings {
                self.settings
            }

            $(fn $method(&mut self, event: &mut Event<'_>) {
                self.call(stringify!($method), event);
            })*
        }
    };
}

noted! {
    on_start on_sendable on_message on_accepted on_rejected on_released on_modified on_settled on_in_doubt
    on_connection_opening on_connection_opened on_connection_closing on_connection_closed on_connection_error
    on_session_opening on_session_opened on_session_closing on_session_closed on_session_error
    on_link_opening on_link_opened on_link_closing on_link_closed on_link_error
    on_disconnected on_transport_error on_listening on_timer_task
    on_transaction_declared on_transaction_committed on_transaction_aborted
    on_transaction_declare_failed on_transaction_commit_failed
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

/// Runs a container with this handler, to its end.
pub(crate) async fn run(handler: impl Handler + 'static) {
    assert_eq!(run_all([Box::new(handler) as Box<dyn Handler>]).await, Ok(()));
}

/// Runs a container with these handlers, to its end.
pub(crate) async fn run_all(handlers: impl IntoIterator<Item = Box<dyn Handler>>) -> Result<(), RunError> {
    soon(Container::with_handlers("me", handlers).run()).await
}

/// Runs a container that listens with this handler, beside one with a handler that is made for its URL, until that ends.
pub(crate) async fn both<H: Handler + 'static>(server: impl Handler + 'static, client: impl FnOnce(String) -> H) {
    let (tell, address) = tokio::sync::oneshot::channel();
    let mut tell = Some(tell);
    let container = Container::new(script(&Log::default(), move |method, event| {
        if method == "on_listening" {
            let address = event.acceptor().unwrap().local_endpoint().unwrap().to_string();
            tell.take().unwrap().send(address).unwrap();
        }
    }));
    container.listen_for(AcceptOptions::new(LocalEndpoint::host("127.0.0.1").port(0)), server);
    let running = container.clone();
    let served = tokio::spawn(async move { running.run().await });
    let url = format!("amqp://{}", address.await.unwrap());
    run(client(url)).await;
    container.stop();
    assert_eq!(soon(served).await.unwrap(), Ok(()));
}

/// A broker that makes nodes as they are asked for.
pub(crate) async fn broker() -> (Broker, String) {
    broker_with(|builder| builder).await
}

pub(crate) async fn broker_with(change: impl FnOnce(Builder) -> Builder) -> (Broker, String) {
    let builder = change(Broker::builder().listen("amqp://127.0.0.1:0").auto_create(true));
    let broker = builder.start().await.unwrap();
    let url = format!("amqp://{}", broker.addr().unwrap());
    (broker, url)
}

/// A peer that a test plays beside the container, and how to connect to it: without SASL, and once.
pub(crate) fn peer(script: impl FnOnce(&TcpListener) + Send + 'static) -> (ConnectOptions, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = once(&format!("amqp://{}", listener.local_addr().unwrap()));
    (options, tokio::task::spawn_blocking(move || script(&listener)))
}

/// A peer that opens, and then does what the test says.
pub(crate) fn opened(script: impl FnOnce(&mut raw::Peer) + Send + 'static) -> (ConnectOptions, JoinHandle<()>) {
    peer(move |listener| script(&mut raw::Peer::accept(listener, 65_536)))
}

/// The attach that grants what the client's own asks for, under the same handle.
pub(crate) fn answer(theirs: &Attach) -> postroad_testkit::Builder<Attach> {
    let name = theirs.name.to_string();
    let ours = if theirs.role == Role::Sender { attach_receiver(&name) } else { attach_sender(&name) };
    ours.handle(theirs.handle.0).with(|attach| {
        (attach.source, attach.target) = (theirs.source.clone(), theirs.target.clone());
        (attach.snd_settle_mode, attach.rcv_settle_mode) = (theirs.snd_settle_mode, theirs.rcv_settle_mode);
    })
}

/// Connects without SASL, and not again.
pub(crate) fn once(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url.parse().unwrap());
    (options.sasl_enabled, options.reconnect) = (false, None);
    options
}
