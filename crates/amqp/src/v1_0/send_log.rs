//! What a sender must keep until it is settled.

use std::collections::VecDeque;

use bytes::Bytes;

/// Messages of a link that may have to be sent again. Small ones, and what stands in front of shared content, lie one
/// behind another in segments, so that keeping one costs a copy and no allocation; a segment goes when its last message
/// does.
#[derive(Debug, Default)]
pub(crate) struct SendLog {
    segments: VecDeque<Segment>,
    /// Number of the first segment, which wraps around.
    first: u32,
    /// Segments that hold memory.
    held: usize,
    /// Bytes of all messages.
    bytes: usize,
}

#[derive(Debug)]
struct Segment {
    bytes: Vec<u8>,
    live: u32,
}

/// Where a kept message is.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    /// Nowhere: it was not to be kept.
    Nothing,
    /// In a segment.
    Logged(Place),
    /// Its front in a segment, and its content by itself.
    Split(Place, Bytes),
    /// By itself.
    Shared(Bytes),
    /// By itself, in two pieces.
    Joined(Box<(Bytes, Bytes)>),
}

/// A place in a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The lower half of the segment's number: no more segments than that are there at once.
    segment: u32,
    start: u16,
    length: u16,
}

impl Kept {
    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Logged(place) => place.length.into(),
            Self::Split(place, content) => usize::from(place.length) + content.len(),
            Self::Shared(message) => message.len(),
            Self::Joined(pieces) => pieces.0.len() + pieces.1.len(),
        }
    }
}

const SEGMENT: usize = 64 * 1024;
/// What is copied into a segment at most.
const SMALL: usize = 4096;
/// Content from this length on is shared: a counter is cheaper than the copy.
const SHARED: usize = 512;

impl SendLog {
    /// Keeps a message, the front of which is copied; what is large of the rest is shared.
    #[inline]
    pub(crate) fn keep(&mut self, front: &[u8], content: Option<&Bytes>) -> Kept {
        let behind = content.map_or(&[][..], |content| content);
        let length = front.len() + behind.len();
        self.bytes += length;
        match content {
            Some(content) if content.len() >= SHARED && front.is_empty() => Kept::Shared(content.clone()),
            Some(content) if content.len() >= SHARED && front.len() <= SMALL => {
                Kept::Split(self.log(front, &[]), content.clone())
            }
            _ if length <= SMALL => Kept::Logged(self.log(front, behind)),
            Some(content) if content.len() >= SHARED => {
                Kept::Joined(Box::new((Bytes::copy_from_slice(front), content.clone())))
            }
            content => Kept::Shared(joined(front, content)),
        }
    }

    #[inline]
    fn log(&mut self, front: &[u8], behind: &[u8]) -> Place {
        let length = front.len() + behind.len();
        match self.segments.back() {
            Some(last) if last.bytes.len() + length <= SEGMENT => {}
            _ => self.begin_segment(),
        }
        let segment = self.first.wrapping_add(self.segments.len() as u32 - 1);
        let last = self.segments.back_mut().expect("there is a segment now");
        // An empty message may stand at the very end: it is nowhere in particular.
        let start = last.bytes.len().min(SEGMENT - 1) as u16;
        last.bytes.extend_from_slice(front);
        last.bytes.extend_from_slice(behind);
        last.live += 1;
        Place { segment, start, length: length as u16 }
    }

    #[cold]
    fn begin_segment(&mut self) {
        self.segments.push_back(Segment { bytes: Vec::with_capacity(SEGMENT), live: 0 });
        self.held += 1;
    }

    /// Forgets a message that is settled.
    #[inline]
    pub(crate) fn forget(&mut self, kept: &Kept) {
        self.bytes -= kept.len();
        let (Kept::Logged(place) | Kept::Split(place, _)) = kept else { return };
        let index = place.segment.wrapping_sub(self.first) as usize;
        let segment = &mut self.segments[index];
        segment.live -= 1;
        if segment.live == 0 {
            self.end_segment(index);
        }
    }

    /// Frees a segment of which nothing is kept any more.
    #[cold]
    fn end_segment(&mut self, index: usize) {
        let last = index + 1 == self.segments.len();
        let bytes = &mut self.segments[index].bytes;
        if last {
            // The segment that is being filled starts over instead of being allocated anew.
            bytes.clear();
        } else {
            // Its place stays until those before it are gone: segments are known by their numbers.
            *bytes = Vec::new();
            self.held -= 1;
        }
        while self.segments.len() > 1 && self.segments[0].live == 0 {
            self.segments.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }

    /// Bytes that all messages take up: a message may hold a whole segment, and no more than two segments are left out.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.max(self.held.saturating_sub(2) * SEGMENT)
    }

