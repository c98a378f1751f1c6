//! What is remembered between connections: what worked, how fast it was, and TLS sessions (RFC 9623 9).

mod expiring;
#[cfg(feature = "hickory")]
pub(crate) mod names;
#[cfg(feature = "tls")]
mod tickets;

use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::expiring::Expiring;
#[cfg(feature = "tls")]
pub(crate) use self::tickets::Tickets;
use crate::protocol::{Protocol, ProtocolStack};

/// How long it counts that a stack worked.
pub(crate) const SUCCESS_LIFETIME: Duration = Duration::from_secs(3600);
/// How long it counts that a stack did not work.
pub(crate) const FAILURE_LIFETIME: Duration = Duration::from_secs(600);
/// How long a measured time counts: paths change quickly.
pub(crate) const TIMING_LIFETIME: Duration = Duration::from_secs(300);

/// How many entries each table has; beyond it those that end first make room.
const MAX_ENTRIES: usize = 1024;

/// What connections leave behind for those that come later: which stacks worked where, how long that took, and the
/// sessions that TLS and QUIC resume (RFC 9623 9). What name servers have answered is kept for its time to live, where the
/// resolver tells one; the system's does not, and remembers by itself.
///
/// Connections share the [`global`](Self::global) context unless they are given another. Nothing is written to disk,
/// and what is kept is bounded: about a thousand entries of each kind, each for an hour at most. A clone is the same
/// context.
///
/// A session that is resumed lets the server, and who watches the network, tell that two connections have one
/// client. Connections that must not be linked take a context each (isolateSession, RFC 9622 8.1.10).
///
/// ```
/// use postroad_taps::Context;
///
/// let mine = Context::new();
/// assert!(mine.is_same(&mine.clone()));
/// assert!(!mine.is_same(&Context::global()));
/// ```
#[derive(Clone)]
pub struct Context(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Sessions of TLS over TCP; those of QUIC carry its parameters and are of no use there.
    tls: Arc<Tickets>,
    quic: Arc<Tickets>,
    #[cfg(feature = "hickory")]
    names: Arc<names::Names>,
}

struct State {
    outcomes: Expiring<Place, Outcome>,
    latencies: Expiring<Place, Duration>,
    round_trips: Expiring<Way, Duration>,
}

/// A stack toward a peer over a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) way: Way,
    pub(crate) port: u16,
    pub(crate) stack: ProtocolStack,
}

/// A path toward a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Way {
    /// The name of the interface; empty where the system chooses.
    pub(crate) path: Arc<str>,
    pub(crate) host: Arc<str>,
}

impl Way {
    /// The path, whatever the host.
    pub(crate) fn path_alone(&self) -> Self {
        Self { path: self.path.clone(), host: Arc::default() }
    }
}

/// What became of the last attempt that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure,
}

impl Context {
    /// A context that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                outcomes: Expiring::new(MAX_ENTRIES),
                latencies: Expiring::new(MAX_ENTRIES),
                round_trips: Expiring::new(MAX_ENTRIES),
            }),
            tls: Arc::default(),
            quic: Arc::default(),
            #[cfg(feature = "hickory")]
            names: Arc::default(),
        }))
    }

    /// The context that this process shares.
    #[must_use]
    pub fn global() -> Self {
        static GLOBAL: LazyLock<Context> = LazyLock::new(Context::new);
        GLOBAL.clone()
    }

    /// Whether both are the same context.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Forgets everything, the sessions included.
    pub fn clear(&self) {
        self.with(|state| {
            state.outcomes.clear();
            state.latencies.clear();
            state.round_trips.clear();
        });
        self.0.tls.clear();
        self.0.quic.clear();
        #[cfg(feature = "hickory")]
        self.0.names.clear();
    }

    /// The context of a new group: this one, or one of its own where its sessions are isolated (RFC 9622 8.1.10, RFC 9623 9.1).
    #[must_use]
    pub(crate) fn for_group(&self, isolate_session: bool) -> Self {
        if isolate_session { Self::new() } else { self.clone() }
    }

    /// Notes that a connection became ready after `latency`.
    pub(crate) fn succeeded(&self, place: &Place, latency: Duration, now: Instant) {
        self.with(|state| {
            state.outcomes.insert(place.clone(), Outcome::Success, now + SUCCESS_LIFETIME, now);
            average(&mut state.latencies, place, latency, now);
        });
    }

    /// Notes that an attempt failed.
    pub(crate) fn failed(&self, place: &Place, now: Instant) {
        self.with(|state| state.outcomes.insert(place.clone(), Outcome::Failure, now + FAILURE_LIFETIME, now));
    }

    /// Notes a round-trip time that a transport has measured.
    pub(crate) fn measured(&self, way: &Way, round_trip: Duration, now: Instant) {
        self.with(|state| {
            average(&mut state.round_trips, way, round_trip, now);
            // What the interface itself is like tells of hosts that were never reached (RFC 9623 9.2).
            if !way.path.is_empty() {
                average(&mut state.round_trips, &way.path_alone(), round_trip, now);
            }
        });
    }

    /// What became of the last attempt, while it counts.
    pub(crate) fn outcome(&self, place: &Place, now: Instant) -> Option<Outcome> {
        self.with(|state| state.outcomes.get(place, now).copied())
    }

    /// How long it took to connect, averaged.
    pub(crate) fn latency(&self, place: &Place, now: Instant) -> Option<Duration> {
        self.with(|state| state.latencies.get(place, now).copied())
    }

    /// The round-trip time, averaged; over a path [alone](Way::path_alone), of all the hosts that were reached over it.
    pub(crate) fn round_trip(&self, way: &Way, now: Instant) -> Option<Duration> {
        self.with(|state| state.round_trips.get(way, now).copied())
    }

    /// Where TLS keeps its sessions, by the name of the server: those of QUIC apart from those over TCP.
    ///
    /// A session is offered only to a configuration that verifies by the same verifier; rustls sees to that.
    #[cfg(feature = "tls")]
    pub(crate) fn sessions(&self, stack: ProtocolStack) -> Arc<dyn rustls::client::ClientSessionStore> {
        self.tickets(stack).clone()
    }

    /// Whether a session with this server can be resumed.
    pub(crate) fn is_resumable(&self, stack: ProtocolStack, host: &str) -> bool {
        stack.is_secure() && self.tickets(stack).holds(host)
    }

    /// What name servers have answered.
    #[cfg(feature = "hickory")]
    pub(crate) fn names(&self) -> &Arc<names::Names> {
        &self.0.names
    }

    fn tickets(&self, stack: ProtocolStack) -> &Arc<Tickets> {
        if stack.protocol() == Protocol::Quic { &self.0.quic } else { &self.0.tls }
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Without TLS there are no sessions.
#[cfg(not(feature = "tls"))]
#[derive(Default)]
pub(crate) struct Tickets;

#[cfg(not(feature = "tls"))]
impl Tickets {
    fn holds(&self, _: &str) -> bool {
        false
    }

    fn clear(&self) {}
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

/// How much is known; neither names nor sessions are shown.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcomes = self.with(|state| state.outcomes.len());
        f.debug_struct("Context").field("outcomes", &outcomes).finish_non_exhaustive()
    }
}

