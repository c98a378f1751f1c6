//! The queue against a model that is too slow to be wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use postroad_codec::v1_0::MessageFormat;
use proptest::prelude::*;

use super::cursor::Cursor;
use super::{Dead, Demand, Full, Queue, QueueLimits, Reason, Rules, Subscriber};
use crate::budget::{Budget, Lease};
use crate::message::{Held, Return};

mod choosing;
mod features;
mod model;

const LIMITS: QueueLimits = QueueLimits { messages: 100, bytes: 1000 };

fn message(size: usize) -> Held {
    Held::new(Bytes::from(vec![0; size]), MessageFormat(0))
}

fn want(messages: usize) -> Demand {
    Demand { messages, bytes: usize::MAX }
}

fn queue(messages: usize) -> Queue<u32> {
    let mut queue = Queue::new(LIMITS, Rules::default(), None);
    for _ in 0..messages {
        queue.push(message(1)).unwrap();
    }
    queue
}

fn join(queue: &mut Queue<u32>, browse: bool, wake: u32) -> usize {
    queue.add_consumer(Subscriber { browse, ..Subscriber::default() }, wake).unwrap()
}

fn take(queue: &mut Queue<u32>, id: usize, messages: usize) -> Vec<Held> {
    let (mut out, mut woken) = (VecDeque::new(), Vec::new());
    queue.take(id, want(messages), true, &mut out, &mut woken);
    out.into()
}

fn seqs(messages: &[Held]) -> Vec<u64> {
    messages.iter().map(|held| held.seq).collect()
}

#[test]
fn a_consumer_is_woken_once_for_a_batch() {
    let mut queue = queue(0);
    let id = join(&mut queue, false, 7);
    assert!(take(&mut queue, id, 50).is_empty());
    let mut woken = Vec::new();
    for _ in 0..3 {
        for _ in 0..10 {
            queue.push(message(1)).unwrap();
        }
        queue.dispatch(&mut woken);
    }
    assert_eq!(woken, [7]);
    assert_eq!(take(&mut queue, id, 50).len(), 30);
    queue.push(message(1)).unwrap();
    queue.dispatch(&mut woken);
    assert_eq!(woken, [7, 7]);
}

#[test]
fn shares_are_equal_however_messages_come() {
    for batch in [1, 2, 3, 7, 90] {
        let mut queue = queue(0);
        let ids: Vec<_> = (0..3).map(|wake| join(&mut queue, false, wake)).collect();
        for (id, credit) in ids.iter().zip([1000, 50, 100]) {
            take(&mut queue, *id, credit);
        }
        let mut woken = Vec::new();
        for start in (0..90).step_by(batch) {
            for _ in start..(start + batch).min(90) {
                queue.push(message(1)).unwrap();
            }
            queue.dispatch(&mut woken);
        }
        let got: Vec<_> = ids.iter().map(|id| take(&mut queue, *id, 0).len()).collect();
        assert_eq!(got, [30, 30, 30], "in batches of {batch}");
    }
}

#[test]
fn what_is_given_back_comes_first_and_in_order() {
    let mut queue = queue(10);
    let (a, b) = (join(&mut queue, false, 0), join(&mut queue, false, 1));
    let mut first = take(&mut queue, a, 4);
    assert_eq!(seqs(&first), [0, 1, 2, 3]);
    queue.give_back(a, [(first.remove(2), Return::Released), (first.remove(0), Return::Failed)]);
    assert_eq!(seqs(&take(&mut queue, b, 4)), [0, 2, 4, 5]);
}

