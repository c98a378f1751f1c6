//! Every prefix and every changed byte of something valid.

use bytes::Bytes;
use postroad_codec::v1_0::*;

use super::encode;
use super::samples::{Sample, for_every_composite, messages, performatives, sasl_frames};

/// Calls `read` with every prefix, which it must refuse, and with every byte changed, where anything but a
/// panic is right; what it does read must be writable.
fn torture(bytes: &[u8], read: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    assert!(read(bytes).is_some());
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_none(), "{length} of {bytes:02x?}");
    }
    mutate(bytes, |changed| drop(read(changed)));
}

fn mutate(bytes: &[u8], read: impl Fn(&[u8])) {
    let mut changed = bytes.to_vec();
    for index in 0..bytes.len() {
        for octet in 0..=255 {
            changed[index] = octet;
            read(&changed);
        }
        changed[index] = bytes[index];
    }
}

fn value<T: Encode + Decode>(bytes: &[u8]) -> Option<Vec<u8>> {
    super::decode::<T>(bytes).ok().map(|value| encode(&value))
}

#[test]
fn composites() {
    fn check<T: Sample>() {
        torture(&encode(&T::full()), value::<T>);
    }
    for_every_composite!(check);
}

#[test]
fn performatives_and_sasl_frames() {
    for performative in performatives() {
        torture(&encode(&performative), value::<Performative>);
    }
    for frame in sasl_frames() {
        torture(&encode(&frame), value::<SaslFrame>);
    }
}

#[test]
fn frames() {
    let read =
        |bytes: &[u8]| Frame::decode(&Bytes::copy_from_slice(bytes)).ok().map(|frame| frame.to_string().into_bytes());
    let mut out = Vec::new();
    Frame::put_amqp(1, &Transfer::full(), b"payload", &mut out);
    torture(&out, read);
    out.clear();
    Frame::put_amqp(0, &Open::full(), &[], &mut out);
    torture(&out, read);
    out.clear();
    Frame::put_empty(&mut out);
    torture(&out, read);
    out.clear();
    Frame::put_sasl(&SaslFrame::Init(SaslInit::full()), &mut out);
    torture(&out, read);
}

#[test]
fn messages_cut_at_every_byte() {
    for message in messages() {
        let bytes = message.to_bytes();
        // Where a section ends, a shorter message does.
        let mut ends = vec![0];
        let mut end = |length: usize| ends.push(ends.last().unwrap() + length);
        message.header.as_ref().map(Encode::encoded_len).map(&mut end);
        message.delivery_annotations.as_ref().map(Encode::encoded_len).map(&mut end);
        message.message_annotations.as_ref().map(Encode::encoded_len).map(&mut end);
        message.properties.as_ref().map(Encode::encoded_len).map(&mut end);
        message.application_properties.as_ref().map(Encode::encoded_len).map(&mut end);
        match &message.body {
            Body::DataSections(sections) => {
                sections.iter().for_each(|data| end(Body::Data(data.clone()).encoded_len()));
            }
            Body::Sequences(sections) => {
                sections.iter().for_each(|list| end(Body::Sequence(list.clone()).encoded_len()));
            }
            body => end(body.encoded_len()),
        }
        for length in 0..bytes.len() {
            let part = bytes.slice(..length);
            let read = Message::from_bytes(&part);
            assert_eq!(read.is_ok(), ends.contains(&length), "{length} of {bytes:?}: {read:?}");
            assert_eq!(Sections::find(part).is_ok(), read.is_ok());
        }
    }
}

#[test]
fn messages_with_every_byte_changed() {
    for message in messages() {
        mutate(&message.to_bytes(), |changed| {
            let changed = Bytes::copy_from_slice(changed);
            let sections = Sections::find(changed.clone());
            if let Ok(message) = Message::from_bytes(&changed) {
                // Formats of numbers that do not equal themselves are not in the corpus, but a byte makes them.
                let again = sections.unwrap().message().unwrap();
                assert_eq!(encode(&again), encode(&message));
            }
        });
    }
}

#[test]
fn values() {
    let list = Value::List(vec![
        Value::described(Symbol::from_static("x"), 1i64),
        Array::new(ValueType::Array, vec![Array::new(ValueType::Uint, vec![300u32.into()]).unwrap().into()])
            .unwrap()
            .into(),
        Array::described(vec![5u64.into()], ValueType::String, vec!["a".into(), "b".into()]).unwrap().into(),
        Map(vec![("k".into(), vec![1u8].into()), (Value::Null, 'c'.into())]).into(),
        1.5f64.into(),
    ]);
    torture(&encode(&list), value::<Value>);
    torture(&encode(&Value::List(vec![list; 3])), value::<Value>);
}
