//! Frames of the peer: who gets them, and what an impossible one costs.

use std::mem::take;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use postroad_codec::v1_0::{
    Begin, Close, DeliveryState, End, Error, ErrorCondition, FrameBody, FrameError, FrameHeader, FrameType,
    MIN_MAX_FRAME_SIZE, Open, Performative,
};

use super::arena::Key;
use super::connection::MAX_ANSWERS;
use super::handshake::Layer;
use super::session::Phase;
use super::{Connection, ConnectionError, Event, LinkId, link};

impl Connection {
    /// Takes bytes that the transport has received: every complete frame is taken out of `input`, an
    /// incomplete one stays for the next call.
    ///
    /// # Errors
    /// When the connection is beyond saving; [`Event::Closed`] tells the same. What
    /// [`Connection::poll_transmit`] gives afterwards should still be written, then the transport closed.
    pub fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), ConnectionError> {
        if let Some(error) = &self.over {
            let error = error.clone();
            input.clear();
            return Err(error);
        }
        self.last_input = now;
        let result = self.read(input);
        self.copies.end();
        if let Err(error) = &result {
            self.fail(error.clone());
            input.clear();
        }
        result
    }

    fn read(&mut self, input: &mut BytesMut) -> Result<(), ConnectionError> {
        while self.layer != Layer::Frames {
            if !self.handle_handshake(input)? {
                return Ok(());
            }
        }
        // All complete frames are split off at once: what follows parses slices of one buffer.
        // The limit that we announce holds before the announcement too: a pipelining peer may have heard.
        let limit = self.config.max_frame_size;
        let mut complete = 0;
        let mut broken = None;
        loop {
            match FrameHeader::frame_size(&input[complete..], limit) {
                Ok(Some(size)) if complete + size <= input.len() => complete += size,
                Ok(_) => break,
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        if complete > 0 {
            let frames = input.split_to(complete).freeze();
            let mut performative = Performative::default();
            self.copies.begin(complete);
            let mut at = 0;
            while at < frames.len() {
                let size = FrameHeader::frame_size(&frames[at..], u32::MAX).map_err(ConnectionError::Frame)?;
                let end = at + size.expect("the frame is complete");
                let body = FrameBody::read(&frames, at..end, &mut performative).map_err(ConnectionError::Frame)?;
                if matches!(body, FrameBody::Amqp { .. }) && outlives_input(&performative) {
                    let copy = Bytes::copy_from_slice(&frames[at..end]);
                    let body = FrameBody::read(&copy, 0..copy.len(), &mut performative);
                    self.handle_frame(body.map_err(ConnectionError::Frame)?, &mut performative)?;
                } else {
                    self.handle_frame(body, &mut performative)?;
                }
                if self.over.is_some() {
                    return Ok(());
                }
                if self.answers > MAX_ANSWERS {
                    return Err(ConnectionError::violation(
                        ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
                        "the peer does not read the answers to its requests",
                    ));
                }
                at = end;
            }
        }
        match broken {
            Some(error) => Err(ConnectionError::Frame(error)),
            None => Ok(()),
        }
    }

    #[inline]
    fn handle_frame(&mut self, body: FrameBody<'_>, performative: &mut Performative) -> Result<(), ConnectionError> {
        let (channel, payload) = match body {
            FrameBody::Amqp { channel, payload } => (channel, payload),
            FrameBody::Empty { .. } => return Ok(()),
            FrameBody::Sasl(_) => return Err(ConnectionError::Frame(FrameError::Unexpected(FrameType::Sasl))),
        };
        if self.remote_open.is_none() && !matches!(performative, Performative::Open(_)) {
            return Err(illegal(performative, "before open"));
        }
        match performative {
            Performative::Transfer(transfer) => self
                .on_session(channel, "transfer", |connection, key| connection.handle_transfer(key, transfer, &payload)),
            Performative::Disposition(disposition) => {
                if let Some(key) = self.ending_session(channel) {
                    self.handle_disposition(key, disposition);
                    return Ok(());
                }
                self.on_session(channel, "disposition", |connection, key| {
                    connection.handle_disposition(key, disposition);
                    Ok(())
                })
            }
            Performative::Flow(flow) => {
                self.on_session(channel, "flow", |connection, key| connection.handle_flow(key, flow))
            }
            Performative::Attach(attach) => {
                self.on_session(channel, "attach", |connection, key| connection.handle_attach(key, *take(attach)))
            }
            Performative::Detach(detach) => {
                self.on_session(channel, "detach", |connection, key| connection.handle_detach(key, take(detach)))
            }
            Performative::Open(open) => self.handle_open(take(open)),
            Performative::Begin(begin) => self.handle_begin(channel, begin),
            Performative::End(end) => self.handle_end(channel, take(end)),
            Performative::Close(close) => {
                self.handle_close(take(close));
                Ok(())
            }
        }
    }

    fn handle_open(&mut self, open: Box<Open>) -> Result<(), ConnectionError> {
        if self.remote_open.is_some() {
            return Err(ConnectionError::violation(ErrorCondition::NOT_ALLOWED, "a second open"));
        }
        // 2.7.1: a peer must take frames of 512 bytes; one that says less is taken to say so.
        self.remote_max_frame = open.max_frame_size.max(MIN_MAX_FRAME_SIZE);
        self.remote_open = Some(open);
        self.ensure_open();
        self.events.push_back(Event::Opened);
        Ok(())
    }

    fn handle_begin(&mut self, channel: u16, begin: &Begin) -> Result<(), ConnectionError> {
        if channel > self.config.channel_max {
            let text = format!("begin on channel {channel}, the limit is {}", self.config.channel_max);
            return Err(ConnectionError::violation(ErrorCondition::FRAMING_ERROR, text));
        }
        let index = usize::from(channel);
        if self.channels.len() <= index {
            self.channels.resize(index + 1, None);
        }
        if self.channels[index].is_some() {
            let text = format!("begin on channel {channel}, which is in use");
            return Err(ConnectionError::violation(ErrorCondition::ILLEGAL_STATE, text));
        }
        if let Some(ours) = begin.remote_channel {
            let key = self.own_channels.get(usize::from(ours)).copied().flatten();
            let Some(session) = key.and_then(|key| self.sessions.get_mut(key)).filter(|s| s.remote_channel.is_none())
            else {
                let text = format!("begin answers channel {ours}, where nothing was asked");
                return Err(ConnectionError::violation(ErrorCondition::NOT_ALLOWED, text));
            };
            let ending = session.phase == Phase::EndSent;
            session.begun(channel, begin);
            self.channels[index] = key;
            if ending {
                session.phase = Phase::EndSent;
                return Ok(());
            }
            let (id, handles) = (session.id, session.handles.len());
            self.events.push_back(Event::SessionBegun(id));
            if handles as u64 > u64::from(begin.handle_max.0) + 1 {
                // They were attached before this was known; the peer may not even have seen them as links (2.7.2).
                let text = format!("links were attached before it was known that handles end at {}", begin.handle_max);
                self.end_faulty(id.0, Box::new(Error::new(ErrorCondition::NOT_ALLOWED, text)));
            }
            return Ok(());
        }
        let remote_max = self.remote_open.as_ref().map_or(u16::MAX, |open| open.channel_max);
        let Ok(own) = self.free_channel(remote_max) else {
            let text = "no channel is free to answer a begin";
            return Err(ConnectionError::violation(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text));
        };
        let id = self.add_session(own, Phase::Mapped);
        self.sessions.get_mut(id.0).expect("just added").begun(channel, begin);
        self.channels[index] = Some(id.0);
        let answer = self.begin_answer(id.0);
        self.answer(own, &answer);
        self.events.push_back(Event::SessionIncoming(id));
        Ok(())
    }

    fn handle_end(&mut self, channel: u16, end: End) -> Result<(), ConnectionError> {
        let key = self.channels.get(usize::from(channel)).copied().flatten();
        let Some(session) = key.and_then(|key| self.sessions.get(key)) else {
            return Err(unmapped("end", channel));
        };
        let (id, own, told) = (session.id, session.channel, session.told);
        if session.is_live() {
            self.answer(own, &End { error: None });
        }
        self.forget_session(id.0);
        if !told {
            self.events.push_back(Event::SessionEnded { session: id, error: end.error });
        }
        Ok(())
    }

    /// Frees a session that both ends have ended. Its links stay until their owner releases them.
    fn forget_session(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        self.own_channels[usize::from(session.channel)] = None;
        if let Some(remote) = session.remote_channel {
            self.channels[usize::from(remote)] = None;
        }
        session.phase = Phase::Gone;
        self.detach_all(key);
        self.free_ended_session(key);
    }

    /// A session that has ended lives on while links hold unsettled deliveries in it.
    pub(crate) fn free_ended_session(&mut self, key: Key) {
        if self.sessions.get(key).is_some_and(|session| session.phase == Phase::Gone && session.links == 0) {
            self.sessions.remove(key);
        }
    }

    fn handle_close(&mut self, close: Close) {
        // 2.4.3: a close is answered, and nothing follows it.
        self.answer(0, &Close { error: None });
        let ours = self.close_sent;
        self.close_sent = true;
        self.end_with(match close.error {
            Some(error) => ConnectionError::Remote(*error),
            None if ours => ConnectionError::Closed,
            None => ConnectionError::RemoteClosed,
        });
    }

    /// The session of a channel that we have ended and the peer has not: outcomes that crossed our end still count,
    /// unless it ended with an error (2.5.5).
    #[inline]
    fn ending_session(&self, channel: u16) -> Option<Key> {
        let key = self.channels.get(usize::from(channel)).copied().flatten()?;
        self.sessions.get(key).filter(|session| session.phase == Phase::EndSent && !session.discarding).map(|_| key)
    }

    /// Runs `handle` for the session of a channel. Its error ends the session, not the connection.
    #[inline]
    fn on_session(
        &mut self,
        channel: u16,
        name: &'static str,
        handle: impl FnOnce(&mut Self, Key) -> Result<(), SessionFault>,
    ) -> Result<(), ConnectionError> {
        let Some(key) = self.channels.get(usize::from(channel)).copied().flatten() else {
            return Err(unmapped(name, channel));
        };
        // Once end is sent, whatever comes is for links that are gone.
        if self.sessions.get(key).is_none_or(|session| !session.is_live()) {
            return Ok(());
        }
        if let Err(SessionFault(error)) = handle(self, key) {
            self.end_faulty(key, error);
        }
        Ok(())
    }

    /// Ends a session that the peer broke a rule of. The owner hears of it at once: a peer that breaks
    /// rules may never answer.
    #[cold]
    pub(crate) fn end_faulty(&mut self, key: Key, error: Box<Error>) {
        let Some(session) = self.sessions.get_mut(key).filter(|session| session.is_live()) else { return };
        session.told = true;
        let id = session.id;
        self.end(id, Some(Error::clone(&error)));
        self.events.push_back(Event::SessionEnded { session: id, error: Some(error) });
    }

    /// Detaches a link that the peer broke a rule of: nothing wider suffers. The owner hears at once.
    #[cold]
    pub(crate) fn detach_faulty(&mut self, id: LinkId, closed: bool, error: Error) {
        self.detach(id, closed, Some(error.clone()));
        let Some(link) = self.links.get_mut(id.0).filter(|link| link.phase == link::Phase::DetachSent) else { return };
        link.told = true;
        self.events.push_back(Event::LinkDetached { link: id, closed, error: Some(Box::new(error)) });
    }
}

/// Whether the text or bytes of a frame may be kept when it has been dealt with, beside its payload, which is seen to
/// elsewhere. They are slices of what was read: a container id of a few bytes would keep a read buffer of 64 KiB for as long
/// as the connection lives.
#[inline]
fn outlives_input(performative: &Performative) -> bool {
    let state = match performative {
        Performative::Transfer(transfer) => &transfer.state,
        Performative::Disposition(disposition) => &disposition.state,
        Performative::Flow(flow) => return flow.properties.is_some(),
        _ => return true,
    };
    !matches!(state, None | Some(DeliveryState::Accepted | DeliveryState::Released | DeliveryState::Received(_)))
}

/// A rule that the peer broke on a session.
#[derive(Debug)]
pub(crate) struct SessionFault(pub(crate) Box<Error>);

impl SessionFault {
    #[cold]
    pub(crate) fn new(condition: ErrorCondition, description: impl Into<String>) -> Self {
        Self(Box::new(Error::new(condition, description.into())))
    }
}

fn illegal(performative: &Performative, when: &str) -> ConnectionError {
    ConnectionError::violation(ErrorCondition::ILLEGAL_STATE, format!("{} {when}", performative.name()))
}

#[cold]
fn unmapped(name: &str, channel: u16) -> ConnectionError {
    ConnectionError::violation(
        ErrorCondition::NOT_ALLOWED,
        format!("{name} on channel {channel}, which has no session"),
    )
}
