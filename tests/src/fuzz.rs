//! A small mutation fuzzer for the stable toolchain: no coverage, a fixed sequence for a seed.
//!
//! It is the smoke test of the fuzz targets, not their replacement: `cargo +nightly fuzz run` in a
//! crate's own directory explores, this makes sure that nothing near the known inputs breaks.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// The longest input that mutation makes.
const MAX_LEN: usize = 4096;

/// How long one input may take.
pub const SLOW: Duration = Duration::from_secs(1);

/// An input that took this long is taken to hang: the run ends without waiting for it.
const HANG: Duration = Duration::from_secs(10);

/// Something that must take any bytes.
#[derive(Debug, Clone)]
pub struct Target {
    /// The name, as under `fuzz/fuzz_targets` of its crate.
    pub name: &'static str,
    /// The crate's folder under `crates`.
    pub krate: &'static str,
    /// The body of the target: it panics when something is wrong.
    pub body: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: Vec<Vec<u8>>,
    /// Pieces that mean something to the target.
    pub tokens: &'static [&'static [u8]],
}

/// What a run has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The input, shortened where that keeps the fault.
    pub input: Vec<u8>,
    /// What was wrong with it.
    pub fault: Fault,
}

/// What can be wrong with an input.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The target panicked; where and with what message.
    Panic(String),
    /// The target took longer than [`SLOW`].
    Slow(Duration),
    /// The target had not returned when the run gave up on it.
    Hang,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(what) => write!(f, "panic: {what}"),
            Self::Slow(took) => write!(f, "slow: {took:?}"),
            Self::Hang => write!(f, "no return within {HANG:?}"),
        }
    }
}

/// Runs `target` on its seeds and on mutations of them for `duration`. Answers how many inputs it tried,
/// or the first that is at fault.
///
/// The sequence of inputs depends on `seed` alone; the duration cuts it off.
///
/// # Errors
/// With the first input that panics or takes longer than [`SLOW`].
pub fn run(target: &Target, seed: u64, duration: Duration) -> Result<u64, Finding> {
    // The worker tells each input before it tries it, so that one that never returns is known.
    let current: Mutex<(Instant, Vec<u8>)> = Mutex::new((Instant::now(), Vec::new()));
    let current: &'static Mutex<_> = Box::leak(Box::new(current));
    let (sender, done) = mpsc::channel();
    let target = target.clone();
    thread::spawn(move || {
        // The other end is gone once the run has given up.
        let _ = sender.send(work(&target, seed, duration, current));
    });
    loop {
        if let Ok(result) = done.recv_timeout(Duration::from_millis(200)) {
            return result;
        }
        let (since, input) = &*current.lock().unwrap_or_else(PoisonError::into_inner);
        if since.elapsed() > HANG {
            return Err(Finding { input: input.clone(), fault: Fault::Hang });
        }
    }
}

fn work(target: &Target, seed: u64, duration: Duration, current: &Mutex<(Instant, Vec<u8>)>) -> Result<u64, Finding> {
    let attempt = |input: &[u8]| {
        let start = Instant::now();
        {
            let mut slot = current.lock().unwrap_or_else(PoisonError::into_inner);
            slot.0 = start;
            slot.1.clear();
            slot.1.extend_from_slice(input);
        }
        let fault = try_one(target.body, input);
        fault.or_else(|| Some(start.elapsed()).filter(|took| *took > SLOW).map(Fault::Slow))
    };
    // A time beyond the clock's range is no end.
    let end = Instant::now().checked_add(duration);
    let mut random = Random::new(seed);
    let mut tried = 0;
    let mut input = Vec::new();
    loop {
        input.clear();
        match usize::try_from(tried).ok().and_then(|index| target.seeds.get(index)) {
            Some(seed) => input.extend_from_slice(seed),
            None if end.is_some_and(|end| Instant::now() > end) => return Ok(tried),
            None => mutate(target, &mut random, &mut input),
        }
        tried += 1;
        if let Some(fault) = attempt(&input) {
            return Err(shorten(input, fault, attempt));
        }
    }
}

/// Runs the body once, and gives its panic.
fn try_one(body: fn(&[u8]), input: &[u8]) -> Option<Fault> {
    thread_local! {
        static MESSAGE: std::cell::RefCell<Option<String>> = const { std::cell::RefCell::new(None) };
        static HOOKED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if HOOKED.get() {
                MESSAGE.with_borrow_mut(|message| *message = Some(info.to_string()));
            } else {
                before(info);
            }
        }));
    });
    HOOKED.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(|| body(input)));
    HOOKED.set(false);
    result.err().map(|_| Fault::Panic(MESSAGE.take().unwrap_or_default()))
}

