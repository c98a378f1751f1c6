//! A session, as its owner wants it and as the engine keeps it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::incoming_message::Incoming;
use crate::assembly::{Assemblies, AssemblyLimits, AssemblyOptions, Keep, Overlap};
use crate::content::AcceptTypes;
use crate::{Path, Uri};

/// A relay that has not said otherwise is taken to hold whole frames: known ones have room for so much content.
pub const RELAYED_CHUNK: usize = 10_240;

/// How a session is to be.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionOptions {
    /// Its own URI, which is the last of its path.
    pub local: Uri,
    /// Relays between, in the order in which a request visits them: what a relay has given as `Use-Path`.
    pub relays: Vec<Uri>,
    /// The peer's path, as it was agreed on.
    pub remote: Path,
    /// Whether paths are compared by their session ids alone (`sessmatch`), since something between rewrites
    /// addresses: nothing then says that a request comes from where it should.
    pub by_session_id: bool,
    /// How messages are received.
    pub receive: Receive,
    /// The media types that are taken, as `*`, `text/*` or `text/plain`. By default all.
    pub accept_types: AcceptTypes,
    /// The largest message that is kept in memory, in octets; of others this is the largest at all. By default 16 MiB.
    pub max_size: u64,
    /// Messages that are open at once. By default 16.
    pub open_messages: usize,
    /// Octets of those that are kept in memory, together; at least [`max_size`](Self::max_size). By default 16 MiB.
    pub open_octets: u64,
    /// What becomes of octets that come again and differ. By default the last ones stay.
    pub overlap: Overlap,
    /// How long an open message may bring nothing. By default five minutes.
    pub message_timeout: Duration,
    /// The most content of a chunk that is sent, at least 1: by default [`RELAYED_CHUNK`] where there are relays, and
    /// without limit where there are none.
    pub chunk: Option<usize>,
    /// When the arrival of a message is reported that wants it.
    pub success_reports: SuccessReports,
    /// How often an empty request is sent so that the connection does not fall silent. By default never.
    pub keepalive: Option<Duration>,
}

/// How a session receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Receive {
    /// Messages that are whole, from memory.
    #[default]
    Messages,
    /// Messages that are larger than this part by part, as [`Event::Began`](super::Event::Began) tells of them, and those
    /// that do not say how large they are: for files. The others whole.
    Parts {
        /// The largest message that is given whole, in octets.
        above: u64,
    },
    /// Frames, which the owner answers by itself.
    Frames,
    /// Not at all before [`Connection::receive`](super::Connection::receive) has said how; nothing behind the first request with
    /// something to receive is read meanwhile. Empty requests are answered.
    Undecided,
}

/// When the arrival of a message is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SuccessReports {
    /// Once it is whole.
    #[default]
    Whole,
    /// For each chunk.
    Chunks,
    /// By the owner.
    Manual,
}

impl SessionOptions {
    /// A session between two URIs or paths.
    #[must_use]
    pub fn new(local: Uri, remote: impl Into<Path>) -> Self {
        Self {
            local,
            relays: Vec::new(),
            remote: remote.into(),
            by_session_id: false,
            receive: Receive::Messages,
            accept_types: AcceptTypes::any(),
            max_size: 16 << 20,
            open_messages: 16,
            open_octets: 16 << 20,
            overlap: Overlap::Last,
            message_timeout: Duration::from_secs(300),
            chunk: None,
            success_reports: SuccessReports::Whole,
            keepalive: None,
        }
    }
}

/// A session in the engine.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) options: SessionOptions,
    /// `To-Path` and `From-Path` of its requests, as lines.
    pub(super) paths: Bytes,
    /// `From-Path` of its responses, as a line.
    pub(super) from: Bytes,
    /// The values of `To-Path` and `From-Path` that came last and were right: most come again, octet for octet.
    pub(super) seen: Option<(Bytes, Bytes)>,
    pub(super) bound: bool,
    /// When it is to send something at the latest.
    pub(super) keepalive_at: Option<Instant>,
    /// The messages that are coming, and what is known of them beside their octets.
    pub(super) assemblies: Assemblies,
    pub(super) incoming: Vec<Incoming>,
}

