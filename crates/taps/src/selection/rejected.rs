//! Why a candidate was pruned (RFC 9623 4.1.3).

use std::fmt;

use crate::endpoint::InterfaceId;
use crate::properties::{InterfaceSelector, Preference, Property, PvdSelector, SelectionProperty};
use crate::protocol::ProtocolStack;
use crate::selection::capabilities::Support;
use crate::stack::lacking;

/// A path, or a protocol stack on a path, that cannot be used, and the first reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// The interface, where it is a branch of its own.
    pub path: Option<String>,
    /// The stack; `None` when it is the whole path.
    pub stack: Option<ProtocolStack>,
    /// Why.
    pub reason: Rejection,
}

/// What stood against a path or a stack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// A selection property is required and missing, or prohibited and there.
    #[error("{} is {}, and it has it {has}", Property::from(*.property), demand(*.wanted))]
    Property {
        /// The property.
        property: SelectionProperty,
        /// `Require` or `Prohibit`.
        wanted: Preference,
        /// Whether the stack, or the path, has it.
        has: Support,
    },
    /// It is not the interface that is required, or it is one that is prohibited.
    #[error("the interface {interface} is {}", demand(*.wanted))]
    Interface {
        /// The interface, or the type of interfaces.
        interface: InterfaceSelector,
        /// `Require` or `Prohibit`.
        wanted: Preference,
    },
    /// It is not in the provisioning domain that is required, or it is in one that is prohibited.
    #[error("the provisioning domain {pvd} is {}", demand(*.wanted))]
    Pvd {
        /// The domain, or the type of domains.
        pvd: PvdSelector,
        /// `Require` or `Prohibit`.
        wanted: Preference,
    },
    /// The endpoint names an interface that is not there.
    #[error("there is no interface {0} that is up")]
    NoInterface(InterfaceId),
    /// No interface is up.
    #[error("no interface is up")]
    NoPath,
    /// This build, or this system, has no such stack, or it cannot go through the proxy.
    #[error("it is not built in{}", brought_by(*.feature))]
    NotBuilt {
        /// The feature of this crate that brings it, where it is that: the first, where several are off.
        feature: Option<&'static str>,
    },
    /// TLS is asked for, and the stack has none (RFC 9621 3.3).
    #[error("TLS is asked for, and it has none")]
    Clear,
    /// Clear text is asked for, and the stack always encrypts.
    #[error("clear text is asked for, and it always encrypts")]
    Encrypted,
    /// QUIC needs the name of an application protocol (ALPN) in the TLS configuration, or an endpoint that is
    /// specific to it.
    #[error("the TLS configuration names no application protocol (ALPN)")]
    NoApplicationProtocol,
    /// The use of several paths is switched off (RFC 9622 6.2.14).
    #[error("multipath is disabled")]
    Multipath,
    /// It may deliver messages twice, and they are not said to be safely replayable (RFC 9622 9.1.3.4).
    #[error("it may deliver a message twice, and safelyReplayable is not set")]
    NotReplayable,
    /// The peer has no address that can be reached from where the connection may start.
    #[error("no address of the peer can be reached")]
    NoAddress,
}

impl Rejected {
    /// A stack that this build does not have.
    pub(crate) fn not_built(stack: ProtocolStack) -> Self {
        Self { path: None, stack: Some(stack), reason: Rejection::not_built(stack) }
    }

    /// A stack for which no address was found.
    pub(crate) fn no_address(stack: ProtocolStack) -> Self {
        Self { path: None, stack: Some(stack), reason: Rejection::NoAddress }
    }
}

impl Rejection {
    pub(super) fn not_built(stack: ProtocolStack) -> Self {
        Self::NotBuilt { feature: lacking(stack) }
    }
}

/// One line: `udp, eth0: reliability is required, and it has it never`.
impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.stack, &self.path) {
            (Some(stack), Some(path)) => write!(f, "{stack}, {path}: ")?,
            (Some(stack), None) => write!(f, "{stack}: ")?,
            (None, Some(path)) => write!(f, "{path}: ")?,
            (None, None) => {}
        }
        self.reason.fmt(f)
    }
}

fn brought_by(feature: Option<&str>) -> String {
    feature.map_or_else(String::new, |feature| format!(": feature `{feature}`"))
}

fn demand(wanted: Preference) -> &'static str {
    match wanted {
        Preference::Prohibit => "prohibited",
        Preference::Avoid => "avoided",
        Preference::Ignore => "ignored",
        Preference::Prefer => "preferred",
        Preference::Require => "required",
    }
}
