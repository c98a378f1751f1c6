//! A container that serves its links well and remembers them, and that vanishes where it is told to.
#![allow(clippy::needless_pass_by_value, reason = "it writes send(close())")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use postroad_codec::v1_0::{
    Attach, DeliveryState, DeliveryTag, Disposition, Flow, Frame, Map, Message, Performative, Position,
    ReceiverSettleMode, Role, SenderSettleMode, SequenceNo, Transfer, Value,
};
use postroad_testkit::{Body, Builder, begin, close, detach, disposition, end, flow, open, transfer};

use crate::answer;
use crate::maps::value;
use crate::raw::take_client;

/// Where a connection is cut, in bytes of what the client says or of what it hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Never,
    Said(usize),
    Heard(usize),
}

/// What outlives connections.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The texts of the messages that came, in their order.
    pub(crate) came: Vec<String>,
    /// Tags of what came and the client has not settled, exactly once.
    unsettled: Vec<DeliveryTag>,
    /// Messages for the client.
    pub(crate) waiting: Vec<Waiting>,
    /// Where the frames ended that the client said, and that it heard, of each connection.
    pub(crate) said: Vec<Vec<usize>>,
    pub(crate) heard: Vec<Vec<usize>>,
    /// Whether nobody is to be served any more.
    over: bool,
}

/// A message for the client.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) text: String,
    pub(crate) place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Here,
    /// On its way, or with the client.
    Sent,
    /// Both ends know its outcome, or ours has settled it.
    Over,
}

pub(crate) type Shared = Arc<Mutex<Ledger>>;

/// One connection.
struct Line<'a> {
    stream: TcpStream,
    ledger: &'a Shared,
    cut: Cut,
    said: Vec<usize>,
    heard: Vec<usize>,
    /// The client's sender: its handle, whether exactly once, and the tags of its deliveries by number.
    incoming: Option<(u32, bool)>,
    tags: BTreeMap<u32, DeliveryTag>,
    parts: Vec<u8>,
    /// The client's receiver: its handle, how it settles, its count of deliveries, and which are which.
    outgoing: Option<Outgoing>,
    next_number: u32,
    sent: BTreeMap<u32, usize>,
}

#[derive(Debug, Clone, Copy)]
struct Outgoing {
    handle: u32,
    settled: bool,
    count: u32,
}

/// Nothing: the connection is over.
type Step = Option<()>;

/// Serves one connection after another; the first is cut somewhere. It ends when a client has closed in order, or when it
/// is dismissed.
pub(crate) fn serve(listener: &TcpListener, ledger: &Shared, mut cut: Cut) {
    loop {
        let stream = take_client(listener);
        if ledger.lock().unwrap().over {
            return;
        }
        stream.set_nodelay(true).unwrap();
        let mut line = Line {
            stream,
            ledger,
            cut,
            said: vec![0],
            heard: vec![0],
            incoming: None,
            tags: BTreeMap::new(),
            parts: Vec::new(),
            outgoing: None,
            next_number: 0,
            sent: BTreeMap::new(),
        };
        let closed = line.run().is_some();
        let mut ledger = ledger.lock().unwrap();
        ledger.said.push(line.said);
        ledger.heard.push(line.heard);
        if closed {
            return;
        }
        cut = Cut::Never;
    }
}

/// Ends a container that may wait for a client.
pub(crate) fn dismiss(address: SocketAddr, ledger: &Shared) {
    ledger.lock().unwrap().over = true;
    // It may be gone already.
    let _ = TcpStream::connect(address);
}

