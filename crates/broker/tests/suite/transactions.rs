//! Transactions (part 4): what is posted, retired and acquired in them.

use bytes::Bytes;
use postroad_amqp::v1_0::{LinkId, LinkTerms, Message as Part};
use postroad_broker::{Broker, Overflow};
use postroad_codec::v1_0::{
    AttachTarget, Coordinator, Declare, DeliveryNumber, DeliveryState, DeliveryTag, Discharge, DistributionMode,
    Encode, Error, ErrorCondition, Fields, Header, Map, Message, Outcome, Properties, ReceiverSettleMode, Role,
    Sections, SenderSettleMode, Source, Symbol, Target, TransactionId, TransactionalState, TxnCapability, Value,
};

use crate::client::{Client, Stream, numbered, text};
use crate::{broker, eventually, start};

/// A link to the coordinator.
pub(crate) async fn control(client: &mut Client<impl Stream>) -> LinkId {
    let coordinator = Coordinator { capabilities: [TxnCapability::LOCAL_TRANSACTIONS].into_iter().collect() };
    client.attach_target(AttachTarget::Coordinator(coordinator)).await.expect("the broker has a coordinator")
}

/// Sends a command and waits for what becomes of it.
pub(crate) async fn command(client: &mut Client<impl Stream>, control: LinkId, body: &impl Encode) -> DeliveryState {
    let mut payload = vec![0x00, 0x53, 0x77];
    body.encode(&mut payload);
    client.engine.flush();
    let token = client.send_with(control, &payload.into(), false).await;
    client.outcome(control, token).await.state.expect("a command has an outcome")
}

pub(crate) async fn declare(client: &mut Client<impl Stream>, control: LinkId) -> TransactionId {
    match command(client, control, &Declare::default()).await {
        DeliveryState::Declared(declared) => declared.txn_id,
        other => panic!("{other:?}"),
    }
}

/// Discharges a transaction; an error is why it was not done.
pub(crate) async fn discharge(
    client: &mut Client<impl Stream>,
    control: LinkId,
    id: &TransactionId,
    fail: bool,
) -> Result<(), Error> {
    match command(client, control, &Discharge { txn_id: id.clone(), fail: Some(fail) }).await {
        DeliveryState::Accepted => Ok(()),
        DeliveryState::Rejected(rejected) => Err(rejected.error.expect("a refusal says why")),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn within(id: &TransactionId, outcome: Option<Outcome>) -> DeliveryState {
    DeliveryState::Transactional(Box::new(TransactionalState { txn_id: id.clone(), outcome }))
}

/// Hands a message over in a transaction, and answers its token.
pub(crate) async fn hand_over(
    client: &mut Client<impl Stream>,
    link: LinkId,
    id: &TransactionId,
    payload: &Bytes,
    settled: bool,
) -> u64 {
    while client.engine.sender(link).capacity() == 0 {
        client.step().await;
    }
    let token = client.token();
    let state = Some(within(id, None));
    let message = Part { settled, state, ..Part::shared(payload, DeliveryTag::from(token), token) };
    client.engine.sender(link).send(&message).expect("there is capacity");
    client.flush().await;
    token
}

/// Posts a text in a transaction, and answers its provisional outcome.
pub(crate) async fn post(
    client: &mut Client<impl Stream>,
    link: LinkId,
    id: &TransactionId,
    text: &str,
) -> DeliveryState {
    let token = hand_over(client, link, id, &Message::from(text).to_bytes(), false).await;
    client.outcome(link, token).await.state.expect("an outcome")
}

/// Posts texts that are all provisionally accepted.
pub(crate) async fn post_all(
    client: &mut Client<impl Stream>,
    link: LinkId,
    id: &TransactionId,
    texts: impl IntoIterator<Item = String>,
) {
    for text in texts {
        assert_eq!(post(client, link, id, &text).await, within(id, Some(Outcome::Accepted)));
    }
}

/// Tells an outcome that waits for a commit.
pub(crate) fn retire(
    client: &mut Client<impl Stream>,
    link: LinkId,
    delivery: DeliveryNumber,
    id: &TransactionId,
    outcome: Outcome,
    settled: bool,
) {
    client.engine.receiver(link).dispose(delivery, Some(within(id, Some(outcome))), settled);
}

/// The error in an outcome, which may be provisional.
pub(crate) fn error_of(state: &DeliveryState) -> Error {
    match state.outcome() {
        Some(Outcome::Rejected(rejected)) => rejected.error.expect("a reason"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_coordinator_tells_what_it_can_do() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let answer = client.engine.remote_attach(control).unwrap();
    let Some(AttachTarget::Coordinator(coordinator)) = answer.target.as_deref() else { panic!("{answer:?}") };
    let expected =
        [TxnCapability::LOCAL_TRANSACTIONS, TxnCapability::MULTI_TXNS_PER_SSN, TxnCapability::MULTI_SSNS_PER_TXN];
    assert_eq!(coordinator.capabilities.iter().collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn nobody_sees_a_message_before_its_commit() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    let mut consumer = Client::connect(&broker).await;
    let receiver = consumer.receiver("q0", 10).await.unwrap();
    let browser = Source { distribution_mode: Some(DistributionMode::COPY), ..Source::at("q0") };
    let browser = consumer.attach_source(browser, 10).await.unwrap();

    let id = declare(&mut client, control).await;
    post_all(&mut client, sender, &id, numbered(0..3)).await;
    consumer.expect_nothing(receiver).await;
    consumer.expect_nothing(browser).await;
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.ready, stats.unsettled, stats.uncommitted, stats.enqueued), (0, 0, 3, 0));
    assert!(stats.bytes > 0);
    assert_eq!(broker.open_transactions(), 1);

    // What comes outside of it does not wait, and is there before.
    client.send_all(sender, ["outside".to_owned()]).await;
    assert_eq!(consumer.receive_text(receiver).await, "outside");
    discharge(&mut client, control, &id, false).await.unwrap();
    for expected in numbered(0..3) {
        assert_eq!(consumer.receive_text(receiver).await, expected);
    }
    consumer.flush().await;
    eventually("all are settled", || broker.queue_stats("q0").unwrap().settled == 4).await;
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.bytes, stats.uncommitted, broker.open_transactions()), (0, 0, 0));
}

#[tokio::test]
async fn what_is_rolled_back_is_gone() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    let id = declare(&mut client, control).await;
    post_all(&mut client, sender, &id, numbered(0..5)).await;
    discharge(&mut client, control, &id, true).await.unwrap();
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.ready, stats.uncommitted, stats.bytes, stats.enqueued), (0, 0, 0, 0));
    let receiver = client.receiver("q0", 10).await.unwrap();
    client.expect_nothing(receiver).await;
}

