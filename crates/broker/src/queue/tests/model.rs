//! Queues with features against a list that is searched from end to end.

use super::features::made;
use super::*;
use crate::settings::{LimitPolicy, QueueSettings};

const MAX: usize = 12;

#[derive(Debug, Clone)]
enum Step {
    Push { priority: u8, key: u8 },
    Reserved { priority: u8, key: u8 },
    Take { client: usize, messages: usize },
    Settle { client: usize, index: usize },
    Back { client: usize, index: usize, unfit: bool },
    Browse { messages: usize },
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..3_usize;
    prop_oneof![
        6 => (0..10_u8, 0..5_u8).prop_map(|(priority, key)| Step::Push { priority, key }),
        1 => (0..10_u8, 0..5_u8).prop_map(|(priority, key)| Step::Reserved { priority, key }),
        3 => (client.clone(), 0..5_usize).prop_map(|(client, messages)| Step::Take { client, messages }),
        2 => (client.clone(), any::<usize>()).prop_map(|(client, index)| Step::Settle { client, index }),
        2 => (client, any::<usize>(), prop::bool::weighted(0.3))
            .prop_map(|(client, index, unfit)| Step::Back { client, index, unfit }),
        1 => (1..5_usize).prop_map(|messages| Step::Browse { messages }),
        1 => Just(Step::Wait),
    ]
}

/// What a message is to the list.
#[derive(Debug, Clone, PartialEq)]
struct Plain {
    seq: u64,
    level: u8,
    key: u8,
    due: Option<u32>,
    barred: Vec<usize>,
}

#[derive(Debug)]
struct List {
    levels: bool,
    last_values: bool,
    ring: bool,
    ttl: Option<u32>,
    waiting: Vec<Plain>,
    held: Vec<Vec<Plain>>,
    next: u64,
    now: u32,
    /// Per level, where the browser reads on.
    browsed: [u64; 10],
}

impl List {
    fn order(&mut self) {
        self.waiting.sort_by_key(|plain| (std::cmp::Reverse(plain.level), plain.seq));
    }

    fn total(&self) -> usize {
        self.waiting.len() + self.held.iter().map(Vec::len).sum::<usize>()
    }

    fn push(&mut self, priority: u8, key: u8) -> Result<(), ()> {
        let level = if self.levels { priority } else { 0 };
        let due = self.ttl.map(|ttl| self.now + ttl);
        let same = self.waiting.iter().position(|plain| self.last_values && plain.key == key);
        if let Some(same) = same {
            self.waiting.remove(same);
        } else {
            while (if self.ring { self.waiting.len() } else { self.total() }) >= MAX {
                let lowest = self.waiting.iter().map(|plain| plain.level).min().filter(|lowest| *lowest <= level);
                let Some(lowest) = lowest.filter(|_| self.ring) else {
                    return if self.ring { Ok(()) } else { Err(()) };
                };
                let of_lowest = self.waiting.iter().enumerate().filter(|(_, plain)| plain.level == lowest);
                let (oldest, _) = of_lowest.min_by_key(|(_, plain)| plain.seq).unwrap();
                self.waiting.remove(oldest);
            }
        }
        self.waiting.push(Plain { seq: self.next, level, key, due, barred: Vec::new() });
        self.next += 1;
        self.order();
        Ok(())
    }

    fn wants(client: usize, plain: &Plain) -> bool {
        // The last client chooses.
        (client < 2 || plain.key.is_multiple_of(2)) && !plain.barred.contains(&client)
    }

    fn take(&mut self, client: usize, messages: usize) -> Vec<u64> {
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        for plain in std::mem::take(&mut self.waiting) {
            if taken.len() < messages && Self::wants(client, &plain) { taken.push(plain) } else { left.push(plain) }
        }
        self.waiting = left;
        let seqs = taken.iter().map(|plain| plain.seq).collect();
        self.held[client].extend(taken);
        seqs
    }

    fn back(&mut self, client: usize, seq: u64, unfit: bool) {
        let at = self.held[client].iter().position(|plain| plain.seq == seq).unwrap();
        let mut plain = self.held[client].remove(at);
        if unfit {
            plain.barred.push(client);
        }
        let outdated = self.last_values && self.waiting.iter().any(|other| other.key == plain.key);
        if !outdated && plain.due.is_none_or(|due| due > self.now) {
            self.waiting.push(plain);
            self.order();
        }
    }

    fn browse(&mut self, messages: usize) -> Vec<u64> {
        let mut seen = Vec::new();
        for plain in &self.waiting {
            let next = &mut self.browsed[usize::from(plain.level)];
            if seen.len() < messages && plain.seq >= *next {
                *next = plain.seq + 1;
                seen.push(plain.seq);
            }
        }
        seen
    }
}

