//! The loop of a thread: what is under way, and the handlers that it calls.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use slab::Slab;

type Task = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    static LOOP: Loop = Loop::default();
}

/// What a thread has to do.
#[derive(Default)]
struct Loop {
    /// What has begun since the last round.
    new: RefCell<Vec<Task>>,
    running: Cell<bool>,
    stopping: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Runs the loop of this thread inside the caller's runtime, until nothing is left to do: every connection is closed
/// and every listener stopped. At once when the loop runs already.
///
/// # Cancel safety
/// Dropping the future ends everything as [`stop`] does.
pub async fn run() {
    let begun = LOOP.with(|this| !this.running.replace(true));
    if begun {
        let mut rounds = Rounds::default();
        poll_fn(|cx| rounds.poll(cx)).await;
    }
}

/// Ends the loop of this thread, if it runs: nothing that is under way is finished, and nothing more is told.
#[doc(alias = "Connection.stop")]
pub fn stop() {
    let _ = LOOP.try_with(|this| {
        this.stopping.set(this.running.get());
        this.wake();
    });
}

/// Gives the loop of this thread something to do; it begins in the order of the calls.
pub(super) fn spawn(task: impl Future<Output = ()> + 'static) {
    // A thread that ends does nothing any more.
    let _ = LOOP.try_with(|this| {
        this.new.borrow_mut().push(Box::pin(task));
        this.wake();
    });
}

impl Loop {
    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

/// The tasks of a loop that runs. Each round polls those that were ready when it began, so that sockets and timers get
/// their turn between two rounds.
#[derive(Default)]
struct Rounds {
    tasks: Slab<(Task, Arc<TaskWaker>)>,
    ready: Arc<Ready>,
}

impl Rounds {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        *self.ready.waker() = Some(cx.waker().clone());
        LOOP.with(|this| *this.waker.borrow_mut() = Some(cx.waker().clone()));
        // Whoever stops the loop need not be one of its own tasks.
        if LOOP.with(|this| this.stopping.get()) {
            return Poll::Ready(());
        }
        self.adopt();
        let round = std::mem::take(&mut *self.ready.queue());
        for number in round {
            let Some((task, waker)) = self.tasks.get_mut(number) else { continue };
            waker.queued.store(false, Ordering::Release);
            let waker = Waker::from(Arc::clone(waker));
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                drop(self.tasks.remove(number));
            }
            if LOOP.with(|this| this.stopping.get()) {
                return Poll::Ready(());
            }
        }
        self.adopt();
        if self.tasks.is_empty() {
            return Poll::Ready(());
        }
        if !self.ready.queue().is_empty() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn adopt(&mut self) {
        for task in LOOP.with(|this| std::mem::take(&mut *this.new.borrow_mut())) {
            let entry = self.tasks.vacant_entry();
            let waker =
                TaskWaker { number: entry.key(), queued: AtomicBool::new(true), ready: Arc::clone(&self.ready) };
            self.ready.queue().push_back(entry.key());
            entry.insert((task, Arc::new(waker)));
        }
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        self.tasks.clear();
        // What is dropped may have last wishes, which are dropped as well.
        while let Ok(new) = LOOP.try_with(|this| std::mem::take(&mut *this.new.borrow_mut()))
            && !new.is_empty()
        {}
        let _ = LOOP.try_with(|this| {
            this.running.set(false);
            this.stopping.set(false);
            this.waker.take();
        });
    }
}

/// The tasks that can go on. Other threads wake too.
#[derive(Default)]
struct Ready {
    queue: Mutex<VecDeque<usize>>,
    waker: Mutex<Option<Waker>>,
}

impl Ready {
    fn queue(&self) -> MutexGuard<'_, VecDeque<usize>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct TaskWaker {
    number: usize,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.queue().push_back(self.number);
            let waker = self.ready.waker().clone();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn tasks_begin_in_order_and_may_begin_others() {
        let order = Rc::new(RefCell::new(Vec::new()));
        for number in 0..3 {
            let order = Rc::clone(&order);
            spawn(async move {
                order.borrow_mut().push(number);
                let later = Rc::clone(&order);
                spawn(async move {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    later.borrow_mut().push(10);
                });
            });
        }
        run().await;
        assert_eq!(*order.borrow(), [0, 1, 2, 10, 10, 10]);
        run().await;
    }

    #[tokio::test]
    async fn stop_ends_what_never_would() {
        spawn(std::future::pending());
        spawn(async { stop() });
        run().await;
        assert!(LOOP.with(|this| this.new.borrow().is_empty() && !this.running.get()));
    }

    #[tokio::test]
    async fn another_task_of_the_runtime_may_stop_it() {
        spawn(std::future::pending());
        let stopping = async {
            tokio::task::yield_now().await;
            stop();
            // It is stopped, and not begun anew.
            run().await;
        };
        let both = async { tokio::join!(run(), stopping) };
        tokio::time::timeout(Duration::from_secs(10), both).await.expect("it ends");
    }

    #[tokio::test]
    async fn other_tasks_of_the_runtime_get_their_turn() {
        let done = Rc::new(Cell::new(false));
        let told = Rc::clone(&done);
        spawn(async move {
            while !told.get() {
                tokio::task::yield_now().await;
            }
        });
        tokio::join!(run(), async { done.set(true) });
    }
}
