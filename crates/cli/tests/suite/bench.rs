//! How fast messages go: what is told of a run, and how it ends.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value as Json;

use crate::support::{Broker, Ran, closed_port, command, finish, run, signal, start, until};

/// The object that a run ends with.
fn object(ran: &Ran, code: i32) -> Json {
    let text = ran.expect(code);
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Checks what every run tells that loses nothing.
#[track_caller]
fn complete(object: &Json, messages: u64) {
    let number = |name: &str| object[name].as_u64().unwrap_or_else(|| panic!("no {name} in {object}"));
    assert_eq!((number("v"), number("sent"), number("received")), (1, messages, messages), "{object}");
    assert_eq!((number("lost"), number("duplicated"), number("refused")), (0, 0, 0), "{object}");
    for name in ["seconds", "messages_per_second", "bytes_per_second", "cpu_us_per_message"] {
        assert!(object[name].as_f64().is_some_and(|value| value > 0.0), "no {name} in {object}");
    }
    let latency: Vec<u64> = ["p50", "p90", "p99", "p99_9", "p99_99", "max"]
        .iter()
        .map(|name| object["latency_us"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {object}")))
        .collect();
    assert!(latency.is_sorted(), "{object}");
}

#[test]
fn from_peer_to_peer() {
    let ran = run(&["bench", "--p2p", "-c", "2000", "--output-format", "json"]);
    assert_eq!(ran.stderr, "", "no bar where there is no terminal");
    let object = object(&ran, 0);
    complete(&object, 2000);
    assert_eq!((&object["p2p"], &object["broker"], &object["settle"]), (&true.into(), &Json::Null, &"at-least".into()));
    assert_eq!((&object["size"], &object["interrupted"]), (&100.into(), &false.into()));
}

#[test]
fn lines_for_people() {
    let ran = run(&["bench", "--p2p", "-c", "1k", "-s", "1KiB"]);
    let text = ran.expect(0);
    assert!(text.starts_with("messages    1 000 of 1024 B from peer to peer\n"), "{text}");
    for name in
        ["received    1 000 in", "rate", "cpu", "  p50 ", "  p99.99 ", "  max ", "lost        0", "duplicated  0"]
    {
        assert!(text.lines().any(|line| line.starts_with(name)), "no {name:?} in {text}");
    }
}

#[test]
fn ends_in_any_number_and_either_settlement() {
    let broker = Broker::start(&[]);
    for settle in ["at-least", "pre"] {
        let options = ["-c", "3000", "--settle", settle, "--output-format", "json"];
        let ran = run(&[&["bench", "--p2p", "--senders", "3"][..], &options].concat());
        complete(&object(&ran, 0), 3000);
        let through = ["bench", "-b", &broker.url, "bench", "--senders", "2", "--receivers", "3", "--credit", "50"];
        let ran = run(&[&through[..], &options].concat());
        let object = object(&ran, 0);
        complete(&object, 3000);
        assert_eq!((&object["senders"], &object["receivers"], &object["credit"]), (&2.into(), &3.into(), &50.into()));
        assert_eq!((&object["settle"], &object["broker"]), (&settle.into(), &broker.url.as_str().into()));
        broker.receive(&["bench", "--timeout", "0"]).expect(2);
    }
    run(&["bench", "--p2p", "-c", "1", "-s", "24", "-w", "1", "--prefetch", "1"]).expect(0);
}

#[test]
fn what_is_for_a_broker_is_refused_from_peer_to_peer() {
    for option in [&["--user", "guest"][..], &["--token-file", "token"], &["--tls-header"], &["--ca", "ca.pem"]] {
        let ran = run(&[&["bench", "--p2p", "-c", "1"][..], option].concat());
        ran.expect(64);
        assert!(ran.stderr.contains("--p2p") && ran.stderr.contains(option[0]), "{}", ran.stderr);
    }
}

#[test]
fn the_time_ends_it() {
    let ran = run(&["bench", "--p2p", "--duration", "300ms", "--output-format", "json"]);
    let object = object(&ran, 0);
    complete(&object, object["sent"].as_u64().unwrap());
    assert!(object["sent"].as_u64().unwrap() > 0);
    // And the count, if it comes first.
    let ran = run(&["bench", "--p2p", "-d", "1h", "-c", "10", "--output-format", "json"]);
    complete(&self::object(&ran, 0), 10);
}

#[test]
fn an_interrupt_ends_it_with_what_was_measured() {
    let broker = Broker::start(&[]);
    let place = ["-b", &broker.url, "bench"];
    // One connection of the command, or two: when it tells of the last it will send.
    for (way, connections) in [(&["--p2p"][..], 1), (&place, 2)] {
        let mut bench = command(&[&["bench", "-v", "--output-format", "json"], way].concat());
        let mut child = start(bench.args(["-d", "1h"]));
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        for _ in 0..connections {
            let mut line = String::new();
            stderr.read_line(&mut line).unwrap();
            assert!(line.starts_with("connected to "), "{line}");
        }
        signal(&child, Signal::INT);
        let ran = finish(child);
        let object = object(&ran, 130);
        assert_eq!(
            (&object["interrupted"], &object["lost"], &object["duplicated"]),
            (&true.into(), &0.into(), &0.into())
        );
        assert_eq!(object["sent"], object["received"]);
    }
    broker.receive(&["bench", "--timeout", "0"]).expect(2);
}

#[test]
fn what_another_receiver_takes_is_lost() {
    let broker = Broker::start(&[]);
    let mut thief = command(&["receive", "-b", &broker.url, "bench", "-c", "3"]);
    let mut thief = start(thief.stderr(Stdio::null()));
    broker.send(&["bench", "probe"]).expect(0);
    let mut line = String::new();
    // Open to the end: what it cannot print goes back.
    let mut stdout = BufReader::new(thief.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "probe\n");
    let place = ["bench", "-b", &broker.url, "bench", "--window", "2", "--credit", "5", "--timeout", "500ms"];
    // It asks for more some time after it has printed. Two that do not come fill the window: that must not be the end
    // of all movement.
    let stolen = until(|| {
        let ran = run(&[&place[..], &["-c", "500", "--output-format", "json"]].concat());
        ran.code == Some(1) && object(&ran, 1)["lost"].as_u64().is_some_and(|lost| lost > 0)
    });
    assert!(stolen, "nothing was lost");
    thief.kill().unwrap();
    thief.wait().unwrap();
}

#[test]
fn what_stands_in_its_way() {
    let broker = Broker::start(&["--no-auto-create", "--queue", "used"]);
    broker.send(&["used", "somebody else's"]).expect(0);
    let bench = |args: &[&str]| run(&[&["bench", "-b", &broker.url, "-c", "100"], args].concat());
    bench(&["used"]).expect_failure(65, &["messages of others", "empty"]);
    assert_eq!(broker.receive(&["used", "-c", "1"]).expect(0), "somebody else's\n", "it is still there");
    bench(&["nowhere"]).expect_failure(69, &["nowhere", "{create: always}"]);
    bench(&["q; {create always}"]).expect_failure(65, &["create"]);
    run(&["bench", "-b", &closed_port(), "q"]).expect_failure(69, &["connection refused"]);
    run(&["bench", "-b", "amqp://host.invalid", "q"]).expect_failure(68, &["host.invalid"]);
}

#[test]
fn the_broker_dies() {
    let mut broker = Broker::start(&[]);
    let child = start(&mut command(&["bench", "-b", &broker.url, "bench", "-d", "1h"]));
    assert!(until(|| broker.receive(&["bench", "--browse", "--timeout", "0", "-c", "1"]).code == Some(0)));
    broker.child.kill().unwrap();
    finish(child).expect_failure(75, &["any more"]);
}

#[test]
fn wrong_usage() {
    let check = |args: &[&str], word: &str| {
        let ran = run(&[&["bench"], args].concat());
        assert_eq!(ran.expect(64), "", "{args:?}");
        assert!(ran.stderr.contains(word), "no {word} in {}", ran.stderr);
    };
    check(&[], "ADDRESS");
    check(&["q", "--p2p"], "--p2p");
    check(&["--p2p", "--receivers", "2"], "--receivers");
    check(&["--p2p", "-c", "0"], "--count");
    check(&["--p2p", "-s", "23"], "from 24");
    check(&["--p2p", "--credit", "0"], "--credit");
    check(&["--p2p", "--window", "0"], "--window");
    check(&["--p2p", "--senders", "1001"], "--senders");
    check(&["--p2p", "-d", "0"], "--duration");
    check(&["--p2p", "--timeout", "0"], "--timeout");
    check(&["--p2p", "--settle", "never"], "never");
    check(&["--p2p", "--output-format", "xml"], "xml");
}
