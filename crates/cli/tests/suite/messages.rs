//! Messages there and back through a broker.

use std::io::{BufRead as _, BufReader};

use serde_json::{Value, json};

use crate::support::{Broker, command, finish, run, run_with_input, start};

#[test]
fn bodies_there_and_back() {
    let broker = Broker::start(&[]);
    let ran = broker.send(&["q", "one", "grün", ""]);
    assert_eq!((ran.expect(0), ran.stderr.as_str()), ("", ""), "nothing to say on success");
    let ran = broker.receive(&["q", "-c", "3"]);
    assert_eq!((ran.expect(0), ran.stderr.as_str()), ("one\ngrün\n\n", ""));
}

#[test]
fn talk_is_on_stderr() {
    let broker = Broker::start(&[]);
    let ran = broker.send(&["q", "one", "two", "-v"]);
    assert_eq!(ran.expect(0), "");
    assert!(ran.stderr.contains("2 of 2 messages sent were accepted"), "{}", ran.stderr);
    let ran = broker.receive(&["q", "-c", "2", "-v"]);
    assert_eq!(ran.expect(0), "one\ntwo\n");
    assert!(ran.stderr.contains("received 2 messages"), "{}", ran.stderr);
}

#[test]
fn lines_of_the_standard_input() {
    let broker = Broker::start(&[]);
    let input: String = (1..=2500).map(|number| format!("{number}\n")).collect();
    let args = ["send", "-b", &broker.url, "q", "--lines"];
    assert_eq!(run_with_input(&args, input.as_bytes()).expect(0), "");
    assert_eq!(broker.receive(&["q", "-c", "2500"]).expect(0), input);

    assert_eq!(run_with_input(&[&args[..], &["-c", "2"]].concat(), b"a\nb\nc\n").expect(0), "");
    assert_eq!(broker.receive(&["q", "--timeout", "0"]).expect(0), "a\nb\n");
}

#[test]
fn counts_and_sizes() {
    let broker = Broker::start(&[]);
    broker.send(&["q", "a", "b", "-c", "2"]).expect(0);
    assert_eq!(broker.receive(&["q", "-c", "4"]).expect(0), "a\nb\na\nb\n");
    broker.send(&["q", "--size", "1MiB"]).expect(0);
    assert_eq!(broker.receive(&["q", "-c", "1", "--raw"]).expect(0).len(), 1 << 20);
    broker.send(&["q", "--size", "10", "-c", "3k"]).expect(0);
    let ran = broker.receive(&["q", "-c", "3k"]);
    assert_eq!(ran.expect(0).lines().filter(|line| *line == "xxxxxxxxxx").count(), 3000);
}

#[test]
fn fewer_than_wanted() {
    let broker = Broker::start(&[]);
    let ran = broker.receive(&["q", "--timeout", "100ms"]);
    assert_eq!(ran.expect(2), "");
    broker.send(&["q", "one"]).expect(0);
    let ran = broker.receive(&["q", "-c", "2", "--timeout", "100ms"]);
    assert_eq!(ran.expect(2), "one\n", "what came is printed");
    assert!(ran.stderr.contains("1 of 2 messages"), "{}", ran.stderr);
    assert_eq!(broker.receive(&["q", "--timeout", "0", "-q"]).stderr, "");
    broker.send(&["q", "one"]).expect(0);
    assert_eq!(broker.receive(&["q", "--timeout", "0"]).expect(0), "one\n", "without a count some are enough");
}

#[test]
fn only_what_is_wanted_is_taken() {
    let broker = Broker::start(&[]);
    let bodies: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    broker.send(&[&["q"], &bodies[..]].concat()).expect(0);
    for (count, expected) in [("1", "0\n"), ("2", "1\n2\n"), ("7", "3\n4\n5\n6\n7\n8\n9\n")] {
        assert_eq!(broker.receive(&["q", "-c", count]).expect(0), expected);
    }
    // None of the rest was taken and given back.
    let ran = broker.receive(&["q", "-c", "10", "--json"]);
    let counts = ran.expect(0).lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let counts: Vec<Value> = counts.map(|message| message["header"]["delivery_count"].clone()).collect();
    assert_eq!(counts, vec![json!(0); 10]);
}

#[test]
fn browsing_leaves_the_messages() {
    let broker = Broker::start(&[]);
    broker.send(&["q", "one", "two"]).expect(0);
    for _ in 0..2 {
        assert_eq!(broker.receive(&["q", "--browse", "--timeout", "0"]).expect(0), "one\ntwo\n");
    }
    assert_eq!(broker.receive(&["q", "--timeout", "0"]).expect(0), "one\ntwo\n");
    broker.receive(&["q", "--browse", "--timeout", "0"]).expect(2);
}

