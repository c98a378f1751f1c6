//! Requests, tokens and redirects.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postroad_container::client::{LocalEndpoint, RedirectCredentials, RequestError, RequestOptions, Token, TokenError};
use postroad_container::types::{ErrorCondition, Fields, Map, PeerError, Symbol, Value};
use postroad_container::{
    AcceptOptions, Acceptor, ConnectOptions, Container, Event, EventError, Handler, Node, Sender,
};

type Log = Arc<Mutex<Vec<String>>>;

fn note(log: &Log, what: impl Into<String>) {
    log.lock().unwrap().push(what.into());
}

/// Runs a container that listens, beside what its clients do.
async fn serve(server: impl Handler + 'static, client: impl AsyncFnOnce(String)) {
    let (tell, address) = tokio::sync::oneshot::channel();
    let container = Container::new(Doorman(Some(tell)));
    container.listen_for(AcceptOptions::new(LocalEndpoint::host("127.0.0.1").port(0)), server);
    let running = container.clone();
    let run = tokio::spawn(async move { running.run().await });
    let url = format!("amqp://{}", address.await.unwrap());
    tokio::time::timeout(Duration::from_secs(20), client(url)).await.expect("it ends");
    container.stop();
    tokio::time::timeout(Duration::from_secs(20), run).await.expect("it stops").unwrap().unwrap();
}

struct Doorman(Option<tokio::sync::oneshot::Sender<String>>);

impl Handler for Doorman {
    fn on_listening(&mut self, event: &mut Event<'_>) {
        let address = event.acceptor().unwrap().local_endpoint().unwrap().to_string();
        self.0.take().unwrap().send(address).unwrap();
    }
}

async fn run(handler: impl Handler + 'static) {
    Container::new(handler).run().await.unwrap();
}

/// A service at `capitals`, and the node that tokens are put at.
#[derive(Default)]
struct Service {
    replies: Vec<(String, Sender)>,
    needs_token: bool,
    has_token: bool,
    log: Log,
}

impl Handler for Service {
    fn on_link_opening(&mut self, event: &mut Event<'_>) {
        let link = event.link().unwrap().clone();
        let (source, target) = (link.remote_source().unwrap(), link.remote_target());
        let of_cbs =
            [Some(&source), target.as_ref()].into_iter().flatten().any(|node| node.address.as_deref() == Some("$cbs"));
        if of_cbs && !self.needs_token {
            return event.opening().unwrap().refuse(PeerError::new(ErrorCondition::NOT_FOUND, "no such node"));
        }
        if !of_cbs {
            note(&self.log, format!("attach {}", if self.has_token { "with a token" } else { "without" }));
        }
        if let Some(sender) = link.as_sender() {
            // Answers of the node for tokens go to where the link ends.
            let address = match target.and_then(|target| target.address).filter(|_| !source.dynamic) {
                Some(target) => target,
                None => format!("reply {}", self.replies.len()),
            };
            self.replies.push((address.clone(), sender.clone()));
            if !source.dynamic {
                return;
            }
            event.opening().unwrap().set_source(Node { address: Some(address), ..source });
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        let request = event.take_message().unwrap();
        let mut answer = request.reply();
        if event.receiver().unwrap().remote_target().unwrap().address.as_deref() == Some("$cbs") {
            let name = request.property("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let good = name == "good";
            note(&self.log, format!("token for {name}"));
            self.has_token |= good;
            answer.set_property("status-code", if good { 202 } else { 401 });
            answer.set_property("status-description", if good { "Accepted" } else { "who is that?" });
        } else if request.text() == Some("silence") {
            return;
        } else {
            answer.set_body(if request.text() == Some("France") { "Paris" } else { "?" });
        }
        let to = request.reply_to().unwrap();
        let (_, sender) = self.replies.iter().find(|(address, _)| address == to).unwrap();
        sender.send(answer).unwrap();
    }
}

struct Asks {
    url: String,
    log: Log,
}

impl Handler for Asks {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = event.container().connect(&self.url);
        let mut options = RequestOptions::default();
        options.timeout = Duration::from_millis(300);
        let requester = connection.create_requester_with("capitals", options);
        assert!(requester.reply_to().is_none());
        let open = Arc::new(AtomicU32::new(3));
        for question in ["France", "Atlantis", "silence"] {
            let (log, open, connection) = (self.log.clone(), open.clone(), connection.clone());
            requester.ask(question, move |event, answer| {
                assert!(event.connection().is_none());
                let answer = answer.map(|answer| answer.text().unwrap().to_owned());
                note(
                    &log,
                    match answer {
                        Ok(answer) => format!("{question}: {answer}"),
                        Err(RequestError::Timeout { sent, .. }) => format!("{question}: nothing, sent {sent}"),
                        Err(error) => panic!("{error}"),
                    },
                );
                if open.fetch_sub(1, Ordering::Relaxed) == 1 {
                    connection.close();
                }
            });
        }
    }
}

#[tokio::test]
async fn each_answer_goes_to_whoever_asked_and_silence_has_its_time() {
    let log = Log::default();
    let heard = log.clone();
    serve(Service::default(), async move |url| run(Asks { url, log }).await).await;
    let mut heard = heard.lock().unwrap().clone();
    heard.sort();
    assert_eq!(heard, ["Atlantis: ?", "France: Paris", "silence: nothing, sent true"]);
}

/// Asks where nobody answers, and panics in the answer.
struct AsksInVain(String);

impl Handler for AsksInVain {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let connection = event.container().connect(&self.0);
        let requester = connection.create_requester("$cbs");
        requester.ask("anything", move |_, answer| {
            connection.close();
            panic!("{}", answer.unwrap_err());
        });
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told_and_so_is_an_answer_that_panics() {
    serve(Service::default(), async move |url| {
        let error = Container::new(AsksInVain(url)).run().await.unwrap_err().to_string();
        assert!(error.contains("panicked in answer") && error.contains("no such node"), "{error}");
    })
    .await;
}

/// Brings a token, and attaches.
struct Brings {
    url: String,
    audience: &'static str,
    late: bool,
    log: Log,
}

impl Handler for Brings {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let mut options = ConnectOptions::new(self.url.parse().unwrap());
        // There is no TLS here.
        (options.allow_insecure_mechs, options.reconnect) = (true, None);
        let connection = event.container().connect_with(options);
        if !self.late {
            connection.keep_token(self.audience, |_: &str| async { Ok::<_, TokenError>(Token::jwt("x")) });
            connection.create_sender("capitals");
        }
    }

