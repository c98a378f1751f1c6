//! The messages of a session that are not whole.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::remembered::{Id, Remembered};
use super::{Assembly, AssemblyOptions, Buffer, Keep, Progress, Refusal};
use crate::{ByteRange, Flag};

/// The messages of one session that are not whole, by their names, and the names of those that are over.
///
/// A chunk goes through [`begin`](Self::begin), [`data`](Self::data) and [`end`](Self::end). A message that is refused by
/// any of these is over: nothing more of the chunk is taken, and later ones are refused. What had come of it before is
/// behind [`poll_dropped`](Self::poll_dropped), which is to be asked after each refusal and timeout.
///
/// ```
/// use std::time::Instant;
///
/// use bytes::Bytes;
/// use postroad_msrp::Flag;
/// use postroad_msrp::assembly::{Assemblies, AssemblyLimits, AssemblyOptions, Budget, Outcome};
///
/// let (now, mut budget) = (Instant::now(), Budget::new(1 << 20));
/// let mut assemblies = Assemblies::new(AssemblyLimits::default());
/// assemblies.begin(b"12339sdqwer", Some("1-2/2".parse()?), AssemblyOptions::default(), now, &mut budget)?;
/// assemblies.data(Bytes::from_static(b"Hi"), now, &mut budget, |_, _| {})?;
/// let ended = assemblies.end(Flag::Complete, now, &mut budget)?;
/// let Outcome::Complete { buffer, .. } = ended.outcome else { panic!() };
/// assert_eq!(buffer.into_bytes(), "Hi");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Assemblies {
    limits: AssemblyLimits,
    /// The one whose chunk is read, apart: most messages begin and end there.
    current: Option<Open>,
    open: Vec<Open>,
    finished: Remembered,
    stopped: Remembered,
    dropped: VecDeque<Dropped>,
    /// Octets in memory, of all of them.
    held: u64,
}

/// How much may be open in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssemblyLimits {
    /// Messages that are not whole between chunks. By default 16: one that never ends costs its sender nothing.
    pub messages: usize,
    /// Octets in memory of all messages that are not whole. By default 16 MiB.
    pub octets: u64,
    /// How long nothing may come of a message before it is dropped. By default 5 minutes.
    pub idle: Duration,
    /// Names of whole messages to know again. By default 256; each takes up to 100 octets.
    pub finished: usize,
    /// Names of refused, aborted and dropped messages to refuse again. By default 256.
    pub stopped: usize,
}

impl Default for AssemblyLimits {
    fn default() -> Self {
        Self { messages: 16, octets: 16 << 20, idle: Duration::from_secs(300), finished: 256, stopped: 256 }
    }
}

/// Octets in memory that several sessions share: each alone keeps its limit, and many together would not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    limit: u64,
    used: u64,
}

impl Budget {
    /// A budget of so many octets.
    #[must_use]
    pub const fn new(limit: u64) -> Self {
        Self { limit, used: 0 }
    }

    /// The octets in use.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used
    }

    fn take(&mut self, octets: u64) -> Result<(), Refusal> {
        if octets > self.limit.saturating_sub(self.used) {
            return Err(Refusal::OverBudget);
        }
        self.used += octets;
        Ok(())
    }

    fn give_back(&mut self, octets: u64) {
        self.used = self.used.saturating_sub(octets);
    }
}

#[derive(Debug)]
struct Open {
    id: Id,
    assembly: Assembly,
    /// Octets taken from the budget.
    held: u64,
    /// When something came of it.
    last: Instant,
    /// Whether it was whole before, and comes again.
    again: bool,
}

/// What a chunk that begins is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// A message of which nothing had come.
    New,
    /// A message of which something had come.
    Continued,
    /// A message that was whole before. It is answered as any other (RFC 4975 5.4); nobody is given its octets.
    Duplicate,
}

/// A chunk that ended.
#[derive(Debug)]
pub struct Ended {
    /// Its range with its real end.
    pub range: ByteRange,
    /// What that makes of the message.
    pub outcome: Outcome,
}

/// What a chunk that ended makes of its message.
#[derive(Debug)]
pub enum Outcome {
    /// It is not whole yet.
    More,
    /// It is whole, and no longer counted.
    Complete {
        /// Its octets.
        total: u64,
        /// What was kept of it in memory.
        buffer: Buffer,
    },
    /// Its sender gave it up.
    Aborted {
        /// What was kept of it in memory.
        buffer: Buffer,
    },
    /// It was whole before.
    Duplicate,
}

