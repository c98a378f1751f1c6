//! The race over a tree of candidates, of which addresses may come while it runs (RFC 9623 4.3, RFC 8305 3).

use std::future::Future;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::endpoint::EndpointAddress;
use crate::race::{Attempts, NodeId, Schedule, drive};
use crate::selection::{Candidate, CandidateTree, MAX_CANDIDATES, MAX_CHILDREN, interleave, room};

/// How long a path runs alone: an interface may have to wake up first (RFC 9623 4.3.2).
pub(crate) const PATH_DELAY: Duration = Duration::from_millis(500);

/// How long a protocol stack runs alone.
pub(crate) const PROTOCOL_DELAY: Duration = Duration::from_millis(250);

/// How long addresses of IPv4 wait for those of IPv6 (RFC 8305 3).
pub(crate) const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// Addresses that have come for a target.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// The index of the target in what was gathered.
    pub(crate) target: usize,
    pub(crate) addresses: Vec<EndpointAddress>,
    /// Whether no more will come for it.
    pub(crate) last: bool,
}

/// Races the candidates of a tree, each begun by `start`; returns the first that succeeds, or `None` when all have
/// failed and no addresses are waited for. `failed` hears of each failure as it happens; `arrivals` gives addresses as
/// they come, and `None` when there will be no more.
///
/// Nothing starts after the first success. The others are dropped when this returns, before whatever follows.
///
/// # Cancel safety
/// Dropping the future drops every attempt.
pub(crate) async fn run_tree<F, T, E>(
    tree: CandidateTree,
    arrivals: impl FnMut(&mut Context<'_>) -> Poll<Option<Arrival>>,
    start: impl FnMut(&Candidate) -> F,
    failed: impl FnMut(&Candidate, E),
) -> Option<(Candidate, T)>
where
    F: Future<Output = Result<T, E>>,
{
    let mut schedule = Schedule::new(PATH_DELAY);
    let mut race = TreeRace { tree, branches: Vec::new(), leaves: Vec::new(), arrivals: Some(arrivals), start, failed };
    race.plant(&mut schedule);
    let (leaf, connection) = drive(&mut schedule, &mut race).await?;
    let index = race.index(leaf);
    Some((race.leaves.swap_remove(index).candidate, connection))
}

struct TreeRace<A, S, H> {
    tree: CandidateTree,
    branches: Vec<Branch>,
    /// In the order of their ids.
    leaves: Vec<Leaf>,
    arrivals: Option<A>,
    start: S,
    failed: H,
}

/// One stack over one path in the schedule.
struct Branch {
    node: NodeId,
    /// Its place in the tree.
    path: usize,
    stack: usize,
    leaves: usize,
    /// Whether the address that was tried last is of IPv6.
    last_family: Option<bool>,
    /// Whether addresses of IPv4 have been held back: once is enough.
    held: bool,
}

struct Leaf {
    id: NodeId,
    branch: usize,
    candidate: Candidate,
}

impl<A, S, H> TreeRace<A, S, H> {
    fn plant(&mut self, schedule: &mut Schedule) {
        for path in 0..self.tree.paths.len() {
            let path_node = schedule.add_branch(Schedule::ROOT, PROTOCOL_DELAY);
            for stack in 0..self.tree.paths[path].stacks.len() {
                let branch = &mut self.tree.paths[path].stacks[stack];
                let node = schedule.add_branch(path_node, branch.delay);
                let candidates = std::mem::take(&mut branch.candidates);
                let open = !branch.pending.is_empty();
                let index = self.branches.len();
                self.branches.push(Branch { node, path, stack, leaves: 0, last_family: None, held: false });
                for candidate in candidates {
                    self.add(index, candidate, schedule);
                }
                if open {
                    schedule.open(node);
                    self.hold(index, schedule, Duration::ZERO);
                }
            }
        }
    }

    fn add(&mut self, branch: usize, candidate: Candidate, schedule: &mut Schedule) {
        let id = schedule.add_leaf(self.branches[branch].node);
        self.branches[branch].leaves += 1;
        self.leaves.push(Leaf { id, branch, candidate });
    }

    fn arrived(&mut self, arrival: &Arrival, schedule: &mut Schedule, now: Duration) {
        for index in 0..self.branches.len() {
            let Branch { node, path, stack, .. } = self.branches[index];
            let branch = &self.tree.paths[path].stacks[stack];
            if !branch.pending.contains(&arrival.target) {
                continue;
            }
            let room = room(branch.targets.len());
            let derived = self.tree.derive(branch, arrival.target, &arrival.addresses);
            let here = |leaf: &&Leaf| leaf.branch == index && leaf.candidate.target == arrival.target;
            let known: Vec<_> = self.leaves.iter().filter(here).map(|leaf| leaf.candidate.address.clone()).collect();
            let new = derived.into_iter().filter(|candidate| !known.contains(&candidate.address));
            for candidate in new.take(room.saturating_sub(known.len())).collect::<Vec<_>>() {
                if self.branches[index].leaves < MAX_CHILDREN && self.leaves.len() < MAX_CANDIDATES {
                    self.add(index, candidate, schedule);
                }
            }
            self.order(index, schedule);
            let pending = &mut self.tree.paths[path].stacks[stack].pending;
            if arrival.last {
                pending.retain(|target| *target != arrival.target);
            }
            if pending.is_empty() {
                schedule.close(node);
            } else {
                self.hold(index, schedule, now);
            }
        }
    }

    /// Nothing more will come for any target.
    fn close(&mut self, schedule: &mut Schedule) {
        for branch in &self.branches {
            let pending = &mut self.tree.paths[branch.path].stacks[branch.stack].pending;
            if !std::mem::take(pending).is_empty() {
                schedule.close(branch.node);
            }
        }
    }

    /// Brings what has not started into order: target after target, the families alternating within each.
    fn order(&self, branch: usize, schedule: &mut Schedule) {
        let Branch { node, path, stack, last_family, held, .. } = self.branches[branch];
        let pending: Vec<_> = schedule.pending(node).iter().map(|id| &self.leaves[self.index(*id)]).collect();
        let mut order = Vec::with_capacity(pending.len());
        // Where IPv4 has waited for IPv6, that goes first (RFC 8305 3); otherwise the resolver has chosen.
        let mut after = last_family.or_else(|| held.then_some(false));
        for target in &self.tree.paths[path].stacks[stack].targets {
            let own = pending.iter().copied().filter(|leaf| leaf.candidate.target == *target).collect();
            let mixed = interleave(own, after.take(), |leaf: &&Leaf| leaf.candidate.is_ipv6());
            order.extend(mixed.into_iter().map(|leaf| leaf.id));
        }
        schedule.reorder(node, &order);
    }

    /// Lets addresses of IPv4 wait for a moment where those of IPv6 may still come (RFC 8305 3).
    fn hold(&mut self, branch: usize, schedule: &mut Schedule, now: Duration) {
        let Branch { node, last_family, held, .. } = self.branches[branch];
        let pending = schedule.pending(node);
        let ipv6 = pending.iter().any(|id| self.leaves[self.index(*id)].candidate.is_ipv6());
        if ipv6 || last_family.is_some() {
            schedule.hold(node, Duration::ZERO);
        } else if !pending.is_empty() && !held {
            schedule.hold(node, now + RESOLUTION_DELAY);
            self.branches[branch].held = true;
        }
    }

    fn index(&self, leaf: NodeId) -> usize {
        self.leaves.binary_search_by_key(&leaf, |leaf| leaf.id).expect("the schedule starts what was added to it")
    }
}

impl<A, F, T, E, S, H> Attempts for TreeRace<A, S, H>
where
    A: FnMut(&mut Context<'_>) -> Poll<Option<Arrival>>,
    F: Future<Output = Result<T, E>>,
    S: FnMut(&Candidate) -> F,
    H: FnMut(&Candidate, E),
{
    type Connection = T;
    type Error = E;
    type Attempt = F;

    fn start(&mut self, leaf: NodeId) -> F {
        let leaf = &self.leaves[self.index(leaf)];
        self.branches[leaf.branch].last_family = Some(leaf.candidate.is_ipv6());
        (self.start)(&leaf.candidate)
    }

    fn failed(&mut self, leaf: NodeId, error: E) {
        let index = self.index(leaf);
        (self.failed)(&self.leaves[index].candidate, error);
    }

    fn poll_arrivals(&mut self, cx: &mut Context<'_>, schedule: &mut Schedule, now: Duration) -> Poll<()> {
        let Some(arrivals) = &mut self.arrivals else { return Poll::Pending };
        match arrivals(cx) {
            Poll::Ready(Some(arrival)) => self.arrived(&arrival, schedule, now),
            Poll::Ready(None) => {
                self.arrivals = None;
                self.close(schedule);
            }
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::net::SocketAddr;
    use std::pin::pin;
    use std::rc::Rc;
    use std::time::Instant as Now;

    use tokio::time::{Instant, sleep, sleep_until};

    use super::*;
    use crate::endpoint::RemoteEndpoint;
    use crate::properties::{InterfaceType, Multipath, Preference, Role, TransportProperties};
    use crate::protocol::{Protocol, ProtocolStack};
    use crate::selection::{Context as Memory, GatherInput, PathAddress, PathInfo, Place, StackSet, Target, select};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// A race in virtual time.
    struct Course {
        properties: TransportProperties,
        secure: bool,
        targets: Vec<Target>,
        paths: Vec<std::sync::Arc<PathInfo>>,
        memory: Memory,
        /// Addresses that come later: when, and which.
        later: Vec<(u64, Arrival)>,
        /// What a part of a candidate's text means: how long it takes, and whether it succeeds.
        outcomes: Vec<(&'static str, u64, bool)>,
    }

    /// What was seen: each start with its time, each failure, and the end.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Seen {
        starts: Vec<(u64, String)>,
        failures: usize,
        winner: Option<String>,
        end: u64,
        /// Attempts that were dropped before they ended.
        dropped: usize,
        /// What the cache knows those by that were started.
        places: Vec<Place>,
    }

    struct Running(Rc<RefCell<Seen>>, bool);

    impl Running {
        fn end(&mut self) {
            self.1 = true;
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            self.0.borrow_mut().dropped += usize::from(!self.1);
        }
    }

    impl Course {
        fn new(addresses: &[&str]) -> Self {
            Self {
                properties: TransportProperties::new(),
                secure: false,
                targets: vec![target(&RemoteEndpoint::host("a").port(1), addresses, true)],
                paths: Vec::new(),
                memory: Memory::new(),
                later: Vec::new(),
                outcomes: Vec::new(),
            }
        }

        fn outcome(mut self, of: &'static str, after: u64, success: bool) -> Self {
            self.outcomes.push((of, after, success));
            self
        }

        /// More addresses at a time; the last for this target or not.
        fn later(mut self, at: u64, addresses: &[&str], last: bool) -> Self {
            self.later.push((at, Arrival { target: 0, addresses: parse(addresses), last }));
            self
        }

        fn unresolved(mut self) -> Self {
            self.targets[0].complete = false;
            self
        }

        async fn run(&self) -> Seen {
            let input = GatherInput {
                properties: &self.properties,
                role: Role::Initiate,
                secure: self.secure,
                application_protocol: true,
                framed: false,
                built: StackSet::ALL,
                paths: &self.paths,
                sources: &[],
                targets: &self.targets,
            };
            let tree = select(&input, &self.memory, Now::now()).unwrap();
            let begin = Instant::now();
            let ms = || u64::try_from(begin.elapsed().as_millis()).unwrap();
            let seen = Rc::new(RefCell::new(Seen::default()));
            let mut later: VecDeque<_> = self.later.iter().cloned().collect();
            let mut timer = pin!(sleep_until(begin));
            let arrivals = |cx: &mut Context<'_>| {
                let Some((at, _)) = later.front() else { return Poll::Ready(None) };
                timer.as_mut().reset(begin + MS(*at));
                timer.as_mut().poll(cx).map(|()| later.pop_front().map(|(_, arrival)| arrival))
            };
            let start = |candidate: &Candidate| {
                let text = candidate.to_string();
                let matches = |(of, ..): &&(&str, u64, bool)| text.contains(of);
                let (_, after, success) = *self.outcomes.iter().find(matches).expect("every candidate has an outcome");
                seen.borrow_mut().starts.push((ms(), text));
                seen.borrow_mut().places.push(candidate.place());
                let mut running = Running(seen.clone(), false);
                async move {
                    sleep(MS(after)).await;
                    running.end();
                    if success { Ok(()) } else { Err(()) }
                }
            };
            let failed = |_: &Candidate, ()| seen.borrow_mut().failures += 1;
            let winner = run_tree(tree, arrivals, start, failed).await;
            let mut seen = seen.take();
            seen.winner = winner.map(|(candidate, ())| candidate.to_string());
            seen.end = ms();
            seen
        }
    }

    fn parse(addresses: &[&str]) -> Vec<EndpointAddress> {
        addresses.iter().map(|text| text.parse::<SocketAddr>().unwrap().into()).collect()
    }

    fn target(endpoint: &RemoteEndpoint, addresses: &[&str], complete: bool) -> Target {
        Target::remote(endpoint, parse(addresses), complete)
    }

    /// Times and the part of each text that says which address, path or stack.
    #[track_caller]
    fn assert_starts(seen: &Seen, expected: &[(u64, &str)]) {
        let fits = seen.starts.len() == expected.len()
            && seen.starts.iter().zip(expected).all(|(start, (time, part))| start.0 == *time && start.1.contains(part));
        assert!(fits, "{:#?}\nare not {expected:?}", seen.starts);
    }

    const GOOD: &str = "192.0.2.2:1";
    const BAD: &str = "192.0.2.1:1";

    #[tokio::test(start_paused = true)]
    async fn behind_a_black_hole_the_next_starts_after_one_delay() {
        // RFC 8305 5, RFC 9623 4.3.2.
        let seen = Course::new(&[BAD, GOOD]).outcome(BAD, 600_000, false).outcome(GOOD, 5, true).run().await;
        assert_starts(&seen, &[(0, BAD), (250, GOOD)]);
        assert_eq!((seen.end, seen.failures, seen.dropped), (255, 0, 1));
        assert!(seen.winner.unwrap().contains(GOOD));
    }

    #[tokio::test(start_paused = true)]
    async fn behind_a_refusal_the_next_starts_at_once() {
        let seen = Course::new(&[BAD, GOOD]).outcome(BAD, 1, false).outcome(GOOD, 5, true).run().await;
        assert_starts(&seen, &[(0, BAD), (1, GOOD)]);
        assert_eq!((seen.end, seen.failures, seen.dropped), (6, 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_attempt_keeps_running_and_may_win() {
        // RFC 9623 4.3.2: it is not terminated when the next one starts.
        let seen = Course::new(&[GOOD, BAD]).outcome(GOOD, 300, true).outcome(BAD, 350, true).run().await;
        assert_starts(&seen, &[(0, GOOD), (250, BAD)]);
        assert!(seen.winner.unwrap().contains(GOOD));
        assert_eq!((seen.end, seen.dropped), (300, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_starts_after_success_and_the_losers_are_gone() {
        // RFC 9623 4.4: the timer of the second and the success of the first fall together.
        let third = "192.0.2.3:1";
        let course = Course::new(&[BAD, GOOD, third]).outcome(BAD, 600_000, true).outcome(GOOD, 250, true);
        let seen = course.outcome(third, 1, true).run().await;
        assert_starts(&seen, &[(0, BAD), (250, GOOD)]);
        assert_eq!((seen.end, seen.dropped), (500, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_have_failed_there_is_no_winner() {
        let seen = Course::new(&[BAD, GOOD]).outcome("tcp", 3, false).run().await;
        assert_eq!((seen.winner, seen.failures, seen.end), (None, 2, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn protocols_and_addresses_have_timers_of_their_own() {
        // RFC 9623 4.3: the second protocol and the second address of the first start side by side.
        let mut course = Course::new(&[BAD, GOOD]).outcome("", 600_000, false);
        course.properties = TransportProperties::new().with_multipath(Multipath::Active);
        course.outcomes.insert(0, ("192.0.2.2:1, any path, tcp", 10, true));
        let seen = course.run().await;
        let expected = [
            (0, "192.0.2.1:1, any path, mptcp"),
            (250, "192.0.2.2:1, any path, mptcp"),
            (250, "192.0.2.1:1, any path, tcp"),
            (500, "192.0.2.2:1, any path, tcp"),
        ];
        assert_starts(&seen, &expected);
        assert_eq!((seen.end, seen.dropped), (510, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_path_runs_alone_for_longer_and_no_longer_than_it_lives() {
        let path = |name: &str, index| {
            let addresses = vec![PathAddress { ip: [198, 51, 100, 7].into(), temporary: false }];
            let kind = Some(InterfaceType::Wired);
            let info = PathInfo { name: name.into(), index, kind, addresses, pvd: None };
            std::sync::Arc::new(info)
        };
        let course = |of, after| {
            let mut course = Course::new(&[BAD]).outcome(of, after, false).outcome("eth1", 10, true);
            course.paths = vec![path("eth0", 1), path("eth1", 2)];
            course.properties = TransportProperties::new().interface("eth0", Preference::Prefer);
            course
        };
        let hole = course("eth0", 600_000).run().await;
        assert_starts(&hole, &[(0, "eth0"), (500, "eth1")]);
        let refused = course("eth0", 20).run().await;
        assert_starts(&refused, &[(0, "eth0"), (20, "eth1")]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_protocol_goes_to_the_endpoint_that_is_its_own() {
        // RFC 9622 6.1.3: QUIC on one port, TCP on another, and either may be down.
        let run = async |down: &'static str| {
            let mut course = Course::new(&["192.0.2.1:1"]).outcome(down, 2, false).outcome("", 10, true);
            let quic = RemoteEndpoint::host("a").port(2).protocol(Protocol::Quic);
            course.targets.push(target(&quic, &["192.0.2.1:2"], true));
            course.secure = true;
            course.run().await.winner.unwrap()
        };
        assert_eq!(run("quic").await, "[192.0.2.1:1, any path, tls/tcp]");
        assert_eq!(run("tls/tcp").await, "[192.0.2.1:2, any path, quic-stream]");
        let both_up = run("nothing").await;
        assert_eq!(both_up, "[192.0.2.1:2, any path, quic-stream]");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_the_next_race_starts_with_the_other_protocol() {
        // RFC 9623 9.2.
        let mut course = Course::new(&[GOOD]).outcome("quic", 2, false).outcome("tls", 10, true);
        course.secure = true;
        let first = course.run().await;
        assert_starts(&first, &[(0, "quic-stream"), (2, "tls/tcp")]);
        for place in first.places {
            match place.stack {
                ProtocolStack::QuicStream => course.memory.failed(&place, Now::now()),
                _ => course.memory.succeeded(&place, MS(10), Now::now()),
            }
        }
        assert_starts(&course.run().await, &[(0, "tls/tcp")]);
        course.memory = course.memory.for_group(true);
        assert_starts(&course.run().await, &[(0, "quic-stream"), (2, "tls/tcp")]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_starts_after_two_round_trips_of_earlier_connections() {
        // RFC 8305 5, RFC 9623 4.3.2.
        let mut course = Course::new(&[BAD, GOOD]).outcome(BAD, 600_000, true).outcome(GOOD, 10, true);
        let first = course.run().await;
        assert_starts(&first, &[(0, BAD), (250, GOOD)]);
        course.memory.measured(&first.places[0].way, MS(60), Now::now());
        assert_starts(&course.run().await, &[(0, BAD), (120, GOOD)]);
        course.memory.measured(&first.places[0].way, MS(8000), Now::now());
        assert_starts(&course.run().await, &[(0, BAD), (2000, GOOD)]);
        course.memory = course.memory.for_group(true);
        assert_starts(&course.run().await, &[(0, BAD), (250, GOOD)]);
    }

    const V6: &str = "[2001:db8::1]:1";

    #[tokio::test(start_paused = true)]
    async fn the_race_begins_with_the_first_addresses_that_come() {
        let course = Course::new(&[]).unresolved().outcome("", 20, true);
        let seen = course.later(30, &[V6], false).run().await;
        assert_starts(&seen, &[(30, V6)]);
    }

    #[tokio::test(start_paused = true)]
    async fn ipv4_waits_a_moment_for_ipv6() {
        // RFC 8305 3.
        let course = || Course::new(&[]).unresolved().outcome("", 600_000, true);
        let in_time = course().later(10, &[BAD], false).later(40, &[V6], true).run().await;
        assert_starts(&in_time, &[(40, V6), (290, BAD)]);
        let too_late = course().later(10, &[BAD], false).later(90, &[V6], true).run().await;
        assert_starts(&too_late, &[(60, BAD), (310, V6)]);
        let there_is_none = course().later(10, &[BAD], false).later(20, &[], true).run().await;
        assert_starts(&there_is_none, &[(20, BAD)]);
        let at_once = course().later(10, &[BAD], true).run().await;
        assert_starts(&at_once, &[(10, BAD)]);
        let known_before = Course::new(&[BAD]).unresolved().outcome("", 600_000, true);
        assert_starts(&known_before.later(90, &[V6], true).run().await, &[(50, BAD), (300, V6)]);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_that_come_later_take_their_turn() {
        // RFC 8305 4: the families alternate from what has been tried last.
        let (second, third) = ("192.0.2.2:1", "192.0.2.3:1");
        let course = Course::new(&[BAD, second, third]).unresolved().outcome("", 600_000, false);
        let seen = course.later(60, &[V6, "[2001:db8::2]:1"], true).run().await;
        let expected = [(50, BAD), (300, V6), (550, second), (800, "[2001:db8::2]:1"), (1050, third)];
        assert_starts(&seen, &expected);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_failed_so_far_waits_for_what_may_come() {
        let course = Course::new(&[BAD]).unresolved().outcome(BAD, 1, false).outcome(GOOD, 1, true);
        let seen = course.later(500, &[BAD, GOOD], true).run().await;
        assert_starts(&seen, &[(50, BAD), (500, GOOD)]);
        let nothing = Course::new(&[]).unresolved().later(30, &[], true).run().await;
        assert_eq!((nothing.winner, nothing.end), (None, 30));
        let silent = Course::new(&[]).unresolved().run().await;
        assert_eq!((silent.winner, silent.end), (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_is_bounded() {
        // RFC 9623 12.2.
        let many: Vec<String> = (0..1000u16).map(|n| format!("10.0.{}.{}:1", n >> 8, n & 255)).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let mut course = Course::new(&[]).unresolved().outcome("", 1, false);
        for chunk in many.chunks(100) {
            course = course.later(1, chunk, false);
        }
        assert_eq!(course.run().await.starts.len(), 16);
    }
}
