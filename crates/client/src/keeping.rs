//! Links of accepted connections that outlive them: what is left of one goes into the acceptor's table, and comes out when
//! the peer attaches the link again (part 2, 2.6.1 and 2.6.13).

use std::sync::Arc;

use crate::again::Joining;
use crate::link_table::{Claim, Left, LinkKey, LinkTable, MAX_NAME, Parting, Stay, Until, essence, grant};
use crate::protocol::{Answer, DeliveryNumber, LinkId, Remote, Role, Suspended};
use crate::sasl::User;
use crate::state::{Shared, Slot, State};
use crate::types::{DeliveryTag, ErrorCondition, PeerError};
use crate::{AttachError, Expiry, LinkError, Node, Receiver, SendError, Sender, SharedReceiver, Told};

/// The table that the links of a connection are in, and the connection's number there.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) table: Arc<LinkTable>,
    pub(crate) number: u64,
}

/// A link that is in the table.
#[derive(Debug)]
pub(crate) struct Kept {
    stay: Stay,
    asked: Node,
    /// How long it is kept once it is detached; `None`: it is not.
    granted: Option<Expiry>,
    /// Whether it was resumed at this end: the table knew what it had not settled.
    pub(crate) resumed: bool,
}

/// A link of the peer's in the table, and which connection has it.
pub(crate) type Holder = (Arc<Shared>, u64);

/// A link that waits for an answer, as it is accepted.
#[derive(Debug)]
pub(crate) struct Accepting<'a> {
    pub(crate) id: LinkId,
    pub(crate) session: usize,
    pub(crate) remote: &'a Remote,
    pub(crate) key: Option<&'a Arc<LinkKey>>,
    pub(crate) answer: Answer<'a>,
}

/// What a link brings from the table.
struct Brought {
    left: Box<Left>,
    until: Until,
}

impl State {
    /// The key of a link that the peer attaches, where links are kept.
    pub(crate) fn link_key(&self, remote: &Remote) -> Option<Arc<LinkKey>> {
        self.keeper.as_ref()?;
        let user = self.engine.user().filter(|user| !User::is_anonymous(user)).map(|user| user.name);
        let container = self.engine.peer()?.container;
        let short = remote.name.len() <= MAX_NAME && container.len() <= MAX_NAME;
        short.then(|| Arc::new(LinkKey { user, container, name: remote.name.clone(), role: remote.role }))
    }

    /// Accepts a link of the peer's, as the one that it was where the table knows it; not before another connection has
    /// yielded it.
    pub(crate) fn accept(
        &mut self,
        own: &Arc<Shared>,
        link: &Accepting<'_>,
    ) -> Result<Result<usize, Holder>, AttachError> {
        if let Some(error) = &self.sessions[link.session].over {
            return Err(AttachError::Link(error.clone()));
        }
        let table = self.keeper.as_ref().map(|keeper| Arc::clone(&keeper.table));
        let (stay, brought) = match table.zip(link.key).map(|(table, key)| table.claim(key, own)) {
            None => (None, None),
            Some(Claim::Held(holder, ticket)) => return Ok(Err((holder, ticket))),
            Some(Claim::New(stay)) => (Some(stay), None),
            Some(Claim::Known(stay, left, until)) => (Some(stay), Some(Brought { left, until })),
        };
        self.accept_claimed(link, stay, brought).map(Ok)
    }

