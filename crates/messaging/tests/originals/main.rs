//! The tests of the original's Python client that tell what the API does, over AMQP 1.0, under the names that they have there.
//!
//! Where the original asks a broker by the commands of AMQP 0-10, what counts is the behaviour that a program sees.

mod address;
mod connection;
mod message;
mod new_api;
mod receiver;
mod sender;
mod session;
mod timeout;

use std::time::Duration;

use postroad_broker::Broker;
use postroad_messaging::{Connection, Message, MessageExt as _, Receiver, SendError, Session};

/// No test waits longer than this for anything that should come.
const PATIENCE: Duration = Duration::from_secs(10);

/// At once, if at all.
const NOW: Duration = Duration::ZERO;

/// A broker, a connection to it and a session, as every test of the original has them.
struct Base {
    broker: Broker,
    conn: Connection,
    ssn: Session,
}

async fn base() -> Base {
    let broker = Broker::builder().listen("amqp://127.0.0.1:0").start().await.unwrap();
    let conn = Connection::establish(&broker.urls()[0]).await.unwrap();
    let ssn = conn.session().await.unwrap();
    Base { broker, conn, ssn }
}

/// Sends a message to a queue of its own and takes it again.
async fn ping(ssn: &Session) -> Result<(), SendError> {
    const PING_Q: &str = "ping-queue; {create: always, delete: always}";
    let sender = ssn.sender(PING_Q).await.unwrap();
    sender.send("ping").await?;
    let receiver = ssn.receiver(PING_Q).await.unwrap();
    let message = receiver.fetch_timeout(NOW).await.unwrap();
    assert_eq!(message.text(), Some("ping"));
    ssn.acknowledge_all().await.unwrap();
    Ok(())
}

/// Fetches what there is.
async fn drain(rcv: &Receiver) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Ok(message) = rcv.fetch_timeout(NOW).await {
        messages.push(message);
    }
    messages
}

async fn drain_texts(rcv: &Receiver) -> Vec<String> {
    let messages = drain(rcv).await;
    messages.iter().map(|message| message.text().unwrap().to_owned()).collect()
}

/// Waits until `done` answers `true`.
async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let tries = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, tries).await.unwrap_or_else(|_| panic!("{what}: not in time"));
}

/// Compares everything that a message says of itself; its time to live may have run.
#[track_caller]
fn assert_echo(message: &Message, echo: &Message) {
    assert_eq!(message.id(), echo.id());
    assert_eq!(message.subject(), echo.subject());
    assert_eq!(message.user_id(), echo.user_id());
    assert_eq!(message.reply_address(), echo.reply_address());
    assert_eq!(message.correlation_id(), echo.correlation_id());
    assert_eq!(message.durable(), echo.durable());
    assert_eq!(message.priority(), echo.priority());
    assert_eq!(message.redelivered(), echo.redelivered());
    assert_eq!(message.inferred_content_type(), echo.inferred_content_type());
    assert_eq!(message.content(), echo.content());
    assert_eq!(message.properties(), echo.properties());
    assert_eq!(message.ttl().is_some(), echo.ttl().is_some());
    assert!(message.ttl() >= echo.ttl(), "{:?} {:?}", message.ttl(), echo.ttl());
}
