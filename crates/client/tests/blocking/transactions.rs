//! Transactions, through the embedded broker and against a coordinator that falls silent.

use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use postroad_broker::blocking::{Broker, Builder};
use postroad_client::blocking::{Connection, Receiver, Session, Transaction, TransactionController};
use postroad_client::{BlockingError, ConnectOptions, LinkError, Message, Outcome, SendError, TransactionError};
use postroad_codec::v1_0::{
    Attach, AttachTarget, Declared, DeliveryState, Disposition, Flow, Frame, Performative, Role, SequenceNo,
    TransactionId, Transfer,
};
use postroad_testkit::{close, detach, end};

use crate::raw::Peer;
use crate::{PATIENCE, SHORT, connect};

/// A broker with the queues `a` and `b`, and a session with a controller.
struct Game {
    broker: Broker,
    session: Session,
    controller: TransactionController,
}

fn game() -> Game {
    game_with(|builder| builder)
}

fn game_with(change: impl FnOnce(Builder) -> Builder) -> Game {
    let broker = change(Broker::builder().queue("a").queue("b").listen("amqp://127.0.0.1:0")).start().unwrap();
    let options = ConnectOptions::new(broker.urls()[0].parse().unwrap());
    let session = Connection::open(options).unwrap().session().unwrap();
    let controller = session.transaction_controller().unwrap();
    Game { broker, session, controller }
}

impl Game {
    /// Waits until no transaction is open.
    fn closed(&self) {
        eventually("no transaction is open", || self.broker.open_transactions() == 0);
    }

    /// Sends a message outside of any transaction, and takes it.
    fn take_one(&self, text: &str) -> (Receiver, Message) {
        self.session.sender("a").unwrap().send(&Message::from(text)).unwrap();
        let mut receiver = self.session.receiver("a").unwrap();
        let message = receiver.receive_timeout(PATIENCE).unwrap().expect("a message in time");
        (receiver, message)
    }
}

fn eventually(what: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "{what}: not in time");
        thread::sleep(Duration::from_millis(5));
    }
}

fn texts(receiver: &mut Receiver) -> Vec<String> {
    receiver.iter_timeout(Duration::ZERO).map(|message| message.unwrap().text().unwrap().to_owned()).collect()
}

#[test]
fn what_is_committed_is_there_and_nothing_before_it() {
    let game = game();
    let (mut from, order) = game.take_one("an order");
    let to = game.session.sender("b").unwrap();
    let mut invoices = game.session.receiver("b").unwrap();
    let transaction = game.controller.declare().unwrap();
    assert_eq!(transaction.send(&to, &Message::from("an invoice")), Ok(Outcome::Accepted));
    transaction.submit(&to, &Message::from("its copy")).unwrap();
    transaction.submit_timeout(&to, &Message::from("its second copy"), PATIENCE).unwrap();
    transaction.accept(&order).unwrap();
    assert_eq!(texts(&mut invoices), [""; 0]);
    assert_eq!(game.broker.open_transactions(), 1);
    transaction.commit().unwrap();
    assert_eq!(texts(&mut invoices), ["an invoice", "its copy", "its second copy"]);
    assert_eq!((texts(&mut from), game.broker.open_transactions()), (vec![], 0));
    assert_eq!(game.broker.queue_stats("a").unwrap().settled, 1);
}

#[test]
fn what_is_rolled_back_is_gone_and_what_was_settled_in_it_is_not() {
    let game = game();
    let (receiver, message) = game.take_one("still ours");
    let sender = game.session.sender("b").unwrap();
    for within in [None, Some(PATIENCE)] {
        let transaction = game.controller.declare_timeout(PATIENCE).unwrap();
        assert_eq!(transaction.send_timeout(&sender, &Message::from("gone"), PATIENCE), Ok(Outcome::Accepted));
        transaction.settle(&message, Outcome::Accepted).unwrap();
        match within {
            None => transaction.rollback().unwrap(),
            Some(timeout) => transaction.rollback_timeout(timeout).unwrap(),
        }
        assert_eq!(game.broker.open_transactions(), 0);
    }
    let counts = |queue| game.broker.queue_stats(queue).map(|stats| (stats.ready, stats.unsettled, stats.settled));
    assert_eq!((counts("a"), counts("b")), (Some((0, 1, 0)), Some((0, 0, 0))));
    // It is settled in the next one.
    let transaction = game.controller.declare().unwrap();
    transaction.settle_origin(message.origin().unwrap(), Outcome::Accepted).unwrap();
    transaction.commit_timeout(PATIENCE).unwrap();
    assert_eq!((counts("a"), receiver.error()), (Some((0, 0, 1)), None));
}

