//! What a peer and we say to each other, as tshark reads it: every frame, and none of them malformed.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use postroad_client::types::Bytes;
use postroad_codec::v1_0::{Frame, Performative, Role};
use postroad_tests::capture::{Capture, PORT, Side};
use postroad_tests::peers::{self, Peer, Skipped, Tshark};
use postroad_tests::typed;
use serde_json::{Value as Json, json};

use super::through::Between;
use super::{Known, broker_access, broker_links, broker_values, client_access, client_links, client_values, through};

type Case = fn(&Peer, &Known);

/// What is read of a listening peer: every case but the bulky bodies, TLS, and the silent ones.
pub(crate) const CLIENT: [Case; 9] = [
    client_values::client_bodies_of_every_type,
    client_values::client_properties_of_every_type,
    client_values::client_header_and_properties,
    client_values::client_sections_of_every_kind,
    client_links::client_learns_every_outcome_of_the_peer,
    client_links::client_outcomes_are_seen_by_the_peer,
    client_links::client_passes_messages_at_credit_1,
    client_links::client_has_1000_links,
    client_access::client_comes_in_with_the_right_password,
];

/// The same of a peer that refuses and drains as others do.
pub(crate) const CLIENT_FLOW: [Case; 3] = [
    client_links::client_is_told_that_nothing_is_left,
    client_links::client_answers_a_drain_and_goes_on,
    client_links::client_is_told_why_a_link_is_refused,
];

/// The same of a client of our broker.
pub(crate) const BROKER: [Case; 10] = [
    broker_values::broker_bodies_of_every_type,
    broker_values::broker_properties_of_every_type,
    broker_values::broker_header_and_properties,
    broker_links::broker_acts_on_every_outcome_of_the_peer,
    broker_links::broker_refuses_and_the_peer_is_told,
    broker_links::broker_passes_messages_at_credit_1,
    broker_links::broker_takes_settled_messages,
    broker_links::broker_has_1000_links_of_a_connection,
    broker_links::broker_gives_a_dynamic_source,
    broker_access::broker_lets_the_right_user_in,
];

/// Runs the cases of a peer with tshark behind them.
pub(crate) fn every_frame(peer: Result<Peer, Skipped>, known: &Known, cases: &[&[Case]]) {
    let (peer, tshark) = match (peer, peers::tshark()) {
        (Ok(peer), Ok(tshark)) => (peer, tshark),
        (Err(skipped), _) | (_, Err(skipped)) => return skipped.report(),
    };
    let capture = Capture::new();
    let recorded = peer.clone().recorded(&capture);
    cases.iter().copied().flatten().for_each(|case| case(&recorded, known));
    dissect(&tshark, peer.name(), &capture);
}

/// Runs the cases of a broker with tshark behind them.
pub(crate) fn every_frame_through(between: Result<Between, Skipped>, known: &Known) {
    let (between, tshark) = match (between, peers::tshark()) {
        (Ok(between), Ok(tshark)) => (between, tshark),
        (Err(skipped), _) | (_, Err(skipped)) => return skipped.report(),
    };
    let capture = Capture::new();
    let recorded = between.recorded(&capture);
    for case in [
        through::through_bodies_of_every_type,
        through::through_properties_of_every_type,
        through::through_header_properties_and_sections,
        through::through_messages_at_credit_1,
        through::through_settled_messages,
        through::through_1000_links,
        through::through_an_idle_connection_both_keep_alive,
    ] {
        case(&recorded, known);
    }
    dissect(&tshark, recorded.name, &capture);
}

/// Expects that tshark finds each frame of a capture that its size field tells, and calls none malformed but those of its own bugs.
pub(crate) fn dissect(tshark: &Tshark, name: &str, capture: &Capture) {
    let file = file(name);
    capture.save(&file).unwrap();
    let mut wrong = malformed(tshark, &file);
    let known = wrong.len();
    wrong.retain(|frame| bug(&typed::unhex(frame).unwrap()).is_none());
    assert!(wrong.is_empty(), "frames of {} that tshark calls malformed:\n{}", file.display(), wrong.join("\n"));

    let fields = ["tcp.stream", "tcp.srcport", "amqp.length"].map(|field| ["-e", field]);
    let lines = tshark.read(&file, &[&["-Y", "amqp", "-T", "fields"][..], fields.as_flattened()].concat());
    let mut expected = Vec::new();
    for frames in capture.frames() {
        let of = |side| frames.iter().filter(|(by, _)| *by == side).map(|(_, frame)| frame.len()).collect::<Vec<_>>();
        expected.push([of(Side::Client), of(Side::Server)]);
        no_flow_before_an_answer(&frames);
    }
    let mut found: Vec<[Vec<usize>; 2]> = vec![[vec![], vec![]]; expected.len()];
    for line in &lines {
        let [stream, port, lengths] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        let (stream, port): (usize, u16) = (stream.parse().unwrap(), port.parse().unwrap());
        let lengths = lengths.split(',').filter_map(|length| length.parse::<usize>().ok());
        found[stream][usize::from(port == PORT)].extend(lengths);
    }
    for (stream, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "tcp.stream {stream} of {}", file.display());
    }
    let frames: usize = expected.iter().flatten().map(Vec::len).sum();
    println!("{name}: {frames} frames of {} connections read by tshark, {known} of them by its bugs", expected.len());
    assert!(frames > 1000, "{frames}");
    fs::remove_file(file).unwrap();
}

