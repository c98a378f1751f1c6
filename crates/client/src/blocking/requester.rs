//! Requests and their answers.

use std::time::Duration;

use super::{ConnectionGuard, Session, mirror};
use crate::{LinkError, Message, RequestError};

mirror! {
    /// Asks a service by messages. Clones are handles of the same requester; any number of threads may ask at once.
    #[derive(Debug, Clone)]
    pub struct Requester of crate::Requester, under ConnectionGuard;

    wait fn request(&self, request: impl Into<Message>) -> Result<Message, RequestError>;
    wait fn request_timeout(&self, request: impl Into<Message>, timeout: Duration) -> Result<Message, RequestError>;
    wait fn close(&self) -> Result<(), LinkError>;
    pass fn reply_to(&self) -> Option<String>;
    pass fn pending(&self) -> usize;
    pass fn stray(&self) -> u64;
    pass fn error(&self) -> Option<LinkError>;
    pass fn session(&self) -> Session;
}