#[test]
fn an_inbox_is_free_again_when_its_consumer_goes_or_waits() {
    let mut queue = queue(0);
    let (a, b) = (join(&mut queue, false, 0), join(&mut queue, false, 1));
    take(&mut queue, a, 5);
    for _ in 0..3 {
        queue.push(message(1)).unwrap();
    }
    let mut woken = Vec::new();
    queue.dispatch(&mut woken);
    queue.withdraw(a);
    queue.dispatch(&mut woken);
    assert_eq!(seqs(&take(&mut queue, b, 1)), [0]);
    take(&mut queue, a, 1);
    queue.remove_consumer(a);
    assert_eq!(seqs(&take(&mut queue, b, 5)), [2]);
    assert_eq!(queue.stats().unsettled, 3);
}

#[test]
fn a_turn_that_nobody_can_use_blocks_nobody() {
    let mut queue = queue(1);
    let (a, b) = (join(&mut queue, false, 0), join(&mut queue, false, 1));
    let unfit = take(&mut queue, a, 1).remove(0);
    queue.give_back(a, [(unfit, Return::Unfit)]);
    assert!(take(&mut queue, a, 5).is_empty());
    assert_eq!(seqs(&take(&mut queue, b, 5)), [0]);
}

#[test]
fn bytes_bound_a_turn() {
    let mut queue = Queue::<u32>::new(LIMITS, Rules::default(), None);
    for _ in 0..5 {
        queue.push(message(100)).unwrap();
    }
    let id = join(&mut queue, false, 0);
    let (mut out, mut woken) = (VecDeque::new(), Vec::new());
    queue.take(id, Demand { messages: 10, bytes: 150 }, true, &mut out, &mut woken);
    assert_eq!(out.len(), 2);
}

#[test]
fn limits_hold_and_room_is_shared() {
    let mut queue = queue(90);
    let (a, b) = (queue.add_producer(0), queue.add_producer(1));
    assert_eq!(queue.grant(a, 100), 5);
    assert_eq!(queue.grant(b, 3), 3);
    for _ in 0..10 {
        queue.push(message(1)).unwrap();
    }
    assert_eq!(queue.push(message(1)), Err(Full::Queue));
    assert_eq!(queue.grant(b, 3), 0);
    let mut woken = Vec::new();
    queue.settle(1, 1, &mut woken);
    woken.sort_unstable();
    assert_eq!(woken, [0, 1]);
    queue.settle(1, 1, &mut woken);
    assert_eq!(woken.len(), 2, "told once");

    let mut queue = Queue::<u32>::new(LIMITS, Rules::default(), None);
    assert_eq!(queue.push(message(1001)), Err(Full::Queue));
    queue.push(message(900)).unwrap();
    assert_eq!(queue.push(message(101)), Err(Full::Queue));
}

