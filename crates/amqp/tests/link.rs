//! Links come and go (part 2, 2.6.1 to 2.6.6).

mod common;

use common::{config, incoming, pair, received, send};
use postroad_amqp::v1_0::{Event, LimitError, LinkTerms};
use postroad_codec::v1_0::{Address, ErrorCondition, ProtocolHeader, Role, Source, Target};
use postroad_testkit::{
    ScriptedPeer, Side, attach_receiver, attach_sender, begin, close, detach, end, error, flow, open,
};

#[test]
fn attach_tells_the_terms() {
    let mut peer = ScriptedPeer::of_client(config());
    let session = peer.engine.begin().unwrap();
    let target = Target { address: Some(Address::from("q")), ..Target::default() };
    let terms =
        LinkTerms { source: Some(Source::default()), target: Some(target.clone().into()), ..LinkTerms::default() };
    peer.engine.attach(session, "a", Role::Sender, terms.clone()).unwrap();
    peer.engine.attach(session, "b", Role::Receiver, terms).unwrap();
    peer.expect_header(ProtocolHeader::AMQP).expect(open()).expect(begin());
    // 2.7.3: the sender tells the count, the receiver its limit.
    peer.expect(attach_sender("a").handle(0).target(target.clone()).initial_delivery_count(0).max_message_size(None));
    peer.expect(attach_receiver("b").handle(1).target(target).initial_delivery_count(None).max_message_size(100 << 20));
}

#[test]
fn close_and_detach_are_answered_in_kind() {
    for closed in [true, false] {
        for reason in [None, Some(error("test:why"))] {
            for by_client in [true, false] {
                let (mut pair, ours, theirs) = common::sending_pair(1);
                pair.events(Side::Server);
                let (side, link, other, other_link) = if by_client {
                    pair.client.detach(ours, closed, reason.clone());
                    (Side::Client, ours, Side::Server, theirs)
                } else {
                    pair.server.detach(theirs, closed, reason.clone());
                    (Side::Server, theirs, Side::Client, ours)
                };
                pair.run();
                assert_eq!(pair.events(side), [Event::LinkDetached { link, closed, error: None }]);
                let error = reason.clone().map(Box::new);
                assert_eq!(pair.events(other), [Event::LinkDetached { link: other_link, closed, error }]);
                assert!(pair.client.release(ours).is_some() && pair.server.release(theirs).is_some());
                assert!(!pair.client.has_link(ours) && !pair.server.has_link(theirs));
                // Name and handle are free again.
                let session = pair.client.begin().unwrap();
                pair.run();
                pair.events(Side::Client);
                pair.events(Side::Server);
                pair.link(session, "a", Role::Sender);
            }
        }
    }
}

#[test]
fn a_refused_link_is_attached_and_detached() {
    let mut peer = ScriptedPeer::with_session(config());
    peer.send(attach_receiver("a"));
    let Event::LinkIncoming(link) = peer.event() else { panic!("no link") };
    peer.engine.refuse(link, error("test:no"));
    peer.expect(attach_sender("a").source(None).target(None)).expect(detach().closed(true).error(error("test:no")));
    peer.expect_nothing().send(detach().closed(true)).expect_nothing();
    assert_eq!(peer.events(), [Event::LinkDetached { link, closed: true, error: None }]);

    let mut pair = pair();
    let (session, _) = pair.session();
    let ours = pair.client.attach(session, "a", Role::Sender, LinkTerms::default()).unwrap();
    pair.run();
    let Some(Event::LinkIncoming(theirs)) = pair.events(Side::Server).pop() else { panic!("no link") };
    pair.server.refuse(theirs, error("test:no"));
    pair.run();
    let no = Event::LinkDetached { link: ours, closed: true, error: Some(Box::new(error("test:no"))) };
    assert_eq!(pair.events(Side::Client), [Event::LinkAttached(ours), no]);
}

