//! fe2o3-amqp, by our program in `tests/peers/fe2o3`: a package of its own, which `cargo xtask peers` builds.

use std::process::Command;
use std::sync::OnceLock;

use super::{Peer, Skipped, peers_dir};

/// Finds the program in `fe2o3` under [`peers_dir`]. It is a client alone.
///
/// # Errors
/// When it was not built.
pub fn fe2o3() -> Result<Peer, Skipped> {
    static FOUND: OnceLock<Result<Peer, Skipped>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Result<Peer, Skipped> {
    let name = "fe2o3-amqp";
    let program = peers_dir().join("fe2o3/debug/fe2o3-peer");
    let output = Command::new(&program).arg("version").output().map_err(|error| Skipped {
        name,
        reason: format!("{}: {error}; build it with: cargo xtask peers", program.display()),
    })?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(Peer::found(name, version, program, [""; 0]))
}
