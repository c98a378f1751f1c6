//! What becomes of transactions.

use postroad_client as client;
use postroad_client::types::ErrorCondition;

/// What became of a transaction of a session.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// It was rolled back: nothing of it holds.
    #[doc(alias = "TransactionAborted")]
    #[error("transaction aborted: {0}")]
    Aborted(#[source] Box<client::TransactionError>),
    /// The link or the connection ended in the middle of the commit: it holds, or nothing of it does.
    #[doc(alias = "TransactionUnknown")]
    #[error("transaction outcome unknown: {0}")]
    Unknown(#[source] Box<client::TransactionError>),
    /// The broker has no transactions, or none for this user.
    #[error("no transactions: {0}")]
    Unsupported(#[source] Box<client::TransactionError>),
}

impl TransactionError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Aborted(_) => "do the work again in another transaction".into(),
            Self::Unknown(_) => "look at the nodes whether the work was done before it is done again".into(),
            Self::Unsupported(_) => "use a session without transactions, or a broker that has them".into(),
        })
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        let (Self::Aborted(error) | Self::Unknown(error) | Self::Unsupported(error)) = self;
        error.peer_error().map(|error| &error.condition)
    }
}
