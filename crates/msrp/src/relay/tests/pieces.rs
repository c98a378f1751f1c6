//! Chunks leave in pieces, and what does not fit waits where it is (RFC 4976 6.4.1).

use super::forwarding::{alice_and_bob, answer};
use super::*;

fn begin(id: &str, to: &str, from: &str, range: &str) -> String {
    let head = format!("MSRP {id} SEND\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: m-{id}\r\n");
    format!("{head}Byte-Range: {range}\r\nContent-Type: text/plain\r\n\r\n")
}

/// Of each frame the range, the length and the flag.
fn outline(frames: &[Frame]) -> Vec<(&str, usize, Flag)> {
    frames.iter().map(|frame| (frame.header("Byte-Range"), frame.content.len(), frame.flag)).collect()
}

#[test]
fn r54_pieces_leave_as_they_come() {
    for (flag, last) in [("$", Flag::Complete), ("+", Flag::Continues), ("#", Flag::Aborted)] {
        let (mut world, alice, bob, uri) = alice_and_bob();
        world.put(bob, begin("tr01", &format!("{uri} {ALICE}"), BOB, "11-*/9010"));
        world.put(bob, "x".repeat(1000));
        world.put(bob, "x".repeat(1000));
        assert_eq!(world.got(alice), [], "a head is not sent for less");
        world.put(bob, "x".repeat(3000));
        assert_eq!(outline(&world.got(alice)), [("11-*/9010", 4999, Flag::Continues)]);
        world.put(bob, format!("{}\r\n-------tr01{flag}\r\n", "y".repeat(100)));
        assert_eq!(outline(&world.got(alice)), [("5010-5110/9010", 101, last)]);
        assert_eq!(starts(&world.got(bob)), ["200 OK"]);
        assert_eq!(world.relay.backlog(), 0);
    }
    // The failure of a piece is reported with its own range.
    let (mut world, alice, bob, uri) = alice_and_bob();
    world.put(bob, begin("tr01", &format!("{uri} {ALICE}"), BOB, "1-*/*"));
    world.put(bob, "x".repeat(5000));
    let piece = world.got(alice).remove(0);
    world.put(alice, answer(&piece, "413 Stop Sending Message"));
    assert_eq!(world.got(bob)[0].header("Byte-Range"), "1-4999/*");
    // Nothing more of it leaves.
    world.put(bob, format!("{}\r\n-------tr01$\r\n", "y".repeat(5000)));
    assert_eq!((world.got(alice), starts(&world.got(bob)), world.relay.backlog()), (vec![], vec!["200 OK"], 0));
}

#[test]
fn r54_empty_bodies_and_none() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    let path = format!("{uri} {ALICE}");
    world.put(bob, send("tr01", &path, BOB, "Byte-Range: 1-0/0\r\n", ""));
    let got = world.got(alice).remove(0);
    assert!(got.text().ends_with("Byte-Range: 1-0/0\nContent-Type: text/plain\n\n\n$"), "{}", got.text());
    let paths = format!("To-Path: {path}\r\nFrom-Path: {BOB}\r\n");
    world.put(bob, format!("MSRP tr02 SEND\r\n{paths}Message-ID: mmmm\r\nX: y\r\n-------tr02$\r\n"));
    let got = world.got(alice).remove(0);
    let expected =
        format!("SEND\nTo-Path: {ALICE}\nFrom-Path: {uri} {BOB}\nByte-Range: 1-0/0\nMessage-ID: mmmm\nX: y\n$");
    assert_eq!(got.text(), expected);
}

#[test]
fn r54_large_pieces_are_divided_by_who_is_next() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    world.put(bob, send("tr01", &format!("{uri} {ALICE}"), BOB, "", &"x".repeat(150_000)));
    let got = world.got(alice);
    assert_eq!(got.iter().map(|piece| piece.content.len()).sum::<usize>(), 150_000);
    assert!(got.iter().all(|piece| piece.content.len() <= 65_536));
    // For another relay, which may have to hold them whole.
    let path = format!("{uri} msrps://other.example.org:2855/r;tcp {BOB}");
    world.put(alice, send("tr02", &path, ALICE, "", &"x".repeat(50_000)));
    let (key, _) = world.asked().unwrap();
    world.open(Origin::Asked(key), Peer::new(true));
    let got = world.got(key);
    assert_eq!(outline(&got)[0], ("1-*/*", 10_240, Flag::Continues));
    assert_eq!(outline(&got)[4], ("40961-*/*", 50_000 - 4 * 10_240, Flag::Complete));
    // Over WebSocket, each leaves by itself and no larger than said.
    let mut peer = Peer::new(true);
    peer.carriage = crate::engine::Carriage::Frames(3000);
    let carol = world.open(Origin::Accepted, peer);
    let uri = world.log_in(carol, "carol", "msrps://x.invalid:2855/c;ws");
    world.put(bob, send("tr03", &format!("{uri} msrps://x.invalid:2855/c;ws"), BOB, "", &"x".repeat(7000)));
    assert_eq!(world.got(carol).iter().map(|piece| piece.content.len()).collect::<Vec<_>>(), [3000, 3000, 1000]);
}

