//! Ctrl-C, and connections that are lost.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{ChildStdout, Stdio};

use rustix::process::Signal;

use crate::support::{Broker, command, finish, signal, start};

/// Reads a line, and gives the rest back.
fn line(stdout: ChildStdout) -> (String, BufReader<ChildStdout>) {
    let mut reader = BufReader::new(stdout);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    (line, reader)
}

#[test]
fn receive_settles_what_it_printed() {
    let broker = Broker::start(&[]);
    broker.send(&["q", "x"]).expect(0);
    let mut child = start(&mut command(&["receive", "-b", &broker.url, "q"]));
    let (first, mut rest) = line(child.stdout.take().unwrap());
    assert_eq!(first, "x\n");
    signal(&child, Signal::INT);
    let ran = finish(child);
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    assert!(ran.stderr.contains("received 1 messages"), "{}", ran.stderr);
    let mut more = String::new();
    rest.read_to_string(&mut more).unwrap();
    assert_eq!(more, "");
    broker.receive(&["q", "--timeout", "0"]).expect(2);
}

#[test]
fn send_finishes_what_it_has_read() {
    let broker = Broker::start(&[]);
    let mut child = start(command(&["send", "-b", &broker.url, "q", "--lines"]).stdin(Stdio::piped()));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\n").unwrap();
    assert_eq!(broker.receive(&["q", "-c", "1"]).expect(0), "one\n", "a line is sent as soon as it is read");
    // The input stays open: only the signal ends it.
    signal(&child, Signal::INT);
    let ran = finish(child);
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    drop(stdin);
}

#[test]
fn the_broker_dies() {
    let mut broker = Broker::start(&[]);
    broker.send(&["q", "x"]).expect(0);
    let mut child = start(&mut command(&["receive", "-b", &broker.url, "q"]));
    let (first, _rest) = line(child.stdout.take().unwrap());
    assert_eq!(first, "x\n");
    broker.child.kill().unwrap();
    finish(child).expect_failure(75, &["cannot receive"]);
}
