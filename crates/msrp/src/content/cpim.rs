//! message/cpim: a body with what its sender says of it, kept together end to end (RFC 3862).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::mime::{HeadError, Line, Lines};
use super::{DateTime, HeadErrorKind, IMDN_NAMESPACE, MediaType, MediaTypeErrorKind, MimeHeader};

mod address;
mod builder;
mod escape;
mod header;

pub use address::Address;
pub(super) use address::{check_uri, is_formal_token, write_quoted};
pub use builder::CpimBuilder;
use header::Scope;
pub use header::{CpimHeader, Subject};
pub(super) use header::{Parameter, read_parameter};

/// The namespace of the headers of RFC 3862, which holds where a message does not name another one.
pub const CPIM_NAMESPACE: &str = "urn:ietf:params:cpim-headers:";

/// A message/cpim: its headers in their order, the MIME headers of the body inside, and the body, a slice of what arrived.
///
/// What was read is written again octet for octet, as a signature over it needs.
///
/// ```
/// use postroad_msrp::content::{Cpim, MediaType};
///
/// let text = "From: Alice <im:alice@example.com>\r\nTo: <im:bob@example.com>\r\nSubject:;lang=en Lunch\r\n\r\n\
///             Content-Type: text/plain;charset=utf-8\r\n\r\nAt noon?";
/// let message = Cpim::parse(&text.into())?;
/// assert_eq!(message.from().unwrap().uri(), "im:alice@example.com");
/// assert_eq!(message.subject(), Some("Lunch".into()));
/// assert!(message.content_type().is("text", "plain"));
/// assert_eq!(&message.body()[..], b"At noon?");
/// assert_eq!(message.to_bytes(), text);
///
/// let answer = Cpim::builder(&message.to()[0], message.from().unwrap())
///     .with_subject("Lunch")?
///     .build(&MediaType::text_plain(), "Yes.")?;
/// assert!(answer.to_bytes().ends_with(b"Subject: Lunch\r\n\r\nContent-Type: text/plain\r\n\r\nYes."));
/// # Ok::<_, postroad_msrp::content::CpimError>(())
/// ```
#[doc(alias = "CPIMMessage")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpim {
    head: Bytes,
    body: Bytes,
    headers: Vec<CpimHeader>,
    from: Option<Address>,
    to: Vec<Address>,
    cc: Vec<Address>,
    date_time: Option<DateTime>,
    content_type: MediaType,
    mime: Vec<MimeHeader>,
}

/// What `Require` names: the namespace, if its prefix stands for one, the name, and where the list is.
struct Required {
    namespace: Option<Arc<str>>,
    name: Box<str>,
    offset: usize,
}

/// What the headers of RFC 3862 say, as far as they have been read.
#[derive(Default)]
struct Envelope {
    scope: Scope,
    from: Option<Address>,
    to: Vec<Address>,
    cc: Vec<Address>,
    date_time: Option<DateTime>,
    required: Vec<Required>,
}

impl Cpim {
    /// Reads a message of which nothing is required but what RFC 3862 and RFC 5438 define.
    ///
    /// # Errors
    /// What [`parse_understanding`](Self::parse_understanding) refuses.
    pub fn parse(input: &Bytes) -> Result<Self, CpimError> {
        Self::parse_understanding(input, |_, _| false)
    }

    /// Reads a message, in which headers and features may be required that `understood` says are: it is asked with the
    /// URI of the namespace and the name.
    ///
    /// MIME headers that stand directly behind the message's own are read too, as in RFC 4975 11.4 and RFC 5438.
    ///
    /// # Errors
    /// Headers that break the grammar or the limits, that may not be there twice and are, or that are required and not
    /// understood; no Content-Type of the body inside.
    pub fn parse_understanding(input: &Bytes, understood: impl Fn(&str, &str) -> bool) -> Result<Self, CpimError> {
        let (message, required) = Self::read(input)?;
        for Required { namespace, name, offset } in required {
            let known = namespace.as_deref().is_some_and(|uri| is_known(uri, &name) || understood(uri, &name));
            if !known {
                let namespace = namespace.as_deref().map(Into::into);
                return Err(CpimError::new(CpimErrorKind::Required { namespace, name }, offset));
            }
        }
        Ok(message)
    }

    /// Reads a message whatever it requires, for those who do not act on it.
    pub(super) fn read_any(input: &Bytes) -> Result<Self, CpimError> {
        Self::read(input).map(|(message, _)| message)
    }

