//! The values of options: durations, counts, sizes, properties.

use std::str::FromStr;
use std::time::Duration;

use postroad::broker::Overflow;
use postroad::client::types::{Bytes, Symbol, Timestamp, Uuid, Value};

/// The longest duration that is taken: a hundred years, which any clock can add to now.
const MAX_DURATION: f64 = 100.0 * 365.25 * 86_400.0;

/// Reads `10s`, `1m30s`, `1.5h`, `250ms`; a number alone counts seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let bad = || "write a duration as 10s, 1m30s, 250ms or 2h".to_owned();
    let mut rest = text;
    let mut seconds = 0.0;
    if text.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let (number, behind) = number(rest).ok_or_else(bad)?;
        let unit_end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_end);
        seconds += number
            * match unit {
                "us" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                // Alone; behind another part it would be a puzzle.
                "" if rest == text && behind.is_empty() => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return Err(bad()),
            };
        rest = behind;
    }
    if seconds > MAX_DURATION {
        return Err("longer than a hundred years".to_owned());
    }
    // To the microsecond: the parts of a second that have a unit are exact.
    Ok(Duration::from_micros((seconds * 1e6).round() as u64))
}

/// Reads a count of messages: `100`, `10k`, `1.5m`; units are decimal.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    let bad = || "write a count as 100, 10k or 1m".to_owned();
    let (value, unit) = number(text).ok_or_else(bad)?;
    let factor: u64 = match unit {
        "" => 1,
        "k" | "K" => 1_000,
        "m" | "M" => 1_000_000,
        "g" | "G" => 1_000_000_000,
        _ => return Err(bad()),
    };
    scaled(text, value, unit, factor).ok_or_else(bad)
}

/// Reads a size in bytes: `100`, `64KiB`, `1MB`; `k` alone counts 1000.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let bad = || "write a size as 100, 10kB, 64KiB or 1MiB".to_owned();
    let (value, unit) = number(text).ok_or_else(bad)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        _ => return Err(bad()),
    };
    scaled(text, value, unit, factor).ok_or_else(bad)
}

/// The decimal number that a text begins with, and what follows.
fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) || digits.ends_with('.') {
        return None;
    }
    Some((digits.parse().ok()?, rest))
}

/// `value * factor`, exact for whole numbers; `None` where it is no whole number or does not fit.
fn scaled(text: &str, value: f64, unit: &str, factor: u64) -> Option<u64> {
    let digits = &text[..text.len() - unit.len()];
    if let Ok(whole) = digits.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let product = value * factor as f64;
    (product.fract() == 0.0 && product < 9e15).then_some(product as u64)
}

/// A value for one node or, without a name, for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scoped<T> {
    pub(crate) node: Option<String>,
    pub(crate) value: T,
}

/// Reads `value` or `node=value`. A name may have an equals sign in it, a value not.
fn scoped<T>(text: &str, value: impl FnOnce(&str) -> Result<T, String>) -> Result<Scoped<T>, String> {
    let (node, text) = match text.rsplit_once('=') {
        None => (None, text),
        Some(("", _)) => return Err("a name is missing before the =".to_owned()),
        Some((node, text)) => (Some(node.to_owned()), text),
    };
    value(text).map(|value| Scoped { node, value })
}

/// Reads the name of a node.
pub(crate) fn scoped_node(text: &str) -> Result<Scoped<String>, String> {
    scoped(text, |node| if node.is_empty() { Err("write a name".to_owned()) } else { Ok(node.to_owned()) })
}

/// Reads a count from 1.
pub(crate) fn scoped_count(text: &str) -> Result<Scoped<u32>, String> {
    scoped(text, |text| {
        let count = u32::try_from(count(text)?).map_err(|_| "too many".to_owned())?;
        if count == 0 { Err("from 1".to_owned()) } else { Ok(count) }
    })
}

/// Reads what a topic does when a subscriber is slow.
pub(crate) fn scoped_overflow(text: &str) -> Result<Scoped<Overflow>, String> {
    scoped(text, |policy| match policy {
        "hold-back" => Ok(Overflow::HoldBack),
        "drop-oldest" => Ok(Overflow::DropOldest),
        _ => Err("write hold-back or drop-oldest".to_owned()),
    })
}

/// A property from the command line: `color=red`, `size:int=5`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Property {
    pub(crate) name: String,
    pub(crate) value: Value,
}

/// The types that a property can name. Help and hints list them from here.
pub(crate) const TYPES: &str = "string, bool, byte, ubyte, short, ushort, int, uint, long, ulong, float, double, \
                                char, uuid, timestamp, symbol, binary, null";

