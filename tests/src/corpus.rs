//! AMQP values at the boundaries of their types, each with a name: every type, every change of
//! encoding width, and what is known to have broken other libraries.

use bytes::Bytes;
use postroad_codec::v1_0::{
    Array, Decimal32, Decimal64, Decimal128, Described, Map, Symbol, Timestamp, Uuid, Value, ValueType,
};

/// The values that two peers must agree on.
#[must_use]
pub fn values() -> Vec<(&'static str, Value)> {
    let mut all = scalars();
    all.extend(variable());
    all.extend(compounds());
    all.extend(arrays());
    all.extend(described());
    all
}

fn scalars() -> Vec<(&'static str, Value)> {
    vec![
        ("null", Value::Null),
        ("true", true.into()),
        ("false", false.into()),
        ("ubyte 0", 0u8.into()),
        ("ubyte max", u8::MAX.into()),
        ("ushort 0", 0u16.into()),
        ("ushort max", u16::MAX.into()),
        ("uint 0", 0u32.into()),
        ("uint 1", 1u32.into()),
        ("uint 255", 255u32.into()),
        ("uint 256", 256u32.into()),
        ("uint max", u32::MAX.into()),
        ("ulong 0", 0u64.into()),
        ("ulong 255", 255u64.into()),
        ("ulong 256", 256u64.into()),
        ("ulong 2^53 + 1", ((1u64 << 53) + 1).into()),
        ("ulong 2^63", (1u64 << 63).into()),
        ("ulong max", u64::MAX.into()),
        ("byte min", i8::MIN.into()),
        ("byte -1", (-1i8).into()),
        ("byte max", i8::MAX.into()),
        ("short min", i16::MIN.into()),
        ("short max", i16::MAX.into()),
        ("int min", i32::MIN.into()),
        ("int -129", (-129i32).into()),
        ("int -128", (-128i32).into()),
        ("int -1", (-1i32).into()),
        ("int 0", 0i32.into()),
        ("int 127", 127i32.into()),
        ("int 128", 128i32.into()),
        ("int max", i32::MAX.into()),
        ("long min", i64::MIN.into()),
        ("long -129", (-129i64).into()),
        ("long -128", (-128i64).into()),
        ("long 0", 0i64.into()),
        ("long 127", 127i64.into()),
        ("long 128", 128i64.into()),
        ("long 2^53 + 1", ((1i64 << 53) + 1).into()),
        ("long max", i64::MAX.into()),
        ("float 0", 0f32.into()),
        ("float -0", (-0f32).into()),
        ("float 0.1", 0.1f32.into()),
        ("float smallest", f32::from_bits(1).into()),
        ("float max", f32::MAX.into()),
        ("float infinity", f32::INFINITY.into()),
        ("float nan", f32::NAN.into()),
        ("double -0", (-0f64).into()),
        ("double 0.1", 0.1f64.into()),
        ("double smallest", f64::from_bits(1).into()),
        ("double max", f64::MAX.into()),
        ("double -infinity", f64::NEG_INFINITY.into()),
        ("double nan", f64::NAN.into()),
        ("decimal32", Decimal32([0x22, 0x50, 0x00, 0x01]).into()),
        ("decimal32 ones", Decimal32([0xff; 4]).into()),
        ("decimal64", Decimal64([0x22, 0x34, 0, 0, 0, 0, 0, 0x01]).into()),
        ("decimal64 ones", Decimal64([0xff; 8]).into()),
        ("decimal128", Decimal128([0x22, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01]).into()),
        ("decimal128 ones", Decimal128([0xff; 16]).into()),
        ("char U+0000", '\0'.into()),
        ("char a", 'a'.into()),
        ("char U+D7FF", '\u{d7ff}'.into()),
        ("char U+10FFFF", '\u{10ffff}'.into()),
        ("timestamp 0", Timestamp(0).into()),
        ("timestamp -1", Timestamp(-1).into()),
        ("timestamp 2023", Timestamp(1_700_000_000_123).into()),
        ("timestamp min", Timestamp(i64::MIN).into()),
        ("timestamp max", Timestamp(i64::MAX).into()),
        ("uuid nil", Uuid::nil().into()),
        ("uuid", Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0eff).into()),
    ]
}

fn variable() -> Vec<(&'static str, Value)> {
    let symbol = |text: String| Value::from(Symbol::new(text).expect("the text is ASCII"));
    vec![
        ("binary empty", Bytes::new().into()),
        ("binary all octets", (0..=255).collect::<Vec<u8>>().into()),
        ("binary 255", vec![0xa5; 255].into()),
        ("binary 70000", vec![0x5a; 70_000].into()),
        ("string empty", "".into()),
        ("string ascii", "hello".into()),
        ("string with U+0000", "a\0b".into()),
        ("string 1 to 4 bytes a character", "aé€𝄞".into()),
        ("string 255", "x".repeat(255).into()),
        ("string 256", "x".repeat(256).into()),
        ("symbol empty", symbol(String::new())),
        ("symbol", symbol("x-opt-name".into())),
        ("symbol 255", symbol("s".repeat(255))),
        ("symbol 256", symbol("s".repeat(256))),
    ]
}

