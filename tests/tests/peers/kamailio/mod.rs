//! Kamailio 5.6 as an MSRP relay, spoken to in frames that are written by hand: the rows of docs/protocol/peers.md about it. A
//! deviation that vanishes fails its test.

/// The relay, or a named skip.
macro_rules! kamailio {
    () => {
        match postroad_tests::peers::kamailio() {
            Ok(kamailio) => kamailio,
            Err(skipped) => return skipped.report(),
        }
    };
    ($settings:expr) => {
        match postroad_tests::peers::Kamailio::start(&$settings) {
            Ok(kamailio) => kamailio,
            Err(skipped) => return skipped.report(),
        }
    };
}

mod auth;
mod client;
mod relay;
mod sizes;
mod wire;

use postroad_tests::peers::{Kamailio, Transport};

use self::wire::{Answer, Wire};

const TRANSPORTS: [Transport; 4] = [Transport::Tcp, Transport::Tls, Transport::WebSocket, Transport::SecureWebSocket];

/// The client's own URI. Nobody listens there: a relay has to use the connection.
const CLIENT: &str = "msrp://client.invalid:2855/a1;tcp";

/// The URI of a peer that connects, where nobody listens either.
const PEER: &str = "msrp://peer.invalid:2855/b2;tcp";

/// A connection with a Use-Path of its own.
async fn authorized(kamailio: &Kamailio, transport: Transport) -> (Wire, String) {
    let mut client = Wire::connect(kamailio, transport).await;
    let answer = auth::log_in(&mut client, &kamailio.uri(transport), Kamailio::ALICE, "").await;
    assert_eq!(answer.code(), 200, "{answer:?}");
    let path = answer.header("Use-Path").expect("a Use-Path").to_owned();
    (client, path)
}

/// A SEND of a text in one chunk.
fn send(tid: &str, to: &str, from: &str, text: &str) -> String {
    send_with(tid, to, from, text, "")
}

/// The same with more lines among the headers.
fn send_with(tid: &str, to: &str, from: &str, text: &str, headers: &str) -> String {
    let size = text.len();
    format!(
        "MSRP {tid} SEND\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: id-{tid}\r\n\
         Byte-Range: 1-{size}/{size}\r\n{headers}Content-Type: text/plain\r\n\r\n{text}\r\n-------{tid}$\r\n"
    )
}

/// A REPORT of success about the message of `tid`.
fn report(tid: &str, to: &str, from: &str) -> String {
    format!(
        "MSRP {tid} REPORT\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: id-{tid}\r\nByte-Range: 1-5/5\r\n\
         Status: 000 200 OK\r\n-------{tid}$\r\n"
    )
}

/// A peer that has connected and sent to the client, so that the relay knows it. Both have what came of that behind them.
async fn known_peer(kamailio: &Kamailio, client: &mut Wire, path: &str) -> Wire {
    let transport = if path.starts_with("msrps:") { Transport::Tls } else { Transport::Tcp };
    let mut peer = Wire::connect(kamailio, transport).await;
    peer.write(&send("binds", &format!("{path} {CLIENT}"), PEER, "hello")).await;
    assert_eq!(peer.answer().await.code(), 200);
    assert_eq!(client.request().await.body, "hello");
    peer
}
