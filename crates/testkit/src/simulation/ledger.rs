//! What became of every message of a link: the invariants.

use postroad_amqp::v1_0::Message as Handed;
use postroad_codec::v1_0::{Body, DeliveryState, DeliveryTag, Message};

use super::Guarantee;

/// The messages of a link, by their numbers.
#[derive(Debug)]
pub(super) struct Ledger {
    guarantee: Guarantee,
    /// Whether the owner of the sending end sends a message again that was given back to it, as a queue does.
    requeues: bool,
    /// Whether the one who receives may change its mind until the sender has settled.
    fickle: bool,
    /// How often an end has forgotten the link, with what it knew of messages.
    pub(super) forgotten: usize,
    pub(super) letters: Vec<Letter>,
}

/// A message.
#[derive(Debug, Default)]
pub(super) struct Letter {
    /// Bytes of its content beside its number.
    size: usize,
    /// How often it was handed over.
    pub(super) sends: usize,
    /// How often it was handed over in parts: such a one is not kept.
    pub(super) in_parts: usize,
    /// How often it has come.
    takes: usize,
    /// What was decided about it, each time.
    decisions: Vec<DeliveryState>,
    /// The outcomes that the sender told when it settled, and those that its own end settled with.
    told: Vec<DeliveryState>,
    outcomes: Vec<DeliveryState>,
    /// How it ended for the one who sent it.
    pub(super) end: Option<End>,
    /// How often what became of it got lost by intent: a link was closed, or expired, before both ends agreed.
    pub(super) excuses: usize,
}

/// How a message ends for the one who sent it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    Outcome(DeliveryState),
    InDoubt,
    /// It was settled when it was sent.
    Settled,
    /// It was given up before its last part.
    Aborted,
}

impl Ledger {
    pub(super) fn new(guarantee: Guarantee, requeues: bool, fickle: bool, sizes: impl Iterator<Item = usize>) -> Self {
        let letters = sizes.map(|size| Letter { size, ..Letter::default() }).collect();
        Self { guarantee, requeues, fickle, forgotten: 0, letters }
    }

    /// The bytes of a message: its number, a pattern of its own, and sections around them.
    pub(super) fn payload(&self, id: usize) -> Vec<u8> {
        let mut body = (id as u64).to_be_bytes().to_vec();
        body.extend((0..self.letters[id].size).map(|at| ((at + id).wrapping_mul(2_654_435_761) >> 11) as u8));
        let message = Message { properties: Some(Box::default()), body: Body::Data(body.into()), ..Message::default() };
        message.to_bytes().to_vec()
    }

    /// The number of a message that has come.
    pub(super) fn id_of(&self, payload: &[u8]) -> usize {
        let message = Message::from_bytes(&payload.to_vec().into()).expect("a message comes whole or not at all");
        let Body::Data(body) = message.body else { panic!("another body") };
        let id = u64::from_be_bytes(*body.first_chunk().expect("a number")) as usize;
        assert!(id < self.letters.len(), "message {id} was never there");
        assert!(payload == self.payload(id), "message {id} came as something else");
        id
    }

    /// A message is handed over.
    pub(super) fn sent(&mut self, id: usize, message: &Handed<'_>) {
        let letter = &mut self.letters[id];
        letter.sends += 1;
        letter.in_parts += usize::from(message.more);
        if message.settled {
            letter.end = Some(End::Settled);
        }
    }

    /// A message has come.
    pub(super) fn taken(&mut self, id: usize, tag: &DeliveryTag) {
        let guarantee = self.guarantee;
        let letter = &mut self.letters[id];
        letter.takes += 1;
        let (takes, sends) = (letter.takes, letter.sends);
        let once = guarantee != Guarantee::AtLeastOnce;
        assert!(!once || takes <= sends, "message {id} ({tag:?}) was sent {sends} times and came {takes} times");
        assert!(sends > 0, "message {id} came before it was sent");
    }

    /// The one who receives decides about a message.
    pub(super) fn decided(&mut self, id: usize, state: DeliveryState) {
        self.letters[id].decisions.push(state);
    }

    /// The one who receives hears that the sender has settled a message.
    pub(super) fn settled(&mut self, id: usize, state: Option<DeliveryState>) {
        self.letters[id].told.extend(state.filter(DeliveryState::is_terminal));
    }

    /// The one who sent a message hears how it ended. Answers whether it is to be sent again.
    pub(super) fn ended(&mut self, id: usize, end: End) -> bool {
        let letter = &mut self.letters[id];
        assert!(letter.end.is_none(), "message {id} ended as {:?}, and now as {end:?}", letter.end);
        if let End::Outcome(state) = &end {
            let agreed = match self.guarantee {
                Guarantee::ExactlyOnce if !self.fickle => letter.decisions.last() == Some(state),
                _ => letter.decisions.contains(state),
            };
            assert!(agreed, "message {id} ended as {state:?}, and {:?} was decided", letter.decisions);
            letter.outcomes.push(state.clone());
        }
        let is_final = matches!(end, End::Outcome(DeliveryState::Accepted | DeliveryState::Rejected(_)) | End::Aborted);
        if self.requeues && !is_final {
            return true;
        }
        letter.end = Some(end);
        false
    }

    /// Nothing was lost, and nothing repeated that was not to be.
    pub(super) fn check(&self, what: &str) {
        for (id, letter) in self.letters.iter().enumerate() {
            let Some(end) = &letter.end else { panic!("{what}: message {id} never ended: {letter:?}") };
            let done = |state: &&DeliveryState| matches!(state, DeliveryState::Accepted | DeliveryState::Rejected(_));
            let done = letter.decisions.iter().filter(done).count();
            match (self.guarantee, end) {
                (Guarantee::AtMostOnce, _) => assert!(letter.takes <= 1, "{what}: message {id} repeated: {letter:?}"),
                (Guarantee::ExactlyOnce, End::Outcome(_)) => {
                    assert!(done <= 1 + letter.excuses || self.fickle, "{what}: message {id} repeated: {letter:?}");
                    assert!(letter.takes >= 1, "{what}: message {id} is lost: {letter:?}");
                    let agreed = letter.told.iter().all(|told| letter.outcomes.contains(told));
                    assert!(agreed, "{what}: the ends do not agree about message {id}: {letter:?}");
                }
                (Guarantee::AtLeastOnce, End::Outcome(_)) => {
                    assert!(letter.takes >= 1, "{what}: message {id} is lost: {letter:?}");
                }
                (_, End::Aborted) => {
                    assert!(done <= letter.excuses || self.fickle, "{what}: message {id} was given up: {letter:?}");
                }
                // What is kept and sent again until it is told of is never in doubt.
                (Guarantee::AtLeastOnce, End::InDoubt) => {
                    let excused = letter.excuses + letter.in_parts > 0;
                    assert!(excused, "{what}: message {id} is in doubt: {letter:?}");
                }
                (Guarantee::ExactlyOnce, End::InDoubt) => {
                    let excused = letter.excuses + letter.in_parts > 0;
                    assert!(excused, "{what}: message {id} is in doubt: {letter:?}");
                    assert!(done <= 1 || self.fickle, "{what}: message {id} repeated: {letter:?}");
                }
                (_, End::Settled) => panic!("{what}: message {id} was not to be settled: {letter:?}"),
            }
        }
    }
}