fn compounds() -> Vec<(&'static str, Value)> {
    let list = |values: Vec<Value>| Value::List(values);
    let map = |entries: Vec<(Value, Value)>| Value::from(Map(entries));
    vec![
        ("list empty", list(vec![])),
        ("list of each kind", list(vec![true.into(), 1u8.into(), "s".into(), Bytes::from_static(b"b").into()])),
        ("list with null after non-null", list(vec![1i32.into(), Value::Null, Value::Null])),
        ("list of nulls", list(vec![Value::Null; 3])),
        ("list 255 elements", list((0..255).map(|n: u32| n.into()).collect())),
        ("list 256 elements", list((0..256).map(|n: u32| n.into()).collect())),
        ("list of lists", list(vec![list(vec![]), list(vec![list(vec![0u64.into()])])])),
        ("map empty", map(vec![])),
        ("map in order", map(vec![("z".into(), 1u32.into()), ("a".into(), 2u32.into()), ("m".into(), Value::Null)])),
        (
            "map with keys of each kind",
            map(vec![
                (1u8.into(), "ubyte".into()),
                (1u64.into(), "ulong".into()),
                (1i64.into(), "long".into()),
                (Symbol::from_static("k").into(), "symbol".into()),
                ("k".into(), "string".into()),
                (Uuid::nil().into(), "uuid".into()),
            ]),
        ),
        ("map of maps", map(vec![("m".into(), map(vec![("l".into(), list(vec![1u32.into()]))]))])),
        ("map 200 entries", map((0..200).map(|n: u32| (n.into(), format!("value {n}").into())).collect())),
    ]
}

fn arrays() -> Vec<(&'static str, Value)> {
    let array = |of, elements: Vec<Value>| Value::from(Array::new(of, elements).expect("elements of one type"));
    let ubytes = |bytes: &[u8]| array(ValueType::Ubyte, bytes.iter().map(|b| (*b).into()).collect());
    let names = ["a", "b"].map(|name| Value::from(Symbol::from_static(name))).to_vec();
    let described = Array::described(vec![Symbol::from_static("x:y").into()], ValueType::String, vec!["a".into()]);
    vec![
        ("array of boolean", array(ValueType::Boolean, vec![true.into(), false.into()])),
        ("array of ubyte", ubytes(&[0, 127, 255])),
        ("array of ushort", array(ValueType::Ushort, vec![u16::MAX.into()])),
        ("array of uint, small and large", array(ValueType::Uint, vec![0u32.into(), 255u32.into(), u32::MAX.into()])),
        ("array of uint, small", array(ValueType::Uint, vec![0u32.into(), 255u32.into()])),
        ("array of ulong", array(ValueType::Ulong, vec![0u64.into(), u64::MAX.into()])),
        ("array of byte", array(ValueType::Byte, vec![i8::MIN.into()])),
        ("array of short", array(ValueType::Short, vec![i16::MIN.into()])),
        ("array of int", array(ValueType::Int, vec![(-1i32).into(), i32::MAX.into()])),
        ("array of long", array(ValueType::Long, vec![(-1i64).into(), i64::MIN.into()])),
        ("array of float", array(ValueType::Float, vec![0.5f32.into()])),
        ("array of double", array(ValueType::Double, vec![0.5f64.into()])),
        ("array of decimal32", array(ValueType::Decimal32, vec![Decimal32([1, 2, 3, 4]).into()])),
        ("array of decimal64", array(ValueType::Decimal64, vec![Decimal64([7; 8]).into()])),
        ("array of decimal128", array(ValueType::Decimal128, vec![Decimal128([9; 16]).into()])),
        ("array of char", array(ValueType::Char, vec!['\0'.into(), '€'.into()])),
        ("array of timestamp", array(ValueType::Timestamp, vec![Timestamp(-1).into()])),
        ("array of uuid", array(ValueType::Uuid, vec![Uuid::nil().into()])),
        ("array of binary", array(ValueType::Binary, vec![Bytes::new().into(), vec![0u8; 300].into()])),
        ("array of string", array(ValueType::String, vec!["".into(), "long ".repeat(60).into()])),
        ("array of symbol", array(ValueType::Symbol, names)),
        ("array of list", array(ValueType::List, vec![Value::List(vec![]), Value::List(vec![1u8.into()])])),
        ("array of map", array(ValueType::Map, vec![Map(vec![("k".into(), 1u8.into())]).into()])),
        ("array of arrays", array(ValueType::Array, vec![ubytes(&[]), ubytes(&[1, 2])])),
        ("array of null", array(ValueType::Null, vec![Value::Null; 2])),
        ("array empty", array(ValueType::Uint, vec![])),
        ("array of described", described.expect("elements of one type").into()),
    ]
}

fn described() -> Vec<(&'static str, Value)> {
    let of = |descriptor: Value, value: Value| Value::from(Described { descriptor, value });
    vec![
        (
            "described by a symbol",
            of(Symbol::from_static("x:point").into(), Value::List(vec![1i32.into(), 2i32.into()])),
        ),
        ("described by a small ulong", of(5u64.into(), "five".into())),
        ("described by a ulong of a vendor", of(0x0000_468c_0000_0004_u64.into(), "selector".into())),
        ("described by a string", of("text".into(), 1u8.into())),
        ("described null", of(Symbol::from_static("x:none").into(), Value::Null)),
        ("described described", of(1u64.into(), of(2u64.into(), true.into()))),
    ]
}
