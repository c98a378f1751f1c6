//! The face connects: to a peer that listens, or to a broker.

use std::time::{Duration, Instant};

use postroad_client::types::{ErrorCondition, PeerError, Symbol};
use postroad_container::{Guarantee, Handler, Reconnect};
use postroad_testkit::Proxy;
use postroad_tests::ours::{options, run};
use postroad_tests::process::Stopped;
use serde_json::Value as Json;

use super::handlers::{Log, OUTCOMES, Pace, numbered, play};
use super::opening::{Dynamic, Opens, Refused, Stays};
use super::settling::{AcceptsLater, ByHand, Drains, SettlesLater, TakesAll};
use super::transfers::{Answers, Asks, Hello, Receives, Sends};
use super::{Habits, Place};
use crate::cuts;

pub(crate) fn client_says_hello(place: &Place, _: &Habits) {
    run(async {
        let (other, log) = (place.reach("hello", &[]), Log::default());
        play(Hello { there: other.there.clone(), log: log.clone() }, &log).await;
        assert_eq!(log.of("message"), ["Hello World!"]);
        let all = log.all();
        assert_eq!(all.first().map(String::as_str), Some("connection opened"), "{all:?}");
        assert_eq!(all.last().map(String::as_str), Some("connection closed"), "{all:?}");
        log.expect_peace();
    });
}

pub(crate) fn client_sends_many_and_receives_them(place: &Place, _: &Habits) {
    run(async {
        let (other, log) = (place.reach("many", &[]), Log::default());
        play(Sends::new(&other.there, &log, 500), &log).await;
        assert_eq!((log.of("accepted").len(), log.of("settled").len()), (500, 500));
        play(Receives::new(&other.there, &log, 500), &log).await;
        assert_eq!(log.of("message"), (0..500).map(|n| n.to_string()).collect::<Vec<_>>());
        log.expect_peace();
    });
}

/// The peer answers, or behind a broker another container of ours.
pub(crate) fn client_asks_and_is_answered(place: &Place, _: &Habits) {
    run(async {
        let (other, log) = (place.reach("questions", &[]), Log::default());
        if other.listener.is_some() {
            play(Asks::new(&other.there.to("serve"), &log, None), &log).await;
        } else {
            let replies = place.reach("answers", &[]).there.source;
            let answers = Answers { there: other.there.clone(), total: 3 };
            tokio::join!(play(answers, &log), play(Asks::new(&other.there, &log, Some(replies)), &log));
        }
        assert_eq!(log.of("answer"), ["TWAS BRILLIG", "BUT TO WITHER", "AND FALL AWAY"]);
        log.expect_peace();
    });
}

pub(crate) fn client_accepts_later(place: &Place, habits: &Habits) {
    run(async {
        let (mut other, log) = (place.reach("accepted-later", &[]), Log::default());
        play(Sends::new(&other.there, &log, 3), &log).await;
        let receiving = Log::default();
        if habits.gives_back && other.listener.is_none() {
            // What is kept and never settled is still there for the next.
            let never = Log::default();
            play(AcceptsLater::new(&other.there, &never, 3, false), &never).await;
            assert_eq!(never.of("kept").len(), 3);
        }
        play(AcceptsLater::new(&other.there, &receiving, 3, true), &receiving).await;
        let all = receiving.all();
        assert_eq!((receiving.of("kept").len(), receiving.of("accepted later").len()), (3, 3), "{all:?}");
        receiving.expect_peace();
        if let Some(listener) = &mut other.listener {
            for _ in 0..3 {
                let outcome = listener.event("outcome").unwrap();
                assert_eq!((&outcome["state"], &outcome["settled"]), (&"accepted".into(), &true.into()));
            }
        } else {
            // Nothing is left.
            assert_eq!(left(place, "accepted-later").await, 0);
        }
    });
}

/// How many messages a broker has at a place.
async fn left(place: &Place, name: &str) -> usize {
    let (other, log) = (place.reach(name, &[]), Log::default());
    play(TakesAll { there: other.there.clone(), log: log.clone() }, &log).await;
    log.of("message").len()
}

