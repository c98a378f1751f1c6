//! Runs every fuzz target for a while on the stable toolchain; see `postroad_tests::fuzz`.

mod msrp;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use postroad_codec::v1_0::{Encode, Value};
use postroad_tests::fuzz::{self, Target};
use postroad_tests::{corpus, typed};
use serde_json::json;

/// Fuzz targets on the stable toolchain, from their regressions and seeds.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seconds for each target.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Only the targets with this name.
    #[arg(long)]
    target: Option<String>,
    /// Start of the sequence of inputs; without it another one each time.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let arguments: Arguments = match postroad_tests::arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let Ok(time) = Duration::try_from_secs_f64(arguments.seconds) else {
        eprintln!("{} are no seconds to fuzz for", arguments.seconds);
        return ExitCode::from(64);
    };
    let seed = arguments.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::from(now.subsec_nanos()) ^ now.as_secs()
    });
    println!("seed {seed}");
    let mut ran = 0;
    let mut code = ExitCode::SUCCESS;
    for mut target in targets() {
        if arguments.target.as_ref().is_some_and(|name| name != target.name) {
            continue;
        }
        ran += 1;
        let folder = regressions(&target);
        match read_all(&folder) {
            Ok(files) => target.seeds.extend(files),
            Err(error) => {
                eprintln!("{}: {error}", folder.display());
                return ExitCode::FAILURE;
            }
        }
        match fuzz::run(&target, seed, time) {
            Ok(count) => println!("{} {}: {count} inputs", target.krate, target.name),
            Err(finding) => {
                code = ExitCode::FAILURE;
                println!(
                    "{} {}: {}\n  input of {} bytes: {}\n  once fixed, keep it as a file in {}",
                    target.krate,
                    target.name,
                    finding.fault,
                    finding.input.len(),
                    typed::hex(&finding.input),
                    folder.display()
                );
            }
        }
    }
    if ran == 0 {
        eprintln!("no such target; there are: {}", targets().iter().map(|t| t.name).collect::<Vec<_>>().join(", "));
        return ExitCode::from(64);
    }
    code
}

/// The constructors of AMQP 1.0 types (part 1, 1.6), and the starts of described ones.
const CONSTRUCTORS: &[&[u8]] = &[
    b"\x40",
    b"\x41",
    b"\x42",
    b"\x43",
    b"\x44",
    b"\x45",
    b"\x50",
    b"\x51",
    b"\x52",
    b"\x53",
    b"\x54",
    b"\x55",
    b"\x56",
    b"\x60",
    b"\x61",
    b"\x70",
    b"\x71",
    b"\x72",
    b"\x73",
    b"\x74",
    b"\x80",
    b"\x81",
    b"\x82",
    b"\x83",
    b"\x84",
    b"\x94",
    b"\x98",
    b"\xa0",
    b"\xa1",
    b"\xa3",
    b"\xb0",
    b"\xb1",
    b"\xb3",
    b"\xc0",
    b"\xc1",
    b"\xd0",
    b"\xd1",
    b"\xe0",
    b"\xf0",
    b"\x00\x53",
    b"\x00\xa3",
    b"\x00\x80",
    b"\xe0\x02\xff\x40",
    b"\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40",
];

const TEXT: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b": ",
    b", ",
    b"; ",
    b"/",
    b"'",
    b"\"",
    b"\\u0041",
    b"\\x41",
    b"\\",
    b"create",
    b"always",
    b"node",
    b"link",
    b"mode",
    b"browse",
    b"x-declare",
    b"amqp://",
    b"amqps://",
    b"@",
    b"%40",
    b"[::1]",
    b"5672",
    b"?",
    b"=",
    b"&",
    "é".as_bytes(),
    b"\0",
];

/// Words of selectors.
const SELECTOR: &[&[u8]] = &[
    b" AND ",
    b" OR ",
    b" NOT ",
    b" BETWEEN ",
    b" IN (",
    b" LIKE ",
    b" ESCAPE '!'",
    b" IS NULL",
    b"TRUE",
    b"JMSPriority",
    b"amqp.subject",
    b"'",
    b"\"",
    b"%",
    b"_",
    b"(",
    b")",
    b",",
    b"<>",
    b"<=",
    b"-",
    b"*",
    b"/",
    b"0x7f",
    b"1.5e3",
    b"9223372036854775808",
];

