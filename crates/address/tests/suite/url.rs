//! Broker URLs in every form, and the addresses in them.

use postroad_address::{Address, BrokerUrl, Scheme, UrlError, UrlPart, split_address};

/// Scheme, user, password, host, port, path.
type Facts<'a> = (Scheme, Option<&'a str>, Option<&'a str>, &'a str, u16, Option<&'a str>);

#[track_caller]
fn reads(text: &str, facts: Facts<'_>) {
    let url = BrokerUrl::parse(text).unwrap();
    let found = (url.scheme(), url.user(), url.password(), url.host(), url.port(), url.path());
    assert_eq!(found, facts, "{text}");
    assert_eq!(BrokerUrl::parse(&url.to_string()), Ok(url), "{text}");
}

#[track_caller]
fn refuses(text: &str, error: UrlError) {
    assert_eq!(BrokerUrl::parse(text), Err(error), "{text}");
}

fn host_only(host: &str, port: u16) -> Facts<'_> {
    (Scheme::Amqp, None, None, host, port, None)
}

#[test]
fn the_full_form() {
    let url = BrokerUrl::parse("amqp://user:pw@host:1234/path?x=y&z&=").unwrap();
    assert_eq!((url.scheme(), url.host(), url.port()), (Scheme::Amqp, "host", 1234));
    assert_eq!((url.user(), url.password(), url.path()), (Some("user"), Some("pw"), Some("path")));
    let query: Vec<_> = url.query().iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(query, [("x", "y"), ("z", ""), ("", "")]);
    assert_eq!(url.to_string(), "amqp://user:pw@host:1234/path?x=y&z=&=");
}

#[test]
fn short_forms() {
    reads("host", host_only("host", 5672));
    reads("host:1234", host_only("host", 1234));
    reads("127.0.0.1:0", host_only("127.0.0.1", 0));
    reads("[::1]", host_only("::1", 5672));
    reads("[::1]:1234", host_only("::1", 1234));
    reads("amqp://[fe80::1%25eth0]:1234", host_only("fe80::1%eth0", 1234));
    reads("amqp://host/", host_only("host", 5672));
    reads(" AMQP://Host\n", host_only("Host", 5672));
    reads("amqps://host", (Scheme::Amqps, None, None, "host", 5671, None));
    reads("host/a/b", (Scheme::Amqp, None, None, "host", 5672, Some("a/b")));
    reads("user@host", (Scheme::Amqp, Some("user"), None, "host", 5672, None));
    reads("user:@host", (Scheme::Amqp, Some("user"), Some(""), "host", 5672, None));
}

#[test]
fn parts_are_percent_decoded() {
    let password = Some("p@ss/w:rd%");
    reads(
        "amqp://us%20er:p%40ss%2fw%3Ard%25@host/a%20b",
        (Scheme::Amqp, Some("us er"), password, "host", 5672, Some("a b")),
    );
    reads("amqp://u:p@ss@host", (Scheme::Amqp, Some("u"), Some("p@ss"), "host", 5672, None));
    refuses("amqp://u:100%@host", UrlError::BadPercent { part: UrlPart::Password });
    refuses("amqp://host/100%", UrlError::BadPercent { part: UrlPart::Path });
    refuses("amqp://host/a?b=%ff", UrlError::BadPercent { part: UrlPart::Query });
}

#[test]
fn the_python_clients_form() {
    let with = |scheme, port| (scheme, Some("user"), Some("pass%20word"), "host", port, None);
    reads("user/pass%20word@host", with(Scheme::Amqp, 5672));
    reads("user/pass%20word@host:1234", with(Scheme::Amqp, 1234));
    reads("amqps://user/pass%20word@host", with(Scheme::Amqps, 5671));
    reads("user/pw@[::1]:1", (Scheme::Amqp, Some("user"), Some("pw"), "::1", 1, None));
    // More behind it, and it is a host with a path.
    reads("amqp://host/a@b/c", (Scheme::Amqp, None, None, "host", 5672, Some("a@b/c")));
    reads("amqp://host:1/a@b", (Scheme::Amqp, None, None, "host", 1, Some("a@b")));
    reads("amqp://host/a%40b", (Scheme::Amqp, None, None, "host", 5672, Some("a@b")));
}

