//! What the C++ client answers to the inputs of `python_answers.rs`, by its grammar (`src/qpid/messaging/AddressParser.cpp`).

use postroad_address::Dialect;

use crate::{entry, float, list, map, reads, refuses};

#[test]
fn addresses() {
    reads(Dialect::Cpp, "foo/", "foo", None, None);
    reads(Dialect::Cpp, "foo//bar", "foo", Some("/bar"), None);
    reads(Dialect::Cpp, "foo/bar/baz", "foo", Some("bar/baz"), None);
    reads(Dialect::Cpp, "foo[1]", "foo[1]", None, None);
    reads(Dialect::Cpp, "foo]", "foo]", None, None);
    reads(Dialect::Cpp, "{foo}:a,b", "{foo}:a,b", None, None);
    reads(Dialect::Cpp, "foo:bar", "foo:bar", None, None);
    reads(Dialect::Cpp, "foo;", "foo", None, None);
    reads(Dialect::Cpp, "foo; ", "foo", None, None);
    reads(Dialect::Cpp, "foo;{}", "foo", None, Some(map([])));
    reads(Dialect::Cpp, "foo;{a:1.2.3}", "foo", None, Some(map([entry("a", "1.2.3")])));
    reads(Dialect::Cpp, "foo;{a:amq.topic}", "foo", None, Some(map([entry("a", "amq.topic")])));
    reads(
        Dialect::Cpp,
        "foo;{a:-.5,b:+5,c:.5,d:007}",
        "foo",
        None,
        Some(map([entry("a", float(-0.5)), entry("b", 5), entry("c", float(0.5)), entry("d", 7)])),
    );
    reads(Dialect::Cpp, "foo;{a:1e5}", "foo", None, Some(map([entry("a", float(100000.0))])));
    reads(
        Dialect::Cpp,
        "foo;{a:null,b:none,c:None,d:TRUE,e:'True'}",
        "foo",
        None,
        Some(map([entry("a", "null"), entry("b", "none"), entry("c", "None"), entry("d", true), entry("e", "True")])),
    );
    reads(Dialect::Cpp, "foo;{a:[1,]}", "foo", None, Some(map([entry("a", list([1.into()]))])));
    reads(Dialect::Cpp, "foo&bar", "foo&bar", None, None);
    reads(Dialect::Cpp, "foo(bar)", "foo(bar)", None, None);
    reads(Dialect::Cpp, "foo?", "foo?", None, None);
    reads(Dialect::Cpp, "foo=bar", "foo=bar", None, None);
    reads(Dialect::Cpp, "f~g", "f~g", None, None);
    reads(Dialect::Cpp, "a|b", "a|b", None, None);
    reads(Dialect::Cpp, "a<b", "a<b", None, None);
    reads(Dialect::Cpp, "café", "café", None, None);
    reads(Dialect::Cpp, r"a\'b", r"a\'b", None, None);
    reads(Dialect::Cpp, r"\x41bc", r"\x41bc", None, None);
    reads(Dialect::Cpp, r"\xZZ", r"\xZZ", None, None);
    reads(Dialect::Cpp, r"\u12", r"\u12", None, None);
    reads(Dialect::Cpp, "foo;{a:@b}", "foo", None, Some(map([entry("a", "@b")])));
    reads(Dialect::Cpp, "#", "#", None, None);
    reads(Dialect::Cpp, "#foo", "#foo", None, None);
    reads(Dialect::Cpp, "-", "-", None, None);
    reads(Dialect::Cpp, "--", "--", None, None);
    reads(Dialect::Cpp, "1foo", "1foo", None, None);
    reads(Dialect::Cpp, "foo;{1foo:2}", "foo", None, Some(map([entry("1foo", 2)])));
    reads(Dialect::Cpp, "foo;{a-b-:c}", "foo", None, Some(map([entry("a-b-", "c")])));
    reads(
        Dialect::Cpp,
        "x;{true:1,True:2,None:3}",
        "x",
        None,
        Some(map([entry("true", 1), entry("True", 2), entry("None", 3)])),
    );
    reads(Dialect::Cpp, "foo;{a:''}", "foo", None, Some(map([entry("a", "")])));
    reads(Dialect::Cpp, "''", "", None, None);
    reads(Dialect::Cpp, "''/x", "", Some("x"), None);
    reads(Dialect::Cpp, "a/''", "a", Some(""), None);
    reads(
        Dialect::Cpp,
        "foo;{a:{b:[{c:d}]}}",
        "foo",
        None,
        Some(map([entry("a", map([entry("b", list([map([entry("c", "d")]).into()]))]))])),
    );
    reads(Dialect::Cpp, "1.5", "1.5", None, None);
    reads(Dialect::Cpp, "a+5", "a+5", None, None);
    reads(Dialect::Cpp, "+", "+", None, None);
    reads(
        Dialect::Cpp,
        "foo; {node: {type: topic}} ",
        "foo",
        None,
        Some(map([entry("node", map([entry("type", "topic")]))])),
    );
    reads(
        Dialect::Cpp,
        "my-queue; {create: always, node: {type: topic}}",
        "my-queue",
        None,
        Some(map([entry("create", "always"), entry("node", map([entry("type", "topic")]))])),
    );
}

