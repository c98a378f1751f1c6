//! Requests and their answers, by the nodes and ids that messages have for that (AMQP 1.0 part 3, 3.2.4).

mod answers;
mod error;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::consume_budget;

use crate::options::random_uuid;
use crate::sender::{Handover, Held, Put, Settlement};
use crate::{AttachError, LinkError, LinkOptions, Message, Node, SendError, Sender, Session};

use answers::{Answers, Asking, Sort};
pub use error::RequestError;

/// Asks a service by messages, and tells each answer to whoever asked. Clones are handles of the same requester; any
/// number of tasks may ask at once.
///
/// A request gets a message id that no other one has, here or anywhere, and the same as its correlation id; and as
/// the address for the answer that of a node that the peer makes for the requester, or the one that the options say.
/// An answer is known by its correlation id. What else comes is accepted, dropped and [counted](Self::stray): answers
/// that nobody waits for any more, and those of other requests.
///
/// Nothing is asked twice: when the connection is lost, the requests that were handed over end in
/// [`RequestError::InDoubt`], and those that were not go over the next connection, with the node for the answers that
/// is made there. The error of a request tells whether it [may have been done](RequestError::is_in_doubt).
///
/// ```
/// use postroad_broker::Broker;
/// use postroad_client::{ConnectOptions, Connection, Message, Node};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = Broker::builder().queue("capitals").listen("amqp://127.0.0.1:0").start().await?;
/// let connection = Connection::open(ConnectOptions::new(broker.urls()[0].parse()?)).await?;
/// let session = connection.session().await?;
///
/// // The service: it answers where each request says.
/// let mut requests = session.receiver("capitals").await?;
/// let answers = session.sender(Node::anonymous()).await?;
/// tokio::spawn(async move {
///     while let Ok(request) = requests.receive().await {
///         let mut answer = request.reply();
///         answer.set_body(if request.text() == Some("France") { "Paris" } else { "?" });
///         answers.send(&answer).await?;
///         requests.accept(&request)?;
///     }
///     # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// });
///
/// let requester = session.requester("capitals").await?;
/// let (one, other) = tokio::join!(requester.request("France"), requester.request("Atlantis"));
/// assert_eq!((one?.text(), other?.text()), (Some("Paris"), Some("?")));
/// # connection.close().await?; Ok(()) }
/// ```
#[doc(alias = "SyncRequestResponse")]
#[derive(Debug, Clone)]
pub struct Requester {
    inner: Arc<Inner>,
}

/// How a [`Requester`] asks.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RequestOptions {
    /// How long a request waits in all: until it is handed over, and for its answer. By default 30 s.
    pub timeout: Duration,
    /// The node that answers come from: by default one that the peer makes ([`Node::dynamic`]). It is to be the
    /// requester's own: whatever comes from there is taken.
    pub reply_node: Node,
    /// The address that requests give for their answers; by default that of the node.
    pub reply_to: Option<String>,
    /// Whether the node for the answers outlives the connection, as a queue does. Then requests that were taken
    /// before the connection was lost go on waiting, as long as it takes to make it anew and no longer than their
    /// time. By default not.
    pub reply_lasts: bool,
    /// The terms of the link that requests leave on. Whatever they say, nothing is sent again by itself, unless the
    /// link is exactly-once.
    pub sender: LinkOptions,
    /// The terms of the link that answers come on: its [`prefetch`](LinkOptions::prefetch) bounds the answers that
    /// wait here to be told, and [`max_message_size`](LinkOptions::max_message_size) each of them.
    pub receiver: LinkOptions,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            reply_node: Node::dynamic(),
            reply_to: None,
            reply_lasts: false,
            sender: LinkOptions::default(),
            receiver: LinkOptions::default(),
        }
    }
}

#[derive(Debug)]
struct Inner {
    sender: Sender,
    answers: Answers,
    reply_to: Option<String>,
    timeout: Duration,
}

impl Session {
    /// Attaches links for requests to a node, and for their answers. With [`Node::anonymous`] each request says where
    /// it goes ([`Message::set_address`]), where the peer is such a relay.
    ///
    /// # Errors
    /// When the peer refuses either link, does not answer in time, or the connection ends.
    ///
    /// # Cancel safety
    /// A dropped future detaches the links again.
    pub async fn requester(&self, node: impl Into<Node>) -> Result<Requester, AttachError> {
        self.requester_with(node, RequestOptions::default()).await
    }

