//! The properties of a connection and what follows from them (RFC 9622 8).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{Carrier, Core, Rules};
use crate::connection::event::Event;
use crate::connection::pace::Pace;
use crate::connection::properties::has;
use crate::group::{Group, Membership};
use crate::properties::{
    ConnectionStatus, EstablishedProperties, MessageProperties, Preference, SelectionProperty, TransportProperties,
};
use crate::selection::may_duplicate;
use crate::transport::{Limits, Transport};

impl Core {
    pub(super) fn limits(&self) -> Limits {
        match &self.carrier {
            Carrier::Transport(Transport::Message(transport)) => transport.limits(),
            _ => Limits::default(),
        }
    }

    /// Brings the connection and its transport from some properties to others.
    pub(in crate::connection) fn apply(&mut self, to: &TransportProperties) -> io::Result<()> {
        let from = &self.properties.connection;
        match &mut self.carrier {
            Carrier::Transport(Transport::Stream(stream)) => stream.apply(from, &to.connection)?,
            Carrier::Transport(Transport::Message(transport)) => transport.apply(from, &to.connection)?,
            Carrier::Opening(_) | Carrier::Gone => {}
        }
        self.properties = to.clone();
        self.take_properties();
        self.events.tell(Event::PropertyChange);
        Ok(())
    }

    /// Brings what the connection sees to itself in line with its properties.
    pub(super) fn take_properties(&mut self) {
        let properties = &self.properties.connection;
        Pace::set(&mut self.send_pace, properties.max_send_rate);
        Pace::set(&mut self.receive_pace, properties.max_recv_rate);
        if let Some(membership) = &self.membership {
            membership.apply(properties);
        }
        if self.facts.get().is_some() {
            let established = self.established_properties();
            let plain = established.of_message(&MessageProperties::default()).map(drop);
            let can_send = self.facts.get().is_none_or(|facts| facts.about.can_send);
            self.rules = Some(Box::new(Rules { established, plain, can_send }));
        }
    }

    pub(in crate::connection) fn properties(&self) -> &TransportProperties {
        &self.properties
    }

    /// The properties as they can be read: what the protocol and the path have, and the read-only ones.
    pub(in crate::connection) fn established_properties(&self) -> EstablishedProperties {
        let (wanted, about) = (&self.properties, self.facts.get().map(|facts| &facts.about));
        let has = |property| about.is_some_and(|about| has(about, wanted, property));
        let duplicates = about.is_some_and(|about| may_duplicate(about.stack));
        let properties = wanted.established(has).may_duplicate(duplicates).with_status(self.status());
        match about {
            Some(about) => properties.with_multipath(about.multipath),
            None => properties,
        }
    }

    pub(super) fn status(&self) -> ConnectionStatus {
        let (limits, about) = (self.limits(), self.facts.get().map(|facts| &facts.about));
        let length = |limit: Option<usize>| limit.map(|limit| limit as u64);
        ConnectionStatus {
            conn_state: self.state(),
            can_send: self.can_send(),
            can_receive: self.can_receive(),
            zero_rtt_msg_max_len: about.filter(|about| about.zero_rtt).and_then(|_| length(limits.send)),
            singular_transmission_msg_max_len: length(limits.singular),
            send_msg_max_len: length(limits.send),
            recv_msg_max_len: length(limits.receive),
        }
    }

    pub(in crate::connection) fn group(&self) -> Option<Arc<Group>> {
        self.membership.as_ref().map(|membership| Arc::clone(membership.group()))
    }

    pub(in crate::connection) fn set_membership(&mut self, membership: Membership) {
        self.membership = Some(membership);
    }

    /// Whether somebody wants to know of retransmissions, and the transport has them.
    pub(in crate::connection) fn counts_retransmissions(&self) -> bool {
        self.retransmission_threshold().is_some() && self.retransmissions().is_some()
    }

    /// Tells when more segments were sent again in a row than the threshold, once until they have got through.
    pub(in crate::connection) fn check_retransmissions(&mut self) {
        let (Some(threshold), Some(count)) = (self.retransmission_threshold(), self.retransmissions()) else { return };
        let excessive = count > threshold;
        if excessive && !self.excessive {
            self.events.tell(Event::ExcessiveRetransmission { count });
        }
        self.excessive = excessive;
    }

    fn retransmission_threshold(&self) -> Option<u32> {
        let wanted = self.properties.preference(SelectionProperty::RetransmitNotify) >= Preference::Prefer;
        self.properties.connection.retransmit_notify_threshold.filter(|_| wanted)
    }

    /// What a packet takes to the peer and back, while the connection is neither closing nor lost.
    pub(in crate::connection) fn round_trip(&self) -> Option<Duration> {
        match &self.carrier {
            Carrier::Transport(transport) if !self.closing && self.failure.is_none() => transport.round_trip(),
            _ => None,
        }
    }

    fn retransmissions(&self) -> Option<u32> {
        match &self.carrier {
            Carrier::Transport(Transport::Stream(stream)) => stream.retransmissions(),
            _ => None,
        }
    }
}
