//! A client for tests: the engine, a stream, and waiting.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use postroad_amqp::sasl;
use postroad_amqp::v1_0::{
    ClientSasl, Config, Connection, ConnectionError, Delivery, Event, LinkId, LinkState, LinkTerms, Message, SessionId,
    Update,
};
use postroad_broker::Broker;
use postroad_codec::v1_0::{
    AttachTarget, DeliveryNumber, DeliveryState, DeliveryTag, Error, ErrorCondition, Message as Content, Role, Source,
    Target,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Nothing in these tests takes longer than this.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Client<S = TcpStream> {
    stream: S,
    pub(crate) engine: Connection,
    input: BytesMut,
    events: VecDeque<Event>,
    session: Option<SessionId>,
    names: u32,
    next_token: u64,
}

/// What a client may speak over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl Client {
    /// An anonymous client of a broker's first socket.
    pub(crate) async fn connect(broker: &Broker) -> Self {
        let stream = TcpStream::connect(broker.addr().expect("it listens")).await.expect("it accepts");
        stream.set_nodelay(true).expect("a socket has the option");
        Self::open(stream, None).await.expect("an anonymous client gets in")
    }

    /// As [`Client::connect`], with the container id of a client that may have been there before.
    pub(crate) async fn connect_as(broker: &Broker, container: &str) -> Self {
        let stream = TcpStream::connect(broker.addr().expect("it listens")).await.expect("it accepts");
        stream.set_nodelay(true).expect("a socket has the option");
        Self::open_with(stream, None, Config::new(container)).await.expect("an anonymous client gets in")
    }
}

impl<S: Stream> Client<S> {
    /// Opens a connection and a session over any stream.
    pub(crate) async fn open(
        stream: S,
        credentials: Option<(sasl::Credentials, bool)>,
    ) -> Result<Self, ConnectionError> {
        // Links of one name in one container are one link.
        static CONTAINERS: AtomicUsize = AtomicUsize::new(0);
        let container = format!("test-{}", CONTAINERS.fetch_add(1, Ordering::Relaxed));
        Self::open_with(stream, credentials, Config::new(container)).await
    }

    pub(crate) async fn open_with(
        stream: S,
        credentials: Option<(sasl::Credentials, bool)>,
        config: Config,
    ) -> Result<Self, ConnectionError> {
        let mut client = Self::new(stream, credentials, config);
        client
            .wait("open", |event| match event {
                Event::Opened => Some(Ok(())),
                Event::Closed(error) => Some(Err(error.clone())),
                _ => None,
            })
            .await?;
        client.begin().await;
        Ok(client)
    }

    fn new(stream: S, credentials: Option<(sasl::Credentials, bool)>, config: Config) -> Self {
        let sasl = credentials
            .map(|(credentials, secure)| ClientSasl { client: sasl::Client::new(credentials, [7; 24]), secure });
        let engine = Connection::client(config, sasl, Instant::now());
        Self { stream, engine, input: BytesMut::new(), events: VecDeque::new(), session: None, names: 0, next_token: 0 }
    }

    /// The error with which the broker closes a connection that has just been opened.
    pub(crate) async fn refused(stream: S, credentials: Option<(sasl::Credentials, bool)>) -> Error {
        let mut client = Self::new(stream, credentials, Config::new("test"));
        match client.closed().await {
            ConnectionError::Remote(error) => error,
            other => panic!("{other:?} is no close with an error"),
        }
    }

    pub(crate) fn session(&self) -> SessionId {
        self.session.expect("open begins one")
    }

    /// Begins another session, on which links are attached from now on.
    pub(crate) async fn begin(&mut self) {
        let session = self.engine.begin().expect("a channel is free");
        self.wait("begin", |event| matches!(event, Event::SessionBegun(_)).then_some(())).await;
        self.session = Some(session);
    }

    /// Attaches a sender to an address.
    pub(crate) async fn sender(&mut self, address: &str) -> Result<LinkId, Error> {
        self.attach_target(Target::at(address)).await
    }

    pub(crate) async fn attach_target(&mut self, target: impl Into<AttachTarget>) -> Result<LinkId, Error> {
        let terms = LinkTerms { target: Some(target.into()), source: Some(Source::default()), ..LinkTerms::default() };
        self.attach(Role::Sender, terms).await
    }

    /// Attaches a receiver to an address, with credit.
    pub(crate) async fn receiver(&mut self, address: &str, credit: u32) -> Result<LinkId, Error> {
        self.attach_source(Source::at(address), credit).await
    }

