//! Running one command as a step: its output shown as it comes, its time bounded, its process group ended on overrun.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::workspace;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what it should; the text says more where there is more to say.
    Passed(String),
    /// It did not, and why.
    Failed(String),
    /// It was not run, and why.
    Skipped(String),
}

/// A command's end and what its output told.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) outcome: Outcome,
    /// `NAME: REASON` of every line `skipped: NAME: REASON`.
    pub(crate) skipped: Vec<String>,
    /// `NAME VERSION` of every line `peer: NAME VERSION`, each once, in order.
    pub(crate) peers: BTreeSet<String>,
}

impl Ran {
    /// An end of which no output tells more.
    pub(crate) fn of(outcome: Outcome) -> Self {
        Self { outcome, skipped: Vec::new(), peers: BTreeSet::new() }
    }
}

/// Set when the person at the terminal, or CI, asks us to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Watches for the signals that ask a process to stop. A step has its own process group, so that a signal from the
    /// terminal reaches us alone; we pass it on.
    pub(crate) fn watch() -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // Refused only for signals that cannot be caught.
            let _ = signal_hook::flag::register(signal, Arc::clone(&flag));
        }
        Self(flag)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long what a step left behind may hold its output open.
const STRAGGLERS: Duration = Duration::from_secs(5);
/// How long a process has between the request to end and its end.
const GRACE: Duration = Duration::from_secs(5);

/// Runs `command` for at most `limit` and shows its output as ours.
pub(crate) fn run(command: Command, limit: Duration, interrupt: &Interrupt) -> Ran {
    run_onto(command, limit, interrupt, std::io::stdout(), std::io::stderr())
}

fn run_onto(
    mut command: Command,
    limit: Duration,
    interrupt: &Interrupt,
    out: impl Write + Send + 'static,
    err: impl Write + Send + 'static,
) -> Ran {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = Instant::now();
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let why = format!("{}: {error}", command.get_program().to_string_lossy());
            return Ran::of(Outcome::Failed(why));
        }
    };
    let (told, heard) = mpsc::channel();
    let stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    let readers = [show(stdout, out, told.clone()), show(stderr, err, told)];

    let mut outcome = loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break Outcome::Passed(String::new()),
            Ok(Some(status)) => break Outcome::Failed(status.to_string()),
            Ok(None) if interrupt.is_set() => {
                end(&mut child);
                break Outcome::Failed("interrupted".into());
            }
            Ok(None) if started.elapsed() >= limit => {
                end(&mut child);
                break Outcome::Failed(format!("not done after {} s", limit.as_secs()));
            }
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            Err(error) => {
                end(&mut child);
                break Outcome::Failed(error.to_string());
            }
        }
    };
    let ended = Instant::now();
    while readers.iter().any(|reader| !reader.is_finished()) {
        if ended.elapsed() > STRAGGLERS {
            // Members of the group still hold the output open, so its id is still theirs.
            signal_group(child.id(), "KILL");
            outcome = Outcome::Failed("left a process running".into());
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let mut notes = Notes::default();
    while let Ok(line) = heard.try_recv() {
        notes.take(&line);
    }
    if outcome == Outcome::Passed(String::new()) {
        outcome = Outcome::Passed(notes.summary());
    }
    Ran { outcome, skipped: notes.skipped, peers: notes.peers }
}

/// Copies `from` to `to` line by line and tells the lines that [`Notes`] has use for.
fn show(
    from: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
    told: mpsc::Sender<String>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        // Lines may hold any bytes; a step may also end without a newline.
        while matches!(from.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            // Nobody may be reading our output; the step goes on all the same.
            let _ = to.write_all(&line).and_then(|()| to.flush());
            let text = String::from_utf8_lossy(&line);
            if Notes::wants(&text) {
                let _ = told.send(text.trim().to_owned());
            }
            line.clear();
        }
    })
}

/// What a step's output tells beside its end.
#[derive(Debug, Default)]
struct Notes {
    skipped: Vec<String>,
    peers: BTreeSet<String>,
    tests: u64,
    ignored: u64,
    /// The last line of a run under faults.
    count: Option<String>,
}

const SKIPPED: &str = "skipped: ";
const PEER: &str = "peer: ";
const RESULT: &str = "test result: ";
/// How the last line begins of a run that counts messages.
const COUNTS: [&str; 2] = ["sent ", "moved "];

impl Notes {
    fn wants(line: &str) -> bool {
        COUNTS.iter().any(|what| line.starts_with(what))
            || [SKIPPED, PEER, RESULT].iter().any(|what| line.contains(what))
    }