/// What framers look for: lengths and delimiters.
const FRAMED: &[&[u8]] =
    &[b"\0\0\0\0", b"\0\0\0\x01", b"\0\0\0\x07", b"\0\x01\0\0\0\x02", b"\n", b"abab", b"\xff\xff\xff\xff"];

fn targets() -> Vec<Target> {
    let target = |krate, name, body, seeds, tokens| Target { name, krate, body, seeds, tokens };
    let mut targets = vec![
        target("codec", "frame", postroad_codec::fuzz::frame, frames(), CONSTRUCTORS),
        target("codec", "message", postroad_codec::fuzz::message, messages(), CONSTRUCTORS),
        target("codec", "value_round_trip", postroad_codec::fuzz::value_round_trip, values(), CONSTRUCTORS),
        target("codec", "protocol_header", postroad_codec::fuzz::protocol_header, headers(), &[]),
        target("amqp", "engine", postroad_amqp::fuzz::engine, games(), &[]),
        target("amqp", "sasl", postroad_amqp::fuzz::sasl, exchanges(), &[]),
        target("address", "address", postroad_address::fuzz::address, addresses(), TEXT),
        target("address", "url", postroad_address::fuzz::url, addresses(), TEXT),
        target("address", "connection_options", postroad_address::fuzz::connection_options, connection_options(), TEXT),
        target("broker", "selector", postroad_broker::fuzz::selector, selectors(), SELECTOR),
        target("taps", "framers", postroad_taps::fuzz::framers, framed(), FRAMED),
    ];
    targets.extend(msrp::targets());
    targets
}

fn selectors() -> Vec<Vec<u8>> {
    [
        "a = 5 AND b LIKE 't%' ESCAPE '!' OR JMSPriority BETWEEN 1 AND 7.5",
        "NOT (amqp.subject IN ('s', \"quoted\", - 2 * (3 + 0x1f)) OR missing IS NOT NULL)",
        "a + 1 <> 017 / b AND TRUE AND 'it''s' NOT LIKE '_t%'",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// Each stack of up to two framers, with something to frame that is framed already.
fn framed() -> Vec<Vec<u8>> {
    let data = b"\0\0\0\x07\0\x01\0\0\0\x02hi!\nababab\n1234567";
    (0..36).map(|setup| [setup, setup].iter().chain(data).copied().collect()).collect()
}

/// Moves of a peer and an owner: any bytes are a game, and long ones go deep.
fn games() -> Vec<Vec<u8>> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    };
    (0..64u8).map(|setup| (0..2000).map(|index| if index == 0 { setup << 2 } else { byte() }).collect()).collect()
}

/// Exchanges that nobody disturbs, with each way to set up the two ends.
fn exchanges() -> Vec<Vec<u8>> {
    (0..=255).map(|setup| [setup, setup % 5, 0].into_iter().chain([0, 0].repeat(20)).collect()).collect()
}

fn values() -> Vec<Vec<u8>> {
    // Long ones teach nothing that short ones do not, and slow the run.
    corpus::values().iter().map(|(_, value)| encoded(value)).filter(|bytes| bytes.len() <= 400).collect()
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out);
    out
}

fn messages() -> Vec<Vec<u8>> {
    let symbol_map = json!({"t": "map", "v": [[{"t": "symbol", "v": "x-opt-a"}, {"t": "uint", "v": 5}]]});
    let full = json!({"sections": [
        {"s": "header", "v": {"durable": {"t": "boolean", "v": true}, "ttl": {"t": "uint", "v": 60_000}}},
        {"s": "delivery-annotations", "v": symbol_map},
        {"s": "message-annotations", "v": symbol_map},
        {"s": "properties", "v": {
            "message-id": {"t": "ulong", "v": 7}, "to": {"t": "string", "v": "q"},
            "creation-time": {"t": "timestamp", "v": 1}, "group-sequence": {"t": "uint", "v": 1},
        }},
        {"s": "application-properties", "v": {"t": "map", "v": [[{"t": "string", "v": "k"}, {"t": "long", "v": -1}]]}},
        {"s": "data", "v": {"t": "binary", "v": "0102"}},
        {"s": "data", "v": {"t": "binary", "v": ""}},
        {"s": "footer", "v": symbol_map},
    ]});
    let sequences = json!({"sections": [{"s": "amqp-sequence", "v": {"t": "list", "v": [{"t": "null"}]}}]});
    let mut all = vec![Vec::new()];
    for message in [&full, &sequences] {
        all.push(typed::message_from_json(message).expect("the seed has the form"));
    }
    for (_, value) in corpus::values() {
        let bytes = typed::message_from_json(&typed::value_message(&value)).expect("the seed has the form");
        all.extend(Some(bytes).filter(|bytes| bytes.len() <= 400));
    }
    all
}