#[derive(Debug, Clone)]
enum Op {
    Push(usize),
    Want { consumer: usize, messages: usize },
    Accept { consumer: usize, index: usize },
    Back { consumer: usize, index: usize, unfit: bool },
    Withdraw { consumer: usize },
    Leave { consumer: usize },
    Browse { messages: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let consumer = 0..4_usize;
    prop_oneof![
        4 => (1..30_usize).prop_map(Op::Push),
        4 => (consumer.clone(), 0..20_usize).prop_map(|(consumer, messages)| Op::Want { consumer, messages }),
        3 => (consumer.clone(), any::<usize>()).prop_map(|(consumer, index)| Op::Accept { consumer, index }),
        3 => (consumer.clone(), any::<usize>(), any::<bool>())
            .prop_map(|(consumer, index, unfit)| Op::Back { consumer, index, unfit }),
        1 => consumer.clone().prop_map(|consumer| Op::Withdraw { consumer }),
        1 => consumer.prop_map(|consumer| Op::Leave { consumer }),
        1 => (1..20_usize).prop_map(|messages| Op::Browse { messages }),
    ]
}

/// A consumer of the test: what it holds, and what it may not have.
#[derive(Default)]
struct Client {
    id: usize,
    held: BTreeMap<u64, Held>,
    barred: BTreeSet<u64>,
    highest_new: Option<u64>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Whatever consumers do, each message is in one place, none is lost or doubled, none goes where it may
    /// not, new ones come to each consumer in order, and what waits is offered oldest first.
    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(ops in prop::collection::vec(op(), 1..200)) {
        let mut queue = Queue::<u32>::new(LIMITS, Rules::default(), None);
        let mut clients: Vec<Client> = (0..4)
            .map(|wake| Client { id: join(&mut queue, false, wake), ..Client::default() })
            .collect();
        let browser = join(&mut queue, true, 9);
        let (mut pushed, mut accepted) = (0_u64, BTreeSet::new());
        let mut ever_returned = BTreeSet::new();
        let mut browsed = BTreeSet::new();
        let mut woken = Vec::new();
        for op in ops {
            match op {
                Op::Push(count) => {
                    for _ in 0..count {
                        pushed += u64::from(queue.push(message(1)).is_ok());
                    }
                }
                Op::Want { consumer, messages } => {
                    let client = &mut clients[consumer];
                    let free: Vec<u64> = free(&queue);
                    let mut out = VecDeque::new();
                    let had = queue.consumers[client.id].inbox_len();
                    queue.take(client.id, want(messages), true, &mut out, &mut woken);
                    let alone = queue.rotation.ids().all(|id| id == client.id);
                    if alone && had == 0 {
                        let due: Vec<u64> = free.into_iter().filter(|seq| !client.barred.contains(seq)).collect();
                        let got: Vec<u64> = out.iter().map(|held| held.seq).collect();
                        prop_assert_eq!(&got[..], &due[..got.len().min(due.len())]);
                    }
                    for held in out {
                        prop_assert!(!client.barred.contains(&held.seq));
                        if !ever_returned.contains(&held.seq) {
                            prop_assert!(client.highest_new.is_none_or(|highest| highest < held.seq));
                            client.highest_new = Some(held.seq);
                        }
                        prop_assert!(client.held.insert(held.seq, held).is_none());
                    }
                }
                Op::Accept { consumer, index } => {
                    let held = &mut clients[consumer].held;
                    if let Some(seq) = held.keys().nth(index % held.len().max(1)).copied() {
                        held.remove(&seq);
                        prop_assert!(accepted.insert(seq));
                        queue.settle(1, 1, &mut woken);
                    }
                }
                Op::Back { consumer, index, unfit } => {
                    let client = &mut clients[consumer];
                    if let Some(seq) = client.held.keys().nth(index % client.held.len().max(1)).copied() {
                        let held = client.held.remove(&seq).unwrap();
                        let how = if unfit { Return::Unfit } else { Return::Failed };
                        if unfit {
                            client.barred.insert(seq);
                        }
                        ever_returned.insert(seq);
                        queue.give_back(client.id, [(held, how)]);
                    }
                }
                Op::Withdraw { consumer } => {
                    ever_returned.extend(queue.consumers[clients[consumer].id].inbox());
                    queue.withdraw(clients[consumer].id);
                }
                Op::Leave { consumer } => {
                    let client = std::mem::take(&mut clients[consumer]);
                    ever_returned.extend(client.held.keys());
                    ever_returned.extend(queue.consumers[client.id].inbox());
                    queue.give_back(client.id, client.held.into_values().map(|held| (held, Return::Failed)));
                    queue.remove_consumer(client.id);
                    clients[consumer].id = join(&mut queue, false, consumer as u32);
                }
                Op::Browse { messages } => {
                    let mut out = VecDeque::new();
                    queue.browse(browser, want(messages), &mut out);
                    for held in out {
                        prop_assert!(browsed.insert(held.seq), "browsed twice");
                        prop_assert!(!accepted.contains(&held.seq));
                    }
                }
            }
            queue.dispatch(&mut woken);
            // Each message is in one place.
            let mut places: Vec<u64> = free(&queue);
            places.extend(queue.consumers.iter().flat_map(|(_, consumer)| consumer.inbox()));
            places.extend(clients.iter().flat_map(|client| client.held.keys().copied()));
            places.extend(&accepted);
            places.sort_unstable();
            prop_assert_eq!(places, (0..pushed).collect::<Vec<_>>());
            let held: usize = clients.iter().map(|client| client.held.len()).sum();
            let stats = queue.stats();
            prop_assert_eq!((stats.unsettled, stats.settled), (held, accepted.len() as u64));
            prop_assert_eq!(stats.bytes, stats.ready + stats.unsettled);
        }
    }
}

/// What waits for anybody, in order.
fn free(queue: &Queue<u32>) -> Vec<u64> {
    let mut free = queue.store.seqs();
    free.sort_unstable();
    free
}

impl super::Consumer<u32> {
    fn inbox(&self) -> Vec<u64> {
        match &self.mode {
            super::consumers::Mode::Take(taker) => taker.inbox.iter().map(|held| held.seq).collect(),
            super::consumers::Mode::Browse { .. } => Vec::new(),
        }
    }

