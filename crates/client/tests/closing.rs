//! Closing, on terms that are at the edge of what can be said.

mod common;

use std::time::Duration;

use common::accept_one;
use postroad_client::Connection;

#[tokio::test]
async fn a_close_may_wait_for_ever() {
    let (acceptor, mut options) = accept_one(65_536).await;
    options.close_timeout = Duration::MAX;
    let (client, _server) = tokio::join!(Connection::open(options), acceptor.accept());
    assert_eq!(client.unwrap().close().await, Ok(()));
}
