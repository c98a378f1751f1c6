//! Transactions through the embedded broker, and against a coordinator of which the test writes every frame.

mod common;
mod raw;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use postroad_broker::{Broker, Builder};
use postroad_client::types::{ErrorCondition, PeerError};
use postroad_client::{
    ConnectOptions, Connection, Guarantee, LinkError, LinkOptions, Message, Node, Outcome, Receiver, SendError, Sender,
    Session, Transaction, TransactionController, TransactionError,
};
use postroad_codec::v1_0::{
    Attach, AttachTarget, Coordinator, Declared, DeliveryState, Detach, Disposition, Flow, Frame, Handle,
    Outcome as State, Performative, Role, SequenceNo, Target, TransactionId, Transfer,
};
use raw::Peer;

/// A broker with the queues `a` and `b`, and a session with a controller.
struct Game {
    broker: Broker,
    connection: Connection,
    session: Session,
    controller: TransactionController,
}

async fn game() -> Game {
    game_with(|builder| builder).await
}

async fn game_with(change: impl FnOnce(Builder) -> Builder) -> Game {
    let builder = Broker::builder().queue("a").queue("b").listen("amqp://127.0.0.1:0");
    let broker = change(builder).start().await.unwrap();
    let connection = connect(&broker).await;
    let session = connection.session().await.unwrap();
    let controller = session.transaction_controller().await.unwrap();
    Game { broker, connection, session, controller }
}

async fn connect(broker: &Broker) -> Connection {
    Connection::open(ConnectOptions::new(broker.urls()[0].parse().unwrap())).await.unwrap()
}

impl Game {
    async fn begin(&self) -> Transaction {
        self.controller.declare().await.unwrap()
    }

    /// Sends messages outside of any transaction.
    async fn fill(&self, queue: &str, texts: &[&str]) {
        let sender = self.session.sender(queue).await.unwrap();
        for text in texts {
            assert_eq!(sender.send(&Message::from(*text)).await, Ok(Outcome::Accepted));
        }
    }

    fn ready(&self, queue: &str) -> usize {
        self.broker.queue_stats(queue).unwrap().ready
    }

    /// Waits until no transaction is open.
    async fn closed(&self) {
        eventually("no transaction is open", || self.broker.open_transactions() == 0).await;
    }
}

async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within ten seconds");
}

/// What a future gives at its next poll.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// What is in a queue for this receiver, which takes it.
async fn drain(receiver: &mut Receiver) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(message) = receiver.fetch(Duration::ZERO).await.unwrap() {
        receiver.accept(&message).unwrap();
        texts.push(message.text().unwrap().to_owned());
    }
    texts
}

async fn post(transaction: &Transaction, sender: &Sender, text: &str) {
    assert_eq!(transaction.send(sender, &Message::from(text)).await, Ok(Outcome::Accepted));
}

#[tokio::test]
async fn what_is_committed_is_there_and_what_is_rolled_back_is_not() {
    let game = game().await;
    assert_eq!(
        game.controller.capabilities(),
        ["amqp:local-transactions", "amqp:multi-txns-per-ssn", "amqp:multi-ssns-per-txn"]
    );
    let sender = game.session.sender("a").await.unwrap();
    let mut receiver = game.session.receiver("a").await.unwrap();
    let transaction = game.begin().await;
    post(&transaction, &sender, "kept").await;
    assert_eq!(drain(&mut receiver).await, [""; 0]);
    transaction.commit().await.unwrap();
    assert_eq!(drain(&mut receiver).await, ["kept"]);
    let transaction = game.begin().await;
    post(&transaction, &sender, "gone").await;
    transaction.rollback().await.unwrap();
    assert_eq!(drain(&mut receiver).await, [""; 0]);
    assert_eq!(game.broker.open_transactions(), 0);
    game.connection.close().await.unwrap();
}