#[tokio::test]
async fn a_message_that_was_sent_settled_waits_as_well() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    for fail in [true, false] {
        let id = declare(&mut client, control).await;
        hand_over(&mut client, sender, &id, &Message::from("settled").to_bytes(), true).await;
        eventually("it is held", || broker.queue_stats("q0").unwrap().uncommitted == 1).await;
        discharge(&mut client, control, &id, fail).await.unwrap();
        assert_eq!(broker.queue_stats("q0").unwrap().ready, usize::from(!fail));
    }
}

#[tokio::test]
async fn several_transactions_at_once_over_two_sessions() {
    let broker = start(Broker::builder().queue("q0").queue("q1")).await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let here = client.sender("q0").await.unwrap();
    client.begin().await;
    let there = client.sender("q1").await.unwrap();
    let relay = client.attach_target(Target::default()).await.unwrap();
    let (kept, undone) = (declare(&mut client, control).await, declare(&mut client, control).await);
    assert_ne!(kept, undone);
    for number in 0..10 {
        for (id, name) in [(&kept, "kept"), (&undone, "undone")] {
            post_all(&mut client, here, id, [format!("{name}{number}")]).await;
            post_all(&mut client, there, id, [format!("{name}{number}")]).await;
        }
    }
    let routed = Message {
        properties: Some(Box::new(Properties { to: Some("q1".into()), ..Properties::default() })),
        ..Message::from("routed")
    };
    let token = hand_over(&mut client, relay, &kept, &routed.to_bytes(), false).await;
    assert_eq!(client.outcome(relay, token).await.state, Some(within(&kept, Some(Outcome::Accepted))));
    discharge(&mut client, control, &undone, true).await.unwrap();
    discharge(&mut client, control, &kept, false).await.unwrap();
    for queue in ["q0", "q1"] {
        let receiver = client.receiver(queue, 100).await.unwrap();
        for number in 0..10 {
            assert_eq!(client.receive_text(receiver).await, format!("kept{number}"), "{queue}");
        }
        if queue == "q1" {
            assert_eq!(client.receive_text(receiver).await, "routed");
        }
        client.expect_nothing(receiver).await;
    }
}