pub(crate) fn client_settles_later(place: &Place, _: &Habits) {
    run(async {
        let (other, log) = (place.reach("settled-later", &[]), Log::default());
        play(SettlesLater::new(&other.there, &log, 3), &log).await;
        assert_eq!((log.of("accepted").len(), log.of("settled later").len()), (3, 3));
        play(Receives::new(&other.there, &log, 3), &log).await;
        log.expect_peace();
    });
}

pub(crate) fn client_gives_credit_by_hand(place: &Place, _: &Habits) {
    run(async {
        let (other, log) = (place.reach("by-hand", &[]), Log::default());
        play(Sends::new(&other.there, &log, 6), &log).await;
        play(ByHand::new(&other.there, &log, &[3, 2, 1]), &log).await;
        assert_eq!(log.of("came"), ["0", "1", "3", "6"]);
        log.expect_peace();
    });
}

pub(crate) fn client_drains(place: &Place, _: &Habits) {
    run(async {
        let (mut other, log) = (place.reach("drains", &[]), Log::default());
        play(Sends::new(&other.there, &log, 3), &log).await;
        play(Drains::new(&other.there, &log, 3), &log).await;
        assert_eq!((log.of("message").len(), log.of("drained")), (3, vec![", credit 0".to_owned()]));
        log.expect_peace();
        if let Some(listener) = &mut other.listener {
            listener.event("draining").unwrap();
        }
    });
}

pub(crate) fn client_is_drained_and_goes_on(place: &Place, _: &Habits) {
    run(async {
        let (mut other, log) = (place.reach("", &["--credit", "10", "--drain-after", "3"]), Log::default());
        // One by one, so that there is credit to give up.
        play(Sends { window: 1, ..Sends::new(&other.there, &log, 40) }, &log).await;
        assert_eq!(log.of("accepted").len(), 40);
        other.listener.as_mut().unwrap().event("drained").unwrap();
        assert!(!log.of("draining").is_empty());
        log.expect_peace();
    });
}

pub(crate) fn client_has_nodes_made(place: &Place, _: &Habits) {
    run(async {
        let (other, log) = (place.reach("", &[]), Log::default());
        for sends in [true, false] {
            play(Dynamic { there: other.there.clone(), log: log.clone(), sends }, &log).await;
        }
        let names = log.of("node");
        assert!(names.len() == 2 && names.iter().all(|name| !name.is_empty()), "{names:?}");
        if other.listener.is_some() {
            assert_eq!(names, ["dynamic-made", "dynamic-made"]);
        }
        log.expect_peace();
    });
}

pub(crate) fn client_keeps_each_guarantee(place: &Place, habits: &Habits) {
    use Guarantee::{AtLeastOnce, AtMostOnce, ExactlyOnce};
    let [sender, receiver] = habits.lacks_exactly_once;
    let lacks = [
        (AtMostOnce, None, None, "at-most-once"),
        (AtLeastOnce, None, None, "at-least-once"),
        (ExactlyOnce, sender, receiver, "exactly-once"),
    ];
    for (guarantee, sender, receiver, name) in lacks {
        run(async {
            let (other, log) = (place.reach(name, &[]), Log::default());
            play(Sends { guarantee, ..Sends::new(&other.there, &log, 5) }, &log).await;
            if sender.is_some() {
                refused(&log, name, sender);
                play(Sends::new(&other.there, &log, 5), &log).await;
            }
            let told = if guarantee == AtMostOnce { 0 } else { 5 };
            assert_eq!(log.of("accepted").len(), told, "{name}: {:?}", log.all());
            let log = Log::default();
            play(Receives { guarantee, ..Receives::new(&other.there, &log, 5) }, &log).await;
            if receiver.is_some() {
                return refused(&log, name, receiver);
            }
            let settled = if guarantee == AtMostOnce && habits.sends_settled { " settled" } else { "" };
            let expected: Vec<_> = (0..5).map(|number| format!("{number}{settled}")).collect();
            assert_eq!(log.of("message"), expected, "{name}: {:?}", log.all());
            log.expect_peace();
        });
    }
}

