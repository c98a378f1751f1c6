//! What a strict reader refuses beside what makes no address.

use postroad_address::{Address, Dialect, Laxity, ParseErrorKind};

#[track_caller]
fn refuses(dialect: Dialect, input: &str, column: usize, laxity: Laxity) {
    assert!(Address::parse_with(dialect, input).is_ok(), "{input}: the original takes it");
    let error = Address::parse_strict(dialect, input).unwrap_err();
    assert_eq!((error.kind(), error.column()), (&ParseErrorKind::NotStrict(laxity), column), "{input}");
    assert!(error.report().contains("\nhint: "), "{error:#}");
}

#[track_caller]
fn takes(dialect: Dialect, input: &str) {
    assert_eq!(Address::parse_strict(dialect, input), Address::parse_with(dialect, input), "{input}");
    assert!(Address::parse_strict(dialect, input).is_ok(), "{input}");
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn blanks_that_vanish() {
    let refuses = |input, column| refuses(Dialect::Python, input, column, Laxity::BlankInText);
    refuses("foo bar", 3);
    refuses("foo - 3", 3);
    refuses("foo/bar baz", 7);
    refuses("foo/bar / baz", 7);
    refuses("'a' b", 3);
    refuses("1 2", 1);
    for input in ["  foo  /  bar ; {a: b}", "a\\ b", "'a b'/'c d'", "'a''b'", "foo;  { a : b }\n", "foo/ /bar"] {
        takes(Dialect::Python, input);
    }
}

#[test]
fn braces_without_quotes() {
    for dialect in [Dialect::Python, Dialect::Cpp] {
        for (input, column, bracket) in [
            ("foo{create:always}", 3, '{'),
            ("foo}", 3, '}'),
            ("foo[1]", 3, '['),
            ("foo/a]", 5, ']'),
            ("foo/{a}; {b: c}", 4, '{'),
        ] {
            refuses(dialect, input, column, Laxity::BareBracket { bracket });
        }
        takes(dialect, "'foo{}'/'[1]'; {a: [{b: c}]}");
        takes(dialect, "a:b,c/d:e");
    }
    takes(Dialect::Python, r"foo\{1\}");
}

#[test]
fn escapes_that_are_none() {
    let python = Dialect::Python;
    refuses(python, r"a\n", 1, Laxity::EscapedLetter { letter: 'n' });
    refuses(python, r"a/b\1", 3, Laxity::EscapedLetter { letter: '1' });
    refuses(python, r"'a\q'", 2, Laxity::UnknownEscape { escape: text(r"\q") });
    refuses(python, "a; {b: 'c\\\r'}", 9, Laxity::UnknownEscape { escape: text("\\\r") });
    refuses(python, r"a; {'\.': b}", 5, Laxity::UnknownEscape { escape: text(r"\.") });
    takes(python, r#"\x41\u1234\;\/\\\'; {a: '\\\'\"\n\x41\u1234\101'}"#);
}

#[test]
fn keys_given_twice() {
    let twice = |key: &str| Laxity::DuplicateKey { key: key.to_owned() };
    for dialect in [Dialect::Python, Dialect::Cpp] {
        refuses(dialect, "x; {a: 1, b: 2, a: 3}", 16, twice("a"));
        refuses(dialect, "x; {b: {a: 1}, c: [{a: 1, a: 2}]}", 26, twice("a"));
        takes(dialect, "x; {a: {a: {a: 1}}, b: [{a: 1}, {a: 1}]}");
    }
    refuses(Dialect::Python, r"x; {a: 1, '\x61': 2}", 10, twice(r"'\x61'"));
    refuses(Dialect::Python, r"x; {'\x61': 1, a: 2}", 15, twice("a"));
    refuses(Dialect::Cpp, "x; {a: 1, 'a': 2}", 11, twice("a"));
    // The colon of a value that is a quoted text.
    takes(Dialect::Python, "x; {a: 'b', b: 'a'}");
}

#[test]
fn keys_that_are_no_text() {
    for (key, column) in [("1", 4), ("True", 4), ("None", 4), ("-.5", 4)] {
        let laxity = Laxity::KeyIsNoText { key: key.to_owned() };
        refuses(Dialect::Python, &format!("x; {{{key}: a}}"), column, laxity);
        takes(Dialect::Cpp, &format!("x; {{{key}: a}}"));
    }
    takes(Dialect::Python, "x; {'1': 1, a: None}");
}

#[test]
fn zeros_in_front() {
    let zeros = |number: &str| Laxity::LeadingZeros { number: number.to_owned() };
    refuses(Dialect::Python, "x; {a: 00}", 7, zeros("00"));
    refuses(Dialect::Python, "x; {a: [1, -01.5]}", 11, zeros("-01.5"));
    refuses(Dialect::Cpp, "x; {a: 007}", 7, zeros("007"));
    refuses(Dialect::Cpp, "x; {a: [ +08 ]}", 9, zeros("+08"));
    takes(Dialect::Python, "007; {a: [0, 0.5, .5, -0.5, '007', 100]}");
    takes(Dialect::Cpp, "007; {a: [0, 0.5, 10, 00a, '007'], 007: b}");
}

#[test]
fn what_the_dialects_read_differently() {
    refuses(Dialect::Cpp, "it's", 2, Laxity::BareQuote);
    refuses(Dialect::Cpp, "a/b\"c\"", 3, Laxity::BareQuote);
    refuses(Dialect::Cpp, r"a\/b", 1, Laxity::BareBackslash);
    refuses(Dialect::Cpp, "foo ; ", 4, Laxity::NoOptions);
    takes(Dialect::Cpp, r#"'a\b"c'/"d'e"; {f: g}"#);
    // What makes no address is the same error as ever.
    for dialect in [Dialect::Python, Dialect::Cpp] {
        for input in ["", "a b; {", "x; {a: 007, b", "foo; bar"] {
            assert_eq!(Address::parse_strict(dialect, input), Address::parse_with(dialect, input));
        }
    }
}
