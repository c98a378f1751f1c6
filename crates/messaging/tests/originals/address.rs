//! What addresses do: `AddressTests` of `qpid.tests.messaging.endpoints`.

use postroad_messaging::types::ErrorCondition;
use postroad_messaging::{AddressError, ConnectionError, Disposition, FetchError, LinkError, SendError, SessionError};

use super::*;

fn address_error(result: Result<impl std::fmt::Debug, LinkError>) -> AddressError {
    match result {
        Err(LinkError::Address(error)) => error,
        other => panic!("{other:?}"),
    }
}

async fn bad_option(options: &str, text: &str) {
    let base = base().await;
    let sender = base.ssn.sender(&format!("test-bad-options-snd; {options}")).await;
    let error = address_error(sender.map(drop));
    assert!(matches!(error, AddressError::InvalidOption(_)), "{error:?}");
    assert_eq!(error.to_string(), format!("error in options: {text}"));
    let receiver = base.ssn.receiver(&format!("test-bad-options-rcv; {options}")).await;
    assert_eq!(address_error(receiver.map(drop)), error);
}

#[tokio::test]
async fn test_illegal_key() {
    let text = "node: this-property-does-not-exist: illegal key";
    bad_option("{create: always, node: {this-property-does-not-exist: 3}}", text).await;
}

#[tokio::test]
async fn test_wrong_value() {
    bad_option("{create: asdf}", "create: asdf not in ('always', 'sender', 'receiver', 'never')").await;
}

#[tokio::test]
async fn test_wrong_type1() {
    bad_option("{node: asdf}", "node: asdf is not a map").await;
}

#[tokio::test]
async fn test_wrong_type2() {
    bad_option("{node: {durable: []}}", "node: durable: [] is not a bool").await;
}

#[tokio::test]
async fn test_create_queue() {
    let base = base().await;
    let address = "test-create-queue; {create: always, delete: always, node: {type: queue, durable: False, \
                   x-declare: {auto_delete: true}}}";
    let snd = base.ssn.sender(address).await.unwrap();
    snd.send("testCreateQueue").await.unwrap();
    let rcv = base.ssn.receiver("test-create-queue").await.unwrap();
    assert_eq!(drain_texts(&rcv).await, ["testCreateQueue"]);
}

async fn create_exchange(kind: &str) {
    let base = base().await;
    let address = format!(
        "test-create-exchange; {{create: always, delete: always, node: {{type: topic, durable: False, \
         x-declare: {{auto_delete: true, {kind}}}}}}}"
    );
    let snd = base.ssn.sender(&address).await.unwrap();
    snd.send("ping").await.unwrap();
    let rcv1 = base.ssn.receiver("test-create-exchange/first").await.unwrap();
    let rcv2 = base.ssn.receiver("test-create-exchange/first").await.unwrap();
    let rcv3 = base.ssn.receiver("test-create-exchange/second").await.unwrap();
    for rcv in [&rcv1, &rcv2, &rcv3] {
        assert_eq!(rcv.fetch_timeout(NOW).await.unwrap_err(), FetchError::Empty);
    }
    snd.send(Message::from("one").with_subject("first")).await.unwrap();
    snd.send(Message::from("two").with_subject("second")).await.unwrap();
    assert_eq!(drain_texts(&rcv1).await, ["one"]);
    assert_eq!(drain_texts(&rcv2).await, ["one"]);
    assert_eq!(drain_texts(&rcv3).await, ["two"]);
}

#[tokio::test]
async fn test_create_exchange() {
    create_exchange("").await;
}

#[tokio::test]
async fn test_create_exchange_direct() {
    create_exchange("type: direct").await;
}

#[tokio::test]
async fn test_create_exchange_topic() {
    create_exchange("type: topic").await;
}

#[tokio::test]
async fn test_delete_by_sender() {
    let base = base().await;
    let snd = base.ssn.sender("test-delete; {create: always}").await.unwrap();
    snd.send("ping").await.unwrap();
    snd.close().await.unwrap();
    let snd = base.ssn.sender("test-delete; {delete: always}").await.unwrap();
    snd.send("ping").await.unwrap();
    snd.close().await.unwrap();
    let error = address_error(base.ssn.sender("test-delete").await.map(drop));
    assert!(matches!(error, AddressError::NotFound { .. }), "{error:?}");
    assert!(error.to_string().contains("no such queue"), "{error}");
}

