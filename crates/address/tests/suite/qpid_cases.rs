//! The 49 cases of the Python client's own suite (`qpid/tests/messaging/address.py`), by their names, in both dialects. What
//! the C++ dialect answers follows from its client's grammar (`src/qpid/messaging/AddressParser.cpp`).

use postroad_address::{
    Dialect, OptionValue,
    TokenKind::{self, Blank, Eof, Id, Number, Sym},
    lex,
};

use crate::{entry, list, map, reads, refuses};

#[track_caller]
fn tokens(input: &str, expected: &[TokenKind]) {
    let kinds = lex(input).unwrap().into_iter().map(|token| token.kind);
    let kinds: Vec<_> = kinds.filter(|kind| ![Blank, Eof].contains(kind)).collect();
    assert_eq!(kinds, expected, "{input}");
}

#[test]
fn dash_in_id_1() {
    tokens("foo-bar", &[Id]);
    reads(Dialect::Python, "foo-bar", "foo-bar", None, None);
    reads(Dialect::Cpp, "foo-bar", "foo-bar", None, None);
}

#[test]
fn dash_in_id_2() {
    tokens("foo-3", &[Id]);
    reads(Dialect::Python, "foo-3", "foo-3", None, None);
    reads(Dialect::Cpp, "foo-3", "foo-3", None, None);
}

#[test]
fn dash_alone_1() {
    tokens("foo - bar", &[Id, Sym, Id]);
    reads(Dialect::Python, "foo - bar", "foo-bar", None, None);
    refuses(Dialect::Cpp, "foo - bar", "Unexpected chars in address: - bar, character 4 of foo - bar");
}

#[test]
fn dash_alone_2() {
    tokens("foo - 3", &[Id, Sym, Number]);
    reads(Dialect::Python, "foo - 3", "foo-3", None, None);
    refuses(Dialect::Cpp, "foo - 3", "Unexpected chars in address: - 3, character 4 of foo - 3");
}

#[test]
fn leading_dash() {
    tokens("-foo", &[Sym, Id]);
    reads(Dialect::Python, "-foo", "-foo", None, None);
    reads(Dialect::Cpp, "-foo", "-foo", None, None);
}

#[test]
fn trailing_dash() {
    tokens("foo-", &[Id, Sym]);
    reads(Dialect::Python, "foo-", "foo-", None, None);
    reads(Dialect::Cpp, "foo-", "foo-", None, None);
}

#[test]
fn negative_num() {
    tokens("-3", &[Number]);
    reads(Dialect::Python, "-3", "-3", None, None);
    reads(Dialect::Cpp, "-3", "-3", None, None);
}

#[test]
fn id_num() {
    tokens("id1", &[Id]);
    reads(Dialect::Python, "id1", "id1", None, None);
    reads(Dialect::Cpp, "id1", "id1", None, None);
}

#[test]
fn id_space_num() {
    tokens("id 1", &[Id, Number]);
    reads(Dialect::Python, "id 1", "id1", None, None);
    refuses(Dialect::Cpp, "id 1", "Unexpected chars in address: 1, character 3 of id 1");
}

#[test]
fn hash() {
    reads(Dialect::Python, "foo/bar.#", "foo", Some("bar.#"), None);
    reads(Dialect::Cpp, "foo/bar.#", "foo", Some("bar.#"), None);
}

#[test]
fn star() {
    reads(Dialect::Python, "foo/bar.*", "foo", Some("bar.*"), None);
    reads(Dialect::Cpp, "foo/bar.*", "foo", Some("bar.*"), None);
}

#[test]
fn colon() {
    reads(Dialect::Python, "foo.bar/baz.qux:moo:arf", "foo.bar", Some("baz.qux:moo:arf"), None);
    reads(Dialect::Cpp, "foo.bar/baz.qux:moo:arf", "foo.bar", Some("baz.qux:moo:arf"), None);
}

