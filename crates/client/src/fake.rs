//! A protocol that is none: it writes down what it is asked to do, and tells what a test has it tell. With it the
//! connection is shown to need nothing but the seam.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::protocol::{
    Answer, Delivery, DeliveryNumber, DeliveryTag, How, LimitError, LinkId, MessageFormat, News, Outgoing, Own, Peer,
    Protocol, Query, Refusal, Remote, Role, SessionId, Suspended, Take, To, TransactionId, Transmit, Unsettled, Wire,
};
use crate::types::{DecodeError, PeerError};
use crate::{Message, Node, Origin, Outcome};

/// An engine, and the test's hold on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) container: &'static str,
    pub(crate) news: VecDeque<News>,
    pub(crate) links: HashMap<LinkId, Link>,
    pub(crate) questions: Vec<(Query, u64)>,
    made: u32,
}

/// A link, as far as it matters here.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) node: Option<Node>,
    pub(crate) how: &'static str,
    pub(crate) credit: u32,
    /// What was sent, with its token.
    pub(crate) sent: Vec<(String, u64)>,
    pub(crate) queue: VecDeque<Delivery>,
    pub(crate) told: Vec<(u32, Outcome)>,
}

impl Fake {
    pub(crate) fn new(container: &'static str) -> Self {
        let fake = Self::default();
        fake.lock().container = container;
        fake
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// The engine for a connection.
    pub(crate) fn engine(&self) -> Box<dyn Protocol> {
        Box::new(self.clone())
    }

    /// The one link of a role.
    pub(crate) fn link(&self, role: Role) -> LinkId {
        *self.lock().links.iter().find(|(_, link)| link.role == role).expect("there is one").0
    }
}

impl Inner {
    pub(crate) fn at(&mut self, link: LinkId) -> &mut Link {
        self.links.get_mut(&link).expect("there is such a link")
    }
}

fn encode<'a>(message: &'a Message, out: &mut Vec<u8>) -> Option<&'a Bytes> {
    out.extend_from_slice(message.text().unwrap_or_default().as_bytes());
    None
}

#[allow(clippy::needless_pass_by_value, reason = "the seam wants it so")]
fn read(message: &mut Message, payload: Bytes, _: MessageFormat, origin: Origin) -> Result<(), DecodeError> {
    *message = Message::from(std::str::from_utf8(&payload).expect("text was sent"));
    message.came_from(origin);
    Ok(())
}

impl Protocol for Fake {
    fn wire(&self) -> Wire {
        Wire { encode, read }
    }

    fn handle_input(&mut self, _: Instant, input: &mut BytesMut) {
        input.clear();
    }

    fn handle_eof(&mut self) {}

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_transmit(&mut self, _: Instant, _: &mut Transmit) {}

    fn has_output(&self) -> bool {
        false
    }

    fn poll_news(&mut self) -> Option<News> {
        self.lock().news.pop_front()
    }

    fn is_over(&self) -> bool {
        false
    }

    fn own(&self) -> Own {
        Own { container: "ours".into(), host: None }
    }

    fn peer(&self) -> Option<Peer> {
        Some(Peer { container: self.lock().container.into(), ..Peer::default() })
    }

    fn close(&mut self, _: Option<PeerError>) {}

    fn is_closing(&self) -> bool {
        false
    }

    fn begin(&mut self) -> Result<SessionId, LimitError> {
        let mut inner = self.lock();
        inner.made += 1;
        let session = SessionId::new(inner.made, 0);
        inner.news.push_back(News::SessionBegun(session));
        Ok(session)
    }

    fn end(&mut self, _: SessionId, _: Option<PeerError>) {}

    fn end_all(&mut self) {}

    fn has_sessions(&self) -> bool {
        false
    }

    fn attach(&mut self, _: SessionId, name: &str, to: To<'_>, how: How<'_>) -> Result<LinkId, LimitError> {
        let mut inner = self.lock();
        inner.made += 1;
        let id = LinkId::new(inner.made, 0);
        let (role, node) = match to {
            To::Node { role, node, .. } => (role, Some(node.clone())),
            To::Coordinator => (Role::Sender, None),
        };
        let (how, again) = match how {
            How::Anew => ("anew", Vec::new()),
            How::Restart(suspended) | How::Resume(suspended) => {
                let sent = suspended.state.downcast_ref::<Vec<(String, u64)>>().expect("it is ours").clone();
                suspended.unsettled.clear();
                ("again", sent)
            }
        };
        let (name, queue) = (name.to_owned(), VecDeque::new());
        inner.links.insert(id, Link { name, role, node, how, credit: 0, sent: again, queue, told: Vec::new() });
        inner.news.push_back(News::LinkAttached(id));
        if how == "again" {
            inner.news.push_back(News::Resumed { link: id, complete: true, remembered: false });
        }
        Ok(id)
    }

