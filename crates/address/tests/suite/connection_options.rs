//! The options of a connection, by the names of the Python client, the C++ client and Proton.

use std::time::Duration;

use postroad_address::{
    BrokerUrl, ConnectionOptions, ConnectionOptionsError, Float, MAX_ADDRESS_LEN, OptionValue, Protocol, Transport,
    UrlError,
};

use crate::{entry, list, map};

#[track_caller]
fn reads(text: &str) -> ConnectionOptions {
    ConnectionOptions::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn refuses(text: &str, message: &str, hint: &str) {
    let error = ConnectionOptions::parse(text).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.hint().as_str()), (message, hint), "{text}");
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn seconds(seconds: f64) -> Option<Duration> {
    Some(Duration::from_secs_f64(seconds))
}

#[test]
fn every_option_of_the_python_client() {
    let options = reads(
        "{host: 'one', transport: ssl, port: 1234, heartbeat: 10, username: me, password: 'se cret',
          sasl_mechanisms: 'PLAIN  ANONYMOUS', sasl_service: qpidd, sasl_min_ssf: 1, sasl_max_ssf: 256,
          reconnect: true, reconnect_timeout: 30, reconnect_interval: 2, reconnect_interval_min: 0.25,
          reconnect_interval_max: 60, reconnect_limit: 7, reconnect_urls: ['two:1', 'amqps://three'], reconnect_log: False,
          address_ttl: 1.5, tcp_nodelay: True, ssl_keyfile: '/key.pem', ssl_certfile: '/cert.pem',
          ssl_trustfile: '/ca.pem', ssl_skip_hostname_check: false, client_properties: {a: 1}, protocol: amqp1.0}",
    );
    assert_eq!((options.host, options.transport, options.port), (text("one"), Some(Transport::Tls), Some(1234)));
    assert_eq!((options.heartbeat, options.username, options.password), (seconds(10.0), text("me"), text("se cret")));
    assert_eq!(options.sasl_mechanisms, Some(vec!["PLAIN".to_owned(), "ANONYMOUS".to_owned()]));
    assert_eq!((options.sasl_service, options.sasl_min_ssf), (text("qpidd"), Some(1)));
    assert_eq!((options.sasl_max_ssf, options.reconnect), (Some(256), Some(true)));
    assert_eq!((options.reconnect_timeout, options.reconnect_interval), (seconds(30.0), seconds(2.0)));
    assert_eq!((options.reconnect_interval_min, options.reconnect_interval_max), (seconds(0.25), seconds(60.0)));
    assert_eq!((options.reconnect_limit, options.reconnect_log), (Some(7), Some(false)));
    let urls = vec![BrokerUrl::parse("two:1").unwrap(), BrokerUrl::parse("amqps://three").unwrap()];
    assert_eq!((options.reconnect_urls, options.address_ttl), (Some(urls), seconds(1.5)));
    assert_eq!((options.tcp_nodelay, options.ssl_keyfile), (Some(true), text("/key.pem")));
    assert_eq!((options.ssl_certfile, options.ssl_trustfile), (text("/cert.pem"), text("/ca.pem")));
    assert_eq!(options.ssl_skip_hostname_check, Some(false));
    assert_eq!(options.client_properties, Some(map([entry("a", 1)])));
    assert_eq!(options.protocol, Some(Protocol::Amqp1_0));
}

#[test]
fn every_option_of_the_cpp_client_with_dashes_and_underscores() {
    let dashed =
        "{container-id: me, nest-annotations: true, set-to-on-send: true, x-reconnect-on-limit-exceeded: false,
        properties: {a: b}, ssl-ignore-hostname-verification-failure: true, ssl-cert-name: mine, tcp-nodelay: true,
        reconnect-urls-replace: true, sasl-mechanism: PLAIN, locale: en_US, max-channels: 65535, max-frame-size: 4096,
        bounds: 2, address-passthrough: true, max-delivery-attempts: 3, raise-rejected: false, redelivery-timeout: 4,
        virtualhost: v, disable-auto-decode: true, connect-timeout: 5, reconnect-limit: -1, heartbeat: 0}";
    let options = reads(dashed);
    assert_eq!((&options.container_id, &options.virtual_host), (&text("me"), &text("v")));
    assert_eq!((options.nest_annotations, options.set_to_on_send), (Some(true), Some(true)));
    assert_eq!(options.reconnect_on_limit_exceeded, Some(false));
    assert_eq!(options.client_properties, Some(map([entry("a", "b")])));
    assert_eq!((options.ssl_skip_hostname_check, &options.ssl_cert_name), (Some(true), &text("mine")));
    assert_eq!((options.tcp_nodelay, options.reconnect_urls_replace), (Some(true), Some(true)));
    assert_eq!((&options.sasl_mechanisms, &options.locale), (&Some(vec!["PLAIN".to_owned()]), &text("en_US")));
    assert_eq!((options.max_channels, options.max_frame_size, options.bounds), (Some(65_535), Some(4096), Some(2)));
    assert_eq!((options.address_passthrough, options.max_delivery_attempts), (Some(true), Some(3)));
    assert_eq!((options.raise_rejected, options.redelivery_timeout), (Some(false), seconds(4.0)));
    assert_eq!((options.disable_auto_decode, options.connect_timeout), (Some(true), seconds(5.0)));
    assert_eq!((options.reconnect_limit, options.heartbeat), (Some(0), Some(Duration::ZERO)));
    let underscored = dashed.replace('-', "_").replace("_1", "-1");
    assert_eq!(reads(&underscored), options);
}

