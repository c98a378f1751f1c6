//! Lists, maps, arrays and described values.

use bytes::Bytes;
use postroad_codec::v1_0::{
    Array, Decimal32, Decimal64, Decimal128, DecodeErrorKind, Map, Symbol, Timestamp, Uuid, Value, ValueType,
};

use super::{decode, encode, hex, refusal};

fn array(of: ValueType, elements: Vec<Value>) -> Value {
    Array::new(of, elements).unwrap().into()
}

fn read(digits: &str) -> Value {
    decode(&hex(digits)).unwrap_or_else(|error| panic!("{digits}: {error}"))
}

#[test]
fn lists_change_their_form_with_their_size_and_with_their_count() {
    // 254 bytes of content are the most that list8 holds: the size counts the count.
    for (elements, head) in [(254, "c0 ff fe"), (255, "d0 00000103 000000ff")] {
        let list = Value::List(vec![Value::Null; elements]);
        let bytes = encode(&list);
        assert_eq!(bytes, [hex(head), vec![0x40; elements]].concat());
        assert_eq!(decode::<Value>(&bytes), Ok(list));
    }
    for (length, head) in [(252, "c0 ff 01 a1 fc"), (253, "d0 00000103 00000001 a1 fd")] {
        let list = Value::List(vec!["x".repeat(length).into()]);
        assert_eq!(encode(&list), [hex(head), vec![b'x'; length]].concat());
        assert_eq!(decode::<Value>(&encode(&list)), Ok(list));
    }
}

#[test]
fn nulls_behind_other_values_stay_in_a_list() {
    let list = Value::List(vec![1i32.into(), Value::Null, Value::Null]);
    assert_eq!(encode(&list), hex("c0 05 03 5401 40 40"));
    assert_eq!(read("c0 05 03 5401 40 40"), list);
}

#[test]
fn maps_keep_their_order_and_their_duplicates() {
    let entries = |keys: &[&str]| keys.iter().zip(1u32..).map(|(key, n)| (*key, n)).collect::<Map>();
    let map = entries(&["z", "a", "m", "a"]);
    let bytes = hex("c1 15 08 a1017a 5201 a10161 5202 a1016d 5203 a10161 5204");
    assert_eq!(encode(&map), bytes);
    assert_eq!(decode::<Map>(&bytes), Ok(map.clone()));
    assert_eq!(map.get_str("a"), Some(&2u32.into()));
    assert_eq!(map.get(&"a".into()), Some(&2u32.into()));
}

#[test]
fn maps_change_their_form_with_their_size() {
    for (length, head) in [(251, "c1 ff 02 40 a1 fb"), (252, "d1 00000103 00000002 40 a1 fc")] {
        let map: Map = [(Value::Null, Value::from("x".repeat(length)))].into_iter().collect();
        assert_eq!(encode(&map), [hex(head), vec![b'x'; length]].concat());
        assert_eq!(decode::<Map>(&encode(&map)), Ok(map));
    }
    let map: Map = (0..128u32).map(|_| (Value::Null, Value::Null)).collect();
    assert_eq!(encode(&map)[..9], hex("d1 00000104 00000100"));
    assert_eq!(decode::<Map>(&encode(&map)), Ok(map));
}

#[test]
fn a_key_without_a_value_is_refused() {
    assert_eq!(refusal::<Value>(&hex("c1 02 01 40")), DecodeErrorKind::OddMap(1));
    assert_eq!(refusal::<Value>(&hex("d1 00000007 00000003 40 40 40")), DecodeErrorKind::OddMap(3));
}

#[test]
fn sizes_and_counts_that_disagree_are_refused() {
    assert_eq!(refusal::<Value>(&hex("c0 03 01 40 40")), DecodeErrorKind::TrailingBytes(1));
    assert_eq!(refusal::<Value>(&hex("c0 03 03 40 40")), DecodeErrorKind::TooManyElements(3));
    assert_eq!(refusal::<Value>(&hex("c0 03 02 40 54")), DecodeErrorKind::Truncated);
    assert_eq!(refusal::<Value>(&hex("c0 00")), DecodeErrorKind::Truncated);
    assert_eq!(refusal::<Value>(&hex("d0 00000003 000000")), DecodeErrorKind::Truncated);
    assert_eq!(refusal::<Value>(&hex("e0 03 01 50")), DecodeErrorKind::Truncated);
    assert_eq!(refusal::<Value>(&hex("e0 04 01 50 00 00")), DecodeErrorKind::TrailingBytes(1));
    assert_eq!(refusal::<Value>(&hex("e0 01 01")), DecodeErrorKind::Truncated);
}

