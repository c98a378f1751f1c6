//! A queue that takes only some messages: what is behind a subscription whose consumers want no others.

use std::sync::Arc;

use super::Queue;
use crate::filter::Filter;
use crate::message::Held;

/// The queue takes other messages than those that were asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Disagreement;

impl<W: Clone> Queue<W> {
    /// Has the queue take only messages that a filter admits, from now on and for all of its consumers. Others are as if
    /// they had never been sent (JMS 2.0, 3.8.1).
    ///
    /// # Errors
    /// When something else was settled before.
    pub(crate) fn admit_only(&mut self, filter: Option<Arc<Filter>>) -> Result<(), Disagreement> {
        match &self.admission {
            Some(settled) if *settled == filter => Ok(()),
            Some(_) => Err(Disagreement),
            None => {
                // They came between the subscription and now.
                if let Some(filter) = &filter {
                    let mut unwanted = Vec::new();
                    self.store.retain(|held| {
                        let wanted = filter.admits(held);
                        if !wanted {
                            unwanted.push(held.size());
                        }
                        wanted
                    });
                    self.messages -= unwanted.len();
                    self.bytes -= unwanted.iter().sum::<usize>();
                }
                self.special |= filter.is_some();
                self.admission = Some(filter);
                Ok(())
            }
        }
    }

    /// Whether the queue takes a message.
    pub(super) fn admits(&self, held: &Held) -> bool {
        let admission = self.admission.as_ref().and_then(Option::as_ref);
        admission.into_iter().chain(&self.features.filter).all(|filter| filter.admits(held))
    }
}
