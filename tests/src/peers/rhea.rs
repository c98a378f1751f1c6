//! rhea on Node.js, driven by `tests/peers/rhea_peer.js`.

use std::process::Command;
use std::sync::OnceLock;

use super::{Peer, Skipped, package, peers_dir};

/// Finds rhea in `rhea` under [`peers_dir`].
///
/// # Errors
/// When it, or Node.js, is not there.
pub fn rhea() -> Result<Peer, Skipped> {
    static FOUND: OnceLock<Result<Peer, Skipped>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Result<Peer, Skipped> {
    let name = "rhea";
    let folder = peers_dir().join("rhea");
    let skipped = |why: String| Skipped {
        name,
        reason: format!("{why}; install it with: npm install --prefix {} rhea@3.0.5 ws@8", folder.display()),
    };
    let modules = folder.join("node_modules");
    let output = Command::new("node")
        .args(["-p", "require('ws'); require('rhea/package.json').version + ' on Node.js ' + process.version"])
        .env("NODE_PATH", &modules)
        .output()
        .map_err(|error| skipped(format!("node: {error}")))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let error = stderr.lines().find(|line| line.starts_with("Error")).unwrap_or("no output").to_owned();
        return Err(skipped(error));
    }
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let peer = Peer::found(name, version, "node", [package("peers/rhea_peer.js")]);
    Ok(peer.with_environment("NODE_PATH", modules))
}
