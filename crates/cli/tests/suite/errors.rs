//! What goes wrong on the way to a broker, and at it: exit code, and one line that says what to do.

use std::fs::OpenOptions;
use std::net::Ipv4Addr;

use postroad::client::{AcceptOptions, Acceptor, LinkOptions};
use postroad::taps::LocalEndpoint;
use tokio::runtime::Builder;

use crate::support::{Broker, closed_port, command, fake_peer, finish, run};

fn send(url: &str) -> crate::support::Ran {
    run(&["send", "-b", url, "--connect-timeout", "5s", "q", "x"])
}

#[test]
fn nobody_listens() {
    let url = closed_port();
    send(&url).expect_failure(69, &["cannot connect", "connection refused", "postroad broker"]);
    run(&["receive", "-b", &url, "q"]).expect_failure(69, &["connection refused"]);
    run(&["demo", "-b", &url]).expect_failure(69, &["connection refused"]);
}

#[test]
fn the_host_is_unknown() {
    send("amqp://host.invalid").expect_failure(68, &["cannot resolve `host.invalid`"]);
}

#[test]
fn the_peer_speaks_another_protocol() {
    send(&fake_peer(b"AMQP\0\0\x09\x01", true))
        .expect_failure(76, &["AMQP 0-9-1", "RabbitMQ needs its AMQP 1.0 plugin"]);
    send(&fake_peer(b"AMQP\x01\x01\x00\x0a", true)).expect_failure(76, &["AMQP 0-10"]);
    send(&fake_peer(b"HTTP/1.1 400 Bad Request\r\n\r\n", true)).expect_failure(76, &["HTTP", "port"]);
    send(&fake_peer(b"SSH-2.0-OpenSSH_9.2\r\n", true)).expect_failure(76, &["SSH"]);
    send(&fake_peer(b"\0\0\0\0\0\0\0\0\0\0", true)).expect_failure(76, &["AMQP"]);
}

#[test]
fn the_peer_says_nothing() {
    let url = fake_peer(b"", false);
    let ran = run(&["send", "-b", &url, "--connect-timeout", "300ms", "q", "x"]);
    ran.expect_failure(69, &["300ms", "is this an AMQP port?"]);
}

#[test]
fn the_peer_hangs_up() {
    send(&fake_peer(b"", true)).expect_failure(75, &["cannot connect"]);
}

#[test]
fn there_is_no_such_node() {
    let broker = Broker::start(&["--no-auto-create", "--queue", "here"]);
    broker.send(&["here", "x"]).expect(0);
    broker.send(&["nowhere", "x"]).expect_failure(69, &["nowhere", "{create: always}"]);
    broker.receive(&["nowhere"]).expect_failure(69, &["nowhere", "{create: always}"]);
    // The hint works.
    broker.send(&["nowhere; {create: always}", "x"]).expect(0);
    assert_eq!(broker.receive(&["nowhere", "-c", "1"]).expect(0), "x\n");
}

#[test]
fn the_address_is_wrong() {
    let broker = Broker::start(&[]);
    let place = broker.send(&["q; {create always}", "x"]);
    place.expect_failure(65, &["q; {create always}", "line:1,11", "{create: always}"]);
    broker.receive(&["q; {create: perhaps}"]).expect_failure(65, &["create"]);
    broker.send(&["q; {link: {x-subscribe: {a: 1}}}", "x"]).expect_failure(65, &["link.x-subscribe", "not supported"]);
    broker.send(&["amqp://127.0.0.1/", "x"]).expect_failure(65, &["no address", "amqp://localhost/my-queue"]);
}

#[test]
fn a_message_is_too_large() {
    let broker = Broker::start(&["--max-message-size", "1KiB"]);
    let ran = broker.send(&["q", "--size", "2KiB"]);
    ran.expect_failure(1, &["message 1 was not accepted", "1024"]);
    // The others are sent.
    let large = "x".repeat(2000);
    let ran = broker.send(&["q", "one", &large, "two"]);
    ran.expect_failure(1, &["message 2 was not accepted"]);
    assert_eq!(broker.receive(&["q", "--timeout", "0"]).expect(0), "one\ntwo\n");
}

#[test]
fn the_queue_is_full() {
    let broker = Broker::start(&["--max-queue-messages", "10"]);
    let ran = broker.send(&["q", "x", "-c", "50", "--timeout", "500ms"]);
    assert_eq!(ran.expect(1), "");
    assert!(ran.stderr.contains("500ms") || ran.stderr.contains("not accepted"), "{}", ran.stderr);
    // Nothing of it is on its way, and why is told.
    let ran = broker.send(&["q", "x", "-c", "50", "--timeout", "2s"]);
    assert_eq!(ran.expect(1), "");
    assert!(ran.stderr.contains("2s (the peer gives no credit"), "{}", ran.stderr);
    let there = broker.receive(&["q", "--timeout", "0"]);
    let count = there.expect(0).lines().count();
    assert!((1..=10).contains(&count), "{count} messages");
}

/// Takes one message of one client, and never answers it.
async fn takes_and_is_silent(acceptor: Acceptor) {
    let connection = acceptor.accept().await.expect("a client");
    let link = connection.next_link().await.expect("a link");
    let mut receiver = link.into_receiver(&LinkOptions::default()).expect("it is attached");
    let _message = receiver.receive().await.expect("a message");
    receiver.closed().await;
}

#[test]
fn what_has_no_outcome_in_time_may_have_arrived() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let options = AcceptOptions::new(LocalEndpoint::address(Ipv4Addr::LOCALHOST));
    let acceptor = runtime.block_on(Acceptor::listen(options)).expect("a port");
    let url = format!("amqp://{}", acceptor.local_endpoint());
    let peer = runtime.spawn(takes_and_is_silent(acceptor));
    let ran = run(&["send", "-b", &url, "q", "x", "--timeout", "2s"]);
    assert_eq!(ran.expect(1), "");
    assert!(ran.stderr.contains("2s, and 1 of the messages may have arrived"), "{}", ran.stderr);
    runtime.block_on(peer).expect("the peer has had its message");
}

#[test]
fn files_that_cannot_be_used() {
    let broker = Broker::start(&[]);
    let no_pem = broker.file("no.pem", "nothing").display().to_string();
    broker.send(&["q", "x", "--ca", "/nowhere/ca.pem"]).expect_failure(65, &["/nowhere/ca.pem"]);
    broker.send(&["q", "x", "--ca", &no_pem]).expect_failure(65, &["no certificate"]);
    broker.send(&["q", "x", "--password-file", "/nowhere/p"]).expect_failure(65, &["/nowhere/p"]);
    broker.send(&["q", "x", "--token-file", "/nowhere/t"]).expect_failure(65, &["the token", "/nowhere/t"]);
}

#[test]
fn the_output_cannot_be_written() {
    let broker = Broker::start(&[]);
    broker.send(&["q", "kept"]).expect(0);
    let full = OpenOptions::new().write(true).open("/dev/full").expect("a full device");
    let mut receive = command(&["receive", "-b", &broker.url, "q", "-c", "1"]);
    let ran = finish(receive.stdout(full).stderr(std::process::Stdio::piped()).spawn().expect("it starts"));
    ran.expect_failure(73, &["stdout"]);
    // What was not written was not settled.
    assert_eq!(broker.receive(&["q", "-c", "1"]).expect(0), "kept\n");
}
