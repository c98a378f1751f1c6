//! Random octets of the system, in handfuls.

/// A source that asks the system for many octets at a time: each transaction needs a few.
pub(super) fn source() -> impl FnMut(&mut [u8]) + Send + 'static {
    let (mut pool, mut left) = ([0; 1020], 0);
    move |octets: &mut [u8]| {
        for part in octets.chunks_mut(pool.len()) {
            if left < part.len() {
                fill(&mut pool);
                left = pool.len();
            }
            part.copy_from_slice(&pool[left - part.len()..left]);
            // Nobody is to find them here again.
            pool[left - part.len()..left].fill(0);
            left -= part.len();
        }
    }
}

/// Random octets.
pub(super) fn fill(octets: &mut [u8]) {
    getrandom::fill(octets).expect("the system has random numbers");
}

/// The text of a session id that nobody guesses: 120 bits (RFC 4975 14.1 wants 80).
pub(super) fn session_id() -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut octets = [0; 24];
    fill(&mut octets);
    octets.iter().map(|octet| char::from(DIGITS[usize::from(octet & 0x1f)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r21_no_two_ids_are_the_same() {
        let mut next = source();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let mut octets = [0; 12];
            next(&mut octets);
            assert!(seen.insert(octets));
        }
        assert_ne!(session_id(), session_id());
        assert_eq!(session_id().len() * 5, 120);
    }
}
