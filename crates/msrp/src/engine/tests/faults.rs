//! Peers that are somebody else, hostile, slow or gone.

use super::receiving::{answers, chunk};
use super::*;
use crate::{Code, ParseError};

fn request(tid: &str, method: &str, to: &str, from: &str, lines: &str) -> Vec<u8> {
    format!("MSRP {tid} {method}\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n{lines}-------{tid}$\r\n").into_bytes()
}

const ALICE: &str = "msrp://alice.example.com:7654/alice;tcp";
const BOB: &str = "msrp://bob.example.com:7654/bob;tcp";

#[test]
fn r24_a_connection_is_bound_by_its_first_request() {
    let now = Instant::now();
    let mut engine = Connection::new(Config::default(), counted(1), now);
    let octets = [chunk("t001", "m", "1-2/2", "", "hi", '$'), request("t002", "SEND", ALICE, BOB, "")].concat();
    engine.handle_input(now, Bytes::from(octets));
    let stranger = Event::Stranger { to: uri("alice"), from: uri("bob").into() };
    assert_eq!((engine.poll_event(), engine.poll_event()), (Some(stranger), None));
    // Nothing more is read before it is known whose it is.
    assert!(!engine.is_hungry());
    let session = engine.bind(SessionOptions::new(uri("alice"), uri("bob")), now).unwrap();
    assert!(engine.is_hungry() && engine.is_bound(session));
    assert_eq!(engine.poll_event(), Some(Event::Bound { session }));
    assert!(matches!(engine.poll_event(), Some(Event::Message { .. })));
    let mut parts = VecDeque::new();
    engine.poll_transmit(now, &mut parts);
    let octets: Vec<u8> = parts.into_iter().flatten().collect();
    assert_eq!(answers(&octets), ["200", "200"]);
}

#[test]
fn r24_strangers_are_turned_away() {
    for code in [Code::NO_SUCH_SESSION, Code::BOUND_ELSEWHERE] {
        let mut alice = End::of("alice", "bob");
        for _ in 0..Config::default().strangers {
            alice.take(&request("t001", "SEND", "msrp://alice.example.com:7654/other;tcp", BOB, ""));
            assert!(matches!(alice.events()[..], [Event::Stranger { .. }]));
            alice.engine.turn_away(code, alice.now);
            let octets = alice.put_out();
            assert_eq!(answers(&octets), [code.to_string()]);
            let back = frames(&octets).remove(0).0;
            assert_eq!(back.text(HeaderName::ToPath), Some(BOB));
            assert_eq!(back.text(HeaderName::FromPath), Some("msrp://alice.example.com:7654/other;tcp"));
        }
        alice.take(&request("t001", "SEND", "msrp://alice.example.com:7654/other;tcp", BOB, ""));
        assert_eq!(alice.engine.close_reason(), Some(CloseReason::Strangers));
    }
}

#[test]
fn r22_r24_only_the_peer_reaches_a_session() {
    for (to, from) in [
        (ALICE, "msrp://eve.example.com:7654/bob;tcp"),
        (ALICE, "msrp://bob.example.com:7654/other;tcp"),
        (ALICE, "msrp://r.example.com:1/r;tcp msrp://bob.example.com:7654/bob;tcp"),
        (ALICE, "msrps://bob.example.com:7654/bob;tcp"),
    ] {
        let mut alice = End::of("alice", "bob");
        alice.take(&request("t001", "SEND", to, from, ""));
        assert_eq!((answers(&alice.put_out()), alice.events()), (vec!["481".to_owned()], vec![]), "{from}");
    }
    // An endpoint forwards nothing.
    let mut alice = End::of("alice", "bob");
    alice.take(&request("t001", "SEND", &format!("{ALICE} {BOB}"), BOB, ""));
    assert!(matches!(alice.events()[..], [Event::Stranger { .. }]));
}

#[test]
fn r29_by_session_id_alone() {
    let mut alice = End::with("alice", "bob", Config::default(), |options| options.by_session_id = true);
    alice.take(&request("t001", "SEND", "msrp://192.0.2.1:9/alice;tcp", "msrp://192.0.2.1:9/bob;tcp", ""));
    assert_eq!(answers(&alice.put_out()), ["200"]);
    alice.take(&request("t001", "SEND", "msrp://192.0.2.1:9/alice;tcp", "msrp://192.0.2.1:9/eve;tcp", ""));
    assert_eq!(answers(&alice.put_out()), ["481"]);
}