#[test]
fn what_protons_file_has() {
    let options = reads(
        r#"{"scheme": "amqps", "host": "one", "port": "amqps", "user": "me", "password": "secret",
            "sasl": {"enable": true, "mechanisms": ["PLAIN", "EXTERNAL"], "allow_insecure": false},
            "tls": {"cert": "c", "key": "k", "ca": "a", "verify": true}}"#,
    );
    assert_eq!((options.transport, options.port), (Some(Transport::Tls), Some(5671)));
    assert_eq!((options.username, options.password), (text("me"), text("secret")));
    assert_eq!((options.sasl_enabled, options.sasl_allow_insecure), (Some(true), Some(false)));
    assert_eq!(options.sasl_mechanisms, Some(vec!["PLAIN".to_owned(), "EXTERNAL".to_owned()]));
    assert_eq!((options.ssl_certfile, options.ssl_keyfile), (text("c"), text("k")));
    assert_eq!((options.ssl_trustfile, options.ssl_verify), (text("a"), Some(true)));
    let options =
        reads("{allowed_mechs: 'PLAIN', allow_insecure_mechs: true, scheme: amqp, port: amqp, virtual_host: v}");
    assert_eq!((options.transport, options.port), (Some(Transport::Tcp), Some(5672)));
    assert_eq!((options.sasl_allow_insecure, options.virtual_host), (Some(true), text("v")));
    refuses("{tls: {certs: c}}", "Unknown connection option tls.certs", "did you mean cert?");
    refuses(
        "{sasl: {enable: PLAIN}}",
        "sasl.enable: PLAIN is not a bool",
        "write sasl.enable: true or sasl.enable: false",
    );
    refuses("{tls: yes}", "tls: yes is not a map", "write tls: { .. }");
}

#[test]
fn nothing_is_no_option() {
    for text in ["", " \n", "{}", " { } "] {
        assert_eq!(reads(text), ConnectionOptions::default());
    }
    let mut options = reads("{heartbeat: 3, reconnect-urls: one}");
    options.set("heartbeat", OptionValue::Null).unwrap();
    options.set("reconnect_urls", OptionValue::Null).unwrap();
    assert_eq!(options, ConnectionOptions::default());
}

#[test]
fn unknown_options() {
    let nothing = "leave it out: no option has a name like it";
    refuses("{recconect: true}", "Unknown connection option recconect", "did you mean reconnect?");
    refuses("{user_name: x}", "Unknown connection option user_name", "did you mean username?");
    refuses("{sasl-mechs: x}", "Unknown connection option sasl-mechs", nothing);
    refuses("{colour: x}", "Unknown connection option colour", nothing);
    refuses("{'': x}", "Unknown connection option ", nothing);
    // A misspelled password is not shown.
    let error = ConnectionOptions::parse("{passwrd: hunter2}").unwrap_err();
    assert_eq!(error.to_string(), "Unknown connection option passwrd");
    assert!(!format!("{error:?}").contains("hunter2"));
    let mut options = ConnectionOptions::default();
    let error = options.set_all(&map([entry(1, 2)])).unwrap_err();
    assert_eq!(error.to_string(), "Unknown connection option 1");
}

