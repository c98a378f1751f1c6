//! What is sent: the messages of the command line, or the standard input.

use std::collections::VecDeque;

use postroad::taps::Message;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Stdin};

use crate::exit::{Exit, Failure};

/// The longest line, in bytes: input without line feeds must not fill the memory.
const MAX_LINE: u64 = 16 * 1024 * 1024;
/// How many bytes of a stream are read at once.
const PIECE: usize = 64 * 1024;

pub(super) enum Input {
    Given(VecDeque<String>),
    Lines(BufReader<Stdin>),
    Bytes(Stdin),
}

/// The next thing to do.
#[derive(Debug)]
pub(super) enum Next {
    Send(Message),
    /// It is the last one, and the peer is told so.
    SendLast(Message),
    /// Nothing more comes.
    End,
}

impl Input {
    /// The given messages; without any, lines, or bytes on a stream that has no messages.
    pub(super) fn new(given: &[String], messages: bool) -> Self {
        if !given.is_empty() {
            Self::Given(given.iter().cloned().collect())
        } else if messages {
            Self::Lines(BufReader::new(tokio::io::stdin()))
        } else {
            Self::Bytes(tokio::io::stdin())
        }
    }

    /// Whether it has an end that does not depend on somebody else.
    pub(super) fn is_given(&self) -> bool {
        matches!(self, Self::Given(_))
    }

    pub(super) async fn next(&mut self) -> Result<Next, Failure> {
        let unreadable = |error: std::io::Error| Failure::new(Exit::Data, "cannot read the standard input", error);
        match self {
            Self::Given(messages) => Ok(match messages.pop_front() {
                Some(text) if messages.is_empty() => Next::SendLast(Message::new(text)),
                Some(text) => Next::Send(Message::new(text)),
                None => Next::End,
            }),
            Self::Lines(input) => {
                let mut line = Vec::new();
                let read = input.take(MAX_LINE + 1).read_until(b'\n', &mut line).await.map_err(unreadable)?;
                if read == 0 {
                    return Ok(Next::End);
                }
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                if line.len() as u64 > MAX_LINE {
                    let why = format!("a line is longer than {MAX_LINE} bytes");
                    return Err(Failure::new(Exit::Data, "cannot send the standard input", why));
                }
                Ok(Next::Send(Message::new(line)))
            }
            Self::Bytes(input) => {
                let mut piece = Vec::with_capacity(PIECE);
                let read = input.read_buf(&mut piece).await.map_err(unreadable)?;
                Ok(if read == 0 { Next::SendLast(Message::new("")) } else { Next::Send(Message::new(piece)) })
            }
        }
    }
}
