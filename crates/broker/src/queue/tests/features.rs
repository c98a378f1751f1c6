//! Priorities, last values, rings, flow and times, one by one.

use postroad_codec::v1_0::{ApplicationProperties, Header, Map, Message, Value};

use super::*;
use crate::settings::{LimitPolicy, QueueSettings};

pub(super) fn made(priority: Option<u8>, key: impl Into<Value>) -> Held {
    let header = Header { priority, ..Header::default() };
    let properties = ApplicationProperties(Map::from_iter([("k", key.into())]));
    let message = Message { header: Some(header), application_properties: Some(properties), ..Message::from("x") };
    Held::new(message.to_bytes(), MessageFormat(0))
}

fn queue_of(messages: usize, settings: &QueueSettings) -> Queue<u32> {
    let limits = QueueLimits { messages, bytes: 100_000 };
    Queue::new(limits, Rules::default(), None).configured(settings, None)
}

fn base() -> QueueSettings {
    QueueSettings::default()
}

fn push(queue: &mut Queue<u32>, priorities: impl IntoIterator<Item = u8>) {
    for priority in priorities {
        queue.push(made(Some(priority), "k")).unwrap();
    }
}

#[test]
fn higher_priorities_go_first() {
    let mut queue = queue_of(100, &base().priorities(10));
    push(&mut queue, [0, 9, 4, 9, 5]);
    queue.push(made(None, "k")).unwrap();
    queue.push(Held::new(Bytes::from_static(b"garbage"), MessageFormat(0))).unwrap();
    push(&mut queue, [200]);
    let id = join(&mut queue, false, 0);
    let mut held = take(&mut queue, id, 4);
    assert_eq!(seqs(&held), [1, 3, 7, 4], "what is above the highest is as the highest");
    // What comes back is in its place again, and what comes is in its own.
    queue.give_back(id, [(held.remove(1), Return::Failed)]);
    push(&mut queue, [6]);
    assert_eq!(seqs(&take(&mut queue, id, 10)), [3, 8, 2, 5, 6, 0]);
}

