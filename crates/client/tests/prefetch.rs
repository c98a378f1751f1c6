//! How many messages are taken ahead, from a peer that counts late.

mod raw;

use std::net::TcpListener;
use std::time::Duration;

use postroad_client::types::{Fields, Map, Symbol};
use postroad_client::{ConnectOptions, Connection, LinkError, LinkOptions};
use postroad_codec::v1_0::{Attach, Begin, Close, Detach, End, Handle, Open, Role, SequenceNo, Source};
use raw::{next, put, take_header};

/// An old RabbitMQ, which takes the link named `only` and detaches it once there is credit.
fn serve(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().unwrap();
    take_header(&mut stream);
    loop {
        match next(&mut stream) {
            0x10 => {
                let mut properties = Map::default();
                properties.insert(Symbol::from_static("product"), "RabbitMQ");
                properties.insert(Symbol::from_static("version"), "3.12.0");
                let properties = Some(Fields(properties));
                put(&Open { container_id: "peer".into(), properties, ..Open::default() }, &mut stream);
            }
            0x11 => {
                let begin = Begin { remote_channel: Some(0), incoming_window: 100, ..Begin::default() };
                put(&begin, &mut stream);
            }
            0x12 => {
                let attach = Attach {
                    name: "only".into(),
                    role: Role::Sender,
                    source: Some(Box::new(Source { address: Some("q".into()), ..Source::default() })),
                    initial_delivery_count: Some(SequenceNo(0)),
                    ..Attach::default()
                };
                put(&attach, &mut stream);
            }
            0x13 => put(&Detach { handle: Handle(0), closed: true, error: None }, &mut stream),
            0x17 => put(&End::default(), &mut stream),
            0x18 => return put(&Close { error: None }, &mut stream),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn prefetch_is_set_on_a_link_that_is_over() {
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
    options.prefetch = 1;
    let mut receiver = session.receiver_with("q", options).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), receiver.receive()).await.unwrap();
    assert!(ended.is_err());
    receiver.set_prefetch(10);
    assert_eq!((receiver.prefetch(), receiver.error()), (10, Some(LinkError::DetachedByPeer)));
    connection.close().await.unwrap();
    peer.join().unwrap();
}