    fn read(input: &Bytes) -> Result<(Self, Vec<Required>), CpimError> {
        let mut lines = Lines::new(input);
        let (mut envelope, mut headers) = (Envelope::default(), Vec::new());
        let first = loop {
            let Some(line) = lines.line()? else {
                return Err(CpimError::new(CpimErrorKind::ContentTypeMissing, lines.offset()));
            };
            if line.text.is_empty() {
                break None;
            }
            if is_mime(line.text) {
                break Some(line);
            }
            lines.count(&line)?;
            let header = CpimHeader::read(&line, &envelope.scope)?;
            if header.namespace() == Some(CPIM_NAMESPACE) {
                envelope.take(&header, &line).map_err(|kind| CpimError::new(kind, line.offset))?;
            }
            headers.push(header);
        };
        let start = first.map_or_else(|| lines.offset(), |line| line.offset);
        let mut mime = lines.mime(first)?;
        let content_type = take_content_type(&mut mime).map_err(|kind| CpimError::new(kind, start))?;
        let end = lines.offset();
        let Envelope { from, to, cc, date_time, required, .. } = envelope;
        let (head, body) = (input.slice(..end), input.slice(end..));
        Ok((Self { head, body, headers, from, to, cc, date_time, content_type, mime }, required))
    }

    /// Begins a message from one to another.
    #[must_use]
    pub fn builder(from: &Address, to: &Address) -> CpimBuilder {
        CpimBuilder::new(from, to)
    }

    /// Who it is from, as its sender says; what comes from an end of MSRP always has it (RFC 4975 13).
    #[must_use]
    pub fn from(&self) -> Option<&Address> {
        self.from.as_ref()
    }

    /// Whom it is for.
    #[must_use]
    pub fn to(&self) -> &[Address] {
        &self.to
    }

    /// Who gets a copy.
    #[must_use]
    pub fn cc(&self) -> &[Address] {
        &self.cc
    }

    /// When it was sent, as its sender says.
    #[must_use]
    pub fn date_time(&self) -> Option<&DateTime> {
        self.date_time.as_ref()
    }

    /// What it is about, in the first language.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        self.subjects().next().map(|subject| subject.text)
    }

    /// What it is about, in each language that it says it in.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> {
        self.headers_named(CPIM_NAMESPACE, "Subject")
            .map(|header| Subject { text: header.value().into_owned(), language: header.language().map(str::to_owned) })
    }

    /// The headers in their order, known or not, without MIME headers.
    #[must_use]
    pub fn headers(&self) -> &[CpimHeader] {
        &self.headers
    }

    /// The headers of a namespace that have a name.
    pub fn headers_named(&self, namespace: &str, name: &str) -> impl Iterator<Item = &CpimHeader> {
        self.headers.iter().filter(move |header| header.name() == name && header.namespace() == Some(namespace))
    }

    /// What the body inside is.
    #[must_use]
    pub fn content_type(&self) -> &MediaType {
        &self.content_type
    }

    /// The other MIME headers of the body inside.
    #[must_use]
    pub fn mime_headers(&self) -> &[MimeHeader] {
        &self.mime
    }

    /// The value of the first MIME header of this name, without regard to case; Content-Type is not among them.
    #[must_use]
    pub fn mime_header(&self, name: &str) -> Option<&str> {
        self.mime.iter().find(|header| header.is(name)).map(MimeHeader::value)
    }

    /// All that is in front of the body, octet for octet.
    #[must_use]
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// The body inside.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// What is in front of the body, and the body: nothing is copied.
    #[must_use]
    pub fn into_parts(self) -> (Bytes, Bytes) {
        (self.head, self.body)
    }

    /// The whole message, of which the body is copied.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.head.len() + self.body.len());
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(&self.body);
        bytes.freeze()
    }
}

