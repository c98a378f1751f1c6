//! QUIC with aioquic: streams and datagrams.

use postroad_taps::{
    Connection, LengthPrefix, Listener, LocalEndpoint, Message, Preconnection, Protocol, ProtocolStack, Receive,
    SelectionProperty, TlsConfig, TransportProperties,
};
use postroad_tests::certificates::Certificates;
use postroad_tests::ours::{SOON, run, soon};
use postroad_tests::process::Process;

use super::{at, clear, found, pattern, ready, there_and_back};

/// Sizes of messages on a stream: nothing, a packet, a window and more.
const STREAMS: [usize; 4] = [1, 1200, 65_536, 3 << 20];

/// What takes datagrams, of whatever congestion control.
fn datagrams() -> TransportProperties {
    TransportProperties::unreliable_datagram().ignore(SelectionProperty::CongestionControl)
}

fn client(certificates: &Certificates) -> Preconnection {
    let tls = TlsConfig::builder().roots_file(certificates.path("ca.pem")).alpn(["post/1"]).build().unwrap();
    clear().security(tls)
}

fn listening(aioquic: &postroad_tests::peers::Peer, certificates: &Certificates) -> (Process, u16) {
    let [certificate, key] = ["server.pem", "server.key"].map(|file| certificates.argument(file));
    let mut peer = aioquic.start(&["listen", &certificate, &key]).unwrap();
    let port = ready(&mut peer);
    (peer, port)
}

async fn over_quic(preconnection: Preconnection, port: u16, stack: ProtocolStack) -> Connection {
    let initiate = preconnection.remote(at(port).protocol(Protocol::Quic)).initiate().timeout(SOON);
    let connection = initiate.await.unwrap();
    assert_eq!(connection.protocol_stack(), Some(stack));
    connection
}

#[test]
fn streams_go_to_aioquic_and_back() {
    let aioquic = found!(aioquic);
    run(async {
        let certificates = Certificates::make();
        let (mut peer, port) = listening(&aioquic, &certificates);
        for size in STREAMS {
            let connection = over_quic(client(&certificates), port, ProtocolStack::QuicStream).await;
            assert_eq!(connection.tls_info().unwrap().alpn(), Some(&b"post/1"[..]));
            let whole = Receive::complete().max(4 << 20);
            let body = pattern(size);
            let (sent, back) = soon(async {
                tokio::join!(connection.send(Message::new(body.clone()).last()), connection.receive_with(whole))
            })
            .await;
            sent.unwrap();
            let back = back.unwrap();
            assert!(back.end_of_message && back.data == body, "{size}: {}", back.data.len());
            assert_eq!(peer.event("handshake", SOON).unwrap()["alpn"], "post/1");
            peer.event("stream", SOON).unwrap();
        }
    });
}

#[test]
fn framed_messages_go_to_aioquic_and_back() {
    let aioquic = found!(aioquic);
    run(async {
        let certificates = Certificates::make();
        let (_peer, port) = listening(&aioquic, &certificates);
        let connection =
            over_quic(client(&certificates).framer(LengthPrefix::new), port, ProtocolStack::QuicStream).await;
        there_and_back(&connection, &super::SIZES).await;
        soon(connection.close()).await.unwrap();
    });
}

/// RFC 9622 7.4: a clone is another stream of the same association, which needs no second handshake.
#[test]
fn a_clone_is_another_stream_of_the_same_association_with_aioquic() {
    let aioquic = found!(aioquic);
    run(async {
        let certificates = Certificates::make();
        let (mut peer, port) = listening(&aioquic, &certificates);
        let first = over_quic(client(&certificates), port, ProtocolStack::QuicStream).await;
        let second = soon(first.clone_connection()).await.unwrap();
        assert_eq!(first.local_endpoint(), second.local_endpoint());
        for connection in [&first, &second] {
            soon(connection.send(Message::new("x").last())).await.unwrap();
            assert_eq!(soon(connection.receive()).await.unwrap().data, "x");
        }
        let ids = [peer.event("stream", SOON).unwrap(), peer.event("stream", SOON).unwrap()];
        assert_ne!(ids[0]["id"], ids[1]["id"]);
        drop((first, second));
        peer.event("handshake", SOON).unwrap();
        let more = peer.event("handshake", std::time::Duration::from_millis(200));
        assert!(more.is_err(), "one handshake is enough: {more:?}");
    });
}

