//! A session: the order of messages, and which of them wait to be acknowledged.

use std::time::Duration;

use postroad_client::blocking::{ConnectionGuard, Wrap, mirror};
use postroad_client::{Message, Outcome, TransactionState};

use super::{Connection, Receiver, Sender};
use crate::{FetchError, LinkError, ReceiverOptions, SenderOptions, SessionError, SyncError};

mirror! {
    /// A session. Clones are handles of the same session; with the last handle, and the last link on it, it ends.
    #[derive(Debug, Clone)]
    pub struct Session of crate::Session, under ConnectionGuard;

    wait fn sender(&self, address: &str) -> Result<Sender, LinkError>;
    wait fn receiver(&self, address: &str) -> Result<Receiver, LinkError>;
    #[doc(alias = "sender")]
    wait fn sender_with(&self, address: &str, options: SenderOptions) -> Result<Sender, LinkError>;
    #[doc(alias = "receiver")]
    wait fn receiver_with(&self, address: &str, options: ReceiverOptions) -> Result<Receiver, LinkError>;
    wait fn acknowledge(&self, message: &Message) -> Result<(), LinkError>;
    #[doc(alias = "disposition")]
    wait fn acknowledge_with(&self, message: &Message, disposition: Outcome) -> Result<(), LinkError>;
    wait fn acknowledge_all(&self) -> Result<(), LinkError>;
    #[doc(alias = "disposition")]
    wait fn acknowledge_all_with(&self, disposition: Outcome) -> Result<(), LinkError>;
    #[doc(alias = "acknowledge")]
    wait fn acknowledge_sync(&self, message: &Message) -> Result<(), LinkError>;
    #[doc(alias = "acknowledge")]
    wait fn acknowledge_all_sync(&self) -> Result<(), LinkError>;
    /// When the time is over, what was acknowledged is on its way all the same.
    #[doc(alias = "acknowledge")]
    soon fn acknowledge_all_sync_timeout(&self) = acknowledge_all_sync -> Result<(), LinkError>;
    wait fn sync(&self) -> Result<(), SyncError>;
    soon fn sync_timeout(&self) = sync -> Result<(), SyncError>;
    pass fn ack_capacity(&self) -> u32;
    pass fn set_ack_capacity(&self, capacity: u32) -> ();
    pass fn acked(&self) -> usize;
    #[doc(alias = "unacked")]
    pass fn unacknowledged(&self) -> usize;
    wait fn next_receiver(&self) -> Result<Receiver, FetchError>;
    #[doc(alias = "next_receiver")]
    wait fn next_receiver_timeout(&self, timeout: Duration) -> Result<Receiver, FetchError>;
    wait fn commit(&self) -> Result<(), SessionError>;
    /// When the time is over, the commit goes its way all the same.
    soon fn commit_timeout(&self) = commit -> Result<(), SessionError>;
    wait fn rollback(&self) -> Result<(), SessionError>;
    soon fn rollback_timeout(&self) = rollback -> Result<(), SessionError>;
    #[doc(alias = "transactional")]
    pass fn is_transactional(&self) -> bool;
    pass fn transaction_state(&self) -> Option<TransactionState>;
    pass fn name(&self) -> &str;
    pass fn is_same(&self, other: &Session => inner) -> bool;
    #[doc(alias = "get_error")]
    pass fn error(&self) -> Option<SessionError>;
    #[doc(alias = "set_async_exception_notify_handler")]
    pass fn on_error(&self, handler: impl Fn(&SessionError) + Send + Sync + 'static) -> ();
    pass fn check_error(&self) -> Result<(), SessionError>;
    pass fn check_closed(&self) -> Result<(), SessionError>;
    wait fn close(&self) -> Result<(), SessionError>;
    /// When the time is over, the end goes its way all the same.
    soon fn close_timeout(&self) = close -> Result<(), SessionError>;
    pass fn connection(&self) -> Connection;
}

impl Session {
    /// The senders of the session that are not gone, in the order in which they were made.
    #[must_use]
    pub fn senders(&self) -> Vec<Sender> {
        self.inner.senders().iter().map(|sender| Sender::wrap(sender, &self.guard)).collect()
    }

    /// The receivers of the session that are not gone, in the order in which they were made.
    #[must_use]
    pub fn receivers(&self) -> Vec<Receiver> {
        self.inner.receivers().iter().map(|receiver| Receiver::wrap(receiver, &self.guard)).collect()
    }
}

impl Wrap<&crate::Session, ConnectionGuard> for Session {
    fn wrap(inner: &crate::Session, guard: &ConnectionGuard) -> Self {
        Self { inner: inner.clone(), guard: guard.clone() }
    }
}
