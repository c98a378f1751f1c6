//! The handlers of a container, and how they are called.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use slab::Slab;

use crate::link::Link;
use crate::{Connection, Event, Handler, RunError, Settings};

/// A call that takes longer holds up others.
const LONG: std::time::Duration = std::time::Duration::from_millis(100);

/// A method of handlers, and its name.
pub(super) type Method = (&'static str, Call);

pub(super) type Call = fn(&mut dyn Handler, &mut Event<'_>);

macro_rules! method {
    ($name:ident) => {
        (stringify!($name), (|handler, event| handler.$name(event)) as crate::reactor::handlers::Call)
    };
}
pub(super) use method;

/// Which handler somebody has, if any.
#[derive(Debug)]
pub(crate) struct HandlerSlot(AtomicUsize);

const NONE: usize = usize::MAX;

impl Default for HandlerSlot {
    fn default() -> Self {
        Self(AtomicUsize::new(NONE))
    }
}

impl HandlerSlot {
    fn get(&self) -> Option<usize> {
        Some(self.0.load(Ordering::Relaxed)).filter(|key| *key != NONE)
    }
}

/// The handlers that may hear of something, the narrowest first; those of the container come behind them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scopes([Option<usize>; 3]);

impl Scopes {
    pub(super) const CONTAINER: Self = Self([None; 3]);
    /// The place of what has a handler of its own.
    pub(super) const NARROWEST: usize = 0;

    pub(super) fn of_connection(connection: &Connection) -> Self {
        Self([None, connection.root().inner.handler.get(), of_acceptor(connection)])
    }

    pub(super) fn of_link(link: &Link) -> Self {
        let connection = link.connection();
        Self([link.handler().get(), connection.root().inner.handler.get(), of_acceptor(connection)])
    }

    pub(super) fn of_slot(slot: &HandlerSlot) -> Self {
        Self([slot.get(), None, None])
    }
}

fn of_acceptor(connection: &Connection) -> Option<usize> {
    connection.acceptor()?.inner.handler.get()
}

/// All handlers; one that has panicked, or is being called, leaves its place empty.
pub(super) struct Handlers {
    all: Slab<Option<Box<dyn Handler>>>,
    /// Those of the container itself are the first so many.
    own: usize,
    /// The first that has panicked.
    panicked: Option<RunError>,
}

impl Handlers {
    pub(super) fn new(own: Vec<Box<dyn Handler>>) -> Self {
        let count = own.len();
        Self { all: own.into_iter().map(Some).enumerate().collect(), own: count, panicked: None }
    }

    pub(super) fn add(&mut self, slot: &HandlerSlot, handler: Option<Box<dyn Handler>>) {
        if let Some(handler) = handler {
            slot.0.store(self.all.insert(Some(handler)), Ordering::Relaxed);
        }
    }

    /// Drops a handler: nothing happens to what it was for any more.
    pub(super) fn remove(&mut self, slot: &HandlerSlot) {
        let key = slot.0.swap(NONE, Ordering::Relaxed);
        if key != NONE
            && let Some(handler) = self.all.remove(key)
        {
            self.guarded("drop", || drop(handler));
        }
    }

    /// Drops all of them, and tells whether one has panicked.
    pub(super) fn end(mut self) -> Option<RunError> {
        for handler in std::mem::take(&mut self.all).into_iter().filter_map(|(_, handler)| handler) {
            self.guarded("drop", || drop(handler));
        }
        self.panicked
    }

    /// The settings of the narrowest handler; the defaults where it is gone, or panics.
    pub(super) fn settings(&mut self, scopes: Scopes) -> Settings {
        let key = scopes.0.into_iter().flatten().next().unwrap_or(0);
        let Some(handler) = self.all.get_mut(key).and_then(Option::take) else { return Settings::default() };
        let mut settings = Settings::default();
        self.guarded("settings", || settings = handler.settings());
        self.all[key] = Some(handler);
        settings
    }

    /// Where among these scopes there is a handler that has panicked: none where it is one of the container's own.
    pub(super) fn dead(&self, scopes: Scopes) -> Option<usize> {
        scopes.0.iter().position(|key| key.is_some_and(|key| matches!(self.all.get(key), Some(None))))
    }

    /// Whether the container had handlers of its own, and each of them has panicked.
    pub(super) fn own_are_gone(&self) -> bool {
        self.own > 0 && (0..self.own).all(|key| self.all[key].is_none())
    }

    /// Whether handlers have panicked, and none is left.
    pub(super) fn are_gone(&self) -> bool {
        self.panicked.is_some() && self.all.iter().all(|(_, handler)| handler.is_none())
    }

    /// Calls the narrowest handler that has a method for it; `false` where one has panicked, or had before.
    pub(super) fn call(&mut self, scopes: Scopes, event: &mut Event<'_>, method: Method) -> bool {
        let mut dead = false;
        for key in scopes.0.into_iter().flatten() {
            event.passed = false;
            if matches!(self.all.get(key), Some(None)) {
                // What it was for is being closed: others hear of that, and have nothing to do with its messages.
                if matches!(method.0, "on_message" | "on_delivery") {
                    return false;
                }
                dead = true;
                continue;
            }
            if !self.call_one(key, event, method) {
                return false;
            }
            if !event.passed {
                return !dead;
            }
        }
        // Each of these hears of everything, but those that are gone.
        let (mut well, mut passed, mut gone) = (true, true, 0);
        for key in 0..self.own {
            if self.all[key].is_none() {
                gone += 1;
                continue;
            }
            event.passed = false;
            well &= self.call_one(key, event, method);
            passed &= event.passed;
        }
        event.passed = passed;
        well && !dead && (gone < self.own || gone == 0)
    }

    fn call_one(&mut self, key: usize, event: &mut Event<'_>, (name, method): Method) -> bool {
        let Some(mut handler) = self.all.get_mut(key).and_then(Option::take) else { return false };
        let begin = cfg!(debug_assertions).then(std::time::Instant::now);
        let well = self.guarded(name, || method(&mut *handler, event));
        if well {
            self.all[key] = Some(handler);
        } else {
            // What it drops may panic as well.
            self.guarded("drop", || drop(handler));
        }
        if let Some(took) = begin.map(|begin| begin.elapsed()).filter(|took| *took > LONG) {
            tracing::warn!(method = name, ?took, "a handler holds up its container");
        }
        well
    }

    /// Calls what is not ours; `false` where it has panicked.
    #[inline]
    pub(super) fn guarded(&mut self, method: &'static str, call: impl FnOnce()) -> bool {
        let Err(panic) = catch_unwind(AssertUnwindSafe(call)) else { return true };
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        tracing::error!(method, message, "a handler has panicked");
        self.panicked.get_or_insert(RunError::Panicked { method, message });
        // A payload may panic as it is dropped: there is nothing more to do for it.
        std::mem::forget(panic);
        false
    }
}
