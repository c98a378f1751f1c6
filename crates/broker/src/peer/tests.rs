use bytes::{Buf as _, BytesMut};
use postroad_amqp::sasl;
use postroad_amqp::v1_0::{Config, LinkTerms, Message, Transmit};
use postroad_codec::v1_0::{
    DeliveryState, DeliveryTag, ReceiverSettleMode, Role, Seconds, Source, Target, TerminusExpiryPolicy,
};

use super::*;
use crate::connections::ConnectionLimits;
use crate::link_expiry::ExpiryLimits;
use crate::link_table::{Claim, TableLimits};
use crate::node::{NodeLimits, Nodes};
use crate::options::Policies;
use crate::queue::QueueLimits;
use crate::shared::Settings;
use crate::transaction::TransactionLimits;

fn carry(from: &mut Connection, to: &mut Connection) {
    let (now, mut output) = (Instant::now(), Transmit::default());
    from.poll_transmit(now, &mut output);
    let mut input = BytesMut::new();
    input.extend_from_slice(&output.copy_to_bytes(output.remaining()));
    to.handle_input(now, &mut input).unwrap();
}

/// A client without links, and what the broker has for it.
fn connected(auto_create: bool, client: Config) -> (Arc<Shared>, Peer, Connection) {
    let mut broker = Config::new("broker");
    broker.max_frame_size = client.max_frame_size;
    let settings = Settings {
        engine: broker.clone(),
        auto_create,
        max_message_size: 1000,
        connections: ConnectionLimits { all: 1, per_address: 1, per_user: 1 },
        max_links: 10,
        tls: None,
        max_links_per_session: 10,
        transactions: TransactionLimits { open: 1, bytes: 1, timeout: None },
        resumable: TableLimits { all: 9, per_user: 9, of_nobody: 9 },
        expiry: ExpiryLimits { longest: Duration::from_secs(9), never: false },
    };
    let queue = QueueLimits { messages: 1000, bytes: 100_000 };
    let limits = NodeLimits { nodes: 1, subscriptions: 1, bindings: 10, queue, subscription: queue, bytes: 100_000 };
    let nodes = Arc::new(Nodes::new(limits, Policies::default()));
    let shared = Arc::new(Shared::new(nodes, settings, sasl::ServerConfig::new([0; 32]), true));
    let now = Instant::now();
    let engine = Connection::server(broker, None, now);
    let mut peer = Peer::new(engine, &shared.register(None).unwrap());
    let mut client = Connection::client(client, None, now);
    for _ in 0..3 {
        carry(&mut client, &mut peer.engine);
        carry(&mut peer.engine, &mut client);
    }
    (shared, peer, client)
}

#[test]
fn a_task_that_panics_leaves_nothing_behind() {
    let (shared, mut peer, mut client) = connected(true, Config::new("client"));
    let session = client.begin().unwrap();
    let (expiry_policy, timeout) = (TerminusExpiryPolicy::CONNECTION_CLOSE, Seconds(1));
    let source = Source { expiry_policy, timeout, ..Source::at("q") };
    let links = ["attached", "suspended"].map(|name| {
        let terms = LinkTerms { source: Some(source.clone()), ..LinkTerms::default() };
        client.attach(session, name, Role::Receiver, terms).unwrap()
    });
    let work = |client: &mut Connection, peer: &mut Peer| {
        carry(client, &mut peer.engine);
        peer.work(Instant::now());
        carry(&mut peer.engine, client);
    };
    work(&mut client, &mut peer);
    client.detach(links[1], false, None);
    work(&mut client, &mut peer);
    assert_eq!((shared.links.suspended(), shared.links.next_due()), (1, None), "it waits for the connection's end");
    let key = Arc::clone(&peer.links.iter().next().unwrap().1.stay.key);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _peer = peer;
        std::panic::resume_unwind(Box::new("the task"));
    }));
    assert!(panicked.is_err());
    assert!(shared.links.next_due().is_some(), "its time has begun");
    assert!(matches!(shared.links.claim(&key, &Arc::default(), 0), Claim::New(_)), "nobody has it attached");
}

