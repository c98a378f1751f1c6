//! What is on its way down: headers and small bodies in one reused buffer, large bodies as they are.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use crate::message::MessageContext;

/// Bodies below this size are copied next to their headers, where one long slice is cheaper than many short ones.
const COPY_BELOW: usize = 4096;

/// Bytes in the order in which they leave. Once it has grown to its usual size, nothing is allocated.
///
/// Over a stream the bytes leave as the transport takes them: [`slices`](Self::slices), [`advance`](Self::advance).
/// Over a transport of messages they leave message by message: [`next_message`](Self::next_message),
/// [`pop_message`](Self::pop_message).
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pieces: VecDeque<Piece>,
    /// The bytes of the copied pieces, one after the other.
    copied: BytesMut,
    /// The messages that are complete, each with its length; none over a stream.
    messages: VecDeque<(usize, MessageContext)>,
    /// How many bytes stand behind the last complete message: over a stream, all.
    open: usize,
    keeps_boundaries: bool,
}

#[derive(Debug)]
enum Piece {
    /// So many of the copied bytes.
    Copied(usize),
    Shared(Bytes),
}

/// A state to go back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pieces: usize,
    /// The length of the last piece when it is a copied one.
    last: usize,
    copied: usize,
    messages: usize,
    open: usize,
}

/// The message that leaves next over a transport of messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaving<'a> {
    outbox: &'a Outbox,
    length: usize,
    pub(crate) context: &'a MessageContext,
}

impl<'a> Leaving<'a> {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Fills `slices` with the bytes of the message; returns how many were filled, or `None` when there are too few:
    /// [`to_bytes`](Self::to_bytes) has it in one piece.
    pub(crate) fn slices(&self, slices: &mut [IoSlice<'a>]) -> Option<usize> {
        let mut rest = self.length;
        let mut count = 0;
        let mut pieces = self.outbox.pieces();
        while rest > 0 {
            let piece = pieces.next()?;
            let piece = &piece[..piece.len().min(rest)];
            *slices.get_mut(count)? = IoSlice::new(piece);
            rest -= piece.len();
            count += 1;
        }
        Some(count)
    }

    /// The bytes of the message in one piece; copied unless they are one body.
    pub(crate) fn to_bytes(self) -> Bytes {
        match self.outbox.pieces.front() {
            Some(Piece::Shared(data)) if data.len() == self.length => data.clone(),
            _ => self.outbox.collect(self.length),
        }
    }
}

impl Outbox {
    /// For a transport that keeps messages apart.
    pub(crate) fn of_messages() -> Self {
        Self { keeps_boundaries: true, ..Self::default() }
    }

    pub(crate) fn keeps_boundaries(&self) -> bool {
        self.keeps_boundaries
    }

    pub(crate) fn push(&mut self, data: Bytes) {
        // Over a transport of messages, what stands alone is perhaps all of a message, which leaves as it is.
        let alone = self.keeps_boundaries && self.open == 0 && !data.is_empty();
        if data.len() < COPY_BELOW && !alone {
            self.push_slice(&data);
        } else {
            self.open += data.len();
            self.pieces.push_back(Piece::Shared(data));
        }
    }

    pub(crate) fn push_slice(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        self.open += data.len();
        self.copied.extend_from_slice(data);
        match self.pieces.back_mut() {
            Some(Piece::Copied(length)) => *length += data.len(),
            _ => self.pieces.push_back(Piece::Copied(data.len())),
        }
    }

    /// How many bytes were pushed since the last message was completed.
    pub(crate) fn open_len(&self) -> usize {
        self.open
    }

    /// Makes a message of what was pushed since the last one, which may be nothing at all.
    pub(crate) fn end_message(&mut self, context: MessageContext) {
        self.messages.push_back((std::mem::take(&mut self.open), context));
    }

    /// The message that leaves next.
    pub(crate) fn next_message(&self) -> Option<Leaving<'_>> {
        let (length, context) = self.messages.front()?;
        Some(Leaving { outbox: self, length: *length, context })
    }

