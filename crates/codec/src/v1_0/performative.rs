//! The nine performatives (AMQP 1.0 part 2, 2.7).

use std::fmt;

use bytestring::ByteString;

use super::composite::descriptor;
use super::{
    Composite as _, Coordinator, Decode, DecodeError, DecodeErrorKind, DeliveryNumber, DeliveryState, DeliveryTag,
    Encode, Error, Fields, Handle, LanguageTag, Map, MessageFormat, Milliseconds, Multiple, Reader, ReceiverSettleMode,
    Role, SenderSettleMode, SequenceNo, Source, Symbol, Target, TransferNumber, Typed, code,
};

composite! {
    /// Negotiates the parameters of a connection (2.7.1).
    pub struct Open = "open", "amqp:open:list", 0x10;
    /// The id of the sender's container.
    container_id: ByteString => "container-id" mandatory;
    /// The host that the sender means to reach.
    hostname: Option<ByteString> => "hostname" optional;
    /// The largest frame that the sender takes, in bytes.
    max_frame_size: u32 => "max-frame-size" default(u32::MAX, "4294967295");
    /// The largest channel number that the sender takes.
    channel_max: u16 => "channel-max" default(u16::MAX, "65535");
    /// Silence after which the sender gives the connection up.
    idle_time_out: Option<Milliseconds> => "idle-time-out" optional;
    /// Locales of the text that the sender writes.
    outgoing_locales: Multiple<LanguageTag> => "outgoing-locales" multiple;
    /// Locales that the sender reads, by preference.
    incoming_locales: Multiple<LanguageTag> => "incoming-locales" multiple;
    /// Extensions that the sender supports.
    offered_capabilities: Multiple<Symbol> => "offered-capabilities" multiple;
    /// Extensions that the sender would use.
    desired_capabilities: Multiple<Symbol> => "desired-capabilities" multiple;
    /// Properties of the connection.
    properties: Option<Fields> => "properties" optional;
}
composite! {
    /// Begins a session on a channel (2.7.2).
    pub struct Begin = "begin", "amqp:begin:list", 0x11;
    /// The channel of the begin that this one answers.
    remote_channel: Option<u16> => "remote-channel" optional;
    /// The number of the sender's next transfer.
    next_outgoing_id: TransferNumber => "next-outgoing-id" mandatory;
    /// Transfers that the sender can take.
    incoming_window: u32 => "incoming-window" mandatory;
    /// Transfers that the sender may send.
    outgoing_window: u32 => "outgoing-window" mandatory;
    /// The largest handle that the sender takes.
    handle_max: Handle => "handle-max" default(Handle(u32::MAX), "4294967295");
    /// Extensions that the sender supports.
    offered_capabilities: Multiple<Symbol> => "offered-capabilities" multiple;
    /// Extensions that the sender would use.
    desired_capabilities: Multiple<Symbol> => "desired-capabilities" multiple;
    /// Properties of the session.
    properties: Option<Fields> => "properties" optional;
}
composite! {
    /// Attaches a link to a session (2.7.3).
    pub struct Attach = "attach", "amqp:attach:list", 0x12;
    /// The name of the link.
    name: ByteString => "name" mandatory;
    /// The sender's number for the link.
    handle: Handle => "handle" mandatory;
    /// Which end the sender is.
    role: Role => "role" mandatory;
    /// When the sending end settles.
    snd_settle_mode: SenderSettleMode => "snd-settle-mode" default(SenderSettleMode::MIXED, "mixed");
    /// When the receiving end settles.
    rcv_settle_mode: ReceiverSettleMode => "rcv-settle-mode" default(ReceiverSettleMode::FIRST, "first");
    /// Where messages come from.
    source: Option<Box<Source>> => "source" optional;
    /// Where messages go.
    target: Option<Box<AttachTarget>> => "target" optional;
    /// Unsettled deliveries: delivery tags with their states.
    unsettled: Option<Map> => "unsettled" optional;
    /// Whether that map lacks entries.
    incomplete_unsettled: bool => "incomplete-unsettled" default(false, "false");
    /// The sending end's first delivery count.
    initial_delivery_count: Option<SequenceNo> => "initial-delivery-count" optional;
    /// The largest message that the sender takes, in bytes; 0 is no limit.
    max_message_size: Option<u64> => "max-message-size" optional;
    /// Extensions that the sender supports.
    offered_capabilities: Multiple<Symbol> => "offered-capabilities" multiple;
    /// Extensions that the sender would use.
    desired_capabilities: Multiple<Symbol> => "desired-capabilities" multiple;
    /// Properties of the link.
    properties: Option<Fields> => "properties" optional;
}
composite! {
    /// Updates the flow state of a session or link (2.7.4).
    pub struct Flow = "flow", "amqp:flow:list", 0x13;
    /// The transfer that the sender expects next.
    next_incoming_id: Option<TransferNumber> => "next-incoming-id" optional;
    /// Transfers that the sender can take.
    incoming_window: u32 => "incoming-window" mandatory;
    /// The number of the sender's next transfer.
    next_outgoing_id: TransferNumber => "next-outgoing-id" mandatory;
    /// Transfers that the sender may send.
    outgoing_window: u32 => "outgoing-window" mandatory;
    /// The link, where it is about one.
    handle: Option<Handle> => "handle" optional;
    /// The link's delivery count.
    delivery_count: Option<SequenceNo> => "delivery-count" optional;
    /// Messages that the receiving end takes beyond that count.
    link_credit: Option<u32> => "link-credit" optional;
    /// Messages that wait at the sending end.
    available: Option<u32> => "available" optional;
    /// Asks the sending end to use or give up its credit.
    drain: bool => "drain" default(false, "false");
    /// Asks for the peer's flow state.
    echo: bool => "echo" default(false, "false");
    /// Properties of the link's state.
    properties: Option<Box<Fields>> => "properties" optional;
}
composite! {
    /// Carries a message or part of one (2.7.5).
    pub struct Transfer = "transfer", "amqp:transfer:list", 0x14;
    /// The link.
    handle: Handle => "handle" mandatory;
    /// The number of the delivery, on its first transfer.
    delivery_id: Option<DeliveryNumber> => "delivery-id" optional;
    /// The tag of the delivery, on its first transfer.
    delivery_tag: Option<DeliveryTag> => "delivery-tag" optional;
    /// The format of the message, on its first transfer.
    message_format: Option<MessageFormat> => "message-format" optional;
    /// Whether the sending end has settled it.
    settled: Option<bool> => "settled" optional;
    /// Whether more transfers of the delivery follow.
    more: bool => "more" default(false, "false");
    /// When the receiving end settles it.
    rcv_settle_mode: Option<ReceiverSettleMode> => "rcv-settle-mode" optional;
    /// Its state at the sending end.
    state: Option<DeliveryState> => "state" optional;
    /// Whether it resumes a delivery.
    resume: bool => "resume" default(false, "false");
    /// Whether the delivery is given up.
    aborted: bool => "aborted" default(false, "false");
    /// Whether the answer may wait for others.
    batchable: bool => "batchable" default(false, "false");
}
composite! {
    /// Tells of the state of deliveries (2.7.6).
    pub struct Disposition = "disposition", "amqp:disposition:list", 0x15;
    /// Which end the sender is.
    role: Role => "role" mandatory;
    /// The first delivery.
    first: DeliveryNumber => "first" mandatory;
    /// The last delivery, where it is not the first.
    last: Option<DeliveryNumber> => "last" optional;
    /// Whether the sender has settled them.
    settled: bool => "settled" default(false, "false");
    /// Their state at the sender.
    state: Option<DeliveryState> => "state" optional;
    /// Whether the answer may wait for others.
    batchable: bool => "batchable" default(false, "false");
}
composite! {
    /// Detaches a link from its session (2.7.7).
    pub struct Detach = "detach", "amqp:detach:list", 0x16;
    /// The link.
    handle: Handle => "handle" mandatory;
    /// Whether it is closed for good.
    closed: bool => "closed" default(false, "false");
    /// Why.
    error: Option<Box<Error>> => "error" optional;
}
composite! {
    /// Ends a session (2.7.8).
    pub struct End = "end", "amqp:end:list", 0x17;
    /// Why.
    error: Option<Box<Error>> => "error" optional;
}
composite! {
    /// Closes a connection (2.7.9).
    pub struct Close = "close", "amqp:close:list", 0x18;
    /// Why.
    error: Option<Box<Error>> => "error" optional;
}

