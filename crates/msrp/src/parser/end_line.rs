//! Finds the end line behind content (RFC 4975 7.1), wherever the input is cut.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

use crate::{Flag, TransactionId};

/// What an end line behind content begins with; the octets before the hyphens are not content.
const BEGIN: &[u8] = b"\r\n-------";

/// The longest end line: the beginning, an id, a flag, CR LF.
const LONGEST: usize = BEGIN.len() + TransactionId::MAX + 3;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(BEGIN));

/// The search for the end of one frame's content.
#[derive(Debug)]
pub(super) struct EndLine {
    id: TransactionId,
    /// The last that came, where it could be the beginning of the end line.
    held: [u8; LONGEST],
    held_length: usize,
    found: Option<Flag>,
}

/// What stands at a place.
enum At {
    /// The end line, of so many octets.
    EndLine(Flag, usize),
    /// The beginning of one, up to the end of the input.
    Beginning,
    /// Content.
    Content,
}

impl EndLine {
    pub(super) fn new(id: TransactionId) -> Self {
        Self { id, held: [0; LONGEST], held_length: 0, found: None }
    }

    pub(super) fn transaction_id(&self) -> TransactionId {
        self.id
    }

    /// The flag, once everything before the end line has been read.
    pub(super) fn found(&self) -> Option<Flag> {
        self.found
    }

    /// Takes content out of what has come, or all of it that may be the end line.
    pub(super) fn read(&mut self, rest: &mut Bytes) -> Option<Bytes> {
        if self.found.is_some() {
            None
        } else if self.held_length > 0 {
            self.go_on(rest)
        } else {
            self.search(rest)
        }
    }

    fn search(&mut self, rest: &mut Bytes) -> Option<Bytes> {
        let mut from = 0;
        let length = loop {
            let Some(place) = FINDER.find(&rest[from..]).map(|place| from + place) else {
                break rest.len() - beginning_at_end(rest);
            };
            match self.at(&rest[place..]) {
                At::EndLine(flag, length) => {
                    let content = rest.split_to(place);
                    let _ = rest.split_to(length);
                    self.found = Some(flag);
                    return (!content.is_empty()).then_some(content);
                }
                At::Beginning => break place,
                // The next one can begin with the CR that ended this one at the earliest.
                At::Content => from = place + BEGIN.len(),
            }
        };
        let content = rest.split_to(length);
        self.hold(rest);
        (!content.is_empty()).then_some(content)
    }

    /// Goes on where the last that came could be the beginning of the end line.
    fn go_on(&mut self, rest: &mut Bytes) -> Option<Bytes> {
        let taken = rest.len().min(LONGEST);
        let mut both = [0; 2 * LONGEST];
        let (held, end) = (self.held_length, self.held_length + taken);
        both[..held].copy_from_slice(&self.held[..held]);
        both[held..end].copy_from_slice(&rest[..taken]);
        let both = &both[..end];
        match self.at(both) {
            At::EndLine(flag, length) => {
                let _ = rest.split_to(length - held);
                (self.held_length, self.found) = (0, Some(flag));
                None
            }
            At::Beginning => {
                self.hold_octets(both);
                rest.clear();
                None
            }
            At::Content => {
                let mut places = 1..held;
                let next = places.find(|place| !matches!(self.at(&both[*place..]), At::Content)).unwrap_or(held);
                let content = Bytes::copy_from_slice(&both[..next]);
                self.held.copy_within(next..held, 0);
                self.held_length = held - next;
                Some(content)
            }
        }
    }

    fn at(&self, octets: &[u8]) -> At {
        let id = self.id.as_bytes();
        let whole = BEGIN.len() + id.len() + 3;
        for (part, at) in [(BEGIN, 0), (id, BEGIN.len()), (b"\r\n", whole - 2)] {
            let Some(there) = octets.get(at..) else { return At::Beginning };
            let there = &there[..there.len().min(part.len())];
            if !part.starts_with(there) {
                return At::Content;
            }
            if there.len() < part.len() && at != whole - 2 {
                return At::Beginning;
            }
        }
        match octets.get(whole - 3).map(|flag| Flag::from_byte(*flag)) {
            Some(None) => At::Content,
            Some(Some(flag)) if octets.len() >= whole => At::EndLine(flag, whole),
            _ => At::Beginning,
        }
    }

    fn hold(&mut self, rest: &mut Bytes) {
        self.hold_octets(rest);
        rest.clear();
    }

    fn hold_octets(&mut self, octets: &[u8]) {
        self.held[..octets.len()].copy_from_slice(octets);
        self.held_length = octets.len();
    }
}

/// How many octets at the end could be the beginning of an end line of any id.
fn beginning_at_end(octets: &[u8]) -> usize {
    let tail = &octets[octets.len() - octets.len().min(BEGIN.len() - 1)..];
    (0..tail.len()).find(|place| BEGIN.starts_with(&tail[*place..])).map_or(0, |place| tail.len() - place)
}