#[tokio::test]
async fn test_delete_by_receiver() {
    let base = base().await;
    let rcv = base.ssn.receiver("test-delete; {create: always, delete: always}").await.unwrap();
    assert_eq!(rcv.fetch_timeout(NOW).await.unwrap_err(), FetchError::Empty);
    rcv.close().await.unwrap();
    let error = address_error(base.ssn.receiver("test-delete").await.map(drop));
    assert!(matches!(error, AddressError::NotFound { .. }), "{error:?}");
    assert!(error.to_string().contains("no such queue"), "{error}");
}

#[tokio::test]
async fn test_delete_special() {
    let base = base().await;
    let snd = base.ssn.sender("amq.topic; {delete: always}").await.unwrap();
    snd.send("asdf").await.unwrap();
    let error = snd.close().await.unwrap_err();
    // What the original knows as 530.
    assert_eq!(error.condition(), Some(&ErrorCondition::NOT_ALLOWED), "{error:?}");
    base.ssn.sender("amq.topic").await.unwrap();
}

#[tokio::test]
async fn test_node_bindings_queue() {
    let base = base().await;
    let address = "test-node-bindings-queue; {create: always, delete: always, node: {x-bindings: [\
                   {exchange: 'amq.topic', key: 'a.#'}, {exchange: 'amq.direct', key: 'b'}, \
                   {exchange: 'amq.topic', key: 'c.*'}]}}";
    let snd = base.ssn.sender(address).await.unwrap();
    snd.send("one").await.unwrap();
    for (address, text) in [("amq.topic/a.foo", "two"), ("amq.direct/b", "three"), ("amq.topic/c.bar", "four")] {
        base.ssn.sender(address).await.unwrap().send(text).await.unwrap();
    }
    let rcv = base.ssn.receiver("test-node-bindings-queue").await.unwrap();
    assert_eq!(drain_texts(&rcv).await, ["one", "two", "three", "four"]);
}

#[tokio::test]
async fn test_node_bindings_topic() {
    let base = base().await;
    let mut receivers = Vec::new();
    for end in ["", "-a", "-b", "-c"] {
        let address = format!("test-node-bindings-topic-queue{end}; {{create: always, delete: always}}");
        receivers.push(base.ssn.receiver(&address).await.unwrap());
    }
    let address = "test-node-bindings-topic; {create: always, delete: always, node: {type: topic, x-bindings: [\
                   {queue: test-node-bindings-topic-queue, key: '#'}, \
                   {queue: test-node-bindings-topic-queue-a, key: 'a.#'}, \
                   {queue: test-node-bindings-topic-queue-b, key: b}, \
                   {queue: test-node-bindings-topic-queue-c, key: 'c.*'}]}}";
    let snd = base.ssn.sender(address).await.unwrap();
    snd.send("one").await.unwrap();
    for (subject, text) in [("a.foo", "two"), ("b", "three"), ("c.bar", "four")] {
        snd.send(Message::from(text).with_subject(subject)).await.unwrap();
    }
    let expected: [&[&str]; 4] = [&["one", "two", "three", "four"], &["two"], &["three"], &["four"]];
    for (rcv, expected) in receivers.iter().zip(expected) {
        assert_eq!(drain_texts(rcv).await, expected);
    }
}

#[tokio::test]
async fn test_link_bindings() {
    let base = base().await;
    let a = || Message::from("1").with_subject("a");
    let b = || Message::from("2").with_subject("b");
    let _queue = base.ssn.sender("test-link-bindings-queue; {create: always, delete: always}").await.unwrap();
    let snd = base.ssn.sender("amq.topic").await.unwrap();
    snd.send(a()).await.unwrap();
    snd.send(b()).await.unwrap();
    snd.close().await.unwrap();
    let rcv = base.ssn.receiver("test-link-bindings-queue").await.unwrap();
    assert!(drain(&rcv).await.is_empty());

    let address = "amq.topic; {link: {x-bindings: [{queue: test-link-bindings-queue, key: a}]}}";
    let snd = base.ssn.sender(address).await.unwrap();
    snd.send(a()).await.unwrap();
    snd.send(b()).await.unwrap();
    assert_eq!(drain_texts(&rcv).await, ["1"]);
    rcv.close().await.unwrap();

    let address = "test-link-bindings-queue; {link: {x-bindings: [{exchange: 'amq.topic', key: b}]}}";
    let rcv = base.ssn.receiver(address).await.unwrap();
    snd.send(a()).await.unwrap();
    snd.send(b()).await.unwrap();
    // What was drained before and not acknowledged has come back, too.
    let messages = drain(&rcv).await;
    let texts: Vec<_> = messages.iter().filter(|message| !message.redelivered()).filter_map(Message::text).collect();
    assert_eq!(texts, ["1", "2"]);
    snd.close().await.unwrap();
    rcv.close().await.unwrap();

    // With their links the bindings have gone, as the C++ client has it.
    let rcv = base.ssn.receiver("test-link-bindings-queue").await.unwrap();
    let before = drain(&rcv).await.len();
    let snd = base.ssn.sender("amq.topic").await.unwrap();
    snd.send(a()).await.unwrap();
    snd.send(b()).await.unwrap();
    assert_eq!((drain(&rcv).await.len(), before > 0), (0, true));
}

