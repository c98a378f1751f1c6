//! A connection that is being established, driven by whoever waits for anything on it.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};

use super::Opened;
use crate::crowd::Crowd;
use crate::error::EstablishmentError;
use crate::transport::BoxFuture;

/// The establishment, and everybody who waits for it.
pub(super) struct Opening {
    future: BoxFuture<'static, Result<Box<Opened>, EstablishmentError>>,
    crowd: Arc<Crowd>,
}

impl Opening {
    pub(super) fn new(future: BoxFuture<'static, Result<Box<Opened>, EstablishmentError>>) -> Self {
        Self { future, crowd: Arc::default() }
    }

    /// Goes on; everybody who has polled is woken when more can be done.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Box<Opened>, EstablishmentError>> {
        let waker = self.crowd.join(cx.waker());
        let polled = self.future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            self.crowd.wake_by_ref();
        }
        polled
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").finish_non_exhaustive()
    }
}
