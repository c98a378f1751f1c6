//! Reading the value of one option of a connection.

use std::time::Duration;

use crate::{
    BrokerUrl, Scheme,
    connection_error::ConnectionOptionsError,
    connection_options::{Protocol, Transport},
    schema::{python_str, seconds},
    value::{OptionMap, OptionValue},
};

/// A value, and the name that it was given for. Each method reads it as the type that its option has.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a OptionValue,
}

impl Given<'_> {
    pub(crate) fn text(self) -> Result<String, ConnectionOptionsError> {
        self.value.as_str().map(str::to_owned).ok_or_else(|| self.not_a("str"))
    }

    /// As the C++ client, which also takes the words in quotes.
    pub(crate) fn boolean(self) -> Result<bool, ConnectionOptionsError> {
        match self.value {
            OptionValue::Bool(value) => Ok(*value),
            OptionValue::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            OptionValue::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(self.not_a("bool")),
        }
    }

    pub(crate) fn duration(self) -> Result<Duration, ConnectionOptionsError> {
        seconds(self.value).ok_or_else(|| self.not_a("number of seconds"))
    }

    pub(crate) fn number(self) -> Result<u32, ConnectionOptionsError> {
        let number = self.value.as_int().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| self.not_a("number from 0 to 4294967295"))
    }

    pub(crate) fn number_16(self) -> Result<u16, ConnectionOptionsError> {
        let number = self.value.as_int().and_then(|number| u16::try_from(number).ok());
        number.ok_or_else(|| self.not_a("number from 0 to 65535"))
    }

    pub(crate) fn limit(self) -> Result<u32, ConnectionOptionsError> {
        if self.value.as_int().is_some_and(i64::is_negative) { Ok(0) } else { self.number() }
    }

    /// Proton's file has the names of services as well.
    pub(crate) fn port(self) -> Result<u16, ConnectionOptionsError> {
        match self.value.as_str().and_then(Scheme::from_name) {
            Some(scheme @ (Scheme::Amqp | Scheme::Amqps)) => Ok(scheme.default_port()),
            _ => self.number_16(),
        }
    }

    pub(crate) fn map(self) -> Result<OptionMap, ConnectionOptionsError> {
        self.value.as_map().cloned().ok_or_else(|| self.not_a("map"))
    }

    pub(crate) fn mechanisms(self) -> Result<Vec<String>, ConnectionOptionsError> {
        let names = self.texts("str or list of str")?;
        Ok(names.iter().flat_map(|names| names.split_ascii_whitespace()).map(str::to_owned).collect())
    }

    pub(crate) fn urls(self) -> Result<Vec<BrokerUrl>, ConnectionOptionsError> {
        let mut urls = Vec::new();
        for text in self.texts("str or list of str")? {
            let more = BrokerUrl::parse_list(text);
            urls.extend(more.map_err(|error| ConnectionOptionsError::Url { name: self.name.to_owned(), error })?);
        }
        Ok(urls)
    }

    pub(crate) fn transport(self) -> Result<Transport, ConnectionOptionsError> {
        match self.value.as_str() {
            Some("ssl" | "amqps") => Ok(Transport::Tls),
            Some("amqp") => Ok(Transport::Tcp),
            _ => self.word(Transport::from_word, Transport::WORDS),
        }
    }

    pub(crate) fn protocol(self) -> Result<Protocol, ConnectionOptionsError> {
        self.word(Protocol::from_word, Protocol::WORDS)
    }

    fn word<T>(
        self,
        read: fn(&str) -> Option<T>,
        allowed: &'static [&'static str],
    ) -> Result<T, ConnectionOptionsError> {
        self.value.as_str().and_then(read).ok_or_else(|| ConnectionOptionsError::NotIn {
            name: self.name.to_owned(),
            value: python_str(self.value),
            allowed,
        })
    }

    /// One text, or a list of them.
    fn texts(&self, wanted: &'static str) -> Result<Vec<&str>, ConnectionOptionsError> {
        let items = match self.value {
            OptionValue::List(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        items.iter().map(OptionValue::as_str).collect::<Option<_>>().ok_or_else(|| self.not_a(wanted))
    }

    fn not_a(&self, wanted: &'static str) -> ConnectionOptionsError {
        let secret = ["password", "urls"].iter().any(|word| self.name.contains(word));
        let value = if secret { "***".to_owned() } else { python_str(self.value) };
        ConnectionOptionsError::NotA { name: self.name.to_owned(), value, wanted }
    }
}
