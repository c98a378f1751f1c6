//! Frames (AMQP 1.0 part 2, 2.3): a size, a data offset, a type, and a body.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::{Decode, DecodeError, Encode, Performative, Reader, SaslFrame};

/// The first eight bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of the whole frame.
    pub size: u32,
    /// Where the body starts, in words of four bytes; 2 without an extended header.
    pub data_offset: u8,
    /// The type of the frame.
    pub frame_type: FrameType,
    /// The channel of an AMQP frame; nothing in a SASL frame.
    pub channel: u16,
}

/// The type of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameType {
    /// An AMQP frame.
    Amqp,
    /// A SASL frame.
    Sasl,
}

/// A frame with its body read.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// A performative and, behind a transfer, a payload that shares the frame's memory.
    Amqp {
        /// The channel.
        channel: u16,
        /// The body.
        performative: Performative,
        /// What follows it.
        payload: Bytes,
    },
    /// A frame without a body: it shows that the peer is alive.
    Empty {
        /// The channel.
        channel: u16,
    },
    /// A step of a SASL exchange.
    Sasl(SaslFrame),
}

/// What is in a frame, where its performative goes to a place of its own: [`Frame`] without moving what was read.
#[derive(Debug)]
pub enum FrameBody<'a> {
    /// A performative, and what follows it.
    Amqp {
        /// The channel.
        channel: u16,
        /// The payload, which nobody has read.
        payload: Reader<'a>,
    },
    /// No body.
    Empty {
        /// The channel.
        channel: u16,
    },
    /// A step of a SASL exchange.
    Sasl(SaslFrame),
}

/// Bytes that are no frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Larger than the limit that we announced.
    TooLarge {
        /// The declared size, in bytes.
        size: u32,
        /// The limit, in bytes.
        limit: u32,
    },
    /// Smaller than a frame header.
    TooSmall(u32),
    /// Not as long as it says.
    Size {
        /// The declared size, in bytes.
        declared: u32,
        /// The bytes that are there.
        actual: usize,
    },
    /// A data offset below 2 or past the end of the frame.
    DataOffset(u8),
    /// A frame type that does not exist.
    Type(u8),
    /// A frame of a type that has no place here.
    Unexpected(FrameType),
    /// A body that could not be read.
    Body(DecodeError),
}

impl FrameHeader {
    /// Bytes of a frame header without extension.
    pub const LENGTH: usize = 8;

    /// The size of the frame that `input` starts with, checked against `limit` before any memory is
    /// set aside for it. `None`: more bytes are needed.
    ///
    /// # Errors
    /// When the size is above the limit or below eight.
    #[inline]
    pub fn frame_size(input: &[u8], limit: u32) -> Result<Option<usize>, FrameError> {
        let Some((size, _)) = input.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let size = u32::from_be_bytes(*size);
        if size > limit {
            Err(FrameError::TooLarge { size, limit })
        } else if (size as usize) < Self::LENGTH {
            Err(FrameError::TooSmall(size))
        } else {
            Ok(Some(size as usize))
        }
    }

    /// Reads the header of a frame that is there as a whole.
    ///
    /// # Errors
    /// When size, data offset or type are impossible.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<Self, FrameError> {
        let Some(&[a, b, c, d, data_offset, frame_type, high, low]) = frame.first_chunk::<8>() else {
            return Err(FrameError::TooSmall(frame.len() as u32));
        };
        if data_offset < 2 || usize::from(data_offset) * 4 > frame.len() {
            return Err(FrameError::DataOffset(data_offset));
        }
        let frame_type = match frame_type {
            0 => FrameType::Amqp,
            1 => FrameType::Sasl,
            other => return Err(FrameError::Type(other)),
        };
        let size = u32::from_be_bytes([a, b, c, d]);
        if size as usize != frame.len() {
            return Err(FrameError::Size { declared: size, actual: frame.len() });
        }
        Ok(Self { size, data_offset, frame_type, channel: u16::from_be_bytes([high, low]) })
    }
}

