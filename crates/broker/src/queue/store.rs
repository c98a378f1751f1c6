//! What waits in a queue, in the order in which consumers get it.
//!
//! Where nobody chooses, that is a line: new messages behind those that are there, and those that were given back in
//! front. Where consumers choose, or messages have priorities or replace each other, any message may be next, and all are
//! kept by level and seq.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::cursor::{Cursor, Floors};
use super::last_value::LastValues;
use crate::filter::Filter;
use crate::message::Held;

#[derive(Debug)]
pub(super) enum Store {
    Line(Line),
    Index(Box<Index>),
}

/// Messages that leave in their order, but for those that were given back.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Messages that nobody has had yet, by rising seq.
    ready: VecDeque<Held>,
    /// Messages that were given back.
    returned: BTreeMap<u64, Held>,
}

/// Messages that leave in any order.
#[derive(Debug)]
pub(super) struct Index {
    /// From the lowest priority to the highest.
    levels: Vec<BTreeMap<u64, Held>>,
    len: usize,
    last_values: Option<LastValues>,
}

/// A consumer that looks for messages.
#[derive(Debug, Default)]
pub(super) struct Seeker {
    pub(super) uid: u64,
    pub(super) cursor: Cursor,
    pub(super) filter: Option<Arc<Filter>>,
}

/// What a consumer finds.
#[derive(Debug)]
pub(super) enum Found {
    Message(Held),
    Nothing,
    /// It has looked at so many that others are to have their turn.
    Unfinished,
}

impl Store {
    pub(super) fn new(levels: usize, last_values: Option<LastValues>) -> Self {
        if levels <= 1 && last_values.is_none() {
            return Self::Line(Line::default());
        }
        Self::Index(Box::new(Index::new(levels.max(1), last_values)))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Line(line) => line.ready.len() + line.returned.len(),
            Self::Index(index) => index.len,
        }
    }

    /// Adds a message behind the others of its level, and answers the one that it replaces.
    pub(super) fn push(&mut self, held: Held) -> Option<Held> {
        match self {
            Self::Line(line) => {
                line.ready.push_back(held);
                None
            }
            Self::Index(index) => index.push(held),
        }
    }

    /// Adds a message in its old place. One that a newer one has replaced comes back.
    pub(super) fn put_back(&mut self, held: Held) -> Result<(), Held> {
        match self {
            Self::Line(line) => {
                line.returned.insert(held.seq, held);
                Ok(())
            }
            Self::Index(index) => index.put_back(held),
        }
    }

    /// Whether a message that waits would be replaced.
    pub(super) fn is_replaced_by(&self, held: &Held) -> bool {
        match self {
            Self::Line(_) => false,
            Self::Index(index) => index.last_values.as_ref().is_some_and(|values| values.waiting(held).is_some()),
        }
    }

    /// Takes out the message that a new one replaces, before there is room for both.
    pub(super) fn take_replaced_by(&mut self, held: &Held) -> Option<Held> {
        match self {
            Self::Line(_) => None,
            Self::Index(index) => index.take_replaced_by(held),
        }
    }

    /// Takes out the first message that a consumer may have and wants. `looks` is how many more it may look at.
    pub(super) fn next_for(&mut self, seeker: &mut Seeker, floors: &Floors, looks: &mut usize) -> Found {
        seeker.cursor.follow(floors);
        match self {
            Self::Line(line) => line.next_for(seeker).map_or(Found::Nothing, Found::Message),
            Self::Index(index) => index.next_for(seeker, looks),
        }
    }

    /// Shows messages from the cursor on, and moves it behind each. It ends when `visit` answers `false`, and answers
    /// whether it has come to the end before.
    pub(super) fn visit(&self, cursor: &mut Cursor, visit: impl FnMut(&Held) -> bool) -> bool {
        match self {
            Self::Line(line) => line.visit(&mut cursor.levels[0], visit),
            Self::Index(index) => index.visit(cursor, visit),
        }
    }

    /// Takes out the oldest of the messages with the lowest priority, where that is no higher than `level`.
    pub(super) fn pop_oldest(&mut self, level: u8) -> Option<Held> {
        match self {
            Self::Line(line) => line.pop_oldest(),
            Self::Index(index) => index.pop_oldest(level),
        }
    }

    /// Keeps those messages of which `keep` answers `true`.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Held) -> bool) {
        match self {
            Self::Line(line) => {
                line.ready.retain(&mut keep);
                line.returned.retain(|_, held| keep(held));
            }
            Self::Index(index) => index.retain(keep),
        }
    }

    /// Takes everything out.
    pub(super) fn drain(&mut self) -> Vec<Held> {
        let mut drained = Vec::with_capacity(self.len());
        match self {
            Self::Line(line) => {
                drained.extend(std::mem::take(&mut line.ready));
                drained.extend(std::mem::take(&mut line.returned).into_values());
            }
            Self::Index(index) => {
                for level in &mut index.levels {
                    drained.extend(std::mem::take(level).into_values());
                }
                index.len = 0;
                index.last_values.as_mut().map(LastValues::clear);
            }
        }
        drained
    }

    /// Lets consumers choose from now on. Answers the lowest seq of which those that are there may not know.
    pub(super) fn index(&mut self) -> Option<u64> {
        let Self::Line(line) = self else { return None };
        let mut index = Index::new(1, None);
        index.len = line.ready.len() + line.returned.len();
        index.levels[0] = std::mem::take(&mut line.returned);
        let ready = std::mem::take(&mut line.ready);
        let lowest = ready.front().map_or(0, |held| held.seq);
        index.levels[0].extend(ready.into_iter().map(|held| (held.seq, held)));
        *self = Self::Index(Box::new(index));
        Some(lowest)
    }

    /// Forms a line again, where messages are of one level and replace no other.
    pub(super) fn line_up(&mut self) {
        let Self::Index(index) = self else { return };
        if let [level] = &mut index.levels[..]
            && index.last_values.is_none()
        {
            let returned = std::mem::take(level);
            *self = Self::Line(Line { ready: VecDeque::new(), returned });
        }
    }

    #[cfg(test)]
    pub(super) fn seqs(&self) -> Vec<u64> {
        let mut seqs = Vec::new();
        self.visit(&mut Cursor::default(), |held| {
            seqs.push(held.seq);
            true
        });
        seqs
    }
}

