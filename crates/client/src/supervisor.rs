//! The task of a connection: it has it driven, and makes it anew when it is lost.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use postroad_address::BrokerUrl;

use crate::cbs::{self, Claims};
use crate::driver::Driver;
use crate::event::ConnectionEvent;
use crate::reconnect::{Next, Reconnect, Schedule};
use crate::redirect::{Dialed, Elsewhere};
use crate::state::{Shared, State};
use crate::tls_header::ask_for_tls;
use crate::wait::Place;
use crate::{ConnectError, ConnectOptions, Connection, ConnectionError, TlsMode, v1_0};

/// Keeps a client's connection open.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    options: ConnectOptions,
    brokers: Vec<BrokerUrl>,
    /// The broker that the connection goes to, or went to last.
    at: usize,
    /// Which of them have spoken AMQP.
    spoke: Vec<bool>,
    /// Since when brokers have taken the connection only to send it away, and it came to nothing there.
    sent_away: Option<Instant>,
    _ends: Ends,
}

/// A connection that is lost sooner than this after it was opened counts as a failed attempt, so that a broker is not
/// hammered that takes connections and drops them.
const LASTING: Duration = Duration::from_secs(1);

/// Ends a connection whose task is gone: a runtime that goes away takes its connections with it, and whoever waits is
/// told.
#[derive(Debug)]
pub(crate) struct Ends(pub(crate) Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.turn(|state| {
            state.end_connection(ConnectionError::Runtime);
            state.engine.handle_eof();
        });
    }
}

/// Drives a connection that is not made anew.
pub(crate) async fn drive(_ends: Ends, driver: Driver) {
    driver.await;
}

