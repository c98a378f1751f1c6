//! Messages that say which they are.

use bytes::Bytes;
use postroad_testkit::Rng;

/// Bytes of the number and of the checksum, in front.
const HEAD: usize = 16;
/// One message in so many takes more than one frame.
const LARGE: usize = 100;

/// The payload of a message: its number, a checksum of everything, and bytes that the seed fixes. Most are small.
pub(super) fn make(id: u64, seed: u64) -> Bytes {
    let mut rng = Rng::new(seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let filler = if rng.one_in(LARGE) { 3_000 + rng.below(12_000) } else { rng.below(120) };
    let mut all = Vec::with_capacity(HEAD + filler);
    all.extend_from_slice(&id.to_be_bytes());
    all.extend_from_slice(&[0; 8]);
    while all.len() < HEAD + filler {
        all.extend_from_slice(&rng.next_u64().to_be_bytes());
    }
    all.truncate(HEAD + filler);
    let sum = checksum(id, &all[HEAD..], seed);
    all[8..HEAD].copy_from_slice(&sum.to_be_bytes());
    all.into()
}

/// The number of a message; `None` when it is none of ours, or was changed on its way.
pub(super) fn read(payload: &[u8], seed: u64) -> Option<u64> {
    let (id, rest) = payload.split_first_chunk::<8>()?;
    let (sum, filler) = rest.split_first_chunk::<8>()?;
    let id = u64::from_be_bytes(*id);
    (u64::from_be_bytes(*sum) == checksum(id, filler, seed)).then_some(id)
}

/// FNV-1a, over words where there are whole ones.
fn checksum(id: u64, filler: &[u8], seed: u64) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut sum = 0xcbf2_9ce4_8422_2325 ^ seed;
    let mut take = |word: u64| sum = (sum ^ word).wrapping_mul(PRIME).rotate_left(29);
    take(id);
    take(filler.len() as u64);
    for chunk in filler.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        take(u64::from_be_bytes(word));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_says_which_it_is_and_no_changed_one_does() {
        let mut sizes = Vec::new();
        for id in 0..500 {
            let payload = make(id, 7);
            assert_eq!(read(&payload, 7), Some(id));
            assert_eq!(read(&payload, 8), None, "of another run");
            sizes.push(payload.len());
        }
        assert!(sizes.iter().any(|size| *size > 4_096) && sizes.iter().filter(|size| **size < 200).count() > 400);
        let payload = make(3, 7);
        for index in 0..payload.len() {
            let mut changed = payload.to_vec();
            changed[index] ^= 0x10;
            assert_eq!(read(&changed, 7), None, "byte {index}");
        }
        assert_eq!(read(&payload[..payload.len() - 1], 7), None);
        assert_eq!(read(&payload[..9], 7), None);
    }
}
