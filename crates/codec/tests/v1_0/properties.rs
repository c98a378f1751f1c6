//! What holds for all values.

use postroad_codec::v1_0::*;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};

use super::samples::{Sample, for_every_composite};
use super::{arbitrary, decode, encode, list_of, views};

fn run<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value) -> TestCaseResult) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config).run(strategy, test).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn what_is_written_reads_back() {
    run(2000, &arbitrary::value(), |value| {
        let bytes = encode(&value);
        prop_assert_eq!(decode::<Value>(&bytes), Ok(value));
        Ok(())
    });
}

#[test]
fn every_prefix_of_a_value_is_refused() {
    run(300, &arbitrary::value(), |value| {
        let bytes = encode(&value);
        for length in 0..bytes.len() {
            prop_assert!(decode::<Value>(&bytes[..length]).is_err(), "{} of {:02x?}", length, bytes);
        }
        Ok(())
    });
}

#[test]
fn values_are_printed_whatever_they_are() {
    run(300, &arbitrary::value(), |value| {
        prop_assert!(!value.to_string().is_empty());
        Ok(())
    });
}

/// Fields are drawn by the rows of the tables and written as a plain list: what the typed codec makes of
/// them, and what it leaves out, must be what the rows say.
#[test]
fn composites_agree_with_their_rows() {
    fn check<T: Sample>() {
        run(100, &arbitrary::fields(T::SCHEMA), |fields| {
            let value = decode::<T>(&list_of(T::SCHEMA.code, fields.clone())).unwrap();
            let bytes = encode(&value);
            prop_assert_eq!(decode::<T>(&bytes), Ok(value));
            let Ok(Value::Described(described)) = decode::<Value>(&bytes) else { panic!("not described") };
            let Value::List(mut written) = described.value else { panic!("no list") };
            prop_assert_ne!(written.last(), Some(&Value::Null));
            written.resize(fields.len(), Value::Null);
            for ((before, after), row) in fields.iter().zip(&written).zip(T::SCHEMA.fields) {
                let same = match (before, after) {
                    // A default is not written.
                    (_, Value::Null) if row.default.is_some() => true,
                    // No values, and one value, have a form of their own.
                    (Value::Array(array), Value::Null) if row.multiple => array.elements().is_empty(),
                    (Value::Array(array), one) if row.multiple && array.elements().len() == 1 => {
                        array.elements() == std::slice::from_ref(one)
                    }
                    // Composites within have rows of their own.
                    (Value::Described(before), Value::Described(after)) => before.descriptor == after.descriptor,
                    (before, after) => before == after,
                };
                prop_assert!(same, "{}: {} became {}", row.name, before, after);
            }
            Ok(())
        });
    }
    for_every_composite!(check);
}

#[test]
fn messages_survive_and_their_sections_agree() {
    run(500, &arbitrary::message(), |message| {
        let bytes = message.to_bytes();
        prop_assert_eq!(bytes.len(), message.encoded_len());
        prop_assert_eq!(Message::from_bytes(&bytes), Ok(message.clone()));
        let sections = Sections::find(bytes.clone()).unwrap();
        prop_assert_eq!(sections.encoded(), &bytes);
        prop_assert_eq!(sections.header().unwrap(), message.header);
        prop_assert_eq!(sections.delivery_annotations().unwrap(), message.delivery_annotations);
        prop_assert_eq!(sections.message_annotations().unwrap(), message.message_annotations);
        prop_assert_eq!(sections.properties().unwrap(), message.properties.as_deref().cloned());
        prop_assert_eq!(sections.application_properties().unwrap(), message.application_properties);
        prop_assert_eq!(sections.body().unwrap(), message.body);
        prop_assert_eq!(sections.footer().unwrap(), message.footer);
        Ok(())
    });
}

#[test]
fn views_of_messages_agree() {
    run(500, &arbitrary::message(), |message| {
        views::agree(&message.to_bytes());
        Ok(())
    });
}

/// Room is made once: what is written fills it to the byte, so nothing was moved on the way.
#[test]
fn encoding_allocates_once() {
    run(200, &arbitrary::message(), |message| {
        let mut bytes = None;
        let info = allocation_counter::measure(|| bytes = Some(message.to_bytes()));
        let length = bytes.map_or(0, |bytes| bytes.len());
        prop_assert!(info.count_total <= 1, "{} allocations", info.count_total);
        prop_assert_eq!(info.bytes_total as usize, length);
        Ok(())
    });
}

#[test]
fn nothing_that_is_read_makes_the_reader_panic() {
    run(3000, &proptest::collection::vec(any::<u8>(), 0..64), |bytes| {
        let _ = decode::<Value>(&bytes);
        let _ = decode::<Performative>(&bytes);
        let _ = decode::<SaslFrame>(&bytes);
        let _ = Frame::decode(&bytes.clone().into());
        let _ = Message::from_bytes(&bytes.clone().into());
        let _ = Sections::find(bytes.into());
        Ok(())
    });
}