/// A message that is given up before it is whole.
#[derive(Debug)]
pub struct Dropped {
    /// Its name.
    pub id: Bytes,
    /// Why; nothing where too long nothing came of it, or the owner wanted no more.
    pub refusal: Option<Refusal>,
    /// How many of its octets came.
    pub octets: u64,
    /// How many it has in all, as far as it was known.
    pub total: Option<u64>,
    /// What was kept of it in memory.
    pub buffer: Buffer,
}

impl Assemblies {
    /// No messages.
    #[must_use]
    pub fn new(limits: AssemblyLimits) -> Self {
        Self {
            limits,
            current: None,
            open: Vec::new(),
            finished: Remembered::new(limits.finished),
            stopped: Remembered::new(limits.stopped),
            dropped: VecDeque::new(),
            held: 0,
        }
    }

    /// Begins a chunk of a message. The options count where it is the first one; `id` is a
    /// `Message-ID`. A chunk that has not ended is over, as with `+`.
    ///
    /// # Errors
    /// No more of the message is taken.
    pub fn begin(
        &mut self,
        id: &[u8],
        range: Option<ByteRange>,
        options: AssemblyOptions,
        now: Instant,
        budget: &mut Budget,
    ) -> Result<Started, Refusal> {
        if let Some(cut) = self.current.take() {
            // Nobody is there to hear of it; a refusal is told as a message that was dropped.
            let _ = self.park(cut, budget);
        }
        if self.stopped.contains(id) {
            return Err(Refusal::Stopped);
        }
        if let Some(index) = self.open.iter().position(|open| open.id.as_bytes() == id) {
            let mut open = self.open.swap_remove(index);
            if let Err(refusal) = open.assembly.chunk_begin(range) {
                self.drop(open, Some(refusal), budget);
                return Err(refusal);
            }
            open.last = now;
            self.current = Some(open);
            return Ok(Started::Continued);
        }
        let again = self.finished.contains(id);
        let options = if again { AssemblyOptions { keep: Keep::Pieces, ..options } } else { options };
        let mut open = Open { id: Id::new(id), assembly: Assembly::new(options), held: 0, last: now, again };
        let started = open.assembly.chunk_begin(range);
        // One that may be whole in this chunk is let in at any time.
        let is_part = range.is_some_and(|range| {
            range.start() > 1 || range.end().zip(range.total()).is_some_and(|(end, total)| end < total)
        });
        let started = match started {
            Ok(_) if !again && is_part && self.open.len() >= self.limits.messages => Err(Refusal::TooManyMessages),
            other => other,
        };
        if let Err(refusal) = started {
            if !again {
                self.stopped.insert(&open.id);
            }
            return Err(refusal);
        }
        self.current = Some(open);
        Ok(if again { Started::Duplicate } else { Started::New })
    }

    /// Takes content of the chunk. Where the owner [keeps](Keep::Pieces) it, `place` is given each piece with its offset
    /// from 0.
    ///
    /// # Errors
    /// No more of the message is taken, or no chunk has begun.
    pub fn data(
        &mut self,
        bytes: Bytes,
        now: Instant,
        budget: &mut Budget,
        place: impl FnMut(u64, Bytes),
    ) -> Result<(), Refusal> {
        let open = self.current.as_mut().ok_or(Refusal::Stopped)?;
        open.last = now;
        let taken = if open.again {
            open.assembly.data(bytes, |_, _| {}).map(|_| ())
        } else {
            open.assembly.cost(bytes.len()).and_then(|cost| {
                if cost > self.limits.octets.saturating_sub(self.held) {
                    return Err(Refusal::OverBudget);
                }
                budget.take(cost)?;
                open.held += cost;
                self.held += cost;
                open.assembly.data(bytes, place).map(|_| ())
            })
        };
        if let Err(refusal) = taken
            && let Some(open) = self.current.take()
        {
            self.drop(open, Some(refusal), budget);
        }
        taken
    }

    /// Ends the chunk.
    ///
    /// # Errors
    /// No more of the message is taken, or no chunk has begun.
    pub fn end(&mut self, flag: Flag, now: Instant, budget: &mut Budget) -> Result<Ended, Refusal> {
        let mut open = self.current.take().ok_or(Refusal::Stopped)?;
        open.last = now;
        let range = open.assembly.chunk_range().ok_or(Refusal::Stopped)?;
        if open.again {
            return Ok(Ended { range, outcome: Outcome::Duplicate });
        }
        let outcome = match open.assembly.chunk_end(flag) {
            Ok(Progress::More) => self.park(open, budget).map(|()| Outcome::More)?,
            Ok(Progress::Complete { total }) => {
                self.finished.insert(&open.id);
                Outcome::Complete { total, buffer: self.release(open, budget) }
            }
            Ok(Progress::Aborted) => {
                self.stopped.insert(&open.id);
                Outcome::Aborted { buffer: self.release(open, budget) }
            }
            Err(refusal) => {
                self.drop(open, Some(refusal), budget);
                return Err(refusal);
            }
        };
        Ok(Ended { range, outcome })
    }

