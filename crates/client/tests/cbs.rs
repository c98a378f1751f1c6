//! Tokens at a `$cbs` node: put before links are attached, renewed, and put again on the next connection.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postroad_client::types::{Body, ErrorCondition, PeerError, Timestamp, Value};
use postroad_client::{
    AcceptOptions, Acceptor, Cbs, CbsError, CbsOptions, ConnectError, ConnectOptions, Connection, ConnectionError,
    ConnectionEvent, ConnectionEvents, LinkError, LinkOptions, Message, Reconnect, Redirect, RedirectCredentials,
    RedirectError, Token, TokenError,
};
use postroad_taps::LocalEndpoint;

const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

/// What a request is answered with: a status and the names that it has, or nothing.
type Answering = Arc<dyn Fn(&Message) -> Option<Message> + Send + Sync>;

/// A peer that lets nobody attach a link to a node before there is a token for it, on each connection anew.
struct Service {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
    requests: Arc<Mutex<Vec<Message>>>,
    answering: Arc<Mutex<Answering>>,
    last: Arc<Mutex<Option<Connection>>>,
    opened: Arc<AtomicU32>,
}

fn status(status: impl Into<Value>, description: &str) -> Message {
    Message::new().with_property("status-code", status).with_property("status-description", description)
}

fn fine() -> Answering {
    Arc::new(|_| Some(status(202, "Accepted")))
}

impl Service {
    async fn new() -> Self {
        let acceptor = Acceptor::listen(AcceptOptions::new(LocalEndpoint::host("127.0.0.1"))).await.unwrap();
        let url = format!("amqp://{}", acceptor.local_endpoint());
        let service = Self {
            url,
            seen: Arc::default(),
            requests: Arc::default(),
            answering: Arc::new(Mutex::new(fine())),
            last: Arc::default(),
            opened: Arc::default(),
        };
        let (seen, requests) = (service.seen.clone(), service.requests.clone());
        let (answering, last, opened) = (service.answering.clone(), service.last.clone(), service.opened.clone());
        tokio::spawn(async move {
            loop {
                let Ok(connection) = acceptor.accept().await else { continue };
                opened.fetch_add(1, Ordering::Relaxed);
                *last.lock().unwrap() = Some(connection.clone());
                tokio::spawn(serve(connection, seen.clone(), requests.clone(), answering.clone()));
            }
        });
        service
    }

    fn answer(&self, answering: impl Fn(&Message) -> Option<Message> + Send + Sync + 'static) {
        *self.answering.lock().unwrap() = Arc::new(answering);
    }

