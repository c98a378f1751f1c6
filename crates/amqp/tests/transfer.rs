//! Messages in one frame and in many (part 2, 2.6.12 and 2.6.14).

mod common;

use std::collections::VecDeque;

use bytes::Bytes;
use common::{config, incoming, pattern, received, receiving_peer, send, sending, sending_pair, sending_peer, tag};
use postroad_amqp::v1_0::{Config, Delivery, Event, LinkTerms, Message, SendError};
use postroad_codec::v1_0::{ErrorCondition, Frame, MessageFormat, Performative, Role};
use postroad_testkit::{
    Pair, ScriptedPeer, Side, attach_receiver, attach_sender, begin, close, continuation, detach, end, flow, open,
    transfer,
};

#[test]
fn a_message_arrives_as_it_was_sent() {
    let (mut pair, ours, theirs) = sending_pair(10);
    let mut message = Message::new(b"payload", tag(7), 1);
    message.message_format = MessageFormat(0x100);
    pair.client.sender(ours).send(&message).unwrap();
    pair.run();
    assert_eq!(pair.events(Side::Server), [Event::Readable(theirs)]);
    let delivery = pair.server.receiver(theirs).take().unwrap();
    assert_eq!((&delivery.payload[..], delivery.tag, delivery.settled), (&b"payload"[..], tag(7), false));
    assert_eq!(delivery.message_format, MessageFormat(0x100));
    assert_eq!(pair.server.receiver(theirs).take(), None);
}

fn pair_with_frames(size: u32) -> Pair {
    let mut server = Config::new("server");
    server.max_frame_size = size;
    let mut client = Config::new("client");
    client.max_frame_size = size;
    Pair::new(client, server)
}

#[test]
fn messages_of_every_size_cross_frames_of_every_size() {
    let sizes = [0, 1, 2, 400, 470, 480, 490, 500, 511, 512, 513, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1 << 20];
    for frame in [512, 513, 600, 4096, 4200, 65_536, 1 << 20, u32::MAX] {
        let (mut pair, ours, theirs) = sending(pair_with_frames(frame), 1000);
        for (number, size) in sizes.into_iter().enumerate() {
            let payload = Bytes::from(pattern(size, number));
            for message in
                [Message::new(&payload, tag(number as u64), 0), Message::shared(&payload, tag(number as u64), 0)]
            {
                pair.client.sender(ours).send(&message).unwrap();
                pair.run();
                let deliveries = received(&mut pair.server, theirs);
                // In the largest frames one message is all that the window has room for.
                pair.run();
                let [delivery] = &deliveries[..] else { panic!("{} deliveries of one", deliveries.len()) };
                assert_eq!(delivery.payload.len(), size, "in frames of {frame}");
                assert!(delivery.payload == payload, "{size} bytes in frames of {frame}");
            }
        }
        assert_eq!(pair.client.error(), None);
        assert_eq!(pair.server.error(), None);
    }
}

#[test]
fn no_frame_is_larger_than_the_peer_takes() {
    for limit in [0, 512, 700, 5000] {
        let mut peer = ScriptedPeer::of_server(config());
        peer.send_header(postroad_codec::v1_0::ProtocolHeader::AMQP).send(open().max_frame_size(limit)).send(begin());
        let link = incoming_sender(&mut peer);
        peer.send(flow().handle(0).link_credit(100));
        peer.take_bytes();
        // What is said to be below the least counts as the least (2.7.1).
        let limit = limit.max(512) as usize;
        for size in [0, 1, 300, 470, 480, 490, 500, 5000, 20_000] {
            let payload = Bytes::from(pattern(size, 0));
            for message in [Message::new(&payload, tag(1), 0), Message::shared(&payload, tag(1), 0)] {
                let number = peer.engine.sender(link).send(&message).unwrap();
                let bytes = peer.take_bytes();
                let (mut at, mut seen) = (0, Vec::new());
                while at < bytes.len() {
                    let length = u32::from_be_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
                    assert!(length <= limit, "a frame of {length} where {limit} are the limit");
                    let frame = Frame::decode(&bytes.slice(at..at + length)).unwrap();
                    at += length;
                    let Frame::Amqp { performative: Performative::Transfer(transfer), payload, .. } = frame else {
                        panic!("{frame}");
                    };
                    assert_eq!(transfer.delivery_id, seen.is_empty().then_some(number));
                    // Every frame but the last is filled.
                    assert_eq!(transfer.more, at < bytes.len());
                    assert!(!transfer.more || length == limit);
                    seen.extend_from_slice(&payload);
                    if size == 0 {
                        break;
                    }
                }
                assert!(seen == payload);
            }
        }
    }
}