/// Expects that a link was refused for the lack of a guarantee.
fn refused(log: &Log, name: &str, lacks: Option<&str>) {
    let errors = log.of("link error");
    let expected = format!(": {name} is not available: {}", lacks.unwrap_or("nothing"));
    assert!(errors.len() == 1 && errors[0].contains(&expected), "{name}: {:?}", log.all());
}

pub(crate) fn client_learns_outcomes(place: &Place, _: &Habits) {
    run(async {
        let (other, log) = (place.reach("", &[]), Log::default());
        let make = |number| {
            let wish = ["accept", "reject", "release", "modify"][number as usize];
            numbered(number).with_property("outcome", wish).with_property("condition", "x:bad")
        };
        play(Sends { make, window: 1, ..Sends::new(&other.there, &log, 4) }, &log).await;
        let told = OUTCOMES.map(|outcome| log.of(outcome).len());
        assert_eq!(told, [1; 4]);
        log.expect_peace();
    });
}

pub(crate) fn client_is_told_why_a_link_is_refused(place: &Place, _: &Habits) {
    run(async {
        let (other, log) = (place.reach("", &[]), Log::default());
        let address = "refuse/amqp:not-found";
        play(Refused { there: other.there.to(address).from(address), log: log.clone() }, &log).await;
        assert_eq!(log.of("refused"), ["amqp:not-found"; 2]);
    });
}

pub(crate) fn client_is_told_why_something_ends(place: &Place, _: &Habits) {
    for (verb, noted) in [("detach", "link"), ("end", "session"), ("close", "connection")] {
        run(async {
            let (other, log) = (place.reach("", &[]), Log::default());
            let there = other.there.to(&format!("{verb}/1/amqp:resource-deleted"));
            play(Stays { sends: true, time: Some(Duration::from_secs(1)), ..Stays::new(&there, &log) }, &log).await;
            let told = log.of(&format!("{noted} error"));
            assert!(told.len() == 1 && told[0].starts_with("amqp:resource-deleted:"), "{verb}: {:?}", log.all());
            assert_eq!(log.of(&format!("{noted} closed")).len(), 1, "{verb}: {:?}", log.all());
        });
    }
}

pub(crate) fn client_closes_with_an_error(place: &Place, _: &Habits) {
    run(async {
        let (mut other, log) = (place.reach("", &[]), Log::default());
        let condition = ErrorCondition(Symbol::from_static("x:enough"));
        let error = Some(PeerError::new(condition, "that will do"));
        play(Opens { there: other.there.clone(), error }, &log).await;
        assert_eq!(log.all().last().map(String::as_str), Some("connection closed"), "{:?}", log.all());
        if let Some(listener) = &mut other.listener {
            let close = listener.event("close").unwrap();
            assert_eq!(close["error"]["condition"], "x:enough", "{close}");
            assert_eq!(close["error"]["description"], "that will do", "{close}");
        }
    });
}

pub(crate) fn client_comes_in(place: &Place, habits: &Habits) {
    run(async {
        let (mut other, log) = (place.reach("", &[]), Log::default());
        play(Opens { there: other.there.clone(), error: None }, &log).await;
        assert_eq!(log.all(), ["connection opened", "connection closed"]);
        if let Some(listener) = &mut other.listener {
            let told = if habits.tells_mechanism { "ANONYMOUS".into() } else { Json::Null };
            assert_eq!(listener.event("open").unwrap()["mechanism"], told);
        }
        if !habits.listens_with_plain {
            return;
        }
        let other = place.reach("", &["--plain", "guest:guest"]);
        for (user, comes_in) in [("guest:guest", true), ("guest:wrong", false), ("nobody:guest", false)] {
            let mut there = other.there.clone();
            let port = there.options.url.port();
            there.options = options(&format!("amqp://{user}@127.0.0.1:{port}"));
            there.options.sasl_mechanisms = vec!["PLAIN".to_owned()];
            let log = Log::default();
            play(Opens { there, error: None }, &log).await;
            assert_eq!(log.of("connection opened").len(), usize::from(comes_in), "{user}: {:?}", log.all());
            assert_eq!(log.of("transport error").len(), usize::from(!comes_in), "{user}: {:?}", log.all());
        }
    });
}

