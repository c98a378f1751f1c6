//! What a guarantee costs: our own client at both ends of the embedded broker, each a process; and what the qpid.messaging face
//! costs above it.

use std::error::Error;
use std::time::Duration;

use postroad_client::{ConnectOptions, Connection, Guarantee, LinkOptions, Reconnect, Session};

use crate::measure::Report;
use crate::postroad::{FRAME, receive_all, send_all};

/// A guarantee, and whether the connection would be made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The name in the tables.
    pub name: &'static str,
    guarantee: Guarantee,
    reconnect: bool,
    /// Through a face, each message acknowledged.
    face: Option<Face>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    /// Send and fetch.
    Messaging,
    /// Handlers that are told of each message and of each outcome.
    Container,
}

/// The terms that are compared.
pub const ALL: [Terms; 6] = [
    Terms { name: "at-most-once", guarantee: Guarantee::AtMostOnce, reconnect: false, face: None },
    Terms { name: BASE, guarantee: Guarantee::AtLeastOnce, reconnect: false, face: None },
    Terms { name: "at-least-once-reconnect", guarantee: Guarantee::AtLeastOnce, reconnect: true, face: None },
    Terms { name: "exactly-once", guarantee: Guarantee::ExactlyOnce, reconnect: true, face: None },
    Terms { name: "qpid-messaging", guarantee: Guarantee::AtLeastOnce, reconnect: false, face: Some(Face::Messaging) },
    Terms { name: "container", guarantee: Guarantee::AtLeastOnce, reconnect: false, face: Some(Face::Container) },
];

/// What the ratios are to.
pub const BASE: &str = "at-least-once";

impl Terms {
    /// The terms of this name.
    ///
    /// # Errors
    /// When there are none: which there are.
    pub fn find(name: &str) -> Result<Self, String> {
        let found = ALL.into_iter().find(|terms| terms.name == name);
        found.ok_or_else(|| format!("there are {}", ALL.map(|terms| terms.name).join(", ")))
    }

    async fn connect(self, port: u16) -> Result<(Connection, Session, LinkOptions), Box<dyn Error>> {
        let mut options = ConnectOptions::new(format!("amqp://127.0.0.1:{port}").parse()?);
        options.max_frame_size = FRAME;
        options.reconnect = self.reconnect.then(Reconnect::default);
        let connection = Connection::open(options).await?;
        let session = connection.session().await?;
        let mut options = LinkOptions::default();
        options.guarantee = self.guarantee;
        Ok((connection, session, options))
    }
}

/// Receives and accepts `count` messages of `address` with `credit` at once, and looks whether they are all there, in
/// their order.
///
/// # Errors
/// When a message is missing, comes twice or has no content, and whatever else goes wrong.
pub async fn receive(
    terms: Terms,
    port: u16,
    count: u64,
    credit: u32,
    address: &str,
) -> Result<Report, Box<dyn Error>> {
    match terms.face {
        Some(Face::Messaging) => return face::receive(port, count, credit, address).await,
        Some(Face::Container) => return container::receive(port, count, credit, address).await,
        None => {}
    }
    let (connection, session, mut options) = terms.connect(port).await?;
    options.prefetch = credit;
    let mut receiver = session.receiver_with(address, options).await?;
    eprintln!("ready");
    let clocks = receive_all(&mut receiver, count, |id, message| match message.id() == Some(&id.into()) {
        true => Ok(()),
        false => Err(format!("message {:?} came where {id} was due", message.id()).into()),
    })
    .await?;
    // What is still to be told of the last messages belongs to their cost.
    receiver.close().await?;
    let report = clocks.report("recv", count);
    connection.close().await?;
    Ok(report)
}

/// Sends `count` messages of `size` bytes to `address`, and waits until all have their outcome.
///
/// # Errors
/// When one is not accepted, and whatever else goes wrong.
pub async fn send(terms: Terms, port: u16, count: u64, size: usize, address: &str) -> Result<Report, Box<dyn Error>> {
    match terms.face {
        Some(Face::Messaging) => return face::send(port, count, size, address).await,
        Some(Face::Container) => return container::send(port, count, size, address).await,
        None => {}
    }
    let (connection, session, options) = terms.connect(port).await?;
    let sender = session.sender_with(address, options).await?;
    let clocks = send_all(&sender, count, size).await?;
    sender.close().await?;
    let report = clocks.report("send", count);
    connection.close().await?;
    Ok(report)
}

