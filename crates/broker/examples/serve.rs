//! A broker that makes every queue that is asked for, on the URLs of the command line, until its input ends.
//!
//! ```sh
//! cargo run --release -p postroad-broker --example serve -- amqp://127.0.0.1:5672
//! ```

use std::time::Duration;

use postroad_broker::{Broker, StartError};
use tokio::io::AsyncReadExt as _;

#[tokio::main]
async fn main() -> Result<(), StartError> {
    let mut builder = Broker::builder().auto_create(true);
    for url in std::env::args().skip(1) {
        builder = builder.listen(url);
    }
    let broker = builder.start().await?;
    for url in broker.urls() {
        println!("{url}");
    }
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
    for queue in broker.queues() {
        println!("{queue}: {:?}", broker.queue_stats(&queue));
    }
    println!("cut off: {}", broker.shutdown(Duration::from_secs(5)).await);
    Ok(())
}
