//! What is put at a `$cbs` node, and when it is due again. It knows no connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Token, TokenProvider};

/// The tokens of one `$cbs` node, by audience.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(super) address: String,
    pub(super) timeout: Duration,
    entries: Mutex<Entries>,
    /// Told when there is another moment at which something is due.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    claims: HashMap<String, Claim>,
    serial: u64,
}

/// A token, and how it is renewed.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) token: Token,
    pub(super) provider: Option<Arc<dyn TokenProvider>>,
    /// Tells it from another one for the same audience.
    pub(super) serial: u64,
    renew_at: Option<Instant>,
    /// Whether it is being renewed.
    busy: bool,
    failures: u32,
}

/// What becomes of a claim that could not be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Again,
    GiveUp,
}

/// No token is renewed sooner than this after it was put, however short its life is.
const FLOOR: Duration = Duration::from_secs(1);
/// The longest life that is counted with.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// How often it is tried to renew a token, and the pauses between.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Claim {
    pub(super) fn new(token: Token, provider: Option<Arc<dyn TokenProvider>>) -> Self {
        Self { token, provider, serial: 0, renew_at: None, busy: false, failures: 0 }
    }

    /// Notes that its token is put now.
    fn begin(&mut self) {
        let life = self.token.remaining().filter(|_| self.provider.is_some());
        self.renew_at = life.map(|life| Instant::now() + (life.min(LONGEST) * 4 / 5).max(FLOOR));
        (self.busy, self.failures) = (false, 0);
    }

    /// Whether its token is not to be put any more, but another one.
    pub(super) fn is_due(&self) -> bool {
        // Both clocks: while a machine sleeps, only one goes on.
        self.renew_at.is_some_and(|at| at <= Instant::now()) || self.is_expired()
    }

    pub(super) fn is_expired(&self) -> bool {
        self.token.remaining() == Some(Duration::ZERO)
    }
}

impl Claims {
    pub(super) fn new(address: String, timeout: Duration) -> Self {
        Self { address, timeout, entries: Mutex::default(), changed: Notify::new() }
    }

    /// Notes a claim whose token is being put; gives its serial, and the claim that was there.
    pub(super) fn insert(&self, audience: &str, mut claim: Claim) -> (u64, Option<Claim>) {
        claim.begin();
        let mut entries = self.lock();
        entries.serial += 1;
        claim.serial = entries.serial;
        let before = entries.claims.insert(audience.to_owned(), claim);
        let serial = entries.serial;
        drop(entries);
        self.changed.notify_one();
        (serial, before)
    }

    /// Goes back to what was there, unless somebody else was faster.
    pub(super) fn restore(&self, audience: &str, serial: u64, before: Option<Claim>) {
        let mut entries = self.lock();
        if entries.claims.get(audience).is_none_or(|claim| claim.serial != serial) {
            return;
        }
        let gone = entries.claims.remove(audience);
        if let Some(before) = before {
            entries.claims.insert(audience.to_owned(), Claim { busy: false, ..before });
        }
        drop(entries);
        // Outside the lock: what its provider owns may use the node.
        drop(gone);
        self.changed.notify_one();
    }

    pub(super) fn forget(&self, audience: &str) -> Option<Claim> {
        self.lock().claims.remove(audience)
    }

    /// Forgets a claim, unless it is another one by now.
    pub(super) fn drop_claim(&self, audience: &str, serial: u64) {
        self.restore(audience, serial, None);
    }

    /// Notes that this token of a claim is put now.
    pub(super) fn renewed(&self, audience: &str, serial: u64, token: Token) {
        if let Some(claim) = self.lock().claims.get_mut(audience).filter(|claim| claim.serial == serial) {
            claim.token = token;
            claim.begin();
        }
        self.changed.notify_one();
    }

    /// Notes that a claim was not renewed, and whether that counts as one of the tries.
    pub(super) fn failed(&self, audience: &str, serial: u64, counts: bool, random: f64) -> Next {
        let mut entries = self.lock();
        let Some(claim) = entries.claims.get_mut(audience).filter(|claim| claim.serial == serial) else {
            return Next::GiveUp;
        };
        claim.busy = false;
        claim.failures += u32::from(counts);
        let next = if claim.failures < TRIES { Next::Again } else { Next::GiveUp };
        let pause = (PAUSE * 2_u32.saturating_pow(claim.failures.saturating_sub(1).min(8))).min(LONGEST_PAUSE);
        let pause = pause.mul_f64(1.0 - 0.3 * random.clamp(0.0, 1.0));
        claim.renew_at = (next == Next::Again).then(|| Instant::now() + pause);
        drop(entries);
        self.changed.notify_one();
        next
    }

    /// When the next claim is due that is not being renewed.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.lock().claims.values().filter(|claim| !claim.busy).filter_map(|claim| claim.renew_at).min()
    }

    /// The claims that are due, each of which is being renewed from now on.
    pub(super) fn take_due(&self) -> Vec<(String, Claim)> {
        let now = Instant::now();
        let mut entries = self.lock();
        let due =
            entries.claims.iter_mut().filter(|(_, claim)| !claim.busy && claim.renew_at.is_some_and(|at| at <= now));
        due.map(|(audience, claim)| {
            claim.busy = true;
            (audience.clone(), claim.clone())
        })
        .collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<(String, Claim)> {
        self.lock().claims.iter().map(|(audience, claim)| (audience.clone(), claim.clone())).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().claims.is_empty()
    }

    pub(super) fn audiences(&self) -> Vec<String> {
        self.lock().claims.keys().cloned().collect()
    }

    pub(super) fn expires(&self, audience: &str) -> Option<SystemTime> {
        self.lock().claims.get(audience)?.token.expires
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