    fn options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new(self.url.parse().unwrap());
        let mut reconnect = Reconnect::default();
        (reconnect.interval, reconnect.max_interval) = (Duration::from_millis(5), Duration::from_millis(20));
        options.reconnect = Some(reconnect);
        options.allow_insecure_mechs = true;
        options
    }

    async fn connect(&self) -> (Connection, Cbs) {
        let connection = soon(Connection::open(self.options())).await.unwrap();
        let cbs = soon(connection.cbs()).await.unwrap();
        (connection, cbs)
    }

    /// Closes the connection there is in a way that another one makes good.
    fn cut(&self) {
        let connection = self.last.lock().unwrap().take().unwrap();
        connection.abort(PeerError::new(ErrorCondition::CONNECTION_FORCED, "for maintenance"));
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    fn requests(&self) -> Vec<Message> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

async fn serve(
    connection: Connection,
    seen: Arc<Mutex<Vec<String>>>,
    requests: Arc<Mutex<Vec<Message>>>,
    answering: Arc<Mutex<Answering>>,
) {
    let allowed = Arc::new(Mutex::new(HashSet::new()));
    let mut answers = None;
    let mut waiting = None;
    while let Ok(link) = connection.next_link().await {
        let address = if link.is_receiver() { link.target_address() } else { link.source_address() };
        let address = address.unwrap_or_default().to_owned();
        if address == "$cbs" {
            if link.is_receiver() {
                waiting = Some(link.into_receiver(&LinkOptions::default()).unwrap());
            } else {
                let to = link.target_address().unwrap_or_default().to_owned();
                answers = Some((link.into_sender(&LinkOptions::default()).unwrap(), to));
            }
            if answers.is_none() || waiting.is_none() {
                continue;
            }
            let ((answers, to), mut receiver) = (answers.take().unwrap(), waiting.take().unwrap());
            let (seen, requests, answering) = (seen.clone(), requests.clone(), answering.clone());
            let allowed = allowed.clone();
            tokio::spawn(async move {
                while let Ok(request) = receiver.receive().await {
                    receiver.accept(&request).unwrap();
                    let text = |name| request.property(name).and_then(Value::as_str).unwrap_or_default();
                    seen.lock().unwrap().push(format!("{} {}", text("operation"), text("name")));
                    requests.lock().unwrap().push(request.clone());
                    let answer = answering.lock().unwrap().clone()(&request);
                    let Some(answer) = answer else { continue };
                    let good = answer.property("status-code").and_then(Value::as_i64) == Some(202);
                    match text("operation") {
                        "put-token" if good => drop(allowed.lock().unwrap().insert(text("name").to_owned())),
                        "delete-token" if good => drop(allowed.lock().unwrap().remove(text("name"))),
                        _ => {}
                    }
                    // Answers go to where our end of the link is, by that name.
                    let addressed = request.reply();
                    assert_eq!(addressed.address(), Some(&*to));
                    let mut whole = answer;
                    whole.set_correlation_id(addressed.correlation_id().unwrap().clone());
                    let last = whole.property("last").is_some();
                    if answers.send(&whole).await.is_err() || last {
                        return;
                    }
                }
            });
            continue;
        }
        seen.lock().unwrap().push(format!("attach {address}"));
        if !allowed.lock().unwrap().contains(&address) {
            link.refuse(PeerError::new(ErrorCondition::UNAUTHORIZED_ACCESS, "no token"));
        } else if link.is_receiver() {
            let mut receiver = link.into_receiver(&LinkOptions::default()).unwrap();
            tokio::spawn(async move {
                while let Ok(message) = receiver.receive().await {
                    // The connection may be over.
                    let _ = receiver.accept(&message);
                }
            });
        }
    }
}

fn token() -> Token {
    Token::sas("SharedAccessSignature sr=x")
}

async fn until<R>(events: &mut ConnectionEvents, mut wanted: impl FnMut(ConnectionEvent) -> Option<R>) -> R {
    soon(async {
        loop {
            let event = events.next().await.expect("the connection is not over");
            if let Some(result) = wanted(event) {
                return result;
            }
        }
    })
    .await
}

/// Waits until all links are attached again.
async fn again(events: &mut ConnectionEvents, links: usize) {
    let mut left = links;
    until(events, |event| match event {
        ConnectionEvent::LinkAttached { .. } => {
            left -= 1;
            (left == 0).then_some(())
        }
        ConnectionEvent::LinkLost { link, error } => panic!("{link}: {error}"),
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn a_link_is_attached_once_there_is_a_token_for_it() {
    let service = Service::new().await;
    let (connection, cbs) = service.connect().await;
    let session = connection.session().await.unwrap();
    let refused = soon(session.sender("q")).await.unwrap_err();
    assert_eq!(refused.peer_error().unwrap().condition, ErrorCondition::UNAUTHORIZED_ACCESS);
    let expires = UNIX_EPOCH + Duration::from_millis(4_102_444_800_123);
    soon(cbs.put_token("q", token().expires_at(expires))).await.unwrap();
    soon(session.sender("q")).await.unwrap();
    assert_eq!(service.seen(), ["attach q", "put-token q", "attach q"]);
    let request = service.requests().remove(0);
    assert_eq!(request.body(), &Body::Value("SharedAccessSignature sr=x".into()));
    let property = |name| request.property(name).cloned();
    assert_eq!(property("operation"), Some("put-token".into()));
    assert_eq!(property("type"), Some("servicebus.windows.net:sastoken".into()));
    assert_eq!(property("name"), Some("q".into()));
    assert_eq!(property("expiration"), Some(Timestamp(4_102_444_800_123).into()));
    assert_eq!((cbs.audiences(), cbs.expires("q")), (vec!["q".to_owned()], Some(expires)));
    assert!(!format!("{cbs:?} {:?}", token()).contains("sr=x"), "a secret is shown");
}

#[tokio::test]
async fn tokens_are_put_again_before_anything_else() {
    let service = Service::new().await;
    let (connection, cbs) = service.connect().await;
    for audience in ["a", "b"] {
        soon(cbs.put_token(audience, token())).await.unwrap();
    }
    let session = connection.session().await.unwrap();
    let senders = [session.sender("a").await.unwrap(), session.sender("b").await.unwrap()];
    let mut events = connection.events();
    for _ in 0..3 {
        service.seen();
        service.cut();
        // And the two of the node itself.
        again(&mut events, 4).await;
        let mut seen = service.seen();
        seen[..2].sort();
        seen[2..].sort();
        assert_eq!(seen, ["put-token a", "put-token b", "attach a", "attach b"]);
        for sender in &senders {
            soon(sender.send(&Message::from("x"))).await.unwrap();
        }
        // It goes on as before.
        soon(cbs.put_token("a", token())).await.unwrap();
    }
    drop(cbs);
    let opened = service.opened.load(Ordering::Relaxed);
    service.seen();
    service.cut();
    // Nobody has tokens any more, and the links are refused.
    let (_, error) = until(&mut events, |event| match event {
        ConnectionEvent::LinkLost { link, error } => Some((link, error)),
        _ => None,
    })
    .await;
    assert!(matches!(error, LinkError::Detached(error) if error.condition == ErrorCondition::UNAUTHORIZED_ACCESS));
    assert_eq!(service.opened.load(Ordering::Relaxed), opened + 1);
    assert!(service.seen().iter().all(|seen| seen.starts_with("attach")));
}

#[tokio::test]
async fn a_token_that_is_not_put_again_is_a_failed_attempt() {
    let service = Service::new().await;
    let (connection, cbs) = service.connect().await;
    soon(cbs.put_token("q", token())).await.unwrap();
    let session = connection.session().await.unwrap();
    let sender = session.sender("q").await.unwrap();
    let mut events = connection.events();
    let tries = AtomicU32::new(0);
    service.answer(move |_| match tries.fetch_add(1, Ordering::Relaxed) {
        0 => Some(status(503, "busy")),
        1 => Some(status(404, "nowhere")),
        2 => Some(Message::new()),
        _ => Some(status(202, "")),
    });
    service.seen();
    service.cut();
    let mut errors = Vec::new();
    until(&mut events, |event| match event {
        ConnectionEvent::Failed { error: ConnectError::Cbs(error), .. } => {
            errors.push(*error);
            None
        }
        ConnectionEvent::Reopened { .. } => Some(()),
        _ => None,
    })
    .await;
    let busy = CbsError::Refused { status: 503, description: "busy".to_owned() };
    assert_eq!(errors, [busy, CbsError::NotFound("nowhere".to_owned()), CbsError::Answer("status-code")]);
    soon(sender.send(&Message::from("x"))).await.unwrap();
    assert_eq!(service.seen(), ["put-token q", "put-token q", "put-token q", "put-token q", "attach q"]);
}

#[tokio::test]
async fn a_node_that_says_nothing_costs_no_more_than_the_attempt() {
    let service = Service::new().await;
    let mut options = service.options();
    options.connect_timeout = Duration::from_millis(300);
    let connection = soon(Connection::open(options)).await.unwrap();
    let cbs = soon(connection.cbs()).await.unwrap();
    soon(cbs.put_token("q", token())).await.unwrap();
    let mut events = connection.events();
    let silent = AtomicU32::new(1);
    service.answer(move |_| match silent.fetch_sub(1, Ordering::Relaxed) {
        1 => None,
        _ => Some(status(202, "")),
    });
    service.cut();
    let error = until(&mut events, |event| match event {
        ConnectionEvent::Failed { error, .. } => Some(error),
        _ => None,
    })
    .await;
    assert_eq!(error, ConnectError::Timeout(Duration::from_millis(300)));
    until(&mut events, |event| matches!(event, ConnectionEvent::Reopened { .. }).then_some(())).await;
}

/// A provider that counts, and gives tokens that live so long.
fn provider(
    made: &Arc<AtomicU32>,
    life: Duration,
) -> impl Fn(&str) -> std::future::Ready<Result<Token, TokenError>> + Send + Sync + use<> {
    let made = made.clone();
    move |audience: &str| {
        let number = made.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(Token::jwt(format!("{audience} {number}")).expires_in(life)))
    }
}

async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

fn texts(requests: &[Message]) -> Vec<&str> {
    requests.iter().map(|request| request.text().unwrap()).collect()
}

#[tokio::test]
async fn a_token_is_renewed_after_four_fifths_of_its_life() {
    let service = Service::new().await;
    let (connection, cbs) = service.connect().await;
    let mut events = connection.events();
    let made = Arc::new(AtomicU32::new(0));
    soon(cbs.keep_token("q", provider(&made, Duration::from_secs(1000)))).await.unwrap();
    pass(Duration::from_secs(780)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(made.load(Ordering::Relaxed), 1);
    for number in 2..4 {
        pass(Duration::from_secs(if number == 2 { 25 } else { 805 })).await;
        let renewed = until(&mut events, |event| match event {
            ConnectionEvent::TokenRenewed { audience } => Some(audience),
            _ => None,
        })
        .await;
        assert_eq!((&*renewed, made.load(Ordering::Relaxed)), ("q", number));
    }
    assert_eq!(texts(&service.requests()), ["q 0", "q 1", "q 2"]);
    // The one that is there is good enough for the next connection.
    let mut reopened = async || {
        until(&mut events, |event| matches!(event, ConnectionEvent::Reopened { .. }).then_some(())).await;
    };
    service.cut();
    reopened().await;
    assert_eq!(texts(&service.requests()), ["q 2"]);
    // One that is due is not, and neither is one of which nobody knows whether it was taken.
    service.answer(|_| None);
    pass(Duration::from_secs(805)).await;
    soon(async {
        while service.requests.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    *service.answering.lock().unwrap() = fine();
    assert_eq!(texts(&service.requests()), ["q 3"]);
    service.cut();
    reopened().await;
    assert_eq!(texts(&service.requests())[0], "q 4");
}

#[tokio::test]
async fn what_is_not_renewed_is_tried_again_and_told() {
    let service = Service::new().await;
    let (connection, cbs) = service.connect().await;
    let mut events = connection.events();
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let failing = move |_: &str| {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(match number {
            0 | 2 => Ok(Token::jwt(format!("{number}")).expires_in(Duration::from_secs(100))),
            _ => Err(TokenError::new("the provider is down")),
        })
    };
    soon(cbs.keep_token("q", failing)).await.unwrap();
    pass(Duration::from_secs(81)).await;
    let mut told = async || {
        until(&mut events, |event| match event {
            ConnectionEvent::TokenFailed { audience, error, again } => {
                assert_eq!(audience, "q");
                Some(Err((error, again)))
            }
            ConnectionEvent::TokenRenewed { .. } => Some(Ok(())),
            _ => None,
        })
        .await
    };
    let down = || CbsError::Provider(TokenError::new("the provider is down"));
    assert_eq!(told().await, Err((down(), true)));
    // The first pause is a second at most.
    pass(Duration::from_secs(1)).await;
    assert_eq!(told().await, Ok(()));
    pass(Duration::from_secs(81)).await;
    for number in 1..=10 {
        assert_eq!(told().await, Err((down(), number < 10)), "{number}");
        pass(Duration::from_secs(30)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(asked.load(Ordering::Relaxed), 13);
    // The next connection asks once more, and what is not there is not put.
    service.cut();
    let failed = until(&mut events, |event| match event {
        ConnectionEvent::Failed { error, .. } => Some(error),
        ConnectionEvent::Reopened { .. } => Some(ConnectError::Options("it is open".to_owned())),
        _ => None,
    })
    .await;
    // Its token has not expired by the clock of the day, which nobody has turned.
    assert_eq!(failed, ConnectError::Options("it is open".to_owned()));
}

#[tokio::test]
async fn a_provider_that_panics_or_hangs_is_asked_again() {
    let service = Service::new().await;
    let (connection, cbs) = service.connect().await;
    let mut events = connection.events();
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let odd = move |_: &str| {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            match number {
                1 => panic!("odd"),
                2 => std::future::pending().await,
                _ => Ok(Token::jwt("t").expires_in(Duration::from_secs(100))),
            }
        }
    };
    soon(cbs.keep_token("q", odd)).await.unwrap();
    // The first has thirty seconds, and the pauses are two at most.
    for time in [81, 2, 31] {
        pass(Duration::from_secs(time)).await;
        if time == 2 {
            soon(async {
                while asked.load(Ordering::Relaxed) < 3 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
            continue;
        }
        let error = until(&mut events, |event| match event {
            ConnectionEvent::TokenFailed { error, again: true, .. } => Some(error),
            _ => None,
        })
        .await;
        assert!(matches!(error, CbsError::Provider(_)), "{error}");
    }
    pass(Duration::from_secs(2)).await;
    until(&mut events, |event| matches!(event, ConnectionEvent::TokenRenewed { .. }).then_some(())).await;
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn with_the_last_handle_nothing_is_renewed_and_nothing_is_kept_open() {
    let service = Service::new().await;
    let (connection, cbs) = service.connect().await;
    let made = Arc::new(AtomicU32::new(0));
    soon(cbs.keep_token("q", provider(&made, Duration::from_secs(100)))).await.unwrap();
    let other = cbs.clone();
    drop(cbs);
    pass(Duration::from_secs(81)).await;
    soon(async {
        while made.load(Ordering::Relaxed) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    drop(other);
    pass(Duration::from_secs(1000)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(made.load(Ordering::Relaxed), 2);
    let (told, hears) = tokio::sync::oneshot::channel();
    connection.when_over(|error| drop(told.send(error)));
    drop(connection);
    assert!(soon(hears).await.unwrap() == ConnectionError::Closed);
}

#[tokio::test]
async fn what_the_node_says_is_told() {
    let service = Service::new().await;
    let (_connection, cbs) = service.connect().await;
    let refused = |status: i64| CbsError::Refused { status, description: "why".to_owned() };
    let cases = [
        (status(401, "why"), CbsError::Unauthorized("why".to_owned())),
        (status(403, "why"), CbsError::Unauthorized("why".to_owned())),
        (status(404, "why"), CbsError::NotFound("why".to_owned())),
        (status(400, "why"), refused(400)),
        (status(500, "why"), refused(500)),
        (status(-1, "why"), refused(-1)),
        (status("202", "why"), CbsError::Answer("status-code")),
        (Message::from("202"), CbsError::Answer("status-code")),
    ];
    for (answer, expected) in cases {
        service.answer(move |_| Some(answer.clone()));
        assert_eq!(soon(cbs.put_token("q", token())).await, Err(expected));
        assert!(cbs.audiences().is_empty());
    }
    // Some write it so.
    service.answer(|_| Some(Message::new().with_property("statusCode", 202).with_property("statusDescription", "")));
    assert_eq!(soon(cbs.put_token("q", token())).await, Ok(()));
    // One that is not taken leaves the one that is there.
    service.answer(|_| Some(status(401, "no")));
    let worse = Token::jwt("worse").expires_in(Duration::from_secs(10));
    assert!(soon(cbs.put_token("q", worse)).await.is_err());
    assert_eq!((cbs.audiences().len(), cbs.expires("q")), (1, None));
    let expired = token().expires_at(SystemTime::now() - Duration::from_secs(1));
    assert_eq!(soon(cbs.put_token("q", expired.clone())).await, Err(CbsError::Expired));
    assert_eq!(
        soon(cbs.keep_token("q", move |_: &str| std::future::ready(Ok(expired.clone())))).await,
        Err(CbsError::Expired)
    );
}

#[tokio::test]
async fn links_that_the_node_lets_go_are_attached_again() {
    let service = Service::new().await;
    let (connection, cbs) = service.connect().await;
    let mut events = connection.events();
    service.answer(|_| Some(status(202, "").with_property("last", true)));
    for _ in 0..3 {
        soon(cbs.put_token("q", token())).await.unwrap();
        let mut left = 2;
        until(&mut events, |event| {
            left -= u32::from(matches!(event, ConnectionEvent::LinkLost { .. }));
            (left == 0).then_some(())
        })
        .await;
    }
    soon(cbs.delete_token("q")).await.unwrap();
    assert_eq!(service.seen(), ["put-token q", "put-token q", "put-token q", "delete-token q"]);
}

#[tokio::test]
async fn a_token_is_taken_back() {
    let service = Service::new().await;
    let (connection, cbs) = service.connect().await;
    let made = Arc::new(AtomicU32::new(0));
    soon(cbs.keep_token("q", provider(&made, Duration::from_secs(100)))).await.unwrap();
    soon(cbs.delete_token("q")).await.unwrap();
    assert_eq!(service.seen(), ["put-token q", "delete-token q"]);
    assert_eq!(service.requests()[1].property("type"), Some(&"jwt".into()));
    assert!(matches!(soon(cbs.delete_token("q")).await, Err(CbsError::NotFound(_))));
    pass(Duration::from_secs(1000)).await;
    let mut events = connection.events();
    service.cut();
    again(&mut events, 2).await;
    assert_eq!((service.seen(), made.load(Ordering::Relaxed)), (Vec::<String>::new(), 1));
}

#[tokio::test]
async fn a_token_that_is_not_good_any_more_is_made_anew_for_the_next_connection() {
    let service = Service::new().await;
    let (connection, cbs) = service.connect().await;
    let made = Arc::new(AtomicU32::new(0));
    soon(cbs.keep_token("q", provider(&made, Duration::from_secs(1000)))).await.unwrap();
    service.answer(|request| match request.text() {
        Some("q 0") => Some(status(401, "revoked")),
        _ => Some(status(202, "")),
    });
    let mut events = connection.events();
    service.requests();
    service.cut();
    until(&mut events, |event| matches!(event, ConnectionEvent::Reopened { .. }).then_some(())).await;
    assert_eq!(texts(&service.requests()), ["q 0", "q 1"]);
}

#[tokio::test]
async fn tokens_are_shown_to_nobody_who_may_not_see_them() {
    let service = Service::new().await;
    let mut options = service.options();
    options.allow_insecure_mechs = false;
    let connection = soon(Connection::open(options.clone())).await.unwrap();
    let cbs = soon(connection.cbs()).await.unwrap();
    let error = soon(cbs.put_token("q", token())).await.unwrap_err();
    assert!(error == CbsError::Insecure && error.hint().is_some());
    assert!(service.requests().is_empty());

    // A redirect leads nowhere with them.
    let (other, mut options) = (Service::new().await, service.options());
    options.max_redirects = 1;
    let connection = soon(Connection::open(options)).await.unwrap();
    let cbs = soon(connection.cbs()).await.unwrap();
    soon(cbs.put_token("q", token())).await.unwrap();
    let port: u16 = other.url.rsplit(':').next().unwrap().parse().unwrap();
    let (told, hears) = tokio::sync::oneshot::channel();
    connection.when_over(|error| drop(told.send(error)));
    service.last.lock().unwrap().take().unwrap().abort(Redirect::connection("127.0.0.1", port).to_error());
    let over = soon(hears).await.unwrap();
    let ConnectionError::Redirect { why, .. } = &over else { panic!("{over}") };
    assert!(matches!(&**why, RedirectError::Credentials(_)));
    assert_eq!(other.opened.load(Ordering::Relaxed), 0);

    // Unless they may go there, or stay behind.
    for (credentials, goes_along) in [(RedirectCredentials::Forward, true), (RedirectCredentials::Withhold, false)] {
        let mut options = service.options();
        (options.max_redirects, options.redirect_credentials) = (1, credentials);
        let connection = soon(Connection::open(options)).await.unwrap();
        let cbs = soon(connection.cbs()).await.unwrap();
        soon(cbs.put_token("q", token())).await.unwrap();
        let _sender = connection.session().await.unwrap().sender("q").await.unwrap();
        let mut events = connection.events();
        service.last.lock().unwrap().take().unwrap().abort(Redirect::connection("127.0.0.1", port).to_error());
        until(&mut events, |event| matches!(event, ConnectionEvent::Reopened { .. }).then_some(())).await;
        let put = soon(cbs.put_token("other", token())).await;
        if goes_along {
            assert_eq!(put, Ok(()));
            assert_eq!(other.seen()[0], "put-token q");
        } else {
            assert_eq!(put, Err(CbsError::Redirected));
            until(&mut events, |event| matches!(event, ConnectionEvent::LinkLost { .. }).then_some(())).await;
            assert_eq!(other.seen(), ["attach q"]);
        }
    }
}

#[tokio::test]
async fn a_peer_without_the_node_says_so_and_one_that_is_silent_is_not_waited_for() {
    let broker = postroad_broker::Broker::builder().queue("$cbs").listen("amqp://127.0.0.1:0").start().await.unwrap();
    let mut options = ConnectOptions::new(broker.urls()[0].parse().unwrap());
    options.allow_insecure_mechs = true;
    let connection = soon(Connection::open(options)).await.unwrap();
    let mut elsewhere = CbsOptions::default();
    elsewhere.address = "no such node".to_owned();
    let error = soon(connection.cbs_with(elsewhere)).await.unwrap_err();
    assert!(matches!(&error, CbsError::Unavailable(_)) && error.hint().is_some(), "{error}");
    // A queue of that name takes the request, and is no node that answers: what comes back is the request.
    let mut impatient = CbsOptions::default();
    impatient.timeout = Duration::from_millis(200);
    let cbs = soon(connection.cbs_with(impatient)).await.unwrap();
    let error = soon(cbs.put_token("q", token())).await.unwrap_err();
    assert!(matches!(error, CbsError::Answer("status-code") | CbsError::Timeout(_)), "{error}");
    connection.close().await.unwrap();
    let error = soon(cbs.put_token("q", token())).await.unwrap_err();
    assert!(matches!(&error, CbsError::Attach(_)), "{error}");
}