#[test]
fn r23_answers_go_where_they_should() {
    let relay: Uri = "msrp://relay.example.com:2855/r;tcp".parse().unwrap();
    let mut alice = End::with("alice", "bob", Config::default(), |options| {
        options.remote = crate::Path::new([relay, uri("bob")]).unwrap();
    });
    let from = format!("msrp://relay.example.com:2855/r;tcp {BOB}");
    alice.take(&request("t001", "SEND", ALICE, &from, ""));
    alice.take(&request("t002", "NICKNAME", ALICE, &from, "Use-Nickname: \"Al\"\r\n"));
    let events = alice.events();
    let Some(Event::Request { head, .. }) = events.last() else { panic!("{events:?}") };
    alice.engine.respond(alice.session, head, Code::NICKNAME_RESERVED).unwrap();
    let to: Vec<_> =
        frames(&alice.put_out()).iter().map(|(head, ..)| head.text(HeaderName::ToPath).unwrap().to_owned()).collect();
    assert_eq!(to, ["msrp://relay.example.com:2855/r;tcp", &from]);
}

#[test]
fn requests_that_nobody_understands() {
    for (method, lines, expected) in [
        ("SEND", "Content-Type: a/b\r\n", "400"),
        ("AUTH", "", "501"),
        ("NICKNAME", "Success-Report: yes\r\n", "400"),
        ("SEND", "Message-ID: m\r\nMessage-ID: m\r\n", "400"),
        ("SEND", "nonsense\r\n", "400"),
    ] {
        let mut alice = End::of("alice", "bob");
        alice.take(&request("t001", method, ALICE, BOB, lines));
        assert_eq!(answers(&alice.put_out()), [expected], "{method} {lines}");
        alice.take(&chunk("t002", "m", "1-2/2", "", "hi", '$'));
        assert_eq!(answers(&alice.put_out()), ["200"], "{method} {lines}");
    }
    for (lines, expected) in [("", "415"), ("Content-Type: a/b\r\n", "400")] {
        // Content of which nothing says what it is, and a message without a name.
        let mut alice = End::of("alice", "bob");
        let octets = request("t001", "SEND", ALICE, BOB, lines);
        let text = String::from_utf8(octets).unwrap().replace("-------", "\r\nx\r\n-------");
        alice.take(text.as_bytes());
        assert_eq!(answers(&alice.put_out()), [expected]);
    }
    for range in ["0-1/1", "2-0/3", "1-4/3", "x", "1-2", "1-99999999999999999999/*"] {
        let mut alice = End::of("alice", "bob");
        alice.take(&chunk("t001", "m", range, "", "hi", '$'));
        assert_eq!(answers(&alice.put_out()), ["400"], "{range}");
    }
}

#[test]
fn r12_requests_that_are_no_messages_are_short() {
    let mut alice = End::of("alice", "bob");
    let text = |length| {
        format!(
            "MSRP t001 NICKNAME\r\nTo-Path: {ALICE}\r\nFrom-Path: {BOB}\r\nContent-Type: a/b\r\n\r\n{}\r\n-------t001$\r\n",
            "x".repeat(length)
        )
    };
    alice.take(text(10_240).as_bytes());
    assert!(matches!(alice.events()[..], [Event::Bound { .. }, Event::Request { .. }]));
    alice.take(text(10_241).as_bytes());
    assert_eq!((answers(&alice.put_out()), alice.events()), (vec!["413".to_owned()], vec![]));
}

#[test]
fn r57_garbage_ends_the_connection() {
    for (octets, error) in [
        (&b"GET / HTTP/1.1\r\n"[..], ParseError::NotMsrp),
        (b"MSRP a SEND\r\n", ParseError::TransactionId),
        (b"MSRP t001 send\r\n", ParseError::StartLine),
    ] {
        let mut alice = End::of("alice", "bob");
        let key = alice.send(Outgoing::new("a/b", "x"));
        alice.take(octets);
        let events = alice.events();
        assert_eq!(events.last(), Some(&Event::Closed(CloseReason::Malformed(error))));
        assert!(matches!(&events[0], Event::Outcome { message, outcome: Outcome::SessionOver, .. } if *message == key));
        // And nothing comes of what follows.
        alice.take(&chunk("t001", "m", "1-2/2", "", "hi", '$'));
        assert_eq!((alice.events(), alice.engine.poll_timeout()), (vec![], None));
    }
    let mut alice = End::of("alice", "bob");
    alice.take(b"MSRP t001 SEND\r\nX: y\r\n-------t001$\r\n");
    assert_eq!(alice.engine.close_reason(), Some(CloseReason::NoPaths));
}

