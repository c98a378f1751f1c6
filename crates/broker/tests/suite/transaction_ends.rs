//! How transactions end badly: errors, limits, time, and every way to lose a link.

use std::time::Duration;

use postroad_amqp::v1_0::{Event, LinkTerms};
use postroad_broker::{Broker, ExchangeKind};
use postroad_codec::v1_0::{
    AttachTarget, Coordinator, Declare, Discharge, ErrorCondition, Fields, GlobalTxId, Map, Message, NodeProperties,
    Outcome, Properties, Role, Source, Symbol, Target, TransactionId, Value,
};

use crate::client::{Client, numbered, text};
use crate::transactions::{command, control, declare, discharge, error_of, hand_over, post, post_all, retire, within};
use crate::{broker, eventually, start};

fn nobodys() -> TransactionId {
    TransactionId(b"nobody's"[..].into())
}

#[tokio::test]
async fn commands_that_cannot_be_done_are_rejected() {
    let broker = start(Broker::builder().with_limits(|limits| limits.transactions_per_connection = 2)).await;
    let mut client = Client::connect(&broker).await;
    let (first, other) = (control(&mut client).await, control(&mut client).await);
    let global = Declare { global_id: Some(GlobalTxId(Value::Binary(b"xid"[..].into()))) };
    let refused = command(&mut client, first, &global).await;
    assert_eq!(error_of(&refused).condition, ErrorCondition::NOT_IMPLEMENTED);
    for id in [nobodys(), TransactionId([0, 0, 0, 0, 0, 0, 0, 99][..].to_vec().into())] {
        for fail in [false, true] {
            let error = discharge(&mut client, first, &id, fail).await.unwrap_err();
            assert_eq!(error.condition, ErrorCondition::TRANSACTION_UNKNOWN_ID);
        }
    }
    let strange = command(&mut client, first, &Value::String("commit, please".into())).await;
    assert_eq!(error_of(&strange).condition, ErrorCondition::INVALID_FIELD);
    let malformed = Value::described(Value::Ulong(0x32), Value::List(vec![Value::Boolean(true)]));
    let malformed = command(&mut client, first, &malformed).await;
    assert_eq!(error_of(&malformed).condition, ErrorCondition::DECODE_ERROR);

    // Only the link that has declared it may discharge a transaction, and only once.
    let id = declare(&mut client, first).await;
    let error = discharge(&mut client, other, &id, false).await.unwrap_err();
    assert_eq!(error.condition, ErrorCondition::TRANSACTION_UNKNOWN_ID);
    let second = declare(&mut client, other).await;
    let full = command(&mut client, other, &Declare::default()).await;
    assert_eq!(error_of(&full).condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    discharge(&mut client, first, &id, false).await.unwrap();
    let error = discharge(&mut client, first, &id, false).await.unwrap_err();
    assert_eq!(error.condition, ErrorCondition::TRANSACTION_UNKNOWN_ID);
    declare(&mut client, first).await;
    discharge(&mut client, other, &second, true).await.unwrap();
}

#[tokio::test]
async fn a_controller_without_rejections_is_detached() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let source =
        Source { outcomes: [Symbol::from_static("amqp:accepted:list")].into_iter().collect(), ..Source::default() };
    let terms = LinkTerms {
        source: Some(source),
        target: Some(AttachTarget::Coordinator(Coordinator::default())),
        ..LinkTerms::default()
    };
    let control = client.attach(Role::Sender, terms).await.unwrap();
    let mut payload = vec![0x00, 0x53, 0x77];
    postroad_codec::v1_0::Encode::encode(&Discharge { txn_id: nobodys(), fail: None }, &mut payload);
    client.send_with(control, &payload.into(), false).await;
    let error = client.detached(control).await.unwrap();
    assert_eq!(error.condition, ErrorCondition::TRANSACTION_UNKNOWN_ID);
}

#[tokio::test]
async fn a_command_that_was_sent_settled_ends_the_link() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let mut payload = vec![0x00, 0x53, 0x77];
    postroad_codec::v1_0::Encode::encode(&Declare::default(), &mut payload);
    client.send_with(control, &payload.into(), true).await;
    let error = client.detached(control).await.unwrap();
    assert_eq!(error.condition, ErrorCondition::NOT_ALLOWED);
    assert_eq!(broker.open_transactions(), 0);
}

