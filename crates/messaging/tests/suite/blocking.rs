//! The mirror that blocks, before the embedded broker that does.

use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use postroad_broker::blocking::{Broker, Builder};
use postroad_broker::{NodeOptions, StartError};
use postroad_client::blocking::Acceptor;
use postroad_client::{AcceptOptions, BlockingError, LinkOptions};
use postroad_messaging::blocking::{Connection, ConnectionBuilder, Receiver, Sender, Session};
use postroad_messaging::{
    ConnectError, ConnectionError, Disposition, FetchError, LinkError, Message, SendError, SessionError, SyncError,
    TransactionState,
};
use postroad_taps::LocalEndpoint;
use postroad_testkit::Proxy;
use postroad_testkit::faults::{At, Direction, Fault, Plan, Rule};

use crate::{NOW, PATIENCE, text};

/// Long enough for a timeout to be seen, and short enough to wait for.
const SHORT: Duration = Duration::from_millis(50);

struct World {
    session: Session,
    connection: Connection,
    /// Goes last: a connection wants somebody to say goodbye to.
    broker: Broker,
}

fn world() -> World {
    world_with(Broker::builder().queue("q"))
}

fn world_with(builder: Builder) -> World {
    let broker = builder.listen("amqp://127.0.0.1:0").start().unwrap();
    let connection = Connection::establish(&broker.urls()[0]).unwrap();
    World { session: connection.session().unwrap(), connection, broker }
}

#[test]
fn the_short_program() {
    let World { session, connection, broker } = world();
    assert!(connection.is_open());
    let sender = session.sender("orders; {create: always}").unwrap();
    let receiver = session.receiver("orders").unwrap();
    sender.send("hello").unwrap();
    let message = receiver.fetch().unwrap();
    assert_eq!(message.text(), Some("hello"));
    assert_eq!(session.unacknowledged(), 1);
    session.acknowledge(&message).unwrap();
    assert_eq!(session.unacknowledged(), 0);
    connection.close().unwrap();
    assert_eq!(connection.error(), Some(ConnectionError::Closed));
    assert_eq!(broker.queue_stats("orders").unwrap().ready, 0);
    assert_eq!(broker.shutdown(PATIENCE), Ok(0));
}

#[test]
fn fetching_says_when_there_is_none() {
    let world = world();
    let receiver = world.session.receiver("q").unwrap();
    assert_eq!(receiver.fetch_timeout(NOW), Err(FetchError::Empty));
    assert_eq!(receiver.fetch_timeout(SHORT), Err(FetchError::Empty));
    assert_eq!(receiver.iter_timeout(NOW).count(), 0);
    let sender = world.session.sender("q").unwrap();
    for number in 0..10 {
        sender.send_async(format!("message {number}")).unwrap();
    }
    sender.sync_timeout(PATIENCE).unwrap();
    receiver.set_capacity(3);
    let texts: Vec<_> = receiver.iter_timeout(NOW).map(|message| text(&message.unwrap())).collect();
    assert_eq!(texts.len(), 10);
    assert_eq!((texts[0].as_str(), texts[9].as_str()), ("message 0", "message 9"));
    world.session.acknowledge_all().unwrap();
    receiver.close_timeout(PATIENCE).unwrap();
    sender.close_timeout(PATIENCE).unwrap();
    world.session.close_timeout(PATIENCE).unwrap();
    assert_eq!(world.broker.queue_stats("q").unwrap().ready, 0);
}

#[test]
fn an_iterator_gives_messages_to_whoever_waits_and_ends_with_the_link() {
    let world = world();
    let receiver = world.session.receiver("q").unwrap();
    let session = world.session.clone();
    let (told, heard) = mpsc::channel();
    let receiving = thread::spawn(move || {
        for message in &receiver {
            if let Ok(message) = &message {
                session.acknowledge(message).unwrap();
            }
            told.send(message.map(|message| text(&message))).unwrap();
        }
    });
    let sender = world.session.sender("q").unwrap();
    for text in ["one", "two", "three"] {
        sender.send(text).unwrap();
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap().unwrap(), text);
    }
    world.broker.delete_queue("q");
    // The broker's word for it is the last item.
    let error = heard.recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(error.condition().map(|condition| condition.to_string()).as_deref(), Some("amqp:resource-deleted"));
    receiving.join().unwrap();
    assert!(heard.recv().is_err());
}

#[test]
fn outcomes_are_told() {
    let world = world_with(Broker::builder().queue_with("q", NodeOptions::default()));
    let sender = world.session.sender("q").unwrap();
    sender.send("to be given back").unwrap();
    let receiver = world.session.receiver("q").unwrap();
    let message = receiver.fetch().unwrap();
    receiver.release(&message).unwrap();
    let message = receiver.fetch_timeout(PATIENCE).unwrap();
    world.session.acknowledge_with(&message, Disposition::Rejected(None)).unwrap();
    assert_eq!(receiver.fetch_timeout(NOW), Err(FetchError::Empty));
    assert_eq!(sender.send_timeout(Message::from("in time"), PATIENCE), Ok(()));
    let error = world.session.sender("nowhere").unwrap_err();
    assert_eq!(error.to_string(), "no such queue: nowhere");
}