#[tokio::test]
async fn messages_move_from_one_queue_to_another() {
    let game = game().await;
    game.fill("a", &["0", "1", "2", "3"]).await;
    let mut from = game.session.receiver("a").await.unwrap();
    // Another session: the coordinator offers that.
    let other = game.connection.session().await.unwrap();
    let to = other.sender("b").await.unwrap();
    for commits in [true, false, true] {
        let transaction = game.begin().await;
        let message = from.receive().await.unwrap();
        transaction.submit(&to, &message).await.unwrap();
        transaction.accept(&message).unwrap();
        if commits {
            transaction.commit().await.unwrap();
        } else {
            transaction.rollback().await.unwrap();
            // It is still ours.
            from.release(&message).unwrap();
        }
    }
    let mut moved = game.session.receiver("b").await.unwrap();
    assert_eq!(drain(&mut moved).await, ["0", "2"]);
    let mut left = drain(&mut from).await;
    left.sort();
    assert_eq!(left, ["1", "3"]);
}

#[tokio::test]
async fn every_outcome_waits_for_the_commit() {
    let game = game().await;
    game.fill("a", &["accept", "reject", "release", "modify"]).await;
    let mut receiver = game.session.receiver("a").await.unwrap();
    let transaction = game.begin().await;
    for _ in 0..4 {
        let message = receiver.receive().await.unwrap();
        match message.text().unwrap() {
            "accept" => transaction.accept(&message),
            "reject" => transaction.reject(&message, None),
            "release" => transaction.release(&message),
            _ => transaction.modify(&message, true, false, None),
        }
        .unwrap();
    }
    receiver.set_credit(0);
    let stats = game.broker.queue_stats("a").unwrap();
    assert_eq!((stats.ready, stats.unsettled, stats.settled), (0, 4, 0));
    transaction.commit().await.unwrap();
    let mut counts = Vec::new();
    let mut again = game.session.receiver("a").await.unwrap();
    receiver.close().await.unwrap();
    for _ in 0..2 {
        let message = again.receive().await.unwrap();
        counts.push((message.text().unwrap().to_owned(), message.delivery_count()));
    }
    assert_eq!(counts, [("release".to_owned(), 0), ("modify".to_owned(), 1)]);
    assert_eq!(game.broker.queue_stats("a").unwrap().settled, 2);
}

#[tokio::test]
async fn what_waits_for_the_commit_is_not_unacknowledged() {
    let game = game().await;
    game.fill("a", &["1", "2"]).await;
    let receiver = game.session.receiver("a").await.unwrap().into_shared();
    receiver.note_unacknowledged();
    let (first, _second) = (receiver.receive().await.unwrap(), receiver.receive().await.unwrap());
    assert_eq!(game.session.unacknowledged(), 2);
    let transaction = game.begin().await;
    transaction.accept(&first).unwrap();
    assert_eq!(game.session.unacknowledged(), 1);
    transaction.commit().await.unwrap();
    assert_eq!(game.session.unacknowledged(), 1);
}

