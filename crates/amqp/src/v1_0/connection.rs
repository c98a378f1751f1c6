//! The connection: one struct that holds all state, and the verbs that drive it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use postroad_codec::v1_0::{
    Begin, ByteString, Close, Encode, End, Error, Frame, MIN_MAX_FRAME_SIZE, Open, ProtocolHeader, Role,
};

use super::arena::{Arena, Key};
use super::copies::Copies;
use super::handshake::{ClientSasl, Layer, Sasl, ServerSasl};
use super::link::Link;
use super::session::{Phase, Session};
use super::{Config, ConnectionError, Event, LimitError, LinkId, ReceiverMut, SenderMut, SessionId, Transmit};

/// An AMQP 1.0 peer without I/O.
#[derive(Debug)]
pub struct Connection {
    pub(crate) config: Config,
    /// Whether this end connected, so that its open goes out first.
    pub(crate) client: bool,
    pub(crate) layer: Layer,
    pub(crate) sasl: Sasl,
    /// Headers and SASL frames, which go out before anything else.
    pub(crate) setup: Transmit,
    /// Frames, which go out once the SASL exchange has succeeded.
    pub(crate) out: Transmit,
    pub(crate) unlocked: bool,
    pub(crate) open_sent: bool,
    pub(crate) close_sent: bool,
    pub(crate) remote_open: Option<Box<Open>>,
    /// Why the connection is over.
    pub(crate) over: Option<ConnectionError>,
    pub(crate) remote_max_frame: u32,
    pub(crate) sessions: Arena<Session>,
    /// Sessions by the peer's channel.
    pub(crate) channels: Vec<Option<Key>>,
    /// Sessions by our channel.
    pub(crate) own_channels: Vec<Option<Key>>,
    pub(crate) links: Arena<Link>,
    /// Links by name: our senders, and our receivers. More than one where a name is being taken over.
    pub(crate) names: [BTreeMap<ByteString, Vec<Key>>; 2],
    pub(crate) events: VecDeque<Event>,
    /// Bytes of deliveries of which only a part has come.
    pub(crate) partial_bytes: usize,
    /// Small payloads on their way from the input to the queues.
    pub(crate) copies: Copies,
    /// Sessions with flows, dispositions or parked messages to send.
    pub(crate) dirty: Vec<Key>,
    /// Links whose owner waits for the output to drain.
    pub(crate) held_back: Vec<Key>,
    /// Bytes of answers that the peer made us write since output last ran empty.
    pub(crate) answers: usize,
    pub(crate) last_input: Instant,
    pub(crate) last_output: Instant,
    handshake_deadline: Option<Instant>,
}

/// No session takes a handle above this, whatever the configuration says: a peer that attaches one link
/// with a large handle must not make us hold a large table.
const MAX_HANDLE: u32 = 65_535;

/// A peer that makes us answer, and does not read the answers, is cut off here.
pub(crate) const MAX_ANSWERS: usize = 4 * 1024 * 1024;

impl Connection {
    /// The end that connects. With `sasl` it authenticates first; without, it starts with AMQP.
    #[must_use]
    pub fn client(config: Config, sasl: Option<ClientSasl>, now: Instant) -> Self {
        let mut connection = Self::new(config, now);
        connection.client = true;
        match sasl {
            Some(sasl) => {
                connection.setup.write(|out| out.extend_from_slice(&ProtocolHeader::SASL.to_bytes()));
                connection.layer = Layer::ClientSaslHeader;
                connection.sasl = Sasl::Client(sasl);
            }
            None => {
                connection.layer = Layer::ClientHeader;
                connection.unlocked = true;
            }
        }
        // Header and open go out in one piece: nothing in them depends on the peer (2.4.1).
        connection.out.write(|out| out.extend_from_slice(&ProtocolHeader::AMQP.to_bytes()));
        connection.put_open();
        connection
    }

    /// The end that is connected to. With `sasl` the peer must authenticate, unless it may stay bare.
    #[must_use]
    pub fn server(config: Config, sasl: Option<ServerSasl>, now: Instant) -> Self {
        let mut connection = Self::new(config, now);
        if let Some(sasl) = sasl {
            connection.sasl = Sasl::Server(sasl);
        }
        connection
    }

    fn new(mut config: Config, now: Instant) -> Self {
        config.max_frame_size = config.max_frame_size.max(MIN_MAX_FRAME_SIZE);
        config.max_sasl_frame_size = config.max_sasl_frame_size.max(MIN_MAX_FRAME_SIZE);
        config.handle_max = config.handle_max.min(MAX_HANDLE);
        config.incoming_window = config.incoming_window.max(1);
        let copies = Copies::new(config.shared_block);
        let handshake_deadline = config.handshake_timeout.and_then(|timeout| now.checked_add(timeout));
        Self {
            config,
            client: false,
            layer: Layer::ServerHeader,
            sasl: Sasl::None,
            setup: Transmit::default(),
            out: Transmit::default(),
            unlocked: false,
            open_sent: false,
            close_sent: false,
            remote_open: None,
            over: None,
            remote_max_frame: MIN_MAX_FRAME_SIZE,
            sessions: Arena::default(),
            channels: Vec::new(),
            own_channels: Vec::new(),
            links: Arena::default(),
            names: Default::default(),
            events: VecDeque::new(),
            partial_bytes: 0,
            copies,
            dirty: Vec::new(),
            held_back: Vec::new(),
            answers: 0,
            last_input: now,
            last_output: now,
            handshake_deadline,
        }
    }

