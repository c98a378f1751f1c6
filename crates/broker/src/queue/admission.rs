//! A queue that takes only some messages: what is behind a subscription whose consumers want no others.

use std::sync::Arc;

use super::Queue;
use crate::filter::Filter;
use crate::message::Held;

impl<W: Clone> Queue<W> {
    /// Has a queue that is still empty take only messages that a filter admits, for all of its consumers. Others are as if
    /// they had never been sent (JMS 2.0, 3.8.1).
    pub(crate) fn admit_only(&mut self, filter: Option<Arc<Filter>>) {
        self.special |= filter.is_some();
        self.admission = filter;
    }

    /// Whether it takes just that for its consumers.
    pub(crate) fn admits_only(&self, filter: Option<&Filter>) -> bool {
        self.admission.as_deref() == filter
    }

    /// Whether the queue takes a message.
    pub(super) fn admits(&self, held: &Held) -> bool {
        self.admission.iter().chain(&self.features.filter).all(|filter| filter.admits(held))
    }
}
