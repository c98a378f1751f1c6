//! A message that is read while it comes.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use postroad_codec::v1_0::{Decode as _, DecodeError, DecodeErrorKind, MessageFormat, Position, Reader, Value};

use crate::protocol::Delivery;
use crate::{LinkError, Message, Origin, Outcome, ReceiveError, Receiver};

/// A receiver that gives the content of messages as it comes, so that content of any length passes in bounded memory:
/// what waits is bounded by the window of the session. [`Session::streaming_receiver`](crate::Session::streaming_receiver)
/// attaches one.
#[derive(Debug)]
pub struct StreamingReceiver {
    receiver: Receiver,
    /// Whether parts of a message that nobody reads to its end are still to come.
    skipping: bool,
    /// A message of which a part was taken, and that was not handed out.
    lost: Option<Origin>,
}

/// A message that is being read. Dropped before its content has ended, the rest is thrown away as it comes; the message
/// can be settled all the same.
#[derive(Debug)]
pub struct MessageReader<'a> {
    from: &'a mut StreamingReceiver,
    message: Message,
    sections: Sections,
    content: VecDeque<Bytes>,
    /// Whether the last part has come.
    whole: bool,
}

/// Sections other than data are held until they are whole: at most so many bytes of a message.
const HELD: usize = 16 * 1024 * 1024;

impl StreamingReceiver {
    pub(crate) fn new(receiver: Receiver) -> Self {
        Self { receiver, skipping: false, lost: None }
    }

    /// Receives the next message, as far as its sections in front of the content: a body that is no data has come as a
    /// whole.
    ///
    /// # Errors
    /// When the link is over, or the message cannot be read: it is rejected then, and the next call goes on behind it.
    ///
    /// # Cancel safety
    /// A dropped future loses a message of which it had taken a part: it is released as the next call begins. With
    /// nothing taken it has changed nothing.
    pub async fn receive(&mut self) -> Result<MessageReader<'_>, ReceiveError> {
        if let Some(origin) = self.lost.take() {
            // The link may be over; then the message goes back by itself.
            let _ = self.receiver.session().settle_origin(origin, Outcome::Released);
        }
        let first = loop {
            let part = match self.receiver.next_part().await {
                // The rest of a message that nobody reads will not come.
                Err(ReceiveError::Aborted) => {
                    self.skipping = false;
                    continue;
                }
                part => part?,
            };
            if self.skipping {
                self.skipping = part.more;
            } else if !part.aborted {
                break part;
            }
        };
        self.skipping = first.more;
        let origin = self.receiver.origin(&first);
        self.lost = Some(origin).filter(|origin| !origin.is_settled());
        let mut reader = MessageReader {
            message: Message::front_of(origin, first.message_format),
            sections: Sections::new(first.message_format),
            content: VecDeque::new(),
            whole: false,
            from: self,
        };
        let mut taken = reader.take(&first);
        while taken.is_ok() && reader.content.is_empty() && !reader.whole {
            let part = reader.from.receiver.next_part().await;
            if part.as_ref().is_err_and(|error| *error == ReceiveError::Aborted) {
                (reader.from.skipping, reader.from.lost) = (false, None);
            }
            taken = reader.take(&part?);
        }
        reader.from.lost = None;
        taken.map(|()| reader)
    }

    /// The receiver, for its address, its credit and its settlement.
    #[must_use]
    pub fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// Closes the link and waits for the peer to do the same.
    ///
    /// # Errors
    /// As [`Receiver::close`].
    pub async fn close(self) -> Result<(), LinkError> {
        self.receiver.close().await
    }
}

