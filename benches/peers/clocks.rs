//! What a Rust peer of the side-by-side runs measures of itself. Each of the peers' packages takes this file as a module.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The clocks of a run, started at the first message.
pub struct Clocks {
    wall: Instant,
    cpu: Duration,
}

impl Clocks {
    pub fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_time() }
    }

    /// Prints the line of a peer that is done.
    pub fn report(&self, implementation: &str, role: &str, count: u64) {
        let (secs, cpu) = (self.wall.elapsed().as_secs_f64(), (cpu_time() - self.cpu).as_secs_f64());
        println!(r#"{{"impl":"{implementation}","role":"{role}","n":{count},"secs":{secs:.6},"cpu":{cpu:.6}}}"#);
    }
}

/// The CPU time of this process so far, user and system, of all its threads.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
