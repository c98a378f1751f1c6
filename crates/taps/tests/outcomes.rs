//! What becomes of messages, and what a connection tells, whatever is done to it (RFC 9622 9.2.2, 9.2.3, 9.3.2 and 11).
#![cfg(feature = "memory")]

#[path = "common/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use postroad_taps::{
    Connection, ConnectionState, Event, EventStream, LengthPrefix, Listener, LocalEndpoint, MemoryFaults,
    MemoryNetwork, Message, MessageContext, Preconnection, RemoteEndpoint, Security, SelectionProperty, SendError,
    TransportProperties,
};
use random::Random;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// No test waits longer than this for anything, in virtual time.
const PATIENCE: Duration = Duration::from_secs(3600);

fn framed() -> Preconnection {
    let properties = TransportProperties::new().prohibit(SelectionProperty::PreserveMsgBoundaries);
    Preconnection::new().security(Security::Disabled).properties(properties).framer(LengthPrefix::new)
}

async fn listen(name: &str) -> Listener {
    framed().local(LocalEndpoint::memory(name)).listen().await.unwrap()
}

async fn pair(name: &str) -> (Connection, Connection) {
    let listener = listen(name).await;
    let client = framed().remote(RemoteEndpoint::memory(name)).initiate().into_future();
    let (client, server) = tokio::join!(client, listener.accept());
    (client.unwrap(), server.unwrap().unwrap())
}

fn milliseconds(random: &mut Random, below: u64) -> Duration {
    Duration::from_millis(random.below(below))
}

async fn all(mut events: EventStream) -> Vec<Event> {
    let mut seen = Vec::new();
    while let Some(event) = timeout(PATIENCE, events.next()).await.expect("the last event does not come") {
        seen.push(event);
    }
    seen
}

/// Hands over a hundred messages, with a close among them; tells how many there were, how many of them expired, and how many
/// came too late.
async fn sends_with_a_close_in_the_middle(seed: u64) -> [usize; 3] {
    const SENDS: u64 = 100;
    let mut random = Random::new(seed);
    let name = format!("outcomes {seed}");
    let network = MemoryNetwork::new(name.as_str());
    let capacity = 50 + random.below(2000);
    network.to_listener(MemoryFaults::new().capacity(capacity as usize));
    let (client, server) = pair(&name).await;
    let client = Arc::new(client);
    let watching = tokio::spawn(all(client.events()));
    let pause = milliseconds(&mut random, 4);
    let reading = tokio::spawn(async move {
        let mut received = BTreeMap::new();
        while let Ok(message) = server.receive().await {
            *received.entry(message.data[..8].to_vec()).or_insert(0) += 1;
            sleep(pause).await;
        }
        received
    });
    let (close_at, by_priority) = (random.below(SENDS), random.below(2) == 0);
    let mut sending = JoinSet::new();
    for number in 0..SENDS {
        let mut body = number.to_be_bytes().to_vec();
        body.resize(8 + random.below(300) as usize, 0);
        let mut message = Message::new(body);
        if random.below(4) == 0 {
            message = message.lifetime(milliseconds(&mut random, 40));
        }
        if by_priority {
            message = message.priority(random.below(3) as u32);
        }
        let (client, after) = (Arc::clone(&client), milliseconds(&mut random, 50));
        sending.spawn(async move {
            sleep(after).await;
            if number == close_at {
                client.close().await.unwrap();
            }
            (number, client.send(message).await)
        });
    }
    let results: BTreeMap<u64, Result<(), SendError>> = sending.join_all().await.into_iter().collect();
    client.close().await.unwrap();
    let (events, received) = (watching.await.unwrap(), reading.await.unwrap());

    let mut outcomes = BTreeMap::new();
    let mut sent = Vec::new();
    for event in &events {
        let number = match event {
            Event::Sent { message } => {
                sent.push(*message);
                message
            }
            Event::Expired { message } | Event::SendError { message, .. } => message,
            _ => continue,
        };
        *outcomes.entry(*number).or_insert(0) += 1;
    }
    assert!(outcomes.values().all(|count| *count == 1), "seed {seed}: {outcomes:?}");
    assert!(by_priority || sent.is_sorted(), "seed {seed}: {sent:?}");
    let count = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
    let ended = |wanted: fn(&Result<(), SendError>) -> bool| results.values().filter(|end| wanted(end)).count();
    assert_eq!(sent.len(), ended(Result::is_ok), "seed {seed}");
    let expired = count(|event| matches!(event, Event::Expired { .. }));
    assert_eq!(expired, ended(|end| matches!(end, Err(SendError::Expired))), "seed {seed}");
    assert_eq!(events.last(), Some(&Event::Closed), "seed {seed}");
    // What was sent has arrived once, and what was not, never.
    let arrived: Vec<_> = results.iter().filter(|(_, end)| end.is_ok()).map(|(number, _)| number).collect();
    assert_eq!(received.len(), arrived.len(), "seed {seed}");
    assert!(arrived.iter().all(|number| received.get(&number.to_be_bytes()[..]) == Some(&1)), "seed {seed}");
    let other = |end: &Result<(), SendError>| !matches!(end, Ok(()) | Err(SendError::Expired | SendError::Closed));
    assert_eq!(results.values().filter(|end| other(end)).count(), 0, "seed {seed}: {results:?}");
    [results.len(), expired, ended(|end| *end == Err(SendError::Closed))]
}