impl<'a> FrameBody<'a> {
    /// Reads the frame at `range` of `source` as [`Frame::decode`] does; its performative replaces the one that is given,
    /// also by a part of one where reading fails.
    ///
    /// # Errors
    /// When the bytes are no frame.
    ///
    /// # Panics
    /// When `range` is not within `source`.
    #[inline]
    pub fn read(source: &'a Bytes, range: Range<usize>, performative: &mut Performative) -> Result<Self, FrameError> {
        let header = FrameHeader::parse(&source[range.clone()])?;
        let mut reader = Reader::within(source, range);
        reader.take(usize::from(header.data_offset) * 4, "frame").map_err(FrameError::Body)?;
        match header.frame_type {
            FrameType::Amqp if reader.is_empty() => Ok(Self::Empty { channel: header.channel }),
            FrameType::Amqp => {
                let code = reader.u8("performative").map_err(FrameError::Body)?;
                performative.read(code, &mut reader).map_err(FrameError::Body)?;
                if !matches!(performative, Performative::Transfer(_)) {
                    reader.finish(performative.name()).map_err(FrameError::Body)?;
                }
                Ok(Self::Amqp { channel: header.channel, payload: reader })
            }
            FrameType::Sasl => {
                let body = SaslFrame::decode(&mut reader).map_err(FrameError::Body)?;
                reader.finish("sasl-frame").map_err(FrameError::Body)?;
                Ok(Self::Sasl(body))
            }
        }
    }
}

impl Frame {
    /// Reads a frame that is there as a whole; an extended header is passed over (2.3.2).
    ///
    /// # Errors
    /// When the bytes are no frame.
    #[inline]
    pub fn decode(frame: &Bytes) -> Result<Self, FrameError> {
        let mut performative = Performative::default();
        Ok(match FrameBody::read(frame, 0..frame.len(), &mut performative)? {
            FrameBody::Amqp { channel, payload } => Self::Amqp { channel, performative, payload: payload.rest() },
            FrameBody::Empty { channel } => Self::Empty { channel },
            FrameBody::Sasl(body) => Self::Sasl(body),
        })
    }

    /// Appends an AMQP frame.
    ///
    /// # Panics
    /// When the frame is 4 GiB or more.
    #[inline]
    pub fn put_amqp(channel: u16, performative: &impl Encode, payload: &[u8], out: &mut Vec<u8>) {
        let head = out.len();
        let [high, low] = channel.to_be_bytes();
        out.extend_from_slice(&[0, 0, 0, 0, 2, 0, high, low]);
        performative.encode(out);
        out.extend_from_slice(payload);
        Self::finish(head, out);
    }

    /// Appends an empty AMQP frame.
    pub fn put_empty(out: &mut Vec<u8>) {
        out.extend_from_slice(&[0, 0, 0, 8, 2, 0, 0, 0]);
    }

    /// Appends a SASL frame.
    ///
    /// # Panics
    /// When the frame is 4 GiB or more.
    pub fn put_sasl(body: &impl Encode, out: &mut Vec<u8>) {
        let head = out.len();
        out.extend_from_slice(&[0, 0, 0, 0, 2, 1, 0, 0]);
        body.encode(out);
        Self::finish(head, out);
    }

    #[inline]
    fn finish(head: usize, out: &mut [u8]) {
        let size = super::primitive::length32(out.len() - head);
        out[head..head + 4].copy_from_slice(&size);
    }
}

impl fmt::Display for Frame {
    /// As Proton prints it: `0 @open(16) [container-id="x"]`. Fields that have their default are left out;
    /// [`FrameText`](super::FrameText) prints a frame as it came.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amqp { channel, performative, payload } => {
                let mut line = format!("{channel} {performative}");
                super::print::payload(payload, 0, &mut line);
                f.write_str(&line)
            }
            Self::Empty { channel } => write!(f, "{channel} (EMPTY FRAME)"),
            Self::Sasl(body) => write!(f, "0 {body}"),
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size, limit } => {
                write!(f, "a frame of {size} bytes where {limit} are the limit")
            }
            Self::TooSmall(size) => {
                write!(f, "a frame of {size} bytes, which is less than its header")
            }
            Self::Size { declared, actual } => write!(f, "a frame of {declared} bytes in {actual} bytes"),
            Self::DataOffset(words) => write!(f, "a data offset of {words} words"),
            Self::Type(octet) => write!(f, "unknown frame type 0x{octet:02x}"),
            Self::Unexpected(FrameType::Amqp) => f.write_str("an AMQP frame in a SASL exchange"),
            Self::Unexpected(FrameType::Sasl) => f.write_str("a SASL frame outside a SASL exchange"),
            Self::Body(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FrameError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Body(error) => Some(error),
            _ => None,
        }
    }
}
