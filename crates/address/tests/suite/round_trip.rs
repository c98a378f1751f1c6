//! What is written is read back, for any value.

use postroad_address::{Address, BrokerUrl, Dialect, Float, OptionKey, OptionMap, OptionValue, Role, Scheme};
use proptest::{collection::vec, option, prelude::*};

/// Text of any kind, with more than its share of what the grammar means something by.
fn text() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        any::<char>().prop_map(String::from),
        "[a-zA-Z0-9_.#*-]{1,6}",
        "[ \\\\'\"/;:,{}\\[\\]\n\r\t\0&=@%+$^!-]",
        Just("True".to_owned()),
        Just("None".to_owned()),
        Just("\\x41".to_owned()),
        Just("007".to_owned()),
    ];
    vec(pieces, 0..5).prop_map(|pieces| pieces.concat())
}

fn float() -> impl Strategy<Value = Float> {
    any::<f64>().prop_filter_map("finite", Float::new)
}

fn key() -> impl Strategy<Value = OptionKey> {
    prop_oneof![
        4 => text().prop_map(OptionKey::from),
        1 => any::<i64>().prop_map(OptionKey::from),
        1 => any::<bool>().prop_map(OptionKey::from),
        1 => float().prop_map(OptionKey::from),
        1 => Just(OptionKey::Null),
    ]
}

fn value() -> impl Strategy<Value = OptionValue> {
    let leaf = prop_oneof![
        4 => text().prop_map(OptionValue::from),
        1 => any::<i64>().prop_map(OptionValue::from),
        1 => any::<bool>().prop_map(OptionValue::from),
        1 => float().prop_map(OptionValue::from),
        1 => Just(OptionValue::Null),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(OptionValue::from),
            vec((key(), inner), 0..4).prop_map(|entries| entries.into_iter().collect::<OptionMap>().into()),
        ]
    })
}

fn options() -> impl Strategy<Value = OptionMap> {
    vec((key(), value()), 0..4).prop_map(|entries| entries.into_iter().collect())
}

/// Options that often mean something, so that both halves of the schema are reached.
fn likely_options() -> impl Strategy<Value = OptionMap> {
    let value = prop_oneof![
        Just("always"),
        Just("sender"),
        Just("browse"),
        Just("{type: topic}"),
        Just("{durable: True}"),
        Just("{name: n, reliability: exactly-once}"),
        Just("{timeout: 0.25, selector: 'a = 1'}"),
        Just("{x-declare: {a: [1, None]}}"),
        Just("{x-bindings: [{key: k}, {}]}"),
        Just("None"),
        Just("3"),
    ];
    let key = prop_oneof![
        Just("create"),
        Just("delete"),
        Just("assert"),
        Just("mode"),
        Just("node"),
        Just("link"),
        Just("x"),
    ];
    vec((key, value), 0..4).prop_map(|entries| {
        let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        Address::parse(&format!("x; {{{}}}", entries.join(", "))).unwrap().options.unwrap()
    })
}

fn address() -> impl Strategy<Value = Address> {
    (text(), option::of(text()), option::of(options())).prop_map(|(name, subject, options)| {
        let mut address = Address::new(name);
        address.subject = subject;
        address.options = options;
        address
    })
}

