//! Messages that are posted in a transaction: they wait for its commit, with the room for them in their node (AMQP 1.0
//! part 4, 4.4.1).

use std::sync::Arc;

use postroad_amqp::v1_0::{Connection, Delivery, LinkId};
use postroad_codec::v1_0::{DeliveryState, Error, ErrorCondition, Outcome, TransactionId, TransactionalState};

use crate::doors::{full, gone, kept, refuse};
use crate::error::clip;
use crate::node::{Node, Nodes};
use crate::outgoing::Scratch;
use crate::transaction::{Post, Transactions, TxnKey};

/// What it takes to post the deliveries of one link.
#[derive(Debug)]
pub(crate) struct Posting<'a> {
    pub(crate) engine: &'a mut Connection,
    pub(crate) link: LinkId,
    /// Whether deliveries are settled with their provisional outcome.
    pub(crate) settles_first: bool,
    pub(crate) transactions: &'a mut Transactions,
    pub(crate) scratch: &'a mut Scratch,
    /// The first delivery that could be refused in no other way than by the end of the link.
    pub(crate) lost: &'a mut Option<Error>,
}

impl Posting<'_> {
    /// Posts deliveries to a node, and tells their provisional outcomes.
    #[cold]
    pub(crate) fn post(&mut self, nodes: &Arc<Nodes>, node: &Arc<Node>, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            if let Some((key, id)) = self.transaction(&delivery) {
                self.post_one(nodes, node, delivery, key, id);
            }
        }
    }

    /// Refuses a delivery that goes to no node.
    #[cold]
    pub(crate) fn refuse(&mut self, delivery: &Delivery, error: Error) {
        if let Some((key, id)) = self.transaction(delivery) {
            self.refuse_in(delivery, key, id, error);
        }
    }

    /// The transaction that a delivery is for. Where it is not open, the delivery is refused.
    fn transaction(&mut self, delivery: &Delivery) -> Option<(TxnKey, TransactionId)> {
        let Some(DeliveryState::Transactional(state)) = &delivery.state else { return None };
        match self.transactions.get_mut(&state.txn_id) {
            Ok((key, _)) => Some((key, state.txn_id.clone())),
            Err(error) => {
                refuse(self.engine, self.link, self.settles_first, delivery, error, self.lost);
                None
            }
        }
    }

    fn post_one(
        &mut self,
        nodes: &Arc<Nodes>,
        node: &Arc<Node>,
        mut delivery: Delivery,
        key: TxnKey,
        id: TransactionId,
    ) {
        let mut held = kept(self.engine, &mut delivery, self.scratch.now);
        held.origin = self.scratch.origin;
        let error = match self.transactions.post(key, node, nodes, held) {
            Ok(()) if delivery.settled => return,
            Ok(()) => {
                if !self.settles_first
                    && let Some(transaction) = self.transactions.by_key(key)
                {
                    transaction.unsettled.push((self.link, delivery.number));
                }
                return self.tell(&delivery, id, Outcome::Accepted);
            }
            Err(Post::Full(which)) => full(which, node, nodes),
            Err(Post::Deleted) => gone(node),
            Err(Post::Failed(error)) => error,
        };
        self.refuse_in(&delivery, key, id, error);
    }

    fn refuse_in(&mut self, delivery: &Delivery, key: TxnKey, id: TransactionId, error: Error) {
        if delivery.settled {
            // 4.4.4: it cannot be refused, so the transaction is.
            let text = format!("a message that was sent settled could not be taken: {error}");
            self.scratch.failed.push((key, clip(Error::new(ErrorCondition::TRANSACTION_ROLLBACK, text))));
        } else {
            self.tell(delivery, id, Outcome::rejected(Some(clip(error))));
        }
    }

    fn tell(&mut self, delivery: &Delivery, txn_id: TransactionId, outcome: Outcome) {
        let state = DeliveryState::Transactional(Box::new(TransactionalState { txn_id, outcome: Some(outcome) }));
        self.engine.receiver(self.link).dispose(delivery.number, Some(state), self.settles_first);
    }
}
