//! `postroad address explain`: what an address says, and what is asked of a broker because of it.

mod report;
mod show;

use std::io::{self, IsTerminal as _};

use postroad::address::{Address, BrokerUrl, Dialect, Options, OptionsError, Role, split_address};
use postroad::messaging::{AddressError, Resolution, resolve};
use serde_json::json;

use self::report::Report;
use crate::args::{self, AddressCommand, Grammar};
use crate::exit::{Exit, Failure};
use crate::term::{OutputEnd, write_stdout};
use crate::text;

pub(crate) fn run(args: &args::Address) -> Result<Exit, Failure> {
    let AddressCommand::Explain(args) = &args.command;
    let explained = Explained::new(args);
    let (text, exit) = match (&explained, args.json) {
        (Ok(it), true) => (format!("{}\n", it.json()), it.exit()),
        (Ok(it), false) => (it.text(), it.exit()),
        (Err(report), true) => (format!("{}\n", json!({ "error": report.json() })), Exit::Data),
        (Err(report), false) => {
            report.print();
            return Ok(Exit::Data);
        }
    };
    let mut safe = Vec::with_capacity(text.len());
    text::push_escaped(text.as_bytes(), io::stdout().is_terminal(), &mut safe);
    match write_stdout(&safe) {
        Ok(()) => {}
        Err(OutputEnd::ReaderGone) => return Ok(Exit::Ok),
        Err(OutputEnd::Failed(failure)) => return Err(failure),
    }
    if let (Ok(it), false, Exit::Data) = (&explained, args.json, exit) {
        it.faults().for_each(Report::print);
    }
    Ok(exit)
}

/// An address, and what it means at either end of a link.
struct Explained {
    url: Option<BrokerUrl>,
    address: Address,
    dialect: Grammar,
    ends: Vec<(Role, Result<End, Report>)>,
}

/// What it means at one end.
struct End {
    options: Options,
    asked: Resolution,
}

impl Explained {
    fn new(args: &args::Explain) -> Result<Self, Report> {
        let (url, text) = split_address(&args.address).map_err(|error| Report::of_url(&error))?;
        let dialect = match args.dialect {
            Grammar::Python => Dialect::Python,
            Grammar::Cpp => Dialect::Cpp,
        };
        let read =
            if args.strict { Address::parse_strict(dialect, &text) } else { Address::parse_with(dialect, &text) };
        let address = read.map_err(|error| Report::of_address(&error, &text))?;
        let roles: &[Role] = match (args.sender, args.receiver) {
            (true, _) => &[Role::Sender],
            (_, true) => &[Role::Receiver],
            _ => &[Role::Sender, Role::Receiver],
        };
        let end = |role| End::new(&address, dialect, role).map_err(|error| error.report(role, &text));
        let ends: Vec<_> = roles.iter().map(|role| (*role, end(*role))).collect();
        Ok(Self { url, address, dialect: args.dialect, ends })
    }

    /// An end that is not possible is a fault where it was asked for, or the other one is not possible either.
    fn exit(&self) -> Exit {
        if self.ends.iter().any(|(_, end)| end.is_ok()) { Exit::Ok } else { Exit::Data }
    }

    fn faults(&self) -> impl Iterator<Item = &Report> {
        self.ends.iter().filter_map(|(_, end)| end.as_ref().err())
    }
}

/// Why an address means nothing at an end.
enum Impossible {
    Options(OptionsError),
    Address(AddressError),
}

impl Impossible {
    fn report(&self, role: Role, text: &str) -> Report {
        match self {
            Self::Options(error) => Report::of_options(error, role, text),
            Self::Address(error) => Report::of_resolution(error, role, text),
        }
    }
}

impl End {
    fn new(address: &Address, dialect: Dialect, role: Role) -> Result<Self, Impossible> {
        let options = address.validate_with(dialect, role).map_err(Impossible::Options)?;
        let mut asked = options.clone();
        if role == Role::Sender {
            // Only the C++ client lets a sender have one, and it means nothing there.
            asked.mode = None;
        }
        let asked = resolve(&normal(address, &asked), role).map_err(Impossible::Address)?;
        Ok(Self { options, asked })
    }
}

/// The address with these options, in the form that the library takes.
fn normal(address: &Address, options: &Options) -> String {
    let mut normal = Address::new(address.name.as_str());
    normal.subject.clone_from(&address.subject);
    normal.with_options(options).to_string()
}