fn incoming_sender(peer: &mut ScriptedPeer) -> postroad_amqp::v1_0::LinkId {
    peer.events();
    incoming(peer, attach_receiver("a"), LinkTerms::default())
}

#[test]
fn our_own_frame_limit_holds() {
    let mut small = config();
    small.max_frame_size = 512;
    let (mut peer, link) = receiving_peer(small, 10);
    let room = 512 - transfer(0).to_bytes().len();
    peer.send(transfer(0).payload(vec![1; room]));
    assert_eq!(received(&mut peer.engine, link).len(), 1);
    peer.send(transfer(1).payload(vec![1; room + 1]));
    peer.expect(close().condition(ErrorCondition::FRAMING_ERROR)).expect_nothing();
}

#[test]
fn messages_of_several_links_interleave() {
    let mut pair = pair_with_frames(512);
    pair.to_server.chunks = postroad_testkit::Chunks::Random(postroad_testkit::Rng::new(5), 700);
    let (session, _) = pair.session();
    let links: Vec<_> = (0..5).map(|index| pair.link(session, &format!("l{index}"), Role::Sender)).collect();
    for (_, theirs) in &links {
        pair.server.receiver(*theirs).set_credit(100);
    }
    // A window of few frames makes them take turns.
    pair.run();
    let mut expected = vec![VecDeque::new(); links.len()];
    for round in 0..20 {
        for (index, (ours, _)) in links.iter().enumerate() {
            let payload = pattern(index * 3000 + round * 17, round);
            let sent = pair.client.sender(*ours).send(&Message::new(&payload, tag(round as u64), 0));
            assert!(sent.is_ok(), "{sent:?}");
            expected[index].push_back(payload);
        }
        pair.run();
    }
    for (index, (_, theirs)) in links.iter().enumerate() {
        for delivery in received(&mut pair.server, *theirs) {
            assert!(expected[index].pop_front().is_some_and(|payload| payload == delivery.payload));
            pair.server.receiver(*theirs).dispose(delivery.number, Some(accepted()), true);
        }
        assert!(expected[index].is_empty());
    }
    pair.run();
    assert_eq!(pair.client.sender(links[0].0).unsettled(), 0);
}

fn accepted() -> postroad_codec::v1_0::DeliveryState {
    postroad_codec::v1_0::DeliveryState::Accepted
}

#[test]
fn parts_of_several_links_may_alternate_frame_by_frame() {
    let (mut peer, first) = receiving_peer(config(), 10);
    let second = incoming(&mut peer, attach_sender("b").handle(1), LinkTerms::default());
    peer.engine.receiver(second).set_credit(10);
    peer.take_bytes();
    peer.send(transfer(0).more(true).payload("a1 "))
        .send(transfer(1).handle(1).more(true).payload("b1 "))
        .send(transfer(0).more(true).payload("a2 "))
        .send(transfer(1).handle(1).delivery_id(None).delivery_tag(None).payload("b2"))
        .send(transfer(2).handle(1).payload("c"))
        .send(transfer(0).delivery_tag(None).payload("a3"));
    assert_eq!(peer.result(), Ok(()));
    let text = |deliveries: Vec<Delivery>| -> Vec<_> {
        deliveries
            .iter()
            .map(|delivery| (delivery.number.0, String::from_utf8(delivery.payload.to_vec()).unwrap()))
            .collect()
    };
    let of_second = received(&mut peer.engine, second);
    let of_first = received(&mut peer.engine, first);
    // Numbers came out of order: each can be settled all the same.
    for (link, delivery) in [(second, 2), (first, 0), (second, 1)] {
        peer.engine.receiver(link).dispose(postroad_codec::v1_0::DeliveryNumber(delivery), Some(accepted()), true);
        peer.expect(postroad_testkit::accepted(delivery));
    }
    peer.expect_nothing();
    assert_eq!(text(of_first), [(0, "a1 a2 a3".to_owned())]);
    assert_eq!(text(of_second), [(1, "b1 b2".to_owned()), (2, "c".to_owned())]);
}

