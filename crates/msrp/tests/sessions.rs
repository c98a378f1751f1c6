//! Sessions over real sockets.

mod common;

use std::time::Duration;

use common::{sessions, soon, text, transports};
use postroad_msrp::connect::{ConnectError, DirectConnector, Options, Server};
use postroad_msrp::engine::{Outgoing, Request, SessionEnd};
use postroad_msrp::session::{DeliveryError, Incoming, OutgoingFile, ReceiveOptions, Session};
use postroad_msrp::{Code, FailureReport, HeaderName, Method, Path, Uri};
use postroad_taps::TlsConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn messages_go_both_ways() {
    let (mut alice, mut bob) = sessions().await;
    soon(alice.deliver(Outgoing::new("text/plain", "hello"))).await.unwrap();
    assert_eq!(text(&mut bob).await, "hello");
    for failure in [FailureReport::Yes, FailureReport::Partial, FailureReport::No] {
        let message = Outgoing::new("text/plain", failure.as_str()).with_failure_report(failure);
        soon(bob.deliver(message)).await.unwrap();
        assert_eq!(text(&mut alice).await, failure.as_str());
    }
    assert_eq!(alice.transport().full_local_path(), bob.transport().full_remote_path());
    soon(alice.shutdown(Duration::from_secs(10))).await.unwrap();
    assert_eq!(soon(bob.receive()).await.unwrap_err(), SessionEnd::ConnectionClosed);
    let error = soon(bob.deliver(Outgoing::new("text/plain", "too late"))).await.unwrap_err();
    assert_eq!(error, DeliveryError::SessionOver);
}

