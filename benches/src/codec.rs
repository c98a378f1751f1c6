//! What the codec costs: the operations that the criterion benches and the run beside Proton C measure alike.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use postroad_codec::v1_0::{
    ApplicationProperties, Body, ByteString, DecodeError, DeliveryNumber, DeliveryTag, Encode as _, Frame, FrameBody,
    FrameError, Handle, Header, Map, Message, MessageFormat, Milliseconds, Performative, Properties, Sections,
    Transfer, Value, ValueRef,
};
use serde::{Deserialize, Serialize};

use crate::measure::cpu_time;

/// CPU nanoseconds of each operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Whose codec.
    #[serde(rename = "impl")]
    pub implementation: String,
    /// A message made and encoded.
    pub build: f64,
    /// A message encoded.
    pub encode: f64,
    /// A message decoded: every section checked, values read when asked for.
    pub lazy: f64,
    /// A message decoded, and every value looked at where it lies.
    pub full: f64,
    /// A message decoded into values of its own; only ours does that.
    #[serde(default)]
    pub owned: Option<f64>,
    /// A transfer made, and encoded as a frame.
    pub transfer_out: f64,
    /// The frame of a transfer decoded.
    pub transfer_in: f64,
}

/// Measures each operation `count` times.
///
/// # Panics
/// When the codec cannot read what it wrote.
#[must_use]
pub fn costs(count: u32) -> Costs {
    let message = message();
    let encoded = message.to_bytes();
    let mut out = Vec::with_capacity(4096);
    let mut transfers = Vec::with_capacity(4096);
    encode_transfer(1, &mut transfers);
    let frame = Bytes::from(transfers.clone());
    let mut performative = Performative::default();
    Costs {
        implementation: "postroad".into(),
        build: each(count, |_| encode(&self::message(), &mut out)),
        encode: each(count, |_| encode(black_box(&message), &mut out)),
        lazy: each(count, |_| assert!(black_box(&decode_lazily(black_box(&encoded))).is_ok())),
        full: each(count, |_| assert!(black_box(&read_everything(black_box(&encoded))).is_ok())),
        owned: Some(each(count, |_| assert!(black_box(&read_owned(black_box(&encoded))).is_ok()))),
        transfer_out: each(count, |number| {
            transfers.clear();
            encode_transfer(number, black_box(&mut transfers));
        }),
        transfer_in: each(count, |_| {
            let result = decode_transfer(black_box(&frame), black_box(&mut performative));
            assert!(result.is_ok());
        }),
    }
}

/// A message with a header, properties, five application properties and 100 bytes of data.
#[must_use]
pub fn message() -> Message {
    let mut message = Message::new(Body::Data(Bytes::from_static(&[b'x'; 100])));
    message.header =
        Some(Header { durable: Some(true), priority: Some(4), ttl: Some(Milliseconds(60_000)), ..Header::default() });
    message.properties = Some(Box::new(Properties {
        message_id: Some("message-0001".into()),
        to: Some(ByteString::from_static("queue/orders").into()),
        subject: Some(ByteString::from_static("order.created")),
        reply_to: Some(ByteString::from_static("queue/replies").into()),
        correlation_id: Some(123_456_789.into()),
        content_type: Some("application/octet-stream".into()),
        ..Properties::default()
    }));
    let text = |text: &'static str| Value::String(ByteString::from_static(text));
    let properties = [
        (text("tenant"), text("acme-corp")),
        (text("count"), Value::Int(42)),
        (text("big1"), Value::Long(1_234_567_890_123)),
        (text("flag"), Value::Boolean(true)),
        (text("ratio"), Value::Double(0.25)),
    ];
    message.application_properties = Some(ApplicationProperties(Map(properties.into())));
    message
}

/// Encodes into a buffer that is used again.
pub fn encode(message: &Message, out: &mut Vec<u8>) {
    out.clear();
    message.encode(out);
}

