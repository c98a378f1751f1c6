//! Who may send next: messages take turns, and what answers the peer comes before them all (RFC 4975 5.1, 7.1).

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use memchr::memmem;

use super::config::{Carriage, Config};
use super::event::Event;
use super::keys::{Arena, MessageKey, SessionKey};
use super::outbox::Outbox;
use super::outgoing::{Outcome, Sending};
use super::reports::Reports;
use super::transactions::{Leaving, Left, Transactions, What, until};
use crate::{Code, FailureReport, Flag, MessageId, TransactionId};

/// A chunk of at most so much may say where it ends, and need not be interrupted (RFC 4975 7.1.1).
const SHORT: usize = 2048;

/// So many names of messages are remembered.
const RECENT: usize = 1024;

/// Nothing more is put out while so much waits for the transport: what comes next can still overtake the rest.
pub(super) const HIGH: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Sender {
    messages: Arena<Sending>,
    /// The latest message of each name.
    names: HashMap<(SessionKey, MessageId), MessageKey>,
    pub(super) reports: Reports,
    /// The names of messages that were sent last: what is reported of others is nobody's.
    recent: VecDeque<(SessionKey, MessageId)>,
    ring: VecDeque<Turn>,
    open: Option<Open>,
    pub(super) transactions: Transactions<What>,
    leaving: Leaving<Left>,
    pub(super) outbox: Outbox,
    random: Random,
    window: usize,
    share: usize,
    frames: Option<usize>,
    lull: std::time::Duration,
    /// Octets of messages that wait.
    waiting: usize,
}

/// What waits for its turn.
#[derive(Debug)]
enum Turn {
    Message(MessageKey),
    /// A frame that its owner has made.
    Frame {
        id: TransactionId,
        parts: Vec<Bytes>,
        answered: bool,
    },
}

/// A chunk that has begun and not ended.
#[derive(Debug)]
struct Open {
    message: MessageKey,
    id: TransactionId,
    /// The hyphens and the id, which must not stand in the content (RFC 4975 7.1).
    mark: Mark,
    /// The last octets that were put out, which could be the beginning of the mark.
    tail: Tail,
    /// How much more may be sent before others have their turn, and in this chunk at all.
    share: usize,
    left: usize,
    /// Until when its owner must have given more.
    until: Option<Instant>,
}

/// Where random octets come from.
pub(crate) struct Random(pub(crate) Source);

type Source = Box<dyn FnMut(&mut [u8]) + Send>;

const LONGEST_MARK: usize = 7 + TransactionId::MAX;
type Mark = ([u8; LONGEST_MARK], usize);
type Tail = ([u8; LONGEST_MARK], usize);

impl Sender {
    pub(super) fn new(config: &Config, random: Random) -> Self {
        let frames = match config.carriage {
            Carriage::Stream => None,
            Carriage::Frames(most) => Some(most.max(1)),
        };
        Self {
            messages: Arena::default(),
            names: HashMap::new(),
            reports: Reports::default(),
            recent: VecDeque::new(),
            ring: VecDeque::new(),
            open: None,
            transactions: Transactions::default(),
            leaving: Leaving::default(),
            outbox: if frames.is_some() { Outbox::by_frame() } else { Outbox::default() },
            random,
            window: config.window.max(1),
            share: config.share.max(SHORT),
            frames,
            lull: config.lull,
            waiting: 0,
        }
    }

    pub(super) fn random(&mut self) -> [u8; 12] {
        let mut octets = [0; 12];
        (self.random.0)(&mut octets);
        octets
    }

    /// A name for a transaction that no open one has.
    pub(super) fn transaction_id(&mut self) -> TransactionId {
        loop {
            let id = TransactionId::from_random(self.random());
            if !self.transactions.contains(&id) {
                return id;
            }
        }
    }

