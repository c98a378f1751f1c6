//! A session: two windows, the deliveries on it, and the handles of its links (part 2, 2.5).

use std::collections::VecDeque;

use postroad_codec::v1_0::{
    Begin, DeliveryNumber, DeliveryState, DeliveryTag, Disposition, Flow, Handle, MessageFormat, Received, Role,
    TransferNumber,
};

use super::arena::Key;
use super::delivery_map::DeliveryMap;
use super::event::SessionId;
use super::send_log::Kept;
use super::{Config, LinkId};

/// Where a session is in its life.
///
/// ```text
///  begin sent ──begin received──▶ Mapped ──end sent──▶ EndSent ──end received──▶ Gone
///                                   └────end received (answered at once)────────▶ Gone
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    BeginSent,
    Mapped,
    EndSent,
    /// Kept for what its links have not settled.
    Gone,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) phase: Phase,
    pub(crate) channel: u16,
    pub(crate) remote_channel: Option<u16>,
    pub(crate) remote_handle_max: u32,
    /// Links that have not been freed.
    pub(crate) links: u32,
    /// Whether the owner has heard that it is over, before the peer has answered.
    pub(crate) told: bool,
    /// Whether it ended with an error, so that whatever still comes is discarded (2.5.5).
    pub(crate) discarding: bool,

    initial_outgoing_id: TransferNumber,
    pub(crate) next_outgoing_id: TransferNumber,
    pub(crate) next_delivery: DeliveryNumber,
    /// Transfers that the peer takes (2.5.6, remote-incoming-window).
    pub(crate) remote_window: u32,
    pub(crate) next_incoming_id: TransferNumber,
    pub(crate) next_incoming_delivery: Option<DeliveryNumber>,
    /// Transfers that the peer may still send before we tell it more.
    pub(crate) incoming_window: u32,
    /// Bytes of messages that wait for the owner.
    pub(crate) queued_bytes: usize,
    /// Deliveries of which only a part has come.
    pub(crate) partials: u32,

    pub(crate) outgoing: DeliveryMap<Outgoing>,
    pub(crate) incoming: DeliveryMap<Incoming>,
    /// Our handles, and the peer's.
    pub(crate) handles: Vec<Option<Key>>,
    pub(crate) remote_handles: Vec<Option<Key>>,

    pub(crate) dispositions: VecDeque<Disposition>,
    pub(crate) flow_due: bool,
    pub(crate) link_flows: Vec<Key>,
    /// Links with a message of which a part waits for the window.
    pub(crate) parked: VecDeque<Key>,
    pub(crate) dirty: bool,
}

/// A delivery that we sent and have not settled.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) link: LinkId,
    pub(crate) token: u64,
    pub(crate) tag: DeliveryTag,
    pub(crate) message_format: MessageFormat,
    pub(crate) kept: Kept,
    pub(crate) local_state: Option<DeliveryState>,
    pub(crate) remote_state: Option<DeliveryState>,
}

/// A delivery that we received and have not settled.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) link: LinkId,
    pub(crate) tag: DeliveryTag,
    pub(crate) message_format: MessageFormat,
    /// How much of it has come, where the link can be resumed: all of it, as the number of its sections.
    pub(crate) received: Received,
    pub(crate) local_state: Option<DeliveryState>,
    pub(crate) remote_state: Option<DeliveryState>,
}

/// The peer may count on sending this much more once half of the window is used.
const OUTGOING_WINDOW: u32 = i32::MAX as u32;

impl Session {
    pub(crate) fn new(id: SessionId, channel: u16, phase: Phase, config: &Config) -> Self {
        Self {
            id,
            phase,
            channel,
            remote_channel: None,
            remote_handle_max: u32::MAX,
            links: 0,
            told: false,
            discarding: false,
            initial_outgoing_id: config.initial_outgoing_id,
            next_outgoing_id: config.initial_outgoing_id,
            next_delivery: config.initial_delivery_id,
            remote_window: 0,
            next_incoming_id: TransferNumber(0),
            next_incoming_delivery: None,
            incoming_window: full_window(config),
            queued_bytes: 0,
            partials: 0,
            outgoing: DeliveryMap::default(),
            incoming: DeliveryMap::default(),
            handles: Vec::new(),
            remote_handles: Vec::new(),
            dispositions: VecDeque::new(),
            flow_due: false,
            link_flows: Vec::new(),
            parked: VecDeque::new(),
            dirty: false,
        }
    }

