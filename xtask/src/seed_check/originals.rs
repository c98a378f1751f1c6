//! The pages of the originals' tests against ours: each test of an original has a row, and every test of ours that a row names
//! is there.
//!
//! A row has three cells, below the heading of its section. The first names tests of the original between backticks. The last
//! but one of docs/protocol/qpid-tests.md, and the last of docs/protocol/container-tests.md, name tests of ours between backticks
//! as FILE.rs::NAME, or say that there are none: `not built yet`, or the reason.

mod pages;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use self::pages::PAGES;
use super::{NOT_BUILT, tests_in};
use crate::Verdict;

/// A page with the tests of originals.
struct Page {
    path: &'static str,
    /// The cells that name tests of ours: the first of them must, or say why not.
    tests: &'static [usize],
    /// The sections, and how many tests of the original each has.
    sections: &'static [(&'static str, usize)],
    /// Whether a test may have no counterpart for any reason that is given.
    reasons: bool,
}

/// Checks the pages of the checkout at `root`.
pub(super) fn check(root: &Path) -> Verdict {
    let (mut told, mut faults) = (Vec::new(), Vec::new());
    for verdict in PAGES.iter().map(|page| page.check(root)) {
        match verdict {
            Ok(page) => told.push(page),
            Err(page) => faults.extend(page),
        }
    }
    if faults.is_empty() { Ok(format!("originals: {}", told.join(", "))) } else { Err(faults) }
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

impl Page {
    fn check(&self, root: &Path) -> Verdict {
        let path = self.path;
        let text = fs::read_to_string(root.join(path)).map_err(|error| vec![format!("{path}: {error}")])?;
        let mut sections: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
        let (mut section, mut faults, mut shown) = (String::new(), Vec::new(), 0);
        for (line, text) in text.lines().enumerate().map(|(index, text)| (index + 1, text.trim())) {
            if let Some(heading) = text.strip_prefix("## ") {
                section = heading.replace('`', "");
                continue;
            }
            let Some(row) = text.strip_prefix('|').and_then(|row| row.strip_suffix('|')) else { continue };
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            if cells.first().is_some_and(|cell| *cell == "there" || cell.starts_with('-')) {
                continue;
            }
            let names: Vec<&str> = quoted(cells[0]).collect();
            let fault = |why: String| format!("{path}:{line}: {}: {why}", names.first().unwrap_or(&"nothing"));
            let known = sections.entry(section.clone()).or_default();
            for name in &names {
                if let Some(earlier) = known.insert(name, line) {
                    faults.push(fault(format!("line {earlier} has {name} already")));
                }
            }
            if cells.len() != 3 {
                faults.push(fault("a row has three cells".into()));
                continue;
            }
            let here = cells[self.tests[0]];
            if !here.contains('`') && here != NOT_BUILT && (here.is_empty() || !self.reasons) {
                let reason = if self.reasons { "a reason" } else { NOT_BUILT };
                faults.push(fault(format!("neither a test nor `{reason}`")));
            }
            shown += if here.contains('`') { names.len() } else { 0 };
            let named = self.tests.iter().flat_map(|cell| quoted(cells[*cell]));
            faults.extend(named.filter_map(|test| Some(fault(format!("{test}: {}", tests_in::missing(root, test)?)))));
        }
        for (section, count) in self.sections {
            let rows = sections.remove(*section).unwrap_or_default().len();
            if rows != *count {
                faults.push(format!("{path}: {section} has {count} tests and {rows} rows"));
            }
        }
        faults.extend(sections.keys().map(|section| format!("{path}: what section is {section:?}?")));
        let all: usize = self.sections.iter().map(|(_, count)| count).sum();
        if faults.is_empty() { Ok(format!("{shown} of {all} tests shown in {path}")) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTIONS: [(&str, usize); 2] = [("First", 2), ("a, b.ts", 3)];
    const BUILT: Page = Page { path: "docs/a.md", tests: &[1, 2], sections: &SECTIONS, reasons: false };
    const REASONED: Page = Page { path: "docs/a.md", tests: &[2], sections: &SECTIONS, reasons: true };

    /// The page has all rows but the last, which is this text.
    fn faults(page: &Page, last: &str) -> Vec<String> {
        let root = tempfile::tempdir().expect("a temporary folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            fs::write(path, text).expect("a file");
        };
        write("crates/a/tests/b.rs", "#[test]\nfn one() {}\n");
        let head = "| there | here | peers |\n|---|---|---|\n";
        let rows = format!("| `test0` | {NOT_BUILT} | {NOT_BUILT} |\n| `test1` | {NOT_BUILT} | {NOT_BUILT} |\n");
        write(page.path, &format!("# A\n\n## `First`\n\n{head}{rows}\n## a, `b.ts`\n\n{head}{rows}{last}"));
        page.check(root.path()).err().unwrap_or_default()
    }

    #[test]
    fn a_row_names_tests_or_says_that_there_is_none() {
        const ONE: &str = "`crates/a/tests/b.rs::one`";
        for good in [format!("{ONE} | ours"), format!("{ONE} | {ONE}"), format!("{NOT_BUILT} |")] {
            assert_eq!(faults(&BUILT, &format!("| `test2` | {good} |\n")), Vec::<String>::new(), "{good}");
        }
        for bad in [" | ", "soon | ", "`crates/a/tests/b.rs::two` | ", "`one` | ", "not built yet | `one`"] {
            assert_eq!(faults(&BUILT, &format!("| `test2` | {bad} |\n")).len(), 1, "{bad}");
        }
        assert_eq!(faults(&BUILT, "| `test2` | not built yet |\n").len(), 1);
    }

    #[test]
    fn a_row_gives_a_reason_where_the_page_takes_one() {
        for good in ["what it is | `crates/a/tests/b.rs::one`", "of `it` | internals of C"] {
            assert_eq!(faults(&REASONED, &format!("| `test2` | {good} |\n")), Vec::<String>::new(), "{good}");
        }
        for bad in ["what | ", "what | `crates/a/tests/b.rs::two`", "what | see `one`"] {
            assert_eq!(faults(&REASONED, &format!("| `test2` | {bad} |\n")).len(), 1, "{bad}");
        }
    }

    #[test]
    fn every_test_of_the_original_has_one_row() {
        let lacks = format!("{}: a, b.ts has 3 tests and 2 rows", BUILT.path);
        assert_eq!(faults(&BUILT, ""), [lacks]);
        assert_eq!(faults(&BUILT, "| `test1` | not built yet | |\n").len(), 2, "twice, and one is missing");
        assert_eq!(faults(&BUILT, "| `test2` | not built yet | |\n| `test3` | not built yet | |\n").len(), 1);
        assert_eq!(faults(&BUILT, "| `test2`, `test3` | not built yet | |\n").len(), 1, "a row may have several");
        let other = "| `test2` | not built yet | |\n\n## `Others`\n| `test` | not built yet | |\n";
        assert_eq!(faults(&BUILT, other), [format!("{}: what section is \"Others\"?", BUILT.path)]);
    }
}