#[test]
fn r54_messages_take_turns_and_are_not_merged() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    let carol = world.accept();
    let path = format!("{uri} {ALICE}");
    world.stuck.push(alice);
    world.put(bob, send("bob1", &path, BOB, "", &"b".repeat(200_000)));
    world.put(carol, send("car1", &path, "msrps://carol.example.com:1/c;tcp", "", "sssss"));
    // Two of one id by two senders are two messages.
    let same = send("car2", &path, "msrps://carol.example.com:1/c;tcp", "", &"c".repeat(3000));
    world.put(carol, same.replace("m-car2", "m-bob1"));
    world.unstick(alice);
    let got = world.got(alice);
    let place = |id: &str| got.iter().position(|piece| piece.header("Message-ID") == id).unwrap();
    assert!(place("m-car1") <= 2, "{:?}", got.iter().map(|piece| piece.header("Message-ID")).collect::<Vec<_>>());
    for piece in &got {
        let (id, carols) = (piece.header("Message-ID"), piece.header("From-Path").contains("carol"));
        let letter = if id == "m-bob1" && !carols { b'b' } else { piece.content[0] };
        assert!(piece.content.iter().all(|octet| *octet == letter));
    }
    // Pieces of one message are in their order.
    let bobs = got.iter().filter(|piece| !piece.header("From-Path").contains("carol"));
    let starts: Vec<u64> =
        bobs.map(|piece| piece.header("Byte-Range").split('-').next().unwrap().parse().unwrap()).collect();
    assert!(starts.is_sorted() && starts.len() > 3, "{starts:?}");
}

#[test]
fn r60_who_sends_to_a_slow_reader_waits_and_others_do_not() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    let (carol, dave) = (world.accept(), world.accept());
    let c = "msrps://carol.example.com:1/c;tcp";
    let carols = world.log_in(carol, "carol", c);
    world.stuck.push(alice);
    let path = format!("{uri} {ALICE}");
    for n in 0..100 {
        world.put(bob, send(&format!("tr{n:02}"), &path, BOB, "", &"x".repeat(10_000)));
    }
    assert!(!world.relay.is_hungry(bob) && world.relay.is_hungry(carol) && world.relay.is_hungry(dave));
    assert!(world.relay.backlog() < 300_000, "{}", world.relay.backlog());
    world.put(dave, send("dave", &format!("{carols} {c}"), BOB, "", "quick"));
    assert_eq!(world.got(carol).len(), 1);
    // Nothing is lost once it reads.
    world.unstick(alice);
    assert!(world.relay.is_hungry(bob));
    let content: usize = world.got(alice).iter().map(|piece| piece.content.len()).sum();
    assert_eq!((content, world.relay.backlog()), (1_000_000, 0));
}

#[test]
fn r60_who_was_not_read_is_not_late() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    world.stuck.push(alice);
    let text = send("tr01", &format!("{uri} {ALICE}"), BOB, "", &"x".repeat(600_000));
    let mut parts = text.as_bytes().chunks(10_000);
    while world.relay.is_hungry(bob) {
        world.put(bob, parts.next().expect("more than a queue has room for"));
    }
    // Alice takes an octet now and then.
    for _ in 0..5 {
        world.wait(Duration::from_secs(25));
        world.relay.handle_sent(alice, 1, world.now);
        *world.taken.entry(alice).or_default() += 1;
        world.pump();
    }
    assert_eq!((world.closed(alice), world.closed(bob)), (None, None));
    world.unstick(alice);
    world.wait(Duration::from_secs(1));
    assert_eq!(world.closed(bob), None);
    parts.for_each(|part| world.put(bob, part));
    assert_eq!(world.got(alice).last().unwrap().flag, Flag::Complete);
}

#[test]
fn r60_two_that_send_to_each_other_do_not_wait_for_each_other() {
    // Each has all transactions open that it may have, and its responses behind what it sends.
    let mut world = World::with(config("relay.example.com"), |config| (config.window, config.queue) = (4, 40_000));
    let (alice, bob) = (world.accept(), world.accept());
    let (a, b) = (world.log_in(alice, "alice", ALICE), world.log_in(bob, "bob", BOB));
    let mut answered = [0; 2];
    for n in 0..40 {
        world
            .unread
            .entry(alice)
            .or_default()
            .push_back(send(&format!("a{n:03}"), &format!("{a} {b} {BOB}"), ALICE, "", &"x".repeat(2000)).into());
        world
            .unread
            .entry(bob)
            .or_default()
            .push_back(send(&format!("b{n:03}"), &format!("{b} {a} {ALICE}"), BOB, "", &"x".repeat(2000)).into());
    }
    // Each answers what it gets, in what it has to send behind all that.
    for _ in 0..100 {
        world.pump();
        for (at, key) in [alice, bob].into_iter().enumerate() {
            for frame in world.got(key).iter().filter(|frame| frame.start == "SEND") {
                answered[at] += 1;
                world.unread.entry(key).or_default().push_back(answer(frame, "200 OK").into());
            }
        }
    }
    assert_eq!(answered, [40, 40], "without waiting for a timeout");
}