/// Case 42 (9.2.2, 11): ten thousand sends have one outcome each, and are told in their order.
#[tokio::test(start_paused = true)]
async fn every_send_has_one_outcome() {
    let mut sums = [0; 3];
    for seed in 0..100 {
        for (sum, count) in sums.iter_mut().zip(sends_with_a_close_in_the_middle(seed).await) {
            *sum += count;
        }
    }
    let [sends, expired, late] = sums;
    assert_eq!(sends, 10_000);
    // Each outcome was met often.
    assert!(expired > 200 && late > 200 && expired + late < 9000, "{sums:?}");
}

/// Cases 42 and 57 (9.2.2, 9.2.4): a batch is as many messages, each with its outcome.
#[tokio::test(start_paused = true)]
async fn each_message_of_a_batch_has_its_outcome() {
    let (client, server) = pair("batches").await;
    let mut events = client.events();
    client.batch(|batch| (0..3).for_each(|_| batch.send("one of three"))).await.unwrap();
    for message in 1..=3 {
        let told = timeout(PATIENCE, events.next()).await.expect("each message is told of");
        assert_eq!(told, Some(Event::Sent { message }));
    }
    let long = vec![0; LengthPrefix::DEFAULT_LIMIT as usize + 1];
    let batch = client.batch(|batch| {
        batch.send("first");
        batch.send(long);
        batch.send(Message::new("no datagram").reliable(false));
        batch.send("last");
    });
    let error = batch.await.unwrap_err();
    let failed: Vec<_> = error.failed().iter().map(|(index, _)| *index).collect();
    assert_eq!(failed, [1, 2], "{error}");
    assert!(matches!(error.failed()[0].1, SendError::MessageTooLarge { .. }), "{error}");
    assert!(matches!(error.failed()[1].1, SendError::InvalidMessageProperties(_)), "{error}");
    client.send("after").await.unwrap();
    client.close().await.unwrap();
    let sent = |event| if let Event::Sent { message } = event { Some(message) } else { None };
    // The others have their numbers too.
    assert_eq!(all(events).await.into_iter().filter_map(sent).collect::<Vec<_>>(), [4, 7, 8]);
    for expected in ["one of three", "one of three", "one of three", "first", "last", "after"] {
        assert_eq!(timeout(PATIENCE, server.receive()).await.unwrap().unwrap().data, expected);
    }
}

/// Case 43 (9.2.3): each part that waits expires for itself when the lifetime of its message ends.
#[tokio::test(start_paused = true)]
async fn both_parts_that_wait_expire() {
    let network = MemoryNetwork::new("parts expire");
    network.to_listener(MemoryFaults::new().capacity(10));
    let (client, server) = pair("parts expire").await;
    let mut context = MessageContext::new();
    context.set_lifetime(Duration::from_millis(20));
    let first = Message::new("hel").in_context(context).partial();
    let second = Message::new("lo").in_context(first.context.clone());
    let (full, first, second) = tokio::join!(
        timeout(Duration::from_secs(1), client.send(vec![0; 100])),
        client.send(first),
        client.send(second),
    );
    assert!(full.is_err(), "nobody reads");
    assert_eq!((first, second), (Err(SendError::Expired), Err(SendError::Expired)));
    let (flushed, received) = tokio::join!(client.flush(), server.receive());
    flushed.unwrap();
    assert_eq!(received.unwrap().data.len(), 100);
    let (sent, received) = tokio::join!(client.send("after"), server.receive());
    sent.unwrap();
    assert_eq!(&received.unwrap().data[..], b"after", "nothing of the message was delivered");
}

/// Case 52 (9.3.2): as many calls as messages, and each gets the next one.
#[tokio::test(start_paused = true)]
async fn each_receive_gets_one_message_in_the_order_of_the_calls() {
    let (client, server) = pair("receives").await;
    let server = Arc::new(server);
    let mut events = server.events();
    let mut receiving = Vec::new();
    for _ in 0..50 {
        let server = Arc::clone(&server);
        receiving.push(tokio::spawn(async move { server.receive().await.unwrap().data }));
        // The calls are made in this order.
        tokio::task::yield_now().await;
    }
    for number in 0..50u8 {
        client.send(vec![number]).await.unwrap();
    }
    for (number, received) in (0..50u8).zip(receiving) {
        assert_eq!(&received.await.unwrap()[..], [number]);
        assert_eq!(events.next().await, Some(Event::Received { length: 1 }));
    }
    assert!(timeout(Duration::from_secs(1), server.receive()).await.is_err(), "there is no message more");
}

