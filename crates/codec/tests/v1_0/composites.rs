//! Part 1, 1.4: every composite type of the standard.

use postroad_codec::v1_0::schema::{COMPOSITES, Field, RESTRICTED};
use postroad_codec::v1_0::*;

use super::samples::{Sample, for_every_composite, performatives, sasl_frames, states};
use super::{decode, encode, hex, list_of, refusal};

/// The fields of a composite as they stand on the wire.
fn fields_of<T: Sample>(value: &T) -> Vec<Value> {
    let Value::Described(described) = decode::<Value>(&encode(value)).unwrap() else {
        panic!("{value:?} is not described");
    };
    assert_eq!(described.descriptor, T::SCHEMA.code.into());
    let Value::List(fields) = described.value else {
        panic!("{value:?} is no list");
    };
    fields
}

/// What is left of the full sample when everything that may be absent is.
fn mandatory_fields<T: Sample>() -> Vec<Value> {
    let fields = fields_of(&T::full()).into_iter().zip(T::SCHEMA.fields);
    fields.map(|(value, field)| if field.mandatory { value } else { Value::Null }).collect()
}

#[test]
fn full_and_default_forms_survive() {
    fn check<T: Sample>() {
        let full = T::full();
        assert_eq!(decode::<T>(&encode(&full)), Ok(full.clone()));
        let fields = fields_of(&full);
        assert_eq!(fields.len(), T::SCHEMA.fields.len());
        assert!(!fields.contains(&Value::Null), "{full:?} is not full");

        let default = T::default();
        let fields = fields_of(&default);
        assert_ne!(fields.last(), Some(&Value::Null), "{default:?}");
        if T::SCHEMA.name == "sasl-mechanisms" {
            // "It is invalid for this list to be null or empty."
            let missing = DecodeErrorKind::MissingField("sasl-server-mechanisms");
            assert_eq!(refusal::<T>(&encode(&default)), missing);
            assert_eq!(refusal::<T>(&hex("005340 c005 01 e0020040")), missing);
        } else {
            assert_eq!(decode::<T>(&encode(&default)), Ok(default));
        }
    }
    for_every_composite!(check);
}

#[test]
fn absent_fields_at_the_end_are_left_out_and_read_as_explicit_nulls() {
    fn check<T: Sample>() {
        let explicit = list_of(T::SCHEMA.code, mandatory_fields::<T>());
        let value = decode::<T>(&explicit).unwrap();
        let written = fields_of(&value);
        let last_mandatory = T::SCHEMA.fields.iter().rposition(|field| field.mandatory);
        assert_eq!(written.len(), last_mandatory.map_or(0, |index| index + 1), "{value:?}");
        assert_eq!(decode::<T>(&encode(&value)), Ok(value));
    }
    for_every_composite!(check);
}

#[test]
fn every_prefix_of_the_fields_is_the_value_with_the_others_absent() {
    fn check<T: Sample>() {
        let fields = fields_of(&T::full());
        for kept in 0..=fields.len() {
            let mut nulled = fields.clone();
            nulled[kept..].fill(Value::Null);
            let short = decode::<T>(&list_of(T::SCHEMA.code, fields[..kept].to_vec()));
            let long = decode::<T>(&list_of(T::SCHEMA.code, nulled));
            match T::SCHEMA.fields[kept..].iter().find(|field| field.mandatory) {
                None => assert_eq!(short.unwrap(), long.unwrap()),
                Some(missing) => {
                    let kind = DecodeErrorKind::MissingField(missing.name);
                    assert_eq!(short.unwrap_err().kind, kind);
                    assert_eq!(long.unwrap_err().kind, kind);
                }
            }
        }
    }
    for_every_composite!(check);
}

#[test]
fn a_mandatory_field_that_is_null_is_named() {
    fn check<T: Sample>() {
        for (index, field) in T::SCHEMA.fields.iter().enumerate() {
            let mut fields = fields_of(&T::full());
            fields[index] = Value::Null;
            let result = decode::<T>(&list_of(T::SCHEMA.code, fields));
            if field.mandatory {
                let error = result.unwrap_err();
                assert_eq!(error.kind, DecodeErrorKind::MissingField(field.name));
                assert!(error.to_string().contains(field.name));
            } else {
                assert!(result.is_ok(), "{}.{}: {result:?}", T::SCHEMA.name, field.name);
            }
        }
    }
    for_every_composite!(check);
}

