//! The two ends of a run through the container face: handlers, which hear of credit, messages and outcomes.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postroad_client::Message;
use postroad_container::{
    Connection, Container, Event, EventError, Handler, Link, LinkOptions, RunError, Sender, Settings,
};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::Failure;
use super::ends::{self, PREFETCH, WINDOW};
use super::stage::Stage;

/// An end: its container runs in a task of its own.
struct End {
    stage: Arc<Stage>,
    number: usize,
    seen: Arc<Seen>,
    run: JoinHandle<Result<(), RunError>>,
}

/// The end that sends.
pub(super) struct Sending(End);

/// The end that receives.
pub(super) struct Receiving {
    end: End,
    messages: mpsc::UnboundedReceiver<Message>,
}

/// What the handler of an end has heard.
#[derive(Default)]
struct Seen {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    link: Option<Link>,
    /// Messages that were sent and have no outcome.
    open: usize,
    /// Why there is no link.
    error: Option<String>,
}

impl Seen {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `ready` says something.
    async fn until<R>(&self, mut ready: impl FnMut(&mut State) -> Option<R>) -> Result<R, String> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state();
                if let Some(error) = &state.error {
                    return Err(error.clone());
                }
                if let Some(ready) = ready(&mut state) {
                    return Ok(ready);
                }
            }
            changed.await;
        }
    }
}

/// Attaches one link, and tells what happens to it.
struct Hears {
    stage: Arc<Stage>,
    number: usize,
    queue: String,
    seen: Arc<Seen>,
    messages: Option<mpsc::UnboundedSender<Message>>,
}

impl Hears {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.seen.state());
        self.seen.changed.notify_waiters();
    }

    fn failed(&self, error: Option<&EventError>) {
        let error = error.map_or_else(|| "it is over".to_owned(), ToString::to_string);
        self.change(|state| state.error = Some(error));
    }

    fn told(&self) {
        self.change(|state| state.open -= 1);
    }
}

impl Handler for Hears {
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.prefetch = PREFETCH;
        settings
    }

    fn on_start(&mut self, event: &mut Event<'_>) {
        let options = ends::options(self.stage.proxies[self.number].addr());
        let connection = event.container().connect_with(options);
        let link = || {
            let options = LinkOptions::new().guarantee(self.stage.options.guarantee);
            options.terms(|terms| terms.max_unsettled = Some(WINDOW))
        };
        match &self.messages {
            Some(_) => drop(connection.create_receiver_with(link().source(self.queue.as_str()))),
            None => drop(connection.create_sender_with(link().target(self.queue.as_str()))),
        }
    }

    fn on_connection_opened(&mut self, event: &mut Event<'_>) {
        let client = event.connection().and_then(Connection::client);
        // It is told again when it was made anew; the events go on.
        if let Some(client) = client.filter(|_| self.seen.state().link.is_none()) {
            self.stage.note(self.number, client.events());
        }
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        self.change(|state| state.link = event.link().cloned());
    }

    fn on_link_error(&mut self, event: &mut Event<'_>) {
        // A link that was refused while the connection was cut is asked for again.
        let attached = self.seen.state().link.is_some();
        match event.error() {
            Some(EventError::Attach(_)) if !attached => self.on_start(event),
            error => self.failed(error),
        }
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        self.failed(event.error());
    }

    fn on_sendable(&mut self, _: &mut Event<'_>) {
        self.seen.changed.notify_waiters();
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        if let (Some(message), Some(messages)) = (event.take_message(), &self.messages) {
            let _ = messages.send(message);
        }
    }

    fn on_accepted(&mut self, _: &mut Event<'_>) {
        self.told();
    }

    fn on_rejected(&mut self, event: &mut Event<'_>) {
        self.failed(event.error());
    }

    fn on_released(&mut self, event: &mut Event<'_>) {
        self.failed(event.error());
    }

    fn on_in_doubt(&mut self, event: &mut Event<'_>) {
        self.failed(event.error());
    }
}

