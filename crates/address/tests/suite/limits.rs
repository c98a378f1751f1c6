//! Texts made to cost more than they should.

use std::time::{Duration, Instant};

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

/// A megabyte of whatever costs most, and nesting of ten thousand levels, in less time than anyone notices.
#[test]
fn large_texts_and_deep_ones_are_answered_at_once() {
    let megabyte = 1 << 20;
    let texts = [
        "a".repeat(megabyte),
        "a ".repeat(megabyte / 2),
        "'".repeat(megabyte),
        format!("x; {{{}", "a:1,".repeat(megabyte / 4)),
        format!("x; {}", "{a:".repeat(10_000)),
        format!("x; {{a: {}{}}}", "[".repeat(10_000), "]".repeat(10_000)),
        "{".repeat(10_000),
        format!("x/{}", "[".repeat(10_000)),
        // As long as they may be.
        format!("x; {{{}}}", "a:1,".repeat(16_000)),
        format!("x; {{{}}}", r"'\x61':1,".repeat(7000)),
        "\\x41".repeat(16_000),
    ];
    let start = Instant::now();
    for text in &texts {
        for dialect in [Dialect::Python, Dialect::Cpp] {
            let read = Address::parse_with(dialect, text);
            let strict = Address::parse_strict(dialect, text);
            assert!(read.is_ok() || strict == read);
            if let Err(error) = strict {
                assert!(error.report().len() < 400, "{}", error.report().len());
            }
        }
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}