/// Two elements behind every constructor that an array can have.
#[test]
fn arrays_of_every_constructor() {
    use ValueType as T;
    let symbol = |text: &'static str| Value::from(Symbol::from_static(text));
    let cases: Vec<(&str, T, [Value; 2])> = vec![
        ("40", T::Null, [Value::Null, Value::Null]),
        ("41", T::Boolean, [true.into(), true.into()]),
        ("42", T::Boolean, [false.into(), false.into()]),
        ("56 01 00", T::Boolean, [true.into(), false.into()]),
        ("50 00 ff", T::Ubyte, [0u8.into(), 255u8.into()]),
        ("60 0000 ffff", T::Ushort, [0u16.into(), u16::MAX.into()]),
        ("43", T::Uint, [0u32.into(), 0u32.into()]),
        ("52 00 ff", T::Uint, [0u32.into(), 255u32.into()]),
        ("70 00000000 ffffffff", T::Uint, [0u32.into(), u32::MAX.into()]),
        ("44", T::Ulong, [0u64.into(), 0u64.into()]),
        ("53 01 ff", T::Ulong, [1u64.into(), 255u64.into()]),
        ("80 0000000000000001 8000000000000000", T::Ulong, [1u64.into(), (1u64 << 63).into()]),
        ("51 80 7f", T::Byte, [i8::MIN.into(), i8::MAX.into()]),
        ("61 8000 7fff", T::Short, [i16::MIN.into(), i16::MAX.into()]),
        ("54 80 7f", T::Int, [(-128i32).into(), 127i32.into()]),
        ("71 80000000 00000001", T::Int, [i32::MIN.into(), 1i32.into()]),
        ("55 80 7f", T::Long, [(-128i64).into(), 127i64.into()]),
        ("81 8000000000000000 0000000000000001", T::Long, [i64::MIN.into(), 1i64.into()]),
        ("72 00000000 3f800000", T::Float, [0f32.into(), 1f32.into()]),
        ("82 0000000000000000 3ff0000000000000", T::Double, [0f64.into(), 1f64.into()]),
        ("74 01020304 05060708", T::Decimal32, [Decimal32([1, 2, 3, 4]).into(), Decimal32([5, 6, 7, 8]).into()]),
        ("84 0101010101010101 0202020202020202", T::Decimal64, [Decimal64([1; 8]).into(), Decimal64([2; 8]).into()]),
        (
            "94 01010101010101010101010101010101 02020202020202020202020202020202",
            T::Decimal128,
            [Decimal128([1; 16]).into(), Decimal128([2; 16]).into()],
        ),
        ("73 00000000 0010ffff", T::Char, ['\0'.into(), char::MAX.into()]),
        ("83 0000000000000001 ffffffffffffffff", T::Timestamp, [Timestamp(1).into(), Timestamp(-1).into()]),
        (
            "98 00000000000000000000000000000000 ffffffffffffffffffffffffffffffff",
            T::Uuid,
            [Uuid::nil().into(), Uuid::max().into()],
        ),
        ("a0 00 01aa", T::Binary, [Bytes::new().into(), vec![0xaa].into()]),
        ("b0 00000000 00000001aa", T::Binary, [Bytes::new().into(), vec![0xaa].into()]),
        ("a1 00 0161", T::String, ["".into(), "a".into()]),
        ("b1 00000000 0000000161", T::String, ["".into(), "a".into()]),
        ("a3 0161 0162", T::Symbol, [symbol("a"), symbol("b")]),
        ("b3 0000000161 0000000162", T::Symbol, [symbol("a"), symbol("b")]),
        ("45", T::List, [Value::List(vec![]), Value::List(vec![])]),
        ("c0 0100 020140", T::List, [Value::List(vec![]), Value::List(vec![Value::Null])]),
        ("d0 0000000400000000 000000050000000140", T::List, [Value::List(vec![]), Value::List(vec![Value::Null])]),
        ("c1 0100 0302 40 41", T::Map, [Map::default().into(), Map(vec![(Value::Null, true.into())]).into()]),
        (
            "d1 0000000400000000 0000000600000002 40 41",
            T::Map,
            [Map::default().into(), Map(vec![(Value::Null, true.into())]).into()],
        ),
        ("e0 020050 040250 0102", T::Array, [array(T::Ubyte, vec![]), array(T::Ubyte, vec![1u8.into(), 2u8.into()])]),
        (
            "f0 000000050000000050 0000000600000001 50 01",
            T::Array,
            [array(T::Ubyte, vec![]), array(T::Ubyte, vec![1u8.into()])],
        ),
    ];
    let mut constructors = std::collections::BTreeSet::new();
    for (content, of, elements) in cases {
        let content = hex(content);
        constructors.insert(content[0]);
        let expected = array(of, elements.to_vec());
        let short = [vec![0xe0, content.len() as u8 + 1, 2], content.clone()].concat();
        let long = [hex("f0 000000"), vec![content.len() as u8 + 4, 0, 0, 0, 2], content.clone()].concat();
        assert_eq!(decode::<Value>(&short).as_ref(), Ok(&expected), "{content:02x?}");
        assert_eq!(decode::<Value>(&long).as_ref(), Ok(&expected), "{content:02x?}");
        let written = encode(&expected);
        assert_eq!(decode::<Value>(&written), Ok(expected), "{content:02x?}");
    }
    let all = postroad_codec::v1_0::schema::PRIMITIVES.iter().flat_map(|one| one.encodings).map(|one| one.code);
    assert_eq!(constructors, all.collect());
}

