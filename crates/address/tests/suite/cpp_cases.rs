//! The parser cases of the C++ client's suite (`src/tests/Address.cpp`), by their names, in both dialects.

use postroad_address::Dialect;

use crate::{entry, list, map, reads};

#[test]
fn parse_name_only() {
    reads(Dialect::Cpp, "my-topic", "my-topic", None, None);
    reads(Dialect::Python, "my-topic", "my-topic", None, None);
}

#[test]
fn parse_subject() {
    reads(Dialect::Cpp, "my-topic/my-subject", "my-topic", Some("my-subject"), None);
    reads(Dialect::Python, "my-topic/my-subject", "my-topic", Some("my-subject"), None);
}

#[test]
fn parse_options() {
    reads(
        Dialect::Cpp,
        "my-topic; {a:bc, x:101, y:'a string'}",
        "my-topic",
        None,
        Some(map([entry("a", "bc"), entry("x", 101), entry("y", "a string")])),
    );
    reads(
        Dialect::Python,
        "my-topic; {a:bc, x:101, y:'a string'}",
        "my-topic",
        None,
        Some(map([entry("a", "bc"), entry("x", 101), entry("y", "a string")])),
    );
}

#[test]
fn parse_subject_and_options() {
    reads(
        Dialect::Cpp,
        "my-topic/my-subject; {a:bc, x:101, y:'a string'}",
        "my-topic",
        Some("my-subject"),
        Some(map([entry("a", "bc"), entry("x", 101), entry("y", "a string")])),
    );
    reads(
        Dialect::Python,
        "my-topic/my-subject; {a:bc, x:101, y:'a string'}",
        "my-topic",
        Some("my-subject"),
        Some(map([entry("a", "bc"), entry("x", 101), entry("y", "a string")])),
    );
}

#[test]
fn parse_nested_options() {
    reads(
        Dialect::Cpp,
        "my-topic; {a:{p:202, q:'another string'}, x:101, y:'a string'}",
        "my-topic",
        None,
        Some(map([
            entry("a", map([entry("p", 202), entry("q", "another string")])),
            entry("x", 101),
            entry("y", "a string"),
        ])),
    );
    reads(
        Dialect::Python,
        "my-topic; {a:{p:202, q:'another string'}, x:101, y:'a string'}",
        "my-topic",
        None,
        Some(map([
            entry("a", map([entry("p", 202), entry("q", "another string")])),
            entry("x", 101),
            entry("y", "a string"),
        ])),
    );
}

#[test]
fn parse_options_with_list() {
    reads(
        Dialect::Cpp,
        "my-topic; {a:[202, 'another string'], x:101}",
        "my-topic",
        None,
        Some(map([entry("a", list([202.into(), "another string".into()])), entry("x", 101)])),
    );
    reads(
        Dialect::Python,
        "my-topic; {a:[202, 'another string'], x:101}",
        "my-topic",
        None,
        Some(map([entry("a", list([202.into(), "another string".into()])), entry("x", 101)])),
    );
}

#[test]
fn parse_options_with_empty_list() {
    reads(
        Dialect::Cpp,
        "my-topic; {a:[], x:101}",
        "my-topic",
        None,
        Some(map([entry("a", list([])), entry("x", 101)])),
    );
    reads(
        Dialect::Python,
        "my-topic; {a:[], x:101}",
        "my-topic",
        None,
        Some(map([entry("a", list([])), entry("x", 101)])),
    );
}

#[test]
fn parse_options_with_empty_map() {
    reads(Dialect::Cpp, "my-topic; {a:{}, x:101}", "my-topic", None, Some(map([entry("a", map([])), entry("x", 101)])));
    reads(
        Dialect::Python,
        "my-topic; {a:{}, x:101}",
        "my-topic",
        None,
        Some(map([entry("a", map([])), entry("x", 101)])),
    );
}

#[test]
fn parse_quoted_name_and_subject() {
    reads(
        Dialect::Cpp,
        "'my topic with / in it'/'my subject with ; in it'",
        "my topic with / in it",
        Some("my subject with ; in it"),
        None,
    );
    reads(
        Dialect::Python,
        "'my topic with / in it'/'my subject with ; in it'",
        "my topic with / in it",
        Some("my subject with ; in it"),
        None,
    );
}

#[test]
fn parse_options_with_empty_string_as_value() {
    reads(Dialect::Cpp, "my-topic; {a:'', x:101}", "my-topic", None, Some(map([entry("a", ""), entry("x", 101)])));
    reads(Dialect::Python, "my-topic; {a:'', x:101}", "my-topic", None, Some(map([entry("a", ""), entry("x", 101)])));
}
