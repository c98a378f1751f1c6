//! Errors that a broker has to do something for: each is told by its own name.

use std::net::TcpListener;

use futures_util::{SinkExt, StreamExt as _};
use postroad_codec::v1_0::{
    self as wire, DeliveryState, Open, Performative, ReceiverSettleMode, Role, SenderSettleMode, Target,
    TerminusExpiryPolicy,
};
use postroad_messaging::types::{ErrorCondition, PeerError};
use postroad_messaging::{
    AddressError, ConnectionError, FetchError, LinkError, SendError, SessionError, SinkError, SyncError,
};
use postroad_testkit::faults::{At, Direction, Fault, FrameKind, Plan, Rule};
use postroad_testkit::{
    Builder as Frame, Proxy, attach_receiver, attach_sender, begin, detach, disposition, end, flow, open, transfer,
};
use tokio::task::JoinHandle;

use super::addresses::address_error;
use super::raw::Peer;
use super::*;

/// A connection to a peer that opens so, begins a session, and goes on as the script says.
pub(super) async fn scripted(
    ours: impl FnOnce() -> Frame<Open> + Send + 'static,
    script: impl FnOnce(&mut Peer) + Send + 'static,
) -> (Connection, Session, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let builder = Connection::new(&format!("amqp://{}", listener.local_addr().unwrap())).unwrap();
    let peer = tokio::task::spawn_blocking(move || {
        let mut peer = Peer::accept_with(&listener, ours());
        peer.begin();
        script(&mut peer);
        peer.part();
    });
    let connection = builder.sasl_enabled(false).open().await.unwrap();
    let session = connection.session().await.unwrap();
    (connection, session, peer)
}

/// A node that outlives its links.
fn kept(address: &'static str) -> Target {
    Target { address: Some(address.into()), expiry_policy: TerminusExpiryPolicy::NEVER, ..Target::default() }
}

#[tokio::test]
async fn why_the_broker_ends_a_session() {
    for (condition, wanted) in [
        (ErrorCondition::UNAUTHORIZED_ACCESS, "access refused: "),
        (ErrorCondition::INTERNAL_ERROR, "the broker failed: "),
        (ErrorCondition::NOT_ALLOWED, "session ended by the broker: "),
    ] {
        let told = condition.clone();
        let (connection, session, peer) = scripted(open, move |peer| {
            peer.take(attach_sender("out"));
            peer.send(attach_receiver("out")).send(flow().handle(0).link_credit(1));
            peer.take(transfer(0));
            peer.send(end().condition(told)).take(end());
        })
        .await;
        let sender = session.sender("q; {link: {name: out}}").await.unwrap();
        let sent = sender.send("a").await;
        let Err(SendError::InDoubt(LinkError::Session(error))) = sent else { panic!("{sent:?}") };
        assert_eq!(session.error(), Some(error.clone()));
        let right = match &error {
            SessionError::Unauthorized(report) => report.condition == ErrorCondition::UNAUTHORIZED_ACCESS,
            SessionError::Server(report) => report.condition == ErrorCondition::INTERNAL_ERROR,
            SessionError::Ended(Some(report)) => report.condition == ErrorCondition::NOT_ALLOWED,
            _ => false,
        };
        assert!(right && error.condition() == Some(&condition), "{error:?}");
        assert!(error.to_string().starts_with(wanted), "{error}");
        connection.close().await.unwrap();
        peer.await.unwrap();
    }
}

#[tokio::test]
async fn there_are_as_many_sessions_as_the_broker_takes() {
    let (connection, _session, peer) = scripted(|| open().channel_max(0), |_| {}).await;
    let error = connection.session().await.unwrap_err();
    assert!(matches!(error, SessionError::Limit(_)), "{error:?}");
    connection.close().await.unwrap();
    peer.await.unwrap();
}

