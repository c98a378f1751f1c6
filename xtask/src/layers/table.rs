//! The architecture's table as data: which crate may import which, and what must be absent from it.
//!
//! docs/architecture.md tells the reasons. A new edge here is the change that gets the slow review.

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Package name.
    pub(crate) name: &'static str,
    /// Folder below the root of the checkout.
    pub(crate) folder: &'static str,
    /// Our crates that a normal or build dependency may name.
    pub(crate) may_import: &'static [&'static str],
    /// Our or other crates that it may name, but only behind a feature (`optional = true`).
    pub(crate) behind_feature: &'static [&'static str],
    /// Crates from outside.
    pub(crate) outside: Outside,
    /// What its sources must not say.
    pub(crate) silent_on: &'static [Silence],
}

/// Which crates from outside a crate may depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outside {
    /// Any but these, looked for among its own dependencies.
    DirectlyWithout(&'static [&'static str]),
    /// Any but these, looked for in everything that its dependencies bring too.
    WhollyWithout(&'static [&'static str]),
    /// These and no other.
    Only(&'static [&'static str]),
}

/// Something that sources must not say.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Silence {
    /// Anywhere in the text, in any case, comments too.
    Words(&'static [&'static str]),
    /// In code outside `#[cfg(test)]`: tokens written with a space between any two.
    Tokens(&'static [&'static str]),
}

const CODEC: &str = "postroad-codec";
const ADDRESS: &str = "postroad-address";
const SYS: &str = "postroad-sys";
const TAPS: &str = "postroad-taps";
const AMQP: &str = "postroad-amqp";
const CLIENT: &str = "postroad-client";
const MESSAGING: &str = "postroad-messaging";
const CONTAINER: &str = "postroad-container";
const MSRP: &str = "postroad-msrp";
const MULTIPROCESSING: &str = "postroad-multiprocessing";
const BROKER: &str = "postroad-broker";
const TESTKIT: &str = "postroad-testkit";
const FACADE: &str = "postroad";

const LIBRARIES: &[&str] =
    &[CODEC, ADDRESS, SYS, TAPS, AMQP, CLIENT, MESSAGING, CONTAINER, MSRP, MULTIPROCESSING, BROKER];
const EVERYTHING: &[&str] =
    &[CODEC, ADDRESS, SYS, TAPS, AMQP, CLIENT, MESSAGING, CONTAINER, MSRP, MULTIPROCESSING, BROKER, TESTKIT, FACADE];

/// Runtimes, sockets, clocks and logging: what an engine has no use for.
const IO: &[&str] = &[
    "tokio",
    "tokio-util",
    "async-std",
    "async-io",
    "smol",
    "mio",
    "polling",
    "socket2",
    "quinn",
    "tokio-rustls",
    "rustls",
    "chrono",
    "time",
    "quanta",
    "web-time",
    "tracing",
];
const SOCKETS: &[&str] = &["mio", "socket2", "rustls", "tokio-rustls", "rustix", "nix", "quinn"];

/// `std`'s own sockets and clocks; an engine is told the time.
const NO_IO: Silence = Silence::Tokens(&[
    "Instant :: now",
    "SystemTime :: now",
    ". elapsed (",
    "std :: net",
    "std :: fs",
    "std :: thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
]);
const NO_SOCKETS: Silence = Silence::Tokens(&["std :: net", "TcpStream", "TcpListener", "UdpSocket"]);
const NO_PROTOCOL: Silence = Silence::Words(&["amqp", "msrp", "qpid", "pickle"]);

/// Said of every folder but this one.
pub(crate) const UNSAFE_FOLDER: &str = "crates/sys";

