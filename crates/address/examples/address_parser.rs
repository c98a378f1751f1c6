//! A parser of addresses in a program of its own, so that other people's tests can ask it.
//!
//! ```text
//! address_parser lex|parse [--dialect python|cpp] [--strict] [ADDRESS]
//! ```
//! Without any argument it shows an example. Without ADDRESS the address is what comes on the standard input. `lex` prints a line for each token of the Python dialect,
//! blanks among them: `NAME:line,column:text`, with backslashes and line ends escaped. `parse` prints name, subject and
//! options, or `ERROR: ` and why there are none, as the Python client's tests expect it of a program. The exit code is 0 in
//! both cases, and 2 when the arguments are none of these.

use std::{
    env,
    fmt::Write as _,
    io::{self, Read as _, Write as _},
    process::ExitCode,
};

use postroad_address::{Address, Dialect, OptionKey, OptionMap, OptionValue, ParseError, TokenKind, lex};

fn main() -> ExitCode {
    let mut args: Vec<String> = env::args().skip(1).collect();
    if args.is_empty() {
        args = ["parse", "prices/eu.#; {create: always, node: {type: topic}}"].map(Into::into).into();
        println!("{USAGE}\nfor instance address_parser {} '{}'", args[0], args[1]);
    }
    let Some(call) = Call::read(args) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut address = call.address.clone().unwrap_or_default();
    if call.address.is_none() {
        let mut bytes = Vec::new();
        if let Err(error) = io::stdin().read_to_end(&mut bytes) {
            eprintln!("standard input: {error}");
            return ExitCode::FAILURE;
        }
        address = String::from_utf8_lossy(&bytes).into_owned();
    }
    // Whoever asked may have gone.
    match io::stdout().write_all(call.answer(&address).as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

const USAGE: &str = "usage: address_parser lex|parse [--dialect python|cpp] [--strict] [ADDRESS]";

enum Verb {
    Lex,
    Parse,
}

pub(crate) struct Call {
    verb: Verb,
    dialect: Dialect,
    strict: bool,
    address: Option<String>,
}

impl Call {
    pub(crate) fn read(args: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut args = args.into_iter();
        let verb = match args.next()?.as_str() {
            "lex" => Verb::Lex,
            "parse" => Verb::Parse,
            _ => return None,
        };
        let mut call = Self { verb, dialect: Dialect::Python, strict: false, address: None };
        let mut options = true;
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--" if options => options = false,
                "--strict" if options => call.strict = true,
                "--dialect" if options => {
                    call.dialect = match args.next()?.as_str() {
                        "python" => Dialect::Python,
                        "cpp" => Dialect::Cpp,
                        _ => return None,
                    };
                }
                _ if call.address.is_none() => call.address = Some(arg),
                _ => return None,
            }
        }
        Some(call)
    }

    pub(crate) fn answer(&self, address: &str) -> String {
        let answer = match self.verb {
            Verb::Lex => tokens(address),
            Verb::Parse if self.strict => Address::parse_strict(self.dialect, address).map(|address| parts(&address)),
            Verb::Parse => Address::parse_with(self.dialect, address).map(|address| parts(&address)),
        };
        answer.unwrap_or_else(|error| format!("ERROR: {error}\n"))
    }
}

fn tokens(address: &str) -> Result<String, ParseError> {
    let mut out = String::new();
    for token in lex(address)? {
        let before = &address[..token.offset];
        let line = 1 + before.matches('\n').count();
        let column = before[before.rfind('\n').map_or(0, |at| at + 1)..].chars().count();
        let text = token.text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        let colon = if token.kind == TokenKind::Eof { "" } else { ":" };
        writeln!(out, "{}:{line},{column}{colon}{text}", token.kind).expect("a String takes any text");
    }
    Ok(out)
}

fn parts(address: &Address) -> String {
    let subject = address.subject.as_deref().map_or_else(|| "None".to_owned(), quoted);
    let options = address.options.as_ref().map_or_else(|| "None".to_owned(), map);
    format!("NAME: {}\nSUBJECT: {subject}\nOPTIONS: {options}\n", quoted(&address.name))
}

fn value(value: &OptionValue) -> String {
    match value {
        OptionValue::String(text) => quoted(text),
        OptionValue::List(items) => block('[', &items.iter().map(self::value).collect::<Vec<_>>(), ']'),
        OptionValue::Map(inner) => map(inner),
        other => other.to_string(),
    }
}

/// The order of the entries is that of their text, so that it does not depend on who made the map.
fn map(map: &OptionMap) -> String {
    let entry = |(key, value): &(OptionKey, OptionValue)| {
        let key = key.as_str().map_or_else(|| key.to_string(), quoted);
        format!("{key}: {}", self::value(value))
    };
    let mut entries: Vec<_> = map.iter().map(entry).collect();
    entries.sort();
    block('{', &entries, '}')
}

fn block(open: char, items: &[String], close: char) -> String {
    if items.is_empty() {
        return format!("{open}{close}");
    }
    let lines: Vec<_> = items.iter().map(|item| format!("  {}", item.replace('\n', "\n  "))).collect();
    format!("{open}\n{}\n{close}", lines.join(",\n"))
}

/// In single quotes, with escapes for these, line ends, and whatever is not ASCII.
fn quoted(text: &str) -> String {
    let mut out = String::from("'");
    for character in text.chars() {
        match character {
            '\'' => out.push_str("\\'"),
            '\n' => out.push_str("\\n"),
            c if c.is_ascii() => out.push(c),
            c => write!(out, "\\u{:04x}", u32::from(c)).expect("a String takes any text"),
        }
    }
    out.push('\'');
    out
}