#[tokio::test]
async fn several_transactions_at_once() {
    let game = game().await;
    let sender = game.session.sender("a").await.unwrap();
    let (kept, undone) = tokio::join!(game.begin(), game.begin());
    for number in 0..20 {
        let (kept_text, undone_text) = (format!("kept{number}"), format!("undone{number}"));
        tokio::join!(post(&kept, &sender, &kept_text), post(&undone, &sender, &undone_text));
    }
    let (committed, rolled_back) = tokio::join!(kept.commit(), undone.rollback());
    assert_eq!((committed, rolled_back), (Ok(()), Ok(())));
    let mut receiver = game.session.receiver("a").await.unwrap();
    let expected: Vec<String> = (0..20).map(|number| format!("kept{number}")).collect();
    assert_eq!(drain(&mut receiver).await, expected);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_rolled_back() {
    let game = game().await;
    game.fill("a", &["0"]).await;
    let sender = game.session.sender("b").await.unwrap();
    let mut receiver = game.session.receiver("a").await.unwrap();
    let message = receiver.receive().await.unwrap();
    let transaction = game.begin().await;
    post(&transaction, &sender, "gone").await;
    transaction.accept(&message).unwrap();
    drop(transaction);
    game.closed().await;
    assert_eq!(game.ready("b"), 0);
    receiver.accept(&message).unwrap();
    eventually("it is settled", || game.broker.queue_stats("a").unwrap().settled == 1).await;
    // More than the coordinator gives credit for.
    let many: Vec<Transaction> = {
        let mut many = Vec::new();
        for _ in 0..200 {
            many.push(game.begin().await);
        }
        many
    };
    assert_eq!(game.broker.open_transactions(), 200);
    drop(many);
    game.closed().await;
}

#[tokio::test]
async fn a_declare_that_is_given_up_leaves_no_transaction() {
    let game = game().await;
    for polls in 0..4 {
        for _ in 0..50 {
            let declare = game.controller.declare();
            let mut declare = std::pin::pin!(declare);
            for _ in 0..polls {
                if poll_once(declare.as_mut()).await.is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }
    // Those that came too late to be given up at once are rolled back as they come.
    let last = game.begin().await;
    eventually("only one is open", || game.broker.open_transactions() == 1).await;
    last.rollback().await.unwrap();
    game.closed().await;
}

#[tokio::test]
async fn a_send_that_is_given_up_counts_at_the_commit() {
    let game = game_with(|builder| builder.with_limits(|limits| limits.transaction_bytes = 700)).await;
    let sender = game.session.sender("a").await.unwrap();
    let transaction = game.begin().await;
    post(&transaction, &sender, "0").await;
    post(&transaction, &sender, "1").await;
    {
        let message = Message::from("one too many");
        let send = transaction.send(&sender, &message);
        let mut send = std::pin::pin!(send);
        assert_eq!(poll_once(send.as_mut()).await, None);
    }
    let error = transaction.commit().await.unwrap_err();
    let TransactionError::NotAccepted { count: 1, first: Outcome::Rejected(Some(reason)) } = error else {
        panic!("{error:?}");
    };
    assert_eq!(reason.condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    assert_eq!((game.ready("a"), game.broker.open_transactions()), (0, 0));
}

#[tokio::test]
async fn a_submitted_message_that_is_not_accepted_undoes_all() {
    let game = game_with(|builder| builder.with_limits(|limits| limits.transaction_bytes = 700)).await;
    let (a, b) = (game.session.sender("a").await.unwrap(), game.session.sender("b").await.unwrap());
    let transaction = game.begin().await;
    for (sender, text) in [(&a, "0"), (&b, "1"), (&b, "2"), (&a, "3")] {
        transaction.submit(sender, &Message::from(text)).await.unwrap();
    }
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(error, TransactionError::NotAccepted { count: 2, .. }), "{error:?}");
    assert_eq!((game.ready("a"), game.ready("b"), game.broker.open_transactions()), (0, 0, 0));
}

#[tokio::test]
async fn a_commit_that_cannot_be_done_says_why() {
    // The time of a transaction is over as soon as it is declared.
    let game = game_with(|builder| {
        builder.transaction_timeout(Some(Duration::ZERO)).with_limits(|limits| limits.transactions_per_connection = 1)
    })
    .await;
    let sender = game.session.sender("a").await.unwrap();
    let transaction = game.begin().await;
    let error = game.controller.declare().await.unwrap_err();
    assert!(
        matches!(&error, TransactionError::Refused(Some(error)) if error.condition == ErrorCondition::RESOURCE_LIMIT_EXCEEDED),
        "{error:?}"
    );
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(&error, TransactionError::TimedOut(_)), "{error:?}");
    assert!(error.hint().is_some() && error.peer_error().is_some());

    // One that finds out before its commit.
    let transaction = game.begin().await;
    transaction.submit(&sender, &Message::from("late")).await.unwrap();
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(&error, TransactionError::TimedOut(_)), "{error:?}");
    assert_eq!(game.ready("a"), 0);

    let game = self::game().await;
    let sender = game.session.sender("a").await.unwrap();
    let transaction = game.begin().await;
    post(&transaction, &sender, "0").await;
    assert!(game.broker.delete_queue("a"));
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(&error, TransactionError::RolledBack(_)), "{error:?}");
    game.closed().await;
}