#[test]
fn errors() {
    refuses(Dialect::Cpp, "foo bar", "Unexpected chars in address: bar, character 4 of foo bar");
    refuses(Dialect::Cpp, "foo - 3", "Unexpected chars in address: - 3, character 4 of foo - 3");
    refuses(
        Dialect::Cpp,
        "  foo  /  bar baz ; {a:b}",
        "Unexpected chars in address: baz ; {a:b}, character 14 of   foo  /  bar baz ; {a:b}",
    );
    refuses(Dialect::Cpp, r#"'a b'c"d e"/x"#, r#"Unexpected chars in address: c"d e"/x, character 5 of 'a b'c"d e"/x"#);
    refuses(
        Dialect::Cpp,
        r#"foo;{a:'x\'y',b:"q\n",c:'\u1234'}"#,
        r#"Unmatched '{'!, character 11 of foo;{a:'x\'y',b:"q\n",c:'\u1234'}"#,
    );
    refuses(Dialect::Cpp, "foo;{[1]:2}", "Unmatched '{'!, character 5 of foo;{[1]:2}");
    refuses(Dialect::Cpp, "foo;{{a:b}:2}", "Unmatched '{'!, character 5 of foo;{{a:b}:2}");
    refuses(Dialect::Cpp, "foo;{,}", "Unmatched '{'!, character 5 of foo;{,}");
    refuses(Dialect::Cpp, "foo;{a:b,,}", "Unmatched '{'!, character 9 of foo;{a:b,,}");
    refuses(Dialect::Cpp, "foo;{a:b};x", "Unexpected chars in address: ;x, character 9 of foo;{a:b};x");
    refuses(Dialect::Cpp, "foo;bar", "Unexpected chars in address: bar, character 4 of foo;bar");
    refuses(Dialect::Cpp, r"a\;b/c", r"Unexpected chars in address: b/c, character 3 of a\;b/c");
    refuses(Dialect::Cpp, r"a\ b", r"Unexpected chars in address: b, character 3 of a\ b");
    refuses(Dialect::Cpp, "'unterminated", "Unmatched delimiter, character 13 of 'unterminated");
    refuses(Dialect::Cpp, "foo;{a:b c}", "Unmatched '{'!, character 9 of foo;{a:b c}");
    refuses(
        Dialect::Cpp,
        "foo\n;{\na:\n b,\n c}",
        "Bad key-value pair, expected ':', character 16 of foo\n;{\na:\n b,\n c}",
    );
    refuses(Dialect::Cpp, "foo;{a:'b' 'c'}", "Unmatched '{'!, character 11 of foo;{a:'b' 'c'}");
    refuses(Dialect::Cpp, "1 2", "Unexpected chars in address: 2, character 2 of 1 2");
    refuses(Dialect::Cpp, "a -5", "Unexpected chars in address: -5, character 2 of a -5");
}
