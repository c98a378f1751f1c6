//! What a relay gives nobody more of (R57 to R61).

use super::forwarding::{alice_and_bob, answer};
use super::*;
use crate::ParseError;

#[test]
fn r61_connections_and_strangers_are_limited() {
    let mut world = World::with(config("relay.example.com"), |config| (config.connections, config.strangers) = (3, 1));
    let mut peer = Peer::new(true);
    peer.address = Some([192, 0, 2, 1].into());
    let open =
        |world: &mut World, peer: &Peer| world.relay.connection_opened(Origin::Accepted, peer.clone(), world.now);
    let alice = open(&mut world, &peer).unwrap();
    assert_eq!(open(&mut world, &peer), Err(OpenError::Strangers));
    let uri = world.log_in(alice, "alice", ALICE);
    let second = open(&mut world, &peer).unwrap();
    world.relay.handle_eof(second, world.now);
    open(&mut world, &peer).unwrap();
    open(&mut world, &Peer::new(true)).unwrap();
    assert_eq!(open(&mut world, &Peer::new(true)), Err(OpenError::Full));
    // Nor is one made for a client.
    world.put(alice, send("tr01", &format!("{uri} {BOB}"), ALICE, "", "x"));
    assert_eq!((starts(&world.got(alice)), world.asked()), (vec!["481 No Such Session"], None));
}

#[test]
fn r61_probation() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    let silent = world.accept();
    world.put(bob, send("tr01", &format!("{uri} {ALICE}"), BOB, "Failure-Report: no\r\n", "x"));
    world.wait(Duration::from_millis(29_999));
    assert_eq!(world.closed(silent), None);
    world.wait(Duration::from_millis(1));
    assert_eq!(world.closed(silent), Some(CloseReason::Probation));
    assert_eq!((world.closed(alice), world.closed(bob)), (None, None), "they have done something");
    // What fails is no success, and only so much of anything is read.
    let key = world.accept();
    for _ in 0..3 {
        world.put(key, send("tr01", &format!("{uri}x {ALICE}"), BOB, "", "x"));
    }
    world.wait(Duration::from_secs(30));
    assert_eq!(world.closed(key), Some(CloseReason::Probation));
    let key = world.accept();
    let long = send("tr01", &format!("{uri}x {ALICE}"), BOB, "", &"x".repeat(40_000));
    for part in long.as_bytes().chunks(1000) {
        world.put(key, part);
    }
    assert_eq!(world.closed(key), Some(CloseReason::Probation));
    // A first request that is good may be long.
    let key = world.accept();
    world.put(key, send("tr01", &format!("{uri} {ALICE}"), BOB, "", &"x".repeat(40_000)));
    assert_eq!(world.closed(key), None);
    // Five that fail are too many.
    let key = world.accept();
    for _ in 0..5 {
        assert_eq!(world.closed(key), None);
        world.put(key, send("tr01", &format!("{uri}x {ALICE}"), BOB, "", "x"));
    }
    assert_eq!((world.got(key).len(), world.closed(key)), (5, Some(CloseReason::Failures)));
}

#[test]
fn r57_heads_are_limited() {
    for (text, error) in [
        (format!("MSRP tr01 SEND\r\nTo-Path: {}", "x".repeat(5000)), ParseError::HeaderLineTooLong(4096)),
        (format!("MSRP tr01 SEND\r\n{}", "X: y\r\n".repeat(65)), ParseError::TooManyHeaders(64)),
        (
            format!("MSRP tr01 SEND\r\n{}", format!("X: {}\r\n", "y".repeat(4000)).repeat(5)),
            ParseError::HeadTooLong(16_384),
        ),
        ("HTTP/1.1 200 OK\r\n".to_owned(), ParseError::NotMsrp),
    ] {
        let mut world = World::new();
        let key = world.accept();
        world.put(key, text);
        assert_eq!(world.closed(key), Some(CloseReason::Malformed(error)));
    }
    // A path through too many hops.
    let (mut world, _, bob, uri) = alice_and_bob();
    let from = vec![BOB; 31].join(" ");
    world.put(bob, send("tr01", &format!("{uri} {ALICE}"), &from, "", "x"));
    assert_eq!(starts(&world.got(bob)), ["400 Bad Request"]);
    let from = vec![BOB; 30].join(" ");
    world.put(bob, send("tr01", &format!("{uri} {ALICE}"), &from, "", "x"));
    assert_eq!(starts(&world.got(bob)), ["200 OK"]);
}

