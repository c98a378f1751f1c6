use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use postroad_codec::v1_0::{
    ApplicationProperties, Attach, Map, Message, MessageFormat, Properties, Role, Source, Symbol, Value,
};

use super::*;
use crate::filter::Origin;
use crate::message::Held;
use crate::node::Hold;
use crate::settings::LimitPolicy;
use crate::subscription::{Share, subscribe};
use crate::terminus::grant_source;

mod leaving;

const LIMITS: QueueLimits = QueueLimits { messages: 10, bytes: 10_000 };

fn nodes() -> Nodes {
    let limits =
        NodeLimits { nodes: 30, subscriptions: 1, bindings: 1000, queue: LIMITS, subscription: LIMITS, bytes: 100_000 };
    Nodes::new(limits, Policies::default())
}

fn held(subject: &str, headers: &[(&'static str, Value)]) -> Held {
    let properties = Properties { subject: Some(subject.into()), ..Properties::default() };
    let mut application = ApplicationProperties::default();
    for (key, value) in headers {
        application.0.insert(*key, value.clone());
    }
    let message = Message {
        properties: Some(Box::new(properties)),
        application_properties: Some(application),
        ..Message::from("x")
    };
    Held::new(message.to_bytes(), MessageFormat(0))
}

/// Sends messages through an exchange, and tells how many it took.
fn publish(nodes: &Nodes, exchange: &str, messages: impl IntoIterator<Item = Held>) -> usize {
    let node = nodes.find_kind(exchange, Kind::Exchange).unwrap();
    let mut state = node.lock();
    let mut woken = Vec::new();
    let mut transit = nodes.transit(&node, &state, Instant::now());
    let mut taken = 0;
    for held in messages {
        taken += usize::from(transit.take(&mut state, held, None, &mut woken).is_ok());
    }
    let aftermath = transit.publish(&mut state, &mut woken);
    drop(state);
    nodes.attend(&node, aftermath);
    taken
}

fn ready(nodes: &Nodes, queue: &str) -> usize {
    nodes.find_kind(queue, Kind::Queue).unwrap().lock().queue.stats().ready
}

fn none() -> Map {
    Map::default()
}

#[test]
fn a_deleted_node_holds_no_messages() {
    let nodes = nodes();
    let (node, _) = nodes.declare_queue("a", &Declaration::default(), None).unwrap();
    node.lock().queue.push(Held::new(Bytes::from_static(b"message"), MessageFormat(0))).unwrap();
    assert_eq!(node.lock().queue.available(), 1);
    assert!(nodes.delete("a", Kind::Queue).unwrap());
    assert_eq!(node.lock().queue.available(), 0);
}

#[test]
fn queues_and_exchanges_have_names_of_their_own() {
    let nodes = nodes();
    assert!(nodes.declare_exchange("a", &Declaration::of_exchange(ExchangeKind::Fanout)).unwrap().1);
    assert_eq!(nodes.find("a").unwrap().kind, Kind::Exchange);
    assert!(nodes.declare_queue("a", &Declaration::default(), None).unwrap().1);
    assert_eq!(nodes.find("a").unwrap().kind, Kind::Queue);
    assert!(nodes.delete("a", Kind::Queue).unwrap() && !nodes.delete("a", Kind::Queue).unwrap());
    assert_eq!(nodes.find("a").unwrap().kind, Kind::Exchange);
}

#[test]
fn the_exchanges_of_the_broker_are_there_and_stay() {
    let nodes = nodes();
    for (kind, name) in ExchangeKind::ALL {
        let (node, created) = nodes.declare_exchange(name, &Declaration::of_exchange(kind)).unwrap();
        assert!(!created && node.exchange_kind == Some(kind));
        assert_eq!(nodes.delete(name, Kind::Exchange).unwrap_err().fault, Fault::NotAllowed);
    }
    for refused in [
        nodes.declare_exchange("amq.other", &Declaration::of_exchange(ExchangeKind::Topic)),
        nodes.declare_queue("amq.q", &Declaration::default(), None),
    ] {
        assert_eq!(refused.unwrap_err().fault, Fault::NotAllowed);
    }
}

#[test]
fn direct_goes_by_the_whole_key_and_one_queue_gets_one_copy() {
    let nodes = nodes();
    for name in ["a", "b"] {
        nodes.declare_queue(name, &Declaration::default(), None).unwrap();
        assert!(nodes.bind("amq.direct", name, "k", &none()).unwrap());
    }
    assert!(!nodes.bind("amq.direct", "a", "k", &none()).unwrap(), "the same one");
    assert!(nodes.bind("amq.direct", "a", "", &none()).unwrap());
    assert_eq!(publish(&nodes, "amq.direct", [held("k", &[]), held("k.x", &[]), held("", &[])]), 3);
    assert_eq!((ready(&nodes, "a"), ready(&nodes, "b")), (2, 1));
    let garbage = Held::new(Bytes::from_static(b"garbage"), MessageFormat(0));
    publish(&nodes, "amq.direct", [garbage]);
    assert_eq!(ready(&nodes, "a"), 3, "it has no subject");
    nodes.unbind("amq.direct", "a", "k", None).unwrap();
    assert_eq!(nodes.unbind("amq.direct", "a", "k", None).unwrap_err().fault, Fault::NotFound);
    publish(&nodes, "amq.direct", [held("k", &[])]);
    assert_eq!((ready(&nodes, "a"), ready(&nodes, "b")), (3, 2));
    let stats = crate::exchange::stats(&nodes.find("amq.direct").unwrap()).unwrap();
    assert_eq!((stats.queues, stats.bindings, stats.published, stats.unroutable), (2, 2, 5, 1));
}

#[test]
fn topic_fanout_and_headers_choose() {
    let nodes = nodes();
    for name in ["a", "b", "c"] {
        nodes.declare_queue(name, &Declaration::default(), None).unwrap();
    }
    for (queue, key) in [("a", "x.*"), ("a", "x.y"), ("b", "#.y"), ("c", "#")] {
        nodes.bind("amq.topic", queue, key, &none()).unwrap();
    }
    publish(&nodes, "amq.topic", [held("x.y", &[]), held("y", &[]), held("z", &[]), held(&"y.".repeat(200), &[])]);
    assert_eq!([ready(&nodes, "a"), ready(&nodes, "b"), ready(&nodes, "c")], [1, 2, 4]);
    for queue in ["a", "b"] {
        assert!(nodes.bind("amq.fanout", queue, "whatever", &none()).unwrap());
    }
    let meaningless: Map = [("k", "v")].into_iter().collect();
    assert!(!nodes.bind("amq.fanout", "a", "", &meaningless).unwrap(), "neither keys nor arguments tell them apart");
    assert!(!nodes.bind("amq.topic", "a", "x.*", &meaningless).unwrap());
    publish(&nodes, "amq.fanout", [held("z", &[])]);
    assert_eq!([ready(&nodes, "a"), ready(&nodes, "b"), ready(&nodes, "c")], [2, 3, 4]);
    let arguments = |mode: &str, key: &'static str| -> Map {
        [("x-match", Value::from(mode)), (key, Value::Int(1))]
            .map(|(key, value)| (Value::from(key), value))
            .into_iter()
            .collect()
    };
    assert!(nodes.bind("amq.match", "a", "k", &arguments("all", "one")).unwrap());
    assert!(nodes.bind("amq.match", "a", "k", &arguments("all", "two")).unwrap(), "other arguments");
    let mut turned = arguments("all", "two");
    turned.0.reverse();
    assert!(!nodes.bind("amq.match", "a", "k", &turned).unwrap(), "the order means nothing");
    assert!(nodes.bind("amq.match", "b", "", &none()).unwrap());
    publish(&nodes, "amq.match", [held("", &[("one", Value::Long(1)), ("two", Value::Long(1))]), held("", &[])]);
    assert_eq!([ready(&nodes, "a"), ready(&nodes, "b")], [3, 5]);
    nodes.unbind("amq.match", "a", "k", Some(&none())).unwrap_err();
    nodes.unbind("amq.match", "a", "k", Some(&turned)).unwrap();
    assert!(nodes.is_bound("amq.match", Some("a"), None, Some(&arguments("all", "one"))).unwrap());
    assert!(!nodes.is_bound("amq.match", Some("a"), None, Some(&turned)).unwrap());
    nodes.unbind("amq.match", "a", "k", None).unwrap();
    assert!(!nodes.is_bound("amq.match", Some("a"), None, None).unwrap());
    assert!(nodes.is_bound("amq.match", None, Some(""), None).unwrap());
}

#[test]
fn what_is_bound_is_told() {
    let nodes = nodes();
    nodes.declare_queue("a", &Declaration::default(), None).unwrap();
    nodes.declare_queue("b", &Declaration::default(), None).unwrap();
    nodes.bind("amq.topic", "a", "k", &none()).unwrap();
    let bound = |queue, key| nodes.is_bound("amq.topic", queue, key, None).unwrap();
    assert!(bound(None, None) && bound(Some("a"), None) && bound(None, Some("k")) && bound(Some("a"), Some("k")));
    assert!(!bound(Some("b"), None) && !bound(Some("a"), Some("l")) && !bound(None, Some("l")));
    for (exchange, queue) in [("none", "a"), ("amq.topic", "none")] {
        assert_eq!(nodes.bind(exchange, queue, "", &none()).unwrap_err().fault, Fault::NotFound);
        assert_eq!(nodes.unbind(exchange, queue, "", None).unwrap_err().fault, Fault::NotFound);
        assert_eq!(nodes.is_bound(exchange, Some(queue), None, None).unwrap_err().fault, Fault::NotFound);
    }
}

#[test]
fn a_queue_knows_where_it_is_bound() {
    let nodes = nodes();
    let (queue, _) = nodes.declare_queue("a", &Declaration::default(), None).unwrap();
    for key in ["k", "l"] {
        nodes.bind("amq.topic", "a", key, &none()).unwrap();
    }
    nodes.unbind("amq.topic", "a", "k", None).unwrap();
    assert_eq!(queue.lock().bound.len(), 1);
    nodes.unbind("amq.topic", "a", "l", None).unwrap();
    assert!(queue.lock().bound.is_empty());
}

#[test]
fn whoever_goes_takes_bindings_along() {
    let nodes = nodes();
    nodes.declare_exchange("e", &Declaration::of_exchange(ExchangeKind::Topic)).unwrap();
    let (queue, _) = nodes.declare_queue("a", &Declaration::default(), None).unwrap();
    for key in ["k", "l", "#"] {
        nodes.bind("e", "a", key, &none()).unwrap();
        nodes.bind("amq.fanout", "a", key, &none()).unwrap();
    }
    assert_eq!(nodes.bindings.load(Ordering::Relaxed), 4, "a fanout exchange knows no keys");
    assert_eq!(queue.lock().bound.len(), 2);
    nodes.delete("e", Kind::Exchange).unwrap();
    assert_eq!(queue.lock().bound.len(), 1);
    nodes.delete("a", Kind::Queue).unwrap();
    assert_eq!(nodes.bindings.load(Ordering::Relaxed), 0);
    assert!(!nodes.is_bound("amq.fanout", None, None, None).unwrap());
    assert_eq!(publish(&nodes, "amq.fanout", [held("k", &[])]), 1);
}

#[test]
fn a_full_queue_takes_nothing_for_the_others_either() {
    let nodes = nodes();
    for name in ["a", "b"] {
        nodes.declare_queue(name, &Declaration::default(), None).unwrap();
        nodes.bind("amq.direct", name, "both", &none()).unwrap();
        nodes.bind("amq.fanout", name, "", &none()).unwrap();
    }
    nodes.bind("amq.direct", "a", "one", &none()).unwrap();
    assert_eq!(publish(&nodes, "amq.direct", (0..7).map(|_| held("one", &[]))), 7);
    assert_eq!(publish(&nodes, "amq.direct", (0..7).map(|_| held("both", &[]))), 3);
    assert_eq!([ready(&nodes, "a"), ready(&nodes, "b")], [10, 3]);
    assert_eq!(publish(&nodes, "amq.fanout", [held("", &[])]), 0);
    let stats = |name| nodes.find_kind(name, Kind::Queue).unwrap().lock().queue.stats();
    assert_eq!([stats("a").uncommitted, stats("b").uncommitted], [0, 0], "no room stays taken");
}

#[test]
fn bindings_are_limited_in_all_and_in_size() {
    let nodes = nodes();
    nodes.declare_queue("a", &Declaration::default(), None).unwrap();
    let fault = |bound: Result<bool, NodeError>| bound.unwrap_err().fault;
    assert_eq!(fault(nodes.bind("amq.topic", "a", &"k".repeat(256), &none())), Fault::Invalid);
    assert!(nodes.bind("amq.topic", "a", &"k".repeat(255), &none()).unwrap());
    assert_eq!(fault(nodes.bind("amq.topic", "a", &["k"; 33].join("."), &none())), Fault::Limit);
    let large: Map = [("k", "v".repeat(5000))].into_iter().collect();
    assert_eq!(fault(nodes.bind("amq.match", "a", "", &large)), Fault::Limit);
    let odd: Map = [("x-match", "none")].into_iter().collect();
    assert_eq!(fault(nodes.bind("amq.match", "a", "", &odd)), Fault::Invalid);
    assert!(!nodes.is_bound("amq.match", None, None, None).unwrap());
    for key in 1..1000 {
        assert!(nodes.bind("amq.topic", "a", &key.to_string(), &none()).unwrap());
    }
    assert_eq!(fault(nodes.bind("amq.topic", "a", "more", &none())), Fault::Limit);
    assert!(!nodes.bind("amq.topic", "a", "7", &none()).is_ok_and(|fresh| fresh));
    nodes.delete("a", Kind::Queue).unwrap();
    assert_eq!(nodes.bindings.load(Ordering::Relaxed), 0);
}

#[test]
fn who_comes_as_the_last_consumer_goes_finds_the_queue_gone() {
    let nodes = Arc::new(nodes());
    let mut declaration = Declaration::default();
    declaration.auto_delete = true;
    let (node, _) = nodes.declare_queue("a", &declaration, None).unwrap();
    let last = Hold::new(Arc::clone(&node), &nodes, false).unwrap().consuming().unwrap();
    let next = Hold::new(Arc::clone(&node), &nodes, false).unwrap();
    drop(last);
    assert!(next.consuming().is_none() && nodes.find("a").is_none());
    assert_eq!(node.lock().links, 0);
}

/// Each property that a binding asks for is looked up for every message.
#[test]
fn what_headers_bindings_ask_for_is_limited_in_all() {
    const EACH: usize = 500;
    let nodes = nodes();
    nodes.declare_queue("a", &Declaration::default(), None).unwrap();
    let arguments =
        |from: usize| -> Map { (from..from + EACH).map(|at| (Value::from(format!("{at:x}")), Value::Null)).collect() };
    let mut bound = 0;
    while bound < 1000 && nodes.bind("amq.match", "a", "", &arguments(bound)).is_ok() {
        bound += 1;
    }
    assert_eq!(bound, 262_144 / EACH);
    assert_eq!(nodes.bind("amq.match", "a", "", &arguments(bound)).unwrap_err().fault, Fault::Limit);
    assert!(nodes.bind("amq.match", "a", "", &none()).unwrap(), "this one asks for nothing");
    nodes.unbind("amq.match", "a", "", Some(&arguments(7))).unwrap();
    assert!(nodes.bind("amq.match", "a", "", &arguments(bound)).unwrap());
}

/// A subject can be at all places behind a `#` at once.
#[test]
fn words_behind_a_hash_are_limited_in_all() {
    let nodes = nodes();
    nodes.declare_queue("a", &Declaration::default(), None).unwrap();
    let pattern = |at: usize| format!("#.{at}{}", ".b".repeat(30));
    let mut bound = 0;
    while bound < 1000 && nodes.bind("amq.topic", "a", &pattern(bound), &none()).is_ok() {
        bound += 1;
    }
    assert_eq!(bound, 4096 / 31);
    assert_eq!(nodes.bind("amq.topic", "a", &pattern(bound), &none()).unwrap_err().fault, Fault::Limit);
    assert_eq!(nodes.bindings.load(Ordering::Relaxed), bound);
    assert!(nodes.bind("amq.topic", "a", "a.#", &none()).unwrap());
    nodes.unbind("amq.topic", "a", &pattern(0), None).unwrap();
    assert!(nodes.bind("amq.topic", "a", &pattern(bound), &none()).unwrap());
}

/// Between the end of a node and the moment when it is forgotten.
#[test]
fn a_node_that_has_just_gone_is_made_again() {
    let nodes = Arc::new(nodes());
    let mut declaration = Declaration::default();
    declaration.auto_delete = true;
    let (queue, _) = nodes.declare_queue("a", &declaration, None).unwrap();
    let (exchange, _) = nodes.declare_exchange("a", &declaration).unwrap();
    queue.lock().deleted = true;
    exchange.lock().deleted = true;
    let (fresh, made) = nodes.declare_queue("a", &declaration, None).unwrap();
    assert!(made && !Arc::ptr_eq(&fresh, &queue));

    let capabilities = ["topic", "create-on-demand"].map(Symbol::from_static);
    let source = Source { capabilities: capabilities.into_iter().collect(), ..Source::at("a") };
    let attach = Attach { role: Role::Receiver, source: Some(Box::new(source)), ..Attach::default() };
    let owner = || Owner { user: "".into(), container: "c".into() };
    let granted = grant_source(&nodes, false, &attach, owner, Origin::default()).unwrap();
    assert!(granted.hold.addressed().exchange_kind.is_some());
    assert!(!std::ptr::eq(granted.hold.addressed(), &*exchange));
    // Those who come to it late forget no other.
    nodes.forget(&exchange);
    assert!(nodes.find_kind("a", Kind::Exchange).is_some());
}

#[test]
fn who_subscribes_as_the_last_binding_goes_finds_the_exchange_gone() {
    let nodes = Arc::new(nodes());
    let mut declaration = Declaration::default();
    declaration.auto_delete = true;
    let (exchange, _) = nodes.declare_exchange("e", &declaration).unwrap();
    let hold = || Hold::new(Arc::clone(&exchange), &nodes, false).unwrap();
    let by_all = [("#".into(), Map::default())];
    let last = subscribe(hold(), &nodes, None, &by_all, None).unwrap().unwrap();
    let next = hold();
    drop(last);
    assert!(subscribe(next, &nodes, None, &by_all, None).unwrap().is_none());
    assert!(nodes.find_kind("e", Kind::Exchange).is_none());
    assert_eq!((exchange.lock().links, nodes.bindings.load(Ordering::Relaxed)), (0, 0));
}

#[test]
fn a_queue_that_lingers_has_all_its_time_after_each_consumer() {
    let nodes = Arc::new(nodes());
    let mut declaration = Declaration::default();
    declaration.auto_delete = true;
    declaration.settings.auto_delete_timeout = Some(Duration::from_secs(5));
    let (queue, _) = nodes.declare_queue("a", &declaration, None).unwrap();
    let consumer = || Hold::new(Arc::clone(&queue), &nodes, false).unwrap().consuming().unwrap();
    drop(consumer());
    let next = consumer();
    assert_eq!(queue.lock().over_since, None);
    drop(next);
    assert!(queue.lock().over_since.is_some() && nodes.find("a").is_some());
    queue.lock().over_since = Instant::now().checked_sub(Duration::from_secs(5));
    nodes.reap(&queue);
    assert!(nodes.find("a").is_none());
}

#[test]
fn what_others_share_is_all_that_is_bound() {
    let nodes = Arc::new(nodes());
    let (exchange, _) = nodes.declare_exchange("e", &Declaration::default()).unwrap();
    let share = || Some(Share { scope: None, name: "s".into() });
    let hold = || Hold::new(Arc::clone(&exchange), &nodes, false).unwrap();
    let [one, other] = ["k", "l"].map(|key| (ByteString::from(key), Map::default()));
    let both = [one.clone(), other.clone()];
    let _first = subscribe(hold(), &nodes, share(), &both, None).unwrap().unwrap();
    for bindings in [&both[..], &[other.clone(), one.clone(), one.clone()]] {
        subscribe(hold(), &nodes, share(), bindings, None).unwrap().unwrap();
    }
    for bindings in [&[one.clone()][..], &[], &[one.clone(), one], &[other, ("m".into(), none())]] {
        assert_eq!(subscribe(hold(), &nodes, share(), bindings, None).unwrap_err().fault, Fault::Conflict);
    }
}

/// An exchange that goes with its last binding waits for those whose alternate exchange it is.
#[test]
fn an_exchange_goes_once_it_is_no_alternate_exchange() {
    let nodes = nodes();
    let mut declaration = Declaration::of_exchange(ExchangeKind::Fanout);
    declaration.auto_delete = true;
    let (exchange, _) = nodes.declare_exchange("e", &declaration).unwrap();
    let mut declaration = Declaration::default();
    declaration.alternate_exchange = Some("e".into());
    nodes.declare_queue("a", &declaration, None).unwrap();
    nodes.bind("e", "a", "", &none()).unwrap();
    nodes.unbind("e", "a", "", None).unwrap();
    assert!(nodes.find("e").is_some());
    nodes.delete("a", Kind::Queue).unwrap();
    assert!(nodes.find("e").is_none());
    // One that has just gone is found no more, though it has its name.
    exchange.lock().deleted = false;
    let (again, _) = nodes.declare_exchange("e", &Declaration::default()).unwrap();
    again.lock().deleted = true;
    assert_eq!(nodes.declare_queue("b", &declaration, None).unwrap_err().fault, Fault::NotFound);
}

#[test]
fn alternate_exchanges_follow_each_other_so_far_and_no_further() {
    let nodes = Nodes::new(NodeLimits { nodes: 100, ..nodes().limits }, Policies::default());
    let declare = |name: usize, alternate: &str| {
        let mut declaration = Declaration::of_exchange(ExchangeKind::Direct);
        declaration.alternate_exchange = Some(alternate.into());
        nodes.declare_exchange(&name.to_string(), &declaration)
    };
    declare(1, "amq.fanout").unwrap();
    for name in 2..=MAX_DETOURS {
        declare(name, &(name - 1).to_string()).unwrap();
    }
    assert_eq!(declare(99, &MAX_DETOURS.to_string()).unwrap_err().fault, Fault::Limit);
    nodes.declare_queue("left", &Declaration::default(), None).unwrap();
    nodes.bind("amq.fanout", "left", "", &none()).unwrap();
    publish(&nodes, &MAX_DETOURS.to_string(), [held("k", &[])]);
    assert_eq!(ready(&nodes, "left"), 1);
}

/// A subscription that is made as others go keeps the exchange.
#[test]
fn an_exchange_stays_for_the_next_subscription() {
    let nodes = Arc::new(nodes());
    let mut declaration = Declaration::default();
    declaration.auto_delete = true;
    let (exchange, _) = nodes.declare_exchange("e", &declaration).unwrap();
    nodes.declare_queue("q", &Declaration::default(), None).unwrap();
    nodes.bind("e", "q", "k", &none()).unwrap();
    let hold = Hold::new(Arc::clone(&exchange), &nodes, false).unwrap();
    let too_many =
        subscribe(hold, &nodes, None, &[("k".into(), Map::default()), ("k".repeat(300).into(), none())], None);
    assert_eq!(too_many.unwrap_err().fault, Fault::Invalid);
    let hold = Hold::new(Arc::clone(&exchange), &nodes, false).unwrap();
    let subscription = subscribe(hold, &nodes, None, &[("k".into(), Map::default())], None).unwrap().unwrap();
    nodes.unbind("e", "q", "k", None).unwrap();
    assert!(nodes.find("e").is_some());
    assert_eq!(nodes.bindings.load(Ordering::Relaxed), 1);
    drop(subscription);
    assert!(nodes.find("e").is_none());
    assert_eq!(nodes.bindings.load(Ordering::Relaxed), 0);
}
