//! Exchanges between a client and a server, whole and broken.

mod bearer;
mod broken;
mod choosing;
mod nameless;
mod passwords;
mod scram;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::*;

const CLIENT_NONCE: [u8; 24] = [0x11; 24];
const SERVER_NONCE: [u8; 24] = [0x22; 24];
const EVERYTHING: [&str; 6] = ["EXTERNAL", "SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "ANONYMOUS"];

static USERS: LazyLock<Arc<UserFile>> = LazyLock::new(|| {
    let text = "alice:wonderland\na=b,c:{plain}{d}\nI\u{ad}X:p\u{aa}ss\n";
    Arc::new(UserFile::parse(text, [9; 32]).unwrap())
});

fn config() -> ServerConfig {
    ServerConfig::new([8; 32]).users(USERS.clone())
}

fn server(config: ServerConfig, secure: bool) -> Server {
    Server::new(Arc::new(config), secure, None, SERVER_NONCE)
}

fn client(user: &str, password: &str) -> Client {
    Client::new(Credentials::password(user, password), CLIENT_NONCE)
}

/// What came of an exchange: both sides' views.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The server's user and mechanism, and the client's verdict.
    Accepted(String, &'static str, Result<(), SaslError>),
    RefusedByServer(SaslError),
    GivenUpByClient(SaslError),
}

fn accepted(user: &str, mechanism: &'static str) -> End {
    End::Accepted(user.to_owned(), mechanism, Ok(()))
}

/// Runs an exchange; `tamper` sees each message with its number, in the order sent, and may change it.
fn run_tampered(
    mut client: Client,
    mut server: Server,
    secure: bool,
    mut tamper: impl FnMut(usize, Bytes) -> Bytes,
) -> End {
    let offered = server.mechanisms();
    let init = match client.start(&offered, secure) {
        Ok(init) => init,
        Err(error) => return End::GivenUpByClient(error),
    };
    let response = init.response.map(|response| tamper(0, response));
    let mut step = server.init(init.mechanism, response.as_deref());
    for number in (1..).step_by(2) {
        match step {
            Step::Challenge(challenge) => match client.challenge(&tamper(number, challenge)) {
                Ok(response) => step = server.response(&tamper(number + 1, response)),
                Err(error) => return End::GivenUpByClient(error),
            },
            Step::Accepted { user, mechanism, additional } => {
                let additional = additional.map(|data| tamper(number, data));
                return End::Accepted(user, mechanism, client.finish(additional.as_deref()));
            }
            Step::CheckPassword => {
                let answer = server.password_check().expect("it asked for that").run();
                step = server.password_checked(answer);
            }
            Step::Refused(error) => return End::RefusedByServer(error),
        }
        assert!(number < 10, "endless exchange");
    }
    unreachable!()
}

fn run(client: Client, server: Server, secure: bool) -> End {
    run_tampered(client, server, secure, |_, message| message)
}