#[test]
fn few_levels_tell_apart_what_is_in_the_middle() {
    for (levels, expected) in [
        (1, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (2, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]),
        (3, [0, 0, 0, 0, 1, 2, 2, 2, 2, 2]),
        (5, [0, 0, 0, 1, 2, 3, 4, 4, 4, 4]),
        (10, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (99, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ] {
        let queue = queue_of(100, &base().priorities(levels));
        let level = |priority| {
            let mut held = made(Some(priority), "k");
            queue.prepare(&mut held);
            held.level
        };
        assert_eq!(std::array::from_fn(|priority| level(priority as u8)), expected, "{levels} levels");
    }
}

#[test]
fn browsers_see_priorities_in_order_and_what_comes_later() {
    let mut queue = queue_of(100, &base().priorities(10));
    push(&mut queue, [1, 8, 1]);
    let browser = join(&mut queue, true, 0);
    let mut out = VecDeque::new();
    queue.browse(browser, want(2), &mut out);
    assert_eq!(seqs(out.make_contiguous()), [1, 0]);
    push(&mut queue, [8, 0]);
    out.clear();
    queue.browse(browser, want(10), &mut out);
    assert_eq!(seqs(out.make_contiguous()), [3, 2, 4]);
    queue.browse_from(browser, out[1].place());
    out.clear();
    queue.browse(browser, want(10), &mut out);
    assert_eq!(seqs(out.make_contiguous()), [2]);
}

#[test]
fn a_newer_message_replaces_one_that_waits() {
    let mut queue = queue_of(3, &base().last_value_key("k"));
    for key in ["a", "b", "a", "c"] {
        queue.push(made(None, key)).unwrap();
    }
    assert_eq!(queue.store.seqs(), [1, 2, 3], "the last ones, behind the others");
    assert_eq!((queue.stats().replaced, queue.stats().ready), (1, 3));
    // A full queue takes what replaces another.
    assert_eq!(queue.push(made(None, "d")), Err(Full::Queue));
    queue.push(made(None, "b")).unwrap();
    let id = join(&mut queue, false, 0);
    let held = take(&mut queue, id, 1);
    assert_eq!(seqs(&held), [2]);
    // While a consumer has it, a newer one waits beside it; when it comes back, it is outdated.
    assert_eq!(queue.push(made(None, "a")), Err(Full::Queue), "the consumer's one counts");
    queue.settle(1, held[0].size(), &mut Vec::new());
    queue.push(made(None, "a")).unwrap();
    let held = take(&mut queue, id, 3);
    assert_eq!(seqs(&held), [3, 4, 5]);
    for held in held {
        queue.give_back(id, [(held, Return::Released)]);
    }
    assert_eq!(queue.store.seqs(), [3, 4, 5]);
    let held = take(&mut queue, id, 1);
    queue.settle(1, 1, &mut Vec::new());
    queue.push(made(None, "c")).unwrap();
    queue.give_back(id, held.into_iter().map(|held| (held, Return::Failed)));
    assert_eq!(queue.store.seqs(), [4, 5, 6]);
}

/// What replaces another needs no room that a third one would have to make.
#[test]
fn a_full_subscription_loses_no_last_values() {
    let mut queue = queue_of(2, &base().last_value_key("k"));
    for key in ["a", "b", "a"] {
        queue.push_over(made(None, key));
    }
    assert_eq!((queue.store.seqs(), queue.stats().replaced, queue.dropped()), (vec![1, 2], 1, 0));
    queue.push_over(large(4, "b", 100_001));
    assert_eq!((queue.store.seqs(), queue.dropped()), (vec![1, 2], 1), "it never fits in");
    queue.push_over(made(None, "c"));
    assert_eq!((queue.store.seqs(), queue.dropped()), (vec![2, 3], 2));
    let bytes = 2 * made(None, "a").size();
    assert_eq!((queue.stats().ready, queue.stats().bytes), (2, bytes));
}

#[test]
fn keys_are_text_and_those_without_one_have_one() {
    let mut queue = queue_of(100, &base().last_value_key("k"));
    queue.push(made(None, 5_i32)).unwrap();
    queue.push(made(None, "5")).unwrap();
    queue.push(message(3)).unwrap();
    queue.push(made(None, "")).unwrap();
    assert_eq!(queue.store.seqs(), [1, 3]);
    let mut queue = queue_of(100, &base().last_value_key("qpid.subject"));
    let about = |subject: &str| {
        let properties = postroad_codec::v1_0::Properties { subject: Some(subject.into()), ..Default::default() };
        let message = Message { properties: Some(Box::new(properties)), ..Message::from("x") };
        Held::new(message.to_bytes(), MessageFormat(0))
    };
    for subject in ["a", "b", "a"] {
        queue.push(about(subject)).unwrap();
    }
    assert_eq!(queue.store.seqs(), [1, 2]);
}

#[test]
fn browsers_of_last_values_see_each_update() {
    let mut queue = queue_of(100, &base().last_value_key("k"));
    let browser = join(&mut queue, true, 0);
    let mut seen = Vec::new();
    for key in ["a", "b", "a", "a"] {
        queue.push(made(None, key)).unwrap();
        let mut out = VecDeque::new();
        queue.browse(browser, want(10), &mut out);
        seen.extend(seqs(out.make_contiguous()));
    }
    assert_eq!((seen, queue.store.seqs()), (vec![0, 1, 2, 3], vec![1, 3]));
}

#[test]
fn the_oldest_of_a_ring_make_room() {
    let limits = QueueLimits { messages: 3, bytes: 100_000 };
    let rules = Rules { keeps_rejected: true, ..Rules::default() };
    let mut queue = Queue::<u32>::new(limits, rules, None).configured(&base().limit_policy(LimitPolicy::Ring), None);
    let producer = queue.add_producer(1);
    let id = join(&mut queue, false, 0);
    push(&mut queue, [4; 3]);
    assert_eq!(queue.grant(producer, 50), 50, "nobody waits");
    assert_eq!(seqs(&take(&mut queue, id, 1)), [0]);
    push(&mut queue, [4; 2]);
    // What a consumer has does not count.
    assert_eq!((queue.store.seqs(), queue.dropped()), (vec![2, 3, 4], 1));
    assert_eq!(reasons(&mut queue), [(1, Reason::Overflow)]);
    // In transactions and from exchanges as well.
    queue.reserve(&message(5)).unwrap();
    queue.add_reserved(message(5));
    queue.add(message(5));
    assert_eq!((queue.store.seqs(), queue.stats().unsettled), (vec![4, 5, 6], 1));
    take(&mut queue, id, 3);
    push(&mut queue, [4]);
    assert_eq!((queue.stats().ready, queue.stats().unsettled), (1, 4));
    assert_eq!(queue.push(message(100_001)), Err(Full::Queue));
    assert_eq!(queue.room(), Demand { messages: usize::MAX, bytes: 100_000 }, "what is larger never fits in");
}

#[test]
fn what_may_come_turns_nothing_out_of_a_ring() {
    let limits = QueueLimits { messages: 3, bytes: 400 };
    let mut queue = Queue::<u32>::new(limits, Rules::default(), None);
    queue = queue.configured(&base().limit_policy(LimitPolicy::Ring).priorities(2), None);
    push(&mut queue, [9, 1, 9]);
    let size = made(Some(9), "k").size();
    for _ in 0..5 {
        queue.reserve(&made(Some(9), "k")).unwrap();
    }
    assert_eq!(queue.reserve(&message(401)), Err(Full::Queue));
    assert_eq!((queue.store.seqs(), queue.stats().uncommitted), (vec![0, 2, 1], 5));
    queue.unreserve(2, 2 * size, &mut Vec::new());
    // Others come in between.
    push(&mut queue, [9]);
    assert_eq!(queue.store.seqs(), [0, 2, 3]);
    queue.add_reserved(made(Some(1), "k"));
    assert_eq!(queue.store.seqs(), [0, 2, 3], "there is none that is lower");
    queue.add_reserved(made(Some(9), "k"));
    queue.add_reserved(made(Some(9), "k"));
    assert_eq!((queue.store.seqs(), queue.dropped()), (vec![3, 4, 5], 4));
    let id = join(&mut queue, false, 0);
    let held = take(&mut queue, id, 9);
    queue.settle(3, held.iter().map(Held::size).sum(), &mut Vec::new());
    assert_eq!((queue.stats().bytes, queue.is_empty()), (0, true));
}

#[test]
fn a_full_queue_reserves_room_for_what_replaces_another() {
    let mut queue = queue_of(2, &base().last_value_key("k"));
    for key in ["a", "b"] {
        queue.push(made(None, key)).unwrap();
    }
    assert_eq!(queue.reserve(&made(None, "c")), Err(Full::Queue));
    queue.reserve(&made(None, "a")).unwrap();
    queue.add_reserved(made(None, "a"));
    assert_eq!((queue.store.seqs(), queue.stats().replaced, queue.stats().uncommitted), (vec![1, 2], 1, 0));
}

/// A message with a body of so many bytes.
fn large(priority: u8, key: &str, size: usize) -> Held {
    let properties = ApplicationProperties(Map::from_iter([("k", Value::from(key))]));
    let header = Header { priority: Some(priority), ..Header::default() };
    let text = "x".repeat(size);
    let message = Message { header: Some(header), application_properties: Some(properties), ..text.as_str().into() };
    Held::new(message.to_bytes(), MessageFormat(0))
}

#[test]
fn what_is_refused_takes_nothing_of_the_brokers_room() {
    let budget = Budget::new(1_000_000);
    let limits = QueueLimits { messages: 2, bytes: 50_000 };
    let made_with = |settings: QueueSettings| {
        Queue::<u32>::new(limits, Rules::default(), Some(Lease::new(&budget))).configured(&settings, None)
    };
    let mut ring = made_with(base().limit_policy(LimitPolicy::Ring).priorities(10));
    push(&mut ring, [9, 9]);
    let before = budget.used();
    ring.push(large(1, "a", 20_000)).unwrap();
    assert_eq!((budget.used(), ring.dropped()), (before, 1));
    drop(ring);

    let mut latest = made_with(base().last_value_key("k"));
    let now = Instant::now();
    latest.tick(now);
    latest.push(large(4, "a", 20_000)).unwrap();
    let mut mortal = large(4, "b", 20_000);
    mortal.expires = Some(now + Duration::from_secs(1));
    latest.push(mortal).unwrap();
    latest.tick(now + Duration::from_secs(1));
    // What has expired goes, and what was to be replaced stays.
    assert_eq!(latest.push(large(4, "a", 60_000)), Err(Full::Queue));
    assert_eq!(latest.store.seqs(), [0]);
    assert!(budget.used() >= latest.stats().bytes, "{} for {:?}", budget.used(), latest.stats());
}

/// Whoever waits for the room that was reserved hears that nothing has come.
#[test]
fn what_is_not_taken_in_the_end_leaves_its_room() {
    let mut settings = base();
    settings.filter = Some("k = 'a'".into());
    let mut queue = queue_of(1, &settings);
    let producer = queue.add_producer(7);
    queue.reserve(&made(None, "b")).unwrap();
    assert_eq!(queue.grant(producer, 5), 0);
    queue.add_reserved(made(None, "b"));
    let mut woken = Vec::new();
    queue.dispatch(&mut woken);
    assert_eq!((woken, queue.is_empty(), queue.grant(producer, 5)), (vec![7], true, 1));
}

/// A consumer that is gone has told that it cannot have it.
#[test]
fn a_ring_drops_what_some_consumer_may_not_have() {
    let mut queue = queue_of(1, &base().limit_policy(LimitPolicy::Ring));
    let id = join(&mut queue, false, 0);
    push(&mut queue, [4]);
    let held = take(&mut queue, id, 1);
    queue.give_back(usize::MAX, held.into_iter().map(|held| (held, Return::Unfit)));
    push(&mut queue, [4]);
    assert_eq!((queue.store.seqs(), queue.dropped()), (vec![1], 1));
}

#[test]
fn a_ring_with_priorities_drops_the_lowest() {
    let mut queue = queue_of(3, &base().limit_policy(LimitPolicy::Ring).priorities(10));
    push(&mut queue, [5, 1, 5, 3]);
    assert_eq!(queue.store.seqs(), [0, 2, 3]);
    push(&mut queue, [2]);
    assert_eq!(queue.store.seqs(), [0, 2, 3], "there is none that is lower");
    push(&mut queue, [3, 9]);
    assert_eq!(queue.store.seqs(), [5, 0, 2]);
    assert_eq!(queue.dropped(), 4);
}

#[test]
fn who_rejects_gives_credit_all_the_same() {
    let mut queue = queue_of(2, &base().limit_policy(LimitPolicy::Reject));
    let producer = queue.add_producer(1);
    push(&mut queue, [4; 2]);
    assert_eq!(queue.push(message(1)), Err(Full::Queue));
    assert_eq!(queue.grant(producer, 10), 10);
}

#[test]
fn flow_stops_and_resumes() {
    let mut queue = queue_of(100, &base().flow_messages(5, 3));
    let producer = queue.add_producer(9);
    let id = join(&mut queue, false, 0);
    push(&mut queue, [4; 5]);
    assert!(queue.grant(producer, 10) > 0);
    push(&mut queue, [4]);
    assert_eq!(queue.grant(producer, 10), 0);
    let mut woken = Vec::new();
    let held = take(&mut queue, id, 10);
    for held in &held[..3] {
        queue.settle(1, held.size(), &mut woken);
    }
    assert_eq!((queue.grant(producer, 10), woken.len()), (0, 0), "three are not fewer than three");
    queue.settle(1, held[3].size(), &mut woken);
    assert_eq!(woken, [9]);
    assert!(queue.grant(producer, 10) > 0);
    // What comes while senders are stopped is taken.
    push(&mut queue, [4; 9]);
    assert_eq!(queue.stats().ready, 9);
}

#[test]
fn an_empty_queue_stops_nobody() {
    let mut queue = queue_of(100, &base().flow_messages(1, 0).flow_bytes(1, 0));
    let producer = queue.add_producer(9);
    let id = join(&mut queue, false, 0);
    push(&mut queue, [4; 2]);
    assert_eq!(queue.grant(producer, 10), 0);
    let held = take(&mut queue, id, 2);
    queue.settle(2, held.iter().map(Held::size).sum(), &mut Vec::new());
    assert!(queue.grant(producer, 10) > 0);
}

#[test]
fn messages_expire_with_the_time_of_the_queue() {
    let now = Instant::now();
    let mut queue = queue_of(100, &base().ttl(Duration::from_secs(5)));
    queue.tick(now);
    queue.push(expiring(None)).unwrap();
    queue.push(expiring(Some(now + Duration::from_secs(1)))).unwrap();
    queue.push(expiring(Some(now + Duration::from_secs(9)))).unwrap();
    assert!(queue.sweep());
    queue.tick(now + Duration::from_secs(4));
    queue.sweep();
    assert_eq!(queue.store.seqs(), [0, 2]);
    queue.tick(now + Duration::from_secs(5));
    assert!(!queue.sweep() && queue.is_empty());
}

#[test]
fn a_queue_with_a_filter_takes_nothing_else() {
    let mut settings = base();
    settings.set("qpid.filter", &Value::from("k = 'a'")).unwrap();
    let mut queue = queue_of(100, &settings);
    for key in ["a", "b"] {
        queue.push(made(None, key)).unwrap();
    }
    queue.reserve(&message(1)).unwrap();
    queue.add_reserved(made(None, "b"));
    assert_eq!((queue.stats().ready, queue.stats().uncommitted), (1, 0));
    assert!(queue.admits_only(None), "it is the queue's own, and not its consumers'");
}
