//! What lists, maps and arrays share: a size, a count, and a short form for small ones (part 1, 1.2.3).

use super::primitive::length32;
use super::{DecodeError, DecodeErrorKind, Encode, Reader, Value, code};

/// Elements for which room is made on the word of the peer: each level of nesting can promise as many as
/// there are bytes, and have none of them.
pub(super) const PROMISED: usize = 64;

/// The scope and count of a list or map; every entry takes at least a byte.
#[inline(always)]
pub(crate) fn compound<'a>(
    code: u8,
    short: u8,
    long: u8,
    name: &'static str,
    reader: &mut Reader<'a>,
) -> Result<(Reader<'a>, u32), DecodeError> {
    let (mut scope, count) = sized(code, short, long, name, reader)?;
    scope.check_count(count, false, name)?;
    Ok((scope, count))
}

#[inline(always)]
pub(super) fn sized<'a>(
    code: u8,
    short: u8,
    long: u8,
    name: &'static str,
    reader: &mut Reader<'a>,
) -> Result<(Reader<'a>, u32), DecodeError> {
    if code == short {
        let size = usize::from(reader.u8(name)?);
        let mut scope = reader.scope(size, name)?;
        let count = u32::from(scope.u8(name)?);
        Ok((scope, count))
    } else if code == long {
        let size = reader.u32(name)? as usize;
        let mut scope = reader.scope(size, name)?;
        let count = scope.u32(name)?;
        Ok((scope, count))
    } else {
        Err(reader.error(name, DecodeErrorKind::Constructor(code)))
    }
}

/// Reads the entries of a list.
pub(crate) fn decode_list(code: u8, reader: &mut Reader<'_>) -> Result<Vec<Value>, DecodeError> {
    if code == code::LIST0 {
        return Ok(Vec::new());
    }
    let (mut scope, count) = compound(code, code::LIST8, code::LIST32, "list", reader)?;
    scope.enter("list")?;
    let mut values = Vec::with_capacity((count as usize).min(PROMISED));
    for _ in 0..count {
        values.push(Value::Null);
        if let Some(value) = values.last_mut() {
            value.read_next(&mut scope)?;
        }
    }
    scope.finish("list")?;
    reader.rejoin(&scope);
    Ok(values)
}

/// Writes a list, which has a form of one byte when it is empty.
pub(crate) fn put_list(values: &[Value], out: &mut Vec<u8>) {
    if values.is_empty() {
        return out.push(code::LIST0);
    }
    let head = compound_head(code::LIST8, out);
    values.iter().for_each(|value| value.encode(out));
    finish_compound(head, values.len(), code::LIST32, out);
}

/// Bytes of a list of these values.
pub(crate) fn list_len(values: &[Value]) -> usize {
    if values.is_empty() { 1 } else { 1 + Measure::compound(list_content_len(values), values.len()).length() }
}

pub(super) fn list_content_len(values: &[Value]) -> usize {
    values.iter().map(Encode::encoded_len).sum()
}

/// Starts a list or map in its short form, and answers where it starts.
#[inline]
pub(crate) fn compound_head(short: u8, out: &mut Vec<u8>) -> usize {
    let head = out.len();
    out.extend_from_slice(&[short, 0, 0]);
    head
}

/// Fills in size and count, and widens the head where the content has outgrown the short form.
#[inline]
pub(crate) fn finish_compound(head: usize, count: usize, long: u8, out: &mut Vec<u8>) {
    let content = out.len() - head - 3;
    match (u8::try_from(content + 1), u8::try_from(count)) {
        (Ok(size), Ok(count)) => {
            out[head + 1] = size;
            out[head + 2] = count;
        }
        _ => widen(head, content, count, long, out),
    }
}

#[cold]
fn widen(head: usize, content: usize, count: usize, long: u8, out: &mut Vec<u8>) {
    let start = head + 3;
    out.extend_from_slice(&[0; 6]);
    out.copy_within(start..start + content, start + 6);
    out[head] = long;
    out[head + 1..head + 5].copy_from_slice(&length32(content + 4));
    out[head + 5..head + 9].copy_from_slice(&length32(count));
}

/// The lengths of a value in its two forms, and whether the short one can hold it.
#[derive(Clone, Copy)]
pub(super) struct Measure {
    pub(super) small: bool,
    pub(super) short: usize,
    pub(super) full: usize,
}

impl Measure {
    pub(super) fn compound(content: usize, count: usize) -> Self {
        Self { small: content < 255 && count <= 255, short: 2 + content, full: 8 + content }
    }

    pub(super) fn length(self) -> usize {
        if self.small { self.short } else { self.full }
    }
}
