//! What is known about a message besides its bytes (RFC 9622 9.1.1).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::metadata::MetadataValue;
use crate::endpoint::EndpointAddress;
use crate::properties::{
    CapacityProfile, ChecksumCoverage, MessageProperties, MessageProperty, PropertyError, PropertyValue,
};

/// What is known about a message besides its bytes: its properties, what framers have to say about it, and, once
/// it is received, where it came from.
///
/// A default one costs nothing, and a clone costs a reference count. Changing a context changes no message that was
/// sent with it before (RFC 9622 9.1.3).
///
/// ```
/// use std::time::Duration;
/// use postroad_taps::{Message, MessageContext};
///
/// let mut context = MessageContext::new();
/// context.set_priority(5).set_lifetime(Duration::from_millis(20));
/// context.add("type", 7, "tlv");
/// // Two parts of one message: they have the same context.
/// let first = Message::new("hel").in_context(context.clone()).partial();
/// let rest = Message::new("lo").in_context(context);
/// assert!(first.context.same_message(&rest.context));
/// assert_eq!(rest.context.get("type", "tlv").and_then(|value| value.as_integer()), Some(7));
/// ```
#[derive(Clone, Default)]
pub struct MessageContext {
    /// On a message to send: nothing follows it (RFC 9622 9.1.3.5). On a received one: the peer has said that
    /// nothing follows it (9.3.3.3).
    #[doc(alias = "FINAL")]
    #[doc(alias = "final")]
    #[doc(alias = "RECEIVING_FINAL_MESSAGE")]
    #[doc(alias = "receiving-final-messages")]
    pub last: bool,
    early_data: bool,
    ecn: Option<Ecn>,
    dscp: Option<u8>,
    /// 0: not known.
    interface: u32,
    /// Tells messages apart; 0 is no identity.
    id: u64,
    /// The same for all messages of a connection, so that receiving one allocates nothing.
    endpoints: Option<Arc<Endpoints>>,
    more: Option<Arc<More>>,
}

/// The explicit congestion notification of the packet that a message came in (RFC 3168 5; RFC 9622 9.3.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ecn {
    /// The sender does not take part.
    NotEct = 0,
    /// The sender takes part, code point ECT(1).
    Ect1 = 1,
    /// The sender takes part, code point ECT(0).
    Ect0 = 2,
    /// A router on the way was congested.
    Ce = 3,
}

impl Ecn {
    /// The notification in the octet that IP calls type of service or traffic class: its two lower bits.
    #[must_use]
    pub const fn from_octet(octet: u8) -> Self {
        match octet & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }
}

/// The two ends of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoints {
    pub(crate) local: EndpointAddress,
    pub(crate) remote: EndpointAddress,
}

/// What most messages have none of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct More {
    /// Those that were set; the others are as the connection has them.
    properties: MessageProperties,
    metadata: Vec<Metadata>,
    /// The received message that this one answers.
    request: Option<MessageContext>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Metadata {
    scope: Cow<'static, str>,
    key: Cow<'static, str>,
    value: MetadataValue,
}

impl MessageContext {
    /// Nothing known.
    pub(crate) const NONE: Self = Self {
        last: false,
        early_data: false,
        ecn: None,
        dscp: None,
        interface: 0,
        id: 0,
        endpoints: None,
        more: None,
    };

    /// The identity of what framers send of their own accord: always whole, and never part of a message.
    pub(crate) const FRAMERS: u64 = u64::MAX;

    /// A context for one message at a time, which may have several parts. (A default context is for whole messages:
    /// it is like every other default context.)
    #[must_use]
    pub fn new() -> Self {
        let mut context = Self::default();
        context.identify();
        context
    }

    /// Whether two contexts belong to parts of the same message. A message that came in one part is the same as
    /// none.
    #[must_use]
    pub fn same_message(&self, other: &Self) -> bool {
        self.id != 0 && self.id == other.id
    }

    /// Sets a value for a framer; `scope` is the name space of the framer that it is for (RFC 9622 9.1.2.2).
    pub fn add(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        value: impl Into<MetadataValue>,
        scope: impl Into<Cow<'static, str>>,
    ) -> &mut Self {
        let (key, value, scope) = (key.into(), value.into(), scope.into());
        let metadata = &mut self.more().metadata;
        match metadata.iter_mut().find(|old| old.scope == scope && old.key == key) {
            Some(old) => old.value = value,
            None => metadata.push(Metadata { scope, key, value }),
        }
        self
    }

