//! Frames in the words of the standard, to send and to expect.

use std::fmt;

use bytes::Bytes;
use postroad_codec::v1_0::{
    Attach, Begin, ByteString, Close, DeliveryNumber, DeliveryState, DeliveryTag, Detach, Disposition, Encode as _,
    End, Error, ErrorCondition, Flow, Frame, Handle, Milliseconds, Open, Performative, ReceiverSettleMode, Role,
    SenderSettleMode, SequenceNo, Source, Symbol, Target, Transfer, TransferNumber,
};

/// A frame with usual values in every field that is not named. To expect one compares the channel and
/// the fields that were named, nothing else.
pub struct Builder<B> {
    channel: u16,
    body: B,
    payload: Bytes,
    checks: Vec<(&'static str, Check<B>)>,
}

type Check<B> = Box<dyn Fn(&B, &Bytes) -> bool>;

/// The body of a frame.
pub trait Body: Into<Performative> + Clone + fmt::Debug {
    /// The body, where `performative` is one of this kind.
    fn of(performative: Performative) -> Option<Self>;
}

impl<B: Body> Builder<B> {
    fn new(body: B) -> Self {
        Self { channel: 0, body, payload: Bytes::new(), checks: Vec::new() }
    }

    /// Sets the channel; it is 0 otherwise.
    #[must_use]
    pub fn channel(mut self, channel: u16) -> Self {
        self.channel = channel;
        self
    }

    /// Changes the body in a way that no method names, without expecting it.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut B)) -> Self {
        change(&mut self.body);
        self
    }

    /// Expects something of the body that no method names.
    #[must_use]
    pub fn where_(mut self, what: &'static str, holds: impl Fn(&B) -> bool + 'static) -> Self {
        self.checks.push((what, Box::new(move |body, _| holds(body))));
        self
    }

    /// The frame's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let body: Performative = self.body.clone().into();
        Frame::put_amqp(self.channel, &body, &self.payload, &mut out);
        debug_assert_eq!(out.len(), 8 + body.encoded_len() + self.payload.len());
        out
    }

    /// Compares with a frame that came, and gives its body.
    ///
    /// # Panics
    /// When it is another frame, or a field that was named differs.
    #[track_caller]
    pub fn check(&self, frame: Frame) -> (B, Bytes) {
        let shown = frame.to_string();
        let Frame::Amqp { channel, performative, payload } = frame else { panic!("expected {self:?}, found {shown}") };
        let Some(body) = B::of(performative) else { panic!("expected {self:?}, found {shown}") };
        assert_eq!(channel, self.channel, "the channel of {shown}");
        for (field, holds) in &self.checks {
            assert!(holds(&body, &payload), "{field}: expected {self:?}, found {shown}");
        }
        (body, payload)
    }
}

impl<B: fmt::Debug> fmt::Debug for Builder<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<_> = self.checks.iter().map(|(name, _)| *name).collect();
        write!(f, "channel {} {:?} (of which {named:?} count)", self.channel, self.body)
    }
}

impl Builder<Transfer> {
    /// Sets the payload.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Bytes>) -> Self {
        let payload = payload.into();
        self.payload = payload.clone();
        self.checks.push(("payload", Box::new(move |_, found| *found == payload)));
        self
    }
}

macro_rules! bodies {
    ($( $body:ident { $( $field:ident($value:ident: $arg:ty) => $convert:expr; )* } )*) => {$(
        impl Body for $body {
            fn of(performative: Performative) -> Option<Self> {
                match performative {
                    Performative::$body(body) => Some(bodies!(@unbox $body body)),
                    _ => None,
                }
            }
        }

        impl Builder<$body> {$(
            /// Sets the field of this name.
            #[must_use]
            pub fn $field(mut self, $value: $arg) -> Self {
                let made = $convert;
                self.body.$field = made.clone();
                self.checks.retain(|(name, _)| *name != stringify!($field));
                self.checks.push((stringify!($field), Box::new(move |body, _| body.$field == made)));
                self
            }
        )*}
    )*};
    (@unbox Open $body:ident) => { *$body };
    (@unbox Begin $body:ident) => { *$body };
    (@unbox Attach $body:ident) => { *$body };
    (@unbox $other:ident $body:ident) => { $body };
}

