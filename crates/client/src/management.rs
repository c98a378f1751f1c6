//! Nodes of a broker that are made, described, bound and deleted, where it takes requests for that.

mod amqp;
mod error;
mod qmf;

use std::fmt;
use std::time::Duration;

use crate::types::{Fields, Map, Value};
use crate::{Connection, Message, Node, RequestOptions, Requester, Session};

pub use error::ManagementError;

/// The nodes of a broker, as their manager sees them. It has two links of its own, and takes one request at a time.
///
/// AMQP 1.0 by itself makes nodes as links are attached, and knows neither bindings nor deleting. What brokers have for it
/// differs: this speaks to `$management` (AMQP Management 1.0) where the broker offers `AMQP_MANAGEMENT_V1_0`, and QMF2 to
/// Qpid's C++ broker.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use postroad_client::{Binding, ConnectOptions, Connection, NodeKind};
///
/// let connection = Connection::open(ConnectOptions::new("amqp://localhost".parse()?)).await?;
/// let mut management = connection.session().await?.management().await?;
/// management.declare(NodeKind::Queue, "news", Default::default()).await?;
/// management.bind(&Binding::new("amq.topic", "news").key("news.#")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Management {
    dialect: Dialect,
    requester: Requester,
}

/// What a node does with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NodeKind {
    /// It keeps them until they are settled.
    Queue,
    /// It gives them to the queues that are bound to it.
    #[doc(alias = "topic")]
    Exchange,
}

/// Which messages of an exchange go to a queue.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Binding {
    /// The exchange.
    pub exchange: String,
    /// The queue.
    #[doc(alias = "destination")]
    pub queue: String,
    /// What the subject of a message must match, as the kind of the exchange has it.
    #[doc(alias = "bindingKey")]
    pub key: Option<String>,
    /// What else the exchange looks at.
    pub arguments: Map,
}

/// How a broker is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Amqp,
    Qmf,
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most octets of an answer, and the most answers that are taken ahead: a broker cannot have us keep any amount of what
/// nobody asked for.
const ANSWER: u64 = 1024 * 1024;
const ANSWERS: u32 = 10;

/// The connection capability of a broker that has a `$management`.
const CAPABILITY: &str = "AMQP_MANAGEMENT_V1_0";

impl Dialect {
    fn of(connection: &Connection) -> Option<Self> {
        if connection.remote_offered_capabilities().iter().any(|name| name == CAPABILITY) {
            return Some(Self::Amqp);
        }
        let product = connection.remote_property("product");
        product.and_then(|product| (product.as_str() == Some("qpid-cpp")).then_some(Self::Qmf))
    }
}

impl Connection {
    /// Whether the peer takes requests about nodes, in a way that is known here ([`Session::management`]).
    #[must_use]
    pub fn is_managed(&self) -> bool {
        Dialect::of(self).is_some()
    }
}

impl Session {
    /// Attaches links for requests about nodes.
    ///
    /// # Errors
    /// [`ManagementError::Unavailable`] when the peer takes none in a way that is known here; and when it refuses the links.
    ///
    /// # Cancel safety
    /// A dropped future detaches the links again.
    pub async fn management(&self) -> Result<Management, ManagementError> {
        let dialect = Dialect::of(self.connection()).ok_or(ManagementError::Unavailable)?;
        let mut options = RequestOptions::default();
        (options.receiver.prefetch, options.receiver.max_message_size) = (ANSWERS, ANSWER);
        let to = match dialect {
            Dialect::Amqp => Node::at(amqp::ADDRESS),
            Dialect::Qmf => {
                let (from, reply_to) = qmf::answers();
                (options.reply_node, options.reply_to) = (from, Some(reply_to));
                qmf::requests()
            }
        };
        Ok(Management { dialect, requester: self.requester_with(to, options).await? })
    }
}

impl Management {
    /// Makes a node, unless it is there, and tells whether it was made. The properties are those that AMQP 1.0 has for
    /// dynamic nodes, and those that the broker knows beside them, such as `qpid.max_count`.
    ///
    /// # Errors
    /// When the broker refuses it, as it does where a node of the name is there with other properties.
    ///
    /// # Cancel safety
    /// Once polled, the request goes its way. So it is with the others.
    pub async fn declare(&mut self, kind: NodeKind, name: &str, properties: Fields) -> Result<bool, ManagementError> {
        match self.dialect {
            Dialect::Amqp => amqp::declare(self, kind, name, properties).await,
            Dialect::Qmf => qmf::declare(self, kind, name, &properties).await,
        }
    }

    /// Tells what is in force for a node; `None` when there is none of the kind and name.
    ///
    /// # Errors
    /// When the broker refuses to tell.
    pub async fn describe(&mut self, kind: NodeKind, name: &str) -> Result<Option<Fields>, ManagementError> {
        match self.dialect {
            Dialect::Amqp => amqp::describe(self, kind, name).await,
            Dialect::Qmf => qmf::describe(self, kind, name).await,
        }
    }

    /// Deletes a node with what it holds, and tells whether it was there.
    ///
    /// # Errors
    /// When the broker refuses it.
    pub async fn delete(&mut self, kind: NodeKind, name: &str) -> Result<bool, ManagementError> {
        match self.dialect {
            Dialect::Amqp => amqp::delete(self, kind, name).await,
            Dialect::Qmf => qmf::delete(self, kind, name).await,
        }
    }

    /// Has messages of an exchange go to a queue. A binding that is there already stays.
    ///
    /// # Errors
    /// When the exchange or the queue is not there, or the broker refuses it.
    pub async fn bind(&mut self, binding: &Binding) -> Result<(), ManagementError> {
        match self.dialect {
            Dialect::Amqp => amqp::bind(self, binding).await,
            Dialect::Qmf => qmf::bind(self, binding).await,
        }
    }

    /// Ends a binding. One that is not there, or whose exchange or queue is not, has ended already.
    ///
    /// # Errors
    /// When the broker refuses it.
    pub async fn unbind(&mut self, binding: &Binding) -> Result<(), ManagementError> {
        match self.dialect {
            Dialect::Amqp => amqp::unbind(self, binding).await,
            Dialect::Qmf => qmf::unbind(self, binding).await,
        }
    }

    /// Whether there is such a binding.
    ///
    /// # Errors
    /// When the broker refuses to tell, or has no way to.
    pub async fn is_bound(&mut self, binding: &Binding) -> Result<bool, ManagementError> {
        match self.dialect {
            Dialect::Amqp => amqp::is_bound(self, binding).await,
            Dialect::Qmf => qmf::is_bound(self, binding).await,
        }
    }

    /// Sends a request and waits for its answer. With the connection request or answer may be lost: it is made again then, and
    /// what it asked for may have happened already. That it was is told beside the answer.
    async fn request(&mut self, request: Message) -> Result<(Message, bool), ManagementError> {
        let exchange = async {
            let mut again = false;
            loop {
                match self.requester.request_timeout(request.clone(), PATIENCE).await {
                    Err(error) if error.is_interrupted() => again = true,
                    answer => return Ok((answer?, again)),
                }
            }
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap_or(Err(ManagementError::Timeout(PATIENCE)))
    }
}

impl Binding {
    /// A binding without key and arguments.
    #[must_use]
    pub fn new(exchange: impl Into<String>, queue: impl Into<String>) -> Self {
        Self { exchange: exchange.into(), queue: queue.into(), ..Self::default() }
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.arguments.insert(name.into(), value);
        self
    }
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => "queue",
            Self::Exchange => "exchange",
        })
    }
}
