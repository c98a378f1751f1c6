//! The task that renews tokens. It ends with the last handle, or with the connection.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::claims::{Claim, Next};
use super::{CbsError, Desk, TokenError, token};
use crate::event::ConnectionEvent;
use crate::supervisor::random;

pub(super) async fn run(desk: Arc<Desk>) {
    // They go with it.
    let mut renewals = JoinSet::new();
    while desk.connection.error().is_none() {
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
    let unfinished = Unfinished { desk: &desk, audience: &audience, serial: claim.serial };
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
            // Without a connection it can only fail, and with the next one it is put before anything else.
            let counts = desk.connection.inner.shared.with(|state| state.down.is_none());
            let again = desk.claims.failed(&audience, claim.serial, counts, random()) == Next::Again;
            ConnectionEvent::TokenFailed { audience, error, again }
        }
    };
    desk.connection.inner.shared.with(|state| state.tell(event));
}

/// A provider that panics is asked again, as one that fails.
struct Unfinished<'a> {
    desk: &'a Desk,
    audience: &'a str,
    serial: u64,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let Self { desk, audience, serial } = *self;
        let again = desk.claims.failed(audience, serial, true, random()) == Next::Again;
        if std::thread::panicking() {
            let error = CbsError::Provider(TokenError::new("the provider has panicked"));
            let event = ConnectionEvent::TokenFailed { audience: audience.to_owned(), error, again };
            desk.connection.inner.shared.with(|state| state.tell(event));
        }
    }
}