#[test]
fn a_peer_that_does_not_answer_bounds_every_wait_that_is_asked_for() {
    let acceptor = Acceptor::listen(AcceptOptions::new(LocalEndpoint::host("127.0.0.1"))).unwrap();
    let connecting = thread::spawn({
        let url = format!("amqp://{}", acceptor.local_endpoint());
        move || Connection::establish(&url).unwrap()
    });
    let theirs = acceptor.accept_timeout(PATIENCE).unwrap().unwrap();
    let connection = connecting.join().unwrap();
    let session = connection.session_timeout(PATIENCE).unwrap();
    let attaching = thread::spawn(move || session.sender("q").unwrap());
    let mut options = LinkOptions::default();
    options.prefetch = 0;
    let mut receiver = theirs.next_link().unwrap().into_receiver(&options).unwrap();
    let sender: Sender = attaching.join().unwrap();

    assert_eq!(sender.send_timeout("no credit", SHORT), Err(SendError::NotSent(LinkError::Timeout(SHORT))));
    assert_eq!(sender.send_async_timeout("none", SHORT), Err(SendError::NotSent(LinkError::Timeout(SHORT))));
    receiver.set_credit(2);
    sender.send_async_timeout("credit", PATIENCE).unwrap();
    assert_eq!(sender.send_timeout("no answer", SHORT), Err(SendError::InDoubt(LinkError::Timeout(SHORT))));
    assert_eq!(sender.sync_timeout(SHORT), Err(SyncError::Timeout(SHORT)));
    assert_eq!(sender.unsettled(), 2);
    assert_eq!(sender.close_timeout(SHORT), Err(LinkError::Timeout(SHORT)));
    assert!(receiver.closed_timeout(PATIENCE).is_some(), "closed without waiting for answers");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://{}", silent.local_addr().unwrap());
    let error = Connection::new(&url).unwrap().connect_timeout(SHORT).open().unwrap_err();
    assert_eq!(error, ConnectError::Timeout(SHORT));
}

#[test]
fn sessions_have_names_and_know_their_links() {
    let world = world();
    let named = world.connection.session_named("one").unwrap();
    assert!(named.is_same(&world.connection.session_named("one").unwrap()));
    assert_eq!(named.name(), format!("{}:one", world.connection.id()));
    assert_eq!(world.connection.sessions().len(), 2);
    let (sender, receiver) = (named.sender("q").unwrap(), named.receiver("q").unwrap());
    assert!(named.senders()[0].is_same(&sender) && named.receivers()[0].is_same(&receiver));
    assert_eq!(named.next_receiver_timeout(SHORT).unwrap_err(), FetchError::Empty);
    receiver.set_capacity(2);
    sender.send("a").unwrap();
    let next = named.next_receiver_timeout(PATIENCE).unwrap();
    assert!(next.is_same(&receiver));
    assert_eq!(text(&next.fetch().unwrap()), "a");
    assert_eq!(named.error(), None);
    named.close().unwrap();
    assert!(named.next_receiver().is_err());
}

#[test]
fn a_connection_is_detached_and_attached() {
    let world = world();
    let (sender, receiver) = (world.session.sender("q").unwrap(), world.session.receiver("q").unwrap());
    world.connection.detach_timeout(PATIENCE).unwrap();
    assert!(world.connection.is_open() && !world.connection.is_attached());
    let refused = SendError::NotSent(LinkError::Session(SessionError::Detached));
    assert_eq!(sender.send("a"), Err(refused));
    let late = world.session.sender("q").unwrap();
    world.connection.attach_timeout(PATIENCE).unwrap();
    late.send("a").unwrap();
    assert_eq!(text(&receiver.fetch_timeout(PATIENCE).unwrap()), "a");
    world.connection.detach().unwrap();
    world.connection.attach().unwrap();
    world.connection.close_timeout(PATIENCE).unwrap();
    assert!(!world.connection.is_open());
}

// TimeoutTests of the original: nothing passes any more, and every wait that is asked for ends.

#[test]
fn a_transport_that_hangs_bounds_every_wait() {
    let world = world();
    let outside = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let target = world.broker.urls()[0].trim_start_matches("amqp://").parse().unwrap();
    let proxy = outside.block_on(Proxy::start(target, Plan::new(1))).unwrap();
    let hung = || {
        let connection = Connection::establish(&format!("amqp://{}", proxy.addr())).unwrap();
        let session = connection.session().unwrap();
        let (sender, receiver) = (session.sender("q").unwrap(), session.receiver("q").unwrap());
        proxy.arm(Rule::new(Fault::Stall, At::Byte(0)).in_direction(Direction::ToClient));
        (connection, session, sender, receiver)
    };
    let (connection, session, sender, receiver) = hung();
    sender.send_async("a").unwrap();
    assert_eq!(sender.sync_timeout(SHORT), Err(SyncError::Timeout(SHORT)));
    assert_eq!(session.sync_timeout(SHORT), Err(SyncError::Timeout(SHORT)));
    assert_eq!(sender.close_timeout(SHORT), Err(LinkError::Timeout(SHORT)));
    assert_eq!(receiver.close_timeout(SHORT), Err(LinkError::Timeout(SHORT)));
    assert_eq!(session.close_timeout(SHORT), Err(SessionError::Timeout(SHORT)));
    assert_eq!(connection.session_timeout(SHORT).unwrap_err(), SessionError::Timeout(SHORT));
    assert_eq!(connection.detach_timeout(SHORT), Err(ConnectionError::CloseTimeout(SHORT)));
    assert!(!connection.is_attached());
    assert_eq!(connection.close_timeout(PATIENCE), Ok(()), "nobody is there to be waited for");
}

