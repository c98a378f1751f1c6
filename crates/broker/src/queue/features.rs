//! What a queue does beyond keeping messages in order: levels of priority, last values, limits that make room, and times.
//!
//! A queue without any of it asks one question for each message, whether it is `special`.

use std::sync::Arc;
use std::time::Duration;

use postroad_codec::v1_0::{MessageFormat, SectionsRef};

use super::cursor::LEVELS;
use super::last_value::LastValues;
use super::store::Store;
use super::{Demand, Full, Queue, Reason};
use crate::filter::{Filter, Origin};
use crate::message::Held;
use crate::settings::{LimitPolicy, QueueSettings};

/// The settings of a queue that have an effect on each message.
#[derive(Debug, Default)]
pub(super) struct Features {
    /// Levels of priority, where there are several.
    levels: usize,
    /// Whether messages replace each other.
    last_values: bool,
    policy: LimitPolicy,
    ttl: Option<Duration>,
    flow: Option<Flow>,
    /// The messages that it takes, whoever consumes them.
    pub(super) filter: Option<Arc<Filter>>,
}

/// When senders get no credit although there is room.
#[derive(Debug)]
struct Flow {
    /// Above this they get none..
    stop: Demand,
    /// ..and below this they get some again.
    resume: Demand,
    stopped: bool,
}

/// The priority of a message whose header has none (AMQP 1.0 part 3, 3.2.1).
const DEFAULT_PRIORITY: usize = 4;

impl<W: Clone> Queue<W> {
    /// The queue with settings, of which those for its limits are the caller's. It is still empty.
    ///
    /// `owner` is the origin of the messages of whom the queue belongs to alone.
    pub(crate) fn configured(mut self, settings: &QueueSettings, owner: Option<Origin>) -> Self {
        let filter = Filter::of_queue(settings.filter.as_deref(), owner.filter(|_| settings.no_local));
        let last_values = settings.last_value_key.as_deref().map(LastValues::new);
        let levels = usize::try_from(settings.priorities).unwrap_or(LEVELS).min(LEVELS);
        // Those that replace each other have no priority.
        let levels = if last_values.is_some() { 1 } else { levels.max(1) };
        self.special = levels > 1
            || last_values.is_some()
            || settings.limit_policy != LimitPolicy::HoldBack
            || settings.ttl.is_some()
            || filter.is_some()
            || settings.flow_stop_messages.is_some()
            || settings.flow_stop_bytes.is_some();
        self.features = Features {
            levels,
            last_values: last_values.is_some(),
            policy: settings.limit_policy,
            ttl: settings.ttl,
            flow: Flow::new(settings),
            filter: filter.map(Arc::new),
        };
        self.store = Store::new(levels, last_values);
        self
    }

    /// Whether messages expire here though they do not say so.
    pub(crate) fn has_ttl(&self) -> bool {
        self.features.ttl.is_some()
    }

    /// As [`Queue::push`], where there is more to it.
    #[cold]
    pub(super) fn push_special(&mut self, mut message: Held) -> Result<(), Full> {
        if !self.admits(&message) {
            return Ok(());
        }
        self.prepare(&mut message);
        let outdated = self.take_outdated(&message);
        match self.clear_for(message.payload.len(), message.level) {
            Ok(true) => {
                self.replaced += u64::from(outdated.is_some());
                self.messages += 1;
                self.bytes += message.payload.len();
                self.place(message);
                Ok(())
            }
            refused => {
                outdated.into_iter().for_each(|outdated| self.keep(outdated));
                refused.map(drop)
            }
        }
    }

    /// As [`Queue::add`], where there is more to it.
    #[cold]
    pub(super) fn add_special(&mut self, mut message: Held) {
        if !self.admits(&message) {
            return;
        }
        self.prepare(&mut message);
        if self.make_way(&message) {
            self.messages += 1;
            self.bytes += message.payload.len();
            self.place(message);
        }
    }

    /// Gives a message what it has in this queue: a level, and a time to expire at.
    pub(super) fn prepare(&self, message: &mut Held) {
        message.level = if self.features.levels > 1 { self.level_of(message) } else { 0 };
        let expires = self.now.zip(self.features.ttl).and_then(|(now, ttl)| now.checked_add(ttl));
        message.expires = [message.expires, expires].into_iter().flatten().min();
    }