/// A queue that has some of the features, and the list beside it.
fn pair(features: (bool, bool, bool, bool), budget: &Arc<Budget>) -> (Queue<u32>, List) {
    let (levels, last_values, ring, ttl) = features;
    let (levels, last_values) = (levels && !last_values, last_values);
    let mut settings = QueueSettings::default();
    if levels {
        settings = settings.priorities(10);
    }
    if last_values {
        settings = settings.last_value_key("k");
    }
    if ring {
        settings = settings.limit_policy(LimitPolicy::Ring);
    }
    if ttl {
        settings = settings.ttl(Duration::from_secs(3));
    }
    let limits = QueueLimits { messages: MAX, bytes: usize::MAX };
    let queue = Queue::new(limits, Rules::default(), Some(Lease::new(budget))).configured(&settings, None);
    let list = List {
        levels,
        last_values,
        ring,
        ttl: ttl.then_some(3),
        waiting: Vec::new(),
        held: vec![Vec::new(); 3],
        next: 0,
        now: 0,
        browsed: [0; 10],
    };
    (queue, list)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn it_is_what_the_list_is(
        features in any::<(bool, bool, bool, bool)>(),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let budget = Budget::new(usize::MAX);
        let (mut queue, mut list) = pair(features, &budget);
        let start = Instant::now();
        queue.tick(start);
        let chooser = Subscriber { filter: choosing::filter("k IN ('0', '2', '4')"), ..Subscriber::default() };
        let ids = [join(&mut queue, false, 0), join(&mut queue, false, 1), queue.add_consumer(chooser, 2).unwrap()];
        let browser = join(&mut queue, true, 9);
        let mut held: Vec<BTreeMap<u64, Held>> = vec![BTreeMap::new(); 3];
        let mut woken = Vec::new();
        for step in steps {
            match step {
                Step::Push { priority, key } => {
                    let pushed = queue.push(made(Some(priority), key.to_string().as_str()));
                    prop_assert_eq!(pushed.is_ok(), list.push(priority, key).is_ok());
                }
                Step::Reserved { priority, key } => {
                    let message = made(Some(priority), key.to_string().as_str());
                    let reserved = queue.reserve(&message).is_ok();
                    if reserved {
                        queue.add_reserved(message);
                    }
                    prop_assert_eq!(reserved, list.push(priority, key).is_ok());
                }
                Step::Take { client, messages } => {
                    let mut out = VecDeque::new();
                    queue.take(ids[client], want(messages), false, &mut out, &mut woken);
                    prop_assert_eq!(seqs(out.make_contiguous()), list.take(client, messages));
                    held[client].extend(out.into_iter().map(|held| (held.seq, held)));
                }
                Step::Settle { client, index } => {
                    if let Some(seq) = held[client].keys().nth(index % held[client].len().max(1)).copied() {
                        let gone = held[client].remove(&seq).unwrap();
                        queue.settle(1, gone.size(), &mut woken);
                        list.held[client].retain(|plain| plain.seq != seq);
                    }
                }
                Step::Back { client, index, unfit } => {
                    if let Some(seq) = held[client].keys().nth(index % held[client].len().max(1)).copied() {
                        let back = held[client].remove(&seq).unwrap();
                        let how = if unfit { Return::Unfit } else { Return::Released };
                        queue.give_back(ids[client], [(back, how)]);
                        list.back(client, seq, unfit);
                    }
                }
                Step::Browse { messages } => {
                    let mut out = VecDeque::new();
                    queue.browse(browser, want(messages), &mut out);
                    prop_assert_eq!(seqs(out.make_contiguous()), list.browse(messages));
                }
                Step::Wait => {
                    list.now += 1;
                    queue.tick(start + Duration::from_secs(list.now.into()));
                    queue.sweep();
                    let now = list.now;
                    list.waiting.retain(|plain| plain.due.is_none_or(|due| due > now));
                }
            }
            queue.dispatch(&mut woken);
            let waiting: Vec<u64> = list.waiting.iter().map(|plain| plain.seq).collect();
            prop_assert_eq!(queue.store.seqs(), waiting);
            let stats = queue.stats();
            let mut bytes: usize = held.iter().flat_map(BTreeMap::values).map(Held::size).sum();
            queue.store.visit(&mut Cursor::default(), |held| {
                bytes += held.size();
                true
            });
            prop_assert_eq!(stats.bytes, bytes);
            // What was taken of the broker's bytes is what is needed and the slack, and no less.
            let used = budget.used();
            prop_assert!(used >= bytes && used <= bytes + 2 * (bytes / 8), "{} for {}", used, bytes);
            let held: usize = held.iter().map(BTreeMap::len).sum();
            prop_assert_eq!((stats.ready, stats.unsettled, stats.uncommitted), (list.waiting.len(), held, 0));
        }
    }
}
