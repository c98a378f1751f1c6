//! Names to addresses: by the system's resolver, and by a name server of the test.

#[path = "common/dns.rs"]
mod dns;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dns::{A, AAAA, NameServer, Reply, SRV, a, aaaa, srv};
use postroad_taps::{
    AttemptError, Context, LocalEndpoint, Preconnection, Protocol, RemoteEndpoint, Resolution, ResolutionError,
    Resolver, Security, TransportProperties, UnresolvedReason as Reason,
};
use tokio::sync::Notify;

const PATIENCE: Duration = Duration::from_secs(30);

fn addresses(text: &[&str]) -> Vec<SocketAddr> {
    text.iter().map(|address| address.parse().unwrap()).collect()
}

async fn all(resolution: Resolution) -> Result<Vec<SocketAddr>, ResolutionError> {
    tokio::time::timeout(PATIENCE, resolution.all()).await.unwrap()
}

/// A resolver that asks a server, and what keeps the server alive.
async fn resolver(zone: impl Fn(&str, u16) -> Reply + Send + Sync + 'static) -> (Resolver, NameServer) {
    let server = NameServer::start(zone).await;
    (Resolver::dns_at(&[server.address], Duration::from_secs(5)).unwrap(), server)
}

fn host(name: &str) -> RemoteEndpoint {
    RemoteEndpoint::host(name).port(80)
}

fn reason(result: Result<Vec<SocketAddr>, ResolutionError>) -> Reason {
    result.unwrap_err().reason
}

#[tokio::test]
async fn an_address_is_its_own_answer() {
    let resolver = Resolver::system();
    let remote = all(resolver.resolve(&host("::1"), Protocol::Tcp)).await;
    assert_eq!(remote, Ok(addresses(&["[::1]:80"])));
    let named = host("name.invalid").ip_address(Ipv4Addr::LOCALHOST);
    assert_eq!(all(resolver.resolve(&named, Protocol::Tcp)).await, Ok(addresses(&["127.0.0.1:80"])));
    let local = LocalEndpoint::any().port(7);
    assert_eq!(all(resolver.resolve_local(&local, Protocol::Tcp)).await, Ok(addresses(&["[::]:7", "0.0.0.0:7"])));
    let service = LocalEndpoint::any().service("99");
    assert_eq!(all(resolver.resolve_local(&service, Protocol::Udp)).await, Ok(addresses(&["[::]:99", "0.0.0.0:99"])));
}

#[tokio::test]
async fn the_system_resolves_names_of_the_machine() {
    let found = all(Resolver::system().resolve(&host("localhost"), Protocol::Tcp)).await.unwrap();
    assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80), "{found:?}");
}

#[tokio::test]
async fn what_is_no_host_has_no_address() {
    let resolver = Resolver::system();
    for endpoint in [RemoteEndpoint::path("/run/a"), RemoteEndpoint::memory("a")] {
        let error = all(resolver.resolve(&endpoint, Protocol::Udp)).await.unwrap_err();
        assert_eq!(error.reason, Reason::NoHost, "{endpoint}");
    }
}

