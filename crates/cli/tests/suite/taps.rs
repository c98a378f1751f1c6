//! `postroad taps`: targets, properties, what is selected, and messages both ways.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rcgen::generate_simple_self_signed;

use crate::support::{Ran, command, finish, run, run_with_input, until, write};

/// A listener of the command; killed by its id when it is dropped.
struct Listening {
    child: Option<Child>,
    at: String,
}

impl Listening {
    fn start(target: &str, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let ready = dir.path().join("ready");
        let mut command = command(&["taps", "listen", target, "--ready-file"]);
        command.arg(&ready).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let listens = until(|| ready.exists() || child.try_wait().expect("the child is ours").is_some());
        if !listens || !ready.exists() {
            let _ = child.kill();
            panic!("it does not listen: {:?}", finish(child));
        }
        let at = fs::read_to_string(&ready).expect("the ready file").lines().next().expect("an address").to_owned();
        Self { child: Some(child), at }
    }

    fn connect(&self, args: &[&str]) -> Ran {
        run(&[&["taps", "connect", &self.at], args].concat())
    }

    /// What it printed, once it has ended by itself.
    fn end(mut self) -> Ran {
        finish(self.child.take().expect("it ends once"))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

const LOOPBACK: &str = "127.0.0.1:0";

#[test]
fn messages_go_and_are_echoed() {
    let server = Listening::start(LOOPBACK, &["--framer", "length", "--echo", "-c", "6"]);
    let framed = ["--framer", "length", "-c", "2"];
    let ran = server.connect(&[&framed[..], &["-m", "one", "-m", "two\nlines"]].concat());
    assert_eq!(ran.expect(0), "one\ntwo\nlines\n");
    // Without a count, until the peer has ended too.
    let ran = server.connect(&["--framer", "length", "-m", "three", "-q"]);
    assert_eq!(ran.expect(0), "5\n", "lengths only");
    let lines = [&["taps", "connect", &server.at], &framed[..]].concat();
    assert_eq!(run_with_input(&lines, b"four\nfive").expect(0), "four\nfive\n");
    // The sixth is the server's last: a second answer does not come.
    let ran = server.connect(&[&framed[..], &["-m", "six", "--json"]].concat());
    let events: Vec<serde_json::Value> =
        ran.expect(2).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().expect("a name")).collect();
    assert_eq!(names, ["ready", "sent", "received", "closed"]);
    assert_eq!((&events[0]["stack"], &events[0]["remote"]), (&"tcp".into(), &server.at.as_str().into()));
    assert_eq!((&events[2]["data"], &events[2]["length"]), (&"six".into(), &3.into()));
    let ran = server.end();
    assert_eq!(ran.expect(0), "");
    assert!(ran.stderr.contains("listening on 127.0.0.1:"), "{}", ran.stderr);
}

#[test]
fn without_framers_a_stream_is_bytes() {
    let server = Listening::start(LOOPBACK, &["--echo"]);
    let bytes = b"any\0bytes\xff, no line feed";
    let ran = run_with_input(&["taps", "connect", &server.at], bytes);
    assert_eq!((ran.code, &ran.stdout[..]), (Some(0), &bytes[..]), "{}", ran.stderr);
    // Several clients at once, and each gets its own.
    let ran = server.connect(&["-m", "a", "-m", "b"]);
    assert_eq!(ran.expect(0), "ab");
}

#[test]
fn a_listener_prints_what_comes_and_says_what_it_is_told_to() {
    for framer in ["line", "tlv", "fixed:5"] {
        let server = Listening::start(LOOPBACK, &["--framer", framer, "-c", "2", "-m", "hello"]);
        let ran = server.connect(&["--framer", framer, "-m", "first", "-m", "other"]);
        assert_eq!((ran.expect(0), server.end().expect(0)), ("hello\n", "first\nother\n"), "{framer}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn unix_sockets_are_targets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    for target in [format!("unix:{}", path.display()), format!("unix:@postroad-test-{}", std::process::id())] {
        let server = Listening::start(&target, &["--framer", "length", "-c", "1"]);
        run(&["taps", "connect", &target, "--framer", "length", "-m", "hello"]).expect(0);
        assert_eq!(server.end().expect(0), "hello\n");
    }
    let target = format!("unix:{}", path.display());
    run(&["taps", "connect", &target, "-m", "x"]).expect_failure(69, &["no socket"]);
    run(&["taps", "connect", &target, "--tls"]).expect_failure(69, &["(leave out --tls)"]);
    let file = write(dir.path(), "file", "no socket");
    run(&["taps", "listen", &format!("unix:{}", file.display())]).expect_failure(69, &["no socket", "another path"]);
}

#[cfg(target_os = "linux")]
#[test]
fn datagrams_of_a_path_are_answered_at_another() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| format!("unix:{}", dir.path().join(name).display());
    let lossy = ["--profile", "unreliable-datagram"];
    let server = Listening::start(&at("listener"), &[&lossy[..], &["--echo"]].concat());
    let twice = [&lossy[..], &["-m", "ping", "-m", "pong", "-c", "2", "--timeout", "10s"]].concat();
    assert_eq!(server.connect(&twice).expect(0), "ping\npong\n");
    let own = at("own");
    let ran = server.connect(&[&twice[..], &["--local", &own, "--json"]].concat());
    let text = ran.expect(0);
    for part in ["\"stack\":\"unix-datagram\"", &format!("\"local\":\"{own}\""), "\"data\":\"pong\""] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(!dir.path().join("own").exists());
    // Streams are spoken by default, and do not meet datagrams when they are asked for.
    server.connect(&["--profile", "reliable-inorder-stream", "-m", "x"]).expect_failure(69, &[]);
    run(&["taps", "connect", &at("listener"), "--local", "unix:", "-m", "x"]).expect_failure(65, &["unix:"]);
}

#[test]
fn datagrams_and_websockets_are_targets() {
    let lossy = ["--profile", "unreliable-datagram"];
    let server = Listening::start(LOOPBACK, &[&lossy[..], &["--echo"]].concat());
    let ran = server.connect(&[&lossy[..], &["-m", "ping", "-m", "pong", "-c", "2", "--timeout", "10s"]].concat());
    assert_eq!(ran.expect(0), "ping\npong\n");
    // Nobody can say that a datagram was the last one: it ends when all are sent.
    assert_eq!(server.connect(&[&lossy[..], &["-m", "ping"]].concat()).code, Some(0));

    let server = Listening::start("ws://127.0.0.1:0/chat", &["--echo"]);
    let target = format!("ws://{}/chat", server.at);
    let ran = run(&["taps", "connect", &target, "-m", "one", "-m", "two", "-c", "2", "--json"]);
    let text = ran.expect(0);
    assert!(text.contains("\"stack\":\"websocket/tcp\"") && text.contains("\"data\":\"two\""), "{text}");
}

/// A peer that was forgotten is greeted as a new one.
#[test]
fn a_quiet_peer_over_datagrams_is_forgotten() {
    let args = ["--profile", "unreliable-datagram", "--forget-after", "10ms", "-m", "welcome", "--json"];
    let server = Listening::start(LOOPBACK, &args);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(&server.at).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut welcomes = 0;
    let forgotten = until(|| {
        socket.send(b"hello").unwrap();
        let mut buffer = [0; 100];
        if let Ok(length) = socket.recv(&mut buffer) {
            assert_eq!(&buffer[..length], b"welcome");
            welcomes += 1;
        }
        welcomes > 1
    });
    assert!(forgotten, "{welcomes}");
}

fn certificate(dir: &Path) -> [String; 2] {
    let made = generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    [
        write(dir, "cert.pem", &made.cert.pem()).display().to_string(),
        write(dir, "key.pem", &made.signing_key.serialize_pem()).display().to_string(),
    ]
}

#[test]
fn tls_verifies_who_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let [cert, key] = certificate(dir.path());
    let args = ["--tls", "--cert", &cert, "--key", &key, "--alpn", "echo", "--framer", "length", "--echo"];
    let server = Listening::start(LOOPBACK, &args);
    let framed = ["--framer", "length", "--tls", "-m", "hello"];
    // One listener, and the transport that is asked for.
    for (protocol, stack) in [("tcp", "tls/tcp"), ("quic", "quic-stream")] {
        let options = ["--ca", &cert, "--alpn", "echo", "--json", "--protocol", protocol];
        let ran = server.connect(&[&framed[..], &options].concat());
        let text = ran.expect(0);
        for part in ["\"alpn\":\"echo\"", &format!("\"stack\":\"{stack}\""), "\"data\":\"hello\""] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }
    assert_eq!(server.connect(&[&framed[..], &["--insecure"]].concat()).expect(0), "hello\n");
    server.connect(&framed).expect_failure(77, &["--ca"]);
    let other_name = [&framed[..], &["--ca", &cert, "--server-name", "example.com"]].concat();
    server.connect(&other_name).expect_failure(77, &["example.com"]);
    let plain = Listening::start(LOOPBACK, &["-m", "no TLS"]);
    plain.connect(&["--tls"]).expect_failure(76, &["--tls"]);
}