#[tokio::test]
async fn test_subject_override() {
    let base = base().await;
    let snd = base.ssn.sender("amq.topic/a").await.unwrap();
    let rcv_a = base.ssn.receiver("amq.topic/a").await.unwrap();
    let rcv_b = base.ssn.receiver("amq.topic/b").await.unwrap();
    snd.send("1").await.unwrap();
    snd.send(Message::from("2").with_subject("b")).await.unwrap();
    assert_eq!(drain_texts(&rcv_a).await, ["1"]);
    assert_eq!(drain_texts(&rcv_b).await, ["2"]);
}

#[tokio::test]
async fn test_subject_default() {
    let base = base().await;
    let snd = base.ssn.sender("amq.topic/a").await.unwrap();
    let rcv = base.ssn.receiver("amq.topic").await.unwrap();
    snd.send("1").await.unwrap();
    snd.send(Message::from("2").with_subject("b")).await.unwrap();
    assert_eq!(rcv.fetch_timeout(NOW).await.unwrap().subject(), Some("a"));
    assert_eq!(rcv.fetch_timeout(NOW).await.unwrap().subject(), Some("b"));
    assert!(drain(&rcv).await.is_empty());
}

async fn reliability(reliability: &str, expected: &[&str]) {
    let base = base().await;
    let snd = base.ssn.sender("amq.topic").await.unwrap();
    let rcv = base.ssn.receiver(&format!("amq.topic; {{link: {{reliability: {reliability}}}}}")).await.unwrap();
    for text in ["0", "1", "2"] {
        snd.send(text).await.unwrap();
    }
    base.conn.detach().await.unwrap();
    base.conn.attach().await.unwrap();
    assert_eq!(drain_texts(&rcv).await, expected);
}

#[tokio::test]
async fn test_reliability_unreliable() {
    reliability("unreliable", &[]).await;
}

#[tokio::test]
async fn test_reliability_at_least_once() {
    reliability("at-least-once", &["0", "1", "2"]).await;
}

