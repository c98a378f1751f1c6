//! Values of any kind, and composites whose fields are drawn by their rows in the tables.

use bytes::Bytes;
use postroad_codec::v1_0::schema::{COMPOSITES, Composite, Field, RESTRICTED};
use postroad_codec::v1_0::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Any value, without numbers that do not equal themselves.
pub(crate) fn value() -> BoxedStrategy<Value> {
    scalar()
        .prop_recursive(4, 48, 6, |inner| {
            prop_oneof![
                4 => vec(inner.clone(), 0..6).prop_map(Value::List),
                3 => map(inner.clone()).prop_map(Value::from),
                3 => array(inner.clone()),
                2 => (descriptor(), inner.clone()).prop_map(|(descriptor, value)| Value::described(descriptor, value)),
                1 => (inner.clone(), inner).prop_map(|(descriptor, value)| Value::described(descriptor, value)),
            ]
        })
        .boxed()
}

pub(crate) fn map(inner: impl Strategy<Value = Value> + Clone) -> impl Strategy<Value = Map> + Clone {
    vec((inner.clone(), inner), 0..6).prop_map(Map)
}

fn descriptor() -> impl Strategy<Value = Value> {
    prop_oneof![any::<u64>().prop_map(Value::from), (0..300u64).prop_map(Value::from), of_type("symbol")]
}

fn scalar() -> BoxedStrategy<Value> {
    select(vec![
        "null",
        "boolean",
        "ubyte",
        "ushort",
        "uint",
        "ulong",
        "byte",
        "short",
        "int",
        "long",
        "float",
        "double",
        "decimal32",
        "decimal64",
        "decimal128",
        "char",
        "timestamp",
        "uuid",
        "binary",
        "string",
        "symbol",
    ])
    .prop_flat_map(of_type)
    .boxed()
}

/// Numbers that crowd around the changes of encoding.
macro_rules! number {
    ($ty:ty) => {
        prop_oneof![
            any::<$ty>(),
            select(vec![0, 1, 127, <$ty>::MIN, <$ty>::MAX]),
            any::<u8>().prop_map(|small| small as $ty),
            any::<i16>().prop_map(|small| small as $ty),
        ]
        .prop_map(Value::from)
        .boxed()
    };
}

fn text(pattern: &'static str) -> BoxedStrategy<String> {
    prop_oneof![
        8 => pattern.prop_map(String::from),
        // Around the change of form.
        1 => (250..260usize).prop_map(|length| "x".repeat(length)),
    ]
    .boxed()
}

/// Any value of a primitive type.
fn of_type(name: &str) -> BoxedStrategy<Value> {
    match name {
        "null" => Just(Value::Null).boxed(),
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "ubyte" => any::<u8>().prop_map(Value::from).boxed(),
        "ushort" => any::<u16>().prop_map(Value::from).boxed(),
        "uint" => number!(u32),
        "ulong" => number!(u64),
        "byte" => any::<i8>().prop_map(Value::from).boxed(),
        "short" => any::<i16>().prop_map(Value::from).boxed(),
        "int" => number!(i32),
        "long" => number!(i64),
        "float" => any::<f32>().prop_filter("equals itself", |n| !n.is_nan()).prop_map(Value::from).boxed(),
        "double" => any::<f64>().prop_filter("equals itself", |n| !n.is_nan()).prop_map(Value::from).boxed(),
        "decimal32" => any::<[u8; 4]>().prop_map(|bits| Decimal32(bits).into()).boxed(),
        "decimal64" => any::<[u8; 8]>().prop_map(|bits| Decimal64(bits).into()).boxed(),
        "decimal128" => any::<[u8; 16]>().prop_map(|bits| Decimal128(bits).into()).boxed(),
        "char" => any::<char>().prop_map(Value::from).boxed(),
        "timestamp" => any::<i64>().prop_map(|time| Timestamp(time).into()).boxed(),
        "uuid" => any::<u128>().prop_map(|bits| Uuid::from_u128(bits).into()).boxed(),
        "binary" => {
            prop_oneof![8 => vec(any::<u8>(), 0..12), 1 => vec(any::<u8>(), 250..260)].prop_map(Value::from).boxed()
        }
        "string" => text(".{0,8}").prop_map(Value::from).boxed(),
        "symbol" => text("[ -~]{0,8}").prop_map(|text| Symbol::new(text).unwrap().into()).boxed(),
        "list" => vec(scalar(), 0..4).prop_map(Value::List).boxed(),
        "map" => map(scalar()).prop_map(Value::from).boxed(),
        "*" => scalar(),
        other => panic!("no values of {other}"),
    }
}

