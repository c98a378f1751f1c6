//! Small payloads, copied out of the read buffer without an allocation for each.

use bytes::{Bytes, BytesMut};
use postroad_codec::v1_0::Reader;

/// Copies the small payloads that come together into blocks that they share.
///
/// Whoever keeps a message keeps its block, so a block is small beside a read buffer, and no larger than what came.
#[derive(Debug)]
pub(crate) struct Copies {
    block: BytesMut,
    /// The size of a block; 0 where each payload is to be by itself.
    size: usize,
    /// Bytes of the input whose payloads have not been kept.
    coming: usize,
}

/// Payloads up to this size are copied: whoever keeps one must not keep the whole read buffer with it. Larger ones
/// are slices.
const SMALL: usize = 4096;

/// Payloads of a size for which a block has room, if they are large for it.
const SHARERS: usize = 8;

impl Copies {
    /// Copies into blocks of so many bytes ([`Config::shared_block`](super::Config::shared_block)).
    pub(crate) fn new(size: usize) -> Self {
        Self { block: BytesMut::new(), size, coming: 0 }
    }

    /// Begins with an input of so many bytes.
    pub(crate) fn begin(&mut self, coming: usize) {
        self.coming = coming;
    }

    /// The payload as it may be kept.
    #[inline]
    pub(crate) fn keep(&mut self, payload: &Reader<'_>) -> Bytes {
        let length = payload.remaining();
        if length > SMALL {
            return payload.rest();
        }
        if length == 0 {
            return Bytes::new();
        }
        if self.size == 0 {
            return Bytes::copy_from_slice(payload.as_slice());
        }
        if self.block.capacity() - self.block.len() < length {
            self.block = BytesMut::with_capacity(self.coming.min(self.size.max(SHARERS * length)).max(length));
        }
        self.coming = self.coming.saturating_sub(length);
        self.block.extend_from_slice(payload.as_slice());
        self.block.split().freeze()
    }

    /// Ends with the input: between two of them nothing is held.
    pub(crate) fn end(&mut self) {
        self.block = BytesMut::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_equal_and_apart_from_the_input() {
        let (mut copies, input) = (Copies::new(4096), Bytes::from(vec![7; 100_000]));
        copies.begin(input.len());
        for length in [0, 1, 100, SMALL, 1, SMALL, SMALL, 3000] {
            let kept = copies.keep(&Reader::new(&input.slice(..length)));
            assert_eq!(kept, input.slice(..length));
            assert!(length == 0 || kept.as_ptr() != input.as_ptr(), "{length} bytes");
        }
        let large = input.slice(..=SMALL);
        assert_eq!(copies.keep(&Reader::new(&large)).as_ptr(), large.as_ptr());
    }

    #[test]
    fn without_blocks_each_has_its_own() {
        let (mut copies, input) = (Copies::new(0), Bytes::from(vec![7; 100]));
        copies.begin(input.len());
        let kept = [copies.keep(&Reader::new(&input)), copies.keep(&Reader::new(&input))];
        assert!(kept.iter().all(|kept| kept.is_unique() && *kept == input));
    }

    #[test]
    fn a_block_is_no_larger_than_what_came() {
        let (mut copies, payload) = (Copies::new(4096), Bytes::from(vec![7; 100]));
        copies.begin(300);
        copies.keep(&Reader::new(&payload));
        assert!(copies.block.capacity() <= 200, "{}", copies.block.capacity());
        copies.end();
        copies.begin(1_000_000);
        copies.keep(&Reader::new(&payload));
        assert!(copies.block.capacity() <= 4096, "{}", copies.block.capacity());
    }
}