#[test]
fn arrays_are_written_with_the_narrowest_constructor_that_fits_every_element() {
    let uints = |numbers: &[u32]| array(ValueType::Uint, numbers.iter().map(|n| (*n).into()).collect());
    assert_eq!(encode(&uints(&[0, 255])), hex("e0 04 02 52 00 ff"));
    assert_eq!(encode(&uints(&[0, 256])), hex("e0 0a 02 70 00000000 00000100"));
    let strings = array(ValueType::String, vec!["a".into(), "b".repeat(256).into()]);
    assert_eq!(encode(&strings)[..15], hex("f0 0000010e 00000002 b1 00000001 61"));
    assert_eq!(decode::<Value>(&encode(&strings)), Ok(strings));
}

#[test]
fn arrays_change_their_form_with_their_size_and_their_count() {
    let ubytes = |count| array(ValueType::Ubyte, vec![7u8.into(); count]);
    // The size counts the count and the constructor.
    for (count, head) in [(253, "e0 ff fd 50"), (254, "f0 00000103 000000fe 50")] {
        assert_eq!(encode(&ubytes(count)), [hex(head), vec![7; count]].concat());
        assert_eq!(decode::<Value>(&encode(&ubytes(count))), Ok(ubytes(count)));
    }
    // Elements without width: the count alone makes the difference.
    for (count, bytes) in [(255, "e0 02 ff 40"), (256, "f0 00000005 00000100 40")] {
        let nulls = array(ValueType::Null, vec![Value::Null; count]);
        assert_eq!(encode(&nulls), hex(bytes));
        assert_eq!(decode::<Value>(&encode(&nulls)), Ok(nulls));
    }
}

#[test]
fn empty_arrays_keep_their_type() {
    for primitive in postroad_codec::v1_0::schema::PRIMITIVES {
        for encoding in primitive.encodings {
            let Value::Array(read) = decode::<Value>(&[0xe0, 2, 0, encoding.code]).unwrap() else {
                panic!("no array");
            };
            assert_eq!(read.element_type().name(), primitive.name);
            assert!(read.elements().is_empty());
            let value = Value::Array(read);
            assert_eq!(decode::<Value>(&encode(&value)), Ok(value));
        }
    }
}

#[test]
fn an_empty_array_may_lack_the_constructor_of_its_elements() {
    let empty = array(ValueType::Null, vec![]);
    for bytes in ["e0 01 00", "f0 00000004 00000000"] {
        assert_eq!(read(bytes), empty, "{bytes}");
    }
    // What follows is read as it is.
    assert_eq!(read("c0 06 02 e0 01 00 50 07"), Value::List(vec![empty.clone(), 7u8.into()]));
    assert_eq!(read("e0 07 02 e0 0100 020040"), array(ValueType::Array, vec![empty.clone(), empty.clone()]));
    // Ours has one.
    assert_eq!(encode(&empty), hex("e0 02 00 40"));
    // With a count there are elements, and no way to read them.
    for bytes in ["e0 01 01", "f0 00000004 00000001", "f0 00000003 000000"] {
        assert_eq!(refusal::<Value>(&hex(bytes)), DecodeErrorKind::Truncated, "{bytes}");
    }
}

