//! Bytes of an attacker: few of them must not take much memory, time or stack.

use std::time::{Duration, Instant};

use bytes::Bytes;
use postroad_codec::v1_0::*;

use super::{decode, encode, hex, refusal};

/// Reads `bytes`, and answers with the result and the most memory that it held at a time.
fn measured<T>(bytes: &Bytes, read: impl Fn(&Bytes) -> Result<T, DecodeError>) -> (Result<T, DecodeError>, u64) {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(read(bytes)));
    (result.unwrap(), info.bytes_max)
}

fn read(bytes: &Bytes) -> Result<Value, DecodeError> {
    Value::decode(&mut Reader::new(bytes))
}

/// `levels` values around a null, each the only element of the next.
fn nested(levels: usize, wrap: impl Fn(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    (0..levels).fold(vec![0x40], |inner, _| wrap(inner))
}

fn sized(code: u8, count: u32, content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len() + 4).unwrap().to_be_bytes();
    [&[code][..], &size, &count.to_be_bytes(), content].concat()
}

type Wrap = fn(Vec<u8>) -> Vec<u8>;

const NESTINGS: [(&str, Wrap); 5] = [
    ("list", |inner| sized(0xd0, 1, &inner)),
    ("map", |inner| sized(0xd1, 2, &[&[0x40][..], &inner].concat())),
    ("described", |inner| [&[0, 0x44][..], &inner].concat()),
    ("descriptor", |inner| [&[0][..], &inner, &[0x44]].concat()),
    ("list in a described value", |inner| [&[0, 0x44][..], &sized(0xd0, 1, &inner)].concat()),
];

#[test]
fn values_nest_as_deep_as_the_limit_and_no_deeper() {
    for (name, wrap) in NESTINGS {
        let per_level = if name.contains(" in ") { 2 } else { 1 };
        let most = usize::from(MAX_DEPTH) / per_level;
        let deepest = nested(most, wrap);
        let value = decode::<Value>(&deepest).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(decode::<Value>(&encode(&value)), Ok(value));
        for levels in [most + 1, 1000, 100_000 / 16] {
            assert_eq!(refusal::<Value>(&nested(levels, wrap)), DecodeErrorKind::TooDeep, "{name} {levels}");
        }
    }
}

#[test]
fn arrays_nest_as_deep_as_the_limit_and_no_deeper() {
    // Behind the constructor of the outer array stands the body of the inner one.
    let arrays = |levels: usize| {
        let body = (1..levels).fold(hex("00000005 00000000 40"), |inner, _| {
            let size = u32::try_from(inner.len() + 5).unwrap().to_be_bytes();
            [&size[..], &1u32.to_be_bytes(), &[0xf0], &inner].concat()
        });
        [&[0xf0][..], &body].concat()
    };
    let value = decode::<Value>(&arrays(usize::from(MAX_DEPTH))).unwrap();
    assert_eq!(decode::<Value>(&encode(&value)), Ok(value));
    for levels in [usize::from(MAX_DEPTH) + 1, 1000] {
        assert_eq!(refusal::<Value>(&arrays(levels)), DecodeErrorKind::TooDeep);
    }
    // An array whose elements are described a thousand times.
    let described = sized(0xf0, 0, &[&[0, 0x44].repeat(1000)[..], &[0x40]].concat());
    assert_eq!(refusal::<Value>(&described), DecodeErrorKind::TooDeep);
}

#[test]
fn delivery_states_nest_no_deeper_either() {
    // A transaction's outcome that is a transaction's outcome ..
    let state =
        nested(1000, |inner| [&hex("005334")[..], &sized(0xd0, 2, &[&hex("a000")[..], &inner].concat())].concat());
    assert_eq!(refusal::<DeliveryState>(&state), DecodeErrorKind::TooDeep);
}

/// The constructors of elements that take no bytes.
const WITHOUT_WIDTH: [u8; 6] = [0x40, 0x41, 0x42, 0x43, 0x44, 0x45];

