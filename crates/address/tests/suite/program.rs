//! The program that other people's tests ask (`examples/address_parser.rs`).

use postroad_address::{Address, lex};

#[path = "../../examples/address_parser.rs"]
#[expect(dead_code, reason = "the program's own main")]
mod address_parser;

use address_parser::Call;

#[track_caller]
fn run(args: &[&str], address: &str) -> String {
    Call::read(args.iter().copied().map(Into::into)).unwrap().answer(address)
}

#[test]
fn parse_answers_as_the_tests_of_the_python_client_want_it() {
    for (input, answer) in ANSWERS {
        assert_eq!(run(&["parse"], input).trim_end_matches('\n'), answer, "{input}");
    }
}

#[test]
fn lex_gives_every_token_of_the_table() {
    for (input, answer) in ANSWERS {
        let lines = run(&["lex"], input);
        if answer.starts_with("ERROR: unrecognized") {
            assert_eq!(lines.trim_end_matches('\n'), answer);
            continue;
        }
        let names: Vec<_> = lines.lines().map(|line| line.split(':').next().unwrap()).collect();
        let expected: Vec<_> = lex(input).unwrap().iter().map(|token| token.kind.name()).collect();
        assert_eq!(names, expected, "{input}");
    }
    assert_eq!(
        run(&["lex"], "a:\\\\\n 'é'x"),
        "ID:1,0:a\nCOLON:1,1::\nESC:1,2:\\\\\\\\\nWSPACE:1,4:\\n \nSTRING:2,1:'é'\nID:2,4:x\nEOF:2,5\n"
    );
}

#[test]
fn arguments() {
    let read = |args: &[&str]| Call::read(args.iter().copied().map(Into::into));
    for args in [&[][..], &["help"], &["parse", "a", "b"], &["parse", "--dialect"], &["lex", "--dialect", "java"]] {
        assert!(read(args).is_none(), "{args:?}");
    }
    assert_eq!(run(&["parse", "--dialect", "cpp"], "a&b"), "NAME: 'a&b'\nSUBJECT: None\nOPTIONS: None\n");
    assert_eq!(run(&["parse", "--strict"], "a b"), "ERROR: blank in an unquoted text line:1,1:a b\n");
    assert_eq!(run(&["parse", "--", "--strict"], "a b"), "NAME: 'ab'\nSUBJECT: None\nOPTIONS: None\n");
    assert_eq!(Address::parse("a b").unwrap().name, "ab");
}