#[test]
fn options() {
    reads(
        Dialect::Python,
        "foo.bar/baz.qux:moo:arf; {key: value}",
        "foo.bar",
        Some("baz.qux:moo:arf"),
        Some(map([entry("key", "value")])),
    );
    reads(
        Dialect::Cpp,
        "foo.bar/baz.qux:moo:arf; {key: value}",
        "foo.bar",
        Some("baz.qux:moo:arf"),
        Some(map([entry("key", "value")])),
    );
}

#[test]
fn options_trailing_comma() {
    reads(Dialect::Python, "name/subject; {key: value,}", "name", Some("subject"), Some(map([entry("key", "value")])));
    reads(Dialect::Cpp, "name/subject; {key: value,}", "name", Some("subject"), Some(map([entry("key", "value")])));
}

#[test]
fn options_none() {
    reads(
        Dialect::Python,
        "name/subject; {key: None}",
        "name",
        Some("subject"),
        Some(map([entry("key", OptionValue::Null)])),
    );
    reads(Dialect::Cpp, "name/subject; {key: None}", "name", Some("subject"), Some(map([entry("key", "None")])));
}

#[test]
fn semi_subject() {
    reads(
        Dialect::Python,
        "foo.bar/'baz.qux;moo:arf'; {key: value}",
        "foo.bar",
        Some("baz.qux;moo:arf"),
        Some(map([entry("key", "value")])),
    );
    reads(
        Dialect::Cpp,
        "foo.bar/'baz.qux;moo:arf'; {key: value}",
        "foo.bar",
        Some("baz.qux;moo:arf"),
        Some(map([entry("key", "value")])),
    );
}

#[test]
fn comma_subject() {
    reads(Dialect::Python, "foo.bar/baz.qux.{moo,arf}", "foo.bar", Some("baz.qux.{moo,arf}"), None);
    reads(Dialect::Cpp, "foo.bar/baz.qux.{moo,arf}", "foo.bar", Some("baz.qux.{moo,arf}"), None);
}

#[test]
fn comma_subject_options() {
    reads(
        Dialect::Python,
        "foo.bar/baz.qux.{moo,arf}; {key: value}",
        "foo.bar",
        Some("baz.qux.{moo,arf}"),
        Some(map([entry("key", "value")])),
    );
    reads(
        Dialect::Cpp,
        "foo.bar/baz.qux.{moo,arf}; {key: value}",
        "foo.bar",
        Some("baz.qux.{moo,arf}"),
        Some(map([entry("key", "value")])),
    );
}

#[test]
fn unbalanced() {
    reads(
        Dialect::Python,
        "foo.bar/baz.qux.{moo,arf; {key: value}",
        "foo.bar",
        Some("baz.qux.{moo,arf"),
        Some(map([entry("key", "value")])),
    );
    reads(
        Dialect::Cpp,
        "foo.bar/baz.qux.{moo,arf; {key: value}",
        "foo.bar",
        Some("baz.qux.{moo,arf"),
        Some(map([entry("key", "value")])),
    );
}

#[test]
fn slash_quote() {
    reads(
        Dialect::Python,
        r"foo.bar\/baz.qux.{moo,arf; {key: value}",
        "foo.bar/baz.qux.{moo,arf",
        None,
        Some(map([entry("key", "value")])),
    );
    reads(
        Dialect::Cpp,
        r"foo.bar\/baz.qux.{moo,arf; {key: value}",
        r"foo.bar\",
        Some("baz.qux.{moo,arf"),
        Some(map([entry("key", "value")])),
    );
}

#[test]
fn slash_hex_esc_1() {
    reads(
        Dialect::Python,
        r"foo.bar\x00baz.qux.{moo,arf; {key: value}",
        "foo.bar\0baz.qux.{moo,arf",
        None,
        Some(map([entry("key", "value")])),
    );
    reads(
        Dialect::Cpp,
        r"foo.bar\x00baz.qux.{moo,arf; {key: value}",
        r"foo.bar\x00baz.qux.{moo,arf",
        None,
        Some(map([entry("key", "value")])),
    );
}

