//! A model check of resuming (part 2, 2.6.13): two owners that keep what a link gives back, and a connection that breaks
//! at any byte, of either direction, again and again.

mod common;

use std::collections::{BTreeMap, VecDeque};

use common::{pattern, tag};
use postroad_amqp::v1_0::{Config, Connection, Event, LinkId, LinkState, LinkTerms, Message};
use postroad_codec::v1_0::{
    Body, DeliveryNumber, DeliveryState, Message as Amqp, Modified, ReceiverSettleMode, Rejected, Role,
};
use postroad_testkit::{Pair, Side, error};

/// Messages of a game; some do not fit into a frame, some not into several.
const SIZES: [usize; 6] = [10, 700, 40, 1600, 0, 520];

/// How long a game goes on without a cut until it must be over, in rounds.
const ROUNDS: usize = 60;

#[derive(Debug, Clone, Copy)]
struct Game {
    /// Whether the client sends.
    client_sends: bool,
    /// Whether the receiver forgets a delivery only once the sender has settled (2.6.12): then nothing comes twice.
    exactly_once: bool,
    /// Whether the sender's engine settles by itself.
    auto_settle: bool,
    /// How many deliveries the receiver leaves undecided for a while.
    lazy: usize,
}

/// The owner of the sending end.
#[derive(Debug, Default)]
struct Sending {
    to_send: VecDeque<u64>,
    link: Option<LinkId>,
    state: Option<LinkState>,
    outcomes: BTreeMap<u64, Option<DeliveryState>>,
}

/// The owner of the receiving end.
#[derive(Debug, Default)]
struct Receiving {
    link: Option<LinkId>,
    state: Option<LinkState>,
    /// How often each message came.
    came: BTreeMap<u64, usize>,
    /// What has been taken and is not over, oldest first: its number, its message, whether it is decided.
    open: Vec<(DeliveryNumber, u64, bool)>,
}

fn message(number: u64) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.extend(pattern(SIZES[number as usize], number as usize));
    let mut message = Amqp { body: Body::Data(body.into()), ..Amqp::default() };
    message.properties = Some(Box::default());
    message.to_bytes().to_vec()
}

fn number_of(payload: &[u8]) -> u64 {
    let decoded = Amqp::from_bytes(&payload.to_vec().into()).expect("a message comes whole or not at all");
    let Body::Data(body) = decoded.body else { panic!("another body") };
    let number = u64::from_be_bytes(*body.first_chunk().unwrap());
    assert_eq!(payload, message(number), "message {number} came as something else");
    number
}

/// What the receiver decides about a message.
fn outcome(number: u64) -> DeliveryState {
    match number % 4 {
        0 => DeliveryState::Accepted,
        1 => DeliveryState::Rejected(Box::new(Rejected { error: Some(error("test:no")) })),
        2 => DeliveryState::Released,
        _ => DeliveryState::Modified(Box::new(Modified { delivery_failed: Some(true), ..Modified::default() })),
    }
}

impl Sending {
    fn handle(&mut self, event: Event, engine: &mut Connection) {
        if let Event::Update(update) = event {
            let Some(link) = self.link else { panic!("news of a link that is gone") };
            if update.settled {
                let told = self.outcomes.insert(update.token, update.state.clone());
                assert!(told.is_none() || told == Some(update.state), "two outcomes of {}", update.token);
            } else if update.state.as_ref().is_some_and(DeliveryState::is_terminal) {
                self.outcomes.insert(update.token, update.state);
                engine.sender(link).settle(update.delivery);
            }
        }
    }

    fn act(&mut self, engine: &mut Connection) {
        let Some(link) = self.link else { return };
        while let Some(next) = self.to_send.front().copied() {
            let bytes = message(next);
            if engine.sender(link).send(&Message::new(&bytes, tag(next), next)).is_err() {
                return;
            }
            self.to_send.pop_front();
        }
    }
}

impl Receiving {
    fn handle(&mut self, event: &Event, game: Game) {
        match event {
            Event::SettledBySender { delivery, state, .. } => {
                let Some(index) = self.open.iter().position(|open| open.0.0 == delivery.0 + NEW) else { return };
                let (_, number, decided) = self.open.remove(index);
                assert!(decided && game.exactly_once, "message {number} is settled before it is decided");
                assert!(state.is_none() || *state == Some(outcome(number)));
            }
            Event::Reassociated { previous, delivery, state, .. } => {
                let index = self.open.iter().position(|open| open.0 == *previous && !self.is_new(open.0));
                let index = index.expect("only what was taken is reassociated");
                match delivery {
                    // Marked, so that it is not taken for one of the numbers before.
                    Some(delivery) => self.renumbered(index, *delivery),
                    None => {
                        let (_, number, decided) = self.open.remove(index);
                        assert!(decided || !game.exactly_once, "message {number} is over before it is decided");
                        assert!(state.is_none() || *state == Some(outcome(number)));
                    }
                }
            }
            _ => {}
        }
    }

