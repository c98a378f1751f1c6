//! What another implementation wrote: frames and a message of Proton C 0.37, and what they say.

use bytes::Bytes;
use postroad_codec::v1_0::*;

use super::{decode, encode, hex};

fn read(digits: &str) -> (Performative, Bytes) {
    match Frame::decode(&hex(digits).into()) {
        Ok(Frame::Amqp { channel: 0, performative, payload }) => (performative, payload),
        other => panic!("{digits}: {other:?}"),
    }
}

fn says(digits: &str, expected: impl Into<Performative>) {
    assert_eq!(read(digits), (expected.into(), Bytes::new()));
}

fn names<T: From<Symbol>>(names: &[&'static str]) -> Multiple<T> {
    names.iter().map(|name| T::from(Symbol::from_static(name))).collect()
}

#[test]
fn opening() {
    says(
        "0000006002000000 005310 c0530a a106676f6c64656e a10b6578616d706c652e6f7267 7000008000 600064 7000003a98 40 40
         40 f0000000100000000 2b3 0000000161 000000026263
         d10000001300000002 a30770726f64756374 a10474657374",
        Open {
            container_id: "golden".into(),
            hostname: Some("example.org".into()),
            max_frame_size: 32_768,
            channel_max: 100,
            idle_time_out: Some(Milliseconds(15_000)),
            desired_capabilities: names(&["a", "bc"]),
            properties: Some(Fields([(Symbol::from_static("product"), "test")].into_iter().collect())),
            ..Open::default()
        },
    );
    says(
        "0000001f02000000 005310 c0120a a10470656572 40 40 600064 40 40 40 40 40 40",
        Open { container_id: "peer".into(), channel_max: 100, ..Open::default() },
    );
    let begin = |remote_channel| Begin {
        remote_channel,
        incoming_window: 0x7fff_ffff,
        outgoing_window: 0x7fff_ffff,
        ..Begin::default()
    };
    says("0000001a02000000 005311 c00d04 40 43 707fffffff 707fffffff", begin(None));
    says("0000001c02000000 005311 c00f04 600000 43 707fffffff 707fffffff", begin(Some(0)));
}

fn attach(role: Role) -> Attach {
    Attach {
        name: "link-1".into(),
        role,
        source: Some(Box::new(Source { distribution_mode: Some(DistributionMode::COPY), ..Source::at("from") })),
        target: Some(Box::new(AttachTarget::Target(Target {
            durable: TerminusDurability::UNSETTLED_STATE,
            expiry_policy: TerminusExpiryPolicy::NEVER,
            timeout: Seconds(60),
            capabilities: names(&["queue"]),
            ..Target::at("to")
        }))),
        initial_delivery_count: Some(SequenceNo(0)),
        ..Attach::default()
    }
}

#[test]
fn attaching() {
    says(
        "0000006402000000 005312 c0570e a1066c696e6b2d31 43 42 5000 5001
         005328 c0160b a10466726f6d 43 40 43 42 40 a304636f7079 40 40 40 40
         005329 c01907 a102746f 5202 a3056e65766572 523c 42 40 a3057175657565
         40 40 43 80 00000000000f4240 40 40 40",
        Attach {
            snd_settle_mode: SenderSettleMode::UNSETTLED,
            rcv_settle_mode: ReceiverSettleMode::SECOND,
            max_message_size: Some(1_000_000),
            ..attach(Role::Sender)
        },
    );
    says(
        "0000005c02000000 005312 c04f0e a1066c696e6b2d31 43 41 5002 5000
         005328 c0160b a10466726f6d 43 40 43 42 40 a304636f7079 40 40 40 40
         005329 c01907 a102746f 5202 a3056e65766572 523c 42 40 a3057175657565
         40 40 43 44 40 40 40",
        Attach { max_message_size: Some(0), ..attach(Role::Receiver) },
    );
}

#[test]
fn sending_and_settling() {
    says(
        "0000002002000000 005313 c01309 43 707fffffff 43 707fffffff 43 43 520a 40 42",
        Flow {
            next_incoming_id: Some(TransferNumber(0)),
            incoming_window: 0x7fff_ffff,
            outgoing_window: 0x7fff_ffff,
            handle: Some(Handle(0)),
            delivery_count: Some(SequenceNo(0)),
            link_credit: Some(10),
            ..Flow::default()
        },
    );
    let transfer = Transfer {
        delivery_id: Some(DeliveryNumber(0)),
        delivery_tag: DeliveryTag::new(b"tag-1"),
        message_format: Some(MessageFormat(0)),
        ..Transfer::default()
    };
    let payload = Bytes::from_static(b"\0Su\xa0\x02hi");
    let digits = "0000001f02000000 005314 c00b04 43 43 a0057461672d31 43 005375a0026869";
    assert_eq!(read(digits), (transfer.clone().into(), payload.clone()));
    assert_eq!(Message::from_bytes(&payload), Ok(Message::from(&b"hi"[..])));
    // This one we write alike.
    let mut written = Vec::new();
    Frame::put_amqp(0, &transfer, &payload, &mut written);
    assert_eq!(written, hex(digits));

    says(
        "0000002102000000 005315 c01405 41 43 40 40 005327 d0 00000007 00000003 41 41 40",
        Disposition {
            role: Role::Receiver,
            state: Some(Outcome::modified(true, true, None).into()),
            ..Disposition::default()
        },
    );
    let settled = Disposition { settled: true, ..Disposition::default() };
    says("0000001202000000 005315 c00504 42 43 40 41", settled);
}

#[test]
fn closing() {
    let gone = Error::new(ErrorCondition::NOT_FOUND, "gone");
    says(
        "0000002d02000000 005316 c02003 43 41 00531d c01803 a30e616d71703a6e6f742d666f756e64 a104676f6e65 40",
        Detach { closed: true, error: Some(Box::new(gone)), ..Detach::default() },
    );
    says("0000001002000000 005316 c00302 43 41", Detach { closed: true, ..Detach::default() });
    says("0000000c02000000 005317 45", End::default());
    says("0000000c02000000 005318 45", Close::default());
    assert_eq!(encode(&Close::default()), hex("005318 45"));
}

#[test]
fn authenticating() {
    // The fields of the standard, in its order.
    let init = SaslInit {
        mechanism: Symbol::from_static("PLAIN"),
        initial_response: Some(Bytes::from_static(b"\0u\0p")),
        hostname: Some("h".into()),
    };
    assert_eq!(encode(&init), hex("005341 c01103 a305504c41494e a00400750070 a10168"));
    let outcome = SaslOutcome { code: SaslCode::AUTH, additional_data: Some(Bytes::from_static(b"x")) };
    assert_eq!(encode(&outcome), hex("005344 c00602 5001 a00178"));
    assert_eq!(decode(&hex("005344 c00301 5000")), Ok(SaslOutcome::default()));
}

#[test]
fn a_whole_message() {
    let bytes = Bytes::from(
        [
            &hex("005370 c00803 41 40 700000ea60
                  005373 c05f07 a10c6d6573736167652d30303031 40 a10c71756575652f6f7264657273
                  a10d6f726465722e63726561746564 a10d71756575652f7265706c696573 8000000000075bcd15
                  a3186170706c69636174696f6e2f6f637465742d73747265616d
                  005374 d1000000460000000a a10674656e616e74 a10961636d652d636f7270 a105636f756e74 542a
                  a10462696731 810000011f71fb04cb a104666c6167 41 a105726174696f 823fd0000000000000
                  005375 a064")[..],
            &[b'x'; 100],
        ]
        .concat(),
    );
    let expected = Message {
        header: Some(Header { durable: Some(true), ttl: Some(Milliseconds(60_000)), ..Header::default() }),
        properties: Some(Box::new(Properties {
            message_id: Some("message-0001".into()),
            to: Some("queue/orders".into()),
            subject: Some("order.created".into()),
            reply_to: Some("queue/replies".into()),
            correlation_id: Some(123_456_789u64.into()),
            content_type: Some(Symbol::from_static("application/octet-stream")),
            ..Properties::default()
        })),
        application_properties: Some(ApplicationProperties(Map(vec![
            ("tenant".into(), "acme-corp".into()),
            ("count".into(), 42i32.into()),
            ("big1".into(), 1_234_567_890_123i64.into()),
            ("flag".into(), true.into()),
            ("ratio".into(), 0.25f64.into()),
        ]))),
        body: Body::Data(Bytes::from_static(&[b'x'; 100])),
        ..Message::default()
    };
    assert_eq!(Message::from_bytes(&bytes).as_ref(), Ok(&expected));
    assert_eq!(Sections::find(bytes.clone()).unwrap().message().as_ref(), Ok(&expected));
    // We write the map in its short form, which saves six bytes.
    assert_eq!(expected.to_bytes().len(), bytes.len() - 6);
}
