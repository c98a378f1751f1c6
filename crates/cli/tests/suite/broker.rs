//! The broker as a process: where it listens, how it says so, how it stops.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Broker, command, finish, is_stopped, run, signal, start, until, wait};

#[test]
fn it_listens_on_every_url_and_says_so() {
    let mut broker = Broker::start(&["-l", "amqp://127.0.0.1:0", "--queue", "a", "--queue", "b"]);
    let text = fs::read_to_string(broker.dir.path().join("ready")).unwrap();
    let urls: Vec<&str> = text.lines().collect();
    assert_eq!(urls.len(), 2);
    assert!(text.ends_with('\n'));
    for url in &urls {
        assert!(url.starts_with("amqp://127.0.0.1:") && !url.ends_with(":0"), "{url}");
        run(&["send", "-b", url, "a", "x"]).expect(0);
    }
    let names: Vec<_> = fs::read_dir(broker.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["ready"], "nothing else is left beside the ready file");

    signal(&broker.child, Signal::TERM);
    let status = broker.child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut broker.child.stderr.take().unwrap(), &mut stderr).unwrap();
    for url in urls {
        assert!(stderr.lines().any(|line| line == format!("listening on {url}")), "{stderr}");
    }
}

#[test]
fn it_stops_promptly_with_a_client() {
    let mut broker = Broker::start(&[]);
    let receive = start(command(&["receive", "-b", &broker.url, "q"]).arg("-v"));
    broker.send(&["q", "x"]).expect(0);
    let empty = || broker.receive(&["q", "--browse", "--timeout", "0"]).code == Some(2);
    assert!(until(empty), "the receiver has the message");
    let before = Instant::now();
    signal(&broker.child, Signal::INT);
    assert_eq!(broker.child.wait().unwrap().code(), Some(0));
    assert!(before.elapsed() < Duration::from_secs(6), "{:?}", before.elapsed());
    let ran = finish(receive);
    assert_eq!(ran.expect(75), "x\n", "closed by force: trying again may help");
}

#[test]
fn a_second_signal_stops_at_once() {
    let mut broker = Broker::start(&["--grace", "60s"]);
    // A client that cannot answer the close.
    let mut receive = start(&mut command(&["receive", "-b", &broker.url, "q"]));
    broker.send(&["q", "x"]).expect(0);
    let mut line = String::new();
    BufReader::new(receive.stdout.as_mut().expect("it is piped")).read_line(&mut line).unwrap();
    assert_eq!(line, "x\n");
    signal(&receive, Signal::STOP);
    assert!(until(|| is_stopped(&receive)));
    signal(&broker.child, Signal::TERM);
    std::thread::sleep(Duration::from_millis(500));
    assert!(broker.child.try_wait().unwrap().is_none(), "it waits for the client");
    signal(&broker.child, Signal::TERM);
    let stopped = wait(&mut broker.child);
    receive.kill().unwrap();
    receive.wait().unwrap();
    assert!(stopped, "the grace is longer than the patience");
    assert_eq!(broker.child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_port_is_taken() {
    let broker = Broker::start(&[]);
    run(&["broker", "-l", &broker.url]).expect_failure(69, &["in use", "another port"]);
}

#[test]
fn the_ready_file_cannot_be_written() {
    let ran = run(&["broker", "-q", "-l", "amqp://127.0.0.1:0", "--ready-file", "/nowhere/ready"]);
    ran.expect_failure(73, &["/nowhere/ready"]);
}

#[test]
fn files_that_cannot_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let users = crate::support::write(dir.path(), "users", "alice\n").display().to_string();
    let listen = ["broker", "-l", "amqp://127.0.0.1:0"];
    run(&[&listen[..], &["--users", &users]].concat()).expect_failure(65, &["line 1", "name:password"]);
    run(&[&listen[..], &["--users", "/nowhere"]].concat()).expect_failure(65, &["/nowhere"]);
    run(&["broker", "-l", "amqps://127.0.0.1:0", "--cert", "/nowhere/c", "--key", "/nowhere/k"])
        .expect_failure(65, &["/nowhere/c"]);
    run(&["broker", "-l", "amqp://host.invalid:0"]).expect_failure(68, &["host.invalid"]);
}

#[test]
fn a_topic_reaches_every_subscriber() {
    let broker = Broker::start(&["--no-auto-create", "--topic", "news", "--topic-overflow", "prices=drop-oldest"]);
    for (topic, node) in [("news", "news"), ("prices", "prices; {node: {type: topic}}")] {
        let receive = ["receive", "-b", &broker.url, node, "-c", "1"];
        let readers = [start(&mut command(&receive)), start(&mut command(&receive))];
        // Whoever is not there yet misses what is sent, and nobody gets two.
        let mut readers = readers.map(Some);
        let sent = until(|| {
            broker.send(&[topic, "x"]).expect(0);
            readers.iter_mut().flatten().all(|reader| reader.try_wait().unwrap().is_some())
        });
        let texts = readers.each_mut().map(|reader| finish(reader.take().unwrap()).expect(0).to_owned());
        assert!(sent, "both have theirs");
        assert_eq!(texts, ["x\n", "x\n"]);
    }
    let refused = broker.receive(&["news; {node: {type: queue}}", "--timeout", "0"]);
    refused.expect_failure(69, &["no such queue: news"]);
}

#[test]
fn dead_letters_go_where_they_should() {
    let broker =
        Broker::start(&["--no-auto-create", "--queue", "a", "--dead-letter", "dead", "--dead-letter", "b=own"]);
    for (queue, grave) in [("a", "dead"), ("b", "own")] {
        broker.send(&[queue, "x", "--ttl", "1ms"]).expect(0);
        let ran = broker.receive(&[grave, "-c", "1", "--json"]);
        let json: serde_json::Value = serde_json::from_str(ran.expect(0)).unwrap();
        assert!(json.to_string().contains("x-opt-dead-letter-reason"), "{json}");
        assert!(json.to_string().contains("expired"), "{json}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let broker = Broker::start(&["--max-nodes", "1", "--queue", "a", "--max-message-size", "100", "--max-links", "1"]);
    broker.send(&["a", "x"]).expect(0);
    broker.send(&["b", "x"]).expect_failure(69, &["takes no more"]);
    assert_ne!(broker.send(&["a", "--size", "1000"]).code, Some(0));

    let full = Broker::start(&["--max-connections", "0"]);
    let ran = full.send(&["a", "x"]);
    assert!(ran.code != Some(0) && ran.stderr.contains("takes no more"), "{}", ran.stderr);
}
