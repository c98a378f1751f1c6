//! Everything that a message says of itself arrives.

use postroad_messaging::MessageExt as _;
use postroad_messaging::address::Address;
use postroad_messaging::types::{Annotations, Bytes, MessageId, Timestamp, Uuid};

use super::*;

fn annotations(value: &str) -> Annotations {
    let mut annotations = Annotations::default();
    annotations.0.insert(postroad_messaging::types::Symbol::from_static("x-opt-mark"), value);
    annotations
}

fn full() -> Message {
    let mut message = Message::from("content")
        .with_id(MessageId::from("id-1"))
        .with_user_id(Bytes::from_static(b"alice"))
        .with_address("q")
        .with_subject("subject")
        .with_reply_to("replies")
        .with_correlation_id(MessageId::from(7_u64))
        .with_content_type("text/plain")
        .with_expiry_time(Timestamp(4_102_444_800_000))
        .with_creation_time(Timestamp(1_700_000_000_000))
        .with_group_id("group")
        .with_reply_to_group_id("reply-group")
        .with_durable(true)
        .with_priority(7)
        .with_ttl(Duration::from_secs(60))
        .with_property("number", 42)
        .with_property("text", "value")
        .with_property("uuid", Uuid::from_u128(9));
    message.set_content_encoding("identity");
    message.set_group_sequence(3);
    message.set_annotations(annotations("every hop"));
    message.set_footer(annotations("behind"));
    message
}

fn check(message: &Message) {
    assert_eq!(message.text(), Some("content"));
    assert_eq!(message.id(), Some(&MessageId::from("id-1")));
    assert_eq!(message.user_id(), Some(&b"alice"[..]));
    assert_eq!(message.address(), Some("q"));
    assert_eq!(message.subject(), Some("subject"));
    assert_eq!(message.reply_to(), Some("replies"));
    assert_eq!(message.correlation_id(), Some(&MessageId::from(7_u64)));
    assert_eq!(message.content_type(), Some("text/plain"));
    assert_eq!(message.content_encoding(), Some("identity"));
    assert_eq!(message.expiry_time(), Some(Timestamp(4_102_444_800_000)));
    assert_eq!(message.creation_time(), Some(Timestamp(1_700_000_000_000)));
    assert_eq!((message.group_id(), message.group_sequence()), (Some("group"), Some(3)));
    assert_eq!(message.reply_to_group_id(), Some("reply-group"));
    assert!(message.durable());
    assert_eq!(message.priority(), 7);
    assert!(message.ttl().is_some_and(|ttl| ttl <= Duration::from_secs(60) && ttl > Duration::from_secs(30)));
    assert_eq!(message.properties().map(|properties| properties.0.len()), Some(3));
    assert_eq!(message.property("number").and_then(|number| number.as_i64()), Some(42));
    assert_eq!(message.property("text").and_then(|text| text.as_str()), Some("value"));
    assert_eq!(message.annotations(), Some(&annotations("every hop")));
    assert_eq!(message.footer(), Some(&annotations("behind")));
}

#[tokio::test]
async fn every_property_arrives() {
    let world = world().await;
    check(&full());
    world.sender("q").await.send(full()).await.unwrap();
    check(&world.receiver("q").await.fetch().await.unwrap());
}

#[test]
fn an_encoded_message_reads_back() {
    let mut message = full();
    message.set_instructions(annotations("next hop"));
    let back = Message::decode(&message.encode()).unwrap();
    check(&back);
    assert_eq!(back.instructions(), Some(&annotations("next hop")));
    assert_eq!(back, message);
    assert!(Message::decode(&message.encode().slice(1..)).is_err());
}

#[tokio::test]
async fn a_message_counts_the_deliveries_that_failed() {
    let world = world().await;
    world.fill(&["a"]).await;
    let receiver = world.receiver("q").await;
    let message = receiver.fetch().await.unwrap();
    assert_eq!((message.delivery_count(), message.redelivered()), (0, false));
    assert!(message.delivery_tag().is_some() && !message.is_settled());
    receiver.modify(&message, true, false, None).unwrap();
    let message = receiver.fetch().await.unwrap();
    assert_eq!((message.delivery_count(), message.redelivered()), (1, true));
}

#[test]
fn an_address_for_answers_has_one_subject_and_a_name() {
    let topic = |text: &str| Address::parse(&format!("{text}; {{node: {{type: topic}}}}")).unwrap();
    for text in ["name/subject", "'a/b/c'", "'/a'", "name"] {
        let mut message = Message::from("a");
        message.set_reply_address(&topic(text));
        assert_eq!(message.reply_address(), Some(topic(text)), "{text}");
    }
}
