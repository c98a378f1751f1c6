//! Transactions on the wire (part 4): one end controls, the other is coordinator and resource.

mod common;

use common::{received, tag};
use postroad_amqp::v1_0::{Delivery, Event, LinkId, LinkTerms, Message, Update};
use postroad_codec::v1_0::{
    AttachTarget, Coordinator, Declare, Declared, Decode, DeliveryState, Discharge, Encode, Error, ErrorCondition,
    Fields, Frame, Map, Outcome, Performative, ProtocolHeader, Reader, Rejected, Role, Source, Symbol, TransactionId,
    TransactionalState, TxnCapability, Value,
};
use postroad_testkit::{Pair, ScriptedPeer, Side, attach_receiver, attach_sender, begin, flow, open};

/// A pair with a link to the coordinator and one to a queue, and what the server calls them.
struct Game {
    pair: Pair,
    control: (LinkId, LinkId),
    queue: (LinkId, LinkId),
}

fn game() -> Game {
    let mut pair = common::pair();
    let (session, _) = pair.session();
    let coordinator = Coordinator { capabilities: [TxnCapability::LOCAL_TRANSACTIONS].into_iter().collect() };
    let terms = LinkTerms {
        source: Some(Source::default()),
        target: Some(AttachTarget::Coordinator(coordinator.clone())),
        ..LinkTerms::default()
    };
    let control = pair.link_with(session, "control", Role::Sender, terms.clone(), terms);
    let asked = pair.server.remote_attach(control.1).unwrap().target.as_deref();
    assert_eq!(asked, Some(&AttachTarget::Coordinator(coordinator)));
    let queue = pair.link(session, "queue", Role::Sender);
    for link in [control.1, queue.1] {
        pair.server.receiver(link).set_credit(10);
    }
    pair.run();
    pair.events(Side::Client);
    Game { pair, control, queue }
}

/// A message whose body is one value of part 4.
fn command(body: &impl Encode) -> Vec<u8> {
    let mut message = vec![0x00, 0x53, 0x77];
    body.encode(&mut message);
    message
}

fn read<T: Decode>(delivery: &Delivery) -> T {
    let body = delivery.payload.strip_prefix(&[0x00, 0x53, 0x77]).expect("an amqp-value");
    T::decode(&mut Reader::from_slice(body)).unwrap()
}

fn transaction(id: &'static [u8], outcome: Option<Outcome>) -> DeliveryState {
    let txn_id = TransactionId(id.into());
    DeliveryState::Transactional(Box::new(TransactionalState { txn_id, outcome }))
}

impl Game {
    fn control(&mut self, token: u64, body: &impl Encode) -> Delivery {
        let message = command(body);
        self.pair.client.sender(self.control.0).send(&Message::new(&message, tag(token), token)).unwrap();
        self.pair.run();
        received(&mut self.pair.server, self.control.1).remove(0)
    }

    fn answer(&mut self, link: LinkId, delivery: &Delivery, state: DeliveryState, settled: bool) -> Update {
        self.pair.server.receiver(link).dispose(delivery.number, Some(state), settled);
        self.pair.run();
        let news = self.pair.events(Side::Client).into_iter().find_map(|event| match event {
            Event::Update(update) => Some(update),
            _ => None,
        });
        news.unwrap()
    }
}

#[test]
fn declare_post_and_discharge() {
    let mut game = game();
    let (control, queue) = (game.control.1, game.queue.1);
    let declare = game.control(1, &Declare::default());
    assert_eq!(read::<Declare>(&declare), Declare::default());
    let declared = DeliveryState::Declared(Box::new(Declared { txn_id: TransactionId(b"t1"[..].into()) }));
    let update = game.answer(control, &declare, declared.clone(), true);
    assert_eq!((update.token, update.state, update.settled), (1, Some(declared), true));

    // A message in the transaction (4.4.2): its outcome is provisional, and settles it all the same.
    for (token, settled) in [(2, true), (3, false)] {
        let mut message = Message::new(b"posted", tag(token), token);
        message.state = Some(transaction(b"t1", None));
        game.pair.client.sender(game.queue.0).send(&message).unwrap();
        game.pair.run();
        let posted = received(&mut game.pair.server, queue).remove(0);
        assert_eq!(posted.state, Some(transaction(b"t1", None)));
        let provisional = transaction(b"t1", Some(Outcome::Accepted));
        let update = game.answer(queue, &posted, provisional.clone(), settled);
        assert_eq!((update.token, update.state, update.settled), (token, Some(provisional), true));
    }
    assert_eq!(game.pair.client.sender(game.queue.0).unsettled(), 0);

    let discharge = Discharge { txn_id: TransactionId(b"t1"[..].into()), fail: Some(false) };
    let committed = game.control(4, &discharge);
    assert_eq!(read::<Discharge>(&committed), discharge);
    let update = game.answer(control, &committed, DeliveryState::Accepted, true);
    assert_eq!((update.token, update.state), (4, Some(DeliveryState::Accepted)));
}

