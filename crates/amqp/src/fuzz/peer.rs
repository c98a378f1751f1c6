//! The peer of the game: sends frames, mostly good ones.

use std::time::Instant;

use postroad_codec::v1_0::{
    Attach, Begin, Close, DeliveryNumber, DeliveryState, DeliveryTag, Described, Detach, Disposition, Encode, End,
    Flow, Frame, Handle, Map, Milliseconds, Open, ProtocolHeader, Received, ReceiverSettleMode, Role, SequenceNo,
    Source, Target, Transfer, TransferNumber, Value,
};

use super::watch::Watch;
use super::{Choices, feed};
use crate::v1_0::Connection;

/// Names of links; few, so that they meet.
pub(super) const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

/// The window that a session starts with.
pub(super) const FIRST_WINDOW: u32 = 3;

#[derive(Debug, Default)]
pub(super) struct Peer {
    /// Whether it keeps to the rules for as long as it plays.
    good: bool,
    max_frame_size: u32,
    /// Our sessions by our channel.
    sessions: [Option<Session>; 3],
    /// Bytes that are sent together.
    held: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Session {
    /// Our ends of links by our handle.
    links: [Option<Link>; 4],
    next_delivery: u32,
    transfers: u32,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    role: Role,
    /// The delivery of which more follows.
    unfinished: Option<u32>,
}

impl Peer {
    pub(super) fn new(good: bool) -> Self {
        Self { good, ..Self::default() }
    }

    /// What the engine may send at most.
    pub(super) fn max_frame_size(&self) -> u32 {
        self.max_frame_size.max(512)
    }

    /// Header and open, so that not every game has to find them.
    pub(super) fn greet(&mut self, choices: &mut Choices<'_>, engine: &mut Connection, now: Instant) {
        feed(engine, now, &ProtocolHeader::AMQP.to_bytes());
        self.open(choices);
        feed(engine, now, &std::mem::take(&mut self.held));
    }

    pub(super) fn step(&mut self, choices: &mut Choices<'_>, engine: &mut Connection, watch: &Watch, now: Instant) {
        if choices.byte() >= 0xfd && !self.good {
            self.wild(choices, watch);
        } else {
            self.good(choices, watch);
        }
        if choices.below(8) != 0 {
            feed(engine, now, &std::mem::take(&mut self.held));
        }
    }

    /// A frame that a peer may send in its state.
    fn good(&mut self, choices: &mut Choices<'_>, watch: &Watch) {
        let kind = choices.below(32);
        let channel = choices.below(3);
        let Some(session) = self.sessions[usize::from(channel)] else {
            if kind < 24 {
                let answered = if kind < 20 { watch.answer(channel.into()) } else { None };
                self.begin(choices, channel.into(), answered);
            }
            return;
        };
        let channel = u16::from(channel);
        let at = choices.below(4);
        let link = session.links[usize::from(at)];
        let handle = Handle(at.into());
        match (kind, link) {
            (0, _) if choices.below(4) == 0 => self.end(channel),
            (1, _) => self.flow(choices, channel, None, watch),
            (2, _) => Frame::put_empty(&mut self.held),
            (3..=5, _) => self.disposition(choices, channel),
            (_, None) => self.attach(choices, channel, handle),
            (6, Some(_)) => self.detach(choices, channel, handle),
            (8..=24, Some(Link { role: Role::Receiver, .. })) => self.flow(choices, channel, Some(handle), watch),
            (8, Some(Link { role: Role::Sender, .. })) => self.flow(choices, channel, Some(handle), watch),
            (_, Some(Link { role: Role::Sender, .. })) if watch.has_room(channel, session.transfers) => {
                self.transfer(choices, channel, handle);
            }
            _ => {}
        }
    }

