//! Clients that come with a bearer token.

use std::sync::Arc;

use postroad_amqp::sasl::{Credentials, SaslError};
use postroad_amqp::v1_0::ConnectionError;
use postroad_broker::{Broker, Builder, TokenRefusal, Tokens};
use postroad_codec::v1_0::{Frame, SaslInit, Symbol};
use postroad_taps::{ByteStream, Preconnection, RemoteEndpoint, TlsConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Client, numbered};

/// Takes tokens that begin with the name of a user.
#[derive(Debug)]
struct Issuer;

impl Tokens for Issuer {
    fn check(&self, token: &str) -> Result<String, TokenRefusal> {
        match token.split_once('.') {
            Some((user, _)) => Ok(user.to_owned()),
            None => Err(TokenRefusal::INVALID.openid_configuration("https://id.example/")),
        }
    }
}

struct World {
    broker: Broker,
    trusting: TlsConfig,
}

async fn world(builder: Builder) -> World {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let server = TlsConfig::builder().server_certificate_pem(&chain, &key).build().unwrap();
    let builder = builder.queue("q0").tls(server).tokens(Arc::new(Issuer));
    let broker = builder.listen("amqps://127.0.0.1:0").start().await.unwrap();
    World { broker, trusting: TlsConfig::builder().roots_pem(&chain).server_name("localhost").build().unwrap() }
}

impl World {
    async fn stream(&self) -> ByteStream {
        let remote = RemoteEndpoint::host("127.0.0.1").port(self.broker.addr().unwrap().port());
        let connection = Preconnection::new().remote(remote).security(self.trusting.clone()).initiate().await.unwrap();
        connection.into_byte_stream().unwrap()
    }

    async fn open(&self, credentials: Credentials) -> Result<Client<ByteStream>, ConnectionError> {
        Client::open(self.stream().await, Some((credentials, true))).await
    }
}

#[tokio::test]
async fn a_token_lets_in_and_a_bad_one_is_told_why() {
    let world = world(Broker::builder()).await;
    // As long as tokens are.
    let token = format!("alice.{}", "x".repeat(4000));
    let mut client = world.open(Credentials::bearer(token)).await.unwrap();
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..1)).await;
    client.close().await;

    let refused = world.open(Credentials::bearer("expired")).await.err();
    let Some(ConnectionError::Sasl(SaslError::TokenRefused { report })) = refused else { panic!("{refused:?}") };
    assert_eq!(report, r#"{"status":"invalid_token","openid-configuration":"https://id.example/"}"#);
    // Nobody is anonymous beside it.
    let refused = world.open(Credentials::anonymous()).await.err();
    let Some(ConnectionError::Sasl(SaslError::NoCommonMechanism { offered, hint })) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(offered, ["OAUTHBEARER"]);
    assert!(hint.contains("token"), "{hint}");
}

#[tokio::test]
async fn what_is_longer_than_a_token_may_be_ends_the_connection() {
    let world = world(Broker::builder().with_limits(|limits| limits.sasl_frame_size = 1000)).await;
    world.open(Credentials::bearer(format!("alice.{}", "x".repeat(800)))).await.unwrap().close().await;
    let mut stream = world.stream().await;
    let mut words = b"AMQP\x03\x01\x00\x00".to_vec();
    let initial_response = Some(format!("n,,\x01auth=Bearer alice.{}\x01\x01", "x".repeat(1000)).into());
    let mechanism = Symbol::from_static("OAUTHBEARER");
    Frame::put_sasl(&SaslInit { mechanism, initial_response, hostname: None }, &mut words);
    stream.write_all(&words).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"AMQP\x03\x01\x00\x00"), "{answer:?}");
    // Header and mechanisms, and no outcome: the frame was not read.
    assert!(answer.len() < 60 && !answer.windows(3).any(|code| code == [0x00, 0x53, 0x44]), "{answer:?}");
}