impl Line<'_> {
    /// Runs to the client's close.
    fn run(&mut self) -> Step {
        let header = self.read(8)?;
        self.write(&header)?;
        loop {
            let mut bytes = self.read(4)?;
            let size = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
            bytes.extend_from_slice(&self.read(size - 4)?);
            let Frame::Amqp { performative, payload, .. } = Frame::decode(&bytes.into()).unwrap() else { continue };
            match performative {
                Performative::Open(_) => self.send(open().max_frame_size(512))?,
                Performative::Begin(_) => self.send(begin().remote_channel(0))?,
                Performative::Attach(attach) if attach.role == Role::Sender => self.attach_incoming(&attach)?,
                Performative::Attach(attach) => self.attach_outgoing(&attach)?,
                Performative::Flow(flow) => self.put(&flow)?,
                Performative::Transfer(transfer) => self.take(&transfer, &payload)?,
                Performative::Disposition(disposition) => self.told(&disposition)?,
                Performative::Detach(theirs) => self.send(detach().handle(theirs.handle.0).closed(theirs.closed))?,
                Performative::End(_) => self.send(end())?,
                Performative::Close(_) => return self.send(close()),
            }
        }
    }

    fn attach_incoming(&mut self, theirs: &Attach) -> Step {
        let once = theirs.rcv_settle_mode == ReceiverSettleMode::SECOND;
        self.incoming = Some((theirs.handle.0, once));
        let known = theirs.unsettled.clone();
        let mut ledger = self.ledger.lock().unwrap();
        // What the client does not tell it has settled.
        ledger.unsettled.retain(|tag| known.as_ref().is_some_and(|map| map.get(&binary(tag)).is_some()));
        let accepted = value(&DeliveryState::Accepted);
        let ours = ledger.unsettled.iter().map(|tag| (binary(tag), accepted.clone())).collect();
        drop(ledger);
        self.send(answer(theirs).with(|attach| attach.unsettled = once.then_some(Map(ours))))?;
        let count = theirs.initial_delivery_count.unwrap_or_default().0;
        self.send(flow().handle(theirs.handle.0).delivery_count(count).link_credit(10))
    }

    /// A message, a part of one, or the word that we have it already.
    fn take(&mut self, transfer: &Transfer, payload: &Bytes) -> Step {
        let (_, once) = self.incoming?;
        if let (Some(number), Some(tag)) = (transfer.delivery_id, transfer.delivery_tag) {
            self.tags.insert(number.0, tag);
            self.parts.clear();
        }
        self.parts.extend_from_slice(payload);
        if transfer.more || transfer.aborted {
            return Some(());
        }
        let (&number, &tag) = self.tags.last_key_value().expect("a delivery has begun");
        let mut ledger = self.ledger.lock().unwrap();
        let known = ledger.unsettled.contains(&tag);
        assert_eq!(known, transfer.resume, "{transfer:?} and {:?}", ledger.unsettled);
        if !known {
            let message = Message::from_bytes(&std::mem::take(&mut self.parts).into()).unwrap();
            ledger.came.push(text(&message));
            if once {
                ledger.unsettled.push(tag);
            }
        }
        if transfer.settled == Some(true) {
            ledger.unsettled.retain(|known| *known != tag);
            return Some(());
        }
        drop(ledger);
        self.send(disposition(Role::Receiver, number).settled(!once).state(DeliveryState::Accepted))
    }

    fn attach_outgoing(&mut self, theirs: &Attach) -> Step {
        let once = theirs.rcv_settle_mode == ReceiverSettleMode::SECOND;
        let settled = theirs.snd_settle_mode == SenderSettleMode::SETTLED;
        self.outgoing = Some(Outgoing { handle: theirs.handle.0, settled, count: 0 });
        let mut ledger = self.ledger.lock().unwrap();
        let on_their_way: Vec<usize> =
            (0..ledger.waiting.len()).filter(|index| ledger.waiting[*index].place == Place::Sent).collect();
        let ours = on_their_way.iter().map(|index| (binary(&tag_of(*index)), Value::Null)).collect();
        if !once {
            on_their_way.iter().for_each(|index| ledger.waiting[*index].place = Place::Here);
        }
        drop(ledger);
        self.send(answer(theirs).with(|attach| {
            attach.unsettled = once.then_some(Map(ours));
            attach.initial_delivery_count = Some(SequenceNo(0));
        }))?;
        let Some(known) = theirs.unsettled.as_ref().filter(|_| once) else { return Some(()) };
        for index in on_their_way {
            let Some(state) = known.get(&binary(&tag_of(index))) else {
                self.ledger.lock().unwrap().waiting[index].place = Place::Here;
                continue;
            };
            let bytes = self.encoded(index);
            match state_of(state) {
                Some(DeliveryState::Received(received)) => {
                    let from = Position::find(&bytes, &received).unwrap_or(bytes.len());
                    self.transfer(index, &bytes[from..], None)?;
                }
                // The client waits for nothing but that we settle it.
                Some(outcome) => self.transfer(index, &[], Some(outcome))?,
                None => self.transfer(index, &bytes, None)?,
            }
        }
        Some(())
    }

    /// Sends what a resumed delivery lacks, or settles it.
    fn transfer(&mut self, index: usize, rest: &[u8], outcome: Option<DeliveryState>) -> Step {
        let number = self.number(index);
        let handle = self.outgoing?.handle;
        if outcome.is_some() {
            self.ledger.lock().unwrap().waiting[index].place = Place::Over;
        }
        let again = transfer(number).handle(handle).delivery_tag(tag_of(index)).settled(outcome.is_some());
        self.send(again.state(outcome).payload(rest.to_vec()).with(|transfer| transfer.resume = true))
    }

    /// Sends what there is, as far as the credit goes.
    fn put(&mut self, theirs: &Flow) -> Step {
        let Some(mut link) = self.outgoing.filter(|link| theirs.handle.is_some_and(|handle| handle.0 == link.handle))
        else {
            return Some(());
        };
        let end = theirs.delivery_count.unwrap_or_default().0 + theirs.link_credit.unwrap_or_default();
        while link.count < end {
            let mut ledger = self.ledger.lock().unwrap();
            let Some(index) = ledger.waiting.iter().position(|waiting| waiting.place == Place::Here) else { break };
            ledger.waiting[index].place = if link.settled { Place::Over } else { Place::Sent };
            drop(ledger);
            let (number, bytes) = (self.number(index), self.encoded(index));
            link.count += 1;
            // In two parts.
            let (front, back) = bytes.split_at(bytes.len() / 2);
            let first = transfer(number).handle(link.handle).delivery_tag(tag_of(index)).settled(link.settled);
            self.send(first.more(true).payload(front.to_vec()))?;
            self.send(transfer(number).handle(link.handle).delivery_tag(None).payload(back.to_vec()))?;
        }
        if theirs.drain {
            link.count = link.count.max(end);
            let left = flow().handle(link.handle).delivery_count(link.count).link_credit(0).drain(true);
            self.send(left)?;
        }
        self.outgoing = Some(Outgoing { count: link.count, ..self.outgoing? });
        Some(())
    }

    fn told(&mut self, told: &Disposition) -> Step {
        let numbers = told.first.0..=told.last.unwrap_or(told.first).0;
        for number in numbers {
            if told.role == Role::Sender {
                if let Some(tag) = self.tags.get(&number).filter(|_| told.settled) {
                    self.ledger.lock().unwrap().unsettled.retain(|known| known != tag);
                }
            } else if let Some(&index) = self.sent.get(&number)
                && told.state.as_ref().is_some_and(DeliveryState::is_terminal)
            {
                self.ledger.lock().unwrap().waiting[index].place = Place::Over;
                if !told.settled {
                    self.send(disposition(Role::Sender, number).settled(true).state(told.state.clone()))?;
                }
            }
        }
        Some(())
    }

    /// The next number, for this message.
    fn number(&mut self, index: usize) -> u32 {
        self.next_number += 1;
        self.sent.insert(self.next_number - 1, index);
        self.next_number - 1
    }

    fn encoded(&self, index: usize) -> Bytes {
        let text = self.ledger.lock().unwrap().waiting[index].text.clone();
        Message::new(postroad_codec::v1_0::Body::Value(text.as_str().into())).to_bytes()
    }

    fn send<B: Body>(&mut self, frame: Builder<B>) -> Step {
        self.write(&frame.to_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> Step {
        let so_far = *self.heard.last()?;
        let most = match self.cut {
            Cut::Heard(most) => (most - so_far).min(bytes.len()),
            _ => bytes.len(),
        };
        self.stream.write_all(&bytes[..most]).ok()?;
        self.heard.push(so_far + most);
        (most == bytes.len()).then_some(())
    }

    fn read(&mut self, count: usize) -> Option<Vec<u8>> {
        let so_far = *self.said.last()?;
        let most = match self.cut {
            Cut::Said(most) => (most - so_far).min(count),
            _ => count,
        };
        let mut bytes = vec![0; most];
        self.stream.read_exact(&mut bytes).ok()?;
        self.said.push(so_far + most);
        (most == count).then_some(bytes)
    }
}

fn tag_of(index: usize) -> DeliveryTag {
    DeliveryTag::from(index as u64)
}

fn binary(tag: &DeliveryTag) -> Value {
    Value::Binary(Bytes::copy_from_slice(tag.as_bytes()))
}

/// The state of an entry of a map.
fn state_of(entry: &Value) -> Option<DeliveryState> {
    use postroad_codec::v1_0::{Decode as _, Encode as _, Reader};
    let mut bytes = Vec::new();
    entry.encode(&mut bytes);
    (*entry != Value::Null).then(|| DeliveryState::decode(&mut Reader::from_slice(&bytes)).unwrap())
}

fn text(message: &Message) -> String {
    match &message.body {
        postroad_codec::v1_0::Body::Value(Value::String(text)) => text.to_string(),
        other => panic!("{other:?}"),
    }
}
