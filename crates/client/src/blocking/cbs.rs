//! Tokens at a peer's `$cbs` node.

use std::time::SystemTime;

use super::{ConnectionGuard, mirror};
use crate::{CbsError, Token, TokenProvider};

mirror! {
    /// The `$cbs` node of a peer: tokens are put there, and renewed by the thread that drives the connection.
    /// [`Connection::cbs`](super::Connection::cbs) attaches to it. A provider that blocks has to do so on a thread of its own.
    #[derive(Debug, Clone)]
    pub struct Cbs of crate::Cbs, under ConnectionGuard;

    wait fn put_token(&self, audience: impl Into<String>, token: Token) -> Result<(), CbsError>;
    wait fn keep_token(&self, audience: impl Into<String>, provider: impl TokenProvider + 'static) -> Result<(), CbsError>;
    wait fn delete_token(&self, audience: &str) -> Result<(), CbsError>;
    pass fn expires(&self, audience: &str) -> Option<SystemTime>;
    pass fn audiences(&self) -> Vec<String>;
}
