//! Messages from thread to thread.

use std::thread;
use std::time::Duration;

use postroad_client::blocking::{
    Acceptor, Connection, ConnectionGuard, IncomingLink, Receiver, Runtime, Sender, Session, Settlement,
    StreamingReceiver,
};
use postroad_client::types::DeliveryTag;
use postroad_client::{EndpointState, EndpointStates, LinkError, Message, Node, Outcome, SendError, Settler};

use crate::{PATIENCE, SHORT, connect, link, pair};

#[test]
fn a_message_is_sent_received_and_accepted() {
    let (sender, mut receiver, ends) = pair(10);
    assert_eq!((sender.address().as_deref(), sender.name()), (Some("queue"), receiver.name()));
    let sending = thread::spawn(move || {
        let outcome = sender.send(&Message::from("hello"));
        (outcome, sender)
    });
    let message = receiver.receive().unwrap();
    assert_eq!(message.text(), Some("hello"));
    receiver.accept(&message).unwrap();
    let (outcome, sender) = sending.join().unwrap();
    assert_eq!(outcome, Ok(Outcome::Accepted));
    sender.close().unwrap();
    assert!(matches!(receiver.closed(), LinkError::DetachedByPeer | LinkError::Closed));
    ends.client.close().unwrap();
    assert!(ends.server.error().is_some());
}

#[test]
fn threads_share_a_sender_and_a_settler() {
    const THREADS: usize = 4;
    const EACH: usize = 250;
    let (sender, mut receiver, _ends) = pair(100);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    sender.submit(&Message::from("one of many")).unwrap();
                }
            });
        }
        let (messages, settled) = std::sync::mpsc::sync_channel::<Message>(8);
        let settler: Settler = receiver.settler();
        scope.spawn(move || settled.iter().for_each(|message| settler.accept(&message).unwrap()));
        for message in receiver.iter().take(THREADS * EACH) {
            messages.send(message.unwrap()).unwrap();
        }
        drop(messages);
        sender.sync_timeout(PATIENCE).unwrap();
    });
    assert_eq!(sender.unsettled(), 0);
}

#[test]
fn outcomes_can_be_waited_for_later() {
    let (sender, mut receiver, _ends) = pair(10);
    let mut first = sender.submit_tracked(&Message::from("first")).unwrap();
    let second = sender.submit_tracked_timeout(&Message::from("second"), PATIENCE).unwrap();
    assert_eq!(first.wait_timeout(Duration::ZERO), Ok(None));
    let messages: Vec<_> = receiver.iter().take(2).map(Result::unwrap).collect();
    receiver.release(&messages[0]).unwrap();
    receiver.accept(&messages[1]).unwrap();
    for _ in 0..2 {
        // Told as often as it is asked for.
        assert_eq!(first.wait_timeout(PATIENCE), Ok(Some(Outcome::Released)));
    }
    assert_eq!(first.wait(), Ok(Outcome::Released));
    assert_eq!(second.wait(), Ok(Outcome::Accepted));
}

#[test]
fn a_tag_of_the_callers_names_a_message() {
    let (sender, mut receiver, _ends) = pair(10);
    let tag = DeliveryTag::new(b"order 66").unwrap();
    let first = Message::from("first");
    let settlement = sender.submit_tagged(&first, tag).unwrap();
    assert_eq!((settlement.is_settled(), settlement.remote_state()), (false, None));
    let message = receiver.receive().unwrap();
    assert_eq!(message.delivery_tag(), Some(tag));
    for result in [
        sender.send_tagged(&first, tag),
        sender.send_tagged_timeout(&first, tag, PATIENCE),
        sender.submit_tagged_timeout(&first, tag, PATIENCE).map(|_| Outcome::Accepted),
    ] {
        assert_eq!(result, Err(SendError::TagInUse(tag)));
    }
    receiver.accept(&message).unwrap();
    assert_eq!(settlement.wait(), Ok(Outcome::Accepted));

    // Settled, it names the next one.
    thread::scope(|scope| {
        let sent = scope.spawn(|| sender.send_tagged(&Message::from("second"), tag));
        let message = receiver.receive().unwrap();
        assert_eq!((message.text(), message.delivery_tag()), (Some("second"), Some(tag)));
        receiver.release(&message).unwrap();
        assert_eq!(sent.join().unwrap(), Ok(Outcome::Released));
    });
    let in_doubt = Err(SendError::InDoubt(LinkError::Timeout(SHORT)));
    assert_eq!(sender.send_tagged_timeout(&Message::from("third"), tag, SHORT), in_doubt);
}

#[test]
fn what_was_told_of_a_message_is_seen_before_it_is_settled() {
    let (sender, mut receiver, ends) = pair(10);
    let mut settlement = sender.submit_tracked(&Message::from("on its way")).unwrap();
    let message = receiver.receive().unwrap();
    receiver.update(&message, Outcome::Released).unwrap();
    // The sender settles at once, and keeps what it was told.
    assert_eq!(settlement.wait_timeout(PATIENCE), Ok(Some(Outcome::Released)));
    assert_eq!((settlement.is_settled(), settlement.remote_state()), (true, Some(Outcome::Released)));
    assert!(receiver.brought(&message) && receiver.session().brought(&message) && ends.server.brought(&message));
    assert!(!sender.session().brought(&message) && !ends.client.brought(&message));
}

