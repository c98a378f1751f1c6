//! The embedded broker for programs without a runtime.
//!
//! ```
//! use std::time::Duration;
//! use postroad_broker::blocking::Broker;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::builder().queue("orders").listen("amqp://127.0.0.1:0").start()?;
//! println!("listening on {}", broker.urls()[0]);
//! assert_eq!(broker.shutdown(Duration::from_secs(5))?, 0);
//! # Ok(()) }
//! ```
//!
//! It runs on the one thread that all brokers and connections of the process share; where a broker is to use more than
//! one processor, start it inside a runtime of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use postroad_taps::blocking::{BlockingError, Runtime};
use postroad_taps::blocking::{Wrap, mirror};

use crate::{
    ExchangeKind, ExchangeStats, Limits, NodeOptions, QueueError, QueueStats, StartError, TlsConfig, Tokens,
    TopicStats, UserFile,
};

mirror! {
    /// A broker that runs. Dropping it stops everything at once; [`shutdown`](Self::shutdown) lets clients finish.
    #[derive(Debug)]
    pub struct Broker of crate::Broker, under Runtime;

    pass fn urls(&self) -> &[String];
    pass fn addr(&self) -> Option<SocketAddr>;
    pass fn connections(&self) -> usize;
    pass fn open_transactions(&self) -> usize;
    pass fn held_bytes(&self) -> usize;
    pass fn suspended_links(&self) -> usize;
    pass fn forget_suspended_links(&self) -> usize;
    pass fn declare_queue(&self, name: &str) -> Result<bool, QueueError>;
    pass fn declare_topic(&self, name: &str) -> Result<bool, QueueError>;
    pass fn declare_exchange(&self, name: &str, kind: ExchangeKind) -> Result<bool, QueueError>;
    pass fn bind(&self, exchange: &str, queue: &str, key: &str) -> Result<bool, QueueError>;
    pass fn unbind(&self, exchange: &str, queue: &str, key: &str) -> Result<(), QueueError>;
    pass fn is_bound(&self, exchange: &str, queue: &str, key: &str) -> Result<bool, QueueError>;
    pass fn delete_queue(&self, name: &str) -> bool;
    pass fn delete_topic(&self, name: &str) -> bool;
    pass fn delete_exchange(&self, name: &str) -> bool;
    pass fn queues(&self) -> Vec<String>;
    pass fn topics(&self) -> Vec<String>;
    pass fn exchanges(&self) -> Vec<String>;
    pass fn queue_stats(&self, name: &str) -> Option<QueueStats>;
    pass fn exchange_stats(&self, name: &str) -> Option<ExchangeStats>;
    pass fn topic_stats(&self, name: &str) -> Option<TopicStats>;
}

impl Broker {
    /// Starts to describe a broker.
    pub fn builder() -> Builder {
        Builder { inner: crate::Broker::builder(), guard: () }
    }

    /// As [`Broker::shutdown`](crate::Broker::shutdown), and blocks until that is done.
    ///
    /// # Errors
    /// Inside an async runtime: everybody is cut off then.
    pub fn shutdown(self, timeout: Duration) -> Result<usize, BlockingError> {
        let Self { inner, guard } = self;
        guard.run(inner.shutdown(timeout))
    }
}

mirror! {
    /// Builds a [`Broker`].
    #[derive(Debug)]
    #[must_use]
    pub struct Builder of crate::Builder, under ();

    with fn queue(name: impl Into<String>);
    with fn queue_with(name: impl Into<String>, options: NodeOptions);
    with fn exchange(name: impl Into<String>, kind: ExchangeKind);
    with fn topic(name: impl Into<String>);
    with fn topic_with(name: impl Into<String>, options: NodeOptions);
    with fn node_defaults(options: NodeOptions);
    with fn auto_create(yes: bool);
    with fn anonymous(yes: bool);
    with fn users(users: UserFile);
    with fn tokens(tokens: Arc<dyn Tokens>);
    with fn certificates(yes: bool);
    with fn allow_insecure_plain(yes: bool);
    with fn listen(url: impl Into<String>);
    with fn tls(config: TlsConfig);
    with fn tls_files(certificate: impl AsRef<Path>, key: impl AsRef<Path>);
    with fn container_id(id: impl Into<String>);
    with fn limits(limits: Limits);
    with fn with_limits(change: impl FnOnce(&mut Limits));
    with fn idle_timeout(timeout: Option<Duration>);
    with fn handshake_timeout(timeout: Duration);
    with fn transaction_timeout(timeout: Option<Duration>);
    with fn max_link_timeout(timeout: Duration);
    with fn links_that_never_expire(yes: bool);
}

impl Builder {
    /// Makes the nodes, opens the sockets, and serves clients. The thread that drives connections starts where it does not
    /// run yet.
    ///
    /// # Errors
    /// As [`Builder::start`](crate::Builder::start), and inside an async runtime.
    pub fn start(self) -> Result<Broker, StartError> {
        let runtime = Runtime::shared()?;
        let broker = runtime.run(self.inner.start())??;
        Ok(Broker::wrap(broker, &runtime))
    }
}
