//! Whose message is next, for each scheduler.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::Scheduler;

const ALL: [Scheduler; 6] = [
    Scheduler::FirstComeFirstServed,
    Scheduler::RoundRobin,
    Scheduler::RoundRobinPerPacket,
    Scheduler::Priority,
    Scheduler::FairCapacity,
    Scheduler::WeightedFairQueueing,
];

const PACKET: u32 = 100;

fn message(priority: u32, size: u64) -> Entry {
    Entry { priority, last: false, size }
}

/// A group of these priorities whose members have each the same messages.
fn group(scheduler: Scheduler, priorities: &[u32], sizes: &[u64]) -> (GroupScheduler, Vec<MemberId>) {
    let mut group = GroupScheduler::new(scheduler, PACKET);
    let members: Vec<_> = priorities.iter().map(|priority| group.join(*priority)).collect();
    for size in sizes {
        for member in &members {
            group.push(*member, message(100, *size)).unwrap();
        }
    }
    (group, members)
}

/// Which members send, by their numbers, until nothing waits.
fn order(group: &mut GroupScheduler, members: &[MemberId]) -> Vec<usize> {
    let number = |ticket: Ticket| members.iter().position(|member| *member == ticket.member).unwrap();
    std::iter::from_fn(|| group.next(|_| true)).map(number).collect()
}

#[test]
fn first_come_is_first_served() {
    let mut group = GroupScheduler::new(Scheduler::FirstComeFirstServed, PACKET);
    let members = [group.join(9), group.join(0)];
    for member in [0, 0, 1, 0, 1] {
        group.push(members[member], message(100, 5)).unwrap();
    }
    assert_eq!(order(&mut group, &members), [0, 0, 1, 0, 1]);
}

