//! The bodies of the fuzz targets in `fuzz/`; no part of the API.

use std::fmt::Debug;

use bytes::Bytes;

use crate::v1_0::{
    Body, Decode, DecodeError, DecodeErrorKind, DeliveryState, Encode, Frame, FrameError, FrameHeader, FrameText, Map,
    MapRef, Message, ProtocolHeader, Reader, Sections, Value, ValueRef, outline,
};

/// Splits off a frame, reads it, writes it, reads it back.
///
/// # Panics
/// When a frame does not survive, or an error does not print.
pub fn frame(data: &[u8]) {
    const LIMIT: u32 = 1 << 20;
    match FrameHeader::frame_size(data, LIMIT) {
        Ok(None) => assert!(data.len() < 4),
        Ok(Some(size)) if size <= data.len() => whole_frame(&Bytes::copy_from_slice(&data[..size])),
        Ok(Some(size)) => assert!(size <= LIMIT as usize),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    // The size alone keeps a mutator from the rest: every input is a body as well.
    let mut framed = Vec::with_capacity(FrameHeader::LENGTH + data.len());
    Frame::put_amqp(0, &Raw(data), &[], &mut framed);
    whole_frame(&framed.clone().into());
    framed[5] = 1;
    whole_frame(&framed.into());
}

/// Reads a message in both ways and through views, writes it, reads it back.
///
/// # Panics
/// When the two ways disagree, or a message does not survive.
pub fn message(data: &[u8]) {
    let source = Bytes::copy_from_slice(data);
    let sections = Sections::find(source.clone());
    if let Ok(sections) = &sections {
        views(sections);
    }
    let message = match (Message::from_bytes(&source), &sections) {
        (Ok(message), _) => message,
        (Err(error), Ok(sections)) => {
            // What was passed over is found out by whoever asks for it.
            let read = sections.header().is_err()
                || sections.delivery_annotations().is_err()
                || sections.message_annotations().is_err()
                || sections.properties().is_err()
                || sections.application_properties().is_err()
                || sections.body().is_err()
                || sections.footer().is_err();
            // The allowance for elements without width is the whole message's.
            assert!(read || error.to_string().contains("elements"), "{error} in no section");
            assert_eq!(sections.message(), Err(error));
            return;
        }
        (Err(error), Err(_)) => return assert!(!error.to_string().is_empty()),
    };
    let sections = sections.expect("a message that can be read has sections");
    assert_eq!(sections.encoded(), &source);
    same(&sections.header().unwrap(), &message.header);
    same(&sections.delivery_annotations().unwrap(), &message.delivery_annotations);
    same(&sections.message_annotations().unwrap(), &message.message_annotations);
    same(&sections.properties().unwrap(), &message.properties.as_deref().cloned());
    same(&sections.application_properties().unwrap(), &message.application_properties);
    same(&sections.body().unwrap(), &message.body);
    same(&sections.footer().unwrap(), &message.footer);
    if let Body::Data(data) = &message.body {
        assert!(data.is_empty() || source.as_ptr_range().contains(&data.as_ptr()), "the data was copied");
    }

    let written = message.to_bytes();
    assert_eq!(written.len(), message.encoded_len());
    let again = Message::from_bytes(&written).expect("what was written can be read");
    same(&again, &message);
    assert_eq!(again.to_bytes(), written);
}

/// Holds what the views of a message say against what its owned sections say.
fn views(sections: &Sections) {
    match (sections.properties_ref(), sections.properties()) {
        (Ok(view), Ok(owned)) => {
            assert_eq!(view.is_some(), owned.is_some());
            let (view, owned) = (view.unwrap_or_default(), owned.unwrap_or_default());
            let id = |view: Option<ValueRef<'_>>| view.map(|id| id.to_value().unwrap());
            assert_eq!(id(view.message_id), owned.message_id.map(Value::from));
            assert_eq!(view.user_id, owned.user_id.as_deref());
            assert_eq!(view.to, owned.to.as_deref());
            assert_eq!(view.subject, owned.subject.as_deref());
            assert_eq!(view.reply_to, owned.reply_to.as_deref());
            assert_eq!(id(view.correlation_id), owned.correlation_id.map(Value::from));
            assert_eq!(view.content_type, owned.content_type.as_deref());
            assert_eq!(view.content_encoding, owned.content_encoding.as_deref());
            assert_eq!(view.absolute_expiry_time, owned.absolute_expiry_time);
            assert_eq!(view.creation_time, owned.creation_time);
            assert_eq!(view.group_id, owned.group_id.as_deref());
            assert_eq!(view.group_sequence, owned.group_sequence);
            assert_eq!(view.reply_to_group_id, owned.reply_to_group_id.as_deref());
        }
        (view, owned) => assert_eq!(view.err(), owned.err()),
    }
    let delivery_annotations = sections.delivery_annotations().map(|it| it.map(|it| it.0.0));
    let message_annotations = sections.message_annotations().map(|it| it.map(|it| it.0.0));
    let application_properties = sections.application_properties().map(|it| it.map(|it| it.0));
    let footer = sections.footer().map(|it| it.map(|it| it.0.0));
    map_view(sections.delivery_annotations_ref(), &delivery_annotations);
    map_view(sections.message_annotations_ref(), &message_annotations);
    map_view(sections.application_properties_ref(), &application_properties);
    map_view(sections.footer_ref(), &footer);
    match (sections.data_ref(), sections.body()) {
        (view, Ok(Body::Data(owned))) => assert_eq!(view, Ok(Some(&owned[..]))),
        (view, Ok(_)) => assert_eq!(view, Ok(None)),
        (view, Err(_)) => assert!(!matches!(view, Ok(Some(_)))),
    }
}

fn map_view(view: Result<Option<MapRef<'_>>, DecodeError>, owned: &Result<Option<Map>, DecodeError>) {
    let entries = |view: MapRef<'_>| {
        view.iter().map(|entry| entry.and_then(|(key, value)| Ok((key.to_value()?, value.to_value()?)))).collect()
    };
    let view = view.and_then(|view| view.map(entries).transpose());
    match (&view, owned) {
        (Ok(view), Ok(owned)) => same(view, &owned.as_ref().map(|owned| owned.0.clone())),
        (Err(_), Err(_)) => {}
        // The owned reader has one allowance for the elements without width of a whole section.
        (Ok(_), Err(error)) if matches!(error.kind, DecodeErrorKind::TooManyElements(_)) => {}
        (view, owned) => panic!("{view:?} and {owned:?}"),
    }
}

