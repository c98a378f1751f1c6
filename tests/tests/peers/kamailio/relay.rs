//! What goes through to the other side, and what is answered.

use postroad_tests::ours::{run, soon};
use postroad_tests::peers::Transport;
use tokio::net::TcpListener;

use super::{CLIENT, PEER, TRANSPORTS, Wire, authorized, known_peer, report, send, send_with};

#[test]
fn a_message_goes_to_a_peer_that_listens_and_one_comes_back() {
    let kamailio = kamailio!();
    run(async {
        for transport in TRANSPORTS {
            let (mut client, path) = authorized(kamailio, transport).await;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let uri = format!("msrp://{}/b2;tcp", listener.local_addr().unwrap());
            client.write(&send("there", &format!("{path} {uri}"), CLIENT, "hello")).await;
            let answer = client.answer().await;
            assert_eq!((answer.tid.as_str(), answer.start.as_str()), ("there", "200 OK"));
            assert_eq!((answer.header("To-Path"), answer.header("From-Path")), (Some(CLIENT), Some(path.as_str())));
            let mut peer = Wire::accepted(soon(listener.accept()).await.unwrap().0);
            let came = peer.request().await;
            assert_eq!(came.text, send("there", &uri, &format!("{path} {CLIENT}"), "hello"), "{transport:?}");
            peer.write(&format!("MSRP there 200 OK\r\nTo-Path: {path}\r\nFrom-Path: {uri}\r\n-------there$\r\n")).await;

            peer.write(&send("back", &format!("{path} {CLIENT}"), &uri, "welcome")).await;
            assert_eq!(peer.answer().await.start, "200 OK");
            let came = client.request().await;
            assert_eq!(came.text, send("back", CLIENT, &format!("{path} {uri}"), "welcome"), "{transport:?}");
        }
    });
}

#[test]
fn a_peer_that_connects_is_answered_on_its_connection() {
    let kamailio = kamailio!();
    run(async {
        for transport in TRANSPORTS {
            let (mut client, path) = authorized(kamailio, transport).await;
            let mut peer = known_peer(kamailio, &mut client, &path).await;
            client.write(&send("more", &format!("{path} {PEER}"), CLIENT, "more")).await;
            assert_eq!(client.answer().await.code(), 200);
            assert_eq!(peer.request().await.body, "more", "{transport:?}");
        }
    });
}

#[test]
fn two_clients_reach_each_other_by_two_use_paths_over_every_transport() {
    let kamailio = kamailio!();
    run(async {
        for (mine, theirs) in TRANSPORTS.into_iter().flat_map(|a| TRANSPORTS.map(|b| (a, b))) {
            let (mut a, a_path) = authorized(kamailio, mine).await;
            let (mut b, b_path) = authorized(kamailio, theirs).await;
            for text in ["one", "two"] {
                a.write(&send("to-b", &format!("{a_path} {b_path} {PEER}"), CLIENT, text)).await;
                assert_eq!(a.answer().await.code(), 200);
                let came = b.request().await;
                let from = format!("{b_path} {a_path} {CLIENT}");
                assert_eq!(came.text, send("to-b", PEER, &from, text), "{mine:?} {theirs:?}");
                b.write(&send("to-a", &format!("{b_path} {a_path} {CLIENT}"), PEER, text)).await;
                assert_eq!(b.answer().await.code(), 200);
                let came = a.request().await;
                assert_eq!(came.text, send("to-a", CLIENT, &format!("{a_path} {b_path} {PEER}"), text));
            }
        }
    });
}

/// Also RFC 4976's examples have it in an answer.
#[test]
fn an_answer_carries_the_message_id() {
    let kamailio = kamailio!();
    run(async {
        let (mut client, path) = authorized(kamailio, Transport::Tcp).await;
        let _peer = known_peer(kamailio, &mut client, &path).await;
        client.write(&send("t123", &format!("{path} {PEER}"), CLIENT, "x")).await;
        let expected = format!(
            "MSRP t123 200 OK\r\nTo-Path: {CLIENT}\r\nFrom-Path: {path}\r\nMessage-ID: id-t123\r\n-------t123$\r\n"
        );
        assert_eq!(client.answer().await.text, expected);
    });
}

#[test]
fn a_report_goes_to_the_other_side_and_is_not_answered() {
    let kamailio = kamailio!();
    run(async {
        let (mut client, path) = authorized(kamailio, Transport::Tcp).await;
        let mut peer = known_peer(kamailio, &mut client, &path).await;
        client.write(&report("r-to-b", &format!("{path} {PEER}"), CLIENT)).await;
        assert_eq!(peer.request().await.text, report("r-to-b", PEER, &format!("{path} {CLIENT}")));
        peer.write(&report("r-to-a", &format!("{path} {CLIENT}"), PEER)).await;
        assert_eq!(client.request().await.text, report("r-to-a", CLIENT, &format!("{path} {PEER}")));
        client.expect_quiet().await;
        peer.expect_quiet().await;
    });
}

