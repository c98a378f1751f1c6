//! Messages that come, in chunks of every order.

use proptest::prelude::*;

use super::*;
use crate::RangeSet;

/// A chunk from bob to alice. `lines` are further headers.
pub(super) fn chunk(tid: &str, id: &str, range: &str, lines: &str, content: &str, flag: char) -> Vec<u8> {
    let range = if range.is_empty() { String::new() } else { format!("Byte-Range: {range}\r\n") };
    format!(
        "MSRP {tid} SEND\r\nTo-Path: msrp://alice.example.com:7654/alice;tcp\r\n\
         From-Path: msrp://bob.example.com:7654/bob;tcp\r\nMessage-ID: {id}\r\n{range}{lines}\
         Content-Type: text/plain\r\n\r\n{content}\r\n-------{tid}{flag}\r\n"
    )
    .into_bytes()
}

/// What is answered: codes, and reports by their range and status.
pub(super) fn answers(octets: &[u8]) -> Vec<String> {
    let answer = |(head, ..): (Head, Vec<u8>, Flag)| match head.code() {
        Some(code) => code.to_string(),
        None => format!(
            "{} {} {}",
            head.method().unwrap(),
            head.text(HeaderName::ByteRange).unwrap_or_default(),
            head.text(HeaderName::Status).unwrap_or_default()
        ),
    };
    frames(octets).into_iter().map(answer).collect()
}

/// Messages that are whole: names and contents.
fn messages(events: &[Event]) -> Vec<(String, String)> {
    let message = |event: &Event| match event {
        Event::Message { message, .. } => {
            Some((message.id.to_string(), String::from_utf8(message.content.to_vec()).unwrap()))
        }
        _ => None,
    };
    events.iter().filter_map(message).collect()
}

fn whole(id: &str, content: &str) -> Vec<(String, String)> {
    vec![(id.to_owned(), content.to_owned())]
}

#[test]
fn r40_chunks_in_every_order() {
    let chunks = [
        chunk("t001", "m", "1-4/*", "", "abcd", '+'),
        chunk("t002", "m", "5-8/*", "", "efgh", '+'),
        chunk("t003", "m", "9-*/*", "", "ijk", '+'),
        chunk("t004", "m", "12-13/13", "", "lm", '$'),
    ];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let mut alice = End::of("alice", "bob");
        for (count, place) in order.iter().enumerate() {
            assert_eq!(messages(&alice.events()), [], "{order:?} {count}");
            alice.take(&chunks[*place]);
        }
        assert_eq!(messages(&alice.events()), whole("m", "abcdefghijklm"), "{order:?}");
        assert_eq!(answers(&alice.put_out()), ["200"; 4]);
    }
}

#[test]
fn r40_what_overlaps_and_what_comes_last_counts() {
    let mut alice = End::of("alice", "bob");
    for (range, content) in [("1-4/9", "aaaa"), ("7-8/9", "cc"), ("3-7/9", "bbbbb"), ("1-1/9", "x")] {
        alice.take(&chunk("t001", "m", range, "", content, '+'));
    }
    alice.take(&chunk("t002", "m", "9-9/9", "", "z", '$'));
    assert_eq!(messages(&alice.events()), whole("m", "xabbbbbcz"));
}

#[test]
fn r11_a_message_without_a_range_and_one_without_octets() {
    let mut alice = End::of("alice", "bob");
    alice.take(&chunk("t001", "m1", "", "", "hello", '$'));
    alice.take(&chunk("t002", "m2", "1-0/0", "", "", '$'));
    alice.take(&chunk("t003", "m3", "1-*/*", "", "", '$'));
    let events = alice.events();
    assert_eq!(messages(&events), [whole("m1", "hello"), whole("m2", ""), whole("m3", "")].concat());
    // The length of a chunk is what there is, whatever its range says.
    alice.take(&chunk("t004", "m4", "1-100/*", "", "abc", '$'));
    assert_eq!(messages(&alice.events()), whole("m4", "abc"));
}