fn url() -> impl Strategy<Value = BrokerUrl> {
    let host = prop_oneof!["[a-z0-9._-]{1,9}", Just("[2001:db8::1]".to_owned()), Just("[fe80::1%25eth0]".to_owned())];
    let encoded = || text().prop_map(|text| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>());
    let user = option::of((encoded(), option::of(encoded())));
    let scheme = prop_oneof![Just("amqp"), Just("amqps"), Just("amqpws"), Just("amqpwss")];
    let port = option::of(any::<u16>()).prop_map(|port| port.map(|port| format!(":{port}")).unwrap_or_default());
    let socket = ("[/@]", "[a-z/:%, ]{1,20}").prop_map(|(first, rest)| {
        let rest: String = rest.bytes().map(|byte| format!("%{byte:02x}")).collect();
        (if first == "/" { "amqp+unix://%2F" } else { "amqp+unix://%40" }.to_owned(), rest)
    });
    let network =
        (scheme, host, port).prop_map(|(scheme, host, port)| (format!("{scheme}://"), format!("{host}{port}")));
    (prop_oneof![3 => network, 1 => socket], user, encoded(), vec((encoded(), encoded()), 0..3)).prop_map(
        |((scheme, host), user, path, query)| {
            let user = user
                .map(|(user, password)| format!("{user}{}@", password.map(|p| format!(":{p}")).unwrap_or_default()));
            let query: Vec<_> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
            // The first byte of a socket's place stands with the scheme here, and behind the user in a URL.
            let (scheme, first) = scheme.split_at(scheme.find("://").unwrap() + 3);
            let text = format!("{scheme}{}{first}{host}/{path}?{}", user.unwrap_or_default(), query.join("&"));
            BrokerUrl::parse(&text).unwrap()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_address_reads_back(address in address()) {
        let written = address.to_string();
        prop_assert_eq!(Address::parse(&written), Ok(address), "{}", written);
    }

    /// What is written is fit for strict readers, unless a key is no text.
    #[test]
    fn what_is_written_is_strict(address in address()) {
        fn keys_are_texts(value: &OptionValue) -> bool {
            match value {
                OptionValue::List(items) => items.iter().all(keys_are_texts),
                OptionValue::Map(map) => map.iter().all(|(key, value)| key.as_str().is_some() && keys_are_texts(value)),
                _ => true,
            }
        }
        let texts = address.options.clone().is_none_or(|map| keys_are_texts(&map.into()));
        let written = address.to_string();
        let strict = Address::parse_strict(Dialect::Python, &written);
        prop_assert_eq!(strict.is_ok(), texts, "{}", written);
    }

    #[test]
    fn the_cpp_dialect_reads_back_what_it_can_say(address in address()) {
        fn can_be_said(value: &OptionValue) -> bool {
            match value {
                OptionValue::Null => false,
                OptionValue::String(text) => one_quote(text),
                OptionValue::List(items) => items.iter().all(can_be_said),
                OptionValue::Map(map) => map.iter().all(|(key, value)| key.as_str().is_some_and(one_quote) && can_be_said(value)),
                _ => true,
            }
        }
        fn one_quote(text: &str) -> bool {
            !(text.contains('"') && text.contains('\''))
        }
        prop_assert_eq!(address.text_in(Dialect::Python), Some(address.to_string()));
        let texts = one_quote(&address.name) && address.subject.as_deref().is_none_or(one_quote);
        let options = address.options.clone().is_none_or(|map| can_be_said(&map.into()));
        match address.text_in(Dialect::Cpp) {
            Some(written) => {
                prop_assert_eq!(Address::parse_with(Dialect::Cpp, &written), Ok(address), "{}", written);
                prop_assert!(options);
            }
            None => prop_assert!(!(texts && options), "{}", address),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in text(), rest in text()) {
        for text in [text.clone(), format!("{text};{{{rest}}}"), format!("x;{{a:{text}}}")] {
            for dialect in [Dialect::Python, Dialect::Cpp] {
                match Address::parse_with(dialect, &text) {
                    Ok(address) => prop_assert_eq!(Address::parse(&address.to_string()), Ok(address)),
                    Err(error) => prop_assert!(error.report().contains("\nhint: ") && text.is_char_boundary(error.offset())),
                }
            }
        }
    }

    #[test]
    fn typed_options_read_back(map in likely_options()) {
        let mut address = Address::new("x");
        address.options = Some(map);
        for role in [Role::Sender, Role::Receiver] {
            if let Ok(options) = address.validate_for(role) {
                prop_assert_eq!(Address::new("x").with_options(&options).validate_for(role), Ok(options));
            }
        }
    }

    #[test]
    fn any_url_reads_back(url in url()) {
        let written = url.to_string();
        prop_assert!(written.is_ascii() && !written.contains([' ', '#', ',']));
        prop_assert_eq!(BrokerUrl::parse(&written), Ok(url.clone()), "{}", written);
        prop_assert_eq!(BrokerUrl::parse_list(&format!("{written},{written}")), Ok(vec![url.clone(), url.clone()]));
        let scheme = format!("{}:", url.scheme());
        prop_assert!(written.starts_with(&scheme));
        prop_assert_eq!(url.scheme() == Scheme::AmqpUnix, url.host().starts_with(['/', '@']));
    }

    #[test]
    fn any_text_is_a_url_or_not(text in text()) {
        for text in [format!("amqp://{text}"), format!("amqp+unix://{text}"), format!("amqpws://{text}"), text] {
            match BrokerUrl::parse(&text) {
                Ok(url) => prop_assert_eq!(BrokerUrl::parse(&url.to_string()), Ok(url)),
                Err(error) => prop_assert!(error.hint().is_some()),
            }
        }
    }
}

#[test]
fn what_is_written_in_quotes_and_what_the_cpp_dialect_cannot_say() {
    assert_eq!(Address::new("a/b").with_subject("c/d").to_string(), "'a/b'/c/d");
    assert_eq!(Address::new("it's \"so\"").to_string(), "'it\\'s \"so\"'");
    assert_eq!(Address::new("it's").to_string(), "\"it's\"");
    let cpp = |address: Address| address.text_in(Dialect::Cpp);
    // Quotes of both kinds can stand bare, unless they begin it or something ends it.
    assert_eq!(cpp(Address::new("a'b\"c")).as_deref(), Some("a'b\"c"));
    assert_eq!(cpp(Address::new("'b\"c")), None);
    assert_eq!(cpp(Address::new("a'b\"c d")), None);
    let none = Address::parse("a; {b: None}").unwrap();
    assert_eq!(cpp(none), None);
}
