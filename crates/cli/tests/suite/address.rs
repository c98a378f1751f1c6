//! Addresses explained to people.

use serde_json::{Value as Json, json};

use crate::support::{Ran, run};

fn explain(args: &[&str]) -> Ran {
    run(&[&["address", "explain"], args].concat())
}

#[track_caller]
fn json(args: &[&str], exit: i32) -> Json {
    let ran = explain(&[args, &["--json"]].concat());
    let text = ran.expect(exit).to_owned();
    assert_eq!((text.lines().count(), ran.stderr.as_str()), (1, ""), "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The rows of the output as pairs.
fn rows(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .filter_map(|line| line.trim_start().split_once(' '))
        .map(|(name, value)| (name, value.trim()))
        .collect()
}

#[test]
fn what_is_sent_for_an_address() {
    let address = "prices/eu.# ;{create:always,node:{type:topic},link:{durable:True,timeout:30,selector:'a=1'}}";
    let ran = explain(&["--receiver", address]);
    let text = ran.expect(0).to_owned();
    assert_eq!(ran.stderr, "");
    let rows = rows(&text);
    for row in [
        (
            "address",
            "prices/eu.#; {create: always, node: {type: topic}, link: {durable: True, timeout: 30, selector: 'a=1'}}",
        ),
        ("name", "\"prices\""),
        ("subject", "\"eu.#\""),
        ("role", "\"receiver\""),
        ("snd-settle-mode", "\"settled\""),
        ("source.address", "\"prices\""),
        ("source.capabilities", "[\"create-on-demand\",\"topic\"]"),
        ("source.durable", "\"unsettled-state\""),
        ("source.dynamic-node-properties.supported-dist-modes", "\"copy\""),
        ("source.filter.selector", "{\"$descriptor\":77567109365764,\"$value\":\"a=1\"}"),
        ("source.timeout", "30.0"),
    ] {
        assert!(rows.contains(&row), "no {row:?} in {text}");
    }
    assert!(!text.contains("sender"), "{text}");
}

#[test]
fn both_ends_unless_one_is_asked_for() {
    let both = explain(&["orders"]);
    let text = both.expect(0);
    assert!(text.contains("a sender asks on AMQP 1.0") && text.contains("a receiver asks on AMQP 1.0"), "{text}");
    let sender = explain(&["--sender", "orders"]);
    assert!(!sender.expect(0).contains("receiver"));
    // One that is not possible is told; it is a fault where it was asked for.
    let half = explain(&["orders; {mode: browse}"]);
    assert!(half.expect(0).contains("a sender is not possible\n  error in options of a sender: mode: illegal key"));
    assert_eq!(half.stderr, "");
    let none = explain(&["--sender", "orders; {mode: browse}"]);
    none.expect(65);
    assert!(none.stderr.contains("mode is an option of receivers"), "{}", none.stderr);
    explain(&["--sender", "--receiver", "orders"]).expect(64);
}

#[test]
fn what_is_done_beside_the_attach() {
    let address = "q; {assert: always, delete: sender, node: {x-bindings: [{exchange: 'amq.topic', key: a}]}, \
                   link: {x-bindings: [{exchange: e}]}}";
    let it = json(&[address], 0);
    let also = |end: &str| it[end]["also"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned());
    let sender: Vec<_> = also("sender").collect();
    assert_eq!(
        sender,
        [
            "what the broker attached is compared with what is asked here",
            "a binding of the node is made: {exchange: 'amq.topic', key: a}",
            "a binding of the link is made: {exchange: e}",
            "the node is deleted when the link closes",
        ]
    );
    assert_eq!(also("receiver").collect::<Vec<_>>(), sender[..3]);
    let text = explain(&["--sender", address]);
    assert!(text.expect(0).ends_with("  and the node is deleted when the link closes\n"));
}

#[test]
fn as_an_object() {
    let it = json(&["amqp://me:secret@host:1/q/s; {create: receiver, link: {reliability: exactly-once}}"], 0);
    assert_eq!(it["broker"], "amqp://me:***@host:1");
    assert_eq!((&it["dialect"], &it["name"], &it["subject"]), (&json!("python"), &json!("q"), &json!("s")));
    assert_eq!(it["options"], json!({"create": "receiver", "link": {"reliability": "exactly-once"}}));
    let source = &it["receiver"]["attach"]["source"];
    assert_eq!((&source["address"], &source["capabilities"]), (&json!("q"), &json!(["create-on-demand"])));
    assert_eq!(it["receiver"]["attach"]["rcv-settle-mode"], "second");
    assert_eq!(it["sender"]["attach"]["target"], json!({"address": "q"}));

    let it = json(&["--receiver", "q; {node: {durable: soon}}"], 65);
    let error = &it["receiver"]["error"];
    assert_eq!(error["message"], "error in options of a receiver: node: durable: soon is not a bool");
    assert_eq!((&error["line"], &error["column"], &error["offset"]), (&json!(1), &json!(11), &json!(11)));

    let it = json(&["é;"], 65);
    assert_eq!(it["error"]["message"], "unrecognized characters line:1,0");
    let it = json(&["'é'\n;"], 65);
    let place = (&it["error"]["line"], &it["error"]["column"], &it["error"]["offset"]);
    assert_eq!(place, (&json!(2), &json!(1), &json!(6)));
    assert!(it["error"]["hint"].as_str().unwrap().contains("{create: always}"));
}

#[test]
fn an_error_shows_the_place_and_what_to_write() {
    let ran = explain(&["foo; {exchange:amq.topic}"]);
    assert_eq!(ran.expect(65), "");
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert!(lines[0].ends_with("expecting (COMMA, RBRACE), got SYM(.) line:1,18"), "{}", ran.stderr);
    let shown = lines.iter().position(|line| line.ends_with("foo; {exchange:amq.topic}")).unwrap();
    let (line, caret) = (lines[shown], lines[shown + 1]);
    let dot = line.find("amq.").unwrap() + 3;
    assert_eq!(caret.find('|'), Some(dot), "{}", ran.stderr);
    assert!(ran.stderr.contains("help: put a comma between values, and quote a value"), "{}", ran.stderr);

    let ran = explain(&["--receiver", "q; {craete: always, node: {durable: 'yes', x-bindings: [{ky: 1}]}}"]);
    ran.expect(65);
    for what in ["`-- illegal key", "`-- yes is not a bool", "help: write durable: True or durable: False"] {
        assert!(ran.stderr.contains(what), "{}", ran.stderr);
    }
    let ran = explain(&["--sender", "q; {link: {selector: a}}"]);
    ran.expect(65);
    assert!(ran.stderr.contains("a sender cannot have this address: link.selector"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`-- here"), "{}", ran.stderr);
}

#[test]
fn dialects_and_strictness() {
    let cpp = explain(&["--dialect", "cpp", "a&b; {link: {name: 5}, mode: browse}"]);
    let text = cpp.expect(0).to_owned();
    assert!(text.contains("address   'a&b'; {link: {name: 5}, mode: browse}"), "{text}");
    assert!(!text.contains("not possible"), "{text}");
    explain(&["a&b"]).expect(65);
    explain(&["--dialect", "java", "a"]).expect(64);

    assert!(explain(&["my queue"]).expect(0).contains("\"myqueue\""));
    let strict = explain(&["--strict", "my queue"]);
    strict.expect(65);
    assert!(strict.stderr.contains("blank in an unquoted text line:1,2"), "{}", strict.stderr);
    assert!(strict.stderr.contains("help: put the text in quotes, as in 'my queue'"), "{}", strict.stderr);
}

#[test]
fn nothing_in_an_address_steers_a_terminal_or_shows_a_password() {
    let ran = explain(&["a; {b: \u{1b}[2J}"]);
    ran.expect(65);
    assert!(!ran.stderr.contains('\u{1b}'), "{:?}", ran.stderr);
    let ran = explain(&["amqp://me:secret@host:x/a"]);
    ran.expect(65);
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
    // An address that begins with a dash is one.
    assert!(explain(&["-a"]).expect(0).contains("\"-a\""));
    let long = explain(&["a".repeat(70_000).as_str()]);
    long.expect(65);
    assert!(long.stderr.len() < 400, "{}", long.stderr.len());
}
