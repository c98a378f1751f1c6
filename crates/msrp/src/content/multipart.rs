//! Bodies of several parts (RFC 2046 5.1), which every end must be able to receive (RFC 4975 7.3).

use bytes::Bytes;
use memchr::memchr;

use super::mime::{HeadError, HeadErrorKind, Lines, MimeHeader};
use super::{MediaType, MediaTypeError};

/// The parts of a `multipart/*` body, which are slices of it.
///
/// ```
/// use postroad_msrp::content::Multipart;
///
/// let body = "--next\r\nContent-Type: text/html\r\n\r\n<p>\r\n--next\r\n\r\nplain\r\n--next--\r\n";
/// let parts = Multipart::parse(&"multipart/alternative;boundary=next".parse()?, &body.into())?.into_parts();
/// assert_eq!((parts[0].content_type().essence(), &parts[0].body()[..]), ("text/html", &b"<p>"[..]));
/// assert_eq!((parts[1].content_type().essence(), &parts[1].body()[..]), ("text/plain", &b"plain"[..]));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    parts: Vec<Part>,
}

/// A part of a [`Multipart`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    content_type: MediaType,
    headers: Vec<MimeHeader>,
    body: Bytes,
}

impl Multipart {
    /// How many parts there may be: each costs memory many times its shortest form.
    pub const MAX_PARTS: usize = 128;

    /// How long a boundary may be (RFC 2046 5.1.1): each line is compared with it.
    pub const MAX_BOUNDARY: usize = 70;

    /// Takes a body apart. One that ends without the delimiter that closes it ends there, as the example of RFC 5438 8.3
    /// does.
    ///
    /// # Errors
    /// A media type without a boundary, no part at all, more than [`MAX_PARTS`](Self::MAX_PARTS), or a part whose headers
    /// are none.
    pub fn parse(media_type: &MediaType, body: &Bytes) -> Result<Self, MultipartError> {
        let boundary = media_type.parameter("boundary").filter(|boundary| {
            (1..=Self::MAX_BOUNDARY).contains(&boundary.len()) && boundary.is_ascii() && !boundary.ends_with(' ')
        });
        let Some(boundary) = boundary.filter(|_| media_type.kind().eq_ignore_ascii_case("multipart")) else {
            return Err(MultipartError::Boundary);
        };
        let mut parts = Vec::new();
        let (mut line, mut part) = (0, None);
        while line < body.len() {
            let rest = &body[line..];
            let length = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            if let Some(closes) = delimiter(&rest[..length], boundary.as_bytes()) {
                if let Some(start) = part {
                    // The end of the line in front of a delimiter belongs to it (RFC 2046 5.1.1).
                    let end = line - if body[start..line].ends_with(b"\r\n") { 2 } else { 0 };
                    Self::push(&mut parts, body, start, end)?;
                }
                part = Some(line + length).filter(|_| !closes);
                if closes {
                    break;
                }
            }
            line += length;
        }
        if let Some(start) = part.filter(|&start| start < body.len()) {
            Self::push(&mut parts, body, start, body.len())?;
        }
        if parts.is_empty() { Err(MultipartError::Empty) } else { Ok(Self { parts }) }
    }

    fn push(parts: &mut Vec<Part>, body: &Bytes, start: usize, end: usize) -> Result<(), MultipartError> {
        if parts.len() == Self::MAX_PARTS {
            return Err(MultipartError::Many);
        }
        let part = Part::parse(&body.slice(start..end)).map_err(|error| match error {
            PartError::Head(HeadError { kind, offset }) => MultipartError::Head { kind, offset: start + offset },
            PartError::ContentType(error) => MultipartError::ContentType { part: parts.len(), error },
        })?;
        parts.push(part);
        Ok(())
    }

    /// The parts in their order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The parts in their order.
    #[must_use]
    pub fn into_parts(self) -> Vec<Part> {
        self.parts
    }
}

/// Whether a line is a delimiter, and if so whether it closes the last part.
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<bool> {
    let behind = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    let (behind, closes) = match behind.strip_prefix(b"--") {
        Some(behind) => (behind, true),
        None => (behind, false),
    };
    let padding = behind.strip_suffix(b"\n").unwrap_or(behind);
    let padding = padding.strip_suffix(b"\r").unwrap_or(padding);
    padding.iter().all(|byte| b" \t".contains(byte)).then_some(closes)
}

enum PartError {
    Head(HeadError),
    ContentType(MediaTypeError),
}

impl Part {
    fn parse(part: &Bytes) -> Result<Self, PartError> {
        let mut lines = Lines::new(part);
        let mut headers = lines.mime(None).map_err(PartError::Head)?;
        let content_type = match headers.iter().position(|header| header.is("Content-Type")) {
            Some(place) => headers.remove(place).value().parse().map_err(PartError::ContentType)?,
            // RFC 2046 5.1.
            None => MediaType::text_plain(),
        };
        Ok(Self { content_type, headers, body: part.slice(lines.offset()..) })
    }

    /// What the body is; text/plain if the part does not say.
    #[must_use]
    pub fn content_type(&self) -> &MediaType {
        &self.content_type
    }

