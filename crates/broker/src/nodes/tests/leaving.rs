//! Messages that have to leave a queue, and go through its alternate exchange.

use std::collections::VecDeque;

use postroad_codec::v1_0::{Fields, Header, Milliseconds, Sections};

use super::*;
use crate::exchange;
use crate::message::Return;
use crate::queue::{Demand, Subscriber};

/// A queue that has an alternate exchange.
fn declare(nodes: &Nodes, name: &str, alternate: &str, settings: QueueSettings) -> Arc<Node> {
    let mut declaration = Declaration::default();
    (declaration.settings, declaration.alternate_exchange) = (settings, Some(alternate.into()));
    nodes.declare_queue(name, &declaration, None).unwrap().0
}

/// A ring of so many messages.
fn ring(messages: u64) -> QueueSettings {
    QueueSettings::default().max_messages(messages).limit_policy(LimitPolicy::Ring)
}

fn drained(nodes: &Nodes, queue: &str) -> Vec<Held> {
    nodes.find_kind(queue, Kind::Queue).unwrap().lock().queue.drain()
}

/// Has a consumer take everything that waits in a queue and give it back.
fn give_back(nodes: &Nodes, queue: &Node, how: &Return) {
    let mut state = queue.lock();
    state.queue.tick(Instant::now());
    let (mut out, mut woken) = (VecDeque::new(), Vec::new());
    let id = state.queue.add_consumer(Subscriber::default(), Wake::Exchange(Weak::new())).unwrap();
    state.queue.take(id, Demand { messages: 100, bytes: usize::MAX }, false, &mut out, &mut woken);
    state.queue.give_back(id, out.drain(..).map(|held| (held, how.clone())));
    state.queue.remove_consumer(id);
    let dead = state.queue.take_dead();
    drop(state);
    nodes.bury(queue, dead);
}

/// A message goes on as it is by then: the standard has its annotations and its count changed, not those of one queue.
#[test]
fn what_consumers_have_made_of_a_message_goes_along() {
    let nodes = nodes();
    nodes.declare_queue("left", &Declaration::default(), None).unwrap();
    nodes.bind("amq.fanout", "left", "", &none()).unwrap();
    let queue = declare(&nodes, "q", "amq.fanout", QueueSettings::default());
    let header = Header { first_acquirer: Some(true), priority: Some(7), ..Header::default() };
    let message = Message { header: Some(header), ..Message::from("x") };
    let origin = Origin::of(&Owner { user: "".into(), container: "c".into() });
    let mut held = Held::new(message.to_bytes(), MessageFormat(0));
    held.origin = origin;
    queue.lock().queue.push(held).unwrap();
    let mut annotations = Fields::default();
    annotations.0.insert(Value::Symbol("x-note".into()), Value::Int(5));
    give_back(
        &nodes,
        &queue,
        &Return::Modified { failed: true, undeliverable_here: false, annotations: Some(annotations) },
    );
    assert_eq!([ready(&nodes, "q"), ready(&nodes, "left")], [1, 0]);
    give_back(&nodes, &queue, &Return::Rejected(None));
    let [held] = &drained(&nodes, "left")[..] else { panic!("one was rejected") };
    assert_eq!((held.failures(), held.size()), (0, held.payload.len()));
    assert_eq!(held.origin, origin);
    // It never goes back to where it died.
    let dead = held.clone().with_deaths(vec!["grave".into()]).anew(Instant::now());
    assert_eq!(dead.deaths(), ["grave"]);
    let sections = Sections::find(held.payload.clone()).unwrap();
    let header = sections.header().unwrap().unwrap();
    assert_eq!((header.delivery_count, header.first_acquirer, header.priority), (Some(1), None, Some(7)));
    let annotations = sections.message_annotations().unwrap().unwrap();
    assert_eq!(annotations.0.0.get_str("x-note"), Some(&Value::Int(5)));
    assert_eq!(sections.bare(), Sections::find(message.to_bytes()).unwrap().bare());
    assert_eq!(nodes.find("q").unwrap().lock().queue.stats().bytes, 0);
}

/// Its room was taken when it was still there, and it is gone before it gets what it was taken for.
#[test]
fn what_comes_into_a_queue_that_has_just_gone_goes_on() {
    let nodes = nodes();
    nodes.declare_queue("left", &Declaration::default(), None).unwrap();
    nodes.declare_exchange("x", &Declaration::of_exchange(ExchangeKind::Direct)).unwrap();
    let queue = declare(&nodes, "q", "amq.fanout", QueueSettings::default());
    nodes.bind("amq.fanout", "left", "", &none()).unwrap();
    nodes.bind("x", "q", "k", &none()).unwrap();
    let node = nodes.find("x").unwrap();
    let mut state = node.lock();
    let mut woken = Vec::new();
    let mut transit = nodes.transit(&node, &state, Instant::now());
    transit.take(&mut state, held("k", &[]), None, &mut woken).unwrap();
    assert_eq!(queue.lock().queue.stats().uncommitted, 1);
    queue.lock().deleted = true;
    let aftermath = transit.publish(&mut state, &mut woken);
    drop(state);
    nodes.attend(&node, aftermath);
    assert_eq!(ready(&nodes, "left"), 1);
    let stats = queue.lock().queue.stats();
    assert_eq!((stats.ready, stats.uncommitted, stats.bytes), (0, 0, 0));
}

