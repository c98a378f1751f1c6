//! Peers of the transport services, which know nothing of their interface (RFC 9621 3.4): Python's sockets and asyncio, aioquic,
//! websockets, and the client and the server of OpenSSL's command line.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::{Peer, Skipped, announce, package, peers_dir};
use crate::process::{Process, ProcessError};

/// Python's standard library: `tests/peers/transport_peer.py`.
///
/// # Errors
/// When there is no Python 3.
pub fn python() -> Result<Peer, Skipped> {
    static FOUND: OnceLock<Result<Peer, Skipped>> = OnceLock::new();
    let find = || {
        let script = "import platform; print(platform.python_version())";
        let hint = "install it with: apt-get install python3";
        program("python", "python3".into(), script, "peers/transport_peer.py", hint)
    };
    FOUND.get_or_init(find).clone()
}

/// QUIC: `tests/peers/transport_quic.py`.
///
/// # Errors
/// When aioquic is not installed in `venv` under [`peers_dir`].
pub fn aioquic() -> Result<Peer, Skipped> {
    static FOUND: OnceLock<Result<Peer, Skipped>> = OnceLock::new();
    FOUND.get_or_init(|| of_venv("aioquic", "import aioquic.asyncio", "peers/transport_quic.py")).clone()
}

/// WebSocket: `tests/peers/transport_websocket.py`.
///
/// # Errors
/// When websockets is not installed in `venv` under [`peers_dir`].
pub fn websockets() -> Result<Peer, Skipped> {
    static FOUND: OnceLock<Result<Peer, Skipped>> = OnceLock::new();
    FOUND
        .get_or_init(|| of_venv("websockets", "import websockets.asyncio.server", "peers/transport_websocket.py"))
        .clone()
}

fn of_venv(name: &'static str, import: &str, peer: &str) -> Result<Peer, Skipped> {
    let script = format!("{import}, importlib.metadata as m; print(m.version('{name}'))");
    program(name, peers_dir().join("venv/bin/python"), &script, peer, "install it with: cargo xtask peers")
}

/// A program for this Python, where `script` tells the version of what it needs.
fn program(name: &'static str, python: PathBuf, script: &str, peer: &str, hint: &str) -> Result<Peer, Skipped> {
    let skipped = |why: String| Skipped { name, reason: format!("{why}; {hint}") };
    let output = Command::new(&python).args(["-c", script]).output();
    let output = output.map_err(|error| skipped(format!("{}: {error}", python.display())))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(skipped(stderr.lines().last().unwrap_or("no output").to_owned()));
    }
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(Peer::found(name, version, python, [package(peer)]).with_environment("PYTHONDONTWRITEBYTECODE", "1"))
}

/// OpenSSL's command line.
#[derive(Debug, Clone)]
pub struct OpenSsl {
    version: String,
}

/// Finds OpenSSL.
///
/// # Errors
/// When it is not installed.
pub fn openssl() -> Result<OpenSsl, Skipped> {
    static FOUND: OnceLock<Result<OpenSsl, Skipped>> = OnceLock::new();
    let find = || {
        let skipped = |why: String| Skipped {
            name: "openssl",
            reason: format!("{why}; install it with: apt-get install openssl"),
        };
        let output = Command::new("openssl").arg("version").output();
        let output = output.map_err(|error| skipped(format!("openssl: {error}")))?;
        // "OpenSSL 3.0.22 25 Aug 2026 (Library: ..)".
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = said.split_whitespace().nth(1).ok_or_else(|| skipped("openssl tells no version".into()))?;
        announce("openssl", version);
        Ok(OpenSsl { version: version.to_owned() })
    };
    FOUND.get_or_init(find).clone()
}

impl OpenSsl {
    /// Its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Starts `s_server` on a free port of 127.0.0.1, for one client: it prints what comes, and what it is told goes to the
    /// client. It ends with its standard input.
    ///
    /// # Errors
    /// When it does not listen within 20 s.
    pub fn server(&self, arguments: &[&str]) -> Result<(Process, u16), ProcessError> {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0", "-naccept", "1"]).args(arguments);
        let mut process = Process::start("openssl s_server", &mut command, None)?;
        loop {
            let line = process.line(Duration::from_secs(20))?;
            let port = line.strip_prefix("ACCEPT 127.0.0.1:").and_then(|port| port.parse().ok());
            if let Some(port) = port {
                return Ok((process, port));
            }
        }
    }

    /// Starts `s_client` to a port of 127.0.0.1: it prints what comes, and what it is told goes to the server.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn client(&self, port: u16, arguments: &[&str]) -> Result<Process, ProcessError> {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &format!("127.0.0.1:{port}")]).args(arguments);
        Process::start("openssl s_client", &mut command, None)
    }
}
