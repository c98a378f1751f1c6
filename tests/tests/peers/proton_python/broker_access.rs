//! Getting in: nodes that are made, missing or dynamic; users; TLS; and the end.

use std::path::Path;

use postroad_amqp::sasl::UserFile;
use postroad_broker::Broker;
use postroad_tests::ours::{SOON, run};
use postroad_tests::process::Finished;
use rcgen::{CertificateParams, KeyPair};

use super::{broker, numbered, start, url};

/// The condition of an event of one name.
fn condition(finished: &Finished, event: &str) -> String {
    let event = finished.named(event).next().unwrap_or_else(|| panic!("no {event}: {:?}", finished.events));
    let condition = event["error"]["condition"].as_str().or_else(|| event["condition"].as_str());
    condition.unwrap_or_else(|| panic!("{event}")).to_owned()
}

#[test]
fn anyone_comes_in_where_there_are_no_users() {
    let proton = proton!();
    run(async {
        let broker = broker().await;
        for options in [&["--mechs", "ANONYMOUS"][..], &["--no-sasl"], &[]] {
            let sent = proton.send(url(&broker), "in", &[numbered(1)], options).unwrap();
            assert_eq!(sent.code, Some(0), "{options:?}: {:?}", sent.events);
            let open = sent.named("open").next().unwrap();
            assert_eq!(open["mechanism"].as_str(), (options != ["--no-sasl"]).then_some("ANONYMOUS"));
            assert_eq!(open["properties"]["v"][0][1]["v"], "postroad");
        }
    });
}

#[test]
fn users_come_in_by_plain_and_nobody_else() {
    let proton = proton!();
    run(async {
        let users = || UserFile::parse("alice:wonderland\n", [7; 32]).unwrap();
        let broker = start(Broker::builder().auto_create(true).users(users()).allow_insecure_plain(true)).await;
        let port = broker.addr().unwrap().port();
        let try_in = |user: &str, options: &[&str]| {
            proton.send(&format!("amqp://{user}127.0.0.1:{port}"), "in", &[numbered(1)], options).unwrap()
        };
        // Where the system's SASL library has more, Proton prefers that.
        let right = try_in("alice:wonderland@", &["--mechs", "PLAIN"]);
        assert_eq!(right.code, Some(0), "{:?}", right.events);
        assert_eq!(right.named("open").next().unwrap()["mechanism"], "PLAIN");
        for (user, options) in [
            ("alice:wrong@", &["--mechs", "PLAIN"][..]),
            ("bob:wonderland@", &["--mechs", "PLAIN"]),
            ("", &["--mechs", "ANONYMOUS"]),
            ("alice:wonderland@", &["--mechs", "ANONYMOUS"]),
        ] {
            let refused = try_in(user, options);
            assert_eq!(refused.code, Some(1), "{user}: {:?}", refused.events);
            assert_eq!(condition(&refused, "transport-error"), "amqp:unauthorized-access", "{user}");
            assert_eq!(refused.named("open").count(), 0, "{user}");
        }
        let bare = try_in("", &["--no-sasl"]);
        assert_eq!((bare.code, bare.named("open").count()), (Some(1), 0), "{:?}", bare.events);

        // Without TLS and without leave, only SCRAM is offered.
        let careful = start(Broker::builder().auto_create(true).users(users())).await;
        let address = format!("amqp://alice:wonderland@{}", careful.addr().unwrap());
        let refused = proton.send(&address, "in", &[numbered(1)], &["--mechs", "PLAIN"]).unwrap();
        assert_eq!(condition(&refused, "transport-error"), "amqp:unauthorized-access");
    });
}

#[test]
fn tls_shows_the_certificate_and_lets_plain_through() {
    let proton = proton!();
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let [chain, secret, other] = ["chain.pem", "key.pem", "other.pem"].map(|name| dir.path().join(name));
        std::fs::write(&chain, certificate.pem()).unwrap();
        std::fs::write(&secret, key.serialize_pem()).unwrap();
        let stranger = KeyPair::generate().unwrap();
        let stranger = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&stranger).unwrap();
        std::fs::write(&other, stranger.pem()).unwrap();
        let users = UserFile::parse("alice:wonderland\n", [7; 32]).unwrap();
        let builder = Broker::builder().auto_create(true).users(users).tls_files(&chain, &secret);
        let broker = builder.listen("amqps://127.0.0.1:0").start().await.unwrap();
        // Proton verifies names and no addresses.
        let address = format!("amqps://alice:wonderland@localhost:{}", broker.addr().unwrap().port());
        let try_in = |trusted: &Path| {
            let options = ["--mechs", "PLAIN", "--tls-ca", trusted.to_str().unwrap()];
            proton.send(&address, "in", &[numbered(1)], &options).unwrap()
        };
        let sent = try_in(&chain);
        assert_eq!(sent.code, Some(0), "{:?} {}", sent.events, sent.stderr);
        let open = sent.named("open").next().unwrap();
        assert_eq!((&open["encrypted"], &open["mechanism"]), (&true.into(), &"PLAIN".into()));
        let refused = try_in(&other);
        assert_eq!(refused.code, Some(1));
        assert_eq!(condition(&refused, "transport-error"), "amqp:connection:framing-error");
    });
}

#[test]
fn clients_are_told_when_the_broker_shuts_down() {
    let proton = proton!();
    run(async {
        let broker = broker().await;
        let mut receiver = proton.receiver(url(&broker), "last", 1, &[]).unwrap();
        receiver.event("attached", SOON).unwrap();
        assert_eq!(broker.shutdown(SOON).await, 0);
        let told = receiver.finish(SOON).unwrap();
        assert_eq!((told.code, condition(&told, "close")), (Some(1), "amqp:connection:forced".to_owned()));
    });
}
