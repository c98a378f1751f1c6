//! What the cross-crate, interop, simulation and chaos suites share: other people's peers as child
//! processes, and AMQP values in a form that both sides can compare.
//!
//! A suite asks for a peer and skips by name what is not there:
//!
//! ```no_run
//! use postroad_tests::peers;
//!
//! let proton = match peers::proton_python() {
//!     Ok(proton) => proton,
//!     Err(skipped) => return skipped.report(),
//! };
//! let listener = proton.listen(&[]).unwrap();
//! assert_ne!(listener.port(), 0);
//! ```
//!
//! The suites run with the feature `interop`, each once: `cargo test -p tests --features interop`.
//! Each writes a line `peer: NAME VERSION` for what it ran against.
//!
//! Everything a test starts is stopped by its id when its guard is dropped, and when the test process
//! ends in any way. Nothing listens on anything but loopback.

use std::process::ExitCode;

pub mod capture;
pub mod certificates;
pub mod chaos;
pub mod corpus;
pub mod fuzz;
pub mod meter;
pub mod ours;
pub mod peers;
pub mod process;
pub mod relay;
pub mod typed;

/// What the command line of this program asks for; otherwise the code to exit with, when it is wrong or asked for help:
/// that has been printed then.
///
/// # Errors
/// 64 for a wrong command line, 0 for help.
pub fn arguments<T: clap::Parser>() -> Result<T, ExitCode> {
    T::try_parse().map_err(|error| {
        // Nobody may be reading.
        let _ = error.print();
        if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS }
    })
}