/// What the target of a link can be.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AttachTarget {
    /// A node that takes messages.
    Target(Target),
    /// A coordinator of transactions.
    Coordinator(Coordinator),
}

impl AttachTarget {
    /// The target, unless it is a coordinator.
    #[must_use]
    pub fn as_target(&self) -> Option<&Target> {
        match self {
            Self::Target(target) => Some(target),
            Self::Coordinator(_) => None,
        }
    }
}

impl From<Target> for AttachTarget {
    fn from(target: Target) -> Self {
        Self::Target(target)
    }
}

impl Encode for AttachTarget {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Target(target) => target.encode(out),
            Self::Coordinator(coordinator) => coordinator.encode(out),
        }
    }
    fn encoded_len(&self) -> usize {
        match self {
            Self::Target(target) => target.encoded_len(),
            Self::Coordinator(coordinator) => coordinator.encoded_len(),
        }
    }
}

impl Decode for AttachTarget {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if code != code::DESCRIBED {
            return Err(reader.error("target", DecodeErrorKind::Constructor(code)));
        }
        let schemas = [Target::SCHEMA, Coordinator::SCHEMA];
        let by_symbol =
            |symbol: &str| schemas.iter().find(|schema| schema.descriptor == symbol).map(|schema| schema.code);
        match descriptor("target", by_symbol, reader)? {
            0x29 => Target::decode_fields(reader).map(Self::Target),
            0x30 => Coordinator::decode_fields(reader).map(Self::Coordinator),
            _ => Err(reader.error("target", DecodeErrorKind::Descriptor)),
        }
    }
}

