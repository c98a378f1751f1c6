//! Places within an encoded message, as the state `received` names them.

use super::Received;

/// Follows an encoded message piece by piece, and tells where it is: in which section, and how far into it (AMQP 1.0
/// part 3, 3.4.1). Bytes that are no sections count as one that never ends.
///
/// ```
/// use postroad_codec::v1_0::{Message, Position};
/// let encoded = Message::from("hello").to_bytes();
/// let mut position = Position::default();
/// position.advance(&encoded[..5]);
/// assert_eq!((position.received().section_number, position.received().section_offset), (0, 5));
/// position.advance(&encoded[5..]);
/// assert_eq!((position.received().section_number, position.received().section_offset), (1, 0));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    section: u32,
    offset: u64,
    /// Values of the section that are still to begin; a described one counts its descriptor and what that describes.
    values: u64,
    next: Next,
}

/// What the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Next {
    /// The constructor of a value.
    #[default]
    Constructor,
    /// A byte of a length, of which so many are still to come.
    Length { left: u8, length: u32 },
    /// Within a value, of which so many bytes are still to come.
    Content(u64),
    /// In bytes that are no section.
    Opaque,
}

impl From<Received> for Position {
    /// A place where a section begins, or the end of a message.
    fn from(received: Received) -> Self {
        Self { section: received.section_number, offset: received.section_offset, ..Self::default() }
    }
}

impl Position {
    /// The place where the next byte belongs.
    #[must_use]
    pub fn received(&self) -> Received {
        Received { section_number: self.section, section_offset: self.offset }
    }

    /// Moves on behind `bytes`.
    pub fn advance(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[self.advance_section(rest)..];
        }
    }

    /// The index in `encoded` of a place, where it has such a place: the first byte that is still to be sent to one
    /// that has received this much. Places behind the end of a section are none, but for the very next byte.
    #[must_use]
    pub fn find(encoded: &[u8], place: &Received) -> Option<usize> {
        let (mut position, mut start) = (Self::default(), 0);
        while position.section < place.section_number {
            if start == encoded.len() {
                return None;
            }
            start += position.advance_section(&encoded[start..]);
        }
        let offset = usize::try_from(place.section_offset).ok()?;
        let within = match encoded.len() - start {
            0 => 0,
            _ => position.advance_section(&encoded[start..]),
        };
        (offset <= within).then_some(start + offset)
    }

    /// Moves on to the end of the section, or of `bytes`, and answers how far that was: 1 at least, where there are
    /// bytes. At the end of a section the place is the start of the next.
    pub fn advance_section(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let step = match self.next {
                Next::Opaque => bytes.len() - at,
                Next::Content(left) => {
                    let step = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    self.content(left - step as u64);
                    step
                }
                Next::Length { left, length } => {
                    let length = length << 8 | u32::from(bytes[at]);
                    match left {
                        1 => self.content(length.into()),
                        _ => self.next = Next::Length { left: left - 1, length },
                    }
                    1
                }
                Next::Constructor => {
                    self.constructor(bytes[at]);
                    1
                }
            };
            at += step;
            self.offset += step as u64;
            if self.next == Next::Constructor && self.values == 0 {
                (self.section, self.offset) = (self.section.saturating_add(1), 0);
                return at;
            }
        }
        at
    }

    /// A value begins (part 1, 1.2).
    fn constructor(&mut self, code: u8) {
        if self.offset == 0 {
            // Sections are described values.
            if code != 0x00 {
                self.next = Next::Opaque;
                return;
            }
            self.values = 1;
        }
        match code {
            // The value is a descriptor and what it describes.
            0x00 => self.values += 1,
            0x40..=0x4f => self.content(0),
            0x50..=0x9f => self.content(1 << ((code >> 4) - 5)),
            0xa0..=0xaf | 0xc0..=0xcf | 0xe0..=0xef => self.next = Next::Length { left: 1, length: 0 },
            0xb0..=0xbf | 0xd0..=0xdf | 0xf0..=0xff => self.next = Next::Length { left: 4, length: 0 },
            0x01..=0x3f => self.next = Next::Opaque,
        }
    }

    /// So much of a value is still to come.
    fn content(&mut self, left: u64) {
        if left > 0 {
            self.next = Next::Content(left);
        } else {
            self.values -= 1;
            self.next = Next::Constructor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1_0::{Body, Described, Encode, Message, Properties, Value};

    /// A message with its sections' lengths.
    fn sample() -> (Vec<u8>, Vec<usize>) {
        let described = Described { descriptor: Value::from(7u64), value: Value::List(vec![Value::from(1.5f64)]) };
        let nested = Described { descriptor: Value::from("a:b"), value: Value::Described(Box::new(described)) };
        let body = Value::Described(Box::new(nested));
        let body_length = 3 + body.encoded_len();
        let properties = Properties { subject: Some("subject".into()), ..Properties::default() };
        let message = Message { properties: Some(Box::new(properties)), body: Body::Value(body), ..Message::default() };
        let encoded = message.to_bytes();
        (encoded.to_vec(), vec![encoded.len() - body_length, body_length])
    }

    #[test]
    fn every_place_is_found_again_from_every_split() {
        let (encoded, lengths) = sample();
        for split in 0..=encoded.len() {
            let mut position = Position::default();
            position.advance(&encoded[..split]);
            let place = position.received();
            let before: usize = lengths[..place.section_number as usize].iter().sum();
            assert_eq!(before + place.section_offset as usize, split, "{place:?}");
            assert_eq!(Position::find(&encoded, &place), Some(split));
            position.advance(&encoded[split..]);
            assert_eq!(position.received(), Received { section_number: 2, section_offset: 0 });
        }
    }

    #[test]
    fn the_end_of_a_section_is_the_start_of_the_next() {
        let (encoded, lengths) = sample();
        let end = Received { section_number: 0, section_offset: lengths[0] as u64 };
        assert_eq!(Position::find(&encoded, &end), Some(lengths[0]));
        let behind = Received { section_number: 0, section_offset: lengths[0] as u64 + 1 };
        assert_eq!(Position::find(&encoded, &behind), None);
    }

    #[test]
    fn places_that_are_not_there_are_not_found() {
        let (encoded, _) = sample();
        for (section_number, section_offset) in [(3, 0), (2, 1), (u32::MAX, 0), (0, u64::MAX)] {
            assert_eq!(Position::find(&encoded, &Received { section_number, section_offset }), None);
        }
        assert_eq!(Position::find(&[], &Received::default()), Some(0));
    }

    #[test]
    fn bytes_that_are_no_sections_are_one_section() {
        for bytes in [&b"no message"[..], b"\x00\x53\x10rest", b"\x00\x53\x77\x00\x00\x00\x00\x02"] {
            let mut position = Position::default();
            position.advance(bytes);
            assert_eq!(position.received(), Received { section_number: 0, section_offset: bytes.len() as u64 });
            for split in 0..=bytes.len() {
                let place = Received { section_number: 0, section_offset: split as u64 };
                assert_eq!(Position::find(bytes, &place), Some(split));
            }
        }
    }

    #[test]
    fn lengths_are_skipped_without_being_believed() {
        // A binary of 4 GiB less one, of which nothing is there.
        let mut position = Position::default();
        position.advance(b"\x00\x53\x75\xb0\xff\xff\xff\xff");
        position.advance(&[0; 100]);
        assert_eq!(position.received(), Received { section_number: 0, section_offset: 108 });
    }
}
