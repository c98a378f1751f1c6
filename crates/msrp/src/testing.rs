//! What tests of several parts have in common.

use bytes::Bytes;

use crate::{Event, Flag, Head, Parser};

/// The frames of what was put out, each without a fault.
pub(crate) fn frames(octets: &[u8]) -> Vec<(Head, Vec<u8>, Flag)> {
    let mut parser = Parser::default();
    parser.push(Bytes::copy_from_slice(octets));
    let (mut frames, mut head, mut content) = (Vec::new(), None, Vec::new());
    while let Some(event) = parser.next_event().unwrap() {
        match event {
            Event::Head(begun) => {
                assert_eq!(begun.fault(), None, "{begun:?}");
                head = Some(begun);
            }
            Event::Content(part) => content.extend_from_slice(&part),
            Event::End(flag) => frames.push((head.take().unwrap(), std::mem::take(&mut content), flag)),
        }
    }
    assert!(parser.is_between_frames() || head.is_some());
    frames
}
