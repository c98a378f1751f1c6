//! The container: what connections are made in, and what runs their handlers.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use postroad_address::BrokerUrl;
use postroad_client as client;
use postroad_client::{AcceptOptions, ConnectOptions, Message, TokenProvider};
use tokio::time::Instant;

use crate::reactor::Reactor;
use crate::requester::{Answer, Requester};
use crate::{
    Acceptor, Connection, Event, EventError, Handler, Link, LinkOptions, Receiver, RunError, Sender, Session,
    Transaction,
};

/// What connections and links are made in, and what calls the handlers. Clones are handles of the same container, for
/// whatever thread.
#[doc(alias = "Reactor")]
#[derive(Clone)]
pub struct Container {
    shared: Arc<Shared>,
}

struct Shared {
    id: String,
    inbox: Mutex<Inbox>,
    /// Whether something is in it.
    waiting: AtomicBool,
    timers: AtomicU64,
}

/// What waits for the run to see it.
#[derive(Default)]
pub(crate) struct Inbox {
    /// Those that the container was made with, until it runs.
    handlers: Option<Vec<Box<dyn Handler>>>,
    commands: Vec<Command>,
    waker: Option<Waker>,
    /// Whether nobody looks into it any more.
    over: bool,
}

/// What handles ask of the run.
pub(crate) enum Command {
    Connect(Connection, Result<Box<ConnectOptions>, EventError>, Option<Box<dyn Handler>>),
    Listen(Acceptor, Result<Box<AcceptOptions>, EventError>, Option<Box<dyn Handler>>),
    Unlisten(Acceptor),
    Begin(Session),
    AttachSender(Sender, Option<Box<dyn Handler>>),
    AttachReceiver(Receiver, Option<Box<dyn Handler>>),
    Detach(Link),
    /// Somebody has read of what comes in parts.
    Resume(Receiver),
    KeepToken(Connection, String, Arc<dyn TokenProvider>),
    Ask(Requester, Box<Message>, Answer),
    Declare(Transaction),
    Discharge(Transaction),
    End(Session),
    Close(Connection),
    Schedule(Timer, Instant, Option<Box<dyn Handler>>),
    Cancel(Timer),
    Inject(Box<dyn FnOnce(&mut Event<'_>) + Send>),
    Stop,
}

/// A moment that was asked for with [`Container::schedule`].
#[doc(alias = "Task")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer(u64);

impl Container {
    /// A container with a handler of whatever no narrower one has a method for.
    pub fn new(handler: impl Handler + 'static) -> Self {
        Self::with_handlers(crate::random_name(), [Box::new(handler) as Box<dyn Handler>])
    }

    /// A container of this id, with several handlers, each of which hears of whatever no narrower one has a method for.
    pub fn with_handlers(
        container_id: impl Into<String>,
        handlers: impl IntoIterator<Item = Box<dyn Handler>>,
    ) -> Self {
        let inbox = Inbox { handlers: Some(handlers.into_iter().collect()), ..Inbox::default() };
        let (inbox, waiting, timers) = (Mutex::new(inbox), AtomicBool::new(false), AtomicU64::new(0));
        Self { shared: Arc::new(Shared { id: container_id.into(), inbox, waiting, timers }) }
    }

    /// The id by which peers know the container: a random one unless it was chosen.
    #[must_use]
    pub fn container_id(&self) -> &str {
        &self.shared.id
    }

    /// Runs: calls handlers until there is no connection, no timer and nothing else to do, or until [`Container::stop`].
    ///
    /// # Errors
    /// [`RunError::Panicked`] when a handler has panicked, once the others are done; [`RunError::Again`] when it has run.
    ///
    /// # Cancel safety
    /// Dropped, it is over: connections are closed, without anybody being told.
    pub async fn run(&self) -> Result<(), RunError> {
        let handlers = self.inbox().handlers.take().ok_or(RunError::Again)?;
        Reactor::new(self.clone(), handlers).run().await
    }

    /// Connects to the broker of a URL. What goes wrong is told to
    /// [`Handler::on_transport_error`](crate::Handler::on_transport_error).
    pub fn connect(&self, url: &str) -> Connection {
        match url.parse() {
            Ok(url) => self.connect_with(ConnectOptions::new(url)),
            Err(error) => self.begin_to_connect(Err(EventError::Url(error)), None),
        }
    }

    /// Connects to the first of these brokers that can be reached, and to another one when the connection is lost.
    #[doc(alias = "urls")]
    #[doc(alias = "address")]
    pub fn connect_urls(&self, urls: &[&str]) -> Connection {
        let parsed: Result<Vec<BrokerUrl>, _> = urls.iter().map(|url| url.parse()).collect();
        let options = match parsed {
            Ok(urls) if urls.is_empty() => Err(EventError::Connect(client::ConnectError::Options("no URL".to_owned()))),
            Ok(mut urls) => {
                let mut options = ConnectOptions::new(urls.remove(0));
                options.failover = urls;
                Ok(options)
            }
            Err(error) => Err(EventError::Url(error)),
        };
        match options {
            Ok(options) => self.connect_with(options),
            Err(error) => self.begin_to_connect(Err(error), None),
        }
    }

    /// Connects as the options say. The id of the container counts, whatever id they have.
    #[doc(alias = "connect")]
    pub fn connect_with(&self, mut options: ConnectOptions) -> Connection {
        options.container_id.clone_from(&self.shared.id);
        self.begin_to_connect(Ok(options), None)
    }

    /// As [`Container::connect_with`], with a handler of the connection and what is on it.
    #[doc(alias = "connect")]
    pub fn connect_for(&self, mut options: ConnectOptions, handler: impl Handler + 'static) -> Connection {
        options.container_id.clone_from(&self.shared.id);
        self.begin_to_connect(Ok(options), Some(Box::new(handler)))
    }

    /// Listens on the address of a URL, `amqp://127.0.0.1:5672` for one: everybody may come, and needs to show nothing.
    /// [`Handler::on_listening`](crate::Handler::on_listening) tells the port where the URL has 0;
    /// [`on_transport_error`](crate::Handler::on_transport_error) tells what goes wrong.
    pub fn listen(&self, url: &str) -> Acceptor {
        self.begin_to_listen(crate::acceptor::options_for(url), None)
    }

    /// Listens as the options say: with TLS, and for whom a store of credentials knows. The id of the container counts,
    /// whatever id they have.
    #[doc(alias = "listen")]
    pub fn listen_with(&self, options: AcceptOptions) -> Acceptor {
        self.begin_to_listen(Ok(options), None)
    }

    /// As [`Container::listen_with`], with a handler of the acceptor, of the connections that come to it, and of what is on
    /// them.
    #[doc(alias = "listen")]
    pub fn listen_for(&self, options: AcceptOptions, handler: impl Handler + 'static) -> Acceptor {
        self.begin_to_listen(Ok(options), Some(Box::new(handler)))
    }

    fn begin_to_listen(
        &self,
        options: Result<AcceptOptions, EventError>,
        handler: Option<Box<dyn Handler>>,
    ) -> Acceptor {
        let acceptor = Acceptor::new(self);
        let options = options.map(|mut options| {
            options.container_id.clone_from(&self.shared.id);
            Box::new(options)
        });
        self.command(Command::Listen(acceptor.clone(), options, handler));
        acceptor
    }

    /// A sender on a connection of its own. The path of the URL is the address that messages go to.
    #[doc(alias = "open_sender")]
    pub fn create_sender(&self, url: &str) -> Sender {
        self.create_sender_with(url, LinkOptions::new())
    }

    /// A sender on a connection of its own. The path of the URL is the address that messages go to, where the options name no
    /// target.
    #[doc(alias = "create_sender")]
    pub fn create_sender_with(&self, url: &str, mut options: LinkOptions) -> Sender {
        if options.target.address.is_none() && !options.dynamic {
            options.target.address = path_of(url);
        }
        self.connect(url).create_sender_with(options)
    }

    /// A receiver on a connection of its own. The path of the URL is the address that messages come from.
    #[doc(alias = "open_receiver")]
    pub fn create_receiver(&self, url: &str) -> Receiver {
        self.create_receiver_with(url, LinkOptions::new())
    }

    /// A receiver on a connection of its own. The path of the URL is the address that messages come from, where the options name
    /// no source.
    #[doc(alias = "create_receiver")]
    pub fn create_receiver_with(&self, url: &str, mut options: LinkOptions) -> Receiver {
        if options.source.address.is_none() && !options.dynamic {
            options.source.address = path_of(url);
        }
        self.connect(url).create_receiver_with(options)
    }

    /// As [`Container::run`], for a thread that has nothing else to do.
    ///
    /// # Errors
    /// As there; [`RunError::Blocking`] inside an async runtime, which would stand still.
    pub fn run_blocking(&self) -> Result<(), RunError> {
        if tokio::runtime::Handle::try_current().is_ok() {
            return Err(RunError::Blocking(client::BlockingError::InsideRuntime));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| RunError::Runtime(error.kind()))?;
        runtime.block_on(async {
            let ran = self.run().await;
            // Connections that were left close behind the run, and nobody else would drive them.
            tokio::task::yield_now().await;
            ran
        })
    }

    fn begin_to_connect(
        &self,
        options: Result<ConnectOptions, EventError>,
        handler: Option<Box<dyn Handler>>,
    ) -> Connection {
        let connection = Connection::new(self, options.as_ref().ok());
        self.command(Command::Connect(connection.clone(), options.map(Box::new), handler));
        connection
    }

    /// Has [`Handler::on_timer_task`](crate::Handler::on_timer_task) called once this time has passed.
    pub fn schedule(&self, delay: Duration) -> Timer {
        self.schedule_at(delay, None)
    }

    /// As [`Container::schedule`], for a handler of its own, which goes with the call.
    #[doc(alias = "schedule")]
    pub fn schedule_for(&self, delay: Duration, task: impl Handler + 'static) -> Timer {
        self.schedule_at(delay, Some(Box::new(task)))
    }

    fn schedule_at(&self, delay: Duration, task: Option<Box<dyn Handler>>) -> Timer {
        let timer = Timer(self.shared.timers.fetch_add(1, Ordering::Relaxed));
        let now = Instant::now();
        // A time beyond the clock's range comes as late as can be.
        let at = now.checked_add(delay).unwrap_or_else(|| now + Duration::from_secs(u64::from(u32::MAX)));
        self.command(Command::Schedule(timer, at, task));
        timer
    }

    /// Has a moment pass without a call.
    pub fn cancel(&self, timer: Timer) {
        self.command(Command::Cancel(timer));
    }

    /// Does something where handlers are called, between two of their calls: from whatever thread.
    #[doc(alias = "EventInjector")]
    #[doc(alias = "ApplicationEvent")]
    #[doc(alias = "work_queue")]
    #[doc(alias = "trigger")]
    pub fn inject(&self, task: impl FnOnce(&mut Event<'_>) + Send + 'static) {
        self.command(Command::Inject(Box::new(task)));
    }

    /// Ends the run behind the call that is being made. Connections that are open are closed.
    pub fn stop(&self) {
        self.command(Command::Stop);
    }

    pub(crate) fn command(&self, command: Command) {
        let mut inbox = self.inbox();
        if inbox.over {
            // It holds the container, which would hold it.
            drop(inbox);
            return drop(command);
        }
        inbox.commands.push(command);
        self.shared.waiting.store(true, Ordering::Relaxed);
        // One that runs looks by itself.
        let waker = inbox.waker.take();
        drop(inbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes what waits.
    pub(crate) fn take_commands(&self, commands: &mut Vec<Command>) {
        let mut inbox = self.inbox();
        std::mem::swap(commands, &mut inbox.commands);
        self.shared.waiting.store(false, Ordering::Relaxed);
    }

    /// Has nothing wait any more: the run is over.
    pub(crate) fn close_inbox(&self) {
        let left = {
            let mut inbox = self.inbox();
            inbox.over = true;
            std::mem::take(&mut inbox.commands)
        };
        drop(left);
    }

    /// Leaves a waker; `true` where something waits already.
    pub(crate) fn leave_waker(&self, waker: &Waker) -> bool {
        let mut inbox = self.inbox();
        if inbox.commands.is_empty() && !inbox.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            inbox.waker = Some(waker.clone());
        }
        !inbox.commands.is_empty()
    }

    /// Whether something waits.
    pub(crate) fn has_commands(&self) -> bool {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn path_of(url: &str) -> Option<String> {
    // What is wrong with it is told by the connection.
    BrokerUrl::parse(url).ok()?.path().map(ToOwned::to_owned)
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container").field("id", &self.shared.id).finish_non_exhaustive()
    }
}
