//! Chunks to messages (RFC 4975 5.1 and 7.3.1).

use bytes::Bytes;

use crate::{ByteRange, Code, Flag, RangeSet};

mod buffer;
mod open;
mod remembered;

pub use buffer::Buffer;
pub use open::{Assemblies, AssemblyLimits, Budget, Dropped, Ended, Outcome, Started};

/// One message that comes in chunks, in any order, some of them maybe twice.
///
/// How long a chunk is, its octets say and never its range (RFC 4975 7.3.1); the chunk that ends in `$` says how long the
/// message is. After a refusal nothing more of the message can be added.
///
/// ```
/// use bytes::Bytes;
/// use postroad_msrp::Flag;
/// use postroad_msrp::assembly::{Assembly, AssemblyOptions, Progress};
///
/// let mut assembly = Assembly::new(AssemblyOptions::default());
/// for (range, content, flag, progress) in [
///     ("5-8/8", "EFGH", Flag::Complete, Progress::More),
///     ("1-*/8", "abcd", Flag::Continues, Progress::Complete { total: 8 }),
/// ] {
///     assembly.chunk_begin(Some(range.parse()?))?;
///     assembly.data(Bytes::from_static(content.as_bytes()), |_, _| {})?;
///     assert_eq!(assembly.chunk_end(flag)?, progress);
/// }
/// assert_eq!(assembly.into_buffer().into_bytes(), "abcdEFGH");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Assembly {
    options: AssemblyOptions,
    ranges: RangeSet,
    /// As a range has told it, or the chunk with the end.
    total: Option<u64>,
    /// Whether a chunk had the end.
    ended: bool,
    chunk: Option<Chunk>,
    buffer: Buffer,
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    start: u64,
    /// Where the next octet goes, from 0.
    at: u64,
    end: Option<u64>,
    total: Option<u64>,
}

/// How a message is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssemblyOptions {
    /// Where its octets go. By default to memory.
    pub keep: Keep,
    /// What becomes of octets that come again. By default the last ones stay (RFC 4975 7.3.1).
    pub overlap: Overlap,
    /// The most octets of the message. By default 1 MiB: a peer that never ends would fill the memory.
    pub max_size: u64,
    /// The most pieces that do not touch. By default [`RangeSet::LIMIT`].
    pub max_ranges: usize,
}

impl Default for AssemblyOptions {
    fn default() -> Self {
        Self { keep: Keep::Memory, overlap: Overlap::Last, max_size: 1 << 20, max_ranges: RangeSet::LIMIT }
    }
}

/// Where the octets of a message go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keep {
    /// To a [`Buffer`].
    Memory,
    /// To the owner, who is told the offset of each piece and writes it, as to a file.
    Pieces,
}

/// Which octets stay where some come again and differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// Those that came last.
    Last,
    /// Those that came first, as where they are shown already.
    First,
}

/// What is known of a message behind one of its chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is not whole yet.
    More,
    /// It is whole.
    Complete {
        /// Its octets.
        total: u64,
    },
    /// Its sender gave it up.
    Aborted,
}

/// Why nothing more of a message is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It has more octets than a message may have.
    #[error("a message larger than it may be")]
    TooLarge,
    /// It has more pieces that do not touch than there may be.
    #[error("a message in too many pieces that do not touch")]
    TooManyRanges,
    /// More messages are open than there may be.
    #[error("too many messages that are not whole")]
    TooManyMessages,
    /// All open messages together have more octets than they may have.
    #[error("no memory left for messages that are not whole")]
    OverBudget,
    /// It was refused, aborted or dropped before.
    #[error("a message that was stopped before")]
    Stopped,
    /// A chunk has more octets than its range.
    #[error("a chunk longer than its range")]
    BeyondEnd,
    /// A chunk reaches beyond the end of the message.
    #[error("a chunk beyond the end of the message")]
    BeyondTotal,
    /// Two chunks say differently how long the message is.
    #[error("chunks that differ in how long the message is")]
    Totals,
}

impl Refusal {
    /// The code of the response: 400 where the chunks contradict each other, otherwise 413, which stops the sender.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::BeyondEnd | Self::BeyondTotal | Self::Totals => Code::BAD_REQUEST,
            Self::TooLarge | Self::TooManyRanges | Self::TooManyMessages | Self::OverBudget | Self::Stopped => {
                Code::STOP
            }
        }
    }
}

impl Assembly {
    /// A message of which nothing has come.
    #[must_use]
    pub const fn new(options: AssemblyOptions) -> Self {
        let ranges = RangeSet::with_limit(options.max_ranges);
        let buffer = Buffer::EMPTY;
        Self { options, ranges, total: None, ended: false, chunk: None, buffer }
    }

