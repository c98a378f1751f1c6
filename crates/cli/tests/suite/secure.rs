//! Users, passwords and TLS.

use std::path::Path;
use std::sync::Arc;

use postroad::broker::{self, TokenRefusal, Tokens};
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

/// A certificate for this machine in files, and the file of the authority that signed it.
pub(crate) struct Certified {
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) authority: String,
}

pub(crate) fn certified(dir: &Path) -> Certified {
    let (authority, issuer) = authority("Authority");
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let path = |name: &str, text: &str| write(dir, name, text).display().to_string();
    Certified {
        chain: path("chain.pem", &certificate.pem()),
        key: path("key.pem", &key.serialize_pem()),
        authority: path("ca.pem", &authority),
    }
}

#[test]
fn tls() {
    let dir = tempfile::tempdir().unwrap();
    let Certified { chain, key, authority: trusted } = certified(dir.path());
    let other = write(dir.path(), "other.pem", &authority("Other").0).display().to_string();
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

#[test]
fn tls_behind_the_header() {
    let dir = tempfile::tempdir().unwrap();
    let Certified { chain, key, authority } = certified(dir.path());
    let users = write(dir.path(), "users", "alice:wonderland\n").display().to_string();
    let password = write(dir.path(), "password", "wonderland").display().to_string();
    let broker = Broker::start(&["--cert", &chain, "--key", &key, "--users", &users]);
    assert!(broker.url.starts_with("amqp://"), "{}", broker.url);

    // PLAIN shows that there is TLS.
    let alice = ["--user", "alice", "--password-file", &password, "--sasl-mechanisms", "PLAIN"];
    broker.send(&[&["q", "x"], &alice[..]].concat()).expect_failure(77, &["no common mechanism"]);
    let protected = [&alice[..], &["--tls-header", "--ca", &authority]].concat();
    broker.send(&[&["q", "x"], &protected[..]].concat()).expect(0);
    assert_eq!(broker.receive(&[&["q", "-c", "1"], &protected[..]].concat()).expect(0), "x\n");

    // Without a certificate at the other end nothing is said.
    let plain = Broker::start(&[]);
    plain.send(&["q", "x", "--tls-header", "--ca", &authority]).expect_failure(76, &["TLS"]);
}

/// Takes one token.
#[derive(Debug)]
struct OneToken;

impl Tokens for OneToken {
    fn check(&self, token: &str) -> Result<String, TokenRefusal> {
        if token == "t0ken" { Ok("alice".to_owned()) } else { Err(TokenRefusal::INVALID) }
    }
}

#[test]
fn a_token_lets_in() {
    let dir = tempfile::tempdir().unwrap();
    let Certified { chain, key, authority } = certified(dir.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let builder = broker::Broker::builder().queue("q").tokens(Arc::new(OneToken)).tls_files(&chain, &key);
    let broker = runtime.block_on(builder.listen("amqps://127.0.0.1:0").start()).unwrap();
    let url = broker.urls()[0].as_str();
    let path = |name: &str, text: &str| write(dir.path(), name, text).display().to_string();
    let (good, bad) = (path("good", "t0ken\nnot this\n"), path("bad", "st0len"));
    let (password, empty) = (path("password", "wonderland"), path("empty", ""));
    let send = ["send", "-v", "-b", url, "--ca", &authority, "q", "x"];
    let run = |more: &[&str], environment: &[(&str, &str)]| {
        let mut command = command(&[&send[..], more].concat());
        finish(start(command.envs(environment.iter().copied())))
    };

    for ran in [
        run(&["--token-file", &good], &[]),
        run(&[], &[("POSTROAD_TOKEN", "t0ken")]),
        // The command line counts before the environment, and a token before a password.
        run(&["--token-file", &good], &[("POSTROAD_TOKEN", "st0len"), ("POSTROAD_PASSWORD", "wonderland")]),
        run(&["--user", "alice"], &[("POSTROAD_TOKEN", "t0ken"), ("POSTROAD_PASSWORD", "wonderland")]),
    ] {
        ran.expect(0);
        assert!(!ran.stderr.contains("t0ken"), "{}", ran.stderr);
    }
    for (more, environment) in [
        (vec!["--token-file", bad.as_str()], vec![]),
        (vec!["--token-file", empty.as_str()], vec![]),
        (vec!["--user", "alice", "--password-file", password.as_str()], vec![("POSTROAD_TOKEN", "t0ken")]),
        (vec![], vec![]),
    ] {
        let ran = run(&more, &environment);
        assert_eq!(ran.code, Some(77), "{more:?}: {ran:?}");
        assert!(ran.stderr.contains("authentication") && !ran.stderr.contains("st0len"), "{}", ran.stderr);
    }
    assert_eq!(broker.queue_stats("q").unwrap().ready, 4);
}

#[test]
fn a_token_is_not_shown_without_tls() {
    let broker = Broker::start(&[]);
    let ran = finish(start(command(&["send", "-b", &broker.url, "q", "x"]).env("POSTROAD_TOKEN", "t0ken")));
    ran.expect_failure(77, &["no common mechanism"]);
    assert!(!ran.stderr.contains("t0ken"), "{}", ran.stderr);
}

fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(params, key))
}