#[test]
fn an_aborted_delivery_is_as_if_it_had_not_been() {
    let (mut peer, link) = receiving_peer(config(), 3);
    peer.send(transfer(0).more(true).payload("a"))
        .send(transfer(0).aborted(true).more(true).payload("ignored"))
        .send(transfer(1).aborted(true).more(true).payload("ignored"))
        .send(transfer(2).payload("b"));
    // It had used credit, which the owner hears of.
    assert_eq!(peer.events(), [Event::Aborted(link), Event::Aborted(link), Event::Readable(link)]);
    let deliveries = received(&mut peer.engine, link);
    assert_eq!(deliveries.iter().map(|delivery| delivery.number.0).collect::<Vec<_>>(), [2]);
    assert_eq!(peer.engine.receiver(link).credit(), 0);
    assert!(peer.engine.release(link).unwrap().unsettled.iter().all(|unsettled| unsettled.delivery.0 == 2));
}

#[test]
fn the_last_word_on_settled_and_state_counts() {
    let (mut peer, link) = receiving_peer(config(), 3);
    peer.send(transfer(0).more(true).payload("a")).send(transfer(0).settled(true).payload("b"));
    peer.send(transfer(1).more(true).settled(true)).send(transfer(1).settled(None).state(accepted()));
    let deliveries = received(&mut peer.engine, link);
    assert_eq!(deliveries.iter().map(|delivery| delivery.settled).collect::<Vec<_>>(), [true, true]);
    assert_eq!(deliveries[1].state, Some(accepted()));
    assert!(peer.engine.release(link).unwrap().unsettled.is_empty());
}

#[test]
fn small_messages_do_not_pin_the_read_buffer_and_large_ones_are_not_copied() {
    let (mut peer, link) = receiving_peer(config(), 10);
    let frames = [transfer(0).payload("small").to_bytes(), transfer(1).payload(vec![7; 10_000]).to_bytes()].concat();
    let mut input = bytes::BytesMut::from(&frames[..]);
    let read = input.as_ptr_range();
    peer.engine.handle_input(peer.now, &mut input).unwrap();
    let deliveries = received(&mut peer.engine, link);
    let inside: Vec<_> = deliveries.iter().map(|delivery| read.contains(&delivery.payload.as_ptr())).collect();
    assert_eq!(inside, [false, true]);
}

