//! A message as a queue keeps it, and what changes of it on the way out.

use std::time::{Duration, Instant};

use bytes::Bytes;
use postroad_codec::v1_0::{
    ByteString, Decode as _, DeliveryAnnotations, Encode as _, Error, Fields, Header, MessageAnnotations,
    MessageFormat, Milliseconds, Reader, Sections, Symbol, Value,
};

use crate::expiry::expiry;
use crate::filter::Origin;
use crate::queue::Place;
use crate::selector::Candidate;

/// A message in a queue: the bytes that came, and what has happened to them since.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    /// Its place among the messages of the queue, which it keeps when it is given back.
    pub(crate) seq: u64,
    pub(crate) payload: Bytes,
    pub(crate) format: MessageFormat,
    /// Whose link brought it.
    pub(crate) origin: Origin,
    /// Deliveries that failed here.
    failures: u32,
    /// The level of its priority, where its queue has several.
    pub(crate) level: u8,
    /// Whether some link has had it before.
    acquired: bool,
    /// It is delivered to nobody from then on.
    pub(crate) expires: Option<Instant>,
    changes: Option<Box<Changes>>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Changes {
    /// Consumers that must not get it again.
    not_for: Vec<u64>,
    /// Merged into the message annotations. They are kept encoded: what they take is what they count for.
    annotations: Bytes,
    /// Nodes in which it died, before it came to this one as a dead letter.
    deaths: Vec<ByteString>,
}

/// How a consumer gives a message back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Return {
    /// It never left.
    Unsent,
    /// Not processed (AMQP 1.0 part 3, 3.4.4).
    Released,
    /// Nobody knows what became of it: a failed delivery.
    Failed,
    /// Not processed, and changed (3.4.5).
    Modified { failed: bool, undeliverable_here: bool, annotations: Option<Fields> },
    /// It cannot be sent to this consumer.
    Unfit,
    /// Invalid, perhaps for a reason (3.4.3): it goes to the dead-letter node.
    Rejected(Option<Box<Error>>),
}

/// Annotations that consumers add to one message may take this much, encoded; the rest is left out.
const MAX_ANNOTATIONS: usize = 65_536;

impl Held {
    pub(crate) fn new(payload: Bytes, format: MessageFormat) -> Self {
        Self {
            seq: 0,
            payload,
            format,
            origin: Origin::default(),
            failures: 0,
            level: 0,
            acquired: false,
            expires: None,
            changes: None,
        }
    }

    /// Whether its time is over.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// Deliveries that failed in its queue.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// The nodes in which it died before.
    pub(crate) fn deaths(&self) -> &[ByteString] {
        self.changes.as_ref().map_or(&[], |changes| &changes.deaths)
    }

    pub(crate) fn with_deaths(mut self, deaths: Vec<ByteString>) -> Self {
        self.changes.get_or_insert_default().deaths = deaths;
        self
    }

    /// What it counts for in its queue, in bytes: consumers' annotations are held as well.
    pub(crate) fn size(&self) -> usize {
        self.payload.len() + self.changes.as_ref().map_or(0, |changes| changes.annotations.len())
    }

    /// Notes how it comes back from the consumer `uid`. It may grow by `room` bytes. `exists` tells which
    /// consumers are left: only those are remembered.
    pub(crate) fn mark(&mut self, how: Return, uid: u64, room: usize, exists: impl Fn(u64) -> bool) {
        let (failed, not_here, annotations) = match how {
            Return::Unsent => return,
            Return::Unfit => (false, true, None),
            Return::Released | Return::Rejected(_) => (false, false, None),
            Return::Failed => (true, false, None),
            Return::Modified { failed, undeliverable_here, annotations } => (failed, undeliverable_here, annotations),
        };
        self.acquired = true;
        self.failures = self.failures.saturating_add(failed.into());
        if not_here {
            let not_for = &mut self.changes.get_or_insert_default().not_for;
            not_for.retain(|known| exists(*known));
            not_for.push(uid);
        }
        let Some(annotations) = annotations.filter(|annotations| !annotations.0.is_empty()) else { return };
        let changes = self.changes.get_or_insert_default();
        let mut merged = decoded(&changes.annotations);
        for (key, value) in annotations.0.0 {
            merged.0.insert(key, value);
        }
        let size = merged.encoded_len();
        if size <= MAX_ANNOTATIONS && size.saturating_sub(changes.annotations.len()) <= room {
            let mut encoded = Vec::with_capacity(size);
            merged.encode(&mut encoded);
            let encoded = Bytes::from(encoded);
            // Together they may be beyond a limit of the decoder that neither is alone.
            if Fields::decode(&mut Reader::new(&encoded)).is_ok() {
                changes.annotations = encoded;
            }
        }
    }

