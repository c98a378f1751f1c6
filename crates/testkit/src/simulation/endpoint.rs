//! One end of a link, and the user behind it: what it does, and what it makes of the engine's events.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use postroad_amqp::v1_0::{Connection, Delivery, Event, LinkId, LinkState, LinkTerms, Message, SessionId, Update};
use postroad_codec::v1_0::{
    AttachTarget, DeliveryNumber, DeliveryState, DeliveryTag, Modified, ReceiverSettleMode, Rejected, Role,
    SenderSettleMode, Source, Target,
};

use super::ledger::{End, Ledger};
use super::{Guarantee, Trace};
use crate::{Rng, error};

/// One end of a link, which outlives connections.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) role: Role,
    pub(super) guarantee: Guarantee,
    pub(super) life: Life,
    /// When a server forgets what it keeps, and when a client attaches again.
    pub(super) at: Instant,
    /// Whether our end has closed the link for good, and the peer has not answered.
    pub(super) closing: bool,
    pub(super) habits: Habits,
    // The sending end.
    pub(super) queue: VecDeque<usize>,
    next_tag: u64,
    next_token: u64,
    /// What was handed over and is not over, by token: in the order in which it was sent.
    pub(super) outstanding: BTreeMap<u64, Outstanding>,
    /// The message that is handed over in parts: its delivery, and what is left of it.
    parts: Option<(DeliveryNumber, Vec<u8>)>,
    /// When the link is to be detached, so that what did not fit into an unsettled map is told with the next attach.
    round_at: Option<Instant>,
    // The receiving end.
    /// What was taken and is not over.
    pub(super) open: Vec<Open>,
    /// The messages of which parts were taken: one that arrives, and others that wait for another attach.
    pub(super) reading: Vec<Reading>,
}

/// Whether a link is attached, and to what.
#[derive(Debug)]
pub(super) enum Life {
    /// Nothing is known of it.
    None,
    /// The engine of the connection of this number has it.
    Live(usize, SessionId, LinkId),
    /// It waits to be attached again.
    Kept(Box<LinkState>),
}

/// What a user finds when it acts.
pub(super) struct Scene<'a> {
    /// Whether nothing is disturbed any more: then users come to an end.
    pub(super) calm: bool,
    pub(super) now: Instant,
    pub(super) ledger: &'a mut Ledger,
    pub(super) rng: &'a mut Rng,
    pub(super) trace: &'a mut Trace,
}

/// How a user behaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    pub(super) auto_settle: bool,
    pub(super) in_parts: bool,
    /// Whether delivery tags are as long as they may be.
    pub(super) long_tags: bool,
    /// Whether one who receives may change its mind until the sender has settled.
    pub(super) fickle: bool,
    /// Milliseconds that an outcome waits for, at most.
    pub(super) patience: usize,
    /// Credit, at most.
    pub(super) credit: usize,
}

#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) id: usize,
    tag: DeliveryTag,
    delivery: DeliveryNumber,
    /// The outcome, where the user is to settle by itself, and when it does.
    outcome: Option<DeliveryState>,
    settle_at: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) tag: DeliveryTag,
    number: DeliveryNumber,
    /// Whether the number is one of this connection.
    current: bool,
    pub(super) id: usize,
    decided: bool,
    changed: bool,
    due: Instant,
}

#[derive(Debug)]
pub(super) struct Reading {
    tag: DeliveryTag,
    number: DeliveryNumber,
    /// Whether the number is one of this connection.
    current: bool,
    bytes: Vec<u8>,
}

impl Endpoint {
    pub(super) fn new(role: Role, guarantee: Guarantee, habits: Habits, now: Instant) -> Self {
        Self {
            role,
            guarantee,
            life: Life::None,
            at: now,
            closing: false,
            habits,
            queue: VecDeque::new(),
            next_tag: 0,
            next_token: 0,
            outstanding: BTreeMap::new(),
            parts: None,
            round_at: None,
            open: Vec::new(),
            reading: Vec::new(),
        }
    }