/// Expects that we give credit to a link only when its attach is answered, for some peers know no such link before.
fn no_flow_before_an_answer(frames: &[(Side, Bytes)]) {
    // The channel and handle of each link, by side, with its name and role; and those that the other side has answered.
    let (mut attached, mut said, mut ours) = (HashMap::new(), HashSet::new(), None);
    for (side, frame) in frames {
        let Ok(Frame::Amqp { channel, performative, .. }) = Frame::decode(frame) else { continue };
        match performative {
            Performative::Open(open) if format!("{:?}", open.properties).contains("postroad") => ours = Some(*side),
            Performative::Attach(attach) => {
                let is_sender = attach.role == Role::Sender;
                said.insert((*side, attach.name.clone(), is_sender));
                attached.insert((*side, channel, attach.handle), (attach.name, is_sender));
            }
            Performative::Flow(flow) if ours == Some(*side) => {
                let Some(handle) = flow.handle else { continue };
                let (name, is_sender) = attached[&(*side, channel, handle)].clone();
                let other = if *side == Side::Client { Side::Server } else { Side::Client };
                assert!(said.contains(&(other, name.clone(), !is_sender)), "{side:?} gives credit to {name} too early");
            }
            _ => {}
        }
    }
    assert!(ours.is_some() || said.is_empty(), "{frames:?}");
}

/// The frames, in hex, that tshark calls malformed.
fn malformed(tshark: &Tshark, file: &Path) -> Vec<String> {
    tshark.read(file, &["-Y", "_ws.malformed", "-T", "fields", "-e", "tcp.payload"])
}

/// What tshark 4.0 calls malformed, wrongly but for the last: docs/protocol/peers.md, tshark.
#[derive(Debug, PartialEq)]
enum Bug {
    /// A binary without octets, whether body, value of a map or element of an array.
    EmptyBinary,
    /// An id of a message that is a ulong of eight octets.
    WideId,
    /// A frame that has not all of its message.
    Part,
    /// An empty array without the constructor of its elements, which is none by the standard (part 1, 1.6.24): fe2o3-amqp's own.
    BareArray,
}

/// The bug that a frame meets.
fn bug(frame: &[u8]) -> Option<Bug> {
    let frame = Bytes::copy_from_slice(frame);
    let Ok(Frame::Amqp { performative: Performative::Transfer(transfer), payload, .. }) = Frame::decode(&frame) else {
        return None;
    };
    if transfer.more {
        return Some(Bug::Part);
    }
    let message = typed::message_to_json(&payload).ok()?;
    let wide = |id: &Json| id["t"] == "ulong" && id["v"].as_u64() > Some(255);
    if message.to_string().contains(r#"{"t":"binary","v":""}"#) {
        Some(Bug::EmptyBinary)
    } else if payload.ends_with(&[0xe0, 1, 0]) && super::body(&message)? == json!({"t": "array", "of": "null", "v": []})
    {
        Some(Bug::BareArray)
    } else {
        let properties = super::section(&message, "properties")?;
        (wide(&properties["message-id"]) || wide(&properties["correlation-id"])).then_some(Bug::WideId)
    }
}

#[test]
fn bugs_of_tshark() {
    let tshark = match peers::tshark() {
        Ok(tshark) => tshark,
        Err(skipped) => return skipped.report(),
    };
    // A transfer of one message: the first has nothing to stumble over.
    let cases = [
        (None, "00000019 02000000 005314 c006 03 43 43 a00100 005377 a0012e"),
        (Some(Bug::EmptyBinary), "00000018 02000000 005314 c006 03 43 43 a00100 005377 a000"),
        (
            Some(Bug::WideId),
            "00000026 02000000 005314 c006 03 43 43 a00100 005373 c00a 01 80 0000000000000100 005377 40",
        ),
        (Some(Bug::Part), "00000020 02000000 005314 c009 06 43 43 a00100 40 40 41 005377 b000000400 5a5a"),
        (Some(Bug::BareArray), "00000019 02000000 005314 c006 03 43 43 a00100 005377 e00100"),
    ];
    for (index, (expected, hex)) in cases.into_iter().enumerate() {
        let hex = hex.replace(' ', "");
        let frame = typed::unhex(&hex).unwrap();
        let capture = Capture::new();
        let connection = capture.connection();
        connection.says(Side::Client, b"AMQP\0\x01\0\0");
        connection.says(Side::Client, &frame);
        assert_eq!(capture.frames(), [[(Side::Client, frame.clone().into())]], "{hex}");
        let file = file(&format!("bug {index}"));
        capture.save(&file).unwrap();
        let told = malformed(&tshark, &file);
        assert_eq!(told, Vec::from_iter(expected.is_some().then_some(hex)));
        assert_eq!(bug(&frame), expected);
        fs::remove_file(file).unwrap();
    }
}

/// Where a capture is kept when something is wrong with it.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pcap"))
}
