//! From options to an open connection.

use std::path::Path;

use postroad::address::{BrokerUrl, Scheme, split_address};
use postroad::messaging::{Connection, TlsConfig, TlsMode};

use crate::args::{Connect, Target};
use crate::exit::{Exit, Failure};
use crate::failure;
use crate::file;
use crate::signals::Stop;
use crate::term::Talk;

/// The environment's place for the password: an argument is seen by every user of the machine.
const PASSWORD: &str = "POSTROAD_PASSWORD";

/// That for a bearer token.
const TOKEN: &str = "POSTROAD_TOKEN";

/// A broker and an address on it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) url: BrokerUrl,
    pub(crate) address: String,
}

impl Place {
    /// Reads `-b` and ADDRESS; an ADDRESS that is a URL says both.
    pub(crate) fn new(target: &Target) -> Result<Self, Failure> {
        let (url, address) = split_address(&target.address)
            .map_err(|error| Failure::new(Exit::Data, "bad address", &error).hint(error.hint().map(str::to_owned)))?;
        let url = match url {
            Some(url) => without_path(url),
            None => broker_url(&target.broker)?,
        };
        Ok(Self { url, address })
    }
}

/// Reads the URL of a broker. The text is not shown: it may hold a password.
pub(crate) fn broker_url(text: &str) -> Result<BrokerUrl, Failure> {
    let bad =
        |why: String, hint: Option<&str>| Err(Failure::usage("bad broker URL", why).hint(hint.map(str::to_owned)));
    let url = match BrokerUrl::parse(text) {
        Ok(url) => url,
        Err(error) => return bad(error.to_string(), error.hint()),
    };
    match url.path() {
        Some(path) => bad(
            format!("it names the node {path:?}"),
            Some("give a URL with a node in place of ADDRESS, or leave the path out"),
        ),
        None if url.port() == 0 && url.scheme() != Scheme::AmqpUnix => bad("port 0 cannot be reached".to_owned(), None),
        None => Ok(url),
    }
}

fn without_path(url: BrokerUrl) -> BrokerUrl {
    url.with_path("")
}

/// Opens a connection; a signal ends the attempt.
pub(crate) async fn open(url: &BrokerUrl, options: &Connect, stop: &Stop, talk: Talk) -> Result<Connection, Failure> {
    let mut builder = postroad::messaging::ConnectionBuilder::new(url.clone())
        .allow_insecure_mechs(options.allow_insecure_mechs)
        .sasl_mechanisms(options.sasl_mechanisms.iter().map(String::as_str))
        .connect_timeout(options.connect_timeout)
        .close_timeout(std::time::Duration::from_secs(5));
    if let Some(user) = &options.user {
        builder = builder.user(user);
    }
    match secret(options)? {
        Secret::Token(token) => builder = builder.token(token),
        Secret::Password(password) => builder = builder.password(password),
        Secret::None => {}
    }
    if options.tls_header {
        let scheme = url.scheme();
        if scheme != Scheme::Amqp {
            let hint = "leave it out, or give the amqp:// URL of a port that begins in clear text".to_owned();
            let why = match scheme.is_secure() {
                true => format!("{scheme}:// begins with TLS"),
                false => format!("there is no TLS in {scheme}://"),
            };
            return Err(Failure::usage("bad use of --tls-header", why).hint(hint));
        }
        builder = builder.tls_mode(TlsMode::Header);
    }
    if let Some(heartbeat) = options.heartbeat {
        builder = builder.heartbeat(heartbeat);
    }
    if let Some(size) = options.max_frame_size {
        builder = builder.max_frame_size(size);
    }
    if let Some(tls) = tls(options)? {
        builder = builder.tls(tls);
    }
    let connection = tokio::select! {
        opened = builder.open() => opened.map_err(|error| failure::connect(url, &error))?,
        () = stop.first() => return Err(Failure::new(Exit::Interrupted, "interrupted", "not connected yet")),
    };
    talk.say(1, || format!("connected to {}", url.redacted()));
    Ok(connection)
}

/// What shows who we are.
enum Secret {
    Token(String),
    Password(String),
    None,
}

/// What the command line names counts before the environment, and a token before a password.
fn secret(options: &Connect) -> Result<Secret, Failure> {
    if let Some(path) = &options.token_file {
        return from_file("token", path).map(Secret::Token);
    }
    if let Some(path) = &options.password_file {
        return from_file("password", path).map(Secret::Password);
    }
    if let Some(token) = from_environment(TOKEN)? {
        return Ok(Secret::Token(token));
    }
    Ok(from_environment(PASSWORD)?.map_or(Secret::None, Secret::Password))
}

fn from_file(what: &str, path: &Path) -> Result<String, Failure> {
    let bad = |error| Failure::new(Exit::Data, format!("cannot read the {what} from {}", path.display()), error);
    file::read_first_line(path).map_err(bad)
}

fn from_environment(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(secret) => Ok(Some(secret).filter(|secret| !secret.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::new(Exit::Data, format!("cannot use ${name}"), "it is not UTF-8"))
        }
    }
}

/// The certificates of the command line; `None` leaves the defaults.
fn tls(options: &Connect) -> Result<Option<TlsConfig>, Failure> {
    if options.ca.is_none() && options.client_cert.is_none() {
        return Ok(None);
    }
    let mut tls = TlsConfig::builder();
    if let Some(path) = &options.ca {
        tls = tls.roots_file(path);
    }
    if let (Some(cert), Some(key)) = (&options.client_cert, &options.client_key) {
        tls = tls.client_certificate_files(cert, key);
    }
    tls.build().map(Some).map_err(|error| Failure::new(Exit::Data, "cannot use the certificates", error))
}
