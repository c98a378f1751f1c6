//! What the handlers of these suites share.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postroad_client::types::Value;
use postroad_container::{ConnectOptions, Connection, Container, Event, Handler, Message, Settings};
use postroad_tests::ours::SOON;

/// What has happened, in a line each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The last lines.
    fn last(&self) -> Vec<String> {
        let all = self.all();
        all[all.len().saturating_sub(20)..].to_vec()
    }

    /// What follows this word, of each line that begins with it.
    pub(crate) fn of(&self, word: &str) -> Vec<String> {
        let rest = |line: &String| Some(line.strip_prefix(word)?.trim_start().to_owned());
        self.all().iter().filter_map(rest).collect()
    }

    /// Waits until so many lines begin with this word.
    pub(crate) async fn wait(&self, word: &str, count: usize) {
        let started = Instant::now();
        while self.of(word).len() < count {
            assert!(started.elapsed() < SOON, "no {count} of {word:?}: {:?}", self.last());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Expects that nothing has gone wrong.
    pub(crate) fn expect_peace(&self) {
        let wrong: Vec<_> = self.all().into_iter().filter(|line| line.contains("error")).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

/// Runs a container with a handler to its end; what its connections, sessions and links go through is noted beside it.
pub(crate) async fn play(handler: impl Handler + 'static, log: &Log) {
    let both = [Box::new(handler) as Box<dyn Handler>, Box::new(Watcher(log.clone()))];
    let ran = tokio::time::timeout(2 * SOON, Container::with_handlers("postroad-face", both).run()).await;
    ran.unwrap_or_else(|_| panic!("it does not end: {:?}", log.last())).unwrap();
}

/// Notes what nobody asked for, and what ends.
pub(crate) struct Watcher(pub(crate) Log);

impl Watcher {
    fn error(&self, of: &str, event: &Event<'_>) {
        let Some(error) = event.error() else { return self.0.note(format!("{of} error without one")) };
        let condition = error.peer_error().map_or("", |told| told.condition.0.as_str());
        self.0.note(format!("{of} error {condition}: {error}"));
    }
}

macro_rules! watched {
    (noted $($noted:ident $text:literal)+; errors $($error:ident $of:literal)+;) => {
        impl Handler for Watcher {
            $(fn $noted(&mut self, _: &mut Event<'_>) {
                self.0.note($text);
            })+
            $(fn $error(&mut self, event: &mut Event<'_>) {
                self.error($of, event);
            })+

            fn on_listening(&mut self, event: &mut Event<'_>) {
                let endpoint = event.acceptor().and_then(|acceptor| acceptor.local_endpoint());
                self.0.note(format!("listening {}", endpoint.expect("it listens")));
            }
        }
    };
}

watched! {
    noted on_connection_opened "connection opened"
        on_connection_closing "connection closing"
        on_connection_closed "connection closed"
        on_session_closed "session closed"
        on_link_opened "link opened"
        on_link_closing "link closing"
        on_link_closed "link closed"
        on_disconnected "disconnected";
    errors on_connection_error "connection"
        on_session_error "session"
        on_link_error "link"
        on_transport_error "transport"
        on_in_doubt "doubt";
}

/// Where a container connects, and the nodes that are there.
#[derive(Debug, Clone)]
pub(crate) struct There {
    pub(crate) options: ConnectOptions,
    pub(crate) target: String,
    /// Gives what was sent to the target.
    pub(crate) source: String,
}

impl There {
    pub(crate) fn connect(&self, event: &Event<'_>) -> Connection {
        event.container().connect_with(self.options.clone())
    }

    pub(crate) fn to(&self, target: &str) -> Self {
        Self { target: target.to_owned(), ..self.clone() }
    }

    pub(crate) fn from(&self, source: &str) -> Self {
        Self { source: source.to_owned(), ..self.clone() }
    }
}

/// A message with a number as body.
pub(crate) fn numbered(number: u32) -> Message {
    Message::from(Value::from(number))
}

pub(crate) fn number(event: &Event<'_>) -> u32 {
    match event.message().and_then(Message::value) {
        Some(Value::Uint(number)) => *number,
        _ => panic!("no number: {:?}", event.message()),
    }
}

/// What may be heard of a message.
pub(crate) const OUTCOMES: [&str; 4] = ["accepted", "rejected", "released", "modified"];

pub(crate) fn close(event: &Event<'_>) {
    event.connection().expect("it happened on one").close();
}

/// Behind whatever else is told of what has ended.
pub(crate) fn close_soon(event: &Event<'_>) {
    event.container().schedule_for(LATER, Leaves(event.connection().expect("it happened on one").clone()));
}

/// How many messages go over a link until it is lost, so that there is something left to lose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How often it is lost.
    pub(crate) losses: u32,
    pub(crate) step: u32,
    pub(crate) reached: u32,
}

impl Pace {
    pub(crate) fn new(losses: u32, step: u32) -> Self {
        Self { losses, step, reached: 0 }
    }

    /// The link is attached: gives how many messages more may go.
    pub(crate) fn go_on(&mut self) -> u32 {
        let more = if self.losses == 0 { LAST } else { self.step };
        self.losses = self.losses.saturating_sub(1);
        self.reached += more;
        more
    }
}

/// More than any case has.
const LAST: u32 = 10_000;

/// The reply to a question, and where it goes.
pub(crate) fn answer(question: &Message) -> (String, Message) {
    let text = question.text().expect("a question is text").to_uppercase();
    let reply = Message::from(Value::from(text)).with_correlation_id(question.id().expect("it has an id").clone());
    (question.reply_to().expect("it wants an answer").to_owned(), reply)
}

/// How long things are left as they are.
pub(crate) const LATER: Duration = Duration::from_millis(150);

pub(crate) fn by_hand() -> Settings {
    let mut settings = Settings::default();
    settings.prefetch = 0;
    settings
}

/// Closes a connection when its time has come.
pub(crate) struct Leaves(pub(crate) Connection);

impl Handler for Leaves {
    fn on_timer_task(&mut self, _: &mut Event<'_>) {
        self.0.close();
    }
}
