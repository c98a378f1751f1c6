//! Who may come to an acceptor, and how it is told apart who has come.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use postroad_amqp::v1_0 as amqp;
use postroad_client::sasl::{ScramHash, ScramKeys, UserFile, Users};
use postroad_client::types::Value;
use postroad_client::{
    AcceptError, AcceptOptions, Acceptor, ClientCertificates, ConnectError, ConnectOptions, Connection,
    ConnectionError, LocalEndpoint, Security, TlsConfig,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

async fn listen(change: impl FnOnce(&mut AcceptOptions)) -> Acceptor {
    let mut options = AcceptOptions::new(LocalEndpoint::host("127.0.0.1"));
    options.handshake_timeout = PATIENCE;
    change(&mut options);
    Acceptor::listen(options).await.unwrap()
}

fn to(acceptor: &Acceptor) -> ConnectOptions {
    let port = acceptor.local_endpoint().ip().unwrap().port();
    let mut options = ConnectOptions::new(format!("amqp://localhost:{port}").parse().unwrap());
    options.reconnect = None;
    options
}

fn alice(acceptor: &Acceptor, password: &str, mechanisms: &[&str]) -> ConnectOptions {
    let mut options = to(acceptor);
    (options.user, options.password) = (Some("alice".to_owned()), Some(password.to_owned()));
    options.sasl_mechanisms = mechanisms.iter().map(|name| (*name).to_owned()).collect();
    options.allow_insecure_mechs = true;
    options
}

fn users() -> Arc<dyn Users> {
    Arc::new(UserFile::parse("alice:wonderland", [1; 32]).unwrap())
}

/// Who has come at the end that is connected to, as name and mechanism.
async fn who(acceptor: &Acceptor, options: ConnectOptions) -> Result<Option<(String, String)>, ConnectError> {
    let (client, server) = soon(async { tokio::join!(Connection::open(options), acceptor.accept()) }).await;
    let client = client?;
    let server = server.unwrap();
    let user = server.user().map(|user| (user.name, user.mechanism));
    assert_eq!(client.user(), None, "a client knows nobody");
    assert!(server.remote_endpoint().unwrap().ip().unwrap().ip().is_loopback());
    client.close().await.unwrap();
    Ok(user)
}

fn user(name: &str, mechanism: &str) -> Option<(String, String)> {
    Some((name.to_owned(), mechanism.to_owned()))
}

fn is_refused(result: &Result<Option<(String, String)>, ConnectError>) -> bool {
    result.as_ref().is_err_and(ConnectError::is_authentication)
}

#[tokio::test]
async fn everybody_may_come_by_default_and_is_nobody() {
    let acceptor = listen(|_| {}).await;
    assert_eq!(who(&acceptor, to(&acceptor)).await.unwrap(), user("anonymous", "ANONYMOUS"));
    let mut bare = to(&acceptor);
    bare.sasl_enabled = false;
    assert_eq!(who(&acceptor, bare).await.unwrap(), None);
    assert!(is_refused(&who(&acceptor, alice(&acceptor, "wonderland", &[])).await), "there is no user");
}

#[tokio::test]
async fn as_soon_as_users_are_known_they_alone_may_come() {
    let acceptor = listen(|options| options.sasl.users = Some(users())).await;
    let came = who(&acceptor, alice(&acceptor, "wonderland", &[])).await.unwrap();
    assert_eq!(came, user("alice", "SCRAM-SHA-512"));
    assert!(is_refused(&who(&acceptor, alice(&acceptor, "Wonderland", &[])).await));
    assert!(is_refused(&who(&acceptor, alice(&acceptor, "wonderland", &["PLAIN"])).await), "there is no TLS");
    assert!(is_refused(&who(&acceptor, to(&acceptor)).await));
    let mut bare = to(&acceptor);
    bare.sasl_enabled = false;
    let error = who(&acceptor, bare).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Connection(ConnectionError::Protocol(_))), "{error:?}");
}

#[tokio::test]
async fn what_is_allowed_beside_is_said() {
    let acceptor = listen(|options| {
        options.sasl.users = Some(users());
        options.sasl.allow_insecure_mechs = true;
        options.sasl.anonymous = Some(true);
        options.sasl.mechanisms = ["PLAIN", "GSSAPI"].map(str::to_owned).into();
    })
    .await;
    let plain = alice(&acceptor, "wonderland", &[]);
    assert_eq!(who(&acceptor, plain).await.unwrap(), user("alice", "PLAIN"));
    assert!(is_refused(&who(&acceptor, alice(&acceptor, "Wonderland", &[])).await));
    assert!(is_refused(&who(&acceptor, alice(&acceptor, "wonderland", &["SCRAM-SHA-256"])).await));
    assert!(is_refused(&who(&acceptor, to(&acceptor)).await), "ANONYMOUS is not in the list");

    let acceptor = listen(|options| {
        options.sasl.users = Some(users());
        options.sasl.allow_bare = Some(true);
    })
    .await;
    let mut bare = to(&acceptor);
    bare.sasl_enabled = false;
    assert_eq!(who(&acceptor, bare).await.unwrap(), None);
}