    fn take(&mut self, line: &str) {
        // With --nocapture the line may follow `test name ... ` on the same line.
        let told = |what| {
            let (before, told) = line.split_once(what)?;
            (before.is_empty() || before.ends_with("... ")).then(|| told.trim().to_owned())
        };
        if let Some(reason) = told(SKIPPED) {
            self.skipped.push(reason);
        } else if let Some(peer) = told(PEER) {
            self.peers.insert(peer);
        } else if let Some((_, result)) = line.split_once(RESULT) {
            let count = |what: &str| {
                let before = result.split_once(what)?.0;
                before.trim_end().rsplit(' ').next()?.parse::<u64>().ok()
            };
            self.tests += count(" passed").unwrap_or(0);
            self.ignored += count(" ignored").unwrap_or(0);
        } else if COUNTS.iter().any(|what| line.starts_with(what)) {
            self.count = Some(line.to_owned());
        }
    }

    fn summary(&self) -> String {
        match (self.tests, self.ignored) {
            (0, 0) => self.count.clone().unwrap_or_default(),
            (tests, 0) => format!("{tests} tests"),
            (tests, ignored) => format!("{tests} tests, {ignored} ignored"),
        }
    }
}

/// Ends a process and its group: asked first, then made to.
fn end(child: &mut Child) {
    signal_group(child.id(), "TERM");
    let asked = Instant::now();
    while asked.elapsed() < GRACE {
        if !matches!(child.try_wait(), Ok(None)) {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    signal_group(child.id(), "KILL");
    let _ = child.kill();
    let _ = child.wait();
}

/// Signals the group that `id` leads. Through the command, because `std` has no safe call for it.
fn signal_group(id: u32, signal: &str) {
    if cfg!(unix) {
        let _ = workspace::command("kill")
            .args([&format!("-{signal}"), "--", &format!("-{id}")])
            .stderr(Stdio::null())
            .status();
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    /// Without showing: a step that runs these tests would take their output for its own.
    fn quietly(command: Command, limit: Duration, interrupt: &Interrupt) -> Ran {
        run_onto(command, limit, interrupt, std::io::sink(), std::io::sink())
    }

    fn shell(script: &str, limit: Duration) -> Ran {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        quietly(command, limit, &Interrupt::default())
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn passes_fails_and_cannot_start() {
        assert_eq!(shell("exit 0", LONG).outcome, Outcome::Passed(String::new()));
        assert_eq!(shell("exit 3", LONG).outcome, Outcome::Failed("exit status: 3".into()));
        let ran = quietly(Command::new("no-such-program-here"), LONG, &Interrupt::default());
        assert!(matches!(ran.outcome, Outcome::Failed(why) if why.starts_with("no-such-program-here: ")));
    }

    #[test]
    fn collects_skips_and_counts_tests() {
        let ran = shell(
            "echo 'skipped: rabbitmq: not installed'; echo 'test a ... skipped: proton: no venv' >&2; echo 'nothing skipped: here';\
             echo 'peer: rhea 3.0.5'; echo 'test b ... peer: tshark 4.0' >&2; echo 'peer: rhea 3.0.5'; echo 'no peer: here';\
             echo 'test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured'; echo 'test result: ok. 3 passed; 0 failed; 0 ignored'",
            LONG,
        );
        assert_eq!(ran.outcome, Outcome::Passed("15 tests, 1 ignored".into()));
        let mut skipped = ran.skipped;
        skipped.sort();
        assert_eq!(skipped, ["proton: no venv", "rabbitmq: not installed"]);
        assert_eq!(Vec::from_iter(ran.peers), ["rhea 3.0.5", "tshark 4.0"]);
    }

    #[test]
    fn last_count_of_messages_is_told() {
        let ran = shell("echo 'sent 1 of 2'; echo 'messages sent 3'; echo 'sent 2 received 2 lost 0'; echo done", LONG);
        assert_eq!(ran.outcome, Outcome::Passed("sent 2 received 2 lost 0".into()));
    }

    #[test]
    fn overrun_ends_the_whole_group() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mark = folder.path().join("alive");
        let started = Instant::now();
        // The child of the shell would leave a file behind if it outlived the limit.
        let script = format!("(sleep 4; touch {0}) & sleep 30", mark.display());
        let ran = shell(&script, Duration::from_millis(300));
        assert_eq!(ran.outcome, Outcome::Failed("not done after 0 s".into()));
        assert!(started.elapsed() < Duration::from_secs(4), "ended at once");
        thread::sleep(Duration::from_secs(5).saturating_sub(started.elapsed()));
        assert!(!mark.exists(), "a grandchild outlived its step");
    }

    #[test]
    fn process_left_behind_is_a_failure() {
        let ran = shell("sleep 60 & exit 0", LONG);
        assert_eq!(ran.outcome, Outcome::Failed("left a process running".into()));
    }

    #[test]
    fn interrupt_ends_a_step() {
        let interrupt = Interrupt::default();
        interrupt.0.store(true, Ordering::Relaxed);
        let mut command = Command::new("sleep");
        command.arg("30");
        assert_eq!(quietly(command, LONG, &interrupt).outcome, Outcome::Failed("interrupted".into()));
    }
}