#[test]
fn the_cpp_clients_form() {
    reads("amqp:host", host_only("host", 5672));
    reads("amqp:tcp:10.0.0.1:1234", host_only("10.0.0.1", 1234));
    reads("tcp:host", host_only("host", 5672));
    reads("amqp:user/pw@tcp:host:1", (Scheme::Amqp, Some("user"), Some("pw"), "host", 1, None));
    reads("user:pw@ssl:host", (Scheme::Amqps, Some("user"), Some("pw"), "host", 5671, None));
    refuses("amqp:rdma:host", UrlError::UnsupportedTransport { transport: "rdma" });
    // With nothing but a port behind them they are host names.
    reads("amqp:1234", host_only("amqp", 1234));
    reads("tcp:1234/a", (Scheme::Amqp, None, None, "tcp", 1234, Some("a")));
}

/// The grammar of the C++ client (`src/qpid/Url.cpp`).
#[test]
fn passwords_of_the_cpp_client() {
    let with = |user, password| (Scheme::Amqp, Some(user), Some(password), "host", 1, None);
    reads("amqp:me/p:a/s?s%20@tcp:host:1", with("me", "p:a/s?s%20"));
    reads("amqp:me:pass@host:1", with("me", "pass"));
    reads("amqp:me@host:1", (Scheme::Amqp, Some("me"), None, "host", 1, None));
    reads("amqp:me/pw@[::1]:1", (Scheme::Amqp, Some("me"), Some("pw"), "::1", 1, None));
    reads("amqp:[fe80::1]", host_only("fe80::1", 5672));
    let all = BrokerUrl::parse_list("amqp:me/pw@tcp:one:1,ssl:two,[::1]:3,four").unwrap();
    let all: Vec<_> = all.iter().map(ToString::to_string).collect();
    assert_eq!(all, ["amqp://me:pw@one:1", "amqps://me:pw@two", "amqp://me:pw@[::1]:3", "amqp://me:pw@four"]);
    for list in ["amqp:one,", ",one", "one,,two"] {
        assert_eq!(BrokerUrl::parse_list(list), Err(UrlError::MissingHost), "{list}");
    }
    for list in ["amqp:", "one,two:x", "one,ht!tp"] {
        assert!(BrokerUrl::parse_list(list).is_err(), "{list}");
    }
}

/// What Proton's own tests have (`cpp/src/url_test.cpp`, `c/tests/url_test.cpp`), but for URLs without a host, to which it gives
/// one.
#[test]
fn the_forms_of_proton() {
    let named = |port, path| (Scheme::Amqp, None, None, "host", port, path);
    reads("amqp://host:amqp/path", named(5672, Some("path")));
    reads("host:amqps", named(5671, None));
    reads("//host", named(5672, None));
    reads("//host:0", named(0, None));
    reads("//me:pass@host:1234/path", (Scheme::Amqp, Some("me"), Some("pass"), "host", 1234, Some("path")));
    reads("[::1]:amqp", host_only("::1", 5672));
    reads("me@[::1]:amqp", (Scheme::Amqp, Some("me"), None, "::1", 5672, None));
    let odd = (Scheme::Amqp, Some("user"), Some("1243^&^:pw"), "host", 423, Some("Foo.bar:90087@somewhere"));
    reads("user:1243^&^:pw@host:423/Foo.bar:90087@somewhere", odd);
    let encoded = (Scheme::Amqps, Some("@user/:"), Some("@pass/:"), "example.net", 5671, Some("some_topic"));
    reads("amqps://%40user%2F%3A:%40pass%2F%3A@example.net/some_topic", encoded);
    reads("user@host/topic://test", (Scheme::Amqp, Some("user"), None, "host", 5672, Some("topic://test")));
    reads(
        "[fe80::c662:ab36:1ef1:1596]:5672/path",
        (Scheme::Amqp, None, None, "fe80::c662:ab36:1ef1:1596", 5672, Some("path")),
    );
    for text in [":1234", "/path", "//", "//:amqp", "user@"] {
        refuses(text, UrlError::MissingHost);
    }
    refuses("amqp://foo:xyz/path", UrlError::BadPort { port: "xyz".to_owned() });
    refuses("user:pw@[::1:amqp/x", UrlError::BadHost { host: "[::1:amqp".to_owned() });
}

#[test]
fn websockets_in_every_spelling() {
    let plain = |path| (Scheme::AmqpWs, None, None, "host", 80, path);
    reads("amqpws://host", plain(None));
    reads("amqp+ws://host/orders", plain(Some("orders")));
    reads("WS://host/", plain(None));
    let secure = |port, path| (Scheme::AmqpWss, Some("u"), Some("p"), "::1", port, path);
    reads("amqpwss://u:p@[::1]/a/b", secure(443, Some("a/b")));
    reads("amqp+wss://u:p@[::1]:8443/a", secure(8443, Some("a")));
    reads("wss://u:p@[::1]:0", secure(0, None));
    reads("amqpwss://u/p@[::1]", secure(443, None));
    for text in ["wss://u:p@host?a=b", "amqp+wss://u:p@host?a=b"] {
        assert_eq!(BrokerUrl::parse(text).unwrap().to_string(), "amqpwss://u:p@host?a=b");
    }
    assert!(Scheme::AmqpWss.is_secure() && Scheme::AmqpWss.is_websocket() && !Scheme::AmqpWs.is_secure());
    assert!(!Scheme::Amqp.is_websocket() && !Scheme::AmqpUnix.is_websocket());
}

