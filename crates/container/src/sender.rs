//! A link that sends.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use postroad_client as client;
use postroad_client::types::{Bytes, DeliveryTag, Fields, PeerError};
use postroad_client::{EndpointState, EndpointStates, Guarantee, InDoubt, LinkError, Node, SendError, ToSend};

use crate::closing::Closing;
use crate::container::Command;
use crate::ends::{Ends, Nodes};
use crate::home::Home;
use crate::opening::Asked;
use crate::options::Tags;
use crate::reactor::HandlerSlot;
use crate::{Connection, Delivery, Link, Session};

/// A sender. Messages can be sent once it is attached and the receiver has granted credit:
/// [`Handler::on_sendable`](crate::Handler::on_sendable) tells of that. Clones are handles of the same sender; it stays attached
/// until it is closed, whether there are handles or not.
#[derive(Clone)]
pub struct Sender {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) home: Home,
    name: String,
    /// Our end of it, as it was asked for; of a link that the peer attaches, nothing.
    pub(crate) source: Node,
    pub(crate) target: Node,
    pub(crate) terms: client::LinkOptions,
    /// What the peer asks for, where it attaches the link.
    asked: Option<Asked>,
    pub(crate) ends: Ends,
    tags: Option<Mutex<Tags>>,
    pub(crate) client: OnceLock<client::Sender>,
    pub(crate) handler: HandlerSlot,
    pub(crate) closing: Closing,
}

impl Inner {
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.has_begun()
    }
}

impl Sender {
    pub(crate) fn new(
        session: Session,
        source: Node,
        target: Node,
        mut terms: client::LinkOptions,
        tags: Option<Tags>,
    ) -> Self {
        let name = terms.name.get_or_insert_with(crate::random_name).clone();
        terms.own_address.clone_from(&source.address);
        Self {
            inner: Arc::new(Inner { source, target, terms, tags: tags.map(Mutex::new), ..Inner::of(session, name) }),
        }
    }

    /// One that the peer attaches.
    pub(crate) fn incoming(session: Session, name: String, asked: Asked) -> Self {
        Self { inner: Arc::new(Inner { asked: Some(asked), ..Inner::of(session, name) }) }
    }

