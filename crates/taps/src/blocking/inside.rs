//! Whether this thread runs a task, and so must not block.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;
use tokio::task::coop;

/// Whether a task of a tokio runtime calls.
///
/// A thread can know a runtime and run no task of it: the threads of `spawn_blocking` do, and one that has entered a
/// runtime. What only tasks have is a budget of operations before they must give way.
pub(crate) fn inside_runtime() -> bool {
    Handle::try_current().is_ok() && has_budget(MOST, &mut Context::from_waker(Waker::noop()))
}

/// More than any budget holds.
const MOST: u16 = 256;

/// Spends the budget, as far as there is one, to see whether it comes to an end; every step is given back on the way
/// out, as none made progress.
fn has_budget(left: u16, cx: &mut Context<'_>) -> bool {
    if !coop::has_budget_remaining() {
        return true;
    }
    let mut found = false;
    if left > 0 {
        let spend = poll_fn(|cx| {
            found = has_budget(left - 1, cx);
            Poll::<()>::Pending
        });
        let _ = pin!(coop::cooperative(spend)).poll(cx);
    }
    found
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn tasks_are_told_from_threads_that_may_block() {
        assert!(!inside_runtime());
        for runtime in [Builder::new_current_thread().build(), Builder::new_multi_thread().worker_threads(1).build()] {
            let runtime = runtime.unwrap();
            assert!(runtime.block_on(async { inside_runtime() }));
            assert!(runtime.block_on(runtime.spawn(async { inside_runtime() })).unwrap());
            assert!(!runtime.block_on(runtime.spawn_blocking(inside_runtime)).unwrap());
            let _entered = runtime.enter();
            assert!(!inside_runtime());
        }
    }

    #[test]
    fn asking_costs_a_task_nothing_of_its_budget() {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for _ in 0..1000 {
                assert!(inside_runtime());
            }
            assert!(coop::has_budget_remaining());
            let once = pin!(coop::cooperative(async {}));
            assert!(once.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        });
    }
}
