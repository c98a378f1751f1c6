//! How long what is left of a link is kept after it (AMQP 1.0 part 3, 3.5.3 and 3.5.6).

use std::time::{Duration, Instant};

use crate::Expiry;

/// When a link that is suspended expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    At(Instant),
    /// So long after this session of a connection, or the connection itself, has ended.
    Session(u64, u64, Duration),
    Connection(u64, Duration),
    /// Beyond the clock's range.
    Never,
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

/// What is granted to a terminus, in whole seconds; `None`: nothing of it outlives its link.
pub(crate) fn grant(asked: Option<Expiry>, longest: Duration) -> Option<Expiry> {
    let granted = |timeout: Duration| Duration::from_secs(timeout.min(longest).as_secs());
    let (expiry, timeout) = match asked? {
        Expiry::LinkDetach(timeout) => (Expiry::LinkDetach(granted(timeout)), granted(timeout)),
        Expiry::SessionEnd(timeout) => (Expiry::SessionEnd(granted(timeout)), granted(timeout)),
        Expiry::ConnectionClose(timeout) => (Expiry::ConnectionClose(granted(timeout)), granted(timeout)),
        // The next best.
        Expiry::Never => (Expiry::ConnectionClose(granted(longest)), granted(longest)),
    };
    (!timeout.is_zero()).then_some(expiry)
}

impl Until {
    /// When a link expires that is suspended now, and was attached to this session of a connection.
    pub(crate) fn new(granted: Expiry, parting: Parting, connection: u64, session: u64) -> Self {
        match (granted, parting) {
            (Expiry::Never, _) => Self::Never,
            (Expiry::SessionEnd(timeout), Parting::Link) => Self::Session(connection, session, timeout),
            (Expiry::ConnectionClose(timeout), Parting::Link | Parting::Session) => {
                Self::Connection(connection, timeout)
            }
            (Expiry::LinkDetach(timeout) | Expiry::SessionEnd(timeout) | Expiry::ConnectionClose(timeout), _) => {
                Self::after(timeout, Instant::now())
            }
        }
    }

    fn after(timeout: Duration, now: Instant) -> Self {
        now.checked_add(timeout).map_or(Self::Never, Self::At)
    }

    /// Starts the time where it begins with the end of this session, or of this connection with all its sessions. Answers
    /// whether it did.
    pub(super) fn start(&mut self, connection: u64, session: Option<u64>, now: Instant) -> bool {
        let timeout = match (*self, session) {
            (Self::Session(of, ended, timeout), Some(session)) if of == connection && ended == session => timeout,
            (Self::Session(of, _, timeout) | Self::Connection(of, timeout), None) if of == connection => timeout,
            _ => return false,
        };
        *self = Self::after(timeout, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_granted_is_bounded() {
        let longest = Duration::from_millis(60_500);
        for policy in [Expiry::LinkDetach, Expiry::SessionEnd, Expiry::ConnectionClose] {
            assert_eq!(grant(Some(policy(Duration::ZERO)), longest), None);
            assert_eq!(grant(Some(policy(7 * SECOND)), longest), Some(policy(7 * SECOND)));
            assert_eq!(grant(Some(policy(Duration::MAX)), longest), Some(policy(60 * SECOND)));
        }
        assert_eq!(grant(Some(Expiry::Never), longest), Some(Expiry::ConnectionClose(60 * SECOND)));
        assert_eq!(grant(None, longest), None);
        assert_eq!(grant(Some(Expiry::Never), Duration::from_millis(999)), None);
    }

    #[test]
    fn the_policy_says_when_the_time_begins() {
        let until = |policy: fn(Duration) -> Expiry, parting| Until::new(policy(SECOND), parting, 1, 2);
        let is_running = |until| matches!(until, Until::At(_));
        assert!(is_running(until(Expiry::LinkDetach, Parting::Link)));
        assert_eq!(until(Expiry::SessionEnd, Parting::Link), Until::Session(1, 2, SECOND));
        assert!(is_running(until(Expiry::SessionEnd, Parting::Session)));
        assert_eq!(until(Expiry::ConnectionClose, Parting::Session), Until::Connection(1, SECOND));
        assert!(is_running(until(Expiry::ConnectionClose, Parting::Connection)));

        let now = Instant::now();
        for (mut until, connection, session, starts) in [
            (Until::Session(1, 2, SECOND), 1, Some(2), true),
            (Until::Session(1, 2, SECOND), 1, Some(3), false),
            (Until::Session(1, 2, SECOND), 1, None, true),
            (Until::Connection(1, SECOND), 1, Some(2), false),
            (Until::Connection(1, SECOND), 2, None, false),
            (Until::Connection(1, SECOND), 1, None, true),
        ] {
            let before = until;
            assert_eq!(until.start(connection, session, now), starts);
            assert_eq!(until, if starts { Until::At(now + SECOND) } else { before });
        }
    }
}
