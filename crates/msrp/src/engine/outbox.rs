//! What is to leave: text in one buffer, large content as the slices that it came in.

use std::collections::VecDeque;
use std::fmt;

use bytes::{Bytes, BytesMut};

/// Content below this is copied: a slice of its own costs more, in the vectored write and in what it keeps in memory.
const COPIED: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    ready: VecDeque<Bytes>,
    /// What was written behind them.
    text: BytesMut,
    /// Octets in both.
    length: usize,
    /// Octets that were ever put in.
    total: u64,
    /// Where frames end, by what was put in, for transports that carry each by itself.
    ends: Option<VecDeque<u64>>,
}

impl Outbox {
    /// An outbox that keeps frames apart.
    pub(crate) fn by_frame() -> Self {
        Self { ends: Some(VecDeque::new()), ..Self::default() }
    }

    /// Octets that wait.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Octets that were ever put in: where the next one will stand.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn text(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
        self.count(text.len());
    }

    pub(crate) fn display(&mut self, text: &impl fmt::Display) {
        let before = self.text.len();
        fmt::Write::write_fmt(&mut self.text, format_args!("{text}")).expect("memory takes everything");
        self.count(self.text.len() - before);
    }

    pub(crate) fn content(&mut self, content: Bytes) {
        if content.len() < COPIED {
            return self.text(&content);
        }
        self.seal();
        self.count(content.len());
        self.ready.push_back(content);
    }

    /// A frame ends here.
    pub(crate) fn end_of_frame(&mut self) {
        if let Some(ends) = &mut self.ends {
            ends.push_back(self.total);
        }
    }

    /// Takes out what is to be sent next: all of it, or one frame.
    pub(crate) fn take(&mut self, into: &mut VecDeque<Bytes>) -> usize {
        self.seal();
        let Some(ends) = &mut self.ends else {
            into.append(&mut self.ready);
            return std::mem::take(&mut self.length);
        };
        let Some(end) = ends.pop_front() else { return 0 };
        let left = self.total - end;
        let mut frame = 0;
        while (self.length as u64) > left {
            let part = self.ready.front_mut().expect("its octets are counted");
            let surplus = (self.length as u64 - left).min(part.len() as u64) as usize;
            let part = part.split_to(surplus);
            if self.ready.front().is_some_and(Bytes::is_empty) {
                self.ready.pop_front();
            }
            self.length -= surplus;
            frame += surplus;
            into.push_back(part);
        }
        frame
    }

    fn seal(&mut self) {
        if !self.text.is_empty() {
            self.ready.push_back(self.text.split().freeze());
        }
    }

    fn count(&mut self, octets: usize) {
        self.length += octets;
        self.total += octets as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(outbox: &mut Outbox) -> (usize, Vec<u8>, usize) {
        let mut into = VecDeque::new();
        let length = outbox.take(&mut into);
        (length, into.iter().flatten().copied().collect(), into.len())
    }

    #[test]
    fn small_content_is_copied_and_large_content_is_not() {
        let mut outbox = Outbox::default();
        outbox.text(b"ab");
        outbox.content(Bytes::from_static(b"cd"));
        outbox.display(&12);
        let large = Bytes::from(vec![b'x'; COPIED]);
        outbox.content(large.clone());
        outbox.text(b"e");
        assert_eq!((outbox.len(), outbox.total()), (COPIED + 7, COPIED as u64 + 7));
        let mut into = VecDeque::new();
        assert_eq!(outbox.take(&mut into), COPIED + 7);
        assert_eq!(into, [&b"abcd12"[..], &large, b"e"]);
        assert_eq!(into[1].as_ptr(), large.as_ptr());
        assert_eq!((outbox.len(), outbox.total(), taken(&mut outbox).0), (0, COPIED as u64 + 7, 0));
    }

    #[test]
    fn r55_frames_are_taken_one_by_one() {
        let mut outbox = Outbox::by_frame();
        outbox.text(b"one");
        outbox.end_of_frame();
        outbox.content(Bytes::from(vec![b'x'; COPIED]));
        outbox.text(b"!");
        outbox.end_of_frame();
        outbox.text(b"half");
        assert_eq!(taken(&mut outbox), (3, b"one".to_vec(), 1));
        assert_eq!(taken(&mut outbox).0, COPIED + 1);
        assert_eq!((taken(&mut outbox).0, outbox.len()), (0, 4));
        outbox.end_of_frame();
        assert_eq!(taken(&mut outbox).1, b"half");
    }
}