impl Typed for AttachTarget {
    const TYPE: &'static str = "*";
    const REQUIRES: Option<&'static str> = Some("target");
}

/// The body of an AMQP frame, without its payload.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each is the performative of its name")]
pub enum Performative {
    Open(Box<Open>),
    Begin(Box<Begin>),
    Attach(Box<Attach>),
    Flow(Flow),
    Transfer(Transfer),
    Disposition(Disposition),
    Detach(Detach),
    End(End),
    Close(Close),
}

impl Performative {
    /// The standard's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Begin(_) => "begin",
            Self::Attach(_) => "attach",
            Self::Flow(_) => "flow",
            Self::Transfer(_) => "transfer",
            Self::Disposition(_) => "disposition",
            Self::Detach(_) => "detach",
            Self::End(_) => "end",
            Self::Close(_) => "close",
        }
    }
}

macro_rules! each {
    ($self:ident, $inner:ident => $body:expr) => {
        match $self {
            Self::Open($inner) => $body,
            Self::Begin($inner) => $body,
            Self::Attach($inner) => $body,
            Self::Flow($inner) => $body,
            Self::Transfer($inner) => $body,
            Self::Disposition($inner) => $body,
            Self::Detach($inner) => $body,
            Self::End($inner) => $body,
            Self::Close($inner) => $body,
        }
    };
}

impl Encode for Performative {
    fn encode(&self, out: &mut Vec<u8>) {
        each!(self, inner => inner.encode(out));
    }
    fn encoded_len(&self) -> usize {
        each!(self, inner => inner.encoded_len())
    }
}

fn performative_code(symbol: &str) -> Option<u64> {
    super::schema::COMPOSITES
        .iter()
        .find(|schema| schema.descriptor == symbol && (0x10..=0x18).contains(&schema.code))
        .map(|schema| schema.code)
}

impl Default for Performative {
    /// A place to read performatives to.
    fn default() -> Self {
        Self::Transfer(Transfer::default())
    }
}

impl Decode for Performative {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut performative = Self::default();
        performative.read(code, reader)?;
        Ok(performative)
    }
}

macro_rules! read {
    ($place:ident, $variant:ident($empty:expr), $reader:ident) => {{
        *$place = Self::$variant($empty);
        match $place {
            Self::$variant(inner) => inner.read_fields($reader),
            _ => unreachable!("just put there"),
        }
    }};
}

impl Performative {
    /// Reads the performative behind the constructor `code` to where it stays: the most frequent ones are read once and
    /// never moved, and moving what has just been written is dear.
    pub(super) fn read(&mut self, code: u8, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        if code != code::DESCRIBED {
            return Err(reader.error("performative", DecodeErrorKind::Constructor(code)));
        }
        match descriptor("performative", performative_code, reader)? {
            0x14 => read!(self, Transfer(Transfer::default()), reader),
            0x15 => read!(self, Disposition(Disposition::default()), reader),
            0x13 => read!(self, Flow(Flow::default()), reader),
            0x10 => read!(self, Open(Box::default()), reader),
            0x11 => read!(self, Begin(Box::default()), reader),
            0x12 => read!(self, Attach(Box::default()), reader),
            0x16 => read!(self, Detach(Detach::default()), reader),
            0x17 => read!(self, End(End::default()), reader),
            0x18 => read!(self, Close(Close::default()), reader),
            _ => Err(reader.error("performative", DecodeErrorKind::Descriptor)),
        }
    }
}

impl fmt::Display for Performative {
    /// As Proton prints it: `@transfer(20) [handle=0, delivery-id=0, ..]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::print::encoded(self, f)
    }
}

macro_rules! into_performative {
    ($($ty:ident => $make:expr),* $(,)?) => {
        $(impl From<$ty> for Performative {
            fn from(inner: $ty) -> Self {
                $make(inner.into())
            }
        })*
    };
}

into_performative! {
    Open => Self::Open, Begin => Self::Begin, Attach => Self::Attach, Flow => Self::Flow, Transfer => Self::Transfer,
    Disposition => Self::Disposition, Detach => Self::Detach, End => Self::End, Close => Self::Close,
}
