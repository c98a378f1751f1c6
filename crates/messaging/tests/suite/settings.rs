//! The original's options of a connection, and what became of them.

use std::path::PathBuf;

use postroad_client::ConnectError as Below;
use postroad_messaging::address::BrokerUrl;
use postroad_messaging::{ConnectError, ConnectionBuilder, ConnectionOptions, Protocol, TlsConfig, Transport};
use postroad_taps::ClientCertificates;

use super::opening::identity_for;
use super::*;

fn at(url: &str) -> ConnectionBuilder {
    Connection::new(url).unwrap()
}

/// A file that is gone with the build folder.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

async fn sends(connection: &Connection) {
    connection.session().await.unwrap().sender("q").await.unwrap().send("a").await.unwrap();
}

fn option(result: Result<Connection, ConnectError>) -> String {
    match result {
        Err(ConnectError::Option { option, .. }) => option,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_set_is_told() {
    let defaults = at("amqp://host").settings().clone();
    assert_eq!((defaults.host(), defaults.port(), defaults.transport()), ("host", 5672, Transport::Tcp));
    assert_eq!((defaults.username(), defaults.password(), defaults.heartbeat()), (None, None, None));
    assert_eq!((defaults.sasl_service(), defaults.sasl_min_ssf(), defaults.sasl_max_ssf()), ("qpidd", 0, None));
    assert_eq!((defaults.reconnect(), defaults.reconnect_log(), defaults.tcp_nodelay()), (false, true, true));
    assert_eq!((defaults.address_ttl(), defaults.protocol()), (Duration::from_secs(60), Protocol::Auto));
    assert!(
        defaults.ssl_keyfile().is_none() && defaults.ssl_certfile().is_none() && defaults.ssl_trustfile().is_none()
    );
    assert!(!defaults.ssl_skip_hostname_check() && defaults.client_properties().is_empty());

    let other: BrokerUrl = "amqp://other".parse().unwrap();
    let builder = at("amqp://u:p@host:1")
        .transport(Transport::Tls)
        .heartbeat(Duration::from_secs(7))
        .sasl_mechanisms(["PLAIN"])
        .sasl_service("broker")
        .sasl_min_ssf(56)
        .sasl_max_ssf(256)
        .reconnect_timeout(Duration::from_secs(30))
        .reconnect_interval(Duration::from_secs(2))
        .reconnect_limit(9)
        .reconnect_urls([other.clone()])
        .reconnect_log(false)
        .address_ttl(Duration::from_secs(5))
        .tcp_nodelay(false)
        .ssl_keyfile("key.pem")
        .ssl_certfile("cert.pem")
        .ssl_trustfile("roots.pem")
        .ssl_skip_hostname_check(true)
        .property("colour", "red")
        .container_id("me")
        .protocol(Protocol::Amqp1_0);
    let set = builder.settings();
    assert_eq!((set.host(), set.port(), set.transport()), ("host", 1, Transport::Tls));
    assert_eq!((set.username(), set.password()), (Some("u"), Some("p")));
    assert_eq!(set.heartbeat(), Some(Duration::from_secs(7)));
    assert_eq!((set.sasl_mechanisms(), set.sasl_service()), (&["PLAIN".to_owned()][..], "broker"));
    assert_eq!((set.sasl_min_ssf(), set.sasl_max_ssf()), (56, Some(256)));
    assert!(set.reconnect() && !set.reconnect_log() && !set.tcp_nodelay() && set.ssl_skip_hostname_check());
    assert_eq!(set.reconnect_timeout(), Some(Duration::from_secs(30)));
    let pause = Some(Duration::from_secs(2));
    assert_eq!(
        (set.reconnect_interval_min(), set.reconnect_interval_max(), set.reconnect_interval()),
        (pause, pause, pause)
    );
    assert_eq!((set.reconnect_limit(), set.reconnect_urls()), (Some(9), &[other][..]));
    assert_eq!((set.address_ttl(), set.protocol()), (Duration::from_secs(5), Protocol::Amqp1_0));
    assert_eq!(set.ssl_keyfile(), Some("key.pem".as_ref()));
    assert_eq!((set.ssl_certfile(), set.ssl_trustfile()), (Some("cert.pem".as_ref()), Some("roots.pem".as_ref())));
    assert_eq!((set.client_properties(), set.container_id()), (&[("colour".to_owned(), "red".into())][..], "me"));
    let shown = format!("{set:?}");
    assert!(!shown.contains("\"p\"") && !shown.contains("u:p"), "{shown}");
}

#[tokio::test]
async fn an_open_connection_tells_its_options() {
    let world = world().await;
    let connection = at(&world.broker.urls()[0]).user("guest").password("x").open().await;
    // A broker without users lets nobody in by name.
    assert!(matches!(connection, Err(ConnectError::Authentication(_))), "{connection:?}");
    assert_eq!(world.connection.settings().port(), world.broker.addr().unwrap().port());
    assert_eq!(world.connection.auth_username(), None);
    assert!(!world.connection.settings().container_id().is_empty());
}

#[tokio::test]
async fn the_files_for_tls_and_the_strength_that_it_gives() {
    let (authority, chain, key) = identity_for(&["elsewhere.test"]);
    let server = TlsConfig::builder()
        .server_certificate_pem(&chain, &key)
        .roots_pem(&authority)
        .client_certificates(ClientCertificates::Required)
        .build()
        .unwrap();
    let broker = Broker::builder().queue("q").tls(server).listen("amqps://127.0.0.1:0").start().await.unwrap();
    let (roots, certificate, key) = (file("roots", &authority), file("chain", &chain), file("key", &key));
    // The URL says `amqp`: it is the transport that asks for TLS.
    let plain = format!("amqp://127.0.0.1:{}", broker.addr().unwrap().port());
    let full = || {
        let builder = at(&plain).transport(Transport::Tls).ssl_trustfile(&roots).connect_timeout(PATIENCE);
        builder.ssl_certfile(&certificate).ssl_keyfile(&key)
    };
    let error = full().open().await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)) && error.to_string().contains("elsewhere.test"), "{error:?}");
    let connection = full().ssl_skip_hostname_check(true).sasl_min_ssf(128).open().await.unwrap();
    assert_eq!(connection.settings().transport(), Transport::Tls);
    sends(&connection).await;

    let both = file("both", &format!("{chain}{}", std::fs::read_to_string(&key).unwrap()));
    let builder = at(&plain).transport(Transport::Tls).ssl_trustfile(&roots).ssl_certfile(&both);
    sends(&builder.ssl_skip_hostname_check(true).open().await.unwrap()).await;

    let error = full().ssl_skip_hostname_check(true).sasl_min_ssf(257).open().await.unwrap_err();
    let ConnectError::Connection(Below::Strength { wanted: 257, found: 128 | 256 }) = error else {
        panic!("{error:?}")
    };
    assert!(error.hint().is_some());
    let error = at(&plain).sasl_min_ssf(1).open().await.unwrap_err();
    assert!(error.to_string().contains("needs TLS"), "{error}");
    let without = at(&plain).transport(Transport::Tls).ssl_trustfile(&roots).ssl_skip_hostname_check(true);
    let error = without.connect_timeout(PATIENCE).open().await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)), "{error:?}");
}