    pub(crate) async fn attach_source(&mut self, source: Source, credit: u32) -> Result<LinkId, Error> {
        let terms = LinkTerms { source: Some(source), target: Some(Target::default().into()), ..LinkTerms::default() };
        let link = self.attach(Role::Receiver, terms).await?;
        self.engine.receiver(link).set_credit(credit);
        self.flush().await;
        Ok(link)
    }

    pub(crate) async fn attach(&mut self, role: Role, terms: LinkTerms) -> Result<LinkId, Error> {
        self.names += 1;
        let name = format!("link-{}", self.names);
        self.attach_as(&name, role, terms).await
    }

    pub(crate) async fn attach_as(&mut self, name: &str, role: Role, terms: LinkTerms) -> Result<LinkId, Error> {
        let link = self.engine.attach(self.session(), name, role, terms);
        let link = link.expect("names and handles are free");
        self.wait("attach", |event| matches!(event, Event::LinkAttached(id) if *id == link).then_some(())).await;
        let answer = self.engine.remote_attach(link).expect("it has come");
        let granted = if role == Role::Sender { answer.target.is_some() } else { answer.source.is_some() };
        if granted { Ok(link) } else { Err(self.detached(link).await.expect("a refusal says why")) }
    }

    /// Attaches a link again, and takes over what it had not settled.
    pub(crate) async fn resume(&mut self, state: &mut LinkState, terms: LinkTerms) -> LinkId {
        let link = self.engine.resume(self.session(), state, terms).expect("names and handles are free");
        self.wait("attach", |event| matches!(event, Event::LinkAttached(id) if *id == link).then_some(())).await;
        link
    }

    /// Cuts the connection, and answers what was left of a link then. Nothing that waits is written or read.
    pub(crate) fn lose(mut self, link: LinkId) -> LinkState {
        self.engine.handle_eof();
        self.engine.release(link).expect("it is not released")
    }

    /// Detaches a link without closing it, and answers what is left of it.
    pub(crate) async fn leave(&mut self, link: LinkId) -> LinkState {
        self.engine.detach(link, false, None);
        let detached =
            |event: &Event| matches!(event, Event::LinkDetached { link: id, .. } if *id == link).then_some(());
        self.wait("detach", detached).await;
        self.engine.release(link).expect("it is not released")
    }

    /// Waits until a link is stolen, and answers what is left of it.
    pub(crate) async fn stolen(&mut self, link: LinkId) -> LinkState {
        let error = self
            .wait("theft", |event| match event {
                Event::LinkDetached { link: id, closed: false, error } if *id == link => Some(error.clone()),
                _ => None,
            })
            .await;
        assert_eq!(error.map(|error| error.condition), Some(ErrorCondition::STOLEN));
        self.engine.release(link).expect("it is not released")
    }

    /// Waits until the broker detaches a link.
    pub(crate) async fn detached(&mut self, link: LinkId) -> Option<Error> {
        let error = self
            .wait("detach", |event| match event {
                Event::LinkDetached { link: id, error, .. } if *id == link => Some(error.clone()),
                _ => None,
            })
            .await;
        let _ = self.engine.release(link);
        error.map(|error| *error)
    }

    /// Detaches a link and waits for the answer.
    pub(crate) async fn detach(&mut self, link: LinkId) {
        self.engine.detach(link, true, None);
        self.detached(link).await;
    }

    /// Sends a message when there is credit for it, and answers its token.
    pub(crate) async fn send_with(&mut self, link: LinkId, payload: &Bytes, settled: bool) -> u64 {
        while self.engine.sender(link).capacity() == 0 {
            self.wait("credit", |event| matches!(event, Event::Credit(id) if *id == link).then_some(())).await;
        }
        let token = self.token();
        let message = Message { settled, ..Message::shared(payload, DeliveryTag::from(token), token) };
        self.engine.sender(link).send(&message).expect("there is capacity");
        token
    }

