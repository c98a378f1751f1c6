//! ntex-amqp as a bench peer: one connection, one link, at-least-once, on 127.0.0.1.
//!
//!     ntex-bench-peer recv PORT COUNT CREDIT         listens, takes COUNT messages
//!     ntex-bench-peer send PORT COUNT SIZE CREDIT    connects, sends COUNT messages of one data section of SIZE bytes
//!
//! Its first grant of credit is always 50, the library's own; from then on it is CREDIT, renewed at half.

#[path = "../../clocks.rs"]
mod clocks;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::env;
use std::error::Error;
use std::future::ready;
use std::rc::Rc;
use std::time::Duration;

use clocks::Clocks;
use ntex::service::{ServiceFactory as _, fn_service};
use ntex::util::Bytes;
use ntex::{SharedCfg, rt, time};
use ntex_amqp::codec::Message;
use ntex_amqp::codec::protocol::{Accepted, DeliveryState, Error as AmqpError, MessageId, SaslCode};
use ntex_amqp::types::Message as Incoming;
use ntex_amqp::{AmqpServiceConfig, ControlFrame, ControlFrameKind, Delivery, client, server};

const NAME: &str = "ntex-amqp";

const MAX_FRAME: u32 = 32_768;

#[ntex::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().collect();
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<u64>().ok());
    match (arguments.get(1).map(String::as_str), number(2), number(3), number(4), number(5)) {
        (Some("recv"), Some(port), Some(count), Some(credit), None) => receive(port, count, credit as u32).await,
        (Some("send"), Some(port), Some(count), Some(size), Some(credit)) => {
            send(port, count, size as usize, credit as usize).await
        }
        _ => Err("usage: recv PORT COUNT CREDIT | send PORT COUNT SIZE CREDIT".into()),
    }
}

fn config() -> SharedCfg {
    SharedCfg::new("bench")
        .add(AmqpServiceConfig::new().set_max_frame_size(MAX_FRAME).set_container_id("bench-ntex"))
        .into()
}

/// The receiving end, on the one worker of the server.
struct Receiving {
    count: u64,
    credit: u32,
    received: u64,
    /// Messages since credit was renewed, and how many are let pass before it is again.
    taken: u32,
    renew_at: u32,
    clocks: Option<Clocks>,
}

impl Receiving {
    fn take(&mut self, incoming: &Incoming) {
        let Incoming::Transfer(link) = incoming else { return };
        while let Some((mut delivery, transfer)) = link.get_delivery() {
            self.clocks.get_or_insert_with(Clocks::start);
            let message: Message = transfer.load_message().expect("a message");
            assert!(message.body().data().is_some_and(|data| !data.is_empty()), "a message has no body");
            delivery.settle(DeliveryState::Accepted(Accepted {}));
            self.received += 1;
            self.taken += 1;
            if self.taken >= self.renew_at {
                // On the wire this is all the credit there is, not an increment.
                link.set_link_credit(self.credit);
                (self.taken, self.renew_at) = (0, self.credit / 2);
            }
            if self.received == self.count {
                let clocks = self.clocks.as_ref().expect("a message came");
                clocks.report(NAME, "recv", self.count);
            }
        }
    }
}

async fn receive(port: u64, count: u64, credit: u32) -> Result<(), Box<dyn Error>> {
    let server = ntex::server::Server::builder()
        .bind("amqp", format!("127.0.0.1:{port}"), async move |_| {
            let receiving = Receiving { count, credit, received: 0, taken: 0, renew_at: 25, clocks: None };
            let receiving = Rc::new(RefCell::new(receiving));
            server::Server::build(|handshake: server::Handshake| async move {
                open(handshake).await.map_err(|error| eprintln!("handshake: {error}"))
            })
            .control(|frame: ControlFrame| {
                // The sender hears of every settlement and closes.
                if matches!(frame.kind(), ControlFrameKind::Closed | ControlFrameKind::Disconnected(_)) {
                    rt::spawn(async {
                        time::sleep(Duration::from_millis(20)).await;
                        std::process::exit(0);
                    });
                }
                ready(Ok::<_, AmqpError>(()))
            })
            .finish(fn_service(move |incoming: Incoming| {
                receiving.borrow_mut().take(&incoming);
                ready(Ok::<_, AmqpError>(()))
            }))
        })?
        .config("amqp", config())
        .workers(1)
        .run();
    eprintln!("ready");
    server.await?;
    Ok(())
}

async fn open(handshake: server::Handshake) -> Result<server::HandshakeAck<()>, server::HandshakeError> {
    let opened = match handshake {
        server::Handshake::Amqp(plain) => plain.open().await?,
        server::Handshake::Sasl(sasl) => {
            let init = sasl.mechanism("ANONYMOUS").init().await?;
            init.outcome(SaslCode::Ok).await?.open().await?
        }
    };
    Ok(opened.ack(()))
}

async fn send(port: u64, count: u64, size: usize, window: usize) -> Result<(), Box<dyn Error>> {
    let connector = client::Connector::new().pipeline(config()).await.map_err(|_| "no connector")?;
    let client = connector.call(client::Connect::new(format!("127.0.0.1:{port}"))).await?;
    let sink = client.sink();
    rt::spawn(async move {
        // How it ends shows in the link.
        let _ = client.start_default().await;
    });
    let session = sink.open_session().await?;
    let link = session.build_sender_link("bench", "bench").attach().await?;
    let body = Bytes::from(vec![b'x'; size]);
    let clocks = Clocks::start();
    let mut unsettled = VecDeque::new();
    for id in 0..count {
        if unsettled.len() >= window {
            settled(unsettled.pop_front()).await?;
        }
        let mut message = Message::with_body(body.clone());
        message.set_properties(|properties| properties.message_id = Some(MessageId::Ulong(id)));
        unsettled.push_back(link.transfer(message).send().await?);
    }
    while !unsettled.is_empty() {
        settled(unsettled.pop_front()).await?;
    }
    clocks.report(NAME, "send", count);
    let _ = sink.close().await;
    Ok(())
}

/// Waits until a message is accepted.
async fn settled(delivery: Option<Delivery>) -> Result<(), Box<dyn Error>> {
    match delivery.ok_or("no delivery")?.wait().await? {
        Some(DeliveryState::Accepted(_)) => Ok(()),
        other => Err(format!("a message was not accepted: {other:?}").into()),
    }
}