    // Numbers of the session before and of this one may be equal: those of this one stand behind a gap.
    fn is_new(&self, number: DeliveryNumber) -> bool {
        number.0 >= NEW
    }

    fn renumbered(&mut self, index: usize, delivery: DeliveryNumber) {
        self.open[index].0 = DeliveryNumber(delivery.0 + NEW);
    }

    fn act(&mut self, engine: &mut Connection, game: Game, round: usize) {
        let Some(link) = self.link else { return };
        while let Some(delivery) = engine.receiver(link).take() {
            let number = number_of(&delivery.payload);
            *self.came.entry(number).or_default() += 1;
            self.open.push((DeliveryNumber(delivery.number.0 + NEW), number, false));
        }
        let lazy = if round < ROUNDS / 2 { game.lazy } else { 0 };
        let undecided = self.open.iter().filter(|open| !open.2 && open.0.0 >= NEW).count();
        let mut due = undecided.saturating_sub(lazy);
        for open in self.open.iter_mut().filter(|open| !open.2 && open.0.0 >= NEW) {
            if due == 0 {
                break;
            }
            due -= 1;
            open.2 = true;
            let delivery = DeliveryNumber(open.0.0 - NEW);
            engine.receiver(link).dispose(delivery, Some(outcome(open.1)), !game.exactly_once);
        }
        if !game.exactly_once {
            self.open.retain(|open| !open.2);
        }
    }
}

/// Numbers of the current connection are kept with this added, those of the one before without.
const NEW: u32 = 1 << 20;

struct Play {
    game: Game,
    sending: Sending,
    receiving: Receiving,
}

impl Play {
    fn new(game: Game) -> Self {
        let sending = Sending { to_send: (0..SIZES.len() as u64).collect(), ..Sending::default() };
        Self { game, sending, receiving: Receiving::default() }
    }

    fn terms(&self) -> LinkTerms {
        let second = self.game.exactly_once;
        LinkTerms {
            auto_settle: self.game.auto_settle,
            rcv_settle_mode: if second { ReceiverSettleMode::SECOND } else { ReceiverSettleMode::FIRST },
            ..common::resumable()
        }
    }

