//! Requests from many tasks, and answers that come in any order, late, twice, or not at all.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use postroad_broker::Broker;
use postroad_client::{
    AcceptOptions, Acceptor, ConnectOptions, Connection, Guarantee, LinkError, LinkOptions, Message, Node, Outcome,
    ReceiveError, Receiver, Reconnect, RequestError, RequestOptions, Requester, SendError, Sender, Session,
};
use postroad_taps::LocalEndpoint;
use postroad_testkit::faults::{At, Direction, FrameKind, Plan, Point, Rule};
use postroad_testkit::{Door, Proxy};

const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

async fn open(url: String) -> Connection {
    let mut options = ConnectOptions::new(url.parse().unwrap());
    let mut reconnect = Reconnect::default();
    (reconnect.interval, reconnect.max_interval) = (Duration::from_millis(5), Duration::from_millis(20));
    options.reconnect = Some(reconnect);
    Connection::open(options).await.unwrap()
}

/// A service at the queue `service`, on a connection of its own, and a client on another one, behind a proxy.
struct Road {
    broker: Broker,
    proxy: Proxy,
    requests: Receiver,
    answers: Sender,
    client: Session,
}

impl Road {
    async fn new() -> Self {
        let builder = Broker::builder().queue("service").queue("answers");
        let broker = builder.listen("amqp://127.0.0.1:0").start().await.unwrap();
        let proxy = Proxy::start(broker.addr().unwrap(), Plan::new(1)).await.unwrap();
        let service = open(broker.urls()[0].clone()).await.session().await.unwrap();
        let (requests, answers) = tokio::join!(service.receiver("service"), service.sender(Node::anonymous()));
        let client = open(format!("amqp://{}", proxy.addr())).await.session().await.unwrap();
        Self { broker, proxy, requests: requests.unwrap(), answers: answers.unwrap(), client }
    }

    async fn requester(&self) -> Requester {
        self.client.requester("service").await.unwrap()
    }

    async fn take(&mut self) -> Message {
        let request = soon(self.requests.receive()).await.unwrap();
        self.requests.accept(&request).unwrap();
        request
    }

    /// Answers with what was asked.
    async fn answer(&self, request: &Message) -> Outcome {
        let mut answer = request.reply();
        answer.set_body(request.body().clone());
        soon(self.answers.send(&answer)).await.unwrap()
    }

    async fn echo(&mut self) {
        let request = self.take().await;
        assert_eq!(self.answer(&request).await, Outcome::Accepted);
    }
}

fn asking(requester: &Requester, text: &str) -> tokio::task::JoinHandle<Result<Message, RequestError>> {
    let (requester, request) = (requester.clone(), Message::from(text));
    tokio::spawn(async move { requester.request(request).await })
}