    /// Gives what is to be written to the socket, behind what `transmit` holds. Call it after any
    /// other call; write everything before the next.
    pub fn poll_transmit(&mut self, now: Instant, transmit: &mut Transmit) {
        if self.unlocked && self.over.is_none() {
            self.put_pending();
        }
        if !self.setup.is_empty() {
            self.setup.move_to(transmit);
            self.last_output = now;
        }
        if self.unlocked && !self.out.is_empty() {
            self.out.move_to(transmit);
            self.last_output = now;
            self.answers = 0;
            for key in std::mem::take(&mut self.held_back) {
                if let Some(link) = self.links.get_mut(key) {
                    link.held_back = false;
                }
                self.announce_credit(key);
            }
        }
    }

    /// Gives the next event.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next time at which [`Connection::handle_timeout`] should be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.over.is_some() {
            return None;
        }
        let handshake = self.handshake_deadline.filter(|_| self.remote_open.is_none());
        let idle = self.idle_deadline();
        [handshake, idle, self.heartbeat_deadline()].into_iter().flatten().min()
    }

    /// Takes note of the time: sends a heartbeat, or gives a silent peer up.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.over.is_some() {
            return;
        }
        if self.remote_open.is_none() && self.handshake_deadline.is_some_and(|deadline| deadline <= now) {
            self.fail(ConnectionError::Handshake);
        } else if self.idle_deadline().is_some_and(|deadline| deadline <= now) {
            self.fail(ConnectionError::Idle);
        } else if self.heartbeat_deadline().is_some_and(|deadline| deadline <= now) {
            self.out.write(Frame::put_empty);
        }
    }

    /// Takes note that the transport has ended.
    pub fn handle_eof(&mut self) {
        if self.over.is_none() {
            self.end_with(if self.close_sent { ConnectionError::Closed } else { ConnectionError::Lost });
        }
    }

    /// The peer's `open`, once it has come.
    #[must_use]
    pub fn remote_open(&self) -> Option<&Open> {
        self.remote_open.as_deref()
    }

    /// Our parameters.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The user that the client has shown to be, and by which mechanism (servers only).
    #[must_use]
    pub fn user(&self) -> Option<(&str, &str)> {
        match &self.sasl {
            Sasl::Authenticated { user, mechanism } => Some((user, mechanism)),
            _ => None,
        }
    }

    /// Why the connection is over; `None` while it is not.
    #[must_use]
    pub fn error(&self) -> Option<&ConnectionError> {
        self.over.as_ref()
    }

    /// Closes the connection: what was handed over goes out first. [`Event::Closed`] follows when the
    /// peer has answered; whoever does not want to wait for ever sets a timer.
    pub fn close(&mut self, error: Option<Error>) {
        if self.close_sent || self.over.is_some() {
            return;
        }
        if self.unlocked {
            self.put_pending();
        }
        self.ensure_open();
        let close = self.fitting(Close { error: error.map(Box::new) });
        self.put(0, &close);
        self.close_sent = true;
    }

    /// Whether [`close`](Self::close) has been said, at this end or in answer to the peer.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.close_sent
    }

    /// Begins a session. Before the peer's open has come there can be one: every peer takes channel 0 (2.4.1).
    ///
    /// # Errors
    /// When the connection is over, or every channel is in use that the peer is known to take.
    pub fn begin(&mut self) -> Result<SessionId, LimitError> {
        if self.over.is_some() || self.close_sent {
            return Err(LimitError::Ended);
        }
        let remote_max = self.remote_open.as_ref().map_or(0, |open| open.channel_max);
        let channel = self.free_channel(remote_max.min(self.config.channel_max))?;
        self.ensure_open();
        let id = self.add_session(channel, Phase::BeginSent);
        let begin = self.sessions.get(id.0).expect("just added").begin(&self.config);
        self.put(channel, &begin);
        Ok(id)
    }

    /// The sessions that both ends have not ended yet.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.own_channels.iter().flatten().map(|key| SessionId(*key))
    }

    /// Ends a session, and every link on it, for which no other event follows but what became of deliveries until the
    /// peer answers: [`release`](Self::release) gives back what is not settled. [`Event::SessionEnded`] follows when
    /// the peer has answered.
    pub fn end(&mut self, session: SessionId, error: Option<Error>) {
        if self.sessions.get(session.0).is_none_or(|session| !session.is_live()) {
            return;
        }
        self.put_session(session.0);
        let key = session.0;
        let session = self.sessions.get_mut(key).expect("looked up above");
        session.phase = Phase::EndSent;
        session.discarding = error.is_some();
        let channel = session.channel;
        let end = self.fitting(End { error: error.map(Box::new) });
        self.put(channel, &end);
        self.detach_all(key);
    }

    /// The sending end of a link.
    ///
    /// # Panics
    /// When there is no such link, or it receives.
    #[inline]
    pub fn sender(&mut self, link: LinkId) -> SenderMut<'_> {
        assert_eq!(self.link(link).map(|link| link.role), Some(Role::Sender), "no sending link");
        SenderMut { connection: self, key: link.0 }
    }

    /// The receiving end of a link.
    ///
    /// # Panics
    /// When there is no such link, or it sends.
    #[inline]
    pub fn receiver(&mut self, link: LinkId) -> ReceiverMut<'_> {
        assert_eq!(self.link(link).map(|link| link.role), Some(Role::Receiver), "no receiving link");
        ReceiverMut { connection: self, key: link.0 }
    }

    /// Whether there is such a link and it has not been released.
    #[must_use]
    pub fn has_link(&self, link: LinkId) -> bool {
        self.link(link).is_some_and(|link| !link.released)
    }

    /// Bytes that wait to be written.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.out.len() + self.setup.len()
    }

    /// Whether [`Connection::poll_transmit`] has something to give.
    #[inline]
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.setup.is_empty() || (self.unlocked && (!self.out.is_empty() || !self.dirty.is_empty()))
    }

    #[inline]
    pub(crate) fn link(&self, link: LinkId) -> Option<&Link> {
        self.links.get(link.0)
    }

    /// A server's open waits for the client's, which may decide what it says, unless something must go
    /// out before: the first frame of each end is its open (2.4.1).
    pub(crate) fn ensure_open(&mut self) {
        if !self.open_sent {
            self.put_open();
        }
    }

    fn put_open(&mut self) {
        self.open_sent = true;
        let open = self.fitting(self.config.open());
        self.put(0, &open);
    }

    /// Queues a frame without payload.
    #[inline]
    pub(crate) fn put(&mut self, channel: u16, performative: &impl Encode) {
        if self.close_sent {
            return;
        }
        self.out.write(|out| Frame::put_amqp(channel, performative, &[], out));
    }

    /// Queues a frame that answers one of the peer's. A peer that asks for ever and reads nothing must
    /// not make us hold every answer.
    pub(crate) fn answer(&mut self, channel: u16, performative: &impl Encode) {
        let before = self.out.len();
        self.put(channel, performative);
        self.answers += self.out.len() - before;
    }

    pub(crate) fn add_session(&mut self, channel: u16, phase: Phase) -> SessionId {
        let config = &self.config;
        let key = self.sessions.insert(|key| Session::new(SessionId(key), channel, phase, config));
        let index = usize::from(channel);
        if self.own_channels.len() <= index {
            self.own_channels.resize(index + 1, None);
        }
        self.own_channels[index] = Some(key);
        SessionId(key)
    }

    pub(crate) fn free_channel(&self, max: u16) -> Result<u16, LimitError> {
        let free = self.own_channels.iter().position(Option::is_none).unwrap_or(self.own_channels.len());
        u16::try_from(free).ok().filter(|free| *free <= max).ok_or(LimitError::NoneFree)
    }

    pub(crate) fn begin_answer(&self, key: Key) -> Begin {
        self.sessions.get(key).expect("the caller has it").begin(&self.config)
    }

    /// Gives the connection up: the peer is told where the standard has an error for it.
    pub(crate) fn fail(&mut self, error: ConnectionError) {
        if self.over.is_some() {
            return;
        }
        if let (true, Some(told)) = (self.unlocked, error.to_error()) {
            self.ensure_open();
            let close = self.fitting(Close { error: Some(Box::new(told)) });
            self.put(0, &close);
            self.close_sent = true;
        }
        self.end_with(error);
    }

    pub(crate) fn end_with(&mut self, error: ConnectionError) {
        if self.over.is_none() {
            self.over = Some(error.clone());
            self.events.push_back(Event::Closed(error));
        }
    }

    fn idle_deadline(&self) -> Option<Instant> {
        self.config
            .idle_timeout
            .filter(|_| self.remote_open.is_some())
            .and_then(|timeout| self.last_input.checked_add(timeout))
    }

    /// When the peer must hear from us: twice in what it allows (2.4.5). Output that waits is heard as
    /// well as a heartbeat, and nothing follows a close.
    fn heartbeat_deadline(&self) -> Option<Instant> {
        let timeout = self.remote_open.as_ref()?.idle_time_out?;
        let due = timeout.0 > 0 && !self.close_sent && self.out.is_empty();
        due.then(|| self.last_output + Duration::from_millis(timeout.0.into()) / 2)
    }
}
