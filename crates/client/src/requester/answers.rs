//! Answers on their way to those who wait for them.
//!
//! There is no task for that: whoever brings news of the links, mostly the driver of the connection, wakes the
//! requester as it would a task, and what has come is sorted there and then, outside every lock of the connection.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use super::{Inner, RequestError};
use crate::disposition;
use crate::link::Link;
use crate::sender::Settlement;
use crate::state::State;
use crate::wait::Place;
use crate::{Message, Outcome, ReceiveError, Receiver, SendError};

/// The link that answers come on, and who waits for them.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) link: Arc<Link>,
    /// Tried and never waited for, so that a waker may be called anywhere.
    reader: Mutex<Reader>,
    /// Whether there may be something to read.
    news: AtomicBool,
    waker: Waker,
    /// In front of the number of each request.
    prefix: String,
    /// Whether the node of the answers outlives the connection.
    lasts: bool,
    /// Taken behind the reader, and before nothing.
    pending: Mutex<Pending>,
}

#[derive(Debug)]
struct Reader {
    receiver: Receiver,
    /// The places at the two links where the waker is.
    answers: Option<u64>,
    requests: Option<u64>,
    /// The stamp of the connection when it was last looked at.
    stamp: u32,
}

#[derive(Debug, Default)]
struct Pending {
    waiting: HashMap<u64, Waiting>,
    requests: u64,
    stray: u64,
}

/// A request that waits.
#[derive(Debug, Default)]
struct Waiting {
    sent: bool,
    answer: Option<Result<Box<Message>, ReceiveError>>,
    waker: Option<Waker>,
}

/// Sorts what has come. It keeps nothing open.
#[derive(Debug)]
pub(super) struct Sort(pub(super) Weak<Inner>);

impl Wake for Sort {
    fn wake(self: Arc<Self>) {
        if let Some(inner) = self.0.upgrade() {
            inner.sort();
        }
    }
}

impl Answers {
    pub(super) fn new(receiver: Receiver, sort: Sort, prefix: String, lasts: bool) -> Self {
        let link = receiver.link.clone();
        let stamp = link.session.shared().stamp();
        Self {
            link,
            reader: Mutex::new(Reader { receiver, answers: None, requests: None, stamp }),
            news: AtomicBool::new(false),
            waker: Waker::from(Arc::new(sort)),
            prefix,
            lasts,
            pending: Mutex::default(),
        }
    }

    pub(super) fn pending(&self) -> usize {
        self.lock().waiting.len()
    }