bodies! {
    Open {
        container_id(value: impl Into<ByteString>) => value.into();
        hostname(value: impl Into<ByteString>) => Some(value.into());
        max_frame_size(value: u32) => value;
        channel_max(value: u16) => value;
        idle_time_out(value: u32) => Some(Milliseconds(value));
    }
    Begin {
        remote_channel(value: impl Into<Option<u16>>) => value.into();
        next_outgoing_id(value: u32) => TransferNumber(value);
        incoming_window(value: u32) => value;
        outgoing_window(value: u32) => value;
        handle_max(value: u32) => Handle(value);
    }
    Attach {
        name(value: impl Into<ByteString>) => value.into();
        handle(value: u32) => Handle(value);
        role(value: Role) => value;
        snd_settle_mode(value: SenderSettleMode) => value;
        rcv_settle_mode(value: ReceiverSettleMode) => value;
        source(value: impl Into<Option<Source>>) => Into::<Option<Source>>::into(value).map(Box::new);
        target(value: impl Into<Option<Target>>) => Into::<Option<Target>>::into(value).map(|target| Box::new(target.into()));
        initial_delivery_count(value: impl Into<Option<u32>>) => Into::<Option<u32>>::into(value).map(SequenceNo);
        max_message_size(value: impl Into<Option<u64>>) => value.into();
    }
    Flow {
        next_incoming_id(value: impl Into<Option<u32>>) => Into::<Option<u32>>::into(value).map(TransferNumber);
        incoming_window(value: u32) => value;
        next_outgoing_id(value: u32) => TransferNumber(value);
        outgoing_window(value: u32) => value;
        handle(value: impl Into<Option<u32>>) => Into::<Option<u32>>::into(value).map(Handle);
        delivery_count(value: impl Into<Option<u32>>) => Into::<Option<u32>>::into(value).map(SequenceNo);
        link_credit(value: impl Into<Option<u32>>) => value.into();
        available(value: impl Into<Option<u32>>) => value.into();
        drain(value: bool) => value;
        echo(value: bool) => value;
    }
    Transfer {
        handle(value: u32) => Handle(value);
        delivery_id(value: impl Into<Option<u32>>) => Into::<Option<u32>>::into(value).map(DeliveryNumber);
        delivery_tag(value: impl Into<Option<DeliveryTag>>) => value.into();
        settled(value: impl Into<Option<bool>>) => value.into();
        more(value: bool) => value;
        state(value: impl Into<Option<DeliveryState>>) => value.into();
        aborted(value: bool) => value;
    }
    Disposition {
        role(value: Role) => value;
        first(value: u32) => DeliveryNumber(value);
        last(value: impl Into<Option<u32>>) => Into::<Option<u32>>::into(value).map(DeliveryNumber);
        settled(value: bool) => value;
        state(value: impl Into<Option<DeliveryState>>) => value.into();
    }
    Detach {
        handle(value: u32) => Handle(value);
        closed(value: bool) => value;
        error(value: impl Into<Option<Error>>) => Into::<Option<Error>>::into(value).map(Box::new);
    }
    End { error(value: impl Into<Option<Error>>) => Into::<Option<Error>>::into(value).map(Box::new); }
    Close { error(value: impl Into<Option<Error>>) => Into::<Option<Error>>::into(value).map(Box::new); }
}

macro_rules! condition {
    ($($body:ident)*) => {$(
        impl Builder<$body> {
            /// Sets an error of this condition; to expect it compares the condition alone.
            #[must_use]
            pub fn condition(mut self, condition: ErrorCondition) -> Self {
                self.body.error = Some(Box::new(Error { condition: condition.clone(), ..Error::default() }));
                self.checks.push(("condition", Box::new(move |body, _| {
                    body.error.as_ref().is_some_and(|error| error.condition == condition)
                })));
                self
            }
        }
    )*};
}

condition! { Detach End Close }

/// An open of the container `peer`.
#[must_use]
pub fn open() -> Builder<Open> {
    Builder::new(Open { container_id: "peer".into(), ..Open::default() })
}

/// A begin with windows of 2048 transfers.
#[must_use]
pub fn begin() -> Builder<Begin> {
    Builder::new(Begin { incoming_window: 2048, outgoing_window: 2048, ..Begin::default() })
}

