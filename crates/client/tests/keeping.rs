//! Links of a server's that outlive their connections: exactly once in both directions, wherever it is cut.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postroad_client::types::{DeliveryTag, ErrorCondition};
use postroad_client::{
    AcceptOptions, Acceptor, AttachError, ConnectOptions, Connection, ExpiredLink, Guarantee, Incoming, IncomingLink,
    KeepLinks, LinkError, LinkOptions, LocalEndpoint, Message, Node, Outcome, Receiver, Reconnect, SendError, Sender,
    SenderNews, Ticket,
};
use postroad_testkit::Proxy;
use postroad_testkit::faults::{At, Direction, FrameKind, Plan, Point, Rule};

const PATIENCE: Duration = Duration::from_secs(20);
const ONCE: Guarantee = Guarantee::ExactlyOnce;

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

async fn acceptor(change: impl FnOnce(&mut KeepLinks)) -> Acceptor {
    let mut options = AcceptOptions::new(LocalEndpoint::host("127.0.0.1"));
    let mut keep = KeepLinks::default();
    change(&mut keep);
    options.keep_links = Some(keep);
    Acceptor::listen(options).await.unwrap()
}

/// How to connect to a port as this container.
fn to(port: u16, container: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(format!("amqp://127.0.0.1:{port}").parse().unwrap());
    options.container_id = container.to_owned();
    options.reconnect_log = false;
    let mut reconnect = Reconnect::default();
    reconnect.interval = Duration::from_millis(1);
    reconnect.max_interval = Duration::from_millis(20);
    options.reconnect = Some(reconnect);
    options
}

fn port(acceptor: &Acceptor) -> u16 {
    acceptor.local_endpoint().ip().unwrap().port()
}

async fn behind(acceptor: &Acceptor, plan: Plan) -> Proxy {
    Proxy::start(acceptor.local_endpoint().ip().unwrap(), plan).await.unwrap()
}

fn guaranteed(name: &str, prefetch: u32) -> LinkOptions {
    let mut options = LinkOptions::default();
    options.name = Some(name.to_owned());
    options.guarantee = ONCE;
    options.prefetch = prefetch;
    options
}

/// Places that matter, each on the first connections.
fn places() -> impl Iterator<Item = Plan> {
    let kinds = [
        (FrameKind::Transfer, Direction::ToServer),
        (FrameKind::Transfer, Direction::ToClient),
        (FrameKind::Disposition, Direction::ToServer),
        (FrameKind::Disposition, Direction::ToClient),
        (FrameKind::Attach, Direction::ToServer),
        (FrameKind::Attach, Direction::ToClient),
        (FrameKind::ResumingTransfer, Direction::ToServer),
        (FrameKind::ResumingTransfer, Direction::ToClient),
    ];
    kinds.into_iter().flat_map(|(kind, direction)| {
        [Point::Before, Point::Inside, Point::After].into_iter().map(move |point| {
            // What resumes comes only behind a cut, and what attaches must succeed once.
            let first = Rule::cut(At::frame(FrameKind::Disposition).nth(2)).on_connection(0);
            let later = Rule::cut(At::frame(kind).nth(1).at(point)).in_direction(direction);
            (1..5)
                .fold(Plan::new(17).rule(first), |plan, connection| plan.rule(later.clone().on_connection(connection)))
        })
    })
}

/// Serves every link of every connection.
fn serve<F: Future<Output = ()> + Send + 'static>(
    acceptor: Acceptor,
    serve: impl Fn(IncomingLink) -> F + Clone + Send + Sync + 'static,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok(incoming) = acceptor.next_connection().await {
            let serve = serve.clone();
            tokio::spawn(async move {
                let Ok(connection) = incoming.open().await else { return };
                while let Ok(incoming) = connection.next_incoming().await {
                    if let Incoming::Link(link) = incoming {
                        tokio::spawn(serve(link));
                    }
                }
            });
        }
    })
}

/// What a server has taken, and how often.
type Came = Arc<Mutex<BTreeMap<String, usize>>>;

async fn take_in(link: IncomingLink, came: Came) {
    let mut options = LinkOptions::default();
    options.prefetch = 10;
    let Ok(mut receiver) = link.into_receiver(&options) else { return };
    while let Ok(message) = receiver.receive().await {
        // What cannot be told was not done.
        let mut came = came.lock().unwrap();
        if receiver.accept(&message).is_ok() {
            *came.entry(message.text().unwrap().to_owned()).or_default() += 1;
        }
    }
}

