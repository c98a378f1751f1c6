//! What selectors are true of.

use bytes::Bytes;
use postroad_codec::v1_0::{
    Annotations, ApplicationProperties, Header, Map, Message, MessageAnnotations, MessageFormat, MessageId,
    Milliseconds, Properties, SequenceNo, Timestamp, Uuid, Value,
};
use proptest::prelude::*;

use super::error::SelectorErrorKind as Kind;
use super::*;

/// A message with these application properties.
fn with(properties: impl IntoIterator<Item = (&'static str, Value)>) -> Message {
    let properties = ApplicationProperties(Map::from_iter(properties));
    Message { application_properties: Some(properties), ..Message::from("body") }
}

/// A message with properties of all kinds.
fn usual() -> Message {
    with([
        ("A", "Bye, bye cruel world".into()),
        ("B", "hello kitty".into()),
        ("T", Value::Boolean(true)),
        ("F", Value::Boolean(false)),
        ("n", Value::Int(39)),
        ("x", Value::Double(42.0)),
        ("f", Value::Float(1.5)),
        ("big", Value::Ulong(u64::MAX)),
        ("byte", Value::Byte(-3)),
        ("symbol", Value::Symbol("red".into())),
        ("null", Value::Null),
        ("bytes", Value::Binary(vec![1, 2].into())),
        ("odd-name", "odd".into()),
        ("größe", Value::Ushort(7)),
    ])
}

fn matches(selector: &str, payload: &Bytes, failures: u32) -> bool {
    let selector = Selector::new(selector).unwrap_or_else(|error| panic!("{selector}: {error}"));
    selector.matches(Candidate { payload, format: MessageFormat(0), failures })
}

/// Checks what a condition comes to, by what it and its negation match.
fn check(condition: &str, expected: Option<bool>) {
    let payload = usual().to_bytes();
    let holds = |selector: String| matches(&selector, &payload, 0);
    assert_eq!(holds(condition.into()), expected == Some(true), "{condition}");
    assert_eq!(holds(format!("NOT ({condition})")), expected == Some(false), "NOT ({condition})");
    assert_eq!(holds(format!("({condition}) IS NULL")), expected.is_none(), "({condition}) IS NULL");
}

const T: Option<bool> = Some(true);
const F: Option<bool> = Some(false);
const U: Option<bool> = None;

#[test]
fn conditions() {
    for (condition, expected) in [
        ("TRUE", T),
        ("false", F),
        ("T", T),
        ("F", F),
        // What is no truth value is none.
        ("missing", U),
        // Texts.
        ("A = 'Bye, bye cruel world'", T),
        ("A='hello kitty'", F),
        ("A<>'hello kitty'", T),
        ("A = B", F),
        ("A <> B", T),
        ("symbol = 'red'", T),
        ("\"odd-name\" = 'odd'", T),
        ("größe = 7", T),
        ("A = missing", U),
        ("missing <> missing", U),
        ("\"null\" IS NULL", T),
        ("bytes IS NULL", T),
        ("A IS NOT NULL", T),
        ("42 IS NULL", F),
        ("missing = ''", U),
        // Kinds that cannot be compared: the comparison is false.
        ("A = 5", F),
        ("A <> 5", F),
        ("A < 'Z'", F),
        ("'hello' > 19.0", F),
        ("T = 1", F),
        ("T <> F", T),
        ("T = TRUE", T),
        ("T > F", F),
        // Numbers.
        ("n = 39.0", T),
        ("x = 42", T),
        ("x > n", T),
        ("byte = -3", T),
        ("f = 3/2.0", T),
        ("17/4 = 4", T),
        ("17/4.0 = 4.25", T),
        ("17/4 > +4", F),
        ("n/0 = 1", U),
        ("x/0 > 1", T),
        ("x/0 = x/0", T),
        ("0.0/0 = 0.0/0", F),
        ("-n = 0 - n", T),
        ("--n = n", T),
        ("---n = -n", T),
        ("-(n) = -39", T),
        ("n * 2 + 1 = 79", T),
        ("1 + n * 2 = 79", T),
        ("(1 + n) * 2 = 80", T),
        ("100 - 10 - 5 = 85", T),
        ("100 / 10 / 5 = 2", T),
        ("big > 9223372036854775807", T),
        ("9223372036854775807 + 1 < 0", T),
        ("-9223372036854775808 = 0x8000_0000_0000_0000", T),
        ("0xFF = 255L", T),
        ("077 = 63", T),
        ("n + A = 5", U),
        ("-A = 5", U),
        ("-(T OR F) = 1", U),
        ("n + missing > 0", U),
        // Between.
        ("n BETWEEN 39 AND 40", T),
        ("n BETWEEN 30 AND 38.5", F),
        ("n NOT BETWEEN 30 AND 38.5", T),
        ("n BETWEEN missing AND 38", U),
        ("n BETWEEN 40 AND missing", U),
        ("A BETWEEN 1 AND 2", F),
        ("A NOT BETWEEN 1 AND 2", T),
        ("n BETWEEN 1 + 1 AND 20 * 2 AND T", T),
        // Lists.
        ("B IN ('hello', 'hello kitty')", T),
        ("B IN ('hello')", F),
        ("B NOT IN ('hello', 'kitty')", T),
        ("B NOT IN ('hello', 'hello kitty')", F),
        ("n IN (1, 'x', TRUE, (40 - 1))", T),
        ("missing IN ('a')", U),
        ("missing NOT IN ('a')", U),
        ("n IN (1, missing)", U),
        ("n IN (39, missing)", T),
        ("n NOT IN (39, missing)", F),
        ("n NOT IN (1, missing)", U),
        ("n NOT IN ('a', 'b')", F),
        // Like.
        ("A LIKE '%cru_l%'", T),
        ("A NOT LIKE '%cru_l%'", F),
        ("A LIKE 'bye%'", F),
        ("'a_b' LIKE 'a!_b' ESCAPE '!'", T),
        ("'axb' LIKE 'a!_b' escape '!'", F),
        ("n LIKE '39'", U),
        ("missing LIKE '%'", U),
        ("missing NOT LIKE '%'", U),
        // Precedence.
        ("T OR F AND F", T),
        ("(T OR F) AND F", F),
        ("NOT T OR T", T),
        ("NOT n = 40", T),
        ("NOT NOT n = 39", T),
        ("NOT NOT NOT n = 39", F),
        ("NOT n IS NULL", T),
        // Three values (JMS 2.0, tables 3-4 to 3-6).
        ("missing AND T", U),
        ("missing AND F", F),
        ("F AND missing", F),
        ("missing AND missing", U),
        ("missing OR T", T),
        ("T OR missing", T),
        ("missing OR F", U),
        ("NOT missing", U),
        ("A AND T", U),
        ("A OR T", T),
        ("(missing = 1 OR T) AND NOT F", T),
    ] {
        check(condition, expected);
    }
    let payload = usual().to_bytes();
    assert!(matches("", &payload, 0) && matches(" \t", &payload, 0));
}

#[test]
fn fields_have_names() {
    let header = Header { priority: Some(7), durable: Some(true), delivery_count: Some(1), ..Header::default() };
    let mut annotations = Annotations::default();
    annotations.0.insert(Value::Symbol("jms-type".into()), Value::from("note"));
    let properties = Properties {
        message_id: Some(MessageId::from(17)),
        correlation_id: Some(Uuid::from_bytes([0x11; 16]).into()),
        subject: Some("news".into()),
        to: Some("q".to_string().into()),
        reply_to: Some("r".to_string().into()),
        creation_time: Some(Timestamp(1000)),
        absolute_expiry_time: Some(Timestamp(2000)),
        group_id: Some("g".into()),
        group_sequence: Some(SequenceNo(3)),
        user_id: Some(Bytes::from_static(b"me")),
        ..Properties::default()
    };
    let message = Message {
        header: Some(header),
        message_annotations: Some(MessageAnnotations(annotations)),
        properties: Some(Box::new(properties)),
        ..with([("amqp.other", Value::Int(1)), ("JMSXOther", Value::Int(2))])
    };
    let payload = message.to_bytes();
    for condition in [
        "JMSMessageID = '17' AND amqp.message_id = '17'",
        "JMSCorrelationID = '11111111-1111-1111-1111-111111111111'",
        "JMSType = 'news' AND amqp.subject LIKE 'n%'",
        "JMSDestination = 'q' AND amqp.to = 'q'",
        "JMSReplyTo = 'r' AND amqp.reply_to = 'r'",
        "JMSPriority = 7 AND amqp.priority > 6.5",
        "JMSDeliveryMode = 'PERSISTENT' AND amqp.durable",
        "JMSRedelivered AND amqp.delivery_count = 3 AND JMSXDeliveryCount = 4",
        "JMSTimestamp = 1000 AND amqp.creation_time + 1000 = JMSExpiration",
        "JMSXGroupID = 'g' AND JMSXGroupSeq = 3 AND JMSXUserID = 'me'",
        "amqp.jms_type = 'note'",
        "amqp.other = 1 AND JMSXOther = 2 AND amqp.unknown IS NULL AND \"JMSType\" = 'news'",
    ] {
        assert!(matches(condition, &payload, 2), "{condition}");
    }
    let payload = Message::from("body").to_bytes();
    for condition in [
        "JMSPriority = 4 AND JMSDeliveryMode = 'NON_PERSISTENT' AND NOT JMSRedelivered",
        "JMSTimestamp = 0 AND JMSExpiration = 0 AND JMSXDeliveryCount = 1",
        "JMSMessageID IS NULL AND JMSType IS NULL AND JMSCorrelationID IS NULL AND amqp.to IS NULL",
    ] {
        assert!(matches(condition, &payload, 0), "{condition}");
    }
    assert!(matches("JMSRedelivered", &payload, 1));
    let header = Header { ttl: Some(Milliseconds(5)), ..Header::default() };
    let payload = Message { header: Some(header), ..Message::from("body") }.to_bytes();
    assert!(matches("JMSExpiration IS NULL", &payload, 0));
}

#[test]
fn what_is_no_message_has_no_fields() {
    let payload = usual().to_bytes();
    let selector = Selector::new("n = 39 OR JMSPriority = 4").unwrap();
    let candidate = Candidate { payload: &payload, format: MessageFormat(1), failures: 0 };
    assert!(!selector.matches(candidate));
    assert!(matches("n IS NULL AND JMSPriority IS NULL AND JMSType IS NULL", &Bytes::from_static(b"garbage"), 0));
    assert!(matches("TRUE", &Bytes::new(), 0));
    // The sections are found and the properties are malformed.
    let malformed = Bytes::from_static(b"\0\x53\x74\xc1\x05\x02\xa1\x01k\xff");
    assert!(matches("k IS NULL AND JMSPriority = 4", &malformed, 0));
}

#[test]
fn the_first_of_two_properties_counts() {
    let payload = with([("k", Value::Int(1)), ("z", Value::Int(0)), ("k", Value::Int(2))]).to_bytes();
    assert!(matches("k = 1 AND z = 0 AND a IS NULL", &payload, 0));
}

#[test]
fn what_is_malformed_says_where_and_why() {
    let fault = |text: &str| {
        let error = Selector::new(text).expect_err(text);
        assert!(error.to_string().starts_with(&format!("selector at byte {}: ", error.offset())), "{error}");
        (error.offset(), error.kind().clone())
    };
    for (text, at) in [
        ("hello world", 6),
        ("A is null not", 10),
        ("A is null or", 12),
        ("A is null or and", 13),
        ("A is null and (B='x'", 20),
        ("in='hello kitty'", 0),
        ("A like 234", 7),
        ("A not 234 escape", 6),
        ("A not like 'e_' escape happy", 23),
        ("A BETWEEN AND 'true'", 10),
        ("A NOT BETWEEN 34 OR 3.9", 17),
        ("A IN ()", 6),
        ("A IN 'hello'", 5),
        ("A IN ('hello' 'there')", 14),
        ("A =", 3),
        ("A = NOT B", 4),
        ("= 1", 0),
        ("()", 1),
        ("A = 1)", 5),
        ("A is B", 5),
        ("A LIKE B", 7),
    ] {
        let (offset, kind) = fault(text);
        assert_eq!(offset, at, "{text}");
        assert!(matches!(kind, Kind::Expected(_)), "{text}");
    }
    assert_eq!(fault("A != 1"), (2, Kind::Character('!')));
    assert_eq!(fault("A LIKE 'a' ESCAPE '%'"), (18, Kind::Escape));
    assert_eq!(fault("A LIKE 'a' ESCAPE 'ab'"), (18, Kind::Escape));
    assert_eq!(fault("A LIKE 'a' ESCAPE ''"), (18, Kind::Escape));
    assert_eq!(fault("A LIKE 'a!' ESCAPE '!'"), (7, Kind::DanglingEscape));
    assert_eq!(fault("9223372036854775808 > 0"), (0, Kind::TooLarge));
    assert_eq!(fault("-9223372036854775809 < 0"), (1, Kind::TooLarge));
}

#[test]
fn selectors_have_limits() {
    let kind = |text: String| Selector::new(&text).map(drop).map_err(|error| error.kind().clone());
    assert_eq!(kind(" ".repeat(MAX_LEN)), Ok(()));
    assert_eq!(kind(" ".repeat(MAX_LEN + 1)), Err(Kind::TooLong(MAX_LEN + 1)));
    let nested = |depth: usize| format!("{}TRUE{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(kind(nested(MAX_DEPTH)), Ok(()));
    assert_eq!(kind(nested(MAX_DEPTH + 1)), Err(Kind::TooDeep));
    assert_eq!(kind("(".repeat(MAX_LEN)), Err(Kind::TooDeep));
    // What fills the stack is refused, whatever it is made of.
    let mut stacked = "1".to_string();
    for _ in 0..MAX_DEPTH - 1 {
        stacked = format!("1 + 2 * ({stacked})");
    }
    assert_eq!(kind(stacked), Err(Kind::TooDeep));
    // What recurses elsewhere does not here.
    for (start, again, end) in [("", "NOT ", "T"), ("", "- ", "1"), ("1", "+1", ""), ("T", " OR T", "")] {
        let text = format!("{start}{}{end}", again.repeat(500));
        assert_eq!(kind(text.clone()), Ok(()), "{text}");
    }
    assert_eq!(kind(format!("1{}", "+1".repeat(MAX_STEPS))), Err(Kind::TooManySteps));
    let names = |count: usize| (0..count).map(|n| format!("a{n}")).collect::<Vec<_>>().join(" OR ");
    assert_eq!(kind(names(MAX_PROPERTIES)), Ok(()));
    assert_eq!(kind(names(MAX_PROPERTIES + 1)), Err(Kind::TooManyProperties));
    assert_eq!(kind(format!("A LIKE '{}'", "%".repeat(MAX_PATTERN + 1))), Err(Kind::PatternTooLong(MAX_PATTERN + 1)));
}

/// A lock is held while a message is looked at.
#[test]
fn patterns_look_at_so_much_of_a_message_and_no_more() {
    let payload = with([("long", "a".repeat(MAX_EFFORT / 4).into())]).to_bytes();
    let middle = |times: usize| "long LIKE '%b%' OR ".repeat(times);
    assert!(matches(&format!("{}(long LIKE '%a%')", middle(3)), &payload, 0));
    assert!(matches(&format!("{}(long LIKE '%a%') IS NULL", middle(4)), &payload, 0));
    // What is at the ends alone is found at once.
    assert!(matches(&format!("{}long LIKE 'a%a'", middle(4)), &payload, 0));
    // Of 1 and the pattern's 3 units each byte is worth 4.
    assert!(matches("long LIKE '%a_a%'", &payload, 0));
    assert!(matches("(long LIKE '%a_aa%') IS NULL", &payload, 0));
}

#[test]
fn looks_that_take_longer_count_for_more() {
    let (small, large) = (usual().to_bytes(), with([("long", "a".repeat(1_000_000).into())]).to_bytes());
    let effort = |selector: &str, payload: &Bytes| {
        Selector::new(selector).unwrap().effort(Candidate { payload, format: MessageFormat(0), failures: 0 })
    };
    assert_eq!(effort("A = 'b' AND n > 4", &small), 0);
    assert_eq!(effort(&vec!["n = 1"; 400].join(" OR "), &small), (5 * 400 - 2) / 64);
    assert_eq!(effort("A = 'b'", &large), 1_000_000 / 4096);
    assert_eq!(effort("A LIKE '%b%'", &large), (1_000_000 + MAX_EFFORT) / 4096);
    assert_eq!(effort("A LIKE '%_____________b%'", &large), (1_000_000 + MAX_EFFORT) / 4096);
}

#[test]
fn of_many_properties_the_first_count() {
    let mut properties = ApplicationProperties::default();
    for number in 0..=crate::properties::MAX_PROPERTIES {
        properties.0.insert(format!("p{number}"), Value::Int(1));
    }
    let payload = Message { application_properties: Some(properties), ..Message::from("x") }.to_bytes();
    assert!(matches("p0 = 1 AND p4095 = 1 AND p4096 IS NULL", &payload, 0));
    let octets = |length: usize| Properties { user_id: Some(vec![b'a'; length].into()), ..Properties::default() };
    for (length, known) in [(4096, true), (4097, false)] {
        let message = Message { properties: Some(Box::new(octets(length))), ..Message::from("x") };
        assert_eq!(matches("JMSXUserID LIKE 'a%'", &message.to_bytes(), 0), known, "{length}");
    }
}

/// Conditions of every kind over a few properties, some of which are missing.
fn condition() -> impl Strategy<Value = String> {
    let operand = prop::sample::select(vec!["n", "x", "A", "T", "F", "missing", "1", "-2.5", "'hello'", "TRUE"]);
    let leaf = prop_oneof![
        operand.clone().prop_map(str::to_owned),
        (operand.clone(), prop::sample::select(vec!["=", "<>", "<", ">=", "+", "/"]), operand.clone())
            .prop_map(|(left, sign, right)| format!("{left} {sign} {right}")),
        (operand.clone(), operand.clone(), operand.clone()).prop_map(|(a, b, c)| format!("{a} BETWEEN {b} AND {c}")),
        (operand.clone(), operand.clone(), operand.clone()).prop_map(|(a, b, c)| format!("{a} NOT IN ({b}, {c})")),
        operand.clone().prop_map(|operand| format!("{operand} LIKE '%l_%'")),
        operand.prop_map(|operand| format!("{operand} IS NOT NULL")),
    ];
    leaf.prop_recursive(4, 32, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) AND ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) OR ({b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

/// True, false, or `None` for unknown.
fn outcome(condition: &str, payload: &Bytes) -> Option<bool> {
    let holds = matches(condition, payload, 0);
    let fails = matches(&format!("NOT ({condition})"), payload, 0);
    assert!(!(holds && fails), "{condition}");
    (holds || fails).then_some(holds)
}

proptest! {
    #[test]
    fn laws_hold_with_three_values(a in condition(), b in condition()) {
        let payload = usual().to_bytes();
        let outcome = |condition: String| outcome(&condition, &payload);
        prop_assert_eq!(outcome(format!("NOT NOT ({a})")), outcome(a.clone()));
        prop_assert_eq!(outcome(format!("NOT (({a}) AND ({b}))")), outcome(format!("NOT ({a}) OR NOT ({b})")));
        prop_assert_eq!(outcome(format!("NOT (({a}) OR ({b}))")), outcome(format!("NOT ({a}) AND NOT ({b})")));
        prop_assert_eq!(outcome(format!("({a}) AND ({b})")), outcome(format!("({b}) AND ({a})")));
        prop_assert_eq!(outcome(format!("({a}) OR ({b})")), outcome(format!("({b}) OR ({a})")));
        // The excluded middle is not excluded, but nothing is both.
        prop_assert_ne!(outcome(format!("({a}) AND NOT ({a})")), T);
    }

    #[test]
    fn any_text_is_a_selector_or_an_error(text in "\\PC{0,60}", payload in prop::collection::vec(any::<u8>(), 0..60)) {
        crate::fuzz::selector(text.as_bytes());
        if let Ok(selector) = Selector::new(&text) {
            selector.matches(Candidate { payload: &payload, format: MessageFormat(0), failures: 0 });
        }
    }

    #[test]
    fn words_in_any_order_are_a_selector_or_an_error(
        words in prop::collection::vec(prop::sample::select(vec![
            "a", "JMSType", "'t'", "1", "2.5", "AND", "OR", "NOT", "IN", "(", ")", ",", "LIKE", "ESCAPE", "BETWEEN",
            "IS", "NULL", "=", "<>", "<", "+", "-", "*", "/", "TRUE", "'%_'", "'!'",
        ]), 0..30)
    ) {
        crate::fuzz::selector(words.join(" ").as_bytes());
    }
}
