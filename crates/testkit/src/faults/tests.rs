use std::time::Duration;

use bytes::Bytes;
use postroad_codec::v1_0::{Frame, Map, ProtocolHeader, SaslInit, Symbol};

use super::*;
use crate::{Rng, accepted, attach_sender, begin, close, detach, end, flow, open, transfer};

/// What a client might say: headers, SASL, and each performative, with payloads of some sizes.
fn stream() -> Vec<(FrameKind, Vec<u8>)> {
    let mut sasl = Vec::new();
    let init = SaslInit { mechanism: Symbol::from_static("ANONYMOUS"), initial_response: None, hostname: None };
    Frame::put_sasl(&init, &mut sasl);
    let mut empty = Vec::new();
    Frame::put_empty(&mut empty);
    let mut all = vec![
        (FrameKind::Header, ProtocolHeader::SASL.to_bytes().to_vec()),
        (FrameKind::Sasl, sasl),
        (FrameKind::Header, ProtocolHeader::AMQP.to_bytes().to_vec()),
        (FrameKind::Open, open().to_bytes()),
        (FrameKind::Begin, begin().to_bytes()),
        (FrameKind::Attach, attach_sender("plain").to_bytes()),
        (FrameKind::ResumingAttach, attach_sender("again").with(|a| a.unsettled = Some(Map::default())).to_bytes()),
        (FrameKind::Flow, flow().to_bytes()),
    ];
    for size in [0, 10, 500, 70_000] {
        all.push((FrameKind::Transfer, transfer(0).payload(vec![b'x'; size]).to_bytes()));
    }
    all.extend([
        (FrameKind::ResumingTransfer, transfer(0).with(|t| t.resume = true).payload(b"again".to_vec()).to_bytes()),
        (FrameKind::Empty, empty),
        (FrameKind::Disposition, accepted(0).to_bytes()),
        (FrameKind::Detach, detach().to_bytes()),
        (FrameKind::End, end().to_bytes()),
        (FrameKind::Close, close().to_bytes()),
    ]);
    all
}

fn bytes() -> Vec<u8> {
    stream().into_iter().flat_map(|(_, bytes)| bytes).collect()
}

/// Everything that is decided for a direction whose bytes come in pieces; what is delivered in a row is put together.
fn decide(faults: &mut Faults, lane: &mut Lane, pieces: &[&[u8]]) -> Vec<Action> {
    let mut all: Vec<Action> = Vec::new();
    let mut take = |faults: &mut Faults, lane: &mut Lane| {
        while let Some(action) = faults.next(lane) {
            match (all.last_mut(), action) {
                (Some(Action::Deliver(before)), Action::Deliver(more)) => {
                    *before = [&before[..], &more].concat().into()
                }
                (_, action) => all.push(action),
            }
        }
    };
    take(faults, lane);
    for piece in pieces {
        lane.feed(piece);
        take(faults, lane);
    }
    lane.end();
    take(faults, lane);
    all
}

fn once(plan: Plan) -> (Vec<Action>, Stats) {
    let mut faults = Faults::new(plan);
    let [mut lane, _] = faults.connect();
    let all = decide(&mut faults, &mut lane, &[&bytes()]);
    (all, faults.stats().clone())
}

fn delivered(actions: &[Action]) -> Vec<u8> {
    let parts = actions.iter().map(|action| match action {
        Action::Deliver(bytes) => bytes.clone(),
        _ => Bytes::new(),
    });
    parts.collect::<Vec<_>>().concat()
}

#[test]
fn nothing_happens_without_a_plan() {
    let (actions, stats) = once(Plan::default());
    assert_eq!(actions, [Action::Deliver(bytes().into())]);
    assert_eq!((stats.cuts, stats.bytes), (0, bytes().len() as u64));
}

