//! A session: links share its windows and its order.

use super::{
    Connection, ConnectionGuard, Management, Receiver, Requester, Sender, StreamingReceiver, TransactionController,
    Wrap, mirror,
};
use crate::types::PeerError;
use crate::{
    AttachError, LinkError, LinkOptions, ManagementError, Message, Node, Origin, Outcome, RequestOptions, Settler,
    TransactionError,
};

mirror! {
    /// A session. Clones are handles of the same session; when the last one is gone, and the last link on it, the session
    /// ends.
    #[derive(Debug, Clone)]
    pub struct Session of crate::Session, under ConnectionGuard;

    wait fn sender(&self, node: impl Into<Node>) -> Result<Sender, AttachError>;
    wait fn sender_with(&self, node: impl Into<Node>, options: LinkOptions) -> Result<Sender, AttachError>;
    wait fn receiver(&self, node: impl Into<Node>) -> Result<Receiver, AttachError>;
    wait fn receiver_with(&self, node: impl Into<Node>, options: LinkOptions) -> Result<Receiver, AttachError>;
    wait fn streaming_receiver(&self, node: impl Into<Node>) -> Result<StreamingReceiver, AttachError>;
    wait fn streaming_receiver_with(&self, node: impl Into<Node>, options: LinkOptions) -> Result<StreamingReceiver, AttachError>;
    wait fn transaction_controller(&self) -> Result<TransactionController, TransactionError>;
    wait fn requester(&self, node: impl Into<Node>) -> Result<Requester, AttachError>;
    wait fn requester_with(&self, node: impl Into<Node>, options: RequestOptions) -> Result<Requester, AttachError>;
    wait fn management(&self) -> Result<Management, ManagementError>;
    wait fn query(&self, address: &str) -> Result<Option<Node>, LinkError>;
    wait fn close(&self) -> Result<(), LinkError>;
    pass fn brought(&self, message: &Message) -> bool;
    pass fn when_over(&self, told: impl FnOnce(LinkError) + Send + 'static) -> ();
    pass fn is_same(&self, other: &Session => inner) -> bool;
    pass fn abort(&self, error: PeerError) -> ();
    pass fn error(&self) -> Option<LinkError>;
    pass fn connection(&self) -> Connection;
    pass fn settler(&self) -> Settler;
    pass fn settle(&self, message: &Message, outcome: Outcome) -> Result<(), LinkError>;
    pass fn settle_origin(&self, origin: Origin, outcome: Outcome) -> Result<(), LinkError>;
    pass fn settle_origins(&self, origins: impl IntoIterator<Item = Origin>, outcome: &Outcome) -> Result<(), LinkError>;
}

impl Wrap<&crate::Session, ConnectionGuard> for Session {
    fn wrap(inner: &crate::Session, guard: &ConnectionGuard) -> Self {
        Self { inner: inner.clone(), guard: guard.clone() }
    }
}
