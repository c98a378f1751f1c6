//! What responses, their absence and reports do to what was sent.

use super::*;
use crate::{Code, MessageId};

const HOUR: Duration = Duration::from_secs(3600);

/// A response to the frame of this number among those that were put out.
fn response(frame: &Head, line: &str) -> Vec<u8> {
    let id = frame.transaction_id();
    format!(
        "MSRP {id} {line}\r\nTo-Path: msrp://alice.example.com:7654/alice;tcp\r\n\
         From-Path: msrp://bob.example.com:7654/bob;tcp\r\n-------{id}$\r\n"
    )
    .into_bytes()
}

fn outcomes(events: &[Event]) -> Vec<(MessageKey, Outcome)> {
    let outcome = |event: &Event| match event {
        Event::Outcome { message, outcome, .. } => Some((*message, outcome.clone())),
        _ => None,
    };
    events.iter().filter_map(outcome).collect()
}

fn heads(octets: &[u8]) -> Vec<Head> {
    frames(octets).into_iter().map(|(head, _, _)| head).collect()
}

#[test]
fn r37_responses_come_in_any_order() {
    let mut alice = End::of("alice", "bob");
    let keys: Vec<_> = (0..5).map(|_| alice.send(Outgoing::new("a/b", "x"))).collect();
    let sent = heads(&alice.put_out());
    for place in [3, 0, 4, 1, 2] {
        alice.take(&response(&sent[place], "200 OK"));
        assert_eq!(outcomes(&alice.events()), [(keys[place], Outcome::Accepted)]);
    }
    // What answers nothing is nobody's.
    alice.take(&response(&sent[0], "481 gone"));
    assert_eq!((alice.events(), alice.engine.close_reason()), (vec![], None));
    // Nothing is left that could time out.
    alice.wait(HOUR);
    assert_eq!(alice.events(), []);
}

#[test]
fn r37_so_many_requests_are_open_at_once() {
    let config = Config { window: 3, ..Config::default() };
    let mut alice = End::with("alice", "bob", config, |_| {});
    for _ in 0..5 {
        alice.send(Outgoing::new("a/b", "x"));
    }
    let sent = heads(&alice.put_out());
    assert_eq!(sent.len(), 3);
    alice.take(&response(&sent[1], "200 OK"));
    assert_eq!(heads(&alice.put_out()).len(), 1);
    assert_eq!(heads(&alice.put_out()).len(), 0);
}

#[test]
fn r33_r34_who_waits_for_what() {
    for (failure, at_once, late) in [
        (FailureReport::Yes, None, Some(Outcome::TimedOut)),
        (FailureReport::Partial, Some(Outcome::Sent), None),
        (FailureReport::No, Some(Outcome::Sent), None),
    ] {
        let mut alice = End::of("alice", "bob");
        let key = alice.send(Outgoing::new("a/b", "x").with_failure_report(failure));
        alice.put_out();
        let told = |outcome: Option<Outcome>| outcome.map(|outcome| (key, outcome)).into_iter().collect::<Vec<_>>();
        assert_eq!(outcomes(&alice.events()), told(at_once), "{failure}");
        alice.wait(Duration::from_millis(29_999));
        assert_eq!(outcomes(&alice.events()), []);
        alice.wait(Duration::from_millis(1));
        assert_eq!(outcomes(&alice.events()), told(late), "{failure}");
        assert_eq!(alice.engine.close_reason(), None);
    }
}

#[test]
fn r34_time_begins_when_the_transport_has_taken_the_last_octet() {
    let mut alice = End::of("alice", "bob");
    let key = alice.send(Outgoing::new("a/b", "x"));
    let length = alice.engine.poll_transmit(alice.now, &mut VecDeque::new());
    alice.wait(HOUR);
    alice.engine.handle_sent(alice.now, length - 1);
    alice.wait(HOUR);
    assert_eq!(alice.events(), []);
    alice.engine.handle_sent(alice.now, 1);
    assert_eq!(alice.engine.poll_timeout(), Some(alice.now + Duration::from_secs(30)));
    alice.wait(Duration::from_secs(30));
    assert_eq!(outcomes(&alice.events()), [(key, Outcome::TimedOut)]);
}