    pub(super) fn terms(&self) -> LinkTerms {
        LinkTerms {
            source: Some(Source::default()),
            target: Some(AttachTarget::Target(Target::default())),
            snd_settle_mode: match self.guarantee {
                Guarantee::AtMostOnce => SenderSettleMode::SETTLED,
                Guarantee::AtLeastOnce | Guarantee::ExactlyOnce => SenderSettleMode::UNSETTLED,
            },
            rcv_settle_mode: match self.guarantee {
                Guarantee::ExactlyOnce => ReceiverSettleMode::SECOND,
                Guarantee::AtMostOnce | Guarantee::AtLeastOnce => ReceiverSettleMode::FIRST,
            },
            keep: self.guarantee != Guarantee::AtMostOnce,
            resend_lost: self.guarantee != Guarantee::ExactlyOnce,
            auto_settle: self.habits.auto_settle,
            in_parts: self.habits.in_parts,
            ..LinkTerms::default()
        }
    }

    /// The link, where the engine of this connection has it.
    pub(super) fn on(&self, connection: usize) -> Option<LinkId> {
        match self.life {
            Life::Live(of, _, link) if of == connection => Some(link),
            _ => None,
        }
    }

    /// It has been attached, for the first time or again.
    pub(super) fn attached(&mut self, connection: usize, session: SessionId, link: LinkId) {
        self.life = Life::Live(connection, session, link);
        (self.parts, self.round_at) = (None, None);
        self.closing = false;
        self.outstanding.values_mut().for_each(|one| one.settle_at = None);
        self.open.iter_mut().for_each(|open| open.current = false);
        self.reading.iter_mut().for_each(|reading| reading.current = false);
        if self.guarantee != Guarantee::ExactlyOnce {
            // The other end has forgotten it.
            (self.open, self.reading) = (Vec::new(), Vec::new());
        }
    }

    /// Takes what the engine gives back of a link that is over.
    pub(super) fn release(&mut self, engine: &mut Connection) {
        let Life::Live(_, _, link) = self.life else { return };
        let state = engine.release(link).expect("it is released once");
        assert!(!engine.has_link(link));
        self.parts = None;
        match self.role {
            Role::Sender => {
                let tokens: Vec<_> = state.unsettled.iter().map(|unsettled| unsettled.token).collect();
                let known: Vec<_> = self.outstanding.keys().copied().collect();
                assert_eq!(tokens, known, "what is given back, and what was handed over and is not over");
                for (unsettled, one) in state.unsettled.iter().zip(self.outstanding.values()) {
                    assert_eq!(unsettled.tag, one.tag);
                }
            }
            Role::Receiver if self.guarantee == Guarantee::ExactlyOnce => {
                // Given up by the sender, and nobody has taken the news.
                let has = |reading: &Reading| state.unsettled.iter().any(|unsettled| unsettled.tag == reading.tag);
                self.reading.retain(has);
                for open in &self.open {
                    let unsettled = state.unsettled.iter().find(|unsettled| unsettled.tag == open.tag);
                    let unsettled = unsettled.unwrap_or_else(|| panic!("{open:?} is not given back: {state:?}"));
                    assert!(unsettled.is_whole() && unsettled.delivery == open.number, "{open:?}, {unsettled:?}");
                }
            }
            Role::Receiver => {}
        }
        self.life = Life::Kept(Box::new(state));
    }

    /// Forgets the link. What had no outcome is in doubt, and where it came from a queue it goes back there.
    pub(super) fn forget(&mut self, ledger: &mut Ledger) {
        (self.life, self.closing) = (Life::None, false);
        ledger.forgotten += 1;
        for open in std::mem::take(&mut self.open) {
            ledger.letters[open.id].excuses += 1;
        }
        self.reading.clear();
        let mut again = Vec::new();
        for one in std::mem::take(&mut self.outstanding).into_values() {
            ledger.letters[one.id].excuses += 1;
            if ledger.ended(one.id, one.outcome.map_or(End::InDoubt, End::Outcome)) {
                again.push(one.id);
            }
        }
        again.into_iter().rev().for_each(|id| self.queue.push_front(id));
    }