/// Reads a value, writes it, reads it back; the same for a delivery state. The parts of a value are those of the value.
///
/// # Panics
/// When a value does not survive.
pub fn value_round_trip(data: &[u8]) {
    let (mut parts, mut value) = (Reader::from_slice(data), Reader::from_slice(data));
    match (outline(&mut parts), Value::decode(&mut value)) {
        (Ok(found), Ok(_)) => {
            assert_eq!(parts.offset(), value.offset());
            assert!(found.iter().all(|part| part.offset + part.length <= parts.offset()));
        }
        (Err(_), Err(_)) => {}
        (parts, value) => panic!("{parts:?} of {value:?}"),
    }
    round_trip::<Value>(data);
    round_trip::<DeliveryState>(data);
}

/// Reads the first bytes of a peer, and every prefix of them.
///
/// # Panics
/// When a prefix says something else than the whole.
pub fn protocol_header(data: &[u8]) {
    let whole = ProtocolHeader::parse(data);
    match whole {
        None => assert!(data.len() < ProtocolHeader::LENGTH),
        Some(Ok(header)) => assert_eq!(header.to_bytes(), data[..ProtocolHeader::LENGTH]),
        Some(Err(foreign)) => assert!(!foreign.hint().is_empty() && !foreign.to_string().is_empty()),
    }
    for length in 0..data.len().min(ProtocolHeader::LENGTH) {
        match ProtocolHeader::parse(&data[..length]) {
            None => {}
            Some(Ok(header)) => panic!("{header:?} from {length} bytes"),
            Some(Err(_)) => assert!(matches!(whole, Some(Err(_))), "refused after {length} bytes"),
        }
    }
}

