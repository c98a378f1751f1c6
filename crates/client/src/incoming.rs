//! What a peer opens: sessions that it begins, links that it attaches, and the answers to these (part 2, 2.6.3).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::keeping::{Accepting, steal};
use crate::link::Link;
use crate::link_table::LinkKey;
use crate::protocol::{Answer, LinkId, Remote, Role, SessionId};
use crate::state::State;
use crate::types::{ErrorCondition, Fields, PeerError};
use crate::wait::Place;
use crate::{
    AttachError, Connection, ConnectionError, Guarantee, LinkError, LinkOptions, Node, Receiver, Sender, Session,
    StreamingReceiver,
};

/// What the peer opens.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// A session that the peer has begun. It goes on until the peer ends it, or [`Session::close`] or [`Session::abort`] does.
    Session(Session),
    /// A link that the peer attaches, and that waits for an answer.
    Link(IncomingLink),
}

/// What was opened and nobody has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    Session(SessionId),
    Link(LinkId),
}

/// A link that the peer attaches, and that waits for an answer. Dropped, it is refused.
#[doc(alias = "Link")]
#[derive(Debug)]
pub struct IncomingLink {
    session: Session,
    id: LinkId,
    remote: Box<Remote>,
    /// The nodes of our answer, where they are not what the peer asks for.
    nodes: Box<[Option<Node>; 2]>,
    /// Its place in the table of links that outlive their connections, and the node that it has there.
    key: Option<Arc<LinkKey>>,
    known: Option<Node>,
    answered: bool,
}

/// How often a link may be taken over by others while it is accepted.
const TRIES: u32 = 8;

impl Connection {
    /// What the peer opens next: sessions that it begins, and links that it attaches, in their order, from the first call on
    /// with those to a coordinator of transactions, which are refused by themselves before. At the end that has connected, all
    /// links are refused by themselves before the first call; what the peer has opened ends with the connection, also where
    /// that is made anew.
    ///
    /// # Errors
    /// When the connection is over.
    ///
    /// # Cancel safety
    /// A dropped future has taken nothing.
    pub async fn next_incoming(&self) -> Result<Incoming, ConnectionError> {
        self.next_opened(true).await
    }

    async fn next_opened(&self, coordinators: bool) -> Result<Incoming, ConnectionError> {
        let next = |state: &mut State| {
            state.coordinators |= coordinators;
            state.incoming.get_or_insert_default();
            while let Some(opened) = state.incoming.as_mut().and_then(VecDeque::pop_front) {
                // The peer may have given it up while it waited; the next is behind it.
                let (session, link) = match opened {
                    Opened::Session(session) => (Some(session), None),
                    Opened::Link(id) => {
                        (state.engine.session_of(id), state.engine.remote(id).map(|remote| (id, remote)))
                    }
                };
                let session = session.filter(|_| matches!(opened, Opened::Session(_)) || link.is_some());
                if let Some(session) = session.and_then(|session| state.share_session(session)) {
                    return Some(Ok((session, link)));
                }
            }
            state.over.clone().map(Err)
        };
        let (session, link) = self.inner.shared.wait(Place::Connection, next).await?;
        let session = match session {
            Ok(inner) => Session { inner },
            Err(key) => Session::of_peer(self, key),
        };
        Ok(match link {
            None => Incoming::Session(session),
            Some((id, remote)) => Incoming::Link(IncomingLink::new(session, id, remote)),
        })
    }

    /// The next link that the peer attaches. Sessions are passed over, and links to a coordinator of transactions refused.
    ///
    /// # Errors
    /// When the connection is over.
    ///
    /// # Cancel safety
    /// A dropped future has taken no link.
    pub async fn next_link(&self) -> Result<IncomingLink, ConnectionError> {
        loop {
            match self.next_opened(false).await? {
                Incoming::Link(link) if !link.is_coordinator() => return Ok(link),
                // Dropped, a link to a coordinator is refused.
                Incoming::Link(_) | Incoming::Session(_) => {}
            }
        }
    }
}

