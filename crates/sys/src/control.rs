//! Control messages as bytes: what stands beside the payload in `sendmsg` and `recvmsg`.
//!
//! A message is a `struct cmsghdr`, its data, and padding to the size of a pointer. Both directions are plain slices here:
//! nothing is cast, so nothing needs to be aligned.

use crate::native::{array, i32_at};

/// What a control message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The protocol that it belongs to.
    pub(crate) level: i32,
    /// Its type within that.
    pub(crate) name: i32,
}

/// Control messages that are to be sent, in room for `N` bytes.
#[derive(Debug)]
pub(crate) struct ControlWriter<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> ControlWriter<N> {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    /// Appends a message.
    ///
    /// # Panics
    ///
    /// Where there is no room for it: what one call sends is known when it is written.
    pub(crate) fn push(&mut self, kind: Kind, data: &[u8]) {
        let len = HEADER + data.len();
        let message = &mut self.bytes[self.len..][..space(data.len())];
        message[..WORD].copy_from_slice(&len.to_ne_bytes());
        message[WORD..WORD + 4].copy_from_slice(&kind.level.to_ne_bytes());
        message[WORD + 4..HEADER].copy_from_slice(&kind.name.to_ne_bytes());
        message[HEADER..len].copy_from_slice(data);
        self.len += space(data.len());
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A control message that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ControlMessage<'a> {
    pub(crate) kind: Kind,
    pub(crate) data: &'a [u8],
}

/// Returns the messages in `bytes`, up to the first that is not whole.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = ControlMessage<'_>> {
    std::iter::from_fn(move || {
        let len = usize::from_ne_bytes(array(bytes, 0)?);
        let kind = Kind { level: i32_at(bytes, WORD)?, name: i32_at(bytes, WORD + 4)? };
        let data = bytes.get(HEADER..len)?;
        // The last one may lack its padding.
        bytes = bytes.get(space(data.len())..).unwrap_or_default();
        Some(ControlMessage { kind, data })
    })
}

/// Returns the room that a message with `len` bytes of data takes.
pub(crate) const fn space(len: usize) -> usize {
    (HEADER + len).next_multiple_of(WORD)
}

/// The length in the header is a `size_t`; everything is padded to one.
const WORD: usize = size_of::<usize>();
/// Length, level and type.
const HEADER: usize = WORD + 8;

/// The layout is that of the system: where it is not, this does not compile.
#[cfg(target_os = "linux")]
const _: () = {
    use std::mem::offset_of;

    assert!(HEADER == size_of::<libc::cmsghdr>());
    assert!(WORD == offset_of!(libc::cmsghdr, cmsg_level) && WORD + 4 == offset_of!(libc::cmsghdr, cmsg_type));
};

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> ControlWriter<128> {
        let mut writer = ControlWriter::new();
        writer.push(Kind { level: 1, name: 2 }, &[3; 5]);
        writer.push(Kind { level: -4, name: 5 }, &[6; 16]);
        writer
    }

    #[test]
    fn what_is_written_is_read() {
        let writer = two();
        let read: Vec<_> = messages(writer.as_bytes()).collect();
        assert_eq!(
            read,
            [
                ControlMessage { kind: Kind { level: 1, name: 2 }, data: &[3; 5] },
                ControlMessage { kind: Kind { level: -4, name: 5 }, data: &[6; 16] }
            ]
        );
    }

    #[test]
    fn every_prefix_ends_before_the_message_that_is_cut_off() {
        let writer = two();
        let bytes = writer.as_bytes();
        for len in 0..bytes.len() {
            let whole = usize::from(len >= HEADER + 5);
            assert_eq!(messages(&bytes[..len]).count(), whole, "{len}");
        }
    }

    #[test]
    fn length_that_lies_ends_it() {
        for lie in [0, 1, HEADER - 1, usize::MAX, usize::MAX - WORD, 1 << 20] {
            let mut bytes = two().as_bytes().to_vec();
            bytes[..WORD].copy_from_slice(&lie.to_ne_bytes());
            assert_eq!(messages(&bytes).count(), 0, "{lie}");
        }
    }
}
