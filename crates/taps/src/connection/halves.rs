//! A connection in two halves, for one task that sends and one that receives.

use std::sync::Arc;

use super::{Batch, BatchError, Connection, PartialMessage, ReceiveError, SendError};
use crate::message::{Message, MessageContext, Receive};

/// The half of a connection that sends; [`Connection::into_split`] makes it.
///
/// Its methods take `&mut self`, so that whoever has it is the only one who sends. Dropping it ends nothing: the
/// transport is closed when both halves are gone, and in order by [`Connection::close`] only.
#[derive(Debug)]
pub struct SendHalf {
    connection: Arc<Connection>,
}

/// The half of a connection that receives; [`Connection::into_split`] makes it.
///
/// Its methods take `&mut self`, so that whoever has it is the only one who receives. Dropping it ends nothing: what
/// arrives waits as far as there is room, and then the peer does.
#[derive(Debug)]
pub struct ReceiveHalf {
    connection: Arc<Connection>,
}

/// Two halves that are not of the same connection, given back.
#[derive(Debug, thiserror::Error)]
#[error("the halves are of two connections")]
pub struct ReuniteError(pub SendHalf, pub ReceiveHalf);

impl Connection {
    /// Makes two halves of the connection, for one owner who sends and one who receives.
    ///
    /// ```
    /// use postroad_taps::{Connection, ReceiveError, SendError};
    ///
    /// async fn echo(connection: Connection) -> Result<Connection, SendError> {
    ///     let (mut send, mut receive) = connection.into_split();
    ///     while let Ok(message) = receive.receive().await {
    ///         send.send(message.data).await?;
    ///     }
    ///     Ok(send.reunite(receive).expect("they were one connection"))
    /// }
    /// ```
    #[must_use]
    pub fn into_split(self) -> (SendHalf, ReceiveHalf) {
        let connection = Arc::new(self);
        (SendHalf { connection: Arc::clone(&connection) }, ReceiveHalf { connection })
    }
}

impl SendHalf {
    /// As [`Connection::send`].
    ///
    /// # Errors
    /// See [`SendError`].
    ///
    /// # Cancel safety
    /// As [`Connection::send`].
    pub async fn send(&mut self, message: impl Into<Message> + Send) -> Result<(), SendError> {
        self.connection.send(message).await
    }

    /// As [`Connection::start_message`].
    pub fn start_message(&mut self, context: MessageContext) -> PartialMessage<'_> {
        self.connection.start_message(context)
    }

    /// As [`Connection::batch`].
    ///
    /// # Errors
    /// See [`BatchError`].
    ///
    /// # Cancel safety
    /// As [`Connection::batch`].
    pub async fn batch(&mut self, block: impl FnOnce(&mut Batch) + Send) -> Result<(), BatchError> {
        self.connection.batch(block).await
    }

    /// As [`Connection::flush`].
    ///
    /// # Errors
    /// As [`Connection::flush`].
    ///
    /// # Cancel safety
    /// As [`Connection::flush`].
    pub async fn flush(&mut self) -> Result<(), SendError> {
        self.connection.flush().await
    }

    /// The connection, for everything but sending and receiving: its properties, its events, its end.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Makes the halves of a connection whole again.
    ///
    /// # Errors
    /// They are not of the same connection; they are given back.
    pub fn reunite(self, other: ReceiveHalf) -> Result<Connection, ReuniteError> {
        if !Arc::ptr_eq(&self.connection, &other.connection) {
            return Err(ReuniteError(self, other));
        }
        drop(other);
        Ok(Arc::into_inner(self.connection).expect("nobody else has a half of it"))
    }
}

impl ReceiveHalf {
    /// As [`Connection::receive`].
    ///
    /// # Errors
    /// See [`ReceiveError`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn receive(&mut self) -> Result<Message, ReceiveError> {
        self.connection.receive().await
    }

    /// As [`Connection::receive_with`].
    ///
    /// # Errors
    /// See [`ReceiveError`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn receive_with(&mut self, want: Receive) -> Result<Message, ReceiveError> {
        self.connection.receive_with(want).await
    }

    /// The connection, for everything but sending and receiving: its properties, its events, its end.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}
