//! Several who wait for something that keeps one waker only.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Wakers that are woken all at once: the one that came last may have stopped to wait by then.
#[derive(Debug, Default)]
pub(crate) struct Crowd(Mutex<Vec<Waker>>);

impl Crowd {
    /// Joins until everybody is woken, and gives the waker that does it.
    pub(crate) fn join(self: &Arc<Self>, waker: &Waker) -> Waker {
        let mut wakers = self.wakers();
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
        Waker::from(Arc::clone(self))
    }

    fn wakers(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Crowd {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A waker may run whatever it likes, and join again.
        let wakers = std::mem::take(&mut *self.wakers());
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn everybody_is_woken_once_and_forgotten() {
        let (crowd, counters) = (Arc::<Crowd>::default(), [(); 3].map(|()| Arc::<Counter>::default()));
        let counts = || counters.each_ref().map(|counter| counter.0.load(Ordering::Relaxed));
        let wakers = counters.each_ref().map(|counter| Waker::from(Arc::clone(counter)));
        crowd.join(&wakers[0]);
        crowd.join(&wakers[1]);
        let everybody = crowd.join(&wakers[0]);
        assert_eq!(counts(), [0, 0, 0]);
        everybody.wake_by_ref();
        assert_eq!(counts(), [1, 1, 0]);
        everybody.wake_by_ref();
        assert_eq!(counts(), [1, 1, 0]);
        // The same waker is there for those who come later.
        crowd.join(&wakers[2]);
        everybody.wake();
        assert_eq!(counts(), [1, 1, 1]);
    }
}
