//! Ten thousand connections at once, client and broker as two processes: what they take, and that it comes back.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad_client::{ConnectOptions, Connection, Message, Node, Receiver, Session};
use postroad_tests::meter::{self, Counting};
use postroad_tests::process::{Event, Process};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: &Counting = meter::COUNTING;

const CONNECTIONS: usize = 10_000;
const ROUNDS: usize = 3;

/// What idle connections may take in the broker, each with a session and a link that receives.
const IDLE_BYTES: u64 = 200 * 1_000_000;

/// How far what is allocated may differ from round to round.
const SLACK: u64 = 1_000_000;

/// So many open or close at once: more would only wait for each other.
const AT_ONCE: usize = 256;

/// Descriptors that a process has beside its connections.
const OTHERS: u64 = 100;

/// So many queues have the links that idle.
const QUIET: usize = 20;

const PATIENCE: Duration = Duration::from_secs(120);

/// A connection that idles, with what keeps it open.
struct Idle {
    connection: Connection,
    session: Session,
    _receiver: Receiver,
}

struct Broker {
    process: Process,
    urls: Vec<String>,
    descriptors: u64,
}

impl Broker {
    /// Each round has an address of its own: the ports of connections that were closed stay taken for a minute.
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_metered-broker"));
        command.args(["--queue", "q", "--connections", "20000"]);
        for number in 0..QUIET {
            command.args(["--queue", &quiet(number)]);
        }
        for round in 0..ROUNDS {
            command.args(["--listen", &format!("amqp://127.0.0.{}:0", round + 1)]);
        }
        let mut process = Process::start("broker", &mut command, None).unwrap();
        let listening = process.event("listening", PATIENCE).unwrap();
        let urls = listening["urls"].as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned()).collect();
        Self { process, urls, descriptors: listening["descriptors"].as_u64().unwrap() }
    }

    fn stats(&mut self) -> Event {
        self.process.tell("stats");
        self.process.event("stats", PATIENCE).unwrap()
    }

    /// Waits until it has so many connections.
    async fn settled(&mut self, connections: usize) -> Event {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stats = self.stats();
            if stats["connections"] == connections {
                return stats;
            }
            assert!(Instant::now() < deadline, "{connections} connections are to be left: {stats}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn open(url: String) -> (Connection, Session) {
    let mut options = ConnectOptions::new(url.parse().expect("a URL of the broker's"));
    (options.connect_timeout, options.close_timeout) = (PATIENCE, PATIENCE);
    let connection = Connection::open(options).await.expect("it lets everybody in");
    let session = connection.session().await.expect("a session");
    (connection, session)
}

fn quiet(number: usize) -> String {
    format!("quiet-{}", number % QUIET)
}

async fn idle(url: String, number: usize) -> Idle {
    let (connection, session) = open(url).await;
    let receiver = session.receiver(Node::at(quiet(number))).await.expect("a receiver");
    Idle { connection, session, _receiver: receiver }
}

/// Sends one message, and goes.
async fn send(idle: Idle, number: usize) {
    let sender = idle.session.sender(Node::at("q")).await.expect("a sender");
    sender.send(&Message::from(number.to_string().as_str())).await.expect("it is taken");
    idle.connection.close().await.expect("it closes");
}

/// Does something for each of many, not for all of them at once.
async fn each<T: Send + 'static, F>(jobs: impl Iterator<Item = F>) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for job in jobs {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("it stays open");
        tasks.spawn(async move {
            let done = job.await;
            drop(permit);
            done
        });
    }
    tasks.join_all().await
}

/// Takes all messages, and checks that there is one of each.
async fn take(url: String, count: usize) {
    let (connection, session) = open(url).await;
    let mut receiver = session.receiver(Node::at("q")).await.unwrap();
    let mut came = BTreeSet::new();
    while came.len() < count {
        let message = receiver.fetch(PATIENCE).await.unwrap().expect("a message of each");
        receiver.accept(&message).unwrap();
        assert!(came.insert(message.text().expect("a text").parse::<usize>().unwrap()), "none comes twice");
    }
    assert_eq!(came.last(), Some(&(count - 1)), "and none is lost");
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_connections_cost_little_and_leave_nothing() {
    let mut broker = Broker::start();
    let ours = meter::raise_descriptor_limit();
    let fit = usize::try_from(ours.min(broker.descriptors).saturating_sub(OTHERS)).unwrap_or(usize::MAX);
    let count = CONNECTIONS.min(fit);
    if count < CONNECTIONS {
        eprintln!("{count} connections: there may be {ours} and {} descriptors", broker.descriptors);
    }
    let mut left = Vec::new();
    for url in broker.urls.clone() {
        let begun = Instant::now();
        let connections = each((0..count).map(|number| idle(url.clone(), number))).await;
        let stats = broker.settled(count).await;
        let resident = stats["resident"].as_u64().expect("Linux tells");
        eprintln!("{count} idle connections: {stats}, after {:?}", begun.elapsed());
        assert!(resident <= IDLE_BYTES, "{stats}");

        each(connections.into_iter().enumerate().map(|(number, idle)| send(idle, number))).await;
        take(url, count).await;
        let stats = broker.settled(0).await;
        assert_eq!(stats["ready"], 0, "all were taken");
        eprintln!("all gone: {stats}, here {}, after {:?}", meter::live_bytes(), begun.elapsed());
        left.push([stats["live"].as_u64().unwrap(), meter::live_bytes() as u64]);
    }
    for end in 0..2 {
        let live: Vec<u64> = left.iter().map(|live| live[end]).collect();
        let (least, most) = (live.iter().min().unwrap(), live.iter().max().unwrap());
        assert!(most - least <= SLACK, "{live:?} bytes are left after each round");
    }
}
