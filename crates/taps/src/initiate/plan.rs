//! What selection is told of a preconnection: where to go, and where from.

use std::sync::Arc;

use tokio::time::Instant;

use crate::endpoint::{EndpointAddress, LocalEndpoint, Place, RemoteEndpoint, socket_address};
use crate::error::{ConfigurationError, EstablishmentErrorKind as Kind};
use crate::message::Message;
use crate::path;
use crate::preconnection::Preconnection;
use crate::properties::{Preference, Role, SelectionProperty};
use crate::protocol::Protocol;
use crate::resolve::Resolver;
use crate::selection::{CandidateTree, Context, GatherInput, Rejected, Source, Target, select};
use crate::stack::{self, Setting, Via};
use crate::tls::ClientSide;

/// Finds what is missing or wrong before anything is opened (RFC 9623 3.1).
pub(super) fn check(preconnection: &Preconnection) -> Result<(), ConfigurationError> {
    if preconnection.remotes.is_empty() {
        return Err(ConfigurationError::NoRemoteEndpoint);
    }
    for remote in &preconnection.remotes {
        remote.check()?;
        let networked = !matches!(remote.identifiers().place, Place::Unix(_) | Place::Pipe(_) | Place::Memory(_));
        let named = remote.identifiers().service.is_some() && preconnection.proxy.is_none();
        if networked && remote.port_number() == 0 && !named {
            return Err(ConfigurationError::NoRemotePort);
        }
    }
    for local in &preconnection.locals {
        local.check()?;
    }
    preconnection.properties.validate()?;
    Ok(())
}

/// What is remembered for the connection and its group.
pub(crate) fn context(preconnection: &Preconnection) -> Context {
    let shared = preconnection.context.clone().unwrap_or_else(Context::global);
    shared.for_group(preconnection.properties.connection.isolate_session)
}

/// The candidates of an active or a passive open, of the stacks that are built in.
pub(crate) async fn choose(
    preconnection: &Preconnection,
    role: Role,
    sources: &[Source],
    targets: &[Target],
    context: &Context,
) -> Result<CandidateTree, Vec<Rejected>> {
    let (secure, application_protocol) = match preconnection.security.config() {
        None => (false, false),
        Some(config) => (true, config.has_application_protocol()),
    };
    let proxied = preconnection.proxy.is_some() && role == Role::Initiate;
    let mut input = GatherInput {
        properties: &preconnection.properties,
        role,
        secure,
        application_protocol,
        framed: framed(preconnection),
        built: if proxied { stack::PROXIED } else { stack::BUILT },
        paths: &[],
        sources,
        targets,
    };
    let paths = if input.needs_paths() { path::paths().await } else { Vec::new() };
    input.paths = &paths;
    select(&input, context, Instant::now().into_std())
}

/// What the attempts toward each remote endpoint are made with: TLS verifies the name of that endpoint, and resumes
/// the sessions of this context alone where they are isolated.
pub(super) async fn settings(
    preconnection: &Preconnection,
    context: &Context,
    first: Option<&Message>,
) -> Result<Vec<Setting>, Kind> {
    let early = first.is_some_and(|first| may_be_early(preconnection, first));
    let isolated = preconnection.properties.connection.isolate_session;
    let properties = Arc::new(preconnection.properties.clone());
    let mut settings: Vec<(String, Setting)> = Vec::with_capacity(preconnection.remotes.len());
    for remote in &preconnection.remotes {
        let host = remote.host_text();
        let security = match (preconnection.security.config(), &remote.identifiers().place) {
            // There is no TLS over these, and selection says so.
            (None, _) | (Some(_), Place::Unix(_) | Place::Pipe(_) | Place::Memory(_)) => None,
            (Some(config), _) => match settings.iter().find(|(known, _)| *known == host) {
                Some((_, setting)) => setting.security.clone(),
                None => {
                    let side = ClientSide::prepare(config, &host).await?;
                    Some(if isolated { side.with_sessions(context) } else { side })
                }
            },
        };
        let proxy = preconnection.proxy.clone().filter(|_| goes_through_proxy(remote, preconnection));
        let proxy = proxy.map(|proxy| Arc::new(Via { proxy, port: remote.port_number() }));
        settings.push((host, Setting { properties: properties.clone(), security, early, proxy }));
    }
    Ok(settings.into_iter().map(|(_, setting)| setting).collect())
}

