//! Octets to frames, wherever the octets are cut.

use bytes::{Bytes, BytesMut};

use crate::head::{Body, Scan, Scanned};
use crate::{Flag, Head, TransactionId};

mod end_line;

use end_line::EndLine;

/// Reads frames from what a connection brings, in pieces of any size. The same octets give the same frames however they
/// are cut, but for the places where content is divided.
///
/// Content is handed on as it comes, without a copy; of what could be the beginning of the end line nothing is handed on
/// before it is known that it is not.
///
/// ```
/// use bytes::Bytes;
/// use postroad_msrp::{Event, Flag, Parser};
///
/// let mut parser = Parser::default();
/// parser.push(Bytes::from_static(b"\
///     MSRP d93kswow SEND\r\n\
///     To-Path: msrp://bob.example.com:8888/9di4ea;tcp\r\n\
///     From-Path: msrp://alice.example.com:7777/iau39;tcp\r\n\
///     Message-ID: 12339sdqwer\r\n\
///     Content-Type: text/plain\r\n\
///     \r\n\
///     Hello\r\n\
///     -------d93kswow$\r\n"));
/// let Some(Event::Head(head)) = parser.next_event()? else { panic!() };
/// assert!(head.fault().is_none());
/// assert_eq!(parser.next_event()?, Some(Event::Content(Bytes::from_static(b"Hello"))));
/// assert_eq!(parser.next_event()?, Some(Event::End(Flag::Complete)));
/// assert_eq!(parser.next_event()?, None);
/// # Ok::<_, postroad_msrp::ParseError>(())
/// ```
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    state: State,
    /// What was pushed and not read, but for a head that is not whole.
    rest: Bytes,
    /// What else was pushed, behind that.
    waiting: std::collections::VecDeque<Bytes>,
    /// What is known after an error, which is the last word.
    failed: Option<ParseError>,
}

/// What comes of octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A frame has begun.
    Head(Head),
    /// Some of its content, never empty.
    Content(Bytes),
    /// It is over.
    End(Flag),
}

#[derive(Debug)]
enum State {
    Between,
    /// In a head, of which this has come in pieces before.
    Head {
        scan: Box<Scan>,
        octets: BytesMut,
    },
    /// A head is told; the frame has no content, and ends.
    Ends(Flag),
    Content(EndLine),
}

/// How large the parts of a frame may be, content aside. What exceeds them is not read: whoever sends it is not to fill
/// our memory, and what is skipped instead could hold frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Octets of a start line behind the transaction id. By default 256.
    pub start_line: usize,
    /// Octets of a header's line. By default 16 384.
    pub header_line: usize,
    /// Headers of a frame, up to 255. By default 64.
    pub headers: usize,
    /// Octets of a head. By default 65 536, at most 2³¹.
    pub head: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { start_line: 256, header_line: 16_384, headers: 64, head: 65_536 }
    }
}

/// Why what came is no frame. Nothing can be read behind it: where the next frame begins is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// It does not begin with `MSRP`.
    #[error("not a frame of MSRP")]
    NotMsrp,
    /// The start line is neither a request's nor a response's.
    #[error("a start line with neither a method nor a code")]
    StartLine,
    /// The transaction's id is none.
    #[error("a transaction id that is none")]
    TransactionId,
    /// A line of the head ends in a line feed alone.
    #[error("a line that does not end in CR LF")]
    LineFeed,
    /// A line begins like the end line and is none, or that of another transaction.
    #[error("an end line of another frame")]
    EndLine,
    /// [`Limits::start_line`] is exceeded.
    #[error("a start line of more than {0} octets behind its id")]
    StartLineTooLong(usize),
    /// [`Limits::header_line`] is exceeded.
    #[error("a header of more than {0} octets")]
    HeaderLineTooLong(usize),
    /// [`Limits::headers`] is exceeded.
    #[error("more than {0} headers")]
    TooManyHeaders(usize),
    /// [`Limits::head`] is exceeded.
    #[error("headers of more than {0} octets together")]
    HeadTooLong(usize),
}

