//! Answers to an attach that do not keep what was asked for: the first time, and when the link is attached again.

use postroad_client::types::ErrorCondition;
use postroad_client::{AttachError, Guarantee, LinkError, Message, Outcome, ReceiveError, SendError, Sender, Session};
use postroad_codec::v1_0::{
    Attach, AttachTarget, Frame, Performative, ReceiverSettleMode, Role, Seconds, SenderSettleMode,
    TerminusExpiryPolicy,
};
use postroad_testkit::{accepted, detach, flow, transfer};

use crate::{answer, grant, lost_link, named, next_connection, serve, soon, take_attach};

/// A way in which an answer falls short.
#[derive(Clone, Copy)]
struct Case {
    role: Role,
    guarantee: Guarantee,
    change: fn(&mut Attach),
    /// A word of the error.
    word: &'static str,
}

fn elsewhere(attach: &mut Attach) {
    match attach.role {
        Role::Sender => attach.source.as_mut().unwrap().address = Some("elsewhere".into()),
        Role::Receiver => {
            let Some(AttachTarget::Target(target)) = attach.target.as_deref_mut() else { panic!("{attach:?}") };
            target.address = Some("elsewhere".into());
        }
    }
}

fn forgets(attach: &mut Attach) {
    let (source, target) = (attach.source.as_mut().unwrap(), attach.target.as_deref_mut());
    let Some(AttachTarget::Target(target)) = target else { panic!("no target") };
    (source.expiry_policy, source.timeout) = (TerminusExpiryPolicy::CONNECTION_CLOSE, Seconds(0));
    (target.expiry_policy, target.timeout) = (TerminusExpiryPolicy::CONNECTION_CLOSE, Seconds(0));
}

fn cases() -> [Case; 9] {
    use Guarantee::{AtLeastOnce, AtMostOnce, ExactlyOnce};
    use Role::{Receiver, Sender};
    let first: fn(&mut Attach) = |attach| attach.rcv_settle_mode = ReceiverSettleMode::FIRST;
    let settled: fn(&mut Attach) = |attach| attach.snd_settle_mode = SenderSettleMode::SETTLED;
    let unsettled: fn(&mut Attach) = |attach| attach.snd_settle_mode = SenderSettleMode::UNSETTLED;
    let case = |role, guarantee, change, word| Case { role, guarantee, change, word };
    [
        case(Sender, AtLeastOnce, elsewhere as fn(&mut Attach), "elsewhere"),
        case(Receiver, AtLeastOnce, elsewhere, "elsewhere"),
        case(Receiver, AtMostOnce, unsettled, "settles nothing"),
        case(Receiver, AtLeastOnce, settled, "settles as it sends"),
        case(Receiver, ExactlyOnce, settled, "settles as it sends"),
        case(Sender, ExactlyOnce, first, "settles first"),
        case(Receiver, ExactlyOnce, first, "settles first"),
        case(Sender, ExactlyOnce, forgets, "forgets"),
        case(Receiver, ExactlyOnce, forgets, "forgets"),
    ]
}

#[track_caller]
fn assert_told(error: &AttachError, case: &Case) {
    let right = match error {
        AttachError::OtherNode { asked, offered } => (asked.as_str(), offered.as_str()) == ("a", case.word),
        AttachError::GuaranteeUnavailable { asked, missing } => *asked == case.guarantee && missing.contains(case.word),
        _ => false,
    };
    assert!(right, "{error:?} for {:?} {} {}", case.role, case.guarantee, case.word);
}

/// A link that nothing is wrong with.
async fn good(session: &Session) -> Sender {
    soon(session.sender_with("a", named("good", Guarantee::AtLeastOnce))).await.unwrap()
}

#[tokio::test]
async fn an_answer_that_falls_short_is_refused() {
    for case in cases() {
        let script = move |listener: &_| {
            let mut peer = next_connection(listener);
            let theirs = take_attach(&mut peer);
            peer.send(answer(&theirs).with(case.change));
            while !matches!(peer.next().unwrap(), Frame::Amqp { performative: Performative::Detach(_), .. }) {}
            peer.send(detach().closed(true));
            let good = grant(&mut peer).handle.0;
            peer.take(transfer(0).handle(good));
            peer.send(accepted(0));
            peer.part();
        };
        let (connection, peer) = serve(script, |_| {}).await;
        let session = soon(connection.session()).await.unwrap();
        let options = named("bad", case.guarantee);
        let error = match case.role {
            Role::Sender => soon(session.sender_with("a", options)).await.map(drop),
            Role::Receiver => soon(session.receiver_with("a", options)).await.map(drop),
        };
        assert_told(&error.unwrap_err(), &case);
        // The session has not suffered.
        assert_eq!(soon(good(&session).await.send(&Message::from("fine"))).await, Ok(Outcome::Accepted));
        soon(connection.close()).await.unwrap();
        soon(peer).await.unwrap();
    }
}

