//! A cursor over bytes that are all there: frames are split off before they are parsed.

use std::ops::Range;

use bytes::Bytes;

use super::{DecodeError, DecodeErrorKind};

/// Values may nest this deep. A peer could otherwise make the reader recurse once per byte of a
/// frame and exhaust the stack.
pub const MAX_DEPTH: u8 = 32;

/// Elements that take no bytes (nulls, `true`, empty lists in an array) which one frame or message
/// may declare in all. Ten bytes can otherwise claim 2^32 nulls, each of which takes memory here.
pub const MAX_ZERO_WIDTH: u32 = 4096;

/// Reads values from a complete frame body or message.
///
/// Variable-width values borrow from the source: when the reader was made from [`Bytes`], binaries
/// and strings are slices of it and nothing is copied.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    source: Option<&'a Bytes>,
    /// Offset of the end of `rest` in the source, for error messages.
    end: usize,
    depth: u8,
    zero_width: u32,
}

impl<'a> Reader<'a> {
    /// Reads from `source`; what is read shares its memory.
    #[inline]
    #[must_use]
    pub fn new(source: &'a Bytes) -> Self {
        Self { rest: source, source: Some(source), end: source.len(), depth: 0, zero_width: MAX_ZERO_WIDTH }
    }

    /// Reads from a slice; binaries and strings are copied out of it.
    #[inline]
    #[must_use]
    pub fn from_slice(source: &'a [u8]) -> Self {
        Self { rest: source, source: None, end: source.len(), depth: 0, zero_width: MAX_ZERO_WIDTH }
    }

    /// Reads a part of `source` from its start; what is read shares the memory of the whole.
    #[inline]
    pub(super) fn within(source: &'a Bytes, range: Range<usize>) -> Self {
        let rest = &source[range];
        Self { rest, source: Some(source), end: rest.len(), depth: 0, zero_width: MAX_ZERO_WIDTH }
    }

    /// Reads from a slice that lies so deep in other values.
    #[inline]
    pub(super) fn from_depth(source: &'a [u8], depth: u8) -> Self {
        Self { depth, ..Self::from_slice(source) }
    }

    /// How many values this place lies in.
    #[inline]
    pub(super) fn depth(&self) -> u8 {
        self.depth
    }

    /// Bytes not read yet.
    #[inline]
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything has been read.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Position from the start of the source, in bytes.
    #[inline]
    #[must_use]
    pub fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    /// The next byte, which stays unread.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// What has not been read.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &'a [u8] {
        self.rest
    }

    /// What has not been read, in the source's memory where there is one.
    #[must_use]
    pub fn rest(&self) -> Bytes {
        self.share(self.rest)
    }

    /// An error of this place.
    // Inlined down to a call that takes the offset: a reader whose address goes nowhere stays in registers.
    #[inline(always)]
    #[must_use]
    pub fn error(&self, ty: &'static str, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::at(self.offset(), ty, kind)
    }

    /// Fails unless everything has been read.
    ///
    /// # Errors
    /// [`DecodeErrorKind::TrailingBytes`] with the name `ty`.
    #[inline]
    pub fn finish(&self, ty: &'static str) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error(ty, DecodeErrorKind::TrailingBytes(self.rest.len()))) }
    }

    #[inline(always)]
    pub(crate) fn take(&mut self, length: usize, ty: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(length) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(self.error(ty, DecodeErrorKind::Truncated)),
        }
    }

    #[inline(always)]
    pub(crate) fn array<const N: usize>(&mut self, ty: &'static str) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(*head)
            }
            None => Err(self.error(ty, DecodeErrorKind::Truncated)),
        }
    }

    #[inline(always)]
    pub(crate) fn u8(&mut self, ty: &'static str) -> Result<u8, DecodeError> {
        match self.rest.split_first() {
            Some((&head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(self.error(ty, DecodeErrorKind::Truncated)),
        }
    }

    #[inline(always)]
    pub(crate) fn u32(&mut self, ty: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(ty)?))
    }

    /// Passes over the next two bytes when the first is `code`, and answers with the second.
    #[inline(always)]
    pub(crate) fn u8_behind(&mut self, code: u8) -> Option<u8> {
        match *self.rest {
            [first, second, ref rest @ ..] if first == code => {
                self.rest = rest;
                Some(second)
            }
            _ => None,
        }
    }

    /// Passes over `bytes` where they come next.
    #[inline(always)]
    pub(crate) fn skip_if<const N: usize>(&mut self, bytes: [u8; N]) -> bool {
        match self.rest.split_first_chunk::<N>() {
            Some((head, rest)) if *head == bytes => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// A sub-reader over the next `length` bytes, one level deeper.
    #[inline(always)]
    pub(crate) fn scope(&mut self, length: usize, ty: &'static str) -> Result<Self, DecodeError> {
        let Some((head, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.error(ty, DecodeErrorKind::Truncated));
        };
        self.rest = rest;
        let scoped = Self { rest: head, end: self.end - rest.len(), ..self.clone() };
        Ok(scoped)
    }

    /// Takes back what a sub-reader used of the allowance for elements without width.
    #[inline(always)]
    pub(crate) fn rejoin(&mut self, scoped: &Self) {
        self.zero_width = scoped.zero_width;
    }

    /// Leaves nothing to read.
    #[inline]
    pub(super) fn end(&mut self) {
        self.rest = &[];
    }

    /// Counts one more level of nesting; [`Reader::leave`] ends it.
    #[inline(always)]
    pub(crate) fn enter(&mut self, ty: &'static str) -> Result<(), DecodeError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error(ty, DecodeErrorKind::TooDeep));
        }
        self.depth += 1;
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Refuses a count of elements that the bytes of this reader cannot hold.
    #[inline(always)]
    pub(crate) fn check_count(&mut self, count: u32, zero_width: bool, ty: &'static str) -> Result<(), DecodeError> {
        let fits = if zero_width {
            let fits = count <= self.zero_width;
            self.zero_width = self.zero_width.saturating_sub(count);
            fits
        } else {
            count as usize <= self.rest.len()
        };
        if fits { Ok(()) } else { Err(self.error(ty, DecodeErrorKind::TooManyElements(count))) }
    }

    /// `part`, which must lie in this reader's source, as shared or copied bytes.
    #[inline(always)]
    pub(crate) fn share(&self, part: &[u8]) -> Bytes {
        match self.source {
            Some(source) => source.slice_ref(part),
            None => Bytes::copy_from_slice(part),
        }
    }
}
