//! When the next attempt of a tree starts: a racer for each parent, told the time and the failures (RFC 9623 4.3).

use std::time::Duration;

/// A place in the tree; [`Schedule::ROOT`] is its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(usize);

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Start this leaf, then ask again.
    Start(NodeId),
    /// Ask again at this time since the start of the race, or after a failure or an arrival.
    WaitUntil(Duration),
    /// Everything that there is has started; wait for an attempt to end, or for an arrival.
    Wait,
    /// Every leaf has failed and no more will come.
    Exhausted,
}

/// A tree of racers. Each parent starts its children in their order, one every `delay`, or at once when one of them
/// has failed; the timers of two parents know nothing of each other (RFC 9623 4.3).
///
/// ```text
/// root (paths, 500 ms)
/// |- eth0 (protocols, 250 ms)
/// |  |- tls/tcp (addresses, 250 ms)
/// |  |  |- [2001:db8::1]:443      starts at 0
/// |  |  `- 192.0.2.1:443          starts at 250
/// |  `- tls/mptcp                 its first address starts at 250
/// `- wlan0                        the first address of its first protocol starts at 500
/// ```
#[derive(Debug)]
pub(crate) struct Schedule {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    parent: Option<NodeId>,
    state: State,
    racer: Option<Racer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Failed,
}

/// What a parent knows of its children.
#[derive(Debug)]
struct Racer {
    delay: Duration,
    children: Vec<NodeId>,
    started: usize,
    failed: usize,
    next_start: Duration,
    /// Nothing starts before; for answers of a resolver that are worth waiting for (RFC 8305 3).
    hold_until: Duration,
    /// More children may come.
    open: bool,
}

impl Racer {
    /// When the next child starts, if there is one.
    fn due(&self) -> Option<Duration> {
        (self.started < self.children.len()).then(|| self.next_start.max(self.hold_until))
    }

    fn exhausted(&self) -> bool {
        !self.open && self.failed == self.children.len()
    }
}

impl Schedule {
    /// The root of every schedule.
    pub(crate) const ROOT: NodeId = NodeId(0);

    /// A schedule whose root starts a child every `delay`.
    pub(crate) fn new(delay: Duration) -> Self {
        let mut root = Node::branch(None, delay);
        root.state = State::Running;
        Self { nodes: vec![root] }
    }

    /// Adds a parent under `parent`.
    pub(crate) fn add_branch(&mut self, parent: NodeId, delay: Duration) -> NodeId {
        self.add(parent, Node::branch(Some(parent), delay))
    }

    /// Adds an attempt under `parent`, behind its other children.
    pub(crate) fn add_leaf(&mut self, parent: NodeId) -> NodeId {
        self.add(parent, Node { parent: Some(parent), state: State::Waiting, racer: None })
    }

    /// Says that more children of `branch` may come: it does not fail for want of them.
    pub(crate) fn open(&mut self, branch: NodeId) {
        self.racer(branch).open = true;
    }

    /// Says that no more children of `branch` will come; what was held is held no longer.
    pub(crate) fn close(&mut self, branch: NodeId) {
        let racer = self.racer(branch);
        racer.open = false;
        racer.hold_until = Duration::ZERO;
        if racer.exhausted() && self.nodes[branch.0].state == State::Running {
            self.fail(branch);
        }
    }

    /// Starts no child of `branch` before this time.
    pub(crate) fn hold(&mut self, branch: NodeId, until: Duration) {
        self.racer(branch).hold_until = until;
    }

    /// The children of `branch` that have not started, in the order in which they will.
    pub(crate) fn pending(&self, branch: NodeId) -> &[NodeId] {
        let racer = self.nodes[branch.0].racer.as_ref();
        racer.map_or(&[], |racer| &racer.children[racer.started..])
    }

    /// Changes the order of the children of `branch` that have not started; `order` holds each of them once.
    pub(crate) fn reorder(&mut self, branch: NodeId, order: &[NodeId]) {
        let racer = self.racer(branch);
        let pending = &mut racer.children[racer.started..];
        debug_assert!(pending.len() == order.len() && order.iter().all(|id| pending.contains(id)));
        pending.copy_from_slice(order);
    }

