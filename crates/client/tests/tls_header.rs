//! Asking for TLS by AMQP's own header (AMQP 1.0 part 5, 5.2), and peers that have none or pretend to.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use postroad_amqp::v1_0 as amqp;
use postroad_client::{ConnectError, ConnectOptions, Connection, ConnectionError, TlsConfig, TlsMode};
use postroad_codec::v1_0::{ForeignProtocol, ProtocolHeader};
use postroad_taps::TlsError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const TLS: &[u8] = b"AMQP\x02\x01\x00\x00";

/// SASL header, mechanisms ANONYMOUS, outcome ok, AMQP header, open of container "x": all that a client without TLS
/// needs to hear.
const WELCOME: &[u8] = b"AMQP\x03\x01\x00\x00\x00\x00\x00\x1a\x02\x01\x00\x00\x00\x53\x40\xc0\x0d\x01\xa3\x0a\
    ANONYMOUS!\x00\x00\x00\x10\x02\x01\x00\x00\x00\x53\x44\xc0\x03\x01\x50\x00AMQP\x00\x01\x00\x00\
    \x00\x00\x00\x11\x02\x00\x00\x00\x00\x53\x10\xc0\x04\x01\xa1\x01x";

/// A peer that takes a header, says `answer`, closes its side, and gives back all that it was told.
async fn peer(answer: Vec<u8>) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let told = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut told = vec![0; 8];
        stream.read_exact(&mut told).await.unwrap();
        stream.write_all(&answer).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut told).await;
        told
    });
    (address, told)
}

/// An authority that signed nothing: these peers have no certificate to show.
fn nobody() -> TlsConfig {
    let key = rcgen::generate_simple_self_signed(vec!["nobody".to_owned()]).unwrap();
    TlsConfig::builder().roots_pem(key.cert.pem()).build().unwrap()
}

async fn ask(scheme: &str, answer: &[u8]) -> (ConnectError, Vec<u8>) {
    let (address, told) = peer(answer.to_vec()).await;
    let url = format!("{scheme}://alice:wonderland@{address}");
    let mut options = ConnectOptions::new(url.parse().unwrap());
    options.tls_mode = TlsMode::Header;
    options.tls = nobody();
    options.allow_insecure_mechs = true;
    options.connect_timeout = Duration::from_secs(10);
    let started = Instant::now();
    let error = Connection::open(options).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(9), "{error:?}");
    (error, told.await.unwrap())
}

#[tokio::test]
async fn a_peer_without_tls_is_told_nothing_but_the_header() {
    let wanted = |found| {
        ConnectError::Connection(ConnectionError::Protocol(amqp::ConnectionError::ProtocolHeader {
            expected: ProtocolHeader::TLS,
            found,
        }))
    };
    let foreign =
        |foreign| ConnectError::Connection(ConnectionError::Protocol(amqp::ConnectionError::ForeignProtocol(foreign)));
    // The answers that brokers give: AMQP with open and close, SASL, AMQP 0-10, AMQP 0-9-1, or a TLS alert.
    let amqp = b"AMQP\x00\x01\x00\x00\x00\x00\x00\x11\x02\x00\x00\x00\x00\x53\x10\xc0\x04\x01\xa1\x01x";
    for (answer, expected, hint) in [
        (&amqp[..], wanted(ProtocolHeader::AMQP), "amqps"),
        (WELCOME, wanted(ProtocolHeader::SASL), "amqps"),
        (b"AMQP\x01\x01\x00\x0a", foreign(ForeignProtocol::Amqp010), "qpidd"),
        (b"AMQP\x00\x00\x09\x01", foreign(ForeignProtocol::Amqp091), "RabbitMQ"),
        (b"\x15\x03\x01\x00\x02\x02\x46", foreign(ForeignProtocol::Tls), "amqps"),
        (b"", ConnectError::Connection(ConnectionError::Protocol(amqp::ConnectionError::Lost)), "TLS"),
    ] {
        for scheme in ["amqp", "amqps"] {
            let (error, told) = ask(scheme, answer).await;
            assert_eq!(error, expected);
            assert!(error.hint().unwrap().contains(hint), "{error:?}");
            assert_eq!(told, TLS);
        }
    }
}

#[tokio::test]
async fn every_prefix_of_the_header_is_an_error() {
    for length in 1..TLS.len() {
        let (error, told) = ask("amqp", &TLS[..length]).await;
        let lost = ConnectError::Connection(ConnectionError::Protocol(amqp::ConnectionError::Lost));
        assert_eq!(error, lost, "{length}");
        assert_eq!(told, TLS);
    }
    let (error, _) = ask("amqp", TLS).await;
    assert_eq!(error.tls(), Some(&TlsError::ClosedDuringHandshake), "{error:?}");
}

/// Somebody in between who agrees to TLS, and goes on in clear text as if it had been there.
#[tokio::test]
async fn clear_text_behind_the_header_opens_nothing() {
    let (error, told) = ask("amqp", &[TLS, WELCOME].concat()).await;
    assert_eq!(error.tls(), Some(&TlsError::NotTls), "{error:?}");
    // The header, and the records of a handshake that came to nothing.
    assert!(told.starts_with(&[TLS, &[0x16]].concat()), "{told:?}");
    assert!(!told[8..].windows(5).any(|window| window == b"alice" || window == b"AMQP\x03"));
}
