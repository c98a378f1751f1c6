//! The two state machines of RFC 3994: of who composes, and of who is told.

use std::time::{Duration, Instant};

use super::{ComposingState, IsComposing, IsComposingError};

/// Tells the other end whether a user is composing a message.
///
/// ```text
///                   composing: "active"
///        +------+ ----------------------> +--------+ --+
///        | idle |                         | active |   | refresh interval: "active"
///        +------+ <---------------------- +--------+ <-+
///                   message sent
///                   idle timeout: "idle"
/// ```
///
/// A change of state is told at once; "active" is repeated no more than once in a refresh interval. The time is an
/// argument, and what is to be sent is the result.
///
/// ```
/// use std::time::{Duration, Instant};
/// use postroad_msrp::content::{Composer, ComposingState};
///
/// let (mut composer, start) = (Composer::default(), Instant::now());
/// assert_eq!(composer.handle_activity(start).unwrap().state(), ComposingState::Active);
/// assert_eq!(composer.poll_timeout(), Some(start + Duration::from_secs(15)));
/// assert_eq!(composer.handle_timeout(start + Duration::from_secs(15)).unwrap().state(), ComposingState::Idle);
/// ```
#[derive(Debug, Clone)]
pub struct Composer {
    idle_timeout: Duration,
    refresh: Option<Duration>,
    content_type: Option<Box<str>>,
    active: Option<Active>,
    stopped: bool,
}

#[derive(Debug, Clone, Copy)]
struct Active {
    idle_at: Instant,
    refresh_at: Option<Instant>,
}

impl Default for Composer {
    fn default() -> Self {
        Self {
            idle_timeout: Self::IDLE_TIMEOUT,
            refresh: Some(ComposerWatch::DEFAULT_REFRESH),
            content_type: None,
            active: None,
            stopped: false,
        }
    }
}

impl Composer {
    /// How long a user may pause before the state is idle, where nothing else is said (RFC 3994 3.2).
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

    /// The shortest refresh interval: a shorter one would be a flood of status messages (RFC 3994 3.2).
    pub const MIN_REFRESH: Duration = Duration::from_secs(60);

    /// One with the default times.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With another idle timeout, of at most [`ComposerWatch::MAX_REFRESH`].
    #[must_use]
    pub fn with_idle_timeout(self, timeout: Duration) -> Self {
        Self { idle_timeout: timeout.min(ComposerWatch::MAX_REFRESH), ..self }
    }

    /// With another refresh interval, in whole seconds, of at least [`MIN_REFRESH`](Self::MIN_REFRESH) and at most
    /// [`ComposerWatch::MAX_REFRESH`]; without one,
    /// "active" is not repeated, and the other end thinks that the user is idle after 120 s.
    #[must_use]
    pub fn with_refresh(self, refresh: Option<Duration>) -> Self {
        let whole = |refresh: Duration| {
            Duration::from_secs(refresh.as_secs()).clamp(Self::MIN_REFRESH, ComposerWatch::MAX_REFRESH)
        };
        Self { refresh: refresh.map(whole), ..self }
    }

    /// With what is composed, as in [`IsComposing::with_content_type`].
    ///
    /// # Errors
    /// Control characters, what XML cannot say, or too much.
    pub fn with_content_type(self, content_type: &str) -> Result<Self, IsComposingError> {
        let checked = IsComposing::new(ComposingState::Idle).with_content_type(content_type)?;
        Ok(Self { content_type: checked.content_type, ..self })
    }

    /// What the other end is told.
    #[must_use]
    pub fn state(&self) -> ComposingState {
        if self.active.is_some() { ComposingState::Active } else { ComposingState::Idle }
    }

