//! Frames on stderr where the environment asks for them, and as events of `tracing` where a subscriber does.

use std::io::{self, Write as _};
use std::sync::OnceLock;

use postroad_amqp::v1_0::{FrameTrace, Transmit, frame_trace_asked};
use postroad_codec::v1_0::Direction;
use tracing::Level;

/// The target of the events, whose level is `TRACE`.
const TARGET: &str = "postroad::frame";

/// The trace of one connection.
#[derive(Debug)]
pub(crate) struct Trace {
    frames: FrameTrace,
    /// Whether lines go to stderr.
    print: bool,
}

impl Trace {
    /// A trace where one is asked for: the environment is read once in the life of the process, a subscriber is asked
    /// for each connection.
    pub(crate) fn start(id: usize) -> Option<Box<Self>> {
        static ASKED: OnceLock<bool> = OnceLock::new();
        let print = *ASKED.get_or_init(|| frame_trace_asked(|name| std::env::var_os(name)));
        let asked = print || tracing::enabled!(target: TARGET, Level::TRACE);
        asked.then(|| Box::new(Self { frames: FrameTrace::new(id), print }))
    }

    /// Takes in what was read; nothing is the end of the stream.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        let mut lines = Lines::default();
        if bytes.is_empty() {
            self.frames.end(Direction::In, |line| lines.push(line));
        } else {
            self.frames.bytes(Direction::In, bytes, |line| lines.push(line));
        }
        lines.tell(self.print);
    }

    /// Takes in what is to be written.
    pub(crate) fn write(&mut self, output: &Transmit) {
        if !output.is_empty() {
            let mut lines = Lines::default();
            self.frames.bytes(Direction::Out, &output.to_vec(), |line| lines.push(line));
            lines.tell(self.print);
        }
    }

    /// Takes in the end of our stream.
    pub(crate) fn end(&mut self) {
        let mut lines = Lines::default();
        self.frames.end(Direction::Out, |line| lines.push(line));
        lines.tell(self.print);
    }
}

/// Lines that are told at once.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn push(&mut self, line: &str) {
        tracing::trace!(target: TARGET, "{line}");
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// In one write: the lines of other connections stay whole. It does not matter when nobody reads them.
    fn tell(&self, print: bool) {
        if print {
            let _ = io::stderr().lock().write_all(self.0.as_bytes());
        }
    }
}
