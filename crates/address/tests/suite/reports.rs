//! Errors as a person reads them.

use postroad_address::{Address, TokenKind};

#[track_caller]
fn report(input: &str, expected: &str) {
    let error = Address::parse(input).unwrap_err();
    assert_eq!(format!("{error:#}"), expected.trim_start());
    assert_eq!(error.report(), format!("{error:#}"));
}

#[test]
fn the_caret_stands_under_the_place() {
    report(
        "orders; {create: always",
        "
expecting (COMMA, RBRACE), got EOF line:1,23
  orders; {create: always
                         ^
hint: close the map with }",
    );
    report(
        "café",
        "
unrecognized characters line:1,3
  café
     ^
hint: put the text in quotes, as in 'a&b'",
    );
    report(
        "x; {\n\ta: é\n}",
        "
unrecognized characters line:2,4
   a: é
      ^
hint: put the text in quotes, as in 'a&b'",
    );
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let name = "n".repeat(200);
    let error = Address::parse(&format!("{name}; {{a: [}}, {name}: 1}}")).unwrap_err();
    let report = error.report();
    let lines: Vec<_> = report.lines().collect();
    let caret = lines[2].find('^').unwrap();
    assert_eq!(lines[1].as_bytes()[caret], b'}');
    assert!(lines[1].starts_with("  ..n") && lines[1].ends_with("n..") && lines[1].len() < 80);
}

#[test]
fn control_characters_do_not_reach_a_terminal() {
    let error = Address::parse("a\u{1b}[31m&").unwrap_err();
    assert!(!error.report().contains('\u{1b}'));
}

#[test]
fn the_facts_are_there_for_programs() {
    let error = Address::parse("a\n/b; {c d}").unwrap_err();
    assert_eq!(error.expected(), [TokenKind::Colon]);
    let found = error.found().unwrap();
    assert_eq!((found.kind, found.text.as_str()), (TokenKind::Id, "d"));
    assert_eq!((error.line(), error.column(), error.offset()), (2, 7, 9));
    assert_eq!(error.line_text(), "/b; {c d}");
    assert_eq!(error.hint(), "an option is a key and a value, as in {create: always}");
}

#[test]
fn hints_fit_the_mistake() {
    for (input, hint) in [
        ("", "an address begins with a name, as in my-queue/subject; {create: always}"),
        ("q;", "drop the ; or write options behind it, as in {create: always}"),
        ("q; create", "options are a map: write {create: always}"),
        ("q; {a: amq.topic}", "put a comma between values, and quote a value of more than one word, as in 'amq.topic'"),
        ("q; {a: @x}", "quote the text, as in 'amq.topic'"),
        ("q; {a: [1}", "close the list with ]"),
        ("q; {a: [1", "close the list with ]"),
        ("q; {", "close the map with }"),
        ("q; {a:", "write a value, as in {create: always}"),
        ("q; {,}", "drop the comma"),
        ("q; {a: b} c", "nothing may follow the options"),
        ("q; {a: 'b}", "close the quote"),
        (r"q\xZ", r"write two hex digits after \x, four after \u, and \\ for a backslash"),
        ("q; {a: 007}", "drop the zeros, or quote the digits when they are text"),
        ("q; {[a]: 1}", "a key is a word, a quoted string or a number, as in {create: always}"),
    ] {
        assert_eq!(Address::parse(input).unwrap_err().hint(), hint, "{input}");
    }
}
