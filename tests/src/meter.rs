//! What a process takes of the machine: memory and descriptors.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// The system's allocator, counting: what a program that is measured has as its global one.
pub type Counting = StatsAlloc<std::alloc::System>;

/// The one allocator that [`live_bytes`] asks.
pub static COUNTING: &Counting = &INSTRUMENTED_SYSTEM;

/// Bytes that are allocated now, in a program whose global allocator is [`COUNTING`].
#[must_use]
pub fn live_bytes() -> usize {
    let stats = COUNTING.stats();
    stats.bytes_allocated.wrapping_sub(stats.bytes_deallocated)
}

/// Bytes of this process that are in memory; `None` where the system does not tell.
#[must_use]
pub fn resident_bytes() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Raises the number of descriptors that this process may have as far as it may, and gives that number.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(_) => limit.current.unwrap_or(u64::MAX),
    }
}