#[tokio::test]
async fn work_in_a_transaction_that_is_unknown_is_refused() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    let refused = post(&mut client, sender, &nobodys(), "lost?").await;
    assert_eq!(error_of(&refused).condition, ErrorCondition::TRANSACTION_UNKNOWN_ID);
    hand_over(&mut client, sender, &nobodys(), &Message::from("settled").to_bytes(), true).await;
    let error = client.detached(sender).await.unwrap();
    assert_eq!(error.condition, ErrorCondition::TRANSACTION_UNKNOWN_ID);

    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..1)).await;
    let receiver = client.receiver("q0", 1).await.unwrap();
    let delivery = client.receive(receiver).await;
    retire(&mut client, receiver, delivery.number, &nobodys(), Outcome::Accepted, false);
    let error = client.detached(receiver).await.unwrap();
    assert_eq!(error.condition, ErrorCondition::TRANSACTION_UNKNOWN_ID);
    let receiver = client.receiver("q0", 0).await.unwrap();
    let txn = Fields(Map(vec![(Symbol::from_static("txn-id").into(), Value::Binary(nobodys().0))]));
    client.engine.set_flow_properties(receiver, Some(txn));
    let error = client.detached(receiver).await.unwrap();
    assert_eq!(error.condition, ErrorCondition::TRANSACTION_UNKNOWN_ID);
    // Nothing was lost.
    let receiver = client.receiver("q0", 1).await.unwrap();
    assert_eq!(client.receive_text(receiver).await, "m0");
}

#[tokio::test]
async fn a_queue_counts_what_may_be_committed() {
    let broker = start(Broker::builder().queue("q0").with_limits(|limits| limits.queue_messages = 3)).await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    let late = client.sender("q0").await.unwrap();
    let id = declare(&mut client, control).await;
    post_all(&mut client, sender, &id, numbered(0..3)).await;
    // Nobody is promised more, in the transaction or outside.
    assert_eq!((client.engine.sender(sender).capacity(), broker.queue_stats("q0").unwrap().uncommitted), (0, 3));
    if client.engine.sender(late).capacity() > 0 {
        let refused = post(&mut client, late, &id, "one too many").await;
        assert_eq!(refused, within(&id, Some(Outcome::rejected(Some(error_of(&refused))))));
        assert_eq!(error_of(&refused).condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    }
    // What was accepted provisionally is accepted, whatever else was refused.
    discharge(&mut client, control, &id, false).await.unwrap();
    assert_eq!(broker.queue_stats("q0").unwrap().ready, 3);
    let receiver = client.receiver("q0", 3).await.unwrap();
    for expected in numbered(0..3) {
        assert_eq!(client.receive_text(receiver).await, expected);
    }
    client.flush().await;
    client.send_all(sender, numbered(3..4)).await;
}

#[tokio::test]
async fn the_room_of_what_is_rolled_back_goes_to_those_who_wait() {
    let broker = start(Broker::builder().queue("q0").with_limits(|limits| limits.queue_messages = 2)).await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    let id = declare(&mut client, control).await;
    post_all(&mut client, sender, &id, numbered(0..2)).await;
    assert_eq!(client.engine.sender(sender).capacity(), 0);
    discharge(&mut client, control, &id, true).await.unwrap();
    client.send_all(sender, numbered(2..4)).await;
    assert_eq!(broker.queue_stats("q0").unwrap().ready, 2);
}

#[tokio::test]
async fn a_transaction_holds_so_many_bytes() {
    let broker = start(Broker::builder().queue("q0").with_limits(|limits| limits.transaction_bytes = 1000)).await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    let id = declare(&mut client, control).await;
    post_all(&mut client, sender, &id, numbered(0..3)).await;
    let refused = post(&mut client, sender, &id, "m3").await;
    assert_eq!(error_of(&refused).condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    discharge(&mut client, control, &id, false).await.unwrap();
    let id = declare(&mut client, control).await;
    post_all(&mut client, sender, &id, numbered(3..6)).await;
    // What was sent settled cannot be refused by itself (4.4.4): nothing of the transaction is done.
    hand_over(&mut client, sender, &id, &Message::from("settled").to_bytes(), true).await;
    let error = discharge(&mut client, control, &id, false).await.unwrap_err();
    assert_eq!(error.condition, ErrorCondition::TRANSACTION_ROLLBACK);
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.ready, stats.uncommitted), (3, 0));
    assert_eq!(broker.open_transactions(), 0);
}

