//! Tokens that are put, and requests that are answered.

use std::sync::Arc;

use postroad_client::{CbsError, Message, RequestError, TokenProvider};

use super::{Happened, Reactor, method};
use crate::event::Subject;
use crate::requester::{Answer, Requester};
use crate::{Connection, Event};

impl Reactor {
    pub(super) fn keep_token(&self, connection: Connection, audience: String, provider: Arc<dyn TokenProvider>) {
        let Some(client) = connection.inner.client.get().cloned() else { return };
        self.wait_for(async move {
            let result = connection.put(&client, audience, provider).await;
            Happened::TokenPut(connection, result)
        });
    }

    pub(super) fn token_put(&mut self, connection: &Connection, result: Result<(), CbsError>) {
        // A connection that is over has told why.
        if let Some(error) = result.err().filter(|_| connection.is_open()) {
            self.call_connection(connection, Some(&error.into()), method!(on_token_failed));
        }
    }

    pub(super) fn ask(&self, requester: Requester, request: Message, answer: Answer) {
        self.wait_for(async move {
            let result = requester.answer(request).await;
            Happened::Answered(answer, result)
        });
    }

    pub(super) fn answered(&mut self, answer: Answer, result: Result<Message, RequestError>) {
        let container = self.container.clone();
        let mut event = Event::new(&container, Subject::Container);
        self.handlers.guarded("answer", || answer(&mut event, result));
    }
}
