//! A link at one of its ends (part 2, 2.6).

use std::collections::VecDeque;

use bytes::Bytes;
use postroad_codec::v1_0::{
    Attach, AttachTarget, ByteString, DeliveryNumber, DeliveryState, DeliveryTag, Detach, Fields, Flow, Handle,
    MessageFormat, Multiple, Position, Received, ReceiverSettleMode, Role, SenderSettleMode, SequenceNo, Source,
    Symbol,
};

use super::LinkState;
use super::arena::Key;
use super::event::LinkId;
use super::link_state::Unsettled;
use super::resume::Resuming;
use super::send_log::SendLog;

/// What one end of a link offers.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkTerms {
    /// Where messages come from.
    pub source: Option<Source>,
    /// Where messages go.
    pub target: Option<AttachTarget>,
    /// When the sender settles.
    pub snd_settle_mode: SenderSettleMode,
    /// When the receiver settles.
    pub rcv_settle_mode: ReceiverSettleMode,
    /// The first delivery count of a sender.
    pub initial_delivery_count: SequenceNo,
    /// The largest message that a receiver takes, in bytes. A receiver enforces it.
    pub max_message_size: u64,
    /// Extensions that we support.
    pub offered_capabilities: Multiple<Symbol>,
    /// Extensions that we would use.
    pub desired_capabilities: Multiple<Symbol>,
    /// Properties of the link.
    pub properties: Option<Fields>,
    /// Whether the link can be resumed: a sender keeps unsettled messages, so that they can be sent again, and a
    /// receiver notes how much it has received.
    pub keep: bool,
    /// Whether a sender that is attached again sends what has no outcome once more, where it was kept, when the peer has no
    /// state of the link: that may repeat a message. Otherwise it is in doubt ([`Event::InDoubt`](super::Event::InDoubt)).
    pub resend_lost: bool,
    /// Whether a sender that is attached again sends nothing before its owner has seen what the peer has attached it to, and
    /// says [`Connection::proceed`](super::Connection::proceed). Where the peer names no terminus there is nothing to see.
    pub hold: bool,
    /// Whether a sender settles by itself what has got an outcome.
    pub auto_settle: bool,
    /// Whether such a sender leaves a delivery whose outcome is provisional, as part of a transaction, until its owner
    /// settles it: a transactional resource does (part 4, 4.4.2), a controller has nothing to wait for.
    pub keep_provisional: bool,
    /// Whether a receiver does not answer the sender's detach before it has told an outcome of everything that has come: behind
    /// the answer none can be told, and the sender would be left in doubt. [`Event::LinkLeaving`](super::Event::LinkLeaving)
    /// tells of it; whoever does not want to wait for ever sets a timer and answers by
    /// [`Connection::answer_detach`](super::Connection::answer_detach).
    pub answers_last: bool,
    /// Whether a receiver gives messages in the parts in which they come, instead of holding them until they are whole.
    pub in_parts: bool,
}

impl Default for LinkTerms {
    fn default() -> Self {
        Self {
            source: None,
            target: None,
            snd_settle_mode: SenderSettleMode::MIXED,
            rcv_settle_mode: ReceiverSettleMode::FIRST,
            initial_delivery_count: SequenceNo(0),
            max_message_size: 100 * 1024 * 1024,
            offered_capabilities: Multiple::default(),
            desired_capabilities: Multiple::default(),
            properties: None,
            keep: false,
            resend_lost: true,
            hold: false,
            auto_settle: true,
            keep_provisional: false,
            answers_last: false,
            in_parts: false,
        }
    }
}

/// What a part of a message costs beside its bytes. Credit bounds messages and not their parts: without it a peer could
/// send a message in parts of a byte, or of none, and the session's bytes would not bound how many wait.
const PART: usize = 256;

impl Delivery {
    /// A whole message that came unsettled.
    #[must_use]
    pub fn new(number: DeliveryNumber, tag: DeliveryTag, payload: Bytes) -> Self {
        Self {
            number,
            tag,
            message_format: MessageFormat(0),
            settled: false,
            state: None,
            payload,
            continues: false,
            more: false,
            aborted: false,
        }
    }

    /// What it counts for while it waits for its owner.
    #[inline]
    pub(crate) fn weight(&self) -> usize {
        self.payload.len() + if self.continues || self.more { PART } else { 0 }
    }
}

impl LinkTerms {
    /// Fills in what a link that is attached again had before.
    pub(crate) fn continue_from(&mut self, state: &LinkState) {
        self.keep = true;
        self.in_parts = state.in_parts;
        self.initial_delivery_count = state.delivery_count;
        self.source = self.source.take().or_else(|| state.source.clone());
        self.target = self.target.take().or_else(|| state.target.clone());
    }
}

