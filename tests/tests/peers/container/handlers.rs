//! What the handlers of these suites share, and those that connect: each is one of the patterns of a Proton program.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postroad_client::types::{PeerError, Value};
use postroad_container::{
    ConnectOptions, Connection, Container, Delivery, Event, EventError, Guarantee, Handler, LinkOptions, Message,
    Outcome, Receiver, Sender, Settings,
};
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

fn close(event: &Event<'_>) {
    event.connection().expect("it happened on one").close();
}

/// Sends one message, takes it, and is done when both ends are.
pub(crate) struct Hello {
    pub(crate) there: There,
    pub(crate) log: Log,
}

impl Handler for Hello {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = self.there.connect(event);
        connection.create_receiver(self.there.source.as_str());
        connection.create_sender(self.there.target.as_str());
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if self.log.of("sent").is_empty() {
            event.sender().unwrap().send("Hello World!").unwrap();
            self.log.note("sent");
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        self.log.note(format!("message {}", event.message().unwrap().text().unwrap()));
        self.maybe_close(event);
    }

    fn on_accepted(&mut self, event: &mut Event<'_>) {
        self.log.note("accepted");
        self.maybe_close(event);
    }
}

impl Hello {
    fn maybe_close(&self, event: &Event<'_>) {
        if !self.log.of("accepted").is_empty() && !self.log.of("message").is_empty() {
            close(event);
        }
    }
}

/// Sends numbers, and is done when the outcome of each is known.
pub(crate) struct Sends {
    pub(crate) there: There,
    pub(crate) log: Log,
    pub(crate) guarantee: Guarantee,
    pub(crate) total: u32,
    /// How many may be without an outcome.
    pub(crate) window: usize,
    pub(crate) make: fn(u32) -> Message,
    pub(crate) pace: Pace,
    pub(crate) sender: Option<Sender>,
    pub(crate) sent: u32,
}

impl Sends {
    pub(crate) fn new(there: &There, log: &Log, total: u32) -> Self {
        let (there, log, guarantee) = (there.clone(), log.clone(), Guarantee::AtLeastOnce);
        Self {
            there,
            log,
            guarantee,
            total,
            window: usize::MAX,
            make: numbered,
            pace: Pace::new(0, 0),
            sender: None,
            sent: 0,
        }
    }

    fn pump(&mut self) {
        let sender = self.sender.as_ref().expect("it was made");
        let most = self.total.min(self.pace.reached);
        while self.sent < most && sender.credit() > 0 && sender.queued() < self.window {
            sender.send((self.make)(self.sent)).unwrap();
            self.sent += 1;
        }
    }

    fn told(&mut self, event: &Event<'_>, what: impl Into<String>) {
        self.log.note(what);
        let known: usize = OUTCOMES.iter().map(|outcome| self.log.of(outcome).len()).sum();
        if known == self.total as usize {
            close(event);
        } else {
            self.pump();
        }
    }
}

impl Handler for Sends {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = self.there.connect(event);
        let link = LinkOptions::new().target(self.there.target.as_str()).guarantee(self.guarantee);
        self.sender = Some(connection.create_sender_with(link));
    }

    fn on_link_opened(&mut self, _: &mut Event<'_>) {
        self.pace.go_on();
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if event.sender().unwrap().is_draining() {
            self.log.note("draining");
        }
        self.pump();
        // Nothing is heard of what is settled as it is sent.
        if self.guarantee == Guarantee::AtMostOnce && self.sent == self.total {
            close(event);
        }
    }

    fn on_accepted(&mut self, event: &mut Event<'_>) {
        self.told(event, "accepted");
    }

    fn on_rejected(&mut self, event: &mut Event<'_>) {
        let state = event.delivery().unwrap().remote_state();
        let Some(Outcome::Rejected(error)) = state else { panic!("{state:?}") };
        let condition = error.map(|error| error.condition.0.as_str().to_owned());
        self.told(event, format!("rejected {}", condition.unwrap_or_default()));
    }

    fn on_released(&mut self, event: &mut Event<'_>) {
        self.told(event, "released");
    }

    fn on_modified(&mut self, event: &mut Event<'_>) {
        self.told(event, "modified");
    }

    fn on_settled(&mut self, _: &mut Event<'_>) {
        self.log.note("settled");
    }

    fn on_link_error(&mut self, event: &mut Event<'_>) {
        close(event);
    }
}

