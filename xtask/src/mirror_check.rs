//! `cargo xtask mirror-check`: every public method of a type that has a blocking mirror has its counterpart there.
//!
//! Signatures are the compiler's matter: a mirror calls its original.

use std::path::Path;

use crate::Verdict;
use crate::seed_check::items::Index;

/// Crates with a module `blocking`, and the types that are mirrored in it.
const MIRRORS: &[(&str, &[&str])] = &[
    (
        "postroad_client",
        &[
            "Acceptor",
            "Cbs",
            "Connection",
            "IncomingConnection",
            "IncomingLink",
            "MessageReader",
            "MessageWriter",
            "Receiver",
            "Requester",
            "Sender",
            "Session",
            "Settlement",
            "StreamingReceiver",
            "Transaction",
            "TransactionController",
        ],
    ),
    ("postroad_messaging", &["Connection", "ConnectionBuilder", "Receiver", "Sender", "Session"]),
    ("postroad_broker", &["Broker", "Builder"]),
];

/// Methods without a mirror, and why.
const WITHOUT: &[(&str, &str, &str)] = &[
    ("postroad_broker::Broker", "serve", "it serves a stream of the caller's runtime"),
    ("postroad_client::Receiver", "into_shared", "what faces are made of: they have mirrors"),
    ("postroad_client::Session", "next_receiver", "what faces are made of: they have mirrors"),
    ("postroad_client::Session", "next_receiver_timeout", "what faces are made of: they have mirrors"),
    ("postroad_client::Sender", "submit_boxed", "what faces are made of: they have mirrors"),
    ("postroad_client::Sender", "abort_delivery", "for one task that drives many links"),
    ("postroad_client::Sender", "can_append", "for one task that drives many links"),
    ("postroad_client::Sender", "poll_news", "for one task that drives many links"),
    ("postroad_client::Sender", "room", "for one task that drives many links"),
    ("postroad_client::Sender", "settle", "for one task that drives many links"),
    ("postroad_client::Sender", "try_append", "for one task that drives many links"),
    ("postroad_client::Sender", "try_begin_told", "for one task that drives many links"),
    ("postroad_client::Sender", "try_submit_told", "for one task that drives many links"),
    ("postroad_client::Session", "ended", "for one task that drives many links"),
    ("postroad_client::Session", "settle_untold", "for one task that drives many links"),
    ("postroad_client::Session", "acknowledge_origins", "what faces are made of: they have mirrors"),
    ("postroad_client::Session", "forget_unacknowledged", "what faces are made of: they have mirrors"),
    ("postroad_client::Session", "unacknowledged", "what faces are made of: they have mirrors"),
    ("postroad_client::Session", "unacknowledged_origins", "what faces are made of: they have mirrors"),
    ("postroad_client::Session", "shared_receivers", "what faces are made of: they have mirrors"),
    ("postroad_client::Session", "transacted", "what faces are made of: they have mirrors"),
];

/// What traits bring: a stream is an iterator there, a sink is nothing, a future has `wait`.
const OF_TRAITS: &[&str] = &[
    "Error",
    "Item",
    "Output",
    "default",
    "drop",
    "fmt",
    "poll",
    "poll_close",
    "poll_flush",
    "poll_next",
    "poll_ready",
    "start_send",
];

/// Checks the checkout at `root`.
///
/// # Errors
///
/// One line per method that is missing, and per exception that is none.
pub(crate) fn check(root: &Path) -> Verdict {
    let index = Index::read(root)?;
    let faults = faults(&index, MIRRORS, WITHOUT);
    let types: usize = MIRRORS.iter().map(|(_, types)| types.len()).sum();
    if faults.is_empty() { Ok(format!("mirror-check: {types} types have every method")) } else { Err(faults) }
}

fn faults(index: &Index, mirrors: &[(&str, &[&str])], without: &[(&str, &str, &str)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (krate, types) in mirrors {
        for name in *types {
            let (original, mirror) = (format!("{krate}::{name}"), format!("{krate}::blocking::{name}"));
            let (Some(methods), Some(mirrored)) = (index.members(&original), index.members(&mirror)) else {
                faults.push(format!("{original}: it, or its mirror, does not exist"));
                continue;
            };
            for method in methods.iter().filter(|method| !OF_TRAITS.contains(&method.as_str())) {
                let excused = without.iter().find(|(item, name, _)| *item == original && name == method);
                match (mirrored.contains(method), excused) {
                    (false, None) => faults.push(format!("{original}::{method}: {mirror} has no such method")),
                    (true, Some((_, _, why))) => {
                        faults.push(format!("{original}::{method}: mirrored, though \"{why}\""));
                    }
                    (true, None) | (false, Some(_)) => {}
                }
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ORIGINAL: &str = "pub mod blocking; pub struct Sender; impl Sender { pub async fn send(&self) {} \
        pub fn name(&self) {} pub fn serve(&self) {} fn hidden(&self) {} } impl Drop for Sender { fn drop(&mut self) {} }";

    fn faults_of(mirror: &str) -> Vec<String> {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = root.path().join("crates/low");
        fs::create_dir_all(folder.join("src")).expect("folders");
        fs::write(folder.join("Cargo.toml"), "[package]\nname = \"low\"\n").expect("a file");
        fs::write(folder.join("src/lib.rs"), ORIGINAL).expect("a file");
        fs::write(folder.join("src/blocking.rs"), mirror).expect("a file");
        let index = Index::read(root.path()).expect("sources parse");
        faults(&index, &[("low", &["Sender"])], &[("low::Sender", "serve", "no use")])
    }

    #[test]
    fn a_method_that_is_in_no_list_is_told() {
        let list = |methods: &str| format!("mirror! {{ pub struct Sender of super::Sender, under Guard; {methods} }}");
        let all = "wait fn send(&self) -> (); pass fn name(&self) -> ();";
        assert_eq!(faults_of(&list(all)), Vec::<String>::new());
        assert_eq!(
            faults_of(&list("pass fn name(&self) -> ();")),
            ["low::Sender::send: low::blocking::Sender has no such method"]
        );
        // By hand is as good.
        let by_hand = list("wait fn send(&self) -> ();") + "impl Sender { pub fn name(&self) {} }";
        assert_eq!(faults_of(&by_hand), Vec::<String>::new());
        assert_eq!(
            faults_of(&list(&format!("{all} pass fn serve(&self) -> ();"))),
            ["low::Sender::serve: mirrored, though \"no use\""]
        );
        assert_eq!(faults_of("").len(), 1);
    }
}
