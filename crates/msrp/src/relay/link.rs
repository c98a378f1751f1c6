//! A connection of a relay: what comes over it, what waits for it, and how long it may take.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::config::RelayConfig;
use super::event::{ConnectionKey, Peer};
use super::incoming::Frame;
use super::queue::{Chunk, Piece, Queue};
use super::transaction::Forwarded;
use crate::engine::outbox::Outbox;
use crate::engine::sender::{Random, decimal};
use crate::engine::timing::Timing;
use crate::engine::transactions::{Leaving, Transactions, until};
use crate::engine::{Carriage, Config};
use crate::{FailureReport, Head, HeaderName, Method, Parser, TransactionId, Uri};

/// Nothing more is put out while so much waits for the transport, so that answers are not far behind.
const HIGH: usize = 64 * 1024;

/// A piece of at most so much names its end; longer ones have `*` (RFC 4975 7.1.1).
const SHORT: usize = 2048;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: Peer,
    /// Until when it must be made, while it is not.
    pub(super) pending: Option<Instant>,
    /// Where it leads to, and because of whom, where the relay has made it.
    pub(super) place: Option<(Uri, ConnectionKey)>,
    pub(super) parser: Parser,
    pub(super) frame: Frame,
    pub(super) new_frame: bool,
    /// Octets of what came last.
    pub(super) read: usize,
    pub(super) timing: Timing,
    pub(super) outbox: Outbox,
    pub(super) transactions: Transactions<Forwarded>,
    pub(super) window: usize,
    pub(super) leaving: Leaving<TransactionId>,
    pub(super) queue: Queue,
    /// Who is not read from because too much waits here.
    pub(super) feeders: VecDeque<ConnectionKey>,
    /// For whom too much of what has come from here waits.
    pub(super) blocked: Option<ConnectionKey>,
    /// The URIs of clients that have logged in over it.
    pub(super) sessions: Vec<Box<str>>,
    /// Until when there has to be a successful request; none once there was.
    pub(super) probation: Option<Instant>,
    /// Octets that came before.
    pub(super) unproven: usize,
    pub(super) failures: u32,
    pub(super) challenges: u32,
    /// `AUTH` that failed, since one was successful.
    pub(super) guesses: u32,
    pub(super) stalled: Option<Instant>,
    pub(super) used: Instant,
    pub(super) touched: bool,
    pub(super) ready: bool,
    /// The timer that is set for it.
    pub(super) timer: Option<Instant>,
}

impl Link {
    pub(super) fn new(peer: Peer, config: &RelayConfig, now: Instant) -> Self {
        let timing = Config {
            head_timeout: config.head_timeout,
            content_timeout: config.content_timeout,
            content_least: config.content_least,
            ..Config::default()
        };
        Self {
            outbox: outbox(&peer),
            peer,
            pending: None,
            place: None,
            parser: Parser::new(config.limits),
            frame: Frame::None,
            new_frame: false,
            read: 0,
            timing: Timing::new(&timing, now),
            transactions: Transactions::default(),
            window: 0,
            leaving: Leaving::default(),
            queue: Queue::default(),
            feeders: VecDeque::new(),
            blocked: None,
            sessions: Vec::new(),
            probation: now.checked_add(config.probation),
            unproven: 0,
            failures: 0,
            challenges: 0,
            guesses: 0,
            stalled: None,
            used: now,
            touched: false,
            ready: false,
            timer: None,
        }
    }

    /// The connection is made.
    pub(super) fn opened(&mut self, peer: Peer, now: Instant) {
        self.outbox = outbox(&peer);
        (self.peer, self.pending, self.used) = (peer, None, now);
        // Over TLS, its certificate was that of the host (RFC 4976 9.2).
        let place = self.place.as_ref().filter(|(place, _)| place.is_secure());
        self.peer.host = place.map(|(place, _)| place.host().clone());
    }

