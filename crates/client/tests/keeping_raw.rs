//! Links of a server's that outlive their connections, with peers that a test plays.

mod raw;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use postroad_client::types::{DeliveryTag, ErrorCondition, Value};
use postroad_client::{
    AcceptOptions, Acceptor, Connection, IncomingLink, KeepLinks, LinkError, LinkOptions, LocalEndpoint, Message,
    Outcome, Receiver, Sender, SenderNews, Ticket,
};
use postroad_codec::v1_0::{
    Attach, AttachTarget, Decode, DeliveryState, Encode, Frame, Map, Performative, Reader, ReceiverSettleMode, Role,
    Seconds, SenderSettleMode, TerminusExpiryPolicy,
};
use postroad_testkit::{Builder, accepted, attach_receiver, attach_sender, begin, detach, disposition, flow, transfer};
use raw::Peer;
use tokio::task::{JoinHandle, spawn_blocking};

const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

/// An acceptor, and a peer that a script plays.
async fn play<T: Send + 'static>(script: impl FnOnce(SocketAddr) -> T + Send + 'static) -> (Acceptor, JoinHandle<T>) {
    let mut options = AcceptOptions::new(LocalEndpoint::host("127.0.0.1"));
    options.keep_links = Some(KeepLinks::default());
    let acceptor = Acceptor::listen(options).await.unwrap();
    let address = acceptor.local_endpoint().ip().unwrap();
    (acceptor, spawn_blocking(move || script(address)))
}

async fn accept(acceptor: &Acceptor) -> Connection {
    soon(acceptor.accept()).await.unwrap()
}

async fn next_link(server: &Connection) -> IncomingLink {
    soon(server.next_link()).await.unwrap()
}

fn into_receiver(link: IncomingLink) -> Receiver {
    link.into_receiver(&LinkOptions::default()).unwrap()
}

fn into_sender(link: IncomingLink) -> Sender {
    link.into_sender(&LinkOptions::default()).unwrap()
}

async fn news(sender: &Sender, ticket: &mut Ticket) -> SenderNews {
    soon(poll_fn(|cx| sender.poll_news(ticket, cx))).await
}

fn tag(number: u64) -> Value {
    Value::Binary(DeliveryTag::from(number).as_bytes().to_vec().into())
}

fn value(state: &DeliveryState) -> Value {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    Value::decode(&mut Reader::from_slice(&bytes)).unwrap()
}

/// An attach to a terminus that is to outlive its link for a minute.
fn lasting(attach: Builder<Attach>, second: bool) -> Builder<Attach> {
    let mode = if second { ReceiverSettleMode::SECOND } else { ReceiverSettleMode::FIRST };
    attach.snd_settle_mode(SenderSettleMode::UNSETTLED).rcv_settle_mode(mode).with(|attach| {
        let source = attach.source.as_mut().unwrap();
        (source.address, source.expiry_policy) = (Some("q".into()), TerminusExpiryPolicy::LINK_DETACH);
        source.timeout = Seconds(60);
        if let Some(AttachTarget::Target(target)) = attach.target.as_deref_mut() {
            (target.address, target.expiry_policy) = (Some("q".into()), TerminusExpiryPolicy::LINK_DETACH);
            target.timeout = Seconds(60);
        }
    })
}

fn with_map(attach: Builder<Attach>, entries: impl IntoIterator<Item = (Value, Value)>) -> Builder<Attach> {
    let map = Map(entries.into_iter().collect());
    attach.with(|attach| attach.unsettled = Some(map))
}

/// The next frame that is such a one, whatever comes before it.
#[track_caller]
fn until<R>(peer: &mut Peer, wanted: impl Fn(Performative) -> Option<R>) -> R {
    loop {
        let frame = peer.next().expect("the server has hung up");
        if let Frame::Amqp { performative, .. } = frame
            && let Some(found) = wanted(performative)
        {
            return found;
        }
    }
}

fn attach(peer: &mut Peer) -> Attach {
    until(peer, |performative| match performative {
        Performative::Attach(attach) => Some(*attach),
        _ => None,
    })
}