#[test]
fn delivery_numbers_wrap_around() {
    let mut client = Config::new("client");
    (client.initial_delivery_id, client.initial_outgoing_id) =
        (postroad_codec::v1_0::DeliveryNumber(u32::MAX - 3), postroad_codec::v1_0::TransferNumber(u32::MAX - 3));
    client.incoming_window = 4;
    let mut server = Config::new("server");
    server.incoming_window = 4;
    let (mut pair, ours, theirs) = sending(Pair::new(client, server), 10);
    for number in 0..10 {
        send(&mut pair.client, ours, number).unwrap();
        pair.run();
    }
    let numbers: Vec<_> = received(&mut pair.server, theirs).into_iter().map(|delivery| delivery.number).collect();
    assert_eq!(numbers.iter().map(|number| number.0).collect::<Vec<_>>()[2..6], [u32::MAX - 1, u32::MAX, 0, 1]);
    for number in numbers {
        pair.server.receiver(theirs).dispose(number, Some(accepted()), true);
    }
    pair.run();
    let told: Vec<_> = common::updates(&mut pair, Side::Client).iter().map(|update| update.token).collect();
    assert_eq!(told, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_delivery_out_of_sequence_ends_the_session() {
    let (mut peer, _) = receiving_peer(config(), 10);
    peer.send(transfer(4)).send(transfer(6));
    peer.expect(end().condition(ErrorCondition::INVALID_FIELD)).expect_nothing();
}

#[test]
fn a_first_transfer_has_a_number_and_a_tag() {
    for broken in [transfer(0).delivery_tag(None), transfer(0).delivery_id(None)] {
        let (mut peer, link) = receiving_peer(config(), 10);
        peer.events();
        peer.send(broken);
        peer.expect(detach().closed(true).condition(ErrorCondition::INVALID_FIELD)).expect_nothing();
        assert!(
            matches!(&peer.events()[..], [Event::LinkDetached { link: found, closed: true, error: Some(_) }] if *found == link)
        );
    }
}

#[test]
fn a_delivery_within_a_delivery_closes_the_link_alone() {
    let (mut peer, _) = receiving_peer(config(), 10);
    let other = incoming(&mut peer, attach_sender("b").handle(1), LinkTerms::default());
    peer.engine.receiver(other).set_credit(10);
    peer.take_bytes();
    peer.send(transfer(0).more(true).payload("a")).send(transfer(1).payload("b"));
    peer.expect(detach().handle(0).closed(true).condition(ErrorCondition::NOT_ALLOWED)).expect_nothing();
    peer.send(transfer(2).handle(1).payload("c")).expect_nothing();
    assert_eq!(received(&mut peer.engine, other).len(), 1);
    peer.send(detach().closed(true)).expect_nothing();
}

#[test]
fn what_crosses_our_detach_is_dropped_with_all_its_parts() {
    let (mut peer, link) = receiving_peer(config(), 10);
    let other = incoming(&mut peer, attach_sender("b").handle(1), LinkTerms::default());
    peer.engine.receiver(other).set_credit(10);
    peer.take_bytes();
    peer.send(transfer(0).more(true).payload("a"));
    let state = peer.engine.release(link).unwrap();
    let arrived = state.unsettled[0].received.as_ref().map(|position| position.received().section_offset);
    assert_eq!((arrived, state.unsettled[0].message.as_deref()), (Some(1), Some(&b"a"[..])));
    peer.expect(detach().closed(true));
    // The peer has not seen the detach: parts may name their delivery, or not.
    peer.send(transfer(0).more(true).payload("b")).send(transfer(0).delivery_id(None).payload("c"));
    peer.send(transfer(1).payload("d")).send(transfer(2).more(true).payload("e"));
    peer.send(transfer(3).handle(1).payload("f")).send(transfer(2).delivery_id(2).payload("g"));
    peer.send(transfer(4).handle(1).payload("h")).send(detach().closed(true));
    assert_eq!(peer.result(), Ok(()));
    peer.expect_nothing();
    assert_eq!(received(&mut peer.engine, other).len(), 2);
    assert!(!peer.engine.has_link(link));
}

#[test]
fn a_message_beyond_the_size_limit_closes_the_link_alone() {
    let mut peer = ScriptedPeer::with_session(config());
    let terms = LinkTerms { max_message_size: 1000, ..LinkTerms::default() };
    let link = incoming(&mut peer, attach_sender("a"), terms);
    peer.engine.receiver(link).set_credit(10);
    peer.expect(attach_receiver("a").max_message_size(1000)).expect(flow());
    peer.send(transfer(0).more(true).payload(vec![0; 600])).send(transfer(0).payload(vec![0; 400])).expect_nothing();
    peer.send(transfer(1).more(true).payload(vec![0; 600])).expect_nothing();
    peer.send(transfer(1).more(true).payload(vec![0; 401]));
    peer.expect(detach().closed(true).condition(ErrorCondition::MESSAGE_SIZE_EXCEEDED));
    // The rest of it was under way.
    peer.send(transfer(1).more(true).payload(vec![0; 600])).send(transfer(1).payload(vec![0; 600])).expect_nothing();
    assert_eq!(peer.result(), Ok(()));
    assert_eq!(peer.engine.release(link).unwrap().unsettled.len(), 1, "but for the first");
}

#[test]
fn a_message_that_the_peer_does_not_take_stays_ours() {
    let mut peer = ScriptedPeer::with_session(config());
    let link = incoming(&mut peer, attach_receiver("a").max_message_size(5), LinkTerms::default());
    peer.send(flow().handle(0).link_credit(10)).take_bytes();
    let message = |text: &'static [u8]| Message::new(text, tag(0), 0);
    assert_eq!(peer.engine.sender(link).send(&message(b"123456")), Err(SendError::TooLarge(5)));
    peer.expect_nothing();
    assert_eq!(peer.engine.sender(link).credit(), 10);
    assert!(peer.engine.sender(link).send(&message(b"12345")).is_ok());
    // 0 means that there is no limit, whatever some say.
    let link = incoming(&mut peer, attach_receiver("b").handle(1).max_message_size(0), LinkTerms::default());
    peer.send(flow().handle(1).link_credit(10));
    assert!(peer.engine.sender(link).send(&message(b"123456")).is_ok());
}

#[test]
fn the_rest_of_a_message_does_not_follow_a_detach() {
    let mut peer = ScriptedPeer::of_server(config());
    peer.send_header(postroad_codec::v1_0::ProtocolHeader::AMQP)
        .send(open().max_frame_size(512))
        .send(begin().incoming_window(2));
    let link = incoming_sender(&mut peer);
    peer.send(flow().incoming_window(2).handle(0).link_credit(10)).take_bytes();
    let payload = pattern(5000, 1);
    peer.engine.sender(link).send(&Message::new(&payload, tag(1), 77)).unwrap();
    peer.expect(transfer(0).more(true)).expect(continuation().more(true)).expect_nothing();
    // Either end may be the one that detaches.
    peer.send(detach().closed(true)).expect(detach().closed(true));
    peer.send(flow().next_incoming_id(2).incoming_window(100)).expect_nothing();
    let state = peer.engine.release(link).unwrap();
    assert_eq!(state.unsettled.iter().map(|unsettled| unsettled.token).collect::<Vec<_>>(), [77]);

    let link = incoming_sender(&mut peer);
    peer.send(flow().next_incoming_id(2).incoming_window(1).handle(0).link_credit(10)).take_bytes();
    peer.engine.sender(link).send(&Message::new(&payload, tag(2), 78)).unwrap();
    peer.expect(transfer(1).more(true)).expect_nothing();
    peer.engine.detach(link, true, None);
    peer.expect(detach().closed(true));
    peer.send(flow().next_incoming_id(3).incoming_window(100)).expect_nothing();
    peer.send(detach().closed(true)).expect_nothing();
    assert_eq!(peer.engine.release(link).unwrap().unsettled.len(), 1);
}

#[test]
fn kept_messages_come_back_whole() {
    let (mut peer, link) = common::sending_peer_with(config(), 10, LinkTerms { keep: true, ..LinkTerms::default() });
    let large = Bytes::from(pattern(10_000, 3));
    peer.engine.sender(link).send(&Message::new(b"small", tag(1), 1)).unwrap();
    peer.engine.sender(link).send(&Message::shared(&large, tag(2), 2)).unwrap();
    peer.engine.sender(link).send(&Message::new(&large, tag(3), 3)).unwrap();
    let mut settled = Message::new(b"settled", tag(4), 4);
    settled.settled = true;
    peer.engine.sender(link).send(&settled).unwrap();
    peer.engine.handle_eof();
    let state = peer.engine.release(link).unwrap();
    assert_eq!(state.delivery_count.0, 4);
    let kept: Vec<_> = state.unsettled.iter().map(|kept| (kept.token, kept.tag, kept.message.clone())).collect();
    let small = Some(Bytes::from_static(b"small"));
    assert_eq!(kept, [(1, tag(1), small), (2, tag(2), Some(large.clone())), (3, tag(3), Some(large))]);
}

#[test]
fn a_transfer_to_the_sending_end_closes_the_link_alone() {
    let (mut peer, _) = sending_peer(config(), 5);
    peer.send(transfer(0).payload("x"));
    peer.expect(detach().closed(true).condition(ErrorCondition::NOT_ALLOWED)).expect_nothing();
    assert_eq!(peer.result(), Ok(()));
}