#[tokio::test]
async fn what_cannot_be_part_of_a_transaction_is_told_apart() {
    let game = game().await;
    game.fill("a", &["0"]).await;
    let transaction = game.begin().await;
    let mut options = LinkOptions::default();
    options.guarantee = Guarantee::AtMostOnce;
    let careless = game.session.sender_with(Node::at("a"), options).await.unwrap();
    let message = Message::from("x");
    assert_eq!(transaction.send(&careless, &message).await, Err(SendError::AtMostOnce));
    let elsewhere = connect(&game.broker).await;
    let session = elsewhere.session().await.unwrap();
    let sender = session.sender("a").await.unwrap();
    let foreign = Err(SendError::NotSent(LinkError::ForeignTransaction));
    assert_eq!(transaction.send(&sender, &message).await, foreign);
    assert_eq!(transaction.submit(&sender, &message).await, foreign.map(drop));
    let mut receiver = session.receiver("a").await.unwrap();
    let received = receiver.receive().await.unwrap();
    assert_eq!(transaction.accept(&received), Err(LinkError::ForeignMessage));
    // One that never came needs no settling.
    assert_eq!(transaction.accept(&message), Ok(()));
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn a_transaction_ends_with_its_session_and_connection() {
    let game = game().await;
    let sender = game.session.sender("a").await.unwrap();
    let transaction = game.begin().await;
    post(&transaction, &sender, "0").await;
    let work = game.connection.session().await.unwrap();
    let elsewhere = work.sender("a").await.unwrap();
    assert_eq!(elsewhere.send(&Message::from("outside")).await, Ok(Outcome::Accepted));
    let mut receiver = work.receiver("a").await.unwrap();
    let message = receiver.receive().await.unwrap();
    game.session.close().await.unwrap();
    // Work on other sessions, which go on, is not begun in vain.
    let ended = transaction.accept(&message).unwrap_err();
    assert_eq!(transaction.send(&elsewhere, &message).await, Err(SendError::NotSent(ended)));
    receiver.accept(&message).unwrap();
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(&error, TransactionError::Link(_)), "{error:?}");
    assert!(game.controller.error().is_some());
    game.closed().await;

    let controller = work.transaction_controller().await.unwrap();
    let transaction = controller.declare().await.unwrap();
    let sender = work.sender("a").await.unwrap();
    post(&transaction, &sender, "1").await;
    game.connection.close().await.unwrap();
    let error = transaction.rollback().await.unwrap_err();
    assert!(matches!(&error, TransactionError::Link(_)), "{error:?}");
    assert!(matches!(controller.declare().await, Err(TransactionError::Link(_))));
    eventually("all is rolled back", || {
        let stats = game.broker.queue_stats("a").unwrap();
        (stats.ready, stats.uncommitted, game.broker.open_transactions()) == (0, 0, 0)
    })
    .await;
}

#[tokio::test]
async fn the_link_lasts_as_long_as_controllers_and_transactions() {
    let game = game().await;
    let sender = game.session.sender("a").await.unwrap();
    let other = game.controller.clone();
    let transaction = game.begin().await;
    drop(game.controller);
    drop(other);
    post(&transaction, &sender, "0").await;
    transaction.commit().await.unwrap();
    assert_eq!(game.broker.queue_stats("a").unwrap().ready, 1);
}

#[tokio::test]
async fn a_thousand_transactions_leave_nothing_behind() {
    let game = game().await;
    let sender = game.session.sender("a").await.unwrap();
    let mut receiver = game.session.receiver("a").await.unwrap();
    for round in 0..1000 {
        let transaction = game.begin().await;
        transaction.submit(&sender, &Message::from("m")).await.unwrap();
        if round % 3 == 0 {
            drop(transaction);
            continue;
        }
        transaction.commit().await.unwrap();
        let transaction = game.begin().await;
        let message = receiver.receive().await.unwrap();
        transaction.accept(&message).unwrap();
        transaction.commit().await.unwrap();
    }
    game.closed().await;
    let stats = game.broker.queue_stats("a").unwrap();
    assert_eq!((stats.ready, stats.unsettled, stats.uncommitted, stats.bytes), (0, 0, 0, 0));
    assert_eq!((stats.enqueued, stats.settled, sender.unsettled()), (666, 666, 0));
}

/// How a worker ends what it has begun.
const ENDS: usize = 5;

