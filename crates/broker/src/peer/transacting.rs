//! What a client does in transactions: it declares, posts, acquires, retires and discharges (AMQP 1.0 part 4).

use std::time::Instant;

use postroad_amqp::v1_0::LinkId;
use postroad_codec::v1_0::{DeliveryState, Error, ErrorCondition, TransactionId, Value};

use super::{Kind, Link, Peer};
use crate::coordinator::{Command, declared, distributed, settled};
use crate::provisional::Retirement;
use crate::transaction::{Transaction, TxnKey};

impl Peer {
    /// Does what a controller asks.
    pub(super) fn coordinate(&mut self, slot: usize) {
        loop {
            let Some(Link { kind: Kind::Coordinator(coordinator), .. }) = self.links.get(slot) else { return };
            let id = coordinator.id;
            let Some((delivery, command)) = coordinator.next(&mut self.engine) else { break };
            let result =
                if delivery.settled { Err(settled()) } else { command.and_then(|command| self.execute(id, command)) };
            let Some(Link { kind: Kind::Coordinator(coordinator), .. }) = self.links.get(slot) else { return };
            // 4.4.4: what becomes of deliveries is told before the end of their transaction, on whatever session.
            self.engine.flush();
            let answered = coordinator.answer(&mut self.engine, &delivery, result);
            if let Err(error) = answered {
                return self.detach(slot, error);
            }
        }
        self.touch(slot);
    }

    fn execute(&mut self, control: LinkId, command: Command) -> Result<DeliveryState, Error> {
        match command {
            Command::Declare(declare) if declare.global_id.is_some() => Err(distributed()),
            Command::Declare(_) => self.transactions.declare(control, self.scratch.now).map(declared),
            Command::Discharge(discharge) => {
                let (key, transaction) = self.transactions.take(&discharge.txn_id, control)?;
                // 4.3: a rollback can always be done.
                self.discharge(key, transaction, !discharge.fail.unwrap_or(false)).map(|()| DeliveryState::Accepted)
            }
        }
    }

    /// Ends a transaction that was taken out of those that are open.
    pub(super) fn discharge(&mut self, key: TxnKey, mut transaction: Transaction, commit: bool) -> Result<(), Error> {
        let result = match (commit, transaction.fault.take()) {
            (true, None) => transaction.commit(self.scratch.now),
            (true, Some(fault)) => Err(fault),
            (false, _) => Ok(()),
        };
        let commit = commit && result.is_ok();
        for (slot, id) in std::mem::take(&mut transaction.links) {
            let slot = slot as usize;
            let Some(Link { kind: Kind::Outgoing(outgoing), .. }) = self.links.get_mut(slot) else { continue };
            if outgoing.id == id {
                outgoing.discharge(key, commit, &mut self.engine);
                self.touch(slot);
            }
        }
        if commit {
            transaction.orphans.drain(..).for_each(|orphan| orphan.commit());
            for (link, number) in transaction.unsettled.drain(..) {
                if self.engine.role_of(link).is_none() {
                    // Whoever has detached it knows the outcome by that of the discharge.
                    continue;
                }
                // 4.4.4: their state shows the outcome that was applied.
                self.engine.receiver(link).dispose(number, Some(DeliveryState::Accepted), false);
            }
        }
        result
    }

    /// Takes an outcome that waits for a commit.
    #[cold]
    pub(super) fn retire(&mut self, slot: usize, retirement: Retirement) {
        let Some(Link { kind: Kind::Outgoing(outgoing), .. }) = self.links.get_mut(slot) else { return };
        let (key, transaction) = match self.transactions.get_mut(&retirement.id) {
            Ok(found) => found,
            Err(error) => return self.detach(slot, error),
        };
        if transaction.fault.is_some() {
            return outgoing.retire_in_vain(&retirement);
        }
        let id = outgoing.id;
        match outgoing.retire(key, retirement) {
            Ok(()) => transaction.touch(slot as u32, id),
            Err(_) => {
                // 4.4.2.
                let control = transaction.control;
                let text = "a delivery cannot be part of two transactions";
                let error = Error::new(ErrorCondition::TRANSACTION_ROLLBACK, text);
                if let Some(&slot) = self.by_id.get(&control) {
                    self.detach(slot, error);
                }
            }
        }
    }

    /// Has a link acquire messages in the transaction that a flow names (4.4.3).
    pub(super) fn acquire(&mut self, slot: usize, id: LinkId) {
        let asked = self.engine.remote_flow_properties(id).and_then(|properties| properties.0.get_str("txn-id"));
        let asked = match asked {
            None | Some(Value::Null) => None,
            Some(Value::Binary(id)) => Some(TransactionId(id.clone())),
            Some(_) => {
                let text = "the txn-id of a flow is no binary";
                return self.detach(slot, Error::new(ErrorCondition::INVALID_FIELD, text));
            }
        };
        let Some(Link { kind: Kind::Outgoing(outgoing), .. }) = self.links.get_mut(slot) else { return };
        let Some(asked) = asked else { return outgoing.provisional.acquire_in(None) };
        if outgoing.browses() {
            let text = "a link that browses acquires nothing";
            return self.detach(slot, Error::new(ErrorCondition::NOT_IMPLEMENTED, text));
        }
        let failed = match self.transactions.get_mut(&asked) {
            Ok((key, transaction)) if transaction.fault.is_none() => {
                transaction.touch(slot as u32, id);
                return outgoing.provisional.acquire_in(Some(key));
            }
            // It would acquire outside of any.
            Ok((_, transaction)) => transaction.fault.clone().expect("just matched"),
            Err(error) => error,
        };
        self.detach(slot, failed);
    }

    /// Rolls everything back that a control link has declared.
    pub(super) fn roll_back_all(&mut self, control: LinkId) {
        for (key, transaction) in self.transactions.take_all(control) {
            let _ = self.discharge(key, transaction, false);
        }
    }

    /// Rolls a transaction back that its controller has not discharged, who hears why when it does.
    pub(super) fn fail(&mut self, key: TxnKey, fault: Error) {
        if let Some(failed) = self.transactions.fail(key, fault) {
            let _ = self.discharge(key, failed, false);
        }
    }

    /// Rolls those back whose time is over.
    pub(super) fn time_out(&mut self, now: Instant) {
        for key in self.transactions.overdue(now) {
            let error = self.transactions.timeout();
            self.fail(key, error);
        }
    }
}
