//! Moves orders to invoices in transactions: both happen, or neither. It needs a broker that has a coordinator.
//!
//! ```sh
//! cargo run -p postroad-broker --example serve -- amqp://127.0.0.1:5672 &
//! cargo run -p postroad-container --example send -- amqp://127.0.0.1:5672/orders 4
//! cargo run -p postroad-container --example transaction -- amqp://127.0.0.1:5672 orders invoices 4
//! ```

use postroad_container::{Container, Delivery, Event, Handler, LinkOptions, Message, Sender, Settings, Transaction};

/// Orders of a transaction.
const BATCH: usize = 2;

pub(crate) struct Move {
    pub(crate) url: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Orders that are to be moved yet.
    pub(crate) left: usize,
    invoices: Option<Sender>,
    transaction: Option<Transaction>,
    /// Orders that wait for a transaction, and how many are in it.
    waiting: Vec<(Delivery, Message)>,
    moved: usize,
}

impl Move {
    pub(crate) fn new(url: impl Into<String>, from: &str, to: &str, left: usize) -> Self {
        let (from, to) = (from.to_owned(), to.to_owned());
        Self { url: url.into(), from, to, left, invoices: None, transaction: None, waiting: Vec::new(), moved: 0 }
    }

    /// Does what can be done in the transaction that there is.
    fn work(&mut self) {
        let (Some(transaction), Some(invoices)) = (&self.transaction, &self.invoices) else { return };
        while self.moved < BATCH.min(self.left) && invoices.credit() > 0 && !self.waiting.is_empty() {
            let (order, invoice) = self.waiting.remove(0);
            let done = transaction.send(invoices, &invoice).map_err(|error| error.to_string());
            let done = done.and_then(|()| transaction.accept(&order).map_err(|error| error.to_string()));
            if let Err(error) = done {
                eprintln!("{error}");
                return transaction.abort();
            }
            self.moved += 1;
        }
        if self.moved == BATCH.min(self.left) {
            transaction.commit();
        }
    }
}

impl Handler for Move {
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.auto_accept = false;
        settings
    }

    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = event.container().connect(&self.url);
        self.invoices = Some(connection.create_sender(self.to.as_str()));
        connection.create_receiver_with(LinkOptions::new().source(self.from.as_str()));
        connection.declare_transaction();
    }

    fn on_transaction_declared(&mut self, event: &mut Event<'_>) {
        self.transaction = event.transaction().cloned();
        self.work();
    }

    fn on_sendable(&mut self, _: &mut Event<'_>) {
        self.work();
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        if let (Some(delivery), Some(message)) = (event.delivery(), event.take_message()) {
            self.waiting.push((delivery, message));
            self.work();
        }
    }

    fn on_transaction_committed(&mut self, event: &mut Event<'_>) {
        println!("{} moved", self.moved);
        self.left -= std::mem::take(&mut self.moved);
        self.transaction = None;
        match (event.session(), self.left) {
            (Some(session), 0) => session.connection().close(),
            (Some(session), _) => drop(session.declare_transaction()),
            (None, _) => {}
        }
    }

    fn on_transaction_aborted(&mut self, event: &mut Event<'_>) {
        // Also where a commit has failed. The orders are still at their node.
        eprintln!("undone: {:?}", event.error());
        if let Some(connection) = event.connection() {
            connection.close();
        }
    }

    fn on_transaction_declare_failed(&mut self, event: &mut Event<'_>) {
        eprintln!("no transaction: {:?}", event.error());
        if let Some(connection) = event.connection() {
            connection.close();
        }
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        eprintln!("no connection: {:?}", event.error());
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "amqp://127.0.0.1:5672".to_owned());
    let from = args.next().unwrap_or_else(|| "orders".to_owned());
    let to = args.next().unwrap_or_else(|| "invoices".to_owned());
    let count = args.next().map_or(Ok(4), |text| text.parse())?;
    Ok(Container::new(Move::new(url, &from, &to, count)).run().await?)
}
