//! UDP and UDP-Lite: datagrams, each of which is a message (RFC 9623 10.3 to 10.5).
//!
//! A connection that was initiated has a socket of its own, connected by the system. Those that a listener has taken
//! in share its socket: one task for each listener, see [`hub`], takes in what arrives and puts it where it belongs, for
//! as long as the listener or one of its connections lives. Everybody sends for himself.
//!
//! Nothing of this ends a connection but the application: what the network reports is a soft error, and what this
//! host refuses to send concerns that one message.

mod accepted;
mod acceptor;
mod connected;
mod hub;
mod inlet;
mod outlet;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use postroad_sys::soft_error::{self, Origin};
use postroad_sys::{message, multicast, path_mtu};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::connection::SoftError;
use crate::properties::{Preference, SelectionProperty, TransportProperties};
use crate::protocol::ProtocolStack;

pub(super) use acceptor::listen;
pub(super) use connected::connect;

/// How many calls on a socket may fail one after the other: each tells of another message, and there can be no more of
/// them than were sent.
const FAULTS: usize = 64;

/// Opens a socket that is not bound yet.
fn open(stack: ProtocolStack, address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = match stack {
        #[cfg(feature = "udp-lite")]
        ProtocolStack::UdpLite => postroad_sys::udp_lite::socket(domain)?,
        _ => Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?,
    };
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Asks the system to tell what it can about the datagrams that arrive, and about those that do not.
fn ask_for_news(socket: &Socket, properties: &TransportProperties) -> io::Result<()> {
    where_supported(message::set_receive_traffic_class(socket, true))?;
    if wants_soft_errors(properties) {
        where_supported(soft_error::set_queue(socket, true))?;
    }
    Ok(())
}

fn wants_soft_errors(properties: &TransportProperties) -> bool {
    cfg!(target_os = "linux") && properties.preference(SelectionProperty::SoftErrorNotify) >= Preference::Ignore
}

/// A property that only takes effect where the system has it.
fn where_supported(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        result => result,
    }
}

/// What the application is told; nothing of what it has been told already, as the outcome of the message.
fn soft_error(error: &soft_error::SoftError) -> Option<SoftError> {
    let icmp = match error.origin {
        Origin::Icmp | Origin::Icmpv6 => Some((error.kind, error.code)),
        _ => return None,
    };
    Some(SoftError { kind: error.io_error().kind(), icmp })
}

/// The longest payload: the length of the packet, or with IPv6 that of the datagram, is a field of 16 bits.
fn longest(address: SocketAddr) -> usize {
    if address.is_ipv4() { 65_507 } else { 65_527 }
}

/// How long a datagram may be on its way to `to` without being fragmented, as far as this host knows: of the path of a
/// connected socket.
fn singular(socket: &Socket, to: SocketAddr) -> Option<usize> {
    let headers = if to.is_ipv4() { 20 + 8 } else { 40 + 8 };
    let path = path_mtu::path_mtu(socket).ok()?;
    Some(usize::try_from(path).ok()?.saturating_sub(headers).min(longest(to)))
}

/// Joins a group, for all that is sent to it or only for what `source` sends.
fn join(socket: &Socket, group: IpAddr, source: Option<IpAddr>, interface: u32) -> io::Result<()> {
    match (group, source) {
        (_, Some(source)) => multicast::join_source(socket, group, source, interface),
        (IpAddr::V4(group), None) if interface == 0 => socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED),
        (IpAddr::V4(group), None) => socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface)),
        (IpAddr::V6(group), None) => socket.join_multicast_v6(&group, interface),
    }
}

/// The index of an interface, given by name or by index; 0 leaves it to the system.
fn interface_index(interface: Option<&str>, address: SocketAddr) -> io::Result<u32> {
    match (interface, address) {
        (Some(interface), _) => match interface.parse() {
            Ok(index) => Ok(index),
            Err(_) => postroad_sys::interface::index(interface),
        },
        (None, SocketAddr::V6(v6)) => Ok(v6.scope_id()),
        (None, SocketAddr::V4(_)) => Ok(0),
    }
}
