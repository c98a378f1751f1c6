//! Where messages go that died: the dead-letter node of their queue, with annotations that say where they come from and
//! why.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use postroad_codec::v1_0::{ByteString, Fields, Value};
use tracing::{debug, warn};

use crate::alternate::{Trail, follow};
use crate::declaration::Declaration;
use crate::error::clip_text;
use crate::exchange::{self, Aftermath};
use crate::mailbox::wake_all;
use crate::message::Held;
use crate::node::{Kind, Node, Nodes};
use crate::options::NodeOptions;
use crate::queue::{Dead, Reason};

/// What a message died of: `expired`, `rejected`, `overflow` or `delivery-limit`, as a symbol.
const REASON: &str = "x-opt-dead-letter-reason";
/// The node in which it died, as a string.
const SOURCE: &str = "x-opt-dead-letter-source";
/// The condition and the description that its consumer rejected it with, as a symbol and a string.
const CONDITION: &str = "x-opt-dead-letter-condition";
const DESCRIPTION: &str = "x-opt-dead-letter-description";

/// A message dies in so many nodes at most.
const MAX_DEATHS: usize = 16;

impl Nodes {
    /// Moves messages that died in a node to its dead-letter node. Call it without holding a lock.
    ///
    /// A message never comes back to a node where it died: one that would is dropped.
    pub(crate) fn bury(&self, source: &Node, dead: Vec<Dead>) {
        if !dead.is_empty() {
            follow(dead.len(), false, |trail| self.bury_behind(source, dead, trail));
        }
    }

    /// As [`Nodes::bury`], where messages that had to leave other nodes have driven them out.
    pub(crate) fn bury_behind(&self, source: &Node, dead: Vec<Dead>, trail: &Trail<'_>) {
        if dead.is_empty() {
            return;
        }
        let (rejected, dead) = Self::sort_out(source, dead);
        self.move_on(source, rejected, trail);
        let mut graves = VecDeque::from([(source.name.clone(), Arc::clone(&source.options), dead)]);
        while let Some((source, options, dead)) = graves.pop_front() {
            self.bury_one(&source, &options, dead, &mut graves, trail);
        }
    }

    /// What was rejected or made room, where that goes to an alternate exchange, and the rest.
    fn sort_out(source: &Node, dead: Vec<Dead>) -> (Vec<Held>, Vec<Dead>) {
        if source.declared.alternate.is_none() {
            return (Vec::new(), dead);
        }
        let (rejected, dead): (Vec<Dead>, Vec<Dead>) =
            dead.into_iter().partition(|dead| dead.reason.is_for_alternate());
        (rejected.into_iter().map(|dead| dead.held).collect(), dead)
    }

    fn bury_one(
        &self,
        source: &ByteString,
        options: &NodeOptions,
        dead: Vec<Dead>,
        graves: &mut VecDeque<(ByteString, Arc<NodeOptions>, Vec<Dead>)>,
        trail: &Trail<'_>,
    ) {
        let Some(name) = options.dead_letter.as_ref().filter(|_| !dead.is_empty()) else { return };
        let found = self
            .find(name)
            .map_or_else(|| self.declare_queue(name, &Declaration::default(), None).map(|(node, _)| node), Ok);
        let node = match found {
            Ok(node) => node,
            Err(error) => return warn!(%error, "{} dead letters of {source:?} were dropped", dead.len()),
        };
        let (mut letters, mut turned) = (Vec::new(), 0);
        for Dead { held, reason } in dead {
            let deaths = held.deaths();
            if deaths.len() >= MAX_DEATHS || deaths.contains(&node.name) || node.name == *source {
                turned += 1;
            } else {
                letters.push(held.letter(source, annotations(source, &reason)));
            }
        }
        if turned > 0 {
            debug!("{turned} dead letters of {source:?} would have come back to where they died, and were dropped");
        }
        let now = Instant::now();
        let (mut lost, mut dead, mut aftermath) = (0, Vec::new(), Aftermath::default());
        match node.kind {
            Kind::Exchange => (lost, aftermath) = exchange::send_through(self, &node, letters, now),
            Kind::Queue => {
                let mut woken = Vec::new();
                let mut state = node.lock();
                state.queue.tick(now);
                for letter in letters {
                    if state.deleted || state.queue.push(letter).is_err() {
                        lost += 1;
                        state.queue.drop_one();
                    }
                }
                state.queue.dispatch(&mut woken);
                dead = state.queue.take_dead();
                drop(state);
                wake_all(&mut woken);
            }
        }
        for (queue, dead) in std::mem::take(&mut aftermath.dead) {
            graves.push_back((queue.name.clone(), Arc::clone(&queue.options), dead));
        }
        self.attend_behind(&node, aftermath, trail);
        if lost > 0 {
            warn!("{lost} dead letters of {source:?} were dropped: {name:?} is full");
        }
        if !dead.is_empty() {
            graves.push_back((node.name.clone(), Arc::clone(&node.options), dead));
        }
    }
}

fn annotations(source: &ByteString, reason: &Reason) -> Fields {
    let mut fields = Fields::default();
    let mut put = |key: &'static str, value: Value| fields.0.insert(Value::Symbol(key.into()), value);
    let (text, error) = match reason {
        Reason::Expired => ("expired", None),
        Reason::Rejected(error) => ("rejected", error.as_ref()),
        Reason::Overflow => ("overflow", None),
        Reason::DeliveryLimit => ("delivery-limit", None),
    };
    put(REASON, Value::Symbol(text.into()));
    put(SOURCE, Value::String(source.clone()));
    if let Some(error) = error {
        // The condition is bounded by the frame in which it came; a longer one than any is no name.
        if error.condition.0.as_str().len() <= 255 {
            put(CONDITION, Value::Symbol(error.condition.0.clone()));
        }
        if let Some(text) = &error.description {
            put(DESCRIPTION, Value::String(clip_text(text)));
        }
    }
    fields
}

impl Held {
    /// The message as the dead-letter node gets it: it has all its time, and a fresh count of failures.
    fn letter(self, source: &ByteString, annotations: Fields) -> Self {
        let payload = self.annotated(annotations).unwrap_or_else(|| self.payload.clone());
        let mut deaths = self.deaths().to_vec();
        deaths.push(source.clone());
        let mut letter = Self::new(payload, self.format).with_deaths(deaths);
        letter.origin = self.origin;
        letter
    }
}