#[test]
fn turns_are_taken_by_the_message() {
    let (mut group, members) = group(Scheduler::RoundRobin, &[9, 0, 5], &[1000, 1, 70]);
    assert_eq!(order(&mut group, &members), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[test]
fn turns_are_taken_by_the_packet() {
    let (mut group, members) = group(Scheduler::RoundRobinPerPacket, &[9, 0], &[60, 60, 60, 250]);
    // Two messages fill a packet; the third begins one that the long one fills.
    assert_eq!(order(&mut group, &members), [0, 0, 1, 1, 0, 0, 1, 1]);
}

#[test]
fn the_highest_priority_goes_first_and_equals_take_turns() {
    let (mut group, members) = group(Scheduler::Priority, &[7, 1, 7, 0], &[10, 10]);
    assert_eq!(order(&mut group, &members), [3, 3, 1, 1, 2, 0, 2, 0]);
}

#[test]
fn fair_capacity_looks_at_lengths_and_not_at_priorities() {
    let mut group = GroupScheduler::new(Scheduler::FairCapacity, PACKET);
    let members = [group.join(0), group.join(99)];
    for _ in 0..3 {
        group.push(members[0], message(100, 300)).unwrap();
    }
    for _ in 0..6 {
        group.push(members[1], message(100, 100)).unwrap();
    }
    assert_eq!(order(&mut group, &members), [0, 1, 1, 1, 0, 1, 1, 1, 0]);
}

#[test]
fn shares_are_weighted_by_the_priorities() {
    let (mut group, members) = group(Scheduler::WeightedFairQueueing, &[0, 1, 3], &[100; 12]);
    let order = order(&mut group, &members);
    let of = |member| order[..14].iter().filter(|sent| **sent == member).count();
    assert_eq!((of(0), of(1), of(2)), (8, 4, 2), "{order:?}");
}

#[test]
fn the_priority_of_the_connection_goes_before_that_of_the_message() {
    for scheduler in [Scheduler::WeightedFairQueueing, Scheduler::Priority] {
        let mut group = GroupScheduler::new(scheduler, PACKET);
        let (second, first) = (group.join(1), group.join(0));
        // Also when there was something before, and however long the messages are.
        for _ in 0..3 {
            group.push(second, message(0, 1)).unwrap();
            let expected = group.push(first, message(1, 1_000_000)).unwrap();
            assert_eq!(group.next(|_| true), Some(expected));
            assert_eq!(group.next(|_| true).unwrap().member, second);
            assert_eq!(group.next(|_| true), None);
        }
    }
}

#[test]
fn messages_of_a_connection_leave_by_priority_and_the_final_one_at_the_end() {
    for scheduler in ALL {
        let mut group = GroupScheduler::new(scheduler, PACKET);
        let member = group.join(100);
        let last = group.push(member, Entry { priority: 0, last: true, size: 1 }).unwrap();
        let [ten, one, five, again] = [10, 1, 5, 1].map(|priority| group.push(member, message(priority, 1)).unwrap());
        let order: Vec<_> = std::iter::from_fn(|| group.next(|_| true)).collect();
        assert_eq!(order, [one, again, five, ten, last], "{scheduler:?}");
    }
}

#[test]
fn who_is_not_ready_holds_up_nobody() {
    for scheduler in ALL {
        let (mut group, members) = group(scheduler, &[0, 1], &[10, 10]);
        assert_eq!(group.next(|member| member == members[1]).unwrap().member, members[1]);
        assert_eq!(group.next(|_| false), None);
        assert_eq!(order(&mut group, &members).len(), 3, "{scheduler:?}");
    }
}

#[test]
fn who_was_silent_has_saved_up_nothing() {
    for scheduler in [Scheduler::FairCapacity, Scheduler::WeightedFairQueueing] {
        let mut group = GroupScheduler::new(scheduler, PACKET);
        let members = [group.join(100), group.join(100)];
        for _ in 0..100 {
            group.push(members[0], message(100, 100)).unwrap();
        }
        for _ in 0..50 {
            group.next(|_| true).unwrap();
        }
        for _ in 0..10 {
            group.push(members[1], message(100, 100)).unwrap();
        }
        let order = order(&mut group, &members);
        assert!(order[..20].windows(2).all(|pair| pair[0] != pair[1]), "{order:?}");
    }
}

#[test]
fn a_message_that_is_taken_back_costs_nothing() {
    let (mut group, members) = group(Scheduler::WeightedFairQueueing, &[100, 100], &[10]);
    let long = group.push(members[0], message(0, u64::MAX)).unwrap();
    assert!(group.cancel(long));
    assert!(!group.cancel(long));
    assert_eq!(order(&mut group, &members), [0, 1]);
    group.leave(members[0]);
    assert_eq!(group.push(members[0], message(0, 1)), None);
    assert_eq!(group.len(), 1);
}

#[test]
fn priorities_and_schedulers_may_change() {
    let (mut group, members) = group(Scheduler::WeightedFairQueueing, &[1, 0], &[100; 4]);
    assert_eq!(group.next(|_| true).unwrap().member, members[1]);
    group.set_scheduler(Scheduler::Priority);
    group.set_priority(members[0], 0);
    group.set_priority(members[1], 1);
    assert_eq!(order(&mut group, &members), [0, 0, 0, 0, 1, 1, 1]);
}

#[test]
fn the_largest_sizes_and_priorities_are_no_trouble() {
    for scheduler in ALL {
        let (mut group, members) = group(scheduler, &[u32::MAX, u32::MAX, 0], &[u64::MAX, u64::MAX, 0]);
        assert_eq!(order(&mut group, &members).len(), 9, "{scheduler:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// While all have something to send, what two have sent, by their weights, differs by a message each at most.
    #[test]
    fn shares_are_kept_within_a_message(
        members in vec((0_u32..20, vec(1_u64..2000, 60)), 2..6),
        weighted: bool,
    ) {
        let scheduler = if weighted { Scheduler::WeightedFairQueueing } else { Scheduler::FairCapacity };
        let mut group = GroupScheduler::new(scheduler, PACKET);
        let weight = |priority: u32| if weighted { u128::from(priority) + 1 } else { 1 };
        let mut sizes = HashMap::new();
        let mut ids = Vec::new();
        for (priority, messages) in &members {
            let id = group.join(*priority);
            ids.push(id);
            for size in messages {
                sizes.insert(group.push(id, message(100, *size)).unwrap(), *size);
            }
        }
        let mut cost = vec![0_u128; members.len()];
        let mut left = vec![60; members.len()];
        let most: Vec<_> = members
            .iter()
            .map(|(priority, messages)| u128::from(*messages.iter().max().unwrap()) * weight(*priority))
            .collect();
        while left.iter().all(|left| *left > 0) {
            let ticket = group.next(|_| true).unwrap();
            let index = ids.iter().position(|id| *id == ticket.member).unwrap();
            cost[index] += u128::from(sizes[&ticket]) * weight(members[index].0);
            left[index] -= 1;
            for (a, b) in (0..members.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
                prop_assert!(cost[a].abs_diff(cost[b]) <= most[a] + most[b], "{cost:?} {most:?}");
            }
        }
    }

    /// Whatever is done: what leaves is the head of its connection, nothing is lost, and the same is done twice alike.
    #[test]
    fn what_leaves_was_there_and_was_first(
        scheduler in proptest::sample::select(&ALL[..]),
        priorities in vec(0_u32..4, 1..5),
        steps in vec((0_usize..6, 0_usize..5, 0_u32..4, any::<bool>(), 0_u64..300, any::<u8>()), 1..120),
    ) {
        let run = || {
            let mut group = GroupScheduler::new(scheduler, PACKET);
            let members: Vec<_> = priorities.iter().map(|priority| group.join(*priority)).collect();
            let mut waiting: Vec<(bool, u32, usize, Ticket)> = Vec::new();
            let mut left = Vec::new();
            for (count, (step, member, priority, last, size, mask)) in steps.iter().enumerate() {
                let member = members[member % members.len()];
                match step {
                    0..3 => {
                        let entry = Entry { priority: *priority, last: *last, size: *size };
                        waiting.push((*last, *priority, count, group.push(member, entry).unwrap()));
                    }
                    3 if !waiting.is_empty() => {
                        let (.., ticket) = waiting.swap_remove(count % waiting.len());
                        assert!(group.cancel(ticket));
                    }
                    _ => {
                        let ready = |id: MemberId| {
                            mask & (1 << members.iter().position(|member| *member == id).unwrap()) != 0
                        };
                        let Some(ticket) = group.next(ready) else {
                            assert!(!waiting.iter().any(|(.., ticket)| ready(ticket.member)));
                            continue;
                        };
                        let first = waiting.iter().filter(|(.., waits)| waits.member == ticket.member);
                        let first = first.min_by_key(|(last, priority, count, _)| (*last, *priority, *count)).unwrap();
                        assert_eq!(ticket, first.3);
                        waiting.retain(|(.., waits)| *waits != ticket);
                        left.push(ticket);
                    }
                }
            }
            let rest: Vec<_> = std::iter::from_fn(|| group.next(|_| true)).collect();
            assert_eq!(rest.len(), waiting.len());
            left.extend(rest);
            left
        };
        prop_assert_eq!(run(), run());
    }

    /// However much the others send: a message leaves after at most a known number of theirs.
    #[test]
    fn nobody_starves(
        scheduler in proptest::sample::select(&[
            Scheduler::FirstComeFirstServed,
            Scheduler::RoundRobin,
            Scheduler::RoundRobinPerPacket,
            Scheduler::FairCapacity,
            Scheduler::WeightedFairQueueing,
        ][..]),
        priorities in vec(0_u32..50, 2..5),
        sizes in vec(1_u64..500, 1..20),
    ) {
        let mut group = GroupScheduler::new(scheduler, PACKET);
        let members: Vec<_> = priorities.iter().map(|priority| group.join(*priority)).collect();
        let mut sizes = sizes.iter().cycle();
        // The others send all the time: each gets a new message as soon as one of its own has left.
        for member in &members[1..] {
            for _ in 0..3 {
                group.push(*member, message(0, *sizes.next().unwrap())).unwrap();
            }
        }
        for _ in 0..3 {
            let patient = group.push(members[0], message(u32::MAX, 500)).unwrap();
            let mut others = 0;
            loop {
                let ticket = group.next(|_| true).unwrap();
                if ticket == patient {
                    break;
                }
                group.push(ticket.member, message(0, *sizes.next().unwrap())).unwrap();
                others += 1;
                // A message of 500 bytes at the lowest weight is worth this many of a byte at the highest, of each.
                prop_assert!(others <= 50 * 500 * 4 + 12, "{scheduler:?}");
            }
        }
    }
}