#[test]
fn r40_what_contradicts_itself_is_refused_and_stopped() {
    for (one, other) in [
        // Another total, more than the total, an end before the total, an end before what is there.
        (("1-2/9", "ab", '+'), ("3-4/8", "cd", '+')),
        (("1-2/4", "ab", '+'), ("3-*/4", "cde", '+')),
        (("1-2/9", "ab", '+'), ("3-4/9", "cd", '$')),
        (("5-6/*", "ef", '+'), ("1-2/*", "ab", '$')),
        (("5-6/*", "ef", '+'), ("1-2/3", "ab", '+')),
    ] {
        let mut alice = End::of("alice", "bob");
        alice.take(&chunk("t001", "m", one.0, "", one.1, one.2));
        alice.take(&chunk("t002", "m", other.0, "", other.1, other.2));
        assert_eq!(answers(&alice.put_out()), ["200", "400"], "{one:?} {other:?}");
        alice.take(&chunk("t003", "m", "1-2/2", "", "ab", '$'));
        assert_eq!(answers(&alice.put_out()), ["413"]);
        assert_eq!(messages(&alice.events()), []);
        // The session goes on.
        alice.take(&chunk("t004", "n", "1-2/2", "", "ab", '$'));
        assert_eq!(messages(&alice.events()), whole("n", "ab"));
    }
}

#[test]
fn r41_a_message_that_its_sender_gives_up() {
    let mut alice =
        End::with("alice", "bob", Config::default(), |options| options.receive = Receive::Parts { above: 0 });
    alice.take(&chunk("t001", "m", "1-*/9", "", "ab", '+'));
    alice.take(&chunk("t002", "m", "3-*/9", "", "c", '#'));
    let events = alice.events();
    let Some(Event::Began { incoming, .. }) = events.get(1) else { panic!("{events:?}") };
    let broken = Event::Broken { incoming: *incoming, why: BrokenBy::Sender };
    assert_eq!(events.last(), Some(&broken));
    alice.take(&chunk("t003", "m", "4-9/9", "", "defghi", '$'));
    assert_eq!(answers(&alice.put_out()), ["200", "200", "413"]);
    assert_eq!(alice.events(), []);
}

#[test]
fn r43_a_copy_is_acknowledged_and_not_given_twice() {
    let mut alice = End::of("alice", "bob");
    alice.take(&chunk("t001", "m", "1-2/2", "", "ab", '$'));
    assert_eq!(messages(&alice.events()), whole("m", "ab"));
    for _ in 0..2 {
        alice.take(&chunk("t001", "m", "1-2/2", "", "ab", '$'));
        let events = alice.events();
        assert!(matches!(&events[..], [Event::Duplicate { id, .. }] if id.as_str() == "m"), "{events:?}");
    }
    assert_eq!(answers(&alice.put_out()), ["200"; 3]);
}

#[test]
fn r33_who_is_answered() {
    for (lines, good, bad) in [
        ("", vec!["200"], vec!["400"]),
        ("Failure-Report: yes\r\n", vec!["200"], vec!["400"]),
        ("Failure-Report: partial\r\n", vec![], vec!["400"]),
        ("Failure-Report: no\r\n", vec![], vec![]),
    ] {
        let mut alice = End::of("alice", "bob");
        alice.take(&chunk("t001", "m", "1-2/2", lines, "ab", '$'));
        assert_eq!(answers(&alice.put_out()), good, "{lines}");
        alice.take(&chunk("t001", "n", "0-2/2", lines, "ab", '$'));
        assert_eq!(answers(&alice.put_out()), bad, "{lines}");
    }
}

#[test]
fn r35_arrival_is_reported_as_it_is_wanted() {
    let wanted = "Success-Report: yes\r\n";
    for (reports, expected) in [
        (SuccessReports::Whole, vec!["200", "200", "REPORT 1-4/4 000 200"]),
        (SuccessReports::Chunks, vec!["200", "REPORT 1-2/* 000 200", "200", "REPORT 3-4/4 000 200"]),
        (SuccessReports::Manual, vec!["200", "200"]),
    ] {
        let mut alice = End::with("alice", "bob", Config::default(), |options| options.success_reports = reports);
        alice.take(&chunk("t001", "m", "1-*/4", wanted, "ab", '+'));
        alice.take(&chunk("t002", "m", "3-*/4", wanted, "cd", '$'));
        assert_eq!(answers(&alice.put_out()), expected);
        // Not that of one who does not want to hear of it.
        alice.take(&chunk("t003", "n", "1-2/2", "Success-Report: no\r\n", "ab", '$'));
        assert_eq!(answers(&alice.put_out()), ["200"]);
    }
}

