//! The flows of RFC 4976 3, 5.1 and 6.4, at one relay.

use super::*;

/// A relay with alice logged in and her peer bob, who is not.
pub(super) fn alice_and_bob() -> (World, ConnectionKey, ConnectionKey, String) {
    let mut world = World::new();
    let (alice, bob) = (world.accept(), world.accept());
    let uri = world.log_in(alice, "alice", ALICE);
    world.events();
    (world, alice, bob, uri)
}

/// A response of a hop to the last frame that it was sent.
pub(super) fn answer(frame: &Frame, code: &str) -> String {
    let first = |name| frame.header(name).split(' ').next().unwrap().to_owned();
    let (to, from) = (first("From-Path"), first("To-Path"));
    format!("MSRP {id} {code}\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n-------{id}$\r\n", id = frame.id)
}

#[test]
fn r54_a_message_comes_to_a_client_and_its_report_goes_back() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    let headers = "Success-Report: yes\r\nByte-Range: 1-39/39\r\nX-Other:  kept as it is \r\n";
    let text = "Hi Bob, I'm about to send you file.mpeg";
    world.put(bob, send("6aef", &format!("{uri} {ALICE}"), BOB, headers, text));
    let response = world.got(bob);
    assert_eq!(response[0].text(), format!("200 OK\nTo-Path: {BOB}\nFrom-Path: {uri}\n$"));
    assert_eq!((response[0].id.as_str(), response.len()), ("6aef", 1));
    let chunk = world.got(alice).remove(0);
    assert_ne!(chunk.id, "6aef");
    assert_eq!(
        chunk.text(),
        format!(
            "SEND\nTo-Path: {ALICE}\nFrom-Path: {uri} {BOB}\nMessage-ID: m-6aef\nSuccess-Report: yes\n\
             Byte-Range: 1-39/39\nX-Other:  kept as it is \nContent-Type: text/plain\n\n{text}\n$"
        )
    );
    world.put(alice, answer(&chunk, "200 OK"));
    // Alice reports, and the relay hands on; nothing is answered.
    let lines = "Message-ID: m-6aef\r\nByte-Range: 1-39/39\r\nStatus: 000 200 OK\r\n";
    let paths = format!("To-Path: {uri} {BOB}\r\nFrom-Path: {ALICE}\r\n");
    world.put(alice, format!("MSRP yh67 REPORT\r\n{paths}{lines}-------yh67$\r\n"));
    assert_eq!(world.got(alice), []);
    let report = world.got(bob);
    assert_eq!(
        report[0].text(),
        format!("REPORT\nTo-Path: {BOB}\nFrom-Path: {uri} {ALICE}\n{}$", lines.replace("\r\n", "\n"))
    );
    // Everything was answered: no timer runs.
    world.wait(Duration::from_secs(60));
    assert_eq!((world.got(alice), world.got(bob)), (vec![], vec![]));
    assert_eq!(world.asked(), None, "bob was answered over his own connection");
}

#[test]
fn r54_a_client_sends_to_who_is_not_connected() {
    let (mut world, alice, _, uri) = alice_and_bob();
    world.put(alice, send("tr01", &format!("{uri} {BOB}"), ALICE, "", "one"));
    world.put(alice, send("tr02", &format!("{uri} {BOB}"), ALICE, "", "two"));
    assert_eq!(starts(&world.got(alice)), ["200 OK", "200 OK"]);
    let (key, place) = world.asked().unwrap();
    assert_eq!(place, "msrps://bob.example.net:8145;tcp");
    let plain = world.relay.connection_opened(Origin::Asked(key), Peer::new(false), world.now);
    assert_eq!(plain, Err(OpenError::NotTls));
    assert_eq!(world.open(Origin::Asked(key), Peer::new(true)), key);
    let got = world.got(key);
    assert_eq!(got.iter().map(|frame| frame.content.as_slice()).collect::<Vec<_>>(), [b"one", b"two"]);
    assert_eq!(got[0].header("From-Path"), format!("{uri} {ALICE}"));
    assert_eq!(got[0].header("Byte-Range"), "1-3/*", "for relays that need one");
    // The connection is there from now on, and another is not asked for.
    world.put(alice, send("tr03", &format!("{uri} {BOB}"), ALICE, "", "three"));
    assert_eq!((world.got(key).len(), world.asked()), (1, None));
    // It cannot be made twice.
    let again = world.relay.connection_opened(Origin::Asked(key), Peer::new(true), world.now);
    assert_eq!(again, Err(OpenError::NotAsked));
}

