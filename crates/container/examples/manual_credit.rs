//! Takes messages in pairs: the second pair is asked for once the first was handled.
//!
//! ```sh
//! cargo run -p postroad-container --example manual_credit -- amqp://127.0.0.1:5672/examples 6
//! ```

use postroad_container::{Container, Event, Handler, Settings};

const PAIR: u32 = 2;

pub(crate) struct Pairs {
    pub(crate) url: String,
    pub(crate) left: u32,
}

impl Handler for Pairs {
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        // Nothing comes by itself.
        settings.prefetch = 0;
        settings
    }

    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().create_receiver(&self.url);
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        // Credit that is left of a connection that was lost is granted again by itself.
        if let Some(receiver) = event.receiver().filter(|receiver| receiver.credit() == 0) {
            receiver.flow(PAIR.min(self.left));
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        let Some(receiver) = event.receiver() else { return };
        println!("{}", event.message().and_then(|message| message.text()).unwrap_or_default());
        self.left -= 1;
        if self.left == 0 {
            receiver.connection().close();
        } else if receiver.credit() == 0 && receiver.queued() == 0 {
            receiver.flow(PAIR.min(self.left));
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
    let left = args.next().map_or(Ok(6), |text| text.parse())?;
    Ok(Container::new(Pairs { url, left }).run().await?)
}
