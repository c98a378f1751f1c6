//! Fields that the standard marks `multiple`: nothing, one value, or an array.

use std::ops::{Deref, DerefMut};

use super::{Decode, DecodeError, Encode, Reader, Typed, Value, code};

/// The values of a field with `multiple="true"` (AMQP 1.0 part 1, 1.4).
///
/// Null and an empty array mean the same. One value is written bare, several as an array; either
/// form is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Multiple<T>(pub Vec<T>);

impl<T> Default for Multiple<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Multiple<T> {
    type Target = Vec<T>;
    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T> DerefMut for Multiple<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

impl<T> FromIterator<T> for Multiple<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl<T> From<Vec<T>> for Multiple<T> {
    fn from(values: Vec<T>) -> Self {
        Self(values)
    }
}

impl<T: Typed + Clone + Into<Value>> Encode for Multiple<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self.0.as_slice() {
            [] => out.push(code::NULL),
            [one] => one.encode(out),
            many => Value::array_of(many).encode(out),
        }
    }

    fn encoded_len(&self) -> usize {
        match self.0.as_slice() {
            [] => 1,
            [one] => one.encoded_len(),
            many => Value::array_of(many).encoded_len(),
        }
    }
}

impl<T: Typed> Decode for Multiple<T> {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match code {
            code::NULL => Ok(Self::default()),
            code::ARRAY8 | code::ARRAY32 => {
                let (mut scope, count) = super::array::array_head(code, reader)?;
                if super::array::ends_behind_head(&scope, count) {
                    reader.rejoin(&scope);
                    return Ok(Self::default());
                }
                let element = scope.u8(T::TYPE)?;
                scope.check_count(count, super::array::is_zero_width(element), T::TYPE)?;
                let mut values = Vec::with_capacity((count as usize).min(64));
                for _ in 0..count {
                    values.push(T::decode_as(element, &mut scope)?);
                }
                scope.finish("array")?;
                reader.rejoin(&scope);
                Ok(Self(values))
            }
            one => Ok(Self(vec![T::decode_as(one, reader)?])),
        }
    }
}
