//! Users, passwords and TLS.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::support::{Broker, command, finish, start, write};

#[test]
fn users_and_passwords() {
    let dir = tempfile::tempdir().unwrap();
    let users = write(dir.path(), "users", "alice:wonderland\n");
    let right = write(dir.path(), "right", "wonderland\n").display().to_string();
    let wrong = write(dir.path(), "wrong", "looking-glass\n").display().to_string();
    let broker = Broker::start(&["--users", &users.display().to_string()]);
    let alice = ["--user", "alice", "--password-file"];

    broker.send(&[&["q", "x"], &alice[..], &[&right]].concat()).expect(0);
    broker.send(&[&["q", "x"], &alice[..], &[&wrong]].concat()).expect_failure(77, &["authentication", "password"]);
    broker.send(&["q", "x"]).expect_failure(77, &["authentication"]);
    broker.send(&["q", "x", "--user", "bob", "--password-file", &right]).expect_failure(77, &["authentication"]);

    let mut receive = command(&["receive", "-b", &broker.url, "q", "-c", "1", "--user", "alice"]);
    assert_eq!(finish(start(receive.env("POSTROAD_PASSWORD", "wonderland"))).expect(0), "x\n");

    let with_password = broker.url.replacen("amqp://", "amqp://alice:wonderland@", 1);
    let ran = crate::support::run(&["send", "-v", "-b", &with_password, "q", "x"]);
    ran.expect(0);
    assert!(!ran.stderr.contains("wonderland"), "{}", ran.stderr);
}

#[test]
fn a_password_is_not_shown_without_tls() {
    let dir = tempfile::tempdir().unwrap();
    let users = write(dir.path(), "users", "alice:wonderland\n").display().to_string();
    let password = write(dir.path(), "password", "wonderland").display().to_string();
    let broker = Broker::start(&["--users", &users, "--allow-insecure-mechs"]);
    let plain = ["q", "x", "--user", "alice", "--password-file", &password, "--sasl-mechanisms", "PLAIN"];
    broker.send(&plain).expect_failure(77, &["PLAIN", "TLS"]);
    broker.send(&[&plain[..], &["--allow-insecure-mechs"]].concat()).expect(0);
}

#[test]
fn tls() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, issuer) = authority("Authority");
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let path = |name: &str, text: &str| write(dir.path(), name, text).display().to_string();
    let (chain, key) = (path("chain.pem", &certificate.pem()), path("key.pem", &key.serialize_pem()));
    let (trusted, other) = (path("ca.pem", &authority), path("other.pem", &self::authority("Other").0));
    let broker = Broker::listen("amqps://127.0.0.1:0", &["--cert", &chain, "--key", &key]);
    assert!(broker.url.starts_with("amqps://"), "{}", broker.url);

    broker.send(&["q", "x", "--ca", &trusted]).expect(0);
    assert_eq!(broker.receive(&["q", "-c", "1", "--ca", &trusted]).expect(0), "x\n");
    broker.send(&["q", "x", "--ca", &other]).expect_failure(77, &["not signed by a trusted authority", "--ca"]);

    // TLS to a port without it, and the other way round.
    let plain = Broker::start(&[]);
    let tls_to_plain = plain.url.replacen("amqp://", "amqps://", 1);
    let ran = crate::support::run(&["send", "-b", &tls_to_plain, "q", "x", "--ca", &trusted]);
    assert!(matches!(ran.code, Some(76)), "{ran:?}");
    let plain_to_tls = broker.url.replacen("amqps://", "amqp://", 1);
    let ran = crate::support::run(&["send", "-b", &plain_to_tls, "q", "x"]);
    ran.expect_failure(76, &["amqps"]);
}

fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(params, key))
}