/// Finds the sections of a message.
///
/// # Errors
/// When the bytes are no message.
pub fn decode_lazily(encoded: &Bytes) -> Result<Sections, DecodeError> {
    Sections::find(encoded.clone())
}

/// Looks at every value of a message, and adds them up: lengths of texts and octets, and numbers.
///
/// # Errors
/// When the bytes are no message.
pub fn read_everything(encoded: &Bytes) -> Result<u64, DecodeError> {
    let sections = Sections::find(encoded.clone())?;
    let mut sum = 0;
    if let Some(header) = sections.header()? {
        sum += u64::from(header.durable == Some(true)) + u64::from(header.priority.unwrap_or(4));
        sum += header.ttl.map_or(0, |ttl| ttl.0.into()) + u64::from(header.first_acquirer == Some(true));
        sum += u64::from(header.delivery_count.unwrap_or(0));
    }
    if let Some(properties) = sections.properties_ref()? {
        sum += properties.message_id.map_or(0, weight) + properties.user_id.map_or(0, |user| user.len() as u64);
        sum += [properties.to, properties.subject, properties.reply_to].map(length).iter().sum::<u64>();
        sum += properties.correlation_id.map_or(0, weight);
        sum += length(properties.content_type) + length(properties.content_encoding);
        sum += properties.absolute_expiry_time.map_or(0, |time| time.0.unsigned_abs());
        sum += properties.creation_time.map_or(0, |time| time.0.unsigned_abs());
        sum += length(properties.group_id) + properties.group_sequence.map_or(0, |number| number.0.into());
        sum += length(properties.reply_to_group_id);
    }
    if let Some(properties) = sections.application_properties_ref()? {
        for entry in properties {
            let (key, value) = entry?;
            sum += weight(key) + weight(value);
        }
    }
    Ok(sum + sections.data_ref()?.map_or(0, |octets| octets.len() as u64))
}

fn length(text: Option<&str>) -> u64 {
    text.map_or(0, |text| text.len() as u64)
}

fn weight(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::String(text) | ValueRef::Symbol(text) => text.len() as u64,
        ValueRef::Binary(octets) => octets.len() as u64,
        ValueRef::Boolean(value) => value.into(),
        ValueRef::Ulong(number) => number,
        ValueRef::Int(number) => number.unsigned_abs().into(),
        ValueRef::Long(number) => number.unsigned_abs(),
        ValueRef::Double(number) => number.to_bits() >> 52,
        _ => 1,
    }
}

/// Reads a message into values of its own.
///
/// # Errors
/// When the bytes are no message.
pub fn read_owned(encoded: &Bytes) -> Result<Message, DecodeError> {
    Message::from_bytes(encoded)
}

/// Makes and appends the frame of an unsettled transfer without a payload.
pub fn encode_transfer(number: u32, out: &mut Vec<u8>) {
    let transfer = Transfer {
        handle: Handle(0),
        delivery_id: Some(DeliveryNumber(number)),
        delivery_tag: DeliveryTag::new(&u64::from(number).to_be_bytes()),
        message_format: Some(MessageFormat(0)),
        settled: Some(false),
        ..Transfer::default()
    };
    Frame::put_amqp(0, &transfer, &[], out);
}

/// Reads the performative of a frame to where it stays, as an engine does.
///
/// # Errors
/// When the bytes are no frame.
pub fn decode_transfer(frame: &Bytes, performative: &mut Performative) -> Result<(), FrameError> {
    FrameBody::read(frame, 0..frame.len(), performative).map(drop)
}

fn each(count: u32, mut run: impl FnMut(u32)) -> f64 {
    (0..count / 10).for_each(&mut run);
    let start = cpu_time();
    (0..count).for_each(&mut run);
    let spent: Duration = cpu_time().saturating_sub(start);
    spent.as_secs_f64() * 1e9 / f64::from(count)
}
