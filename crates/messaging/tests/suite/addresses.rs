//! What address strings do, and what is wrong with them.

use postroad_messaging::address::{Address, Dialect, Role};
use postroad_messaging::types::ErrorCondition;
use postroad_messaging::{AddressError, LinkError};

use super::*;

pub(super) fn address_error<T: std::fmt::Debug>(result: Result<T, LinkError>) -> AddressError {
    match result.unwrap_err() {
        LinkError::Address(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_node_is_made_where_the_policy_says_so() {
    let world = world().await;
    for (name, policy) in [("s1", "always"), ("s2", "sender")] {
        world.sender(&format!("{name}; {{create: {policy}}}")).await;
        assert!(world.broker.queue_stats(name).is_some(), "{policy}");
    }
    for (name, policy) in [("r1", "always"), ("r2", "receiver")] {
        world.receiver(&format!("{name}; {{create: {policy}}}")).await;
        assert!(world.broker.queue_stats(name).is_some(), "{policy}");
    }
    for (name, policy) in [("n1", "receiver"), ("n2", "never")] {
        let error = address_error(world.session.sender(&format!("{name}; {{create: {policy}}}")).await);
        assert!(matches!(&error, AddressError::NotFound { name: told, .. } if told == name), "{error:?}");
        assert_eq!(world.broker.queue_stats(name), None);
    }
    for (name, policy) in [("n3", "sender"), ("n4", "never")] {
        let error = address_error(world.session.receiver(&format!("{name}; {{create: {policy}}}")).await);
        assert!(matches!(&error, AddressError::NotFound { name: told, .. } if told == name), "{error:?}");
    }
}

#[tokio::test]
async fn a_missing_node_is_told_by_name() {
    let world = world().await;
    let error = world.session.sender("misspelt").await.unwrap_err();
    assert_eq!(error.to_string(), "no such queue: misspelt");
    assert_eq!(error.hint().unwrap(), "declare it at the broker, or have it made: misspelt; {create: always}");
    assert_eq!(error.condition(), Some(&ErrorCondition::NOT_FOUND));
    // The session goes on.
    world.sender("q").await.send("a").await.unwrap();
}

#[tokio::test]
async fn a_malformed_address_is_told_with_its_place() {
    let world = world().await;
    let error = address_error(world.session.sender("orders;\n create").await);
    let AddressError::Malformed(source) = &error else { panic!("{error:?}") };
    assert_eq!((source.line(), source.column()), (2, 1));
    assert!(error.hint().unwrap().contains("{create: always}"));
    let error = address_error(world.session.receiver("orders; {create}").await);
    assert_eq!(error.to_string(), "expecting COLON, got RBRACE(}) line:1,15:orders; {create}");
    assert!(matches!(address_error(world.session.receiver("").await), AddressError::Malformed(_)));
}

#[tokio::test]
async fn an_invalid_option_is_told_in_the_words_of_the_original() {
    let world = world().await;
    let cases = [
        ("q; {create: asdf}", "create: asdf not in ('always', 'sender', 'receiver', 'never')"),
        ("q; {node: {durable: []}}", "node: durable: [] is not a bool"),
        ("q; {node: 3}", "node: 3 is not a map"),
        ("q; {colour: red}", "colour: illegal key"),
        ("q; {mode: browse}", "mode: illegal key"),
    ];
    for (address, text) in cases {
        let error = address_error(world.session.sender(address).await);
        assert_eq!(error.to_string(), format!("error in options: {text}"));
        assert!(matches!(error, AddressError::InvalidOption(_)));
        assert!(error.hint().is_some(), "{address}");
    }
    let error = address_error(world.session.receiver("q; {mode: look}").await);
    assert_eq!(error.to_string(), "error in options: mode: look not in ('browse', 'consume')");
}

#[tokio::test]
async fn exactly_once_is_settled_at_both_ends() {
    let world = world().await;
    let sender = world.sender("q; {link: {reliability: exactly-once}}").await;
    let receiver = world.receiver("q; {link: {reliability: exactly-once}}").await;
    for text in ["one", "two"] {
        sender.send(text).await.unwrap();
    }
    for text in ["one", "two"] {
        let message = receiver.fetch_timeout(PATIENCE).await.unwrap();
        assert_eq!(message.text(), Some(text));
    }
    world.session.acknowledge_all().await.unwrap();
    let settled = async {
        while world.broker.queue_stats("q").unwrap().settled < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.expect("the broker hears of it");
    assert_eq!(world.broker.queue_stats("q").unwrap().enqueued, 2);
}

#[tokio::test]
async fn a_selector_chooses_among_the_messages() {
    let world = world().await;
    let sender = world.sender("q").await;
    for colour in ["red", "blue", "red"] {
        sender.send(Message::from(colour).with_property("colour", colour)).await.unwrap();
    }
    let blue = world.receiver("q; {link: {selector: \"colour = 'blue'\"}}").await;
    assert_eq!(blue.fetch_timeout(PATIENCE).await.unwrap().text(), Some("blue"));
    world.session.acknowledge_all().await.unwrap();
    blue.close().await.unwrap();
    eventually("the others stay", || world.ready() == 2).await;
    let error = world.session.receiver("q; {link: {selector: \"colour =\"}}").await.unwrap_err();
    assert_eq!(error.condition(), Some(&ErrorCondition::INVALID_FIELD));
}

#[tokio::test]
async fn a_durable_node_needs_a_store() {
    let world = world().await;
    let error = world.session.sender("d; {create: always, node: {durable: True}}").await.unwrap_err();
    assert_eq!(error.condition(), Some(&ErrorCondition::NOT_IMPLEMENTED));
    let error = world.session.receiver("q; {link: {durable: True}}").await.unwrap_err();
    assert_eq!(error.condition(), Some(&ErrorCondition::NOT_IMPLEMENTED));
}

#[tokio::test]
async fn the_subject_of_an_address_is_a_default() {
    let world = world().await;
    let sender = world.sender("q/news").await;
    sender.send("a").await.unwrap();
    sender.send(Message::from("b").with_subject("sport")).await.unwrap();
    // With the messages of a queue the subject does not filter.
    let receiver = world.receiver("q/sport").await;
    assert_eq!(receiver.fetch().await.unwrap().subject(), Some("news"));
    assert_eq!(receiver.fetch().await.unwrap().subject(), Some("sport"));
}

#[tokio::test]
async fn temporary_nodes_have_names_of_their_own_and_go_with_their_link() {
    let world = world().await;
    for address in ["#", "#replies"] {
        let (one, two) = (world.receiver(address).await, world.receiver(address).await);
        let (name, other) = (one.address().unwrap(), two.address().unwrap());
        assert_ne!(name, other);
        assert_eq!(name.ends_with("#replies"), address == "#replies", "{name}");
        let quoted = Address::new(name.as_str()).to_string();
        world.sender(&quoted).await.send("reply").await.unwrap();
        assert_eq!(text(&one.fetch().await.unwrap()), "reply");
        one.close().await.unwrap();
        eventually("the node is gone", || world.broker.queue_stats(&name).is_none()).await;
    }
}

#[tokio::test]
async fn the_name_of_a_link_is_told() {
    let (session, theirs) = peer().await;
    let (_, link) = tokio::join!(
        async { tokio::time::timeout(Duration::from_millis(500), session.receiver("q; {link: {name: mine}}")).await },
        theirs.next_link()
    );
    assert_eq!(link.unwrap().name(), "mine");
}

#[tokio::test]
async fn an_auto_delete_node_goes_with_its_last_link() {
    let world = world().await;
    let sender = world.sender("brief; {create: always, node: {x-declare: {auto_delete: True}}}").await;
    let receiver = world.receiver("brief").await;
    sender.close().await.unwrap();
    assert!(world.broker.queue_stats("brief").is_some());
    receiver.close().await.unwrap();
    eventually("the node is gone", || world.broker.queue_stats("brief").is_none()).await;
}

#[tokio::test]
async fn a_topic_reaches_every_receiver() {
    let world = world().await;
    let address = "news; {create: always, node: {type: topic}}";
    let sender = world.sender(address).await;
    assert_eq!(world.broker.topics(), ["news"]);
    sender.send("to nobody").await.unwrap();
    let mut receivers = [world.receiver(address).await, world.receiver("news").await];
    sender.send("a").await.unwrap();
    for receiver in &mut receivers {
        assert_eq!(receiver.fetch().await.unwrap().text(), Some("a"));
        assert!(receiver.fetch_timeout(Duration::ZERO).await.is_err(), "there is one for each");
    }
    for wrong in ["q; {node: {type: topic}}", "news; {node: {type: queue}}"] {
        let error = address_error(world.session.receiver(wrong).await);
        assert!(matches!(error, AddressError::NotFound { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_exclusive_receiver_is_the_only_one() {
    let world = world().await;
    let only = world.receiver("q; {link: {x-subscribe: {exclusive: True}}}").await;
    let error = world.session.receiver("q").await.unwrap_err();
    assert_eq!(error.condition(), Some(&ErrorCondition::RESOURCE_LOCKED));
    world.fill(&["a"]).await;
    assert_eq!(text(&only.fetch().await.unwrap()), "a");
    only.close().await.unwrap();
    world.receiver("q").await;
    world.receiver("q; {link: {x-subscribe: {exclusive: False}}}").await;
    let named = "amq.topic; {link: {name: mine, x-subscribe: {exclusive: True}}}";
    let only = world.receiver(named).await;
    let error = world.session.receiver("mine").await.unwrap_err();
    assert_eq!(error.condition(), Some(&ErrorCondition::RESOURCE_LOCKED));
    only.close().await.unwrap();
}

#[tokio::test]
async fn an_address_of_the_cpp_client_is_read_as_there() {
    let world = world().await;
    let text = "t/a; {create: always, node: {type: topic, x-declare: {alternate-exchange: amq.fanout}}}";
    assert!(matches!(address_error(world.session.sender(text).await), AddressError::Malformed(_)));
    let address = Address::parse_with(Dialect::Cpp, text).unwrap();
    let sender = world.sender(&address.to_string()).await;
    assert_eq!((sender.address().as_deref(), sender.target()), (Some("t"), address.to_string().as_str()));
    let receiver = world.receiver(&address.to_string()).await;
    sender.send("hello").await.unwrap();
    assert_eq!(receiver.fetch().await.unwrap().subject(), Some("a"));

    // What it lets a text or a number say.
    let text = "q2; {create: always, node: {x-declare: {auto-delete: 'true'}}, link: {name: 7}}";
    let address = Address::parse_with(Dialect::Cpp, text).unwrap();
    assert!(matches!(address_error(world.session.sender(&address.to_string()).await), AddressError::InvalidOption(_)));
    let options = address.validate_with(Dialect::Cpp, Role::Sender).unwrap();
    let sender = world.sender(&address.with_options(&options).to_string()).await;
    assert_eq!(sender.name(), "7");
}
