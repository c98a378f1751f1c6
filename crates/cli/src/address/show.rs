//! What an address says, as text and as JSON.

use std::fmt::Write as _;

use postroad::address::{Dialect, OptionKey, OptionMap, OptionValue, Role};
use postroad::client::types::{Symbol, Value};
use postroad::client::{Expiry, Guarantee, LinkOptions, Node};
use serde_json::{Map as Object, Value as Json, json};

use super::report::name_of;
use super::{End, Explained};
use crate::args::Grammar;
use crate::json;

impl Explained {
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(out, "{name:10}{value}");
        };
        if let Some(url) = &self.url {
            row("broker", &url.clone().with_path("").redacted().to_string());
        }
        row("address", &self.normal());
        row("name", &json!(self.address.name).to_string());
        if let Some(subject) = &self.address.subject {
            row("subject", &json!(subject).to_string());
        }
        for (role, end) in &self.ends {
            let _ = match end {
                Ok(end) => write!(out, "\na {} asks on AMQP 1.0\n{}", name_of(*role), end.text(*role)),
                Err(report) => writeln!(out, "\na {} is not possible\n  {report}", name_of(*role)),
            };
        }
        out
    }

    /// The address as its dialect has it, where that can say it, and otherwise as the other one does.
    fn normal(&self) -> String {
        let in_cpp = || self.address.text_in(Dialect::Cpp);
        let cpp = (self.dialect == Grammar::Cpp).then(in_cpp).flatten();
        cpp.unwrap_or_else(|| self.address.to_string())
    }

    pub(super) fn json(&self) -> Json {
        let mut object = Object::new();
        if let Some(url) = &self.url {
            object.insert("broker".to_owned(), json!(url.clone().with_path("").redacted().to_string()));
        }
        let dialect = match self.dialect {
            Grammar::Python => "python",
            Grammar::Cpp => "cpp",
        };
        object.insert("dialect".to_owned(), json!(dialect));
        object.insert("address".to_owned(), json!(self.normal()));
        object.insert("name".to_owned(), json!(self.address.name));
        object.insert("subject".to_owned(), json!(self.address.subject));
        object.insert("options".to_owned(), self.address.options.as_ref().map_or(Json::Null, of_map));
        for (role, end) in &self.ends {
            let end = match end {
                Ok(end) => json!({
                    "options": of_map(&end.options.to_map()),
                    "attach": Json::Object(end.fields(*role)),
                    "also": end.also(*role),
                }),
                Err(report) => json!({ "error": report.json() }),
            };
            object.insert(name_of(*role).to_owned(), end);
        }
        Json::Object(object)
    }
}

impl End {
    fn text(&self, role: Role) -> String {
        let mut out = String::new();
        let mut row = |name: &str, value: &Json| {
            let _ = writeln!(out, "  {name:48} {value}");
        };
        for (name, value) in self.fields(role) {
            let Json::Object(fields) = &value else {
                row(&name, &value);
                continue;
            };
            for (field, value) in fields {
                match value {
                    Json::Object(inner) if ["filter", "dynamic-node-properties"].contains(&field.as_str()) => {
                        for (key, value) in inner {
                            row(&format!("{name}.{field}.{key}"), value);
                        }
                    }
                    value => row(&format!("{name}.{field}"), value),
                }
            }
        }
        for what in self.also(role) {
            let _ = writeln!(out, "  and {what}");
        }
        out
    }

    /// What is done before and after the attach.
    fn also(&self, role: Role) -> Vec<String> {
        let map = self.options.to_map();
        let of_part = |part: &str, key: &str| map.get(part).and_then(|part| part.as_map()?.get(key)).cloned();
        let mut also = Vec::new();
        if let Some(declared) = of_part("link", "x-declare") {
            also.push(format!("before, a queue of its own for the messages of an exchange is made: {declared}"));
        }
        if self.options.assert.applies_to(role) {
            also.push("what the broker attached is compared with what is asked here".to_owned());
        }
        for part in ["node", "link"] {
            let bindings = of_part(part, "x-bindings");
            for binding in bindings.as_ref().and_then(OptionValue::as_list).unwrap_or_default() {
                also.push(format!("a binding of the {part} is made: {binding}"));
            }
        }
        if self.options.delete.applies_to(role) {
            also.push("the node is deleted when the link closes".to_owned());
        }
        also
    }

