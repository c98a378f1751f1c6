//! What becomes of a connection that is redirected.

use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad_address::BrokerUrl;

use super::{Redirect, RedirectCredentials, RedirectError};
use crate::types::ErrorCondition;
use crate::{ConnectOptions, ConnectionError};

/// How a connection was made, and what it follows.
#[derive(Debug, Clone)]
pub(crate) struct Dialed {
    /// The options for the broker of the list, where it began.
    pub(crate) base: Arc<ConnectOptions>,
    /// Where that led to.
    pub(crate) url: BrokerUrl,
    /// Redirects that were followed in a row to get there.
    pub(crate) followed: u32,
    pub(crate) since: Instant,
}

/// A connection that is redirected after it has lasted for this long begins another row.
const LASTING: Duration = Duration::from_secs(1);

impl Dialed {
    /// What it means that a connection was closed which was open: where it is to go on, or why it does not. `tokens`
    /// says whether it has any to put there.
    pub(crate) fn closed(
        &self,
        error: ConnectionError,
        tokens: bool,
    ) -> Result<(Elsewhere, ConnectionError), ConnectionError> {
        let followed = if self.since.elapsed() < LASTING { self.followed } else { 0 };
        let elsewhere = Elsewhere::of(&self.base, followed, error.clone())?;
        if tokens && self.base.redirect_credentials == RedirectCredentials::Refuse {
            let told = error.peer_error().cloned().unwrap_or_default();
            let why = RedirectError::Credentials(elsewhere.redirect.network_host);
            return Err(ConnectionError::Redirect { error: Box::new(told), why: Box::new(why) });
        }
        Ok((elsewhere, error))
    }
}

/// Where a connection is to go on that was redirected.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    pub(crate) redirect: Redirect,
    pub(crate) options: ConnectOptions,
    /// Redirects that were followed in a row, with this one.
    pub(crate) followed: u32,
}

impl Elsewhere {
    /// Where an error leads, if it is a redirect and redirects are followed; otherwise the error that tells why not.
    pub(crate) fn of(base: &ConnectOptions, followed: u32, error: ConnectionError) -> Result<Self, ConnectionError> {
        let Some(told) = error.peer_error().filter(|_| base.max_redirects > 0) else { return Err(error) };
        if told.condition != ErrorCondition::CONNECTION_REDIRECT {
            return Err(error);
        }
        let found = Redirect::of(told).and_then(|redirect| {
            let redirect = redirect.ok_or(RedirectError::Missing("network-host"))?;
            if followed >= base.max_redirects {
                return Err(RedirectError::TooMany(followed));
            }
            let options = redirect.options(base)?;
            Ok(Self { redirect, options, followed: followed + 1 })
        });
        found.map_err(|why| ConnectionError::Redirect { error: Box::new(told.clone()), why: Box::new(why) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_ends_once_a_connection_has_lasted() {
        let mut options = ConnectOptions::new("amqp://here".parse().unwrap());
        options.max_redirects = 2;
        let told = Redirect::connection("there", 5672).to_error();
        let lost = ConnectionError::Protocol(postroad_amqp::v1_0::ConnectionError::Remote(told));
        let now = Instant::now();
        let url = options.url.clone();
        let dialed = |since| Dialed { base: Arc::new(options.clone()), url: url.clone(), followed: 2, since };
        let refused = dialed(now).closed(lost.clone(), false).unwrap_err();
        assert!(
            matches!(&refused, ConnectionError::Redirect { why, .. } if **why == RedirectError::TooMany(2)),
            "{refused}"
        );
        let elsewhere = dialed(now.checked_sub(LASTING).unwrap()).closed(lost, false).unwrap().0;
        assert_eq!((elsewhere.followed, elsewhere.options.url.to_string().as_str()), (1, "amqp://there:5672"));
        // Another error is no redirect, and stays what it is.
        assert_eq!(dialed(now).closed(ConnectionError::Closed, false).unwrap_err(), ConnectionError::Closed);
    }
}
