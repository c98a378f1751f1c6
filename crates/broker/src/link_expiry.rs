//! How long what is left of a link is kept after it (AMQP 1.0 part 3, 3.5.3 and 3.5.6).

use std::time::{Duration, Instant};

use postroad_amqp::v1_0::SessionId;
use postroad_codec::v1_0::{Seconds, TerminusExpiryPolicy};

/// What a terminus was granted that outlives the detach of its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkExpiry {
    policy: Policy,
    /// From the event of the policy on, in whole seconds.
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    LinkDetach,
    SessionEnd,
    ConnectionClose,
    Never,
}

/// What the owner of the broker grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExpiryLimits {
    pub(crate) longest: Duration,
    /// Whether a terminus may be kept as long as the broker runs.
    pub(crate) never: bool,
}

/// What a link that was attached has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parting {
    /// It is detached, and its session goes on.
    Link,
    /// Its session has ended.
    Session,
    /// Its connection has.
    Connection,
}

/// When a suspended link expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    At(Instant),
    /// So long after this session of a connection, or the connection itself, has ended.
    Session(u64, SessionId, Duration),
    Connection(u64, Duration),
    Never,
}

impl LinkExpiry {
    /// What is granted to a terminus; `None`: nothing of it outlives its link.
    pub(crate) fn grant(policy: &TerminusExpiryPolicy, timeout: Seconds, limits: ExpiryLimits) -> Option<Self> {
        let longest = Duration::from_secs(limits.longest.as_secs());
        let asked = Duration::from_secs(timeout.0.into()).min(longest);
        let (policy, timeout) = match policy {
            policy if *policy == TerminusExpiryPolicy::LINK_DETACH => (Policy::LinkDetach, asked),
            policy if *policy == TerminusExpiryPolicy::SESSION_END => (Policy::SessionEnd, asked),
            policy if *policy == TerminusExpiryPolicy::CONNECTION_CLOSE => (Policy::ConnectionClose, asked),
            policy if *policy != TerminusExpiryPolicy::NEVER => return None,
            _ if limits.never => return Some(Self { policy: Policy::Never, timeout: Duration::ZERO }),
            // The next best.
            _ => (Policy::ConnectionClose, longest),
        };
        (timeout > Duration::ZERO).then_some(Self { policy, timeout })
    }

    /// What the answer to the attach says.
    pub(crate) fn told(this: Option<Self>) -> (TerminusExpiryPolicy, Seconds) {
        let Some(Self { policy, timeout }) = this else { return (TerminusExpiryPolicy::LINK_DETACH, Seconds(0)) };
        let policy = match policy {
            Policy::LinkDetach => TerminusExpiryPolicy::LINK_DETACH,
            Policy::SessionEnd => TerminusExpiryPolicy::SESSION_END,
            Policy::ConnectionClose => TerminusExpiryPolicy::CONNECTION_CLOSE,
            Policy::Never => TerminusExpiryPolicy::NEVER,
        };
        (policy, Seconds(u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX)))
    }

    /// When a link expires that is suspended now.
    pub(crate) fn timer(self, parting: Parting, connection: u64, session: SessionId, now: Instant) -> Timer {
        let Self { policy, timeout } = self;
        match (policy, parting) {
            (Policy::Never, _) => Timer::Never,
            (Policy::SessionEnd, Parting::Link) => Timer::Session(connection, session, timeout),
            (Policy::ConnectionClose, Parting::Link | Parting::Session) => Timer::Connection(connection, timeout),
            _ => Timer::after(timeout, now),
        }
    }
}

impl Timer {
    /// So long after an event that has happened.
    pub(crate) fn after(timeout: Duration, now: Instant) -> Self {
        now.checked_add(timeout).map_or(Self::Never, Self::At)
    }

    /// The connection that is to end before the time begins, or its session, and how long that time is.
    pub(crate) fn waits_for(self) -> Option<(u64, Option<SessionId>, Duration)> {
        match self {
            Self::Session(connection, session, timeout) => Some((connection, Some(session), timeout)),
            Self::Connection(connection, timeout) => Some((connection, None, timeout)),
            Self::At(_) | Self::Never => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use postroad_amqp::v1_0::{Config, Connection};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LIMITS: ExpiryLimits = ExpiryLimits { longest: Duration::from_millis(60_500), never: false };

    fn told(policy: &TerminusExpiryPolicy, timeout: u32, limits: ExpiryLimits) -> (TerminusExpiryPolicy, u32) {
        let (policy, timeout) = LinkExpiry::told(LinkExpiry::grant(policy, Seconds(timeout), limits));
        (policy, timeout.0)
    }

    #[test]
    fn what_is_granted_is_told() {
        use TerminusExpiryPolicy as Policy;
        let nothing = (Policy::LINK_DETACH, 0);
        for policy in [Policy::LINK_DETACH, Policy::SESSION_END, Policy::CONNECTION_CLOSE] {
            assert_eq!(told(&policy, 0, LIMITS), nothing);
            assert_eq!(told(&policy, 7, LIMITS), (policy.clone(), 7));
            assert_eq!(told(&policy, u32::MAX, LIMITS), (policy, 60));
        }
        assert_eq!(told(&Policy::NEVER, 0, LIMITS), (Policy::CONNECTION_CLOSE, 60));
        assert_eq!(told(&Policy::NEVER, 7, ExpiryLimits { never: true, ..LIMITS }), (Policy::NEVER, 0));
        assert_eq!(told(&Policy("tomorrow".into()), 7, LIMITS), nothing);
        let none = ExpiryLimits { longest: Duration::from_millis(999), never: false };
        assert_eq!(told(&Policy::NEVER, 7, none), nothing);
        assert_eq!(told(&Policy::LINK_DETACH, 7, none), nothing);
    }

    #[test]
    fn the_policy_says_when_the_time_begins() {
        let now = Instant::now();
        let session = Connection::client(Config::new("test"), None, now).begin().unwrap();
        let timer = |policy, parting| LinkExpiry { policy, timeout: SECOND }.timer(parting, 1, session, now);
        let at = Timer::At(now + SECOND);
        let (of_session, of_connection) = (Timer::Session(1, session, SECOND), Timer::Connection(1, SECOND));
        assert_eq!(timer(Policy::LinkDetach, Parting::Link), at);
        assert_eq!(timer(Policy::SessionEnd, Parting::Link), of_session);
        assert_eq!(timer(Policy::SessionEnd, Parting::Session), at);
        assert_eq!(timer(Policy::ConnectionClose, Parting::Link), of_connection);
        assert_eq!(timer(Policy::ConnectionClose, Parting::Session), of_connection);
        for policy in [Policy::LinkDetach, Policy::SessionEnd, Policy::ConnectionClose] {
            assert_eq!(timer(policy, Parting::Connection), at);
        }
        for parting in [Parting::Link, Parting::Session, Parting::Connection] {
            assert_eq!(timer(Policy::Never, parting), Timer::Never);
        }
    }
}
