//! The operations of `$management`, each one of the node model.

use postroad_codec::v1_0::{Map, Value};

use super::answer::Answer;
use super::request::Request;
use crate::declaration::{Declaration, Owner, describe};
use crate::node::{Kind, Nodes};
use crate::node_error::{Fault, NodeError};

/// The types of entities that can be managed.
const TYPES: [(&str, Kind); 2] = [("org.apache.qpid.Queue", Kind::Queue), ("org.apache.qpid.Exchange", Kind::Exchange)];

/// The parts of a binding.
const DESTINATION: &str = "destination";
const KEY: &str = "bindingKey";
const ARGUMENTS: &str = "arguments";

/// Does what is asked for.
pub(super) fn perform(request: &Request, nodes: &Nodes, owner: &Owner) -> Result<Answer, NodeError> {
    let found = TYPES.iter().find(|(name, _)| *name == &*request.entity);
    let (_, kind) = found.ok_or_else(|| NodeError::not_found(format!("no type {:?}", &*request.entity)))?;
    match (&*request.operation, kind) {
        ("CREATE", _) => create(request, *kind, nodes, owner),
        ("READ", _) => read(request, *kind, nodes),
        ("DELETE", _) => delete(request, *kind, nodes, owner),
        ("bind", Kind::Exchange) => bind(request, nodes, owner),
        ("unbind", Kind::Exchange) => unbind(request, nodes, owner),
        ("isBound", Kind::Exchange) => is_bound(request, nodes),
        (operation, _) => {
            let text = format!("{} has no operation {operation:?}", &*request.entity);
            Err(NodeError::new(Fault::NotImplemented, text))
        }
    }
}

fn create(request: &Request, kind: Kind, nodes: &Nodes, owner: &Owner) -> Result<Answer, NodeError> {
    let declaration = Declaration::read(&request.body, kind)?;
    declaration.check()?;
    let (node, created) = match kind {
        Kind::Queue => nodes.declare_queue(&request.name, &declaration, Some(owner.clone()))?,
        Kind::Exchange => nodes.declare_exchange(&request.name, &declaration)?,
    };
    if created {
        return Ok(Answer::new(201, "Created", Value::Map(describe(&node))));
    }
    node.check_owner(|| owner.clone())?;
    match declaration.difference(&node) {
        None => Ok(Answer::new(200, "OK: it was there", Value::Map(describe(&node)))),
        Some(difference) => {
            let text = format!("{:?} is there already, and {difference}", &*node.name);
            Err(NodeError::new(Fault::Conflict, text))
        }
    }
}

fn read(request: &Request, kind: Kind, nodes: &Nodes) -> Result<Answer, NodeError> {
    request.allow(&[])?;
    let node = nodes.find_kind(&request.name, kind).ok_or_else(|| missing(request, kind))?;
    Ok(Answer::new(200, "OK", Value::Map(describe(&node))))
}

fn delete(request: &Request, kind: Kind, nodes: &Nodes, owner: &Owner) -> Result<Answer, NodeError> {
    request.allow(&["if-unused", "if-empty"])?;
    let (if_unused, if_empty) = (request.boolean("if-unused")?, request.boolean("if-empty")?);
    check_owner(&request.name, kind, nodes, owner)?;
    let deleted = nodes.delete_if(&request.name, kind, |state| {
        if if_unused && state.is_used() {
            return Err(NodeError::new(Fault::Conflict, format!("{:?} is in use", &*request.name)));
        }
        if if_empty && !state.queue.is_empty() {
            return Err(NodeError::new(Fault::Conflict, format!("{:?} is not empty", &*request.name)));
        }
        Ok(())
    })?;
    if deleted { Ok(Answer::new(204, "Deleted", Value::Null)) } else { Err(missing(request, kind)) }
}

fn bind(request: &Request, nodes: &Nodes, owner: &Owner) -> Result<Answer, NodeError> {
    let Binding { queue, key, arguments } = Binding::of(request)?;
    let queue = queue.ok_or_else(no_destination)?;
    check_owner(queue, Kind::Queue, nodes, owner)?;
    let none = Map::default();
    let fresh = nodes.bind(&request.name, queue, key.unwrap_or_default(), arguments.unwrap_or(&none))?;
    Ok(Answer::new(200, if fresh { "OK" } else { "OK: it was there" }, Value::Null))
}

fn unbind(request: &Request, nodes: &Nodes, owner: &Owner) -> Result<Answer, NodeError> {
    let Binding { queue, key, arguments } = Binding::of(request)?;
    let queue = queue.ok_or_else(no_destination)?;
    check_owner(queue, Kind::Queue, nodes, owner)?;
    nodes.unbind(&request.name, queue, key.unwrap_or_default(), arguments)?;
    Ok(Answer::new(200, "OK", Value::Null))
}

fn is_bound(request: &Request, nodes: &Nodes) -> Result<Answer, NodeError> {
    let Binding { queue, key, arguments } = Binding::of(request)?;
    let bound = nodes.is_bound(&request.name, queue, key, arguments)?;
    Ok(Answer::new(200, "OK", Value::Boolean(bound)))
}

/// A binding, as far as it is told.
struct Binding<'a> {
    queue: Option<&'a str>,
    key: Option<&'a str>,
    arguments: Option<&'a Map>,
}

impl<'a> Binding<'a> {
    fn of(request: &'a Request) -> Result<Self, NodeError> {
        request.allow(&[DESTINATION, KEY, ARGUMENTS])?;
        Ok(Self { queue: request.text(DESTINATION)?, key: request.text(KEY)?, arguments: request.map(ARGUMENTS)? })
    }
}

fn no_destination() -> NodeError {
    NodeError::invalid(format!("a binding needs a {DESTINATION}: the name of a queue"))
}

fn check_owner(name: &str, kind: Kind, nodes: &Nodes, owner: &Owner) -> Result<(), NodeError> {
    nodes.find_kind(name, kind).map_or(Ok(()), |node| node.check_owner(|| owner.clone()))
}

fn missing(request: &Request, kind: Kind) -> NodeError {
    let what = match kind {
        Kind::Queue => "queue",
        Kind::Exchange => "exchange",
    };
    NodeError::not_found(format!("no {what} {:?}", &*request.name))
}
