//! Orders become invoices in transactions: both happen, or neither. `cargo run -p postroad --example transactions`.

use std::time::Duration;

use postroad::broker::Broker;
use postroad::client::{ConnectOptions, Connection, Message};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().listen("amqp://127.0.0.1:0").queue("orders").queue("invoices").start().await?;

    let connection = Connection::open(ConnectOptions::new(broker.urls()[0].parse()?)).await?;
    let session = connection.session().await?;
    let customer = session.sender("orders").await?;
    for order in ["two pens", "nothing", "an eraser"] {
        customer.send(&Message::from(order)).await?;
    }

    let controller = session.transaction_controller().await?;
    let mut orders = session.receiver("orders").await?;
    let invoices = session.sender("invoices").await?;
    while let Some(order) = orders.fetch(Duration::ZERO).await? {
        let text = order.text().unwrap_or_default();
        let transaction = controller.declare().await?;
        transaction.submit(&invoices, &Message::from(format!("invoice for {text}"))).await?;
        transaction.accept(&order)?;
        if text == "nothing" {
            // The invoice was never there; the order is still ours.
            transaction.rollback().await?;
            orders.reject(&order, None)?;
        } else {
            transaction.commit().await?;
        }
    }

    let mut invoices = session.receiver("invoices").await?;
    while let Some(invoice) = invoices.fetch(Duration::ZERO).await? {
        println!("{}", invoice.text().unwrap_or_default());
        invoices.accept(&invoice)?;
    }
    connection.close().await?;
    Ok(())
}
