//! The Proton face: a container, handlers of what happens to it, and links and deliveries that those act on.
//!
//! ```no_run
//! use postroad_container::{Container, Event, Handler};
//!
//! struct Hello;
//!
//! impl Handler for Hello {
//!     fn on_start(&mut self, event: &mut Event<'_>) {
//!         let connection = event.container().connect("amqp://localhost");
//!         connection.create_receiver("examples");
//!         connection.create_sender("examples");
//!     }
//!
//!     fn on_sendable(&mut self, event: &mut Event<'_>) {
//!         let sender = event.sender().expect("it is one's event");
//!         sender.send("Hello World!").expect("there is credit");
//!         sender.close();
//!     }
//!
//!     fn on_message(&mut self, event: &mut Event<'_>) {
//!         println!("{:?}", event.message().and_then(|message| message.text()));
//!         event.connection().expect("it has one").close();
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! Container::new(Hello).run().await?;
//! # Ok(())
//! # }
//! ```

mod acceptor;
mod closing;
mod connection;
mod container;
mod delivery;
mod ends;
mod error;
mod event;
mod handler;
mod home;
mod link;
mod opening;
mod options;
mod parts;
mod reactor;
mod receiver;
mod requester;
mod sender;
mod session;
mod tokens;
mod transaction;
mod transport;

pub use acceptor::Acceptor;
pub use connection::Connection;
pub use container::{Container, Timer};
pub use delivery::Delivery;
pub use error::{EventError, RunError};
pub use event::{Event, Subject};
pub use handler::{Handler, Settings};
pub use link::Link;
pub use opening::Opening;
pub use options::LinkOptions;
pub use postroad_client as client;
pub use postroad_client::types::DeliveryTag;
pub use postroad_client::{
    AcceptError, AcceptOptions, AttachError, CbsError, ConnectError, ConnectOptions, ConnectionError, Distribution,
    EndpointState, EndpointStates, Expiry, Guarantee, LinkError, Message, Node, Outcome, ReceiveError, Reconnect,
    RedirectError, RequestError, SendError, TlsConfig, ToSend, TransactionError, types,
};
pub use receiver::Receiver;
pub use requester::Requester;
pub use sender::Sender;
pub use session::Session;
pub use transaction::Transaction;
pub use transport::Transport;

/// A name that nobody else has: of a container, or of a link.
fn random_name() -> String {
    uuid::Uuid::new_v4().to_string()
}