impl End {
    fn open(stage: &Arc<Stage>, number: usize, queue: &str, messages: Option<mpsc::UnboundedSender<Message>>) -> Self {
        let (stage, queue, seen) = (Arc::clone(stage), queue.to_owned(), Arc::<Seen>::default());
        let hears = Hears { stage: stage.clone(), number, queue, seen: seen.clone(), messages };
        let container = Container::new(hears);
        let run = tokio::spawn(async move { container.run().await });
        Self { stage, number, seen, run }
    }

    async fn link(&self) -> Result<Link, Failure> {
        self.or_failure(self.seen.until(|state| state.link.clone())).await
    }

    async fn or_failure<R>(&self, what: impl Future<Output = Result<R, String>>) -> Result<R, Failure> {
        let result = self.stage.board.or_stuck(what, || self.sight()).await;
        result.map_err(|error| self.stage.failure(self.number, error))
    }

    fn sight(&self) -> String {
        let state = self.seen.state();
        let (credit, queued) = state.link.as_ref().map_or((0, 0), |link| (link.credit(), link.queued()));
        let name = self.stage.ends[self.number];
        format!("{name} sees a credit of {credit}, {queued} queued, {} open, error {:?}", state.open, state.error)
    }

    async fn close(self) -> Result<(), Failure> {
        let link = self.link().await?;
        link.close();
        link.connection().close();
        let ended = self.run.await.map_err(|error| error.to_string());
        let ended = ended.and_then(|run| run.map_err(|error| error.to_string()));
        ended.map_err(|error| self.stage.failure(self.number, error))
    }
}

impl Sending {
    pub(super) async fn open(stage: &Arc<Stage>, number: usize, queue: &str) -> Result<Self, Failure> {
        let end = End::open(stage, number, queue, None);
        end.link().await?;
        Ok(Self(end))
    }

    /// Hands a message over, once there is room.
    pub(super) async fn submit(&self, message: &Message) -> Result<(), Failure> {
        let sender = |state: &State| state.link.as_ref().and_then(Link::as_sender).cloned();
        // Counted before: its outcome may be told at once.
        let counts = self.0.stage.options.guarantee != postroad_client::Guarantee::AtMostOnce;
        let sent = self.0.seen.until(|state| {
            let sender: Sender = sender(state)?;
            match sender.send(message) {
                Ok(_) => {
                    state.open += usize::from(counts);
                    Some(Ok(()))
                }
                Err(postroad_client::SendError::NoCredit) => None,
                Err(error) => Some(Err(error.to_string())),
            }
        });
        self.0.or_failure(async { sent.await? }).await
    }

    /// Waits until everything has an outcome.
    pub(super) async fn settle(&self) -> Result<(), Failure> {
        self.0.or_failure(self.0.seen.until(|state| (state.open == 0).then_some(()))).await
    }

    pub(super) async fn close(self) -> Result<(), Failure> {
        self.0.close().await
    }
}

impl Receiving {
    pub(super) async fn open(stage: &Arc<Stage>, number: usize, queue: &str) -> Result<Self, Failure> {
        let (tell, messages) = mpsc::unbounded_channel();
        let end = End::open(stage, number, queue, Some(tell));
        end.link().await?;
        Ok(Self { end, messages })
    }

    pub(super) async fn receive(&mut self) -> Result<Message, Failure> {
        match self.messages.recv().await {
            Some(message) => Ok(message),
            None => Err(self.end.stage.failure(self.end.number, "the container has ended")),
        }
    }

    pub(super) async fn fetch(&mut self, timeout: Duration) -> Result<Option<Message>, Failure> {
        tokio::time::timeout(timeout, self.receive()).await.ok().transpose()
    }

    /// What there is to be seen of the link.
    pub(super) fn sight(&self) -> String {
        self.end.sight()
    }

    /// The container does it by itself.
    pub(super) async fn accept(&self, _: &Message) {}

    pub(super) async fn close(self) -> Result<(), Failure> {
        self.end.close().await
    }
}