#[test]
fn r33_a_late_refusal_of_what_is_answered_only_then() {
    let mut alice = End::of("alice", "bob");
    let key = alice.send(Outgoing::new("a/b", "x").with_failure_report(FailureReport::Partial));
    let sent = heads(&alice.put_out());
    alice.events();
    alice.take(&response(&sent[0], "403 no"));
    let refused = Outcome::Refused { code: Code::FORBIDDEN, comment: Some("no".into()) };
    assert_eq!(outcomes(&alice.events()), [(key, refused)]);
}

#[test]
fn r36_a_refusal_stops_a_message_in_its_middle() {
    for (line, outcome) in [
        ("413", Outcome::Refused { code: Code::STOP, comment: None }),
        ("408 late", Outcome::TimedOut),
        ("599 odd", Outcome::Refused { code: Code::new(599).unwrap(), comment: Some("odd".into()) }),
    ] {
        let mut alice = End::of("alice", "bob");
        let key = alice.send(Outgoing::streamed("a/b", None).unwrap());
        alice.engine.give(key, Bytes::from(vec![b'x'; 3000])).unwrap();
        let mut octets = alice.put_out();
        let mut parser = Parser::default();
        parser.push(Bytes::copy_from_slice(&octets));
        let Ok(Some(crate::Event::Head(head))) = parser.next_event() else { panic!() };
        alice.take(&response(&head, line));
        assert_eq!(outcomes(&alice.events()), [(key, outcome)]);
        assert_eq!(alice.engine.give(key, Bytes::from_static(b"x")), Err(GiveError::Over));
        octets.extend(alice.put_out());
        assert_eq!(outline(&octets), [("SEND".to_owned(), "1-*/*".to_owned(), 3000, Flag::Aborted)]);
        assert_eq!(alice.engine.backlog(), 0);
    }
}

#[test]
fn r38_success_before_the_chunk_has_ended() {
    let mut alice = End::of("alice", "bob");
    let key = alice.send(Outgoing::streamed("a/b", None).unwrap());
    alice.engine.give(key, Bytes::from(vec![b'x'; 3000])).unwrap();
    let octets = alice.put_out();
    let mut parser = Parser::default();
    parser.push(Bytes::from(octets));
    let Ok(Some(crate::Event::Head(head))) = parser.next_event() else { panic!() };
    alice.take(&response(&head, "200 OK"));
    assert_eq!(outcomes(&alice.events()), []);
    alice.engine.finish(key).unwrap();
    alice.put_out();
    assert_eq!(outcomes(&alice.events()), [(key, Outcome::Accepted)]);
    alice.wait(HOUR);
    assert_eq!(alice.events(), []);
}

#[test]
fn a_session_that_the_peer_does_not_know_is_over() {
    for (line, code) in [("481 who", Code::NO_SUCH_SESSION), ("506 busy", Code::BOUND_ELSEWHERE)] {
        let mut alice = End::of("alice", "bob");
        let keys = [alice.send(Outgoing::new("a/b", "x")), alice.send(Outgoing::new("a/b", "y"))];
        let sent = heads(&alice.put_out());
        alice.take(&response(&sent[0], line));
        let events = alice.events();
        let refused = Outcome::Refused { code, comment: Some(line[4..].to_owned()) };
        assert_eq!(outcomes(&events), [(keys[0], refused), (keys[1], Outcome::SessionOver)]);
        let over = Event::SessionOver { session: alice.session, why: SessionEnd::Unknown(code) };
        assert_eq!(events.last(), Some(&over));
        assert_eq!(alice.engine.send(alice.session, Outgoing::new("a/b", "z")).unwrap_err(), SessionOver);
    }
}

#[test]
fn r31_a_silent_peer_is_found_out() {
    let mut alice =
        End::with("alice", "bob", Config::default(), |options| options.keepalive = Some(Duration::from_secs(60)));
    for _ in 0..3 {
        alice.wait(Duration::from_secs(60));
        let sent = frames(&alice.put_out());
        assert_eq!((sent.len(), sent[0].0.text(HeaderName::KeepAlive)), (1, Some("yes")));
        assert!(sent[0].0.value(HeaderName::ContentType).is_none());
        alice.take(&response(&sent[0].0, "200 OK"));
    }
    // The first answer has shown that the peer is there.
    assert_eq!(alice.events(), [Event::Bound { session: alice.session }]);
    alice.wait(Duration::from_secs(60));
    alice.put_out();
    assert_eq!(alice.events(), []);
    alice.wait(Duration::from_secs(30));
    assert_eq!(alice.engine.close_reason(), Some(CloseReason::Silent));
    assert_eq!(alice.events().last(), Some(&Event::Closed(CloseReason::Silent)));
    assert_eq!(alice.engine.poll_timeout(), None);
}

