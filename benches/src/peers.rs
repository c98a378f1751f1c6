//! The peers that a run compares: how each is found or built, and how a pair of them is run once.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use crate::measure::Report;

/// A program that is called as `PROGRAM recv PORT COUNT CREDIT` and `PROGRAM send PORT COUNT SIZE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The name in the tables.
    pub name: &'static str,
    program: PathBuf,
}

/// A peer that cannot run here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("skipped: {name}: {reason}")]
pub struct Skipped {
    /// The peer's name.
    pub name: &'static str,
    /// Why.
    pub reason: String,
}

impl Peer {
    /// Where the program is.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }
}

/// How a run of a pair failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A program did not start, or a pipe broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A program did not get there in time.
    #[error("{peer} took longer than {within:?} to {goal}; stderr: {stderr}")]
    Timeout {
        /// The peer.
        peer: String,
        /// How long.
        within: Duration,
        /// What it should have done.
        goal: &'static str,
        /// What it wrote on stderr.
        stderr: String,
    },
    /// A program ended without its report.
    #[error("{peer} gave no report; stdout: {stdout}; stderr: {stderr}")]
    NoReport {
        /// The peer.
        peer: String,
        /// What it wrote on stdout.
        stdout: String,
        /// What it wrote on stderr.
        stderr: String,
    },
}

/// How much a run carries.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Messages.
    pub count: u64,
    /// Bytes of body of each.
    pub size: usize,
    /// The most that may be on the way.
    pub credit: u32,
}

/// Builds the peer on Proton C, `peers/proton_c.c`.
///
/// # Errors
/// When there is no compiler or no libqpid-proton.
pub fn proton_c() -> Result<Peer, Skipped> {
    compiled("proton-c", "proton_c")
}

/// Builds the codec bench of Proton C, `peers/proton_c_codec.c`.
///
/// # Errors
/// When there is no compiler or no libqpid-proton.
pub fn proton_c_codec() -> Result<Peer, Skipped> {
    compiled("proton-c", "proton_c_codec")
}

/// Builds a C program of `peers` with the compiler of `$CC` (or `cc`).
fn compiled(name: &'static str, source: &str) -> Result<Peer, Skipped> {
    let skipped = |reason: String| Skipped { name, reason };
    let dir = peers_dir().join("bin");
    fs::create_dir_all(&dir).map_err(|error| skipped(format!("{}: {error}", dir.display())))?;
    let program = dir.join(source);
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let output = Command::new(&compiler)
        .args(["-O2", "-Wall"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("peers/{source}.c")))
        .arg("-o")
        .arg(&program)
        .arg("-lqpid-proton")
        .output()
        .map_err(|error| skipped(format!("no C compiler ({compiler}: {error}); set CC or install one")))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let first = stderr.lines().find(|line| line.contains("error")).unwrap_or("the compiler failed");
        return Err(skipped(format!("{}; install it with: apt-get install libqpid-proton11-dev", first.trim())));
    }
    Ok(Peer { name, program })
}

/// Our own peer, which is this program with `recv` or `send` as its first argument.
///
/// # Errors
/// When the system cannot tell which program this is.
pub fn postroad() -> Result<Peer, Skipped> {
    let name = "postroad";
    let program = env::current_exe().map_err(|error| Skipped { name, reason: error.to_string() })?;
    Ok(Peer { name, program })
}

/// Runs one load from `sender` to `receiver` and gives the report of each.
///
/// # Errors
/// When either fails or takes longer than `within`; both processes are killed then.
pub fn run(sender: &Peer, receiver: &Peer, load: Load, within: Duration) -> Result<(Report, Report), RunError> {
    let deadline = Instant::now() + within;
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port().to_string();
    let count = load.count.to_string();
    let mut recv = Running::start(receiver, &["recv", &port, &count, &load.credit.to_string()])?;
    recv.wait_ready(within)?;
    let send = Running::start(sender, &["send", &port, &count, &load.size.to_string()])?;
    Ok((send.finish(deadline, within)?, recv.finish(deadline, within)?))
}

/// Where built and downloaded peers live: `$POSTROAD_PEERS`, else `peers` in the target directory.
fn peers_dir() -> PathBuf {
    env::var_os("POSTROAD_PEERS").map_or_else(
        || {
            let target = env::var_os("CARGO_TARGET_DIR")
                .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
            target.join("peers")
        },
        PathBuf::from,
    )
}

/// A peer at work, killed when dropped.
struct Running {
    name: String,
    child: Child,
    stderr: std::sync::mpsc::Receiver<String>,
}

impl Running {
    fn start(peer: &Peer, arguments: &[&str]) -> io::Result<Self> {
        let mut child = Command::new(&peer.program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let source = child.stderr.take().expect("stderr is piped");
        let (sender, stderr) = channel();
        thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { name: format!("{} {}", peer.name, arguments[0]), child, stderr })
    }

    fn wait_ready(&mut self, within: Duration) -> Result<(), RunError> {
        match self.stderr.recv_timeout(within) {
            Ok(line) if line == "ready" => Ok(()),
            Ok(line) => Err(self.no_report(&line)),
            Err(RecvTimeoutError::Timeout) => Err(self.timeout(within, "listen")),
            Err(RecvTimeoutError::Disconnected) => Err(self.no_report("")),
        }
    }

    fn finish(mut self, deadline: Instant, within: Duration) -> Result<Report, RunError> {
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err(self.timeout(within, "finish"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        let mut stdout = String::new();
        self.child.stdout.take().expect("stdout is piped").read_to_string(&mut stdout)?;
        let report = stdout.lines().last().and_then(|line| serde_json::from_str(line).ok());
        report.ok_or_else(|| self.no_report(&stdout))
    }

    fn timeout(&self, within: Duration, goal: &'static str) -> RunError {
        RunError::Timeout { peer: self.name.clone(), within, goal, stderr: self.stderr() }
    }

    fn no_report(&self, stdout: &str) -> RunError {
        RunError::NoReport { peer: self.name.clone(), stdout: stdout.into(), stderr: self.stderr() }
    }

    fn stderr(&self) -> String {
        self.stderr.try_iter().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Killing a process that has ended is an error without consequence.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
