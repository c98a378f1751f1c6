//! Our own peer: a listening receiver and a sender, peer to peer, at least once.

use std::error::Error;
use std::net::Ipv4Addr;

use postroad_client::types::{Body, Bytes};
use postroad_client::{
    AcceptOptions, Acceptor, ConnectOptions, Connection, LinkOptions, Message, Node, Receiver, Sender,
};
use postroad_taps::LocalEndpoint;

use crate::measure::{Clocks, Report};

/// The largest frame of either end, in bytes.
pub(crate) const FRAME: u32 = 32_768;

/// Listens on `port`, receives and accepts `count` messages with `credit` at once.
///
/// # Errors
/// Whatever goes wrong on the way.
pub async fn receive(port: u16, count: u64, credit: u32) -> Result<Report, Box<dyn Error>> {
    let local = LocalEndpoint::address(Ipv4Addr::LOCALHOST).port(port);
    let mut options = AcceptOptions::new(local);
    options.max_frame_size = FRAME;
    let acceptor = Acceptor::listen(options).await?;
    eprintln!("ready");
    let connection = acceptor.accept().await?;
    let link = connection.next_link().await?;
    let mut options = LinkOptions::default();
    options.prefetch = credit;
    let mut receiver = link.into_receiver(&options)?;
    let clocks = receive_all(&mut receiver, count, |_, _| Ok(())).await?;
    let report = clocks.report("recv", count);
    // The sender hears of every settlement and closes.
    while connection.error().is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    Ok(report)
}

/// Connects to `port` and sends `count` messages of `size` bytes, and waits until all are settled.
///
/// # Errors
/// Whatever goes wrong on the way.
pub async fn send(port: u16, count: u64, size: usize) -> Result<Report, Box<dyn Error>> {
    let mut options = ConnectOptions::new(format!("amqp://127.0.0.1:{port}").parse()?);
    options.max_frame_size = FRAME;
    let connection = Connection::open(options).await?;
    let session = connection.session().await?;
    let sender = session.sender(Node::at("bench")).await?;
    let clocks = send_all(&sender, count, size).await?;
    let report = clocks.report("send", count);
    connection.close().await?;
    Ok(report)
}

/// Receives and accepts so many messages, as long as `check` finds each right, which is told how manieth it is. The clocks run
/// from the first one on.
pub(crate) async fn receive_all(
    receiver: &mut Receiver,
    count: u64,
    check: impl Fn(u64, &Message) -> Result<(), Box<dyn Error>>,
) -> Result<Clocks, Box<dyn Error>> {
    let mut clocks = None;
    for id in 0..count {
        let message = receiver.receive().await?;
        clocks.get_or_insert_with(Clocks::start);
        if message.bytes().is_none_or(Bytes::is_empty) {
            return Err("a message without content".into());
        }
        check(id, &message)?;
        receiver.accept(&message)?;
    }
    clocks.ok_or_else(|| "no message".into())
}

/// Sends so many messages of so many bytes, each with its number as its id, and waits until all have their outcome. The
/// clocks run from the first one on.
pub(crate) async fn send_all(sender: &Sender, count: u64, size: usize) -> Result<Clocks, Box<dyn Error>> {
    let body = Bytes::from(vec![b'x'; size]);
    let clocks = Clocks::start();
    for id in 0..count {
        let message = Message::from(Body::Data(body.clone())).with_id(id);
        sender.submit(&message).await?;
    }
    sender.sync().await?;
    Ok(clocks)
}
