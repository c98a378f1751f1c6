//! A moment that comes back, one that is given up, and one with a handler of its own. It needs no broker.
//!
//! ```sh
//! cargo run -p postroad-container --example schedule -- 100 5
//! ```

use std::time::Duration;

use postroad_container::{Container, Event, Handler, Timer};

pub(crate) struct Ticks {
    pub(crate) period: Duration,
    pub(crate) left: u32,
    alarm: Option<Timer>,
}

impl Ticks {
    pub(crate) fn new(period: Duration, left: u32) -> Self {
        Self { period, left, alarm: None }
    }
}

impl Handler for Ticks {
    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().schedule(self.period);
        event.container().schedule_for(self.period / 2, Once);
        self.alarm = Some(event.container().schedule(Duration::from_secs(3600)));
    }

    fn on_timer_task(&mut self, event: &mut Event<'_>) {
        self.left = self.left.saturating_sub(1);
        println!("tick, {} left", self.left);
        if self.left > 0 {
            event.container().schedule(self.period);
        } else if let Some(alarm) = self.alarm.take() {
            // The run ends once nothing can happen any more.
            event.container().cancel(alarm);
        }
    }
}

/// A handler of one moment.
struct Once;

impl Handler for Once {
    fn on_timer_task(&mut self, _: &mut Event<'_>) {
        println!("once");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let period = Duration::from_millis(args.next().map_or(Ok(100), |text| text.parse())?);
    let count = args.next().map_or(Ok(5), |text| text.parse())?;
    Ok(Container::new(Ticks::new(period, count)).run().await?)
}
