//! Why a text is no session description, and where.

/// Why a text is no session description, or a value none of a session description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at offset {offset}")]
pub struct SdpError {
    kind: SdpErrorKind,
    offset: usize,
}

/// What is wrong with a session description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpErrorKind {
    /// A line is not a letter, `=` and a value; or has a letter that has no place there.
    #[error("no line of a session description")]
    Line,
    /// A carriage return or a NUL inside a line, or a line end in a value.
    #[error("a character that no line has")]
    Character,
    /// A line, a value or a list is longer than its limit.
    #[error("more than the limit")]
    Long,
    /// It does not begin with `v=0`.
    #[error("no version 0")]
    Version,
    /// The origin is missing or is none.
    #[error("no origin")]
    Origin,
    /// A connection line is none.
    #[error("no connection line")]
    Connection,
    /// A media line is none.
    #[error("no media line")]
    Media,
    /// There are fewer media of MSRP than that.
    #[error("no such media of MSRP")]
    Missing,
    /// Something stands twice that may stand once.
    #[error("a repetition")]
    Repeated,
    /// The path is none, or an accepted media has none.
    #[error("no path")]
    Path,
    /// A number is none, or has more than 64 bits.
    #[error("no number")]
    Number,
    /// A token is none.
    #[error("no token")]
    Token,
    /// A media type is none.
    #[error("no media type")]
    Type,
    /// A `setup` that RFC 4145 does not have.
    #[error("no setup")]
    Setup,
    /// A hash is not made of hexadecimal octets, or has another length than its function gives.
    #[error("no hash")]
    Hash,
    /// A hash of a function that is read and never written for a certificate, as SHA-1.
    #[error("a hash function that is too weak")]
    Weak,
    /// A selector of a file is none.
    #[error("no selector of a file")]
    Selector,
    /// A date of a file is none, or has no numeric zone.
    #[error("no date")]
    Date,
    /// A range of a file begins at 0, or ends before it begins.
    #[error("no range of a file")]
    Range,
}

impl SdpError {
    pub(super) fn new(kind: SdpErrorKind, offset: usize) -> Self {
        Self { kind, offset }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &SdpErrorKind {
        &self.kind
    }

    /// Where: in bytes from the beginning of the text to its line, or to the place in a value.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What to write instead, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.kind {
            SdpErrorKind::Version => "a session description begins with v=0",
            SdpErrorKind::Path => "write it like a=path:msrp://host.example.com:2855/session;tcp",
            SdpErrorKind::Weak => "take sha-256",
            SdpErrorKind::Date => "write it like Mon, 15 May 2006 15:01:31 +0300",
            SdpErrorKind::Range => "the first octet of a file is number 1",
            SdpErrorKind::Connection => "write it like c=IN IP4 host.example.com",
            _ => return None,
        })
    }
}

/// An error at the beginning of a value.
pub(super) fn wrong(kind: SdpErrorKind) -> SdpError {
    SdpError::new(kind, 0)
}
