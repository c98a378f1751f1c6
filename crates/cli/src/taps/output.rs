//! What is printed: messages, lengths, or events.

use std::io::{self, IsTerminal as _};

use postroad::taps::{Connection, Message, Property};
use serde_json::{Value as Json, json};

use crate::args::TapsWish;
use crate::exit::one_line;
use crate::json;
use crate::term::{OutputEnd, Talk, write_stdout};
use crate::text;

/// How messages and events are printed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
    lengths: bool,
    properties: bool,
    /// Whether messages of this output end by themselves, as pieces of a stream do.
    raw: bool,
    terminal: bool,
}

impl Output {
    pub(super) fn new(wish: &TapsWish, talk: Talk) -> Self {
        Self {
            json: wish.json,
            lengths: !talk.at(0),
            properties: wish.properties,
            raw: false,
            terminal: io::stdout().is_terminal(),
        }
    }

    /// Prints what comes on this connection as the pieces of a stream, where it is one.
    pub(super) fn of(mut self, connection: &Connection) -> Self {
        self.raw = !connection.preserves_boundaries();
        self
    }

    /// Prints what is known of a connection that is ready.
    pub(super) fn ready(self, connection: &Connection) -> Result<(), OutputEnd> {
        let text = |endpoint: Option<&postroad::taps::EndpointAddress>| endpoint.map(ToString::to_string);
        let stack = connection.protocol_stack().map(|stack| stack.to_string());
        if self.json {
            self.event(&json!({
                "event": "ready",
                "stack": stack,
                "local": text(connection.local_endpoint()),
                "remote": text(connection.remote_endpoint()),
                "alpn": connection
                    .tls_info()
                    .and_then(|info| info.alpn())
                    .map(|alpn| String::from_utf8_lossy(alpn).into_owned()),
            }))?;
        }
        if !self.properties {
            return Ok(());
        }
        let properties = connection.properties();
        let all = Property::all().map(|property| (property.name(), properties.property(property).to_string()));
        if self.json {
            let all: serde_json::Map<String, Json> = all.map(|(name, value)| (name.to_owned(), value.into())).collect();
            return self.event(&json!({ "event": "properties", "properties": all }));
        }
        let mut lines = String::new();
        for (name, value) in all {
            lines.push_str(&format!("{name}: {}\n", one_line(&value)));
        }
        write_stdout(lines.as_bytes())
    }

    /// Prints a message that has come.
    pub(super) fn received(self, message: &Message) -> Result<(), OutputEnd> {
        if self.json {
            let data = json::bytes(&message.data);
            let end = message.end_of_message;
            return self
                .event(&json!({ "event": "received", "length": message.len(), "endOfMessage": end, "data": data }));
        }
        if self.lengths {
            return write_stdout(format!("{}\n", message.len()).as_bytes());
        }
        if self.raw && !self.terminal {
            return write_stdout(&message.data);
        }
        let mut out = Vec::with_capacity(message.len() + 1);
        text::push_escaped(&message.data, self.terminal, &mut out);
        if !self.raw {
            out.push(b'\n');
        }
        write_stdout(&out)
    }

    /// Prints an event, where events are wanted.
    pub(super) fn tell(self, event: &str, detail: impl FnOnce() -> (&'static str, Json)) -> Result<(), OutputEnd> {
        if !self.json {
            return Ok(());
        }
        let mut object = json!({ "event": event });
        let (name, value) = detail();
        object[name] = value;
        self.event(&object)
    }

    fn event(self, event: &Json) -> Result<(), OutputEnd> {
        let mut out = Vec::new();
        text::push_escaped(event.to_string().as_bytes(), self.terminal, &mut out);
        out.push(b'\n');
        write_stdout(&out)
    }
}