#[tokio::test]
async fn a_group_is_its_own_answer() {
    let resolver = Resolver::system();
    let remote = RemoteEndpoint::multicast_group(Ipv4Addr::new(233, 252, 0, 0)).port(5353);
    assert_eq!(all(resolver.resolve(&remote, Protocol::Udp)).await, Ok(addresses(&["233.252.0.0:5353"])));
    let group: Ipv6Addr = "ff02::fb".parse().unwrap();
    let local = LocalEndpoint::multicast_group(group).port(5353).interface(7);
    assert_eq!(all(resolver.resolve_local(&local, Protocol::Udp)).await.unwrap()[0].to_string(), "[ff02::fb%7]:5353");
    let wide: Ipv6Addr = "ff0e::1".parse().unwrap();
    let local = LocalEndpoint::multicast_group(wide).service("5353").interface(7);
    assert_eq!(all(resolver.resolve_local(&local, Protocol::Udp)).await, Ok(addresses(&["[ff0e::1]:5353"])));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_interface_is_the_scope_of_a_link_local_address() {
    let index = std::fs::read_to_string("/sys/class/net/lo/ifindex").unwrap().trim().parse::<u32>().unwrap();
    let resolver = Resolver::system();
    let found = all(resolver.resolve(&host("fe80::1%lo"), Protocol::Tcp)).await.unwrap();
    assert_eq!(found[0].to_string(), format!("[fe80::1%{index}]:80"));
    let found = all(resolver.resolve(&host("fe80::1").interface(7), Protocol::Tcp)).await.unwrap();
    assert_eq!(found[0].to_string(), "[fe80::1%7]:80");
    // Other addresses mean the same on every interface.
    assert_eq!(all(resolver.resolve(&host("::1%lo"), Protocol::Tcp)).await, Ok(addresses(&["[::1]:80"])));
    let missing = all(resolver.resolve(&host("fe80::1%nowhere0"), Protocol::Tcp)).await;
    assert_eq!(reason(missing), Reason::NoInterface("nowhere0".to_owned()));
}

#[tokio::test]
async fn a_service_without_a_port_is_an_error() {
    let endpoint = RemoteEndpoint::host("localhost").service("no-such-service");
    let error = all(Resolver::system().resolve(&endpoint, Protocol::Quic)).await.unwrap_err();
    let unknown = Reason::UnknownService { service: "no-such-service".to_owned(), transport: "udp" };
    assert_eq!((error.host.as_str(), error.reason), ("localhost", unknown));
}

#[cfg(unix)]
#[tokio::test]
async fn the_systems_table_knows_services() {
    if !std::path::Path::new("/etc/services").exists() {
        println!("skipped: the table of services: there is no /etc/services (package netbase)");
        return;
    }
    let endpoint = RemoteEndpoint::host("127.0.0.1").service("http");
    let found = all(Resolver::system().resolve(&endpoint, Protocol::Tcp)).await;
    assert_eq!(found, Ok(addresses(&["127.0.0.1:80"])));
    // A port goes first.
    let found = all(Resolver::system().resolve(&endpoint.port(8080), Protocol::Tcp)).await;
    assert_eq!(found, Ok(addresses(&["127.0.0.1:8080"])));
}

#[tokio::test]
async fn each_family_comes_when_it_is_there_with_its_time_to_live() {
    let held = Arc::new(Notify::new());
    let hold = Arc::clone(&held);
    let (resolver, _server) = resolver(move |name, kind| match (name, kind) {
        ("both.example", AAAA) => Reply::Records(vec![aaaa(300, Ipv6Addr::LOCALHOST)]),
        ("both.example", A) => {
            let records = vec![a(60, Ipv4Addr::LOCALHOST), a(50, Ipv4Addr::new(127, 0, 0, 2))];
            Reply::Later(Arc::clone(&hold), Reply::Records(records).into())
        }
        _ => Reply::NoName,
    })
    .await;
    let mut resolution = resolver.resolve(&host("both.example"), Protocol::Tcp);
    let first = resolution.next().await.unwrap().unwrap();
    assert_eq!(first.addresses, addresses(&["[::1]:80"]));
    assert!((290..=300).contains(&first.ttl.unwrap().as_secs()), "{:?}", first.ttl);
    // Nothing is lost by giving up on one wait.
    tokio::select! {
        biased;
        early = resolution.next() => panic!("{early:?}"),
        () = tokio::task::yield_now() => {}
    }
    held.notify_one();
    let second = resolution.next().await.unwrap().unwrap();
    assert_eq!(second.addresses, addresses(&["127.0.0.1:80", "127.0.0.2:80"]));
    assert!((40..=50).contains(&second.ttl.unwrap().as_secs()), "{:?}", second.ttl);
    assert!(resolution.next().await.is_none());
    assert!(resolution.next().await.is_none());
}

/// RFC 2308 5.
#[tokio::test]
async fn a_name_that_has_no_address_of_a_family_is_remembered_too() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let (resolver, _server) = resolver(move |name, kind| {
        count.fetch_add(usize::from(kind == AAAA), Ordering::Relaxed);
        match kind {
            A => Reply::Records(vec![a(300, Ipv4Addr::LOCALHOST)]),
            _ if name == "lately.example" => Reply::None(0),
            _ => Reply::None(300),
        }
    })
    .await;
    for (name, expected) in [("four.example", 1), ("lately.example", 3)] {
        let before = asked.load(Ordering::Relaxed);
        for _ in 0..3 {
            let found = all(resolver.resolve(&host(name), Protocol::Tcp)).await;
            assert_eq!(found, Ok(addresses(&["127.0.0.1:80"])));
        }
        assert_eq!(asked.load(Ordering::Relaxed) - before, expected, "{name}");
    }
}