#[test]
fn both_ends_tell_how_far_they_have_come_and_what_they_said() {
    const ACTIVE: EndpointStates = EndpointStates { local: EndpointState::Active, remote: EndpointState::Active };
    const CLOSED: EndpointStates = EndpointStates { local: EndpointState::Closed, remote: EndpointState::Closed };
    let ends = connect();
    let answer = |incoming: IncomingLink| {
        assert!(!incoming.is_sender());
        assert_eq!(incoming.state(), EndpointStates { local: EndpointState::Uninit, remote: EndpointState::Active });
        incoming.into_receiver(&Default::default()).unwrap()
    };
    let (sender, receiver) = link(&ends, |session| session.sender("q").unwrap(), answer);
    assert_eq!([ends.client.state(), ends.server.state(), sender.state(), receiver.state()], [ACTIVE; 4]);
    let address = |node: Option<Node>| node.and_then(|node| node.address);
    for node in [sender.target(), sender.remote_target(), receiver.target(), receiver.remote_target()] {
        assert_eq!(address(node).as_deref(), Some("q"));
    }
    for node in [sender.source(), sender.remote_source(), receiver.source(), receiver.remote_source()] {
        assert_eq!(address(node), None);
    }
    assert_eq!(ends.server.remote_container(), Some(ends.client.container_id()));
    assert_eq!(ends.client.remote_container(), Some(ends.server.container_id()));
    assert!(ends.client.hostname().is_some());
    assert_eq!((ends.server.remote_hostname(), ends.server.hostname()), (ends.client.hostname(), None));
    assert_eq!(ends.server.remote_desired_capabilities(), [""; 0]);
    drop(sender);
    assert!(receiver.closed_timeout(PATIENCE).is_some());
    assert_eq!((receiver.state(), receiver.remote_target()), (CLOSED, None));
    ends.client.close().unwrap();
    assert_eq!(ends.client.state(), CLOSED);
}

#[test]
fn an_iterator_ends_with_the_link() {
    let (sender, mut receiver, _ends) = pair(10);
    for text in ["one", "two"] {
        sender.submit(&Message::from(text)).unwrap();
    }
    sender.close().unwrap();
    let texts: Vec<_> = receiver.iter().map(|message| message.unwrap().text().map(str::to_owned)).collect();
    assert_eq!(texts, [Some("one".to_owned()), Some("two".to_owned())]);
    assert_eq!((&mut receiver).into_iter().next(), None);
}

#[test]
fn an_iterator_with_a_timeout_takes_what_there_is() {
    let (sender, mut receiver, _ends) = pair(10);
    for _ in 0..3 {
        sender.submit(&Message::from("here")).unwrap();
    }
    assert_eq!(receiver.iter_timeout(Duration::ZERO).map(Result::unwrap).count(), 3);
    assert_eq!(receiver.iter_timeout(Duration::ZERO).next(), None);
    // It has ended, and the link has not.
    sender.submit(&Message::from("later")).unwrap();
    assert_eq!(receiver.iter_timeout(PATIENCE).next().unwrap().unwrap().text(), Some("later"));
}

#[test]
fn credit_can_be_in_the_hands_of_the_caller() {
    let (sender, mut receiver, _ends) = pair(0);
    receiver.add_credit(3);
    for _ in 0..2 {
        sender.submit_timeout(&Message::from("within the credit"), PATIENCE).unwrap();
    }
    receiver.drain().unwrap();
    assert_eq!((receiver.available(), receiver.credit(), receiver.is_draining()), (2, 0, false));
    receiver.set_prefetch(5);
    sender.submit_timeout(&Message::from("taken ahead"), PATIENCE).unwrap();
    assert_eq!(receiver.iter_timeout(PATIENCE).take(3).count(), 3);
}

#[test]
fn handles_lead_to_the_wider_ones() {
    let ends = connect();
    let answer = |incoming: IncomingLink| {
        assert_eq!((incoming.is_receiver(), incoming.source_address()), (false, Some("q")));
        incoming.into_sender(&Default::default()).unwrap()
    };
    let (receiver, sender) = link(&ends, |session| session.receiver("q").unwrap(), answer);
    let session = receiver.session();
    drop(receiver);
    let again = session.connection().session_timeout(PATIENCE).unwrap();
    again.close().unwrap();
    assert!(sender.closed_timeout(PATIENCE).is_some());
    session.close().unwrap();
    assert!(session.sender("q").is_err());
}

#[test]
fn everything_can_go_to_another_thread() {
    fn send<T: Send + 'static>() {}
    fn share<T: Send + Sync + 'static>() {}
    share::<Acceptor>();
    share::<Connection>();
    share::<ConnectionGuard>();
    share::<Runtime>();
    share::<Session>();
    share::<Sender>();
    share::<Receiver>();
    share::<StreamingReceiver>();
    send::<IncomingLink>();
    send::<Settlement>();
}
