//! Calls by tasks of an async runtime.

use std::time::Instant;

use postroad_client::blocking::{Acceptor, Connection};
use postroad_client::{
    AcceptError, AcceptOptions, AttachError, BlockingError, ConnectError, ConnectOptions, ConnectionError, LinkError,
    Message, ReceiveError, SendError, SyncError,
};
use postroad_taps::LocalEndpoint;
use tokio::runtime::Builder;

use crate::{PATIENCE, SHORT, listen, pair};

const INSIDE: BlockingError = BlockingError::InsideRuntime;

#[test]
fn a_task_is_told_that_it_must_not_block_and_nothing_has_happened() {
    let (sender, mut receiver, ends) = pair(10);
    let (acceptor, _) = listen();
    let session = sender.session();
    let message = Message::from("never sent");
    let link = || LinkError::Blocking(INSIDE);
    Builder::new_current_thread().build().unwrap().block_on(async {
        let options = ConnectOptions::new("amqp://127.0.0.1:1".parse().unwrap());
        assert_eq!(Connection::open(options).unwrap_err(), ConnectError::Blocking(INSIDE));
        let listening = Acceptor::listen(AcceptOptions::new(LocalEndpoint::host("127.0.0.1")));
        assert_eq!(listening.unwrap_err(), AcceptError::Blocking(INSIDE));
        assert_eq!(acceptor.accept().unwrap_err(), AcceptError::Blocking(INSIDE));

        assert_eq!(ends.client.session().unwrap_err(), AttachError::Link(link()));
        assert_eq!(ends.client.close(), Err(ConnectionError::Blocking(INSIDE)));
        assert_eq!(session.sender("q").unwrap_err(), AttachError::Link(link()));
        assert_eq!(session.close(), Err(link()));
        assert_eq!(sender.send(&message), Err(SendError::NotSent(link())));
        assert_eq!(sender.send_timeout(&message, SHORT), Err(SendError::NotSent(link())));
        assert_eq!(sender.submit(&message), Err(SendError::NotSent(link())));
        assert_eq!(sender.sync(), Err(SyncError::Blocking(INSIDE)));
        assert_eq!(sender.closed(), link());
        assert_eq!(receiver.receive(), Err(ReceiveError::Link(link())));
        assert_eq!(receiver.fetch(SHORT), Err(ReceiveError::Link(link())));
        assert_eq!(receiver.iter().next(), Some(Err(ReceiveError::Link(link()))));
        assert_eq!(receiver.drain(), Err(link()));
        // What does not wait is open to tasks too, once the receiver's credit has come.
        let begin = Instant::now();
        while sender.credit() == 0 && begin.elapsed() < PATIENCE {
            std::thread::sleep(SHORT / 10);
        }
        sender.try_submit(&message).unwrap();
    });
    assert!(ends.client.error().is_none() && sender.error().is_none());
    assert!(ConnectError::Blocking(INSIDE).hint().unwrap().contains("spawn_blocking"));
    assert_eq!(receiver.iter_timeout(PATIENCE).take(1).count(), 1);
    assert_eq!(receiver.receive_timeout(SHORT), Ok(None), "only what was handed over by try_submit");
}

#[test]
fn threads_of_a_runtime_that_may_block_are_free_to_call() {
    let (sender, mut receiver, _ends) = pair(10);
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let sent = runtime.spawn_blocking(move || {
        sender.submit(&Message::from("from a pool")).unwrap();
        sender
    });
    assert_eq!(receiver.receive().unwrap().text(), Some("from a pool"));
    let sender = runtime.block_on(sent).unwrap();
    let _entered = runtime.enter();
    sender.submit(&Message::from("known to a runtime, and no task")).unwrap();
    assert!(receiver.receive_timeout(PATIENCE).unwrap().is_some());
}

#[test]
fn a_task_that_drops_the_last_handle_does_not_wait() {
    let (sender, receiver, ends) = pair(10);
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async move {
        drop(sender);
        drop(ends.client);
    });
    assert_eq!(receiver.closed_timeout(PATIENCE), Some(LinkError::DetachedByPeer));
    drop(receiver);
    drop(ends.server);
}
