//! Who connects, and where to (RFC 6135, and RFC 6714 where something in between has other addresses).

use std::net::IpAddr;

use super::{MediaDescription, Setup};
use crate::{Host, Uri};

/// What an end does first: connect and send, or wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It connects, and sends a SEND at once (RFC 6135 4.2.2).
    Active,
    /// It waits.
    Passive,
}

/// The roles of both ends. Both may be active: then each answers the other one's first SEND and goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Roles {
    /// Of the end that offered.
    pub offerer: Role,
    /// Of the end that answered.
    pub answerer: Role,
}

/// What an end knows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct LocalEnd {
    /// It is behind a relay, which it always connects to (RFC 6135 4.5).
    pub has_relay: bool,
    /// Others can connect to it.
    pub is_reachable: bool,
    /// It does as RFC 6714 says.
    pub has_cema: bool,
}

/// Where an end connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// To its own relay, in either role; only an active end sends its SEND at once.
    Relay,
    /// To the first URI of the other end's path.
    Uri(Uri),
    /// To the other end's `c=` and `m=` line; TLS and its names are still those of the path.
    Address {
        /// The host of the `c=` line.
        host: Host,
        /// The port of the `m=` line.
        port: u16,
    },
    /// Nowhere: the other end comes.
    Wait,
}

/// Why there is no session by this offer and answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CemaFallback {
    /// The offerer makes a new offer without `msrp-cema` (RFC 6714 4.2).
    #[error("something in between changed the addresses: offer again without msrp-cema")]
    NewOffer,
    /// The answerer refuses, by port 0 or by 488 (RFC 6714 4.3).
    #[error("something in between changed the addresses of an offer without msrp-cema")]
    Reject,
    /// The other end refused: its port is 0, or it has no path.
    #[error("the session was refused")]
    Refused,
}

/// What an answer has to say, and what its end does then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerPlan {
    /// The `setup` of the answer.
    pub setup: Setup,
    /// Whether the answer has `msrp-cema`.
    pub msrp_cema: bool,
    /// Where to connect.
    pub target: Target,
}

/// How a request's URI is compared with the one that was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SessionMatch {
    /// As RFC 4975 6.1 compares URIs.
    #[default]
    Uri,
    /// By the session id only. Whoever learns the id is taken for the peer, whatever address it gives: for peers behind
    /// something that rewrites URIs, and for nothing else.
    #[doc(alias = "sessmatch")]
    SessionId,
}

impl Roles {
    /// Who connects by this offer and this answer (RFC 4145 4.1, RFC 6135 4.2). Without a word of it the offerer does
    /// (RFC 4975 8.5).
    #[must_use]
    pub fn of(offer: Option<Setup>, answer: Option<Setup>) -> Self {
        let answerer = match (answer, offer) {
            (Some(Setup::Active), _) => Role::Active,
            (Some(Setup::Passive), _) => Role::Passive,
            // The offer is not allowed, and still says who does not connect.
            (_, Some(Setup::Passive)) => Role::Active,
            _ => Role::Passive,
        };
        let offerer = match (answerer, offer) {
            (Role::Passive, _) | (_, Some(Setup::Active)) => Role::Active,
            _ => Role::Passive,
        };
        Self { offerer, answerer }
    }
}

impl LocalEnd {
    /// An end that others can connect to, without a relay and without RFC 6714.
    #[must_use]
    pub fn reachable() -> Self {
        Self { is_reachable: true, ..Self::default() }
    }

    /// Behind a relay, or not.
    #[must_use]
    pub fn with_relay(self, has_relay: bool) -> Self {
        Self { has_relay, ..self }
    }

    /// With RFC 6714, or without.
    #[must_use]
    pub fn with_cema(self, has_cema: bool) -> Self {
        Self { has_cema, ..self }
    }

    /// An offer with what it has to say: `setup`, `msrp-cema`, and port 9 where nobody is to come (RFC 6135 4.2.2).
    #[must_use]
    pub fn offer(self, media: MediaDescription) -> MediaDescription {
        let setup = offer_setup(self.is_reachable || self.has_relay);
        let port = if setup == Setup::Active { 9 } else { media.port };
        MediaDescription { setup: Some(setup), msrp_cema: self.has_cema, port, ..media }
    }

    /// An answer with what its plan says.
    #[must_use]
    pub fn answer(self, media: MediaDescription, plan: &AnswerPlan) -> MediaDescription {
        let is_away = plan.setup == Setup::Active && !self.has_relay;
        let port = if is_away && !self.is_reachable { 9 } else { media.port };
        MediaDescription { setup: Some(plan.setup), msrp_cema: plan.msrp_cema, port, ..media }
    }

