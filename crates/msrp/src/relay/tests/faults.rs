//! Ends that vanish, do not read, or say more than anybody asked for.

use super::forwarding::{alice_and_bob, answer};
use super::*;

#[test]
fn r54_the_sender_vanishes_at_every_octet() {
    let probe = send("tr01", "x y", BOB, "", &"x".repeat(5000));
    let content = probe.find("\r\n\r\n").unwrap() + 4;
    // Each octet of the head and of the end, and some of the content.
    let whole = |uri: &str| send("tr01", &format!("{uri} {ALICE}"), BOB, "", &"x".repeat(5000));
    let (_, _, _, uri) = alice_and_bob();
    let text = whole(&uri);
    let offset = text.len() - probe.len();
    let head = 0..content + offset + 2;
    let places = head.chain((content..content + 5000).step_by(500)).chain(text.len() - 30..=text.len());
    for place in places {
        let (mut world, alice, bob, uri) = alice_and_bob();
        world.put(bob, &whole(&uri)[..place]);
        world.relay.handle_eof(bob, world.now);
        world.pump();
        // Whatever alice gets is whole frames, and the last one says how it ended.
        let got = world.got(alice);
        let octets: usize = got.iter().map(|piece| piece.content.len()).sum();
        match got.last() {
            None => assert!(place <= content + offset, "{place}"),
            Some(last) if place == text.len() => assert_eq!((last.flag, octets), (Flag::Complete, 5000)),
            Some(last) => assert!(last.flag == Flag::Continues && octets <= 5000, "{place}"),
        }
        assert_eq!(world.relay.backlog(), 0, "{place}");
        assert_eq!(world.relay.connections(), 1);
        world.wait(Duration::from_secs(40));
    }
}

#[test]
fn r54_a_client_that_vanishes_has_its_message_aborted() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    world.put(bob, send("hello", &format!("{uri} {ALICE}"), BOB, "", "x"));
    let text = send("tr01", &format!("{uri} {BOB}"), ALICE, "", &"x".repeat(5000));
    world.put(alice, &text[..text.len() - 100]);
    world.got(bob);
    world.relay.handle_eof(alice, world.now);
    world.pump();
    assert_eq!(world.got(bob).last().unwrap().flag, Flag::Aborted);
}

#[test]
fn r54_the_next_hop_vanishes_at_every_octet_of_a_send() {
    let (_, _, _, uri) = alice_and_bob();
    let length = send("tr01", &format!("{uri} {ALICE}"), BOB, "Byte-Range: 1-100/100\r\n", &"x".repeat(100)).len();
    for place in 1..=length {
        let (mut world, alice, bob, uri) = alice_and_bob();
        let text = send("tr01", &format!("{uri} {ALICE}"), BOB, "Byte-Range: 1-100/100\r\n", &"x".repeat(100));
        world.put(bob, &text[..place]);
        world.relay.handle_eof(alice, world.now);
        world.pump();
        world.put(bob, &text[place..]);
        let got = world.got(bob);
        assert_eq!((world.relay.backlog(), world.relay.uris()), (0, 0), "{place}");
        // It is told once: in the response, or by a report.
        let failed = |frame: &&Frame| {
            frame.start == "481 No Such Session" || frame.header("Status") == "000 408 Request Timeout"
        };
        assert_eq!(got.iter().filter(failed).count(), 1, "{place} {:?}", starts(&got));
        let (answers, reports): (Vec<_>, Vec<_>) = got.iter().partition(|frame| frame.start != "REPORT");
        assert_eq!(answers.len(), 1, "{place}");
        for report in reports {
            assert_eq!((report.header("Message-ID"), report.header("To-Path")), ("m-tr01", BOB));
        }
    }
}

