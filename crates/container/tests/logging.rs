//! What the log tells of handlers.

mod common;

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Log, run_all, script};
use postroad_container::Handler;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Takes down the events of the container, their fields beside each other.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("postroad_container")
    }
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

/// What the log has of a run with this handler. The runtime has one thread, which is this.
async fn logged(handler: impl Handler + 'static) -> Vec<String> {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let _ = run_all([Box::new(handler) as Box<dyn Handler>]).await;
    Vec::clone(&lines.0.lock().unwrap())
}

#[tokio::test]
async fn a_call_that_holds_up_its_container_is_told_in_a_debug_build() {
    let slow = logged(script(&Log::default(), |method, event| match method {
        "on_start" => drop(event.container().schedule(Duration::ZERO)),
        _ => std::thread::sleep(Duration::from_millis(120)),
    }));
    let mut slow = slow.await;
    // A busy machine may hold up any other call as well.
    slow.retain(|line| line.contains("on_timer_task"));
    assert_eq!(slow.len(), usize::from(cfg!(debug_assertions)), "{slow:?}");
    for line in slow {
        assert!(line.starts_with("WARN ") && line.contains("on_timer_task") && line.contains("holds up"), "{line}");
    }
}

#[tokio::test]
async fn a_call_that_panics_is_told() {
    let lines = logged(script(&Log::default(), |method, _| panic!("in {method}"))).await;
    let errors: Vec<&String> = lines.iter().filter(|line| line.starts_with("ERROR ")).collect();
    let [line] = &errors[..] else { panic!("{lines:?}") };
    assert!(line.starts_with("ERROR ") && line.contains("in on_start"), "{line}");
}