#[tokio::test]
async fn a_client_s_sender_and_the_server_agree_on_every_message_wherever_it_is_cut() {
    for (index, plan) in places().enumerate() {
        let acceptor = acceptor(|_| {}).await;
        let proxy = behind(&acceptor, plan).await;
        let came = Came::default();
        let taking = came.clone();
        let server = serve(acceptor, move |link| take_in(link, taking.clone()));
        let client = Connection::open(to(proxy.addr().port(), "client")).await.unwrap();
        let sender = client.session().await.unwrap().sender_with("q", guaranteed("link", 0)).await.unwrap();
        let sending = async {
            for number in 0..60 {
                sender.submit(&Message::from(number.to_string())).await.unwrap();
                tokio::task::yield_now().await;
            }
            sender.sync().await.unwrap();
        };
        tokio::time::timeout(PATIENCE, sending).await.unwrap_or_else(|_| panic!("it hangs at {index}"));
        assert!(proxy.stats().cuts >= 1, "{index}");
        let expected: BTreeMap<String, usize> = (0..60).map(|number| (number.to_string(), 1)).collect();
        assert_eq!(*came.lock().unwrap(), expected, "at {index}: {:?}", proxy.stats());
        assert!(sender.take_in_doubt().is_empty());
        client.close().await.unwrap();
        server.abort();
    }
}

/// What a server has to send, and what became of it.
#[derive(Debug, Default)]
struct Outbox {
    all: usize,
    next: usize,
    sent: HashMap<DeliveryTag, usize>,
    outcomes: BTreeMap<usize, Vec<Result<Outcome, SendError>>>,
}

const MESSAGES: usize = 60;

async fn send_out(link: IncomingLink, outbox: Arc<Mutex<Outbox>>) {
    let Ok(sender) = link.into_sender(&LinkOptions::default()) else { return };
    let mut ticket = Ticket::default();
    loop {
        let news = poll_fn(|cx| sender.poll_news(&mut ticket, cx)).await;
        let mut outbox = outbox.lock().unwrap();
        for told in news.told {
            let number = outbox.sent.remove(&told.tag).expect("it was sent");
            outbox.outcomes.entry(number).or_default().push(told.result);
        }
        if news.over.is_some() {
            return;
        }
        for _ in 0..news.room {
            if outbox.next == outbox.all {
                break;
            }
            let message = Message::from(outbox.next.to_string());
            let Ok(tag) = sender.try_submit_told(&message, None) else { break };
            let next = outbox.next;
            assert!(outbox.sent.insert(tag, next).is_none(), "a tag is used once");
            outbox.next += 1;
        }
    }
}

