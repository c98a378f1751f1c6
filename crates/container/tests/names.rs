//! Names of Proton that no other test is about.

mod common;

use std::time::Duration;

use common::{Log, broker, broker_with, run, script};
use postroad_broker::UserFile;
use postroad_container::client::{Expiry, LocalEndpoint, Security, TransactionError};
use postroad_container::types::{Annotations, Body, Symbol, Value};
use postroad_container::{
    AcceptOptions, ConnectOptions, Container, EventError, LinkOptions, Message, Node, Subject, TlsConfig,
};
use rcgen::{CertificateParams, KeyPair};

/// What becomes of a connection with these options: `in`, or why not.
async fn tried(options: ConnectOptions) -> String {
    let log = Log::default();
    let noted = log.clone();
    run(script(&Log::default(), move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone())),
        "on_connection_opened" => {
            noted.note("in");
            event.connection().unwrap().close();
        }
        "on_transport_error" => noted.note(event.error().unwrap().to_string()),
        _ => {}
    }))
    .await;
    log.all().concat()
}

#[tokio::test]
async fn users_show_who_they_are_by_the_mechanisms_that_are_allowed() {
    let users = UserFile::parse("alice:wonderland", [1; 32]).unwrap();
    let (_broker, url) = broker_with(|broker| broker.users(users).allow_insecure_plain(true)).await;
    let alice = |mechanisms: &[&str]| {
        let mut options = ConnectOptions::new(url.parse().unwrap());
        (options.user, options.password) = (Some("alice".to_owned()), Some("wonderland".to_owned()));
        options.sasl_mechanisms = mechanisms.iter().map(|&name| name.to_owned()).collect();
        options.reconnect = None;
        options
    };
    assert_eq!(tried(alice(&[])).await, "in");
    assert_eq!(tried(alice(&["SCRAM-SHA-256"])).await, "in");

    // A password goes over TLS only, unless that is asked for.
    assert_ne!(tried(alice(&["PLAIN"])).await, "in");
    let mut insecure = alice(&["PLAIN"]);
    insecure.allow_insecure_mechs = true;
    assert_eq!(tried(insecure).await, "in");

    let mut wrong = alice(&[]);
    wrong.password = Some("looking glass".to_owned());
    assert!(tried(wrong).await.contains("authentication failed"));
    let mut bare = alice(&[]);
    bare.sasl_enabled = false;
    assert_ne!(tried(bare).await, "in");
}

#[tokio::test]
async fn kerberos_is_not_built_in_and_an_error_where_it_is_all_that_is_allowed() {
    let (_broker, url) = broker().await;
    for name in ["GSSAPI", "GSS-SPNEGO"] {
        let mut options = ConnectOptions::new(url.parse().unwrap());
        options.sasl_mechanisms = vec![name.to_owned()];
        options.reconnect = None;
        let why = tried(options.clone()).await;
        assert!(why.contains("no common mechanism"), "{why}");
        options.sasl_mechanisms.push("ANONYMOUS".to_owned());
        assert_eq!(tried(options).await, "in");
    }
}

