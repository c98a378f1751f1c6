use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::*;
use crate::framer::outbox::Outbox;
use crate::message::MessageContext;
use crate::transport::{Arrived, MessageTransport, Transport};

fn leaf(stack: ProtocolStack, name: &str) -> Leaf {
    Leaf {
        stack,
        remote: EndpointAddress::Memory(name.into()),
        local: None,
        interface: None,
        host: name.into(),
        websocket: None,
        hop_limit: None,
    }
}

fn listen_at(stack: ProtocolStack, name: &str) -> io::Result<Box<dyn Acceptor>> {
    let local = EndpointAddress::Memory(name.into());
    let stand = Stand { stack, local, interface: None, both_families: false, websocket: None, source: None };
    listen(&stand, &Hosting { properties: Arc::default(), security: None })
}

/// The initiator's end and the listener's.
async fn pair(stack: ProtocolStack, name: &str) -> (Transport, Transport) {
    let acceptor = listen_at(stack, name).unwrap();
    let client = connect(&leaf(stack, name)).await.unwrap();
    let server = acceptor.accept().await.unwrap().establish.await.unwrap();
    (client.transport, server.transport)
}

async fn streams(name: &str) -> (ByteStream, ByteStream) {
    match pair(ProtocolStack::MemoryStream, name).await {
        (Transport::Stream(client), Transport::Stream(server)) => (client, server),
        other => panic!("{other:?}"),
    }
}

async fn messages(name: &str) -> (Box<dyn MessageTransport>, Box<dyn MessageTransport>) {
    match pair(ProtocolStack::MemoryMessage, name).await {
        (Transport::Message(client), Transport::Message(server)) => (client, server),
        other => panic!("{other:?}"),
    }
}

async fn send(transport: &mut Box<dyn MessageTransport>, data: &[u8]) -> io::Result<()> {
    let mut out = Outbox::of_messages();
    out.push_slice(data);
    out.end_message(MessageContext::default());
    poll_fn(|cx| transport.poll_send(cx, &out.next_message().unwrap())).await
}

async fn shut_down(transport: &mut Box<dyn MessageTransport>) {
    poll_fn(|cx| transport.poll_shutdown(cx)).await.unwrap();
}