#[tokio::test]
async fn a_server_s_sender_and_the_client_agree_on_every_message_wherever_it_is_cut() {
    for (index, plan) in places().enumerate() {
        let acceptor = acceptor(|_| {}).await;
        let proxy = behind(&acceptor, plan).await;
        let outbox = Arc::new(Mutex::new(Outbox { all: MESSAGES, ..Outbox::default() }));
        let sending = outbox.clone();
        let server = serve(acceptor, move |link| send_out(link, sending.clone()));
        let client = Connection::open(to(proxy.addr().port(), "client")).await.unwrap();
        let mut receiver = client.session().await.unwrap().receiver_with("q", guaranteed("link", 10)).await.unwrap();
        let mut came: BTreeMap<String, usize> = BTreeMap::new();
        while came.len() < MESSAGES {
            let message = tokio::time::timeout(PATIENCE, receiver.receive()).await;
            let message = message.unwrap_or_else(|_| panic!("it hangs at {index}: {came:?} {outbox:?}")).unwrap();
            *came.entry(message.text().unwrap().to_owned()).or_default() += 1;
            receiver.accept(&message).unwrap();
        }
        let settled = async {
            while outbox.lock().unwrap().outcomes.len() < MESSAGES {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        soon(settled).await;
        assert!(receiver.fetch(Duration::ZERO).await.unwrap().is_none());
        assert!(proxy.stats().cuts >= 1, "{index}");
        assert!(came.values().all(|times| *times == 1), "at {index}: {came:?} {:?}", proxy.stats());
        let outbox = outbox.lock().unwrap();
        let once = |outcomes: &Vec<Result<Outcome, SendError>>| *outcomes == [Ok(Outcome::Accepted)];
        assert!(outbox.outcomes.values().all(once), "at {index}: {outbox:?}");
        assert!(outbox.sent.is_empty());
        server.abort();
    }
}

const MANY: usize = 600;

/// Both directions at once over connections that are cut at random, on several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn both_ends_agree_over_many_cuts() {
    for (seed, frame) in [(1, 65_536), (2, 65_536), (3, 512), (4, 512)] {
        let mut options = AcceptOptions::new(LocalEndpoint::host("127.0.0.1"));
        (options.keep_links, options.max_frame_size) = (Some(KeepLinks::default()), frame);
        let acceptor = Acceptor::listen(options).await.unwrap();
        let proxy = behind(&acceptor, Plan::new(seed).cuts_every(3000)).await;
        let (came, outbox) = (Came::default(), Arc::new(Mutex::new(Outbox { all: MANY, ..Outbox::default() })));
        let (taking, sending) = (came.clone(), outbox.clone());
        let server = serve(acceptor, move |link| {
            let (taking, sending) = (taking.clone(), sending.clone());
            async move {
                match link.is_receiver() {
                    true => take_in(link, taking).await,
                    false => send_out(link, sending).await,
                }
            }
        });
        let mut options = to(proxy.addr().port(), "client");
        options.max_frame_size = frame;
        options.reconnect.as_mut().unwrap().initially = true;
        let client = Connection::open(options).await.unwrap();
        let session = client.session().await.unwrap();
        let sender = soon(session.sender_with("in", guaranteed("in", 0))).await.unwrap();
        let mut receiver = soon(session.receiver_with("out", guaranteed("out", 10))).await.unwrap();
        let sending = async {
            for number in 0..MANY {
                sender.submit(&Message::from(number.to_string())).await.unwrap();
            }
            sender.sync().await.unwrap();
        };
        let receiving = async {
            let mut received: BTreeMap<String, usize> = BTreeMap::new();
            while received.len() < MANY {
                let message = receiver.receive().await.unwrap();
                *received.entry(message.text().unwrap().to_owned()).or_default() += 1;
                receiver.accept(&message).unwrap();
            }
            while outbox.lock().unwrap().outcomes.len() < MANY {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            received
        };
        let ((), received) = soon(async { tokio::join!(sending, receiving) }).await;
        let cuts = proxy.stats().cuts;
        assert!(cuts >= 5, "{cuts} cuts with seed {seed}");
        assert!(received.values().all(|times| *times == 1), "seed {seed}: {received:?}");
        let came = came.lock().unwrap();
        assert!(came.len() == MANY && came.values().all(|times| *times == 1), "seed {seed}: {came:?}");
        let outbox = outbox.lock().unwrap();
        let once = |outcomes: &Vec<Result<Outcome, SendError>>| *outcomes == [Ok(Outcome::Accepted)];
        assert!(outbox.outcomes.values().all(once), "seed {seed}: {outbox:?}");
        assert!(sender.take_in_doubt().is_empty());
        server.abort();
    }
}

async fn next_link(server: &Connection) -> IncomingLink {
    soon(server.next_link()).await.unwrap()
}

/// A client that does not come back by itself, and the server's end.
async fn connect(acceptor: &Acceptor, container: &str) -> (Connection, Connection) {
    let mut options = to(port(acceptor), container);
    options.reconnect = None;
    let (client, server) = soon(async { tokio::join!(Connection::open(options), acceptor.accept()) }).await;
    (client.unwrap(), server.unwrap())
}

/// A receiver of the client's and the sender of the server's, which knew the link or did not.
async fn receiving(client: &Connection, server: &Connection, options: LinkOptions) -> (Receiver, Sender, bool) {
    let session = client.session().await.unwrap();
    let accepting = async {
        let link = next_link(server).await;
        let known = link.known().is_some();
        (link.into_sender(&LinkOptions::default()).unwrap(), known)
    };
    let (receiver, (sender, known)) =
        soon(async { tokio::join!(session.receiver_with("q", options), accepting) }).await;
    (receiver.unwrap(), sender, known)
}

async fn news(sender: &Sender, ticket: &mut Ticket) -> SenderNews {
    soon(poll_fn(|cx| sender.poll_news(ticket, cx))).await
}

fn tags(news: &SenderNews) -> Vec<(DeliveryTag, bool)> {
    news.told.iter().map(|told| (told.tag, told.result.is_ok())).collect()
}

#[tokio::test]
async fn without_a_table_nobody_is_promised_anything() {
    let acceptor = Acceptor::listen(AcceptOptions::new(LocalEndpoint::host("127.0.0.1"))).await.unwrap();
    let (client, server) = connect(&acceptor, "client").await;
    let session = client.session().await.unwrap();
    let accepting = async { next_link(&server).await.into_receiver(&LinkOptions::default()).unwrap() };
    let (sender, _receiver) = tokio::join!(session.sender_with("q", guaranteed("link", 0)), accepting);
    assert!(matches!(sender.unwrap_err(), AttachError::GuaranteeUnavailable { .. }));
    assert!(soon(acceptor.next_expired()).await.is_err());
}

#[tokio::test]
async fn a_link_is_granted_the_time_that_it_is_kept() {
    let acceptor = acceptor(|keep| (keep.longest, keep.links) = (Duration::from_millis(1500), 1)).await;
    let (client, server) = connect(&acceptor, "client").await;
    let (receiver, sender, known) = receiving(&client, &server, guaranteed("link", 10)).await;
    assert!(!known);
    let second = Some(postroad_client::Expiry::ConnectionClose(Duration::from_secs(1)));
    assert_eq!(receiver.remote_source().unwrap().expiry, second);
    // There is no room for another.
    let session = client.session().await.unwrap();
    let accepting = async { next_link(&server).await.into_sender(&LinkOptions::default()).unwrap() };
    let (other, _other) = tokio::join!(session.receiver_with("q", guaranteed("other", 10)), accepting);
    assert!(matches!(other.unwrap_err(), AttachError::GuaranteeUnavailable { .. }));

    let mut ticket = Ticket::default();
    news(&sender, &mut ticket).await;
    let sent = ["a", "b"].map(|text| sender.try_submit_told(&Message::from(text), None).unwrap());
    client.close().await.unwrap();
    let over = news(&sender, &mut ticket).await;
    assert!(over.over.is_some() && over.told.is_empty() && sender.is_suspended(), "{over:?}");
    assert!(sender.take_in_doubt().is_empty());
    let ExpiredLink { user, container, name, node, in_doubt, .. } = soon(acceptor.next_expired()).await.unwrap();
    assert_eq!((user, container.as_str(), name.as_str()), (None, "client", "link"));
    assert_eq!((node.unwrap().address.as_deref(), in_doubt), (Some("q"), sent.to_vec()));
    // It is a new link now, and there is room for it again.
    let (client, server) = connect(&acceptor, "client").await;
    let (_receiver, _sender, known) = receiving(&client, &server, guaranteed("link", 10)).await;
    assert!(!known);
}

#[tokio::test]
async fn what_there_is_no_room_for_is_in_doubt() {
    let acceptor = acceptor(|keep| keep.bytes = 1000).await;
    let (client, server) = connect(&acceptor, "client").await;
    let (_receiver, sender, _) = receiving(&client, &server, guaranteed("link", 10)).await;
    let mut ticket = Ticket::default();
    news(&sender, &mut ticket).await;
    let tag = sender.try_submit_told(&Message::from(vec![7; 900]), None).unwrap();
    client.abort(postroad_client::types::PeerError::default());
    let mut told = Vec::new();
    while told.is_empty() {
        told = tags(&news(&sender, &mut ticket).await);
    }
    assert_eq!(told, [(tag, false)]);
    assert!(!sender.is_suspended());
    assert_eq!(sender.take_in_doubt().len(), 1);
}

#[tokio::test]
async fn a_link_goes_on_by_tag_over_a_connection_that_was_detached() {
    let acceptor = acceptor(|_| {}).await;
    let options = to(port(&acceptor), "client");
    let (client, server) = soon(async { tokio::join!(Connection::open(options), acceptor.accept()) }).await;
    let (client, server) = (client.unwrap(), server.unwrap());
    let (mut receiver, sender, _) = receiving(&client, &server, guaranteed("link", 10)).await;
    let mut ticket = Ticket::default();
    news(&sender, &mut ticket).await;
    // One that is over makes the places of the others other ones.
    sender.try_submit_told(&Message::from("over"), None).unwrap();
    let sent = ["a", "b", "c"].map(|text| sender.try_submit_told(&Message::from(text), None).unwrap());
    let message = soon(receiver.receive()).await.unwrap();
    receiver.accept(&message).unwrap();
    assert_eq!(news(&sender, &mut ticket).await.told.len(), 1);
    let settlement = sender.submit_tracked(&Message::from("d")).await.unwrap();
    let message = soon(receiver.receive()).await.unwrap();
    assert_eq!(message.text(), Some("a"));
    soon(client.detach()).await.unwrap();
    let over = news(&sender, &mut ticket).await;
    assert!(over.told.is_empty() && over.over.is_some() && sender.is_suspended());
    assert!(matches!(soon(settlement).await, Err(SendError::InDoubt(_))));
    receiver.accept(&message).unwrap();
    let accepting = async {
        let server = acceptor.accept().await.unwrap();
        let link = next_link(&server).await;
        assert_eq!(link.known().unwrap().address.as_deref(), Some("q"));
        assert!(link.has_unsettled_map());
        (link.into_sender(&LinkOptions::default()).unwrap(), server)
    };
    let (attached, (sender, _server)) = soon(async { tokio::join!(client.attach(), accepting) }).await;
    attached.unwrap();
    assert_eq!(sender.unsettled(), 4);
    let mut ticket = Ticket::default();
    let mut told = Vec::new();
    while told.is_empty() {
        told = tags(&news(&sender, &mut ticket).await);
    }
    assert_eq!(told, [(sent[0], true)]);
    for text in ["b", "c", "d"] {
        let message = soon(receiver.receive()).await.unwrap();
        assert_eq!(message.text(), Some(text));
        receiver.accept(&message).unwrap();
    }
    while told.len() < 4 {
        told.extend(tags(&news(&sender, &mut ticket).await));
    }
    assert_eq!(told[..3], [(sent[0], true), (sent[1], true), (sent[2], true)]);
    // Tags of our own go on behind those of before.
    let next = sender.try_submit_told(&Message::from("e"), None).unwrap();
    assert!(!told.iter().any(|(tag, _)| *tag == next));
}

#[tokio::test]
async fn whoever_attaches_a_link_takes_it_over() {
    let acceptor = acceptor(|_| {}).await;
    let (first, server) = connect(&acceptor, "client").await;
    let (mut receiver, sender, _) = receiving(&first, &server, guaranteed("link", 1)).await;
    let mut ticket = Ticket::default();
    news(&sender, &mut ticket).await;
    let tag = sender.try_submit_told(&Message::from("a"), None).unwrap();
    let message = soon(receiver.receive()).await.unwrap();
    // Neither another container nor another name means it.
    let (other, others) = connect(&acceptor, "other").await;
    let (_other, _others, known) = receiving(&other, &others, guaranteed("link", 1)).await;
    assert!(!known);
    let (second, servers) = connect(&acceptor, "client").await;
    let (_another, _, known) = receiving(&second, &servers, guaranteed("another", 1)).await;
    assert!(!known && sender.error().is_none());

    let (_receiver, taken_over, known) = receiving(&second, &servers, guaranteed("link", 1)).await;
    assert!(known);
    let stolen = |error: &LinkError| error.peer_error().unwrap().condition == ErrorCondition::STOLEN;
    assert!(stolen(&soon(receiver.closed()).await));
    assert!(stolen(&soon(sender.closed()).await) && sender.is_suspended());
    assert!(receiver.accept(&message).is_err());
    // The second one knows nothing of what the first had: it told no map.
    let told = tags(&news(&taken_over, &mut Ticket::default()).await);
    assert_eq!(told, [(tag, false)]);
    assert_eq!(taken_over.take_in_doubt()[0].message().unwrap().unwrap().text(), Some("a"));
    assert!(first.error().is_none(), "the connection goes on");
}

#[tokio::test]
async fn what_a_receiver_has_not_handed_out_comes_again() {
    let acceptor = acceptor(|_| {}).await;
    let options = to(port(&acceptor), "client");
    let (client, server) = soon(async { tokio::join!(Connection::open(options), acceptor.accept()) }).await;
    let (client, server) = (client.unwrap(), server.unwrap());
    let session = client.session().await.unwrap();
    let accepting = async { next_link(&server).await.into_receiver(&LinkOptions::default()).unwrap() };
    let (sender, mut receiver) = tokio::join!(session.sender_with("q", guaranteed("link", 0)), accepting);
    let sender = sender.unwrap();
    for text in ["a", "b", "c"] {
        sender.submit(&Message::from(text)).await.unwrap();
    }
    let (first, second) = (soon(receiver.receive()).await.unwrap(), soon(receiver.receive()).await.unwrap());
    // One may be with the receiver, and one is with the connection.
    sender.submit(&Message::from("d")).await.unwrap();
    while receiver.available() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    receiver.accept(&first).unwrap();
    soon(client.detach()).await.unwrap();
    soon(receiver.closed()).await;
    assert!(receiver.is_suspended());
    // Taken or not: what has no outcome is none of this link's business any more.
    assert!(receiver.accept(&second).is_err());
    assert!(receiver.try_receive().unwrap().is_none());
    let accepting = async {
        let server = acceptor.accept().await.unwrap();
        (next_link(&server).await.into_receiver(&LinkOptions::default()).unwrap(), server)
    };
    let (attached, (mut receiver, _server)) = soon(async { tokio::join!(client.attach(), accepting) }).await;
    attached.unwrap();
    for text in ["b", "c", "d"] {
        let message = soon(receiver.receive()).await.unwrap();
        assert_eq!(message.text(), Some(text));
        receiver.accept(&message).unwrap();
    }
    soon(sender.sync()).await.unwrap();
    assert!(receiver.fetch(Duration::ZERO).await.unwrap().is_none());
}

#[tokio::test]
async fn a_dynamic_node_that_is_known_is_the_one_that_was_made() {
    let acceptor = acceptor(|_| {}).await;
    let (client, server) = connect(&acceptor, "client").await;
    let attach = async |client: &Connection, server: &Connection, node: Node, made: Option<&str>| {
        let session = client.session().await.unwrap();
        let accepting = async {
            let mut link = next_link(server).await;
            let known = link.known().and_then(|node| node.address.clone());
            if let Some(made) = made {
                link.set_source(Node { dynamic: true, ..Node::at(made) });
            }
            (link.into_sender(&LinkOptions::default()).unwrap(), known)
        };
        let attaching = session.receiver_with(node, guaranteed("link", 1));
        let (receiver, (sender, known)) = soon(async { tokio::join!(attaching, accepting) }).await;
        (receiver.unwrap(), sender, known)
    };
    let (receiver, sender, known) = attach(&client, &server, Node::dynamic(), Some("made")).await;
    assert_eq!((receiver.address().as_deref(), known), (Some("made"), None));
    let mut ticket = Ticket::default();
    news(&sender, &mut ticket).await;
    sender.try_submit_told(&Message::from("a"), None).unwrap();
    client.close().await.unwrap();
    let (client, server) = connect(&acceptor, "client").await;
    let (receiver, _sender, known) = attach(&client, &server, Node::dynamic(), None).await;
    assert_eq!((receiver.address().as_deref(), known.as_deref()), (Some("made"), Some("made")));
    client.close().await.unwrap();
    // Another node under the name is another link.
    let (client, server) = connect(&acceptor, "client").await;
    let (receiver, sender, known) = attach(&client, &server, Node::at("q"), None).await;
    assert_eq!((receiver.address().as_deref(), known), (Some("q"), None));
    // What was in doubt when the peer had forgotten it was told then.
    assert!(tokio::time::timeout(Duration::from_millis(50), acceptor.next_expired()).await.is_err());
    news(&sender, &mut Ticket::default()).await;
    let tag = sender.try_submit_told(&Message::from("b"), None).unwrap();
    client.close().await.unwrap();
    let (client, server) = connect(&acceptor, "client").await;
    let (_receiver, _sender, known) = attach(&client, &server, Node::at("r"), None).await;
    assert_eq!(known, None);
    let expired = soon(acceptor.next_expired()).await.unwrap();
    assert_eq!((expired.node.unwrap().address.as_deref(), expired.in_doubt), (Some("q"), vec![tag]));
}

#[tokio::test]
async fn a_link_that_is_closed_is_not_kept() {
    let acceptor = acceptor(|_| {}).await;
    let (client, server) = connect(&acceptor, "client").await;
    for ours in [true, false] {
        let (receiver, sender, known) = receiving(&client, &server, guaranteed("link", 1)).await;
        assert!(!known);
        if ours {
            soon(sender.close()).await.unwrap();
        } else {
            soon(receiver.close()).await.unwrap();
            soon(sender.closed()).await;
            assert!(!sender.is_suspended());
        }
    }
    // One whose session ends is.
    let (receiver, sender, known) = receiving(&client, &server, guaranteed("link", 1)).await;
    assert!(!known);
    receiver.session().close().await.unwrap();
    soon(sender.closed()).await;
    assert!(sender.is_suspended());
    let (_receiver, _sender, known) = receiving(&client, &server, guaranteed("link", 1)).await;
    assert!(known);
}