/// Leaves out what the fault does not need. Of slow inputs only few attempts are affordable.
fn shorten(mut input: Vec<u8>, mut fault: Fault, attempt: impl Fn(&[u8]) -> Option<Fault>) -> Finding {
    let mut attempts = if matches!(fault, Fault::Panic(_)) { 2000 } else { 10 };
    let mut piece = input.len().div_ceil(2);
    while piece > 0 && attempts > 0 {
        let mut at = 0;
        while at < input.len() && attempts > 0 {
            attempts -= 1;
            let mut shorter = input.clone();
            shorter.drain(at..(at + piece).min(input.len()));
            match attempt(&shorter) {
                Some(again) => (input, fault) = (shorter, again),
                None => at += piece,
            }
        }
        piece /= 2;
    }
    Finding { input, fault }
}

fn mutate(target: &Target, random: &mut Random, input: &mut Vec<u8>) {
    let seeds = &target.seeds;
    input.extend_from_slice(&seeds[random.below(seeds.len())]);
    for _ in 0..=random.below(6) {
        let at = random.below(input.len() + 1);
        match random.below(9) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.byte(),
            2 => input.insert(at, random.byte()),
            3 => {
                let end = (at + 1 + random.below(8)).min(input.len());
                input.drain(at..end);
            }
            4 => {
                // A piece of some seed, from anywhere to anywhere.
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let to = from + random.below((other.len() - from).min(256) + 1);
                input.splice(at..at, other[from..to].iter().copied());
            }
            5 => {
                // A piece of its own, several times: nesting and repetition.
                let end = (at + 1 + random.below(16)).min(input.len());
                let piece = input[at..end].to_vec();
                let most = if random.below(8) == 0 { 128 } else { 4 };
                for _ in 0..=random.below(most) {
                    input.splice(at..at, piece.iter().copied());
                }
            }
            6 => boundary(random, at, input),
            7 if !target.tokens.is_empty() => {
                let token = target.tokens[random.below(target.tokens.len())];
                input.splice(at..at, token.iter().copied());
            }
            8 => input.truncate(at),
            _ => {}
        }
        input.truncate(MAX_LEN);
    }
}

/// Writes an integer where sizes and counts break: around powers of two and around what is left.
fn boundary(random: &mut Random, at: usize, input: &mut [u8]) {
    let left = u32::try_from(input.len() - at).unwrap_or(0);
    let edges = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    let value = match random.below(4) {
        0 => left.wrapping_sub(u32::from(random.byte() & 7)),
        _ => edges[random.below(edges.len())].wrapping_add(u32::from(random.byte() & 1)),
    };
    let bytes = value.to_be_bytes();
    let width = [1, 2, 4][random.below(3)];
    for (slot, byte) in input.iter_mut().skip(at).zip(&bytes[4 - width..]) {
        *slot = *byte;
    }
}

/// xorshift64*: small, and the same everywhere.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        // Neighbouring seeds start far apart, and zero is no state.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is not zero.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits fit") % limit
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(body: fn(&[u8])) -> Target {
        Target { name: "t", krate: "none", body, seeds: vec![b"abcdefgh".to_vec(), vec![0; 8]], tokens: &[b"XY"] }
    }

    #[test]
    fn a_panic_is_found_and_its_input_shortened() {
        let body = |input: &[u8]| assert!(!input.windows(3).any(|w| w == b"cXY"), "the fault");
        let finding = run(&target(body), 1, Duration::from_secs(20)).unwrap_err();
        assert_eq!(finding.input, b"cXY");
        assert!(matches!(&finding.fault, Fault::Panic(what) if what.contains("the fault")), "{}", finding.fault);
    }

    #[test]
    fn a_slow_input_is_found() {
        let body = |input: &[u8]| {
            if input.contains(&b'X') {
                thread::sleep(SLOW + Duration::from_millis(50));
            }
        };
        let finding = run(&target(body), 1, Duration::from_secs(20)).unwrap_err();
        assert!(matches!(finding.fault, Fault::Slow(_)), "{}", finding.fault);
        assert!(finding.input.contains(&b'X'));
    }

    #[test]
    fn a_sound_target_runs_to_the_end_of_its_time() {
        let body = |input: &[u8]| assert!(input.len() <= MAX_LEN);
        assert!(run(&target(body), 1, Duration::from_millis(100)).unwrap() > 1000);
    }

    #[test]
    fn a_seed_gives_one_sequence() {
        let sequence = |seed| {
            let (target, mut random) = (target(|_| {}), Random::new(seed));
            let one = |random: &mut Random| {
                let mut input = Vec::new();
                mutate(&target, random, &mut input);
                input
            };
            (0..500).map(|_| one(&mut random)).collect::<Vec<_>>()
        };
        assert_eq!(sequence(7), sequence(7));
        assert_ne!(sequence(7), sequence(8));
    }
}
