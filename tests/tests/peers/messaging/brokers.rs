//! The brokers, and what is known of them: docs/protocol/peers.md has the rows.

use postroad_tests::peers::{self, ExampleBroker, Skipped};

/// A broker that runs.
pub(super) struct Broker {
    port: u16,
    /// The text of an address for a queue of this name.
    pub(super) queue: fn(&str) -> String,
    /// Whether a message without properties comes with a subject.
    pub(super) adds_subject: bool,
    /// Whether what was sent and not settled comes again when its session closes.
    pub(super) gives_back: bool,
    /// Whether more messages come than were asked for while credit is renewed.
    pub(super) overdraws: bool,
    /// Whether one receiver without credit keeps the others of its queue waiting.
    pub(super) one_at_a_time: bool,
    /// Whether application properties may be lists and maps, which part 3, 3.2.5 of the standard forbids.
    pub(super) any_properties: bool,
    /// Kept as long as this.
    _example: Option<ExampleBroker>,
}

impl Broker {
    /// Without a user: both take anybody.
    pub(super) fn url(&self) -> String {
        format!("amqp://127.0.0.1:{}", self.port)
    }
}

pub(super) fn rabbitmq() -> Result<Broker, Skipped> {
    let port = peers::rabbitmq()?.port();
    // What stands behind a slash is a subject, but for a name in quotes.
    let queue = |name: &str| format!("'/queue/{name}'");
    Ok(Broker {
        port,
        queue,
        adds_subject: true,
        gives_back: true,
        overdraws: true,
        one_at_a_time: false,
        any_properties: true,
        _example: None,
    })
}

pub(super) fn example_broker() -> Result<Broker, Skipped> {
    let broker = ExampleBroker::start()?;
    Ok(Broker {
        port: broker.port(),
        queue: str::to_owned,
        adds_subject: false,
        gives_back: false,
        overdraws: false,
        one_at_a_time: true,
        any_properties: false,
        _example: Some(broker),
    })
}
