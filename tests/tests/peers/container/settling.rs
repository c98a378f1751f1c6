//! Handlers that connect, and have settling and credit in their own hands.

use std::time::{Duration, Instant};

use postroad_container::{Delivery, Event, Handler, Receiver, Settings};
use postroad_tests::ours::SOON;

use super::handlers::{LATER, Leaves, Log, There, by_hand, close, numbered};

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
