//! Idle timeouts, SASL and TLS, with our client and the peer listening.

use std::time::Duration;

use postroad_amqp::v1_0 as amqp;
use postroad_client::{ConnectOptions, Connection, ConnectionError, LinkError, Message, SendError};
use postroad_taps::{TlsConfig, TlsError};
use postroad_tests::certificates::Certificates;
use postroad_tests::ours::{connect, options, run, soon};
use postroad_tests::peers::Peer;
use postroad_tests::process::Stopped;

use super::Known;

const IDLE: Duration = Duration::from_secs(1);

async fn works(options: ConnectOptions) {
    let connection = soon(Connection::open(options)).await.unwrap();
    let session = connection.session().await.unwrap();
    let sender = session.sender("q").await.unwrap();
    soon(sender.send(&Message::from("secure"))).await.unwrap();
    soon(connection.close()).await.unwrap();
}

pub(crate) fn client_and_idle_peer_keep_each_other_alive(peer: &Peer, known: &Known) {
    run(async {
        let mut listener = peer.listen(&["--idle-timeout", "1"]).unwrap();
        let mut options = options(&listener.url());
        // Longer than the peer's, for its process may not get the processor in time.
        options.idle_timeout = Some(3 * IDLE);
        let connection = soon(Connection::open(options)).await.unwrap();
        let open = listener.event("open").unwrap();
        let told = open["idle_timeout"].as_f64().is_some_and(|told| told > 0.0 && told <= 3.0);
        assert_eq!(told, known.tells_open, "{open}");
        let session = connection.session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        tokio::time::sleep(7 * IDLE).await;
        assert_eq!(connection.error(), None);
        soon(sender.send(&Message::from("awake"))).await.unwrap();
        soon(connection.close()).await.unwrap();
    });
}

pub(crate) fn client_gives_up_a_peer_that_says_nothing(peer: &Peer, _: &Known) {
    run(async {
        let mut listener = peer.listen(&[]).unwrap();
        let mut options = options(&listener.url());
        options.idle_timeout = Some(IDLE);
        let connection = soon(Connection::open(options)).await.unwrap();
        let session = connection.session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        // So that there is credit.
        soon(sender.send(&Message::from("settled"))).await.unwrap();
        let _stopped = Stopped::stop(listener.process());
        let idle = ConnectionError::Protocol(amqp::ConnectionError::Idle);
        let lost = soon(sender.send(&Message::from("in doubt"))).await;
        assert_eq!(lost, Err(SendError::InDoubt(LinkError::Connection(idle))));
    });
}

pub(crate) fn client_that_says_nothing_is_given_up(peer: &Peer, known: &Known) {
    let mut listener = peer.listen(&["--idle-timeout", "1"]).unwrap();
    // A runtime that nobody drives: we say nothing.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connection = runtime.block_on(connect(&listener.url())).unwrap();
    listener.event("disconnected").unwrap();
    let closed = runtime.block_on(soon(connection.close()));
    assert_eq!(closed.is_err(), known.tells_idle, "{closed:?}");
    let Err(error) = closed else { return };
    // The reason is read where the connection was not reset before.
    if let Some(told) = error.peer_error() {
        assert_eq!(told.condition.0, "amqp:resource-limit-exceeded");
    } else {
        assert!(matches!(
            error,
            ConnectionError::Transport(_) | ConnectionError::Protocol(amqp::ConnectionError::Lost)
        ));
    }
}

pub(crate) fn client_comes_in_with_the_right_password(peer: &Peer, known: &Known) {
    run(async {
        let mut listener = peer.listen(&[]).unwrap();
        works(options(&listener.url())).await;
        listener.event("open").unwrap();
        if !known.listens_with_plain {
            return;
        }
        let listener = peer.listen(&["--plain", "alice:wonderland"]).unwrap();
        let with = |user: &str| {
            let mut options = options(&format!("amqp://{user}127.0.0.1:{}", listener.port()));
            options.sasl_mechanisms = vec!["PLAIN".to_owned()];
            options
        };
        works(with("alice:wonderland@")).await;
        for user in ["alice:wrong@", "bob:wonderland@"] {
            let error = soon(Connection::open(with(user))).await.unwrap_err();
            assert!(error.is_authentication(), "{user}: {error:?}");
        }
        let error = soon(Connection::open(options(&listener.url()))).await.unwrap_err();
        assert!(error.is_authentication(), "{error:?}");
    });
}

fn tls_options(host: &str, port: u16, certificates: &Certificates) -> ConnectOptions {
    let mut options = options(&format!("amqps://{host}:{port}"));
    options.tls = TlsConfig::builder().roots_file(certificates.path("ca.pem")).build().unwrap();
    options
}

pub(crate) fn client_checks_the_certificate(peer: &Peer, _: &Known) {
    run(async {
        let (certificates, others) = (Certificates::make(), Certificates::make());
        let arguments = certificates.listen_options("server");
        let mut listener = peer.listen(&arguments.each_ref().map(String::as_str)).unwrap();
        works(tls_options("127.0.0.1", listener.port(), &certificates)).await;
        assert_eq!(listener.event("open").unwrap()["encrypted"], true);
        let untrusted = tls_options("127.0.0.1", listener.port(), &others);
        let error = soon(Connection::open(untrusted)).await.unwrap_err();
        assert!(matches!(error.tls(), Some(TlsError::Untrusted)), "{error:?}");

        let arguments = certificates.listen_options("elsewhere");
        let listener = peer.listen(&arguments.each_ref().map(String::as_str)).unwrap();
        let error = soon(Connection::open(tls_options("127.0.0.1", listener.port(), &certificates))).await.unwrap_err();
        assert!(matches!(error.tls(), Some(TlsError::WrongName { .. })), "{error:?}");
    });
}
