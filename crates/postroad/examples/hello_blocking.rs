//! The short program without a runtime: `cargo run -p postroad --example hello_blocking --features blocking,broker`.

use postroad::blocking::broker::Broker;
use postroad::blocking::messaging::Connection;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().listen("amqp://127.0.0.1:0").start()?;

    let connection = Connection::establish(&broker.urls()[0])?;
    let session = connection.session()?;
    let sender = session.sender("orders; {create: always}")?;
    let receiver = session.receiver("orders")?;
    sender.send("hello")?;
    let message = receiver.fetch()?;
    session.acknowledge(&message)?;
    connection.close()?;

    println!("{}", message.text().unwrap_or_default());
    Ok(())
}