    /// Octets of messages that wait to be put out.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn insert(&mut self, message: Sending) -> MessageKey {
        let name = (message.session, message.id.clone());
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(name.clone());
        if message.success {
            self.reports.expect(name.clone(), message.size);
        }
        self.waiting += message.waiting;
        let (index, serial) = self.messages.insert(message);
        let key = MessageKey { index, serial };
        self.names.insert(name, key);
        self.ready(key);
        key
    }

    pub(super) fn get(&self, key: MessageKey) -> Option<&Sending> {
        self.messages.get((key.index, key.serial))
    }

    /// Whether a message of this name was sent lately.
    pub(super) fn has_sent(&self, session: SessionKey, id: &MessageId) -> bool {
        self.recent.iter().any(|(its, name)| *its == session && name == id)
    }

    pub(super) fn named(&self, session: SessionKey, id: &MessageId) -> Option<MessageKey> {
        self.names.get(&(session, id.clone())).copied()
    }

    /// Takes more of a message whose owner gives it bit by bit.
    pub(super) fn give(&mut self, key: MessageKey, content: Bytes) -> Result<(), GiveError> {
        let message = self.messages.get_mut((key.index, key.serial)).ok_or(GiveError::Over)?;
        if message.given_up || message.whole {
            return Err(GiveError::Over);
        }
        let has = message.next + message.waiting as u64 + content.len() as u64;
        if message.size.is_some_and(|size| has > size) {
            return Err(GiveError::TooMuch);
        }
        message.asked = false;
        self.waiting += content.len();
        if !content.is_empty() {
            message.waiting += content.len();
            message.parts.push_back(content);
        }
        self.ready(key);
        Ok(())
    }

    /// The owner of a message has given everything.
    pub(super) fn finish(&mut self, key: MessageKey) -> Result<(), GiveError> {
        let message = self.messages.get_mut((key.index, key.serial)).ok_or(GiveError::Over)?;
        if message.given_up || message.whole {
            return Err(GiveError::Over);
        }
        let has = message.next + message.waiting as u64;
        if message.size.is_some_and(|size| has != size) {
            return Err(GiveError::TooLittle);
        }
        (message.whole, message.size) = (true, Some(has));
        self.reports.size(message.session, &message.id, has);
        self.ready(key);
        Ok(())
    }

    /// Tells its owner that a message can take more.
    pub(super) fn ask(&mut self, key: MessageKey, events: &mut VecDeque<Event>) {
        let Some(message) = self.messages.get_mut((key.index, key.serial)) else { return };
        if !std::mem::replace(&mut message.asked, true) {
            events.push_back(Event::Wanted { message: key });
        }
    }

    /// Gives a message up, of which the peer hears where some of it has left.
    pub(super) fn give_up(&mut self, key: MessageKey, outcome: Outcome, events: &mut VecDeque<Event>) {
        let Some(message) = self.messages.get_mut((key.index, key.serial)) else { return };
        message.given_up = true;
        self.waiting -= std::mem::take(&mut message.waiting);
        message.parts.clear();
        tell(message, key, outcome, events);
        if message.begun && !message.finished {
            self.ready(key);
        }
        self.sweep(key);
    }

    /// Ends all messages of a session that is over.
    pub(super) fn end_session(&mut self, session: SessionKey, events: &mut VecDeque<Event>) {
        let of_it = self.messages.iter().filter(|(_, message)| message.session == session);
        let keys: Vec<_> = of_it.map(|((index, serial), _)| MessageKey { index, serial }).collect();
        for key in keys {
            self.give_up(key, Outcome::SessionOver, events);
        }
        self.reports.forget(session);
    }

    /// Whether a message of a session has not come to an end.
    pub(super) fn is_sending(&self, session: SessionKey) -> bool {
        self.messages.iter().any(|(_, message)| message.session == session && !message.told)
    }

    /// Puts a message into the ring, where it can go on.
    fn ready(&mut self, key: MessageKey) {
        let Some(message) = self.messages.get_mut((key.index, key.serial)) else { return };
        let open = self.open.as_ref().is_some_and(|open| open.message == key);
        if message.is_ready() && !message.in_ring && !open {
            message.in_ring = true;
            self.ring.push_back(Turn::Message(key));
        }
    }

    /// Sends a frame that its owner has made, when it is its turn.
    pub(super) fn frame(&mut self, id: TransactionId, parts: Vec<Bytes>, answered: bool) {
        self.waiting += parts.iter().map(Bytes::len).sum::<usize>();
        self.ring.push_back(Turn::Frame { id, parts, answered });
    }

    /// Has the peer's answers and the engine's own requests come before all messages.
    pub(super) fn first(&mut self) -> &mut Outbox {
        self.interrupt();
        &mut self.outbox
    }

    /// A request that was put out just now has a response to come.
    pub(super) fn requested(&mut self, id: TransactionId, what: What) {
        self.transactions.begin(id, what);
        self.leaving.put(self.outbox.total(), Left::Request(id));
    }

    /// Puts out what may be put out now.
    pub(super) fn fill(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        while self.outbox.len() < HIGH {
            let on = if self.open.is_some() { self.go_on(events) } else { self.next_turn(events) };
            if !on {
                if let Some(open) = &mut self.open {
                    open.until = open.until.or_else(|| now.checked_add(self.lull));
                }
                break;
            }
        }
        if self.frames.is_some() {
            // Each frame is a message of the transport, and so is not left open.
            self.interrupt();
        }
    }

    /// Begins with what is next in turn; `false` where there is nothing.
    fn next_turn(&mut self, events: &mut VecDeque<Event>) -> bool {
        if self.transactions.len() >= self.window {
            return false;
        }
        match self.ring.pop_front() {
            None => return false,
            Some(Turn::Frame { id, parts, answered }) => {
                for part in parts {
                    self.waiting -= part.len();
                    self.outbox.content(part);
                }
                self.outbox.end_of_frame();
                if answered {
                    self.leaving.put(self.outbox.total(), Left::Request(id));
                }
            }
            Some(Turn::Message(key)) => self.begin(key, events),
        }
        true
    }

    fn begin(&mut self, key: MessageKey, events: &mut VecDeque<Event>) {
        let id = self.transaction_id();
        let Some(message) = self.messages.get_mut((key.index, key.serial)) else { return };
        message.in_ring = false;
        if !message.is_ready() {
            return;
        }
        let most = self.frames.map_or(message.chunk, |most| most.min(message.chunk));
        let last = message.whole && message.waiting <= most.min(SHORT);
        let size = message.size;
        let outbox = &mut self.outbox;
        outbox.text(b"MSRP ");
        outbox.text(id.as_bytes());
        outbox.text(b" SEND\r\n");
        outbox.text(&message.paths);
        outbox.text(b"Message-ID: ");
        outbox.text(message.id.as_bytes());
        outbox.text(b"\r\nByte-Range: ");
        outbox.text(decimal(&mut [0; 20], message.next + 1));
        outbox.text(b"-");
        if last {
            outbox.text(decimal(&mut [0; 20], message.next + message.waiting as u64));
        } else {
            outbox.text(b"*");
        }
        outbox.text(b"/");
        match size {
            Some(size) => outbox.text(decimal(&mut [0; 20], size)),
            None => outbox.text(b"*"),
        }
        outbox.text(b"\r\n");
        outbox.text(&message.headers);
        outbox.text(&message.mime);
        outbox.text(b"\r\n");
        message.begun = true;
        match message.failure {
            FailureReport::Yes => {
                message.open += 1;
                self.transactions.begin(id, What::Chunk { message: key, start: message.next, length: 0 });
            }
            FailureReport::Partial => {
                let (session, name) = (message.session, message.id.clone());
                self.transactions.begin(id, What::Unanswered { message: key, session, id: name });
            }
            FailureReport::No => {}
        }
        let mut mark = ([0; LONGEST_MARK], 7 + id.as_bytes().len());
        mark.0[..7].copy_from_slice(b"-------");
        mark.0[7..mark.1].copy_from_slice(id.as_bytes());
        self.open = Some(Open {
            message: key,
            id,
            mark,
            tail: ([0; LONGEST_MARK], 0),
            share: self.share,
            left: most,
            until: None,
        });
        // So that no chunk is interrupted before it has anything.
        self.go_on(events);
    }

    /// Goes on with the chunk that is open; `false` where that needs more content.
    fn go_on(&mut self, events: &mut VecDeque<Event>) -> bool {
        let open = self.open.as_mut().expect("asked only where one is open");
        let key = open.message;
        let message = self.messages.get_mut((key.index, key.serial)).expect("a message stays while its chunk is open");
        if message.given_up {
            self.end(Flag::Aborted);
            self.sweep(key);
            return true;
        }
        if message.is_last() {
            self.end(Flag::Complete);
            self.settle(key, events);
            return true;
        }
        if message.waiting == 0 {
            if !message.asked {
                message.asked = true;
                events.push_back(Event::Wanted { message: key });
            }
            if self.ring.is_empty() {
                return false;
            }
            self.interrupt();
            return true;
        }
        if open.left == 0 || (open.share == 0 && !self.ring.is_empty()) {
            self.interrupt();
            return true;
        }
        if open.share == 0 {
            open.share = self.share;
        }
        let content = message.take(open.share.min(open.left));
        let good = open.mark_in(&content).unwrap_or(content.len());
        let rest = content.slice(good..);
        let content = content.slice(..good);
        open.until = None;
        open.share -= content.len();
        open.left -= content.len();
        open.keep_tail(&content);
        message.next += content.len() as u64;
        message.give_back(rest.clone());
        self.waiting -= content.len();
        self.transactions.grown(&open.id, content.len() as u64);
        if !message.whole && message.waiting == 0 && !message.asked {
            message.asked = true;
            events.push_back(Event::Wanted { message: key });
        }
        self.outbox.content(content);
        if !rest.is_empty() {
            self.interrupt();
        }
        true
    }

    /// When the open chunk has waited for its owner long enough.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.open.as_ref().and_then(|open| open.until)
    }

    /// Ends a chunk whose owner gives nothing: its receiver does not wait for ever, and what comes can have a chunk of its own.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.next_timeout().is_some_and(|until| until <= now) {
            self.interrupt();
        }
    }

    /// Ends the open chunk so that something else may come.
    fn interrupt(&mut self) {
        let Some(open) = &self.open else { return };
        let key = open.message;
        let message = self.messages.get((key.index, key.serial)).expect("a message stays while its chunk is open");
        if message.given_up {
            self.end(Flag::Aborted);
        } else if message.is_last() {
            self.end(Flag::Complete);
        } else {
            self.end(Flag::Continues);
            self.ready(key);
        }
    }

    fn end(&mut self, flag: Flag) {
        let Some(open) = self.open.take() else { return };
        self.outbox.text(b"\r\n");
        self.outbox.text(&open.mark.0[..open.mark.1]);
        self.outbox.text(&[flag.as_byte(), b'\r', b'\n']);
        self.outbox.end_of_frame();
        let behind = self.outbox.total();
        let key = open.message;
        let message = self.messages.get_mut((key.index, key.serial)).expect("a message stays while its chunk is open");
        message.finished = flag != Flag::Continues;
        match message.failure {
            FailureReport::Yes => self.leaving.put(behind, Left::Request(open.id)),
            _ if message.finished => self.leaving.put(behind, Left::Message(key)),
            _ => {}
        }
    }

    /// The transport has taken so many octets.
    pub(super) fn sent(
        &mut self,
        octets: usize,
        now: Instant,
        timeout: std::time::Duration,
        events: &mut VecDeque<Event>,
    ) {
        self.leaving.taken(octets);
        while let Some(left) = self.leaving.next() {
            match left {
                Left::Request(id) => self.transactions.sent(id, until(now, timeout)),
                Left::Message(key) => {
                    if let Some(message) = self.messages.get_mut((key.index, key.serial)) {
                        tell(message, key, Outcome::Sent, events);
                        self.sweep(key);
                    }
                }
            }
        }
    }

    /// A chunk has its response, or has had none in time.
    pub(super) fn answered(
        &mut self,
        key: MessageKey,
        length: u64,
        outcome: Result<(), Outcome>,
        events: &mut VecDeque<Event>,
    ) {
        let Some(message) = self.messages.get_mut((key.index, key.serial)) else { return };
        message.open -= 1;
        match outcome {
            Ok(()) => {
                message.accepted += length;
                if !message.told && (!message.finished || message.open > 0) {
                    events.push_back(Event::Progress { message: key, accepted: message.first + message.accepted });
                }
                self.settle(key, events);
            }
            Err(outcome) => self.give_up(key, outcome, events),
        }
    }

    /// Tells what became of a message once all of it is answered.
    fn settle(&mut self, key: MessageKey, events: &mut VecDeque<Event>) {
        let Some(message) = self.messages.get_mut((key.index, key.serial)) else { return };
        if message.finished && message.open == 0 && message.failure == FailureReport::Yes {
            tell(message, key, Outcome::Accepted, events);
        }
        self.sweep(key);
    }

    /// Forgets a message of which nothing will come any more.
    fn sweep(&mut self, key: MessageKey) {
        let open = self.open.as_ref().is_some_and(|open| open.message == key);
        let slot = (key.index, key.serial);
        if !open && self.messages.get(slot).is_some_and(Sending::is_over) {
            let message = self.messages.remove(slot).expect("just looked up");
            let name = (message.session, message.id);
            if self.names.get(&name) == Some(&key) {
                self.names.remove(&name);
            }
        }
    }
}