#[test]
fn slash_hex_esc_2() {
    reads(
        Dialect::Python,
        r"foo.bar\xffbaz.qux.{moo,arf; {key: value}",
        "foo.barÿbaz.qux.{moo,arf",
        None,
        Some(map([entry("key", "value")])),
    );
    reads(
        Dialect::Cpp,
        r"foo.bar\xffbaz.qux.{moo,arf; {key: value}",
        r"foo.bar\xffbaz.qux.{moo,arf",
        None,
        Some(map([entry("key", "value")])),
    );
}

#[test]
fn slash_hex_esc_3() {
    reads(
        Dialect::Python,
        r"foo.bar\xFFbaz.qux.{moo,arf; {key: value}",
        "foo.barÿbaz.qux.{moo,arf",
        None,
        Some(map([entry("key", "value")])),
    );
    reads(
        Dialect::Cpp,
        r"foo.bar\xFFbaz.qux.{moo,arf; {key: value}",
        r"foo.bar\xFFbaz.qux.{moo,arf",
        None,
        Some(map([entry("key", "value")])),
    );
}

#[test]
fn slash_unicode_1() {
    reads(
        Dialect::Python,
        r"foo.bar\u1234baz.qux.{moo,arf; {key: value}",
        "foo.barሴbaz.qux.{moo,arf",
        None,
        Some(map([entry("key", "value")])),
    );
    reads(
        Dialect::Cpp,
        r"foo.bar\u1234baz.qux.{moo,arf; {key: value}",
        r"foo.bar\u1234baz.qux.{moo,arf",
        None,
        Some(map([entry("key", "value")])),
    );
}

#[test]
fn slash_unicode_2() {
    reads(
        Dialect::Python,
        r"foo.bar\u0000baz.qux.{moo,arf; {key: value}",
        "foo.bar\0baz.qux.{moo,arf",
        None,
        Some(map([entry("key", "value")])),
    );
    reads(
        Dialect::Cpp,
        r"foo.bar\u0000baz.qux.{moo,arf; {key: value}",
        r"foo.bar\u0000baz.qux.{moo,arf",
        None,
        Some(map([entry("key", "value")])),
    );
}

#[test]
fn slash_unicode_3() {
    reads(
        Dialect::Python,
        r"foo.bar\uffffbaz.qux.{moo,arf; {key: value}",
        "foo.bar\u{ffff}baz.qux.{moo,arf",
        None,
        Some(map([entry("key", "value")])),
    );
    reads(
        Dialect::Cpp,
        r"foo.bar\uffffbaz.qux.{moo,arf; {key: value}",
        r"foo.bar\uffffbaz.qux.{moo,arf",
        None,
        Some(map([entry("key", "value")])),
    );
}

#[test]
fn slash_unicode_4() {
    reads(
        Dialect::Python,
        r"foo.bar\uFFFFbaz.qux.{moo,arf; {key: value}",
        "foo.bar\u{ffff}baz.qux.{moo,arf",
        None,
        Some(map([entry("key", "value")])),
    );
    reads(
        Dialect::Cpp,
        r"foo.bar\uFFFFbaz.qux.{moo,arf; {key: value}",
        r"foo.bar\uFFFFbaz.qux.{moo,arf",
        None,
        Some(map([entry("key", "value")])),
    );
}

#[test]
fn no_name() {
    refuses(Dialect::Python, "; {key: value}", "unexpected token SEMI(;) line:1,0:; {key: value}");
    refuses(Dialect::Cpp, "; {key: value}", "Expected name, character 0 of ; {key: value}");
}

#[test]
fn empty() {
    refuses(Dialect::Python, "", "unexpected token EOF line:1,0:");
    refuses(Dialect::Cpp, "", "Expected name, character 0 of ");
}

#[test]
fn no_name_slash() {
    refuses(Dialect::Python, "/asdf; {key: value}", "unexpected token SLASH(/) line:1,0:/asdf; {key: value}");
    refuses(Dialect::Cpp, "/asdf; {key: value}", "Expected name, character 0 of /asdf; {key: value}");
}