    /// What the engine tells of the link.
    pub(super) fn handle(&mut self, event: Event, now: Instant, ledger: &mut Ledger, rng: &mut Rng) {
        match event {
            Event::Update(update) => self.updated(update, now, ledger, rng),
            Event::InDoubt { token, tag, .. } => {
                let one = self.outstanding.remove(&token).expect("news of a delivery that is over");
                assert_eq!((one.tag, one.outcome), (tag, None), "in doubt");
                let forgotten = self.guarantee == Guarantee::ExactlyOnce && ledger.forgotten > 0;
                let letter = &mut ledger.letters[one.id];
                assert!(forgotten || letter.in_parts > 0, "message {} need not be in doubt", one.id);
                letter.excuses += usize::from(forgotten);
                self.end(one.id, End::InDoubt, ledger);
            }
            Event::Reassociated { tag, previous, delivery, state, .. } => {
                let reading = self.reading.iter().position(|reading| reading.tag == tag && !reading.current);
                if let Some(index) = reading {
                    let reading = &mut self.reading[index];
                    assert_eq!(reading.number, previous);
                    match delivery {
                        Some(delivery) => (reading.number, reading.current) = (delivery, true),
                        None => drop(self.reading.remove(index)),
                    }
                    return;
                }
                let index = self.open.iter().position(|open| open.tag == tag && !open.current);
                let index = index.unwrap_or_else(|| panic!("{tag:?} is no delivery that was taken"));
                let open = &mut self.open[index];
                assert_eq!(open.number, previous);
                match delivery {
                    Some(delivery) => (open.number, open.current) = (delivery, true),
                    None => {
                        let settled = state.filter(DeliveryState::is_terminal);
                        assert!(settled.is_none() || open.decided, "{open:?} is settled before it is decided");
                        ledger.settled(open.id, settled);
                        self.open.remove(index);
                    }
                }
            }
            Event::SettledBySender { delivery, state, .. } => {
                let index = self.open.iter().position(|open| open.number == delivery && open.current);
                let index = index.unwrap_or_else(|| panic!("{delivery:?} is no delivery that was taken"));
                let open = self.open.remove(index);
                assert!(open.decided, "{open:?} is settled before it is decided");
                ledger.settled(open.id, state);
            }
            // Only the sender knows when it has told everything that it can.
            Event::Resumed { complete: false, .. } if self.role == Role::Sender => {
                self.round_at = Some(now + Duration::from_millis(100));
            }
            Event::Resumed { complete: true, .. } => {
                assert!(self.role == Role::Sender || self.guarantee == Guarantee::ExactlyOnce || self.open.is_empty());
            }
            _ => {}
        }
    }

    fn updated(&mut self, update: Update, now: Instant, ledger: &mut Ledger, rng: &mut Rng) {
        let one = self.outstanding.get_mut(&update.token).expect("news of a delivery that is over");
        let outcome = update.state.filter(DeliveryState::is_terminal);
        if let (Some(known), Some(outcome)) = (&one.outcome, &outcome) {
            assert!(self.habits.fickle || known == outcome, "message {} has two outcomes", one.id);
        }
        let id = one.id;
        one.delivery = update.delivery;
        if update.settled {
            self.outstanding.remove(&update.token);
        } else if outcome.is_some() {
            one.outcome.clone_from(&outcome);
            one.settle_at = Some(now + delay(rng, self.habits.patience));
        }
        match outcome {
            Some(outcome) if update.settled => self.end(id, End::Outcome(outcome), ledger),
            None if update.settled => {
                let letter = &mut ledger.letters[id];
                assert!(letter.in_parts > 0, "message {id} was kept, and is given up");
                letter.excuses += 1;
                self.end(id, End::InDoubt, ledger);
            }
            _ => {}
        }
    }

    fn end(&mut self, id: usize, end: End, ledger: &mut Ledger) {
        if ledger.ended(id, end) {
            self.queue.push_front(id);
        }
    }

