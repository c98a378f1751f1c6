//! Connection properties (RFC 9622 8.1).

use std::time::Duration;

use super::capacity::CapacityProfile;
use super::user_timeout::UserTimeout;

/// The properties of a connection that an application can set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionProperties {
    /// How much of a received message a checksum must cover (8.1.1).
    #[doc(alias = "recv-checksum-len")]
    pub recv_checksum_len: ChecksumCoverage,
    /// The priority among the connections of a group, a lower number is a higher priority (8.1.2). Not shared by the group.
    #[doc(alias = "conn-prio")]
    pub conn_priority: u32,
    /// How long sent data may stay unacknowledged before the connection has failed; `None` leaves it to the system (8.1.3).
    #[doc(alias = "conn-timeout")]
    #[doc(alias = "TIMEOUT_FOR_ABORTING_CONNECTION")]
    pub conn_timeout: Option<Duration>,
    /// How long a connection may be idle before a keep-alive probe is sent; `None` sends none (8.1.4).
    pub keep_alive_timeout: Option<Duration>,
    /// How the connections of a group share the capacity (8.1.5).
    #[doc(alias = "conn-scheduler")]
    pub conn_scheduler: Scheduler,
    /// The treatment that the network should give to the packets (8.1.6).
    #[doc(alias = "conn-capacity-profile")]
    #[doc(alias = "CAPACITY_PROFILE")]
    pub capacity_profile: CapacityProfile,
    /// What several paths are used for (8.1.7).
    pub multipath_policy: MultipathPolicy,
    /// The rate in bits per second below which sending is of no use; `None` is no bound (8.1.8).
    pub min_send_rate: Option<u64>,
    /// The rate in bits per second below which receiving is of no use; `None` is no bound (8.1.8).
    pub min_recv_rate: Option<u64>,
    /// The rate in bits per second that sending does not exceed; `None` is no bound (8.1.8).
    #[doc(alias = "max-send-rate")]
    pub max_send_rate: Option<u64>,
    /// The rate in bits per second that receiving does not exceed; `None` is no bound (8.1.8).
    #[doc(alias = "max-recv-rate")]
    pub max_recv_rate: Option<u64>,
    /// How many connections a peer may add to the group; `None` is no limit (8.1.9).
    pub group_conn_limit: Option<u32>,
    /// Whether nothing cached is shared with connections outside of the group (8.1.10).
    pub isolate_session: bool,
    /// How many retransmissions are excessive; `None` tells none.
    #[doc(alias = "retransmit-notify-threshold")]
    pub retransmit_notify_threshold: Option<u32>,
    /// The user timeout of TCP (8.2).
    #[doc(alias = "tcp-uto")]
    #[doc(alias = "USER_TIMEOUT_TCP")]
    pub user_timeout: UserTimeout,
}

impl Default for ConnectionProperties {
    fn default() -> Self {
        Self {
            recv_checksum_len: ChecksumCoverage::Full,
            conn_priority: 100,
            conn_timeout: None,
            keep_alive_timeout: None,
            conn_scheduler: Scheduler::WeightedFairQueueing,
            capacity_profile: CapacityProfile::Default,
            multipath_policy: MultipathPolicy::Handover,
            min_send_rate: None,
            min_recv_rate: None,
            max_send_rate: None,
            max_recv_rate: None,
            group_conn_limit: None,
            isolate_session: false,
            retransmit_notify_threshold: None,
            user_timeout: UserTimeout::default(),
        }
    }
}

/// How much of a message a checksum covers, from its first byte on (RFC 9622 8.1.1 and 9.1.3.6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ChecksumCoverage {
    /// All of it.
    #[default]
    Full,
    /// At least this many bytes; 0 needs no checksum.
    Bytes(u32),
}

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

/// What several paths are used for (RFC 9622 8.1.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MultipathPolicy {
    /// To go on when a path is lost.
    #[default]
    Handover,
    /// To keep the delay low.
    Interactive,
    /// To add up their capacity.
    Aggregate,
}
