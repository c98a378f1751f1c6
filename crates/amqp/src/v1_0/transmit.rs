//! Bytes on their way to the peer: frames in one buffer, large payloads beside it.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// What is to be written, in order, as a [`Buf`]. Small frames lie in one buffer that is used again;
/// large payloads are spliced in as they are, uncopied.
///
/// ```
/// use postroad_amqp::v1_0::Transmit;
/// let transmit = Transmit::default();
/// assert!(transmit.is_empty());
/// ```
#[derive(Debug, Default)]
pub struct Transmit {
    buffer: Vec<u8>,
    /// Payloads, each with the length of the buffer in front of it.
    splices: VecDeque<(usize, Bytes)>,
    /// Bytes of the buffer that have been written.
    written: usize,
    length: usize,
}

/// Payloads from this size on are not copied.
pub(crate) const SPLICE: usize = 4096;

/// A buffer that has grown past this is given back when it is empty.
const KEEP: usize = 256 * 1024;

impl Transmit {
    /// Bytes that wait to be written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing waits to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Empties this, and keeps the buffer for use again unless it has grown large.
    pub fn clear(&mut self) {
        self.splices.clear();
        (self.written, self.length) = (0, 0);
        if self.buffer.capacity() > KEEP {
            self.buffer = Vec::new();
        } else {
            self.buffer.clear();
        }
    }

    /// Appends through `write`, which appends to the vector it is given.
    #[inline]
    pub(crate) fn write<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let before = self.buffer.len();
        let result = write(&mut self.buffer);
        self.length += self.buffer.len() - before;
        result
    }

    /// Appends a payload without copying it.
    pub(crate) fn splice(&mut self, payload: Bytes) {
        self.length += payload.len();
        self.splices.push_back((self.buffer.len(), payload));
    }

    /// Moves everything behind what `to` holds; swaps where `to` is empty.
    pub(crate) fn move_to(&mut self, to: &mut Self) {
        if to.is_empty() {
            std::mem::swap(self, to);
            return;
        }
        let base = to.buffer.len();
        to.buffer.extend_from_slice(&self.buffer);
        debug_assert_eq!(self.written, 0, "only the receiver of output writes it");
        to.splices.extend(self.splices.drain(..).map(|(end, payload)| (base + end, payload)));
        to.length += self.length;
        self.clear();
    }

    /// Everything that waits, in one piece; for tests and tools.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.length);
        let mut slices = vec![IoSlice::new(&[]); 2 * self.splices.len() + 1];
        let filled = self.chunks_vectored(&mut slices);
        slices[..filled].iter().for_each(|slice| all.extend_from_slice(slice));
        all
    }
}

impl Buf for Transmit {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        match self.splices.front() {
            Some((end, payload)) if *end == self.written => payload,
            Some((end, _)) => &self.buffer[self.written..*end],
            None => &self.buffer[self.written..],
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let (mut filled, mut at) = (0, self.written);
        let mut splices = self.splices.iter();
        while filled < slices.len() {
            let splice = splices.next();
            let end = splice.map_or(self.buffer.len(), |(end, _)| *end);
            if at < end {
                slices[filled] = IoSlice::new(&self.buffer[at..end]);
                filled += 1;
                at = end;
            }
            match splice {
                Some((_, payload)) if filled < slices.len() => {
                    slices[filled] = IoSlice::new(payload);
                    filled += 1;
                }
                _ => break,
            }
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.length, "more written than there was");
        self.length -= count;
        while count > 0 {
            let end = self.splices.front().map_or(self.buffer.len(), |(end, _)| *end);
            let step = count.min(end - self.written);
            self.written += step;
            count -= step;
            if count > 0 {
                let (_, payload) = self.splices.front_mut().expect("the length counts the splices");
                if count < payload.len() {
                    payload.advance(count);
                    return;
                }
                count -= payload.len();
                self.splices.pop_front();
            }
        }
        if self.length == 0 {
            self.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Transmit, Vec<u8>) {
        let mut transmit = Transmit::default();
        transmit.splice(Bytes::from_static(b"first"));
        transmit.write(|out| out.extend_from_slice(b" buffer "));
        transmit.splice(Bytes::from_static(b"second"));
        transmit.splice(Bytes::from_static(b"third"));
        transmit.write(|out| out.extend_from_slice(b" end"));
        (transmit, b"first buffer secondthird end".to_vec())
    }

    #[test]
    fn order_survives_every_split() {
        for step in 1..28 {
            let (mut transmit, all) = sample();
            let mut seen = Vec::new();
            while !transmit.is_empty() {
                let mut slices = [IoSlice::new(&[]); 3];
                let filled = transmit.chunks_vectored(&mut slices);
                let next: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
                let count = step.min(next.len());
                assert!(next.starts_with(&transmit.chunk()[..count.min(transmit.chunk().len())]));
                seen.extend_from_slice(&next[..count]);
                transmit.advance(count);
            }
            assert_eq!(seen, all, "in steps of {step}");
        }
    }

    #[test]
    fn moving_keeps_the_order() {
        let (mut from, all) = sample();
        let (mut to, _) = sample();
        to.advance(7);
        from.move_to(&mut to);
        assert!(from.is_empty());
        assert_eq!(to.to_vec(), [&all[7..], &all[..]].concat());
        assert_eq!(to.len(), to.to_vec().len());
    }
}
