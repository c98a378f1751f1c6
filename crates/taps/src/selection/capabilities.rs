//! What each protocol stack has: the table that selection reads (RFC 9622 6.2, RFC 9623 10).

use std::fmt;

use crate::properties::SelectionProperty;
use crate::protocol::{Protocol, ProtocolStack};

/// Whether a stack has a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Support {
    /// It has it, and cannot be without it.
    Always,
    /// It has it where it is asked for.
    Optional,
    /// It does not have it.
    Never,
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Always => "always",
            Self::Optional => "where asked for",
            Self::Never => "never",
        })
    }
}

/// Whether `stack` has `property`.
pub(crate) const fn support(stack: ProtocolStack, property: SelectionProperty) -> Support {
    row(property)[stack as usize]
}

/// Whether a stack can use several paths at once, or move from one to another (RFC 9622 6.2.14).
pub(crate) const fn multipath(stack: ProtocolStack) -> Support {
    match stack.protocol() {
        Protocol::Mptcp => Support::Always,
        // The migration of connections (RFC 9000 9).
        Protocol::Quic => Support::Optional,
        _ => Support::Never,
    }
}

/// Whether a stack may deliver a message twice, so that messages must be safely replayable (RFC 9622 9.1.3.4).
pub(crate) const fn may_duplicate(stack: ProtocolStack) -> bool {
    matches!(stack, ProtocolStack::Udp | ProtocolStack::UdpLite | ProtocolStack::QuicDatagram)
}

/// Whether a stack runs over a network, so that it has interfaces and addresses.
pub(crate) const fn is_networked(stack: ProtocolStack) -> bool {
    !matches!(stack.protocol(), Protocol::Unix | Protocol::NamedPipe | Protocol::Memory)
}

/// One property across the stacks, in the order of [`ProtocolStack::ALL`].
///
/// Notes where a letter is no plain fact of the protocol:
/// - perMsgReliability of a QUIC stream: a message that may be lost goes as a datagram of the same connection where the
///   peer takes it, and over the stream otherwise.
/// - zeroRttMsg: early data of TLS and QUIC, and not TCP Fast Open; a connectionless protocol has nothing to wait for.
///   WebSocket has: the answer to its opening handshake.
/// - congestionControl of what stays in the machine: a full buffer holds the sender back, and there is no network.
/// - reliability of Unix datagrams: the kernel neither drops nor reorders them, it makes the sender wait. What a listener
///   does not read in time it drops, or has all its clients wait where reliability is asked for.
/// - activeReadBeforeSend of QUIC: a stream does not exist for the peer before something is sent on it.
#[rustfmt::skip]
const fn row(property: SelectionProperty) -> [Support; ProtocolStack::ALL.len()] {
    use SelectionProperty as P;
    use Support::{Always as A, Never as N, Optional as O};
    match property {
        //                              tcp   mptcp  udp   quic   unix    pipe ws    memory
        //                               | tls | tls |lite str dgr str seq dgr | | wss str msg
        P::Reliability              => [A, A, A, A, N, N, A, N, A, A, O, A, A, A, A, A],
        P::PreserveMsgBoundaries    => [N, N, N, N, A, A, N, A, N, A, A, N, A, A, N, A],
        P::PerMsgReliability        => [N, N, N, N, N, N, O, N, N, N, N, N, N, N, N, N],
        P::PreserveOrder            => [A, A, A, A, N, N, A, N, A, A, A, A, A, A, A, A],
        P::ZeroRttMsg               => [N, O, N, O, A, A, O, O, N, N, A, N, N, N, N, N],
        P::Multistreaming           => [N, N, N, N, N, N, A, A, N, N, N, N, N, N, N, N],
        P::FullChecksumSend         => [A, A, A, A, A, O, A, A, A, A, A, A, A, A, A, A],
        P::FullChecksumRecv         => [A, A, A, A, A, O, A, A, A, A, A, A, A, A, A, A],
        P::PerMsgChecksumLenSend    => [N, N, N, N, N, O, N, N, N, N, N, N, N, N, N, N],
        P::PerMsgChecksumLenRecv    => [N, N, N, N, N, O, N, N, N, N, N, N, N, N, N, N],
        P::CongestionControl        => [A, A, A, A, N, N, A, A, A, A, A, A, A, A, A, A],
        P::KeepAlive                => [O, O, O, O, N, N, O, O, N, N, N, N, O, O, N, N],
        P::UseTemporaryLocalAddress => [O, O, O, O, O, O, O, O, N, N, N, N, O, O, N, N],
        P::SoftErrorNotify          => [N, N, N, N, O, O, N, N, N, N, N, N, N, N, N, N],
        P::ActiveReadBeforeSend     => [A, A, A, A, N, N, N, N, A, A, N, A, A, A, A, A],
        P::RetransmitNotify         => [O, O, O, O, N, N, N, N, N, N, N, N, N, N, N, N],
    }
}

