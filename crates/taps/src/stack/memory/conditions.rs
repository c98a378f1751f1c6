//! What the way to a name is like.

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::faults::MemoryFaults;
use crate::error::AttemptError;

/// The names whose ways are not plain.
static NETWORKS: LazyLock<Mutex<HashMap<Arc<str>, Arc<Conditions>>>> = LazyLock::new(Mutex::default);

/// The way to one name inside this process: what a test makes of it, and what has passed on it.
///
/// It says what connections to the name go through from now on; those that are there keep what they were made with.
/// Names belong to the whole process, so two tests that run side by side use two names. Of two networks for one name,
/// the later counts; dropping it makes the way plain again.
///
/// ```
/// use std::time::Duration;
/// use postroad_taps::{MemoryFaults, MemoryNetwork};
///
/// let network = MemoryNetwork::new("far away");
/// network.delay(Duration::from_millis(300));
/// network.to_listener(MemoryFaults::new().write_sizes([1]));
/// assert_eq!(network.attempts(), 0);
/// ```
#[derive(Debug)]
pub struct MemoryNetwork {
    name: Arc<str>,
    conditions: Arc<Conditions>,
}

/// What has passed in one direction, over all connections to a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryTraffic {
    /// Writes that took something; each would have been a call of the system.
    pub writes: u64,
    /// Bytes that were written, of messages too.
    pub bytes: u64,
    /// Messages that were sent, lost ones too.
    pub messages: u64,
}

#[derive(Debug, Default)]
pub(super) struct Conditions {
    plan: Mutex<Plan>,
    attempts: AtomicU64,
    /// Of the initiator, and of the listener.
    traffic: [Counters; 2],
}

#[derive(Debug, Default)]
struct Plan {
    delay: Duration,
    refused: u64,
    black_hole: bool,
    faults: [MemoryFaults; 2],
}

#[derive(Debug, Default)]
struct Counters {
    writes: AtomicU64,
    bytes: AtomicU64,
    messages: AtomicU64,
}

impl MemoryNetwork {
    /// A plain way to the name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let (name, conditions) = (name.into(), Arc::<Conditions>::default());
        networks().insert(Arc::clone(&name), Arc::clone(&conditions));
        Self { name, conditions }
    }

    /// An attempt to connect takes so long, whatever becomes of it.
    pub fn delay(&self, delay: Duration) {
        self.conditions.plan().delay = delay;
    }

    /// The next attempts, so many of them, are refused; `u64::MAX` is all.
    pub fn refuse(&self, attempts: u64) {
        self.conditions.plan().refused = attempts;
    }

    /// Whether attempts to connect get no answer, not even a refusal.
    pub fn black_hole(&self, on: bool) {
        self.conditions.plan().black_hole = on;
    }

    /// What happens to what initiators send.
    pub fn to_listener(&self, faults: MemoryFaults) {
        self.conditions.plan().faults[0] = faults;
    }

    /// What happens to what the listener's side sends.
    pub fn to_initiator(&self, faults: MemoryFaults) {
        self.conditions.plan().faults[1] = faults;
    }

    /// How often somebody has begun to connect.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.conditions.attempts.load(Ordering::Relaxed)
    }

    /// What initiators have sent.
    #[must_use]
    pub fn sent_to_listener(&self) -> MemoryTraffic {
        self.conditions.traffic[0].read()
    }

    /// What the listener's side has sent.
    #[must_use]
    pub fn sent_to_initiator(&self) -> MemoryTraffic {
        self.conditions.traffic[1].read()
    }
}

impl Drop for MemoryNetwork {
    fn drop(&mut self) {
        let mut networks = networks();
        if networks.get(&self.name).is_some_and(|known| Arc::ptr_eq(known, &self.conditions)) {
            networks.remove(&self.name);
        }
    }
}

fn networks() -> MutexGuard<'static, HashMap<Arc<str>, Arc<Conditions>>> {
    // Nothing that can panic happens under the lock.
    NETWORKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the way to a name is like, unless it is plain.
pub(super) fn conditions_at(name: &Arc<str>) -> Option<Arc<Conditions>> {
    networks().get(name).cloned()
}

impl Conditions {
    /// Goes the way; the listener may still be missing at its end.
    pub(super) async fn admit(&self) -> Result<(), AttemptError> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let (delay, refused, black_hole) = {
            let mut plan = self.plan();
            let refused = plan.refused > 0;
            if refused && plan.refused != u64::MAX {
                plan.refused -= 1;
            }
            (plan.delay, refused, plan.black_hole)
        };
        if black_hole {
            pending::<()>().await;
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if refused { Err(AttemptError::Refused) } else { Ok(()) }
    }

    /// The faults of what the initiator sends, and of what the listener sends.
    pub(super) fn faults(&self) -> [MemoryFaults; 2] {
        self.plan().faults.clone()
    }

    /// Notes what the one side has written.
    pub(super) fn count(&self, side: usize, bytes: usize, message: bool) {
        let counters = &self.traffic[side];
        counters.writes.fetch_add(1, Ordering::Relaxed);
        counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        counters.messages.fetch_add(u64::from(message), Ordering::Relaxed);
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    fn read(&self) -> MemoryTraffic {
        MemoryTraffic {
            writes: self.writes.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
        }
    }
}