#[tokio::test]
async fn a_node_that_was_deleted_undoes_the_transaction() {
    let broker = start(Broker::builder().queue("q0").queue("q1")).await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let (gone, stays) = (client.sender("q0").await.unwrap(), client.sender("q1").await.unwrap());
    let id = declare(&mut client, control).await;
    post_all(&mut client, gone, &id, numbered(0..2)).await;
    post_all(&mut client, stays, &id, numbered(0..2)).await;
    assert!(broker.delete_queue("q0"));
    let error = discharge(&mut client, control, &id, false).await.unwrap_err();
    assert_eq!(error.condition, ErrorCondition::TRANSACTION_ROLLBACK);
    let stats = broker.queue_stats("q1").unwrap();
    assert_eq!((stats.ready, stats.uncommitted), (0, 0));
}

/// Whatever was posted to an exchange that is gone, nothing is kept of it.
#[tokio::test]
async fn an_exchange_that_was_deleted_undoes_the_transaction() {
    let broker = start(Broker::builder().queue("q0").exchange("e", ExchangeKind::Fanout)).await;
    broker.bind("e", "q0", "").unwrap();
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let (gone, stays) = (client.sender("e").await.unwrap(), client.sender("q0").await.unwrap());
    let id = declare(&mut client, control).await;
    post_all(&mut client, gone, &id, numbered(0..2)).await;
    post_all(&mut client, stays, &id, numbered(0..2)).await;
    assert!(broker.held_bytes() > 0);
    assert!(broker.delete_exchange("e"));
    let error = discharge(&mut client, control, &id, false).await.unwrap_err();
    assert_eq!(error.condition, ErrorCondition::TRANSACTION_ROLLBACK);
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.ready, stats.uncommitted, broker.held_bytes()), (0, 0, 0));
    assert_eq!(client.detached(gone).await.unwrap().condition, ErrorCondition::RESOURCE_DELETED);
}

/// A queue that stays for its messages waits for those that may come, and goes when they do not.
#[tokio::test]
async fn a_rollback_leaves_nothing_that_a_queue_would_stay_for() {
    let broker = start(Broker::builder()).await;
    let mut client = Client::connect(&broker).await;
    let no_messages = Value::described(Value::Ulong(0x2d), Value::List(Vec::new()));
    let mut fields = Fields::default();
    fields.0.insert(Value::Symbol("lifetime-policy".into()), no_messages);
    let capabilities = vec![Symbol::from_static("create-on-demand")];
    let properties = Some(NodeProperties(fields));
    let target = Target { capabilities: capabilities.into(), dynamic_node_properties: properties, ..Target::at("q") };
    let control = control(&mut client).await;
    let creator = client.attach_target(target).await.unwrap();
    let id = declare(&mut client, control).await;
    post_all(&mut client, creator, &id, numbered(0..2)).await;
    client.detach(creator).await;
    assert_eq!(broker.queue_stats("q").unwrap().uncommitted, 2);
    discharge(&mut client, control, &id, true).await.unwrap();
    eventually("it is gone", || broker.queue_stats("q").is_none()).await;
}

