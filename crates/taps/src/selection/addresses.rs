//! The leaves: each address of the peer with where to start from, and their order (RFC 9623 4.1.1.1, RFC 8305 4).

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use crate::endpoint::EndpointAddress;
use crate::properties::{Preference, Role, SelectionProperty};
use crate::protocol::ProtocolStack;
use crate::selection::candidates::Candidate;
use crate::selection::input::{GatherInput, Path, PathInfo, Source};
use crate::selection::prune::Switches;

/// How many children a node has: what the network says must not decide how many sockets are opened
/// (RFC 9623 12.2).
pub(crate) const MAX_CHILDREN: usize = 16;

/// How many addresses of one target a stack tries where it has so many targets: none takes the room of another.
pub(crate) fn room(targets: usize) -> usize {
    (MAX_CHILDREN / targets.max(1)).max(1)
}

/// What turns addresses into candidates of one stack over one path, at once or when they come.
#[derive(Debug, Clone)]
pub(super) struct Derivation {
    stack: ProtocolStack,
    path: Path,
    listens: bool,
    temporary: Preference,
    /// Whether the wish for a temporary address is the application's own.
    explicit: bool,
    sources: Vec<Source>,
    switches: Switches,
}

impl Derivation {
    pub(super) fn new(stack: ProtocolStack, path: &Path, input: &GatherInput<'_>) -> Self {
        let property = SelectionProperty::UseTemporaryLocalAddress;
        let here = |source: &&Source| match (path, &source.interface) {
            (_, None) => true,
            (Path::Interface(info), Some(id)) => info.is(id),
            (Path::Any | Path::Machine, Some(_)) => false,
        };
        let generic = |source: &&Source| source.protocol.is_none();
        let specific = |source: &&Source| source.protocol == Some(stack.protocol());
        let here: Vec<_> = input.sources.iter().filter(here).collect();
        let mut sources: Vec<_> = here.iter().copied().filter(specific).cloned().collect();
        if sources.is_empty() {
            sources.extend(here.into_iter().filter(generic).cloned());
        }
        Self {
            stack,
            path: path.clone(),
            listens: input.role == Role::Listen,
            temporary: input.properties.preference_in(property, input.role),
            explicit: input.properties.is_explicit(property),
            sources,
            switches: Switches::of(stack, path, input),
        }
    }

    /// The candidates toward these addresses of a target; those that cannot be reached are left out.
    pub(super) fn derive(
        &self,
        target: usize,
        host: &Arc<str>,
        port: u16,
        addresses: &[EndpointAddress],
    ) -> Vec<Candidate> {
        let mut derived: Vec<Candidate> = Vec::new();
        for address in addresses {
            if let Some((address, source)) = self.ends(address)
                && !derived.iter().any(|known| known.address == address)
            {
                derived.push(Candidate {
                    path: self.path.clone(),
                    stack: self.stack,
                    target,
                    host: host.clone(),
                    port,
                    source,
                    address,
                    switches: self.switches,
                });
            }
        }
        // There are no temporary addresses of IPv4: who prefers them prefers IPv6 (RFC 9623 4.1.1.1).
        if self.explicit && self.temporary == Preference::Prefer {
            derived.sort_by_key(|candidate| !candidate.is_ipv6());
        }
        derived
    }

    /// Both ends of a candidate toward an address, if there is one.
    fn ends(&self, address: &EndpointAddress) -> Option<(EndpointAddress, Option<EndpointAddress>)> {
        let EndpointAddress::Ip(ip) = address else {
            let same_kind = |source: &&EndpointAddress| source.unix().is_some() == address.unix().is_some();
            let bound = self.sources.iter().flat_map(|source| &source.addresses);
            return Some((address.clone(), bound.filter(same_kind).find(|source| source.ip().is_none()).cloned()));
        };
        if self.temporary == Preference::Require && ip.is_ipv4() {
            return None;
        }
        let ip = match &self.path {
            Path::Interface(info) => reach(*ip, info, self.listens)?,
            Path::Any | Path::Machine => *ip,
        };
        if self.listens {
            return Some((ip.into(), None));
        }
        self.source(ip).map(|source| (ip.into(), source.map(EndpointAddress::Ip)))
    }

