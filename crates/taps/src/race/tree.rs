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

/// No addresses come: all were there before the race, or no more will be.
pub(crate) fn no_arrivals(_: &mut Context<'_>) -> Poll<Option<Arrival>> {
    Poll::Ready(None)
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
        let Branch { node, path, stack, last_family, .. } = self.branches[branch];
        let pending: Vec<_> = schedule.pending(node).iter().map(|id| &self.leaves[self.index(*id)]).collect();
        let mut order = Vec::with_capacity(pending.len());
        let mut after = last_family;
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
