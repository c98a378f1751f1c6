//! Composite types: one line a field makes the struct, its reader, its writer and its schema row.

use super::compound::{compound, compound_head, finish_compound};
use super::primitive::Typed;
use super::{Decode, DecodeError, DecodeErrorKind, Encode, Multiple, Reader, Symbol, code, schema};

/// A described list with named fields (AMQP 1.0 part 1, 1.4).
pub trait Composite: Encode + Decode {
    /// The row of this type.
    const SCHEMA: &'static schema::Composite;
}

/// How a field of a composite type is read, written and described.
pub(crate) trait FieldType: Sized {
    const TYPE: &'static str;
    const REQUIRES: Option<&'static str>;
    const MULTIPLE: bool;
    /// What an absent field means, where the type itself knows.
    fn absent() -> Option<Self>;
    fn is_absent(&self) -> bool;
}

impl<T: Typed> FieldType for Option<T> {
    const TYPE: &'static str = T::TYPE;
    const REQUIRES: Option<&'static str> = T::REQUIRES;
    const MULTIPLE: bool = false;
    #[inline]
    fn absent() -> Option<Self> {
        Some(None)
    }
    #[inline]
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Typed + Clone + Into<super::Value>> FieldType for Multiple<T> {
    const TYPE: &'static str = T::TYPE;
    const REQUIRES: Option<&'static str> = T::REQUIRES;
    const MULTIPLE: bool = true;
    #[inline]
    fn absent() -> Option<Self> {
        Some(Self::default())
    }
    #[inline]
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Typed> FieldType for T {
    const TYPE: &'static str = T::TYPE;
    const REQUIRES: Option<&'static str> = T::REQUIRES;
    const MULTIPLE: bool = false;
    #[inline]
    fn absent() -> Option<Self> {
        None
    }
    #[inline]
    fn is_absent(&self) -> bool {
        false
    }
}

impl<T: Encode> Encode for Option<T> {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.encode(out),
            None => out.push(code::NULL),
        }
    }
    #[inline]
    fn encoded_len(&self) -> usize {
        self.as_ref().map_or(1, Encode::encoded_len)
    }
}

impl<T: Decode> Decode for Option<T> {
    #[inline(always)]
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if code == code::NULL { Ok(None) } else { T::decode_as(code, reader).map(Some) }
    }
}

impl<T: Encode> Encode for Box<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
    fn encoded_len(&self) -> usize {
        (**self).encoded_len()
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        T::decode_as(code, reader).map(Self::new)
    }
}

impl<T: Typed> Typed for Box<T> {
    const TYPE: &'static str = T::TYPE;
    const REQUIRES: Option<&'static str> = T::REQUIRES;
}

/// Reads a descriptor: the numeric one as it is, a symbolic one through `by_symbol`.
#[inline(always)]
pub(crate) fn descriptor(
    name: &'static str,
    by_symbol: impl FnOnce(&str) -> Option<u64>,
    reader: &mut Reader<'_>,
) -> Result<u64, DecodeError> {
    match reader.u8_behind(code::SMALLULONG) {
        Some(small) => Ok(small.into()),
        None => long_descriptor(name, by_symbol, reader),
    }
}

#[cold]
fn long_descriptor(
    name: &'static str,
    by_symbol: impl FnOnce(&str) -> Option<u64>,
    reader: &mut Reader<'_>,
) -> Result<u64, DecodeError> {
    match reader.u8(name)? {
        code::ULONG => Ok(u64::from_be_bytes(reader.array(name)?)),
        symbolic @ (code::SYM8 | code::SYM32) => {
            let symbol = Symbol::decode_as(symbolic, reader)?;
            by_symbol(&symbol).ok_or_else(|| reader.error(name, DecodeErrorKind::Descriptor))
        }
        _ => Err(reader.error(name, DecodeErrorKind::Descriptor)),
    }
}