    /// One connection, which breaks once so many bytes have passed in one direction. Answers how many passed in each.
    fn connection(&mut self, cut: Option<(Side, u64)>) -> [u64; 2] {
        let config = |name: &'static str| {
            let mut config = Config::new(name);
            config.max_frame_size = 512;
            config
        };
        let mut pair = Pair::new(config("client"), config("server"));
        match cut {
            Some((Side::Client, at)) => pair.to_client.cut_at = Some(at),
            Some((Side::Server, at)) => pair.to_server.cut_at = Some(at),
            None => {}
        }
        let role = if self.game.client_sends { Role::Sender } else { Role::Receiver };
        let session = pair.client.begin().unwrap();
        pair.run();
        self.attach(&mut pair, role, session);
        for round in 0..ROUNDS {
            pair.run();
            self.events(&mut pair);
            let (sender, receiver) = self.engines(&mut pair);
            self.sending.act(sender);
            self.receiving.act(receiver, self.game, round);
            if let Some(link) = self.receiving.link
                && receiver.error().is_none()
            {
                receiver.receiver(link).set_credit(3);
            }
        }
        self.events(&mut pair);
        let carried = [pair.to_client.carried(), pair.to_server.carried()];
        self.disconnect(&mut pair);
        carried
    }

    fn attach(&mut self, pair: &mut Pair, role: Role, session: postroad_amqp::v1_0::SessionId) {
        let (terms, engine) = (self.terms(), &mut pair.client);
        let state = match role {
            Role::Sender => &mut self.sending.state,
            Role::Receiver => &mut self.receiving.state,
        };
        let link = match state {
            Some(kept) => engine.resume(session, kept, terms),
            None => engine.attach(session, "a", role, terms),
        };
        // The connection may be gone already.
        let Ok(link) = link else { return };
        *state = None;
        match role {
            Role::Sender => self.sending.link = Some(link),
            Role::Receiver => self.receiving.link = Some(link),
        }
    }

    /// Sender's and receiver's.
    fn engines<'a>(&self, pair: &'a mut Pair) -> (&'a mut Connection, &'a mut Connection) {
        let Pair { client, server, .. } = pair;
        if self.game.client_sends { (client, server) } else { (server, client) }
    }

    fn events(&mut self, pair: &mut Pair) {
        for side in [Side::Client, Side::Server] {
            for event in pair.events(side) {
                if let Event::LinkIncoming(link) = event {
                    self.accept(pair, link);
                    continue;
                }
                let (sender, _) = self.engines(pair);
                if (side == Side::Client) == self.game.client_sends {
                    self.sending.handle(event, sender);
                } else {
                    self.receiving.handle(&event, self.game);
                }
            }
        }
    }

    fn accept(&mut self, pair: &mut Pair, link: LinkId) {
        let terms = self.terms();
        let (state, taken) = if self.game.client_sends {
            (&mut self.receiving.state, &mut self.receiving.link)
        } else {
            (&mut self.sending.state, &mut self.sending.link)
        };
        let accepted = match state {
            Some(kept) => pair.server.accept_resumed(link, kept, terms),
            None => pair.server.accept(link, terms),
        };
        // Where the connection broke in between, the state stays for the next.
        if accepted.is_ok() {
            (*state, *taken) = (None, Some(link));
        }
    }

    fn disconnect(&mut self, pair: &mut Pair) {
        pair.client.handle_eof();
        pair.server.handle_eof();
        self.events(pair);
        let (sender, receiver) = self.engines(pair);
        if let Some(link) = self.sending.link.take() {
            self.sending.state = sender.release(link);
        }
        if let Some(link) = self.receiving.link.take() {
            self.receiving.state = receiver.release(link);
        }
        for open in &mut self.receiving.open {
            open.0 = DeliveryNumber(open.0.0 % NEW);
        }
    }

    #[track_caller]
    fn is_over(&self, what: &str) {
        let game = self.game;
        let numbers: Vec<u64> = (0..SIZES.len() as u64).collect();
        assert_eq!(self.sending.outcomes.keys().copied().collect::<Vec<_>>(), numbers, "{game:?} {what}: outcomes");
        assert_eq!(self.receiving.came.keys().copied().collect::<Vec<_>>(), numbers, "{game:?} {what}: messages");
        if game.exactly_once {
            assert!(self.receiving.came.values().all(|came| *came == 1), "{game:?} {what}: {:?}", self.receiving.came);
        }
        for (number, state) in &self.sending.outcomes {
            assert_eq!(*state, Some(outcome(*number)), "{game:?} {what}: message {number}");
        }
        assert_eq!(self.receiving.open, [], "{game:?} {what}: the receiver still holds deliveries");
        for state in [&self.sending.state, &self.receiving.state] {
            assert_eq!(state.as_ref().map(|state| state.unsettled.len()), Some(0), "{game:?} {what}: {state:?}");
        }
    }
}

fn games() -> impl Iterator<Item = Game> {
    [(true, true, 2), (true, false, 4), (false, true, 0)].into_iter().flat_map(|(exactly_once, auto_settle, lazy)| {
        [true, false].map(|client_sends| Game { client_sends, exactly_once, auto_settle, lazy })
    })
}

#[test]
fn a_game_without_a_cut_is_over_on_one_connection() {
    for game in games() {
        let mut play = Play::new(game);
        play.connection(None);
        play.is_over("without a cut");
    }
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice_wherever_the_connection_breaks() {
    for game in games() {
        let carried = Play::new(game).connection(None);
        for (side, bytes) in [Side::Client, Side::Server].into_iter().zip(carried) {
            for at in 0..bytes {
                let mut play = Play::new(game);
                play.connection(Some((side, at)));
                play.connection(None);
                play.is_over(&format!("cut towards {side:?} at {at}"));
            }
        }
    }
}

#[test]
fn nothing_is_lost_when_it_breaks_while_it_resumes() {
    for game in games() {
        let carried = Play::new(game).connection(None);
        for (side, bytes) in [Side::Client, Side::Server].into_iter().zip(carried) {
            for first in (0..bytes).step_by(97) {
                for again in [Side::Client, Side::Server] {
                    for second in (0..2500).step_by(139) {
                        let mut play = Play::new(game);
                        play.connection(Some((side, first)));
                        play.connection(Some((again, second)));
                        play.connection(None);
                        play.is_over(&format!("cut towards {side:?} at {first}, {again:?} at {second}"));
                    }
                }
            }
        }
    }
}
