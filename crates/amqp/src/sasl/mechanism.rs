//! Names of mechanisms.

use super::ScramHash;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    Anonymous,
    External,
    Plain,
    Scram(ScramHash),
}

impl Mechanism {
    pub(super) const ALL: [Self; 6] = [
        Self::External,
        Self::Scram(ScramHash::Sha512),
        Self::Scram(ScramHash::Sha256),
        Self::Scram(ScramHash::Sha1),
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
            Self::External => "EXTERNAL",
            Self::Plain => "PLAIN",
            Self::Scram(hash) => hash.mechanism(),
        }
    }
}
