//! Peers that send their clients elsewhere, as these open and later, and with one link.

mod raw;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use postroad_broker::Broker;
use postroad_client::types::{ErrorCondition, Fields, Map, PeerError, Symbol, Value};
use postroad_client::{
    AcceptOptions, Acceptor, AttachError, ConnectError, ConnectOptions, Connection, ConnectionError, ConnectionEvent,
    ConnectionEvents, LinkError, LinkOptions, Message, Outcome, Reconnect, Redirect, RedirectCredentials,
    RedirectError, RedirectScope, TlsConfig,
};
use postroad_taps::{LocalEndpoint, Security};
use postroad_testkit::faults::Plan;
use postroad_testkit::{Proxy, close, nobody, open};
use raw::Peer;

const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

fn redirect_of(condition: ErrorCondition, info: &[(&'static str, Value)]) -> PeerError {
    let info = info.iter().map(|(key, value)| (Symbol::from_static(key).into(), value.clone()));
    PeerError { info: Some(Fields(Map(info.collect()))), ..PeerError::new(condition, "over there") }
}

fn redirect_to(address: SocketAddr) -> PeerError {
    Redirect::connection("127.0.0.1", address.port()).for_hostname("there").to_error()
}

async fn broker() -> (Broker, SocketAddr) {
    let broker = Broker::builder().queue("q").listen("amqp://127.0.0.1:0").start().await.unwrap();
    let address = broker.addr().unwrap();
    (broker, address)
}

/// A peer that opens and closes with this error at once, again and again.
struct Doorman {
    address: SocketAddr,
    opened: Arc<AtomicU32>,
}

impl Doorman {
    async fn with(told: impl Fn(SocketAddr) -> PeerError + Send + 'static, security: Security) -> Self {
        let mut options = AcceptOptions::new(LocalEndpoint::host("127.0.0.1"));
        options.security = security;
        let acceptor = Acceptor::listen(options).await.unwrap();
        let address: SocketAddr = acceptor.local_endpoint().to_string().parse().unwrap();
        let opened = Arc::new(AtomicU32::new(0));
        let counted = opened.clone();
        tokio::spawn(async move {
            loop {
                // A client may be gone again; the next one comes.
                if let Ok(connection) = acceptor.accept().await {
                    counted.fetch_add(1, Ordering::Relaxed);
                    connection.abort(told(address));
                }
            }
        });
        Self { address, opened }
    }

    async fn to(there: SocketAddr) -> Self {
        Self::with(move |_| redirect_to(there), Security::Disabled).await
    }

    fn options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new(format!("amqp://{}", self.address).parse().unwrap());
        let mut reconnect = Reconnect::default();
        (reconnect.interval, reconnect.max_interval) = (Duration::from_millis(5), Duration::from_millis(20));
        reconnect.timeout = Some(PATIENCE);
        options.reconnect = Some(reconnect);
        options.max_redirects = 3;
        options
    }
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

/// Why nothing comes of a connection, as it opens or soon after: the peer's close may come with its open.
async fn fate(options: ConnectOptions) -> ConnectError {
    let connection = match soon(Connection::open(options)).await {
        Ok(connection) => connection,
        Err(error) => return error,
    };
    over(&connection).await.into()
}

async fn over(connection: &Connection) -> ConnectionError {
    let (told, hears) = tokio::sync::oneshot::channel();
    connection.when_over(|error| drop(told.send(error)));
    soon(hears).await.unwrap()
}

/// A message goes to the broker's queue.
async fn works(connection: &Connection) {
    let session = soon(connection.session()).await.unwrap();
    let sender = soon(session.sender("q")).await.unwrap();
    assert_eq!(soon(sender.send(&Message::from("hello"))).await, Ok(Outcome::Accepted));
}

#[tokio::test]
async fn by_default_a_redirect_is_an_error_that_says_where_to() {
    let doorman = Doorman::to("127.0.0.1:77".parse().unwrap()).await;
    let mut options = doorman.options();
    options.max_redirects = 0;
    let redirect = fate(options).await.redirect().unwrap().unwrap();
    assert_eq!(
        (redirect.scope, redirect.port, redirect.hostname.as_deref()),
        (RedirectScope::Connection, 77, Some("there"))
    );
    assert_eq!(redirect.to_string(), "127.0.0.1:77 for there");
    assert_eq!(doorman.opened.load(Ordering::Relaxed), 1, "it comes back although it is sent elsewhere");
}

/// A raw peer that says in its open that it closes, and closes a while later.
fn about_to_close(listener: &TcpListener, there: SocketAddr) {
    let failed = Map::from_iter([(Symbol::from_static("amqp:connection-establishment-failed"), true)]);
    let mut peer = Peer::accept_with(listener, open().with(|open| open.properties = Some(Fields(failed))));
    std::thread::sleep(Duration::from_millis(50));
    peer.send(close().error(redirect_to(there)));
    while peer.next().is_some() {}
}

#[tokio::test]
async fn a_redirect_is_followed_as_a_connection_opens() {
    for followed in [true, false] {
        let (broker, address) = broker().await;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut options = ConnectOptions::new(format!("amqp://{}", listener.local_addr().unwrap()).parse().unwrap());
        options.sasl_enabled = false;
        options.reconnect = None;
        options.max_redirects = followed.into();
        let peer = tokio::task::spawn_blocking(move || about_to_close(&listener, address));
        let opened = soon(Connection::open(options)).await;
        if followed {
            let connection = opened.unwrap();
            assert_eq!(connection.hostname().as_deref(), Some("there"));
            works(&connection).await;
            assert_eq!(broker.queue_stats("q").unwrap().ready, 1);
        } else {
            let error = opened.unwrap_err();
            assert_eq!(error.redirect().unwrap().unwrap().port, address.port(), "{error}");
        }
        soon(peer).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_is_open_goes_where_it_is_sent_with_all_that_is_on_it() {
    let ((_broker, address), acceptor) =
        tokio::join!(broker(), Acceptor::listen(AcceptOptions::new(LocalEndpoint::host("127.0.0.1"))));
    let acceptor = acceptor.unwrap();
    let mut options = ConnectOptions::new(format!("amqp://{}", acceptor.local_endpoint()).parse().unwrap());
    options.max_redirects = 1;
    let (connection, server) = tokio::join!(Connection::open(options), acceptor.accept());
    let (connection, server) = (connection.unwrap(), server.unwrap());
    let mut events = connection.events();
    let session = connection.session().await.unwrap();
    let accepting = async { server.next_link().await.unwrap().into_receiver(&LinkOptions::default()).unwrap() };
    let (sender, _theirs) = tokio::join!(session.sender("q"), accepting);
    let sender = sender.unwrap();
    server.abort(redirect_to(address));
    let mut seen = Vec::new();
    until(&mut events, |event| {
        let last = matches!(event, ConnectionEvent::Reopened { .. });
        seen.push(event);
        last.then_some(())
    })
    .await;
    let ConnectionEvent::Lost(lost) = &seen[0] else { panic!("{seen:?}") };
    let ConnectionEvent::Redirected(told) = &seen[1] else { panic!("{seen:?}") };
    assert_eq!(Ok(Some(told)), lost.redirect().as_ref().map(Option::as_ref));
    let there = format!("amqp://127.0.0.1:{}", address.port());
    assert_eq!(seen[2], ConnectionEvent::Trying { broker: there.clone(), attempt: 1 });
    assert!(matches!(&seen[3], ConnectionEvent::Reopened { broker, .. } if *broker == there), "{seen:?}");
    assert_eq!(soon(sender.send(&Message::from("hello"))).await, Ok(Outcome::Accepted));
    assert!(connection.is_redirect_here(told));
}

#[tokio::test]
async fn the_list_is_tried_where_a_redirect_leads_nowhere() {
    let (_broker, address) = broker().await;
    let doorman = Doorman::to(nobody()).await;
    let mut options = doorman.options();
    options.failover.push(format!("amqp://{address}").parse().unwrap());
    let connection = soon(Connection::open(options)).await.unwrap();
    works(&connection).await;
}

#[tokio::test]
async fn the_list_is_tried_again_once_the_other_host_is_lost() {
    let (_broker, address) = broker().await;
    let proxy = Proxy::start(address, Plan::new(1)).await.unwrap();
    let doorman = Doorman::to(proxy.addr()).await;
    let connection = soon(Connection::open(doorman.options())).await.unwrap();
    works(&connection).await;
    assert_eq!(doorman.opened.load(Ordering::Relaxed), 1);
    let mut events = connection.events();
    proxy.cut_all();
    let tried = until(&mut events, |event| match event {
        ConnectionEvent::Trying { broker, .. } => Some(broker),
        _ => None,
    })
    .await;
    assert_eq!(tried, format!("amqp://{}", doorman.address));
    works(&connection).await;
    assert_eq!(doorman.opened.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_circle_ends() {
    let doorman = Doorman::with(redirect_to, Security::Disabled).await;
    let error = fate(doorman.options()).await;
    let ConnectError::Connection(ConnectionError::Redirect { why, .. }) = &error else { panic!("{error}") };
    assert_eq!(**why, RedirectError::TooMany(3));
    assert!(error.hint().is_some() && error.redirect().unwrap().is_some());
    assert_eq!(doorman.opened.load(Ordering::Relaxed), 4);

    // And where they say so before they have opened, however often it is tried.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut options = ConnectOptions::new(format!("amqp://{address}").parse().unwrap());
    (options.sasl_enabled, options.max_redirects) = (false, 2);
    options.reconnect.as_mut().unwrap().initially = true;
    let peer = tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            about_to_close(&listener, address);
        }
    });
    let error = soon(Connection::open(options)).await.unwrap_err();
    let ConnectError::Connection(ConnectionError::Redirect { why, .. }) = &error else { panic!("{error}") };
    assert_eq!(**why, RedirectError::TooMany(2));
    soon(peer).await.unwrap();
}

#[tokio::test]
async fn brokers_that_send_everybody_nowhere_are_given_up_in_time() {
    let acceptor = Acceptor::listen(AcceptOptions::new(LocalEndpoint::host("127.0.0.1"))).await.unwrap();
    let mut options = ConnectOptions::new(format!("amqp://{}", acceptor.local_endpoint()).parse().unwrap());
    options.max_redirects = 3;
    let reconnect = options.reconnect.as_mut().unwrap();
    (reconnect.interval, reconnect.max_interval) = (Duration::from_millis(5), Duration::from_millis(20));
    reconnect.timeout = Some(Duration::from_millis(300));
    tokio::spawn(async move {
        loop {
            let Ok(connection) = acceptor.accept().await else { continue };
            // It lasts until there is a link on it.
            if let Ok(link) = connection.next_link().await {
                let _link = link.into_receiver(&LinkOptions::default());
                connection.abort(redirect_to(nobody()));
            }
        }
    });
    let connection = soon(Connection::open(options)).await.unwrap();
    let _sender = soon(connection.session().await.unwrap().sender("q")).await;
    let error = over(&connection).await;
    let ConnectionError::GaveUp { lost, last, .. } = error else { panic!("{error}") };
    assert!(lost.redirect().unwrap().is_some());
    match last.as_deref() {
        None | Some(ConnectError::Transport(_)) => {}
        // The last attempt may have been cut short by the end of the time, but it had some.
        Some(ConnectError::Timeout(left)) => assert!(*left > Duration::ZERO),
        Some(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_redirect_without_a_place_ends_the_connection() {
    let port = |port: Value| [("network-host", "h".into()), ("port", port)];
    let cases: [(Vec<(&str, Value)>, RedirectError); 6] = [
        (vec![], RedirectError::Missing("network-host")),
        (vec![("network-host", "h".into())], RedirectError::Missing("port")),
        (port(0.into()).into(), RedirectError::Field("port")),
        (port(65_536_u32.into()).into(), RedirectError::Field("port")),
        (port("5672".into()).into(), RedirectError::Field("port")),
        (vec![("hostname", 7.into()), ("port", 1.into())], RedirectError::Field("hostname")),
    ];
    for (info, expected) in cases {
        let told = redirect_of(ErrorCondition::CONNECTION_REDIRECT, &info);
        assert_eq!(Redirect::of(&told), Err(expected.clone()));
        let doorman = Doorman::with(move |_| told.clone(), Security::Disabled).await;
        let error = fate(doorman.options()).await;
        let ConnectError::Connection(ConnectionError::Redirect { why, .. }) = &error else { panic!("{error}") };
        assert_eq!(**why, expected);
    }
    let no_host =
        redirect_of(ErrorCondition::CONNECTION_REDIRECT, &[("network-host", "a b".into()), ("port", 1.into())]);
    assert!(matches!(Redirect::of(&no_host), Err(RedirectError::Host(_))));
    // What some brokers leave out is what stays as it is.
    let bare = redirect_of(ErrorCondition::CONNECTION_REDIRECT, &[("network-host", "::1".into()), ("port", 1.into())]);
    let bare = Redirect::of(&bare).unwrap().unwrap();
    assert_eq!((bare.hostname.as_deref(), bare.to_string()), (None, "[::1]:1".to_owned()));
    assert_eq!(Redirect::of(&PeerError::new(ErrorCondition::NOT_FOUND, "")), Ok(None));
    // And what is told is read.
    for told in [Redirect::connection("h", 1), Redirect::link("::1", 65_535, "a").for_hostname("v")] {
        assert_eq!(Redirect::of(&told.to_error()), Ok(Some(told)));
    }
}

#[tokio::test]
async fn user_and_password_go_where_they_may() {
    let redirect = Redirect::of(&redirect_to("127.0.0.1:77".parse().unwrap())).unwrap().unwrap();
    let mut options = ConnectOptions::new("amqps://user:secret@here/q".parse().unwrap());
    let refused = redirect.options(&options);
    assert!(matches!(&refused, Err(RedirectError::Credentials(host)) if host == "127.0.0.1"), "{refused:?}");
    assert!(refused.unwrap_err().hint().unwrap().contains("redirect_credentials"));
    options.redirect_credentials = RedirectCredentials::Withhold;
    options.failover.push("amqps://standby".parse().unwrap());
    let there = redirect.options(&options).unwrap();
    assert_eq!(there.url.to_string(), "amqps://127.0.0.1:77");
    assert_eq!((there.user, there.password, there.virtual_host.as_deref()), (None, None, Some("there")));
    assert!(there.failover.is_empty());
    options.redirect_credentials = RedirectCredentials::Forward;
    let there = redirect.options(&options).unwrap();
    assert_eq!((there.user.as_deref(), there.password.as_deref()), (Some("user"), Some("secret")));
    // A socket of this machine says nothing about how a network is to be reached.
    let socket = ConnectOptions::new("amqp+unix://%2Frun%2Fx".parse().unwrap());
    assert!(matches!(redirect.options(&socket), Err(RedirectError::Scheme(_))));

    // A live connection that may not go on is over, and does not come back to the one that sends it away.
    let doorman = Doorman::to(nobody()).await;
    let mut options = doorman.options();
    // It is of no use at the first one, and is held back from the second.
    options.password = Some("secret".to_owned());
    let error = fate(options).await;
    let ConnectError::Connection(ConnectionError::Redirect { why, .. }) = &error else { panic!("{error}") };
    assert!(matches!(&**why, RedirectError::Credentials(_)), "{why}");
}

/// The configurations of a server with a certificate for this name, and of a client that trusts it.
fn tls(name: &str) -> (TlsConfig, TlsConfig) {
    let certified = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let (chain, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let server = TlsConfig::builder().server_certificate_pem(&chain, &key).build().unwrap();
    (server, TlsConfig::builder().roots_pem(&chain).server_name(name).build().unwrap())
}

#[tokio::test]
async fn what_is_under_tls_stays_under_tls() {
    let (_plain, in_clear_text) = broker().await;
    let (server, client) = tls("there");
    let builder = Broker::builder().queue("q").tls(server.clone()).listen("amqps://127.0.0.1:0");
    let secure = builder.start().await.unwrap();
    for (target, works_there) in [(secure.addr().unwrap(), true), (in_clear_text, false)] {
        let doorman = Doorman::with(move |_| redirect_to(target), Security::Tls(server.clone())).await;
        let mut options = doorman.options();
        options.url = format!("amqps://{}", doorman.address).parse().unwrap();
        options.tls = client.clone();
        options.reconnect.as_mut().unwrap().attempts = Some(1);
        if works_there {
            works(&soon(Connection::open(options)).await.unwrap()).await;
            continue;
        }
        let last = match fate(options).await {
            ConnectError::Connection(ConnectionError::GaveUp { last: Some(last), .. }) => *last,
            error => error,
        };
        assert!(last.tls().is_some(), "{last}");
    }
}

#[tokio::test]
async fn the_certificate_is_for_the_hostname_of_the_redirect() {
    for (name, fits) in [("there", true), ("elsewhere", false)] {
        let (server, client) = tls(name);
        let secure = Broker::builder().tls(server).listen("amqps://127.0.0.1:0").start().await.unwrap();
        let redirect = Redirect::of(&redirect_to(secure.addr().unwrap())).unwrap().unwrap();
        let mut options = ConnectOptions::new("amqps://here".parse().unwrap());
        options.tls = client;
        let opened = soon(Connection::open(redirect.options(&options).unwrap())).await;
        assert_eq!(opened.is_ok(), fits, "{name}: {opened:?}");
    }
}

#[tokio::test]
async fn a_link_is_told_where_to_go() {
    let (broker, address) = broker().await;
    let acceptor = Acceptor::listen(AcceptOptions::new(LocalEndpoint::host("127.0.0.1"))).await.unwrap();
    let here: SocketAddr = acceptor.local_endpoint().to_string().parse().unwrap();
    let options = ConnectOptions::new(format!("amqp://{here}").parse().unwrap());
    let (connection, server) = tokio::join!(Connection::open(options), acceptor.accept());
    let (connection, server) = (connection.unwrap(), server.unwrap());
    let session = connection.session().await.unwrap();
    for (port, is_here) in [(here.port(), true), (address.port(), false)] {
        let refusing = async {
            let redirect = Redirect::link("127.0.0.1", port, "q").for_hostname("127.0.0.1");
            server.next_link().await.unwrap().refuse(redirect.to_error());
        };
        let (refused, ()) = soon(async { tokio::join!(session.sender("old"), refusing) }).await;
        let error = refused.unwrap_err();
        assert!(matches!(error, AttachError::Link(LinkError::Detached(_))), "{error}");
        let redirect = error.redirect().unwrap().unwrap();
        assert_eq!((redirect.scope, redirect.address.as_deref()), (RedirectScope::Link, Some("q")));
        assert_eq!(connection.is_redirect_here(&redirect), is_here);
        if !is_here {
            let there = Connection::open(connection.redirect_options(&redirect).unwrap()).await.unwrap();
            let sender = there.session().await.unwrap().sender(redirect.address.as_deref().unwrap()).await.unwrap();
            assert_eq!(soon(sender.send(&Message::from("hello"))).await, Ok(Outcome::Accepted));
            assert_eq!(broker.queue_stats("q").unwrap().enqueued, 1);
        }
    }
    let redirect = Redirect::of(&redirect_to(here)).unwrap().unwrap();
    assert!(matches!(server.redirect_options(&redirect), Err(RedirectError::Missing(_))));
}
