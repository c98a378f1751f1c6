//! The names of the peer on their way to addresses, beside the race (RFC 8305 3).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::endpoint::{EndpointAddress, RemoteEndpoint};
use crate::protocol::Protocol;
use crate::race::Arrival;
use crate::resolve::{Resolution, ResolutionError, Resolved, Resolver};
use crate::selection::Target;

/// The lookups of all remote endpoints that have a name, side by side.
pub(super) struct Lookups {
    running: Vec<(usize, Lookup)>,
    /// The first that found nothing.
    pub(super) error: Option<ResolutionError>,
}

type Answer = Option<Result<Resolved, ResolutionError>>;
type Lookup = Pin<Box<dyn Future<Output = (Resolution, Answer)> + Send>>;

impl Lookups {
    /// Looks up what is not known of the targets, which stand in the order of the endpoints.
    pub(super) fn new(resolver: &Resolver, remotes: &[RemoteEndpoint], targets: &[Target]) -> Self {
        let unknown = targets.iter().enumerate().filter(|(_, target)| !target.complete);
        let running = unknown.map(|(index, target)| {
            // A service has a port for each protocol; where several might be used, it is mostly the same.
            let protocol = target.protocol.unwrap_or(Protocol::Tcp);
            (index, next(resolver.resolve(&remotes[index], protocol)))
        });
        Self { running: running.collect(), error: None }
    }

    /// Nothing to look up.
    pub(super) fn none() -> Self {
        Self { running: Vec::new(), error: None }
    }

    /// Whether nothing more will come.
    pub(super) fn is_over(&self) -> bool {
        self.running.is_empty()
    }

    /// What has come; `None` when nothing more will.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arrival>> {
        for position in 0..self.running.len() {
            let (target, lookup) = &mut self.running[position];
            let target = *target;
            let Poll::Ready((resolution, answer)) = lookup.as_mut().poll(cx) else { continue };
            let addresses = match answer {
                Some(Ok(resolved)) => {
                    *lookup = next(resolution);
                    let addresses = resolved.addresses.into_iter().map(EndpointAddress::from).collect();
                    return Poll::Ready(Some(Arrival { target, addresses, last: false }));
                }
                Some(Err(error)) => {
                    self.error.get_or_insert(error);
                    Vec::new()
                }
                None => Vec::new(),
            };
            drop(self.running.swap_remove(position));
            return Poll::Ready(Some(Arrival { target, addresses, last: true }));
        }
        if self.running.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    }
}

fn next(mut resolution: Resolution) -> Lookup {
    Box::pin(async move {
        let answer = resolution.next().await;
        (resolution, answer)
    })
}
