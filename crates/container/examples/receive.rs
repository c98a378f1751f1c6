//! Receives messages, each once where their ids count up, until there were so many; 0 goes on for ever.
//!
//! ```sh
//! cargo run -p postroad-container --example receive -- amqp://127.0.0.1:5672/examples 100
//! ```

use postroad_container::types::{MessageId, Value};
use postroad_container::{Container, Event, Handler};

pub(crate) struct Receive {
    pub(crate) url: String,
    pub(crate) expected: u64,
    pub(crate) received: u64,
    /// The id of the last one.
    last: u64,
}

impl Receive {
    pub(crate) fn new(url: impl Into<String>, expected: u64) -> Self {
        Self { url: url.into(), expected, received: 0, last: 0 }
    }
}

impl Handler for Receive {
    fn on_start(&mut self, event: &mut Event<'_>) {
        // The path of the URL is the source.
        event.container().create_receiver(&self.url);
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        let (Some(message), Some(receiver)) = (event.message(), event.receiver()) else { return };
        if let Some(&MessageId::Ulong(id)) = message.id() {
            if id <= self.last {
                // It was sent again: at least once may be twice.
                return;
            }
            self.last = id;
        }
        let text = message.text().map(str::to_owned);
        println!("{}", text.unwrap_or_else(|| format!("{:?}", message.value().unwrap_or(&Value::Null))));
        self.received += 1;
        if self.received == self.expected {
            receiver.close();
            receiver.connection().close();
        }
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        eprintln!("no connection: {:?}", event.error());
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "amqp://127.0.0.1:5672/examples".to_owned());
    let expected = args.next().map_or(Ok(100), |text| text.parse())?;
    Ok(Container::new(Receive::new(url, expected)).run().await?)
}
