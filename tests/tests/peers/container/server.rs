//! The face listens, and the peer is the client.

use std::sync::Arc;
use std::time::Duration;

use postroad_container::client::KeepLinks;
use postroad_container::client::sasl::UserFile;
use postroad_tests::ours::{SOON, run};
use postroad_tests::peers::Peer;
use postroad_tests::process::{Finished, Stopped};
use serde_json::Value as Json;

use super::Habits;
use super::handlers::{Log, OUTCOMES};
use super::serving::{
    SendsAndSettlesLater, Server, ServesAndDrains, ServesByHand, ServesLater, on_loopback, serve, typed_number,
    typed_text,
};
use crate::{condition, cuts, numbers, peer_receives, peer_sends};

fn three() -> Vec<Json> {
    (0..3).map(typed_number).collect()
}

fn states(finished: &Finished) -> Vec<&str> {
    finished.named("outcome").map(|outcome| outcome["state"].as_str().unwrap_or("none")).collect()
}

pub(crate) fn server_takes_what_the_peer_sends(peer: &Peer, _: &Habits) {
    run(async {
        let log = Log::default();
        let serving = serve(Server::new(&log), on_loopback(), &log).await;
        let messages: Vec<Json> = (0..200).map(typed_number).collect();
        peer_sends(peer, &serving.url, "q", &messages, &[]);
        log.wait("connection closed", 1).await;
        assert_eq!(log.of("message"), (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
        log.expect_peace();
        serving.stop().await;
    });
}

pub(crate) fn server_sends_what_the_peer_receives(peer: &Peer, _: &Habits) {
    run(async {
        let log = Log::default();
        let serving = serve(Server::new(&log), on_loopback(), &log).await;
        let got = peer_receives(peer, &serving.url, "numbers/200", 200, &["--credit", "7"]);
        assert_eq!(numbers(got.named("message")), (0..200).collect::<Vec<_>>());
        assert_eq!(got.named("open").next().unwrap()["container"], "postroad-face");
        log.wait("connection closed", 1).await;
        assert_eq!(log.of("accepted").len(), 200);
        log.expect_peace();
        serving.stop().await;
    });
}

pub(crate) fn server_answers_questions(peer: &Peer, _: &Habits) {
    run(async {
        let log = Log::default();
        let serving = serve(Server::new(&log), on_loopback(), &log).await;
        let questions = ["Twas brillig", "but to wither", "and fall away"].map(typed_text);
        let asked = peer.request(&serving.url, "serve", &questions).unwrap();
        assert_eq!(asked.code, Some(0), "{:?} {}", asked.events, asked.stderr);
        let answers: Vec<_> = asked.named("message").map(|answer| crate::body(answer).unwrap()["v"].clone()).collect();
        assert_eq!(answers, ["TWAS BRILLIG", "BUT TO WITHER", "AND FALL AWAY"]);
        for (index, answer) in asked.named("message").enumerate() {
            let properties = crate::section(answer, "properties").unwrap();
            assert_eq!(properties["correlation-id"]["v"], index, "{answer}");
        }
        log.wait("connection closed", 1).await;
        log.expect_peace();
        serving.stop().await;
    });
}

/// Both ways.
pub(crate) fn server_and_peer_tell_outcomes(peer: &Peer, habits: &Habits) {
    run(async {
        let log = Log::default();
        let serving = serve(Server::new(&log), on_loopback(), &log).await;
        for (address, state) in [("reject", "rejected"), ("release", "released"), ("modify", "modified")] {
            let sent = peer.send(&serving.url, address, &three(), &[]).unwrap();
            assert_eq!((sent.code, states(&sent)), (Some(0), vec![state; 3]), "{:?}", sent.events);
            if state == "rejected" && habits.tells_errors {
                assert!(sent.named("outcome").all(|outcome| outcome["error"]["condition"] == "x:bad"));
            }
        }
        for (wish, state) in ["accept", "reject", "release", "modify"].iter().zip(OUTCOMES) {
            peer_receives(peer, &serving.url, "numbers/1", 1, &["--outcome", wish]);
            log.wait(state, 1).await;
        }
        log.expect_peace();
        serving.stop().await;
    });
}

pub(crate) fn server_refuses_and_the_peer_is_told(peer: &Peer, _: &Habits) {
    run(async {
        let log = Log::default();
        let serving = serve(Server::new(&log), on_loopback(), &log).await;
        let sent = peer.send(&serving.url, "refuse", &three(), &[]).unwrap();
        assert_eq!((sent.code, condition(&sent, "detach")), (Some(1), "amqp:not-found".to_owned()));
        let received = peer.receive(&serving.url, "refuse", 1, &[]).unwrap();
        assert_eq!((received.code, condition(&received, "detach")), (Some(1), "amqp:not-found".to_owned()));
        serving.stop().await;
        for (refuses, event, expected) in
            [([true, false], "close", "x:no-connections"), ([false, true], "end", "x:no-sessions")]
        {
            let log = Log::default();
            let serving = serve(Server::refusing(&log, refuses), on_loopback(), &log).await;
            let sent = peer.send(&serving.url, "q", &three(), &[]).unwrap();
            assert_eq!((sent.code, condition(&sent, event)), (Some(1), expected.to_owned()));
            assert_eq!(log.of("message").len(), 0);
            serving.stop().await;
        }
    });
}

pub(crate) fn server_accepts_later(peer: &Peer, _: &Habits) {
    run(async {
        let log = Log::default();
        let serving = serve(ServesLater { log: log.clone(), kept: Vec::new() }, on_loopback(), &log).await;
        peer_sends(peer, &serving.url, "q", &three(), &[]);
        assert_eq!(log.of("accepted later").len(), 3);
        log.expect_peace();
        serving.stop().await;
    });
}

pub(crate) fn server_settles_later(peer: &Peer, _: &Habits) {
    run(async {
        let log = Log::default();
        let sending = SendsAndSettlesLater { log: log.clone(), sent: 0, kept: Vec::new() };
        let serving = serve(sending, on_loopback(), &log).await;
        // One more than comes, so that the connection is there.
        let mut receiver = peer.receiver(&serving.url, "q", 4, &[]).unwrap();
        log.wait("settled later", 3).await;
        assert_eq!(log.of("accepted, settled"), ["true"; 3]);
        for _ in 0..3 {
            receiver.event("message", SOON).unwrap();
        }
        log.expect_peace();
        serving.stop().await;
    });
}

pub(crate) fn server_gives_credit_by_hand(peer: &Peer, _: &Habits) {
    run(async {
        let log = Log::default();
        let by_hand = ServesByHand { log: log.clone(), steps: vec![4, 2, 1], allowed: 0, receiver: None };
        let serving = serve(by_hand, on_loopback(), &log).await;
        let messages: Vec<Json> = (0..6).map(typed_number).collect();
        // The last credit has one for nobody.
        peer_sends(peer, &serving.url, "q", &messages, &[]);
        assert_eq!(log.of("came"), ["0", "1", "3"]);
        assert_eq!(log.of("message").len(), 6);
        log.expect_peace();
        serving.stop().await;
    });
}

pub(crate) fn server_drains(peer: &Peer, _: &Habits) {
    run(async {
        let log = Log::default();
        let serving = serve(ServesAndDrains { log: log.clone(), kept: Vec::new() }, on_loopback(), &log).await;
        peer_sends(peer, &serving.url, "q", &three(), &[]);
        assert_eq!(log.of("drained, credit"), ["0"]);
        log.expect_peace();
        serving.stop().await;
    });
}

pub(crate) fn server_is_drained(peer: &Peer, _: &Habits) {
    run(async {
        let log = Log::default();
        let serving = serve(Server::new(&log), on_loopback(), &log).await;
        for (address, count) in [("numbers/3", 3), ("numbers/0", 0)] {
            let got = peer.receive(&serving.url, address, 10, &["--drain"]).unwrap();
            assert_eq!(got.code, Some(0), "{:?} {}", got.events, got.stderr);
            assert_eq!(numbers(got.named("message")), (0..count).collect::<Vec<_>>());
            assert_eq!(got.named("drained").count(), 1, "{:?}", got.events);
        }
        // Credit and the wish to have it back may be told one by one, but each only once.
        let mut wanted = log.of("draining, credit");
        assert!(wanted.len() <= 4, "{wanted:?}");
        wanted.dedup();
        assert_eq!(wanted, ["7", "10"]);
        log.expect_peace();
        serving.stop().await;
    });
}

pub(crate) fn server_makes_a_node(peer: &Peer, _: &Habits) {
    run(async {
        let log = Log::default();
        let serving = serve(Server::new(&log), on_loopback(), &log).await;
        let mut receiver = peer.receiver(&serving.url, "", 1, &["--dynamic"]).unwrap();
        let attached = receiver.event("attached", SOON).unwrap();
        assert_eq!(attached["source"]["address"], "made-0", "{attached}");
        serving.stop().await;
    });
}

pub(crate) fn server_keeps_each_guarantee(peer: &Peer, habits: &Habits) {
    run(async {
        let log = Log::default();
        let mut options = on_loopback();
        options.keep_links = Some(KeepLinks::default());
        let serving = serve(Server::new(&log), options, &log).await;
        let sent = peer.send(&serving.url, "q", &three(), &["--settle-mode", "settled"]).unwrap();
        assert_eq!(sent.code, Some(0), "{:?} {}", sent.events, sent.stderr);
        log.wait("message", 3).await;
        assert_eq!(log.of("message"), ["0 settled", "1 settled", "2 settled"]);
        peer_sends(peer, &serving.url, "q", &three(), &[]);
        assert_eq!(log.of("message")[3..], ["0", "1", "2"]);
        assert_eq!(log.of("asks for"), ["at-most-once", "at-least-once"]);
        if habits.asks_for_second {
            let sent = peer.send(&serving.url, "q", &three(), &["--second"]).unwrap();
            assert_eq!((sent.code, states(&sent)), (Some(0), vec!["accepted"; 3]), "{:?}", sent.events);
            assert!(sent.named("outcome").all(|outcome| outcome["settled"] == false), "{:?}", sent.events);
            let got = peer.receive(&serving.url, "numbers/3", 3, &["--second"]).unwrap();
            assert_eq!((got.code, numbers(got.named("message"))), (Some(0), vec![0, 1, 2]), "{:?}", got.events);
            log.wait("accepted", 3).await;
            // It was our end that settled.
            assert_eq!(log.of("settled").len(), 0);
            assert_eq!(log.of("asks for")[2..], ["exactly-once"; 2]);
        }
        log.expect_peace();
        serving.stop().await;
    });
}

pub(crate) fn server_lets_the_right_user_in(peer: &Peer, _: &Habits) {
    run(async {
        let log = Log::default();
        let mut options = on_loopback();
        options.sasl.users = Some(Arc::new(UserFile::parse("alice:wonderland\n", [7; 32]).unwrap()));
        options.sasl.allow_insecure_mechs = true;
        let serving = serve(Server::new(&log), options, &log).await;
        let try_in = |user: &str| {
            let url = format!("amqp://{user}127.0.0.1:{}", serving.port);
            peer.send(&url, "q", &three(), &[]).unwrap()
        };
        let right = try_in("alice:wonderland@");
        assert_eq!((right.code, states(&right)), (Some(0), vec!["accepted"; 3]), "{:?}", right.events);
        assert_eq!(log.of("user"), ["alice"]);
        for user in ["alice:wrong@", "bob:wonderland@", ""] {
            let refused = try_in(user);
            assert_eq!(refused.code, Some(1), "{user}: {:?}", refused.events);
            assert_eq!(refused.named("open").count(), 0, "{user}");
            assert_eq!(condition(&refused, "transport-error"), "amqp:unauthorized-access", "{user}");
        }
        log.wait("transport error", 3).await;
        assert_eq!(log.of("user").len(), 1);
        serving.stop().await;
    });
}

const IDLE: Duration = Duration::from_secs(1);

pub(crate) fn server_and_idle_peer_keep_each_other_alive(peer: &Peer, _: &Habits) {
    run(async {
        let log = Log::default();
        let mut options = on_loopback();
        // Longer than the peer's, for its process may not get the processor in time.
        options.idle_timeout = Some(3 * IDLE);
        let serving = serve(Server::new(&log), options, &log).await;
        let mut receiver = peer.receiver(&serving.url, "numbers/0", 1, &["--idle-timeout", "1"]).unwrap();
        receiver.event("attached", SOON).unwrap();
        tokio::time::sleep(7 * IDLE).await;
        assert_eq!(log.of("connection opened").len(), 1);
        assert_eq!(log.of("connection closed").len(), 0);
        log.expect_peace();
        serving.stop().await;
    });
}

pub(crate) fn server_gives_up_a_peer_that_says_nothing(peer: &Peer, _: &Habits) {
    run(async {
        let log = Log::default();
        let mut options = on_loopback();
        options.idle_timeout = Some(IDLE);
        let serving = serve(Server::new(&log), options, &log).await;
        let mut receiver = peer.receiver(&serving.url, "numbers/0", 1, &[]).unwrap();
        receiver.event("attached", SOON).unwrap();
        let _stopped = Stopped::stop(&receiver);
        log.wait("transport error", 1).await;
        serving.stop().await;
    });
}

pub(crate) fn server_ends_things_with_an_error(peer: &Peer, _: &Habits) {
    for (verb, expected) in [("detach", "x:detached"), ("end", "x:ended"), ("close", "x:closed")] {
        run(async {
            let log = Log::default();
            let serving = serve(Server::new(&log), on_loopback(), &log).await;
            let sent = peer.send(&serving.url, verb, &[typed_number(1)], &[]).unwrap();
            // What had come was accepted before the end: nothing is heard of it behind that.
            let told = sent.named(verb).next().unwrap_or_else(|| panic!("{verb}: {:?}", sent.events));
            assert_eq!(told["error"]["condition"], expected, "{verb}: {:?}", sent.events);
            serving.stop().await;
        });
    }
}

pub(crate) fn server_goes_on_after_cuts(peer: &Peer, _: &Habits) {
    run(async {
        let log = Log::default();
        let serving = serve(Server::new(&log), on_loopback(), &log).await;
        let proxy = cuts::before(serving.port).await;
        for cut in 1..=3 {
            let mut receiver = peer.receiver(&format!("amqp://{}", proxy.addr()), "numbers/3", 4, &[]).unwrap();
            for _ in 0..3 {
                receiver.event("message", SOON).unwrap();
            }
            proxy.cut_all();
            assert_eq!(receiver.finish(SOON).unwrap().code, Some(1));
            log.wait("transport error", cut).await;
        }
        let got = peer_receives(peer, &serving.url, "numbers/3", 3, &[]);
        assert_eq!(numbers(got.named("message")), [0, 1, 2]);
        serving.stop().await;
    });
}
