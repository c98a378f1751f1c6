//! The transmission scheduler of a connection group: whose message is next (RFC 9622 8.1.5, RFC 8260 3).

use std::collections::BTreeMap;

use crate::Scheduler;
use crate::group::Entry;
use crate::group::queue::{Place, SendQueue};

/// The messages that the connections of a group wait to send, and the order in which they leave.
///
/// Within a connection they leave by their priorities, then as they came. Among connections the scheduler decides;
/// what it decides depends on nothing but the calls before. A connection that cannot take a message at the moment is
/// passed over and holds up nobody.
///
/// The two schedulers of fair shares are start-time fair queueing: a message has the time of a virtual clock at which
/// it could begin, the earliest leaves first, and each one puts off the next of its connection by its size, times
/// `connPriority + 1` where shares are weighted. So the shares of two connections that always have something to send
/// differ from what they are entitled to by a message each at most, nobody starves, and who was silent has saved up
/// nothing. That the time of the beginning counts, and not that of the end, is what RFC 9622 9.2.6 asks for: of two
/// connections that begin together, the message on the one of higher priority leaves first, however long it is.
#[derive(Debug)]
pub(crate) struct GroupScheduler {
    scheduler: Scheduler,
    /// The bytes after which a turn is over where connections take turns by the packet.
    packet: u64,
    members: BTreeMap<MemberId, Member>,
    next_member: u32,
    next_sequence: u64,
    /// The virtual time: when the message that left last could begin.
    clock: u128,
    /// How many messages wait.
    waiting: usize,
    /// Who sent last, and how many bytes are left of that turn.
    turn: Option<(MemberId, u64)>,
}

/// A connection of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MemberId(u32);

/// A message that waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket {
    pub(crate) member: MemberId,
    place: Place,
}

#[derive(Debug)]
struct Member {
    /// `connPriority`: a lower number is a higher priority (RFC 9622 8.1.2).
    priority: u32,
    /// The virtual time at which its next message can begin at the earliest.
    begin: u128,
    queue: SendQueue,
}

/// A member that could send, as the schedulers see it.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: MemberId,
    priority: u32,
    begin: u128,
    place: Place,
    size: u64,
}

impl GroupScheduler {
    /// A group without members. `packet` is how many bytes a packet carries, which only the scheduler of that name
    /// needs to know.
    pub(crate) fn new(scheduler: Scheduler, packet: u32) -> Self {
        Self {
            scheduler,
            packet: packet.max(1).into(),
            members: BTreeMap::new(),
            next_member: 0,
            next_sequence: 0,
            clock: 0,
            waiting: 0,
            turn: None,
        }
    }

    /// Takes in a connection of this `connPriority`.
    pub(crate) fn join(&mut self, priority: u32) -> MemberId {
        let id = MemberId(self.next_member);
        self.next_member += 1;
        self.members.insert(id, Member { priority, begin: self.clock, queue: SendQueue::default() });
        id
    }

    /// Forgets a connection and what it had to send.
    pub(crate) fn leave(&mut self, id: MemberId) {
        if let Some(member) = self.members.remove(&id) {
            self.took(member.queue.len());
        }
    }

    /// Changes the `connPriority` of a connection; what it has sent is not reckoned anew.
    pub(crate) fn set_priority(&mut self, id: MemberId, priority: u32) {
        if let Some(member) = self.members.get_mut(&id) {
            member.priority = priority;
        }
    }

    /// Changes the scheduler; it begins with what waits now, and nobody is owed anything.
    pub(crate) fn set_scheduler(&mut self, scheduler: Scheduler) {
        if scheduler != self.scheduler {
            self.scheduler = scheduler;
            self.turn = None;
            self.members.values_mut().for_each(|member| member.begin = self.clock);
        }
    }

    /// How many connections the group has.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting == 0
    }

    /// Queues a message; `None` when the connection is no member.
    pub(crate) fn push(&mut self, id: MemberId, entry: Entry) -> Option<Ticket> {
        let member = self.members.get_mut(&id)?;
        let place = member.queue.push(entry, self.next_sequence);
        self.next_sequence += 1;
        self.waiting += 1;
        Some(Ticket { member: id, place })
    }

    /// Takes back a message that waits; `false` when it has left already. It costs its connection nothing.
    pub(crate) fn cancel(&mut self, ticket: Ticket) -> bool {
        let member = self.members.get_mut(&ticket.member);
        let waited = member.is_some_and(|member| member.queue.remove(ticket.place));
        if waited {
            self.took(1);
        }
        waited
    }

    /// Takes out the message that leaves next, of the connections that are ready; `None` when none of those has one.
    pub(crate) fn next(&mut self, ready: impl Fn(MemberId) -> bool) -> Option<Ticket> {
        let chosen = self.choose(&ready)?;
        self.charge(chosen);
        let member = self.members.get_mut(&chosen.id)?;
        member.queue.remove(chosen.place);
        self.took(1);
        Some(Ticket { member: chosen.id, place: chosen.place })
    }

    /// Counts messages that wait no more. When none does, whatever was sent has had its share: all begin together.
    fn took(&mut self, messages: usize) {
        self.waiting -= messages;
        if self.waiting == 0 {
            self.clock = self.members.values().map(|member| member.begin).fold(self.clock, u128::max);
        }
    }

    fn choose(&self, ready: &impl Fn(MemberId) -> bool) -> Option<Candidate> {
        let candidates = || {
            self.members.iter().filter_map(|(id, member)| {
                let (place, size) = member.queue.head()?;
                let begin = member.begin.max(self.clock);
                let candidate = Candidate { id: *id, priority: member.priority, begin, place, size };
                ready(*id).then_some(candidate)
            })
        };
        match self.scheduler {
            Scheduler::FirstComeFirstServed => candidates().min_by_key(|candidate| candidate.place.sequence),
            Scheduler::RoundRobin => candidates().min_by_key(|candidate| self.distance(candidate.id)),
            Scheduler::RoundRobinPerPacket => {
                let on_turn =
                    candidates().find(|candidate| self.turn.is_some_and(|(id, left)| id == candidate.id && left > 0));
                on_turn.or_else(|| candidates().min_by_key(|candidate| self.distance(candidate.id)))
            }
            Scheduler::Priority => {
                candidates().min_by_key(|candidate| (candidate.priority, self.distance(candidate.id)))
            }
            Scheduler::FairCapacity | Scheduler::WeightedFairQueueing => candidates().min_by_key(|candidate| {
                let Place { priority, sequence, .. } = candidate.place;
                (candidate.begin, candidate.priority, priority, sequence)
            }),
        }
    }

    /// How far off a member's turn is: those behind the one that sent last come first, then those before it, and that
    /// one itself at the end.
    fn distance(&self, id: MemberId) -> (bool, MemberId) {
        (self.turn.is_some_and(|(last, _)| id <= last), id)
    }

    fn charge(&mut self, Candidate { id, priority, begin, size, .. }: Candidate) {
        let left = match self.turn {
            Some((last, left @ 1..)) if last == id => left,
            _ => self.packet,
        };
        self.turn = Some((id, left.saturating_sub(size.max(1))));
        let weight = match self.scheduler {
            Scheduler::WeightedFairQueueing => u128::from(priority) + 1,
            _ => 1,
        };
        if let Some(member) = self.members.get_mut(&id) {
            // A message without content costs something too, or it could go on for ever.
            member.begin = begin + u128::from(size.max(1)) * weight;
        }
        self.clock = begin;
    }
}
