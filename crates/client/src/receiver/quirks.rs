//! What senders do against the standard, and are known for.

use crate::link::Link;
use crate::types::Value;

/// What senders that are known by name and version do against the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Quirks {
    /// Answers a drain of a classic queue by ending the session with an internal error (RabbitMQ before 3.10.18 and
    /// 3.11.9).
    pub(super) breaks_on_drain: bool,
    /// Counts messages late when credit is renewed: those that were on their way inside the broker come on top (RabbitMQ
    /// before 4).
    pub(super) overdraws: bool,
}

impl Quirks {
    pub(super) fn of_peer(link: &Link) -> Self {
        let connection = link.session.connection();
        let [product, version] = ["product", "version"].map(|name| match connection.remote_property(name) {
            Some(Value::String(text)) => text,
            _ => Default::default(),
        });
        Self::of(&product, &version)
    }

    fn of(product: &str, version: &str) -> Self {
        let version: Vec<u32> = version.split('.').map_while(|number| number.parse().ok()).collect();
        let breaks_on_drain = match version[..] {
            // A version that is not known is a new one.
            _ if product != "RabbitMQ" || version.first() != Some(&3) => return Self::default(),
            [_, 10, patch, ..] => patch < 18,
            [_, 11, patch, ..] => patch < 9,
            [_, minor, ..] => minor < 11,
            _ => true,
        };
        Self { breaks_on_drain, overdraws: true }
    }
}

#[cfg(test)]
mod tests {
    use super::Quirks;

    #[test]
    fn old_versions_of_rabbitmq_are_known() {
        for version in ["3.8.2", "3.10.8", "3.10.17", "3.11.0", "3"] {
            assert_eq!(Quirks::of("RabbitMQ", version), Quirks { breaks_on_drain: true, overdraws: true }, "{version}");
        }
        for version in ["3.10.18", "3.11.9", "3.13.7"] {
            assert_eq!(
                Quirks::of("RabbitMQ", version),
                Quirks { breaks_on_drain: false, overdraws: true },
                "{version}"
            );
        }
        for (product, version) in [("RabbitMQ", "4.0.1"), ("RabbitMQ", ""), ("qpid-cpp", "3.10.8"), ("", "")] {
            assert_eq!(Quirks::of(product, version), Quirks::default(), "{product} {version}");
        }
    }
}
