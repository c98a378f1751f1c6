//! How the command ends: exit codes, and the one line that says what went wrong.

use std::fmt;
use std::process::ExitCode;

/// The exit codes: those of `sysexits.h` where one fits, as other messaging tools have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything was done.
    Ok = 0,
    /// Some messages failed: not accepted, lost or duplicated.
    Partial = 1,
    /// Fewer messages than asked for came in time.
    Empty = 2,
    /// The command line is wrong.
    Usage = 64,
    /// An address or a file that was named is wrong.
    Data = 65,
    /// The host is unknown.
    NoHost = 68,
    /// The peer or the node is not there.
    Unavailable = 69,
    /// The output cannot be written.
    Output = 73,
    /// A connection that worked was lost; trying again may help.
    Temporary = 75,
    /// The peer does not speak the protocol.
    Protocol = 76,
    /// One side does not trust the other: user, password, certificate, permission.
    Denied = 77,
    /// Ended by Ctrl-C or a signal.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What went wrong: what failed, why, and what a person can do.
///
/// Prints as `what: why (hint)` on one line; the program's name comes in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    what: String,
    why: String,
    hint: Option<String>,
    /// Lines that show the place, for a terminal.
    report: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { exit, what: what.into(), why: one_line(&why.to_string()), hint: None, report: None }
    }

    /// Adds what a person can do, unless the reason says it already.
    pub(crate) fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into().map(|hint| one_line(&hint));
        self
    }

    /// Adds lines that show the place. They are printed on a terminal only.
    pub(crate) fn report(mut self, report: impl Into<String>) -> Self {
        self.report = Some(report.into());
        self
    }

    pub(crate) fn usage(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, what, why)
    }

    /// Prints the failure on stderr, with its place when a person reads it.
    pub(crate) fn print(&self, terminal: bool) {
        match &self.report {
            // The report has the hint in it.
            Some(report) if terminal => eprintln!("postroad: {}: {report}", self.what),
            _ => eprintln!("postroad: {self}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// A text from a peer on one line, without control characters that a terminal would act on.
pub(crate) fn one_line(text: &str) -> String {
    text.split(['\r', '\n'])
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line() {
        let failure =
            Failure::new(Exit::Unavailable, "cannot connect", "first\n  second\x1b[2J").hint("do\nthis".to_owned());
        assert_eq!(failure.to_string(), "cannot connect: first; second\u{fffd}[2J (do; this)");
    }
}
