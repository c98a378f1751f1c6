//! Telling the end of something to whoever asked for that, outside every lock and without keeping it alive.

use std::sync::Arc;

use crate::link::Link;
use crate::state::{Shared, State};
use crate::wait::Place;
use crate::{Connection, ConnectionError, LinkError, Sender, Session, SharedReceiver};

impl Connection {
    /// Has `told` called once the connection is over: by a task of the runtime that drives it. It keeps nothing open.
    pub fn when_over(&self, told: impl FnOnce(ConnectionError) + Send + 'static) {
        let over = |state: &mut State| state.over.clone().map(Some);
        watch(&self.inner.shared, Place::Connection, over, told);
    }
}

impl Session {
    /// As [`Connection::when_over`], for the session. Where its handles go first, nothing is told.
    pub fn when_over(&self, told: impl FnOnce(LinkError) + Send + 'static) {
        let key = self.inner.key;
        let id = self.shared().with(|state| state.sessions[key].serial);
        let over = move |state: &mut State| match state.sessions.get(key).filter(|entry| entry.serial == id) {
            None => Some(None),
            Some(entry) => entry.over.clone().map(Some),
        };
        watch(self.shared(), Place::Session(key), over, told);
    }
}

impl Sender {
    /// As [`Connection::when_over`], for the link. Where its handles go first, nothing is told.
    pub fn when_over(&self, told: impl FnOnce(LinkError) + Send + 'static) {
        self.link.when_over(told);
    }
}

impl SharedReceiver {
    /// As [`Connection::when_over`], for the link. Where its handles go first, nothing is told.
    pub fn when_over(&self, told: impl FnOnce(LinkError) + Send + 'static) {
        self.link().when_over(told);
    }
}

impl Link {
    fn when_over(&self, told: impl FnOnce(LinkError) + Send + 'static) {
        let key = self.key;
        let serial = self.with(|state| state.links[key].serial);
        let over = move |state: &mut State| match state.links.get(key).filter(|entry| entry.serial == serial) {
            None => Some(None),
            Some(entry) if entry.abandoned => Some(None),
            Some(entry) => entry.over.clone().map(Some),
        };
        watch(self.session.shared(), Place::Link(key), over, told);
    }
}

/// Waits in a task of its own, which holds no handle.
fn watch<E: Send + 'static>(
    shared: &Arc<Shared>,
    place: Place,
    over: impl FnMut(&mut State) -> Option<Option<E>> + Send + 'static,
    told: impl FnOnce(E) + Send + 'static,
) {
    let Some(runtime) = shared.runtime().cloned() else { return };
    let shared = shared.clone();
    runtime.spawn(async move {
        if let Some(error) = shared.wait(place, over).await {
            told(error);
        }
    });
}
