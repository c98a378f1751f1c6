//! `SetupTests` and `ConnectionTests` of `qpid.tests.messaging.endpoints`.

use super::*;

pub(super) async fn test_establish(base: Base) {
    let conn = soon(Connection::establish(&base.broker.url())).await.unwrap();
    ping(&base, &soon(conn.session()).await.unwrap()).await.unwrap();
}

pub(super) async fn test_open(base: Base) {
    let conn = soon(Connection::new(&base.broker.url()).unwrap().open()).await.unwrap();
    ping(&base, &soon(conn.session()).await.unwrap()).await.unwrap();
}

pub(super) async fn test_open_reconnect_urls(base: Base) {
    let url = base.broker.url();
    let others = [url.parse().unwrap(), url.parse().unwrap()];
    let conn = soon(Connection::new(&url).unwrap().reconnect_urls(others).open()).await.unwrap();
    ping(&base, &soon(conn.session()).await.unwrap()).await.unwrap();
}

pub(super) async fn test_session_anon(base: Base) {
    let (ssn1, ssn2) = (base.conn.session().await.unwrap(), base.conn.session().await.unwrap());
    ping(&base, &ssn1).await.unwrap();
    ping(&base, &ssn2).await.unwrap();
    assert!(!ssn1.is_same(&ssn2));
}

pub(super) async fn test_session_named(base: Base) {
    let named = |name: &'static str| async { soon(base.conn.session_named(name)).await.unwrap() };
    let (ssn1, ssn2) = (named("one").await, named("two").await);
    ping(&base, &ssn1).await.unwrap();
    ping(&base, &ssn2).await.unwrap();
    assert!(!ssn1.is_same(&ssn2));
    assert!(ssn1.is_same(&named("one").await) && ssn2.is_same(&named("two").await));
}

pub(super) async fn test_detach(base: Base) {
    ping(&base, &base.ssn).await.unwrap();
    let address = (base.broker.queue)("face-before-and-after");
    let (snd, rcv) = (base.ssn.sender(&address).await.unwrap(), base.ssn.receiver(&address).await.unwrap());
    soon(base.conn.detach()).await.unwrap();
    assert!(!base.conn.is_attached());
    // Nothing can come, and nothing is asked of the broker.
    assert_eq!(rcv.fetch_timeout(NOW).await.unwrap_err(), FetchError::Empty);
    soon(base.conn.attach()).await.unwrap();
    ping(&base, &base.ssn).await.unwrap();
    // And what was there before goes on; the example broker still waits for the receiver of the first connection.
    soon(snd.send("again")).await.unwrap();
    if base.broker.one_at_a_time {
        return;
    }
    assert_eq!(drain_texts(&rcv, 1).await, ["again"]);
}

pub(super) async fn test_close(base: Base) {
    soon(base.conn.close()).await.unwrap();
    assert!(!base.conn.is_attached());
}

pub(super) async fn test_simultaneous_close(base: Base) {
    let address = base.queue_with("create: always");
    let mut kept = Vec::new();
    for _ in 0..3 {
        let ssn = base.conn.session().await.unwrap();
        for _ in 0..3 {
            kept.push((soon(ssn.receiver(&address)).await.unwrap(), soon(ssn.sender(&address)).await.unwrap()));
        }
    }
    let (one, other) = soon(async { tokio::join!(base.conn.close(), base.conn.close()) }).await;
    one.unwrap();
    other.unwrap();
}
