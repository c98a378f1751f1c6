//! The broker as its owner holds it.

use std::future::{Future, IntoFuture as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad_amqp::v1_0::asks_for_tls;
use postroad_codec::v1_0::{Map, ProtocolHeader};
use postroad_taps::{Incoming, Listener, Protocol, ProtocolStack};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use crate::builder::{Builder, declare};
use crate::driver::{Blind, Driver, Transport};
use crate::error::QueueError;
use crate::exchange::{self, ExchangeKind, ExchangeStats};
use crate::janitor;
use crate::mailbox::Order;
use crate::node::Kind;
use crate::nodes::RESERVED;
use crate::queue::QueueStats;
use crate::shared::{Registered, Security, Shared};

/// A broker that runs. Dropping it stops everything at once; [`shutdown`](Self::shutdown) lets clients finish.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    listeners: Vec<(Arc<Listener>, JoinHandle<()>)>,
    urls: Vec<String>,
    janitor: JoinHandle<()>,
}

/// What a topic and its subscriptions hold: a topic is an exchange.
pub type TopicStats = ExchangeStats;

/// A socket that listens, and the URL by which it is reached.
pub(crate) struct Listening {
    pub(crate) url: String,
    pub(crate) listener: Arc<Listener>,
}

impl Broker {
    /// Starts to describe a broker.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(shared: Arc<Shared>, listening: Vec<Listening>, handshake: Duration) -> Self {
        let mut broker = {
            let janitor = tokio::spawn(janitor::run(Arc::clone(&shared.nodes), Arc::clone(&shared.links)));
            Self { shared, listeners: Vec::new(), urls: Vec::new(), janitor }
        };
        for Listening { url, listener } in listening {
            let task = tokio::spawn(accept(Arc::clone(&listener), Arc::clone(&broker.shared), handshake));
            broker.listeners.push((listener, task));
            broker.urls.push(url);
        }
        broker
    }

    /// The URLs where it listens, in the order in which they were asked for, with the ports that the system
    /// picked.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The address of the first socket that listens; `None` for a Unix socket.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.listeners.first().and_then(|(listener, _)| listener.local_endpoint().ip())
    }

    /// How many connections there are, those that are not authenticated yet included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections_len()
    }

    /// How many transactions are open, those included that have failed and are not discharged.
    #[must_use]
    pub fn open_transactions(&self) -> usize {
        self.shared.ledger.open()
    }

    /// Bytes of messages that it holds: what [`Limits::total_bytes`](crate::Limits::total_bytes) bounds.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.shared.nodes.budget.used()
    }

    /// How many links are suspended: their connection, session or attachment has ended, and what is left of them waits
    /// for somebody to attach them again.
    #[must_use]
    pub fn suspended_links(&self) -> usize {
        self.shared.links.suspended()
    }

    /// Gives up all suspended links, and says how many there were. What was sent over them and is not settled goes back
    /// to its queue as failed deliveries; whoever attaches one again attaches a new link.
    pub fn forget_suspended_links(&self) -> usize {
        self.shared.links.take_all().len()
    }

    /// Makes a queue, and says whether it is new.
    ///
    /// # Errors
    /// When the name is empty, longer than 1024 bytes or begins with `amq.`, or there are too many nodes. An exchange may have
    /// the name as well.
    pub fn declare_queue(&self, name: &str) -> Result<bool, QueueError> {
        declare(&self.shared.nodes, name, None)
    }

    /// Makes a topic, which is a topic exchange, and says whether it is new.
    ///
    /// # Errors
    /// As for [`declare_exchange`](Self::declare_exchange).
    pub fn declare_topic(&self, name: &str) -> Result<bool, QueueError> {
        self.declare_exchange(name, ExchangeKind::Topic)
    }

    /// Makes an exchange, and says whether it is new.
    ///
    /// # Errors
    /// As for [`declare_queue`](Self::declare_queue), and when there is an exchange of that name and another kind.
    pub fn declare_exchange(&self, name: &str, kind: ExchangeKind) -> Result<bool, QueueError> {
        declare(&self.shared.nodes, name, Some(kind))
    }

    /// Binds a queue to an exchange, and says whether the binding is new. What the key means is up to the exchange's
    /// [kind](ExchangeKind). Bindings with arguments are made by clients.
    ///
    /// ```
    /// # use postroad_broker::{Broker, ExchangeKind};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = Broker::builder().queue("errors").start().await?;
    /// assert!(broker.bind("amq.topic", "errors", "log.*.error")?);
    /// assert!(!broker.bind("amq.topic", "errors", "log.*.error")?);
    /// broker.unbind("amq.topic", "errors", "log.*.error")?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When there is no such exchange or queue, the key is longer than 255 bytes, or there are too many bindings.
    pub fn bind(&self, exchange: &str, queue: &str, key: &str) -> Result<bool, QueueError> {
        let bound = self.shared.nodes.bind(exchange, queue, key, &Map::default());
        bound.map_err(|error| QueueError { name: exchange.to_owned(), reason: error.text })
    }

    /// Removes the bindings of a queue by a key.
    ///
    /// # Errors
    /// When there is no such exchange, queue or binding.
    pub fn unbind(&self, exchange: &str, queue: &str, key: &str) -> Result<(), QueueError> {
        let unbound = self.shared.nodes.unbind(exchange, queue, key, None);
        unbound.map_err(|error| QueueError { name: exchange.to_owned(), reason: error.text })
    }

    /// Whether a queue is bound to an exchange by a key.
    ///
    /// # Errors
    /// When there is no such exchange or queue.
    pub fn is_bound(&self, exchange: &str, queue: &str, key: &str) -> Result<bool, QueueError> {
        let bound = self.shared.nodes.is_bound(exchange, Some(queue), Some(key), None);
        bound.map_err(|error| QueueError { name: exchange.to_owned(), reason: error.text })
    }

    /// Deletes a queue with its messages, and says whether there was one. Links to and from it are detached
    /// with `amqp:resource-deleted`.
    pub fn delete_queue(&self, name: &str) -> bool {
        self.shared.nodes.delete(name, Kind::Queue).unwrap_or(false)
    }

    /// Deletes a topic; as [`delete_exchange`](Self::delete_exchange).
    pub fn delete_topic(&self, name: &str) -> bool {
        self.delete_exchange(name)
    }

    /// Deletes an exchange with its bindings and subscriptions, and says whether there was one that could be deleted: those
    /// that every broker has stay. Links to and from it are detached with `amqp:resource-deleted`.
    pub fn delete_exchange(&self, name: &str) -> bool {
        self.shared.nodes.delete(name, Kind::Exchange).unwrap_or(false)
    }

    /// The names of all queues, in no order.
    #[must_use]
    pub fn queues(&self) -> Vec<String> {
        self.shared.nodes.names(Kind::Queue).into_iter().map(|name| name.to_string()).collect()
    }

    /// The names of all topics, in no order: of the topic exchanges, but for `amq.topic`.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        let topics = self.shared.nodes.exchanges(ExchangeKind::Topic).into_iter();
        topics.filter(|name| !name.starts_with(RESERVED)).map(|name| name.to_string()).collect()
    }

    /// The names of all exchanges, in no order, those included that every broker has.
    #[must_use]
    pub fn exchanges(&self) -> Vec<String> {
        self.shared.nodes.names(Kind::Exchange).into_iter().map(|name| name.to_string()).collect()
    }

    /// What a queue holds now; `None` where there is no such queue.
    #[must_use]
    pub fn queue_stats(&self, name: &str) -> Option<QueueStats> {
        let node = self.shared.nodes.find_kind(name, Kind::Queue)?;
        Some(node.lock().queue.stats())
    }

    /// What an exchange and its subscriptions hold now; `None` where there is no such exchange.
    #[must_use]
    pub fn exchange_stats(&self, name: &str) -> Option<ExchangeStats> {
        exchange::stats(&*self.shared.nodes.find_kind(name, Kind::Exchange)?)
    }

    /// As [`exchange_stats`](Self::exchange_stats), of a topic.
    #[must_use]
    pub fn topic_stats(&self, name: &str) -> Option<TopicStats> {
        self.exchange_stats(name)
    }

    /// Serves one client on a stream that somebody else has opened, such as one end of
    /// [`tokio::io::duplex`]. It counts as not encrypted. The future ends with the connection, and needs no
    /// task of its own.
    ///
    /// # Cancel safety
    /// Dropping the future cuts the client off.
    pub fn serve<S>(&self, stream: S) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let registered = self.shared.register(None);
        async move {
            if let Some(registered) = registered {
                serve(Blind(stream), &[], Security::default(), Instant::now(), registered).await;
            }
        }
    }

    /// Stops in order: takes no client and no message any more, gives clients half of the time to settle what
    /// they have, closes each connection with `amqp:connection:forced`, and cuts off those that are left when
    /// the time is over. Answers how many that were.
    ///
    /// # Cancel safety
    /// Dropping the future cuts everybody off.
    pub async fn shutdown(mut self, timeout: Duration) -> usize {
        for (listener, _) in &self.listeners {
            listener.stop();
        }
        let order = Order::Close { settle_by: Instant::now() + timeout / 2 };
        self.shared.close_all(order);
        for (_, task) in &mut self.listeners {
            // They wait for nothing any more; afterwards another broker can have the addresses.
            let _ = task.await;
        }
        if tokio::time::timeout(timeout, self.shared.idle()).await.is_ok() {
            return 0;
        }
        self.shared.abort_all(order)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.janitor.abort();
        for (listener, task) in &self.listeners {
            listener.stop();
            task.abort();
        }
        let order = Order::Close { settle_by: Instant::now() };
        self.shared.close_all(order);
        self.shared.abort_all(order);
    }
}

