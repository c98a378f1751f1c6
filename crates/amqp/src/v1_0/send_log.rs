//! What a sender must keep until it is settled.

use std::collections::VecDeque;

use bytes::Bytes;

/// Messages of a link that may have to be sent again. Small ones lie one behind another in segments,
/// so that keeping one costs a copy and no allocation; a segment goes when its last message does.
#[derive(Debug, Default)]
pub(crate) struct SendLog {
    segments: VecDeque<Segment>,
    /// Number of the first segment.
    first: u64,
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
    Logged { segment: u64, start: u32, length: u32 },
    /// By itself.
    Shared(Bytes),
    /// By itself, in two pieces.
    Joined(Box<(Bytes, Bytes)>),
}

impl Kept {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Logged { length, .. } => *length as usize,
            Self::Shared(message) => message.len(),
            Self::Joined(pieces) => pieces.0.len() + pieces.1.len(),
        }
    }
}

const SEGMENT: usize = 64 * 1024;
const SMALL: usize = 4096;

impl SendLog {
    /// Keeps a message, the front of which is copied; what is large of the rest is shared.
    pub(crate) fn keep(&mut self, front: &[u8], content: Option<&Bytes>) -> Kept {
        let behind = content.map_or(&[][..], |content| content);
        let length = front.len() + behind.len();
        self.bytes += length;
        match content {
            _ if length <= SMALL => {}
            Some(content) if front.is_empty() => return Kept::Shared(content.clone()),
            Some(content) if content.len() > SMALL => {
                return Kept::Joined(Box::new((Bytes::copy_from_slice(front), content.clone())));
            }
            content => return Kept::Shared(joined(front, content)),
        }
        match self.segments.back() {
            Some(last) if last.bytes.len() + length <= SEGMENT => {}
            _ => {
                self.segments.push_back(Segment { bytes: Vec::with_capacity(SEGMENT), live: 0 });
                self.held += 1;
            }
        }
        let segment = self.first + self.segments.len() as u64 - 1;
        let last = self.segments.back_mut().expect("there is a segment now");
        let start = last.bytes.len() as u32;
        last.bytes.extend_from_slice(front);
        last.bytes.extend_from_slice(behind);
        last.live += 1;
        Kept::Logged { segment, start, length: length as u32 }
    }

    /// Forgets a message that is settled.
    pub(crate) fn forget(&mut self, kept: &Kept) {
        self.bytes -= kept.len();
        let Kept::Logged { segment, .. } = kept else { return };
        let index = (segment - self.first) as usize;
        let last = index + 1 == self.segments.len();
        let segment = &mut self.segments[index];
        segment.live -= 1;
        if segment.live == 0 && last {
            // The segment that is being filled starts over instead of being allocated anew.
            segment.bytes.clear();
        } else if segment.live == 0 {
            // Its place stays until those before it are gone: segments are known by their numbers.
            segment.bytes = Vec::new();
            self.held -= 1;
        }
        while self.segments.len() > 1 && self.segments[0].live == 0 {
            self.segments.pop_front();
            self.first += 1;
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
            Kept::Logged { segment, start, length } => {
                let bytes = &self.segments.get((segment - self.first) as usize)?.bytes;
                Some(Bytes::copy_from_slice(&bytes[*start as usize..(start + length) as usize]))
            }
        }
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
        for length in [0, 1, SMALL, SMALL + 1, 3 * SEGMENT] {
            let content = Bytes::from(vec![7; length]);
            for front in [&b""[..], b"front"] {
                let kept = log.keep(front, Some(&content));
                assert_eq!(log.get(&kept).unwrap(), [front, &content].concat(), "{length}");
                log.forget(&kept);
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