#[test]
fn the_candidates_are_shown_with_their_rank_and_the_others_with_a_reason() {
    let tcp = run(&["taps", "connect", "127.0.0.1:9", "--dry-run", "--prefer", "reliability"]);
    let tcp = tcp.expect(0);
    let lines: Vec<&str> = tcp.lines().collect();
    assert_eq!(lines[..2], ["1 [127.0.0.1:9]", "  1.1 [any path]"]);
    assert!(lines[2].starts_with("    1.1.1 [any path, tcp] ("), "{tcp}");
    assert_eq!(lines[3], "      1.1.1.1 [127.0.0.1:9, any path, tcp]");
    assert!(tcp.contains("rejected: tls/tcp: clear text is asked for, and it always encrypts\n"), "{tcp}");
    assert!(tcp.contains("rejected: mptcp: multipath is disabled\n"), "{tcp}");

    let tls = run(&["taps", "connect", "tls://[::1]:9", "--dry-run", "--insecure"]);
    let tls = tls.expect(0);
    assert!(tls.contains("1.1.1.1 [[::1]:9, any path, tls/tcp]"), "{tls}");
    assert!(!tls.contains("rejected: tls/tcp") && !tls.contains("any path, tcp]"), "{tls}");
    // A client of a listener.
    let listener = run(&["taps", "listen", "127.0.0.1:9", "--dry-run"]);
    assert!(listener.expect(0).contains("[127.0.0.1:9, any path, tcp]"));

    let messages = ["taps", "connect", "tcp://127.0.0.1:9", "--dry-run", "--require", "preserve-msg-boundaries"];
    run(&messages).expect_failure(69, &["tcp: preserveMsgBoundaries is required", "--framer"]);
    run(&[&messages[..], &["--framer", "line"]].concat()).expect(0);
}

