//! Delivery states and outcomes (AMQP 1.0 part 3, 3.4).

use super::composite::descriptor;
use super::{
    Composite as _, Declared, Decode, DecodeError, DecodeErrorKind, Described, Encode, Error, Fields, Reader,
    TransactionalState, Typed, Value, code,
};

composite! {
    /// How much of a delivery has arrived (3.4.1); not an outcome.
    pub struct Received = "received", "amqp:received:list", 0x23;
    /// The section that the next byte belongs to, from 0.
    section_number: u32 => "section-number" mandatory;
    /// Bytes of that section that have arrived.
    section_offset: u64 => "section-offset" mandatory;
}
composite! {
    /// The message was processed (3.4.2).
    pub struct Accepted = "accepted", "amqp:accepted:list", 0x24;
}
composite! {
    /// The message is invalid (3.4.3).
    pub struct Rejected = "rejected", "amqp:rejected:list", 0x25;
    /// Why.
    error: Option<Error> => "error" optional;
}
composite! {
    /// The message was not and will not be processed (3.4.4).
    pub struct Released = "released", "amqp:released:list", 0x26;
}
composite! {
    /// The message was not processed, and is to be changed before it is offered again (3.4.5).
    pub struct Modified = "modified", "amqp:modified:list", 0x27;
    /// Counts as a failed delivery.
    delivery_failed: Option<bool> => "delivery-failed" optional;
    /// Not to be offered to this receiver again.
    undeliverable_here: Option<bool> => "undeliverable-here" optional;
    /// Annotations to merge into those of the message.
    message_annotations: Option<Fields> => "message-annotations" optional;
}

/// The state of a delivery at one of its ends.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DeliveryState {
    /// Part of it has arrived.
    Received(Received),
    /// Processed.
    Accepted,
    /// Invalid.
    Rejected(Box<Rejected>),
    /// Not processed.
    Released,
    /// Not processed, to be changed.
    Modified(Box<Modified>),
    /// A transaction was declared.
    Declared(Box<Declared>),
    /// Part of a transaction.
    Transactional(Box<TransactionalState>),
    /// A state that the standard does not define.
    Other(Box<Described>),
}

/// A terminal delivery state: what became of a message.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Processed.
    Accepted,
    /// Invalid.
    Rejected(Box<Rejected>),
    /// Not processed.
    Released,
    /// Not processed, to be changed.
    Modified(Box<Modified>),
    /// A transaction was declared.
    Declared(Box<Declared>),
}

impl Outcome {
    /// A rejection with its reason.
    #[must_use]
    pub fn rejected(error: Option<Error>) -> Self {
        Self::Rejected(Box::new(Rejected { error }))
    }

    /// A modification.
    #[must_use]
    pub fn modified(delivery_failed: bool, undeliverable_here: bool, annotations: Option<Fields>) -> Self {
        Self::Modified(Box::new(Modified {
            delivery_failed: delivery_failed.then_some(true),
            undeliverable_here: undeliverable_here.then_some(true),
            message_annotations: annotations,
        }))
    }
}

impl DeliveryState {
    /// The outcome, where the state is terminal; in a transaction, the provisional one.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Accepted => Some(Outcome::Accepted),
            Self::Rejected(rejected) => Some(Outcome::Rejected(rejected.clone())),
            Self::Released => Some(Outcome::Released),
            Self::Modified(modified) => Some(Outcome::Modified(modified.clone())),
            Self::Declared(declared) => Some(Outcome::Declared(declared.clone())),
            Self::Transactional(state) => state.outcome.clone(),
            Self::Received(_) | Self::Other(_) => None,
        }
    }

    /// Whether the state is an outcome.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        !matches!(self, Self::Received(_) | Self::Other(_) | Self::Transactional(_))
    }
}

impl From<Outcome> for DeliveryState {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Accepted => Self::Accepted,
            Outcome::Rejected(rejected) => Self::Rejected(rejected),
            Outcome::Released => Self::Released,
            Outcome::Modified(modified) => Self::Modified(modified),
            Outcome::Declared(declared) => Self::Declared(declared),
        }
    }
}