/// RFC 9623 9.1, RFC 9622 8.1.10: what was answered is kept with the context, for who shares it and as long as its owner
/// likes.
#[tokio::test]
async fn names_are_remembered_with_the_context() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let (resolver, _server) = resolver(move |_, kind| {
        count.fetch_add(usize::from(kind == A), Ordering::Relaxed);
        if kind == A { Reply::Records(vec![a(300, Ipv4Addr::LOCALHOST)]) } else { Reply::Records(Vec::new()) }
    })
    .await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = RemoteEndpoint::host("kept.example").port(listener.local_addr().unwrap().port());
    let context = Context::new();
    let shared = Preconnection::new().security(Security::Disabled).remote(remote).resolver(resolver.clone());
    let shared = shared.context(context.clone());
    let mut properties = TransportProperties::new();
    properties.connection.isolate_session = true;
    let isolated = shared.clone().properties(properties);
    let questions = async |preconnection: &Preconnection| {
        let before = asked.load(Ordering::Relaxed);
        preconnection.initiate().timeout(PATIENCE).await.unwrap();
        asked.load(Ordering::Relaxed) - before
    };
    assert_eq!((questions(&isolated).await, questions(&shared).await, questions(&shared).await), (1, 1, 0));
    assert_eq!(questions(&isolated).await, 1);
    context.clear();
    assert_eq!((questions(&shared).await, questions(&shared).await), (1, 0));
    // A resolver that is asked itself remembers for itself.
    let alone = async || {
        let before = asked.load(Ordering::Relaxed);
        all(resolver.resolve(&host("kept.example"), Protocol::Tcp)).await.unwrap();
        asked.load(Ordering::Relaxed) - before
    };
    assert_eq!((alone().await, alone().await), (1, 0));
}

#[tokio::test]
async fn one_family_is_enough() {
    let (resolver, _server) = resolver(|_, kind| match kind {
        A => Reply::Records(vec![a(1, Ipv4Addr::LOCALHOST)]),
        _ => Reply::Failure,
    })
    .await;
    let found = all(resolver.resolve(&host("four.example"), Protocol::Tcp)).await;
    assert_eq!(found, Ok(addresses(&["127.0.0.1:80"])));
}

#[tokio::test]
async fn each_way_to_fail_has_its_reason() {
    let (resolver, _server) = resolver(|name, _| match name {
        "empty.example" => Reply::Records(Vec::new()),
        "broken.example" => Reply::Failure,
        _ => Reply::NoName,
    })
    .await;
    let of = async |name| all(resolver.resolve(&host(name), Protocol::Tcp)).await;
    assert_eq!(reason(of("nobody.example").await), Reason::NotFound);
    assert_eq!(reason(of("empty.example").await), Reason::NoAddress);
    assert!(matches!(reason(of("broken.example").await), Reason::Failed(_)));
    let error = of("nobody.example").await.unwrap_err();
    assert_eq!(error.to_string(), "cannot resolve `nobody.example`: there is no such name");
}

#[tokio::test]
async fn a_silent_server_is_a_timeout() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = NameServer::start(move |_, kind| {
        count.fetch_add(usize::from(kind == A), Ordering::Relaxed);
        Reply::Silence
    })
    .await;
    let resolver = Resolver::dns_at(&[server.address], Duration::from_millis(50)).unwrap();
    let start = Instant::now();
    assert_eq!(reason(all(resolver.resolve(&host("a.example"), Protocol::Tcp)).await), Reason::Timeout);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    // All questions have left; the server may be late to count them.
    while asked.load(Ordering::Relaxed) < 2 && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert!(Resolver::dns_at(&[], Duration::from_secs(1)).is_err());
}

#[tokio::test]
async fn a_long_answer_comes_over_tcp_and_has_a_limit() {
    let (resolver, _server) = resolver(|name, kind| match (name, kind) {
        ("many.example", A) => Reply::Records((0..1000).map(|n| a(9, Ipv4Addr::from_bits(0x7f00_0000 + n))).collect()),
        ("more.example", A) => Reply::Records((0..2000).map(|n| a(9, Ipv4Addr::from_bits(0x7f00_0000 + n))).collect()),
        _ => Reply::Records(Vec::new()),
    })
    .await;
    let found = all(resolver.resolve(&host("many.example"), Protocol::Tcp)).await.unwrap();
    assert_eq!(found.len(), 1000);
    assert_eq!(found[999], "127.0.3.231:80".parse().unwrap());
    let found = all(resolver.resolve(&host("more.example"), Protocol::Tcp)).await.unwrap();
    assert_eq!(found.len(), 1024);
}

