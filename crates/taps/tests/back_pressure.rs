//! A sender is held up by a receiver that does not receive (RFC 9622 9.3), and a bound on the rate holds it up too (8.1.8).

mod common;

use std::cell::Cell;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{PATIENCE, pair};
use postroad_taps::{Connection, LengthPrefix, Preconnection, Security, TransportProperties};
use tokio::time::timeout;

const MIB: usize = 1 << 20;
const TOTAL: usize = 64 * MIB;

fn clear() -> Preconnection {
    Preconnection::new().security(Security::Disabled)
}

async fn receive_all(connection: &Connection) -> usize {
    let mut received = 0;
    while received < TOTAL {
        received += connection.receive().await.unwrap().data.len();
    }
    received
}

/// Case 51 (9.3): what has come before the first receive is kept; 64 MiB do not come, and cost no memory at either end.
/// The peer watches for the end of the connection, which reads ahead.
#[test]
fn a_receiver_that_does_not_receive_holds_up_the_sender() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (server, client) = runtime.block_on(pair(clear().framer(LengthPrefix::new), clear().framer(LengthPrefix::new)));
    let body = Bytes::from(vec![5; MIB]);
    let sent = Cell::new(0);
    // All messages share one body: what is counted is what the connections take beside it.
    let sending = async {
        while sent.get() < TOTAL {
            client.send(body.clone()).await.unwrap();
            sent.set(sent.get() + MIB);
        }
    };
    tokio::pin!(sending);
    let held_up = allocation_counter::measure(|| {
        runtime.block_on(async {
            let watching = timeout(Duration::from_millis(500), server.closed());
            tokio::select! {
                () = &mut sending => panic!("64 MiB have left, and nobody has received them"),
                watched = watching => assert!(watched.is_err(), "{watched:?}"),
            }
        });
    });
    assert!(held_up.bytes_max < 4 * MIB as u64, "{} bytes were taken", held_up.bytes_max);
    // What the sockets hold is the system's; the rest waits.
    assert!(sent.get() < TOTAL / 2, "{} bytes have left", sent.get());
    runtime.block_on(async {
        let ((), received) =
            timeout(6 * PATIENCE, async { tokio::join!(sending, receive_all(&server)) }).await.unwrap();
        assert_eq!((sent.get(), received), (TOTAL, TOTAL));
    });
}

/// Case 51: one message of 64 MiB on a stream without framers is received in pieces, none of which is large.
#[tokio::test]
async fn a_long_message_is_received_in_pieces() {
    let (server, client) = pair(clear(), clear()).await;
    let body = Bytes::from(vec![6; TOTAL]);
    let receiving = async {
        let mut received = 0;
        let want = postroad_taps::Receive::min_incomplete(1).max(256 * 1024);
        loop {
            let part = server.receive_with(want).await.unwrap();
            assert!(part.data.len() <= 256 * 1024);
            received += part.data.len();
            if part.end_of_message {
                return received;
            }
        }
    };
    let sending = async { client.send(postroad_taps::Message::new(body).last()).await };
    let (sent, received) = timeout(6 * PATIENCE, async { tokio::join!(sending, receiving) }).await.unwrap();
    sent.unwrap();
    assert_eq!(received, TOTAL);
}

/// Case 63 (8.1.8): 2 MB at 8 Mbit/s take two seconds; how much longer is the machine's affair.
#[tokio::test]
async fn the_rate_of_sending_is_bounded_on_a_socket() {
    let mut properties = TransportProperties::new();
    properties.connection.max_send_rate = Some(8_000_000);
    let limited = clear().framer(LengthPrefix::new).properties(properties);
    let (server, client) = pair(clear().framer(LengthPrefix::new), limited).await;
    let begun = Instant::now();
    let receiving = async {
        for _ in 0..200 {
            assert_eq!(server.receive().await.unwrap().data.len(), 10_000);
        }
    };
    let sending = async {
        for _ in 0..200 {
            client.send(vec![1; 10_000]).await.unwrap();
        }
    };
    timeout(6 * PATIENCE, async { tokio::join!(sending, receiving) }).await.unwrap();
    // 1.8 s at the least: a first burst may pass at once.
    assert!(begun.elapsed() >= Duration::from_millis(1800), "{:?}", begun.elapsed());
}