#[test]
fn bad_options_1() {
    refuses(
        Dialect::Python,
        "name/subject; {",
        "expecting (NUMBER, STRING, ID, LBRACE, LBRACK, RBRACE), got EOF line:1,15:name/subject; {",
    );
    refuses(Dialect::Cpp, "name/subject; {", "Unmatched '{'!, character 15 of name/subject; {");
}

#[test]
fn bad_options_2() {
    refuses(Dialect::Python, "name/subject; { 3", "expecting COLON, got EOF line:1,17:name/subject; { 3");
    refuses(Dialect::Cpp, "name/subject; { 3", "Bad key-value pair, expected ':', character 17 of name/subject; { 3");
}

#[test]
fn bad_options_3() {
    refuses(
        Dialect::Python,
        "name/subject; { key:",
        "expecting (NUMBER, STRING, ID, LBRACE, LBRACK), got EOF line:1,20:name/subject; { key:",
    );
    refuses(Dialect::Cpp, "name/subject; { key:", "Expected value, character 20 of name/subject; { key:");
}

#[test]
fn bad_options_4() {
    refuses(
        Dialect::Python,
        "name/subject; { key: value",
        "expecting (COMMA, RBRACE), got EOF line:1,26:name/subject; { key: value",
    );
    refuses(Dialect::Cpp, "name/subject; { key: value", "Unmatched '{'!, character 26 of name/subject; { key: value");
}

#[test]
fn bad_options_5() {
    refuses(
        Dialect::Python,
        "name/subject; { key: value asdf",
        "expecting (COMMA, RBRACE), got ID(asdf) line:1,27:name/subject; { key: value asdf",
    );
    refuses(
        Dialect::Cpp,
        "name/subject; { key: value asdf",
        "Unmatched '{'!, character 27 of name/subject; { key: value asdf",
    );
}

#[test]
fn bad_options_6() {
    refuses(
        Dialect::Python,
        "name/subject; { key: value,",
        "expecting (NUMBER, STRING, ID, LBRACE, LBRACK, RBRACE), got EOF line:1,27:name/subject; { key: value,",
    );
    refuses(Dialect::Cpp, "name/subject; { key: value,", "Unmatched '{'!, character 27 of name/subject; { key: value,");
}

#[test]
fn bad_options_7() {
    refuses(
        Dialect::Python,
        "name/subject; { key: value } asdf",
        "expecting EOF, got ID(asdf) line:1,29:name/subject; { key: value } asdf",
    );
    refuses(
        Dialect::Cpp,
        "name/subject; { key: value } asdf",
        "Unexpected chars in address: asdf, character 29 of name/subject; { key: value } asdf",
    );
}

#[test]
fn list_1() {
    reads(Dialect::Python, "name/subject; { key: [] }", "name", Some("subject"), Some(map([entry("key", list([]))])));
    reads(Dialect::Cpp, "name/subject; { key: [] }", "name", Some("subject"), Some(map([entry("key", list([]))])));
}

#[test]
fn list_2() {
    reads(
        Dialect::Python,
        "name/subject; { key: ['one'] }",
        "name",
        Some("subject"),
        Some(map([entry("key", list(["one".into()]))])),
    );
    reads(
        Dialect::Cpp,
        "name/subject; { key: ['one'] }",
        "name",
        Some("subject"),
        Some(map([entry("key", list(["one".into()]))])),
    );
}

#[test]
fn list_3() {
    reads(
        Dialect::Python,
        "name/subject; { key: [1, 2, 3] }",
        "name",
        Some("subject"),
        Some(map([entry("key", list([1.into(), 2.into(), 3.into()]))])),
    );
    reads(
        Dialect::Cpp,
        "name/subject; { key: [1, 2, 3] }",
        "name",
        Some("subject"),
        Some(map([entry("key", list([1.into(), 2.into(), 3.into()]))])),
    );
}

