//! How many TLS sessions are kept, and for how long (RFC 9622 6.3.6).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::server::StoresServerSessions;

/// Bounds of a cache of sessions; absent ones are the defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SessionLimits {
    pub(super) most: Option<usize>,
    pub(super) lifetime: Option<Duration>,
}

impl SessionLimits {
    /// How many are kept when nothing is said.
    pub(super) const DEFAULT_MOST: usize = 256;

    pub(super) fn are_default(self) -> bool {
        self == Self::default()
    }

    pub(super) fn most(self) -> usize {
        self.most.unwrap_or(Self::DEFAULT_MOST)
    }
}

/// The sessions that a server may resume. A ticket of TLS 1.3 names an entry here, which is taken by its first use: so
/// early data cannot be replayed (RFC 8446 8.1).
pub(super) struct ServerSessions {
    limits: SessionLimits,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    sessions: HashMap<Vec<u8>, (Vec<u8>, Instant)>,
    /// The oldest first. Sessions that were taken stay in it until their turn.
    order: VecDeque<Vec<u8>>,
}

impl ServerSessions {
    pub(super) fn new(limits: SessionLimits) -> Self {
        Self { limits, kept: Mutex::default() }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Kept) -> T) -> T {
        look(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fresh(&self, since: Instant) -> bool {
        self.limits.lifetime.is_none_or(|lifetime| since.elapsed() < lifetime)
    }
}

impl StoresServerSessions for ServerSessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let most = self.limits.most();
        if most == 0 {
            return false;
        }
        self.with(|kept| {
            if kept.sessions.insert(key.clone(), (value, Instant::now())).is_none() {
                kept.order.push_back(key);
            }
            while kept.order.len() > most {
                if let Some(oldest) = kept.order.pop_front() {
                    kept.sessions.remove(&oldest);
                }
            }
        });
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.with(|kept| kept.sessions.get(key).cloned()).and_then(|(value, since)| self.fresh(since).then_some(value))
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.with(|kept| kept.sessions.remove(key)).and_then(|(value, since)| self.fresh(since).then_some(value))
    }

    fn can_cache(&self) -> bool {
        self.limits.most() > 0
    }
}

/// Secrets never show.
impl fmt::Debug for ServerSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSessions").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(most: usize, lifetime: Option<Duration>) -> SessionLimits {
        SessionLimits { most: Some(most), lifetime }
    }

    /// RFC 9622 6.3.6: `maxCachedSessions`.
    #[test]
    fn the_oldest_sessions_make_room() {
        let sessions = ServerSessions::new(limits(2, None));
        for key in [1, 2, 3] {
            assert!(sessions.put(vec![key], vec![key]));
        }
        assert_eq!((sessions.get(&[1]), sessions.get(&[3])), (None, Some(vec![3])));
        for key in 0..100 {
            sessions.put(vec![key], vec![key]);
            sessions.take(&[key]);
        }
        assert!(sessions.with(|kept| kept.order.len()) <= 2);
        assert!(!ServerSessions::new(limits(0, None)).can_cache());
    }

    /// RFC 9622 6.3.6: `cachedSessionLifetimeSeconds`.
    #[test]
    fn a_session_past_its_lifetime_is_not_resumed() {
        let sessions = ServerSessions::new(limits(2, Some(Duration::ZERO)));
        sessions.put(vec![1], vec![1]);
        assert_eq!((sessions.get(&[1]), sessions.take(&[1])), (None, None));
    }

    #[test]
    fn a_session_is_taken_once() {
        let sessions = ServerSessions::new(SessionLimits::default());
        sessions.put(vec![1], vec![7]);
        assert_eq!((sessions.take(&[1]), sessions.take(&[1])), (Some(vec![7]), None));
    }
}
