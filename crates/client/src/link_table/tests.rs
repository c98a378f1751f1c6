use super::*;
use crate::fake::Fake;
use crate::protocol::{DeliveryNumber, Unsettled};

const SECOND: Duration = Duration::from_secs(1);

fn key(user: Option<&str>, name: &str) -> Arc<LinkKey> {
    let user = user.map(str::to_owned);
    Arc::new(LinkKey { user, container: "client".to_owned(), name: name.to_owned(), role: Role::Sender })
}

fn table(change: impl FnOnce(&mut KeepLinks)) -> Arc<LinkTable> {
    let mut limits = KeepLinks::default();
    change(&mut limits);
    LinkTable::new(limits, Handle::current())
}

fn shared() -> Arc<Shared> {
    Shared::new(Fake::new("peer").engine())
}

/// What is left of a link that had sent messages of these lengths.
fn left(address: &str, lengths: &[usize]) -> Box<Left> {
    let unsettled = lengths.iter().enumerate().map(|(token, length)| Unsettled {
        tag: DeliveryTag::from(token as u64),
        number: DeliveryNumber(0),
        token: 0,
        taken: false,
        message: Some(vec![0; *length].into()),
    });
    let suspended = Suspended { role: Role::Sender, unsettled: unsettled.collect(), state: Box::new(()) };
    Box::new(Left { suspended, next_tag: 0, asked: Node::at(address), node: Some(Node::at(address)) })
}

fn new(claim: Claim) -> Stay {
    match claim {
        Claim::New(stay) => stay,
        claim => panic!("{claim:?}"),
    }
}

#[tokio::test]
async fn a_link_is_somebody_s_is_kept_and_is_somebody_s_again() {
    let (table, first, second) = (table(|_| {}), shared(), shared());
    let key = key(Some("alice"), "link");
    let stay = new(table.claim(&key, &first));
    assert!(stay.reserve() && stay.reserve());
    let Claim::Held(holder, ticket) = table.claim(&key, &second) else { panic!("it is held") };
    assert!(Arc::ptr_eq(&holder, &first) && ticket == stay.ticket);
    assert!(table.holder(&key).is_some() && table.known(&key, &Node::at("q")).is_none());
    stay.suspend(left("q", &[5]), Until::Never).unwrap();
    assert_eq!(table.known(&key, &Node::at("q")), Some(Node::at("q")));
    assert!(table.known(&key, &Node::at("r")).is_none() && table.holder(&key).is_none());
    let Claim::Known(stay, left, until) = table.claim(&key, &second) else { panic!("it is known") };
    // Whoever fails to attach it puts it back.
    stay.suspend(left, until).unwrap();
    for until in [Until::At(Instant::now() + SECOND), Until::Connection(1, SECOND), Until::Session(1, 2, SECOND)] {
        let Claim::Known(stay, left, _) = table.claim(&key, &second) else { panic!("it is known") };
        stay.suspend(left, until).unwrap();
    }
    let Claim::Known(stay, ..) = table.claim(&key, &second) else { panic!("it is known") };
    assert_eq!(table.lock().bytes, 0);
    drop(stay);
    let stay = new(table.claim(&key, &second));
    let inner = table.lock();
    assert_eq!((inner.kept, inner.users.len()), (0, 0));
    assert!(inner.due.is_empty() && inner.waiting.is_empty());
    drop(inner);
    // A connection that is gone holds nothing, and what is left of it changes nothing.
    drop(second);
    let another = new(table.claim(&key, &first));
    drop(stay);
    assert!(table.holder(&key).is_some());
    drop(another);
    assert!(table.lock().links.is_empty());
}

#[tokio::test]
async fn links_users_and_bytes_are_bounded() {
    let table = table(|keep| (keep.links, keep.links_per_user, keep.bytes) = (3, 2, 1000));
    let shared = shared();
    let claim = |user, name| new(table.claim(&key(user, name), &shared));
    let of_alice = ["a", "b", "c"].map(|name| claim(Some("alice"), name));
    assert_eq!(of_alice.each_ref().map(Stay::reserve), [true, true, false]);
    let of_nobody = ["a", "b"].map(|name| claim(None, name));
    assert_eq!(of_nobody.each_ref().map(Stay::reserve), [true, false]);
    of_nobody[0].unreserve();
    assert!(of_nobody[1].reserve());
    let [a, b, c] = of_alice;
    a.suspend(left("q", &[400]), Until::Never).unwrap();
    let refused = b.suspend(left("q", &[400]), Until::Never).unwrap_err();
    assert_eq!(refused.suspended.unsettled.len(), 1);
    assert!(c.suspend(left("q", &[]), Until::Never).is_err(), "it has no place");
    let inner = table.lock();
    assert_eq!((inner.kept, inner.bytes, inner.links.len()), (2, 400 + DELIVERY, 3));
}

#[tokio::test(start_paused = true)]
async fn what_expires_is_told_and_makes_room() {
    let (table, shared) = (table(|keep| keep.links = 2), shared());
    let keep = |name, until| {
        let stay = new(table.claim(&key(None, name), &shared));
        assert!(stay.reserve());
        stay.suspend(left("q", &[1, 1]), until).unwrap();
    };
    keep("a", Until::Connection(1, SECOND));
    keep("b", Until::Session(1, 7, 2 * SECOND));
    table.ended(1, Some(6));
    table.ended(2, None);
    assert!(!table.lock().watched);
    table.ended(1, Some(7));
    // Its clock is the system's.
    assert!(table.give_up(Instant::now() + SECOND).is_some());
    assert!(table.give_up(Instant::now() + 3 * SECOND).is_none());
    let expired = table.next_expired().await;
    assert_eq!((expired.name.as_str(), expired.in_doubt.len()), ("b", 2));
    table.ended(1, None);
    table.give_up(Instant::now() + 3 * SECOND);
    assert_eq!(table.next_expired().await.name, "a");
    let inner = table.lock();
    assert_eq!((inner.kept, inner.bytes, inner.links.len(), inner.expired.len()), (0, 0, 0, 0));
    assert!(inner.due.is_empty() && inner.waiting.is_empty());
}

#[tokio::test]
async fn what_nobody_takes_of_what_has_expired_is_bounded() {
    let table = table(|keep| keep.links = 2);
    for name in ["a", "b", "c"] {
        table.displace(&key(None, name), left("q", &[1]));
    }
    // One that had nothing to lose needs no word.
    table.displace(&key(None, "d"), left("q", &[]));
    assert_eq!([table.next_expired().await.name, table.next_expired().await.name], ["b", "c"]);
    assert!(table.lock().expired.is_empty());
}

#[test]
fn a_node_tells_one_link_from_another() {
    let mut dynamic = left("made", &[]);
    dynamic.asked = Node::dynamic();
    for (left, asked, meant) in [
        (&left("q", &[]), Node::at("q"), true),
        (&left("q", &[]), Node { distribution: Some(crate::Distribution::Copy), ..Node::at("q") }, false),
        (&left("q", &[]), Node { durable: true, ..Node::at("q") }, true),
        (&left("q", &[]), Node::dynamic(), false),
        (&left("q", &[]), Node::anonymous(), false),
        (&left("", &[]), Node::anonymous(), true),
        (&dynamic, Node::dynamic(), true),
        (&dynamic, Node::at("made"), true),
        (&dynamic, Node::at("q"), false),
        (&dynamic, Node::anonymous(), false),
    ] {
        assert_eq!(left.is_meant_by(&asked), meant, "{asked:?}");
    }
}