#[test]
fn r60_frames_that_trickle() {
    let (mut world, _, bob, uri) = alice_and_bob();
    world.put(bob, send("tr01", &format!("{uri} {ALICE}"), BOB, "Failure-Report: no\r\n", "x"));
    let text = send("tr02", &format!("{uri} {ALICE}"), BOB, "", &"x".repeat(100));
    let content = text.find("\r\n\r\n").unwrap() + 4;
    for (place, time) in [(10, 30), (content - 4, 30), (content, 60), (content + 1, 60), (text.len() - 1, 60)] {
        let key = world.accept();
        world.put(key, send("tr01", &format!("{uri} {ALICE}"), BOB, "Failure-Report: no\r\n", "x"));
        world.put(key, &text[..place]);
        world.wait(Duration::from_millis(time * 1000 - 1));
        assert_eq!(world.closed(key), None, "{place}");
        world.wait(Duration::from_millis(1));
        assert_eq!(world.closed(key), Some(CloseReason::FrameTimeout), "{place}");
    }
}

#[test]
fn r58_open_transactions_are_limited() {
    for (window, octets) in [(3, 1 << 20), (1000, 1500)] {
        let mut world = World::with(config("relay.example.com"), |config| {
            (config.window, config.window_octets) = (window, octets);
        });
        let (alice, bob) = (world.accept(), world.accept());
        let uri = world.log_in(alice, "alice", ALICE);
        for n in 0..20 {
            world.put(bob, send(&format!("tr{n:02}"), &format!("{uri} {ALICE}"), BOB, "", "x"));
        }
        let first = world.got(alice).len();
        assert!((2..=4).contains(&first), "{first}");
        // The rest has its turn when these are given up, or answered.
        world.wait(Duration::from_secs(30));
        let next = world.got(alice);
        assert_eq!(next.len(), first);
        world.put(alice, answer(&next[0], "200 OK"));
        assert_eq!(world.got(alice).len(), 1);
        assert_eq!(world.got(bob).iter().filter(|frame| frame.start == "REPORT").count(), first);
    }
}

#[test]
fn r58_many_that_do_not_read_are_bounded_together() {
    let change = |config: &mut RelayConfig| (config.queue, config.queues) = (64_000, 128_000);
    let mut world = World::with(config("relay.example.com"), change);
    let mut most = 0;
    for n in 0..30 {
        let (key, sender) = (world.accept(), world.accept());
        let from = format!("msrps://alice.example.com:9892/{n};tcp");
        let uri = world.log_in(key, "alice", &from);
        world.stuck.push(key);
        let mut sent = 0;
        while world.relay.is_hungry(sender) && sent < 1000 {
            let chunk = send("tr01", &format!("{uri} {from}"), BOB, "Failure-Report: no\r\n", &"x".repeat(1000));
            world.put(sender, chunk);
            sent += 1;
        }
        // Each is given something.
        assert!((2..200).contains(&sent), "{n} {sent}");
        most = most.max(world.relay.backlog());
    }
    assert!((128_000..128_000 + 64_000 + 28 * 8_000).contains(&most), "{most}");
}

#[test]
fn r54_connections_that_are_not_used_are_closed() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    world.put(bob, send("tr01", &format!("{uri} {ALICE}"), BOB, "Failure-Report: no\r\n", "x"));
    world.wait(Duration::from_secs(3599));
    assert_eq!((world.closed(bob), world.relay.uris()), (None, 0));
    world.wait(Duration::from_secs(1));
    assert_eq!(world.closed(bob), Some(CloseReason::Idle));
    assert_eq!(world.closed(alice), Some(CloseReason::Idle), "her URI has expired");
    assert_eq!((world.relay.connections(), world.relay.poll_timeout()), (0, None));
}

#[test]
fn a_driver_may_close_and_say_anything_of_what_is_gone() {
    let (mut world, alice, _, _) = alice_and_bob();
    world.relay.close_connection(alice, world.now);
    world.pump();
    assert_eq!(world.closed(alice), Some(CloseReason::Local));
    let now = world.now;
    world.relay.handle_input(alice, Bytes::from_static(b"MSRP"), now);
    world.relay.handle_sent(alice, 7, now);
    world.relay.handle_eof(alice, now);
    world.relay.connection_failed(alice, now);
    assert_eq!((world.relay.is_hungry(alice), world.relay.poll_event()), (false, None));
    assert_eq!(world.relay.connection_opened(Origin::Asked(alice), Peer::new(true), now), Err(OpenError::NotAsked));
}
