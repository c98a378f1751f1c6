//! How much goes through, and in what pieces.

use std::time::Duration;

use postroad_tests::ours::run;
use postroad_tests::peers::{Kamailio, Oversize, Settings, Transport};

use super::{CLIENT, PEER, Wire, authorized, known_peer, send};

/// A SEND to the peer of so many octets, from `MSRP` to the end of the end-line.
fn frame_of(size: usize, path: &str) -> String {
    let to = format!("{path} {PEER}");
    let empty = send("size", &to, CLIENT, "").len();
    // The size of the body stands twice in the byte range, where that of the empty one has a digit each time.
    let body = (1..=size)
        .rev()
        .map(|body| (body, empty + body + 2 * (body.to_string().len() - 1)))
        .find(|(_, whole)| *whole <= size);
    let (body, whole) = body.expect("a frame is larger than that");
    assert_eq!(whole, size, "no body makes a frame of that size");
    send("size", &to, CLIENT, &"x".repeat(body))
}

async fn pair(kamailio: &Kamailio) -> (Wire, Wire, String) {
    let (mut client, path) = authorized(kamailio, Transport::Tcp).await;
    let peer = known_peer(kamailio, &mut client, &path).await;
    (client, peer, path)
}

async fn expect_through(client: &mut Wire, peer: &mut Wire, frame: &str) {
    client.write(frame).await;
    let answer = client.answer().await;
    assert_eq!(answer.code(), 200, "{}", frame.len());
    let (_, body) = frame.split_once("\r\n\r\n").unwrap();
    let came = peer.request().await;
    assert!(came.text.split_once("\r\n\r\n").unwrap().1 == body, "{}: {}", frame.len(), came.text.len());
}

/// RFC 4976 has a relay send on what it has of a chunk; Kamailio waits for the whole frame, and has a limit for it.
#[test]
fn frames_up_to_a_limit_go_through_and_larger_ones_stall() {
    let kamailio = kamailio!();
    run(async {
        let (mut client, mut peer, path) = pair(kamailio).await;
        for size in [1_000, 10_240, Kamailio::LARGEST_FRAME] {
            expect_through(&mut client, &mut peer, &frame_of(size, &path)).await;
        }
        for size in [Kamailio::LARGEST_FRAME + 1, 11_500, 14_400, 20_000, 65_000] {
            client.write(&frame_of(size, &path)).await;
            client.expect_quiet().await;
            peer.expect_quiet().await;
            // The connection goes on.
            expect_through(&mut client, &mut peer, &frame_of(1_000, &path)).await;
        }
    });
}

/// A script that does not look whether it sees the frame answers whatever comes last in it, as that of the documentation does.
#[test]
fn a_script_may_answer_a_larger_frame_with_501() {
    let kamailio = kamailio!(Settings { oversize: Oversize::MethodUnknown, ..Settings::default() });
    run(async {
        let (mut client, mut peer, path) = pair(&kamailio).await;
        client.write(&frame_of(Kamailio::LARGEST_FRAME + 1, &path)).await;
        assert_eq!(client.answer().await.start, "501 Method unknown");
        peer.expect_quiet().await;
        expect_through(&mut client, &mut peer, &frame_of(Kamailio::LARGEST_FRAME, &path)).await;
    });
}

#[test]
fn a_frame_that_fills_the_read_buffer_ends_the_connection() {
    let kamailio = kamailio!();
    run(async {
        let (mut client, mut peer, path) = pair(kamailio).await;
        client.write(&frame_of(Kamailio::READ_BUFFER + 1_000, &path)).await;
        client.expect_end().await;
        peer.expect_quiet().await;
    });
}

#[test]
fn a_frame_is_relayed_when_its_last_octet_is_there() {
    let kamailio = kamailio!();
    run(async {
        let (mut client, mut peer, path) = pair(kamailio).await;
        // What is no end-line: without a flag, with more behind it, within a line.
        let body = "a body\r\n-------cuts\r\n-------cuts$more\r\nx-------cuts$\r\n-------cut$";
        let frame = send("cuts", &format!("{path} {PEER}"), CLIENT, body);
        let (first, last) = frame.split_at(frame.len() - 1);
        client.write(first).await;
        client.expect_quiet().await;
        peer.expect_quiet().await;
        client.write(last).await;
        assert_eq!(client.answer().await.code(), 200);
        assert_eq!(peer.request().await.body, body);

        for at in 1..frame.len() {
            let (first, last) = frame.split_at(at);
            client.write(first).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            client.write(last).await;
            assert_eq!(client.answer().await.code(), 200, "{at}");
            assert_eq!(peer.request().await.body, body, "{at}");
        }
    });
}

/// By RFC 4975 9 there are `$`, `+` and `#`, and what has another octet there is a line of the body.
#[test]
fn any_octet_in_the_place_of_the_flag_ends_a_frame() {
    let kamailio = kamailio!();
    run(async {
        let (mut client, mut peer, path) = pair(kamailio).await;
        let frame = send("flag", &format!("{path} {PEER}"), CLIENT, "a body\r\n-------flagZ\r\nand more");
        let (first, rest) = frame.split_at(frame.find("and more").unwrap());
        client.write(first).await;
        assert_eq!(client.answer().await.code(), 200);
        let came = peer.request().await;
        assert_eq!((came.body.as_str(), came.flag), ("a body", 'Z'));
        // The rest is taken for the beginning of something else, and that has no end before the next empty line.
        client.write(rest).await;
        client.expect_quiet().await;
        client.write(&send("next", &format!("{path} {PEER}"), CLIENT, "x")).await;
        client.expect_end().await;
        peer.expect_quiet().await;
    });
}

#[test]
fn frames_that_come_together_go_on_in_their_order() {
    let kamailio = kamailio!();
    run(async {
        let (mut client, mut peer, path) = pair(kamailio).await;
        let to = format!("{path} {PEER}");
        let frames: String = (0..100).map(|n| send(&format!("n-{n}"), &to, CLIENT, "x")).collect();
        client.write(&frames).await;
        for n in 0..100 {
            assert_eq!(client.answer().await.tid, format!("n-{n}"));
            assert_eq!(peer.request().await.tid, format!("n-{n}"));
        }
    });
}
