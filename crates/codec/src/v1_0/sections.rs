//! A message whose sections are found, and read only when asked for.

use std::ops::Range;

use bytes::Bytes;

use super::code;
use super::primitive::variable;
use super::section::section_code;
use super::{
    Annotations, ApplicationProperties, Body, Decode, DecodeError, DecodeErrorKind, DeliveryAnnotations, Footer,
    Header, Map, MapRef, Message, MessageAnnotations, Properties, PropertiesRef, Reader,
};

/// An encoded message and where its sections are.
///
/// Forwarding one writes the bytes that came; reading a section reads no other. The methods whose names end in `_ref`
/// answer with views, which borrow from here and take no memory.
///
/// ```
/// use postroad_codec::v1_0::{Message, Sections};
/// let sections = Sections::find(Message::from("hello").to_bytes())?;
/// assert!(sections.header()?.is_none());
/// assert_eq!(sections.message()?, Message::from("hello"));
/// # Ok::<(), postroad_codec::v1_0::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sections {
    encoded: Bytes,
    /// Start of each kind of section; a section ends where the next one that is there starts.
    starts: Starts,
}

/// Kinds of sections.
const KINDS: usize = 7;

/// Start of each kind of section in a message, and its end.
pub(super) type Starts = [u32; KINDS + 1];

impl Sections {
    /// Finds the sections of a message without reading what is in them.
    ///
    /// # Errors
    /// When a section is unknown, out of order or cut short.
    pub fn find(encoded: Bytes) -> Result<Self, DecodeError> {
        let starts = find_starts(Reader::new(&encoded))?;
        Ok(Self { encoded, starts })
    }

    /// The whole message as it came.
    #[must_use]
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The bare message as it came: properties, application properties and body (3.2), which no
    /// intermediary may change.
    #[must_use]
    pub fn bare(&self) -> Bytes {
        self.encoded.slice(self.starts[3] as usize..self.starts[6] as usize)
    }

    /// Everything behind the header and the delivery annotations, which a node writes anew.
    #[must_use]
    pub fn behind_delivery_annotations(&self) -> Bytes {
        self.encoded.slice(self.starts[2] as usize..)
    }

    /// The header.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn header(&self) -> Result<Option<Header>, DecodeError> {
        self.read(0, Header::decode_fields)
    }

    /// The delivery annotations.
    ///
    /// # Errors
    /// When they are malformed.
    pub fn delivery_annotations(&self) -> Result<Option<DeliveryAnnotations>, DecodeError> {
        self.read(1, |reader| Annotations::decode(reader).map(DeliveryAnnotations))
    }

    /// The message annotations.
    ///
    /// # Errors
    /// When they are malformed.
    pub fn message_annotations(&self) -> Result<Option<MessageAnnotations>, DecodeError> {
        self.read(2, |reader| Annotations::decode(reader).map(MessageAnnotations))
    }

    /// The properties.
    ///
    /// # Errors
    /// When they are malformed.
    pub fn properties(&self) -> Result<Option<Properties>, DecodeError> {
        self.read(3, Properties::decode_fields)
    }

    /// The application properties.
    ///
    /// # Errors
    /// When they are malformed.
    pub fn application_properties(&self) -> Result<Option<ApplicationProperties>, DecodeError> {
        self.read(4, |reader| Map::decode(reader).map(ApplicationProperties))
    }

    /// The body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn body(&self) -> Result<Body, DecodeError> {
        Ok(Message::from_bytes(&self.encoded.slice(self.range(5)))?.body)
    }

    /// The footer.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn footer(&self) -> Result<Option<Footer>, DecodeError> {
        self.read(6, |reader| Annotations::decode(reader).map(Footer))
    }

    /// Everything.
    ///
    /// # Errors
    /// When a section is malformed.
    pub fn message(&self) -> Result<Message, DecodeError> {
        Message::from_bytes(&self.encoded)
    }

    /// A view of the delivery annotations.
    ///
    /// # Errors
    /// When they are no map; what is wrong with an entry is for whoever reads it.
    #[inline]
    pub fn delivery_annotations_ref(&self) -> Result<Option<MapRef<'_>>, DecodeError> {
        self.read(1, MapRef::read)
    }

    /// A view of the message annotations.
    ///
    /// # Errors
    /// When they are no map; what is wrong with an entry is for whoever reads it.
    #[inline]
    pub fn message_annotations_ref(&self) -> Result<Option<MapRef<'_>>, DecodeError> {
        self.read(2, MapRef::read)
    }

    /// A view of the properties.
    ///
    /// # Errors
    /// When they are malformed.
    #[inline]
    pub fn properties_ref(&self) -> Result<Option<PropertiesRef<'_>>, DecodeError> {
        self.read(3, PropertiesRef::read)
    }

    /// A view of the application properties.
    ///
    /// # Errors
    /// When they are no map; what is wrong with an entry is for whoever reads it.
    #[inline]
    pub fn application_properties_ref(&self) -> Result<Option<MapRef<'_>>, DecodeError> {
        self.read(4, MapRef::read)
    }

    /// The octets of the body where that is one data section, and `None` for any other.
    ///
    /// # Errors
    /// When the section is malformed.
    #[inline]
    pub fn data_ref(&self) -> Result<Option<&[u8]>, DecodeError> {
        let mut reader = self.reader(5);
        if reader.is_empty() || section_code(&mut reader)? != 0x75 {
            return Ok(None);
        }
        let code = reader.u8("data")?;
        let octets = variable(code, code::VBIN8, code::VBIN32, "binary", &mut reader)?;
        Ok(reader.is_empty().then_some(octets))
    }

    /// A view of the footer.
    ///
    /// # Errors
    /// When it is no map; what is wrong with an entry is for whoever reads it.
    #[inline]
    pub fn footer_ref(&self) -> Result<Option<MapRef<'_>>, DecodeError> {
        self.read(6, MapRef::read)
    }

    #[inline]
    fn range(&self, kind: usize) -> Range<usize> {
        self.starts[kind] as usize..self.starts[kind + 1] as usize
    }

    /// A reader of the sections of a kind: what it reads shares the memory of the message.
    #[inline]
    fn reader(&self, kind: usize) -> Reader<'_> {
        Reader::within(&self.encoded, self.range(kind))
    }

    #[inline]
    fn read<'a, T>(
        &'a self,
        kind: usize,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        let mut reader = self.reader(kind);
        if reader.is_empty() {
            return Ok(None);
        }
        section_code(&mut reader)?;
        read(&mut reader).map(Some)
    }
}