#[tokio::test]
async fn a_commit_is_told_behind_the_outcomes_in_it() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    client.begin().await;
    let sender = client.sender("q0").await.unwrap();
    let id = declare(&mut client, control).await;
    while client.engine.sender(sender).capacity() == 0 {
        client.step().await;
    }
    // Both in one write, on two sessions.
    let payload = Message::from("posted").to_bytes();
    let message = Part { state: Some(within(&id, None)), ..Part::shared(&payload, DeliveryTag::from(1), 1) };
    client.engine.sender(sender).send(&message).unwrap();
    discharge(&mut client, control, &id, false).await.unwrap();
    let posted = client.outcome(sender, 1);
    let posted = tokio::time::timeout(std::time::Duration::ZERO, posted).await.expect("it has come");
    assert_eq!(posted.state, Some(within(&id, Some(Outcome::Accepted))));
}

#[tokio::test]
async fn outcomes_are_applied_with_the_commit() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..4)).await;
    let receiver = client.receiver("q0", 4).await.unwrap();
    let id = declare(&mut client, control).await;
    let outcomes =
        [Outcome::Accepted, Outcome::rejected(None), Outcome::Released, Outcome::modified(true, false, None)];
    let mut taken = Vec::new();
    for outcome in outcomes.clone() {
        let delivery = client.receive(receiver).await;
        retire(&mut client, receiver, delivery.number, &id, outcome, false);
        taken.push(delivery);
    }
    client.flush().await;
    let other = client.receiver("q0", 10).await.unwrap();
    client.expect_nothing(other).await;
    assert_eq!(broker.queue_stats("q0").unwrap().unsettled, 4);

    discharge(&mut client, control, &id, false).await.unwrap();
    // The broker settles them, with the outcome that was applied.
    for (delivery, outcome) in taken.iter().zip(outcomes) {
        let told = client
            .wait("settlement", |event| match event {
                postroad_amqp::v1_0::Event::SettledBySender { delivery: number, state, .. }
                    if *number == delivery.number =>
                {
                    Some(state.clone())
                }
                _ => None,
            })
            .await;
        assert_eq!(told, Some(DeliveryState::from(outcome)));
    }
    let (released, failed) = (client.receive(other).await, client.receive(other).await);
    assert_eq!((text(&released), text(&failed)), ("m2".to_owned(), "m3".to_owned()));
    let count = Sections::find(failed.payload).unwrap().header().unwrap().unwrap().delivery_count;
    assert_eq!(count, Some(1));
    assert_eq!(broker.queue_stats("q0").unwrap().settled, 2);
}

#[tokio::test]
async fn deliveries_live_again_after_a_rollback() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..3)).await;
    let receiver = client.receiver("q0", 3).await.unwrap();
    let other = client.receiver("q0", 10).await.unwrap();
    let id = declare(&mut client, control).await;
    let mut taken = Vec::new();
    for _ in 0..3 {
        let delivery = client.receive(receiver).await;
        retire(&mut client, receiver, delivery.number, &id, Outcome::Accepted, false);
        taken.push(delivery.number);
    }
    discharge(&mut client, control, &id, true).await.unwrap();
    // 4.4.2: still acquired by the same receiver, which may settle in another transaction or in none.
    client.expect_nothing(other).await;
    assert_eq!(broker.queue_stats("q0").unwrap().unsettled, 3);
    client.accept(receiver, taken[0]);
    client.settle(receiver, taken[1], DeliveryState::Released);
    let id = declare(&mut client, control).await;
    retire(&mut client, receiver, taken[2], &id, Outcome::Accepted, false);
    discharge(&mut client, control, &id, false).await.unwrap();
    assert_eq!(client.receive_text(other).await, "m1");
    client.flush().await;
    eventually("all are settled", || broker.queue_stats("q0").unwrap().settled == 3).await;
}

#[tokio::test]
async fn what_its_consumer_settled_gets_the_default_outcome_after_a_rollback() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..2)).await;
    let receiver = client.receiver("q0", 2).await.unwrap();
    for (fail, expected) in [(true, "m0"), (false, "m1")] {
        let id = declare(&mut client, control).await;
        let delivery = client.receive(receiver).await;
        assert_eq!(text(&delivery), expected);
        retire(&mut client, receiver, delivery.number, &id, Outcome::Accepted, true);
        discharge(&mut client, control, &id, fail).await.unwrap();
    }
    // 4.4.4, and the source told that modified with delivery-failed is the default.
    client.engine.receiver(receiver).set_credit(10);
    let again = client.receive(receiver).await;
    assert_eq!(text(&again), "m0");
    let header = Sections::find(again.payload.clone()).unwrap().header().unwrap();
    assert_eq!(header, Some(Header { delivery_count: Some(1), ..Header::default() }));
    client.accept(receiver, again.number);
    client.flush().await;
    eventually("both are settled", || broker.queue_stats("q0").unwrap().settled == 2).await;
}

