//! A resolution on its way: answers as they come.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Poll;

use crate::Protocol;
use crate::endpoint::{Identifiers, InterfaceId, Place, socket_address};
use crate::resolve::{
    Answer, Lookup, MAX_ADDRESSES, ResolutionError, Resolved, Resolver, Target, UnresolvedReason, services, system,
};

/// A resolution on its way; its answers come as they arrive.
///
/// ```
/// use postroad_taps::{Protocol, RemoteEndpoint, Resolver};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let endpoint = RemoteEndpoint::host("127.0.0.1").port(5000);
/// let mut resolution = Resolver::system().resolve(&endpoint, Protocol::Tcp);
/// while let Some(resolved) = resolution.next().await {
///     assert_eq!(resolved?.addresses, ["127.0.0.1:5000".parse()?]);
/// }
/// # Ok(()) }
/// ```
#[must_use = "nothing happens before `next` is awaited"]
pub struct Resolution {
    resolver: Resolver,
    host: String,
    interface: Option<InterfaceId>,
    /// The index of the interface, once it was looked up.
    scope: Option<u32>,
    running: Vec<Lookup>,
    /// Looked up one behind the other, in the order of their records.
    targets: VecDeque<Target>,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// The best reason so far why there is nothing yet.
    Nothing(Option<UnresolvedReason>),
    Found,
    Ended,
}

impl Resolution {
    pub(super) fn new(resolver: Resolver, identifiers: &Identifiers, protocol: Protocol, remote: bool) -> Self {
        let Identifiers { place, port, service, interface, .. } = identifiers;
        let mut resolution = Self {
            resolver,
            host: place.text(),
            interface: interface.clone(),
            scope: None,
            running: Vec::new(),
            targets: VecDeque::new(),
            state: State::Nothing(None),
        };
        let service = service.clone().filter(|_| *port == 0);
        let first: Lookup = match (place, service) {
            (Place::Host { address: Some(address), .. } | Place::Multicast(address), service) => {
                let (address, port) = (*address, *port);
                Box::pin(async move {
                    let port = services::or(port, service, protocol).await?;
                    Ok(Answer::Addresses(Resolved { addresses: vec![socket_address(address, 0, port)], ttl: None }))
                })
            }
            (Place::Host { name: Some(name), .. }, Some(service)) => {
                let (resolver, host) = (resolution.resolver.clone(), name.clone());
                Box::pin(async move { resolver.service(host, service, protocol, remote).await.map(Answer::Targets) })
            }
            (Place::Host { name: Some(name), .. }, None) => {
                resolution.targets.push_back(Target { host: name.clone(), port: *port });
                return resolution;
            }
            (Place::Any, service) if !remote => {
                let port = *port;
                Box::pin(async move {
                    let port = services::or(port, service, protocol).await?;
                    let addresses = vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()];
                    Ok(Answer::Addresses(Resolved { addresses, ttl: None }))
                })
            }
            (Place::Any | Place::Host { .. } | Place::Unix(_) | Place::Pipe(_) | Place::Memory(_), _) => {
                resolution.state = State::Nothing(Some(UnresolvedReason::NoHost));
                return resolution;
            }
        };
        resolution.running.push(first);
        resolution
    }

    /// Waits for the next addresses; `None` when there are no more.
    ///
    /// # Errors
    /// Once, as the last item, when no address was found at all; see [`UnresolvedReason`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the lookups go on when `next` is called again.
    pub async fn next(&mut self) -> Option<Result<Resolved, ResolutionError>> {
        if let (Some(interface), None) = (&self.interface, self.scope) {
            match system::index(interface).await {
                Ok(scope) => self.scope = Some(scope),
                Err(reason) => return self.end(reason),
            }
        }
        loop {
            if !self.running.is_empty() {
                match self.any().await {
                    Ok(Answer::Addresses(resolved)) => return Some(Ok(self.found(resolved))),
                    Ok(Answer::Targets(targets)) => self.targets.extend(targets),
                    Err(reason) => self.failed(reason),
                }
            } else if let Some(Target { host, port }) = self.targets.pop_front() {
                self.running = self.resolver.lookups(&host, port);
            } else {
                return self.end(UnresolvedReason::NoAddress);
            }
        }
    }

    /// Waits for all the addresses, at most 1024, in the order in which they came.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    /// Dropping the future ends the resolution.
    pub async fn all(mut self) -> Result<Vec<SocketAddr>, ResolutionError> {
        let mut all = Vec::new();
        while let Some(resolved) = self.next().await {
            all.append(&mut resolved?.addresses);
            if all.len() >= MAX_ADDRESSES {
                all.truncate(MAX_ADDRESSES);
                break;
            }
        }
        Ok(all)
    }

    fn end(&mut self, reason: UnresolvedReason) -> Option<Result<Resolved, ResolutionError>> {
        self.running.clear();
        self.targets.clear();
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Nothing(known) => Some(Err(ResolutionError::new(&self.host, known.unwrap_or(reason)))),
            State::Found | State::Ended => None,
        }
    }

    /// The first lookup that ends.
    async fn any(&mut self) -> Result<Answer, UnresolvedReason> {
        poll_fn(|cx| {
            for index in 0..self.running.len() {
                if let Poll::Ready(answer) = self.running[index].as_mut().poll(cx) {
                    drop(self.running.remove(index));
                    return Poll::Ready(answer);
                }
            }
            Poll::Pending
        })
        .await
    }

    fn found(&mut self, mut resolved: Resolved) -> Resolved {
        resolved.addresses.truncate(MAX_ADDRESSES);
        for address in &mut resolved.addresses {
            if let (SocketAddr::V6(v6), Some(scope)) = (address, self.scope)
                && takes_zone(*v6.ip())
            {
                v6.set_scope_id(scope);
            }
        }
        self.state = State::Found;
        resolved
    }

    /// Keeps the reason that says most: a server that did not answer could have known an address.
    fn failed(&mut self, reason: UnresolvedReason) {
        if let State::Nothing(known) = &mut self.state
            && known.as_ref().is_none_or(|known| reason.weight() > known.weight())
        {
            *known = Some(reason);
        }
    }
}

impl fmt::Debug for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolution")
            .field("host", &self.host)
            .field("running", &self.running.len())
            .field("targets", &self.targets)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Whether an address means nothing without an interface: it reaches no farther than the link (RFC 4007 6), which the
/// scope of a group tells (RFC 4291 2.7).
fn takes_zone(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local() || matches!(address.segments()[0] & 0xff0f, 0xff01 | 0xff02)
}
