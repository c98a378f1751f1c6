//! Proton Python, driven by `tests/peers/proton_peer.py`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value as Json;

use super::{Skipped, announce, package, peers_dir};
use crate::process::{Event, Finished, Process, ProcessError};

/// An installed Proton Python.
#[derive(Debug, Clone)]
pub struct ProtonPython {
    python: PathBuf,
    version: String,
    /// Whether it prints its frames on stderr.
    traced: bool,
}

/// Proton Python as a listening peer without a broker: it takes any link, records what comes, answers
/// as each message asks, and gives it back from the source `echo`.
#[derive(Debug)]
pub struct Listener {
    process: Process,
    port: u16,
}

/// Finds Proton Python in `venv` under [`peers_dir`].
///
/// # Errors
/// When it is not installed there.
pub fn proton_python() -> Result<ProtonPython, Skipped> {
    static FOUND: OnceLock<Result<ProtonPython, Skipped>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Result<ProtonPython, Skipped> {
    let name = "proton-python";
    let python = peers_dir().join("venv/bin/python");
    let venv = peers_dir().join("venv");
    let hint =
        format!("python3 -m venv {venv} && {venv}/bin/pip install 'python-qpid-proton==0.40.*'", venv = venv.display());
    let script = "import proton, proton.reactor, importlib.metadata as m; print(m.version('python-qpid-proton'))";
    let output = Command::new(&python)
        .args(["-c", script])
        .output()
        .map_err(|error| Skipped { name, reason: format!("{}: {error}; install it with: {hint}", python.display()) })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().last().unwrap_or("no output");
        return Err(Skipped { name, reason: format!("{last}; install it with: {hint}") });
    }
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    announce(name, &version);
    Ok(ProtonPython { python, version, traced: false })
}

impl ProtonPython {
    /// The version of the package.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The same, printing every frame on stderr.
    #[must_use]
    pub fn traced(self) -> Self {
        Self { traced: true, ..self }
    }

    /// Starts a listening peer on a free port of 127.0.0.1. The options are those of
    /// `proton_peer.py listen --help`.
    ///
    /// # Errors
    /// When it does not listen within 20 s.
    pub fn listen(&self, options: &[&str]) -> Result<Listener, ProcessError> {
        let mut command = self.command();
        command.args(["listen", "--watch-stdin"]).args(options);
        let mut process = Process::start("proton-python listen", &mut command, None)?;
        let ready = process.event("ready", Duration::from_secs(20))?;
        let port = ready["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
        Ok(Listener { process, port })
    }

    /// Sends messages (each as [`crate::typed::message_to_json`] gives it) and waits until every outcome is known.
    /// The exit code is 0 when all went as it should on the connection.
    ///
    /// # Errors
    /// When it does not end within 60 s.
    pub fn send(
        &self,
        url: &str,
        address: &str,
        messages: &[Json],
        options: &[&str],
    ) -> Result<Finished, ProcessError> {
        let input: String = messages.iter().map(|message| format!("{message}\n")).collect();
        let mut command = self.command();
        command.args(["send", url, address]).args(options);
        Process::start("proton-python send", &mut command, Some(input.into_bytes()))?.finish(Duration::from_secs(60))
    }

    /// Starts to receive `count` messages; its events tell what came and how it answered.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn receiver(&self, url: &str, address: &str, count: usize, options: &[&str]) -> Result<Process, ProcessError> {
        let mut command = self.command();
        command.args(["receive", url, address, "--watch-stdin", "-c", &count.to_string()]).args(options);
        Process::start("proton-python receive", &mut command, None)
    }

    /// Receives `count` messages and ends: exit code 2 when fewer came within 30 s (`--wait`).
    ///
    /// # Errors
    /// When it does not end within 60 s.
    pub fn receive(&self, url: &str, address: &str, count: usize, options: &[&str]) -> Result<Finished, ProcessError> {
        let mut all = vec!["--wait", "30"];
        all.extend_from_slice(options);
        self.receiver(url, address, count, &all)?.finish(Duration::from_secs(60))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(package("peers/proton_peer.py")).env("PYTHONDONTWRITEBYTECODE", "1");
        if self.traced {
            command.env("PN_TRACE_FRM", "1");
        }
        command
    }
}

impl Listener {
    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `amqp://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://127.0.0.1:{}", self.port)
    }

    /// The next event called `name` within 20 s; others are kept.
    ///
    /// # Errors
    /// When the peer ends or the time passes first.
    pub fn event(&mut self, name: &str) -> Result<Event, ProcessError> {
        self.process.event(name, Duration::from_secs(20))
    }

    /// The next `count` messages that it received.
    ///
    /// # Errors
    /// As [`Listener::event`].
    pub fn messages(&mut self, count: usize) -> Result<Vec<Event>, ProcessError> {
        (0..count).map(|_| self.event("message")).collect()
    }

    /// The process, for events of other kinds and limits of time.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