#[test]
fn a_commit_that_fails_says_why() {
    let mut game = game();
    let discharge = Discharge { txn_id: TransactionId(b"nobody's"[..].into()), fail: None };
    let delivery = game.control(1, &discharge);
    let error = Error::new(ErrorCondition::TRANSACTION_UNKNOWN_ID, "no transaction nobody's");
    let rejected = DeliveryState::Rejected(Box::new(Rejected { error: Some(error) }));
    let control = game.control.1;
    let update = game.answer(control, &delivery, rejected.clone(), true);
    assert_eq!((update.state, update.settled), (Some(rejected), true));
}

#[test]
fn messages_are_acquired_and_retired_in_a_transaction() {
    let mut pair = common::pair();
    let (session, _) = pair.session();
    let (ours, theirs) = pair.link(session, "a", Role::Receiver);
    // 4.4.3: what a flow names is acquired in it.
    let txn = Fields(Map(vec![(Symbol::from_static("txn-id").into(), Value::Binary(b"t1"[..].into()))]));
    pair.client.receiver(ours).set_credit(2);
    pair.client.set_flow_properties(ours, Some(txn.clone()));
    pair.run();
    assert_eq!(pair.server.remote_flow_properties(theirs), Some(&txn));
    let mut message = Message::new(b"acquired", tag(1), 1);
    message.state = Some(transaction(b"t1", None));
    pair.server.sender(theirs).send(&message).unwrap();
    pair.run();
    let taken = received(&mut pair.client, ours).remove(0);
    assert_eq!(taken.state, Some(transaction(b"t1", None)));
    // 4.4.4.
    let retired = transaction(b"t1", Some(Outcome::Released));
    pair.client.receiver(ours).dispose(taken.number, Some(retired.clone()), true);
    pair.run();
    let told = pair.events(Side::Server).into_iter().find_map(|event| match event {
        Event::Update(update) => update.state,
        _ => None,
    });
    assert_eq!(told, Some(retired));
}

#[test]
fn several_transactions_at_once_and_the_end_of_their_link() {
    let mut game = game();
    let control = game.control.1;
    for (token, id) in [(1, &b"t1"[..]), (2, b"t2")] {
        let declare = game.control(token, &Declare::default());
        let declared = DeliveryState::Declared(Box::new(Declared { txn_id: TransactionId(id.into()) }));
        assert!(game.answer(control, &declare, declared, true).settled);
    }
    // 4.3: the coordinator rolls back what is open when the link ends; it hears of that.
    game.pair.client.detach(game.control.0, true, None);
    game.pair.run();
    let ended = game
        .pair
        .events(Side::Server)
        .into_iter()
        .any(|event| matches!(event, Event::LinkDetached { link, .. } if link == control));
    assert!(ended);
    assert_eq!(game.pair.server.release(control).unwrap().unsettled, []);
}

