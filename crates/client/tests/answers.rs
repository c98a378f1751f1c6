//! Management nodes that answer badly, late or not at all: every request ends in time and says why, and the next one is
//! made as if nothing had been, where the links are still there.

mod raw;

use std::net::TcpListener;
use std::time::Duration;

use postroad_client::types::{Body, Bytes, ErrorCondition, Fields, Map, PeerError, Symbol, Value};
use postroad_client::{
    Binding, ConnectOptions, Connection, LinkError, Management, ManagementError, Message, NodeKind, Outcome,
    ReceiveError, SendError,
};
use postroad_codec::v1_0::{self as codec, Attach, DeliveryState, Frame, Open, Performative, Role};
use postroad_testkit::{
    Builder, accepted, attach_receiver, attach_sender, close, detach, disposition, end, error, flow, open, transfer,
};
use raw::Peer;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Nothing that should come takes longer.
const SOON: Duration = Duration::from_secs(10);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it comes")
}

/// The broker's end of the links: requests come on handle 0, and answers go on handle 1.
struct Node {
    peer: Peer,
    answers: u32,
}

impl Node {
    /// Attaches the links as they were asked for.
    fn attached(mut peer: Peer, address: Option<&str>) -> Self {
        peer.begin();
        for _ in 0..2 {
            let theirs = take_attach(&mut peer);
            let (handle, name) = (theirs.handle.0, &theirs.name);
            match theirs.role {
                Role::Sender => {
                    peer.send(attach_receiver(name).handle(handle).with(|attach| attach.target = theirs.target));
                    peer.send(flow().handle(handle).delivery_count(0).link_credit(100));
                }
                Role::Receiver => {
                    let mut source = theirs.source.unwrap();
                    source.address = source.address.or_else(|| address.map(Into::into));
                    peer.send(attach_sender(name).handle(handle).source(*source));
                }
            }
        }
        Self { peer, answers: 0 }
    }

    /// The next request, and its number.
    fn take(&mut self) -> (Message, u32) {
        loop {
            let Frame::Amqp { performative, payload, .. } = self.peer.next().expect("the client has hung up") else {
                continue;
            };
            if let Performative::Transfer(transfer) = performative {
                return (Message::decode(&payload).unwrap(), transfer.delivery_id.unwrap().0);
            }
        }
    }

    /// The next request, which is accepted.
    fn accept(&mut self) -> Message {
        let (request, number) = self.take();
        self.peer.send(accepted(number));
        request
    }

    fn put(&mut self, payload: impl Into<Bytes>) {
        self.peer.send(transfer(self.answers).handle(1).payload(payload));
        self.answers += 1;
    }

    /// Sends what answers a request.
    fn answer(&mut self, request: &Message, mut answer: Message) {
        answer.set_correlation_id(request.id().unwrap().clone());
        self.put(answer.encode());
    }
}

/// The next attach, whatever comes before it.
fn take_attach(peer: &mut Peer) -> Attach {
    loop {
        let frame = peer.next().expect("the client has hung up");
        if let Frame::Amqp { performative: Performative::Attach(attach), .. } = frame {
            return *attach;
        }
    }
}

/// A broker that has a `$management`.
fn amqp() -> Builder<Open> {
    let offered = codec::Multiple(vec![Symbol::from_static("AMQP_MANAGEMENT_V1_0")]);
    open().with(|open| open.offered_capabilities = offered)
}

/// Qpid's C++ broker, by its name.
fn qmf() -> Builder<Open> {
    let product = Map::from_iter([(Symbol::from_static("product"), "qpid-cpp")]);
    open().with(|open| open.properties = Some(Fields(product)))
}

/// A client that makes requests to a node which a script plays, and hangs up behind it.
async fn managed(
    open: fn() -> Builder<Open>,
    script: impl FnOnce(&mut Node) + Send + 'static,
) -> (Connection, Management, JoinHandle<()>) {
    managed_by(open, Some("answers"), script).await
}

