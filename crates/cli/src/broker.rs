//! `postroad broker`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use postroad::amqp::sasl::UserFile;
use postroad::broker::{self, Builder, NodeOptions, StartError};
use postroad::taps::ListenError;

use crate::args;
use crate::exit::{Exit, Failure};
use crate::signals::Stop;
use crate::term::Talk;
use crate::value::Scoped;

/// The largest file of users that is read, in bytes; the library's own limit is the same.
const MAX_USERS_FILE: u64 = 4 * 1024 * 1024;

pub(crate) async fn run(args: args::Broker, talk: Talk) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    let mut builder = broker::Broker::builder().auto_create(!args.no_auto_create);
    for url in &args.listen {
        builder = builder.listen(url);
    }
    builder = nodes(builder, &args);
    if let Some(path) = &args.users {
        builder = builder.users(users(path)?).allow_insecure_plain(args.allow_insecure_mechs);
    }
    if let (Some(cert), Some(key)) = (&args.cert, &args.key) {
        builder = builder.tls_files(cert, key);
    }
    builder = builder.transaction_timeout(Some(args.transaction_timeout)).max_link_timeout(args.max_link_timeout);
    builder = builder.with_limits(|limits| args.limits.apply(limits));
    let broker = builder.start().await.map_err(|error| not_started(&error))?;
    for url in broker.urls() {
        talk.say(0, || format!("listening on {url}"));
    }
    if let Some(path) = &args.ready_file {
        write_ready_file(path, broker.urls())?;
    }

    stop.first().await;
    talk.say(0, || match broker.connections() {
        0 => "stopping".to_owned(),
        clients => format!("stopping: {clients} clients have {:?} to finish, Ctrl-C stops at once", args.grace),
    });
    tokio::select! {
        cut_off = broker.shutdown(args.grace) => {
            if cut_off > 0 {
                talk.say(0, || format!("{cut_off} clients did not finish and were cut off"));
            }
        }
        () = stop.second() => talk.say(0, || "stopped at once".to_owned()),
    }
    Ok(Exit::Ok)
}

impl args::Limits {
    /// Sets what was given.
    fn apply(&self, limits: &mut broker::Limits) {
        let counts = [
            (self.max_connections, &mut limits.connections),
            (self.max_connections_per_address, &mut limits.connections_per_address),
            (self.max_connections_per_user, &mut limits.connections_per_user),
            (self.max_sessions, &mut limits.sessions_per_connection),
            (self.max_links, &mut limits.links_per_connection),
            (self.max_links_per_session, &mut limits.links_per_session),
            (self.max_resumable_links, &mut limits.resumable_links),
            (self.max_resumable_links_per_user, &mut limits.resumable_links_per_user),
            (self.max_nodes, &mut limits.nodes),
            (self.max_queue_messages, &mut limits.queue_messages),
            (self.max_queue_bytes, &mut limits.queue_bytes),
            (self.max_total_bytes, &mut limits.total_bytes),
            (self.max_subscriptions, &mut limits.subscriptions_per_topic),
            (self.max_subscription_messages, &mut limits.subscription_messages),
            (self.max_subscription_bytes, &mut limits.subscription_bytes),
            (self.max_transactions, &mut limits.transactions_per_connection),
            (self.max_transaction_bytes, &mut limits.transaction_bytes),
        ];
        for (given, limit) in counts {
            if let Some(given) = given {
                *limit = usize::try_from(given).unwrap_or(usize::MAX);
            }
        }
        limits.message_size = self.max_message_size.unwrap_or(limits.message_size);
        limits.frame_size = self.max_frame_size.unwrap_or(limits.frame_size);
    }
}

/// Declares the nodes, with what is said about all of them and about single ones.
fn nodes(mut builder: Builder, args: &args::Broker) -> Builder {
    type Change<'a> = Box<dyn Fn(NodeOptions) -> NodeOptions + 'a>;
    let mut changes: Vec<(Option<&str>, Change<'_>)> = Vec::new();
    for Scoped { node, value } in &args.topic_overflow {
        changes.push((node.as_deref(), Box::new(move |options| options.overflow(*value))));
    }
    for Scoped { node, value } in &args.dead_letter {
        changes.push((node.as_deref(), Box::new(move |options| options.dead_letter(value))));
    }
    for Scoped { node, value } in &args.max_deliveries {
        changes.push((node.as_deref(), Box::new(move |options| options.max_deliveries(*value))));
    }
    let mut defaults = NodeOptions::default();
    for (_, change) in changes.iter().filter(|(node, _)| node.is_none()) {
        defaults = change(defaults);
    }
    // What is said about all nodes holds for a single one where nothing else is said about it.
    let mut single = BTreeMap::new();
    for (node, change) in changes.iter().filter_map(|(node, change)| Some(((*node)?, change))) {
        let options = single.remove(node).unwrap_or_else(|| defaults.clone());
        single.insert(node, change(options));
    }
    let with_overflow = args.topic_overflow.iter().filter_map(|scoped| scoped.node.as_deref());
    let topics: BTreeSet<&str> = args.topic.iter().map(String::as_str).chain(with_overflow).collect();
    for queue in &args.queue {
        builder = builder.queue(queue);
    }
    for topic in &topics {
        builder = builder.topic(*topic);
    }
    for (node, options) in single {
        builder =
            if topics.contains(node) { builder.topic_with(node, options) } else { builder.queue_with(node, options) };
    }
    builder.node_defaults(defaults)
}

/// Puts the URLs into a file that appears complete: whoever waits for it never reads half of it.
pub(crate) fn write_ready_file(path: &Path, urls: &[String]) -> Result<(), Failure> {
    let mut text = urls.join("\n");
    text.push('\n');
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = std::fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| {
        // What was made of it is ours; it may not be there.
        let _ = std::fs::remove_file(&temporary);
        Failure::new(Exit::Output, format!("cannot write the ready file {}", path.display()), error)
    })
}

fn users(path: &Path) -> Result<UserFile, Failure> {
    let what = || format!("cannot use the users file {}", path.display());
    let bad = |error: std::io::Error| Failure::new(Exit::Data, what(), error);
    let text = crate::file::read_text(path, MAX_USERS_FILE).map_err(bad)?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Failure::new(Exit::Unavailable, "no random numbers", error))?;
    UserFile::parse(&text, seed)
        .map_err(|error| Failure::new(Exit::Data, what(), &error).hint(error.kind.hint().map(str::to_owned)))
}

pub(crate) fn not_started(error: &StartError) -> Failure {
    let hint = error.hint().map(str::to_owned);
    let exit = match error {
        StartError::Url { .. } | StartError::UrlParts { .. } | StartError::NoCertificate { .. } => Exit::Usage,
        StartError::Tls(_) => Exit::Data,
        StartError::Queue(_) => Exit::Data,
        StartError::Listen { error: ListenError::ResolutionFailed { .. }, .. } => Exit::NoHost,
        StartError::Listen { error: ListenError::InvalidConfiguration(_), .. } => Exit::Data,
        StartError::Listen { error: ListenError::PolicyProhibited { .. }, .. } => Exit::Denied,
        _ => Exit::Unavailable,
    };
    let hint = match error {
        StartError::NoCertificate { .. } => Some("add --cert and --key, or use amqp:// or amqpws://".to_owned()),
        _ => hint,
    };
    Failure::new(exit, "cannot start the broker", error).hint(hint)
}
