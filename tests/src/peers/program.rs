//! A peer of these suites as a program: the commands, options and events of `tests/peers/proton_peer.py`, which each peer
//! speaks as far as its library can.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value as Json;

use super::announce;
use crate::capture::Capture;
use crate::process::{Event, Finished, Process, ProcessError};
use crate::relay::Relay;

/// An installed peer.
#[derive(Debug, Clone)]
pub struct Peer {
    name: &'static str,
    version: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    capture: Option<Capture>,
}

/// A listening peer without a broker: it takes any link, records what comes, answers
/// as each message asks, and gives it back from the source `echo`.
#[derive(Debug)]
pub struct Listener {
    process: Process,
    port: u16,
    /// Kept for its connections.
    _relay: Option<Relay>,
}

impl Peer {
    /// A peer that was found: `program` with `arguments` before its command. Writes what it is to stderr.
    pub(super) fn found(
        name: &'static str,
        version: String,
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        announce(name, &version);
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { name, version, program: program.into(), arguments, environment: Vec::new(), capture: None }
    }

    /// With a variable of the environment.
    pub(super) fn with_environment(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// The name in the line `peer: NAME VERSION`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The version of the library.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The same, printing every frame on stderr, where its library is one of Proton's.
    #[must_use]
    pub fn traced(self) -> Self {
        self.with_environment("PN_TRACE_FRM", "1")
    }

    /// The same, with all that it says and hears written to `capture`.
    #[must_use]
    pub fn recorded(mut self, capture: &Capture) -> Self {
        self.capture = Some(capture.clone());
        self
    }

    /// Starts a listening peer on a free port of 127.0.0.1. The options are those of
    /// `proton_peer.py listen --help`.
    ///
    /// # Errors
    /// When it does not listen within 20 s.
    pub fn listen(&self, options: &[&str]) -> Result<Listener, ProcessError> {
        let mut command = self.command();
        command.args(["listen", "--watch-stdin"]).args(options);
        let mut process = Process::start(&format!("{} listen", self.name), &mut command, None)?;
        let ready = process.event("ready", Duration::from_secs(20))?;
        let port = ready["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
        let relay = self.relay(port)?;
        Ok(Listener { process, port: relay.as_ref().map_or(port, Relay::port), _relay: relay })
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
        self.with_messages("send", url, address, messages, options)
    }

    fn with_messages(
        &self,
        role: &str,
        url: &str,
        address: &str,
        messages: &[Json],
        options: &[&str],
    ) -> Result<Finished, ProcessError> {
        let input: String = messages.iter().map(|message| format!("{message}\n")).collect();
        let (url, _relay) = self.by_relay(url)?;
        let mut command = self.command();
        command.args([role, &url, address]).args(options);
        Process::start(&format!("{} {role}", self.name), &mut command, Some(input.into_bytes()))?
            .finish(Duration::from_secs(60))
    }

    /// Asks what the messages say, one after the other, and waits for the answers, which come to a dynamic node. The exit code
    /// is 0 when all went as it should on the connection.
    ///
    /// # Errors
    /// When it does not end within 60 s.
    pub fn request(&self, url: &str, address: &str, messages: &[Json]) -> Result<Finished, ProcessError> {
        self.with_messages("request", url, address, messages, &[])
    }

    /// Starts to receive `count` messages; its events tell what came and how it answered.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn receiver(&self, url: &str, address: &str, count: usize, options: &[&str]) -> Result<Process, ProcessError> {
        let (url, relay) = self.by_relay(url)?;
        let mut command = self.command();
        command.args(["receive", &url, address, "--watch-stdin", "-c", &count.to_string()]).args(options);
        Ok(Process::start(&format!("{} receive", self.name), &mut command, None)?.behind(relay))
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

    /// A relay to a port, where what passes is recorded.
    fn relay(&self, to: u16) -> Result<Option<Relay>, ProcessError> {
        let Some(capture) = &self.capture else { return Ok(None) };
        let failed = |error: std::io::Error| ProcessError::Start { name: "relay".into(), reason: error.to_string() };
        Relay::start(to, Some(capture.clone())).map(Some).map_err(failed)
    }

    /// The URL by which the peer reaches the port of `url`.
    fn by_relay(&self, url: &str) -> Result<(String, Option<Relay>), ProcessError> {
        let split = url.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (Some((host, port)), true) = (split, self.capture.is_some()) else { return Ok((url.to_owned(), None)) };
        let relay = self.relay(port)?;
        let port = relay.as_ref().map_or(port, Relay::port);
        Ok((format!("{host}:{port}"), relay))
    }

    /// Runs a command of a program that is of another kind than the others, and waits for its end.
    ///
    /// # Errors
    /// When it does not end within 60 s.
    pub fn run(&self, arguments: &[&str]) -> Result<Finished, ProcessError> {
        let mut command = self.command();
        command.args(arguments);
        Process::start(self.name, &mut command, None)?.finish(Duration::from_secs(60))
    }

    /// Starts a command of a program that is of another kind than the others.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Process, ProcessError> {
        let mut command = self.command();
        command.args(arguments);
        Process::start(self.name, &mut command, None)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
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
