//! A program of which nothing stays behind, and the CPU time of all that it consists of.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::peers::root;

/// A program in a session and a folder of its own. Both go when this is dropped, or this process ends in another way.
#[derive(Debug)]
pub(super) struct Guarded {
    guard: Child,
    /// The process that leads the session of the program.
    leader: u32,
    dir: PathBuf,
}

impl Guarded {
    /// Starts the program that `complete` appends to a command, which it may give an environment; its folder is there.
    pub(super) fn start(name: &str, complete: impl FnOnce(&mut Command, &Path) -> io::Result<()>) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix(&format!("postroad-bench-{name}-")).tempdir()?;
        // The guard of the interop suites: it kills the session when its input ends, however that comes, and removes
        // the folder.
        let mut command = Command::new(root().join("tests/peers/guard.sh"));
        command.arg(dir.path()).current_dir(dir.path());
        complete(&mut command, dir.path())?;
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C on the terminal must reach us and not the guard, which then cleans up.
        let guard = command.process_group(0).spawn()?;
        let mut guarded = Self { guard, leader: 0, dir: dir.keep() };
        let started = Instant::now();
        while guarded.leader == 0 {
            let leads = |process: &Process| process.parent == guarded.guard.id() && process.session == process.id;
            guarded.leader = processes()?.find(leads).map_or(0, |process| process.id);
            if guarded.has_ended() || started.elapsed() > Duration::from_secs(5) {
                return Err(io::Error::other(guarded.log()));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(guarded)
    }

    /// What the program has written so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Whether the program that was started is gone.
    pub(super) fn has_ended(&mut self) -> bool {
        self.leader != 0 && Process::of(self.leader).is_none_or(|process| process.over)
    }

    /// The CPU time so far, user and system, of the threads of all processes of the session. What a process or thread
    /// that has ended used is not in it.
    pub(super) fn cpu_time(&self) -> io::Result<Duration> {
        let mut nanos = 0;
        for process in processes()?.filter(|process| process.session == self.leader) {
            let Ok(threads) = fs::read_dir(format!("/proc/{}/task", process.id)) else { continue };
            for thread in threads.flatten() {
                // A thread may end while it is looked at.
                let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
                nanos += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
            }
        }
        Ok(Duration::from_nanos(nanos))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // The guard ends by itself once it has killed and removed what it guards.
        let _ = self.guard.wait();
    }
}

/// A process, as `/proc/ID/stat` tells of it.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    id: u32,
    parent: u32,
    session: u32,
    /// Whether it has ended and its parent has not asked how.
    over: bool,
}

/// All processes of this machine.
fn processes() -> io::Result<impl Iterator<Item = Process>> {
    let ids = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Ok(ids.filter_map(Process::of))
}

impl Process {
    fn of(id: u32) -> Option<Self> {
        Self::parse(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    fn parse(id: u32, stat: &str) -> Option<Self> {
        // The name stands in brackets and may hold anything.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let over = fields.next()? == "Z";
        let (parent, session) = (fields.next()?.parse().ok()?, fields.nth(1)?.parse().ok()?);
        Some(Self { id, parent, session, over })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_may_hold_anything() {
        let stat = "7 (a) S 1 (b) S 5 6 4 0 -1 4194560 1 2 3";
        assert_eq!(Process::parse(7, stat), Some(Process { id: 7, parent: 5, session: 4, over: false }));
    }

    #[test]
    fn the_cpu_time_of_a_program_counts_its_children_and_nothing_stays() {
        let script = "while :; do :; done & wait";
        let guarded = Guarded::start("test", |command, _| {
            command.args(["sh", "-c", script]);
            Ok(())
        });
        let guarded = guarded.expect("a shell starts");
        let started = Instant::now();
        while guarded.cpu_time().expect("its processes are there") < Duration::from_millis(50) {
            assert!(started.elapsed() < Duration::from_secs(20), "{}", guarded.log());
            thread::sleep(Duration::from_millis(5));
        }
        let (leader, dir) = (guarded.leader, guarded.dir.clone());
        drop(guarded);
        assert!(!dir.exists());
        // What was killed may wait to be asked how it ended.
        let mut left =
            processes().expect("there is /proc").filter(|process| process.session == leader && !process.over);
        assert_eq!(left.next(), None);
    }
}
