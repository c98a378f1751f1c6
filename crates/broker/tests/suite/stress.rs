//! Many clients that do everything at once: nothing is lost that nobody was allowed to drop, and nothing is left behind.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postroad_amqp::v1_0::LinkId;
use postroad_broker::Broker;
use postroad_codec::v1_0::{
    ApplicationProperties, DeliveryState, DistributionMode, FilterSet, Header, Map, Message, Outcome, Properties,
    Source, Value,
};

use crate::client::{Client, text};
use crate::management::{EXCHANGE, Manager, QUEUE};
use crate::transactions::{control, declare, discharge, hand_over, within};
use crate::{eventually, start};

const CLIENTS: usize = 8;
const ROUNDS: usize = 30;

const SELECTOR: u64 = 0x0000_468c_0000_0004;
const TOPIC: u64 = 0x0000_468c_0000_0001;

/// Queues that stay, each with the keys that bind it to the exchange `kept`.
const KEPT: [(&str, &[&str]); 3] = [("k0", &["w0.#"]), ("k1", &["#"]), ("k2", &["w1.*", "w2.*", "*.x"])];

/// A source of chance that begins with a seed.
struct Chance(u64);

impl Chance {
    fn new(seed: usize) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ (seed as u64 + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// What became of messages, each by its queue and its text.
#[derive(Default)]
struct Ledger {
    /// Accepted by the broker.
    sent: BTreeSet<(usize, String)>,
    /// Accepted by a consumer.
    taken: BTreeSet<(usize, String)>,
    rejected: BTreeSet<(usize, String)>,
}

struct Worker {
    broker: Arc<Broker>,
    who: usize,
    chance: Chance,
    ledger: Ledger,
    manager: Manager,
    next: usize,
}

impl Worker {
    async fn new(broker: Arc<Broker>, who: usize) -> Self {
        let manager = connect(&broker, who).await;
        Self { broker, who, chance: Chance::new(who), ledger: Ledger::default(), manager, next: 0 }
    }

    async fn work(mut self) -> Ledger {
        for _ in 0..ROUNDS {
            match self.chance.below(12) {
                0..=2 => self.publish().await,
                3..=6 => self.consume().await,
                7 => self.post().await,
                8 => self.subscribe().await,
                9 => self.manager = connect(&self.broker, self.who).await,
                _ => self.manage().await,
            }
        }
        self.ledger
    }

    /// A message that no other is like, and the subject's first word.
    fn message(&mut self) -> (String, usize, Bytes) {
        let number = self.next;
        self.next += 1;
        let (name, word) = (format!("{}-{number}", self.who), self.chance.below(4));
        let properties = Properties { subject: Some(format!("w{word}.x").into()), ..Properties::default() };
        let parity = Map::from_iter([("parity", Value::Int((number % 2) as i32))]);
        let message = Message {
            header: Some(Header { priority: Some((number % 10) as u8), ..Header::default() }),
            properties: Some(Box::new(properties)),
            application_properties: Some(ApplicationProperties(parity)),
            ..Message::from(name.as_str())
        };
        (name, word, message.to_bytes())
    }

    /// Where messages go in, and the queue where that is one.
    fn target(&mut self) -> (&'static str, Option<usize>) {
        match self.chance.below(5) {
            0 => ("kept", None),
            1 => ("detour", None),
            at => (KEPT[at - 2].0, Some(at - 2)),
        }
    }

    fn note_sent(&mut self, queue: Option<usize>, word: usize, name: &str) {
        let queues = match queue {
            Some(queue) => vec![queue],
            None if word == 0 => vec![0, 1, 2],
            None => vec![1, 2],
        };
        self.ledger.sent.extend(queues.into_iter().map(|queue| (queue, name.to_owned())));
    }

    async fn publish(&mut self) {
        let (target, queue) = self.target();
        let link = self.manager.client.sender(target).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..self.chance.below(20) {
            let (name, word, payload) = self.message();
            waiting.push((name, word, self.manager.client.send_with(link, &payload, false).await));
        }
        for (name, word, token) in waiting {
            let outcome = self.manager.client.outcome(link, token).await.state;
            assert_eq!(outcome, Some(DeliveryState::Accepted), "{name} to {target}");
            self.note_sent(queue, word, &name);
        }
        self.manager.client.detach(link).await;
    }

    /// Posts to several nodes in a transaction, and commits it or does not.
    async fn post(&mut self) {
        let control = control(&mut self.manager.client).await;
        let id = declare(&mut self.manager.client, control).await;
        let (mut links, mut posted) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (target, queue) = self.target();
            let link = self.manager.client.sender(target).await.unwrap();
            links.push(link);
            for _ in 0..self.chance.below(4) {
                let (name, word, payload) = self.message();
                let token = hand_over(&mut self.manager.client, link, &id, &payload, false).await;
                let outcome = self.manager.client.outcome(link, token).await.state;
                assert_eq!(outcome, Some(within(&id, Some(Outcome::Accepted))));
                posted.push((queue, word, name));
            }
        }
        let fail = self.chance.below(3) == 0;
        discharge(&mut self.manager.client, control, &id, fail).await.unwrap();
        if !fail {
            for (queue, word, name) in posted {
                self.note_sent(queue, word, &name);
            }
        }
        for link in links.into_iter().chain([control]) {
            self.manager.client.detach(link).await;
        }
    }

    async fn consume(&mut self) {
        let queue = self.chance.below(KEPT.len());
        let browses = self.chance.below(6) == 0;
        let filter = match self.chance.below(4) {
            0 => filters(SELECTOR, "parity = 0"),
            1 => filters(SELECTOR, "parity = 1 OR JMSPriority > 7"),
            _ => None,
        };
        let distribution_mode = browses.then_some(DistributionMode::COPY);
        let source = Source { distribution_mode, filter, ..Source::at(KEPT[queue].0) };
        let credit = 1 + self.chance.below(8);
        let link = self.manager.client.attach_source(source, credit as u32).await.unwrap();
        for _ in 0..1 + self.chance.below(credit) {
            let Some(delivery) = self.manager.client.receive_within(link, Duration::from_millis(15)).await else {
                break;
            };
            let entry = (queue, text(&delivery));
            let state: DeliveryState = match self.chance.below(8) {
                // It goes back when the link ends.
                0 => continue,
                1 => DeliveryState::Released,
                2 => Outcome::modified(true, false, None).into(),
                3 if !browses => {
                    self.ledger.rejected.insert(entry);
                    Outcome::rejected(None).into()
                }
                _ => {
                    if !browses {
                        self.ledger.taken.insert(entry);
                    }
                    DeliveryState::Accepted
                }
            };
            self.manager.client.settle(link, delivery.number, state);
        }
        if self.chance.below(5) == 0 {
            // The connection vanishes.
            self.manager.client.flush().await;
            self.manager = connect(&self.broker, self.who).await;
        } else {
            self.manager.client.detach(link).await;
        }
    }

    async fn subscribe(&mut self) {
        let source = Source { filter: filters(TOPIC, "w1.#"), ..Source::at("kept") };
        let link = self.manager.client.attach_source(source, 3).await.unwrap();
        for _ in 0..self.chance.below(3) {
            let received = self.manager.client.receive_within(link, Duration::from_millis(10)).await;
            if let Some(delivery) = received.filter(|_| self.chance.below(2) == 0) {
                self.manager.client.accept(link, delivery.number);
            }
        }
        self.manager.client.detach(link).await;
    }

    /// Makes, binds, uses and deletes queues that others make and delete as well.
    async fn manage(&mut self) {
        const VOLATILE: [&str; 3] = ["v0", "v1", "v2"];
        let name = VOLATILE[self.chance.below(3)];
        let settings: &[(&'static str, Value)] = &[
            ("qpid.policy_type", "ring".into()),
            ("qpid.max_count", Value::Int(4)),
            ("qpid.last_value_queue_key", "parity".into()),
            ("qpid.auto_delete_timeout", Value::Int(1)),
            ("qpid.filter", "parity = 1".into()),
        ];
        let mut declaration = match self.chance.below(4) {
            0 => settings[..2].to_vec(),
            1 => settings[2..3].to_vec(),
            2 => settings[4..].to_vec(),
            _ => settings[3..4].to_vec(),
        };
        declaration.push(("auto-delete", self.chance.below(2).eq(&0).into()));
        declaration.push(("alternate-exchange", "kept".into()));
        let statuses = |answer: i64, expected: &[i64]| assert!(expected.contains(&answer), "{answer} for {name}");
        statuses(self.manager.ask("CREATE", QUEUE, name, &declaration).await.status, &[200, 201, 409]);
        let exchange = if self.chance.below(2) == 0 { "kept" } else { "amq.fanout" };
        let binding = [("destination", Value::from(name)), ("bindingKey", "w0.*".into())];
        statuses(self.manager.ask("bind", EXCHANGE, exchange, &binding).await.status, &[200, 404]);
        if self.chance.below(2) == 0 {
            // It may be gone before the link is there, or go while it is.
            if let Ok(link) = self.manager.client.receiver(name, 2).await {
                let received = self.manager.client.receive_within(link, Duration::from_millis(5)).await;
                if let Some(delivery) = received {
                    self.manager.client.settle(link, delivery.number, Outcome::rejected(None));
                }
                self.manager.client.detach(link).await;
            }
        }
        if let Ok(link) = self.manager.client.sender("amq.fanout").await {
            let (_, _, payload) = self.message();
            let token = self.manager.client.send_with(link, &payload, false).await;
            assert!(self.manager.client.outcome(link, token).await.state.is_some());
            self.manager.client.detach(link).await;
        }
        if self.chance.below(2) == 0 {
            statuses(self.manager.ask("unbind", EXCHANGE, exchange, &binding).await.status, &[200, 404]);
        }
        if self.chance.below(2) == 0 {
            statuses(self.manager.ask("DELETE", QUEUE, name, &[]).await.status, &[204, 404]);
        }
    }
}

async fn connect(broker: &Broker, who: usize) -> Manager {
    Manager::over(Client::connect_as(broker, &format!("stress-{who}")).await).await
}

fn filters(code: u64, value: &str) -> Option<FilterSet> {
    Some(FilterSet([("f", Value::described(Value::Ulong(code), value))].into_iter().collect()))
}

/// Takes out everything that is in a queue.
async fn drain(broker: &Broker, client: &mut Client, queue: &str) -> BTreeSet<String> {
    let link: LinkId = client.receiver(queue, 5000).await.unwrap();
    let mut drained = BTreeSet::new();
    loop {
        let stats = broker.queue_stats(queue).unwrap();
        if stats.ready + stats.unsettled == 0 {
            break;
        }
        // What waits for it comes.
        let delivery = client.receive_within(link, Duration::from_secs(1)).await;
        let Some(delivery) = delivery else {
            let stats = broker.queue_stats(queue).unwrap();
            assert_eq!((stats.ready, stats.unsettled), (0, 0), "{queue}");
            break;
        };
        client.accept(link, delivery.number);
        drained.insert(text(&delivery));
        client.engine.receiver(link).set_credit(5000);
    }
    client.detach(link).await;
    drained
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_is_left() {
    let broker = Arc::new(start(Broker::builder()).await);
    let mut manager = Manager::connect(&broker).await;
    manager.expect(201, "CREATE", EXCHANGE, "kept", &[]).await;
    let by_detour = [("alternate-exchange", "kept".into()), ("exchange-type", "direct".into())];
    manager.expect(201, "CREATE", EXCHANGE, "detour", &by_detour).await;
    manager.expect(201, "CREATE", EXCHANGE, "rejects", &[("exchange-type", "fanout".into())]).await;
    manager.expect(201, "CREATE", QUEUE, "rejected", &[]).await;
    manager.expect(200, "bind", EXCHANGE, "rejects", &[("destination", "rejected".into())]).await;
    let settings: [&[(&str, Value)]; 3] =
        [&[], &[("qpid.priorities", Value::Int(5))], &[("qpid.queue_msg_sequence", "number".into())]];
    for ((queue, keys), settings) in KEPT.iter().zip(settings) {
        let declaration = [&[("alternate-exchange", "rejects".into())], settings].concat();
        manager.expect(201, "CREATE", QUEUE, queue, &declaration).await;
        for key in *keys {
            let binding = [("destination", Value::from(*queue)), ("bindingKey", Value::from(*key))];
            manager.expect(200, "bind", EXCHANGE, "kept", &binding).await;
        }
    }

    let mut workers = Vec::new();
    for who in 0..CLIENTS {
        let worker = Worker::new(Arc::clone(&broker), who).await;
        workers.push(tokio::spawn(worker.work()));
    }
    let mut ledger = Ledger::default();
    for worker in workers {
        let Ledger { sent, taken, rejected } = worker.await.unwrap();
        ledger.sent.extend(sent);
        ledger.taken.extend(taken);
        ledger.rejected.extend(rejected);
    }
    assert!(ledger.sent.len() > 300, "they do something");

    eventually("they are gone", || broker.connections() == 1).await;
    let mut left = Vec::new();
    for (queue, _) in KEPT {
        left.push(drain(&broker, &mut manager.client, queue).await);
    }
    let rejected = drain(&broker, &mut manager.client, "rejected").await;
    let is_lost = |entry: &&(usize, String)| {
        let settled = ledger.taken.contains(*entry) || left[entry.0].contains(&entry.1);
        !(settled || ledger.rejected.contains(*entry) && rejected.contains(&entry.1))
    };
    let lost: Vec<_> = ledger.sent.iter().filter(is_lost).collect();
    assert!(lost.is_empty(), "{lost:?}");

    for queue in broker.queues() {
        if !queue.starts_with("dynamic-") {
            let _ = manager.ask("DELETE", QUEUE, &queue, &[]).await;
        }
    }
    for exchange in ["detour", "rejects", "kept"] {
        manager.expect(204, "DELETE", EXCHANGE, exchange, &[]).await;
    }
    let stats = broker.exchange_stats("amq.fanout").unwrap();
    assert_eq!((stats.bindings, stats.queues, stats.producers), (0, 0, 0));
    manager.expect(200, "READ", EXCHANGE, "amq.topic", &[]).await;
    // Only answers to requests are held by now.
    manager.client.close().await;
    eventually("nothing is held", || broker.held_bytes() == 0).await;
    assert_eq!(broker.open_transactions(), 0);
}