    fn on_connection_opened(&mut self, event: &mut Event<'_>) {
        let connection = event.connection().unwrap();
        note(&self.log, format!("opened, {} tokens", connection.cbs().map_or(0, |cbs| cbs.audiences().len())));
        if self.late {
            connection.put_token(self.audience, Token::jwt("x"));
            event.container().schedule(Duration::from_secs(10));
        }
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        event.connection().unwrap().close();
    }

    fn on_token_failed(&mut self, event: &mut Event<'_>) {
        note(&self.log, format!("failed: {}", event.error().unwrap()));
        event.connection().unwrap().close();
        event.container().stop();
    }

    fn on_transport_error(&mut self, event: &mut Event<'_>) {
        assert!(matches!(event.error(), Some(EventError::Token(_))), "{:?}", event.error());
        note(&self.log, format!("never opened: {}", event.error().unwrap()));
    }
}

#[tokio::test]
async fn a_token_is_there_before_links_are() {
    let (client, server) = (Log::default(), Log::default());
    let service = Service { needs_token: true, log: server.clone(), ..Service::default() };
    let log = client.clone();
    serve(service, async move |url| run(Brings { url, audience: "good", late: false, log }).await).await;
    assert_eq!(*client.lock().unwrap(), ["opened, 1 tokens"]);
    assert_eq!(*server.lock().unwrap(), ["token for good", "attach with a token"]);
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_told() {
    for (late, heard) in [(false, "never opened"), (true, "failed")] {
        let client = Log::default();
        let service = Service { needs_token: true, ..Service::default() };
        let log = client.clone();
        serve(service, async move |url| run(Brings { url, audience: "bad", late, log }).await).await;
        let client = client.lock().unwrap().clone();
        let last = client.last().unwrap();
        assert!(last.starts_with(heard) && last.contains("who is that?"), "{client:?}");
    }
}

/// Sends links away, to the ports of others in turn.
struct Away {
    ports: Arc<Mutex<Vec<u16>>>,
    at: usize,
    address: Option<&'static str>,
}

fn redirect(port: u16, address: Option<&str>) -> PeerError {
    let mut error = PeerError::new(ErrorCondition::LINK_REDIRECT, "elsewhere");
    let mut info = Map::default();
    info.insert(Symbol::from_static("network-host"), "127.0.0.1");
    info.insert(Symbol::from_static("port"), Value::from(port));
    if let Some(address) = address {
        info.insert(Symbol::from_static("address"), address);
    }
    error.info = Some(Fields(info));
    error
}

impl Handler for Away {
    fn on_link_opening(&mut self, event: &mut Event<'_>) {
        let ports = self.ports.lock().unwrap();
        let target = event.link().unwrap().remote_target().unwrap().address;
        if target.as_deref() == self.address {
            // It is the right one now.
            return;
        }
        let port = ports[self.at % ports.len()];
        event.opening().unwrap().refuse(redirect(port, self.address));
    }
}

/// Takes what comes.
struct Home(Log);

impl Handler for Home {
    fn on_message(&mut self, event: &mut Event<'_>) {
        let address = event.receiver().unwrap().remote_target().unwrap().address.unwrap();
        note(&self.0, format!("{} to {address}", event.message().unwrap().text().unwrap()));
    }
}

struct Sends {
    url: String,
    redirects: u32,
    links: usize,
    done: usize,
    log: Log,
}

impl Handler for Sends {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let mut options = ConnectOptions::new(self.url.parse().unwrap());
        (options.max_redirects, options.redirect_credentials) = (self.redirects, RedirectCredentials::Forward);
        options.reconnect = None;
        let connection = event.container().connect_with(options);
        for _ in 0..self.links {
            connection.create_sender("q");
        }
    }

    fn on_connection_opened(&mut self, _: &mut Event<'_>) {
        note(&self.log, "opened");
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        if event.sender().unwrap().queued() == 0 {
            event.sender().unwrap().send("x").unwrap();
        }
    }

    fn on_settled(&mut self, event: &mut Event<'_>) {
        self.done += 1;
        event.sender().unwrap().close();
    }

    fn on_link_error(&mut self, event: &mut Event<'_>) {
        note(&self.log, event.error().unwrap().to_string());
        event.connection().unwrap().close();
    }

    fn on_link_closed(&mut self, event: &mut Event<'_>) {
        if self.done == self.links {
            note(&self.log, "done");
            // That of the program is the first one; the other goes with its links.
            let first = event.container().clone();
            first.inject(|event| event.container().stop());
        }
    }
}

/// Two acceptors: one that sends links away, to where the other or it is.
async fn away(
    to_itself: bool,
    address: Option<&'static str>,
    redirects: u32,
    links: usize,
) -> (Vec<String>, Vec<String>) {
    let ports = Arc::<Mutex<Vec<u16>>>::default();
    let (came, heard) = (Log::default(), Log::default());
    let on_loopback = || AcceptOptions::new(LocalEndpoint::host("127.0.0.1").port(0));
    let (tell, ready) = tokio::sync::oneshot::channel();
    let container = Container::new(Listens { ports: ports.clone(), tell: Some(tell) });
    let first =
        container.listen_for(on_loopback(), Away { ports: ports.clone(), at: usize::from(!to_itself), address });
    let second = container.listen_for(on_loopback(), Home(came.clone()));
    let running = container.clone();
    let server = tokio::spawn(async move { running.run().await });
    ready.await.unwrap();
    let port = |acceptor: &Acceptor| acceptor.local_endpoint().unwrap().ip().unwrap().port();
    *ports.lock().unwrap() = vec![port(&first), port(&second)];
    let url = format!("amqp://127.0.0.1:{}", port(&first));
    let client = run(Sends { url, redirects, links, done: 0, log: heard.clone() });
    tokio::time::timeout(Duration::from_secs(20), client).await.expect("it ends");
    container.stop();
    server.await.unwrap().unwrap();
    let (came, heard) = (came.lock().unwrap(), heard.lock().unwrap());
    (came.clone(), heard.clone())
}

struct Listens {
    ports: Arc<Mutex<Vec<u16>>>,
    tell: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Handler for Listens {
    fn on_listening(&mut self, _: &mut Event<'_>) {
        let mut ports = self.ports.lock().unwrap();
        ports.push(0);
        if ports.len() == 2 {
            self.tell.take().unwrap().send(()).unwrap();
        }
    }
}

#[tokio::test]
async fn links_go_where_their_peer_sends_them_over_one_connection() {
    let (came, heard) = away(false, Some("elsewhere"), 3, 3).await;
    assert_eq!(came, ["x to elsewhere"; 3]);
    assert_eq!(heard, ["opened", "opened", "done"]);
}

#[tokio::test]
async fn a_link_that_is_sent_to_another_node_of_the_same_peer_stays_on_its_connection() {
    let (_, heard) = away(true, Some("elsewhere"), 3, 1).await;
    assert_eq!(heard, ["opened", "done"]);
}

#[tokio::test]
async fn a_redirect_is_an_error_where_none_is_followed_and_a_circle_ends() {
    let (came, heard) = away(false, None, 0, 1).await;
    assert!(came.is_empty() && heard.len() == 2 && heard[1].contains("elsewhere"), "{heard:?}");
    let (_, heard) = away(true, None, 3, 1).await;
    assert!(heard[1].contains("more than the 3"), "{heard:?}");
}
