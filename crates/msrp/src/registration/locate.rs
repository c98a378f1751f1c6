//! Where a relay is, as far as that can be told without DNS (RFC 4976 8, RFC 2782).

use crate::{DEFAULT_PORT, Host, Scheme, Uri, UriError};

/// How many records of a name are looked at, of the best ones: a zone that lists more cannot have a client try them all.
pub const MAX_RECORDS: usize = 64;

/// What is to be looked up to reach a relay.
///
/// Whatever DNS says, the relay's certificate has to be for the host of its URI (RFC 4976 9.2), and not for the name that
/// a record leads to.
///
/// ```
/// use postroad_msrp::registration::{Lookup, Place, SrvRecord};
///
/// let Lookup::Service(service) = Lookup::of_domain("example.com")? else { panic!("a domain has a service") };
/// assert_eq!(service.name(), "_msrps._tcp.example.com");
/// let records = [SrvRecord { priority: 0, weight: 1, port: 9000, target: "server1.example.com.".into() }];
/// let places = service.places(&records, || 4)?; // a random number
/// assert_eq!(places[0].to_string(), "server1.example.com:9000");
/// assert_eq!(service.places(&[], || 4)?[0].to_string(), "example.com:2855");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "MSRPSRVConnector")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Only the addresses of a host, or nothing where it is an address.
    Place(Place),
    /// The SRV records of a name, and then the addresses of what they lead to.
    Service(Service),
}

/// A host and a port to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The address, or the name whose A and AAAA records are to be looked up.
    pub host: Host,
    /// The port.
    pub port: u16,
}

/// The relays of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    domain: Host,
}

/// A record that was found in DNS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SrvRecord {
    /// The lowest is tried first.
    pub priority: u16,
    /// How often it comes first among those of its priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host, with a dot at its end or without.
    pub target: String,
}

impl Lookup {
    /// How the host of a URI is found: one with a port as it is, and over TLS by SRV where there is none. There is no SRV
    /// for relays in clear text, as RFC 4976 8 knows none.
    #[must_use]
    pub fn of(uri: &Uri) -> Self {
        let host = uri.host().clone();
        match (uri.port(), &host, uri.scheme()) {
            (None, Host::Name(_), Scheme::Msrps) => Self::Service(Service { domain: host }),
            (port, ..) => Self::Place(Place { host, port: port.unwrap_or(DEFAULT_PORT) }),
        }
    }

    /// How the relays of a domain are found; an address stands for itself.
    ///
    /// # Errors
    /// No name that a URI may have.
    pub fn of_domain(domain: &str) -> Result<Self, UriError> {
        let host = match domain.parse::<std::net::IpAddr>() {
            Ok(address) => Host::Ip(address),
            Err(_) => Host::name(domain)?,
        };
        Ok(Self::of(&Uri::new(host).with_scheme(Scheme::Msrps)))
    }
}

impl Service {
    /// The name whose SRV records are to be looked up.
    #[must_use]
    pub fn name(&self) -> String {
        format!("_msrps._tcp.{}", self.domain)
    }

    /// Where to connect to, in this order, with these records: by priority, and within one in a random order by weight
    /// (RFC 2782). Without any record it is the domain itself with [`DEFAULT_PORT`].
    ///
    /// `random` gives a number that any of 32 bits may be.
    ///
    /// # Errors
    /// The domain says that it has no relay, or has records that lead nowhere.
    pub fn places(&self, records: &[SrvRecord], mut random: impl FnMut() -> u32) -> Result<Vec<Place>, LocateError> {
        if records.is_empty() {
            return Ok(vec![Place { host: self.domain.clone(), port: DEFAULT_PORT }]);
        }
        if let [SrvRecord { target, .. }] = records
            && target == "."
        {
            return Err(LocateError::NoService);
        }
        let usable = |record: &SrvRecord| {
            let target = record.target.strip_suffix('.').unwrap_or(&record.target);
            // It is a name, and never an address (RFC 2782).
            if record.port == 0 || target.split('.').any(str::is_empty) || target.parse::<std::net::IpAddr>().is_ok() {
                return None;
            }
            let place = Place { host: Host::name(target).ok()?, port: record.port };
            Some((record.priority, record.weight, place))
        };
        let mut left: Vec<_> = records.iter().filter_map(usable).collect();
        if left.is_empty() {
            return Err(LocateError::NoTarget);
        }
        // Those without weight come first, so that they have a small chance (RFC 2782).
        left.sort_by_key(|(priority, weight, _)| (*priority, *weight > 0));
        left.truncate(MAX_RECORDS);
        let mut places = Vec::with_capacity(left.len());
        while let Some((priority, ..)) = left.first() {
            let priority = *priority;
            let equals = left.iter().take_while(|(its, ..)| *its == priority);
            let sum: u64 = equals.map(|(_, weight, _)| u64::from(*weight)).sum();
            // From 0 to the sum, both included.
            let mut drawn = (u64::from(random()) * (sum + 1)) >> 32;
            let hit = left.iter().position(|(_, weight, _)| {
                let weight = u64::from(*weight);
                let hit = drawn <= weight;
                drawn = drawn.saturating_sub(weight);
                hit
            });
            places.push(left.remove(hit.expect("it is not above the sum")).2);
        }
        Ok(places)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Why a domain leads to no relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocateError {
    /// It says that it has none: its one record leads to the root.
    #[error("the domain has no relay")]
    NoService,
    /// It has records, and none of them has a name and a port.
    #[error("no record of the domain leads to a host")]
    NoTarget,
}
