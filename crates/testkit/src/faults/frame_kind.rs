//! What a frame is, as far as faults tell frames apart.

use std::fmt;

use bytes::Bytes;
use postroad_codec::v1_0::{Frame, FrameHeader, Performative};

/// A protocol header, or a frame by what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FrameKind {
    /// A protocol header (AMQP 1.0 part 2, 2.2).
    Header,
    /// Any frame of a SASL exchange.
    Sasl,
    /// An open.
    Open,
    /// A begin.
    Begin,
    /// An attach; where it is looked for, one that resumes too.
    Attach,
    /// An attach that tells what is unsettled (part 2, 2.7.3).
    ResumingAttach,
    /// A flow.
    Flow,
    /// A transfer; where it is looked for, one that resumes too.
    Transfer,
    /// A transfer of a delivery that an earlier connection began (its `resume` is true).
    ResumingTransfer,
    /// A disposition.
    Disposition,
    /// A detach.
    Detach,
    /// An end.
    End,
    /// A close.
    Close,
    /// A frame without a body.
    Empty,
    /// Bytes that are no frame, or one that cannot be read.
    Bytes,
}

impl FrameKind {
    /// Whether who looks for this finds `seen`.
    #[must_use]
    pub fn covers(self, seen: Self) -> bool {
        self == seen
            || matches!((self, seen), (Self::Attach, Self::ResumingAttach) | (Self::Transfer, Self::ResumingTransfer))
    }

    /// What the start of a frame is, or all of it. Without all of it, nothing is known to resume.
    pub(super) fn of(frame: &[u8]) -> Self {
        let Some(&[a, b, c, d, data_offset, frame_type, _, _]) = frame.first_chunk::<8>() else { return Self::Bytes };
        let size = u32::from_be_bytes([a, b, c, d]) as usize;
        let head = usize::from(data_offset) * 4;
        if head < FrameHeader::LENGTH || head > size {
            return Self::Bytes;
        }
        match frame_type {
            0 if head == size => Self::Empty,
            0 => match frame.get(head..).and_then(code) {
                Some(0x10) => Self::Open,
                Some(0x11) => Self::Begin,
                Some(0x12 | 0x14) => Self::of_link(frame),
                Some(0x13) => Self::Flow,
                Some(0x15) => Self::Disposition,
                Some(0x16) => Self::Detach,
                Some(0x17) => Self::End,
                Some(0x18) => Self::Close,
                _ => Self::Bytes,
            },
            1 => Self::Sasl,
            _ => Self::Bytes,
        }
    }

    /// An attach or a transfer, one that resumes told apart.
    fn of_link(frame: &[u8]) -> Self {
        let head = usize::from(frame[4]) * 4;
        let plain = if frame.get(head..).and_then(code) == Some(0x12) { Self::Attach } else { Self::Transfer };
        match Frame::decode(&Bytes::copy_from_slice(frame)) {
            Ok(Frame::Amqp { performative: Performative::Attach(attach), .. }) if attach.unsettled.is_some() => {
                Self::ResumingAttach
            }
            Ok(Frame::Amqp { performative: Performative::Transfer(transfer), .. }) if transfer.resume => {
                Self::ResumingTransfer
            }
            _ => plain,
        }
    }
}

/// The code of the descriptor that a body begins with, in either of the forms of a ulong.
fn code(body: &[u8]) -> Option<u8> {
    match body {
        [0x00, 0x53, code, ..] | [0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, code, ..] => Some(*code),
        _ => None,
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Header => "header",
            Self::Sasl => "sasl",
            Self::Open => "open",
            Self::Begin => "begin",
            Self::Attach => "attach",
            Self::ResumingAttach => "attach (resume)",
            Self::Flow => "flow",
            Self::Transfer => "transfer",
            Self::ResumingTransfer => "transfer (resume)",
            Self::Disposition => "disposition",
            Self::Detach => "detach",
            Self::End => "end",
            Self::Close => "close",
            Self::Empty => "empty",
            Self::Bytes => "bytes",
        })
    }
}
