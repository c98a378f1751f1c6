//! fe2o3-amqp as a bench peer: one connection, one link, at-least-once, on 127.0.0.1, on one thread.
//!
//!     fe2o3-bench-peer recv PORT COUNT CREDIT         listens, takes COUNT messages
//!     fe2o3-bench-peer send PORT COUNT SIZE CREDIT    connects, sends COUNT messages of one data section of SIZE bytes

#[path = "../../clocks.rs"]
mod clocks;

use std::env;
use std::error::Error;
use std::time::Duration;

use clocks::Clocks;
use fe2o3_amqp::acceptor::{ConnectionAcceptor, LinkAcceptor, LinkEndpoint, SaslAnonymousMechanism, SessionAcceptor};
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::types::messaging::{Body, Data, Message, Outcome, Properties};
use fe2o3_amqp::types::primitives::{Binary, Value};
use fe2o3_amqp::{Connection, Sender, Session};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::TcpListener;

const NAME: &str = "fe2o3-amqp";

const MAX_FRAME: u32 = 32_768;

/// How long the last answers may take to leave: closing waits for the peer's detach without a limit.
const PARTING: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().collect();
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<u64>().ok());
    match (arguments.get(1).map(String::as_str), number(2), number(3), number(4), number(5)) {
        (Some("recv"), Some(port), Some(count), Some(credit), None) => receive(port, count, credit as u32).await?,
        (Some("send"), Some(port), Some(count), Some(size), Some(credit)) => {
            send(port, count, size as usize, credit as usize).await?;
        }
        _ => return Err("usage: recv PORT COUNT CREDIT | send PORT COUNT SIZE CREDIT".into()),
    }
    tokio::time::sleep(PARTING).await;
    std::process::exit(0);
}

async fn receive(port: u64, count: u64, credit: u32) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    eprintln!("ready");
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let acceptor = ConnectionAcceptor::builder()
        .container_id("bench-fe2o3-recv")
        .max_frame_size(MAX_FRAME)
        .sasl_acceptor(SaslAnonymousMechanism {})
        .build();
    let mut connection = acceptor.accept(stream).await?;
    let mut session = SessionAcceptor::default().accept(&mut connection).await?;
    let LinkEndpoint::Receiver(mut receiver) = LinkAcceptor::new().accept(&mut session).await? else {
        return Err("the peer attached another link than a sender".into());
    };
    receiver.set_credit_mode(CreditMode::Auto(credit));
    receiver.set_credit(credit).await?;
    let mut clocks = None;
    for _ in 0..count {
        let delivery = receiver.recv::<Body<Value>>().await?;
        clocks.get_or_insert_with(Clocks::start);
        if !matches!(delivery.body(), Body::Data(_)) {
            return Err("a message has no data".into());
        }
        receiver.accept(&delivery).await?;
    }
    clocks.ok_or("no message")?.report(NAME, "recv", count);
    // What is dropped before the process ends would close, and wait.
    tokio::time::sleep(PARTING).await;
    Ok(())
}

async fn send(port: u64, count: u64, size: usize, window: usize) -> Result<(), Box<dyn Error>> {
    let mut connection = Connection::builder()
        .container_id("bench-fe2o3-send")
        .max_frame_size(MAX_FRAME)
        .sasl_profile(SaslProfile::Anonymous)
        .open(format!("amqp://127.0.0.1:{port}").as_str())
        .await?;
    let mut session = Session::begin(&mut connection).await?;
    let mut sender = Sender::attach(&mut session, "bench", "bench").await?;
    let body = vec![b'x'; size];
    let clocks = Clocks::start();
    let mut unsettled = FuturesUnordered::new();
    for id in 0..count {
        let properties = Properties::builder().message_id(id).build();
        let data = Body::<Value>::Data(vec![Data(Binary::from(body.clone()))].into());
        while unsettled.len() >= window {
            settled(unsettled.next().await)?;
        }
        unsettled.push(sender.send_batchable(Message::builder().properties(properties).body(data).build()).await?);
    }
    while let Some(outcome) = unsettled.next().await {
        settled(Some(outcome))?;
    }
    clocks.report(NAME, "send", count);
    Ok(())
}

fn settled<E: Error + 'static>(outcome: Option<Result<Outcome, E>>) -> Result<(), Box<dyn Error>> {
    match outcome.ok_or("no delivery")?? {
        Outcome::Accepted(_) => Ok(()),
        other => Err(format!("a message was not accepted: {other:?}").into()),
    }
}
