//! Views of sections: properties and maps that borrow from the message.

use std::iter::FusedIterator;

use super::composite::FieldReader;
use super::compound::compound;
use super::value_ref::{binary, string, symbol};
use super::{
    Composite as _, Decode as _, DecodeError, DecodeErrorKind, Properties, Reader, SequenceNo, Timestamp, Uuid,
    ValueRef, code,
};

/// The [`Properties`] of a message, looked at where they lie.
///
/// ```
/// use postroad_codec::v1_0::{Message, Properties, Sections, ValueRef};
/// let mut message = Message::from("hello");
/// let properties = Properties { message_id: Some(7.into()), subject: Some("greeting".into()), ..Properties::default() };
/// message.properties = Some(Box::new(properties));
/// let sections = Sections::find(message.to_bytes())?;
/// let view = sections.properties_ref()?.expect("there are some");
/// assert_eq!((view.message_id, view.subject), (Some(ValueRef::Ulong(7)), Some("greeting")));
/// # Ok::<(), postroad_codec::v1_0::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct PropertiesRef<'a> {
    /// Names the message: a ulong, a uuid, a binary or a string.
    pub message_id: Option<ValueRef<'a>>,
    /// The user who made it.
    pub user_id: Option<&'a [u8]>,
    /// The node that it is meant for.
    pub to: Option<&'a str>,
    /// What it is about.
    pub subject: Option<&'a str>,
    /// The node to which replies go.
    pub reply_to: Option<&'a str>,
    /// The message that it belongs to: a ulong, a uuid, a binary or a string.
    pub correlation_id: Option<ValueRef<'a>>,
    /// The media type of its data (RFC 2046).
    pub content_type: Option<&'a str>,
    /// The coding of its data (RFC 2616).
    pub content_encoding: Option<&'a str>,
    /// When it expires.
    pub absolute_expiry_time: Option<Timestamp>,
    /// When it was made.
    pub creation_time: Option<Timestamp>,
    /// The group that it is part of.
    pub group_id: Option<&'a str>,
    /// Its place in the group.
    pub group_sequence: Option<SequenceNo>,
    /// The group for replies.
    pub reply_to_group_id: Option<&'a str>,
}

impl<'a> PropertiesRef<'a> {
    /// Reads the list behind the descriptor.
    #[inline]
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut fields = FieldReader::open(Properties::SCHEMA, reader)?;
        // In the order of 3.2.4, which is that of the struct.
        let properties = Self {
            message_id: fields.next_with(message_id)?,
            user_id: fields.next_with(binary)?,
            to: fields.next_with(string)?,
            subject: fields.next_with(string)?,
            reply_to: fields.next_with(string)?,
            correlation_id: fields.next_with(message_id)?,
            content_type: fields.next_with(symbol)?,
            content_encoding: fields.next_with(symbol)?,
            absolute_expiry_time: fields.next()?,
            creation_time: fields.next()?,
            group_id: fields.next_with(string)?,
            group_sequence: fields.next()?,
            reply_to_group_id: fields.next_with(string)?,
        };
        fields.close(Properties::SCHEMA.name, reader)?;
        Ok(properties)
    }
}

/// One of the types that an id may have (3.2.11 to 3.2.14).
#[inline]
fn message_id<'a>(code: u8, reader: &mut Reader<'a>) -> Result<ValueRef<'a>, DecodeError> {
    match code {
        code::STR8 | code::STR32 => string(code, reader).map(ValueRef::String),
        code::VBIN8 | code::VBIN32 => binary(code, reader).map(ValueRef::Binary),
        code::ULONG | code::SMALLULONG | code::ULONG0 => u64::decode_as(code, reader).map(ValueRef::Ulong),
        code::UUID => Uuid::decode_as(code, reader).map(ValueRef::Uuid),
        other => Err(reader.error("message-id", DecodeErrorKind::Constructor(other))),
    }
}

/// A map that is looked at where it lies: application properties, annotations.
///
/// Its entries are read as they are gone through, so that each may turn out to be malformed.
///
/// ```
/// use postroad_codec::v1_0::{ApplicationProperties, Map, Message, Sections, ValueRef};
/// let mut message = Message::from("hello");
/// message.application_properties = Some(ApplicationProperties(Map::from_iter([("colour", "red")])));
/// let sections = Sections::find(message.to_bytes())?;
/// let properties = sections.application_properties_ref()?.expect("there are some");
/// assert_eq!(properties.get_str("colour")?, Some(ValueRef::String("red")));
/// for entry in properties {
///     let (key, value) = entry?;
///     println!("{key:?} is {value:?}");
/// }
/// # Ok::<(), postroad_codec::v1_0::DecodeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MapRef<'a> {
    entries: MapEntries<'a>,
}

impl<'a> MapRef<'a> {
    /// Reads the head of a map, constructor and all, and passes over its entries.
    ///
    /// # Errors
    /// When the bytes are no map.
    #[inline]
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let code = reader.u8("constructor")?;
        let (mut scope, count) = compound(code, code::MAP8, code::MAP32, "map", reader)?;
        if count % 2 != 0 {
            return Err(scope.error("map", DecodeErrorKind::OddMap(count)));
        }
        scope.enter("map")?;
        Ok(Self { entries: MapEntries { scope, left: count / 2 } })
    }

    /// The number of entries, as the map says.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.left as usize
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.left == 0
    }

    /// The entries in order.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> MapEntries<'a> {
        self.entries.clone()
    }

    /// The value of the first entry whose key is a string or symbol with this text.
    ///
    /// # Errors
    /// When this entry, or one in front of it, is malformed; where no entry has the key, when the map is.
    pub fn get_str(&self, key: &str) -> Result<Option<ValueRef<'a>>, DecodeError> {
        for entry in self.iter() {
            let (candidate, value) = entry?;
            if candidate.as_str() == Some(key) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

impl<'a> IntoIterator for MapRef<'a> {
    type Item = Result<(ValueRef<'a>, ValueRef<'a>), DecodeError>;
    type IntoIter = MapEntries<'a>;
    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.entries
    }
}

impl<'a> IntoIterator for &MapRef<'a> {
    type Item = Result<(ValueRef<'a>, ValueRef<'a>), DecodeError>;
    type IntoIter = MapEntries<'a>;
    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The entries of a [`MapRef`] in order. An entry that is malformed is the last item, as are bytes behind the entries.
#[derive(Debug, Clone)]
pub struct MapEntries<'a> {
    scope: Reader<'a>,
    left: u32,
}

impl<'a> MapEntries<'a> {
    #[cold]
    fn end(&mut self, error: DecodeError) -> DecodeError {
        self.left = 0;
        self.scope.end();
        error
    }
}

impl<'a> Iterator for MapEntries<'a> {
    type Item = Result<(ValueRef<'a>, ValueRef<'a>), DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return self.scope.finish("map").err().map(|error| Err(self.end(error)));
        }
        self.left -= 1;
        let key = match ValueRef::read(&mut self.scope) {
            Ok(key) => key,
            Err(error) => return Some(Err(self.end(error))),
        };
        match ValueRef::read(&mut self.scope) {
            Ok(value) => Some(Ok((key, value))),
            Err(error) => Some(Err(self.end(error))),
        }
    }
}

impl FusedIterator for MapEntries<'_> {}
