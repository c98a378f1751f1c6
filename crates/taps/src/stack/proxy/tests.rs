use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

const SECRET: &str = "open sesame";

/// What a proxy does: reads so many bytes, and answers with these.
type Script<'a> = &'a [(usize, &'a [u8])];

/// Lets a client meet a proxy that answers in pieces of `size` bytes and hangs up after `cut` of them in all. Gives what
/// the client made of it, and what the proxy has read.
async fn meet(
    proxy: &Proxy,
    target: Target<'_>,
    script: Script<'_>,
    size: usize,
    cut: usize,
) -> (Result<TcpStream, AttemptError>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = async {
        let mut tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        timeout(PATIENCE, proxy.connect(&mut tcp, target)).await.expect("the client waits").map(|()| tcp)
    };
    let server = async {
        let mut tcp = listener.accept().await.unwrap().0;
        tcp.set_nodelay(true).unwrap();
        let (mut heard, mut left) = (Vec::new(), cut);
        'all: for (length, answer) in script {
            let mut bytes = vec![0; *length];
            if tcp.read_exact(&mut bytes).await.is_err() {
                break;
            }
            heard.extend(bytes);
            for part in answer.chunks(size) {
                let part = &part[..part.len().min(left)];
                left -= part.len();
                if tcp.write_all(part).await.is_err() || left == 0 {
                    break 'all;
                }
                tokio::task::yield_now().await;
            }
        }
        let _ = tcp.shutdown().await;
        (heard, tcp)
    };
    let (connected, (heard, _socket)) = tokio::join!(client, server);
    (connected, heard)
}

async fn rest(tcp: &mut TcpStream) -> String {
    let mut rest = String::new();
    timeout(PATIENCE, tcp.read_to_string(&mut rest)).await.unwrap().unwrap();
    rest
}

const HOST: Target<'static> = Target { host: "host.example", port: 5671 };

/// The target's first words come with the proxy's last.
const SOCKS: Script<'static> =
    &[(3, &[5, 0]), (5 + 12 + 2, b"\x05\0\0\x01\x7f\0\0\x01\x12\x34hello"), (0, b", client")];

#[tokio::test]
async fn socks_gives_the_name_to_the_proxy_and_takes_no_byte_of_the_target() {
    let proxy = Proxy::socks5("proxy.example", 1080);
    for size in [1, 2, 3, 100] {
        let (connected, heard) = meet(&proxy, HOST, SOCKS, size, usize::MAX).await;
        assert_eq!(heard, b"\x05\x01\0\x05\x01\0\x03\x0chost.example\x16\x27");
        assert_eq!(rest(&mut connected.unwrap()).await, "hello, client");
    }
    // Wherever the proxy hangs up, before the target speaks.
    for cut in 1..12 {
        let (connected, _) = meet(&proxy, HOST, SOCKS, 1, cut).await;
        let error = connected.expect_err("connected");
        assert!(matches!(error, AttemptError::Proxy(ProxyError::Protocol(_))), "{cut}: {error:?}");
    }
}

#[tokio::test]
async fn socks_knows_every_type_of_address() {
    let proxy = Proxy::socks5("proxy.example", 1080);
    let v6 = Target { host: "2001:db8::7", port: 1 };
    let answer = [&b"\x05\0\0\x03\x04name\0\x01"[..], b"hello"].concat();
    let (connected, heard) = meet(&proxy, v6, &[(3, &[5, 0]), (22, &answer)], 100, usize::MAX).await;
    assert_eq!(heard[3..], *b"\x05\x01\0\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\0\x01");
    assert_eq!(rest(&mut connected.unwrap()).await, "hello");
    let v4 = Target { host: "192.0.2.9", port: 258 };
    let answer = [&b"\x05\0\0\x04"[..], &[0; 16], b"\0\x01hi"].concat();
    let (connected, heard) = meet(&proxy, v4, &[(3, &[5, 0]), (10, &answer)], 100, usize::MAX).await;
    assert_eq!(heard[3..], *b"\x05\x01\0\x01\xc0\0\x02\x09\x01\x02");
    assert_eq!(rest(&mut connected.unwrap()).await, "hi");
}

#[tokio::test]
async fn socks_logs_in_where_it_is_asked_to() {
    let proxy = Proxy::socks5("proxy.example", 1080).credentials("ali", SECRET);
    let reply = b"\x05\0\0\x01\0\0\0\0\0\0hi";
    let script: Script<'_> = &[(4, &[5, 2]), (3 + 3 + 11, &[1, 0]), (19, reply)];
    for size in [1, 100] {
        let (connected, heard) = meet(&proxy, HOST, script, size, usize::MAX).await;
        assert_eq!(heard[..22], *b"\x05\x02\0\x02\x01\x03ali\x0bopen sesame\x05");
        assert_eq!(rest(&mut connected.unwrap()).await, "hi");
    }
    // A proxy that wants nobody's name is not told one.
    let (connected, heard) = meet(&proxy, HOST, &[(4, &[5, 0]), (19, reply)], 100, usize::MAX).await;
    assert!(connected.is_ok() && !heard.windows(3).any(|bytes| bytes == b"ali"));
}

async fn refused(proxy: &Proxy, script: Script<'_>) -> ProxyError {
    match meet(proxy, HOST, script, 100, usize::MAX).await.0.expect_err("connected") {
        AttemptError::Proxy(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_socks_proxy_refuses_is_told() {
    let open = Proxy::socks5("proxy.example", 1080);
    let user = open.clone().credentials("ali", SECRET);
    let protocol = |error| matches!(error, ProxyError::Protocol(_));
    assert_eq!(refused(&open, &[(3, &[5, 0xff])]).await, ProxyError::Authentication);
    assert!(protocol(refused(&open, &[(3, &[5, 2])]).await), "a method that was not offered");
    assert!(protocol(refused(&open, &[(3, &[4, 0])]).await));
    assert!(protocol(refused(&open, &[(3, b"HTTP/1.1 400 Bad Request\r\n\r\n")]).await));
    assert_eq!(refused(&user, &[(4, &[5, 2]), (17, &[1, 1])]).await, ProxyError::Authentication);
    assert!(protocol(refused(&user, &[(4, &[5, 2]), (17, &[5, 0])]).await));
    for code in [1, 5, 8, 200] {
        let reply = [5, code, 0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(refused(&open, &[(3, &[5, 0]), (19, &reply)]).await, ProxyError::Socks { code });
    }
    assert!(protocol(refused(&open, &[(3, &[5, 0]), (19, &[5, 0, 0, 9])]).await));
    assert_eq!(ProxyError::Socks { code: 5 }.to_string(), "the proxy has not reached the target: connection refused");
}

const CONNECT: &str = "CONNECT host.example:5671 HTTP/1.1\r\nHost: host.example:5671\r\n\r\n";

#[tokio::test]
async fn http_reads_to_the_blank_line_and_no_further() {
    let proxy = Proxy::http("proxy.example", 3128);
    let answer = b"HTTP/1.1 200 Connection established\r\nVia: proxy\r\n\r\nhello";
    let script: Script<'_> = &[(CONNECT.len(), answer), (0, b", client")];
    for size in [1, 2, 3, 7, 1000] {
        let (connected, heard) = meet(&proxy, HOST, script, size, usize::MAX).await;
        assert_eq!(heard, CONNECT.as_bytes());
        assert_eq!(rest(&mut connected.unwrap()).await, "hello, client");
    }
    for cut in 1..answer.len() - 5 {
        let (connected, _) = meet(&proxy, HOST, script, 1000, cut).await;
        let error = connected.expect_err("connected");
        assert!(matches!(error, AttemptError::Proxy(ProxyError::Protocol(_))), "{cut}: {error:?}");
    }
    // A head that is longer than one look.
    let long = format!("HTTP/1.0 200 OK\r\nX: {}\r\n\r\nhello", "a".repeat(10_000));
    let (connected, _) = meet(&proxy, HOST, &[(CONNECT.len(), long.as_bytes())], 999, usize::MAX).await;
    assert_eq!(rest(&mut connected.unwrap()).await, "hello");
}

#[tokio::test]
async fn what_an_http_proxy_refuses_is_told() {
    let proxy = Proxy::http("proxy.example", 3128);
    let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'a'; 20_000]].concat();
    let length = CONNECT.len();
    for (answer, error) in [
        (&b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..], ProxyError::Authentication),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\nsorry", ProxyError::Http { status: 503 }),
        (b"HTTP/1.1 101 Switching\r\n\r\n", ProxyError::Http { status: 101 }),
        (&endless, ProxyError::HeadTooLong),
        (b"\x05\0\r\n\r\n", ProxyError::Protocol("it does not speak HTTP")),
    ] {
        assert_eq!(refused(&proxy, &[(length, answer)]).await, error);
    }
}

#[tokio::test]
async fn http_logs_in_with_what_it_was_given() {
    let proxy = Proxy::http("proxy.example", 3128).credentials("Aladdin", SECRET);
    let target = Target { host: "::1", port: 80 };
    // RFC 7617 2 has the example.
    let request = "CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\
        Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
    let script: Script<'_> = &[(request.len(), b"HTTP/1.1 200 OK\r\n\r\nhi")];
    let (connected, heard) = meet(&proxy, target, script, 1000, usize::MAX).await;
    assert_eq!(String::from_utf8(heard).unwrap(), request);
    assert_eq!(rest(&mut connected.unwrap()).await, "hi");
}

#[tokio::test]
async fn what_cannot_be_sent_is_not() {
    let long = "a".repeat(256);
    let (socks, http) = (Proxy::socks5("proxy.example", 1080), Proxy::http("proxy.example", 3128));
    let unsendable = |what| Err(AttemptError::Proxy(ProxyError::Unsendable(what)));
    let nothing: Script<'_> = &[(1, b"")];
    for (proxy, host, what) in [
        (socks.clone(), &long[..], "host name"),
        (socks.clone().credentials(&*long, "x"), "a", "user name"),
        (socks.clone().credentials("a", &*long), "a", "password"),
        (socks.credentials("a", ""), "a", "password"),
        (http.clone(), "a\r\nX: b", "host name"),
        (http.clone(), &long, "host name"),
        (http.credentials("a:b", "c"), "a", "user name"),
    ] {
        let (connected, heard) = meet(&proxy, Target { host, port: 1 }, nothing, 1, 1).await;
        assert_eq!((connected.map(drop), heard.len()), (unsendable(what), 0));
    }
}

#[test]
fn a_password_is_not_shown() {
    let proxy = Proxy::http("::1", 3128).credentials("ali", SECRET);
    assert_eq!(proxy.to_string(), "http://ali:..@[::1]:3128");
    assert_eq!(format!("{:?}", Some(&proxy)), "Some(Proxy(http://ali:..@[::1]:3128))");
}