#[tokio::test]
async fn without_sasl_those_are_served_that_leave_it_out() {
    let acceptor = listen(|options| options.sasl.enabled = false).await;
    let mut bare = to(&acceptor);
    bare.sasl_enabled = false;
    assert_eq!(who(&acceptor, bare).await.unwrap(), None);
    let (client, server) = soon(async { tokio::join!(Connection::open(to(&acceptor)), acceptor.accept()) }).await;
    assert!(client.is_err() && server.is_err());
}

#[tokio::test]
async fn options_by_which_nobody_could_come_are_found_at_the_start() {
    for change in [
        |options: &mut AcceptOptions| options.sasl.anonymous = Some(false),
        |options: &mut AcceptOptions| options.sasl.mechanisms = vec!["GSSAPI".to_owned()],
        |options: &mut AcceptOptions| options.sasl.external = true,
        |options: &mut AcceptOptions| options.properties = vec![("naïve".to_owned(), Value::Null)],
        |options: &mut AcceptOptions| options.offered_capabilities = vec!["é".to_owned()],
    ] {
        let mut options = AcceptOptions::new(LocalEndpoint::host("127.0.0.1"));
        change(&mut options);
        let error = Acceptor::listen(options).await.unwrap_err();
        assert!(matches!(&error, AcceptError::Options(text) if !text.is_empty()), "{error:?}");
    }
}

#[tokio::test]
async fn what_our_end_is_and_offers_is_in_its_open() {
    let acceptor = listen(|options| {
        options.container_id = "gateway".to_owned();
        options.properties = vec![("level".to_owned(), Value::Int(7))];
        options.offered_capabilities = vec!["relay".to_owned()];
        options.desired_capabilities = vec!["shared".to_owned()];
    })
    .await;
    let (client, server) = soon(async { tokio::join!(Connection::open(to(&acceptor)), acceptor.accept()) }).await;
    let (client, _server) = (client.unwrap(), server.unwrap());
    assert_eq!(client.remote_container().as_deref(), Some("gateway"));
    assert_eq!(client.remote_property("level"), Some(Value::Int(7)));
    assert_eq!(client.remote_property("product"), Some(Value::from("postroad")));
    assert_eq!(client.remote_offered_capabilities(), ["relay"]);
    assert_eq!(client.remote_desired_capabilities(), ["shared"]);
}

#[tokio::test]
async fn a_certificate_shows_who_a_client_is() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let roots = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let sign = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    };
    let (chain, key) =
        sign(&|params| params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())]);
    let tls = TlsConfig::builder().server_certificate_pem(chain, key).roots_pem(&roots);
    let tls = tls.client_certificates(ClientCertificates::Accepted).build().unwrap();
    let acceptor = listen(|options| {
        options.security = Security::Tls(tls);
        options.sasl.external = true;
    })
    .await;
    let client = |name: Option<&'static str>| {
        let mut builder = TlsConfig::builder().roots_pem(&roots);
        if let Some(name) = name {
            let (chain, key) = sign(&|params| {
                params.distinguished_name.push(DnType::CommonName, name);
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            });
            builder = builder.client_certificate_pem(chain, key);
        }
        let port = acceptor.local_endpoint().ip().unwrap().port();
        let mut options = ConnectOptions::new(format!("amqps://localhost:{port}").parse().unwrap());
        options.tls = builder.build().unwrap();
        options.sasl_mechanisms = vec!["EXTERNAL".to_owned()];
        options.reconnect = None;
        options
    };
    assert_eq!(who(&acceptor, client(Some("alice"))).await.unwrap(), user("alice", "EXTERNAL"));
    assert!(is_refused(&who(&acceptor, client(None)).await));
    assert!(is_refused(&who(&acceptor, client(Some("line\nfeed"))).await));

    let accepting = async { acceptor.accept().await.unwrap() };
    let (_client, server) = soon(async { tokio::join!(Connection::open(client(Some("bob"))), accepting) }).await;
    assert_eq!(server.tls_info().unwrap().peer_common_name().as_deref(), Some("bob"));
}

/// Users whose passwords are right as soon as a gate opens.
#[derive(Debug, Default)]
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

impl Users for Gate {
    fn scram(&self, _: &str, _: ScramHash) -> Option<ScramKeys> {
        None
    }

    fn check_plain(&self, _: &str, password: &str) -> bool {
        let open = self.open.lock().unwrap();
        let waited = self.changed.wait_timeout_while(open, PATIENCE, |open| !*open).unwrap();
        !waited.1.timed_out() && password == "wonderland"
    }

    fn hashes(&self) -> &[ScramHash] {
        &[]
    }
}