    fn accept(&mut self, _: LinkId, _: &Answer<'_>) -> Result<(), LimitError> {
        Err(LimitError::Ended)
    }

    fn accept_resumed(&mut self, _: LinkId, _: &Answer<'_>, _: &mut Suspended) -> Result<(), LimitError> {
        Err(LimitError::Ended)
    }

    fn retain_told(&self, _: &mut Suspended) {}

    fn refuse(&mut self, _: LinkId, _: PeerError) {}

    fn proceed(&mut self, _: LinkId) {}

    fn detach(&mut self, _: LinkId, _: Option<PeerError>) {}

    fn answer_detach(&mut self, _: LinkId) {}

    fn detach_for_now(&mut self, _: LinkId, _: Option<PeerError>) {}

    fn map_capacity(&self, _: LinkId) -> usize {
        usize::MAX
    }

    fn is_round_over(&self, _: LinkId) -> bool {
        false
    }

    fn release(&mut self, link: LinkId, take: Take) -> (Option<Suspended>, VecDeque<Delivery>) {
        let Some(link) = self.lock().links.remove(&link) else { return (None, VecDeque::new()) };
        let unsettled = link.sent.iter().map(|(text, token)| Unsettled {
            tag: DeliveryTag::from(*token),
            number: DeliveryNumber(0),
            token: *token,
            taken: false,
            message: Some(text.clone().into()),
        });
        let suspended =
            Suspended { role: link.role, unsettled: unsettled.collect(), state: Box::new(link.sent.clone()) };
        (Some(suspended), if take == Take::All { link.queue } else { VecDeque::new() })
    }

    fn session_of(&self, _: LinkId) -> Option<SessionId> {
        None
    }

    fn has_link(&self, link: LinkId) -> bool {
        self.lock().links.contains_key(&link)
    }

    fn receives(&self, link: LinkId) -> bool {
        self.lock().at(link).role == Role::Receiver
    }

    fn is_attached(&self, link: LinkId) -> bool {
        self.has_link(link)
    }

    fn own_nodes(&self, _: LinkId) -> (Option<Node>, Option<Node>) {
        (None, None)
    }

    fn remote(&self, link: LinkId) -> Option<Remote> {
        let inner = self.lock();
        let Link { name, role, node, .. } = inner.links.get(&link)?;
        Some(Remote {
            name: name.clone(),
            role: *role,
            settled: false,
            unsettled: true,
            second: false,
            remembers: false,
            source: node.clone(),
            target: node.clone(),
            coordinator: None,
            coordinates: false,
            properties: None,
            offers: Vec::new(),
            desires: Vec::new(),
            max_message_size: 0,
            has_map: false,
        })
    }

    fn send(&mut self, link: LinkId, message: &Outgoing<'_>) -> Result<DeliveryNumber, Refusal> {
        let mut inner = self.lock();
        let link = inner.at(link);
        link.credit = link.credit.checked_sub(1).ok_or(Refusal::Blocked)?;
        link.sent.push((String::from_utf8_lossy(message.encoded).into_owned(), message.token));
        Ok(DeliveryNumber(0))
    }

    fn settle_sent(&mut self, _: LinkId, _: &DeliveryTag) -> Option<u64> {
        None
    }

    fn has_unsettled(&mut self, _: LinkId, _: &DeliveryTag) -> bool {
        false
    }

    fn append(&mut self, _: LinkId, _: DeliveryNumber, _: &Bytes, _: bool) -> Result<(), Refusal> {
        Err(Refusal::Detached)
    }

    fn can_append(&mut self, _: LinkId) -> bool {
        false
    }

    fn abort(&mut self, _: LinkId, _: DeliveryNumber) {}

    fn capacity(&mut self, link: LinkId) -> u32 {
        self.lock().at(link).credit
    }

