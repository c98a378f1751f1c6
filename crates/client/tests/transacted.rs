//! Sessions whose work happens in transactions: what commit and rollback make of it, where a future is given up, a link
//! is over, or messages cross.

mod raw;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use postroad_broker::Broker;
use postroad_client::types::Value;
use postroad_client::{
    ConnectOptions, Connection, Guarantee, LinkError, LinkOptions, Message, Origin, Outcome, Sender, Session,
    SharedReceiver, Transacted, TransactionError,
};
use postroad_codec::v1_0::{
    AttachTarget, Coordinator, Declared, DeliveryState, Frame, Performative, Role, TransactionId,
};
use postroad_testkit::{attach_receiver, attach_sender, detach, disposition, error, flow, transfer};
use raw::Peer;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Nothing that should come takes longer.
const SOON: Duration = Duration::from_secs(10);

/// Long enough for what is there to come.
const NOW: Duration = Duration::from_millis(200);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it comes")
}

/// Polls a future once, and gives it up.
async fn begun<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// A broker with the queues `a` and `b`, and a session that works in transactions.
async fn work() -> (Broker, Connection, Session, Transacted) {
    let broker = Broker::builder().queue("a").queue("b").listen("amqp://127.0.0.1:0").start().await.unwrap();
    let connection = Connection::open(ConnectOptions::new(broker.urls()[0].parse().unwrap())).await.unwrap();
    let session = connection.session().await.unwrap();
    let work = session.transacted().await.unwrap();
    (broker, connection, session, work)
}

/// Puts a message into a queue outside of any transaction.
async fn put(connection: &Connection, queue: &str) {
    let sender = connection.session().await.unwrap().sender(queue).await.unwrap();
    assert_eq!(sender.send(&Message::from(queue)).await, Ok(Outcome::Accepted));
}

async fn take(receiver: &SharedReceiver) -> (Message, Origin) {
    let message = soon(receiver.receive()).await.unwrap();
    let origin = message.origin().unwrap();
    (message, origin)
}

async fn part(connection: Connection, peer: JoinHandle<()>) {
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
}

/// Begins to move a message from `a` to `b`.
async fn moving(connection: &Connection, session: &Session, work: &Transacted) -> (SharedReceiver, Sender) {
    put(connection, "a").await;
    let receiver = session.receiver("a").await.unwrap().into_shared();
    let sender = session.sender("b").await.unwrap();
    let (_, origin) = take(&receiver).await;
    work.settle_origin(origin, Outcome::Accepted);
    work.submit(&sender, &Message::from("copy")).await.unwrap();
    (receiver, sender)
}

fn left(broker: &Broker, queue: &str) -> usize {
    let stats = broker.queue_stats(queue).unwrap();
    stats.ready + stats.unsettled + stats.uncommitted
}

#[tokio::test]
async fn what_was_settled_as_it_was_sent_has_no_outcome_to_tell() {
    let (_broker, connection, session, work) = work().await;
    put(&connection, "a").await;
    let mut options = LinkOptions::default();
    options.guarantee = Guarantee::AtMostOnce;
    let receiver = session.receiver_with("a", options).await.unwrap().into_shared();
    let (_, origin) = take(&receiver).await;
    work.settle_origin(origin, Outcome::Accepted);
    assert_eq!(work.acked(), 0);
    soon(work.commit()).await.unwrap();
}

#[tokio::test]
async fn a_rollback_undoes_a_commit_that_was_given_up_before_it_left() {
    let (broker, connection, session, work) = work().await;
    let (receiver, _sender) = moving(&connection, &session, &work).await;
    // It waits for the outcome of the copy.
    assert!(begun(work.commit()).await.is_none());
    soon(work.rollback(Vec::new)).await.unwrap();
    assert_eq!((left(&broker, "b"), work.acked()), (0, 0));
    // What was settled in it comes again.
    let (again, origin) = take(&receiver).await;
    assert!(again.redelivered());
    work.settle_origin(origin, Outcome::Accepted);
    soon(work.commit()).await.unwrap();
    soon(receiver.confirmed()).await.unwrap();
    assert_eq!(left(&broker, "a"), 0);
}

#[tokio::test]
async fn a_commit_that_was_given_up_is_waited_for_by_what_comes_next() {
    let (broker, connection, session, work) = work().await;
    let (_receiver, sender) = moving(&connection, &session, &work).await;
    assert!(begun(work.commit()).await.is_none());
    work.submit(&sender, &Message::from("next")).await.unwrap();
    assert_eq!(broker.queue_stats("b").unwrap().ready, 1);
    soon(work.rollback(Vec::new)).await.unwrap();
    assert_eq!((left(&broker, "a"), left(&broker, "b")), (0, 1));
}