    /// What is left, for people.
    pub(super) fn summary(&self, name: &str) -> String {
        let life = match &self.life {
            Life::None => "not there",
            Life::Live(..) => "attached",
            Life::Kept(_) => "kept",
        };
        let (queue, sent, open) = (self.queue.len(), self.outstanding.len(), self.open.len());
        let (guarantee, role) = (self.guarantee, self.role);
        format!("{name}, {role:?}, {guarantee:?}, {life}: {queue} to send, {sent} sent, {open} taken")
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.outstanding.is_empty() && self.open.is_empty() && self.reading.is_empty()
    }

    /// What the user does now. An engine whose connection is lost is still there for its answers.
    pub(super) fn act(&mut self, engine: Option<&mut Connection>, scene: &mut Scene<'_>) {
        match (&self.life, engine) {
            (Life::Live(_, _, link), Some(engine)) => {
                let link = *link;
                match self.role {
                    Role::Sender => self.send(engine, link, scene),
                    Role::Receiver => self.receive(engine, link, scene),
                }
            }
            (Life::Kept(_), _) if self.role == Role::Receiver => self.decide(None, scene),
            _ => {}
        }
    }

    fn send(&mut self, engine: &mut Connection, link: LinkId, scene: &mut Scene<'_>) {
        let Scene { calm, now, ledger, rng, trace } = scene;
        let (calm, now) = (*calm, *now);
        if self.round_at.is_some_and(|at| at <= now) {
            self.round_at = None;
            engine.detach(link, false, None);
        }
        let mut sender = engine.sender(link);
        let due = |one: &Outstanding| one.settle_at.is_some_and(|at| at <= now);
        let settled: Vec<_> = self.outstanding.iter().filter(|(_, one)| due(one)).map(|(token, _)| *token).collect();
        for token in settled {
            let one = self.outstanding.remove(&token).expect("just listed");
            sender.settle(one.delivery);
            let outcome = one.outcome.expect("it is settled because of that");
            if ledger.ended(one.id, End::Outcome(outcome)) {
                self.queue.push_front(one.id);
            }
        }
        if let Some((delivery, rest)) = self.parts.take() {
            if !calm && rng.one_in(8) && self.guarantee != Guarantee::AtMostOnce {
                sender.abort(delivery);
                let (token, _) = self.outstanding.last_key_value().expect("it is not over");
                let one = self.outstanding.remove(&{ *token }).expect("just looked up");
                trace.say(|| format!("{link:?} gives message {} up", one.id));
                let _ = ledger.ended(one.id, End::Aborted);
                return;
            }
            let (part, left) = rest.split_at(rng.below(rest.len() + 1));
            match sender.append(delivery, part, None, !left.is_empty()) {
                Ok(()) if left.is_empty() => {}
                Ok(()) => self.parts = Some((delivery, left.to_vec())),
                Err(_) => self.parts = Some((delivery, rest)),
            }
            return;
        }
        if sender.is_draining() {
            sender.drained();
        }
        while let Some(id) = self.queue.front().copied().filter(|_| sender.capacity() > 0 && (calm || !rng.one_in(4))) {
            let (payload, tag, token) = (ledger.payload(id), self.tag(self.next_tag), self.next_token);
            assert!(!sender.has_unsettled(&tag), "{tag:?} is used again");
            let more = !calm && rng.one_in(10);
            let (front, back) = payload.split_at(if more { 1 + rng.below(payload.len()) } else { payload.len() });
            let mut message = Message::new(front, tag, token);
            message.settled = self.guarantee == Guarantee::AtMostOnce;
            message.more = more;
            let delivery = sender.send(&message).expect("there was room");
            trace.say(|| format!("{link:?} sends message {id} as {delivery}, {tag:?}, parts: {more}"));
            ledger.sent(id, &message);
            self.queue.pop_front();
            self.next_tag += 1;
            self.next_token += 1;
            if !message.settled {
                let one = Outstanding { id, tag, delivery, outcome: None, settle_at: None };
                self.outstanding.insert(token, one);
            }
            if more {
                self.parts = Some((delivery, back.to_vec()));
                return;
            }
        }
    }

    fn tag(&self, number: u64) -> DeliveryTag {
        if self.habits.long_tags {
            DeliveryTag::new(&[number.to_be_bytes(); 4].concat()).expect("32 bytes")
        } else {
            DeliveryTag::from(number)
        }
    }

