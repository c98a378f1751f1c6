//! Checking a password apart from the exchange: deriving keys takes as long as it is meant to.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Users;

/// A password that a client has sent and that is to be checked, by whoever drives the exchange and wherever there is
/// time for it: [`Server::password_check`](super::Server::password_check) gives it. The password is wiped when it is
/// dropped.
pub struct PasswordCheck {
    users: Arc<dyn Users>,
    user: String,
    password: Zeroizing<String>,
}

/// What became of a [`PasswordCheck`], for [`Server::password_checked`](super::Server::password_checked).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the client waits for the answer"]
pub struct PasswordAnswer(bool);

impl PasswordCheck {
    pub(super) fn new(users: Arc<dyn Users>, user: String, password: &str) -> Self {
        Self { users, user, password: Zeroizing::new(password.to_owned()) }
    }

    /// Asks [`Users::check_plain`]. A [`UserFile`](super::UserFile) derives keys for it, which takes milliseconds of a
    /// processor.
    pub fn run(self) -> PasswordAnswer {
        PasswordAnswer(self.users.check_plain(&self.user, &self.password))
    }
}

impl PasswordAnswer {
    /// The answer where the check could not be made: the client is refused.
    pub const REFUSED: Self = Self(false);

    pub(super) const fn fits(self) -> bool {
        self.0
    }
}

impl fmt::Debug for PasswordCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordCheck").finish_non_exhaustive()
    }
}