#[test]
fn r54_two_clients_of_one_relay() {
    let mut world = World::new();
    let (alice, bob) = (world.accept(), world.accept());
    let (a, b) = (world.log_in(alice, "alice", ALICE), world.log_in(bob, "bob", BOB));
    world.put(alice, send("tr01", &format!("{a} {b} {BOB}"), ALICE, "", "hello"));
    let chunk = world.got(bob).remove(0);
    assert_eq!((chunk.header("To-Path"), chunk.header("From-Path")), (BOB, format!("{b} {a} {ALICE}").as_str()));
    world.put(bob, answer(&chunk, "413 Stop Sending Message"));
    let got = world.got(alice);
    assert_eq!(starts(&got), ["200 OK", "REPORT"]);
    assert_eq!(
        got[1].text(),
        format!(
            "REPORT\nTo-Path: {ALICE}\nFrom-Path: {a}\nMessage-ID: m-tr01\nByte-Range: 1-5/*\n\
             Status: 000 413 Stop Sending Message\n$"
        )
    );
    // A nickname is answered by the far end, all the way back.
    let paths = format!("To-Path: {a} {b} {BOB}\r\nFrom-Path: {ALICE}\r\n");
    world.put(alice, format!("MSRP nick NICKNAME\r\n{paths}Use-Nickname: \"a\"\r\n-------nick$\r\n"));
    assert_eq!(world.got(alice), []);
    let request = world.got(bob).remove(0);
    assert_eq!((request.start.as_str(), request.header("Use-Nickname")), ("NICKNAME", "\"a\""));
    let back = request.header("From-Path");
    let id = &request.id;
    world.put(bob, format!("MSRP {id} 425 Taken\r\nTo-Path: {back}\r\nFrom-Path: {BOB}\r\nX: y\r\n-------{id}$\r\n"));
    let response = world.got(alice).remove(0);
    assert_eq!(response.text(), format!("425 Taken\nTo-Path: {ALICE}\nFrom-Path: {a} {b} {BOB}\nX: y\n$"));
    assert_eq!(response.id, "nick");
    assert_eq!(world.asked(), None);
}

#[test]
fn r54_what_is_answered_and_reported_of_failures() {
    for (header, answered, refused, late) in [
        ("", 1, 1, 1),
        ("Failure-Report: yes\r\n", 1, 1, 1),
        ("Failure-Report: partial\r\n", 0, 1, 0),
        ("Failure-Report: no\r\n", 0, 0, 0),
    ] {
        let (mut world, alice, bob, uri) = alice_and_bob();
        let path = format!("{uri} {ALICE}");
        world.put(bob, send("tr01", &path, BOB, header, "x"));
        assert_eq!(world.got(bob).len(), answered, "{header}");
        let chunk = world.got(alice).remove(0);
        world.put(alice, answer(&chunk, "415 Unsupported Media Type"));
        let reports = world.got(bob);
        assert_eq!(reports.len(), refused, "{header}");
        for report in reports {
            assert_eq!(report.header("Status"), "000 415 Unsupported Media Type");
        }
        // A second response is nobody's.
        world.put(alice, answer(&chunk, "415"));
        assert_eq!(world.got(bob), []);
        // No response in time, which runs from when the transport has taken the last octet (R34).
        world.stuck.push(alice);
        world.put(bob, send("tr02", &path, BOB, header, "xyz"));
        world.wait(Duration::from_secs(20));
        assert_eq!(world.got(bob).len(), answered);
        world.unstick(alice);
        world.wait(Duration::from_millis(29_999));
        assert_eq!(world.got(bob), []);
        world.wait(Duration::from_millis(1));
        let reports = world.got(bob);
        assert_eq!(reports.len(), late, "{header}");
        for report in reports {
            assert_eq!(report.header("Status"), "000 408 Request Timeout");
            assert_eq!((report.header("Byte-Range"), report.header("To-Path")), ("1-3/*", BOB));
        }
        // A request that goes nowhere.
        world.put(bob, send("tr03", &format!("{uri}x {ALICE}"), BOB, header, "x"));
        let starts: Vec<_> = world.got(bob).iter().map(|frame| frame.start.clone()).collect();
        assert_eq!(starts, vec!["481 No Such Session"; refused], "{header}");
    }
}

