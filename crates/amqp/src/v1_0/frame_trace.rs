//! What goes over a connection as lines for people, in the form of Proton's `PN_TRACE_FRM`.

use std::ffi::OsString;
use std::fmt;

use postroad_codec::v1_0::{Direction, ForeignProtocol, FrameHeader, FrameText, ProtocolHeader, ProtocolId};

/// Turns the bytes of one connection into lines, wherever reads and writes cut them.
///
/// Its owner does the I/O: it hands over the bytes of each read and write, and prints the lines. A frame is told when
/// all of it has come, or as much as is kept of one. Passwords are left out, as in [`FrameText`].
///
/// ```
/// use postroad_amqp::v1_0::FrameTrace;
/// use postroad_codec::v1_0::Direction;
///
/// let mut trace = FrameTrace::new(0x55d0);
/// let mut lines = Vec::new();
/// trace.bytes(Direction::Out, b"AMQP\x00\x01", |line| lines.push(line.to_owned()));
/// trace.bytes(Direction::Out, b"\x00\x00", |line| lines.push(line.to_owned()));
/// trace.bytes(Direction::In, &[0, 0, 0, 8, 2, 0, 0, 0], |line| lines.push(line.to_owned()));
/// assert_eq!(lines, ["[0x55d0]: AMQP:FRAME:  -> AMQP", "[0x55d0]: AMQP:FRAME:0 <- (EMPTY FRAME)"]);
/// ```
pub struct FrameTrace {
    id: usize,
    incoming: Side,
    outgoing: Side,
}

/// Bytes of a frame that are kept until its end has come. A peer could otherwise make a trace hold whatever size it
/// names; the text of a frame is far shorter.
const KEPT: usize = 64 * 1024;

/// One direction.
#[derive(Default)]
struct Side {
    /// The start of the frame that has begun.
    kept: Vec<u8>,
    /// Bytes of the last frame that are still to come, and are not kept.
    left: usize,
    /// Whether anything has come.
    begun: bool,
    /// Whether the bytes are no frames: nothing after that can be told.
    lost: bool,
}

impl FrameTrace {
    /// The trace of a connection; `id` tells it from others, as the address does that Proton prints.
    #[must_use]
    pub fn new(id: usize) -> Self {
        Self { id, incoming: Side::default(), outgoing: Side::default() }
    }

    /// Takes in what was read or is written, and gives a line without its end for each header and frame that is
    /// complete.
    pub fn bytes(&mut self, direction: Direction, bytes: &[u8], mut line: impl FnMut(&str)) {
        let id = self.id;
        self.side(direction).bytes(bytes, |layer, text| {
            line(&format!("[0x{id:x}]: {layer:>4}:FRAME:{}", text.with_direction(direction)));
        });
    }

    /// Takes in the end of a stream.
    pub fn end(&mut self, direction: Direction, mut line: impl FnMut(&str)) {
        let id = self.id;
        let cut = std::mem::take(&mut self.side(direction).kept);
        if !cut.is_empty() {
            line(&format!("[0x{id:x}]: AMQP:FRAME:{}", FrameText::new(&cut).with_direction(direction)));
        }
        line(&format!("[0x{id:x}]:   IO:FRAME:  {direction} EOS"));
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::In => &mut self.incoming,
            Direction::Out => &mut self.outgoing,
        }
    }
}

impl Side {
    fn bytes(&mut self, mut bytes: &[u8], mut tell: impl FnMut(&str, FrameText<'_>)) {
        while !bytes.is_empty() && !self.lost {
            let passed = self.left.min(bytes.len());
            if passed > 0 {
                self.left -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let whole = self.wanted();
            let wanted = whole.min(KEPT);
            let (more, rest) = bytes.split_at((wanted - self.kept.len()).min(bytes.len()));
            self.kept.extend_from_slice(more);
            bytes = rest;
            self.check(bytes);
            // What has just come may tell that more is wanted.
            if self.lost || (self.kept.len() == wanted && whole == self.wanted()) {
                let header = ProtocolHeader::parse(&self.kept).and_then(Result::ok);
                let layer = match header.map(|header| header.id) {
                    Some(ProtocolId::Sasl) => "SASL",
                    Some(ProtocolId::Tls) => "TLS",
                    Some(ProtocolId::Amqp) | None => "AMQP",
                };
                let missing = if self.lost { 0 } else { whole - wanted };
                tell(layer, FrameText::new(&self.kept).with_missing(missing));
                self.left = missing;
                self.kept.clear();
                self.begun = true;
            }
        }
    }

    /// Bytes of the header or frame that has begun, as far as they are known.
    fn wanted(&self) -> usize {
        if self.kept.starts_with(b"AMQP") {
            return ProtocolHeader::LENGTH;
        }
        match FrameHeader::frame_size(&self.kept, u32::MAX) {
            Ok(Some(size)) => size,
            Ok(None) => 4,
            Err(_) => self.kept.len(),
        }
    }

    /// Finds out that the bytes are no frames. `behind` are those that follow what is kept.
    fn check(&mut self, behind: &[u8]) {
        // Enough to see what a peer says that speaks another protocol.
        const SHOWN: usize = 64;
        self.lost = match ProtocolHeader::parse(&self.kept) {
            Some(Err(foreign)) if !self.begun && !matches!(foreign, ForeignProtocol::Unknown(_)) => {
                self.kept.extend_from_slice(&behind[..behind.len().min(SHOWN)]);
                true
            }
            _ => FrameHeader::frame_size(&self.kept, u32::MAX).is_err(),
        };
    }
}

impl fmt::Debug for FrameTrace {
    /// Without the bytes, where a password may be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameTrace").field("id", &format_args!("0x{:x}", self.id)).finish_non_exhaustive()
    }
}

/// Whether the environment asks for frames to be traced: `POSTROAD_TRACE_FRM`, or where that is not set, Proton's
/// `PN_TRACE_FRM`, is `1`, `true`, `yes` or `on`. `lookup` gives the value of a variable.
///
/// ```
/// use postroad_amqp::v1_0::frame_trace_asked;
/// assert!(frame_trace_asked(|name| (name == "PN_TRACE_FRM").then(|| "1".into())));
/// assert!(!frame_trace_asked(|_| None));
/// ```
#[must_use]
pub fn frame_trace_asked(lookup: impl Fn(&str) -> Option<OsString>) -> bool {
    let value = lookup("POSTROAD_TRACE_FRM").or_else(|| lookup("PN_TRACE_FRM"));
    let value = value.and_then(|value| value.into_string().ok()).unwrap_or_default();
    ["1", "true", "yes", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}
