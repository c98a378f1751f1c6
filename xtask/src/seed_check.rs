//! `cargo xtask seed-check`: every row of docs/seeds/*.md against the sources.
//!
//! A row is `name | item | test`. `item` is a Rust path (`postroad_messaging::Sender::send`) or `not built yet`; `test`
//! is `FILE.rs::NAME` (`crates/messaging/tests/queue.rs::fetch_times_out`) or, for what is not built, `-`. Two of either
//! are set apart by a comma. The pages of the conformance cases and of the
//! original's tests are checked with them.

mod conformance;
pub(crate) mod items;
mod originals;
mod tests_in;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use self::items::Index;
use crate::Verdict;

const NOT_BUILT: &str = "not built yet";
const NO_TEST: &str = "-";

/// Checks the tables of the checkout at `root`.
///
/// # Errors
///
/// One line `file:line: fault` per bad row.
pub(crate) fn check(root: &Path) -> Verdict {
    match (tables(root), conformance::check(root), originals::check(root)) {
        (Ok(tables), Ok(cases), Ok(originals)) => Ok(format!("{tables}; {cases}; {originals}")),
        (tables, cases, originals) => {
            Err([tables.err(), cases.err(), originals.err()].into_iter().flatten().flatten().collect())
        }
    }
}

/// The tables of docs/seeds alone.
fn tables(root: &Path) -> Verdict {
    let folder = root.join("docs/seeds");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .map_err(|error| vec![format!("{}: {error}", folder.display())])?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(vec![format!("{}: no tables", folder.display())]);
    }
    let mut index = Index::read(root)?;
    let (mut faults, mut rows, mut built) = (Vec::new(), 0, 0);
    for file in &files {
        let shown = file.strip_prefix(root).unwrap_or(file).display().to_string();
        let text = fs::read_to_string(file).map_err(|error| vec![format!("{shown}: {error}")])?;
        let (table, broken) = read_table(&text);
        faults.extend(broken.into_iter().map(|(line, fault)| format!("{shown}:{line}: {fault}")));
        if table.is_empty() {
            faults.push(format!("{shown}: no rows"));
        }
        rows += table.len();
        let mut names = BTreeSet::new();
        for row in &table {
            let mut found = row_faults(root, row, &mut index);
            if !names.insert(&row.name) {
                found.push("an earlier row has this name".into());
            }
            built += usize::from(row.item != NOT_BUILT);
            faults.extend(found.into_iter().map(|fault| format!("{shown}:{}: {}: {fault}", row.line, row.name)));
        }
    }
    if faults.is_empty() {
        Ok(format!("seed-check: {rows} names in {} tables, {built} built, {} not built yet", files.len(), rows - built))
    } else {
        Err(faults)
    }
}

#[derive(Debug)]
struct Row {
    line: usize,
    name: String,
    item: String,
    test: String,
}

/// The rows of a file, and the lines that should be rows and are not.
fn read_table(text: &str) -> (Vec<Row>, Vec<(usize, String)>) {
    let (mut rows, mut broken) = (Vec::new(), Vec::new());
    // Lines since a table began: header, rule, rows.
    let mut depth = 0;
    for (line, text) in text.lines().enumerate().map(|(index, text)| (index + 1, text.trim())) {
        let Some(inner) = text.strip_prefix('|') else {
            depth = 0;
            continue;
        };
        depth += 1;
        let cells: Vec<&str> = inner.strip_suffix('|').unwrap_or(inner).split('|').map(str::trim).collect();
        match (depth, cells.as_slice()) {
            (1, ["name", "item", "test"]) => {}
            (1, _) => broken.push((line, "a table begins with `| name | item | test |`".into())),
            (2, cells) if cells.iter().all(|cell| cell.starts_with("--") || cell.starts_with(":-")) => {}
            (_, [name, item, test]) if !name.is_empty() && !item.is_empty() && !test.is_empty() => {
                rows.push(Row { line, name: plain(name), item: plain(item), test: plain(test) });
            }
            _ => broken.push((line, "a row has three cells, none of them empty".into())),
        }
    }
    (rows, broken)
}

fn plain(cell: &str) -> String {
    cell.replace('`', "")
}