    /// Begins a chunk, and returns the offset of its first octet, from 0. Without a range it is the first one
    /// (RFC 4975 7.1). A chunk that has not ended is over, as with `+`.
    ///
    /// # Errors
    /// The message is larger than it may be, or chunks contradict each other.
    pub fn chunk_begin(&mut self, range: Option<ByteRange>) -> Result<u64, Refusal> {
        let start = range.map_or(1, |range| range.start());
        let (end, total) = range.map_or((None, None), |range| (range.end(), range.total()));
        let at = start - 1;
        // Nothing is reserved for what is announced, and it need not be awaited either.
        if at.max(end.unwrap_or(0)).max(total.unwrap_or(0)) > self.options.max_size {
            return Err(Refusal::TooLarge);
        }
        if let Some(total) = total {
            if self.total.is_some_and(|known| known != total) || self.ranges.end() > total {
                return Err(Refusal::Totals);
            }
            self.total = Some(total);
        }
        if self.total.is_some_and(|total| at.max(end.unwrap_or(0)) > total) {
            return Err(Refusal::BeyondTotal);
        }
        self.chunk = Some(Chunk { start, at, end, total });
        Ok(at)
    }

    /// Takes content of the chunk. Where the owner [keeps](Keep::Pieces) it, `place` is given each piece with its offset.
    /// Returns how many of the octets were not there before.
    ///
    /// # Errors
    /// There is more than there may be, or no chunk has begun.
    pub fn data(&mut self, bytes: Bytes, mut place: impl FnMut(u64, Bytes)) -> Result<u64, Refusal> {
        let range = self.target(bytes.len())?;
        let at = range.start;
        let pieces = |gap: std::ops::Range<u64>| bytes.slice((gap.start - at) as usize..(gap.end - at) as usize);
        match (self.options.keep, self.options.overlap) {
            (Keep::Pieces, Overlap::First) => {
                for gap in self.ranges.gaps(range.clone()) {
                    place(gap.start, pieces(gap));
                }
            }
            (Keep::Pieces, Overlap::Last) if !bytes.is_empty() => place(at, bytes),
            (Keep::Pieces, Overlap::Last) => {}
            (Keep::Memory, overlap) => {
                let over = overlap == Overlap::Last;
                self.buffer.write(at, bytes, over, self.options.max_ranges)?;
            }
        }
        if let Some(chunk) = &mut self.chunk {
            chunk.at = range.end;
        }
        self.ranges.insert(range).map_err(|_| Refusal::TooManyRanges)
    }

    /// Ends the chunk.
    ///
    /// # Errors
    /// It ends the message elsewhere than other chunks do, or no chunk has begun.
    pub fn chunk_end(&mut self, flag: Flag) -> Result<Progress, Refusal> {
        let chunk = self.chunk.take().ok_or(Refusal::Stopped)?;
        match flag {
            Flag::Aborted => return Ok(Progress::Aborted),
            Flag::Continues => {}
            Flag::Complete => {
                if self.total.is_some_and(|total| total != chunk.at) || self.ranges.end() > chunk.at {
                    return Err(Refusal::Totals);
                }
                self.total = Some(chunk.at);
                self.ended = true;
            }
        }
        let progress = self.progress();
        if progress == Progress::More {
            self.buffer.settle();
        }
        Ok(progress)
    }

    fn progress(&self) -> Progress {
        match self.total {
            Some(total) if self.ended && self.ranges.is_complete(total) => Progress::Complete { total },
            _ => Progress::More,
        }
    }

    /// Counts octets as there that came in another way, as over a connection before this one, where the owner
    /// [keeps](Keep::Pieces) them.
    ///
    /// # Errors
    /// There would be too many pieces.
    pub fn have(&mut self, range: std::ops::Range<u64>) -> Result<Progress, Refusal> {
        self.ranges.insert(range).map_err(|_| Refusal::TooManyRanges)?;
        Ok(self.progress())
    }

    /// The range of the chunk with the end that it has so far: what a report tells (RFC 4975 7.1.2). Nothing where no
    /// chunk has begun.
    #[must_use]
    pub fn chunk_range(&self) -> Option<ByteRange> {
        let chunk = self.chunk?;
        ByteRange::new(chunk.start, Some(chunk.at), chunk.total).ok()
    }

    /// The octets that have come.
    #[must_use]
    pub const fn ranges(&self) -> &RangeSet {
        &self.ranges
    }

    /// The octets of the whole message, as far as it is known.
    #[must_use]
    pub const fn total(&self) -> Option<u64> {
        self.total
    }

    /// What was kept in memory.
    #[must_use]
    pub fn into_buffer(self) -> Buffer {
        self.buffer
    }

    /// Where the next octets of the chunk go, if they may.
    fn target(&self, length: usize) -> Result<std::ops::Range<u64>, Refusal> {
        let chunk = self.chunk.as_ref().ok_or(Refusal::Stopped)?;
        let to = chunk.at.checked_add(length as u64).ok_or(Refusal::TooLarge)?;
        if chunk.end.is_some_and(|end| to > end) {
            return Err(Refusal::BeyondEnd);
        }
        if self.total.is_some_and(|total| to > total) {
            return Err(Refusal::BeyondTotal);
        }
        if to > self.options.max_size.min(ByteRange::MAX) {
            return Err(Refusal::TooLarge);
        }
        Ok(chunk.at..to)
    }

    /// How many octets more would be in memory.
    fn cost(&self, length: usize) -> Result<u64, Refusal> {
        let range = self.target(length)?;
        match self.options.keep {
            Keep::Memory => Ok(self.ranges.gaps(range).map(|gap| gap.end - gap.start).sum()),
            Keep::Pieces => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests;
