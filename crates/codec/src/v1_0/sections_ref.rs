//! A borrowed message whose sections are found, and looked at where they lie.

use super::section::section_code;
use super::sections::{Starts, find_starts};
use super::{DecodeError, Header, MapRef, PropertiesRef, Reader};

/// [`Sections`](super::Sections) of a message that somebody else owns: nothing is counted, copied or allocated.
///
/// ```
/// use postroad_codec::v1_0::{Header, Message, SectionsRef};
/// let mut message = Message::from("hello");
/// message.header = Some(Header { priority: Some(7), ..Header::default() });
/// let encoded = message.to_bytes();
/// let sections = SectionsRef::find(&encoded)?;
/// assert_eq!(sections.header()?.unwrap().priority, Some(7));
/// assert!(sections.properties()?.is_none());
/// # Ok::<(), postroad_codec::v1_0::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionsRef<'a> {
    encoded: &'a [u8],
    starts: Starts,
}

impl<'a> SectionsRef<'a> {
    /// Finds the sections of a message without reading what is in them.
    ///
    /// # Errors
    /// When a section is unknown, out of order or cut short.
    pub fn find(encoded: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self { encoded, starts: find_starts(Reader::from_slice(encoded))? })
    }

    /// The header.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn header(&self) -> Result<Option<Header>, DecodeError> {
        self.read(0, Header::decode_fields)
    }

    /// The message annotations.
    ///
    /// # Errors
    /// When they are no map; what is wrong with an entry is for whoever reads it.
    pub fn message_annotations(&self) -> Result<Option<MapRef<'a>>, DecodeError> {
        self.read(2, MapRef::read)
    }

    /// The properties.
    ///
    /// # Errors
    /// When they are malformed.
    pub fn properties(&self) -> Result<Option<PropertiesRef<'a>>, DecodeError> {
        self.read(3, PropertiesRef::read)
    }

    /// The application properties.
    ///
    /// # Errors
    /// When they are no map; what is wrong with an entry is for whoever reads it.
    pub fn application_properties(&self) -> Result<Option<MapRef<'a>>, DecodeError> {
        self.read(4, MapRef::read)
    }

    fn read<T>(
        &self,
        kind: usize,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        let part = &self.encoded[self.starts[kind] as usize..self.starts[kind + 1] as usize];
        let mut reader = Reader::from_slice(part);
        if reader.is_empty() {
            return Ok(None);
        }
        section_code(&mut reader)?;
        read(&mut reader).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1_0::{ApplicationProperties, Map, Message, Properties, Sections, ValueRef};

    #[test]
    fn it_finds_what_the_owning_one_finds() {
        let properties = Properties { subject: Some("s".into()), ..Properties::default() };
        let message = Message {
            properties: Some(Box::new(properties)),
            application_properties: Some(ApplicationProperties(Map::from_iter([("k", 7i32)]))),
            ..Message::from("body")
        };
        let encoded = message.to_bytes();
        let (owned, found) = (Sections::find(encoded.clone()).unwrap(), SectionsRef::find(&encoded).unwrap());
        assert_eq!(found.header().unwrap(), owned.header().unwrap());
        assert_eq!(found.properties().unwrap(), owned.properties_ref().unwrap());
        assert!(found.message_annotations().unwrap().is_none());
        let map = found.application_properties().unwrap().unwrap();
        assert_eq!(map.get_str("k").unwrap(), Some(ValueRef::Int(7)));
    }

    #[test]
    fn what_is_no_message_is_refused_alike() {
        for bytes in [&b"garbage"[..], b"\0\x53\x77", b"\0\x53\x77\x40\0\x53\x70\x45"] {
            let owned = Sections::find(bytes::Bytes::copy_from_slice(bytes)).unwrap_err();
            assert_eq!(SectionsRef::find(bytes), Err(owned));
        }
        assert!(SectionsRef::find(b"").unwrap().header().unwrap().is_none());
    }
}
