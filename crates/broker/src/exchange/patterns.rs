//! The patterns of a topic exchange: a tree of words, so that a message is looked up by the words of its subject and not
//! by a walk over all bindings.
//!
//! ```text
//!  a.*  a.#  #.b      (top) ─ a ─┬─ *
//!                       │        └─ # (repeats)
//!                       └─ # (repeats) ─ b
//! ```
//!
//! All places where a subject can be are followed at once, each once a word. So the cost of a message is its words times
//! the places in the tree at most, whatever the patterns are.

use std::collections::HashMap;

use slab::Slab;

#[derive(Debug)]
pub(super) struct Patterns {
    places: Slab<Place>,
    /// Places behind a `#`.
    open: usize,
    /// By place: the last step in which it was reached.
    marks: Vec<u64>,
    step: u64,
    /// Where the subject can be in front of a word, and behind it.
    here: Vec<u32>,
    next: Vec<u32>,
}

/// Where a pattern can be after some words.
#[derive(Debug, Default)]
struct Place {
    words: HashMap<Box<str>, u32>,
    star: Option<u32>,
    hash: Option<u32>,
    /// Behind a `#`: any word leads back here.
    repeats: bool,
    /// Whether a `#` is on the way here.
    open: bool,
    /// Whose patterns end here; one that has several is there as often.
    ends: Vec<u32>,
}

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Word(&'a str),
    Star,
    Hash,
}

/// The place where every subject begins.
const TOP: u32 = 0;

/// There are so many places behind a `#` at most, itself aside. A subject can be at all of them at once and in front of
/// each of its words, at others only after so many words.
pub(super) const MAX_OPEN: usize = 4096;

impl Patterns {
    pub(super) fn new() -> Self {
        let mut places = Slab::new();
        places.insert(Place::default());
        Self { places, open: 0, marks: Vec::new(), step: 0, here: Vec::new(), next: Vec::new() }
    }

    /// Whether there is no pattern.
    pub(super) fn is_empty(&self) -> bool {
        self.places.len() == 1 && self.places[TOP as usize].ends.is_empty()
    }

    /// Whether a pattern matches every subject.
    pub(super) fn takes_all(pattern: &str) -> bool {
        parts(pattern) == [Part::Hash]
    }

    /// Adds a pattern. `false`: there would be too many places behind a `#`.
    #[must_use]
    pub(super) fn add(&mut self, pattern: &str, target: u32) -> bool {
        let parts = parts(pattern);
        if self.open + self.open_missing(&parts) > MAX_OPEN {
            return false;
        }
        let mut at = TOP;
        for part in parts {
            at = match self.places[at as usize].child(part) {
                Some(child) => child,
                None => {
                    let parent = &self.places[at as usize];
                    let open = parent.open || parent.repeats;
                    self.open += usize::from(open);
                    let child = Place { repeats: part == Part::Hash, open, ..Place::default() };
                    let child = self.places.insert(child) as u32;
                    self.places[at as usize].link(part, child);
                    child
                }
            };
        }
        self.places[at as usize].ends.push(target);
        true
    }