#[tokio::test]
async fn the_name_of_a_session_that_the_broker_has_ended_is_that_of_the_next_one() {
    let (connection, _session, peer) = scripted(open, |peer| {
        for ends in [true, false] {
            peer.take(begin().channel(1));
            peer.send(begin().channel(1).remote_channel(1));
            if ends {
                peer.take(attach_sender("out").channel(1));
                peer.send(end().channel(1)).take(end().channel(1));
            }
        }
    })
    .await;
    let over = connection.session_named("a").await.unwrap();
    over.sender("q; {link: {name: out}}").await.unwrap_err();
    assert_eq!(over.error(), Some(SessionError::Ended(None)));
    let next = connection.session_named("a").await.unwrap();
    assert!(connection.session_named("a").await.unwrap().is_same(&next) && !next.is_same(&over));
    connection.close().await.unwrap();
    peer.await.unwrap();
}

#[tokio::test]
async fn a_session_has_one_link_of_a_name() {
    let world = world().await;
    let _sender = world.sender("q; {link: {name: mine}}").await;
    let error = world.session.sender("q; {link: {name: mine}}").await.unwrap_err();
    assert!(matches!(error, LinkError::Limit(_)), "{error:?}");
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_rejected_and_the_next_one_comes() {
    let (connection, session, peer) = scripted(open, |peer| {
        peer.take(attach_receiver("in"));
        peer.send(attach_sender("in"));
        peer.take(flow());
        peer.send(transfer(0).payload(&b"\x00\x53\x75\xff"[..]));
        // The rejection, and credit for the next one, in either order.
        let heard = [peer.next(), peer.next()].into_iter().flatten().filter(|frame| {
            matches!(frame, wire::Frame::Amqp { performative: Performative::Disposition(told), .. }
                if matches!(told.state, Some(DeliveryState::Rejected(_))))
        });
        assert_eq!(heard.count(), 1);
        peer.send(transfer(1).payload(&b"\x00\x53\x77\xa1\x01a"[..]));
    })
    .await;
    let receiver = session.receiver("q; {link: {name: in}}").await.unwrap();
    let error = receiver.fetch().await.unwrap_err();
    assert!(matches!(error, FetchError::Malformed(_)), "{error:?}");
    assert_eq!(text(&receiver.fetch_timeout(PATIENCE).await.unwrap()), "a");
    connection.close().await.unwrap();
    peer.await.unwrap();
}

#[tokio::test]
async fn a_stream_ends_with_a_link_that_is_detached_without_an_error() {
    let (connection, session, peer) = scripted(open, |peer| {
        peer.take(attach_receiver("in"));
        peer.send(attach_sender("in"));
        peer.take(flow());
        peer.send(detach().handle(0).closed(true));
    })
    .await;
    let mut receiver = session.receiver("q; {link: {name: in}}").await.unwrap();
    assert_eq!(receiver.next().await, None);
    assert_eq!(receiver.error(), Some(LinkError::Detached(None)));
    connection.close().await.unwrap();
    peer.await.unwrap();
}

#[tokio::test]
async fn a_message_may_be_settled_without_an_outcome() {
    let (connection, session, peer) = scripted(open, |peer| {
        peer.take(attach_sender("out"));
        peer.send(attach_receiver("out")).send(flow().handle(0).link_credit(1));
        peer.take(transfer(0));
        peer.send(disposition(Role::Receiver, 0).settled(true));
    })
    .await;
    let sender = session.sender("q; {link: {name: out}}").await.unwrap();
    assert_eq!(sender.send("a").await, Err(SendError::NoOutcome));
    connection.close().await.unwrap();
    peer.await.unwrap();
}

#[tokio::test]
async fn what_nobody_answers_cannot_be_sent_in_a_transaction() {
    let world = world().await;
    let session = world.connection.transactional_session().await.unwrap();
    let sender = session.sender("q; {link: {reliability: unreliable}}").await.unwrap();
    for sent in [sender.send("a").await, sender.send_async("a").await] {
        let Err(SendError::NotSent(LinkError::Address(error))) = sent else { panic!("{sent:?}") };
        assert!(matches!(error, AddressError::Unsupported { option: "link.reliability", .. }), "{error:?}");
    }
    assert_eq!(session.commit().await, Ok(()));
}

#[tokio::test]
async fn a_guarantee_that_the_broker_does_not_keep_is_not_had() {
    let (connection, session, peer) = scripted(open, |peer| {
        peer.take(attach_sender("out").rcv_settle_mode(ReceiverSettleMode::SECOND));
        peer.send(attach_receiver("out").rcv_settle_mode(ReceiverSettleMode::FIRST).target(kept("q")));
    })
    .await;
    let error = address_error(session.sender("q; {link: {name: out, reliability: exactly-once}}").await);
    assert!(matches!(error, AddressError::GuaranteeUnavailable { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("at-least-once"), "{error:?}");
    connection.close().await.unwrap();
    peer.await.unwrap();

    let (connection, session, peer) = scripted(open, |peer| {
        peer.take(attach_receiver("in").snd_settle_mode(SenderSettleMode::UNSETTLED));
        peer.send(attach_sender("in").snd_settle_mode(SenderSettleMode::SETTLED));
    })
    .await;
    let error = address_error(session.receiver("q; {link: {name: in}}").await);
    assert!(matches!(error, AddressError::GuaranteeUnavailable { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("at-most-once"), "{error:?}");
    connection.close().await.unwrap();
    peer.await.unwrap();
}

#[tokio::test]
async fn another_node_than_the_one_that_was_asked_for_is_none() {
    let (connection, session, peer) = scripted(open, |peer| {
        peer.take(attach_sender("out"));
        peer.send(attach_receiver("out").target(kept("another")));
    })
    .await;
    let error = address_error(session.sender("q; {link: {name: out}}").await);
    assert_eq!(error, AddressError::AssertionFailed { expected: "q".into(), found: "another".into() });
    connection.close().await.unwrap();
    peer.await.unwrap();
}

#[tokio::test]
async fn who_may_not_use_a_node_is_told_so() {
    let (session, theirs) = peer().await;
    let refusing = async {
        let link = theirs.next_link().await.unwrap();
        link.refuse(PeerError::new(ErrorCondition::UNAUTHORIZED_ACCESS, "not you"));
    };
    let (refused, ()) = tokio::join!(session.receiver("q"), refusing);
    let error = address_error(refused);
    assert!(matches!(&error, AddressError::Unauthorized { name, .. } if name == "q"), "{error:?}");
    assert_eq!(error.condition(), Some(&ErrorCondition::UNAUTHORIZED_ACCESS));
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_request_about_a_node_that_comes_to_nothing_is_told() {
    let world = world_with(Broker::builder()).await;
    let proxy = Proxy::start(world.broker.addr().unwrap(), Plan::new(1)).await.unwrap();
    let connection = Connection::establish(&format!("amqp://{}", proxy.addr())).await.unwrap();
    let session = connection.session().await.unwrap();
    let sender = session.sender("gone; {create: always, delete: always}").await.unwrap();
    proxy.arm(Rule::new(Fault::Cut(None), At::frame(FrameKind::Attach)).in_direction(Direction::ToServer));
    let error = address_error(sender.close().await);
    assert!(matches!(error, AddressError::Management(_)), "{error:?}");
    assert_eq!(world.broker.queues(), ["gone"]);
}

#[tokio::test]
async fn what_is_under_way_as_the_connection_is_detached_is_in_doubt() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://{}", listener.local_addr().unwrap());
    let (taken, under_way) = tokio::sync::oneshot::channel();
    let serving = tokio::task::spawn_blocking(move || {
        let mut peer = Peer::accept(&listener, 65_536);
        peer.begin().take(attach_sender("out"));
        peer.send(attach_receiver("out")).send(flow().handle(0).link_credit(1));
        peer.take(transfer(0));
        taken.send(()).unwrap();
        peer.part();
        let mut peer = Peer::accept(&listener, 65_536);
        peer.begin().take(attach_sender("out"));
        peer.send(attach_receiver("out"));
        peer.part();
    });
    let connection = Connection::new(&url).unwrap().sasl_enabled(false).open().await.unwrap();
    let sender = connection.session().await.unwrap().sender("q; {link: {name: out}}").await.unwrap();
    let (sent, ()) = tokio::join!(sender.send("a"), async {
        under_way.await.unwrap();
        connection.detach().await.unwrap();
        connection.attach().await.unwrap();
    });
    let lost = LinkError::Session(SessionError::Connection(ConnectionError::Detached));
    assert_eq!(sent, Err(SendError::InDoubt(lost)));
    assert!(sender.error().is_none());
    connection.close().await.unwrap();
    serving.await.unwrap();
}

#[tokio::test]
async fn what_is_under_way_as_a_detached_connection_is_closed_is_in_doubt() {
    let (sender, mut theirs, _connection) = sender_to_peer(1).await;
    let (sent, ()) = tokio::join!(sender.send("a"), async {
        theirs.receive().await.unwrap();
        let connection = sender.session().connection();
        connection.detach().await.unwrap();
        connection.close().await.unwrap();
    });
    assert!(matches!(sent, Err(SendError::InDoubt(_))), "{sent:?}");
}

#[tokio::test]
async fn a_link_that_is_not_attached_again_as_it_was_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://{}", listener.local_addr().unwrap());
    let serving = tokio::task::spawn_blocking(move || {
        for mode in [ReceiverSettleMode::SECOND, ReceiverSettleMode::FIRST] {
            let mut peer = Peer::accept(&listener, 65_536);
            peer.begin().take(attach_sender("out"));
            peer.send(attach_receiver("out").rcv_settle_mode(mode).target(kept("q")));
            peer.part();
        }
    });
    let connection = Connection::new(&url).unwrap().sasl_enabled(false).open().await.unwrap();
    let session = connection.session().await.unwrap();
    let sender = session.sender("q; {link: {name: out, reliability: exactly-once}}").await.unwrap();
    let (told, heard) = std::sync::mpsc::channel();
    sender.on_error(move |error| drop(told.send(error.clone())));
    connection.detach().await.unwrap();
    connection.attach().await.unwrap();
    eventually("the link is over", || sender.is_closed()).await;
    let error = sender.check_error().unwrap_err();
    assert!(matches!(error, LinkError::Address(AddressError::GuaranteeUnavailable { .. })), "{error:?}");
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(error));
    connection.close().await.unwrap();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_sink_tells_what_was_not_accepted_and_why_it_does_not_close() {
    let world = world().await;
    let mut sender = world.sender("''").await;
    sender.feed(Message::from("a").with_address("nowhere")).await.unwrap();
    let error = SinkExt::<Message>::flush(&mut sender).await.unwrap_err();
    assert!(matches!(&error, SinkError::Sync(SyncError::NotAccepted { count: 1, .. })), "{error:?}");
    assert_eq!(error.condition(), Some(&ErrorCondition::NOT_FOUND));
    // Closed is flushed first.
    sender.feed(Message::from("b").with_address("nowhere")).await.unwrap();
    let error = SinkExt::<Message>::close(&mut sender).await.unwrap_err();
    assert!(matches!(&error, SinkError::Sync(SyncError::NotAccepted { count: 1, .. })), "{error:?}");
    let mut sender = world.sender("q").await;
    assert!(world.broker.delete_queue("q"));
    eventually("the link is over", || sender.is_closed()).await;
    let error = SinkExt::<Message>::close(&mut sender).await.unwrap_err();
    assert!(matches!(&error, SinkError::Link(LinkError::Detached(Some(_)))), "{error:?}");
    assert_eq!(error.condition(), Some(&ErrorCondition::RESOURCE_DELETED));
}
