//! Media types, as Content-Type has them (RFC 4975 9).

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::quoted;
use crate::uri::is_token;

/// What a body is: `text/plain;charset=utf-8`.
///
/// Type, subtype and the names of parameters have no case, and the order of parameters says nothing; values are compared
/// to the letter. [`Display`](fmt::Display) keeps the case and drops the spaces that mail has around semicolons, which the
/// grammar of MSRP does not know.
///
/// ```
/// use postroad_msrp::content::MediaType;
///
/// let html: MediaType = "Text/HTML; charset=\"utf-8\"".parse()?;
/// assert!(html.is("text", "html"));
/// assert_eq!(html.parameter("Charset").as_deref(), Some("utf-8"));
/// assert_eq!(html, "text/html;charset=utf-8".parse()?);
/// assert_eq!(html.to_string(), "Text/HTML;charset=\"utf-8\"");
/// # Ok::<_, postroad_msrp::content::MediaTypeError>(())
/// ```
#[doc(alias = "content_type")]
#[derive(Clone)]
pub struct MediaType {
    text: Box<str>,
    slash: usize,
    /// Where the parameters begin.
    end: usize,
}

impl MediaType {
    /// How many octets one may have: each message brings one, and it is kept with each that is incomplete.
    pub const MAX_LENGTH: usize = 1024;

    /// How many parameters one may have: each is compared with each.
    pub const MAX_PARAMETERS: usize = 16;

    /// One without parameters.
    ///
    /// # Errors
    /// A part that is no token.
    pub fn new(kind: &str, subtype: &str) -> Result<Self, MediaTypeError> {
        format!("{kind}/{subtype}").parse()
    }

    /// `text/plain`.
    #[must_use]
    pub fn text_plain() -> Self {
        Self::known("text", "plain")
    }

    /// `message/cpim` (RFC 3862).
    #[must_use]
    pub fn cpim() -> Self {
        Self::known("message", "cpim")
    }

    /// `message/imdn+xml` (RFC 5438).
    #[must_use]
    pub fn imdn() -> Self {
        Self::known("message", "imdn+xml")
    }

    /// `application/im-iscomposing+xml` (RFC 3994).
    #[must_use]
    pub fn is_composing() -> Self {
        Self::known("application", "im-iscomposing+xml")
    }

    fn known(kind: &str, subtype: &str) -> Self {
        Self::new(kind, subtype).expect("these are tokens")
    }

    /// With a parameter more, in quotes where its value is no token.
    ///
    /// # Errors
    /// A name that is no token or is there already, a value with control characters, or too much of either.
    pub fn with_parameter(self, name: &str, value: &str) -> Result<Self, MediaTypeError> {
        let mut text = format!("{self};{name}=");
        if !value.is_empty() && value.bytes().all(is_token) {
            text.push_str(value);
        } else {
            quoted::write(value, &mut text).expect("a string takes all");
        }
        // What the name brings along must not become a second parameter.
        match name.bytes().position(|byte| !is_token(byte)) {
            Some(place) => Err(MediaTypeError::new(MediaTypeErrorKind::Parameter, self.text.len() + 1 + place)),
            None => text.parse(),
        }
    }

    /// What is in front of the slash.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.text[..self.slash]
    }

    /// What is behind the slash.
    #[must_use]
    pub fn subtype(&self) -> &str {
        &self.text[self.slash + 1..self.end]
    }

    /// Type and subtype, as they were written.
    #[must_use]
    pub fn essence(&self) -> &str {
        &self.text[..self.end]
    }

    /// Whether it is of this type and subtype, whatever its parameters are.
    #[must_use]
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind().eq_ignore_ascii_case(kind) && self.subtype().eq_ignore_ascii_case(subtype)
    }

    /// Whether bodies of this type have bodies inside: `message/cpim` and `multipart/*`.
    #[must_use]
    pub fn is_container(&self) -> bool {
        self.is("message", "cpim") || self.kind().eq_ignore_ascii_case("multipart")
    }

    /// The parameters in their order, without quotes; some have no value.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, Option<Cow<'_, str>>)> {
        let mut rest = &self.text[self.end..];
        std::iter::from_fn(move || {
            let parameter = Parameter::read(rest.strip_prefix(';')?).ok()?;
            rest = parameter.rest;
            Some((parameter.name, parameter.value))
        })
    }

    /// The value of a parameter, without quotes.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        self.parameters().find(|(known, _)| known.eq_ignore_ascii_case(name)).and_then(|(_, value)| value)
    }
}

impl PartialEq for MediaType {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.kind(), other.subtype())
            && self.parameters().count() == other.parameters().count()
            && self.parameters().all(|(name, value)| {
                other.parameters().any(|(theirs, other)| theirs.eq_ignore_ascii_case(name) && other == value)
            })
    }
}