    /// Returns what to do at `now`, the time since the start of the race.
    pub(crate) fn poll(&mut self, now: Duration) -> Step {
        if let Some(leaf) = self.start_next(Self::ROOT, now) {
            return Step::Start(leaf);
        }
        if self.racer(Self::ROOT).exhausted() {
            return Step::Exhausted;
        }
        let running = self.nodes.iter().filter(|node| node.state == State::Running);
        match running.filter_map(|node| node.racer.as_ref()?.due()).min() {
            Some(due) => Step::WaitUntil(due),
            None => Step::Wait,
        }
    }

    /// Notes that a started attempt has failed: its parent's next child starts at once, earlier ones keep running.
    /// A parent whose children have all failed has failed itself.
    pub(crate) fn handle_failure(&mut self, leaf: NodeId) {
        self.fail(leaf);
    }

    /// Starts what is due in the part of the tree below `branch`, up to the first leaf.
    fn start_next(&mut self, branch: NodeId, now: Duration) -> Option<NodeId> {
        if self.nodes[branch.0].state != State::Running {
            return None;
        }
        let mut index = 0;
        loop {
            let racer = self.racer(branch);
            let child = *racer.children.get(index)?;
            if index == racer.started {
                if racer.due().is_none_or(|due| now < due) {
                    return None;
                }
                racer.started += 1;
                racer.next_start = now + racer.delay;
                let node = &mut self.nodes[child.0];
                node.state = State::Running;
                match &node.racer {
                    None => return Some(child),
                    Some(racer) if racer.exhausted() => self.fail(child),
                    Some(_) => {}
                }
            }
            if self.nodes[child.0].racer.is_some()
                && let Some(leaf) = self.start_next(child, now)
            {
                return Some(leaf);
            }
            index += 1;
        }
    }

    fn fail(&mut self, node: NodeId) {
        let mut next = Some(node);
        while let Some(failed) = next.take() {
            let node = &mut self.nodes[failed.0];
            node.state = State::Failed;
            if let Some(parent) = node.parent {
                let racer = self.racer(parent);
                racer.failed += 1;
                racer.next_start = Duration::ZERO;
                next = racer.exhausted().then_some(parent);
            }
        }
    }

    fn add(&mut self, parent: NodeId, node: Node) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.nodes.push(node);
        self.racer(parent).children.push(id);
        id
    }

    fn racer(&mut self, branch: NodeId) -> &mut Racer {
        self.nodes[branch.0].racer.as_mut().expect("only branches have children, and the caller knows which is which")
    }
}

