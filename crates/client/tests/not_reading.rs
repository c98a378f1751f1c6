//! A peer that stops reading: the connection ends all the same, and keeps nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use postroad_amqp::v1_0::{Config, Connection as Engine, Event, LinkTerms, Transmit};
use postroad_client::types::{Body, Bytes};
use postroad_client::{ConnectOptions, Connection, LinkOptions, Message, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers until a link has its credit, and gives the socket back.
async fn accept_a_link(listener: TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut engine = Engine::server(Config::new("deaf"), None, Instant::now());
    let (mut input, mut output) = (BytesMut::new(), Transmit::default());
    let mut accepted = false;
    while !accepted {
        assert_ne!(stream.read_buf(&mut input).await.unwrap(), 0);
        engine.handle_input(Instant::now(), &mut input).unwrap();
        while let Some(event) = engine.poll_event() {
            if let Event::LinkIncoming(link) = event {
                let target = engine.remote_attach(link).unwrap().target.as_deref().cloned();
                engine.accept(link, LinkTerms { target, ..LinkTerms::default() }).unwrap();
                engine.receiver(link).set_credit(10_000);
                accepted = true;
            }
        }
        engine.poll_transmit(Instant::now(), &mut output);
        stream.write_all_buf(&mut output).await.unwrap();
    }
    stream
}

#[tokio::test]
async fn a_silent_peer_with_full_buffers_keeps_neither_task_nor_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let peer = tokio::spawn(accept_a_link(listener));
    let mut options = ConnectOptions::new(format!("amqp://{address}").parse().unwrap());
    options.sasl_enabled = false;
    options.reconnect = None;
    options.idle_timeout = Some(Duration::from_millis(600));
    let connection = Connection::open(options).await.unwrap();
    let session = connection.session().await.unwrap();
    let sender = session.sender_with(Node::at("queue"), LinkOptions::default()).await.unwrap();
    let mut stream = peer.await.unwrap();

    // Far more than the two socket buffers take: the driver cannot write its last words either.
    let message = Message::from(Body::Data(Bytes::from(vec![0; 1 << 20])));
    let error = loop {
        if let Err(error) = sender.submit(&message).await {
            break error;
        }
    };
    assert!(error.to_string().contains("idle timeout"), "{error}");
    // Nothing is read here, which would let it finish: a closed socket shows in a write.
    let closed = tokio::time::timeout(Duration::from_secs(10), async {
        while stream.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(closed.await.is_ok(), "the socket is still open");
    assert!(connection.error().is_some());
}