    fn accept_claimed(
        &mut self,
        link: &Accepting<'_>,
        stay: Option<Stay>,
        mut brought: Option<Brought>,
    ) -> Result<usize, AttachError> {
        let Accepting { id, session, remote, mut answer, .. } = *link;
        let sends = remote.role == Role::Sender;
        let asked = if sends { &remote.source } else { &remote.target }.clone().unwrap_or_default();
        let told = if sends { answer.source } else { answer.target };
        let wanted = told.and_then(|node| node.expiry).or(asked.expiry);
        let granted = stay.as_ref().and_then(|stay| grant(wanted, stay.longest()).filter(|_| stay.reserve()));
        answer.expiry = granted;
        let resumes = match &mut brought {
            Some(Brought { left, .. }) if remote.has_map && left.is_meant_by(&asked) => {
                // The places of the messages, as they are noted below.
                for (token, unsettled) in left.suspended.unsettled.iter_mut().enumerate() {
                    unsettled.token = token as u64;
                }
                Some(&mut left.suspended)
            }
            _ => None,
        };
        let resumed = resumes.is_some();
        let accepted = match resumes {
            Some(suspended) => self.engine.accept_resumed(id, &answer, suspended),
            None => self.engine.accept(id, &answer),
        };
        if let Err(error) = accepted {
            if let (Some(stay), Some(Brought { left, until })) = (stay, brought) {
                // It is as if nobody had come.
                let _ = stay.suspend(left, until);
            }
            return Err(error.into());
        }
        let key = self.add_link(id, session);
        let map_room = if remote.second && granted.is_some() { self.engine.map_capacity(id) } else { usize::MAX };
        let entry = &mut self.links[key];
        entry.note_polling(answer.options);
        (entry.attached, entry.second, entry.map_room) = (true, remote.second, map_room);
        (entry.sends.max_in_flight, entry.sends.max_bytes) = (
            answer.options.max_unsettled,
            if granted.is_some() { answer.options.max_unsettled_bytes.max(1) } else { 0 },
        );
        let Some(stay) = stay else { return Ok(key) };
        if granted.is_none() {
            stay.unreserve();
        }
        let (table, table_key) = (stay.table(), stay.key());
        entry.kept = Some(Box::new(Kept { stay, asked: essence(&asked), granted, resumed }));
        match brought {
            Some(Brought { left, .. }) if resumed => self.go_on(key, &left),
            Some(Brought { left, .. }) if left.is_meant_by(&asked) => self.start_over(key, left.suspended),
            Some(Brought { left, .. }) => table.displace(&table_key, left),
            None => {}
        }
        // What the maps have told already is told of this link.
        self.take_news();
        Ok(key)
    }

    /// Goes on with what a link had not settled.
    fn go_on(&mut self, key: usize, left: &Left) {
        let entry = &mut self.links[key];
        entry.joining = Joining::Resuming;
        entry.sends.next_tag = left.next_tag;
        let count = left.suspended.unsettled.len();
        match left.suspended.role {
            Role::Sender => {
                entry.sends.in_flight = count;
                for unsettled in &left.suspended.unsettled {
                    // In the order of their tokens.
                    entry.sends.slots.insert(Slot::Told { tag: unsettled.tag, before: false });
                }
            }
            Role::Receiver => {
                entry.open = count;
                entry.due = u32::try_from(count).unwrap_or(u32::MAX);
            }
        }
    }

    /// The peer knows nothing of a link any more: what became of messages that were sent is not known.
    fn start_over(&mut self, key: usize, mut suspended: Suspended) {
        let error = LinkError::DetachedByPeer;
        let tags: Vec<DeliveryTag> = suspended.unsettled.iter().map(|unsettled| unsettled.tag).collect();
        if suspended.role == Role::Sender {
            let doubt = |tag| {
                let result = Err(SendError::InDoubt(error.clone()));
                Told { tag, result, before: false, settled: true, by_peer: false }
            };
            self.links[key].sends.told.extend(tags.into_iter().map(doubt));
            for doubt in suspended.take_doubts() {
                self.keep_doubt(key, doubt, error.clone());
            }
        }
    }

    /// Whether what is left of a link is kept when it ends now.
    pub(crate) fn keeps(&self, key: usize) -> bool {
        let entry = &self.links[key];
        let granted = entry.kept.as_ref().is_some_and(|kept| kept.granted.is_some());
        granted && !entry.detaching && !entry.abandoned
    }

