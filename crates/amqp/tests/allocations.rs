//! What a transfer costs in allocations once buffers have grown: none, at either end, and none when it is settled.
//!
//! The counts are exact and per thread, so that other tests and a slow machine change nothing.

mod common;

use std::io::IoSlice;
use std::time::Instant;

use allocation_counter::measure;
use bytes::{Buf as _, Bytes, BytesMut};
use common::{sending_pair, tag};
use postroad_amqp::v1_0::{Connection, Event, LinkId, Message, Transmit};
use postroad_codec::v1_0::{
    DeliveryNumber, DeliveryState, Disposition, Encode as _, Frame, MessageFormat, Performative, Role, Transfer,
};
use postroad_testkit::Pair;

/// Messages that go together: one write, one read, one disposition.
const BATCH: u64 = 50;

/// Batches that are counted, after as many that let buffers grow.
const BATCHES: u64 = 20;

/// Two engines without the wires of a [`Pair`], which allocate.
struct Ends {
    client: Connection,
    server: Connection,
    sender: LinkId,
    receiver: LinkId,
    now: Instant,
    out: Transmit,
    to_server: BytesMut,
    to_client: BytesMut,
}

/// Allocations, by who made them.
#[derive(Debug, Default)]
struct Counts {
    sent: u64,
    received: u64,
    answered: u64,
    settled: u64,
}

impl Ends {
    fn new() -> Self {
        let (pair, sender, receiver) = sending_pair(BATCH as u32);
        let Pair { client, server, now, .. } = pair;
        let room = || BytesMut::with_capacity(1 << 20);
        Self { client, server, sender, receiver, now, out: Transmit::default(), to_server: room(), to_client: room() }
    }

    /// Sends, receives, accepts and settles a batch.
    fn batch(&mut self, payload: &Bytes, counts: &mut Counts) {
        let Self { client, server, sender, receiver, now, out, to_server, to_client } = self;
        counts.sent += allocations(|| {
            for number in 0..BATCH {
                client.sender(*sender).send(&Message::shared(payload, tag(number), number)).unwrap();
            }
            client.poll_transmit(*now, out);
        });
        copy(out, to_server);
        let mut messages = 0;
        counts.received += allocations(|| {
            server.handle_input(*now, to_server).unwrap();
            while server.poll_event().is_some() {}
        });
        counts.answered += allocations(|| {
            while let Some(delivery) = server.receiver(*receiver).take() {
                assert_eq!(delivery.payload.len(), payload.len());
                server.receiver(*receiver).dispose(delivery.number, Some(DeliveryState::Accepted), true);
                messages += 1;
            }
            server.receiver(*receiver).set_credit(BATCH as u32);
            server.poll_transmit(*now, out);
        });
        assert_eq!(messages, BATCH);
        copy(out, to_client);
        let mut settled = 0;
        counts.settled += allocations(|| {
            client.handle_input(*now, to_client).unwrap();
            while let Some(event) = client.poll_event() {
                settled += u64::from(matches!(event, Event::Update(update) if update.settled));
            }
        });
        assert_eq!(settled, BATCH);
    }
}

fn allocations(act: impl FnOnce()) -> u64 {
    measure(act).count_total
}

/// What a socket does: the bytes of one end become input of the other.
fn copy(out: &mut Transmit, input: &mut BytesMut) {
    let mut slices = [IoSlice::new(&[]); 2 * BATCH as usize + 1];
    let filled = out.chunks_vectored(&mut slices);
    input.reserve(out.remaining());
    slices[..filled].iter().for_each(|slice| input.extend_from_slice(slice));
    out.clear();
}

/// The counts of [`BATCHES`] batches.
fn counts(size: usize) -> Counts {
    let (mut ends, payload) = (Ends::new(), Bytes::from(vec![7; size]));
    (0..BATCHES).for_each(|_| ends.batch(&payload, &mut Counts::default()));
    let mut counts = Counts::default();
    (0..BATCHES).for_each(|_| ends.batch(&payload, &mut counts));
    counts
}

