//! A link that sends.

use std::time::{Duration, Instant};

use postroad_client::ToSend;
use postroad_client::blocking::{ConnectionGuard, Guard as _, Wrap, mirror};

use super::Session;
use crate::{LinkError, SendError, SenderOptions, SyncError};

mirror! {
    /// A sender. Every method takes `&self`: threads can share one. Clones are handles of the same sender.
    ///
    /// With the last handle the link is closed; what was handed over is on its way before the close.
    #[derive(Debug, Clone)]
    pub struct Sender of crate::Sender, under ConnectionGuard;

    wait fn send<'a>(&self, message: impl Into<ToSend<'a>>) -> Result<(), SendError>;
    #[doc(alias = "send")]
    wait fn send_async<'a>(&self, message: impl Into<ToSend<'a>>) -> Result<(), SendError>;
    soon fn send_async_timeout<'a>(&self, message: impl Into<ToSend<'a>>) = send_async -> Result<(), SendError>;
    pass fn try_send_async<'a>(&self, message: impl Into<ToSend<'a>>) -> Result<(), SendError>;
    wait fn sync(&self) -> Result<(), SyncError>;
    soon fn sync_timeout(&self) = sync -> Result<(), SyncError>;
    pass fn unsettled(&self) -> usize;
    pass fn capacity(&self) -> u32;
    pass fn set_capacity(&self, capacity: u32) -> ();
    pass fn available(&self) -> u32;
    pass fn threshold(&self) -> f64;
    pass fn set_threshold(&self, threshold: f64) -> ();
    pass fn durable(&self) -> Option<bool>;
    pass fn set_durable(&self, durable: Option<bool>) -> ();
    pass fn queued(&self) -> u64;
    pass fn synced(&self) -> u64;
    pass fn acked(&self) -> u64;
    pass fn id(&self) -> u64;
    pass fn name(&self) -> &str;
    pass fn target(&self) -> &str;
    pass fn options(&self) -> &SenderOptions;
    #[doc(alias = "linked")]
    pass fn is_linked(&self) -> bool;
    #[doc(alias = "closed")]
    pass fn is_closed(&self) -> bool;
    pass fn address(&self) -> Option<String>;
    #[doc(alias = "set_async_exception_notify_handler")]
    pass fn on_error(&self, handler: impl Fn(&LinkError) + Send + Sync + 'static) -> ();
    pass fn check_error(&self) -> Result<(), LinkError>;
    pass fn check_closed(&self) -> Result<(), LinkError>;
    pass fn session(&self) -> Session;
    pass fn is_same(&self, other: &Sender => inner) -> bool;
    #[doc(alias = "get_error")]
    pass fn error(&self) -> Option<LinkError>;
    /// It waits for the answers of the broker as [`sync`](Self::sync) does.
    wait fn close(&self) -> Result<(), LinkError>;
    /// When the time is over, the link is closed without waiting.
    soon fn close_timeout(&self) = close -> Result<(), LinkError>;
}

impl Sender {
    /// As [`send`](Self::send), for at most `timeout`.
    ///
    /// # Errors
    /// As there. When the time is over, [`SendError::NotSent`] with [`LinkError::Timeout`] says that the message was not
    /// handed over, and [`SendError::InDoubt`] that it was.
    #[doc(alias = "timeout")]
    pub fn send_timeout<'a>(&self, message: impl Into<ToSend<'a>>, timeout: Duration) -> Result<(), SendError> {
        let (begin, runtime) = (Instant::now(), self.guard.runtime());
        let handed_over = runtime.run_for(self.inner.submit(message), timeout)?;
        let settlement = handed_over.unwrap_or(Err(SendError::NotSent(LinkError::Timeout(timeout))))?;
        match runtime.run_for(settlement, timeout.saturating_sub(begin.elapsed())) {
            Ok(Some(answer)) => crate::Sender::answered(answer),
            Ok(None) => Err(SendError::InDoubt(LinkError::Timeout(timeout))),
            Err(error) => Err(SendError::InDoubt(error.into())),
        }
    }
}

impl Wrap<&crate::Sender, ConnectionGuard> for Sender {
    fn wrap(inner: &crate::Sender, guard: &ConnectionGuard) -> Self {
        Self { inner: inner.clone(), guard: guard.clone() }
    }
}
