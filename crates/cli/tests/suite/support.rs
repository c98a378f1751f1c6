//! Runs the command with a bound on its time, and brokers that end with their test.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How the command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("stdout is text")
    }

    /// Checks the exit code, and gives stdout as text.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &str {
        assert_eq!(
            self.code,
            Some(code),
            "stdout: {:?}\nstderr: {}",
            self.stdout.escape_ascii().to_string(),
            self.stderr
        );
        self.text()
    }

    /// Checks that it failed with this code, printed no data, and said one line with all of these in it.
    #[track_caller]
    pub(crate) fn expect_failure(&self, code: i32, words: &[&str]) {
        assert_eq!(self.expect(code), "", "no data");
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "one line: {}", self.stderr);
        assert!(lines[0].starts_with("postroad: "), "{}", self.stderr);
        for word in words {
            assert!(lines[0].contains(word), "no {word:?} in {}", self.stderr);
        }
    }
}

/// The command, with nothing of the environment that it would heed.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
    for variable in ["POSTROAD_URL", "POSTROAD_PASSWORD", "POSTROAD_TOKEN", "POSTROAD_TRACE_FRM", "PN_TRACE_FRM"] {
        command.env_remove(variable);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs the command to its end.
#[track_caller]
pub(crate) fn run(args: &[&str]) -> Ran {
    finish(start(&mut command(args)))
}

/// As [`run`], with text on its standard input.
#[track_caller]
pub(crate) fn run_with_input(args: &[&str], input: &[u8]) -> Ran {
    let mut child = start(command(args).stdin(Stdio::piped()));
    child.stdin.take().expect("piped").write_all(input).expect("the command reads its input");
    finish(child)
}

pub(crate) fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts")
}

/// Waits until a child has ended; kills it when the time is over.
#[track_caller]
pub(crate) fn finish(mut child: Child) -> Ran {
    fn read(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_end(&mut bytes).expect("the pipe is read");
            }
            bytes
        })
    }
    let (stdout, stderr) = (read(child.stdout.take()), read(child.stderr.take()));
    let ended = wait(&mut child);
    if !ended {
        child.kill().expect("the child is ours");
    }
    let code = child.wait().expect("the child is ours").code();
    let stdout = stdout.join().expect("read");
    let stderr = String::from_utf8(stderr.join().expect("read")).expect("stderr is text");
    assert!(ended, "still running after {PATIENCE:?}, stderr: {stderr}");
    Ran { code, stdout, stderr }
}

/// Waits for a child's end, and says whether it came in time.
pub(crate) fn wait(child: &mut Child) -> bool {
    until(|| child.try_wait().expect("the child is ours").is_some())
}

/// Waits until something is so, and says whether it came to be.
pub(crate) fn until(mut so: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !so() {
        if start.elapsed() > PATIENCE {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a child has an id");
    kill_process(pid, signal).expect("the child is ours");
}

/// Whether a process stands still: a signal takes its time. Elsewhere than on Linux it is taken to be quick.
pub(crate) fn is_stopped(child: &Child) -> bool {
    match fs::read_to_string(format!("/proc/{}/stat", child.id())) {
        // The state follows the name, which stands in parentheses.
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')),
        Err(_) => true,
    }
}

/// A broker of the command on a free port; killed by its id when it is dropped.
pub(crate) struct Broker {
    pub(crate) child: Child,
    pub(crate) url: String,
    pub(crate) dir: TempDir,
}

impl Broker {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::listen("amqp://127.0.0.1:0", args)
    }

    pub(crate) fn listen(url: &str, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let ready = dir.path().join("ready");
        let mut command = command(&["broker", "-l", url, "--ready-file"]);
        let mut child =
            command.arg(&ready).args(args).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let listens = until(|| ready.exists() || child.try_wait().expect("the child is ours").is_some());
        if !listens || !ready.exists() {
            let _ = child.kill();
            panic!("the broker does not listen: {:?}", finish(child));
        }
        let text = fs::read_to_string(&ready).expect("the ready file");
        Self { child, url: text.lines().next().expect("a URL").to_owned(), dir }
    }

    #[track_caller]
    pub(crate) fn send(&self, args: &[&str]) -> Ran {
        run(&[&["send", "-b", &self.url], args].concat())
    }

    #[track_caller]
    pub(crate) fn receive(&self, args: &[&str]) -> Ran {
        run(&[&["receive", "-b", &self.url], args].concat())
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        write(self.dir.path(), name, text)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).expect("a file");
    path
}

/// A peer that answers each of its clients with these bytes, and then hangs up or stays silent. Gives its URL.
pub(crate) fn fake_peer(answer: &'static [u8], hang_up: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("amqp://{}", listener.local_addr().expect("an address"));
    // Ends with the test's process.
    thread::spawn(move || {
        let mut kept: Vec<TcpStream> = Vec::new();
        for client in listener.incoming() {
            let mut client = client.expect("a client");
            let mut header = [0; 8];
            client.read_exact(&mut header).expect("the header");
            client.write_all(answer).expect("the client reads");
            if !hang_up {
                kept.push(client);
            }
        }
    });
    url
}

/// The URL of a port where nobody listens.
pub(crate) fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("amqp://{}", listener.local_addr().expect("an address"))
}
