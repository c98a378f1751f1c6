//! What somebody tries who is not let in, and wants the relay to send something somewhere (RFC 4976 3.1, 6.4, 9.3, 9.4).

use super::forwarding::alice_and_bob;
use super::*;

const EVIL: &str = "msrps://victim.example.net:2855/v;tcp";

/// Nothing came of it but an answer to who tried.
fn nothing_left(world: &mut World, tried: ConnectionKey, what: &str) {
    world.out.remove(&tried);
    assert!(world.out.values().all(Vec::is_empty), "{what}: {:?}", world.out);
    assert_eq!(world.asked(), None, "{what}");
    assert_eq!(world.relay.backlog(), 0, "{what}");
}

#[test]
fn r54_who_is_no_client_reaches_clients_only() {
    let (mut world, alice, _, uri) = alice_and_bob();
    let bare = "msrps://relay.example.com:2855;tcp";
    let (start, id) = uri.split_once(":2855/").unwrap();
    let upper = id.split(';').next().unwrap().to_uppercase();
    let wrong = [
        EVIL.to_owned(),
        format!("{bare} {EVIL}"),
        format!("{bare} {bare} {EVIL}"),
        format!("msrps://relay.example.com;tcp {EVIL}"),
        format!("{EVIL} {uri} {ALICE}"),
        // The host and the port are right, the session is not.
        format!("{start}:2855/{upper};tcp {EVIL}"),
        format!("{start}:2855/{id}/x;tcp {EVIL}").replace(";tcp/x", "/x"),
        format!("{start}:2855/;tcp {EVIL}"),
        format!("msrp{rest} {EVIL}", rest = uri.strip_prefix("msrps").unwrap()),
        format!("{} {EVIL}", uri.replace(";tcp", ";ws")),
        format!("{} {EVIL}", uri.replace(":2855", "")),
        format!("{} {EVIL}", uri.replace("relay.example.com", "relay.example.com.evil.org")),
        format!("{} {EVIL}", uri.replace("relay.example.com", "127.0.0.1")),
        // What the client calls itself is no URI of the relay.
        format!("{ALICE} {EVIL}"),
        format!("{bare} {uri} {EVIL}"),
    ];
    let methods = ["SEND", "REPORT", "AUTH", "NICKNAME", "WAVE"];
    for path in &wrong {
        for method in methods {
            let key = world.accept();
            let frame = send("evil", path, BOB, "", "spam").replace("SEND", method);
            world.put(key, frame);
            nothing_left(&mut world, key, &format!("{method} {path}"));
            world.relay.handle_eof(key, world.now);
        }
    }
    // A URI that was guessed rightly leads to its client and nowhere else, whatever stands behind it.
    for path in [format!("{uri} {EVIL}"), format!("{uri} {EVIL} {uri} {ALICE}"), format!("{uri} {uri} {EVIL}")] {
        for method in methods {
            let key = world.accept();
            world.put(key, send("evil", &path, BOB, "", "spam").replace("SEND", method));
            assert_eq!(world.got(alice).len(), 1, "{method} {path}");
            nothing_left(&mut world, key, &format!("{method} {path}"));
        }
    }
    let _ = world.got(alice);
}

#[test]
fn r54_nobody_sends_as_a_client_by_naming_it() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    let carol = world.accept();
    let carols = world.log_in(carol, "carol", "msrps://carol.example.com:1/c;tcp");
    // Bob says that he is alice, or carol.
    for from in [ALICE, "msrps://carol.example.com:1/c;tcp", &*uri, &*carols, &format!("{uri} {ALICE}")] {
        world.put(bob, send("evil", &format!("{uri} {EVIL}"), from, "", "spam"));
        assert_eq!(world.got(alice).len(), 1);
        nothing_left(&mut world, bob, from);
    }
    // Carol is a client, but alice's URI is not hers to send from.
    world.put(carol, send("evil", &format!("{uri} {EVIL}"), ALICE, "", "spam"));
    assert_eq!((world.got(alice).len(), world.asked()), (1, None));
    world.put(carol, send("evil", &format!("{carols} {uri} {EVIL}"), ALICE, "", "spam"));
    assert_eq!((world.got(alice).len(), world.asked()), (1, None));
    // From her own, she sends where she wants.
    world.put(carol, send("good", &format!("{carols} {EVIL}"), ALICE, "", "spam"));
    assert_eq!(world.asked().unwrap().1, "msrps://victim.example.net:2855;tcp");
}