#[test]
fn an_array_of_ubyte_is_no_binary() {
    let ubytes = array(ValueType::Ubyte, vec![1u8.into()]);
    assert_eq!(encode(&ubytes), hex("e0 03 01 50 01"));
    assert_ne!(read("e0 03 01 50 01"), read("a0 01 01"));
}

#[test]
fn arrays_of_described_types() {
    let descriptor = Value::from(Symbol::from_static("x"));
    let points = Array::described(vec![descriptor.clone()], ValueType::Int, vec![1i32.into(), 2i32.into()]).unwrap();
    assert_eq!(points.descriptors(), [descriptor]);
    let points = Value::from(points);
    assert_eq!(encode(&points), hex("e0 08 02 00 a30178 54 01 02"));
    assert_eq!(read("e0 08 02 00 a30178 54 01 02"), points);
    // Two descriptors, the outer one first; and the long form.
    let twice = Array::described(vec![1u64.into(), 2u64.into()], ValueType::Ubyte, vec![7u8.into()]).unwrap();
    assert_eq!(encode(&Value::from(twice.clone())), hex("e0 09 01 00 5301 00 5302 50 07"));
    assert_eq!(read("f0 0000000c 00000001 00 5301 00 5302 50 07"), twice.into());
    // The same descriptors around no elements at all are another array than one without descriptors.
    assert_ne!(read("e0 05 00 00 5301 50"), read("e0 02 00 50"));
}

#[test]
fn arrays_take_elements_of_their_type_only() {
    assert_eq!(Array::new(ValueType::Uint, vec![1u32.into(), 1u64.into()]), None);
    assert_eq!(Array::new(ValueType::List, vec![Value::described(1u64, Value::List(vec![]))]), None);
    assert_eq!(refusal::<Value>(&hex("e0 02 00 99")), DecodeErrorKind::Constructor(0x99));
}

#[test]
fn arrays_of_arrays() {
    let inner = |numbers: &[u16]| array(ValueType::Ushort, numbers.iter().map(|n| (*n).into()).collect());
    let nested = array(ValueType::Array, vec![inner(&[]), inner(&[1]), inner(&[2, 3])]);
    let bytes = hex("e0 11 03 e0 020060 0401600001 06026000020003");
    assert_eq!(encode(&nested), bytes);
    assert_eq!(decode::<Value>(&bytes), Ok(nested));
    // One inner array that is too long for its short form widens its brothers.
    let wide = array(ValueType::Array, vec![inner(&[1]), inner(&[2; 200])]);
    assert_eq!(encode(&wide)[..10], hex("f0 000001a9 00000002 f0"));
    assert_eq!(decode::<Value>(&encode(&wide)), Ok(wide));
}

#[test]
fn described_values_with_descriptors_of_any_type() {
    let described = |descriptor: Value, value: Value| Value::described(descriptor, value);
    let cases = [
        ("00 5305 a10166", described(5u64.into(), "f".into())),
        ("00 80 0000468c00000004 41", described(0x0000_468c_0000_0004_u64.into(), true.into())),
        ("00 a30178 40", described(Symbol::from_static("x").into(), Value::Null)),
        ("00 a10174 5001", described("t".into(), 1u8.into())),
        // A described value, and a described descriptor.
        ("00 5301 00 5302 41", described(1u64.into(), described(2u64.into(), true.into()))),
        ("00 00 5301 5302 41", described(described(1u64.into(), 2u64.into()), true.into())),
        ("c0 06 02 00 5301 40 41", Value::List(vec![described(1u64.into(), Value::Null), true.into()])),
    ];
    for (bytes, value) in cases {
        assert_eq!(read(bytes), value);
        assert_eq!(encode(&value), hex(bytes));
    }
    assert_eq!(read("00 80 0000000000000005 a10166"), described(5u64.into(), "f".into()));
}