impl Line {
    fn next_for(&mut self, seeker: &mut Seeker) -> Option<Held> {
        debug_assert!(seeker.filter.is_none(), "whoever chooses has an index");
        self.pop(seeker.uid, &mut seeker.cursor.levels[0])
    }

    /// The first message in order that a consumer may have. Only one that was given back can be one that it may not.
    fn pop(&mut self, uid: u64, cursor: &mut u64) -> Option<Held> {
        if !self.returned.is_empty() {
            let found = self.returned.range(*cursor..).find(|(_, held)| held.is_for(uid)).map(|(seq, _)| *seq);
            *cursor = found.unwrap_or(u64::MAX);
            if let Some(seq) = found
                && self.ready.front().is_none_or(|front| seq < front.seq)
            {
                *cursor = seq + 1;
                return self.returned.remove(&seq);
            }
        }
        self.ready.pop_front()
    }

    fn pop_oldest(&mut self) -> Option<Held> {
        match (self.returned.first_key_value(), self.ready.front()) {
            (Some((seq, _)), ready) if ready.is_none_or(|ready| *seq < ready.seq) => {
                self.returned.pop_first().map(|(_, held)| held)
            }
            _ => self.ready.pop_front(),
        }
    }

    fn visit(&self, cursor: &mut u64, mut visit: impl FnMut(&Held) -> bool) -> bool {
        let start = self.ready.partition_point(|held| held.seq < *cursor);
        let mut ready = self.ready.range(start..).peekable();
        let mut returned = self.returned.range(*cursor..).map(|(_, held)| held).peekable();
        loop {
            let from_returned = match (ready.peek(), returned.peek()) {
                (Some(ready), Some(returned)) => returned.seq < ready.seq,
                (None, Some(_)) => true,
                (Some(_), None) => false,
                (None, None) => return true,
            };
            let held = if from_returned { returned.next() } else { ready.next() };
            let held = held.expect("peeked at it");
            *cursor = held.seq + 1;
            if !visit(held) {
                return false;
            }
        }
    }
}

