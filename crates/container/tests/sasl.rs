//! Who gets in, and what is told to who does not.

mod common;

use std::io::{Read as _, Write as _};
use std::time::Duration;

use common::raw::{Peer, take_client};
use common::{Log, broker_with, peer, run, script};
use postroad_broker::Broker;
use postroad_codec::v1_0::{Frame, ProtocolHeader, SaslCode, SaslFrame, SaslMechanisms, SaslOutcome, Symbol};
use postroad_container::client::sasl::UserFile;
use postroad_container::{ConnectOptions, EventError, Reconnect};

async fn guarded() -> (Broker, String) {
    broker_with(|builder| {
        builder
            .users(UserFile::parse("alice:wonderland\nbob:{plain}builder", [3; 32]).unwrap())
            .allow_insecure_plain(true)
    })
    .await
}

/// What is heard of a connection with these options, and the error where there is one.
async fn try_it(options: ConnectOptions) -> (Vec<String>, Option<String>) {
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone()).create_sender("q")),
        "on_link_opened" => event.connection().unwrap().close(),
        "on_transport_error" => {
            let Some(EventError::Connect(error)) = event.error() else { panic!("{:?}", event.error()) };
            noted.note(format!("error {error}"));
        }
        _ => {}
    }))
    .await;
    let error = log.all().into_iter().find_map(|line| line.strip_prefix("error ").map(str::to_owned));
    let all = log.all().into_iter().filter(|line| !line.starts_with("error ")).collect();
    (all, error)
}

fn options(url: &str, user: &str, password: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url.parse().unwrap());
    (options.user, options.password) = (Some(user.to_owned()), Some(password.to_owned()));
    options
}

const IN: [&str; 5] =
    ["on_start", "on_connection_opened", "on_session_opened", "on_link_opened", "on_connection_closed"];

#[track_caller]
fn is_in((heard, error): (Vec<String>, Option<String>)) {
    let heard: Vec<_> = heard.into_iter().filter(|line| line != "on_sendable").collect();
    assert_eq!((&heard[..], error), (&IN.map(str::to_owned)[..], None));
}

/// It is told once, whatever connections do that are lost.
#[track_caller]
fn is_out((heard, error): (Vec<String>, Option<String>)) -> String {
    assert_eq!(heard, ["on_start", "on_transport_error"]);
    error.unwrap()
}

