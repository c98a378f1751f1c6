//! The tables of this codec as data, for whoever wants to hold them against the standard.
//!
//! They are made by the same lines that make the types, so a type cannot differ from its row.

use super::Value;

/// A composite type: a described list with named fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Composite {
    /// The standard's name, such as `transfer`.
    pub name: &'static str,
    /// The symbolic descriptor, such as `amqp:transfer:list`.
    pub descriptor: &'static str,
    /// The numeric descriptor.
    pub code: u64,
    /// The fields in their order.
    pub fields: &'static [Field],
}

/// A field of a composite type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The standard's name, such as `delivery-id`.
    pub name: &'static str,
    /// The standard's name of its type, `*` for any.
    pub ty: &'static str,
    /// What a value of a field of any type must provide.
    pub requires: Option<&'static str>,
    /// Whether it must be there.
    pub mandatory: bool,
    /// Whether it may be one value or an array.
    pub multiple: bool,
    /// The value when it is absent, as the standard writes it.
    pub default: Option<&'static str>,
}

/// A restricted type: another type under a name, with named values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restricted {
    /// The standard's name, such as `role`.
    pub name: &'static str,
    /// The type it restricts.
    pub source: &'static str,
    /// The descriptor, where values of it are described.
    pub descriptor: Option<(&'static str, u64)>,
    /// Named values: name and value, as the standard writes them.
    pub choices: &'static [(&'static str, &'static str)],
}

/// A primitive type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Primitive {
    /// The standard's name, such as `uint`.
    pub name: &'static str,
    /// Its encodings.
    pub encodings: &'static [Encoding],
}

/// An encoding of a primitive type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    /// The standard's name, where it has one.
    pub name: Option<&'static str>,
    /// The constructor octet.
    pub code: u8,
    /// `fixed`, `variable`, `compound` or `array`.
    pub category: &'static str,
    /// Octets of the value, or of its size.
    pub width: u8,
}

/// A named number of the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// The standard's name, such as `MIN-MAX-FRAME-SIZE`.
    pub name: &'static str,
    /// The value, in decimal.
    pub value: &'static str,
}

pub use super::tables::{COMPOSITES, DEFINITIONS, RESTRICTED};

/// Every primitive type.
pub const PRIMITIVES: &[Primitive] = super::code::PRIMITIVES;

/// A described type of the standard: a composite type, or a restricted type that is described, such as `amqp-value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described {
    /// The standard's name, such as `transfer`.
    pub name: &'static str,
    /// The numeric descriptor.
    pub code: u64,
    /// The row of a composite type.
    pub composite: Option<&'static Composite>,
}

/// The described type of the standard that has this descriptor, be it the number or the symbol.
#[must_use]
pub fn described(descriptor: &Value) -> Option<Described> {
    let is = |code: u64, symbol: &str| match descriptor {
        Value::Ulong(found) => code == *found,
        Value::Symbol(found) => symbol == found.as_str(),
        _ => false,
    };
    if let Some(row) = COMPOSITES.iter().find(|row| is(row.code, row.descriptor)) {
        return Some(Described { name: row.name, code: row.code, composite: Some(row) });
    }
    RESTRICTED.iter().find_map(|row| {
        let (symbol, code) = row.descriptor?;
        is(code, symbol).then_some(Described { name: row.name, code, composite: None })
    })
}

/// Whether a field of a described type is a secret of SASL that nobody should see printed: what a client answers in
/// any mechanism but ANONYMOUS. `fields` are those of the type, or the first of them.
#[must_use]
pub fn is_secret(code: u64, index: usize, fields: &[Value]) -> bool {
    match (code, index) {
        (0x41, 1) => fields.first().and_then(Value::as_str) != Some("ANONYMOUS"),
        (0x43, 0) => true,
        _ => false,
    }
}
