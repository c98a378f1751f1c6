//! Takes messages, works on each for a while, and accepts it then: a message that nobody has accepted goes to somebody else.
//!
//! ```sh
//! cargo run -p postroad-container --example delayed_settle -- amqp://127.0.0.1:5672/examples 5
//! ```

use std::collections::HashMap;
use std::time::Duration;

use postroad_container::{Container, Delivery, Event, Handler, Settings, Timer};

pub(crate) struct Worker {
    pub(crate) url: String,
    pub(crate) jobs: usize,
    /// What is being worked on, by the moment at which it is done.
    working: HashMap<Timer, Delivery>,
}

impl Worker {
    pub(crate) fn new(url: impl Into<String>, jobs: usize) -> Self {
        Self { url: url.into(), jobs, working: HashMap::new() }
    }
}

impl Handler for Worker {
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.auto_accept = false;
        settings
    }

    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().create_receiver(&self.url);
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        // The handler must not wait itself: it would hold up everything else.
        if let Some(delivery) = event.delivery() {
            let done = event.container().schedule(Duration::from_millis(50));
            self.working.insert(done, delivery);
        }
    }

    fn on_timer_task(&mut self, event: &mut Event<'_>) {
        let Some(delivery) = event.timer().and_then(|timer| self.working.remove(&timer)) else { return };
        match delivery.accept() {
            Ok(()) => self.jobs = self.jobs.saturating_sub(1),
            // The connection was lost meanwhile, say: the message comes again.
            Err(error) => eprintln!("not accepted: {error}"),
        }
        if self.jobs == 0 {
            println!("done");
            delivery.connection().close();
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
    let jobs = args.next().map_or(Ok(5), |text| text.parse())?;
    Ok(Container::new(Worker::new(url, jobs)).run().await?)
}
