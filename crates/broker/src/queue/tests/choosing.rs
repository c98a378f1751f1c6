//! Consumers that choose, and those beside them.

use std::sync::Arc;

use postroad_codec::v1_0::{FilterSet, Header, Message, Value};

use super::*;
use crate::filter::{Filter, Origin, asked};
use crate::queue::Locked;
use crate::queue::consumers::LOOKS;

pub(super) fn filter(selector: &str) -> Option<Arc<Filter>> {
    let filters = FilterSet([(Value::Symbol("jms-selector".into()), Value::from(selector))].into_iter().collect());
    asked(Some(&filters), Origin::default()).unwrap().filter.map(Arc::new)
}

fn chooser(queue: &mut Queue<u32>, selector: &str, wake: u32) -> usize {
    queue.add_consumer(Subscriber { filter: filter(selector), ..Subscriber::default() }, wake).unwrap()
}

fn prior(priority: u8) -> Held {
    let header = Header { priority: Some(priority), ..Header::default() };
    Held::new(Message { header: Some(header), ..Message::from("x") }.to_bytes(), MessageFormat(0))
}

fn roomy() -> Queue<u32> {
    Queue::new(QueueLimits { messages: 100_000, bytes: usize::MAX }, Rules::default(), None)
}

fn push(queue: &mut Queue<u32>, priorities: impl IntoIterator<Item = u8>) {
    for priority in priorities {
        queue.push(prior(priority)).unwrap();
    }
}

#[test]
fn a_chooser_takes_from_the_middle_and_leaves_the_rest_in_order() {
    let mut queue = roomy();
    let plain = join(&mut queue, false, 0);
    push(&mut queue, [1, 7, 1, 8, 9, 1]);
    assert_eq!(seqs(&take(&mut queue, plain, 1)), [0]);
    let high = chooser(&mut queue, "JMSPriority > 7", 1);
    assert_eq!(seqs(&take(&mut queue, high, 10)), [3, 4]);
    let (woken, mut out) = (&mut Vec::new(), VecDeque::new());
    assert_eq!(seqs(&take(&mut queue, plain, 2)), [1, 2]);
    // What nobody has chosen waits for the others, and what matches is the chooser's as well.
    push(&mut queue, [9, 2]);
    queue.dispatch(woken);
    queue.take(high, want(0), true, &mut out, woken);
    assert_eq!(seqs(out.make_contiguous()), [6]);
    assert_eq!(seqs(&take(&mut queue, plain, 10)), [5, 7]);
}

#[test]
fn a_chooser_is_woken_for_what_it_wants_alone() {
    let mut queue = roomy();
    let high = chooser(&mut queue, "JMSPriority > 7", 1);
    assert!(take(&mut queue, high, 10).is_empty());
    let mut woken = Vec::new();
    push(&mut queue, [1, 2, 3]);
    queue.dispatch(&mut woken);
    assert_eq!(woken, []);
    push(&mut queue, [8]);
    queue.dispatch(&mut woken);
    assert_eq!(woken, [1]);
    assert_eq!(seqs(&take(&mut queue, high, 10)), [3]);
    assert_eq!(queue.stats().ready, 3);
}

#[test]
fn a_chooser_looks_at_nothing_twice_and_not_at_too_much_at_once() {
    let mut queue = roomy();
    push(&mut queue, std::iter::repeat_n(1, LOOKS * 2 + 500));
    let high = chooser(&mut queue, "JMSPriority > 7", 1);
    let mut visits = 0;
    loop {
        assert!(take(&mut queue, high, 10).is_empty());
        visits += 1;
        if !queue.is_searching(high) {
            break;
        }
    }
    assert_eq!(visits, 3);
    // It would not come to its end in one visit, were it to begin again.
    push(&mut queue, [9]);
    assert_eq!(take(&mut queue, high, 10).len(), 1);
    assert!(!queue.is_searching(high));
}

#[test]
fn one_that_searches_is_woken_to_go_on() {
    let mut queue = roomy();
    let high = chooser(&mut queue, "JMSPriority > 7", 1);
    assert!(take(&mut queue, high, 10).is_empty());
    push(&mut queue, std::iter::repeat_n(1, LOOKS + 1));
    push(&mut queue, [9]);
    let mut woken = Vec::new();
    queue.dispatch(&mut woken);
    assert_eq!(woken, [1], "it is to look on");
    let taken = take(&mut queue, high, 10);
    assert_eq!(seqs(&taken), [LOOKS as u64 + 1]);
}

