//! Bytes shown to people.

use std::fs::OpenOptions;
use std::process::Stdio;

use crate::support::{command, finish, run, run_with_input, start};

const HEADER: &str = "414d515000010000";
const CLOSE: &str = "0000000c 02000000 005318 45";
/// As Proton sends it: fields with their defaults are there.
const FLOW: &str = "00000022 02000000 005313 c0150a 40 707fffffff 43 707fffffff 5201 43 520a 40 42 40";
const FLOW_TEXT: &str = "0 @flow(19) [incoming-window=0x7fffffff, next-outgoing-id=0x0, outgoing-window=0x7fffffff, \
                         handle=0x1, delivery-count=0x0, link-credit=0xa, drain=false]";
/// A transfer of handle 3 on channel 1, with `hello` as its message.
fn transfer() -> String {
    // Handle and two nulls take four bytes.
    let fields = "5203 40 40";
    let body = format!("005314 c005 03 {fields} 005377 a105 68656c6c6f");
    let length = 8 + body.chars().filter(|c| !c.is_whitespace()).count() / 2;
    format!("{length:08x} 02000001 {body}")
}

#[test]
fn a_line_for_each_header_and_frame() {
    let text = run(&["decode", HEADER, FLOW, CLOSE, "0000000802000007"]);
    assert_eq!(text.expect(0), format!("AMQP\n{FLOW_TEXT}\n0 @close(24) []\n7 (EMPTY FRAME)\n"));
    assert_eq!(run(&["decode", &transfer()]).expect(0), "1 @transfer(20) [handle=0x3] (10) \\x00Sw\\xa1\\x05hello\n");
}

#[test]
fn digits_as_they_come() {
    for text in ["0x41,0x4d,0x51,0x50,0x03,0x01,0x00,0x00", "41:4D:51:50:03:01:00:00", "41 4d\n51 50 03010000\n"] {
        assert_eq!(run(&["decode", text]).expect(0), "SASL\n");
        assert_eq!(run_with_input(&["decode", "-"], text.as_bytes()).expect(0), "SASL\n");
    }
    assert_eq!(
        run_with_input(&["decode", "-"], b"AMQP\x02\x01\0\0\0\0\0\x08\x02\0\0\0").expect(0),
        "TLS\n0 (EMPTY FRAME)\n"
    );
}

#[test]
fn a_tree_of_fields() {
    let ran = run(&["decode", "-v", HEADER, &transfer()]);
    assert_eq!(
        ran.expect(0),
        "AMQP\n  \
           00000000 +8     protocol header\n\
         1 @transfer(20) [handle=0x3] (10) \\x00Sw\\xa1\\x05hello\n  \
           00000008 +8     AMQP frame of 28 bytes, channel 1\n  \
           00000010 +10    transfer\n  \
           00000016 +2       handle: uint 0x3\n  \
           0000001a +10    payload\n  \
           0000001a +10      amqp-value\n  \
           0000001d +7         string \"hello\"\n"
    );
}

#[test]
fn a_message_without_a_frame() {
    let message = "005370 c00402 41 5005 005373 c00701 a1046d2d3137 005377 a1026869";
    let text =
        "@header(112) [durable=true, priority=0x5]\n@properties(115) [message-id=\"m-17\"]\n@amqp-value(119) \"hi\"\n";
    assert_eq!(run(&["decode", message]).expect(0), text);
}

#[test]
fn objects() {
    let ran = run(&["decode", "--json", HEADER, &transfer(), CLOSE, "0000000802000000"]);
    let lines: Vec<serde_json::Value> =
        ran.expect(0).lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(
        lines,
        [
            serde_json::json!({"v": 1, "type": "header", "offset": 0, "length": 8, "protocol": "AMQP", "version": "1.0.0"}),
            serde_json::json!({
                "v": 1, "type": "amqp", "offset": 8, "length": 28, "channel": 1, "performative": "transfer",
                "fields": {"handle": 3}, "payload": {"$bytes": "AFN3oQVoZWxsbw=="},
            }),
            serde_json::json!({
                "v": 1, "type": "amqp", "offset": 36, "length": 12, "channel": 0, "performative": "close", "fields": {},
            }),
            serde_json::json!({"v": 1, "type": "amqp", "offset": 48, "length": 8, "channel": 0, "performative": null}),
        ]
    );
    let message = run(&["decode", "--json", "005377 a1026869"]);
    let message: serde_json::Value = serde_json::from_str(message.expect(0)).expect("an object");
    let sections = serde_json::json!([{"name": "amqp-value", "value": "hi"}]);
    assert_eq!((&message["v"], &message["type"], &message["sections"]), (&1.into(), &"message".into(), &sections));
}

