//! Framers: messages to bytes and back.
use std::sync::Arc;

/// A framer.
pub trait Framer: Send {}
pub(crate) type FramerFactory = Arc<dyn Fn() -> Box<dyn Framer> + Send + Sync>;
