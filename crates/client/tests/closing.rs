//! Closing: what the peer hears, in which order, and how long that may take.

mod common;
mod raw;

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::{accept_one, pair};
use postroad_client::{ConnectOptions, Connection, ConnectionError, Message, Outcome};
use postroad_codec::v1_0::{Begin, Close, End, Open};
use raw::{next, put, take_header};

#[tokio::test]
async fn a_close_may_wait_for_ever() {
    let (acceptor, mut options) = accept_one(65_536).await;
    options.close_timeout = Duration::MAX;
    let (client, _server) = tokio::join!(Connection::open(options), acceptor.accept());
    assert_eq!(client.unwrap().close().await, Ok(()));
}

/// Answers an open and a begin, and gives the socket back once the session is ended.
fn serve_until_end(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().unwrap();
    take_header(&mut stream);
    loop {
        match next(&mut stream) {
            0x10 => put(&Open { container_id: "peer".into(), ..Open::default() }, &mut stream),
            0x11 => put(&Begin { remote_channel: Some(0), ..Begin::default() }, &mut stream),
            0x17 => return stream,
            code => panic!("performative {code:#x} before the end of the session"),
        }
    }
}

async fn connect_to(listener: &TcpListener, close_timeout: Duration) -> Connection {
    let mut options = ConnectOptions::new(format!("amqp://{}", listener.local_addr().unwrap()).parse().unwrap());
    options.sasl_enabled = false;
    options.reconnect = None;
    options.close_timeout = close_timeout;
    Connection::open(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_close_waits_until_the_sessions_have_ended() {
    for dropped in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = connect_to(&listener, Duration::from_secs(20));
        let peer = async {
            tokio::task::spawn_blocking({
                let listener = listener.try_clone().unwrap();
                move || {
                    let mut stream = serve_until_end(&listener);
                    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                    let silence = stream.read(&mut [0]).map_err(|error| error.kind());
                    assert_eq!(
                        silence,
                        Err(std::io::ErrorKind::WouldBlock),
                        "nothing follows an end without its answer"
                    );
                    stream.set_read_timeout(None).unwrap();
                    put(&End::default(), &mut stream);
                    assert_eq!(next(&mut stream), 0x18);
                    put(&Close::default(), &mut stream);
                }
            })
            .await
            .unwrap();
        };
        let closing = async {
            let connection = connection.await;
            let session = connection.session().await.unwrap();
            if dropped {
                drop(session);
            }
            assert_eq!(connection.close().await, Ok(()));
            assert!(connection.session().await.is_err(), "no session begins behind a close");
        };
        tokio::join!(peer, closing);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_peer_that_answers_no_end_is_closed_all_the_same() {
    for answers in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let timeout = Duration::from_millis(400);
        let peer = tokio::task::spawn_blocking({
            let listener = listener.try_clone().unwrap();
            move || {
                let mut stream = serve_until_end(&listener);
                assert_eq!(next(&mut stream), 0x18, "the last word is a close");
                if answers {
                    put(&Close::default(), &mut stream);
                }
                assert_eq!(stream.read(&mut [0]).unwrap(), 0, "and nothing follows it");
            }
        });
        let connection = connect_to(&listener, timeout).await;
        let _session = connection.session().await.unwrap();
        let started = Instant::now();
        let closed = connection.close().await;
        if answers {
            assert_eq!(closed, Ok(()));
            assert!(started.elapsed() >= timeout / 2);
        } else {
            assert_eq!(closed, Err(ConnectionError::CloseTimeout(timeout)));
            assert!(started.elapsed() >= timeout);
        }
        peer.await.unwrap();
    }
}

#[tokio::test]
async fn outcomes_that_come_while_it_closes_count() {
    let (sender, mut receiver, ends) = pair(5).await;
    let settlement = sender.submit_tracked(&Message::from("on its way")).await.unwrap();
    let message = receiver.receive().await.unwrap();
    receiver.accept(&message).unwrap();
    let (closed, settled) = tokio::join!(ends.client.close(), settlement);
    assert_eq!((closed, settled), (Ok(()), Ok(Outcome::Accepted)));
}
