//! What an exchange reads of a message: its subject and its application properties, where they lie.

use postroad_codec::v1_0::{MapRef, MessageFormat, Sections};

use crate::message::Held;

/// A message that is to be routed. What is no message has neither subject nor properties: its receiver finds out.
#[derive(Debug)]
pub(crate) struct Routed {
    sections: Option<Sections>,
}

impl Routed {
    pub(crate) fn of(held: &Held) -> Self {
        let sections = (held.format == MessageFormat(0)).then(|| Sections::find(held.payload.clone()).ok());
        Self { sections: sections.flatten() }
    }

    pub(crate) fn subject(&self) -> Option<&str> {
        self.sections.as_ref()?.properties_ref().ok()??.subject
    }

    pub(crate) fn headers(&self) -> Option<MapRef<'_>> {
        self.sections.as_ref()?.application_properties_ref().ok()?
    }
}