#[test]
fn list_4() {
    reads(
        Dialect::Python,
        "name/subject; { key: [1, [2, 3], 4] }",
        "name",
        Some("subject"),
        Some(map([entry("key", list([1.into(), list([2.into(), 3.into()]), 4.into()]))])),
    );
    reads(
        Dialect::Cpp,
        "name/subject; { key: [1, [2, 3], 4] }",
        "name",
        Some("subject"),
        Some(map([entry("key", list([1.into(), list([2.into(), 3.into()]), 4.into()]))])),
    );
}

#[test]
fn bad_list_1() {
    refuses(
        Dialect::Python,
        "name/subject; { key: [ }",
        "expecting (NUMBER, STRING, ID, LBRACE, LBRACK), got RBRACE(}) line:1,23:name/subject; { key: [ }",
    );
    refuses(Dialect::Cpp, "name/subject; { key: [ }", "Unmatched '['!, character 23 of name/subject; { key: [ }");
}

#[test]
fn bad_list_2() {
    refuses(
        Dialect::Python,
        "name/subject; { key: [ 1 }",
        "expecting (COMMA, RBRACK), got RBRACE(}) line:1,25:name/subject; { key: [ 1 }",
    );
    refuses(Dialect::Cpp, "name/subject; { key: [ 1 }", "Unmatched '['!, character 25 of name/subject; { key: [ 1 }");
}

#[test]
fn bad_list_3() {
    refuses(
        Dialect::Python,
        "name/subject; { key: [ 1 2 }",
        "expecting (COMMA, RBRACK), got NUMBER(2) line:1,25:name/subject; { key: [ 1 2 }",
    );
    refuses(
        Dialect::Cpp,
        "name/subject; { key: [ 1 2 }",
        "Unmatched '['!, character 25 of name/subject; { key: [ 1 2 }",
    );
}

#[test]
fn bad_list_4() {
    refuses(
        Dialect::Python,
        "name/subject; { key: [ 1 2 ] }",
        "expecting (COMMA, RBRACK), got NUMBER(2) line:1,25:name/subject; { key: [ 1 2 ] }",
    );
    refuses(
        Dialect::Cpp,
        "name/subject; { key: [ 1 2 ] }",
        "Unmatched '['!, character 25 of name/subject; { key: [ 1 2 ] }",
    );
}

#[test]
fn map_1() {
    reads(
        Dialect::Python,
        "name/subject; { 'key': value }",
        "name",
        Some("subject"),
        Some(map([entry("key", "value")])),
    );
    reads(Dialect::Cpp, "name/subject; { 'key': value }", "name", Some("subject"), Some(map([entry("key", "value")])));
}

#[test]
fn map_2() {
    reads(Dialect::Python, "name/subject; { 1: value }", "name", Some("subject"), Some(map([entry(1, "value")])));
    reads(Dialect::Cpp, "name/subject; { 1: value }", "name", Some("subject"), Some(map([entry("1", "value")])));
}

#[test]
fn map_3() {
    reads(
        Dialect::Python,
        r#"name/subject; { "foo.bar": value }"#,
        "name",
        Some("subject"),
        Some(map([entry("foo.bar", "value")])),
    );
    reads(
        Dialect::Cpp,
        r#"name/subject; { "foo.bar": value }"#,
        "name",
        Some("subject"),
        Some(map([entry("foo.bar", "value")])),
    );
}

#[test]
fn boolean() {
    reads(
        Dialect::Python,
        "name/subject; { true1: True, true2: true, false1: False, false2: false }",
        "name",
        Some("subject"),
        Some(map([entry("true1", true), entry("true2", true), entry("false1", false), entry("false2", false)])),
    );
    reads(
        Dialect::Cpp,
        "name/subject; { true1: True, true2: true, false1: False, false2: false }",
        "name",
        Some("subject"),
        Some(map([entry("true1", true), entry("true2", true), entry("false1", false), entry("false2", false)])),
    );
}
