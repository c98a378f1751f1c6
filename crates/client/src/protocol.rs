//! The seam: what a connection needs of a protocol. Above it nobody knows a performative; below it nobody knows a task, a
//! waker or a lock. AMQP 1.0 is one module behind it ([`v1_0`](crate::v1_0)), and the tests have a small one of their own.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use postroad_amqp::sasl::{PasswordAnswer, PasswordCheck};

use crate::sasl::User;
use crate::types::{DecodeError, Fields, PeerError, Value};
use crate::{AttachError, ConnectionError, Expiry, Guarantee, LinkError, LinkOptions, Message, Node, Origin, Outcome};

pub(crate) use postroad_amqp::v1_0::{Delivery, LimitError, LinkId, SessionId, Transmit};
pub(crate) use postroad_codec::v1_0::{DeliveryNumber, DeliveryTag, MessageFormat, Role, TransactionId};

/// The most messages that a sender may be allowed. They are counted by serial numbers (AMQP 1.0 part 2, 2.6.7); and peers
/// on Proton read credit as a signed number, and send nothing for one below zero.
pub(crate) const MOST_CREDIT: u32 = i32::MAX as u32;

/// One end of a connection, without I/O: bytes go in and out, and what happened comes as [`News`].
pub(crate) trait Protocol: fmt::Debug + Send {
    /// How messages are written and read, which takes no lock.
    fn wire(&self) -> Wire;

    // The verbs of an engine. The error of what came in is told as news as well.

    fn handle_input(&mut self, now: Instant, input: &mut BytesMut);
    fn handle_eof(&mut self);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll_transmit(&mut self, now: Instant, output: &mut Transmit);
    fn has_output(&self) -> bool;
    fn poll_news(&mut self) -> Option<News>;
    fn is_over(&self) -> bool;

    // Clients that show who they are, where this end is connected to.

    /// Who the client has shown to be.
    fn user(&self) -> Option<User> {
        None
    }

    /// A password to check, once; nothing is taken from the input before the answer is here.
    fn password_check(&mut self) -> Option<PasswordCheck> {
        None
    }

    fn password_checked(&mut self, _answer: PasswordAnswer) {}

    // The connection and its sessions.

    /// What our end has told of itself: its id, and the host that it asks for.
    fn own(&self) -> Own;
    /// What the peer has told of itself, once it has opened.
    fn peer(&self) -> Option<Peer>;
    fn close(&mut self, error: Option<PeerError>);
    /// Whether close has been said.
    fn is_closing(&self) -> bool;
    fn begin(&mut self) -> Result<SessionId, LimitError>;
    fn end(&mut self, session: SessionId, error: Option<PeerError>);
    fn end_all(&mut self);
    /// Whether there are sessions that have not ended.
    fn has_sessions(&self) -> bool;

    // Links.

