//! tshark, the dissector of Wireshark on the command line.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use super::{Skipped, announce};
use crate::capture::PORT;
use crate::process::{Process, ProcessError};

/// How often it is tried whether a capture has begun.
const PROBE: Duration = Duration::from_millis(100);

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

    /// Watches what comes to a port of 127.0.0.1 and prints these fields of each packet, one a line. What comes after this
    /// returns is seen.
    ///
    /// # Errors
    /// Where this user may not capture, as most may not.
    ///
    /// # Panics
    /// When tshark does not start, or sees nothing within 20 s.
    pub fn watch(&self, port: u16, fields: &[&str]) -> Result<Process, Skipped> {
        let mut command = Command::new("tshark");
        command.args(["-i", "lo", "-l", "-n", "-T", "fields", "-f", &format!("dst port {port}")]);
        command.args(fields.iter().flat_map(|field| ["-e", field]));
        let mut process = Process::start("tshark", &mut command, None).expect("tshark starts");
        let probe = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let probes = Duration::from_secs(20).as_millis() / PROBE.as_millis();
        for _ in 0..probes {
            // Refused where nobody listens, and seen all the same.
            let _ = probe.send_to(&[], ("127.0.0.1", port));
            match process.line(PROBE) {
                Ok(_) => return Ok(process),
                Err(ProcessError::Timeout { .. }) => {}
                Err(error) => return Err(Skipped { name: "capture by tshark", reason: error.to_string() }),
            }
        }
        panic!("tshark sees nothing on the loopback");
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
