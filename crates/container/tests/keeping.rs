//! Links of a server that outlive their connections: exactly once in both directions, over many cuts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postroad_container::client::{ExpiredLink, KeepLinks, LocalEndpoint};
use postroad_container::{
    AcceptOptions, ConnectOptions, Container, DeliveryTag, Event, Handler, LinkOptions, Message, Reconnect,
};
use postroad_testkit::Proxy;
use postroad_testkit::faults::Plan;

const MESSAGES: u64 = 400;

/// What an end has seen.
#[derive(Debug, Default)]
struct Seen {
    /// How often each message has come.
    came: BTreeMap<u64, usize>,
    sent: u64,
    /// Those that have no outcome.
    open: BTreeMap<DeliveryTag, u64>,
    accepted: u64,
    resumed: usize,
    expired: Vec<ExpiredLink>,
}

/// Takes what comes on links that come, and sends on those that ask for it. Either end is one.
struct Both {
    /// Where to connect; a server is connected to.
    url: Option<String>,
    seen: Arc<Mutex<Seen>>,
    peer: Arc<Mutex<Seen>>,
}

impl Both {
    /// Closes once everything has come and has its outcome, at both ends.
    fn end(&self, event: &Event<'_>) {
        let done = |seen: &Seen| seen.came.len() as u64 == MESSAGES && seen.accepted == MESSAGES;
        let mine = done(&self.seen.lock().unwrap());
        if self.url.is_some() && mine && done(&self.peer.lock().unwrap()) {
            event.container().stop();
        }
    }
}

impl Handler for Both {
    fn on_start(&mut self, event: &mut Event<'_>) {
        let Some(url) = &self.url else { return };
        let mut options = ConnectOptions::new(url.parse().unwrap());
        let mut reconnect = Reconnect::default();
        (reconnect.interval, reconnect.max_interval) = (Duration::from_millis(1), Duration::from_millis(5));
        options.reconnect = Some(reconnect);
        let connection = event.container().connect_with(options);
        connection.create_sender_with(LinkOptions::new().target("q").name("to").exactly_once());
        connection.create_receiver_with(LinkOptions::new().source("q").name("from").exactly_once());
        event.container().schedule(Duration::from_millis(5));
    }

    fn on_timer_task(&mut self, event: &mut Event<'_>) {
        event.container().schedule(Duration::from_millis(5));
        self.end(event);
    }

    fn on_link_opening(&mut self, event: &mut Event<'_>) {
        let known = event.opening().unwrap().known().is_some();
        self.seen.lock().unwrap().resumed += usize::from(known);
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        let sender = event.sender().unwrap();
        let mut seen = self.seen.lock().unwrap();
        // Few at once, so that there is something to cut.
        while sender.credit() > 0 && seen.sent < MESSAGES && seen.open.len() < 20 {
            let Ok(delivery) = sender.send(Message::from("x").with_id(seen.sent)) else { break };
            let number = seen.sent;
            assert!(seen.open.insert(delivery.tag(), number).is_none(), "a tag is used once");
            seen.sent += 1;
        }
    }

    fn on_accepted(&mut self, event: &mut Event<'_>) {
        let tag = event.delivery().unwrap().tag();
        {
            let mut seen = self.seen.lock().unwrap();
            seen.open.remove(&tag).expect("it was sent, and has one outcome");
            seen.accepted += 1;
        }
        self.on_sendable(event);
    }

    fn on_in_doubt(&mut self, event: &mut Event<'_>) {
        panic!("{:?}", event.error());
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        let Some(postroad_container::types::MessageId::Ulong(number)) = event.message().unwrap().id().cloned() else {
            panic!("it has a number")
        };
        *self.seen.lock().unwrap().came.entry(number).or_default() += 1;
        std::thread::sleep(Duration::from_micros(200));
    }

    fn on_link_expired(&mut self, event: &mut Event<'_>) {
        self.seen.lock().unwrap().expired.push(event.expired_link().unwrap().clone());
    }
}

/// Tells where the door is.
struct Doorman(Option<tokio::sync::oneshot::Sender<std::net::SocketAddr>>);

impl Handler for Doorman {
    fn on_listening(&mut self, event: &mut Event<'_>) {
        let address = event.acceptor().unwrap().local_endpoint().unwrap().ip().unwrap();
        self.0.take().unwrap().send(address).unwrap();
    }
}

/// On several threads: a connection is cut in the middle of what a handler does.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn both_ends_agree_on_every_message_over_many_cuts() {
    for seed in 1..=4 {
        let (server, client) = (Arc::<Mutex<Seen>>::default(), Arc::<Mutex<Seen>>::default());
        let mut options = AcceptOptions::new(LocalEndpoint::host("127.0.0.1").port(0));
        options.keep_links = Some(KeepLinks::default());
        let (tell, address) = tokio::sync::oneshot::channel();
        let container = Container::new(Doorman(Some(tell)));
        container.listen_for(options, Both { url: None, seen: server.clone(), peer: client.clone() });
        let running = container.clone();
        let run = tokio::spawn(async move { running.run().await });
        let proxy = Proxy::start(address.await.unwrap(), Plan::new(seed).cuts_every(2500)).await.unwrap();
        let url = Some(format!("amqp://{}", proxy.addr()));
        let ours = Container::new(Both { url, seen: client.clone(), peer: server.clone() });
        let ended = tokio::time::timeout(Duration::from_secs(30), ours.run()).await;
        let sight = || {
            let mut both = [server.lock().unwrap(), client.lock().unwrap()];
            let sights =
                both.each_mut().map(|seen| (seen.came.len(), seen.sent, seen.accepted, seen.open.len(), seen.resumed));
            format!("seed {seed}: {sights:?}, {:?}", proxy.stats())
        };
        ended.unwrap_or_else(|_| panic!("it hangs at {}", sight())).unwrap();
        container.stop();
        run.await.unwrap().unwrap();
        assert!(proxy.stats().cuts > 3 && server.lock().unwrap().resumed > 3, "{}", sight());
        for seen in [&server, &client] {
            let seen = seen.lock().unwrap();
            assert!(seen.came.values().all(|times| *times == 1), "seed {seed}: {:?}", seen.came);
            assert!(seen.expired.is_empty() && seen.open.is_empty());
        }
    }
}