/// Fails unless a described type with this schema's descriptor follows.
pub(crate) fn expect_descriptor(
    code: u8,
    schema: &'static schema::Composite,
    reader: &mut Reader<'_>,
) -> Result<(), DecodeError> {
    if code != code::DESCRIBED {
        return Err(reader.error(schema.name, DecodeErrorKind::Constructor(code)));
    }
    let found = descriptor(schema.name, |symbol| (symbol == schema.descriptor).then_some(schema.code), reader)?;
    if found == schema.code { Ok(()) } else { Err(reader.error(schema.name, DecodeErrorKind::Descriptor)) }
}

#[inline]
pub(crate) fn put_descriptor(code: u64, out: &mut Vec<u8>) {
    match u8::try_from(code) {
        Ok(small) => out.extend_from_slice(&[code::DESCRIBED, code::SMALLULONG, small]),
        Err(_) => {
            out.push(code::DESCRIBED);
            code.encode(out);
        }
    }
}

/// The fields of a composite list that have not been read yet.
pub(crate) struct FieldReader<'a> {
    scope: Reader<'a>,
    left: u32,
}

impl<'a> FieldReader<'a> {
    /// Opens the list of a composite whose descriptor has been read.
    #[inline(always)]
    pub(crate) fn open(schema: &'static schema::Composite, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let code = reader.u8(schema.name)?;
        if code == code::LIST0 {
            return Ok(Self { scope: reader.scope(0, schema.name)?, left: 0 });
        }
        let (mut scope, left) = compound(code, code::LIST8, code::LIST32, schema.name, reader)?;
        if left as usize > schema.fields.len() {
            return Err(scope.error(schema.name, DecodeErrorKind::TooManyFields(left)));
        }
        scope.enter(schema.name)?;
        Ok(Self { scope, left })
    }

    /// The next field, or `None` where it is absent or null.
    #[inline(always)]
    pub(crate) fn next<T: Decode>(&mut self) -> Result<Option<T>, DecodeError> {
        self.next_with(T::decode_as)
    }

    /// The next field as `read` makes it of its constructor and what follows.
    #[inline(always)]
    pub(crate) fn next_with<T>(
        &mut self,
        read: impl FnOnce(u8, &mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        match self.scope.u8("field")? {
            code::NULL => Ok(None),
            code => read(code, &mut self.scope).map(Some),
        }
    }

    #[inline(always)]
    pub(crate) fn next_or<T: Decode + FieldType>(&mut self, name: &'static str) -> Result<T, DecodeError> {
        match self.next()? {
            Some(value) => Ok(value),
            None => T::absent().ok_or_else(|| self.missing(name)),
        }
    }

    #[inline(always)]
    pub(crate) fn missing(&self, name: &'static str) -> DecodeError {
        self.scope.error("composite", DecodeErrorKind::MissingField(name))
    }

    #[inline(always)]
    pub(crate) fn close(self, name: &'static str, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        self.scope.finish(name)?;
        reader.rejoin(&self.scope);
        Ok(())
    }
}

/// Writes a composite list whose trailing absent fields are left out.
///
/// An absent field is written once a later one is there, so that the bytes never outgrow what
/// [`Encode::encoded_len`] says.
pub(crate) struct FieldWriter {
    head: usize,
    written: usize,
    /// Absent fields since the last one that was written.
    absent: usize,
}

impl FieldWriter {
    #[inline(always)]
    pub(crate) fn open(code: u64, out: &mut Vec<u8>) -> Self {
        put_descriptor(code, out);
        Self { head: out.len(), written: 0, absent: 0 }
    }

    #[inline(always)]
    pub(crate) fn field<T: Encode>(&mut self, value: &T, absent: bool, out: &mut Vec<u8>) {
        if absent {
            self.absent += 1;
            return;
        }
        if self.written == 0 {
            compound_head(code::LIST8, out);
        }
        if self.absent > 0 {
            put_nulls(self.absent, out);
        }
        value.encode(out);
        self.written += self.absent + 1;
        self.absent = 0;
    }