    /// What the offerer does with an answer, by RFC 6714 4.2 where its offer has `msrp-cema`. `resolve` gives the
    /// addresses that were found for a name; none is fine.
    ///
    /// # Errors
    /// There has to be a new offer, or the answer refuses.
    pub fn answered(
        self,
        offer: &MediaDescription,
        answer: &MediaDescription,
        resolve: impl Fn(&str) -> Vec<IpAddr>,
    ) -> Result<(Role, Target), CemaFallback> {
        let path = answer.path.as_ref().filter(|_| !answer.is_rejected()).ok_or(CemaFallback::Refused)?;
        let role = Roles::of(offer.setup, answer.setup).offerer;
        let answerer_has_relay = path.len() > 1;
        let same = has_own_address(answer, resolve);
        if offer.msrp_cema && !answer.msrp_cema && !same {
            let again = match role {
                Role::Passive => answer.setup == Some(Setup::Active),
                Role::Active => self.has_relay || answerer_has_relay,
            };
            if again {
                return Err(CemaFallback::NewOffer);
            }
        }
        // A relay whose address is unchanged: there is nothing in between.
        let by_path = !offer.msrp_cema || (answerer_has_relay && same);
        Ok((role, self.target(role, answer, by_path)))
    }

    /// What an answer to an offer has to say, by RFC 6135 and, where this end does so, by RFC 6714 4.3. `resolve` gives
    /// the addresses that were found for a name; none is fine.
    ///
    /// # Errors
    /// The offer is to be refused, or refuses itself.
    pub fn plan_answer(
        self,
        offer: &MediaDescription,
        resolve: impl Fn(&str) -> Vec<IpAddr>,
    ) -> Result<AnswerPlan, CemaFallback> {
        let path = offer.path.as_ref().filter(|_| !offer.is_rejected()).ok_or(CemaFallback::Refused)?;
        if self.has_cema && !offer.msrp_cema && !has_own_address(offer, resolve) {
            return Err(CemaFallback::Reject);
        }
        let offerer_has_relay = path.len() > 1;
        let offerer_connects = !matches!(offer.setup, Some(Setup::ActPass | Setup::Passive));
        let by_path = (offerer_has_relay && (self.has_relay || offerer_connects))
            || (self.has_relay && offer.setup == Some(Setup::Passive));
        let msrp_cema = self.has_cema && !by_path;
        let usual = answer_setup(offer.setup, self.is_reachable || self.has_relay);
        let setup = match msrp_cema {
            true if self.has_relay => Setup::Passive,
            // RFC 6714 4.1: an offerer behind a relay cannot connect to what is in between.
            true if offerer_has_relay => Setup::Active,
            _ => usual,
        };
        let role = Roles::of(offer.setup, Some(setup)).answerer;
        Ok(AnswerPlan { setup, msrp_cema, target: self.target(role, offer, !msrp_cema) })
    }

    fn target(self, role: Role, other: &MediaDescription, by_path: bool) -> Target {
        if self.has_relay {
            return Target::Relay;
        }
        match (role, &other.connection, &other.path) {
            (Role::Active, Some(connection), _) if !by_path => {
                Target::Address { host: connection.host().clone(), port: other.port }
            }
            (Role::Active, _, Some(path)) => Target::Uri(path.first().clone()),
            _ => Target::Wait,
        }
    }
}

impl SessionMatch {
    /// Whether a URI of a request is the one that was given out.
    #[must_use]
    pub fn matches(self, given: &Uri, requested: &Uri) -> bool {
        match self {
            Self::Uri => given == requested,
            Self::SessionId => given.is_session_of(requested),
        }
    }
}

/// The `setup` of an offer: never passive (RFC 6135 4.2.2).
#[must_use]
pub fn offer_setup(is_reachable: bool) -> Setup {
    if is_reachable { Setup::ActPass } else { Setup::Active }
}

/// The `setup` of an answer, by that of the offer (RFC 4145 4.1, RFC 6135 4.2.2). An end that cannot be reached waits
/// all the same where the offerer does not know of `setup` and connects in any case.
#[must_use]
pub fn answer_setup(offer: Option<Setup>, is_reachable: bool) -> Setup {
    match offer {
        Some(Setup::Passive) => Setup::Active,
        Some(Setup::ActPass) if !is_reachable => Setup::Active,
        _ => Setup::Passive,
    }
}

/// Whether the `c=` and `m=` line have the address of one of the path's URIs (RFC 6714 4.4).
fn has_own_address(media: &MediaDescription, resolve: impl Fn(&str) -> Vec<IpAddr>) -> bool {
    let (Some(connection), Some(path)) = (&media.connection, &media.path) else { return true };
    let host = connection.host();
    // Of ::ffff:192.0.2.1 and 192.0.2.1 both are the same address.
    let addresses = |host: &Host| -> Vec<IpAddr> {
        let all = match host {
            Host::Ip(address) => vec![*address],
            Host::Name(name) => resolve(name),
        };
        all.into_iter().map(|address| address.to_canonical()).collect()
    };
    // Port 9 of an end that does not wait is nobody's address (RFC 4145 4.1).
    let any_port = media.port == 9 && media.setup == Some(Setup::Active);
    let mut found = None;
    path.iter().any(|uri| {
        (any_port || uri.port() == Some(media.port)) && {
            let found: &Vec<IpAddr> = found.get_or_insert_with(|| addresses(host));
            host == uri.host() || addresses(uri.host()).iter().any(|address| found.contains(address))
        }
    })
}
