//! Child processes that talk in JSON lines, bounded in time and killed by id.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::relay::Relay;

/// One line of a peer's output: an object with `"event"`.
pub type Event = serde_json::Value;

/// A child process whose standard output is a line of JSON for each event.
///
/// The process is killed when the guard is dropped. Its standard input stays open as long as the guard
/// lives, so that a peer that watches it ends with us even when no destructor runs.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    put_back: VecDeque<Event>,
    stderr: Arc<Mutex<String>>,
    stderr_reader: thread::JoinHandle<()>,
    /// By which it reaches the other side, if by one.
    _relay: Option<Relay>,
}

/// How a child process has disappointed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The program could not be started.
    #[error("{name} did not start: {reason}")]
    Start {
        /// The peer's name.
        name: String,
        /// What the system said.
        reason: String,
    },
    /// No event came in time.
    #[error("{name}: no {event} within {within:?}; seen instead: {seen:?}; stderr: {stderr}")]
    Timeout {
        /// The peer's name.
        name: String,
        /// What was waited for.
        event: String,
        /// How long.
        within: Duration,
        /// The names of the events that came instead.
        seen: Vec<String>,
        /// What the process wrote on stderr.
        stderr: String,
    },
    /// The process ended before the event.
    #[error("{name} ended without {event}; seen instead: {seen:?}; stderr: {stderr}")]
    Ended {
        /// The peer's name.
        name: String,
        /// What was waited for.
        event: String,
        /// The names of the events that came instead.
        seen: Vec<String>,
        /// What the process wrote on stderr.
        stderr: String,
    },
    /// A line of output is not JSON.
    #[error("{name}: a line that is not JSON: {line}")]
    NotJson {
        /// The peer's name.
        name: String,
        /// The line.
        line: String,
    },
}

/// What a process left behind.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// The events that nobody had taken.
    pub events: Vec<Event>,
    /// What it wrote on stderr.
    pub stderr: String,
}

impl Finished {
    /// The events of one name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(move |event| event["event"] == name)
    }
}