    fn inbox_len(&self) -> usize {
        self.inbox().len()
    }
}

#[test]
fn the_oldest_make_room_and_what_is_under_way_does_not() {
    let mut queue = queue(100);
    let id = join(&mut queue, false, 0);
    let held = take(&mut queue, id, 2);
    assert_eq!(seqs(&held), [0, 1]);
    for _ in 0..3 {
        queue.push_over(message(1));
    }
    assert_eq!(queue.dropped(), 3);
    assert_eq!(queue.stats().bytes, 100);
    queue.give_back(id, held.into_iter().map(|held| (held, Return::Released)));
    // What came back is the oldest again.
    queue.push_over(message(1));
    assert_eq!(seqs(&take(&mut queue, id, 3)), [1, 5, 6]);
    // A message that never fits costs no other.
    queue.push_over(message(1001));
    assert_eq!((queue.dropped(), queue.stats().ready), (5, 97));
}

#[test]
fn a_message_goes_where_consumers_hold_everything() {
    let mut queue = queue(100);
    let id = join(&mut queue, false, 0);
    assert_eq!(take(&mut queue, id, 100).len(), 100);
    queue.push_over(message(1));
    assert_eq!((queue.dropped(), queue.stats().unsettled, queue.stats().ready), (1, 100, 0));
}

fn expiring(expires: Option<Instant>) -> Held {
    let mut held = message(1);
    held.expires = expires;
    held
}

/// A queue with one message that expires after each of these seconds, or never for 0.
fn mortal(now: Instant, seconds: &[u64]) -> Queue<u32> {
    let mut queue = queue(0);
    queue.tick(now);
    for seconds in seconds {
        let expires = (*seconds > 0).then(|| now + Duration::from_secs(*seconds));
        queue.push(expiring(expires)).unwrap();
    }
    queue
}

#[test]
fn what_has_expired_is_given_to_nobody() {
    let now = Instant::now();
    let mut queue = mortal(now, &[1, 0, 5, 2, 0]);
    let browser = join(&mut queue, true, 1);
    let id = join(&mut queue, false, 0);
    queue.tick(now + Duration::from_secs(2));
    let mut out = VecDeque::new();
    queue.browse(browser, want(10), &mut out);
    assert_eq!(out.iter().map(|held| held.seq).collect::<Vec<_>>(), [1, 2, 4]);
    assert_eq!(queue.stats().ready, 5, "it counts until somebody comes by");
    let mut held = take(&mut queue, id, 10);
    assert_eq!(seqs(&held), [1, 2, 4]);
    let stats = queue.stats();
    assert_eq!((stats.expired, stats.ready, stats.unsettled, stats.bytes), (2, 0, 3, 3));
    // What comes back too late does not stay.
    queue.tick(now + Duration::from_secs(5));
    queue.give_back(id, held.drain(..).map(|held| (held, Return::Released)));
    assert_eq!(seqs(&take(&mut queue, id, 10)), [1, 4]);
    assert_eq!(queue.stats().expired, 3);
}

#[test]
fn what_expires_in_an_inbox_leaves_room_for_others() {
    let now = Instant::now();
    let mut queue = mortal(now, &[]);
    let id = join(&mut queue, false, 0);
    assert!(take(&mut queue, id, 2).is_empty());
    for seconds in [1, 1, 0, 0] {
        let expires = (seconds > 0).then(|| now + Duration::from_secs(seconds));
        queue.push(expiring(expires)).unwrap();
    }
    queue.dispatch(&mut Vec::new());
    assert_eq!(queue.consumers[id].inbox(), [0, 1]);
    queue.tick(now + Duration::from_secs(1));
    assert_eq!(seqs(&take(&mut queue, id, 2)), [2, 3]);
    assert_eq!((queue.stats().expired, queue.stats().ready), (2, 0));
}

#[test]
fn a_sweep_makes_room() {
    let now = Instant::now();
    let mut queue = mortal(now, &[3; 100]);
    let producer = queue.add_producer(4);
    assert_eq!(queue.grant(producer, 10), 0);
    assert!(queue.sweep(), "they will expire");
    queue.tick(now + Duration::from_secs(3));
    assert!(!queue.sweep(), "none is left that will");
    let mut woken = Vec::new();
    queue.dispatch(&mut woken);
    assert_eq!((woken, queue.is_empty()), (vec![4], true));

    let mut queue = mortal(now, &[3; 100]);
    queue.tick(now + Duration::from_secs(3));
    queue.push(message(1)).unwrap();
    assert_eq!((queue.stats().expired, queue.stats().ready), (100, 1));
}

#[test]
fn what_dies_is_kept_for_the_dead_letter_node() {
    let now = Instant::now();
    let mut queue =
        Queue::<u32>::new(LIMITS, Rules { max_deliveries: 2, keeps_dead: true, keeps_rejected: true }, None);
    queue.tick(now);
    for seconds in [0, 0, 0, 1] {
        queue.push(expiring((seconds > 0).then(|| now + Duration::from_secs(seconds)))).unwrap();
    }
    let id = join(&mut queue, false, 0);
    let fail = |held: Held| (held, Return::Failed);
    let mut held = take(&mut queue, id, 4);
    queue.give_back(id, [(held.remove(0), Return::Rejected(None))]);
    queue.give_back(id, held.into_iter().map(fail));
    assert_eq!(reasons(&mut queue), [(0, Reason::Rejected(None))]);
    let mut held = take(&mut queue, id, 3);
    assert_eq!(seqs(&held), [1, 2, 3]);
    queue.tick(now + Duration::from_secs(1));
    // Release does not count, and what has expired has expired.
    queue.give_back(id, [(held.remove(0), Return::Released)]);
    queue.give_back(id, held.into_iter().map(fail));
    assert_eq!(reasons(&mut queue), [(2, Reason::DeliveryLimit), (3, Reason::Expired)]);
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.unsettled, stats.bytes), (1, 0, 1));
    assert_eq!((stats.dead_lettered, stats.expired, stats.settled), (3, 1, 0));
}