    /// Whether frames may still be sent on it.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::BeginSent | Phase::Mapped)
    }

    pub(crate) fn begin(&self, config: &Config) -> Begin {
        Begin {
            remote_channel: self.remote_channel,
            next_outgoing_id: self.next_outgoing_id,
            incoming_window: self.incoming_window,
            outgoing_window: OUTGOING_WINDOW,
            handle_max: Handle(config.handle_max),
            ..Begin::default()
        }
    }

    /// Takes in the peer's begin.
    pub(crate) fn begun(&mut self, channel: u16, begin: &Begin) {
        self.remote_channel = Some(channel);
        self.remote_handle_max = begin.handle_max.0;
        self.next_incoming_id = begin.next_outgoing_id;
        self.remote_window = begin.incoming_window;
        self.phase = Phase::Mapped;
    }

    /// The part of a flow that is about the session (2.5.6).
    pub(crate) fn flow(&self) -> Flow {
        Flow {
            // Set only once the peer's begin has told it.
            next_incoming_id: (self.phase != Phase::BeginSent).then_some(self.next_incoming_id),
            incoming_window: self.incoming_window,
            next_outgoing_id: self.next_outgoing_id,
            outgoing_window: OUTGOING_WINDOW,
            ..Flow::default()
        }
    }

    /// Takes in the session part of the peer's flow.
    pub(crate) fn handle_flow(&mut self, flow: &Flow) {
        // 2.5.6: what the peer takes, less what is under way to it. Before it has seen our begin, it
        // counts from our first id.
        let seen = flow.next_incoming_id.unwrap_or(self.initial_outgoing_id);
        let under_way = self.next_outgoing_id.since(seen);
        self.remote_window = flow.incoming_window.saturating_sub(under_way);
    }

    /// The window that we can offer: as many transfers as configured, and as many full frames as the
    /// bytes that may wait. A delivery that has begun may always go on, its link's limit bounds it; and
    /// where nothing waits, one frame fits however small the limit is.
    fn open_window(&self, config: &Config) -> u32 {
        let least = (self.partials > 0 || self.queued_bytes == 0).into();
        window_for(config.incoming_bytes.saturating_sub(self.queued_bytes), config).max(least)
    }

    /// Notes that the owner took what waited, and tells the peer when half of the window is free again.
    #[inline]
    pub(crate) fn reopen(&mut self, config: &Config) {
        let full = full_window(config);
        if self.incoming_window > full / 2 {
            return;
        }
        // A slow owner frees a little at a time: the peer is told of a quarter, or before it has to stop.
        let open = self.open_window(config);
        if open > self.incoming_window && (self.incoming_window == 0 || open - self.incoming_window > full / 4) {
            self.incoming_window = open;
            self.flow_due = true;
        }
    }

    /// Adds a disposition, or widens the last one where it says the same of the next delivery.
    #[inline]
    pub(crate) fn dispose(
        &mut self,
        role: Role,
        delivery: DeliveryNumber,
        state: Option<DeliveryState>,
        settled: bool,
    ) {
        if let Some(last) = self.dispositions.back_mut() {
            let end = last.last.unwrap_or(last.first);
            let same = last.role == role && last.settled == settled && end.next() == delivery && last.state == state;
            if same {
                last.last = Some(delivery);
                return;
            }
        }
        self.dispositions.push_back(Disposition { role, first: delivery, settled, state, ..Disposition::default() });
    }

    /// The lowest handle that is free, within what the peer takes.
    pub(crate) fn free_handle(&mut self) -> Option<u32> {
        let free = self.handles.iter().position(Option::is_none).unwrap_or(self.handles.len());
        let free = u32::try_from(free).ok().filter(|free| *free <= self.remote_handle_max)?;
        if free as usize == self.handles.len() {
            self.handles.push(None);
        }
        Some(free)
    }

    #[inline]
    pub(crate) fn link_of(&self, remote_handle: Handle) -> Option<Key> {
        self.remote_handles.get(remote_handle.0 as usize).copied().flatten()
    }
}

/// The window of a session where nothing waits.
fn full_window(config: &Config) -> u32 {
    window_for(config.incoming_bytes, config).max(1)
}

/// Frames that fit into `bytes`, within the configured window.
fn window_for(bytes: usize, config: &Config) -> u32 {
    u32::try_from(bytes / config.max_frame_size as usize).unwrap_or(u32::MAX).min(config.incoming_window)
}