    #[inline(always)]
    pub(crate) fn close(self, out: &mut Vec<u8>) {
        if self.written == 0 {
            out.push(code::LIST0);
        } else {
            finish_compound(self.head, self.written, code::LIST32, out);
        }
    }
}

#[inline(never)]
fn put_nulls(count: usize, out: &mut Vec<u8>) {
    for _ in 0..count {
        out.push(code::NULL);
    }
}

/// Adds up the length of a composite list whose trailing absent fields are left out.
#[derive(Default)]
pub(crate) struct FieldMeter {
    count: usize,
    length: usize,
    kept: (usize, usize),
}

impl FieldMeter {
    #[inline]
    pub(crate) fn field<T: Encode>(&mut self, value: &T, absent: bool) {
        self.count += 1;
        if absent {
            self.length += 1;
        } else {
            self.length += value.encoded_len();
            self.kept = (self.count, self.length);
        }
    }

    #[inline]
    pub(crate) fn close(self, code: u64) -> usize {
        let descriptor = if code <= 255 { 3 } else { 10 };
        let (count, content) = self.kept;
        descriptor
            + match content {
                _ if count == 0 => 1,
                0..255 if count <= 255 => 3 + content,
                _ => 9 + content,
            }
    }
}

/// A composite type as a table, one line a field:
/// `rust_name: Type => "xml-name" mandatory | optional | multiple | default(VALUE, "as in the XML")`;
/// `lossy` is an optional text for people, which is read even where it is not UTF-8.
///
/// A `pub secret struct` writes its own `Debug`, which leaves secrets out.
macro_rules! composite {
    ($(#[$meta:meta])* pub struct $($table:tt)*) => {
        composite! { @table $(#[$meta])* #[derive(Debug)] $($table)* }
    };
    ($(#[$meta:meta])* pub secret struct $($table:tt)*) => {
        composite! { @table $(#[$meta])* $($table)* }
    };
    (
        @table
        $(#[$meta:meta])*
        $name:ident = $xml:literal, $symbol:literal, $code:literal;
        $( $(#[$field_meta:meta])* $field:ident: $ty:ty => $field_xml:literal $kind:ident $(($default:expr, $text:literal))?; )*
    ) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $ty, )*
        }

        impl $crate::v1_0::Composite for $name {
            const SCHEMA: &'static $crate::v1_0::schema::Composite = &$crate::v1_0::schema::Composite {
                name: $xml,
                descriptor: $symbol,
                code: $code,
                fields: &[$(
                    $crate::v1_0::schema::Field {
                        name: $field_xml,
                        ty: <$ty as $crate::v1_0::composite::FieldType>::TYPE,
                        requires: <$ty as $crate::v1_0::composite::FieldType>::REQUIRES,
                        mandatory: composite!(@mandatory $kind),
                        multiple: <$ty as $crate::v1_0::composite::FieldType>::MULTIPLE,
                        default: composite!(@text $($text)?),
                    },
                )*],
            };
        }

        impl Default for $name {
            /// Every field absent; mandatory ones hold their type's default.
            fn default() -> Self {
                Self { $( $field: composite!(@initial $($default)?), )* }
            }
        }

        impl $crate::v1_0::Encode for $name {
            #[allow(unused_mut, reason = "a composite may have no fields")]
            fn encode(&self, out: &mut Vec<u8>) {
                let mut writer = $crate::v1_0::composite::FieldWriter::open($code, out);
                $( writer.field(&self.$field, composite!(@is_absent self.$field, $kind $($default)?), out); )*
                writer.close(out);
            }
            #[allow(unused_mut, reason = "a composite may have no fields")]
            fn encoded_len(&self) -> usize {
                let mut meter = $crate::v1_0::composite::FieldMeter::default();
                $( meter.field(&self.$field, composite!(@is_absent self.$field, $kind $($default)?)); )*
                meter.close($code)
            }
        }

        impl $name {
            /// Reads the list behind the descriptor.
            #[allow(unused_mut, reason = "a composite may have no fields")]
            pub(crate) fn decode_fields(
                reader: &mut $crate::v1_0::Reader<'_>,
            ) -> Result<Self, $crate::v1_0::DecodeError> {
                let mut value = Self::default();
                value.read_fields(reader)?;
                Ok(value)
            }

            /// Reads the list behind the descriptor into a value where every field is absent.
            #[allow(unused_mut, reason = "a composite may have no fields")]
            pub(crate) fn read_fields(
                &mut self,
                reader: &mut $crate::v1_0::Reader<'_>,
            ) -> Result<(), $crate::v1_0::DecodeError> {
                let schema = <Self as $crate::v1_0::Composite>::SCHEMA;
                let mut fields = $crate::v1_0::composite::FieldReader::open(schema, reader)?;
                $( self.$field = composite!(@read fields, $field_xml, $kind $($default)?); )*
                fields.close($xml, reader)
            }
        }

        impl $crate::v1_0::Decode for $name {
            fn decode_as(
                code: u8,
                reader: &mut $crate::v1_0::Reader<'_>,
            ) -> Result<Self, $crate::v1_0::DecodeError> {
                let schema = <Self as $crate::v1_0::Composite>::SCHEMA;
                $crate::v1_0::composite::expect_descriptor(code, schema, reader)?;
                Self::decode_fields(reader)
            }
        }
    };
    (@mandatory mandatory) => { true };
    (@mandatory mandatory_multiple) => { true };
    (@mandatory $kind:ident) => { false };
    (@text) => { None };
    (@text $text:literal) => { Some($text) };
    (@initial) => { Default::default() };
    (@initial $default:expr) => { $default };
    (@is_absent $value:expr, default $default:expr) => { $value == $default };
    (@is_absent $value:expr, $kind:ident) => { $crate::v1_0::composite::FieldType::is_absent(&$value) };
    (@read $fields:ident, $name:literal, default $default:expr) => { $fields.next()?.unwrap_or($default) };
    (@read $fields:ident, $name:literal, mandatory_multiple) => {
        // Null and an empty array mean the same.
        $fields.next()?.filter(|values: &Multiple<_>| !values.is_empty()).ok_or_else(|| $fields.missing($name))?
    };
    (@read $fields:ident, $name:literal, lossy) => {
        $fields.next::<$crate::v1_0::primitive::Lossy>()?.map(|text| text.0)
    };
    (@read $fields:ident, $name:literal, $kind:ident) => { $fields.next_or($name)? };
}

/// A type under the standard's name that is written as another type.
macro_rules! restricted {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($inner:ty) = $xml:literal, $source:literal;
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $name(pub $inner);

        restricted!(@codec $name, $inner, $xml, $source);

        impl std::ops::Deref for $name {
            type Target = $inner;
            fn deref(&self) -> &$inner {
                &self.0
            }
        }

        impl std::ops::DerefMut for $name {
            fn deref_mut(&mut self) -> &mut $inner {
                &mut self.0
            }
        }
    };
    (
        $(#[$meta:meta])*
        pub number $name:ident($inner:ty) = $xml:literal, $source:literal;
    ) => {
        restricted! {
            $(#[$meta])*
            #[derive(PartialOrd, Ord)]
            pub serial $name($inner) = $xml, $source;
        }
    };
    // A number that wraps around has no order.
    (
        $(#[$meta:meta])*
        pub serial $name:ident($inner:ty) = $xml:literal, $source:literal;
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name(pub $inner);

        restricted!(@codec $name, $inner, $xml, $source);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
            }
        }
    };
    (@codec $name:ident, $inner:ty, $xml:literal, $source:literal) => {
        impl $name {
            pub(crate) const SCHEMA: &'static $crate::v1_0::schema::Restricted = &$crate::v1_0::schema::Restricted {
                name: $xml,
                source: $source,
                descriptor: None,
                choices: &[],
            };
        }

        impl $crate::v1_0::Encode for $name {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }
            #[inline]
            fn encoded_len(&self) -> usize {
                self.0.encoded_len()
            }
        }

        impl $crate::v1_0::Decode for $name {
            #[inline(always)]
            fn decode_as(
                code: u8,
                reader: &mut $crate::v1_0::Reader<'_>,
            ) -> Result<Self, $crate::v1_0::DecodeError> {
                <$inner as $crate::v1_0::Decode>::decode_as(code, reader).map(Self)
            }
        }

        impl $crate::v1_0::Typed for $name {
            const TYPE: &'static str = $xml;
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        impl From<$name> for $crate::v1_0::Value {
            fn from(value: $name) -> Self {
                Self::from(value.0)
            }
        }
    };
}

/// An open enum: a number or symbol with named values, of which unknown ones survive.
macro_rules! open_enum {
    (
        $(#[$meta:meta])*
        pub numeric $name:ident($inner:ty) = $xml:literal, $source:literal {
            $( $(#[$choice_meta:meta])* $choice:ident = $choice_xml:literal, $value:literal; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            $( $(#[$choice_meta])* pub const $choice: Self = Self($value); )*
        }

        open_enum!(@common $name, $inner, $xml, $xml, $source, None, [$($choice = $choice_xml, stringify!($value);)*]);
    };
    (
        $(#[$meta:meta])*
        pub symbolic $name:ident = $xml:literal $(, type $ty:literal requires $requires:literal)? {
            $( $(#[$choice_meta:meta])* $choice:ident = $choice_xml:literal, $value:literal; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(pub $crate::v1_0::Symbol);

        impl $name {
            $( $(#[$choice_meta])* pub const $choice: Self = Self($crate::v1_0::Symbol::from_static($value)); )*
        }

        open_enum!(
            @common $name, $crate::v1_0::Symbol, $xml, open_enum!(@ty $xml $(, $ty)?), "symbol",
            open_enum!(@requires $($requires)?), [$($choice = $choice_xml, $value;)*]
        );
    };
    (
        @common $name:ident, $inner:ty, $xml:literal, $ty:expr, $source:literal, $requires:expr,
        [$( $choice:ident = $choice_xml:literal, $text:expr; )*]
    ) => {
        impl $name {
            pub(crate) const SCHEMA: &'static $crate::v1_0::schema::Restricted = &$crate::v1_0::schema::Restricted {
                name: $xml,
                source: $source,
                descriptor: None,
                choices: &[$( ($choice_xml, $text), )*],
            };
        }

        impl std::fmt::Display for $name {
            /// The standard's name of the value, or the bare value where it has none.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $( if *self == Self::$choice { return f.write_str($choice_xml); } )*
                std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl $crate::v1_0::Encode for $name {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }
            #[inline]
            fn encoded_len(&self) -> usize {
                self.0.encoded_len()
            }
        }

        impl $crate::v1_0::Decode for $name {
            #[inline(always)]
            fn decode_as(
                code: u8,
                reader: &mut $crate::v1_0::Reader<'_>,
            ) -> Result<Self, $crate::v1_0::DecodeError> {
                <$inner as $crate::v1_0::Decode>::decode_as(code, reader).map(Self)
            }
        }

        impl $crate::v1_0::Typed for $name {
            const TYPE: &'static str = $ty;
            const REQUIRES: Option<&'static str> = $requires;
        }

        impl From<$name> for $crate::v1_0::Value {
            fn from(value: $name) -> Self {
                Self::from(value.0)
            }
        }
    };
    (@ty $xml:literal, $ty:literal) => { $ty };
    (@ty $xml:literal) => { $xml };
    (@requires) => { None };
    (@requires $requires:literal) => { Some($requires) };
}
