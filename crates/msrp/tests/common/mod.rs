//! Two ends of a session over the loopback.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::time::Duration;

use postroad_msrp::Path;
use postroad_msrp::connect::{DirectAcceptor, DirectConnector, Options};
use postroad_msrp::session::{Incoming, Session};
use postroad_msrp::transport::Transport;

/// Nothing here takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn soon<F: IntoFuture>(what: F) -> F::Output {
    tokio::time::timeout(PATIENCE, what).await.expect("this does not take so long")
}

/// The transports of two ends: of the one that has connected, and of the one that was connected to.
pub(crate) async fn transports(options: Options) -> (Transport, Transport) {
    let (acceptor, connector) = (DirectAcceptor::new(options.clone()), DirectConnector::new(options));
    let expected = acceptor.prepare(None).await.unwrap();
    let theirs: Path = expected.path().clone();
    let ours = connector.prepare(None).unwrap();
    let (accepted, connected) =
        tokio::join!(soon(expected.complete(ours.clone())), soon(connector.complete(&ours, theirs)));
    (connected.unwrap(), accepted.unwrap())
}

pub(crate) async fn sessions() -> (Session, Session) {
    let (connected, accepted) = transports(Options::default()).await;
    (Session::new(connected), Session::new(accepted))
}

/// The text of the next message.
pub(crate) async fn text(session: &mut Session) -> String {
    match soon(session.receive()).await.unwrap() {
        Incoming::Message(message) => String::from_utf8(message.content.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}
