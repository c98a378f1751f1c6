//! The command `postroad`: a demo, a broker, clients that send, receive and measure, connections of transport
//! services, and readers of frames and addresses.
//!
//! It reaches the library only through the crate `postroad`. Data goes to stdout, talk to stderr, and how it ended is in
//! the exit code.

mod address;
mod args;
mod bench;
mod broker;
mod connect;
mod decode;
mod demo;
mod exit;
mod failure;
mod file;
mod format;
mod hex;
mod json;
mod load;
mod numbers;
mod receive;
mod send;
mod signals;
mod taps;
mod term;
mod text;
mod value;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Failure};
use crate::term::Talk;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody may be reading the help; that is no fault.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok,
                _ => Exit::Usage,
            }
            .into();
        }
    };
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print(io::stderr().is_terminal());
            failure.exit.into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let talk = Talk::new(cli.verbose, cli.quiet);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Unavailable, "cannot start", error))?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => demo::run(*args, talk).await,
            Command::Broker(args) => broker::run(*args, talk).await,
            Command::Send(args) => send::run(*args, talk).await,
            Command::Receive(args) => receive::run(*args, talk).await,
            Command::Bench(args) => bench::run(*args, talk).await,
            Command::Taps(args) => taps::run(args, talk).await,
            Command::Decode(args) => decode::run(&args, talk),
            Command::Address(args) => address::run(&args),
        }
    });
    // A thread may still be waiting for a line of input that nobody wants any more.
    runtime.shutdown_background();
    result
}
