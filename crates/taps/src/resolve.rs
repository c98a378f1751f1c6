//! Names to addresses, and services to ports, when a connection is opened (RFC 9622 6.1).

#[cfg(feature = "hickory")]
mod dns;
mod error;
#[cfg(feature = "hickory")]
mod order;
mod resolution;
mod services;
mod srv;
mod system;

use std::collections::VecDeque;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use crate::{Context, LocalEndpoint, Protocol, RemoteEndpoint};

pub use error::{ResolutionError, UnresolvedReason};
pub use resolution::Resolution;
pub use srv::{SrvRecord, order_srv};

/// Turns names into addresses, and services into ports.
///
/// The system's resolver is the default: it knows what the machine is configured to know, and answers all at once
/// in the order of RFC 6724. With the feature `hickory` there is one that asks name servers itself: the addresses of
/// both families come as they arrive, each answer in the order of RFC 6724 and with its time to live, and a service is
/// looked up as an SRV record (RFC 2782). Cloning is cheap, and clones share what they remember of those answers.
/// Connections share that of their [`Context`] instead.
#[derive(Debug, Clone, Default)]
pub struct Resolver {
    kind: Kind,
}

#[derive(Debug, Clone, Default)]
enum Kind {
    #[default]
    System,
    #[cfg(feature = "hickory")]
    Dns(dns::Dns),
}

/// Addresses that a resolution has found, in the order in which they should be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// The addresses with the port, at least one and at most 1024.
    pub addresses: Vec<SocketAddr>,
    /// How long they may be kept; `None`: the resolver does not tell, or they were not looked up.
    pub ttl: Option<Duration>,
}

impl Resolver {
    /// The system's resolver.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// A resolver that asks the name servers that the machine is configured with, and reads its table of hosts.
    ///
    /// Its work is done by tasks of the runtime in which it is used first.
    ///
    /// # Errors
    /// The configuration cannot be read.
    #[cfg(feature = "hickory")]
    pub fn dns() -> Result<Self, ResolutionError> {
        Ok(Self { kind: Kind::Dns(dns::Dns::configured()?) })
    }

    /// A resolver that asks these name servers over UDP, and over TCP where an answer is too long for it; each has
    /// this long to answer a question, which is asked twice at most.
    ///
    /// Its work is done by tasks of the runtime in which it is used first.
    ///
    /// # Errors
    /// No name server was given.
    #[cfg(feature = "hickory")]
    pub fn dns_at(servers: &[SocketAddr], timeout: Duration) -> Result<Self, ResolutionError> {
        Ok(Self { kind: Kind::Dns(dns::Dns::at(servers, timeout)?) })
    }

    /// The same resolver, which shares what it is answered with the connections of a context.
    pub(crate) fn remembering(&self, context: &Context) -> Self {
        match &self.kind {
            Kind::System => {
                let _ = context;
                Self::system()
            }
            #[cfg(feature = "hickory")]
            Kind::Dns(dns) => Self { kind: Kind::Dns(dns.remembering(context)) },
        }
    }

    /// Resolves the endpoint of a peer to be reached with this protocol. Nothing happens before
    /// [`Resolution::next`] is awaited.
    ///
    /// An address resolves to itself, and so does a multicast group. A service of a host without a port is looked up
    /// as an SRV record where the resolver knows them; where there is none, and for every other endpoint, the system's
    /// table of services tells the port. What is no host has no addresses.
    pub fn resolve(&self, endpoint: &RemoteEndpoint, protocol: Protocol) -> Resolution {
        Resolution::new(self.clone(), endpoint.identifiers(), protocol, true)
    }

    /// Resolves an endpoint of this machine; a service is looked up in the system's table alone. Every address of
    /// the machine is the unspecified address of each family.
    pub fn resolve_local(&self, endpoint: &LocalEndpoint, protocol: Protocol) -> Resolution {
        Resolution::new(self.clone(), endpoint.identifiers(), protocol, false)
    }

