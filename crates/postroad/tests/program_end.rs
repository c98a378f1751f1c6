//! A program that ends without a close: what it has sent has arrived, what it has settled is settled.
//!
//! It is two programs in one, so that the end of the second is the end of a process: no test harness runs behind it.

use std::env;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use postroad::blocking::broker::Broker;
use postroad::blocking::messaging::Connection;

const URL: &str = "POSTROAD_TEST_URL";
const COUNT: usize = 500;

fn main() {
    match env::var(URL) {
        Ok(url) => program(&url),
        Err(_) => test(),
    }
}

/// Takes everything from one queue, puts as much into another, and ends.
fn program(url: &str) {
    let session = Connection::establish(url).unwrap().session().unwrap();
    let sender = session.sender("out").unwrap();
    let receiver = session.receiver("in").unwrap();
    receiver.set_capacity(100);
    for _ in 0..COUNT {
        let message = receiver.fetch().unwrap();
        sender.send_async(message.text().unwrap()).unwrap();
        receiver.accept(&message).unwrap();
    }
}

fn test() {
    let broker = Broker::builder().queue("in").queue("out").listen("amqp://127.0.0.1:0").start().unwrap();
    let session = Connection::establish(&broker.urls()[0]).unwrap().session().unwrap();
    let sender = session.sender("in").unwrap();
    (0..COUNT).for_each(|number| sender.send_async(format!("message {number}")).unwrap());
    sender.close().unwrap();

    let mut child =
        Command::new(env::current_exe().unwrap()).env(URL, &broker.urls()[0]).stdin(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("the program did not end");
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{status}");

    // Nobody else is connected, and the program has waited for the broker's goodbye.
    let [arrived, left] = ["out", "in"].map(|queue| broker.queue_stats(queue).unwrap());
    assert_eq!(arrived.ready, COUNT);
    assert_eq!((left.ready, left.unsettled, left.settled), (0, 0, COUNT as u64));
    println!("{COUNT} messages sent and {COUNT} settled by a program that did not close");
}