/// Case 26 (RFC 9623 12.2): a name with a thousand addresses makes sixteen attempts.
#[tokio::test]
async fn a_thousand_addresses_are_sixteen_attempts() {
    let (resolver, _server) = resolver(|name, kind| match (name, kind) {
        ("many.example", A) => Reply::Records((0..1000).map(|n| a(9, Ipv4Addr::from_bits(0x7f00_0100 + n))).collect()),
        _ => Reply::Records(Vec::new()),
    })
    .await;
    // Nobody listens on the port of a socket for datagrams.
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let remote = RemoteEndpoint::host("many.example").port(taken.local_addr().unwrap().port()).protocol(Protocol::Tcp);
    let preconnection = Preconnection::new().security(Security::Disabled).remote(remote).resolver(resolver);
    let error = preconnection.context(Context::new()).initiate().timeout(PATIENCE).await.unwrap_err();
    assert_eq!(error.attempts().len(), 16, "{error}");
    assert!(error.attempts().iter().all(|attempt| attempt.error == AttemptError::Refused), "{error}");
}

fn services(name: &str, kind: u16) -> Reply {
    match (name, kind) {
        ("_files._tcp.example", SRV) => Reply::Records(vec![
            srv(20, 0, 2000, "spare.example"),
            srv(10, 5, 1000, "gone.example"),
            srv(15, 0, 1500, "first.example."),
        ]),
        ("_files._udp.example", SRV) => Reply::Records(vec![srv(0, 0, 3000, "first.example")]),
        ("_closed._tcp.example", SRV) => Reply::Records(vec![srv(0, 0, 0, ".")]),
        ("first.example", A) => Reply::Records(vec![a(60, Ipv4Addr::new(127, 0, 0, 1))]),
        ("spare.example", A) => Reply::Records(vec![a(60, Ipv4Addr::new(127, 0, 0, 2))]),
        ("example", A) => Reply::Records(vec![a(60, Ipv4Addr::new(127, 0, 0, 3))]),
        ("first.example" | "spare.example" | "example", _) => Reply::Records(Vec::new()),
        _ => Reply::NoName,
    }
}

#[tokio::test]
async fn a_service_is_looked_up_by_its_records() {
    let (resolver, _server) = resolver(services).await;
    let at = |service: &str| RemoteEndpoint::host("example").service(service);
    // In the order of the priorities, and past a target that has no address.
    let found = all(resolver.resolve(&at("files"), Protocol::Tcp)).await;
    assert_eq!(found, Ok(addresses(&["127.0.0.1:1500", "127.0.0.2:2000"])));
    let found = all(resolver.resolve(&at("files"), Protocol::Quic)).await;
    assert_eq!(found, Ok(addresses(&["127.0.0.1:3000"])));
    assert_eq!(reason(all(resolver.resolve(&at("closed"), Protocol::Tcp)).await), Reason::NoService);
    // Without records it is the host itself with the port of the table, and so it is where a port is given.
    let found = all(resolver.resolve(&at("8080"), Protocol::Tcp)).await;
    assert_eq!(found, Ok(addresses(&["127.0.0.3:8080"])));
    let found = all(resolver.resolve(&at("files").port(80), Protocol::Tcp)).await;
    assert_eq!(found, Ok(addresses(&["127.0.0.3:80"])));
}

#[tokio::test]
async fn records_of_a_service_come_in_their_order() {
    let (resolver, _server) = resolver(services).await;
    let records = resolver.lookup_srv("_files._tcp.example").await.unwrap();
    let listed: Vec<_> = records.iter().map(|r| (r.priority, r.weight, r.port, r.target.as_str())).collect();
    assert_eq!(listed, [(10, 5, 1000, "gone.example"), (15, 0, 1500, "first.example"), (20, 0, 2000, "spare.example")]);
    let of = async |name| resolver.lookup_srv(name).await.unwrap_err().reason;
    assert_eq!(of("_closed._tcp.example").await, Reason::NoService);
    assert_eq!(of("_other._tcp.example").await, Reason::NotFound);
    assert_eq!(of("first.example").await, Reason::NoAddress);
    let system = Resolver::system().lookup_srv("_files._tcp.example").await;
    assert_eq!(system.unwrap_err().reason, Reason::NoSrv);
}