#[test]
fn r35_reports_are_told() {
    let mut alice = End::of("alice", "bob");
    let id: MessageId = "12339sdqwer".parse().unwrap();
    alice.send(Outgoing::new("a/b", "x").with_id(id.clone()).with_success_report(true));
    alice.put_out();
    let report = |range: &str, status: &str| {
        format!(
            "MSRP r123 REPORT\r\nTo-Path: msrp://alice.example.com:7654/alice;tcp\r\n\
             From-Path: msrp://bob.example.com:7654/bob;tcp\r\nMessage-ID: 12339sdqwer\r\n\
             Byte-Range: {range}\r\nStatus: {status}\r\n-------r123$\r\n"
        )
    };
    alice.take(report("1-1/1", "000 200 OK").as_bytes());
    let events = alice.events();
    assert!(matches!(&events[..], [Event::Bound { .. }, Event::Report { id: its, .. }] if *its == id), "{events:?}");
    // Never an answer to a report (RFC 4975 7.2).
    assert_eq!(alice.put_out(), b"");
    for broken in [report("x", "000 2"), report("1-1/1", "nonsense")] {
        alice.take(broken.as_bytes());
        assert_eq!((alice.events(), alice.put_out()), (vec![], vec![]));
    }
}

#[test]
fn the_owners_requests_have_responses_or_none() {
    let mut alice = End::of("alice", "bob");
    let request = Request::new(Method::Nickname).unwrap().with_header("Use-Nickname", "\"Al\"").unwrap();
    let key = alice.engine.request(alice.session, &request).unwrap();
    let other = alice.engine.request(alice.session, &request).unwrap();
    let sent = heads(&alice.put_out());
    assert_eq!((sent[0].method(), sent[0].text(HeaderName::UseNickname)), (Some(Method::Nickname), Some("\"Al\"")));
    alice.take(&response(&sent[0], "425 taken"));
    let events = alice.events();
    assert!(matches!(&events[..], [Event::Response { request, head }] if *request == key && head.code() == Some(425)));
    alice.wait(Duration::from_secs(30));
    assert_eq!(alice.events(), [Event::NoResponse { request: other }]);

    let relay: crate::Path = "msrps://relay.example.com;tcp".parse().unwrap();
    alice.engine.request_along(&relay, &uri("alice"), &Request::new(Method::Auth).unwrap());
    let sent = heads(&alice.put_out());
    assert_eq!(sent[0].text(HeaderName::ToPath), Some("msrps://relay.example.com;tcp"));
}

#[test]
fn r36_octets_that_did_not_arrive_are_the_end_of_a_session() {
    let report = |id: &str, status: &str| {
        format!(
            "MSRP r123 REPORT\r\nTo-Path: msrp://alice.example.com:7654/alice;tcp\r\n\
             From-Path: msrp://bob.example.com:7654/bob;tcp\r\nMessage-ID: {id}\r\n\
             Byte-Range: 1-1/1\r\nStatus: {status}\r\n-------r123$\r\n"
        )
    };
    let mut alice = End::of("alice", "bob");
    alice.send(Outgoing::new("a/b", "x").with_id("sent".parse().unwrap()));
    let sent = heads(&alice.put_out());
    // The next hop has it, and a hop behind that not.
    alice.take(&response(&sent[0], "200 OK"));
    // What is not wanted, what means something else, and what was never sent.
    for (id, status) in [("sent", "000 413 enough"), ("sent", "123 408 other"), ("else", "000 408 lost")] {
        alice.take(report(id, status).as_bytes());
        assert_eq!(alice.engine.sessions(), 1, "{id} {status}");
    }
    alice.events();
    alice.take(report("sent", "000 408 lost").as_bytes());
    let events = alice.events();
    let over = Event::SessionOver { session: alice.session, why: SessionEnd::Lossy(Code::TIMEOUT) };
    assert!(matches!(events[0], Event::Report { .. }));
    assert_eq!(events.last(), Some(&over));
}
