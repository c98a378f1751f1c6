//! What the sources of a crate must not say: words in any text, or tokens in code.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::table::{Rule, Silence, UNSAFE_FOLDER};
use crate::workspace::rust_files;

/// Every place in the sources below `root` that says what `table` forbids, as `file:line: crate must not say what`.
pub(super) fn faults(root: &Path, table: &[Rule]) -> Vec<String> {
    let mut faults = Vec::new();
    for rule in table {
        let folder = root.join(rule.folder);
        for path in rust_files(&folder) {
            let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            let text = match fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) => {
                    faults.push(format!("{shown}: {error}"));
                    continue;
                }
            };
            let mut found: Vec<(usize, &str)> = Vec::new();
            let in_source = path.starts_with(folder.join("src"));
            for silence in rule.silent_on.iter().filter(|_| in_source) {
                match silence {
                    Silence::Words(words) => found.extend(words_in(&text, words)),
                    Silence::Tokens(_) if is_test_file(&path) => {}
                    Silence::Tokens(sequences) => match tokens(&text, false) {
                        Ok(code) => found.extend(sequences_in(&code, sequences)),
                        Err(error) => faults.push(format!("{shown}: {error}")),
                    },
                }
            }
            if rule.folder != UNSAFE_FOLDER {
                match tokens(&text, true) {
                    Ok(code) => found.extend(sequences_in(&code, &["unsafe"])),
                    Err(error) => faults.push(format!("{shown}: {error}")),
                }
            }
            found.sort_unstable();
            found.dedup();
            faults.extend(
                found.iter().map(|(line, what)| format!("{shown}:{line}: {} must not say `{what}`", rule.name)),
            );
        }
    }
    faults
}

/// A module that only `#[cfg(test)]` or the feature `fuzzing` brings in, by the name it has everywhere here.
fn is_test_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tests.rs" || name == "fuzz.rs")
        || path.parent().is_some_and(|folder| folder.ends_with("tests") || folder.ends_with("fuzz"))
}

fn words_in<'a>(text: &str, words: &[&'a str]) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.to_lowercase();
        found.extend(words.iter().filter(|word| line.contains(*word)).map(|word| (index + 1, *word)));
    }
    found
}

/// Where each of `sequences` (tokens with a space between) begins.
fn sequences_in<'a>(code: &[(usize, String)], sequences: &[&'a str]) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for sequence in sequences {
        // `::` is two punctuation tokens.
        let wanted: Vec<&str> =
            sequence.split(' ').flat_map(|part| if part == "::" { vec![":", ":"] } else { vec![part] }).collect();
        for window in code.windows(wanted.len()) {
            if window.iter().map(|(_, token)| token).eq(wanted.iter()) {
                found.push((window[0].0, *sequence));
            }
        }
    }
    found
}

/// The tokens of a source file with their lines, comments and strings left out.
fn tokens(text: &str, with_tests: bool) -> Result<Vec<(usize, String)>, String> {
    let stream = TokenStream::from_str(text).map_err(|error| format!("line {}: {error}", error.span().start().line))?;
    let mut flat = Vec::new();
    flatten(stream, with_tests, &mut flat);
    Ok(flat)
}

fn flatten(stream: TokenStream, with_tests: bool, flat: &mut Vec<(usize, String)>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Punct(hash) if hash.as_char() == '#' && !with_tests && trees.peek().is_some_and(is_cfg_test) => {
                // The item that follows: up to its braces or its semicolon.
                for tree in trees.by_ref() {
                    match tree {
                        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
                        TokenTree::Punct(end) if end.as_char() == ';' => break,
                        _ => {}
                    }
                }
            }
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                flat.push((line, open.into()));
                flatten(group.stream(), with_tests, flat);
                flat.push((group.span_close().end().line, close.into()));
            }
            TokenTree::Literal(_) => flat.push((line, "\"\"".into())),
            TokenTree::Ident(_) | TokenTree::Punct(_) => flat.push((line, tree.to_string())),
        }
    }
}

fn is_cfg_test(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket
        && group.stream().to_string().replace(' ', "") == "cfg(test)")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::table::TABLE;
    use super::*;

    fn faults_of(path: &str, text: &str) -> Vec<String> {
        let root = tempfile::tempdir().expect("a temporary folder");
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(&path, text).expect("a file");
        faults(root.path(), TABLE)
    }

    #[test]
    fn transport_names_no_protocol() {
        assert_eq!(
            faults_of("crates/taps/src/framer.rs", "// one frame\n// of AMQP\n"),
            ["crates/taps/src/framer.rs:2: postroad-taps must not say `amqp`"]
        );
        assert_eq!(faults_of("crates/client/src/lib.rs", "// of AMQP\n"), Vec::<String>::new());
    }

    #[test]
    fn engine_reads_no_clock() {
        let text = "use std::time::Instant;\nfn f() -> Instant {\n    Instant::now()\n}\n";
        assert_eq!(
            faults_of("crates/amqp/src/lib.rs", text),
            ["crates/amqp/src/lib.rs:3: postroad-amqp must not say `Instant :: now`"]
        );
        let text = "use std::time;\nfn f() {\n    time::SystemTime::now();\n}\n";
        assert_eq!(
            faults_of("crates/codec/src/lib.rs", text),
            ["crates/codec/src/lib.rs:3: postroad-codec must not say `SystemTime :: now`"]
        );
    }

    #[test]
    fn clock_in_a_test_or_comment_is_no_fault() {
        let text = "// not Instant::now()\n#[cfg(test)]\nmod tests { fn f() { std::time::Instant::now(); } }\n";
        assert_eq!(faults_of("crates/amqp/src/lib.rs", text), Vec::<String>::new());
    }

    #[test]
    fn clock_in_a_fuzz_body_is_no_fault() {
        let text = "fn f() { std::time::Instant::now(); }\n";
        assert_eq!(faults_of("crates/amqp/src/fuzz/mod.rs", text), Vec::<String>::new());
    }

    #[test]
    fn code_after_a_test_module_is_read() {
        let text = "#[cfg(test)]\nmod tests;\nfn f() { std::time::Instant::now(); }\n";
        assert_eq!(
            faults_of("crates/amqp/src/lib.rs", text),
            ["crates/amqp/src/lib.rs:3: postroad-amqp must not say `Instant :: now`"]
        );
    }

    #[test]
    fn unsafe_stands_only_in_sys() {
        let text = "#![forbid(unsafe_code)] // no unsafe\nfn f() { unsafe { } }\n";
        assert_eq!(faults_of("tests/tests/chaos.rs", text), ["tests/tests/chaos.rs:2: tests must not say `unsafe`"]);
        assert_eq!(faults_of("crates/sys/src/lib.rs", text), Vec::<String>::new());
    }

    #[test]
    fn file_that_is_no_rust_is_a_fault() {
        assert_eq!(faults_of("crates/amqp/src/lib.rs", "fn f( {").len(), 2);
    }
}