#[tokio::test]
async fn user_and_password_of_options_or_url_let_in() {
    let (_broker, url) = guarded().await;
    is_in(try_it(options(&url, "alice", "wonderland")).await);
    let in_url = url.replace("amqp://", "amqp://bob:builder@");
    is_in(try_it(ConnectOptions::new(in_url.parse().unwrap())).await);
    // Those of the options count before those of the URL.
    is_in(try_it(options(&url.replace("amqp://", "amqp://bob:wrong@"), "alice", "wonderland")).await);
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_again() {
    let (_broker, url) = guarded().await;
    for (user, password) in [("alice", "builder"), ("eve", "wonderland"), ("", ""), ("alice", "")] {
        let mut wrong = options(&url, user, password);
        let mut reconnect = Reconnect::default();
        reconnect.initially = true;
        wrong.reconnect = Some(reconnect);
        let error = is_out(try_it(wrong).await);
        assert!(!error.contains(password) || password.is_empty(), "no password is told: {error}");
    }
}

#[tokio::test]
async fn nobody_is_anonymous_where_users_are_known() {
    let (_broker, url) = guarded().await;
    let mut anonymous = ConnectOptions::new(url.parse().unwrap());
    let error = is_out(try_it(anonymous.clone()).await);
    assert!(error.contains("SCRAM-SHA-256"), "it says what is offered: {error}");
    anonymous.sasl_enabled = false;
    is_out(try_it(anonymous).await);
    let (_open, url) = broker_with(|builder| builder).await;
    let mut anonymous = ConnectOptions::new(url.parse().unwrap());
    is_in(try_it(anonymous.clone()).await);
    anonymous.sasl_enabled = false;
    is_in(try_it(anonymous).await);
}

#[tokio::test]
async fn only_mechanisms_that_are_allowed_are_used() {
    let (_broker, url) = guarded().await;
    let mut alice = options(&url, "alice", "wonderland");
    alice.sasl_mechanisms = vec!["SCRAM-SHA-256".to_owned()];
    is_in(try_it(alice.clone()).await);
    alice.sasl_mechanisms = vec!["EXTERNAL".to_owned()];
    is_out(try_it(alice.clone()).await);
    // A password is shown to nobody without TLS, unless that is allowed.
    alice.sasl_mechanisms = vec!["PLAIN".to_owned()];
    is_out(try_it(alice.clone()).await);
    alice.allow_insecure_mechs = true;
    is_in(try_it(alice).await);
}

/// Has a peer offer mechanisms, and answer with an outcome or not at all.
async fn answered(mechanisms: &'static [&'static str], code: Option<SaslCode>) -> String {
    let (mut options, served) = peer(move |listener| {
        let mut stream = take_client(listener);
        let mut header = [0; 8];
        stream.read_exact(&mut header).unwrap();
        assert_eq!(header, ProtocolHeader::SASL.to_bytes());
        let mut out = header.to_vec();
        let mechanisms: Vec<_> = mechanisms.iter().map(|name| Symbol::from_static(name)).collect();
        Frame::put_sasl(&SaslMechanisms { sasl_server_mechanisms: mechanisms.into() }, &mut out);
        if let Some(code) = code {
            Frame::put_sasl(&SaslOutcome { code, ..SaslOutcome::default() }, &mut out);
        }
        stream.write_all(&out).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    options.sasl_enabled = true;
    options.connect_timeout = Duration::from_millis(300);
    let error = is_out(try_it(options).await);
    served.await.unwrap();
    error
}

#[tokio::test]
async fn a_peer_that_refuses_for_whatever_reason_is_told_of() {
    for code in [SaslCode::AUTH, SaslCode::SYS, SaslCode::SYS_PERM, SaslCode::SYS_TEMP, SaslCode(77)] {
        answered(&["ANONYMOUS"], Some(code)).await;
    }
    answered(&[], None).await;
    answered(&["UNHEARD-OF"], None).await;
    let silent = answered(&["ANONYMOUS"], None).await;
    assert!(silent.contains("300ms"), "{silent}");
}

#[tokio::test]
async fn a_peer_of_another_protocol_is_told_of() {
    for (bytes, sasl) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], true),
        (b"AMQP\x00\x00\x09\x01", false),
        (b"AMQP\x00\x01\x00\x00", true),
    ] {
        let (mut options, served) = peer(move |listener| {
            let mut stream = take_client(listener);
            stream.write_all(bytes).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        options.sasl_enabled = sasl;
        let error = is_out(try_it(options).await);
        served.await.unwrap();
        assert!(!error.is_empty());
    }
}

#[tokio::test]
async fn the_host_is_told_with_the_first_word() {
    for (host, expected) in [(None, "127.0.0.1"), (Some("elsewhere"), "elsewhere")] {
        let (mut options, served) = peer(move |listener| {
            let mut stream = take_client(listener);
            let mut header = [0; 8];
            stream.read_exact(&mut header).unwrap();
            let mut out = header.to_vec();
            let mechanisms = vec![Symbol::from_static("ANONYMOUS")].into();
            Frame::put_sasl(&SaslMechanisms { sasl_server_mechanisms: mechanisms }, &mut out);
            stream.write_all(&out).unwrap();
            let Some(Frame::Sasl(SaslFrame::Init(init))) = Peer::of(stream).next() else { panic!("no init") };
            assert_eq!(init.hostname.as_deref(), Some(expected));
        });
        (options.sasl_enabled, options.virtual_host) = (true, host.map(str::to_owned));
        is_out(try_it(options).await);
        served.await.unwrap();
    }
}