    /// Sends a message, at once or not at all. What becomes of it is told by
    /// [`Handler::on_accepted`](crate::Handler::on_accepted) and its kin, unless the sender sends at most once.
    ///
    /// # Errors
    /// [`SendError::NoCredit`] when it cannot be sent now, and as
    /// [`try_submit_told`](client::Sender::try_submit_told).
    #[doc(alias = "Message.send")]
    pub fn send<'a>(&self, message: impl Into<ToSend<'a>>) -> Result<Delivery, SendError> {
        self.put(&message.into(), self.next_tag())
    }

    fn next_tag(&self) -> Option<DeliveryTag> {
        self.inner.tags.as_ref().map(|tags| tags.lock().unwrap_or_else(PoisonError::into_inner)())
    }

    /// As [`Sender::send`], under a tag of the caller's.
    ///
    /// # Errors
    /// As there, and [`SendError::TagInUse`].
    #[doc(alias = "send")]
    pub fn send_tagged<'a>(&self, message: impl Into<ToSend<'a>>, tag: DeliveryTag) -> Result<Delivery, SendError> {
        self.put(&message.into(), Some(tag))
    }

    fn put(&self, message: &ToSend<'_>, tag: Option<DeliveryTag>) -> Result<Delivery, SendError> {
        let tag = self.client()?.try_submit_told(message.message(), tag)?;
        Ok(Delivery::sent(self.clone(), tag))
    }

    /// Who sends, once the link is attached.
    pub(crate) fn client(&self) -> Result<&client::Sender, SendError> {
        self.inner.client.get().ok_or_else(|| match self.inner.is_closing() {
            true => SendError::NotSent(LinkError::Closed),
            false => SendError::NoCredit,
        })
    }

    /// Begins a message that is sent part by part: these are the first bytes of it, as it is encoded. [`Delivery::write`] sends
    /// the next ones, and [`Delivery::finish`] ends it; other messages of the sender wait for that.
    ///
    /// # Errors
    /// As [`Sender::send`].
    #[doc(alias = "stream")]
    #[doc(alias = "delivery")]
    pub fn begin(&self, first: impl Into<Bytes>) -> Result<Delivery, SendError> {
        let tag = self.next_tag();
        let client = self.client()?;
        let open = client.try_begin_told(tag, &first.into())?;
        Ok(Delivery::open(self.clone(), open))
    }

    /// Messages that can be sent now: none also where the receiver allows more, and too much is under way.
    #[must_use]
    pub fn credit(&self) -> u32 {
        self.inner.client.get().map_or(0, client::Sender::room)
    }

    /// Messages that were sent and have no outcome yet.
    #[doc(alias = "unsettled")]
    #[must_use]
    pub fn queued(&self) -> usize {
        self.inner.client.get().map_or(0, client::Sender::unsettled)
    }

    /// Tells the receiver how many messages wait to be sent.
    pub fn offered(&self, messages: u32) {
        if let Some(client) = self.inner.client.get() {
            client.set_available(messages);
        }
    }

    /// Whether the receiver wants its credit used now or given up: what is left behind
    /// [`Handler::on_sendable`](crate::Handler::on_sendable) is given up.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.client.get().is_some_and(client::Sender::is_draining)
    }

    /// Gives up the credit that is left, where the receiver wants that.
    #[doc(alias = "return_credit")]
    pub fn drained(&self) {
        if let Some(client) = self.inner.client.get() {
            client.drained();
        }
    }

    /// Messages that were sent and are in doubt, where they were kept: the oldest first.
    #[must_use]
    pub fn take_in_doubt(&self) -> Vec<InDoubt> {
        self.inner.client.get().map(client::Sender::take_in_doubt).unwrap_or_default()
    }

    /// The name of the link.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The session of the link: where its peer has sent it elsewhere, one of another connection.
    #[must_use]
    pub fn session(&self) -> &Session {
        self.inner.home.session()
    }

    /// The connection of the link.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        self.inner.home.session().connection()
    }

    /// Where messages come from, as our end says. Of a link that the peer attaches, nothing before our end has answered.
    #[must_use]
    pub fn source(&self) -> Option<Node> {
        self.inner
            .client
            .get()
            .and_then(client::Sender::source)
            .or_else(|| self.asked_here(&self.inner.source, |nodes| &nodes.source))
    }

    /// Where messages go, as our end says.
    #[must_use]
    pub fn target(&self) -> Option<Node> {
        self.inner
            .client
            .get()
            .and_then(client::Sender::target)
            .or_else(|| self.asked_here(&self.inner.target, |nodes| &nodes.target))
    }

    fn asked_here(&self, node: &Node, end: impl FnOnce(&Nodes) -> &Option<Node>) -> Option<Node> {
        self.inner.ends.get(end).or_else(|| self.inner.asked.is_none().then(|| node.clone()))
    }

    /// Where messages come from, as the peer attached the link: where it attaches it, the node that it asks for.
    #[must_use]
    pub fn remote_source(&self) -> Option<Node> {
        match self.inner.client.get() {
            Some(client) => client.remote_source().or_else(|| self.inner.ends.get(|nodes| &nodes.remote_source)),
            None => self.inner.asked.as_ref()?.source.clone(),
        }
    }

    /// Where messages go, as the peer attached the link: the address of a node that it made is here.
    #[must_use]
    pub fn remote_target(&self) -> Option<Node> {
        match self.inner.client.get() {
            Some(client) => client.remote_target().or_else(|| self.inner.ends.get(|nodes| &nodes.remote_target)),
            None => self.inner.asked.as_ref()?.target.clone(),
        }
    }

    /// The properties of the link that the peer told as it attached it.
    #[must_use]
    pub fn remote_properties(&self) -> Option<Fields> {
        match self.inner.client.get() {
            Some(client) => client.remote_properties(),
            None => self.inner.asked.as_ref()?.properties.clone(),
        }
    }

    /// How often a message may arrive, as it was asked for by whichever end attaches the link.
    #[must_use]
    pub fn guarantee(&self) -> Guarantee {
        self.inner.asked.as_ref().map_or(self.inner.terms.guarantee, |asked| asked.guarantee)
    }

    /// How far both ends have come.
    #[must_use]
    pub fn state(&self) -> EndpointStates {
        let unanswered = || match self.inner.asked {
            Some(_) => EndpointStates { local: EndpointState::Uninit, remote: EndpointState::Active },
            None => EndpointStates { local: EndpointState::Active, remote: EndpointState::Uninit },
        };
        self.inner.client.get().map_or_else(unanswered, client::Sender::state)
    }

    /// Closes the link for good; what was sent goes out first.
    pub fn close(&self) {
        self.begin_to_close(self.inner.closing.begin(None));
    }

    /// Closes the link with an error.
    #[doc(alias = "condition")]
    pub fn close_with(&self, error: PeerError) {
        self.begin_to_close(self.inner.closing.begin(Some(error)));
    }

    /// Detaches the link, and leaves what the peer keeps of it as it is.
    pub fn detach(&self) {
        self.begin_to_close(self.inner.closing.begin_for_now());
    }

    fn begin_to_close(&self, first: bool) {
        // Behind what is done in the call that is being made: a message that is handled is accepted first.
        if first {
            self.connection().container().command(Command::Detach(Link::Sender(self.clone())));
        }
    }
}

impl Inner {
    fn of(session: Session, name: String) -> Self {
        Self {
            home: Home::new(session),
            name,
            source: Node::default(),
            target: Node::default(),
            terms: client::LinkOptions::default(),
            asked: None,
            ends: Ends::default(),
            tags: None,
            client: OnceLock::new(),
            handler: HandlerSlot::default(),
            closing: Closing::default(),
        }
    }
}

impl PartialEq for Sender {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Sender {}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("name", &self.inner.name)
            .field("target", &self.inner.target)
            .finish_non_exhaustive()
    }
}
