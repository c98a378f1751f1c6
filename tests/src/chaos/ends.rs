//! The two ends of a run, as the client gives them: it makes anew what is cut, and nobody here notices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use postroad_client::{
    ConnectOptions, Connection, Guarantee, LinkOptions, Message, Node, Receiver, Reconnect, Sender, Session,
};

use super::Failure;
use super::stage::Stage;

/// The end that sends.
pub(super) struct Sending {
    stage: Arc<Stage>,
    end: usize,
    connection: Connection,
    sender: Sender,
}

/// The end that receives.
pub(super) struct Receiving {
    stage: Arc<Stage>,
    end: usize,
    connection: Connection,
    receiver: Receiver,
}

/// So many bytes a frame may have that larger messages take several.
pub(super) const FRAME: u32 = 4096;
/// Messages that are handed over and have no outcome.
pub(super) const WINDOW: usize = 2_000;
/// Messages that the receiver takes ahead.
pub(super) const PREFETCH: u32 = 500;

/// How a connection is made, and made anew: at once, and with short pauses where that fails.
pub(super) fn options(at: SocketAddr) -> ConnectOptions {
    let mut options = ConnectOptions::new(format!("amqp://{at}").parse().expect("an address makes a URL"));
    let mut reconnect = Reconnect::default();
    reconnect.interval = Duration::from_millis(1);
    reconnect.max_interval = Duration::from_millis(5);
    reconnect.initially = true;
    options.reconnect = Some(reconnect);
    options.connect_timeout = Duration::from_secs(5);
    options.idle_timeout = Some(Duration::from_secs(10));
    options.max_frame_size = FRAME;
    options
}

pub(super) fn link(guarantee: Guarantee) -> LinkOptions {
    let mut link = LinkOptions::default();
    link.guarantee = guarantee;
    link.prefetch = PREFETCH;
    link.max_unsettled = Some(WINDOW);
    link
}

/// Connects an end through its proxy, and begins a session.
pub(super) async fn connect(stage: &Stage, end: usize) -> Result<(Connection, Session), Failure> {
    let connection = Connection::open(options(stage.proxies[end].addr())).await;
    let connection = connection.map_err(|error| stage.failure(end, error))?;
    stage.note(end, connection.events());
    let session = stage.again(end, || connection.session()).await?;
    Ok((connection, session))
}

impl Sending {
    pub(super) async fn open(stage: &Arc<Stage>, end: usize, queue: &str) -> Result<Self, Failure> {
        let (connection, session) = connect(stage, end).await?;
        let sender = stage.again(end, || session.sender_with(Node::at(queue), link(stage.options.guarantee))).await?;
        Ok(Self { stage: Arc::clone(stage), end, connection, sender })
    }

    /// Hands a message over, once there is room.
    pub(super) async fn submit(&self, message: &Message) -> Result<(), Failure> {
        let submitted = self.stage.board.or_stuck(self.sender.submit(message), || self.sight()).await;
        submitted.map_err(|error| self.stage.failure(self.end, error))
    }

    /// Waits until everything has an outcome.
    pub(super) async fn settle(&self) -> Result<(), Failure> {
        let settled = self.stage.board.or_stuck(self.sender.sync(), || self.sight()).await;
        settled.map_err(|error| self.stage.failure(self.end, error))
    }

    fn sight(&self) -> String {
        let Self { stage, end, sender, .. } = self;
        let (credit, unsettled, error) = (sender.credit(), sender.unsettled(), sender.error());
        format!("{} sees a credit of {credit}, {unsettled} unsettled, error {error:?}", stage.ends[*end])
    }

    pub(super) async fn close(self) -> Result<(), Failure> {
        let Self { stage, end, connection, sender } = self;
        sender.close().await.map_err(|error| stage.failure(end, error))?;
        connection.close().await.map_err(|error| stage.failure(end, error))
    }
}

impl Receiving {
    pub(super) async fn open(stage: &Arc<Stage>, end: usize, queue: &str) -> Result<Self, Failure> {
        let (connection, session) = connect(stage, end).await?;
        let receiver =
            stage.again(end, || session.receiver_with(Node::at(queue), link(stage.options.guarantee))).await?;
        Ok(Self { stage: Arc::clone(stage), end, connection, receiver })
    }

    pub(super) async fn receive(&mut self) -> Result<Message, Failure> {
        self.receiver.receive().await.map_err(|error| self.stage.failure(self.end, error))
    }

    pub(super) async fn fetch(&mut self, timeout: Duration) -> Result<Option<Message>, Failure> {
        self.receiver.fetch(timeout).await.map_err(|error| self.stage.failure(self.end, error))
    }

    /// What there is to be seen of the link.
    pub(super) fn sight(&self) -> String {
        let Self { stage, end, receiver, .. } = self;
        let (credit, here, error) = (receiver.credit(), receiver.available(), receiver.error());
        format!("{} sees a credit of {credit}, {here} messages here, error {error:?}", stage.ends[*end])
    }

    pub(super) async fn accept(&self, message: &Message) {
        // A message that cannot be settled any more comes again.
        let _ = self.receiver.accept(message);
    }

    pub(super) async fn close(self) -> Result<(), Failure> {
        let Self { stage, end, connection, receiver } = self;
        receiver.close().await.map_err(|error| stage.failure(end, error))?;
        connection.close().await.map_err(|error| stage.failure(end, error))
    }
}