/// The same with this address of a node that the broker makes.
async fn managed_by(
    open: fn() -> Builder<Open>,
    address: Option<&'static str>,
    script: impl FnOnce(&mut Node) + Send + 'static,
) -> (Connection, Management, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = ConnectOptions::new(format!("amqp://{}", listener.local_addr().unwrap()).parse().unwrap());
    options.sasl_enabled = false;
    options.reconnect = None;
    let thread = tokio::task::spawn_blocking(move || {
        let mut node = Node::attached(Peer::accept_with(&listener, open()), address);
        script(&mut node);
        node.peer.part();
    });
    let connection = soon(Connection::open(options)).await.unwrap();
    let session = soon(connection.session()).await.unwrap();
    let management = soon(session.management()).await.unwrap();
    (connection, management, thread)
}

/// A client whose requests are answered by these messages in turn.
async fn answered(
    open: fn() -> Builder<Open>,
    answers: impl IntoIterator<Item = Message, IntoIter: Send + 'static>,
) -> (Connection, Management, JoinHandle<()>) {
    let answers = answers.into_iter();
    managed(open, |node| {
        for answer in answers {
            let request = node.accept();
            node.answer(&request, answer);
        }
    })
    .await
}

async fn part(connection: Connection, management: Management, peer: JoinHandle<()>) {
    drop(management);
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
}

fn with_status(status: impl Into<Value>, body: impl Into<Body>) -> Message {
    let mut answer = Message::new().with_property("statusCode", status);
    answer.set_body(body);
    answer
}

fn attributes() -> Message {
    with_status(200, Map::from_iter([("durable", true)]))
}

async fn describe(management: &mut Management) -> Result<Option<Fields>, ManagementError> {
    soon(management.describe(NodeKind::Queue, "q")).await
}

/// The node answers as it should.
async fn works(management: &mut Management) {
    let told = describe(management).await.unwrap().expect("it is there");
    assert_eq!(told.0.get_str("durable"), Some(&Value::Boolean(true)));
}

fn refused<T>(condition: ErrorCondition, text: &str) -> Result<T, ManagementError> {
    Err(ManagementError::Refused(PeerError::new(condition, text)))
}

#[tokio::test]
async fn an_answer_without_a_status_means_nothing() {
    let statuses = ["200".into(), Value::Null, 200.0.into(), u64::MAX.into(), true.into()];
    let answers = statuses.clone().into_iter().map(|status| with_status(status, Map::default()));
    let answers = answers.chain([Message::from(Map::default()), attributes()]).collect::<Vec<_>>();
    let (connection, mut management, peer) = answered(amqp, answers).await;
    for _ in 0..=statuses.len() {
        assert_eq!(describe(&mut management).await, Err(ManagementError::Answer("statusCode")));
    }
    works(&mut management).await;
    part(connection, management, peer).await;
}

#[tokio::test]
async fn a_body_of_another_kind_means_nothing() {
    let bodies = ["durable".into(), Value::List(vec![]), true.into(), Value::Null].map(Body::Value);
    let bodies = bodies.into_iter().chain([Body::Empty, Body::Data(Bytes::from_static(b"durable"))]);
    let bodies: Vec<Body> = bodies.collect();
    let count = bodies.len();
    let answers = bodies.into_iter().map(|body| with_status(200, body));
    let answers = answers.chain([with_status(200, Map::default()), with_status(200, "yes"), attributes()]);
    let (connection, mut management, peer) = answered(amqp, answers).await;
    for _ in 0..count {
        assert_eq!(describe(&mut management).await, Err(ManagementError::Answer("map")));
    }
    let binding = Binding::new("x", "q");
    for _ in 0..2 {
        assert_eq!(soon(management.is_bound(&binding)).await, Err(ManagementError::Answer("boolean")));
    }
    works(&mut management).await;
    part(connection, management, peer).await;
}

