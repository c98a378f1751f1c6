//! The crate as a user sees it, held against the originals.

mod connection_options;
mod cpp_answers;
mod cpp_cases;
mod limits;
mod options;
mod program;
mod python_answers;
mod qpid_cases;
mod reports;
mod round_trip;
mod schema;
mod strict;
mod url;

use postroad_address::{Address, Dialect, Float, OptionKey, OptionMap, OptionValue};

/// What the Python client's parser gives for a text: name, subject, options.
type Parts = (String, Option<String>, Option<OptionMap>);

fn parts(address: Address) -> Parts {
    (address.name, address.subject, address.options)
}

fn expect(name: &str, subject: Option<&str>, options: Option<OptionMap>) -> Parts {
    (name.to_owned(), subject.map(str::to_owned), options)
}

#[track_caller]
fn reads(dialect: Dialect, input: &str, name: &str, subject: Option<&str>, options: Option<OptionMap>) {
    assert_eq!(Address::parse_with(dialect, input).map(parts), Ok(expect(name, subject, options)), "{input}");
}

#[track_caller]
fn refuses(dialect: Dialect, input: &str, message: &str) {
    assert_eq!(Address::parse_with(dialect, input).unwrap_err().to_string(), message);
}

fn float(value: f64) -> Float {
    Float::new(value).unwrap()
}

fn map<const N: usize>(entries: [(OptionKey, OptionValue); N]) -> OptionMap {
    entries.into_iter().collect()
}

fn entry(key: impl Into<OptionKey>, value: impl Into<OptionValue>) -> (OptionKey, OptionValue) {
    (key.into(), value.into())
}

fn list<const N: usize>(items: [OptionValue; N]) -> OptionValue {
    OptionValue::List(items.into())
}