    /// What the attach has beside the defaults (AMQP 1.0 part 2, 2.7.3, and part 3, 3.5.3 and 3.5.4).
    fn fields(&self, role: Role) -> Object<String, Json> {
        let (node, link) = (&self.asked.node, &self.asked.link);
        let mut attach = Object::new();
        attach.insert("role".to_owned(), json!(name_of(role)));
        if let Some(name) = &link.name {
            attach.insert("name".to_owned(), json!(name));
        }
        let (sender, receiver) = settle_modes(link);
        attach.insert("snd-settle-mode".to_owned(), json!(sender));
        attach.insert("rcv-settle-mode".to_owned(), json!(receiver));
        let theirs = Json::Object(terminus(node));
        let ours = link.own_address.as_ref().map(|address| json!({ "address": address }));
        let (source, target) = match role {
            Role::Sender => (ours, Some(theirs)),
            Role::Receiver => (Some(theirs), ours),
        };
        for (name, fields) in [("source", source), ("target", target)] {
            if let Some(fields) = fields {
                attach.insert(name.to_owned(), fields);
            }
        }
        attach
    }
}

fn settle_modes(link: &LinkOptions) -> (&'static str, &'static str) {
    match link.guarantee {
        Guarantee::AtMostOnce => ("settled", "first"),
        Guarantee::ExactlyOnce => ("unsettled", "second"),
        _ => ("unsettled", "first"),
    }
}

fn terminus(node: &Node) -> Object<String, Json> {
    let mut fields = Object::new();
    let mut put = |name: &str, value: Json| drop(fields.insert(name.to_owned(), value));
    if let Some(address) = &node.address {
        put("address", json!(address));
    }
    if node.dynamic {
        put("dynamic", json!(true));
    }
    if node.durable {
        put("durable", json!("unsettled-state"));
    }
    let seconds = |timeout: std::time::Duration| json!(timeout.as_secs_f64());
    let expiry = match node.expiry {
        Some(Expiry::Never) => Some(("never", None)),
        Some(Expiry::LinkDetach(timeout)) => Some(("link-detach", Some(timeout))),
        Some(Expiry::SessionEnd(timeout)) => Some(("session-end", Some(timeout))),
        Some(Expiry::ConnectionClose(timeout)) => Some(("connection-close", Some(timeout))),
        _ => None,
    };
    if let Some((policy, timeout)) = expiry {
        put("expiry-policy", json!(policy));
        if let Some(timeout) = timeout {
            put("timeout", seconds(timeout));
        }
    }
    if node.is_browsed() {
        put("distribution-mode", json!("copy"));
    }
    if let Some(properties) = &node.properties {
        put("dynamic-node-properties", json::value(&Value::Map(properties.0.clone())));
    }
    if !node.filters.is_empty() {
        let filter = |(name, value): &(Symbol, Value)| (name.as_str().to_owned(), json::value(value));
        put("filter", Json::Object(node.filters.iter().map(filter).collect()));
    }
    if !node.capabilities.is_empty() {
        put("capabilities", json!(node.capabilities));
    }
    fields
}

/// Options as JSON. Keys that are no texts become them.
fn of_map(map: &OptionMap) -> Json {
    let key = |key: &OptionKey| key.as_str().map_or_else(|| key.to_string(), ToOwned::to_owned);
    Json::Object(map.iter().map(|(name, value)| (key(name), of_value(value))).collect())
}

fn of_value(value: &OptionValue) -> Json {
    match value {
        OptionValue::Bool(value) => json!(value),
        OptionValue::Int(value) => json!(value),
        OptionValue::Float(value) => json!(value.get()),
        OptionValue::String(text) => json!(text),
        OptionValue::List(items) => items.iter().map(of_value).collect(),
        OptionValue::Map(map) => of_map(map),
        _ => Json::Null,
    }
}
