//! Handles that go without a close.

use std::time::Duration;

use postroad_client::{LinkError, Message};

use crate::{PATIENCE, pair};

#[test]
fn handles_may_go_in_any_order_and_what_was_handed_over_arrives() {
    for order in 0..3 {
        let (sender, mut receiver, ends) = pair(100);
        let session = sender.session();
        for _ in 0..50 {
            sender.submit(&Message::from("handed over")).unwrap();
        }
        match order {
            0 => {
                drop(ends.client);
                drop(session);
                drop(sender);
            }
            1 => {
                drop(sender);
                drop(session);
                drop(ends.client);
            }
            _ => {
                drop(session);
                drop(ends.client);
                drop(sender);
            }
        }
        // The last of them has waited for the server's answer, so all of it is here.
        assert_eq!(receiver.available(), 50, "order {order}");
        assert!(receiver.closed_timeout(PATIENCE).is_some());
        assert_eq!(receiver.iter().map(Result::unwrap).count(), 50);
    }
}

#[test]
fn what_was_accepted_is_known_when_the_last_handle_is_gone() {
    let (sender, mut receiver, ends) = pair(100);
    let mut settlements: Vec<_> =
        (0..50).map(|_| sender.submit_tracked(&Message::from("to be accepted")).unwrap()).collect();
    for message in receiver.iter().take(50).map(Result::unwrap).collect::<Vec<_>>() {
        receiver.accept(&message).unwrap();
    }
    // The end that settled leaves without a word.
    drop(receiver);
    drop(ends.server);
    for settlement in &mut settlements {
        let outcome = settlement.wait_timeout(Duration::ZERO).unwrap();
        assert!(outcome.expect("told before the close").is_accepted());
    }
}

#[test]
fn a_link_that_is_dropped_is_closed_and_its_session_goes_on() {
    let (sender, receiver, ends) = pair(10);
    let session = sender.session();
    drop(sender);
    assert_eq!(receiver.closed_timeout(PATIENCE), Some(LinkError::DetachedByPeer));
    assert!(ends.client.error().is_none());
    session.close().unwrap();
    ends.client.close().unwrap();
}

#[test]
fn a_settler_keeps_nothing_open() {
    let (sender, receiver, ends) = pair(10);
    let settler = receiver.settler();
    drop(receiver);
    drop(ends.server);
    assert!(sender.closed_timeout(PATIENCE).is_some());
    drop(settler);
}