    /// How many places behind a `#` a pattern needs that are not there.
    fn open_missing(&self, parts: &[Part<'_>]) -> usize {
        let mut at = Some(TOP);
        let (mut open, mut missing) = (false, 0);
        for part in parts {
            at = at.and_then(|at| self.places[at as usize].child(*part));
            missing += usize::from(open && at.is_none());
            open |= *part == Part::Hash;
        }
        missing
    }

    pub(super) fn remove(&mut self, pattern: &str, target: u32) {
        let parts = parts(pattern);
        let mut path = vec![TOP];
        for part in &parts {
            let Some(child) = self.places[path[path.len() - 1] as usize].child(*part) else { return };
            path.push(child);
        }
        let ends = &mut self.places[path[path.len() - 1] as usize].ends;
        let Some(index) = ends.iter().position(|end| *end == target) else { return };
        ends.swap_remove(index);
        for (part, pair) in parts.iter().zip(path.windows(2)).rev() {
            if !self.places[pair[1] as usize].is_bare() {
                break;
            }
            self.open -= usize::from(self.places.remove(pair[1] as usize).open);
            self.places[pair[0] as usize].unlink(*part);
        }
    }

    /// Adds those whose patterns a subject matches, some of them perhaps more than once.
    pub(super) fn find(&mut self, subject: &str, found: &mut Vec<u32>) {
        let Self { places, marks, step, here, next, .. } = self;
        if marks.len() < places.capacity() {
            marks.resize(places.capacity(), 0);
        }
        here.clear();
        *step += 1;
        enter(TOP, places, marks, *step, here, found);
        for word in words(subject) {
            next.clear();
            *step += 1;
            for &at in here.iter() {
                let place = &places[at as usize];
                let ways = [place.repeats.then_some(at), place.words.get(word).copied(), place.star];
                for way in ways.into_iter().flatten() {
                    enter(way, places, marks, *step, next, found);
                }
            }
            std::mem::swap(here, next);
            if here.is_empty() {
                return;
            }
        }
        for &at in here.iter() {
            found.extend_from_slice(&places[at as usize].ends);
        }
    }
}

/// Notes that a subject can be at a place, and behind a `#` there that stands for no word. Where nothing comes behind
/// the `#` the rest of the subject does not matter.
fn enter(at: u32, places: &Slab<Place>, marks: &mut [u64], step: u64, reached: &mut Vec<u32>, found: &mut Vec<u32>) {
    if std::mem::replace(&mut marks[at as usize], step) == step {
        return;
    }
    let place = &places[at as usize];
    if place.repeats && !place.leads_on() {
        return found.extend_from_slice(&place.ends);
    }
    reached.push(at);
    if let Some(hash) = place.hash {
        // Two `#` never follow each other.
        enter(hash, places, marks, step, reached, found);
    }
}

impl Place {
    fn child(&self, part: Part<'_>) -> Option<u32> {
        match part {
            Part::Word(word) => self.words.get(word).copied(),
            Part::Star => self.star,
            Part::Hash => self.hash,
        }
    }

    fn link(&mut self, part: Part<'_>, child: u32) {
        match part {
            Part::Word(word) => drop(self.words.insert(word.into(), child)),
            Part::Star => self.star = Some(child),
            Part::Hash => self.hash = Some(child),
        }
    }

    fn unlink(&mut self, part: Part<'_>) {
        match part {
            Part::Word(word) => drop(self.words.remove(word)),
            Part::Star => self.star = None,
            Part::Hash => self.hash = None,
        }
    }

    fn leads_on(&self) -> bool {
        !self.words.is_empty() || self.star.is_some() || self.hash.is_some()
    }