#[test]
fn ten_bytes_do_not_become_four_thousand_million_elements() {
    for element in WITHOUT_WIDTH {
        for count in [u32::MAX, 1 << 31, MAX_ZERO_WIDTH + 1] {
            let bomb = Bytes::from(sized(0xf0, count, &[element]));
            let (result, memory) = measured(&bomb, read);
            assert_eq!(result.unwrap_err().kind, DecodeErrorKind::TooManyElements(count));
            assert!(memory < 1024, "{memory} bytes");
        }
        let most = sized(0xf0, MAX_ZERO_WIDTH, &[element]);
        let Ok(Value::Array(array)) = decode::<Value>(&most) else { panic!("0x{element:02x} at the limit") };
        assert_eq!(array.elements().len(), MAX_ZERO_WIDTH as usize);
    }
    // The same behind a descriptor.
    let bomb = sized(0xf0, u32::MAX, &hex("00 44 40"));
    assert_eq!(refusal::<Value>(&bomb), DecodeErrorKind::TooManyElements(u32::MAX));
}

#[test]
fn the_elements_without_width_of_all_arrays_add_up() {
    let array = sized(0xf0, MAX_ZERO_WIDTH / 2, &[0x45]);
    let (two, three) = (sized(0xd0, 2, &array.repeat(2)), sized(0xd0, 3, &array.repeat(3)));
    assert!(decode::<Value>(&two).is_ok());
    let kind = DecodeErrorKind::TooManyElements(MAX_ZERO_WIDTH / 2);
    assert_eq!(refusal::<Value>(&three), kind);
    // However they are put together: nested, as keys, in a descriptor, across the fields of a composite.
    let list = sized(0xd0, 1, &array);
    assert_eq!(refusal::<Value>(&sized(0xd0, 3, &list.repeat(3))), kind);
    assert_eq!(refusal::<Value>(&sized(0xd1, 4, &list.repeat(4))), kind);
    assert_eq!(refusal::<Value>(&[&[0][..], &array, &two].concat()), kind);
    let inner = sized(0xf0, 3, &[&[0xf0][..], &array[1..].repeat(3)].concat());
    assert_eq!(refusal::<Value>(&inner), kind);
    let rejected = [&hex("005325")[..], &sized(0xd0, 1, &hex("00531d 45"))].concat();
    assert_eq!(refusal::<Rejected>(&rejected), DecodeErrorKind::MissingField("condition"));
    let entry = [&hex("a30161")[..], &array].concat();
    let map = sized(0xd1, 2, &entry);
    let error = [&hex("00531d")[..], &sized(0xd0, 3, &[&hex("a30178 40")[..], &map].concat())].concat();
    let disposition = |error: &[u8]| [&hex("005325")[..], &sized(0xd0, 1, error)].concat();
    assert!(decode::<Rejected>(&disposition(&error)).is_ok());
    let map = sized(0xd1, 6, &entry.repeat(3));
    let error = [&hex("00531d")[..], &sized(0xd0, 3, &[&hex("a30178 40")[..], &map].concat())].concat();
    assert_eq!(refusal::<Rejected>(&disposition(&error)), kind);
    // And across the sections of a message.
    let section = [&hex("005376")[..], &sized(0xd0, 1, &array)].concat();
    let message = Bytes::from(section.repeat(3));
    assert_eq!(Message::from_bytes(&message).unwrap_err().kind, kind);
}

