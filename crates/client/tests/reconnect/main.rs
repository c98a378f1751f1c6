//! Connections that are lost and made anew, against a broker behind a proxy that breaks them.

mod exactly_once;
mod failover;
mod limits;
mod management;
mod receiving;
mod sending;
mod streaming;
mod transactions;

use std::time::Duration;

use postroad_broker::Broker;
use postroad_client::{
    ConnectOptions, Connection, ConnectionEvent, ConnectionEvents, Guarantee, LinkOptions, Message, Reconnect,
};
use postroad_testkit::Proxy;
use postroad_testkit::faults::Plan;

/// More than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A broker, and a proxy before it.
pub(crate) struct Road {
    pub(crate) broker: Broker,
    pub(crate) proxy: Proxy,
}

impl Road {
    pub(crate) async fn new(queues: &[&str]) -> Self {
        Self::with_plan(queues, Plan::new(1)).await
    }

    pub(crate) async fn with_plan(queues: &[&str], plan: Plan) -> Self {
        let builder = queues.iter().fold(Broker::builder(), |builder, queue| builder.queue(*queue));
        Self::before(builder, plan).await
    }

    pub(crate) async fn before(builder: postroad_broker::Builder, plan: Plan) -> Self {
        let broker = builder.listen("amqp://127.0.0.1:0").start().await.unwrap();
        let proxy = Proxy::start(broker.addr().unwrap(), plan).await.unwrap();
        Self { broker, proxy }
    }

    /// How to connect through the proxy: again at once, and soon after that.
    pub(crate) fn options(&self) -> ConnectOptions {
        options_to(&self.proxy)
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.options()).await.unwrap()
    }

    /// A connection that nothing happens to.
    pub(crate) async fn quiet(&self) -> Connection {
        Connection::open(ConnectOptions::new(self.broker.urls()[0].parse().unwrap())).await.unwrap()
    }

    /// Waits until the broker knows that everything in a queue is settled.
    pub(crate) async fn empty(&self, queue: &str) {
        let emptied = async {
            while self.broker.queue_stats(queue).is_some_and(|stats| stats.ready + stats.unsettled > 0) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, emptied).await.expect("the queue becomes empty");
    }

    /// Everything that waits in a queue.
    pub(crate) async fn drain(&self, queue: &str) -> Vec<String> {
        let session = self.quiet().await.session().await.unwrap();
        let mut receiver = session.receiver(queue).await.unwrap();
        let mut texts = Vec::new();
        while let Some(message) = receiver.fetch(Duration::ZERO).await.unwrap() {
            receiver.accept(&message).unwrap();
            texts.push(message.text().unwrap().to_owned());
        }
        receiver.close().await.unwrap();
        texts
    }
}

pub(crate) fn options_to(proxy: &Proxy) -> ConnectOptions {
    let mut options = ConnectOptions::new(format!("amqp://{}", proxy.addr()).parse().unwrap());
    options.reconnect = Some(quickly());
    options
}

pub(crate) fn quickly() -> Reconnect {
    let mut reconnect = Reconnect::default();
    (reconnect.interval, reconnect.max_interval) = (Duration::from_millis(5), Duration::from_millis(20));
    reconnect.timeout = Some(PATIENCE);
    reconnect
}

pub(crate) fn guaranteed(guarantee: Guarantee) -> LinkOptions {
    let mut options = LinkOptions::default();
    options.guarantee = guarantee;
    options
}

pub(crate) fn numbered(numbers: std::ops::Range<usize>) -> impl Iterator<Item = Message> {
    numbers.map(|number| Message::from(number.to_string().as_str()))
}

/// Waits for an event.
pub(crate) async fn until<R>(events: &mut ConnectionEvents, mut wanted: impl FnMut(ConnectionEvent) -> Option<R>) -> R {
    let seen = async {
        loop {
            let event = events.next().await.expect("the connection is not over");
            if let Some(result) = wanted(event) {
                return result;
            }
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("the event comes")
}

/// Waits until a link is attached again; whether it was resumed.
pub(crate) async fn attached(events: &mut ConnectionEvents) -> bool {
    until(events, |event| match event {
        ConnectionEvent::LinkAttached { resumed, .. } => Some(resumed),
        _ => None,
    })
    .await
}
