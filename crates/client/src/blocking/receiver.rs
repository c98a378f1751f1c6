//! A link that receives.

use std::iter::FusedIterator;
use std::time::Duration;

use super::{ConnectionGuard, Guard as _, Session, mirror};
use crate::types::{Fields, PeerError};
use crate::{EndpointStates, LinkError, Message, Node, Outcome, ReceiveError, Settler};

mirror! {
    /// A receiver. Its messages are settled by [`Receiver::accept`] and its kin, or by other threads through a
    /// [`Settler`] or [`Session::settle`].
    ///
    /// What has come when the link ends is still handed out; settling it then fails, and the peer may deliver it again.
    /// Dropping the receiver closes the link; what it has not settled goes back to the node.
    #[derive(Debug)]
    pub struct Receiver of crate::Receiver, under ConnectionGuard;

    wait fn receive(&mut self) -> Result<Message, ReceiveError>;
    /// `None` when no message has come by then. The peer is not asked whether it has one, as [`fetch`](Self::fetch) does.
    some fn receive_timeout(&mut self) = receive -> Result<Message, ReceiveError>;
    wait fn fetch(&mut self, timeout: Duration) -> Result<Option<Message>, ReceiveError>;
    pass fn try_receive(&mut self) -> Result<Option<Message>, ReceiveError>;
    pass fn settler(&self) -> Settler;
    pass fn accept(&self, message: &Message) -> Result<(), LinkError>;
    pass fn reject(&self, message: &Message, error: Option<PeerError>) -> Result<(), LinkError>;
    pass fn release(&self, message: &Message) -> Result<(), LinkError>;
    pass fn modify(&self, message: &Message, delivery_failed: bool, undeliverable_here: bool, annotations: Option<Fields>) -> Result<(), LinkError>;
    pass fn update(&self, message: &Message, outcome: Outcome) -> Result<(), LinkError>;
    pass fn brought(&self, message: &Message) -> bool;
    pass fn prefetch(&self) -> u32;
    pass fn set_prefetch(&mut self, prefetch: u32) -> ();
    pass fn set_refill(&mut self, refill: Option<u32>) -> ();
    pass fn credit(&self) -> u32;
    pass fn set_credit(&mut self, credit: u32) -> ();
    pass fn add_credit(&mut self, credit: u32) -> ();
    wait fn drain(&mut self) -> Result<(), LinkError>;
    pass fn is_draining(&self) -> bool;
    pass fn remote_available(&self) -> u32;
    pass fn available(&self) -> usize;
    pass fn name(&self) -> &str;
    pass fn remote(&self) -> Option<Node>;
    pass fn remote_properties(&self) -> Option<Fields>;
    pass fn address(&self) -> Option<String>;
    pass fn source(&self) -> Option<Node>;
    pass fn target(&self) -> Option<Node>;
    pass fn remote_source(&self) -> Option<Node>;
    pass fn remote_target(&self) -> Option<Node>;
    pass fn remote_offered_capabilities(&self) -> Vec<String>;
    pass fn remote_desired_capabilities(&self) -> Vec<String>;
    pass fn state(&self) -> EndpointStates;
    pass fn error(&self) -> Option<LinkError>;
    pass fn session(&self) -> Session;
    pass fn detach(&self) -> ();
    pass fn is_suspended(&self) -> bool;
    pass fn abort(&self, error: PeerError) -> ();
    wait fn close(self) -> Result<(), LinkError>;
}

impl Receiver {
    /// As [`Receiver::closed`](crate::Receiver::closed): blocks until the link is over, and tells why. Inside an async
    /// runtime that is [`LinkError::Blocking`].
    #[must_use]
    pub fn closed(&self) -> LinkError {
        self.guard.runtime().run(self.inner.closed()).unwrap_or_else(LinkError::Blocking)
    }

    /// As [`closed`](Self::closed), for at most `timeout`: `None` when the link is not over by then.
    #[must_use]
    pub fn closed_timeout(&self, timeout: Duration) -> Option<LinkError> {
        let closed = self.guard.runtime().run_for(self.inner.closed(), timeout);
        closed.unwrap_or_else(|error| Some(LinkError::Blocking(error)))
    }

    /// The messages as they come, each as [`receive`](Self::receive) would give it: an iterator that blocks, and ends with
    /// the link.
    ///
    /// ```no_run
    /// # fn run(mut receiver: postroad_client::blocking::Receiver) -> Result<(), Box<dyn std::error::Error>> {
    /// let settler = receiver.settler();
    /// for message in receiver.iter() {
    ///     let message = message?;
    ///     settler.accept(&message)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn iter(&mut self) -> Iter<'_> {
        Iter { receiver: self, timeout: None, ended: false }
    }

    /// As [`iter`](Self::iter), and ends too when no message has come in such a time, each as [`fetch`](Self::fetch) would
    /// give it: zero takes what there is.
    pub fn iter_timeout(&mut self, timeout: Duration) -> Iter<'_> {
        Iter { receiver: self, timeout: Some(timeout), ended: false }
    }
}

impl<'a> IntoIterator for &'a mut Receiver {
    type Item = Result<Message, ReceiveError>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The messages of a receiver. When the link is over, its error is the last item, unless somebody detached it, or ended
/// its session or connection, without an error. A message that cannot be read is an error between others.
#[derive(Debug)]
pub struct Iter<'a> {
    receiver: &'a mut Receiver,
    timeout: Option<Duration>,
    ended: bool,
}

impl Iterator for Iter<'_> {
    type Item = Result<Message, ReceiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = match self.timeout {
            None => self.receiver.receive().map(Some),
            Some(timeout) => self.receiver.fetch(timeout),
        };
        self.ended = matches!(item, Ok(None) | Err(ReceiveError::Link(_)));
        match item {
            Err(ReceiveError::Link(error)) if error.is_orderly() => None,
            item => item.transpose(),
        }
    }
}

impl FusedIterator for Iter<'_> {}
