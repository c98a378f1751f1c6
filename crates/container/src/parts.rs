//! A message that comes in parts, at a receiver that takes them so.

use std::collections::VecDeque;

use postroad_client::types::Bytes;
use postroad_client::{Origin, Part};

/// Bytes that wait to be read before nothing more is taken from the connection.
const UNREAD: usize = 1024 * 1024;

/// The message that is coming.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    origin: Option<Origin>,
    unread: VecDeque<Bytes>,
    len: usize,
    more: bool,
    aborted: bool,
    /// Whether nothing is taken before something has been read.
    pub(crate) paused: bool,
}

impl Parts {
    pub(crate) fn take_in(&mut self, part: Part) {
        if self.origin != Some(part.origin) || !self.more {
            (self.len, self.origin) = (0, Some(part.origin));
            self.unread.clear();
        }
        (self.more, self.aborted) = (part.more, part.aborted);
        if part.aborted {
            self.give_up();
        } else if !part.payload.is_empty() {
            self.len += part.payload.len();
            self.unread.push_back(part.payload);
        }
    }

    /// The message comes again from its start, or not at all; its origin, where some of it had come.
    pub(crate) fn give_up(&mut self) -> Option<Origin> {
        (self.more, self.aborted, self.len) = (false, true, 0);
        self.unread.clear();
        self.origin
    }

    /// So many of the bytes that have come and were not read, at most.
    pub(crate) fn read(&mut self, limit: usize) -> Option<Bytes> {
        let mut part = self.unread.pop_front()?;
        let rest = part.split_off(part.len().min(limit.max(1)));
        if !rest.is_empty() {
            self.unread.push_front(rest);
        }
        self.len -= part.len();
        Some(part)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len >= UNREAD
    }

    pub(crate) fn is_partial(&self, origin: Origin) -> bool {
        self.origin == Some(origin) && self.more
    }

    pub(crate) fn is_readable(&self, origin: Origin) -> bool {
        self.origin == Some(origin) && !self.unread.is_empty()
    }

    pub(crate) fn is_aborted(&self, origin: Origin) -> bool {
        self.origin == Some(origin) && self.aborted
    }
}
