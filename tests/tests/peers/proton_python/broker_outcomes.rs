//! What a Proton receiver does to a message, and what the next one sees; and receivers that share a queue.

use std::time::Duration;

use postroad_tests::ours::{SOON, run};
use serde_json::{Value as Json, json};

use super::{broker, expect_empty, numbered, numbers, receive, send_all, url};

fn header(message: &Json) -> Json {
    let sections = message["sections"].as_array().unwrap();
    sections.iter().find(|section| section["s"] == "header").map_or(Json::Null, |header| header["v"].clone())
}

#[test]
fn messages_that_are_given_back_come_again_in_order() {
    let proton = proton!();
    run(async {
        let broker = broker().await;
        let annotations = json!({"t": "map", "v": [[{"t": "symbol", "v": "x-opt-why"}, {"t": "string", "v": "busy"}]]});
        let modify = |failed, undeliverable, annotations: Option<&Json>| {
            json!({"outcome": "modify", "failed": failed, "undeliverable": undeliverable, "annotations": annotations.map(Json::to_string)}).to_string()
        };
        let cases = [
            ("release", "release".to_owned(), 0, Json::Null),
            ("modify", modify(false, false, None), 0, Json::Null),
            ("failed", modify(true, false, None), 1, Json::Null),
            ("undeliverable", modify(false, true, None), 0, Json::Null),
            ("annotated", modify(true, true, Some(&annotations)), 1, annotations.clone()),
        ];
        for (queue, outcome, count, expected) in cases {
            send_all(&proton, url(&broker), queue, &(0..4).map(numbered).collect::<Vec<_>>());
            // The first and the third come back, to their places.
            let given = receive(&proton, url(&broker), queue, 3, &["--outcome", &outcome, "--outcome", "accept"]);
            assert_eq!(numbers(&given), [0, 1, 2], "{queue}");
            let again = receive(&proton, url(&broker), queue, 3, &[]);
            assert_eq!(numbers(&again), [0, 2, 3], "{queue}");
            for message in again.named("message") {
                let failed = super::number(message) != 3 && count > 0;
                let told = header(message)["delivery-count"]["v"].as_u64().unwrap_or(0);
                assert_eq!(told, u64::from(failed), "{queue}: {message}");
                let given_back = super::number(message) != 3;
                let sections = message["sections"].as_array().unwrap();
                let found = sections.iter().find(|section| section["s"] == "message-annotations");
                let found = found.map_or(Json::Null, |section| section["v"].clone());
                assert_eq!(found, if given_back { expected.clone() } else { Json::Null }, "{queue}: {message}");
            }
            expect_empty(&broker, queue).await;
        }
    });
}

#[test]
fn a_message_that_is_undeliverable_here_goes_to_another_receiver() {
    let proton = proton!();
    run(async {
        let broker = broker().await;
        let undeliverable = r#"{"outcome":"modify","undeliverable":true}"#;
        send_all(&proton, url(&broker), "here", &[numbered(1)]);
        // Two are asked for: the same one is not given twice to one link.
        let mut picky = proton.receiver(url(&broker), "here", 2, &["--outcome", undeliverable]).unwrap();
        assert_eq!(super::number(&picky.event("message", SOON).unwrap()), 1);
        assert!(picky.event("message", Duration::from_millis(300)).is_err());
        let got = receive(&proton, url(&broker), "here", 1, &[]);
        assert_eq!(numbers(&got), [1]);
    });
}

#[test]
fn what_a_receiver_leaves_unsettled_comes_again() {
    let proton = proton!();
    run(async {
        let broker = broker().await;
        send_all(&proton, url(&broker), "left", &[numbered(1), numbered(2)]);
        receive(&proton, url(&broker), "left", 2, &["--outcome", "none"]);
        let again = receive(&proton, url(&broker), "left", 2, &[]);
        assert_eq!(numbers(&again), [1, 2]);
        expect_empty(&broker, "left").await;
        // Killed without a word.
        send_all(&proton, url(&broker), "left", &[numbered(3)]);
        let mut killed = proton.receiver(url(&broker), "left", 2, &["--outcome", "none"]).unwrap();
        killed.event("message", SOON).unwrap();
        drop(killed);
        let again = receive(&proton, url(&broker), "left", 1, &[]);
        assert_eq!(numbers(&again), [3]);
    });
}

#[test]
fn receivers_share_a_queue_fairly() {
    let proton = proton!();
    run(async {
        let broker = broker().await;
        broker.declare_queue("shared").unwrap();
        // Each takes half: with an unfair share one would wait for ever.
        let mut receivers = [0, 1].map(|_| proton.receiver(url(&broker), "shared", 50, &["--wait", "20"]).unwrap());
        for receiver in &mut receivers {
            receiver.event("attached", SOON).unwrap();
        }
        let started = std::time::Instant::now();
        while broker.queue_stats("shared").unwrap().consumers < 2 {
            assert!(started.elapsed() < SOON);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        send_all(&proton, url(&broker), "shared", &(0..100).map(numbered).collect::<Vec<_>>());
        let mut all = Vec::new();
        for receiver in receivers {
            let got = receiver.finish(SOON).unwrap();
            assert_eq!(got.code, Some(0), "{:?}", got.events.last());
            let got = numbers(&got);
            assert!(got.is_sorted(), "{got:?}");
            all.extend(got);
        }
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        expect_empty(&broker, "shared").await;
    });
}

#[test]
fn browsing_leaves_the_messages_to_others() {
    let proton = proton!();
    run(async {
        let broker = broker().await;
        send_all(&proton, url(&broker), "browsed", &(0..5).map(numbered).collect::<Vec<_>>());
        for _ in 0..2 {
            let browsed = receive(&proton, url(&broker), "browsed", 5, &["--browse"]);
            assert_eq!(numbers(&browsed), [0, 1, 2, 3, 4]);
            assert_eq!(browsed.named("attached").next().unwrap()["source"]["distribution_mode"], 1);
        }
        let taken = receive(&proton, url(&broker), "browsed", 5, &[]);
        assert_eq!(numbers(&taken), [0, 1, 2, 3, 4]);
        expect_empty(&broker, "browsed").await;
    });
}

#[test]
fn a_receiver_may_settle_second() {
    let proton = proton!();
    run(async {
        let broker = broker().await;
        send_all(&proton, url(&broker), "second", &[numbered(1)]);
        let got = receive(&proton, url(&broker), "second", 1, &["--second"]);
        assert_eq!(got.named("attached").next().unwrap()["rcv_settle_mode"], "second");
        // The broker settles, and then the receiver does.
        assert_eq!(got.named("settled").count(), 1, "{:?}", got.events);
        expect_empty(&broker, "second").await;
    });
}
