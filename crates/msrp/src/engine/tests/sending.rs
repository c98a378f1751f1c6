//! How messages are cut into chunks, and who goes first.

use super::*;

#[test]
fn r10_a_short_message_says_where_it_ends() {
    let mut alice = End::of("alice", "bob");
    alice.send(Outgoing::new("text/plain", "Hey Bob, are you there?"));
    alice.send(Outgoing::new("text/plain", vec![b'x'; 2048]));
    alice.send(Outgoing::new("text/plain", vec![b'x'; 2049]));
    alice.send(Outgoing::new("text/plain", ""));
    let send = |range: &str, length| ("SEND".to_owned(), range.to_owned(), length, Flag::Complete);
    let expected = [send("1-23/23", 23), send("1-2048/2048", 2048), send("1-*/2049", 2049), send("1-0/0", 0)];
    assert_eq!(outline(&alice.put_out()), expected);
}

#[test]
fn r4_headers_stand_in_their_order() {
    let mut alice = End::of("alice", "bob");
    let message = Outgoing::new("text/plain", "hi")
        .with_success_report(true)
        .with_failure_report(FailureReport::Partial)
        .with_header("X-Mood", "good")
        .unwrap()
        .with_header("Content-Disposition", "render")
        .unwrap();
    alice.send(message);
    let sent = frames(&alice.put_out());
    let names: Vec<_> = sent[0].0.headers().map(|(name, _)| name).collect();
    let expected = [
        "To-Path",
        "From-Path",
        "Message-ID",
        "Byte-Range",
        "X-Mood",
        "Success-Report",
        "Failure-Report",
        "Content-Disposition",
        "Content-Type",
    ];
    assert_eq!(names, expected);
    assert_eq!(sent[0].0.text(HeaderName::ToPath), Some("msrp://bob.example.com:7654/bob;tcp"));
}

#[test]
fn r62_no_header_ends_its_line() {
    let message = || Outgoing::new("text/plain", "");
    for value in ["a\r\nX: y", "a\nb", "a\0b", "\x1b"] {
        assert_eq!(message().with_header("X", value).unwrap_err(), HeaderError::Value, "{value:?}");
        assert_eq!(Outgoing::typed(value, "").unwrap_err(), HeaderError::Value);
        assert_eq!(Request::new(Method::Nickname).unwrap().with_header("X", value).unwrap_err(), HeaderError::Value);
    }
    for name in ["", "X Y", "X:", "1X", "X\r\n", "\u{f6}"] {
        assert_eq!(message().with_header(name, "v").unwrap_err(), HeaderError::Name, "{name:?}");
    }
    for name in ["To-Path", "byte-range", "Content-Type", "Status"] {
        assert_eq!(message().with_header(name, "v").unwrap_err(), HeaderError::Own, "{name:?}");
    }
    assert_eq!(Request::new(Method::Other("SEND X\r\n")).unwrap_err(), HeaderError::Name);
}

#[test]
fn r9_an_end_line_in_the_content_ends_the_chunk_before_it_is_whole() {
    // The ids are known beforehand: what has the same numbers has the same ids.
    let first_id = || {
        let mut alice = End::of("alice", "bob");
        alice.send(Outgoing::new("a/b", "x"));
        frames(&alice.put_out())[0].0.transaction_id()
    };
    let mark = format!("-------{}", first_id());
    for before in [0, 1, 30, 5000] {
        let content = format!("{}\r\n{mark}$\r\nrest", "y".repeat(before));
        // In one piece, and in two that are cut anywhere about the mark.
        for cut in 0..=mark.len() + 6 {
            let (one, other) = content.split_at(before + cut);
            let mut alice = End::of("alice", "bob");
            let key = alice.send(Outgoing::streamed("a/b", None).unwrap());
            alice.engine.give(key, Bytes::copy_from_slice(one.as_bytes())).unwrap();
            let mut octets = alice.put_out();
            alice.engine.give(key, Bytes::copy_from_slice(other.as_bytes())).unwrap();
            alice.engine.finish(key).unwrap();
            octets.extend(alice.put_out());
            let sent = frames(&octets);
            let flags: Vec<_> = sent.iter().map(|(_, _, flag)| *flag).collect();
            assert_eq!(flags, [Flag::Continues, Flag::Complete], "{before} {cut}");
            let joined: Vec<u8> = sent.into_iter().flat_map(|(_, content, _)| content).collect();
            assert_eq!(String::from_utf8(joined).unwrap(), content);
        }
    }
}

