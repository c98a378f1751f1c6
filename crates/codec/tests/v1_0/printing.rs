//! Values and frames as text. But for characters and long numbers the lines are those that Proton 0.40 prints of the
//! same bytes.

use bytes::Bytes;
use postroad_codec::v1_0::*;

use super::hex;

fn check(value: impl Into<Value>, text: &str) {
    assert_eq!(value.into().to_string(), text);
}

fn symbol(text: &'static str) -> Value {
    Symbol::from_static(text).into()
}

#[test]
fn numbers() {
    check(3_u8, "0x3");
    check(70_u16, "0x46");
    check(7_u32, "0x7");
    check(u64::MAX, "0xffffffffffffffff");
    check(-3_i8, "-3");
    check(-7_i32, "-7");
    check(1_i64, "1");
    check(Timestamp(-5), "-5");
    check(1.0_f64, "1");
    check(1.5_f32, "1.5");
    check(1e30_f64, "1e+30");
    check(-1e-7_f64, "-1e-7");
    check(f64::NAN, "nan");
    check(f64::NEG_INFINITY, "-inf");
    check(Decimal64(0x1122_3344_5566_7788_u64.to_be_bytes()), "D64(1122334455667788)");
    check(Uuid::from_u128(7), "UUID(00000000-0000-0000-0000-000000000007)");
}