#[test]
fn counts_that_the_bytes_cannot_hold_take_no_memory() {
    for code in [0xd0, 0xd1] {
        for count in [u32::MAX - 1, 1 << 20, 8] {
            let (result, memory) = measured(&sized(code, count, &[0x40; 7]).into(), read);
            assert_eq!(result.unwrap_err().kind, DecodeErrorKind::TooManyElements(count));
            assert!(memory < 1024, "{memory} bytes");
        }
    }
    for element in [0x50, 0x56, 0x98, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0] {
        let (result, memory) = measured(&sized(0xf0, u32::MAX, &[element, 0, 0]).into(), read);
        assert_eq!(result.unwrap_err().kind, DecodeErrorKind::TooManyElements(u32::MAX));
        assert!(memory < 1024, "{memory} bytes");
    }
    for code in [0xb0, 0xb1, 0xb3, 0xd0, 0xd1, 0xf0] {
        let (result, memory) = measured(&[&[code][..], &[0xff; 4], &[0; 20]].concat().into(), read);
        assert_eq!(result.unwrap_err().kind, DecodeErrorKind::Truncated);
        assert!(memory < 1024, "{memory} bytes");
    }
}

/// A list that promises as many elements as there are bytes, in a list that does the same, and so on: what is
/// set aside before the elements are there must not multiply.
#[test]
fn promises_of_nested_lists_do_not_add_up() {
    let bomb = (0..MAX_DEPTH).fold(vec![0x40; 4096], |inner, _| {
        let count = u32::try_from(inner.len()).unwrap();
        sized(0xd0, count, &inner)
    });
    let (result, memory) = measured(&bomb.clone().into(), read);
    assert!(result.is_err());
    assert!(memory < 100 * bomb.len() as u64, "{memory} bytes for {}", bomb.len());
}

/// The memory that valid values take is bounded by a multiple of their bytes.
#[test]
fn memory_is_proportional_to_what_came() {
    let one_kib_of = |unit: &[u8]| {
        let count = 1024 / unit.len();
        sized(0xd0, u32::try_from(count).unwrap(), &unit.repeat(count))
    };
    for unit in ["40", "45", "c00100", "c0020140", "c10100", "004440", "a000", "e0020040", "a10161", "0044c0020140"] {
        let bytes = Bytes::from(one_kib_of(&hex(unit)));
        let (result, memory) = measured(&bytes, read);
        assert!(result.is_ok(), "{unit}: {result:?}");
        assert!(memory < 120 * bytes.len() as u64, "{unit}: {memory} bytes for {}", bytes.len());
    }
}

#[test]
fn encoding_what_nests_deep_takes_no_time_that_explodes() {
    let symbols = Array::new(ValueType::Symbol, vec![Symbol::from_static("leaf").into(); 8]).unwrap();
    let list = |inner: Value| Value::List(vec![inner]);
    let map = |inner: Value| Value::from(Map(vec![(Value::Null, inner)]));
    let array = |inner: Value| Array::new(inner.value_type().unwrap(), vec![inner]).unwrap().into();
    let wraps: [(&str, &dyn Fn(Value) -> Value); 5] = [
        ("lists", &list),
        ("maps", &map),
        ("arrays", &array),
        ("arrays of lists", &|inner| array(list(inner))),
        ("arrays of maps of lists", &|inner| array(map(list(inner)))),
    ];
    for (name, wrap) in wraps {
        let mut value = Value::from(symbols.clone());
        for _ in 0..MAX_DEPTH {
            value = wrap(value);
        }
        // Twice the work a level would be 2^32 steps; a walk for each level is a thousand.
        let start = Instant::now();
        let bytes = encode(&value);
        let took = start.elapsed();
        assert!(took < Duration::from_millis(100), "{name}: {} bytes took {took:?}", bytes.len());
    }
}

#[test]
fn reading_takes_time_in_proportion() {
    // Half a mebibyte in the shapes that are dearest: flat, and with many small maps and arrays.
    for unit in ["40", "c10100", "e0020040", "0044c0020140", "a10161"] {
        let unit = hex(unit);
        let count = (1 << 19) / unit.len();
        let bytes = Bytes::from(sized(0xd0, u32::try_from(count).unwrap(), &unit.repeat(count)));
        let start = Instant::now();
        let value = read(&bytes).unwrap();
        assert_eq!(encode(&value).len(), value.encoded_len());
        assert!(start.elapsed() < Duration::from_secs(5), "{unit:02x?}: {:?}", start.elapsed());
    }
}
