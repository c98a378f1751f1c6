//! SASL around the engine (part 5, 5.3).

use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad_amqp::sasl::{Client, Credentials, PasswordAnswer, SaslError, Server, ServerConfig, UserFile};
use postroad_amqp::v1_0::{ClientSasl, Config, Connection, ConnectionError, Event, ServerSasl};
use postroad_codec::v1_0::{
    Frame, FrameError, FrameType, ProtocolHeader, SaslChallenge, SaslCode, SaslInit, SaslMechanisms, SaslOutcome,
    SaslResponse, Symbol,
};
use postroad_testkit::{Chunks, Pair, ScriptedPeer, Side, begin, open};

fn client(credentials: Credentials, secure: bool) -> ClientSasl {
    ClientSasl { client: Client::new(credentials, [1; 24]), secure }
}

fn server(config: ServerConfig, allow_bare: bool) -> ServerSasl {
    let config = Arc::new(config);
    let mechanisms = config.mechanisms(false, None);
    ServerSasl { mechanisms, server: Server::new(config, false, None, [2; 24]), allow_bare }
}

fn users() -> ServerConfig {
    let users = UserFile::parse("alice:wonderland", [3; 32]).expect("the file is well-formed");
    ServerConfig::new([4; 32]).users(Arc::new(users))
}

fn anonymous() -> ServerConfig {
    ServerConfig::new([4; 32]).anonymous(true)
}

fn pair(credentials: Credentials, config: ServerConfig) -> Pair {
    let now = Instant::now();
    let ours = Connection::client(Config::new("client"), Some(client(credentials, false)), now);
    let theirs = Connection::server(Config::new("server"), Some(server(config, false)), now);
    Pair::of(ours, theirs, now)
}

#[test]
fn scram_opens_the_connection() {
    for chunks in [Chunks::Whole, Chunks::Fixed(1)] {
        let mut pair = pair(Credentials::password("alice", "wonderland"), users());
        (pair.to_server.chunks, pair.to_client.chunks) = (chunks.clone(), chunks);
        pair.run();
        assert_eq!(pair.events(Side::Server), [Event::Authenticated, Event::Opened]);
        assert_eq!(pair.events(Side::Client), [Event::Opened]);
        assert_eq!(pair.server.user(), Some(("alice", "SCRAM-SHA-512")));
        assert_eq!(pair.client.user(), None);
    }
}

#[test]
fn a_wrong_password_is_refused_on_both_ends() {
    let mut pair = pair(Credentials::password("alice", "looking-glass"), users());
    pair.run();
    let refused = Event::Closed(ConnectionError::Sasl(SaslError::AuthenticationFailed));
    assert_eq!(pair.events(Side::Server), std::slice::from_ref(&refused));
    assert_eq!(pair.events(Side::Client), [refused]);
    assert_eq!(pair.server.user(), None);
    assert!(pair.server.remote_open().is_none());
}

#[test]
fn the_outcome_and_what_was_pipelined_behind_it() {
    // Headers, init, header, open and begin in one write: nothing in them depends on the server.
    let mut peer = ScriptedPeer::of_server_with(Config::new("engine"), Some(server(anonymous(), false)));
    peer.send_header(ProtocolHeader::SASL)
        .send_sasl(&SaslInit { mechanism: Symbol::from_static("ANONYMOUS"), initial_response: None, hostname: None })
        .send_header(ProtocolHeader::AMQP)
        .send(open())
        .send(begin());
    assert_eq!(peer.result(), Ok(()));
    let names = std::iter::once(Symbol::from_static("ANONYMOUS")).collect();
    peer.expect_header(ProtocolHeader::SASL).expect_sasl(&SaslMechanisms { sasl_server_mechanisms: names });
    peer.expect_sasl(&SaslOutcome { code: SaslCode::OK, additional_data: None });
    peer.expect_header(ProtocolHeader::AMQP).expect(open()).expect(begin()).expect_nothing();
}