#[test]
fn r54_nobody_takes_over_who_is_spoken_to() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    let mallory = world.accept();
    let path = format!("{uri} {ALICE}");
    world.put(bob, send("good", &path, BOB, "", "hello"));
    world.got(alice);
    // Mallory says that she is bob, without alice's URI; what alice sends still goes to bob.
    world.put(mallory, send("evil", &format!("{uri}x {ALICE}"), BOB, "", "hello"));
    world.got(mallory);
    world.got(bob);
    world.put(alice, send("tr01", &format!("{uri} {BOB}"), ALICE, "", "secret"));
    assert_eq!((world.got(bob).len(), world.got(mallory).len()), (1, 0));
    // Nor does she by answering what bob was asked.
    let answers = format!("MSRP tr01 200 OK\r\nTo-Path: {uri}\r\nFrom-Path: {BOB}\r\n-------tr01$\r\n");
    world.put(mallory, answers);
    world.wait(Duration::from_secs(30));
    assert_eq!(world.got(alice).last().unwrap().header("Status"), "000 408 Request Timeout");
}

#[test]
fn r54_what_is_for_tls_does_not_come_without() {
    let (mut world, alice, _, uri) = alice_and_bob();
    let plain = world.open(Origin::Accepted, Peer::new(false));
    world.put(plain, send("tr01", &format!("{uri} {ALICE}"), "msrp://bob.example.net:1/b;tcp", "", "x"));
    assert_eq!((starts(&world.got(plain)), world.got(alice)), (vec!["403 Forbidden"], vec![]));
}

#[test]
fn r54_a_client_whose_peer_is_gone_stays() {
    let (mut world, alice, _, uri) = alice_and_bob();
    for n in 0..20 {
        let gone = uri.replace(";tcp", "x;tcp");
        world.put(alice, send(&format!("tr{n:02}"), &format!("{uri} {gone} {BOB}"), ALICE, "", "x"));
    }
    assert_eq!((starts(&world.got(alice)), world.closed(alice)), (vec!["481 No Such Session"; 20], None));
}

#[test]
fn r54_a_request_for_another_relay_ends_the_connection() {
    let mut world = World::new();
    for method in ["SEND", "AUTH", "REPORT"] {
        let key = world.accept();
        world.put(key, send("evil", EVIL, BOB, "", "x").replace("SEND", method));
        assert_eq!((world.got(key), world.closed(key)), (vec![], Some(CloseReason::NotOurs)), "{method}");
    }
}

#[test]
fn r54_responses_that_answer_nothing_are_nobodys() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    world.put(bob, format!("MSRP abcd 200 OK\r\nTo-Path: {uri} {ALICE}\r\nFrom-Path: {EVIL}\r\n-------abcd$\r\n"));
    world.put(bob, format!("MSRP abcd 401 No\r\nTo-Path: {EVIL}\r\nFrom-Path: {BOB}\r\n-------abcd$\r\n"));
    nothing_left(&mut world, bob, "responses");
    assert!(world.relay.is_hungry(alice) && world.relay.is_hungry(bob));
}

#[test]
fn r54_clients_do_not_search_networks() {
    let (mut world, alice, _, uri) = alice_and_bob();
    for n in 0..20 {
        let to = format!("{uri} msrps://10.0.0.{n}:22/x;tcp");
        world.put(alice, send(&format!("sc{n:02}"), &to, ALICE, "", "x"));
    }
    let asked = world.events().iter().filter(|event| matches!(event, Event::Connect { .. })).count();
    assert_eq!(asked, 8);
    // And to no place at all.
    let (mut world, alice, _, uri) = alice_and_bob();
    for to in ["msrps://x.invalid:2855/x;tcp", "msrps://10.0.0.1:2855/x;ws", "msrps://10.0.0.1:2855/x;sctp"] {
        world.put(alice, send("tr01", &format!("{uri} {to}"), ALICE, "", "x"));
        assert_eq!((starts(&world.got(alice)), world.asked()), (vec!["481 No Such Session"], None), "{to}");
    }
}