#[test]
fn a_peer_that_vanishes_at_every_octet() {
    let octets = chunk("t001", "m", "1-10/10", "Success-Report: yes\r\n", "0123456789", '$');
    for length in 0..=octets.len() {
        let mut alice =
            End::with("alice", "bob", Config::default(), |options| options.receive = Receive::Parts { above: 0 });
        alice.take(&octets[..length]);
        alice.engine.handle_eof();
        let events = alice.events();
        let between = length == 0 || length == octets.len();
        let why = if between { CloseReason::Peer } else { CloseReason::Cut };
        assert_eq!(events.last(), Some(&Event::Closed(why)), "{length}");
        // A message that has begun ends, one way or the other.
        let began = events.iter().filter(|event| matches!(event, Event::Began { .. })).count();
        let ended = |event: &&Event| matches!(event, Event::Completed { .. } | Event::Broken { .. });
        assert_eq!(events.iter().filter(ended).count(), began, "{length}");
        assert_eq!(alice.engine.sessions(), 0);
        assert_eq!(alice.engine.budget.used(), 0);
    }
}

#[test]
fn r60_heads_and_chunks_do_not_take_for_ever() {
    let octets = chunk("t001", "m", "1-*/*", "", "0123456789", '$');
    let end_of_head = octets.len() - 20;
    for (length, least, why) in [
        (1, 30, CloseReason::HeadTimeout),
        (60, 30, CloseReason::HeadTimeout),
        (end_of_head, 60, CloseReason::ContentTimeout),
    ] {
        let mut alice = End::of("alice", "bob");
        // However it trickles.
        alice.take(&octets[..length]);
        alice.wait(Duration::from_secs(least - 1));
        alice.take(&octets[length..=length]);
        assert_eq!(alice.engine.close_reason(), None, "{length}");
        alice.wait(Duration::from_secs(1));
        assert_eq!(alice.engine.close_reason(), Some(why), "{length}");
    }
    // A chunk that goes on may last as long as it likes.
    let mut alice = End::of("alice", "bob");
    alice.take(&octets[..end_of_head]);
    for _ in 0..100 {
        alice.wait(Duration::from_secs(59));
        alice.take(&[b'x'; 1100]);
    }
    assert_eq!(alice.engine.close_reason(), None);
    // Frames have each a time of their own.
    let mut alice = End::of("alice", "bob");
    for _ in 0..10 {
        alice.take(&octets[..20]);
        alice.wait(Duration::from_secs(29));
        alice.take(&octets[20..]);
    }
    assert_eq!(alice.engine.close_reason(), None);
}

#[test]
fn r61_a_connection_without_a_session_ends() {
    let now = Instant::now();
    let mut engine = Connection::new(Config::default(), counted(1), now);
    assert_eq!(engine.poll_timeout(), Some(now + Duration::from_secs(30)));
    engine.handle_timeout(now + Duration::from_secs(30));
    assert_eq!(engine.close_reason(), Some(CloseReason::Unbound));
}

#[test]
fn r60_who_does_not_read_answers_is_not_read() {
    let mut alice = End::of("alice", "bob");
    let octets = request("t001", "SEND", ALICE, BOB, "Message-ID: m\r\n").repeat(100);
    let mut count = 0;
    while alice.engine.is_hungry() {
        alice.take(&octets);
        count += 1;
        assert!(count < 1000, "answers pile up");
    }
    // It goes on once they have gone.
    alice.put_out();
    alice.engine.resume(alice.now);
    assert!(alice.engine.is_hungry());
}

#[test]
fn r60_who_takes_nothing_is_given_no_more() {
    let mut alice = End::of("alice", "bob");
    let mut count = 0;
    while alice.engine.is_hungry() {
        alice.take(&chunk("t001", &format!("m{count}"), "", "", &"x".repeat(10_000), '$'));
        count += 1;
        assert!(count < 1000, "messages pile up");
    }
    // Time in which this end does not read is not the peer's.
    alice.wait(Duration::from_secs(3600));
    assert_eq!(alice.engine.close_reason(), None);
    let taken = alice.events().len();
    alice.engine.resume(alice.now);
    assert!(alice.engine.is_hungry() && taken >= count);
}

#[test]
fn r63_reports_of_nothing() {
    let mut alice = End::of("alice", "bob");
    for _ in 0..1000 {
        alice.take(&request(
            "t001",
            "REPORT",
            ALICE,
            BOB,
            "Message-ID: m\r\nByte-Range: 1-1/1\r\nStatus: 000 200 OK\r\n",
        ));
        let events = alice.events();
        assert!(matches!(events.last(), Some(Event::Report { covered: 0, complete: false, .. })));
    }
    assert_eq!(alice.put_out(), b"");
}

