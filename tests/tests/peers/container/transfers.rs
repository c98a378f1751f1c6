//! Handlers that connect, and send and receive: each is one of the patterns of a Proton program.

use std::collections::BTreeSet;

use postroad_client::types::Value;
use postroad_container::{Event, Guarantee, Handler, LinkOptions, Message, Outcome, Sender, Settings};

use super::handlers::{Log, OUTCOMES, Pace, There, answer, by_hand, close, close_soon, number, numbered};

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

    fn on_session_error(&mut self, event: &mut Event<'_>) {
        close_soon(event);
    }
}

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

    fn on_session_error(&mut self, event: &mut Event<'_>) {
        close_soon(event);
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
