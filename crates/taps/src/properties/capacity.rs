//! Capacity profiles (RFC 9622 8.1.6).

use super::kind::Enumerated;

/// The treatment that the network should give to a connection's packets (RFC 9622 8.1.6).
///
/// Messages leave in whole writes, so holding a small one back for company (Nagle's algorithm) only adds delay;
/// it stays on for the two profiles that do not mind: `Scavenger` and `CapacitySeeking`.
#[doc(alias = "CapacityProfiles")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum CapacityProfile {
    /// Best effort; nothing is marked.
    #[doc(alias = "DEFAULT")]
    #[default]
    Default = 0,
    /// Not urgent, yields to everything else (LE, RFC 8622).
    #[doc(alias = "SCAVENGER")]
    Scavenger = 1,
    /// Capacity matters more than delay (AF11).
    #[doc(alias = "CAPACITY_SEEKING")]
    CapacitySeeking = 10,
    /// Delay matters, nobody waits for an answer (AF21).
    #[doc(alias = "LOW_LATENCY_NON_INTERACTIVE")]
    LowLatencyNonInteractive = 18,
    /// A steady rate with little delay (AF32).
    #[doc(alias = "CONSTANT_RATE_STREAMING")]
    ConstantRateStreaming = 28,
    /// Delay matters most (AF42).
    #[doc(alias = "LOW_LATENCY_INTERACTIVE")]
    LowLatencyInteractive = 36,
}

impl CapacityProfile {
    /// The differentiated services code point, 0 to 63.
    #[must_use]
    pub const fn dscp(self) -> u8 {
        self as u8
    }

    /// Whether a small write leaves at once.
    #[must_use]
    pub const fn no_delay(self) -> bool {
        !matches!(self, Self::Scavenger | Self::CapacitySeeking)
    }
}

impl Enumerated for CapacityProfile {
    const EXPECTED: &'static str = "a capacity profile, such as `Capacity-Seeking`";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("Default", Self::Default),
        ("Scavenger", Self::Scavenger),
        ("Low Latency/Interactive", Self::LowLatencyInteractive),
        ("Low Latency/Non-Interactive", Self::LowLatencyNonInteractive),
        ("Constant-Rate Streaming", Self::ConstantRateStreaming),
        ("Capacity-Seeking", Self::CapacitySeeking),
    ];

    fn number(self) -> Option<i64> {
        Some(self.dscp().into())
    }
}
