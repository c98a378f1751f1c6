//! Has the peer make a node, which lives as long as its link does, and sends a message there.
//!
//! ```sh
//! cargo run -p postroad-container --example dynamic -- amqp://127.0.0.1:5672
//! ```

use postroad_container::{Container, Event, Handler, LinkOptions, RunError};

pub(crate) struct Dynamic {
    pub(crate) url: String,
    pub(crate) sent: bool,
}

impl Handler for Dynamic {
    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().connect(&self.url).create_receiver_with(LinkOptions::new().dynamic());
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        // The address is in the peer's answer; it is another one whenever the connection was made anew.
        let Some(address) = event.receiver().and_then(|receiver| receiver.remote_source()?.address) else { return };
        println!("at {address}");
        if let Some(session) = event.session() {
            session.create_sender(address.as_str());
        }
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if let Some(sender) = event.sender().filter(|_| !self.sent) {
            match sender.send("found") {
                Ok(_) => self.sent = true,
                Err(error) => eprintln!("not sent: {error}"),
            }
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        println!("{}", event.message().and_then(|message| message.text()).unwrap_or_default());
        if let Some(connection) = event.connection() {
            connection.close();
        }
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        eprintln!("no connection: {:?}", event.error());
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), RunError> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "amqp://127.0.0.1:5672".to_owned());
    Container::new(Dynamic { url, sent: false }).run().await
}