#[tokio::test]
async fn an_outcome_outside_takes_a_delivery_out_of_its_transaction() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..1)).await;
    let receiver = client.receiver("q0", 1).await.unwrap();
    let other = client.receiver("q0", 1).await.unwrap();
    let id = declare(&mut client, control).await;
    let delivery = client.receive(receiver).await;
    retire(&mut client, receiver, delivery.number, &id, Outcome::Accepted, false);
    client.flush().await;
    client.settle(receiver, delivery.number, DeliveryState::Released);
    assert_eq!(client.receive_text(other).await, "m0");
    discharge(&mut client, control, &id, false).await.unwrap();
    eventually("it is settled once", || broker.queue_stats("q0").unwrap().settled == 1).await;
}

#[tokio::test]
async fn a_delivery_cannot_be_part_of_two_transactions() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let (one, two) = (control(&mut client).await, control(&mut client).await);
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..1)).await;
    let receiver = client.receiver("q0", 1).await.unwrap();
    let (first, second) = (declare(&mut client, one).await, declare(&mut client, two).await);
    let delivery = client.receive(receiver).await;
    retire(&mut client, receiver, delivery.number, &first, Outcome::Accepted, false);
    client.flush().await;
    retire(&mut client, receiver, delivery.number, &second, Outcome::Released, false);
    // 4.4.2: the control link of the one that comes late ends.
    let error = client.detached(two).await.unwrap();
    assert_eq!(error.condition, ErrorCondition::TRANSACTION_ROLLBACK);
    discharge(&mut client, one, &first, false).await.unwrap();
    eventually("it is accepted", || broker.queue_stats("q0").unwrap().settled == 1).await;
}

#[tokio::test]
async fn messages_are_acquired_in_a_transaction() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..3)).await;
    let receiver = client.receiver("q0", 0).await.unwrap();
    let other = client.receiver("q0", 0).await.unwrap();
    for fail in [true, false] {
        let id = declare(&mut client, control).await;
        let txn = Fields(Map(vec![(Symbol::from_static("txn-id").into(), Value::Binary(id.0.clone()))]));
        client.engine.set_flow_properties(receiver, Some(txn));
        client.engine.receiver(receiver).set_credit(3);
        let mut taken = Vec::new();
        for expected in numbered(0..3) {
            let delivery = client.receive(receiver).await;
            assert_eq!((text(&delivery), &delivery.state), (expected, &Some(within(&id, None))));
            taken.push(delivery.number);
        }
        client.engine.set_flow_properties(receiver, None);
        // One with an outcome, two without.
        retire(&mut client, receiver, taken[0], &id, Outcome::Accepted, false);
        discharge(&mut client, control, &id, fail).await.unwrap();
        if fail {
            // Acquisition and outcome are undone (4.4.4); the broker has settled all three.
            eventually("they are back", || broker.queue_stats("q0").unwrap().ready == 3).await;
        } else {
            let stats = broker.queue_stats("q0").unwrap();
            assert_eq!((stats.settled, stats.unsettled), (1, 2), "two are acquired for good");
            client.settle(receiver, taken[1], DeliveryState::Released);
            client.accept(receiver, taken[2]);
            client.flush().await;
        }
    }
    client.engine.receiver(other).set_credit(3);
    assert_eq!(client.receive_text(other).await, "m1");
    client.expect_nothing(other).await;
    // The transaction is over: what comes now is acquired in none.
    client.detach(other).await;
    client.engine.receiver(receiver).set_credit(1);
    client.send_all(sender, ["later".to_owned()]).await;
    let later = client.receive(receiver).await;
    assert_eq!((text(&later), later.state), ("later".to_owned(), None));
}

#[tokio::test]
async fn what_is_sent_settled_in_a_transaction_comes_back_with_its_rollback() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..2)).await;
    let terms = LinkTerms {
        source: Some(Source::at("q0")),
        target: Some(Target::default().into()),
        snd_settle_mode: SenderSettleMode::SETTLED,
        ..LinkTerms::default()
    };
    let receiver = client.attach(Role::Receiver, terms).await.unwrap();
    for (fail, left) in [(true, 2), (false, 0)] {
        let id = declare(&mut client, control).await;
        let txn = Fields(Map(vec![(Symbol::from_static("txn-id").into(), Value::Binary(id.0.clone()))]));
        client.engine.set_flow_properties(receiver, Some(txn));
        client.engine.receiver(receiver).set_credit(2);
        for expected in numbered(0..2) {
            let delivery = client.receive(receiver).await;
            assert_eq!((text(&delivery), delivery.settled), (expected, true));
        }
        client.engine.set_flow_properties(receiver, None);
        discharge(&mut client, control, &id, fail).await.unwrap();
        eventually("it is discharged", || {
            let stats = broker.queue_stats("q0").unwrap();
            (stats.ready, stats.unsettled) == (left, 0)
        })
        .await;
    }
}