impl MessageReader<'_> {
    /// The message without the content that [`chunk`](Self::chunk) gives: its header, annotations and properties; its
    /// footer once the content has ended.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The next piece of the content, as it came; none at its end. Where one data section ends and the next begins is
    /// not told.
    ///
    /// # Errors
    /// [`ReceiveError::Aborted`] when the sender gave the message up, and those of [`StreamingReceiver::receive`].
    ///
    /// # Cancel safety
    /// A dropped future has taken nothing.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ReceiveError> {
        loop {
            if let Some(chunk) = self.content.pop_front() {
                return Ok(Some(chunk));
            }
            if self.whole {
                return Ok(None);
            }
            let part = self.from.receiver.next_part().await;
            if part.as_ref().is_err_and(|error| *error == ReceiveError::Aborted) {
                (self.whole, self.from.skipping) = (true, false);
            }
            self.take(&part?)?;
        }
    }

    /// As [`chunk`](Self::chunk), at most `limit` bytes of it, 1 at least: the rest of the piece comes with the next call.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    ///
    /// # Cancel safety
    /// As [`chunk`](Self::chunk).
    #[doc(alias = "recv")]
    pub async fn chunk_within(&mut self, limit: usize) -> Result<Option<Bytes>, ReceiveError> {
        let Some(mut chunk) = self.chunk().await? else { return Ok(None) };
        let rest = chunk.split_off(chunk.len().min(limit.max(1)));
        if !rest.is_empty() {
            self.content.push_front(rest);
        }
        Ok(Some(chunk))
    }

    /// Whether the last of the message has not come yet.
    #[doc(alias = "partial")]
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.whole
    }

    /// Whether content is here that [`chunk`](Self::chunk) gives without waiting.
    #[doc(alias = "readable")]
    #[must_use]
    pub fn is_readable(&self) -> bool {
        !self.content.is_empty()
    }

    /// Tells the sender that the message was processed.
    ///
    /// # Errors
    /// When the link is over: the message will be delivered again.
    pub fn accept(&self) -> Result<(), LinkError> {
        self.settle(Outcome::Accepted)
    }

    /// Settles the message.
    ///
    /// # Errors
    /// When the link is over: the message will be delivered again.
    pub fn settle(&self, outcome: Outcome) -> Result<(), LinkError> {
        self.from.receiver.session().settle(&self.message, outcome)
    }

    /// Takes a part in.
    fn take(&mut self, part: &Delivery) -> Result<(), ReceiveError> {
        self.from.skipping = part.more;
        self.whole = !part.more;
        if part.aborted {
            return Err(ReceiveError::Aborted);
        }
        let origin = self.message.origin().expect("a message that came has one");
        self.read(&part.payload).map_err(|error| self.from.receiver.link.refuse_malformed(origin, error))
    }

    fn read(&mut self, part: &Bytes) -> Result<(), DecodeError> {
        let Self { sections, content, message, whole, .. } = self;
        sections.take(part, content)?;
        if *whole {
            sections.end()?;
        }
        if let Some(front) = sections.front.take_if(|_| sections.content || *whole) {
            message.read_front(&front.freeze())?;
        }
        if *whole && !sections.behind.is_empty() {
            message.read_footer(&sections.behind.split().freeze())?;
        }
        Ok(())
    }
}

/// Tells content from what stands around it.
#[derive(Debug)]
struct Sections {
    position: Position,
    kind: Kind,
    /// The head of a section, until it says what the section is.
    head: BytesMut,
    /// Whether content has begun.
    content: bool,
    /// Other sections, in front of the content until they are read, and behind it.
    front: Option<BytesMut>,
    behind: BytesMut,
}

/// What a section is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Not known yet.
    Head,
    Data,
    Other,
    /// A message of another format than the standard's: all of it is content.
    Opaque,
}

impl Sections {
    fn new(format: MessageFormat) -> Self {
        let standard = format == MessageFormat(0);
        Self {
            position: Position::default(),
            kind: if standard { Kind::Head } else { Kind::Opaque },
            head: BytesMut::new(),
            content: !standard,
            front: Some(BytesMut::new()),
            behind: BytesMut::new(),
        }
    }

    /// Takes a part of the message in; what of it is content goes to `content`.
    fn take(&mut self, part: &Bytes, content: &mut VecDeque<Bytes>) -> Result<(), DecodeError> {
        let mut rest = part.clone();
        while !rest.is_empty() {
            match self.kind {
                Kind::Opaque => content.push_back(std::mem::take(&mut rest)),
                Kind::Head => {
                    // Byte by byte: heads are a few bytes long.
                    let byte = rest.split_to(1);
                    self.position.advance(&byte);
                    self.head.extend_from_slice(&byte);
                    self.kind = kind_of(&self.head)?;
                    self.content |= self.kind == Kind::Data;
                    if self.kind == Kind::Other {
                        let head = self.head.split();
                        self.hold(&head)?;
                    }
                }
                Kind::Data => content.push_back(rest.split_to(self.position.advance_section(&rest))),
                Kind::Other => {
                    let piece = rest.split_to(self.position.advance_section(&rest));
                    self.hold(&piece)?;
                }
            }
            // At the start of a section, unless within a head.
            if matches!(self.kind, Kind::Data | Kind::Other) && self.position.received().section_offset == 0 {
                self.head.clear();
                self.kind = Kind::Head;
            }
        }
        Ok(())
    }

    fn hold(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        let held = match &mut self.front {
            Some(front) if !self.content => front,
            _ => &mut self.behind,
        };
        if held.len() + piece.len() > HELD {
            return Err(Reader::from_slice(piece).error("section", DecodeErrorKind::OutOfRange));
        }
        held.extend_from_slice(piece);
        Ok(())
    }

    /// The message ends here.
    fn end(&self) -> Result<(), DecodeError> {
        let within = self.kind != Kind::Opaque && self.position.received().section_offset != 0;
        if within { Err(Reader::from_slice(&[]).error("section", DecodeErrorKind::Truncated)) } else { Ok(()) }
    }
}

