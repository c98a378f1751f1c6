//! Messages with what stands beside their payload: traffic class, addresses and interface, for each by itself.
//!
//! A traffic class on the socket is for everything that it sends; here each message may have its own, and what it came
//! with can be read (RFC 9622 8.1.6 and 9.3.3.1). With tokio:
//!
//! ```
//! # #[cfg(target_os = "linux")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use postroad_sys::message::{self, Outgoing};
//! use tokio::io::Interest;
//! use tokio::net::UdpSocket;
//!
//! let receiver = UdpSocket::bind("127.0.0.1:0").await?;
//! message::set_receive_traffic_class(&receiver, true)?;
//! let sender = UdpSocket::bind("127.0.0.1:0").await?;
//!
//! // DSCP 18 (AF21) and ECN 2 (ECT(0)).
//! let outgoing = Outgoing::new().to(receiver.local_addr()?).traffic_class(18 << 2 | 2);
//! let parts = [std::io::IoSlice::new(b"hel"), std::io::IoSlice::new(b"lo")];
//! sender.async_io(Interest::WRITABLE, || message::send(&sender, &parts, &outgoing)).await?;
//!
//! let mut buffer = Vec::with_capacity(1500);
//! let received = receiver.async_io(Interest::READABLE, || message::receive_into(&receiver, &mut buffer)).await?;
//! assert_eq!(buffer, b"hello");
//! assert_eq!((received.dscp(), received.ecn()), (Some(18), Some(2)));
//! # Ok(()) }
//! # #[cfg(not(target_os = "linux"))]
//! # fn main() {}
//! ```

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::BufMut;
use socket2::{MsgHdr, SockAddr, SockRef};

use crate::control::{self, ControlMessage, ControlWriter, Kind};
use crate::native::{i32_at, ip, u32_at};
use crate::option::{SocketOption, is_ipv6, linux};
use crate::receive::{self, Arrived, CONTROL_ROOM};

/// A message that came, apart from its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// Bytes of payload in the buffer.
    pub len: usize,
    /// Whether the message was longer than the buffer; the rest is lost.
    pub truncated: bool,
    /// Who sent it, where that has an IP address. A socket for both families tells an IPv4 address as it is mapped into
    /// IPv6.
    pub from: Option<SocketAddr>,
    /// The eight bits of its traffic class, which IPv4 calls type of service: DSCP and ECN. Needs
    /// [`set_receive_traffic_class`].
    #[doc(alias = "TOS")]
    pub traffic_class: Option<u8>,
    /// Where it was sent to. Needs [`set_receive_destination`].
    pub destination: Option<Destination>,
}

/// An address of this host and the interface by which a message comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// The address in the message's header, which may be that of a multicast group.
    pub address: IpAddr,
    /// The interface's index.
    pub interface: u32,
}

/// What a message that is sent has beside its payload; nothing where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outgoing {
    to: Option<SocketAddr>,
    traffic_class: Option<u8>,
    source: Option<IpAddr>,
    interface: u32,
    segment_size: Option<u16>,
}

/// Receives one message into `buffer`. Beyond the buffer's end it is lost.
///
/// # Errors
///
/// What `recvmsg` says: [`WouldBlock`](io::ErrorKind::WouldBlock) where nothing is there, and an error that a message
/// sent earlier has met, once.
pub fn receive<'s>(socket: impl Into<SockRef<'s>>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = [0; CONTROL_ROOM];
    let arrived = receive::receive_initialised(&socket.into(), buffer, &mut control, 0)?;
    Ok(Received::new(&arrived, &control))
}

/// Receives one message into the room that `buffer` has in one piece, and appends it.
///
/// The room is what is reserved: make it as large as the largest message.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) where there is no room, and those of [`receive`].
pub fn receive_into<'s>(socket: impl Into<SockRef<'s>>, buffer: &mut impl BufMut) -> io::Result<Received> {
    if !buffer.has_remaining_mut() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no room to receive a message"));
    }
    let mut control = [0; CONTROL_ROOM];
    let arrived = receive::receive_into(&socket.into(), buffer, &mut control, 0)?;
    Ok(Received::new(&arrived, &control))
}