#[test]
fn the_resource_of_a_websocket_is_no_node() {
    let url = BrokerUrl::parse("amqpws://host/orders?websocket_resource=/$servicebus/websocket").unwrap();
    assert_eq!((url.path(), url.websocket_resource()), (Some("orders"), Some("/$servicebus/websocket")));
    assert_eq!(url.to_string(), "amqpws://host/orders?websocket_resource=/$servicebus/websocket");
    assert_eq!(BrokerUrl::parse("amqpws://host/orders?x=/a").unwrap().websocket_resource(), None);
    // Elsewhere it would be the resource.
    refuses("ws://host/orders", UrlError::AmbiguousPath);
    refuses("wss://host:1/orders?websocket_resource=/", UrlError::AmbiguousPath);
    assert_eq!(BrokerUrl::parse("ws://host/?websocket_resource=/amqp").unwrap().websocket_resource(), Some("/amqp"));
}

#[test]
fn unix_sockets() {
    let at = |user, password, place, path| (Scheme::AmqpUnix, user, password, place, 0, path);
    reads("amqp+unix://%2Frun%2Fbroker.sock", at(None, None, "/run/broker.sock", None));
    reads("AMQP+UNIX://%2frun%2fa%20b%3A1/orders/eu", at(None, None, "/run/a b:1", Some("orders/eu")));
    reads("amqp+unix://u:p%40@%2Frun%2Fx/a@b", at(Some("u"), Some("p@"), "/run/x", Some("a@b")));
    reads("amqp+unix://%40name/a", at(None, None, "@name", Some("a")));
    reads("amqp+unix://@name/a", at(None, None, "@name", Some("a")));
    reads("amqp+unix://u@%40name", at(Some("u"), None, "@name", None));
    reads("amqp+unix://%40a%00b", at(None, None, "@a\0b", None));
    let url = BrokerUrl::parse("amqp+unix://u:secret@%2Frun%2Fa,b?x=y").unwrap();
    assert_eq!(url.to_string(), "amqp+unix://u:secret@%2Frun%2Fa%2Cb?x=y");
    assert_eq!(url.redacted().to_string(), "amqp+unix://u:***@%2Frun%2Fa%2Cb?x=y");
    assert_eq!(BrokerUrl::new(Scheme::AmqpUnix, "/run/x").unwrap().with_port(1).to_string(), "amqp+unix://%2Frun%2Fx");
    let (url, address) = split_address("amqp+unix://@name/orders; {mode: browse}").unwrap();
    assert_eq!((url.unwrap().host(), address.as_str()), ("@name", "orders; {mode: browse}"));

    for text in ["amqp+unix://", "amqp+unix:///run/broker.sock", "amqp+unix://u:p@/a"] {
        refuses(text, UrlError::MissingSocket);
    }
    let bad = |path: &str| UrlError::BadSocket { path: path.to_owned() };
    refuses("amqp+unix://run", bad("run"));
    refuses("amqp+unix://@", bad("@"));
    refuses("amqp+unix://%2Frun%00", bad("/run\0"));
    refuses("amqp+unix://u:p@@name", bad("name"));
    refuses("amqp+unix://%2Frun:5672", UrlError::PortOfSocket);
    refuses("amqp+unix://%2", UrlError::BadPercent { part: UrlPart::Socket });
    refuses("amqp+unix://%2F%ff", UrlError::BadPercent { part: UrlPart::Socket });
    refuses("amqp+unix://u:sec/ret@%2Frun", UrlError::RawCharacterInPassword);
    for prefix in ["/", "@"] {
        let longest = format!("{prefix}{}", "x".repeat(if prefix == "@" { 107 } else { 106 }));
        assert!(BrokerUrl::new(Scheme::AmqpUnix, &longest).is_ok());
        assert!(matches!(BrokerUrl::new(Scheme::AmqpUnix, &(longest + "x")), Err(UrlError::BadSocket { .. })));
    }
}