#[tokio::test]
async fn tls_is_what_both_ends_say() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    let server = TlsConfig::builder().server_certificate_pem(&certificate, key.serialize_pem()).build().unwrap();
    let (tell, port) = tokio::sync::oneshot::channel();
    let mut tell = Some(tell);
    let container = Container::new(script(&Log::default(), move |method, event| {
        if method == "on_listening" {
            let port = event.acceptor().unwrap().local_endpoint().unwrap().ip().unwrap().port();
            tell.take().unwrap().send(port).unwrap();
        }
    }));
    let mut options = AcceptOptions::new(LocalEndpoint::host("localhost").port(0));
    options.security = Security::Tls(server);
    container.listen_with(options);
    let running = container.clone();
    let served = tokio::spawn(async move { running.run().await });

    let mut options = ConnectOptions::new(format!("amqps://localhost:{}", port.await.unwrap()).parse().unwrap());
    options.reconnect = None;
    assert_ne!(tried(options.clone()).await, "in", "nobody has signed it");
    options.tls = TlsConfig::builder().roots_pem(&certificate).build().unwrap();
    assert_eq!(tried(options).await, "in");
    container.stop();
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_path_of_a_url_is_the_node_unless_one_is_named() {
    let (_broker, url) = broker().await;
    let log = Log::default();
    let noted = log.clone();
    run(script(&Log::default(), move |method, event| match method {
        "on_start" => {
            let (container, url) = (event.container(), format!("{url}/a"));
            assert_eq!(container.create_sender(&url).target(), Some(Node::at("a")));
            assert_eq!(container.create_receiver(&url).source(), Some(Node::at("a")));
            let b = || LinkOptions::new().source("b").target("b");
            assert_eq!(container.create_sender_with(&url, b()).target(), Some(Node::at("b")));
            assert_eq!(container.create_receiver_with(&url, b()).source(), Some(Node::at("b")));
            let dynamic = container.create_receiver_with(&url, LinkOptions::new().dynamic());
            assert_eq!(dynamic.source(), Some(Node::dynamic()));
        }
        "on_link_opened" => {
            let link = event.link().unwrap();
            let (node, end) =
                if link.is_sender() { (link.remote_target(), "to") } else { (link.remote_source(), "from") };
            noted.note(format!("{end} {}", node.unwrap().address.unwrap()));
            event.connection().unwrap().close();
        }
        _ => {}
    }))
    .await;
    let mut links = log.all();
    links.sort();
    assert_eq!(links.len(), 5, "{links:?}");
    // The address that the broker has made sorts before or behind the letters.
    links.retain(|link| ["from a", "from b", "to a", "to b"].contains(&link.as_str()));
    assert_eq!(links, ["from a", "from b", "to a", "to b"]);
}

#[tokio::test]
async fn a_receiver_takes_as_much_ahead_as_its_handler_says() {
    let (_broker, url) = broker().await;
    for prefetch in [None, Some(0), Some(3)] {
        let url = url.clone();
        let handler = script(&Log::default(), move |method, event| match method {
            "on_start" => {
                event.container().connect(&url).create_receiver("q");
            }
            "on_link_opened" => {
                let receiver = event.receiver().unwrap().clone();
                event.container().inject(move |_| {
                    assert_eq!(receiver.credit(), prefetch.unwrap_or(10));
                    receiver.connection().close();
                });
            }
            _ => {}
        });
        run(handler.with(|settings| settings.prefetch = prefetch.unwrap_or(settings.prefetch))).await;
    }
}

#[tokio::test]
async fn an_event_tells_what_it_happened_to() {
    let (_broker, url) = broker().await;
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            assert!(matches!(event.subject(), Subject::Container));
            assert_eq!((event.connection(), event.session(), event.link()), (None, None, None));
            let connection = event.container().connect(&url);
            connection.create_sender("q");
            connection.create_receiver("q");
        }
        "on_connection_opened" => {
            let Subject::Connection(connection) = event.subject() else { panic!("{:?}", event.subject()) };
            assert_eq!(connection.container().container_id(), event.container().container_id());
            assert!(event.transport().is_some_and(|transport| transport.tls_info().is_none()));
        }
        "on_session_opened" => {
            let Subject::Session(session) = event.subject() else { panic!("{:?}", event.subject()) };
            assert_eq!((Some(session.connection()), event.link()), (event.connection(), None));
        }
        "on_sendable" if noted.count(method) == 1 => {
            assert_eq!((event.receiver(), event.link().unwrap().as_sender()), (None, event.sender()));
            event.sender().unwrap().send(Message::from("it").with_id(7_u64)).unwrap();
        }
        "on_message" => {
            let Subject::Link(link) = event.subject() else { panic!("{:?}", event.subject()) };
            assert_eq!((event.sender(), link.as_receiver()), (None, event.receiver()));
            let delivery = event.delivery().unwrap();
            assert_eq!((&delivery.link(), Some(delivery.session())), (link, event.session()));
            assert_eq!(Some(delivery.connection()), event.connection());
            assert_eq!(event.message().unwrap().id(), Some(&7_u64.into()));
            assert_eq!(event.take_message().unwrap().text(), Some("it"));
            event.connection().unwrap().close();
        }
        _ => {}
    }))
    .await;
    assert_eq!(log.count("on_message"), 1);
}

