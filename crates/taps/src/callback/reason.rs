//! The original's reasons, from our errors.

use crate::connection::SendError;
use crate::error::{ConfigurationError, EstablishmentErrorKind, ListenError};

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendErrorReason {
    /// The connection is being closed, or is.
    #[doc(alias = "CONNECTION_CLOSING")]
    ConnectionClosing,
    /// A final message was sent before.
    #[doc(alias = "FINAL_MESSAGE_PASSED")]
    FinalMessagePassed,
    /// What the message asks for contradicts itself or the connection.
    #[doc(alias = "INCONSISTENT_PROPERTIES_PASSED")]
    InconsistentPropertiesPassed,
    /// The message is too large for the transport or a framer.
    #[doc(alias = "MESSAGE_TOO_LARGE")]
    MessageTooLarge,
    /// The connection has failed, or a framer has.
    #[doc(alias = "FAILURE_UNDERLYING_STACK")]
    FailureUnderlyingStack,
    /// The lifetime of the message was over before its turn had come.
    #[doc(alias = "MESSAGE_TIMEOUT")]
    MessageTimeout,
}

impl From<&SendError> for SendErrorReason {
    fn from(error: &SendError) -> Self {
        match error {
            SendError::Closed => Self::ConnectionClosing,
            SendError::FinalAlreadySent => Self::FinalMessagePassed,
            SendError::InvalidMessageProperties(_) | SendError::ReceiveOnly => Self::InconsistentPropertiesPassed,
            SendError::MessageTooLarge { .. } => Self::MessageTooLarge,
            SendError::Expired => Self::MessageTimeout,
            SendError::Framer(_) | SendError::Refused(_) | SendError::ProtocolFailed(_) => Self::FailureUnderlyingStack,
        }
    }
}

/// Why nothing is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListenErrorReasons {
    /// Nothing has the properties that were asked for, or the preconnection lacks something.
    #[doc(alias = "UNFULFILLED_PROPERTIES")]
    UnfulfilledProperties,
    /// The local endpoint has no address of this machine, or none that is free.
    #[doc(alias = "UNRESOLVED_LOCAL_ENDPOINT")]
    UnresolvedLocalEndpoint,
    /// The system forbids it.
    #[doc(alias = "PROHIBITED_BY_POLICY")]
    ProhibitedByPolicy,
}

impl From<&ListenError> for ListenErrorReasons {
    fn from(error: &ListenError) -> Self {
        match error {
            ListenError::PolicyProhibited { .. } => Self::ProhibitedByPolicy,
            ListenError::InvalidConfiguration(_) | ListenError::Blocking(_) => Self::UnfulfilledProperties,
            _ => Self::UnresolvedLocalEndpoint,
        }
    }
}

/// Whether a connection was not established since nothing has the properties that were asked for.
pub(super) fn is_unfulfilled(kind: &EstablishmentErrorKind) -> bool {
    matches!(
        kind,
        EstablishmentErrorKind::NoCandidates { .. }
            | EstablishmentErrorKind::InvalidConfiguration(ConfigurationError::Properties(_))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::ConnectionError;
    use crate::framer::FramerError;

    #[test]
    fn each_error_has_its_reason() {
        use SendErrorReason as Reason;
        let cases = [
            (SendError::Closed, Reason::ConnectionClosing),
            (SendError::FinalAlreadySent, Reason::FinalMessagePassed),
            (SendError::ReceiveOnly, Reason::InconsistentPropertiesPassed),
            (SendError::MessageTooLarge { size: 2, limit: 1 }, Reason::MessageTooLarge),
            (SendError::Framer(FramerError::Interleaved), Reason::FailureUnderlyingStack),
            (SendError::ProtocolFailed(ConnectionError::PeerAbort), Reason::FailureUnderlyingStack),
            (SendError::Expired, Reason::MessageTimeout),
        ];
        for (error, reason) in cases {
            assert_eq!(Reason::from(&error), reason, "{error}");
        }
    }
}
