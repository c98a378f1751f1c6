//! What links choose: selectors, and nothing of one's own.

use postroad_amqp::v1_0::{Event, LinkId, LinkTerms};
use postroad_broker::Broker;
use postroad_codec::v1_0::{
    ApplicationProperties, DeliveryState, DistributionMode, ErrorCondition, Fields, FilterSet, Map, Message, Role,
    Source, Symbol, Target, TerminusExpiryPolicy, Value,
};

use crate::client::{Client, assert_refused, text};
use crate::transactions::{control, declare, discharge, hand_over};
use crate::{broker, eventually, start};

const SELECTOR: u64 = 0x0000_468c_0000_0004;
const NO_LOCAL: u64 = 0x0000_468c_0000_0003;

fn selector(text: &str) -> (&'static str, Value) {
    ("selector", Value::described(SELECTOR, Value::from(text)))
}

fn no_local() -> (&'static str, Value) {
    ("no-local", Value::described(NO_LOCAL, Value::List(Vec::new())))
}

fn filtered(address: &str, filters: impl IntoIterator<Item = (&'static str, Value)>) -> Source {
    let filters = filters.into_iter().map(|(name, value)| (Value::Symbol(name.into()), value));
    Source { filter: Some(FilterSet(filters.collect())), ..Source::at(address) }
}

fn terms(source: Source) -> LinkTerms {
    LinkTerms { source: Some(source), target: Some(Target::default().into()), ..LinkTerms::default() }
}

/// Sends messages with a colour and a number, and waits until all are accepted.
async fn send(client: &mut Client, link: LinkId, messages: &[(&str, i32)]) {
    let mut tokens = Vec::new();
    for (colour, number) in messages {
        let properties = Map::from_iter([("colour", Value::from(*colour)), ("number", Value::Int(*number))]);
        let message = Message {
            application_properties: Some(ApplicationProperties(properties)),
            ..Message::from(format!("{colour}{number}").as_str())
        };
        tokens.push(client.send_with(link, &message.to_bytes(), false).await);
    }
    for token in tokens {
        assert_eq!(client.outcome(link, token).await.state, Some(DeliveryState::Accepted));
    }
}

async fn expect(client: &mut Client, link: LinkId, texts: &[&str]) {
    for expected in texts {
        assert_eq!(client.receive_text(link).await, *expected);
    }
    client.expect_nothing(link).await;
}

fn told(client: &Client, link: LinkId) -> Vec<(Value, Value)> {
    let source = client.engine.remote_attach(link).unwrap().source.clone().unwrap();
    source.filter.map(|filter| filter.0.0).unwrap_or_default()
}

#[tokio::test]
async fn consumers_of_one_queue_get_what_they_choose() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    send(&mut client, sender, &[("red", 1), ("blue", 2), ("green", 3), ("red", 4)]).await;
    let red = client.attach_source(filtered("q0", [selector("colour = 'red'")]), 10).await.unwrap();
    expect(&mut client, red, &["red1", "red4"]).await;
    let blue = client.attach_source(filtered("q0", [selector("colour LIKE 'bl%' AND number > 1")]), 10).await.unwrap();
    expect(&mut client, blue, &["blue2"]).await;
    // What nobody chooses stays, and holds nothing up.
    send(&mut client, sender, &[("green", 5), ("blue", 6), ("red", 7), ("blue", 0)]).await;
    expect(&mut client, red, &["red7"]).await;
    expect(&mut client, blue, &["blue6"]).await;
    assert_eq!(broker.queue_stats("q0").unwrap().ready, 3);
    let plain = client.receiver("q0", 10).await.unwrap();
    expect(&mut client, plain, &["green3", "green5", "blue0"]).await;
}

#[tokio::test]
async fn browsers_choose_as_well() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    send(&mut client, sender, &[("red", 1), ("blue", 2), ("red", 3)]).await;
    let source = Source { distribution_mode: Some(DistributionMode::COPY), ..filtered("q0", [selector("number > 1")]) };
    let browser = client.attach_source(source, 10).await.unwrap();
    expect(&mut client, browser, &["blue2", "red3"]).await;
    send(&mut client, sender, &[("red", 0), ("red", 5)]).await;
    expect(&mut client, browser, &["red5"]).await;
    assert_eq!(broker.queue_stats("q0").unwrap().ready, 5);
}

