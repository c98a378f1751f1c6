//! Scenes of selection: what is wished, what is there, and what is tried in which order.

mod order;
mod paths;
mod pruning;
mod wild;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::input::Pvd;
use super::*;
use crate::endpoint::RemoteEndpoint;
use crate::properties::{InterfaceType, Role, TransportProperties};
use crate::protocol::ProtocolStack;

/// What a selection is made from; the defaults are those of a connection with TLS, a name with one address of each
/// family, and every stack built in.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) properties: TransportProperties,
    pub(super) role: Role,
    pub(super) secure: bool,
    pub(super) application_protocol: bool,
    pub(super) framed: bool,
    pub(super) built: StackSet,
    pub(super) paths: Vec<Arc<PathInfo>>,
    pub(super) sources: Vec<Source>,
    pub(super) targets: Vec<Target>,
    pub(super) context: Context,
    pub(super) now: Instant,
}

impl Scene {
    pub(super) fn tls(properties: TransportProperties) -> Self {
        let target = target(&RemoteEndpoint::host("example.com").port(443), &["[2001:db8::1]:443", "192.0.2.1:443"]);
        Self {
            properties,
            role: Role::Initiate,
            secure: true,
            application_protocol: false,
            framed: false,
            built: StackSet::ALL,
            paths: Vec::new(),
            sources: Vec::new(),
            targets: vec![target],
            context: Context::new(),
            now: Instant::now(),
        }
    }

    pub(super) fn clear(properties: TransportProperties) -> Self {
        Self { secure: false, ..Self::tls(properties) }
    }

    pub(super) fn input(&self) -> GatherInput<'_> {
        GatherInput {
            properties: &self.properties,
            role: self.role,
            secure: self.secure,
            application_protocol: self.application_protocol,
            framed: self.framed,
            built: self.built,
            paths: &self.paths,
            sources: &self.sources,
            targets: &self.targets,
        }
    }

    pub(super) fn select(&self) -> Result<CandidateTree, Vec<Rejected>> {
        select(&self.input(), &self.context, self.now)
    }

    pub(super) fn tree(&self) -> CandidateTree {
        self.select().unwrap()
    }

    /// The stacks in the order in which they are tried, over the first path that has them.
    pub(super) fn stacks(&self) -> Vec<ProtocolStack> {
        let mut stacks = Vec::new();
        for candidate in self.tree().candidates() {
            if !stacks.contains(&candidate.stack()) {
                stacks.push(candidate.stack());
            }
        }
        stacks
    }

    /// Each candidate as text.
    pub(super) fn leaves(&self) -> Vec<String> {
        self.tree().candidates().map(Candidate::to_string).collect()
    }

    /// Why this stack, or else the path alone, was rejected.
    #[track_caller]
    pub(super) fn reason(&self, stack: ProtocolStack) -> Rejection {
        let rejected = self.select().map_or_else(|rejected| rejected, |tree| tree.rejected().to_vec());
        rejected.into_iter().find(|rejected| rejected.stack == Some(stack)).expect("it is rejected").reason
    }
}

pub(super) fn target(endpoint: &RemoteEndpoint, addresses: &[&str]) -> Target {
    let addresses = addresses.iter().map(|text| text.parse::<SocketAddr>().unwrap().into()).collect();
    Target::remote(endpoint, addresses, true)
}

/// An interface; a `~` before an address makes it a temporary one.
pub(super) fn interface(name: &str, index: u32, kind: InterfaceType, addresses: &[&str]) -> Arc<PathInfo> {
    let address = |text: &&str| match text.strip_prefix('~') {
        Some(text) => PathAddress { ip: ip(text), temporary: true },
        None => PathAddress { ip: ip(text), temporary: false },
    };
    Arc::new(PathInfo {
        name: name.into(),
        index,
        kind: Some(kind),
        addresses: addresses.iter().map(address).collect(),
        pvd: None,
    })
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
