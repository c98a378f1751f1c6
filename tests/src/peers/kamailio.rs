//! Kamailio 5.6 as an MSRP relay (RFC 4976), by the script `tests/peers/kamailio.cfg`: over TCP, TLS and WebSocket, with digest.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use super::ports::free_ports;
use super::{Skipped, announce, package};
use crate::certificates::Certificates;

/// A Kamailio of our own, on loopback alone: its ports, control socket, certificate and log are nobody else's.
///
/// It is stopped, by the id of its process group, when this is dropped or the process ends. Dropped by a test that fails it
/// writes its log to stderr.
#[derive(Debug)]
pub struct Kamailio {
    tcp_port: u16,
    tls_port: u16,
    dir: PathBuf,
    guard: Child,
}

/// What a Kamailio is to do; [`kamailio`] has the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The least `Expires` that an AUTH may ask for, in seconds: 2. What is less is answered 423 with `Min-Expires`.
    pub min_expires: u32,
    /// The most, in seconds, and what an AUTH without `Expires` gets: 3600.
    pub max_expires: u32,
    /// How long a nonce is good, in seconds: 300. Then the challenge says `stale=true`.
    pub nonce_lifetime: u32,
    /// What becomes of a frame of more than [`Kamailio::LARGEST_FRAME`].
    pub oversize: Oversize,
}

/// What becomes of a frame that Kamailio's scripts cannot look into: nothing is known of it but whether it is a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oversize {
    /// It is dropped, and not answered.
    Silent,
    /// It is dropped and answered 501, as the sample of Kamailio's documentation does.
    MethodUnknown,
}

/// How a client reaches the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Plain TCP.
    Tcp,
    /// TLS.
    Tls,
    /// WebSocket over TCP.
    WebSocket,
    /// WebSocket over TLS.
    SecureWebSocket,
}

/// Somebody whom the relay knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The username of the digest.
    pub name: &'static str,
    /// The password.
    pub password: &'static str,
}

const SERVER: &str = "/usr/sbin/kamailio";

const INSTALL: &str = "install it with: apt-get install kamailio kamailio-extra-modules kamailio-tls-modules \
                       kamailio-websocket-modules";

const SCRIPT: &str = include_str!("../../peers/kamailio.cfg");

/// How long a cold start may take; 1 s is usual.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The Kamailio that all tests of this process share, started by the first that asks.
///
/// # Errors
/// When it is not installed, or does not start.
pub fn kamailio() -> Result<&'static Kamailio, Skipped> {
    static SHARED: OnceLock<Result<Kamailio, Skipped>> = OnceLock::new();
    SHARED.get_or_init(|| Kamailio::start(&Settings::default())).as_ref().map_err(Clone::clone)
}

impl Kamailio {
    /// The realm of its challenges.
    pub const REALM: &str = "postroad.example";

    /// Who may use it, and another.
    pub const ALICE: User = User { name: "alice", password: "in wonderland" };
    /// See [`Self::ALICE`].
    pub const BOB: User = User { name: "bob", password: "the builder" };

    /// Who is answered 403 to the right password.
    pub const BARRED: User = User { name: "mallory", password: "in the middle" };

    /// The octets of the largest frame that goes through, from `MSRP` to the end of the end-line. The limit is built in.
    pub const LARGEST_FRAME: usize = 11_238;

    /// The octets that it holds of a connection; a frame of so many ends the connection.
    pub const READ_BUFFER: usize = 65_536;

