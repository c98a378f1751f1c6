//! Selectors: conditions on the header and the properties of a message, as JMS writes them (JMS 2.0, 3.8).
//!
//! ```text
//! colour = 'red' AND (weight BETWEEN 1 AND 2.5 OR JMSPriority > 4) AND name LIKE 'a!_%' ESCAPE '!'
//! ```
//!
//! A selector is compiled into steps for a machine with a stack: nothing recurses and nothing is allocated while a
//! message is looked at, and of the message only the sections are read that the selector names something of. Values are
//! true, false or unknown, which is what an absent property is and what becomes of it (3.8.1.2). Where kinds differ that
//! cannot be compared, the comparison is false (3.8.1.1).
//!
//! Names are those of application properties, but for those of header fields: `fields.rs` has them, and
//! `docs/protocol/nodes.md` says what they are.

mod error;
mod fields;
mod like;
mod machine;
mod parser;
#[cfg(test)]
mod tests;
mod token;

use postroad_codec::v1_0::MessageFormat;

pub(crate) use self::error::SelectorError;
use self::fields::Fields;
use self::machine::Step;

/// A selector may have this many bytes: each is looked at for every message.
pub(crate) const MAX_LEN: usize = 8192;

/// Steps of a selector that has been compiled, each of which is taken for every message.
const MAX_STEPS: usize = 2048;

/// Parentheses may nest this deep: the parser recurses once for each.
const MAX_DEPTH: usize = 32;

/// A pattern of LIKE may have this many bytes: the worst of them are sought at every place of a text.
const MAX_PATTERN: usize = 512;

/// The patterns of a selector look at so many bytes of a message in all, some of them again and again. What would take
/// more is unknown: a lock is held meanwhile, and there are thousands of subscriptions that look at a message one after
/// the other.
const MAX_EFFORT: usize = 262_144;

/// So many bytes that are looked at count as much as a message that is: with a plain selector each takes well below a
/// microsecond.
const BYTES_FOR_ONE: usize = 4096;

/// So many steps do.
const STEPS_FOR_ONE: usize = 64;

/// Different application properties that a selector may name: each has a place on the stack while a message is looked
/// at.
const MAX_PROPERTIES: usize = 32;

/// A condition on messages.
#[derive(Debug)]
pub(crate) struct Selector {
    text: Box<str>,
    steps: Box<[Step]>,
    /// The application properties that it names, in order.
    names: Box<[Box<str>]>,
    /// How often it may look at each byte of a message, in the worst of cases.
    cost: usize,
}

/// What a selector looks at of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) format: MessageFormat,
    /// Deliveries that failed in its queue, which add to those of the header.
    pub(crate) failures: u32,
}

impl Selector {
    /// Compiles a selector. One that is blank is true of every message.
    pub(crate) fn new(text: &str) -> Result<Self, SelectorError> {
        let (steps, names) = parser::compile(text)?;
        let cost = steps.iter().map(Step::cost).sum();
        Ok(Self { text: text.into(), steps: steps.into(), names: names.into(), cost })
    }

    /// What it may take to look at a message, where a small one and a plain selector take nothing worth counting. The
    /// sections of the message are found each time.
    pub(crate) fn effort(&self, candidate: Candidate<'_>) -> usize {
        let length = candidate.payload.len();
        let bytes = length.saturating_add(self.cost.saturating_mul(length).min(MAX_EFFORT));
        bytes / BYTES_FOR_ONE + self.steps.len() / STEPS_FOR_ONE
    }

    /// The selector as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is true of a message; unknown is not.
    pub(crate) fn matches(&self, candidate: Candidate<'_>) -> bool {
        machine::run(&self.steps, &Fields::new(candidate, &self.names))
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
