//! The broker as its clients see it: an engine on a real socket, driven by hand.

mod certificates;
mod client;
mod consumers;
mod dead_letters;
mod declarations;
mod delivery;
mod exchanges;
mod expiry;
mod frames;
mod held_bytes;
mod hostile;
mod hostile_links;
mod limits;
mod link_cuts;
mod management;
mod nodes;
mod queue_settings;
mod resuming;
mod sasl;
mod selectors;
mod shutdown;
mod stealing;
mod stress;
mod suspended;
mod tls_header;
mod tokens;
mod topics;
mod transaction_cuts;
mod transaction_ends;
mod transactions;
mod unsettled;
mod wire;

use std::time::Duration;

use postroad_broker::{Broker, Builder};

/// A broker on a free loopback port, with the queue `q0`.
async fn broker() -> Broker {
    start(Broker::builder().queue("q0")).await
}

async fn start(builder: Builder) -> Broker {
    builder.listen("amqp://127.0.0.1:0").start().await.expect("the broker starts")
}

/// Waits until `done` answers `true`, five seconds at most.
async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within five seconds");
}
