//! The two ends of a run, as the client gives them.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use postroad_client::{ConnectOptions, Connection, Guarantee, LinkOptions, Message, Node, Receiver, Sender};

use super::board::Board;
use super::{ENDS, FRAME, Failure};

/// The end that sends.
pub(super) struct Sending {
    at: SocketAddr,
    queue: &'static str,
    guarantee: Guarantee,
    link: Option<(Connection, Sender)>,
    /// What was handed over since all was settled.
    since: Vec<Message>,
}

/// Messages that are settled together.
const BATCH: usize = 500;

/// The end that receives.
pub(super) struct Receiving {
    at: SocketAddr,
    queue: &'static str,
    guarantee: Guarantee,
    link: Option<(Connection, Receiver)>,
}

fn options(at: SocketAddr) -> ConnectOptions {
    let mut options = ConnectOptions::new(format!("amqp://{at}").parse().expect("an address makes a URL"));
    options.connect_timeout = Duration::from_secs(2);
    options.max_frame_size = FRAME;
    options
}

async fn session(at: SocketAddr) -> Option<(Connection, postroad_client::Session)> {
    let connection = Connection::open(options(at)).await.ok()?;
    let session = connection.session().await.ok()?;
    Some((connection, session))
}

impl Sending {
    pub(super) async fn open(at: SocketAddr, queue: &'static str, guarantee: Guarantee) -> Result<Self, Failure> {
        Ok(Self { at, queue, guarantee, link: None, since: Vec::new() })
    }

    async fn sender(&mut self, board: &Board) -> &Sender {
        while self.link.is_none() {
            let mut link = LinkOptions::default();
            link.guarantee = self.guarantee;
            link.timeout = Duration::from_secs(2);
            if let Some((connection, session)) = session(self.at).await
                && let Ok(sender) = session.sender_with(Node::at(self.queue), link).await
            {
                board.reconnects.fetch_add(1, Relaxed);
                board.tell(format!("{} connected", ENDS[0]));
                self.link = Some((connection, sender));
            } else {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        &self.link.as_ref().expect("just made").1
    }

    /// Connects again where the connection is lost.
    pub(super) async fn mend(&mut self, board: &Board) {
        if self.link.as_ref().is_some_and(|(_, sender)| sender.error().is_some()) {
            self.link = None;
        }
        self.sender(board).await;
    }

    pub(super) async fn submit(&mut self, message: Message, board: &Board) -> Result<(), Failure> {
        if self.guarantee == Guarantee::AtMostOnce {
            while self.sender(board).await.submit(&message).await.is_err() {
                self.link = None;
            }
            return Ok(());
        }
        self.since.push(message);
        if self.since.len() < BATCH { Ok(()) } else { self.settle(board).await }
    }

    pub(super) async fn settle(&mut self, board: &Board) -> Result<(), Failure> {
        self.mend(board).await;
        loop {
            let since = std::mem::take(&mut self.since);
            let sender = self.sender(board).await;
            let done = async {
                for message in &since {
                    sender.submit(message).await.ok()?;
                }
                sender.sync().await.ok()
            };
            if done.await.is_some() {
                return Ok(());
            }
            self.since = since;
            self.link = None;
        }
    }

    pub(super) async fn close(self) -> Result<(), Failure> {
        let Some((connection, sender)) = self.link else { return Ok(()) };
        let end = |why: String| Failure::End { end: ENDS[0], why };
        sender.close().await.map_err(|error| end(error.to_string()))?;
        connection.close().await.map_err(|error| end(error.to_string()))
    }
}

impl Receiving {
    pub(super) async fn open(at: SocketAddr, queue: &'static str, guarantee: Guarantee) -> Result<Self, Failure> {
        Ok(Self { at, queue, guarantee, link: None })
    }

    async fn receiver(&mut self, board: &Board) -> &mut Receiver {
        while self.link.is_none() {
            let mut link = LinkOptions::default();
            link.guarantee = self.guarantee;
            link.prefetch = 500;
            link.timeout = Duration::from_secs(2);
            if let Some((connection, session)) = session(self.at).await
                && let Ok(receiver) = session.receiver_with(Node::at(self.queue), link).await
            {
                board.reconnects.fetch_add(1, Relaxed);
                board.tell(format!("{} connected", ENDS[1]));
                self.link = Some((connection, receiver));
            } else {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        &mut self.link.as_mut().expect("just made").1
    }

    pub(super) async fn receive(&mut self, board: &Board) -> Result<Message, Failure> {
        loop {
            match self.receiver(board).await.receive().await {
                Ok(message) => return Ok(message),
                Err(_) => self.link = None,
            }
        }
    }

    pub(super) async fn fetch(&mut self, timeout: Duration, board: &Board) -> Result<Option<Message>, Failure> {
        loop {
            match self.receiver(board).await.fetch(timeout).await {
                Ok(message) => return Ok(message),
                Err(_) => self.link = None,
            }
        }
    }

    pub(super) fn accept(&mut self, message: &Message, note: impl FnOnce(&Message)) {
        note(message);
        if let Some((_, receiver)) = &self.link {
            // Otherwise it comes again.
            let _ = receiver.accept(message);
        }
    }

    pub(super) async fn close(self) -> Result<(), Failure> {
        let Some((connection, receiver)) = self.link else { return Ok(()) };
        let end = |why: String| Failure::End { end: ENDS[1], why };
        receiver.close().await.map_err(|error| end(error.to_string()))?;
        connection.close().await.map_err(|error| end(error.to_string()))
    }
}
