//! Taking clients that ask for TLS by AMQP's own header (AMQP 1.0 part 5, 5.2).

use std::time::Duration;

use postroad_amqp::v1_0 as amqp;
use postroad_client::{
    AcceptError, AcceptOptions, Acceptor, ConnectError, ConnectOptions, Connection, ConnectionError, LinkOptions,
    Message, TlsConfig, TlsMode,
};
use postroad_codec::v1_0::{ForeignProtocol, ProtocolHeader};
use postroad_taps::{ListenError, LocalEndpoint, Security, TlsConfigError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);
const TLS: &[u8] = b"AMQP\x02\x01\x00\x00";

/// An acceptor of clients that send the header, and what trusts it.
async fn acceptor(change: impl FnOnce(&mut AcceptOptions)) -> (Acceptor, TlsConfig) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let server = TlsConfig::builder().server_certificate_pem(&chain, &key).build().unwrap();
    let mut options = AcceptOptions::new(LocalEndpoint::host("127.0.0.1"));
    options.security = Security::Tls(server);
    options.tls_mode = TlsMode::Header;
    change(&mut options);
    (Acceptor::listen(options).await.unwrap(), TlsConfig::builder().roots_pem(&chain).build().unwrap())
}

fn options(acceptor: &Acceptor, trusting: TlsConfig) -> ConnectOptions {
    let url = format!("amqp://localhost:{}", acceptor.local_endpoint().ip().unwrap().port());
    let mut options = ConnectOptions::new(url.parse().unwrap());
    options.tls = trusting;
    options.tls_mode = TlsMode::Header;
    options.connect_timeout = PATIENCE;
    options
}

fn in_clear_text(acceptor: &Acceptor) -> ConnectOptions {
    let mut options = options(acceptor, TlsConfig::default());
    options.tls_mode = TlsMode::Scheme;
    options
}

fn protocol(error: amqp::ConnectionError) -> AcceptError {
    AcceptError::Connection(ConnectionError::Protocol(error))
}

/// What becomes of a client that says these words and no more.
async fn say(acceptor: &Acceptor, words: &[u8]) -> (Vec<u8>, Result<Connection, AcceptError>) {
    let client = async {
        let mut stream = TcpStream::connect(acceptor.local_endpoint().ip().unwrap()).await.unwrap();
        stream.write_all(words).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset ends it too.
        let _ = stream.read_to_end(&mut answer).await;
        answer
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(client, acceptor.accept()) }).await.expect("it ends")
}

async fn exchange(client: &Connection, server: &Connection) {
    let session = client.session().await.unwrap();
    let accepting = async { server.next_link().await.unwrap().into_receiver(&LinkOptions::default()).unwrap() };
    let (sender, mut receiver) = tokio::join!(session.sender("queue"), accepting);
    let sender = sender.unwrap();
    sender.submit(&Message::from("hello")).await.unwrap();
    let message = receiver.receive().await.unwrap();
    assert_eq!(message.text(), Some("hello"));
    receiver.accept(&message).unwrap();
    sender.sync().await.unwrap();
}

#[tokio::test]
async fn a_client_that_sends_the_header_goes_on_under_tls() {
    let (acceptor, trusting) = acceptor(|_| {}).await;
    let (client, server) = tokio::join!(Connection::open(options(&acceptor, trusting)), acceptor.accept());
    let (client, server) = (client.unwrap(), server.unwrap());
    exchange(&client, &server).await;
    client.close().await.unwrap();
}

#[tokio::test]
async fn a_client_in_clear_text_is_told_to_ask_for_tls() {
    let (acceptor, _) = acceptor(|_| {}).await;
    let (client, server) = tokio::join!(Connection::open(in_clear_text(&acceptor)), acceptor.accept());
    let wanted = |expected, found| amqp::ConnectionError::ProtocolHeader { expected, found };
    let error = client.unwrap_err();
    let told = ConnectionError::Protocol(wanted(ProtocolHeader::SASL, ProtocolHeader::TLS));
    assert_eq!(error, ConnectError::Connection(told));
    assert!(error.hint().unwrap().contains("TLS"), "{error:?}");
    assert_eq!(server.unwrap_err(), protocol(wanted(ProtocolHeader::TLS, ProtocolHeader::SASL)));
}

