//! Questions to the peer.

use crate::protocol::Query;
use crate::state::State;
use crate::wait::Place;
use crate::{LinkError, Node, Session};

/// A question, and the answer once it is there.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) session: usize,
    answer: Option<Result<Option<Node>, LinkError>>,
}

/// A question that somebody waits for, by its token.
struct Waits<'a> {
    session: &'a Session,
    asked: Option<u64>,
}

impl Session {
    /// Asks the peer for a node: what it tells of it, or nothing when there is none.
    ///
    /// A peer of AMQP 1.0 is asked by a link that is attached to the node and closed again, without credit: one that makes
    /// nodes as they are asked for makes this one too.
    ///
    /// # Errors
    /// When the peer answers with another error than that there is no such node, or the session ends.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing at this end.
    pub async fn query(&self, address: &str) -> Result<Option<Node>, LinkError> {
        let query = Query::Node(address.to_owned());
        let mut waits = Waits { session: self, asked: None };
        let asked = &mut waits.asked;
        self.shared().wait(Place::Session(self.inner.key), |state| ask(state, self.inner.key, asked, &query)).await
    }
}

type Answer = Option<Result<Option<Node>, LinkError>>;

fn ask(state: &mut State, session: usize, asked: &mut Option<u64>, query: &Query) -> Answer {
    if let Some(error) = &state.sessions[session].over {
        return Some(Err(error.clone()));
    }
    if state.down.is_some() {
        return None;
    }
    // One that went with the connection is asked again.
    if let Some(question) = asked.and_then(|token| state.asked.get_mut(&token)) {
        return question.answer.take();
    }
    let (token, id) = (state.next_serial(), state.sessions[session].id);
    if let Err(error) = state.engine.ask(id, query, token) {
        return Some(Err(LinkError::Limit(error)));
    }
    state.asked.insert(token, Asked { session, answer: None });
    *asked = Some(token);
    None
}

impl State {
    /// The answer to a question has come. It may find nobody who waits for it.
    pub(crate) fn answered(&mut self, token: u64, answer: Result<Option<Node>, LinkError>) {
        let Self { asked, sessions, wakes, .. } = self;
        let Some(question) = asked.get_mut(&token) else { return };
        question.answer = Some(answer);
        if let Some(session) = sessions.get_mut(question.session) {
            session.waiters.wake(wakes);
        }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if let Some(token) = self.asked.take() {
            self.session.shared().with(|state| state.asked.remove(&token));
        }
    }
}