impl Supervisor {
    /// Opens a connection to the first broker of the list that takes it.
    pub(crate) async fn open(options: ConnectOptions) -> Result<(Self, Driver), ConnectError> {
        let brokers = options.brokers();
        // Nobody has to wait to hear that the options are of no use.
        for broker in &brokers {
            options.at(broker).check()?;
        }
        let policy = match options.reconnect.clone() {
            Some(policy) if policy.initially => policy,
            _ => {
                let attempts = u32::try_from(brokers.len()).unwrap_or(u32::MAX);
                Reconnect { attempts: Some(attempts), timeout: None, ..Reconnect::default() }
            }
        };
        let mut schedule = Schedule::new(policy, brokers.len(), 0, 0, Instant::now(), random());
        let mut failed = Vec::new();
        while let Next::Try { broker, at } = schedule.next(Instant::now(), random()) {
            tokio::time::sleep_until(at.into()).await;
            let url = &brokers[broker];
            let told = |event| {
                if let (ConnectionEvent::Redirected(redirect), true) = (event, options.reconnect_log) {
                    tracing::info!(broker = %url.redacted(), %redirect, "redirected");
                }
            };
            let error = match dial(Way::to(options.at(url)), options.connect_timeout, &[], told).await {
                Ok(Reached { shared, driver, dialed, .. }) => {
                    let reconnects = options.reconnect.is_some();
                    shared.with(|state| {
                        (state.reconnects, state.quiet) = (reconnects, !options.reconnect_log);
                        state.dialed = Some(dialed);
                    });
                    let _ends = Ends(shared.clone());
                    let spoke = (0..brokers.len()).map(|index| index == broker).collect();
                    return Ok((Self { shared, options, brokers, at: broker, spoke, sent_away: None, _ends }, driver));
                }
                Err(error) => error,
            };
            if options.reconnect_log {
                tracing::info!(broker = %url.redacted(), %error, "no connection");
            }
            if error.is_final() {
                schedule.leave_out(broker);
            }
            // The last error of each.
            failed.retain(|(known, _)| *known != broker);
            failed.push((broker, error));
        }
        failed.sort_by_key(|(broker, _)| *broker);
        Err(match failed.len() {
            1 => failed.remove(0).1,
            _ => ConnectError::Brokers(
                failed.into_iter().map(|(broker, error)| (brokers[broker].redacted().to_string(), error)).collect(),
            ),
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Drives the connection until it is over.
    pub(crate) async fn run(mut self, mut driver: Driver) {
        let (mut opened, mut lately) = (Instant::now(), 0);
        loop {
            driver.over().await;
            let down = self.shared.with(|state| state.down.is_some());
            if let Some(last_words) = driver.linger() {
                if down {
                    // They must not hold the next connection up.
                    tokio::spawn(last_words);
                } else {
                    last_words.await;
                }
            }
            if !down {
                return;
            }
            lately = if opened.elapsed() < LASTING { lately + 1 } else { 0 };
            driver = loop {
                if self.parked(&mut lately).await.is_none() {
                    return;
                }
                if let Some(next) = self.reconnect(lately).await {
                    break next;
                }
            };
            opened = Instant::now();
        }
    }

    /// Waits while the connection is detached, whoever made it so; nothing when it is over.
    async fn parked(&self, lately: &mut u32) -> Option<()> {
        self.shared.with(|state| {
            if let Some(detached) = &mut state.detached {
                detached.gone = true;
                state.elsewhere = None;
                // That was no fault of the broker's.
                *lately = 0;
                state.waiters.wake(&mut state.wakes);
            }
        });
        let wanted = |state: &mut State| match (&state.over, &state.detached) {
            (Some(_), _) => Some(None),
            (None, Some(_)) => None,
            (None, None) => Some(Some(())),
        };
        self.shared.wait(Place::Connection, wanted).await
    }

    /// Makes a connection anew; nothing when it is over instead, or detached.
    async fn reconnect(&mut self, lately: u32) -> Option<Driver> {
        let once =
            || Reconnect { attempts: u32::try_from(self.brokers.len()).ok(), timeout: None, ..Reconnect::default() };
        let policy = self.options.reconnect.clone().unwrap_or_else(once);
        let mut schedule = Schedule::new(policy, self.brokers.len(), self.at, lately, Instant::now(), random());
        let mut last = None;
        // Where the peer sent us comes before the list, once.
        let mut elsewhere = self.shared.with(|state| state.elsewhere.take());
        if elsewhere.is_some() && lately > 0 {
            // That it took us was no success: the time goes on.
            schedule.began_at(*self.sent_away.get_or_insert_with(Instant::now));
        } else {
            self.sent_away = None;
        }
        elsewhere = elsewhere.filter(|_| schedule.beside(Instant::now()));
        loop {
            let (way, broker) = match elsewhere.take() {
                Some(elsewhere) => {
                    self.shared.with(|state| state.tell(ConnectionEvent::Redirected(elsewhere.redirect.clone())));
                    let base = self.options.at(&self.brokers[self.at]);
                    (Way { base, at: elsewhere.options, followed: elsewhere.followed }, None)
                }
                None => {
                    let Next::Try { broker, at } = schedule.next(Instant::now(), random()) else {
                        self.give_up(schedule.attempts(), last);
                        return None;
                    };
                    self.unless_over(tokio::time::sleep_until(at.into())).await?;
                    if !schedule.still(Instant::now()) {
                        self.give_up(schedule.attempts(), last);
                        return None;
                    }
                    (Way::to(self.options.at(&self.brokers[broker])), Some(broker))
                }
            };
            let (url, attempt) = (way.at.url.redacted().to_string(), schedule.attempts());
            self.shared.with(|state| state.tell(ConnectionEvent::Trying { broker: url.clone(), attempt }));
            let left = schedule.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let connect_timeout = way.at.connect_timeout;
            let timeout = left.map_or(connect_timeout, |left| left.min(connect_timeout));
            let told = |event| self.shared.with(|state| state.tell(event));
            let claims: Vec<_> = self.shared.with(|state| state.claims.iter().filter_map(Weak::upgrade).collect());
            let error = match self.unless_over(dial(way, timeout, &claims, told)).await? {
                Ok(Reached { shared: candidate, mut driver, dialed, handle: _handle }) => {
                    if let Some(broker) = broker {
                        (self.at, self.spoke[broker]) = (broker, true);
                    }
                    self.adopt(&candidate, dialed)?;
                    driver.drive_for(self.shared.clone());
                    return Some(driver);
                }
                Err(error) => error,
            };
            // A proxy may answer in a broker's place for a while.
            if let Some(broker) =
                broker.filter(|broker| error.is_final() && !(error.is_foreign() && self.spoke[*broker]))
            {
                schedule.leave_out(broker);
            }
            self.shared.with(|state| {
                state.tell(ConnectionEvent::Failed { broker: url, attempt, error: error.clone() });
            });
            // That the time was over says less than what failed before.
            let cut_short = timeout < connect_timeout && matches!(error, ConnectError::Timeout(_));
            if last.is_none() || !cut_short {
                last = Some(Box::new(error));
            }
        }
    }

    /// Has the connection go on with the engine of another one that was opened for it.
    fn adopt(&self, candidate: &Shared, dialed: Dialed) -> Option<()> {
        let mut candidate = candidate.lock();
        self.shared.turn(|state| {
            let broker = dialed.url.redacted().to_string();
            state.dialed = Some(dialed);
            state.adopt(&mut candidate, broker)
        })
    }

    fn give_up(&self, attempts: u32, last: Option<Box<ConnectError>>) {
        self.shared.turn(|state| {
            if state.attaching {
                let error = last.map_or(ConnectError::Connection(ConnectionError::Detached), |last| *last);
                return state.fail_to_attach(error);
            }
            let lost = Box::new(state.lost.clone().unwrap_or(ConnectionError::Closed));
            state.end_connection(ConnectionError::GaveUp { lost, attempts, last });
        });
    }

    /// Waits for something, unless the connection is closed or detached meanwhile.
    async fn unless_over<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        let mut what = pin!(what);
        let ended = |state: &mut State| (state.over.is_some() || state.detached.is_some()).then_some(());
        let mut over = pin!(self.shared.wait(Place::Connection, ended));
        poll_fn(|cx| {
            if over.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            what.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

/// Where a connection is to be made.
struct Way {
    /// The options for the broker of the list, where it begins.
    base: ConnectOptions,
    at: ConnectOptions,
    /// Redirects that were followed in a row to get here.
    followed: u32,
}

impl Way {
    fn to(broker: ConnectOptions) -> Self {
        Self { at: broker.clone(), base: broker, followed: 0 }
    }
}

/// A connection that is open.
struct Reached {
    shared: Arc<Shared>,
    driver: Driver,
    dialed: Dialed,
    /// Its handle, where it had one: it would be closed with that before its engine is taken over.
    handle: Option<Connection>,
}

/// Connects, authenticates and opens, wherever the peers' redirects lead, and puts tokens there. What happens on the way is
/// told.
async fn dial(
    way: Way,
    timeout: Duration,
    claims: &[Arc<Claims>],
    told: impl Fn(ConnectionEvent),
) -> Result<Reached, ConnectError> {
    let Way { base, mut at, mut followed } = way;
    let reached = async {
        let (shared, mut driver) = loop {
            let error = match establish(&at, timeout).await {
                Ok(established) => break established,
                Err(ConnectError::Connection(error)) => error,
                Err(error) => return Err(error),
            };
            let elsewhere = Elsewhere::of(&base, followed, error)?;
            told(ConnectionEvent::Redirected(elsewhere.redirect));
            (at, followed) = (elsewhere.options, elsewhere.followed);
        };
        let dialed = Dialed { base: Arc::new(base), url: at.url, followed, since: Instant::now() };
        let mut handle = None;
        if !claims.is_empty() {
            match cbs::put_again(&shared, &mut driver, &dialed, claims, &told).await {
                Ok(connection) => handle = Some(connection),
                Err(error) => {
                    // It takes its leave.
                    tokio::spawn(drive(Ends(shared), driver));
                    return Err(ConnectError::Cbs(Box::new(error)));
                }
            }
        }
        Ok(Reached { shared, driver, dialed, handle })
    };
    tokio::time::timeout(timeout, reached).await.unwrap_or(Err(ConnectError::Timeout(timeout)))
}

async fn establish(options: &ConnectOptions, timeout: Duration) -> Result<(Arc<Shared>, Driver), ConnectError> {
    let engine = v1_0::client(options)?;
    let transport = options.preconnection()?.initiate().timeout(timeout).await?;
    let mut stream = transport.into_byte_stream().map_err(|error| ConnectError::Options(error.to_string()))?;
    if options.tls_mode == TlsMode::Header {
        stream = ask_for_tls(stream, options).await?;
    }
    let strength = stream.tls_info().and_then(|info| info.strength()).unwrap_or(0);
    if strength < options.min_strength {
        return Err(ConnectError::Strength { wanted: options.min_strength, found: strength });
    }
    let shared = Shared::new(engine);
    if options.accept_links {
        shared.with(|state| state.incoming = Some(VecDeque::new()));
    }
    let mut driver = Driver::new(shared.clone(), stream);
    driver.opened().await?;
    if shared.with(|state| state.engine.peer()).is_some_and(|peer| peer.is_about_to_close()) {
        // Its close says why, and perhaps where to.
        driver.over().await;
        driver.linger().map(tokio::spawn);
        return Err(shared.with(|state| state.over.clone()).unwrap_or(ConnectionError::Closed).into());
    }
    Ok((shared, driver))
}

/// A number from 0 to 1.
pub(crate) fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without random numbers all come back at one moment; that is no reason not to come back.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}
