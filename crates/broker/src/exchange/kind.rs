//! The kinds of exchanges.

use std::fmt;

/// By what an exchange chooses the queues that a message goes to.
#[doc(alias = "exchange-type")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExchangeKind {
    /// The queues that are bound with the message's subject as the key.
    Direct,
    /// The queues that are bound with a pattern which the message's subject matches: words between dots, where `*`
    /// stands for any word and `#` for any number of words, none included.
    Topic,
    /// All queues that are bound.
    Fanout,
    /// The queues whose binding has arguments that the message's application properties match, all of them or any, as
    /// its argument `x-match` says.
    Headers,
}

impl ExchangeKind {
    /// All kinds, with the exchange of each that every broker has.
    pub(crate) const ALL: [(Self, &str); 4] = [
        (Self::Direct, "amq.direct"),
        (Self::Topic, "amq.topic"),
        (Self::Fanout, "amq.fanout"),
        (Self::Headers, "amq.match"),
    ];

    /// The name of the kind in AMQP 0-10: `direct`, `topic`, `fanout` or `headers`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Topic => "topic",
            Self::Fanout => "fanout",
            Self::Headers => "headers",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().map(|(kind, _)| kind).find(|kind| kind.name() == name)
    }
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