    /// The value that was set for a framer, or by one on a received message.
    #[must_use]
    pub fn get(&self, key: &str, scope: &str) -> Option<&MetadataValue> {
        let more = self.more.as_deref()?;
        more.metadata.iter().find(|data| data.scope == scope && data.key == key).map(|data| &data.value)
    }

    /// Where a received message came to.
    #[doc(alias = "get_local_endpoint")]
    #[must_use]
    pub fn local_endpoint(&self) -> Option<&EndpointAddress> {
        self.endpoints.as_deref().map(|endpoints| &endpoints.local)
    }

    /// Where a received message came from.
    #[doc(alias = "get_remote_endpoint")]
    #[must_use]
    pub fn remote_endpoint(&self) -> Option<&EndpointAddress> {
        self.endpoints.as_deref().map(|endpoints| &endpoints.remote)
    }

    /// A context for the answer to a received message: it has the same endpoints, and remembers the message.
    #[must_use]
    pub fn reply(&self) -> Self {
        let mut request = self.clone();
        // An answer to an answer remembers the last one only, or a long talk would be kept as a whole.
        if request.original_request().is_some() {
            request.more().request = None;
        }
        let mut reply = Self { endpoints: self.endpoints.clone(), ..Self::new() };
        reply.more().request = Some(request);
        reply
    }

    /// The context of the message that this one answers, when it was made by [`reply`](Self::reply).
    #[doc(alias = "get_original_request")]
    #[must_use]
    pub fn original_request(&self) -> Option<&Self> {
        self.more.as_deref()?.request.as_ref()
    }

    /// The congestion mark of the packet that brought a received message, where the transport shows it.
    #[doc(alias = "ECN")]
    #[must_use]
    pub fn ecn(&self) -> Option<Ecn> {
        self.ecn
    }

    /// The differentiated services code point of the packet that brought a received message, 0 to 63, where the
    /// transport shows it (RFC 2474 3).
    #[must_use]
    pub fn dscp(&self) -> Option<u8> {
        self.dscp
    }

    /// The index of the interface that a received message came by, where the transport shows it: UDP where it stands on
    /// several addresses or has joined a multicast group (RFC 9622 6.1.1).
    #[must_use]
    pub fn interface(&self) -> Option<u32> {
        Some(self.interface).filter(|index| *index != 0)
    }

    /// Whether a received message was sent before the handshake was over, so that it may be a copy
    /// (RFC 9622 9.3.3.2).
    #[doc(alias = "EARLY_DATA")]
    #[doc(alias = "early-data")]
    #[must_use]
    pub fn is_early_data(&self) -> bool {
        self.early_data
    }

    /// How long the message may wait before it is sent, when that was set (RFC 9622 9.1.3.1).
    #[must_use]
    pub fn lifetime(&self) -> Option<Duration> {
        self.more.as_deref().and_then(|more| more.properties.lifetime())
    }

    /// The priority of the message, 100 unless another was set; a lower number goes first (RFC 9622 9.1.3.2).
    #[must_use]
    pub fn priority(&self) -> u32 {
        self.properties().priority()
    }

    /// The properties that were set for this message; the others are as the connection has them.
    #[must_use]
    pub fn properties(&self) -> MessageProperties {
        let set = self.more.as_deref().map_or_else(MessageProperties::default, |more| more.properties);
        if self.last { set.with_final(true) } else { set }
    }

    /// Whether nothing was set: the message is like any other.
    pub(crate) fn is_plain(&self) -> bool {
        self.more.is_none() && !self.last
    }

    /// A property of the message by its name: one that was set, or what is known about a received message.
    #[must_use]
    pub fn property(&self, property: MessageProperty) -> Option<PropertyValue> {
        match property {
            MessageProperty::Ecn => self.ecn.map(|ecn| i64::from(ecn as u8).into()),
            MessageProperty::EarlyData => Some(self.early_data.into()),
            MessageProperty::ReceivingFinal => Some(self.last.into()),
            other => self.properties().get(other),
        }
    }