#[test]
fn r54_other_methods_are_forwarded_as_reports_are() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    let paths = format!("To-Path: {uri} {ALICE}\r\nFrom-Path: {BOB}\r\n");
    let text = format!("MSRP tr01 WAVE\r\n{paths}X: y\r\nContent-Type: text/plain\r\n\r\nhand\r\n-------tr01$\r\n");
    world.put(bob, &text);
    assert_eq!(world.got(bob), []);
    let request = world.got(alice).remove(0);
    let expected = format!("WAVE\nTo-Path: {ALICE}\nFrom-Path: {uri} {BOB}\nX: y\nContent-Type: text/plain\n\nhand\n$");
    assert_eq!(request.text(), expected);
    // Too much content is not kept.
    let long = text.replace("hand", &"h".repeat(MAX_REQUEST + 1));
    world.put(bob, long);
    assert_eq!((starts(&world.got(bob)), world.got(alice)), (vec!["413 Stop Sending Message"], vec![]));
    // Reports are not answered whatever is wrong with them.
    world.put(bob, format!("MSRP tr02 REPORT\r\nTo-Path: {uri}x {ALICE}\r\nFrom-Path: {BOB}\r\n-------tr02$\r\n"));
    assert_eq!(world.got(bob), []);
    let mut world = World::with(config("relay.example.com"), |config| config.unknown_methods = false);
    let key = world.accept();
    world.put(key, &text);
    assert_eq!(starts(&world.got(key)), ["501 Unknown Method"]);
}

#[test]
fn r54_what_cannot_be_forwarded_is_refused() {
    let (mut world, alice, bob, uri) = alice_and_bob();
    let path = format!("{uri} {ALICE}");
    for (wrong, start) in [
        (send("tr01", &path, BOB, "Byte-Range: 0-1/1\r\n", "x"), "400 Bad Request"),
        (send("tr01", &path, BOB, "Byte-Range: 1-*/3\r\n", "xxxx"), "400 Bad Request"),
        (send("tr01", &path, BOB, "Failure-Report: maybe\r\n", "x"), "400 Bad Request"),
        (send("tr01", &path, BOB, "Message-ID: again\r\n", "x"), "400 Bad Request"),
        (send("tr01", &path, BOB, "", "x").replace("Message-ID: m-tr01\r\n", ""), "400 Bad Request"),
        (send("tr01", &path, BOB, "", "x").replace("Content-Type: text/plain\r\n", ""), "415 Unsupported Media Type"),
        (send("tr01", &uri, BOB, "", "x"), "481 No Such Session"),
    ] {
        world.put(bob, &wrong);
        assert_eq!((starts(&world.got(bob)), world.got(alice)), (vec![start], vec![]), "{wrong}");
        world.put(bob, send("good", &path, BOB, "", "x"));
        world.got(bob);
        world.got(alice);
    }
    // A client may ask whether its URI lasts.
    let ask =
        |id| format!("MSRP {id} SEND\r\nTo-Path: {uri}\r\nFrom-Path: {ALICE}\r\nMessage-ID: mmmm\r\n-------{id}$\r\n");
    world.put(alice, ask("tr02"));
    assert_eq!(starts(&world.got(alice)), ["200 OK"]);
    world.put(bob, ask("tr03"));
    assert_eq!(starts(&world.got(bob)), ["481 No Such Session"]);
    // Without paths, nobody can be answered.
    let none = world.accept();
    world.put(none, "MSRP tr04 SEND\r\nFrom-Path: x\r\n-------tr04$\r\n");
    assert_eq!(world.closed(none), Some(CloseReason::NoPaths));
}

#[test]
fn r54_what_leaves_does_not_depend_on_where_what_comes_is_cut() {
    let text = |uri: &str| {
        let path = format!("{uri} {ALICE}");
        let paths = format!("To-Path: {path}\r\nFrom-Path: {BOB}\r\n");
        [
            send("tr01", &path, BOB, "Byte-Range: 1-5/5\r\n", "-----"),
            format!("MSRP tr02 REPORT\r\n{paths}Message-ID: m\r\nStatus: 000 200 OK\r\n-------tr02$\r\n"),
            send("tr03", &path, BOB, "Failure-Report: no\r\n", "").replace("tr03$", "tr03+"),
            format!("MSRP tr04 WAVE\r\n{paths}Content-Type: a/b\r\n\r\n\r\n-------tr0\r\n-------tr04$\r\n"),
            send("tr05", &path, &format!("{BOB} "), "", "x"),
        ]
        .concat()
    };
    let run = |place: usize| {
        let (mut world, alice, bob, uri) = alice_and_bob();
        let text = text(&uri);
        let (first, second) = text.split_at(place.min(text.len()));
        world.put(bob, first);
        world.put(bob, second);
        // What is no message overtakes those that wait.
        let texts = |frames: Vec<Frame>| {
            let mut texts: Vec<_> = frames.iter().map(Frame::text).collect();
            texts.sort();
            texts
        };
        (texts(world.got(alice)), texts(world.got(bob)))
    };
    let whole = run(usize::MAX);
    assert_eq!((whole.0.len(), whole.1.len()), (5, 2));
    for place in 1..text(&alice_and_bob().3).len() {
        assert_eq!(run(place), whole, "{place}");
    }
}