#[test]
fn a_link_that_nobody_accepts_is_answered_when_it_is_given_up() {
    for detached in [true, false] {
        let mut peer = ScriptedPeer::with_session(config());
        peer.send(attach_receiver("a"));
        let Event::LinkIncoming(link) = peer.event() else { panic!("no link") };
        if detached {
            peer.engine.detach(link, true, Some(error("test:no")));
        } else {
            peer.engine.release(link);
        }
        peer.expect(attach_sender("a")).expect(detach().closed(true)).expect_nothing();
        peer.send(detach().closed(true)).send(attach_receiver("a")).expect_nothing();
        assert!(peer.events().iter().any(|event| matches!(event, Event::LinkIncoming(again) if *again != link)));
    }
    // Or when the peer loses patience.
    let mut peer = ScriptedPeer::with_session(config());
    peer.send(attach_receiver("a")).send(detach().closed(true));
    peer.expect(attach_sender("a")).expect(detach().closed(true)).expect_nothing();
    let Event::LinkIncoming(link) = peer.event() else { panic!("no link") };
    assert_eq!(peer.engine.accept(link, LinkTerms::default()), Err(LimitError::Ended));
    peer.engine.refuse(link, error("test:no"));
    peer.expect_nothing();
}

#[test]
fn a_link_may_go_before_it_has_come() {
    let mut peer = ScriptedPeer::of_client(config());
    peer.send_header(ProtocolHeader::AMQP).send(open());
    let session = peer.engine.begin().unwrap();
    peer.send(begin().remote_channel(0)).take_bytes();
    let link = peer.engine.attach(session, "a", Role::Sender, LinkTerms::default()).unwrap();
    peer.engine.release(link);
    peer.expect(attach_sender("a")).expect(detach().closed(true));
    peer.events();
    // Its name is in use until the peer has answered.
    assert_eq!(peer.engine.attach(session, "a", Role::Sender, LinkTerms::default()), Err(LimitError::NameInUse));
    peer.send(attach_receiver("a")).send(flow().handle(0).link_credit(5)).send(detach().closed(true)).expect_nothing();
    assert_eq!(peer.events(), []);
    peer.engine.attach(session, "a", Role::Sender, LinkTerms::default()).unwrap();
    peer.expect(attach_sender("a").handle(0));
}

#[test]
fn detaches_may_cross() {
    let (mut pair, ours, theirs) = common::sending_pair(1);
    pair.events(Side::Server);
    pair.client.detach(ours, true, None);
    pair.server.detach(theirs, false, None);
    pair.run();
    assert_eq!(pair.events(Side::Client), [Event::LinkDetached { link: ours, closed: false, error: None }]);
    assert_eq!(pair.events(Side::Server), [Event::LinkDetached { link: theirs, closed: true, error: None }]);
}

#[test]
fn a_peer_that_never_answers_a_detach_holds_nothing_up() {
    let (mut peer, link) = common::sending_peer(config(), 5);
    send(&mut peer.engine, link, 0).unwrap();
    peer.engine.detach(link, true, None);
    assert_eq!(peer.engine.release(link).unwrap().unsettled.len(), 1);
    assert!(!peer.engine.has_link(link));
    peer.send(flow().handle(0).link_credit(9).echo(true)).send(postroad_testkit::accepted(0));
    assert_eq!(peer.events(), []);
    peer.take_bytes();
    peer.expect_nothing();
    assert_eq!(peer.engine.release(link), None);
}

#[test]
fn whoever_attaches_a_name_again_takes_the_link_over() {
    let mut peer = ScriptedPeer::with_session(config());
    let first = incoming(&mut peer, attach_receiver("a"), LinkTerms::default());
    peer.expect(attach_sender("a").handle(0));
    peer.send(attach_receiver("a").handle(1));
    let events = peer.events();
    let [Event::LinkIncoming(second), Event::LinkDetached { link, closed: false, error: Some(reason) }] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((*link, &reason.condition), (first, &ErrorCondition::STOLEN));
    peer.engine.accept(*second, LinkTerms::default()).unwrap();
    peer.expect(detach().handle(0).closed(false).condition(ErrorCondition::STOLEN))
        .expect(attach_sender("a").handle(1));
    peer.send(detach().handle(0)).expect_nothing();
    assert_eq!(peer.events(), []);
    // On another session it is the same name, and a link that waits for its owner can be taken over too.
    peer.send(begin().channel(1)).send(attach_receiver("a").channel(1)).send(attach_receiver("a").channel(1).handle(1));
    peer.expect(begin().channel(1)).expect(detach().handle(1).condition(ErrorCondition::STOLEN));
    peer.expect(attach_sender("a").channel(1))
        .expect(detach().channel(1).condition(ErrorCondition::STOLEN))
        .expect_nothing();
    assert_eq!(peer.result(), Ok(()));
}