    fn credit(&mut self, link: LinkId) -> u32 {
        self.capacity(link)
    }

    fn kept_bytes(&mut self, _: LinkId) -> usize {
        0
    }

    fn has_rest(&mut self, _: LinkId) -> bool {
        false
    }

    fn offer(&mut self, _: LinkId, _: u32) {}

    fn is_asked_to_drain(&mut self, _: LinkId) -> bool {
        false
    }

    fn give_up_credit(&mut self, _: LinkId) {}

    fn queued(&mut self, link: LinkId) -> usize {
        self.lock().at(link).queue.len()
    }

    fn take_all(&mut self, link: LinkId, deliveries: &mut VecDeque<Delivery>) {
        deliveries.append(&mut self.lock().at(link).queue);
    }

    fn granted(&mut self, link: LinkId) -> u32 {
        self.lock().at(link).credit
    }

    fn grant(&mut self, link: LinkId, credit: u32) {
        self.lock().at(link).credit = credit;
    }

    fn ask_flow(&mut self, link: LinkId) {
        self.lock().news.push_back(News::Flow(link));
    }

    fn set_overdraft(&mut self, _: LinkId, _: u32) {}

    fn drain(&mut self, _: LinkId) {}

    fn stop_draining(&mut self, _: LinkId) {}

    fn is_draining(&mut self, _: LinkId) -> bool {
        false
    }

    fn available(&mut self, _: LinkId) -> u32 {
        0
    }

    fn update(&mut self, _: LinkId, _: DeliveryNumber, _: Outcome) {}

    fn states(&mut self, _: LinkId, _: DeliveryNumber) -> Option<(Option<Outcome>, Option<Outcome>)> {
        None
    }

    fn settle(&mut self, link: LinkId, delivery: DeliveryNumber, outcome: Outcome) {
        self.lock().at(link).told.push((delivery.0, outcome));
    }

    fn declare(&self) -> Bytes {
        Bytes::new()
    }

    fn discharge(&self, _: &TransactionId, _: bool) -> Bytes {
        Bytes::new()
    }

    fn retire(&mut self, _: LinkId, _: DeliveryNumber, _: Outcome, _: &TransactionId) {}

    fn flush(&mut self) {}

    fn ask(&mut self, _: SessionId, query: &Query, token: u64) -> Result<(), LimitError> {
        self.lock().questions.push((query.clone(), token));
        Ok(())
    }
}

mod tests {
    use std::future::Future;
    use std::io;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::*;
    use crate::connection::Inner;
    use crate::state::Shared;
    use crate::{Connection, ConnectionError, LinkError, Receiver, SendError, Sender, Session};

    /// A connection over a fake, open, that is made anew when it is lost.
    fn connection(fake: &Fake) -> Connection {
        let shared = Shared::new(fake.engine());
        shared.with(|state| (state.opened, state.reconnects) = (true, true));
        Connection { inner: Arc::new(Inner { shared, close_timeout: Duration::ZERO, origin: None }) }
    }

    /// Takes in what the fake has to tell.
    fn tell(connection: &Connection, fake: &Fake, news: impl IntoIterator<Item = News>) {
        fake.lock().news.extend(news);
        connection.inner.shared.turn(|state| state.take_news());
    }

    /// What a future is ready with, once the fake has told everything.
    fn now<T>(connection: &Connection, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..10 {
            if let Poll::Ready(result) = future.as_mut().poll(&mut cx) {
                return result;
            }
            connection.inner.shared.turn(|state| state.take_news());
        }
        panic!("it waits");
    }

    fn link_ends(connection: &Connection) -> (Session, Sender, Receiver) {
        let session = now(connection, connection.session()).unwrap();
        let sender = now(connection, session.sender("there")).unwrap();
        let receiver = now(connection, session.receiver("there")).unwrap();
        (session, sender, receiver)
    }

    fn lose(connection: &Connection, next: &Fake) {
        connection.inner.shared.turn(|state| {
            state.lose(ConnectionError::Transport(io::ErrorKind::ConnectionReset));
            let candidate = Shared::new(next.engine());
            state.adopt(&mut candidate.lock(), "next".into()).expect("it was lost");
        });
    }

