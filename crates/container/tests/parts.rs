//! Messages that go out and come in part by part.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use postroad_broker::Broker;
use postroad_container::types::Bytes;
use postroad_container::{Container, Delivery, Event, Handler, LinkOptions, Message};

#[derive(Default)]
struct Seen {
    parts: usize,
    bytes: Vec<u8>,
    aborted: usize,
    accepted: usize,
    whole: bool,
}

struct Parts {
    url: String,
    encoded: Bytes,
    sent: usize,
    open: Option<Delivery>,
    finished: bool,
    /// Whether the first attempt is given up in its middle.
    abort: bool,
    /// Whether what comes is read by a timer only.
    late: bool,
    seen: Arc<Mutex<Seen>>,
}

const PART: usize = 50_000;

impl Parts {
    /// Closes once both ends are done.
    fn end(&self, event: &Event<'_>) {
        let seen = self.seen.lock().unwrap();
        if seen.whole && seen.accepted > 0 {
            event.connection().unwrap().close();
        }
    }
}

impl Handler for Parts {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = event.container().connect(&self.url);
        connection.create_sender("q");
        connection.create_receiver_with(LinkOptions::new().source("q").in_parts());
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if self.finished {
            return;
        }
        let delivery = match self.open.clone() {
            Some(delivery) => delivery,
            None => {
                let delivery = event.sender().unwrap().begin(self.encoded.slice(..PART)).unwrap();
                self.sent = PART;
                delivery
            }
        };
        assert!(!delivery.is_partial() && !delivery.is_readable() && !delivery.is_aborted());
        while delivery.is_writable() && self.sent < self.encoded.len() {
            let end = (self.sent + PART).min(self.encoded.len());
            delivery.write(self.encoded.slice(self.sent..end)).unwrap();
            self.sent = end;
            if self.abort && self.sent > self.encoded.len() / 2 {
                self.abort = false;
                delivery.abort();
                assert!(delivery.write("more").is_err());
                (self.sent, self.open) = (0, None);
                return self.on_sendable(event);
            }
        }
        // The end waits for the window like any other part.
        self.finished = self.sent == self.encoded.len() && delivery.finish().is_ok();
        self.open = Some(delivery);
    }

    fn on_message(&mut self, _: &mut Event<'_>) {
        panic!("it comes in parts");
    }

    fn on_delivery(&mut self, event: &mut Event<'_>) {
        let (delivery, receiver) = (event.delivery().unwrap(), event.receiver().unwrap().clone());
        let mut seen = self.seen.lock().unwrap();
        if delivery.is_aborted() {
            (seen.aborted, seen.parts) = (seen.aborted + 1, 0);
            seen.bytes.clear();
            return;
        }
        seen.parts += 1;
        if self.late && delivery.is_partial() {
            if seen.parts == 1 {
                event.container().schedule_for(Duration::from_millis(20), Late { receiver, seen: self.seen.clone() });
            }
            return;
        }
        while let Some(read) = receiver.recv(10_000) {
            assert!(read.len() <= 10_000);
            seen.bytes.extend_from_slice(&read);
        }
        assert!(!delivery.is_readable());
        seen.whole |= !delivery.is_partial();
        drop(seen);
        self.end(event);
    }

    fn on_accepted(&mut self, event: &mut Event<'_>) {
        self.seen.lock().unwrap().accepted += 1;
        self.end(event);
    }
}

/// Reads what is there, and comes again.
struct Late {
    receiver: postroad_container::Receiver,
    seen: Arc<Mutex<Seen>>,
}

impl Handler for Late {
    fn on_timer_task(&mut self, event: &mut Event<'_>) {
        let mut seen = self.seen.lock().unwrap();
        let mut read = 0;
        while let Some(part) = self.receiver.recv(usize::MAX) {
            read += part.len();
            seen.bytes.extend_from_slice(&part);
        }
        assert!(read < 2 * 1024 * 1024, "{read} bytes have waited");
        if !seen.whole {
            let again = Self { receiver: self.receiver.clone(), seen: self.seen.clone() };
            event.container().schedule_for(Duration::from_millis(5), again);
        }
    }
}

async fn run(abort: bool, late: bool) -> (Bytes, Arc<Mutex<Seen>>) {
    let broker = Broker::builder().listen("amqp://127.0.0.1:0").queue("q").start().await.unwrap();
    let body: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 251) as u8).collect();
    let encoded = Message::from(Bytes::from(body)).encode();
    let seen = Arc::<Mutex<Seen>>::default();
    let url = broker.urls()[0].clone();
    let parts =
        Parts { url, encoded: encoded.clone(), sent: 0, open: None, finished: false, abort, late, seen: seen.clone() };
    tokio::time::timeout(Duration::from_secs(30), Container::new(parts).run()).await.expect("it ends").unwrap();
    (encoded, seen)
}

#[tokio::test]
async fn a_message_of_any_length_passes_in_parts_and_is_accepted_behind_the_last() {
    let (encoded, seen) = run(false, false).await;
    let seen = seen.lock().unwrap();
    assert!(seen.bytes == encoded, "{} of {} bytes", seen.bytes.len(), encoded.len());
    assert!(seen.parts > 50 && seen.accepted == 1 && seen.aborted == 0, "{} parts", seen.parts);
}

#[tokio::test]
async fn one_that_is_given_up_is_not_delivered_and_the_next_is() {
    let (encoded, seen) = run(true, false).await;
    let seen = seen.lock().unwrap();
    assert!(seen.bytes == encoded, "{} of {} bytes", seen.bytes.len(), encoded.len());
    assert_eq!(seen.accepted, 1);
}

#[tokio::test]
async fn what_nobody_reads_waits_at_the_peer() {
    let (encoded, seen) = run(false, true).await;
    let seen = seen.lock().unwrap();
    assert!(seen.bytes == encoded, "{} of {} bytes", seen.bytes.len(), encoded.len());
    assert_eq!(seen.accepted, 1);
}
