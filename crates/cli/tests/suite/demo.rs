//! The demo.

use rustix::process::Signal;

use crate::support::{Broker, command, finish, run, signal, start, until};

#[test]
fn nothing_is_lost() {
    let ran = run(&["demo", "--count", "2000"]);
    let text = ran.expect(0);
    assert_eq!(ran.stderr, "", "no bar where there is no terminal");
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
        line[name.len()..].trim().to_owned()
    };
    assert!(value("messages").starts_with("2 000 of 100 B"), "{text}");
    assert!(value("settled").starts_with("2 000 in"), "{text}");
    assert!(value("rate").ends_with("messages/s"), "{text}");
    assert!(value("latency").contains("p50") && value("latency").contains("p99"), "{text}");
    assert_eq!((value("lost").as_str(), value("duplicated").as_str()), ("0", "0"));
    for command in [" broker", " send", " receive", "-b amqp://"] {
        assert!(text.contains(command), "no {command} in {text}");
    }
}

#[test]
fn other_sizes() {
    assert!(run(&["demo", "-c", "20", "-s", "1MiB", "-w", "3"]).expect(0).contains("20 of 1048576 B"));
    run(&["demo", "-c", "1", "-s", "24", "-w", "1"]).expect(0);
}

#[test]
fn through_another_broker() {
    let broker = Broker::start(&["--no-auto-create"]);
    let ran = run(&["demo", "-b", &broker.url, "-c", "500"]);
    assert!(ran.expect(0).contains(&broker.url), "{ran:?}");
    broker.receive(&["demo", "--timeout", "0"]).expect(2);
}

#[test]
fn a_node_that_is_in_use() {
    let broker = Broker::start(&[]);
    broker.send(&["demo", "somebody else's"]).expect(0);
    run(&["demo", "-b", &broker.url, "-c", "500"]).expect_failure(65, &["--address"]);
    assert_eq!(broker.receive(&["demo", "--browse", "-c", "1"]).expect(0), "somebody else's\n", "it is still there");
}

#[test]
fn an_interrupt_ends_with_what_was_measured() {
    let broker = Broker::start(&[]);
    let child = start(&mut command(&["demo", "-b", &broker.url, "-c", "100m"]));
    assert!(until(|| in_use(&broker)));
    signal(&child, Signal::INT);
    let ran = finish(child);
    let text = ran.expect(130);
    assert!(text.contains("lost        0\nduplicated  0\n"), "{text}");
    broker.receive(&["demo", "--timeout", "0"]).expect(2);
}

#[test]
fn the_broker_dies() {
    let mut broker = Broker::start(&[]);
    let child = start(&mut command(&["demo", "-b", &broker.url, "-c", "100m"]));
    assert!(until(|| in_use(&broker)));
    broker.child.kill().unwrap();
    finish(child).expect_failure(75, &["any more"]);
}

/// Whether the demo's messages are on their way.
fn in_use(broker: &Broker) -> bool {
    broker.receive(&["demo", "--browse", "--timeout", "0", "-c", "1"]).code == Some(0)
}
