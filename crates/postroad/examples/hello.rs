//! The short program: a message through a queue of an embedded broker. `cargo run -p postroad --example hello`.

use postroad::broker::Broker;
use postroad::messaging::Connection;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().listen("amqp://127.0.0.1:0").start().await?;

    let connection = Connection::establish(&broker.urls()[0]).await?;
    let session = connection.session().await?;
    let sender = session.sender("orders; {create: always}").await?;
    let receiver = session.receiver("orders").await?;
    sender.send("hello").await?;
    let message = receiver.fetch().await?;
    session.acknowledge(&message).await?;
    connection.close().await?;

    println!("{}", message.text().unwrap_or_default());
    Ok(())
}
