//! What a registration is to be.

use super::{DEFAULT_EXPIRES, MAX_EXPIRES};
use crate::digest::{Credentials, DigestUri};
use crate::{Host, Path, Uri};

/// Which relays a client wants to be reached over, and as whom.
///
/// ```
/// use postroad_msrp::digest::Credentials;
/// use postroad_msrp::registration::RegistrationOptions;
///
/// let own = "msrps://alice.example.com:9892/98cjs;tcp".parse()?;
/// let alice = || Credentials::new("alice", "wonderland");
/// let mut options = RegistrationOptions::new(own, "msrps://intra.example.com;tcp".parse()?, alice()?)
///     .with_relay("msrps://extra.example.com;tcp".parse()?, alice()?);
/// options.expires = Some(900);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "MSRPRelaySettings")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistrationOptions {
    /// The client's own URI, for this one session. Where it leads behind the relay, the connection decides.
    pub own: Uri,
    /// The relays, the one that the connection leads to first.
    pub relays: Vec<Relay>,
    /// For how many seconds the URI is wanted each time, from 1 to [`MAX_EXPIRES`]. By default
    /// [`DEFAULT_EXPIRES`]; nothing leaves it to the relay, which then need not let the URI end (RFC 4976 6.3).
    pub expires: Option<u32>,
    /// Whether the relay's URI is named beside the proof. By default that depends on the challenge.
    pub digest_uri: DigestUri,
    /// Whether the relays have to prove that they know the password as well, which RFC 4976 9.1 has them do and some do
    /// not. By default not: who they are, TLS has shown. A proof that is there is checked in any case.
    pub require_proof: bool,
    /// Whether relays are asked in clear text, which RFC 4976 8 forbids: whoever listens gets the URIs, and can try
    /// passwords. By default not.
    pub allow_clear_text: bool,
}

/// A relay, and who the client is there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relay {
    /// Its URI. The port may be left to DNS, and there is no session yet.
    pub uri: Uri,
    /// The user and the password.
    pub credentials: Credentials,
}

impl RegistrationOptions {
    /// A registration at one relay.
    #[must_use]
    pub fn new(own: Uri, relay: Uri, credentials: Credentials) -> Self {
        Self {
            own,
            relays: vec![Relay { uri: relay, credentials }],
            expires: Some(DEFAULT_EXPIRES),
            digest_uri: DigestUri::Auto,
            require_proof: false,
            allow_clear_text: false,
        }
    }

    /// With a further relay, which is reached through those before it.
    #[must_use]
    pub fn with_relay(mut self, relay: Uri, credentials: Credentials) -> Self {
        self.relays.push(Relay { uri: relay, credentials });
        self
    }

    pub(super) fn check(&self) -> Result<(), OptionsError> {
        // Each relay has a URI in the path, then comes one's own, and there is a peer.
        if self.relays.is_empty() || self.relays.len() > Path::MAX - 2 {
            return Err(OptionsError::Relays);
        }
        for (place, Relay { uri, .. }) in self.relays.iter().enumerate() {
            if !uri.is_secure() && !self.allow_clear_text {
                return Err(OptionsError::ClearText { place });
            }
            if uri.port().is_none() && matches!(uri.host(), Host::Ip(_)) {
                return Err(OptionsError::PortMissing { place });
            }
        }
        // Only the To-Path of AUTH may do without (RFC 4976 8).
        if self.own.port().is_none() || self.own.session_id().is_none() {
            return Err(OptionsError::Own);
        }
        match self.expires {
            Some(0) => Err(OptionsError::Expires),
            Some(seconds) if seconds > MAX_EXPIRES => Err(OptionsError::Expires),
            _ => Ok(()),
        }
    }
}

/// Why a registration cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// There is no relay, or there are more than a path has room for.
    #[error("no relay, or more than {}", Path::MAX - 2)]
    Relays,
    /// A relay is not asked over TLS (RFC 4976 8).
    #[error("relay {place} is not reached over TLS")]
    ClearText {
        /// Which, from 0.
        place: usize,
    },
    /// A relay that goes by its address has no port (RFC 4976 8).
    #[error("relay {place} is an address without a port")]
    PortMissing {
        /// Which, from 0.
        place: usize,
    },
    /// The client's own URI has no port or no session id.
    #[error("the client's own URI needs a port and a session id")]
    Own,
    /// A time of nothing, or longer than [`MAX_EXPIRES`].
    #[error("no time from 1 to {MAX_EXPIRES} seconds")]
    Expires,
}

impl OptionsError {
    /// What can be done about it, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::ClearText { .. } => "write msrps://, or allow clear text where nobody listens",
            Self::PortMissing { .. } => "add the port, as in :2855",
            _ => return None,
        })
    }
}
