//! Links that a peer attaches.

mod common;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::connect;
use postroad_client::LinkOptions;

/// Nothing that should come takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_link_that_was_given_up_does_not_hide_the_next() {
    let ends = connect().await;
    let session = ends.client.session().await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), session.sender("first")).await.is_err());
    let attaching = tokio::spawn(async move { session.sender("second").await.map(drop) });
    pause().await;
    // Both have come: there is nothing to wait for.
    let Poll::Ready(link) = poll_once(ends.server.next_link()) else { panic!("a link waits to be taken") };
    let link = link.unwrap();
    assert_eq!(link.target_address(), Some("second"));
    let _receiver = link.into_receiver(&LinkOptions::default()).unwrap();
    soon(attaching).await.unwrap().unwrap();
}