    /// To be called when the user adds or changes content. Gives what is to be sent.
    pub fn handle_activity(&mut self, now: Instant) -> Option<IsComposing> {
        if self.stopped {
            return None;
        }
        let idle_at = now + self.idle_timeout;
        match &mut self.active {
            Some(active) if now < active.idle_at => {
                active.idle_at = idle_at;
                self.refresh_if_due(now)
            }
            // Idle, or for so long without activity that it should be.
            _ => {
                self.active = Some(Active { idle_at, refresh_at: self.refresh.map(|refresh| now + refresh) });
                Some(self.status(ComposingState::Active))
            }
        }
    }

    /// To be called when the message is sent, or thrown away by sending something else: nobody has to be told.
    pub fn handle_content_sent(&mut self) {
        self.active = None;
    }

    /// To be called at [`poll_timeout`](Self::poll_timeout). Gives what is to be sent.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<IsComposing> {
        if now >= self.active?.idle_at {
            self.active = None;
            return Some(self.status(ComposingState::Idle));
        }
        self.refresh_if_due(now)
    }

    /// When [`handle_timeout`](Self::handle_timeout) should be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let active = self.active?;
        Some(active.refresh_at.map_or(active.idle_at, |refresh| refresh.min(active.idle_at)))
    }

    /// To be called when the other end does not know the type of status messages (415): nothing is sent any more
    /// (RFC 3994 4).
    pub fn stop(&mut self) {
        self.active = None;
        self.stopped = true;
    }

    fn refresh_if_due(&mut self, now: Instant) -> Option<IsComposing> {
        let interval = self.refresh?;
        let active = self.active.as_mut()?;
        if active.refresh_at.is_none_or(|at| now < at) {
            return None;
        }
        active.refresh_at = Some(now + interval);
        Some(self.status(ComposingState::Active))
    }

    fn status(&self, state: ComposingState) -> IsComposing {
        let mut status = IsComposing::new(state);
        status.content_type.clone_from(&self.content_type);
        match self.refresh {
            // Nothing is repeated while a user is idle.
            Some(refresh) if state == ComposingState::Active => status.with_refresh(refresh),
            _ => status,
        }
    }
}

/// Knows whether the user at the other end is composing a message.
///
/// ```text
///                   "active" received
///        +------+ ----------------------------> +--------+
///        | idle |                               | active |
///        +------+ <---------------------------- +--------+
///                   "idle" or content received
///                   refresh interval or 120 s
/// ```
#[derive(Debug, Clone, Default)]
pub struct ComposerWatch {
    idle_at: Option<Instant>,
}

impl ComposerWatch {
    /// How long "active" holds where it does not say that (RFC 3994 3.3).
    pub const DEFAULT_REFRESH: Duration = Duration::from_secs(120);

    /// The longest time for which "active" holds: a peer could claim to be composing for ever.
    pub const MAX_REFRESH: Duration = Duration::from_secs(86_400);

    /// One that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the other end is doing.
    #[must_use]
    pub fn state(&self) -> ComposingState {
        if self.idle_at.is_some() { ComposingState::Active } else { ComposingState::Idle }
    }

    /// To be called with each status message. Gives the state if it is another one now.
    pub fn handle_status(&mut self, status: &IsComposing, now: Instant) -> Option<ComposingState> {
        let holds = status.refresh().unwrap_or(Self::DEFAULT_REFRESH).min(Self::MAX_REFRESH);
        self.set(Some(now + holds).filter(|_| status.state() == ComposingState::Active))
    }

    /// To be called with each message that has content. Gives the state if it is another one now.
    pub fn handle_content(&mut self) -> Option<ComposingState> {
        self.set(None)
    }

    /// To be called at [`poll_timeout`](Self::poll_timeout). Gives the state if it is another one now.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<ComposingState> {
        if now < self.idle_at? { None } else { self.set(None) }
    }

    /// When [`handle_timeout`](Self::handle_timeout) should be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.idle_at
    }

    fn set(&mut self, idle_at: Option<Instant>) -> Option<ComposingState> {
        let before = self.state();
        self.idle_at = idle_at;
        Some(self.state()).filter(|state| *state != before)
    }
}
