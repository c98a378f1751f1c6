//! Senders and receivers on their connections.

use std::net::Ipv4Addr;
use std::time::Duration;

use postroad::address::BrokerUrl;
use postroad::client::{self, AcceptOptions, Acceptor, LinkOptions};
use postroad::messaging::{Connection, FetchError, LinkError, Message, Receiver, Sender};
use postroad::taps::LocalEndpoint;

use crate::args::Connect;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::failure;
use crate::signals::Stop;
use crate::term::Talk;

/// What a run sends and receives by. Each end has a connection of its own, as programs would have.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(super) senders: Vec<Sender>,
    pub(super) receivers: Vec<Inlet>,
    pub(super) connections: Vec<Connection>,
}

/// Where messages come in.
#[derive(Debug)]
pub(super) enum Inlet {
    /// From a node of a broker.
    Node(Receiver),
    /// From a sender that has connected to us.
    Peer {
        receiver: client::Receiver,
        /// Lives as long as this.
        _connection: client::Connection,
    },
}

/// How many there are of each, and how much the receivers take ahead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) senders: usize,
    pub(crate) receivers: usize,
    pub(crate) credit: u32,
}

impl Ends {
    /// Through a node of a broker: `to` and `from` are its addresses for senders and receivers.
    pub(crate) async fn through(
        (to, from): (&str, &str),
        url: &BrokerUrl,
        shape: Shape,
        options: &Connect,
        stop: &Stop,
        talk: Talk,
    ) -> Result<Self, Failure> {
        let link = |address: &str, error: &LinkError| failure::link(format!("cannot use {address}"), error);
        let mut ends = Self { senders: Vec::new(), receivers: Vec::new(), connections: Vec::new() };
        for _ in 0..shape.senders {
            let connection = connect::open(url, options, stop, talk).await?;
            let session = connection.session().await.map_err(|error| failure::session(&error))?;
            ends.senders.push(session.sender(to).await.map_err(|error| link(to, &error))?);
            ends.connections.push(connection);
        }
        for _ in 0..shape.receivers {
            let connection = connect::open(url, options, stop, talk).await?;
            let session = connection.session().await.map_err(|error| failure::session(&error))?;
            let receiver = session.receiver(from).await.map_err(|error| link(from, &error))?;
            receiver.set_capacity(shape.credit);
            ends.receivers.push(Inlet::Node(receiver));
            ends.connections.push(connection);
        }
        Ok(ends)
    }

    /// Over the loopback, without a broker: each sender connects to a receiver of its own in this process.
    pub(crate) async fn peer_to_peer(address: &str, shape: Shape, stop: &Stop, talk: Talk) -> Result<Self, Failure> {
        let broken = |error: &dyn std::fmt::Display| Failure::new(Exit::Unavailable, "cannot listen", error);
        let local = LocalEndpoint::address(Ipv4Addr::LOCALHOST).port(0);
        let acceptor = Acceptor::listen(AcceptOptions::new(local)).await.map_err(|error| broken(&error))?;
        let url = connect::broker_url(&format!("amqp://{}", acceptor.local_endpoint()))?;
        let mut ends = Self { senders: Vec::new(), receivers: Vec::new(), connections: Vec::new() };
        let mut terms = LinkOptions::default();
        terms.prefetch = shape.credit;
        for _ in 0..shape.senders {
            let options = Connect { connect_timeout: Duration::from_secs(10), ..Connect::default() };
            let (connection, incoming) = tokio::join!(connect::open(&url, &options, stop, talk), acceptor.accept());
            let (connection, incoming) = (connection?, incoming.map_err(|error| broken(&error))?);
            let session = connection.session().await.map_err(|error| failure::session(&error))?;
            let receiver = async {
                let link = incoming.next_link().await.map_err(|error| broken(&error))?;
                link.into_receiver(&terms).map_err(|error| broken(&error))
            };
            let sender = async {
                session.sender(address).await.map_err(|error| failure::link(format!("cannot use {address}"), &error))
            };
            let (sender, receiver) = tokio::try_join!(sender, receiver)?;
            ends.senders.push(sender);
            ends.receivers.push(Inlet::Peer { receiver, _connection: incoming });
            ends.connections.push(connection);
        }
        Ok(ends)
    }
}

impl Inlet {
    /// The next message. [`FetchError::Empty`] when none has come in time; zero means "if there is one".
    pub(super) async fn fetch(&mut self, timeout: Duration) -> Result<Message, FetchError> {
        match self {
            Self::Node(receiver) => receiver.fetch_timeout(timeout).await,
            Self::Peer { receiver, .. } => receiver.fetch(timeout).await?.ok_or(FetchError::Empty),
        }
    }

    pub(super) fn accept(&self, message: &Message) -> Result<(), LinkError> {
        match self {
            Self::Node(receiver) => receiver.accept(message),
            Self::Peer { receiver, .. } => Ok(receiver.accept(message)?),
        }
    }

    pub(super) async fn close(self) -> Result<(), LinkError> {
        match self {
            Self::Node(receiver) => receiver.close().await,
            Self::Peer { receiver, .. } => Ok(receiver.close().await?),
        }
    }
}