/// A commit to an exchange gives back the room in queues where another one has none.
#[tokio::test]
async fn a_full_queue_behind_an_exchange_undoes_the_transaction() {
    let builder = Broker::builder().queue("q0").queue("q1").exchange("e", ExchangeKind::Direct);
    let broker =
        start(builder.exchange("f", ExchangeKind::Fanout).with_limits(|limits| limits.queue_messages = 3)).await;
    for (exchange, queue) in [("e", "q0"), ("f", "q0"), ("f", "q1")] {
        broker.bind(exchange, queue, "").unwrap();
    }
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let (direct, fanout) = (client.sender("e").await.unwrap(), client.sender("f").await.unwrap());
    for (posted, fits) in [(2, false), (1, true)] {
        let id = declare(&mut client, control).await;
        post_all(&mut client, direct, &id, numbered(0..2)).await;
        post_all(&mut client, fanout, &id, numbered(0..posted)).await;
        assert_eq!(discharge(&mut client, control, &id, false).await.is_ok(), fits);
        let [one, other] = ["q0", "q1"].map(|queue| broker.queue_stats(queue).unwrap());
        let expected = if fits { [3, 1] } else { [0, 0] };
        assert_eq!(([one.ready, other.ready], [one.uncommitted, other.uncommitted]), (expected, [0, 0]));
        assert_eq!(broker.held_bytes() > 0, fits);
    }
}

#[tokio::test]
async fn a_transaction_that_takes_too_long_is_rolled_back() {
    let builder = Broker::builder().queue("q0").transaction_timeout(Some(Duration::from_millis(200)));
    let broker = start(builder).await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..2)).await;
    let receiver = client.receiver("q0", 2).await.unwrap();
    let id = declare(&mut client, control).await;
    let (kept, settled) = (client.receive(receiver).await, client.receive(receiver).await);
    retire(&mut client, receiver, kept.number, &id, Outcome::Accepted, false);
    retire(&mut client, receiver, settled.number, &id, Outcome::Accepted, true);
    hand_over(&mut client, sender, &id, &Message::from("posted").to_bytes(), true).await;
    // Nobody says a word meanwhile.
    eventually("it is rolled back", || {
        let stats = broker.queue_stats("q0").unwrap();
        (stats.uncommitted, stats.ready, stats.unsettled) == (0, 1, 1)
    })
    .await;
    let refused = post(&mut client, sender, &id, "late").await;
    assert_eq!(error_of(&refused).condition, ErrorCondition::TRANSACTION_TIMEOUT);
    let error = discharge(&mut client, control, &id, false).await.unwrap_err();
    assert_eq!(error.condition, ErrorCondition::TRANSACTION_TIMEOUT);
    let error = discharge(&mut client, control, &id, false).await.unwrap_err();
    assert_eq!(error.condition, ErrorCondition::TRANSACTION_UNKNOWN_ID);
    // A rollback is what has happened.
    let id = declare(&mut client, control).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    discharge(&mut client, control, &id, true).await.unwrap();
    client.accept(receiver, kept.number);
    client.engine.receiver(receiver).set_credit(1);
    assert_eq!(client.receive_text(receiver).await, "m1");
    client.flush().await;
    eventually("both are settled", || broker.queue_stats("q0").unwrap().settled == 2).await;
}

/// What ends a transaction that nobody discharges.
#[derive(Debug, Clone, Copy)]
enum End {
    Detach,
    Session,
    Close,
    Cut,
}

#[tokio::test]
async fn whatever_ends_the_control_link_rolls_back() {
    for end in [End::Detach, End::Session, End::Close, End::Cut] {
        let broker = broker().await;
        let mut client = Client::connect(&broker).await;
        let sender = client.sender("q0").await.unwrap();
        client.send_all(sender, numbered(0..2)).await;
        let receiver = client.receiver("q0", 2).await.unwrap();
        let work = client.session();
        client.begin().await;
        let control = control(&mut client).await;
        assert_ne!(work, client.session());
        let id = declare(&mut client, control).await;
        post_all(&mut client, sender, &id, numbered(2..5)).await;
        for settled in [false, true] {
            let delivery = client.receive(receiver).await;
            retire(&mut client, receiver, delivery.number, &id, Outcome::Accepted, settled);
        }
        client.flush().await;
        let goes_on = match end {
            End::Detach => {
                client.detach(control).await;
                true
            }
            End::Session => {
                let session = client.session();
                client.engine.end(session, None);
                client.wait("end", |event| matches!(event, Event::SessionEnded { .. }).then_some(())).await;
                true
            }
            End::Close => {
                client.engine.close(None);
                client.closed().await;
                false
            }
            End::Cut => false,
        };
        let client = goes_on.then_some(client);
        eventually("it is rolled back", || {
            let stats = broker.queue_stats("q0").unwrap();
            let left = (stats.ready + stats.unsettled, stats.uncommitted, stats.settled);
            left == (2, 0, 0) && broker.open_transactions() == 0 && stats.ready == if goes_on { 1 } else { 2 }
        })
        .await;
        drop(client);
        let mut next = Client::connect(&broker).await;
        let receiver = next.receiver("q0", 10).await.unwrap();
        let got = [next.receive_text(receiver).await, next.receive_text(receiver).await];
        let mut got = got.to_vec();
        got.sort();
        assert_eq!(got, ["m0", "m1"], "{end:?}");
        next.expect_nothing(receiver).await;
    }
}