/// Inputs, and what the program prints for them: what the Python client's own parser gives, printed as its tests print it. In
/// four rows the original ends in another exception or shows the wrong place.
const ANSWERS: [(&str, &str); 114] = [
    ("foo bar", "NAME: 'foobar'\nSUBJECT: None\nOPTIONS: None"),
    ("foo - 3", "NAME: 'foo-3'\nSUBJECT: None\nOPTIONS: None"),
    ("  foo  /  bar baz ; {a:b}", "NAME: 'foo'\nSUBJECT: 'barbaz'\nOPTIONS: {\n  'a': 'b'\n}"),
    ("foo/", "NAME: 'foo'\nSUBJECT: None\nOPTIONS: None"),
    ("foo//bar", "NAME: 'foo'\nSUBJECT: '/bar'\nOPTIONS: None"),
    ("foo/bar/baz", "NAME: 'foo'\nSUBJECT: 'bar/baz'\nOPTIONS: None"),
    ("foo[1]", "NAME: 'foo[1]'\nSUBJECT: None\nOPTIONS: None"),
    ("foo]", "NAME: 'foo]'\nSUBJECT: None\nOPTIONS: None"),
    ("{foo}:a,b", "NAME: '{foo}:a,b'\nSUBJECT: None\nOPTIONS: None"),
    ("foo:bar", "NAME: 'foo:bar'\nSUBJECT: None\nOPTIONS: None"),
    (r#"'a b'c"d e"/x"#, "NAME: 'a bcd e'\nSUBJECT: 'x'\nOPTIONS: None"),
    ("foo;", "ERROR: expecting LBRACE, got EOF line:1,4:foo;"),
    ("foo; ", "ERROR: expecting LBRACE, got EOF line:1,5:foo; "),
    ("foo;{}", "NAME: 'foo'\nSUBJECT: None\nOPTIONS: {}"),
    ("foo;{a:1.2.3}", "ERROR: expecting (COMMA, RBRACE), got NUMBER(.3) line:1,10:foo;{a:1.2.3}"),
    ("foo;{a:amq.topic}", "ERROR: expecting (COMMA, RBRACE), got SYM(.) line:1,10:foo;{a:amq.topic}"),
    ("foo;{a:-.5,b:+5,c:.5,d:007}", "ERROR: leading zeros in 007 line:1,23:foo;{a:-.5,b:+5,c:.5,d:007}"),
    ("foo;{a:1e5}", "ERROR: expecting (COMMA, RBRACE), got ID(e5) line:1,8:foo;{a:1e5}"),
    (
        "foo;{a:null,b:none,c:None,d:TRUE,e:'True'}",
        "NAME: 'foo'\nSUBJECT: None\nOPTIONS: {\n  'a': 'null',\n  'b': 'none',\n  'c': None,\n  'd': 'TRUE',\n  'e': 'True'\n}",
    ),
    (
        r#"foo;{a:'x\'y',b:"q\n",c:'\u1234'}"#,
        "NAME: 'foo'\nSUBJECT: None\nOPTIONS: {\n  'a': 'x\\'y',\n  'b': 'q\\n',\n  'c': '\\u1234'\n}",
    ),
    ("foo;{[1]:2}", "ERROR: unhashable type: 'list' line:1,5:foo;{[1]:2}"),
    ("foo;{{a:b}:2}", "ERROR: unhashable type: 'map' line:1,5:foo;{{a:b}:2}"),
    ("foo;{a:[1,]}", "NAME: 'foo'\nSUBJECT: None\nOPTIONS: {\n  'a': [\n    1\n  ]\n}"),
    ("foo;{,}", "ERROR: expecting (NUMBER, STRING, ID, LBRACE, LBRACK, RBRACE), got COMMA(,) line:1,5:foo;{,}"),
    ("foo;{a:b,,}", "ERROR: expecting (NUMBER, STRING, ID, LBRACE, LBRACK, RBRACE), got COMMA(,) line:1,9:foo;{a:b,,}"),
    ("foo;{a:b};x", "ERROR: expecting EOF, got SEMI(;) line:1,9:foo;{a:b};x"),
    ("foo;bar", "ERROR: expecting LBRACE, got ID(bar) line:1,4:foo;bar"),
    ("foo&bar", "ERROR: unrecognized characters line:1,3: foo&bar"),
    ("foo(bar)", "ERROR: unrecognized characters line:1,3: foo(bar)"),
    ("foo?", "ERROR: unrecognized characters line:1,3: foo?"),
    ("foo=bar", "ERROR: unrecognized characters line:1,3: foo=bar"),
    ("f~g", "ERROR: unrecognized characters line:1,1: f~g"),
    ("a|b", "ERROR: unrecognized characters line:1,1: a|b"),
    ("a<b", "ERROR: unrecognized characters line:1,1: a<b"),
    ("café", "ERROR: unrecognized characters line:1,3: café"),
    (r"a\;b/c", "NAME: 'a;b'\nSUBJECT: 'c'\nOPTIONS: None"),
    (r"a\ b", "NAME: 'a b'\nSUBJECT: None\nOPTIONS: None"),
    (r"a\'b", "NAME: 'a\\'b'\nSUBJECT: None\nOPTIONS: None"),
    (r"\x41bc", "NAME: 'Abc'\nSUBJECT: None\nOPTIONS: None"),
    (r"\xZZ", r"ERROR: unrecognized characters line:1,0: \xZZ"),
    (r"\u12", r"ERROR: unrecognized characters line:1,0: \u12"),
    ("'unterminated", "ERROR: unrecognized characters line:1,0: 'unterminated"),
    ("foo;{a:b c}", "ERROR: expecting (COMMA, RBRACE), got ID(c) line:1,9:foo;{a:b c}"),
    ("foo;{a:@b}", "ERROR: expecting (NUMBER, STRING, ID, LBRACE, LBRACK), got SYM(@) line:1,7:foo;{a:@b}"),
    ("foo\n;{\na:\n b,\n c}", "ERROR: expecting COLON, got RBRACE(}) line:5,2: c}"),
    ("#", "NAME: '#'\nSUBJECT: None\nOPTIONS: None"),
    ("#foo", "NAME: '#foo'\nSUBJECT: None\nOPTIONS: None"),
    ("-", "NAME: '-'\nSUBJECT: None\nOPTIONS: None"),
    ("--", "NAME: '--'\nSUBJECT: None\nOPTIONS: None"),
    ("1foo", "NAME: '1foo'\nSUBJECT: None\nOPTIONS: None"),
    ("foo;{1foo:2}", "ERROR: expecting COLON, got ID(foo) line:1,6:foo;{1foo:2}"),
    ("foo;{a-b-:c}", "ERROR: expecting COLON, got SYM(-) line:1,8:foo;{a-b-:c}"),
    ("x;{true:1,True:2,None:3}", "NAME: 'x'\nSUBJECT: None\nOPTIONS: {\n  None: 3,\n  True: 2\n}"),
    ("foo;{a:'b' 'c'}", "ERROR: expecting (COMMA, RBRACE), got STRING('c') line:1,11:foo;{a:'b' 'c'}"),
    ("foo;{a:''}", "NAME: 'foo'\nSUBJECT: None\nOPTIONS: {\n  'a': ''\n}"),
    ("''", "NAME: ''\nSUBJECT: None\nOPTIONS: None"),
    ("''/x", "NAME: ''\nSUBJECT: 'x'\nOPTIONS: None"),
    ("a/''", "NAME: 'a'\nSUBJECT: ''\nOPTIONS: None"),
    (
        "foo;{a:{b:[{c:d}]}}",
        "NAME: 'foo'\nSUBJECT: None\nOPTIONS: {\n  'a': {\n    'b': [\n      {\n        'c': 'd'\n      }\n    ]\n  }\n}",
    ),
    ("1 2", "NAME: '12'\nSUBJECT: None\nOPTIONS: None"),
    ("1.5", "NAME: '1.5'\nSUBJECT: None\nOPTIONS: None"),
    ("a+5", "NAME: 'a+5'\nSUBJECT: None\nOPTIONS: None"),
    ("a -5", "NAME: 'a-5'\nSUBJECT: None\nOPTIONS: None"),
    ("+", "NAME: '+'\nSUBJECT: None\nOPTIONS: None"),
    ("foo; {node: {type: topic}} ", "NAME: 'foo'\nSUBJECT: None\nOPTIONS: {\n  'node': {\n    'type': 'topic'\n  }\n}"),
    (
        "my-queue; {create: always, node: {type: topic}}",
        "NAME: 'my-queue'\nSUBJECT: None\nOPTIONS: {\n  'create': 'always',\n  'node': {\n    'type': 'topic'\n  }\n}",
    ),
    ("foo-bar", "NAME: 'foo-bar'\nSUBJECT: None\nOPTIONS: None"),
    ("foo-3", "NAME: 'foo-3'\nSUBJECT: None\nOPTIONS: None"),
    ("foo - bar", "NAME: 'foo-bar'\nSUBJECT: None\nOPTIONS: None"),
    ("-foo", "NAME: '-foo'\nSUBJECT: None\nOPTIONS: None"),
    ("foo-", "NAME: 'foo-'\nSUBJECT: None\nOPTIONS: None"),
    ("-3", "NAME: '-3'\nSUBJECT: None\nOPTIONS: None"),
    ("id1", "NAME: 'id1'\nSUBJECT: None\nOPTIONS: None"),
    ("id 1", "NAME: 'id1'\nSUBJECT: None\nOPTIONS: None"),
    ("foo/bar.#", "NAME: 'foo'\nSUBJECT: 'bar.#'\nOPTIONS: None"),
    ("foo/bar.*", "NAME: 'foo'\nSUBJECT: 'bar.*'\nOPTIONS: None"),
    ("foo.bar/baz.qux:moo:arf", "NAME: 'foo.bar'\nSUBJECT: 'baz.qux:moo:arf'\nOPTIONS: None"),
    (
        "foo.bar/baz.qux:moo:arf; {key: value}",
        "NAME: 'foo.bar'\nSUBJECT: 'baz.qux:moo:arf'\nOPTIONS: {\n  'key': 'value'\n}",
    ),
    ("name/subject; {key: value,}", "NAME: 'name'\nSUBJECT: 'subject'\nOPTIONS: {\n  'key': 'value'\n}"),
    ("name/subject; {key: None}", "NAME: 'name'\nSUBJECT: 'subject'\nOPTIONS: {\n  'key': None\n}"),
    (
        "foo.bar/'baz.qux;moo:arf'; {key: value}",
        "NAME: 'foo.bar'\nSUBJECT: 'baz.qux;moo:arf'\nOPTIONS: {\n  'key': 'value'\n}",
    ),
    ("foo.bar/baz.qux.{moo,arf}", "NAME: 'foo.bar'\nSUBJECT: 'baz.qux.{moo,arf}'\nOPTIONS: None"),
    (
        "foo.bar/baz.qux.{moo,arf}; {key: value}",
        "NAME: 'foo.bar'\nSUBJECT: 'baz.qux.{moo,arf}'\nOPTIONS: {\n  'key': 'value'\n}",
    ),
    (
        "foo.bar/baz.qux.{moo,arf; {key: value}",
        "NAME: 'foo.bar'\nSUBJECT: 'baz.qux.{moo,arf'\nOPTIONS: {\n  'key': 'value'\n}",
    ),
    (
        r"foo.bar\/baz.qux.{moo,arf; {key: value}",
        "NAME: 'foo.bar/baz.qux.{moo,arf'\nSUBJECT: None\nOPTIONS: {\n  'key': 'value'\n}",
    ),
    (
        r"foo.bar\x00baz.qux.{moo,arf; {key: value}",
        "NAME: 'foo.bar\0baz.qux.{moo,arf'\nSUBJECT: None\nOPTIONS: {\n  'key': 'value'\n}",
    ),
    (
        r"foo.bar\xffbaz.qux.{moo,arf; {key: value}",
        "NAME: 'foo.bar\\u00ffbaz.qux.{moo,arf'\nSUBJECT: None\nOPTIONS: {\n  'key': 'value'\n}",
    ),
    (
        r"foo.bar\xFFbaz.qux.{moo,arf; {key: value}",
        "NAME: 'foo.bar\\u00ffbaz.qux.{moo,arf'\nSUBJECT: None\nOPTIONS: {\n  'key': 'value'\n}",
    ),
    (
        r"foo.bar\u1234baz.qux.{moo,arf; {key: value}",
        "NAME: 'foo.bar\\u1234baz.qux.{moo,arf'\nSUBJECT: None\nOPTIONS: {\n  'key': 'value'\n}",
    ),
    (
        r"foo.bar\u0000baz.qux.{moo,arf; {key: value}",
        "NAME: 'foo.bar\0baz.qux.{moo,arf'\nSUBJECT: None\nOPTIONS: {\n  'key': 'value'\n}",
    ),
    (
        r"foo.bar\uffffbaz.qux.{moo,arf; {key: value}",
        "NAME: 'foo.bar\\uffffbaz.qux.{moo,arf'\nSUBJECT: None\nOPTIONS: {\n  'key': 'value'\n}",
    ),
    (
        r"foo.bar\uFFFFbaz.qux.{moo,arf; {key: value}",
        "NAME: 'foo.bar\\uffffbaz.qux.{moo,arf'\nSUBJECT: None\nOPTIONS: {\n  'key': 'value'\n}",
    ),
    ("; {key: value}", "ERROR: unexpected token SEMI(;) line:1,0:; {key: value}"),
    ("", "ERROR: unexpected token EOF line:1,0:"),
    ("/asdf; {key: value}", "ERROR: unexpected token SLASH(/) line:1,0:/asdf; {key: value}"),
    (
        "name/subject; {",
        "ERROR: expecting (NUMBER, STRING, ID, LBRACE, LBRACK, RBRACE), got EOF line:1,15:name/subject; {",
    ),
    ("name/subject; { 3", "ERROR: expecting COLON, got EOF line:1,17:name/subject; { 3"),
    (
        "name/subject; { key:",
        "ERROR: expecting (NUMBER, STRING, ID, LBRACE, LBRACK), got EOF line:1,20:name/subject; { key:",
    ),
    ("name/subject; { key: value", "ERROR: expecting (COMMA, RBRACE), got EOF line:1,26:name/subject; { key: value"),
    (
        "name/subject; { key: value asdf",
        "ERROR: expecting (COMMA, RBRACE), got ID(asdf) line:1,27:name/subject; { key: value asdf",
    ),
    (
        "name/subject; { key: value,",
        "ERROR: expecting (NUMBER, STRING, ID, LBRACE, LBRACK, RBRACE), got EOF line:1,27:name/subject; { key: value,",
    ),
    (
        "name/subject; { key: value } asdf",
        "ERROR: expecting EOF, got ID(asdf) line:1,29:name/subject; { key: value } asdf",
    ),
    ("name/subject; { key: [] }", "NAME: 'name'\nSUBJECT: 'subject'\nOPTIONS: {\n  'key': []\n}"),
    ("name/subject; { key: ['one'] }", "NAME: 'name'\nSUBJECT: 'subject'\nOPTIONS: {\n  'key': [\n    'one'\n  ]\n}"),
    (
        "name/subject; { key: [1, 2, 3] }",
        "NAME: 'name'\nSUBJECT: 'subject'\nOPTIONS: {\n  'key': [\n    1,\n    2,\n    3\n  ]\n}",
    ),
    (
        "name/subject; { key: [1, [2, 3], 4] }",
        "NAME: 'name'\nSUBJECT: 'subject'\nOPTIONS: {\n  'key': [\n    1,\n    [\n      2,\n      3\n    ],\n    4\n  ]\n}",
    ),
    (
        "name/subject; { key: [ }",
        "ERROR: expecting (NUMBER, STRING, ID, LBRACE, LBRACK), got RBRACE(}) line:1,23:name/subject; { key: [ }",
    ),
    (
        "name/subject; { key: [ 1 }",
        "ERROR: expecting (COMMA, RBRACK), got RBRACE(}) line:1,25:name/subject; { key: [ 1 }",
    ),
    (
        "name/subject; { key: [ 1 2 }",
        "ERROR: expecting (COMMA, RBRACK), got NUMBER(2) line:1,25:name/subject; { key: [ 1 2 }",
    ),
    (
        "name/subject; { key: [ 1 2 ] }",
        "ERROR: expecting (COMMA, RBRACK), got NUMBER(2) line:1,25:name/subject; { key: [ 1 2 ] }",
    ),
    ("name/subject; { 'key': value }", "NAME: 'name'\nSUBJECT: 'subject'\nOPTIONS: {\n  'key': 'value'\n}"),
    ("name/subject; { 1: value }", "NAME: 'name'\nSUBJECT: 'subject'\nOPTIONS: {\n  1: 'value'\n}"),
    (r#"name/subject; { "foo.bar": value }"#, "NAME: 'name'\nSUBJECT: 'subject'\nOPTIONS: {\n  'foo.bar': 'value'\n}"),
    (
        "name/subject; { true1: True, true2: true, false1: False, false2: false }",
        "NAME: 'name'\nSUBJECT: 'subject'\nOPTIONS: {\n  'false1': False,\n  'false2': False,\n  'true1': True,\n  'true2': True\n}",
    ),
];
