//! Transmission schedulers (RFC 9622 8.1.5, RFC 8260 3).

use super::kind::Enumerated;

/// How the connections of a group share the capacity (RFC 8260 3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheduler {
    /// Messages leave in the order in which they were given (3.1).
    FirstComeFirstServed,
    /// Connections take turns, message by message (3.2).
    RoundRobin,
    /// Connections take turns, packet by packet (3.3).
    RoundRobinPerPacket,
    /// The connection of the highest priority goes first (3.4).
    Priority,
    /// Each connection gets the same capacity (3.5).
    FairCapacity,
    /// Each connection gets capacity by its priority (3.6).
    #[doc(alias = "Weighted fair queueing")]
    #[default]
    WeightedFairQueueing,
}

impl Enumerated for Scheduler {
    const EXPECTED: &'static str = "a scheduler of RFC 8260, such as `Weighted Fair Queueing`";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("First-Come, First-Served", Self::FirstComeFirstServed),
        ("Round-Robin", Self::RoundRobin),
        ("Round-Robin per Packet", Self::RoundRobinPerPacket),
        ("Priority-Based", Self::Priority),
        ("Fair Capacity", Self::FairCapacity),
        ("Weighted Fair Queueing", Self::WeightedFairQueueing),
        ("FCFS", Self::FirstComeFirstServed),
        ("Priority", Self::Priority),
        ("WFQ", Self::WeightedFairQueueing),
    ];
}
