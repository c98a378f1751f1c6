//! The end that is connected to.

use postroad_taps::{EndpointAddress, ListenError};

use super::{Connection, ConnectionGuard, Receiver, Runtime, Sender, StreamingReceiver, mirror};
use crate::types::PeerError;
use crate::{AcceptError, AcceptOptions, AttachError, EndpointStates, Guarantee, LinkOptions};

mirror! {
    /// Accepts connections. Clients are not authenticated: SASL ANONYMOUS is answered, and so is none.
    #[derive(Debug)]
    pub struct Acceptor of crate::Acceptor, under Runtime;

    wait fn accept(&self) -> Result<Connection, AcceptError>;
    /// `None` when no client has opened a connection by then; one that was about to is cut off.
    some fn accept_timeout(&self) = accept -> Result<Connection, AcceptError>;
    pass fn local_endpoint(&self) -> &EndpointAddress;
}

impl Acceptor {
    /// Listens. The thread that drives connections starts where it does not run yet.
    ///
    /// # Errors
    /// As [`Acceptor::listen`](crate::Acceptor::listen), and inside an async runtime.
    pub fn listen(options: AcceptOptions) -> Result<Self, ListenError> {
        let guard = Runtime::shared()?;
        let inner = guard.run(crate::Acceptor::listen(options))??;
        Ok(Self { inner, guard })
    }
}

mirror! {
    /// A link that the peer attaches, and that waits for an answer. Dropped, it is refused.
    #[derive(Debug)]
    pub struct IncomingLink of crate::IncomingLink, under ConnectionGuard;

    pass fn name(&self) -> &str;
    pass fn is_receiver(&self) -> bool;
    pass fn is_sender(&self) -> bool;
    pass fn state(&self) -> EndpointStates;
    pass fn source_address(&self) -> Option<&str>;
    pass fn target_address(&self) -> Option<&str>;
    pass fn guarantee(&self) -> Guarantee;
    make fn into_receiver(self, options: &LinkOptions) -> Result<Receiver, AttachError>;
    make fn into_streaming_receiver(self, options: &LinkOptions) -> Result<StreamingReceiver, AttachError>;
    make fn into_sender(self, options: &LinkOptions) -> Result<Sender, AttachError>;
}

impl IncomingLink {
    /// As [`IncomingLink::refuse`](crate::IncomingLink::refuse), which does not wait.
    pub fn refuse(self, error: PeerError) {
        self.inner.refuse(error);
    }
}