async fn until(what: impl Fn() -> bool) {
    soon(async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_tasks_has_its_own_answer() {
    let mut road = Road::new().await;
    let requester = road.requester().await;
    let tasks: Vec<_> = (0..300).map(|number| asking(&requester, &number.to_string())).collect();
    let mut requests = Vec::new();
    for _ in 0..300 {
        requests.push(road.take().await);
    }
    assert_eq!(requester.pending(), 300);
    for request in requests.iter().rev() {
        assert_eq!(road.answer(request).await, Outcome::Accepted);
    }
    for (number, task) in tasks.into_iter().enumerate() {
        assert_eq!(soon(task).await.unwrap().unwrap().text(), Some(&*number.to_string()));
    }
    assert_eq!((requester.pending(), requester.stray()), (0, 0));
    let mut ids: Vec<String> = requests.iter().map(|request| request.id().unwrap().to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 300);
}

#[tokio::test]
async fn a_request_that_nobody_polls_holds_up_no_other() {
    let mut road = Road::new().await;
    let requester = road.requester().await;
    let mut idle = pin!(requester.request("idle"));
    let taken = async {
        tokio::select! {
            answer = &mut idle => panic!("{answer:?}"),
            request = road.take() => request,
        }
    };
    let first = taken.await;
    let (answer, ()) = soon(async { tokio::join!(requester.request("other"), road.echo()) }).await;
    assert_eq!(answer.unwrap().text(), Some("other"));
    road.answer(&first).await;
    assert_eq!(soon(idle).await.unwrap().text(), Some("idle"));
}

#[tokio::test]
async fn answers_are_found_by_whichever_id_the_service_copies() {
    let mut road = Road::new().await;
    let requester = road.requester().await;
    for by_id in [true, false] {
        let task = asking(&requester, "x");
        let request = road.take().await;
        assert_eq!(request.reply_to().map(ToOwned::to_owned), requester.reply_to());
        let copied = if by_id { request.id() } else { request.correlation_id() }.unwrap().clone();
        let answer = Message::from("x").with_address(request.reply_to().unwrap()).with_correlation_id(copied);
        soon(road.answers.send(&answer)).await.unwrap();
        assert_eq!(soon(task).await.unwrap().unwrap().text(), Some("x"));
    }
}

#[tokio::test]
async fn requests_go_where_each_says_and_answers_where_the_options_say() {
    let mut road = Road::new().await;
    let mut options = RequestOptions::default();
    options.reply_node = Node::at("answers");
    let requester = road.client.requester_with(Node::anonymous(), options).await.unwrap();
    assert_eq!(requester.reply_to().as_deref(), Some("answers"));
    let request = Message::from("x").with_address("service");
    let (answer, ()) = soon(async { tokio::join!(requester.request(request), road.echo()) }).await;
    assert_eq!(answer.unwrap().text(), Some("x"));
    let nowhere = soon(requester.request(Message::from("x").with_address("nowhere"))).await.unwrap_err();
    let RequestError::NotAccepted(Outcome::Rejected(Some(_))) = &nowhere else { panic!("{nowhere}") };
    assert!(!nowhere.is_in_doubt() && nowhere.peer_error().is_some());
}

#[tokio::test]
async fn every_guarantee_has_its_answers() {
    let mut road = Road::new().await;
    for guarantee in [Guarantee::AtMostOnce, Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let mut options = RequestOptions::default();
        (options.sender.guarantee, options.receiver.guarantee) = (guarantee, guarantee);
        let requester = road.client.requester_with("service", options).await.unwrap();
        for _ in 0..3 {
            let (answer, ()) = soon(async { tokio::join!(requester.request("x"), road.echo()) }).await;
            assert_eq!(answer.unwrap().text(), Some("x"), "{guarantee}");
        }
        requester.close().await.unwrap();
    }
}

#[tokio::test]
async fn late_and_stray_answers_are_dropped_and_counted() {
    let mut road = Road::new().await;
    let requester = road.requester().await;
    let late = soon(requester.request_timeout("late", Duration::from_millis(20))).await.unwrap_err();
    assert_eq!(late, RequestError::Timeout { after: Duration::from_millis(20), sent: true });
    assert!(late.is_in_doubt() && late.hint().is_some());
    road.echo().await;
    let stray = Message::from("stray").with_address(requester.reply_to().unwrap());
    for id in ["1", "", ":1"] {
        soon(road.answers.send(&stray.clone().with_correlation_id(id))).await.unwrap();
    }
    soon(road.answers.send(&stray)).await.unwrap();
    until(|| requester.stray() == 5).await;
    // More of them than are taken ahead, and none of them settled by anybody else; the second answer to one request.
    for _ in 0..300 {
        soon(road.answers.send(&stray)).await.unwrap();
    }
    let task = asking(&requester, "x");
    let request = road.take().await;
    for _ in 0..2 {
        road.answer(&request).await;
    }
    assert_eq!(soon(task).await.unwrap().unwrap().text(), Some("x"));
    until(|| requester.stray() == 306).await;
    assert_eq!(requester.pending(), 0);
}

#[tokio::test]
async fn a_request_without_credit_was_not_sent() {
    let mut options = LinkOptions::default();
    options.prefetch = 0;
    // Without a broker between them: the one that is asked gives no credit.
    let acceptor = Acceptor::listen(AcceptOptions::new(LocalEndpoint::host("127.0.0.1"))).await.unwrap();
    let url = format!("amqp://{}", acceptor.local_endpoint());
    let (client, server) = tokio::join!(open(url), acceptor.accept());
    let server = server.unwrap();
    let serving = tokio::spawn(async move {
        let (one, other) = (server.next_link().await.unwrap(), server.next_link().await.unwrap());
        let (requests, answers) = if one.is_receiver() { (one, other) } else { (other, one) };
        (requests.into_receiver(&options).unwrap(), answers.into_sender(&options).unwrap(), server)
    });
    let session = client.session().await.unwrap();
    let mut options = RequestOptions::default();
    options.reply_node = Node::at("mine");
    options.timeout = Duration::from_millis(20);
    let requester = soon(session.requester_with("service", options)).await.unwrap();
    let _server = soon(serving).await.unwrap();
    let error = soon(requester.request("x")).await.unwrap_err();
    assert_eq!(error, RequestError::Timeout { after: Duration::from_millis(20), sent: false });
    assert!(!error.is_in_doubt() && error.hint().is_some());
}

#[tokio::test]
async fn what_was_under_way_is_in_doubt_when_the_connection_is_lost_and_is_not_sent_again() {
    let mut road = Road::new().await;
    let requester = road.requester().await;
    let before = requester.reply_to();
    // One of which the client does not hear whether it was taken.
    road.proxy.arm(Rule::cut(At::frame(FrameKind::Disposition).at(Point::Before)).in_direction(Direction::ToClient));
    let error = soon(requester.request("unknown")).await.unwrap_err();
    assert!(error.is_interrupted() && error.is_in_doubt(), "{error:?}");
    assert_eq!(road.take().await.text(), Some("unknown"));
    // One that the service has.
    let task = asking(&requester, "taken");
    assert_eq!(road.take().await.text(), Some("taken"));
    road.proxy.cut_all();
    let error = soon(task).await.unwrap().unwrap_err();
    assert!(error.is_interrupted() && error.is_in_doubt(), "{error:?}");
    // The next one goes over the next connection, with the node that is made there.
    let task = asking(&requester, "next");
    let request = road.take().await;
    assert_eq!(request.text(), Some("next"));
    assert_ne!(request.reply_to().map(ToOwned::to_owned), before);
    road.answer(&request).await;
    assert_eq!(soon(task).await.unwrap().unwrap().text(), Some("next"));
    assert_eq!(road.broker.queue_stats("service").unwrap().enqueued, 3, "one was sent again");
}

#[tokio::test]
async fn a_request_that_was_not_sent_waits_for_the_next_connection() {
    let mut road = Road::new().await;
    let requester = road.requester().await;
    road.proxy.set_door(Door::Refused);
    road.proxy.cut_all();
    until(|| requester.reply_to().is_none() || road.proxy.stats().cuts > 0).await;
    let waits = asking(&requester, "waits");
    until(|| requester.pending() == 1).await;
    road.proxy.set_door(Door::Open);
    road.echo().await;
    assert_eq!(soon(waits).await.unwrap().unwrap().text(), Some("waits"));
}

#[tokio::test]
async fn a_node_that_outlives_the_connection_still_has_the_answer() {
    let mut road = Road::new().await;
    let mut options = RequestOptions::default();
    (options.reply_node, options.reply_lasts) = (Node::at("answers"), true);
    let requester = road.client.requester_with("service", options).await.unwrap();
    let mut waits = pin!(requester.request("waits"));
    let request = tokio::select! {
        answer = &mut waits => panic!("{answer:?}"),
        request = road.take() => request,
    };
    // Long enough for the client to have heard that it was taken.
    let heard = poll_fn(|cx| match waits.as_mut().poll(cx) {
        Poll::Ready(answer) => panic!("{answer:?}"),
        Poll::Pending => Poll::Ready(()),
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    heard.await;
    road.proxy.set_door(Door::Refused);
    road.proxy.cut_all();
    road.answer(&request).await;
    road.proxy.set_door(Door::Open);
    assert_eq!(soon(waits).await.unwrap().text(), Some("waits"));
}

#[tokio::test]
async fn links_that_are_over_say_so() {
    let road = Road::new().await;
    let requester = road.requester().await;
    assert_eq!(requester.error(), None);
    let waits = asking(&requester, "x");
    until(|| road.broker.queue_stats("service").unwrap().enqueued == 1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    requester.close().await.unwrap();
    let error = soon(waits).await.unwrap().unwrap_err();
    assert!(
        matches!(
            &error,
            RequestError::Receive(ReceiveError::Link(LinkError::Closed))
                | RequestError::InDoubt(LinkError::Closed)
                | RequestError::Send(SendError::InDoubt(LinkError::Closed))
        ),
        "{error:?}"
    );
    assert!(error.is_in_doubt());
    let error = soon(requester.request("x")).await.unwrap_err();
    assert_eq!(error, RequestError::Link(LinkError::Closed));
    assert!(!error.is_in_doubt() && requester.error().is_some());
}

#[tokio::test]
async fn a_requester_that_goes_keeps_nothing_open() {
    let road = Road::new().await;
    let (requester, waits) = (road.requester().await, road.requester().await);
    let given_up = asking(&waits, "x");
    until(|| waits.pending() == 1).await;
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    assert_eq!(waits.pending(), 0);
    let connection = requester.session().connection().clone();
    let (told, hears) = tokio::sync::oneshot::channel();
    connection.when_over(|error| drop(told.send(error)));
    drop(connection);
    let Road { client, broker, .. } = road;
    drop((client, requester, waits));
    soon(hears).await.unwrap();
    assert_eq!(broker.queue_stats("service").unwrap().producers, 0);
}