#[tokio::test]
async fn links_that_did_work_may_end_before_the_discharge() {
    for fail in [false, true] {
        let broker = broker().await;
        let mut client = Client::connect(&broker).await;
        let control = control(&mut client).await;
        let sender = client.sender("q0").await.unwrap();
        client.send_all(sender, numbered(0..3)).await;
        let receiver = client.receiver("q0", 3).await.unwrap();
        let id = declare(&mut client, control).await;
        post_all(&mut client, sender, &id, numbered(3..4)).await;
        for settled in [false, true] {
            let delivery = client.receive(receiver).await;
            retire(&mut client, receiver, delivery.number, &id, Outcome::Accepted, settled);
        }
        assert_eq!(text(&client.receive(receiver).await), "m2");
        client.detach(sender).await;
        client.detach(receiver).await;
        // What has no outcome is given back at once, the rest waits.
        let stats = broker.queue_stats("q0").unwrap();
        assert_eq!((stats.ready, stats.unsettled, stats.uncommitted), (1, 2, 1));
        discharge(&mut client, control, &id, fail).await.unwrap();
        let stats = broker.queue_stats("q0").unwrap();
        let expected = if fail { (3, 0, 0, 0) } else { (2, 0, 0, 2) };
        assert_eq!((stats.ready, stats.unsettled, stats.uncommitted, stats.settled), expected);
    }
}

#[tokio::test]
async fn a_broker_that_shuts_down_waits_for_commits() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    let id = declare(&mut client, control).await;
    post_all(&mut client, sender, &id, numbered(0..1)).await;
    let closing = tokio::spawn(broker.shutdown(Duration::from_secs(20)));
    // It still takes the discharge, and closes behind it.
    discharge(&mut client, control, &id, false).await.unwrap();
    client.closed().await;
    assert_eq!(closing.await.unwrap(), 0);
}

#[tokio::test]
async fn a_message_that_goes_nowhere_is_refused_in_its_transaction() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let relay = client.attach_target(Target::default()).await.unwrap();
    let to = |node: &str| {
        let properties = Properties { to: Some(node.into()), ..Properties::default() };
        Message { properties: Some(Box::new(properties)), ..Message::from("x") }.to_bytes()
    };
    let id = declare(&mut client, control).await;
    let token = hand_over(&mut client, relay, &id, &to("q0"), false).await;
    assert_eq!(client.outcome(relay, token).await.state, Some(within(&id, Some(Outcome::Accepted))));
    let token = hand_over(&mut client, relay, &id, &to("nowhere"), false).await;
    let refused = client.outcome(relay, token).await.state.unwrap();
    assert_eq!(error_of(&refused).condition, ErrorCondition::NOT_FOUND);
    assert_eq!(refused, within(&id, Some(Outcome::rejected(Some(error_of(&refused))))));
    // The other one can be committed without it; but what was sent settled must not be missing (4.4.4).
    hand_over(&mut client, relay, &id, &to("nowhere"), true).await;
    let error = discharge(&mut client, control, &id, false).await.unwrap_err();
    assert_eq!(error.condition, ErrorCondition::TRANSACTION_ROLLBACK);
    assert_eq!(broker.queue_stats("q0").unwrap().ready, 0);
    let token = hand_over(&mut client, relay, &nobodys(), &to("nowhere"), false).await;
    let refused = client.outcome(relay, token).await.state.unwrap();
    assert_eq!(error_of(&refused).condition, ErrorCondition::TRANSACTION_UNKNOWN_ID);
}