    pub(super) fn stray(&self) -> u64 {
        self.lock().stray
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes what has come to those who wait for it. Who finds somebody else at it leaves it to them.
    pub(super) fn sort(&self) {
        let answers = &self.answers;
        answers.news.store(true, Ordering::SeqCst);
        while answers.news.load(Ordering::SeqCst) {
            let mut reader = match answers.reader.try_lock() {
                Ok(reader) => reader,
                Err(TryLockError::Poisoned(error)) => error.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            answers.news.store(false, Ordering::SeqCst);
            let wakers = self.read(&mut reader);
            drop(reader);
            // Outside the locks: what they own may use the requester.
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Takes what has come, and registers for more. Gives whom it concerns.
    fn read(&self, reader: &mut Reader) -> Vec<Waker> {
        let (answers, shared) = (&self.answers, self.answers.link.session.shared());
        let cx = Context::from_waker(&answers.waker);
        let mut wakers = Vec::new();
        let mut over = loop {
            match reader.receiver.poll_take(&mut reader.answers, &cx) {
                Poll::Ready(Ok(taken)) => {
                    let message = answers.link.open(taken);
                    if let Ok(message) = &message {
                        // Where the link is over, it comes to nobody again.
                        let _ = disposition::settle(shared, message, Outcome::Accepted);
                    }
                    wakers.extend(answers.lock().deliver(&answers.prefix, message));
                }
                Poll::Ready(Err(_)) => break true,
                Poll::Pending => break false,
            }
        };
        let key = self.sender.link.key;
        let ended = |state: &mut State| state.links[key].over.is_some().then_some(());
        over |= shared.poll_at(Place::Link(key), &mut reader.requests, &cx, ended).is_ready();
        if std::mem::replace(&mut reader.stamp, shared.stamp()) != shared.stamp() {
            over = true;
            // Nobody asks for these back.
            drop(self.sender.take_in_doubt());
        }
        if over {
            // Each of them finds out what it means.
            wakers.extend(answers.lock().waiting.values_mut().filter_map(|waiting| waiting.waker.take()));
        }
        wakers
    }

    /// Begins a request.
    pub(super) fn ask(&self) -> Asking<'_> {
        let mut pending = self.answers.lock();
        pending.requests += 1;
        let number = pending.requests;
        pending.waiting.insert(number, Waiting::default());
        Asking { inner: self, number, sent: None, settlement: None }
    }
}

impl Pending {
    /// Gives an answer to whoever waits for it.
    fn deliver(&mut self, prefix: &str, message: Result<Message, ReceiveError>) -> Option<Waker> {
        let waiting = match &message {
            Ok(message) => {
                let id = message.correlation_id().map(ToString::to_string);
                let number = id.as_deref().and_then(|id| id.strip_prefix(prefix)?.parse().ok());
                number.and_then(|number: u64| self.waiting.get_mut(&number))
            }
            // What cannot be read has no id. Where one request alone waits for an answer, it is the answer to that.
            Err(_) => {
                let mut asked = self.waiting.values_mut().filter(|waiting| waiting.sent);
                let only = asked.next();
                only.filter(|_| asked.next().is_none())
            }
        };
        match waiting.filter(|waiting| waiting.answer.is_none()) {
            Some(waiting) => {
                waiting.answer = Some(message.map(Box::new));
                waiting.waker.take()
            }
            None => {
                self.stray += 1;
                None
            }
        }
    }
}

/// One request, from being begun until it is answered or given up.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    inner: &'a Inner,
    number: u64,
    /// The engine that it was handed over to.
    sent: Option<u32>,
    settlement: Option<Settlement>,
}

impl Asking<'_> {
    pub(super) fn id(&self) -> String {
        format!("{}{}", self.inner.answers.prefix, self.number)
    }

    pub(super) fn is_sent(&self) -> bool {
        self.sent.is_some()
    }

    /// Notes that it was handed over.
    pub(super) fn sent(&mut self, epoch: u32, settlement: Settlement) {
        (self.sent, self.settlement) = (Some(epoch), Some(settlement));
        if let Some(waiting) = self.inner.answers.lock().waiting.get_mut(&self.number) {
            waiting.sent = true;
        }
    }

    /// Waits for the answer of a request that was handed over.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, RequestError>> {
        // Registered before anything is looked at: what comes meanwhile wakes it.
        let (answer, _earlier) = {
            let mut pending = self.inner.answers.lock();
            match pending.waiting.get_mut(&self.number) {
                Some(waiting) => (waiting.answer.take(), waiting.waker.replace(cx.waker().clone())),
                None => (None, None),
            }
        };
        if let Some(answer) = answer {
            return Poll::Ready(answer.map(|message| *message).map_err(RequestError::Receive));
        }
        match self.poll_outcome(cx).or_else(|| self.over()) {
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Pending,
        }
    }

    /// Why there will be no answer, as the outcome of the request tells it.
    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Option<RequestError> {
        let outcome = match Pin::new(self.settlement.as_mut()?).poll(cx) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => return None,
        };
        self.settlement = None;
        match outcome {
            // Who settles without an outcome may answer all the same.
            Ok(Outcome::Accepted) | Err(SendError::NoOutcome) => None,
            Ok(outcome) => Some(RequestError::NotAccepted(outcome)),
            Err(error) => Some(RequestError::Send(error)),
        }
    }

    /// Why there will be no answer, as the links and the connection tell it.
    fn over(&self) -> Option<RequestError> {
        let Inner { sender, answers, .. } = self.inner;
        let (key, request) = (answers.link.key, sender.link.key);
        answers.link.with(|state| {
            if let Some(error) = &state.links[key].over {
                return Some(RequestError::Receive(ReceiveError::Link(error.clone())));
            }
            // Whoever ends the link of the requests answers no more of them.
            if let Some(error) = &state.links[request].over {
                return Some(RequestError::InDoubt(error.clone()));
            }
            let lost = !answers.lasts && (Some(state.epoch) != self.sent || state.down.is_some());
            lost.then(|| RequestError::InDoubt(state.lost_error()))
        })
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        // The waker in it goes outside the lock.
        let _gone = self.inner.answers.lock().waiting.remove(&self.number);
    }
}