#[test]
fn r26_sessions_share_a_connection() {
    let mut alice = End::of("alice", "bob");
    let other = SessionOptions::new(uri("anne"), uri("bill"));
    let second = alice.engine.add_session(other.clone(), alice.now).unwrap();
    assert_eq!(alice.engine.add_session(other, alice.now), Err(AddError::Twice));
    alice.take(&request("t001", "SEND", ALICE, BOB, ""));
    let anne = "msrp://anne.example.com:7654/anne;tcp";
    let bill = "msrp://bill.example.com:7654/bill;tcp";
    alice.take(&request("t001", "SEND", anne, bill, ""));
    alice.take(&request("t001", "SEND", anne, BOB, ""));
    assert_eq!(answers(&alice.put_out()), ["200", "200", "481"]);
    assert_eq!(alice.events(), [Event::Bound { session: alice.session }, Event::Bound { session: second }]);
    alice.engine.remove_session(second, alice.now);
    alice.take(&request("t001", "SEND", ALICE, BOB, ""));
    assert_eq!(answers(&alice.put_out()), ["200"]);
    assert_eq!(alice.engine.sessions(), 1);
}

#[test]
fn a_session_that_ends_in_the_middle_of_what_comes() {
    for receive in [Receive::Messages, Receive::Parts { above: 0 }, Receive::Frames] {
        let octets = chunk("t001", "m", "1-10/10", "", "0123456789", '$');
        for length in 0..octets.len() {
            let mut alice = End::with("alice", "bob", Config::default(), |options| options.receive = receive);
            alice.take(&octets[..length]);
            alice.engine.remove_session(alice.session, alice.now);
            alice.take(&octets[length..]);
            if alice.events().iter().any(|event| matches!(event, Event::Stranger { .. })) {
                alice.engine.turn_away(Code::NO_SUCH_SESSION, alice.now);
            }
            alice.put_out();
            assert_eq!(alice.engine.close_reason(), None);
        }
    }
}

#[test]
fn r10_a_chunk_whose_owner_gives_nothing_ends() {
    let mut alice = End::of("alice", "bob");
    let key = alice.send(Outgoing::streamed("a/b", None).unwrap());
    alice.engine.give(key, Bytes::from(vec![b'x'; 3000])).unwrap();
    let mut octets = alice.put_out();
    alice.wait(Duration::from_secs(5));
    octets.extend(alice.put_out());
    assert_eq!(outline(&octets), [("SEND".to_owned(), "1-*/*".to_owned(), 3000, Flag::Continues)]);
    alice.engine.finish(key).unwrap();
    assert_eq!(outline(&alice.put_out()), [("SEND".to_owned(), "3001-3000/3000".to_owned(), 0, Flag::Complete)]);
}

#[test]
fn r22_what_comes_over_relays_of_this_end() {
    let relays = ["msrp://near.example.com:2855/n;tcp", "msrp://far.example.com:2855/f;tcp"];
    let mut alice = End::with("alice", "bob", Config::default(), |options| {
        options.relays = relays.iter().map(|relay| relay.parse().unwrap()).collect();
    });
    let [near, far] = relays;
    for (from, expected) in [
        (format!("{near} {far} {BOB}"), "200"),
        (format!("{far} {near} {BOB}"), "481"),
        (format!("{near} {BOB}"), "481"),
        // A relay that does not write itself down.
        (BOB.to_owned(), "200"),
    ] {
        alice.take(&request("t001", "SEND", ALICE, &from, ""));
        assert_eq!(answers(&alice.put_out()), [expected], "{from}");
    }
}

#[test]
fn r60_a_frame_that_waits_here_is_not_late() {
    let mut alice = End::with("alice", "bob", Config::default(), |options| options.receive = Receive::Undecided);
    let octets = chunk("t001", "m", "1-*/*", "", "0123456789", '$');
    alice.take(&octets[..octets.len() - 20]);
    assert!(!alice.engine.is_hungry());
    alice.wait(Duration::from_secs(3600));
    alice.engine.receive(alice.session, Receive::Messages, alice.now).unwrap();
    alice.wait(Duration::from_secs(59));
    assert_eq!(alice.engine.close_reason(), None);
    alice.take(&octets[octets.len() - 20..]);
    assert_eq!(answers(&alice.put_out()), ["200"]);
}