#[test]
fn texts() {
    check("x\"y\\z\n\u{e9}", r#""x\x22y\x5cz\x0a\xc3\xa9""#);
    check(vec![0x00, b'a', b'b', 0xff], r#"b"\x00ab\xff""#);
    check("", "\"\"");
    for plain in [":c00", ":x-y", ":x9y", ":ANONYMOUS-RELAY"] {
        check(symbol(&plain[1..]), plain);
    }
    for (text, printed) in
        [("", ":\"\""), ("9a", ":\"9a\""), ("-a", ":\"-a\""), ("x_y", ":\"x_y\""), ("a:b", ":\"a:b\"")]
    {
        check(symbol(text), printed);
    }
}

#[test]
fn compounds() {
    check(Value::List(vec![1_i64.into(), true.into(), Value::Null]), "[1, true, null]");
    check(Map(vec![(symbol("k"), 3_u8.into()), ("t".into(), Value::List(Vec::new()))]), "{:k=0x3, \"t\"=[]}");
    check(Array::new(ValueType::Int, vec![1_i32.into(), 2_i32.into()]).unwrap(), "@<int>[1, 2]");
    check(Value::described(symbol("foo"), "bar"), "@:foo \"bar\"");
    check(Value::described(5_u64, Map(vec![("k".into(), 3_u8.into())])), "@5 {\"k\"=0x3}");
    check(Value::described(0x24_u64, Value::List(Vec::new())), "@accepted(36) []");
    check(Value::described(0x77_u64, "x"), "@amqp-value(119) \"x\"");
    check(Value::described(symbol("amqp:accepted:list"), Value::List(Vec::new())), "@accepted(36) []");
    // More fields than the type has.
    let fields = vec![1_u32.into(), 2_u64.into(), Value::Null, "more".into()];
    check(
        Value::described(0x23_u64, Value::List(fields)),
        "@received(35) [section-number=0x1, section-offset=0x2, \"more\"]",
    );
}

fn text(digits: &str) -> String {
    FrameText::new(&hex(digits)).to_string()
}

#[test]
fn what_came_is_printed_and_not_what_it_means() {
    // Fields with their default are there, and a single symbol stays one.
    let flow = "00000022 02000000 005313 c0150a 40 707fffffff 43 707fffffff 5201 43 520a 40 42 40";
    assert_eq!(
        text(flow),
        "0 @flow(19) [incoming-window=0x7fffffff, next-outgoing-id=0x0, outgoing-window=0x7fffffff, handle=0x1, \
         delivery-count=0x0, link-credit=0xa, drain=false]"
    );
    let mechanisms = "00000019 02010000 005340 c00c01 a309414e4f4e594d4f5553";
    assert_eq!(text(mechanisms), "0 @sasl-mechanisms(64) [sasl-server-mechanisms=:ANONYMOUS]");
}

#[test]
fn headers_and_directions() {
    let header = ProtocolHeader::SASL.to_bytes();
    assert_eq!(FrameText::new(&header).to_string(), "SASL");
    assert_eq!(FrameText::new(&header).with_direction(Direction::Out).to_string(), "  -> SASL");
    let close = hex("0000000c 02000000 005318 45");
    assert_eq!(FrameText::new(&close).with_direction(Direction::In).to_string(), "0 <- @close(24) []");
    assert_eq!(text("00000008 02000003"), "3 (EMPTY FRAME)");
}

#[test]
fn what_is_no_frame_is_printed_too() {
    assert_eq!(text(""), "(a frame of 0 bytes, which is less than its header)");
    assert_eq!(text("00000009 02000000 ff"), "0 (value at byte 1: unexpected constructor 0xff) (1) \\xff");
    assert_eq!(
        FrameText::new(b"HTTP/1.1 400").with_direction(Direction::In).to_string(),
        "  <- (HTTP) (12) HTTP/1.1 400"
    );
    assert_eq!(text("414d5150 00000901"), "(AMQP 0-9-1) (8) AMQP\\x00\\x00\\x09\\x01");
    assert!(text("00000008 01000000").starts_with("0 (a data offset of 1 words)"));
}

#[test]
fn a_frame_of_which_only_the_start_is_kept() {
    let mut frame = Vec::new();
    Frame::put_amqp(0, &Transfer::default(), &[b'x'; 100], &mut frame);
    let kept = frame.len() - 97;
    let text = FrameText::new(&frame[..kept]).with_missing(97).to_string();
    assert_eq!(text, "0 @transfer(20) [handle=0x0] (100) xxx ... (truncated)");
    // What says another size than that is broken all the same.
    assert!(FrameText::new(&frame[..kept]).with_missing(96).to_string().contains("a frame of"));
}

#[test]
fn every_prefix_and_every_changed_byte_has_a_text() {
    let mut frame = Vec::new();
    Frame::put_amqp(1, &Attach::default(), &[], &mut frame);
    for end in 0..frame.len() {
        assert!(!FrameText::new(&frame[..end]).to_string().is_empty());
    }
    for at in 0..frame.len() {
        for octet in 0..=255 {
            let mut changed = frame.clone();
            changed[at] = octet;
            let line = FrameText::new(&changed).to_string();
            assert!(line.is_ascii() && !line.contains('\n'), "{line:?}");
        }
    }
}

#[test]
fn passwords_are_left_out() {
    let mut frames = Vec::new();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "X-UNKNOWN"] {
        let init = SaslInit {
            mechanism: Symbol::from_static(mechanism),
            initial_response: Some(Bytes::from_static(b"\0user\0secret")),
            hostname: Some("host".into()),
        };
        let mut frame = Vec::new();
        Frame::put_sasl(&init, &mut frame);
        let expected = format!(
            "0 @sasl-init(65) [mechanism={}, initial-response=[redacted], hostname=\"host\"]",
            symbol(mechanism)
        );
        assert_eq!(FrameText::new(&frame).to_string(), expected);
        frames.push(frame);
    }
    let mut frame = Vec::new();
    Frame::put_sasl(&SaslResponse { response: Bytes::from_static(b"secret") }, &mut frame);
    assert_eq!(FrameText::new(&frame).to_string(), "0 @sasl-response(67) [response=[redacted]]");
    frames.push(frame);
    let mut anonymous = Vec::new();
    let init = SaslInit {
        mechanism: Symbol::from_static("ANONYMOUS"),
        initial_response: Some(Bytes::from_static(b"me")),
        hostname: None,
    };
    Frame::put_sasl(&init, &mut anonymous);
    assert_eq!(
        FrameText::new(&anonymous).to_string(),
        "0 @sasl-init(65) [mechanism=:ANONYMOUS, initial-response=b\"me\"]"
    );
    // Nor do broken ones show it, whatever is cut off or added.
    for frame in frames {
        for end in 0..frame.len() {
            let mut cut = frame[..end].to_vec();
            let shown = format!("{0} {0:?}", FrameText::new(&cut));
            assert!(!shown.contains("secret"), "{shown}");
            if end >= 8 {
                cut[3] = u8::try_from(end).unwrap();
                let shown = format!("{0} {0:?}", FrameText::new(&cut));
                assert!(!shown.contains("secret"), "{shown}");
            }
        }
    }
}