/// The same by the names of qpid.messaging.
mod face {
    use std::error::Error;

    use postroad_client::types::{Body, Bytes};
    use postroad_messaging::{Connection, Message, ReceiverOptions, Session};

    use crate::measure::{Clocks, Report};
    use crate::postroad::FRAME;

    async fn connect(port: u16) -> Result<(Connection, Session), Box<dyn Error>> {
        let builder = Connection::new(&format!("amqp://127.0.0.1:{port}"))?.max_frame_size(FRAME);
        let connection = builder.open().await?;
        let session = connection.session().await?;
        Ok((connection, session))
    }

    pub(super) async fn receive(port: u16, count: u64, credit: u32, address: &str) -> Result<Report, Box<dyn Error>> {
        let (connection, session) = connect(port).await?;
        let receiver = session.receiver_with(address, ReceiverOptions::default().capacity(credit)).await?;
        eprintln!("ready");
        let mut clocks = None;
        for id in 0..count {
            let message = receiver.fetch().await?;
            clocks.get_or_insert_with(Clocks::start);
            if message.id() != Some(&id.into()) || message.bytes().is_none_or(Bytes::is_empty) {
                return Err(format!("message {:?} came where {id} was due", message.id()).into());
            }
            session.acknowledge(&message).await?;
        }
        receiver.close().await?;
        let report = clocks.ok_or("no message")?.report("recv", count);
        connection.close().await?;
        Ok(report)
    }

    pub(super) async fn send(port: u16, count: u64, size: usize, address: &str) -> Result<Report, Box<dyn Error>> {
        let (connection, session) = connect(port).await?;
        let sender = session.sender(address).await?;
        let body = Bytes::from(vec![b'x'; size]);
        let clocks = Clocks::start();
        for id in 0..count {
            let message = Message::from(Body::Data(body.clone())).with_id(id);
            sender.send_async(&message).await?;
        }
        sender.sync().await?;
        sender.close().await?;
        let report = clocks.report("send", count);
        connection.close().await?;
        Ok(report)
    }
}

/// The same by handlers.
mod container {
    use std::error::Error;
    use std::sync::{Arc, Mutex, PoisonError};

    use postroad_client::types::{Body, Bytes};
    use postroad_container::{ConnectOptions, Container, Event, EventError, Handler, Message, Settings};

    use crate::measure::{Clocks, Report};
    use crate::postroad::FRAME;

    /// How it went.
    type Outcome = Arc<Mutex<Option<Result<Report, String>>>>;

    fn connect(event: &Event<'_>, port: u16) -> postroad_container::Connection {
        let url = format!("amqp://127.0.0.1:{port}").parse().expect("it is a URL");
        let mut options = ConnectOptions::new(url);
        (options.max_frame_size, options.reconnect) = (FRAME, None);
        event.container().connect_with(options)
    }

    struct Receiving {
        port: u16,
        address: String,
        count: u64,
        credit: u32,
        seen: u64,
        clocks: Option<Clocks>,
        outcome: Outcome,
    }

    impl Handler for Receiving {
        fn settings(&self) -> Settings {
            let mut settings = Settings::default();
            settings.prefetch = self.credit;
            settings
        }

        fn on_start(&mut self, event: &mut Event<'_>) {
            connect(event, self.port).create_receiver(self.address.as_str());
        }

        fn on_link_opened(&mut self, _: &mut Event<'_>) {
            eprintln!("ready");
        }

        fn on_message(&mut self, event: &mut Event<'_>) {
            self.clocks.get_or_insert_with(Clocks::start);
            let message = event.message().expect("it is one's event");
            if message.id() != Some(&self.seen.into()) || message.bytes().is_none_or(Bytes::is_empty) {
                let why = format!("message {:?} came where {} was due", message.id(), self.seen);
                tell(&self.outcome, Err(why));
                event.container().stop();
            }
            self.seen += 1;
            if self.seen == self.count {
                event.receiver().expect("it is one's event").close();
            }
        }

        fn on_link_closed(&mut self, event: &mut Event<'_>) {
            if let Some(clocks) = self.clocks.take() {
                tell(&self.outcome, Ok(clocks.report("recv", self.count)));
            }
            event.connection().expect("it has one").close();
        }

        fn on_transport_error(&mut self, event: &mut Event<'_>) {
            failed(&self.outcome, event.error());
        }