#[test]
fn datagrams_go_to_aioquic_and_back() {
    let aioquic = found!(aioquic);
    run(async {
        let certificates = Certificates::make();
        let (mut peer, port) = listening(&aioquic, &certificates);
        let connection =
            over_quic(client(&certificates).properties(datagrams()), port, ProtocolStack::QuicDatagram).await;
        for size in [1, 100, 1000] {
            soon(connection.send(pattern(size))).await.unwrap();
            assert_eq!(soon(connection.receive()).await.unwrap().data, pattern(size));
            assert_eq!(peer.event("datagram", SOON).unwrap()["size"], size);
        }
        soon(connection.close()).await.unwrap();
        peer.event("closed", SOON).unwrap();
    });
}

#[test]
fn aioquic_is_not_trusted_without_its_authority() {
    let aioquic = found!(aioquic);
    run(async {
        let certificates = Certificates::make();
        let (_peer, port) = listening(&aioquic, &certificates);
        let stranger = client(&Certificates::make()).remote(at(port).protocol(Protocol::Quic));
        let error = stranger.initiate().timeout(SOON).await.unwrap_err();
        assert!(error.tls().is_some(), "{error}");
    });
}

async fn serving_quic(certificates: &Certificates, properties: TransportProperties) -> (Listener, String) {
    let tls = TlsConfig::builder()
        .server_certificate_files(certificates.path("server.pem"), certificates.path("server.key"))
        .alpn(["post/1"])
        .build()
        .unwrap();
    let local = LocalEndpoint::address([127, 0, 0, 1]).protocol(Protocol::Quic);
    let listener = clear().security(tls).properties(properties).local(local).listen().await.unwrap();
    let port = listener.local_endpoint().ip().unwrap().port().to_string();
    (listener, port)
}

/// RFC 9622 7.2 and 7.4: each stream of the peer is a connection of its own.
#[test]
fn streams_come_from_aioquic_and_go_back() {
    let aioquic = found!(aioquic);
    run(async {
        let certificates = Certificates::make();
        let (listener, port) = serving_quic(&certificates, TransportProperties::new()).await;
        let sizes = STREAMS.map(|size| size.to_string());
        let authority = certificates.argument("ca.pem");
        let arguments = ["connect", &port, &authority].into_iter().chain(sizes.iter().map(String::as_str));
        let peer = aioquic.start(&arguments.collect::<Vec<_>>()).unwrap();
        let mut kept = Vec::new();
        for size in STREAMS {
            let connection = super::accept(&listener).await;
            assert_eq!(connection.protocol_stack(), Some(ProtocolStack::QuicStream));
            let body = soon(connection.receive_with(Receive::complete().max(4 << 20))).await.unwrap();
            assert!(body.end_of_message && body.data == pattern(size), "{size}: {}", body.data.len());
            soon(connection.send(Message::new(body.data).last())).await.unwrap();
            // The group goes with the last of its connections.
            kept.push(connection);
        }
        let finished = peer.finish(SOON).unwrap();
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert_eq!(finished.named("handshake").next().unwrap()["alpn"], "post/1");
        assert_eq!(finished.named("stream").filter(|stream| stream["same"] == true).count(), STREAMS.len());
    });
}

#[test]
fn datagrams_come_from_aioquic_and_go_back() {
    let aioquic = found!(aioquic);
    run(async {
        let certificates = Certificates::make();
        let (listener, port) = serving_quic(&certificates, datagrams()).await;
        let authority = certificates.argument("ca.pem");
        let mut peer = aioquic.start(&["connect", &port, &authority, "1", "100", "1000", "--datagrams"]).unwrap();
        assert_eq!(peer.event("handshake", SOON).unwrap()["alpn"], "post/1");
        let connection = super::accept(&listener).await;
        assert_eq!(connection.protocol_stack(), Some(ProtocolStack::QuicDatagram));
        for size in [1, 100, 1000] {
            let message = soon(connection.receive()).await.unwrap();
            assert_eq!(message.data, pattern(size));
            soon(connection.send(message.data)).await.unwrap();
        }
        let finished = peer.finish(SOON).unwrap();
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert_eq!(finished.named("datagram").filter(|datagram| datagram["same"] == true).count(), 3);
    });
}