#[tokio::test]
async fn a_status_that_nobody_knows_is_a_refusal() {
    let statuses: [i64; 6] = [0, -1, 199, 300, 999, i64::MAX];
    let answers = statuses.into_iter().map(|status| with_status(status, "").with_property("statusDescription", 7));
    let not_there = with_status(404, "").with_property("statusDescription", "none such");
    let answers = answers.chain([not_there.clone(), not_there.clone(), not_there, attributes()]);
    let (connection, mut management, peer) = answered(amqp, answers).await;
    for _ in statuses {
        assert_eq!(describe(&mut management).await, refused(ErrorCondition::INTERNAL_ERROR, ""));
    }
    assert_eq!(describe(&mut management).await, Ok(None));
    assert_eq!(soon(management.delete(NodeKind::Queue, "q")).await, Ok(false));
    let bound = soon(management.bind(&Binding::new("x", "q"))).await;
    assert_eq!(bound, refused(ErrorCondition::NOT_FOUND, "none such"));
    works(&mut management).await;
    part(connection, management, peer).await;
}

#[tokio::test]
async fn what_is_no_message_is_no_answer() {
    let (connection, mut management, peer) = managed(amqp, |node| {
        node.accept();
        node.put("\0Sxnothing");
        let request = node.accept();
        node.answer(&request, attributes());
    })
    .await;
    let error = describe(&mut management).await.unwrap_err();
    assert!(matches!(error, ManagementError::Receive(ReceiveError::Malformed(_))), "{error:?}");
    works(&mut management).await;
    part(connection, management, peer).await;
}

#[tokio::test]
async fn answers_of_other_requests_are_passed_over() {
    let (connection, mut management, peer) = managed(amqp, |node| {
        let request = node.accept();
        let mut other = with_status(500, "");
        node.put(other.encode());
        for id in ["", "0", "2", " 1", "01"] {
            other.set_correlation_id(id);
            node.put(other.encode());
        }
        other.set_correlation_id(codec::MessageId::Ulong(2));
        node.put(other.encode());
        // Where its own id is, it does not answer.
        other.set_id(request.id().unwrap().clone());
        node.put(other.encode());
        // More of them than were asked for ahead.
        for _ in 0..60 {
            node.put(other.encode());
            if node.answers.is_multiple_of(5) {
                credited(node);
            }
        }
        node.answer(&request, attributes());
    })
    .await;
    works(&mut management).await;
    part(connection, management, peer).await;
}

/// Waits until the client has allowed five answers more.
fn credited(node: &mut Node) {
    loop {
        if let Some(Frame::Amqp { performative: Performative::Flow(flow), .. }) = node.peer.next()
            && let (Some(count), Some(credit)) = (flow.delivery_count, flow.link_credit)
            && count.0 + credit >= node.answers + 5
        {
            return;
        }
    }
}

