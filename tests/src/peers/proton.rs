//! Proton Python, driven by the programs in `tests/peers`.

use std::process::Command;
use std::sync::OnceLock;

use super::{Peer, Skipped, package, peers_dir};

/// Finds Proton Python in `venv` under [`peers_dir`].
///
/// # Errors
/// When it is not installed there.
pub fn proton_python() -> Result<Peer, Skipped> {
    static FOUND: OnceLock<Result<Peer, Skipped>> = OnceLock::new();
    FOUND.get_or_init(|| find("peers/proton_peer.py")).clone()
}

/// Proton Python as transaction controller: the commands, options and events of `tests/peers/proton_transactions.py`, by
/// [`Peer::run`].
///
/// # Errors
/// As [`proton_python`].
pub fn proton_transactions() -> Result<Peer, Skipped> {
    static FOUND: OnceLock<Result<Peer, Skipped>> = OnceLock::new();
    FOUND.get_or_init(|| find("peers/proton_transactions.py")).clone()
}

fn find(peer: &str) -> Result<Peer, Skipped> {
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
    let peer = Peer::found(name, version, python, [package(peer)]);
    Ok(peer.with_environment("PYTHONDONTWRITEBYTECODE", "1"))
}