    fn attach(&mut self, session: SessionId, name: &str, to: To<'_>, how: How<'_>) -> Result<LinkId, LimitError>;
    /// Accepts a link of the peer's.
    fn accept(&mut self, link: LinkId, answer: &Answer<'_>) -> Result<(), LimitError>;
    /// Accepts a link of the peer's as the one that it was: both ends tell what they have not settled.
    fn accept_resumed(
        &mut self,
        link: LinkId,
        answer: &Answer<'_>,
        suspended: &mut Suspended,
    ) -> Result<(), LimitError>;
    /// Has what outlives a link that received know outcomes only: what has none comes again.
    fn retain_told(&self, suspended: &mut Suspended);
    fn refuse(&mut self, link: LinkId, error: PeerError);
    /// Has a link that was attached again go on with what it brought along: the terms are as they should be.
    fn proceed(&mut self, link: LinkId);
    /// Detaches a link for good.
    fn detach(&mut self, link: LinkId, error: Option<PeerError>);
    /// Answers the detach of a sender that waits for outcomes, whatever is still owed.
    fn answer_detach(&mut self, link: LinkId);
    /// Detaches a link that is to be attached again.
    fn detach_for_now(&mut self, link: LinkId, error: Option<PeerError>);
    /// So many deliveries of a link may be unsettled so that it can be resumed with one attach.
    fn map_capacity(&self, link: LinkId) -> usize;
    /// Whether a link that told a part of what is not settled is done with that part.
    fn is_round_over(&self, link: LinkId) -> bool;
    /// Frees a link, and gives back what outlives it and the messages that had come on it. What is not settled and
    /// was not taken comes again on a link that resumes this one.
    fn release(&mut self, link: LinkId, take: Take) -> (Option<Suspended>, VecDeque<Delivery>);
    fn session_of(&self, link: LinkId) -> Option<SessionId>;
    fn has_link(&self, link: LinkId) -> bool;
    /// Whether there is such a link and our end of it receives.
    fn receives(&self, link: LinkId) -> bool;
    /// Whether our end of a link is attached.
    fn is_attached(&self, link: LinkId) -> bool;
    /// The source and target that our end of a link has told.
    fn own_nodes(&self, link: LinkId) -> (Option<Node>, Option<Node>);
    /// What the peer has told of a link, once it has attached it.
    fn remote(&self, link: LinkId) -> Option<Remote>;

    // Sending.

    fn send(&mut self, link: LinkId, message: &Outgoing<'_>) -> Result<DeliveryNumber, Refusal>;
    /// Whether a message of this tag is not settled.
    fn has_unsettled(&mut self, link: LinkId, tag: &DeliveryTag) -> bool;
    /// Settles a message that was sent, by its tag, and gives back its token; nothing where it is settled.
    fn settle_sent(&mut self, link: LinkId, tag: &DeliveryTag) -> Option<u64>;
    /// Hands over the next part of a message.
    fn append(&mut self, link: LinkId, delivery: DeliveryNumber, part: &Bytes, more: bool) -> Result<(), Refusal>;
    /// Whether the next part of a message can be handed over now.
    fn can_append(&mut self, link: LinkId) -> bool;
    /// Gives up a message of which a part was handed over.
    fn abort(&mut self, link: LinkId, delivery: DeliveryNumber);
    /// Messages that can be handed over now; where it is 0, news follows when it no longer is.
    fn capacity(&mut self, link: LinkId) -> u32;
    fn credit(&mut self, link: LinkId) -> u32;
    /// Bytes of the messages that are kept until they are settled.
    fn kept_bytes(&mut self, link: LinkId) -> usize;
    /// Whether the rest of a message that was handed over waits for the peer's window.
    fn has_rest(&mut self, link: LinkId) -> bool;
    /// Notes how many messages wait at a sender.
    fn offer(&mut self, link: LinkId, available: u32);
    /// Whether the receiver wants the credit of a sender used now or given up.
    fn is_asked_to_drain(&mut self, link: LinkId) -> bool;
    /// Gives up the credit of a sender that is asked to: nothing waits for it.
    fn give_up_credit(&mut self, link: LinkId);

    // Receiving.

    fn queued(&mut self, link: LinkId) -> usize;
    fn take_all(&mut self, link: LinkId, deliveries: &mut VecDeque<Delivery>);
    /// Messages that the sender may still send.
    fn granted(&mut self, link: LinkId) -> u32;
    /// Allows the sender so many, and [`MOST_CREDIT`] at most.
    fn grant(&mut self, link: LinkId, credit: u32);
    /// Has the sender answer what it was told of a link: [`News::Flow`] follows, behind what it had sent before.
    fn ask_flow(&mut self, link: LinkId);
    /// Takes so many messages beyond the credit.
    fn set_overdraft(&mut self, link: LinkId, messages: u32);
    fn drain(&mut self, link: LinkId);
    fn stop_draining(&mut self, link: LinkId);
    fn is_draining(&mut self, link: LinkId) -> bool;
    /// Messages that wait at the sender, as far as it told.
    fn available(&mut self, link: LinkId) -> u32;
    /// Tells the outcome of a delivery, and leaves it unsettled.
    fn update(&mut self, link: LinkId, delivery: DeliveryNumber, outcome: Outcome);
    /// What our end and the peer's have told of a delivery; nothing once either has settled it.
    fn states(&mut self, link: LinkId, number: DeliveryNumber) -> Option<(Option<Outcome>, Option<Outcome>)>;
    fn settle(&mut self, link: LinkId, delivery: DeliveryNumber, outcome: Outcome);

    // Transactions, and questions.

    /// A message for a coordinator that asks for a transaction.
    fn declare(&self) -> Bytes;
    /// A message for a coordinator that ends a transaction.
    fn discharge(&self, id: &TransactionId, fail: bool) -> Bytes;
    /// Tells an outcome that waits for the commit of a transaction.
    fn retire(&mut self, link: LinkId, delivery: DeliveryNumber, outcome: Outcome, id: &TransactionId);
    /// Has the outcomes that were told leave before what is sent from now on.
    fn flush(&mut self);
    /// Asks the peer something. [`News::Answer`] with the token follows, unless the session ends.
    fn ask(&mut self, session: SessionId, query: &Query, token: u64) -> Result<(), LimitError>;
}

/// How messages are written and read: by functions, since neither needs the connection.
#[derive(Clone, Copy)]
pub(crate) struct Wire {
    /// Appends the message, except for large content, which it answers with.
    pub(crate) encode: for<'a> fn(&'a Message, &mut Vec<u8>) -> Option<&'a Bytes>,
    pub(crate) read: fn(&mut Message, Bytes, MessageFormat, Origin) -> Result<(), DecodeError>,
}

/// What an engine tells of its connection.
#[derive(Debug)]
pub(crate) enum News {
    Opened,
    SessionBegun(SessionId),
    SessionIncoming(SessionId),
    SessionEnded(SessionId, LinkError),
    LinkAttached(LinkId),
    LinkIncoming(LinkId),
    /// The sender of a link has detached it, and waits for outcomes.
    LinkLeaving(LinkId, LinkError),
    LinkEnded {
        link: LinkId,
        error: LinkError,
        /// Whether for good.
        closed: bool,
    },
    /// A link that was attached again has dealt with what it brought along.
    Resumed {
        link: LinkId,
        /// Whether that was all of it; the rest takes another attach.
        complete: bool,
        /// Whether the peer knew the link.
        remembered: bool,
    },
    /// A delivery that was received before has another number now, or none: its sender has settled it.
    Reassociated {
        link: LinkId,
        tag: DeliveryTag,
        number: Option<DeliveryNumber>,
    },
    /// The sender has settled a delivery that we had not settled.
    SettledBySender {
        link: LinkId,
        number: DeliveryNumber,
    },
    /// What became of a message is not known, and cannot be found out.
    InDoubt {
        link: LinkId,
        doubt: Doubt,
    },
    /// A sender has credit, or a receiver messages.
    Ready(LinkId),
    Drained(LinkId),
    /// The sender has answered a flow that wanted an answer.
    Flow(LinkId),
    /// A message was given up by its sender, and its credit is gone.
    Aborted(LinkId),
    /// The peer wants a sender's credit used now or given up.
    Drain(LinkId),
    /// A message that was sent is over, with an outcome where the receiver gave one.
    Settled {
        link: LinkId,
        token: u64,
        outcome: Option<Outcome>,
        /// Whether the receiver has settled it.
        by_peer: bool,
    },
    /// The receiver has given an outcome, and our end settles by hand.
    Outcome {
        link: LinkId,
        token: u64,
        outcome: Outcome,
    },
    /// A transaction was declared.
    Declared {
        link: LinkId,
        token: u64,
        id: TransactionId,
    },
    /// The answer to a query: nothing where there is no such node.
    Answer {
        token: u64,
        answer: Result<Option<Node>, LinkError>,
    },
    Closed(ConnectionError),
}

/// What our end has told of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) container: String,
    pub(crate) host: Option<String>,
}

