//! Where a link is: on the session that it was made on, or where its peer has sent it.

use std::sync::OnceLock;

use postroad_client::Node;

use crate::Session;

#[derive(Debug)]
pub(crate) struct Home {
    session: Session,
    /// The address of the peer's node there, where it is another one than was asked for.
    address: Option<String>,
    next: OnceLock<Box<Self>>,
}

impl Home {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, address: None, next: OnceLock::new() }
    }

    fn last(&self) -> &Self {
        let mut home = self;
        while let Some(next) = home.next.get() {
            home = next;
        }
        home
    }

    pub(crate) fn session(&self) -> &Session {
        &self.last().session
    }

    /// How often it has moved.
    pub(crate) fn moves(&self) -> u32 {
        let mut moves = 0;
        let mut home = self;
        while let Some(next) = home.next.get() {
            (home, moves) = (next, moves + 1);
        }
        moves
    }

    /// Moves on. Nobody else does meanwhile: it is the run that does.
    pub(crate) fn move_to(&self, session: Session, address: Option<String>) {
        let last = self.last();
        let address = address.or_else(|| last.address.clone());
        let _ = last.next.set(Box::new(Self { session, address, next: OnceLock::new() }));
    }

    /// The peer's node, as it is called where the link is.
    pub(crate) fn node(&self, asked: &Node) -> Node {
        let address = self.last().address.clone().or_else(|| asked.address.clone());
        Node { address, ..asked.clone() }
    }
}