#[tokio::test]
async fn a_password_that_takes_long_delays_nobody() {
    let gate = Arc::new(Gate::default());
    let acceptor = listen(|options| {
        options.sasl.users = Some(gate.clone());
        options.sasl.allow_insecure_mechs = true;
        options.sasl.anonymous = Some(true);
    })
    .await;
    let slow = tokio::spawn(Connection::open(alice(&acceptor, "wonderland", &["PLAIN"])));
    let first = soon(acceptor.next_connection()).await.unwrap();
    let first = tokio::spawn(first.open());
    // This runtime has one thread.
    assert_eq!(who(&acceptor, to(&acceptor)).await.unwrap(), user("anonymous", "ANONYMOUS"));
    assert!(!first.is_finished());
    gate.open();
    let server = soon(first).await.unwrap().unwrap();
    assert_eq!(server.user().map(|user| user.name).as_deref(), Some("alice"));
    let client = soon(slow).await.unwrap().unwrap();
    client.close().await.unwrap();
}

/// Users that count how many passwords are checked at a time.
#[derive(Debug, Default)]
struct Counter {
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Users for Counter {
    fn scram(&self, _: &str, _: ScramHash) -> Option<ScramKeys> {
        None
    }

    fn check_plain(&self, _: &str, _: &str) -> bool {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        self.running.fetch_sub(1, Ordering::SeqCst);
        true
    }

    fn hashes(&self) -> &[ScramHash] {
        &[]
    }
}

#[tokio::test]
async fn passwords_are_checked_on_half_of_the_processors() {
    let counter = Arc::new(Counter::default());
    let acceptor = listen(|options| {
        options.sasl.users = Some(counter.clone());
        options.sasl.allow_insecure_mechs = true;
    })
    .await;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let clients = 2 * processors;
    let opening: Vec<_> =
        (0..clients).map(|_| tokio::spawn(Connection::open(alice(&acceptor, "any", &["PLAIN"])))).collect();
    let mut serving = Vec::new();
    for _ in 0..clients {
        serving.push(tokio::spawn(soon(acceptor.next_connection()).await.unwrap().open()));
    }
    for (client, server) in opening.into_iter().zip(serving) {
        soon(client).await.unwrap().unwrap();
        assert!(soon(server).await.unwrap().unwrap().user().is_some());
    }
    assert!((1..=(processors / 2).max(1)).contains(&counter.most.load(Ordering::SeqCst)));
}

#[tokio::test]
async fn a_client_that_says_nothing_delays_nobody() {
    let acceptor = listen(|_| {}).await;
    let mut silent = TcpStream::connect(acceptor.local_endpoint().ip().unwrap()).await.unwrap();
    let first = soon(acceptor.next_connection()).await.unwrap();
    assert_eq!(first.remote_endpoint().ip().unwrap(), silent.local_addr().unwrap());
    let first = tokio::spawn(first.open());
    assert_eq!(who(&acceptor, to(&acceptor)).await.unwrap(), user("anonymous", "ANONYMOUS"));
    // It is not too late for it.
    silent.write_all(b"AMQP\x00\x01\x00\x00").await.unwrap();
    let mut header = [0; 8];
    soon(silent.read_exact(&mut header)).await.unwrap();
    assert_eq!(&header, b"AMQP\x00\x01\x00\x00");
    drop(silent);
    assert_eq!(
        soon(first).await.unwrap().unwrap_err(),
        AcceptError::Connection(ConnectionError::Protocol(amqp::ConnectionError::Lost))
    );
}

#[tokio::test]
async fn a_connection_that_is_not_opened_is_closed() {
    let acceptor = listen(|_| {}).await;
    let mut client = TcpStream::connect(acceptor.local_endpoint().ip().unwrap()).await.unwrap();
    drop(soon(acceptor.next_connection()).await.unwrap());
    assert_eq!(soon(client.read(&mut [0; 8])).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_handshake_has_one_time_in_all() {
    let acceptor = listen(|options| options.handshake_timeout = Duration::from_millis(300)).await;
    let mut client = TcpStream::connect(acceptor.local_endpoint().ip().unwrap()).await.unwrap();
    let opening = soon(acceptor.next_connection()).await.unwrap().open();
    client.write_all(b"AMQP").await.unwrap();
    let error = soon(opening).await.unwrap_err();
    assert_eq!(error, AcceptError::Connection(ConnectionError::Protocol(amqp::ConnectionError::Handshake)));
}

#[tokio::test]
async fn no_more_sessions_begin_than_either_end_takes() {
    for (theirs, ours, sessions) in [(1, 255, 2), (255, 2, 3), (0, 0, 1)] {
        let acceptor = listen(|options| options.channel_max = theirs).await;
        let mut options = to(&acceptor);
        options.channel_max = ours;
        let (client, _server) = tokio::join!(Connection::open(options), acceptor.accept());
        let client = client.unwrap();
        let mut begun = Vec::new();
        for _ in 0..sessions {
            begun.push(soon(client.session()).await.unwrap());
        }
        let refused = soon(client.session()).await;
        assert!(matches!(refused, Err(postroad_client::AttachError::Limit(_))), "{theirs} and {ours}: {refused:?}");
    }
}
