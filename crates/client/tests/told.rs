//! Outcomes that are told a batch at a time.

mod common;

use std::future::poll_fn;
use std::task::{Context, Waker};
use std::time::Duration;

use common::{connect_with, pair, pair_with};
use postroad_client::types::DeliveryTag;
use postroad_client::{LinkError, LinkOptions, Message, Node, Outcome, SendError, Sender, SenderNews, Ticket, Told};

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it comes")
}

async fn news(sender: &Sender, ticket: &mut Ticket) -> SenderNews {
    soon(poll_fn(|cx| sender.poll_news(ticket, cx))).await
}

#[tokio::test]
async fn outcomes_are_told_in_their_order_by_their_tags() {
    let (sender, mut receiver, _ends) = pair(3).await;
    let mut ticket = Ticket::default();
    let room = news(&sender, &mut ticket).await;
    assert_eq!((room.room, room.told.len(), room.over), (3, 0, None));
    let chosen = DeliveryTag::new(b"order 66").unwrap();
    let first = sender.try_submit_told(&Message::from("a"), None).unwrap();
    assert_eq!(sender.try_submit_told(&Message::from("b"), Some(chosen)), Ok(chosen));
    assert_eq!(sender.try_submit_told(&Message::from("b"), Some(chosen)), Err(SendError::TagInUse(chosen)));
    let third = sender.try_submit_told(&Message::from("c"), None).unwrap();
    assert_ne!(first, third);
    assert_eq!(sender.try_submit_told(&Message::from("d"), None), Err(SendError::NoCredit));
    assert_eq!(sender.unsettled(), 3);
    assert!(sender.poll_news(&mut ticket, &Context::from_waker(Waker::noop())).is_pending());

    let mut came = Vec::new();
    for _ in 0..3 {
        came.push(soon(receiver.receive()).await.unwrap());
    }
    assert_eq!(came[1].delivery_tag(), Some(chosen));
    receiver.release(&came[1]).unwrap();
    receiver.accept(&came[0]).unwrap();
    receiver.accept(&came[2]).unwrap();
    let mut told = Vec::new();
    while told.len() < 3 {
        told.extend(news(&sender, &mut ticket).await.told.into_iter().map(|told| (told.tag, told.result)));
    }
    assert_eq!(told, [(chosen, Ok(Outcome::Released)), (first, Ok(Outcome::Accepted)), (third, Ok(Outcome::Accepted))]);
    assert_eq!(sender.unsettled(), 0);
    // A tag that is settled may be used again.
    assert_eq!(sender.try_submit_told(&Message::from("d"), Some(chosen)), Ok(chosen));
}

#[tokio::test]
async fn a_link_that_ends_tells_what_is_in_doubt() {
    let (sender, mut receiver, _ends) = pair(10).await;
    let mut ticket = Ticket::default();
    news(&sender, &mut ticket).await;
    let tags = ["a", "b"].map(|text| sender.try_submit_told(&Message::from(text), None).unwrap());
    let message = soon(receiver.receive()).await.unwrap();
    assert_eq!(message.delivery_tag(), Some(tags[0]));
    let _ = soon(receiver.close()).await;
    let mut told = Vec::new();
    let over = loop {
        let news = news(&sender, &mut ticket).await;
        told.extend(news.told);
        if news.over.is_some() {
            break news.over;
        }
    };
    assert_eq!(over, Some(LinkError::DetachedByPeer));
    let expected = tags.map(|tag| (tag, Err(SendError::InDoubt(LinkError::DetachedByPeer))));
    assert_eq!(told.into_iter().map(|told| (told.tag, told.result)).collect::<Vec<_>>(), expected);
    let refused = sender.try_submit_told(&Message::from("c"), None);
    assert_eq!(refused, Err(SendError::NotSent(LinkError::DetachedByPeer)));
}

/// Waits until so many are told.
async fn told(sender: &Sender, ticket: &mut Ticket, count: usize) -> Vec<Told> {
    let mut told = Vec::new();
    while told.len() < count {
        told.extend(news(sender, ticket).await.told);
    }
    told
}

