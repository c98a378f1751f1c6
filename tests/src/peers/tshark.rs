//! tshark, the dissector of Wireshark on the command line.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::{Skipped, announce};
use crate::capture::PORT;

/// An installed tshark.
#[derive(Debug, Clone)]
pub struct Tshark {
    version: String,
}

/// Finds tshark.
///
/// # Errors
/// When it is not installed.
pub fn tshark() -> Result<Tshark, Skipped> {
    static FOUND: OnceLock<Result<Tshark, Skipped>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Result<Tshark, Skipped> {
    let skipped =
        |why: String| Skipped { name: "tshark", reason: format!("{why}; install it with: apt-get install tshark") };
    let output =
        Command::new("tshark").arg("--version").output().map_err(|error| skipped(format!("tshark: {error}")))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // "TShark (Wireshark) 4.0.17 (Git ...)."
    let version = said.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let version = version.ok_or_else(|| skipped("tshark tells no version".to_owned()))?.to_owned();
    announce("tshark", &version);
    Ok(Tshark { version })
}

impl Tshark {
    /// Its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The lines that it prints for a capture, with these arguments.
    ///
    /// # Panics
    /// When it does not read the file.
    #[must_use]
    pub fn read(&self, capture: &Path, arguments: &[&str]) -> Vec<String> {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(capture).arg("-d").arg(format!("tcp.port=={PORT},amqp")).args(["-n"]).args(arguments);
        let Output { status, stdout, stderr } = command.output().expect("tshark runs");
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).lines().map(str::to_owned).collect()
    }
}