#[test]
fn without_a_dead_letter_node_nothing_is_kept() {
    let mut queue =
        Queue::<u32>::new(LIMITS, Rules { max_deliveries: 1, keeps_dead: false, keeps_rejected: false }, None);
    queue.push(message(1)).unwrap();
    let id = join(&mut queue, false, 0);
    let held = take(&mut queue, id, 1);
    queue.give_back(id, held.into_iter().map(|held| (held, Return::Failed)));
    assert!(queue.is_empty() && queue.take_dead().is_empty());
}

fn reasons(queue: &mut Queue<u32>) -> Vec<(u64, Reason)> {
    queue.take_dead().into_iter().map(|Dead { held, reason }| (held.seq, reason)).collect()
}

#[test]
fn queues_share_what_the_broker_holds() {
    let budget = Budget::new(1000);
    let make = || Queue::<u32>::new(LIMITS, Rules::default(), Some(Lease::new(&budget)));
    let (mut one, mut two) = (make(), make());
    one.push(message(900)).unwrap();
    assert_eq!(two.push(message(200)), Err(Full::Broker));
    two.push(message(50)).unwrap();
    let producer = two.add_producer(7);
    assert!(two.grant(producer, 100) < 3);
    let id = join(&mut one, false, 0);
    take(&mut one, id, 1);
    one.settle(1, 900, &mut Vec::new());
    assert_eq!(budget.used(), 50 + 50 / 8);
    assert_eq!(two.grant(producer, 10), 10);
    two.clear();
    assert_eq!(budget.used(), 0, "a deleted queue holds nothing");
    one.push(message(10)).unwrap();
    drop(one);
    assert_eq!(budget.used(), 0);
}