        fn on_link_error(&mut self, event: &mut Event<'_>) {
            failed(&self.outcome, event.error());
            event.container().stop();
        }
    }

    struct Sending {
        port: u16,
        address: String,
        count: u64,
        body: Bytes,
        sent: u64,
        settled: u64,
        clocks: Option<Clocks>,
        outcome: Outcome,
    }

    impl Handler for Sending {
        fn on_start(&mut self, event: &mut Event<'_>) {
            connect(event, self.port).create_sender(self.address.as_str());
        }

        fn on_sendable(&mut self, event: &mut Event<'_>) {
            self.clocks.get_or_insert_with(Clocks::start);
            let sender = event.sender().expect("it is one's event");
            while self.sent < self.count {
                let message = Message::from(Body::Data(self.body.clone())).with_id(self.sent);
                if sender.send(&message).is_err() {
                    break;
                }
                self.sent += 1;
            }
        }

        fn on_settled(&mut self, event: &mut Event<'_>) {
            self.settled += 1;
            if self.settled == self.count {
                event.sender().expect("it is one's event").close();
            }
        }

        fn on_link_closed(&mut self, event: &mut Event<'_>) {
            if let Some(clocks) = self.clocks.take() {
                tell(&self.outcome, Ok(clocks.report("send", self.count)));
            }
            event.connection().expect("it has one").close();
        }

        fn on_transport_error(&mut self, event: &mut Event<'_>) {
            failed(&self.outcome, event.error());
        }

        fn on_link_error(&mut self, event: &mut Event<'_>) {
            failed(&self.outcome, event.error());
            event.container().stop();
        }
    }

    fn tell(outcome: &Outcome, result: Result<Report, String>) {
        outcome.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(result);
    }

    fn failed(outcome: &Outcome, error: Option<&EventError>) {
        tell(outcome, Err(error.map(ToString::to_string).unwrap_or_default()));
    }

    async fn run(handler: impl Handler + 'static, outcome: Outcome) -> Result<Report, Box<dyn Error>> {
        Container::new(handler).run().await?;
        let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(outcome.ok_or("no message")??)
    }

    pub(super) async fn receive(port: u16, count: u64, credit: u32, address: &str) -> Result<Report, Box<dyn Error>> {
        let (address, outcome) = (address.to_owned(), Outcome::default());
        let told = outcome.clone();
        run(Receiving { port, address, count, credit, seen: 0, clocks: None, outcome }, told).await
    }

    pub(super) async fn send(port: u16, count: u64, size: usize, address: &str) -> Result<Report, Box<dyn Error>> {
        let (address, outcome, body) = (address.to_owned(), Outcome::default(), Bytes::from(vec![b'x'; size]));
        let told = outcome.clone();
        run(Sending { port, address, count, body, sent: 0, settled: 0, clocks: None, outcome }, told).await
    }
}

/// The embedded broker on a thread of its own, with queues as they are asked for.
#[derive(Debug)]
pub struct Embedded {
    /// Where it listens on the loopback.
    pub port: u16,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Embedded {
    /// Starts it, with queues that hold so many messages: who sends waits then.
    ///
    /// # Errors
    /// Whatever keeps it from listening.
    pub fn start(queue_messages: usize) -> Result<Self, Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let builder = postroad_broker::Broker::builder().listen("amqp://127.0.0.1:0").auto_create(true);
        let builder = builder.with_limits(|limits| limits.queue_messages = queue_messages);
        let broker = runtime.block_on(builder.start())?;
        let port = broker.addr().ok_or("the broker listens nowhere")?.port();
        // It lives as long as the runtime.
        runtime.spawn(async move {
            let _broker = broker;
            std::future::pending::<()>().await;
        });
        Ok(Self { port, runtime: Some(runtime) })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_message_comes_on_all_terms() {
        let broker = tokio::task::spawn_blocking(|| Embedded::start(100).unwrap()).await.unwrap();
        for terms in ALL {
            let (port, address) = (broker.port, terms.name);
            let both = async {
                tokio::try_join!(send(terms, port, 300, 100, address), receive(terms, port, 300, 50, address))
            };
            let (sent, received) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap().unwrap();
            assert_eq!((sent.n, received.n), (300, 300), "{address}");
        }
        tokio::task::spawn_blocking(|| drop(broker)).await.unwrap();
    }
}