    /// Drops the message that [`next_message`](Self::next_message) has shown.
    pub(crate) fn pop_message(&mut self) -> Option<MessageContext> {
        let (length, context) = self.messages.pop_front()?;
        self.advance(length);
        Some(context)
    }

    /// Takes the message that leaves next in one piece.
    pub(crate) fn take_message(&mut self) -> Option<(Bytes, MessageContext)> {
        let data = self.next_message()?.to_bytes();
        Some((data, self.pop_message()?))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.messages.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.copied.clear();
        self.messages.clear();
        self.open = 0;
    }

    /// Remembers the state, for as long as nothing leaves.
    pub(crate) fn mark(&self) -> Mark {
        let last = if let Some(Piece::Copied(length)) = self.pieces.back() { *length } else { 0 };
        let (pieces, copied, messages) = (self.pieces.len(), self.copied.len(), self.messages.len());
        Mark { pieces, last, copied, messages, open: self.open }
    }

    /// Drops what was pushed since the mark.
    pub(crate) fn roll_back(&mut self, mark: Mark) {
        self.pieces.truncate(mark.pieces);
        if let Some(Piece::Copied(length)) = self.pieces.back_mut() {
            *length = mark.last;
        }
        self.copied.truncate(mark.copied);
        self.messages.truncate(mark.messages);
        self.open = mark.open;
    }

    /// What waits, when it is in one piece: most messages leave by themselves.
    pub(crate) fn only(&self) -> Option<&[u8]> {
        match self.pieces.front()? {
            _ if self.pieces.len() > 1 => None,
            Piece::Copied(_) => Some(&self.copied),
            Piece::Shared(data) => Some(data),
        }
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut copied = &self.copied[..];
        self.pieces.iter().map(move |piece| match piece {
            Piece::Copied(length) => {
                let (piece, rest) = copied.split_at(*length);
                copied = rest;
                piece
            }
            Piece::Shared(data) => &data[..],
        })
    }

