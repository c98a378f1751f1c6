//! Handlers that listen: each is one of the patterns of a Proton server. What a link is for is in the address of its node.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use postroad_client::types::{ErrorCondition, PeerError, Symbol};
use postroad_container::client::LocalEndpoint;
use postroad_container::{
    AcceptOptions, Container, Delivery, Event, Handler, Link, Message, Node, Receiver, Sender, Settings,
};
use postroad_tests::ours::soon;

use super::handlers::{LATER, Log, Watcher, answer, by_hand, number, numbered};

/// A container that listens, until it is stopped.
pub(crate) struct Serving {
    pub(crate) port: u16,
    pub(crate) url: String,
    container: Container,
    run: tokio::task::JoinHandle<()>,
}

pub(crate) fn on_loopback() -> AcceptOptions {
    AcceptOptions::new(LocalEndpoint::host("127.0.0.1").port(0))
}

/// Listens; what connections, sessions and links go through is noted beside the handler.
pub(crate) async fn serve(handler: impl Handler + 'static, options: AcceptOptions, log: &Log) -> Serving {
    let both = [Box::new(handler) as Box<dyn Handler>, Box::new(Watcher(log.clone()))];
    let container = Container::with_handlers("postroad-face", both);
    container.listen_with(options);
    let running = container.clone();
    let run = tokio::spawn(async move { running.run().await.unwrap() });
    log.wait("listening", 1).await;
    let port = log.of("listening")[0].rsplit(':').next().unwrap().parse().unwrap();
    Serving { port, url: format!("amqp://127.0.0.1:{port}"), container, run }
}

impl Serving {
    pub(crate) async fn stop(self) {
        self.container.stop();
        soon(self.run).await.unwrap();
    }
}

fn at_our_end(link: &Link) -> String {
    let node = if link.is_sender() { link.remote_source() } else { link.remote_target() };
    node.and_then(|node| node.address).unwrap_or_default()
}

pub(crate) fn error(condition: &'static str) -> PeerError {
    PeerError::new(ErrorCondition(Symbol::from_static(condition)), "as the address asks")
}

/// Takes numbers, and does with each what the address of its node says; gives numbers from `numbers/N`; answers what comes to
/// `serve` in capital letters.
pub(crate) struct Server {
    log: Log,
    /// Whether connections and sessions are refused.
    refuses: [bool; 2],
    sent: HashMap<String, u32>,
    /// Who waits for answers, by the addresses that were made for them, and answers that wait for credit.
    replies: HashMap<String, (Sender, VecDeque<Message>)>,
}

impl Server {
    pub(crate) fn new(log: &Log) -> Self {
        Self::refusing(log, [false; 2])
    }

    /// One that refuses connections, or sessions.
    pub(crate) fn refusing(log: &Log, refuses: [bool; 2]) -> Self {
        Self { log: log.clone(), refuses, sent: HashMap::new(), replies: HashMap::new() }
    }

    fn send_replies(&mut self) {
        for (sender, replies) in self.replies.values_mut() {
            while let (Some(reply), 1..) = (replies.front(), sender.credit()) {
                sender.send(reply).unwrap();
                replies.pop_front();
            }
        }
    }
}

impl Handler for Server {
    fn on_connection_opening(&mut self, event: &mut Event<'_>) {
        let user = event.connection().unwrap().transport().and_then(|transport| transport.user());
        self.log.note(format!("user {}", user.map_or_else(String::new, |user| user.name)));
        if self.refuses[0] {
            event.opening().unwrap().refuse(error("x:no-connections"));
        }
    }

    fn on_session_opening(&mut self, event: &mut Event<'_>) {
        if self.refuses[1] {
            event.opening().unwrap().refuse(error("x:no-sessions"));
        }
    }

    fn on_link_opening(&mut self, event: &mut Event<'_>) {
        let link = event.link().unwrap().clone();
        let address = at_our_end(&link);
        match link.as_sender() {
            Some(sender) if sender.remote_source().is_some_and(|source| source.dynamic) => {
                let address = format!("made-{}", self.replies.len());
                self.replies.insert(address.clone(), (sender.clone(), VecDeque::new()));
                event.opening().unwrap().set_source(Node { dynamic: true, ..Node::at(address) });
            }
            _ if address == "refuse" => event.opening().unwrap().refuse(error("amqp:not-found")),
            _ => {}
        }
        let asked = match &link {
            Link::Sender(sender) => sender.guarantee(),
            Link::Receiver(receiver) => receiver.guarantee(),
        };
        self.log.note(format!("asks for {asked}"));
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        self.send_replies();
        let sender = event.sender().unwrap();
        let address = at_our_end(event.link().unwrap());
        let total = address.strip_prefix("numbers/").map_or(0, |total| total.parse().unwrap());
        let sent = self.sent.entry(sender.name().to_owned()).or_default();
        while *sent < total && sender.credit() > 0 {
            sender.send(numbered(*sent)).unwrap();
            *sent += 1;
        }
        if sender.is_draining() {
            self.log.note(format!("draining, credit {}", sender.credit()));
        }
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        let address = at_our_end(event.link().unwrap());
        if address == "serve" {
            let (reply_to, reply) = answer(event.message().unwrap());
            self.replies.get_mut(&reply_to).expect("it was made").1.push_back(reply);
            return self.send_replies();
        }
        let delivery = event.delivery().unwrap();
        let settled = if delivery.is_settled() { " settled" } else { "" };
        self.log.note(format!("message {}{settled}", number(event)));
        match address.as_str() {
            "reject" => delivery.reject(Some(error("x:bad"))).unwrap(),
            "release" => delivery.release(false).unwrap(),
            "modify" => delivery.modify(true, true, None).unwrap(),
            "detach" => delivery.link().close_with(error("x:detached")),
            "end" => delivery.session().close_with(error("x:ended")),
            "close" => delivery.connection().close_with(error("x:closed")),
            _ => {}
        }
    }

