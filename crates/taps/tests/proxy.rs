//! Connections through small proxies, which know a name that nobody else does.

mod common;

use common::{Authority, PATIENCE, listen_with};
use postroad_taps::{
    AttemptError, Connection, EstablishmentError, LengthPrefix, Listener, Preconnection, Proxy, ProxyError,
    RemoteEndpoint, Security,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

fn framed() -> Preconnection {
    Preconnection::new().security(Security::Disabled).framer(LengthPrefix::new)
}

async fn proxy() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Carries bytes to and fro between a client and the listener.
async fn carry(mut client: TcpStream, to: &Listener) {
    let mut server = TcpStream::connect(to.local_endpoint().ip().unwrap()).await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// Serves one client of SOCKS5 and names the host that it asked for.
async fn socks(listener: TcpListener, code: u8) -> (TcpStream, String) {
    let mut client = listener.accept().await.unwrap().0;
    let mut greeting = [0; 3];
    client.read_exact(&mut greeting).await.unwrap();
    client.write_all(&[5, 0]).await.unwrap();
    let mut head = [0; 5];
    client.read_exact(&mut head).await.unwrap();
    let mut rest = vec![0; usize::from(head[4]) + 2];
    client.read_exact(&mut rest).await.unwrap();
    client.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    rest.truncate(rest.len() - 2);
    (client, String::from_utf8(rest).unwrap())
}

async fn initiate(preconnection: Preconnection) -> Result<Connection, EstablishmentError> {
    preconnection.initiate().timeout(PATIENCE).await
}

#[tokio::test]
async fn messages_go_through_socks_to_a_host_that_the_proxy_knows() {
    let listener = listen_with(framed()).await;
    let (door, port) = proxy().await;
    let remote = RemoteEndpoint::host("only-the-proxy-knows.invalid").port(5671);
    let client = framed().remote(remote).proxy(Proxy::socks5("127.0.0.1", port));
    let talk = async {
        let (server, client) = tokio::join!(listener.accept(), initiate(client));
        let (server, client) = (server.unwrap().unwrap(), client.unwrap());
        client.send("hello").await.unwrap();
        assert_eq!(timeout(PATIENCE, server.receive()).await.unwrap().unwrap().data, "hello");
        server.send("yourself").await.unwrap();
        assert_eq!(timeout(PATIENCE, client.receive()).await.unwrap().unwrap().data, "yourself");
        client.close().await.unwrap();
        server.close().await.unwrap();
    };
    let serve = async {
        let (client, host) = socks(door, 0).await;
        assert_eq!(host, "only-the-proxy-knows.invalid");
        carry(client, &listener).await;
    };
    tokio::join!(talk, serve);
}

#[tokio::test]
async fn tls_through_http_verifies_the_target() {
    let authority = Authority::new();
    let server = Preconnection::new().security(authority.server().serve()).framer(LengthPrefix::new);
    let listener = listen_with(server).await;
    let (door, port) = proxy().await;
    let client = Preconnection::new()
        .security(authority.trusted())
        .framer(LengthPrefix::new)
        .remote(RemoteEndpoint::host("localhost").port(5671))
        .proxy(Proxy::http("127.0.0.1", port));
    let talk = async {
        let (server, client) = tokio::join!(listener.accept(), initiate(client));
        let (server, client) = (server.unwrap().unwrap(), client.unwrap());
        assert_eq!(server.tls_info().unwrap().server_name(), Some("localhost"));
        client.send("hello").await.unwrap();
        assert_eq!(timeout(PATIENCE, server.receive()).await.unwrap().unwrap().data, "hello");
        drop((client, server));
    };
    let serve = async {
        let mut client = door.accept().await.unwrap().0;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(client.read_u8().await.unwrap());
        }
        assert!(request.starts_with(b"CONNECT localhost:5671 HTTP/1.1\r\n"));
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        carry(client, &listener).await;
    };
    tokio::join!(talk, serve);
}

#[tokio::test]
async fn what_the_proxy_cannot_do_is_told() {
    let (door, port) = proxy().await;
    let remote = RemoteEndpoint::host("nowhere.invalid").port(1);
    let client = framed().remote(remote).proxy(Proxy::socks5("127.0.0.1", port));
    let (served, connected) = tokio::join!(socks(door, 5), initiate(client.clone()));
    drop(served);
    let error = connected.unwrap_err();
    let [attempt] = error.attempts() else { panic!("{error:?}") };
    assert_eq!(attempt.error, AttemptError::Proxy(ProxyError::Socks { code: 5 }));
    // And there is no way around it.
    let error = initiate(client).await.unwrap_err();
    let [attempt] = error.attempts() else { panic!("{error:?}") };
    assert_eq!(attempt.error, AttemptError::Refused);
}