    /// Starts a Kamailio that nothing else uses.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn start(settings: &Settings) -> Result<Self, Skipped> {
        let skipped = |reason: String| Skipped { name: "kamailio", reason };
        if !Path::new(SERVER).exists() {
            return Err(skipped(format!("no {SERVER}; {INSTALL}")));
        }
        let mut relay = Self::spawn(settings).map_err(|error| skipped(format!("did not start: {error}")))?;
        let started = Instant::now();
        while !relay.answers() {
            let gone = relay.log().contains("ERROR: bad config file")
                || relay.log().contains("error while initializing modules")
                || relay.guard.try_wait().is_ok_and(|status| status.is_some());
            if gone || started.elapsed() > START_LIMIT {
                let log = relay.log();
                let tail = log.lines().rev().take(8).collect::<Vec<_>>().join(" | ");
                return Err(skipped(format!(
                    "port {} does not answer; {INSTALL}; its log, last first: {tail}",
                    relay.tcp_port
                )));
            }
            thread::sleep(Duration::from_millis(50));
        }
        announce("kamailio", &version());
        Ok(relay)
    }

    /// The port on 127.0.0.1; WebSockets and bare MSRP share it.
    #[must_use]
    pub fn port(&self, transport: Transport) -> u16 {
        match transport {
            Transport::Tcp | Transport::WebSocket => self.tcp_port,
            Transport::Tls | Transport::SecureWebSocket => self.tls_port,
        }
    }

    /// The URI for the To-Path of AUTH, such as `msrps://127.0.0.1:PORT;tcp`.
    #[must_use]
    pub fn uri(&self, transport: Transport) -> String {
        let (scheme, name) = match transport {
            Transport::Tcp => ("msrp", "tcp"),
            Transport::Tls => ("msrps", "tcp"),
            Transport::WebSocket => ("msrp", "ws"),
            Transport::SecureWebSocket => ("msrps", "ws"),
        };
        format!("{scheme}://127.0.0.1:{};{name}", self.port(transport))
    }

    /// What a WebSocket is opened with: `ws://127.0.0.1:PORT/`, or `wss` where the transport has TLS. The subprotocol is `msrp`.
    #[must_use]
    pub fn websocket_url(&self, transport: Transport) -> String {
        let scheme = match transport {
            Transport::Tcp | Transport::WebSocket => "ws",
            Transport::Tls | Transport::SecureWebSocket => "wss",
        };
        format!("{scheme}://127.0.0.1:{}/", self.port(transport))
    }

    /// The file (PEM) with the authority that has signed its certificate, which is for `localhost` and 127.0.0.1.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The same as DER.
    ///
    /// # Panics
    /// When somebody has removed the file.
    #[must_use]
    pub fn authority_der(&self) -> Vec<u8> {
        fs::read(self.dir.join("ca.der")).expect("the file was written at the start")
    }

    /// What Kamailio has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.dir.join("log")).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    fn spawn(settings: &Settings) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("postroad-kamailio-").tempdir()?.keep();
        let [tcp_port, tls_port] = free_ports()?;
        let certificates = Certificates::make();
        for file in ["ca.pem", "ca.der", "server.pem", "server.key"] {
            fs::copy(certificates.path(file), dir.join(file))?;
        }
        let script = dir.join("kamailio.cfg");
        fs::write(&script, fill(settings, &dir, tcp_port, tls_port))?;
        let guard = Command::new(package("peers/guard.sh"))
            .arg(&dir)
            .arg(SERVER)
            // In the foreground, to stderr; megabytes of memory that is shared, and of each process.
            .args(["-DD", "-E", "-m", "256", "-M", "8", "-f"])
            .arg(&script)
            .arg("-P")
            .arg(dir.join("pid"))
            .arg("-w")
            .arg(&dir)
            .arg("-Y")
            .arg(&dir)
            .current_dir(&dir)
            .env("HOME", &dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C on the terminal must reach the tests and not the guard, which then cleans up.
            .process_group(0)
            .spawn()?;
        Ok(Self { tcp_port, tls_port, dir, guard })
    }

    /// Whether an AUTH is challenged. Both ports are bound before either answers.
    fn answers(&self) -> bool {
        let probe = format!(
            "MSRP probe1 AUTH\r\nTo-Path: {}\r\nFrom-Path: msrp://127.0.0.1:9/probe;tcp\r\n-------probe1$\r\n",
            self.uri(Transport::Tcp)
        );
        let mut answer = [0; 15];
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.tcp_port));
        TcpStream::connect_timeout(&address, Duration::from_secs(1))
            .and_then(|mut stream| {
                stream.set_read_timeout(Some(Duration::from_secs(2)))?;
                stream.write_all(probe.as_bytes())?;
                stream.read_exact(&mut answer)
            })
            .is_ok_and(|()| &answer == b"MSRP probe1 401")
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the log of kamailio:\n{}", self.log());
        }
        drop(self.guard.stdin.take());
        // The guard ends by itself once it has killed and removed what it guards.
        let _ = self.guard.wait();
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { min_expires: 2, max_expires: 3600, nonce_lifetime: 300, oversize: Oversize::Silent }
    }
}

/// The script for these settings.
fn fill(settings: &Settings, dir: &Path, tcp_port: u16, tls_port: u16) -> String {
    let known = [Kamailio::ALICE, Kamailio::BOB, Kamailio::BARRED];
    let mut users: Vec<String> =
        known.map(|user| format!("    $sht(users=>{}) = \"{}\";", user.name, user.password)).into();
    users.push(format!("    $sht(barred=>{}) = 1;", Kamailio::BARRED.name));
    let oversize = match settings.oversize {
        Oversize::Silent => "",
        Oversize::MethodUnknown => "msrp_reply(\"501\", \"Method unknown\");",
    };
    // Nonces are signed with it.
    let secret = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    [
        ("@DIR@", dir.display().to_string()),
        ("@TCP_PORT@", tcp_port.to_string()),
        ("@TLS_PORT@", tls_port.to_string()),
        ("@READ_BUFFER@", Kamailio::READ_BUFFER.to_string()),
        ("@REALM@", Kamailio::REALM.to_owned()),
        ("@USERS@", users.join("\n")),
        ("@MIN_EXPIRES@", settings.min_expires.to_string()),
        ("@MAX_EXPIRES@", settings.max_expires.to_string()),
        ("@NONCE_LIFETIME@", settings.nonce_lifetime.to_string()),
        ("@SECRET@", secret),
        ("@OVERSIZE@", oversize.to_owned()),
    ]
    .into_iter()
    .fold(SCRIPT.to_owned(), |script, (name, value)| script.replace(name, &value))
}

/// The version that is installed: the second word of "version: kamailio 5.6.3 (x86_64/linux)" is the name.
fn version() -> String {
    let output = Command::new(SERVER).arg("-v").output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    said.split_whitespace().nth(2).unwrap_or_default().to_owned()
}
