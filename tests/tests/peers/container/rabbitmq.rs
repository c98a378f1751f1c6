//! RabbitMQ 3.10.

use postroad_tests::ours::run;

use super::handlers::{Log, There, play};
use super::opening::Dynamic;
use super::transfers::{Receives, Sends};
use super::{Habits, Place};
use crate::rabbitmq;

const HABITS: Habits = Habits {
    lacks_exactly_once: [Some("the peer refuses it: amqp:not-implemented: rcv-settle-mode second not supported"); 2],
    listens_with_plain: true,
    ..Habits::NONE
};

face! {
    rabbitmq::rabbitmq().map(Place::Broker), HABITS,
    client::{
        client_says_hello, client_sends_many_and_receives_them, client_asks_and_is_answered, client_accepts_later,
        client_settles_later, client_gives_credit_by_hand, client_drains, client_keeps_each_guarantee,
        client_closes_with_an_error, client_comes_in, client_and_idle_peer_keep_each_other_alive,
        client_goes_on_after_cuts,
    },
}

#[test]
fn a_dynamic_node_is_refused_with_the_session() {
    through(|there, _| async move {
        for sends in [true, false] {
            let log = Log::default();
            play(Dynamic { there: there.clone(), log: log.clone(), sends }, &log).await;
            expect_end(&log, "amqp:not-implemented");
        }
    });
}

#[test]
fn what_it_refuses_ends_the_session() {
    through(|there, _| async move {
        let there = there.to("/exchange/nowhere/x").from("/exchange/nowhere/x");
        for sends in [true, false] {
            let log = Log::default();
            if sends {
                play(Sends::new(&there, &log, 1), &log).await;
            } else {
                play(Receives::new(&there, &log, 1), &log).await;
            }
            expect_end(&log, "amqp:not-found");
        }
    });
}

/// The session tells why it has ended, and its links say nothing more.
fn expect_end(log: &Log, condition: &str) {
    let told = log.of("session error");
    assert!(told.len() == 1 && told[0].starts_with(condition), "{:?}", log.all());
    assert_eq!((log.of("link error").len(), log.of("link opened").len()), (0, 0), "{:?}", log.all());
}

/// Runs before the broker, at a queue that nobody else has.
fn through<F: Future<Output = ()>>(test: impl FnOnce(There, Log) -> F) {
    match rabbitmq::rabbitmq().map(Place::Broker) {
        Ok(place) => run(async move { test(place.reach("alone", &[]).there, Log::default()).await }),
        Err(skipped) => skipped.report(),
    }
}