#[tokio::test]
async fn who_settles_by_hand_is_told_the_outcome_first() {
    let mut options = LinkOptions::default();
    options.prefetch = 10;
    let ends = connect_with(65_536).await;
    let session = ends.client.session().await.unwrap();
    let accepting = async { ends.server.next_link().await.unwrap().into_receiver(&options).unwrap() };
    let mut by_hand = LinkOptions::default();
    by_hand.auto_settle = false;
    let (sender, mut receiver) = tokio::join!(session.sender_with(Node::at("q"), by_hand), accepting);
    let (sender, mut ticket) = (sender.unwrap(), Ticket::default());
    news(&sender, &mut ticket).await;
    let tags = ["a", "b", "c"].map(|text| sender.try_submit_told(&Message::from(text), None).unwrap());
    let settler = receiver.settler();
    let (first, second, third) = (
        soon(receiver.receive()).await.unwrap(),
        soon(receiver.receive()).await.unwrap(),
        soon(receiver.receive()).await.unwrap(),
    );
    settler.update(&first, Outcome::Accepted).unwrap();
    settler.update(&second, Outcome::Released).unwrap();
    settler.accept(&third).unwrap();
    let told_first = told(&sender, &mut ticket, 3).await;
    let seen = told_first.iter().map(|told| (told.tag, told.settled, told.by_peer, told.before));
    let expected = [(tags[0], false, false, false), (tags[1], false, false, false), (tags[2], true, true, false)];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
    assert_eq!(told_first[1].result, Ok(Outcome::Released));
    assert_eq!(sender.unsettled(), 2);
    assert!(!settler.is_settled(&first));
    // We settle the first, the receiver the second.
    assert!(sender.settle(&tags[0]));
    assert!(!sender.settle(&tags[0]), "once is enough");
    settler.release(&second).unwrap();
    let told = told(&sender, &mut ticket, 1).await;
    let Told { tag, result, before, settled, by_peer, .. } = &told[0];
    assert_eq!((*tag, result, *before, *settled, *by_peer), (tags[1], &Ok(Outcome::Released), true, true, true));
    assert_eq!(sender.unsettled(), 0);
    tokio::time::timeout(Duration::from_secs(20), async {
        while !settler.is_settled(&first) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_message_goes_out_and_comes_in_part_by_part() {
    let mut in_parts = LinkOptions::default();
    (in_parts.prefetch, in_parts.in_parts) = (10, true);
    let (sender, receiver, _ends) = pair_with(in_parts, 512).await;
    let (mut ticket, receiver) = (Ticket::default(), receiver.into_shared());
    news(&sender, &mut ticket).await;
    let encoded = Message::from("x".repeat(1000).as_str()).encode();
    let open = sender.try_begin_told(None, &encoded.slice(..400)).unwrap();
    assert!(sender.can_append(&open));
    assert_eq!(sender.try_submit_told(&Message::from("behind"), None), Err(SendError::NoCredit), "it waits");
    let mut parts = Ticket::default();
    let part = soon(poll_fn(|cx| receiver.poll_part(&mut parts, cx))).await.unwrap();
    assert!(part.more && !part.aborted);
    assert_eq!(part.origin.delivery_tag(), open.tag());
    let mut came = part.payload.to_vec();
    sender.try_append(&open, &encoded.slice(400..), false).unwrap();
    assert!(!sender.can_append(&open));
    loop {
        let part = soon(poll_fn(|cx| receiver.poll_part(&mut parts, cx))).await.unwrap();
        came.extend_from_slice(&part.payload);
        if !part.more {
            receiver.session().settle_origin(part.origin, Outcome::Accepted).unwrap();
            break;
        }
    }
    assert_eq!(came, encoded);
    assert_eq!(told(&sender, &mut ticket, 1).await[0].tag, open.tag());

    // One that is given up leaves nothing behind.
    let open = sender.try_begin_told(None, &encoded.slice(..400)).unwrap();
    sender.abort_delivery(&open);
    let part = loop {
        let part = soon(poll_fn(|cx| receiver.poll_part(&mut parts, cx))).await.unwrap();
        if !part.more {
            break part;
        }
    };
    assert!(part.aborted);
    assert_eq!(sender.unsettled(), 0);
    assert!(sender.try_append(&open, &encoded, false).is_err());
    sender.try_submit_told(&Message::from("behind"), None).unwrap();
}

#[tokio::test]
async fn who_waits_in_the_middle_of_a_message_is_told_that_it_can_go_on() {
    let mut in_parts = LinkOptions::default();
    (in_parts.prefetch, in_parts.in_parts) = (1, true);
    let (sender, receiver, _ends) = pair_with(in_parts, 512).await;
    let (mut ticket, receiver) = (Ticket::default(), receiver.into_shared());
    news(&sender, &mut ticket).await;
    let part = bytes::Bytes::from(vec![7; 64 * 1024]);
    let open = sender.try_begin_told(None, &part).unwrap();
    let mut sent = part.len();
    while sender.try_append(&open, &part, true).is_ok() {
        sent += part.len();
    }
    assert!(!sender.can_append(&open));
    let (mut parts, mut came) = (Ticket::default(), 0);
    let reading = async {
        while came < sent {
            came += poll_fn(|cx| receiver.poll_part(&mut parts, cx)).await.unwrap().payload.len();
        }
    };
    let (news, ()) = soon(async { tokio::join!(poll_fn(|cx| sender.poll_news(&mut ticket, cx)), reading) }).await;
    assert!(news.writable && news.told.is_empty(), "{news:?}");
    assert!(sender.can_append(&open));
}

#[tokio::test]
async fn credit_that_comes_between_two_messages_is_told() {
    let (sender, mut receiver, _ends) = pair(0).await;
    let mut ticket = Ticket::default();
    receiver.set_credit(1);
    assert_eq!(news(&sender, &mut ticket).await.room, 1);
    sender.try_submit_told(&Message::from("a"), None).unwrap();
    soon(receiver.receive()).await.unwrap();
    receiver.set_credit(3);
    while sender.credit() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(news(&sender, &mut ticket).await.room, 3);
    assert!(sender.poll_news(&mut ticket, &Context::from_waker(Waker::noop())).is_pending());
}
