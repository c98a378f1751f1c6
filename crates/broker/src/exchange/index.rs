//! Which of the bound queues a message goes to, without a walk over all bindings where the kind allows that.

use std::collections::{BTreeMap, HashMap};

use postroad_codec::v1_0::{ByteString, Map};
use slab::Slab;

use super::headers::{HeaderMatch, Headers};
use super::patterns::{MAX_OPEN, Patterns};
use super::{ExchangeKind, MAX_KEY, Routed};
use crate::node_error::{Fault, NodeError};

/// The bindings of an exchange, by what they match. It knows queues by number.
#[derive(Debug)]
pub(super) struct Index {
    /// Those that get every message, and by how many bindings.
    all: BTreeMap<u32, usize>,
    some: Choice,
}

#[derive(Debug)]
enum Choice {
    Fanout,
    Direct(HashMap<ByteString, Vec<u32>>),
    Topic(Box<Patterns>),
    /// And how many properties all of them ask for.
    Headers(Slab<(u32, HeaderMatch)>, usize),
}

impl Index {
    pub(super) fn new(kind: ExchangeKind) -> Self {
        let some = match kind {
            ExchangeKind::Fanout => Choice::Fanout,
            ExchangeKind::Direct => Choice::Direct(HashMap::new()),
            ExchangeKind::Topic => Choice::Topic(Box::new(Patterns::new())),
            ExchangeKind::Headers => Choice::Headers(Slab::new(), 0),
        };
        Self { all: BTreeMap::new(), some }
    }

    /// Whether every queue gets every message: then nothing of it has to be read.
    pub(super) fn is_plain(&self) -> bool {
        match &self.some {
            Choice::Fanout => true,
            Choice::Direct(keys) => keys.is_empty(),
            Choice::Topic(patterns) => patterns.is_empty(),
            Choice::Headers(matches, _) => matches.is_empty(),
        }
    }

    /// The key by which a binding is known: a fanout exchange has no use for any.
    pub(super) fn key<'a>(&self, key: &'a str) -> &'a str {
        if matches!(self.some, Choice::Fanout) { "" } else { key }
    }

    /// Whether arguments tell bindings apart.
    pub(super) fn has_arguments(&self) -> bool {
        matches!(self.some, Choice::Headers(..))
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
        match &mut self.some {
            Choice::Fanout => {}
            Choice::Direct(keys) => keys.clear(),
            Choice::Topic(patterns) => **patterns = Patterns::new(),
            Choice::Headers(matches, asked) => {
                matches.clear();
                *asked = 0;
            }
        }
    }

    /// Adds a binding. The answer is for [`Index::remove`].
    pub(super) fn add(&mut self, target: u32, key: &ByteString, arguments: &Map) -> Result<usize, NodeError> {
        let all = match &mut self.some {
            Choice::Fanout => true,
            Choice::Direct(keys) => {
                keys.entry(key.clone()).or_default().push(target);
                false
            }
            Choice::Topic(_) if Patterns::takes_all(key) => true,
            Choice::Topic(patterns) => {
                let words = key.split('.').count();
                if words > MAX_WORDS {
                    let text = format!("a pattern of {words} words: {MAX_WORDS} are allowed");
                    return Err(NodeError::new(Fault::Limit, text));
                }
                if !patterns.add(key, target) {
                    let text = format!("the patterns of the exchange have {MAX_OPEN} words behind a `#`");
                    return Err(NodeError::new(Fault::Limit, text));
                }
                false
            }
            Choice::Headers(matches, asked) => {
                let wanted = HeaderMatch::read(arguments)?;
                if *asked + wanted.len() > MAX_ASKED {
                    let text = format!("the bindings of the exchange ask for {MAX_ASKED} properties");
                    return Err(NodeError::new(Fault::Limit, text));
                }
                if !wanted.takes_all() {
                    *asked += wanted.len();
                    return Ok(matches.insert((target, wanted)));
                }
                true
            }
        };
        if all {
            *self.all.entry(target).or_default() += 1;
        }
        Ok(ALL)
    }

    pub(super) fn remove(&mut self, target: u32, key: &str, place: usize) {
        match &mut self.some {
            Choice::Direct(keys) => {
                let Some(targets) = keys.get_mut(key) else { return };
                if let Some(index) = targets.iter().position(|one| *one == target) {
                    targets.swap_remove(index);
                }
                if targets.is_empty() {
                    keys.remove(key);
                }
            }
            Choice::Topic(patterns) if !Patterns::takes_all(key) => patterns.remove(key, target),
            Choice::Headers(matches, asked) if place != ALL => {
                *asked -= matches.try_remove(place).map_or(0, |(_, wanted)| wanted.len());
            }
            Choice::Fanout | Choice::Topic(_) | Choice::Headers(..) => {
                if let Some(bindings) = self.all.get_mut(&target) {
                    *bindings -= 1;
                    if *bindings == 0 {
                        self.all.remove(&target);
                    }
                }
            }
        }
    }

    /// Adds the queues that get a message, each once and in order, behind what is in `found`.
    pub(super) fn find(&mut self, routed: &Routed, found: &mut Vec<u32>) {
        let start = found.len();
        found.extend(self.all.keys());
        // No key is longer, and a pattern that a longer subject could match is not looked for.
        let subject = routed.subject().unwrap_or_default();
        match &mut self.some {
            Choice::Direct(keys) if subject.len() <= MAX_KEY => found.extend(keys.get(subject).into_iter().flatten()),
            Choice::Topic(patterns) if subject.len() <= MAX_KEY => patterns.find(subject, found),
            Choice::Headers(matches, _) if !matches.is_empty() => {
                let headers = Headers::of(routed);
                let matching = matches.iter().filter(|(_, (_, wanted))| wanted.matches(&headers));
                found.extend(matching.map(|(_, (target, _))| *target));
            }
            Choice::Fanout | Choice::Direct(_) | Choice::Topic(_) | Choice::Headers(..) => {}
        }
        found[start..].sort_unstable();
        let mut kept = start;
        for at in start..found.len() {
            if kept == start || found[kept - 1] != found[at] {
                found[kept] = found[at];
                kept += 1;
            }
        }
        found.truncate(kept);
    }
}

/// A pattern may have so many words: each of them has a place in the tree, which takes far more memory than its text.
const MAX_WORDS: usize = 32;

/// The bindings of a headers exchange ask for so many properties in all: each is looked up for every message.
const MAX_ASKED: usize = 262_144;

/// The place of bindings that have none of their own.
const ALL: usize = usize::MAX;
