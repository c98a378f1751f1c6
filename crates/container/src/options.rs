//! How links are made.

use std::fmt;

use postroad_client as client;
use postroad_client::types::{DeliveryTag, Fields, Symbol, Value};
use postroad_client::{Distribution, Expiry, Guarantee, Node};

use crate::Handler;

/// Makes the tags of deliveries.
pub(crate) type Tags = Box<dyn FnMut() -> DeliveryTag + Send>;

/// How a link is made: its ends, its terms, and who hears of it.
#[doc(alias = "LinkOption")]
#[doc(alias = "SenderOption")]
#[doc(alias = "ReceiverOption")]
#[derive(Default)]
pub struct LinkOptions {
    /// Where messages come from, and where they go; of a sender the target is at the peer, of a receiver the source.
    pub(crate) source: Node,
    pub(crate) target: Node,
    pub(crate) dynamic: bool,
    pub(crate) dynamic_properties: Option<Fields>,
    pub(crate) terms: client::LinkOptions,
    pub(crate) tags: Option<Tags>,
    pub(crate) handler: Option<Box<dyn Handler>>,
}

impl LinkOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where messages come from: at the peer for a receiver, a name of our own for a sender.
    #[must_use]
    pub fn source(mut self, source: impl Into<Node>) -> Self {
        self.source = source.into();
        self
    }

    /// Where messages go: at the peer for a sender, a name of our own for a receiver.
    #[must_use]
    pub fn target(mut self, target: impl Into<Node>) -> Self {
        self.target = target.into();
        self
    }

    /// Has the peer make the node at its end, for as long as the link is there.
    #[must_use]
    pub fn dynamic(mut self) -> Self {
        self.dynamic = true;
        self
    }

    /// Properties of the node that the peer makes, such as `lifetime-policy` and `supported-dist-modes`.
    #[doc(alias = "DynamicNodeProperties")]
    #[must_use]
    pub fn dynamic_node_properties(mut self, properties: impl IntoIterator<Item = (Symbol, impl Into<Value>)>) -> Self {
        self.dynamic = true;
        self.dynamic_properties =
            Some(Fields(properties.into_iter().map(|(name, value)| (Value::from(name), value.into())).collect()));
        self
    }

    /// The name of the link; a unique one by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.terms.name = Some(name.into());
        self
    }

    /// How often a message may arrive: [`AtLeastOnce`](Guarantee::AtLeastOnce) by default. With
    /// [`ExactlyOnce`](Guarantee::ExactlyOnce) the link is not attached where the peer does not keep its side of it
    /// ([`GuaranteeUnavailable`](client::AttachError::GuaranteeUnavailable)).
    #[must_use]
    pub fn guarantee(mut self, guarantee: Guarantee) -> Self {
        self.terms.guarantee = guarantee;
        self
    }

    /// Messages arrive once or not at all.
    #[doc(alias = "AtMostOnce")]
    #[must_use]
    pub fn at_most_once(self) -> Self {
        self.guarantee(Guarantee::AtMostOnce)
    }

    /// Messages arrive once or more often.
    #[doc(alias = "AtLeastOnce")]
    #[must_use]
    pub fn at_least_once(self) -> Self {
        self.guarantee(Guarantee::AtLeastOnce)
    }

    /// Messages arrive once.
    #[doc(alias = "ExactlyOnce")]
    #[must_use]
    pub fn exactly_once(self) -> Self {
        self.guarantee(Guarantee::ExactlyOnce)
    }

    /// Takes only messages for which the source's filter of this name holds.
    #[doc(alias = "Filter")]
    #[must_use]
    pub fn filter(mut self, name: Symbol, filter: impl Into<Value>) -> Self {
        self.source.filters.push((name, filter.into()));
        self
    }

    /// Takes only messages that a selector fits, in the language of JMS: `colour = 'green' AND weight > 2`. Not every peer
    /// can; what is in place stands in [`Receiver::remote_source`](crate::Receiver::remote_source), if the peer is honest.
    #[doc(alias = "Selector")]
    #[must_use]
    pub fn selector(self, selector: impl Into<String>) -> Self {
        self.filter(Symbol::from_static("selector"), selector_filter(selector.into()))
    }

    /// Has the peer keep the subscription, and the messages for it, while the link is not attached: it is taken up by a
    /// container of the same id with a link of the same name, given up with [`Receiver::close`](crate::Receiver::close), and
    /// left with [`Receiver::detach`](crate::Receiver::detach).
    #[doc(alias = "DurableSubscription")]
    #[must_use]
    pub fn durable_subscription(mut self) -> Self {
        (self.source.durable, self.source.expiry) = (true, Some(Expiry::Never));
        self
    }

    /// The name of the subscription, which is that of the link: it belongs to our container alone.
    #[doc(alias = "SubscriptionName")]
    #[must_use]
    pub fn subscription_name(self, name: impl Into<String>) -> Self {
        self.name(name)
    }

    /// The name of a subscription that is shared by several receivers of our container, each message going to one of them; or
    /// by receivers of all containers, where it is `global`. Peers that know JMS do, and want a topic.
    #[doc(alias = "SubscriptionName")]
    #[must_use]
    pub fn shared_subscription(mut self, name: impl Into<String>, global: bool) -> Self {
        self.source.capabilities.push("shared".to_owned());
        if global {
            self.source.capabilities.push("global".to_owned());
        }
        self.name(name)
    }

    /// Leaves messages at the source, for others.
    #[doc(alias = "Copy")]
    #[must_use]
    pub fn browse(mut self) -> Self {
        self.source.distribution = Some(Distribution::Copy);
        self
    }

    /// Takes messages away from the source, as most sources have it by themselves.
    #[doc(alias = "Move")]
    #[must_use]
    pub fn consume(mut self) -> Self {
        self.source.distribution = Some(Distribution::Move);
        self
    }

    /// Has a receiver take messages in parts, as they come: [`Handler::on_delivery`] is called for each part, in place of
    /// [`Handler::on_message`]. Content of any length passes so.
    #[must_use]
    pub fn in_parts(mut self) -> Self {
        self.terms.in_parts = true;
        self
    }

    /// Makes the tags of a sender's deliveries; counted by default. A tag that is in use is
    /// [`SendError::TagInUse`](client::SendError::TagInUse).
    #[must_use]
    pub fn tags(mut self, tags: impl FnMut() -> DeliveryTag + Send + 'static) -> Self {
        self.tags = Some(Box::new(tags));
        self
    }

    /// Changes any other term of the link. The prefetch of a receiver is what its handler's
    /// [`Settings`](crate::Settings) say, and so is who settles what was sent.
    #[must_use]
    pub fn terms(mut self, change: impl FnOnce(&mut client::LinkOptions)) -> Self {
        change(&mut self.terms);
        self
    }

    /// Who hears of the link first.
    #[must_use]
    pub fn handler(mut self, handler: impl Handler + 'static) -> Self {
        self.handler = Some(Box::new(handler));
        self
    }

    /// The nodes at both ends; the dynamic one is at the peer.
    pub(crate) fn take_nodes(&mut self, sends: bool) -> (Node, Node) {
        let (mut source, mut target) = (std::mem::take(&mut self.source), std::mem::take(&mut self.target));
        if self.dynamic {
            let node = if sends { &mut target } else { &mut source };
            (node.dynamic, node.properties) = (true, self.dynamic_properties.take());
        }
        (source, target)
    }
}

/// The filter of this descriptor is registered as that of JMS selectors.
fn selector_filter(selector: String) -> Value {
    Value::described(Symbol::from_static("apache.org:selector-filter:string"), selector)
}

impl fmt::Debug for LinkOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkOptions")
            .field("source", &self.source)
            .field("target", &self.target)
            .field("dynamic", &self.dynamic)
            .field("terms", &self.terms)
            .field("handler", &self.handler.is_some())
            .finish_non_exhaustive()
    }
}
