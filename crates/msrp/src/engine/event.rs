//! What an engine tells its owner.

use bytes::Bytes;

use super::keys::{IncomingKey, MessageKey, RequestKey, SessionKey};
use super::outgoing::Outcome;
use crate::{ByteRange, Code, Flag, Head, MessageId, ParseError, Path, Status, Uri};

/// What has happened, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A request names a session that the connection does not have. Nothing more is read before
    /// [`Connection::bind`](super::Connection::bind) or [`Connection::turn_away`](super::Connection::turn_away) answers.
    Stranger {
        /// Whom the request is for.
        to: Uri,
        /// Where it comes from.
        from: Path,
    },
    /// The first request of a session has come: the peer is there.
    Bound {
        /// Which session.
        session: SessionKey,
    },
    /// A message has come as a whole.
    Message {
        /// Of which session.
        session: SessionKey,
        /// The message.
        message: Message,
    },
    /// A message has begun that is not to be kept in memory: its parts follow.
    Began {
        /// Of which session.
        session: SessionKey,
        /// What its parts go by.
        incoming: IncomingKey,
        /// Its first chunk, with its headers.
        head: Head,
        /// Its name.
        id: MessageId,
        /// Its size, where it was said. It may not be true.
        size: Option<u64>,
    },
    /// A part of such a message.
    Part {
        /// Of which message.
        incoming: IncomingKey,
        /// Where it belongs, from zero on. Parts may come in any order, and again.
        offset: u64,
        /// The octets.
        content: Bytes,
    },
    /// Such a message is whole.
    Completed {
        /// Which one.
        incoming: IncomingKey,
        /// Its size.
        size: u64,
    },
    /// Nothing more of a message will come, and it is not whole.
    Broken {
        /// Which one.
        incoming: IncomingKey,
        /// Why.
        why: BrokenBy,
    },
    /// A chunk has come of a message that was whole before: its sender repeats it because it did not hear of that. It was
    /// answered as any other (RFC 4975 5.4), and nobody is given it twice.
    Duplicate {
        /// Of which session.
        session: SessionKey,
        /// The message's name.
        id: MessageId,
    },
    /// A message whose owner gives it bit by bit can take more.
    Wanted {
        /// Which one.
        message: MessageKey,
    },
    /// The next hop has taken more of a message.
    Progress {
        /// Which one.
        message: MessageKey,
        /// How many octets, with those that the peer had before.
        accepted: u64,
    },
    /// What became of a message.
    Outcome {
        /// Which one.
        message: MessageKey,
        /// Its name.
        id: MessageId,
        /// What became of it.
        outcome: Outcome,
    },
    /// The far end, or a hop between, tells what became of a message, or of a part of it.
    Report {
        /// Of which session.
        session: SessionKey,
        /// The message's name.
        id: MessageId,
        /// Of which part the report is, where it says.
        range: Option<ByteRange>,
        /// What it tells.
        status: Status,
        /// Octets of the message of which success was reported, in all.
        covered: u64,
        /// Whether success was reported of all of it.
        complete: bool,
    },
    /// A request that the engine leaves to its owner: `NICKNAME`, or another that is not known. It is to be answered by
    /// [`Connection::respond`](super::Connection::respond).
    Request {
        /// Of which session.
        session: SessionKey,
        /// Its head.
        head: Head,
        /// Its content, where it has some.
        content: Bytes,
    },
    /// A response to a request of the owner's own.
    Response {
        /// Which request.
        request: RequestKey,
        /// The response.
        head: Head,
    },
    /// A request of the owner's own has had no response in time.
    NoResponse {
        /// Which request.
        request: RequestKey,
    },
    /// A frame of a session that is read frame by frame has begun.
    Head {
        /// Of which session.
        session: SessionKey,
        /// Its head.
        head: Head,
    },
    /// Some content of such a frame.
    Content {
        /// Of which session.
        session: SessionKey,
        /// The octets.
        content: Bytes,
    },
    /// Such a frame is over.
    End {
        /// Of which session.
        session: SessionKey,
        /// How.
        flag: Flag,
    },
    /// A session has ended, by itself or with its connection.
    SessionOver {
        /// Which one.
        session: SessionKey,
        /// Why.
        why: SessionEnd,
    },
    /// The connection is of no more use. This is the last event.
    Closed(CloseReason),
}

