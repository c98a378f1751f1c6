//! A message that is sent in parts by several calls with one context (RFC 9622 9.2.3).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;

use super::connection::{Connection, SentHandler};
use super::reason::SendErrorReason;
use super::shared::{Operation, Shared, Stage};
use crate::message::MessageContext;

/// A message of which the end has not been handed over, and its parts that have not been told of.
pub(super) struct Parts {
    /// As the first part had it.
    context: MessageContext,
    waiting: RefCell<VecDeque<Part>>,
}

struct Part {
    data: Bytes,
    end_of_message: bool,
    sent_handler: SentHandler,
    connection: Connection,
    operation: Operation,
}

impl Parts {
    pub(super) fn new(context: MessageContext) -> Self {
        Self { context, waiting: RefCell::default() }
    }

    /// Whether what has this context is a part of the message.
    pub(super) fn is_of(&self, context: &MessageContext) -> bool {
        self.context.same_message(context) || self.context == *context
    }

    pub(super) fn push(&self, connection: &Connection, data: Bytes, sent_handler: SentHandler, end_of_message: bool) {
        let operation = Operation::new(connection.shared());
        let connection = connection.clone();
        self.waiting.borrow_mut().push_back(Part { data, end_of_message, sent_handler, connection, operation });
        self.waiting_changed();
    }

    fn waiting_changed(&self) {
        if let Some(part) = self.waiting.borrow().back() {
            part.connection.shared().wake();
        }
    }

    /// Sends the parts as they come, until the last one, or the end of the connection.
    pub(super) async fn carry(self: Rc<Self>, shared: Rc<Shared>) {
        let connection = shared.sender().await;
        let mut message = connection.map(|connection| connection.start_message(self.context.clone()));
        // What has become of one part has become of the message.
        let mut failed = None;
        loop {
            shared.until(|| !self.waiting.borrow().is_empty() || shared.stage() >= Stage::Ending).await;
            let Some(part) = self.waiting.borrow_mut().pop_front() else { return };
            let Part { data, end_of_message, sent_handler, connection, operation } = part;
            if failed.is_none() {
                let sent = match message.take() {
                    Some(message) if end_of_message => message.finish(data).await,
                    Some(mut going) => {
                        let sent = going.send(data).await;
                        message = Some(going);
                        sent
                    }
                    None => Err(crate::SendError::Closed),
                };
                failed = sent.err().map(|error| SendErrorReason::from(&error));
            }
            shared.may_tell().await;
            sent_handler(&connection, failed);
            drop(operation);
            if end_of_message {
                return;
            }
        }
    }
}
