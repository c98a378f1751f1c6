//! A connection that is being established, driven by whoever waits for anything on it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::Opened;
use crate::error::EstablishmentError;
use crate::transport::BoxFuture;

/// The establishment, and everybody who waits for it.
pub(super) struct Opening {
    future: BoxFuture<'static, Result<Opened, EstablishmentError>>,
    crowd: Arc<Crowd>,
}

impl Opening {
    pub(super) fn new(future: BoxFuture<'static, Result<Opened, EstablishmentError>>) -> Self {
        Self { future, crowd: Arc::default() }
    }

    /// Goes on; everybody who has polled is woken when more can be done.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Opened, EstablishmentError>> {
        self.crowd.join(cx.waker());
        let waker = Waker::from(Arc::clone(&self.crowd));
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

/// Wakers that are all woken at once: the one that polled last may be gone by then.
#[derive(Default)]
struct Crowd(Mutex<Vec<Waker>>);

impl Crowd {
    fn join(&self, waker: &Waker) {
        let mut wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }
}

impl Wake for Crowd {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wakers = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_iter().for_each(Waker::wake);
    }
}
