//! The arguments of queues, as the C++ broker names them.

use std::time::Duration;

use postroad_codec::v1_0::Value;

use super::{LimitPolicy, QueueSettings, SettingsError};
use crate::selector::Selector;

const MAX_COUNT: &str = "qpid.max_count";
const MAX_SIZE: &str = "qpid.max_size";
const POLICY_TYPE: &str = "qpid.policy_type";
const FLOW_STOP_COUNT: &str = "qpid.flow_stop_count";
const FLOW_RESUME_COUNT: &str = "qpid.flow_resume_count";
const FLOW_STOP_SIZE: &str = "qpid.flow_stop_size";
const FLOW_RESUME_SIZE: &str = "qpid.flow_resume_size";
const PRIORITIES: &str = "qpid.priorities";
const LAST_VALUE_KEY: &str = "qpid.last_value_queue_key";
const SEQUENCE: &str = "qpid.queue_msg_sequence";
const TTL: &str = "qpid.ttl";
const BROWSE_ONLY: &str = "qpid.browse-only";
const NO_LOCAL: &str = "no-local";
const FILTER: &str = "qpid.filter";
const AUTO_DELETE_TIMEOUT: &str = "qpid.auto_delete_timeout";

/// Queues that replace messages were once asked for by these, and the property had this name.
const LEGACY_LAST_VALUE: [&str; 2] = ["qpid.last_value_queue", "qpid.last_value_queue_no_browse"];
const LEGACY_LAST_VALUE_KEY: &str = "qpid.LVQ_key";

/// Other names of the same.
const ALIASES: [(&str, &str); 6] = [
    ("x-qpid-priorities", PRIORITIES),
    ("x-qpid-minimum-alert-repeat-gap", "qpid.alert_repeat_gap"),
    ("x-qpid-maximum-message-count", "qpid.alert_count"),
    ("x-qpid-maximum-message-size", "qpid.alert_size"),
    ("qpid.alert_count", "qpid.alert_count_up"),
    ("qpid.alert_size", "qpid.alert_size_up"),
];

/// Thresholds of alerts, which nobody raises.
const ALERTS: [&str; 5] = [
    "qpid.alert_repeat_gap",
    "qpid.alert_count_up",
    "qpid.alert_size_up",
    "qpid.alert_count_down",
    "qpid.alert_size_down",
];

/// What the C++ broker knows and this one has not. They are refused unless they are off: false, 0 or empty.
const MISSING: [&str; 8] = [
    "qpid.fairshare",
    "x-qpid-fairshare",
    "qpid.group_header_key",
    "qpid.shared_msg_group",
    "qpid.group_timestamp",
    "qpid.paging",
    "qpid.trace.id",
    "qpid.trace.exclude",
];

/// The arguments that mean something here.
const NAMES: [&str; 15] = [
    MAX_COUNT,
    MAX_SIZE,
    POLICY_TYPE,
    FLOW_STOP_COUNT,
    FLOW_RESUME_COUNT,
    FLOW_STOP_SIZE,
    FLOW_RESUME_SIZE,
    PRIORITIES,
    LAST_VALUE_KEY,
    SEQUENCE,
    TTL,
    BROWSE_ONLY,
    NO_LOCAL,
    FILTER,
    AUTO_DELETE_TIMEOUT,
];

/// A name of a property or an annotation may have this many bytes.
const MAX_NAME: usize = 255;