    /// A frame, or anything, that may well be against the rules.
    fn wild(&mut self, choices: &mut Choices<'_>, watch: &Watch) {
        let channel = u16::from(choices.below(3));
        let handle = match choices.byte() {
            0xff => Handle(u32::MAX),
            0xfe => Handle(4),
            other => Handle(u32::from(other & 3)),
        };
        match choices.below(16) {
            0 => self.begin(choices, channel, None),
            1 => self.attach(choices, channel, handle),
            2 => self.flow(choices, channel, Some(handle), watch),
            3..=6 => self.transfer(choices, channel, handle),
            7 => self.detach(choices, channel, handle),
            8 => self.end(channel),
            9 => self.put(channel, &Close { error: None }, &[]),
            10 => self.open(choices),
            11 => self.held.extend_from_slice(&ProtocolHeader::AMQP.to_bytes()),
            12 => {
                let length = usize::from(choices.byte());
                let bytes: Vec<u8> = (0..length).map(|_| choices.byte()).collect();
                self.held.extend_from_slice(&bytes);
            }
            _ => self.disposition(choices, channel),
        }
    }

    fn put(&mut self, channel: u16, body: &impl Encode, payload: &[u8]) {
        Frame::put_amqp(channel, body, payload, &mut self.held);
    }

    fn open(&mut self, choices: &mut Choices<'_>) {
        let max_frame_size = [512, 600, 4096, u32::MAX][usize::from(choices.below(4))];
        let idle = choices.below(4);
        // A second one is refused: what the first said holds.
        if self.max_frame_size == 0 {
            self.max_frame_size = max_frame_size;
        }
        let open = Open {
            container_id: "peer".into(),
            max_frame_size,
            channel_max: if choices.below(16) == 0 { 0 } else { 2 },
            idle_time_out: (idle > 1).then(|| Milliseconds(u32::from(idle) * 500)),
            ..Open::default()
        };
        self.put(0, &open, &[]);
    }

    fn begin(&mut self, choices: &mut Choices<'_>, channel: u16, remote_channel: Option<u16>) {
        let begin = Begin {
            remote_channel,
            incoming_window: FIRST_WINDOW,
            outgoing_window: 100,
            handle_max: Handle(if choices.below(16) == 0 { 1 } else { 5 }),
            ..Begin::default()
        };
        self.sessions[usize::from(channel)] = Some(Session::default());
        self.put(channel, &begin, &[]);
    }

    fn end(&mut self, channel: u16) {
        self.sessions[usize::from(channel)] = None;
        self.put(channel, &End { error: None }, &[]);
    }

    fn attach(&mut self, choices: &mut Choices<'_>, channel: u16, handle: Handle) {
        let role = if choices.flag() { Role::Sender } else { Role::Receiver };
        let limit = choices.below(4);
        let attach = Attach {
            name: NAMES[usize::from(choices.below(10))].into(),
            handle,
            role,
            rcv_settle_mode: ReceiverSettleMode(choices.below(2)),
            source: Some(Box::new(Source::default())),
            target: Some(Box::new(Target::default().into())),
            initial_delivery_count: (role == Role::Sender).then(|| SequenceNo(choices.number())),
            max_message_size: (limit > 2).then(|| u64::from(choices.byte()) * 4),
            unsettled: choices.flag().then(|| unsettled(choices)),
            incomplete_unsettled: choices.below(8) == 0,
            ..Attach::default()
        };
        self.set_link(channel, handle, Some(Link { role, unfinished: None }));
        self.put(channel, &attach, &[]);
    }

    fn detach(&mut self, choices: &mut Choices<'_>, channel: u16, handle: Handle) {
        self.set_link(channel, handle, None);
        self.put(channel, &Detach { handle, closed: choices.flag(), error: None }, &[]);
    }

    fn set_link(&mut self, channel: u16, handle: Handle, link: Option<Link>) {
        if let Some(session) = &mut self.sessions[usize::from(channel)]
            && let Some(slot) = session.links.get_mut(handle.0 as usize)
        {
            *slot = link;
        }
    }