#[test]
fn r54_a_next_hop_that_cannot_be_reached() {
    let (mut world, alice, _, uri) = alice_and_bob();
    for wait in [false, true] {
        for (id, header) in [("yes1", ""), ("part", "Failure-Report: partial\r\n"), ("no01", "Failure-Report: no\r\n")]
        {
            world.put(alice, send(id, &format!("{uri} {BOB}"), ALICE, header, "x"));
        }
        assert_eq!(starts(&world.got(alice)), ["200 OK"]);
        let (key, _) = world.asked().unwrap();
        if wait {
            world.wait(Duration::from_secs(30));
        } else {
            world.relay.connection_failed(key, world.now);
            world.pump();
        }
        assert_eq!(world.closed(key), Some(CloseReason::Unreachable));
        let got = world.got(alice);
        let ids: Vec<_> = got.iter().map(|report| (report.header("Message-ID"), report.header("Status"))).collect();
        let timeout = "000 408 Request Timeout";
        assert_eq!(ids, [("m-yes1", timeout), ("m-part", timeout)]);
        world.events();
    }
}

#[test]
fn r54_a_next_hop_that_does_not_read_is_given_up() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    world.stuck.push(alice);
    for n in 0..60 {
        world.put(bob, send(&format!("tr{n:02}"), &format!("{uri} {ALICE}"), BOB, "", &"x".repeat(10_000)));
    }
    let taken = world.got(bob).len();
    assert!(taken < 60 && !world.relay.is_hungry(bob));
    world.wait(Duration::from_secs(30));
    assert_eq!(world.closed(alice), Some(CloseReason::Stalled));
    // What was taken on is reported; the rest is refused, for alice's URI is gone.
    let got = world.got(bob);
    let reports: std::collections::HashSet<_> =
        got.iter().filter(|frame| frame.start == "REPORT").map(|report| report.header("Message-ID")).collect();
    assert!(reports.len() >= taken, "{} of {taken}", reports.len());
    assert_eq!(world.relay.backlog(), 0);
}

#[test]
fn r63_a_storm_of_reports_waits_for_who_does_not_read() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    world.put(bob, send("good", &format!("{uri} {ALICE}"), BOB, "", "x"));
    world.stuck.push(alice);
    let paths = format!("To-Path: {uri} {ALICE}\r\nFrom-Path: {BOB}\r\n");
    let report = format!("MSRP yh67 REPORT\r\n{paths}Message-ID: m\r\nStatus: 000 200 OK\r\n-------yh67$\r\n");
    let mut sent = 0;
    while world.relay.is_hungry(bob) && sent < 100_000 {
        world.put(bob, report.repeat(10));
        sent += 10;
    }
    assert!(sent < 5000 && world.relay.backlog() < 400_000, "{sent}");
    // It is answered by nothing, and passed on once.
    assert_eq!(world.got(bob).len(), 1);
    world.unstick(alice);
    world.pump();
    let reports = world.got(alice).iter().filter(|frame| frame.start == "REPORT").count();
    assert_eq!((reports, world.got(bob).len()), (sent, 0));
}

#[test]
fn r60_who_sends_and_never_reads_is_not_read() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    world.stuck.push(bob);
    let frame = send("tr01", &format!("{uri} {ALICE}"), BOB, "", "x");
    let mut sent = 0;
    while world.relay.is_hungry(bob) && sent < 100_000 {
        world.put(bob, &frame);
        for frame in world.got(alice) {
            world.put(alice, answer(&frame, "200 OK"));
        }
        sent += 1;
    }
    assert!(sent < 3000, "{sent}");
    world.unstick(bob);
    assert!(world.relay.is_hungry(bob));
    // Its reports are bounded too, however many of its messages fail.
    world.stuck.push(bob);
    let silent = frame.replace("Content-Type", "Failure-Report: partial\r\nContent-Type");
    for _ in 0..20_000 {
        if world.relay.is_hungry(bob) {
            world.put(bob, &silent);
        }
        for frame in world.got(alice) {
            world.put(alice, answer(&frame, "400 Bad Request"));
        }
    }
    let most = 64 * 1024 + 65_536 + 16_384 + 17 * 65_536;
    let link = world.relay.links.get(bob.slot()).unwrap();
    assert!(link.unsent() <= most, "{}", link.unsent());
}
