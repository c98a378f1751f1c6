//! AMQP 1.0 (OASIS): types, frames, performatives, message sections, SASL and transactions.

mod array;
mod code;
#[macro_use]
mod composite;
mod compound;
mod definitions;
mod delivery_state;
mod error;
mod frame;
mod frame_text;
mod map;
mod message;
mod multiple;
mod outline;
mod performative;
mod position;
mod primitive;
mod print;
mod protocol_header;
mod reader;
mod sasl;
pub mod schema;
mod section;
mod sections;
mod sections_ref;
mod symbol;
mod tables;
mod tag;
mod terminus;
mod transaction;
mod value;
mod value_ref;
mod view;

pub use array::{Array, ValueType};
pub use bytestring::ByteString;
pub use composite::Composite;
pub use definitions::{
    DeliveryNumber, Error, ErrorCondition, Fields, Handle, LanguageTag, MIN_MAX_FRAME_SIZE, MessageFormat,
    Milliseconds, PORT, ReceiverSettleMode, Role, SECURE_PORT, Seconds, SenderSettleMode, SequenceNo, TransferNumber,
};
pub use delivery_state::{Accepted, DeliveryState, Modified, Outcome, Received, Rejected, Released};
pub use error::{DecodeError, DecodeErrorKind};
pub use frame::{Frame, FrameBody, FrameError, FrameHeader, FrameType};
pub use frame_text::{Direction, FrameText};
pub use map::Map;
pub use message::{Body, Message};
pub use multiple::Multiple;
pub use outline::{MAX_PARTS, Part, outline};
pub use performative::{
    Attach, AttachTarget, Begin, Close, Detach, Disposition, End, Flow, Open, Performative, Transfer,
};
pub use position::Position;
pub use primitive::{Decode, Encode, Typed};
pub use protocol_header::{ForeignProtocol, ProtocolHeader, ProtocolId};
pub use reader::{MAX_DEPTH, MAX_ZERO_WIDTH, Reader};
pub use sasl::{SaslChallenge, SaslCode, SaslFrame, SaslInit, SaslMechanisms, SaslOutcome, SaslResponse};
pub use section::{
    Annotations, ApplicationProperties, DeliveryAnnotations, Footer, Header, MessageAnnotations, MessageId, Properties,
};
pub use sections::Sections;
pub use sections_ref::SectionsRef;
pub use symbol::Symbol;
pub use tag::DeliveryTag;
pub use terminus::{
    Address, DeleteOnClose, DeleteOnNoLinks, DeleteOnNoLinksOrMessages, DeleteOnNoMessages, DistributionMode,
    FilterSet, NodeProperties, Source, Target, TerminusDurability, TerminusExpiryPolicy,
};
pub use transaction::{
    Coordinator, Declare, Declared, Discharge, GlobalTxId, TransactionId, TransactionalState, TxnCapability,
};
pub use value::{Decimal32, Decimal64, Decimal128, Described, Timestamp, Uuid, Value};
pub use value_ref::{EncodedRef, ValueRef};
pub use view::{MapEntries, MapRef, PropertiesRef};