#[test]
fn a_refused_link_is_not_kept() {
    let (_shared, mut peer, mut client) = connected(false, Config::new("client"));
    let now = Instant::now();
    // One is refused while its session lives, one only when it is over.
    for ends_at_once in [false, true] {
        let session = client.begin().unwrap();
        let terms = LinkTerms { source: Some(Source::at("nowhere")), ..LinkTerms::default() };
        client.attach(session, "a", Role::Receiver, terms).unwrap();
        if ends_at_once {
            client.end(session, None);
        }
        carry(&mut client, &mut peer.engine);
        let mut refused = None;
        while let Some(event) = peer.engine.poll_event() {
            if let Event::LinkIncoming(id) = event {
                refused = Some(id);
            }
            peer.handle(event);
        }
        client.end(session, None);
        carry(&mut client, &mut peer.engine);
        peer.work(now);
        let refused = refused.expect("a link came");
        assert_eq!(peer.engine.role_of(refused), None, "it is forgotten with its session");
        carry(&mut peer.engine, &mut client);
    }
}

/// A client whose map does not fit into its attach, and that waits for what will never come.
#[test]
fn a_link_whose_maps_lack_entries_is_detached_once_they_are_dealt_with() {
    let small = || {
        let mut config = Config::new("client");
        config.max_frame_size = 512;
        config
    };
    for role in [Role::Sender, Role::Receiver] {
        let (shared, mut peer, mut client) = connected(true, small());
        let mut now = Instant::now();
        let work = |client: &mut Connection, peer: &mut Peer, now: Instant| {
            for _ in 0..20 {
                carry(client, &mut peer.engine);
                while peer.work(now) {}
                carry(&mut peer.engine, client);
            }
        };
        let session = client.begin().unwrap();
        let (expiry_policy, timeout) = (TerminusExpiryPolicy::CONNECTION_CLOSE, Seconds(9));
        let terms = || LinkTerms {
            source: Some(Source { expiry_policy: expiry_policy.clone(), timeout, ..Source::at("q") }),
            target: Some(Target { expiry_policy: expiry_policy.clone(), timeout, ..Target::at("q") }.into()),
            rcv_settle_mode: ReceiverSettleMode::SECOND,
            keep: true,
            auto_settle: false,
            ..LinkTerms::default()
        };
        // One message on its way, and as many others as the map has no room for.
        let link = client.attach(session, "a", role, terms()).unwrap();
        let sender = match role {
            Role::Sender => link,
            Role::Receiver => client.attach(session, "b", Role::Sender, LinkTerms { keep: false, ..terms() }).unwrap(),
        };
        work(&mut client, &mut peer, now);
        client.sender(sender).send(&Message::new(b"message", DeliveryTag::from(0), 0)).unwrap();
        if role == Role::Receiver {
            client.receiver(link).set_credit(9);
            work(&mut client, &mut peer, now);
            client.receiver(link).take().expect("it comes");
        }
        work(&mut client, &mut peer, now);
        client.detach(link, false, None);
        work(&mut client, &mut peer, now);
        let mut state = client.release(link).unwrap();
        let one = state.unsettled[0].clone();
        state.unsettled.extend((1..100).map(|number| {
            let mut other = one.clone();
            other.tag = DeliveryTag::from(number);
            other
        }));

        while client.poll_event().is_some() {}
        let link = client.resume(session, &mut state, terms()).unwrap();
        if role == Role::Receiver {
            client.receiver(link).set_credit(9);
        }
        work(&mut client, &mut peer, now);
        let settle = |client: &mut Connection| {
            while let Some(event) = client.poll_event() {
                match event {
                    Event::Update(update) if !update.settled => {
                        client.sender(link).settle(update.delivery);
                    }
                    Event::Reassociated { delivery: Some(number), .. } => {
                        client.receiver(link).dispose(number, Some(DeliveryState::Accepted), true);
                    }
                    Event::Resumed { complete, .. } => assert!(!complete, "the map lacks entries"),
                    Event::LinkDetached { link: detached, closed, error } if detached == link => {
                        assert_eq!((closed, error), (false, None));
                        return true;
                    }
                    _ => {}
                }
            }
            false
        };
        // As long as something is not settled, and for a while afterwards, it is the client's turn.
        now += Duration::from_secs(60);
        work(&mut client, &mut peer, now);
        assert!(!peer.engine.is_round_over(peer.rounds[0].id), "{role:?}: it waits for the client");
        for _ in 0..10 {
            assert!(!settle(&mut client), "{role:?}: too soon");
            work(&mut client, &mut peer, now);
        }
        assert!(peer.engine.is_round_over(peer.rounds[0].id), "{role:?}: everything is settled");
        assert!(!settle(&mut client), "{role:?}: too soon");
        let mut detached = false;
        for _ in 0..3 {
            now = peer.deadline().map_or(now, |due| due.max(now));
            work(&mut client, &mut peer, now);
            detached |= settle(&mut client);
        }
        assert!(detached, "{role:?}");
        assert_eq!((shared.links.suspended(), peer.rounds.len()), (1, 0), "{role:?}");
    }
}
