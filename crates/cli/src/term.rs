//! What the terminal is told: stderr for talk, stdout for data.

use std::io::{self, IsTerminal as _, Write};

use crate::exit::{Exit, Failure};

/// How much talk there is on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Talk {
    /// -1 for `-q`, else the number of `-v`.
    level: i8,
}

impl Talk {
    pub(crate) fn new(verbose: u8, quiet: bool) -> Self {
        Self { level: if quiet { -1 } else { i8::try_from(verbose).unwrap_or(i8::MAX) } }
    }

    /// Whether there is talk of this level: 0 unless `-q`, 1 with `-v`, 2 with `-vv`.
    pub(crate) fn at(self, level: i8) -> bool {
        self.level >= level
    }

    /// Prints a line of talk. It does not matter when nobody reads it.
    pub(crate) fn say(self, level: i8, line: impl FnOnce() -> String) {
        if self.at(level) {
            let _ = writeln!(io::stderr(), "{}", line());
        }
    }

    /// Whether a progress bar has its place: on a terminal, unless `-q`.
    pub(crate) fn bar(self) -> bool {
        self.at(0) && io::stderr().is_terminal()
    }
}

/// Why stdout takes no more.
#[derive(Debug)]
pub(crate) enum OutputEnd {
    /// The reader has what it wanted, as in `receive | head -1`: no fault.
    ReaderGone,
    /// The data cannot be written.
    Failed(Failure),
}

impl From<io::Error> for OutputEnd {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Failed(Failure::new(Exit::Output, "cannot write to stdout", error)),
        }
    }
}

/// Writes all data to stdout, and past its buffer.
pub(crate) fn write_stdout(data: &[u8]) -> Result<(), OutputEnd> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(data)?;
    stdout.flush()?;
    Ok(())
}