#[test]
fn a_transaction_that_is_dropped_is_rolled_back() {
    let game = game();
    let (receiver, message) = game.take_one("still ours");
    let sender = game.session.sender("b").unwrap();
    let transaction = game.controller.declare().unwrap();
    transaction.send(&sender, &Message::from("gone")).unwrap();
    transaction.release(&message).unwrap();
    drop(transaction);
    game.closed();
    assert_eq!((game.broker.queue_stats("b").unwrap().ready, receiver.available()), (0, 0));
    receiver.accept(&message).unwrap();

    // It may be the last handle of its connection, which is closed when it is gone.
    let transaction = game.controller.declare().unwrap();
    transaction.submit(&sender, &Message::from("gone")).unwrap();
    let Game { broker, session, controller } = game;
    drop((session, controller, receiver, sender));
    assert_eq!((broker.open_transactions(), broker.connections()), (1, 1));
    drop(transaction);
    assert_eq!((broker.open_transactions(), broker.queue_stats("b").unwrap().ready), (0, 0));
    let stats = broker.queue_stats("a").unwrap();
    assert_eq!((stats.ready, stats.settled), (0, 1));
}

#[test]
fn threads_share_a_controller_and_a_transaction() {
    fn share<T: Send + Sync + 'static>() {}
    share::<TransactionController>();
    share::<Transaction>();
    let game = game();
    let sender = game.session.sender("a").unwrap();
    let shared = game.controller.declare().unwrap();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let own = game.controller.clone().declare().unwrap();
                for _ in 0..20 {
                    shared.submit(&sender, &Message::from("kept")).unwrap();
                    own.submit(&sender, &Message::from("gone")).unwrap();
                }
                own.rollback().unwrap();
            });
        }
    });
    shared.commit().unwrap();
    assert_eq!(texts(&mut game.session.receiver("a").unwrap()), ["kept"; 60]);
}

#[test]
fn the_end_of_the_link_is_told() {
    let game = game_with(|builder| builder.transaction_timeout(None));
    assert!(game.controller.capabilities().contains(&"amqp:local-transactions".to_owned()));
    let transaction = game.controller.declare().unwrap();
    assert_eq!((game.controller.error(), game.controller.closed_timeout(Duration::ZERO)), (None, None));
    game.controller.session().close().unwrap();
    assert_eq!(game.controller.closed(), LinkError::Closed);
    assert!(matches!(transaction.commit(), Err(TransactionError::Link(_))));
    game.closed();

    // The acceptor has no coordinator.
    let ends = connect();
    let error = ends.client.session().unwrap().transaction_controller().unwrap_err();
    assert!(matches!(&error, TransactionError::Unsupported(_)), "{error:?}");
}

#[test]
fn a_task_that_calls_has_done_nothing_and_its_commit_rolls_back() {
    let game = game();
    let sender = game.session.sender("a").unwrap();
    let transaction = game.controller.declare().unwrap();
    transaction.submit(&sender, &Message::from("gone")).unwrap();
    let message = Message::from("never sent");
    let link = || LinkError::Blocking(BlockingError::InsideRuntime);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let inside = || TransactionError::Link(link());
        assert_eq!(game.session.transaction_controller().unwrap_err(), inside());
        assert_eq!(game.controller.declare().unwrap_err(), inside());
        assert_eq!(game.controller.closed(), link());
        let not_sent = SendError::NotSent(link());
        assert_eq!(transaction.send(&sender, &message), Err(not_sent.clone()));
        assert_eq!(transaction.send_timeout(&sender, &message, SHORT), Err(not_sent));
        assert_eq!(transaction.commit(), Err(inside()));
    });
    game.closed();
    assert_eq!(game.broker.queue_stats("a").unwrap().ready, 0);
}