#[tokio::test]
async fn outcomes_are_told_again_to_a_sender_that_settles_later_now() {
    let script = |address| {
        let mut peer = Peer::connect(address);
        peer.send(lasting(attach_sender("link"), true));
        let granted = attach(&mut peer);
        let Some(AttachTarget::Target(target)) = granted.target.as_deref() else { panic!("{granted:?}") };
        assert_eq!((&target.expiry_policy, target.timeout), (&TerminusExpiryPolicy::LINK_DETACH, Seconds(60)));
        assert_eq!(granted.unsettled, None);
        peer.send(transfer(0).payload(Message::from("a").encode()));
        let told = |performative| match performative {
            Performative::Disposition(told) => Some(told),
            _ => None,
        };
        let told_first = until(&mut peer, told);
        assert_eq!((told_first.settled, told_first.state), (false, Some(DeliveryState::Accepted)));
        drop(peer);

        // The receiver is to settle first from now on.
        let mut peer = Peer::connect(address);
        let again = with_map(lasting(attach_sender("link"), false), [(tag(0), Value::Null)]);
        peer.send(again.with(|attach| attach.initial_delivery_count = Some(1.into())));
        let map = attach(&mut peer).unsettled.unwrap();
        assert_eq!(map, Map([(tag(0), value(&DeliveryState::Accepted))].into_iter().collect()));
        peer.send(transfer(0).with(|transfer| transfer.resume = true));
        let told_again = until(&mut peer, told);
        assert_eq!((told_again.settled, told_again.state), (true, Some(DeliveryState::Accepted)));
        peer.send(transfer(1).payload(Message::from("b").encode()));
        until(&mut peer, told);
        peer.hang_up();
    };
    let (acceptor, played) = play(script).await;
    let server = accept(&acceptor).await;
    let mut receiver = into_receiver(next_link(&server).await);
    let message = soon(receiver.receive()).await.unwrap();
    receiver.accept(&message).unwrap();
    soon(receiver.closed()).await;
    assert!(receiver.is_suspended());
    let server = accept(&acceptor).await;
    let link = next_link(&server).await;
    assert!(link.known().is_some());
    let mut receiver = into_receiver(link);
    let message = soon(receiver.receive()).await.unwrap();
    assert_eq!(message.text(), Some("b"), "the first one does not come again");
    receiver.accept(&message).unwrap();
    soon(played).await.unwrap();
}