#[tokio::test]
async fn another_node_is_taken_by_who_allows_it() {
    let script = |listener: &_| {
        for _ in 0..2 {
            let mut peer = next_connection(listener);
            let theirs = take_attach(&mut peer);
            peer.send(answer(&theirs).with(elsewhere));
            peer.send(flow().handle(0).link_credit(1));
            peer.take(transfer(0));
            peer.send(accepted(0));
        }
    };
    let (connection, peer) = serve(script, |_| {}).await;
    let session = soon(connection.session()).await.unwrap();
    let mut options = named("any", Guarantee::AtLeastOnce);
    options.any_node = true;
    let sender = soon(session.sender_with("a", options)).await.unwrap();
    assert_eq!(sender.address().as_deref(), Some("elsewhere"));
    // Over two connections.
    for _ in 0..2 {
        assert_eq!(soon(sender.send(&Message::from("fine"))).await, Ok(Outcome::Accepted));
    }
    soon(peer).await.unwrap();
}

#[tokio::test]
async fn a_link_that_falls_short_when_it_is_attached_again_is_over_alone() {
    for case in cases() {
        let script = move |listener: &_| {
            let mut peer = next_connection(listener);
            grant(&mut peer);
            grant(&mut peer);
            if case.role == Role::Sender {
                peer.take(transfer(0));
            }
            drop(peer);
            let mut peer = next_connection(listener);
            let theirs = take_attach(&mut peer);
            assert_eq!(&*theirs.name, "bad");
            peer.send(answer(&theirs).with(case.change));
            let handle = theirs.handle.0;
            if case.role == Role::Sender {
                // Nothing goes where it was not meant to, though there is credit.
                peer.send(
                    flow().handle(handle).delivery_count(theirs.initial_delivery_count.unwrap().0).link_credit(9),
                );
            }
            let good = take_attach(&mut peer);
            assert_eq!(&*good.name, "good");
            loop {
                match peer.next().expect("the link is detached") {
                    Frame::Amqp { performative: Performative::Detach(detach), .. } if detach.handle.0 == handle => {
                        break;
                    }
                    Frame::Amqp { performative: Performative::Transfer(transfer), .. } => {
                        panic!("{transfer:?} after {}", case.word)
                    }
                    _ => {}
                }
            }
            peer.send(detach().handle(handle).closed(true));
            peer.send(answer(&good));
            peer.send(flow().handle(good.handle.0).delivery_count(0).link_credit(9));
            peer.part_with_messages();
        };
        let (connection, peer) = serve(script, |_| {}).await;
        let mut events = connection.events();
        let session = soon(connection.session()).await.unwrap();
        let options = named("bad", case.guarantee);
        let told = match case.role {
            Role::Sender => {
                let sender = soon(session.sender_with("a", options)).await.unwrap();
                let good = good(&session).await;
                let under_way = soon(sender.submit_tracked(&Message::from("under way"))).await.unwrap();
                let Err(SendError::InDoubt(error)) = soon(under_way).await else { panic!("{}", case.word) };
                assert_eq!(sender.error(), Some(error.clone()));
                let doubts = sender.take_in_doubt();
                assert_eq!(doubts.len(), 1, "{}", case.word);
                assert_eq!(doubts[0].message().unwrap().unwrap().text(), Some("under way"));
                let refused = soon(sender.send(&Message::from("later"))).await;
                assert_eq!(refused, Err(SendError::NotSent(error.clone())));
                assert_eq!(soon(good.send(&Message::from("fine"))).await, Ok(Outcome::Accepted));
                error
            }
            Role::Receiver => {
                let mut receiver = soon(session.receiver_with("a", options)).await.unwrap();
                let good = good(&session).await;
                let Err(ReceiveError::Link(error)) = soon(receiver.receive()).await else { panic!("{}", case.word) };
                assert_eq!(receiver.error(), Some(error.clone()));
                assert_eq!(soon(good.send(&Message::from("fine"))).await, Ok(Outcome::Accepted));
                error
            }
        };
        let LinkError::Terms(terms) = &told else { panic!("{told:?}") };
        assert_told(terms, &case);
        assert_eq!(lost_link(&mut events).await, ("bad".to_owned(), told));
        soon(connection.close()).await.unwrap();
        soon(peer).await.unwrap();
    }
}

#[tokio::test]
async fn a_link_without_terminus_is_refused_with_the_reason_that_follows() {
    // The first time, and again.
    for first in [true, false] {
        let script = move |listener: &_| {
            let mut peer = next_connection(listener);
            if !first {
                grant(&mut peer);
                drop(peer);
                peer = next_connection(listener);
            }
            let theirs = take_attach(&mut peer);
            peer.send(answer(&theirs).with(|attach| (attach.source, attach.target) = (None, None)));
            peer.send(detach().closed(true).condition(ErrorCondition::NOT_FOUND));
            peer.part();
        };
        let (connection, peer) = serve(script, |_| {}).await;
        let session = soon(connection.session()).await.unwrap();
        let sender = soon(session.sender_with("a", named("bad", Guarantee::ExactlyOnce))).await;
        let error = match first {
            true => sender.unwrap_err(),
            false => AttachError::Link(soon(sender.unwrap().closed()).await),
        };
        assert!(matches!(error, AttachError::Link(LinkError::Detached(_))), "{error:?}");
        assert_eq!(error.peer_error().unwrap().condition, ErrorCondition::NOT_FOUND);
        assert_eq!(connection.error(), None);
        soon(connection.close()).await.unwrap();
        soon(peer).await.unwrap();
    }
}