/// Finds where the sections of a message start, without reading what is in them.
pub(super) fn find_starts(mut reader: Reader<'_>) -> Result<Starts, DecodeError> {
    let Ok(length) = u32::try_from(reader.remaining()) else {
        return Err(reader.error("message", DecodeErrorKind::OutOfRange));
    };
    let mut starts = [length; KINDS + 1];
    // Sections are found in order: everything before the first one found starts where it does.
    let (mut last, mut filled) = (0, 0);
    while !reader.is_empty() {
        let start = reader.offset() as u32;
        let code = section_code(&mut reader)?;
        let repeats = code == last && matches!(code, 0x75 | 0x76);
        let other_body = matches!(last, 0x75..=0x77) && matches!(code, 0x75..=0x77);
        if !repeats && (code <= last || other_body) {
            return Err(reader.error("section", DecodeErrorKind::SectionOrder));
        }
        skip("section", &mut reader)?;
        if !repeats {
            let kind = kind(code);
            starts[filled..=kind].fill(start);
            filled = kind + 1;
        }
        last = code;
    }
    Ok(starts)
}

fn kind(code: u64) -> usize {
    match code {
        0x70 => 0,
        0x71 => 1,
        0x72 => 2,
        0x73 => 3,
        0x74 => 4,
        0x75..=0x77 => 5,
        _ => 6,
    }
}

/// Passes over a value by its width or size (part 1, 1.2), without looking inside.
#[inline]
pub(super) fn skip(name: &'static str, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    // A value may be described as often as values may nest.
    for _ in 0..=super::MAX_DEPTH {
        let code = reader.u8(name)?;
        let width = match code >> 4 {
            0x0 if code == code::DESCRIBED => {
                skip_descriptor(name, reader)?;
                continue;
            }
            0x4 => 0,
            0x5 => 1,
            0x6 => 2,
            0x7 => 4,
            0x8 => 8,
            0x9 => 16,
            0xa | 0xc | 0xe => reader.u8(name)?.into(),
            0xb | 0xd | 0xf => reader.u32(name)? as usize,
            _ => return Err(reader.error(name, DecodeErrorKind::Constructor(code))),
        };
        reader.take(width, name)?;
        return Ok(());
    }
    Err(reader.error(name, DecodeErrorKind::TooDeep))
}

/// A described descriptor is read as a value, which counts how deep it goes.
fn skip_descriptor(name: &'static str, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.peek() {
        Some(code::DESCRIBED) => super::Value::decode(reader).map(drop),
        _ => skip(name, reader),
    }
}