#[test]
fn r35_reports_are_added_up() {
    let (mut alice, mut bob) = (
        End::of("alice", "bob"),
        End::with("bob", "alice", Config::default(), |options| options.success_reports = SuccessReports::Chunks),
    );
    let key = alice.send(Outgoing::streamed("a/b", Some(6000)).unwrap().with_success_report(true));
    let mut covered = Vec::new();
    for part in 0..3 {
        alice.engine.give(key, Bytes::from(vec![b'x'; 2000])).unwrap();
        if part == 2 {
            alice.engine.finish(key).unwrap();
        }
        let octets = alice.put_out();
        bob.take(&octets);
        alice.engine.probe(alice.session).unwrap();
        let octets = alice.put_out();
        bob.take(&octets);
        let octets = bob.put_out();
        alice.take(&octets);
        covered.extend(alice.events().into_iter().filter_map(|event| match event {
            Event::Report { covered, complete, .. } => Some((covered, complete)),
            _ => None,
        }));
    }
    assert_eq!(covered, [(2000, false), (4000, false), (6000, true)]);
}

#[test]
fn r36_a_report_of_failure_stops_a_message() {
    let mut alice = End::of("alice", "bob");
    let id: MessageId = "mmmm".parse().unwrap();
    let key = alice.send(Outgoing::streamed("a/b", None).unwrap().with_id(id));
    alice.engine.give(key, Bytes::from(vec![b'x'; 3000])).unwrap();
    let mut octets = alice.put_out();
    alice.take(
        b"MSRP r123 REPORT\r\nTo-Path: msrp://alice.example.com:7654/alice;tcp\r\n\
          From-Path: msrp://bob.example.com:7654/bob;tcp\r\nMessage-ID: mmmm\r\n\
          Byte-Range: 1-*/*\r\nStatus: 000 413 enough\r\n-------r123$\r\n",
    );
    octets.extend(alice.put_out());
    assert_eq!(outline(&octets), [("SEND".to_owned(), "1-*/*".to_owned(), 3000, Flag::Aborted)]);
    let failed = Outcome::Failed { code: crate::Code::STOP, comment: Some("enough".into()) };
    assert!(alice.events().iter().any(|event| matches!(event, Event::Outcome { outcome, .. } if *outcome == failed)));
}

#[test]
fn r41_the_owner_wants_no_more_of_a_message() {
    let parts = |options: &mut SessionOptions| options.receive = Receive::Parts { above: 0 };
    // In the middle of a chunk: it is answered at once, and what is left of it is nobody's.
    let mut alice = End::with("alice", "bob", Config::default(), parts);
    let octets = chunk("t001", "m", "1-*/9", "", "abcdef", '+');
    let (one, other) = octets.split_at(octets.len() - 20);
    alice.take(one);
    let events = alice.events();
    let Some(Event::Began { incoming, .. }) = events.get(1) else { panic!("{events:?}") };
    alice.engine.reject(alice.session, *incoming).unwrap();
    assert_eq!(answers(&alice.put_out()), ["413"]);
    alice.take(other);
    assert_eq!((alice.put_out(), alice.events()), (vec![], vec![]));

    // Between chunks: a report says so, and the next chunk is refused.
    let mut alice = End::with("alice", "bob", Config::default(), parts);
    alice.take(&octets);
    let events = alice.events();
    let Some(Event::Began { incoming, .. }) = events.get(1) else { panic!("{events:?}") };
    alice.put_out();
    alice.engine.reject(alice.session, *incoming).unwrap();
    assert_eq!(answers(&alice.put_out()), ["REPORT 1-*/9 000 413"]);
    alice.take(&chunk("t002", "m", "7-9/9", "", "ghi", '$'));
    assert_eq!(answers(&alice.put_out()), ["413"]);
    alice.engine.reject(alice.session, *incoming).unwrap();
    assert_eq!(alice.put_out(), b"");
}

#[test]
fn r58_messages_are_limited_in_size_and_number() {
    let mut alice = End::with("alice", "bob", Config::default(), |options| {
        (options.max_size, options.open_messages) = (10, 2);
    });
    // By what is said, by where it begins, and by what comes.
    for (id, range, content) in [("a", "1-*/11", ""), ("b", "12-*/*", ""), ("c", "1-*/*", "0123456789x")] {
        alice.take(&chunk("t001", id, range, "", content, '+'));
        assert_eq!(answers(&alice.put_out()), ["413"], "{range}");
    }
    for (id, expected) in [("d", "200"), ("e", "200"), ("f", "413")] {
        alice.take(&chunk("t001", id, "1-*/*", "", "x", '+'));
        assert_eq!(answers(&alice.put_out()), [expected]);
    }
    // One that is whole at once needs no place, and one that is over makes one.
    alice.take(&chunk("t001", "h", "1-1/1", "", "z", '$'));
    assert_eq!(answers(&alice.put_out()), ["200"]);
    assert_eq!(messages(&alice.events()), whole("h", "z"));
    alice.take(&chunk("t001", "d", "2-2/2", "", "y", '$'));
    assert_eq!(messages(&alice.events()), whole("d", "xy"));
    alice.take(&chunk("t001", "g", "1-1/1", "", "z", '$'));
    assert_eq!(answers(&alice.put_out()), ["200", "200"]);
}

