//! A thread that waits for a future.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

/// Waits until the future is done, or until the deadline: `None` then.
pub(super) fn wait<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    // Taken away for the time, so that a wait inside a wait has a parker of its own.
    let parker = PARKER.take().unwrap_or_default();
    let result = wait_at(&parker, future, deadline);
    PARKER.set(Some(parker));
    result
}

thread_local! {
    /// Kept for the next wait of this thread.
    static PARKER: Cell<Option<Arc<Parker>>> = const { Cell::new(None) };
}

/// Where a thread waits. (Not `std::thread::park`: its token may be the program's own.)
#[derive(Debug, Default)]
struct Parker {
    woken: Mutex<bool>,
    wakes: Condvar,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wakes.notify_one();
    }
}

impl Parker {
    /// Waits to be woken; `false` when the deadline came first. What woke it before counts.
    fn park(&self, deadline: Option<Instant>) -> bool {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*woken {
            woken = match deadline {
                None => self.wakes.wait(woken).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
                    else {
                        return false;
                    };
                    self.wakes.wait_timeout(woken, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *woken = false;
        true
    }
}

fn wait_at<F: Future>(parker: &Arc<Parker>, future: F, deadline: Option<Instant>) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::clone(parker));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut cx) {
            return Some(result);
        }
        if !parker.park(deadline) {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_ready_needs_no_waker_and_what_is_not_waits_for_one() {
        assert_eq!(wait(async { 1 }, None), Some(1));
        let (told, heard) = tokio::sync::oneshot::channel();
        let teller = thread::spawn(move || told.send(2));
        assert_eq!(wait(heard, None), Some(Ok(2)));
        teller.join().unwrap().unwrap();
    }

    #[test]
    fn a_deadline_ends_a_wait_that_nothing_else_ends() {
        let begin = Instant::now();
        assert_eq!(wait(pending::<()>(), Some(begin + Duration::from_millis(30))), None);
        assert!(begin.elapsed() >= Duration::from_millis(30));
        // One that has passed still takes what is there.
        assert_eq!(wait(async { 3 }, Some(begin)), Some(3));
        assert_eq!(wait(pending::<()>(), Some(begin)), None);
    }

    #[test]
    fn a_wait_inside_a_wait_takes_no_wake_of_the_outer_one() {
        let mut polls = 0;
        let outer = poll_fn(|cx| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(());
            }
            // Before the inner wait: it must not swallow this.
            cx.waker().wake_by_ref();
            assert_eq!(wait(pending::<()>(), Some(Instant::now())), None);
            Poll::Pending
        });
        assert_eq!(wait(outer, Some(Instant::now() + Duration::from_secs(10))), Some(()));
    }
}
