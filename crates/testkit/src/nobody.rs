//! A port where nobody listens.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// An address of the loopback where connections are refused, for as long as the process lives.
///
/// The port stays bound: one that was given back would be the next test's.
///
/// ```
/// assert!(std::net::TcpStream::connect(postroad_testkit::nobody()).is_err());
/// ```
///
/// # Panics
/// When the system has no port to give.
#[must_use]
pub fn nobody() -> SocketAddr {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port of the loopback");
    let address = socket.local_addr().expect("it is bound");
    std::mem::forget(socket);
    address
}