#[test]
fn wrong_types_are_refused_by_name() {
    for (option, wanted, wrong) in [
        ("host", "str", "1"),
        ("username", "str", "[]"),
        ("sasl_service", "str", "True"),
        ("ssl_keyfile", "str", "1.5"),
        ("port", "number from 0 to 65535", "65536"),
        ("port", "number from 0 to 65535", "http"),
        ("max_channels", "number from 0 to 65535", "-1"),
        ("sasl_min_ssf", "number from 0 to 4294967295", "-1"),
        ("max-frame-size", "number from 0 to 4294967295", "4294967296"),
        ("reconnect_limit", "number from 0 to 4294967295", "1.5"),
        ("reconnect", "bool", "1"),
        ("tcp-nodelay", "bool", "yes"),
        ("heartbeat", "number of seconds", "-1"),
        ("heartbeat", "number of seconds", "soon"),
        ("reconnect_timeout", "number of seconds", "{}"),
        ("address_ttl", "number of seconds", "-0.5"),
        ("client_properties", "map", "[]"),
        ("sasl_mechanisms", "str or list of str", "1"),
    ] {
        let error = ConnectionOptions::parse(&format!("{{{option}: {wrong}}}")).unwrap_err();
        assert_eq!(error.to_string(), format!("{option}: {wrong} is not a {wanted}"));
        assert!(error.hint().contains(option), "{}", error.hint());
    }
    refuses("{transport: rdma}", "transport: rdma not in ('tcp', 'tcp+tls')", "write one of tcp, tcp+tls");
    refuses(
        "{protocol: amqp0-9}",
        "protocol: amqp0-9 not in ('amqp1.0', 'amqp0-10', 'auto')",
        "write one of amqp1.0, amqp0-10, auto",
    );
    let port = "a port is a number from 0 to 65535; leave it out for 5672, or 5671 with amqps";
    refuses("{reconnect-urls: ['one', 'two:x']}", "reconnect-urls: bad port \"x\"", port);
    // What is a number without quotes has lost its zeros.
    refuses("{password: 0123}", "password: *** is not a str", "put the value of password in quotes");
    refuses(
        "{reconnect_urls: [1]}",
        "reconnect_urls: *** is not a str or list of str",
        "write a str or list of str for reconnect_urls",
    );
    let huge = OptionValue::Float(Float::new(1e300).unwrap());
    assert!(ConnectionOptions::default().set("heartbeat", huge).is_err());
}

#[test]
fn texts_that_are_no_options() {
    let map = "options are a map: write {reconnect: true}";
    refuses("reconnect: true", "Invalid option string: expected '{', character 0", map);
    refuses(" x", "Invalid option string: expected '{', character 1", map);
    refuses(
        "{reconnect true}",
        "Invalid option string: Bad key-value pair, expected ':', character 11",
        "an option is a key and a value, as in {create: always}",
    );
    refuses(
        "{a: {}",
        "Invalid option string: Unmatched '{'!, character 6",
        "close the map with }, and put commas between entries",
    );
    refuses(
        "{} x",
        "Invalid option string: Unexpected chars in address, character 3",
        "nothing may follow the options",
    );
    refuses(
        &format!("{{a: {}", "[".repeat(10_000)),
        "Invalid option string: options nest too deep, character 35",
        "pass deep arguments in code",
    );
    let error = ConnectionOptions::parse("{username: me, password: hunter2").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let long = "x".repeat(MAX_ADDRESS_LEN + 1);
    assert_eq!(ConnectionOptions::parse(&long), Err(ConnectionOptionsError::TooLong { len: long.len() }));
}

#[test]
fn urls_gather_unless_they_replace() {
    let hosts = |options: &ConnectionOptions| -> Vec<String> {
        options.reconnect_urls.iter().flatten().map(|url| url.host().to_owned()).collect()
    };
    let mut options = reads("{reconnect_urls: 'one,tcp:two:1', 'reconnect-urls': [one, three]}");
    assert_eq!(hosts(&options), ["one", "two", "three"]);
    let bad = options.set("reconnect_urls", "four,five:x").unwrap_err();
    assert!(matches!(bad, ConnectionOptionsError::Url { error: UrlError::BadPort { .. }, .. }));
    assert_eq!(hosts(&options), ["one", "two", "three"]);
    options.set("reconnect-urls-replace", true).unwrap();
    options.set("reconnect-urls", list(["six".into()])).unwrap();
    assert_eq!(hosts(&options), ["six"]);
}

#[test]
fn texts_of_a_command_line() {
    let mut options = ConnectionOptions::default();
    for (name, value) in
        [("heartbeat", "1.5"), ("reconnect", "TRUE"), ("password", "0123"), ("port", "1"), ("username", "true")]
    {
        options.set_text(name, value).unwrap();
    }
    assert_eq!((options.heartbeat, options.reconnect, options.port), (seconds(1.5), Some(true), Some(1)));
    assert_eq!((options.password, options.username), (text("0123"), text("true")));
    let mut options = ConnectionOptions::default();
    assert_eq!(options.set_text("port", "x").unwrap_err().to_string(), "port: x is not a number from 0 to 65535");
    assert!(matches!(
        options.set_text("pot", "1"),
        Err(ConnectionOptionsError::Unknown { suggestion: Some("port"), .. })
    ));
}

#[test]
fn debug_shows_no_password() {
    let options = reads("{username: me, password: hunter2, reconnect_urls: 'amqp://me:hunter2@one'}");
    let shown = format!("{options:?}");
    assert!(shown.contains("username: \"me\"") && shown.contains("password: \"***\""), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("heartbeat"), "{shown}");
}