    /// The SRV records of a name such as `_service._tcp.example.org`, in the order in which RFC 2782 wants them
    /// tried; the order among records of one priority is drawn anew each time.
    ///
    /// # Errors
    /// The name has no such record, or the service is said not to be there
    /// ([`NoService`](UnresolvedReason::NoService)). The system's resolver knows none
    /// ([`NoSrv`](UnresolvedReason::NoSrv)).
    pub async fn lookup_srv(&self, name: &str) -> Result<Vec<SrvRecord>, ResolutionError> {
        let records = self.srv(name).await.map_err(|reason| ResolutionError::new(name, reason))?;
        Ok(order_srv(records, &mut random()))
    }

    async fn srv(&self, name: &str) -> Result<Vec<SrvRecord>, UnresolvedReason> {
        let records: Result<Vec<SrvRecord>, _> = match &self.kind {
            Kind::System => system::srv(name),
            #[cfg(feature = "hickory")]
            Kind::Dns(dns) => dns.srv(name).await,
        };
        let records = records?;
        match &records[..] {
            [] => Err(UnresolvedReason::NoAddress),
            // A target that is the root says that the service is decidedly not there.
            [only] if only.target.is_empty() => Err(UnresolvedReason::NoService),
            _ => Ok(records),
        }
    }

    /// The hosts that offer a service: by its SRV records, or the host itself with the port of the table.
    async fn service(
        &self,
        host: String,
        service: String,
        protocol: Protocol,
        remote: bool,
    ) -> Result<VecDeque<Target>, UnresolvedReason> {
        if remote {
            let name = format!("_{service}._{}.{host}", transport(protocol));
            match self.srv(&name).await {
                Ok(records) => {
                    let records = order_srv(records, &mut random()).into_iter().take(MAX_TARGETS);
                    return Ok(records.map(|record| Target { host: record.target, port: record.port }).collect());
                }
                Err(UnresolvedReason::NotFound | UnresolvedReason::NoAddress | UnresolvedReason::NoSrv) => {}
                Err(reason) => return Err(reason),
            }
        }
        let port = services::port(service, protocol).await?;
        Ok([Target { host, port }].into())
    }

    fn lookups(&self, host: &str, port: u16) -> Vec<Lookup> {
        match &self.kind {
            Kind::System => {
                let host = host.to_owned();
                vec![Box::pin(async move { system::lookup(&host, port).await.map(Answer::Addresses) })]
            }
            #[cfg(feature = "hickory")]
            Kind::Dns(dns) => dns.lookups(host, port),
        }
    }
}

/// What a lookup has found.
enum Answer {
    Addresses(Resolved),
    Targets(VecDeque<Target>),
}

/// A host whose addresses are to be looked up.
#[derive(Debug)]
struct Target {
    host: String,
    port: u16,
}

type Lookup = Pin<Box<dyn Future<Output = Result<Answer, UnresolvedReason>> + Send>>;

/// The protocol below as SRV records and tables of services name it.
fn transport(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Udp | Protocol::Quic => "udp",
        Protocol::UdpLite => "udplite",
        Protocol::Tcp
        | Protocol::Mptcp
        | Protocol::WebSocket
        | Protocol::Unix
        | Protocol::NamedPipe
        | Protocol::Memory => "tcp",
    }
}

/// Numbers from 0 to the argument for the order of SRV records: nobody is harmed who guesses them.
fn random() -> impl FnMut(u32) -> u32 {
    let (state, mut count) = (RandomState::new(), 0_u64);
    move |max| {
        count += 1;
        let drawn = state.hash_one(count) % (u64::from(max) + 1);
        u32::try_from(drawn).expect("it is not above a maximum of 32 bits")
    }
}

/// The most addresses that one answer is taken to have: what a name server says must not decide how much memory an
/// attempt takes.
const MAX_ADDRESSES: usize = 1024;

/// The most SRV records whose targets are looked up.
const MAX_TARGETS: usize = 16;
