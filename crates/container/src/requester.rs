//! Requests to a service, and their answers.

use std::fmt;
use std::sync::Arc;

use postroad_client as client;
use postroad_client::{Message, Node, RequestError, RequestOptions};
use tokio::sync::OnceCell;

use crate::container::Command;
use crate::{Connection, Event, Session};

/// Who hears the answer to a request.
pub(crate) type Answer = Box<dyn FnOnce(&mut Event<'_>, Result<Message, RequestError>) + Send>;

/// Asks a service by messages, and has each answer told to whoever asked ([`Session::create_requester`]). Clones are handles of
/// the same requester, whose links go with the last one.
///
/// What is asked, and what becomes of requests when the connection is lost, is as a [`client::Requester`] has it: nothing is
/// asked twice.
///
/// ```no_run
/// use postroad_container::{Container, Event, Handler};
///
/// struct Asks;
///
/// impl Handler for Asks {
///     fn on_start(&mut self, event: &mut Event<'_>) {
///         let connection = event.container().connect("amqp://localhost");
///         let requester = connection.create_requester("capitals");
///         for country in ["France", "Peru"] {
///             let connection = connection.clone();
///             requester.ask(country, move |_, answer| {
///                 println!("{country}: {answer:?}");
///                 connection.close();
///             });
///         }
///     }
/// }
/// # async fn run() { Container::new(Asks).run().await.unwrap() }
/// ```
#[doc(alias = "SyncRequestResponse")]
#[derive(Clone)]
pub struct Requester {
    inner: Arc<Inner>,
}

struct Inner {
    session: Session,
    node: Node,
    options: RequestOptions,
    client: OnceCell<client::Requester>,
}

impl Session {
    /// Asks the service at a node.
    pub fn create_requester(&self, node: impl Into<Node>) -> Requester {
        self.create_requester_with(node, RequestOptions::default())
    }

    /// As [`Session::create_requester`], with other options.
    #[doc(alias = "create_requester")]
    pub fn create_requester_with(&self, node: impl Into<Node>, options: RequestOptions) -> Requester {
        self.begin();
        let inner = Inner { session: self.clone(), node: node.into(), options, client: OnceCell::new() };
        Requester { inner: Arc::new(inner) }
    }
}

impl Connection {
    /// As [`Session::create_requester`], on the session of the connection's own.
    pub fn create_requester(&self, node: impl Into<Node>) -> Requester {
        self.default_session().create_requester(node)
    }

    /// As [`Session::create_requester_with`], on the session of the connection's own.
    #[doc(alias = "create_requester")]
    pub fn create_requester_with(&self, node: impl Into<Node>, options: RequestOptions) -> Requester {
        self.default_session().create_requester_with(node, options)
    }
}

impl Requester {
    /// Sends a request as soon as it can be, and has its answer told, or why there is none: between two calls of handlers, as
    /// [`Container::inject`](crate::Container::inject) does.
    pub fn ask(
        &self,
        request: impl Into<Message>,
        answer: impl FnOnce(&mut Event<'_>, Result<Message, RequestError>) + Send + 'static,
    ) {
        let command = Command::Ask(self.clone(), Box::new(request.into()), Box::new(answer));
        self.inner.session.connection().container().command(command);
    }

    /// The session of its links.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.inner.session
    }

    /// The address that requests give for their answers, once the peer has told it.
    #[must_use]
    pub fn reply_to(&self) -> Option<String> {
        self.inner.client.get()?.reply_to()
    }

    pub(crate) async fn answer(&self, request: Message) -> Result<Message, RequestError> {
        let attach = async || {
            let session = self.inner.session.client().await?;
            session.requester_with(self.inner.node.clone(), self.inner.options.clone()).await
        };
        let requester = self.inner.client.get_or_try_init(attach).await?;
        requester.request(request).await
    }
}

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester").field("node", &self.inner.node).finish_non_exhaustive()
    }
}
