//! The peers that a run compares: how each is found or built.
//!
//! What is built or fetched lies in `peers` under the target directory, where `cargo xtask peers` puts it too.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

/// A program that is called as `PROGRAM recv PORT COUNT CREDIT` and `PROGRAM send PORT COUNT SIZE CREDIT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The name in the tables.
    pub name: &'static str,
    program: PathBuf,
    /// What stands before the role.
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
}

/// A peer or a broker that cannot run here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("skipped: {name}: {reason}")]
pub struct Skipped {
    /// Its name.
    pub name: &'static str,
    /// Why, with what to do about it.
    pub reason: String,
}

/// The names of all peers, ours last.
pub const NAMES: [&str; 6] = ["proton-c", "proton-cpp", "fe2o3-amqp", "ntex-amqp", "rhea", "postroad"];

/// The version of rhea that is fetched, which is that of the interop suites.
const RHEA: &str = "rhea@3.0.5";

impl Peer {
    fn new(name: &'static str, program: PathBuf) -> Self {
        Self { name, program, arguments: Vec::new(), environment: Vec::new() }
    }

    /// Finds or builds the peer of this name; none where there is no such name.
    #[must_use]
    pub fn find(name: &str) -> Option<Result<Self, Skipped>> {
        Some(match name {
            "proton-c" => proton_c(),
            "proton-cpp" => proton_cpp(),
            "fe2o3-amqp" => packaged("fe2o3-amqp", "fe2o3", "fe2o3-bench-peer"),
            "ntex-amqp" => packaged("ntex-amqp", "ntex", "ntex-bench-peer"),
            "rhea" => rhea(),
            "postroad" => postroad(),
            _ => return None,
        })
    }

    /// Where the program is.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The command, with which its role and the arguments of that are to go.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Builds the peer on Proton C, `peers/proton_c.c`.
///
/// # Errors
/// When there is no compiler or no libqpid-proton.
pub fn proton_c() -> Result<Peer, Skipped> {
    on_proton_c("proton_c")
}

/// Builds the codec bench of Proton C, `peers/proton_c_codec.c`.
///
/// # Errors
/// When there is no compiler or no libqpid-proton.
pub fn proton_c_codec() -> Result<Peer, Skipped> {
    on_proton_c("proton_c_codec")
}

/// Builds a C program of `peers` with the compiler of `$CC` (or `cc`).
fn on_proton_c(program: &str) -> Result<Peer, Skipped> {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let (source, options) = (source(&format!("{program}.c")), ["-Wall", "-lqpid-proton"]);
    compile("proton-c", &compiler, &source, program, &options, "libqpid-proton11-dev")
}

/// Builds the peer on Proton C++ with the compiler of `$CXX` (or `c++`).
fn proton_cpp() -> Result<Peer, Skipped> {
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".into());
    let packages = "g++ libqpid-proton-cpp12-dev";
    let options = ["-std=c++17", "-Wall", "-lqpid-proton-cpp"];
    compile("proton-cpp", &compiler, &source("proton_cpp.cpp"), "proton_cpp", &options, packages)
}

/// Builds a peer that is a Cargo package of its own, outside the workspace and with its own lock file.
fn packaged(name: &'static str, folder: &str, program: &str) -> Result<Peer, Skipped> {
    let manifest = source(folder).join("Cargo.toml");
    let target = peers_dir().join(format!("{folder}-bench"));
    eprintln!("building {name}, where that was not done before");
    cargo(name, &["--release", "--locked"], &manifest, &target)?;
    Ok(Peer::new(name, target.join("release").join(program)))
}

/// Finds rhea for Node.js, or fetches it with npm.
fn rhea() -> Result<Peer, Skipped> {
    let name = "rhea";
    let folder = peers_dir().join("rhea");
    let modules = folder.join("node_modules");
    let works = || {
        let mut node = Command::new("node");
        node.args(["-e", "require('rhea')"]).env("NODE_PATH", &modules);
        quietly(name, &mut node, "install it with: apt-get install nodejs npm")
    };
    if !modules.exists() || works().is_err() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", RHEA, "--prefix"]);
        fs::create_dir_all(&folder)
            .map_err(|error| Skipped { name, reason: format!("{}: {error}", folder.display()) })?;
        quietly(name, npm.arg(&folder), "install it with: apt-get install nodejs npm")?;
        works()?;
    }
    let arguments = vec![source("rhea.js").into()];
    Ok(Peer { arguments, environment: vec![("NODE_PATH", modules.into())], ..Peer::new(name, "node".into()) })
}

/// Our own peer, which is this program with `recv` or `send` as its first argument.
///
/// # Errors
/// When the system does not say where this program is.
pub fn postroad() -> Result<Peer, Skipped> {
    let name = "postroad";
    let program = env::current_exe().map_err(|error| Skipped { name, reason: error.to_string() })?;
    Ok(Peer::new(name, program))
}

/// Compiles a program of one file.
pub(crate) fn compile(
    name: &'static str,
    compiler: &str,
    source: &Path,
    program: &str,
    options: &[&str],
    packages: &str,
) -> Result<Peer, Skipped> {
    let dir = peers_dir().join("bin");
    fs::create_dir_all(&dir).map_err(|error| Skipped { name, reason: format!("{}: {error}", dir.display()) })?;
    let program = dir.join(program);
    let mut command = Command::new(compiler);
    command.arg("-O2").arg(source).arg("-o").arg(&program).args(options);
    quietly(name, &mut command, &format!("install it with: apt-get install {packages}"))?;
    Ok(Peer::new(name, program))
}

/// Has Cargo build a package into a target directory.
pub(crate) fn cargo(name: &'static str, options: &[&str], manifest: &Path, target: &Path) -> Result<(), Skipped> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet"]).args(options);
    command.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(target);
    quietly(name, &mut command, "it needs a registry that can be reached, once")
}

/// Runs a command to its end; when it fails, its first complaint is the reason.
fn quietly(name: &'static str, command: &mut Command, hint: &str) -> Result<(), Skipped> {
    let program = command.get_program().to_string_lossy().into_owned();
    let skipped = |why: String| Skipped { name, reason: format!("{program}: {why}; {hint}") };
    let output = command.stdin(Stdio::null()).output().map_err(|error| skipped(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let complaint = stderr.lines().find(|line| line.contains("error") || line.contains("Error"));
    Err(skipped(complaint.unwrap_or("failed and did not say why").trim().to_owned()))
}

/// Where built and downloaded peers live: `$POSTROAD_PEERS`, else `peers` in the target directory.
fn peers_dir() -> PathBuf {
    env::var_os("POSTROAD_PEERS").map_or_else(|| target_dir().join("peers"), PathBuf::from)
}

/// The target directory of the workspace.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("this package is a folder of the workspace")
}

fn source(name: &str) -> PathBuf {
    root().join("benches/peers").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_skipped_with_its_complaint_and_a_hint() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'a note' >&2; echo ' fatal error: no header ' >&2; exit 1"]);
        let skipped = quietly("peer", &mut command, "install it").unwrap_err();
        assert_eq!(skipped.to_string(), "skipped: peer: sh: fatal error: no header; install it");
        let absent = quietly("peer", &mut Command::new("no-such-program-here"), "install it").unwrap_err();
        assert!(absent.reason.starts_with("no-such-program-here: ") && absent.reason.ends_with("; install it"));
    }

    #[test]
    fn every_name_is_known() {
        assert!(Peer::find("postroad").is_some_and(|peer| peer.is_ok()));
        assert_eq!(Peer::find("another"), None);
    }
}
