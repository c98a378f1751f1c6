//! The brokers that a run goes through: how each is found, started on a free port of the loopback, and stopped.

mod guarded;

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use self::guarded::Guarded;
use crate::peers::{self, Skipped, target_dir};

/// A broker at work. Nothing of it stays when this is dropped, or this process ends in another way.
#[derive(Debug)]
pub struct Broker {
    /// The name in the tables.
    pub name: &'static str,
    /// The port on 127.0.0.1, which takes ANONYMOUS.
    pub port: u16,
    /// What the addresses of its queues begin with.
    prefix: &'static str,
    runs: u32,
    guarded: Guarded,
}

/// Where the brokers are that no package brings, where they are not on the `PATH`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Places {
    /// The program qpidd of Apache Qpid C++, with its module for AMQP 1.0 installed or beside it.
    #[arg(long, value_name = "PATH", env = "POSTROAD_QPIDD")]
    qpidd: Option<PathBuf>,
    /// The program skrouterd of skupper-router.
    #[arg(long, value_name = "PATH", env = "POSTROAD_SKROUTERD")]
    skrouterd: Option<PathBuf>,
}

/// The names of all brokers, ours last.
pub const NAMES: [&str; 5] = ["qpidd", "skupper-router", "rabbitmq", "proton-example", "postroad"];

/// How long a cold start may take; RabbitMQ needs 10 s.
const START_LIMIT: Duration = Duration::from_secs(90);

const RABBITMQ: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// Where Debian's packages put the source of Proton's example broker.
const EXAMPLES: [&str; 2] =
    ["/usr/share/proton/examples/cpp/broker.cpp", "/usr/share/proton-0.37.0/examples/cpp/broker.cpp"];

impl Broker {
    /// Starts the broker of this name; none where there is no such name.
    #[must_use]
    pub fn start(name: &str, places: &Places) -> Option<Result<Self, Skipped>> {
        Some(match name {
            "qpidd" => qpidd(places.qpidd.as_deref()),
            "skupper-router" => skupper_router(places.skrouterd.as_deref()),
            "rabbitmq" => rabbitmq(),
            "proton-example" => proton_example(),
            "postroad" => postroad(),
            _ => return None,
        })
    }

    /// The address of a queue that nobody has used.
    pub(crate) fn next_address(&mut self) -> String {
        self.runs += 1;
        format!("{}{}", self.prefix, self.runs)
    }

    /// The CPU time of all its processes so far, user and system.
    pub(crate) fn cpu_time(&self) -> io::Result<Duration> {
        self.guarded.cpu_time()
    }

