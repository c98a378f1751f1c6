//! How a pair of peers is run once, with nothing or with a broker between them.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::brokers::Broker;
use crate::measure::Report;
use crate::peers::Peer;
use crate::table::Sample;

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

/// Who takes part in a run.
#[derive(Debug)]
pub enum Course {
    /// The sender connects to the receiver.
    Direct {
        /// Who sends.
        sender: Peer,
        /// Who listens and receives.
        receiver: Peer,
    },
    /// One client sends to the broker and another receives from it.
    Through {
        /// The broker.
        broker: Broker,
        /// The program of both clients.
        client: Peer,
    },
    /// Our own client sends to our own broker and receives from it, both on the same terms.
    Guaranteed {
        /// The name of the terms, which the program of the clients knows.
        terms: &'static str,
        /// The program of both clients.
        client: Peer,
        /// Where the broker listens.
        port: u16,
        /// Runs so far: each has a queue of its own.
        runs: u64,
    },
}

impl Course {
    /// The name in the tables.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Direct { sender, receiver } => format!("{} -> {}", sender.name, receiver.name),
            Self::Through { broker, .. } => broker.name.to_owned(),
            Self::Guaranteed { terms, .. } => (*terms).to_owned(),
        }
    }

    /// Runs one load.
    ///
    /// # Errors
    /// When a program fails or takes longer than `within`; its processes are killed then.
    pub fn run(&mut self, load: Load, within: Duration) -> Result<Sample, RunError> {
        match self {
            Self::Direct { sender, receiver } => direct(sender, receiver, load, within),
            Self::Through { broker, client } => through(broker, client, load, within),
            Self::Guaranteed { terms, client, port, runs } => {
                *runs += 1;
                guaranteed(terms, client, *port, &format!("{terms}-{runs}"), load, within)
            }
        }
    }

    /// The messages of such a size that take about so long: found by runs that grow until one is long enough to tell.
    ///
    /// # Errors
    /// As [`Course::run`].
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    pub fn count_for(&mut self, time: Duration, load: Load, within: Duration) -> Result<u64, RunError> {
        let mut count = FEWEST;
        loop {
            let rate = self.run(Load { count, ..load }, within)?.rate;
            let wanted = rate * time.as_secs_f64();
            let told = wanted.clamp(FEWEST as f64, MOST as f64) as u64;
            if told / 8 <= count {
                return Ok(told);
            }
            count *= 8;
        }
    }
}

/// The fewest and the most messages of a run whose count is found.
const FEWEST: u64 = 500;
const MOST: u64 = 4_000_000;

fn direct(sender: &Peer, receiver: &Peer, load: Load, within: Duration) -> Result<Sample, RunError> {
    let deadline = Instant::now() + within;
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port().to_string();
    let [count, size, credit] = [load.count.to_string(), load.size.to_string(), load.credit.to_string()];
    let mut recv = Running::start(receiver, &["recv", &port, &count, &credit])?;
    recv.wait_ready(within)?;
    let send = Running::start(sender, &["send", &port, &count, &size, &credit])?;
    let (send, recv) = (send.finish(deadline, within)?, recv.finish(deadline, within)?);
    Ok(Sample::direct(&send, &recv))
}

fn through(broker: &mut Broker, client: &Peer, load: Load, within: Duration) -> Result<Sample, RunError> {
    let deadline = Instant::now() + within;
    let (port, address) = (broker.port.to_string(), broker.next_address());
    let [count, size, credit] = [load.count.to_string(), load.size.to_string(), load.credit.to_string()];
    let mut recv = Running::start(client, &["consume", &port, &count, &credit, &address])?;
    recv.wait_ready(within)?;
    let before = broker.cpu_time()?;
    let send = Running::start(client, &["send", &port, &count, &size, &credit, &address])?;
    let (send, recv) = (send.finish(deadline, within)?, recv.finish(deadline, within)?);
    Ok(Sample::through(&send, &recv, broker.cpu_time()?.saturating_sub(before)))
}

fn guaranteed(
    terms: &str,
    client: &Peer,
    port: u16,
    address: &str,
    load: Load,
    within: Duration,
) -> Result<Sample, RunError> {
    let deadline = Instant::now() + within;
    let [port, count, size] = [port.to_string(), load.count.to_string(), load.size.to_string()];
    let credit = load.credit.to_string();
    let mut recv = Running::start(client, &["recv", terms, &port, &count, &credit, address])?;
    recv.wait_ready(within)?;
    let send = Running::start(client, &["send", terms, &port, &count, &size, address])?;
    let (send, recv) = (send.finish(deadline, within)?, recv.finish(deadline, within)?);
    // Who sends at most once waits for nobody: the rate is what came.
    Ok(Sample { broker_cpu: None, ..Sample::through(&send, &recv, Duration::ZERO) })
}

/// A peer at work, killed when dropped.
struct Running {
    name: String,
    child: Child,
    stderr: Receiver<String>,
}

impl Running {
    fn start(peer: &Peer, arguments: &[&str]) -> io::Result<Self> {
        let mut child = peer
            .command()
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
