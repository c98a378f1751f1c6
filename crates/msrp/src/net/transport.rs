//! A session on a connection, as connectors give it.

use std::sync::Arc;
use std::time::Instant;

use postroad_taps::{EndpointAddress, TlsInfo};

use super::connect::Entered;
pub use super::link::LinkError;
use super::link::Shared;
use crate::engine::SessionKey;
use crate::{Path, Uri};

/// A session whose connection is there and bound: [`Session`](super::session::Session) is what to make of it.
///
/// Dropping it ends the session, and the connection with the last one on it.
#[doc(alias = "MSRPTransport")]
#[derive(Debug)]
pub struct Transport {
    pub(super) link: Arc<Shared>,
    pub(super) session: SessionKey,
    pub(super) local_path: Path,
    pub(super) remote_path: Path,
    pub(super) ends: Ends,
    /// Where it was accepted: who else asks for it is told that it is bound.
    pub(super) _entered: Option<Entered>,
}

/// Where a connection goes from and to.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    pub(super) local: EndpointAddress,
    pub(super) remote: EndpointAddress,
    pub(super) tls: Option<TlsInfo>,
}

impl Transport {
    /// The path to this end, as the peer has it: the first relay first, this end last.
    #[must_use]
    pub fn full_local_path(&self) -> &Path {
        &self.local_path
    }

    /// The path to the peer.
    #[must_use]
    pub fn full_remote_path(&self) -> &Path {
        &self.remote_path
    }

    /// The URI of this end.
    #[must_use]
    pub fn local_uri(&self) -> &Uri {
        self.local_path.last()
    }

    /// The address of this end of the connection.
    #[doc(alias = "getHost")]
    #[must_use]
    pub fn local_endpoint(&self) -> &EndpointAddress {
        &self.ends.local
    }

    /// The address of the other end of the connection: the peer's, or a relay's.
    #[doc(alias = "getPeer")]
    #[must_use]
    pub fn remote_endpoint(&self) -> &EndpointAddress {
        &self.ends.remote
    }

    /// What the TLS handshake has found out; nothing without TLS.
    #[must_use]
    pub fn tls_info(&self) -> Option<&TlsInfo> {
        self.ends.tls.as_ref()
    }

    /// Why the connection is of no more use; nothing while it is.
    #[must_use]
    pub fn error(&self) -> Option<LinkError> {
        self.link.over()
    }

    /// Ends the session at once. What was not sent is given up.
    #[doc(alias = "loseConnection")]
    pub fn close(self) {}
}

impl Drop for Transport {
    fn drop(&mut self) {
        let session = self.session;
        self.link.turn(|state| state.remove(session, Instant::now()));
    }
}