#[tokio::test]
async fn r37_many_messages_are_under_way_at_once() {
    let (alice, mut bob) = sessions().await;
    let sending = tokio::spawn(async move {
        let mut deliveries = Vec::new();
        for number in 0..20_000_u32 {
            deliveries.push(alice.send(Outgoing::new("text/plain", number.to_string())).await.unwrap());
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
        alice
    });
    for number in 0..20_000_u32 {
        assert_eq!(text(&mut bob).await, number.to_string());
    }
    soon(sending).await.unwrap();
}

#[tokio::test]
async fn what_is_not_taken_is_refused() {
    let (connected, accepted) = transports(Options::default()).await;
    let alice = Session::new(connected);
    let mut options = ReceiveOptions::default();
    options.accept_types = "text/*".parse().unwrap();
    let mut bob = Session::with(accepted, options);
    let refused = soon(alice.deliver(Outgoing::new("image/png", "..."))).await.unwrap_err();
    assert!(matches!(refused, DeliveryError::Refused { code: Code::UNSUPPORTED_MEDIA_TYPE, .. }));
    soon(alice.deliver(Outgoing::new("text/html", "..."))).await.unwrap();
    assert_eq!(text(&mut bob).await, "...");
}

#[tokio::test]
async fn r35_arrival_is_told() {
    let (mut alice, mut bob) = sessions().await;
    let id = "12339sdqwer".parse().unwrap();
    let message = Outgoing::new("text/plain", "hello").with_id(id).with_success_report(true);
    soon(alice.deliver(message)).await.unwrap();
    assert_eq!(text(&mut bob).await, "hello");
    let Incoming::Report(report) = soon(alice.receive()).await.unwrap() else { panic!() };
    assert_eq!((report.id.as_str(), report.covered, report.complete), ("12339sdqwer", 5, true));
}

#[tokio::test]
async fn r46_other_requests_are_answered_by_their_owner() {
    let (alice, mut bob) = sessions().await;
    let request = Request::new(Method::Nickname).unwrap().with_header("Use-Nickname", "\"Al\"").unwrap();
    let answering = tokio::spawn(async move {
        let Incoming::Request { head, .. } = soon(bob.receive()).await.unwrap() else { panic!() };
        assert_eq!(head.text(HeaderName::UseNickname), Some("\"Al\""));
        bob.sender().respond(&head, Code::NICKNAME_RESERVED).unwrap();
        bob
    });
    let response = soon(alice.sender().request(&request)).await.unwrap().unwrap();
    assert_eq!(response.code(), Some(425));
    soon(answering).await.unwrap();
}

#[tokio::test]
async fn r26_one_port_has_many_sessions() {
    let server = Server::default();
    let first = server.prepare(None).await.unwrap();
    let port = first.path().first().port().unwrap();
    let mut tasks = Vec::new();
    for number in 0..50 {
        let uri: Uri = format!("msrp://127.0.0.1:{port}/session{number};tcp").parse().unwrap();
        let expected = server.prepare(Some(uri)).await.unwrap();
        let connector = DirectConnector::default();
        let (ours, theirs) = (connector.prepare(None).unwrap(), expected.path().clone());
        let accepting = tokio::spawn(expected.complete(ours.clone()));
        tasks.push(tokio::spawn(async move {
            let alice = Session::new(soon(connector.complete(&ours, theirs)).await.unwrap());
            let mut bob = Session::new(soon(accepting).await.unwrap().unwrap());
            soon(alice.deliver(Outgoing::new("text/plain", number.to_string()))).await.unwrap();
            assert_eq!(text(&mut bob).await, number.to_string());
        }));
    }
    for task in tasks {
        soon(task).await.unwrap();
    }
    let again: Uri = first.path().last().clone();
    assert!(matches!(server.prepare(Some(again)).await, Err(ConnectError::Expected(_))));
}

#[tokio::test]
async fn r24_only_the_expected_peer_gets_in() {
    let server = Server::default();
    let expected = server.prepare(None).await.unwrap();
    let (there, here) = (expected.path().clone(), DirectConnector::default());
    let (bob, eve) = (here.prepare(None).unwrap(), here.prepare(None).unwrap());
    let accepting = tokio::spawn(expected.complete(bob.clone()));
    // Somebody else, and somebody for a session that is not here.
    let error = soon(here.complete(&eve, there.clone())).await.unwrap_err();
    assert_eq!(error, ConnectError::Session(SessionEnd::Unknown(Code::NO_SUCH_SESSION)));
    let port = there.first().port().unwrap();
    let elsewhere: Path = format!("msrp://127.0.0.1:{port}/other;tcp").parse().unwrap();
    let error = soon(here.complete(&bob, elsewhere)).await.unwrap_err();
    assert_eq!(error, ConnectError::Session(SessionEnd::Unknown(Code::NO_SUCH_SESSION)));
    let bobs = soon(here.complete(&bob, there.clone())).await.unwrap();
    let alices = soon(accepting).await.unwrap().unwrap();
    // It is bound to that connection now.
    let error = soon(here.complete(&bob, there)).await.unwrap_err();
    assert_eq!(error, ConnectError::Session(SessionEnd::Unknown(Code::BOUND_ELSEWHERE)));
    drop((bobs, alices));
}

#[tokio::test]
async fn a_peer_that_comes_before_its_path_is_known_waits() {
    let server = Server::default();
    let expected = server.prepare(None).await.unwrap();
    let (there, connector) = (expected.path().clone(), DirectConnector::default());
    let here = connector.prepare(None).unwrap();
    let connecting = {
        let here = here.clone();
        tokio::spawn(async move { connector.complete(&here, there).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!connecting.is_finished());
    let accepted = soon(expected.complete(here)).await.unwrap();
    let connected = soon(connecting).await.unwrap().unwrap();
    assert_eq!(accepted.full_remote_path(), connected.full_local_path());
}

#[tokio::test]
async fn nobody_is_waited_for_for_ever() {
    let mut options = Options::default();
    options.timeout = Duration::from_millis(50);
    let server = Server::new(options);
    let expected = server.prepare(None).await.unwrap();
    let peer: Path = "msrp://127.0.0.1:9/peer;tcp".parse().unwrap();
    let error = soon(expected.complete(peer)).await.unwrap_err();
    assert_eq!(error, ConnectError::Timeout(Duration::from_millis(50)));
}

#[tokio::test]
async fn r20_what_one_does_not_connect_to() {
    let connector = DirectConnector::default();
    let here = connector.prepare(None).unwrap();
    for there in ["msrp://127.0.0.1:9/s;sctp", "msrp://x.invalid:2855/s;tcp"] {
        let error = soon(connector.complete(&here, there.parse().unwrap())).await.unwrap_err();
        assert!(matches!(error, ConnectError::Unreachable(_)), "{there}: {error}");
    }
    let no_session: Uri = "msrp://127.0.0.1:9;tcp".parse().unwrap();
    assert!(matches!(connector.prepare(Some(no_session)), Err(ConnectError::Local(_))));
}

/// Options for TLS with a certificate of its own for the loopback address.
fn secure() -> Options {
    let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let certificate = key.cert.pem();
    let tls = TlsConfig::builder()
        .roots_pem(&certificate)
        .server_certificate_pem(&certificate, key.signing_key.serialize_pem())
        .build()
        .unwrap();
    let mut options = Options::default();
    options.tls = tls;
    options
}

/// A session whose accepting end is at this URI.
async fn at(uri: &str, options: Options) -> Result<(Session, Session), ConnectError> {
    let (server, connector) = (Server::new(options.clone()), DirectConnector::new(options));
    let expected = server.prepare(Some(uri.parse().unwrap())).await?;
    let (ours, theirs) = (connector.prepare(None).unwrap(), expected.path().clone());
    let accepting = tokio::spawn(expected.complete(ours.clone()));
    let connected = soon(connector.complete(&ours, theirs)).await?;
    Ok((Session::new(connected), Session::new(soon(accepting).await.unwrap()?)))
}

#[tokio::test]
async fn r55_r56_over_tls_and_websocket() {
    for scheme in ["msrp", "msrps"] {
        for transport in ["tcp", "ws"] {
            let uri = format!("{scheme}://localhost/session;{transport}");
            let (mut alice, mut bob) = at(&uri, secure()).await.unwrap_or_else(|error| panic!("{uri}: {error}"));
            assert_eq!(alice.transport().tls_info().is_some(), scheme == "msrps");
            for length in [0, 1, 3000, 300_000] {
                let content: String = "m\u{fc}ll ".chars().cycle().take(length).collect();
                soon(alice.deliver(Outgoing::new("text/plain", content.clone()))).await.unwrap();
                assert!(text(&mut bob).await == content, "{uri} {length}");
                soon(bob.deliver(Outgoing::new("text/plain", content.clone()))).await.unwrap();
                assert!(text(&mut alice).await == content, "{uri} {length}");
            }
        }
    }
}

#[tokio::test]
async fn r56_a_certificate_that_nobody_vouches_for() {
    let server = Server::new(secure());
    let expected = server.prepare(Some("msrps://localhost/session;tcp".parse().unwrap())).await.unwrap();
    // Other roots, none, and another name.
    for options in [secure(), Options::default()] {
        let connector = DirectConnector::new(options);
        let ours = connector.prepare(None).unwrap();
        let error = soon(connector.complete(&ours, expected.path().clone())).await.unwrap_err();
        assert!(matches!(error, ConnectError::Establishment(_)), "{error}");
    }
}

#[tokio::test]
async fn r49_large_files_over_every_transport() {
    let content: Vec<u8> = (0..20_000_000_u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for uri in ["msrps://localhost/session;tcp", "msrp://localhost/session;ws", "msrps://localhost/session;ws"] {
        let (alice, mut bob) = at(uri, secure()).await.unwrap();
        let file = OutgoingFile::new(std::io::Cursor::new(content.clone()), "a/b").unwrap();
        let transfer = alice.send_file(file.with_size(content.len() as u64)).unwrap();
        let Incoming::File(mut file) = soon(bob.receive()).await.unwrap() else { panic!() };
        let mut came = 0;
        while let Some((offset, part)) = soon(file.next_part()).await.unwrap() {
            assert!(content[offset as usize..offset as usize + part.len()] == part, "{uri} {offset}");
            came += part.len();
        }
        soon(transfer.outcome()).await.unwrap();
        assert_eq!(came, content.len(), "{uri}");
    }
}

#[tokio::test]
async fn r61_connections_that_say_nothing_are_bounded_by_address() {
    let server = Server::default();
    let expected = server.prepare(None).await.unwrap();
    let (there, connector) = (expected.path().clone(), DirectConnector::default());
    let at = (std::net::Ipv4Addr::LOCALHOST, there.first().port().unwrap());
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(soon(TcpStream::connect(at)).await.unwrap());
    }
    // One more is closed, and the others are not.
    let mut one_more = soon(TcpStream::connect(at)).await.unwrap();
    assert!(matches!(soon(one_more.read(&mut [0; 1])).await, Ok(0) | Err(_)));
    assert_eq!(silent[0].try_read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    // A place that is left is there for the peer, who then takes none.
    drop(silent.pop());
    let here = connector.prepare(None).unwrap();
    let accepting = tokio::spawn(expected.complete(here.clone()));
    let connected = loop {
        match soon(connector.complete(&here, there.clone())).await {
            Ok(connected) => break connected,
            // It may not have been noticed yet that somebody has gone.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let _accepted = soon(accepting).await.unwrap().unwrap();
    assert!(connected.error().is_none());
    let another = soon(TcpStream::connect(at)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(another.try_read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_peer_that_does_not_read_keeps_nothing_once_a_session_is_over() {
    let server = Server::default();
    let expected = server.prepare(None).await.unwrap();
    let there = expected.path().clone();
    let at = (std::net::Ipv4Addr::LOCALHOST, there.first().port().unwrap());
    let mut peer = soon(TcpStream::connect(at)).await.unwrap();
    let uri = "msrp://127.0.0.1:9/peer;tcp";
    let request =
        format!("MSRP t001 SEND\r\nTo-Path: {there}\r\nFrom-Path: {uri}\r\nMessage-ID: m\r\n-------t001$\r\n");
    soon(peer.write_all(request.as_bytes())).await.unwrap();
    let alice = Session::new(soon(expected.complete(uri.parse().unwrap())).await.unwrap());
    // More than the sockets hold.
    let file = OutgoingFile::new(tokio::io::repeat(b'x'), "a/b").unwrap();
    let _transfer = alice.send_file(file).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(alice);
    // The connection is closed in a while, though it has more to say than the peer reads: what the peer says meets nobody.
    let gone = async {
        while peer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the connection is closed");
}
