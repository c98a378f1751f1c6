//! `MessageEchoTests` of `qpid.tests.messaging.message`.

use postroad_messaging::types::{Map, Uuid, Value};
use postroad_messaging::{Content, ContentError, SendError};

use super::*;

impl Pair {
    async fn check(&self, message: impl Into<Message>) -> Message {
        let message = message.into();
        let echo = self.echo(message.clone()).await;
        assert_echo(&self.base, &message, &echo);
        echo
    }

    async fn echo(&self, message: Message) -> Message {
        soon(self.snd.send(message)).await.unwrap();
        let echo = fetch(&self.rcv).await;
        soon(self.base.ssn.acknowledge(&echo)).await.unwrap();
        echo
    }
}

fn test_map() -> Map {
    [
        ("key1", Value::from(b"string".to_vec())),
        ("key2", Value::from("unicode")),
        ("key3", Value::from(3_i64)),
        ("key4", Value::from(-3_i64)),
        ("key5", Value::from(3.25)),
        ("key6", Value::from(-3.25)),
        ("key7", Value::List(vec!["one".into(), 2_i64.into(), 3.25.into()])),
        ("key8", Value::List(Vec::new())),
        ("key9", Value::from(Map::from_iter([("sub-key0", 3_i64)]))),
        ("key10", Value::from(true)),
        ("key11", Value::from(false)),
        ("x-amqp-0-10.app-id", Value::from(b"test-app-id".to_vec())),
        ("x-amqp-0-10.content-encoding", Value::from("test-content-encoding")),
    ]
    .into_iter()
    .collect()
}

fn list(values: impl IntoIterator<Item = Value>) -> Message {
    Message::from(Value::List(values.into_iter().collect()))
}

pub(super) async fn test_string_content(base: Base) {
    base.pair().await.check(b"string".to_vec()).await;
}

pub(super) async fn test_unicode_content(base: Base) {
    base.pair().await.check("unicode").await;
}

pub(super) async fn test_map_content(base: Base) {
    let echo = base.pair().await.check(test_map()).await;
    assert_eq!(echo.content(), Ok(Content::Map(&test_map())));
}

pub(super) async fn test_list_content(base: Base) {
    let pair = base.pair().await;
    pair.check(list([])).await;
    pair.check(list([1_i64.into(), 2_i64.into(), 3_i64.into()])).await;
    let four = Value::from(Map::from_iter([("four", 4_i64)]));
    pair.check(list(["one".into(), 2_i64.into(), 3.25.into(), four])).await;
}

/// In place of the original's tests of lists: RabbitMQ takes an empty one, and one of one number.
pub(super) async fn a_list_may_end_the_session(base: Base) {
    let pair = base.pair().await;
    pair.check(list([])).await;
    pair.check(list([1_i64.into()])).await;
    let id = Value::Uuid(Uuid::from_u128(7));
    let sent = soon(pair.snd.send(list(["testSendList".into(), 1_i64.into(), 3.25.into(), id]))).await;
    let fetched = soon(pair.rcv.fetch()).await;
    assert!(matches!(sent, Ok(()) | Err(SendError::InDoubt(_))), "{sent:?}");
    assert!(matches!(fetched, Err(FetchError::Link(LinkError::Session(_)))), "{fetched:?}");
}

/// Those of the original that the broker takes.
fn properties(base: &Base) -> Map {
    let is_simple = |value: &Value| !matches!(value, Value::List(_) | Value::Map(_));
    let all = test_map().into_iter();
    all.filter(|(_, value)| base.broker.any_properties || is_simple(value)).collect()
}

/// In place of the others.
pub(super) async fn a_list_among_the_properties_ends_the_connection(base: Base) {
    let Pair { base, snd, rcv } = base.pair().await;
    let message = Message::from("test").with_property("c", Value::List(vec!["x".into(), 2_i64.into()]));
    let sent = soon(snd.send(message)).await;
    assert!(matches!(sent, Ok(()) | Err(SendError::InDoubt(_))), "{sent:?}");
    let fetched = soon(rcv.fetch()).await;
    assert!(matches!(fetched, Err(FetchError::Link(LinkError::Session(_)))), "{fetched:?}");
    assert!(!base.conn.is_open());
}

