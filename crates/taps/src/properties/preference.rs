//! The levels of preference (RFC 9622 6.2, table 1).

use std::fmt;

use super::kind::{self, Enumerated};

/// How much the application wants a selection property.
#[doc(alias = "PreferenceLevel")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i8)]
pub enum Preference {
    /// Select only what does not have the property, or fail.
    #[doc(alias = "PROHIBIT")]
    Prohibit = -2,
    /// Take what does not have the property before what has it.
    #[doc(alias = "AVOID")]
    Avoid = -1,
    /// Either is as good.
    #[doc(alias = "IGNORE")]
    #[doc(alias = "No Preference")]
    #[default]
    Ignore = 0,
    /// Take what has the property before what does not have it.
    #[doc(alias = "PREFER")]
    Prefer = 1,
    /// Select only what has the property, or fail.
    #[doc(alias = "REQUIRE")]
    Require = 2,
}

impl Enumerated for Preference {
    const EXPECTED: &'static str = "a preference: require, prefer, ignore, avoid or prohibit";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("require", Self::Require),
        ("prefer", Self::Prefer),
        ("ignore", Self::Ignore),
        ("avoid", Self::Avoid),
        ("prohibit", Self::Prohibit),
        ("no preference", Self::Ignore),
    ];

    fn number(self) -> Option<i64> {
        Some(self as i64)
    }
}

/// The word, in lower case.
impl fmt::Display for Preference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(kind::word(*self))
    }
}
