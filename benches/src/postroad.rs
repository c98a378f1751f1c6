//! Our own peer: a listening receiver and a sender, peer to peer, at least once.

use std::error::Error;
use std::net::Ipv4Addr;

use postroad_client::types::{Body, Bytes};
use postroad_client::{AcceptOptions, Acceptor, ConnectOptions, Connection, LinkOptions, Message, Node};
use postroad_taps::LocalEndpoint;

use crate::measure::{Clocks, Report};

/// Listens on `port`, receives and accepts `count` messages with `credit` at once.
///
/// # Errors
/// Whatever goes wrong on the way.
pub async fn receive(port: u16, count: u64, credit: u32) -> Result<Report, Box<dyn Error>> {
    let local = LocalEndpoint::address(Ipv4Addr::LOCALHOST).port(port);
    let mut options = AcceptOptions::new(local);
    options.max_frame_size = 32_768;
    let acceptor = Acceptor::listen(options).await?;
    eprintln!("ready");
    let connection = acceptor.accept().await?;
    let link = connection.next_link().await?;
    let mut options = LinkOptions::default();
    options.prefetch = credit;
    let mut receiver = link.into_receiver(&options)?;
    let mut clocks = None;
    let mut bytes = 0;
    for _ in 0..count {
        let message = receiver.receive().await?;
        clocks.get_or_insert_with(Clocks::start);
        bytes += message.bytes().map_or(0, Bytes::len);
        receiver.accept(&message)?;
    }
    let report = clocks.ok_or("no message")?.report("recv", count);
    if bytes == 0 {
        return Err("messages without content".into());
    }
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
    options.max_frame_size = 32_768;
    let connection = Connection::open(options).await?;
    let session = connection.session().await?;
    let sender = session.sender(Node::at("bench")).await?;
    let body = Bytes::from(vec![b'x'; size]);
    let clocks = Clocks::start();
    for id in 0..count {
        let message = Message::from(Body::Data(body.clone())).with_id(id);
        sender.submit(&message).await?;
    }
    sender.sync().await?;
    let report = clocks.report("send", count);
    connection.close().await?;
    Ok(report)
}
