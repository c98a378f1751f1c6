//! The parser cases of the Python client's own suite (`qpid/tests/messaging/address.py`), by their names. Its nine lexer
//! cases stand beside the lexer.

use postroad_address::{Address, OptionMap, OptionValue};

use crate::{entry, expect, list, map, parts};

#[track_caller]
fn valid(input: &str, name: &str, subject: Option<&str>, options: Option<OptionMap>) {
    assert_eq!(Address::parse(input).map(parts), Ok(expect(name, subject, options)), "{input}");
}

#[track_caller]
fn invalid(input: &str, message: &str) {
    assert_eq!(Address::parse(input).unwrap_err().to_string(), message);
}

fn key_value() -> Option<OptionMap> {
    Some(map([entry("key", "value")]))
}

#[test]
fn hash() {
    valid("foo/bar.#", "foo", Some("bar.#"), None);
}

#[test]
fn star() {
    valid("foo/bar.*", "foo", Some("bar.*"), None);
}

#[test]
fn colon() {
    valid("foo.bar/baz.qux:moo:arf", "foo.bar", Some("baz.qux:moo:arf"), None);
}

#[test]
fn options() {
    valid("foo.bar/baz.qux:moo:arf; {key: value}", "foo.bar", Some("baz.qux:moo:arf"), key_value());
}

#[test]
fn options_trailing_comma() {
    valid("name/subject; {key: value,}", "name", Some("subject"), key_value());
}

#[test]
fn options_none() {
    let options = map([entry("key", OptionValue::Null)]);
    valid("name/subject; {key: None}", "name", Some("subject"), Some(options));
}

#[test]
fn semi_subject() {
    valid("foo.bar/'baz.qux;moo:arf'; {key: value}", "foo.bar", Some("baz.qux;moo:arf"), key_value());
}

#[test]
fn comma_subject() {
    valid("foo.bar/baz.qux.{moo,arf}", "foo.bar", Some("baz.qux.{moo,arf}"), None);
}

#[test]
fn comma_subject_options() {
    valid("foo.bar/baz.qux.{moo,arf}; {key: value}", "foo.bar", Some("baz.qux.{moo,arf}"), key_value());
}

#[test]
fn unbalanced() {
    valid("foo.bar/baz.qux.{moo,arf; {key: value}", "foo.bar", Some("baz.qux.{moo,arf"), key_value());
}

#[test]
fn slash_quote() {
    valid(r"foo.bar\/baz.qux.{moo,arf; {key: value}", "foo.bar/baz.qux.{moo,arf", None, key_value());
}

#[test]
fn slash_hex_esc_1_to_3() {
    for (escape, character) in [("x00", '\0'), ("xff", '\u{ff}'), ("xFF", '\u{ff}')] {
        let name = format!("foo.bar{character}baz.qux.{{moo,arf");
        valid(&format!(r"foo.bar\{escape}baz.qux.{{moo,arf; {{key: value}}"), &name, None, key_value());
    }
}

#[test]
fn slash_unicode_1_to_4() {
    for (escape, character) in [("u1234", '\u{1234}'), ("u0000", '\0'), ("uffff", '\u{ffff}'), ("uFFFF", '\u{ffff}')] {
        let name = format!("foo.bar{character}baz.qux.{{moo,arf");
        valid(&format!(r"foo.bar\{escape}baz.qux.{{moo,arf; {{key: value}}"), &name, None, key_value());
    }
}

#[test]
fn no_name() {
    invalid("; {key: value}", "unexpected token SEMI(;) line:1,0:; {key: value}");
}

#[test]
fn empty() {
    invalid("", "unexpected token EOF line:1,0:");
}

#[test]
fn no_name_slash() {
    invalid("/asdf; {key: value}", "unexpected token SLASH(/) line:1,0:/asdf; {key: value}");
}

#[test]
fn bad_options_1() {
    invalid(
        "name/subject; {",
        "expecting (NUMBER, STRING, ID, LBRACE, LBRACK, RBRACE), got EOF line:1,15:name/subject; {",
    );
}

#[test]
fn bad_options_2() {
    invalid("name/subject; { 3", "expecting COLON, got EOF line:1,17:name/subject; { 3");
}

#[test]
fn bad_options_3() {
    invalid(
        "name/subject; { key:",
        "expecting (NUMBER, STRING, ID, LBRACE, LBRACK), got EOF line:1,20:name/subject; { key:",
    );
}

#[test]
fn bad_options_4() {
    invalid("name/subject; { key: value", "expecting (COMMA, RBRACE), got EOF line:1,26:name/subject; { key: value");
}

#[test]
fn bad_options_5() {
    invalid(
        "name/subject; { key: value asdf",
        "expecting (COMMA, RBRACE), got ID(asdf) line:1,27:name/subject; { key: value asdf",
    );
}

#[test]
fn bad_options_6() {
    invalid(
        "name/subject; { key: value,",
        "expecting (NUMBER, STRING, ID, LBRACE, LBRACK, RBRACE), got EOF line:1,27:name/subject; { key: value,",
    );
}

#[test]
fn bad_options_7() {
    invalid(
        "name/subject; { key: value } asdf",
        "expecting EOF, got ID(asdf) line:1,29:name/subject; { key: value } asdf",
    );
}

#[test]
fn list_1_to_4() {
    let check = |text: &str, items| {
        let input = format!("name/subject; {{ key: {text} }}");
        valid(&input, "name", Some("subject"), Some(map([entry("key", items)])));
    };
    check("[]", list([]));
    check("['one']", list(["one".into()]));
    check("[1, 2, 3]", list([1.into(), 2.into(), 3.into()]));
    check("[1, [2, 3], 4]", list([1.into(), list([2.into(), 3.into()]), 4.into()]));
}

#[test]
fn bad_list_1() {
    invalid(
        "name/subject; { key: [ }",
        "expecting (NUMBER, STRING, ID, LBRACE, LBRACK), got RBRACE(}) line:1,23:name/subject; { key: [ }",
    );
}

#[test]
fn bad_list_2() {
    invalid(
        "name/subject; { key: [ 1 }",
        "expecting (COMMA, RBRACK), got RBRACE(}) line:1,25:name/subject; { key: [ 1 }",
    );
}

#[test]
fn bad_list_3() {
    invalid(
        "name/subject; { key: [ 1 2 }",
        "expecting (COMMA, RBRACK), got NUMBER(2) line:1,25:name/subject; { key: [ 1 2 }",
    );
}

#[test]
fn bad_list_4() {
    invalid(
        "name/subject; { key: [ 1 2 ] }",
        "expecting (COMMA, RBRACK), got NUMBER(2) line:1,25:name/subject; { key: [ 1 2 ] }",
    );
}

#[test]
fn map_1_to_3() {
    let check = |key: &str, entry| {
        let input = format!("name/subject; {{ {key}: value }}");
        valid(&input, "name", Some("subject"), Some(map([entry])));
    };
    check("'key'", entry("key", "value"));
    check("1", entry(1, "value"));
    check("\"foo.bar\"", entry("foo.bar", "value"));
}

#[test]
fn boolean() {
    let options = map([entry("true1", true), entry("true2", true), entry("false1", false), entry("false2", false)]);
    valid(
        "name/subject; { true1: True, true2: true, false1: False, false2: false }",
        "name",
        Some("subject"),
        Some(options),
    );
}