    /// Windows and credit as a good peer tells them, so that the watcher knows what it may expect.
    fn flow(&mut self, choices: &mut Choices<'_>, channel: u16, handle: Option<Handle>, watch: &Watch) {
        let window = u32::from(choices.below(32));
        let next_incoming_id = watch.grant_window(channel, window);
        let about_link = handle.is_some();
        let credit = choices.number();
        if about_link {
            watch.grant_credit(credit);
        }
        let flow = Flow {
            next_incoming_id: next_incoming_id.map(TransferNumber),
            incoming_window: if next_incoming_id.is_some() { window } else { 0 },
            next_outgoing_id: TransferNumber(0),
            outgoing_window: 100,
            handle,
            delivery_count: (about_link && choices.flag()).then(|| SequenceNo(choices.number())),
            link_credit: about_link.then_some(credit),
            available: about_link.then(|| choices.number()),
            drain: about_link && choices.below(4) == 0,
            echo: choices.below(4) == 0,
            ..Flow::default()
        };
        self.put(channel, &flow, &[]);
    }

    fn transfer(&mut self, choices: &mut Choices<'_>, channel: u16, handle: Handle) {
        let kind = choices.byte();
        let more = kind & 3 == 0;
        let aborted = kind & 0x3c == 0x3c;
        let mut session = self.sessions[usize::from(channel)].unwrap_or_default();
        let link = session.links.get(handle.0 as usize).copied().flatten();
        let number = match link.and_then(|link| link.unfinished) {
            Some(number) => Some(number).filter(|_| kind & 0x40 != 0),
            None => {
                session.next_delivery += 1;
                Some(session.next_delivery - 1)
            }
        };
        session.transfers += 1;
        self.sessions[usize::from(channel)] = self.sessions[usize::from(channel)].and(Some(session));
        if let Some(link) = link {
            let unfinished = link.unfinished.or(number).filter(|_| more && !aborted);
            self.set_link(channel, handle, Some(Link { unfinished, ..link }));
        }
        let transfer = Transfer {
            handle,
            delivery_id: number.map(DeliveryNumber),
            delivery_tag: number.map(|number| DeliveryTag::from(u64::from(number))),
            settled: [None, Some(false), Some(true)][usize::from(choices.below(3))],
            more,
            aborted,
            resume: choices.below(8) == 0,
            state: (kind & 0xc0 == 0xc0).then_some(DeliveryState::Accepted),
            ..Transfer::default()
        };
        let payload = vec![kind; usize::from(choices.byte()) * 3];
        self.put(channel, &transfer, &payload);
    }

    fn disposition(&mut self, choices: &mut Choices<'_>, channel: u16) {
        let first = choices.number();
        let received = DeliveryState::Received(Received { section_number: 0, section_offset: 1 });
        let states = [None, Some(DeliveryState::Accepted), Some(DeliveryState::Released), Some(received)];
        let disposition = Disposition {
            role: if choices.below(4) == 0 { Role::Sender } else { Role::Receiver },
            first: DeliveryNumber(first),
            last: choices.flag().then(|| DeliveryNumber(first.wrapping_add(choices.number()))),
            settled: choices.flag(),
            state: states[usize::from(choices.below(4))].clone(),
            ..Disposition::default()
        };
        self.put(channel, &disposition, &[]);
    }
}

/// A map as an attach tells it; now and then one that is none.
fn unsettled(choices: &mut Choices<'_>) -> Map {
    let entries = (0..choices.below(6)).map(|_| {
        let tag = DeliveryTag::from(u64::from(choices.below(8)));
        let received = Received { section_number: u32::from(choices.below(3)), section_offset: choices.byte().into() };
        let state = match choices.below(8) {
            0 => described(0x24, Vec::new()),
            1 => described(0x26, Vec::new()),
            2 | 3 => described(0x23, vec![received.section_number.into(), received.section_offset.into()]),
            4 if choices.below(16) == 0 => Value::from(1u8),
            _ => Value::Null,
        };
        (Value::Binary(tag.as_bytes().to_vec().into()), state)
    });
    Map(entries.collect())
}

fn described(code: u64, fields: Vec<Value>) -> Value {
    Value::Described(Box::new(Described { descriptor: code.into(), value: Value::List(fields) }))
}
