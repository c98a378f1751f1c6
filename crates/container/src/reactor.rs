//! The run of a container: one task that waits for everything that can happen, and calls the handlers.

mod connections;
mod handlers;
mod links;
mod messages;
mod parts;
mod redirects;
mod services;
mod serving;
mod transactions;

use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use postroad_client as client;
use postroad_client::types::{ErrorCondition, PeerError};
use postroad_client::{
    AcceptError, AttachError, CbsError, ConnectionError, ConnectionEvent, ConnectionEvents, ExpiredLink, Incoming,
    IncomingConnection, LinkError, Message, Part, ReceiveError, Redirect, RequestError, SenderNews, Taken, Ticket,
    TransactionError,
};
use tokio::time::{Instant, Sleep};

pub(crate) use self::handlers::HandlerSlot;
use self::handlers::{Handlers, Method, Scopes, method};
use self::serving::Listening;
use crate::container::Command;
use crate::event::Subject;
use crate::requester::Answer;
use crate::{
    Acceptor, Connection, Container, Event, EventError, Handler, Link, Receiver, RunError, Sender, Session, Timer,
    Transaction,
};

/// Something that the run waits for: how it ends is what has happened.
type Source = Pin<Box<dyn Future<Output = Happened> + Send>>;

/// A connection that is not over.
#[derive(Default)]
struct Known {
    /// Sessions that the peer has begun.
    sessions: Vec<Session>,
    /// Links that are attached, by name and by whether they send.
    links: HashMap<(String, bool), Link>,
    /// What it has come to.
    acceptor: Option<Acceptor>,
    /// Where its peer has sent links, and the connections to there.
    redirects: Vec<(Redirect, Connection)>,
}

enum Happened {
    /// An acceptor listens, or cannot.
    Listening(Acceptor, Result<client::Acceptor, AcceptError>),
    /// Somebody connects; nothing where the acceptor was closed.
    Arrived(Acceptor, Option<Result<IncomingConnection, AcceptError>>),
    Expired(Acceptor, Option<ExpiredLink>),
    Accepted(Acceptor, Option<Result<client::Connection, AcceptError>>),
    /// The peer opens something.
    Incoming(Connection, Result<Incoming, ConnectionError>),
    /// A connection has opened, or will not; nothing where it was given up.
    Opened(Connection, Option<Result<client::Connection, EventError>>),
    OnConnection(Connection, ConnectionEvents, Option<ConnectionEvent>),
    Begun(Session, Result<(), AttachError>),
    SessionOver(Session, LinkError),
    SenderAttached(Sender, Result<client::Sender, AttachError>),
    ReceiverAttached(Receiver, Result<client::Receiver, AttachError>),
    AtSender(Sender, Ticket, SenderNews),
    AtReceiver(Receiver, Ticket, Result<Taken, LinkError>),
    PartAt(Receiver, Ticket, Result<Part, ReceiveError>),
    TokenPut(Connection, Result<(), CbsError>),
    Answered(Answer, Result<Message, RequestError>),
    Declared(Transaction, Result<client::Transaction, TransactionError>),
    Discharged(Transaction, bool, Result<(), TransactionError>),
    /// Something was waited for that nobody hears of.
    Done,
}

pub(crate) struct Reactor {
    container: Container,
    handlers: Handlers,
    sources: FuturesUnordered<Source>,
    /// Connections that are not over, with their links that are attached.
    connections: HashMap<usize, Known>,
    acceptors: HashMap<usize, Listening>,
    timers: BTreeMap<(Instant, Timer), Option<Box<dyn Handler>>>,
    sleep: Option<Pin<Box<Sleep>>>,
    stopped: bool,
}

/// Ends the inbox of a container with its run, in whatever way that ends.
struct Over<'a>(&'a Container);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.close_inbox();
    }
}

impl Reactor {
    pub(crate) fn new(container: Container, handlers: Vec<Box<dyn Handler>>) -> Self {
        Self {
            container,
            handlers: Handlers::new(handlers),
            sources: FuturesUnordered::new(),
            connections: HashMap::new(),
            acceptors: HashMap::new(),
            timers: BTreeMap::new(),
            sleep: None,
            stopped: false,
        }
    }

    pub(crate) async fn run(mut self) -> Result<(), RunError> {
        let container = self.container.clone();
        let _over = Over(&container);
        self.call(Scopes::CONTAINER, &mut Event::new(&container, Subject::Container), method!(on_start));
        let mut commands = Vec::new();
        loop {
            self.container.take_commands(&mut commands);
            for command in commands.drain(..) {
                self.obey(command);
            }
            if self.stopped {
                break;
            }
            self.fire_timers();
            // Who has much to do lets others of the runtime do something too.
            tokio::task::consume_budget().await;
            let Some(happened) = poll_fn(|cx| self.poll(cx)).await else { break };
            self.tell(happened);
        }
        self.handlers.end().map_or(Ok(()), Err)
    }