/// What the head of a section says, as far as it is there.
fn kind_of(head: &[u8]) -> Result<Kind, DecodeError> {
    // A descriptor is a number or a short name.
    const LONGEST: usize = 300;
    let [0x00, descriptor @ ..] = head else {
        let code = head.first().copied().unwrap_or_default();
        return Err(Reader::from_slice(head).error("section", DecodeErrorKind::Constructor(code)));
    };
    let mut reader = Reader::from_slice(descriptor);
    let descriptor = match Value::decode(&mut reader) {
        Ok(descriptor) => descriptor,
        Err(error) if error.kind == DecodeErrorKind::Truncated && head.len() < LONGEST => return Ok(Kind::Head),
        Err(error) => return Err(error),
    };
    let is_data = match &descriptor {
        Value::Ulong(code) => *code == 0x75,
        Value::Symbol(name) => name.as_str() == "amqp:data:binary",
        _ => return Err(reader.error("section", DecodeErrorKind::Descriptor)),
    };
    if !is_data {
        return Ok(Kind::Other);
    }
    // The length of the binary belongs to the head.
    let length = match reader.peek() {
        None => return Ok(Kind::Head),
        Some(0xa0) => 1,
        Some(0xb0) => 4,
        Some(code) => return Err(reader.error("data", DecodeErrorKind::Constructor(code))),
    };
    Ok(if reader.remaining() > length { Kind::Data } else { Kind::Head })
}

#[cfg(test)]
mod tests {
    use postroad_codec::v1_0::{Body, Message, Properties};

    use super::*;

    /// What stands in front of the content, the content, and what stands behind it.
    type Read = (Vec<u8>, Vec<u8>, Vec<u8>);

    /// All that a message gives, in parts of such a length.
    fn read(encoded: &Bytes, step: usize) -> Result<Read, DecodeError> {
        let (mut sections, mut content) = (Sections::new(MessageFormat(0)), VecDeque::new());
        for start in (0..encoded.len()).step_by(step) {
            sections.take(&encoded.slice(start..encoded.len().min(start + step)), &mut content)?;
        }
        sections.end()?;
        let content: Vec<u8> = content.iter().flat_map(|piece| piece.to_vec()).collect();
        Ok((sections.front.unwrap().to_vec(), content, sections.behind.to_vec()))
    }

    fn sample(body: Body) -> Message {
        let properties = Properties { subject: Some("subject".into()), ..Properties::default() };
        Message { properties: Some(Box::new(properties)), body, footer: Some(Default::default()), ..Message::default() }
    }

    #[test]
    fn content_is_told_from_the_rest_at_every_split() {
        let long = vec![7; 300];
        let sections = [Bytes::from_static(b"one"), Bytes::new(), long.clone().into(), Bytes::new()];
        let message = sample(Body::DataSections(sections.to_vec()));
        let front = Message { body: Body::Empty, footer: None, ..message.clone() }.to_bytes();
        let footer = Message { footer: message.footer.clone(), ..Message::default() }.to_bytes();
        let expected = (front.to_vec(), [&b"one"[..], &long].concat(), footer.to_vec());
        let encoded = message.to_bytes();
        for step in 1..=encoded.len() {
            assert_eq!(read(&encoded, step).unwrap(), expected, "in steps of {step}");
        }
        for length in 0..encoded.len() {
            let cut = read(&encoded.slice(..length), 5);
            let whole = Message::from_bytes(&encoded.slice(..length));
            assert_eq!(cut.is_ok(), whole.is_ok(), "{length} bytes");
        }
    }

    #[test]
    fn a_body_that_is_no_data_is_held() {
        let message = sample(Body::Value(Value::from("text")));
        let encoded = message.to_bytes();
        let (front, content, behind) = read(&encoded, 3).unwrap();
        assert_eq!((front, content, behind), (encoded.to_vec(), vec![], vec![]));
    }

    #[test]
    fn what_is_no_section_is_refused() {
        for bytes in [&b"\x53\x75"[..], b"\x00\x41", b"\x00\x53\x75\xa1\x00", b"\x00\xa1\x02hi"] {
            assert!(read(&Bytes::from_static(bytes), 1).is_err(), "{bytes:x?}");
        }
        let endless = [&b"\x00\xb3\x00\x00\xff\xff"[..], &[b'a'; 400]].concat();
        assert!(read(&endless.into(), 1).is_err());
    }

    #[test]
    fn what_is_held_is_bounded() {
        let head = b"\x00\x53\x77\xb0\x7f\xff\xff\xff";
        let (mut sections, mut content) = (Sections::new(MessageFormat(0)), VecDeque::new());
        sections.take(&Bytes::from_static(head), &mut content).unwrap();
        let piece = Bytes::from(vec![0; 1 << 20]);
        let taken = (0..100).take_while(|_| sections.take(&piece, &mut content).is_ok()).count();
        assert_eq!(taken, HELD / piece.len() - 1);
    }
}