    /// The message, where it was kept.
    pub(crate) fn get(&self, kept: &Kept) -> Option<Bytes> {
        match kept {
            Kept::Nothing => None,
            Kept::Shared(message) => Some(message.clone()),
            Kept::Joined(pieces) => Some(joined(&pieces.0, Some(&pieces.1))),
            Kept::Logged(place) => Some(Bytes::copy_from_slice(self.at(*place)?)),
            Kept::Split(place, content) => Some(joined(self.at(*place)?, Some(content))),
        }
    }

    fn at(&self, place: Place) -> Option<&[u8]> {
        let bytes = &self.segments.get(place.segment.wrapping_sub(self.first) as usize)?.bytes;
        let start = usize::from(place.start);
        Some(&bytes[start..start + usize::from(place.length)])
    }
}

/// A message in one piece.
pub(crate) fn joined(front: &[u8], content: Option<&Bytes>) -> Bytes {
    [front, content.map_or(&[][..], |content| content)].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_two_pieces_is_whole_again() {
        let mut log = SendLog::default();
        let large = [1; SMALL + 1];
        for length in [0, 1, SHARED - 1, SHARED, SMALL, SMALL + 1, 3 * SEGMENT] {
            let content = Bytes::from(vec![7; length]);
            for front in [&b""[..], b"front", &large] {
                let kept = log.keep(front, Some(&content));
                assert_eq!(log.bytes(), front.len() + length);
                assert_eq!(log.get(&kept).unwrap(), [front, &content].concat(), "{length}");
                log.forget(&kept);
                assert_eq!(log.bytes(), 0);
            }
        }
    }

    #[test]
    fn segments_go_with_their_last_message() {
        let mut log = SendLog::default();
        let kept: Vec<_> = (0..10_000u32).map(|number| log.keep(&number.to_be_bytes().repeat(25), None)).collect();
        assert_eq!(log.segments.len(), 10_000 * 100 / SEGMENT + 1);
        for (number, kept) in kept.iter().enumerate().skip(1) {
            assert_eq!(log.get(kept).unwrap()[..4], (number as u32).to_be_bytes());
            log.forget(kept);
        }
        assert!(log.segments.len() > 1, "the first message is still there");
        assert_eq!(log.get(&kept[0]).unwrap()[..4], [0; 4]);
        log.forget(&kept[0]);
        assert_eq!((log.segments.len(), log.bytes()), (1, 0));
        let again = log.keep(b"again", None);
        assert_eq!(log.get(&again).unwrap(), "again");
        assert_eq!(log.segments.len(), 1);
    }

    #[test]
    fn a_segment_without_messages_holds_no_memory_and_one_with_a_single_message_counts_whole() {
        let mut log = SendLog::default();
        let kept: Vec<_> = (0..10_000u32).map(|number| log.keep(&number.to_be_bytes().repeat(25), None)).collect();
        assert_eq!((log.segments.len(), log.bytes()), (16, 1_000_000));
        // One message stays in each fourth segment.
        let stays = |number: &usize| number.is_multiple_of(4 * (SEGMENT / 100));
        for (_, kept) in kept.iter().enumerate().filter(|(number, _)| !stays(number)) {
            log.forget(kept);
        }
        let memory: usize = log.segments.iter().map(|segment| segment.bytes.capacity()).sum();
        // The last one is kept to be filled.
        assert_eq!((memory, log.bytes()), (5 * SEGMENT, 3 * SEGMENT));
        for (number, kept) in kept.iter().enumerate().filter(|(number, _)| stays(number)) {
            assert_eq!(log.get(kept).unwrap()[..4], (number as u32).to_be_bytes());
            log.forget(kept);
        }
        assert_eq!((log.segments.len(), log.held, log.bytes()), (1, 1, 0));
    }

    #[test]
    fn large_messages_stand_alone() {
        let mut log = SendLog::default();
        let kept = log.keep(&[7; SMALL + 1], None);
        assert!(matches!(kept, Kept::Shared(_)));
        assert_eq!(log.get(&kept).unwrap().len(), SMALL + 1);
        log.forget(&kept);
        assert!(log.segments.is_empty());
    }
}
