//! What connections come to.

use std::fmt;
use std::sync::{Arc, OnceLock};

use postroad_address::{BrokerUrl, Scheme};
use postroad_client::{AcceptOptions, EndpointAddress, LocalEndpoint};
use tokio::sync::watch;

use crate::container::Command;
use crate::reactor::HandlerSlot;
use crate::{Container, EventError};

/// What connections come to ([`Container::listen`](crate::Container::listen)). Clones are handles of the same acceptor, which
/// listens until it is closed, whether there are handles or not.
#[derive(Clone)]
pub struct Acceptor {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    container: Container,
    pub(crate) endpoint: OnceLock<EndpointAddress>,
    pub(crate) handler: HandlerSlot,
    closed: watch::Sender<bool>,
}

impl Acceptor {
    pub(crate) fn new(container: &Container) -> Self {
        let (endpoint, handler, closed) = (OnceLock::new(), HandlerSlot::default(), watch::channel(false).0);
        Self { inner: Arc::new(Inner { container: container.clone(), endpoint, handler, closed }) }
    }

    /// The container that it belongs to.
    #[must_use]
    pub fn container(&self) -> &Container {
        &self.inner.container
    }

    /// The address that is listened on, with the port that the system picked where none was asked for: known from
    /// [`Handler::on_listening`](crate::Handler::on_listening) on.
    #[must_use]
    pub fn local_endpoint(&self) -> Option<&EndpointAddress> {
        self.inner.endpoint.get()
    }

    pub(crate) fn note_closed(&self) {
        self.inner.closed.send_replace(true);
    }

    /// Waits until it is closed.
    pub(crate) async fn closed(&self) {
        let _ = self.inner.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// A number that no other acceptor has while this one is there.
    pub(crate) fn number(&self) -> usize {
        Arc::as_ptr(&self.inner).addr()
    }

    /// Listens no more. Connections that have come stay, and nothing is told of links that expire.
    pub fn close(&self) {
        self.inner.container.command(Command::Unlisten(self.clone()));
    }
}

/// The options for the address in a URL.
pub(crate) fn options_for(url: &str) -> Result<AcceptOptions, EventError> {
    let url = BrokerUrl::parse(url)?;
    let (host, port) = (url.host(), url.port());
    let local = match url.scheme() {
        Scheme::Amqp => LocalEndpoint::host(host).port(port),
        Scheme::AmqpUnix => match host.strip_prefix('@') {
            Some(name) => LocalEndpoint::abstract_name(name),
            None => LocalEndpoint::path(host),
        },
        Scheme::AmqpWs => LocalEndpoint::host(host).port(port).websocket(url.websocket_resource().unwrap_or("/")),
        scheme => {
            return Err(EventError::Listen(format!(
                "{scheme} needs a certificate: give it with the options, as Container::listen_with takes them"
            )));
        }
    };
    Ok(AcceptOptions::new(local))
}

impl PartialEq for Acceptor {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Acceptor {}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("local_endpoint", &self.local_endpoint()).finish_non_exhaustive()
    }
}