/// Where a link is in its life.
///
/// ```text
///  attach sent ──attach received──▶ Attached ──detach sent──▶ DetachSent ──detach received──▶ Detached
///  attach received ──attach sent──▶     └──────detach received (answered at once, or last)──▶ Detached
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    AttachSent,
    AttachReceived,
    Attached,
    DetachSent,
    Detached,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) session: Key,
    pub(crate) channel: u16,
    pub(crate) name: ByteString,
    pub(crate) role: Role,
    pub(crate) phase: Phase,
    pub(crate) handle: Handle,
    pub(crate) remote_handle: Option<Handle>,
    pub(crate) terms: LinkTerms,
    pub(crate) remote: Option<Box<Attach>>,

    pub(crate) delivery_count: SequenceNo,
    pub(crate) credit: u32,
    pub(crate) available: u32,
    pub(crate) drain: bool,
    /// Whether the peer asked for our flow state before we had answered its attach.
    pub(crate) echo: bool,
    /// Whether our next flow asks for the peer's.
    pub(crate) ask: bool,
    /// Whether one has, and the peer has not answered.
    pub(crate) asked: bool,
    /// What our flows tell beside the standard's fields, and what the peer's told last.
    pub(crate) flow_properties: Option<Box<Fields>>,
    pub(crate) remote_flow_properties: Option<Box<Fields>>,
    pub(crate) flow_due: bool,
    /// Whether the owner has heard that it is detached, before the peer has answered.
    pub(crate) told: bool,
    /// The sender's detach, while it waits for an answer.
    pub(crate) leaving: Option<Box<Detach>>,
    /// The deliveries that it brought along when it was attached again.
    pub(crate) resuming: Option<Box<Resuming>>,
    /// Whether the owner has heard that all of these are dealt with.
    pub(crate) resumed: bool,
    /// Whether our attach told no map, and the peer has not taken it on.
    pub(crate) anew: bool,
    /// Some of the deliveries that the peer told, where our answer told no map and nothing shows that the peer has got it.
    pub(crate) unheard: Vec<DeliveryTag>,

    // Sending end.
    pub(crate) log: SendLog,
    pub(crate) parked: Option<Parked>,
    /// The message that the owner hands over in parts.
    pub(crate) open: Option<Open>,
    /// The state that each frame of that message tells, or of the one that waits for the window: its transaction (part 4,
    /// 4.4.1).
    pub(crate) repeated: Option<DeliveryState>,
    /// Whether what waits for the window is the end of a message that was given up.
    pub(crate) aborting: bool,
    /// Whether the owner was told that it cannot send, and waits to hear that it can.
    pub(crate) blocked: bool,
    /// Whether it is listed among those that wait for the output to empty.
    pub(crate) held_back: bool,
    /// Whether a drain is to be answered once the message that waits for the window has left.
    pub(crate) drain_due: bool,
    /// Whether the owner has given it up while the peer's detach is on its way.
    pub(crate) released: bool,

    // Receiving end.
    /// Messages that the peer may have been allowed to send: more than `credit` after it was lowered.
    pub(crate) allowed: u32,
    /// Messages beyond those that are taken all the same, and those that have come since credit was last told.
    pub(crate) overdraft: u32,
    pub(crate) overdrawn: u32,
    /// The delivery of which more transfers follow, even if it is being thrown away.
    pub(crate) arriving: Option<DeliveryNumber>,
    pub(crate) partial: Option<Partial>,
    /// Bytes of the last message that came in several frames: the next one is likely to be as long.
    pub(crate) usual: usize,
    /// The message of which the owner has taken a part and not the last one, and how much.
    pub(crate) reading: Option<(DeliveryNumber, Position)>,
    /// Whether the payload of the delivery that arrives is there already, or of no use.
    pub(crate) skipping: bool,
    pub(crate) queue: VecDeque<Delivery>,
}

/// A message of which a part waits for the window.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) rest: Bytes,
    /// Whether the owner has more to hand over behind it.
    pub(crate) more: bool,
}

/// A message that is handed over in parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    pub(crate) delivery: DeliveryNumber,
    /// Bytes of it so far.
    pub(crate) length: u64,
}

/// A delivery of which a part has come.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) delivery: Delivery,
    pub(crate) bytes: Vec<u8>,
    /// Bytes that were given in parts.
    pub(crate) given: u64,
}

impl Partial {
    /// The delivery as one that more is to come of on another connection.
    pub(crate) fn into_unsettled(self) -> Unsettled {
        let mut position = Position::default();
        position.advance(&self.bytes);
        Unsettled {
            tag: self.delivery.tag,
            message_format: self.delivery.message_format,
            delivery: self.delivery.number,
            token: 0,
            local_state: None,
            remote_state: self.delivery.state,
            received: Some(position),
            message: Some(self.bytes.into()),
        }
    }
}