/// What a peer has told of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Peer {
    pub(crate) container: String,
    pub(crate) host: Option<String>,
    pub(crate) properties: Vec<(String, Value)>,
    pub(crate) offers: Vec<String>,
    pub(crate) desires: Vec<String>,
}

impl Peer {
    /// Whether it has opened only to say why it closes at once.
    pub(crate) fn is_about_to_close(&self) -> bool {
        self.properties.iter().any(|(name, value)| name == OPEN_FAILED && *value == Value::Boolean(true))
    }
}

/// How brokers of the Qpid and ActiveMQ families say so in the properties of their open.
const OPEN_FAILED: &str = "amqp:connection-establishment-failed";

/// What a link is attached to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum To<'a> {
    Node {
        role: Role,
        node: &'a Node,
        options: &'a LinkOptions,
    },
    /// The peer's coordinator of transactions.
    Coordinator,
}

/// What our end tells of a link that the peer attaches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) options: &'a LinkOptions,
    /// The nodes at both ends, where they are not what the peer asked for.
    pub(crate) source: Option<&'a Node>,
    pub(crate) target: Option<&'a Node>,
    /// What is granted to the terminus at our end; nothing of it outlives the link where this is nothing.
    pub(crate) expiry: Option<Expiry>,
}

/// How a link is attached.
#[derive(Debug)]
pub(crate) enum How<'a> {
    /// As a new link.
    Anew,
    /// As a new link, on which what was not settled is sent again.
    Restart(&'a mut Suspended),
    /// As the link that it was: both ends tell what they have not settled.
    Resume(&'a mut Suspended),
}

/// Which messages are taken from a link that is freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    All,
    Settled,
    None,
}

