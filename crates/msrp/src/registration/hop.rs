//! One relay, and how far the login at it has come.

use std::time::Instant;

use super::{Grant, Kind, MAX_EXPIRES, MAX_INTERVALS};
use crate::digest::{AuthenticationInfo, Challenge, Client};
use crate::{Head, HeaderName};

/// A relay of the chain.
#[derive(Debug)]
pub(super) struct Hop {
    pub(super) client: Client,
    /// Whether the client has a login that has not come to its end.
    unfinished: bool,
    /// For how long the URI is asked for: what was wanted, or what the relay has made of it.
    pub(super) expires: Option<u32>,
    pub(super) grant: Option<Grant>,
    /// When to renew it.
    pub(super) refresh_at: Option<Instant>,
    pub(super) requests: u32,
    intervals: u32,
}

impl Hop {
    pub(super) fn new(client: Client, expires: Option<u32>) -> Self {
        Self { client, unfinished: false, expires, grant: None, refresh_at: None, requests: 0, intervals: 0 }
    }

    /// Begins a login. What an earlier one has left open counts for nothing.
    pub(super) fn begin(&mut self, anew: impl FnOnce() -> Client) {
        (self.requests, self.intervals) = (0, 0);
        if std::mem::take(&mut self.unfinished) {
            self.client = anew();
        }
    }

    pub(super) fn challenged(&mut self, head: &Head) -> Result<(), Kind> {
        self.unfinished = true;
        let values = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case(HeaderName::WwwAuthenticate.as_str()));
        let values = values.filter_map(|(_, value)| std::str::from_utf8(value).ok());
        let challenge = Challenge::choose(values).map_err(Kind::Challenge)?;
        Ok(self.client.challenged(&challenge)?)
    }

    pub(super) fn unanswered(&mut self) -> Result<(), Kind> {
        self.unfinished = true;
        Ok(self.client.unanswered()?)
    }

    /// Whether the relay has proved itself. A value that cannot be read proves nothing, and nothing has to be proved.
    pub(super) fn accepted(&mut self, head: &Head) -> Result<bool, Kind> {
        self.unfinished = true;
        let info = head.text(HeaderName::AuthenticationInfo).and_then(|info| info.parse::<AuthenticationInfo>().ok());
        let proved = self.client.accepted(info.as_ref())?;
        self.unfinished = false;
        Ok(proved)
    }

    /// Takes the bounds of a 423 (RFC 4976 4.6).
    pub(super) fn other_interval(&mut self, head: &Head) -> Result<(), Kind> {
        let (min, max) = (seconds(head, HeaderName::MinExpires), seconds(head, HeaderName::MaxExpires));
        let no = Err(Kind::Interval { min, max });
        self.intervals += 1;
        let Some(wanted) = self.expires.or(max).or(min) else { return no };
        let other = wanted.max(min.unwrap_or(0)).min(max.unwrap_or(u32::MAX));
        let within = (min.unwrap_or(0).max(1)..=MAX_EXPIRES).contains(&other);
        if !within || self.expires == Some(other) || self.intervals > MAX_INTERVALS {
            return no;
        }
        self.expires = Some(other);
        Ok(())
    }
}

/// A number of seconds; more than can be counted is as many as can.
pub(super) fn seconds(head: &Head, name: HeaderName) -> Option<u32> {
    let digits = head.text(name)?;
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u32::MAX))
}
