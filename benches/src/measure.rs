//! What a bench peer measures of itself, and the line in which it says so.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The clocks of a run, started at the first message.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    wall: Instant,
    cpu: Duration,
}

/// The line that every bench peer prints at the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Whose peer.
    #[serde(rename = "impl")]
    pub implementation: String,
    /// `send` or `recv`.
    pub role: String,
    /// Messages settled.
    pub n: u64,
    /// Seconds from the first message to the last settlement.
    pub secs: f64,
    /// Seconds of CPU, user and system, of all threads of the process, in the same time.
    pub cpu: f64,
}

impl Clocks {
    /// Starts the clocks.
    #[must_use]
    pub fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_time() }
    }

    /// The report of now.
    #[must_use]
    pub fn report(&self, role: &str, n: u64) -> Report {
        Report {
            implementation: "postroad".into(),
            role: role.into(),
            n,
            secs: self.wall.elapsed().as_secs_f64(),
            cpu: cpu_time().saturating_sub(self.cpu).as_secs_f64(),
        }
    }
}

/// The CPU time of this process so far, user and system, of all its threads.
#[must_use]
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}
