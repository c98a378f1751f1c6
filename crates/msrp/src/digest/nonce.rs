//! The nonces of a relay: what they are bound to, and which were used.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Of how many nonces it is remembered how often they were used, unless said otherwise. Only clients that have shown a
/// password make entries. Where there are more of them within the life of a nonce, the oldest are taken for stale, so that
/// neither memory grows nor an old answer can be played back.
pub const MAX_USED_NONCES: usize = 16_384;

/// Mints nonces and knows them again.
///
/// A nonce is its time, its number, and a keyed hash of both and of the connection. That it was given out is not kept, so that
/// challenges cost a relay no memory.
pub(super) struct Nonces {
    key: Zeroizing<[u8; 32]>,
    start: Instant,
    /// The latest time that was told; it does not run backwards.
    latest: Duration,
    pub(super) lifetime: Duration,
    pub(super) capacity: usize,
    /// The number of the next nonce.
    next: u64,
    /// Nonces with numbers below this one are no longer accepted.
    floor: u64,
    /// When nonces were minted, and the highest count that they were used with, by their numbers.
    used: BTreeMap<u64, (Duration, u32)>,
}

/// What becomes of an answer that is right otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    Fresh,
    /// Not ours, of another connection, too old, or used with this count already.
    Stale,
}

impl Nonces {
    pub(super) fn new(key: [u8; 32], now: Instant) -> Self {
        Self {
            key: Zeroizing::new(key),
            start: now,
            latest: Duration::ZERO,
            lifetime: Duration::from_secs(300),
            capacity: MAX_USED_NONCES,
            next: 0,
            floor: 0,
            used: BTreeMap::new(),
        }
    }

    /// A nonce for a connection.
    pub(super) fn mint(&mut self, connection: u64, now: Instant) -> String {
        self.tick(now);
        let number = self.next;
        self.next += 1;
        let millis = u64::try_from(self.latest.as_millis()).unwrap_or(u64::MAX);
        let tag = u128::from_be_bytes(self.tag(millis, number, connection));
        format!("{millis:016x}{number:016x}{tag:032x}")
    }

    /// Takes a count of a nonce as used, if it may still be. To be asked only about answers that are right, as it takes memory.
    pub(super) fn take(&mut self, nonce: &str, count: u32, connection: u64, now: Instant) -> Freshness {
        self.tick(now);
        let Some((minted, number)) = self.known(nonce, connection) else { return Freshness::Stale };
        if number < self.floor || self.latest.saturating_sub(minted) > self.lifetime {
            return Freshness::Stale;
        }
        // AUTH cannot be pipelined (RFC 4976 9.1), so that counts come in their order.
        let (_, highest) = self.used.entry(number).or_insert((minted, 0));
        if count <= *highest {
            return Freshness::Stale;
        }
        *highest = count;
        while self.used.len() > self.capacity {
            self.forget_first();
        }
        Freshness::Fresh
    }

    /// A hash under the key for another purpose.
    pub(super) fn derive(&self, purpose: &[u8], about: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key).expect("a key of any length");
        mac.update(purpose);
        mac.update(about);
        mac.finalize().into_bytes().into()
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn remembered(&self) -> usize {
        self.used.len()
    }

    /// Time and number of a nonce that was minted here, for this connection.
    fn known(&self, nonce: &str, connection: u64) -> Option<(Duration, u64)> {
        if nonce.len() != 64 || !nonce.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let millis = u64::from_str_radix(&nonce[..16], 16).ok()?;
        let number = u64::from_str_radix(&nonce[16..32], 16).ok()?;
        let tag = u128::from_str_radix(&nonce[32..], 16).ok()?.to_be_bytes();
        let ours: bool = tag.ct_eq(&self.tag(millis, number, connection)).into();
        ours.then_some((Duration::from_millis(millis), number))
    }

    fn tag(&self, millis: u64, number: u64, connection: u64) -> [u8; 16] {
        let mut about = [0; 24];
        about[..8].copy_from_slice(&millis.to_be_bytes());
        about[8..16].copy_from_slice(&number.to_be_bytes());
        about[16..].copy_from_slice(&connection.to_be_bytes());
        *self.derive(b"nonce", &about).first_chunk().expect("half of it")
    }

