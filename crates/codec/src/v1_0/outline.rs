//! Where each part of an encoded value lies, for tools that show bytes to people.

use super::compound::compound;
use super::print::REDACTED;
use super::{Decode as _, DecodeError, DecodeErrorKind, Reader, Value, code, schema};

/// A part of an encoded value: the value itself, a field, an entry of a map, an element of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// How many compound values it lies in.
    pub depth: usize,
    /// Where it begins, in bytes from the start of the source.
    pub offset: usize,
    /// Its bytes, constructor and all.
    pub length: usize,
    /// The name of a field, the text of a key; nothing for elements and for the outermost value.
    pub name: Option<String>,
    /// The standard's name of its type, such as `uint` or `transfer`; `described` where no type of the standard is.
    pub ty: &'static str,
    /// Its text; nothing for what is made of the parts that follow.
    pub text: Option<String>,
}

/// The most parts that [`outline`] lists: a part takes far more memory than the byte that may encode it.
pub const MAX_PARTS: usize = 65_536;

/// Reads the next value and lists its parts, each in front of those that it is made of. Fields that are null are left
/// out, and secrets of SASL are not shown. Behind [`MAX_PARTS`] the value is read and not listed any more.
///
/// ```
/// use postroad_codec::v1_0::{Encode as _, Reader, Close, outline};
/// let mut bytes = Vec::new();
/// Close::default().encode(&mut bytes);
/// let parts = outline(&mut Reader::from_slice(&bytes))?;
/// assert_eq!((parts[0].ty, parts[0].length), ("close", 4));
/// # Ok::<(), postroad_codec::v1_0::DecodeError>(())
/// ```
///
/// # Errors
/// When the bytes are no value.
pub fn outline(reader: &mut Reader<'_>) -> Result<Vec<Part>, DecodeError> {
    let mut parts = Vec::new();
    part(None, 0, reader, &mut parts)?;
    Ok(parts)
}

fn part(name: Option<String>, depth: usize, reader: &mut Reader<'_>, parts: &mut Vec<Part>) -> Result<(), DecodeError> {
    let (at, offset) = (parts.len(), reader.offset());
    if at >= MAX_PARTS {
        return Value::decode(reader).map(drop);
    }
    parts.push(Part { depth, offset, length: 0, name, ty: "*", text: None });
    let (ty, text) = match reader.peek() {
        Some(code::DESCRIBED) => described(depth, reader, parts)?,
        Some(code::LIST8 | code::LIST32) => {
            let code = reader.u8("list")?;
            list(code, None, depth, reader, parts)?;
            ("list", None)
        }
        Some(code::MAP8 | code::MAP32) => {
            map(depth, reader, parts)?;
            ("map", None)
        }
        Some(code) => (type_name(code), Some(Value::decode(reader)?.to_string())),
        None => return Err(reader.error("value", DecodeErrorKind::Truncated)),
    };
    let length = reader.offset() - offset;
    parts[at] = Part { length, ty, text, ..parts[at].clone() };
    Ok(())
}

/// A described value: fields have the names that the standard gives them.
fn described(
    depth: usize,
    reader: &mut Reader<'_>,
    parts: &mut Vec<Part>,
) -> Result<(&'static str, Option<String>), DecodeError> {
    reader.enter("described type")?;
    reader.u8("described type")?;
    let descriptor = Value::decode(reader)?;
    let known = schema::described(&descriptor).map(|it| (it.name, it.code, it.composite));
    match (known, reader.peek()) {
        (Some((name, code, Some(row))), Some(list_code @ (code::LIST8 | code::LIST32))) => {
            reader.u8(name)?;
            list(list_code, Some((code, row)), depth, reader, parts)?;
        }
        // An empty list has no parts, and a SASL frame is to be a list.
        (Some((name, 0x41 | 0x43, _)), _) => {
            Value::decode(reader)?;
            reader.leave();
            return Ok((name, Some(REDACTED.to_owned())));
        }
        (Some((_, _, Some(_))), Some(code::LIST0)) => drop(reader.u8("list")?),
        (Some(_), _) => part(None, depth + 1, reader, parts)?,
        (None, _) => {
            let name = match &descriptor {
                Value::Ulong(code) => format!("@{code}"),
                other => format!("@{other}"),
            };
            part(Some(name), depth + 1, reader, parts)?;
        }
    }
    reader.leave();
    Ok((known.map_or("described", |(name, ..)| name), None))
}

fn list(
    code: u8,
    row: Option<(u64, &'static schema::Composite)>,
    depth: usize,
    reader: &mut Reader<'_>,
    parts: &mut Vec<Part>,
) -> Result<(), DecodeError> {
    let (mut scope, count) = compound(code, code::LIST8, code::LIST32, "list", reader)?;
    scope.enter("list")?;
    // What a secret depends on: the mechanism, which comes first.
    let mut first: Vec<Value> = Vec::new();
    for index in 0..count as usize {
        let name = row.and_then(|(_, row)| Some(row.fields.get(index)?.name.to_owned()));
        let at = parts.len();
        let start = scope.clone();
        part(name, depth + 1, &mut scope, parts)?;
        let Some((code, _)) = row else { continue };
        if index == 0 {
            first.push(Value::decode(&mut start.clone())?);
        }
        if start.peek() == Some(code::NULL) {
            parts.truncate(at);
        } else if schema::is_secret(code, index, &first) {
            parts.truncate(at + 1);
            if let Some(part) = parts.get_mut(at) {
                part.text = Some(REDACTED.to_owned());
            }
        }
    }
    scope.finish("list")?;
    reader.rejoin(&scope);
    Ok(())
}

fn map(depth: usize, reader: &mut Reader<'_>, parts: &mut Vec<Part>) -> Result<(), DecodeError> {
    let code = reader.u8("map")?;
    let (mut scope, count) = compound(code, code::MAP8, code::MAP32, "map", reader)?;
    if count % 2 != 0 {
        return Err(scope.error("map", DecodeErrorKind::OddMap(count)));
    }
    scope.enter("map")?;
    for _ in 0..count / 2 {
        let key = Value::decode(&mut scope)?.to_string();
        part(Some(key), depth + 1, &mut scope, parts)?;
    }
    scope.finish("map")?;
    reader.rejoin(&scope);
    Ok(())
}

fn type_name(code: u8) -> &'static str {
    let of = |row: &&schema::Primitive| row.encodings.iter().any(|encoding| encoding.code == code);
    schema::PRIMITIVES.iter().find(of).map_or("*", |row| row.name)
}
