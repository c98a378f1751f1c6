//! Chunks to messages, against a plain array of octets.

use std::time::Instant;

use bytes::Bytes;

use crate::assembly::{Assemblies, AssemblyLimits, AssemblyOptions, Budget, Keep, Outcome, Overlap, Refusal, Started};
use crate::{ByteRange, Flag};

/// Chunks of one message in any order give what a plain array of octets gives, and end when it has them all.
///
/// # Panics
/// When they do not.
pub fn assembly(input: &[u8]) {
    let [setup, steps @ ..] = input else { return };
    // Eight units are a long piece, now and then: these take their time.
    let scale = if setup & 0x14 == 0x14 { 2100 } else { 1 };
    let options = AssemblyOptions {
        keep: if setup & 1 == 0 { Keep::Memory } else { Keep::Pieces },
        overlap: if setup & 2 == 0 { Overlap::Last } else { Overlap::First },
        max_size: 60 * scale,
        // So few chunks never make 64 pieces.
        max_ranges: if setup & 8 == 0 { 64 } else { 3 },
    };
    let now = Instant::now();
    let (mut all, mut budget) = (Assemblies::new(AssemblyLimits::default()), Budget::new(1 << 20));
    let (mut model, mut written) = (Model::default(), vec![None; options.max_size as usize]);
    for (count, step) in steps.as_chunks::<5>().0.iter().take(24).enumerate() {
        let step = Step::new(*step, scale);
        let expected = model.begin(step.range, options.max_size);
        let begun = all.begin(b"message", step.range, options, now, &mut budget);
        assert_eq!(begun.err(), expected, "{step:?}");
        if expected.is_some() {
            return over(&mut all, options, &mut budget);
        }
        assert_eq!(begun, Ok(if count == 0 { Started::New } else { Started::Continued }));
        let content: Bytes = (0..step.length).map(|index| (index * 7) as u8 ^ (count as u8) << 3).collect();
        let cut = content.len() / 3;
        let expected = model.data(step.range, &content, options);
        let mut taken = Ok(());
        for piece in [content.slice(..cut), content.slice(cut..)] {
            taken = taken.and_then(|()| {
                all.data(piece, now, &mut budget, |at, bytes| {
                    for (place, byte) in written[at as usize..].iter_mut().zip(bytes) {
                        *place = Some(byte);
                    }
                })
            });
        }
        // Short pieces in reverse are refused before they are as many intervals.
        let too_many = options.max_ranges == 3 && taken == Err(Refusal::TooManyRanges);
        assert!(too_many || taken.err() == expected, "{step:?}: {taken:?} and not {expected:?}");
        assert!(model.runs() <= options.max_ranges || too_many || taken.is_err());
        if taken.is_err() {
            return over(&mut all, options, &mut budget);
        }
        let there = model.content.iter().flatten().count() as u64;
        assert_eq!(budget.used(), if options.keep == Keep::Memory { there } else { 0 });
        let expected = model.end(step.flag);
        match all.end(step.flag, now, &mut budget).map(|ended| ended.outcome) {
            Err(refusal) => {
                assert_eq!(Err(refusal), expected);
                return over(&mut all, options, &mut budget);
            }
            Ok(Outcome::More) => assert_eq!(expected, Ok(false)),
            Ok(Outcome::Aborted { .. }) => {
                assert_eq!(step.flag, Flag::Aborted);
                return over(&mut all, options, &mut budget);
            }
            Ok(Outcome::Complete { total, buffer }) => {
                assert_eq!((expected, Some(total)), (Ok(true), model.total));
                let content: Vec<u8> = model.content.iter().map(|byte| byte.expect("complete")).collect();
                assert_eq!(content.len() as u64, total);
                if options.keep == Keep::Memory {
                    assert_eq!(buffer.into_bytes(), content);
                } else {
                    assert!(content.iter().zip(&written).all(|(one, other)| Some(*one) == *other));
                }
                assert_eq!(all.begin(b"message", None, options, now, &mut budget), Ok(Started::Duplicate));
                assert_eq!(budget.used(), 0);
                return;
            }
            Ok(Outcome::Duplicate) => panic!("a duplicate of a message that was never whole"),
        }
    }
    all.clear(&mut budget);
    while let Some(dropped) = all.poll_dropped() {
        let mut parts = vec![None; model.content.len()];
        for (at, bytes) in dropped.buffer.into_parts() {
            for (place, byte) in parts[at as usize..].iter_mut().zip(bytes) {
                assert_eq!(place.replace(byte), None);
            }
        }
        assert!(options.keep == Keep::Pieces || parts == model.content);
        assert_eq!(dropped.total, model.total);
    }
    assert_eq!((budget.used(), all.len()), (0, 0));
}