    /// Keeps what is left of a link. It comes back where it cannot be kept.
    pub(crate) fn suspend(
        &mut self,
        key: usize,
        node: Option<Node>,
        mut suspended: Suspended,
    ) -> Result<(), Suspended> {
        let Some(Kept { stay, asked, granted: Some(granted), .. }) = self.links[key].kept.take().map(|kept| *kept)
        else {
            return Err(suspended);
        };
        let Some(number) = self.keeper.as_ref().map(|keeper| keeper.number) else { return Err(suspended) };
        self.engine.retain_told(&mut suspended);
        let entry = &self.links[key];
        let session = &self.sessions[entry.session];
        let parting = match (&self.over, &session.over) {
            (Some(_), _) => Parting::Connection,
            (None, Some(_)) => Parting::Session,
            (None, None) => Parting::Link,
        };
        let until = Until::new(granted, parting, number, session.serial);
        let left = Box::new(Left { suspended, next_tag: entry.sends.next_tag, asked, node });
        stay.suspend(left, until).map_err(|left| left.suspended)?;
        let entry = &mut self.links[key];
        entry.suspended = true;
        // Who holds messages of before looks again.
        self.parted = self.parted.wrapping_add(1);
        Ok(())
    }

    /// Starts the time of the links that a session has left behind, or the connection.
    pub(crate) fn parted_from(&self, session: Option<u64>) {
        if let Some(Keeper { table, number }) = self.keeper.as_deref() {
            table.ended(*number, session);
        }
    }

    /// Gives up a link that another connection attaches.
    fn yield_link(&mut self, ticket: u64) {
        self.take_news();
        let holds = |kept: &Option<Box<Kept>>| kept.as_ref().is_some_and(|kept| kept.stay.ticket == ticket);
        let Some(id) = self.links.iter().find(|(_, entry)| holds(&entry.kept)).map(|(_, entry)| entry.id) else {
            return;
        };
        let text = "the link was attached on another connection of its container";
        let stolen = PeerError::new(ErrorCondition::STOLEN, text);
        self.engine.detach_for_now(id, Some(stolen.clone()));
        self.end_link(id, LinkError::Detached(stolen));
    }

    /// Suspends the links that their peers have detached for a while. All news of them has been heard.
    pub(crate) fn suspend_leaving(&mut self) {
        for (link, error) in std::mem::take(&mut self.leaving) {
            self.end_link(link, error);
        }
    }

    /// A delivery that was received before the link was attached again is settled with the outcome that it has, where the
    /// receiver settles first.
    pub(crate) fn settle_again(&mut self, key: usize, number: DeliveryNumber) {
        let entry = &self.links[key];
        let Some(Kept { resumed: true, .. }) = entry.kept.as_deref() else { return };
        let (id, second) = (entry.id, entry.second);
        if !second && let Some((Some(outcome), _)) = self.engine.states(id, number) {
            self.engine.settle(id, number, outcome);
        }
    }
}

/// Has the connection that holds a link give it up (2.6.1: whoever attaches a link takes it over).
pub(crate) fn steal((shared, ticket): Holder) {
    shared.turn(|state| state.yield_link(ticket));
}

impl Sender {
    /// Whether the link is over here and kept for when the peer attaches it again
    /// ([`AcceptOptions::keep_links`](crate::AcceptOptions::keep_links)): outcomes of what is not settled are told by the sender
    /// that it is then, and not by this one.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.link.with(|state| state.links[self.link.key].suspended)
    }
}

impl Receiver {
    /// Whether the link is over here and kept for when the peer attaches it again
    /// ([`AcceptOptions::keep_links`](crate::AcceptOptions::keep_links)): what has no outcome comes again then, and nothing more
    /// of it comes here.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.link.with(|state| state.links[self.link.key].suspended)
    }
}

impl SharedReceiver {
    /// As [`Receiver::is_suspended`].
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.link().with(|state| state.links[self.link().key].suspended)
    }
}
