//! Header sections of what is in messages: lines until an empty one, and MIME headers in them (RFC 2045, RFC 5322 2.2).

use memchr::memmem;

use crate::uri::is_token;

/// How long a line of a header section may be, without its end: a peer could send one that never ends.
pub const MAX_LINE: usize = 16_384;

/// How many octets a header section may have: all of it is kept with its message.
pub const MAX_HEAD: usize = 65_536;

/// How many headers a section may have: each costs memory many times its shortest form.
pub const MAX_HEADERS: usize = 64;

/// A MIME header of a body that is inside of another one, such as Content-ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MimeHeader {
    name: Box<str>,
    value: Box<str>,
}

impl MimeHeader {
    /// A header.
    ///
    /// # Errors
    /// A name that is no token, a value with control characters, or more than [`MAX_LINE`] of both.
    pub fn new(name: &str, value: &str) -> Result<Self, HeadErrorKind> {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(HeadErrorKind::Name);
        }
        if value.chars().any(|character| character.is_ascii_control()) {
            return Err(HeadErrorKind::Control);
        }
        if name.len() + 2 + value.len() > MAX_LINE {
            return Err(HeadErrorKind::Line);
        }
        Ok(Self { name: name.into(), value: value.trim().into() })
    }

    /// The name as it was written; names have no case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value, on one line.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether it has this name.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Reads a line, or nothing when it goes on with the header before it.
    fn read(line: &Line<'_>) -> Result<Self, HeadError> {
        let wrong = |kind, place| HeadError { kind, offset: line.offset + place };
        let Some((name, value)) = line.text.split_once(':') else { return Err(wrong(HeadErrorKind::Name, 0)) };
        let name = name.trim_end_matches([' ', '\t']);
        check_controls(value).map_err(|place| wrong(HeadErrorKind::Control, line.text.len() - value.len() + place))?;
        Self::new(name, value.trim()).map_err(|kind| wrong(kind, 0))
    }

    fn go_on(&mut self, line: &Line<'_>) -> Result<(), HeadError> {
        let wrong = |kind, place| HeadError { kind, offset: line.offset + place };
        check_controls(line.text).map_err(|place| wrong(HeadErrorKind::Control, place))?;
        // Built anew only here; the section has a limit, and so has the number of its lines.
        let value = format!("{} {}", self.value, line.text.trim());
        *self = Self::new(&self.name, &value.replace('\t', " ")).map_err(|kind| wrong(kind, 0))?;
        Ok(())
    }
}

/// The place of a control character that is no tab.
fn check_controls(text: &str) -> Result<(), usize> {
    text.bytes().position(|byte| byte.is_ascii_control() && byte != b'\t').map_or(Ok(()), Err)
}

/// What is wrong with a header section, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeadError {
    pub(super) kind: HeadErrorKind,
    pub(super) offset: usize,
}

/// What is wrong with a header section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadErrorKind {
    /// A line is longer than [`MAX_LINE`].
    #[error("a line of more than {MAX_LINE} octets")]
    Line,
    /// The section is longer than [`MAX_HEAD`].
    #[error("headers of more than {MAX_HEAD} octets")]
    Head,
    /// There are more than [`MAX_HEADERS`].
    #[error("more than {MAX_HEADERS} headers")]
    Headers,
    /// A line is not UTF-8.
    #[error("a header that is not UTF-8")]
    Utf8,
    /// There is a control character, as one half of a line's end is.
    #[error("a control character in a header")]
    Control,
    /// The section has no end.
    #[error("headers without an end")]
    Cut,
    /// A line has no name with a colon behind it.
    #[error("no name of a header")]
    Name,
}

/// A line without its end, and where it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    pub(super) offset: usize,
}

/// The lines of header sections, one after the other.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    input: &'a [u8],
    offset: usize,
    headers: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, offset: 0, headers: 0 }
    }

    /// Where the next line begins.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// Counts a header.
    pub(super) fn count(&mut self, line: &Line<'_>) -> Result<(), HeadError> {
        self.headers += 1;
        match self.headers > MAX_HEADERS {
            true => Err(HeadError { kind: HeadErrorKind::Headers, offset: line.offset }),
            false => Ok(()),
        }
    }

    /// The next line; none at the end of the input.
    pub(super) fn line(&mut self) -> Result<Option<Line<'a>>, HeadError> {
        let (start, rest) = (self.offset, &self.input[self.offset..]);
        if rest.is_empty() {
            return Ok(None);
        }
        let wrong = |kind, place| Err(HeadError { kind, offset: start + place });
        // No further than a line may go, or each would look through the whole body.
        let window = &rest[..rest.len().min(MAX_LINE + 2)];
        let Some(end) = memmem::find(window, b"\r\n") else {
            return match rest.len() > MAX_LINE {
                true => wrong(HeadErrorKind::Line, MAX_LINE),
                false => wrong(HeadErrorKind::Cut, rest.len()),
            };
        };
        if start + end + 2 > MAX_HEAD {
            return wrong(HeadErrorKind::Head, 0);
        }
        self.offset = start + end + 2;
        match std::str::from_utf8(&rest[..end]) {
            Ok(text) => Ok(Some(Line { text, offset: start })),
            Err(error) => wrong(HeadErrorKind::Utf8, error.valid_up_to()),
        }
    }

    /// The MIME headers until an empty line or the end of the input, from `first` on if that has been read already.
    pub(super) fn mime(&mut self, first: Option<Line<'a>>) -> Result<Vec<MimeHeader>, HeadError> {
        let mut headers: Vec<MimeHeader> = Vec::new();
        let mut next = first;
        loop {
            let line = match next.take() {
                Some(line) => line,
                None => match self.line()? {
                    None => return Ok(headers),
                    Some(line) if line.text.is_empty() => return Ok(headers),
                    Some(line) => line,
                },
            };
            // Each line is counted: one that goes on copies what is before it.
            self.count(&line)?;
            match headers.last_mut() {
                Some(header) if line.text.starts_with([' ', '\t']) => header.go_on(&line)?,
                _ => headers.push(MimeHeader::read(&line)?),
            }
        }
    }
}
