//! `cargo xtask features`: transport services with each protocol stack alone, with some together, and with none; MSRP without
//! connections, and with each kind of them.
//!
//! Checks and no more: the tests run with everything on, and what is refused in a build that lacks something has a
//! package of its own.

use std::path::Path;
use std::process::Command;

use crate::workspace;

/// What is switched on in each check. The pairs are of stacks that have code in common.
const SETS: &[&str] = &[
    "",
    "tcp",
    "mptcp",
    "tls",
    "unix",
    "udp",
    "udp-lite",
    "memory",
    "pipe",
    "quic",
    "websocket",
    "callback",
    "hickory",
    "tcp,tls",
    "tls,websocket",
    "quic,tcp",
    "udp,unix",
];

/// The same of MSRP, whose protocol needs none.
const MSRP: &[&str] = &["", "net", "tls", "websocket"];

/// The commands, each with its name.
pub(crate) fn commands(root: &Path) -> Vec<(String, Command)> {
    let none: &[&str] = &["--no-default-features"];
    let refusing = ["--package", "tests-features"];
    let mut commands: Vec<_> = SETS
        .iter()
        .map(|set| {
            let name = if set.is_empty() { "no features".to_owned() } else { (*set).to_owned() };
            let of = ["--package", "postroad-taps", "--lib", "--features", set];
            (name, cargo(root, &["clippy", "--quiet"], &[none, &of, &["--", "-D", "warnings"]].concat()))
        })
        .collect();
    for set in MSRP {
        let name = format!("MSRP with {}", if set.is_empty() { "no features" } else { set });
        let of = ["--package", "postroad-msrp", "--lib", "--features", set];
        commands.push((name, cargo(root, &["clippy", "--quiet"], &[none, &of, &["--", "-D", "warnings"]].concat())));
    }
    let lints: &[&str] = &["--all-targets", "--", "-D", "warnings"];
    let lints = cargo(root, &["clippy", "--quiet"], &[none, &refusing, lints].concat());
    commands.push(("lints of what is refused".to_owned(), lints));
    // Not quiet: its count is shown.
    let tests = cargo(root, &["test"], &[none, &refusing, &["--tests"]].concat());
    commands.push(("tests of what is refused".to_owned(), tests));
    commands
}

fn cargo(root: &Path, verb: &[&str], arguments: &[&str]) -> Command {
    let mut command = workspace::cargo(root);
    command.args(verb).args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_feature_that_brings_a_stack_is_checked_alone() {
        let root = workspace::root();
        let metadata = workspace::metadata(&root).expect("cargo metadata");
        let packages = metadata["packages"].as_array().expect("packages");
        let taps = packages.iter().find(|package| package["name"] == "postroad-taps").expect("the crate");
        let features = taps["features"].as_object().expect("features");
        // `blocking` is part of `callback`; `fuzzing` brings bodies of tests.
        let aside = ["blocking", "default", "fuzzing"];
        let named: BTreeSet<_> = features.keys().map(String::as_str).filter(|name| !aside.contains(name)).collect();
        let alone: BTreeSet<_> = SETS.iter().copied().filter(|set| !set.is_empty() && !set.contains(',')).collect();
        assert_eq!(alone, named);
    }
}