#[test]
fn each_kind_of_frame_is_found_and_cut_at() {
    let mut before = 0;
    for (kind, frame) in stream() {
        if kind != FrameKind::Header || before == 0 {
            // The second header and the larger transfers are found by their number.
            let first = stream().iter().position(|(other, _)| kind.covers(*other)).unwrap();
            if stream().iter().take(first).map(|(_, bytes)| bytes.len()).sum::<usize>() == before {
                let (actions, stats) = once(Plan::new(1).rule(Rule::cut(At::frame(kind))));
                assert_eq!(delivered(&actions).len(), before, "before {kind}");
                assert_eq!(stats.cuts_at(kind), 1, "{kind}: {stats:?}");
                let (actions, _) = once(Plan::new(1).rule(Rule::cut(At::frame(kind).at(Point::After))));
                assert_eq!(delivered(&actions).len(), before + frame.len(), "behind {kind}");
                let (actions, stats) = once(Plan::new(1).rule(Rule::cut(At::frame(kind).at(Point::Inside))));
                assert!((before + 1..before + frame.len()).contains(&delivered(&actions).len()), "inside {kind}");
                assert_eq!(stats.inside_frames(), 1);
                let (actions, _) = once(Plan::new(1).rule(Rule::cut(At::frame(kind).at(Point::Byte(3)))));
                assert_eq!(delivered(&actions).len(), before + 3, "three bytes of {kind}");
                assert!(matches!(actions.last(), Some(Action::Cut(_))));
            }
        }
        before += frame.len();
    }
}

#[test]
fn frames_are_counted_by_kind_and_what_resumes_is_of_its_kind_too() {
    let of = |count: usize| stream().iter().take(count).map(|(_, bytes)| bytes.len()).sum::<usize>();
    let at = |at: At| delivered(&once(Plan::new(1).rule(Rule::cut(at))).0).len();
    assert_eq!(at(At::frame(FrameKind::Attach).nth(2)), of(6));
    assert_eq!(at(At::frame(FrameKind::Transfer).nth(4)), of(11));
    assert_eq!(at(At::frame(FrameKind::Transfer).nth(5)), of(12));
    assert_eq!(at(At::Frame { kind: None, nth: 5, point: Point::Before }), of(4));
    assert_eq!(at(At::frame(FrameKind::Transfer).nth(6)), bytes().len());
}

#[test]
fn first_bytes_arrive_and_no_more() {
    for count in [0, 1, 7, 8, 100] {
        let (actions, stats) = once(Plan::new(9).rule(Rule::truncate(count, Direction::ToServer)));
        assert_eq!(delivered(&actions), bytes()[..count as usize]);
        assert!(matches!(actions.last(), Some(Action::Cut(cut)) if cut.ending == Ending::Fin));
        assert_eq!(stats.cuts, 1);
    }
    let other = Plan::new(9).rule(Rule::truncate(5, Direction::ToClient));
    assert_eq!(delivered(&once(other).0), bytes());
}

#[test]
fn stalls_delays_and_garbage_come_where_they_are_asked_for() {
    let start = stream().iter().take(4).map(|(_, bytes)| bytes.len()).sum::<usize>();
    let begin = At::frame(FrameKind::Begin);

    let (actions, stats) = once(Plan::new(1).rule(Rule::new(Fault::Stall, begin)));
    assert_eq!(actions, [Action::Deliver(bytes()[..start].to_vec().into()), Action::Stall]);
    assert_eq!(stats.stalls, 1);

    let time = Duration::from_millis(5);
    let (actions, _) = once(Plan::new(1).rule(Rule::new(Fault::Delay(time), begin)));
    let parts = [&bytes()[..start], &bytes()[start..]].map(|part| Action::Deliver(part.to_vec().into()));
    let [first, second] = parts;
    assert_eq!(actions, [first, Action::Wait(time), second]);

    let (actions, stats) = once(Plan::new(1).rule(Rule::new(Fault::Insert(b"garbage".to_vec()), begin)));
    assert_eq!(delivered(&actions), [&bytes()[..start], b"garbage", &bytes()[start..]].concat());
    assert_eq!(stats.insertions, 1);

    let (actions, stats) = once(Plan::new(1).rule(Rule::new(Fault::Flip, begin)));
    let (sent, got) = (bytes(), delivered(&actions));
    let changed: Vec<usize> = (0..sent.len()).filter(|index| sent[*index] != got[*index]).collect();
    assert_eq!((changed, stats.flips), (vec![start], 1));
}