    /// What has happened, or nothing where nothing can happen any more. Commands and timers that are due are nothing much.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Happened>> {
        if self.container.leave_waker(cx.waker()) {
            // They are obeyed before anything else is looked at.
            return Poll::Ready(Some(Happened::Done));
        }
        let nothing_comes = self.connections.is_empty() && self.timers.is_empty() && self.sources.is_empty();
        let nobody_hears = self.handlers.are_gone() && self.timers.values().all(Option::is_none);
        if nothing_comes || nobody_hears {
            return Poll::Ready(None);
        }
        if let Poll::Ready(Some(happened)) = self.sources.poll_next_unpin(cx) {
            return Poll::Ready(Some(happened));
        }
        let Some((&(at, _), _)) = self.timers.first_key_value() else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx).map(|()| Some(Happened::Done))
    }

    fn fire_timers(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            let (timer, slot) = (entry.key().1, HandlerSlot::default());
            self.handlers.add(&slot, entry.remove());
            let container = self.container.clone();
            let mut event = Event::new(&container, Subject::Timer(timer));
            self.call(Scopes::of_slot(&slot), &mut event, method!(on_timer_task));
            self.handlers.remove(&slot);
        }
    }

    fn wait_for(&self, source: impl Future<Output = Happened> + Send + 'static) {
        self.sources.push(Box::pin(source));
    }

    /// Calls the handlers of these scopes; `false` where nobody has handled it, for one has panicked.
    fn call(&mut self, scopes: Scopes, event: &mut Event<'_>, method: Method) -> bool {
        let well = self.handlers.call(scopes, event, method);
        if !well {
            self.close_the_unheard(scopes, event);
        }
        well
    }

    /// Closes what a handler was for that has panicked: nobody hears of it any more, and its peer would wait.
    fn close_the_unheard(&self, scopes: Scopes, event: &Event<'_>) {
        let error = PeerError::new(ErrorCondition::INTERNAL_ERROR, "what handles it has failed");
        match (self.handlers.dead(scopes), event.link(), event.connection()) {
            (Some(Scopes::NARROWEST), Some(link), _) => return link.close_with(error),
            (None, ..) if !self.handlers.own_are_gone() => return,
            (_, _, Some(connection)) => connection.close_with(error),
            _ => {}
        }
        if let Some(acceptor) = event.acceptor() {
            acceptor.close();
        }
    }

    fn obey(&mut self, command: Command) {
        if self.stopped {
            return;
        }
        match command {
            Command::Connect(connection, options, handler) => self.connect(connection, options, handler),
            Command::Listen(acceptor, options, handler) => self.listen(acceptor, options, handler),
            Command::Unlisten(acceptor) => self.unlisten(&acceptor),
            Command::Begin(session) => self.begin(session),
            Command::AttachSender(sender, handler) => self.attach_sender(sender, handler),
            Command::AttachReceiver(receiver, handler) => self.attach_receiver(receiver, handler),
            Command::Detach(link) => self.detach(&link),
            Command::Resume(receiver) => self.watch_parts(receiver, Ticket::default()),
            Command::KeepToken(connection, audience, provider) => self.keep_token(connection, audience, provider),
            Command::Ask(requester, request, answer) => self.ask(requester, *request, answer),
            Command::Declare(transaction) => self.declare(transaction),
            Command::Discharge(transaction) => self.discharge(transaction),
            Command::End(session) => self.end(session),
            Command::Close(connection) => self.close(&connection),
            Command::Schedule(timer, at, task) => {
                self.timers.insert((at, timer), task);
            }
            Command::Cancel(timer) => self.timers.retain(|(_, known), _| *known != timer),
            Command::Inject(task) => {
                let container = self.container.clone();
                let mut event = Event::new(&container, Subject::Container);
                self.handlers.guarded("inject", || task(&mut event));
            }
            Command::Stop => self.stopped = true,
        }
    }

    /// Calls the handlers of what has happened.
    fn tell(&mut self, happened: Happened) {
        match happened {
            Happened::Done => {}
            Happened::Listening(acceptor, listening) => self.listening(acceptor, listening),
            Happened::Arrived(acceptor, next) => self.arrived(acceptor, next),
            Happened::Expired(acceptor, expired) => self.expired(acceptor, expired),
            Happened::Accepted(acceptor, opened) => self.accepted(&acceptor, opened),
            Happened::Incoming(connection, incoming) => self.incoming(connection, incoming),
            Happened::Opened(connection, opened) => self.opened(&connection, opened),
            Happened::OnConnection(connection, events, event) => self.on_connection(connection, events, event),
            Happened::Begun(session, begun) => self.begun(session, begun),
            Happened::SessionOver(session, error) => self.session_over(&session, error),
            Happened::SenderAttached(sender, attached) => self.sender_attached(sender, attached),
            Happened::ReceiverAttached(receiver, attached) => {
                let in_parts = receiver.inner.terms.in_parts;
                self.receiver_attached(receiver, attached, in_parts);
            }
            Happened::AtSender(sender, ticket, news) => self.at_sender(sender, ticket, news),
            Happened::AtReceiver(receiver, ticket, taken) => self.at_receiver(receiver, ticket, taken),
            Happened::PartAt(receiver, ticket, part) => self.part_at(receiver, ticket, part),
            Happened::TokenPut(connection, result) => self.token_put(&connection, result),
            Happened::Answered(answer, result) => self.answered(answer, result),
            Happened::Declared(transaction, declared) => self.declared(&transaction, declared),
            Happened::Discharged(transaction, commit, result) => self.discharged(&transaction, commit, result),
        }
    }
}
