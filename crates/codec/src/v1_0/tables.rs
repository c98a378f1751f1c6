//! Every composite and restricted type in one place each, in the standard's order.

use super::schema::{Composite, Definition, Restricted};
use super::section::{AMQP_SEQUENCE, AMQP_VALUE, DATA};
use super::*;

macro_rules! schemas {
    ($($ty:ty),* $(,)?) => {
        &[$(<$ty as super::Composite>::SCHEMA),*]
    };
}

/// Every composite type.
pub const COMPOSITES: &[&Composite] = schemas![
    Open,
    Begin,
    Attach,
    Flow,
    Transfer,
    Disposition,
    Detach,
    End,
    Close,
    Error,
    Header,
    Properties,
    Received,
    Accepted,
    Rejected,
    Released,
    Modified,
    Source,
    Target,
    DeleteOnClose,
    DeleteOnNoLinks,
    DeleteOnNoMessages,
    DeleteOnNoLinksOrMessages,
    Coordinator,
    Declare,
    Discharge,
    Declared,
    TransactionalState,
    SaslMechanisms,
    SaslInit,
    SaslChallenge,
    SaslResponse,
    SaslOutcome,
];

const fn alternative(name: &'static str, source: &'static str) -> Restricted {
    Restricted { name, source, descriptor: None, choices: &[] }
}

/// Every restricted type.
pub const RESTRICTED: &[&Restricted] = &[
    Role::SCHEMA,
    SenderSettleMode::SCHEMA,
    ReceiverSettleMode::SCHEMA,
    Handle::SCHEMA,
    Seconds::SCHEMA,
    Milliseconds::SCHEMA,
    DeliveryTag::SCHEMA,
    DeliveryNumber::SCHEMA,
    TransferNumber::SCHEMA,
    SequenceNo::SCHEMA,
    MessageFormat::SCHEMA,
    LanguageTag::SCHEMA,
    Fields::SCHEMA,
    ErrorCondition::AMQP_ERROR,
    ErrorCondition::CONNECTION_ERROR,
    ErrorCondition::SESSION_ERROR,
    ErrorCondition::LINK_ERROR,
    DeliveryAnnotations::SCHEMA,
    MessageAnnotations::SCHEMA,
    ApplicationProperties::SCHEMA,
    DATA,
    AMQP_SEQUENCE,
    AMQP_VALUE,
    Footer::SCHEMA,
    Annotations::SCHEMA,
    // The four alternatives of `MessageId`.
    &alternative("message-id-ulong", "ulong"),
    &alternative("message-id-uuid", "uuid"),
    &alternative("message-id-binary", "binary"),
    &alternative("message-id-string", "string"),
    Address::SCHEMA,
    TerminusDurability::SCHEMA,
    TerminusExpiryPolicy::SCHEMA,
    DistributionMode::SCHEMA,
    FilterSet::SCHEMA,
    NodeProperties::SCHEMA,
    TransactionId::SCHEMA,
    TxnCapability::SCHEMA,
    ErrorCondition::TRANSACTION_ERROR,
    SaslCode::SCHEMA,
];

/// Every named number.
pub const DEFINITIONS: &[Definition] = &[
    Definition { name: "PORT", value: "5672" },
    Definition { name: "SECURE-PORT", value: "5671" },
    Definition { name: "MAJOR", value: "1" },
    Definition { name: "MINOR", value: "0" },
    Definition { name: "REVISION", value: "0" },
    Definition { name: "MIN-MAX-FRAME-SIZE", value: "512" },
    Definition { name: "MESSAGE-FORMAT", value: "0" },
    Definition { name: "TLS-MAJOR", value: "1" },
    Definition { name: "TLS-MINOR", value: "0" },
    Definition { name: "TLS-REVISION", value: "0" },
    Definition { name: "SASL-MAJOR", value: "1" },
    Definition { name: "SASL-MINOR", value: "0" },
    Definition { name: "SASL-REVISION", value: "0" },
];
