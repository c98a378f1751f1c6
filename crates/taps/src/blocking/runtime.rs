//! The thread that drives connections while their owners block or do something else.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::inside::inside_runtime;
use super::park;
use crate::BlockingError;

/// A handle of the thread that drives connections. There is one thread for all handles; with the last of them it ends.
///
/// Whoever drops the last waits for what connections that are over still have to say, which is little: ten seconds at
/// most, for tasks that never end. A task of an async runtime, which must not block, does not wait.
#[derive(Debug, Clone)]
pub struct Runtime {
    thread: Arc<Thread>,
}

#[derive(Debug)]
struct Thread {
    handle: Handle,
    /// Dropped to stop the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The one that runs, while there is a handle of it.
static RUNNING: Mutex<Weak<Thread>> = Mutex::new(Weak::new());

/// How long tasks that nobody holds any more, such as connections that say their last words, keep the thread.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How often the thread looks whether they are done.
const LOOK: Duration = Duration::from_millis(1);

impl Runtime {
    /// The runtime that the process shares; starts its thread where it does not run.
    ///
    /// # Errors
    /// When the system gives no thread, or this is called inside an async runtime.
    pub fn shared() -> Result<Self, BlockingError> {
        if inside_runtime() {
            return Err(BlockingError::InsideRuntime);
        }
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = running.upgrade() {
            return Ok(Self { thread });
        }
        let thread = Arc::new(Thread::start().map_err(|error| BlockingError::NoRuntime(error.kind()))?);
        *running = Arc::downgrade(&thread);
        Ok(Self { thread })
    }

    /// Waits until the future is done. It is polled by this thread; what it spawns, and its sockets and timers, are
    /// driven by the runtime's. One that wants a runtime already where it is made, as timers do, is made in an `async`
    /// block.
    ///
    /// # Errors
    /// [`BlockingError::InsideRuntime`]; the future is not polled then.
    #[doc(alias = "start")]
    pub fn run<F: Future>(&self, future: F) -> Result<F::Output, BlockingError> {
        self.run_until(future, None).map(|result| result.expect("without a deadline it ends with the future"))
    }

    /// As [`run`](Self::run), for at most `timeout`: `None` when the future was not done by then, and was dropped. It is
    /// polled once in any case.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_for<F: Future>(&self, future: F, timeout: Duration) -> Result<Option<F::Output>, BlockingError> {
        // A time beyond the clock's range is no deadline.
        self.run_until(future, Instant::now().checked_add(timeout))
    }

    fn run_until<F: Future>(&self, future: F, deadline: Option<Instant>) -> Result<Option<F::Output>, BlockingError> {
        if inside_runtime() {
            return Err(BlockingError::InsideRuntime);
        }
        let _entered = self.thread.handle.enter();
        Ok(park::wait(future, deadline))
    }
}

impl Thread {
    fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let drive = move || {
            runtime.block_on(async {
                // Nothing is ever sent: the other end goes.
                let _ = stopped.await;
                let begin = Instant::now();
                while Handle::current().metrics().num_alive_tasks() > 0 && begin.elapsed() < LAST_WORDS {
                    tokio::time::sleep(LOOK).await;
                }
            });
            // Whoever still looks up a name is not waited for.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("postroad".to_owned()).spawn(drive)?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Thread {
    /// Waits for the thread where this one may wait.
    fn drop(&mut self) {
        self.stop = None;
        let Some(thread) = self.thread.take() else { return };
        if thread.thread().id() != thread::current().id() && !inside_runtime() {
            // A panic has been told by the thread that had it.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn handles_share_a_thread_that_ends_with_the_last() {
        // Other tests of this process may hold a handle too: then the thread goes on, and nothing is shown by it.
        let done = Arc::new(AtomicBool::new(false));
        let runtime = Runtime::shared().unwrap();
        let other = Runtime::shared().unwrap();
        assert!(Arc::ptr_eq(&runtime.thread, &other.thread));
        let last_words = Arc::clone(&done);
        let name = runtime.run(async move {
            let task = tokio::spawn(async { thread::current().name().map(str::to_owned) });
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                last_words.store(true, Ordering::Release);
            });
            task.await.unwrap()
        });
        assert_eq!(name.unwrap().as_deref(), Some("postroad"));
        drop(runtime);
        let thread = Arc::downgrade(&other.thread);
        drop(other);
        if thread.strong_count() == 0 {
            assert!(done.load(Ordering::Acquire), "what was spawned had time to end");
        }
    }

    #[test]
    fn time_runs_while_threads_wait() {
        let runtime = Runtime::shared().unwrap();
        let waits = |number: u64| {
            let runtime = runtime.clone();
            move || runtime.run(async move { tokio::time::sleep(Duration::from_millis(number)).await }).unwrap()
        };
        let threads: Vec<_> = (0..20).map(|number| thread::spawn(waits(number))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let never = runtime.run_for(std::future::pending::<()>(), Duration::from_millis(10));
        assert_eq!(never, Ok(None));
        assert_eq!(runtime.run_for(async { 7 }, Duration::ZERO), Ok(Some(7)));
        assert_eq!(runtime.run_for(async { 7 }, Duration::MAX), Ok(Some(7)));
    }

    #[test]
    fn inside_another_runtime_calls_are_refused_and_handles_can_be_dropped() {
        let runtime = Runtime::shared().unwrap();
        let other = Builder::new_current_thread().build().unwrap();
        other.block_on(async {
            assert_eq!(Runtime::shared().unwrap_err(), BlockingError::InsideRuntime);
            assert_eq!(runtime.run(async {}), Err(BlockingError::InsideRuntime));
            assert_eq!(runtime.run_for(async {}, LOOK), Err(BlockingError::InsideRuntime));
            drop(runtime);
        });
        let may_block = other.spawn_blocking(|| Runtime::shared().and_then(|runtime| runtime.run(async { 8 })));
        assert_eq!(other.block_on(may_block).unwrap(), Ok(8));
    }
}
