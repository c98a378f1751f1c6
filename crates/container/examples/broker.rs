//! A small broker of queues in memory, for clients of any kind.
//!
//! ```sh
//! cargo run -p postroad-container --example broker -- 127.0.0.1:5672
//! cargo run -p postroad-container --example broker -- 127.0.0.1:5672 users.txt
//! ```
//!
//! A queue is there as soon as somebody names its address, and gone once it has neither messages nor consumers; one that a
//! client had made for it (a dynamic node) goes with its consumer. Consumers of a queue take turns, as far as their credit
//! goes. What a consumer has not settled when it goes is given back, in its place, as an attempt that has failed. Senders may
//! send exactly once. The file has a `name:password` on each line; without one everybody may come.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::error::Error;

use postroad_container::client::sasl::UserFile;
use postroad_container::client::{Distribution, KeepLinks, LocalEndpoint};
use postroad_container::types::{ErrorCondition, PeerError};
use postroad_container::{
    AcceptOptions, Container, DeliveryTag, Event, Guarantee, Handler, Link, Message, Node, Opening, Outcome, Sender,
};

/// Queues, and messages in each of them: what comes on top is refused.
const QUEUES: usize = 10_000;
const MESSAGES: usize = 100_000;
/// Attempts to deliver a message; it is thrown away then.
const ATTEMPTS: u32 = 10;

#[derive(Default)]
pub(crate) struct Broker {
    options: Option<AcceptOptions>,
    queues: HashMap<String, Queue>,
    made: u64,
}

/// Messages by their number, which is their place.
#[derive(Default)]
struct Queue {
    ready: BTreeMap<u64, Message>,
    next: u64,
    /// The one whose turn it is comes first.
    consumers: VecDeque<Consumer>,
    /// Whether it goes with its consumer.
    dynamic: bool,
}

struct Consumer {
    sender: Sender,
    unsettled: HashMap<DeliveryTag, (u64, Message)>,
}

impl Broker {
    pub(crate) fn new(options: AcceptOptions) -> Self {
        Self { options: Some(options), ..Self::default() }
    }

    /// The address of a node that a client asks for, which is there from then on.
    fn address(&mut self, node: Option<Node>, consumes: bool) -> Result<Option<String>, PeerError> {
        let Some(node) = node else {
            return Err(PeerError::new(ErrorCondition::INVALID_FIELD, "a link needs a node"));
        };
        if node.dynamic {
            self.made += 1;
            let address = format!("dynamic-{}", self.made);
            self.queue(&address)?.dynamic = consumes;
            return Ok(Some(address));
        }
        if let Some(address) = &node.address {
            self.queue(address)?;
        }
        Ok(node.address)
    }

    fn queue(&mut self, address: &str) -> Result<&mut Queue, PeerError> {
        if self.queues.len() >= QUEUES && !self.queues.contains_key(address) {
            return Err(PeerError::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, "there are too many queues"));
        }
        Ok(self.queues.entry(address.to_owned()).or_default())
    }

    /// Answers a link: with the node that it is for.
    fn attach(&mut self, link: &Link, opening: &mut Opening) -> Result<(), PeerError> {
        let asked = if link.is_sender() { link.remote_source() } else { link.remote_target() };
        let copies = asked.as_ref().is_some_and(|node| node.distribution == Some(Distribution::Copy));
        if link.is_sender() && (copies || link.guarantee() == Guarantee::ExactlyOnce) {
            let what = "queues are not browsed, and consumed at least once";
            return Err(PeerError::new(ErrorCondition::NOT_IMPLEMENTED, what));
        }
        let dynamic = asked.as_ref().is_some_and(|node| node.dynamic);
        let address = self.address(asked, link.is_sender())?;
        match (link.is_sender(), address) {
            (_, Some(address)) => {
                let node = Node { dynamic, ..Node::at(address) };
                // Filters that are asked for are not in place: the answer has none.
                if link.is_sender() {
                    opening.set_source(node)
                } else {
                    opening.set_target(node)
                }
                Ok(())
            }
            // Its messages say where they go.
            (false, None) => Ok(()),
            (true, None) => Err(PeerError::new(ErrorCondition::INVALID_FIELD, "a source needs an address")),
        }
    }

    fn publish(&mut self, address: Option<&str>, message: Message) -> Result<(), PeerError> {
        let Some(address) = address else {
            return Err(PeerError::new(ErrorCondition::INVALID_FIELD, "the message has no address"));
        };
        let queue = self.queue(address)?;
        if queue.ready.len() >= MESSAGES {
            return Err(PeerError::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, "the queue is full"));
        }
        queue.ready.insert(queue.next, message);
        queue.next += 1;
        queue.dispatch();
        Ok(())
    }

    /// Something is known of a message that was sent, or never will be.
    fn settled(&mut self, event: &Event<'_>, outcome: &Outcome) {
        let (Some(sender), Some(delivery)) = (event.sender(), event.delivery()) else { return };
        for queue in self.queues.values_mut() {
            let Some(consumer) = queue.consumers.iter_mut().find(|consumer| consumer.sender == *sender) else {
                continue;
            };
            let Some((place, message)) = consumer.unsettled.remove(&delivery.tag()) else { return };
            queue.give_back(place, message, outcome);
            return queue.dispatch();
        }
    }

    /// Consumers are gone: what they have not settled is for others.
    fn unsubscribe(&mut self, gone: impl Fn(&Sender) -> bool) {
        for queue in self.queues.values_mut() {
            let (left, stay): (VecDeque<_>, _) = queue.consumers.drain(..).partition(|consumer| gone(&consumer.sender));
            queue.consumers = stay;
            for (place, message) in left.into_iter().flat_map(|consumer| consumer.unsettled.into_values()) {
                queue.give_back(place, message, &FAILED);
            }
            queue.dispatch();
        }
        self.queues.retain(|_, queue| !queue.consumers.is_empty() || !(queue.dynamic || queue.ready.is_empty()));
    }
}