#[test]
fn every_property_as_json() {
    let broker = Broker::start(&[]);
    let sent = broker.send(&[
        "q",
        "hello",
        "-P",
        "color=red",
        "-P",
        "size:int=5",
        "-P",
        "big:ulong=18446744073709551615",
        "-P",
        "on:bool=true",
        "-P",
        "raw:binary=x",
        "-P",
        "at:timestamp=0",
        "--id",
        "m1",
        "--correlation-id",
        "c1",
        "--reply-to",
        "answers",
        "--subject",
        "greeting",
        "--ttl",
        "60s",
        "--priority",
        "9",
        "--content-type",
        "text/plain",
        "--user-id",
        "me",
        "--group-id",
        "g",
    ]);
    sent.expect(0);
    let ran = broker.receive(&["q", "-c", "1", "--json"]);
    assert_eq!(ran.expect(0).lines().count(), 1);
    let message: Value = serde_json::from_str(ran.text()).unwrap();
    assert_eq!(message["v"], 1);
    assert_eq!((&message["body_type"], &message["body"]), (&json!("value"), &json!("hello")));
    assert_eq!(message["header"]["priority"], 9);
    assert_eq!(message["header"]["durable"], false);
    let ttl = message["header"]["ttl_ms"].as_u64().unwrap();
    assert!((1..=60_000).contains(&ttl), "{ttl}");
    assert_eq!(
        message["properties"],
        json!({
            "message_id": "m1", "user_id": "me", "subject": "greeting", "reply_to": "answers", "correlation_id": "c1",
            "content_type": "text/plain", "group_id": "g",
        })
    );
    assert_eq!(
        message["application_properties"],
        json!({
            "color": "red", "size": 5, "big": u64::MAX, "on": true, "raw": "x", "at": "1970-01-01T00:00:00.000Z",
        })
    );
}

#[test]
fn formats() {
    let broker = Broker::start(&[]);
    broker.send(&["q", "hello", "--id", "m1", "--subject", "s", "-P", "k:int=5"]).expect(0);
    let ran = broker.receive(&["q", "-c", "1", "-f", "%i\\t%s|%b|%p{k}|%p{none}|100%%"]);
    assert_eq!(ran.expect(0), "m1\ts|hello|5||100%\n");
}

#[test]
fn bytes_that_are_no_text() {
    let broker = Broker::start(&[]);
    let args = ["send", "-b", &broker.url, "q", "--lines"];
    run_with_input(&args, b"\xff\x00\\a\n").expect(0);
    assert_eq!(broker.receive(&["q", "--browse", "--timeout", "0"]).expect(0), "\\xff\0\\\\a\n");
    let ran = broker.receive(&["q", "--browse", "--timeout", "0", "--raw"]);
    assert_eq!((ran.code, ran.stdout.as_slice()), (Some(0), &b"\xff\x00\\a"[..]));
    let ran = broker.receive(&["q", "-c", "1", "--json"]);
    let message: Value = serde_json::from_str(ran.expect(0)).unwrap();
    assert_eq!((&message["body_type"], &message["body"]), (&json!("data"), &json!({"$bytes": "/wBcYQ=="})));
}

#[test]
fn a_url_as_address() {
    let broker = Broker::start(&["--no-auto-create"]);
    run(&["send", &format!("{}/orders/eu;%20%7Bcreate:%20always%7D", broker.url), "x"]).expect(0);
    let ran = run(&["receive", &format!("{}/orders", broker.url), "-c", "1", "-f", "%s %b"]);
    assert_eq!(ran.expect(0), "eu x\n");
}

#[test]
fn the_broker_of_the_environment() {
    let broker = Broker::start(&[]);
    let send = finish(start(command(&["send", "q", "x"]).env("POSTROAD_URL", &broker.url)));
    send.expect(0);
    let receive = finish(start(command(&["receive", "q", "-c", "1"]).env("POSTROAD_URL", &broker.url)));
    assert_eq!(receive.expect(0), "x\n");
}

#[test]
fn settled_as_sent() {
    let broker = Broker::start(&[]);
    broker.send(&["q", "one", "--settle", "pre"]).expect(0);
    assert_eq!(broker.receive(&["q", "-c", "1"]).expect(0), "one\n");
}

#[test]
fn a_reader_that_has_enough() {
    let broker = Broker::start(&[]);
    broker.send(&["q", "x", "-c", "2000"]).expect(0);
    let mut child = start(&mut command(&["receive", "-b", &broker.url, "q"]));
    let mut first = String::new();
    BufReader::with_capacity(1, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "x\n");
    // The pipe is closed now: what is printed next finds nobody.
    broker.send(&["q", "y"]).expect(0);
    let ran = finish(child);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}
