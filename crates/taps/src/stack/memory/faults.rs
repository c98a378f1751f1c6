//! What happens to the bytes and messages of one direction.

use std::sync::Arc;

/// What happens to what one end sends to the other, so that a test meets on purpose what a network does by chance.
/// Everything is decided by the numbers that are given here; nothing is random.
///
/// A connection takes the faults that its [`MemoryNetwork`](crate::MemoryNetwork) has when it is made.
///
/// ```
/// use postroad_taps::MemoryFaults;
///
/// // The peer gets a byte at a time, and the connection breaks after the hundredth.
/// let faults = MemoryFaults::new().read_sizes([1]).fail_after(100);
/// # let _ = faults;
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct MemoryFaults {
    pub(super) capacity: usize,
    write_sizes: Arc<[usize]>,
    read_sizes: Arc<[usize]>,
    pub(super) fail_after: Option<u64>,
    pub(super) end_after: Option<u64>,
    pub(super) stall_after: Option<u64>,
    fates: Arc<[MessageFate]>,
    seed: Option<u64>,
}

/// What becomes of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MessageFate {
    /// It arrives.
    Deliver,
    /// It is lost.
    Drop,
    /// It arrives twice.
    Duplicate,
    /// It is overtaken by this many later messages; the end of the connection waits for it.
    Delay(usize),
}

impl MemoryFaults {
    /// How many bytes are on their way at most, unless [`capacity`](Self::capacity) says otherwise.
    pub const DEFAULT_CAPACITY: usize = 64 * 1024;

    /// No fault.
    pub fn new() -> Self {
        Self {
            capacity: Self::DEFAULT_CAPACITY,
            write_sizes: Arc::default(),
            read_sizes: Arc::default(),
            fail_after: None,
            end_after: None,
            stall_after: None,
            fates: Arc::default(),
            seed: None,
        }
    }

    /// How many bytes are on their way at most, 1 or more: one who sends more waits until the other has read. A message
    /// counts for 64 bytes more than it has, and one that is longer travels alone.
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = bytes.max(1);
        self
    }

    /// How many bytes the first, second, .. write takes at most; after the last the list begins again. Streams only.
    pub fn write_sizes(mut self, sizes: impl IntoIterator<Item = usize>) -> Self {
        self.write_sizes = sizes.into_iter().collect();
        self
    }

    /// How many bytes the first, second, .. read gets at most; after the last the list begins again. Streams only.
    pub fn read_sizes(mut self, sizes: impl IntoIterator<Item = usize>) -> Self {
        self.read_sizes = sizes.into_iter().collect();
        self
    }

    /// The connection breaks, in both directions, once so many bytes have been sent. They arrive; a message that would
    /// go beyond does not.
    pub fn fail_after(mut self, bytes: u64) -> Self {
        self.fail_after = Some(bytes);
        self
    }

    /// The other end meets the end of the stream after so many bytes, as if this one had closed it there.
    pub fn end_after(mut self, bytes: u64) -> Self {
        self.end_after = Some(bytes);
        self
    }

    /// The other end gets nothing more after so many bytes: it does not read, nor does it close.
    pub fn stall_after(mut self, bytes: u64) -> Self {
        self.stall_after = Some(bytes);
        self
    }

    /// What becomes of the first, second, .. message; all after the list arrive. Messages only.
    pub fn messages(mut self, fates: impl IntoIterator<Item = MessageFate>) -> Self {
        self.fates = fates.into_iter().collect();
        self
    }

    /// One message in eight is lost, one arrives twice and one is overtaken by up to four others; the seed decides
    /// which. A list of [`messages`](Self::messages) goes before. Messages only.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How much the write of this number takes.
    pub(super) fn write_size(&self, turn: u64) -> usize {
        size(&self.write_sizes, turn)
    }

    pub(super) fn read_size(&self, turn: u64) -> usize {
        size(&self.read_sizes, turn)
    }

    /// What becomes of the message of this number, counted from 0.
    pub(super) fn fate(&self, message: u64) -> MessageFate {
        if let Some(fate) = usize::try_from(message).ok().and_then(|index| self.fates.get(index)) {
            return *fate;
        }
        let Some(seed) = self.seed else { return MessageFate::Deliver };
        let drawn = scatter(seed.wrapping_add(message));
        match drawn % 8 {
            0 => MessageFate::Drop,
            1 => MessageFate::Duplicate,
            2 => MessageFate::Delay(1 + (drawn / 8 % 4) as usize),
            _ => MessageFate::Deliver,
        }
    }
}

impl Default for MemoryFaults {
    fn default() -> Self {
        Self::new()
    }
}

fn size(sizes: &[usize], turn: u64) -> usize {
    if sizes.is_empty() {
        return usize::MAX;
    }
    // A size of 0 would read as the end of the stream.
    sizes[(turn % sizes.len() as u64) as usize].max(1)
}

/// Spreads a number over all bits, by rounds of xorshift and multiplication.
fn scatter(mut number: u64) -> u64 {
    number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    for _ in 0..2 {
        number ^= number >> 31;
        number = number.wrapping_mul(0xd6e8_feb8_6659_fd93);
    }
    number ^ (number >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fates_of_a_seed_are_always_the_same_and_of_every_kind() {
        let fates = |seed| -> Vec<MessageFate> {
            let faults = MemoryFaults::new().seed(seed);
            (0..200).map(|message| faults.fate(message)).collect()
        };
        assert_eq!(fates(7), fates(7));
        assert_ne!(fates(7), fates(8000));
        let count = |fate: fn(&MessageFate) -> bool| fates(7).iter().filter(|found| fate(found)).count();
        for lost in [
            count(|fate| *fate == MessageFate::Drop),
            count(|fate| *fate == MessageFate::Duplicate),
            count(|fate| matches!(fate, MessageFate::Delay(1..=4))),
        ] {
            assert!((8..60).contains(&lost), "{lost} of 200");
        }
    }

    #[test]
    fn a_list_goes_before_a_seed_and_sizes_come_again() {
        let faults = MemoryFaults::new().seed(1).messages([MessageFate::Drop; 20]).write_sizes([3, 0]);
        assert!((0..20).all(|message| faults.fate(message) == MessageFate::Drop));
        assert_eq!([0, 1, 2, 3].map(|turn| faults.write_size(turn)), [3, 1, 3, 1]);
        assert_eq!(faults.read_size(0), usize::MAX);
    }
}