impl Index {
    fn new(levels: usize, last_values: Option<LastValues>) -> Self {
        Self { levels: (0..levels).map(|_| BTreeMap::new()).collect(), len: 0, last_values }
    }

    fn push(&mut self, held: Held) -> Option<Held> {
        let replaced = self.take_replaced_by(&held);
        if let Some(values) = &mut self.last_values {
            values.note(&held);
        }
        self.insert(held);
        replaced
    }

    fn put_back(&mut self, held: Held) -> Result<(), Held> {
        if let Some(values) = &mut self.last_values {
            if values.waiting(&held).is_some() {
                return Err(held);
            }
            values.note(&held);
        }
        self.insert(held);
        Ok(())
    }

    fn insert(&mut self, held: Held) {
        self.len += 1;
        self.level_mut(held.level).insert(held.seq, held);
    }

    fn level_mut(&mut self, level: u8) -> &mut BTreeMap<u64, Held> {
        let highest = self.levels.len() - 1;
        &mut self.levels[usize::from(level).min(highest)]
    }

    fn take_replaced_by(&mut self, held: &Held) -> Option<Held> {
        let seq = self.last_values.as_ref()?.waiting(held)?;
        self.remove(0, seq)
    }

    fn remove(&mut self, level: usize, seq: u64) -> Option<Held> {
        let held = self.levels[level].remove(&seq)?;
        self.len -= 1;
        if let Some(values) = &mut self.last_values {
            values.forget(seq);
        }
        Some(held)
    }

    fn next_for(&mut self, seeker: &mut Seeker, looks: &mut usize) -> Found {
        for level in (0..self.levels.len()).rev() {
            let cursor = &mut seeker.cursor.levels[level];
            let mut found = None;
            for (seq, held) in self.levels[level].range(*cursor..) {
                if let Some(filter) = &seeker.filter {
                    *cursor = *seq;
                    if *looks == 0 {
                        return Found::Unfinished;
                    }
                    *looks = looks.saturating_sub(filter.effort(held));
                    if !filter.admits(held) {
                        continue;
                    }
                }
                if held.is_for(seeker.uid) {
                    found = Some(*seq);
                    break;
                }
            }
            if let Some(seq) = found {
                *cursor = seq + 1;
                return self.remove(level, seq).map_or(Found::Nothing, Found::Message);
            }
            // Whatever comes to this level comes behind the last one.
            if let Some((last, _)) = self.levels[level].last_key_value() {
                *cursor = (*cursor).max(last + 1);
            }
        }
        Found::Nothing
    }

    fn visit(&self, cursor: &mut Cursor, mut visit: impl FnMut(&Held) -> bool) -> bool {
        for (level, cursor) in self.levels.iter().zip(&mut cursor.levels).rev() {
            for (seq, held) in level.range(*cursor..) {
                *cursor = seq + 1;
                if !visit(held) {
                    return false;
                }
            }
        }
        true
    }

    fn pop_oldest(&mut self, highest: u8) -> Option<Held> {
        let level = self.levels.iter().position(|level| !level.is_empty())?;
        if level > usize::from(highest) {
            return None;
        }
        let seq = *self.levels[level].first_key_value()?.0;
        self.remove(level, seq)
    }

    fn retain(&mut self, mut keep: impl FnMut(&Held) -> bool) {
        let Self { levels, len, last_values } = self;
        for level in levels {
            level.retain(|seq, held| {
                let keeps = keep(held);
                if !keeps {
                    *len -= 1;
                    if let Some(values) = last_values {
                        values.forget(*seq);
                    }
                }
                keeps
            });
        }
    }
}
