//! A resolver that asks name servers itself.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup as Records;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};

use crate::endpoint::socket_address;
use crate::resolve::order::order;
use crate::resolve::{Answer, Lookup, MAX_ADDRESSES, ResolutionError, Resolved, SrvRecord, UnresolvedReason};

#[derive(Clone)]
pub(super) struct Dns {
    resolver: Arc<TokioResolver>,
}

impl Dns {
    pub(super) fn configured() -> Result<Self, ResolutionError> {
        let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        let resolver =
            resolver.map_err(|error| ResolutionError::new("the configuration of the resolver", reason(&error)))?;
        Ok(Self { resolver: Arc::new(resolver) })
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
        let resolver = builder.build().map_err(|error| failed(reason(&error)))?;
        Ok(Self { resolver: Arc::new(resolver) })
    }

    /// Both families at once; each is an answer of its own.
    pub(super) fn lookups(&self, host: &str, port: u16) -> Vec<Lookup> {
        let lookup = |record: RecordType| -> Lookup {
            let (resolver, host) = (Arc::clone(&self.resolver), host.to_owned());
            Box::pin(async move {
                let records = resolver.lookup(host.as_str(), record).await.map_err(|error| reason(&error))?;
                let addresses: Vec<_> = addresses(&records).take(MAX_ADDRESSES).collect();
                if addresses.is_empty() {
                    return Err(UnresolvedReason::NoAddress);
                }
                let addresses = addresses.into_iter().map(|address| socket_address(address, 0, port)).collect();
                Ok(Answer::Addresses(Resolved { addresses: order(addresses), ttl: ttl(&records) }))
            })
        };
        // The family that is preferred is asked first (RFC 8305 3).
        vec![lookup(RecordType::AAAA), lookup(RecordType::A)]
    }

    pub(super) async fn srv(&self, name: &str) -> Result<Vec<SrvRecord>, UnresolvedReason> {
        let records = self.resolver.lookup(name, RecordType::SRV).await.map_err(|error| reason(&error))?;
        let srv = records.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => {
                let target = srv.target.to_ascii();
                let target = target.strip_suffix('.').unwrap_or(&target);
                Some(SrvRecord::new(srv.priority, srv.weight, srv.port, target))
            }
            _ => None,
        });
        Ok(srv.collect())
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dns")
    }
}

fn addresses(records: &Records) -> impl Iterator<Item = std::net::IpAddr> {
    records.answers().iter().filter_map(|record| match &record.data {
        RData::A(a) => Some(a.0.into()),
        RData::AAAA(aaaa) => Some(aaaa.0.into()),
        _ => None,
    })
}

/// The shortest of what was passed on the way, aliases too.
fn ttl(records: &Records) -> Option<Duration> {
    records.answers().iter().map(|record| Duration::from_secs(record.ttl.into())).min()
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
