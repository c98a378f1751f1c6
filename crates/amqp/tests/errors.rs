//! Bytes that no good peer sends.

mod common;

use common::{config, incoming, receiving_peer};
use postroad_amqp::v1_0::{Config, Connection, ConnectionError, Event, LinkTerms};
use postroad_codec::v1_0::{DeliveryState, ErrorCondition, FrameError, ProtocolHeader, Role};
use postroad_testkit::{
    ScriptedPeer, accepted, attach_receiver, attach_sender, begin, close, continuation, detach, disposition, end, flow,
    open, transfer,
};

#[test]
fn an_oversize_frame_is_refused_from_its_first_four_bytes() {
    let mut small = config();
    small.max_frame_size = 1000;
    let mut peer = ScriptedPeer::with_session(small);
    peer.send_bytes(&1001u32.to_be_bytes()[..3]);
    assert_eq!(peer.result(), Ok(()));
    peer.send_bytes(&1001u32.to_be_bytes()[3..]);
    let error = FrameError::TooLarge { size: 1001, limit: 1000 };
    assert_eq!(peer.result(), Err(ConnectionError::Frame(error)));
    peer.expect(close().condition(ErrorCondition::FRAMING_ERROR)).expect_nothing();
}

#[test]
fn frames_before_a_broken_one_count() {
    let mut peer = ScriptedPeer::with_session(config());
    peer.send_bytes(&[attach_sender("a").to_bytes(), vec![0, 0, 0, 7, 2, 0, 0]].concat());
    assert!(matches!(
        peer.events()[..],
        [Event::LinkIncoming(_), Event::Closed(ConnectionError::Frame(FrameError::TooSmall(7)))]
    ));
}

#[test]
fn frames_that_cannot_be_are_framing_errors() {
    for bytes in [
        &[0, 0, 0, 0][..],
        &[0, 0, 0, 7, 2, 0, 0],
        &[0, 0, 0, 8, 1, 0, 0, 0],
        &[0, 0, 0, 8, 3, 0, 0, 0],
        &[0, 0, 0, 8, 2, 7, 0, 0],
    ] {
        let mut peer = ScriptedPeer::with_session(config());
        peer.send_bytes(bytes);
        assert!(matches!(peer.result(), Err(ConnectionError::Frame(_))), "{bytes:?}");
        peer.expect(close().condition(ErrorCondition::FRAMING_ERROR)).expect_nothing();
    }
}

#[test]
fn bodies_that_cannot_be_read_are_decode_errors() {
    for body in [&[0x40][..], &[0, 0x53, 0x99, 0x45], &[0, 0x53, 0x12, 0x45], &[0, 0x53, 0x17, 0x45, 0x40], &[0, 0xe0]]
    {
        let mut frame = vec![0, 0, 0, 8 + body.len() as u8, 2, 0, 0, 0];
        frame.extend_from_slice(body);
        let mut peer = ScriptedPeer::with_session(config());
        peer.send_bytes(&frame);
        assert!(matches!(peer.result(), Err(ConnectionError::Frame(FrameError::Body(_)))), "{body:?}");
        peer.expect(close().condition(ErrorCondition::DECODE_ERROR)).expect_nothing();
    }
}

/// A conversation in which a client does about everything that it can.
fn recorded() -> Vec<Vec<u8>> {
    vec![
        ProtocolHeader::AMQP.to_bytes().to_vec(),
        open().hostname("h").max_frame_size(70_000).idle_time_out(9000).to_bytes(),
        begin().to_bytes(),
        attach_sender("in").to_bytes(),
        attach_receiver("out").handle(1).to_bytes(),
        flow().handle(1).link_credit(5).to_bytes(),
        transfer(0).payload("one").to_bytes(),
        transfer(1).more(true).payload("tw").to_bytes(),
        continuation().payload("o").to_bytes(),
        transfer(2).settled(true).payload("three").to_bytes(),
        vec![0, 0, 0, 8, 2, 0, 0, 0],
        accepted(0).last(1).to_bytes(),
        disposition(Role::Sender, 0).last(1).settled(true).state(DeliveryState::Accepted).to_bytes(),
        transfer(3).more(true).payload("fo").to_bytes(),
        continuation().aborted(true).to_bytes(),
        flow().echo(true).to_bytes(),
        flow().handle(1).link_credit(9).delivery_count(2).drain(true).echo(true).to_bytes(),
        begin().channel(1).to_bytes(),
        attach_sender("in").channel(1).to_bytes(),
        detach().handle(1).closed(true).to_bytes(),
        end().to_bytes(),
        end().channel(1).to_bytes(),
        close().to_bytes(),
    ]
}

/// An owner that accepts everything, sends two messages, and settles what comes.
struct Owner {
    peer: ScriptedPeer,
    log: Vec<String>,
    written: Vec<u8>,
    steps: usize,
}

