//! The transport services and peers that know nothing of their interface (RFC 9621 3.4), both ends in turn.

mod aioquic;
mod marks;
mod openssl;
mod python;
mod websockets;

use postroad_taps::{Connection, Listener, LocalEndpoint, Preconnection, RemoteEndpoint, Security, TlsConfig};
use postroad_tests::certificates::Certificates;
use postroad_tests::ours::{SOON, soon};
use postroad_tests::process::Process;

/// A peer of this name, or a named skip.
macro_rules! found {
    ($find:ident) => {
        match postroad_tests::peers::$find() {
            Ok(peer) => peer,
            Err(skipped) => return skipped.report(),
        }
    };
}
use found;

/// Sizes of messages around what a read, a write and a record of TLS hold.
const SIZES: [usize; 8] = [0, 1, 4, 251, 16_384, 65_535, 65_537, 1 << 20];

fn clear() -> Preconnection {
    Preconnection::new().security(Security::Disabled)
}

/// Trusts the authority of the certificates, and nobody else.
fn trusting(certificates: &Certificates) -> TlsConfig {
    TlsConfig::builder().roots_file(certificates.path("ca.pem")).build().unwrap()
}

fn serving(certificates: &Certificates) -> TlsConfig {
    TlsConfig::builder()
        .server_certificate_files(certificates.path("server.pem"), certificates.path("server.key"))
        .build()
        .unwrap()
}

fn at(port: u16) -> RemoteEndpoint {
    RemoteEndpoint::host("localhost").ip_address([127, 0, 0, 1]).port(port)
}

/// The port on which a peer says that it listens.
fn ready(peer: &mut Process) -> u16 {
    peer.event("ready", SOON).unwrap()["port"].as_u64().unwrap().try_into().unwrap()
}

async fn connect(preconnection: Preconnection, port: u16) -> Connection {
    preconnection.remote(at(port)).initiate().timeout(SOON).await.unwrap()
}

async fn listen(preconnection: Preconnection) -> (Listener, u16) {
    let listener = preconnection.local(LocalEndpoint::address([127, 0, 0, 1])).listen().await.unwrap();
    let port = listener.local_endpoint().ip().unwrap().port();
    (listener, port)
}

async fn accept(listener: &Listener) -> Connection {
    soon(listener.accept()).await.unwrap().unwrap()
}

/// The message of a size, as the peers make it.
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n % 251) as u8).collect()
}

/// Sends a message of each size and wants it back.
async fn there_and_back(connection: &Connection, sizes: &[usize]) {
    for &size in sizes {
        let (sent, back) = soon(async { tokio::join!(connection.send(pattern(size)), connection.receive()) }).await;
        sent.unwrap();
        let back = back.unwrap();
        assert!(back.end_of_message && back.data == pattern(size), "{size}: {} came back", back.data.len());
    }
}

/// Gives each message back, until the peer ends.
async fn echo(connection: &Connection) -> usize {
    let mut count = 0;
    while let Ok(message) = soon(connection.receive()).await {
        soon(connection.send(message.data)).await.unwrap();
        count += 1;
    }
    count
}
