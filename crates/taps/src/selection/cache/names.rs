//! What name servers have answered, for as long as they allow (RFC 9623 9.1).

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::expiring::Expiring;
use crate::resolve::SrvRecord;

/// Answers about names that exist. Others are asked for again: they may have come to be.
pub(crate) struct Names(Mutex<Expiring<Question, Answer>>);

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// The number of the resolver: its name servers may know what others do not.
    resolver: u64,
    name: String,
    kind: Kind,
}

/// Which records of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Ipv4,
    Ipv6,
    Services,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) records: Records,
    /// When it is not to be used any more.
    pub(crate) end: Instant,
}

/// The records of an answer; none where the name has others only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Records {
    Addresses(Vec<IpAddr>),
    Services(Vec<SrvRecord>),
}

impl Records {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Addresses(addresses) => addresses.is_empty(),
            Self::Services(services) => services.is_empty(),
        }
    }
}

impl Question {
    /// Names are the same in any case (RFC 4343).
    pub(crate) fn new(resolver: u64, name: &str, kind: Kind) -> Self {
        Self { resolver, name: name.to_ascii_lowercase(), kind }
    }
}

impl Names {
    /// Keeps records for as long as their time to live says, and an hour at most.
    pub(crate) fn insert(&self, question: Question, records: Records, ttl: Duration, now: Instant) {
        if !ttl.is_zero() {
            let end = now + ttl.min(MAX_TTL);
            self.lock().insert(question, Answer { records, end }, end, now);
        }
    }

    pub(crate) fn get(&self, question: &Question, now: Instant) -> Option<Answer> {
        self.lock().get(question, now).cloned()
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Expiring<Question, Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Names {
    fn default() -> Self {
        Self(Mutex::new(Expiring::new(MAX_ANSWERS)))
    }
}

/// An answer has 1024 addresses at most, so these are a few megabytes at worst, and some kilobytes mostly.
const MAX_ANSWERS: usize = 256;

/// As long as other things are remembered, whatever a name server says.
const MAX_TTL: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const SECS: fn(u64) -> Duration = Duration::from_secs;

    fn records() -> Records {
        Records::Addresses(vec![Ipv4Addr::LOCALHOST.into()])
    }

    #[test]
    fn an_answer_counts_for_its_time_to_live() {
        let (names, now) = (Names::default(), Instant::now());
        let question = |name| Question::new(1, name, Kind::Ipv4);
        names.insert(question("A.example"), records(), SECS(60), now);
        let answer = Answer { records: records(), end: now + SECS(60) };
        assert_eq!(names.get(&question("a.EXAMPLE"), now + SECS(59)), Some(answer));
        assert_eq!(names.get(&question("a.example"), now + SECS(60)), None);
        names.insert(question("b.example"), records(), SECS(1_000_000), now);
        assert!(names.get(&question("b.example"), now + SECS(3599)).is_some());
        assert_eq!(names.get(&question("b.example"), now + SECS(3600)), None);
        names.insert(question("c.example"), records(), Duration::ZERO, now);
        assert_eq!(names.get(&question("c.example"), now), None);
    }

    #[test]
    fn what_others_answer_and_other_records_are_apart() {
        let (names, now) = (Names::default(), Instant::now());
        names.insert(Question::new(1, "a", Kind::Ipv4), records(), SECS(60), now);
        assert_eq!(names.get(&Question::new(2, "a", Kind::Ipv4), now), None);
        assert_eq!(names.get(&Question::new(1, "a", Kind::Ipv6), now), None);
        names.clear();
        assert_eq!(names.get(&Question::new(1, "a", Kind::Ipv4), now), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (names, now) = (Names::default(), Instant::now());
        for n in 0..10_000 {
            names.insert(Question::new(1, &n.to_string(), Kind::Ipv4), records(), SECS(60), now);
        }
        assert!(names.lock().len() <= MAX_ANSWERS);
        assert!(names.get(&Question::new(1, "9999", Kind::Ipv4), now).is_some());
    }
}
