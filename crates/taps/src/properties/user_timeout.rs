//! The user timeout of TCP (RFC 9622 8.2, RFC 5482).

use std::time::Duration;

/// The user timeout of TCP. It has an effect only where TCP is selected.
#[doc(alias = "TCPUserTimeout")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserTimeout {
    /// The time that is advertised to the peer; `None` is the system's (8.2.1).
    #[doc(alias = "ADVERTISED_USER_TIMEOUT")]
    #[doc(alias = "tcp.user-timeout-value")]
    pub value: Option<Duration>,
    /// Whether the option is used at all (8.2.2).
    #[doc(alias = "USER_TIMEOUT_ENABLED")]
    #[doc(alias = "tcp.user-timeout")]
    pub enabled: bool,
    /// Whether the peer's value may change the connection's timeout (8.2.3).
    #[doc(alias = "CHANGEABLE")]
    #[doc(alias = "tcp.user-timeout-recv")]
    pub changeable: bool,
}

impl Default for UserTimeout {
    fn default() -> Self {
        Self { value: Some(Duration::from_secs(300)), enabled: false, changeable: true }
    }
}