    /// Sets a property of the message by its name.
    ///
    /// # Errors
    /// It is read-only, or the value is not one of it; nothing has changed then.
    pub fn set_property(
        &mut self,
        property: MessageProperty,
        value: impl Into<PropertyValue>,
    ) -> Result<&mut Self, PropertyError> {
        let mut properties = self.properties();
        properties.set(property, value)?;
        Ok(self.set_properties(properties))
    }

    /// Sets the properties of the message, in place of those that were set before.
    pub fn set_properties(&mut self, mut properties: MessageProperties) -> &mut Self {
        self.last = properties.is_final();
        properties.unset(MessageProperty::Final);
        if self.more.is_some() || properties != MessageProperties::default() {
            self.more().properties = properties;
        }
        self
    }

    /// Limits how long the message may wait before it is sent.
    #[doc(alias = "msg-lifetime")]
    pub fn set_lifetime(&mut self, lifetime: Duration) -> &mut Self {
        self.more().properties.set_lifetime(lifetime);
        self
    }

    /// Sets the priority; a lower number goes first.
    #[doc(alias = "msg-prio")]
    pub fn set_priority(&mut self, priority: u32) -> &mut Self {
        self.more().properties.set_priority(priority);
        self
    }

    /// Sets whether the message stays in its order (RFC 9622 9.1.3.3).
    #[doc(alias = "msg-ordered")]
    pub fn set_ordered(&mut self, ordered: bool) -> &mut Self {
        self.more().properties.set_ordered(ordered);
        self
    }

    /// Sets whether the message may arrive more than once (RFC 9622 9.1.3.4).
    #[doc(alias = "idempotent")]
    pub fn set_safely_replayable(&mut self, replayable: bool) -> &mut Self {
        self.more().properties.set_safely_replayable(replayable);
        self
    }

    /// Sets how much of the message a checksum must cover (RFC 9622 9.1.3.6).
    #[doc(alias = "msg-checksum-len")]
    pub fn set_checksum_len(&mut self, coverage: ChecksumCoverage) -> &mut Self {
        self.more().properties.set_checksum_len(coverage);
        self
    }

    /// Sets whether the message is sent again until it has arrived (RFC 9622 9.1.3.7).
    #[doc(alias = "msg-reliable")]
    pub fn set_reliable(&mut self, reliable: bool) -> &mut Self {
        self.more().properties.set_reliable(reliable);
        self
    }

    /// Sets the treatment that the network should give to the message (RFC 9622 9.1.3.8).
    #[doc(alias = "msg-capacity-profile")]
    pub fn set_capacity_profile(&mut self, profile: CapacityProfile) -> &mut Self {
        self.more().properties.set_capacity_profile(profile);
        self
    }

    /// Sets whether the network must not fragment the message (RFC 9622 9.1.3.9).
    pub fn set_no_fragmentation(&mut self, no_fragmentation: bool) -> &mut Self {
        self.more().properties.set_no_fragmentation(no_fragmentation);
        self
    }

    /// Sets whether the transport must not segment the message (RFC 9622 9.1.3.10).
    pub fn set_no_segmentation(&mut self, no_segmentation: bool) -> &mut Self {
        self.more().properties.set_no_segmentation(no_segmentation);
        self
    }

    /// Gives the context an identity unless it has one.
    pub(crate) fn identify(&mut self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        if self.id == 0 {
            self.id = NEXT.fetch_add(1, Ordering::Relaxed);
        }
        self.id
    }

    /// What tells this message from others on its way out: contexts without an identity are all alike.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Makes this the context of a part of the message `id`.
    pub(crate) fn set_id(&mut self, id: u64) {
        self.id = id;
    }

    /// Where the message came from and to, unless its transport has said so for this very message.
    pub(crate) fn set_endpoints(&mut self, endpoints: &Option<Arc<Endpoints>>) {
        if self.endpoints.is_none() {
            self.endpoints.clone_from(endpoints);
        }
    }

    pub(crate) fn set_ecn(&mut self, ecn: Ecn) {
        self.ecn = Some(ecn);
    }

    pub(crate) fn set_dscp(&mut self, dscp: u8) {
        self.dscp = Some(dscp);
    }

