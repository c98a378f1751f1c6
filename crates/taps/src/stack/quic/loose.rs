//! Messages that may be lost, beside the streams of a QUIC connection: each is a datagram (RFC 9221, RFC 9622 9.1.3.7).
//!
//! Which stream a datagram belongs to is for the application protocol to say (RFC 9221 5). Here it is said as HTTP says it
//! (RFC 9297 2.1): first the Quarter Stream ID, which is the number of a stream that the client has opened for both
//! directions, divided by four; then the message, framed as everything on that stream. An end takes them where its
//! `max_datagram_frame_size` says so.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::{Connection, StreamId};

use crate::framer::outbox::Leaving;

/// How much waits for one stream's receiver, and for all of a connection together, in bytes: what comes when there is no
/// room is dropped, as the network might have done.
const WAITING: usize = 128 * 1024;
const ALL_WAITING: usize = 1024 * 1024;

/// How much waits for streams whose first bytes a datagram has overtaken, in bytes. The oldest makes room.
const UNCLAIMED: usize = 64 * 1024;

/// What a datagram costs beside its bytes, so that empty ones have a limit too.
const ENTRY: usize = 64;

/// The largest number of a stream, divided by four (RFC 9000 2.1).
const LARGEST: u64 = (1 << 60) - 1;

/// Which stream a datagram belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Quarter(u64);

impl Quarter {
    /// That of a stream; only those have one that the client has opened for both directions.
    pub(super) fn of(stream: StreamId) -> Option<Self> {
        let id = u64::from(stream);
        id.is_multiple_of(4).then_some(Self(id / 4))
    }
}

/// What has arrived for the streams of one connection, and nobody has received.
#[derive(Debug, Default)]
pub(super) struct Loose {
    inboxes: Mutex<Inboxes>,
}

#[derive(Debug, Default)]
struct Inboxes {
    open: HashMap<Quarter, Inbox>,
    /// What belongs to streams that are not known, and how much it is.
    unclaimed: VecDeque<(Quarter, Bytes)>,
    unclaimed_bytes: usize,
    /// How much waits in the open ones.
    bytes: usize,
}

#[derive(Debug, Default)]
struct Inbox {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    receiver: Option<Waker>,
}

impl Loose {
    /// Begins to keep what arrives for a stream.
    pub(super) fn open(&self, stream: Quarter) {
        let inboxes = &mut *self.lock();
        let unclaimed = std::mem::take(&mut inboxes.unclaimed);
        inboxes.unclaimed_bytes = 0;
        inboxes.open.entry(stream).or_default();
        for (of, data) in &unclaimed {
            if *of == stream { inboxes.keep(*of, data) } else { inboxes.keep_unclaimed(*of, data) }
        }
    }

    /// Drops what has arrived for a stream, which is over.
    pub(super) fn close(&self, stream: Quarter) {
        let inboxes = &mut *self.lock();
        let closed = inboxes.open.remove(&stream);
        inboxes.bytes -= closed.map_or(0, |inbox| inbox.bytes);
    }

    /// The next message of a stream. When there is none, `receiver` is woken as soon as another stream's receiver has come
    /// upon one.
    pub(super) fn take(&self, stream: Quarter, receiver: &Waker) -> Option<Bytes> {
        let inboxes = &mut *self.lock();
        let inbox = inboxes.open.get_mut(&stream)?;
        let Some(data) = inbox.waiting.pop_front() else {
            inbox.receiver.get_or_insert_with(|| receiver.clone()).clone_from(receiver);
            return None;
        };
        inbox.bytes -= cost(&data);
        inboxes.bytes -= cost(&data);
        Some(data)
    }