impl Eq for MediaType {}

impl Hash for MediaType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Without parameters, which have no order.
        self.essence().to_ascii_lowercase().hash(state);
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for MediaType {
    type Err = MediaTypeError;

    fn from_str(written: &str) -> Result<Self, MediaTypeError> {
        use MediaTypeErrorKind as Kind;
        if written.len() > Self::MAX_LENGTH {
            return Err(MediaTypeError::new(Kind::Long, Self::MAX_LENGTH));
        }
        let (kind, rest) = take_token(written);
        if kind.is_empty() || !rest.starts_with('/') {
            return Err(MediaTypeError::new(Kind::Type, kind.len()));
        }
        let slash = kind.len();
        let (subtype, mut rest) = take_token(&rest[1..]);
        let end = slash + 1 + subtype.len();
        if subtype.is_empty() {
            return Err(MediaTypeError::new(Kind::Subtype, end));
        }
        let at = |rest: &str| written.len() - rest.len();
        let mut text = written[..end].to_owned();
        let mut names: Vec<&str> = Vec::new();
        loop {
            let wrong_here = if names.is_empty() { Kind::Subtype } else { Kind::Parameter };
            let before = rest;
            rest = trim_start(rest);
            if rest.is_empty() {
                break;
            }
            let Some(behind) = rest.strip_prefix(';') else {
                let kind = if before.len() == rest.len() { wrong_here } else { Kind::Parameter };
                return Err(MediaTypeError::new(kind, at(rest)));
            };
            rest = trim_start(behind);
            if names.len() == Self::MAX_PARAMETERS {
                return Err(MediaTypeError::new(Kind::Parameters, at(rest)));
            }
            let start = rest;
            let parameter =
                Parameter::read(rest).map_err(|place| MediaTypeError::new(Kind::Parameter, at(start) + place))?;
            if names.iter().any(|name| name.eq_ignore_ascii_case(parameter.name)) {
                return Err(MediaTypeError::new(Kind::Duplicate, at(start)));
            }
            names.push(parameter.name);
            rest = parameter.rest;
            text.push(';');
            text.push_str(&start[..start.len() - rest.len()]);
        }
        Ok(Self { text: text.into(), slash, end })
    }
}

/// Why a text is no media type, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at offset {offset}")]
pub struct MediaTypeError {
    kind: MediaTypeErrorKind,
    offset: usize,
}

/// What is wrong with a text that is no media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MediaTypeErrorKind {
    /// It is longer than [`MediaType::MAX_LENGTH`].
    #[error("a media type of more than {} octets", MediaType::MAX_LENGTH)]
    Long,
    /// There is no token with a slash behind it.
    #[error("no type, as in `text/`")]
    Type,
    /// There is no token behind the slash, or something else is behind it.
    #[error("no subtype")]
    Subtype,
    /// A parameter is neither `;name=token` nor `;name="text"`.
    #[error("no parameter")]
    Parameter,
    /// A parameter is there twice.
    #[error("a parameter that is there twice")]
    Duplicate,
    /// There are more than [`MediaType::MAX_PARAMETERS`].
    #[error("more than {} parameters", MediaType::MAX_PARAMETERS)]
    Parameters,
}

impl MediaTypeError {
    fn new(kind: MediaTypeErrorKind, offset: usize) -> Self {
        Self { kind, offset }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> MediaTypeErrorKind {
        self.kind
    }

    /// Where, in bytes from the beginning of the text.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What to write instead, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.kind {
            MediaTypeErrorKind::Type | MediaTypeErrorKind::Subtype => "write it like text/plain",
            MediaTypeErrorKind::Parameter => "write it like ;charset=utf-8, with quotes around what is no token",
            _ => return None,
        })
    }
}

struct Parameter<'a> {
    name: &'a str,
    value: Option<Cow<'a, str>>,
    rest: &'a str,
}

impl<'a> Parameter<'a> {
    /// `gen-param` at the beginning of a text, or the offset at which it is none.
    fn read(text: &'a str) -> Result<Self, usize> {
        let (name, rest) = take_token(text);
        if name.is_empty() {
            return Err(0);
        }
        let Some(behind) = rest.strip_prefix('=') else { return Ok(Self { name, value: None, rest }) };
        if behind.starts_with('"') {
            let (value, rest) = quoted::read(behind).map_err(|place| name.len() + 1 + place)?;
            return Ok(Self { name, value: Some(value), rest });
        }
        match take_token(behind) {
            ("", _) => Err(name.len() + 1),
            (value, rest) => Ok(Self { name, value: Some(value.into()), rest }),
        }
    }
}

fn take_token(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len()))
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

#[cfg(test)]
mod tests;