    /// Where it waits in its queue.
    pub(crate) fn place(&self) -> Place {
        Place { level: self.level, seq: self.seq }
    }

    /// What selectors look at.
    pub(crate) fn candidate(&self) -> Candidate<'_> {
        Candidate { payload: &self.payload, format: self.format, failures: self.failures }
    }

    /// Whether a consumer may have it.
    pub(crate) fn is_for(&self, uid: u64) -> bool {
        self.changes.as_ref().is_none_or(|changes| !changes.not_for.contains(&uid))
    }

    /// The message with its header and annotations brought up to date; `None` where they are as they
    /// came. The bare message is never touched (3.2).
    ///
    /// A message that was received with a ttl leaves with what is left of it at `now` (3.2.1). `number` is the annotation
    /// that tells its number in the queue.
    pub(crate) fn rewritten(&self, now: Instant, number: Option<&Symbol>) -> Option<Bytes> {
        if !(self.acquired || self.expires.is_some() || number.is_some()) || self.format != MessageFormat(0) {
            return None;
        }
        // What is no message is passed on as it is: its receiver finds out.
        let sections = Sections::find(self.payload.clone()).ok()?;
        let came = sections.header().ok()?;
        let changed = self.changes.as_ref().map(|changes| &changes.annotations).filter(|a| !a.is_empty());
        let mut annotations = changed.map(decoded);
        if let Some(name) = number {
            let number = Value::Uint((self.seq + 1) as u32);
            annotations.get_or_insert_default().0.insert(Value::Symbol(name.clone()), number);
        }
        let first = self.acquired && came.as_ref().is_some_and(|header| header.first_acquirer == Some(true));
        let ttl = came.as_ref().and_then(|header| header.ttl).map(|came| self.left(now).unwrap_or(came));
        let in_time = ttl == came.as_ref().and_then(|header| header.ttl);
        if self.failures == 0 && !first && annotations.is_none() && in_time {
            return None;
        }
        let mut header = came.unwrap_or_default();
        header.ttl = ttl;
        self.write(&sections, header, annotations)
    }

    /// The message for a dead-letter node: with these annotations, and without a ttl, which is over or of no use there.
    /// `None` where it cannot be annotated.
    pub(crate) fn annotated(&self, annotations: Fields) -> Option<Bytes> {
        if self.format != MessageFormat(0) {
            return None;
        }
        let sections = Sections::find(self.payload.clone()).ok()?;
        let mut header = sections.header().ok()?.unwrap_or_default();
        header.ttl = None;
        let mut added = self.changes.as_ref().map(|changes| decoded(&changes.annotations)).unwrap_or_default();
        for (key, value) in annotations.0.0 {
            added.0.insert(key, value);
        }
        self.write(&sections, header, Some(added))
    }

    /// The message as another queue gets it that it goes to from here: with what consumers have made of its header and
    /// annotations, but without a time that was not its own.
    pub(crate) fn anew(self, now: Instant) -> Self {
        let rewritten = if self.acquired { self.rewritten(now, None) } else { None };
        let expires = self.expires.filter(|_| expiry(&self.payload, self.format, now).is_some());
        let mut fresh = Self::new(rewritten.unwrap_or_else(|| self.payload.clone()), self.format);
        (fresh.expires, fresh.origin) = (expires, self.origin);
        let deaths = self.deaths().to_vec();
        if deaths.is_empty() { fresh } else { fresh.with_deaths(deaths) }
    }

    /// Writes the message with another header, and with more annotations.
    fn write(&self, sections: &Sections, mut header: Header, added: Option<Fields>) -> Option<Bytes> {
        let count = header.delivery_count.unwrap_or(0).saturating_add(self.failures);
        header.delivery_count = (count > 0).then_some(count);
        if self.acquired {
            header.first_acquirer = None;
        }
        let delivery_annotations = sections.delivery_annotations().ok()?;
        let mut out = Vec::with_capacity(self.payload.len() + 64);
        if header != Header::default() {
            header.encode(&mut out);
        }
        if let Some(DeliveryAnnotations(kept)) = delivery_annotations {
            DeliveryAnnotations(kept).encode(&mut out);
        }
        match added {
            None => out.extend_from_slice(&sections.behind_delivery_annotations()),
            Some(added) => {
                let mut merged = sections.message_annotations().ok()?.unwrap_or_default();
                for (key, value) in added.0.0 {
                    merged.0.0.insert(key, value);
                }
                MessageAnnotations(merged.0).encode(&mut out);
                out.extend_from_slice(&sections.bare());
                if let Some(footer) = sections.footer().ok()? {
                    footer.encode(&mut out);
                }
            }
        }
        Some(out.into())
    }

    /// What is left of its time, rounded up: whole as long as not a millisecond has passed, and never nothing.
    fn left(&self, now: Instant) -> Option<Milliseconds> {
        let left = self.expires?.saturating_duration_since(now);
        let millis = left.saturating_add(Duration::from_nanos(999_999)).as_millis();
        Some(Milliseconds(u32::try_from(millis).unwrap_or(u32::MAX).max(1)))
    }
}

