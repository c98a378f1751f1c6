//! Why an address cannot be used.

use postroad_address::{OptionsError, ParseError};
use postroad_client::ManagementError;
use postroad_client::types::{ErrorCondition, PeerError};

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is no address. `{:#}` of the source shows the place.
    #[doc(alias = "MalformedAddress")]
    #[error("{0}")]
    Malformed(#[from] ParseError),
    /// An option that there is not, or a value that it does not have.
    #[error("error in options: {0}")]
    InvalidOption(#[from] OptionsError),
    /// An option that the broker, or its protocol, cannot honour. Nothing was done.
    #[error("{option} is not supported: {reason}")]
    Unsupported {
        /// The option, as `link.selector`.
        option: &'static str,
        /// Why it cannot be honoured.
        reason: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// The node is not what the address says that it is.
    #[error("expected {expected}, got {found}")]
    AssertionFailed {
        /// What the address says: a kind of node, or a property with its value.
        expected: String,
        /// What the broker tells.
        found: String,
    },
    /// The broker refused to make, bind or delete a node.
    #[error("{name}: {action} refused: {report}")]
    Refused {
        /// What was asked for: `create`, `bind`, `delete`..
        action: &'static str,
        /// The name of the node.
        name: String,
        /// What the broker says.
        report: Box<PeerError>,
    },
    /// A request about a node came to nothing.
    #[error("{0}")]
    Management(#[source] ManagementError),
    /// A guarantee that the link cannot give.
    #[error("{asked} is not available here: {missing}")]
    GuaranteeUnavailable {
        /// The reliability that was asked for.
        asked: String,
        /// What the broker's answer lacks.
        missing: String,
    },
    /// There is no such node, and nobody was asked to make it.
    #[doc(alias = "ResolutionError")]
    #[error("no such {}: {name}", .node_type.unwrap_or("queue"))]
    NotFound {
        /// The name of the node.
        name: String,
        /// What the address says it is.
        node_type: Option<&'static str>,
        /// What the broker says.
        report: Box<PeerError>,
    },
    /// The user may not use the node.
    #[doc(alias = "UnauthorizedAccess")]
    #[error("access to {name} refused: {report}")]
    Unauthorized {
        /// The name of the node.
        name: String,
        /// What the broker says.
        report: Box<PeerError>,
    },
}

impl AddressError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Malformed(error) => error.hint().to_owned(),
            Self::InvalidOption(error) => return error.hint(),
            Self::Unsupported { hint, .. } => (*hint).to_owned(),
            Self::AssertionFailed { .. } => "change the node at the broker, or what the address says of it".to_owned(),
            Self::Refused { .. } => return None,
            Self::Management(error) => return error.hint().map(Into::into),
            Self::GuaranteeUnavailable { asked, .. } if asked == "at-least-once" => {
                "ask for at-most-once, and bear that a message may be lost".to_owned()
            }
            Self::GuaranteeUnavailable { .. } => {
                "ask for at-least-once, and let the receiver recognise what comes twice".to_owned()
            }
            Self::NotFound { name, .. } => {
                let address = postroad_address::Address::new(name.as_str());
                format!("declare it at the broker, or have it made: {address}; {{create: always}}")
            }
            Self::Unauthorized { .. } => "check the user, and the broker's rules for the node".to_owned(),
        })
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::NotFound { report, .. } | Self::Unauthorized { report, .. } | Self::Refused { report, .. } => {
                Some(&report.condition)
            }
            _ => None,
        }
    }
}