#[test]
fn nothing_of_ours_leaves_before_the_exchange_is_over() {
    let sasl = client(Credentials::anonymous(), false);
    let mut peer = ScriptedPeer::of_client_with(Config::new("engine"), Some(sasl));
    peer.engine.begin().unwrap();
    peer.expect_header(ProtocolHeader::SASL).expect_nothing();
    let names = std::iter::once(Symbol::from_static("ANONYMOUS")).collect();
    peer.send_header(ProtocolHeader::SASL).send_sasl(&SaslMechanisms { sasl_server_mechanisms: names });
    assert!(matches!(peer.next_frame(), Some(Frame::Sasl(_))));
    peer.expect_nothing();
    peer.send_sasl(&SaslOutcome { code: SaslCode::OK, additional_data: None });
    peer.expect_header(ProtocolHeader::AMQP).expect(open()).expect(begin()).expect_nothing();
}

#[test]
fn outcomes_other_than_ok_are_typed() {
    for (code, expected) in [
        (SaslCode::AUTH, ConnectionError::Sasl(SaslError::AuthenticationFailed)),
        (SaslCode::SYS, ConnectionError::SaslOutcome(SaslCode::SYS)),
        (SaslCode::SYS_PERM, ConnectionError::SaslOutcome(SaslCode::SYS_PERM)),
        (SaslCode::SYS_TEMP, ConnectionError::SaslOutcome(SaslCode::SYS_TEMP)),
    ] {
        let sasl = client(Credentials::anonymous(), false);
        let mut peer = ScriptedPeer::of_client_with(Config::new("engine"), Some(sasl));
        peer.expect_header(ProtocolHeader::SASL).send_header(ProtocolHeader::SASL);
        peer.send_sasl(&SaslOutcome { code, additional_data: None });
        assert_eq!(peer.result(), Err(expected));
        peer.expect_nothing();
    }
}

/// The list of mechanisms may not be empty (5.3.3.1).
#[test]
fn a_server_that_has_nothing_to_offer_says_so() {
    let mut peer = ScriptedPeer::of_server_with(Config::new("engine"), Some(server(ServerConfig::new([4; 32]), false)));
    peer.send_header(ProtocolHeader::SASL).expect_header(ProtocolHeader::SASL);
    peer.expect_sasl(&SaslOutcome { code: SaslCode::SYS_PERM, additional_data: None }).expect_nothing();
    let nothing = matches!(peer.result(), Err(ConnectionError::Sasl(SaslError::NoCommonMechanism { offered, .. }))
        if offered.is_empty());
    assert!(nothing, "{:?}", peer.result());

    let mut pair = pair(Credentials::anonymous(), ServerConfig::new([4; 32]));
    pair.run();
    let told = ConnectionError::SaslOutcome(SaslCode::SYS_PERM);
    assert!(told.hint().is_some_and(|hint| hint.contains("TLS")));
    assert_eq!(pair.events(Side::Client), [Event::Closed(told)]);
}

#[test]
fn plain_is_not_said_in_the_open() {
    let sasl = client(Credentials::password("alice", "wonderland"), false);
    let mut peer = ScriptedPeer::of_client_with(Config::new("engine"), Some(sasl));
    let names = std::iter::once(Symbol::from_static("PLAIN")).collect();
    peer.expect_header(ProtocolHeader::SASL).send_header(ProtocolHeader::SASL);
    peer.send_sasl(&SaslMechanisms { sasl_server_mechanisms: names }).expect_nothing();
    assert_eq!(peer.result(), Err(ConnectionError::Sasl(SaslError::InsecureMechanism("PLAIN"))));
}

#[test]
fn a_bare_client_is_shown_the_sasl_header() {
    let mut peer = ScriptedPeer::of_server_with(Config::new("engine"), Some(server(anonymous(), false)));
    peer.send_header(ProtocolHeader::AMQP).send(open());
    peer.expect_header(ProtocolHeader::SASL).expect_nothing();
    let wrong = ConnectionError::ProtocolHeader { expected: ProtocolHeader::SASL, found: ProtocolHeader::AMQP };
    assert_eq!(peer.events(), [Event::Closed(wrong)]);

    // Unless it is welcome; then the exchange is open to it all the same.
    let mut peer = ScriptedPeer::of_server_with(Config::new("engine"), Some(server(anonymous(), true)));
    peer.send_header(ProtocolHeader::AMQP).send(open());
    peer.expect_header(ProtocolHeader::AMQP).expect(open()).expect_nothing();
    assert_eq!(peer.engine.user(), None);
    let mut peer = ScriptedPeer::of_server_with(Config::new("engine"), Some(server(anonymous(), true)));
    peer.send_header(ProtocolHeader::SASL).expect_header(ProtocolHeader::SASL);
    assert!(peer.next_frame().is_some());
}