#[tokio::test]
async fn outcomes_that_cannot_be_told_undo_the_commit_and_give_the_others_back() {
    let (broker, connection, session, work) = work().await;
    for queue in ["a", "b"] {
        put(&connection, queue).await;
    }
    let gone = session.receiver("a").await.unwrap().into_shared();
    let stays = session.receiver("b").await.unwrap().into_shared();
    for receiver in [&gone, &stays] {
        let (_, origin) = take(receiver).await;
        work.settle_origin(origin, Outcome::Accepted);
    }
    soon(gone.close()).await.unwrap();
    let committed = soon(work.commit()).await;
    assert!(matches!(committed, Err(TransactionError::Link(_))), "{committed:?}");
    let (again, _) = take(&stays).await;
    assert!(again.redelivered());
    assert_eq!((left(&broker, "a"), left(&broker, "b")), (1, 1));
    assert_eq!(session.error(), None);
}

/// The peer's end of a transactional session: its coordinator has handle 0, and what it sends handle 1.
struct Game {
    peer: Peer,
}

impl Game {
    /// Attaches the link to the coordinator, for so many commands.
    fn new(mut peer: Peer, commands: u32) -> Self {
        peer.begin();
        let mut game = Self { peer };
        let name = game.take_attach();
        let coordinator = AttachTarget::Coordinator(Coordinator::default());
        game.peer.send(attach_receiver(&name).with(|attach| attach.target = Some(Box::new(coordinator))));
        game.allow(0, commands);
        game
    }

    /// Lets the client send so many commands behind those that it has sent.
    fn allow(&mut self, sent: u32, commands: u32) {
        self.peer.send(flow().handle(0).delivery_count(sent).link_credit(commands));
    }

    /// The next performative that this is, whatever comes before it.
    fn next<T>(&mut self, wanted: impl Fn(Performative, Message) -> Option<T>) -> T {
        loop {
            let Frame::Amqp { performative, payload, .. } = self.peer.next().expect("the client has hung up") else {
                continue;
            };
            if let Some(found) = wanted(performative, Message::decode(&payload).unwrap()) {
                return found;
            }
        }
    }

    fn take_attach(&mut self) -> String {
        self.next(|performative, _| match performative {
            Performative::Attach(attach) => Some(attach.name.to_string()),
            _ => None,
        })
    }

    /// The next command: its number, and whether it is a discharge that fails; nothing for a declare.
    fn command(&mut self) -> (u32, Option<bool>) {
        self.next(|performative, message| match (performative, message.value()) {
            (Performative::Transfer(transfer), Some(Value::Described(command))) => {
                let fails = match &command.value {
                    Value::List(fields) => fields.get(1).map(|fail| *fail == Value::Boolean(true)),
                    _ => None,
                };
                Some((transfer.delivery_id.unwrap().0, fails))
            }
            _ => None,
        })
    }

    fn settle(&mut self, command: u32, state: DeliveryState) {
        self.peer.send(disposition(Role::Receiver, command).settled(true).state(state));
    }

    /// Takes a message that is sent in a transaction.
    fn accept_posted(&mut self) {
        let number = self.next(|performative, _| match performative {
            Performative::Transfer(transfer) => transfer.delivery_id,
            _ => None,
        });
        self.settle(number.0, DeliveryState::Accepted);
    }

    /// Takes a declare.
    fn declare(&mut self) {
        let (number, fails) = self.command();
        assert_eq!(fails, None);
        let declared = Declared { txn_id: TransactionId(b"t"[..].into()) };
        self.settle(number, DeliveryState::Declared(Box::new(declared)));
    }

    /// Takes a discharge, and tells whether it was a rollback.
    fn discharge(&mut self) -> bool {
        let (number, fails) = self.command();
        self.settle(number, DeliveryState::Accepted);
        fails.expect("a discharge")
    }

    /// Waits until the client wants a flow of the link that this sends on, and what credit that has then.
    fn asked(&mut self) -> Option<u32> {
        self.next(|performative, _| match performative {
            Performative::Flow(flow) if flow.echo && flow.handle.is_some_and(|handle| handle.0 == 1) => {
                Some(flow.link_credit)
            }
            _ => None,
        })
    }
}

