//! Proton Python as transaction controller of our broker.

use std::time::Duration;

use postroad_broker::{Broker, QueueStats};
use postroad_tests::ours::{SOON, run};
use postroad_tests::peers::Peer;
use postroad_tests::process::Finished;
use serde_json::Value as Json;

use super::{broker, numbered, send_all, start, url};

/// The controller, or a named skip.
macro_rules! controller {
    () => {
        match postroad_tests::peers::proton_transactions() {
            Ok(controller) => controller,
            Err(skipped) => return skipped.report(),
        }
    };
}

fn drive(controller: &Peer, role: &str, broker: &Broker, queue: &str, options: &[&str]) -> Finished {
    let mut arguments = vec![role, url(broker), queue];
    arguments.extend_from_slice(options);
    controller.run(&arguments).unwrap()
}

/// The names of all events.
fn names(finished: &Finished) -> Vec<&str> {
    finished.events.iter().filter_map(|event| event["event"].as_str()).collect()
}

fn messages(finished: &Finished) -> Vec<(u64, u64)> {
    let number = |event: &Json, name: &str| event[name].as_u64().expect("a number");
    finished.named("message").map(|event| (number(event, "body"), number(event, "count"))).collect()
}

/// Waits until a queue is as expected, and nothing is open.
async fn eventually(broker: &Broker, queue: &str, expected: impl Fn(QueueStats) -> bool) {
    let started = std::time::Instant::now();
    loop {
        let stats = broker.queue_stats(queue).expect("the queue is there");
        if expected(stats) && broker.open_transactions() == 0 {
            return;
        }
        assert!(started.elapsed() < SOON, "{stats:?}, {} open transactions", broker.open_transactions());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn messages_are_there_with_the_commit() {
    let controller = controller!();
    run(async {
        let broker = broker().await;
        let sent = drive(
            &controller,
            "send",
            &broker,
            "sent",
            &["-n", "6", "--batch", "3", "--fates", "abort", "--fates", "commit"],
        );
        assert_eq!(sent.code, Some(0), "{:?} {}", sent.events, sent.stderr);
        // Each outcome is that of a transaction, accepted (0x24), and settles.
        assert!(sent.named("outcome").all(|event| event["code"] == 0x24 && event["settled"] == true));
        let batch = |end| ["declared", "outcome", "outcome", "outcome", end];
        let expected: Vec<&str> =
            ["aborted", "committed", "aborted", "committed"].into_iter().flat_map(batch).collect();
        assert_eq!(names(&sent), [expected, vec!["closed"]].concat());
        eventually(&broker, "sent", |stats| (stats.ready, stats.enqueued, stats.uncommitted) == (6, 6, 0)).await;
    });
}

#[test]
fn messages_are_accepted_with_the_commit() {
    let controller = controller!();
    run(async {
        let broker = broker().await;
        send_all(
            &postroad_tests::peers::proton_python().unwrap(),
            url(&broker),
            "got",
            &(0..4).map(numbered).collect::<Vec<_>>(),
        );
        let options = ["-n", "4", "--batch", "2", "--fates", "abort", "--fates", "commit"];
        let got = drive(&controller, "receive", &broker, "got", &options);
        assert_eq!(got.code, Some(0), "{:?} {}", got.events, got.stderr);
        // Proton releases what it had accepted in a transaction that was aborted: it is still its own then.
        assert_eq!(messages(&got), [(0, 0), (1, 0), (0, 0), (1, 0), (2, 0), (3, 0), (2, 0), (3, 0)]);
        eventually(&broker, "got", |stats| (stats.ready, stats.unsettled, stats.settled) == (0, 0, 4)).await;
    });
}

#[test]
fn what_is_settled_before_the_discharge_gets_the_default_outcome() {
    let controller = controller!();
    run(async {
        let broker = broker().await;
        send_all(
            &postroad_tests::peers::proton_python().unwrap(),
            url(&broker),
            "settled",
            &[numbered(0), numbered(1)],
        );
        let options = ["-n", "2", "--batch", "2", "--settle-before-discharge", "--fates", "abort", "--fates", "commit"];
        let got = drive(&controller, "receive", &broker, "settled", &options);
        assert_eq!(got.code, Some(0), "{:?} {}", got.events, got.stderr);
        assert_eq!(messages(&got), [(0, 0), (1, 0), (0, 1), (1, 1)]);
        eventually(&broker, "settled", |stats| (stats.ready, stats.unsettled, stats.settled) == (0, 0, 2)).await;
    });
}

#[test]
fn a_controller_that_leaves_has_done_nothing() {
    let controller = controller!();
    run(async {
        let broker = broker().await;
        let sent = drive(&controller, "send", &broker, "left", &["-n", "2", "--batch", "2", "--fates", "leave"]);
        assert_eq!(sent.code, Some(0), "{:?} {}", sent.events, sent.stderr);
        eventually(&broker, "left", |stats| (stats.ready, stats.enqueued, stats.uncommitted) == (0, 0, 0)).await;
        send_all(&postroad_tests::peers::proton_python().unwrap(), url(&broker), "left", &[numbered(7)]);
        let got = drive(&controller, "receive", &broker, "left", &["-n", "1", "--fates", "leave"]);
        assert_eq!(got.code, Some(0), "{:?} {}", got.events, got.stderr);
        assert_eq!(messages(&got), [(7, 0)]);
        eventually(&broker, "left", |stats| (stats.ready, stats.unsettled, stats.settled) == (1, 0, 0)).await;
    });
}

#[test]
fn what_cannot_be_committed_is_told() {
    let controller = controller!();
    run(async {
        let none = Broker::builder().auto_create(true).with_limits(|limits| limits.transactions_per_connection = 0);
        let broker = start(none).await;
        let sent = drive(&controller, "send", &broker, "refused", &["-n", "1"]);
        assert_eq!(names(&sent), ["declare-failed", "closed"], "{}", sent.stderr);
        assert_eq!(sent.named("declare-failed").next().unwrap()["condition"], "amqp:resource-limit-exceeded");

        let short = Broker::builder().auto_create(true).transaction_timeout(Some(Duration::ZERO));
        let broker = start(short).await;
        let sent = drive(&controller, "send", &broker, "late", &["-n", "1"]);
        // Rejected (0x25) as part of a transaction that is over.
        assert!(sent.named("outcome").all(|event| event["code"] == 0x25), "{:?}", sent.events);
        assert_eq!(names(&sent), ["declared", "outcome", "commit-failed", "closed"], "{}", sent.stderr);
        assert_eq!(sent.named("commit-failed").next().unwrap()["condition"], "amqp:transaction:timeout");
        eventually(&broker, "late", |stats| (stats.enqueued, stats.uncommitted) == (0, 0)).await;
    });
}