#[test]
fn more_fields_than_the_type_has_are_refused() {
    fn check<T: Sample>() {
        let mut fields = fields_of(&T::full());
        fields.push(Value::Null);
        let count = u32::try_from(fields.len()).unwrap();
        assert_eq!(refusal::<T>(&list_of(T::SCHEMA.code, fields)), DecodeErrorKind::TooManyFields(count));
    }
    for_every_composite!(check);
}

#[test]
fn every_form_of_descriptor_and_list_is_read() {
    fn check<T: Sample>() {
        let full = T::full();
        let fields = fields_of(&full);
        let content: Vec<u8> = fields.iter().flat_map(encode).collect();
        let symbol = T::SCHEMA.descriptor.as_bytes();
        let descriptors = [
            vec![0x53, u8::try_from(T::SCHEMA.code).unwrap()],
            [vec![0x80], T::SCHEMA.code.to_be_bytes().to_vec()].concat(),
            [vec![0xa3, symbol.len() as u8], symbol.to_vec()].concat(),
            [hex("b3 000000"), vec![symbol.len() as u8], symbol.to_vec()].concat(),
        ];
        let size = u32::try_from(content.len() + 4).unwrap().to_be_bytes();
        let list32 = [&[0xd0][..], &size, &[0, 0, 0, fields.len() as u8], &content].concat();
        let mut lists = vec![list32];
        if content.len() < 255 {
            lists.push([&[0xc0, content.len() as u8 + 1, fields.len() as u8][..], &content].concat());
        }
        if fields.is_empty() {
            lists.push(vec![0x45]);
        }
        for descriptor in &descriptors {
            for list in &lists {
                let bytes = [&[0][..], descriptor, list].concat();
                assert_eq!(decode::<T>(&bytes).as_ref(), Ok(&full), "{bytes:02x?}");
            }
        }
        for wrong in [hex("53 7f"), hex("80 0000000100000010"), hex("a3 03 616d71"), hex("44"), hex("a1 01 61")] {
            let bytes = [&[0][..], &wrong, &lists[0]].concat();
            assert_eq!(refusal::<T>(&bytes), DecodeErrorKind::Descriptor, "{bytes:02x?}");
        }
        assert_eq!(refusal::<T>(&lists[0]), DecodeErrorKind::Constructor(0xd0));
        let map = [&[0][..], &descriptors[0], &hex("c1 01 00")].concat();
        assert_eq!(refusal::<T>(&map), DecodeErrorKind::Constructor(0xc1));
    }
    for_every_composite!(check);
}

/// The value that the text of a default stands for, by way of the type's own row.
fn value_of(field: &Field, text: &str) -> Value {
    let (mut ty, mut text) = (field.ty, text);
    while let Some(row) = RESTRICTED.iter().find(|row| row.name == ty) {
        if let Some((_, value)) = row.choices.iter().find(|(name, _)| *name == text) {
            text = value;
        }
        ty = row.source;
    }
    match ty {
        "boolean" => text.parse::<bool>().unwrap().into(),
        "ubyte" => text.parse::<u8>().unwrap().into(),
        "ushort" => text.parse::<u16>().unwrap().into(),
        "uint" => text.parse::<u32>().unwrap().into(),
        "symbol" => Symbol::new(text.to_owned()).unwrap().into(),
        other => panic!("{other} has no default in the standard"),
    }
}

#[test]
fn the_text_of_a_default_is_the_value_of_an_absent_field() {
    fn check<T: Sample>() {
        let absent = mandatory_fields::<T>();
        let value = decode::<T>(&list_of(T::SCHEMA.code, absent.clone())).unwrap();
        for (index, field) in T::SCHEMA.fields.iter().enumerate() {
            let mut fields = absent.clone();
            if let Some(text) = field.default {
                fields[index] = value_of(field, text);
                let explicit = decode::<T>(&list_of(T::SCHEMA.code, fields.clone())).unwrap();
                assert_eq!(explicit, value, "{}.{} is not {text}", T::SCHEMA.name, field.name);
            }
            // And anything else is another value.
            fields[index] = fields_of(&T::full())[index].clone();
            let other = decode::<T>(&list_of(T::SCHEMA.code, fields)).unwrap();
            assert_eq!(other == value, field.mandatory, "{}.{}", T::SCHEMA.name, field.name);
        }
    }
    for_every_composite!(check);
}

