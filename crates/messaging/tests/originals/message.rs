//! Messages: `qpid.tests.messaging.message`.

use postroad_messaging::types::{Body, Map, Value};
use postroad_messaging::{Content, ContentError, SendError, Sender};

use super::*;

/// A sender and a receiver of one queue.
struct Echo {
    base: Base,
    snd: Sender,
    rcv: Receiver,
}

async fn echo() -> Echo {
    const ECHO_Q: &str = "test-message-echo-queue; {create: always}";
    let base = base().await;
    let (snd, rcv) = (base.ssn.sender(ECHO_Q).await.unwrap(), base.ssn.receiver(ECHO_Q).await.unwrap());
    Echo { base, snd, rcv }
}

impl Echo {
    async fn check(&mut self, message: impl Into<Message>) -> Message {
        let message = message.into();
        self.snd.send(message.clone()).await.unwrap();
        let echo = self.rcv.fetch_timeout(NOW).await.unwrap();
        assert_echo(&message, &echo);
        self.base.ssn.acknowledge(&echo).await.unwrap();
        echo
    }

    /// Sends a reply-to, and tells the one that comes.
    async fn reply_to(&mut self, address: &str) -> String {
        self.snd.send(Message::new().with_reply_to(address)).await.unwrap();
        let echo = self.rcv.fetch_timeout(NOW).await.unwrap();
        self.base.ssn.acknowledge(&echo).await.unwrap();
        echo.reply_address().unwrap().to_string()
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

#[test]
fn test_create_string() {
    let message = Message::from(b"string".to_vec());
    assert_eq!(message.content(), Ok(Content::Bytes(&b"string".as_slice().into())));
    assert_eq!(message.inferred_content_type(), None);
}

#[test]
fn test_create_unicode() {
    let message = Message::from("unicode");
    assert_eq!(message.content(), Ok(Content::Text("unicode")));
    assert_eq!(message.inferred_content_type(), Some("text/plain"));
}

#[test]
fn test_create_map() {
    let message = Message::from(Map::default());
    assert_eq!(message.content(), Ok(Content::Map(&Map::default())));
    assert_eq!(message.inferred_content_type(), Some("amqp/map"));
}

#[test]
fn test_create_list() {
    let message = list([]);
    assert_eq!(message.content(), Ok(Content::List(&[])));
    assert_eq!(message.inferred_content_type(), Some("amqp/list"));
}

#[test]
fn test_content_type_override() {
    let mut message = Message::new().with_content_type("text/html; charset=utf8");
    message.set_body("<html/>");
    assert_eq!(message.inferred_content_type(), Some("text/html; charset=utf8"));
    assert_eq!(message.content(), Ok(Content::Text("<html/>")));
}

#[tokio::test]
async fn test_string_content() {
    echo().await.check(b"string".to_vec()).await;
}

#[tokio::test]
async fn test_unicode_content() {
    echo().await.check("unicode").await;
}

#[tokio::test]
async fn test_map_content() {
    let echo = echo().await.check(test_map()).await;
    assert_eq!(echo.content(), Ok(Content::Map(&test_map())));
}

#[tokio::test]
async fn test_list_content() {
    let mut echo = echo().await;
    echo.check(list([])).await;
    echo.check(list([1_i64.into(), 2_i64.into(), 3_i64.into()])).await;
    let four = Value::from(Map::from_iter([("four", 4_i64)]));
    echo.check(list(["one".into(), 2_i64.into(), 3.25.into(), four])).await;
}

#[tokio::test]
async fn test_properties() {
    let mut message = Message::new()
        .with_subject("subject")
        .with_correlation_id("test-id")
        .with_durable(true)
        .with_priority(7)
        .with_ttl(Duration::from_secs(60))
        .with_reply_to("reply-address");
    for (key, value) in &test_map() {
        message.set_property(key.as_str().unwrap(), value.clone());
    }
    let echo = echo().await.check(message).await;
    assert_eq!((echo.subject(), echo.priority(), echo.reply_to()), (Some("subject"), 7, Some("reply-address")));
    assert_eq!(echo.properties(), Some(&test_map()));
}

#[tokio::test]
async fn test_application_properties() {
    let mut message = Message::new()
        .with_property("a", "A")
        .with_property("b", 1)
        .with_property("c", Value::List(vec!["x".into(), 2_i64.into()]))
        .with_property("d", "D")
        .with_property("foo", "bar");
    assert_eq!(message.remove_property("foo"), Some(Value::from("bar")));
    assert_eq!(message.remove_property("foo"), None);
    let echo = echo().await.check(message).await;
    assert_eq!(echo.properties().unwrap().len(), 4);
}

#[tokio::test]
async fn test_content_type_unknown() {
    echo().await.check(Message::new().with_content_type("this-content-type-does-not-exist")).await;
}

#[tokio::test]
async fn test_text_plain() {
    let mut echo = echo().await;
    echo.check(Message::from("asdf").with_content_type("text/plain")).await;
    let octets = echo.check(Message::from(b"asdf".to_vec()).with_content_type("text/plain")).await;
    assert_eq!(octets.content(), Ok(Content::Text("asdf")));
}

#[tokio::test]
async fn test_text_plain_empty() {
    echo().await.check(Message::new().with_content_type("text/plain")).await;
}

#[tokio::test]
async fn test_reply_to() {
    assert_eq!(echo().await.reply_to("name").await, "name");
}

#[tokio::test]
async fn test_reply_to_queue() {
    assert_eq!(echo().await.reply_to("name; {node: {type: queue}}").await, "name");
}

#[tokio::test]
async fn test_reply_to_queue_subject() {
    assert_eq!(echo().await.reply_to("name/subject; {node: {type: queue}}").await, "name");
}

#[tokio::test]
async fn test_reply_to_topic() {
    assert_eq!(echo().await.reply_to("name; {node: {type: topic}}").await, "name; {node: {type: topic}}");
}

#[tokio::test]
async fn test_reply_to_topic_subject() {
    let address = "name/subject; {node: {type: topic}}";
    assert_eq!(echo().await.reply_to(address).await, address);
}

#[tokio::test]
async fn test_boolean_encoding() {
    let map = Map::from_iter([("true", true), ("false", false)]);
    let echo = echo().await.check(map).await;
    let Ok(Content::Map(map)) = echo.content() else { panic!("{:?}", echo.content()) };
    assert_eq!(map.get_str("true"), Some(&Value::Boolean(true)));
    assert_eq!(map.get_str("false"), Some(&Value::Boolean(false)));
}

#[tokio::test]
async fn test_exception_raised_mismatched_content_type() {
    let echo = echo().await;
    let error = echo.snd.send(Message::from("asdf").with_content_type("amqp/map")).await.unwrap_err();
    let SendError::Content(ContentError::Encode { content_type, .. }) = error else { panic!("{error}") };
    assert_eq!(content_type, "amqp/map");
    assert!(drain(&echo.rcv).await.is_empty());
}

#[tokio::test]
async fn test_recover_after_exception() {
    let mut echo = echo().await;
    echo.snd.send(Message::from("asdf").with_content_type("amqp/list")).await.unwrap_err();
    echo.check(Message::from("asdf").with_content_type("text/plain")).await;
}

#[tokio::test]
async fn a_message_whose_content_is_not_what_it_says_is_still_a_message() {
    let mut message = Message::new().with_content_type("amqp/map");
    message.set_body(Body::Data(b"\xff".as_slice().into()));
    let error = message.content().unwrap_err();
    assert!(matches!(error, ContentError::Decode { .. }), "{error}");
    assert_eq!(message.bytes().map(|bytes| &bytes[..]), Some(&b"\xff"[..]));
    message.set_content_type("text/plain");
    assert_eq!(message.content().unwrap_err().to_string(), "content of the type \"text/plain\" is not text in UTF-8");
}
