//! Frames as events of `tracing`.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex};

use postroad_broker::Broker;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::client::Client;

/// Takes down the frames, and has no use for anything else.
#[derive(Debug, Clone, Default)]
struct Frames(Arc<Mutex<Vec<String>>>);

impl Subscriber for Frames {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "postroad::frame"
    }
    fn event(&self, event: &Event<'_>) {
        event.record(&mut Line(&self.0));
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line<'a>(&'a Mutex<Vec<String>>);

impl Visit for Line<'_> {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        self.0.lock().unwrap().push(fmt::format(format_args!("{value:?}")));
    }
}

#[tokio::test]
async fn a_subscriber_gets_the_frames() {
    let frames = Frames::default();
    // The connections of this test's runtime, which has one thread, and no others.
    let _guard = tracing::subscriber::set_default(frames.clone());
    let broker: Broker = crate::broker().await;
    let mut client = Client::connect(&broker).await;
    client.sender("q0").await.unwrap();
    let lines = frames.0.lock().unwrap().clone();
    for text in
        ["AMQP:FRAME:  <- AMQP", "AMQP:FRAME:0 <- @open(16) [container-id=", "AMQP:FRAME:0 -> @attach(18) [name="]
    {
        assert!(lines.iter().any(|line| line.contains(text)), "no {text:?} in {lines:?}");
    }
}