impl IncomingLink {
    fn new(session: Session, id: LinkId, remote: Remote) -> Self {
        let (key, table) = session.shared().with(|state| {
            // One that is over already takes nothing over.
            let keeper = state.keeper.as_ref().filter(|_| state.engine.has_link(id) && !state.engine.is_over());
            let table = keeper.map(|keeper| Arc::clone(&keeper.table));
            (state.link_key(&remote), table)
        });
        let mut known = None;
        if let Some((table, key)) = table.zip(key.as_deref()) {
            // 2.6.1: whoever attaches a link takes it over.
            if let Some(holder) = table.holder(key) {
                steal(holder);
            }
            let asked = if remote.role == Role::Sender { &remote.source } else { &remote.target };
            known = table.known(key, &asked.clone().unwrap_or_default());
        }
        let mut nodes = Box::<[Option<Node>; 2]>::default();
        let [source, target] = &mut *nodes;
        let (ours, asked) = match remote.role {
            Role::Sender => (source, &remote.source),
            Role::Receiver => (target, &remote.target),
        };
        if asked.as_ref().is_some_and(|node| node.dynamic) {
            // It is the one that was made.
            *ours = known.clone().map(|node| Node { expiry: None, ..node });
        }
        Self { session, id, remote: Box::new(remote), nodes, key, known, answered: false }
    }

