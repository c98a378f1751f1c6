//! Reads address strings and broker URLs into types, and writes them back. This crate never opens a connection, looks
//! up a name, asks a clock or a random generator, or knows a protocol: text in, values out, the same every time.
//!
//! An address string names a node, perhaps a subject on it, and what to do about it, in the notation that Qpid's
//! messaging clients made known:
//!
//! ```
//! use postroad_address::{Address, NodeType, Policy, Role};
//!
//! let address = Address::parse("prices/eu.#; {create: always, node: {type: topic}}")?;
//! assert_eq!(address.name, "prices");
//! assert_eq!(address.subject.as_deref(), Some("eu.#"));
//!
//! let options = address.validate_for(Role::Receiver)?;
//! assert!(options.create.applies_to(Role::Receiver));
//! assert_eq!(options.create, Policy::Always);
//! assert_eq!(options.node.node_type, Some(NodeType::Topic));
//!
//! assert_eq!(address.to_string(), "prices/eu.#; {create: always, node: {type: topic}}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Address`] is read in the [`Dialect`] of the Python client (the default) or of the C++ client. Whatever either of
//!   them reads is read the same way here; where they crash there is a [`ParseError`].
//!   [`Address::parse_strict`] refuses what they take only by accident, such as a blank that vanishes; [`Laxity`] lists it.
//! - [`Options`] are the options that the schema knows, checked for one end of a link by [`Address::validate_for`]; an
//!   [`OptionsError`] lists all that do not fit. The tree as written stays in [`Address::options`].
//! - [`ConnectionOptions`] are the options of a connection, read from a text such as `{reconnect: true}`.
//! - [`BrokerUrl`] says where a broker is; [`split_address`] takes an argument that may be an address or a full URL.
//! - Every error prints what the original prints, and has a hint. `{:#}` of a [`ParseError`] shows the place:
//!
//! ```text
//! expecting (COMMA, RBRACE), got SYM(.) line:1,16
//!   foo; {exchange:amq.topic}
//!                     ^
//! hint: put a comma between values, and quote a value of more than one word, as in 'amq.topic'
//! ```
//!
//! Texts may come from a peer: length ([`MAX_ADDRESS_LEN`], [`MAX_URL_LEN`]) and nesting ([`MAX_DEPTH`]) are limited
//! before they cost memory or stack, and no text makes this crate panic.
//!
//! # Departures from the originals
//! Columns of an error are right on every line; the Python client's are one too high past the first, and it shows no
//! text there. Whole numbers have 64 bits and floating-point ones are finite; a surrogate (`\ud800`) and `\N{..}` are
//! [`ParseErrorKind::BadEscape`]. In the C++ dialect an empty text is an error at once, an empty subject behind the slash is
//! none, and whole numbers past 63 bits stay text.
//!
//! The schema of options is that of both clients together, so that an address for the one is validated for the other too;
//! errors are those of the Python client. The C++ client drops values that do not fit, here they are errors.
//!
//! # Features
//! `fuzzing` shows the bodies of the fuzz targets, for `fuzz/` only.

mod address;
mod connection_error;
mod connection_options;
mod connection_value;
mod cpp;
mod declaration;
mod display;
mod error;
mod filter;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
mod grammar;
mod literal;
mod options;
mod options_error;
mod percent;
mod schema;
mod scheme;
mod strict;
mod suggest;
mod token;
mod url;
mod url_error;
mod value;

pub use address::{Address, Dialect, MAX_ADDRESS_LEN, MAX_DEPTH};
pub use connection_error::ConnectionOptionsError;
pub use connection_options::{ConnectionOptions, Protocol, Transport};
pub use declaration::Declaration;
pub use error::{CppFault, FoundToken, ParseError, ParseErrorKind, Phase};
pub use filter::{Filter, FilterDescriptor};
pub use options::{Binding, LinkOptions, Mode, NodeOptions, NodeType, Options, Policy, Reliability, Role};
pub use options_error::{OptionFault, OptionProblem, OptionsError};
pub use scheme::Scheme;
pub use strict::Laxity;
pub use token::{Token, TokenKind, lex};
pub use url::{BrokerUrl, MAX_URL_LEN, WEBSOCKET_RESOURCE, split_address};
pub use url_error::{UrlError, UrlPart};
pub use value::{Float, NotAKey, OptionKey, OptionMap, OptionValue};