/// Whether a first message may leave with the handshake: it may arrive twice then (RFC 9622 6.2.5 and 9.1.3.4).
fn may_be_early(preconnection: &Preconnection, first: &Message) -> bool {
    let properties = &preconnection.properties;
    first.context.properties().or(&properties.message).safely_replayable()
        && properties.preference(SelectionProperty::ZeroRttMsg) != Preference::Prohibit
}

/// Whether the stack of framers keeps the boundaries of messages. It matters only where they are required: otherwise
/// no framer is made for the question.
fn framed(preconnection: &Preconnection) -> bool {
    let wanted = preconnection.properties.preference(SelectionProperty::PreserveMsgBoundaries);
    wanted == Preference::Require && preconnection.framers.iter().any(|make| make().preserves_boundaries())
}

/// The endpoints of the peer, with the addresses that nobody needs to be asked for.
pub(super) fn targets(preconnection: &Preconnection) -> Vec<Target> {
    let target = |remote: &RemoteEndpoint| {
        let known = known(remote).filter(|_| !goes_through_proxy(remote, preconnection));
        let complete = known.is_some();
        Target::remote(remote, known.into_iter().collect(), complete)
    };
    preconnection.remotes.iter().map(target).collect()
}

/// What is looked up for each remote endpoint: itself, or the proxy that reaches it.
pub(super) fn looked_up(preconnection: &Preconnection) -> Vec<RemoteEndpoint> {
    let looked_up = |remote: &RemoteEndpoint| match &preconnection.proxy {
        Some(proxy) if goes_through_proxy(remote, preconnection) => {
            let (host, port) = proxy.place();
            RemoteEndpoint::host(host).port(port)
        }
        _ => remote.clone(),
    };
    preconnection.remotes.iter().map(looked_up).collect()
}

fn goes_through_proxy(remote: &RemoteEndpoint, preconnection: &Preconnection) -> bool {
    preconnection.proxy.is_some() && matches!(remote.identifiers().place, Place::Any | Place::Host { .. })
}

fn known(remote: &RemoteEndpoint) -> Option<EndpointAddress> {
    let identifiers = remote.identifiers();
    match &identifiers.place {
        Place::Unix(address) => Some(address.clone().into()),
        Place::Pipe(name) => Some(EndpointAddress::Pipe(name.clone())),
        Place::Memory(name) => Some(EndpointAddress::Memory(name.clone())),
        Place::Multicast(group) if identifiers.interface.is_none() && identifiers.port != 0 => {
            Some(socket_address(*group, 0, identifiers.port).into())
        }
        Place::Host { address: Some(address), .. } if identifiers.interface.is_none() && identifiers.port != 0 => {
            Some(socket_address(*address, 0, identifiers.port).into())
        }
        Place::Any | Place::Host { .. } | Place::Multicast(_) => None,
    }
}

/// Where connections may start.
pub(super) async fn sources(locals: &[LocalEndpoint], resolver: &Resolver) -> Result<Vec<Source>, Kind> {
    let mut sources = Vec::with_capacity(locals.len());
    for local in locals {
        let identifiers = local.identifiers();
        let resolve = || resolver.resolve_local(local, identifiers.protocol.unwrap_or(Protocol::Tcp)).all();
        let mut port = identifiers.port;
        let addresses = match &identifiers.place {
            Place::Unix(address) => vec![address.clone().into()],
            Place::Pipe(name) => vec![EndpointAddress::Pipe(name.clone())],
            Place::Memory(name) => vec![EndpointAddress::Memory(name.clone())],
            Place::Any => {
                if port == 0 && identifiers.service.is_some() {
                    port = resolve().await?.first().map_or(0, |address| address.port());
                }
                Vec::new()
            }
            Place::Host { .. } | Place::Multicast(_) => resolve().await?.into_iter().map(Into::into).collect(),
        };
        sources.push(Source { port, ..Source::new(local, addresses) });
    }
    Ok(sources)
}