#[test]
fn defaults_print_as_the_standard_writes_them() {
    let text = |schema: &schema::Composite, name: &str| {
        schema.fields.iter().find(|field| field.name == name).unwrap().default.unwrap()
    };
    let (open, begin, attach, source) = (Open::default(), Begin::default(), Attach::default(), Source::default());
    assert_eq!(open.max_frame_size.to_string(), text(Open::SCHEMA, "max-frame-size"));
    assert_eq!(open.channel_max.to_string(), text(Open::SCHEMA, "channel-max"));
    assert_eq!(begin.handle_max.to_string(), text(Begin::SCHEMA, "handle-max"));
    assert_eq!(attach.snd_settle_mode.to_string(), text(Attach::SCHEMA, "snd-settle-mode"));
    assert_eq!(attach.rcv_settle_mode.to_string(), text(Attach::SCHEMA, "rcv-settle-mode"));
    assert_eq!(
        (SenderSettleMode::default(), ReceiverSettleMode::default()),
        (attach.snd_settle_mode, attach.rcv_settle_mode)
    );
    assert_eq!(attach.incomplete_unsettled.to_string(), text(Attach::SCHEMA, "incomplete-unsettled"));
    assert_eq!(source.durable.to_string(), text(Source::SCHEMA, "durable"));
    assert_eq!(source.expiry_policy.to_string(), text(Source::SCHEMA, "expiry-policy"));
    assert_eq!(source.timeout.to_string(), text(Source::SCHEMA, "timeout"));
    assert_eq!(source.dynamic.to_string(), text(Source::SCHEMA, "dynamic"));
}

#[test]
fn descriptors_are_unique() {
    for (index, row) in COMPOSITES.iter().enumerate() {
        for other in &COMPOSITES[index + 1..] {
            assert!(row.code != other.code && row.descriptor != other.descriptor, "{row:?} {other:?}");
        }
    }
}

#[test]
fn values_that_the_standard_does_not_name_survive() {
    fn check<T: Encode + Decode + PartialEq + std::fmt::Debug>(value: &T, printed: &str) {
        assert_eq!(decode::<T>(&encode(value)).as_ref(), Ok(value));
        assert_eq!(format!("{value:?}"), printed);
    }
    check(&SenderSettleMode(9), "9");
    check(&ReceiverSettleMode(255), "255");
    check(&TerminusDurability(u32::MAX), "4294967295");
    check(&TerminusExpiryPolicy(Symbol::from_static("x:never")), "x:never");
    check(&DistributionMode(Symbol::from_static("x:fan")), "x:fan");
    check(&TxnCapability(Symbol::from_static("x:more")), "x:more");
    check(&SaslCode(77), "77");
    check(&ErrorCondition(Symbol::from_static("x:own-error")), "x:own-error");
    check(&SenderSettleMode::SETTLED, "settled");
    let attach = Attach { snd_settle_mode: SenderSettleMode(200), ..Attach::default() };
    assert_eq!(decode::<Attach>(&encode(&attach)).unwrap().snd_settle_mode.0, 200);
}