#[test]
fn a_server_without_sasl_is_named() {
    let sasl = client(Credentials::anonymous(), false);
    let mut peer = ScriptedPeer::of_client_with(Config::new("engine"), Some(sasl));
    peer.expect_header(ProtocolHeader::SASL).send_header(ProtocolHeader::AMQP).expect_nothing();
    let wrong = ConnectionError::ProtocolHeader { expected: ProtocolHeader::SASL, found: ProtocolHeader::AMQP };
    assert_eq!(peer.result(), Err(wrong.clone()));
    assert!(wrong.hint().is_some_and(|hint| hint.contains("disable SASL")));
}

#[test]
fn frames_before_authentication_are_small() {
    let mut peer = ScriptedPeer::of_server_with(Config::new("engine"), Some(server(anonymous(), false)));
    peer.send_header(ProtocolHeader::SASL).send_bytes(&513u32.to_be_bytes());
    let too_large = FrameError::TooLarge { size: 513, limit: 512 };
    assert_eq!(peer.result(), Err(ConnectionError::Frame(too_large)));
}

#[test]
fn frames_of_the_wrong_layer_are_refused() {
    let mut peer = ScriptedPeer::of_server_with(Config::new("engine"), Some(server(anonymous(), false)));
    peer.send_header(ProtocolHeader::SASL).send(open());
    assert_eq!(peer.result(), Err(ConnectionError::Frame(FrameError::Unexpected(FrameType::Amqp))));

    let mut peer = ScriptedPeer::with_session(Config::new("engine"));
    peer.send_sasl(&SaslOutcome { code: SaslCode::OK, additional_data: None });
    assert_eq!(peer.result(), Err(ConnectionError::Frame(FrameError::Unexpected(FrameType::Sasl))));
    peer.expect(postroad_testkit::close().condition(postroad_codec::v1_0::ErrorCondition::FRAMING_ERROR));
}

#[test]
fn steps_out_of_turn_are_refused() {
    let mut peer = ScriptedPeer::of_server_with(Config::new("engine"), Some(server(anonymous(), false)));
    peer.send_header(ProtocolHeader::SASL).send_sasl(&SaslChallenge { challenge: Default::default() });
    assert_eq!(peer.result(), Err(ConnectionError::Sasl(SaslError::UnexpectedStep)));
    assert!(peer.take_bytes().ends_with(&[0x44, 0xc0, 0x03, 0x01, 0x50, 0x01]), "an outcome of 1 ends it");
}

/// What a server says to a client that comes with a token, and the end of it, in pieces of every size.
#[test]
fn a_refused_token_is_told_with_the_servers_report() {
    let report = r#"{"status":"invalid_token"}"#;
    let mut words = ProtocolHeader::SASL.to_bytes().to_vec();
    Frame::put_sasl(&mechanisms(&["OAUTHBEARER", "PLAIN"]), &mut words);
    Frame::put_sasl(&SaslChallenge { challenge: report.into() }, &mut words);
    Frame::put_sasl(&SaslOutcome { code: SaslCode::AUTH, additional_data: None }, &mut words);
    let refused = Err(ConnectionError::Sasl(SaslError::TokenRefused { report: report.to_owned() }));
    let client = || Some(client(Credentials::bearer("t0k3n"), true));
    for split in 0..=words.len() {
        let mut peer = ScriptedPeer::of_client_with(Config::new("engine"), client());
        peer.send_bytes(&words[..split]);
        assert!(split == words.len() || peer.result().is_ok(), "{split}");
        peer.send_bytes(&words[split..]);
        assert_eq!(peer.result(), refused, "{split}");
        peer.expect_header(ProtocolHeader::SASL).expect_sasl(&SaslInit {
            mechanism: Symbol::from_static("OAUTHBEARER"),
            initial_response: Some("n,,\x01auth=Bearer t0k3n\x01\x01".into()),
            hostname: None,
        });
        peer.expect_sasl(&SaslResponse { response: "\x01".into() }).expect_nothing();
    }
}