pub(super) async fn test_properties(base: Base) {
    let mut message = Message::new()
        .with_subject("subject")
        .with_correlation_id("test-id")
        .with_durable(true)
        .with_priority(7)
        .with_ttl(Duration::from_secs(60))
        .with_reply_to("reply-address");
    message.set_body("test");
    let properties = properties(&base);
    for (key, value) in &properties {
        message.set_property(key.as_str().unwrap(), value.clone());
    }
    let echo = base.pair().await.check(message).await;
    assert_eq!((echo.subject(), echo.priority(), echo.reply_to()), (Some("subject"), 7, Some("reply-address")));
    assert_eq!(sorted(echo.properties()), sorted(Some(&properties)));
}

pub(super) async fn test_application_properties(base: Base) {
    let c = if base.broker.any_properties { Value::List(vec!["x".into(), 2_i64.into()]) } else { "C".into() };
    let mut message = Message::from("test")
        .with_property("a", "A")
        .with_property("b", 1)
        .with_property("c", c)
        .with_property("d", "D")
        .with_property("foo", "bar");
    assert_eq!(message.remove_property("foo"), Some(Value::from("bar")));
    assert_eq!(message.remove_property("foo"), None);
    let echo = base.pair().await.check(message).await;
    assert_eq!(echo.properties().unwrap().len(), 4);
}

pub(super) async fn test_content_type_unknown(base: Base) {
    let message = Message::from(b"test".to_vec()).with_content_type("this-content-type-does-not-exist");
    base.pair().await.check(message).await;
}

pub(super) async fn test_text_plain(base: Base) {
    let pair = base.pair().await;
    pair.check(Message::from("asdf").with_content_type("text/plain")).await;
    let octets = pair.check(Message::from(b"asdf".to_vec()).with_content_type("text/plain")).await;
    assert_eq!(octets.content(), Ok(Content::Text("asdf")));
}

/// Without a body, which RabbitMQ gives an empty one: the same text.
pub(super) async fn test_text_plain_empty(base: Base) {
    let pair = base.pair().await;
    let echo = pair.echo(Message::new().with_content_type("text/plain")).await;
    assert_eq!(echo.inferred_content_type(), Some("text/plain"));
    assert!(matches!(echo.content(), Ok(Content::Empty | Content::Text(""))), "{:?}", echo.content());
}

async fn reply_to(base: Base, address: &str, expected: &str) {
    let echo = base.pair().await.echo(Message::new().with_reply_to(address)).await;
    assert_eq!(echo.reply_address().unwrap().to_string(), expected);
}

pub(super) async fn test_reply_to(base: Base) {
    reply_to(base, "name", "name").await;
}

pub(super) async fn test_reply_to_queue(base: Base) {
    reply_to(base, "name; {node: {type: queue}}", "name").await;
}

pub(super) async fn test_reply_to_queue_subject(base: Base) {
    reply_to(base, "name/subject; {node: {type: queue}}", "name").await;
}

pub(super) async fn test_reply_to_topic(base: Base) {
    let address = "name; {node: {type: topic}}";
    reply_to(base, address, address).await;
}

pub(super) async fn test_reply_to_topic_subject(base: Base) {
    let address = "name/subject; {node: {type: topic}}";
    reply_to(base, address, address).await;
}

pub(super) async fn test_boolean_encoding(base: Base) {
    let map = Map::from_iter([("true", true), ("false", false)]);
    let echo = base.pair().await.check(map).await;
    let Ok(Content::Map(map)) = echo.content() else { panic!("{:?}", echo.content()) };
    assert_eq!(map.get_str("true"), Some(&Value::Boolean(true)));
    assert_eq!(map.get_str("false"), Some(&Value::Boolean(false)));
}

pub(super) async fn test_exception_raised_mismatched_content_type(base: Base) {
    let pair = base.pair().await;
    let error = soon(pair.snd.send(Message::from("asdf").with_content_type("amqp/map"))).await.unwrap_err();
    let SendError::Content(ContentError::Encode { content_type, .. }) = error else { panic!("{error}") };
    assert_eq!(content_type, "amqp/map");
    drain(&pair.rcv, 0).await;
}

pub(super) async fn test_recover_after_exception(base: Base) {
    let pair = base.pair().await;
    soon(pair.snd.send(Message::from("asdf").with_content_type("amqp/list"))).await.unwrap_err();
    pair.check(Message::from("asdf").with_content_type("text/plain")).await;
}
