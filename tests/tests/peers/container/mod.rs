//! The container face with other people's peers at the other end: in the client role before those that listen and before brokers
//! (`client_*`), and in the server role (`server_*`). The handlers are in `transfers`,
//! `settling` and `opening`, those that listen in `serving`.

/// Makes a test of each case for one peer; without the peer, a named skip.
macro_rules! face {
    ($find:expr, $habits:expr, $($module:ident::{$($case:ident),+ $(,)?}),+ $(,)?) => {
        $($(
            #[test]
            fn $case() {
                match $find {
                    Ok(peer) => crate::container::$module::$case(&peer, &$habits),
                    Err(skipped) => skipped.report(),
                }
            }
        )+)+
    };
}

mod client;
mod example_broker;
mod handlers;
mod opening;
mod proton_cpp;
mod proton_python;
mod rabbitmq;
mod rhea;
mod server;
mod serving;
mod settling;
mod transfers;

use postroad_tests::ours::options;
use postroad_tests::peers::{Listener, Peer};

use self::handlers::There;
use super::through::Between;

/// What is known of a peer beyond the rule.
#[derive(Debug, Clone, Copy)]
struct Habits {
    /// What a sender is told that exactly-once lacks, and a receiver.
    lacks_exactly_once: [Option<&'static str>; 2],
    /// Whether messages are settled as they are sent to a receiver that asks for that.
    sends_settled: bool,
    /// Whether the listening peer knows users and passwords.
    listens_with_plain: bool,
    /// Whether the listening peer tells the SASL mechanism ANONYMOUS.
    tells_mechanism: bool,
    /// Whether the peer's client tells the errors of outcomes.
    tells_errors: bool,
    /// Whether the peer's client can ask for receiver settle mode second.
    asks_for_second: bool,
    /// How many messages a sender gets out whose link is attached anew.
    most_after_cuts: u32,
    /// Whether what a receiver has not settled at its end is given to the next.
    gives_back: bool,
}

impl Habits {
    /// A peer that does as the standard says.
    const NONE: Self = Self {
        lacks_exactly_once: [None; 2],
        sends_settled: true,
        listens_with_plain: false,
        tells_mechanism: true,
        tells_errors: true,
        asks_for_second: true,
        most_after_cuts: 300,
        gives_back: true,
    };
}

/// Where the face connects to.
enum Place {
    /// A peer that listens, and gives back from `echo` what came.
    Listening(Peer),
    /// A broker.
    Broker(Between),
}

/// Somebody that has been reached.
struct Other {
    there: There,
    listener: Option<Listener>,
}

impl Place {
    /// The place of a case of this name; the options are those of a peer that listens.
    fn reach(&self, name: &str, arguments: &[&str]) -> Other {
        match self {
            Self::Listening(peer) => {
                let listener = peer.listen(arguments).unwrap();
                let (target, source) = ("q".to_owned(), "echo".to_owned());
                Other { there: There { options: options(&listener.url()), target, source }, listener: Some(listener) }
            }
            Self::Broker(between) => {
                let address = (between.address)(&format!("face-{name}"));
                let options = options(&between.url_at(between.port));
                Other { there: There { options, target: address.clone(), source: address }, listener: None }
            }
        }
    }

    /// `USER:PASSWORD@`, or nothing.
    fn user(&self) -> &str {
        match self {
            Self::Listening(_) => "",
            Self::Broker(between) => between.user,
        }
    }
}