#[test]
fn cram_md5_starts_with_the_server() {
    let sasl = client(Credentials::password("tim", "tanstaaftanstaaf"), true);
    let mut peer = ScriptedPeer::of_client_with(Config::new("engine"), Some(sasl));
    peer.expect_header(ProtocolHeader::SASL).send_header(ProtocolHeader::SASL).send_sasl(&mechanisms(&["CRAM-MD5"]));
    let mechanism = Symbol::from_static("CRAM-MD5");
    peer.expect_sasl(&SaslInit { mechanism, initial_response: None, hostname: None });
    peer.send_sasl(&SaslChallenge { challenge: "<1896.697170952@postoffice.reston.mci.net>".into() });
    peer.expect_sasl(&SaslResponse { response: "tim b913a602c7eda7a495b4e6e7334d3890".into() });
    peer.send_sasl(&SaslOutcome { code: SaslCode::OK, additional_data: None });
    peer.expect_header(ProtocolHeader::AMQP).expect(open()).expect_nothing();
}

fn mechanisms(names: &[&'static str]) -> SaslMechanisms {
    SaslMechanisms { sasl_server_mechanisms: names.iter().map(|name| Symbol::from_static(name)).collect() }
}

/// A peer that has sent alice's password, and everything that a client may send without waiting.
fn with_a_password(password: &str) -> ScriptedPeer {
    let config = Arc::new(users().plain_without_tls(true));
    let server = Server::new(config, false, None, [2; 24]).deferred_checks(true);
    let sasl = ServerSasl { mechanisms: vec!["PLAIN"], server, allow_bare: false };
    let mut config = Config::new("engine");
    config.handshake_timeout = Some(Duration::from_secs(10));
    let mut peer = ScriptedPeer::of_server_with(config, Some(sasl));
    let response = Some(format!("\0alice\0{password}").into_bytes().into());
    peer.send_header(ProtocolHeader::SASL)
        .send_sasl(&SaslInit { mechanism: Symbol::from_static("PLAIN"), initial_response: response, hostname: None })
        .send_header(ProtocolHeader::AMQP)
        .send(open())
        .send(begin());
    assert_eq!(peer.result(), Ok(()));
    let names = std::iter::once(Symbol::from_static("PLAIN")).collect();
    peer.expect_header(ProtocolHeader::SASL).expect_sasl(&SaslMechanisms { sasl_server_mechanisms: names });
    peer.expect_nothing();
    assert_eq!(peer.events(), [Event::CheckPassword]);
    assert!(peer.engine.is_checking_password());
    peer
}

#[test]
fn what_comes_behind_a_password_waits_for_the_answer() {
    let mut peer = with_a_password("wonderland");
    let check = peer.engine.password_check().expect("a check");
    assert!(peer.engine.password_check().is_none());
    peer.engine.password_checked(check.run());
    peer.expect_sasl(&SaslOutcome { code: SaslCode::OK, additional_data: None }).expect_nothing();
    assert_eq!(peer.events(), [Event::Authenticated]);
    // What has waited is given to it again.
    peer.send_bytes(b"");
    peer.expect_header(ProtocolHeader::AMQP).expect(open()).expect(begin()).expect_nothing();
    assert_eq!(peer.engine.user(), Some(("alice", "PLAIN")));
}

#[test]
fn a_wrong_password_that_was_checked_elsewhere_ends_the_connection() {
    for unable in [false, true] {
        let mut peer = with_a_password("looking-glass");
        let check = peer.engine.password_check().expect("a check");
        peer.engine.password_checked(if unable { PasswordAnswer::REFUSED } else { check.run() });
        peer.expect_sasl(&SaslOutcome { code: SaslCode::AUTH, additional_data: None }).expect_nothing();
        let refused = ConnectionError::Sasl(SaslError::AuthenticationFailed);
        assert_eq!(peer.events(), [Event::Closed(refused.clone())]);
        peer.send_bytes(b"");
        assert_eq!(peer.result(), Err(refused));
        peer.expect_nothing();
    }
}

#[test]
fn an_answer_that_comes_too_late_changes_nothing() {
    let mut peer = with_a_password("wonderland");
    let answer = peer.engine.password_check().expect("a check").run();
    peer.advance(Duration::from_secs(11));
    assert_eq!(peer.events(), [Event::Closed(ConnectionError::Handshake)]);
    peer.engine.password_checked(answer);
    assert_eq!((peer.events(), peer.engine.user()), (vec![], None));
    peer.expect_nothing();
    // Nor does one that nobody asked for.
    let mut peer = ScriptedPeer::of_server_with(Config::new("engine"), Some(server(anonymous(), false)));
    peer.engine.password_checked(answer);
    assert_eq!((peer.events(), peer.engine.user()), (vec![], None));
}