    #[tokio::test]
    async fn links_need_nothing_but_the_seam() {
        let fake = Fake::new("peer");
        let connection = connection(&fake);
        let (session, sender, mut receiver) = link_ends(&connection);
        let (out, back) = (fake.link(Role::Sender), fake.link(Role::Receiver));
        assert_eq!(sender.try_submit(&Message::from("early")), Err(SendError::NoCredit));
        fake.lock().at(out).credit = 5;
        let settlement = now(&connection, sender.submit_tracked(&Message::from("hello"))).unwrap();
        let (text, token) = fake.lock().at(out).sent[0].clone();
        assert_eq!(text, "hello", "as the protocol writes it");
        tell(&connection, &fake, [News::Settled { link: out, token, outcome: Some(Outcome::Released), by_peer: true }]);
        assert_eq!(now(&connection, settlement), Ok(Outcome::Released));

        let delivery = Delivery::new(DeliveryNumber(7), DeliveryTag::from(1), Bytes::from_static(b"back"));
        fake.lock().at(back).queue.push_back(delivery);
        tell(&connection, &fake, [News::Ready(back)]);
        let message = now(&connection, receiver.receive()).unwrap();
        assert_eq!(message.text(), Some("back"));
        receiver.accept(&message).unwrap();
        assert_eq!(fake.lock().at(back).told, [(7, Outcome::Accepted)]);

        let mut asking = pin!(session.query("node"));
        assert!(asking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let (query, token) = fake.lock().questions.pop().unwrap();
        assert_eq!(query, Query::Node("node".into()));
        tell(&connection, &fake, [News::Answer { token, answer: Ok(Some(Node::at("node"))) }]);
        assert_eq!(now(&connection, asking), Ok(Some(Node::at("node"))));

        let error = LinkError::Detached(PeerError::default());
        tell(&connection, &fake, [News::LinkEnded { link: out, error: error.clone(), closed: true }]);
        assert_eq!(now(&connection, sender.send(&Message::from("late"))), Err(SendError::NotSent(error)));
    }

    #[tokio::test]
    async fn links_go_over_to_the_next_engine_with_what_is_not_settled() {
        let (first, second, third) = (Fake::new("peer"), Fake::new("peer"), Fake::new("another"));
        let connection = connection(&first);
        let (_session, sender, receiver) = link_ends(&connection);
        let out = first.link(Role::Sender);
        first.lock().at(out).credit = 5;
        let mut settlement = now(&connection, sender.submit_tracked(&Message::from("kept"))).unwrap();
        lose(&connection, &second);
        let out = second.link(Role::Sender);
        {
            let mut inner = second.lock();
            let link = inner.at(out);
            assert_eq!((&*link.name, link.how), (sender.name(), "again"));
            assert_eq!(link.sent, [("kept".to_owned(), 0)]);
        }
        let back = second.link(Role::Receiver);
        assert_eq!(second.lock().at(back).credit, receiver.prefetch(), "credit is as it was");
        assert!(pin!(&mut settlement).poll(&mut Context::from_waker(Waker::noop())).is_pending());

        // On another container nobody knows what became of it.
        lose(&connection, &third);
        let doubt = now(&connection, settlement);
        assert!(matches!(doubt, Err(SendError::InDoubt(LinkError::Interrupted(_)))), "{doubt:?}");
        let out = third.link(Role::Sender);
        assert_eq!(third.lock().at(out).how, "anew");
        assert_eq!(sender.take_in_doubt()[0].encoded.as_deref(), Some(&b"kept"[..]));
    }

    #[tokio::test]
    async fn what_is_resumed_has_credit_beside_what_is_wanted() {
        let fake = Fake::new("peer");
        let connection = connection(&fake);
        let (_session, _sender, receiver) = link_ends(&connection);
        let (key, back) = (receiver.link.key, fake.link(Role::Receiver));
        connection.inner.shared.with(|state| {
            let entry = &mut state.links[key];
            (entry.second, entry.map_room, entry.open, entry.due) = (true, 8, 5, 5);
            state.grant(key, 100);
            assert_eq!(state.granted(key), 3, "as many as an attach could tell beside the five");
            assert_eq!(fake.lock().at(back).credit, 8);
            state.links[key].open = 8;
            state.grant(key, 100);
            assert_eq!((state.granted(key), fake.lock().at(back).credit), (0, 5), "those that are resumed still come");
            assert!(state.links[key].starved);
        });
    }
}