    /// Fills `slices` with what leaves next, of at most so many bytes; returns how many were filled.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>], mut most: usize) -> usize {
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(self.pieces()) {
            if most == 0 {
                break;
            }
            let piece = &piece[..piece.len().min(most)];
            most -= piece.len();
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    fn collect(&self, length: usize) -> Bytes {
        let mut data = BytesMut::with_capacity(length);
        for piece in self.pieces() {
            let rest = length - data.len();
            data.extend_from_slice(&piece[..piece.len().min(rest)]);
            if data.len() == length {
                break;
            }
        }
        data.freeze()
    }

    /// Takes everything as one piece, for the layer below.
    pub(crate) fn take(&mut self) -> Bytes {
        let data = match self.pieces.front_mut() {
            Some(Piece::Shared(data)) if data.len() == self.open => std::mem::take(data),
            _ => self.collect(self.open),
        };
        self.clear();
        data
    }

    /// Notes that so many bytes have left.
    pub(crate) fn advance(&mut self, mut count: usize) {
        if self.only().is_some_and(|only| only.len() == count) {
            self.pieces.pop_front();
            self.copied.clear();
            self.open -= if self.keeps_boundaries { 0 } else { count };
            return;
        }
        while count > 0 {
            let Some(piece) = self.pieces.front_mut() else { return };
            let length = match piece {
                Piece::Copied(length) => *length,
                Piece::Shared(data) => data.len(),
            };
            let step = count.min(length);
            match piece {
                Piece::Copied(length) => {
                    *length -= step;
                    self.copied.advance(step);
                }
                Piece::Shared(data) => data.advance(step),
            }
            if step == length {
                self.pieces.pop_front();
            }
            count -= step;
            if !self.keeps_boundaries {
                self.open -= step;
            }
        }
        if self.pieces.is_empty() {
            self.copied.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(outbox: &Outbox) -> Vec<usize> {
        let mut slices = [IoSlice::new(&[]); 8];
        let count = outbox.slices(&mut slices, usize::MAX);
        slices[..count].iter().map(|slice| slice.len()).collect()
    }

    #[test]
    fn small_bodies_join_their_headers_and_large_ones_do_not() {
        let mut outbox = Outbox::default();
        for _ in 0..3 {
            outbox.push_slice(&[0; 4]);
            outbox.push(Bytes::from(vec![1; 100]));
        }
        assert_eq!(lengths(&outbox), [312]);
        let body = Bytes::from(vec![2; COPY_BELOW]);
        let address = body.as_ptr();
        outbox.push(body);
        outbox.push_slice(&[3]);
        assert_eq!(lengths(&outbox), [312, COPY_BELOW, 1]);
        let mut slices = [IoSlice::new(&[]); 8];
        outbox.slices(&mut slices, usize::MAX);
        assert_eq!(slices[1].as_ptr(), address, "a large body is not copied");
    }

    #[test]
    fn messages_leave_one_by_one_and_an_empty_one_is_one() {
        let mut outbox = Outbox::of_messages();
        let body = Bytes::from(vec![2; COPY_BELOW]);
        let one = Bytes::from_static(b"one");
        for data in [one.clone(), Bytes::new(), body.clone(), Bytes::from_static(b"two")] {
            outbox.push(data);
            outbox.end_message(MessageContext::NONE);
        }
        outbox.push_slice(b"head");
        outbox.push(body.clone());
        outbox.end_message(crate::message::Message::new("").last().context);
        assert_eq!(
            outbox.next_message().unwrap().to_bytes().as_ptr(),
            one.as_ptr(),
            "nor one that is all of a message"
        );
        assert_eq!(outbox.take_message().unwrap().0, one);
        assert_eq!(outbox.next_message().unwrap().len(), 0);
        assert_eq!(outbox.take_message().unwrap().0, &b""[..]);
        assert_eq!(outbox.next_message().unwrap().to_bytes().as_ptr(), body.as_ptr(), "a large body is not copied");
        outbox.pop_message();
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(outbox.next_message().unwrap().slices(&mut slices), Some(1));
        assert_eq!(&slices[0][..], b"two");
        outbox.pop_message();
        let leaving = outbox.next_message().unwrap();
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(leaving.slices(&mut slices[..1]), None, "too few slices");
        assert_eq!(leaving.slices(&mut slices), Some(2));
        assert_eq!(leaving.to_bytes(), [&b"head"[..], &body[..]].concat());
        assert!(outbox.pop_message().unwrap().last && outbox.is_empty());
    }

    #[test]
    fn a_roll_back_leaves_what_was_there_before() {
        let build = |mut outbox: Outbox| {
            outbox.push_slice(b"before");
            outbox
        };
        let mut outbox = build(Outbox::default());
        let mark = outbox.mark();
        outbox.push_slice(b"head");
        outbox.push(Bytes::from(vec![1; COPY_BELOW]));
        outbox.push_slice(b"tail");
        outbox.roll_back(mark);
        outbox.push_slice(b"!");
        assert_eq!(lengths(&outbox), [7]);
        assert_eq!(outbox.take(), &b"before!"[..]);
        let mut outbox = build(Outbox::of_messages());
        outbox.end_message(MessageContext::NONE);
        let mark = outbox.mark();
        outbox.push_slice(b"more");
        outbox.end_message(MessageContext::NONE);
        outbox.roll_back(mark);
        assert_eq!(outbox.take_message().unwrap().0, &b"before"[..]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn every_split_of_the_writes_keeps_the_order() {
        let build = || {
            let mut outbox = Outbox::default();
            outbox.push_slice(b"head");
            outbox.push(Bytes::from(vec![b'x'; COPY_BELOW]));
            outbox.push_slice(b"tail");
            outbox
        };
        let whole = build().take();
        assert_eq!(whole.len(), COPY_BELOW + 8);
        for step in [1, 3, 4, 5, 1000, COPY_BELOW + 3] {
            let mut outbox = build();
            let mut written = Vec::new();
            while !outbox.is_empty() {
                let mut slices = [IoSlice::new(&[]); 8];
                let count = outbox.slices(&mut slices, usize::MAX);
                let now: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                let now = &now[..now.len().min(step)];
                written.extend_from_slice(now);
                outbox.advance(now.len());
            }
            assert_eq!(written, whole);
        }
    }
}
