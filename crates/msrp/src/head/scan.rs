//! Finds the end of a head, line by line, wherever the input is cut.

use bytes::Bytes;

use super::{Field, Head, HeadFault, Known, Span, Start};
use crate::parser::{Limits, ParseError};
use crate::uri::is_token;
use crate::{Flag, HeaderName, TransactionId};

/// How far a head was read. It holds places only: the octets lie with the parser, from the start line on.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    start: Option<Start>,
    fields: Vec<Field>,
    known: Known,
    fault: Option<HeadFault>,
    /// Where the line begins that is not read yet.
    line: usize,
    /// Up to where there is no end of that line.
    looked: usize,
}

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// Content, up to the end line.
    Follows,
    /// Nothing: the end line was there already.
    None(Flag),
}

/// What has come of reading.
#[derive(Debug)]
pub(crate) enum Scanned {
    /// The head is whole: so many octets, of which so many are the head's.
    Head { length: usize, used: usize, body: Body },
    /// There must come more.
    More,
}

impl Scan {
    pub(crate) fn new() -> Self {
        Self { fields: Vec::with_capacity(8), ..Self::default() }
    }

    /// The id of the transaction, once it is known.
    pub(crate) fn transaction_id(&self) -> Option<TransactionId> {
        match self.start? {
            Start::Request { id, .. } | Start::Response { id, .. } => Some(id),
        }
    }

    /// Reads what was not read before. `octets` begins where the frame does.
    pub(crate) fn read(&mut self, octets: &[u8], limits: &Limits) -> Result<Scanned, ParseError> {
        loop {
            let Some(place) = memchr::memchr(b'\n', &octets[self.looked..]) else {
                self.looked = octets.len();
                self.check_length(octets, octets.len(), limits)?;
                return Ok(Scanned::More);
            };
            let end = self.looked + place;
            self.check_length(octets, end, limits)?;
            // The end of a line is CR LF and nothing else: what takes less for one sees other frames than the next hop.
            if self.start.is_none() && !octets.starts_with(BEGIN) {
                return Err(ParseError::NotMsrp);
            }
            if end == self.line || octets[end - 1] != b'\r' {
                return Err(ParseError::LineFeed);
            }
            let line = Span { start: self.line as u32, end: end as u32 - 1 };
            (self.line, self.looked) = (end + 1, end + 1);
            let text = &octets[line.range()];
            let Some(start) = self.start else {
                self.start = Some(start_line(text)?);
                continue;
            };
            let body = match text.first() {
                None => Body::Follows,
                Some(b'-') => Body::None(self.end_line(text)?),
                Some(_) => {
                    self.header(octets, line, limits)?;
                    continue;
                }
            };
            self.check(matches!(start, Start::Response { .. }), body);
            return Ok(Scanned::Head { length: line.start as usize, used: end + 1, body });
        }
    }

    /// The head that was read, of its octets.
    pub(crate) fn into_head(self, raw: Bytes) -> Head {
        let start = self.start.expect("a head that is whole has its first line");
        Head { raw, start, fields: self.fields, known: self.known, fault: self.fault }
    }

    /// Checks the limits of what lies up to here, where a line may be open.
    fn check_length(&self, octets: &[u8], end: usize, limits: &Limits) -> Result<(), ParseError> {
        if self.start.is_none() {
            let begins = &octets[..end.min(BEGIN.len())];
            if !BEGIN.starts_with(begins) {
                return Err(ParseError::NotMsrp);
            }
            if end > BEGIN.len() + TransactionId::MAX + 1 + limits.start_line {
                return Err(ParseError::StartLineTooLong(limits.start_line));
            }
        } else if end - self.line > limits.header_line + 1 {
            return Err(ParseError::HeaderLineTooLong(limits.header_line));
        }
        if end > limits.head {
            return Err(ParseError::HeadTooLong(limits.head));
        }
        Ok(())
    }

