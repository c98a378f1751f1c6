//! Messages that are written while they are made, and read while they come.

use std::io::{self, BufRead, Read, Write};
use std::time::Duration;

use bytes::{Buf as _, Bytes};

use super::{ConnectionGuard, Guard as _, Wrap, mirror};
use crate::{LinkError, Message, Outcome, ReceiveError, SendError};

mirror! {
    /// A receiver that gives the content of messages as it comes, so that content of any length passes in bounded memory.
    /// [`Session::streaming_receiver`](super::Session::streaming_receiver) attaches one.
    #[derive(Debug)]
    pub struct StreamingReceiver of crate::StreamingReceiver, under ConnectionGuard;

    wait fn receive(&mut self) -> Result<MessageReader<'_>, ReceiveError>;
    /// `None` when no message has begun by then. One of which a part had come is released, and may come again.
    some fn receive_timeout(&mut self) = receive -> Result<MessageReader<'_>, ReceiveError>;
    pass fn receiver(&self) -> &crate::Receiver;
    wait fn close(self) -> Result<(), LinkError>;
}

/// A message that is being read, by [`chunk`](Self::chunk) or as [`Read`] and [`BufRead`]: errors of these are
/// [`ReceiveError`]s in an [`io::Error`].
///
/// Dropped before its content has ended, the rest is thrown away as it comes; the message can be settled all the same.
#[derive(Debug)]
pub struct MessageReader<'a> {
    inner: crate::MessageReader<'a>,
    /// What was taken and not read.
    rest: Bytes,
    guard: ConnectionGuard,
}

impl MessageReader<'_> {
    /// As [`MessageReader::message`](crate::MessageReader::message), which does not wait.
    #[must_use]
    pub fn message(&self) -> &Message {
        self.inner.message()
    }

    /// As [`MessageReader::chunk`](crate::MessageReader::chunk), and blocks until that is done. It goes on behind what was
    /// read as [`Read`].
    ///
    /// # Errors
    /// As there, and inside an async runtime.
    pub fn chunk(&mut self) -> Result<Option<Bytes>, ReceiveError> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        self.guard.runtime().run(self.inner.chunk())?
    }

    /// As [`chunk`](Self::chunk), for at most `timeout`.
    ///
    /// # Errors
    /// As there; [`LinkError::Timeout`] when no piece has come by then: the next call goes on.
    pub fn chunk_timeout(&mut self, timeout: Duration) -> Result<Option<Bytes>, ReceiveError> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        let chunk = self.guard.runtime().run_for(self.inner.chunk(), timeout)?;
        chunk.unwrap_or(Err(LinkError::Timeout(timeout).into()))
    }

    /// As [`MessageReader::chunk_within`](crate::MessageReader::chunk_within), and blocks until that is done. It goes on
    /// behind what was read as [`Read`].
    ///
    /// # Errors
    /// As there, and inside an async runtime.
    pub fn chunk_within(&mut self, limit: usize) -> Result<Option<Bytes>, ReceiveError> {
        match self.rest_within(limit) {
            Some(chunk) => Ok(Some(chunk)),
            None => self.guard.runtime().run(self.inner.chunk_within(limit))?,
        }
    }

    /// As [`chunk_within`](Self::chunk_within), for at most `timeout`.
    ///
    /// # Errors
    /// As there; [`LinkError::Timeout`] when no piece has come by then: the next call goes on.
    pub fn chunk_within_timeout(&mut self, limit: usize, timeout: Duration) -> Result<Option<Bytes>, ReceiveError> {
        if let Some(chunk) = self.rest_within(limit) {
            return Ok(Some(chunk));
        }
        let chunk = self.guard.runtime().run_for(self.inner.chunk_within(limit), timeout)?;
        chunk.unwrap_or(Err(LinkError::Timeout(timeout).into()))
    }

    /// As [`MessageReader::is_partial`](crate::MessageReader::is_partial), which does not wait.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.inner.is_partial()
    }

    /// As [`MessageReader::is_readable`](crate::MessageReader::is_readable), which does not wait: what [`BufRead`] holds
    /// counts.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        !self.rest.is_empty() || self.inner.is_readable()
    }

    /// As [`MessageReader::accept`](crate::MessageReader::accept), which does not wait.
    ///
    /// # Errors
    /// As there.
    pub fn accept(&self) -> Result<(), LinkError> {
        self.inner.accept()
    }

    /// As [`MessageReader::settle`](crate::MessageReader::settle), which does not wait.
    ///
    /// # Errors
    /// As there.
    pub fn settle(&self, outcome: Outcome) -> Result<(), LinkError> {
        self.inner.settle(outcome)
    }

    fn rest_within(&mut self, limit: usize) -> Option<Bytes> {
        let length = self.rest.len().min(limit.max(1));
        (length > 0).then(|| self.rest.split_to(length))
    }
}

impl<'a> Wrap<crate::MessageReader<'a>, ConnectionGuard> for MessageReader<'a> {
    fn wrap(inner: crate::MessageReader<'a>, guard: &ConnectionGuard) -> Self {
        Self { inner, rest: Bytes::new(), guard: guard.clone() }
    }
}

