//! One direction of a connection, in virtual time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::Rng;

/// Bytes on their way from one engine to the other: an emulated link, on which nothing overtakes.
#[derive(Debug, Default)]
pub struct Wire {
    /// How long bytes take.
    pub latency: Duration,
    /// What is added to that, at most, anew for each write.
    pub jitter: Option<(Rng, Duration)>,
    /// Bytes per second, where they are limited.
    pub bandwidth: Option<u32>,
    /// In what pieces they arrive.
    pub chunks: Chunks,
    /// While it is set nothing is taken from the sender, nor given to the receiver.
    pub stalled: bool,
    /// Between these times nothing arrives; what is sent meanwhile waits.
    pub pause: Option<(Instant, Instant)>,
    /// The connection breaks once so many bytes have been carried.
    pub cut_at: Option<u64>,
    /// The connection breaks in a certain frame: once that is written, [`cut_at`](Self::cut_at) tells the byte.
    pub cut_in: Option<CutIn>,
    on_the_way: VecDeque<(Instant, Vec<u8>)>,
    last_arrival: Option<Instant>,
    written: u64,
    carried: u64,
}

/// A frame in which a connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutIn {
    /// The descriptor of its performative, such as `0x14` for a transfer; any frame when there is none.
    pub performative: Option<u8>,
    /// How many such frames pass before it.
    pub after: usize,
    /// How many bytes of it pass: all of them, when it has no more.
    pub bytes: usize,
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
        let (at, _) = self.on_the_way.front().filter(|_| !self.stalled)?;
        Some(match self.pause {
            Some((from, until)) if *at >= from => until.max(*at),
            _ => *at,
        })
    }

    /// Whether nothing is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.on_the_way.is_empty()
    }

    /// Whether the wire broke.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut_at.is_some_and(|limit| self.carried >= limit)
    }

    pub(crate) fn put(&mut self, now: Instant, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        self.look_for_the_cut(&bytes);
        let jitter = self.jitter.as_mut().map_or(0, |(rng, most)| rng.below(most.as_micros() as usize + 1));
        let arrival = now + self.latency + Duration::from_micros(jitter as u64);
        let mut arrival = self.last_arrival.map_or(arrival, |last| last.max(arrival));
        if let Some(bandwidth) = self.bandwidth {
            arrival += Duration::from_micros(bytes.len() as u64 * 1_000_000 / u64::from(bandwidth.max(1)));
        }
        self.last_arrival = Some(arrival);
        self.written += bytes.len() as u64;
        self.on_the_way.push_back((arrival, bytes));
    }

    /// Finds the frame in which the connection is to break. Engines write whole frames.
    fn look_for_the_cut(&mut self, bytes: &[u8]) {
        let mut start = 0;
        while let Some(cut) = &mut self.cut_in {
            let Some(head) = bytes.get(start..start + 8) else { return };
            let is_header = head.starts_with(b"AMQP");
            let size = if is_header { 8 } else { u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize };
            let body = start + 4 * usize::from(head[4]);
            let meant = match cut.performative {
                None => true,
                Some(code) => !is_header && bytes.get(body..body + 3) == Some(&[0, 0x53, code]),
            };
            if meant && cut.after == 0 {
                self.cut_at = Some(self.written + (start + cut.bytes.min(size)) as u64);
                self.cut_in = None;
            } else {
                cut.after -= usize::from(meant);
                start += size.max(8);
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{accepted, begin, transfer};

    /// What arrives, when, and whether the wire broke then.
    fn carried(mut wire: Wire, writes: &[Vec<u8>]) -> (Vec<u8>, Duration, bool) {
        let start = Instant::now();
        let (mut now, mut all) = (start, Vec::new());
        writes.iter().for_each(|bytes| wire.put(start, bytes.clone()));
        while let Some(at) = wire.next_arrival() {
            now = now.max(at);
            let Some(piece) = wire.take(now) else { break };
            all.extend(piece);
        }
        (all, now - start, wire.is_cut())
    }

    #[test]
    fn a_wire_breaks_in_the_frame_that_is_meant() {
        let frames = [b"AMQP\0\x01\0\0".to_vec(), begin().to_bytes(), transfer(0).payload("one").to_bytes()];
        let transfers = [transfer(1).payload("two").to_bytes(), accepted(0).to_bytes()];
        let all = [&frames[..], &transfers[..]].concat();
        let second = frames.concat();
        for bytes in [0, 1, 20, 1000] {
            let cut_in = Some(CutIn { performative: Some(0x14), after: 1, bytes });
            let (came, _, cut) = carried(Wire { cut_in, ..Wire::default() }, &[all.concat()]);
            let expected = [&second[..], &transfers[0][..bytes.min(transfers[0].len())]].concat();
            assert_eq!((came, cut), (expected, true), "{bytes}");
        }
        let cut_in = Some(CutIn { performative: None, after: 2, bytes: 3 });
        let (came, ..) = carried(Wire { cut_in, ..Wire::default() }, &all);
        assert_eq!(came, [&frames[0], &frames[1], &frames[2][..3]].map(|frame| frame.to_vec()).concat());
        let cut_in = Some(CutIn { performative: Some(0x16), after: 0, bytes: 3 });
        assert!(!carried(Wire { cut_in, ..Wire::default() }, &all).2, "no such frame, no cut");
    }

    #[test]
    fn a_wire_is_slow_in_every_way_and_keeps_the_order() {
        let writes: Vec<Vec<u8>> = (0..100).map(|number| vec![number; 10]).collect();
        let millis = Duration::from_millis;
        let (came, took, _) =
            carried(Wire { latency: millis(5), jitter: Some((Rng::new(1), millis(50))), ..Wire::default() }, &writes);
        assert_eq!(came, writes.concat());
        assert!(took > millis(5) && took <= millis(55), "{took:?}");
        let (_, took, _) = carried(Wire { bandwidth: Some(1000), ..Wire::default() }, &writes);
        assert_eq!(took, millis(1000));
        let start = Instant::now();
        let mut wire = Wire { pause: Some((start, start + millis(30))), ..Wire::default() };
        wire.put(start, vec![1]);
        assert_eq!((wire.next_arrival(), wire.take(start + millis(29))), (Some(start + millis(30)), None));
        assert_eq!(wire.take(start + millis(30)), Some(vec![1]));
        assert!(wire.is_empty());
    }
}
