//! Transactions (AMQP 1.0 part 4, 4.5).

use bytes::Bytes;

use super::{Decode, DecodeError, Encode, Multiple, Outcome, Reader, Typed, Value, schema};

composite! {
    /// The target of a link that controls transactions (4.5.1).
    pub struct Coordinator = "coordinator", "amqp:coordinator:list", 0x30;
    /// What the coordinator supports.
    capabilities: Multiple<TxnCapability> => "capabilities" multiple;
}
composite! {
    /// Asks for a new transaction (4.5.2).
    pub struct Declare = "declare", "amqp:declare:list", 0x31;
    /// The global transaction that it is part of.
    global_id: Option<GlobalTxId> => "global-id" optional;
}
composite! {
    /// Ends a transaction (4.5.3).
    pub struct Discharge = "discharge", "amqp:discharge:list", 0x32;
    /// The transaction.
    txn_id: TransactionId => "txn-id" mandatory;
    /// Whether it is rolled back.
    fail: Option<bool> => "fail" optional;
}
composite! {
    /// The outcome of a declare (4.5.5).
    pub struct Declared = "declared", "amqp:declared:list", 0x33;
    /// The new transaction.
    txn_id: TransactionId => "txn-id" mandatory;
}
composite! {
    /// The state of a delivery that is part of a transaction (4.5.6).
    pub struct TransactionalState = "transactional-state", "amqp:transactional-state:list", 0x34;
    /// The transaction.
    txn_id: TransactionId => "txn-id" mandatory;
    /// The outcome when the transaction is committed.
    outcome: Option<Outcome> => "outcome" optional;
}

/// The id of a transaction (4.5.4), chosen by the coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TransactionId(pub Bytes);

impl TransactionId {
    pub(crate) const SCHEMA: &'static schema::Restricted =
        &schema::Restricted { name: "transaction-id", source: "binary", descriptor: None, choices: &[] };
}

impl Encode for TransactionId {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }
}

impl Decode for TransactionId {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Bytes::decode_as(code, reader).map(Self)
    }
}

impl Typed for TransactionId {
    const TYPE: &'static str = "*";
    const REQUIRES: Option<&'static str> = Some("txn-id");
}

/// The id of a global transaction: the standard leaves its type open.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GlobalTxId(pub Value);

impl Encode for GlobalTxId {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }
}

impl Decode for GlobalTxId {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Value::decode_as(code, reader).map(Self)
    }
}

impl Typed for GlobalTxId {
    const TYPE: &'static str = "*";
    const REQUIRES: Option<&'static str> = Some("global-tx-id");
}

open_enum! {
    /// What a coordinator can do (4.5.7).
    pub symbolic TxnCapability = "txn-capability", type "symbol" requires "txn-capability" {
        /// Local transactions.
        LOCAL_TRANSACTIONS = "local-transactions", "amqp:local-transactions";
        /// Distributed transactions.
        DISTRIBUTED_TRANSACTIONS = "distributed-transactions", "amqp:distributed-transactions";
        /// Promotable transactions.
        PROMOTABLE_TRANSACTIONS = "promotable-transactions", "amqp:promotable-transactions";
        /// Several transactions at once on a session.
        MULTI_TXNS_PER_SSN = "multi-txns-per-ssn", "amqp:multi-txns-per-ssn";
        /// Several sessions in a transaction.
        MULTI_SSNS_PER_TXN = "multi-ssns-per-txn", "amqp:multi-ssns-per-txn";
    }
}
