//! A session: the order of messages, and which of them wait to be acknowledged.

use postroad_client::blocking::{ConnectionGuard, Wrap, mirror};
use postroad_client::{Message, Outcome};

use super::{Connection, Receiver, Sender};
use crate::{LinkError, SessionError};

mirror! {
    /// A session. Clones are handles of the same session; with the last handle, and the last link on it, it ends.
    #[derive(Debug, Clone)]
    pub struct Session of crate::Session, under ConnectionGuard;

    wait fn sender(&self, address: &str) -> Result<Sender, LinkError>;
    wait fn receiver(&self, address: &str) -> Result<Receiver, LinkError>;
    wait fn acknowledge(&self, message: &Message) -> Result<(), LinkError>;
    #[doc(alias = "disposition")]
    wait fn acknowledge_with(&self, message: &Message, disposition: Outcome) -> Result<(), LinkError>;
    wait fn acknowledge_all(&self) -> Result<(), LinkError>;
    #[doc(alias = "unacked")]
    pass fn unacknowledged(&self) -> usize;
    wait fn close(&self) -> Result<(), SessionError>;
    /// When the time is over, the end goes its way all the same.
    soon fn close_timeout(&self) = close -> Result<(), SessionError>;
    pass fn connection(&self) -> Connection;
}

impl Wrap<&crate::Session, ConnectionGuard> for Session {
    fn wrap(inner: &crate::Session, guard: &ConnectionGuard) -> Self {
        Self { inner: inner.clone(), guard: guard.clone() }
    }
}