#[test]
fn a_send_is_answered_where_its_sender_waits_for_that() {
    let kamailio = kamailio!();
    run(async {
        let (mut client, path) = authorized(kamailio, Transport::Tcp).await;
        let mut peer = known_peer(kamailio, &mut client, &path).await;
        for (wants, answered) in [("yes", true), ("partial", false), ("no", false)] {
            let header = format!("Failure-Report: {wants}\r\n");
            client.write(&send_with("fr", &format!("{path} {PEER}"), CLIENT, wants, &header)).await;
            assert_eq!(peer.request().await.body, wants);
            if answered {
                assert_eq!(client.answer().await.code(), 200);
            } else {
                client.expect_quiet().await;
            }
        }
    });
}

/// RFC 4976 6.4 has a REPORT made of it.
#[test]
fn an_error_of_the_next_hop_is_not_told() {
    let kamailio = kamailio!();
    run(async {
        let (mut client, path) = authorized(kamailio, Transport::Tcp).await;
        let mut peer = known_peer(kamailio, &mut client, &path).await;
        client.write(&send("t413", &format!("{path} {PEER}"), CLIENT, "too much")).await;
        assert_eq!(client.answer().await.code(), 200);
        assert_eq!(peer.request().await.body, "too much");
        let refusal = format!(
            "MSRP t413 413 Enough\r\nTo-Path: {path}\r\nFrom-Path: {PEER}\r\nMessage-ID: id-t413\r\n-------t413$\r\n"
        );
        peer.write(&refusal).await;
        client.expect_quiet().await;
    });
}

#[test]
fn what_has_no_session_or_no_connection_is_481() {
    let kamailio = kamailio!();
    run(async {
        let (mut client, path) = authorized(kamailio, Transport::Tcp).await;
        let unknown = format!("{}x;tcp", path.strip_suffix(";tcp").unwrap());
        client.write(&send("none", &format!("{unknown} {PEER}"), CLIENT, "x")).await;
        assert_eq!(client.answer().await.start, "481 No such session");
        client.write(&report("none", &format!("{unknown} {PEER}"), CLIENT)).await;
        client.expect_quiet().await;

        let mut peer = known_peer(kamailio, &mut client, &path).await;
        drop(client);
        // The relay may hear of that end a moment later.
        let deadline = std::time::Instant::now() + postroad_tests::ours::SOON;
        loop {
            peer.write(&send("gone", &format!("{path} {CLIENT}"), PEER, "x")).await;
            let answer = peer.answer().await;
            if answer.start == "481 No such session" {
                break;
            }
            assert!(answer.code() == 200 && std::time::Instant::now() < deadline, "{answer:?}");
        }
    });
}

#[test]
fn a_method_that_is_unknown_is_501() {
    let kamailio = kamailio!();
    run(async {
        let (mut client, path) = authorized(kamailio, Transport::Tcp).await;
        client
            .write(&format!(
                "MSRP nick1 NICKNAME\r\nTo-Path: {path} {PEER}\r\nFrom-Path: {CLIENT}\r\nUse-Nickname: \"A\"\r\n-------nick1$\r\n"
            ))
            .await;
        assert_eq!(client.answer().await.start, "501 Method unknown");
    });
}

#[test]
fn flags_and_headers_that_nobody_knows_go_through_unchanged() {
    let kamailio = kamailio!();
    run(async {
        let (mut client, path) = authorized(kamailio, Transport::Tcp).await;
        let mut peer = known_peer(kamailio, &mut client, &path).await;
        for flag in ['+', '#', '$'] {
            let frame = |to: &str, from: &str| {
                let frame = send_with("flag", to, from, "part", "X-Nobody-Knows:  me \r\n");
                frame.replace("-------flag$", &format!("-------flag{flag}"))
            };
            client.write(&frame(&format!("{path} {PEER}"), CLIENT)).await;
            assert_eq!(client.answer().await.flag, '$');
            assert_eq!(peer.frame().await.text, frame(PEER, &format!("{path} {CLIENT}")));
        }
        let bodiless = |to: &str, from: &str| {
            format!("MSRP none SEND\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: 1\r\n-------none$\r\n")
        };
        client.write(&bodiless(&format!("{path} {PEER}"), CLIENT)).await;
        assert_eq!(client.answer().await.code(), 200);
        assert_eq!(peer.frame().await.text, bodiless(PEER, &format!("{path} {CLIENT}")));
    });
}
