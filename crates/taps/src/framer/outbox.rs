//! What is on its way down: headers and small bodies in one reused buffer, large bodies as they are.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Bodies below this size are copied next to their headers, where one long slice is cheaper than many short ones.
const COPY_BELOW: usize = 4096;

/// Bytes in the order in which they leave. Once it has grown to its usual size, nothing is allocated.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pieces: VecDeque<Piece>,
    /// The bytes of the copied pieces, one after the other.
    copied: BytesMut,
}

#[derive(Debug)]
enum Piece {
    /// So many of the copied bytes.
    Copied(usize),
    Shared(Bytes),
}

impl Outbox {
    pub(crate) fn push(&mut self, data: Bytes) {
        if data.len() < COPY_BELOW {
            self.push_slice(&data);
        } else {
            self.pieces.push_back(Piece::Shared(data));
        }
    }

    pub(crate) fn push_slice(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        self.copied.extend_from_slice(data);
        match self.pieces.back_mut() {
            Some(Piece::Copied(length)) => *length += data.len(),
            _ => self.pieces.push_back(Piece::Copied(data.len())),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.copied.clear();
    }

    /// Fills `slices` with what leaves next; returns how many were filled.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut copied = &self.copied[..];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(match piece {
                Piece::Copied(length) => {
                    let (piece, rest) = copied.split_at(*length);
                    copied = rest;
                    piece
                }
                Piece::Shared(data) => data,
            });
            count += 1;
        }
        count
    }

    /// Notes that so many bytes have left.
    pub(crate) fn advance(&mut self, mut count: usize) {
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
        }
        if self.pieces.is_empty() {
            self.copied.clear();
        }
    }

    /// Takes everything as one piece, for the layer below.
    pub(crate) fn take(&mut self) -> Bytes {
        if let [Piece::Shared(data)] = self.pieces.make_contiguous() {
            let data = std::mem::take(data);
            self.clear();
            return data;
        }
        let mut slices = vec![IoSlice::new(&[]); self.pieces.len()];
        let count = self.slices(&mut slices);
        let data: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
        self.clear();
        data.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(outbox: &Outbox) -> Vec<usize> {
        let mut slices = [IoSlice::new(&[]); 8];
        let count = outbox.slices(&mut slices);
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
        outbox.slices(&mut slices);
        assert_eq!(slices[1].as_ptr(), address, "a large body is not copied");
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
                let count = outbox.slices(&mut slices);
                let now: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                let now = &now[..now.len().min(step)];
                written.extend_from_slice(now);
                outbox.advance(now.len());
            }
            assert_eq!(written, whole);
        }
    }
}
