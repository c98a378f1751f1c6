//! The application's own say about a peer (RFC 9622 6.3.8).

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::{TlsError, TlsInfo};
use crate::transport::BoxFuture;

/// Why an application does not trust a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Untrusted(pub String);

/// The trust verification callback.
#[derive(Clone)]
pub(super) struct TrustCallback(Arc<Verify>);

type Verify = dyn Fn(TlsInfo) -> BoxFuture<'static, Result<(), Untrusted>> + Send + Sync;

impl TrustCallback {
    pub(super) fn new<F>(verify: impl Fn(TlsInfo) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Untrusted>> + Send + 'static,
    {
        Self(Arc::new(move |info| Box::pin(verify(info))))
    }

    pub(super) async fn ask(&self, info: &TlsInfo) -> Result<(), TlsError> {
        (self.0)(info.clone()).await.map_err(|Untrusted(reason)| TlsError::RefusedByApplication(reason))
    }
}

impl fmt::Debug for TrustCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrustCallback")
    }
}
