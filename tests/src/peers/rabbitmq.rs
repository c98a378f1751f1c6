//! RabbitMQ 3.10 with its AMQP 1.0 plugin, as a broker of one test process.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{io, thread};

use super::ports::free_ports;
use super::{Skipped, announce, package};
use crate::certificates::Certificates;

/// A RabbitMQ of our own: own node name, ports, data and epmd, on loopback alone.
///
/// It is stopped, by the id of its process group, when this is dropped or the process ends.
#[derive(Debug)]
pub struct RabbitMq {
    port: u16,
    tls_port: u16,
    protocol: Protocol,
    dir: PathBuf,
    guard: Child,
}

/// What a RabbitMQ is to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// AMQP 1.0, by its plugin, and AMQP 0-9-1.
    Amqp10,
    /// AMQP 0-9-1 alone, as RabbitMQ 3 does out of the box.
    Amqp091,
}

/// Where each version of the Debian package has its directory `rabbitmq_server-VERSION`.
const LIBRARIES: &str = "/usr/lib/rabbitmq/lib";

const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// How long a cold start may take; 10 s is usual.
const START_LIMIT: Duration = Duration::from_secs(90);

/// The RabbitMQ that all tests of this process share, started by the first that asks.
///
/// # Errors
/// When it is not installed, or does not start.
pub fn rabbitmq() -> Result<&'static RabbitMq, Skipped> {
    static SHARED: OnceLock<Result<RabbitMq, Skipped>> = OnceLock::new();
    SHARED.get_or_init(|| RabbitMq::start(Protocol::Amqp10)).as_ref().map_err(Clone::clone)
}

impl RabbitMq {
    /// Starts a RabbitMQ that nothing else uses.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn start(protocol: Protocol) -> Result<Self, Skipped> {
        let skipped = |reason: String| Skipped { name: "rabbitmq", reason };
        if !Path::new(SERVER).exists() {
            return Err(skipped(format!("no {SERVER}; install it with: apt-get install rabbitmq-server")));
        }
        let mut broker = Self::spawn(protocol).map_err(|error| skipped(format!("did not start: {error}")))?;
        let started = Instant::now();
        while !broker.answers() {
            let gone = broker.guard.try_wait().is_ok_and(|status| status.is_some());
            if gone || started.elapsed() > START_LIMIT {
                let log = broker.log();
                let tail = log.lines().rev().take(8).collect::<Vec<_>>().join(" | ");
                return Err(skipped(format!(
                    "port {} does not answer {protocol:?}; its log, last first: {tail}",
                    broker.port
                )));
            }
            thread::sleep(Duration::from_millis(100));
        }
        announce("rabbitmq", &version());
        Ok(broker)
    }

    /// The AMQP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port for TLS, on 127.0.0.1 and 127.0.0.2. The certificate that is shown is for `localhost` and 127.0.0.1.
    #[must_use]
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// The file with the authority that has signed its certificate.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// `amqp://guest:guest@127.0.0.1:PORT`. Queues are at `/queue/NAME`, exchanges at `/exchange/NAME/KEY`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.port)
    }

    /// What the server has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    fn spawn(protocol: Protocol) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("postroad-rabbitmq-").tempdir()?.keep();
        let [port, tls_port, dist, epmd] = free_ports()?;
        let certificates = Certificates::make();
        for file in ["ca.pem", "server.pem", "server.key"] {
            fs::copy(certificates.path(file), dir.join(file))?;
        }
        let (plugins, setting) = match protocol {
            Protocol::Amqp10 => ("[rabbitmq_amqp1_0].\n", "amqp1_0.default_user = guest\n"),
            Protocol::Amqp091 => ("[].\n", ""),
        };
        fs::write(
            dir.join("rabbitmq.conf"),
            format!(
                "listeners.tcp.1 = 127.0.0.1:{port}\n{setting}\
                 listeners.ssl.1 = 127.0.0.1:{tls_port}\nlisteners.ssl.2 = 127.0.0.2:{tls_port}\n\
                 ssl_options.cacertfile = {0}/ca.pem\nssl_options.certfile = {0}/server.pem\n\
                 ssl_options.keyfile = {0}/server.key\nssl_options.verify = verify_none\n\
                 log.console = true\nlog.console.level = warning\nlog.file = false\n",
                dir.display()
            ),
        )?;
        fs::write(dir.join("enabled_plugins"), plugins)?;
        let guard = Command::new(package("peers/guard.sh"))
            .arg(&dir)
            // An epmd that is there first: the one that RabbitMQ would start listens on all addresses and stays behind.
            .args(["sh", "-c", r#"epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 & exec "$0""#, SERVER])
            .current_dir(&dir)
            .env("HOME", &dir)
            .env("RABBITMQ_NODENAME", format!("postroad{port}@localhost"))
            .env("RABBITMQ_MNESIA_BASE", dir.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", dir.join("logs"))
            .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins"))
            .env("RABBITMQ_DIST_PORT", dist.to_string())
            .env("RABBITMQ_ALLOW_INPUT", "true")
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-noinput -kernel inet_dist_use_interface {127,0,0,1}")
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", epmd.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C on the terminal must reach the tests and not the guard, which then cleans up.
            .process_group(0)
            .spawn()?;
        Ok(Self { port, tls_port, protocol, dir, guard })
    }

    /// Whether the port takes a connection: it echoes the SASL header, or answers with that of AMQP 0-9-1.
    fn answers(&self) -> bool {
        let header = b"AMQP\x03\x01\x00\x00";
        let expected = match self.protocol {
            Protocol::Amqp10 => header,
            Protocol::Amqp091 => b"AMQP\x00\x00\x09\x01",
        };
        let mut answer = [0; 8];
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        TcpStream::connect_timeout(&address, Duration::from_secs(1))
            .and_then(|mut stream| {
                stream.set_read_timeout(Some(Duration::from_secs(2)))?;
                stream.write_all(header)?;
                stream.read_exact(&mut answer)
            })
            .is_ok_and(|()| &answer == expected)
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // The guard ends by itself once it has killed and removed what it guards.
        let _ = self.guard.wait();
    }
}

/// The version that is installed; empty where Debian's package is laid out otherwise.
fn version() -> String {
    let names = fs::read_dir(LIBRARIES).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let versions = names.filter_map(|name| Some(name.to_str()?.strip_prefix("rabbitmq_server-")?.to_owned()));
    versions.collect::<Vec<_>>().join(", ")
}
