//! Connections inside the process, in virtual time: what a network does by chance happens on purpose.
#![cfg(feature = "memory")]

use std::future::{IntoFuture, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use postroad_taps::{
    Connection, EstablishmentErrorKind, LengthPrefix, Listener, LocalEndpoint, MemoryFaults, MemoryNetwork, Message,
    MessageContext, MessageFate, Preconnection, ProtocolStack, Receive, ReceiveError, RemoteEndpoint, ReuniteError,
    Security, SelectionProperty, TransportProperties,
};
use tokio::time::{Instant, timeout};

/// Bytes, of which a framer makes messages.
fn framed() -> Preconnection {
    let properties = TransportProperties::new().prohibit(SelectionProperty::PreserveMsgBoundaries);
    Preconnection::new().security(Security::Disabled).properties(properties).framer(LengthPrefix::new)
}

fn messages() -> Preconnection {
    let properties = TransportProperties::new().require(SelectionProperty::PreserveMsgBoundaries);
    Preconnection::new().security(Security::Disabled).properties(properties)
}

async fn pair(preconnection: &Preconnection, name: &str) -> (Connection, Connection) {
    let listener = listen(preconnection, name).await;
    let remote = preconnection.clone().remote(RemoteEndpoint::memory(name));
    let (client, server) = tokio::join!(remote.initiate().into_future(), listener.accept());
    (client.unwrap(), server.unwrap().unwrap())
}

async fn listen(preconnection: &Preconnection, name: &str) -> Listener {
    preconnection.clone().local(LocalEndpoint::memory(name)).listen().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn messages_go_to_and_fro() {
    let (client, server) = pair(&messages(), "to and fro").await;
    assert_eq!(client.protocol_stack(), Some(ProtocolStack::MemoryMessage));
    assert!(client.preserves_boundaries());
    assert_eq!(client.remote_endpoint().unwrap().to_string(), "memory:to and fro");
    for text in ["a", "", "a longer one"] {
        client.send(text).await.unwrap();
        assert_eq!(&server.receive().await.unwrap().data[..], text.as_bytes());
    }
    server.send(Message::new("the last").last()).await.unwrap();
    assert_eq!(&client.receive().await.unwrap().data[..], b"the last");
    assert_eq!(client.receive().await.unwrap_err(), ReceiveError::Closed);
    client.send("still").await.unwrap();
    assert_eq!(&server.receive().await.unwrap().data[..], b"still");
    client.close().await.unwrap();
    assert_eq!(server.receive().await.unwrap_err(), ReceiveError::Closed);
}

#[tokio::test(start_paused = true)]
async fn each_direction_may_have_an_owner() {
    let (client, server) = pair(&framed(), "halves").await;
    let (mut send, mut receive) = client.into_split();
    let (mut answers, mut asked) = server.into_split();
    let receiving = tokio::spawn(async move {
        let first = receive.receive_with(Receive::min_incomplete(1).max(3)).await.unwrap();
        assert_eq!((&first.data[..], first.end_of_message), (&b"ans"[..], false));
        assert_eq!(&receive.receive().await.unwrap().data[..], b"wer");
        receive
    });
    send.batch(|batch| ["one", "two"].into_iter().for_each(|text| batch.send(text))).await.unwrap();
    let mut parts = send.start_message(MessageContext::new());
    parts.send("thr").await.unwrap();
    parts.finish("ee").await.unwrap();
    send.flush().await.unwrap();
    for text in ["one", "two", "three"] {
        assert_eq!(&asked.receive().await.unwrap().data[..], text.as_bytes());
    }
    answers.send("answer").await.unwrap();
    let receive = receiving.await.unwrap();
    let error = send.reunite(asked).expect_err("they are of two connections");
    assert_eq!(error.to_string(), "the halves are of two connections");
    let ReuniteError(send, asked) = error;
    let client = send.reunite(receive).unwrap();
    // Without one half the other goes on, and the connection ends when both are gone.
    drop(asked);
    answers.send("more").await.unwrap();
    assert_eq!(&client.receive().await.unwrap().data[..], b"more");
    answers.connection().close().await.unwrap();
    assert_eq!(client.receive().await.unwrap_err(), ReceiveError::Closed);
}

#[tokio::test(start_paused = true)]
async fn frames_survive_any_cut_of_reads_and_writes() {
    let network = MemoryNetwork::new("cut");
    for sizes in [vec![1], vec![2, 3], vec![5], vec![4, 1, 7], vec![1000]] {
        network.to_listener(MemoryFaults::new().write_sizes(sizes.clone()).capacity(16));
        network.to_initiator(MemoryFaults::new().read_sizes(sizes).capacity(9));
        let (client, server) = pair(&framed(), "cut").await;
        let echo = tokio::spawn(async move {
            while let Ok(message) = server.receive().await {
                server.send(message.data).await.unwrap();
            }
        });
        for length in [0, 1, 3, 4, 5, 100] {
            let body = vec![length as u8; length];
            client.send(body.clone()).await.unwrap();
            assert_eq!(client.receive().await.unwrap().data, body);
        }
        client.close().await.unwrap();
        echo.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_small_messages_is_two_writes_at_most() {
    let network = MemoryNetwork::new("batch");
    let (client, server) = pair(&framed(), "batch").await;
    let sending = client.batch(|batch| {
        for number in 0..64u8 {
            batch.send([number; 100].as_slice());
        }
    });
    sending.await.unwrap();
    let traffic = network.sent_to_listener();
    assert!(traffic.writes <= 2, "{traffic:?}");
    assert_eq!(traffic.bytes, 64 * 104);
    for number in 0..64u8 {
        assert_eq!(&server.receive().await.unwrap().data[..], [number; 100].as_slice());
    }
    // One message is one write: its header and its body leave together.
    client.send("one").await.unwrap();
    assert_eq!(network.sent_to_listener().writes, traffic.writes + 1);
}

/// Polls a future so many times and drops it then; whether it had ended.
async fn with_fuel<F: Future>(fuel: usize, future: F) -> bool {
    let mut future = pin!(future);
    for _ in 0..fuel {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if polled {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_tears_no_message() {
    let network = MemoryNetwork::new("fuel");
    network.to_listener(MemoryFaults::new().write_sizes([3, 1, 2]).read_sizes([2]).capacity(5));
    for fuel in 0..24 {
        let (client, server) = pair(&framed(), "fuel").await;
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            loop {
                // Receives are dropped as well.
                let received = timeout(Duration::from_nanos(1), server.receive()).await;
                match received {
                    Ok(Ok(message)) => all.push(message.data.to_vec()),
                    Ok(Err(error)) => return (all, error),
                    Err(_) => {}
                }
            }
        });
        let mut ended = Vec::new();
        for number in 0..4u8 {
            ended.push(with_fuel(fuel, client.send(vec![number; 10])).await);
        }
        client.send("the end").await.unwrap();
        client.close().await.unwrap();
        let (all, error) = reading.await.unwrap();
        assert_eq!(error, ReceiveError::Closed, "fuel {fuel}");
        assert_eq!(all.last().unwrap(), b"the end");
        for (number, ended) in (0..4u8).zip(ended) {
            let whole = all.contains(&vec![number; 10]);
            assert!(whole || !ended, "message {number} was sent, and has not arrived; fuel {fuel}");
        }
        assert!(all.is_sorted_by_key(|data| if data.len() == 10 { data[0] } else { u8::MAX }));
        assert!(all.iter().all(|data| data == b"the end" || data.len() == 10), "{all:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_sends_waits_for_one_who_receives() {
    let (client, server) = pair(&framed(), "waits").await;
    let body = vec![0; 300_000];
    assert!(timeout(Duration::from_secs(3600), client.send(body.clone())).await.is_err());
    let (flushed, received) = tokio::join!(client.flush(), server.receive());
    assert_eq!((flushed, received.unwrap().data.len()), (Ok(()), body.len()));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_gives_what_had_arrived() {
    let network = MemoryNetwork::new("breaks");
    network.to_listener(MemoryFaults::new().fail_after(7 + 4));
    let (client, server) = pair(&framed(), "breaks").await;
    client.send("abc").await.unwrap();
    assert!(matches!(client.send("defghij").await, Err(postroad_taps::SendError::ProtocolFailed(_))));
    assert_eq!(&server.receive().await.unwrap().data[..], b"abc");
    assert!(matches!(server.receive().await, Err(ReceiveError::ProtocolFailed(_))));
}

#[tokio::test(start_paused = true)]
async fn lost_messages_are_lost_and_late_ones_late() {
    let network = MemoryNetwork::new("lossy");
    network.to_listener(MemoryFaults::new().messages([
        MessageFate::Drop,
        MessageFate::Delay(1),
        MessageFate::Duplicate,
    ]));
    let (client, server) = pair(&messages(), "lossy").await;
    for text in ["0", "1", "2"] {
        client.send(text).await.unwrap();
    }
    client.close().await.unwrap();
    let mut all = Vec::new();
    while let Ok(message) = server.receive().await {
        all.push(String::from_utf8(message.data.to_vec()).unwrap());
    }
    assert_eq!(all, ["2", "2", "1"]);
}

#[tokio::test(start_paused = true)]
async fn an_establishment_is_slow_refused_or_given_up() {
    let network = MemoryNetwork::new("slow");
    let listener = listen(&framed(), "slow").await;
    let remote = framed().remote(RemoteEndpoint::memory("slow"));
    network.delay(Duration::from_millis(300));
    let begun = Instant::now();
    remote.initiate().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_millis(300));
    network.refuse(u64::MAX);
    let error = remote.initiate().await.unwrap_err();
    assert_eq!(*error.kind(), EstablishmentErrorKind::EstablishmentFailed);
    network.black_hole(true);
    let begun = Instant::now();
    let error = remote.initiate().timeout(Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(*error.kind(), EstablishmentErrorKind::Timeout(Duration::from_secs(60)));
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
    listener.stop();
}

/// Two servers that are the same to a client, and the ways to them.
async fn two(first: &str, second: &str) -> ([MemoryNetwork; 2], [Listener; 2], Preconnection) {
    let networks = [MemoryNetwork::new(first), MemoryNetwork::new(second)];
    let listeners = [listen(&messages(), first).await, listen(&messages(), second).await];
    let both = messages().remote(RemoteEndpoint::memory(first)).add_remote(RemoteEndpoint::memory(second));
    (networks, listeners, both)
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_overtaken_may_still_win() {
    let ([first, second], _listeners, both) = two("race 1", "race 2").await;
    first.delay(Duration::from_millis(300));
    second.delay(Duration::from_millis(350));
    let begun = Instant::now();
    let connection = both.initiate().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_millis(300));
    assert_eq!(connection.remote_endpoint().unwrap().to_string(), "memory:race 1");
    assert_eq!([first.attempts(), second.attempts()], [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_next_attempt_waits_for_a_silent_one_and_not_for_a_refusal() {
    let ([first, second], [_open, listener], both) = two("next 1", "next 2").await;
    first.black_hole(true);
    let begun = Instant::now();
    let connection = both.initiate().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_millis(250));
    assert_eq!(connection.remote_endpoint().unwrap().to_string(), "memory:next 2");
    listener.accept().await.unwrap();

    first.black_hole(false);
    first.refuse(u64::MAX);
    let begun = Instant::now();
    both.initiate().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(second.attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_after_success_and_one_connection_is_kept() {
    let ([first, second], [kept, other], both) = two("won 1", "won 2").await;
    first.delay(Duration::from_millis(100));
    let connection = both.initiate().await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!([first.attempts(), second.attempts()], [1, 0]);
    let server = kept.accept().await.unwrap().unwrap();
    connection.send("one").await.unwrap();
    assert_eq!(&server.receive().await.unwrap().data[..], b"one");
    for listener in [&kept, &other] {
        assert!(timeout(Duration::from_secs(10), listener.incoming()).await.is_err(), "a loser was left");
    }
}

#[tokio::test(start_paused = true)]
async fn what_contradicts_itself_opens_nothing() {
    let network = MemoryNetwork::new("untouched");
    let _listener = listen(&messages(), "untouched").await;
    let properties = TransportProperties::new()
        .require(SelectionProperty::PerMsgReliability)
        .prohibit(SelectionProperty::Reliability);
    let remote = messages().properties(properties).remote(RemoteEndpoint::memory("untouched"));
    assert!(remote.initiate().await.is_err());
    assert_eq!(network.attempts(), 0);
}