/// What of a link outlives its connection.
#[derive(Debug)]
pub(crate) struct Suspended {
    /// Our end.
    pub(crate) role: Role,
    /// Deliveries that our end has not settled, oldest first.
    pub(crate) unsettled: Vec<Unsettled>,
    /// What the protocol keeps of it beside these, and of these.
    pub(crate) state: Box<dyn Any + Send>,
}

/// A delivery that is not settled at our end.
#[derive(Debug, Clone)]
pub(crate) struct Unsettled {
    pub(crate) tag: DeliveryTag,
    pub(crate) number: DeliveryNumber,
    /// Where our end sends: what was given with the message.
    pub(crate) token: u64,
    /// Where our end receives: whether we have taken it.
    pub(crate) taken: bool,
    /// Where our end sends: the message, if it was kept.
    pub(crate) message: Option<Bytes>,
}

/// A message that was sent, and of which no outcome is known.
#[derive(Debug)]
pub(crate) struct Doubt {
    pub(crate) token: u64,
    pub(crate) tag: DeliveryTag,
    /// The message, where it was kept.
    pub(crate) message: Option<Bytes>,
}

/// What a receiver wants of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) credit: u32,
    pub(crate) drain: bool,
}

/// Why a message was not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Blocked,
    Detached,
    TooLarge(u64),
}

/// A message on its way into a link.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    /// The encoded message, or the front of it, and what follows that.
    pub(crate) encoded: &'a [u8],
    pub(crate) content: Option<&'a Bytes>,
    pub(crate) format: MessageFormat,
    pub(crate) tag: DeliveryTag,
    pub(crate) settled: bool,
    pub(crate) token: u64,
    /// Whether this is the first part of it.
    pub(crate) more: bool,
    pub(crate) transaction: Option<&'a TransactionId>,
}

/// A question to the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Query {
    /// Whether there is a node of this address, and what it is.
    Node(String),
}

