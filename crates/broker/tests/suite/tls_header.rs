//! TLS by AMQP's own header, on a port that begins in clear text (AMQP 1.0 part 5, 5.2).

use std::time::Duration;

use postroad_amqp::sasl::{Credentials, SaslError, UserFile};
use postroad_amqp::v1_0::ConnectionError;
use postroad_broker::{Broker, Builder, StartError};
use postroad_codec::v1_0::{Frame, Open, ProtocolHeader, SaslInit, Symbol};
use postroad_taps::{ByteStream, Preconnection, RemoteEndpoint, Security, TlsConfig, TlsConfigError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Client, numbered};
use crate::{eventually, start};

const PATIENCE: Duration = Duration::from_secs(10);
const TLS: [u8; 8] = *b"AMQP\x02\x01\x00\x00";
const SASL: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
const AMQP: [u8; 8] = *b"AMQP\x00\x01\x00\x00";

/// A broker that has a certificate, and what trusts it.
fn certified(builder: Builder) -> (Builder, TlsConfig) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let server = TlsConfig::builder().server_certificate_pem(&chain, &key).build().unwrap();
    (builder.tls(server), TlsConfig::builder().roots_pem(&chain).build().unwrap())
}

fn guarded() -> Builder {
    let users = UserFile::parse("alice:{plain}wonderland", [3; 32]).unwrap();
    Broker::builder().queue("q0").users(users)
}

async fn connect(port: u16) -> ByteStream {
    let remote = RemoteEndpoint::host("127.0.0.1").port(port);
    let connection = Preconnection::new().remote(remote).security(Security::Disabled).initiate().await.unwrap();
    connection.into_byte_stream().unwrap()
}

fn port(broker: &Broker) -> u16 {
    broker.addr().unwrap().port()
}

async fn header(stream: &mut (impl AsyncRead + Unpin)) -> [u8; 8] {
    let mut header = [0; 8];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut header)).await.expect("it answers").unwrap();
    header
}

/// Everything up to the end of the stream, however it ends.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it ends");
    rest
}

async fn over_the_header(port: u16, trusting: &TlsConfig) -> ByteStream {
    let mut stream = connect(port).await;
    stream.write_all(&TLS).await.unwrap();
    assert_eq!(header(&mut stream).await, TLS);
    stream.initiate_tls(trusting, "localhost").await.unwrap()
}

#[tokio::test]
async fn a_password_goes_over_the_tls_that_was_asked_for() {
    let (builder, trusting) = certified(guarded());
    let broker = start(builder).await;
    let credentials = || Some((Credentials::password("alice", "wonderland"), true));
    let stream = over_the_header(port(&broker), &trusting).await;
    let mut client = Client::open(stream, credentials()).await.unwrap();
    let sender = client.sender("q0").await.unwrap();
    let receiver = client.receiver("q0", 100).await.unwrap();
    client.send_all(sender, numbered(0..50)).await;
    for expected in numbered(0..50) {
        assert_eq!(client.receive_text(receiver).await, expected);
    }
    client.close().await;

    // PLAIN is offered there, and not beside it.
    let refused = |stream| async {
        let anonymous = Some((Credentials::anonymous(), true));
        match Client::open(stream, anonymous).await.err() {
            Some(ConnectionError::Sasl(SaslError::NoCommonMechanism { offered, .. })) => offered,
            other => panic!("{other:?}"),
        }
    };
    assert!(refused(over_the_header(port(&broker), &trusting).await).await.contains(&"PLAIN".to_owned()));
    assert!(!refused(connect(port(&broker)).await).await.contains(&"PLAIN".to_owned()));
    // A client in clear text comes in as ever.
    Client::open(connect(port(&broker)).await, credentials()).await.unwrap().close().await;
}

/// A client that is let in when its words count.
fn words_of_a_client() -> Vec<u8> {
    let mut words = SASL.to_vec();
    let mechanism = Symbol::from_static("ANONYMOUS");
    Frame::put_sasl(&SaslInit { mechanism, initial_response: Some("x".into()), hostname: None }, &mut words);
    words.extend_from_slice(&ProtocolHeader::AMQP.to_bytes());
    Frame::put_amqp(0, &Open { container_id: "x".into(), ..Open::default() }, &[], &mut words);
    words
}

#[tokio::test]
async fn clear_text_behind_the_header_is_never_taken_for_more() {
    let (builder, trusting) = certified(Broker::builder().queue("q0"));
    let broker = start(builder).await;
    // These words open a connection, where they come without the header.
    let mut stream = connect(port(&broker)).await;
    stream.write_all(&words_of_a_client()).await.unwrap();
    assert_eq!(header(&mut stream).await, SASL);
    drop(stream);

    for words in [words_of_a_client(), AMQP.to_vec(), TLS.to_vec(), b"x".to_vec()] {
        let mut stream = connect(port(&broker)).await;
        stream.write_all(&[&TLS[..], &words].concat()).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(header(&mut stream).await, TLS);
        // An alert at most (0x15), and the end.
        let rest = rest(&mut stream).await;
        assert!(rest.first().is_none_or(|first| *first == 0x15), "{rest:?}");
        assert!(!rest.windows(4).any(|window| window == b"AMQP"), "{rest:?}");
    }
    // Put in front of an honest client's handshake they spoil it, and are not heard.
    let mut stream = connect(port(&broker)).await;
    stream.write_all(&[&TLS[..], &words_of_a_client()].concat()).await.unwrap();
    assert_eq!(header(&mut stream).await, TLS);
    assert!(stream.initiate_tls(&trusting, "localhost").await.is_err());
    eventually("all are gone", || broker.connections() == 0).await;
}