/// Sends one message, which is `parts` one after another, and returns how many bytes of it were taken: all, where the
/// socket is for messages.
///
/// # Errors
///
/// What `sendmsg` says: [`WouldBlock`](io::ErrorKind::WouldBlock) where there is no room, `EMSGSIZE` for a message that is
/// too long or in more than 1024 parts, `EINVAL` for a source that is not an address of this host.
pub fn send<'s>(socket: impl Into<SockRef<'s>>, parts: &[IoSlice<'_>], outgoing: &Outgoing) -> io::Result<usize> {
    if !cfg!(target_os = "linux") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let to = outgoing.to.map(SockAddr::from);
    let mut control = ControlWriter::new();
    outgoing.write(&mut control);
    let mut message = MsgHdr::new().with_buffers(parts).with_control(control.as_bytes());
    if let Some(to) = &to {
        message = message.with_addr(to);
    }
    socket.into().sendmsg(&message, linux!(MSG_NOSIGNAL))
}

/// Sets whether messages are received with their traffic class.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a socket that is not of IP, or what `setsockopt` says.
#[doc(alias = "IP_RECVTOS")]
pub fn set_receive_traffic_class<'s>(socket: impl Into<SockRef<'s>>, receive: bool) -> io::Result<()> {
    let socket = socket.into();
    if is_ipv6(&socket)? {
        RECVTCLASS_V6.set_int(&socket, receive.into())?;
    }
    // A socket for both families has the option of IPv4 for what comes by that.
    RECVTOS_V4.set_int(&socket, receive.into())
}

/// Sets whether messages are received with the address and interface to which they were sent.
///
/// # Errors
///
/// As those of [`set_receive_traffic_class`].
#[doc(alias = "IP_PKTINFO")]
pub fn set_receive_destination<'s>(socket: impl Into<SockRef<'s>>, receive: bool) -> io::Result<()> {
    let socket = socket.into();
    // Here the option of IPv6 is for both.
    let option = if is_ipv6(&socket)? { RECVPKTINFO_V6 } else { PKTINFO_V4 };
    option.set_int(&socket, receive.into())
}

impl Received {
    /// Returns the differentiated services code point, 0 to 63 (RFC 2474).
    pub fn dscp(&self) -> Option<u8> {
        self.traffic_class.map(|class| class >> 2)
    }

    /// Returns the field for explicit congestion notification: 0 for none, 1 and 2 for capable, 3 for congestion
    /// experienced (RFC 3168 5).
    pub fn ecn(&self) -> Option<u8> {
        self.traffic_class.map(|class| class & 3)
    }

    fn new(arrived: &Arrived, control: &[u8; CONTROL_ROOM]) -> Self {
        let mut received = Self {
            len: arrived.len,
            truncated: arrived.truncated,
            from: arrived.address,
            traffic_class: None,
            destination: None,
        };
        control::messages(&control[..arrived.control_len]).for_each(|message| received.add(message));
        received
    }

    fn add(&mut self, message: ControlMessage<'_>) {
        let data = message.data;
        if message.kind == TRAFFIC_CLASS_V4 {
            self.traffic_class = data.first().copied();
        } else if message.kind == TRAFFIC_CLASS_V6 {
            self.traffic_class = i32_at(data, 0).and_then(|class| u8::try_from(class).ok());
        } else if message.kind == PACKET_INFO_V4 {
            // Interface, the address of this host that it came to, and the one that is in the header.
            self.destination = data.get(8..12).and_then(ip).zip(u32_at(data, 0)).map(Destination::new);
        } else if message.kind == PACKET_INFO_V6 {
            self.destination = data.get(..16).and_then(ip).zip(u32_at(data, 16)).map(Destination::new);
        }
    }
}

impl Destination {
    fn new((address, interface): (IpAddr, u32)) -> Self {
        Self { address, interface }
    }
}

impl Outgoing {
    /// A message to whom the socket is connected to, with what the socket is set to.
    pub const fn new() -> Self {
        Self { to: None, traffic_class: None, source: None, interface: 0, segment_size: None }
    }

    /// Says whom it goes to.
    #[must_use]
    pub const fn to(mut self, to: SocketAddr) -> Self {
        self.to = Some(to);
        self
    }