impl Default for Parser {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Parser {
    /// A parser for a connection that has just begun.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { headers: limits.headers.min(255), head: limits.head.min(1 << 31), ..limits };
        Self { limits, state: State::Between, rest: Bytes::new(), waiting: <_>::default(), failed: None }
    }

    /// Takes what has come. [`next_event`](Self::next_event) tells what it means.
    pub fn push(&mut self, octets: Bytes) {
        if self.rest.is_empty() {
            self.rest = octets;
        } else if !octets.is_empty() {
            self.waiting.push_back(octets);
        }
    }

    /// What comes next, unless more octets are needed for it.
    ///
    /// # Errors
    /// What came is no frame. The error comes again from now on: the connection is of no more use.
    pub fn next_event(&mut self) -> Result<Option<Event>, ParseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let event = self.step();
        if let Err(error) = event {
            self.failed = Some(error);
            (self.rest, self.waiting) = (Bytes::new(), <_>::default());
        }
        event
    }

    /// Whether no frame is open.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Between) && self.rest.is_empty()
    }

    /// The transaction whose frame is open, as far as it is known.
    #[must_use]
    pub fn open_transaction(&self) -> Option<TransactionId> {
        match &self.state {
            State::Between | State::Ends(_) => None,
            State::Head { scan, .. } => scan.transaction_id(),
            State::Content(end_line) => Some(end_line.transaction_id()),
        }
    }

    fn step(&mut self) -> Result<Option<Event>, ParseError> {
        loop {
            if self.rest.is_empty() {
                match self.waiting.pop_front() {
                    Some(octets) => self.rest = octets,
                    None if self.state.ends() => {}
                    None => return Ok(None),
                }
            }
            match &mut self.state {
                State::Between => {
                    let mut scan = Scan::new();
                    match scan.read(&self.rest, &self.limits)? {
                        Scanned::Head { length, used, body } => {
                            let head = scan.into_head(self.rest.slice(..length));
                            let _ = self.rest.split_to(used);
                            return Ok(Some(self.begin(head, body)));
                        }
                        Scanned::More => {
                            let octets = BytesMut::from(std::mem::take(&mut self.rest));
                            self.state = State::Head { scan: Box::new(scan), octets };
                        }
                    }
                }
                State::Head { scan, octets } => {
                    // Only up to the end of the next line, so that nothing of the content is copied.
                    let next = memchr::memchr(b'\n', &self.rest).map_or(self.rest.len(), |place| place + 1);
                    octets.extend_from_slice(&self.rest.split_to(next));
                    if let Scanned::Head { length, body, .. } = scan.read(octets, &self.limits)? {
                        octets.truncate(length);
                        let raw = std::mem::take(octets).freeze();
                        let head = std::mem::take(&mut **scan).into_head(raw);
                        return Ok(Some(self.begin(head, body)));
                    }
                }
                State::Ends(flag) => {
                    let flag = *flag;
                    self.state = State::Between;
                    return Ok(Some(Event::End(flag)));
                }
                State::Content(end_line) => {
                    if let Some(content) = end_line.read(&mut self.rest) {
                        return Ok(Some(Event::Content(content)));
                    }
                    if let Some(flag) = end_line.found() {
                        self.state = State::Between;
                        return Ok(Some(Event::End(flag)));
                    }
                }
            }
        }
    }

    fn begin(&mut self, head: Head, body: Body) -> Event {
        self.state = match body {
            Body::Follows => State::Content(EndLine::new(head.transaction_id())),
            Body::None(flag) => State::Ends(flag),
        };
        Event::Head(head)
    }
}

impl State {
    /// Whether the end of the frame is known and not told.
    fn ends(&self) -> bool {
        match self {
            Self::Ends(_) => true,
            Self::Content(end_line) => end_line.found().is_some(),
            Self::Between | Self::Head { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests;
