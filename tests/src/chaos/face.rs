//! The two ends of a run through the face of qpid.messaging, as a program has them: options of the connection, and addresses.

use std::sync::Arc;
use std::time::Duration;

use postroad_client::Guarantee;
use postroad_messaging::{Connection, FetchError, Message, Receiver, Sender, Session};

use super::Failure;
use super::ends::{FRAME, PREFETCH, WINDOW};
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
    session: Session,
    receiver: Receiver,
}

/// Connects an end through its proxy.
pub(super) async fn connect(stage: &Stage, end: usize) -> Result<Connection, Failure> {
    let builder = Connection::new(&format!("amqp://{}", stage.proxies[end].addr()));
    let builder = builder.map_err(|error| stage.failure(end, error))?;
    let builder = builder
        .reconnect(true)
        .reconnect_interval_min(Duration::from_millis(1))
        .reconnect_interval_max(Duration::from_millis(5))
        .reconnect_log(false)
        .connect_timeout(Duration::from_secs(5))
        .heartbeat(Duration::from_secs(5))
        .max_frame_size(FRAME);
    let connection = builder.open().await.map_err(|error| stage.failure(end, error))?;
    stage.note(end, connection.client().events());
    Ok(connection)
}

/// The address of a queue with the reliability of a guarantee.
fn address(queue: &str, guarantee: Guarantee) -> String {
    let reliability = match guarantee {
        Guarantee::AtMostOnce => "at-most-once",
        Guarantee::ExactlyOnce => "exactly-once",
        _ => "at-least-once",
    };
    format!("{queue}; {{link: {{reliability: {reliability}}}}}")
}

impl Sending {
    pub(super) async fn open(stage: &Arc<Stage>, end: usize, queue: &str) -> Result<Self, Failure> {
        let connection = connect(stage, end).await?;
        let session = stage.again(end, || connection.session()).await?;
        let address = address(queue, stage.options.guarantee);
        let sender = stage.again(end, || session.sender(&address)).await?;
        sender.set_capacity(WINDOW as u32);
        Ok(Self { stage: Arc::clone(stage), end, connection, sender })
    }

    /// Hands a message over, once there is room.
    pub(super) async fn submit(&self, message: &Message) -> Result<(), Failure> {
        let sending = self.sender.send_async(message.clone());
        let submitted = self.stage.board.or_stuck(sending, || self.sight()).await;
        submitted.map_err(|error| self.stage.failure(self.end, error))
    }

    /// Waits until everything has an outcome.
    pub(super) async fn settle(&self) -> Result<(), Failure> {
        let settled = self.stage.board.or_stuck(self.sender.sync(), || self.sight()).await;
        settled.map_err(|error| self.stage.failure(self.end, error))
    }

    fn sight(&self) -> String {
        let Self { stage, end, sender, .. } = self;
        let (available, unsettled, error) = (sender.available(), sender.unsettled(), sender.error());
        format!("{} sees {available} available, {unsettled} unsettled, error {error:?}", stage.ends[*end])
    }

    pub(super) async fn close(self) -> Result<(), Failure> {
        let Self { stage, end, connection, sender } = self;
        sender.close().await.map_err(|error| stage.failure(end, error))?;
        connection.close().await.map_err(|error| stage.failure(end, error))
    }
}

impl Receiving {
    pub(super) async fn open(stage: &Arc<Stage>, end: usize, queue: &str) -> Result<Self, Failure> {
        let connection = connect(stage, end).await?;
        let session = stage.again(end, || connection.session()).await?;
        let address = address(queue, stage.options.guarantee);
        let receiver = stage.again(end, || session.receiver(&address)).await?;
        receiver.set_capacity(PREFETCH);
        Ok(Self { stage: Arc::clone(stage), end, connection, session, receiver })
    }

    pub(super) async fn receive(&mut self) -> Result<Message, Failure> {
        self.receiver.fetch().await.map_err(|error| self.stage.failure(self.end, error))
    }

    pub(super) async fn fetch(&mut self, timeout: Duration) -> Result<Option<Message>, Failure> {
        match self.receiver.fetch_timeout(timeout).await {
            Ok(message) => Ok(Some(message)),
            Err(FetchError::Empty) => Ok(None),
            Err(error) => Err(self.stage.failure(self.end, error)),
        }
    }

    /// What there is to be seen of the link.
    pub(super) fn sight(&self) -> String {
        let Self { stage, end, receiver, .. } = self;
        let (granted, here, error) = (receiver.granted(), receiver.available(), receiver.error());
        format!("{} has granted {granted}, {here} messages here, error {error:?}", stage.ends[*end])
    }

    pub(super) async fn accept(&self, message: &Message) {
        // A message that cannot be settled any more comes again.
        let _ = self.session.acknowledge(message).await;
    }

    pub(super) async fn close(self) -> Result<(), Failure> {
        let Self { stage, end, connection, receiver, .. } = self;
        receiver.close().await.map_err(|error| stage.failure(end, error))?;
        connection.close().await.map_err(|error| stage.failure(end, error))
    }
}