impl BufRead for MessageReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.rest.is_empty() {
            match self.chunk().map_err(read_error)? {
                Some(chunk) => self.rest = chunk,
                None => break,
            }
        }
        Ok(&self.rest)
    }

    fn consume(&mut self, amount: usize) {
        self.rest.advance(amount);
    }
}

impl Read for MessageReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = self.fill_buf()?;
        let read = filled.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// A message whose content is handed over piece by piece, by [`write`](Self::write) or as [`Write`]: errors of that are
/// [`SendError`]s in an [`io::Error`]. [`Sender::begin`](super::Sender::begin) makes one.
///
/// Small writes gather until they are worth a piece. Dropped before [`finish`](Self::finish), the message is given up, and
/// the receiver throws away what it has of it.
#[derive(Debug)]
#[must_use = "a message that is not finished is given up"]
pub struct MessageWriter<'a> {
    inner: crate::MessageWriter<'a>,
    /// What was written as `Write`, and is not handed over.
    gathered: Vec<u8>,
    guard: ConnectionGuard,
}

/// Bytes that small writes gather.
const PIECE: usize = 16 * 1024;

/// Bytes that one of them takes.
const MOST: usize = 1024 * 1024;

impl MessageWriter<'_> {
    /// As [`MessageWriter::write`](crate::MessageWriter::write), and blocks until that is done. What was written as
    /// [`Write`] goes before it.
    ///
    /// # Errors
    /// As there, and inside an async runtime.
    pub fn write(&mut self, piece: impl Into<Bytes>) -> Result<(), SendError> {
        self.hand_over_gathered()?;
        self.guard.runtime().run(self.inner.write(piece))?
    }

    /// As [`write`](Self::write), for at most `timeout`.
    ///
    /// # Errors
    /// As there; [`LinkError::Timeout`] when the connection had no room by then: the piece waits here, and goes out with the
    /// next call.
    pub fn write_timeout(&mut self, piece: impl Into<Bytes>, timeout: Duration) -> Result<(), SendError> {
        let Self { inner, gathered, guard } = self;
        // One piece, which the writer keeps when the time is over; not touched where the call is not made.
        let written = async {
            let mut piece = piece.into();
            if !gathered.is_empty() {
                gathered.extend_from_slice(&piece);
                piece = std::mem::take(gathered).into();
            }
            inner.write(piece).await
        };
        let written = guard.runtime().run_for(written, timeout)?;
        written.unwrap_or(Err(SendError::NotSent(LinkError::Timeout(timeout))))
    }

    /// As [`MessageWriter::is_writable`](crate::MessageWriter::is_writable), which does not wait. What small writes have
    /// gathered is in front of a piece: [`flush`](Write::flush) hands it over.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.gathered.is_empty() && self.inner.is_writable()
    }

    /// As [`MessageWriter::finish`](crate::MessageWriter::finish), and blocks until that is done.
    ///
    /// # Errors
    /// As there, and inside an async runtime, where the message is given up.
    pub fn finish(mut self) -> Result<Outcome, SendError> {
        self.hand_over_gathered()?;
        let Self { inner, guard, .. } = self;
        guard.runtime().run(inner.finish())?
    }

    /// As [`finish`](Self::finish), for at most `timeout`.
    ///
    /// # Errors
    /// As there; [`SendError::InDoubt`] with [`LinkError::Timeout`] when the time is over: where the end of the message was
    /// not handed over by then, it is given up.
    pub fn finish_timeout(self, timeout: Duration) -> Result<Outcome, SendError> {
        let Self { mut inner, gathered, guard } = self;
        let finished = async {
            if !gathered.is_empty() {
                inner.write(gathered).await?;
            }
            inner.finish().await
        };
        let finished = guard.runtime().run_for(finished, timeout)?;
        finished.unwrap_or(Err(SendError::InDoubt(LinkError::Timeout(timeout))))
    }

    fn hand_over_gathered(&mut self) -> Result<(), SendError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let Self { inner, gathered, guard } = self;
        // Taken once it is polled: a call that is not made leaves it here.
        guard.runtime().run(async { inner.write(std::mem::take(gathered)).await })?
    }
}

impl<'a> Wrap<crate::MessageWriter<'a>, ConnectionGuard> for MessageWriter<'a> {
    fn wrap(inner: crate::MessageWriter<'a>, guard: &ConnectionGuard) -> Self {
        Self { inner, gathered: Vec::new(), guard: guard.clone() }
    }
}

impl Write for MessageWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(MOST)];
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE {
            self.hand_over_gathered().map_err(write_error)?;
        }
        Ok(bytes.len())
    }

    /// Hands over what was gathered.
    fn flush(&mut self) -> io::Result<()> {
        self.hand_over_gathered().map_err(write_error)
    }
}

fn read_error(error: ReceiveError) -> io::Error {
    let kind = match &error {
        ReceiveError::Malformed(_) => io::ErrorKind::InvalidData,
        ReceiveError::Aborted => io::ErrorKind::UnexpectedEof,
        ReceiveError::Link(_) => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error)
}

fn write_error(error: SendError) -> io::Error {
    let kind = match &error {
        SendError::TooLarge(_) | SendError::Length => io::ErrorKind::InvalidInput,
        _ => io::ErrorKind::BrokenPipe,
    };
    io::Error::new(kind, error)
}