#[tokio::test]
async fn a_link_is_detached_for_a_while_and_attached_on_another_session() {
    let script = |address| {
        let mut peer = Peer::connect(address);
        peer.send(lasting(attach_receiver("link"), true));
        attach(&mut peer);
        peer.send(flow().handle(0).delivery_count(0).link_credit(3));
        for _ in 0..2 {
            until(&mut peer, |performative| matches!(performative, Performative::Transfer(_)).then_some(()));
        }
        // What comes behind the detach counts as well.
        peer.send(detach()).send(accepted(0));
        until(&mut peer, |performative| matches!(performative, Performative::Detach(_)).then_some(()));
        peer.send(begin().channel(1));
        let again = with_map(lasting(attach_receiver("link"), true), [(tag(1), value(&DeliveryState::Accepted))]);
        peer.send(again.channel(1));
        let map = attach(&mut peer).unsettled.unwrap();
        assert_eq!(map.0.len(), 1, "{map:?}");
        peer.send(flow().channel(1).handle(0).delivery_count(2).link_credit(5));
        let settled = until(&mut peer, |performative| match performative {
            Performative::Transfer(transfer) => Some((transfer.resume, transfer.settled, transfer.delivery_tag)),
            _ => None,
        });
        assert_eq!(settled, (true, Some(true), Some(DeliveryTag::from(1))));

        // One that is attached while it is attached is taken over.
        peer.send(begin().channel(2));
        let stolen = with_map(lasting(attach_receiver("link"), true), []);
        peer.send(stolen.channel(2));
        let stolen = until(&mut peer, |performative| match performative {
            Performative::Detach(detach) => Some((detach.closed, detach.error.unwrap().condition)),
            _ => None,
        });
        assert_eq!(stolen, (false, ErrorCondition::STOLEN));
        peer.send(detach().channel(1));
        peer.hang_up();
    };
    let (acceptor, played) = play(script).await;
    let server = accept(&acceptor).await;
    let sender = into_sender(next_link(&server).await);
    let mut ticket = Ticket::default();
    assert_eq!(news(&sender, &mut ticket).await.room, 3);
    let tags = ["a", "b"].map(|text| sender.try_submit_told(&Message::from(text), None).unwrap());
    let first = news(&sender, &mut ticket).await;
    assert_eq!((first.told.len(), first.told[0].tag, &first.told[0].result), (1, tags[0], &Ok(Outcome::Accepted)));
    assert_eq!((first.over, sender.is_suspended()), (Some(LinkError::DetachedByPeer), true));
    let link = next_link(&server).await;
    assert!(link.known().is_some() && !link.session().is_same(sender.session()));
    let again = into_sender(link);
    let mut ticket = Ticket::default();
    let told = loop {
        let news = news(&again, &mut ticket).await;
        if !news.told.is_empty() {
            break news.told;
        }
    };
    assert_eq!((told.len(), told[0].tag, &told[0].result), (1, tags[1], &Ok(Outcome::Accepted)));
    let link = next_link(&server).await;
    assert!(link.known().is_some() && link.has_unsettled_map());
    assert!(again.is_suspended());
    drop(link);
    soon(played).await.unwrap();
}

#[tokio::test]
async fn a_map_that_is_none_ends_the_link_and_nothing_else() {
    let script = |address| {
        let mut peer = Peer::connect(address);
        peer.send(lasting(attach_receiver("link"), true));
        attach(&mut peer);
        peer.send(flow().handle(0).delivery_count(0).link_credit(3));
        until(&mut peer, |performative| matches!(performative, Performative::Transfer(_)).then_some(()));
        drop(peer);
        let mut peer = Peer::connect(address);
        peer.send(with_map(lasting(attach_receiver("link"), true), [(Value::Null, Value::Null)]));
        attach(&mut peer);
        let error = until(&mut peer, |performative| match performative {
            Performative::Detach(detach) => Some(detach.error.unwrap().condition),
            _ => None,
        });
        assert_eq!(error, ErrorCondition::INVALID_FIELD);
        peer.send(detach());
        // It is still known.
        peer.send(with_map(lasting(attach_receiver("link"), true), [(tag(0), Value::Null)]));
        let map = attach(&mut peer).unsettled.unwrap();
        peer.send(flow().handle(0).delivery_count(1).link_credit(5));
        until(&mut peer, |performative| matches!(performative, Performative::Transfer(_)).then_some(()));
        peer.send(disposition(Role::Receiver, 0).state(DeliveryState::Released).settled(true));
        until(&mut peer, |performative| matches!(performative, Performative::Close(_)).then_some(()));
        map.0.len()
    };
    let (acceptor, played) = play(script).await;
    let server = accept(&acceptor).await;
    let sender = into_sender(next_link(&server).await);
    let mut ticket = Ticket::default();
    news(&sender, &mut ticket).await;
    let tag = sender.try_submit_told(&Message::from("a"), None).unwrap();
    soon(sender.closed()).await;
    let server = accept(&acceptor).await;
    let broken = into_sender(next_link(&server).await);
    soon(broken.closed()).await;
    let sender = into_sender(next_link(&server).await);
    let mut ticket = Ticket::default();
    let told = loop {
        let news = news(&sender, &mut ticket).await;
        if !news.told.is_empty() {
            break news.told;
        }
    };
    assert_eq!((told[0].tag, &told[0].result), (tag, &Ok(Outcome::Released)));
    server.abort(postroad_client::types::PeerError::default());
    assert_eq!(soon(played).await.unwrap(), 1);
}
