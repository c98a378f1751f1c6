//! Why the node model does not do what it was asked, whatever protocol asked.

use postroad_codec::v1_0::{Error, ErrorCondition};

/// What is wrong, and a sentence that says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct NodeError {
    pub(crate) fault: Fault,
    pub(crate) text: String,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is no node or binding of that name.
    NotFound,
    /// The node has just been deleted.
    Deleted,
    /// There is one already that is otherwise, or something else is not as it was asked for.
    Conflict,
    /// Nobody may do that, or nobody as long as things are as they are.
    NotAllowed,
    /// It belongs to somebody else.
    Locked,
    /// The broker cannot do that.
    NotImplemented,
    /// A name or value that cannot be.
    Invalid,
    /// A limit is met.
    Limit,
}

impl NodeError {
    pub(crate) fn new(fault: Fault, text: impl Into<String>) -> Self {
        Self { fault, text: text.into() }
    }

    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self::new(Fault::NotFound, text)
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(Fault::Invalid, text)
    }
}

/// The conditions of AMQP 1.0 (part 2, 2.8.15).
impl From<NodeError> for Error {
    fn from(error: NodeError) -> Self {
        let condition = match error.fault {
            Fault::NotFound => ErrorCondition::NOT_FOUND,
            Fault::Deleted => ErrorCondition::RESOURCE_DELETED,
            Fault::Conflict => ErrorCondition::PRECONDITION_FAILED,
            Fault::NotAllowed => ErrorCondition::NOT_ALLOWED,
            Fault::Locked => ErrorCondition::RESOURCE_LOCKED,
            Fault::NotImplemented => ErrorCondition::NOT_IMPLEMENTED,
            Fault::Invalid => ErrorCondition::INVALID_FIELD,
            Fault::Limit => ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
        };
        Self::new(condition, error.text)
    }
}
