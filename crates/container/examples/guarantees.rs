//! Sends one message by each of the three guarantees, and tells what is heard of it.
//!
//! ```sh
//! cargo run -p postroad-container --example guarantees -- amqp://127.0.0.1:5672/examples
//! ```
//!
//! | guarantee | settled by | heard of |
//! |---|---|---|
//! | at most once | the sender, as it sends | nothing |
//! | at least once | the receiver, with the outcome | `on_accepted`, `on_settled` |
//! | exactly once | the sender, once it has heard the outcome | `on_accepted` |
//!
//! A peer that does not keep its side of exactly once has the link not attached: `on_link_error`.

use postroad_container::{Container, Event, Guarantee, Handler, LinkOptions, RunError};

const ALL: [Guarantee; 3] = [Guarantee::AtMostOnce, Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];

pub(crate) struct Guarantees {
    pub(crate) url: String,
    pub(crate) address: String,
    sent: Vec<Guarantee>,
    done: usize,
}

impl Guarantees {
    pub(crate) fn new(url: impl Into<String>, address: &str) -> Self {
        Self { url: url.into(), address: address.to_owned(), sent: Vec::new(), done: 0 }
    }

    /// All has happened to one link that is to happen.
    fn done(&mut self, event: &Event<'_>) {
        self.done += 1;
        if let Some(connection) = event.connection().filter(|_| self.done == ALL.len()) {
            connection.close();
        }
    }

    fn tell(event: &Event<'_>, what: &str) {
        if let Some(sender) = event.sender() {
            println!("{}: {what}", sender.guarantee());
        }
    }
}

impl Handler for Guarantees {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = event.container().connect(&self.url);
        for guarantee in ALL {
            connection.create_sender_with(LinkOptions::new().target(self.address.as_str()).guarantee(guarantee));
        }
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        let Some(sender) = event.sender().filter(|sender| !self.sent.contains(&sender.guarantee())) else { return };
        if let Err(error) = sender.send(format!("sent {}", sender.guarantee())) {
            return eprintln!("not sent: {error}");
        }
        Self::tell(event, "sent");
        self.sent.push(sender.guarantee());
        if sender.guarantee() == Guarantee::AtMostOnce {
            sender.close();
        }
    }

    fn on_accepted(&mut self, event: &mut Event<'_>) {
        Self::tell(event, "accepted");
        if let Some(sender) = event.sender() {
            sender.close();
        }
    }

    fn on_settled(&mut self, event: &mut Event<'_>) {
        Self::tell(event, "settled by the receiver");
    }

    fn on_in_doubt(&mut self, event: &mut Event<'_>) {
        Self::tell(event, "nobody knows");
    }

    fn on_link_error(&mut self, event: &mut Event<'_>) {
        eprintln!("{:?}", event.error());
    }

    fn on_link_closed(&mut self, event: &mut Event<'_>) {
        Self::tell(event, "closed");
        self.done(event);
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        eprintln!("no connection: {:?}", event.error());
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), RunError> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "amqp://127.0.0.1:5672".to_owned());
    let address = args.next().unwrap_or_else(|| "examples".to_owned());
    Container::new(Guarantees::new(url, &address)).run().await
}