/// RabbitMQ counts in whole seconds, and we tell half of ours (AMQP 1.0 part 2, 2.4.5).
const IDLE: Duration = Duration::from_secs(3);

pub(crate) fn client_and_idle_peer_keep_each_other_alive(place: &Place, _: &Habits) {
    run(async {
        let (mut other, log) = (place.reach("idle", &["--idle-timeout", "1"]), Log::default());
        other.there.options.idle_timeout = Some(IDLE);
        play(Stays { time: Some(3 * IDLE), ..Stays::new(&other.there, &log) }, &log).await;
        assert_eq!(log.all(), ["connection opened", "connection closed"]);
    });
}

pub(crate) fn client_gives_up_a_peer_that_says_nothing(place: &Place, _: &Habits) {
    run(async {
        let (mut other, log) = (place.reach("", &[]), Log::default());
        other.there.options.idle_timeout = Some(Duration::from_secs(1));
        let staying = Stays::new(&other.there, &log);
        let (noted, begun) = (log.clone(), Instant::now());
        let staying = tokio::spawn(async move { play(staying, &noted).await });
        log.wait("connection opened", 1).await;
        let _stopped = Stopped::stop(other.listener.as_mut().unwrap().process());
        staying.await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(500));
        assert_eq!(log.of("transport error").len(), 1, "{:?}", log.all());
    });
}

/// Cuts of a case.
const CUTS: u32 = 3;

pub(crate) fn client_goes_on_after_cuts(place: &Place, habits: &Habits) {
    run(async {
        let total = habits.most_after_cuts;
        let step = total / (2 * CUTS);
        let (mut other, log) = (place.reach("cuts", &[]), Log::default());
        let proxy = cuts::before(other.there.options.url.port()).await;
        other.there.options = options(&format!("amqp://{}{}", place.user(), proxy.addr()));
        let mut reconnect = Reconnect::default();
        (reconnect.interval, reconnect.max_interval) = (Duration::from_millis(1), Duration::from_millis(5));
        other.there.options.reconnect = Some(reconnect);
        let pace = Pace::new(CUTS, step);
        let sends = Sends { pace, ..Sends::new(&other.there, &log, total) };
        let sending = tokio::spawn(logged(sends, log.clone()));
        for cut in 1..=CUTS {
            // Some of the last may have no outcome then.
            log.wait("accepted", (cut * step - 3) as usize).await;
            cut_off(&proxy, &log, cut as usize).await;
        }
        sending.await.unwrap();
        assert_eq!(log.of("link opened").len(), CUTS as usize + 1, "{:?}", log.all());
        assert_eq!(log.of("accepted").len(), total as usize);
        let log = Log::default();
        let lossless = Pace::new(0, step);
        let pace = Some(if habits.gives_back { pace } else { lossless });
        let receives = Receives { pace, ..Receives::new(&other.there, &log, total as usize) };
        let receiving = tokio::spawn(logged(receives, log.clone()));
        for cut in 1..=pace.map_or(0, |pace| pace.losses) {
            log.wait("message", (cut * step) as usize).await;
            cut_off(&proxy, &log, cut as usize).await;
        }
        receiving.await.unwrap();
        log.expect_peace();
    });
}

async fn logged(handler: impl Handler + 'static, log: Log) {
    play(handler, &log).await;
}

async fn cut_off(proxy: &Proxy, log: &Log, cut: usize) {
    proxy.cut_all();
    log.wait("disconnected", cut).await;
    log.wait("connection opened", cut + 1).await;
}
