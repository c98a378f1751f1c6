//! What a mover has: links to both queues, and transactions.

use std::time::Duration;

use postroad_client::{Guarantee, Message, Node, Receiver, Sender, Session, TransactionController, TransactionError};
use postroad_messaging::{self as messaging, FetchError};

use super::Failure;
use super::ends::link;
use super::stage::Stage;
use super::transfers::{FROM, TO};

/// What became of a message that was to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Committed,
    RolledBack,
    InDoubt,
}

/// Links, by whichever interface.
pub(super) trait Links: Sized {
    /// A message of the first queue, where there is one in this time.
    fn fetch(&mut self, wait: Duration) -> impl Future<Output = Result<Option<Message>, Failure>> + Send;

    /// Posts the copy to the second queue and retires the message, in one transaction.
    fn transfer(&mut self, message: &Message, copy: Message) -> impl Future<Output = Result<Moved, Failure>> + Send;
}

/// Messages that are taken ahead.
const PREFETCH: u32 = 4;

/// Links of the client, with a controller of their own.
pub(super) struct ClientLinks<'a> {
    stage: &'a Stage,
    end: usize,
    receiver: Receiver,
    sender: Sender,
    controller: TransactionController,
}

impl<'a> ClientLinks<'a> {
    pub(super) async fn attach(stage: &'a Stage, end: usize, session: &Session) -> Result<Self, Failure> {
        let options = || {
            let mut options = link(Guarantee::AtLeastOnce);
            options.prefetch = PREFETCH;
            options
        };
        let receiver = stage.again(end, || session.receiver_with(Node::at(FROM), options())).await?;
        let sender = stage.again(end, || session.sender_with(Node::at(TO), options())).await?;
        let controller = stage.again(end, || session.transaction_controller()).await?;
        Ok(Self { stage, end, receiver, sender, controller })
    }

    async fn in_transaction(&self, message: &Message, copy: &Message) -> Result<(), TransactionError> {
        let transaction = self.controller.declare().await?;
        transaction.submit(&self.sender, copy).await.map_err(TransactionError::Send)?;
        transaction.accept(message)?;
        transaction.commit().await
    }
}

impl Links for ClientLinks<'_> {
    async fn fetch(&mut self, wait: Duration) -> Result<Option<Message>, Failure> {
        self.receiver.fetch(wait).await.map_err(|error| self.stage.failure(self.end, error))
    }

    async fn transfer(&mut self, message: &Message, copy: Message) -> Result<Moved, Failure> {
        Ok(match self.in_transaction(message, &copy).await {
            Ok(()) => Moved::Committed,
            Err(TransactionError::InDoubt(_)) => Moved::InDoubt,
            Err(_) => {
                // What came over a connection that is lost comes again anyway.
                let _ = self.receiver.release(message);
                Moved::RolledBack
            }
        })
    }
}

/// A transactional session of the face.
pub(super) struct FaceLinks<'a> {
    stage: &'a Stage,
    end: usize,
    connection: &'a messaging::Connection,
    session: messaging::Session,
    receiver: messaging::Receiver,
    sender: messaging::Sender,
}

impl<'a> FaceLinks<'a> {
    pub(super) async fn attach(
        stage: &'a Stage,
        end: usize,
        connection: &'a messaging::Connection,
    ) -> Result<Self, Failure> {
        let (session, receiver, sender) = stage.again(end, || Self::begin(connection)).await?;
        Ok(Self { stage, end, connection, session, receiver, sender })
    }

    async fn begin(
        connection: &messaging::Connection,
    ) -> Result<(messaging::Session, messaging::Receiver, messaging::Sender), messaging::LinkError> {
        let session = connection.transactional_session().await?;
        let (receiver, sender) = (session.receiver(FROM).await?, session.sender(TO).await?);
        receiver.set_capacity(PREFETCH);
        Ok((session, receiver, sender))
    }

    /// Begins another session.
    async fn renew(&mut self) -> Result<(), Failure> {
        *self = Self::attach(self.stage, self.end, self.connection).await?;
        Ok(())
    }

    async fn in_transaction(&self, message: &Message, copy: Message) -> Result<(), messaging::SessionError> {
        let posted = self.sender.send_async(copy).await;
        if posted.is_err() {
            return self.session.rollback().await.and(Err(messaging::SessionError::Closed));
        }
        // What cannot be acknowledged any more fails the commit.
        let _ = self.session.acknowledge(message).await;
        self.session.commit().await
    }
}

impl Links for FaceLinks<'_> {
    async fn fetch(&mut self, wait: Duration) -> Result<Option<Message>, Failure> {
        match self.receiver.fetch_timeout(wait).await {
            Ok(message) => Ok(Some(message)),
            Err(FetchError::Empty) => Ok(None),
            // It ends with its connection, and another goes on.
            Err(_) if self.session.error().is_some() => self.renew().await.map(|()| None),
            Err(error) => Err(self.stage.failure(self.end, error)),
        }
    }

    async fn transfer(&mut self, message: &Message, copy: Message) -> Result<Moved, Failure> {
        let ended = self.in_transaction(message, copy).await;
        let moved = match ended {
            Ok(()) => Moved::Committed,
            Err(messaging::SessionError::Transaction(messaging::TransactionError::Unknown(_))) => Moved::InDoubt,
            Err(_) => Moved::RolledBack,
        };
        if self.session.error().is_some() {
            self.renew().await?;
        }
        Ok(moved)
    }
}
