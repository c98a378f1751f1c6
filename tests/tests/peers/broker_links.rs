//! Outcomes, credit, drain, and many links, with the peer as client of our broker.

use postroad_tests::ours::{SOON, run};
use postroad_tests::peers::Peer;
use serde_json::{Value as Json, json};

use super::{
    Known, broker, condition, details, expect_empty, numbered, numbers, peer_receives, peer_sends, section, url,
};

pub(crate) fn broker_acts_on_every_outcome_of_the_peer(peer: &Peer, known: &Known) {
    run(async {
        let broker = broker().await;
        for outcome in ["accept", r#"{"outcome":"reject","condition":"x:bad","description":"no"}"#] {
            peer_sends(peer, url(&broker), "gone", &[numbered(1)], &[]);
            peer_receives(peer, url(&broker), "gone", 1, &["--outcome", outcome]);
            expect_empty(&broker, "gone").await;
        }
        let modify = |failed, undeliverable, annotations: Option<Json>| {
            let annotations = annotations.map(|json| json.to_string());
            json!({"outcome": "modify", "failed": failed, "undeliverable": undeliverable, "annotations": annotations})
                .to_string()
        };
        let annotated = details();
        let mut cases = vec![
            ("release", "release".to_owned(), 0, None),
            ("modify", modify(false, false, None), 0, None),
            ("nothing", "none".to_owned(), 0, None),
        ];
        if !known.states_alone {
            cases.extend([
                ("failed", modify(true, false, None), 1, None),
                ("undeliverable", modify(false, true, None), 0, None),
                ("annotated", modify(true, true, Some(details())), 1, Some(&annotated)),
            ]);
        }
        for (queue, outcome, count, annotations) in cases {
            peer_sends(peer, url(&broker), queue, &[numbered(0), numbered(1), numbered(2)], &[]);
            let given = peer_receives(peer, url(&broker), queue, 1, &["--outcome", &outcome]);
            assert_eq!(numbers(given.named("message")), [0], "{queue}");
            // It comes back, to its place.
            let again = peer_receives(peer, url(&broker), queue, 3, &[]);
            assert_eq!(numbers(again.named("message")), [0, 1, 2], "{queue}");
            let first = again.named("message").next().unwrap();
            let told = section(first, "header").and_then(|header| header["delivery-count"]["v"].as_u64()).unwrap_or(0);
            // A client that went away with a message in its hands may have failed on it (3.2.1).
            if queue != "nothing" {
                assert_eq!(told, count, "{queue}: {first}");
            }
            assert_eq!(section(first, "message-annotations"), annotations, "{queue}: {first}");
            expect_empty(&broker, queue).await;
        }
    });
}

pub(crate) fn broker_refuses_and_the_peer_is_told(peer: &Peer, _: &Known) {
    run(async {
        let broker = super::start(postroad_broker::Broker::builder()).await;
        let sent = peer.send(url(&broker), "nowhere", &[numbered(1)], &[]).unwrap();
        assert_eq!((sent.code, condition(&sent, "detach")), (Some(1), "amqp:not-found".to_owned()));
        assert_eq!(sent.named("outcome").count(), 0);
        let received = peer.receive(url(&broker), "nowhere", 1, &[]).unwrap();
        assert_eq!((received.code, condition(&received, "detach")), (Some(1), "amqp:not-found".to_owned()));
    });
}

pub(crate) fn broker_passes_messages_at_credit_1(peer: &Peer, _: &Known) {
    run(async {
        let broker = broker().await;
        peer_sends(peer, url(&broker), "one", &(0..100).map(numbered).collect::<Vec<_>>(), &[]);
        let got = peer_receives(peer, url(&broker), "one", 100, &["--credit", "1"]);
        assert_eq!(numbers(got.named("message")), (0..100).collect::<Vec<_>>());
        expect_empty(&broker, "one").await;
    });
}

pub(crate) fn broker_takes_settled_messages(peer: &Peer, _: &Known) {
    run(async {
        let broker = broker().await;
        let messages: Vec<Json> = (0..100).map(numbered).collect();
        let sent = peer.send(url(&broker), "settled", &messages, &["--settle-mode", "settled"]).unwrap();
        assert_eq!(sent.code, Some(0), "{:?} {}", sent.events, sent.stderr);
        assert_eq!(sent.named("outcome").filter(|outcome| outcome["presettled"] == true).count(), 100);
        let got = peer_receives(peer, url(&broker), "settled", 100, &[]);
        assert_eq!(numbers(got.named("message")), (0..100).collect::<Vec<_>>());
        expect_empty(&broker, "settled").await;
    });
}

pub(crate) fn broker_answers_a_drain(peer: &Peer, _: &Known) {
    run(async {
        let broker = broker().await;
        peer_sends(peer, url(&broker), "few", &(0..3).map(numbered).collect::<Vec<_>>(), &[]);
        for expected in [vec![0, 1, 2], vec![]] {
            let got = peer.receive(url(&broker), "few", 10, &["--drain"]).unwrap();
            assert_eq!(got.code, Some(0), "{:?} {}", got.events, got.stderr);
            assert_eq!(numbers(got.named("message")), expected);
            assert_eq!(got.named("drained").count(), 1, "{:?}", got.events);
        }
        expect_empty(&broker, "few").await;
    });
}

pub(crate) fn broker_has_1000_links_of_a_connection(peer: &Peer, _: &Known) {
    run(async {
        let broker = broker().await;
        let messages: Vec<Json> = (0..1000).map(numbered).collect();
        peer_sends(peer, url(&broker), "many", &messages, &["--links", "1000"]);
        let got = peer_receives(peer, url(&broker), "many", 1000, &[]);
        let mut got = numbers(got.named("message"));
        got.sort_unstable();
        assert_eq!(got, (0..1000).collect::<Vec<_>>());
        expect_empty(&broker, "many").await;
    });
}

pub(crate) fn broker_gives_a_dynamic_source(peer: &Peer, _: &Known) {
    run(async {
        let broker = broker().await;
        // One more than comes, so that the node stays until its sender knows all.
        let mut receiver = peer.receiver(url(&broker), "", 2, &["--dynamic"]).unwrap();
        let attached = receiver.event("attached", SOON).unwrap();
        let address = attached["source"]["address"].as_str().unwrap().to_owned();
        peer_sends(peer, url(&broker), &address, &[numbered(7)], &[]);
        assert_eq!(numbers([&receiver.event("message", SOON).unwrap()]), [7]);
    });
}