    fn is_bare(&self) -> bool {
        !self.leads_on() && self.ends.is_empty()
    }
}

/// The words of a subject; an empty one has none.
fn words(subject: &str) -> impl Iterator<Item = &str> {
    let some = (!subject.is_empty()).then(|| subject.split('.'));
    some.into_iter().flatten()
}

/// The parts of a pattern. Of wildcards that follow each other the `*` come first, and one `#` is as good as several.
fn parts(pattern: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut open = false;
    for word in words(pattern) {
        match word {
            "#" => open = true,
            "*" => parts.push(Part::Star),
            word => {
                if std::mem::take(&mut open) {
                    parts.push(Part::Hash);
                }
                parts.push(Part::Word(word));
            }
        }
    }
    if open {
        parts.push(Part::Hash);
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn found(patterns: &mut Patterns, subject: &str) -> Vec<u32> {
        let mut found = Vec::new();
        patterns.find(subject, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn words_and_wildcards() {
        let mut patterns = Patterns::new();
        let all = ["a", "a.b", "a.*", "a.#", "#.b", "*.*", "#", "", "a.#.c", "*.#.*", "a.", "*"];
        for (target, pattern) in all.iter().enumerate() {
            assert!(patterns.add(pattern, target as u32));
        }
        let mut check = |subject: &str, expected: &[&str]| {
            let names: Vec<&str> = found(&mut patterns, subject).iter().map(|at| all[*at as usize]).collect();
            assert_eq!(names, expected, "{subject:?}");
        };
        check("", &["#", ""]);
        check("a", &["a", "a.#", "#", "*"]);
        check("b", &["#.b", "#", "*"]);
        check("a.b", &["a.b", "a.*", "a.#", "#.b", "*.*", "#", "*.#.*"]);
        check("a.c", &["a.*", "a.#", "*.*", "#", "a.#.c", "*.#.*"]);
        check("a.x.y.c", &["a.#", "#", "a.#.c", "*.#.*"]);
        check("a.", &["a.*", "a.#", "*.*", "#", "*.#.*", "a."]);
        check("A", &["#", "*"]);
        for pattern in ["#", "#.#", "#.#.#"] {
            assert!(Patterns::takes_all(pattern), "{pattern}");
        }
        for pattern in ["", "*", "#.*", "a.#", "##"] {
            assert!(!Patterns::takes_all(pattern), "{pattern}");
        }
    }

    #[test]
    fn what_is_removed_leaves_nothing_behind() {
        let mut patterns = Patterns::new();
        let all = ["a.b.c", "a.b", "#.x", "*.#", "#.*", ""];
        for pattern in all {
            assert!(patterns.add(pattern, 1) && patterns.add(pattern, 2));
        }
        patterns.remove("a.b.d", 1);
        patterns.remove("a.b", 3);
        for pattern in all {
            patterns.remove(pattern, 1);
        }
        assert_eq!(found(&mut patterns, "a.b"), [2]);
        for pattern in all {
            patterns.remove(pattern, 2);
        }
        assert!(patterns.is_empty());
        assert_eq!(patterns.places.len(), 1);
    }

    /// Whoever tries all ways for each `#` would not live to see the end of this.
    #[test]
    fn wildcards_do_not_multiply() {
        let mut patterns = Patterns::new();
        for target in 0..50 {
            let pattern = format!("{}no{target}", "#.a.".repeat(60));
            assert!(patterns.add(&pattern, target));
        }
        assert!(patterns.add(&["#"; 127].join("."), 98) && patterns.add(&["*.#"; 63].join("."), 99));
        let subject = ["a"; 128].join(".");
        let begun = Instant::now();
        assert_eq!(found(&mut patterns, &subject), [98, 99]);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    /// Each word of a subject is looked for at all places behind a `#`.
    #[test]
    fn places_behind_a_hash_are_bounded() {
        let mut patterns = Patterns::new();
        for target in 0..MAX_OPEN as u32 / 2 {
            assert!(patterns.add(&format!("#.{target}.x"), target));
        }
        assert_eq!(patterns.open, MAX_OPEN);
        assert!(!patterns.add("#.y", 0) && !patterns.add("#.7.y", 0) && !patterns.add("a.#.b", 0));
        assert!(found(&mut patterns, "y").is_empty());
        assert!(patterns.add("#.7", 1) && patterns.add("y.#", 1) && patterns.add("a.b", 1), "they need none");
        patterns.remove("#.5.x", 5);
        assert!(patterns.add("#.y", 2) && patterns.add("b.#.c", 2) && !patterns.add("#.z", 2));
        for target in 0..MAX_OPEN as u32 / 2 {
            patterns.remove(&format!("#.{target}.x"), target);
        }
        for (pattern, target) in [("#.7", 1), ("y.#", 1), ("a.b", 1), ("#.y", 2), ("b.#.c", 2)] {
            patterns.remove(pattern, target);
        }
        assert_eq!((patterns.open, patterns.places.len()), (0, 1));
    }

    /// The definition, without any cleverness.
    fn matches(pattern: &[&str], subject: &[&str]) -> bool {
        match (pattern.first(), subject.first()) {
            (None, None) => true,
            (Some(&"#"), _) => {
                matches(&pattern[1..], subject) || !subject.is_empty() && matches(pattern, &subject[1..])
            }
            (Some(part), Some(word)) => (*part == "*" || part == word) && matches(&pattern[1..], &subject[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_subject_finds_what_the_definition_says(
            all in proptest::collection::vec(proptest::collection::vec("[ab*#]", 0..6), 0..12),
            subject in proptest::collection::vec("[ab]", 0..7),
        ) {
            let mut patterns = Patterns::new();
            for (target, pattern) in all.iter().enumerate() {
                prop_assert!(patterns.add(&pattern.join("."), target as u32));
            }
            let words: Vec<&str> = subject.iter().map(String::as_str).collect();
            let expected: Vec<u32> = (0..).zip(&all)
                .filter(|(_, pattern)| matches(&pattern.iter().map(String::as_str).collect::<Vec<_>>(), &words))
                .map(|(target, _)| target)
                .collect();
            prop_assert_eq!(found(&mut patterns, &subject.join(".")), expected);
        }
    }
}