    /// Counts octets of an open message as there that came in another way ([`Assembly::have`]): its size, if it is whole with
    /// them.
    pub fn have(&mut self, id: &[u8], range: std::ops::Range<u64>, budget: &mut Budget) -> Option<u64> {
        let is = |open: &Open| open.id.as_bytes() == id && !open.again;
        if let Some(open) = self.current.as_mut().filter(|open| is(open)) {
            // What it makes of the message shows when the chunk ends.
            let _ = open.assembly.have(range);
            return None;
        }
        let index = self.open.iter().position(is)?;
        let Ok(Progress::Complete { total }) = self.open[index].assembly.have(range) else { return None };
        let open = self.open.swap_remove(index);
        self.finished.insert(&open.id);
        self.release(open, budget);
        Some(total)
    }

    /// Takes no more of a message that the owner does not want, whether some of it has come or not, and gives what has.
    pub fn refuse(&mut self, id: &[u8], budget: &mut Budget) -> Option<Dropped> {
        let is = |open: &Open| open.id.as_bytes() == id && !open.again;
        let open = match self.current.take_if(|open| is(open)) {
            Some(open) => open,
            None => match self.open.iter().position(is) {
                Some(index) => self.open.swap_remove(index),
                None => {
                    if !self.finished.contains(id) {
                        self.stopped.insert(&Id::new(id));
                    }
                    return None;
                }
            },
        };
        self.stopped.insert(&open.id);
        Some(self.give_up(open, None, budget))
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; nothing where no message is open.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let last = self.open.iter().chain(&self.current).map(|open| open.last).min()?;
        last.checked_add(self.limits.idle)
    }

    /// Drops the messages of which nothing came for too long.
    pub fn handle_timeout(&mut self, now: Instant, budget: &mut Budget) {
        let idle = self.limits.idle;
        let late = |open: &Open| now.saturating_duration_since(open.last) >= idle;
        if let Some(open) = self.current.take_if(|open| late(open)) {
            self.drop(open, None, budget);
        }
        while let Some(index) = self.open.iter().position(late) {
            let open = self.open.swap_remove(index);
            self.drop(open, None, budget);
        }
    }

    /// The next message that was dropped.
    pub fn poll_dropped(&mut self) -> Option<Dropped> {
        self.dropped.pop_front()
    }

    /// Drops all messages, as at the end of the session.
    pub fn clear(&mut self, budget: &mut Budget) {
        let current = self.current.take();
        for open in std::mem::take(&mut self.open).into_iter().chain(current) {
            self.drop(open, None, budget);
        }
    }

    /// How many messages are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len() + usize::from(self.current.is_some())
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has come of the message whose chunk is read.
    #[must_use]
    pub fn current(&self) -> Option<&Assembly> {
        self.current.as_ref().map(|open| &open.assembly)
    }

    /// Keeps a message until its next chunk.
    fn park(&mut self, mut open: Open, budget: &mut Budget) -> Result<(), Refusal> {
        if open.again {
            return Ok(());
        }
        if self.open.len() >= self.limits.messages {
            self.drop(open, Some(Refusal::TooManyMessages), budget);
            return Err(Refusal::TooManyMessages);
        }
        open.assembly.buffer.settle();
        self.open.push(open);
        Ok(())
    }

    fn drop(&mut self, open: Open, refusal: Option<Refusal>, budget: &mut Budget) {
        if open.again {
            return;
        }
        self.stopped.insert(&open.id);
        let dropped = self.give_up(open, refusal, budget);
        self.dropped.push_back(dropped);
    }

    fn give_up(&mut self, open: Open, refusal: Option<Refusal>, budget: &mut Budget) -> Dropped {
        let id = Bytes::copy_from_slice(open.id.as_bytes());
        let (octets, total) = (open.assembly.ranges().octets(), open.assembly.total());
        Dropped { id, refusal, octets, total, buffer: self.release(open, budget) }
    }

    fn release(&mut self, open: Open, budget: &mut Budget) -> Buffer {
        budget.give_back(open.held);
        self.held -= open.held;
        open.assembly.into_buffer()
    }
}