impl Open {
    /// Where content has to end so that the mark does not stand in it.
    fn mark_in(&self, content: &[u8]) -> Option<usize> {
        let mark = &self.mark.0[..self.mark.1];
        // What was put out last, and as much of this as the mark could reach into.
        let (tail, length) = (&self.tail.0[..self.tail.1], content.len().min(mark.len() - 1));
        let mut seam = [0; 2 * LONGEST_MARK];
        let end = tail.len() + length;
        seam[..tail.len()].copy_from_slice(tail);
        seam[tail.len()..end].copy_from_slice(&content[..length]);
        // One octet before the mark is whole is early enough.
        if let Some(place) = memmem::find(&seam[..end], mark) {
            return Some((place + mark.len() - 1).saturating_sub(tail.len()));
        }
        memmem::find(content, mark).map(|place| place + mark.len() - 1)
    }

    fn keep_tail(&mut self, content: &[u8]) {
        let keep = self.mark.1 - 1;
        let (tail, length) = (&mut self.tail.0, &mut self.tail.1);
        if content.len() >= keep {
            tail[..keep].copy_from_slice(&content[content.len() - keep..]);
            *length = keep;
            return;
        }
        let surplus = (*length + content.len()).saturating_sub(keep);
        tail.copy_within(surplus..*length, 0);
        *length -= surplus;
        tail[*length..*length + content.len()].copy_from_slice(content);
        *length += content.len();
    }
}

