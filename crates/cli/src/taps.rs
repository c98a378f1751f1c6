//! `postroad taps`: connections of transport services, by hand.

mod connect;
mod input;
mod listen;
mod output;
mod target;
mod wish;

use postroad::taps::{
    AttemptError, CandidateTree, ConnectionError, EstablishmentError, EstablishmentErrorKind, Preconnection,
    ReceiveError, Rejected, Rejection, SendError, TlsError,
};

use crate::args::{Taps, TapsCommand};
use crate::exit::{Exit, Failure};
use crate::failure;
use crate::term::{OutputEnd, Talk, write_stdout};

pub(crate) async fn run(args: Taps, talk: Talk) -> Result<Exit, Failure> {
    match args.command {
        TapsCommand::Connect(args) => connect::run(*args, talk).await,
        TapsCommand::Listen(args) => listen::run(*args, talk).await,
    }
}

/// Prints what would be tried. Nothing to try is a failure, with what was rejected as its reason.
async fn dry_run(preconnection: &Preconnection, target: &str) -> Result<Exit, Failure> {
    let tree: CandidateTree = preconnection.candidates().await.map_err(|error| not_established(target, &error))?;
    match write_stdout(tree.to_string().as_bytes()) {
        Ok(()) | Err(OutputEnd::ReaderGone) => Ok(Exit::Ok),
        Err(OutputEnd::Failed(failure)) => Err(failure),
    }
}

fn not_established(target: &str, error: &EstablishmentError) -> Failure {
    let exit = match error.kind() {
        EstablishmentErrorKind::NoCandidates { .. } => Exit::Unavailable,
        _ => failure::transport_exit(error),
    };
    let hint = match error.kind() {
        EstablishmentErrorKind::NoCandidates { rejected, .. } => Some(candidates_hint(rejected).to_owned()),
        _ if error.attempts().iter().any(|attempt| attempt.error == AttemptError::Absent) => {
            Some("start who listens there first".to_owned())
        }
        _ => error.tls().and_then(|error| match error {
            TlsError::NotTls => {
                Some("leave out --tls, or tls:// or wss:// in the target, if the peer has none".to_owned())
            }
            error => failure::tls_hint(error),
        }),
    };
    Failure::new(exit, format!("cannot connect to {target}"), error).hint(hint)
}

/// What to change where nothing is left to try. What stands against all stacks but one is of no interest there.
fn candidates_hint(rejected: &[Rejected]) -> &'static str {
    let any = |is: fn(&Rejection) -> bool| rejected.iter().any(|rejected| is(&rejected.reason));
    if any(|reason| matches!(reason, Rejection::Property { .. })) {
        "look at --require and --prohibit, or add a --framer to keep messages apart"
    } else if any(|reason| *reason == Rejection::NoApplicationProtocol) {
        "name an application protocol with --alpn"
    } else if any(|reason| *reason == Rejection::NotReplayable) {
        "where a message may come twice, say so: --profile unreliable-datagram, or --set safelyReplayable=true"
    } else if any(|reason| *reason == Rejection::Clear) {
        "leave out --tls"
    } else if any(|reason| *reason == Rejection::Encrypted) {
        "add --tls"
    } else {
        "look at --interface, --local and --protocol"
    }
}

fn lost(what: &str, error: &ConnectionError) -> Failure {
    if let ConnectionError::NotEstablished(error) = error {
        return not_established(what, error);
    }
    let exit = match error {
        ConnectionError::Tls(error) => failure::tls_exit(error),
        _ => Exit::Temporary,
    };
    Failure::new(exit, format!("the connection with {what} is lost"), error)
}

fn not_sent(what: &str, error: &SendError) -> Failure {
    match error {
        SendError::ProtocolFailed(error) => lost(what, error),
        SendError::Closed => Failure::new(Exit::Temporary, format!("cannot send to {what}"), error),
        error => Failure::new(Exit::Data, format!("cannot send to {what}"), error),
    }
}

fn not_received(what: &str, error: &ReceiveError) -> Failure {
    match error {
        ReceiveError::ProtocolFailed(error) => lost(what, error),
        error => Failure::new(Exit::Protocol, format!("cannot receive from {what}"), error)
            .hint("does the peer use the same --framer?".to_owned()),
    }
}