    /// Says its traffic class, all eight bits: the DSCP times four, and ECN.
    #[must_use]
    #[doc(alias = "TOS")]
    pub const fn traffic_class(mut self, traffic_class: u8) -> Self {
        self.traffic_class = Some(traffic_class);
        self
    }

    /// Says from which address of this host it goes: for an answer, the one that was asked.
    #[must_use]
    pub const fn source(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Says by which interface it goes, by its index; 0 for that of the route.
    ///
    /// Without [`source`](Self::source) the address is that of the interface.
    #[must_use]
    pub const fn interface(mut self, interface: u32) -> Self {
        self.interface = interface;
        self
    }

    /// Says that the payload is several messages of this length one after another, in bytes and at least 1, of which the
    /// last may be shorter. They cost little more than one.
    ///
    /// At most 64 messages, and as many bytes as one datagram may have. Each must fit the path whole: what is longer is
    /// refused.
    #[must_use]
    #[doc(alias = "UDP_SEGMENT")]
    pub const fn segment_size(mut self, segment_size: u16) -> Self {
        self.segment_size = Some(segment_size);
        self
    }

    /// The kernel passes over messages of the family that it does not send by, so where only the socket knows the family
    /// both are written.
    fn write(&self, control: &mut ControlWriter<CONTROL_ROOM>) {
        let (ipv4, ipv6) = match self.to.map(|to| to.ip().to_canonical()) {
            None => (true, true),
            Some(to) => (to.is_ipv4(), to.is_ipv6()),
        };
        if let Some(class) = self.traffic_class {
            let class = i32::from(class).to_ne_bytes();
            if ipv4 {
                control.push(TRAFFIC_CLASS_V4, &class);
            }
            if ipv6 {
                control.push(TRAFFIC_CLASS_V6, &class);
            }
        }
        if let Some(size) = self.segment_size {
            control.push(SEGMENT_SIZE, &size.to_ne_bytes());
        }
        if self.source.is_none() && self.interface == 0 {
            return;
        }
        let source = self.source.map(|source| source.to_canonical());
        if ipv4 && !matches!(source, Some(IpAddr::V6(_))) {
            let mut info = [0; 12];
            info[..4].copy_from_slice(&self.interface.to_ne_bytes());
            let source = if let Some(IpAddr::V4(source)) = source { source } else { Ipv4Addr::UNSPECIFIED };
            info[4..8].copy_from_slice(&source.octets());
            control.push(PACKET_INFO_V4, &info);
        }
        if ipv6 && !matches!(source, Some(IpAddr::V4(_))) {
            let mut info = [0; 20];
            let source = if let Some(IpAddr::V6(source)) = source { source } else { Ipv6Addr::UNSPECIFIED };
            info[..16].copy_from_slice(&source.octets());
            info[16..].copy_from_slice(&self.interface.to_ne_bytes());
            control.push(PACKET_INFO_V6, &info);
        }
    }
}

const RECVTOS_V4: SocketOption = SocketOption::new(linux!(IPPROTO_IP), linux!(IP_RECVTOS));
const RECVTCLASS_V6: SocketOption = SocketOption::new(linux!(IPPROTO_IPV6), linux!(IPV6_RECVTCLASS));
const PKTINFO_V4: SocketOption = SocketOption::new(linux!(IPPROTO_IP), linux!(IP_PKTINFO));
const RECVPKTINFO_V6: SocketOption = SocketOption::new(linux!(IPPROTO_IPV6), linux!(IPV6_RECVPKTINFO));
const SEGMENT_SIZE: Kind = Kind { level: linux!(SOL_UDP), name: linux!(UDP_SEGMENT) };
const TRAFFIC_CLASS_V4: Kind = Kind { level: linux!(IPPROTO_IP), name: linux!(IP_TOS) };
const TRAFFIC_CLASS_V6: Kind = Kind { level: linux!(IPPROTO_IPV6), name: linux!(IPV6_TCLASS) };
const PACKET_INFO_V4: Kind = Kind { level: linux!(IPPROTO_IP), name: linux!(IP_PKTINFO) };
const PACKET_INFO_V6: Kind = Kind { level: linux!(IPPROTO_IPV6), name: linux!(IPV6_PKTINFO) };