#[test]
fn r58_all_messages_together_are_limited() {
    let config = Config { assembly: 20, ..Config::default() };
    let mut alice = End::with("alice", "bob", config, |_| {});
    for (id, range, content, expected) in [
        ("a", "1-*/*", "0123456789", "200"),
        ("b", "5-*/*", "0123456789", "200"),
        ("c", "1-*/*", "0", "413"),
        // Octets that come again take no more room.
        ("a", "1-*/*", "0", "200"),
        ("a", "11-*/*", "0", "413"),
        ("d", "1-*/*", "0123456789", "200"),
    ] {
        alice.take(&chunk("t001", id, range, "", content, '+'));
        assert_eq!(answers(&alice.put_out()), [expected], "{id}");
    }
    alice.engine.remove_session(alice.session, alice.now);
    assert_eq!(alice.engine.budget.used(), 0);
}

#[test]
fn r59_single_octets_far_apart_are_limited() {
    let mut alice = End::with("alice", "bob", Config::default(), |options| options.max_size = u64::MAX / 2);
    for place in 0..2000_u64 {
        alice.take(&chunk("t001", "m", &format!("{}-*/*", place * 1_000_000 + 1), "", "x", '+'));
        let expected = if place < RangeSet::LIMIT as u64 { "200" } else { "413" };
        assert_eq!(answers(&alice.put_out()), [expected], "{place}");
    }
    assert_eq!(alice.engine.budget.used(), 0);
}

#[test]
fn r42_a_message_that_does_not_go_on() {
    let mut alice = End::with("alice", "bob", Config::default(), |options| {
        (options.receive, options.message_timeout) = (Receive::Parts { above: 0 }, Duration::from_secs(100));
    });
    alice.take(&chunk("t001", "m", "1-*/*", "", "x", '+'));
    alice.wait(Duration::from_secs(99));
    alice.take(&chunk("t002", "m", "2-*/*", "", "x", '+'));
    alice.events();
    alice.wait(Duration::from_secs(99));
    assert_eq!(alice.events(), []);
    alice.wait(Duration::from_secs(1));
    assert!(matches!(alice.events()[..], [Event::Broken { why: BrokenBy::Idle, .. }]));
    alice.put_out();
    alice.take(&chunk("t003", "m", "3-*/*", "", "x", '$'));
    assert_eq!(answers(&alice.put_out()), ["413"]);
}

#[test]
fn r39_parts_come_as_they_arrive() {
    let mut alice =
        End::with("alice", "bob", Config::default(), |options| options.receive = Receive::Parts { above: 0 });
    alice.take(&chunk("t001", "m", "5-8/8", "", "efgh", '$'));
    alice.take(&chunk("t002", "m", "1-*/8", "", "abcd", '+'));
    let events = alice.events();
    let [Event::Bound { .. }, Event::Began { incoming, size: Some(8), head, .. }, rest @ ..] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(head.text(HeaderName::ContentType), Some("text/plain"));
    let incoming = *incoming;
    let part = |offset, content: &'static [u8]| Event::Part { incoming, offset, content: Bytes::from_static(content) };
    assert_eq!(rest, [part(4, b"efgh"), part(0, b"abcd"), Event::Completed { incoming, size: 8 }]);
}

#[test]
fn r8_frames_are_the_owners_where_that_is_wanted() {
    let mut alice = End::with("alice", "bob", Config::default(), |options| options.receive = Receive::Frames);
    alice.take(&chunk("t001", "m", "1-4/4", "", "abcd", '$'));
    let events = alice.events();
    let [Event::Bound { .. }, Event::Head { head, .. }, rest @ ..] = &events[..] else { panic!("{events:?}") };
    assert_eq!(head.transaction_id().as_str(), "t001");
    let session = alice.session;
    let expected = [
        Event::Content { session, content: Bytes::from_static(b"abcd") },
        Event::End { session, flag: Flag::Complete },
    ];
    assert_eq!(rest, expected);
    assert_eq!(alice.put_out(), b"");
    alice.engine.respond(session, head, crate::Code::OK).unwrap();
    assert_eq!(answers(&alice.put_out()), ["200"]);
}