impl Encode for DeliveryState {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Accepted => out.extend_from_slice(&[code::DESCRIBED, code::SMALLULONG, 0x24, code::LIST0]),
            Self::Released => out.extend_from_slice(&[code::DESCRIBED, code::SMALLULONG, 0x26, code::LIST0]),
            Self::Received(received) => received.encode(out),
            Self::Rejected(rejected) => rejected.encode(out),
            Self::Modified(modified) => modified.encode(out),
            Self::Declared(declared) => declared.encode(out),
            Self::Transactional(state) => state.encode(out),
            Self::Other(described) => {
                out.push(code::DESCRIBED);
                described.descriptor.encode(out);
                described.value.encode(out);
            }
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Accepted | Self::Released => 4,
            Self::Received(received) => received.encoded_len(),
            Self::Rejected(rejected) => rejected.encoded_len(),
            Self::Modified(modified) => modified.encoded_len(),
            Self::Declared(declared) => declared.encoded_len(),
            Self::Transactional(state) => state.encoded_len(),
            Self::Other(described) => 1 + described.descriptor.encoded_len() + described.value.encoded_len(),
        }
    }
}

fn state_code(symbol: &str) -> Option<u64> {
    [
        Received::SCHEMA,
        Accepted::SCHEMA,
        Rejected::SCHEMA,
        Released::SCHEMA,
        Modified::SCHEMA,
        Declared::SCHEMA,
        TransactionalState::SCHEMA,
    ]
    .iter()
    .find(|schema| schema.descriptor == symbol)
    .map(|schema| schema.code)
}

impl Decode for DeliveryState {
    #[inline]
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // What nearly every disposition says, in the form that nearly every peer writes.
        if code == code::DESCRIBED && reader.skip_if([code::SMALLULONG, 0x24, code::LIST0]) {
            return Ok(Self::Accepted);
        }
        Self::decode_any(code, reader)
    }
}

impl DeliveryState {
    fn decode_any(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if code != code::DESCRIBED {
            return Err(reader.error("delivery-state", DecodeErrorKind::Constructor(code)));
        }
        let mut ahead = reader.clone();
        let Ok(found) = descriptor("delivery-state", state_code, &mut ahead) else {
            return Self::other(reader);
        };
        let state = match found {
            0x23 => Self::Received(Received::decode_fields(&mut ahead)?),
            0x24 => {
                Accepted::decode_fields(&mut ahead)?;
                Self::Accepted
            }
            0x25 => Self::Rejected(Box::new(Rejected::decode_fields(&mut ahead)?)),
            0x26 => {
                Released::decode_fields(&mut ahead)?;
                Self::Released
            }
            0x27 => Self::Modified(Box::new(Modified::decode_fields(&mut ahead)?)),
            0x33 => Self::Declared(Box::new(Declared::decode_fields(&mut ahead)?)),
            0x34 => Self::Transactional(Box::new(TransactionalState::decode_fields(&mut ahead)?)),
            _ => return Self::other(reader),
        };
        *reader = ahead;
        Ok(state)
    }

    #[cold]
    fn other(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match Value::decode_as(code::DESCRIBED, reader)? {
            Value::Described(described) => Ok(Self::Other(described)),
            _ => unreachable!("a described constructor makes a described value"),
        }
    }
}

impl Typed for DeliveryState {
    const TYPE: &'static str = "*";
    const REQUIRES: Option<&'static str> = Some("delivery-state");
}

impl Encode for Outcome {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Accepted => DeliveryState::Accepted.encode(out),
            Self::Released => DeliveryState::Released.encode(out),
            Self::Rejected(rejected) => rejected.encode(out),
            Self::Modified(modified) => modified.encode(out),
            Self::Declared(declared) => declared.encode(out),
        }
    }
    fn encoded_len(&self) -> usize {
        match self {
            Self::Accepted | Self::Released => 4,
            Self::Rejected(rejected) => rejected.encoded_len(),
            Self::Modified(modified) => modified.encoded_len(),
            Self::Declared(declared) => declared.encoded_len(),
        }
    }
}

impl Decode for Outcome {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let error = reader.error("outcome", DecodeErrorKind::Descriptor);
        match DeliveryState::decode_as(code, reader)? {
            DeliveryState::Transactional(_) => Err(error),
            state => state.outcome().ok_or(error),
        }
    }
}

impl Typed for Outcome {
    const TYPE: &'static str = "*";
    const REQUIRES: Option<&'static str> = Some("outcome");
}