#[tokio::test]
async fn what_is_applied_is_told_back_as_it_came() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let by_symbol = Value::described(
        Value::Symbol("apache.org:selector-filter:string".into()),
        Value::from("number BETWEEN 1 AND 3"),
    );
    let asked = [("s", by_symbol.clone()), no_local(), ("x", Value::described(5_u64, Value::from("unknown")))];
    let link = client.attach_source(filtered("q0", asked), 0).await.unwrap();
    let symbol = |name: &'static str| Value::Symbol(Symbol::from_static(name));
    assert_eq!(told(&client, link), [(symbol("s"), by_symbol), (symbol("no-local"), no_local().1)]);
    let link = client.receiver("q0", 0).await.unwrap();
    assert_eq!(told(&client, link), []);
}

#[tokio::test]
async fn a_selector_that_is_wrong_is_refused() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    for text in ["colour =", "colour = 'red' !", &"a".repeat(9000)] {
        let answer = client.attach_source(filtered("q0", [selector(text)]), 1).await;
        assert_refused(answer, &ErrorCondition::INVALID_FIELD);
    }
    let error = client.attach_source(filtered("q0", [selector("a = 1 AND")]), 1).await.unwrap_err();
    assert!(error.description.unwrap().contains("at byte 9"));
}

#[tokio::test]
async fn a_drain_ends_when_everything_was_looked_at() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    let many: Vec<_> = (0..2500).map(|number| ("grey", number)).chain([("red", 1)]).collect();
    send(&mut client, sender, &many).await;
    let red = client.attach_source(filtered("q0", [selector("colour = 'red'")]), 0).await.unwrap();
    client.engine.receiver(red).set_credit(5);
    client.engine.receiver(red).drain();
    client.wait("drain", |event| matches!(event, Event::Drained(_)).then_some(())).await;
    assert_eq!(client.receive_text(red).await, "red1");
}

#[tokio::test]
async fn what_was_released_goes_to_those_who_choose_it() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    let plain = client.receiver("q0", 2).await.unwrap();
    let red = client.attach_source(filtered("q0", [selector("colour = 'red'")]), 10).await.unwrap();
    let blue = client.attach_source(filtered("q0", [selector("colour = 'blue'")]), 10).await.unwrap();
    send(&mut client, sender, &[("green", 1), ("green", 2)]).await;
    let (one, two) = (client.receive(plain).await, client.receive(plain).await);
    send(&mut client, sender, &[("blue", 3)]).await;
    assert_eq!(client.receive_text(blue).await, "blue3");
    client.settle(plain, one.number, DeliveryState::Released);
    client.settle(plain, two.number, DeliveryState::Released);
    client.expect_nothing(red).await;
    client.engine.receiver(plain).set_credit(2);
    assert_eq!(text(&client.receive(plain).await), "green1");
}

#[tokio::test]
async fn nothing_of_its_own_comes_to_a_container_that_says_so() {
    let broker = start(Broker::builder().queue("q0").topic("t")).await;
    let mut here = Client::connect_as(&broker, "here").await;
    let mut there = Client::connect_as(&broker, "there").await;
    for address in ["q0", "t"] {
        let local = here.attach_source(filtered(address, [no_local()]), 10).await.unwrap();
        let (mine, theirs) = (here.sender(address).await.unwrap(), there.sender(address).await.unwrap());
        send(&mut here, mine, &[("mine", 1)]).await;
        send(&mut there, theirs, &[("theirs", 2)]).await;
        expect(&mut here, local, &["theirs2"]).await;
        // What is posted in a transaction is as local.
        let control = control(&mut here).await;
        let id = declare(&mut here, control).await;
        let payload = Message::from("posted").to_bytes();
        hand_over(&mut here, mine, &id, &payload, true).await;
        discharge(&mut here, control, &id, false).await.unwrap();
        here.expect_nothing(local).await;
        here.detach(control).await;
        // Another connection of the same container is as local.
        here.detach(local).await;
    }
    let other = there.receiver("q0", 10).await.unwrap();
    expect(&mut there, other, &["mine1", "posted"]).await;
}