fn row_faults(root: &Path, row: &Row, index: &mut Index) -> Vec<String> {
    match (row.item.as_str(), row.test.as_str()) {
        (NOT_BUILT, NO_TEST) => return Vec::new(),
        (NOT_BUILT, _) => return vec![format!("has a test but is {NOT_BUILT}")],
        (_, NO_TEST) => return vec!["is built but no test shows it".into()],
        _ => {}
    }
    let mut faults = Vec::new();
    for item in row.item.split(',').map(str::trim) {
        faults.extend(index.missing(item).map(|why| format!("no item {item}: {why}")));
    }
    for test in row.test.split(',').map(str::trim) {
        faults.extend(tests_in::missing(root, test).map(|why| format!("no test {test}: {why}")));
    }
    faults
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A checkout with one crate, one test file and these rows.
    fn checkout(rows: &str) -> TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            fs::write(path, text).expect("a file");
        };
        write("crates/messaging/Cargo.toml", "[package]\nname = \"postroad-messaging\"\n");
        write(
            "crates/messaging/src/lib.rs",
            "mod sender;\npub use crate::sender::Sender;\npub struct Receiver;\nimpl Receiver { pub fn fetch(&self) {} fn grant(&self) {} }\n",
        );
        write("crates/messaging/src/sender.rs", "pub struct Sender;\nimpl Sender { pub async fn send(&self) {} }\n");
        write(
            "crates/messaging/tests/queue.rs",
            "#[tokio::test]\nasync fn sends() {}\n#[test]\nfn fetches() {}\n#[test]\n#[ignore]\nfn sleeps() {}\nfn helper() {}\n",
        );
        write("docs/seeds/one.md", &format!("# One\n\n| name | item | test |\n|---|---|---|\n{rows}"));
        root
    }

    fn faults(rows: &str) -> Vec<String> {
        tables(checkout(rows).path()).expect_err("a bad row")
    }

    const QUEUE: &str = "crates/messaging/tests/queue.rs";

    #[test]
    fn right_rows_pass() {
        let rows = format!(
            "| `Sender.send` | `postroad_messaging::Sender::send` | `{QUEUE}::sends` |\n\
             | `Receiver` | postroad_messaging::Receiver, postroad_messaging::Receiver::fetch | {QUEUE}::fetches, {QUEUE}::sends |\n\
             | `Session` | not built yet | - |\n"
        );
        assert_eq!(
            tables(checkout(&rows).path()),
            Ok("seed-check: 3 names in 1 tables, 2 built, 1 not built yet".into())
        );
    }

    #[test]
    fn absent_item_fails_with_its_line() {
        let rows = format!(
            "| a | not built yet | - |\n\
             | b | postroad_messaging::Sender::sent | {QUEUE}::sends |\n\
             | c | postroad_messaging::sender::Sender | {QUEUE}::sends |\n\
             | d | postroad_messaging::Receiver::grant | {QUEUE}::sends |\n\
             | e | postroad_sender::Sender | {QUEUE}::sends |\n"
        );
        assert_eq!(
            faults(&rows),
            [
                "docs/seeds/one.md:6: b: no item postroad_messaging::Sender::sent: `Sender` has no public `sent`",
                "docs/seeds/one.md:7: c: no item postroad_messaging::sender::Sender: `sender` is not public",
                "docs/seeds/one.md:8: d: no item postroad_messaging::Receiver::grant: `Receiver` has no public `grant`",
                "docs/seeds/one.md:9: e: no item postroad_sender::Sender: no crate `postroad_sender`",
            ]
        );
    }

    #[test]
    fn absent_test_fails_with_its_line() {
        let rows = format!(
            "| a | postroad_messaging::Sender | {QUEUE}::sent |\n\
             | b | postroad_messaging::Sender | {QUEUE}::helper |\n\
             | c | postroad_messaging::Sender | crates/messaging/tests/topic.rs::sends |\n\
             | d | postroad_messaging::Sender | {QUEUE}::sleeps |\n\
             | e | postroad_messaging::Sender | sends |\n"
        );
        assert_eq!(
            faults(&rows),
            [
                format!("docs/seeds/one.md:5: a: no test {QUEUE}::sent: the file has no such test"),
                format!("docs/seeds/one.md:6: b: no test {QUEUE}::helper: the file has no such test"),
                "docs/seeds/one.md:7: c: no test crates/messaging/tests/topic.rs::sends: no such file".into(),
                format!("docs/seeds/one.md:8: d: no test {QUEUE}::sleeps: it is ignored"),
                "docs/seeds/one.md:9: e: no test sends: write it as FILE.rs::NAME".into(),
            ]
        );
    }

    #[test]
    fn half_built_rows_fail() {
        let rows = format!(
            "| a | not built yet | {QUEUE}::sends |\n| b | postroad_messaging::Sender | - |\n| c | postroad_messaging::Sender |\n\
             | d | not built yet | - |\n| d | not built yet | - |\n"
        );
        assert_eq!(
            faults(&rows),
            [
                "docs/seeds/one.md:7: a row has three cells, none of them empty",
                "docs/seeds/one.md:5: a: has a test but is not built yet",
                "docs/seeds/one.md:6: b: is built but no test shows it",
                "docs/seeds/one.md:9: d: an earlier row has this name",
            ]
        );
    }

    #[test]
    fn table_with_other_columns_fails() {
        let root = checkout("");
        fs::write(root.path().join("docs/seeds/one.md"), "| name | test |\n|---|---|\n").expect("a file");
        assert_eq!(
            tables(root.path()).expect_err("a bad header"),
            ["docs/seeds/one.md:1: a table begins with `| name | item | test |`", "docs/seeds/one.md: no rows"]
        );
    }
}
