//! What a link is made with, beside its address.

/// What a sender is made with.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = postroad_broker::Broker::builder().queue("orders").listen("amqp://127.0.0.1:0").start().await?;
/// use postroad_messaging::{Connection, SenderOptions};
///
/// let session = Connection::establish(&broker.urls()[0]).await?.session().await?;
/// let sender = session.sender_with("orders", SenderOptions::default().capacity(100).durable(true)).await?;
/// assert_eq!((sender.capacity(), sender.durable()), (100, Some(true)));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct SenderOptions {
    /// The bound on messages that are under way; none by default.
    pub capacity: Option<u32>,
    /// Whether messages are durable that do not say it.
    pub durable: Option<bool>,
}

/// What a receiver is made with.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct ReceiverOptions {
    /// Messages that are taken ahead of being fetched; 0 by default.
    pub capacity: Option<u32>,
}

impl SenderOptions {
    /// Sets the bound on messages that are under way.
    #[must_use]
    pub fn capacity(mut self, capacity: u32) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// Sets whether messages are durable that do not say it.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = Some(durable);
        self
    }
}

impl ReceiverOptions {
    /// Sets how many messages are taken ahead of being fetched.
    #[must_use]
    pub fn capacity(mut self, capacity: u32) -> Self {
        self.capacity = Some(capacity);
        self
    }
}
