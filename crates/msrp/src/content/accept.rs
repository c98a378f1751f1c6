//! Which media types an end takes: the lists of `a=accept-types` and `a=accept-wrapped-types` (RFC 4975 8.6).

use std::fmt;
use std::str::FromStr;

use super::{MediaType, MediaTypeError};

mod wrapped;

pub use wrapped::{Acceptance, NotAccepted};

/// A list of media types that an end takes, the preferred ones first: `message/cpim text/* *`.
///
/// ```
/// use postroad_msrp::content::{AcceptTypes, MediaType};
///
/// let types: AcceptTypes = "message/cpim text/*".parse()?;
/// assert!(types.accepts(&MediaType::text_plain()) && types.prefers_cpim());
/// assert!(!types.accepts(&"image/png".parse()?));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "accept_types")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptTypes(Vec<AcceptEntry>);

/// An entry of [`AcceptTypes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptEntry {
    /// `*`: types that are not listed may be tried.
    Any,
    /// A type; one with the subtype `*` stands for all of its subtypes. Parameters are kept, and say nothing here.
    Type(MediaType),
}

impl AcceptTypes {
    /// How many entries a list may have: each message is held against each.
    pub const MAX: usize = 128;

    /// What every end must be able to receive (RFC 4975 7.3, 13 and 14.3), and has to list like the rest (8.6).
    pub const MANDATORY: [&'static str; 4] =
        ["message/cpim", "multipart/mixed", "multipart/alternative", "multipart/signed"];

    /// A list of these.
    ///
    /// # Errors
    /// None, or more than [`MAX`](Self::MAX).
    pub fn new(entries: impl Into<Vec<AcceptEntry>>) -> Result<Self, AcceptTypesError> {
        let entries = entries.into();
        match entries.len() {
            0 => Err(AcceptTypesError::Empty),
            count if count > Self::MAX => Err(AcceptTypesError::Long),
            _ => Ok(Self(entries)),
        }
    }

    /// The list that takes anything.
    #[must_use]
    pub fn any() -> Self {
        Self(vec![AcceptEntry::Any])
    }

    /// With those of [`MANDATORY`](Self::MANDATORY) behind the rest that it does not take yet.
    ///
    /// # Errors
    /// More than [`MAX`](Self::MAX) entries.
    pub fn with_mandatory(mut self) -> Result<Self, AcceptTypesError> {
        for name in Self::MANDATORY {
            let media_type: MediaType = name.parse().expect("this is a media type");
            if !self.accepts(&media_type) {
                self.0.push(AcceptEntry::Type(media_type));
            }
        }
        Self::new(self.0)
    }

    /// Whether a body of this type is taken, or may be tried.
    #[doc(alias = "contains_mime_type")]
    #[must_use]
    pub fn accepts(&self, media_type: &MediaType) -> bool {
        self.0.iter().any(|entry| entry.accepts(media_type))
    }

    /// Whether a body of any type is taken, or may be tried.
    #[must_use]
    pub fn accepts_all(&self) -> bool {
        self.0.iter().any(|entry| matches!(entry, AcceptEntry::Any))
    }

    /// Whether instant messages to this end should be wrapped in message/cpim, which it names first (RFC 4975 13).
    #[must_use]
    pub fn prefers_cpim(&self) -> bool {
        matches!(&self.0[0], AcceptEntry::Type(first) if first.is("message", "cpim"))
    }

    /// The entries in their order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &AcceptEntry> {
        self.0.iter()
    }
}

impl AcceptEntry {
    fn accepts(&self, media_type: &MediaType) -> bool {
        // Parameters of an entry match any (RFC 4975 8.6); nobody should write `*/*`, and what it means is clear.
        match self {
            Self::Any => true,
            Self::Type(known) => {
                (known.kind().eq_ignore_ascii_case(media_type.kind()) || known.essence() == "*/*")
                    && (known.subtype() == "*" || known.subtype().eq_ignore_ascii_case(media_type.subtype()))
            }
        }
    }
}

impl From<MediaType> for AcceptEntry {
    fn from(media_type: MediaType) -> Self {
        Self::Type(media_type)
    }
}

impl fmt::Display for AcceptEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Type(media_type) => media_type.fmt(f),
        }
    }
}

impl fmt::Display for AcceptTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, entry) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            entry.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for AcceptTypes {
    type Err = AcceptTypesError;

    fn from_str(text: &str) -> Result<Self, AcceptTypesError> {
        let mut entries = Vec::new();
        for (place, entry) in pieces(text).enumerate() {
            if place == Self::MAX {
                return Err(AcceptTypesError::Long);
            }
            entries.push(match entry {
                "*" => AcceptEntry::Any,
                _ => AcceptEntry::Type(entry.parse().map_err(|error| AcceptTypesError::Entry { place, error })?),
            });
        }
        Self::new(entries)
    }
}

/// The pieces between spaces that are not in quotes.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character| {
        let escape = quoted && !escaped && character == '\\';
        quoted ^= character == '"' && !escaped;
        escaped = escape;
        character == ' ' && !quoted
    })
    .filter(|piece| !piece.is_empty())
}

/// Why a text is no list of media types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptTypesError {
    /// There is no entry.
    #[error("a list without a media type")]
    Empty,
    /// There are more than [`AcceptTypes::MAX`].
    #[error("a list of more than {} media types", AcceptTypes::MAX)]
    Long,
    /// One of them is none.
    #[error("entry {place} of the list: {error}")]
    Entry {
        /// Which, from 0.
        place: usize,
        /// Why.
        error: MediaTypeError,
    },
}

#[cfg(test)]
mod tests;
