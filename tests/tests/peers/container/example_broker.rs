//! The broker of Proton C++'s examples.

use std::time::Duration;

use postroad_tests::ours::run;

use super::handlers::{Log, play};
use super::opening::Dynamic;
use super::settling::Drains;
use super::{Habits, Place, proton_cpp};
use crate::example_broker;

const HABITS: Habits = Habits { gives_back: false, ..proton_cpp::HABITS };

face! {
    example_broker::example_broker().map(Place::Broker), HABITS,
    client::{
        client_says_hello, client_sends_many_and_receives_them, client_asks_and_is_answered, client_accepts_later,
        client_settles_later, client_gives_credit_by_hand,
        client_keeps_each_guarantee, client_closes_with_an_error, client_comes_in,
        client_and_idle_peer_keep_each_other_alive, client_goes_on_after_cuts,
    },
}

/// The broker, or a named skip.
macro_rules! broker {
    () => {
        match example_broker::example_broker() {
            Ok(broker) => Place::Broker(broker),
            Err(skipped) => return skipped.report(),
        }
    };
}

#[test]
fn a_drain_is_never_answered() {
    let place = broker!();
    run(async {
        let (other, log) = (place.reach("drained", &[]), Log::default());
        let patience = Duration::from_secs(1);
        play(Drains { patience, ..Drains::new(&other.there, &log, 0) }, &log).await;
        assert_eq!(log.of("not drained").len(), 1, "{:?}", log.all());
        log.expect_peace();
    });
}

#[test]
fn a_dynamic_source_has_a_name_and_a_dynamic_target_none() {
    let place = broker!();
    run(async {
        let (other, log) = (place.reach("", &[]), Log::default());
        for sends in [false, true] {
            play(Dynamic { there: other.there.clone(), log: log.clone(), sends }, &log).await;
        }
        assert_eq!(log.of("node"), ["_dynamic_0", ""]);
        log.expect_peace();
    });
}