#[test]
fn one_name_may_name_a_sender_and_a_receiver() {
    let mut peer = ScriptedPeer::with_session(config());
    incoming(&mut peer, attach_receiver("a"), LinkTerms::default());
    incoming(&mut peer, attach_sender("a").handle(1), LinkTerms::default());
    peer.expect(attach_sender("a").handle(0)).expect(attach_receiver("a").handle(1)).expect_nothing();

    let mut pair = pair();
    let (session, _) = pair.session();
    let (sender, _) = pair.link(session, "a", Role::Sender);
    let (receiver, _) = pair.link(session, "a", Role::Receiver);
    assert_ne!(sender, receiver);
    let again = pair.client.attach(session, "a", Role::Sender, LinkTerms::default());
    assert_eq!(again, Err(LimitError::NameInUse));
}

#[test]
fn two_ends_may_attach_one_name_at_once() {
    // Both ask before either has heard of the other: one link comes of it.
    let mut pair = pair();
    let (session, their_session) = pair.session();
    let ours = pair.client.attach(session, "a", Role::Sender, LinkTerms::default()).unwrap();
    let theirs = pair.server.attach(their_session, "a", Role::Receiver, LinkTerms::default()).unwrap();
    pair.run();
    assert_eq!(pair.events(Side::Client), [Event::LinkAttached(ours)]);
    assert_eq!(pair.events(Side::Server), [Event::LinkAttached(theirs)]);
    pair.server.receiver(theirs).set_credit(1);
    pair.run();
    send(&mut pair.client, ours, 0).unwrap();
    pair.run();
    assert_eq!(received(&mut pair.server, theirs).len(), 1);
}

#[test]
fn a_thousand_links_share_a_session() {
    let mut pair = pair();
    let (session, _) = pair.session();
    let start = std::time::Instant::now();
    let mut ours = Vec::new();
    for index in 0..1000 {
        ours.push(pair.client.attach(session, format!("link {index}"), Role::Sender, LinkTerms::default()).unwrap());
    }
    pair.run();
    let incoming: Vec<_> = pair
        .events(Side::Server)
        .into_iter()
        .filter_map(|event| match event {
            Event::LinkIncoming(link) => Some(link),
            _ => None,
        })
        .collect();
    assert_eq!(incoming.len(), 1000);
    for link in &incoming {
        pair.server.accept(*link, LinkTerms::default()).unwrap();
        pair.server.receiver(*link).set_credit(2);
    }
    pair.run();
    for (index, link) in ours.iter().enumerate() {
        send(&mut pair.client, *link, index as u64).unwrap();
        if index % 100 == 0 {
            pair.run();
        }
    }
    pair.run();
    for (index, link) in incoming.iter().enumerate() {
        assert_eq!(received(&mut pair.server, *link)[0].payload, format!("message {index}"));
    }
    for link in ours {
        assert_eq!(pair.client.release(link).unwrap().unsettled.len(), 1);
    }
    pair.run();
    for link in incoming {
        pair.server.release(link);
    }
    pair.run();
    assert!(pair.events(Side::Server).iter().all(|event| !matches!(event, Event::LinkDetached { .. })));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    pair.link(session, "link 7", Role::Sender);
}

#[test]
fn there_are_only_so_many_handles() {
    let mut peer = ScriptedPeer::of_client(config());
    let session = peer.engine.begin().unwrap();
    peer.send_header(ProtocolHeader::AMQP).send(open()).send(begin().remote_channel(0).handle_max(1));
    let attach = |peer: &mut ScriptedPeer, name: &str| {
        peer.engine.attach(session, name.to_owned(), Role::Sender, LinkTerms::default())
    };
    assert!(attach(&mut peer, "a").is_ok() && attach(&mut peer, "b").is_ok());
    assert_eq!(attach(&mut peer, "c"), Err(LimitError::NoneFree));
    // The name of a link that did not come about is free.
    assert_eq!(attach(&mut peer, "c"), Err(LimitError::NoneFree));
}

#[test]
fn an_attach_that_cannot_be_answered_ends_the_session() {
    // The peer takes one handle from us, and attaches two links.
    for given_up in 0..3 {
        let mut peer = ScriptedPeer::of_server(config());
        peer.send_header(ProtocolHeader::AMQP).send(open()).send(begin().handle_max(0));
        incoming(&mut peer, attach_receiver("a"), LinkTerms::default());
        peer.take_bytes();
        peer.send(attach_receiver("b").handle(1));
        let Event::LinkIncoming(second) = peer.event() else { panic!("no link") };
        match given_up {
            0 => assert_eq!(peer.engine.accept(second, LinkTerms::default()), Err(LimitError::NoneFree)),
            1 => peer.engine.refuse(second, error("test:no")),
            _ => drop(peer.send(detach().handle(1))),
        }
        peer.expect(end().condition(ErrorCondition::RESOURCE_LIMIT_EXCEEDED)).expect_nothing();
        let events = peer.events();
        assert!(matches!(&events[..], [Event::SessionEnded { error: Some(_), .. }]), "{events:?}");
        assert_eq!(peer.result(), Ok(()));
        peer.engine.release(second);
    }
}

