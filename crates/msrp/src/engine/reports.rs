//! What the far end has reported of messages whose sender wants to hear of their arrival (RFC 4975 7.1.2).

use std::collections::{HashMap, VecDeque};

use super::keys::SessionKey;
use crate::{ByteRange, MessageId, RangeSet};

/// Messages of which reports are expected, at most; of more than these the oldest are not added up any more.
const EXPECTED: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Reports {
    expected: HashMap<(SessionKey, MessageId), Expected>,
    order: VecDeque<(SessionKey, MessageId)>,
}

#[derive(Debug)]
struct Expected {
    size: Option<u64>,
    arrived: RangeSet,
}

impl Reports {
    /// A message is sent whose arrival is to be reported.
    pub(super) fn expect(&mut self, name: (SessionKey, MessageId), size: Option<u64>) {
        self.order.push_back(name.clone());
        self.expected.insert(name, Expected { size, arrived: RangeSet::default() });
        if self.expected.len() > EXPECTED
            && let Some(oldest) = self.order.pop_front()
        {
            self.expected.remove(&oldest);
        }
        self.sweep();
    }

    /// The size of such a message is known now.
    pub(super) fn size(&mut self, session: SessionKey, id: &MessageId, size: u64) {
        if let Some(expected) = self.expected.get_mut(&(session, id.clone())) {
            expected.size = Some(size);
        }
    }

    /// A part has arrived: how much has in all, and whether that is everything. Of what is not expected nothing has.
    pub(super) fn arrived(&mut self, session: SessionKey, id: &MessageId, range: Option<ByteRange>) -> (u64, bool) {
        let name = (session, id.clone());
        let Some(expected) = self.expected.get_mut(&name) else { return (0, false) };
        let size = expected.size.or_else(|| range?.total());
        // Without a range, it is of the whole message.
        let part = match range {
            None => Some(0..size.unwrap_or(0)),
            Some(range) => range.end().or(size).map(|end| range.start() - 1..size.map_or(end, |size| end.min(size))),
        };
        if let Some(part) = part {
            // A peer that reports in more pieces than that is not listened to.
            let _ = expected.arrived.insert(part);
        }
        let covered = expected.arrived.octets();
        let complete = expected.size.is_some_and(|size| expected.arrived.is_complete(size));
        if complete {
            self.expected.remove(&name);
            self.sweep();
        }
        (covered, complete)
    }

    /// Forgets the names of those that have arrived, most of which did so in order.
    fn sweep(&mut self) {
        while self.order.front().is_some_and(|name| !self.expected.contains_key(name)) {
            self.order.pop_front();
        }
        if self.order.len() > 2 * EXPECTED {
            self.order.retain(|name| self.expected.contains_key(name));
        }
    }

    /// A session is over.
    pub(super) fn forget(&mut self, session: SessionKey) {
        self.expected.retain(|(its, _), _| *its != session);
        self.order.retain(|(its, _)| *its != session);
    }
}