#[tokio::test]
async fn clear_text_is_allowed_where_that_was_asked_for() {
    let (acceptor, trusting) = acceptor(|options| options.allow_clear_text = true).await;
    let mut bare = in_clear_text(&acceptor);
    bare.sasl_enabled = false;
    for options in [in_clear_text(&acceptor), bare, options(&acceptor, trusting)] {
        let (client, server) = tokio::join!(Connection::open(options), acceptor.accept());
        exchange(&client.unwrap(), &server.unwrap()).await;
    }
}

#[tokio::test]
async fn what_is_no_header_is_answered_by_the_header_and_an_error() {
    let (acceptor, _) = acceptor(|_| {}).await;
    for (words, error) in [
        (&b""[..], protocol(amqp::ConnectionError::Lost)),
        (b"AMQP\x02", protocol(amqp::ConnectionError::Lost)),
        (b"AMQP\x00\x00\x09\x01", protocol(amqp::ConnectionError::ForeignProtocol(ForeignProtocol::Amqp091))),
        (b"\x16\x03\x01\x02\x00", protocol(amqp::ConnectionError::ForeignProtocol(ForeignProtocol::Tls))),
    ] {
        let (answer, accepted) = say(&acceptor, words).await;
        assert_eq!(accepted.unwrap_err(), error, "after {words:?}");
        assert_eq!(answer, TLS, "after {words:?}");
    }
}

#[tokio::test]
async fn clear_text_behind_the_header_is_never_taken_for_more() {
    let (acceptor, _) = acceptor(|options| options.allow_clear_text = true).await;
    let open = b"AMQP\x00\x01\x00\x00\x00\x00\x00\x11\x02\x00\x00\x00\x00\x53\x10\xc0\x04\x01\xa1\x01x";
    for words in [&open[..], TLS, b"x"] {
        let (answer, accepted) = say(&acceptor, &[TLS, words].concat()).await;
        assert!(matches!(accepted, Err(AcceptError::Transport(_))), "{accepted:?}");
        // The header, an alert at most (0x15), and the end.
        let rest = answer.strip_prefix(TLS).expect("the header comes first");
        assert!(rest.first().is_none_or(|first| *first == 0x15), "{rest:?}");
    }
}

#[tokio::test]
async fn whoever_does_not_go_on_is_cut_off() {
    let timeout = Duration::from_secs(1);
    let (acceptor, _) = acceptor(|options| options.handshake_timeout = timeout).await;
    for (words, answer) in [(&b""[..], &b""[..]), (b"AMQP", b""), (TLS, TLS)] {
        let client = async {
            let mut stream = TcpStream::connect(acceptor.local_endpoint().ip().unwrap()).await.unwrap();
            stream.write_all(words).await.unwrap();
            let mut told = Vec::new();
            let _ = stream.read_to_end(&mut told).await;
            told
        };
        let (told, accepted) = tokio::join!(client, acceptor.accept());
        assert_eq!(accepted.unwrap_err(), protocol(amqp::ConnectionError::Handshake), "after {words:?}");
        assert_eq!(told, answer, "after {words:?}");
    }
}

#[tokio::test]
async fn a_configuration_without_a_certificate_is_found_at_the_start() {
    let mut options = AcceptOptions::new(LocalEndpoint::host("127.0.0.1"));
    options.security = Security::Tls(TlsConfig::default());
    options.tls_mode = TlsMode::Header;
    let error = Acceptor::listen(options).await.unwrap_err();
    assert_eq!(error, AcceptError::Listen(ListenError::from(TlsConfigError::NoServerCertificate)));
}