    /// The other headers.
    #[must_use]
    pub fn headers(&self) -> &[MimeHeader] {
        &self.headers
    }

    /// The value of the first header of this name; Content-Type is not among them.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.is(name)).map(MimeHeader::value)
    }

    /// The body, a slice of what was taken apart.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

/// Why a body is no multipart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MultipartError {
    /// The media type is no multipart, or has no boundary of 1 to 70 characters.
    #[error("a multipart without a boundary")]
    Boundary,
    /// There is no part.
    #[error("a multipart without a part")]
    Empty,
    /// There are more than [`Multipart::MAX_PARTS`].
    #[error("more than {} parts", Multipart::MAX_PARTS)]
    Many,
    /// The headers of a part are none.
    #[error("{kind} at offset {offset}")]
    Head {
        /// What is wrong.
        kind: HeadErrorKind,
        /// Where, in bytes from the beginning of the body.
        offset: usize,
    },
    /// The Content-Type of a part is none.
    #[error("part {part}: {error}")]
    ContentType {
        /// Which, from 0.
        part: usize,
        /// Why.
        error: MediaTypeError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Vec<Part>, MultipartError> {
        let body = Bytes::from(body.replace('\n', "\r\n"));
        Ok(Multipart::parse(&"multipart/mixed; boundary=\"a b\"".parse().unwrap(), &body)?.into_parts())
    }

    #[track_caller]
    fn parts(body: &str, expected: &[(&str, &str)]) {
        let parts = parse(body).unwrap();
        let found: Vec<_> = parts
            .iter()
            .map(|part| (part.content_type().to_string(), String::from_utf8(part.body().to_vec()).unwrap()))
            .collect();
        let expected: Vec<_> = expected.iter().map(|(of, body)| (of.to_string(), body.replace('\n', "\r\n"))).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn r44_parts_between_delimiters() {
        parts("--a b\n\none\n--a b\n\ntwo\n--a b--\n", &[("text/plain", "one"), ("text/plain", "two")]);
        parts(
            "before\n--a b \t\ncontent-TYPE: a/b;\n c=d\nX: y\n\n\n\n--a b--after\n--a b--",
            &[("a/b;c=d", "\n\n--a b--after")],
        );
        parts("--a b\n\n--a bc\n --a b\n--a\n--a b--\nafter --a b\n--a b\n", &[("text/plain", "--a bc\n --a b\n--a")]);
        // Headers alone, and nothing at all.
        parts(
            "--a b\nContent-Type: a/b\n\n--a b\n--a b\n\n\n--a b--",
            &[("a/b", ""), ("text/plain", ""), ("text/plain", "")],
        );
        // No end, as in RFC 5438 8.3.
        parts("--a b\n\none\n--a b\n", &[("text/plain", "one")]);
        parts("--a b\n\none\n--a b\n\ntwo\n", &[("text/plain", "one"), ("text/plain", "two\n")]);
    }

    #[test]
    fn r44_parts_are_slices() {
        let body = Bytes::from_static(b"--b\r\nContent-ID: <1@x>\r\n\r\n\0\xff\r\n--b--");
        let parts = Multipart::parse(&"Multipart/Signed;boundary=b".parse().unwrap(), &body).unwrap();
        let part = &parts.parts()[0];
        assert_eq!(part.body().as_ptr(), body[26..].as_ptr());
        assert_eq!((part.body().as_ref(), part.header("content-id")), (&b"\0\xff"[..], Some("<1@x>")));
    }

    #[test]
    fn r44_what_is_no_multipart() {
        let with =
            |media_type: &str| Multipart::parse(&media_type.parse().unwrap(), &Bytes::from_static(b"--b\r\n\r\n"));
        let long = "b".repeat(71);
        for media_type in
            ["multipart/mixed", "text/plain;boundary=b", "multipart/mixed;boundary=\"\"", "multipart/x;boundary=é"]
                .map(|text| text.replace("=é", "=\"é\""))
                .into_iter()
                .chain([format!("multipart/mixed;boundary={long}")])
        {
            assert_eq!(with(&media_type), Err(MultipartError::Boundary), "{media_type}");
        }
        assert_eq!(parse(""), Err(MultipartError::Empty));
        assert_eq!(parse("--a b--\n"), Err(MultipartError::Empty));
        assert_eq!(
            parse("--a b\n\n--a b\nnonsense\n\n"),
            Err(MultipartError::Head { kind: HeadErrorKind::Name, offset: 16 })
        );
        let error = "x".parse::<MediaType>().unwrap_err();
        assert_eq!(parse("--a b\n\n--a b\ncontent-type:x\n\n"), Err(MultipartError::ContentType { part: 1, error }));
        let many = |count| "--a b\n\n\n".repeat(count);
        assert_eq!(parse(&many(Multipart::MAX_PARTS)).map(|parts| parts.len()), Ok(Multipart::MAX_PARTS));
        assert_eq!(parse(&many(Multipart::MAX_PARTS + 1)), Err(MultipartError::Many));
    }
}
