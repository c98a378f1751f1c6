//! Files: read as they are sent, written as they come (RFC 5547, RFC 4975 5.1).

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{DeliveryError, why};
use crate::engine::{Event, HeaderError, IncomingKey, MessageKey, Outgoing};
use crate::net::link::Shared;
use crate::net::transport::Transport;
use crate::{Code, Head, HeaderName, MessageId};

/// How much of a file is read at once.
const PIECE: usize = 256 * 1024;

/// A file to send, or anything else that can be read.
///
/// ```
/// use postroad_msrp::session::OutgoingFile;
///
/// let file = OutgoingFile::new(&b"twelve bytes"[..], "text/plain")?.with_size(12);
/// # let _ = file;
/// # Ok::<_, postroad_msrp::engine::HeaderError>(())
/// ```
pub struct OutgoingFile {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    message: Outgoing,
}

/// A file that is being sent. Dropping it lets it go on.
#[derive(Debug)]
pub struct Transfer {
    watched: Arc<Watched>,
    failed: Arc<Mutex<Option<FileError>>>,
}

/// A message of which somebody wants to hear.
#[derive(Debug)]
struct Watched {
    link: Arc<Shared>,
    message: MessageKey,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.link.forget(self.message);
    }
}

/// A file that comes. Dropping it tells its sender to stop.
#[derive(Debug)]
pub struct IncomingFile {
    link: Arc<Shared>,
    incoming: IncomingKey,
    head: Head,
    id: MessageId,
    size: Option<u64>,
    over: bool,
}

/// A file was not sent or not received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read or written here.
    #[error("{0}")]
    Io(String),
    /// It is not as long as was said.
    #[error("{0} octets instead of {1}")]
    Size(u64, u64),
    /// It is not the file that was announced: its hash is another one.
    #[error("its hash is not what was announced")]
    Hash,
    /// It did not arrive, or nobody knows whether it did.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    /// Its sender has given it up.
    #[error("given up by its sender")]
    AbortedByPeer,
    /// This end has refused it.
    #[error("refused with {0}")]
    Refused(Code),
    /// Nothing of it has come for too long.
    #[error("nothing has come for too long")]
    Idle,
    /// The session ended before.
    #[error("the session ended before it was whole")]
    SessionOver,
}

impl FileError {
    fn of(error: &io::Error) -> Self {
        Self::Io(error.to_string())
    }

    /// Whether it can go on where it stopped, in another session.
    #[must_use]
    pub fn can_resume(&self) -> bool {
        match self {
            Self::SessionOver | Self::Idle => true,
            Self::Delivery(error) => {
                matches!(error, DeliveryError::InDoubt | DeliveryError::TimedOut | DeliveryError::SessionOver)
            }
            _ => false,
        }
    }
}

impl OutgoingFile {
    /// What a reader gives, from its place to its end.
    ///
    /// # Errors
    /// The media type would end a line.
    #[doc(alias = "fileobj")]
    pub fn new(reader: impl AsyncRead + Send + Unpin + 'static, content_type: &str) -> Result<Self, HeaderError> {
        Ok(Self { reader: Box::new(reader), message: Outgoing::streamed(content_type, None)? })
    }

    /// So many octets in all, with those before the [position](Self::with_position).
    #[must_use]
    pub fn with_size(mut self, size: u64) -> Self {
        self.message = self.message.with_size(size);
        self
    }

    /// From this octet on, counted from zero: the peer has what is before it. The reader stands there already.
    #[doc(alias = "position")]
    #[must_use]
    pub fn with_position(mut self, position: u64) -> Self {
        self.message = self.message.from_position(position);
        self
    }

    /// Under this name.
    #[doc(alias = "message_id")]
    #[must_use]
    pub fn with_id(mut self, id: MessageId) -> Self {
        self.message = self.message.with_id(id);
        self
    }

    /// Whether its arrival is to be reported.
    #[must_use]
    pub fn with_success_report(mut self, wanted: bool) -> Self {
        self.message = self.message.with_success_report(wanted);
        self
    }

