//! The user timeout of TCP (RFC 9622 8.2, RFC 5482).

use std::time::Duration;

use super::kind::{Flag, Kind, System, Time};
use super::value::PropertyValue;

/// The user timeout of TCP. It has an effect only where TCP is selected.
///
/// No system that this runs on sends the option of RFC 5482: where it is enabled, `value` is how long this end waits
/// itself, unless the connection's timeout says so.
#[doc(alias = "TCPUserTimeout")]
#[doc(alias = "tcp-uto")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UserTimeout {
    /// The time that is advertised to the peer, from one second on; `None` is TCP's default (8.2.1).
    #[doc(alias = "ADVERTISED_USER_TIMEOUT")]
    #[doc(alias = "tcp.user-timeout-value")]
    pub value: Option<Duration>,
    /// Whether the option is used at all (8.2.2).
    #[doc(alias = "USER_TIMEOUT_ENABLED")]
    #[doc(alias = "tcp.user-timeout")]
    pub enabled: bool,
    /// Whether the peer's value may change the connection's timeout (8.2.3). Where the connection has a timeout of its
    /// own, it may not: [`ConnectionProperties::user_timeout_changeable`](super::ConnectionProperties::user_timeout_changeable).
    #[doc(alias = "CHANGEABLE")]
    #[doc(alias = "tcp.user-timeout-recv")]
    pub changeable: bool,
}

impl UserTimeout {
    /// Enabled, with this value.
    #[must_use]
    pub fn of(value: Duration) -> Self {
        Self { value: Some(value), enabled: true, ..Self::default() }
    }
}

impl Default for UserTimeout {
    fn default() -> Self {
        Self { value: Some(Duration::from_secs(300)), enabled: false, changeable: true }
    }
}

/// The names of the parts, RFC 9622's first.
pub(super) const VALUE: [&str; 2] = ["tcp.userTimeoutValue", "tcp.user-timeout-value"];
pub(super) const ENABLED: [&str; 2] = ["tcp.userTimeoutEnabled", "tcp.user-timeout"];
pub(super) const CHANGEABLE: [&str; 2] = ["tcp.userTimeoutChangeable", "tcp.user-timeout-recv"];

/// A dictionary of the parts.
pub(super) struct Parts;

impl Kind for Parts {
    type Value = UserTimeout;
    const EXPECTED: &'static str =
        "tcp.userTimeoutValue, tcp.userTimeoutEnabled and tcp.userTimeoutChangeable, each with its value";

    fn read(value: &PropertyValue) -> Option<UserTimeout> {
        let mut timeout = UserTimeout::default();
        Self::change(&mut timeout, value)?;
        Some(timeout)
    }

    fn show(timeout: UserTimeout) -> PropertyValue {
        PropertyValue::Dictionary(vec![
            (VALUE[0].to_owned(), Time::<System>::show(timeout.value)),
            (ENABLED[0].to_owned(), timeout.enabled.into()),
            (CHANGEABLE[0].to_owned(), timeout.changeable.into()),
        ])
    }

    /// What the dictionary does not name stays as it is.
    fn change(target: &mut UserTimeout, value: &PropertyValue) -> Option<()> {
        let mut changed = *target;
        match value {
            PropertyValue::Dictionary(entries) => {
                for (name, value) in entries {
                    changed.part(name, value)?;
                }
            }
            _ => {
                for entry in value.text()?.split(',') {
                    let (name, value) = entry.split_once('=')?;
                    changed.part(name.trim(), &value.into())?;
                }
            }
        }
        *target = changed;
        Some(())
    }
}

impl UserTimeout {
    fn part(&mut self, name: &str, value: &PropertyValue) -> Option<()> {
        let is = |names: [&str; 2]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is(VALUE) {
            Time::<System>::change(&mut self.value, value)
        } else if is(ENABLED) {
            Flag::change(&mut self.enabled, value)
        } else if is(CHANGEABLE) {
            Flag::change(&mut self.changeable, value)
        } else {
            None
        }
    }
}

impl From<UserTimeout> for PropertyValue {
    fn from(timeout: UserTimeout) -> Self {
        Parts::show(timeout)
    }
}