    fn receive(&mut self, engine: &mut Connection, link: LinkId, scene: &mut Scene<'_>) {
        let calm = scene.calm;
        if calm || !scene.rng.one_in(3) {
            while let Some(delivery) = engine.receiver(link).take() {
                self.taken(delivery, scene);
            }
        }
        self.decide(Some((engine, link)), scene);
        if engine.error().is_none() {
            let mut receiver = engine.receiver(link);
            if calm || receiver.credit() == 0 || scene.rng.one_in(8) {
                receiver.set_credit(if calm { 100 } else { 1 + scene.rng.below(self.habits.credit) } as u32);
            }
            if !calm && scene.rng.one_in(30) {
                receiver.drain();
            }
        }
    }

    fn taken(&mut self, mut delivery: Delivery, scene: &mut Scene<'_>) {
        let Scene { now, ledger, rng, trace, .. } = scene;
        let (tag, number) = (delivery.tag, delivery.number);
        if self.habits.in_parts {
            let known = self.reading.iter().position(|reading| reading.number == number && reading.current);
            assert_eq!(delivery.continues, known.is_some(), "{delivery:?} continues nothing");
            let mut reading = match known {
                Some(index) => self.reading.remove(index),
                None => Reading { tag, number, current: true, bytes: Vec::new() },
            };
            assert_eq!((reading.tag, reading.number), (tag, number));
            reading.bytes.extend_from_slice(&delivery.payload);
            if delivery.aborted {
                return;
            }
            if delivery.more {
                self.reading.push(reading);
                return;
            }
            delivery.payload = reading.bytes.into();
        }
        let id = ledger.id_of(&delivery.payload);
        trace.say(|| format!("message {id} comes as {number}, {tag:?}"));
        ledger.taken(id, &tag);
        if delivery.settled {
            ledger.decided(id, DeliveryState::Accepted);
            return;
        }
        assert!(!self.open.iter().any(|open| open.tag == tag), "{tag:?} is used again while it is not settled");
        let due = *now + delay(rng, self.habits.patience);
        self.open.push(Open { tag, number, current: true, id, decided: false, changed: false, due });
    }

    fn decide(&mut self, mut engine: Option<(&mut Connection, LinkId)>, scene: &mut Scene<'_>) {
        let Scene { calm, now, ledger, rng, trace } = scene;
        let (calm, now) = (*calm, *now);
        let first = self.guarantee != Guarantee::ExactlyOnce;
        let fickle = self.habits.fickle && !calm;
        for open in self.open.iter_mut().filter(|open| open.due <= now) {
            if open.decided && !(fickle && !open.changed && rng.one_in(4)) {
                continue;
            }
            let state = if calm && rng.below(10) > 0 { DeliveryState::Accepted } else { outcome(rng) };
            match (&mut engine, &mut self.life) {
                // What was resumed and has no number yet waits for it.
                (Some((engine, link)), _) if open.current => {
                    engine.receiver(*link).dispose(open.number, Some(state.clone()), first);
                }
                (None, Life::Kept(kept)) => {
                    let unsettled = kept.unsettled.iter_mut().find(|unsettled| unsettled.tag == open.tag);
                    unsettled.expect("what is open is kept").local_state = Some(state.clone());
                }
                _ => continue,
            }
            trace.say(|| format!("message {} is {state:?}", open.id));
            ledger.decided(open.id, state);
            (open.changed, open.decided) = (open.decided, true);
        }
        self.open.retain(|open| !first || !open.decided);
    }
}

/// What a user decides about a message.
fn outcome(rng: &mut Rng) -> DeliveryState {
    match rng.below(10) {
        0 => DeliveryState::Rejected(Box::new(Rejected { error: Some(error("test:no")) })),
        1 => DeliveryState::Released,
        2 => DeliveryState::Modified(Box::new(Modified { delivery_failed: Some(true), ..Modified::default() })),
        _ => DeliveryState::Accepted,
    }
}

/// Up to so many milliseconds.
pub(super) fn delay(rng: &mut Rng, most: usize) -> Duration {
    Duration::from_micros(rng.below(1000 * most + 1) as u64)
}
