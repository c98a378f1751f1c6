//! Protocol headers and frames as Proton's traces print them, from the bytes as they came.

use std::fmt;

use super::print::{REDACTED, payload};
use super::{Decode as _, ForeignProtocol, FrameHeader, FrameType, ProtocolHeader, ProtocolId, Reader, Value};

/// Which way a frame goes, seen from the end that traces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To us.
    In,
    /// From us.
    Out,
}

impl fmt::Display for Direction {
    /// The arrow of a trace: `<-` or `->`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "<-",
            Self::Out => "->",
        })
    }
}

/// Prints a protocol header, or a frame that is there as a whole, on one line.
///
/// The form is that of Proton 0.40 with `PN_TRACE_FRM`: every field that is not null, whether it has its default or
/// not, and the start of the payload. What a SASL client answers is left out, but for ANONYMOUS. Bytes that are no
/// frame are printed with the reason, so that a trace never breaks off.
///
/// ```
/// use postroad_codec::v1_0::{Direction, FrameText};
/// let empty = [0, 0, 0, 8, 2, 0, 0, 0];
/// assert_eq!(FrameText::new(&empty).to_string(), "0 (EMPTY FRAME)");
/// assert_eq!(FrameText::new(&empty).with_direction(Direction::In).to_string(), "0 <- (EMPTY FRAME)");
/// ```
#[derive(Clone, Copy)]
pub struct FrameText<'a> {
    bytes: &'a [u8],
    /// Bytes of the frame that are not there.
    missing: usize,
    direction: Option<Direction>,
}

impl<'a> FrameText<'a> {
    /// The text of a protocol header or a frame.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, missing: 0, direction: None }
    }

    /// Adds the arrow that says which way it goes.
    #[must_use]
    pub fn with_direction(self, direction: Direction) -> Self {
        Self { direction: Some(direction), ..self }
    }

    /// Says that so many bytes of the frame are not there, which is no fault of the peer.
    #[must_use]
    pub fn with_missing(self, missing: usize) -> Self {
        Self { missing, ..self }
    }

    fn frame(&self, line: &mut String) {
        let parsed = match self.bytes.first_chunk::<4>() {
            Some(size) if self.missing > 0 && u32::from_be_bytes(*size) as usize == self.bytes.len() + self.missing => {
                let mut here = self.bytes.to_vec();
                here[..4].copy_from_slice(&(self.bytes.len() as u32).to_be_bytes());
                FrameHeader::parse(&here)
            }
            _ => FrameHeader::parse(self.bytes),
        };
        let header = match parsed {
            Ok(header) => header,
            Err(error) => return self.broken(&error, self.bytes, line),
        };
        let body = &self.bytes[usize::from(header.data_offset) * 4..];
        if body.is_empty() {
            return line.push_str("(EMPTY FRAME)");
        }
        let mut reader = Reader::from_slice(body);
        match Value::decode(&mut reader) {
            Ok(value) => {
                line.push_str(&value.to_string());
                let rest = &body[reader.offset()..];
                // Only a broken SASL frame has something behind its body.
                match header.frame_type {
                    FrameType::Amqp => payload(rest, self.missing, line),
                    FrameType::Sasl if rest.is_empty() => {}
                    FrameType::Sasl => line.push_str(REDACTED),
                }
            }
            Err(error) => self.broken(&error, body, line),
        }
    }

    fn broken(&self, error: &dyn fmt::Display, bytes: &[u8], line: &mut String) {
        line.push_str(&format!("({error})"));
        // The octet that says SASL: there may be a password in it.
        if self.bytes.get(5) != Some(&1) {
            payload(bytes, self.missing, line);
        }
    }
}

impl fmt::Display for FrameText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        let arrow = self.direction.map(|direction| format!("{direction} ")).unwrap_or_default();
        let blank = if self.direction.is_some() { "  " } else { "" };
        match ProtocolHeader::parse(self.bytes) {
            Some(Ok(header)) => {
                let layer = match header.id {
                    ProtocolId::Amqp => "AMQP",
                    ProtocolId::Tls => "TLS",
                    ProtocolId::Sasl => "SASL",
                };
                return write!(f, "{blank}{arrow}{layer}");
            }
            // As a frame it would be far larger than any.
            Some(Err(foreign)) if !matches!(foreign, ForeignProtocol::Unknown(_)) => {
                line.push_str(&format!("{blank}{arrow}({foreign})"));
                payload(self.bytes, self.missing, &mut line);
                return f.write_str(&line);
            }
            _ => {}
        }
        if let Some([high, low]) = self.bytes.get(6..8) {
            line.push_str(&format!("{} ", u16::from_be_bytes([*high, *low])));
        }
        line.push_str(&arrow);
        self.frame(&mut line);
        f.write_str(&line)
    }
}

impl fmt::Debug for FrameText<'_> {
    /// The text: raw bytes may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
