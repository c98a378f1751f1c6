//! How soon a link works again once its broker is back.
//!
//! The broker stays, and keeps its links; what goes and comes back is its port. While it is away nobody listens there, as
//! with a broker that is being started anew.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use postroad_broker::Broker;
use postroad_client::{
    ConnectOptions, Connection, ConnectionEvent, Guarantee, LinkOptions, Message, Outcome, Receiver, Reconnect, Sender,
};
use postroad_testkit::Rng;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, sleep_until, timeout};

/// What is done for each guarantee.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How often the broker goes and comes back.
    pub rounds: usize,
    /// The pause between two attempts, which does not grow.
    pub interval: Duration,
    /// For how long the broker is away at least.
    pub least: Duration,
    /// For how long the broker is away at most.
    pub most: Duration,
    /// A round that takes longer has failed.
    pub limit: Duration,
    /// The same seed gives the same times away.
    pub seed: u64,
}

/// How long each round took from the return of the broker.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// Until a message that was waiting to be sent had its outcome; at most once, until it was handed over.
    pub sent: Vec<Duration>,
    /// Until a message that was waiting in its queue had come.
    pub received: Vec<Duration>,
    /// How late the bench itself was woken when the broker was to return: what is seen of a machine that is busy with other
    /// things, and no cost of ours.
    pub woken: Vec<Duration>,
}

/// The time within which so many of a hundred rounds were done; `None` without rounds.
///
/// `percent` is from 1 to 100: 100 is the longest time.
#[must_use]
pub fn percentile(times: &[Duration], percent: usize) -> Option<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.max(1) - 1).copied()
}

/// Runs all rounds with links of each guarantee, each with a broker of its own; the times are in the order of the
/// guarantees. A round goes over all of them before the next one begins, so that what else the machine does falls on all.
///
/// # Errors
/// When a round takes longer than its limit, a message has another outcome than accepted or is another one than what was
/// sent, or anything else goes wrong.
pub async fn run(plan: &Plan, guarantees: &[Guarantee]) -> Result<Vec<Times>, Box<dyn Error>> {
    let mut cases = Vec::new();
    for guarantee in guarantees {
        cases.push(Case::open(plan, *guarantee).await?);
    }
    for round in 0..plan.rounds {
        for case in &mut cases {
            let guarantee = case.guarantee;
            timeout(plan.limit, case.round(plan))
                .await
                .map_err(|_| format!("{guarantee}, round {round}: took longer than {:?}", plan.limit))?
                .map_err(|error| format!("{guarantee}, round {round}: {error}"))?;
        }
    }
    let mut all = Vec::new();
    for case in cases {
        all.push(case.close(plan).await?);
    }
    Ok(all)
}

const OUT: &str = "out";
const IN: &str = "in";

/// A broker, its door, and links of one guarantee that come back.
struct Case {
    guarantee: Guarantee,
    broker: Broker,
    door: Door,
    /// Puts messages into the queue past the door.
    feeding: Connection,
    feeder: Sender,
    ends: Ends,
    rng: Rng,
    times: Times,
}

/// The links that come back.
struct Ends {
    connection: Connection,
    sender: Sender,
    receiver: Receiver,
}

impl Ends {
    async fn connect(plan: &Plan, guarantee: Guarantee, addr: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let mut reconnect = Reconnect::default();
        (reconnect.interval, reconnect.max_interval) = (plan.interval, plan.interval);
        let mut options = ConnectOptions::new(format!("amqp://{addr}").parse()?);
        options.reconnect = Some(reconnect);
        let connection = Connection::open(options).await?;
        let session = connection.session().await?;
        let mut options = LinkOptions::default();
        options.guarantee = guarantee;
        let sender = session.sender_with(OUT, options.clone()).await?;
        let receiver = session.receiver_with(IN, options).await?;
        Ok(Self { connection, sender, receiver })
    }

    /// Sends a message, and receives the one of this text: when each was done.
    async fn exchange(&mut self, text: &str) -> Result<(Instant, Instant), Box<dyn Error>> {
        let Self { sender, receiver, .. } = self;
        let sending = async {
            match sender.send(&Message::from("out")).await? {
                Outcome::Accepted => Ok(Instant::now()),
                other => Err(Box::<dyn Error>::from(format!("what was sent is {other:?}"))),
            }
        };
        let receiving = async {
            let message = receiver.receive().await?;
            let at = Instant::now();
            receiver.accept(&message)?;
            if message.text() != Some(text) {
                return Err(format!("{:?} came instead of {text:?}", message.text()).into());
            }
            Ok(at)
        };
        tokio::try_join!(sending, receiving)
    }
}

