//! Names of mechanisms.

use super::ScramHash;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    Anonymous,
    CramMd5,
    External,
    OAuthBearer,
    Plain,
    Scram(ScramHash),
    XOAuth2,
}

impl Mechanism {
    pub(super) const ALL: [Self; 9] = [
        Self::External,
        Self::OAuthBearer,
        Self::XOAuth2,
        Self::Scram(ScramHash::Sha512),
        Self::Scram(ScramHash::Sha256),
        Self::Scram(ScramHash::Sha1),
        Self::CramMd5,
        Self::Plain,
        Self::Anonymous,
    ];

    /// Mechanism names are upper case and compared as they are (RFC 4422 3.1).
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "ANONYMOUS",
            Self::CramMd5 => "CRAM-MD5",
            Self::External => "EXTERNAL",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::Plain => "PLAIN",
            Self::Scram(hash) => hash.mechanism(),
            Self::XOAuth2 => "XOAUTH2",
        }
    }

    /// Whether it carries a token, which may be some kilobytes long.
    pub(super) const fn carries_token(self) -> bool {
        matches!(self, Self::OAuthBearer | Self::XOAuth2)
    }

    /// Whether what a client says helps whoever can read along, or sit in between: it goes over TLS unless asked for.
    ///
    /// `CRAM-MD5` does not show the password, but one fast hash of it (RFC 2195 4): whoever reads along can try out
    /// words by the billion, and whoever sits in between can choose the challenge, and take SCRAM out of the offer.
    pub(super) const fn needs_tls(self) -> bool {
        matches!(self, Self::CramMd5 | Self::OAuthBearer | Self::Plain | Self::XOAuth2)
    }
}