#[test]
fn a_transaction_is_committed_or_rolled_back() {
    let world = world();
    assert_eq!(world.session.commit(), Err(SessionError::Nontransactional));
    let session = world.connection.transactional_session().unwrap();
    assert!(session.is_transactional());
    let (sender, receiver) = (session.sender("q").unwrap(), session.receiver("q").unwrap());
    sender.send("a").unwrap();
    assert_eq!(receiver.fetch_timeout(NOW), Err(FetchError::Empty));
    session.commit_timeout(PATIENCE).unwrap();
    assert_eq!(session.transaction_state(), Some(TransactionState::Committed));
    for redelivered in [false, true, true] {
        let message = receiver.fetch_timeout(PATIENCE).unwrap();
        assert_eq!((text(&message).as_str(), message.redelivered()), ("a", redelivered));
        session.acknowledge(&message).unwrap();
        session.rollback_timeout(PATIENCE).unwrap();
    }
    session.acknowledge(&receiver.fetch_timeout(PATIENCE).unwrap()).unwrap();
    session.commit().unwrap();
    assert_eq!(world.broker.queue_stats("q").unwrap().ready, 0);
}

#[test]
fn a_task_is_told_that_it_must_not_block() {
    const INSIDE: BlockingError = BlockingError::InsideRuntime;
    let world = world();
    let sender = world.session.sender("q").unwrap();
    let receiver = world.session.receiver("q").unwrap();
    let url = world.broker.urls()[0].clone();
    let outside = tokio::runtime::Builder::new_current_thread().build().unwrap();
    outside.block_on(async {
        assert_eq!(Connection::establish(&url).unwrap_err(), ConnectError::Blocking(INSIDE));
        assert_eq!(Broker::builder().start().unwrap_err(), StartError::Blocking(INSIDE));
        assert_eq!(world.connection.session().unwrap_err(), SessionError::Blocking(INSIDE));
        assert_eq!(world.connection.close(), Err(ConnectionError::Blocking(INSIDE)));
        assert_eq!(world.session.sender("q").unwrap_err(), LinkError::Blocking(INSIDE));
        assert_eq!(sender.send("never"), Err(SendError::NotSent(LinkError::Blocking(INSIDE))));
        assert_eq!(sender.send_timeout("never", SHORT), Err(SendError::NotSent(LinkError::Blocking(INSIDE))));
        assert_eq!(sender.sync(), Err(SyncError::Blocking(INSIDE)));
        assert_eq!(receiver.fetch(), Err(FetchError::Link(LinkError::Blocking(INSIDE))));
        assert!(FetchError::from(INSIDE).hint().unwrap().contains("spawn_blocking"));
    });
    sender.send("from outside").unwrap();
    assert_eq!(text(&receiver.fetch().unwrap()), "from outside");
    outside.block_on(async { assert_eq!(world.broker.shutdown(SHORT), Err(INSIDE)) });
}

#[test]
fn options_and_the_client_below_are_those_of_the_original() {
    let broker = Broker::builder().queue("q").listen("amqp://127.0.0.1:0").start().unwrap();
    let connection = ConnectionBuilder::new(broker.urls()[0].parse().unwrap())
        .container_id("ours")
        .heartbeat(PATIENCE)
        .property("app", "test")
        .sasl_mechanisms(["ANONYMOUS"])
        .close_timeout(PATIENCE)
        .open()
        .unwrap();
    assert_eq!(broker.connections(), 1);
    let below = connection.client();
    assert!(below.remote_container().is_some());
    drop(connection);
    // The client's handle is one of the same connection.
    assert!(below.error().is_none());
    let session = below.session().unwrap();
    session.sender("q").unwrap().close().unwrap();
    drop((session, below));
    while broker.connections() > 0 {
        thread::sleep(Duration::from_millis(2));
    }
    let error = Connection::new("amqp://127.0.0.1").unwrap().max_frame_size(1).open().unwrap_err();
    assert_eq!(error.to_string(), "max_frame_size: 512 is the least");
}

#[test]
fn everything_can_go_to_another_thread() {
    fn share<T: Send + Sync + 'static>() {}
    share::<Broker>();
    share::<Connection>();
    share::<Session>();
    share::<Sender>();
    share::<Receiver>();
}