/// Does something to a connection, and gives up after a while: not everything ends.
async fn step(connection: Arc<Connection>, choice: u64, size: usize) {
    let doing = async {
        match choice {
            0..=3 => drop(connection.send(vec![1; size]).await),
            4..=6 => drop(connection.receive().await),
            7 => drop(connection.send(Message::new("short").lifetime(Duration::from_millis(2))).await),
            8 => drop(connection.send(Message::new("last").last()).await),
            9 => drop(connection.close().await),
            10 => connection.abort(),
            11 => drop(connection.closed().await),
            12 => drop(connection.ready().await),
            13 => drop(connection.flush().await),
            14 => drop(connection.batch(|batch| (0..5).for_each(|_| batch.send("one of five"))).await),
            15 => {
                let mut part = connection.start_message(MessageContext::default());
                let _ = part.send("begun").await;
                if size.is_multiple_of(2) {
                    let _ = part.finish("and ended").await;
                }
            }
            16 => drop(connection.set_property("connPriority", 5)),
            17 => drop(connection.clone_connection().await),
            18 => drop(connection.close_group().await),
            _ => connection.abort_group(),
        }
    };
    let _ = timeout(Duration::from_millis(500), doing).await;
}

/// What must hold of all the events of a connection, on which so many messages were begun in parts.
fn check(seed: u64, events: &[Event], connection: &Connection, parts: usize) {
    let (last, before) = events.split_last().expect("a last event");
    assert!(last.is_last() && !before.iter().any(Event::is_last), "seed {seed}: {events:?}");
    let ready: Vec<usize> = (0..events.len()).filter(|index| events[*index] == Event::Ready).collect();
    assert!(ready.is_empty() || ready == [0], "seed {seed}: {events:?}");
    if matches!(last, Event::EstablishmentError(_)) {
        let used = |event: &Event| matches!(event, Event::Ready | Event::Sent { .. } | Event::Received { .. });
        assert!(!before.iter().any(used), "seed {seed}: {events:?}");
    }
    let mut outcomes = BTreeMap::new();
    for event in events {
        if let Event::Sent { message } | Event::Expired { message } | Event::SendError { message, .. } = event {
            *outcomes.entry(*message).or_insert(0) += 1;
        }
    }
    // A message in parts has an outcome for each of its parts, of which there are two at most.
    let parted = outcomes.values().filter(|count| **count == 2).count();
    assert!(outcomes.values().all(|count| *count <= 2) && parted <= parts, "seed {seed}: {events:?}");
    assert_eq!(connection.state(), ConnectionState::Closed, "seed {seed}");
    assert!(!connection.can_send(), "seed {seed}");
}

/// Case 66 (11): whatever is done in whatever order, the last event is the last, and there is one.
#[tokio::test(start_paused = true)]
async fn nothing_follows_the_last_event_whatever_is_done() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let name = format!("anything {seed}");
        let network = MemoryNetwork::new(name.as_str());
        network.to_listener(MemoryFaults::new().capacity(1 + random.below(3000) as usize));
        network.delay(milliseconds(&mut random, 5));
        match random.below(8) {
            0 => network.refuse(u64::MAX),
            1 => network.black_hole(true),
            2 => network.to_initiator(MemoryFaults::new().fail_after(random.below(500))),
            3 => network.to_initiator(MemoryFaults::new().end_after(random.below(500))),
            _ => {}
        }
        let listener = listen(&name).await;
        let remote = framed().remote(RemoteEndpoint::memory(name.as_str()));
        let client = Arc::new(remote.initiate().timeout(Duration::from_secs(2)).now());
        let mut ends = vec![(Arc::clone(&client), tokio::spawn(all(client.events())))];
        let (_, accepted) = tokio::join!(
            timeout(Duration::from_millis(10), client.ready()),
            timeout(Duration::from_millis(10), listener.accept())
        );
        if let Ok(Ok(Some(server))) = accepted {
            let server = Arc::new(server);
            ends.push((Arc::clone(&server), tokio::spawn(all(server.events()))));
        }
        let mut doing = JoinSet::new();
        let mut parts = [0, 0];
        for _ in 0..random.below(30) {
            let which = random.below(ends.len() as u64) as usize;
            let end = Arc::clone(&ends[which].0);
            let (choice, size) = (random.below(20), random.below(4000) as usize);
            // Endings are rare, so that there is something before them.
            let choice = if matches!(choice, 9 | 10 | 18 | 19) && random.below(3) > 0 { choice % 8 } else { choice };
            parts[which] += usize::from(choice == 15);
            let after = milliseconds(&mut random, 20);
            doing.spawn(async move {
                sleep(after).await;
                step(end, choice, size).await;
            });
        }
        doing.join_all().await;
        for (end, _) in &ends {
            end.abort();
        }
        for ((end, watching), parts) in ends.into_iter().zip(parts) {
            let late = all(end.events());
            let events = watching.await.unwrap();
            assert_eq!(late.await, [events.last().unwrap().clone()], "seed {seed}: who comes late hears the end");
            check(seed, &events, &end, parts);
            // And nothing that is done afterwards tells anything more.
            step(Arc::clone(&end), random.below(20), 10).await;
            assert_eq!(all(end.events()).await.len(), 1, "seed {seed}");
        }
    }
}