#[test]
fn what_comes_back_is_looked_at_again() {
    let mut queue = roomy();
    let (plain, again) = (join(&mut queue, false, 0), chooser(&mut queue, "JMSRedelivered", 1));
    push(&mut queue, [4, 4, 4]);
    assert!(take(&mut queue, again, 10).is_empty());
    let mut held = take(&mut queue, plain, 3);
    queue.give_back(plain, [(held.remove(1), Return::Failed)]);
    let mut woken = Vec::new();
    queue.dispatch(&mut woken);
    assert_eq!(seqs(&take(&mut queue, again, 10)), [1]);
    // A message that is barred for it, though it matches.
    queue.give_back(plain, held.drain(..).map(|held| (held, Return::Failed)));
    let mut held = take(&mut queue, again, 10);
    assert_eq!(seqs(&held), [0, 2]);
    queue.give_back(again, held.drain(..).map(|held| (held, Return::Unfit)));
    assert!(take(&mut queue, again, 10).is_empty());
    assert_eq!(seqs(&take(&mut queue, plain, 10)), [0, 2]);
}

#[test]
fn without_choosers_there_is_a_line_again() {
    let mut queue = roomy();
    let plain = join(&mut queue, false, 0);
    push(&mut queue, [1, 1, 1]);
    let high = chooser(&mut queue, "JMSPriority > 7", 1);
    push(&mut queue, [1]);
    queue.remove_consumer(high);
    assert!(matches!(queue.store, super::super::store::Store::Line(_)));
    push(&mut queue, [1]);
    assert_eq!(queue.store.seqs(), [0, 1, 2, 3, 4]);
    assert_eq!(seqs(&take(&mut queue, plain, 5)), [0, 1, 2, 3, 4]);
    let late = join(&mut queue, false, 2);
    push(&mut queue, [1]);
    assert_eq!(seqs(&take(&mut queue, late, 10)), [5]);
}

#[test]
fn browsers_see_what_they_want_and_go_on_after_a_pause() {
    let mut queue = roomy();
    push(&mut queue, std::iter::repeat_n(1, LOOKS + 1).chain([9, 1, 9]));
    let subscriber = Subscriber { browse: true, filter: filter("JMSPriority = 9"), ..Subscriber::default() };
    let browser = queue.add_consumer(subscriber, 1).unwrap();
    let mut out = VecDeque::new();
    assert!(queue.browse(browser, want(10), &mut out), "it is to come again");
    assert!(!queue.browse(browser, want(10), &mut out));
    assert_eq!(seqs(out.make_contiguous()), [LOOKS as u64 + 1, LOOKS as u64 + 3]);
    assert_eq!(queue.stats().ready, LOOKS + 4);
}

#[test]
fn only_one_takes_where_one_is_exclusive() {
    let mut queue = roomy();
    let exclusive = || Subscriber { exclusive: true, ..Subscriber::default() };
    let first = queue.add_consumer(exclusive(), 0).unwrap();
    assert_eq!(queue.add_consumer(Subscriber::default(), 1), Err(Locked));
    let browser = join(&mut queue, true, 2);
    queue.remove_consumer(first);
    let second = join(&mut queue, false, 3);
    assert_eq!(queue.add_consumer(exclusive(), 4), Err(Locked));
    queue.remove_consumer(second);
    queue.remove_consumer(browser);
    assert!(queue.add_consumer(exclusive(), 5).is_ok());
}

#[test]
fn a_queue_that_takes_only_some_messages() {
    let mut queue = roomy();
    queue.admit_only(filter("JMSPriority > 7"));
    queue.reserve(&message(5)).unwrap();
    queue.add_reserved(message(5));
    push(&mut queue, [1, 9]);
    queue.push_over(prior(2));
    queue.add(prior(8));
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.uncommitted, stats.bytes), (2, 0, 2 * prior(9).size()));
    let admits = |selector| queue.admits_only(filter(selector).as_deref());
    assert!(admits("JMSPriority > 7") && !admits("JMSPriority > 6") && !queue.admits_only(None));
}

