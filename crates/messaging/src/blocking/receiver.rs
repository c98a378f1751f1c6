//! A link that receives.

use std::iter::FusedIterator;
use std::time::Duration;

use postroad_client::Message;
use postroad_client::blocking::{ConnectionGuard, Wrap, mirror};
use postroad_client::types::{Fields, PeerError};

use super::Session;
use crate::{FetchError, LinkError, ReceiverOptions};

mirror! {
    /// A receiver. It takes no message ahead of [`Receiver::fetch`] unless it is given a capacity.
    ///
    /// Every method takes `&self`: threads can share one, and each message goes to one of them. Clones are handles of the
    /// same receiver; with the last one the link is closed, and what was not acknowledged goes back to the broker.
    #[derive(Debug, Clone)]
    pub struct Receiver of crate::Receiver, under ConnectionGuard;

    wait fn fetch(&self) -> Result<Message, FetchError>;
    #[doc(alias = "fetch")]
    wait fn fetch_timeout(&self, timeout: Duration) -> Result<Message, FetchError>;
    pass fn accept(&self, message: &Message) -> Result<(), LinkError>;
    pass fn reject(&self, message: &Message, error: Option<PeerError>) -> Result<(), LinkError>;
    pass fn release(&self, message: &Message) -> Result<(), LinkError>;
    pass fn modify(&self, message: &Message, delivery_failed: bool, undeliverable_here: bool, annotations: Option<Fields>) -> Result<(), LinkError>;
    pass fn capacity(&self) -> u32;
    pass fn set_capacity(&self, capacity: u32) -> ();
    pass fn available(&self) -> usize;
    pass fn threshold(&self) -> f64;
    pass fn set_threshold(&self, threshold: f64) -> ();
    pass fn returned(&self) -> u64;
    pass fn received(&self) -> u64;
    #[doc(alias = "impending")]
    pass fn granted(&self) -> u64;
    #[doc(alias = "draining")]
    pass fn is_draining(&self) -> bool;
    pass fn id(&self) -> u64;
    pass fn name(&self) -> &str;
    pass fn source(&self) -> &str;
    pass fn options(&self) -> &ReceiverOptions;
    #[doc(alias = "linked")]
    pass fn is_linked(&self) -> bool;
    #[doc(alias = "closed")]
    pass fn is_closed(&self) -> bool;
    pass fn unsettled(&self) -> usize;
    pass fn address(&self) -> Option<String>;
    #[doc(alias = "set_async_exception_notify_handler")]
    pass fn on_error(&self, handler: impl Fn(&LinkError) + Send + Sync + 'static) -> ();
    pass fn check_error(&self) -> Result<(), LinkError>;
    pass fn check_closed(&self) -> Result<(), LinkError>;
    pass fn session(&self) -> Session;
    pass fn is_same(&self, other: &Receiver => inner) -> bool;
    #[doc(alias = "get_error")]
    pass fn error(&self) -> Option<LinkError>;
    wait fn close(&self) -> Result<(), LinkError>;
    /// When the time is over, the close goes its way all the same.
    soon fn close_timeout(&self) = close -> Result<(), LinkError>;
}

impl Receiver {
    /// The messages as they come, each as [`fetch`](Self::fetch) would give it: an iterator that blocks, and ends with the
    /// link.
    pub fn iter(&self) -> Iter<'_> {
        Iter { receiver: self, timeout: None, ended: false }
    }

    /// As [`iter`](Self::iter), and ends too when no message has come in such a time, each as
    /// [`fetch_timeout`](Self::fetch_timeout) would give it: zero takes what the broker has.
    ///
    /// ```no_run
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use postroad_messaging::blocking::Connection;
    ///
    /// let session = Connection::establish("amqp://localhost")?.session()?;
    /// for message in session.receiver("orders")?.iter_timeout(Duration::ZERO) {
    ///     let message = message?;
    ///     println!("{}", message.text().unwrap_or_default());
    ///     session.acknowledge(&message)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn iter_timeout(&self, timeout: Duration) -> Iter<'_> {
        Iter { receiver: self, timeout: Some(timeout), ended: false }
    }
}

impl<'a> IntoIterator for &'a Receiver {
    type Item = Result<Message, FetchError>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The messages of a receiver. When the link is over, its error is the last item, unless the link was closed or detached
/// without one. A message that cannot be read is an error between others.
#[derive(Debug)]
pub struct Iter<'a> {
    receiver: &'a Receiver,
    timeout: Option<Duration>,
    ended: bool,
}

impl Iterator for Iter<'_> {
    type Item = Result<Message, FetchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = match self.timeout {
            None => self.receiver.fetch(),
            Some(timeout) => self.receiver.fetch_timeout(timeout),
        };
        self.ended = matches!(item, Err(FetchError::Empty | FetchError::Link(_)));
        match item {
            Err(FetchError::Empty | FetchError::Link(LinkError::Closed | LinkError::Detached(None))) => None,
            item => Some(item),
        }
    }
}

impl FusedIterator for Iter<'_> {}

impl Wrap<&crate::Receiver, ConnectionGuard> for Receiver {
    fn wrap(inner: &crate::Receiver, guard: &ConnectionGuard) -> Self {
        Self { inner: inner.clone(), guard: guard.clone() }
    }
}
