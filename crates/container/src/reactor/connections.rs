//! What happens to connections and sessions.

use postroad_client as client;
use postroad_client::types::Role;
use postroad_client::{
    AttachError, ConnectError, ConnectOptions, ConnectionError, ConnectionEvent, ConnectionEvents, LinkError,
};

use super::{Happened, Known, Method, Reactor, Scopes, method};
use crate::connection::Phase;
use crate::{Connection, Event, EventError, Handler, Session};

impl Reactor {
    pub(super) fn connect(
        &mut self,
        connection: Connection,
        options: Result<Box<ConnectOptions>, EventError>,
        handler: Option<Box<dyn Handler>>,
    ) {
        self.handlers.add(&connection.inner.handler, handler);
        let options = match options {
            Ok(mut options) => {
                // Who has no use for a link that the peer attaches refuses it.
                options.accept_links = true;
                options
            }
            Err(error) => return self.never_opened(&connection, &error),
        };
        self.connections.insert(connection.number(), Known::default());
        self.wait_for(async move {
            let opened = tokio::select! {
                opened = open(&connection, *options) => Some(opened),
                () = connection.given_up() => None,
            };
            Happened::Opened(connection, opened)
        });
    }

    fn never_opened(&mut self, connection: &Connection, error: &EventError) {
        // A peer that refuses opens, and closes at once (part 2, 2.4.1): whether we have seen the one without the other is chance.
        if let EventError::Connect(ConnectError::Connection(error)) = error
            && (error.is_orderly() || error.peer_error().is_some())
        {
            return self.connection_over(connection, error.clone());
        }
        connection.inner.phase.send_replace(Phase::Over);
        self.call_connection(connection, Some(error), method!(on_transport_error));
        self.forget_connection(connection);
    }

    pub(super) fn opened(&mut self, connection: &Connection, opened: Option<Result<client::Connection, EventError>>) {
        match opened {
            Some(Ok(client)) => {
                let events = client.events();
                let _ = connection.inner.client.set(client);
                connection.inner.phase.send_replace(Phase::Open);
                self.connection_opened(connection, events);
            }
            Some(Err(error)) => self.never_opened(connection, &error),
            None => {
                connection.inner.phase.send_replace(Phase::Over);
                self.call_connection(connection, None, method!(on_connection_closed));
                self.forget_connection(connection);
            }
        }
    }

    /// A connection is open at both ends.
    pub(super) fn connection_opened(&mut self, connection: &Connection, events: ConnectionEvents) {
        self.connections.entry(connection.number()).or_default().acceptor = connection.acceptor().cloned();
        self.watch_connection(connection.clone(), events);
        self.watch_incoming(connection.clone());
        if !connection.inner.closing.has_begun() {
            self.call_connection(connection, None, method!(on_connection_opened));
        }
    }

    pub(super) fn close(&mut self, connection: &Connection) {
        let given_up = connection.inner.phase.send_if_modified(|phase| {
            let opening = *phase == Phase::Opening;
            if opening {
                *phase = Phase::GivenUp;
            }
            opening
        });
        if given_up {
            return;
        }
        let Some(client) = connection.inner.client.get().cloned() else { return };
        if let Some(error) = connection.inner.closing.error() {
            client.abort(error.clone());
            return;
        }
        self.wait_for(async move {
            // What becomes of it is told where its end is.
            let _ = client.close().await;
            Happened::Done
        });
    }

    fn watch_connection(&self, connection: Connection, mut events: ConnectionEvents) {
        self.wait_for(async move {
            let event = events.next().await;
            Happened::OnConnection(connection, events, event)
        });
    }

    pub(super) fn on_connection(
        &mut self,
        connection: Connection,
        events: ConnectionEvents,
        event: Option<ConnectionEvent>,
    ) {
        match event {
            None | Some(ConnectionEvent::Over(_)) => {
                let error = connection.inner.client.get().and_then(client::Connection::error);
                return self.connection_over(&connection, error.unwrap_or(ConnectionError::Closed));
            }
            Some(ConnectionEvent::Lost(error)) => {
                self.call_connection(&connection, Some(&error.into()), method!(on_disconnected));
            }
            Some(ConnectionEvent::Reopened { .. }) => {
                self.call_connection(&connection, None, method!(on_connection_opened));
            }
            Some(ConnectionEvent::LinkAttached { link, role, .. }) => {
                let known = self.connections.get(&connection.number());
                let link = known.and_then(|known| known.links.get(&(link, role == Role::Sender))).cloned();
                if let Some(link) = link.filter(|link| !link.is_closing()) {
                    link.remember_nodes();
                    self.call_link(&link, &mut Event::on_link(&link), method!(on_link_opened));
                }
            }
            Some(ConnectionEvent::TokenFailed { error, .. }) => {
                self.call_connection(&connection, Some(&error.into()), method!(on_token_failed));
            }
            Some(_) => {}
        }
        self.watch_connection(connection, events);
    }

