//! Messages come, and outcomes of those that were sent.

use std::future::{poll_fn, ready};

use postroad_client::{
    Guarantee, LinkError, Message, Origin, Outcome, ReceiveError, SendError, SenderNews, SharedReceiver, Taken, Ticket,
    Told,
};

use super::{Happened, Reactor, Scopes, method};
use crate::delivery::failed;
use crate::event::Came;
use crate::{Event, EventError, Link, Receiver, Sender};

/// Messages that a receiver hands out before others have their turn.
const BATCH: usize = 64;

impl Reactor {
    pub(super) fn watch_sender(&self, sender: Sender, mut ticket: Ticket) {
        self.wait_for(async move {
            let client = sender.inner.client.get().expect("it is attached");
            let news = poll_fn(|cx| client.poll_news(&mut ticket, cx)).await;
            Happened::AtSender(sender, ticket, news)
        });
    }

    pub(super) fn at_sender(&mut self, sender: Sender, mut ticket: Ticket, news: SenderNews) {
        let SenderNews { told, room, writable, over, .. } = news;
        let link = Link::from(sender.clone());
        let scopes = Scopes::of_link(&link);
        for told in &told {
            self.told(scopes, &link, told);
        }
        ticket.reuse(told);
        if (room > 0 || writable) && !link.is_closing() {
            self.call(scopes, &mut Event::on_link(&link), method!(on_sendable));
        }
        match over {
            Some(error) => self.link_over(&link, error),
            None => self.watch_sender(sender, ticket),
        }
    }

    /// Something is new of a message that was sent.
    fn told(&mut self, scopes: Scopes, link: &Link, told: &Told) {
        let mut event = Event { delivery: Some(Came::Told(told)), ..Event::on_link(link) };
        let method = match &told.result {
            _ if told.before => None,
            Ok(Outcome::Accepted) => Some(method!(on_accepted)),
            Ok(Outcome::Rejected(_)) => Some(method!(on_rejected)),
            Ok(Outcome::Released) => Some(method!(on_released)),
            Ok(Outcome::Modified { .. }) => Some(method!(on_modified)),
            // The receiver has settled it, and said nothing of it.
            Ok(_) | Err(SendError::NoOutcome) => None,
            Err(error) => {
                let error = EventError::Send(error.clone());
                self.call(scopes, &mut event.error_of(&error), method!(on_in_doubt));
                return;
            }
        };
        if let Some(method) = method {
            self.call(scopes, &mut event, method);
        }
        if told.by_peer {
            self.call(scopes, &mut event, method!(on_settled));
        }
    }

    pub(super) fn watch_receiver(&self, receiver: Receiver, mut ticket: Ticket) {
        self.wait_for(async move {
            let client = receiver.inner.client.get().expect("it is attached");
            let taken = poll_fn(|cx| client.poll_take(&mut ticket, cx)).await;
            Happened::AtReceiver(receiver, ticket, taken)
        });
    }

    pub(super) fn at_receiver(&mut self, receiver: Receiver, ticket: Ticket, taken: Result<Taken, LinkError>) {
        let link = Link::from(receiver.clone());
        let mut next = match taken {
            Ok(taken) => Some(taken),
            Err(error) => return self.link_over(&link, error),
        };
        let client = receiver.inner.client.get().expect("it is attached");
        let accept = self.settings(&link).auto_accept;
        // A link that may go on over another connection takes nothing along that was handled and not accepted: it comes again.
        let first = accept && link.guarantee() == Guarantee::ExactlyOnce && link.connection().acceptor().is_some();
        let scopes = Scopes::of_link(&link);
        // Reused for each: it is large.
        let mut message = Message::default();
        let mut handled = Handled::default();
        for _ in 0..BATCH {
            let Some(taken) = next else { break };
            let origin = taken.origin();
            if let Err(error) = client.read(taken, &mut message) {
                self.malformed(scopes, &link, origin, error);
            } else if !first || client.session().settle_origin(origin, Outcome::Accepted).is_ok() {
                let (delivery, message) = (Some(Came::In(origin)), Some(&mut message));
                let called =
                    self.call(scopes, &mut Event { delivery, message, ..Event::on_link(&link) }, method!(on_message));
                match first {
                    // The sender may not have heard of the other outcome yet.
                    true if !called => drop(client.session().settle_origin(origin, failed())),
                    true => {}
                    false if accept => handled.note(origin, called),
                    false => {}
                }
            }
            // What a handler has asked for comes first: it may be that nothing more is to come.
            next = if self.container.has_commands() { None } else { client.try_take() };
        }
        handled.settle(client);
        if let Some(taken) = next {
            self.wait_for(ready(Happened::AtReceiver(receiver, ticket, Ok(taken))));
        } else {
            self.watch_receiver(receiver, ticket);
        }
    }

    /// A message cannot be read; the client has rejected it.
    fn malformed(&mut self, scopes: Scopes, link: &Link, origin: Origin, error: ReceiveError) {
        if !matches!(error, ReceiveError::Link(_)) {
            let error = EventError::Receive(error);
            let event = Event { delivery: Some(Came::In(origin)), ..Event::on_link(link) };
            self.call(scopes, &mut event.error_of(&error), method!(on_link_error));
        }
    }
}

/// Messages that were handed to handlers and that are settled together.
#[derive(Debug, Default)]
struct Handled {
    accepted: Vec<Origin>,
    /// What nobody has handled is not processed.
    failed: Vec<Origin>,
}

impl Handled {
    fn note(&mut self, origin: Origin, called: bool) {
        if called { &mut self.accepted } else { &mut self.failed }.push(origin);
    }

    /// Settles what handlers have not. On a link that is over there is nothing to tell: it goes back by itself.
    fn settle(&self, client: &SharedReceiver) {
        for (origins, outcome) in [(&self.accepted, Outcome::Accepted), (&self.failed, failed())] {
            if !origins.is_empty() {
                client.session().settle_untold(origins, &outcome);
            }
        }
    }
}
