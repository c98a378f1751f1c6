//! Constructor octets (AMQP 1.0 part 1, 1.2 and 1.6), and the table of primitive encodings.

use super::schema::{Encoding, Primitive};

pub(crate) const DESCRIBED: u8 = 0x00;
pub(crate) const NULL: u8 = 0x40;
pub(crate) const TRUE: u8 = 0x41;
pub(crate) const FALSE: u8 = 0x42;
pub(crate) const UINT0: u8 = 0x43;
pub(crate) const ULONG0: u8 = 0x44;
pub(crate) const LIST0: u8 = 0x45;
pub(crate) const UBYTE: u8 = 0x50;
pub(crate) const BYTE: u8 = 0x51;
pub(crate) const SMALLUINT: u8 = 0x52;
pub(crate) const SMALLULONG: u8 = 0x53;
pub(crate) const SMALLINT: u8 = 0x54;
pub(crate) const SMALLLONG: u8 = 0x55;
pub(crate) const BOOLEAN: u8 = 0x56;
pub(crate) const USHORT: u8 = 0x60;
pub(crate) const SHORT: u8 = 0x61;
pub(crate) const UINT: u8 = 0x70;
pub(crate) const INT: u8 = 0x71;
pub(crate) const FLOAT: u8 = 0x72;
pub(crate) const CHAR: u8 = 0x73;
pub(crate) const DECIMAL32: u8 = 0x74;
pub(crate) const ULONG: u8 = 0x80;
pub(crate) const LONG: u8 = 0x81;
pub(crate) const DOUBLE: u8 = 0x82;
pub(crate) const TIMESTAMP: u8 = 0x83;
pub(crate) const DECIMAL64: u8 = 0x84;
pub(crate) const DECIMAL128: u8 = 0x94;
pub(crate) const UUID: u8 = 0x98;
pub(crate) const VBIN8: u8 = 0xa0;
pub(crate) const STR8: u8 = 0xa1;
pub(crate) const SYM8: u8 = 0xa3;
pub(crate) const VBIN32: u8 = 0xb0;
pub(crate) const STR32: u8 = 0xb1;
pub(crate) const SYM32: u8 = 0xb3;
pub(crate) const LIST8: u8 = 0xc0;
pub(crate) const MAP8: u8 = 0xc1;
pub(crate) const LIST32: u8 = 0xd0;
pub(crate) const MAP32: u8 = 0xd1;
pub(crate) const ARRAY8: u8 = 0xe0;
pub(crate) const ARRAY32: u8 = 0xf0;

const fn of(name: &'static str, code: u8, category: &'static str, width: u8) -> Encoding {
    Encoding { name: if name.is_empty() { None } else { Some(name) }, code, category, width }
}

/// Every primitive type with every encoding it has.
pub(crate) const PRIMITIVES: &[Primitive] = &[
    Primitive { name: "null", encodings: &[of("", NULL, "fixed", 0)] },
    Primitive {
        name: "boolean",
        encodings: &[of("", BOOLEAN, "fixed", 1), of("true", TRUE, "fixed", 0), of("false", FALSE, "fixed", 0)],
    },
    Primitive { name: "ubyte", encodings: &[of("", UBYTE, "fixed", 1)] },
    Primitive { name: "ushort", encodings: &[of("", USHORT, "fixed", 2)] },
    Primitive {
        name: "uint",
        encodings: &[of("", UINT, "fixed", 4), of("smalluint", SMALLUINT, "fixed", 1), of("uint0", UINT0, "fixed", 0)],
    },
    Primitive {
        name: "ulong",
        encodings: &[
            of("", ULONG, "fixed", 8),
            of("smallulong", SMALLULONG, "fixed", 1),
            of("ulong0", ULONG0, "fixed", 0),
        ],
    },
    Primitive { name: "byte", encodings: &[of("", BYTE, "fixed", 1)] },
    Primitive { name: "short", encodings: &[of("", SHORT, "fixed", 2)] },
    Primitive { name: "int", encodings: &[of("", INT, "fixed", 4), of("smallint", SMALLINT, "fixed", 1)] },
    Primitive { name: "long", encodings: &[of("", LONG, "fixed", 8), of("smalllong", SMALLLONG, "fixed", 1)] },
    Primitive { name: "float", encodings: &[of("ieee-754", FLOAT, "fixed", 4)] },
    Primitive { name: "double", encodings: &[of("ieee-754", DOUBLE, "fixed", 8)] },
    Primitive { name: "decimal32", encodings: &[of("ieee-754", DECIMAL32, "fixed", 4)] },
    Primitive { name: "decimal64", encodings: &[of("ieee-754", DECIMAL64, "fixed", 8)] },
    Primitive { name: "decimal128", encodings: &[of("ieee-754", DECIMAL128, "fixed", 16)] },
    Primitive { name: "char", encodings: &[of("utf32", CHAR, "fixed", 4)] },
    Primitive { name: "timestamp", encodings: &[of("ms64", TIMESTAMP, "fixed", 8)] },
    Primitive { name: "uuid", encodings: &[of("", UUID, "fixed", 16)] },
    Primitive { name: "binary", encodings: &[of("vbin8", VBIN8, "variable", 1), of("vbin32", VBIN32, "variable", 4)] },
    Primitive {
        name: "string",
        encodings: &[of("str8-utf8", STR8, "variable", 1), of("str32-utf8", STR32, "variable", 4)],
    },
    Primitive { name: "symbol", encodings: &[of("sym8", SYM8, "variable", 1), of("sym32", SYM32, "variable", 4)] },
    Primitive {
        name: "list",
        encodings: &[
            of("list0", LIST0, "fixed", 0),
            of("list8", LIST8, "compound", 1),
            of("list32", LIST32, "compound", 4),
        ],
    },
    Primitive { name: "map", encodings: &[of("map8", MAP8, "compound", 1), of("map32", MAP32, "compound", 4)] },
    Primitive { name: "array", encodings: &[of("array8", ARRAY8, "array", 1), of("array32", ARRAY32, "array", 4)] },
];