    /// A token that no other message has.
    pub(crate) fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token - 1
    }

    pub(crate) async fn send(&mut self, link: LinkId, text: &str) -> u64 {
        self.send_with(link, &Content::from(text).to_bytes(), false).await
    }

    /// Sends texts and waits until all are accepted.
    pub(crate) async fn send_all(&mut self, link: LinkId, texts: impl IntoIterator<Item = String>) {
        let mut tokens = Vec::new();
        for text in texts {
            tokens.push(self.send(link, &text).await);
        }
        for token in tokens {
            assert_eq!(self.outcome(link, token).await.state, Some(DeliveryState::Accepted));
        }
    }

    /// Waits for the settlement of what was sent.
    pub(crate) async fn outcome(&mut self, link: LinkId, token: u64) -> Update {
        self.wait("outcome", |event| match event {
            Event::Update(update) if update.link == link && update.token == token && update.settled => {
                Some(update.clone())
            }
            _ => None,
        })
        .await
    }

    /// Waits for the next message on a link.
    pub(crate) async fn receive(&mut self, link: LinkId) -> Delivery {
        self.receive_within(link, PATIENCE).await.expect("a message comes")
    }

    pub(crate) async fn receive_within(&mut self, link: LinkId, time: Duration) -> Option<Delivery> {
        let deadline = Instant::now() + time;
        loop {
            if let Some(delivery) = self.engine.receiver(link).take() {
                return Some(delivery);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let _ = tokio::time::timeout(left, self.step()).await;
        }
    }

    /// Waits for the next message and answers its text.
    pub(crate) async fn receive_text(&mut self, link: LinkId) -> String {
        let delivery = self.receive(link).await;
        self.accept(link, delivery.number);
        text(&delivery)
    }

    /// That nothing comes for a while.
    pub(crate) async fn expect_nothing(&mut self, link: LinkId) {
        let came = self.receive_within(link, Duration::from_millis(100)).await;
        assert_eq!(came.as_ref().map(text), None);
    }

    pub(crate) fn accept(&mut self, link: LinkId, delivery: DeliveryNumber) {
        self.settle(link, delivery, DeliveryState::Accepted);
    }

    pub(crate) fn settle(&mut self, link: LinkId, delivery: DeliveryNumber, state: impl Into<DeliveryState>) {
        self.engine.receiver(link).dispose(delivery, Some(state.into()), true);
    }

    /// Waits until the connection is over.
    pub(crate) async fn closed(&mut self) -> ConnectionError {
        self.wait("close", |event| match event {
            Event::Closed(error) => Some(error.clone()),
            _ => None,
        })
        .await
    }

    /// Closes in order.
    pub(crate) async fn close(mut self) {
        self.engine.close(None);
        assert_eq!(self.closed().await, ConnectionError::Closed);
    }

    /// Writes everything that waits.
    pub(crate) async fn flush(&mut self) {
        let mut output = postroad_amqp::v1_0::Transmit::default();
        self.engine.poll_transmit(Instant::now(), &mut output);
        // A broker that has gone says so when it is read.
        let _ = self.stream.write_all_buf(&mut output).await;
        let _ = self.stream.flush().await;
    }

    /// Writes, reads once, and gathers events.
    pub(crate) async fn step(&mut self) {
        self.flush().await;
        if self.engine.error().is_none() {
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => self.engine.handle_eof(),
                Ok(_) => {
                    let _ = self.engine.handle_input(Instant::now(), &mut self.input);
                }
            }
        }
        while let Some(event) = self.engine.poll_event() {
            self.events.push_back(event);
        }
        self.flush().await;
    }

    /// Waits for an event for which `found` has an answer, and takes it out.
    pub(crate) async fn wait<T>(&mut self, what: &str, mut found: impl FnMut(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(event) = self.engine.poll_event() {
                self.events.push_back(event);
            }
            if let Some((index, answer)) =
                self.events.iter().enumerate().find_map(|(index, event)| Some((index, found(event)?)))
            {
                self.events.remove(index);
                self.flush().await;
                return answer;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // A connection that is over has nothing to wait for.
            if left.is_zero() || tokio::time::timeout(left, self.step()).await.is_err() {
                panic!("no {what}; there was {:?}", self.events);
            }
        }
    }
}

/// The text in a message.
pub(crate) fn text(delivery: &Delivery) -> String {
    let message = Content::from_bytes(&delivery.payload).expect("a message");
    match message.body {
        postroad_codec::v1_0::Body::Value(value) => value.as_str().expect("a text").to_owned(),
        other => panic!("{other:?} is no text"),
    }
}

/// Texts with numbers.
pub(crate) fn numbered(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|number| format!("m{number}"))
}

/// That a link was refused for a reason.
#[track_caller]
pub(crate) fn assert_refused(attached: Result<LinkId, Error>, condition: &ErrorCondition) {
    match attached {
        Err(error) => assert_eq!(error.condition, *condition, "{error}"),
        Ok(_) => panic!("attached, where {condition} was due"),
    }
}
