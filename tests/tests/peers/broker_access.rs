//! Idle timeouts, SASL and TLS, with the peer as client of our broker.

use std::time::Duration;

use postroad_amqp::sasl::UserFile;
use postroad_broker::Broker;
use postroad_tests::certificates::Certificates;
use postroad_tests::ours::{SOON, run};
use postroad_tests::peers::Peer;
use postroad_tests::process::Stopped;

use super::{Known, condition, numbered, numbers, peer_receives, peer_sends, start, url};

const IDLE: Duration = Duration::from_secs(1);

pub(crate) fn broker_and_idle_peer_keep_each_other_alive(peer: &Peer, _: &Known) {
    run(async {
        // Longer than the peer's, for its process may not get the processor in time.
        let broker = start(Broker::builder().auto_create(true).idle_timeout(Some(3 * IDLE))).await;
        let mut receiver = peer.receiver(url(&broker), "idle", 1, &["--idle-timeout", "1"]).unwrap();
        receiver.event("attached", SOON).unwrap();
        tokio::time::sleep(7 * IDLE).await;
        peer_sends(peer, url(&broker), "idle", &[numbered(1)], &[]);
        let got = receiver.finish(SOON).unwrap();
        assert_eq!((got.code, numbers(got.named("message"))), (Some(0), vec![1]), "{:?}", got.events);
    });
}

pub(crate) fn broker_gives_up_a_peer_that_says_nothing(peer: &Peer, _: &Known) {
    run(async {
        let broker = start(Broker::builder().auto_create(true).idle_timeout(Some(IDLE))).await;
        let mut receiver = peer.receiver(url(&broker), "idle", 2, &["--outcome", "none"]).unwrap();
        receiver.event("attached", SOON).unwrap();
        peer_sends(peer, url(&broker), "idle", &[numbered(1)], &[]);
        receiver.event("message", SOON).unwrap();
        let _stopped = Stopped::stop(&receiver);
        let again = peer_receives(peer, url(&broker), "idle", 1, &[]);
        assert_eq!(numbers(again.named("message")), [1]);
    });
}

pub(crate) fn broker_that_says_nothing_is_given_up(peer: &Peer, _: &Known) {
    // A runtime that is driven until the peer has attached, and then by nobody: we say nothing.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let broker = runtime.block_on(start(Broker::builder().auto_create(true)));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let driver = std::thread::spawn(move || {
        let _ = runtime.block_on(stopped);
        runtime
    });
    let mut receiver = peer.receiver(url(&broker), "idle", 1, &["--idle-timeout", "1"]).unwrap();
    receiver.event("attached", SOON).unwrap();
    drop(stop);
    let runtime = driver.join().unwrap();
    let left = receiver.finish(SOON).unwrap();
    assert_eq!(left.code, Some(1), "{:?}", left.events);
    drop((broker, runtime));
}

pub(crate) fn broker_lets_the_right_user_in(peer: &Peer, _: &Known) {
    run(async {
        let users = || UserFile::parse("alice:wonderland\n", [7; 32]).unwrap();
        let broker = start(Broker::builder().auto_create(true).users(users()).allow_insecure_plain(true)).await;
        let port = broker.addr().unwrap().port();
        let try_in = |user: &str, options: &[&str]| {
            peer.send(&format!("amqp://{user}127.0.0.1:{port}"), "in", &[numbered(1)], options).unwrap()
        };
        let right = try_in("alice:wonderland@", &[]);
        assert_eq!(right.code, Some(0), "{:?} {}", right.events, right.stderr);
        for user in ["alice:wrong@", "bob:wonderland@", ""] {
            let refused = try_in(user, &[]);
            assert_eq!(refused.code, Some(1), "{user}: {:?}", refused.events);
            assert_eq!(refused.named("open").count(), 0, "{user}");
            assert_eq!(condition(&refused, "transport-error"), "amqp:unauthorized-access", "{user}");
        }
    });
}

pub(crate) fn broker_shows_its_certificate(peer: &Peer, known: &Known) {
    run(async {
        let (certificates, others) = (Certificates::make(), Certificates::make());
        for (shown, trusted, expected) in [
            ("server", &certificates, None),
            ("server", &others, Some(known.tls_conditions[0])),
            ("elsewhere", &certificates, Some(known.tls_conditions[1])),
        ] {
            let [certificate, key] = ["pem", "key"].map(|ending| certificates.path(&format!("{shown}.{ending}")));
            let builder = Broker::builder().auto_create(true).tls_files(certificate, key);
            let broker = builder.listen("amqps://127.0.0.1:0").start().await.unwrap();
            let address = format!("amqps://localhost:{}", broker.addr().unwrap().port());
            let ca = trusted.argument("ca.pem");
            let sent = peer.send(&address, "in", &[numbered(1)], &["--tls-ca", &ca]).unwrap();
            let Some(expected) = expected else {
                assert_eq!(sent.code, Some(0), "{:?} {}", sent.events, sent.stderr);
                assert_eq!(sent.named("open").next().unwrap()["encrypted"], true);
                continue;
            };
            assert_eq!(sent.code, Some(1), "{shown}: {:?}", sent.events);
            assert_eq!(condition(&sent, "transport-error"), expected, "{shown}");
            assert_eq!(sent.named("open").count(), 0, "{shown}");
        }
    });
}
