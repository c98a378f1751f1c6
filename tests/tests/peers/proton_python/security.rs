//! Who we are and who the peer is: SASL and TLS.

use std::path::Path;
use std::time::Duration;

use postroad_amqp::sasl::SaslError;
use postroad_amqp::v1_0 as amqp;
use postroad_client::{ConnectError, ConnectOptions, Connection, ConnectionError, Message, TlsMode};
use postroad_taps::{TlsConfig, TlsError};
use postroad_tests::certificates::Certificates;
use postroad_tests::ours::{options, run, soon};

async fn works(options: ConnectOptions) {
    let connection = soon(Connection::open(options)).await.unwrap();
    let session = connection.session().await.unwrap();
    let sender = session.sender("q").await.unwrap();
    soon(sender.send(&Message::from("secure"))).await.unwrap();
    soon(connection.close()).await.unwrap();
}

fn tls_options(port: u16, roots: &Path) -> ConnectOptions {
    let mut options = options(&format!("amqps://127.0.0.1:{port}"));
    options.tls = TlsConfig::builder().roots_file(roots).build().unwrap();
    options
}

#[test]
fn anonymous_by_default_and_without_sasl_when_asked() {
    let proton = proton!();
    run(async {
        let mut listener = proton.listen(&[]).unwrap();
        let mut options = options(&listener.url());
        options.container_id = "it is me".to_owned();
        options.virtual_host = Some("virtual.example".to_owned());
        works(options.clone()).await;
        let open = listener.event("open").unwrap();
        assert_eq!((&open["mechanism"], &open["user"]), (&"ANONYMOUS".into(), &"anonymous".into()));
        assert_eq!((&open["container"], &open["hostname"]), (&"it is me".into(), &"virtual.example".into()));
        assert_eq!(open["properties"]["v"][0][1]["v"], "postroad");
        options.sasl_enabled = false;
        works(options).await;
        assert_eq!(listener.event("open").unwrap()["mechanism"], serde_json::Value::Null);
    });
}

#[test]
fn a_mechanism_that_is_not_offered_is_a_typed_error() {
    let proton = proton!();
    run(async {
        // peers.md, Proton Python: no listener of it without TLS offers PLAIN.
        let listener = proton.listen(&[]).unwrap();
        let mut options = options(&format!("amqp://user:secret@127.0.0.1:{}", listener.port()));
        options.sasl_mechanisms = vec!["PLAIN".to_owned()];
        let error = soon(Connection::open(options)).await.unwrap_err();
        let ConnectError::Connection(ConnectionError::Protocol(amqp::ConnectionError::Sasl(
            SaslError::NoCommonMechanism { offered, .. },
        ))) = &error
        else {
            panic!("{error:?}");
        };
        let offers = |mechanism: &str| offered.iter().any(|offer| offer == mechanism);
        assert!(offers("ANONYMOUS") && !offers("PLAIN"), "{offered:?}");
        assert!(error.is_authentication() && error.hint().is_some());
    });
}

#[test]
fn a_peer_that_wants_authentication_refuses_a_connection_without_sasl() {
    let proton = proton!();
    run(async {
        let mut listener = proton.listen(&["--require-auth"]).unwrap();
        let mut options = options(&listener.url());
        options.sasl_enabled = false;
        let error = soon(Connection::open(options)).await.unwrap_err();
        // Proton closes without a word.
        assert_eq!(error, ConnectionError::Protocol(amqp::ConnectionError::Lost).into());
        assert_eq!(listener.event("transport-error").unwrap()["condition"], "amqp:connection:policy-error");
    });
}

#[test]
fn a_client_certificate_is_shown_where_it_is_wanted() {
    let proton = proton!();
    run(async {
        let certificates = Certificates::make();
        let args = certificates.listen_options("server");
        let ca = certificates.path("ca.pem");
        let mut args = args.each_ref().map(String::as_str).to_vec();
        args.extend(["--tls-client-ca", ca.to_str().unwrap()]);
        let listener = proton.listen(&args).unwrap();
        let mut options = tls_options(listener.port(), &ca);
        let error = soon(Connection::open(options.clone())).await.unwrap_err();
        assert!(matches!(error.tls(), Some(TlsError::ClientCertificateRequired)), "{error:?}");
        options.tls = TlsConfig::builder()
            .roots_file(&ca)
            .client_certificate_files(certificates.path("client.pem"), certificates.path("client.key"))
            .build()
            .unwrap();
        works(options).await;
    });
}

#[test]
fn tls_on_one_side_alone_is_a_typed_error() {
    let proton = proton!();
    run(async {
        let certificates = Certificates::make();
        let plain = proton.listen(&[]).unwrap();
        let error = soon(Connection::open(tls_options(plain.port(), &certificates.path("ca.pem")))).await.unwrap_err();
        assert_eq!(error.tls(), Some(&TlsError::ClosedDuringHandshake), "{error:?}");
        let args = certificates.listen_options("server");
        let secure = proton.listen(&args.each_ref().map(String::as_str)).unwrap();
        let error = soon(Connection::open(options(&secure.url()))).await.unwrap_err();
        // OpenSSL hangs up without a word, so that a hint is all that can be given.
        assert_eq!(error, ConnectionError::Protocol(amqp::ConnectionError::Lost).into());
        assert!(error.hint().is_some_and(|hint| hint.contains("amqps")), "{:?}", error.hint());
    });
}

#[test]
fn the_tls_header_is_never_answered() {
    let proton = proton!();
    run(async {
        let certificates = Certificates::make();
        let args = certificates.listen_options("server");
        for args in [&[][..], &args.each_ref().map(String::as_str)] {
            let listener = proton.listen(args).unwrap();
            let mut asking = tls_options(listener.port(), &certificates.path("ca.pem"));
            asking.tls_mode = TlsMode::Header;
            asking.connect_timeout = Duration::from_secs(1);
            let error = soon(Connection::open(asking)).await.unwrap_err();
            assert_eq!(error, ConnectError::Timeout(Duration::from_secs(1)));
            assert!(error.hint().is_some(), "{error:?}");
        }
    });
}
