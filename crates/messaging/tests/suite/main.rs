//! The face before the embedded broker, and before a peer of ours that answers as a test wants.

mod acknowledging;
mod addresses;
mod blocking;
mod closing;
mod detaching;
mod failing;
mod fetching;
mod foreign;
mod linking;
mod links;
mod messages;
mod opening;
mod outcomes;
#[path = "../../../client/tests/raw/mod.rs"]
mod raw;
mod reconnecting;
mod sending;
mod sessions;
mod settings;
mod told;
mod transactions;

use std::time::Duration;

use postroad_broker::{Broker, Builder};
use postroad_client::{self as client, AcceptOptions, Acceptor};
use postroad_messaging::{Connection, Message, Receiver, Sender, Session};
use postroad_taps::LocalEndpoint;

/// No test waits longer than this for anything that should come.
const PATIENCE: Duration = Duration::from_secs(10);

/// At once, if at all.
const NOW: Duration = Duration::ZERO;

/// A broker on a free loopback port, with the queue `q`, and a session on it.
struct World {
    broker: Broker,
    connection: Connection,
    session: Session,
}

async fn world() -> World {
    world_with(Broker::builder().queue("q")).await
}

async fn world_with(builder: Builder) -> World {
    let broker = builder.listen("amqp://127.0.0.1:0").start().await.unwrap();
    let connection = Connection::establish(&broker.urls()[0]).await.unwrap();
    let session = connection.session().await.unwrap();
    World { broker, connection, session }
}

impl World {
    async fn sender(&self, address: &str) -> Sender {
        self.session.sender(address).await.unwrap()
    }

    async fn receiver(&self, address: &str) -> Receiver {
        self.session.receiver(address).await.unwrap()
    }

    /// Puts messages with these texts into the queue `q`.
    async fn fill(&self, texts: &[&str]) {
        let sender = self.sender("q").await;
        for text in texts {
            sender.send_async(*text).await.unwrap();
        }
        sender.close().await.unwrap();
    }

    fn ready(&self) -> usize {
        self.broker.queue_stats("q").unwrap().ready
    }

    /// A session on a connection of its own.
    async fn other_session(&self) -> Session {
        Connection::establish(&self.broker.urls()[0]).await.unwrap().session().await.unwrap()
    }
}

/// A session on a peer of ours, and the peer's end of the connection.
async fn peer() -> (Session, client::Connection) {
    let options = AcceptOptions::new(LocalEndpoint::host("127.0.0.1"));
    let acceptor = Acceptor::listen(options).await.unwrap();
    let url = format!("amqp://{}", acceptor.local_endpoint());
    let (ours, theirs) = tokio::join!(Connection::establish(&url), acceptor.accept());
    (ours.unwrap().session().await.unwrap(), theirs.unwrap())
}

/// A sender, and the peer that receives from it with this much credit at a time.
async fn sender_to_peer(credit: u32) -> (Sender, client::Receiver, client::Connection) {
    let (session, theirs) = peer().await;
    let mut options = client::LinkOptions::default();
    options.prefetch = credit;
    let accepting = async { theirs.next_link().await.unwrap().into_receiver(&options).unwrap() };
    let (sender, receiver) = tokio::join!(session.sender("q"), accepting);
    (sender.unwrap(), receiver, theirs)
}

/// A receiver, and the peer that sends to it.
async fn receiver_from_peer() -> (Receiver, client::Sender) {
    let (session, theirs) = peer().await;
    let accepting = async { theirs.next_link().await.unwrap().into_sender(&client::LinkOptions::default()).unwrap() };
    let (receiver, sender) = tokio::join!(session.receiver("q"), accepting);
    (receiver.unwrap(), sender)
}

async fn texts(receiver: &Receiver) -> Vec<String> {
    let mut texts = Vec::new();
    while let Ok(message) = receiver.fetch_timeout(NOW).await {
        texts.push(text(&message));
    }
    texts
}

fn text(message: &Message) -> String {
    message.text().unwrap().to_owned()
}

/// Waits until `done` answers `true`.
async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let tries = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, tries).await.unwrap_or_else(|_| panic!("{what}: not in time"));
}
