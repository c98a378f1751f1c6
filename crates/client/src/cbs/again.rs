//! Tokens that are put again on a connection that was made anew, before anything else happens there.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::claims::Claim;
use super::{CbsError, Claims, TokenError, put, token};
use crate::connection::Inner;
use crate::driver::Driver;
use crate::event::ConnectionEvent;
use crate::redirect::Dialed;
use crate::requester::Requester;
use crate::state::Shared;
use crate::{Connection, RedirectCredentials};

/// How long the node may take to let the links go by which tokens were put.
const PARTING: Duration = Duration::from_secs(1);

/// Puts the tokens on a connection that is open, and that nobody has yet but its driver. It is closed where that
/// fails, and otherwise when the handle goes that is given: whoever takes its engine over keeps that until then.
pub(crate) async fn put_again(
    shared: &Arc<Shared>,
    driver: &mut Driver,
    dialed: &Dialed,
    all: &[Arc<Claims>],
    told: impl Fn(ConnectionEvent),
) -> Result<Connection, CbsError> {
    let close_timeout = dialed.base.close_timeout;
    let connection = Connection { inner: Arc::new(Inner { shared: shared.clone(), close_timeout, origin: None }) };
    let withheld = dialed.followed > 0 && dialed.base.redirect_credentials == RedirectCredentials::Withhold;
    let putting = async {
        for claims in all.iter().filter(|_| !withheld) {
            for (audience, claim) in claims.all() {
                // Nobody can renew it.
                if claim.provider.is_none() && claim.is_expired() {
                    claims.drop_claim(&audience, claim.serial);
                    told(ConnectionEvent::TokenFailed { audience, error: CbsError::Expired, again: false });
                }
            }
            if !claims.all().is_empty() {
                put::may_go_where(dialed)?;
                put_all(&connection, claims).await?;
            }
        }
        Ok::<(), CbsError>(())
    };
    {
        let (mut putting, mut driver, mut over) = (pin!(putting), pin!(driver.over()), false);
        poll_fn(|cx| {
            // Whoever waits for something on a connection that is over is told.
            over = over || driver.as_mut().poll(cx).is_ready();
            putting.as_mut().poll(cx)
        })
        .await?;
    }
    Ok(connection)
}

async fn put_all(connection: &Connection, claims: &Arc<Claims>) -> Result<(), CbsError> {
    let requester = put::attach(connection, &claims.address, claims.timeout).await?;
    let mut putting = JoinSet::new();
    for (audience, claim) in claims.all() {
        putting.spawn(put_one(requester.clone(), claims.clone(), audience, claim));
    }
    while let Some(result) = putting.join_next().await {
        result.unwrap_or_else(|_| Err(CbsError::Provider(TokenError::new("the provider has panicked"))))?;
    }
    let session = requester.session().clone();
    let parting = async {
        let _ = requester.close().await;
        drop(requester);
        let _ = session.close().await;
    };
    // What was put stays, whatever becomes of the links.
    let _ = tokio::time::timeout(PARTING, parting).await;
    Ok(())
}

/// Puts the token that is there, or another one where it is due or not good any more.
async fn put_one(requester: Requester, claims: Arc<Claims>, audience: String, claim: Claim) -> Result<(), CbsError> {
    let mut token = claim.token.clone();
    let make = async || match &claim.provider {
        Some(provider) => token::make(&**provider, &audience, claims.timeout).await.map(Some),
        None => Ok(None),
    };
    let mut made = claim.is_due();
    if made {
        token = make().await?.ok_or(CbsError::Expired)?;
    }
    loop {
        match put::put(&requester, &audience, &token).await {
            Err(error @ CbsError::Unauthorized(_)) if !made => {
                made = true;
                token = make().await?.ok_or(error)?;
            }
            Ok(()) => {
                claims.renewed(&audience, claim.serial, token);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}