    pub(crate) fn set_interface(&mut self, index: u32) {
        self.interface = index;
    }

    pub(crate) fn set_early_data(&mut self) {
        self.early_data = true;
    }

    /// Adds what is known about the message below, which brought this one or a part of it. What a framer has said
    /// about this one stands. Whether it is the last one does not follow: the message below may bring several.
    pub(crate) fn inherit(&mut self, below: &Self) {
        self.early_data |= below.early_data;
        // One mark is enough to be told of.
        self.ecn = if below.ecn == Some(Ecn::Ce) { below.ecn } else { self.ecn.or(below.ecn) };
        self.dscp = self.dscp.or(below.dscp);
        if self.interface == 0 {
            self.interface = below.interface;
        }
        self.set_endpoints(&below.endpoints);
        let Some(more) = below.more.as_ref().filter(|more| !more.metadata.is_empty()) else { return };
        if self.more.is_none() {
            self.more = Some(more.clone());
            return;
        }
        for data in &more.metadata {
            if self.get(&data.key, &data.scope).is_none() {
                self.more().metadata.push(data.clone());
            }
        }
    }

    /// A copy of our own, so that messages that share the old one keep it.
    fn more(&mut self) -> &mut More {
        Arc::make_mut(self.more.get_or_insert_default())
    }
}

/// What the contexts say is compared, not which message they belong to.
impl PartialEq for MessageContext {
    fn eq(&self, other: &Self) -> bool {
        (self.last, self.early_data, self.ecn) == (other.last, other.early_data, other.ecn)
            && (self.dscp, self.interface) == (other.dscp, other.interface)
            && self.endpoints == other.endpoints
            && (self.more == other.more || (self.says_nothing() && other.says_nothing()))
    }
}

impl Eq for MessageContext {}

impl MessageContext {
    fn says_nothing(&self) -> bool {
        self.more.as_deref().is_none_or(|more| *more == More::default())
    }
}