    fn connection_over(&mut self, connection: &Connection, error: ConnectionError) {
        connection.inner.phase.send_replace(Phase::Over);
        let by_us = connection.inner.closing.has_begun() && error.peer_error().is_none();
        let told = error.peer_error().is_some();
        let by_peer = !by_us && error.is_orderly();
        let error = EventError::Connection(error);
        let strict = self.handlers.settings(Scopes::of_connection(connection)).peer_close_is_error;
        if told || (by_peer && strict) {
            self.call_connection(connection, Some(&error), method!(on_connection_error));
        } else if by_peer {
            self.call_connection(connection, None, method!(on_connection_closing));
        } else if !by_us {
            self.call_connection(connection, Some(&error), method!(on_transport_error));
            return self.forget_connection(connection);
        }
        self.call_connection(connection, None, method!(on_connection_closed));
        self.forget_connection(connection);
    }

    /// Nothing happens to a connection any more.
    fn forget_connection(&mut self, connection: &Connection) {
        let known = self.connections.remove(&connection.number()).unwrap_or_default();
        for link in known.links.values() {
            self.handlers.remove(link.handler());
        }
        for (_, there) in &known.redirects {
            there.close();
        }
        self.handlers.remove(&connection.inner.handler);
        if let Some(acceptor) = connection.acceptor() {
            self.tidy_acceptor(acceptor);
        }
    }

    pub(super) fn call_connection(&mut self, connection: &Connection, error: Option<&EventError>, method: Method) {
        let mut event = Event { error, ..Event::on_connection(connection) };
        self.call(Scopes::of_connection(connection), &mut event, method);
    }

    pub(super) fn begin(&self, session: Session) {
        self.wait_for(async move {
            let begun = session.client().await.map(drop);
            Happened::Begun(session, begun)
        });
    }

    pub(super) fn begun(&mut self, session: Session, begun: Result<(), AttachError>) {
        match begun {
            Ok(()) => {
                self.call_session(&session, None, method!(on_session_opened));
                self.watch_session(session);
            }
            Err(AttachError::Link(error @ LinkError::SessionEnded(_))) => self.session_over(&session, error),
            Err(error) => {
                let error = EventError::Attach(error);
                if session.is_to_hear(&error) {
                    self.call_session(&session, Some(&error), method!(on_session_error));
                }
            }
        }
    }

    pub(super) fn watch_session(&self, session: Session) {
        self.wait_for(async move {
            let over = match session.inner.client.get() {
                Some(client) => client.ended().await,
                None => LinkError::Closed,
            };
            Happened::SessionOver(session, over)
        });
    }

    pub(super) fn end(&mut self, session: Session) {
        self.wait_for(async move {
            // What becomes of it is told where its end is.
            if let Ok(client) = session.client().await {
                if let Some(error) = session.inner.closing.error() {
                    client.abort(error.clone());
                }
                let _ = client.close().await;
            }
            Happened::Done
        });
    }

    pub(super) fn session_over(&mut self, session: &Session, error: LinkError) {
        if let Some(known) = self.connections.get_mut(&session.connection().number()) {
            known.sessions.retain(|known| known != session);
        }
        let told = error.peer_error().is_some();
        let goes_with_connection = session.connection().inner.closing.has_begun() && !session.inner.closing.has_begun();
        if matches!(error, LinkError::Connection(_)) || (goes_with_connection && !told) {
            // The connection has told why, or will: its sessions end before it closes.
            return;
        }
        let by_peer = matches!(error, LinkError::SessionEnded(_)) && (told || !session.inner.closing.has_begun());
        let strict = self.handlers.settings(Scopes::of_connection(session.connection())).peer_close_is_error;
        if by_peer && (told || strict) {
            self.call_session(session, Some(&error.into()), method!(on_session_error));
        } else if by_peer {
            self.call_session(session, None, method!(on_session_closing));
        }
        self.call_session(session, None, method!(on_session_closed));
    }

    pub(super) fn call_session(&mut self, session: &Session, error: Option<&EventError>, method: Method) {
        let mut event = Event { error, ..Event::on_session(session) };
        self.call(Scopes::of_connection(session.connection()), &mut event, method);
    }
}

/// Connects, and puts the tokens that are to be there first.
async fn open(connection: &Connection, options: ConnectOptions) -> Result<client::Connection, EventError> {
    let client = client::Connection::open(options).await?;
    connection.put_first_tokens(&client).await?;
    Ok(client)
}