/// Everything until the end.
async fn receive_all(transport: &mut Box<dyn MessageTransport>) -> Vec<String> {
    let mut all = Vec::new();
    while let Arrived::Message(data, _) = poll_fn(|cx| transport.poll_receive(cx)).await.unwrap() {
        all.push(String::from_utf8(data.to_vec()).unwrap());
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_two_directions_that_end_by_themselves() {
    let (mut client, mut server) = streams("directions").await;
    assert_eq!(client.local_endpoint().to_string(), "memory:directions#1");
    assert_eq!(server.remote_endpoint(), client.local_endpoint());
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut text = String::new();
    server.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "question");
    server.write_all(b"answer").await.unwrap();
    drop(server);
    client.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "questionanswer");
    assert_eq!(client.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn one_who_writes_waits_for_one_who_reads() {
    let network = MemoryNetwork::new("pressure");
    network.to_listener(MemoryFaults::new().capacity(10));
    let (mut client, mut server) = streams("pressure").await;
    assert_eq!(client.write(&[0; 30]).await.unwrap(), 10);
    assert!(timeout(Duration::from_secs(60), client.write(&[0])).await.is_err(), "nobody reads");
    let writer = tokio::spawn(async move {
        client.write_all(&[1; 1000]).await.unwrap();
        client
    });
    let mut all = vec![0; 1010];
    server.read_exact(&mut all).await.unwrap();
    assert!(writer.await.is_ok());
    assert_eq!(network.sent_to_listener().bytes, 1010);
    assert!(network.sent_to_listener().writes >= 101);
}

#[tokio::test(start_paused = true)]
async fn sizes_of_reads_and_writes_are_as_asked_for() {
    let network = MemoryNetwork::new("sizes");
    network.to_listener(MemoryFaults::new().write_sizes([3, 1]).read_sizes([2]));
    let (mut client, mut server) = streams("sizes").await;
    let written = [client.write(b"abcdef").await.unwrap(), client.write(b"def").await.unwrap()];
    assert_eq!(written, [3, 1]);
    let mut buffer = [0; 16];
    let read = [server.read(&mut buffer).await.unwrap(), server.read(&mut buffer).await.unwrap()];
    assert_eq!(read, [2, 2]);
    assert_eq!(network.sent_to_listener(), MemoryTraffic { writes: 2, bytes: 4, messages: 0 });
    assert_eq!(network.sent_to_initiator(), MemoryTraffic::default());
}

#[tokio::test(start_paused = true)]
async fn a_stream_breaks_ends_and_stalls_at_the_byte_that_was_given() {
    let network = MemoryNetwork::new("cuts");
    let mut buffer = [0; 16];

    network.to_listener(MemoryFaults::new().fail_after(5));
    let (mut client, mut server) = streams("cuts").await;
    assert_eq!(client.write(b"0123456789").await.unwrap(), 5);
    assert_eq!(client.write(b"56789").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(server.read(&mut buffer).await.unwrap(), 5);
    assert_eq!(server.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(server.write(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);

    network.to_listener(MemoryFaults::new().end_after(5));
    let (mut client, mut server) = streams("cuts").await;
    assert_eq!(client.write(b"0123456789").await.unwrap(), 5);
    assert_eq!(client.write(b"56789").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(server.read(&mut buffer).await.unwrap(), 5);
    assert_eq!(server.read(&mut buffer).await.unwrap(), 0);

    network.to_listener(MemoryFaults::new().stall_after(5));
    let (mut client, mut server) = streams("cuts").await;
    client.write_all(b"0123456789").await.unwrap();
    drop(client);
    assert_eq!(server.read(&mut buffer).await.unwrap(), 5);
    assert!(timeout(Duration::from_secs(60), server.read(&mut buffer)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_abort_takes_back_what_was_not_read() {
    let (mut client, mut server) = streams("abort").await;
    client.write_all(b"lost").await.unwrap();
    client.reset_on_drop();
    let reading = tokio::spawn(async move { (server.read_u64().await, server.write(b"x").await) });
    tokio::task::yield_now().await;
    drop(client);
    let (read, write) = reading.await.unwrap();
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(write.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn messages_stay_apart_and_large_ones_are_not_copied() {
    let (mut client, mut server) = messages("apart").await;
    let mut out = Outbox::of_messages();
    let body = bytes::Bytes::from(vec![7; 100_000]);
    out.push(body.clone());
    out.end_message(MessageContext::default());
    send(&mut client, b"a").await.unwrap();
    send(&mut client, b"").await.unwrap();
    assert!(matches!(poll_fn(|cx| server.poll_receive(cx)).await.unwrap(), Arrived::Message(data, _) if data == "a"));
    assert!(
        matches!(poll_fn(|cx| server.poll_receive(cx)).await.unwrap(), Arrived::Message(data, _) if data.is_empty())
    );
    poll_fn(|cx| client.poll_send(cx, &out.next_message().unwrap())).await.unwrap();
    let Arrived::Message(data, _) = poll_fn(|cx| server.poll_receive(cx)).await.unwrap() else { panic!() };
    assert_eq!(data.as_ptr(), body.as_ptr());
    shut_down(&mut client).await;
    send(&mut server, b"late answer").await.unwrap();
    assert!(matches!(poll_fn(|cx| server.poll_receive(cx)).await.unwrap(), Arrived::End));
    drop(server);
    assert_eq!(receive_all(&mut client).await, ["late answer"]);
    assert_eq!(send(&mut client, b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn messages_are_lost_doubled_and_overtaken_as_the_list_says() {
    use MessageFate::{Delay, Deliver, Drop, Duplicate};
    let network = MemoryNetwork::new("fates");
    network.to_listener(MemoryFaults::new().messages([Delay(2), Duplicate, Deliver, Drop, Delay(9), Deliver]));
    let (mut client, mut server) = messages("fates").await;
    for text in ["0", "1", "2", "3", "4", "5", "6"] {
        send(&mut client, text.as_bytes()).await.unwrap();
    }
    shut_down(&mut client).await;
    assert_eq!(receive_all(&mut server).await, ["1", "1", "2", "0", "5", "6", "4"]);
    assert_eq!(network.sent_to_listener(), MemoryTraffic { writes: 7, bytes: 7, messages: 7 });
}

#[tokio::test(start_paused = true)]
async fn messages_nobody_receives_are_bounded_even_empty_ones() {
    let network = MemoryNetwork::new("bounded");
    network.to_listener(MemoryFaults::new().capacity(1000));
    let (mut client, mut server) = messages("bounded").await;
    let mut sent = 0;
    while timeout(Duration::from_secs(1), send(&mut client, b"")).await.is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 1000 / 64);
    // One that is longer than all travels alone.
    let receiving = tokio::spawn(async move {
        let all = receive_all(&mut server).await;
        all.len()
    });
    send(&mut client, &[b'x'; 5000]).await.unwrap();
    drop(client);
    assert_eq!(receiving.await.unwrap(), 1000 / 64 + 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_late_refused_or_never_answered() {
    let kind = ProtocolStack::MemoryStream;
    let refused = connect(&leaf(kind, "attempts")).await.unwrap_err();
    assert_eq!(refused, AttemptError::Refused, "nobody listens");
    let acceptor = listen_at(kind, "attempts").unwrap();
    assert_eq!(listen_at(kind, "attempts").unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let message = ProtocolStack::MemoryMessage;
    assert_eq!(connect(&leaf(message, "attempts")).await.unwrap_err(), AttemptError::Refused, "the other kind");

    let network = MemoryNetwork::new("attempts");
    network.delay(Duration::from_secs(3));
    network.refuse(1);
    let begun = Instant::now();
    assert_eq!(connect(&leaf(kind, "attempts")).await.unwrap_err(), AttemptError::Refused);
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    assert!(connect(&leaf(kind, "attempts")).await.is_ok());
    network.black_hole(true);
    assert!(timeout(Duration::from_secs(3600), connect(&leaf(kind, "attempts"))).await.is_err());
    assert_eq!(network.attempts(), 3);
    drop(network);
    assert!(connect(&leaf(kind, "attempts")).await.is_ok(), "plain again");
    drop(acceptor);
    assert_eq!(connect(&leaf(kind, "attempts")).await.unwrap_err(), AttemptError::Refused);
    assert!(listen_at(kind, "attempts").is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_clients_wait_and_a_stopped_listener_ends_them() {
    let kind = ProtocolStack::MemoryStream;
    let acceptor = listen_at(kind, "queue").unwrap();
    let mut waiting = Vec::new();
    for _ in 0..BACKLOG {
        waiting.push(connect(&leaf(kind, "queue")).await.unwrap());
    }
    let late = tokio::spawn(async move { connect(&leaf(kind, "queue")).await });
    tokio::task::yield_now().await;
    // A dropped future loses no client.
    assert!(timeout(Duration::ZERO, acceptor.accept()).await.is_ok());
    assert!(late.await.unwrap().is_ok(), "there is a place again");
    let later = tokio::spawn(async move { connect(&leaf(kind, "queue")).await.map(drop) });
    tokio::task::yield_now().await;
    drop(acceptor);
    assert_eq!(later.await.unwrap(), Err(AttemptError::Refused));
    let Some(Established { transport: Transport::Stream(mut stream), .. }) = waiting.pop() else { panic!() };
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}
