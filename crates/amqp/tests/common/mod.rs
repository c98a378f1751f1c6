//! What the conversations share.

#![allow(dead_code, reason = "each test program uses a part of it")]

use postroad_amqp::v1_0::{
    Config, Connection, Delivery, Event, LinkId, LinkState, LinkTerms, Message, SendError, SessionId, Update,
};
use postroad_codec::v1_0::{AttachTarget, DeliveryNumber, DeliveryTag, Role, Source, Target};
use postroad_testkit::{Pair, ScriptedPeer, Side, attach_receiver, attach_sender, begin, flow, open};

pub(crate) fn config() -> Config {
    Config::new("engine")
}

pub(crate) fn pair() -> Pair {
    Pair::new(Config::new("client"), Config::new("server"))
}

/// A pair with a link on which the client sends, and the credit it has for that.
pub(crate) fn sending_pair(credit: u32) -> (Pair, LinkId, LinkId) {
    sending(pair(), credit)
}

pub(crate) fn sending(mut pair: Pair, credit: u32) -> (Pair, LinkId, LinkId) {
    let (session, _) = pair.session();
    let (ours, theirs) = pair.link(session, "a", Role::Sender);
    pair.server.receiver(theirs).set_credit(credit);
    pair.run();
    pair.events(Side::Client);
    (pair, ours, theirs)
}

/// The peer of a serving engine, with a link on handle 0 on which the engine receives.
pub(crate) fn receiving_peer(config: Config, credit: u32) -> (ScriptedPeer, LinkId) {
    let mut peer = ScriptedPeer::with_session(config);
    let link = incoming(&mut peer, attach_sender("a"), LinkTerms::default());
    peer.expect(attach_receiver("a").handle(0));
    if credit > 0 {
        peer.engine.receiver(link).set_credit(credit);
        peer.expect(flow().handle(0).link_credit(credit));
    }
    (peer, link)
}

/// The peer of a serving engine, with a link on handle 0 on which the engine sends.
pub(crate) fn sending_peer(config: Config, credit: u32) -> (ScriptedPeer, LinkId) {
    sending_peer_with(config, credit, LinkTerms::default())
}

pub(crate) fn sending_peer_with(config: Config, credit: u32, terms: LinkTerms) -> (ScriptedPeer, LinkId) {
    let mut peer = ScriptedPeer::with_session(config);
    let link = incoming(&mut peer, attach_receiver("a"), terms);
    peer.expect(attach_sender("a").handle(0));
    if credit > 0 {
        peer.send(flow().handle(0).link_credit(credit));
        peer.events();
    }
    (peer, link)
}

/// Attaches a link from the peer, and accepts it.
pub(crate) fn incoming(
    peer: &mut ScriptedPeer,
    attach: postroad_testkit::Builder<postroad_codec::v1_0::Attach>,
    terms: LinkTerms,
) -> LinkId {
    peer.send(attach);
    let link = peer.events().into_iter().find_map(|event| match event {
        Event::LinkIncoming(link) => Some(link),
        _ => None,
    });
    let link = link.expect("a link came");
    peer.engine.accept(link, terms).expect("it can be accepted");
    link
}

/// A tag for a number.
pub(crate) fn tag(number: u64) -> DeliveryTag {
    DeliveryTag::from(number)
}

/// Hands a small message over, with its number as token and tag.
pub(crate) fn send(engine: &mut Connection, link: LinkId, number: u64) -> Result<DeliveryNumber, SendError> {
    engine.sender(link).send(&Message::new(format!("message {number}").as_bytes(), tag(number), number))
}

/// Takes what has come on a link.
pub(crate) fn received(engine: &mut Connection, link: LinkId) -> Vec<Delivery> {
    std::iter::from_fn(|| engine.receiver(link).take()).collect()
}

/// The news of deliveries among the events of a side.
pub(crate) fn updates(pair: &mut Pair, side: Side) -> Vec<Update> {
    let updates = pair.events(side).into_iter().filter_map(|event| match event {
        Event::Update(update) => Some(update),
        _ => None,
    });
    updates.collect()
}

/// A payload whose every part can be told from the others.
pub(crate) fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|index| ((index + seed).wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

/// Terms of a link that can be resumed.
pub(crate) fn resumable() -> LinkTerms {
    LinkTerms {
        keep: true,
        source: Some(Source::default()),
        target: Some(AttachTarget::Target(Target::default())),
        ..LinkTerms::default()
    }
}

/// A link on a new connection that both ends resume, the client's first.
pub(crate) fn resumed(client: &mut LinkState, server: &mut LinkState) -> (Pair, LinkId, LinkId) {
    resumed_on(pair(), client, server)
}

/// As [`resumed`], on this connection.
pub(crate) fn resumed_on(mut pair: Pair, client: &mut LinkState, server: &mut LinkState) -> (Pair, LinkId, LinkId) {
    let (session, _) = pair.session();
    let ours = pair.client.resume(session, client, resumable()).unwrap();
    pair.run();
    let theirs = pair.events(Side::Server).into_iter().find_map(|event| match event {
        Event::LinkIncoming(link) => Some(link),
        _ => None,
    });
    let theirs = theirs.expect("a link came");
    pair.server.accept_resumed(theirs, server, resumable()).unwrap();
    (pair, ours, theirs)
}

/// States of both ends of a link on which so many messages were sent, and none settled.
pub(crate) fn states(count: u64) -> (LinkState, LinkState) {
    let mut pair = pair();
    let (session, _) = pair.session();
    let (ours, theirs) = pair.link_with(session, "a", Role::Sender, resumable(), resumable());
    pair.server.receiver(theirs).set_credit(100);
    pair.run();
    for number in 0..count {
        send(&mut pair.client, ours, number).unwrap();
    }
    pair.run();
    assert_eq!(received(&mut pair.server, theirs).len() as u64, count);
    (pair.client.release(ours).unwrap(), pair.server.release(theirs).unwrap())
}

/// A peer that serves, and a session that it has answered.
pub(crate) fn serving_peer() -> (ScriptedPeer, SessionId) {
    let mut peer = ScriptedPeer::of_client(Config::new("engine"));
    peer.send_header(postroad_codec::v1_0::ProtocolHeader::AMQP).send(open()).take_bytes();
    let session = peer.engine.begin().unwrap();
    peer.expect(begin()).send(begin().remote_channel(0));
    peer.events();
    (peer, session)
}