impl FromStr for Property {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (left, value) = text.split_once('=').ok_or("write a property as name=value or name:type=value")?;
        let (name, kind) = left.rsplit_once(':').unwrap_or((left, "string"));
        if name.is_empty() {
            return Err("a property needs a name, as in color=red".to_owned());
        }
        let value = typed(kind, value)?;
        Ok(Self { name: name.to_owned(), value })
    }
}

fn typed(kind: &str, text: &str) -> Result<Value, String> {
    fn parsed<T: FromStr + Into<Value>>(kind: &str, text: &str) -> Result<Value, String> {
        text.parse::<T>().map(Into::into).map_err(|_| format!("{text:?} is no {kind}"))
    }
    Ok(match kind {
        "string" | "str" => Value::String(text.into()),
        "bool" | "boolean" => parsed::<bool>(kind, text)?,
        "byte" => parsed::<i8>(kind, text)?,
        "ubyte" => parsed::<u8>(kind, text)?,
        "short" => parsed::<i16>(kind, text)?,
        "ushort" => parsed::<u16>(kind, text)?,
        "int" => parsed::<i32>(kind, text)?,
        "uint" => parsed::<u32>(kind, text)?,
        "long" => parsed::<i64>(kind, text)?,
        "ulong" => parsed::<u64>(kind, text)?,
        "float" => parsed::<f32>(kind, text)?,
        "double" => parsed::<f64>(kind, text)?,
        "char" => parsed::<char>(kind, text)?,
        "uuid" => parsed::<Uuid>(kind, text)?,
        "timestamp" => match text.parse() {
            Ok(milliseconds) => Value::Timestamp(Timestamp(milliseconds)),
            Err(_) => return Err(format!("{text:?} is no timestamp: count milliseconds since 1970")),
        },
        "symbol" => Symbol::new(text).map(Value::Symbol).ok_or_else(|| format!("{text:?} is no symbol: use ASCII"))?,
        "binary" => Value::Binary(Bytes::copy_from_slice(text.as_bytes())),
        "null" if text.is_empty() => Value::Null,
        "null" => return Err("null has no value: write name:null=".to_owned()),
        _ => return Err(format!("no type {kind:?} (types are {TYPES}; a name with a colon needs one: a:b:string=c)")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text, millis| assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        check("10s", 10_000);
        check("1m", 60_000);
        check("1m30s", 90_000);
        check("250ms", 250);
        check("1.5h", 5_400_000);
        check("0", 0);
        check("7", 7_000);
        check("1d", 86_400_000);
        for bad in ["", "s", "1x", "-1s", "1s2", "1m30", "1..5s", ".5s", "1e400s", "99999999999h", "1 s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn counts() {
        let check = |text, value| assert_eq!(count(text), Ok(value), "{text}");
        check("0", 0);
        check("100", 100);
        check("10k", 10_000);
        check("1m", 1_000_000);
        check("1.5k", 1_500);
        check("18446744073709551615", u64::MAX);
        for bad in ["", "k", "-1", "1.5", "1kb", "18446744073709551616", "18446744073709551615k", "1.2345k"] {
            assert!(count(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        let check = |text, value| assert_eq!(size(text), Ok(value), "{text}");
        check("100", 100);
        check("100B", 100);
        check("10k", 10_000);
        check("10kB", 10_000);
        check("64KiB", 65_536);
        check("1.5MiB", 1_572_864);
        check("1g", 1_000_000_000);
        for bad in ["", "KiB", "1kibb", "-5", "0.3"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn properties() {
        let check = |text: &str, name: &str, value: Value| {
            assert_eq!(text.parse(), Ok(Property { name: name.to_owned(), value }), "{text}");
        };
        check("color=red", "color", Value::from("red"));
        check("a==b", "a", Value::from("=b"));
        check("k:int=5", "k", Value::Int(5));
        check("k:ulong=18446744073709551615", "k", Value::Ulong(u64::MAX));
        check("k:byte=-128", "k", Value::Byte(-128));
        check("k:bool=true", "k", Value::Boolean(true));
        check("k:double=1.5", "k", Value::Double(1.5));
        check("k:char=x", "k", Value::Char('x'));
        check("k:timestamp=-1", "k", Value::Timestamp(Timestamp(-1)));
        check("k:symbol=s", "k", Value::Symbol(Symbol::from_static("s")));
        check("k:binary=ab", "k", Value::Binary(Bytes::from_static(b"ab")));
        check("k:null=", "k", Value::Null);
        check("urn:x:string=1", "urn:x", Value::from("1"));
        for bad in ["k", "=v", ":int=5", "k:int=x", "k:byte=128", "k:null=1", "urn:x=1", "k:symbol=ä", "k:char=ab"] {
            assert!(bad.parse::<Property>().is_err(), "{bad}");
        }
    }
}
