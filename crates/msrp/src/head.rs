//! What a frame begins with: its start line and its headers, as they came.

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::{HeaderName, TransactionId};

mod scan;

pub(crate) use scan::{Body, Scan, Scanned};

/// Content of up to so many octets is copied where it is kept. A read buffer may have sixteen times as much.
const KEPT: usize = 16 * 1024;

/// The start line and the headers of a frame, as they came, octet for octet.
///
/// What a header says is read when it is asked for; whether the frame keeps the rules that hold for every frame is known
/// beforehand ([`fault`](Self::fault)).
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    /// From the start line to the end of the last header's line.
    raw: Bytes,
    start: Start,
    fields: Vec<Field>,
    /// By header, the place of its first field among all, counted from one; none has 0.
    known: Known,
    fault: Option<HeadFault>,
}

type Known = [u8; HeaderName::ALL.len()];

/// What kind of frame it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Request { id: TransactionId, method: Span },
    Response { id: TransactionId, code: u16, comment: Option<Span> },
}

/// A part of the head, in octets from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    known: Option<HeaderName>,
    name: Span,
    value: Span,
}

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method<'a> {
    /// To hand over a chunk of a message.
    Send,
    /// To tell what became of one.
    Report,
    /// To be let in by a relay (RFC 4976).
    Auth,
    /// To go by a nickname in a chat room (RFC 7701).
    Nickname,
    /// Something else.
    Other(&'a str),
}

/// In what a frame breaks the rules for every frame, although one can tell where it ends. A request is answered with 400,
/// or 415 where its content has no type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadFault {
    /// The first header is not `To-Path`, or the second not `From-Path` (RFC 4975 7.1).
    #[error("To-Path and From-Path do not come first")]
    Order,
    /// A header that may stand once stands twice.
    #[error("{0} stands twice")]
    Twice(HeaderName),
    /// A line is no header: a name, a colon and a value.
    #[error("line {0} is no header")]
    Line(usize),
    /// There is content of which nothing says what it is.
    #[error("content without Content-Type")]
    NoContentType,
    /// There is a type and no content, not even an empty one.
    #[error("Content-Type without content")]
    NoContent,
    /// A response has content (RFC 4975 7.2).
    #[error("a response with content")]
    ResponseWithContent,
    /// What has to be UTF-8 is not, or has control characters.
    #[error("line {0} is no text of UTF-8")]
    Text(usize),
}

impl Head {
    /// The id of the transaction.
    #[must_use]
    pub fn transaction_id(&self) -> TransactionId {
        match self.start {
            Start::Request { id, .. } | Start::Response { id, .. } => id,
        }
    }

    /// What a request wants; nothing for a response.
    #[must_use]
    pub fn method(&self) -> Option<Method<'_>> {
        match self.start {
            Start::Request { method, .. } => Some(Method::of(self.text_at(method))),
            Start::Response { .. } => None,
        }
    }

    /// The code of a response, from 0 to 999; nothing for a request.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { code, .. } => Some(code),
        }
    }

    /// What a response says for people. Nothing may depend on it.
    #[must_use]
    pub fn comment(&self) -> Option<&str> {
        match self.start {
            Start::Response { comment, .. } => comment.and_then(|comment| std::str::from_utf8(self.at(comment)).ok()),
            Start::Request { .. } => None,
        }
    }

    /// In what it breaks the rules.
    #[must_use]
    pub fn fault(&self) -> Option<HeadFault> {
        self.fault
    }

    /// The value of a header, without the blanks around it. Of one that stands more than once it is the first.
    #[must_use]
    pub fn value(&self, name: HeaderName) -> Option<&[u8]> {
        self.field(name).map(|field| self.at(field.value))
    }

    /// The value of a header, where it is UTF-8.
    #[must_use]
    pub fn text(&self, name: HeaderName) -> Option<&str> {
        std::str::from_utf8(self.value(name)?).ok()
    }

    /// The value of a header as a part of what came, which it keeps in memory.
    #[must_use]
    pub fn slice(&self, name: HeaderName) -> Option<Bytes> {
        self.field(name).map(|field| self.raw.slice(field.value.range()))
    }

    /// The value of a header that this crate does not know, by its name in any case.
    #[must_use]
    pub fn other(&self, name: &str) -> Option<&[u8]> {
        let mut others = self.fields.iter().filter(|field| field.known.is_none());
        let named = others.find(|field| self.at(field.name).eq_ignore_ascii_case(name.as_bytes()))?;
        Some(self.at(named.value))
    }

    /// All headers in their order: names as they were written, and values.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| (self.text_at(field.name), self.at(field.value)))
    }

    /// The octets, from the start line to the end of the last header's line.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.raw
    }

    /// The same head, and content that goes with it, without the read buffer that both lie in: what somebody keeps must not keep
    /// a buffer that is hundreds of times as large. Content that is not small keeps its own.
    pub(crate) fn kept(mut self, content: Bytes) -> (Self, Bytes) {
        let length = self.raw.len();
        let with = if content.len() <= KEPT { content.len() } else { 0 };
        let mut octets = BytesMut::with_capacity(length + with);
        octets.extend_from_slice(&self.raw);
        octets.extend_from_slice(&content[..with]);
        let octets = octets.freeze();
        self.raw = octets.slice(..length);
        let content = if content.len() <= KEPT { octets.slice(length..) } else { content };
        (self, content)
    }

    fn field(&self, name: HeaderName) -> Option<&Field> {
        let place = usize::from(self.known[name as usize]);
        place.checked_sub(1).map(|place| &self.fields[place])
    }

    fn at(&self, span: Span) -> &[u8] {
        &self.raw[span.range()]
    }

    /// A part that was found to be ASCII.
    fn text_at(&self, span: Span) -> &str {
        std::str::from_utf8(self.at(span)).expect("methods and names are ASCII")
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head = f.debug_struct("Head");
        head.field("id", &self.transaction_id().as_str());
        match self.start {
            Start::Request { method, .. } => head.field("method", &self.text_at(method)),
            Start::Response { code, .. } => head.field("code", &code),
        };
        // What proves who somebody is is for nobody to read.
        let secret = [Some(HeaderName::Authorization), Some(HeaderName::AuthenticationInfo)];
        for field in &self.fields {
            let value =
                if secret.contains(&field.known) { "..".into() } else { String::from_utf8_lossy(self.at(field.value)) };
            head.field(self.text_at(field.name), &value);
        }
        head.field("fault", &self.fault).finish()
    }
}

impl Span {
    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl<'a> Method<'a> {
    /// The method of this name.
    #[must_use]
    pub fn of(name: &'a str) -> Self {
        match name {
            "SEND" => Self::Send,
            "REPORT" => Self::Report,
            "AUTH" => Self::Auth,
            "NICKNAME" => Self::Nickname,
            other => Self::Other(other),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        match self {
            Self::Send => "SEND",
            Self::Report => "REPORT",
            Self::Auth => "AUTH",
            Self::Nickname => "NICKNAME",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