/// Performatives and SASL frames (parts 2 and 5) with their fields filled in by position, as frames and as bodies.
fn frames() -> Vec<Vec<u8>> {
    let terminus = |code: u64| Value::described(code, vec![Value::from("q"), 0u32.into()]);
    let accepted = Value::described(0x24u64, Vec::<Value>::new());
    let tag = Value::from(b"tag".to_vec());
    let bodies = [
        (0x10u64, vec!["container".into(), "host".into(), 512u32.into(), 9u16.into(), 1000u32.into()]),
        (0x11, vec![Value::Null, 1u32.into(), 2u32.into(), 3u32.into()]),
        (0x12, vec!["l".into(), 0u32.into(), false.into(), 2u8.into(), 0u8.into(), terminus(0x28), terminus(0x29)]),
        (0x13, vec![0u32.into(), 1u32.into(), 0u32.into(), 1u32.into(), 0u32.into(), 0u32.into(), 100u32.into()]),
        (0x14, vec![0u32.into(), 0u32.into(), tag, 0u32.into(), false.into(), true.into()]),
        (0x15, vec![true.into(), 0u32.into(), 5u32.into(), true.into(), accepted]),
        (0x16, vec![0u32.into(), true.into()]),
        (0x17, Vec::new()),
        (0x18, vec![Value::described(0x1du64, vec![symbol("amqp:internal-error"), "why".into()])]),
        (0x40, vec![symbol("PLAIN")]),
        (0x41, vec![symbol("PLAIN"), b"\0user\0password".to_vec().into(), "host".into()]),
        (0x42, vec![b"challenge".to_vec().into()]),
        (0x43, vec![b"response".to_vec().into()]),
        (0x44, vec![0u8.into()]),
    ];
    let mut all = vec![b"\x00\x00\x00\x08\x02\x00\x00\x00".to_vec()];
    for (code, fields) in bodies {
        let body = encoded(&Value::described(code, fields));
        let size = u32::try_from(8 + body.len()).expect("a seed is short").to_be_bytes();
        let mut frame = size.to_vec();
        frame.extend_from_slice(&[2, u8::from(code >= 0x40), 0, 0]);
        frame.extend_from_slice(&body);
        all.extend([frame, body]);
    }
    all
}

fn symbol(name: &'static str) -> Value {
    postroad_codec::v1_0::Symbol::from_static(name).into()
}

fn headers() -> Vec<Vec<u8>> {
    [
        &b"AMQP\x00\x01\x00\x00"[..],
        b"AMQP\x02\x01\x00\x00",
        b"AMQP\x03\x01\x00\x00",
        b"AMQP\x00\x00\x09\x01",
        b"AMQP\x01\x01\x00\x0a",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x16\x03\x01\x02\x00",
    ]
    .map(<[u8]>::to_vec)
    .into()
}

fn addresses() -> Vec<Vec<u8>> {
    [
        "orders",
        "orders/eu; {create: always, node: {type: queue, durable: true}}",
        r#"'quoted /'/s; {"link": {"x-bindings": [{"exchange": "e", "key": 'k'}], selector: "a = 1"}, mode: browse}"#,
        r"name\x41\u00e9; {timeout: 1.5e3, n: -7, f: False, nothing: None}",
        "amqp://user:p%40ss@localhost:5672/orders?a=b",
        "amqps://[fe80::1%25eth0]:5671",
        "user/pass@tcp:one:1,ssl:two:2",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

fn connection_options() -> Vec<Vec<u8>> {
    [
        "{reconnect: true, sasl-mechanisms: 'PLAIN EXTERNAL', username: x, password: 'a secret that is long', heartbeat: 1.5}",
        "{reconnect_urls: ['one:1', 'amqps://u:p@two'], reconnect-limit: -1, client-properties: {a: [1, {b: c}]}}",
        r#"{"scheme": "amqps", "port": "amqps", "sasl": {"mechanisms": ["PLAIN"]}, "tls": {"ca": "x", "verify": false}}"#,
        "heartbeat=10",
        "sasl_mechanisms=PLAIN",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

fn regressions(target: &Target) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    root.join(target.krate).join("fuzz/regressions").join(target.name)
}

/// The files of a folder in the order of their names; none when there is no folder.
fn read_all(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    paths.iter().map(fs::read).collect()
}