#[test]
fn r10_a_long_chunk_is_interrupted_by_what_answers_the_peer() {
    let mut alice = End::of("alice", "bob");
    let key = alice.send(Outgoing::streamed("a/b", None).unwrap());
    assert_eq!(alice.events(), [Event::Wanted { message: key }]);
    alice.engine.give(key, Bytes::from(vec![b'x'; 5000])).unwrap();
    let mut octets = alice.put_out();
    assert_eq!(outline(&octets).len(), 0);
    alice.take(b"MSRP 1234 SEND\r\nTo-Path: msrp://alice.example.com:7654/alice;tcp\r\nFrom-Path: msrp://bob.example.com:7654/bob;tcp\r\nMessage-ID: m\r\n-------1234$\r\n");
    octets.extend(alice.put_out());
    alice.engine.give(key, Bytes::from(vec![b'x'; 7])).unwrap();
    alice.engine.finish(key).unwrap();
    octets.extend(alice.put_out());
    let expected = [
        ("SEND".to_owned(), "1-*/*".to_owned(), 5000, Flag::Continues),
        ("200".to_owned(), String::new(), 0, Flag::Complete),
        ("SEND".to_owned(), "5001-5007/5007".to_owned(), 7, Flag::Complete),
    ];
    assert_eq!(outline(&octets), expected);
}

#[test]
fn r10_messages_take_turns() {
    let mut alice = End::of("alice", "bob");
    let size = 3 * HIGH;
    alice.send(Outgoing::new("a/b", vec![b'x'; size]));
    let mut octets = alice.put_out();
    // Nothing else waits: it is one chunk, as long as it may be.
    assert_eq!(outline(&octets), [("SEND".to_owned(), format!("1-*/{size}"), size, Flag::Complete)]);

    alice.send(Outgoing::new("a/b", vec![b'x'; size]));
    alice.send(Outgoing::new("a/b", vec![b'y'; size]));
    alice.send(Outgoing::new("text/plain", "hello"));
    octets = alice.put_out();
    let sent = outline(&octets);
    let lengths: Vec<usize> = sent.iter().map(|(_, _, length, _)| *length).collect();
    let share = Config::default().share;
    assert_eq!(lengths[..4], [share, share, 5, share]);
    assert!(lengths.iter().all(|length| *length <= share));
    assert_eq!(lengths.iter().sum::<usize>(), 2 * size + 5);
    // The last of each ends its message.
    let whole = sent.iter().filter(|(_, _, _, flag)| *flag == Flag::Complete).count();
    assert_eq!(whole, 3);
}

#[test]
fn r10_what_waits_for_the_transport_is_bounded() {
    let mut alice = End::of("alice", "bob");
    alice.send(Outgoing::new("a/b", vec![b'x'; 10 * HIGH]));
    let mut parts = VecDeque::new();
    let first = alice.engine.poll_transmit(alice.now, &mut parts);
    assert!((HIGH..HIGH + Config::default().share + 1000).contains(&first), "{first}");
    let left = 10 * HIGH - alice.engine.backlog();
    assert!((HIGH..first).contains(&left) && first - left < 1000, "{left} {first}");
}

#[test]
fn r55_a_frame_is_a_message_of_the_transport() {
    let config = Config { carriage: Carriage::Frames(3000), ..Config::default() };
    let mut alice = End::with("alice", "bob", config, |_| {});
    alice.send(Outgoing::new("a/b", vec![b'x'; 7000]));
    let mut parts = VecDeque::new();
    let mut ranges = Vec::new();
    while alice.engine.poll_transmit(alice.now, &mut parts) > 0 {
        let frame: Vec<u8> = parts.drain(..).flatten().collect();
        ranges.extend(outline(&frame));
    }
    let send = |range: &str, length, flag| ("SEND".to_owned(), range.to_owned(), length, flag);
    let expected = [
        send("1-*/7000", 3000, Flag::Continues),
        send("3001-*/7000", 3000, Flag::Continues),
        send("6001-7000/7000", 1000, Flag::Complete),
    ];
    assert_eq!(ranges, expected);
}

