use proptest::prelude::*;

use super::*;
use crate::{HeadFault, HeaderName, Method};

/// A frame that was read: its head, its content in one piece (none where the frame has none), its flag.
type Frame = (Bytes, Option<HeadFault>, Vec<u8>, Flag);

/// What comes of octets that arrive in these pieces, up to the first error.
fn frames(pieces: &[&[u8]]) -> (Vec<Frame>, Vec<u8>, Option<ParseError>) {
    let mut parser = Parser::default();
    let (mut frames, mut open, mut content) = (Vec::new(), None, Vec::new());
    for piece in pieces {
        parser.push(Bytes::copy_from_slice(piece));
        loop {
            match parser.next_event() {
                Ok(None) => break,
                Ok(Some(Event::Head(head))) => {
                    assert!(open.is_none() && content.is_empty());
                    open = Some((head.as_bytes().clone(), head.fault()));
                }
                Ok(Some(Event::Content(part))) => {
                    assert!(open.is_some() && !part.is_empty());
                    content.extend_from_slice(&part);
                }
                Ok(Some(Event::End(flag))) => {
                    let (head, fault) = open.take().expect("a frame that ends has begun");
                    frames.push((head, fault, std::mem::take(&mut content), flag));
                }
                Err(error) => {
                    assert_eq!(parser.next_event(), Err(error));
                    return (frames, content, Some(error));
                }
            }
        }
    }
    (frames, content, None)
}

fn head_of(text: &str) -> Head {
    let mut parser = Parser::default();
    parser.push(Bytes::copy_from_slice(text.as_bytes()));
    match parser.next_event() {
        Ok(Some(Event::Head(head))) => head,
        other => panic!("{other:?}"),
    }
}

fn error_of(text: &[u8]) -> ParseError {
    frames(&[text]).2.unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(text)))
}

const PATHS: &str = "To-Path: msrp://b:1/t;tcp\r\nFrom-Path: msrp://a:1/f;tcp\r\n";

