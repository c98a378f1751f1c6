//! Who gets in.

use std::time::Duration;

use postroad_amqp::sasl::{Credentials, SaslError, UserFile};
use postroad_amqp::v1_0::ConnectionError;
use postroad_broker::{Broker, Builder, StartError};
use postroad_taps::{Preconnection, RemoteEndpoint, TlsConfig};
use tokio::net::TcpStream;

use crate::client::{Client, numbered};
use crate::{broker, start};

fn guarded() -> Builder {
    let users = UserFile::parse("alice:wonderland\nbob:{plain}builder", [3; 32]).unwrap();
    Broker::builder().queue("q0").users(users)
}

async fn try_open(broker: &Broker, credentials: Option<Credentials>) -> Result<Client, ConnectionError> {
    let stream = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
    // `secure` lets our own client offer PLAIN; whether the broker takes it is the question.
    Client::open(stream, credentials.map(|credentials| (credentials, true))).await
}

fn failed(result: Result<Client, ConnectionError>) -> SaslError {
    match result.err() {
        Some(ConnectionError::Sasl(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn users_get_in_by_scram() {
    let broker = start(guarded()).await;
    let mut client = try_open(&broker, Some(Credentials::password("alice", "wonderland"))).await.unwrap();
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..1)).await;
    client.close().await;
    for (user, password) in [("alice", "builder"), ("eve", "wonderland")] {
        let refused = try_open(&broker, Some(Credentials::password(user, password))).await;
        assert_eq!(failed(refused), SaslError::AuthenticationFailed);
    }
}

#[tokio::test]
async fn nobody_stays_anonymous_where_there_are_users() {
    let broker = start(guarded()).await;
    let refused = failed(try_open(&broker, Some(Credentials::anonymous())).await);
    let SaslError::NoCommonMechanism { offered, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(offered, ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"]);
    let bare = try_open(&broker, None).await.err();
    assert!(matches!(bare, Some(ConnectionError::ProtocolHeader { .. })), "{bare:?}");

    let both = start(guarded().anonymous(true)).await;
    try_open(&both, Some(Credentials::anonymous())).await.unwrap();
    try_open(&both, None).await.unwrap();
    try_open(&both, Some(Credentials::password("bob", "builder"))).await.unwrap();
}

#[tokio::test]
async fn everybody_may_be_anonymous_where_there_are_no_users() {
    let open = broker().await;
    try_open(&open, Some(Credentials::anonymous())).await.unwrap();
    let shut = Broker::builder().anonymous(false).start().await;
    assert_eq!(shut.unwrap_err(), StartError::Nobody);
}

/// SASL as bytes: header, `sasl-init` with PLAIN, and the code of the outcome.
async fn plain(broker: &Broker, password: &str) -> u8 {
    use postroad_codec::v1_0::{Frame, SaslFrame, SaslInit, Symbol};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
    let mut out = b"AMQP\x03\x01\x00\x00".to_vec();
    let initial_response = Some(format!("\0alice\0{password}").into_bytes().into());
    Frame::put_sasl(&SaslInit { mechanism: Symbol::from_static("PLAIN"), initial_response, hostname: None }, &mut out);
    stream.write_all(&out).await.unwrap();
    let mut input = vec![0; 8];
    stream.read_exact(&mut input).await.unwrap();
    loop {
        let size = stream.read_u32().await.unwrap();
        let mut frame = size.to_be_bytes().to_vec();
        frame.resize(size as usize, 0);
        stream.read_exact(&mut frame[4..]).await.unwrap();
        if let Frame::Sasl(SaslFrame::Outcome(outcome)) = Frame::decode(&frame.into()).unwrap() {
            return outcome.code.0;
        }
    }
}

#[tokio::test]
async fn plain_needs_tls_unless_it_is_allowed() {
    let strict = start(guarded()).await;
    assert_eq!(plain(&strict, "wonderland").await, 1);
    let lax = start(guarded().allow_insecure_plain(true)).await;
    assert_eq!(plain(&lax, "wonderland").await, 0);
    assert_eq!(plain(&lax, "wrong").await, 1);
}

/// One thread for all of it: whoever waits for a key holds up everybody.
#[tokio::test(flavor = "current_thread")]
async fn wrong_passwords_hold_up_nobody_else() {
    // Keys that no password fits, and that take long to derive: seconds here.
    let key = format!("{}=", "A".repeat(43));
    let users = UserFile::parse(&format!("alice:SCRAM-SHA-256$200000:c2FsdA==${key}:{key}"), [3; 32]).unwrap();
    let builder = Broker::builder().queue("q0").users(users).anonymous(true).allow_insecure_plain(true);
    let broker = start(builder.handshake_timeout(Duration::from_secs(300))).await;
    let mut wrong = Box::pin(plain(&broker, "wrong"));
    // Its password is on the way, and is being checked.
    let answered = tokio::time::timeout(Duration::from_millis(50), &mut wrong).await;
    assert!(answered.is_err(), "the answer takes longer than that");

    let work = async {
        let mut client = try_open(&broker, Some(Credentials::anonymous())).await.unwrap();
        let (sender, receiver) = (client.sender("q0").await.unwrap(), client.receiver("q0", 100).await.unwrap());
        client.send_all(sender, numbered(0..20)).await;
        for expected in numbered(0..20) {
            assert_eq!(client.receive_text(receiver).await, expected);
        }
        client.close().await;
    };
    tokio::select! {
        biased;
        code = &mut wrong => panic!("the wrong password was answered first, by {code}"),
        () = work => {}
    }
    assert_eq!(wrong.await, 1);
}

#[tokio::test]
async fn amqps_carries_the_same() {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let server = TlsConfig::builder().server_certificate_pem(&chain, &key).build().unwrap();
    let broker =
        guarded().tls(server).listen("amqps://127.0.0.1:0").listen("amqp://127.0.0.1:0").start().await.unwrap();
    assert!(broker.urls()[0].starts_with("amqps://127.0.0.1:"), "{:?}", broker.urls());
    let port = broker.addr().unwrap().port();

    let trusting = TlsConfig::builder().roots_pem(&chain).server_name("localhost").build().unwrap();
    let remote = RemoteEndpoint::host("127.0.0.1").port(port);
    let connection = Preconnection::new().remote(remote).security(trusting).initiate().await.unwrap();
    let stream = connection.into_byte_stream().unwrap();
    let mut client = Client::open(stream, Some((Credentials::password("alice", "wonderland"), true))).await.unwrap();
    let sender = client.sender("q0").await.unwrap();
    let receiver = client.receiver("q0", 100).await.unwrap();
    client.send_all(sender, numbered(0..50)).await;
    for expected in numbered(0..50) {
        assert_eq!(client.receive_text(receiver).await, expected);
    }
    let large = postroad_codec::v1_0::Message::from(vec![5; 1024 * 1024]).to_bytes();
    client.send_with(sender, &large, false).await;
    assert_eq!(client.receive(receiver).await.payload, large);
    client.close().await;
}

#[tokio::test]
async fn what_cannot_be_listened_on_is_told() {
    let start = |url: &'static str| Broker::builder().listen(url).start();
    assert!(matches!(start("amqps://127.0.0.1:0").await.unwrap_err(), StartError::NoCertificate { .. }));
    assert!(matches!(start("http://127.0.0.1").await.unwrap_err(), StartError::Url { .. }));
    let parts = start("amqp://user:secret@127.0.0.1:0").await.unwrap_err();
    assert!(matches!(parts, StartError::UrlParts { .. }) && !parts.to_string().contains("secret"), "{parts}");
    let broker = broker().await;
    let taken = Broker::builder().listen(broker.urls()[0].clone()).start().await.unwrap_err();
    assert!(taken.hint().unwrap().contains("port"), "{taken:?}");
    assert!(Broker::builder().queue("").start().await.is_err());
}