impl Node {
    fn branch(parent: Option<NodeId>, delay: Duration) -> Self {
        let racer = Racer {
            delay,
            children: Vec::new(),
            started: 0,
            failed: 0,
            next_start: Duration::ZERO,
            hold_until: Duration::ZERO,
            open: false,
        };
        Self { parent, state: State::Waiting, racer: Some(racer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const ROOT: NodeId = Schedule::ROOT;

    /// A root of two branches with two leaves each.
    fn two_by_two() -> (Schedule, [NodeId; 2], [NodeId; 4]) {
        let mut schedule = Schedule::new(MS(500));
        let branches = [0, 1].map(|_| schedule.add_branch(ROOT, MS(250)));
        let leaves = [0, 0, 1, 1].map(|index| schedule.add_leaf(branches[index]));
        (schedule, branches, leaves)
    }

    #[test]
    fn the_schedule_needs_no_clock() {
        let mut schedule = Schedule::new(MS(250));
        let (first, second) = (schedule.add_leaf(ROOT), schedule.add_leaf(ROOT));
        assert_eq!(schedule.poll(MS(0)), Step::Start(first));
        assert_eq!(schedule.poll(MS(0)), Step::WaitUntil(MS(250)));
        assert_eq!(schedule.poll(MS(249)), Step::WaitUntil(MS(250)));
        assert_eq!(schedule.poll(MS(250)), Step::Start(second));
        assert_eq!(schedule.poll(MS(250)), Step::Wait);
        schedule.handle_failure(first);
        assert_eq!(schedule.poll(MS(251)), Step::Wait);
        schedule.handle_failure(second);
        assert_eq!(schedule.poll(MS(252)), Step::Exhausted);
    }

    #[test]
    fn each_parent_has_a_timer_of_its_own() {
        let (mut schedule, _, [a1, a2, b1, b2]) = two_by_two();
        assert_eq!(schedule.poll(MS(0)), Step::Start(a1));
        assert_eq!(schedule.poll(MS(0)), Step::WaitUntil(MS(250)));
        assert_eq!(schedule.poll(MS(250)), Step::Start(a2));
        assert_eq!(schedule.poll(MS(250)), Step::WaitUntil(MS(500)));
        assert_eq!(schedule.poll(MS(500)), Step::Start(b1));
        assert_eq!(schedule.poll(MS(500)), Step::WaitUntil(MS(750)));
        assert_eq!(schedule.poll(MS(750)), Step::Start(b2));
        assert_eq!(schedule.poll(MS(750)), Step::Wait);
    }

    #[test]
    fn a_failure_hurries_its_own_parent_only() {
        let (mut schedule, _, [a1, a2, b1, _]) = two_by_two();
        assert_eq!(schedule.poll(MS(0)), Step::Start(a1));
        schedule.handle_failure(a1);
        assert_eq!(schedule.poll(MS(10)), Step::Start(a2));
        assert_eq!(schedule.poll(MS(10)), Step::WaitUntil(MS(500)));
        // The first branch has nothing left: the second need not wait (RFC 9623 4.4).
        schedule.handle_failure(a2);
        assert_eq!(schedule.poll(MS(20)), Step::Start(b1));
        assert_eq!(schedule.poll(MS(20)), Step::WaitUntil(MS(270)));
    }

    #[test]
    fn a_tree_is_exhausted_when_its_last_leaf_has_failed() {
        let (mut schedule, _, leaves) = two_by_two();
        for leaf in leaves {
            assert_eq!(schedule.poll(MS(1)), Step::Start(leaf));
            schedule.handle_failure(leaf);
        }
        assert_eq!(schedule.poll(MS(1)), Step::Exhausted);
        assert_eq!(Schedule::new(MS(250)).poll(MS(0)), Step::Exhausted);
    }

    #[test]
    fn an_empty_branch_fails_at_once() {
        let mut schedule = Schedule::new(MS(500));
        schedule.add_branch(ROOT, MS(250));
        let branch = schedule.add_branch(ROOT, MS(250));
        let leaf = schedule.add_leaf(branch);
        assert_eq!(schedule.poll(MS(0)), Step::Start(leaf));
        schedule.handle_failure(leaf);
        assert_eq!(schedule.poll(MS(0)), Step::Exhausted);
    }

    #[test]
    fn an_open_branch_waits_for_what_comes() {
        let mut schedule = Schedule::new(MS(500));
        let branch = schedule.add_branch(ROOT, MS(250));
        schedule.open(branch);
        assert_eq!(schedule.poll(MS(0)), Step::Wait);
        let first = schedule.add_leaf(branch);
        assert_eq!(schedule.poll(MS(40)), Step::Start(first));
        schedule.handle_failure(first);
        assert_eq!(schedule.poll(MS(50)), Step::Wait);
        let second = schedule.add_leaf(branch);
        assert_eq!(schedule.poll(MS(60)), Step::Start(second), "nothing runs that it could wait for");
        schedule.handle_failure(second);
        schedule.close(branch);
        assert_eq!(schedule.poll(MS(70)), Step::Exhausted);
    }

    #[test]
    fn what_is_held_starts_later_or_when_nothing_more_comes() {
        let mut schedule = Schedule::new(MS(500));
        let branches = [0, 1].map(|_| schedule.add_branch(ROOT, MS(250)));
        let [held, released] = branches.map(|branch| {
            schedule.open(branch);
            schedule.hold(branch, MS(50));
            schedule.add_leaf(branch)
        });
        assert_eq!(schedule.poll(MS(0)), Step::WaitUntil(MS(50)));
        assert_eq!(schedule.poll(MS(50)), Step::Start(held));
        schedule.hold(branches[1], MS(550));
        assert_eq!(schedule.poll(MS(500)), Step::WaitUntil(MS(550)));
        schedule.close(branches[1]);
        assert_eq!(schedule.poll(MS(510)), Step::Start(released));
    }

    #[test]
    fn what_has_not_started_may_change_its_order() {
        let mut schedule = Schedule::new(MS(250));
        let [a, b, c] = [0, 1, 2].map(|_| schedule.add_leaf(ROOT));
        assert_eq!(schedule.poll(MS(0)), Step::Start(a));
        assert_eq!(schedule.pending(ROOT), [b, c]);
        schedule.reorder(ROOT, &[c, b]);
        assert_eq!(schedule.poll(MS(250)), Step::Start(c));
        assert_eq!(schedule.poll(MS(500)), Step::Start(b));
    }
}
