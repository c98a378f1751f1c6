//! Several paths: whether, and what for (RFC 9622 6.2.14 and 8.1.7).

use super::kind::Enumerated;
use super::preference::Preference;

/// Whether a connection uses several paths (RFC 9622 6.2.14).
///
/// `Active` and `Passive` are also a preference for protocols that can; `Disabled` does not exclude these.
#[doc(alias = "MULTIPATH")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Multipath {
    /// It uses one path, even where the protocol can use several.
    Disabled,
    /// It negotiates the use of several paths. The peer, and who looks on, may link them to one user.
    Active,
    /// It uses several paths if the peer asks for it.
    Passive,
}

impl Enumerated for Multipath {
    const EXPECTED: &'static str = "`Disabled`, `Active` or `Passive`";
    const WORDS: &'static [(&'static str, Self)] =
        &[("Disabled", Self::Disabled), ("Active", Self::Active), ("Passive", Self::Passive)];
}

/// The words of the drafts, where the use of several paths was a preference.
impl From<Preference> for Multipath {
    fn from(preference: Preference) -> Self {
        match preference {
            Preference::Require | Preference::Prefer => Self::Active,
            Preference::Ignore | Preference::Avoid | Preference::Prohibit => Self::Disabled,
        }
    }
}

/// What several paths are used for (RFC 9622 8.1.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MultipathPolicy {
    /// To go on when a path is lost.
    #[default]
    Handover,
    /// To keep the delay low.
    Interactive,
    /// To add up their capacity.
    Aggregate,
}

impl Enumerated for MultipathPolicy {
    const EXPECTED: &'static str = "`Handover`, `Interactive` or `Aggregate`";
    const WORDS: &'static [(&'static str, Self)] =
        &[("Handover", Self::Handover), ("Interactive", Self::Interactive), ("Aggregate", Self::Aggregate)];
}