/// How many messages go over a link until it is lost, so that there is something left to lose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How often it is lost.
    pub(crate) losses: u32,
    pub(crate) step: u32,
    reached: u32,
}

impl Pace {
    pub(crate) fn new(losses: u32, step: u32) -> Self {
        Self { losses, step, reached: 0 }
    }

    /// The link is attached: gives how many messages more may go.
    fn go_on(&mut self) -> u32 {
        let more = if self.losses == 0 { LAST } else { self.step };
        self.losses = self.losses.saturating_sub(1);
        self.reached += more;
        more
    }
}

/// More than any case has.
const LAST: u32 = 10_000;

/// Takes messages, and is done when so many different ones have come.
pub(crate) struct Receives {
    pub(crate) there: There,
    pub(crate) log: Log,
    pub(crate) guarantee: Guarantee,
    pub(crate) total: usize,
    /// What is lost now and then has its credit by hand.
    pub(crate) pace: Option<Pace>,
    pub(crate) seen: BTreeSet<u32>,
}

impl Receives {
    pub(crate) fn new(there: &There, log: &Log, total: usize) -> Self {
        let (there, log, guarantee) = (there.clone(), log.clone(), Guarantee::AtLeastOnce);
        Self { there, log, guarantee, total, pace: None, seen: BTreeSet::new() }
    }
}

impl Handler for Receives {
    fn settings(&self) -> Settings {
        if self.pace.is_some() { by_hand() } else { Settings::default() }
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        if let Some(pace) = &mut self.pace {
            event.receiver().unwrap().flow(pace.go_on());
        }
    }

    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = self.there.connect(event);
        let link = LinkOptions::new().source(self.there.source.as_str()).guarantee(self.guarantee);
        connection.create_receiver_with(link);
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        let settled = if event.delivery().unwrap().is_settled() { " settled" } else { "" };
        self.log.note(format!("message {}{settled}", number(event)));
        self.seen.insert(number(event));
        if self.seen.len() == self.total {
            event.receiver().unwrap().close();
            close(event);
        }
    }

    fn on_link_error(&mut self, event: &mut Event<'_>) {
        close(event);
    }
}

/// Asks, one question after the other, for answers to a node of its own.
pub(crate) struct Asks {
    pub(crate) there: There,
    pub(crate) log: Log,
    /// Where answers go; a dynamic node where there is no address.
    pub(crate) replies: Option<String>,
    /// The last first.
    pub(crate) questions: Vec<&'static str>,
    sender: Option<Sender>,
}

impl Asks {
    pub(crate) fn new(there: &There, log: &Log, replies: Option<String>) -> Self {
        let questions = vec!["and fall away", "but to wither", "Twas brillig"];
        Self { there: there.clone(), log: log.clone(), replies, questions, sender: None }
    }

    fn ask(&mut self, event: &Event<'_>) {
        let Some(question) = self.questions.last() else { return close(event) };
        let receiver = event.receiver().expect("it happened to one");
        let reply_to = receiver.remote_source().and_then(|source| source.address).expect("replies have an address");
        let message = Message::from(Value::from(*question)).with_reply_to(reply_to).with_id(*question);
        self.sender.as_ref().expect("it was made").send(message).unwrap();
    }
}

