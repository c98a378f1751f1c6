//! What waits for a next hop: messages take turns, each in pieces, and what is no message comes before them (RFC 4976 6.4).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::event::ConnectionKey;
use super::transaction::{Back, Forwarded};
use crate::engine::keys::Arena;
use crate::{FailureReport, Flag, TransactionId};

/// What a chunk costs beside its octets: empty ones are to fill a queue too.
const CHUNK: usize = 512;

/// A piece that is not the last has at least so much (RFC 4975 7.1.1): whoever sends octet by octet must not have the relay
/// write a head for each.
const LEAST: usize = 2048;

/// What waits for one next hop.
#[derive(Debug, Default)]
pub(super) struct Queue {
    streams: Arena<Stream>,
    names: HashMap<Name, StreamKey>,
    /// The messages that can go on, in their turn.
    ring: VecDeque<StreamKey>,
    urgent: VecDeque<Urgent>,
    octets: usize,
}

pub(super) type StreamKey = (usize, u64);

/// What tells messages apart: ids are their senders' own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) source: ConnectionKey,
    pub(super) message: Bytes,
    pub(super) paths: Bytes,
}

/// A message that comes through: its chunks in the order in which they came, so that they leave in it.
#[derive(Debug)]
struct Stream {
    name: Name,
    chunks: VecDeque<Chunk>,
    in_ring: bool,
}

/// A chunk that has come, or is coming.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) back: Arc<Back>,
    pub(super) failure: FailureReport,
    /// `To-Path` and `From-Path`.
    pub(super) paths: Bytes,
    /// The headers before and behind `Byte-Range`.
    pub(super) before: Bytes,
    pub(super) after: Bytes,
    /// How many octets of the message lie before what waits.
    pub(super) next: u64,
    pub(super) total: Option<u64>,
    /// The range of a chunk without content, as it came.
    pub(super) range: Option<Bytes>,
    pub(super) parts: VecDeque<Bytes>,
    pub(super) waiting: usize,
    pub(super) ended: Option<Flag>,
    /// Whether some of it has left.
    pub(super) begun: bool,
    /// The most content of a piece.
    pub(super) most: usize,
}

/// A request that is no chunk.
#[derive(Debug)]
pub(super) struct Urgent {
    pub(super) frame: Bytes,
    /// Where it has a response to come.
    pub(super) transaction: Option<(TransactionId, Forwarded)>,
}

/// What leaves next of a chunk.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) start: u64,
    pub(super) length: usize,
    pub(super) parts: Vec<Bytes>,
    pub(super) flag: Flag,
}

impl Chunk {
    /// What its head costs in memory.
    fn head(&self) -> usize {
        CHUNK + self.paths.len() + self.before.len() + self.after.len() + self.back.weight()
    }

    /// The least content of a piece that is not the last: a head is not to be multiplied.
    fn least(&self) -> usize {
        let head = self.paths.len() + self.before.len() + self.after.len();
        LEAST.max(head).min(self.most)
    }

    fn is_ready(&self) -> bool {
        self.ended.is_some() || self.waiting > self.least()
    }

    /// Takes out what leaves next.
    fn piece(&mut self) -> Piece {
        // An octet stays behind until the end is known, so that the last piece is not empty.
        let there = if self.ended.is_some() { self.waiting } else { self.waiting - 1 };
        let length = there.min(self.most);
        let mut parts = Vec::with_capacity(self.parts.len().min(8));
        let mut left = length;
        while left > 0 {
            let part = self.parts.front_mut().expect("its octets are counted");
            if part.len() <= left {
                left -= part.len();
                parts.extend(self.parts.pop_front());
            } else {
                parts.push(part.split_to(left));
                left = 0;
            }
        }
        self.waiting -= length;
        let start = self.next;
        self.next = self.next.saturating_add(length as u64);
        self.begun = true;
        let flag = self.ended.filter(|_| self.waiting == 0).unwrap_or(Flag::Continues);
        Piece { start, length, parts, flag }
    }
}

impl Queue {
    /// Octets that wait.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    /// Whether nothing can leave now, whatever waits.
    pub(super) fn is_idle(&self) -> bool {
        self.ring.is_empty() && self.urgent.is_empty()
    }