    fn on_accepted(&mut self, _: &mut Event<'_>) {
        self.log.note("accepted");
    }

    fn on_rejected(&mut self, _: &mut Event<'_>) {
        self.log.note("rejected");
    }

    fn on_released(&mut self, _: &mut Event<'_>) {
        self.log.note("released");
    }

    fn on_modified(&mut self, _: &mut Event<'_>) {
        self.log.note("modified");
    }

    fn on_settled(&mut self, _: &mut Event<'_>) {
        self.log.note("settled");
    }
}

/// Keeps what has come, and accepts it some time later.
pub(crate) struct ServesLater {
    pub(crate) log: Log,
    pub(crate) kept: Vec<Delivery>,
}

impl Handler for ServesLater {
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.auto_accept = false;
        settings
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        self.kept.push(event.delivery().unwrap());
        event.container().schedule(LATER);
    }

    fn on_timer_task(&mut self, _: &mut Event<'_>) {
        let delivery = self.kept.remove(0);
        delivery.accept().unwrap();
        assert!(delivery.is_settled());
        self.log.note("accepted later");
    }
}

/// Sends, and settles some time after the receiver has told the outcome.
pub(crate) struct SendsAndSettlesLater {
    pub(crate) log: Log,
    pub(crate) sent: u32,
    pub(crate) kept: Vec<Delivery>,
}

impl Handler for SendsAndSettlesLater {
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.auto_settle = false;
        settings
    }

    fn on_sendable(&mut self, event: &mut Event<'_>) {
        while self.sent < 3 && event.sender().unwrap().credit() > 0 {
            event.sender().unwrap().send(numbered(self.sent)).unwrap();
            self.sent += 1;
        }
    }

    fn on_accepted(&mut self, event: &mut Event<'_>) {
        let delivery = event.delivery().unwrap();
        self.log.note(format!("accepted, settled {}", delivery.is_settled()));
        self.kept.push(delivery);
        event.container().schedule(LATER / 3);
    }

    fn on_timer_task(&mut self, _: &mut Event<'_>) {
        self.kept.remove(0).settle().unwrap();
        self.log.note("settled later");
    }
}

/// Allows messages by hand, one step after the other.
pub(crate) struct ServesByHand {
    pub(crate) log: Log,
    /// The last first.
    pub(crate) steps: Vec<u32>,
    pub(crate) allowed: usize,
    pub(crate) receiver: Option<Receiver>,
}

impl Handler for ServesByHand {
    fn settings(&self) -> Settings {
        by_hand()
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        self.receiver = event.receiver().cloned();
        event.container().schedule(LATER);
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        self.log.note("message");
        if self.log.of("message").len() == self.allowed {
            event.container().schedule(LATER);
        }
    }

    fn on_timer_task(&mut self, _: &mut Event<'_>) {
        self.log.note(format!("came {}", self.log.of("message").len()));
        let Some(messages) = self.steps.pop() else { return };
        self.allowed += messages as usize;
        self.receiver.as_ref().unwrap().flow(messages);
    }
}

/// Asks a client for more than it has, and for what is left of its credit; accepts behind that.
pub(crate) struct ServesAndDrains {
    pub(crate) log: Log,
    pub(crate) kept: Vec<Delivery>,
}

impl Handler for ServesAndDrains {
    fn settings(&self) -> Settings {
        let mut settings = by_hand();
        settings.auto_accept = false;
        settings
    }

    fn on_link_opened(&mut self, event: &mut Event<'_>) {
        event.receiver().unwrap().drain(10);
    }

    fn on_message(&mut self, event: &mut Event<'_>) {
        self.kept.push(event.delivery().unwrap());
        if self.kept.len() == 3 {
            event.container().schedule(Duration::from_millis(10));
        }
    }

    fn on_timer_task(&mut self, event: &mut Event<'_>) {
        let receiver = self.kept[0].receiver().unwrap().clone();
        if receiver.is_draining() {
            event.container().schedule(Duration::from_millis(10));
            return;
        }
        self.log.note(format!("drained, credit {}", receiver.credit()));
        self.kept.drain(..).for_each(|delivery| delivery.accept().unwrap());
    }
}

/// A message of the typed form with a number.
pub(crate) fn typed_number(number: u32) -> serde_json::Value {
    postroad_tests::ours::typed_form(&numbered(number))
}

/// A question of the typed form.
pub(crate) fn typed_text(text: &str) -> serde_json::Value {
    postroad_tests::ours::typed_form(&Message::from(postroad_client::types::Value::from(text)))
}