impl Envelope {
    /// Takes a header of the namespace of RFC 3862.
    fn take(&mut self, header: &CpimHeader, line: &Line<'_>) -> Result<(), CpimErrorKind> {
        let value = header.raw_value();
        let address = || Address::read(value).ok_or(CpimErrorKind::Address);
        match header.name() {
            // Who a message is from must not depend on who reads it (RFC 4975 13).
            "From" if self.from.is_some() => return Err(CpimErrorKind::Duplicate),
            "From" => self.from = Some(address()?),
            "To" => self.to.push(address()?),
            "cc" => self.cc.push(address()?),
            "DateTime" if self.date_time.is_some() => return Err(CpimErrorKind::Duplicate),
            "DateTime" => self.date_time = Some(value.trim().parse().map_err(|_| CpimErrorKind::DateTime)?),
            "NS" => self.scope.declare(value).ok_or(CpimErrorKind::Namespace)?,
            "Require" => {
                for written in value.split(',').map(str::trim) {
                    let (namespace, local) = self.scope.resolve(written).map_err(|()| CpimErrorKind::Require)?;
                    // Else one line would stand for thousands.
                    if self.required.len() == super::MAX_HEADERS {
                        return Err(CpimErrorKind::Require);
                    }
                    let offset = line.offset + line.text.len() - value.len();
                    self.required.push(Required { namespace, name: written[local..].into(), offset });
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Takes the one Content-Type out of MIME headers.
fn take_content_type(mime: &mut Vec<MimeHeader>) -> Result<MediaType, CpimErrorKind> {
    let mut places = (0..mime.len()).filter(|&place| mime[place].is("Content-Type"));
    let place = places.next().ok_or(CpimErrorKind::ContentTypeMissing)?;
    if places.next().is_some() {
        return Err(CpimErrorKind::Duplicate);
    }
    mime.remove(place).value().parse::<MediaType>().map_err(|error| CpimErrorKind::ContentType(error.kind()))
}

/// Whether a line is one of MIME's, which RFC 4975 11.4 and RFC 5438 print without an empty line in front of them.
fn is_mime(line: &str) -> bool {
    let prefix = "Content-";
    line.split_once(':').is_some_and(|(name, _)| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)) && !name.contains('.')
    })
}

/// Whether a header is one that we understand.
fn is_known(namespace: &str, name: &str) -> bool {
    let names: &[&str] = match namespace {
        CPIM_NAMESPACE => &["From", "To", "cc", "DateTime", "Subject", "NS", "Require"],
        IMDN_NAMESPACE => &["Message-ID", "Disposition-Notification", "Original-To", "IMDN-Record-Route", "IMDN-Route"],
        _ => &[],
    };
    names.contains(&name)
}

/// Why something is no message/cpim, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at offset {offset}")]
pub struct CpimError {
    kind: CpimErrorKind,
    offset: usize,
}

/// What is wrong with a message/cpim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CpimErrorKind {
    /// The headers have not the form of headers, or are too many or too long.
    #[error("{0}")]
    Head(HeadErrorKind),
    /// The name of a header has other characters, or more than one point.
    #[error("no name of a header")]
    Name,
    /// What is between a header's colon and its value is not like `;lang=en`, or there is too much of it.
    #[error("no parameter of a header")]
    Parameter,
    /// The value is no address, as in `Alice <im:alice@example.com>`.
    #[error("no address")]
    Address,
    /// The value is no date with a time.
    #[error("no date and time")]
    DateTime,
    /// A message that asks for notifications has no DateTime, which it must have (RFC 5438 7.1.1.2).
    #[error("a request for notifications without DateTime")]
    DateTimeMissing,
    /// The value declares no namespace, or a prefix is used that stands for none.
    #[error("no namespace")]
    Namespace,
    /// The value is no list of names of headers, or one that is too long.
    #[error("no list of required headers")]
    Require,
    /// A header is there twice which may not be.
    #[error("a header that is there twice")]
    Duplicate,
    /// The sender insists on something that is not understood: the message is not to be acted upon (RFC 3862 3.5).
    #[error("{name} of {} is required and not understood", namespace.as_deref().unwrap_or("an unknown namespace"))]
    Required {
        /// The URI of the namespace, if it was declared.
        namespace: Option<Box<str>>,
        /// The name of the header or feature.
        name: Box<str>,
    },
    /// The body inside has no Content-Type (RFC 3862 2.4).
    #[error("no Content-Type")]
    ContentTypeMissing,
    /// The Content-Type of the body inside is no media type.
    #[error("{0}")]
    ContentType(MediaTypeErrorKind),
}

impl CpimError {
    pub(super) fn new(kind: CpimErrorKind, offset: usize) -> Self {
        Self { kind, offset }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &CpimErrorKind {
        &self.kind
    }

    /// Where, in bytes from the beginning of the message, or of the value that was given.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What to write instead, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.kind {
            CpimErrorKind::Address => "write it like Alice <im:alice@example.com>",
            CpimErrorKind::DateTimeMissing => "add it with `CpimBuilder::with_date_time`",
            CpimErrorKind::DateTime => "write it like 2001-02-01T12:16:49-05:00",
            CpimErrorKind::Namespace => "declare it first, like NS: imdn <urn:ietf:params:imdn>",
            CpimErrorKind::Required { .. } => "headers that the application understands are named to the parser",
            _ => return None,
        })
    }
}

impl From<HeadError> for CpimError {
    fn from(error: HeadError) -> Self {
        Self::new(CpimErrorKind::Head(error.kind), error.offset)
    }
}

#[cfg(test)]
mod tests;
