//! A message that is sent while it is made.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use crate::protocol::{DeliveryNumber, MessageFormat};
use crate::sender::{Encoded, Handover, Put};
use crate::state::State;
use crate::wait::Place;
use crate::{Message, Outcome, SendError, Sender, Settlement};

/// A message whose content is handed over piece by piece: [`Sender::begin`] makes one. What waits here is one piece; what
/// waits in the connection is bounded, so content of any length passes.
///
/// While it is open, other messages of the sender wait. Dropped before [`finish`](Self::finish), the message is given
/// up, and the receiver throws away what it has of it.
#[derive(Debug)]
#[must_use = "a message that is not finished is given up"]
pub struct MessageWriter<'a> {
    sender: &'a Sender,
    /// What goes before the next piece of content: the sections in front of it, the head of its section.
    head: BytesMut,
    /// Content that is still to come, where its length was told: then it is one section.
    left: Option<u64>,
    /// Parts that have not been handed over.
    parts: VecDeque<Bytes>,
    /// The delivery, once its first part is handed over, and where its outcome will be.
    begun: Option<(DeliveryNumber, Settlement)>,
    /// The engine that it was begun on.
    epoch: u32,
    finished: bool,
}

/// Content from this size on is not copied behind its head.
const APART: usize = 4096;

impl Sender {
    /// Begins a message whose content is handed over piece by piece: `front` is the message without it. Each piece
    /// becomes a data section.
    ///
    /// ```no_run
    /// # async fn run(sender: &postroad_client::Sender) -> Result<(), postroad_client::SendError> {
    /// use postroad_client::Message;
    /// let mut writer = sender.begin(&Message::new().with_subject("log"));
    /// writer.write("line after line").await?;
    /// writer.finish().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn begin(&self, front: &Message) -> MessageWriter<'_> {
        let head = BytesMut::from(&front.encode_front()[..]);
        MessageWriter { sender: self, head, left: None, parts: VecDeque::new(), begun: None, epoch: 0, finished: false }
    }

    /// As [`begin`](Self::begin), with content of `length` bytes, which becomes one data section: some receivers do not
    /// keep several in order.
    pub fn begin_sized(&self, front: &Message, length: u32) -> MessageWriter<'_> {
        let mut writer = self.begin(front);
        put_data_head(length, &mut writer.head);
        writer.left = Some(length.into());
        writer
    }
}

impl MessageWriter<'_> {
    /// Hands over the next piece of content, once the connection has room for it.
    ///
    /// # Errors
    /// When the link ends, or the message grows larger than the peer takes or than was told: it is given up then.
    ///
    /// # Cancel safety
    /// A dropped future leaves the piece with the writer: it goes out with the next call.
    pub async fn write(&mut self, piece: impl Into<Bytes>) -> Result<(), SendError> {
        self.push(piece.into())?;
        self.put_parts(false).await
    }

    /// Whether a piece that is written now goes out at once: with credit and a window, and nothing in front of it.
    #[doc(alias = "writable")]
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let link = &self.sender.link;
        self.parts.is_empty()
            && link.with(|state| match &self.begun {
                None => self.sender.has_room(state) == Ok(Some(())),
                Some(_) => {
                    let entry = &state.links[link.key];
                    let here = entry.over.is_none() && state.down.is_none() && state.epoch == self.epoch;
                    here && state.engine.can_append(entry.id)
                }
            })
    }

    /// Ends the message and waits for its outcome.
    ///
    /// # Errors
    /// As [`Sender::send`]; [`SendError::Length`] when less content came than was told: the message is given up then.
    ///
    /// # Cancel safety
    /// Dropped before the last part is handed over, the message is given up; afterwards its outcome is not learned.
    pub async fn finish(mut self) -> Result<Outcome, SendError> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(SendError::Length);
        }
        if !self.head.is_empty() {
            self.parts.push_back(self.head.split().freeze());
        }
        // The last part ends the message, be it empty.
        if self.parts.is_empty() {
            self.parts.push_back(Bytes::new());
        }
        self.put_parts(true).await?;
        self.finished = true;
        let (_, settlement) = self.begun.take().expect("a part was handed over");
        settlement.await
    }

    fn push(&mut self, piece: Bytes) -> Result<(), SendError> {
        match &mut self.left {
            Some(left) => *left = left.checked_sub(piece.len() as u64).ok_or(SendError::Length)?,
            None if piece.is_empty() => return Ok(()),
            None => put_data_head(u32::try_from(piece.len()).map_err(|_| SendError::Length)?, &mut self.head),
        }
        if piece.len() < APART {
            self.head.extend_from_slice(&piece);
            self.parts.push_back(self.head.split().freeze());
        } else {
            self.parts.extend([self.head.split().freeze(), piece]);
        }
        self.parts.retain(|part| !part.is_empty());
        Ok(())
    }

    /// Hands over what waits here, the last of it as the end of the message where it is.
    async fn put_parts(&mut self, last: bool) -> Result<(), SendError> {
        while let Some(part) = self.parts.front() {
            let more = !last || self.parts.len() > 1;
            match &self.begun {
                Some((delivery, _)) => self.append(*delivery, part, more).await?,
                None => {
                    let first = Encoded::whole(part.clone());
                    let how = Handover { more, ..Handover::tracked(MessageFormat(0)) };
                    let Put { token, delivery, epoch } = self.sender.put_when_credited(&first, how).await?;
                    self.epoch = epoch;
                    let link = &self.sender.link;
                    let at = (!self.sender.settled).then(|| (link.session.shared().clone(), link.key, token));
                    self.begun = Some((delivery, Settlement { at }));
                }
            }
            self.parts.pop_front();
        }
        Ok(())
    }

    async fn append(&self, delivery: DeliveryNumber, part: &Bytes, more: bool) -> Result<(), SendError> {
        let link = &self.sender.link;
        let append = |state: &mut State| self.sender.append_to(state, (delivery, self.epoch), part, more);
        link.session.shared().wait(Place::Link(link.key), append).await
    }
}

impl Drop for MessageWriter<'_> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let Some((delivery, mut settlement)) = self.begun.take() else { return };
        let token = settlement.at.take().map(|(_, _, token)| token);
        let _slot = self.sender.link.with(|state| self.sender.give_up(state, (delivery, self.epoch), token));
    }
}

/// The head of a data section (part 3, 3.2.6) of so many bytes.
fn put_data_head(length: u32, out: &mut BytesMut) {
    out.extend_from_slice(&[0x00, 0x53, 0x75, 0xb0]);
    out.put_u32(length);
}
