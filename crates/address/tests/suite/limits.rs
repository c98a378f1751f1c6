//! Texts made to cost more than they should.

use postroad_address::{Address, Dialect, MAX_ADDRESS_LEN, MAX_DEPTH, ParseErrorKind};

#[test]
fn a_longer_text_is_refused_and_not_kept() {
    let longest = "a".repeat(MAX_ADDRESS_LEN);
    for dialect in [Dialect::Python, Dialect::Cpp] {
        assert_eq!(Address::parse_with(dialect, &longest).unwrap().name, longest);
        let error = Address::parse_with(dialect, &format!("{longest}a")).unwrap_err();
        assert_eq!(error.kind(), &ParseErrorKind::TooLong { len: MAX_ADDRESS_LEN + 1 });
        assert_eq!((error.line(), error.column(), error.line_text()), (1, 0, ""));
        assert_eq!(error.to_string(), "address of 65537 bytes, 65536 are allowed");
    }
}

#[test]
fn deeper_nesting_is_refused_before_it_uses_the_stack() {
    let lists = |levels: usize| format!("x; {{a: {}{}}}", "[".repeat(levels), "]".repeat(levels));
    let maps = |levels: usize| format!("x; {}{}", "{a:".repeat(levels), "}".repeat(levels)).replace(":}", ":1}");
    assert!(Address::parse(&lists(MAX_DEPTH - 1)).is_ok());
    assert!(Address::parse(&maps(MAX_DEPTH)).is_ok());
    for text in [lists(MAX_DEPTH), maps(MAX_DEPTH + 1), format!("x;{{{}", "[".repeat(60_000))] {
        let error = Address::parse(&text).unwrap_err();
        assert_eq!(error.kind(), &ParseErrorKind::TooDeep);
        let place = text[..error.offset()].matches(['{', '[']).count();
        assert_eq!(place, MAX_DEPTH, "the delimiter that is one too many");
    }
}

#[test]
fn a_text_full_of_keys_stays_in_order_and_unique() {
    let keys = (0..9000).map(|key| (key % 5000).to_string()).collect::<Vec<_>>();
    let entries = keys.iter().enumerate().map(|(at, key)| format!("{key}:{}", at % 10)).collect::<Vec<_>>();
    let address = Address::parse(&format!("x;{{{}}}", entries.join(","))).unwrap();
    let options = address.options.unwrap();
    assert_eq!(options.len(), 5000);
    assert_eq!(options.iter().nth(17).unwrap().0.to_string(), "17");
}

/// Every cut of an address is read or refused at a place inside it, in either dialect.
#[test]
fn every_prefix_is_answered() {
    let text = r#"'a b'/c\x41\;d; {create: always, node: {x-bindings: [{key: "k\u1234"}, -1.5]}}"#;
    let mut read = 0;
    for end in 0..=text.len() {
        for dialect in [Dialect::Python, Dialect::Cpp] {
            match Address::parse_with(dialect, &text[..end]) {
                Ok(_) => read += 1,
                Err(error) => assert!(error.offset() <= end && !error.hint().is_empty(), "{error:#}"),
            }
        }
    }
    assert!(read > 10, "the whole and the cuts within the name: {read}");
}