proptest! {
    /// Any chunks of a message that do not contradict each other, against a list of octets.
    #[test]
    fn r40_as_a_list_of_octets(
        chunks in proptest::collection::vec((0_usize..40, 1_usize..12, any::<u8>()), 1..25),
    ) {
        let mut alice = End::of("alice", "bob");
        let size = chunks.iter().map(|(start, length, _)| start + length).max().unwrap();
        let mut model: Vec<Option<char>> = vec![None; size];
        let mut last = false;
        for (start, length, letter) in &chunks {
            let letter = char::from(b'a' + letter % 26);
            let content: String = std::iter::repeat_n(letter, *length).collect();
            let flag = if start + length == size { '$' } else { '+' };
            alice.take(&chunk("t001", "m", &format!("{}-*/{size}", start + 1), "", &content, flag));
            model[*start..start + length].fill(Some(letter));
            last |= flag == '$';
            let whole = last && model.iter().all(Option::is_some);
            let got = messages(&alice.events());
            if whole {
                let expected: String = model.iter().flatten().collect();
                prop_assert_eq!(got, vec![("m".to_owned(), expected)]);
                break;
            }
            prop_assert_eq!(got, vec![]);
        }
    }
}

#[test]
fn r44_only_media_types_that_are_taken() {
    for (types, expected) in [("*", "200"), ("text/*", "200"), ("text/plain", "200"), ("text/html", "415")] {
        let mut alice =
            End::with("alice", "bob", Config::default(), |options| options.accept_types = types.parse().unwrap());
        alice.take(&chunk("t001", "m", "1-2/2", "", "hi", '$'));
        assert_eq!(answers(&alice.put_out()), [expected], "{types}");
    }
}

#[test]
fn r39_only_large_messages_come_in_parts() {
    let mut alice =
        End::with("alice", "bob", Config::default(), |options| options.receive = Receive::Parts { above: 4 });
    alice.take(&chunk("t001", "m", "1-4/4", "", "abcd", '$'));
    alice.take(&chunk("t002", "n", "1-5/5", "", "abcde", '$'));
    let events = alice.events();
    assert!(
        matches!(
            &events[..],
            [
                Event::Bound { .. },
                Event::Message { .. },
                Event::Began { .. },
                Event::Part { .. },
                Event::Completed { .. }
            ]
        ),
        "{events:?}"
    );
}

#[test]
fn nothing_is_received_before_it_is_known_how() {
    let mut alice = End::with("alice", "bob", Config::default(), |options| options.receive = Receive::Undecided);
    let empty = "MSRP t000 SEND\r\nTo-Path: msrp://alice.example.com:7654/alice;tcp\r\n\
                 From-Path: msrp://bob.example.com:7654/bob;tcp\r\nMessage-ID: e\r\n-------t000$\r\n";
    alice.take(empty.as_bytes());
    assert_eq!(answers(&alice.put_out()), ["200"]);
    alice.take(&chunk("t001", "m", "1-4/4", "", "abcd", '$'));
    assert!(!alice.engine.is_hungry());
    assert_eq!((alice.put_out(), alice.events().len()), (vec![], 1));
    alice.engine.receive(alice.session, Receive::Messages, alice.now).unwrap();
    assert_eq!(messages(&alice.events()), whole("m", "abcd"));
    assert_eq!(answers(&alice.put_out()), ["200"]);
}

#[test]
fn r59_what_is_kept_does_not_keep_the_read_buffer() {
    for receive in [Receive::Messages, Receive::Parts { above: 0 }, Receive::Frames] {
        for (length, copied) in [(0, true), (100, true), (16 * 1024, true), (16 * 1024 + 1, false)] {
            let mut alice = End::with("alice", "bob", Config::default(), |options| options.receive = receive);
            let octets = Bytes::from(chunk("t001", "m", "", "", &"x".repeat(length), '$'));
            let within = octets.as_ptr_range();
            alice.engine.handle_input(alice.now, octets.clone());
            let heads = alice.events().into_iter().filter_map(|event| match event {
                Event::Message { message, .. } => {
                    assert_eq!(within.contains(&message.content.as_ptr()), !copied, "{length}");
                    assert_eq!(message.content.len(), length);
                    Some(message.head)
                }
                Event::Began { head, .. } | Event::Head { head, .. } => Some(head),
                _ => None,
            });
            let heads: Vec<_> = heads.collect();
            assert_eq!(heads.len(), 1);
            assert!(!within.contains(&heads[0].as_bytes().as_ptr()), "{receive:?}");
            assert_eq!(heads[0].text(HeaderName::ContentType), Some("text/plain"));
        }
    }
}
