//! Content in memory, in the pieces in which it came.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::Refusal;

/// The octets of a message that came so far. It holds what came and never what was announced (RFC 4975 14.5).
///
/// A message of one piece is that very piece; others become one at the end.
#[derive(Debug, Default)]
pub struct Buffer {
    /// The piece and its offset, while there is no other.
    only: Option<(u64, Piece)>,
    /// The pieces by their offsets, where there are more; none overlaps another.
    pieces: BTreeMap<u64, Piece>,
    octets: u64,
}

#[derive(Debug)]
enum Piece {
    /// As it came, which keeps all in memory that was read with it.
    Shared(Bytes),
    Owned(BytesMut),
}

/// Shorter pieces are copied together: each of them would keep what was read with it, of others too, in memory.
const COPIED: usize = 16 * 1024;

/// Copied pieces become no longer than this, so that growing stays cheap.
const OWNED: usize = 256 * 1024;

impl Buffer {
    pub(super) const EMPTY: Self = Self { only: None, pieces: BTreeMap::new(), octets: 0 };

    /// The octets that it holds.
    #[must_use]
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// The content from its first octet on, with no regard to gaps.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if let Some((_, piece)) = self.only {
            return piece.freeze();
        }
        let mut whole = BytesMut::with_capacity(self.pieces.values().map(|piece| piece.as_slice().len()).sum());
        for piece in self.pieces.values() {
            whole.extend_from_slice(piece.as_slice());
        }
        whole.freeze()
    }

    /// The pieces with their offsets from 0, in order. Pieces may touch.
    pub fn into_parts(self) -> impl Iterator<Item = (u64, Bytes)> {
        self.only.into_iter().chain(self.pieces).map(|(at, piece)| (at, piece.freeze()))
    }

    /// Puts octets at an offset, over what is there already or around it. Up to `limit` pieces may be short.
    pub(super) fn write(&mut self, at: u64, bytes: Bytes, over: bool, limit: usize) -> Result<(), Refusal> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.octets == 0 {
            self.octets = bytes.len() as u64;
            self.only = Some((at, Piece::Shared(bytes)));
            return Ok(());
        }
        if let Some((start, piece)) = &mut self.only
            && *start + piece.as_slice().len() as u64 == at
            && piece.append(&bytes)
        {
            self.octets += bytes.len() as u64;
            return Ok(());
        }
        self.settle();
        self.pieces.extend(self.only.take());
        self.write_among(at, bytes, over, limit)
    }

    /// Lets go of what was read with a short piece, before it is kept for long.
    pub(super) fn settle(&mut self) {
        if let Some((_, piece)) = &mut self.only
            && piece.as_slice().len() < COPIED
        {
            piece.own();
        }
    }

    fn write_among(&mut self, mut at: u64, mut bytes: Bytes, over: bool, limit: usize) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            let mut there = 0;
            if let Some((start, piece)) = self.pieces.range_mut(..=at).next_back() {
                let skip = at - start;
                let length = piece.as_slice().len() as u64;
                if skip < length {
                    there = bytes.len().min((length - skip) as usize);
                    if over {
                        // Written into place: pieces cut in two would be ever more for octets ever the same.
                        let skip = skip as usize;
                        piece.own()[skip..skip + there].copy_from_slice(&bytes[..there]);
                    }
                }
            }
            if there == 0 {
                let next = self.pieces.range(at..).next().map_or(u64::MAX, |(start, _)| *start);
                there = bytes.len().min(usize::try_from(next - at).unwrap_or(usize::MAX));
                self.fill(at, bytes.slice(..there), limit)?;
            }
            at += there as u64;
            let _ = bytes.split_to(there);
        }
        Ok(())
    }

    /// Puts octets where none are.
    fn fill(&mut self, at: u64, bytes: Bytes, limit: usize) -> Result<(), Refusal> {
        self.octets += bytes.len() as u64;
        if let Some((start, piece)) = self.pieces.range_mut(..at).next_back()
            && *start + piece.as_slice().len() as u64 == at
            && piece.append(&bytes)
        {
            return Ok(());
        }
        // In order a short piece joins the one before it; in reverse each stays alone, and costs more than it holds.
        if self.pieces.len() as u64 >= limit as u64 + 2 * (self.octets / COPIED as u64) {
            return Err(Refusal::TooManyRanges);
        }
        let mut piece = Piece::Shared(bytes);
        if piece.as_slice().len() < COPIED {
            piece.own();
        }
        self.pieces.insert(at, piece);
        Ok(())
    }
}

impl Piece {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }

    fn freeze(self) -> Bytes {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Owned(bytes) => bytes.freeze(),
        }
    }

    fn own(&mut self) -> &mut BytesMut {
        if let Self::Shared(bytes) = self {
            *self = Self::Owned(BytesMut::from(&bytes[..]));
        }
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(_) => unreachable!("just copied"),
        }
    }

    /// Copies short octets behind it, where that is worth it.
    fn append(&mut self, bytes: &Bytes) -> bool {
        let length = self.as_slice().len();
        let fits = match self {
            Self::Shared(_) => length < COPIED,
            Self::Owned(_) => length + bytes.len() <= OWNED,
        };
        if bytes.len() >= COPIED || !fits {
            return false;
        }
        self.own().extend_from_slice(bytes);
        true
    }
}
