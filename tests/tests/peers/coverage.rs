//! docs/protocol/interop.md and docs/protocol/peers.md against the tests that there are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The paths of the tests of this program.
fn tests() -> BTreeSet<String> {
    let output = Command::new(env::current_exe().unwrap()).arg("--list").output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs/protocol").join(name)).unwrap()
}

/// What stands between backticks and names a test: of this program, or of a file.
fn named(text: &str) -> Vec<&str> {
    let is_test = |name: &str| {
        let (path, test) = name.rsplit_once("::")?;
        let path = path.strip_suffix(".rs").unwrap_or(path);
        let word = |text: &str| text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b':' | b'/'));
        (word(path) && word(test) && test.contains('_')).then_some(())
    };
    text.split('`').skip(1).step_by(2).filter(|name| is_test(name).is_some()).collect()
}

fn is_there(name: &str, tests: &BTreeSet<String>) -> bool {
    match name.split_once(".rs::") {
        Some((file, test)) => fs::read_to_string(root().join(format!("{file}.rs")))
            .is_ok_and(|source| source.contains(&format!("fn {test}("))),
        None => tests.contains(name.strip_prefix("peers::").unwrap_or(name)),
    }
}

#[test]
fn every_test_that_the_pages_name_is_there() {
    let tests = tests();
    let mut missing = Vec::new();
    for name in ["interop.md", "peers.md"] {
        let page = page(name);
        let named = named(&page);
        assert!(named.len() > 20, "{name}: {}", named.len());
        missing.extend(named.into_iter().filter(|test| !is_there(test, &tests)).map(|test| format!("{name}: {test}")));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn the_tables_have_every_case() {
    let page = page("interop.md");
    let cells =
        |line: &str| -> Vec<String> { line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect() };
    let (mut told, mut modules) = (BTreeSet::new(), Vec::new());
    for line in page.lines() {
        if !line.starts_with('|') {
            modules.clear();
        } else if line.starts_with("| item | case |") {
            modules = cells(line).split_off(2);
        } else if !modules.is_empty() && !line.starts_with("|---") {
            let row = cells(line);
            assert_eq!(row.len(), modules.len() + 2, "{line}");
            for (module, cell) in modules.iter().zip(&row[2..]) {
                match cell.as_str() {
                    "yes" => assert!(told.insert(format!("{module}::{}", row[1])), "twice: {line}"),
                    "no" => {}
                    cell => assert!(!named(cell).is_empty(), "{cell:?} in {line}"),
                }
            }
        }
    }
    // The cases that peers share are the tests right in their modules, those of the container face in `container`.
    let shared = |test: &str| {
        let (_, name) = test.strip_prefix("container::").unwrap_or(test).split_once("::")?;
        let kinds = ["client_", "broker_", "server_", "through_", "tshark_"];
        (!name.contains("::") && kinds.iter().any(|kind| name.starts_with(kind))).then_some(())
    };
    let there: BTreeSet<String> = tests().into_iter().filter(|test| shared(test).is_some()).collect();
    assert!(there.len() > 100, "{}", there.len());
    let off: Vec<_> = there.symmetric_difference(&told).collect();
    assert!(off.is_empty(), "in the table or among the tests, and not in both: {off:#?}");
}
