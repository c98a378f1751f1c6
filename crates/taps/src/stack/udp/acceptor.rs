//! Listening: a connection for each peer from which a datagram has come (RFC 9623 4.7.2).

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use socket2::Socket;
use tokio::net::UdpSocket;

use super::accepted::Accepted;
use super::hub::{Hub, Key, Stance};
use super::outlet::{self, Manner, Setting};
use super::{ask_for_news, interface_index, join, wants_soft_errors, where_supported};
use crate::endpoint::{EndpointAddress, canonical, socket_address};
use crate::group::Group;
use crate::properties::{CapacityProfile, Direction};
use crate::protocol::ProtocolStack;
use crate::stack::peers::PeerId;
use crate::stack::socket::bind_interface;
use crate::stack::{Acceptor, Arrival, Hosting, Stand};
use crate::transport::{About, BoxFuture, Established};

/// Begins to listen: on an address of this host, or to what is sent to a multicast group.
pub(in crate::stack) fn listen(stand: &Stand, hosting: &Hosting) -> io::Result<Box<dyn Acceptor>> {
    let address = stand.local.ip().ok_or(io::ErrorKind::InvalidInput)?;
    let properties = &*hosting.properties;
    let socket = super::open(stand.stack, address)?;
    if address.is_ipv6() {
        socket.set_only_v6(!stand.both_families)?;
    }
    ask_for_news(&socket, properties)?;
    if stand.stack == ProtocolStack::UdpLite {
        outlet::set_receive_coverage(&socket, properties.connection.recv_checksum_len)?;
    }
    let group = address.ip().is_multicast();
    if group {
        bind_group(&socket, address)?;
        join(&socket, address.ip(), stand.source, interface_index(stand.interface.as_deref(), address)?)?;
    } else {
        if let Some(interface) = &stand.interface {
            bind_interface(&socket, interface)?;
        }
        socket.bind(&address.into())?;
    }
    let many_addresses = address.ip().is_unspecified();
    if many_addresses || group {
        where_supported(postroad_sys::message::set_receive_destination(&socket, true))?;
    }
    let socket = UdpSocket::from_std(socket.into())?;
    let mut local = address;
    local.set_port(socket.local_addr()?.port());
    let stance = Stance { local, many_addresses, source: stand.source, soft_errors: wants_soft_errors(properties) };
    Ok(Box::new(UdpAcceptor {
        hub: Arc::new(Hub::start(socket, stance, Setting::new(stand.stack))),
        stack: stand.stack,
        local: local.into(),
        hosting: hosting.clone(),
        group: group.then(Arc::default),
    }))
}

/// Several may listen to one group (RFC 9623 10.5), and each hears only what it has joined itself.
fn bind_group(socket: &Socket, group: SocketAddr) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    match group {
        SocketAddr::V4(_) => socket.set_multicast_all_v4(false)?,
        SocketAddr::V6(_) => socket.set_multicast_all_v6(false)?,
    }
    // Bound to the group, it gets nothing else; not every system can.
    let address = if cfg!(unix) { group } else { unspecified(group) };
    socket.bind(&address.into())
}

fn unspecified(address: SocketAddr) -> SocketAddr {
    let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(any, address.port())
}

/// A socket that waits for first datagrams, and hands out those that follow.
#[derive(Debug)]
struct UdpAcceptor {
    hub: Arc<Hub>,
    stack: ProtocolStack,
    local: EndpointAddress,
    hosting: Hosting,
    /// That of the connections with all who send to a multicast group (RFC 9622 6.1.1).
    group: Option<Arc<Group>>,
}

impl UdpAcceptor {
    fn established(&self, id: PeerId, key: Key) -> Established {
        let properties = &*self.hosting.properties;
        let source = key.local.filter(|local| !local.is_multicast());
        let transport = Accepted {
            hub: Arc::clone(&self.hub),
            id,
            peer: key.peer,
            source,
            manner: Manner {
                defaults: properties.message,
                profile: properties.connection.capacity_profile,
                base: CapacityProfile::Default,
            },
            stack: self.stack,
        };
        let mut about = About::new(self.stack, self.local_toward(key).into(), canonical(key.peer).into());
        about.can_send = self.group.is_none() || properties.direction() != Direction::UnidirectionalReceive;
        Established { group: self.group.clone(), ..Established::messages(Box::new(transport), about) }
    }

    /// Where the peer has sent to.
    fn local_toward(&self, key: Key) -> SocketAddr {
        let local = self.hub.stance().local;
        let scope = if let SocketAddr::V6(peer) = key.peer { peer.scope_id() } else { 0 };
        key.local.map_or(local, |address| socket_address(address, scope, local.port()))
    }
}

impl Acceptor for UdpAcceptor {
    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async {
            let (id, key) = self.hub.peers().next().await;
            // From here on a dropped client frees its place in the table.
            let established = self.established(id, key);
            Ok(Arrival {
                peer: established.about.remote.clone(),
                establish: Box::pin(std::future::ready(Ok(established))),
            })
        })
    }

    fn stack(&self) -> ProtocolStack {
        self.stack
    }

    fn local(&self) -> &EndpointAddress {
        &self.local
    }
}

impl Drop for UdpAcceptor {
    fn drop(&mut self) {
        self.hub.peers().stop();
    }
}
