//! Transactions begin and end.

use postroad_client as client;
use postroad_client::TransactionError;
use std::sync::Arc;

use super::{Happened, Method, Reactor, Scopes, method};
use crate::event::Subject;
use crate::{Event, EventError, Transaction};

impl Reactor {
    pub(super) fn declare(&self, transaction: Transaction) {
        self.wait_for(async move {
            let declared = async { transaction.session().controller().await?.declare().await };
            let declared = declared.await;
            Happened::Declared(transaction, declared)
        });
    }

    pub(super) fn declared(
        &mut self,
        transaction: &Transaction,
        declared: Result<client::Transaction, TransactionError>,
    ) {
        match declared {
            Ok(client) => {
                *transaction.slot() = Some(Arc::new(client));
                if transaction.is_discharging().is_some() {
                    return self.discharge(transaction.clone());
                }
                self.call_transaction(transaction, None, method!(on_transaction_declared));
            }
            Err(error) => {
                let error = EventError::Transaction(error);
                self.call_transaction(transaction, Some(&error), method!(on_transaction_declare_failed));
            }
        }
    }

    /// One that is being declared is discharged once it is.
    pub(super) fn discharge(&self, transaction: Transaction) {
        let commit = transaction.is_discharging() == Some(true);
        let Some(client) = transaction.slot().take() else { return };
        self.wait_for(async move {
            let result = match Arc::try_unwrap(client) {
                Ok(client) if commit => client.commit().await,
                Ok(client) => client.rollback().await,
                // Somebody sends in it this moment, on another thread: it is dropped there, and rolled back.
                Err(_) => Err(TransactionError::Link(client::LinkError::TransactionEnded)),
            };
            Happened::Discharged(transaction, commit, result)
        });
    }

    pub(super) fn discharged(&mut self, transaction: &Transaction, commit: bool, result: Result<(), TransactionError>) {
        let error = result.err().map(EventError::Transaction);
        let method = match (commit, &error) {
            (true, None) => method!(on_transaction_committed),
            (true, Some(_)) => method!(on_transaction_commit_failed),
            // It is rolled back also where its link has ended.
            (false, _) => method!(on_transaction_aborted),
        };
        self.call_transaction(transaction, error.as_ref(), method);
    }

    fn call_transaction(&mut self, transaction: &Transaction, error: Option<&EventError>, method: Method) {
        let scopes = Scopes::of_connection(transaction.session().connection());
        let mut event = Event {
            error,
            ..Event::new(transaction.session().connection().container(), Subject::Transaction(transaction))
        };
        self.call(scopes, &mut event, method);
    }
}
