//! Names of headers.

use std::fmt;

macro_rules! names {
    ($($variant:ident $text:literal $doc:literal)*) => {
        /// A header that this crate knows; others have their names only.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum HeaderName {
            $(#[doc = $doc] $variant,)*
        }

        impl HeaderName {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

names! {
    ToPath "To-Path" "The way that is left, the next hop first (RFC 4975 7.1)."
    FromPath "From-Path" "The way that lies behind, the last hop first (RFC 4975 7.1)."
    MessageId "Message-ID" "Which message a chunk or a report is of (RFC 4975 7.1.1)."
    SuccessReport "Success-Report" "Whether the sender wants to hear that a message has arrived (RFC 4975 7.1.2)."
    FailureReport "Failure-Report" "Whether the sender wants to hear that it has not (RFC 4975 7.1.2)."
    ByteRange "Byte-Range" "Which octets of the message a chunk has (RFC 4975 7.1.1)."
    Status "Status" "What a report tells (RFC 4975 7.1.2)."
    Expires "Expires" "For how many seconds a relay is wanted (RFC 4976 5.1)."
    MinExpires "Min-Expires" "The fewest seconds that a relay grants (RFC 4976 5.1)."
    MaxExpires "Max-Expires" "The most seconds that a relay grants (RFC 4976 5.1)."
    UsePath "Use-Path" "The way to a client of a relay (RFC 4976 5.1)."
    WwwAuthenticate "WWW-Authenticate" "How a relay wants a client to prove who it is (RFC 4976 9.1)."
    Authorization "Authorization" "The proof (RFC 4976 9.1)."
    AuthenticationInfo "Authentication-Info" "The relay's own proof (RFC 4976 9.1)."
    UseNickname "Use-Nickname" "The name that a participant of a chat room wants to go by (RFC 7701 7)."
    KeepAlive "Keep-Alive" "What marks a `SEND` that only keeps a connection from falling silent, as the original has it."
    ContentId "Content-ID" "A name of the content (RFC 2045)."
    ContentDescription "Content-Description" "A text about the content (RFC 2045)."
    ContentDisposition "Content-Disposition" "What the content is for (RFC 2183)."
    ContentType "Content-Type" "The media type of the content, last of the headers (RFC 4975 9)."
}

impl HeaderName {
    /// The header of this name, without regard to case.
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Self> {
        // The lengths tell most of them apart.
        let candidates: &[Self] = match name.len() {
            6 => &[Self::Status],
            7 => &[Self::ToPath, Self::Expires],
            8 => &[Self::UsePath],
            9 => &[Self::FromPath],
            10 => &[Self::MessageId, Self::ByteRange, Self::ContentId, Self::KeepAlive],
            11 => &[Self::MinExpires, Self::MaxExpires],
            12 => &[Self::ContentType, Self::UseNickname],
            13 => &[Self::Authorization],
            14 => &[Self::SuccessReport, Self::FailureReport],
            16 => &[Self::WwwAuthenticate],
            19 => &[Self::AuthenticationInfo, Self::ContentDescription, Self::ContentDisposition],
            _ => &[],
        };
        let written = |candidate: &Self| candidate.as_str().as_bytes() == name;
        let in_any_case = |candidate: &Self| candidate.as_str().as_bytes().eq_ignore_ascii_case(name);
        // Nearly all write them as the standard does.
        candidates.iter().copied().find(written).or_else(|| candidates.iter().copied().find(in_any_case))
    }

    /// Whether it is of MIME: such headers say what a body is, and stand behind the others (RFC 4975 7.1).
    #[must_use]
    pub const fn is_mime(self) -> bool {
        matches!(self, Self::ContentId | Self::ContentDescription | Self::ContentDisposition | Self::ContentType)
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r4_names_are_known_in_any_case() {
        for name in HeaderName::ALL {
            let text = name.as_str();
            for text in [text.to_owned(), text.to_lowercase(), text.to_uppercase()] {
                assert_eq!(HeaderName::of(text.as_bytes()), Some(*name), "{text}");
            }
            assert_eq!(HeaderName::of(&text.as_bytes()[1..]), None);
        }
        assert_eq!(HeaderName::of(b""), None);
    }
}
