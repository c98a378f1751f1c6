//! What a connection knows of its sessions and links, and which of these are the engine's.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::{Sends, State};
use crate::again::{Again, Joining};
use crate::control::Control;
use crate::detached::is_of_engine;
use crate::doubt::Doubts;
use crate::heard::Heard;
use crate::keeping::Kept;
use crate::protocol::{Delivery, LinkId, SessionId};
use crate::session;
use crate::unacknowledged::Unacknowledged;
use crate::wait::Waiters;
use crate::{LinkError, LinkOptions};

#[derive(Debug)]
pub(crate) struct SessionEntry {
    pub(crate) id: SessionId,
    /// Tells this session from every other of the connection.
    pub(crate) serial: u64,
    pub(crate) begun: bool,
    /// Handles of the session; with the last one it ends, if it is ours.
    pub(crate) handles: usize,
    pub(crate) ours: bool,
    /// Whether it does transactions, which end with the connection and the session with them; and whether a commit is
    /// under way.
    pub(crate) transacted: bool,
    pub(crate) committing: bool,
    pub(crate) over: Option<LinkError>,
    pub(crate) waiters: Waiters,
    /// The handle that its handles share, where the peer has begun it.
    pub(crate) handle: Weak<session::Inner>,
}

/// Whether a receiver wants the credit of a sender used now or given up (2.6.7), as the owner knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drain {
    /// The owner does not poll for news: whoever waits for credit has a moment to use it.
    Unpolled,
    /// It does not.
    No,
    /// It does, and the owner is to be told.
    Asked,
    /// The owner was told. Credit that is left is given up when it asks for more news.
    Told,
}

#[derive(Debug)]
pub(crate) struct LinkEntry {
    pub(crate) id: LinkId,
    pub(crate) session: usize,
    /// Tells this link from every other of the connection, also where its id is another one by now.
    pub(crate) serial: u64,
    /// Whether it was made while there was no connection: no engine knows it.
    pub(crate) unborn: bool,
    /// How the link is attached again; it is not where this is nothing.
    pub(crate) again: Option<Box<Again>>,
    /// What is still to come before the link that was attached again can be used.
    pub(crate) joining: Joining,
    /// The fewest deliveries that such a link had not settled when it told a part of them, and how often that was in
    /// vain.
    pub(crate) parts: (usize, u32),
    /// The engine since which this is the same link to the peer: what came before comes again.
    pub(crate) since: u32,
    /// Whether we settle what we receive only when the sender has (2.6.12, receiver mode second).
    pub(crate) second: bool,
    /// The most deliveries that may be unsettled so that an attach tells them all, and those that a receiver has
    /// taken and the sender not settled, where that counts.
    pub(crate) map_room: usize,
    pub(crate) open: usize,
    /// Deliveries that the sender is to resume: each uses credit, which is granted beside what a receiver wants.
    pub(crate) due: u32,
    /// What was granted last, beside that.
    pub(crate) wanted: u32,
    /// Whether a receiver was granted less than it wants because of that.
    pub(crate) starved: bool,
    /// Whether our end is being detached for good.
    pub(crate) detaching: bool,
    /// Whether what the peer keeps of it stays, once it is detached.
    pub(crate) stays: bool,
    pub(crate) attached: bool,
    /// Counts credit that a sender is granted, and messages that come.
    pub(crate) credited: u32,
    /// Whether the peer has shown by credit or a message that it means the link.
    pub(crate) confirmed: bool,
    pub(crate) over: Option<LinkError>,
    /// Whether the handle is gone.
    pub(crate) abandoned: bool,
    /// Calls that wait for the link to attach, detach, have credit or messages.
    pub(crate) waiters: Waiters,
    pub(crate) drained: bool,
    /// When a receiver's credit is taken back, whose sender breaks when it is asked for it.
    pub(crate) withdrawn_at: Option<Instant>,
    /// What the owner of a sender knows of the receiver's wish for its credit.
    pub(crate) drain: Drain,
    /// What the sender has heard of a link that receives.
    pub(crate) heard: Heard,
    /// Whether credit came to nothing since the receiver last counted it.
    pub(crate) aborted: bool,
    pub(crate) sends: Sends,
    /// What only a control link has.
    pub(crate) control: Option<Box<Control>>,
    /// Messages that had come when the link ended, or settled ones when the connection was lost.
    pub(crate) left: VecDeque<Delivery>,
    /// Messages that have no outcome yet, where that is noted.
    pub(crate) unacknowledged: Option<Unacknowledged>,
    /// Messages that are in doubt.
    pub(crate) in_doubt: Doubts,
    /// The address that the peer told last.
    pub(crate) address: Option<String>,
    /// Messages that a receiver takes beyond the credit.
    pub(crate) overdraft: u32,
    /// The link in the table of those that outlive their connection; and whether it has gone into it.
    pub(crate) kept: Option<Box<Kept>>,
    pub(crate) suspended: bool,
}