#[test]
fn performatives_and_sasl_frames_are_told_apart_by_every_form_of_descriptor() {
    for performative in performatives() {
        let bytes = encode(&performative);
        assert_eq!(decode::<Performative>(&bytes).as_ref(), Ok(&performative));
        let row = COMPOSITES.iter().find(|row| row.name == performative.name()).unwrap();
        assert_eq!(bytes[..3], [0, 0x53, row.code as u8]);
        let symbolic = [&[0, 0xa3, row.descriptor.len() as u8], row.descriptor.as_bytes(), &bytes[3..]].concat();
        assert_eq!(decode::<Performative>(&symbolic).as_ref(), Ok(&performative));
        let wide = [&[0, 0x80][..], &row.code.to_be_bytes(), &bytes[3..]].concat();
        assert_eq!(decode::<Performative>(&wide).as_ref(), Ok(&performative));
    }
    for frame in sasl_frames() {
        let bytes = encode(&frame);
        assert_eq!(decode::<SaslFrame>(&bytes).as_ref(), Ok(&frame));
        assert_eq!(refusal::<Performative>(&bytes), DecodeErrorKind::Descriptor);
        let row = COMPOSITES.iter().find(|row| row.code == u64::from(bytes[2])).unwrap();
        let symbolic = [&[0, 0xa3, row.descriptor.len() as u8], row.descriptor.as_bytes(), &bytes[3..]].concat();
        assert_eq!(decode::<SaslFrame>(&symbolic).as_ref(), Ok(&frame));
    }
    assert_eq!(refusal::<Performative>(&encode(&Header::full())), DecodeErrorKind::Descriptor);
    assert_eq!(refusal::<SaslFrame>(&encode(&Close::full())), DecodeErrorKind::Descriptor);
    assert_eq!(refusal::<Performative>(&hex("45")), DecodeErrorKind::Constructor(0x45));
}

#[test]
fn delivery_states_and_outcomes() {
    for state in states() {
        assert_eq!(decode::<DeliveryState>(&encode(&state)).as_ref(), Ok(&state));
        let outcome = decode::<Outcome>(&encode(&state));
        if state.is_terminal() {
            let outcome = outcome.unwrap();
            assert_eq!(Some(&outcome), state.outcome().as_ref());
            assert_eq!(encode(&outcome), encode(&state));
            assert_eq!(DeliveryState::from(outcome), state);
        } else {
            // In a transaction the state holds an outcome; it is none.
            assert_eq!(outcome.unwrap_err().kind, DecodeErrorKind::Descriptor);
        }
    }
    assert_eq!(encode(&DeliveryState::Accepted), encode(&Accepted::default()));
    assert_eq!(encode(&DeliveryState::Released), encode(&Released::default()));
    for accepted in ["00 5324 45", "00 5324 c00100", "00 80 0000000000000024 d0 00000004 00000000"] {
        assert_eq!(decode(&hex(accepted)), Ok(DeliveryState::Accepted));
    }
    let symbolic = [&hex("00 a3 12")[..], b"amqp:released:list", &[0x45]].concat();
    assert_eq!(decode(&symbolic), Ok(DeliveryState::Released));
    assert_eq!(refusal::<DeliveryState>(&hex("45")), DecodeErrorKind::Constructor(0x45));
}

#[test]
fn a_target_is_a_node_or_a_coordinator() {
    for target in [AttachTarget::Target(Target::full()), AttachTarget::Coordinator(Coordinator::full())] {
        assert_eq!(decode::<AttachTarget>(&encode(&target)), Ok(target));
    }
    assert_eq!(refusal::<AttachTarget>(&encode(&Source::full())), DecodeErrorKind::Descriptor);
}

#[test]
fn message_ids_of_every_type() {
    let ids: [MessageId; 5] = [0u64.into(), (u64::MAX - 1).into(), Uuid::max().into(), Vec::new().into(), "".into()];
    for id in ids {
        let properties = Properties { correlation_id: Some(id.clone()), ..Properties::default() };
        assert_eq!(decode::<Properties>(&encode(&properties)), Ok(properties));
        assert_eq!(encode(&Value::from(id.clone())), encode(&id));
    }
    assert_eq!(refusal::<MessageId>(&hex("52 01")), DecodeErrorKind::Constructor(0x52));
}

#[test]
fn passwords_are_not_printed() {
    for frame in [SaslFrame::Init(SaslInit::full()), SaslFrame::Response(SaslResponse::full())] {
        for printed in [format!("{frame:?}"), format!("{frame:#?}"), frame.to_string()] {
            assert!(!printed.contains("secret"), "{printed}");
        }
        assert!(format!("{frame:?}").contains("redacted"));
        assert!(!format!("{:?}", Frame::Sasl(frame)).contains("secret"));
    }
    assert!(format!("{:?}", SaslInit::full()).contains("PLAIN"));
    assert!(format!("{:?}", SaslInit::default()).contains("initial_response: None"));
    assert_eq!(format!("{:?}", SaslResponse::full()), "SaslResponse { response: [redacted] }");
}
