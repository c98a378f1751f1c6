//! Links come and go.

use postroad_client as client;
use postroad_client::{AttachError, LinkError, SharedReceiver, Ticket};

use super::{Happened, Method, Reactor, Scopes, method};
use crate::{Event, EventError, Handler, Link, Receiver, Sender};

impl Reactor {
    pub(super) fn attach_sender(&mut self, sender: Sender, handler: Option<Box<dyn Handler>>) {
        self.handlers.add(&sender.inner.handler, handler);
        let settings = self.handlers.settings(Scopes::of_link(&sender.clone().into()));
        self.wait_for(async move {
            let attaching = async {
                let session = sender.session().client().await?;
                let mut terms = sender.inner.terms.clone();
                terms.auto_settle &= settings.auto_settle;
                terms.polls_news = true;
                session.sender_with(sender.inner.home.node(&sender.inner.target), terms).await
            };
            let attached = attaching.await;
            Happened::SenderAttached(sender, attached)
        });
    }

    pub(super) fn attach_receiver(&mut self, receiver: Receiver, handler: Option<Box<dyn Handler>>) {
        self.handlers.add(&receiver.inner.handler, handler);
        self.wait_for(async move {
            let attaching = async {
                let session = receiver.session().client().await?;
                let mut terms = receiver.inner.terms.clone();
                // What it takes ahead is asked for once somebody has heard that it is there.
                terms.prefetch = 0;
                session.receiver_with(receiver.inner.home.node(&receiver.inner.source), terms).await
            };
            let attached = attaching.await;
            Happened::ReceiverAttached(receiver, attached)
        });
    }

    pub(super) fn sender_attached(&mut self, sender: Sender, attached: Result<client::Sender, AttachError>) {
        match attached {
            Ok(client) => {
                let _ = sender.inner.client.set(client);
                self.link_attached(&sender.clone().into());
                self.watch_sender(sender, Ticket::default());
            }
            Err(error) => self.not_attached(&sender.into(), error),
        }
    }

    pub(super) fn receiver_attached(
        &mut self,
        receiver: Receiver,
        attached: Result<client::Receiver, AttachError>,
        in_parts: bool,
    ) {
        match attached {
            Ok(mut client) => {
                let link = Link::from(receiver.clone());
                let prefetch = self.settings(&link).prefetch;
                // Without one, credit is the program's.
                if prefetch == 0 {
                    client.set_credit(0);
                }
                let client = receiver.inner.client.get_or_init(|| client.into_shared());
                self.link_attached(&link);
                if prefetch > 0 && !link.is_closing() {
                    client.set_prefetch(prefetch);
                }
                match in_parts {
                    true => self.watch_parts(receiver, Ticket::default()),
                    false => self.watch_receiver(receiver, Ticket::default()),
                }
            }
            Err(error) => self.not_attached(&receiver.into(), error),
        }
    }

    fn link_attached(&mut self, link: &Link) {
        if link.is_closing() {
            return self.detach(link);
        }
        if let Some(known) = self.connections.get_mut(&link.connection().number()) {
            known.links.insert((link.name().to_owned(), link.is_sender()), link.clone());
        }
        link.remember_nodes();
        self.call_link(link, &mut Event::on_link(link), method!(on_link_opened));
    }

    fn not_attached(&mut self, link: &Link, error: AttachError) {
        let error = match self.follow(link, &error) {
            Ok(true) => return,
            Ok(false) => EventError::Attach(error),
            Err(error) => EventError::Redirect(error),
        };
        self.refused(link, &error);
        self.leave(link.connection());
    }

    fn refused(&mut self, link: &Link, error: &EventError) {
        if (!link.is_closing() || error.peer_error().is_some()) && link.session().is_to_hear(error) {
            // It was attached for as long as it takes to refuse it (part 2, 2.6.3).
            let by_peer = matches!(
                error,
                EventError::Attach(AttachError::Link(LinkError::Detached(_) | LinkError::DetachedByPeer))
            );
            self.call_link(link, &mut Event::on_link(link).error_of(error), method!(on_link_error));
            if by_peer {
                self.call_link(link, &mut Event::on_link(link), method!(on_link_closed));
            }
        }
        self.handlers.remove(link.handler());
    }

    /// Detaches a link, where it is attached: one that is not yet is detached then.
    pub(super) fn detach(&self, link: &Link) {
        let (error, for_now) = (link.closing().error().cloned(), link.closing().is_for_now());
        match (link, error) {
            (Link::Sender(sender), _) if for_now => sender.inner.client.get().map(client::Sender::detach),
            (Link::Receiver(receiver), _) if for_now => receiver.inner.client.get().map(SharedReceiver::detach),
            (Link::Sender(sender), None) => sender.inner.client.get().map(client::Sender::shut),
            (Link::Sender(sender), Some(error)) => sender.inner.client.get().map(|client| client.abort(error)),
            (Link::Receiver(receiver), None) => receiver.inner.client.get().map(SharedReceiver::shut),
            (Link::Receiver(receiver), Some(error)) => receiver.inner.client.get().map(|client| client.abort(error)),
        };
    }

    pub(super) fn link_over(&mut self, link: &Link, error: LinkError) {
        if !matches!(error, LinkError::Connection(_) | LinkError::SessionEnded(_)) {
            let by_peer = matches!(error, LinkError::Detached(_) | LinkError::DetachedByPeer);
            let told = by_peer && error.peer_error().is_some();
            // One that was not attached again is over for a reason of our own.
            let failed = !by_peer && error != LinkError::Closed;
            let error = EventError::Link(error);
            if told || failed || (by_peer && self.settings(link).peer_close_is_error) {
                self.call_link(link, &mut Event::on_link(link).error_of(&error), method!(on_link_error));
            } else if by_peer {
                self.call_link(link, &mut Event::on_link(link), method!(on_link_closing));
            }
            self.call_link(link, &mut Event::on_link(link), method!(on_link_closed));
        }
        let key = (link.name().to_owned(), link.is_sender());
        if let Some(known) = self.connections.get_mut(&link.connection().number())
            && known.links.get(&key) == Some(link)
        {
            known.links.remove(&key);
        }
        self.leave(link.connection());
        self.handlers.remove(link.handler());
    }

    pub(super) fn settings(&mut self, link: &Link) -> crate::Settings {
        self.handlers.settings(Scopes::of_link(link))
    }

    pub(super) fn call_link(&mut self, link: &Link, event: &mut Event<'_>, method: Method) -> bool {
        self.call(Scopes::of_link(link), event, method)
    }
}