/// A set of protocol stacks: those that are built in, or that a place can be reached by.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct StackSet(u32);

impl StackSet {
    /// No stack.
    pub(crate) const EMPTY: Self = Self(0);

    /// Every stack.
    #[cfg(test)]
    pub(crate) const ALL: Self = Self((1 << ProtocolStack::ALL.len()) - 1);

    pub(crate) const fn with(self, stack: ProtocolStack) -> Self {
        Self(self.0 | 1 << stack as u32)
    }

    pub(crate) const fn contains(self, stack: ProtocolStack) -> bool {
        self.0 & 1 << stack as u32 != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = ProtocolStack> {
        ProtocolStack::ALL.into_iter().filter(move |stack| self.contains(*stack))
    }
}

impl FromIterator<ProtocolStack> for StackSet {
    fn from_iter<T: IntoIterator<Item = ProtocolStack>>(stacks: T) -> Self {
        stacks.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Debug for StackSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use ProtocolStack::*;
    use SelectionProperty as P;

    use super::*;

    fn with(property: P, wanted: Support) -> Vec<ProtocolStack> {
        ProtocolStack::ALL.into_iter().filter(|stack| support(*stack, property) == wanted).collect()
    }

    #[test]
    fn the_columns_stand_under_their_names() {
        // One row whose letters differ from stack to stack, and one for each pair of columns that it does not tell apart.
        assert_eq!(with(P::Reliability, Support::Never), [Udp, UdpLite, QuicDatagram]);
        assert_eq!(with(P::Reliability, Support::Optional), [UnixDatagram]);
        assert_eq!(
            with(P::PreserveMsgBoundaries, Support::Always),
            [Udp, UdpLite, QuicDatagram, UnixSeqpacket, UnixDatagram, WebSocket, SecureWebSocket, MemoryMessage]
        );
        assert_eq!(with(P::PerMsgReliability, Support::Optional), [QuicStream]);
        assert_eq!(with(P::Multistreaming, Support::Always), [QuicStream, QuicDatagram]);
        assert_eq!(with(P::FullChecksumSend, Support::Optional), [UdpLite]);
        assert_eq!(with(P::CongestionControl, Support::Never), [Udp, UdpLite]);
        assert_eq!(with(P::SoftErrorNotify, Support::Optional), [Udp, UdpLite]);
        assert_eq!(with(P::RetransmitNotify, Support::Optional), [Tcp, Tls, Mptcp, TlsMptcp]);
        assert_eq!(
            with(P::ActiveReadBeforeSend, Support::Never),
            [Udp, UdpLite, QuicStream, QuicDatagram, UnixDatagram]
        );
    }

    #[test]
    fn the_secure_form_of_a_stack_has_what_the_clear_one_has() {
        for (clear, secure) in [(Tcp, Tls), (Mptcp, TlsMptcp), (WebSocket, SecureWebSocket)] {
            // Early data is a matter of TLS.
            for property in P::ALL.into_iter().filter(|property| *property != P::ZeroRttMsg) {
                assert_eq!(support(clear, property), support(secure, property), "{clear}, {secure}: {property:?}");
            }
            assert_eq!(multipath(clear), multipath(secure));
        }
    }

    #[test]
    fn the_default_properties_can_be_had_over_tcp() {
        // RFC 9622 6.2: "a configuration that can be implemented over TCP".
        let properties = crate::TransportProperties::new();
        for property in P::ALL {
            let required = properties.preference(property) == crate::Preference::Require;
            assert!(!required || support(Tcp, property) != Support::Never, "{property:?}");
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        assert!(ProtocolStack::ALL.into_iter().all(|stack| StackSet::ALL.contains(stack)));
        let set: StackSet = [Tcp, MemoryMessage].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Tcp, MemoryMessage]);
        assert_eq!(StackSet::EMPTY.iter().count(), 0);
    }
}