    /// Whether it leads to a host that has proved its name, such as another relay: it speaks for many, and failures do not end
    /// it (RFC 4976 6.3).
    pub(super) fn is_relay(&self) -> bool {
        self.peer.host.is_some()
    }

    /// Whether nothing is sent before a response has come.
    pub(super) fn is_waiting(&self, config: &RelayConfig) -> bool {
        self.transactions.len() >= config.window || self.window >= config.window_octets
    }

    /// Octets that were put out and that the transport has not taken.
    pub(super) fn unsent(&self) -> usize {
        // What is not taken fits in memory.
        (self.outbox.total() - self.leaving.total()) as usize
    }

    /// Whether nothing more is to be read.
    pub(super) fn is_paused(&self, config: &RelayConfig) -> bool {
        let most = HIGH + config.share.max(SHORT) + config.limits.head + config.answers;
        self.pending.is_some() || self.blocked.is_some() || self.unsent() >= most
    }

    /// Whether a report would only wait.
    pub(super) fn is_flooded(&self, config: &RelayConfig) -> bool {
        self.unsent() >= HIGH + config.share.max(SHORT) + config.limits.head + config.answers.saturating_mul(16)
    }

    pub(super) fn transaction_id(&self, random: &mut Random) -> TransactionId {
        loop {
            let mut octets = [0; 12];
            (random.0)(&mut octets);
            let id = TransactionId::from_random(octets);
            if !self.transactions.contains(&id) {
                return id;
            }
        }
    }

    /// Puts out what may be put out now.
    pub(super) fn fill(&mut self, config: &RelayConfig, random: &mut Random) {
        while self.pending.is_none() && !self.queue.is_idle() && self.unsent() < HIGH && !self.is_waiting(config) {
            if let Some(urgent) = self.queue.pop_urgent() {
                self.outbox.content(urgent.frame);
                self.outbox.end_of_frame();
                if let Some((id, transaction)) = urgent.transaction {
                    self.begin(id, transaction);
                }
                continue;
            }
            let id = self.transaction_id(random);
            let (outbox, mut transaction) = (&mut self.outbox, None);
            self.queue.next(|chunk, piece, name| {
                if chunk.failure != FailureReport::No {
                    transaction = Some(Forwarded::Piece {
                        back: chunk.back.clone(),
                        name: name.clone(),
                        start: piece.start,
                        length: piece.length as u64,
                        total: chunk.total,
                        answered: chunk.failure == FailureReport::Yes,
                    });
                }
                write(outbox, id, chunk, piece);
            });
            if let Some(transaction) = transaction {
                self.begin(id, transaction);
            }
        }
    }

    fn begin(&mut self, id: TransactionId, transaction: Forwarded) {
        self.window += transaction.weight();
        self.leaving.put(self.outbox.total(), id);
        if let Some(forgotten) = self.transactions.begin(id, transaction) {
            self.window -= forgotten.weight();
        }
    }

    /// Ends a transaction, which has its response.
    pub(super) fn end(&mut self, id: &TransactionId) -> Option<Forwarded> {
        let what = self.transactions.end(id)?;
        self.window -= what.weight();
        Some(what)
    }