#[test]
fn room_is_promised_once() {
    let mut queue = queue(0);
    let a = queue.add_producer(0);
    assert_eq!(queue.grant(a, 80), 50, "it is alone, but others may come");
    queue.note_credit(a, 50);
    let b = queue.add_producer(1);
    assert_eq!(queue.grant(b, 80), 25);
    queue.note_credit(b, 25);
    for _ in 0..40 {
        queue.push(message(1)).unwrap();
    }
    queue.note_credit(a, 10);
    assert_eq!((queue.grant(a, 80), queue.grant(b, 80)), (18, 25));
    queue.note_credit(a, 35);
    let c = queue.add_producer(2);
    assert_eq!(queue.grant(c, 80), 1, "all is promised, but to those that may send nothing");
    queue.remove_producer(a);
    assert_eq!(queue.grant(c, 80), 18);
}

#[test]
fn a_producer_that_rests_has_no_room() {
    let mut queue = queue(0);
    let others = [1, 2, 3].map(|wake| queue.add_producer(wake));
    let a = queue.add_producer(0);
    assert_eq!(queue.grant(a, 80), 25);
    for other in others {
        queue.note_credit(other, 20);
    }
    assert_eq!(queue.grant(a, 80), 20);
    for other in others {
        queue.wake_producer_by(other, 9, true);
        queue.wake_producer_by(other, 9, true);
    }
    assert_eq!(queue.grant(a, 80), 50, "as if it were alone");
    queue.remove_producer(others[0]);
    assert_eq!(queue.grant(a, 80), 50);
    queue.wake_producer_by(others[1], 1, false);
    queue.wake_producer_by(others[2], 1, false);
    assert_eq!(queue.grant(a, 80), 33);
}

#[test]
fn room_that_is_reserved_counts_until_the_message_comes_or_does_not() {
    let mut queue = queue(97);
    let producer = queue.add_producer(7);
    for _ in 0..3 {
        queue.reserve(&message(1)).unwrap();
    }
    assert_eq!(queue.reserve(&message(1)), Err(Full::Queue));
    assert_eq!(queue.push(message(1)), Err(Full::Queue));
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.uncommitted, stats.unsettled, stats.bytes), (97, 3, 0, 100));
    assert_eq!(queue.grant(producer, 5), 0);
    // Whoever waits for room hears of it.
    let mut woken = Vec::new();
    queue.unreserve(2, 2, &mut woken);
    assert_eq!(woken, [7]);
    queue.add_reserved(message(1));
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.uncommitted, stats.bytes, stats.enqueued), (98, 0, 98, 98));
}

#[test]
fn a_queue_with_reserved_room_is_not_empty() {
    let mut queue = queue(0);
    queue.reserve(&message(10)).unwrap();
    assert!(!queue.is_empty());
    // Nothing of it is there to be cleared.
    queue.clear();
    queue.unreserve(1, 10, &mut Vec::new());
    assert!(queue.is_empty());
    assert_eq!(queue.stats().bytes, 0);
}
