//! What went wrong, as an event tells it, and as the end of a run does.

use postroad_address::UrlError;
use postroad_client as client;
use postroad_client::types::PeerError;

/// What went wrong with a connection, a session, a link or a message.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The URL is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The connection was not established.
    #[error(transparent)]
    Connect(#[from] client::ConnectError),
    /// A connection did not come to an acceptor.
    #[error(transparent)]
    Accept(#[from] client::AcceptError),
    /// The acceptor cannot listen.
    #[error("cannot listen: {0}")]
    Listen(String),
    /// The connection is over.
    #[error(transparent)]
    Connection(#[from] client::ConnectionError),
    /// The link was not attached, or the session did not begin.
    #[error(transparent)]
    Attach(#[from] client::AttachError),
    /// The link or the session is over.
    #[error(transparent)]
    Link(#[from] client::LinkError),
    /// A link was sent elsewhere by its peer, and could not go there.
    #[error(transparent)]
    Redirect(#[from] client::RedirectError),
    /// A token was not put at the peer's `$cbs` node, or not renewed.
    #[error(transparent)]
    Token(#[from] client::CbsError),
    /// A message was sent and is in doubt.
    #[error(transparent)]
    Send(#[from] client::SendError),
    /// A message could not be read; it was rejected.
    #[error(transparent)]
    Receive(#[from] client::ReceiveError),
    /// The transaction was not declared, or not discharged.
    #[error(transparent)]
    Transaction(#[from] client::TransactionError),
}

impl EventError {
    /// The peer's own report, where it gave one.
    #[doc(alias = "remote_condition")]
    #[must_use]
    pub fn peer_error(&self) -> Option<&PeerError> {
        match self {
            Self::Connect(client::ConnectError::Connection(error)) | Self::Connection(error) => error.peer_error(),
            Self::Accept(client::AcceptError::Connection(error)) => error.peer_error(),
            Self::Attach(client::AttachError::Link(error)) | Self::Link(error) => error.peer_error(),
            Self::Send(client::SendError::InDoubt(error) | client::SendError::NotSent(error)) => error.peer_error(),
            _ => None,
        }
    }
}

/// Why a run was no good one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It was run before, or is being run: a container runs once.
    #[error("the container has been run: it runs once")]
    Again,
    /// A handler has panicked, with this message first. It was not called again; the others went on.
    #[error("a handler has panicked in {method}: {message}")]
    Panicked {
        /// The method.
        method: &'static str,
        /// What it said, where that is text.
        message: String,
    },
    /// There is no runtime for a blocking run.
    #[error("no runtime: {0}")]
    Runtime(std::io::ErrorKind),
    /// A blocking run was not begun.
    #[error(transparent)]
    Blocking(#[from] client::BlockingError),
}
