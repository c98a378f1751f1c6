//! Idle timeouts, and peers that stop answering.

use std::time::Duration;

use postroad_client::{ConnectError, Connection, ConnectionError, LinkError};
use postroad_tests::ours::{connect, options, run, soon};
use postroad_tests::process::Stopped;

const IDLE: Duration = Duration::from_secs(1);

#[test]
fn a_peer_that_gives_us_up_is_told_from_a_lost_connection() {
    let proton = proton!();
    let mut listener = proton.listen(&["--idle-timeout", "1"]).unwrap();
    // A runtime that nobody drives: we say nothing.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connection = runtime.block_on(connect(&listener.url())).unwrap();
    let error = listener.event("transport-error").unwrap();
    assert_eq!(error["condition"], "amqp:resource-limit-exceeded", "{error}");
    let error = runtime.block_on(soon(connection.close())).unwrap_err();
    let told = error.peer_error().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(told.condition.0, "amqp:resource-limit-exceeded");
}

#[test]
fn a_peer_that_never_answers_holds_up_no_call_for_ever() {
    let proton = proton!();
    run(async {
        let mut listener = proton.listen(&[]).unwrap();
        let mut options = options(&listener.url());
        options.connect_timeout = IDLE;
        options.close_timeout = IDLE;
        let connection = Connection::open(options.clone()).await.unwrap();
        let session = connection.session().await.unwrap();
        let mut short = postroad_client::LinkOptions::default();
        short.timeout = IDLE;
        let sender = session.sender_with("q", short.clone()).await.unwrap();
        let stopped = Stopped::stop(listener.process());
        // The system still takes connections for it.
        assert_eq!(soon(Connection::open(options)).await.unwrap_err(), ConnectError::Timeout(IDLE));
        let refused = soon(session.sender_with("q", short)).await.unwrap_err();
        assert_eq!(refused, LinkError::Timeout(IDLE).into());
        assert_eq!(soon(sender.close()).await, Err(LinkError::Timeout(IDLE)));
        assert_eq!(soon(connection.close()).await, Err(ConnectionError::CloseTimeout(IDLE)));
        drop(stopped);
        // It has lost nothing but us.
        soon(connect(&listener.url())).await.unwrap();
    });
}