    /// Takes out a transaction that has had no response in time.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<Forwarded> {
        let what = self.transactions.overdue(now)?;
        self.window -= what.weight();
        Some(what)
    }

    /// The transport has taken so many octets.
    pub(super) fn sent(&mut self, octets: usize, config: &RelayConfig, now: Instant) {
        // A driver that counts wrongly does not make it less than nothing.
        self.leaving.taken(octets.min(self.unsent()));
        while let Some(id) = self.leaving.next() {
            self.transactions.sent(id, until(now, config.response_timeout));
        }
        self.used = now;
        self.stalled = None;
    }

    /// Answers a request (RFC 4976 6.4.1): a `SEND` to the previous hop, all else to the far end.
    pub(super) fn answer(&mut self, head: &Head, code: crate::Code, extra: &[&str]) {
        let wanted = match (head.method(), head.text(HeaderName::FailureReport).map(str::parse)) {
            (None | Some(Method::Report), _) => false,
            (_, Some(Ok(FailureReport::No))) => false,
            (_, Some(Ok(FailureReport::Partial))) => !code.is_success(),
            _ => true,
        };
        let (Some(to), Some(from)) = (head.value(HeaderName::ToPath), head.value(HeaderName::FromPath)) else { return };
        if !wanted {
            return;
        }
        let back = if head.method() == Some(Method::Send) { first_of(from) } else { from };
        let id = head.transaction_id();
        self.outbox.text(b"MSRP ");
        self.outbox.text(id.as_bytes());
        self.outbox.text(b" ");
        self.outbox.display(&code);
        if let Some(comment) = code.comment() {
            self.outbox.text(b" ");
            self.outbox.text(comment.as_bytes());
        }
        for text in [b"\r\nTo-Path: ", back, b"\r\nFrom-Path: ", first_of(to), b"\r\n"] {
            self.outbox.text(text);
        }
        for line in extra {
            self.outbox.text(line.as_bytes());
            self.outbox.text(b"\r\n");
        }
        self.end_frame(id);
    }

    pub(super) fn end_frame(&mut self, id: TransactionId) {
        for text in [b"-------", id.as_bytes(), b"$\r\n"] {
            self.outbox.text(text);
        }
        self.outbox.end_of_frame();
    }
}

/// Writes a piece of a chunk as a frame of its own.
fn write(outbox: &mut Outbox, id: TransactionId, chunk: &Chunk, piece: Piece) {
    for text in [b"MSRP ", id.as_bytes(), b" SEND\r\n", &chunk.paths, &chunk.before, b"Byte-Range: "] {
        outbox.text(text);
    }
    match &chunk.range {
        Some(range) => outbox.text(range),
        None => {
            outbox.text(decimal(&mut [0; 20], piece.start + 1));
            outbox.text(b"-");
            if piece.length <= SHORT {
                outbox.text(decimal(&mut [0; 20], piece.start + piece.length as u64));
            } else {
                outbox.text(b"*");
            }
            outbox.text(b"/");
            match chunk.total {
                Some(total) => outbox.text(decimal(&mut [0; 20], total)),
                None => outbox.text(b"*"),
            }
        }
    }
    outbox.text(b"\r\n");
    outbox.text(&chunk.after);
    if chunk.range.is_none() {
        outbox.text(b"\r\n");
        // The id was made when the content was there already, so that its end line cannot stand in it.
        for part in piece.parts {
            outbox.content(part);
        }
        outbox.text(b"\r\n");
    }
    outbox.text(b"-------");
    outbox.text(id.as_bytes());
    outbox.text(&[piece.flag.as_byte(), b'\r', b'\n']);
    outbox.end_of_frame();
}

fn outbox(peer: &Peer) -> Outbox {
    if peer.carriage == Carriage::Stream { Outbox::default() } else { Outbox::by_frame() }
}

/// The first URI of a path, as it was written.
pub(super) fn first_of(path: &[u8]) -> &[u8] {
    path.split(|byte| matches!(byte, b' ' | b'\t')).next().unwrap_or_default()
}

/// What of a path lies behind so many URIs, as it was written.
pub(super) fn behind(path: &[u8], uris: usize) -> Bytes {
    let words = path.split(|byte| matches!(byte, b' ' | b'\t')).filter(|uri| !uri.is_empty());
    words.skip(uris).collect::<Vec<_>>().join(&b' ').into()
}

/// So many URIs of a path, which were visited, as they stand in `From-Path` before the others (RFC 4976 6.4).
pub(super) fn visited(path: &[u8], uris: usize, from: &[u8]) -> Bytes {
    let words = path.split(|byte| matches!(byte, b' ' | b'\t')).filter(|uri| !uri.is_empty());
    let mut visited: Vec<_> = words.take(uris).collect();
    visited.reverse();
    visited.push(from);
    visited.join(&b' ').into()
}
