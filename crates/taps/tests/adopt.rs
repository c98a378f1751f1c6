//! Transports that were opened elsewhere: sockets of the standard library, descriptors, pairs.
#![cfg(unix)]

mod common;

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use common::{Authority, PATIENCE};
use postroad_taps::{
    AdoptError, ByteStream, ConfigurationError, EstablishmentErrorKind, LengthPrefix, ListenError, Preconnection,
    ProtocolStack, RemoteEndpoint, Security,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

fn framed() -> Preconnection {
    Preconnection::new().security(Security::Disabled).framer(LengthPrefix::new)
}

#[tokio::test]
async fn a_pair_carries_messages() {
    let (first, second) = ByteStream::pair().unwrap();
    assert_eq!(first.remote_endpoint().to_string(), "unix:(unnamed)");
    assert_eq!(
        first.peer_credentials().and_then(|peer| peer.process()).unwrap_or(0),
        second.peer_credentials().and_then(|peer| peer.process()).unwrap_or(0)
    );
    let (first, second) = (framed().adopt(first).await.unwrap(), framed().adopt(second).await.unwrap());
    assert_eq!(first.protocol_stack(), Some(ProtocolStack::UnixStream));
    first.send("hello").await.unwrap();
    assert_eq!(timeout(PATIENCE, second.receive()).await.unwrap().unwrap().data, "hello");
    first.close().await.unwrap();
    assert!(timeout(PATIENCE, second.receive()).await.unwrap().is_err());
}

#[tokio::test]
async fn what_was_not_read_is_still_in_the_socket() {
    let (mut raw, adopted) = UnixStream::pair().unwrap();
    let mut stream = ByteStream::from_unix(adopted).unwrap();
    raw.write_all(b"headtail").unwrap();
    std::future::poll_fn(|cx| stream.poll_read_ready(cx)).await.unwrap();
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"head");
    stream.write_all(b"answer").await.unwrap();
    let mut handed_on = UnixStream::from(stream.into_owned_fd().unwrap());
    let mut tail = [0; 8];
    assert_eq!(handed_on.read(&mut tail).unwrap(), 4);
    assert_eq!(&tail[..4], b"tail");
    let mut answer = [0; 6];
    raw.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");

    // The same for a connection that nobody has used for messages.
    let (mut raw, adopted) = UnixStream::pair().unwrap();
    raw.write_all(b"all of it").unwrap();
    let plain = Preconnection::new().security(Security::Disabled);
    let connection = plain.adopt(ByteStream::from_owned_fd(adopted.into()).unwrap()).await.unwrap();
    let mut handed_on = UnixStream::from(connection.into_byte_stream().unwrap().into_owned_fd().unwrap());
    let mut all = [0; 16];
    assert_eq!(handed_on.read(&mut all).unwrap(), 9);
}

#[tokio::test]
async fn a_tcp_socket_is_known_by_its_descriptor() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, peer) = listener.accept().unwrap();
    let mut client = ByteStream::from_owned_fd(client.into()).unwrap();
    let mut server = ByteStream::from_tcp(server).unwrap();
    assert_eq!(*client.remote_endpoint(), listener.local_addr().unwrap());
    assert_eq!(*server.remote_endpoint(), peer);
    client.write_all(b"over").await.unwrap();
    let mut bytes = [0; 4];
    timeout(PATIENCE, server.read_exact(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(&bytes, b"over");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_socket_of_packets_is_known_by_its_descriptor() {
    use socket2::{Domain, Socket, Type};
    let (first, second) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    let mut first = ByteStream::from_owned_fd(first.into()).unwrap();
    let mut second = ByteStream::from_owned_fd(second.into()).unwrap();
    first.write_all(b"packet").await.unwrap();
    first.flush().await.unwrap();
    let mut bytes = [0; 6];
    timeout(PATIENCE, second.read_exact(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(&bytes, b"packet");
    // Something is between the stream and its socket.
    assert!(first.into_owned_fd().is_none());
}

#[tokio::test]
async fn what_is_no_connection_is_refused() {
    let refused = |descriptor: OwnedFd| ByteStream::from_owned_fd(descriptor).unwrap_err();
    assert_eq!(refused(std::fs::File::open("/dev/null").unwrap().into()), AdoptError::NotASocket);
    assert_eq!(refused(UnixDatagram::unbound().unwrap().into()), AdoptError::Kind);
    assert_eq!(refused(std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into()), AdoptError::Kind);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(refused(listener.into()), AdoptError::NotConnected);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(refused(UnixListener::bind(folder.path().join("l")).unwrap().into()), AdoptError::NotConnected);
}

#[tokio::test]
async fn security_that_is_on_refuses_clear_text() {
    let (stream, _peer) = ByteStream::pair().unwrap();
    let error = Preconnection::new().adopt(stream).await.unwrap_err();
    let unprotected = ConfigurationError::Unprotected;
    assert_eq!(*error.kind(), EstablishmentErrorKind::InvalidConfiguration(unprotected.clone()));
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("l")).unwrap();
    let error = Preconnection::new().listen_on_unix(listener).unwrap_err();
    assert_eq!(error, ListenError::InvalidConfiguration(unprotected));
}

#[tokio::test]
async fn a_listener_that_was_handed_over_takes_clients_in() {
    let inherited = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = inherited.local_addr().unwrap();
    let listener = framed().listen_on_owned_fd(inherited.into()).unwrap();
    assert_eq!(*listener.local_endpoint(), address);
    let client = framed().remote(address);
    let (accepted, client) = tokio::join!(listener.accept(), async { client.initiate().timeout(PATIENCE).await });
    let (server, client) = (accepted.unwrap().unwrap(), client.unwrap());
    client.send("hello").await.unwrap();
    assert_eq!(timeout(PATIENCE, server.receive()).await.unwrap().unwrap().data, "hello");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inherited");
    let listener = framed().listen_on_owned_fd(UnixListener::bind(&path).unwrap().into()).unwrap();
    let client = framed().remote(RemoteEndpoint::path(&path));
    let (accepted, client) = tokio::join!(listener.accept(), async { client.initiate().timeout(PATIENCE).await });
    assert_eq!(client.unwrap().remote_endpoint(), accepted.unwrap().unwrap().local_endpoint());
    drop(listener);
    assert!(path.exists(), "the file is another's");
}

#[tokio::test]
async fn a_listener_that_was_handed_over_has_tls() {
    let authority = Authority::new();
    let inherited = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = inherited.local_addr().unwrap().port();
    let listener = Preconnection::new().security(authority.server().serve()).listen_on_tcp(inherited).unwrap();
    assert!(listener.is_tls());
    let client = common::to(port, authority.trusted());
    let (accepted, client) = tokio::join!(listener.accept(), async { client.initiate().timeout(PATIENCE).await });
    assert!(accepted.unwrap().unwrap().tls_info().is_some());
    let protected = client.unwrap().into_byte_stream().unwrap();
    assert!(protected.into_owned_fd().is_none());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_socket_that_does_not_listen_is_refused() {
    let (socket, _peer) = UnixStream::pair().unwrap();
    let error = framed().listen_on_owned_fd(socket.into()).unwrap_err();
    assert_eq!(error, ListenError::Adopt(AdoptError::NotListening));
}