/// What a consumer tells of a message that was not processed by the time it was gone.
const FAILED: Outcome = Outcome::Modified { delivery_failed: true, undeliverable_here: false, annotations: None };

impl Queue {
    /// Sends what there is to whoever has credit, by turns.
    fn dispatch(&mut self) {
        let mut without_credit = 0;
        while without_credit < self.consumers.len() {
            let Some((place, message)) = self.ready.pop_first() else { return };
            self.consumers.rotate_left(1);
            let Some(consumer) = self.consumers.back_mut() else { return };
            match consumer.sender.send(&message) {
                Ok(delivery) => {
                    // A sender that settles as it sends hears nothing of it any more.
                    if consumer.sender.guarantee() != Guarantee::AtMostOnce {
                        consumer.unsettled.insert(delivery.tag(), (place, message));
                    }
                    without_credit = 0;
                }
                Err(_) => {
                    self.ready.insert(place, message);
                    without_credit += 1;
                }
            }
        }
    }

    fn give_back(&mut self, place: u64, mut message: Message, outcome: &Outcome) {
        match outcome {
            Outcome::Released => {}
            Outcome::Modified { delivery_failed, undeliverable_here: false, .. } => {
                message.set_delivery_count(message.delivery_count().saturating_add(u32::from(*delivery_failed)));
                if message.delivery_count() >= ATTEMPTS {
                    return eprintln!("{:?} was tried too often", message.id());
                }
            }
            _ => return,
        }
        self.ready.insert(place, message);
    }
}

impl Handler for Broker {
    fn on_start(&mut self, event: &mut Event<'_>) {
        if let Some(options) = self.options.take() {
            event.container().listen_with(options);
        }
    }

    fn on_listening(&mut self, event: &mut Event<'_>) {
        println!("listening on {:?}", event.acceptor().and_then(|acceptor| acceptor.local_endpoint()));
    }

    fn on_link_opening(&mut self, event: &mut Event<'_>) {
        let Some(link) = event.link().cloned() else { return };
        let Some(opening) = event.opening() else { return };
        if let Err(error) = self.attach(&link, opening) {
            opening.refuse(error);
        }
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        let Some(sender) = event.sender() else { return };
        if let Some(queue) = sender.source().and_then(|node| self.queues.get_mut(&node.address?)) {
            queue.consumers.push_front(Consumer { sender: sender.clone(), unsettled: HashMap::new() });
        }
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        let node = event.sender().and_then(Sender::source);
        if let Some(queue) = node.and_then(|node| self.queues.get_mut(&node.address?)) {
            queue.dispatch();
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        let address = event.receiver().and_then(|receiver| receiver.target()?.address);
        let (Some(delivery), Some(message)) = (event.delivery(), event.take_message()) else { return };
        let address = address.or_else(|| message.address().map(str::to_owned));
        if let Err(error) = self.publish(address.as_deref(), message) {
            // Otherwise it is accepted behind this call.
            let _ = delivery.reject(Some(error));
        }
    }

    fn on_accepted(&mut self, event: &mut Event<'_>) {
        self.settled(event, &Outcome::Accepted);
    }

    fn on_rejected(&mut self, event: &mut Event<'_>) {
        self.settled(event, &Outcome::Rejected(None));
    }

    fn on_released(&mut self, event: &mut Event<'_>) {
        self.settled(event, &Outcome::Released);
    }

    fn on_modified(&mut self, event: &mut Event<'_>) {
        if let Some(outcome) = event.delivery().and_then(|delivery| delivery.remote_state()) {
            self.settled(event, &outcome);
        }
    }

    fn on_in_doubt(&mut self, event: &mut Event<'_>) {
        self.settled(event, &FAILED);
    }

    fn on_link_closed(&mut self, event: &mut Event<'_>) {
        if let Some(closed) = event.sender() {
            self.unsubscribe(|sender| sender == closed);
        }
    }

    fn on_session_closed(&mut self, event: &mut Event<'_>) {
        self.unsubscribe(|sender| Some(sender.session()) == event.session());
    }

    fn on_connection_closed(&mut self, event: &mut Event<'_>) {
        self.unsubscribe(|sender| Some(sender.connection()) == event.connection());
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        if let Some(error) = event.error() {
            eprintln!("{error}");
        }
        self.unsubscribe(|sender| Some(sender.connection()) == event.connection());
    }
}

/// Who may come, and where.
pub(crate) fn options(address: &str, users: Option<&str>) -> Result<AcceptOptions, Box<dyn Error>> {
    let (host, port) = address.rsplit_once(':').ok_or("the address is HOST:PORT")?;
    let mut options = AcceptOptions::new(LocalEndpoint::host(host).port(port.parse()?));
    options.offered_capabilities.push("ANONYMOUS-RELAY".to_owned());
    // What a client has sent exactly once is known when it comes back.
    options.keep_links = Some(KeepLinks::default());
    if let Some(users) = users {
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        seed[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        options.sasl.users = Some(std::sync::Arc::new(UserFile::parse(users, seed)?));
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:5672".to_owned());
    let users = args.next().map(std::fs::read_to_string).transpose()?;
    let broker = Broker::new(options(&address, users.as_deref())?);
    Ok(Container::new(broker).run().await?)
}
