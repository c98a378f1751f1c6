//! What peers open: connections, sessions and links.

use std::sync::Arc;

use postroad_client as client;
use postroad_client::types::{ErrorCondition, PeerError};
use postroad_client::{
    AcceptError, AcceptOptions, ConnectionError, ExpiredLink, Incoming, IncomingConnection, IncomingLink,
};

use super::{Happened, Known, Method, Reactor, Scopes, method};
use crate::event::Subject;
use crate::opening::{Asked, Opening};
use crate::{Acceptor, Connection, Event, EventError, Handler, Link, Receiver, Sender, Session};

/// Clients of an acceptor that may be on their way in at once. The others wait: with the system, as far as it lets them.
const HANDSHAKES: usize = 1024;

/// An acceptor that listens.
pub(super) struct Listening {
    client: Arc<client::Acceptor>,
    handshakes: usize,
    /// Whether nobody is let in before somebody who is on the way is done.
    full: bool,
}

impl Reactor {
    pub(super) fn listen(
        &mut self,
        acceptor: Acceptor,
        options: Result<Box<AcceptOptions>, EventError>,
        handler: Option<Box<dyn Handler>>,
    ) {
        self.handlers.add(&acceptor.inner.handler, handler);
        match options {
            Ok(options) => self.wait_for(async move {
                let listening = client::Acceptor::listen(*options).await;
                Happened::Listening(acceptor, listening)
            }),
            Err(error) => self.cannot_listen(&acceptor, &error),
        }
    }

    fn cannot_listen(&mut self, acceptor: &Acceptor, error: &EventError) {
        self.call_acceptor(acceptor, Some(error), method!(on_transport_error));
        self.handlers.remove(&acceptor.inner.handler);
    }

    pub(super) fn listening(&mut self, acceptor: Acceptor, listening: Result<client::Acceptor, AcceptError>) {
        match listening {
            Ok(client) => {
                let _ = acceptor.inner.endpoint.set(client.local_endpoint().clone());
                let listening = Listening { client: Arc::new(client), handshakes: 0, full: false };
                self.acceptors.insert(acceptor.number(), listening);
                self.call_acceptor(&acceptor, None, method!(on_listening));
                self.watch_acceptor(acceptor.clone());
                self.watch_expiry(acceptor);
            }
            Err(error) => self.cannot_listen(&acceptor, &error.into()),
        }
    }

    pub(super) fn unlisten(&mut self, acceptor: &Acceptor) {
        // Whoever waits for a connection holds the socket too.
        acceptor.note_closed();
        self.acceptors.remove(&acceptor.number());
    }

    fn watch_acceptor(&self, acceptor: Acceptor) {
        let Some(listening) = self.acceptors.get(&acceptor.number()) else { return };
        let client = Arc::clone(&listening.client);
        self.wait_for(async move {
            let next = tokio::select! {
                next = client.next_connection() => Some(next),
                () = acceptor.closed() => None,
            };
            Happened::Arrived(acceptor, next)
        });
    }

    fn watch_expiry(&self, acceptor: Acceptor) {
        let Some(listening) = self.acceptors.get(&acceptor.number()) else { return };
        let client = Arc::clone(&listening.client);
        self.wait_for(async move {
            let expired = tokio::select! {
                expired = client.next_expired() => expired.ok(),
                () = acceptor.closed() => None,
            };
            Happened::Expired(acceptor, expired)
        });
    }

    /// The time of a link that was kept is over; nothing where none is kept, or nobody is to hear of it any more.
    pub(super) fn expired(&mut self, acceptor: Acceptor, expired: Option<ExpiredLink>) {
        let Some(expired) = expired else { return };
        let mut event = Event::new(acceptor.container(), Subject::ExpiredLink(&acceptor, &expired));
        self.call(Scopes::of_slot(&acceptor.inner.handler), &mut event, method!(on_link_expired));
        self.watch_expiry(acceptor);
    }

    /// A client is there; nothing where nobody listens any more.
    pub(super) fn arrived(&mut self, acceptor: Acceptor, next: Option<Result<IncomingConnection, AcceptError>>) {
        let number = acceptor.number();
        match (next, self.acceptors.get_mut(&number)) {
            (Some(Ok(incoming)), Some(listening)) => {
                listening.handshakes += 1;
                listening.full = listening.handshakes >= HANDSHAKES;
                let full = listening.full;
                let arrived = acceptor.clone();
                // In a task of its own: neither handlers nor other clients wait for one that is slow.
                let opening = tokio::spawn(incoming.open());
                self.wait_for(async move {
                    let opened = opening.await;
                    Happened::Accepted(arrived, opened.ok())
                });
                if !full {
                    self.watch_acceptor(acceptor);
                }
            }
            (Some(Err(error)), Some(_)) => {
                self.acceptors.remove(&number);
                self.cannot_listen(&acceptor, &error.into());
            }
            (_, None) | (None, _) => {
                // It may have been closed before it listened.
                self.acceptors.remove(&number);
                self.tidy_acceptor(&acceptor);
            }
        }
    }

    /// Drops the handler of an acceptor, once it listens no more and no connection that has come to it is left.
    pub(super) fn tidy_acceptor(&mut self, acceptor: &Acceptor) {
        let in_use = |known: &Known| known.acceptor.as_ref() == Some(acceptor);
        if !self.acceptors.contains_key(&acceptor.number()) && !self.connections.values().any(in_use) {
            self.handlers.remove(&acceptor.inner.handler);
        }
    }