#[tokio::test]
async fn messages_are_copied_or_moved_from_a_node_that_lasts_or_expires() {
    let (broker, url) = broker().await;
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect(&url).create_sender("q")),
        "on_sendable" if noted.count(method) == 1 => drop(event.sender().unwrap().send("it").unwrap()),
        "on_accepted" => {
            let node =
                Node { durable: false, expiry: Some(Expiry::LinkDetach(Duration::from_secs(1))), ..Node::at("q") };
            event.connection().unwrap().create_receiver_with(LinkOptions::new().source(node).browse());
        }
        "on_message" if noted.count(method) == 1 => {
            let link = event.link().unwrap();
            assert_eq!(link.source().unwrap().expiry, Some(Expiry::LinkDetach(Duration::from_secs(1))));
            link.detach();
            event.connection().unwrap().create_receiver_with(LinkOptions::new().source("q").consume());
        }
        "on_message" => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    assert_eq!((log.count("on_message"), broker.queue_stats("q").unwrap().ready), (2, 0));
}

#[test]
fn a_body_says_by_itself_which_sections_it_is() {
    // `inferred` chooses between them in the original.
    let mut message = Message::from(Body::Sequence(vec![vec![Value::from("a"), Value::from(1_i32)].into()]));
    message.set_footer(Annotations([(Symbol::from_static("x-sum"), 7_i32)].into_iter().collect()));
    let read = Message::decode(&message.encode()).unwrap();
    assert!(matches!(read.body(), Body::Sequence(_)), "{read:?}");
    assert!(read.footer().is_some());
    for body in [Body::Value("a".into()), Body::Data("a".into())] {
        let read = Message::decode(&Message::from(body.clone()).encode()).unwrap();
        assert_eq!(*read.body(), body);
    }
}

#[tokio::test]
async fn transactions_that_fail_say_why() {
    // The time of a transaction is over as soon as it is declared, and there may be one.
    let limits = |broker: postroad_broker::Builder| {
        let broker = broker.transaction_timeout(Some(Duration::ZERO));
        broker.with_limits(|limits| limits.transactions_per_connection = 1)
    };
    let (_broker, url) = broker_with(limits).await;
    let log = Log::default();
    let mut first = None;
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect(&url).declare_transaction()),
        "on_transaction_declared" => {
            first = event.transaction().cloned();
            event.session().unwrap().declare_transaction();
        }
        "on_transaction_declare_failed" => {
            let Some(EventError::Transaction(TransactionError::Refused(_))) = event.error() else {
                panic!("{:?}", event.error())
            };
            first.as_ref().unwrap().commit();
        }
        "on_transaction_commit_failed" => {
            assert_eq!(event.transaction(), first.as_ref());
            let Some(EventError::Transaction(TransactionError::TimedOut(_))) = event.error() else {
                panic!("{:?}", event.error())
            };
            event.connection().unwrap().close();
        }
        _ => {}
    }))
    .await;
    let transactions = log.all().into_iter().map(|line| line.split(' ').next().unwrap().to_owned());
    let transactions: Vec<_> = transactions.filter(|line| line.starts_with("on_transaction")).collect();
    assert_eq!(
        transactions,
        ["on_transaction_declared", "on_transaction_declare_failed", "on_transaction_commit_failed"]
    );
}
