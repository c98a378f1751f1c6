//! Proton Python, driven by `tests/peers/proton_peer.py`.

use std::process::Command;
use std::sync::OnceLock;

use super::{Peer, Skipped, package, peers_dir};

/// Finds Proton Python in `venv` under [`peers_dir`].
///
/// # Errors
/// When it is not installed there.
pub fn proton_python() -> Result<Peer, Skipped> {
    static FOUND: OnceLock<Result<Peer, Skipped>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Result<Peer, Skipped> {
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
    let peer = Peer::found(name, version, python, [package("peers/proton_peer.py")]);
    Ok(peer.with_environment("PYTHONDONTWRITEBYTECODE", "1"))
}
