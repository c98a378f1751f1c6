//! A resolver that asks name servers itself.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup as Answered;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::time::Instant;

use crate::Context;
use crate::endpoint::socket_address;
use crate::resolve::order::order;
use crate::resolve::{Answer, Lookup, MAX_ADDRESSES, ResolutionError, Resolved, SrvRecord, UnresolvedReason};
use crate::selection::names::{Kind, Names, Question, Records};

#[derive(Clone)]
pub(super) struct Dns {
    resolver: Arc<TokioResolver>,
    /// Tells it from others.
    number: u64,
    names: Arc<Names>,
}

impl Dns {
    pub(super) fn configured() -> Result<Self, ResolutionError> {
        let failed = |error: NetError| ResolutionError::new("the configuration of the resolver", reason(&error));
        Self::new(TokioResolver::builder_tokio().map_err(failed)?).map_err(failed)
    }

    fn new(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<Self, NetError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // What is remembered has an owner, who may have it forgotten.
        builder.options_mut().cache_size = 0;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Ok(Self { resolver: Arc::new(builder.build()?), number, names: Arc::default() })
    }

    /// The same, with the memory of a context.
    pub(super) fn remembering(&self, context: &Context) -> Self {
        Self { names: Arc::clone(context.names()), ..self.clone() }
    }

    pub(super) fn at(servers: &[SocketAddr], timeout: Duration) -> Result<Self, ResolutionError> {
        let failed = |reason| ResolutionError::new("the list of name servers", reason);
        if servers.is_empty() {
            return Err(failed(UnresolvedReason::Failed("it is empty".to_owned())));
        }
        let at = |server: &SocketAddr| {
            let mut ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            ways.iter_mut().for_each(|way| way.port = server.port());
            NameServerConfig::new(server.ip(), true, ways.into())
        };
        let config = ResolverConfig::from_name_servers(servers.iter().map(at).collect());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = timeout;
        // Counted are those after the first.
        options.attempts = 1;
        Self::new(builder).map_err(|error| failed(reason(&error)))
    }

    /// Both families at once; each is an answer of its own.
    pub(super) fn lookups(&self, host: &str, port: u16) -> Vec<Lookup> {
        let lookup = |kind: Kind| -> Lookup {
            let (dns, host) = (self.clone(), host.to_owned());
            Box::pin(async move {
                let (records, ttl) = dns.ask(&host, kind).await?;
                let Records::Addresses(addresses) = records else { return Err(UnresolvedReason::NoAddress) };
                let addresses = addresses.into_iter().map(|address| socket_address(address, 0, port)).collect();
                Ok(Answer::Addresses(Resolved { addresses: order(addresses), ttl }))
            })
        };
        // The family that is preferred is asked first (RFC 8305 3).
        vec![lookup(Kind::Ipv6), lookup(Kind::Ipv4)]
    }

    pub(super) async fn srv(&self, name: &str) -> Result<Vec<SrvRecord>, UnresolvedReason> {
        match self.ask(name, Kind::Services).await?.0 {
            Records::Services(records) => Ok(records),
            Records::Addresses(_) => Ok(Vec::new()),
        }
    }

    /// What is remembered, or else what the name servers say; with the time that is left of it.
    async fn ask(&self, name: &str, kind: Kind) -> Result<(Records, Option<Duration>), UnresolvedReason> {
        let question = Question::new(self.number, name, kind);
        let now = Instant::now().into_std();
        if let Some(known) = self.names.get(&question, now) {
            let ttl = Some(known.end.saturating_duration_since(now));
            return if known.records.is_empty() { Err(UnresolvedReason::NoAddress) } else { Ok((known.records, ttl)) };
        }
        let answer = match self.resolver.lookup(name, record_type(kind)).await {
            Ok(answer) => answer,
            Err(error) => {
                // A host of one family has that one for some time (RFC 2308 5): who is asked for the other need not wait.
                if let (UnresolvedReason::NoAddress, Some(ttl)) = (reason(&error), negative_ttl(&error)) {
                    self.names.insert(question, Records::Addresses(Vec::new()), ttl, Instant::now().into_std());
                }
                return Err(reason(&error));
            }
        };
        let records = match kind {
            Kind::Ipv4 | Kind::Ipv6 => Records::Addresses(addresses(&answer).take(MAX_ADDRESSES).collect()),
            Kind::Services => Records::Services(services(&answer).take(MAX_ADDRESSES).collect()),
        };
        if records.is_empty() {
            return Err(UnresolvedReason::NoAddress);
        }
        let ttl = ttl(&answer);
        if let Some(ttl) = ttl {
            self.names.insert(question, records.clone(), ttl, Instant::now().into_std());
        }
        Ok((records, ttl))
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dns")
    }
}

const fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::Ipv4 => RecordType::A,
        Kind::Ipv6 => RecordType::AAAA,
        Kind::Services => RecordType::SRV,
    }
}

fn addresses(answer: &Answered) -> impl Iterator<Item = IpAddr> {
    answer.answers().iter().filter_map(|record| match &record.data {
        RData::A(a) => Some(a.0.into()),
        RData::AAAA(aaaa) => Some(aaaa.0.into()),
        _ => None,
    })
}

fn services(answer: &Answered) -> impl Iterator<Item = SrvRecord> {
    answer.answers().iter().filter_map(|record| match &record.data {
        RData::SRV(srv) => {
            let target = srv.target.to_ascii();
            let target = target.strip_suffix('.').unwrap_or(&target);
            Some(SrvRecord::new(srv.priority, srv.weight, srv.port, target))
        }
        _ => None,
    })
}

/// The shortest of what was passed on the way, aliases too.
fn ttl(answer: &Answered) -> Option<Duration> {
    answer.answers().iter().map(|record| Duration::from_secs(record.ttl.into())).min()
}

/// How long it counts that a name has no such records, where the name server says it.
fn negative_ttl(error: &NetError) -> Option<Duration> {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => none.negative_ttl.map(|secs| Duration::from_secs(secs.into())),
        _ => None,
    }
}

fn reason(error: &NetError) -> UnresolvedReason {
    match error {
        NetError::Timeout => UnresolvedReason::Timeout,
        NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NXDomain => {
            UnresolvedReason::NotFound
        }
        NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NoError => {
            UnresolvedReason::NoAddress
        }
        error => UnresolvedReason::Failed(error.to_string()),
    }
}
