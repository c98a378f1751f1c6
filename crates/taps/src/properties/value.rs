//! Values of properties whose type is not known when the program is written (RFC 9622 1.1 and 4.2).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::preference::Preference;

/// A value of any property: what `set` takes and `get` gives where the property is known by its name only.
///
/// Every value has a text (its `Display`), and the text set again is the same value:
///
/// ```
/// use postroad_taps::{Preference, PropertyValue, TransportProperties};
///
/// let mut properties = TransportProperties::new();
/// properties.set("conn-timeout", "1.5")?;
/// properties.set("reliability", Preference::Prefer)?;
/// assert_eq!(properties.connection.conn_timeout, Some(std::time::Duration::from_millis(1500)));
/// assert_eq!(properties.get("connTimeout")?.to_string(), "1.5");
/// assert_eq!(properties.get("Reliability")?, PropertyValue::Preference(Preference::Prefer));
/// # Ok::<_, postroad_taps::PropertyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PropertyValue {
    /// A level of preference.
    Preference(Preference),
    /// True or false.
    Boolean(bool),
    /// A whole number; the unit is the property's. −1 also says that there is no bound, as in the original interface.
    Integer(i64),
    /// A length of time; as text in seconds.
    Duration(Duration),
    /// One of the words that a property has, such as `Disabled` or `Capacity-Seeking`.
    Enumeration(Cow<'static, str>),
    /// Text, which every property reads as its own type.
    Text(String),
    /// A value for sending and one for receiving; as text with ` / ` between them.
    Pair(Box<(Self, Self)>),
    /// What is preferred how much; as text `eth0=require, type:cellular=prohibit`.
    Set(Vec<(String, Preference)>),
    /// Values by name; as text `tcp.userTimeoutValue=150, tcp.userTimeoutEnabled=true`.
    Dictionary(Vec<(String, Self)>),
}

impl PropertyValue {
    /// The preference, if it is one.
    #[must_use]
    pub fn as_preference(&self) -> Option<Preference> {
        if let Self::Preference(preference) = self { Some(*preference) } else { None }
    }

    /// The Boolean, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Boolean(value) = self { Some(*value) } else { None }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// The length of time, if it is one.
    #[must_use]
    pub fn as_duration(&self) -> Option<Duration> {
        if let Self::Duration(duration) = self { Some(*duration) } else { None }
    }

    /// The word or text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Enumeration(word) => Some(word),
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn word(word: &'static str) -> Self {
        Self::Enumeration(Cow::Borrowed(word))
    }

    /// The word or text without blanks around it.
    pub(super) fn text(&self) -> Option<&str> {
        self.as_str().map(str::trim)
    }
}

impl fmt::Display for PropertyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preference(preference) => preference.fmt(f),
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Duration(duration) if duration.subsec_nanos() == 0 => duration.as_secs().fmt(f),
            Self::Duration(duration) => {
                let nanos = format!("{:09}", duration.subsec_nanos());
                write!(f, "{}.{}", duration.as_secs(), nanos.trim_end_matches('0'))
            }
            Self::Enumeration(word) => f.write_str(word),
            Self::Text(text) => f.write_str(text),
            Self::Pair(pair) => write!(f, "{} / {}", pair.0, pair.1),
            Self::Set(set) => list(f, set),
            Self::Dictionary(entries) => list(f, entries),
        }
    }
}

fn list<V: fmt::Display>(f: &mut fmt::Formatter<'_>, entries: &[(String, V)]) -> fmt::Result {
    for (index, (name, value)) in entries.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{name}={value}")?;
    }
    Ok(())
}

impl From<bool> for PropertyValue {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<Duration> for PropertyValue {
    fn from(duration: Duration) -> Self {
        Self::Duration(duration)
    }
}

impl From<i32> for PropertyValue {
    fn from(number: i32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<u32> for PropertyValue {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<i64> for PropertyValue {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<&str> for PropertyValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for PropertyValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// For sending and for receiving.
impl<A: Into<Self>, B: Into<Self>> From<(A, B)> for PropertyValue {
    fn from((send, receive): (A, B)) -> Self {
        Self::Pair(Box::new((send.into(), receive.into())))
    }
}
