//! Proton C++: our program `tests/peers/proton_cpp_peer.cpp`, and the broker of Proton's examples. Both are compiled when they are
//! first asked for, into `proton-cpp` under the folder of the peers.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{io, thread};

use super::{Peer, Skipped, announce, package, peers_dir};

/// The broker of Proton C++'s examples: queues that are made when they are asked for, one consumer at a time each.
///
/// It is killed when this is dropped or the process ends.
#[derive(Debug)]
pub struct ExampleBroker {
    guard: Child,
    port: u16,
}

/// Where Debian's packages of the examples put the source.
const EXAMPLES: [&str; 2] =
    ["/usr/share/proton/examples/cpp/broker.cpp", "/usr/share/proton-0.37.0/examples/cpp/broker.cpp"];

/// Compiles the peer program, unless that was done before.
///
/// # Errors
/// When the library or the compiler is not there.
pub fn proton_cpp() -> Result<Peer, Skipped> {
    static FOUND: OnceLock<Result<Peer, Skipped>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let source = package("peers/proton_cpp_peer.cpp");
            let program = compile("peer", &source, &[package("peers/typed_json.hpp")])?;
            let output = Command::new(&program).arg("version").output();
            let output = output.map_err(|error| skipped(&format!("{}: {error}", program.display())))?;
            let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            Ok(Peer::found(NAME, version, program, [""; 0]))
        })
        .clone()
}

impl ExampleBroker {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the source, the library or the compiler is not there, or it does not listen within 20 s.
    pub fn start() -> Result<Self, Skipped> {
        static COMPILED: OnceLock<Result<PathBuf, Skipped>> = OnceLock::new();
        let program = COMPILED.get_or_init(|| {
            let source = EXAMPLES.iter().map(Path::new).find(|path| path.exists());
            let source = source.ok_or_else(|| skipped(&format!("no {}", EXAMPLES[0])))?;
            let program = compile("broker", source, &[])?;
            announce("proton-cpp example broker", proton_cpp()?.version());
            Ok(program)
        });
        let program = program.as_ref().map_err(Clone::clone)?;
        let failed = |error: io::Error| skipped(&format!("{}: {error}", program.display()));
        let dir = tempfile::Builder::new().prefix("postroad-broker-").tempdir().map_err(failed)?.keep();
        let log = dir.join("log");
        // The guard ends with its input, however this process ends, and takes the folder along.
        let guard = Command::new(package("peers/guard.sh"))
            .arg(&dir)
            .arg(program)
            .args(["-a", "127.0.0.1:0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let mut broker = Self { guard, port: 0 };
        let started = Instant::now();
        while broker.port == 0 {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let line = said.lines().find(|_| said.ends_with('\n'));
            broker.port = line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0);
            if started.elapsed() > Duration::from_secs(20) {
                return Err(skipped(&format!("the example broker does not listen; it said {said:?}")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(broker)
    }

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
}

impl Drop for ExampleBroker {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

const NAME: &str = "proton-cpp";

fn skipped(why: &str) -> Skipped {
    let reason = format!(
        "{why}; install it with: apt-get install g++ libqpid-proton-cpp12-dev libqpid-proton11-dev-examples libsasl2-modules"
    );
    Skipped { name: NAME, reason }
}

/// Compiles a program of one file, unless it is there and newer than what it is made of.
fn compile(name: &str, source: &Path, headers: &[PathBuf]) -> Result<PathBuf, Skipped> {
    let dir = peers_dir().join("proton-cpp");
    let program = dir.join(name);
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let newest = headers.iter().filter_map(|path| changed(path)).chain(changed(source)).max();
    if changed(&program).is_some_and(|made| Some(made) > newest) {
        return Ok(program);
    }
    let failed = |error: io::Error| skipped(&format!("{}: {error}", dir.display()));
    fs::create_dir_all(&dir).map_err(failed)?;
    // Into a file of its own first: another process may be running the old one.
    let made = dir.join(format!("{name}.{}", std::process::id()));
    let output = Command::new("g++")
        .args(["-std=c++17", "-O1", "-o"])
        .args([&made, source])
        .args(["-lqpid-proton-cpp", "-lpthread"])
        .output()
        .map_err(|error| skipped(&format!("g++: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let error = said.lines().find(|line| line.contains("error")).unwrap_or("it said nothing").to_owned();
        return Err(skipped(&format!("g++ {}: {error}", source.display())));
    }
    fs::rename(&made, &program).map_err(failed)?;
    Ok(program)
}