impl LinkEntry {
    /// Who is going to poll for news hears of a drain, however early it comes.
    pub(crate) fn note_polling(&mut self, options: &LinkOptions) {
        if options.polls_news {
            self.drain = Drain::No;
        }
    }
}

impl State {
    /// Adds a session that the engine has begun, or the peer.
    pub(crate) fn add_session(&mut self, id: SessionId, ours: bool) -> usize {
        let (handles, serial) = (usize::from(ours), self.next_serial());
        self.sessions.insert(SessionEntry {
            id,
            serial,
            begun: !ours,
            handles,
            ours,
            transacted: false,
            committing: false,
            over: None,
            waiters: Waiters::default(),
            handle: Weak::new(),
        })
    }

    /// A handle of a session of the peer's: one that there is, or a place for another one.
    pub(crate) fn share_session(&mut self, id: SessionId) -> Option<Result<Arc<session::Inner>, usize>> {
        let (key, entry) = self.sessions.iter_mut().find(|(_, entry)| entry.id == id)?;
        if let Some(handle) = entry.handle.upgrade() {
            return Some(Ok(handle));
        }
        entry.handles += 1;
        Some(Err(key))
    }

    pub(crate) fn links_of(&self, session: usize) -> Vec<LinkId> {
        self.links.iter().filter(|(_, link)| link.session == session).map(|(_, link)| link.id).collect()
    }

    /// Wakes whoever waits on a link of a session.
    pub(crate) fn wake_links_of(&mut self, session: usize) {
        let Self { links, wakes, .. } = self;
        for (_, entry) in links.iter_mut().filter(|(_, entry)| entry.session == session) {
            entry.waiters.wake(wakes);
        }
    }

    /// Adds a link that the engine has begun to attach.
    pub(crate) fn add_link(&mut self, id: LinkId, session: usize) -> usize {
        let serial = self.next_serial();
        let key = self.links.insert(LinkEntry {
            id,
            session,
            serial,
            unborn: false,
            again: None,
            joining: Joining::Not,
            parts: (0, 0),
            since: self.epoch,
            second: false,
            map_room: usize::MAX,
            open: 0,
            due: 0,
            wanted: 0,
            starved: false,
            detaching: false,
            stays: false,
            attached: false,
            credited: 0,
            confirmed: false,
            over: None,
            abandoned: false,
            waiters: Waiters::default(),
            drained: false,
            withdrawn_at: None,
            drain: Drain::Unpolled,
            heard: Heard::default(),
            aborted: false,
            sends: Sends::default(),
            control: None,
            left: VecDeque::new(),
            unacknowledged: None,
            in_doubt: Doubts::default(),
            address: None,
            overdraft: 0,
            kept: None,
            suspended: false,
        });
        if is_of_engine(id) {
            self.index_link(key, id);
        }
        key
    }

    /// Notes the engine's link that an entry is.
    pub(crate) fn index_link(&mut self, key: usize, id: LinkId) {
        if self.by_engine.len() <= id.index() {
            self.by_engine.resize(id.index() + 1, None);
        }
        self.by_engine[id.index()] = Some(key);
    }

    /// Forgets which links of an engine the entries are: there is another engine.
    pub(crate) fn forget_index(&mut self) {
        self.by_engine.clear();
    }

    #[inline]
    pub(crate) fn key_of(&self, id: LinkId) -> Option<usize> {
        if !is_of_engine(id) {
            return self.links.iter().find(|(_, entry)| entry.id == id).map(|(key, _)| key);
        }
        let key = (*self.by_engine.get(id.index())?)?;
        self.links.get(key).filter(|entry| entry.id == id).map(|_| key)
    }

    #[inline]
    pub(crate) fn entry(&mut self, id: LinkId) -> Option<&mut LinkEntry> {
        let key = (*self.by_engine.get(id.index())?)?;
        self.links.get_mut(key).filter(|entry| entry.id == id)
    }

    /// The link of a serial, which had this id in some engine.
    #[inline]
    pub(crate) fn key_of_serial(&self, id: LinkId, serial: u64) -> Option<usize> {
        let known = self.by_engine.get(id.index()).copied().flatten();
        let is_same = |key: &usize| self.links.get(*key).is_some_and(|entry| entry.serial == serial);
        known
            .filter(is_same)
            .or_else(|| self.links.iter().find(|(_, entry)| entry.serial == serial).map(|(key, _)| key))
    }

    pub(crate) fn wake_link(&mut self, id: LinkId) {
        let Self { links, by_engine, wakes, .. } = self;
        let key = by_engine.get(id.index()).copied().flatten();
        if let Some(entry) = key.and_then(|key| links.get_mut(key)).filter(|entry| entry.id == id) {
            entry.waiters.wake(wakes);
        }
    }

    /// Has a receiver take so many messages beyond the credit.
    pub(crate) fn set_overdraft(&mut self, key: usize, messages: u32) {
        let Self { links, engine, .. } = self;
        let entry = &mut links[key];
        if entry.over.is_none() {
            entry.overdraft = messages;
            engine.set_overdraft(entry.id, messages);
        }
    }
}