    /// With a header.
    ///
    /// # Errors
    /// The name is none or the engine's own, or the value would end the line.
    #[doc(alias = "headers")]
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, HeaderError> {
        self.message = self.message.with_header(name, value)?;
        Ok(self)
    }

    pub(super) fn start(self, transport: &Transport) -> Result<Transfer, FileError> {
        let link = transport.link.clone();
        let message =
            link.put(transport.session, self.message).map_err(|_| FileError::Delivery(DeliveryError::SessionOver))?;
        let (failed, watched) = (Arc::new(Mutex::new(None)), Arc::new(Watched { link, message }));
        let transfer = Transfer { watched: watched.clone(), failed: failed.clone() };
        tokio::spawn(async move {
            if let Err(error) = pump(self.reader, &watched.link, message).await {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                watched.link.turn(|state| state.engine.abort(message));
            }
        });
        Ok(transfer)
    }
}

/// Gives what a reader has as it is wanted.
async fn pump(
    mut reader: Box<dyn AsyncRead + Send + Unpin>,
    link: &Shared,
    message: MessageKey,
) -> Result<(), FileError> {
    let mut piece = BytesMut::new();
    loop {
        // That it has come to an end is for whoever holds the transfer.
        let Ok(()) = link.wanted(message).await else { return Ok(()) };
        piece.reserve(PIECE);
        let mut ended = false;
        while piece.len() < PIECE / 2 && !ended {
            ended = reader.read_buf(&mut piece).await.map_err(|error| FileError::of(&error))? == 0;
        }
        let length = piece.len();
        let content = piece.split().freeze();
        let given = link.turn(|state| {
            state.engine.give(message, content)?;
            if ended { state.engine.finish(message) } else { Ok(()) }
        });
        match given {
            Ok(()) if ended => return Ok(()),
            Ok(()) => {}
            Err(crate::engine::GiveError::Over) => return Ok(()),
            Err(error) => return Err(FileError::Io(format!("{error}: {length} octets more"))),
        }
    }
}

impl Transfer {
    /// How many octets the next hop has taken, with those that the peer had before.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.watched.link.accepted(self.watched.message)
    }

    /// Stops it; the peer hears of it.
    pub fn cancel(&self) {
        self.watched.link.turn(|state| state.engine.abort(self.watched.message));
    }

    /// What becomes of it.
    ///
    /// # Errors
    /// It could not be read, was refused, or nobody knows whether it arrived.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn outcome(&self) -> Result<(), FileError> {
        let outcome = DeliveryError::of(self.watched.link.outcome(self.watched.message).await);
        // What went wrong here says more.
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failed.map_or_else(|| outcome.map_err(FileError::Delivery), Err)
    }
}

impl IncomingFile {
    pub(super) fn new(link: Arc<Shared>, incoming: IncomingKey, head: Head, id: MessageId, size: Option<u64>) -> Self {
        Self { link, incoming, head, id, size, over: false }
    }

    /// The headers of its first chunk.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Its media type, as it was written.
    #[must_use]
    pub fn content_type(&self) -> &str {
        self.head.text(HeaderName::ContentType).unwrap_or_default()
    }