    /// The link's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.remote.name
    }

    /// The session that the peer attaches it on.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Whether the peer sends on it, so that our end receives.
    #[must_use]
    pub fn is_receiver(&self) -> bool {
        self.remote.role == Role::Receiver
    }

    /// Whether the peer asks for a coordinator of transactions (part 4). There is none: such a link can only be refused, and
    /// is when it is dropped.
    #[must_use]
    pub fn is_coordinator(&self) -> bool {
        self.remote.coordinator.is_some()
    }

    /// The node that the peer asks to receive from, or that it tells as its own where it sends: address, filters,
    /// capabilities and what else it says of it.
    #[must_use]
    pub fn remote_source(&self) -> Option<&Node> {
        self.remote.source.as_ref()
    }

    /// The node that the peer asks to send to, or that it tells as its own where it receives; none for a coordinator.
    #[must_use]
    pub fn remote_target(&self) -> Option<&Node> {
        self.remote.target.as_ref()
    }

    /// The address that the peer receives from.
    #[must_use]
    pub fn source_address(&self) -> Option<&str> {
        self.remote.source.as_ref()?.address.as_deref()
    }

    /// The address that the peer sends to.
    #[must_use]
    pub fn target_address(&self) -> Option<&str> {
        self.remote.target.as_ref()?.address.as_deref()
    }

    /// The properties of the link that the peer tells.
    #[must_use]
    pub fn remote_properties(&self) -> Option<&Fields> {
        self.remote.properties.as_ref()
    }

    /// The extensions that the peer offers on the link.
    #[must_use]
    pub fn remote_offered_capabilities(&self) -> &[String] {
        &self.remote.offers
    }

    /// The extensions that the peer would use on the link.
    #[must_use]
    pub fn remote_desired_capabilities(&self) -> &[String] {
        &self.remote.desires
    }

    /// The largest message that the peer takes, in bytes; `None`: any.
    #[must_use]
    pub fn remote_max_message_size(&self) -> Option<u64> {
        Some(self.remote.max_message_size).filter(|limit| *limit > 0)
    }

    /// Whether the peer tells what it has not settled of the link, be it nothing: it has had it before (part 2, 2.7.3).
    #[must_use]
    pub fn has_unsettled_map(&self) -> bool {
        self.remote.has_map
    }

    /// The node at our end of a link that was kept and that the peer attaches again, as it was answered before; `None` for a
    /// link that is not known ([`AcceptOptions::keep_links`](crate::AcceptOptions::keep_links)).
    ///
    /// Accepted, it goes on where it was: outcomes that were told are told again, messages that have none come again, and those
    /// that were sent and have none get theirs by [`Sender::poll_news`]. Where the peer has forgotten the link
    /// ([`has_unsettled_map`](Self::has_unsettled_map)), these are in doubt.
    #[must_use]
    pub fn known(&self) -> Option<&Node> {
        self.known.as_ref()
    }

    /// What the peer asks of the link.
    #[must_use]
    pub fn guarantee(&self) -> Guarantee {
        match (self.remote.settled, self.remote.second) {
            (true, _) => Guarantee::AtMostOnce,
            (false, false) => Guarantee::AtLeastOnce,
            (false, true) => Guarantee::ExactlyOnce,
        }
    }

    /// Answers with this source, where the link is accepted: what our end is attached to, where it sends. Its filters are those
    /// that are in place, its capabilities those that the node has, and a dynamic node has the address that was made for it.
    ///
    /// By default the answer has what the peer asked for, without what nobody has seen to: filters, the way of distribution, and
    /// properties of a dynamic node. It outlives its link for as long as it says, or else as the peer asks, as far as
    /// [`KeepLinks::longest`](crate::KeepLinks::longest) goes; not at all where links are not kept.
    #[doc(alias = "source")]
    pub fn set_source(&mut self, node: impl Into<Node>) {
        self.nodes[0] = Some(node.into());
    }

    /// Answers with this target, where the link is accepted: what our end is attached to, where it receives. The rest is as
    /// with [`set_source`](Self::set_source).
    #[doc(alias = "target")]
    pub fn set_target(&mut self, node: impl Into<Node>) {
        self.nodes[1] = Some(node.into());
    }

    /// Accepts a link that the peer sends on. Of the options the prefetch counts, the largest message, and the properties and
    /// capabilities of the link; its guarantee is the peer's choice.
    ///
    /// # Errors
    /// When the link is over already, the peer receives on it, or it asks for a coordinator or a dynamic node that the answer
    /// gives no address: then it is refused.
    pub fn into_receiver(mut self, options: &LinkOptions) -> Result<Receiver, AttachError> {
        let link = self.accept(Role::Receiver, options)?;
        Ok(Receiver::new(link, options.prefetch))
    }

    /// As [`into_receiver`](Self::into_receiver), for content that is given as it comes.
    ///
    /// # Errors
    /// As there.
    pub fn into_streaming_receiver(mut self, options: &LinkOptions) -> Result<StreamingReceiver, AttachError> {
        let options = LinkOptions { in_parts: true, ..options.clone() };
        let link = self.accept(Role::Receiver, &options)?;
        Ok(StreamingReceiver::new(Receiver::new(link, options.prefetch)))
    }

    /// Accepts a link that the peer receives on. Messages are settled as they are sent where the peer asks for that. Of the
    /// options those count that bound what is not settled, and the properties and capabilities of the link.
    ///
    /// # Errors
    /// When the link is over already, the peer sends on it, or it asks for a dynamic node that the answer gives no address:
    /// then it is refused.
    pub fn into_sender(mut self, options: &LinkOptions) -> Result<Sender, AttachError> {
        let link = self.accept(Role::Sender, options)?;
        Ok(Sender::new(link, self.guarantee()))
    }

    /// Refuses the link.
    pub fn refuse(mut self, error: PeerError) {
        self.answered = true;
        self.refuse_with(error);
    }

    /// Whether the answer is one that may be given.
    fn check(&self, role: Role) -> Result<(), AttachError> {
        if self.remote.role != role {
            let offered = format!("the {:?} end", self.remote.role);
            return Err(AttachError::OtherEnd { asked: "the other end of the link", offered });
        }
        if self.is_coordinator() {
            return Err(AttachError::OtherEnd { asked: "a node", offered: "a link to a coordinator".to_owned() });
        }
        let [source, target] = &*self.nodes;
        let (asked, ours) = match role {
            Role::Sender => (&self.remote.source, source),
            Role::Receiver => (&self.remote.target, target),
        };
        let has_address = ours.as_ref().is_some_and(|node| node.address.is_some());
        if asked.as_ref().is_some_and(|node| node.dynamic) && !has_address {
            return Err(AttachError::NoAddress);
        }
        Ok(())
    }

    fn accept(&mut self, role: Role, options: &LinkOptions) -> Result<Link, AttachError> {
        self.check(role)?;
        let [source, target] = self.nodes.each_ref().map(Option::as_ref);
        let link = Accepting {
            id: self.id,
            session: self.session.inner.key,
            remote: &self.remote,
            key: self.key.as_ref(),
            answer: Answer { options, source, target, expiry: None },
        };
        let shared = self.session.shared();
        let mut tries = 0..TRIES;
        let key = loop {
            match shared.with(|state| state.accept(shared, &link))? {
                Ok(key) => break key,
                Err(holder) if tries.next().is_some() => steal(holder),
                Err(_) => return Err(AttachError::Link(LinkError::Closed)),
            }
        };
        self.answered = true;
        Ok(Link { session: self.session.clone(), key, name: self.remote.name.clone(), timeout: options.timeout })
    }

    fn refuse_with(&self, error: PeerError) {
        self.session.shared().with(|state| state.engine.refuse(self.id, error));
    }
}

impl Drop for IncomingLink {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let (condition, text) = match self.check(self.remote.role) {
            Ok(()) => (ErrorCondition::NOT_ALLOWED, "nobody took the link"),
            Err(AttachError::NoAddress) => (ErrorCondition::NOT_IMPLEMENTED, "this container makes no nodes"),
            Err(_) => (ErrorCondition::NOT_IMPLEMENTED, "this container has no transactions"),
        };
        self.refuse_with(PeerError::new(condition, text));
    }
}