    fn header(&mut self, octets: &[u8], line: Span, limits: &Limits) -> Result<(), ParseError> {
        if self.fields.len() >= limits.headers {
            return Err(ParseError::TooManyHeaders(limits.headers));
        }
        let number = self.fields.len() + 2;
        let text = &octets[line.range()];
        let colon = text.iter().position(|byte| *byte == b':').unwrap_or_default();
        let known = HeaderName::of(&text[..colon]);
        let (name, value) = if known.is_some() || is_name(&text[..colon]) {
            (colon, colon + 1)
        } else {
            // It has its place among the fields, so that what is told of it can name its line.
            self.wrong(HeadFault::Line(number));
            (0, 0)
        };
        let rest = &text[value..];
        let before = rest.iter().take_while(|byte| is_blank(**byte)).count();
        let behind = rest[before..].iter().rev().take_while(|byte| is_blank(**byte)).count();
        let field = Field {
            known,
            name: Span { start: line.start, end: line.start + name as u32 },
            value: Span { start: line.start + (value + before) as u32, end: line.end - behind as u32 },
        };
        if !is_text(rest) {
            self.wrong(HeadFault::Text(number));
        }
        let expected = match self.fields.len() {
            0 => Some(HeaderName::ToPath),
            1 => Some(HeaderName::FromPath),
            _ => None,
        };
        if expected.is_some_and(|expected| field.known != Some(expected)) {
            self.wrong(HeadFault::Order);
        }
        self.fields.push(field);
        if let Some(known) = field.known {
            let place = &mut self.known[known as usize];
            if *place != 0 && known != HeaderName::WwwAuthenticate {
                self.wrong(HeadFault::Twice(known));
            } else if *place == 0 {
                // There are fewer fields than 256: see `Limits::headers`.
                *place = self.fields.len() as u8;
            }
        }
        Ok(())
    }

    fn end_line(&self, text: &[u8]) -> Result<Flag, ParseError> {
        let id = self.transaction_id().expect("the first line was read");
        let rest = text.strip_prefix(b"-------").and_then(|rest| rest.strip_prefix(id.as_bytes()));
        match rest {
            Some([flag]) => Flag::from_byte(*flag),
            _ => None,
        }
        .ok_or(ParseError::EndLine)
    }

    /// Checks what only shows at the end of the head.
    fn check(&mut self, response: bool, body: Body) {
        if self.fields.len() < 2 {
            self.wrong(HeadFault::Order);
        }
        let typed = self.known[HeaderName::ContentType as usize] != 0;
        match body {
            Body::Follows if response => self.wrong(HeadFault::ResponseWithContent),
            Body::Follows if !typed => self.wrong(HeadFault::NoContentType),
            Body::None(_) if typed => self.wrong(HeadFault::NoContent),
            _ => {}
        }
    }

    /// The first fault counts.
    fn wrong(&mut self, fault: HeadFault) {
        self.fault.get_or_insert(fault);
    }
}

const BEGIN: &[u8] = b"MSRP ";

fn start_line(text: &[u8]) -> Result<Start, ParseError> {
    let rest = text.strip_prefix(BEGIN).ok_or(ParseError::NotMsrp)?;
    let space = memchr::memchr(b' ', rest).ok_or(ParseError::StartLine)?;
    let id = TransactionId::from_bytes(&rest[..space]).ok_or(ParseError::TransactionId)?;
    let at = BEGIN.len() + space + 1;
    let what = &text[at..];
    let span = |from: usize, text: &[u8]| Span { start: from as u32, end: (from + text.len()) as u32 };
    if !what.first().is_some_and(u8::is_ascii_digit) {
        // `FILE_OFFSET` of a known client is taken as well.
        let letters = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'_';
        if what.is_empty() || !what.iter().all(letters) {
            return Err(ParseError::StartLine);
        }
        return Ok(Start::Request { id, method: span(at, what) });
    }
    let Some((digits, behind)) = what.split_at_checked(3) else { return Err(ParseError::StartLine) };
    let comment = match behind {
        [] | [b' '] => None,
        [b' ', comment @ ..] if is_text(comment) => Some(span(at + 4, comment)),
        _ => return Err(ParseError::StartLine),
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(ParseError::StartLine);
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    Ok(Start::Response { id, code, comment })
}

/// `hname` of RFC 4975 9.
fn is_name(name: &[u8]) -> bool {
    name.first().is_some_and(u8::is_ascii_alphabetic) && name.iter().copied().all(is_token)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `utf8text` of RFC 4975 9.
fn is_text(text: &[u8]) -> bool {
    // Without a way out, so that the compiler takes many octets at a time.
    let plain = |text: &[u8]| text.iter().fold(true, |plain, byte| plain & (*byte >= b' ') & (*byte < 0x7f));
    if plain(text) {
        return true;
    }
    let control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    !text.iter().any(control) && std::str::from_utf8(text).is_ok()
}
