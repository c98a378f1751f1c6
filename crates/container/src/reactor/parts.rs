//! Messages that come in parts.

use std::future::poll_fn;

use postroad_client::{Outcome, Part, ReceiveError, Ticket};

use super::{Happened, Reactor, Scopes, method};
use crate::delivery::failed;
use crate::event::Came;
use crate::{Event, Link, Receiver};

impl Reactor {
    pub(super) fn watch_parts(&self, receiver: Receiver, mut ticket: Ticket) {
        self.wait_for(async move {
            let client = receiver.inner.client.get().expect("it is attached");
            let part = poll_fn(|cx| client.poll_part(&mut ticket, cx)).await;
            Happened::PartAt(receiver, ticket, part)
        });
    }

    pub(super) fn part_at(&mut self, receiver: Receiver, ticket: Ticket, part: Result<Part, ReceiveError>) {
        let link = Link::from(receiver.clone());
        let (origin, whole) = match part {
            Ok(part) => {
                let (origin, whole) = (part.origin, !part.more && !part.aborted);
                receiver.parts().take_in(part);
                (Some(origin), whole)
            }
            Err(ReceiveError::Link(error)) => return self.link_over(&link, error),
            // What has come comes again.
            Err(_) => (receiver.parts().give_up(), false),
        };
        if let Some(origin) = origin {
            let scopes = Scopes::of_link(&link);
            let mut event = Event { delivery: Some(Came::In(origin)), ..Event::on_link(&link) };
            let called = self.call(scopes, &mut event, method!(on_delivery));
            if whole && self.settings(&link).auto_accept {
                let outcome = if called { Outcome::Accepted } else { failed() };
                let client = receiver.inner.client.get().expect("it is attached");
                client.session().settle_untold(&[origin], &outcome);
            }
        }
        let paused = {
            let mut parts = receiver.parts();
            parts.paused = parts.is_full();
            parts.paused
        };
        if !paused {
            self.watch_parts(receiver, ticket);
        }
    }
}