impl Session {
    pub(super) fn new(options: SessionOptions, now: Instant) -> Self {
        let mut to = String::from("To-Path:");
        for uri in options.relays.iter().chain(options.remote.iter()) {
            to.push(' ');
            to.push_str(&uri.to_string());
        }
        let from = format!("From-Path: {}\r\n", options.local);
        let keepalive_at = options.keepalive.and_then(|every| now.checked_add(every));
        let paths = Bytes::from(format!("{to}\r\n{from}"));
        let limits = AssemblyLimits {
            messages: options.open_messages,
            octets: options.max_size.max(options.open_octets),
            idle: options.message_timeout,
            ..AssemblyLimits::default()
        };
        let assemblies = Assemblies::new(limits);
        Self {
            paths,
            from: from.into(),
            seen: None,
            bound: false,
            keepalive_at,
            assemblies,
            incoming: Vec::new(),
            options,
        }
    }

    /// Whether a request that comes along this path is this session's: it must come the whole way from the peer
    /// (RFC 4975 7.3), over the relays of this end as well, the nearest of which it passed last. A report may have been made by
    /// a relay on the way.
    pub(super) fn is_from(&self, from: &Path, is_report: bool) -> bool {
        let SessionOptions { relays, remote, by_session_id, .. } = &self.options;
        let mut way = relays.iter().chain(remote.iter());
        if from == remote {
            // Some relays do not write themselves down.
            return true;
        }
        if is_report && from.len() < relays.len() + remote.len() {
            return from.iter().eq(way.by_ref().take(from.len()));
        }
        if *by_session_id {
            return from.get(relays.len()).is_some_and(|first| first.is_session_of(remote.first()));
        }
        from.iter().eq(way)
    }

    /// When it has something to do.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        [self.keepalive_at, self.assemblies.poll_timeout()].into_iter().flatten().min()
    }

    /// Whether a message of this size is handed on part by part.
    pub(super) fn in_parts(&self, size: Option<u64>) -> bool {
        match self.options.receive {
            Receive::Parts { above } => size.is_none_or(|size| size > above),
            Receive::Messages | Receive::Frames | Receive::Undecided => false,
        }
    }

    /// How a message is put together.
    pub(super) fn assembly(&self, parts: bool) -> AssemblyOptions {
        let keep = if parts { Keep::Pieces } else { Keep::Memory };
        let SessionOptions { overlap, max_size, .. } = self.options;
        AssemblyOptions { keep, overlap, max_size, ..AssemblyOptions::default() }
    }

    /// What is known of a message that is coming.
    pub(super) fn incoming_named(&mut self, id: &[u8]) -> Option<usize> {
        self.incoming.iter().position(|incoming| incoming.id.as_bytes() == id)
    }

    /// The most content of a chunk.
    pub(super) fn chunk(&self) -> usize {
        let relayed = !self.options.relays.is_empty() || self.options.remote.len() > 1;
        let default = if relayed { RELAYED_CHUNK } else { usize::MAX };
        self.options.chunk.unwrap_or(default).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r22_requests_come_over_the_sessions_own_relays() {
        let path = |names: &str| -> Path {
            let uris = names.split(' ').map(|name| format!("msrp://{name}.example.com:1/s;tcp").parse().unwrap());
            Path::new(uris.collect::<Vec<Uri>>()).unwrap()
        };
        let mut options = SessionOptions::new(path("bob").first().clone(), path("far alice"));
        options.relays = path("near middle").into_uris();
        let session = Session::new(options, Instant::now());
        for (from, request, report) in [
            ("near middle far alice", true, true),
            // A relay that does not write itself down.
            ("far alice", true, true),
            ("near", false, true),
            ("near middle far", false, true),
            ("middle near far alice", false, false),
            ("near middle far alice alice", false, false),
            ("middle", false, false),
            ("alice", false, false),
        ] {
            let is = [false, true].map(|is_report| session.is_from(&path(from), is_report));
            assert_eq!(is, [request, report], "{from}");
        }
    }
}
