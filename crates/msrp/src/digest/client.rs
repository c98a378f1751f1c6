//! The client's side: from challenge to challenge, and what the relay proves.

use super::algorithm::Exchange;
use super::{AuthenticationInfo, Authorization, Challenge, Credentials, DigestError, Ha1};

/// A client's state at one relay: a client of several relays has one for each (RFC 4976 5.1).
///
/// ```text
///            authorize() = None                      authorize() = Some
///  AUTH without Authorization --401, challenged()--> AUTH with it --200, accepted()--> logged in
///                                                     ^  |  ^                           |
///                            401, challenged() is Ok  +--+  +--- AUTH again, to refresh -+
/// ```
///
/// A 401 is answered once, and once more where the relay says that only the nonce was stale. [`DigestUri::Auto`] allows one
/// attempt beyond that, in the other form.
#[doc(alias = "RelayConnection")]
#[derive(Debug, Clone)]
pub struct Client {
    credentials: Credentials,
    policy: DigestUri,
    /// Whether `uri=` is named; set by the first challenge.
    with_uri: Option<bool>,
    /// Whether a relay has taken this form, or the other one was tried: then it stays.
    settled: bool,
    challenge: Option<Challenge>,
    /// How often the nonce of the challenge was used.
    used: u32,
    sent: Option<Sent>,
    /// What was answered since the last success.
    answered: bool,
    answered_stale: bool,
    /// The realm, once the relay has refused one form of the answer.
    refused: Option<String>,
}

/// Whether a client names the URI of the relay in its answer. Some relays refuse an answer without it; others break when it is
/// there, as the grammar of RFC 4976 7 knows no `uri`, while the examples of RFC 7977 have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DigestUri {
    /// It is named.
    Always,
    /// It is not named.
    Never,
    /// It is named unless the challenge has an `opaque`, which tells the relays that break from those that refuse; when the
    /// relay refuses that form or does not answer, the other one is tried once.
    #[default]
    Auto,
}

impl DigestUri {
    /// Whether the first answer to this challenge names the URI.
    #[must_use]
    pub fn first(self, challenge: &Challenge) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => challenge.opaque().is_none(),
        }
    }

    /// The other choice for a second attempt, after one that named the URI or did not; nothing where there is no choice.
    #[must_use]
    pub fn other(self, named: bool) -> Option<bool> {
        (self == Self::Auto).then_some(!named)
    }
}

/// Why a login has come to its end.
#[doc(alias = "LoginFailed")]
#[doc(alias = "MSRPRelayAuthError")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The relay has refused the answers to its challenges: the user is unknown to it or the password is wrong.
    #[error("refused by the relay for realm \"{realm}\"")]
    Refused {
        /// What the password was taken for.
        realm: String,
    },
    /// The relay does not answer, in whatever form it is asked.
    #[error("no answer from the relay")]
    NoAnswer,
    /// The relay's proof is wrong, or is for another request: it does not know the password, and is not to be trusted.
    #[error("the relay's proof is wrong")]
    Impostor,
    /// The URI or the client's nonce cannot be written.
    #[error("cannot be written: {0}")]
    Value(#[from] DigestError),
}

impl LoginError {
    /// What can be done about it, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Refused { .. } => "check user and password, and whether they are of this realm",
            Self::NoAnswer => "see whether the relay is known to need DigestUri::Always or DigestUri::Never",
            Self::Impostor => "close the connection and check which relay it leads to",
            Self::Value(error) => return error.hint(),
        })
    }
}

impl Client {
    /// A client that has not been challenged yet.
    #[must_use]
    pub fn new(credentials: Credentials, policy: DigestUri) -> Self {
        Self {
            credentials,
            policy,
            with_uri: None,
            settled: false,
            challenge: None,
            used: 0,
            sent: None,
            answered: false,
            answered_stale: false,
            refused: None,
        }
    }

    /// The user.
    #[must_use]
    pub fn username(&self) -> &str {
        self.credentials.username()
    }

    /// The `Authorization` for the next `AUTH`; nothing before there is a challenge, when `AUTH` is sent without.
    ///
    /// `uri` is the rightmost URI of `To-Path`, as it is sent. `cnonce` is random and new each time: 64 bits or more in any
    /// form.
    ///
    /// # Errors
    /// A URI or a `cnonce` that has control characters, is too long, or is empty.
    pub fn authorize(&mut self, uri: &str, cnonce: &str) -> Result<Option<Authorization>, LoginError> {
        let Some(challenge) = &self.challenge else { return Ok(None) };
        let Some(count) = self.used.checked_add(1) else {
            // No count is left for this nonce: the relay has to give another one.
            self.challenge = None;
            return Ok(None);
        };
        let with_uri = *self.with_uri.get_or_insert_with(|| self.policy.first(challenge));
        let answer = Authorization::answer(challenge, &self.credentials, uri, with_uri, cnonce, count)?;
        self.used = count;
        self.sent = Some(Sent { uri: uri.to_owned(), cnonce: cnonce.to_owned(), count });
        Ok(Some(answer))
    }