    /// Starts a broker whose arguments and environment `complete` adds, and waits until it answers.
    fn serve(
        name: &'static str,
        prefix: &'static str,
        complete: impl FnOnce(&mut Command, &Path, u16) -> io::Result<()>,
    ) -> Result<Self, Skipped> {
        let failed = |error: io::Error| Skipped { name, reason: format!("did not start: {error}") };
        let port = free_port().map_err(failed)?;
        let guarded = Guarded::start(name, |command, dir| complete(command, dir, port)).map_err(failed)?;
        let mut broker = Self { name, port, prefix, runs: 0, guarded };
        let started = Instant::now();
        while !answers(port) {
            if broker.guarded.has_ended() || started.elapsed() > START_LIMIT {
                let mut reason = format!("port {port} does not answer; its log, last first:");
                for line in broker.guarded.log().lines().rev().take(5) {
                    write!(reason, " | {line}").expect("a string takes all");
                }
                return Err(Skipped { name, reason });
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(broker)
    }
}

/// Our broker as `postroad broker` runs it, with nothing changed but where it listens.
fn postroad() -> Result<Broker, Skipped> {
    let name = "postroad";
    let manifest = peers::root().join("crates/cli/Cargo.toml");
    peers::cargo(name, &["--release"], &manifest, &target_dir())?;
    let program = target_dir().join("release/postroad");
    Broker::serve(name, "bench-", |command, _, port| {
        command.arg(absolute(&program)?).args(["broker", "--quiet", "--listen", &format!("amqp://127.0.0.1:{port}")]);
        Ok(())
    })
}

/// RabbitMQ as Debian packages it, with a node name, ports, data and epmd of its own.
fn rabbitmq() -> Result<Broker, Skipped> {
    let name = "rabbitmq";
    if !Path::new(RABBITMQ).exists() {
        let reason = format!("no {RABBITMQ}; install it with: apt-get install rabbitmq-server");
        return Err(Skipped { name, reason });
    }
    Broker::serve(name, "/queue/bench-", |command, dir, port| {
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\namqp1_0.default_user = guest\n\
             log.console = true\nlog.console.level = warning\nlog.file = false\n"
        );
        fs::write(dir.join("rabbitmq.conf"), settings)?;
        fs::write(dir.join("plugins"), "[rabbitmq_amqp1_0].\n")?;
        command
            // An epmd that is there first: the one that RabbitMQ would start listens on all addresses and stays behind.
            .args(["sh", "-c", r#"epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 & exec "$0""#, RABBITMQ])
            .env("HOME", dir)
            .env("RABBITMQ_NODENAME", format!("bench{port}@localhost"))
            .env("RABBITMQ_MNESIA_BASE", dir.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", dir.join("logs"))
            .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("plugins"))
            .env("RABBITMQ_DIST_PORT", free_port()?.to_string())
            .env("RABBITMQ_ALLOW_INPUT", "true")
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-noinput -kernel inet_dist_use_interface {127,0,0,1}")
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", free_port()?.to_string());
        Ok(())
    })
}

/// The broker among the examples of Proton C++.
fn proton_example() -> Result<Broker, Skipped> {
    let name = "proton-example";
    let packages = "g++ libqpid-proton-cpp12-dev libqpid-proton11-dev-examples";
    let Some(source) = EXAMPLES.iter().map(Path::new).find(|path| path.exists()) else {
        return Err(Skipped {
            name,
            reason: format!("no {}; install it with: apt-get install {packages}", EXAMPLES[0]),
        });
    };
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".into());
    let options = ["-std=c++17", "-lqpid-proton-cpp", "-lpthread"];
    let compiled = peers::compile(name, &compiler, source, "proton_example_broker", &options, packages)?;
    Broker::serve(name, "bench-", |command, _, port| {
        command.arg(absolute(compiled.program())?).args(["-a", &format!("127.0.0.1:{port}")]);
        Ok(())
    })
}

/// qpidd, where somebody has built it.
fn qpidd(place: Option<&Path>) -> Result<Broker, Skipped> {
    let program = built("qpidd", "qpidd", place, "--qpidd or POSTROAD_QPIDD")?;
    Broker::serve("qpidd", "bench-", |command, _, port| {
        command.arg(&program).args(["--port", &port.to_string(), "--interface", "127.0.0.1"]).args([
            "--auth=no",
            "--no-data-dir",
            "--queue-patterns=bench-.*",
        ]);
        // Where it was built and not installed.
        let module = program.with_file_name("amqp.so");
        if module.exists() {
            command.arg("--load-module").arg(module);
        }
        Ok(())
    })
}

/// skupper-router, where somebody has built it. It keeps no messages: the sender gets credit as the receiver gives it.
fn skupper_router(place: Option<&Path>) -> Result<Broker, Skipped> {
    let program = built("skupper-router", "skrouterd", place, "--skrouterd or POSTROAD_SKROUTERD")?;
    Broker::serve("skupper-router", "bench-", |command, dir, port| {
        let settings = format!(
            "router {{\n mode: standalone\n id: bench\n}}\n\
             listener {{\n host: 127.0.0.1\n port: {port}\n authenticatePeer: no\n saslMechanisms: ANONYMOUS\n}}\n"
        );
        fs::write(dir.join("router.conf"), settings)?;
        command.arg(&program).arg("--conf").arg(dir.join("router.conf"));
        Ok(())
    })
}

/// The program that an option names, or one of the `PATH`.
fn built(name: &'static str, program: &str, place: Option<&Path>, option: &str) -> Result<PathBuf, Skipped> {
    let skipped = |why: String| Skipped { name, reason: format!("{why}; say where it is with {option}") };
    if let Some(place) = place {
        return absolute(place).map_err(|error| skipped(format!("{}: {error}", place.display())));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut candidates = env::split_paths(&path).map(|dir| dir.join(program));
    candidates.find(|candidate| candidate.is_file()).ok_or_else(|| skipped(format!("no {program} on the PATH")))
}

/// A broker starts in a folder of its own.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path)
}

/// Whether a port takes a connection and echoes the SASL header.
fn answers(port: u16) -> bool {
    const HEADER: &[u8; 8] = b"AMQP\x03\x01\x00\x00";
    let mut answer = [0; 8];
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_secs(1))
        .and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(HEADER)?;
            stream.read_exact(&mut answer)
        })
        .is_ok_and(|()| &answer == HEADER)
}

/// A port that was free a moment ago.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
