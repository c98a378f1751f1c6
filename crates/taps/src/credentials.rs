//! Who is at the other end of a Unix socket.

/// The user, group and process at the other end of a Unix socket, as the system vouches for them: those of the process
/// that connected or listened, at that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerCredentials {
    user: u32,
    group: u32,
    process: Option<i32>,
}

impl PeerCredentials {
    #[cfg(unix)]
    pub(crate) fn new(user: u32, group: u32, process: Option<i32>) -> Self {
        Self { user, group, process }
    }

    /// The number of the user.
    #[must_use]
    pub fn user(&self) -> u32 {
        self.user
    }

    /// The number of the user's first group.
    #[must_use]
    pub fn group(&self) -> u32 {
        self.group
    }

    /// The number of the process, where the system tells it. The process may be gone, and its number another's.
    #[must_use]
    pub fn process(&self) -> Option<i32> {
        self.process
    }
}
