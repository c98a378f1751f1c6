//! The task that renews tokens. It ends with the last handle, or with the connection.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::claims::{Claim, Next};
use super::{CbsError, Claims, Desk, token};
use crate::event::ConnectionEvent;
use crate::supervisor::random;

pub(super) async fn run(desk: Arc<Desk>) {
    // They go with it.
    let mut renewals = JoinSet::new();
    let connection = desk.requester.session().connection().clone();
    while connection.error().is_none() {
        let changed = desk.claims.changed.notified();
        match desk.claims.next_due() {
            // What is due is looked for again in any case.
            Some(at) => drop(tokio::time::timeout_at(at, changed).await),
            None => changed.await,
        }
        while renewals.try_join_next().is_some() {}
        for (audience, claim) in desk.claims.take_due() {
            renewals.spawn(renew(desk.clone(), audience, claim));
        }
    }
}

async fn renew(desk: Arc<Desk>, audience: String, claim: Claim) {
    let Some(provider) = &claim.provider else { return };
    let unfinished = Unfinished { claims: &desk.claims, audience: &audience, serial: claim.serial };
    let renewed = async {
        let token = token::make(&**provider, &audience, desk.claims.timeout).await?;
        desk.put(&audience, &token).await?;
        Ok(token)
    };
    let renewed = renewed.await;
    std::mem::forget(unfinished);
    let event = match renewed {
        Ok(token) => {
            desk.claims.renewed(&audience, claim.serial, token);
            ConnectionEvent::TokenRenewed { audience }
        }
        Err(error) => {
            let again = desk.claims.failed(&audience, claim.serial, counts(&error), random()) == Next::Again;
            ConnectionEvent::TokenFailed { audience, error, again }
        }
    };
    desk.requester.session().shared().with(|state| state.tell(event));
}

/// Whether a failure is one of those that there are only so many of.
fn counts(error: &CbsError) -> bool {
    !matches!(error, CbsError::Request(error) if error.is_interrupted())
}

/// A provider that panics is asked again.
struct Unfinished<'a> {
    claims: &'a Claims,
    audience: &'a str,
    serial: u64,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.claims.failed(self.audience, self.serial, true, random());
    }
}