#[test]
fn properties_are_set_and_read_by_their_names() {
    let server = Listening::start(LOOPBACK, &["--echo", "--framer", "line"]);
    let set = ["--set", "conn-timeout=30", "--set", "connPriority=7", "--profile", "reliable-inorder-stream"];
    let ran = server.connect(&[&set[..], &["--properties", "--framer", "line", "-m", "x"]].concat());
    let text = ran.expect(0);
    for line in ["connTimeout: 30\n", "connPriority: 7\n", "reliability: true\n", "preserveMsgBoundaries: false\n"] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    assert!(text.ends_with("\nx\n"), "{text}");
}

#[test]
fn what_is_wrong_is_said() {
    let connect = |args: &[&str]| run(&[&["taps", "connect"], args].concat());
    let closed = {
        let listener = std::net::TcpListener::bind(LOOPBACK).unwrap();
        listener.local_addr().unwrap().to_string()
    };
    connect(&[&closed, "-m", "x"]).expect_failure(69, &[&closed, "refused"]);
    connect(&["name.invalid:1", "-m", "x"]).expect_failure(68, &["name.invalid"]);
    connect(&["nothing", "-m", "x"]).expect_failure(65, &["no port", "host:port"]);
    connect(&["gopher://h:1"]).expect_failure(65, &["gopher"]);
    connect(&["h:1", "--require", "reliabilty"]).expect_failure(64, &["did you mean `reliability`"]);
    connect(&["h:1", "--prohibit", "connTimeout"]).expect_failure(64, &["--prohibit", "--set connTimeout="]);
    connect(&["h:1", "--set", "swiftness=1"]).expect_failure(64, &["swiftness", "--properties"]);
    let twice = ["--require", "multistreaming", "--prohibit", "MULTISTREAMING"];
    connect(&[&["h:1"], &twice[..]].concat()).expect_failure(64, &["--prohibit", "--require names"]);
    connect(&["tcp://h:1", "--protocol", "udp"]).expect_failure(64, &["--protocol", "says tcp, not udp"]);
    connect(&["udp://127.0.0.1:1", "-m", "x"]).expect_failure(69, &["--profile unreliable-datagram"]);
    connect(&["h:1", "--set", "connTimeout"]).expect_failure(64, &["NAME=VALUE"]);
    connect(&["h:1", "--set", "connTimeout=soon"]).expect_failure(64, &["soon"]);
    connect(&["h:1", "--ca", "x.pem"]).expect_failure(64, &["--ca", "--tls"]);
    connect(&["ws://h/", "--tls"]).expect_failure(64, &["--tls", "clear text"]);
    connect(&["h:1", "--tls", "--ca", "/does/not/exist"]).expect_failure(65, &["/does/not/exist"]);
    let both = ["--require", "perMsgReliability", "--prohibit", "reliability"];
    connect(&[&["127.0.0.1:1"], &both[..]].concat()).expect_failure(65, &["perMsgReliability"]);
    run(&["taps", "listen", "127.0.0.1:0", "--tls"]).expect_failure(64, &["--cert"]);
    run(&["taps", "listen", "192.0.2.1:0"]).expect_failure(69, &["192.0.2.1"]);
    let nowhere = ["taps", "listen", "127.0.0.1:1", "--dry-run", "--interface", "nowhere0"];
    run(&nowhere).expect_failure(68, &["nowhere0"]);

    // Nobody answers in time: the system takes the connection, and nobody takes it from the system.
    let silent = std::net::TcpListener::bind(LOOPBACK).unwrap();
    let at = silent.local_addr().unwrap().to_string();
    let ran = connect(&[&at, "--framer", "line", "-m", "x", "-c", "1", "--timeout", "200ms"]);
    assert_eq!(ran.expect(2), "");
    // What somebody says is no message.
    let server = Listening::start(LOOPBACK, &["-m", "hello, this is a line and no length"]);
    server.connect(&["--framer", "length", "-m", "x"]).expect_failure(76, &["--framer"]);
}
