//! Handlers that connect, and look at what is opened, refused and closed.

use std::time::Duration;

use postroad_client::types::PeerError;
use postroad_container::{Event, EventError, Handler, LinkOptions};

use super::handlers::{Leaves, Log, There, close, close_soon};

/// Asks for a node that the peer makes, at either kind of link.
pub(crate) struct Dynamic {
    pub(crate) there: There,
    pub(crate) log: Log,
    pub(crate) sends: bool,
}

impl Handler for Dynamic {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = self.there.connect(event);
        let link = LinkOptions::new().dynamic().name("made");
        if self.sends {
            connection.create_sender_with(link);
        } else {
            connection.create_receiver_with(link);
        }
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        let link = event.link().unwrap();
        let node = if self.sends { link.remote_target() } else { link.remote_source() };
        self.log.note(format!("node {}", node.and_then(|node| node.address).unwrap_or_default()));
        close(event);
    }

    fn on_link_error(&mut self, event: &mut Event<'_>) {
        close(event);
    }

    fn on_session_error(&mut self, event: &mut Event<'_>) {
        close_soon(event);
    }
}

/// Attaches one link of each kind, and is done when both were refused.
pub(crate) struct Refused {
    pub(crate) there: There,
    pub(crate) log: Log,
}

impl Handler for Refused {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = self.there.connect(event);
        connection.create_sender(self.there.target.as_str());
        connection.create_receiver(self.there.source.as_str());
    }

    fn on_link_error(&mut self, event: &mut Event<'_>) {
        let Some(error @ EventError::Attach(_)) = event.error() else { panic!("{:?}", event.error()) };
        let told = error.peer_error().cloned().unwrap_or_else(|| panic!("{error:?}"));
        self.log.note(format!("refused {}", told.condition.0.as_str()));
        if self.log.of("refused").len() == 2 {
            // The session goes on.
            let sender = event.session().unwrap().create_sender("q");
            self.log.note(format!("another {}", sender.name().len()));
        }
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        close(event);
    }
}

/// Opens a connection, and closes it: with an error where there is one.
pub(crate) struct Opens {
    pub(crate) there: There,
    pub(crate) error: Option<PeerError>,
}

impl Handler for Opens {
    fn on_start(&mut self, event: &mut Event<'_>) {
        self.there.connect(event);
    }

    fn on_connection_opened(&mut self, event: &mut Event<'_>) {
        let connection = event.connection().unwrap();
        match self.error.take() {
            Some(error) => connection.close_with(error),
            None => connection.close(),
        }
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        let Some(EventError::Connect(error)) = event.error() else { panic!("{:?}", event.error()) };
        assert!(error.is_authentication(), "{error:?}");
    }
}

/// Opens a connection, sends a message where it is to, and stays for some time, or until the peer has had enough.
pub(crate) struct Stays {
    pub(crate) there: There,
    pub(crate) log: Log,
    pub(crate) sends: bool,
    pub(crate) time: Option<Duration>,
}

impl Stays {
    pub(crate) fn new(there: &There, log: &Log) -> Self {
        Self { there: there.clone(), log: log.clone(), sends: false, time: None }
    }
}

impl Handler for Stays {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = self.there.connect(event);
        if self.sends {
            connection.create_sender(self.there.target.as_str());
        }
        if let Some(time) = self.time {
            event.container().schedule_for(time, Leaves(connection));
        }
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if self.log.of("sent").is_empty() {
            event.sender().unwrap().send("the last one").unwrap();
            self.log.note("sent");
        }
    }
}
