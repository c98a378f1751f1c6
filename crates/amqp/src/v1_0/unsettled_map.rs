//! The maps in which the ends of a link tell what they have not settled (part 2, 2.7.3).

use std::collections::BTreeMap;

use postroad_codec::v1_0::{Attach, Decode, DeliveryState, DeliveryTag, Encode, Map, Reader, Received, Role, Value};

use super::link::Link;
use super::link_state::Unsettled;

/// Deliveries by which it is known again that a peer has not heard that we have no state.
const UNHEARD: usize = 16;

impl Unsettled {
    /// What an attach says of it: the state at the end whose role this is.
    pub(super) fn state(&self, role: Role) -> Option<DeliveryState> {
        match role {
            Role::Sender => match (&self.remote_state, &self.local_state) {
                (Some(heard), _) if heard.is_terminal() => Some(heard.clone()),
                (_, Some(state)) => Some(state.clone()),
                // What is not kept cannot be sent again from any place (part 3, 3.4.1).
                (_, None) if self.message.is_none() => {
                    Some(DeliveryState::Received(Received { section_number: u32::MAX, section_offset: 0 }))
                }
                (_, None) => None,
            },
            Role::Receiver => {
                let received = || self.received.as_ref().map(|position| DeliveryState::Received(position.received()));
                self.local_state.clone().or_else(received)
            }
        }
    }
}

impl Link {
    /// Some of the deliveries that the peer told, where this answer says that we know nothing. None of them can be settled
    /// before the peer has heard that.
    pub(crate) fn unanswered(&self, answer: &Attach) -> Vec<DeliveryTag> {
        match answer.unsettled {
            None => self.told_tags().take(UNHEARD).collect(),
            Some(_) => Vec::new(),
        }
    }

    /// Whether the peer tells one of these deliveries.
    pub(crate) fn tells(&self, tags: &[DeliveryTag]) -> bool {
        self.told_tags().any(|tag| tags.contains(&tag))
    }

    /// The tags in the peer's map.
    fn told_tags(&self) -> impl Iterator<Item = DeliveryTag> {
        let map = self.remote.as_ref().and_then(|remote| remote.unsettled.as_ref());
        map.into_iter().flat_map(|map| map.iter()).filter_map(|(key, _)| match key {
            Value::Binary(tag) => DeliveryTag::new(tag),
            _ => None,
        })
    }
}

/// A state as an entry of the map.
pub(super) fn value(state: &DeliveryState) -> Value {
    let mut bytes = Vec::with_capacity(state.encoded_len());
    state.encode(&mut bytes);
    Value::decode(&mut Reader::from_slice(&bytes)).expect("a delivery state is a value")
}

/// The peer's map, where it is one. Of a tag that is there twice the first entry counts.
pub(super) fn read_map(map: &Map) -> Option<BTreeMap<DeliveryTag, Option<DeliveryState>>> {
    let mut entries = BTreeMap::new();
    for (key, value) in map.iter() {
        let Value::Binary(tag) = key else { return None };
        let state = match value {
            Value::Null => None,
            value => {
                let mut bytes = Vec::with_capacity(value.encoded_len());
                value.encode(&mut bytes);
                Some(DeliveryState::decode(&mut Reader::new(&bytes.into())).ok()?)
            }
        };
        entries.entry(DeliveryTag::new(tag)?).or_insert(state);
    }
    Some(entries)
}
