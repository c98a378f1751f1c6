//! What a peer can make us hold.

mod common;

use common::{config, incoming, receiving_peer, tag};
use postroad_amqp::v1_0::{ConnectionError, Event, LinkTerms, Message};
use postroad_codec::v1_0::ErrorCondition;
use postroad_testkit::{
    ScriptedPeer, attach_receiver, attach_sender, begin, close, continuation, detach, end, flow, transfer,
};

/// Feeds frames for ever to an engine whose answers nobody reads.
fn cut_off(mut frames: impl FnMut(u32) -> Vec<u8>) {
    let (mut peer, _) = receiving_peer(config(), 10);
    for round in 0..2_000_000 {
        peer.send_bytes(&frames(round));
        while let Some(event) = peer.engine.poll_event() {
            if let Event::LinkDetached { link, .. } = event {
                peer.engine.release(link);
            }
        }
        assert!(peer.engine.output_len() < 5 << 20, "{} bytes wait", peer.engine.output_len());
        if let Err(error) = peer.result() {
            assert!(
                matches!(&error, ConnectionError::Violation(error)
                if error.condition == ErrorCondition::RESOURCE_LIMIT_EXCEEDED),
                "{error}"
            );
            return;
        }
    }
    panic!("it goes on and on");
}

#[test]
fn a_peer_that_attaches_for_ever_is_cut_off() {
    let frames = [attach_receiver("x").handle(1).to_bytes(), detach().handle(1).closed(true).to_bytes()].concat();
    cut_off(|_| frames.clone());
}

#[test]
fn a_peer_that_begins_for_ever_is_cut_off() {
    let frames = [begin().channel(1).to_bytes(), end().channel(1).to_bytes()].concat();
    cut_off(|_| frames.clone());
}

#[test]
fn a_peer_that_asks_in_one_go_is_cut_off() {
    let frames = [begin().channel(1).to_bytes(), end().channel(1).to_bytes()].concat().repeat(1000);
    cut_off(|_| frames.clone());
}

#[test]
fn echoes_are_answered_once_however_many_are_asked_for() {
    let (mut peer, _) = receiving_peer(config(), 10);
    let frames = [flow().echo(true).to_bytes(), flow().handle(0).echo(true).to_bytes()].concat();
    for _ in 0..100_000 {
        peer.send_bytes(&frames);
    }
    assert_eq!(peer.result(), Ok(()));
    peer.expect(flow().handle(0)).expect_nothing();
}

#[test]
fn echoes_that_are_read_are_answered_each_time() {
    let (mut peer, _) = receiving_peer(config(), 10);
    let frame = flow().handle(0).echo(true).to_bytes();
    for _ in 0..1000 {
        peer.send_bytes(&frame);
        peer.expect(flow().handle(0)).expect_nothing();
    }
}

#[test]
fn parts_without_end_stop_at_the_size_limit() {
    let mut peer = ScriptedPeer::with_session(config());
    let terms = LinkTerms { max_message_size: 1 << 20, ..LinkTerms::default() };
    let link = incoming(&mut peer, attach_sender("a"), terms);
    peer.engine.receiver(link).set_credit(10);
    peer.take_bytes();
    peer.send(transfer(0).more(true));
    let part = continuation().more(true).payload(vec![0; 60_000]).to_bytes();
    let mut parts = 0;
    let reason = loop {
        peer.send_bytes(&part);
        parts += 1;
        match peer.events().pop() {
            Some(Event::LinkDetached { error: Some(error), .. }) => break error.condition,
            _ => assert!(parts < 100),
        }
    };
    assert_eq!((parts, reason), ((1 << 20) / 60_000 + 1, ErrorCondition::MESSAGE_SIZE_EXCEEDED));
    let state = peer.engine.release(link).unwrap();
    assert_eq!(state.unsettled, [], "the parts are gone");
}