/// What an event weighs beside the octets that it holds: also those without any must not pile up.
const EVENT: usize = 256;

impl Event {
    /// What it keeps in memory of what the peer has sent, in octets and by estimate.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Message { message, .. } => EVENT + message.content.len() + message.head.as_bytes().len(),
            Self::Part { content, .. } | Self::Content { content, .. } => EVENT + content.len(),
            Self::Request { head, content, .. } => EVENT + content.len() + head.as_bytes().len(),
            Self::Began { head, .. } | Self::Head { head, .. } => EVENT + head.as_bytes().len(),
            Self::Completed { .. }
            | Self::Broken { .. }
            | Self::Duplicate { .. }
            | Self::Report { .. }
            | Self::End { .. } => EVENT,
            // Of these there is one for each thing that this end has asked for.
            Self::Stranger { .. }
            | Self::Bound { .. }
            | Self::Wanted { .. }
            | Self::Progress { .. }
            | Self::Outcome { .. }
            | Self::Response { .. }
            | Self::NoResponse { .. }
            | Self::SessionOver { .. }
            | Self::Closed(_) => 0,
        }
    }
}

/// A message that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Its first chunk, with its headers.
    pub head: Head,
    /// Its name.
    pub id: MessageId,
    /// Its content.
    pub content: Bytes,
}

/// Why a message that was coming will not be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokenBy {
    /// Its sender has given it up.
    Sender,
    /// This end has refused it, with this code.
    Refused(Code),
    /// Nothing of it has come for too long.
    Idle,
    /// The session has ended.
    SessionOver,
}

/// Why a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionEnd {
    /// Its owner has ended it.
    #[error("ended at this end")]
    Removed,
    /// The peer does not know it (any more), or has it bound elsewhere.
    #[error("the peer says {code}: {said}", code = .0, said = said_of(*.0))]
    Unknown(Code),
    /// A report says that a part of a message did not arrive, which is the end of a session (RFC 4975 7.3.2): what is missing can
    /// be sent in another one.
    #[error("a part of a message did not arrive: {0}")]
    Lossy(Code),
    /// The connection has ended.
    #[error("the connection has ended")]
    ConnectionClosed,
}

/// What a peer means that turns a session away.
fn said_of(code: Code) -> &'static str {
    match code {
        Code::BOUND_ELSEWHERE => "the session is bound to another connection",
        _ => "it knows of no such session; do both ends have each other's path?",
    }
}

/// Why a connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer has closed it, between frames.
    #[error("closed by the peer")]
    Peer,
    /// The peer has closed it in the middle of a frame.
    #[error("closed by the peer in the middle of a frame")]
    Cut,
    /// What came was no frame.
    #[error("the peer does not keep to the protocol: {0}")]
    Malformed(ParseError),
    /// A request came without a readable `To-Path` and `From-Path`: nobody can be answered.
    #[error("a request without readable paths")]
    NoPaths,
    /// The peer has begun a head and not ended it in time.
    #[error("the head of a frame did not end in time")]
    HeadTimeout,
    /// The peer has begun a chunk and gone silent.
    #[error("a chunk has brought nothing for too long")]
    ContentTimeout,
    /// No session has been bound to the connection in time.
    #[error("no session in time")]
    Unbound,
    /// There were too many requests for sessions that are not here.
    #[error("too many requests for sessions that are not here")]
    Strangers,
    /// What keeps the connection from falling silent was not answered.
    #[error("the peer does not answer any more")]
    Silent,
}
