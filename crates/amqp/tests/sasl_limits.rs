//! What a peer can make us do before it has shown who it is (part 5, 5.3), and the forms that a list of mechanisms takes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postroad_amqp::sasl::{Client, Credentials, SaslError, Server, ServerConfig, UserFile};
use postroad_amqp::v1_0::{ClientSasl, Config, ConnectionError, Event, ServerSasl};
use postroad_codec::v1_0::{
    Frame, FrameError, ProtocolHeader, SaslChallenge, SaslFrame, SaslInit, SaslMechanisms, SaslResponse, Symbol,
};
use postroad_testkit::ScriptedPeer;

fn server(mechanisms: &[&'static str]) -> ServerSasl {
    let users = UserFile::parse("alice:wonderland", [3; 32]).expect("the file is well-formed");
    let config = ServerConfig::new([4; 32]).users(Arc::new(users)).anonymous(true).plain_without_tls(true);
    let server = Server::new(Arc::new(config), false, None, [2; 24]);
    ServerSasl { mechanisms: mechanisms.to_vec(), server, allow_bare: false }
}

fn of_client(config: Config, credentials: Credentials) -> ScriptedPeer {
    let sasl = ClientSasl { client: Client::new(credentials, [1; 24]), secure: true };
    let mut peer = ScriptedPeer::of_client_with(config, Some(sasl));
    peer.expect_header(ProtocolHeader::SASL).send_header(ProtocolHeader::SASL);
    peer
}

fn of_server(config: Config, mechanisms: &[&'static str]) -> ScriptedPeer {
    let mut peer = ScriptedPeer::of_server_with(config, Some(server(mechanisms)));
    peer.send_header(ProtocolHeader::SASL).expect_header(ProtocolHeader::SASL);
    peer.next_frame().expect("the mechanisms");
    peer
}

fn init(mechanism: &'static str, response: &'static str) -> SaslInit {
    let initial_response = Some(Bytes::from(response)).filter(|response| !response.is_empty());
    SaslInit { mechanism: Symbol::from_static(mechanism), initial_response, hostname: None }
}

fn offer(name: &'static str) -> SaslMechanisms {
    SaslMechanisms { sasl_server_mechanisms: std::iter::once(Symbol::from_static(name)).collect() }
}

/// The size of a frame that is too large, from an engine that was told of it by four bytes.
fn limit_of(mut peer: ScriptedPeer, size: u32) -> Option<u32> {
    peer.send_bytes(&size.to_be_bytes());
    match peer.result() {
        Ok(()) => None,
        Err(ConnectionError::Frame(FrameError::TooLarge { limit, .. })) => Some(limit),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_client_must_be_brief_unless_it_may_bring_a_token() {
    let mut config = Config::new("engine");
    let all = ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "ANONYMOUS"];
    assert_eq!(limit_of(of_server(config.clone(), &all), 512), None);
    assert_eq!(limit_of(of_server(config.clone(), &all), 513), Some(512));
    for token in ["OAUTHBEARER", "XOAUTH2"] {
        assert_eq!(limit_of(of_server(config.clone(), &[token, "PLAIN"]), 8192), None);
        assert_eq!(limit_of(of_server(config.clone(), &[token, "PLAIN"]), 8193), Some(8192));
    }
    config.max_sasl_frame_size = 20_000;
    assert_eq!(limit_of(of_server(config.clone(), &all), 513), Some(512));
    assert_eq!(limit_of(of_server(config.clone(), &["OAUTHBEARER"]), 20_001), Some(20_000));
    // The standard's least is taken whatever the configuration says.
    config.max_sasl_frame_size = 0;
    assert_eq!(limit_of(of_server(config.clone(), &["OAUTHBEARER"]), 512), None);
    assert_eq!(limit_of(of_server(config, &["OAUTHBEARER"]), 513), Some(512));
}

#[test]
fn a_server_may_offer_more_than_fits_the_standard_s_frame() {
    let mut config = Config::new("engine");
    assert_eq!(limit_of(of_client(config.clone(), Credentials::anonymous()), 8192), None);
    assert_eq!(limit_of(of_client(config.clone(), Credentials::anonymous()), 8193), Some(8192));
    config.max_sasl_frame_size = 1000;
    assert_eq!(limit_of(of_client(config, Credentials::anonymous()), 1001), Some(1000));
}

/// Challenges that each mechanism takes for what it waits for, again and again.
#[test]
fn a_server_that_challenges_for_ever_is_left() {
    let password = Credentials::password("alice", "wonderland");
    let token = Credentials::Bearer { token: "t0k3n".into(), user: Some("alice".to_owned()) };
    for (credentials, mechanism, most) in [
        (Credentials::anonymous(), "ANONYMOUS", 0),
        (Credentials::external(), "EXTERNAL", 0),
        (password.clone(), "PLAIN", 0),
        (password.clone(), "CRAM-MD5", 1),
        (password, "SCRAM-SHA-1", 1),
        (token.clone(), "OAUTHBEARER", 1),
        (token, "XOAUTH2", 1),
    ] {
        let mut peer = of_client(Config::new("engine"), credentials);
        peer.send_sasl(&offer(mechanism));
        let Some(Frame::Sasl(SaslFrame::Init(init))) = peer.next_frame() else { panic!("{mechanism}: no init") };
        let nonce = init.initial_response.as_deref().and_then(|first| str::from_utf8(first).ok()?.split_once(",r="));
        let nonce = nonce.map(|(_, nonce)| nonce).unwrap_or_default();
        let challenge = Bytes::from(format!("r={nonce}x,s=QUJD,i=1000"));
        let mut answers = 0;
        while peer.result().is_ok() {
            peer.send_sasl(&SaslChallenge { challenge: challenge.clone() });
            answers += usize::from(peer.next_frame().is_some());
            assert!(answers <= most, "{mechanism} answers for ever");
        }
        assert_eq!(answers, most, "{mechanism}");
        assert!(matches!(peer.result(), Err(ConnectionError::Sasl(_))), "{mechanism}: {:?}", peer.result());
    }
}

#[test]
fn a_server_that_offers_for_ever_is_left() {
    let mut peer = of_client(Config::new("engine"), Credentials::anonymous());
    peer.send_sasl(&offer("ANONYMOUS"));
    peer.next_frame().expect("init");
    peer.send_sasl(&offer("ANONYMOUS")).expect_nothing();
    assert_eq!(peer.result(), Err(ConnectionError::Sasl(SaslError::UnexpectedStep)));
}

#[test]
fn a_client_that_responds_for_ever_is_refused() {
    let all = ["SCRAM-SHA-1", "PLAIN", "ANONYMOUS"];
    // The empty first response asks the server for a challenge; the rest begin at once.
    for (first, response, most) in [
        (init("PLAIN", ""), "", 1),
        (init("SCRAM-SHA-1", ""), "n,,n=alice,r=abc", 2),
        (init("SCRAM-SHA-1", "n,,n=alice,r=abc"), "n,,n=alice,r=abc", 1),
        (init("PLAIN", "x"), "x", 0),
    ] {
        let mut peer = of_server(Config::new("engine"), &all);
        peer.send_sasl(&first);
        let mut challenges = 0;
        while let Some(Frame::Sasl(SaslFrame::Challenge(_))) = peer.next_frame() {
            challenges += 1;
            assert!(challenges <= most, "{first:?} goes on for ever");
            peer.send_sasl(&SaslResponse { response: response.into() });
        }
        assert_eq!(challenges, most, "{first:?}");
        assert!(matches!(peer.result(), Err(ConnectionError::Sasl(_))), "{:?}", peer.result());
    }
    // Nor may it begin again and again.
    let mut peer = of_server(Config::new("engine"), &all);
    peer.send_sasl(&init("PLAIN", "")).send_sasl(&init("PLAIN", ""));
    assert_eq!(peer.result(), Err(ConnectionError::Sasl(SaslError::UnexpectedStep)));
}

#[test]
fn bytes_that_trickle_in_do_not_stretch_the_time() {
    let mut config = Config::new("engine");
    config.handshake_timeout = Some(Duration::from_secs(8));
    let mut peer = of_server(config, &["PLAIN"]);
    for byte in 200u32.to_be_bytes() {
        peer.advance(Duration::from_secs(1)).send_bytes(&[byte]);
    }
    assert_eq!(peer.events(), []);
    peer.advance(Duration::from_secs(5));
    assert_eq!(peer.events(), [Event::Closed(ConnectionError::Handshake)]);
}

/// `sasl-mechanisms` as peers write it: the list and the field in each of their forms.
#[test]
fn every_form_of_a_list_of_mechanisms_is_read() {
    const ONE: &[&[u8]] = &[b"ANONYMOUS"];
    const TWO: &[&[u8]] = &[b"PLAIN", b"ANONYMOUS"];
    let mut count = 0;
    for (names, array) in [(ONE, None), (ONE, Some(0xe0)), (ONE, Some(0xf0)), (TWO, Some(0xe0)), (TWO, Some(0xf0))] {
        for symbol in [0xa3, 0xb3] {
            for list in [0xc0, 0xd0] {
                let frame = frame(&field(names, symbol, array), list);
                for split in 0..=frame.len() {
                    let mut peer = of_client(Config::new("engine"), Credentials::anonymous());
                    peer.send_bytes(&frame[..split]);
                    assert!(split == frame.len() || peer.next_frame().is_none(), "an answer to {split} bytes");
                    peer.send_bytes(&frame[split..]);
                    peer.expect_sasl(&init("ANONYMOUS", "anonymous")).expect_nothing();
                }
                count += 1;
            }
        }
    }
    assert_eq!(count, 20);
}

#[test]
fn a_list_of_mechanisms_that_is_none_is_an_error() {
    let none: [&[u8]; 4] = [&[0x40], &[0xe0, 2, 0, 0xa3], &[0xa1, 5, b'P', b'L', b'A', b'I', b'N'], &[0x45]];
    for field in none {
        for list in [0xc0, 0xd0] {
            let mut peer = of_client(Config::new("engine"), Credentials::anonymous());
            peer.send_bytes(&frame(field, list)).expect_nothing();
            assert!(matches!(peer.result(), Err(ConnectionError::Frame(FrameError::Body(_)))), "{:?}", peer.result());
        }
    }
}

/// One field, as a symbol alone or as an array of symbols.
fn field(names: &[&[u8]], symbol: u8, array: Option<u8>) -> Vec<u8> {
    let mut elements = Vec::new();
    for name in names {
        match symbol {
            0xa3 => elements.push(name.len() as u8),
            _ => elements.extend_from_slice(&(name.len() as u32).to_be_bytes()),
        }
        elements.extend_from_slice(name);
    }
    let Some(array) = array else { return [&[symbol][..], &elements].concat() };
    let content = [&[symbol][..], &elements].concat();
    [counted(array, 0xe0, names.len(), content.len()), content].concat()
}

/// A SASL frame whose body is `sasl-mechanisms` with this field.
fn frame(field: &[u8], list: u8) -> Vec<u8> {
    let body = [&[0x00, 0x53, 0x40][..], &counted(list, 0xc0, 1, field.len()), field].concat();
    [&(body.len() as u32 + 8).to_be_bytes()[..], &[2, 1, 0, 0], &body].concat()
}

/// The head of a list or array: its size includes its count.
fn counted(code: u8, small: u8, count: usize, content: usize) -> Vec<u8> {
    if code == small {
        vec![code, content as u8 + 1, count as u8]
    } else {
        [&[code][..], &(content as u32 + 4).to_be_bytes(), &(count as u32).to_be_bytes()].concat()
    }
}
