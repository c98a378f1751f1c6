//! Takes all messages that are there, and ends: the node is asked for its messages now, or for the credit back.
//!
//! ```sh
//! cargo run -p postroad-container --example drain -- amqp://127.0.0.1:5672/examples
//! ```

use std::time::Duration;

use postroad_container::{Container, Event, Handler, Receiver, RunError, Settings};

/// Messages that are asked for at a time.
const AT_ONCE: u32 = 100;

pub(crate) struct Drain {
    pub(crate) url: String,
    pub(crate) taken: u64,
    /// Those of the round that goes on.
    round: u32,
    receiver: Option<Receiver>,
}

impl Drain {
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), taken: 0, round: 0, receiver: None }
    }

    fn ask(&mut self, event: &Event<'_>) {
        if let Some(receiver) = &self.receiver {
            self.round = 0;
            receiver.drain(AT_ONCE);
            event.container().schedule(Duration::from_millis(5));
        }
    }
}

impl Handler for Drain {
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.prefetch = 0;
        settings
    }

    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().create_receiver(&self.url);
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        if self.receiver.is_none() {
            self.receiver = event.receiver().cloned();
            self.ask(event);
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        println!("{}", event.message().and_then(|message| message.text()).unwrap_or_default());
        (self.taken, self.round) = (self.taken + 1, self.round + 1);
    }

    fn on_timer_task(&mut self, event: &mut Event<'_>) {
        let Some(receiver) = &self.receiver else { return };
        if receiver.is_draining() || receiver.queued() > 0 {
            event.container().schedule(Duration::from_millis(5));
        } else if self.round == AT_ONCE {
            // There may be more.
            self.ask(event);
        } else {
            println!("{} messages", self.taken);
            receiver.connection().close();
        }
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        eprintln!("no connection: {:?}", event.error());
        self.receiver = None;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), RunError> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "amqp://127.0.0.1:5672/examples".to_owned());
    Container::new(Drain::new(url)).run().await
}