/// Plans with something of everything.
fn plans() -> Vec<Plan> {
    let fault = [
        Fault::Cut(None),
        Fault::Stall,
        Fault::Delay(Duration::from_millis(1)),
        Fault::Insert(b"garbage".to_vec()),
        Fault::Flip,
    ];
    let mut plans = vec![Plan::default()];
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let mut any = || fault[rng.below(fault.len())].clone();
        let (one, other, third) = (any(), any(), any());
        let mut plan = Plan::new(seed)
            .rule(Rule::new(one, At::frame(FrameKind::Transfer).nth(3).at(Point::Inside)))
            .rule(Rule::new(other, At::Frame { kind: None, nth: 4, point: Point::After }))
            .rule(Rule::new(third, At::Byte(seed * 7)));
        plan.random = Some(Random { mean: 30 + seed * 40, faults: fault[2..].to_vec(), direction: None });
        plans.push(plan);
        plans.push(Plan::new(seed).cuts_every(1 + seed * 100));
    }
    plans
}

#[test]
fn pieces_change_no_decision() {
    // Without the middle of the large payload: every place to split at is tried.
    let short: Vec<u8> =
        stream().into_iter().filter(|(_, bytes)| bytes.len() < 1000).flat_map(|(_, bytes)| bytes).collect();
    for plan in plans() {
        let run = |pieces: &[&[u8]]| {
            let mut faults = Faults::new(plan.clone());
            let [mut lane, _] = faults.connect();
            let actions = decide(&mut faults, &mut lane, pieces);
            (actions, faults.stats().clone())
        };
        let whole = run(&[&short]);
        for place in 0..short.len() {
            let (front, back) = short.split_at(place);
            assert_eq!(run(&[front, back]), whole, "split at {place} under {plan:?}");
        }
        let single: Vec<&[u8]> = short.chunks(1).collect();
        assert_eq!(run(&single), whole, "byte by byte under {plan:?}");
    }
}

#[test]
fn pieces_of_large_frames_change_no_decision() {
    let all = bytes();
    for plan in plans() {
        let run = |size: usize| {
            let mut faults = Faults::new(plan.clone());
            let [mut lane, _] = faults.connect();
            let pieces: Vec<&[u8]> = all.chunks(size).collect();
            (decide(&mut faults, &mut lane, &pieces), faults.stats().clone())
        };
        let whole = run(all.len());
        for size in [1, 13, 1000, 65_535, 65_536, 65_537] {
            assert_eq!(run(size), whole, "pieces of {size} under {plan:?}");
        }
    }
}

#[test]
fn what_the_other_direction_does_changes_no_decision() {
    for plan in plans() {
        let alone = once(plan.clone()).0;
        let mut faults = Faults::new(plan);
        let [mut lane, mut other] = faults.connect();
        decide(&mut faults, &mut other, &[&bytes()]);
        assert_eq!(decide(&mut faults, &mut lane, &[&bytes()]), alone);
    }
}

#[test]
fn connections_differ_and_seeds_repeat() {
    let run = |seed| {
        let mut faults = Faults::new(Plan::new(seed).cuts_every(200));
        let mut places = Vec::new();
        for _ in 0..20 {
            let [mut lane, mut other] = faults.connect();
            for lane in [&mut lane, &mut other] {
                places.push(delivered(&decide(&mut faults, lane, &[&bytes()])).len());
            }
        }
        places
    };
    let one = run(1);
    assert_eq!(one, run(1));
    assert_ne!(one, run(2));
    let mut different = one.clone();
    different.sort_unstable();
    different.dedup();
    assert!(different.len() > 20, "{one:?}");
    let mean = one.iter().sum::<usize>() / one.len();
    assert!((100..300).contains(&mean), "{mean}");
}

#[test]
fn armed_rule_comes_true_once_on_whatever_connection_is_first() {
    let mut faults = Faults::new(Plan::new(3));
    faults.arm(Rule::cut(At::frame(FrameKind::Transfer).nth(7)));
    let cuts = |faults: &mut Faults| {
        let [mut lane, _] = faults.connect();
        decide(faults, &mut lane, &[&bytes()]).iter().filter(|action| matches!(action, Action::Cut(_))).count()
    };
    // Each has five transfers.
    assert_eq!([cuts(&mut faults), cuts(&mut faults), cuts(&mut faults)], [0, 1, 0]);
    assert_eq!((faults.armed(), faults.stats().cuts_at(FrameKind::Transfer)), (0, 1));

    let length = bytes().len() as u64;
    faults.arm(Rule::cut(At::Byte(length + 5)));
    assert_eq!([cuts(&mut faults), cuts(&mut faults), cuts(&mut faults)], [0, 1, 0]);
}