#[tokio::test]
async fn test_link_name() {
    let base = base().await;
    let snd = base.ssn.sender("amq.topic").await.unwrap();
    let trcv = base.ssn.receiver("amq.topic; {link: {name: test-link-name}}").await.unwrap();
    let qrcv = base.ssn.receiver("test-link-name").await.unwrap();
    for text in ["0", "1", "2"] {
        snd.send(text).await.unwrap();
    }
    assert_eq!(drain_texts(&qrcv).await, ["0", "1", "2"]);
    qrcv.close().await.unwrap();
    trcv.close().await.unwrap();
    // The queue has gone with the link that made it.
    let error = address_error(base.ssn.receiver("test-link-name").await.map(drop));
    assert!(matches!(error, AddressError::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn test_assert1() {
    let base = base().await;
    let sender = base.ssn.sender("amq.topic; {assert: always, node: {type: queue}}").await;
    let error = address_error(sender.map(drop));
    assert!(matches!(error, AddressError::AssertionFailed { .. }), "{error:?}");
    assert_eq!(error.to_string(), "expected queue, got topic");
}

#[tokio::test]
async fn test_assert2() {
    base().await.ssn.sender("amq.topic; {assert: always}").await.unwrap();
}

#[tokio::test]
async fn everything_that_the_broker_can_answer_is_asserted() {
    let base = base().await;
    let made = "a; {create: always, node: {x-declare: {auto-delete: False, alternate-exchange: 'amq.fanout', arguments: \
                {'qpid.max_count': 5}}}}";
    let _snd = base.ssn.sender(made).await.unwrap();
    for (properties, fails) in [
        ("durable: False", None),
        ("x-declare: {alternate-exchange: 'amq.fanout'}", None),
        ("x-declare: {arguments: {'qpid.max_count': 5}}", None),
        ("durable: True", Some("durable: True")),
        ("type: topic", Some("topic")),
        ("x-declare: {auto-delete: True}", Some("auto-delete: True")),
        ("x-declare: {exclusive: True}", Some("exclusive: True")),
        ("x-declare: {alternate-exchange: 'amq.topic'}", Some("alternate-exchange: amq.topic")),
        ("x-declare: {arguments: {'qpid.max_count': 6}}", Some("qpid.max_count: 6")),
    ] {
        let address = format!("a; {{assert: always, node: {{{properties}}}}}");
        let (sender, receiver) = (base.ssn.sender(&address).await, base.ssn.receiver(&address).await);
        match fails {
            None => {
                sender.unwrap();
                receiver.unwrap();
            }
            Some(expected) => {
                let error = address_error(sender.map(drop));
                let AddressError::AssertionFailed { expected: named, .. } = &error else { panic!("{error:?}") };
                assert_eq!(named, expected);
                assert_eq!(address_error(receiver.map(drop)), error);
            }
        }
    }
}

#[tokio::test]
async fn test_none_target() {
    let error = address_error(base().await.ssn.sender("").await.map(drop));
    assert!(matches!(error, AddressError::Malformed(_)), "{error:?}");
}

#[tokio::test]
async fn test_none_source() {
    let error = address_error(base().await.ssn.receiver("").await.map(drop));
    assert!(matches!(error, AddressError::Malformed(_)), "{error:?}");
}

const NOSUCH_Q: &str = "this-queue-should-not-exist";
const UNPARSEABLE_ADDR: &str = "name/subject; {bad options";
const UNLEXABLE_ADDR: &str = "\0x0\0x1\0x2\0x3";

#[tokio::test]
async fn test_no_target() {
    let error = address_error(base().await.ssn.sender(NOSUCH_Q).await.map(drop));
    assert!(matches!(&error, AddressError::NotFound { name, .. } if name == NOSUCH_Q), "{error:?}");
    assert!(error.to_string().contains(NOSUCH_Q), "{error}");
}

#[tokio::test]
async fn test_no_source() {
    let error = address_error(base().await.ssn.receiver(NOSUCH_Q).await.map(drop));
    assert!(matches!(&error, AddressError::NotFound { name, .. } if name == NOSUCH_Q), "{error:?}");
}

fn malformed(link: Result<impl std::fmt::Debug, LinkError>, text: &str) {
    let error = address_error(link);
    assert!(matches!(error, AddressError::Malformed(_)), "{error:?}");
    assert!(error.to_string().contains(text), "{error}");
}

#[tokio::test]
async fn test_unparseable_target() {
    malformed(base().await.ssn.sender(UNPARSEABLE_ADDR).await, "expecting COLON");
}

#[tokio::test]
async fn test_unparseable_source() {
    malformed(base().await.ssn.receiver(UNPARSEABLE_ADDR).await, "expecting COLON");
}

#[tokio::test]
async fn test_unlexable_target() {
    malformed(base().await.ssn.sender(UNLEXABLE_ADDR).await, "unrecognized characters");
}

#[tokio::test]
async fn test_unlexable_source() {
    malformed(base().await.ssn.receiver(UNLEXABLE_ADDR).await, "unrecognized characters");
}

#[tokio::test]
async fn test_invalid_mode() {
    let receiver = base().await.ssn.receiver("name; {mode: \"this-is-a-bad-receiver-mode\"}").await;
    let error = address_error(receiver.map(drop));
    assert!(matches!(error, AddressError::InvalidOption(_)), "{error:?}");
    assert!(error.to_string().contains("not in ('browse', 'consume')"), "{error}");
}

#[tokio::test]
async fn what_a_dropped_link_leaves_is_undone_when_its_session_closes() {
    let base = base().await;
    let other = base.conn.session().await.unwrap();
    let _queue = other.sender("q; {create: always}").await.unwrap();
    drop(base.ssn.sender("gone; {create: always, delete: always}").await.unwrap());
    drop(base.ssn.sender("q; {link: {x-bindings: [{exchange: 'amq.topic', key: k}]}}").await.unwrap());
    drop(base.ssn.receiver("amq.topic; {link: {name: sub}}").await.unwrap());
    base.ssn.close().await.unwrap();
    for name in ["gone", "sub"] {
        let error = address_error(other.receiver(name).await.map(drop));
        assert!(matches!(error, AddressError::NotFound { .. }), "{name}: {error:?}");
    }
    let snd = other.sender("amq.topic/k").await.unwrap();
    snd.send("nobody is bound").await.unwrap();
    let rcv = other.receiver("q").await.unwrap();
    assert!(drain(&rcv).await.is_empty());
}

#[tokio::test]
async fn bindings_of_a_link_that_does_not_come_about_are_undone() {
    let base = base().await;
    let address =
        "q; {create: always, link: {x-bindings: [{exchange: 'amq.topic', key: k}, {exchange: none, key: k}]}}";
    let error = address_error(base.ssn.sender(address).await.map(drop));
    assert!(matches!(&error, AddressError::Refused { action: "bind", .. }), "{error:?}");
    assert_eq!(LinkError::from(error).condition(), Some(&ErrorCondition::NOT_FOUND));
    base.ssn.sender("amq.topic/k").await.unwrap().send("nobody is bound").await.unwrap();
    let rcv = base.ssn.receiver("q").await.unwrap();
    assert!(drain(&rcv).await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_undone_while_the_connection_is_detached_is_told() {
    let base = base().await;
    let other = Connection::establish(&base.broker.urls()[0]).await.unwrap();
    let ssn = other.session().await.unwrap();
    let _snd = ssn.sender("gone; {create: always, delete: always}").await.unwrap();
    other.detach().await.unwrap();
    let error = ssn.close().await.unwrap_err();
    assert!(matches!(error, SessionError::Undo(_)), "{error:?}");
    assert!(error.to_string().contains("detached"), "{error}");
    assert!(error.hint().is_some(), "{error:?}");
    assert_eq!(base.broker.queues(), ["gone"]);
}

#[tokio::test]
async fn closing_a_connection_undoes_what_its_links_leave() {
    let base = base().await;
    let conn = Connection::establish(&base.broker.urls()[0]).await.unwrap();
    let ssn = conn.session().await.unwrap();
    let _snd = ssn.sender("gone; {create: always, delete: always}").await.unwrap();
    assert_eq!(base.broker.queues(), ["gone"]);
    conn.close().await.unwrap();
    assert!(base.broker.queues().is_empty());
    // What cannot be undone is told, and the connection is closed all the same.
    let conn = Connection::establish(&base.broker.urls()[0]).await.unwrap();
    let ssn = conn.session().await.unwrap();
    let _snd = ssn.sender("amq.fanout; {delete: always}").await.unwrap();
    let error = conn.close().await.unwrap_err();
    assert!(matches!(error, ConnectionError::Undo(_)) && error.to_string().contains("amq.fanout"), "{error:?}");
    assert!(error.condition().is_some(), "{error:?}");
    assert!(!conn.is_open());
}

#[tokio::test]
async fn a_node_of_the_other_kind_is_found_after_it_has_changed() {
    let base = base().await;
    let topic = base.ssn.sender("n; {create: always, delete: always, node: {type: topic}}").await.unwrap();
    let rcv = base.ssn.receiver("n").await.unwrap();
    topic.send("to a topic").await.unwrap();
    let message = rcv.fetch_timeout(NOW).await.unwrap();
    // Unreliable, as a topic has it: there is nothing to acknowledge.
    assert!(message.is_settled());
    rcv.close().await.unwrap();
    topic.close().await.unwrap();
    let queue = base.ssn.sender("n; {create: always, node: {type: queue}}").await.unwrap();
    queue.send("to a queue").await.unwrap();
    let rcv = base.ssn.receiver("n").await.unwrap();
    let message = rcv.fetch_timeout(NOW).await.unwrap();
    assert!(!message.is_settled());
    base.ssn.acknowledge_with(&message, Disposition::Released).await.unwrap();
    assert_eq!(drain_texts(&rcv).await, ["to a queue"]);
}

#[tokio::test]
async fn a_queue_and_a_topic_of_one_name_are_told_apart_by_their_kind() {
    let base = base().await;
    let queue = base.ssn.sender("twice; {create: always, node: {type: queue}}").await.unwrap();
    let topic = base.ssn.sender("twice; {create: always, node: {type: topic}}").await.unwrap();
    let from_topic = base.ssn.receiver("twice; {node: {type: topic}}").await.unwrap();
    queue.send("queue").await.unwrap();
    topic.send("topic").await.unwrap();
    assert_eq!(drain_texts(&from_topic).await, ["topic"]);
    // Without a kind it is the queue.
    let rcv = base.ssn.receiver("twice").await.unwrap();
    assert_eq!(drain_texts(&rcv).await, ["queue"]);
    let closed = queue.close().await;
    assert!(closed.is_ok() && !matches!(queue.send("late").await, Ok(()) | Err(SendError::Rejected(_))));
}