#[test]
fn the_time_of_a_queue_does_not_go_along() {
    let nodes = nodes();
    nodes.declare_queue("left", &Declaration::default(), None).unwrap();
    nodes.bind("amq.fanout", "left", "", &none()).unwrap();
    let settings = QueueSettings::default().ttl(Duration::from_secs(600));
    let queue = declare(&nodes, "q", "amq.fanout", settings);
    let header = Header { ttl: Some(Milliseconds(5000)), ..Header::default() };
    let own = Message { header: Some(header), ..Message::from("x") };
    for message in [Message::from("x"), own] {
        let mut held = Held::new(message.to_bytes(), MessageFormat(0));
        held.expires = message.header.is_some().then(|| Instant::now() + Duration::from_secs(5));
        let mut state = queue.lock();
        state.queue.tick(Instant::now());
        state.queue.push(held).unwrap();
    }
    give_back(&nodes, &queue, &Return::Rejected(None));
    let expire: Vec<bool> = drained(&nodes, "left").iter().map(|held| held.expires.is_some()).collect();
    assert_eq!(expire, [false, true]);
}

/// A queue that drops its oldest messages into an exchange that leads back to it.
#[test]
fn messages_do_not_go_in_circles() {
    let nodes = nodes();
    for (exchange, queue) in [("x", "a"), ("y", "b")] {
        nodes.declare_exchange(exchange, &Declaration::of_exchange(ExchangeKind::Fanout)).unwrap();
        let settings = QueueSettings::default().max_messages(3).limit_policy(LimitPolicy::Ring);
        let mut declaration = Declaration::default();
        (declaration.settings, declaration.alternate_exchange) = (settings, Some(exchange.into()));
        nodes.declare_queue(queue, &declaration, None).unwrap();
    }
    for (exchange, queue) in [("x", "a"), ("x", "b"), ("y", "b"), ("y", "a")] {
        nodes.bind(exchange, queue, "", &none()).unwrap();
    }
    assert_eq!(publish(&nodes, "x", (0..5).map(|_| held("", &[]))), 5);
    assert_eq!([ready(&nodes, "a"), ready(&nodes, "b")], [3, 3]);
    for queue in ["a", "b"] {
        nodes.delete(queue, Kind::Queue).unwrap();
    }
    assert_eq!(nodes.budget.used(), 0);
}

/// Where every queue leads to all others there are more ways than anybody could go.
#[test]
fn ways_do_not_multiply() {
    const QUEUES: usize = 9;
    let nodes = nodes();
    nodes.declare_exchange("x", &Declaration::of_exchange(ExchangeKind::Fanout)).unwrap();
    for at in 0..QUEUES {
        let name = at.to_string();
        declare(&nodes, &name, "x", ring(1));
        nodes.bind("x", &name, "", &none()).unwrap();
    }
    assert_eq!(publish(&nodes, "x", (0..2).map(|_| held("", &[]))), 2);
    let stats = exchange::stats(&nodes.find("x").unwrap()).unwrap();
    assert!(stats.published < 40_000, "{stats:?}");
    assert!((0..QUEUES).all(|at| ready(&nodes, &at.to_string()) == 1));
}

/// What a deleted queue had is not driven out by anything, however much it is.
#[test]
fn what_is_left_goes_however_much_it_is() {
    let limits = QueueLimits { messages: usize::MAX, bytes: usize::MAX };
    let limits = NodeLimits {
        nodes: 30,
        subscriptions: 1,
        bindings: 1000,
        queue: limits,
        subscription: limits,
        bytes: usize::MAX,
    };
    let nodes = Nodes::new(limits, Policies::default());
    for queue in ["a", "b", "c"] {
        nodes.declare_queue(queue, &Declaration::default(), None).unwrap();
        nodes.bind("amq.fanout", queue, "", &none()).unwrap();
    }
    let queue = declare(&nodes, "q", "amq.fanout", QueueSettings::default());
    let body = Bytes::from_static(b"x");
    for _ in 0..100_000 {
        queue.lock().queue.push(Held::new(body.clone(), MessageFormat(0))).unwrap();
    }
    nodes.delete("q", Kind::Queue).unwrap();
    assert_eq!([ready(&nodes, "a"), ready(&nodes, "c")], [100_000, 100_000]);
}