impl Handler for Asks {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = self.there.connect(event);
        self.sender = Some(connection.create_sender(self.there.target.as_str()));
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        // There is credit before there is somewhere to answer to.
        if self.log.of("ready").is_empty() {
            self.log.note("ready");
            let connection = event.connection().unwrap();
            match &self.replies {
                Some(address) => connection.create_receiver(address.as_str()),
                None => connection.create_receiver_with(LinkOptions::new().dynamic()),
            };
        }
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        if event.receiver().is_some() {
            self.ask(event);
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        let message = event.take_message().unwrap();
        let asked = self.questions.pop().expect("it was asked");
        assert_eq!(message.correlation_id(), Some(&asked.into()));
        self.log.note(format!("answer {}", message.text().unwrap()));
        self.ask(event);
    }
}

/// Answers each question in capital letters, to where it wants to be answered, until it is told to stop.
pub(crate) struct Answers {
    pub(crate) there: There,
    /// So many, and then it closes.
    pub(crate) total: usize,
}

impl Handler for Answers {
    fn on_start(&mut self, event: &mut Event<'_>) {
        self.there.connect(event).create_receiver(self.there.source.as_str());
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        let (reply_to, reply) = answer(event.message().unwrap());
        let connection = event.connection().unwrap().clone();
        // A link for each answer, which waits for its credit.
        connection.create_sender_with(LinkOptions::new().target(reply_to.as_str()).handler(Replies(Some(reply))));
    }

    fn on_link_closed(&mut self, event: &mut Event<'_>) {
        if event.sender().is_some() {
            self.total -= 1;
        }
        if self.total == 0 {
            close(event);
        }
    }
}

/// The reply to a question, and where it goes.
pub(crate) fn answer(question: &Message) -> (String, Message) {
    let text = question.text().expect("a question is text").to_uppercase();
    let reply = Message::from(Value::from(text)).with_correlation_id(question.id().expect("it has an id").clone());
    (question.reply_to().expect("it wants an answer").to_owned(), reply)
}

/// Sends one message over its link.
struct Replies(Option<Message>);

impl Handler for Replies {
    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if let Some(reply) = self.0.take() {
            event.sender().unwrap().send(reply).unwrap();
        }
    }

    fn on_accepted(&mut self, event: &mut Event<'_>) {
        event.sender().unwrap().close();
    }
}

/// How long things are left as they are.
pub(crate) const LATER: Duration = Duration::from_millis(150);

/// Keeps what has come, and accepts it some time later, or never.
pub(crate) struct AcceptsLater {
    pub(crate) there: There,
    pub(crate) log: Log,
    pub(crate) total: usize,
    pub(crate) accepts: bool,
    kept: Vec<Delivery>,
}

impl AcceptsLater {
    pub(crate) fn new(there: &There, log: &Log, total: usize, accepts: bool) -> Self {
        Self { there: there.clone(), log: log.clone(), total, accepts, kept: Vec::new() }
    }
}

impl Handler for AcceptsLater {
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.auto_accept = false;
        settings
    }

    fn on_start(&mut self, event: &mut Event<'_>) {
        self.there.connect(event).create_receiver(self.there.source.as_str());
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        self.kept.push(event.delivery().unwrap());
        self.log.note("kept");
        if self.accepts {
            event.container().schedule(LATER);
        } else if self.kept.len() == self.total {
            close(event);
        }
    }

    fn on_timer_task(&mut self, _: &mut Event<'_>) {
        let delivery = self.kept.remove(0);
        assert!(!delivery.is_settled());
        delivery.accept().unwrap();
        assert!(delivery.is_settled());
        self.log.note("accepted later");
        self.total -= 1;
        if self.total == 0 {
            delivery.connection().close();
        }
    }
}

/// Sends, and settles some time after the receiver has told the outcome.
pub(crate) struct SettlesLater {
    pub(crate) there: There,
    pub(crate) log: Log,
    pub(crate) total: usize,
    kept: Vec<Delivery>,
}

impl SettlesLater {
    pub(crate) fn new(there: &There, log: &Log, total: usize) -> Self {
        Self { there: there.clone(), log: log.clone(), total, kept: Vec::new() }
    }
}

