//! `postroad decode`: protocol headers, frames and messages of AMQP 1.0, shown to people.

mod show;

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Read as _};

use postroad::client::types::{Bytes, DecodeError};
use postroad::codec::v1_0::{
    DecodeErrorKind, ForeignProtocol, Frame, FrameError, FrameHeader, Message, ProtocolHeader,
};

use crate::args;
use crate::exit::{Exit, Failure};
use crate::hex;
use crate::term::{OutputEnd, Talk, write_stdout};
use crate::text;

/// The most input, in bytes: a value takes up to forty times the memory of its encoding.
const MAX_INPUT: u64 = 16 * 1024 * 1024;
/// Output is written when it has grown to so many bytes.
const FLUSH: usize = 64 * 1024;

pub(crate) fn run(args: &args::Decode, talk: Talk) -> Result<Exit, Failure> {
    let bytes = Bytes::from(input(args)?);
    if bytes.is_empty() {
        return Err(Failure::new(Exit::Data, "nothing to decode", "the input is empty"));
    }
    let terminal = io::stdout().is_terminal();
    let mut out = String::new();
    let mut at = 0;
    let mut broken = None;
    while at < bytes.len() && broken.is_none() {
        match Item::read(&bytes, at) {
            Ok(item) => {
                if args.json {
                    let _ = writeln!(out, "{}", item.json());
                } else {
                    item.print(talk.at(1), &mut out);
                }
                at = item.end();
            }
            Err(it) => broken = Some(it),
        }
        if out.len() >= FLUSH || at == bytes.len() || broken.is_some() {
            let mut safe = Vec::with_capacity(out.len());
            text::push_escaped(out.as_bytes(), terminal, &mut safe);
            out.clear();
            match write_stdout(&safe) {
                Ok(()) => {}
                Err(OutputEnd::ReaderGone) => return Ok(Exit::Ok),
                Err(OutputEnd::Failed(failure)) => return Err(failure),
            }
        }
    }
    match broken {
        Some(broken) => {
            eprint!("{}", hex::dump(&bytes, broken.at));
            Err(Failure::new(Exit::Data, format!("broken at byte {}", broken.at), broken.why).hint(broken.hint))
        }
        None => Ok(Exit::Ok),
    }
}

/// The bytes that the command line names.
fn input(args: &args::Decode) -> Result<Vec<u8>, Failure> {
    let bad = |why: String| Failure::new(Exit::Data, "cannot read the hexadecimal text", why);
    if args.hex != ["-"] {
        return hex::read(args.hex.join(" ").as_bytes()).map_err(bad);
    }
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(Exit::Data, "cannot read the standard input", error))?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(Failure::new(Exit::Data, "cannot decode", "more than 16MiB of input"));
    }
    if hex::is_text(&bytes) { hex::read(&bytes).map_err(bad) } else { Ok(bytes) }
}

/// Bytes that are nothing of AMQP 1.0.
#[derive(Debug)]
struct Broken {
    /// The offending byte.
    at: usize,
    why: String,
    hint: Option<String>,
}

impl Broken {
    fn new(at: usize, why: impl Into<String>) -> Self {
        Self { at, why: why.into(), hint: None }
    }

    /// An error in `part`, which begins at `start` of the input.
    fn decode(part: &[u8], start: usize, error: &DecodeError) -> Self {
        // Some are found once the offending byte is read.
        let before = error.offset.checked_sub(1).and_then(|before| part.get(before));
        let behind = match error.kind {
            DecodeErrorKind::Constructor(octet) | DecodeErrorKind::Boolean(octet) => before == Some(&octet),
            DecodeErrorKind::Descriptor => before.is_some(),
            _ => false,
        };
        Self::new(start + error.offset - usize::from(behind), format!("{}: {}", error.ty, error.kind))
    }

    fn frame(frame: &[u8], start: usize, error: &FrameError) -> Self {
        let place = match error {
            FrameError::Body(error) => return Self::decode(frame, start, error),
            FrameError::DataOffset(_) => 4,
            FrameError::Type(_) | FrameError::Unexpected(_) => 5,
            _ => 0,
        };
        Self::new(start + place, error.to_string())
    }
}

/// A protocol header, a frame or a message, and where it begins in the input.
#[derive(Debug)]
struct Item {
    start: usize,
    bytes: Bytes,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Header(ProtocolHeader),
    Frame(FrameHeader),
    /// Sections alone, without a frame around them.
    Message,
}

impl Item {
    /// Reads what begins at `start`, which is in front of the end.
    fn read(all: &Bytes, start: usize) -> Result<Self, Broken> {
        let rest = all.slice(start..);
        if b"AMQP".starts_with(&rest[..rest.len().min(4)]) {
            let header = match ProtocolHeader::parse(&rest) {
                Some(Ok(header)) => header,
                Some(Err(foreign)) => {
                    let why = format!("the header of {foreign}, not of AMQP 1.0");
                    return Err(Broken { hint: Some(foreign.hint().to_owned()), ..Broken::new(start + 4, why) });
                }
                None => {
                    let why = format!("a protocol header has 8 bytes, {} are here", rest.len());
                    return Err(Broken::new(all.len(), why));
                }
            };
            return Ok(Self { start, bytes: rest.slice(..ProtocolHeader::LENGTH), kind: Kind::Header(header) });
        }
        // A frame whose size begins with these bytes would have 5 MiB at least.
        if start == 0 && matches!(*rest, [0, 0x53 | 0x80 | 0xa3 | 0xb3, ..]) {
            return match Message::from_bytes(&rest) {
                Ok(_) => Ok(Self { start, bytes: rest, kind: Kind::Message }),
                Err(error) => Err(Broken::decode(&rest, 0, &error)),
            };
        }
        let size = match FrameHeader::frame_size(&rest, u32::MAX) {
            Ok(Some(size)) => size,
            Ok(None) => return Err(Broken::new(all.len(), "the bytes end in the size of a frame")),
            Err(error) => return Err(Broken::frame(&rest, start, &error)),
        };
        if size > rest.len() {
            return Err(match ProtocolHeader::parse(&rest) {
                Some(Err(ForeignProtocol::Unknown(_))) | Some(Ok(_)) | None => {
                    Broken::new(all.len(), format!("a frame of {size} bytes ends after {}", rest.len()))
                }
                Some(Err(foreign)) => Broken {
                    hint: Some(foreign.hint().to_owned()),
                    ..Broken::new(start, format!("{foreign}, not AMQP"))
                },
            });
        }
        let bytes = rest.slice(..size);
        let header = FrameHeader::parse(&bytes).and_then(|header| Frame::decode(&bytes).map(|_| header));
        match header {
            Ok(header) => Ok(Self { start, kind: Kind::Frame(header), bytes }),
            Err(error) => Err(Broken::frame(&bytes, start, &error)),
        }
    }

    fn end(&self) -> usize {
        self.start + self.bytes.len()
    }
}