#[tokio::test]
async fn late_answers_are_not_those_of_the_next_request() {
    let (taken, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let (connection, mut management, peer) = managed(amqp, move |node| {
        let given_up: Vec<Message> = (0..2).map(|_| (node.accept(), taken.send(())).0).collect();
        let request = node.accept();
        node.answer(&given_up[1], with_status(500, ""));
        node.answer(&request, attributes());
        node.answer(&given_up[0], with_status(500, ""));
        let request = node.accept();
        node.answer(&request, attributes());
    })
    .await;
    for _ in 0..2 {
        tokio::select! {
            answer = describe(&mut management) => panic!("{answer:?}"),
            taken = hears.recv() => taken.unwrap(),
        }
    }
    works(&mut management).await;
    works(&mut management).await;
    part(connection, management, peer).await;
}

/// What comes of a request while nobody does anything, as long as it takes.
async fn in_vain(script: impl FnOnce(&mut Node) + Send + 'static) {
    let (taken, hears) = oneshot::channel();
    let (connection, mut management, peer) = managed(amqp, move |node| {
        script(node);
        taken.send(()).unwrap();
    })
    .await;
    let request = tokio::spawn(async move {
        let answer = management.describe(NodeKind::Queue, "q").await;
        (answer, management)
    });
    soon(hears).await.unwrap();
    // The script may be ahead of us.
    tokio::time::sleep(Duration::from_millis(50)).await;
    tokio::time::pause();
    tokio::time::advance(PATIENCE - Duration::from_secs(1)).await;
    tokio::task::yield_now().await;
    assert!(!request.is_finished());
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    let (answer, management) = soon(request).await.unwrap();
    assert_eq!(answer, Err(ManagementError::Timeout(PATIENCE)));
    part(connection, management, peer).await;
}

#[tokio::test]
async fn answers_that_never_come_are_not_waited_for_for_ever() {
    // Not taken; taken and not settled; settled and not answered; answered for somebody else.
    in_vain(|_| {}).await;
    in_vain(|node| drop(node.take())).await;
    in_vain(|node| drop(node.accept())).await;
    in_vain(|node| {
        node.accept();
        node.put(with_status(200, "").encode());
    })
    .await;
}

#[tokio::test]
async fn a_node_without_an_address_gets_no_answers() {
    let (connection, mut management, peer) = managed_by(amqp, None, |_| {}).await;
    assert_eq!(describe(&mut management).await, Err(ManagementError::NoReplyTo));
    part(connection, management, peer).await;
}

#[tokio::test]
async fn a_request_that_is_not_taken_says_so() {
    let outcomes = [
        (DeliveryState::Rejected(Box::new(codec::Rejected { error: Some(error("test:mood")) })), true),
        (codec::Outcome::Released.into(), false),
    ];
    for (told, has_reason) in outcomes {
        let (connection, mut management, peer) = managed(amqp, move |node| {
            let (_, number) = node.take();
            node.peer.send(disposition(Role::Receiver, number).settled(true).state(told));
            let request = node.accept();
            node.answer(&request, attributes());
        })
        .await;
        match describe(&mut management).await {
            Err(error @ ManagementError::Outcome(Outcome::Rejected(_))) => {
                assert!(has_reason && error.peer_error().is_some());
            }
            other => assert!(!has_reason && other == Err(ManagementError::Outcome(Outcome::Released)), "{other:?}"),
        }
        works(&mut management).await;
        part(connection, management, peer).await;
    }
}

#[tokio::test]
async fn links_that_end_in_the_middle_end_the_request() {
    let mood = || error("test:mood");
    // That of the answers, with and without a reason.
    for reason in [None, Some(mood())] {
        let expected = reason.clone().map_or(LinkError::DetachedByPeer, LinkError::Detached);
        let (connection, mut management, peer) = managed(amqp, move |node| {
            node.accept();
            node.peer.send(detach().handle(1).closed(true).error(reason));
        })
        .await;
        let error = describe(&mut management).await.unwrap_err();
        assert_eq!(error, ManagementError::Receive(ReceiveError::Link(expected.clone())));
        assert_eq!(describe(&mut management).await, Err(ManagementError::Link(expected)));
        part(connection, management, peer).await;
    }
    // That of the requests, behind one that was taken, and one that was not.
    let (connection, mut management, peer) = managed(amqp, move |node| {
        node.accept();
        node.peer.send(detach().handle(0).closed(true).error(mood()));
        // Its own detach is the answer to that.
        while !matches!(node.peer.next(), Some(Frame::Amqp { performative: Performative::Detach(_), .. })) {}
    })
    .await;
    assert_eq!(describe(&mut management).await, Err(ManagementError::Link(LinkError::Detached(mood()))));
    part(connection, management, peer).await;
    let (connection, mut management, peer) = managed(amqp, move |node| {
        node.take();
        node.peer.send(detach().handle(0).closed(true).error(mood()));
    })
    .await;
    let over = LinkError::Detached(mood());
    assert_eq!(describe(&mut management).await, Err(ManagementError::Send(SendError::InDoubt(over.clone()))));
    assert_eq!(describe(&mut management).await, Err(ManagementError::Send(SendError::NotSent(over))));
    part(connection, management, peer).await;
}

#[tokio::test]
async fn sessions_and_connections_that_end_in_the_middle_end_the_request() {
    let (connection, mut management, peer) = managed(amqp, |node| {
        node.accept();
        node.peer.send(end().error(error("test:mood")));
        let ended = |frame| matches!(frame, Some(Frame::Amqp { performative: Performative::End(_), .. }));
        while !ended(node.peer.next()) {}
    })
    .await;
    let over = ReceiveError::Link(LinkError::SessionEnded(Some(error("test:mood"))));
    assert_eq!(describe(&mut management).await, Err(ManagementError::Receive(over)));
    part(connection, management, peer).await;

    let (_connection, mut management, peer) = managed(amqp, |node| {
        node.accept();
        node.peer.send(close().error(error("test:mood")));
    })
    .await;
    let failed = describe(&mut management).await.unwrap_err();
    let ManagementError::Receive(ReceiveError::Link(LinkError::Connection(over))) = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(over.peer_error(), Some(&error("test:mood")));
    soon(peer).await.unwrap();

    let (_connection, mut management, peer) = managed(amqp, |node| {
        node.accept();
        node.peer.hang_up();
    })
    .await;
    let error = describe(&mut management).await.unwrap_err();
    let ManagementError::Receive(ReceiveError::Link(LinkError::Connection(_))) = error else { panic!("{error:?}") };
    soon(peer).await.unwrap();
}

#[tokio::test]
async fn an_answer_beyond_all_bounds_is_not_kept() {
    let (connection, mut management, peer) = managed(amqp, |node| {
        node.accept();
        let part = || Bytes::from(vec![0; 60_000]);
        node.peer.send(transfer(0).handle(1).more(true).payload(part()));
        for _ in 0..40 {
            node.peer.send_bytes(&postroad_testkit::continuation().handle(1).more(true).payload(part()).to_bytes());
        }
    })
    .await;
    let error = describe(&mut management).await.unwrap_err();
    let ManagementError::Receive(ReceiveError::Link(LinkError::Detached(told))) = error else { panic!("{error:?}") };
    assert_eq!(told.condition, ErrorCondition::MESSAGE_SIZE_EXCEEDED);
    part(connection, management, peer).await;
}

fn qmf_answer(opcode: impl Into<Value>, body: impl Into<Body>) -> Message {
    let mut answer = Message::new().with_property("qmf.opcode", opcode);
    answer.set_body(body);
    answer
}

fn objects(objects: impl Into<Value>) -> Message {
    qmf_answer("_query_response", Body::Value(Value::List(vec![objects.into()])))
}

#[tokio::test]
async fn answers_of_qmf_are_not_believed_either() {
    let values = Map::from_iter([("_values", Value::from(Map::from_iter([("durable", true)])))]);
    let good = objects(values);
    let answers = [
        Message::from("no opcode"),
        qmf_answer(7, ""),
        qmf_answer("_method_response", Body::Value(Value::List(vec![]))),
        qmf_answer("_query_response", "text"),
        qmf_answer("_query_response", Map::default()),
        objects("text"),
        objects(Map::default()),
        objects(Map::from_iter([("_values", "text")])),
        qmf_answer("_exception", Value::List(vec![])),
        qmf_answer("_exception", Map::from_iter([("_values", Map::from_iter([("error_text", 7)]))])),
        qmf_answer("_query_response", Body::Value(Value::List(vec![]))),
        // That of a method is asked for behind it.
        qmf_answer("_query_response", Body::Value(Value::List(vec![]))),
        good,
    ];
    let (connection, mut management, peer) = answered(qmf, answers).await;
    let opcode = "qmf.opcode";
    for lacks in [opcode, opcode, opcode, "list", "list", "_values", "_values", "_values"] {
        assert_eq!(describe(&mut management).await, Err(ManagementError::Answer(lacks)));
    }
    for _ in 0..2 {
        let text = "refused without a reason";
        assert_eq!(describe(&mut management).await, refused(ErrorCondition::INTERNAL_ERROR, text));
    }
    assert_eq!(describe(&mut management).await, Ok(None));
    let bound = soon(management.bind(&Binding::new("x", "q"))).await;
    assert_eq!(bound, Err(ManagementError::Answer(opcode)));
    works(&mut management).await;
    part(connection, management, peer).await;
}
