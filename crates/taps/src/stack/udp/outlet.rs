//! What leaves: a datagram, marked and protected as its message asks.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};

use postroad_sys::path_mtu::{self, PathMtuDiscovery};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::where_supported;
use crate::framer::outbox::Leaving;
use crate::message::MessageContext;
use crate::properties::{CapacityProfile, ChecksumCoverage, MessageProperties};
use crate::protocol::ProtocolStack;

/// In how many pieces a message may be without being copied: its headers, and its body.
const SLICES: usize = 16;

/// What the messages of one connection have in common.
#[derive(Debug)]
pub(super) struct Manner {
    /// What messages have that say nothing themselves.
    pub(super) defaults: MessageProperties,
    pub(super) profile: CapacityProfile,
    /// What the socket marks packets with that are not marked one by one.
    pub(super) base: CapacityProfile,
}

/// Whom to send to, and from where; both as the socket has it unless said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Way {
    pub(super) to: Option<SocketAddr>,
    pub(super) source: Option<IpAddr>,
}

/// What the socket is set to. It is for everything that leaves by it, so it follows the messages.
#[derive(Debug)]
pub(super) struct Setting {
    lite: bool,
    fragments: bool,
    coverage: ChecksumCoverage,
}

impl Setting {
    /// What a new socket is set to.
    pub(super) fn new(stack: ProtocolStack) -> Self {
        Self { lite: stack == ProtocolStack::UdpLite, fragments: true, coverage: ChecksumCoverage::Full }
    }

    /// Whether a message can leave without a change.
    pub(super) fn suits(&self, wish: &Wish) -> bool {
        self.fragments == wish.fragments && (!self.lite || self.coverage == wish.coverage)
    }

    pub(super) fn follow(&mut self, socket: &UdpSocket, wish: &Wish) -> io::Result<()> {
        if self.fragments != wish.fragments {
            // What a socket begins with, or the bit that forbids it (RFC 9622 9.1.3.9).
            let discovery = if wish.fragments { PathMtuDiscovery::Want } else { PathMtuDiscovery::Always };
            where_supported(path_mtu::set_discovery(socket, discovery))?;
            self.fragments = wish.fragments;
        }
        if self.lite && self.coverage != wish.coverage {
            set_send_coverage(socket, wish.coverage)?;
            self.coverage = wish.coverage;
        }
        Ok(())
    }
}

/// What a message asks for.
pub(super) struct Wish {
    profile: CapacityProfile,
    fragments: bool,
    coverage: ChecksumCoverage,
}

impl Manner {
    fn wish(&self, context: &MessageContext) -> Wish {
        if context.is_plain() {
            return self.wish_of(&self.defaults);
        }
        self.wish_of(&context.properties().or(&self.defaults))
    }

    fn wish_of(&self, message: &MessageProperties) -> Wish {
        Wish {
            profile: message.capacity_profile().unwrap_or(self.profile),
            fragments: !(message.no_fragmentation() || message.no_segmentation()),
            coverage: message.checksum_len(),
        }
    }

    /// Whether a message of this context may be fragmented on its way.
    pub(super) fn fragments(&self, context: &MessageContext) -> bool {
        self.wish(context).fragments
    }
}

/// Sends one message as one datagram. `follow` sets the socket to what the message asks for; what it gives is kept until
/// the message has left.
pub(super) fn send<G>(
    socket: &UdpSocket,
    message: &Leaving<'_>,
    manner: &Manner,
    way: Way,
    follow: impl FnOnce(&Wish) -> io::Result<G>,
) -> io::Result<()> {
    let wish = manner.wish(message.context);
    // The code point is the upper six bits of the octet (RFC 2474 3).
    let octet = (wish.profile != manner.base).then(|| wish.profile.dscp() << 2);
    let mut slices = [IoSlice::new(&[]); SLICES];
    let whole;
    let parts = match message.slices(&mut slices) {
        Some(count) => &slices[..count],
        None => {
            whole = message.to_bytes();
            &[IoSlice::new(&whole)][..]
        }
    };
    socket.try_io(Interest::WRITABLE, || {
        let _set = follow(&wish)?;
        match (parts, way, octet) {
            // With nothing to say beside it, a shorter call does.
            ([whole], Way { to: None, source: None }, None) => SockRef::from(socket).send(whole).map(drop),
            ([whole], Way { to: Some(to), source: None }, None) => {
                SockRef::from(socket).send_to(whole, &to.into()).map(drop)
            }
            _ => send_datagram(socket, parts, way, octet),
        }
    })
}

#[cfg(target_os = "linux")]
fn send_datagram(socket: &UdpSocket, parts: &[IoSlice<'_>], way: Way, octet: Option<u8>) -> io::Result<()> {
    use postroad_sys::message::{self, Outgoing};

    let mut outgoing = Outgoing::new();
    if let Some(to) = way.to {
        outgoing = outgoing.to(to);
    }
    if let Some(source) = way.source {
        outgoing = outgoing.source(source);
    }
    if let Some(octet) = octet {
        outgoing = outgoing.traffic_class(octet);
    }
    message::send(socket, parts, &outgoing).map(drop)
}

#[cfg(not(target_os = "linux"))]
fn send_datagram(socket: &UdpSocket, parts: &[IoSlice<'_>], way: Way, _: Option<u8>) -> io::Result<()> {
    match way.to {
        Some(to) => SockRef::from(socket).send_to_vectored(parts, &to.into()).map(drop),
        None => SockRef::from(socket).send_vectored(parts).map(drop),
    }
}

#[cfg(feature = "udp-lite")]
fn set_send_coverage(socket: &UdpSocket, coverage: ChecksumCoverage) -> io::Result<()> {
    postroad_sys::udp_lite::set_send_coverage(socket, kernel_coverage(coverage))
}

#[cfg(not(feature = "udp-lite"))]
fn set_send_coverage(_: &UdpSocket, _: ChecksumCoverage) -> io::Result<()> {
    Ok(())
}

/// Sets how much of a datagram must be covered at least; one with less is dropped by the system (RFC 9622 8.1.1).
pub(super) fn set_receive_coverage<'s>(socket: impl Into<SockRef<'s>>, coverage: ChecksumCoverage) -> io::Result<()> {
    #[cfg(feature = "udp-lite")]
    return postroad_sys::udp_lite::set_receive_coverage(socket, kernel_coverage(coverage));
    #[cfg(not(feature = "udp-lite"))]
    {
        let _ = (socket.into(), coverage);
        Ok(())
    }
}

/// More than a datagram can have is all of it.
#[cfg(feature = "udp-lite")]
fn kernel_coverage(coverage: ChecksumCoverage) -> postroad_sys::udp_lite::Coverage {
    use postroad_sys::udp_lite::Coverage;

    match coverage {
        ChecksumCoverage::Bytes(bytes) if bytes <= 65_527 => Coverage::Bytes(u16::try_from(bytes).unwrap_or(u16::MAX)),
        ChecksumCoverage::Bytes(_) | ChecksumCoverage::Full => Coverage::Full,
    }
}
