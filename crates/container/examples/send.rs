//! Sends numbered messages as fast as there is credit, and waits until each has its outcome.
//!
//! ```sh
//! cargo run -p postroad-container --example send -- amqp://127.0.0.1:5672/examples 100
//! ```

use postroad_container::types::Map;
use postroad_container::{Container, Event, Handler, Message};

pub(crate) struct Send {
    pub(crate) url: String,
    pub(crate) total: u64,
    pub(crate) sent: u64,
    pub(crate) confirmed: u64,
}

impl Send {
    pub(crate) fn new(url: impl Into<String>, total: u64) -> Self {
        Self { url: url.into(), total, sent: 0, confirmed: 0 }
    }

    /// One message more has its outcome.
    fn settled(&mut self, event: &Event<'_>) {
        self.confirmed += 1;
        if let Some(connection) = event.connection().filter(|_| self.confirmed == self.total) {
            println!("all messages confirmed");
            connection.close();
        }
    }
}

impl Handler for Send {
    fn on_start(&mut self, event: &mut Event<'_>) {
        // The path of the URL is the target.
        event.container().create_sender(&self.url);
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        let Some(sender) = event.sender() else { return };
        while sender.credit() > 0 && self.sent < self.total {
            let number = self.sent + 1;
            let message = Message::from(Map::from_iter([("sequence", number)])).with_id(number);
            if let Err(error) = sender.send(&message) {
                // It is tried again once there is credit.
                eprintln!("{number} not sent: {error}");
                return;
            }
            self.sent = number;
        }
    }

    fn on_accepted(&mut self, event: &mut Event<'_>) {
        self.settled(event);
    }

    fn on_rejected(&mut self, event: &mut Event<'_>) {
        eprintln!("rejected: {:?}", event.delivery().and_then(|delivery| delivery.remote_state()));
        self.settled(event);
    }

    fn on_released(&mut self, event: &mut Event<'_>) {
        eprintln!("given back");
        self.settled(event);
    }

    fn on_disconnected(&mut self, _: &mut Event<'_>) {
        // What has no outcome yet is sent again as soon as there is a connection.
        eprintln!("disconnected");
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        eprintln!("no connection: {:?}", event.error());
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "amqp://127.0.0.1:5672/examples".to_owned());
    let total = args.next().map_or(Ok(100), |text| text.parse())?;
    Ok(Container::new(Send::new(url, total)).run().await?)
}