#[test]
fn messages_begun_on_many_links_are_bounded_together() {
    let mut small = config();
    small.partial_bytes = 100_000;
    let mut peer = ScriptedPeer::with_session(small);
    let links: Vec<_> = (0..3)
        .map(|handle| {
            let link = incoming(
                &mut peer,
                attach_sender(["a", "b", "c"][handle as usize]).handle(handle),
                LinkTerms::default(),
            );
            peer.engine.receiver(link).set_credit(1);
            link
        })
        .collect();
    peer.take_bytes();
    let part = || vec![0; 40_000];
    peer.send(transfer(0).handle(0).more(true).payload(part()));
    peer.send(transfer(1).handle(1).more(true).payload(part()));
    peer.expect_nothing();
    // The third message would be too much: its link goes, the others do not notice.
    peer.send(transfer(2).handle(2).more(true).payload(part()));
    peer.expect(detach().handle(2).closed(true).condition(ErrorCondition::RESOURCE_LIMIT_EXCEEDED));
    peer.send(continuation().handle(1).payload(part())).expect_nothing();
    assert_eq!(peer.engine.receiver(links[1]).take().unwrap().payload.len(), 80_000);
    // One alone may be as large as its link allows.
    for _ in 0..5 {
        peer.send(continuation().handle(0).more(true).payload(part()));
    }
    peer.send(continuation().handle(0)).expect_nothing();
    assert_eq!(peer.engine.receiver(links[0]).take().unwrap().payload.len(), 240_000);
    // Nothing is left in the count.
    peer.engine.release(links[2]);
    peer.engine.receiver(links[0]).set_credit(1);
    peer.take_bytes();
    peer.send(transfer(3).handle(0).more(true).payload(vec![0; 60_000])).expect_nothing();
    peer.send(continuation().handle(0).aborted(true)).expect_nothing();
    assert_eq!(peer.result(), Ok(()));
}

#[test]
fn parts_without_content_stop_nobody() {
    // They cost the peer its window and us a flow, nothing that stays.
    let (mut peer, _) = receiving_peer(config(), 1);
    peer.send(transfer(0).more(true));
    let part = continuation().more(true).to_bytes();
    for _ in 0..10_000 {
        peer.send_bytes(&part);
        peer.take_bytes();
    }
    assert_eq!(peer.result(), Ok(()));
}

#[test]
fn a_link_on_the_largest_handle_is_no_burden() {
    let mut large = config();
    large.handle_max = u32::MAX;
    let mut peer = ScriptedPeer::with_session(large);
    peer.send(attach_receiver("a").handle(65_535)).expect_nothing();
    peer.send(attach_receiver("b").handle(u32::MAX)).expect(close().condition(ErrorCondition::FRAMING_ERROR));
}

#[test]
fn numbers_left_out_cost_little() {
    // 255 of 256 deliveries are settled: what is kept of the others must not be as long as all of them.
    let (mut peer, link) = receiving_peer(config(), u32::MAX);
    for delivery in 0..200_000 {
        peer.send(transfer(delivery).settled(delivery % 256 != 0));
        peer.engine.receiver(link).take().unwrap();
        if delivery % 128 == 0 {
            peer.take_bytes();
        }
    }
    assert_eq!(peer.result(), Ok(()));
    let state = peer.engine.release(link).unwrap();
    assert_eq!(state.unsettled.len(), 200_000 / 256 + 1);
    assert!(state.unsettled.iter().enumerate().all(|(index, kept)| kept.delivery.0 as usize == index * 256));
}

#[test]
fn what_waits_for_the_socket_is_bounded() {
    let mut small = config();
    small.outgoing_bytes = 64 * 1024;
    let (mut peer, link) = common::sending_peer(small, 1_000_000);
    let payload = [0; 1000];
    for number in 0..1_000_000u64 {
        if peer.engine.sender(link).send(&Message::new(&payload, tag(number), number)).is_err() {
            break;
        }
    }
    assert!(peer.engine.output_len() < 66 * 1024);
}

#[test]
fn a_link_that_is_released_opens_the_window_that_it_shut() {
    let mut small = config();
    small.max_frame_size = 1000;
    small.incoming_bytes = 4000;
    let (mut peer, first) = receiving_peer(small, 100);
    let second = incoming(&mut peer, attach_sender("b").handle(1), LinkTerms::default());
    peer.engine.receiver(second).set_credit(100);
    peer.take_bytes();
    // Large messages that nobody takes, up to the end of the window.
    for delivery in 0..4 {
        peer.send(transfer(delivery).handle(0).payload(vec![0; 900]));
        peer.take_bytes();
    }
    peer.engine.release(first);
    peer.expect(detach().handle(0).closed(true));
    peer.expect(flow().incoming_window(4)).expect_nothing();
}