    /// Takes the challenge of a 401: when it is fine, `AUTH` is to be sent again.
    ///
    /// # Errors
    /// The relay has refused what this client can show. A later challenge begins anew.
    pub fn challenged(&mut self, challenge: &Challenge) -> Result<(), LoginError> {
        self.sent = None;
        if !self.answered {
            self.answered = true;
        } else if challenge.stale() && !self.answered_stale {
            self.answered_stale = true;
        } else {
            let realm = challenge.realm().to_owned();
            if !self.turn() {
                self.start_over();
                return Err(LoginError::Refused { realm });
            }
            self.refused = Some(realm);
        }
        // The count starts again with each nonce, and only then.
        if self.challenge.as_ref().is_none_or(|last| last.nonce() != challenge.nonce()) {
            self.used = 0;
        }
        if !self.settled {
            self.with_uri = Some(self.policy.first(challenge));
        }
        self.challenge = Some(challenge.clone());
        Ok(())
    }

    /// Tells that the relay has not answered in time: when it is fine, `AUTH` is to be sent again, in the other form.
    ///
    /// # Errors
    /// There is no other form, or it was tried; where the relay had refused the first one, that is what is told.
    pub fn unanswered(&mut self) -> Result<(), LoginError> {
        if self.sent.take().is_some() && self.turn() {
            // It may go over another connection, for which the relay has another nonce.
            self.answered = false;
            return Ok(());
        }
        // A relay that breaks with the other form has said all that it can say about the password.
        let refused = self.refused.take().map(|realm| LoginError::Refused { realm });
        self.start_over();
        Err(refused.unwrap_or(LoginError::NoAnswer))
    }

    /// Takes the `Authentication-Info` of a 200, where there is one, and says whether the relay has proved that it knows the
    /// password. RFC 4976 9.1 has relays do so, and there are some that do not.
    ///
    /// # Errors
    /// The relay's proof is wrong, or not for what was sent.
    pub fn accepted(&mut self, info: Option<&AuthenticationInfo>) -> Result<bool, LoginError> {
        let sent = self.sent.take();
        let proved = match info.map(|info| self.check(sent.as_ref(), info)) {
            Some(Ok(proved)) => proved,
            Some(Err(error)) => {
                self.start_over();
                return Err(error);
            }
            None => false,
        };
        // A relay that lets in whoever has shown nothing tells nothing about forms.
        self.settled |= sent.is_some();
        (self.answered, self.answered_stale, self.refused) = (false, false, None);
        let next = info.and_then(AuthenticationInfo::next_nonce);
        if let (Some(challenge), Some(nonce)) = (&mut self.challenge, next)
            && challenge.nonce() != nonce
        {
            *challenge = challenge.with_nonce(nonce);
            self.used = 0;
        }
        Ok(proved)
    }

    /// Whether the proof is there; what is there has to be right.
    fn check(&self, sent: Option<&Sent>, info: &AuthenticationInfo) -> Result<bool, LoginError> {
        let (Some(sent), Some(challenge)) = (sent, &self.challenge) else {
            // Nothing was shown, so that nothing can be proved about it.
            return if info.response_auth().is_some() { Err(LoginError::Impostor) } else { Ok(false) };
        };
        let same = info.cnonce().is_none_or(|cnonce| cnonce == sent.cnonce)
            && info.nonce_count().is_none_or(|count| count == sent.count);
        if !same {
            return Err(LoginError::Impostor);
        }
        let Some(proof) = info.response_auth() else { return Ok(false) };
        let user = self.credentials.username();
        let ha1 = Ha1::from_password(challenge.algorithm(), user, challenge.realm(), self.credentials.password());
        let (nonce, nonce_count, cnonce) = (challenge.nonce(), sent.count, &*sent.cnonce);
        let expected = ha1.response_auth(&Exchange { nonce, nonce_count, cnonce, uri: &sent.uri });
        if *proof == expected { Ok(true) } else { Err(LoginError::Impostor) }
    }

    /// Takes the other form, where the policy has one that was not tried.
    fn turn(&mut self) -> bool {
        let other = self.with_uri.and_then(|named| self.policy.other(named)).filter(|_| !self.settled);
        self.settled |= other.is_some();
        self.with_uri = other.or(self.with_uri);
        other.is_some()
    }

    /// After a failure: nothing of it is held against the next login.
    fn start_over(&mut self) {
        (self.challenge, self.with_uri, self.settled) = (None, None, false);
        (self.answered, self.answered_stale, self.refused) = (false, false, None);
    }
}

/// What the relay's proof has to be for.
#[derive(Debug, Clone)]
struct Sent {
    uri: String,
    cnonce: String,
    count: u32,
}

#[cfg(test)]
mod tests;
