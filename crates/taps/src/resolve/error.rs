//! Why a name has no address.

/// An endpoint that could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot resolve `{host}`: {reason}")]
#[non_exhaustive]
pub struct ResolutionError {
    /// What was asked for.
    pub host: String,
    /// What came of it.
    pub reason: UnresolvedReason,
}

impl ResolutionError {
    pub(super) fn new(host: &str, reason: UnresolvedReason) -> Self {
        Self { host: host.to_owned(), reason }
    }
}

/// What kept a name from being resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnresolvedReason {
    /// There is no such name.
    #[error("there is no such name")]
    NotFound,
    /// The name exists and has no address, or no record of the kind that was asked for.
    #[error("the name has no address")]
    NoAddress,
    /// No name server has answered in time; it may next time.
    #[error("no name server has answered in time")]
    Timeout,
    /// The domain says that it does not offer the service (RFC 2782, a target of `.`).
    #[error("the service is not offered there")]
    NoService,
    /// No port is known for the service.
    #[error("no port is known for the service `{service}` over {transport}: give the number")]
    UnknownService {
        /// The service that was asked for.
        service: String,
        /// `tcp`, `udp` or `udplite`.
        transport: &'static str,
    },
    /// There is no such interface.
    #[error("there is no interface `{0}`")]
    NoInterface(String),
    /// The endpoint is no host: a Unix socket, or a name inside this process.
    #[error("it is no host")]
    NoHost,
    /// The system's resolver cannot be asked for SRV records.
    #[error("the system's resolver cannot look up SRV records: use `Resolver::dns`")]
    NoSrv,
    /// The resolver or a name server failed, in its own words.
    #[error("{0}")]
    Failed(String),
}

impl UnresolvedReason {
    /// How much it says when lookups of one name fail differently.
    pub(super) fn weight(&self) -> u8 {
        match self {
            Self::NoAddress => 0,
            Self::NotFound => 1,
            Self::Timeout => 2,
            _ => 3,
        }
    }
}
