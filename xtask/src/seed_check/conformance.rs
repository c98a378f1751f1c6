//! docs/protocol/conformance-taps.md against the tests: every case has a row, and every test of a row is there.
//!
//! A row is `case | section | what it asks | tests`. `tests` names at least one test between backticks, by its path in
//! crates/taps or in the checkout, points to departures.md, or is `not built yet`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{NOT_BUILT, tests_in};
use crate::Verdict;

const PAGE: &str = "docs/protocol/conformance-taps.md";
/// Where the paths of the page begin.
const CRATE: &str = "crates/taps";
const CASES: u32 = 70;

/// Checks the page of the checkout at `root`.
pub(super) fn check(root: &Path) -> Verdict {
    let text = fs::read_to_string(root.join(PAGE)).map_err(|error| vec![format!("{PAGE}: {error}")])?;
    let (mut lines, mut faults, mut shown) = (BTreeMap::new(), Vec::new(), 0);
    for (line, text) in text.lines().enumerate().map(|(index, text)| (index + 1, text)) {
        let mut cells = text.trim().trim_matches('|').split('|').map(str::trim);
        let Some(case) = cells.next().and_then(|cell| cell.parse::<u32>().ok()) else { continue };
        let fault = |why: String| format!("{PAGE}:{line}: case {case}: {why}");
        if let Some(earlier) = lines.insert(case, line) {
            faults.push(fault(format!("line {earlier} has it already")));
        }
        let cells: Vec<&str> = cells.collect();
        let [_, _, tests] = cells[..] else {
            faults.push(fault("a row has four cells".into()));
            continue;
        };
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() && tests != NOT_BUILT && !tests.contains("(departures.md)") {
            faults.push(fault(format!("neither a test, nor a departure, nor `{NOT_BUILT}`")));
        }
        shown += u32::from(tests != NOT_BUILT);
        faults.extend(named.into_iter().filter_map(|test| Some(fault(format!("{test}: {}", missing(root, test)?)))));
    }
    faults.extend((1..=CASES).filter(|case| !lines.contains_key(case)).map(|case| format!("{PAGE}: no case {case}")));
    faults.extend(
        lines.keys().filter(|case| !(1..=CASES).contains(*case)).map(|case| format!("{PAGE}: what is case {case}?")),
    );
    if faults.is_empty() { Ok(format!("conformance: {shown} of {CASES} cases shown")) } else { Err(faults) }
}

fn missing(root: &Path, test: &str) -> Option<String> {
    let inside = root.join(CRATE);
    let file = test.split_once("::").map_or(test, |(file, _)| file);
    tests_in::missing(if inside.join(file).exists() { &inside } else { root }, test)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page has all cases but 7, which has these cells.
    fn faults(cells: &str) -> Vec<String> {
        let root = tempfile::tempdir().expect("a temporary folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            fs::write(path, text).expect("a file");
        };
        write("crates/taps/tests/a.rs", "#[test]\nfn one() {}\n");
        write("tests/tests/b.rs", "#[test]\nfn two() {}\n");
        let mut page = "| case | section | what it asks | tests |\n|---|---|---|---|\n".to_owned();
        for case in (1..=CASES).filter(|case| *case != 7) {
            page += &format!("| {case} | 6 | something | {NOT_BUILT} |\n");
        }
        write(PAGE, &(page + cells));
        check(root.path()).err().unwrap_or_default()
    }

    #[test]
    fn a_row_names_tests_or_says_why_not() {
        for good in ["`tests/a.rs::one`, `tests/tests/b.rs::two`", "[not so](departures.md)", NOT_BUILT] {
            assert_eq!(faults(&format!("| 7 | 6 | it | {good} |\n")), Vec::<String>::new(), "{good}");
        }
        for bad in ["", "soon", "`tests/a.rs::two`", "`tests/c.rs::one`", "`tests/a.rs`"] {
            assert_eq!(faults(&format!("| 7 | 6 | it | {bad} |\n")).len(), 1, "{bad}");
        }
    }

    #[test]
    fn every_case_has_one_row() {
        assert_eq!(faults(""), [format!("{PAGE}: no case 7")]);
        assert_eq!(faults("| 7 | 6 | it | not built yet |\n| 8 | 6 | it | not built yet |\n").len(), 1);
        assert_eq!(faults("| 7 | 6 | it | not built yet |\n| 71 | 6 | it | not built yet |\n").len(), 1);
        assert_eq!(faults("| 7 | 6 | not built yet |\n").len(), 1);
    }
}