impl Handler for SettlesLater {
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.auto_settle = false;
        settings
    }

    fn on_start(&mut self, event: &mut Event<'_>) {
        self.there.connect(event).create_sender(self.there.target.as_str());
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        let sent = self.log.of("sent").len();
        for number in sent..self.total.min(sent + event.sender().unwrap().credit() as usize) {
            event.sender().unwrap().send(numbered(number as u32)).unwrap();
            self.log.note("sent");
        }
    }

    fn on_accepted(&mut self, event: &mut Event<'_>) {
        self.log.note("accepted");
        self.kept.push(event.delivery().unwrap());
        event.container().schedule(LATER);
    }

    fn on_timer_task(&mut self, _: &mut Event<'_>) {
        let delivery = self.kept.remove(0);
        delivery.settle().unwrap();
        self.log.note("settled later");
        if self.log.of("settled later").len() == self.total {
            delivery.connection().close();
        }
    }
}

/// Allows messages by hand: nobody sends what was not allowed.
pub(crate) struct ByHand {
    pub(crate) there: There,
    pub(crate) log: Log,
    /// How many are allowed at once, the last first.
    steps: Vec<u32>,
    allowed: usize,
    receiver: Option<Receiver>,
}

impl ByHand {
    pub(crate) fn new(there: &There, log: &Log, steps: &[u32]) -> Self {
        Self { there: there.clone(), log: log.clone(), steps: steps.to_vec(), allowed: 0, receiver: None }
    }
}

impl Handler for ByHand {
    fn settings(&self) -> Settings {
        by_hand()
    }

    fn on_start(&mut self, event: &mut Event<'_>) {
        self.receiver = Some(self.there.connect(event).create_receiver(self.there.source.as_str()));
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        event.container().schedule(LATER);
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        self.log.note("message");
        if self.log.of("message").len() == self.allowed {
            event.container().schedule(LATER);
        }
    }

    fn on_timer_task(&mut self, _: &mut Event<'_>) {
        let receiver = self.receiver.as_ref().expect("it was made");
        self.log.note(format!("came {}", self.log.of("message").len()));
        match self.steps.pop() {
            Some(messages) => {
                self.allowed += messages as usize;
                receiver.flow(messages);
            }
            None => receiver.connection().close(),
        }
    }
}

pub(crate) fn by_hand() -> Settings {
    let mut settings = Settings::default();
    settings.prefetch = 0;
    settings
}

/// Asks for more than there is, and for what is left of its credit.
pub(crate) struct Drains {
    pub(crate) there: There,
    pub(crate) log: Log,
    /// What is known to come.
    pub(crate) total: usize,
    /// How long an answer is waited for.
    pub(crate) patience: Duration,
    pub(crate) since: Option<Instant>,
    pub(crate) receiver: Option<Receiver>,
}

impl Drains {
    pub(crate) fn new(there: &There, log: &Log, total: usize) -> Self {
        let patience = SOON;
        Self { there: there.clone(), log: log.clone(), total, patience, since: None, receiver: None }
    }
}

impl Handler for Drains {
    fn settings(&self) -> Settings {
        by_hand()
    }

    fn on_start(&mut self, event: &mut Event<'_>) {
        self.receiver = Some(self.there.connect(event).create_receiver(self.there.source.as_str()));
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        event.receiver().unwrap().drain(10);
        self.since = Some(Instant::now());
        event.container().schedule(LATER);
    }

    fn on_message(&mut self, _: &mut Event<'_>) {
        self.log.note("message");
    }

    fn on_timer_task(&mut self, event: &mut Event<'_>) {
        let receiver = self.receiver.as_ref().expect("it was made");
        if !receiver.is_draining() && self.log.of("message").len() >= self.total {
            self.log.note(format!("drained, credit {}", receiver.credit()));
        } else if self.since.is_some_and(|since| since.elapsed() > self.patience) {
            self.log.note("not drained");
        } else {
            event.container().schedule(LATER);
            return;
        }
        receiver.connection().close();
    }