    pub(super) fn push_urgent(&mut self, urgent: Urgent) {
        self.octets += urgent.frame.len() + CHUNK;
        self.urgent.push_back(urgent);
    }

    pub(super) fn pop_urgent(&mut self) -> Option<Urgent> {
        let urgent = self.urgent.pop_front()?;
        self.octets -= urgent.frame.len() + CHUNK;
        Some(urgent)
    }

    /// A chunk begins to come.
    pub(super) fn begin(&mut self, name: Name, chunk: Chunk) -> StreamKey {
        let key = match self.names.get(&name) {
            Some(key) => *key,
            None => {
                let stream = Stream { name: name.clone(), chunks: VecDeque::new(), in_ring: false };
                let key = self.streams.insert(stream);
                self.names.insert(name, key);
                key
            }
        };
        self.streams.get_mut(key).expect("just looked up").chunks.push_back(chunk);
        key
    }

    /// The chunk that is coming.
    pub(super) fn open(&mut self, key: StreamKey) -> Option<&mut Chunk> {
        self.streams.get_mut(key)?.chunks.back_mut().filter(|chunk| chunk.ended.is_none())
    }

    /// Takes content of the chunk that is coming; whether it has enough to leave.
    pub(super) fn content(&mut self, key: StreamKey, content: Bytes) -> bool {
        let Some(chunk) = self.open(key) else { return false };
        chunk.waiting += content.len();
        let length = content.len();
        chunk.parts.push_back(content);
        let ready = chunk.is_ready();
        self.octets += length;
        self.ready(key);
        ready
    }

    /// The chunk has come.
    pub(super) fn end(&mut self, key: StreamKey, flag: Flag) {
        let Some(chunk) = self.open(key) else { return };
        chunk.ended = Some(flag);
        let head = chunk.head();
        // Only now: who has not sent a whole chunk must not keep others from being heard.
        self.octets += head;
        self.ready(key);
    }

    /// Nothing more comes of a chunk whose sender is gone. The next hop hears of it where it has some of it.
    pub(super) fn cut(&mut self, key: StreamKey, flag: Flag) {
        let Some(chunk) = self.open(key) else { return };
        if chunk.begun || chunk.waiting > 0 {
            return self.end(key, flag);
        }
        let stream = self.streams.get_mut(key).expect("just looked up");
        stream.chunks.pop_back();
        if stream.chunks.is_empty() {
            self.forget(key);
        }
    }

    /// Forgets a message, of which nothing more is to be sent.
    pub(super) fn forget(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.remove(key) else { return };
        self.names.remove(&stream.name);
        for chunk in &stream.chunks {
            self.octets -= chunk.waiting + if chunk.ended.is_some() { chunk.head() } else { 0 };
        }
    }

    /// The message that a name stands for.
    pub(super) fn named(&self, name: &Name) -> Option<StreamKey> {
        self.names.get(name).copied()
    }

    /// Takes out the next piece, in turn.
    pub(super) fn next(&mut self, write: impl FnOnce(&Chunk, Piece, &Name)) {
        let Some(key) = self.ring.pop_front() else { return };
        // It may be forgotten.
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.in_ring = false;
        let Some(chunk) = stream.chunks.front_mut().filter(|chunk| chunk.is_ready()) else { return };
        let piece = chunk.piece();
        self.octets -= piece.length;
        let over = chunk.ended.is_some() && chunk.waiting == 0;
        write(chunk, piece, &stream.name);
        if over {
            self.octets -= chunk.head();
            stream.chunks.pop_front();
            if stream.chunks.is_empty() {
                self.forget(key);
            }
        }
        self.ready(key);
    }

    /// All chunks that have not left as a whole.
    pub(super) fn into_chunks(mut self) -> impl Iterator<Item = Chunk> {
        let keys: Vec<_> = self.streams.iter().map(|(key, _)| key).collect();
        keys.into_iter().filter_map(move |key| self.streams.remove(key)).flat_map(|stream| stream.chunks)
    }

    fn ready(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if !stream.in_ring && stream.chunks.front().is_some_and(Chunk::is_ready) {
            stream.in_ring = true;
            self.ring.push_back(key);
        }
    }
}