#[test]
fn every_wait_for_a_silent_coordinator_has_an_end_where_one_is_asked_for() {
    let over = || LinkError::Timeout(SHORT);
    let message = Message::from("patience");

    // A message that is not answered keeps the commit from being handed over.
    let (controller, peer) = silent_coordinator(2);
    let session = controller.session();
    let sender = session.sender("q").unwrap();
    eventually("there is credit", || sender.credit() == 1);
    let transaction = controller.declare_timeout(PATIENCE).unwrap();
    assert_eq!(transaction.send_timeout(&sender, &message, SHORT), Err(SendError::InDoubt(over())));
    assert_eq!(transaction.send_timeout(&sender, &message, SHORT), Err(SendError::NotSent(over())), "no credit");
    assert_eq!(transaction.submit_timeout(&sender, &message, SHORT), Err(SendError::NotSent(over())));
    assert_eq!(transaction.commit_timeout(SHORT), Err(TransactionError::Link(over())));
    // The rollback took the last credit for commands.
    assert_eq!(controller.declare_timeout(SHORT).unwrap_err(), TransactionError::Link(over()));
    drop((sender, session, controller));
    assert_eq!(peer.join().unwrap(), [Command::Declare, Command::Rollback]);

    // Nor is a commit handed over without credit.
    let (controller, peer) = silent_coordinator(1);
    let transaction = controller.declare().unwrap();
    assert_eq!(transaction.commit_timeout(SHORT), Err(TransactionError::Link(over())));
    drop(controller);
    assert_eq!(peer.join().unwrap(), [Command::Declare]);

    let (controller, peer) = silent_coordinator(2);
    let transaction = controller.declare().unwrap();
    assert_eq!(transaction.commit_timeout(SHORT), Err(TransactionError::InDoubt(over())));
    drop(controller);
    assert_eq!(peer.join().unwrap(), [Command::Declare, Command::Commit]);

    let (controller, peer) = silent_coordinator(2);
    let transaction = controller.declare().unwrap();
    assert_eq!(transaction.rollback_timeout(SHORT), Err(TransactionError::Link(over())));
    drop(controller);
    assert_eq!(peer.join().unwrap(), [Command::Declare, Command::Rollback]);
}

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Declare,
    Commit,
    Rollback,
}

/// A coordinator that takes so many commands, and answers the first. Beside it there is a node that takes one message and
/// answers none.
fn silent_coordinator(commands: u32) -> (TransactionController, JoinHandle<Vec<Command>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = ConnectOptions::new(format!("amqp://{}", listener.local_addr().unwrap()).parse().unwrap());
    (options.sasl_enabled, options.close_timeout, options.reconnect) = (false, PATIENCE, None);
    let peer = thread::spawn(move || coordinate(Peer::accept(&listener, 65_536), commands));
    let session = Connection::open(options).unwrap().session().unwrap();
    (session.transaction_controller().unwrap(), peer)
}

fn coordinate(mut peer: Peer, commands: u32) -> Vec<Command> {
    let (mut heard, mut control) = (Vec::new(), None);
    peer.begin();
    while let Some(frame) = peer.next() {
        let Frame::Amqp { performative, payload, .. } = frame else { continue };
        match performative {
            Performative::Attach(theirs) => {
                let handle = theirs.handle;
                let credit = match theirs.target.as_deref() {
                    Some(AttachTarget::Coordinator(_)) => {
                        control = Some(handle);
                        commands
                    }
                    _ => 1,
                };
                let (source, target) = (theirs.source, theirs.target);
                peer.put(&Attach {
                    name: theirs.name,
                    handle,
                    role: Role::Receiver,
                    source,
                    target,
                    ..Attach::default()
                });
                peer.put(&Flow {
                    next_incoming_id: Some(Default::default()),
                    incoming_window: 1000,
                    handle: Some(handle),
                    delivery_count: Some(SequenceNo(0)),
                    link_credit: Some(credit),
                    ..Flow::default()
                });
            }
            Performative::Transfer(Transfer { handle, delivery_id: Some(first), .. }) if Some(handle) == control => {
                if !heard.is_empty() {
                    // Its last field tells whether it rolls back: the byte of a boolean.
                    heard.push(if payload.last() == Some(&0x41) { Command::Rollback } else { Command::Commit });
                    continue;
                }
                heard.push(Command::Declare);
                let declared = Declared { txn_id: TransactionId(b"t"[..].into()) };
                let state = Some(DeliveryState::Declared(Box::new(declared)));
                peer.put(&Disposition { role: Role::Receiver, first, settled: true, state, ..Disposition::default() });
            }
            Performative::Detach(theirs) => {
                peer.send(detach().handle(theirs.handle.0).closed(true));
            }
            Performative::End(_) => {
                peer.send(end());
            }
            Performative::Close(_) => {
                peer.send(close());
            }
            _ => {}
        }
    }
    heard
}
