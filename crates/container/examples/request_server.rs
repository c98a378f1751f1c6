//! A service that clients connect to: it answers each request in upper case, at a node that it makes for whoever asks for one.
//!
//! ```sh
//! cargo run -p postroad-container --example request_server -- amqp://127.0.0.1:5673
//! ```

use std::collections::HashMap;

use postroad_container::types::{ErrorCondition, PeerError};
use postroad_container::{Container, Event, Handler, Link, Node, RunError, Sender};

pub(crate) struct Server {
    pub(crate) url: String,
    /// The links that answers go over, by the address that was made for each.
    replies: HashMap<String, Sender>,
    made: u64,
}

impl Server {
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), replies: HashMap::new(), made: 0 }
    }

    /// Forgets addresses that nobody listens at any more.
    fn forget(&mut self, gone: impl Fn(&Sender) -> bool) {
        self.replies.retain(|_, sender| !gone(sender));
    }
}

impl Handler for Server {
    fn on_start(&mut self, event: &mut Event<'_>) {
        event.container().listen(&self.url);
    }

    fn on_listening(&mut self, event: &mut Event<'_>) {
        println!("listening on {:?}", event.acceptor().and_then(|acceptor| acceptor.local_endpoint()));
    }

    fn on_link_opening(&mut self, event: &mut Event<'_>) {
        let Some(link) = event.link().cloned() else { return };
        let Some(opening) = event.opening() else { return };
        // Requests are taken at any address.
        let Link::Sender(sender) = link else { return };
        if sender.remote_source().is_some_and(|source| source.dynamic) {
            self.made += 1;
            let address = format!("replies-{}", self.made);
            opening.set_source(Node { dynamic: true, ..Node::at(address.as_str()) });
            self.replies.insert(address, sender);
        } else {
            opening.refuse(PeerError::new(ErrorCondition::NOT_FOUND, "ask for a dynamic source"));
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        let Some(request) = event.message() else { return };
        let mut answer = request.reply();
        answer.set_body(request.text().unwrap_or_default().to_uppercase());
        // A client that allows no answers gets none: nothing is kept for it.
        let sent = answer.address().and_then(|address| self.replies.get(address)).map(|replies| replies.send(&answer));
        if !matches!(sent, Some(Ok(_))) {
            eprintln!("no answer to {:?}: {sent:?}", request.reply_to());
        }
    }

    fn on_link_closed(&mut self, event: &mut Event<'_>) {
        if let Some(closed) = event.sender() {
            self.forget(|sender| sender == closed);
        }
    }

    fn on_session_closed(&mut self, event: &mut Event<'_>) {
        self.forget(|sender| Some(sender.session()) == event.session());
    }

    fn on_connection_closed(&mut self, event: &mut Event<'_>) {
        self.forget(|sender| Some(sender.connection()) == event.connection());
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        eprintln!("{:?}", event.error());
        self.forget(|sender| Some(sender.connection()) == event.connection());
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), RunError> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "amqp://127.0.0.1:5673".to_owned());
    Container::new(Server::new(url)).run().await
}