#[tokio::test]
async fn a_handshake_may_begin_right_behind_the_header() {
    let (builder, trusting) = certified(Broker::builder().queue("q0"));
    let broker = start(builder).await;
    let port = port(&broker);
    // Between them is somebody who passes header and first record on in one piece.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let between = listener.local_addr().unwrap().port();
    let passing = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        assert_eq!(header(&mut client).await, TLS);
        client.write_all(&TLS).await.unwrap();
        let mut hello = vec![0; 4096];
        let length = client.read(&mut hello).await.unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        server.write_all(&[&TLS[..], &hello[..length]].concat()).await.unwrap();
        assert_eq!(header(&mut server).await, TLS);
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    let stream = over_the_header(between, &trusting).await;
    Client::open(stream, None).await.unwrap().close().await;
    passing.await.unwrap();
}

#[tokio::test]
async fn headers_may_come_in_pieces() {
    let (builder, _) = certified(Broker::builder());
    let broker = start(builder).await;
    for first in [TLS, SASL, AMQP] {
        for split in 0..=first.len() {
            let mut stream = connect(port(&broker)).await;
            stream.write_all(&first[..split]).await.unwrap();
            // The other end has read the first piece by the time that the second is written, or it has not.
            tokio::task::yield_now().await;
            stream.write_all(&first[split..]).await.unwrap();
            assert_eq!(header(&mut stream).await, first, "{split}");
        }
        for length in 0..first.len() {
            let mut stream = connect(port(&broker)).await;
            stream.write_all(&first[..length]).await.unwrap();
            stream.shutdown().await.unwrap();
            assert_eq!(rest(&mut stream).await, b"", "{length}");
        }
    }
    eventually("all are gone", || broker.connections() == 0).await;
}

#[tokio::test]
async fn other_protocols_are_told_what_is_spoken_here() {
    let (builder, _) = certified(Broker::builder());
    let broker = start(builder).await;
    for first in [&b"AMQP\x00\x00\x09\x01"[..], b"AMQP\x02\x01\x00\x01", b"GET / HTTP/1.1\r\n\r\n", &[0x16, 3, 1, 2, 0]]
    {
        let mut stream = connect(port(&broker)).await;
        stream.write_all(first).await.unwrap();
        assert_eq!(header(&mut stream).await, AMQP, "to {first:?}");
        assert_eq!(rest(&mut stream).await, b"", "to {first:?}");
    }
}

#[tokio::test]
async fn a_broker_without_tls_says_what_it_has() {
    for (builder, expected) in [(Broker::builder(), AMQP), (guarded(), SASL)] {
        let broker = start(builder).await;
        let mut stream = connect(port(&broker)).await;
        stream.write_all(&TLS).await.unwrap();
        assert_eq!(header(&mut stream).await, expected);
        assert_eq!(rest(&mut stream).await, b"");
    }
}

#[tokio::test]
async fn under_tls_the_header_is_out_of_place() {
    let (builder, trusting) = certified(guarded());
    let broker = start(builder.listen("amqps://127.0.0.1:0")).await;
    let remote = RemoteEndpoint::host("localhost").port(port(&broker));
    let connection = Preconnection::new().remote(remote).security(trusting.clone()).initiate().await.unwrap();
    let direct = connection.into_byte_stream().unwrap();
    let plain = broker.urls()[1].rsplit_once(':').unwrap().1.parse().unwrap();
    for mut stream in [direct, over_the_header(plain, &trusting).await] {
        stream.write_all(&TLS).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(header(&mut stream).await, SASL);
        assert_eq!(rest(&mut stream).await, b"");
    }
}

#[tokio::test]
async fn whoever_does_not_go_on_is_cut_off() {
    let (builder, _) = certified(Broker::builder());
    let broker = start(builder.handshake_timeout(Duration::from_secs(1))).await;
    let port = port(&broker);
    let cut_off = |words: &'static [u8], answer: &'static [u8]| async move {
        let mut stream = connect(port).await;
        stream.write_all(words).await.unwrap();
        assert_eq!(rest(&mut stream).await, answer, "after {words:?}");
    };
    tokio::join!(
        cut_off(b"", b""),
        cut_off(b"AMQP\x02", b""),
        cut_off(&TLS, &TLS),
        // A handshake that begins and does not go on.
        cut_off(b"AMQP\x02\x01\x00\x00\x16", &TLS),
    );
    eventually("all are gone", || broker.connections() == 0).await;
}

#[tokio::test]
async fn going_down_does_not_wait_for_a_header() {
    let (builder, _) = certified(Broker::builder());
    let broker = start(builder).await;
    let mut silent = connect(port(&broker)).await;
    let mut asking = connect(port(&broker)).await;
    asking.write_all(&TLS).await.unwrap();
    assert_eq!(header(&mut asking).await, TLS);
    eventually("both are there", || broker.connections() == 2).await;
    assert_eq!(broker.shutdown(PATIENCE).await, 0);
    assert_eq!((rest(&mut silent).await, rest(&mut asking).await), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn a_configuration_without_a_certificate_is_found_at_the_start() {
    let error = Broker::builder().tls(TlsConfig::default()).listen("amqp://127.0.0.1:0").start().await.unwrap_err();
    assert_eq!(error, StartError::Tls(TlsConfigError::NoServerCertificate));
}

#[tokio::test]
async fn a_stranger_behind_the_header_is_refused() {
    let (builder, _) = certified(Broker::builder());
    let (_, strangers) = certified(Broker::builder());
    let broker = start(builder).await;
    let mut stream = connect(port(&broker)).await;
    stream.write_all(&TLS).await.unwrap();
    assert_eq!(header(&mut stream).await, TLS);
    let error = stream.initiate_tls(&strangers, "localhost").await.unwrap_err();
    assert!(error.tls().is_some(), "{error:?}");
    eventually("it is gone", || broker.connections() == 0).await;
}
