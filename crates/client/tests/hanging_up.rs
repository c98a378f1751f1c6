//! A peer that says why and hangs up at once: the reason is read although writing fails.

mod raw;

use std::net::TcpListener;
use std::time::Duration;

use postroad_client::types::{Bytes, ErrorCondition, PeerError};
use postroad_client::{ConnectOptions, Connection, LinkOptions, Message, SendError};
use postroad_codec::v1_0::{Attach, Begin, Close, Flow, Handle, Open, Role, SequenceNo, Target};
use raw::{next, put, take_header};

fn why() -> PeerError {
    PeerError::new(ErrorCondition::CONNECTION_FORCED, "going down")
}

/// Takes one link named `only`, reads one transfer, and hangs up with most of the rest unread: the system then resets the
/// connection.
fn serve(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().unwrap();
    take_header(&mut stream);
    loop {
        match next(&mut stream) {
            0x10 => put(&Open { container_id: "peer".into(), ..Open::default() }, &mut stream),
            0x11 => {
                let begin = Begin { remote_channel: Some(0), incoming_window: u32::MAX, ..Begin::default() };
                put(&begin, &mut stream);
            }
            0x12 => {
                let target = Some(Box::new(Target { address: Some("q".into()), ..Target::default() }.into()));
                put(&Attach { name: "only".into(), role: Role::Receiver, target, ..Attach::default() }, &mut stream);
                let flow = Flow {
                    next_incoming_id: Some(Default::default()),
                    incoming_window: u32::MAX >> 1,
                    handle: Some(Handle(0)),
                    delivery_count: Some(SequenceNo(0)),
                    link_credit: Some(1_000_000),
                    ..Flow::default()
                };
                put(&flow, &mut stream);
            }
            0x14 => {
                // By now the writer waits for us.
                std::thread::sleep(Duration::from_millis(300));
                put(&Close { error: Some(Box::new(why())) }, &mut stream);
                return;
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_reason_is_read_when_writing_fails() {
    for _ in 0..5 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("amqp://{}", listener.local_addr().unwrap());
        let peer = std::thread::spawn(move || serve(&listener));
        let mut options = ConnectOptions::new(url.parse().unwrap());
        options.sasl_enabled = false;
        options.reconnect = None;
        let connection = Connection::open(options).await.unwrap();
        let session = connection.session().await.unwrap();
        let mut options = LinkOptions::default();
        options.name = Some("only".to_owned());
        let sender = session.sender_with("q", options).await.unwrap();
        let large = Message::from(Bytes::from(vec![7; 1024 * 1024]));
        let sending = async {
            loop {
                if let Err(error) = sender.submit(&large).await {
                    break error;
                }
            }
        };
        let error = tokio::time::timeout(Duration::from_secs(20), sending).await.unwrap();
        let SendError::NotSent(error) = error else { panic!("{error:?}") };
        assert_eq!(error.peer_error(), Some(&why()), "{error:?}");
        peer.join().unwrap();
    }
}
