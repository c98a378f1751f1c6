//! Frames on stderr, where the environment asks for them.

use std::io::{self, Write as _};
use std::sync::OnceLock;

use postroad_amqp::v1_0::{FrameTrace, Transmit, frame_trace_asked};
use postroad_codec::v1_0::Direction;

/// The trace of one connection.
#[derive(Debug)]
pub(crate) struct Trace(FrameTrace);

impl Trace {
    /// A trace where one is asked for: the environment is read once in the life of the process.
    pub(crate) fn start(id: usize) -> Option<Box<Self>> {
        static ASKED: OnceLock<bool> = OnceLock::new();
        let asked = *ASKED.get_or_init(|| frame_trace_asked(|name| std::env::var_os(name)));
        asked.then(|| Box::new(Self(FrameTrace::new(id))))
    }

    /// Takes in what was read; nothing is the end of the stream.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        let mut lines = String::new();
        if bytes.is_empty() {
            self.0.end(Direction::In, |line| push(line, &mut lines));
        } else {
            self.0.bytes(Direction::In, bytes, |line| push(line, &mut lines));
        }
        print(&lines);
    }

    /// Takes in what is to be written, behind the first `told` bytes of it.
    pub(crate) fn write(&mut self, output: &Transmit, told: usize) {
        if output.len() > told {
            let mut lines = String::new();
            self.0.bytes(Direction::Out, &output.to_vec()[told..], |line| push(line, &mut lines));
            print(&lines);
        }
    }

    /// Takes in the end of our stream.
    pub(crate) fn end(&mut self) {
        let mut lines = String::new();
        self.0.end(Direction::Out, |line| push(line, &mut lines));
        print(&lines);
    }
}

fn push(line: &str, lines: &mut String) {
    lines.push_str(line);
    lines.push('\n');
}

/// In one write: the lines of other connections stay whole. It does not matter when nobody reads them.
fn print(lines: &str) {
    let _ = io::stderr().lock().write_all(lines.as_bytes());
}
