//! WebSocket with websockets: client and server, and the subprotocol that both agree on.

use postroad_taps::{Connection, LocalEndpoint, Protocol, ProtocolStack};
use postroad_tests::certificates::Certificates;
use postroad_tests::ours::{SOON, run, soon};

use super::{accept, at, clear, echo, found, ready, there_and_back, trusting};

/// Sizes around those where the length of a frame takes another form (RFC 6455 5.2).
const SIZES: [usize; 8] = [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20];

async fn over_websocket(preconnection: postroad_taps::Preconnection, port: u16) -> Connection {
    let remote = at(port).protocol(Protocol::WebSocket).websocket("/post?id=7").subprotocol("post.1");
    preconnection.remote(remote).initiate().timeout(SOON).await.unwrap()
}

#[test]
fn messages_go_to_websockets_and_back() {
    let websockets = found!(websockets);
    run(async {
        let mut peer = websockets.start(&["listen", "--subprotocol", "post.1"]).unwrap();
        let connection = over_websocket(clear(), ready(&mut peer)).await;
        assert_eq!(connection.protocol_stack(), Some(ProtocolStack::WebSocket));
        assert!(connection.preserves_boundaries());
        there_and_back(&connection, &SIZES).await;
        soon(connection.close()).await.unwrap();
        let open = peer.event("open", SOON).unwrap();
        assert_eq!((open["path"].as_str(), open["subprotocol"].as_str()), (Some("/post?id=7"), Some("post.1")));
        for size in SIZES {
            let message = peer.event("message", SOON).unwrap();
            assert_eq!((message["size"].as_u64(), message["text"].as_bool()), (Some(size as u64), Some(false)));
        }
        // An orderly end (RFC 6455 7.4.1).
        assert_eq!(peer.event("closed", SOON).unwrap()["code"], 1000);
    });
}

#[test]
fn messages_go_to_websockets_and_back_over_tls() {
    let websockets = found!(websockets);
    run(async {
        let certificates = Certificates::make();
        let [pem, key] = ["server.pem", "server.key"].map(|file| certificates.argument(file));
        let mut peer = websockets.start(&["listen", "--subprotocol", "post.1", "--tls", &pem, &key]).unwrap();
        let connection = over_websocket(clear().security(trusting(&certificates)), ready(&mut peer)).await;
        assert_eq!(connection.protocol_stack(), Some(ProtocolStack::SecureWebSocket));
        there_and_back(&connection, &SIZES).await;
        soon(connection.close()).await.unwrap();
        assert_eq!(peer.event("closed", SOON).unwrap()["code"], 1000);
    });
}

/// In fragments, and with pings between messages: both are no affair of the application.
#[test]
fn messages_come_from_websockets_and_go_back() {
    let websockets = found!(websockets);
    run(async {
        let local = LocalEndpoint::address([127, 0, 0, 1]).protocol(Protocol::WebSocket);
        let listener = clear().local(local.websocket("/post").subprotocol("post.1")).listen().await.unwrap();
        let port = listener.local_endpoint().ip().unwrap().port().to_string();
        let sizes = SIZES.map(|size| size.to_string());
        let arguments = ["connect", &port, "/post"].into_iter().chain(sizes.iter().map(String::as_str));
        let peer = websockets.start(&arguments.chain(["--subprotocol", "post.1"]).collect::<Vec<_>>()).unwrap();
        let connection = accept(&listener).await;
        assert_eq!(echo(&connection).await, SIZES.len());
        soon(connection.close()).await.unwrap();
        let finished = peer.finish(SOON).unwrap();
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert_eq!(finished.named("open").next().unwrap()["subprotocol"], "post.1");
        assert!(finished.named("message").all(|message| message["same"] == true));
        assert_eq!(finished.named("message").count(), SIZES.len());
        assert_eq!(finished.named("closed").next().unwrap()["code"], 1000);
    });
}
