//! Message properties (RFC 9622 9.1.3).

use std::time::Duration;

use super::capacity::CapacityProfile;
use super::connection::ChecksumCoverage;

/// The properties of a message. `None` takes what the connection has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageProperties {
    /// How long the message may wait to be sent; `None` is for ever (9.1.3.1).
    #[doc(alias = "msg-lifetime")]
    #[doc(alias = "LIFETIME")]
    pub lifetime: Option<Duration>,
    /// The priority among the messages of the connection, a lower number is a higher priority (9.1.3.2).
    #[doc(alias = "msg-prio")]
    pub priority: u32,
    /// Whether the order is kept; `None` is as the connection does (9.1.3.3).
    #[doc(alias = "msg-ordered")]
    pub ordered: Option<bool>,
    /// Whether the message may arrive more than once (9.1.3.4).
    #[doc(alias = "idempotent")]
    pub safely_replayable: bool,
    /// Whether it is the last message (9.1.3.5).
    #[doc(alias = "final")]
    pub last: bool,
    /// How much of the message a checksum must cover (9.1.3.6).
    #[doc(alias = "msg-checksum-len")]
    pub checksum_len: ChecksumCoverage,
    /// Whether the message is sent again until it has arrived; `None` is as the connection does (9.1.3.7).
    #[doc(alias = "msg-reliable")]
    pub reliable: Option<bool>,
    /// The treatment that the network should give to the message; `None` is as the connection's (9.1.3.8).
    #[doc(alias = "msg-capacity-profile")]
    pub capacity_profile: Option<CapacityProfile>,
    /// Whether the network layer must not fragment the message (9.1.3.9).
    pub no_fragmentation: bool,
    /// Whether the transport must not segment the message (9.1.3.10).
    pub no_segmentation: bool,
}

impl Default for MessageProperties {
    fn default() -> Self {
        Self {
            lifetime: None,
            priority: 100,
            ordered: None,
            safely_replayable: false,
            last: false,
            checksum_len: ChecksumCoverage::Full,
            reliable: None,
            capacity_profile: None,
            no_fragmentation: false,
            no_segmentation: false,
        }
    }
}