    fn on_session_error(&mut self, event: &mut Event<'_>) {
        close(event);
    }
}

/// Asks for a node that the peer makes, at either kind of link.
pub(crate) struct Dynamic {
    pub(crate) there: There,
    pub(crate) log: Log,
    pub(crate) sends: bool,
}

impl Handler for Dynamic {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = self.there.connect(event);
        let link = LinkOptions::new().dynamic().name("made");
        if self.sends {
            connection.create_sender_with(link);
        } else {
            connection.create_receiver_with(link);
        }
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        let link = event.link().unwrap();
        let node = if self.sends { link.remote_target() } else { link.remote_source() };
        self.log.note(format!("node {}", node.and_then(|node| node.address).unwrap_or_default()));
        close(event);
    }

    fn on_link_error(&mut self, event: &mut Event<'_>) {
        close(event);
    }
}

/// Attaches one link of each kind, and is done when both were refused.
pub(crate) struct Refused {
    pub(crate) there: There,
    pub(crate) log: Log,
}

impl Handler for Refused {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = self.there.connect(event);
        connection.create_sender(self.there.target.as_str());
        connection.create_receiver(self.there.source.as_str());
    }

    fn on_link_error(&mut self, event: &mut Event<'_>) {
        let Some(error @ EventError::Attach(_)) = event.error() else { panic!("{:?}", event.error()) };
        let told = error.peer_error().cloned().unwrap_or_else(|| panic!("{error:?}"));
        self.log.note(format!("refused {}", told.condition.0.as_str()));
        if self.log.of("refused").len() == 2 {
            // The session goes on.
            let sender = event.session().unwrap().create_sender("q");
            self.log.note(format!("another {}", sender.name().len()));
        }
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        close(event);
    }
}

/// Opens a connection, and closes it: with an error where there is one.
pub(crate) struct Opens {
    pub(crate) there: There,
    pub(crate) error: Option<PeerError>,
}

impl Handler for Opens {
    fn on_start(&mut self, event: &mut Event<'_>) {
        self.there.connect(event);
    }

    fn on_connection_opened(&mut self, event: &mut Event<'_>) {
        let connection = event.connection().unwrap();
        match self.error.take() {
            Some(error) => connection.close_with(error),
            None => connection.close(),
        }
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        let Some(EventError::Connect(error)) = event.error() else { panic!("{:?}", event.error()) };
        assert!(error.is_authentication(), "{error:?}");
    }
}

/// Opens a connection, sends a message where it is to, and stays for some time, or until the peer has had enough.
pub(crate) struct Stays {
    pub(crate) there: There,
    pub(crate) log: Log,
    pub(crate) sends: bool,
    pub(crate) time: Option<Duration>,
}

impl Stays {
    pub(crate) fn new(there: &There, log: &Log) -> Self {
        Self { there: there.clone(), log: log.clone(), sends: false, time: None }
    }
}

impl Handler for Stays {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = self.there.connect(event);
        if self.sends {
            connection.create_sender(self.there.target.as_str());
        }
        if let Some(time) = self.time {
            event.container().schedule_for(time, Leaves(connection));
        }
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if self.log.of("sent").is_empty() {
            event.sender().unwrap().send("the last one").unwrap();
            self.log.note("sent");
        }
    }
}

struct Leaves(Connection);

impl Handler for Leaves {
    fn on_timer_task(&mut self, _: &mut Event<'_>) {
        self.0.close();
    }
}

/// Takes what comes within a short time.
pub(crate) struct TakesAll {
    pub(crate) there: There,
    pub(crate) log: Log,
}

impl Handler for TakesAll {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = self.there.connect(event);
        connection.create_receiver(self.there.source.as_str());
        event.container().schedule_for(4 * LATER, Leaves(connection));
    }

    fn on_message(&mut self, _: &mut Event<'_>) {
        self.log.note("message");
    }
}