#[tokio::test]
async fn a_subscription_has_only_what_is_chosen() {
    let broker = start(Broker::builder().topic("t")).await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("t").await.unwrap();
    let red = client.attach_source(filtered("t", [selector("colour = 'red'")]), 0).await.unwrap();
    let all = client.receiver("t", 10).await.unwrap();
    send(&mut client, sender, &[("red", 1), ("blue", 2), ("red", 3)]).await;
    assert_eq!(told(&client, red), [(Value::Symbol("selector".into()), selector("colour = 'red'").1)]);
    expect(&mut client, all, &["red1", "blue2", "red3"]).await;
    eventually("two copies wait", || broker.topic_stats("t").unwrap().ready == 2).await;
    client.engine.receiver(red).set_credit(10);
    expect(&mut client, red, &["red1", "red3"]).await;
}

#[tokio::test]
async fn those_who_share_a_subscription_choose_the_same() {
    let broker = start(Broker::builder().topic("t")).await;
    let mut client = Client::connect(&broker).await;
    let shared = |text: &str| Source {
        capabilities: vec![Symbol::from_static("shared")].into(),
        ..filtered("t", [selector(text)])
    };
    let one = client.attach_as("s|1", Role::Receiver, terms(shared("number > 1"))).await.unwrap();
    let two = client.attach_as("s|2", Role::Receiver, terms(shared("number > 1"))).await.unwrap();
    let other = client.attach_as("s|3", Role::Receiver, terms(shared("number > 2"))).await;
    assert_refused(other, &ErrorCondition::PRECONDITION_FAILED);
    let none = Source { filter: None, ..shared("TRUE") };
    assert_refused(client.attach_as("s|4", Role::Receiver, terms(none)).await, &ErrorCondition::PRECONDITION_FAILED);
    let sender = client.sender("t").await.unwrap();
    client.engine.receiver(one).set_credit(1);
    client.engine.receiver(two).set_credit(1);
    send(&mut client, sender, &[("a", 1), ("b", 2), ("c", 3)]).await;
    let mut texts = [client.receive_text(one).await, client.receive_text(two).await];
    texts.sort();
    assert_eq!(texts, ["b2", "c3"]);
    // With the last of them it is free to be another.
    client.detach(one).await;
    client.detach(two).await;
    client.attach_as("s|5", Role::Receiver, terms(shared("number > 2"))).await.unwrap();
}

#[tokio::test]
async fn another_selector_means_another_link() {
    let broker = start(Broker::builder().topic("t")).await;
    let lasting = |text: &str| Source {
        expiry_policy: TerminusExpiryPolicy::NEVER,
        timeout: postroad_codec::v1_0::Seconds(300),
        ..filtered("t", [selector(text)])
    };
    let mut client = Client::connect_as(&broker, "c").await;
    let link = client.attach_as("l", Role::Receiver, terms(lasting("number > 1"))).await.unwrap();
    client.leave(link).await;
    let sender = client.sender("t").await.unwrap();
    send(&mut client, sender, &[("a", 1), ("b", 2)]).await;
    // The same goes on with what has come meanwhile.
    let link = client.attach_as("l", Role::Receiver, terms(lasting("number > 1"))).await.unwrap();
    assert_eq!(told(&client, link), [(Value::Symbol("selector".into()), selector("number > 1").1)]);
    client.engine.receiver(link).set_credit(10);
    assert_eq!(client.receive_text(link).await, "b2");
    client.leave(link).await;
    send(&mut client, sender, &[("c", 3)]).await;
    let link = client.attach_as("l", Role::Receiver, terms(lasting("number > 2"))).await.unwrap();
    client.engine.receiver(link).set_credit(10);
    client.expect_nothing(link).await;
    assert_eq!(broker.topic_stats("t").unwrap().subscriptions, 1);
}

#[tokio::test]
async fn an_exclusive_consumer_is_alone() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let exclusive = || {
        let mut properties = Fields::default();
        properties.0.insert(Value::Symbol("exclusive".into()), Value::Boolean(true));
        LinkTerms { properties: Some(properties), ..terms(Source::at("q0")) }
    };
    let first = client.attach(Role::Receiver, exclusive()).await.unwrap();
    assert_refused(client.receiver("q0", 1).await, &ErrorCondition::RESOURCE_LOCKED);
    client.detach(first).await;
    let plain = client.receiver("q0", 1).await.unwrap();
    assert_refused(client.attach(Role::Receiver, exclusive()).await, &ErrorCondition::RESOURCE_LOCKED);
    client.detach(plain).await;
    client.attach(Role::Receiver, exclusive()).await.unwrap();
}