#[tokio::test]
async fn a_rollback_gives_back_what_crossed_it_before_anything_else_comes() {
    let (told, mut hears) = mpsc::unbounded_channel();
    let script = move |peer: Peer| {
        let mut game = Game::new(peer, 10);
        let name = game.take_attach();
        game.peer.send(attach_sender(&name).handle(1));
        game.peer.take(flow().handle(1).delivery_count(0).link_credit(2));
        told.send("credited").unwrap();
        assert_eq!(game.asked(), Some(0));
        // It was on its way.
        game.peer.send(transfer(0).handle(1).payload(Message::from("crossed").encode()));
        game.peer.send(flow().handle(1).delivery_count(1).link_credit(0));
        let outcome = game.next(|performative, _| match performative {
            Performative::Disposition(told) => Some((told.first.0, told.state)),
            _ => None,
        });
        assert_eq!(outcome, (0, Some(DeliveryState::Released)));
        // The peer is to have heard of it.
        assert_eq!(game.asked(), Some(0));
        game.peer.hears_nothing(NOW);
        told.send("asked").unwrap();
        game.peer.send(flow().handle(1).delivery_count(1).link_credit(0));
        game.peer.take(flow().handle(1).delivery_count(1).link_credit(2));
        game.peer.part();
    };
    let (connection, peer) = Peer::serve(script).await;
    let session = soon(connection.session()).await.unwrap();
    let work = soon(session.transacted()).await.unwrap();
    let mut options = LinkOptions::default();
    options.prefetch = 2;
    let receiver = soon(session.receiver_with("q", options)).await.unwrap().into_shared();
    assert_eq!(soon(hears.recv()).await, Some("credited"));
    soon(work.rollback(Vec::new)).await.unwrap();
    assert_eq!(hears.try_recv(), Ok("asked"), "it is waited for");
    assert_eq!(receiver.credit(), 2);
    drop((work, receiver, session));
    part(connection, peer).await;
}

#[tokio::test]
async fn a_rollback_that_was_given_up_is_no_commit() {
    let (told, mut hears) = mpsc::unbounded_channel();
    let script = move |peer: Peer| {
        let mut game = Game::new(peer, 1);
        let name = game.take_attach();
        game.peer.send(attach_receiver(&name).handle(1));
        game.peer.send(flow().handle(1).delivery_count(0).link_credit(10));
        game.declare();
        game.accept_posted();
        told.send("posted").unwrap();
        // No command may be sent meanwhile.
        game.peer.hears_nothing(NOW);
        told.send("nothing").unwrap();
        game.allow(1, 10);
        assert!(game.discharge(), "it is rolled back");
        game.declare();
        game.accept_posted();
        assert!(!game.discharge(), "it is committed");
        game.peer.part();
    };
    let (connection, peer) = Peer::serve(script).await;
    let session = soon(connection.session()).await.unwrap();
    let work = soon(session.transacted()).await.unwrap();
    let sender = soon(session.sender("q")).await.unwrap();
    soon(work.submit(&sender, &Message::from("undone"))).await.unwrap();
    assert_eq!(soon(hears.recv()).await, Some("posted"));
    assert!(begun(work.rollback(Vec::new)).await.is_none());
    assert_eq!(soon(hears.recv()).await, Some("nothing"));
    soon(work.submit(&sender, &Message::from("next"))).await.unwrap();
    soon(work.commit()).await.unwrap();
    drop((work, sender, session));
    part(connection, peer).await;
}

#[tokio::test]
async fn what_waits_to_be_sent_as_a_transaction_ends_is_one_of_the_next() {
    let script = move |peer: Peer| {
        let mut game = Game::new(peer, 10);
        let name = game.take_attach();
        game.peer.send(attach_receiver(&name).handle(1));
        game.declare();
        assert!(!game.discharge());
        // The next one begins although there is no credit.
        game.declare();
        game.peer.send(flow().handle(1).delivery_count(0).link_credit(10));
        game.accept_posted();
        assert!(!game.discharge());
        game.peer.part();
    };
    let (connection, peer) = Peer::serve(script).await;
    let session = soon(connection.session()).await.unwrap();
    let work = soon(session.transacted()).await.unwrap();
    let sender = soon(session.sender("q")).await.unwrap();
    let others = work.clone();
    let submitting = tokio::spawn(async move { others.submit(&sender, &Message::from("next")).await });
    // It has the turn.
    tokio::task::yield_now().await;
    soon(work.commit()).await.unwrap();
    assert_eq!(soon(submitting).await.unwrap(), Ok(()));
    soon(work.commit()).await.unwrap();
    drop((work, session));
    part(connection, peer).await;
}

#[tokio::test]
async fn a_commit_in_doubt_ends_the_session() {
    let script = move |peer: Peer| {
        let mut game = Game::new(peer, 10);
        let name = game.take_attach();
        game.peer.send(attach_receiver(&name).handle(1));
        game.peer.send(flow().handle(1).delivery_count(0).link_credit(10));
        game.declare();
        game.accept_posted();
        assert_eq!(game.command().1, Some(false));
        game.peer.send(detach().handle(0).closed(true).error(error("test:mood")));
        game.next(|performative, _| matches!(performative, Performative::End(_)).then_some(()));
        game.peer.send(postroad_testkit::end());
        game.peer.part();
    };
    let (connection, peer) = Peer::serve(script).await;
    let session = soon(connection.session()).await.unwrap();
    let work = soon(session.transacted()).await.unwrap();
    let sender = soon(session.sender("q")).await.unwrap();
    soon(work.submit(&sender, &Message::from("doubtful"))).await.unwrap();
    let committed = soon(work.commit()).await;
    assert_eq!(committed, Err(TransactionError::InDoubt(LinkError::Detached(error("test:mood")))));
    soon(async {
        while session.error().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(sender.error().is_some());
    part(connection, peer).await;
}
