//! What the engines cost: two of them and no transport, one link, every message accepted and settled.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use postroad_amqp::v1_0::{Config, Connection, Delivery, Event, LinkId, LinkTerms, Message, Transmit};
use postroad_codec::v1_0::{DeliveryState, DeliveryTag, Role};

/// A sending and a receiving engine with a link between them.
#[derive(Debug)]
pub struct Engines {
    sender: End,
    receiver: End,
    payload: Bytes,
    credit: u32,
    next: u64,
    settled: u64,
    batch: VecDeque<Delivery>,
}

#[derive(Debug)]
struct End {
    engine: Connection,
    link: LinkId,
    input: BytesMut,
    output: Transmit,
}

impl Engines {
    /// Engines whose link carries `payload`, with `credit` messages on the way at most.
    ///
    /// # Panics
    /// When two engines of ours do not agree, which is a fault of theirs.
    #[must_use]
    pub fn new(payload: Bytes, credit: u32) -> Self {
        let now = Instant::now();
        let mut client = Connection::client(Config::new("sender"), None, now);
        let mut server = Connection::server(Config::new("receiver"), None, now);
        let session = client.begin().expect("the first session");
        let link = client.attach(session, "bench", Role::Sender, LinkTerms::default()).expect("the first link");
        let mut wires = (Transmit::default(), BytesMut::new());
        carry(&mut client, &mut server, &mut wires, now);
        let incoming = events(&mut server).find_map(|event| match event {
            Event::LinkIncoming(link) => Some(link),
            _ => None,
        });
        let incoming = incoming.expect("the attach has come");
        server.accept(incoming, LinkTerms::default()).expect("it waits for this");
        server.receiver(incoming).set_credit(credit);
        carry(&mut server, &mut client, &mut wires, now);
        events(&mut client).for_each(drop);
        let end = |engine, link| End { engine, link, input: BytesMut::new(), output: Transmit::default() };
        Self {
            sender: end(client, link),
            receiver: end(server, incoming),
            payload,
            credit,
            next: 0,
            settled: 0,
            batch: VecDeque::new(),
        }
    }

    /// Sends `count` messages and settles them.
    ///
    /// # Panics
    /// When a message is lost, which is a fault of the engines.
    pub fn exchange(&mut self, count: u64) {
        let now = Instant::now();
        let goal = self.settled + count;
        while self.settled < goal {
            self.send(goal, now);
            self.receive(now);
        }
        assert_eq!(self.settled, goal);
    }

    fn send(&mut self, goal: u64, now: Instant) {
        let End { engine, link, input, output } = &mut self.sender;
        let mut sender = engine.sender(*link);
        while self.next < goal {
            let message = Message::shared(&self.payload, DeliveryTag::from(self.next), self.next);
            if sender.send(&message).is_err() {
                break;
            }
            self.next += 1;
        }
        pass(engine, output, &mut self.receiver.input, now);
        debug_assert!(input.is_empty());
    }

    fn receive(&mut self, now: Instant) {
        let End { engine, link, input, output } = &mut self.receiver;
        engine.handle_input(now, input).expect("our own frames");
        events(engine).for_each(drop);
        let mut receiver = engine.receiver(*link);
        receiver.take_all(&mut self.batch);
        for delivery in self.batch.drain(..) {
            receiver.dispose(delivery.number, Some(DeliveryState::Accepted), true);
        }
        receiver.set_credit(self.credit);
        pass(engine, output, &mut self.sender.input, now);
        let End { engine, input, .. } = &mut self.sender;
        engine.handle_input(now, input).expect("our own frames");
        self.settled += events(engine).filter(|event| matches!(event, Event::Update(_))).count() as u64;
    }
}

/// Moves what one engine has to say to the other's input.
fn pass(from: &mut Connection, output: &mut Transmit, to: &mut BytesMut, now: Instant) {
    use bytes::Buf as _;
    from.poll_transmit(now, output);
    while output.has_remaining() {
        let chunk = output.chunk();
        to.extend_from_slice(chunk);
        let length = chunk.len();
        output.advance(length);
    }
}

fn carry(from: &mut Connection, to: &mut Connection, wires: &mut (Transmit, BytesMut), now: Instant) {
    for _ in 0..2 {
        pass(from, &mut wires.0, &mut wires.1, now);
        to.handle_input(now, &mut wires.1).expect("our own frames");
        pass(to, &mut wires.0, &mut wires.1, now);
        from.handle_input(now, &mut wires.1).expect("our own frames");
    }
}

fn events(engine: &mut Connection) -> impl Iterator<Item = Event> {
    std::iter::from_fn(|| engine.poll_event())
}
