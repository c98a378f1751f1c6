//! What an engine tells its owner.

use bytes::Bytes;
use postroad_codec::v1_0::{DeliveryNumber, DeliveryState, DeliveryTag, Error, MessageFormat};

use super::ConnectionError;
use super::arena::Key;

/// Names a session of one engine; no other session of that engine ever has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) Key);

/// Names a link of one engine; no other link of that engine ever has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub(crate) Key);

impl SessionId {
    /// The id of a session of another engine of the same shape, such as one that plays a part in a test.
    #[must_use]
    pub const fn new(index: u32, serial: u32) -> Self {
        Self(Key { index, serial })
    }
}

impl LinkId {
    /// The id of a link of another engine of the same shape, such as one that plays a part in a test.
    #[must_use]
    pub const fn new(index: u32, serial: u32) -> Self {
        Self(Key { index, serial })
    }

    /// A small number that no other link of the engine has now: an index for the owner's own table. It
    /// is used again once the link is released.
    #[inline]
    #[must_use]
    pub fn index(self) -> usize {
        self.0.index as usize
    }
}

/// Something that the owner of an engine should know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The client has shown who it is (servers only).
    Authenticated,
    /// A client's password is to be checked: see [`password_check`](super::Connection::password_check). Only servers whose
    /// exchange has [`deferred_checks`](crate::sasl::Server::deferred_checks) tell it.
    CheckPassword,
    /// The peer's `open` has come: see [`remote_open`](super::Connection::remote_open).
    Opened,
    /// The connection is over; nothing follows.
    Closed(ConnectionError),
    /// The peer has answered our `begin`.
    SessionBegun(SessionId),
    /// The peer has begun a session, which has been answered.
    SessionIncoming(SessionId),
    /// A session is over, and every link on it with it: [`release`](super::Connection::release) them.
    SessionEnded {
        /// The session.
        session: SessionId,
        /// The reason, where there is one: the peer's, or ours for a rule that the peer broke.
        error: Option<Box<Error>>,
    },
    /// The peer has answered our `attach`: see [`remote_attach`](super::Connection::remote_attach).
    /// Where it refuses, a [`Event::LinkDetached`] follows.
    LinkAttached(LinkId),
    /// The peer attaches a link, which waits for [`accept`](super::Connection::accept) or
    /// [`refuse`](super::Connection::refuse).
    LinkIncoming(LinkId),
    /// The sender of a link has detached it, and waits for outcomes of what it had sent before
    /// ([`LinkTerms::answers_last`](super::LinkTerms::answers_last)). [`Event::LinkDetached`] follows once they are told.
    LinkLeaving {
        /// The link.
        link: LinkId,
        /// The peer's reason, where it gave one.
        error: Option<Box<Error>>,
    },
    /// A link is detached: [`release`](super::Connection::release) it.
    LinkDetached {
        /// The link.
        link: LinkId,
        /// Whether it was closed for good.
        closed: bool,
        /// The reason, where there is one: the peer's, or ours for a rule that the peer broke.
        error: Option<Box<Error>>,
    },
    /// A sending link can take messages again.
    Credit(LinkId),
    /// The peer wants a sending link's credit used or given up: see
    /// [`SenderMut::drained`](super::SenderMut::drained).
    Drain(LinkId),
    /// A flow of the peer's told more of a link than the standard's fields: see
    /// [`remote_flow_properties`](super::Connection::remote_flow_properties).
    FlowProperties(LinkId),
    /// The peer asks for the state of a sending link, which goes out with the next output: the time for
    /// [`SenderMut::offered`](super::SenderMut::offered).
    Echo(LinkId),
    /// The peer told of the state of a delivery that we sent.
    Update(Update),
    /// A receiving link has deliveries, where it had none.
    Readable(LinkId),
    /// The sender has given up a delivery before it was whole, or resumed one of which nothing is left to come: it used a
    /// receiving link's credit all the same.
    Aborted(LinkId),
    /// The sender has told its flow state of a link since it was asked ([`Connection::ask_flow`](super::Connection::ask_flow)):
    /// what it had sent before it heard of our credit is here.
    Flow(LinkId),
    /// A receiving link's credit has been used or given up after a drain.
    Drained(LinkId),
    /// A link that was attached again has dealt with the deliveries that it brought along: a sender has decided and told
    /// what becomes of each, a receiver knows which of them the sender resumes.
    Resumed {
        /// The link.
        link: LinkId,
        /// Whether that was all of them. Where not, an unsettled map did not fit into a frame: nothing new is sent
        /// before the link has been detached and attached again, for the rest (2.7.3). The sending end should detach it,
        /// as the other one does not know what is still to come, and not before some of the deliveries are settled or a
        /// time has passed: otherwise the next maps are the same.
        complete: bool,
        /// Whether the peer told what it has not settled. Where not, it has no state of the link (2.7.3): what a sender
        /// brought along was sent again as new, or is in doubt, as [`resend_lost`](super::LinkTerms::resend_lost) says.
        remembered: bool,
    },
    /// Nobody can tell what became of a delivery that we sent before the link was attached again: the peer has no state
    /// of the link, and it was not to be sent again, or cannot be. It is over at our end.
    InDoubt {
        /// The link.
        link: LinkId,
        /// What the owner gave to [`SenderMut::send`](super::SenderMut::send).
        token: u64,
        /// Its number on the session that is gone.
        delivery: DeliveryNumber,
        /// Its tag.
        tag: DeliveryTag,
        /// The format of its message.
        message_format: MessageFormat,
        /// The message, where it was kept.
        message: Option<Bytes>,
    },
    /// A delivery that was received before the link was attached again, and taken, has a new number, or is over. Its tag
    /// tells which it is: where unsettled maps did not fit into frames, numbers of several sessions wait side by side.
    Reassociated {
        /// The link.
        link: LinkId,
        /// Its tag, which stays.
        tag: DeliveryTag,
        /// Its number until now.
        previous: DeliveryNumber,
        /// Its number from now on; none when the sender has settled it, and no part of it follows.
        delivery: Option<DeliveryNumber>,
        /// Its state at the sender, where it told.
        state: Option<DeliveryState>,
    },
    /// The sender has settled a delivery that we had not settled.
    SettledBySender {
        /// The link.
        link: LinkId,
        /// The delivery.
        delivery: DeliveryNumber,
        /// Its state at the sender, where it told.
        state: Option<DeliveryState>,
    },
}

/// News of a delivery that we sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The link.
    pub link: LinkId,
    /// What the owner gave to [`SenderMut::send`](super::SenderMut::send).
    pub token: u64,
    /// The delivery.
    pub delivery: DeliveryNumber,
    /// Its state at the receiver.
    pub state: Option<DeliveryState>,
    /// Whether it is over: the receiver has settled it, or it had an outcome and we have.
    pub settled: bool,
    /// Whether the receiver has settled it.
    pub by_peer: bool,
}