#[test]
fn sending_and_settling_allocate_nothing() {
    for size in [0, 100, 1024, 5000] {
        let counts = counts(size);
        assert_eq!((counts.sent, counts.settled), (0, 0), "{size} bytes: {counts:?}");
    }
}

#[test]
fn a_payload_is_received_without_an_allocation_of_its_own() {
    // Small payloads are copied, so that who keeps one keeps no read buffer; they share the blocks of their copies.
    for (size, messages_an_allocation) in [(0, u64::MAX), (100, 12), (1024, 3), (5000, u64::MAX)] {
        let counts = counts(size);
        assert!(counts.received.saturating_mul(messages_an_allocation) <= BATCH * BATCHES, "{size} bytes: {counts:?}");
        assert_eq!(counts.answered, 0, "{size} bytes: {counts:?}");
    }
}

#[test]
fn a_message_in_several_frames_is_put_together_in_memory_that_is_set_aside_once() {
    let (mut ends, payload) = (Ends::new(), Bytes::from(vec![7; 150_000]));
    let mut received = |number: u64| {
        let Ends { client, server, sender, receiver, now, out, to_server, .. } = &mut ends;
        client.sender(*sender).send(&Message::shared(&payload, tag(number), number)).unwrap();
        client.poll_transmit(*now, out);
        copy(out, to_server);
        let bytes = measure(|| server.handle_input(*now, to_server).unwrap()).bytes_total;
        assert_eq!(server.receiver(*receiver).take().unwrap().payload, payload);
        bytes
    };
    // The first tells how long the next is likely to be.
    let room = payload.len() as u64 + 4096;
    let (first, next) = (received(0), received(1));
    assert!(first > room && next <= room, "{first} bytes, then {next}");
}

#[test]
fn a_small_part_sets_little_aside_whatever_came_before() {
    let (mut ends, payload) = (Ends::new(), Bytes::from(vec![7; 150_000]));
    let Ends { client, server, sender, now, out, to_server, .. } = &mut ends;
    client.sender(*sender).send(&Message::shared(&payload, tag(0), 0)).unwrap();
    client.poll_transmit(*now, out);
    copy(out, to_server);
    server.handle_input(*now, to_server).unwrap();
    let part = Message { more: true, ..Message::new(b"a part", tag(1), 1) };
    client.sender(*sender).send(&part).unwrap();
    client.poll_transmit(*now, out);
    copy(out, to_server);
    let bytes = measure(|| server.handle_input(*now, to_server).unwrap()).bytes_total;
    assert!(bytes < 4096, "{bytes} bytes for a part of six");
}

#[test]
fn performatives_of_a_message_allocate_nothing_in_the_codec() {
    let transfer = Transfer {
        delivery_id: Some(DeliveryNumber(70_000)),
        delivery_tag: Some(tag(7)),
        message_format: Some(MessageFormat(0)),
        settled: Some(false),
        ..Transfer::default()
    };
    let disposition = Disposition {
        role: Role::Receiver,
        first: DeliveryNumber(70_000),
        last: Some(DeliveryNumber(70_100)),
        settled: true,
        state: Some(DeliveryState::Accepted),
        batchable: false,
    };
    let payload = [7; 100];
    let mut out = Vec::with_capacity(1024);
    let encoding = allocations(|| {
        transfer.encode(&mut out);
        disposition.encode(&mut out);
        out.clear();
        Frame::put_amqp(1, &transfer, &payload, &mut out);
    });
    let frame = Bytes::from(out.clone());
    // The first copy of `Bytes` that were a vector makes their count.
    let _shared = frame.clone();
    let decoding = allocations(|| {
        let Ok(Frame::Amqp { performative: Performative::Transfer(read), payload: rest, .. }) = Frame::decode(&frame)
        else {
            panic!("no transfer");
        };
        assert_eq!((read, &rest[..]), (transfer.clone(), &payload[..]));
    });
    out.clear();
    Frame::put_amqp(1, &disposition, &[], &mut out);
    let frame = Bytes::from(out);
    let _shared = frame.clone();
    let settling = allocations(|| assert!(Frame::decode(&frame).is_ok()));
    assert_eq!((encoding, decoding, settling), (0, 0, 0));
}