/// The frames of RFC 4975 and RFC 4976, and others that are hard to read.
fn examples() -> Vec<Vec<u8>> {
    let mut examples = vec![
        format!("MSRP a786hjs2 SEND\r\n{PATHS}Message-ID: 87652491\r\nByte-Range: 1-25/25\r\nContent-Type: text/plain\r\n\r\nHey Bob, are you there?\r\n-------a786hjs2$\r\n"),
        format!("MSRP a786hjs2 200 OK\r\n{PATHS}-------a786hjs2$\r\n"),
        format!("MSRP dkei38sd SEND\r\n{PATHS}Message-ID: 4564dpWd\r\nByte-Range: 1-*/8\r\nContent-Type: text/plain\r\n\r\nabcd\r\n-------dkei38sd+\r\n"),
        format!("MSRP dkei38ia SEND\r\n{PATHS}Message-ID: 4564dpWd\r\nByte-Range: 5-8/8\r\nContent-Type: text/plain\r\n\r\nEFGH\r\n-------dkei38ia$\r\n"),
        format!("MSRP dkei38sd REPORT\r\n{PATHS}Message-ID: 12339sdqwer\r\nByte-Range: 1-106/106\r\nStatus: 000 200 OK\r\n-------dkei38sd$\r\n"),
        format!("MSRP d93kswow SEND\r\n{PATHS}Message-ID: 12339sdqwer\r\nByte-Range: 1-137/148\r\nContent-Type: message/cpim\r\n\r\nTo: Bob <sip:bob@example.com>\r\nFrom: Alice <sip:alice@example.com>\r\nDateTime: 2006-05-15T15:02:31-03:00\r\nContent-Type: text/plain\r\n\r\nABCD\r\n-------d93kswow+\r\n"),
        format!("MSRP 49fi AUTH\r\n{PATHS}-------49fi$\r\n"),
        format!("MSRP 49fi 401 Unauthorized\r\n{PATHS}WWW-Authenticate: Digest realm=\"example.com\", qop=\"auth\"\r\n-------49fi$\r\n"),
        // No comment, a blank behind the code, a comment of UTF-8.
        format!("MSRP 49fi 200\r\n{PATHS}-------49fi$\r\nMSRP 49fj 200 \r\n{PATHS}-------49fj$\r\nMSRP 49fk 413 gen\u{fc}gt\r\n{PATHS}-------49fk#\r\n"),
        // Content that is empty is not the same as none.
        format!("MSRP 49fi SEND\r\n{PATHS}Message-ID: m\r\nContent-Type: a/b\r\n\r\n\r\n-------49fi$\r\n"),
        // Values with odd blanks, names in odd case, headers that nobody knows.
        format!("MSRP 49fi SEND\r\nTO-path:msrp://b:1/t;tcp\r\nfrom-PATH: \t msrp://a:1/f;tcp \r\nX-Other: 1: 2\r\nx-other:\r\n-------49fi$\r\n"),
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect::<Vec<_>>();
    // Content that looks like an end line and is none.
    for content in [
        "-------49fi$\r\n",
        "\r\n-------49fiZ\r\n",
        "\r\n-------49fi$more\r\n",
        "\r\n-------49fi$\rx\n",
        "\r\n-------49fi\r\n",
        "\r\n------49fi$\r\n",
        "\r\n--------49fi$\r\n",
        "\r\n-------49fix$\r\n",
        "\r\n-------49f\r\n-------49fi",
        "\r\n\r\n-------49fi+\r\r\n",
        "\r\n-----\r\n-------49fi$\r\r\n-------",
        "\r\r\r\r\n\r\n\r\n--\r\n---\r\n----",
    ] {
        examples.push(
            format!("MSRP 49fi SEND\r\n{PATHS}Message-ID: m\r\nContent-Type: a/b\r\n\r\n{content}\r\n-------49fi+\r\n")
                .into_bytes(),
        );
        let (read, _, error) = frames(&[examples.last().unwrap()]);
        assert_eq!((read.len(), error), (1, None), "{content:?}");
        assert_eq!(String::from_utf8_lossy(&read[0].2), content);
    }
    examples
}

#[test]
fn r1_start_lines() {
    let request = head_of(&format!("MSRP a786hjs2 SEND\r\n{PATHS}-------a786hjs2$\r\n"));
    assert_eq!((request.method(), request.code(), request.comment()), (Some(Method::Send), None, None));
    assert_eq!(request.transaction_id().as_str(), "a786hjs2");
    let response = |line: &str| head_of(&format!("MSRP a786hjs2 {line}\r\n{PATHS}-------a786hjs2$\r\n"));
    for (line, code, comment) in [
        ("200 OK", 200, Some("OK")),
        ("200", 200, None),
        ("200 ", 200, None),
        ("000 a  b ", 0, Some("a  b ")),
        ("999 gen\u{fc}gt", 999, Some("gen\u{fc}gt")),
    ] {
        let head = response(line);
        assert_eq!((head.method(), head.code(), head.comment()), (None, Some(code), comment), "{line}");
    }
    for line in ["", " ", "send", "Send", "SEND ", "SEND x", "20", "2000", "20x OK", "200OK", "2 0 OK", "SE-ND"] {
        let error = error_of(format!("MSRP a786hjs2 {line}\r\n").as_bytes());
        assert_eq!(error, ParseError::StartLine, "{line:?}");
    }
    for text in ["MSRPS", "msrp a786hjs2 SEND", "HTTP/1.1", "\r\n", "\nMSRP", "MSRP\t"] {
        assert_eq!(error_of(text.as_bytes()), ParseError::NotMsrp, "{text:?}");
    }
    assert_eq!(error_of(b"MSRP a786hjs2\r\n"), ParseError::StartLine);
}

#[test]
fn r2_ids_that_are_none() {
    for id in ["abc", "abcdefghijklmnopqrstuvwxyz0123456", ".abc", "a_bc", "a\u{f6}bc", ""] {
        assert_eq!(error_of(format!("MSRP {id} SEND\r\n").as_bytes()), ParseError::TransactionId, "{id:?}");
    }
}

#[test]
fn r3_any_method_in_capitals() {
    for method in ["REPORT", "AUTH", "NICKNAME", "X", "FILE_OFFSET"] {
        let head = head_of(&format!("MSRP a786hjs2 {method}\r\n{PATHS}-------a786hjs2$\r\n"));
        assert_eq!(head.method().unwrap().to_string(), method);
    }
}

#[test]
fn r4_headers_in_their_order_and_once() {
    let fault = |headers: &str| head_of(&format!("MSRP a786hjs2 SEND\r\n{headers}-------a786hjs2$\r\n")).fault();
    assert_eq!(fault(PATHS), None);
    assert_eq!(fault(""), Some(HeadFault::Order));
    assert_eq!(fault("To-Path: msrp://b:1/t;tcp\r\n"), Some(HeadFault::Order));
    assert_eq!(fault("From-Path: msrp://a:1/f;tcp\r\nTo-Path: msrp://b:1/t;tcp\r\n"), Some(HeadFault::Order));
    assert_eq!(fault(&format!("X: y\r\n{PATHS}")), Some(HeadFault::Order));
    for twice in ["To-Path: msrp://b:1/t;tcp", "from-path: a", "Message-ID: m", "Byte-Range: 1-1/1", "Status: 000 200"]
    {
        let name = HeaderName::of(twice.split(':').next().unwrap().as_bytes()).unwrap();
        assert_eq!(fault(&format!("{PATHS}{twice}\r\n{twice}\r\n")), Some(HeadFault::Twice(name)));
    }
    assert_eq!(fault(&format!("{PATHS}X-A: 1\r\nX-A: 1\r\n")), None);
    for line in ["nonsense", ": x", "X Y: z", " folded: x", "1X: y", "\tx"] {
        assert_eq!(fault(&format!("{PATHS}{line}\r\n")), Some(HeadFault::Line(4)), "{line:?}");
    }
    for line in ["X: a\0b", "X: a\rb", "X: \x1b[2J", "X: \x7f"] {
        assert_eq!(fault(&format!("{PATHS}{line}\r\n")), Some(HeadFault::Text(4)), "{line:?}");
    }
    let head =
        head_of(&format!("MSRP a786hjs2 SEND\r\n{PATHS}X-Other:  a b \t\r\nmessage-id:m\r\n-------a786hjs2$\r\n"));
    assert_eq!((head.other("x-OTHER"), head.text(HeaderName::MessageId)), (Some(&b"a b"[..]), Some("m")));
    assert_eq!(
        head.headers().map(|(name, _)| name).collect::<Vec<_>>(),
        ["To-Path", "From-Path", "X-Other", "message-id"]
    );
}

#[test]
fn r5_content_has_a_type_and_a_type_has_content() {
    let fault = |line: &str, rest: &str| head_of(&format!("MSRP a786hjs2 {line}\r\n{PATHS}{rest}")).fault();
    let end = "-------a786hjs2$\r\n";
    assert_eq!(fault("SEND", &format!("\r\nx\r\n{end}")), Some(HeadFault::NoContentType));
    assert_eq!(fault("SEND", &format!("Content-Type: a/b\r\n{end}")), Some(HeadFault::NoContent));
    assert_eq!(fault("SEND", &format!("Content-Type: a/b\r\n\r\n\r\n{end}")), None);
    assert_eq!(fault("200 OK", &format!("Content-Type: a/b\r\n\r\nx\r\n{end}")), Some(HeadFault::ResponseWithContent));
}

#[test]
fn r6_end_lines_of_other_frames() {
    for line in
        ["-------a786hjs3$", "-------a786hjs2", "-------a786hjs2!", "------a786hjs2$", "-------a786hjs2$ ", "-x: y"]
    {
        let error = error_of(format!("MSRP a786hjs2 SEND\r\n{PATHS}{line}\r\n").as_bytes());
        assert_eq!(error, ParseError::EndLine, "{line}");
    }
    for line in ["X: y\n", "\n", "-------a786hjs2$\n"] {
        let error = error_of(format!("MSRP a786hjs2 SEND\r\n{PATHS}{line}").as_bytes());
        assert_eq!(error, ParseError::LineFeed, "{line:?}");
    }
}

#[test]
fn r7_every_cut_of_every_example_gives_the_same() {
    for example in examples() {
        let whole = frames(&[&example]);
        assert!(whole.2.is_none() && !whole.0.is_empty(), "{}", String::from_utf8_lossy(&example));
        for cut in 0..=example.len() {
            let (one, other) = example.split_at(cut);
            assert_eq!(frames(&[one, other]), whole, "cut at {cut} of {:?}", String::from_utf8_lossy(&example));
            for second in cut..example.len().min(cut + 60) {
                let pieces = [one, &example[cut..second], &example[second..]];
                assert_eq!(frames(&pieces), whole, "cut at {cut} and {second}");
            }
        }
        let octets: Vec<&[u8]> = example.chunks(1).collect();
        assert_eq!(frames(&octets), whole);
    }
}

#[test]
fn r7_every_prefix_waits() {
    for example in examples() {
        let count = frames(&[&example]).0.len();
        for length in 0..example.len() {
            let (read, _, error) = frames(&[&example[..length]]);
            assert_eq!(error, None);
            assert!(read.len() < count || example[length..].is_empty());
        }
    }
}

#[test]
fn r7_nothing_that_may_be_the_end_line_is_handed_on() {
    let mut parser = Parser::default();
    parser.push(Bytes::from(format!("MSRP 49fi SEND\r\n{PATHS}Content-Type: a/b\r\n\r\nabc\r\n-------49fi")));
    assert!(matches!(parser.next_event(), Ok(Some(Event::Head(_)))));
    assert_eq!(parser.next_event(), Ok(Some(Event::Content(Bytes::from_static(b"abc")))));
    assert_eq!(parser.next_event(), Ok(None));
    assert_eq!(parser.open_transaction().unwrap().as_str(), "49fi");
    parser.push(Bytes::from_static(b"$\r\r\n"));
    assert_eq!(parser.next_event(), Ok(Some(Event::Content(Bytes::from_static(b"\r\n-------49fi")))));
    assert_eq!(parser.next_event(), Ok(Some(Event::Content(Bytes::from_static(b"$\r")))));
    assert_eq!(parser.next_event(), Ok(None));
    parser.push(Bytes::from_static(b"-------49fi#\r\nMS"));
    assert_eq!(parser.next_event(), Ok(Some(Event::End(Flag::Aborted))));
    assert!(!parser.is_between_frames());
}

#[test]
fn r8_content_is_what_arrived_and_no_copy() {
    let octets = Bytes::from(format!("MSRP 49fi SEND\r\n{PATHS}Content-Type: a/b\r\n\r\nabcdef\r\n-------49fi$\r\n"));
    let mut parser = Parser::default();
    parser.push(octets.clone());
    let Ok(Some(Event::Head(head))) = parser.next_event() else { panic!() };
    let Ok(Some(Event::Content(content))) = parser.next_event() else { panic!() };
    let place = |part: &[u8]| part.as_ptr().addr() - octets.as_ptr().addr();
    assert_eq!((place(head.as_bytes()), place(&content)), (0, octets.len() - 22));
}

#[test]
fn r13_responses_have_a_code_and_no_method() {
    let head = head_of(&format!("MSRP a786hjs2 481 gone\r\n{PATHS}-------a786hjs2$\r\n"));
    assert_eq!((head.method(), head.code()), (None, Some(481)));
}

#[test]
fn r14_text_that_is_not_utf_8() {
    let mut bytes = format!("MSRP a786hjs2 SEND\r\n{PATHS}X: ").into_bytes();
    bytes.extend_from_slice(b"\xff\xfe\r\n-------a786hjs2$\r\n");
    let (read, _, error) = frames(&[&bytes]);
    assert_eq!((read[0].1, error), (Some(HeadFault::Text(4)), None));
    assert_eq!(error_of(b"MSRP a786hjs2 200 \xff\r\n"), ParseError::StartLine);
}

#[test]
fn r16_what_was_read_is_written_back_octet_for_octet() {
    for example in examples() {
        let mut parser = Parser::default();
        parser.push(Bytes::from(example.clone()));
        let (mut written, mut id, mut content) = (Vec::new(), None, false);
        while let Some(event) = parser.next_event().unwrap() {
            match event {
                Event::Head(head) => {
                    written.extend_from_slice(head.as_bytes());
                    content = head.value(HeaderName::ContentType).is_some();
                    if content {
                        written.extend_from_slice(b"\r\n");
                    }
                    id = Some(head.transaction_id());
                }
                Event::Content(part) => written.extend_from_slice(&part),
                Event::End(flag) => {
                    let end = if content { "\r\n" } else { "" };
                    written.extend_from_slice(format!("{end}-------{}{flag}\r\n", id.unwrap()).as_bytes());
                }
            }
        }
        assert_eq!(written, example);
    }
}

#[test]
fn r57_limits() {
    let long = |text: String, at: usize, error: ParseError| {
        assert_eq!(frames(&[&text.as_bytes()[..at]]).2, None, "{error}");
        assert_eq!(frames(&[&text.as_bytes()[..=at]]).2, Some(error));
        // Also where it comes octet by octet.
        let (_, _, found) = frames(&text.as_bytes().chunks(1).collect::<Vec<_>>());
        assert_eq!(found, Some(error));
    };
    let line = format!("MSRP {} 200 {}", "a".repeat(32), "x".repeat(400));
    long(line, 5 + 32 + 1 + 256, ParseError::StartLineTooLong(256));
    let start = "MSRP a786hjs2 SEND\r\n";
    long(format!("{start}X: {}", "x".repeat(20_000)), start.len() + 16_385, ParseError::HeaderLineTooLong(16_384));
    let many = format!("{start}{}", "X: y\r\n".repeat(65));
    long(many.clone(), many.len() - 1, ParseError::TooManyHeaders(64));
    let heavy = format!("{start}{}", format!("X: {}\r\n", "y".repeat(10_000)).repeat(7));
    long(heavy, 65_536, ParseError::HeadTooLong(65_536));
}

#[test]
fn r57_nothing_is_read_behind_an_error() {
    let mut parser = Parser::default();
    let smuggled = format!("MSRP 49fj SEND\r\n{PATHS}-------49fj$\r\n");
    parser.push(Bytes::from(format!("garbage\r\n{smuggled}")));
    parser.push(Bytes::from(smuggled.clone()));
    assert_eq!(parser.next_event(), Err(ParseError::NotMsrp));
    parser.push(Bytes::from(smuggled));
    assert_eq!(parser.next_event(), Err(ParseError::NotMsrp));
}

/// A frame with content that is made of what end lines are made of.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"-------".to_vec()),
        Just(b"49fi".to_vec()),
        Just(b"$".to_vec()),
        Just(b"-".to_vec()),
        Just(b"\r".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| {
        let content = parts.concat();
        let mut frame = format!("MSRP 49fi SEND\r\n{PATHS}Content-Type: a/b\r\n\r\n").into_bytes();
        frame.extend_from_slice(&content);
        frame.extend_from_slice(b"\r\n-------49fi$\r\n");
        frame
    })
}

proptest! {
    #[test]
    fn r7_random_frames_in_random_pieces(octets in proptest::collection::vec(frame(), 1..4), cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20)) {
        let octets = octets.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(octets.len())).collect();
        cuts.sort_unstable();
        let (mut pieces, mut from) = (Vec::new(), 0);
        for cut in cuts.into_iter().chain([octets.len()]) {
            pieces.push(&octets[from..cut]);
            from = cut;
        }
        prop_assert_eq!(frames(&pieces), frames(&[&octets]));
    }
}
