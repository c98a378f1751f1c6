use std::task::{Context, Waker};
use std::time::Duration;

use postroad_amqp::v1_0::{Config, Connection};

use super::*;
use crate::mailbox::Post;

type Table = LinkTable<&'static str>;

const SECOND: Duration = Duration::from_secs(1);
const LIMITS: TableLimits = TableLimits { all: 3, per_user: 2, of_nobody: 3 };

fn key_of(user: Option<&str>, name: &str) -> Arc<LinkKey> {
    let user = user.map(Into::into);
    Arc::new(LinkKey { user, container: "c".into(), name: name.into(), role: Role::Sender })
}

fn key(name: &str) -> Arc<LinkKey> {
    key_of(None, name)
}

fn post(mailbox: &Mailbox) -> Post {
    let mut post = Post::default();
    mailbox.poll(&mut post, &Context::from_waker(Waker::noop()));
    post
}

fn attach(table: &Table, key: &Arc<LinkKey>) -> u64 {
    match table.claim(key, &Arc::default(), 0) {
        Claim::New(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

/// Attaches a link that is then suspended.
fn suspend(table: &Table, key: &Arc<LinkKey>, left: &'static str, timer: Timer) -> u64 {
    let ticket = attach(table, key);
    assert!(table.set_resumable(key, ticket, true));
    assert_eq!(table.suspend(key, ticket, left, Some(timer)), None);
    ticket
}

fn session() -> SessionId {
    Connection::client(Config::new("c"), None, Instant::now()).begin().unwrap()
}

/// That nothing is left of anything.
#[track_caller]
fn assert_empty(table: &Table) {
    let inner = table.lock();
    assert!(inner.map.is_empty() && inner.users.is_empty() && inner.due.is_empty() && inner.waiting.is_empty());
    assert_eq!((inner.resumable, inner.of_nobody, inner.suspended), (0, 0, 0));
}

#[test]
fn a_suspended_link_is_had_once() {
    let table = Table::new(LIMITS);
    suspend(&table, &key("a"), "a", Timer::Never);
    assert_eq!(table.suspended(), 1);
    let Claim::Suspended(ticket, "a") = table.claim(&key("a"), &Arc::default(), 0) else { panic!("not kept") };
    assert_eq!(table.suspended(), 0);
    // It keeps its place.
    assert_eq!(table.suspend(&key("a"), ticket, "b", Some(Timer::Never)), None);
    assert_eq!(table.take_all(), ["b"]);
    assert_empty(&table);
    attach(&table, &key("a"));
}

#[test]
fn what_comes_with_an_old_ticket_is_about_the_past() {
    let table = Table::new(LIMITS);
    let old = suspend(&table, &key("a"), "a", Timer::Never);
    table.release(&key("a"), old);
    assert_eq!(table.take_if(&key("a"), old + 1, |_| true), None);
    assert_eq!(table.take_if(&key("a"), old, |_| false), None);
    let Claim::Suspended(new, ..) = table.claim(&key("a"), &Arc::default(), 0) else { panic!("not kept") };
    table.release(&key("a"), old);
    assert_eq!(table.suspend(&key("a"), old, "old", Some(Timer::Never)), Some("old"));
    assert_eq!(table.take_if(&key("a"), new, |_| true), None, "it is attached");
    assert!(!table.set_resumable(&key("a"), old, true));
    table.release(&key("a"), new);
    assert_empty(&table);
    table.release(&key("a"), new);
}

#[test]
fn links_expire_in_the_order_of_their_time() {
    let (table, now) = (Table::new(LIMITS), Instant::now());
    assert_eq!(table.next_due(), None);
    for (name, seconds) in [("b", 2), ("a", 1), ("c", 2)] {
        suspend(&table, &key(name), name, Timer::At(now + SECOND * seconds));
    }
    assert_eq!(table.next_due(), Some(now + SECOND));
    assert_eq!(table.expire(now), [""; 0]);
    assert_eq!(table.expire(now + SECOND), ["a"]);
    let Claim::Suspended(ticket, "c") = table.claim(&key("c"), &Arc::default(), 0) else { panic!("not kept") };
    assert_eq!(table.expire(now + SECOND * 9), ["b"], "what was attached in time does not expire");
    assert_eq!(table.next_due(), None);
    table.release(&key("c"), ticket);
    assert_empty(&table);
}

#[test]
fn the_time_begins_with_the_end_of_session_or_connection() {
    let (table, now, session) = (Table::new(LIMITS), Instant::now(), session());
    let (one, two) = (table.connection(), table.connection());
    suspend(&table, &key("a"), "a", Timer::Session(one, session, SECOND));
    suspend(&table, &key("b"), "b", Timer::Connection(one, SECOND * 2));
    suspend(&table, &key("c"), "c", Timer::Session(two, session, SECOND * 3));
    table.session_ended(one, session, now);
    assert_eq!(table.next_due(), Some(now + SECOND));
    table.session_ended(one, session, now + SECOND * 5);
    table.connection_ended(one, now + SECOND);
    assert_eq!(table.expire(now + SECOND * 2), ["a"]);
    assert_eq!(table.expire(now + SECOND * 3), ["b"]);
    assert_eq!(table.expire(now + SECOND * 99), [""; 0]);
    table.connection_ended(two, now);
    assert_eq!(table.expire(now + SECOND * 3), ["c"]);
    assert_empty(&table);
}

#[test]
fn whoever_holds_a_link_is_told_to_yield_it() {
    let table = Table::new(LIMITS);
    let (holder, thief, other) = (Arc::new(Mailbox::default()), Arc::new(Mailbox::default()), Arc::default());
    let Claim::New(ticket) = table.claim(&key("a"), &holder, 7) else { panic!("it is taken") };
    for _ in 0..2 {
        assert!(matches!(table.claim(&key("a"), &thief, 1), Claim::Wait));
        assert!(matches!(table.claim(&key("a"), &other, 2), Claim::Wait));
    }
    assert_eq!(post(&holder).yields, [(7, ticket)], "once");
    assert!(!post(&thief).try_again);
    table.set_resumable(&key("a"), ticket, true);
    table.suspend(&key("a"), ticket, "a", Some(Timer::Never));
    assert!(post(&thief).try_again && post(&other).try_again);
    // The first who comes has it, and the other asks it in turn.
    let Claim::Suspended(ticket, "a") = table.claim(&key("a"), &other, 2) else { panic!("not kept") };
    assert!(matches!(table.claim(&key("a"), &thief, 1), Claim::Wait));
    assert_eq!(post(&other).yields, [(2, ticket)]);
    table.release(&key("a"), ticket);
    assert!(post(&thief).try_again && !post(&other).try_again);
    assert!(matches!(table.claim(&key("a"), &thief, 1), Claim::New(_)));
}

#[test]
fn places_are_bounded_in_all_and_for_each_user() {
    let table = Table::new(LIMITS);
    let keys = ["a", "b", "c"].map(|name| key_of(Some("u"), name));
    let tickets = keys.each_ref().map(|key| attach(&table, key));
    let wants = |index: usize| table.set_resumable(&keys[index], tickets[index], true);
    assert!(wants(0) && wants(0) && wants(1));
    assert!(!wants(2), "the user has two");
    let other = key_of(Some("v"), "a");
    let ticket = attach(&table, &other);
    assert!(table.set_resumable(&other, ticket, true));
    let nobody = key("a");
    let ticket = attach(&table, &nobody);
    assert!(!table.set_resumable(&nobody, ticket, true), "there are three");
    // One that has no place is not kept.
    assert_eq!(table.suspend(&nobody, ticket, "n", Some(Timer::Never)), Some("n"));
    table.release(&keys[0], tickets[0]);
    assert!(wants(2));
    assert!(!table.set_resumable(&keys[2], tickets[2], false));
    let ticket = attach(&table, &nobody);
    assert!(table.set_resumable(&nobody, ticket, true), "nobody is not that user");
}

#[test]
fn clients_that_are_nobody_keep_no_user_out() {
    let table = Table::new(TableLimits { of_nobody: 1, ..LIMITS });
    let wants = |key: Arc<LinkKey>| {
        let ticket = attach(&table, &key);
        (table.set_resumable(&key, ticket, true), key, ticket)
    };
    let of = |container: &str| {
        Arc::new(LinkKey { user: None, container: container.into(), name: "a".into(), role: Role::Sender })
    };
    let (first, key, ticket) = wants(of("a"));
    assert!(first && !wants(of("b")).0);
    assert!(wants(key_of(Some("u"), "a")).0);
    table.release(&key, ticket);
    assert!(wants(of("c")).0);
}

#[test]
fn nothing_is_kept_once_it_is_closed() {
    let table = Table::new(LIMITS);
    suspend(&table, &key("a"), "a", Timer::Never);
    let late = attach(&table, &key("b"));
    table.set_resumable(&key("b"), late, true);
    let waiting = Arc::new(Mailbox::default());
    assert!(matches!(table.claim(&key("b"), &waiting, 0), Claim::Wait));
    assert_eq!(table.close(), ["a"]);
    assert_eq!(table.suspend(&key("b"), late, "b", Some(Timer::Never)), Some("b"));
    assert!(post(&waiting).try_again);
    assert_empty(&table);
    let ticket = attach(&table, &key("a"));
    assert!(!table.set_resumable(&key("a"), ticket, true));
}

#[test]
fn whoever_fails_to_attach_a_link_neither_ends_it_nor_prolongs_it() {
    let (table, now, session) =
        (Table::new(TableLimits { all: 9, per_user: 9, of_nobody: 9 }), Instant::now(), session());
    let (one, two) = (table.connection(), table.connection());
    let timers = [
        ("never", Timer::Never),
        ("at", Timer::At(now + SECOND)),
        ("session", Timer::Session(one, session, SECOND)),
        ("connection", Timer::Connection(one, SECOND)),
        ("other", Timer::Connection(two, SECOND)),
    ];
    for (name, timer) in timers {
        suspend(&table, &key(name), name, timer);
    }
    let claim = |name| match table.claim(&key(name), &Arc::default(), 0) {
        Claim::Suspended(ticket, left) => (ticket, left),
        other => panic!("{other:?}"),
    };
    let back = |name, (ticket, left)| assert_eq!(table.suspend(&key(name), ticket, left, None), None);
    for _ in 0..2 {
        for (name, _) in timers {
            back(name, claim(name));
        }
    }
    assert_eq!((table.suspended(), table.next_due()), (5, Some(now + SECOND)));
    // What two of them wait for happens while they are claimed.
    let claimed = timers.map(|(name, _)| (name, claim(name)));
    table.session_ended(one, session, now + SECOND);
    table.connection_ended(one, now + SECOND * 2);
    assert_eq!((table.suspended(), table.next_due()), (0, None));
    for (name, claimed) in claimed {
        back(name, claimed);
    }
    assert_eq!(table.expire(now + SECOND), ["at"]);
    assert_eq!(table.expire(now + SECOND * 2), ["session"]);
    assert_eq!(table.expire(now + SECOND * 99), ["connection"]);
    // What is attached waits for nothing.
    let (ticket, left) = claim("other");
    table.confirm(&key("other"), ticket);
    assert!(table.lock().waiting.is_empty());
    assert_eq!(table.suspend(&key("other"), ticket, left, None), Some("other"), "it did not go back in time");
    assert_eq!(table.take_all(), ["never"]);
    assert_empty(&table);
}

#[test]
fn the_end_of_a_session_costs_what_it_has_left() {
    let (table, now, session) =
        (Table::new(TableLimits { all: 10_000, per_user: 10_000, of_nobody: 10_000 }), Instant::now(), session());
    let connection = table.connection();
    for number in 0..10_000 {
        suspend(&table, &key(&number.to_string()), "", Timer::Connection(connection, SECOND));
    }
    // Were all of them looked at each time, this would take minutes.
    for _ in 0..10_000 {
        table.session_ended(connection, session, now);
    }
    assert!(now.elapsed() < SECOND * 30);
    assert_eq!(table.next_due(), None);
    table.connection_ended(connection, now);
    assert_eq!(table.expire(now + SECOND).len(), 10_000);
    assert_empty(&table);
}

#[test]
fn long_names_are_not_kept() {
    let table = Table::new(LIMITS);
    let named = |container: usize, name: usize| {
        let (container, name) = ("c".repeat(container).into(), "n".repeat(name).into());
        let key = Arc::new(LinkKey { user: None, container, name, role: Role::Sender });
        let ticket = attach(&table, &key);
        table.set_resumable(&key, ticket, true)
    };
    assert!(named(MAX_NAME, MAX_NAME));
    assert!(!named(MAX_NAME + 1, 1) && !named(1, MAX_NAME + 1));
}

#[test]
fn who_has_a_link_and_is_gone_has_it_no_longer() {
    let table = Arc::new(Table::new(LIMITS));
    let key = key("a");
    let stay = |ticket| Stay::new(&table, Arc::clone(&key), ticket);
    drop(stay(attach(&table, &key)));
    assert_empty(&table);
    let kept = stay(attach(&table, &key));
    assert!(kept.reserve());
    assert_eq!(table.suspend(&key, kept.ticket, "a", Some(Timer::Never)), None);
    drop(kept);
    assert_eq!(table.take_all(), ["a"]);
    assert_empty(&table);
}
