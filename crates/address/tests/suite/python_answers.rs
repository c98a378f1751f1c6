//! What the Python client answers to 66 inputs, found by running it: each is a row here.

use postroad_address::{Address, OptionKey, OptionMap, OptionValue, ParseErrorKind, Phase};

use crate::{entry, expect, list, map, parts};

#[track_caller]
fn reads(input: &str, name: &str, subject: Option<&str>, options: Option<OptionMap>) {
    assert_eq!(Address::parse(input).map(parts), Ok(expect(name, subject, options)), "{input}");
}

#[track_caller]
fn refuses(input: &str, phase: Phase, message: &str) {
    let error = Address::parse(input).unwrap_err();
    assert_eq!((error.phase(), error.to_string().as_str()), (phase, message));
}

/// Where the original ends in another exception than its own, ours is typed.
#[track_caller]
fn crashes(input: &str, kind: &ParseErrorKind, message: &str) {
    let error = Address::parse(input).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
}

#[test]
fn addresses() {
    reads("foo bar", "foobar", None, None);
    reads("foo - 3", "foo-3", None, None);
    reads("  foo  /  bar baz ; {a:b}", "foo", Some("barbaz"), Some(map([entry("a", "b")])));
    reads("foo/", "foo", None, None);
    reads("foo//bar", "foo", Some("/bar"), None);
    reads("foo/bar/baz", "foo", Some("bar/baz"), None);
    reads("foo[1]", "foo[1]", None, None);
    reads("foo]", "foo]", None, None);
    reads("{foo}:a,b", "{foo}:a,b", None, None);
    reads("foo:bar", "foo:bar", None, None);
    reads("'a b'c\"d e\"/x", "a bcd e", Some("x"), None);
    reads("foo;{}", "foo", None, Some(map([])));
    reads(
        "foo;{a:null,b:none,c:None,d:TRUE,e:'True'}",
        "foo",
        None,
        Some(map([
            entry("a", "null"),
            entry("b", "none"),
            entry("c", OptionValue::Null),
            entry("d", "TRUE"),
            entry("e", "True"),
        ])),
    );
    reads(
        "foo;{a:'x\\'y',b:\"q\\n\",c:'\\u1234'}",
        "foo",
        None,
        Some(map([entry("a", "x'y"), entry("b", "q\n"), entry("c", "ሴ")])),
    );
    reads("foo;{a:[1,]}", "foo", None, Some(map([entry("a", list([1.into()]))])));
    reads("a\\;b/c", "a;b", Some("c"), None);
    reads("a\\ b", "a b", None, None);
    reads("a\\'b", "a'b", None, None);
    reads("\\x41bc", "Abc", None, None);
    reads("#", "#", None, None);
    reads("#foo", "#foo", None, None);
    reads("-", "-", None, None);
    reads("--", "--", None, None);
    reads("1foo", "1foo", None, None);
    reads("x;{true:1,True:2,None:3}", "x", None, Some(map([entry(true, 2), entry(OptionKey::Null, 3)])));
    reads("foo;{a:''}", "foo", None, Some(map([entry("a", "")])));
    reads("''", "", None, None);
    reads("''/x", "", Some("x"), None);
    reads("a/''", "a", Some(""), None);
    reads(
        "foo;{a:{b:[{c:d}]}}",
        "foo",
        None,
        Some(map([entry("a", map([entry("b", list([map([entry("c", "d")]).into()]))]))])),
    );
    reads("1 2", "12", None, None);
    reads("1.5", "1.5", None, None);
    reads("a+5", "a+5", None, None);
    reads("a -5", "a-5", None, None);
    reads("+", "+", None, None);
    reads("foo; {node: {type: topic}} ", "foo", None, Some(map([entry("node", map([entry("type", "topic")]))])));
    reads(
        "my-queue; {create: always, node: {type: topic}}",
        "my-queue",
        None,
        Some(map([entry("create", "always"), entry("node", map([entry("type", "topic")]))])),
    );
}