/// An array of any type: scalars drawn by type, or those of the values that share the type of the first.
fn array(inner: impl Strategy<Value = Value> + Clone + 'static) -> BoxedStrategy<Value> {
    let elements = prop_oneof![
        select(vec![
            "null",
            "boolean",
            "ubyte",
            "ushort",
            "uint",
            "ulong",
            "byte",
            "short",
            "int",
            "long",
            "float",
            "double",
            "decimal32",
            "decimal64",
            "decimal128",
            "char",
            "timestamp",
            "uuid",
            "binary",
            "string",
            "symbol",
            "list",
            "map",
        ])
        .prop_flat_map(|name| vec(of_type(name), 1..6)),
        vec(inner, 1..5),
    ];
    (vec(descriptor(), 0..2), elements, any::<bool>())
        .prop_map(|(descriptors, mut elements, empty)| {
            let of = elements.iter().find_map(Value::value_type).unwrap_or(ValueType::Uint);
            elements.retain(|element| !empty && element.value_type() == Some(of));
            Array::described(descriptors, of, elements).unwrap().into()
        })
        .boxed()
}

/// The fields of a composite type, each absent or of the type that its row says.
pub(crate) fn fields(row: &'static Composite) -> BoxedStrategy<Vec<Value>> {
    row.fields.iter().map(field).collect::<Vec<_>>().boxed()
}

fn field(field: &'static Field) -> BoxedStrategy<Value> {
    let one = || match (field.ty, field.requires) {
        ("*", Some(requires)) => provider(requires),
        (ty, _) => named(ty),
    };
    let present = if field.multiple { several(one(), field.mandatory) } else { one() };
    if field.mandatory { present } else { option::weighted(0.6, present).prop_map(Value::from).boxed() }
}

/// One value bare, or an array of them.
fn several(one: BoxedStrategy<Value>, mandatory: bool) -> BoxedStrategy<Value> {
    let count = usize::from(mandatory)..4;
    let array = vec(one.clone(), count).prop_map(|many| Array::new(ValueType::Symbol, many).unwrap().into());
    prop_oneof![one, array].boxed()
}

fn named(ty: &'static str) -> BoxedStrategy<Value> {
    if let Some(row) = COMPOSITES.iter().find(|row| row.name == ty) {
        return composite(row);
    }
    match RESTRICTED.iter().find(|row| row.name == ty) {
        // The one restricted type whose size has a limit.
        Some(row) if row.name == "delivery-tag" => vec(any::<u8>(), 0..=DeliveryTag::MAX).prop_map(Value::from).boxed(),
        Some(row) => named(row.source),
        None => of_type(ty),
    }
}

/// A composite type as a described list.
pub(crate) fn composite(row: &'static Composite) -> BoxedStrategy<Value> {
    fields(row).prop_map(|fields| Value::described(row.code, Value::List(fields))).boxed()
}

fn provider(requires: &'static str) -> BoxedStrategy<Value> {
    let row = |name: &str| *COMPOSITES.iter().find(|row| row.name == name).unwrap();
    let outcomes = ["accepted", "rejected", "released", "modified", "declared"].map(row);
    match requires {
        "address" => of_type("string"),
        "message-id" => select(vec!["ulong", "uuid", "binary", "string"]).prop_flat_map(of_type).boxed(),
        "txn-id" => of_type("binary"),
        "global-tx-id" => scalar().prop_filter("null is absence", |value| *value != Value::Null).boxed(),
        "error-condition" | "distribution-mode" | "txn-capability" => of_type("symbol"),
        "source" => composite(row("source")),
        "target" => prop_oneof![composite(row("target")), composite(row("coordinator"))].boxed(),
        "outcome" => select(outcomes.to_vec()).prop_flat_map(composite).boxed(),
        "delivery-state" => prop_oneof![
            4 => select(outcomes.to_vec()).prop_flat_map(composite),
            1 => composite(row("received")),
            1 => composite(row("transactional-state")),
            1 => scalar().prop_map(|value| Value::described("x:state", value)),
        ]
        .boxed(),
        other => panic!("nothing provides {other}"),
    }
}

/// Any message.
pub(crate) fn message() -> impl Strategy<Value = Message> {
    fn read<T: Decode + std::fmt::Debug + 'static>(row: &'static str) -> BoxedStrategy<T> {
        let row = COMPOSITES.iter().find(|one| one.name == row).unwrap();
        composite(row).prop_map(|value| super::decode(&super::encode(&value)).unwrap()).boxed()
    }
    let annotations = || map(scalar()).prop_map(Annotations);
    let data = || vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    let sequence = || vec(value(), 0..4);
    let body = prop_oneof![
        Just(Body::Empty),
        data().prop_map(Body::Data),
        vec(data(), 2..4).prop_map(Body::DataSections),
        sequence().prop_map(Body::Sequence),
        vec(sequence(), 2..4).prop_map(Body::Sequences),
        value().prop_map(Body::Value),
    ];
    (
        option::of(read::<Header>("header")),
        option::of(annotations().prop_map(DeliveryAnnotations)),
        option::of(annotations().prop_map(MessageAnnotations)),
        option::of(read::<Properties>("properties").prop_map(Box::new)),
        option::of(map(scalar()).prop_map(ApplicationProperties)),
        body,
        option::of(annotations().prop_map(Footer)),
    )
        .prop_map(|(header, delivery, annotations, properties, application_properties, body, footer)| Message {
            header,
            delivery_annotations: delivery,
            message_annotations: annotations,
            properties,
            application_properties,
            body,
            footer,
        })
}