/// Bytes that stand for a performative.
struct Raw<'a>(&'a [u8]);

impl Encode for Raw<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
    fn encoded_len(&self) -> usize {
        self.0.len()
    }
}

fn whole_frame(bytes: &Bytes) {
    let text = FrameText::new(bytes).to_string();
    assert!(!text.is_empty() && !text.contains(|c: char| c.is_control()), "{text:?}");
    let frame = match Frame::decode(bytes) {
        Ok(frame) => frame,
        Err(FrameError::Body(error)) => {
            assert!(error.offset <= bytes.len());
            return assert!(!error.to_string().is_empty());
        }
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(!frame.to_string().is_empty());
    let written = write(&frame);
    let again = Frame::decode(&written).expect("what was written can be read");
    same(&again, &frame);
    assert_eq!(write(&again), written);
}

fn write(frame: &Frame) -> Bytes {
    let mut out = Vec::new();
    match frame {
        Frame::Amqp { channel, performative, payload } => {
            Frame::put_amqp(*channel, performative, payload, &mut out);
            assert_eq!(out.len(), FrameHeader::LENGTH + performative.encoded_len() + payload.len());
        }
        Frame::Empty { channel } => {
            Frame::put_empty(&mut out);
            out[6..].copy_from_slice(&channel.to_be_bytes());
        }
        Frame::Sasl(body) => {
            Frame::put_sasl(body, &mut out);
            assert_eq!(out.len(), FrameHeader::LENGTH + body.encoded_len());
        }
    }
    out.into()
}

fn round_trip<T: Encode + Decode + Clone + PartialEq + Debug>(data: &[u8]) {
    let source = Bytes::copy_from_slice(data);
    let mut reader = Reader::new(&source);
    let value = match T::decode(&mut reader) {
        Ok(value) => value,
        Err(error) => {
            assert!(error.offset <= data.len());
            assert_eq!(T::decode(&mut Reader::from_slice(data)).unwrap_err(), error);
            return;
        }
    };
    assert_eq!(reader.offset() + reader.remaining(), data.len());
    same(&T::decode(&mut Reader::from_slice(data)).unwrap(), &value);

    let mut written = Vec::new();
    value.encode(&mut written);
    assert_eq!(written.len(), value.encoded_len());
    let mut reader = Reader::from_slice(&written);
    let again = T::decode(&mut reader).expect("what was written can be read");
    assert!(reader.is_empty());
    same(&again, &value);
    let mut twice = Vec::new();
    again.encode(&mut twice);
    assert_eq!(twice, written);
}

/// Equal, unless there is a number inside that does not even equal itself.
fn same<T: Clone + PartialEq + Debug>(one: &T, other: &T) {
    let has_nan = *one != one.clone();
    assert!(has_nan || one == other, "{one:?} is not {other:?}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Every input that once broke a target runs through it again.
    #[test]
    fn regressions() {
        type Target = fn(&[u8]);
        let targets = [
            ("frame", super::frame as Target),
            ("message", super::message),
            ("value_round_trip", super::value_round_trip),
            ("protocol_header", super::protocol_header),
        ];
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions");
        for (name, target) in targets {
            let mut inputs = 0;
            for file in std::fs::read_dir(folder.join(name)).expect("a folder for each target") {
                target(&std::fs::read(file.unwrap().path()).unwrap());
                inputs += 1;
            }
            assert!(inputs > 0, "no regressions of {name}");
        }
    }
}