/// Tells what became of a message, once.
fn tell(message: &mut Sending, key: MessageKey, outcome: Outcome, events: &mut VecDeque<Event>) {
    if !std::mem::replace(&mut message.told, true) {
        events.push_back(Event::Outcome { message: key, id: message.id.clone(), outcome });
    }
}

/// A number in decimal.
pub(crate) fn decimal(into: &mut [u8; 20], mut number: u64) -> &[u8] {
    let mut at = into.len();
    loop {
        at -= 1;
        into[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &into[at..];
        }
    }
}

/// Why more of a message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GiveError {
    /// The message is over: it was given up, or everything of it is there.
    #[error("nothing more is taken of this message")]
    Over,
    /// It would be longer than was said.
    #[error("the message would be longer than was said")]
    TooMuch,
    /// It would be shorter than was said.
    #[error("the message would be shorter than was said")]
    TooLittle,
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}

/// What a response means for the message whose chunk it answers.
pub(super) fn refusal(code: Code, comment: Option<&str>) -> Result<(), Outcome> {
    match code {
        code if code.is_success() => Ok(()),
        // The same as if no answer had come (RFC 4975 10.4).
        Code::TIMEOUT => Err(Outcome::TimedOut),
        code => Err(Outcome::Refused { code, comment: comment.map(str::to_owned) }),
    }
}
