//! Runs under faults count what is lost and what comes again, and end in any case.

use std::process::{Command, Output};
use std::time::Duration;

use postroad_client::Guarantee;
use postroad_testkit::faults::FrameKind;
use postroad_tests::chaos::{self, Interface, Options, Report, Table};

fn under_faults(guarantee: Guarantee, seed: u64) -> Report {
    through(guarantee, Interface::Client, seed)
}

fn through(guarantee: Guarantee, interface: Interface, seed: u64) -> Report {
    let (patience, limit) = (Duration::from_secs(60), Duration::from_secs(120));
    let options = Options { messages: 5_000, cuts: 40, guarantee, interface, seed, patience, limit };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(chaos::run(&options)).unwrap()
}

#[test]
fn at_least_once_loses_none_and_what_comes_again_is_seen() {
    let report = under_faults(Guarantee::AtLeastOnce, 1);
    assert_eq!((report.count.sent, report.count.received, report.count.lost), (5_000, 5_000, 0));
    assert_eq!(report.count.breach(Guarantee::AtLeastOnce), None);
    assert!(report.blows.cuts() >= 40, "{report}");
    assert_eq!(report.count.breach(Guarantee::AtMostOnce).as_deref(), Some("repeated messages"));
}

#[test]
fn at_most_once_repeats_none_and_what_is_lost_is_seen() {
    let report = under_faults(Guarantee::AtMostOnce, 1);
    assert_eq!((report.count.sent, report.count.repeated), (5_000, 0));
    assert_eq!(report.count.received + report.count.lost, 5_000);
    assert_eq!(report.count.breach(Guarantee::AtMostOnce), None);
    assert_eq!(report.count.breach(Guarantee::AtLeastOnce).as_deref(), Some("lost messages"));
}

#[test]
fn exactly_once_loses_and_repeats_none_while_links_resume() {
    let report = under_faults(Guarantee::ExactlyOnce, 1);
    assert_eq!((report.count.received, report.count.lost, report.count.repeated), (5_000, 0, 0));
    let resumes = report.blows.stats.iter().map(|stats| stats.cuts_at(FrameKind::ResumingAttach)).sum::<u64>();
    assert!(resumes > 0, "{}", Table(&report.blows));
}

#[test]
fn cuts_come_in_both_directions_and_inside_frames() {
    let report = under_faults(Guarantee::AtLeastOnce, 2);
    for stats in &report.blows.stats {
        assert!(stats.cuts >= 20 && stats.inside_frames() > 0, "{stats:?}");
    }
}

#[test]
fn the_face_keeps_what_each_reliability_promises() {
    keeps(Interface::Messaging);
}

#[test]
fn handlers_keep_what_each_guarantee_promises() {
    keeps(Interface::Container);
}

fn keeps(interface: Interface) {
    for guarantee in [Guarantee::AtMostOnce, Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let report = through(guarantee, interface, 1);
        assert_eq!(report.count.breach(guarantee), None, "{guarantee:?}: {report}");
        assert!(report.count.sent == 5_000 && report.blows.cuts() >= 40, "{guarantee:?}: {report}");
    }
}

#[test]
fn transactions_keep_every_message_in_one_place() {
    transactions(Interface::Client);
}

#[test]
fn transactional_sessions_of_the_face_keep_every_message_in_one_place() {
    transactions(Interface::Messaging);
}

fn transactions(interface: Interface) {
    let (patience, limit) = (Duration::from_secs(60), Duration::from_secs(120));
    let guarantee = Guarantee::AtLeastOnce;
    let options = Options { messages: 300, cuts: 60, guarantee, interface, seed: 4, patience, limit };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let report = runtime.block_on(chaos::run_transfers(&options)).unwrap();
    assert_eq!(report.breach(), None, "{report}");
    assert_eq!((report.count.received, report.count.lost, report.count.repeated), (300, 0, 0));
    assert!(report.blows.cuts() >= 60 && report.rolled_back > 0, "{report:?}");
}

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chaos")).args(arguments).output().unwrap()
}

#[test]
fn last_line_and_status_tell_what_became_of_it() {
    let output = program(&["--messages", "300", "--cuts", "6", "--guarantee", "at-least-once", "--seed", "3"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("sent 300 received 300 lost 0 repeated "), "{text}");
    assert_eq!(output.status.code(), Some(0));

    let stuck = program(&["--messages", "100000", "--cuts", "5000", "--limit", "0"]);
    let text = String::from_utf8(stuck.stderr).unwrap();
    assert!(text.starts_with("stuck: not done after 0 s") && text.contains("  receiver: "), "{text}");
    assert_eq!(stuck.status.code(), Some(2));

    let output = program(&["--transactions", "50", "--cuts", "6"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().last().unwrap().starts_with("moved 50 lost 0 repeated 0 in-doubt "), "{text}");
    assert_eq!(output.status.code(), Some(0));

    let output = program(&["--face", "messaging", "--messages", "300", "--cuts", "6", "--guarantee", "exactly-once"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().last().unwrap().starts_with("sent 300 received 300 lost 0 repeated 0 cuts "), "{text}");
    assert_eq!(output.status.code(), Some(0));

    assert_eq!(program(&["--transactions", "50", "--messages", "3"]).status.code(), Some(64));
    assert_eq!(program(&["--guarantee", "twice"]).status.code(), Some(64));
    assert_eq!(program(&["--messages", "0"]).status.code(), Some(64));
    assert_eq!(program(&["--cuts", "1000000000"]).status.code(), Some(64));
    assert_eq!(program(&["--patience", "0"]).status.code(), Some(64));
    assert_eq!(program(&["--help"]).status.code(), Some(0));
}
