//! Requests that were sent and have no response yet (RFC 4975 7.1.1, 7.2).

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::keys::{MessageKey, RequestKey, SessionKey};
use crate::{MessageId, TransactionId};

/// Requests whose sender wants to hear of failures only are remembered for a while: that many.
const UNANSWERED: usize = 1024;

#[derive(Debug)]
pub(crate) struct Transactions<W> {
    open: HashMap<TransactionId, W>,
    /// Those that were sent, by when it is too late for a response. All wait equally long, so that they are in order.
    deadlines: VecDeque<(Instant, TransactionId)>,
    /// Those for which no response is waited, the oldest first.
    unanswered: VecDeque<TransactionId>,
}

/// What a request was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A chunk of a message, of which it has so many octets from this one on, counted from zero.
    Chunk { message: MessageKey, start: u64, length: u64 },
    /// A chunk that is answered only when something is wrong.
    Unanswered { message: MessageKey, session: SessionKey, id: MessageId },
    /// Keeps the connection of a session from falling silent, or binds it.
    Empty { session: SessionKey },
    /// A request of the owner's own.
    Request { session: Option<SessionKey>, key: RequestKey },
}

/// Whether a request waits for a response, or for one only where something is wrong.
pub(crate) trait Answered {
    fn is_answered(&self) -> bool;
}

impl Answered for What {
    fn is_answered(&self) -> bool {
        !matches!(self, Self::Unanswered { .. })
    }
}

impl<W> Default for Transactions<W> {
    fn default() -> Self {
        Self { open: HashMap::new(), deadlines: VecDeque::new(), unanswered: VecDeque::new() }
    }
}

impl Transactions<What> {
    /// The chunk of this transaction has that many octets.
    pub(super) fn grown(&mut self, id: &TransactionId, by: u64) {
        if let Some(What::Chunk { length, .. }) = self.open.get_mut(id) {
            *length += by;
        }
    }
}

impl<W: Answered> Transactions<W> {
    /// How many wait for a response.
    pub(crate) fn len(&self) -> usize {
        self.open.len() - self.unanswered.len()
    }

    pub(crate) fn contains(&self, id: &TransactionId) -> bool {
        self.open.contains_key(id)
    }

    /// Begins a transaction. Another one may be forgotten for it, which is for a response that will not come, most likely.
    pub(crate) fn begin(&mut self, id: TransactionId, what: W) -> Option<W> {
        let mut forgotten = None;
        if !what.is_answered() {
            self.unanswered.push_back(id);
            if self.unanswered.len() > UNANSWERED {
                let oldest = self.unanswered.pop_front().expect("there are more than none");
                forgotten = self.open.remove(&oldest);
            }
        }
        self.open.insert(id, what);
        forgotten
    }

    /// Ends all of them.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = W> {
        self.unanswered.clear();
        self.deadlines.clear();
        std::mem::take(&mut self.open).into_values()
    }

    /// The transport took the last octet of a request.
    pub(crate) fn sent(&mut self, id: TransactionId, until: Instant) {
        if self.open.get(&id).is_some_and(W::is_answered) {
            self.deadlines.push_back((until, id));
            // One that stays open must not keep those behind it, which are over.
            if self.deadlines.len() > 2 * self.open.len() + 64 {
                self.deadlines.retain(|(_, id)| self.open.contains_key(id));
            }
        }
    }

    /// Ends a transaction, which has its response.
    pub(crate) fn end(&mut self, id: &TransactionId) -> Option<W> {
        let what = self.open.remove(id)?;
        if !what.is_answered() {
            self.unanswered.retain(|unanswered| unanswered != id);
        }
        Some(what)
    }

    /// When the next one is over.
    pub(crate) fn next_deadline(&mut self) -> Option<Instant> {
        while let Some((at, id)) = self.deadlines.front() {
            if self.open.contains_key(id) {
                return Some(*at);
            }
            self.deadlines.pop_front();
        }
        None
    }

    /// Takes out one that has had no response in time.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<W> {
        if self.next_deadline()? > now {
            return None;
        }
        let (_, id) = self.deadlines.pop_front().expect("it is the next one");
        self.open.remove(&id)
    }
}

/// What has been put out and not been taken by the transport yet, in its order.
#[derive(Debug)]
pub(crate) struct Leaving<L> {
    /// By the octet of the whole connection behind which it is out.
    waiting: VecDeque<(u64, L)>,
    taken: u64,
}

/// What is over once it has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// A request: its response is waited for from now on.
    Request(TransactionId),
    /// A message that is not answered.
    Message(MessageKey),
}

impl<L> Default for Leaving<L> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), taken: 0 }
    }
}

impl<L> Leaving<L> {
    pub(crate) fn put(&mut self, behind: u64, what: L) {
        self.waiting.push_back((behind, what));
    }

    /// The transport has taken so many octets more.
    pub(crate) fn taken(&mut self, octets: usize) {
        self.taken += octets as u64;
    }

    /// Octets that the transport has taken ever.
    pub(crate) fn total(&self) -> u64 {
        self.taken
    }

    pub(crate) fn next(&mut self) -> Option<L> {
        let (behind, _) = self.waiting.front()?;
        if *behind > self.taken {
            return None;
        }
        self.waiting.pop_front().map(|(_, what)| what)
    }
}

/// The time until which a response is waited for.
pub(crate) fn until(now: Instant, timeout: Duration) -> Instant {
    // A timeout beyond the clock's range is a very long one.
    now.checked_add(timeout).unwrap_or_else(|| now + Duration::from_secs(1 << 30))
}