    /// Looks whose a datagram is: that of `stream` is given back, and another one kept for its receiver. One that says
    /// nothing of a stream is dropped.
    pub(super) fn sort(&self, mut datagram: Bytes, stream: Quarter) -> Option<Bytes> {
        let of = take_quarter(&mut datagram)?;
        if of == stream {
            return Some(datagram);
        }
        let inboxes = &mut *self.lock();
        match inboxes.open.contains_key(&of) {
            true => inboxes.keep(of, &datagram),
            false => inboxes.keep_unclaimed(of, &datagram),
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Inboxes> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inboxes {
    fn keep(&mut self, stream: Quarter, data: &Bytes) {
        let cost = cost(data);
        let Some(inbox) = self.open.get_mut(&stream) else { return };
        if inbox.bytes + cost > WAITING || self.bytes + cost > ALL_WAITING {
            return;
        }
        inbox.bytes += cost;
        self.bytes += cost;
        inbox.waiting.push_back(alone(data));
        if let Some(receiver) = inbox.receiver.take() {
            receiver.wake();
        }
    }

    fn keep_unclaimed(&mut self, stream: Quarter, data: &Bytes) {
        self.unclaimed_bytes += cost(data);
        self.unclaimed.push_back((stream, alone(data)));
        while self.unclaimed_bytes > UNCLAIMED {
            let Some((_, oldest)) = self.unclaimed.pop_front() else { return };
            self.unclaimed_bytes -= cost(&oldest);
        }
    }
}

/// Sends a message beside a stream; false where the peer takes none, or none so long, or where there is no room now.
pub(super) fn send(connection: &Connection, stream: Quarter, message: &Leaving<'_>) -> bool {
    let length = quarter_len(stream) + message.len();
    let fits = connection.max_datagram_size().is_some_and(|limit| length <= limit);
    // Without room the oldest that waits would be dropped for it.
    if !fits || connection.datagram_send_buffer_space() < length {
        return false;
    }
    let mut datagram = BytesMut::with_capacity(length);
    put_quarter(&mut datagram, stream);
    datagram.put(message.to_bytes());
    connection.send_datagram(datagram.freeze()).is_ok()
}

/// A copy that does not keep the packets alive that came with it.
fn alone(data: &Bytes) -> Bytes {
    Bytes::copy_from_slice(data)
}

fn cost(data: &Bytes) -> usize {
    data.len() + ENTRY
}

/// The bytes of a variable-length integer (RFC 9000 16).
fn quarter_len(Quarter(number): Quarter) -> usize {
    match number {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

fn put_quarter(out: &mut BytesMut, stream: Quarter) {
    let length = quarter_len(stream);
    let prefix = u64::from(length.trailing_zeros()) << (length * 8 - 2);
    out.put_uint(prefix | stream.0, length);
}

fn take_quarter(datagram: &mut Bytes) -> Option<Quarter> {
    let first = *datagram.first()?;
    let length = 1 << (first >> 6);
    if datagram.len() < length {
        return None;
    }
    let number = datagram.get_uint(length) & (u64::MAX >> (66 - length * 8));
    (number <= LARGEST).then_some(Quarter(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(stream: u64, body: &[u8]) -> Bytes {
        let mut datagram = BytesMut::new();
        put_quarter(&mut datagram, Quarter(stream));
        datagram.put(body);
        datagram.freeze()
    }

    #[test]
    fn the_number_of_the_stream_goes_first() {
        // The examples of RFC 9000 A.1.
        for (number, bytes) in [
            (37, &[0x25][..]),
            (15_293, &[0x7b, 0xbd]),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
            (151_288_809_941_952_652, &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]),
        ] {
            let mut data = datagram(number, b"body");
            assert_eq!((&data[..bytes.len()], quarter_len(Quarter(number))), (bytes, bytes.len()));
            assert_eq!((take_quarter(&mut data), &data[..]), (Some(Quarter(number)), &b"body"[..]));
            let cut = Bytes::copy_from_slice(&bytes[..bytes.len() - 1]);
            assert_eq!(take_quarter(&mut cut.clone()), None);
        }
        assert_eq!(take_quarter(&mut Bytes::from_static(&[0xff; 8])), None, "no stream has this number");
    }

    #[test]
    fn each_stream_gets_its_own() {
        let (loose, waker) = (Loose::default(), Waker::noop());
        loose.open(Quarter(0));
        assert_eq!(loose.sort(datagram(0, b"mine"), Quarter(0)).unwrap(), &b"mine"[..]);
        // One that has overtaken the first bytes of its stream waits for it.
        assert_eq!(loose.sort(datagram(1, b"early"), Quarter(0)), None);
        assert_eq!(loose.sort(datagram(2, b"other"), Quarter(0)), None);
        loose.open(Quarter(1));
        assert_eq!(loose.sort(datagram(1, b"late"), Quarter(0)), None);
        assert_eq!(loose.take(Quarter(1), waker).unwrap(), &b"early"[..]);
        assert_eq!(loose.take(Quarter(1), waker).unwrap(), &b"late"[..]);
        assert_eq!((loose.take(Quarter(1), waker), loose.take(Quarter(0), waker)), (None, None));
        loose.open(Quarter(2));
        assert_eq!(loose.take(Quarter(2), waker).unwrap(), &b"other"[..]);
    }

    #[test]
    fn what_nobody_receives_has_a_limit() {
        let (loose, waker) = (Loose::default(), Waker::noop());
        (0..20).for_each(|number| loose.open(Quarter(number)));
        let full = WAITING / (ENTRY + 936);
        for number in 1..20 {
            for _ in 0..full + 10 {
                assert_eq!(loose.sort(datagram(number, &[7; 936]), Quarter(0)), None);
            }
        }
        assert!(loose.lock().bytes <= ALL_WAITING && loose.lock().bytes > ALL_WAITING - 1000);
        let mut count = 0;
        while loose.take(Quarter(1), waker).is_some() {
            count += 1;
        }
        assert_eq!(count, full);
        (1..20).for_each(|number| loose.close(Quarter(number)));
        assert_eq!(loose.lock().bytes, 0);
        // Empty ones of streams that do not exist.
        for number in 0..10_000 {
            assert_eq!(loose.sort(datagram(100 + number, b""), Quarter(0)), None);
        }
        assert_eq!(loose.lock().unclaimed.len(), UNCLAIMED / ENTRY);
        loose.open(Quarter(10_099));
        assert_eq!(loose.take(Quarter(10_099), waker).unwrap(), &b""[..], "the newest stay");
    }
}
