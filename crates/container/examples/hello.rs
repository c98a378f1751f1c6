//! Hello World: one message to a node and back, over one connection.
//!
//! ```sh
//! cargo run -p postroad-container --example broker &
//! cargo run -p postroad-container --example hello -- amqp://127.0.0.1:5672 examples
//! ```

use postroad_container::{Container, Event, Handler, RunError};

pub(crate) struct Hello {
    pub(crate) url: String,
    pub(crate) address: String,
}

impl Handler for Hello {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = event.container().connect(&self.url);
        connection.create_receiver(self.address.as_str());
        connection.create_sender(self.address.as_str());
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if let Some(sender) = event.sender() {
            if let Err(error) = sender.send("Hello World!") {
                eprintln!("not sent: {error}");
            }
            sender.close();
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
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "amqp://127.0.0.1:5672".to_owned());
    let address = args.next().unwrap_or_else(|| "examples".to_owned());
    Container::new(Hello { url, address }).run().await
}