impl Case {
    async fn open(plan: &Plan, guarantee: Guarantee) -> Result<Self, Box<dyn Error>> {
        let broker = Broker::builder().queue(OUT).queue(IN).listen("amqp://127.0.0.1:0").start().await?;
        let door = Door::open(broker.addr().ok_or("the broker listens nowhere")?)?;
        let feeding = Connection::open(ConnectOptions::new(broker.urls()[0].parse()?)).await?;
        let feeder = feeding.session().await?.sender(IN).await?;
        let ends = Ends::connect(plan, guarantee, door.addr).await?;
        let (rng, times) = (Rng::new(plan.seed), Times::default());
        Ok(Self { guarantee, broker, door, feeding, feeder, ends, rng, times })
    }

    /// Takes the broker away and back, and notes what that took.
    async fn round(&mut self, plan: &Plan) -> Result<(), Box<dyn Error>> {
        let Self { broker, door, feeder, ends, rng, times, .. } = self;
        // A while of peace, so that the cut does not come in step with what the round before did.
        sleep(between(rng, plan.interval, plan.interval * 3)).await;
        let mut events = ends.connection.events();
        door.close().await;
        let due = Instant::now() + between(rng, plan.least, plan.most);
        loop {
            match events.next().await {
                Some(ConnectionEvent::Lost(_)) => break,
                Some(_) => {}
                None => return Err("the connection is over".into()),
            }
        }
        // At most once, what the broker sends before it knows of the cut would be lost.
        while broker.connections() > 1 {
            sleep(Duration::from_millis(1)).await;
        }
        let text = rng.next_u64().to_string();
        feeder.send(&Message::from(text.as_str())).await?;
        let returning = async {
            sleep_until(due.into()).await;
            // The port answers from the moment on at which it is opened.
            let returned = Instant::now();
            door.reopen()?;
            Ok(returned)
        };
        let (returned, (sent, received)) = tokio::try_join!(returning, ends.exchange(&text))?;
        times.sent.push(sent.saturating_duration_since(returned));
        times.received.push(received.saturating_duration_since(returned));
        times.woken.push(returned.saturating_duration_since(due));
        Ok(())
    }

    async fn close(self, plan: &Plan) -> Result<Times, Box<dyn Error>> {
        self.ends.connection.close().await?;
        self.feeding.close().await?;
        self.broker.shutdown(plan.limit).await;
        Ok(self.times)
    }
}

fn between(rng: &mut Rng, least: Duration, most: Duration) -> Duration {
    let range = usize::try_from(most.saturating_sub(least).as_micros()).unwrap_or(usize::MAX);
    least + Duration::from_micros(rng.below(range) as u64)
}

/// A port before the broker that can be away.
#[derive(Debug)]
struct Door {
    addr: SocketAddr,
    target: SocketAddr,
    /// Bound to the port all the time and never listening, so that nobody else is given the port meanwhile, and an
    /// attempt to connect is not given it as its own.
    _held: TcpSocket,
    /// Whoever takes connections while it is open; with it ends what it has taken.
    open: Option<JoinHandle<()>>,
}

impl Door {
    fn open(target: SocketAddr) -> io::Result<Self> {
        let held = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let mut door = Self { addr: held.local_addr()?, target, _held: held, open: None };
        door.reopen()?;
        Ok(door)
    }

    /// Stops to listen and cuts all connections.
    async fn close(&mut self) {
        if let Some(task) = self.open.take() {
            task.abort();
            // It ends as cancelled, which is what was asked for.
            let _ = task.await;
        }
    }

    /// Listens again.
    fn reopen(&mut self) -> io::Result<()> {
        let listener = bound(self.addr)?.listen(64)?;
        self.open = Some(tokio::spawn(pass_on(listener, self.target)));
        Ok(())
    }
}

fn bound(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Passes on whatever connections come, until it is dropped and they with it.
async fn pass_on(listener: TcpListener, target: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        connections.spawn(async move {
            // A side that is gone ends the other one, whichever way.
            let _: io::Result<()> = async {
                let mut broker = TcpStream::connect(target).await?;
                client.set_nodelay(true)?;
                broker.set_nodelay(true)?;
                tokio::io::copy_bidirectional(&mut client, &mut broker).await?;
                Ok(())
            }
            .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn percentiles_are_the_times_of_rounds() {
        let times: Vec<Duration> = (1..=200).rev().map(|time| time * MS).collect();
        let told = [1, 50, 99, 100].map(|percent| percentile(&times, percent));
        assert_eq!(told, [2, 100, 198, 200].map(|time| Some(time * MS)));
        assert_eq!(percentile(&times[..1], 1), Some(200 * MS));
        assert_eq!(percentile(&[], 99), None);
    }

    #[tokio::test]
    async fn links_of_every_guarantee_come_back_each_round() {
        let plan = Plan { rounds: 3, interval: 5 * MS, least: 5 * MS, most: 30 * MS, limit: 10_000 * MS, seed: 1 };
        let guarantees = [Guarantee::AtMostOnce, Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];
        let all = run(&plan, &guarantees).await.unwrap();
        let counts = all.iter().map(|Times { sent, received, woken }| [sent.len(), received.len(), woken.len()]);
        assert_eq!(counts.collect::<Vec<_>>(), [[3; 3]; 3]);
    }
}