/// An attach of a sending end, on handle 0.
#[must_use]
pub fn attach_sender(name: &str) -> Builder<Attach> {
    attach(name, Role::Sender).with(|attach| attach.initial_delivery_count = Some(SequenceNo(0)))
}

/// An attach of a receiving end, on handle 0.
#[must_use]
pub fn attach_receiver(name: &str) -> Builder<Attach> {
    attach(name, Role::Receiver)
}

fn attach(name: &str, role: Role) -> Builder<Attach> {
    let (source, target) = (Some(Box::default()), Some(Box::new(Target::default().into())));
    Builder::new(Attach { source, target, ..Attach::default() }).name(name).role(role)
}

/// A flow of a session with a window of 2048 transfers, counted from 0.
#[must_use]
pub fn flow() -> Builder<Flow> {
    let next_incoming_id = Some(TransferNumber(0));
    Builder::new(Flow { next_incoming_id, incoming_window: 2048, outgoing_window: 2048, ..Flow::default() })
}

/// The only transfer of a delivery on handle 0, with its number as its tag.
#[must_use]
pub fn transfer(delivery: u32) -> Builder<Transfer> {
    Builder::new(Transfer { delivery_tag: Some(DeliveryTag::from(u64::from(delivery))), ..Transfer::default() })
        .delivery_id(delivery)
}

/// A further transfer of the delivery that has begun on handle 0; more may follow only when it says so.
#[must_use]
pub fn continuation() -> Builder<Transfer> {
    Builder::new(Transfer::default()).delivery_id(None)
}

/// A disposition of one delivery, not settled and without state.
#[must_use]
pub fn disposition(role: Role, first: u32) -> Builder<Disposition> {
    Builder::new(Disposition::default()).role(role).first(first)
}

/// A settled disposition of a receiver: accepted.
#[must_use]
pub fn accepted(first: u32) -> Builder<Disposition> {
    disposition(Role::Receiver, first).settled(true).state(DeliveryState::Accepted)
}

/// A detach of handle 0.
#[must_use]
pub fn detach() -> Builder<Detach> {
    Builder::new(Detach::default())
}

/// An end of the session on channel 0.
#[must_use]
pub fn end() -> Builder<End> {
    Builder::new(End::default())
}

/// A close of the connection.
#[must_use]
pub fn close() -> Builder<Close> {
    Builder::new(Close::default())
}

/// An error with a condition of our own, such as `test:mood`.
#[must_use]
pub fn error(condition: &'static str) -> Error {
    Error { condition: ErrorCondition(Symbol::from_static(condition)), ..Error::default() }
}

/// Every error condition of the standard (part 2, 2.8.15 to 2.8.18; part 4, 4.5.8).
pub const CONDITIONS: [ErrorCondition; 28] = [
    ErrorCondition::INTERNAL_ERROR,
    ErrorCondition::NOT_FOUND,
    ErrorCondition::UNAUTHORIZED_ACCESS,
    ErrorCondition::DECODE_ERROR,
    ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
    ErrorCondition::NOT_ALLOWED,
    ErrorCondition::INVALID_FIELD,
    ErrorCondition::NOT_IMPLEMENTED,
    ErrorCondition::RESOURCE_LOCKED,
    ErrorCondition::PRECONDITION_FAILED,
    ErrorCondition::RESOURCE_DELETED,
    ErrorCondition::ILLEGAL_STATE,
    ErrorCondition::FRAME_SIZE_TOO_SMALL,
    ErrorCondition::CONNECTION_FORCED,
    ErrorCondition::FRAMING_ERROR,
    ErrorCondition::CONNECTION_REDIRECT,
    ErrorCondition::WINDOW_VIOLATION,
    ErrorCondition::ERRANT_LINK,
    ErrorCondition::HANDLE_IN_USE,
    ErrorCondition::UNATTACHED_HANDLE,
    ErrorCondition::DETACH_FORCED,
    ErrorCondition::TRANSFER_LIMIT_EXCEEDED,
    ErrorCondition::MESSAGE_SIZE_EXCEEDED,
    ErrorCondition::LINK_REDIRECT,
    ErrorCondition::STOLEN,
    ErrorCondition::TRANSACTION_UNKNOWN_ID,
    ErrorCondition::TRANSACTION_ROLLBACK,
    ErrorCondition::TRANSACTION_TIMEOUT,
];
