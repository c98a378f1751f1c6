//! The receiving end of a control link: it declares and discharges transactions (AMQP 1.0 part 4, 4.2 and 4.3).

use postroad_amqp::v1_0::{Connection, Delivery, LinkId, LinkTerms, SessionId};
use postroad_codec::v1_0::{
    Attach, AttachTarget, Body, Coordinator as Target, Declare, Declared, Decode, DeliveryState, Discharge,
    Encode as _, Error, ErrorCondition, Outcome, Reader, Sections, TransactionId, TxnCapability, Value,
};

use crate::error::clip;

/// A link to the coordinator.
#[derive(Debug)]
pub(crate) struct Coordinator {
    pub(crate) id: LinkId,
    pub(crate) session: SessionId,
    /// Whether a command that fails can be rejected. Otherwise the link is detached (4.2).
    rejects: bool,
}

/// What a controller asks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    Declare(Declare),
    Discharge(Discharge),
}

/// Commands that a controller may have under way.
const CREDIT: u32 = 64;

/// The size of a command, in bytes.
const COMMAND: u64 = 64 * 1024;

impl Coordinator {
    pub(crate) fn new(id: LinkId, session: SessionId, attach: &Attach) -> Self {
        let outcomes = attach.source.as_deref().map(|source| &source.outcomes);
        // Controllers name none and mean all.
        let rejects = outcomes.is_none_or(|outcomes| {
            outcomes.is_empty() || outcomes.iter().any(|outcome| outcome.as_str() == "amqp:rejected:list")
        });
        Self { id, session, rejects }
    }

    /// Adds to the terms what a link to the coordinator is granted.
    pub(crate) fn grant(terms: &mut LinkTerms) {
        let capabilities =
            [TxnCapability::LOCAL_TRANSACTIONS, TxnCapability::MULTI_TXNS_PER_SSN, TxnCapability::MULTI_SSNS_PER_TXN];
        // What the controller desires is its own to compare (4.5.1).
        terms.target = Some(AttachTarget::Coordinator(Target { capabilities: capabilities.into_iter().collect() }));
        terms.max_message_size = COMMAND;
        terms.rcv_settle_mode = postroad_codec::v1_0::ReceiverSettleMode::FIRST;
    }

    /// The next command, with its delivery.
    pub(crate) fn next(&self, engine: &mut Connection) -> Option<(Delivery, Result<Command, Error>)> {
        let delivery = engine.receiver(self.id).take()?;
        let command = Command::read(&delivery);
        Some((delivery, command))
    }

    /// Answers a command. An error is for the link.
    pub(crate) fn answer(
        &self,
        engine: &mut Connection,
        delivery: &Delivery,
        result: Result<DeliveryState, Error>,
    ) -> Result<(), Error> {
        let state = match result {
            Ok(state) => state,
            Err(error) if self.rejects && !delivery.settled => Outcome::rejected(Some(clip(error))).into(),
            Err(error) => return Err(error),
        };
        engine.receiver(self.id).dispose(delivery.number, Some(state), true);
        Ok(())
    }

    /// Gives the controller credit when it has used half of it.
    pub(crate) fn look(&self, engine: &mut Connection) {
        let mut receiver = engine.receiver(self.id);
        if receiver.credit() <= CREDIT / 2 {
            receiver.set_credit(CREDIT);
        }
    }
}

impl Command {
    fn read(delivery: &Delivery) -> Result<Self, Error> {
        let malformed = |error| Error::new(ErrorCondition::DECODE_ERROR, format!("{error}"));
        let body = Sections::find(delivery.payload.clone()).and_then(|sections| sections.body()).map_err(malformed)?;
        let Body::Value(Value::Described(described)) = body else { return Err(strange()) };
        let is = |code: u64, name: &str| match &described.descriptor {
            Value::Ulong(known) => *known == code,
            other => other.as_str() == Some(name),
        };
        let (declare, discharge) = (is(0x31, "amqp:declare:list"), is(0x32, "amqp:discharge:list"));
        let mut encoded = Vec::new();
        Value::Described(described).encode(&mut encoded);
        let mut reader = Reader::from_slice(&encoded);
        if declare {
            Declare::decode(&mut reader).map(Self::Declare).map_err(malformed)
        } else if discharge {
            Discharge::decode(&mut reader).map(Self::Discharge).map_err(malformed)
        } else {
            Err(strange())
        }
    }
}

/// The error of a command that was sent settled: nobody would hear its outcome (4.2, 4.3).
pub(crate) fn settled() -> Error {
    Error::new(ErrorCondition::NOT_ALLOWED, "a declare or discharge must not be sent settled")
}

/// The outcome of a declare.
pub(crate) fn declared(id: TransactionId) -> DeliveryState {
    DeliveryState::Declared(Box::new(Declared { txn_id: id }))
}

/// The error of a declare that names a global transaction.
pub(crate) fn distributed() -> Error {
    Error::new(ErrorCondition::NOT_IMPLEMENTED, "distributed transactions are not implemented: leave global-id out")
}

fn strange() -> Error {
    Error::new(ErrorCondition::INVALID_FIELD, "a coordinator takes declare and discharge, each as an amqp-value")
}
