//! What is kept of what came does not keep the buffer that it came in.

mod common;

use std::time::Instant;

use bytes::BytesMut;
use common::{config, tag};
use postroad_amqp::v1_0::{Connection, Event, LinkTerms, Message, Transmit};
use postroad_codec::v1_0::{
    DeliveryState, Error, ErrorCondition, Fields, Map, ProtocolHeader, Rejected, Role, Source, Symbol, TransactionId,
    TransactionalState,
};
use postroad_testkit::{attach_receiver, attach_sender, begin, close, detach, disposition, flow, open, transfer};

/// What a read takes, and what a connection that idles must not hold.
const READ: usize = 64 * 1024;

/// An engine that is fed through one buffer.
struct Fed {
    engine: Connection,
    buffer: BytesMut,
}

impl Fed {
    /// Reads bytes into the buffer, which then holds nothing that is used.
    #[track_caller]
    fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.engine.handle_input(Instant::now(), &mut self.buffer).unwrap();
        assert!(self.buffer.is_empty());
        assert!(self.buffer.try_reclaim(READ), "something keeps the buffer");
    }
}

fn properties() -> Option<Fields> {
    let mut map = Map::default();
    map.insert(Symbol::from_static("x-key"), "a value");
    Some(Fields(map))
}

fn rejected() -> DeliveryState {
    let error = Some(Error::new(ErrorCondition::NOT_FOUND, "a reason that is told"));
    DeliveryState::Rejected(Box::new(Rejected { error }))
}

#[test]
fn nothing_that_is_kept_keeps_a_read_buffer() {
    let engine = Connection::server(config(), None, Instant::now());
    let mut fed = Fed { engine, buffer: BytesMut::with_capacity(READ) };
    fed.feed(&ProtocolHeader::AMQP.to_bytes());
    fed.feed(
        &open().container_id("a container").hostname("a host").with(|open| open.properties = properties()).to_bytes(),
    );
    fed.feed(&begin().with(|begin| begin.properties = properties()).to_bytes());
    fed.feed(&attach_receiver("to them").handle(0).source(Source::at("an address")).to_bytes());
    fed.feed(&attach_sender("from them").handle(1).with(|attach| attach.properties = properties()).to_bytes());
    let links: Vec<_> = std::iter::from_fn(|| fed.engine.poll_event())
        .filter_map(|event| match event {
            Event::LinkIncoming(link) => Some(link),
            _ => None,
        })
        .collect();
    let [to, from] = links[..] else { panic!("two links came") };
    fed.engine.accept(to, LinkTerms { auto_settle: false, ..LinkTerms::default() }).unwrap();
    fed.engine.accept(from, LinkTerms::default()).unwrap();
    fed.engine.receiver(from).set_credit(10);
    fed.engine.poll_transmit(Instant::now(), &mut Transmit::default());

    fed.feed(&flow().handle(0).link_credit(10).with(|flow| flow.properties = properties().map(Box::new)).to_bytes());
    fed.engine.sender(to).send(&Message::new(b"x", tag(0), 0)).unwrap();
    fed.feed(&disposition(Role::Receiver, 0).state(rejected()).to_bytes());

    let state = TransactionalState { txn_id: TransactionId(vec![1; 20].into()), outcome: None };
    let state = DeliveryState::Transactional(Box::new(state));
    fed.feed(&transfer(0).payload(&b"a payload"[..]).handle(1).state(state).to_bytes());

    // What the owner hears and has taken may wait with it as well.
    let events: Vec<_> = std::iter::from_fn(|| fed.engine.poll_event()).collect();
    assert!(events.iter().any(|event| matches!(event, Event::Update(update) if update.state == Some(rejected()))));
    let taken = fed.engine.receiver(from).take().expect("it came");
    let error = Error::new(ErrorCondition::DETACH_FORCED, "a reason that is told");
    fed.feed(&detach().handle(0).closed(true).error(error.clone()).to_bytes());
    assert_eq!(&taken.payload[..], b"a payload");
    fed.feed(&close().error(error).to_bytes());
    assert!(fed.engine.error().is_some());
    assert!(fed.engine.remote_open().is_some_and(|open| open.hostname.as_deref() == Some("a host")));
}
