//! Values that applications and framers tell each other about a message (RFC 9622 9.1.2.2).

use bytes::Bytes;

/// A value that an application tells a framer, or a framer the application, about a message.
///
/// ```
/// use postroad_taps::MetadataValue;
///
/// let value = MetadataValue::from("text/html");
/// assert_eq!(value.as_text(), Some("text/html"));
/// assert_eq!(value.as_integer(), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetadataValue {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
}

impl MetadataValue {
    /// The value, when it is yes or no.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The value, when it is a whole number.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(value) = self { Some(*value) } else { None }
    }

    /// The value, when it is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(value) = self { Some(value) } else { None }
    }

    /// The value, when it is bytes.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&Bytes> {
        if let Self::Bytes(value) = self { Some(value) } else { None }
    }
}

impl From<bool> for MetadataValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for MetadataValue {
    fn from(value: i32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u16> for MetadataValue {
    fn from(value: u16) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u32> for MetadataValue {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<i64> for MetadataValue {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for MetadataValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for MetadataValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Bytes> for MetadataValue {
    fn from(value: Bytes) -> Self {
        Self::Bytes(value)
    }
}
