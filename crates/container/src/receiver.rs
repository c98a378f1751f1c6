//! A link that receives.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use postroad_client as client;
use postroad_client::types::{Bytes, Fields, PeerError};
use postroad_client::{EndpointState, EndpointStates, Guarantee, Node, SharedReceiver};

use crate::closing::Closing;
use crate::container::Command;
use crate::ends::{Ends, Nodes};
use crate::home::Home;
use crate::opening::Asked;
use crate::parts::Parts;
use crate::reactor::HandlerSlot;
use crate::{Connection, Link, Session};

/// A receiver. Messages come to [`Handler::on_message`](crate::Handler::on_message). Clones are handles of the same receiver; it
/// stays attached until it is closed, whether there are handles or not.
#[derive(Clone)]
pub struct Receiver {
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
    parts: Mutex<Parts>,
    pub(crate) client: OnceLock<SharedReceiver>,
    pub(crate) handler: HandlerSlot,
    pub(crate) closing: Closing,
}

impl Receiver {
    pub(crate) fn new(session: Session, source: Node, target: Node, mut terms: client::LinkOptions) -> Self {
        let name = terms.name.get_or_insert_with(crate::random_name).clone();
        terms.own_address.clone_from(&target.address);
        Self { inner: Arc::new(Inner { source, target, terms, ..Inner::of(session, name) }) }
    }

    /// One that the peer attaches.
    pub(crate) fn incoming(session: Session, name: String, asked: Asked) -> Self {
        Self { inner: Arc::new(Inner { asked: Some(asked), ..Inner::of(session, name) }) }
    }

    /// Allows the sender so many messages more, and leaves credit to the program from now on: the sender may have 2^31 - 1 at
    /// most.
    #[doc(alias = "add_credit")]
    pub fn flow(&self, messages: u32) {
        if let Some(client) = self.inner.client.get() {
            client.add_credit(messages);
        }
    }

    /// Allows the sender so many messages more, and asks it to give up what it does not use now.
    pub fn drain(&self, messages: u32) {
        if let Some(client) = self.inner.client.get() {
            client.add_credit(messages);
            client.ask_to_drain();
        }
    }

    /// Whether the sender was asked for its credit and has not answered.
    #[doc(alias = "draining")]
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.client.get().is_some_and(SharedReceiver::is_draining)
    }

    /// Messages that the sender may still send.
    #[must_use]
    pub fn credit(&self) -> u32 {
        self.inner.client.get().map_or(0, SharedReceiver::credit)
    }

    /// Messages that are here and were not handed out.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.inner.client.get().map_or(0, SharedReceiver::available)
    }

    /// Bytes of the message that is coming in parts, which is encoded: so many at most, and nothing where all that has come
    /// was read. While more than 1 MiB is unread nothing further is taken from the connection.
    #[must_use]
    pub fn recv(&self, limit: usize) -> Option<Bytes> {
        let mut parts = self.parts();
        let read = parts.read(limit);
        if parts.paused && !parts.is_full() {
            parts.paused = false;
            drop(parts);
            self.connection().container().command(Command::Resume(self.clone()));
        }
        read
    }

    pub(crate) fn parts(&self) -> MutexGuard<'_, Parts> {
        self.inner.parts.lock().unwrap_or_else(PoisonError::into_inner)
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
            .and_then(SharedReceiver::source)
            .or_else(|| self.asked_here(&self.inner.source, |nodes| &nodes.source))
    }

    /// Where messages go, as our end says.
    #[must_use]
    pub fn target(&self) -> Option<Node> {
        self.inner
            .client
            .get()
            .and_then(SharedReceiver::target)
            .or_else(|| self.asked_here(&self.inner.target, |nodes| &nodes.target))
    }

    fn asked_here(&self, node: &Node, end: impl FnOnce(&Nodes) -> &Option<Node>) -> Option<Node> {
        self.inner.ends.get(end).or_else(|| self.inner.asked.is_none().then(|| node.clone()))
    }

    /// Where messages come from, as the peer attached the link: the address of a node that it made is here.
    #[must_use]
    pub fn remote_source(&self) -> Option<Node> {
        match self.inner.client.get() {
            Some(client) => client.remote_source().or_else(|| self.inner.ends.get(|nodes| &nodes.remote_source)),
            None => self.inner.asked.as_ref()?.source.clone(),
        }
    }

    /// Where messages go, as the peer attached the link: where it attaches it, the node that it asks for.
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
        self.inner.client.get().map_or_else(unanswered, SharedReceiver::state)
    }

    /// Closes the link for good; what was not settled goes back to the node.
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
            self.connection().container().command(Command::Detach(Link::Receiver(self.clone())));
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
            parts: Mutex::default(),
            client: OnceLock::new(),
            handler: HandlerSlot::default(),
            closing: Closing::default(),
        }
    }
}

impl PartialEq for Receiver {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Receiver {}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("name", &self.inner.name)
            .field("source", &self.inner.source)
            .finish_non_exhaustive()
    }
}
