//! Help and version.

use crate::support::run;

#[test]
fn help_of_every_command() {
    let check = |args: &[&str], words: &[&str]| {
        let ran = run(args);
        let text = ran.expect(0);
        assert_eq!(ran.stderr, "");
        for word in words {
            assert!(text.contains(word), "no {word} in {text}");
        }
    };
    check(&["--help"], &["demo", "broker", "send", "receive", "bench", "decode", "address", "Exit codes", "130"]);
    check(&["-h"], &["demo"]);
    check(&["help", "send"], &["ADDRESS"]);
    check(&["address", "explain", "--help"], &["--sender", "--receiver", "--dialect", "--strict", "--json", "65"]);
    check(&["demo", "--help"], &["--count", "--size", "--broker", "--password-file"]);
    check(
        &["broker", "--help"],
        &[
            "--listen",
            "--queue",
            "--ready-file",
            "--users",
            "--cert",
            "--key",
            "--no-auto-create",
            "--topic",
            "--topic-overflow",
            "--dead-letter",
            "--max-deliveries",
            "--max-connections",
            "--max-connections-per-address",
            "--max-connections-per-user",
            "--max-sessions",
            "--max-links",
            "--max-links-per-session",
            "--max-resumable-links",
            "--max-resumable-links-per-user",
            "--max-link-timeout",
            "--max-nodes",
            "--max-queue-messages",
            "--max-queue-bytes",
            "--max-total-bytes",
            "--max-subscriptions",
            "--max-subscription-messages",
            "--max-subscription-bytes",
            "--max-transactions",
            "--max-transaction-bytes",
            "--transaction-timeout",
            "--max-message-size",
            "--max-frame-size",
            "5672",
        ],
    );
    check(
        &["send", "--help"],
        &[
            "--broker",
            "POSTROAD_URL",
            "--lines",
            "--count",
            "--size",
            "--property",
            "--id",
            "--correlation-id",
            "--reply-to",
            "--subject",
            "--ttl",
            "--priority",
            "--durable",
            "--content-type",
            "--user-id",
            "--group-id",
            "--settle",
            "--user",
            "--password-file",
            "POSTROAD_PASSWORD",
            "--token-file",
            "POSTROAD_TOKEN",
            "--tls-header",
            "--ca",
            "--client-cert",
            "--client-key",
            "--sasl-mechanisms",
            "--allow-insecure-mechs",
            "--heartbeat",
            "--max-frame-size",
            "--connect-timeout",
        ],
    );
    check(
        &["receive", "--help"],
        &["--count", "--timeout", "--json", "--format", "--raw", "--browse", "%b", "%p{name}", "--connect-timeout"],
    );
    check(
        &["bench", "--help"],
        &["--p2p", "--count", "--duration", "--size", "--window", "--credit", "--prefetch", "--senders", "--receivers"],
    );
    check(&["bench", "--help"], &["--settle", "--timeout", "--output-format", "POSTROAD_URL", "--password-file"]);
    check(&["taps", "--help"], &["connect", "listen"]);
    let both =
        ["--message", "--count", "--timeout", "--json", "--properties", "--dry-run", "--framer", "--tls", "--ca"];
    let chosen = ["--profile", "--require", "--prefer", "--avoid", "--prohibit", "--set", "--protocol", "--interface"];
    for command in ["connect", "listen"] {
        check(&["taps", command, "--help"], &both);
        check(&["taps", command, "--help"], &chosen);
        check(&["taps", command, "--help"], &["--cert", "--key", "--alpn", "unix:", "ws://", "fixed:N", "connTimeout"]);
    }
    check(&["taps", "connect", "--help"], &["--local", "--server-name", "--insecure", "--connect-timeout"]);
    check(&["taps", "listen", "--help"], &["--echo", "--ready-file"]);
    check(&["decode", "--help"], &["HEX", "--json", "-v", "65", "PN_TRACE_FRM"]);
}

#[test]
fn version() {
    assert_eq!(run(&["--version"]).expect(0), concat!("postroad ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn wrong_usage() {
    let check = |args: &[&str], word: &str| {
        let ran = run(args);
        assert_eq!(ran.expect(64), "", "{args:?}");
        assert!(ran.stderr.contains(word), "no {word} in {}", ran.stderr);
    };
    check(&[], "Usage");
    check(&["frobnicate"], "frobnicate");
    check(&["send"], "ADDRESS");
    check(&["send", "q"], "nothing to send");
    check(&["send", "q", "x", "--frobnicate"], "--frobnicate");
    check(&["send", "q", "x", "--lines"], "--lines");
    check(&["send", "q", "x", "-c", "many"], "write a count");
    check(&["send", "q", "x", "--ttl", "soon"], "write a duration");
    check(&["send", "q", "--size", "big"], "write a size");
    check(&["send", "q", "x", "-P", "k:int=x"], "no int");
    check(&["send", "q", "x", "-P", "k:what=x"], "no type");
    check(&["send", "q", "x", "--content-type", "tëxt"], "ASCII");
    check(&["send", "q", "x", "-b", "http://h"], "amqp://");
    check(&["send", "q", "x", "-b", "amqp://h/q"], "ADDRESS");
    check(&["send", "q", "x", "--client-cert", "c"], "--client-key");
    check(&["send", "q", "x", "-v", "-q"], "--quiet");
    check(&["send", "q", "x", "--token-file", "t", "--password-file", "p"], "--password-file");
    check(&["send", "q", "x", "-b", "amqps://h", "--tls-header"], "amqp://");
    check(&["receive", "q", "--json", "--raw"], "--raw");
    check(&["receive", "q", "-f", "%x"], "%x");
    check(&["receive", "q", "--max-frame-size", "100"], "512");
    check(&["taps", "connect"], "TARGET");
    check(&["taps", "connect", "h:1", "--framer", "fixed:0"], "fixed:N");
    check(&["taps", "connect", "h:1", "--protocol", "sctp"], "sctp");
    check(&["taps", "connect", "h:1", "--cert", "c"], "--key");
    check(&["taps", "listen", "h:1", "--profile", "fast"], "unreliable-datagram");
    check(&["broker", "--cert", "c"], "--key");
    check(&["broker", "-l", "http://h"], "amqp://");
    check(&["broker", "-l", "amqps://127.0.0.1:0"], "--cert");
    check(&["broker", "--topic-overflow", "t=never"], "drop-oldest");
    check(&["broker", "--topic-overflow", "=hold-back"], "name");
    check(&["broker", "--dead-letter", "q="], "write a name");
    check(&["broker", "--max-deliveries", "q=0"], "from 1");
    check(&["broker", "--max-frame-size", "511"], "512");
    check(&["demo", "--count", "0"], "from 1");
    check(&["demo", "--size", "10"], "24");
}

#[test]
fn no_password_is_shown_when_a_url_is_wrong() {
    for url in ["amqp://u:s3cret@h:99999", "amqp://u:s3cret@h/q", "http://u:s3cret@h"] {
        let ran = run(&["send", "-b", url, "q", "x"]);
        ran.expect(64);
        assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
    }
}
