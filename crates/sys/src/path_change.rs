//! Changes of the paths that this host has: links, addresses and routes that come and go (RFC 9622 8.3.2).
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use postroad_sys::path_change::PathChanges;
//!
//! let changes = PathChanges::open()?;
//! loop {
//!     for change in changes.next().await? {
//!         println!("{change:?}");
//!     }
//! }
//! # }
//! ```

use std::io;
use std::net::IpAddr;

use socket2::Socket;
use tokio::io::Interest;

use crate::async_socket::AsyncSocket;
use crate::interface::InterfaceAddress;

/// Something that has changed in the paths of this host.
///
/// The system tells the state that it has come to, so the same may be told several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathChange {
    /// An interface can carry something, or something else about it has changed while it can.
    LinkUp {
        /// The interface's index.
        interface: u32,
    },
    /// An interface cannot carry anything: it was switched off, has lost its carrier, or is gone.
    LinkDown {
        /// The interface's index.
        interface: u32,
    },
    /// An interface has an address, which is new or whose state has changed.
    AddressAdded {
        /// The interface's index.
        interface: u32,
        /// The address and its state.
        address: InterfaceAddress,
    },
    /// An interface has lost an address.
    AddressRemoved {
        /// The interface's index.
        interface: u32,
        /// The address and the state in which it was.
        address: InterfaceAddress,
    },
    /// There is a route to other hosts.
    RouteAdded {
        /// Where it leads.
        route: Route,
    },
    /// A route to other hosts is gone.
    RouteRemoved {
        /// Where it led.
        route: Route,
    },
    /// More has changed than the system kept for a reader this slow. What is known of paths may be wrong: list it
    /// [again](crate::interface::interfaces).
    #[doc(alias = "ENOBUFS")]
    Missed,
}

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The network that it leads to; with a prefix of 0, everywhere.
    pub destination: IpAddr,
    /// How many bits of the destination count, 0 to 32 or 128.
    pub prefix_len: u8,
    /// The index of the interface by which it leads, where it is one.
    pub interface: Option<u32>,
}

/// Where changes are told from the moment at which it was opened.
///
/// What nobody takes is kept by the kernel, up to a limit, and what is beyond that is [`Missed`](PathChange::Missed).
#[derive(Debug)]
pub struct PathChanges {
    socket: AsyncSocket,
}

impl PathChanges {
    /// Begins to listen to what the kernel tells of links, addresses and routes, in the network namespace of the calling
    /// thread. Needs no privilege.
    ///
    /// # Errors
    ///
    /// What the system says; [`Unsupported`](io::ErrorKind::Unsupported) on other systems than Linux.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O.
    pub fn open() -> io::Result<Self> {
        Ok(Self { socket: AsyncSocket::new(open()?)? })
    }

    /// Waits for changes, and returns those that were told together: at least one.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped has taken nothing.
    pub async fn next(&self) -> io::Result<Vec<PathChange>> {
        self.socket.async_io(Interest::READABLE, read).await
    }

    /// Returns changes that have been told already, as [`next`](Self::next) does.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) where there are none, or what the system says.
    pub fn try_next(&self) -> io::Result<Vec<PathChange>> {
        read(self.socket.get_ref())
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use crate::interface::is_running;
    use crate::netlink::{
        self, Address, DEL_ADDRESS, DEL_LINK, DEL_ROUTE, Link, Message, NEW_ADDRESS, NEW_LINK, NEW_ROUTE,
    };
    use crate::route_socket::{self, BUFFER};

    pub(super) fn open() -> io::Result<Socket> {
        let socket = route_socket::open()?;
        route_socket::join(&socket, &GROUPS)?;
        Ok(socket)
    }

    pub(super) fn read(socket: &Socket) -> io::Result<Vec<PathChange>> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let Some(len) = route_socket::receive(socket, &mut buffer)? else { return Ok(vec![PathChange::Missed]) };
            let changes: Vec<_> = netlink::messages(&buffer[..len])
                .filter_map(|message| match message {
                    Ok(message) => change(&message),
                    // Nobody knows what it would have said.
                    Err(_) => Some(PathChange::Missed),
                })
                .collect();
            // What is told may be about nothing that is known here.
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }

    pub(super) fn change(message: &Message<'_>) -> Option<PathChange> {
        let body = message.body;
        match message.kind {
            NEW_LINK | DEL_LINK => {
                let link = Link::parse(body)?;
                let up = message.kind == NEW_LINK && is_running(link.flags);
                let interface = link.index;
                Some(if up { PathChange::LinkUp { interface } } else { PathChange::LinkDown { interface } })
            }
            NEW_ADDRESS | DEL_ADDRESS => {
                let address = Address::parse(body)?;
                let (interface, address) = (address.interface, InterfaceAddress::new(&address));
                Some(if message.kind == NEW_ADDRESS {
                    PathChange::AddressAdded { interface, address }
                } else {
                    PathChange::AddressRemoved { interface, address }
                })
            }
            NEW_ROUTE | DEL_ROUTE => {
                let netlink::Route { destination, prefix_len, interface } = netlink::Route::parse(body)?;
                let route = Route { destination, prefix_len, interface };
                Some(if message.kind == NEW_ROUTE {
                    PathChange::RouteAdded { route }
                } else {
                    PathChange::RouteRemoved { route }
                })
            }
            _ => None,
        }
    }

    /// RTNLGRP_LINK, and RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE and their kin of IPv6.
    const GROUPS: [i32; 5] = [1, 5, 7, 9, 11];
}

#[cfg(target_os = "linux")]
use linux::{open, read};

#[cfg(not(target_os = "linux"))]
fn open() -> io::Result<Socket> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn read(_: &Socket) -> io::Result<Vec<PathChange>> {
    Err(io::ErrorKind::Unsupported.into())
}