/// How the peer has attached a link.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Remote {
    pub(crate) name: String,
    /// Our end of the link.
    pub(crate) role: Role,
    /// Whether the sender settles as it sends; and whether it settles nothing so, where it says that.
    pub(crate) settled: bool,
    pub(crate) unsettled: bool,
    /// Whether the receiver settles only once the sender has.
    pub(crate) second: bool,
    /// Whether the peer's end remembers the link when there is no connection.
    pub(crate) remembers: bool,
    pub(crate) source: Option<Node>,
    pub(crate) target: Option<Node>,
    /// What the coordinator can do that the link is attached to; and whether it is attached to one at all.
    pub(crate) coordinator: Option<Vec<String>>,
    pub(crate) coordinates: bool,
    pub(crate) properties: Option<Fields>,
    /// Extensions of the link that the peer offers, and that it would use.
    pub(crate) offers: Vec<String>,
    pub(crate) desires: Vec<String>,
    /// The largest message that it takes; any where this is 0.
    pub(crate) max_message_size: u64,
    /// Whether it tells what it has not settled, be it nothing.
    pub(crate) has_map: bool,
}

impl Remote {
    /// The node at the peer's end.
    pub(crate) fn node(&self) -> Option<&Node> {
        match self.role {
            Role::Receiver => self.source.as_ref(),
            Role::Sender => self.target.as_ref(),
        }
    }

    /// Whether the peer names the terminus at its own end: one that refuses a link does not.
    pub(crate) fn has_terminus(&self) -> bool {
        self.node().is_some() || self.coordinator.is_some()
    }

    /// The address at the peer's end.
    pub(crate) fn address(&self) -> Option<&str> {
        self.node()?.address.as_deref()
    }

    /// Whether the peer attached the link on terms that keep what was asked for.
    pub(crate) fn grants(&self, node: &Node, options: &LinkOptions) -> Result<(), AttachError> {
        if let (Some(asked), Some(offered)) = (&node.address, self.address())
            && !node.dynamic
            && !options.any_node
            && asked != offered
        {
            let (asked, offered) = (asked.clone(), offered.to_owned());
            return Err(AttachError::OtherNode { asked, offered });
        }
        let missing = self.lacks(options.guarantee);
        missing.map_or(Ok(()), |missing| {
            Err(AttachError::GuaranteeUnavailable { asked: options.guarantee, missing: missing.to_owned() })
        })
    }

    /// What the peer does not do that a guarantee needs.
    fn lacks(&self, guarantee: Guarantee) -> Option<&'static str> {
        let receives = self.role == Role::Receiver;
        match guarantee {
            Guarantee::AtMostOnce if receives && self.unsettled => Some("the sender settles nothing as it sends"),
            Guarantee::AtLeastOnce if receives && self.settled => Some("the sender settles as it sends"),
            Guarantee::ExactlyOnce if !self.second => Some("the receiver settles first (rcv-settle-mode first)"),
            Guarantee::ExactlyOnce if receives && self.settled => {
                Some("the sender settles as it sends (snd-settle-mode settled)")
            }
            Guarantee::ExactlyOnce if !self.remembers => {
                Some("the peer forgets the link with its connection (no expiry timeout)")
            }
            _ => None,
        }
    }
}

impl Suspended {
    pub(crate) fn is_empty(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// Deliveries that came and that we have taken.
    pub(crate) fn taken(&self) -> impl Iterator<Item = (DeliveryTag, DeliveryNumber)> {
        let taken = self.unsettled.iter().filter(|unsettled| unsettled.taken);
        taken.map(|unsettled| (unsettled.tag, unsettled.number))
    }

    /// Takes out what was sent and has no outcome.
    pub(crate) fn take_doubts(&mut self) -> impl Iterator<Item = Doubt> {
        let sent = self.role == Role::Sender;
        let sent = std::mem::take(&mut self.unsettled).into_iter().filter(move |_| sent);
        sent.map(|Unsettled { token, tag, message, .. }| Doubt { token, tag, message })
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}
