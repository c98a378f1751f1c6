//! What is wrong with a header value of digest authentication.

/// Why a text is no header value of digest authentication, and where.
#[doc(alias = "HeaderParsingError")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at offset {offset}")]
pub struct DigestError {
    kind: DigestErrorKind,
    offset: usize,
}

/// What is wrong with a header value of digest authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestErrorKind {
    /// Another scheme than `Digest`, such as `Basic`, which MSRP forbids (RFC 4976 9.1).
    #[error("another scheme than Digest")]
    Scheme,
    /// More parameters than [`MAX_PARAMETERS`](super::MAX_PARAMETERS).
    #[error("too many parameters")]
    Count,
    /// No `name=`, or a name longer than [`MAX_NAME`](super::MAX_NAME).
    #[error("no name of a parameter")]
    Name,
    /// Behind `name=` stands neither a word nor a quoted string, or something else than a comma follows it.
    #[error("no value of a parameter")]
    Value,
    /// A value longer than [`MAX_VALUE`](super::MAX_VALUE).
    #[error("a value that is too long")]
    Length,
    /// A quoted string without its end.
    #[error("a quoted string that does not end")]
    Unclosed,
    /// A control character, such as CR, LF or NUL: it would end the line, or what reads it (RFC 4975 9).
    #[error("a control character")]
    Control,
    /// A parameter stands there twice.
    #[error("a parameter twice")]
    Duplicate,
    /// This parameter has to be there.
    #[error("no parameter `{0}`")]
    Missing(&'static str),
    /// This parameter has a value that it cannot have.
    #[error("no value for `{0}`")]
    Invalid(&'static str),
    /// An algorithm that is not known, or `MD5-sess`, which MSRP forbids (RFC 4976 9.1).
    #[error("an algorithm other than MD5 and SHA-256")]
    Algorithm,
    /// A quality of protection other than `auth`: `auth-int` makes no sense for MSRP (RFC 4976 9.1).
    #[error("a quality of protection other than auth")]
    Qop,
}

impl DigestError {
    pub(super) fn new(kind: DigestErrorKind, offset: usize) -> Self {
        Self { kind, offset }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> DigestErrorKind {
        self.kind
    }

    /// Where, in bytes from the beginning of the text; of a value that the application gave, from its beginning.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What can be done about it, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.kind {
            DigestErrorKind::Scheme => "relays of MSRP ask for Digest and for nothing else",
            DigestErrorKind::Algorithm => "let the relay ask for MD5 or SHA-256",
            DigestErrorKind::Qop | DigestErrorKind::Missing("qop") => "let the relay offer qop=\"auth\"",
            DigestErrorKind::Control => "leave control characters out of names and nonces",
            _ => return None,
        })
    }
}
