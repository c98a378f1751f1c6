//! A part of a capacity, from 0 to 1, that can be changed while it is in use.

use std::sync::atomic::{AtomicU64, Ordering};

/// A threshold; a half at first, as in the original.
#[derive(Debug)]
pub(crate) struct Threshold(AtomicU64);

impl Threshold {
    pub(crate) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Sets it; what is beyond its range becomes the nearest in it, and what is no number a half.
    pub(crate) fn set(&self, threshold: f64) {
        let threshold = if threshold.is_nan() { 0.5 } else { threshold.clamp(0.0, 1.0) };
        self.0.store(threshold.to_bits(), Ordering::Relaxed);
    }

    /// That part of a capacity, rounded up.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is at most the capacity")]
    pub(crate) fn of(&self, capacity: u32) -> u32 {
        (self.get() * f64::from(capacity)).ceil() as u32
    }
}

impl Default for Threshold {
    fn default() -> Self {
        Self(AtomicU64::new(0.5_f64.to_bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_a_part_of_a_capacity() {
        let threshold = Threshold::default();
        assert_eq!([5, 10, 0, 1].map(|capacity| threshold.of(capacity)), [3, 5, 0, 1]);
        threshold.set(1.0);
        assert_eq!([5, u32::MAX].map(|capacity| threshold.of(capacity)), [5, u32::MAX]);
        for (given, is) in [(2.0, 1.0), (-1.0, 0.0), (f64::NAN, 0.5), (f64::INFINITY, 1.0)] {
            threshold.set(given);
            assert!((threshold.get() - is).abs() < f64::EPSILON);
        }
    }
}