impl Owner {
    fn new() -> Self {
        Self { peer: ScriptedPeer::of_server(Config::new("engine")), log: Vec::new(), written: Vec::new(), steps: 0 }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.peer.send_bytes(bytes);
        loop {
            let events = self.peer.events();
            if events.is_empty() {
                break;
            }
            for event in events {
                self.steps += 1;
                assert!(self.steps < 10_000, "events without end");
                let line = format!("{event:?}");
                // How often a queue was found empty depends on how the bytes were cut.
                if !line.starts_with("Readable") {
                    self.log.push(line);
                }
                Self::on_event(&mut self.peer.engine, &mut self.log, &event);
            }
        }
        self.written.extend_from_slice(&self.peer.take_bytes());
    }

    fn on_event(engine: &mut Connection, log: &mut Vec<String>, event: &Event) {
        match *event {
            Event::LinkIncoming(link) => {
                let accepted = engine.accept(link, LinkTerms::default());
                if accepted.is_ok() && engine.role_of(link) == Some(Role::Receiver) {
                    engine.receiver(link).set_credit(100);
                }
            }
            Event::Credit(link) => {
                for number in 0..2 {
                    let _ = common::send(engine, link, number);
                }
            }
            Event::Drain(link) => engine.sender(link).drained(),
            Event::Readable(link) => {
                while let Some(delivery) = engine.receiver(link).take() {
                    log.push(format!("{delivery:?}"));
                    engine.receiver(link).dispose(delivery.number, Some(DeliveryState::Accepted), false);
                }
            }
            Event::LinkDetached { link, .. } => drop(engine.release(link)),
            _ => {}
        }
    }
}

#[test]
fn bytes_may_be_cut_anywhere() {
    let whole = recorded();
    let mut frame_by_frame = Owner::new();
    whole.iter().for_each(|frame| frame_by_frame.feed(frame));
    assert_eq!(frame_by_frame.peer.engine.error(), Some(&ConnectionError::RemoteClosed));
    let bytes = whole.concat();

    let mut byte_by_byte = Owner::new();
    bytes.iter().for_each(|byte| byte_by_byte.feed(&[*byte]));
    assert_eq!(byte_by_byte.log, frame_by_frame.log);
    assert_eq!(byte_by_byte.written, frame_by_frame.written);
    // Within each frame.
    for (index, frame) in whole.iter().enumerate() {
        for at in 1..frame.len() {
            let mut cut = Owner::new();
            whole[..index].iter().for_each(|frame| cut.feed(frame));
            cut.feed(&frame[..at]);
            cut.feed(&frame[at..]);
            whole[index + 1..].iter().for_each(|frame| cut.feed(frame));
            assert_eq!(cut.log, frame_by_frame.log, "cut at {at} of frame {index}");
            assert_eq!(cut.written, frame_by_frame.written, "cut at {at} of frame {index}");
        }
    }
}

#[test]
fn every_prefix_leaves_the_engine_sound() {
    let bytes = recorded().concat();
    for length in 0..bytes.len() {
        let mut owner = Owner::new();
        owner.feed(&bytes[..length]);
        owner.peer.engine.handle_eof();
        let last = owner.peer.events().pop();
        assert_eq!(last, Some(Event::Closed(ConnectionError::Lost)), "after {length} bytes");
        assert_eq!(owner.peer.engine.poll_timeout(), None);
    }
}

#[test]
fn no_corruption_of_a_byte_is_fatal_to_us() {
    let frames = recorded();
    let bytes = frames.concat();
    let mut survived = 0;
    for index in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff, 0x40, bytes[index]] {
            let mut corrupt = bytes.clone();
            corrupt[index] ^= change;
            let mut owner = Owner::new();
            owner.feed(&corrupt);
            owner.peer.advance(std::time::Duration::from_secs(60));
            owner.peer.engine.handle_eof();
            owner.feed(&[]);
            let error = owner.peer.engine.error().expect("it is over");
            assert!(!error.to_string().is_empty());
            survived += usize::from(*error == ConnectionError::RemoteClosed);
        }
    }
    assert!(survived > bytes.len(), "most texts can change without harm: {survived}");
}

#[test]
fn an_error_of_a_link_leaves_the_others_alone() {
    let (mut peer, _) = receiving_peer(config(), 1);
    let other = incoming(&mut peer, attach_sender("b").handle(1), LinkTerms::default());
    peer.engine.receiver(other).set_credit(5);
    peer.take_bytes();
    peer.send(transfer(0)).send(transfer(1)).expect(detach().condition(ErrorCondition::TRANSFER_LIMIT_EXCEEDED));
    peer.send(begin().channel(1)).expect(begin().channel(1));
    peer.send(flow().handle(77)).expect(end().condition(ErrorCondition::UNATTACHED_HANDLE)).expect_nothing();
    peer.send(attach_sender("c").channel(1));
    assert!(peer.events().iter().any(|event| matches!(event, Event::LinkIncoming(_))));
    assert_eq!(peer.result(), Ok(()));
}
