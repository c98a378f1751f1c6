//! Who is composing a message: application/im-iscomposing+xml (RFC 3994).

use std::time::Duration;

use bytes::Bytes;

use super::xml::{self, Reader};
use super::{Cpim, CpimError, DateTime, MediaType, XmlError};

mod states;

pub use states::{Composer, ComposerWatch};

const XML_NAMESPACE: &str = "urn:ietf:params:xml:ns:im-iscomposing";

/// A status message: whether its sender is composing a message, and what.
///
/// ```
/// use std::time::Duration;
/// use postroad_msrp::content::{ComposingState, IsComposing};
///
/// let active = IsComposing::new(ComposingState::Active).with_refresh(Duration::from_secs(90));
/// let read = IsComposing::parse(active.to_xml().as_bytes())?;
/// assert_eq!((read.state(), read.refresh()), (ComposingState::Active, Some(Duration::from_secs(90))));
/// # Ok::<_, postroad_msrp::content::IsComposingError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsComposing {
    state: ComposingState,
    last_active: Option<DateTime>,
    content_type: Option<Box<str>>,
    refresh: Option<u32>,
}

/// What a user is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ComposingState {
    /// Not composing, or something that we do not know (RFC 3994 3.5).
    #[default]
    Idle,
    /// Composing a message.
    Active,
}

impl IsComposing {
    /// How many octets the type of what is composed may have: it is a hint to a human.
    pub const MAX_CONTENT_TYPE: usize = 256;

    /// A status message that says nothing more.
    #[must_use]
    pub fn new(state: ComposingState) -> Self {
        Self { state, last_active: None, content_type: None, refresh: None }
    }

    /// With the time at which the user last did something.
    #[must_use]
    pub fn with_last_active(self, at: DateTime) -> Self {
        Self { last_active: Some(at), ..self }
    }

    /// With what is composed: `audio`, or `text/plain`.
    ///
    /// # Errors
    /// Control characters, what XML cannot say, or too much.
    pub fn with_content_type(self, content_type: &str) -> Result<Self, IsComposingError> {
        if content_type.len() > Self::MAX_CONTENT_TYPE || xml::unwritable(content_type).is_some() {
            return Err(IsComposingError::ContentType);
        }
        Ok(Self { content_type: Some(content_type.trim().into()), ..self })
    }

    /// With the time within which the next one comes as long as the state is the same; whole seconds, and at least one.
    #[must_use]
    pub fn with_refresh(self, refresh: Duration) -> Self {
        Self { refresh: Some(u32::try_from(refresh.as_secs()).unwrap_or(u32::MAX).max(1)), ..self }
    }

    /// What the user is doing.
    #[must_use]
    pub fn state(&self) -> ComposingState {
        self.state
    }

    /// When the user last did something, as the sender says.
    #[must_use]
    pub fn last_active(&self) -> Option<&DateTime> {
        self.last_active.as_ref()
    }

    /// What is composed, as a type or as a type with its subtype. It is a hint to a human, and any text.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The time within which the next one comes as long as the state is the same.
    #[must_use]
    pub fn refresh(&self) -> Option<Duration> {
        self.refresh.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// Reads an application/im-iscomposing+xml. Elements of other namespaces are passed over, and a time of the last
    /// activity that is none in RFC 3339 too.
    ///
    /// # Errors
    /// What is no XML, has a document type or is too big, and a document that lacks its state or says something twice.
    pub fn parse(input: &[u8]) -> Result<Self, IsComposingError> {
        let mut reader = Reader::new(input)?;
        reader.root(XML_NAMESPACE, "isComposing")?;
        let [mut state, mut last_active, mut content_type, mut refresh] = [const { None }; 4];
        while let Some(element) = reader.child()? {
            let (place, name) = match element.name_in(XML_NAMESPACE) {
                Some("state") => (&mut state, "state"),
                Some("lastactive") => (&mut last_active, "lastactive"),
                Some("contenttype") => (&mut content_type, "contenttype"),
                Some("refresh") => (&mut refresh, "refresh"),
                _ => {
                    reader.skip()?;
                    continue;
                }
            };
            if place.replace(reader.text()?).is_some() {
                return Err(IsComposingError::Duplicate(name));
            }
        }
        reader.finish()?;
        let state = match state.ok_or(IsComposingError::StateMissing)?.as_str() {
            "active" => ComposingState::Active,
            _ => ComposingState::Idle,
        };
        if content_type.as_ref().is_some_and(|text| text.len() > Self::MAX_CONTENT_TYPE) {
            return Err(IsComposingError::ContentType);
        }
        Ok(Self {
            state,
            last_active: last_active.and_then(|text| text.parse().ok()),
            content_type: content_type.map(String::into_boxed_str),
            refresh: refresh.map(|text| seconds(&text).ok_or(IsComposingError::Refresh)).transpose()?,
        })
    }

    /// The status message that a body is, or that is in the message/cpim that it is; none if it is something else.
    ///
    /// # Errors
    /// One that is none.
    pub fn in_content(content_type: &MediaType, body: &Bytes) -> Result<Option<Self>, IsComposingError> {
        if content_type.is("message", "cpim") {
            let message = Cpim::parse(body)?;
            let is_one = is_composing(message.content_type());
            return is_one.then(|| Self::parse(message.body())).transpose();
        }
        is_composing(content_type).then(|| Self::parse(body)).transpose()
    }

    /// The document, as application/im-iscomposing+xml.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut out =
            format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<isComposing xmlns=\"{XML_NAMESPACE}\">\r\n");
        let mut element = |name: &str, text: &str| {
            out.extend(["<", name, ">"]);
            xml::escape(text, &mut out);
            out.extend(["</", name, ">\r\n"]);
        };
        let state = match self.state {
            ComposingState::Active => "active",
            ComposingState::Idle => "idle",
        };
        element("state", state);
        if let Some(at) = &self.last_active {
            element("lastactive", at.as_str());
        }
        if let Some(content_type) = &self.content_type {
            element("contenttype", content_type);
        }
        if let Some(refresh) = self.refresh {
            element("refresh", &refresh.to_string());
        }
        out.push_str("</isComposing>\r\n");
        out
    }
}

fn is_composing(content_type: &MediaType) -> bool {
    content_type.is("application", "im-iscomposing+xml")
}

/// `xs:positiveInteger`, of which no more counts than there is.
fn seconds(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let digits = digits.trim_start_matches('0');
    (is_number && !digits.is_empty()).then(|| digits.parse().unwrap_or(u32::MAX))
}

/// Why something is no status message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IsComposingError {
    /// The document is no XML, or not of this kind.
    #[error("{0}")]
    Xml(#[from] XmlError),
    /// The message/cpim around it is none.
    #[error("{0}")]
    Cpim(#[from] CpimError),
    /// There is no state.
    #[error("no state")]
    StateMissing,
    /// An element is there twice.
    #[error("{0} is there twice")]
    Duplicate(&'static str),
    /// The refresh interval is no positive number.
    #[error("no refresh interval")]
    Refresh,
    /// The type of what is composed is longer than [`IsComposing::MAX_CONTENT_TYPE`], or cannot be written.
    #[error("no type of at most {} octets of what is composed", IsComposing::MAX_CONTENT_TYPE)]
    ContentType,
}

#[cfg(test)]
mod tests;