/// An average in which the newest sample counts one eighth (as in RFC 6298 2.3).
fn average<K: Eq + std::hash::Hash + Clone>(
    table: &mut Expiring<K, Duration>,
    key: &K,
    sample: Duration,
    now: Instant,
) {
    let value = table.get(key, now).map_or(sample, |old| *old - *old / 8 + sample / 8);
    table.insert(key.clone(), value, now + TIMING_LIFETIME, now);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn place(host: &str, stack: ProtocolStack) -> Place {
        Place { way: Way { path: "".into(), host: host.into() }, port: 443, stack }
    }

    #[test]
    fn a_success_counts_an_hour_and_a_failure_ten_minutes() {
        let (context, now) = (Context::new(), Instant::now());
        let (good, bad) = (place("a", ProtocolStack::Tls), place("a", ProtocolStack::QuicStream));
        context.succeeded(&good, MS(20), now);
        context.failed(&bad, now);
        assert_eq!(context.outcome(&good, now + MS(3_599_999)), Some(Outcome::Success));
        assert_eq!(context.outcome(&good, now + SUCCESS_LIFETIME), None);
        assert_eq!(context.outcome(&bad, now + MS(599_999)), Some(Outcome::Failure));
        assert_eq!(context.outcome(&bad, now + FAILURE_LIFETIME), None);
    }

    #[test]
    fn the_last_outcome_counts() {
        let (context, now) = (Context::new(), Instant::now());
        let place = place("a", ProtocolStack::Tls);
        context.failed(&place, now);
        context.succeeded(&place, MS(20), now + MS(1));
        assert_eq!(context.outcome(&place, now + MS(1)), Some(Outcome::Success));
        assert_eq!(context.outcome(&Place { port: 444, ..place }, now + MS(1)), None);
    }

    #[test]
    fn times_are_averaged_and_forgotten() {
        let (context, now) = (Context::new(), Instant::now());
        let place = place("a", ProtocolStack::Tls);
        context.succeeded(&place, MS(80), now);
        context.succeeded(&place, MS(160), now);
        assert_eq!(context.latency(&place, now), Some(MS(90)));
        context.measured(&place.way, MS(8), now);
        assert_eq!(context.round_trip(&place.way, now + MS(299_999)), Some(MS(8)));
        assert_eq!(context.round_trip(&place.way, now + TIMING_LIFETIME), None);
        assert_eq!(context.outcome(&place, now + TIMING_LIFETIME), Some(Outcome::Success));
    }

    #[test]
    fn the_time_of_a_path_is_that_of_all_its_hosts() {
        let (context, now) = (Context::new(), Instant::now());
        let way = |path: &str, host: &str| Way { path: path.into(), host: host.into() };
        context.measured(&way("eth0", "a"), MS(80), now);
        context.measured(&way("eth0", "b"), MS(160), now);
        context.measured(&way("", "c"), MS(1), now);
        assert_eq!(context.round_trip(&way("eth0", "a"), now), Some(MS(80)));
        assert_eq!(context.round_trip(&way("eth0", "c").path_alone(), now), Some(MS(90)));
        assert_eq!(context.round_trip(&way("", "c").path_alone(), now), None, "the system may take any");
    }

    #[test]
    fn an_isolated_group_knows_nothing_of_the_others() {
        let (context, now) = (Context::new(), Instant::now());
        let place = place("a", ProtocolStack::QuicStream);
        context.failed(&place, now);
        let (shared, isolated) = (context.for_group(false), context.for_group(true));
        assert_eq!(shared.outcome(&place, now), Some(Outcome::Failure));
        assert_eq!(isolated.outcome(&place, now), None);
        isolated.succeeded(&place, MS(1), now);
        assert_eq!(context.outcome(&place, now), Some(Outcome::Failure));
        context.clear();
        assert_eq!(shared.outcome(&place, now), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (context, now) = (Context::new(), Instant::now());
        for n in 0..10_000u64 {
            context.failed(&place(&n.to_string(), ProtocolStack::Tls), now + MS(n));
        }
        assert!(context.with(|state| state.outcomes.len()) <= MAX_ENTRIES);
        assert_eq!(
            context.outcome(&place("9999", ProtocolStack::Tls), now + MS(9999)),
            Some(Outcome::Failure),
            "the newest stays"
        );
    }
}