#[test]
fn errors() {
    refuses("foo;", Phase::Parse, "expecting LBRACE, got EOF line:1,4:foo;");
    refuses("foo; ", Phase::Parse, "expecting LBRACE, got EOF line:1,5:foo; ");
    refuses("foo;{a:1.2.3}", Phase::Parse, "expecting (COMMA, RBRACE), got NUMBER(.3) line:1,10:foo;{a:1.2.3}");
    refuses("foo;{a:amq.topic}", Phase::Parse, "expecting (COMMA, RBRACE), got SYM(.) line:1,10:foo;{a:amq.topic}");
    refuses("foo;{a:1e5}", Phase::Parse, "expecting (COMMA, RBRACE), got ID(e5) line:1,8:foo;{a:1e5}");
    refuses(
        "foo;{,}",
        Phase::Parse,
        "expecting (NUMBER, STRING, ID, LBRACE, LBRACK, RBRACE), got COMMA(,) line:1,5:foo;{,}",
    );
    refuses(
        "foo;{a:b,,}",
        Phase::Parse,
        "expecting (NUMBER, STRING, ID, LBRACE, LBRACK, RBRACE), got COMMA(,) line:1,9:foo;{a:b,,}",
    );
    refuses("foo;{a:b};x", Phase::Parse, "expecting EOF, got SEMI(;) line:1,9:foo;{a:b};x");
    refuses("foo;bar", Phase::Parse, "expecting LBRACE, got ID(bar) line:1,4:foo;bar");
    refuses("foo&bar", Phase::Lex, "unrecognized characters line:1,3: foo&bar");
    refuses("foo(bar)", Phase::Lex, "unrecognized characters line:1,3: foo(bar)");
    refuses("foo?", Phase::Lex, "unrecognized characters line:1,3: foo?");
    refuses("foo=bar", Phase::Lex, "unrecognized characters line:1,3: foo=bar");
    refuses("f~g", Phase::Lex, "unrecognized characters line:1,1: f~g");
    refuses("a|b", Phase::Lex, "unrecognized characters line:1,1: a|b");
    refuses("a<b", Phase::Lex, "unrecognized characters line:1,1: a<b");
    refuses("café", Phase::Lex, "unrecognized characters line:1,3: café");
    refuses("\\xZZ", Phase::Lex, "unrecognized characters line:1,0: \\xZZ");
    refuses("\\u12", Phase::Lex, "unrecognized characters line:1,0: \\u12");
    refuses("'unterminated", Phase::Lex, "unrecognized characters line:1,0: 'unterminated");
    refuses("foo;{a:b c}", Phase::Parse, "expecting (COMMA, RBRACE), got ID(c) line:1,9:foo;{a:b c}");
    refuses(
        "foo;{a:@b}",
        Phase::Parse,
        "expecting (NUMBER, STRING, ID, LBRACE, LBRACK), got SYM(@) line:1,7:foo;{a:@b}",
    );
    refuses("foo;{1foo:2}", Phase::Parse, "expecting COLON, got ID(foo) line:1,6:foo;{1foo:2}");
    refuses("foo;{a-b-:c}", Phase::Parse, "expecting COLON, got SYM(-) line:1,8:foo;{a-b-:c}");
    refuses("foo;{a:'b' 'c'}", Phase::Parse, "expecting (COMMA, RBRACE), got STRING('c') line:1,11:foo;{a:'b' 'c'}");
}

/// The original says `line:5,3:` and shows no line: its column counts the line end before it.
#[test]
fn an_error_past_the_first_line_has_its_true_column_and_text() {
    let input = "foo\n;{\na:\n b,\n c}";
    refuses(input, Phase::Parse, "expecting COLON, got RBRACE(}) line:5,2: c}");
}

#[test]
fn crashes_of_the_original() {
    let zeros = ParseErrorKind::LeadingZeros { number: "007".to_owned() };
    crashes("foo;{a:-.5,b:+5,c:.5,d:007}", &zeros, "leading zeros in 007 line:1,23:foo;{a:-.5,b:+5,c:.5,d:007}");
    let unhashable = |container| ParseErrorKind::UnhashableKey { container };
    crashes("foo;{[1]:2}", &unhashable("list"), "unhashable type: 'list' line:1,5:foo;{[1]:2}");
    crashes("foo;{{a:b}:2}", &unhashable("map"), "unhashable type: 'map' line:1,5:foo;{{a:b}:2}");
    crashes("'a\nb'", &ParseErrorKind::LineEndInQuotes, "line end inside quotes line:1,2:'a");
    crashes("'a\0b'", &ParseErrorKind::NulInQuotes, "NUL character inside quotes line:1,2:'a\0b'");
    let escape = ParseErrorKind::BadEscape { escape: r"\x4".to_owned() };
    crashes(r"x/'\x4'", &escape, r"broken escape \x4 line:1,3:x/'\x4'");
}

/// The numbers of the row that crashes, without the one that does.
#[test]
fn numbers() {
    let address = Address::parse("foo;{a:-.5,b:+5,c:.5,d:00,e:-007.5}").unwrap();
    assert_eq!(address.options.unwrap().to_string(), "{a: -0.5, b: 5, c: 0.5, d: 0, e: -7.5}");
}
