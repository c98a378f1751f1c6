//! What this process has used of the processors.

use std::time::Duration;

/// User and system time of all threads so far, where the system tells.
#[cfg(unix)]
pub(super) fn time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
}

/// User and system time of all threads so far, where the system tells.
#[cfg(not(unix))]
pub(super) fn time() -> Option<Duration> {
    None
}
