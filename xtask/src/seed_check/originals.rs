//! docs/protocol/qpid-tests.md against the tests: each test of the original has a row, and every test of a row is there.
//!
//! A row is `there | here | peers`, below the heading of its suite. `here` names at least one test between backticks as
//! FILE.rs::NAME, or is `not built yet`; what stands between backticks in `peers` is a test as well.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{NOT_BUILT, tests_in};
use crate::Verdict;

const PAGE: &str = "docs/protocol/qpid-tests.md";
/// The suites of the original, and how many tests each has.
const SUITES: [(&str, usize); 14] = [
    ("qpid.tests.messaging.address.AddressTests", 49),
    ("qpid.tests.messaging.endpoints.SetupTests", 9),
    ("qpid.tests.messaging.endpoints.ConnectionTests", 6),
    ("qpid.tests.messaging.endpoints.TimeoutTests", 8),
    ("qpid.tests.messaging.endpoints.SessionTests", 21),
    ("qpid.tests.messaging.endpoints.ReceiverTests", 22),
    ("qpid.tests.messaging.endpoints.AddressTests", 21),
    ("qpid.tests.messaging.endpoints.AddressErrorTests", 9),
    ("qpid.tests.messaging.endpoints.SenderTests", 9),
    ("qpid.tests.messaging.endpoints.ErrorCallbackTests", 4),
    ("qpid.tests.messaging.message.MessageTests", 5),
    ("qpid.tests.messaging.message.MessageEchoTests", 17),
    ("qpid_tests.broker_0_10.new_api.GeneralTests", 11),
    ("qpid_tests.broker_0_10.new_api.SequenceNumberTests", 3),
];

/// Checks the page of the checkout at `root`.
pub(super) fn check(root: &Path) -> Verdict {
    let text = fs::read_to_string(root.join(PAGE)).map_err(|error| vec![format!("{PAGE}: {error}")])?;
    let mut suites: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    let (mut suite, mut faults, mut shown) = ("", Vec::new(), 0);
    for (line, text) in text.lines().enumerate().map(|(index, text)| (index + 1, text.trim())) {
        if let Some(heading) = text.strip_prefix("## ") {
            suite = heading.trim_matches('`');
            continue;
        }
        let Some(row) = text.strip_prefix('|').and_then(|row| row.strip_suffix('|')) else { continue };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if cells.first().is_some_and(|cell| *cell == "there" || cell.starts_with('-')) {
            continue;
        }
        let name = cells[0].trim_matches('`');
        let fault = |why: String| format!("{PAGE}:{line}: {name}: {why}");
        if let Some(earlier) = suites.entry(suite).or_default().insert(name, line) {
            faults.push(fault(format!("line {earlier} has it already")));
        }
        let [_, here, peers] = cells[..] else {
            faults.push(fault("a row has three cells".into()));
            continue;
        };
        if !here.contains('`') && here != NOT_BUILT {
            faults.push(fault(format!("neither a test nor `{NOT_BUILT}`")));
        }
        shown += usize::from(here != NOT_BUILT);
        let named = [here, peers].into_iter().flat_map(|cell| cell.split('`').skip(1).step_by(2));
        faults.extend(named.filter_map(|test| Some(fault(format!("{test}: {}", tests_in::missing(root, test)?)))));
    }
    for (suite, count) in SUITES {
        let rows = suites.remove(suite).unwrap_or_default().len();
        if rows != count {
            faults.push(format!("{PAGE}: {suite} has {count} tests and {rows} rows"));
        }
    }
    faults.extend(suites.keys().map(|suite| format!("{PAGE}: what suite is {suite:?}?")));
    let all: usize = SUITES.iter().map(|(_, count)| count).sum();
    if faults.is_empty() { Ok(format!("originals: {shown} of {all} tests shown")) } else { Err(faults) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page has all rows but the last, which is this text.
    fn faults(last: &str) -> Vec<String> {
        let root = tempfile::tempdir().expect("a temporary folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            fs::write(path, text).expect("a file");
        };
        write("crates/a/tests/b.rs", "#[test]\nfn one() {}\n");
        let mut page = String::new();
        for (suite, count) in SUITES {
            page += &format!("\n## `{suite}`\n\n| there | here | peers |\n|---|---|---|\n");
            for number in 0..count {
                page += &format!("| `test{number}` | {NOT_BUILT} | |\n");
            }
        }
        let rest = page.trim_end().rsplit_once('\n').expect("rows").0.to_owned();
        write(PAGE, &format!("{rest}\n{last}"));
        check(root.path()).err().unwrap_or_default()
    }

    #[test]
    fn a_row_names_tests_or_says_that_there_is_none() {
        for good in ["`crates/a/tests/b.rs::one` | ours", "`crates/a/tests/b.rs::one` | `crates/a/tests/b.rs::one`"] {
            assert_eq!(faults(&format!("| `test2` | {good} |\n")), Vec::<String>::new(), "{good}");
        }
        assert_eq!(faults(&format!("| `test2` | {NOT_BUILT} | |\n")), Vec::<String>::new());
        for bad in [" | ", "soon | ", "`crates/a/tests/b.rs::two` | ", "`one` | ", "not built yet | `one`"] {
            assert_eq!(faults(&format!("| `test2` | {bad} |\n")).len(), 1, "{bad}");
        }
        assert_eq!(faults("| `test2` | not built yet |\n").len(), 1);
    }

    #[test]
    fn every_test_of_the_original_has_one_row() {
        let suite = SUITES[SUITES.len() - 1].0;
        assert_eq!(faults(""), [format!("{PAGE}: {suite} has 3 tests and 2 rows")]);
        assert_eq!(faults("| `test1` | not built yet | |\n").len(), 2, "twice, and one is missing");
        assert_eq!(faults("| `test2` | not built yet | |\n| `test3` | not built yet | |\n").len(), 1);
        let other = "| `test2` | not built yet | |\n\n## `Others`\n| `test` | not built yet | |\n";
        assert_eq!(faults(other), [format!("{PAGE}: what suite is \"Others\"?")]);
    }
}
