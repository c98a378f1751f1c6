//! A message that is being sent: what is left of it, and what became of the rest.

use std::collections::VecDeque;

use bytes::Bytes;

use super::keys::SessionKey;
use crate::{Code, FailureReport, MessageId};

/// A message to send.
///
/// ```
/// use postroad_msrp::engine::Outgoing;
///
/// let hello = Outgoing::new("text/plain", "hello");
/// # let _ = hello;
/// ```
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub(super) id: Option<MessageId>,
    pub(super) failure: FailureReport,
    pub(super) success: bool,
    /// Lines of headers, those of MIME apart.
    pub(super) headers: Vec<u8>,
    pub(super) mime: Vec<u8>,
    pub(super) content_type: Vec<u8>,
    pub(super) content: Option<Bytes>,
    pub(super) size: Option<u64>,
    pub(super) position: u64,
}

/// What became of a message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Every chunk was taken by the next hop.
    Accepted,
    /// All of it has left, and no answer was asked for.
    Sent,
    /// A response said that it is not taken.
    Refused {
        /// Why.
        code: Code,
        /// What is said of it to people.
        comment: Option<String>,
    },
    /// A report said that it did not arrive.
    Failed {
        /// Why.
        code: Code,
        /// What is said of it to people.
        comment: Option<String>,
    },
    /// No response came in time.
    TimedOut,
    /// It was given up at this end.
    Aborted,
    /// The session ended before.
    SessionOver,
}

impl Outcome {
    /// Whether nothing is known to have gone wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Accepted | Self::Sent)
    }
}

/// A message in the engine.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) session: SessionKey,
    pub(super) id: MessageId,
    /// `To-Path` and `From-Path`, the message's other headers, and those of MIME, as lines.
    pub(super) paths: Bytes,
    pub(super) headers: Bytes,
    pub(super) mime: Bytes,
    pub(super) failure: FailureReport,
    pub(super) success: bool,
    /// The size of the message, where it is known.
    pub(super) size: Option<u64>,
    /// The first octet that is sent here, and the next one, from zero on.
    pub(super) first: u64,
    pub(super) next: u64,
    /// What the owner has given and has not been put out.
    pub(super) parts: VecDeque<Bytes>,
    pub(super) waiting: usize,
    /// Whether the owner has given everything.
    pub(super) whole: bool,
    /// Whether the owner knows that more is wanted.
    pub(super) asked: bool,
    /// Whether it stands in the ring.
    pub(super) in_ring: bool,
    /// Whether a chunk has left, and the last one.
    pub(super) begun: bool,
    pub(super) finished: bool,
    /// Why nothing more is to be sent.
    pub(super) given_up: bool,
    /// What its owner was told.
    pub(super) told: bool,
    /// Chunks without a response, and how much has one.
    pub(super) open: u32,
    pub(super) accepted: u64,
    /// The most content of a chunk.
    pub(super) chunk: usize,
}

impl Sending {
    /// Whether it can go on.
    pub(super) fn is_ready(&self) -> bool {
        !self.finished && (self.given_up || self.waiting > 0 || self.whole)
    }

    /// Whether nothing of it will come any more.
    pub(super) fn is_over(&self) -> bool {
        self.told && (self.finished || (self.given_up && !self.begun)) && self.open == 0
    }

    /// Takes the next octets, so many at most.
    pub(super) fn take(&mut self, most: usize) -> Bytes {
        let Some(part) = self.parts.front_mut() else { return Bytes::new() };
        let taken = part.split_to(part.len().min(most));
        if part.is_empty() {
            self.parts.pop_front();
        }
        self.waiting -= taken.len();
        taken
    }

    /// Gives octets back that were taken last.
    pub(super) fn give_back(&mut self, octets: Bytes) {
        if !octets.is_empty() {
            self.waiting += octets.len();
            self.parts.push_front(octets);
        }
    }

    /// Whether what waits is all that is left.
    pub(super) fn is_last(&self) -> bool {
        self.whole && self.waiting == 0
    }
}

