//! How a link comes about: what its address wants of the node is done before and after it is attached.
//!
//! ```text
//!  a link                      attach, which makes the node ─▶ is it what was asked for? ─▶ bindings
//!  a receiver of an exchange   make the exchange ─▶ make a queue ─▶ bind it ─▶ attach to the queue
//!   whose queue is described
//! ```

use std::time::Instant;

use postroad_address::{NodeType, Role};
use postroad_client as client;
use postroad_client::types::Value;
use postroad_client::{AttachError, EndpointState, Management, ManagementError, Node, NodeKind};
use uuid::Uuid;

use crate::echoing::{self, tells_back_anything};
use crate::filters;
use crate::node_types::NodeTypes;
use crate::properties::{as_bool, assert_properties};
use crate::resolve::{CREATE_ON_DEMAND, EXCLUSIVE, Resolved, unsupported, wants_exclusive};
use crate::undo::Undo;
use crate::{AddressError, LinkError, SessionError};

/// What a link is made on, and from what.
pub(crate) struct Linking<'a> {
    pub(crate) session: &'a client::Session,
    pub(crate) types: &'a NodeTypes,
    pub(crate) resolved: &'a mut Resolved,
}

impl Linking<'_> {
    /// Attaches a sender. With it comes what is to be undone when it closes.
    pub(crate) async fn sender(self) -> Result<(client::Sender, Undo), LinkError> {
        self.refuse_unmanaged()?;
        echoing::refuse_known(self.resolved, self.session.connection())?;
        self.refuse_detached()?;
        let (node, terms) = (echoing::asking(self.resolved), self.resolved.link.clone());
        let link = match self.session.sender_with(node, terms).await {
            Ok(link) => link,
            Err(error) => return Err(self.refused(error).await),
        };
        let attached = link.remote();
        // What is not needed is not asked for: nothing else of a sender depends on it.
        let found = match attached.as_ref().and_then(node_type) {
            None if self.resolved.node_type.is_none() && (self.resolved.deletes() || self.resolved.binds()) => {
                self.kind_of(attached.as_ref()).await?
            }
            told => told,
        };
        if let Some(found) = found {
            self.resolved.learn(found);
        }
        if link.state().remote != EndpointState::Uninit {
            self.check(link.remote().as_ref())?;
        }
        Ok((link, self.bind().await?))
    }

    /// Attaches a receiver. With it comes what is to be undone when it closes.
    pub(crate) async fn receiver(mut self) -> Result<(client::Receiver, Undo), LinkError> {
        self.refuse_unmanaged()?;
        echoing::refuse_known(self.resolved, self.session.connection())?;
        let believed = self.recall();
        if self.session.connection().is_detached() {
            self.refuse_detached()?;
            let link = self.attach().await?;
            return Ok((link, self.bind().await?));
        }
        if self.resolved.describes_subscription() && self.is_managed_topic().await? {
            return self.subscription().await;
        }
        let options = &self.resolved.options;
        if !options.link.x_declare.is_empty() {
            let hint = "leave it out, or use node: {x-declare: ..}";
            return Err(unsupported("link.x-declare", "a receiver of a queue has no other queue", hint).into());
        }
        let mut link = match self.attach().await {
            Err(LinkError::Address(AddressError::NotFound { .. })) if believed => {
                // It may be of the other kind by now.
                self.types.forget(&self.resolved.address.name);
                self.resolved.unlearn();
                self.attach().await?
            }
            result => result?,
        };
        if self.resolved.node_type.is_none() {
            // Who may not ask the manager may receive all the same: what it is stays unknown then.
            let found = self.kind_of(link.remote().as_ref()).await.ok().flatten();
            if let Some(found) = found.filter(|found| self.learn(*found)) {
                link = self.attach_again(link, found).await?;
            }
        }
        self.check(link.remote().as_ref())?;
        self.check_exclusive(&link)?;
        Ok((link, self.bind().await?))
    }

    /// Attaches on the terms that follow from what was learned. Nothing has been given to the first link: it has had no credit.
    async fn attach_again(&self, first: client::Receiver, found: NodeType) -> Result<client::Receiver, LinkError> {
        let options = &self.resolved.options.link;
        if options.name.is_none() {
            // What lives by its links has one at any time.
            let link = self.attach().await?;
            first.close().await?;
            return Ok(link);
        }
        // Who closes a subscription that outlives its link ends it, with what waits there: the first one loses nothing.
        let outlives = options.durable == Some(true) || options.timeout.is_some();
        if found == NodeType::Topic && outlives {
            return Ok(first);
        }
        // A session has one link of a name.
        first.close().await?;
        self.attach().await
    }

    async fn attach(&self) -> Result<client::Receiver, LinkError> {
        let (node, terms) = (echoing::asking(self.resolved), self.resolved.link.clone());
        match self.session.receiver_with(node, terms).await {
            Ok(link) => Ok(link),
            Err(error) => Err(self.refused(error).await),
        }
    }

    /// Makes a queue for the messages of an exchange, as the address describes it, and receives from it.
    async fn subscription(&mut self) -> Result<(client::Receiver, Undo), LinkError> {
        let resolved = &*self.resolved;
        let name = resolved.name();
        let mut management = self.management().await?;
        if resolved.creates() {
            let made = management.declare(NodeKind::Exchange, name, resolved.properties.clone()).await;
            made.map_err(AddressError::managing("create", name))?;
        }
        let found = management.describe(NodeKind::Exchange, name).await;
        let found = found.map_err(AddressError::managing("find", name))?.ok_or_else(|| resolved.not_found())?;
        if resolved.asserts() {
            assert_properties(&resolved.properties, Some(&found))?;
        }
        // Names that begin with `amq.` are the broker's.
        let queue = resolved.options.link.name.clone().unwrap_or_else(|| format!("{}_{name}", Uuid::new_v4()));
        let properties = resolved.subscription_properties();
        // One that others may use stays for them, as in the original.
        let ours = properties.0.get_str("exclusive").is_none_or(|exclusive| as_bool(exclusive) != Some(false));
        let made = management.declare(NodeKind::Queue, &queue, properties).await;
        let made = made.map_err(AddressError::managing("create", &queue))?;
        let undo = Undo {
            subscription: (made && ours).then(|| queue.clone()),
            delete: self.deletion(NodeKind::Exchange),
            ..Undo::default()
        };
        let exchange_type = found.0.get_str("exchange-type").and_then(|value| value.as_str()).unwrap_or("topic");
        match self.receive_from(&mut management, &queue, exchange_type).await {
            Ok(link) => Ok((link, undo)),
            Err(error) => {
                if let Some(queue) = &undo.subscription {
                    // Nobody else would take it away. The error that counts is the first.
                    let _ = management.delete(NodeKind::Queue, queue).await;
                }
                Err(error)
            }
        }
    }

    /// Binds the queue of a subscription, and attaches to it.
    async fn receive_from(
        &self,
        management: &mut Management,
        queue: &str,
        exchange_type: &str,
    ) -> Result<client::Receiver, LinkError> {
        let resolved = &*self.resolved;
        let given = &resolved.options.link.x_bindings;
        let mut bindings: Vec<_> =
            given.iter().map(|binding| resolved.binding(binding, resolved.name(), queue)).collect();
        if bindings.is_empty() {
            bindings.push(resolved.subject_binding(queue, exchange_type));
        }
        let of_node = &resolved.options.node.x_bindings;
        bindings.extend(of_node.iter().map(|binding| resolved.binding(binding, resolved.name(), "")));
        for binding in &bindings {
            management.bind(binding).await.map_err(AddressError::managing("bind", &binding.queue))?;
        }
        let node = resolved.subscription_node(queue);
        let mut terms = resolved.link.clone();
        // The name that the address gives is the queue's.
        terms.name = None;
        let asked = node.filters.clone();
        let link = self.session.receiver_with(node, terms).await.map_err(|error| resolved.refused(error))?;
        let remote = link.remote();
        let believed = !tells_back_anything(remote.as_ref(), self.session.connection());
        filters::check(&asked, remote.as_ref(), believed)?;
        self.check_exclusive(&link)?;
        Ok(link)
    }

    /// Whether it is an exchange of a broker that makes queues on request. Where it does not, the name of a link is no more
    /// than that, and perhaps of a subscription.
    async fn is_managed_topic(&mut self) -> Result<bool, LinkError> {
        if !self.session.connection().is_managed() {
            return Ok(false);
        }
        if self.resolved.node_type.is_none() && !self.resolved.creates() {
            let asked = self.session.query(self.resolved.name()).await?;
            if let Some(found) = self.kind_of(asked.as_ref()).await? {
                self.learn(found);
            }
        }
        Ok(self.resolved.node_type == Some(NodeType::Topic))
    }

    /// Makes the bindings that the address asks for.
    async fn bind(&self) -> Result<Undo, LinkError> {
        let resolved = &*self.resolved;
        let topic = resolved.node_type == Some(NodeType::Topic);
        let (kind, exchange, queue) = match (topic, resolved.name()) {
            (true, name) => (NodeKind::Exchange, name, ""),
            (false, name) => (NodeKind::Queue, "", name),
        };
        let mut undo = Undo { delete: self.deletion(kind), ..Undo::default() };
        let (of_node, of_link) = (&resolved.options.node.x_bindings, &resolved.options.link.x_bindings);
        if !resolved.binds() {
            return Ok(undo);
        }
        let mut management = self.management().await?;
        for binding in of_node {
            let binding = resolved.binding(binding, exchange, queue);
            management.bind(&binding).await.map_err(AddressError::managing("bind", &binding.queue))?;
        }
        for binding in of_link {
            let binding = resolved.binding(binding, exchange, queue);
            if let Err(error) = management.bind(&binding).await {
                // There is no link with which those before could go. The error that counts is the first.
                for made in &undo.unbind {
                    let _ = management.unbind(made).await;
                }
                return Err(AddressError::managing("bind", &binding.queue)(error).into());
            }
            undo.unbind.push(binding);
        }
        Ok(undo)
    }

    fn deletion(&self, kind: NodeKind) -> Option<(NodeKind, String)> {
        self.resolved.deletes().then(|| (kind, self.resolved.name().to_owned()))
    }

    async fn management(&self) -> Result<Management, AddressError> {
        self.session.management().await.map_err(AddressError::managing("manage", self.resolved.name()))
    }

    /// Takes in what was learned of the name not long ago.
    fn recall(&mut self) -> bool {
        if self.resolved.node_type.is_some() || self.resolved.creates() {
            return false;
        }
        let known = self.types.get(&self.resolved.address.name, Instant::now());
        known.is_some_and(|known| {
            self.resolved.learn(known);
            true
        })
    }

    /// As [`Resolved::learn`], and for others.
    fn learn(&mut self, found: NodeType) -> bool {
        self.types.put(&self.resolved.address.name, found, Instant::now());
        self.resolved.learn(found)
    }

    /// What kind of node it is that was attached or asked for, as the broker or its manager tells.
    async fn kind_of(&self, node: Option<&Node>) -> Result<Option<NodeType>, LinkError> {
        let Some(node) = node else { return Ok(None) };
        if let Some(found) = node_type(node) {
            return Ok(Some(found));
        }
        if !self.session.connection().is_managed() {
            return Ok(None);
        }
        let name = self.resolved.name();
        let mut management = self.management().await?;
        for (kind, found) in [(NodeKind::Queue, NodeType::Queue), (NodeKind::Exchange, NodeType::Topic)] {
            let told = management.describe(kind, name).await.map_err(AddressError::managing("find", name))?;
            if told.is_some() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Tells what a broker without management cannot do before anything is done.
    fn refuse_unmanaged(&self) -> Result<(), AddressError> {
        if self.session.connection().is_managed() {
            return Ok(());
        }
        const BIND: &str = "make the binding with the broker's own tools";
        let options = &self.resolved.options;
        let cases = [
            (
                self.resolved.deletes(),
                "delete",
                "a node that lives as long as its links goes by itself: node: {x-declare: {auto-delete: True}}",
            ),
            (!options.node.x_bindings.is_empty(), "node.x-bindings", BIND),
            (!options.link.x_bindings.is_empty(), "link.x-bindings", BIND),
            (!options.link.x_declare.is_empty(), "link.x-declare", "declare the queue with the broker's own tools"),
        ];
        match cases.into_iter().find(|(given, _, _)| *given) {
            Some((_, option, hint)) => Err(unsupported(option, "the broker takes no requests about its nodes", hint)),
            None => Ok(()),
        }
    }

    /// Tells what has to be asked of the broker at once, while the connection to it is detached.
    fn refuse_detached(&self) -> Result<(), LinkError> {
        let options = &self.resolved.options;
        let asks = !options.node.x_bindings.is_empty()
            || !options.link.x_bindings.is_empty()
            || !options.link.x_declare.is_empty();
        match asks && self.session.connection().is_detached() {
            true => Err(SessionError::Detached.into()),
            false => Ok(()),
        }
    }

    /// What a refusal means for the address. That there is a node of the other kind is what an assertion is about.
    async fn refused(&self, error: AttachError) -> LinkError {
        let resolved = &*self.resolved;
        let refused = resolved.refused(error);
        let not_found = matches!(refused, LinkError::Address(AddressError::NotFound { .. }));
        let Some(expected) = resolved.options.node.node_type.filter(|_| not_found && resolved.asserts()) else {
            return refused;
        };
        let asked = self.session.query(resolved.name()).await.ok().flatten();
        match self.kind_of(asked.as_ref()).await.ok().flatten() {
            Some(found) if found != expected => AddressError::assertion(expected, found).into(),
            _ => refused,
        }
    }

    /// AMQP 1.0 has nothing for a receiver that is to be the only one: a broker that has says so.
    fn check_exclusive(&self, link: &client::Receiver) -> Result<(), AddressError> {
        let told =
            || link.remote_properties().and_then(|properties| properties.0.get(&Value::Symbol(EXCLUSIVE)).cloned());
        if !wants_exclusive(&self.resolved.options) || told() == Some(Value::Boolean(true)) {
            return Ok(());
        }
        let hint = "leave it out, or give the queue one owner: node: {x-declare: {exclusive: True}}";
        Err(unsupported("link.x-subscribe", "the broker does not keep others from the node", hint))
    }

    /// Compares what was attached with what was asked for.
    fn check(&self, remote: Option<&Node>) -> Result<(), AddressError> {
        let resolved = &*self.resolved;
        let believed = !tells_back_anything(remote, self.session.connection());
        if !believed {
            echoing::refuse(resolved)?;
        }
        let found = remote.and_then(node_type);
        if resolved.asserts() {
            match (resolved.options.node.node_type, found) {
                (Some(expected), Some(found)) if expected != found => {
                    return Err(AddressError::assertion(expected, found));
                }
                _ => {}
            }
            assert_properties(&resolved.properties, remote.and_then(|node| node.properties.as_ref()))?;
        } else if resolved.creates() && resolved.describes() {
            let told = remote.is_some_and(|node| node.capabilities.iter().any(|name| name == CREATE_ON_DEMAND));
            if !told {
                return Err(unsupported(
                    "create",
                    "the broker does not say that it makes nodes as they are described",
                    "declare the node with the broker's own tools, or leave its description out",
                ));
            }
        }
        match resolved.role {
            Role::Receiver => filters::check(&resolved.node.filters, remote, believed),
            Role::Sender => Ok(()),
        }
    }
}

/// What a broker tells of the kind of a node.
fn node_type(node: &Node) -> Option<NodeType> {
    node.capabilities.iter().find_map(|name| match name.as_str() {
        "queue" => Some(NodeType::Queue),
        "topic" => Some(NodeType::Topic),
        _ => None,
    })
}

impl AddressError {
    /// What became of a request about a node.
    pub(crate) fn managing(action: &'static str, name: &str) -> impl FnOnce(ManagementError) -> Self {
        move |error| match error.peer_error() {
            Some(report) => Self::Refused { action, name: name.to_owned(), report: Box::new(report.clone()) },
            None => Self::Management(error),
        }
    }

    fn assertion(expected: NodeType, found: NodeType) -> Self {
        Self::AssertionFailed { expected: expected.to_string(), found: found.to_string() }
    }
}
