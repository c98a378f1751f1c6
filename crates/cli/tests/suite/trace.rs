//! Frames on stderr, for whoever asks by the environment.

use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{Broker, Ran, command, finish, signal, start, until};

/// Sends `hello` with these variables set.
fn send(broker: &Broker, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut send = command(&[&["send", "-b", &broker.url, "q", "hello"], args].concat());
    finish(start(send.envs(variables.iter().copied())))
}

/// What is behind the id of each line, without what differs from run to run.
fn texts(stderr: &str) -> Vec<String> {
    let lines = stderr.lines().map(|line| {
        let (id, text) = line.split_once("]: ").unwrap_or_else(|| panic!("no trace: {line}"));
        assert!(id.starts_with("[0x"), "{line}");
        match text.split_once(" [") {
            Some((head, _)) if !head.contains("transfer") => head.to_owned(),
            _ => text.to_owned(),
        }
    });
    lines.collect()
}

#[test]
fn a_client_shows_its_frames() {
    let broker = Broker::start(&[]);
    for variable in ["POSTROAD_TRACE_FRM", "PN_TRACE_FRM"] {
        let ran = send(&broker, &[], &[(variable, "1")]);
        assert_eq!(ran.expect(0), "");
        let texts = texts(&ran.stderr);
        // The end of the stream may come behind the end of the command.
        let expected = [
            "SASL:FRAME:  -> SASL",
            "SASL:FRAME:  <- SASL",
            "AMQP:FRAME:0 <- @sasl-mechanisms(64)",
            "AMQP:FRAME:0 -> @sasl-init(65)",
            "AMQP:FRAME:0 <- @sasl-outcome(68)",
            "AMQP:FRAME:  -> AMQP",
            "AMQP:FRAME:0 -> @open(16)",
            "AMQP:FRAME:  <- AMQP",
            "AMQP:FRAME:0 <- @open(16)",
            "AMQP:FRAME:0 -> @begin(17)",
            "AMQP:FRAME:0 -> @attach(18)",
            "AMQP:FRAME:0 <- @disposition(21)",
            "AMQP:FRAME:0 -> @close(24)",
            "AMQP:FRAME:0 <- @close(24)",
        ];
        for text in expected {
            assert!(texts.iter().any(|line| line == text), "no {text:?} in {}", ran.stderr);
        }
        let transfer = texts.iter().find(|text| text.contains("transfer")).expect("a transfer");
        assert!(transfer.starts_with("AMQP:FRAME:0 -> @transfer(20) [handle=0x0, delivery-id=0x0, "), "{transfer}");
        assert!(transfer.ends_with("\\x00Sw\\xa1\\x05hello"), "{transfer}");
    }
}

#[test]
fn nothing_is_shown_unless_somebody_asks() {
    let broker = Broker::start(&[]);
    for variables in [&[][..], &[("POSTROAD_TRACE_FRM", "0"), ("PN_TRACE_FRM", "1")], &[("PN_TRACE_FRM", "no")]] {
        let ran = send(&broker, &[], variables);
        assert_eq!((ran.expect(0), ran.stderr.as_str()), ("", ""), "{variables:?}");
    }
}

#[test]
fn a_broker_shows_its_frames_but_no_password() {
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready");
    let users = crate::support::write(dir.path(), "users", "alice:wonderland\n");
    let mut broker = command(&["broker", "-l", "amqp://127.0.0.1:0", "--allow-insecure-mechs", "--ready-file"]);
    broker.arg(&ready).arg("--users").arg(&users).env("POSTROAD_TRACE_FRM", "yes");
    let broker = start(&mut broker);
    assert!(until(|| ready.exists()));
    let url = std::fs::read_to_string(&ready).unwrap().trim().replace("amqp://", "amqp://alice@");
    let mut client = command(&["send", "-b", &url, "q", "hello", "--sasl-mechanisms", "PLAIN"]);
    client.arg("--allow-insecure-mechs").env("POSTROAD_PASSWORD", "wonderland").env("PN_TRACE_FRM", "on");
    let sent = finish(start(client.stderr(Stdio::piped())));
    sent.expect(0);
    signal(&broker, Signal::TERM);
    let ran = finish(broker);
    assert_eq!(ran.code, Some(0));
    let frames: String = ran.stderr.lines().filter(|line| line.starts_with("[0x")).collect::<Vec<_>>().join("\n");
    let theirs = texts(&frames);
    for text in
        ["SASL:FRAME:  <- SASL", "AMQP:FRAME:  -> AMQP", "AMQP:FRAME:0 <- @attach(18)", "AMQP:FRAME:0 -> @close(24)"]
    {
        assert!(theirs.iter().any(|line| line == text), "no {text:?} in {frames}");
    }
    for trace in [&frames, &sent.stderr] {
        assert!(trace.contains("mechanism=:PLAIN, initial-response=[redacted]"), "{trace}");
        assert!(!trace.contains("wonderland"), "{trace}");
    }
}
