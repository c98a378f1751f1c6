//! Connection groups: connections to one peer that share properties, the order in which their messages leave, and
//! where the protocol has that, a transport (RFC 9622 7.4).

mod queue;
mod rate;
mod scheduler;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};

use crate::connection::Inner;
use crate::properties::{ConnectionProperties, Scheduler};

pub(crate) use queue::Entry;
pub(crate) use rate::RateLimit;
pub(crate) use scheduler::{GroupScheduler, MemberId, Ticket};

/// What a packet carries, for the scheduler that takes turns by it: what is left of an Ethernet frame.
const PACKET: u32 = 1460;

/// A group of connections.
#[derive(Debug)]
pub(crate) struct Group {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    members: BTreeMap<MemberId, Member>,
    scheduler: GroupScheduler,
    /// The message whose turn it is, which its connection has not sent yet.
    turn: Option<Ticket>,
    /// How many hold everything back.
    holds: usize,
}

#[derive(Debug)]
struct Member {
    connection: Weak<Inner>,
    /// Whoever sends on it.
    waker: Option<Waker>,
    /// Whether its transport takes nothing at the moment.
    blocked: bool,
    /// The turns that it got and could not use for that: it takes them without asking.
    owed: usize,
}

impl Default for Group {
    fn default() -> Self {
        let scheduler = GroupScheduler::new(Scheduler::default(), PACKET);
        Self { state: Mutex::new(State { members: BTreeMap::new(), scheduler, turn: None, holds: 0 }) }
    }
}

impl Group {
    /// Takes a connection in.
    pub(crate) fn join(group: &Arc<Self>, connection: &Arc<Inner>, properties: &ConnectionProperties) -> Membership {
        let mut state = group.state();
        let id = state.scheduler.join(properties.conn_priority);
        state.scheduler.set_scheduler(properties.conn_scheduler);
        let connection = Arc::downgrade(connection);
        state.members.insert(id, Member { connection, waker: None, blocked: false, owed: 0 });
        Membership { group: Arc::clone(group), id }
    }

    /// The connections of the group, the oldest first.
    pub(crate) fn connections(&self) -> Vec<Arc<Inner>> {
        self.state().members.values().filter_map(|member| member.connection.upgrade()).collect()
    }

    /// Holds back what the members send.
    pub(crate) fn hold(self: &Arc<Self>) -> GroupHold {
        self.state().holds += 1;
        GroupHold { group: Arc::clone(self) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives the turn to whose it is, and wakes it; true when it is `me`.
    fn next(&mut self, me: Option<MemberId>) -> bool {
        if self.holds > 0 {
            return false;
        }
        let members = &self.members;
        let ready = |id| members.get(&id).is_some_and(|member| !member.blocked);
        if self.turn.is_none() {
            self.turn = self.scheduler.next(ready);
        }
        let Some(turn) = self.turn else { return false };
        if Some(turn.member) == me {
            self.turn = None;
            return true;
        }
        if let Some(waker) = self.members.get_mut(&turn.member).and_then(|member| member.waker.take()) {
            waker.wake();
        }
        false
    }
}

/// A connection's place in its group; it leaves the group when this is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    group: Arc<Group>,
    id: MemberId,
}

impl Membership {
    pub(crate) fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// Whether a message may leave without asking: nobody else is there, or nobody else waits.
    pub(crate) fn is_free(&self) -> bool {
        let state = self.group.state();
        state.holds == 0 && (state.members.len() < 2 || state.scheduler.is_idle())
    }

    /// A message waits to be sent.
    pub(crate) fn push(&self, entry: Entry) -> Option<Ticket> {
        self.group.state().scheduler.push(self.id, entry)
    }

    /// A message waits no more.
    pub(crate) fn cancel(&self, ticket: Ticket) {
        let mut state = self.group.state();
        if !state.scheduler.cancel(ticket)
            && state.turn.take_if(|turn| *turn == ticket).is_none()
            && let Some(member) = state.members.get_mut(&self.id)
        {
            member.owed = member.owed.saturating_sub(1);
        }
        state.next(None);
    }

    /// Whether the next message of this connection may leave now; otherwise whoever asks is woken when it may.
    pub(crate) fn take_turn(&self, cx: &Context<'_>) -> bool {
        let mut state = self.group.state();
        if let Some(member) = state.members.get_mut(&self.id) {
            member.blocked = false;
            member.waker = Some(cx.waker().clone());
            if member.owed > 0 {
                member.owed -= 1;
                return true;
            }
        }
        state.next(Some(self.id))
    }

    /// The transport takes nothing now: others may go on.
    pub(crate) fn set_blocked(&self) {
        let mut state = self.group.state();
        let unused = state.turn.take_if(|turn| turn.member == self.id).is_some();
        if let Some(member) = state.members.get_mut(&self.id) {
            member.blocked = true;
            member.owed += usize::from(unused);
        }
        state.next(None);
    }

    /// Lets others go on.
    pub(crate) fn pass_on(&self) {
        self.group.state().next(None);
    }

    /// The priority or the scheduler has changed.
    pub(crate) fn apply(&self, properties: &ConnectionProperties) {
        let mut state = self.group.state();
        state.scheduler.set_priority(self.id, properties.conn_priority);
        state.scheduler.set_scheduler(properties.conn_scheduler);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut state = self.group.state();
        state.members.remove(&self.id);
        state.scheduler.leave(self.id);
        state.turn.take_if(|turn| turn.member == self.id);
        state.next(None);
    }
}

/// Holds back what the connections of a group send; dropping it lets it leave.
#[derive(Debug)]
#[must_use = "nothing is held back once this is dropped"]
pub struct GroupHold {
    group: Arc<Group>,
}

impl Drop for GroupHold {
    fn drop(&mut self) {
        let mut state = self.group.state();
        state.holds -= 1;
        state.next(None);
    }
}