fn over(all: &mut Assemblies, options: AssemblyOptions, budget: &mut Budget) {
    assert_eq!((budget.used(), all.len()), (0, 0));
    assert_eq!(all.begin(b"message", None, options, Instant::now(), budget), Err(Refusal::Stopped));
}

#[derive(Debug)]
struct Step {
    range: Option<ByteRange>,
    length: u64,
    flag: Flag,
}

impl Step {
    /// One chunk, which mostly fits to a message of 32 units.
    fn new([start, length, end, total, how]: [u8; 5], scale: u64) -> Self {
        let (start, length) = (u64::from(start % 34) * scale, u64::from(length % 34) * scale);
        let end = match how & 3 {
            0 => Some(start + length),
            1 => Some(start + u64::from(end % 40) * scale),
            _ => None,
        };
        let total = match how >> 2 & 3 {
            0 => Some(32 * scale),
            1 => Some(u64::from(total % 70) * scale),
            _ => None,
        };
        let flag = match how >> 4 & 7 {
            0 if start + length == 32 * scale => Flag::Complete,
            1 => Flag::Complete,
            2 if how > 0xf0 => Flag::Aborted,
            _ if start + length == 32 * scale => Flag::Complete,
            _ => Flag::Continues,
        };
        Self { range: ByteRange::new(start + 1, end, total).ok(), length, flag }
    }
}

#[derive(Debug, Default)]
struct Model {
    content: Vec<Option<u8>>,
    total: Option<u64>,
    ended: bool,
    /// Behind the last octet of the chunk.
    at: u64,
}

impl Model {
    fn begin(&mut self, range: Option<ByteRange>, most: u64) -> Option<Refusal> {
        let range = range?;
        let reach = range.end().unwrap_or(0).max(range.start() - 1);
        if reach > most || range.total().is_some_and(|total| total > most) {
            return Some(Refusal::TooLarge);
        }
        let known = self.total;
        if let Some(total) = range.total() {
            if known.is_some_and(|known| known != total) || self.content.len() as u64 > total {
                return Some(Refusal::Totals);
            }
            self.total = Some(total);
        }
        self.total.filter(|total| reach > *total).map(|_| Refusal::BeyondTotal)
    }

    fn data(&mut self, range: Option<ByteRange>, content: &[u8], options: AssemblyOptions) -> Option<Refusal> {
        let start = range.map_or(0, |range| range.start() - 1);
        self.at = start + content.len() as u64;
        if range.and_then(|range| range.end()).is_some_and(|end| self.at > end) && !content.is_empty() {
            return Some(Refusal::BeyondEnd);
        }
        if self.total.is_some_and(|total| self.at > total) {
            return Some(Refusal::BeyondTotal);
        }
        if self.at > options.max_size {
            return Some(Refusal::TooLarge);
        }
        for (index, byte) in (start as usize..).zip(content) {
            if index >= self.content.len() {
                self.content.resize(index + 1, None);
            }
            if options.overlap == Overlap::Last || self.content[index].is_none() {
                self.content[index] = Some(*byte);
            }
        }
        (self.runs() > options.max_ranges).then_some(Refusal::TooManyRanges)
    }

    fn runs(&self) -> usize {
        let before = std::iter::once(&None).chain(&self.content);
        self.content.iter().zip(before).filter(|(byte, before)| byte.is_some() && before.is_none()).count()
    }

    /// Whether the message is whole.
    fn end(&mut self, flag: Flag) -> Result<bool, Refusal> {
        if flag == Flag::Complete {
            if self.total.is_some_and(|total| total != self.at) || self.content.len() as u64 > self.at {
                return Err(Refusal::Totals);
            }
            self.total = Some(self.at);
            self.ended = true;
        }
        let whole =
            self.content.len() as u64 == self.total.unwrap_or(u64::MAX) && self.content.iter().all(Option::is_some);
        Ok(whole && self.ended && flag != Flag::Aborted)
    }
}
