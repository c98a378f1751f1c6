//! Connections that a bearer token opens, against a server of which the test says every word.

use postroad_client::{ConnectError, ConnectOptions, Connection, Secret};
use postroad_codec::v1_0::{
    Encode, Frame, Open, ProtocolHeader, SaslChallenge, SaslCode, SaslFrame, SaslMechanisms, SaslOutcome, Symbol,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const REPORT: &str = r#"{"status":"invalid_token"}"#;

/// A server that offers `mechanism`, takes the token `t0k3n` of alice, and reports on every other.
async fn server(mechanism: &'static str) -> ConnectOptions {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://alice@{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        expect_header(&mut stream, ProtocolHeader::SASL).await;
        let names = std::iter::once(Symbol::from_static(mechanism)).collect();
        put(&SaslMechanisms { sasl_server_mechanisms: names }, &mut stream).await;
        let SaslFrame::Init(init) = take(&mut stream).await else { panic!("no init") };
        assert_eq!(init.mechanism.as_str(), mechanism);
        let head = if mechanism == "XOAUTH2" { "user=alice" } else { "n,a=alice," };
        if init.initial_response.unwrap() == format!("{head}\x01auth=Bearer t0k3n\x01\x01") {
            put(&SaslOutcome { code: SaslCode::OK, additional_data: None }, &mut stream).await;
            expect_header(&mut stream, ProtocolHeader::AMQP).await;
            let mut open = Vec::new();
            Frame::put_amqp(0, &Open { container_id: "server".into(), ..Open::default() }, &[], &mut open);
            stream.write_all(&open).await.unwrap();
        } else {
            put(&SaslChallenge { challenge: REPORT.into() }, &mut stream).await;
            let SaslFrame::Response(answer) = take(&mut stream).await else { panic!("no answer") };
            assert_eq!(answer.response, if mechanism == "XOAUTH2" { "" } else { "\x01" });
            put(&SaslOutcome { code: SaslCode::AUTH, additional_data: None }, &mut stream).await;
        }
        // Until the client goes.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    ConnectOptions::new(url.parse().unwrap())
}

async fn expect_header(stream: &mut TcpStream, header: ProtocolHeader) {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, header.to_bytes());
    stream.write_all(&bytes).await.unwrap();
}

async fn put(body: &impl Encode, stream: &mut TcpStream) {
    let mut out = Vec::new();
    Frame::put_sasl(body, &mut out);
    stream.write_all(&out).await.unwrap();
}

async fn take(stream: &mut TcpStream) -> SaslFrame {
    let size = stream.read_u32().await.unwrap();
    let mut frame = size.to_be_bytes().to_vec();
    frame.resize(size as usize, 0);
    stream.read_exact(&mut frame[4..]).await.unwrap();
    match Frame::decode(&frame.into()).unwrap() {
        Frame::Sasl(body) => body,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_opens_a_connection() {
    for mechanism in ["OAUTHBEARER", "XOAUTH2"] {
        let mut options = server(mechanism).await;
        options.token = Some(Secret::from("t0k3n"));
        options.allow_insecure_mechs = true;
        let connection = Connection::open(options).await.unwrap();
        assert_eq!(connection.remote_container().as_deref(), Some("server"));
    }
}

#[tokio::test]
async fn a_refused_token_comes_with_the_servers_report() {
    for mechanism in ["OAUTHBEARER", "XOAUTH2"] {
        let mut options = server(mechanism).await;
        options.token = Some(Secret::from("expired-t0k3n"));
        options.password = Some("not used beside a token".into());
        options.allow_insecure_mechs = true;
        assert!(!format!("{options:?}").contains("t0k3n"));
        let error = Connection::open(options).await.unwrap_err();
        assert!(error.is_authentication() && error.to_string().contains(REPORT), "{error:?}");
        assert!(error.hint().unwrap().contains("new token"));
        assert!(!format!("{error:?} {error}").contains("t0k3n"));
    }
}

#[tokio::test]
async fn a_token_is_not_shown_without_tls() {
    let mut options = server("OAUTHBEARER").await;
    options.token = Some(Secret::from("t0k3n"));
    let error = Connection::open(options).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Connection(_)) && error.is_authentication(), "{error:?}");
    assert!(error.hint().unwrap().contains("TLS"), "{error:?}");
}
