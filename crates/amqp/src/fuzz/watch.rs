//! What a strict peer makes of the engine's output.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use postroad_codec::v1_0::{Flow, Frame, FrameHeader, Performative, ProtocolHeader, Role, Transfer};

#[derive(Debug, Default)]
pub(super) struct Watch {
    header_seen: bool,
    opened: bool,
    closed: bool,
    /// Sessions by the engine's channel.
    sessions: RefCell<HashMap<u16, Session>>,
    /// The engine's channel of the peer's.
    channels: RefCell<HashMap<u16, u16>>,
    /// Credit that was ever given; each message uses some.
    credit: Cell<u64>,
    messages: u64,
}

#[derive(Debug, Default)]
struct Session {
    links: HashMap<u32, Link>,
    names: HashSet<(String, Role)>,
    next_delivery: Option<u32>,
    transfers: u32,
    first_transfer: u32,
    /// Transfers that were ever allowed.
    allowed: u32,
    /// Transfers that the engine takes, since its peer's first.
    room: u32,
    answered: Cell<bool>,
}

#[derive(Debug)]
struct Link {
    role: Role,
    name: String,
    more: bool,
}

impl Watch {
    /// The peer tells a window: gives the number of the transfer that it expects, where the session is
    /// known.
    pub(super) fn grant_window(&self, peer_channel: u16, window: u32) -> Option<u32> {
        let channel = *self.channels.borrow().get(&peer_channel)?;
        let mut sessions = self.sessions.borrow_mut();
        let session = sessions.get_mut(&channel)?;
        session.allowed = session.allowed.max(session.transfers + window);
        Some(session.first_transfer.wrapping_add(session.transfers))
    }

    /// The peer answers, where the engine has begun a session: on which channel that was.
    pub(super) fn answer(&self, peer_channel: u16) -> Option<u16> {
        let sessions = self.sessions.borrow();
        let waits = |channel: &u16| sessions.get(channel).is_some_and(|session| !session.answered.replace(true));
        let channel = (0..3).find(waits)?;
        self.channels.borrow_mut().insert(peer_channel, channel);
        Some(channel)
    }

    /// Whether the engine takes one transfer more.
    pub(super) fn has_room(&self, peer_channel: u16, sent: u32) -> bool {
        let sessions = self.sessions.borrow();
        let session = self.channels.borrow().get(&peer_channel).and_then(|channel| sessions.get(channel));
        session.is_some_and(|session| sent < session.room)
    }

    pub(super) fn grant_credit(&self, credit: u32) {
        self.credit.set(self.credit.get() + u64::from(credit));
    }

    pub(super) fn see(&mut self, mut output: &[u8], limit: u32) {
        if !self.header_seen && !output.is_empty() {
            // A header alone answers one that cannot be agreed on.
            let (header, rest) = output.split_at(ProtocolHeader::LENGTH);
            assert_eq!(ProtocolHeader::parse(header), Some(Ok(ProtocolHeader::AMQP)));
            (self.header_seen, output) = (true, rest);
        }
        while !output.is_empty() {
            let size = FrameHeader::frame_size(output, limit).expect("frames are within the limit");
            let (frame, rest) = output.split_at(size.expect("frames are whole"));
            self.frame(Frame::decode(&Bytes::copy_from_slice(frame)).expect("frames can be read"));
            output = rest;
        }
    }

    fn frame(&mut self, frame: Frame) {
        let shown = frame.to_string();
        assert!(!self.closed, "{shown} after close");
        let (channel, performative, payload) = match frame {
            Frame::Amqp { channel, performative, payload } => (channel, performative, payload),
            Frame::Empty { .. } => return assert!(self.opened),
            Frame::Sasl(_) => panic!("{shown}"),
        };
        assert_eq!(self.opened, !matches!(performative, Performative::Open(_)), "{shown}");
        let sessions = self.sessions.get_mut();
        match performative {
            Performative::Open(_) => {
                self.opened = true;
                return;
            }
            Performative::Close(_) => {
                self.closed = true;
                return;
            }
            Performative::Begin(begin) => {
                let first_transfer = begin.next_outgoing_id.0;
                let answered = Cell::new(begin.remote_channel.is_some());
                let room = begin.incoming_window;
                let allowed = super::peer::FIRST_WINDOW;
                let made = Session { first_transfer, room, answered, allowed, ..Session::default() };
                let before = sessions.insert(channel, made);
                assert!(before.is_none(), "{shown}: the channel is in use");
                if let Some(peer) = begin.remote_channel {
                    self.channels.get_mut().insert(peer, channel);
                }
                return;
            }
            _ => {}
        }
        let Some(session) = sessions.get_mut(&channel) else { panic!("{shown}: no session") };
        match performative {
            Performative::End(_) => {
                sessions.remove(&channel);
            }
            Performative::Attach(attach) => {
                let name = attach.name.to_string();
                assert!(session.names.insert((name.clone(), attach.role)), "{shown}: the name is in use");
                let link = Link { role: attach.role, name, more: false };
                assert!(session.links.insert(attach.handle.0, link).is_none(), "{shown}: the handle is in use");
            }
            Performative::Detach(detach) => {
                let link = session.links.remove(&detach.handle.0).unwrap_or_else(|| panic!("{shown}: no link"));
                session.names.remove(&(link.name, link.role));
            }
            Performative::Flow(flow) => session.flow(&flow, &shown),
            Performative::Transfer(transfer) => {
                self.messages += u64::from(session.transfer(&transfer, &payload, &shown));
                assert!(self.messages <= self.credit.get(), "{shown}: more messages than credit");
            }
            Performative::Disposition(disposition) => {
                assert!(disposition.last.is_none_or(|last| !last.precedes(disposition.first)), "{shown}");
            }
            Performative::Open(_) | Performative::Close(_) | Performative::Begin(_) => {}
        }
    }
}

impl Session {
    fn flow(&mut self, flow: &Flow, shown: &str) {
        self.room = flow.next_incoming_id.map_or(0, |id| id.0) + flow.incoming_window;
        assert_eq!(flow.next_outgoing_id.0, self.first_transfer.wrapping_add(self.transfers), "{shown}");
        if let Some(handle) = flow.handle {
            assert!(self.links.contains_key(&handle.0), "{shown}: no link");
            assert!(flow.link_credit.is_some() && flow.delivery_count.is_some(), "{shown}");
        }
    }

    /// Whether a message begins.
    fn transfer(&mut self, transfer: &Transfer, payload: &[u8], shown: &str) -> bool {
        let link = self.links.get_mut(&transfer.handle.0).unwrap_or_else(|| panic!("{shown}: no link"));
        assert_eq!(link.role, Role::Sender, "{shown}");
        let begins = !link.more;
        assert_eq!(begins, transfer.delivery_id.is_some(), "{shown}");
        assert!(!transfer.more || !payload.is_empty(), "{shown}: it gets nowhere");
        link.more = transfer.more;
        if let Some(number) = transfer.delivery_id {
            assert!(transfer.delivery_tag.is_some());
            assert!(self.next_delivery.is_none_or(|next| next == number.0), "{shown}: out of sequence");
            self.next_delivery = Some(number.next().0);
        }
        self.transfers += 1;
        assert!(self.transfers <= self.allowed, "{shown}: beyond the window");
        begins
    }
}