    /// As [`Session::requester`], with other options.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn requester_with(
        &self,
        node: impl Into<Node>,
        options: RequestOptions,
    ) -> Result<Requester, AttachError> {
        let RequestOptions { timeout, reply_node, reply_to, reply_lasts, mut sender, receiver } = options;
        sender.resends = false;
        let (sender, receiver) = tokio::join!(self.sender_with(node, sender), self.receiver_with(reply_node, receiver));
        let (sender, receiver) = (sender?, receiver?);
        let inner = Arc::new_cyclic(|inner| {
            let answers = Answers::new(receiver, Sort(inner.clone()), format!("{}:", random_uuid()), reply_lasts);
            Inner { sender, answers, reply_to, timeout }
        });
        inner.sort();
        Ok(Requester { inner })
    }
}

impl Requester {
    /// Sends a request and waits for its answer, for as long as the options say.
    ///
    /// # Errors
    /// When it was not sent or not accepted, and when there was no answer in time or none can come any more.
    ///
    /// # Cancel safety
    /// Dropped before the request is handed over, it is not sent; afterwards it is on its way, and its answer is a
    /// stray one.
    pub async fn request(&self, request: impl Into<Message>) -> Result<Message, RequestError> {
        self.request_timeout(request, self.inner.timeout).await
    }

    /// As [`Requester::request`], for at most `timeout`.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn request_timeout(
        &self,
        request: impl Into<Message>,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        let mut asking = self.inner.ask();
        let exchange = self.exchange(&mut asking, request.into());
        match tokio::time::timeout(timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(RequestError::Timeout { after: timeout, sent: asking.is_sent() }),
        }
    }

    async fn exchange(&self, asking: &mut Asking<'_>, mut request: Message) -> Result<Message, RequestError> {
        let Inner { sender, answers, reply_to, .. } = &*self.inner;
        request.set_id(asking.id());
        // Some servers answer with the one, some with the other.
        request.set_correlation_id(asking.id());
        loop {
            let (epoch, node) = answers.link.here().await?;
            request.set_reply_to(reply_to.clone().or(node).ok_or(RequestError::NoReplyTo)?);
            match hand_over(sender, &request, epoch).await {
                Ok(put) if sender.settled => asking.sent(put.epoch, Settlement { at: None }),
                Ok(put) => asking.sent(put.epoch, sender.settlement(put.token)),
                // The node for the answer went with the connection, and nobody has heard of it.
                Err(SendError::NotSent(LinkError::Interrupted(_))) => continue,
                Err(error) => return Err(error.into()),
            }
            return poll_fn(|cx| asking.poll_answer(cx)).await;
        }
    }

    /// The address that requests give for their answers: that of the node that the peer made for the connection which
    /// there is now, unless the options say one. Nothing while there is no connection, or where the peer has not told
    /// it.
    #[must_use]
    pub fn reply_to(&self) -> Option<String> {
        self.inner.reply_to.clone().or_else(|| self.inner.answers.link.remote_address())
    }

    /// Requests that wait, to be sent or for an answer.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.inner.answers.pending()
    }

    /// Messages that have come and were no answer that anybody waited for: late ones, those of other requests, and what
    /// cannot be read.
    #[must_use]
    pub fn stray(&self) -> u64 {
        self.inner.answers.stray()
    }

    /// Why nothing can be asked any more; `None` while it can.
    #[must_use]
    pub fn error(&self) -> Option<LinkError> {
        self.inner.sender.error().or_else(|| self.inner.answers.link.error())
    }

    /// The session of the links.
    #[must_use]
    pub fn session(&self) -> &Session {
        self.inner.sender.session()
    }

    /// Closes both links and waits for the peer to do the same. Requests that wait are told.
    ///
    /// # Errors
    /// When the peer detached one of them with an error before, or does not answer in its timeout.
    ///
    /// # Cancel safety
    /// Once polled, the close goes its way whether the future lives or not.
    pub async fn close(&self) -> Result<(), LinkError> {
        let (sender, receiver) = tokio::join!(self.inner.sender.close_shared(), self.inner.answers.link.close());
        sender.and(receiver)
    }
}

/// Hands a request over to the engine of `epoch`, as soon as there is credit, or not at all.
async fn hand_over(sender: &Sender, request: &Message, epoch: u32) -> Result<Put, SendError> {
    consume_budget().await;
    let how = Handover { epoch: Some(epoch), ..Handover::tracked(request.message_format()) };
    let put = sender.encode_and(request, |state, encoded, content| sender.put(state, encoded, content, how));
    match put.map_err(|held| *held) {
        Ok(put) => Ok(put),
        Err(Held::Back(encoded)) => sender.put_when_credited(&encoded, how).await,
        Err(Held::Refused(error)) => Err(error),
    }
}