#[tokio::test]
async fn options_that_contradict_each_other_are_refused() {
    let tls = TlsConfig::default();
    let missing = at("amqps://127.0.0.1:1").ssl_trustfile("/nowhere/roots.pem").open().await;
    assert!(
        matches!(&missing, Err(ConnectError::TlsFiles(error)) if error.to_string().contains("/nowhere")),
        "{missing:?}"
    );
    let builder = || at("amqps://127.0.0.1:1");
    assert_eq!(option(builder().tls(tls).ssl_trustfile("roots.pem").open().await), "ssl_trustfile");
    assert_eq!(option(builder().ssl_keyfile("key.pem").open().await), "ssl_keyfile");
    assert_eq!(option(builder().sasl_min_ssf(128).sasl_max_ssf(56).open().await), "sasl_max_ssf");
    assert_eq!(option(builder().protocol(Protocol::Amqp0_10).open().await), "protocol");
}

#[tokio::test]
async fn a_connection_that_holds_small_writes_back_works_all_the_same() {
    let world = world().await;
    let connection = at(&world.broker.urls()[0]).tcp_nodelay(false).open().await.unwrap();
    sends(&connection).await;
    assert_eq!(world.ready(), 1);
}

#[test]
fn options_are_read_from_text_by_the_names_of_each_original() {
    let builder = at("amqp://alice@host")
        .options_text(
            "{reconnect: true, reconnect-limit: 5, reconnect_interval: 2, heartbeat: 10, sasl-mechanisms: 'PLAIN EXTERNAL', \
             username: eve, port: 1, transport: ssl, client-properties: {colour: red}, ssl-trustfile: 'roots.pem', \
             tcp-nodelay: false, reconnect-urls: 'amqp://one,amqp://two', address_ttl: 5, protocol: amqp1.0}",
        )
        .unwrap();
    let set = builder.settings();
    assert_eq!((set.username(), set.port(), set.transport()), (Some("alice"), 1, Transport::Tls));
    assert_eq!((set.reconnect_limit(), set.reconnect_interval()), (Some(5), Some(Duration::from_secs(2))));
    assert_eq!((set.heartbeat(), set.address_ttl()), (Some(Duration::from_secs(10)), Duration::from_secs(5)));
    assert_eq!(set.sasl_mechanisms(), ["PLAIN", "EXTERNAL"]);
    assert_eq!(set.client_properties(), [("colour".to_owned(), "red".into())]);
    assert_eq!((set.ssl_trustfile(), set.tcp_nodelay()), (Some("roots.pem".as_ref()), false));
    assert_eq!((set.reconnect_urls().len(), set.protocol()), (2, Protocol::Amqp1_0));
    let off = at("amqp://host").options_text("{reconnect: false, reconnect-limit: 5}").unwrap();
    assert!(!off.settings().reconnect());
    let one = at("amqp://host").option("sasl_min_ssf", 56_i64).unwrap();
    assert_eq!(one.settings().sasl_min_ssf(), 56);

    let options = ConnectionOptions::parse("{host: 'amqp://u:p@host', port: 7, username: x}").unwrap();
    let builder = ConnectionBuilder::from_options(&options).unwrap();
    assert_eq!((builder.settings().username(), builder.settings().port()), (Some("u"), 7));
    assert_eq!(builder.settings().password(), Some("p"));
    assert!(matches!(ConnectionBuilder::from_options(&ConnectionOptions::default()), Err(ConnectError::Option { .. })));
}

#[test]
fn options_that_there_are_not_are_refused_by_name() {
    let error = at("amqp://host").options_text("{no-such-option: 1}").unwrap_err();
    assert_eq!(error.to_string(), "Unknown connection option no-such-option");
    assert!(at("amqp://host").options_text("{heartbeats: 1}").unwrap_err().hint().unwrap().contains("heartbeat"));
    for (name, value) in
        [("heartbeat", "soon"), ("reconnect", "perhaps"), ("protocol", "amqp0-9"), ("transport", "udp")]
    {
        let error = at("amqp://host").option(name, value).unwrap_err();
        assert!(matches!(error, ConnectError::Options(_)) && error.to_string().contains(name), "{error:?}");
    }
    for name in ["max_channels", "bounds", "max_delivery_attempts", "redelivery_timeout"] {
        let error = at("amqp://host").option(name, 3_i64).unwrap_err();
        assert!(matches!(&error, ConnectError::Option { option, .. } if option == name), "{error:?}");
    }
}