    /// Sees to it that a message fits in. `false`: it is dropped itself, since what waits is worth more.
    fn clear_for(&mut self, size: usize, level: u8) -> Result<bool, Full> {
        if self.features.policy != LimitPolicy::Ring {
            return self.make_room(size).map(|()| true);
        }
        if size > self.limits.bytes || self.limits.messages == 0 {
            return Err(Full::Queue);
        }
        if !self.turn_out(size, level) {
            return Ok(false);
        }
        if self.cover(size) { Ok(true) } else { Err(Full::Broker) }
    }

    /// Has what waits make way for a message that has its room and is about to come: the one that it replaces, and what is in
    /// its place in a ring. `false`: it is dropped itself.
    pub(super) fn make_way(&mut self, message: &Held) -> bool {
        let outdated = self.take_outdated(message);
        let fits = !self.is_ring() || self.turn_out(message.payload.len(), message.level);
        match outdated {
            Some(outdated) if !fits => self.keep(outdated),
            Some(_) => {
                self.replaced += 1;
                self.buried = true;
                self.trim();
            }
            None => {}
        }
        fits
    }

    /// Takes out what a message replaces, and counts it out.
    pub(super) fn take_outdated(&mut self, message: &Held) -> Option<Held> {
        let outdated = self.store.take_replaced_by(message)?;
        self.count_out(&outdated);
        Some(outdated)
    }

    /// Puts it back, where nothing came in its place.
    pub(super) fn keep(&mut self, outdated: Held) {
        self.messages += 1;
        self.bytes += outdated.size();
        let _ = self.store.put_back(outdated);
        // It may have been given back meanwhile what it took.
        self.cover(0);
    }

    /// Drops the oldest messages of a ring, up to a level, until another one fits in. `false`: it is dropped itself.
    fn turn_out(&mut self, size: usize, level: u8) -> bool {
        while !self.fits(size) {
            self.dropped += 1;
            let Some(oldest) = self.store.pop_oldest(level) else { return false };
            self.bury(oldest, Reason::Overflow);
        }
        true
    }

    /// The level of a message's priority: the levels in the middle tell apart the priorities in the middle (AMQP 0-10,
    /// priority-level-implementation).
    fn level_of(&self, message: &Held) -> u8 {
        let sections = (message.format == MessageFormat(0)).then(|| SectionsRef::find(&message.payload).ok()).flatten();
        let header = sections.and_then(|sections| sections.header().ok().flatten());
        let priority = header.and_then(|header| header.priority).map_or(DEFAULT_PRIORITY, usize::from);
        let lowest = 5 - self.features.levels.div_ceil(2).min(5);
        priority.saturating_sub(lowest).min(self.features.levels - 1) as u8
    }

    /// Whether senders wait for room, and do not take the consequences. Where messages replace each other, only the message
    /// itself says whether it needs any.
    pub(super) fn holds_back(&self) -> bool {
        self.features.policy == LimitPolicy::HoldBack && !self.features.last_values
    }

    /// Whether the oldest messages make room.
    pub(super) fn is_ring(&self) -> bool {
        self.features.policy == LimitPolicy::Ring
    }

    /// Messages that may come before senders are stopped.
    pub(super) fn flow_room(&self) -> usize {
        match &self.features.flow {
            None => usize::MAX,
            Some(flow) if flow.stopped => 0,
            // The one that is above stops them.
            Some(flow) => flow.stop.messages.saturating_sub(self.messages).saturating_add(1),
        }
    }

    /// Notes that messages have come or gone.
    pub(super) fn update_flow(&mut self) {
        let (messages, bytes) = (self.messages, self.bytes);
        if let Some(flow) = &mut self.features.flow {
            if messages > flow.stop.messages || bytes > flow.stop.bytes {
                flow.stopped = true;
            } else if messages < flow.resume.messages && bytes < flow.resume.bytes {
                flow.stopped = false;
            }
        }
    }
}

impl Flow {
    fn new(settings: &QueueSettings) -> Option<Self> {
        let size = |size: Option<u64>| size.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        let (messages, bytes) = (size(settings.flow_stop_messages), size(settings.flow_stop_bytes));
        if messages.is_none() && bytes.is_none() {
            return None;
        }
        let stop = Demand { messages: messages.unwrap_or(usize::MAX), bytes: bytes.unwrap_or(usize::MAX) };
        // Whoever says nothing more goes on as soon as there is no more than that, and at the latest when there is nothing.
        let below = |resume: Option<u64>, stop: usize| size(resume).unwrap_or_else(|| stop.saturating_add(1)).max(1);
        let resume = Demand {
            messages: below(settings.flow_resume_messages, stop.messages),
            bytes: below(settings.flow_resume_bytes, stop.bytes),
        };
        Some(Self { stop, resume, stopped: false })
    }
}