/// The lock is held meanwhile.
#[test]
fn looks_that_take_long_are_few() {
    let mut queue = roomy();
    let text = "c".repeat(60_000);
    for _ in 0..50 {
        queue.push(features::made(None, text.as_str())).unwrap();
    }
    let pattern = format!("k LIKE '%{}%'", "_a".repeat(250));
    let id = chooser(&mut queue, &pattern, 0);
    assert!(take(&mut queue, id, 1).is_empty() && queue.is_searching(id));
    let browser = Subscriber { browse: true, filter: filter(&pattern), ..Subscriber::default() };
    let browser = queue.add_consumer(browser, 1).unwrap();
    assert!(queue.browse(browser, want(1), &mut VecDeque::new()), "it is to come again");
    // In the end they have looked at everything.
    for _ in 0..50 {
        take(&mut queue, id, 1);
        queue.browse(browser, want(1), &mut VecDeque::new());
    }
    assert!(!queue.is_searching(id) && !queue.browse(browser, want(1), &mut VecDeque::new()));
    // A text that is longer is unknown, where the pattern would be sought at every place of it.
    queue.push(features::made(None, "ab".repeat(40_000).as_str())).unwrap();
    assert!(take(&mut queue, id, 1).is_empty());
    let simple = chooser(&mut queue, "k LIKE '%bab%'", 2);
    let mut taken = take(&mut queue, simple, 1);
    while taken.is_empty() {
        assert!(queue.is_searching(simple));
        taken = take(&mut queue, simple, 1);
    }
}

/// In a line nobody has to remember how far it has looked, and among those that choose everybody has.
#[test]
fn who_was_there_before_those_who_choose_looks_from_the_start() {
    let mut queue = roomy();
    let plain = join(&mut queue, false, 1);
    push(&mut queue, [1, 1]);
    let mut held = take(&mut queue, plain, 2);
    // One that it may not have waits in front of all others, and it has seen that.
    queue.give_back(plain, [(held.remove(0), Return::Unfit)]);
    push(&mut queue, [1]);
    assert_eq!(seqs(&take(&mut queue, plain, 1)), [2]);
    push(&mut queue, [1]);
    chooser(&mut queue, "JMSPriority > 7", 2);
    assert_eq!(seqs(&take(&mut queue, plain, 5)), [3]);
}

/// However many they are: the lock is held for all of them.
#[test]
fn those_who_choose_share_what_is_looked_at_under_one_lock() {
    const CHOOSERS: usize = 50;
    let mut queue = roomy();
    let ids: Vec<usize> = (0..CHOOSERS).map(|wake| chooser(&mut queue, "JMSPriority > 7", wake as u32)).collect();
    for id in &ids {
        assert!(take(&mut queue, *id, 10).is_empty());
    }
    push(&mut queue, std::iter::repeat_n(1, LOOKS));
    let mut woken = Vec::new();
    queue.dispatch(&mut woken);
    let looked =
        |queue: &Queue<u32>| -> u64 { ids.iter().map(|id| queue.consumers[*id].seeker().cursor.levels[0]).sum() };
    assert!(looked(&queue) <= LOOKS as u64 + 1, "{}", looked(&queue));
    assert_eq!(woken.len(), CHOOSERS - 1, "one has looked at everything, and the others are to go on");
    // Whoever comes by has its own share, even if there are news for those in front.
    push(&mut queue, [1]);
    assert!(take(&mut queue, ids[CHOOSERS - 1], 10).is_empty());
    assert_eq!(queue.consumers[ids[CHOOSERS - 1]].seeker().cursor.levels[0], LOOKS as u64);
    for id in &ids {
        while queue.is_searching(*id) {
            assert!(take(&mut queue, *id, 10).is_empty());
        }
    }
    assert_eq!(looked(&queue), (CHOOSERS * (LOOKS + 1)) as u64);
}

#[test]
fn consumers_that_leave_leave_no_turns_behind() {
    let mut queue = roomy();
    let stays = join(&mut queue, false, 0);
    take(&mut queue, stays, 5);
    for round in 0..1000 {
        let id = join(&mut queue, false, round);
        take(&mut queue, id, 5);
        queue.remove_consumer(id);
    }
    assert!(queue.rotation.ids().count() < 40);
    let ids: Vec<_> = (0..10_000).map(|wake| join(&mut queue, false, wake)).collect();
    for id in &ids {
        take(&mut queue, *id, 5);
    }
    for id in ids {
        queue.remove_consumer(id);
    }
    push(&mut queue, [1; 3]);
    let mut woken = Vec::new();
    queue.dispatch(&mut woken);
    assert_eq!((woken, seqs(&take(&mut queue, stays, 0))), (vec![0], vec![0, 1, 2]));
}
