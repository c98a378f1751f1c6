//! What transport services need of the system and no well-kept safe crate offers: UDP-Lite, MPTCP, pacing, what the
//! kernel tells of a connection, of a datagram and of one that came back, and the paths that a host has.
//!
//! This crate knows no protocol above the transport, opens nothing that was not asked for, spawns nothing and never
//! waits where the socket is nonblocking. It is the only crate of the workspace in which `unsafe` may stand, each block
//! with its proof; the modules that have it say so with an `allow`.
//!
//! Its functions take whatever [`SockRef`](socket2::SockRef) can be made from: a reference to a socket of `std`, tokio or
//! socket2. What [`socket2`] offers is not repeated here.
//!
//! Everything works on Linux. Elsewhere it compiles, and every function answers
//! [`Unsupported`](std::io::ErrorKind::Unsupported).

pub mod interface;
pub mod message;
pub mod mptcp;
pub mod multicast;
pub mod path_change;
pub mod path_mtu;
pub mod soft_error;
pub mod tcp;
pub mod udp_lite;

mod async_socket;
mod control;
mod native;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "there is nobody to talk to"))]
mod netlink;
mod option;
mod receive;
#[cfg(target_os = "linux")]
mod route_socket;

use std::io;

use socket2::{Domain, Socket, Type};

/// Opens a socket of a protocol that exists on Linux, nonblocking and closed when another program is run.
fn open(domain: Domain, kind: Type, protocol: i32) -> io::Result<Socket> {
    if !cfg!(target_os = "linux") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let socket = Socket::new(domain, kind, Some(protocol.into()))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