#[test]
fn two_armed_rules_never_meet_at_one_frame() {
    let mut faults = Faults::new(Plan::new(3));
    faults.arm(Rule::new(Fault::Delay(Duration::ZERO), At::frame(FrameKind::Transfer)));
    faults.arm(Rule::new(Fault::Flip, At::frame(FrameKind::Transfer)));
    let [mut lane, _] = faults.connect();
    decide(&mut faults, &mut lane, &[&bytes()]);
    let stats = faults.stats();
    assert_eq!((stats.delays, stats.flips, faults.armed()), (1, 1, 0));
}

#[test]
fn plan_that_replaces_another_counts_anew() {
    let mut faults = Faults::new(Plan::new(1).cuts_every(1));
    let [mut lane, _] = faults.connect();
    faults.set_plan(Plan::default());
    assert_eq!(delivered(&decide(&mut faults, &mut lane, &[&bytes()])), bytes());

    let mut faults = Faults::new(Plan::default());
    let [mut lane, _] = faults.connect();
    lane.feed(&bytes());
    assert!(matches!(faults.next(&mut lane), Some(Action::Deliver(_))));
    faults.set_plan(Plan::new(1).rule(Rule::cut(At::frame(FrameKind::Transfer))).rule(Rule::cut(At::Byte(50))));
    lane.feed(&open().to_bytes());
    lane.feed(&transfer(0).payload(vec![0; 100]).to_bytes());
    assert!(matches!(faults.next(&mut lane), Some(Action::Deliver(_))));
    assert!(matches!(faults.next(&mut lane), Some(Action::Cut(_))));
    assert_eq!(faults.stats().cuts, 1);
}

#[test]
fn rule_of_one_connection_leaves_the_others() {
    let mut faults = Faults::new(Plan::new(1).rule(Rule::cut(At::frame(FrameKind::Open)).on_connection(1)));
    for number in 0..3 {
        let [mut lane, _] = faults.connect();
        let cut = matches!(decide(&mut faults, &mut lane, &[&bytes()]).last(), Some(Action::Cut(_)));
        assert_eq!(cut, number == 1);
    }
}

#[test]
fn what_is_no_frame_passes_as_it_is() {
    for start in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\x00", b"AMQP\x02\x01\x00\x00\x16\x03\x01", b"A", b""]
    {
        let rules = Plan::new(1).rule(Rule::cut(At::frame(FrameKind::Transfer)));
        let mut faults = Faults::new(rules.rule(Rule::cut(At::Byte(1_000))));
        let [mut lane, _] = faults.connect();
        let all = [start, &[7; 2_000]].concat();
        let actions = decide(&mut faults, &mut lane, &[&all]);
        assert_eq!(delivered(&actions), all[..1_000], "{start:?}");
    }
    // A frame that is smaller than its header ends what can be read.
    let mut faults = Faults::new(Plan::new(1).rule(Rule::cut(At::frame(FrameKind::Open))));
    let [mut lane, _] = faults.connect();
    let all = [b"AMQP\x00\x01\x00\x00\x00\x00\x00\x07".to_vec(), open().to_bytes()].concat();
    assert_eq!(delivered(&decide(&mut faults, &mut lane, &[&all])), all);
}

#[test]
fn part_of_a_frame_waits_for_the_rest_or_the_end() {
    let mut faults = Faults::new(Plan::default());
    let [mut lane, _] = faults.connect();
    let open = open().to_bytes();
    lane.feed(b"AMQP\x00\x01\x00\x00");
    lane.feed(&open[..10]);
    assert_eq!(faults.next(&mut lane), Some(Action::Deliver(b"AMQP\x00\x01\x00\x00"[..].into())));
    assert_eq!(faults.next(&mut lane), None);
    lane.end();
    assert_eq!(faults.next(&mut lane), Some(Action::Deliver(open[..10].to_vec().into())));
    assert_eq!(faults.next(&mut lane), None);
}

#[test]
fn cut_that_is_ordered_ends_both_directions() {
    let mut faults = Faults::new(Plan::new(1));
    let [mut lane, mut other] = faults.connect();
    lane.feed(&bytes()[..30]);
    while faults.next(&mut lane).is_some() {}
    faults.cut([&mut lane, &mut other]);
    lane.feed(&bytes());
    other.feed(&bytes());
    assert_eq!((faults.next(&mut lane), faults.next(&mut other)), (None, None));
    assert_eq!(faults.stats().cuts, 1);
    assert_eq!(lane.rest().len(), bytes().len() + 30 - faults.stats().bytes as usize);
}