/// A message that has come: as a whole, or a part of it on a link that gives parts ([`LinkTerms::in_parts`]).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Delivery {
    /// Its number on the session, by which it is settled.
    pub number: DeliveryNumber,
    /// Its tag.
    pub tag: DeliveryTag,
    /// The format of the message; 0 is that of the standard.
    pub message_format: MessageFormat,
    /// Whether the sender has settled it already.
    pub settled: bool,
    /// Its state at the sender, such as a transaction.
    pub state: Option<DeliveryState>,
    /// The message, or a part of it.
    pub payload: Bytes,
    /// Whether a part came before this one.
    pub continues: bool,
    /// Whether more parts follow.
    pub more: bool,
    /// Whether the sender gave the message up (2.7.5): what came of it is to be thrown away.
    pub aborted: bool,
}

impl Link {
    pub(crate) fn new(id: LinkId, session: Key, channel: u16, name: ByteString, role: Role, phase: Phase) -> Self {
        Self {
            id,
            session,
            channel,
            name,
            role,
            phase,
            handle: Handle(0),
            remote_handle: None,
            terms: LinkTerms::default(),
            remote: None,
            delivery_count: SequenceNo(0),
            credit: 0,
            available: 0,
            drain: false,
            echo: false,
            ask: false,
            asked: false,
            flow_properties: None,
            remote_flow_properties: None,
            flow_due: false,
            told: false,
            leaving: None,
            resuming: None,
            resumed: false,
            anew: false,
            unheard: Vec::new(),
            log: SendLog::default(),
            parked: None,
            open: None,
            repeated: None,
            aborting: false,
            blocked: false,
            held_back: false,
            drain_due: false,
            released: false,
            allowed: 0,
            overdraft: 0,
            overdrawn: 0,
            arriving: None,
            partial: None,
            usual: 0,
            reading: None,
            skipping: false,
            queue: VecDeque::new(),
        }
    }

    /// The attach that tells our terms.
    pub(crate) fn attach(&self) -> Attach {
        let terms = &self.terms;
        // 2.7.3: only a link that is resumed tells a map, be it empty.
        let (unsettled, incomplete) = self.resuming.as_ref().and_then(|resuming| resuming.map(self.role)).unzip();
        Attach {
            name: self.name.clone(),
            handle: self.handle,
            role: self.role,
            snd_settle_mode: terms.snd_settle_mode,
            rcv_settle_mode: terms.rcv_settle_mode,
            source: terms.source.clone().map(Box::new),
            target: terms.target.clone().map(Box::new),
            unsettled,
            incomplete_unsettled: incomplete.unwrap_or(false),
            // 2.7.3: the sender must tell it, the receiver must not.
            initial_delivery_count: (self.role == Role::Sender).then_some(terms.initial_delivery_count),
            max_message_size: (self.role == Role::Receiver).then_some(terms.max_message_size),
            offered_capabilities: terms.offered_capabilities.clone(),
            desired_capabilities: terms.desired_capabilities.clone(),
            properties: terms.properties.clone(),
        }
    }

    /// Takes in the peer's attach.
    pub(crate) fn attached(&mut self, attach: Attach) {
        self.remote_handle = Some(attach.handle);
        if self.role == Role::Receiver {
            self.delivery_count = attach.initial_delivery_count.unwrap_or_default();
        }
        self.remote = Some(Box::new(attach));
    }

    /// The peer is known to have got our attach, and to mean the link.
    #[inline]
    pub(crate) fn heard(&mut self) {
        self.anew = false;
        self.unheard.clear();
    }

    /// Bytes of the delivery of which only a part has come.
    #[inline]
    pub(crate) fn partial_len(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.bytes.len())
    }

    /// Notes how much the owner has of a message that it takes in parts; answers how much that was with the last one.
    pub(crate) fn note_read(&mut self, part: &Delivery) -> Option<Received> {
        let (_, position) = self.reading.get_or_insert_with(|| (part.number, Position::default()));
        position.advance(&part.payload);
        if part.more { None } else { self.reading.take().map(|(_, position)| position.received()) }
    }

    /// The largest message that the peer takes; 0 and nothing mean that there is no limit.
    pub(crate) fn peer_limit(&self) -> u64 {
        match self.remote.as_ref().and_then(|attach| attach.max_message_size) {
            None | Some(0) => u64::MAX,
            Some(limit) => limit,
        }
    }

    /// Adds the link's part to what a flow tells of its session.
    #[allow(clippy::needless_pass_by_value, reason = "its fields are moved where one is set there")]
    pub(crate) fn complete(&mut self, session: Flow) -> Flow {
        let echo = std::mem::take(&mut self.ask);
        self.asked |= echo;
        Flow {
            handle: Some(self.handle),
            delivery_count: Some(self.delivery_count),
            link_credit: Some(self.credit),
            available: (self.role == Role::Sender).then_some(self.available),
            drain: self.drain,
            echo,
            properties: self.flow_properties.clone(),
            ..session
        }
    }
}