pub(crate) const TABLE: &[Rule] = &[
    Rule {
        name: CODEC,
        folder: "crates/codec",
        may_import: &[],
        behind_feature: &[],
        outside: Outside::WhollyWithout(IO),
        silent_on: &[NO_IO],
    },
    Rule {
        name: ADDRESS,
        folder: "crates/address",
        may_import: &[],
        behind_feature: &[],
        outside: Outside::Only(&["nom", "thiserror"]),
        silent_on: &[NO_IO],
    },
    Rule {
        name: SYS,
        folder: "crates/sys",
        may_import: &[],
        behind_feature: &[],
        outside: Outside::DirectlyWithout(&[]),
        silent_on: &[NO_PROTOCOL],
    },
    Rule {
        name: TAPS,
        folder: "crates/taps",
        may_import: &[SYS],
        behind_feature: &[],
        outside: Outside::DirectlyWithout(&[]),
        silent_on: &[NO_PROTOCOL],
    },
    Rule {
        name: AMQP,
        folder: "crates/amqp",
        may_import: &[CODEC],
        behind_feature: &[],
        outside: Outside::WhollyWithout(IO),
        silent_on: &[NO_IO],
    },
    Rule {
        name: CLIENT,
        folder: "crates/client",
        may_import: &[CODEC, ADDRESS, AMQP, TAPS],
        behind_feature: &[],
        outside: Outside::DirectlyWithout(&[]),
        silent_on: &[],
    },
    Rule {
        name: MESSAGING,
        folder: "crates/messaging",
        may_import: &[CLIENT, ADDRESS],
        behind_feature: &[],
        outside: Outside::DirectlyWithout(SOCKETS),
        silent_on: &[NO_SOCKETS],
    },
    Rule {
        name: CONTAINER,
        folder: "crates/container",
        may_import: &[CLIENT, ADDRESS],
        behind_feature: &[],
        outside: Outside::DirectlyWithout(SOCKETS),
        silent_on: &[NO_SOCKETS],
    },
    Rule {
        name: MSRP,
        folder: "crates/msrp",
        may_import: &[],
        behind_feature: &[TAPS, "tokio", "tokio-util", "tracing"],
        outside: Outside::DirectlyWithout(IO),
        silent_on: &[],
    },
    Rule {
        name: MULTIPROCESSING,
        folder: "crates/multiprocessing",
        may_import: &[],
        behind_feature: &[TAPS, "tokio"],
        outside: Outside::DirectlyWithout(IO),
        silent_on: &[],
    },
    Rule {
        name: BROKER,
        folder: "crates/broker",
        may_import: &[CODEC, ADDRESS, AMQP, TAPS],
        behind_feature: &[],
        outside: Outside::DirectlyWithout(&[]),
        silent_on: &[],
    },
    Rule {
        name: TESTKIT,
        folder: "crates/testkit",
        may_import: &[CODEC, AMQP],
        // The proxy has sockets; all else has none.
        behind_feature: &["tokio"],
        outside: Outside::DirectlyWithout(IO),
        silent_on: &[],
    },
    Rule {
        name: FACADE,
        folder: "crates/postroad",
        may_import: LIBRARIES,
        behind_feature: &[],
        outside: Outside::DirectlyWithout(&[]),
        silent_on: &[],
    },
    Rule {
        name: "postroad-cli",
        folder: "crates/cli",
        may_import: &[FACADE],
        behind_feature: &[],
        outside: Outside::DirectlyWithout(&[]),
        silent_on: &[],
    },
    Rule {
        name: "xtask",
        folder: "xtask",
        // spec-check reads the codec's tables.
        may_import: &[CODEC],
        behind_feature: &[],
        outside: Outside::DirectlyWithout(&[]),
        silent_on: &[],
    },
    Rule {
        name: "benches",
        folder: "benches",
        may_import: EVERYTHING,
        behind_feature: &[],
        outside: Outside::DirectlyWithout(&[]),
        silent_on: &[],
    },
    Rule {
        name: "tests",
        folder: "tests",
        may_import: EVERYTHING,
        behind_feature: &[],
        outside: Outside::DirectlyWithout(&[]),
        silent_on: &[],
    },
    Rule {
        name: "tests-features",
        folder: "tests/features",
        may_import: &[TAPS],
        behind_feature: &[],
        outside: Outside::Only(&[TAPS]),
        silent_on: &[],
    },
];
