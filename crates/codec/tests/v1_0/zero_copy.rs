//! What is read from shared bytes is a slice of them; what is read from a slice is a copy.

use bytes::Bytes;
use postroad_codec::v1_0::*;

use super::decode;
use super::samples::Sample;

/// Whether `part` lies in `whole`, by address.
fn lies_in(part: &[u8], whole: &[u8]) -> bool {
    !part.is_empty()
        && whole.as_ptr_range().contains(&part.as_ptr())
        && part.as_ptr_range().end <= whole.as_ptr_range().end
}

fn shared(value: &impl Encode) -> Bytes {
    let mut out = Vec::new();
    value.encode(&mut out);
    out.into()
}

#[test]
fn the_payload_of_a_transfer() {
    let mut out = Vec::new();
    Frame::put_amqp(0, &Transfer::full(), b"payload", &mut out);
    let frame = Bytes::from(out);
    let Ok(Frame::Amqp { payload, .. }) = Frame::decode(&frame) else { panic!("no frame") };
    assert_eq!(payload, "payload");
    assert_eq!(payload.as_ptr_range(), frame[frame.len() - 7..].as_ptr_range());
}

#[test]
fn binaries_strings_and_symbols() {
    let list = Value::List(vec![b"binary".to_vec().into(), "string".into(), Symbol::from_static("symbol").into()]);
    let source = shared(&list);
    let Ok(Value::List(values)) = Value::decode(&mut Reader::new(&source)) else { panic!("no list") };
    for value in &values {
        let bytes = match value {
            Value::Binary(bytes) => &bytes[..],
            other => other.as_str().unwrap().as_bytes(),
        };
        assert!(lies_in(bytes, &source), "{value:?} was copied");
    }
    let Ok(Value::List(copies)) = decode::<Value>(&source) else { panic!("no list") };
    assert_eq!(copies, values);
    let Value::Binary(copy) = &copies[0] else { panic!("no binary") };
    assert!(!lies_in(copy, &source));
}

#[test]
fn fields_of_performatives() {
    let source = shared(&Attach::full());
    let attach = Attach::decode(&mut Reader::new(&source)).unwrap();
    assert!(lies_in(attach.name.as_bytes(), &source));
    let address = attach.source.unwrap().address.unwrap();
    assert!(lies_in(address.as_bytes(), &source));
    assert!(lies_in(attach.desired_capabilities[1].as_bytes(), &source));
}

#[test]
fn bodies_of_messages() {
    let message = Message::from(vec![7u8; 1000]);
    let source = message.to_bytes();
    let sections = Sections::find(source.clone()).unwrap();
    for body in [Message::from_bytes(&source).unwrap().body, sections.body().unwrap()] {
        let Body::Data(data) = body else { panic!("no data") };
        assert_eq!(data.as_ptr_range(), source[source.len() - 1000..].as_ptr_range());
    }
    assert_eq!(sections.encoded().as_ptr(), source.as_ptr());
}
