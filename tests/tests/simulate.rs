//! The program that plays links in virtual time says what it did, and what is wrong with its command line.

use std::process::{Command, Output};

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulate")).args(arguments).output().unwrap()
}

#[test]
fn runs_are_counted_and_told_where_that_is_wanted() {
    // The seed behind the last one is the first one.
    let output = program(&["--runs", "2", "--seed", &u64::MAX.to_string()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("2 runs in ") && text.lines().count() == 1, "{text}");
    assert_eq!(output.status.code(), Some(0));
    let traced = program(&["--runs", "1", "--seed", "7", "--trace"]);
    let text = String::from_utf8(traced.stdout).unwrap();
    assert!(text.contains("open") && text.contains("the client connects: 0"), "{text}");
}

#[test]
fn wrong_command_lines_are_told_and_end_with_64() {
    for wrong in [&["--runs", "0"][..], &["--runs", "x"], &["--runs"], &["--seed", "x"], &["--nothing"]] {
        let output = program(wrong);
        assert_eq!(output.status.code(), Some(64), "{wrong:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("error: ") && text.contains(wrong[0]), "{wrong:?}: {text}");
    }
    assert_eq!(program(&["--help"]).status.code(), Some(0));
}