#[tokio::test]
async fn a_receiver_that_settles_second_shows_the_outcome_of_the_commit() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let terms = LinkTerms {
        source: Some(Source::default()),
        target: Some(Target::at("q0").into()),
        rcv_settle_mode: ReceiverSettleMode::SECOND,
        auto_settle: false,
        ..LinkTerms::default()
    };
    let sender = client.attach(Role::Sender, terms).await.unwrap();
    let id = declare(&mut client, control).await;
    let token = hand_over(&mut client, sender, &id, &Message::from("second").to_bytes(), false).await;
    let mut told = Vec::new();
    let update = async |client: &mut Client| {
        client
            .wait("update", |event| match event {
                postroad_amqp::v1_0::Event::Update(update) if update.link == sender => Some(update.clone()),
                _ => None,
            })
            .await
    };
    told.push(update(&mut client).await);
    discharge(&mut client, control, &id, false).await.unwrap();
    told.push(update(&mut client).await);
    let states: Vec<_> = told.iter().map(|update| (update.token, update.state.clone(), update.settled)).collect();
    let provisional = within(&id, Some(Outcome::Accepted));
    assert_eq!(states, [(token, Some(provisional), false), (token, Some(DeliveryState::Accepted), false)]);
}

#[tokio::test]
async fn a_topic_gives_with_the_commit_to_those_who_subscribe_then() {
    let broker = start(Broker::builder().topic("news")).await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("news").await.unwrap();
    let early = client.receiver("news", 10).await.unwrap();
    let id = declare(&mut client, control).await;
    post_all(&mut client, sender, &id, numbered(0..2)).await;
    assert!(broker.held_bytes() > 0, "the broker holds them meanwhile");
    let late = client.receiver("news", 10).await.unwrap();
    client.expect_nothing(early).await;
    discharge(&mut client, control, &id, false).await.unwrap();
    for receiver in [early, late] {
        for expected in numbered(0..2) {
            assert_eq!(client.receive_text(receiver).await, expected);
        }
    }
    client.flush().await;
    eventually("nothing is held", || broker.held_bytes() == 0).await;
}

#[tokio::test]
async fn a_subscription_that_is_full_at_the_commit_undoes_all_of_it() {
    let options = postroad_broker::NodeOptions::default().overflow(Overflow::HoldBack);
    let builder = Broker::builder().queue("q0").topic_with("news", options);
    let broker = start(builder.with_limits(|limits| limits.subscription_messages = 2)).await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let queue = client.sender("q0").await.unwrap();
    let topic = client.sender("news").await.unwrap();
    let subscriber = client.receiver("news", 0).await.unwrap();
    let id = declare(&mut client, control).await;
    post_all(&mut client, queue, &id, numbered(0..1)).await;
    post_all(&mut client, topic, &id, numbered(0..3)).await;
    let error = discharge(&mut client, control, &id, false).await.unwrap_err();
    assert_eq!(error.condition, ErrorCondition::TRANSACTION_ROLLBACK);
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.ready, stats.uncommitted, stats.bytes), (0, 0, 0));
    assert_eq!((broker.topic_stats("news").unwrap().ready, broker.held_bytes()), (0, 0));
    client.engine.receiver(subscriber).set_credit(10);
    client.expect_nothing(subscriber).await;
}

#[tokio::test]
async fn thousands_of_transactions_leave_nothing_behind() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    let receiver = client.receiver("q0", 10).await.unwrap();
    for round in 0..2000 {
        let id = declare(&mut client, control).await;
        post_all(&mut client, sender, &id, ["m".to_owned()]).await;
        if round % 4 == 0 {
            discharge(&mut client, control, &id, true).await.unwrap();
            continue;
        }
        discharge(&mut client, control, &id, false).await.unwrap();
        let delivery = client.receive(receiver).await;
        let id = declare(&mut client, control).await;
        retire(&mut client, receiver, delivery.number, &id, Outcome::Accepted, round % 2 == 0);
        discharge(&mut client, control, &id, false).await.unwrap();
        client.engine.receiver(receiver).set_credit(10);
    }
    client.flush().await;
    eventually("nothing is left", || {
        let stats = broker.queue_stats("q0").unwrap();
        (stats.ready, stats.unsettled, stats.uncommitted, stats.bytes, stats.settled) == (0, 0, 0, 0, 1500)
    })
    .await;
    assert_eq!(broker.open_transactions(), 0);
}