#[test]
fn r10_a_path_over_relays_has_short_chunks() {
    let relay: Uri = "msrp://relay.example.com:2855/r;tcp".parse().unwrap();
    let mut alice = End::with("alice", "bob", Config::default(), |options| options.relays.push(relay));
    alice.send(Outgoing::new("a/b", vec![b'x'; 25_000]));
    let octets = alice.put_out();
    assert_eq!(outline(&octets).iter().map(|(_, _, length, _)| *length).collect::<Vec<_>>(), [10_240, 10_240, 4520]);
    let to = frames(&octets)[0].0.text(HeaderName::ToPath).unwrap().to_owned();
    assert_eq!(to, "msrp://relay.example.com:2855/r;tcp msrp://bob.example.com:7654/bob;tcp");
}

#[test]
fn r49_a_message_goes_on_where_the_peer_has_it() {
    let mut alice = End::of("alice", "bob");
    alice.send(Outgoing::new("a/b", "0123456789").from_position(4));
    let sent = frames(&alice.put_out());
    assert_eq!((sent[0].0.text(HeaderName::ByteRange), &sent[0].1[..]), (Some("5-10/10"), &b"456789"[..]));
}

#[test]
fn a_message_that_is_given_keeps_to_its_size() {
    let mut alice = End::of("alice", "bob");
    let key = alice.send(Outgoing::streamed("a/b", Some(10)).unwrap());
    assert_eq!(alice.engine.give(key, Bytes::from_static(b"0123456789x")), Err(GiveError::TooMuch));
    alice.engine.give(key, Bytes::from_static(b"012345678")).unwrap();
    assert_eq!(alice.engine.finish(key), Err(GiveError::TooLittle));
    alice.engine.give(key, Bytes::from_static(b"9")).unwrap();
    alice.engine.finish(key).unwrap();
    assert_eq!(alice.engine.give(key, Bytes::from_static(b"x")), Err(GiveError::Over));
    assert_eq!(outline(&alice.put_out()), [("SEND".to_owned(), "1-10/10".to_owned(), 10, Flag::Complete)]);
}

#[test]
fn r36_a_message_that_is_given_up_ends_with_its_flag() {
    let mut alice = End::of("alice", "bob");
    // Nothing of it has left: nobody hears of it.
    let key = alice.send(Outgoing::new("a/b", "x"));
    alice.engine.abort(key);
    assert_eq!(alice.put_out(), b"");
    assert!(
        matches!(&alice.events()[..], [Event::Outcome { message, outcome: Outcome::Aborted, .. }] if *message == key)
    );

    // In the middle of a chunk.
    let key = alice.send(Outgoing::streamed("a/b", None).unwrap());
    alice.engine.give(key, Bytes::from(vec![b'x'; 3000])).unwrap();
    let mut octets = alice.put_out();
    alice.engine.abort(key);
    octets.extend(alice.put_out());
    assert_eq!(outline(&octets), [("SEND".to_owned(), "1-*/*".to_owned(), 3000, Flag::Aborted)]);

    // Between chunks.
    let key = alice.send(Outgoing::streamed("a/b", None).unwrap());
    alice.engine.give(key, Bytes::from(vec![b'x'; 3000])).unwrap();
    let mut octets = alice.put_out();
    alice.engine.probe(alice.session).unwrap();
    alice.engine.abort(key);
    octets.extend(alice.put_out());
    let flags: Vec<_> = outline(&octets).into_iter().map(|(_, range, length, flag)| (range, length, flag)).collect();
    let expected = [
        ("1-*/*".to_owned(), 3000, Flag::Continues),
        ("1-0/0".to_owned(), 0, Flag::Complete),
        ("3001-*/*".to_owned(), 0, Flag::Aborted),
    ];
    assert_eq!(flags, expected);
}