#[test]
fn passwords_are_left_out() {
    // PLAIN with `\0u\0pw`.
    let init = "0000001c 02010000 005341 c00f02 a305504c41494e a005 0075007077";
    for args in [&["decode", init][..], &["decode", "-v", init], &["decode", "--json", init]] {
        let ran = run(args);
        let text = ran.expect(0);
        assert!(text.contains("PLAIN") && text.contains("redacted") && !text.contains("pw"), "{text}");
    }
}

/// Checks the exit code, the words of the last line, and that a caret points to byte `at` of row `row`.
#[track_caller]
fn broken(digits: &str, row: &str, at: usize, words: &[&str]) {
    let ran = run(&["decode", digits]);
    ran.expect(65);
    let lines: Vec<&str> = ran.stderr.lines().collect();
    let place = lines.iter().position(|line| line.starts_with(row)).unwrap_or_else(|| panic!("no row: {}", ran.stderr));
    assert_eq!(lines[place + 1].find('^'), Some(10 + 3 * at), "{}", ran.stderr);
    let last = lines.last().unwrap();
    for word in [&["postroad: broken at byte"], words].concat() {
        assert!(last.contains(word), "no {word:?} in {}", ran.stderr);
    }
}

#[test]
fn the_place_of_what_is_wrong() {
    // An int where a uint should be.
    broken(&FLOW.replace("43 707fffffff", "43 717fffffff"), "00000010", 5, &["byte 21", "uint", "0x71"]);
    broken("0000000c 02000000 0053ff 45", "00000000", 10, &["byte 10", "descriptor"]);
    broken("0000000c 02020000 005318 45", "00000000", 5, &["byte 5", "frame type 0x02"]);
    broken("0000000c 01000000 005318 45", "00000000", 4, &["byte 4", "data offset"]);
    broken("00000007 02000000", "00000000", 0, &["byte 0", "less than its header"]);
    broken("005377 a1026869 ff", "00000000", 7, &["byte 7"]);
    broken("414d5150 00000901", "00000000", 4, &["AMQP 0-9-1", "plugin"]);
    broken("485454502f312e31", "00000000", 0, &["HTTP"]);
}

#[test]
fn what_was_right_is_printed_before() {
    let ran = run(&["decode", CLOSE, "ffffffff00000000"]);
    assert_eq!(ran.expect(65), "0 @close(24) []\n");
    assert!(ran.stderr.contains("a frame of 4294967295 bytes ends after 8"), "{}", ran.stderr);
}

#[test]
fn every_prefix_is_an_error() {
    let digits: String = [HEADER, &transfer()].concat().split_whitespace().collect();
    for end in 1..digits.len() / 2 {
        let ran = run(&["decode", &digits[..2 * end]]);
        if end == 8 {
            assert_eq!(ran.expect(0), "AMQP\n");
        } else {
            assert_eq!(ran.expect(65), if end > 8 { "AMQP\n" } else { "" });
            assert!(ran.stderr.contains(&format!("broken at byte {end}: ")), "{}", ran.stderr);
        }
    }
}

#[test]
fn what_is_no_input() {
    run(&["decode", "4"]).expect_failure(65, &["one digit alone at character 1"]);
    run(&["decode", "zz"]).expect_failure(65, &["\"z\" at character 1"]);
    run(&["decode", ""]).expect_failure(65, &["empty"]);
    run(&["decode", "-"]).expect_failure(65, &["empty"]);
    let endless = std::fs::File::open("/dev/zero").expect("a device of zeros");
    finish(start(command(&["decode", "-"]).stdin(endless))).expect_failure(65, &["16MiB"]);
    let ran = run(&["decode"]);
    assert_eq!(ran.expect(64), "");
    assert!(ran.stderr.contains("HEX"), "{}", ran.stderr);
}

#[test]
fn output_that_nobody_takes() {
    let full = OpenOptions::new().write(true).open("/dev/full").expect("a full device");
    let mut decode = command(&["decode", HEADER]);
    let ran = finish(decode.stdout(full).stderr(Stdio::piped()).spawn().expect("it starts"));
    ran.expect_failure(73, &["stdout"]);
}