pub(super) fn set(settings: &mut QueueSettings, key: &str, value: &Value) -> Result<bool, SettingsError> {
    let key = canonical(key);
    // A count or a size of 0 is no limit.
    let limit = || number(key, value).map(|limit| Some(limit).filter(|limit| *limit > 0));
    match key {
        MAX_COUNT => settings.max_messages = limit()?,
        MAX_SIZE => settings.max_bytes = limit()?,
        POLICY_TYPE => settings.limit_policy = policy(value)?,
        FLOW_STOP_COUNT => settings.flow_stop_messages = limit()?,
        FLOW_RESUME_COUNT => settings.flow_resume_messages = limit()?,
        FLOW_STOP_SIZE => settings.flow_stop_bytes = limit()?,
        FLOW_RESUME_SIZE => settings.flow_resume_bytes = limit()?,
        PRIORITIES => settings.priorities = number(key, value)?,
        LAST_VALUE_KEY => settings.last_value_key = name(key, value)?,
        SEQUENCE => settings.sequence_key = name(key, value)?,
        TTL => settings.ttl = limit()?.map(Duration::from_millis),
        BROWSE_ONLY => settings.browse_only = boolean(key, value)?,
        NO_LOCAL => settings.no_local = boolean(key, value)?,
        AUTO_DELETE_TIMEOUT => settings.auto_delete_timeout = limit()?.map(Duration::from_secs),
        FILTER => {
            let text = value.as_str().ok_or_else(|| wrong(key, "a string"))?;
            Selector::new(text).map_err(|error| wrong(key, &error.to_string()))?;
            settings.filter = Some(text.to_owned()).filter(|text| !text.is_empty());
        }
        _ if LEGACY_LAST_VALUE.contains(&key) => {
            settings.last_value_key.get_or_insert_with(|| LEGACY_LAST_VALUE_KEY.to_owned());
        }
        _ => {
            if let Some(alert) = ALERTS.into_iter().find(|alert| *alert == key) {
                let threshold = number(key, value)?;
                settings.alerts.retain(|(known, _)| *known != alert);
                settings.alerts.push((alert, threshold));
            } else if MISSING.contains(&key) || key.starts_with("qpid.fairshare-") {
                if !is_off(value) {
                    return Err(missing(key, "leave it out"));
                }
            } else {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

pub(super) fn get(settings: &QueueSettings, key: &str) -> Option<Value> {
    let text = |text: &Option<String>| text.as_deref().map(Value::from);
    match canonical(key) {
        MAX_COUNT => settings.max_messages.map(Value::Ulong),
        MAX_SIZE => settings.max_bytes.map(Value::Ulong),
        POLICY_TYPE => match settings.limit_policy {
            LimitPolicy::HoldBack => None,
            LimitPolicy::Reject => Some("reject".into()),
            LimitPolicy::Ring => Some("ring".into()),
        },
        FLOW_STOP_COUNT => settings.flow_stop_messages.map(Value::Ulong),
        FLOW_RESUME_COUNT => settings.flow_resume_messages.map(Value::Ulong),
        FLOW_STOP_SIZE => settings.flow_stop_bytes.map(Value::Ulong),
        FLOW_RESUME_SIZE => settings.flow_resume_bytes.map(Value::Ulong),
        PRIORITIES => Some(Value::Ulong(settings.priorities)).filter(|_| settings.priorities > 0),
        LAST_VALUE_KEY => text(&settings.last_value_key),
        SEQUENCE => text(&settings.sequence_key),
        TTL => settings.ttl.map(|ttl| Value::Ulong(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))),
        BROWSE_ONLY => settings.browse_only.then_some(Value::Boolean(true)),
        NO_LOCAL => settings.no_local.then_some(Value::Boolean(true)),
        AUTO_DELETE_TIMEOUT => settings.auto_delete_timeout.map(|timeout| Value::Ulong(timeout.as_secs())),
        FILTER => text(&settings.filter),
        key if LEGACY_LAST_VALUE.contains(&key) => {
            (settings.last_value_key.as_deref() == Some(LEGACY_LAST_VALUE_KEY)).then_some(Value::Boolean(true))
        }
        key => settings.alerts.iter().find(|(alert, _)| *alert == key).map(|(_, threshold)| Value::Ulong(*threshold)),
    }
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().chain(ALERTS)
}

pub(super) fn validate(settings: &QueueSettings) -> Result<(), SettingsError> {
    if settings.last_value_key.is_some() && settings.priorities > 1 {
        return Err(apart(LAST_VALUE_KEY, format!("it does not go together with {PRIORITIES}")));
    }
    let flows = [
        (settings.max_messages, settings.flow_stop_messages, settings.flow_resume_messages, FLOW_STOP_COUNT),
        (settings.max_bytes, settings.flow_stop_bytes, settings.flow_resume_bytes, FLOW_STOP_SIZE),
    ];
    for (max, stop, resume, key) in flows {
        if let (Some(max), Some(stop)) = (max, stop)
            && stop > max
        {
            return Err(apart(key, format!("{stop} is never reached by a queue that holds {max}")));
        }
        match (stop, resume) {
            (None, Some(_)) => return Err(apart(key, "it is missing beside where to resume".into())),
            (Some(stop), Some(resume)) if resume > stop => {
                return Err(apart(key, format!("{stop} is less than {resume}, where to resume")));
            }
            _ => {}
        }
    }
    Ok(())
}

fn canonical(key: &str) -> &str {
    let once = |key| ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, meant)| *meant);
    once(once(key))
}

/// An integer of any width, or one that is written as text.
fn number(key: &str, value: &Value) -> Result<u64, SettingsError> {
    let number = match value {
        Value::Ulong(number) => Some(*number),
        Value::String(_) | Value::Symbol(_) => value.as_str().and_then(|text| text.trim().parse().ok()),
        other => other.as_i64().and_then(|number| u64::try_from(number).ok()),
    };
    number.ok_or_else(|| wrong(key, "a number that is not negative"))
}

fn boolean(key: &str, value: &Value) -> Result<bool, SettingsError> {
    let found = match value {
        Value::Boolean(value) => Some(*value),
        other if other.as_str().is_some() => match other.as_str().map(str::to_ascii_lowercase).as_deref() {
            Some("true" | "1") => Some(true),
            Some("false" | "0") => Some(false),
            _ => None,
        },
        other => other.as_i64().and_then(|number| match number {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }),
    };
    found.ok_or_else(|| wrong(key, "true or false"))
}

/// A name; an empty one is none.
fn name(key: &str, value: &Value) -> Result<Option<String>, SettingsError> {
    let text = value.as_str().filter(|text| text.len() <= MAX_NAME).filter(|text| text.is_ascii() || key != SEQUENCE);
    let text = text.ok_or_else(|| wrong(key, "a name of 255 bytes at most"))?;
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

fn policy(value: &Value) -> Result<LimitPolicy, SettingsError> {
    match value.as_str() {
        Some("reject") => Ok(LimitPolicy::Reject),
        Some("ring") => Ok(LimitPolicy::Ring),
        Some(other @ ("self-destruct" | "flow_to_disk" | "ring_strict")) => {
            Err(missing(&format!("{POLICY_TYPE}: {other}"), "there are reject and ring"))
        }
        _ => Err(wrong(POLICY_TYPE, "reject or ring")),
    }
}

fn is_off(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Boolean(false)) || value.as_i64() == Some(0) || value.as_str() == Some("")
}

fn wrong(key: &str, wanted: &str) -> SettingsError {
    SettingsError::Value { key: key.to_owned(), wanted: wanted.to_owned() }
}

fn missing(key: &str, hint: &str) -> SettingsError {
    SettingsError::Missing { key: key.to_owned(), hint: hint.to_owned() }
}

fn apart(key: &str, reason: String) -> SettingsError {
    SettingsError::Apart { key: key.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node_error::{Fault, NodeError};

    #[test]
    fn arguments_are_told_as_they_are_in_force() {
        let mut settings = QueueSettings::default();
        let told = |key: &str, value: Value, told: Option<Value>| (key.to_owned(), value, told);
        for (key, value, told) in [
            told("qpid.max_count", Value::Int(10), Some(Value::Ulong(10))),
            told("qpid.max_count", Value::from("12"), Some(Value::Ulong(12))),
            told("qpid.max_count", Value::Int(0), None),
            told("qpid.max_size", Value::Ulong(u64::MAX), Some(Value::Ulong(u64::MAX))),
            told("qpid.policy_type", Value::from("ring"), Some("ring".into())),
            told("qpid.flow_stop_count", Value::Uint(5), Some(Value::Ulong(5))),
            told("qpid.flow_resume_count", Value::Uint(3), Some(Value::Ulong(3))),
            told("qpid.flow_stop_size", Value::Uint(50), Some(Value::Ulong(50))),
            told("qpid.flow_resume_size", Value::Uint(30), Some(Value::Ulong(30))),
            told("x-qpid-priorities", Value::Ubyte(5), Some(Value::Ulong(5))),
            told("qpid.last_value_queue_key", Value::from("stock"), Some("stock".into())),
            told("qpid.queue_msg_sequence", Value::Symbol("n".into()), Some("n".into())),
            told("qpid.ttl", Value::Int(1500), Some(Value::Ulong(1500))),
            told("qpid.browse-only", Value::from("True"), Some(Value::Boolean(true))),
            told("qpid.browse-only", Value::Int(0), None),
            told("qpid.filter", Value::from("a = 1"), Some("a = 1".into())),
            told("qpid.auto_delete_timeout", Value::Int(7), Some(Value::Ulong(7))),
            told("qpid.alert_count", Value::Int(100), Some(Value::Ulong(100))),
            told("x-qpid-maximum-message-count", Value::Int(90), Some(Value::Ulong(90))),
            told("qpid.alert_size_down", Value::Int(1), Some(Value::Ulong(1))),
        ] {
            assert_eq!(settings.set(&key, &value), Ok(true), "{key}");
            assert_eq!(settings.get(&key), told, "{key}");
        }
        assert_eq!(settings.get("qpid.priorities"), Some(Value::Ulong(5)));
        assert_eq!(settings.get("qpid.alert_count_up"), Some(Value::Ulong(90)));
        assert_eq!(settings.get("qpid.alert_repeat_gap"), None);
        assert_eq!(settings.ttl, Some(Duration::from_millis(1500)));
        assert_eq!(settings.set("durable", &Value::Boolean(true)), Ok(false));
        assert_eq!(settings.get("durable"), None);
        let all: Vec<_> = settings.all().map(|(key, _)| key).collect();
        assert_eq!((all.len(), all[0], all[13]), (14, "qpid.max_size", "qpid.alert_size_down"));
        let mut legacy = QueueSettings::default();
        assert_eq!(legacy.set("qpid.last_value_queue", &Value::Int(1)), Ok(true));
        assert_eq!(legacy.get("qpid.last_value_queue_key"), Some("qpid.LVQ_key".into()));
        assert_eq!(legacy.get("qpid.last_value_queue"), Some(Value::Boolean(true)));
    }

    #[test]
    fn what_is_wrong_or_missing_is_named() {
        let mut settings = QueueSettings::default();
        let mut refuse = |key: &str, value: Value| {
            let error = settings.set(key, &value).unwrap_err();
            assert!(error.to_string().starts_with(key), "{error}");
            NodeError::from(error).fault
        };
        for (key, value) in [
            ("qpid.max_count", Value::Int(-1)),
            ("qpid.max_size", Value::from("much")),
            ("qpid.priorities", Value::Double(1.5)),
            ("qpid.policy_type", Value::from("whatever")),
            ("qpid.policy_type", Value::Int(1)),
            ("qpid.browse-only", Value::Int(2)),
            ("qpid.last_value_queue_key", Value::Int(1)),
            ("qpid.queue_msg_sequence", Value::from("größe")),
            ("qpid.filter", Value::from("a =")),
            ("qpid.alert_count_up", Value::Boolean(true)),
        ] {
            assert_eq!(refuse(key, value), Fault::Invalid, "{key}");
        }
        for (key, value) in [
            ("qpid.policy_type", Value::from("flow_to_disk")),
            ("qpid.policy_type", Value::from("self-destruct")),
            ("qpid.fairshare", Value::Int(3)),
            ("qpid.fairshare-4", Value::Int(3)),
            ("qpid.shared_msg_group", Value::Int(1)),
            ("qpid.paging", Value::Boolean(true)),
        ] {
            assert_eq!(refuse(key, value), Fault::NotImplemented, "{key}");
        }
        assert_eq!(settings.set("qpid.paging", &Value::Boolean(false)), Ok(true));
        assert_eq!(settings, QueueSettings::default());
    }

    #[test]
    fn settings_go_together_or_are_refused() {
        let fine = |settings: QueueSettings| settings.validate().is_ok();
        let base = QueueSettings::default;
        assert!(fine(base()) && fine(base().priorities(5)) && fine(base().last_value_key("k")));
        assert!(fine(base().last_value_key("k").priorities(1)));
        assert!(!fine(base().last_value_key("k").priorities(2)));
        assert!(fine(base().flow_messages(5, 5).max_messages(5)));
        assert!(!fine(base().flow_messages(6, 5).max_messages(5)));
        assert!(!fine(base().flow_bytes(5, 6)));
        assert!(!fine(QueueSettings { flow_resume_bytes: Some(1), ..base() }));
    }
}