async fn accept(listener: Arc<Listener>, shared: Arc<Shared>, handshake: Duration) {
    loop {
        match listener.incoming().await {
            Ok(Some(incoming)) => {
                let peer = incoming.remote_endpoint();
                let Some(registered) = shared.register(peer.ip().map(|address| address.ip())) else {
                    warn!(%peer, "too many connections: one was cut off");
                    continue;
                };
                let (key, mailbox) = (registered.key(), Arc::clone(&registered.mailbox));
                let task = tokio::spawn(establish(incoming, handshake, registered));
                shared.set_abort(key, &mailbox, task.abort_handle());
            }
            Ok(None) => return,
            Err(error) => warn!(%error, "cannot accept"),
        }
    }
}

async fn establish(incoming: Incoming, handshake: Duration, registered: Registered) {
    let (peer, mut since) = (incoming.remote_endpoint().clone(), Instant::now());
    let established = tokio::select! {
        established = incoming.establish().timeout(handshake).into_future() => established,
        () = registered.shared.closing() => return,
    };
    let connection = match established {
        Ok(connection) => connection,
        Err(error) => return debug!(%peer, %error, "connection not established"),
    };
    let over_tcp = connection.protocol_stack().map(ProtocolStack::protocol) == Some(Protocol::Tcp);
    let mut stream = match connection.into_byte_stream() {
        Ok(stream) => stream,
        Err(error) => return debug!(%peer, %error, "connection not established"),
    };
    let mut first = Vec::new();
    // On a port that begins in clear text the first words may ask for TLS. Without a configuration the engine knows what
    // to answer, and so it does where there is no TCP to put TLS upon.
    let begins_clear = over_tcp && stream.tls_info().is_none();
    if let Some(tls) = registered.shared.settings.tls.as_ref().filter(|_| begins_clear) {
        let answer = ProtocolHeader::TLS.to_bytes();
        let begun = stream.accept_tls_where_asked::<{ ProtocolHeader::LENGTH }>(tls, asks_for_tls, &answer);
        let begun = tokio::select! {
            begun = tokio::time::timeout(handshake, begun) => begun,
            () = registered.shared.closing() => return,
        };
        let begun = match begun {
            Ok(Ok(begun)) => begun,
            Ok(Err(error)) => return debug!(%peer, %error, "connection not established"),
            Err(_) => return debug!(%peer, "the client said nothing, or asked for TLS and did not go on"),
        };
        first.extend_from_slice(begun.words());
        stream = begun.into_stream();
    }
    let security = Security::of(&stream);
    if security.secure {
        since = Instant::now();
    }
    serve(stream, &first, security, since, registered).await;
}

/// In a box, so that what it took to establish the connection is not kept beside it.
async fn serve<T: Transport>(transport: T, first: &[u8], security: Security, since: Instant, registered: Registered) {
    match registered.shared.engine(security, since) {
        Ok(engine) => Box::pin(Driver::new(transport, first, engine, registered)).await,
        Err(error) => warn!(%error, "no random numbers: a connection was closed"),
    }
}