#[test]
fn a_resource_keeps_a_delivery_until_its_transaction_is_discharged() {
    let mut pair = common::pair();
    let (session, _) = pair.session();
    let resource = LinkTerms { keep_provisional: true, ..LinkTerms::default() };
    let (ours, theirs) = pair.link_with(session, "a", Role::Receiver, LinkTerms::default(), resource);
    pair.client.receiver(ours).set_credit(3);
    pair.run();
    for token in 0..3 {
        pair.server.sender(theirs).send(&Message::new(b"taken", tag(token), token)).unwrap();
    }
    pair.run();
    let taken = received(&mut pair.client, ours);
    let provisional = transaction(b"t1", Some(Outcome::Accepted));
    for delivery in &taken {
        pair.client.receiver(ours).dispose(delivery.number, Some(provisional.clone()), false);
    }
    pair.run();
    let told: Vec<_> = pair
        .events(Side::Server)
        .into_iter()
        .filter_map(|event| match event {
            Event::Update(update) => Some((update.token, update.state, update.settled)),
            _ => None,
        })
        .collect();
    let expected: Vec<_> = (0..3).map(|token| (token, Some(provisional.clone()), false)).collect();
    assert_eq!(told, expected);
    assert_eq!(pair.server.sender(theirs).unsettled(), 3);

    // 4.4.4: applied by a commit, live again after a rollback, and then settled in whatever way the controller likes.
    pair.server.sender(theirs).settle_as(taken[0].number, DeliveryState::Accepted);
    pair.server.sender(theirs).revert(taken[1].number);
    pair.server.sender(theirs).revert(taken[2].number);
    pair.run();
    let settled = pair.events(Side::Client).into_iter().find_map(|event| match event {
        Event::SettledBySender { delivery, state, .. } => Some((delivery, state)),
        _ => None,
    });
    assert_eq!(settled, Some((taken[0].number, Some(DeliveryState::Accepted))));
    pair.client.receiver(ours).dispose(taken[1].number, None, true);
    pair.client.receiver(ours).dispose(taken[2].number, Some(DeliveryState::Released), true);
    pair.run();
    let told: Vec<_> = pair
        .events(Side::Server)
        .into_iter()
        .filter_map(|event| match event {
            Event::Update(update) => Some((update.token, update.state, update.settled)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(1, None, true), (2, Some(DeliveryState::Released), true)]);
    assert_eq!(pair.server.sender(theirs).unsettled(), 0);
}

#[test]
fn a_discharge_does_not_overtake_what_was_flushed_before_it() {
    let mut game = game();
    let (session, _) = game.pair.session();
    let (ours, theirs) = game.pair.link(session, "a", Role::Receiver);
    for flushed in [false, true] {
        game.pair.client.receiver(ours).set_credit(1);
        game.pair.run();
        let token = u64::from(flushed);
        game.pair.server.sender(theirs).send(&Message::new(b"taken", tag(token), token)).unwrap();
        game.pair.run();
        game.pair.events(Side::Server);
        let taken = received(&mut game.pair.client, ours).remove(0);
        game.pair.client.receiver(ours).dispose(taken.number, Some(transaction(b"t1", Some(Outcome::Accepted))), true);
        if flushed {
            game.pair.client.flush();
        }
        let discharge = command(&Discharge { txn_id: TransactionId(b"t1"[..].into()), fail: None });
        game.pair.client.sender(game.control.0).send(&Message::new(&discharge, tag(9), 9)).unwrap();
        game.pair.run();
        let told: Vec<_> = game
            .pair
            .events(Side::Server)
            .into_iter()
            .filter_map(|event| match event {
                Event::Update(_) => Some("outcome"),
                Event::Readable(_) => Some("discharge"),
                _ => None,
            })
            .collect();
        assert_eq!(told, if flushed { ["outcome", "discharge"] } else { ["discharge", "outcome"] });
        received(&mut game.pair.server, game.control.1);
    }
}

#[test]
fn every_frame_of_a_message_tells_its_transaction() {
    let mut peer = ScriptedPeer::of_server(common::config());
    peer.send_header(ProtocolHeader::AMQP).send(open().max_frame_size(512)).send(begin());
    peer.expect_header(ProtocolHeader::AMQP).expect(open()).expect(begin().remote_channel(0));
    let link = common::incoming(&mut peer, attach_receiver("a"), LinkTerms::default());
    peer.expect(attach_sender("a").handle(0)).send(flow().handle(0).link_credit(5));
    let state = |peer: &mut ScriptedPeer| match peer.next_frame() {
        Some(Frame::Amqp { performative: Performative::Transfer(transfer), .. }) => (transfer.state, transfer.more),
        other => panic!("{other:?}"),
    };
    let payload = [7; 600];
    let (first, second) = (transaction(b"t1", None), transaction(b"t2", None));
    let mut message = Message::new(&payload, tag(1), 1);
    message.state = Some(first.clone());
    peer.engine.sender(link).send(&message).unwrap();
    assert_eq!([state(&mut peer), state(&mut peer)], [(Some(first.clone()), true), (Some(first), false)]);
    // In parts.
    let mut part = Message { more: true, ..Message::new(b"in ", tag(2), 2) };
    part.state = Some(second.clone());
    let delivery = peer.engine.sender(link).send(&part).unwrap();
    peer.engine.sender(link).append(delivery, b"parts", None, false).unwrap();
    assert_eq!([state(&mut peer), state(&mut peer)], [(Some(second.clone()), true), (Some(second), false)]);
    // The next one is in none.
    peer.engine.sender(link).send(&Message::new(&payload, tag(3), 3)).unwrap();
    assert_eq!([state(&mut peer), state(&mut peer)], [(None, true), (None, false)]);
    peer.expect_nothing();
}
