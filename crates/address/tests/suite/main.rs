//! The crate as a user sees it, held against the originals.

mod connection_options;
mod limits;
mod options;
mod python_answers;
mod qpid_cases;
mod reports;
mod round_trip;
mod schema;
mod strict;
mod url;

use postroad_address::{Address, OptionKey, OptionMap, OptionValue};

/// What the Python client's parser gives for a text: name, subject, options.
type Parts = (String, Option<String>, Option<OptionMap>);

fn parts(address: Address) -> Parts {
    (address.name, address.subject, address.options)
}

fn expect(name: &str, subject: Option<&str>, options: Option<OptionMap>) -> Parts {
    (name.to_owned(), subject.map(str::to_owned), options)
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
