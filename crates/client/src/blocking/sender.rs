//! A link that sends.

use std::time::{Duration, Instant};

use super::{ConnectionGuard, Guard as _, MessageWriter, Session, Wrap, mirror};
use crate::types::{DeliveryTag, Fields, PeerError};
use crate::{EndpointStates, InDoubt, LinkError, Message, Node, Outcome, SendError, SyncError};

mirror! {
    /// A sender. Every method takes `&self`: threads can share one.
    ///
    /// Dropping it closes the link; what was handed over is on its way before the close.
    #[derive(Debug)]
    pub struct Sender of crate::Sender, under ConnectionGuard;

    wait fn send(&self, message: &Message) -> Result<Outcome, SendError>;
    wait fn send_tagged(&self, message: &Message, tag: DeliveryTag) -> Result<Outcome, SendError>;
    wait fn submit(&self, message: &Message) -> Result<(), SendError>;
    soon fn submit_timeout(&self, message: &Message) = submit -> Result<(), SendError>;
    wait fn submit_tracked(&self, message: &Message) -> Result<Settlement, SendError>;
    soon fn submit_tracked_timeout(&self, message: &Message) = submit_tracked -> Result<Settlement, SendError>;
    wait fn submit_tagged(&self, message: &Message, tag: DeliveryTag) -> Result<Settlement, SendError>;
    soon fn submit_tagged_timeout(&self, message: &Message, tag: DeliveryTag) = submit_tagged -> Result<Settlement, SendError>;
    pass fn try_submit(&self, message: &Message) -> Result<(), SendError>;
    pass fn sent(&self) -> u64;
    wait fn sync(&self) -> Result<(), SyncError>;
    soon fn sync_timeout(&self) = sync -> Result<(), SyncError>;
    pass fn begin(&self, front: &Message) -> MessageWriter<'_>;
    pass fn begin_sized(&self, front: &Message, length: u32) -> MessageWriter<'_>;
    pass fn unsettled(&self) -> usize;
    pass fn max_unsettled(&self) -> Option<usize>;
    pass fn set_max_unsettled(&self, max: Option<usize>) -> ();
    pass fn take_in_doubt(&self) -> Vec<InDoubt>;
    pass fn credit(&self) -> u32;
    pass fn set_available(&self, messages: u32) -> ();
    pass fn name(&self) -> &str;
    pass fn remote(&self) -> Option<Node>;
    pass fn remote_properties(&self) -> Option<Fields>;
    pass fn address(&self) -> Option<String>;
    pass fn source(&self) -> Option<Node>;
    pass fn target(&self) -> Option<Node>;
    pass fn remote_source(&self) -> Option<Node>;
    pass fn remote_target(&self) -> Option<Node>;
    pass fn remote_offered_capabilities(&self) -> Vec<String>;
    pass fn remote_desired_capabilities(&self) -> Vec<String>;
    pass fn state(&self) -> EndpointStates;
    pass fn error(&self) -> Option<LinkError>;
    pass fn session(&self) -> Session;
    pass fn when_over(&self, told: impl FnOnce(LinkError) + Send + 'static) -> ();
    pass fn shut(&self) -> ();
    wait fn close_shared(&self) -> Result<(), LinkError>;
    pass fn drained(&self) -> ();
    pass fn is_draining(&self) -> bool;
    pass fn detach(&self) -> ();
    pass fn is_suspended(&self) -> bool;
    pass fn abort(&self, error: PeerError) -> ();
    wait fn close(self) -> Result<(), LinkError>;
}

impl Sender {
    /// As [`send`](Self::send), for at most `timeout`.
    ///
    /// # Errors
    /// As there. When the time is over, [`SendError::NotSent`] with [`LinkError::Timeout`] says that the message was not
    /// handed over, and [`SendError::InDoubt`] that it was.
    pub fn send_timeout(&self, message: &Message, timeout: Duration) -> Result<Outcome, SendError> {
        let begin = Instant::now();
        let settlement = self.submit_tracked_timeout(message, timeout)?;
        settlement.wait_until_over(begin, timeout)
    }

    /// As [`send_tagged`](Self::send_tagged), for at most `timeout`.
    ///
    /// # Errors
    /// As there; when the time is over, those of [`send_timeout`](Self::send_timeout).
    pub fn send_tagged_timeout(
        &self,
        message: &Message,
        tag: DeliveryTag,
        timeout: Duration,
    ) -> Result<Outcome, SendError> {
        let begin = Instant::now();
        let settlement = self.submit_tagged_timeout(message, tag, timeout)?;
        settlement.wait_until_over(begin, timeout)
    }

    /// As [`Sender::closed`](crate::Sender::closed): blocks until the link is over, and tells why. Inside an async runtime
    /// that is [`LinkError::Blocking`].
    #[must_use]
    pub fn closed(&self) -> LinkError {
        self.guard.runtime().run(self.inner.closed()).unwrap_or_else(LinkError::Blocking)
    }

    /// As [`closed`](Self::closed), for at most `timeout`: `None` when the link is not over by then.
    #[must_use]
    pub fn closed_timeout(&self, timeout: Duration) -> Option<LinkError> {
        let closed = self.guard.runtime().run_for(self.inner.closed(), timeout);
        closed.unwrap_or_else(|error| Some(LinkError::Blocking(error)))
    }
}

/// The outcome of one message, to come.
///
/// Dropping it loses the outcome and nothing else.
#[derive(Debug)]
#[must_use = "a settlement that is not waited for tells nothing"]
pub struct Settlement {
    inner: crate::Settlement,
    /// The outcome, once it was told.
    told: Option<Result<Outcome, SendError>>,
    guard: ConnectionGuard,
}

impl Settlement {
    /// Blocks until the outcome is there.
    ///
    /// # Errors
    /// [`SendError::InDoubt`] when the link ends first; it is also what a call inside an async runtime gives, since the
    /// message is on its way.
    pub fn wait(mut self) -> Result<Outcome, SendError> {
        match self.told.take() {
            Some(told) => told,
            None => self.guard.runtime().run(&mut self.inner).map_err(in_doubt)?,
        }
    }

    /// As [`wait`](Self::wait), for at most `timeout`: `None` when there is no outcome by then. Once there is one, every
    /// call gives it.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<Outcome>, SendError> {
        if self.told.is_none() {
            self.told = self.guard.runtime().run_for(&mut self.inner, timeout).map_err(in_doubt)?;
        }
        self.told.clone().transpose()
    }

    /// As [`Settlement::is_settled`](crate::Settlement::is_settled): then [`wait`](Self::wait) takes no time.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.told.is_some() || self.inner.is_settled()
    }

    /// As [`Settlement::remote_state`](crate::Settlement::remote_state), also once it was waited for.
    #[must_use]
    pub fn remote_state(&self) -> Option<Outcome> {
        match &self.told {
            Some(told) => told.clone().ok(),
            None => self.inner.remote_state(),
        }
    }

    /// The outcome of a message that was to be sent within a time, of which there is what is left since `begin`.
    fn wait_until_over(mut self, begin: Instant, timeout: Duration) -> Result<Outcome, SendError> {
        let outcome = self.wait_timeout(timeout.saturating_sub(begin.elapsed()))?;
        outcome.ok_or(SendError::InDoubt(LinkError::Timeout(timeout)))
    }
}

fn in_doubt(error: super::BlockingError) -> SendError {
    SendError::InDoubt(LinkError::Blocking(error))
}

impl Wrap<crate::Settlement, ConnectionGuard> for Settlement {
    fn wrap(inner: crate::Settlement, guard: &ConnectionGuard) -> Self {
        Self { inner, told: None, guard: guard.clone() }
    }
}
