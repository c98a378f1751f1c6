//! Two runtimes, tasks that give up at any moment: afterwards the connection works, and nothing is left of the links.

mod common;

use std::time::{Duration, Instant};

use common::connect;
use postroad_client::{Connection, LinkOptions, Message, Outcome, Session};

const CHURN: Duration = Duration::from_millis(1500);

/// Gives up within half a millisecond, at a moment that `state` decides.
async fn briefly<T>(state: &mut u64, future: impl Future<Output = T>) -> Option<T> {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    tokio::time::timeout(Duration::from_micros((*state >> 33) % 500), future).await.ok()
}

async fn churn(session: Session, mut state: u64) {
    let end = Instant::now() + CHURN;
    let message = Message::from("churn");
    while Instant::now() < end {
        tokio::task::yield_now().await;
        briefly(&mut state, session.connection().session()).await;
        briefly(&mut state, session.sender("given-up")).await;
        let Ok(Ok(sender)) = tokio::time::timeout(Duration::from_secs(5), session.sender("q")).await else {
            panic!("the peer takes every link");
        };
        for _ in 0..8 {
            briefly(&mut state, sender.send(&message)).await;
            let _settlement = briefly(&mut state, sender.submit_tracked(&message)).await;
        }
        briefly(&mut state, sender.close()).await;
    }
}

/// Takes every link, accepts what comes on it, and asks for more in every way.
async fn serve(server: Connection) {
    let mut number = 0;
    while let Ok(link) = server.next_link().await {
        number += 1;
        let mut options = LinkOptions::default();
        options.prefetch = number % 4;
        let Ok(mut receiver) = link.into_receiver(&options) else { continue };
        tokio::spawn(async move {
            let mut state = u64::from(number);
            while receiver.error().is_none() {
                if let Some(Ok(Some(message))) = briefly(&mut state, receiver.fetch(Duration::ZERO)).await {
                    drop(receiver.accept(&message));
                }
                match tokio::time::timeout(Duration::from_millis(5), receiver.receive()).await {
                    Ok(Ok(message)) => drop(receiver.accept(&message)),
                    Ok(Err(_)) => return,
                    Err(_) => {}
                }
            }
        });
    }
}

#[test]
fn nothing_is_lost_or_left_when_tasks_give_up() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (clients, servers) = (runtime(), runtime());
    let ends = servers.block_on(connect());
    servers.spawn(serve(ends.server.clone()));
    clients.block_on(async {
        let session = ends.client.session().await.unwrap();
        let tasks: Vec<_> = (1..5).map(|seed| tokio::spawn(churn(session.clone(), seed))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let last = async { session.sender("q").await.unwrap().send(&Message::from("last")).await };
        let sent = tokio::time::timeout(Duration::from_secs(10), last).await.expect("it is taken");
        assert_eq!(sent, Ok(Outcome::Accepted));
        let left = || format!("{:#?}", ends.client).matches("LinkEntry {").count();
        let forgotten = async {
            while left() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(10), forgotten).await.is_ok(), "{} links are left", left());
        assert_eq!(ends.client.error(), None);
    });
}