    /// Forgets what is too old to be accepted.
    fn tick(&mut self, now: Instant) {
        self.latest = self.latest.max(now.saturating_duration_since(self.start));
        while let Some(first) = self.used.first_entry() {
            if self.latest.saturating_sub(first.get().0) <= self.lifetime {
                break;
            }
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((number, _)) = self.used.pop_first() {
            self.floor = self.floor.max(number + 1);
        }
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nonces")
            .field("lifetime", &self.lifetime)
            .field("capacity", &self.capacity)
            .field("used", &self.used.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(300);

    fn nonces() -> (Nonces, Instant) {
        let now = Instant::now();
        (Nonces::new([3; 32], now), now)
    }

    #[test]
    fn r64_a_nonce_is_bound_to_its_connection_and_its_time() {
        let (mut nonces, now) = nonces();
        let nonce = nonces.mint(7, now + Duration::from_secs(10));
        assert_eq!(nonces.take(&nonce, 1, 8, now), Freshness::Stale);
        assert_eq!(nonces.take(&nonce, 1, 7, now + Duration::from_secs(10) + LIFE), Freshness::Fresh);
        assert_eq!(nonces.take(&nonce, 2, 7, now + Duration::from_millis(10_001) + LIFE), Freshness::Stale);
        // A clock that goes back makes nothing young again.
        assert_eq!(nonces.take(&nonce, 2, 7, now), Freshness::Stale);
        assert_eq!(nonces.remembered(), 0);
    }

    #[test]
    fn r64_only_what_was_minted_under_the_key_is_taken() {
        let (mut nonces, now) = nonces();
        let nonce = nonces.mint(7, now);
        for index in 0..nonce.len() {
            let mut other = nonce.clone().into_bytes();
            other[index] = if other[index] == b'0' { b'1' } else { b'0' };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(nonces.take(&other, 1, 7, now), Freshness::Stale, "{index}");
        }
        let upper = nonce.to_uppercase();
        for other in ["", "0", &nonce[1..], &format!("{nonce}0"), &upper, &"é".repeat(32), &"+".repeat(64)] {
            assert_eq!(nonces.take(other, 1, 7, now), Freshness::Stale, "{other}");
        }
        assert_eq!(Nonces::new([4; 32], now).take(&nonce, 1, 7, now), Freshness::Stale);
        assert_eq!(nonces.take(&nonce, 1, 7, now), Freshness::Fresh);
        assert_eq!(nonces.mint(7, now).len(), nonce.len());
        assert_ne!(nonces.mint(7, now), nonces.mint(7, now));
    }

    #[test]
    fn r64_a_count_is_used_once() {
        let (mut nonces, now) = nonces();
        let nonce = nonces.mint(7, now);
        let mut take = |count| nonces.take(&nonce, count, 7, now);
        assert_eq!([take(1), take(1)], [Freshness::Fresh, Freshness::Stale]);
        assert_eq!([take(2), take(5), take(4)], [Freshness::Fresh, Freshness::Fresh, Freshness::Stale]);
        assert_eq!([take(u32::MAX), take(u32::MAX)], [Freshness::Fresh, Freshness::Stale]);
    }

    /// Who is forgotten cannot come back, and whoever comes later can.
    #[test]
    fn r64_memory_is_bounded() {
        let (mut nonces, now) = nonces();
        nonces.capacity = 3;
        let minted: Vec<String> = (0..10).map(|_| nonces.mint(7, now)).collect();
        for nonce in &minted[1..5] {
            assert_eq!(nonces.take(nonce, 1, 7, now), Freshness::Fresh);
        }
        assert_eq!(nonces.remembered(), 3);
        assert_eq!(nonces.take(&minted[0], 1, 7, now), Freshness::Stale);
        assert_eq!(nonces.take(&minted[1], 2, 7, now), Freshness::Stale);
        assert_eq!(nonces.take(&minted[2], 1, 7, now), Freshness::Stale);
        assert_eq!(nonces.take(&minted[2], 2, 7, now), Freshness::Fresh);
        assert_eq!(nonces.take(&minted[9], 1, 7, now), Freshness::Fresh);
        assert_eq!(nonces.remembered(), 3);
        assert_eq!(nonces.mint(7, now + LIFE + Duration::from_millis(1)).len(), 64);
        assert_eq!(nonces.remembered(), 0);
        assert!(!format!("{nonces:?}").contains("3, 3, 3"));
    }
}