#[test]
fn a_handle_above_the_limit_closes_the_connection() {
    let mut small = config();
    small.handle_max = 3;
    let mut peer = ScriptedPeer::with_session(small);
    peer.send(attach_receiver("a").handle(3)).expect_nothing();
    peer.send(attach_receiver("b").handle(4)).expect(close().condition(ErrorCondition::FRAMING_ERROR)).expect_nothing();
}

#[test]
fn a_handle_in_use_ends_the_session() {
    let mut peer = ScriptedPeer::with_session(config());
    peer.send(attach_receiver("a")).send(attach_receiver("b"));
    peer.expect(end().condition(ErrorCondition::HANDLE_IN_USE)).expect_nothing();
    assert_eq!(peer.result(), Ok(()));
    // The connection lives.
    peer.send(end()).send(begin().channel(4)).expect(begin().remote_channel(4));
}

#[test]
fn a_handle_that_is_not_attached_ends_the_session() {
    type Step = fn(&mut ScriptedPeer) -> &mut ScriptedPeer;
    let steps: [Step; 3] = [
        |peer| peer.send(flow().handle(5)),
        |peer| peer.send(detach().handle(5)),
        |peer| peer.send(postroad_testkit::transfer(0).handle(5)),
    ];
    for step in steps {
        let mut peer = ScriptedPeer::with_session(config());
        step(&mut peer).expect(end().condition(ErrorCondition::UNATTACHED_HANDLE)).expect_nothing();
        assert_eq!(peer.result(), Ok(()));
    }
}

#[test]
fn an_attach_that_the_peer_cannot_take_is_not_sent() {
    let mut peer = ScriptedPeer::of_server(config());
    peer.send_header(ProtocolHeader::AMQP).send(open().max_frame_size(512)).send(begin()).send(attach_receiver("a"));
    let link = peer.events().into_iter().find_map(|event| match event {
        Event::LinkIncoming(link) => Some(link),
        _ => None,
    });
    let link = link.expect("a link came");
    peer.take_bytes();
    let long = Source { address: Some(Address::from("x".repeat(600))), ..Source::default() };
    let terms = LinkTerms { source: Some(long), ..LinkTerms::default() };
    let session = peer.engine.session_of(link).unwrap();
    assert_eq!(peer.engine.attach(session, "b", Role::Sender, terms.clone()), Err(LimitError::FrameSize));
    assert_eq!(peer.engine.accept(link, terms), Err(LimitError::FrameSize));
    peer.expect_nothing();
    // Neither handle nor name is lost.
    peer.engine.attach(session, "b", Role::Sender, LinkTerms::default()).unwrap();
    peer.engine.refuse(link, error("test:too-long"));
    peer.expect(attach_sender("b").handle(0)).expect(attach_sender("a").handle(1)).expect(detach().handle(1));
}

#[test]
fn a_name_that_we_have_asked_for_elsewhere_is_taken_over_all_the_same() {
    let mut peer = ScriptedPeer::with_session(config());
    peer.send(begin().channel(1)).expect(begin().channel(1).remote_channel(1));
    let Event::SessionIncoming(second) = peer.event() else { panic!("no session") };
    let ours = peer.engine.attach(second, "a", Role::Sender, LinkTerms::default()).unwrap();
    peer.expect(attach_sender("a").channel(1));
    // Not the answer, which would be on channel 1: links of the peer's own, of which the later wins.
    let first = incoming(&mut peer, attach_receiver("a"), LinkTerms::default());
    let later = incoming(&mut peer, attach_receiver("a").handle(1), LinkTerms::default());
    peer.expect(attach_sender("a").handle(0)).expect(detach().handle(0).condition(ErrorCondition::STOLEN));
    peer.expect(attach_sender("a").handle(1)).expect_nothing();
    assert_ne!(first, later);
    peer.send(attach_receiver("a").channel(1));
    assert!(peer.events().contains(&Event::LinkAttached(ours)));
}