    /// A client has opened its connection, or failed to; nothing where that was broken off.
    pub(super) fn accepted(&mut self, acceptor: &Acceptor, opened: Option<Result<client::Connection, AcceptError>>) {
        if let Some(listening) = self.acceptors.get_mut(&acceptor.number()) {
            listening.handshakes -= 1;
            if std::mem::take(&mut listening.full) {
                self.watch_acceptor(acceptor.clone());
            }
        }
        match opened {
            Some(Ok(client)) => self.connection_opening(acceptor, client),
            Some(Err(error)) => self.call_acceptor(acceptor, Some(&error.into()), method!(on_transport_error)),
            None => {}
        }
    }

    fn connection_opening(&mut self, acceptor: &Acceptor, client: client::Connection) {
        let events = client.events();
        let connection = Connection::incoming(acceptor, client.clone());
        let mut opening = Opening::default();
        let mut event = Event { opening: Some(&mut opening), ..Event::on_connection(&connection) };
        if !self.call(Scopes::of_connection(&connection), &mut event, method!(on_connection_opening)) {
            opening.refused.get_or_insert_with(internal);
        }
        if let Some(error) = opening.refused {
            client.abort(error);
            // Held until it is told.
            self.wait_for(async move {
                let _ = client.close().await;
                Happened::Done
            });
            return;
        }
        self.handlers.add(&connection.inner.handler, opening.handler);
        self.connection_opened(&connection, events);
    }

    pub(super) fn watch_incoming(&self, connection: Connection) {
        let Some(client) = connection.inner.client.get().cloned() else { return };
        self.wait_for(async move {
            let incoming = client.next_incoming().await;
            Happened::Incoming(connection, incoming)
        });
    }

    pub(super) fn incoming(&mut self, connection: Connection, incoming: Result<Incoming, ConnectionError>) {
        match incoming {
            Ok(Incoming::Session(session)) => self.session_opening(&connection, &session),
            // What cannot be answered is refused as it is dropped.
            Ok(Incoming::Link(link)) if !link.is_coordinator() => self.link_opening(&connection, link),
            Ok(_) => {}
            // The end of the connection is told by its events.
            Err(_) => return,
        }
        self.watch_incoming(connection);
    }

    fn session_opening(&mut self, connection: &Connection, client: &client::Session) {
        let session = Session::incoming(connection.clone(), client.clone());
        let mut opening = Opening::default();
        let mut event = Event { opening: Some(&mut opening), ..Event::on_session(&session) };
        if !self.call(Scopes::of_connection(connection), &mut event, method!(on_session_opening)) {
            opening.refused.get_or_insert_with(internal);
        }
        if let Some(error) = opening.refused {
            return client.abort(error);
        }
        if let Some(known) = self.connections.get_mut(&connection.number()) {
            known.sessions.push(session.clone());
        }
        self.call_session(&session, None, method!(on_session_opened));
        self.watch_session(session);
    }

    fn link_opening(&mut self, connection: &Connection, mut incoming: IncomingLink) {
        let known = self.connections.get(&connection.number()).map(|known| &known.sessions);
        let is_its =
            |session: &&Session| session.inner.client.get().is_some_and(|client| client.is_same(incoming.session()));
        let session = known.and_then(|sessions| sessions.iter().find(is_its)).cloned();
        // One of a session that was refused goes with it.
        let Some(session) = session else { return };
        let (name, guarantee) = (incoming.name().to_owned(), incoming.guarantee());
        let asked = Asked {
            source: incoming.remote_source().cloned(),
            target: incoming.remote_target().cloned(),
            properties: incoming.remote_properties().cloned(),
            guarantee,
        };
        let link = match incoming.is_receiver() {
            true => Link::from(Receiver::incoming(session, name, asked)),
            false => Link::from(Sender::incoming(session, name, asked)),
        };
        let mut opening = Opening { known: incoming.known().cloned(), ..Opening::default() };
        let mut event = Event { opening: Some(&mut opening), ..Event::on_link(&link) };
        let well = self.call_link(&link, &mut event, method!(on_link_opening));
        // At the end that has connected, links are what somebody asks for.
        let unasked = event.passed && connection.acceptor().is_none();
        let Opening { refused, handler, source, target, mut terms, in_parts, .. } = opening;
        let refused = refused.or_else(|| link.is_closing().then(|| link.closing().error().cloned()).flatten());
        match refused {
            Some(error) => return incoming.refuse(error),
            None if !well => return incoming.refuse(internal()),
            None if unasked || link.is_closing() => return drop(incoming),
            None => {}
        }
        if let Some(source) = source {
            incoming.set_source(source);
        }
        if let Some(target) = target {
            incoming.set_target(target);
        }
        self.handlers.add(link.handler(), handler);
        (terms.in_parts, terms.answers_last) = (in_parts, true);
        match link {
            Link::Sender(sender) => {
                terms.auto_settle &= self.settings(&sender.clone().into()).auto_settle;
                terms.polls_news = true;
                self.sender_attached(sender, incoming.into_sender(&terms));
            }
            Link::Receiver(receiver) => {
                terms.prefetch = 0;
                self.receiver_attached(receiver, incoming.into_receiver(&terms), in_parts);
            }
        }
    }

    fn call_acceptor(&mut self, acceptor: &Acceptor, error: Option<&EventError>, method: Method) {
        let event = Event::new(acceptor.container(), Subject::Acceptor(acceptor));
        self.call(Scopes::of_slot(&acceptor.inner.handler), &mut Event { error, ..event }, method);
    }
}

/// What a peer hears whose request nobody could handle.
fn internal() -> PeerError {
    PeerError::new(ErrorCondition::INTERNAL_ERROR, "the request was not handled")
}
