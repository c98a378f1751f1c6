//! Certificates made at test time, and pairs of connections on loopback.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use postroad_taps::{
    AcceptError, ClientCertificates, Connection, EstablishmentError, LengthPrefix, Listener, LocalEndpoint, Message,
    Preconnection, Protocol, ReceiveError, RemoteEndpoint, Security, TlsConfig, TlsError,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// An authority and what it signs.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate chain and its key, in PEM.
pub struct Identity {
    pub chain: String,
    pub key: String,
}

impl Authority {
    /// An authority with a name of its own.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Self::named(&format!("Authority {}", COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    pub fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { chain, key: key.serialize_pem() }
    }

    pub fn server(&self) -> Identity {
        self.sign(&["localhost", "127.0.0.1"], |_| {})
    }

    pub fn expired(&self) -> Identity {
        self.sign(&["localhost"], |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    pub fn client(&self, common_name: &str) -> Identity {
        self.sign(&[], |params| {
            params.distinguished_name.push(DnType::CommonName, common_name);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    pub fn trusted(&self) -> TlsConfig {
        TlsConfig::builder().roots_pem(&self.pem).build().unwrap()
    }
}

impl Identity {
    pub fn serve(&self) -> TlsConfig {
        TlsConfig::builder().server_certificate_pem(&self.chain, &self.key).build().unwrap()
    }

    pub fn serve_with_clients(&self, authority: &Authority, wanted: ClientCertificates) -> TlsConfig {
        TlsConfig::builder()
            .server_certificate_pem(&self.chain, &self.key)
            .roots_pem(&authority.pem)
            .client_certificates(wanted)
            .build()
            .unwrap()
    }
}

/// A listener on a port of 127.0.0.1 that the system picks, over TCP and nothing else.
pub async fn listen(security: impl Into<Security>) -> Listener {
    listen_with(Preconnection::new().security(security)).await
}

pub async fn listen_with(preconnection: Preconnection) -> Listener {
    preconnection.local(LocalEndpoint::host("127.0.0.1").protocol(Protocol::Tcp)).listen().await.unwrap()
}

/// A preconnection to a port of `localhost`.
pub fn to(port: u16, security: impl Into<Security>) -> Preconnection {
    Preconnection::new().remote(RemoteEndpoint::host("localhost").port(port).protocol(Protocol::Tcp)).security(security)
}

/// Both ends of one connection; panics where one of them fails.
pub async fn pair(server: Preconnection, client: Preconnection) -> (Connection, Connection) {
    let listener = listen_with(server).await;
    let client = client.remote(RemoteEndpoint::from(listener.local_endpoint()).protocol(Protocol::Tcp));
    let (accepted, initiated) = tokio::join!(listener.accept(), async { client.initiate().timeout(PATIENCE).await });
    (accepted.unwrap().unwrap(), initiated.unwrap())
}

/// What a server and a client see of one meeting.
pub type Ends = (Result<Connection, EstablishmentError>, Result<Connection, EstablishmentError>);

/// A client tries to reach a server.
pub async fn meet(server: TlsConfig, client: impl Into<Security>) -> Ends {
    let listener = listen(server).await;
    let client = to(listener.local_endpoint().ip().unwrap().port(), client);
    let (accepted, initiated) = tokio::join!(listener.accept(), async { client.initiate().timeout(PATIENCE).await });
    let accepted = match accepted {
        Ok(connection) => Ok(connection.unwrap()),
        Err(AcceptError::Establishment(error)) => Err(error),
        Err(other) => panic!("{other}"),
    };
    (accepted, initiated)
}

/// What TLS had against a connection; panics where there was nothing.
pub fn tls_error(result: Result<Connection, EstablishmentError>) -> TlsError {
    let error = result.expect_err("the connection was established");
    error.tls().unwrap_or_else(|| panic!("{error:?}")).clone()
}

/// In clear text.
pub fn clear() -> Preconnection {
    Preconnection::new().security(Security::Disabled)
}

/// In clear text, with the length before each message.
pub fn framed() -> Preconnection {
    clear().framer(LengthPrefix::new)
}

/// A connection whose peer is a bare socket.
pub async fn bare(preconnection: Preconnection) -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let initiate = preconnection.remote(listener.local_addr().unwrap()).initiate().timeout(PATIENCE);
    let (accepted, connection) = tokio::join!(listener.accept(), async { initiate.await });
    let raw = accepted.unwrap().0;
    raw.set_nodelay(true).unwrap();
    (connection.unwrap(), raw)
}

/// What is received next; panics when nothing is.
pub async fn next(connection: &Connection) -> Result<Message, ReceiveError> {
    tokio::time::timeout(PATIENCE, connection.receive()).await.expect("nothing was received")
}

/// So many bytes of what a bare socket receives; panics when there are less.
pub async fn wire(raw: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    tokio::time::timeout(PATIENCE, raw.read_exact(&mut bytes)).await.expect("nothing on the wire").unwrap();
    bytes
}