    /// Where to start from toward an address: `Some(None)` leaves it to the system, `None` says that there is no way.
    fn source(&self, remote: SocketAddr) -> Option<Option<SocketAddr>> {
        let info = self.path.interface();
        if self.sources.is_empty() {
            return match info {
                None => Some(None),
                Some(info) => self.address_of(info, remote).map(|ip| ip.map(|ip| SocketAddr::new(ip, 0))),
            };
        }
        self.sources.iter().find_map(|source| {
            if !source.addresses.is_empty() {
                let bound = source.addresses.iter().filter_map(EndpointAddress::ip);
                let mut bound = bound.filter(|local| local.is_ipv4() == remote.is_ipv4());
                return bound.find(|local| info.is_none_or(|info| is_on(info, local.ip()))).map(Some);
            }
            let ip = match info {
                None => None,
                Some(info) => self.address_of(info, remote)?,
            };
            let unspecified = || if remote.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
            match (ip, source.port) {
                (None, 0) => Some(None),
                (ip, port) => Some(Some(SocketAddr::new(ip.unwrap_or_else(unspecified), port))),
            }
        })
    }

    /// An address of the interface to start from; `Some(None)` when any will do, `None` when there is none.
    fn address_of(&self, info: &PathInfo, remote: SocketAddr) -> Option<Option<IpAddr>> {
        let usable = |ip: IpAddr| match (ip, remote.ip()) {
            (IpAddr::V4(_), IpAddr::V4(_)) => true,
            (IpAddr::V6(own), IpAddr::V6(other)) => own.is_unicast_link_local() == other.is_unicast_link_local(),
            _ => false,
        };
        let mut usable = info.addresses.iter().filter(|address| usable(address.ip)).peekable();
        usable.peek()?;
        let with = |temporary: bool| usable.clone().find(|address| address.temporary == temporary).map(|a| a.ip);
        // Whether an address is temporary is a question of IPv6 alone.
        let wish = if remote.is_ipv6() { self.temporary } else { Preference::Ignore };
        match wish {
            Preference::Require => with(true).map(Some),
            Preference::Prohibit => with(false).map(Some),
            Preference::Prefer => Some(with(true)),
            Preference::Avoid => Some(with(false)),
            Preference::Ignore => Some(None),
        }
    }
}

/// An address as it is reached over an interface, or `None` when it is not.
fn reach(address: SocketAddr, info: &PathInfo, listens: bool) -> Option<SocketAddr> {
    let group = address.ip().is_multicast();
    if listens {
        return (group || is_on(info, address.ip())).then_some(address);
    }
    // What stays in the machine does not leave over a network, and the other way round. A group is everywhere.
    if !group && address.ip().is_loopback() != info.is_loopback() {
        return None;
    }
    match address {
        SocketAddr::V6(v6) if group || v6.ip().is_unicast_link_local() => match v6.scope_id() {
            0 => Some(SocketAddrV6::new(*v6.ip(), v6.port(), v6.flowinfo(), info.index).into()),
            scope => (scope == info.index).then_some(address),
        },
        SocketAddr::V4(_) | SocketAddr::V6(_) => Some(address),
    }
}

fn is_on(info: &PathInfo, ip: IpAddr) -> bool {
    ip.is_unspecified() || info.addresses.iter().any(|address| address.ip == ip)
}

/// Lets the families alternate: the given order within a family, the first one's family first, or the other than
/// `after` (RFC 8305 4, with a first address family count of one).
pub(crate) fn interleave<T>(items: Vec<T>, after: Option<bool>, is_ipv6: impl Fn(&T) -> bool) -> Vec<T> {
    let Some(first) = items.first() else { return items };
    let lead = after.map_or_else(|| is_ipv6(first), |family| !family);
    let total = items.len();
    let (mut one, mut two): (Vec<T>, Vec<T>) = items.into_iter().partition(|item| is_ipv6(item) == lead);
    let mut mixed = Vec::with_capacity(total);
    let (mut one, mut two) = (one.drain(..), two.drain(..));
    loop {
        match (one.next(), two.next()) {
            (None, None) => return mixed,
            (a, b) => mixed.extend(a.into_iter().chain(b)),
        }
    }
}
