//! Frames as lines, however reads and writes cut them.

use postroad_amqp::v1_0::{FrameTrace, frame_trace_asked};
use postroad_codec::v1_0::{Begin, Direction, Frame, Open, ProtocolHeader, SaslInit, Symbol, Transfer};

fn traced(direction: Direction, chunks: &[&[u8]]) -> Vec<String> {
    let mut trace = FrameTrace::new(0xc0de);
    let mut lines = Vec::new();
    for chunk in chunks {
        trace.bytes(direction, chunk, |line| lines.push(line.to_owned()));
    }
    trace.end(direction, |line| lines.push(line.to_owned()));
    lines
}

/// What a client says, with a password in it.
fn client() -> Vec<u8> {
    let mut bytes = ProtocolHeader::SASL.to_bytes().to_vec();
    let init = SaslInit {
        mechanism: Symbol::from_static("PLAIN"),
        initial_response: Some(b"\0user\0secret".to_vec().into()),
        hostname: None,
    };
    Frame::put_sasl(&init, &mut bytes);
    bytes.extend_from_slice(&ProtocolHeader::AMQP.to_bytes());
    Frame::put_amqp(0, &Open { container_id: "c".into(), ..Open::default() }, &[], &mut bytes);
    Frame::put_amqp(1, &Begin { incoming_window: 10, ..Begin::default() }, &[], &mut bytes);
    Frame::put_amqp(1, &Transfer::default(), b"\0payload", &mut bytes);
    Frame::put_empty(&mut bytes);
    bytes
}

const CLIENT: [&str; 8] = [
    "[0xc0de]: SASL:FRAME:  -> SASL",
    "[0xc0de]: AMQP:FRAME:0 -> @sasl-init(65) [mechanism=:PLAIN, initial-response=[redacted]]",
    "[0xc0de]: AMQP:FRAME:  -> AMQP",
    "[0xc0de]: AMQP:FRAME:0 -> @open(16) [container-id=\"c\"]",
    "[0xc0de]: AMQP:FRAME:1 -> @begin(17) [next-outgoing-id=0x0, incoming-window=0xa, outgoing-window=0x0]",
    "[0xc0de]: AMQP:FRAME:1 -> @transfer(20) [handle=0x0] (8) \\x00payload",
    "[0xc0de]: AMQP:FRAME:0 -> (EMPTY FRAME)",
    "[0xc0de]:   IO:FRAME:  -> EOS",
];

#[test]
fn lines_as_proton_has_them() {
    assert_eq!(traced(Direction::Out, &[&client()]), CLIENT);
}

#[test]
fn cuts_do_not_matter() {
    let bytes = client();
    for size in 1..bytes.len() {
        let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
        assert_eq!(traced(Direction::Out, &chunks), CLIENT, "in pieces of {size}");
    }
}

#[test]
fn the_directions_do_not_disturb_each_other() {
    let mut trace = FrameTrace::new(1);
    let mut lines = Vec::new();
    let header = ProtocolHeader::AMQP.to_bytes();
    for at in 0..8 {
        for direction in [Direction::In, Direction::Out] {
            trace.bytes(direction, &header[at..=at], |line| lines.push(line.to_owned()));
        }
    }
    assert_eq!(lines, ["[0x1]: AMQP:FRAME:  <- AMQP", "[0x1]: AMQP:FRAME:  -> AMQP"]);
    assert_eq!(format!("{trace:?}"), "FrameTrace { id: 0x1, .. }");
}

#[test]
fn a_large_frame_is_told_by_its_start() {
    let mut bytes = ProtocolHeader::AMQP.to_bytes().to_vec();
    Frame::put_amqp(0, &Transfer::default(), &vec![b'x'; 1_000_000], &mut bytes);
    Frame::put_empty(&mut bytes);
    let chunks: Vec<&[u8]> = bytes.chunks(1000).collect();
    let lines = traced(Direction::In, &chunks);
    assert!(lines[1].starts_with("[0xc0de]: AMQP:FRAME:0 <- @transfer(20) [handle=0x0] (1000000) xxx"), "{}", lines[1]);
    assert!(lines[1].ends_with("xxx ... (truncated)") && lines[1].len() < 1100);
    assert_eq!(lines[2], "[0xc0de]: AMQP:FRAME:0 <- (EMPTY FRAME)");
}

#[test]
fn what_is_no_frame_is_told_once() {
    let lines = traced(Direction::In, &[b"HTTP/1.1 400", b" Bad Request\r\n", b"more"]);
    assert_eq!(lines, ["[0xc0de]: AMQP:FRAME:  <- (HTTP) (12) HTTP/1.1 400", "[0xc0de]:   IO:FRAME:  <- EOS"]);
    let lines = traced(Direction::In, &[b"AMQP\0\0\x09\x01"]);
    assert_eq!(lines[0], "[0xc0de]: AMQP:FRAME:  <- (AMQP 0-9-1) (8) AMQP\\x00\\x00\\x09\\x01");
    let lines = traced(Direction::In, &[b"AMQP\0\x01\0\0", &[0, 0, 0, 7, 2, 0, 0, 0], &[0; 100]]);
    assert_eq!(lines.len(), 3);
    assert!(lines[1].contains("less than its header"), "{}", lines[1]);
    // The end comes in the middle of a frame.
    let lines = traced(Direction::In, &[b"AMQP\0\x01\0\0", &[0, 0, 0, 20, 2, 0, 0, 0, 0, 0x53]]);
    assert!(lines[1].contains("a frame of 20 bytes in 10 bytes"), "{}", lines[1]);
    assert_eq!(traced(Direction::In, &[]), ["[0xc0de]:   IO:FRAME:  <- EOS"]);
}

#[test]
fn no_cut_shows_a_password() {
    let bytes = client();
    for end in 0..bytes.len() {
        let lines = traced(Direction::Out, &[&bytes[..end]]).join("\n");
        assert!(!lines.contains("secret"), "{lines}");
    }
}

#[test]
fn the_environment_asks() {
    let asked = |ours: Option<&str>, protons: Option<&str>| {
        frame_trace_asked(|name| match name {
            "POSTROAD_TRACE_FRM" => ours.map(Into::into),
            "PN_TRACE_FRM" => protons.map(Into::into),
            other => panic!("{other} is nobody's"),
        })
    };
    for yes in ["1", "true", "yes", "on", "TRUE"] {
        assert!(asked(Some(yes), None) && asked(None, Some(yes)), "{yes}");
    }
    for no in ["", "0", "false", "no", "off", "2"] {
        assert!(!asked(Some(no), None) && !asked(None, Some(no)), "{no}");
    }
    assert!(!asked(Some("0"), Some("1")), "ours decides where it is set");
}
