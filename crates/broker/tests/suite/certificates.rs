//! Clients that come with a certificate.

use postroad_amqp::sasl::{Credentials, SaslError, UserFile};
use postroad_amqp::v1_0::ConnectionError;
use postroad_broker::{Broker, Builder, ClientCertificates};
use postroad_codec::v1_0::SaslCode;
use postroad_taps::{ByteStream, Preconnection, RemoteEndpoint, TlsConfig};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::client::{Client, numbered};

/// An authority, and what it signs.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A broker that takes the certificates of this authority, and those without one.
    async fn broker(&self, builder: Builder) -> Broker {
        let (chain, key) = self.sign(|params| {
            params.subject_alt_names = vec![rcgen::SanType::DnsName("localhost".try_into().unwrap())];
        });
        let tls = TlsConfig::builder().server_certificate_pem(chain, key).roots_pem(&self.pem);
        let tls = tls.client_certificates(ClientCertificates::Accepted).build().unwrap();
        builder.queue("q0").tls(tls).listen("amqps://127.0.0.1:0").start().await.unwrap()
    }

    /// A client whose certificate names these, in their order.
    fn client(&self, names: &[&str]) -> TlsConfig {
        let (chain, key) = self.sign(|params| {
            for name in names {
                params.distinguished_name.push(DnType::CommonName, *name);
            }
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
        self.trusting().client_certificate_pem(chain, key).build().unwrap()
    }

    fn trusting(&self) -> postroad_taps::TlsConfigBuilder {
        TlsConfig::builder().roots_pem(&self.pem).server_name("localhost")
    }
}

async fn open(
    broker: &Broker,
    tls: TlsConfig,
    credentials: Credentials,
) -> Result<Client<ByteStream>, ConnectionError> {
    let remote = RemoteEndpoint::host("127.0.0.1").port(broker.addr().unwrap().port());
    let connection = Preconnection::new().remote(remote).security(tls).initiate().await.unwrap();
    Client::open(connection.into_byte_stream().unwrap(), Some((credentials, true))).await
}

fn offered(result: Result<Client<ByteStream>, ConnectionError>) -> Vec<String> {
    match result.err() {
        Some(ConnectionError::Sasl(SaslError::NoCommonMechanism { offered, .. })) => offered,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_lets_in_whom_it_names() {
    let authority = Authority::new();
    let broker = authority.broker(Broker::builder().certificates(true)).await;
    let mut client = open(&broker, authority.client(&["alice"]), Credentials::external()).await.unwrap();
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..1)).await;
    client.close().await;

    let acting = |name: &str| Credentials::External { authorization: Some(name.to_owned()) };
    open(&broker, authority.client(&["alice"]), acting("alice")).await.unwrap().close().await;
    let refused = open(&broker, authority.client(&["alice"]), acting("bob")).await.err();
    assert_eq!(refused, Some(ConnectionError::Sasl(SaslError::AuthenticationFailed)));
    // A certificate that names nobody, and none at all.
    for tls in [authority.client(&[]), authority.client(&["a\nb"]), authority.trusting().build().unwrap()] {
        let refused = open(&broker, tls, Credentials::external()).await.err();
        assert_eq!(refused, Some(ConnectionError::SaslOutcome(SaslCode::SYS_PERM)));
    }
}

#[tokio::test]
async fn a_certificate_counts_where_it_is_asked_for() {
    let authority = Authority::new();
    let users = || UserFile::parse("alice:wonderland", [3; 32]).unwrap();
    let only_users = authority.broker(Broker::builder().users(users())).await;
    let names = offered(open(&only_users, authority.client(&["alice"]), Credentials::external()).await);
    assert!(!names.contains(&"EXTERNAL".to_owned()), "{names:?}");

    let both = authority.broker(Broker::builder().users(users()).certificates(true)).await;
    open(&both, authority.client(&["bob"]), Credentials::external()).await.unwrap().close().await;
    open(&both, authority.client(&["bob"]), Credentials::password("alice", "wonderland")).await.unwrap().close().await;
    let names = offered(open(&both, authority.trusting().build().unwrap(), Credentials::external()).await);
    assert!(!names.contains(&"EXTERNAL".to_owned()), "{names:?}");
}