#[test]
fn lists_for_failover() {
    let urls = BrokerUrl::parse_list("amqp:user/pw@tcp:one:1,tcp:two:2,amqps://other:x@three").unwrap();
    let urls: Vec<_> = urls.iter().map(ToString::to_string).collect();
    assert_eq!(urls, ["amqp://user:pw@one:1", "amqp://user:pw@two:2", "amqps://other:x@three"]);
    assert_eq!(BrokerUrl::parse_list("one,,two"), Err(UrlError::MissingHost));
}

#[test]
fn refused_with_a_reason() {
    refuses("", UrlError::MissingHost);
    refuses("amqp://", UrlError::MissingHost);
    refuses("amqp://user@:5672", UrlError::MissingHost);
    refuses("http://host", UrlError::UnknownScheme { scheme: "http".to_owned() });
    for (text, host) in [
        ("::1", "::1"),
        ("amqp://::1", "::1"),
        ("[::1", "[::1"),
        ("[host]", "[host]"),
        ("amqp://a b", "a b"),
        ("amqp://a&b:1", "a&b"),
    ] {
        let host = host.to_owned();
        refuses(text, UrlError::BadHost { host });
    }
    for (text, port) in [("host:", ""), ("host:x", "x"), ("host:+1", "+1"), ("host:65536", "65536"), ("[::1]x", "x")] {
        refuses(text, UrlError::BadPort { port: port.to_owned() });
    }
    let long = format!("amqp://host/{}", "a".repeat(300_000));
    refuses(&long, UrlError::TooLong { len: long.len() });
}

#[test]
fn hints_say_what_to_write() {
    let hint = |text| BrokerUrl::parse(text).unwrap_err().hint().unwrap();
    assert!(hint("http://host").contains("amqp:// or amqps://"));
    assert!(hint("::1").contains("[::1]"));
    assert!(hint("http://host").contains("amqpws://") && hint("http://host").contains("amqp+unix://"));
    assert!(hint("host:x").contains("0 to 65535"));
    assert!(hint("amqp+unix:///run/x").contains("amqp+unix://%2Frun%2F"));
    assert!(hint("amqp+unix://run").contains("absolute") && hint("amqp+unix://run").contains("%40name"));
    assert!(hint("amqp+unix://%2Frun:1").contains("%3A"));
    assert!(hint("ws://host/a").contains("amqpws://") && hint("ws://host/a").contains("websocket_resource"));
    assert!(hint("amqp://u:a/b@host").contains("%2F"));
}

#[test]
fn no_error_and_no_debug_shows_a_password() {
    refuses("amqp://user:sec/ret@host", UrlError::RawCharacterInPassword);
    refuses("amqp://user:sec?ret@host", UrlError::RawCharacterInPassword);
    for text in ["amqp://user:secret@ho st", "amqp://user:secret%@host", "user:secret@host:x", "user/secret@host:x"] {
        let error = BrokerUrl::parse(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
    let url = BrokerUrl::parse("amqp://user:secret@host/a").unwrap();
    assert_eq!(format!("{url:?}"), "BrokerUrl(amqp://user:***@host/a)");
    assert_eq!(url.redacted().to_string(), "amqp://user:***@host/a");
    assert_eq!(url.to_string(), "amqp://user:secret@host/a");
}

#[test]
fn made_in_code() {
    let url = BrokerUrl::new(Scheme::Amqps, "::1").unwrap().with_port(1).with_path("a b/c");
    assert_eq!(url.to_string(), "amqps://[::1]:1/a%20b/c");
    assert_eq!(BrokerUrl::new(Scheme::Amqp, "localhost").unwrap().with_path("").path(), None);
    assert_eq!(BrokerUrl::new(Scheme::Amqp, "a/b"), Err(UrlError::BadHost { host: "a/b".to_owned() }));
}

#[test]
fn an_argument_is_an_address_or_a_url() {
    for plain in ["orders", "host/queue", "a:b", "orders/eu.#; {link: {selector: 'a://b'}}", "'amqp://x'", "[::1]:5672"]
    {
        assert_eq!(split_address(plain), Ok((None, plain.to_owned())));
    }
    let (url, address) = split_address("amqp://u:p@host:1/prices/eu.#; {mode: browse}?x=y").unwrap();
    let url = url.unwrap();
    assert_eq!((url.host(), url.port(), url.query().len()), ("host", 1, 1));
    let address = Address::parse(&address).unwrap();
    assert_eq!((address.name.as_str(), address.subject.as_deref()), ("prices", Some("eu.#")));
    assert_eq!(address.to_string(), "prices/eu.#; {mode: browse}");

    assert_eq!(split_address("amqp://host"), Err(UrlError::MissingAddress));
    assert_eq!(split_address("http://host/a"), Err(UrlError::UnknownScheme { scheme: "http".to_owned() }));
}