fn decoded(annotations: &Bytes) -> Fields {
    if annotations.is_empty() {
        return Fields::default();
    }
    Fields::decode(&mut Reader::new(annotations)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use postroad_codec::v1_0::Message;

    use super::*;

    fn held(message: &Message) -> Held {
        Held::new(message.to_bytes(), MessageFormat(0))
    }

    fn durable(text: &str) -> Message {
        let header = Header { durable: Some(true), first_acquirer: Some(true), ..Header::default() };
        Message { header: Some(header), ..Message::from(text) }
    }

    #[test]
    fn a_fresh_message_goes_out_as_it_came() {
        assert_eq!(held(&durable("a")).rewritten(Instant::now(), None), None);
    }

    #[test]
    fn a_released_message_loses_only_its_first_acquirer() {
        let mut message = held(&durable("a"));
        message.mark(Return::Released, 1, usize::MAX, |_| true);
        let out = Message::from_bytes(&message.rewritten(Instant::now(), None).unwrap()).unwrap();
        assert_eq!(out.header, Some(Header { durable: Some(true), ..Header::default() }));

        let mut plain = held(&Message::from("a"));
        plain.mark(Return::Released, 1, usize::MAX, |_| true);
        assert_eq!(plain.rewritten(Instant::now(), None), None);
    }

    #[test]
    fn failures_add_to_those_of_other_nodes() {
        let header = Header { delivery_count: Some(2), ..Header::default() };
        let mut message = held(&Message { header: Some(header), ..Message::from("a") });
        message.mark(Return::Failed, 1, usize::MAX, |_| true);
        message.mark(
            Return::Modified { failed: true, undeliverable_here: false, annotations: None },
            1,
            usize::MAX,
            |_| true,
        );
        let sections = Sections::find(message.rewritten(Instant::now(), None).unwrap()).unwrap();
        assert_eq!(sections.header().unwrap().unwrap().delivery_count, Some(4));
        assert_eq!(sections.bare(), Sections::find(message.payload.clone()).unwrap().bare());
    }

    #[test]
    fn annotations_are_merged_and_bounded() {
        let mut message = held(&durable("a"));
        let add = |key: &'static str, value: Value| {
            let mut fields = Fields::default();
            fields.0.insert(Value::Symbol(key.into()), value);
            Return::Modified { failed: false, undeliverable_here: false, annotations: Some(fields) }
        };
        message.mark(add("x-a", Value::Int(1)), 1, usize::MAX, |_| true);
        message.mark(add("x-b", Value::Int(2)), 1, usize::MAX, |_| true);
        message.mark(add("x-a", Value::Int(3)), 1, usize::MAX, |_| true);
        message.mark(add("x-huge", Value::Binary(vec![0; MAX_ANNOTATIONS].into())), 1, usize::MAX, |_| true);
        let out = Message::from_bytes(&message.rewritten(Instant::now(), None).unwrap()).unwrap();
        let annotations = out.message_annotations.unwrap();
        assert_eq!(annotations.0.0.len(), 2);
        assert_eq!(annotations.0.0.get_str("x-a"), Some(&Value::Int(3)));
        assert_eq!(out.body, Message::from("a").body);
    }

    #[test]
    fn annotations_count_and_stay_within_the_room() {
        let mut message = held(&durable("a"));
        let came = message.size();
        let add = |length: usize| {
            let mut fields = Fields::default();
            fields.0.insert(Value::Symbol("x-a".into()), Value::Binary(vec![0; length].into()));
            Return::Modified { failed: false, undeliverable_here: false, annotations: Some(fields) }
        };
        message.mark(add(1000), 1, 999, |_| true);
        assert_eq!(message.size(), came);
        message.mark(add(1000), 1, 1100, |_| true);
        assert!((came + 1000..came + 1100).contains(&message.size()));
        message.mark(add(1), 1, 0, |_| true);
        assert!(message.size() < came + 100);
    }

    #[test]
    fn what_is_left_of_the_ttl_goes_out() {
        let header = Header { ttl: Some(Milliseconds(5000)), first_acquirer: Some(true), ..Header::default() };
        let mut message = held(&Message { header: Some(header), ..Message::from("a") });
        let now = Instant::now();
        message.expires = Some(now + Duration::from_secs(5));
        assert_eq!(message.rewritten(now, None), None, "no time has passed");
        let ttl = |after: u64| {
            let out = message.rewritten(now + Duration::from_micros(after), None).unwrap();
            let sections = Sections::find(out).unwrap();
            assert_eq!(sections.bare(), Sections::find(message.payload.clone()).unwrap().bare());
            let header = sections.header().unwrap().unwrap();
            assert_eq!(header.first_acquirer, Some(true), "nobody has had it");
            header.ttl.unwrap().0
        };
        assert_eq!(message.rewritten(now + Duration::from_micros(900), None), None);
        assert_eq!((ttl(1000), ttl(1500), ttl(4_999_900), ttl(9_000_000)), (4999, 4999, 1, 1));
        assert!(!message.is_expired(now) && message.is_expired(now + Duration::from_secs(5)));
    }

    #[test]
    fn only_consumers_that_exist_are_remembered() {
        let mut message = held(&Message::from("a"));
        for uid in 0..10 {
            message.mark(Return::Unfit, uid, usize::MAX, |known| known >= 5);
        }
        assert!(message.is_for(2) && !message.is_for(7) && !message.is_for(9));
        assert_eq!(message.changes.unwrap().not_for.len(), 5);
    }

    #[test]
    fn what_is_no_message_passes() {
        let mut garbage = Held::new(Bytes::from_static(b"garbage"), MessageFormat(0));
        garbage.mark(Return::Failed, 1, usize::MAX, |_| true);
        assert_eq!(garbage.rewritten(Instant::now(), None), None);
    }

    #[test]
    fn messages_are_numbered_from_one() {
        let mut message = held(&durable("a"));
        message.seq = 6;
        let name = Symbol::from_static("number");
        let out = Message::from_bytes(&message.rewritten(Instant::now(), Some(&name)).unwrap()).unwrap();
        assert_eq!(out.header, durable("a").header);
        assert_eq!(out.message_annotations.unwrap().0.0.get_str("number"), Some(&Value::Uint(7)));
        let plain = Sections::find(message.payload.clone()).unwrap();
        let numbered = Sections::find(message.rewritten(Instant::now(), Some(&name)).unwrap()).unwrap();
        assert_eq!(numbered.bare(), plain.bare());
    }
}