impl fmt::Debug for MessageContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("MessageContext");
        if self.last {
            shown.field("last", &true);
        }
        if self.early_data {
            shown.field("early_data", &true);
        }
        if let Some(ecn) = self.ecn {
            shown.field("ecn", &ecn);
        }
        if let Some(dscp) = self.dscp {
            shown.field("dscp", &dscp);
        }
        if let Some(interface) = self.interface() {
            shown.field("interface", &interface);
        }
        if let Some(endpoints) = &self.endpoints {
            shown.field("local", &endpoints.local).field("remote", &endpoints.remote);
        }
        if let Some(more) = &self.more {
            shown.field("more", more);
        }
        shown.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::message::Message;

    #[test]
    fn a_default_context_allocates_nothing_and_neither_do_its_flags() {
        let counted = allocation_counter::measure(|| {
            let message = Message::new(&[][..]).last();
            let copy = message.context.clone();
            let mut received = MessageContext::default();
            received.inherit(&message.context);
            received.set_ecn(Ecn::Ce);
            received.set_early_data();
            assert!(copy.last && received.is_early_data() && received.priority() == 100);
            assert!(received != copy && copy == message.context);
        });
        assert_eq!(counted.count_total, 0);
    }

    #[test]
    fn properties_that_are_not_set_are_the_connections() {
        let connection = MessageProperties::default().with_priority(7).with_safely_replayable(true);
        let mut context = MessageContext::default();
        assert!(context.is_plain());
        assert_eq!(context.properties().or(&connection), connection);
        context.set_lifetime(Duration::from_secs(1)).set_ordered(false).set_reliable(false);
        context.set_checksum_len(ChecksumCoverage::Bytes(20)).set_capacity_profile(CapacityProfile::Scavenger);
        context.set_no_fragmentation(true).set_no_segmentation(true);
        context.last = true;
        let expected = connection
            .with_lifetime(Duration::from_secs(1))
            .with_ordered(false)
            .with_reliable(false)
            .with_checksum_len(ChecksumCoverage::Bytes(20))
            .with_capacity_profile(CapacityProfile::Scavenger)
            .with_no_fragmentation(true)
            .with_no_segmentation(true)
            .with_final(true);
        assert_eq!(context.properties().or(&connection), expected);
        context.set_safely_replayable(false).set_priority(3);
        let properties = context.properties().or(&connection);
        assert_eq!((properties.priority(), properties.safely_replayable()), (3, false));
    }

    #[test]
    fn properties_have_names() {
        let mut context = MessageContext::default();
        context.set_property(MessageProperty::Priority, 5).unwrap();
        context.set_property(MessageProperty::Final, true).unwrap();
        assert!(context.last && context.priority() == 5);
        assert_eq!(context.property(MessageProperty::Final), Some(true.into()));
        assert_eq!(context.property(MessageProperty::ReceivingFinal), Some(true.into()));
        assert_eq!(context.property(MessageProperty::EarlyData), Some(false.into()));
        assert_eq!(context.property(MessageProperty::Ecn), None);
        context.set_ecn(Ecn::Ce);
        assert_eq!(context.property(MessageProperty::Ecn), Some(3.into()));
        assert!(context.set_property(MessageProperty::Ecn, 1).is_err());
        assert!(context.set_property(MessageProperty::Priority, -1).is_err());
        assert_eq!(context.priority(), 5);
        context.set_properties(MessageProperties::default());
        assert!(!context.last && context.priority() == 100);
    }

    /// RFC 9622 9.1.3: what changes in a context after a message was sent does not change the message.
    #[test]
    fn a_change_does_not_reach_the_copies() {
        let mut context = MessageContext::new();
        context.add("type", 1, "tlv").set_priority(5);
        let sent = context.clone();
        context.add("type", 2, "tlv").set_priority(6);
        assert_eq!(sent.get("type", "tlv"), Some(&MetadataValue::Integer(1)));
        assert_eq!((sent.priority(), context.priority()), (5, 6));
        assert!(sent.same_message(&context), "it is the same message all the same");
        assert_ne!(sent, context);
    }

    /// RFC 9622 9.1.2.2: values have the name space of their framer.
    #[test]
    fn metadata_is_kept_apart_by_scope() {
        let mut context = MessageContext::default();
        context.add("accept", "text/html", "http").add("accept", true, "other");
        assert_eq!(context.get("accept", "http").and_then(MetadataValue::as_text), Some("text/html"));
        assert_eq!(context.get("accept", "other").and_then(MetadataValue::as_bool), Some(true));
        assert_eq!(context.get("accept", "tlv"), None);
    }

    #[test]
    fn what_a_framer_says_stands_before_what_the_layer_below_says() {
        let mut below = MessageContext::default();
        below.add("type", 1, "tlv").add("more", 2, "tlv");
        below.set_ecn(Ecn::Ce);
        let mut context = MessageContext::default();
        context.inherit(&below);
        assert_eq!(context, below);
        let mut context = MessageContext::default();
        context.add("type", 9, "tlv");
        context.set_ecn(Ecn::Ect0);
        context.inherit(&below);
        assert_eq!(context.get("type", "tlv").and_then(MetadataValue::as_integer), Some(9));
        assert_eq!(context.get("more", "tlv").and_then(MetadataValue::as_integer), Some(2));
        assert_eq!(context.ecn(), Some(Ecn::Ce));
    }

    #[test]
    fn a_reply_remembers_its_request_and_no_earlier_one() {
        let endpoint = |port| EndpointAddress::from(SocketAddr::from(([127, 0, 0, 1], port)));
        let endpoints = Some(Arc::new(Endpoints { local: endpoint(1), remote: endpoint(2) }));
        let mut request = MessageContext::default();
        request.set_endpoints(&endpoints);
        request.add("id", 5, "rpc");
        let reply = request.reply();
        assert_eq!(reply.original_request(), Some(&request));
        assert_eq!(reply.remote_endpoint(), Some(&endpoint(2)));
        assert_eq!(reply.local_endpoint(), Some(&endpoint(1)));
        assert_eq!(reply.get("id", "rpc"), None);
        let second = reply.reply();
        let remembered = second.original_request().unwrap();
        assert!(remembered.same_message(&reply) && remembered.original_request().is_none());
    }

    #[test]
    fn the_notification_is_the_two_lower_bits() {
        let all = [0xb8, 0xb9, 0xba, 0xbb].map(Ecn::from_octet);
        assert_eq!(all, [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce]);
    }
}