impl Process {
    /// Starts `command`; `input` becomes its whole standard input, without it the input stays open.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(name: &str, command: &mut Command, input: Option<Vec<u8>>) -> Result<Self, ProcessError> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| ProcessError::Start { name: name.into(), reason: error.to_string() })?;
        let mut stdin = child.stdin.take();
        if let Some(input) = input {
            let mut pipe = stdin.take().expect("stdin is piped");
            // A process that ends early closes the pipe; its exit tells the story.
            thread::spawn(move || pipe.write_all(&input));
        }
        let (sender, lines) = channel();
        let stdout = child.stdout.take().expect("stdout is piped");
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let (sink, mut source) = (Arc::clone(&stderr), child.stderr.take().expect("stderr is piped"));
        let stderr_reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                sink.lock().expect("no reader panics").push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Ok(Self {
            name: name.into(),
            child,
            stdin,
            lines,
            put_back: VecDeque::new(),
            stderr,
            stderr_reader,
            _relay: None,
        })
    }

    /// Keeps a relay as long as the process.
    pub(crate) fn behind(mut self, relay: Option<Relay>) -> Self {
        self._relay = relay;
        self
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input, where that is open. A process that has ended shows it by its events.
    pub fn tell(&mut self, line: &str) {
        if let Some(stdin) = &mut self.stdin {
            let _ = writeln!(stdin, "{line}");
        }
    }

    /// The next event.
    ///
    /// # Errors
    /// When the process ends or `within` passes first.
    pub fn next_event(&mut self, within: Duration) -> Result<Event, ProcessError> {
        if let Some(event) = self.put_back.pop_front() {
            return Ok(event);
        }
        self.read(Instant::now() + within, "event", within, &VecDeque::new())
    }

    /// The next line of a program that does not write JSON.
    ///
    /// # Errors
    /// When the process ends or `within` passes first.
    pub fn line(&mut self, within: Duration) -> Result<String, ProcessError> {
        match self.lines.recv_timeout(within) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(self.timeout("line", within, &VecDeque::new())),
            Err(RecvTimeoutError::Disconnected) => Err(self.ended("line", &VecDeque::new())),
        }
    }

    /// The next event called `name`. The events before it stay for later calls, in order.
    ///
    /// # Errors
    /// When the process ends or `within` passes first.
    pub fn event(&mut self, name: &str, within: Duration) -> Result<Event, ProcessError> {
        if let Some(index) = self.put_back.iter().position(|event| event["event"] == name) {
            return Ok(self.put_back.remove(index).expect("the index was just found"));
        }
        let deadline = Instant::now() + within;
        let mut others = std::mem::take(&mut self.put_back);
        loop {
            match self.read(deadline, name, within, &others) {
                Ok(event) if event["event"] == name => {
                    self.put_back = others;
                    return Ok(event);
                }
                Ok(event) => others.push_back(event),
                Err(error) => {
                    self.put_back = others;
                    return Err(error);
                }
            }
        }
    }

    /// Waits until the process has ended by itself, and gives what is left of its events.
    ///
    /// # Errors
    /// When `within` passes first; the process is then killed.
    pub fn finish(mut self, within: Duration) -> Result<Finished, ProcessError> {
        let deadline = Instant::now() + within;
        let mut events = std::mem::take(&mut self.put_back);
        loop {
            match self.read(deadline, "end of output", within, &events) {
                Ok(event) => events.push_back(event),
                Err(ProcessError::Ended { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        let status = self.wait(deadline, within)?;
        // Its last words may still be in the pipe, which a child of its own may hold open.
        while !self.stderr_reader.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        let stderr = self.stderr.lock().expect("no reader panics").clone();
        Ok(Finished { code: status.code(), events: events.into(), stderr })
    }

    fn wait(&mut self, deadline: Instant, within: Duration) -> Result<ExitStatus, ProcessError> {
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(self.timeout("exit", within, &VecDeque::new()));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn read(
        &self,
        deadline: Instant,
        wanted: &str,
        within: Duration,
        seen: &VecDeque<Event>,
    ) -> Result<Event, ProcessError> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                serde_json::from_str(&line).map_err(|_| ProcessError::NotJson { name: self.name.clone(), line })
            }
            Err(RecvTimeoutError::Timeout) => Err(self.timeout(wanted, within, seen)),
            Err(RecvTimeoutError::Disconnected) => Err(self.ended(wanted, seen)),
        }
    }

    fn ended(&self, wanted: &str, seen: &VecDeque<Event>) -> ProcessError {
        ProcessError::Ended {
            name: self.name.clone(),
            event: wanted.into(),
            seen: names(seen),
            stderr: self.stderr.lock().expect("no reader panics").clone(),
        }
    }

    fn timeout(&self, wanted: &str, within: Duration, seen: &VecDeque<Event>) -> ProcessError {
        ProcessError::Timeout {
            name: self.name.clone(),
            event: wanted.into(),
            within,
            seen: names(seen),
            stderr: self.stderr.lock().expect("no reader panics").clone(),
        }
    }
}

/// A process that is stopped as by Ctrl-Z: its sockets stay open and it says nothing. Dropped, it goes on.
#[derive(Debug)]
pub struct Stopped(u32);

impl Stopped {
    /// Stops a process.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn stop(process: &Process) -> Self {
        let status = signal("-STOP", process.id()).expect("kill starts");
        assert!(status.success(), "process {} cannot be stopped", process.id());
        Self(process.id())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // One that was killed meanwhile needs no more.
        let _ = signal("-CONT", self.0);
    }
}

fn signal(name: &str, id: u32) -> std::io::Result<ExitStatus> {
    Command::new("kill").args([name, &id.to_string()]).stderr(Stdio::null()).status()
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killing a process that has ended is an error without consequence.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn names(events: &VecDeque<Event>) -> Vec<String> {
    events.iter().map(|event| event["event"].as_str().unwrap_or("?").to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Process {
        Process::start("sh", Command::new("sh").args(["-c", script]), None).unwrap()
    }

    #[test]
    fn events_out_of_order_are_kept() {
        let mut process = sh(r#"echo '{"event":"a"}'; echo '{"event":"b"}'; echo '{"event":"c"}'"#);
        let within = Duration::from_secs(5);
        assert_eq!(process.event("b", within).unwrap()["event"], "b");
        assert_eq!(process.next_event(within).unwrap()["event"], "a");
        let left = process.finish(within).unwrap();
        assert_eq!((left.code, left.events.len()), (Some(0), 1));
    }

    #[test]
    fn a_process_that_ends_is_told_from_one_that_is_late() {
        let mut ends = sh("echo trouble >&2; exit 4");
        assert!(matches!(ends.event("a", Duration::from_secs(5)), Err(ProcessError::Ended { .. })));
        let mut late = sh("exec sleep 60");
        let error = late.event("a", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, ProcessError::Timeout { .. }), "{error}");
    }

    #[test]
    fn a_dropped_guard_leaves_no_process() {
        let process = sh("exec sleep 60");
        let proc = format!("/proc/{}", process.id());
        assert!(std::fs::metadata(&proc).is_ok());
        drop(process);
        assert!(std::fs::metadata(&proc).is_err());
    }
}