impl Outgoing {
    /// Content that is here as a whole.
    ///
    /// # Panics
    /// The type would end a line: [`typed`](Self::typed) tells of it.
    #[must_use]
    pub fn new(content_type: &str, content: impl Into<Bytes>) -> Self {
        Self::typed(content_type, content).expect("a media type ends no line")
    }

    /// Content that is here as a whole.
    ///
    /// # Errors
    /// The type would end a line, or is no text.
    pub fn typed(content_type: &str, content: impl Into<Bytes>) -> Result<Self, HeaderError> {
        let content = content.into();
        let size = content.len() as u64;
        let message = Self::empty().with_type(content_type)?;
        Ok(Self { content: Some(content), size: Some(size), ..message })
    }

    /// Content that its owner gives bit by bit as [`Event::Wanted`](super::Event::Wanted) asks for it; the size is said where
    /// it is known.
    ///
    /// # Errors
    /// The type would end a line, or is no text.
    pub fn streamed(content_type: &str, size: Option<u64>) -> Result<Self, HeaderError> {
        let message = Self::empty().with_type(content_type)?;
        Ok(Self { size, ..message })
    }

    fn empty() -> Self {
        Self {
            id: None,
            failure: FailureReport::Yes,
            success: false,
            headers: Vec::new(),
            mime: Vec::new(),
            content_type: Vec::new(),
            content: None,
            size: None,
            position: 0,
        }
    }

    fn with_type(mut self, content_type: &str) -> Result<Self, HeaderError> {
        write_line(&mut self.content_type, "Content-Type", content_type)?;
        Ok(self)
    }

    /// Under this name; by default a new one.
    #[must_use]
    pub fn with_id(mut self, id: MessageId) -> Self {
        self.id = Some(id);
        self
    }

    /// What is to be answered and reported when it goes wrong.
    #[must_use]
    pub fn with_failure_report(mut self, failure: FailureReport) -> Self {
        self.failure = failure;
        self
    }

    /// Whether its arrival is to be reported.
    #[must_use]
    pub fn with_success_report(mut self, wanted: bool) -> Self {
        self.success = wanted;
        self
    }

    /// With so many octets in all, where they are given bit by bit.
    #[must_use]
    pub fn with_size(mut self, size: u64) -> Self {
        // What is here as a whole has its size.
        if self.content.is_none() {
            self.size = Some(size);
        }
        self
    }

    /// From this octet on, counted from zero: the peer has what is before it.
    #[must_use]
    pub fn from_position(mut self, position: u64) -> Self {
        self.position = position;
        self
    }

    /// With a further header. Those of MIME (`Content-...`) come behind the others.
    ///
    /// # Errors
    /// The name is none or the engine's own, or the value would end the line.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, HeaderError> {
        if crate::HeaderName::of(name.as_bytes()).is_some_and(is_own) {
            return Err(HeaderError::Own);
        }
        let mime = name.get(..8).is_some_and(|begin| begin.eq_ignore_ascii_case("content-"));
        write_line(if mime { &mut self.mime } else { &mut self.headers }, name, value)?;
        Ok(self)
    }
}

/// Headers that the engine writes by itself.
fn is_own(name: crate::HeaderName) -> bool {
    use crate::HeaderName::{
        ByteRange, ContentType, FailureReport, FromPath, MessageId, Status, SuccessReport, ToPath,
    };
    matches!(name, ByteRange | ContentType | FailureReport | FromPath | MessageId | Status | SuccessReport | ToPath)
}

/// Writes a header's line.
pub(crate) fn write_line(into: &mut Vec<u8>, name: &str, value: &str) -> Result<(), HeaderError> {
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.bytes().all(crate::uri::is_token) {
        return Err(HeaderError::Name);
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(HeaderError::Value);
    }
    into.extend_from_slice(name.as_bytes());
    into.extend_from_slice(b": ");
    into.extend_from_slice(value.as_bytes());
    into.extend_from_slice(b"\r\n");
    Ok(())
}

/// A header that cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is no token that begins with a letter.
    #[error("a name of a header has letters, digits and hyphens")]
    Name,
    /// The value has a control character, which could end the line.
    #[error("a value of a header is one line without control characters")]
    Value,
    /// The header is written by the engine.
    #[error("this header is not the application's to write")]
    Own,
}