/// Moves messages from one queue to the other and back, in transactions that end in every way.
async fn shuffle(broker: Arc<Broker>, worker: usize) {
    let mut connection = connect(&broker).await;
    let mut committed = 0;
    for round in 0..40 {
        let session = connection.session().await.unwrap();
        let controller = session.transaction_controller().await.unwrap();
        let (from, to) = if (round + worker).is_multiple_of(2) { ("a", "b") } else { ("b", "a") };
        let mut options = LinkOptions::default();
        options.prefetch = 3;
        let mut receiver = session.receiver_with(from, options).await.unwrap();
        let (there, here) = (session.sender(to).await.unwrap(), session.sender(from).await.unwrap());
        let transaction = controller.declare().await.unwrap();
        for number in 0..3 {
            let Some(message) = receiver.fetch(Duration::ZERO).await.unwrap() else { break };
            // To both queues, in either order.
            let sender = if (number + worker).is_multiple_of(2) { &there } else { &here };
            transaction.submit(sender, &message).await.unwrap();
            transaction.accept(&message).unwrap();
        }
        match (round * 7 + worker * 3) % ENDS {
            0 => drop(transaction),
            1 => transaction.rollback().await.unwrap(),
            2 => {
                drop(controller);
                receiver.close().await.unwrap();
                transaction.commit().await.unwrap();
                committed += 1;
            }
            3 => {
                connection.close().await.unwrap();
                drop(transaction);
                connection = connect(&broker).await;
            }
            _ => {
                transaction.commit().await.unwrap();
                committed += 1;
            }
        }
    }
    assert!(committed > 5);
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_whatever_ends_a_transaction() {
    let game = game().await;
    let texts: Vec<String> = (0..40).map(|number| format!("{number:02}")).collect();
    game.fill("a", &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    game.connection.close().await.unwrap();
    let broker = Arc::new(game.broker);
    let workers: Vec<_> = (0..4).map(|worker| tokio::spawn(shuffle(Arc::clone(&broker), worker))).collect();
    for worker in workers {
        tokio::time::timeout(Duration::from_secs(180), worker).await.expect("nobody is locked out").unwrap();
    }
    eventually("nobody is left", || broker.connections() == 0 && broker.open_transactions() == 0).await;
    let stats = ["a", "b"].map(|queue| broker.queue_stats(queue).unwrap());
    assert!(stats.iter().all(|stats| (stats.unsettled, stats.uncommitted) == (0, 0)), "{stats:?}");
    let connection = connect(&broker).await;
    let session = connection.session().await.unwrap();
    let mut found = Vec::new();
    for queue in ["a", "b"] {
        found.extend(drain(&mut session.receiver(queue).await.unwrap()).await);
    }
    found.sort();
    assert_eq!(found, texts);
}

#[tokio::test]
async fn a_peer_without_a_coordinator_is_known() {
    // The acceptor takes no such link, whoever waits for one.
    let ends = common::connect().await;
    let session = ends.client.session().await.unwrap();
    let error = session.transaction_controller().await.unwrap_err();
    assert!(matches!(&error, TransactionError::Unsupported(_)), "{error:?}");
    assert!(error.hint().is_some());
}

/// What a coordinator of the test's does with a command.
#[derive(Debug, Clone)]
enum Act {
    Declared,
    Reject(Option<ErrorCondition>),
    Detach(ErrorCondition),
    HangUp,
}

/// Plays a coordinator that answers one command after the other.
fn coordinate(peer: Peer, acts: Vec<Act>) {
    coordinate_at(peer, &AttachTarget::Coordinator(Coordinator::default()), acts);
}

/// As [`coordinate`], and answers the attach with this target.
fn coordinate_at(mut peer: Peer, target: &AttachTarget, acts: Vec<Act>) {
    peer.begin();
    let mut acts = acts.into_iter();
    while let Some(frame) = peer.next() {
        let Frame::Amqp { performative, .. } = frame else { continue };
        match performative {
            Performative::Attach(theirs) => {
                assert!(matches!(theirs.target.as_deref(), Some(AttachTarget::Coordinator(_))));
                peer.put(&Attach {
                    name: theirs.name,
                    role: Role::Receiver,
                    target: Some(Box::new(target.clone())),
                    ..Attach::default()
                });
                peer.put(&Flow {
                    next_incoming_id: Some(Default::default()),
                    incoming_window: 1000,
                    handle: Some(Handle(0)),
                    delivery_count: Some(SequenceNo(0)),
                    link_credit: Some(100),
                    ..Flow::default()
                });
            }
            Performative::Transfer(Transfer { delivery_id: Some(first), .. }) => {
                let state = match acts.next() {
                    Some(Act::Declared) => {
                        DeliveryState::Declared(Box::new(Declared { txn_id: TransactionId(b"t"[..].into()) }))
                    }
                    Some(Act::Reject(condition)) => {
                        State::rejected(condition.map(|condition| PeerError::new(condition, "no"))).into()
                    }
                    Some(Act::Detach(condition)) => {
                        let error = Some(Box::new(PeerError::new(condition, "no")));
                        peer.put(&Detach { handle: Handle(0), closed: true, error });
                        continue;
                    }
                    Some(Act::HangUp) => return,
                    None => continue,
                };
                peer.put(&Disposition {
                    role: Role::Receiver,
                    first,
                    settled: true,
                    state: Some(state),
                    ..Disposition::default()
                });
            }
            Performative::End(_) | Performative::Close(_) => return,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_coordinator_may_answer_with_a_target_that_names_no_node() {
    for (address, is_coordinator) in [(None, true), (Some("q".into()), false)] {
        let target = AttachTarget::from(Target { address, ..Target::default() });
        let (connection, peer) = Peer::serve(move |peer| coordinate_at(peer, &target, vec![Act::Declared])).await;
        let session = connection.session().await.unwrap();
        match session.transaction_controller().await {
            Ok(controller) => {
                assert!(is_coordinator && controller.capabilities().is_empty());
                // Its rollback is not answered.
                drop(controller.declare().await.unwrap());
            }
            Err(error) => assert!(!is_coordinator && matches!(error, TransactionError::Unsupported(_)), "{error:?}"),
        }
        drop(connection.close().await);
        peer.await.unwrap();
    }
}

async fn committed(acts: &[Act]) -> TransactionError {
    let acts: Vec<Act> = [Act::Declared].iter().chain(acts).cloned().collect();
    let (connection, peer) = Peer::serve(|peer| coordinate(peer, acts)).await;
    let session = connection.session().await.unwrap();
    let controller = session.transaction_controller().await.unwrap();
    let error = controller.declare().await.unwrap().commit().await.unwrap_err();
    drop(connection.close().await);
    peer.await.unwrap();
    error
}

#[tokio::test]
async fn each_answer_to_a_commit_has_its_error() {
    let (unknown, rollback, timeout) = (
        ErrorCondition::TRANSACTION_UNKNOWN_ID,
        ErrorCondition::TRANSACTION_ROLLBACK,
        ErrorCondition::TRANSACTION_TIMEOUT,
    );
    let error = |condition: &ErrorCondition| PeerError::new(condition.clone(), "no");
    let limit = ErrorCondition::RESOURCE_LIMIT_EXCEEDED;
    for (condition, expected) in [
        (&unknown, TransactionError::UnknownId(error(&unknown))),
        (&rollback, TransactionError::RolledBack(error(&rollback))),
        (&timeout, TransactionError::TimedOut(error(&timeout))),
        (&limit, TransactionError::Refused(Some(error(&limit)))),
    ] {
        assert_eq!(committed(&[Act::Reject(Some(condition.clone()))]).await, expected);
    }
    assert_eq!(committed(&[Act::Reject(None)]).await, TransactionError::Refused(None));
    // A coordinator that cannot reject (part 4, 4.3).
    assert_eq!(committed(&[Act::Detach(rollback.clone())]).await, TransactionError::RolledBack(error(&rollback)));
    // One that dies may have committed.
    let other = committed(&[Act::Detach(limit.clone())]).await;
    assert_eq!(other, TransactionError::InDoubt(LinkError::Detached(error(&limit))));
    assert!(matches!(committed(&[Act::HangUp]).await, TransactionError::InDoubt(LinkError::Connection(_))));
}