    /// Its message's name.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// Its size, where that was said. It may not be true.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The next part: where it belongs, from zero on, and its octets. Parts may come in any order, and again. Nothing once
    /// the file is whole.
    ///
    /// # Errors
    /// It will not be whole.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next_part(&mut self) -> Result<Option<(u64, Bytes)>, FileError> {
        if self.over {
            return Ok(None);
        }
        match self.link.next_part(self.incoming).await {
            Some(Event::Part { offset, content, .. }) => Ok(Some((offset, content))),
            Some(Event::Completed { size, .. }) => {
                (self.over, self.size) = (true, Some(size));
                Ok(None)
            }
            Some(Event::Broken { why: broken, .. }) => {
                self.over = true;
                Err(why(broken))
            }
            _ => {
                self.over = true;
                Err(FileError::SessionOver)
            }
        }
    }

    /// The octets before this one are here already: an earlier session has brought them, and the sender goes on behind
    /// them under the same name ([`OutgoingFile::with_position`]).
    #[must_use]
    pub fn with_received(self, octets: u64) -> Self {
        let incoming = self.incoming;
        self.link.turn(|state| state.have(incoming, octets));
        self
    }

    /// Writes it to a file, each part where it belongs, and gives its size and hashes. What the file has before the first part
    /// stays, and counts: so it goes on where another session has stopped.
    ///
    /// # Errors
    /// It cannot be written, or will not be whole: what has come is in the file then.
    ///
    /// # Cancel safety
    /// Dropping the future drops the file; what was written stays.
    pub async fn save(self, file: std::fs::File) -> Result<Saved, FileError> {
        self.save_behind(file, 0, |_| {}).await
    }

    /// Writes it to a file as [`save`](Self::save) does, behind so many octets that are not counted in the message: it is a
    /// [range](crate::sdp::FileRange) of the file (RFC 5547 6). After each part it tells how much of the message has come.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    ///
    /// # Cancel safety
    /// As [`save`](Self::save).
    pub async fn save_behind(
        mut self,
        file: std::fs::File,
        before: u64,
        mut progress: impl FnMut(u64),
    ) -> Result<Saved, FileError> {
        let mut sink = Some(Sink { file, digests: Digests::default(), came: 0 });
        while let Some((offset, content)) = self.next_part().await? {
            let mut taken = sink.take().expect("it is given back");
            let write = tokio::task::spawn_blocking(move || taken.write(before + offset, &content).map(|()| taken));
            let written = write.await.map_err(|error| FileError::Io(error.to_string()))?;
            let written = written.map_err(|error| FileError::of(&error))?;
            progress(written.came);
            sink = Some(written);
        }
        let (size, sink) = (before + self.size.unwrap_or_default(), sink.expect("it is given back"));
        let finish = tokio::task::spawn_blocking(move || sink.finish(size));
        finish.await.map_err(|error| FileError::Io(error.to_string()))?
    }

    /// Refuses it: its sender is told to stop (RFC 4975 10.5).
    pub fn reject(self) {}
}

impl Drop for IncomingFile {
    fn drop(&mut self) {
        self.link.abandon(self.incoming);
    }
}

/// A file that was received whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// Its size, in octets.
    pub size: u64,
    /// Its hash, as `file-selector` has it (RFC 5547 6).
    pub sha1: [u8; 20],
    /// A better one.
    pub sha256: [u8; 32],
}

/// A file that is being written.
struct Sink {
    file: std::fs::File,
    digests: Digests,
    came: u64,
}

/// The hashes of what has come in order.
#[derive(Default)]
struct Digests {
    sha1: Sha1,
    sha256: Sha256,
    length: u64,
}

impl Digests {
    fn add(&mut self, octets: &[u8]) {
        self.sha1.update(octets);
        self.sha256.update(octets);
        self.length += octets.len() as u64;
    }
}

impl Sink {
    fn write(&mut self, offset: u64, content: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.write_all(content)?;
        self.came += content.len() as u64;
        match offset == self.digests.length {
            true => self.digests.add(content),
            // It is read again at the end.
            false if offset < self.digests.length => self.digests = Digests::default(),
            false => {}
        }
        Ok(())
    }

    fn finish(mut self, size: u64) -> Result<Saved, FileError> {
        let error = |error: io::Error| FileError::of(&error);
        if self.digests.length != size {
            // Parts were missing, came in another order, or lay there before.
            self.digests = Digests::default();
            self.file.seek(SeekFrom::Start(0)).map_err(error)?;
            let mut piece = vec![0; PIECE];
            loop {
                let length = self.file.read(&mut piece).map_err(error)?;
                if length == 0 {
                    break;
                }
                self.digests.add(&piece[..length]);
            }
        }
        if self.digests.length != size {
            return Err(FileError::Size(self.digests.length, size));
        }
        let Digests { sha1, sha256, .. } = self.digests;
        Ok(Saved { size, sha1: sha1.finalize().into(), sha256: sha256.finalize().into() })
    }
}

impl fmt::Debug for OutgoingFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingFile").field("message", &self.message).finish_non_exhaustive()
    }
}
