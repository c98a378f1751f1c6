//! What a message costs without a runtime, beside the same work with one: a sender and a receiver on two threads, from
//! peer to peer over the loopback. `cargo run --release -p postroad --example rate_blocking -- 1000000`.

use std::thread;
use std::time::{Duration, Instant};

use postroad::client::{AcceptOptions, Acceptor, ConnectOptions, Connection, LinkOptions, Message};
use postroad::{blocking, taps};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count = std::env::args().nth(1).map_or(Ok(20_000), |text| text.parse())?;
    print("blocking, submit", count, blocking_rate(count));
    print("async, submit", count, async_rate(count));
    print("blocking, send", count / 20, blocking_round_trips(count / 20));
    Ok(())
}

fn print(what: &str, count: usize, took: Duration) {
    let rate = count as f64 / took.as_secs_f64();
    println!("{what}: {count} messages in {took:.2?}, {rate:.0} a second");
}

fn options() -> AcceptOptions {
    AcceptOptions::new(taps::LocalEndpoint::host("127.0.0.1"))
}

fn terms() -> LinkOptions {
    let mut options = LinkOptions::default();
    options.prefetch = 1000;
    options
}

fn message() -> Message {
    Message::from("a hundred bytes or so of text, which is what many messages have, and little beside it, as said")
}

type Ends = (blocking::client::Sender, blocking::client::Receiver, blocking::client::Connection);

fn blocking_ends() -> Ends {
    let acceptor = blocking::client::Acceptor::listen(options()).unwrap();
    let url = format!("amqp://{}", acceptor.local_endpoint());
    let sending = thread::spawn(move || {
        let connection = blocking::client::Connection::open(ConnectOptions::new(url.parse().unwrap())).unwrap();
        connection.session().unwrap().sender("rate").unwrap()
    });
    let connection = acceptor.accept().unwrap();
    let receiver = connection.next_link().unwrap().into_receiver(&terms()).unwrap();
    (sending.join().unwrap(), receiver, connection)
}

fn blocking_rate(count: usize) -> Duration {
    let (sender, mut receiver, _connection) = blocking_ends();
    let begin = Instant::now();
    let sending = thread::spawn(move || {
        let message = message();
        (0..count).for_each(|_| sender.submit(&message).unwrap());
        sender.sync().unwrap();
    });
    let settler = receiver.settler();
    receiver.iter().take(count).for_each(|message| settler.accept(&message.unwrap()).unwrap());
    sending.join().unwrap();
    begin.elapsed()
}

fn blocking_round_trips(count: usize) -> Duration {
    let (sender, mut receiver, _connection) = blocking_ends();
    let begin = Instant::now();
    let sending = thread::spawn(move || {
        let message = message();
        (0..count).for_each(|_| drop(sender.send(&message).unwrap()));
    });
    let settler = receiver.settler();
    receiver.iter().take(count).for_each(|message| settler.accept(&message.unwrap()).unwrap());
    sending.join().unwrap();
    begin.elapsed()
}

fn async_rate(count: usize) -> Duration {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let acceptor = Acceptor::listen(options()).await.unwrap();
        let url = format!("amqp://{}", acceptor.local_endpoint());
        let sending = tokio::spawn(async move {
            let connection = Connection::open(ConnectOptions::new(url.parse().unwrap())).await.unwrap();
            connection.session().await.unwrap().sender("rate").await.unwrap()
        });
        let connection = acceptor.accept().await.unwrap();
        let mut receiver = connection.next_link().await.unwrap().into_receiver(&terms()).unwrap();
        let sender = sending.await.unwrap();
        let begin = Instant::now();
        let sending = tokio::spawn(async move {
            let message = message();
            for _ in 0..count {
                sender.submit(&message).await.unwrap();
            }
            sender.sync().await.unwrap();
        });
        for _ in 0..count {
            let message = receiver.receive().await.unwrap();
            receiver.accept(&message).unwrap();
        }
        sending.await.unwrap();
        begin.elapsed()
    })
}
