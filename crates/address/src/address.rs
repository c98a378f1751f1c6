//! An address: name, subject and options, and the text it came from.

use std::str::FromStr;

use crate::{
    cpp,
    error::ParseError,
    grammar,
    options::{Options, Role},
    options_error::OptionsError,
    value::OptionMap,
};

/// The longest text that is read as an address, in bytes.
///
/// Addresses arrive from peers (reply-to) and from the command line. Reading takes memory and time in proportion to the
/// text, so without a limit a peer that may send one large message could make every reader of its reply-to spend a
/// multiple of that. 64 KiB is far above any address in use, x-declare arguments and selectors included.
pub const MAX_ADDRESS_LEN: usize = 65_536;

/// The deepest nesting of lists and maps in options; the options map itself is the first level.
///
/// A value inside a list is read by the call that reads a value, so a text of thousands of `[` would use up the stack,
/// which ends the process. The schema needs five levels and arguments a few more.
pub const MAX_DEPTH: usize = 32;

/// Names a node, perhaps a subject on it, and what to do about it: `orders/eu; {create: always}`.
///
/// The options are kept as written, known or not, because parsing and validation are two steps in the original too, with
/// an error of its own each; [`validate_for`](Self::validate_for) reads them into [`Options`]. `Display` writes the
/// [`Dialect::Python`] form, quoted where it must be, and that parses back to an equal address as long as it stays within
/// [`MAX_ADDRESS_LEN`] and [`MAX_DEPTH`]: escapes and long numbers can make it longer than the text it was read from.
///
/// ```
/// use postroad_address::Address;
///
/// let address: Address = "'my queue'/eu.*; {create: always,}".parse()?;
/// assert_eq!((address.name.as_str(), address.subject.as_deref()), ("my queue", Some("eu.*")));
/// assert_eq!(address.to_string(), "'my queue'/eu.*; {create: always}");
/// # Ok::<(), postroad_address::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Address {
    /// The name of the node; `''` writes an empty one.
    pub name: String,
    /// The text behind the first slash; `None` when there is none, and empty for `name/''`.
    pub subject: Option<String>,
    /// The options as written; `None` without a semicolon, which is not the same text as `{}`.
    pub options: Option<OptionMap>,
}

/// Tells which of the original parsers to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// The documented grammar as the Python client reads it: escapes, one token for an option's value, blanks in
    /// unquoted names dropped.
    #[default]
    Python,
    /// The grammar of the C++ client: no escapes, any run of characters is a word, so `{key: amq.topic}` needs no quotes.
    Cpp,
}

impl Address {
    /// Makes the address of a node, taking the name as it is.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), subject: None, options: None }
    }

    /// Sets the subject.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Sets the options.
    #[must_use]
    pub fn with_options(mut self, options: &Options) -> Self {
        self.options = Some(options.to_map());
        self
    }

    /// Reads an address in the Python dialect.
    ///
    /// # Errors
    /// Whatever makes the text no address, with its place; options that are well written but unknown are no error here.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parse_with(Dialect::Python, text)
    }

    /// Reads an address in a dialect of the caller's choice.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with(dialect: Dialect, text: &str) -> Result<Self, ParseError> {
        Self::read(dialect, text, false)
    }

    /// Reads an address and refuses what the originals take only by accident: what is read is not what seems to be said, or
    /// the two dialects differ in silence. [`Laxity`](crate::Laxity) lists the cases; braces are among them, although the
    /// documented grammar has them in names, because they mostly belong to options whose `;` is missing.
    ///
    /// What `Display` writes is strict in the Python dialect, as long as all keys of its options are text.
    ///
    /// ```
    /// use postroad_address::{Address, Dialect};
    ///
    /// assert_eq!(Address::parse("my queue")?.name, "myqueue");
    /// let error = Address::parse_strict(Dialect::Python, "my queue").unwrap_err();
    /// assert_eq!(error.to_string(), "blank in an unquoted text line:1,2:my queue");
    /// # Ok::<(), postroad_address::ParseError>(())
    /// ```
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and [`ParseErrorKind::NotStrict`](crate::ParseErrorKind::NotStrict).
    pub fn parse_strict(dialect: Dialect, text: &str) -> Result<Self, ParseError> {
        Self::read(dialect, text, true)
    }

    fn read(dialect: Dialect, text: &str, strict: bool) -> Result<Self, ParseError> {
        if text.len() > MAX_ADDRESS_LEN {
            return Err(ParseError::too_long(text.len()));
        }
        match dialect {
            Dialect::Python => grammar::parse(text, strict),
            Dialect::Cpp => cpp::parse(text, strict),
        }
    }

    /// Reads the options for one end of a link; no options give the defaults.
    ///
    /// # Errors
    /// Every option that the schema does not have or whose value does not fit; `mode` at a sender.
    pub fn validate_for(&self, role: Role) -> Result<Options, OptionsError> {
        self.validate_with(Dialect::Python, role)
    }

    /// Reads the options for one end of a link by the rules of a dialect: [`Options::from_map_with`] says what differs.
    ///
    /// # Errors
    /// Every option that the schema does not have or whose value does not fit.
    pub fn validate_with(&self, dialect: Dialect, role: Role) -> Result<Options, OptionsError> {
        match &self.options {
            Some(map) => Options::from_map_with(dialect, map, role),
            None => Ok(Options::default()),
        }
    }

    /// Tells whether the name begins with `#`, which asks for a node of this link's own under a unique name.
    ///
    /// The original puts a fresh UUID in front and forces `create: always`; making one is the caller's part.
    pub fn is_temporary(&self) -> bool {
        self.name.starts_with('#')
    }
}

impl FromStr for Address {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}
