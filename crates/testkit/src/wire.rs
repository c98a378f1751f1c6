//! One direction of a connection, in virtual time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::Rng;

/// Bytes on their way from one engine to the other.
#[derive(Debug, Default)]
pub struct Wire {
    /// How long bytes take.
    pub latency: Duration,
    /// In what pieces they arrive.
    pub chunks: Chunks,
    /// While it is set nothing is taken from the sender, nor given to the receiver.
    pub stalled: bool,
    /// The connection breaks once so many bytes have been carried.
    pub cut_at: Option<u64>,
    on_the_way: VecDeque<(Instant, Vec<u8>)>,
    carried: u64,
}

/// In what pieces bytes arrive.
#[derive(Debug, Clone, Default)]
pub enum Chunks {
    /// As they were written.
    #[default]
    Whole,
    /// So many at a time, 1 at least.
    Fixed(usize),
    /// Up to so many at a time, as the generator says.
    Random(Rng, usize),
}

impl Wire {
    /// Bytes that have arrived.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.carried
    }

    /// When the next bytes arrive.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        self.on_the_way.front().map(|(at, _)| *at).filter(|_| !self.stalled)
    }

    /// Whether the wire broke.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut_at.is_some_and(|limit| self.carried >= limit)
    }

    pub(crate) fn put(&mut self, now: Instant, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.on_the_way.push_back((now + self.latency, bytes));
        }
    }

    /// The next piece that has arrived.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.is_cut() || self.next_arrival().is_none_or(|at| at > now) {
            return None;
        }
        let (_, bytes) = self.on_the_way.front_mut()?;
        let size = match &mut self.chunks {
            Chunks::Whole => bytes.len(),
            Chunks::Fixed(size) => (*size).max(1),
            Chunks::Random(rng, most) => 1 + rng.below(*most),
        };
        let left = self.cut_at.map_or(u64::MAX, |limit| limit - self.carried);
        let size = size.min(bytes.len()).min(usize::try_from(left).unwrap_or(usize::MAX));
        let rest = bytes.split_off(size);
        let piece = std::mem::replace(bytes, rest);
        if bytes.is_empty() {
            self.on_the_way.pop_front();
        }
        self.carried += piece.len() as u64;
        Some(piece)
    }
}
